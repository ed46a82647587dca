/* hone bench --update RULE --shapes FILE: one update rule over the parameters of a model or a weights
 * file, beside the time that reading and writing the same bytes takes in the same run. The rule is
 * compiled as in any recipe: a module with the same shapes, whose gradients lie in memory. */
#include <math.h>
#include <string.h>

#include "commands/bench.h"

typedef struct Shape {
    size_t rank;
    int64_t dims[MAX_RANK];
} Shape;
typedef VEC(Shape) Shapes;

/* --- shapes ------------------------------------------------------------------------------------- */
static bool shapes_of_weights(HoneSys *sys, Arena *arena, Str path, Shapes *shapes, HoneError *error)
{
    HoneFile *file = hone_file_open(sys, str_c(arena, path), error);
    if (file == NULL) {
        return false;
    }
    size_t n = hone_file_count(file);
    Shape *list = hone_alloc(sys, (n + 1) * sizeof *list);    /* the file is open: no unwinding */
    size_t len = 0;
    for (size_t i = 0; list != NULL && i < n; i++) {
        const HoneFileTensor *t = hone_file_tensor(file, i);
        if (t->known_dtype && dtype_is_float((DType)t->dtype)) {
            list[len].rank = t->rank;
            memcpy(list[len++].dims, t->dims, sizeof t->dims);
        }
    }
    hone_file_close(file);
    if (list == NULL) {
        return hone_fail(error, HONE_NO_MEMORY, "E706", "the system refused memory for the shapes");
    }
    shapes->at = arena_copy(arena, list, (len + 1) * sizeof *list);
    shapes->len = shapes->cap = len;
    hone_free(sys, list);
    return true;
}

static bool shapes_of_recipe(HoneSys *sys, Mem *mem, const CommandLine *line, Shapes *shapes,
                             int *exit)
{
    CommandLine of = *line;
    of.args.at = &of.shapes;
    of.args.len = of.args.cap = 1;
    Session s;
    if (session_begin(&s, sys, mem, &of, exit) == NULL) {
        return false;
    }
    RecipeOptions options = {.without_files = true, .model_only = true};
    Recipe *recipe = session_recipe(&s, s.finetunes.at[0], &options);
    if (recipe == NULL) {
        *exit = diags_exit(&s.c.diags);
        return false;
    }
    for (size_t i = 0; i < recipe->model->variables.len; i++) {
        const Variable *v = recipe->model->variables.at[i];
        Shape shape = {.rank = v->rank};
        memcpy(shape.dims, v->dims, sizeof shape.dims);
        if (!v->is_state) {
            VEC_PUSH(s.arena, *shapes, shape);
        }
    }
    return true;
}

static bool find_shapes(HoneSys *sys, Mem *mem, Arena *arena, const CommandLine *line,
                        Shapes *shapes, int *exit)
{
    if (line->update.len == 0 || line->shapes.len == 0) {
        *exit = usage_error(sys, arena, line, "`--update RULE` and `--shapes FILE` go together");
        return false;
    }
    if (str_ends(line->shapes, STR(".hone"))) {
        return shapes_of_recipe(sys, mem, line, shapes, exit);
    }
    HoneError error = {0};
    if (!shapes_of_weights(sys, arena, line->shapes, shapes, &error)) {
        *exit = print_failure(sys, arena, line, &error);
        return false;
    }
    if (shapes->len == 0) {
        *exit = usage_error(sys, arena, line, STR_FMT " has no tensors of floats",
                            STR_ARG(line->shapes));
    }
    return shapes->len > 0;
}

/* --- a recipe that only updates ------------------------------------------------------------------ */
static Str type_text(Arena *arena, const Shape *shape)
{
    Buf out = buf_new(arena);
    buf_add(&out, STR("f32"));
    for (size_t d = 0; d < shape->rank; d++) {
        buf_printf(&out, "%s%lld", d == 0 ? "[" : ", ", (long long)shape->dims[d]);
    }
    buf_add(&out, shape->rank > 0 ? STR("]") : STR(""));
    return buf_str(&out);
}

static Str name_of(Str path)          /* dir/rules.hone: rules */
{
    for (size_t i = path.len; i > 0; i--) {
        if (path.ptr[i - 1] == '/') {
            path = (Str){path.ptr + i, path.len - i};
            break;
        }
    }
    return str_ends(path, STR(".hone")) ? (Str){path.ptr, path.len - 5} : path;
}

static Str recipe_text(Arena *arena, const CommandLine *line, const Shapes *shapes)
{
    Buf out = buf_new(arena);
    buf_printf(&out, "finetune update {\n  model: Shapes()\n  step b in nothing { loss = model() }\n"
                     "  optimizer " STR_FMT "\n  steps = 1\n}\n", STR_ARG(line->update));
    buf_add(&out, STR("use optim"));
    if (line->args.len > 0) {
        buf_printf(&out, ", " STR_FMT, STR_ARG(name_of(line->args.at[0])));
    }
    buf_add(&out, STR("\nuse sched\ndata nothing { train = images(\"nothing\", size = 1); batch = 1 }\n"
                      "module Shapes() {\n"));
    for (size_t i = 0; i < shapes->len; i++) {
        Str type = type_text(arena, &shapes->at[i]);
        buf_printf(&out, "  param p%zu: " STR_FMT " = constant(0.5)\n  state g%zu: " STR_FMT
                         " = constant(0.001)\n", i, STR_ARG(type), i, STR_ARG(type));
    }
    buf_add(&out, STR("  fn forward() -> f32 {\n    y = sum(p0 * g0)\n"));
    for (size_t i = 1; i < shapes->len; i++) {
        buf_printf(&out, "    y = y + sum(p%zu * g%zu)\n", i, i);
    }
    buf_add(&out, STR("    return y\n  }\n}\n"));
    return buf_str(&out);
}

/* The text stands beside the library, so that `use` finds it. */
static const Ast *open_text(Session *s, const Shapes *shapes)
{
    const CommandLine *line = s->line;
    Str folder = line->args.len > 0 ? line->args.at[0] : STR("");
    while (folder.len > 0 && folder.ptr[folder.len - 1] != '/') {
        folder.len--;
    }
    compiler_init(&s->c, s->mem, s->sys, s->arena);
    s->file = compiler_text(&s->c, str_join(s->arena, folder, "", STR("--update")),
                            recipe_text(s->arena, line, shapes));
    if (s->c.diags.errors > 0) {
        print_diags(s->sys, s->arena, line, &s->c.diags);
        return NULL;
    }
    return file_item(s->file, AST_FINETUNE, STR("update"));
}

/* The loss is there for its gradients; the step without it is the update alone. */
static void leave_out_loss(Arena *arena, RecipeStage *stage)
{
    Graph *graph = NEW(arena, Graph);
    *graph = *stage->train;
    memset(&graph->outputs, 0, sizeof graph->outputs);
    for (size_t i = 0; i < stage->train->outputs.len; i++) {
        const Output *output = &stage->train->outputs.at[i];
        if (output->kind == OUT_NEXT) {
            VEC_PUSH(arena, graph->outputs, *output);
        }
    }
    stage->train = graph;
}

/* --- measuring ---------------------------------------------------------------------------------- */
typedef struct Traffic {
    double parameters, reads, writes;    /* numbers; the latter as many float32 as have their bytes */
    double stream;                       /* seconds to read and write as many */
} Traffic;

/* Gradients are read, parameters and what the rule keeps of them are read and written. */
static Traffic count_traffic(const HoneProgram *program)
{
    Traffic t = {0};
    for (uint32_t i = 0; i < program->n_tensors; i++) {
        const HoneTensor *tensor = &program->tensors[i];
        double n = 1;
        for (uint32_t d = 0; d < tensor->rank; d++) {
            n *= (double)tensor->dims[d];
        }
        t.parameters += tensor->kind == HONE_PARAM ? n : 0;
        n *= (double)dtype_bytes((DType)tensor->dtype) / sizeof(float);
        t.reads += n;
        t.writes += tensor->kind == HONE_MODEL_STATE ? 0 : n;
    }
    return t;
}

static bool measure_stream(const Session *s, Traffic *t, HoneError *error)
{
    enum { TURNS = 5 };
    int reads = (int)lround(t->reads / t->parameters), writes = (int)lround(t->writes / t->parameters);
    reads = reads < 1 ? 1 : reads > PROBE_STREAMS ? PROBE_STREAMS : reads;
    writes = writes > reads ? reads : writes;
    double seconds, all = (double)(reads + writes) * t->parameters;
    if (!limits_stream(s, session_target(s), reads, writes, (int64_t)t->parameters, TURNS, &seconds,
                       error)) {
        return false;
    }
    seconds *= (t->reads + t->writes) / all;
    t->stream = t->stream == 0 ? seconds : fmin(t->stream, seconds);
    return true;
}

static int report(const Session *s, const Shapes *shapes, const PlanEntry *plan, const Traffic *t,
                  const Measured *m)
{
    double bytes = sizeof(float) * (t->reads + t->writes);
    Buf out = buf_new(s->arena);
    if (s->line->json) {
        buf_add(&out, STR("{\"rule\": "));
        json_string(&out, s->line->update);
        buf_printf(&out, ", \"tensors\": %zu, \"parameters\": %.0f, \"kernels\": %zu, \"bytes\": %.0f, "
                         "\"seconds\": ", shapes->len, t->parameters, plan->n_kernels, bytes);
        json_number(&out, m->step);
        buf_add(&out, STR(", \"stream_seconds\": "));
        json_number(&out, t->stream);
        buf_add(&out, STR("}\n"));
        return out_finish(s->sys, &out, HONE_OK);
    }
    static const char *const names[] = {"", ">time", ">bytes", ">GB/s"};
    Table *table = table_new(s->arena, 4, names);
    const char *const rows[] = {"update", "the same bytes"};
    for (int i = 0; i < 2; i++) {
        double seconds = i == 0 ? m->step : t->stream;
        table_cell(table, "%s", rows[i]);
        table_cell(table, STR_FMT, STR_ARG(seconds_text(s->arena, seconds)));
        table_cell(table, STR_FMT, STR_ARG(moved_text(s->arena, bytes)));
        table_cell(table, "%.1f", bytes / seconds / 1e9);
    }
    buf_printf(&out, STR_FMT " over " STR_FMT " numbers in %zu tensors: %zu kernels\n\n",
               STR_ARG(s->line->update), STR_ARG(count_text(s->arena, (int64_t)t->parameters)),
               shapes->len, plan->n_kernels);
    table_print(table, "  ", &out);
    buf_printf(&out, "\n  %.2f of the time that reading and writing the same bytes takes\n",
               m->step / t->stream);
    return out_finish(s->sys, &out, HONE_OK);
}

int bench_update(HoneSys *sys, Mem *mem, const CommandLine *line)
{
    Session s = {.sys = sys, .mem = mem, .arena = arena_new(mem, "bench"),
                 .kept = arena_new(mem, "program"), .line = line};
    Shapes shapes = {0};
    int exit = HONE_OK;
    if (!session_choices(&s, &exit) || !find_shapes(sys, mem, s.arena, line, &shapes, &exit)) {
        return exit;
    }
    const Ast *finetune = open_text(&s, &shapes);
    if (finetune == NULL) {
        return HONE_USAGE;
    }
    if (session_tree(&s, &exit)) {
        return exit;
    }
    Recipe *recipe = session_recipe(&s, finetune, &(RecipeOptions){.without_files = true});
    if (recipe == NULL) {
        return diags_exit(&s.c.diags);
    }
    leave_out_loss(s.arena, &recipe->stages.at[0]);
    BuildReport built;
    HoneProgram *program = session_program(&s, recipe, true, &built, &exit);
    if (program == NULL) {
        return exit;
    }
    Traffic traffic = count_traffic(program);
    int64_t *below = bench_below(&s, recipe->stages.at[0].train,
                                 &program->entries[program->stages[0].train]);
    HoneError error = {0};
    Measured m;
    if (!measure_stream(&s, &traffic, &error) ||
        !bench_entry(&s, program, program->stages[0].train, below,
                     traffic.stream * 2, line->steps, &m, &error) ||
        !measure_stream(&s, &traffic, &error)) {
        return session_error(&s, &error);
    }
    return report(&s, &shapes, built.entries[program->stages[0].train].plan, &traffic, &m);
}
