/* driver: walks the rows of stages.def over every graph of a recipe. Nothing of what the stages do
 * is here; only their order, the check after each, the dumps and the clock. */
#include "driver.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "syntax/ast.h"

static const struct {
    const char *name, *help;
} stages[] = {
#define STAGE(name, help) {#name, help},
#define PASS(name, call, help) {#name, help},
#include "stages.def"
#undef STAGE
#undef PASS
};

const char *stage_name(StageId stage)
{
    return stages[stage].name;
}

const char *stage_help(StageId stage)
{
    return stages[stage].help;
}

bool stage_find(Str name, StageId *stage)
{
    for (size_t i = 0; i < STAGE_COUNT; i++) {
        if (str_is(name, stages[i].name)) {
            *stage = (StageId)i;
            return true;
        }
    }
    return false;
}

typedef struct Build {
    Compiler *c;
    const Recipe *recipe;
    const BuildOptions *options;
    BuildReport *report;
    HoneError *error;
    Planner planner;
    VEC(ProgramEntry) entries;
    size_t dumped;               /* bytes before the trial at work */
} Build;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void dump_title(Build *b, StageId stage, Str name)
{
    buf_printf(b->options->dumped, "# %s of " STR_FMT "\n", stages[stage].name, STR_ARG(name));
}

static void dump_graph(Build *b, StageId stage, Str name, const Graph *graph)
{
    if (b->options->dump == stage) {
        dump_title(b, stage, name);
        graph_dump(graph, b->options->dumped);
    }
}

/* E211 where an equation of the graph cannot be counted: before the passes one that the gradient made,
 * after them one that a rewrite made. */
static bool counted(Build *b, Str name, const Graph *graph)
{
    NodeId id = graph_uncounted(graph);
    if (id == NODE_NONE && !pool_overflowed(graph->pool)) {
        return true;
    }
    Span span = id != NODE_NONE ? graph_node(graph, id)->span : (Span){0};
    bool placed = span.file != 0;
    Diag *d = diag(&b->c->diags, E211, placed ? span : b->recipe->span,
                   "the graph `" STR_FMT "` has an equation that is too large", STR_ARG(name));
    diag_label(d, "%s", !placed               ? "somewhere in this recipe"
                        : id == NODE_NONE ? "its positions do not fit in 64 bits"
                                              : "this, or its gradient");
    diag_note(d, "elements times terms are at most 2^60, and positions are numbers of 64 bits");
    diag_help(d, "make the sizes that stand there, or `batch`, smaller");
    return false;
}

/* E211 where what the program takes is more than 64 bits count. */
static bool memory_counted(Build *b, const HoneProgram *program)
{
    static const char *const names[HONE_ARENAS] = {"parameters", "optimizer state", "the batch",
                                                   "activations", "constants"};
    Peak peak = program_peak(b->recipe, program, FIT_THREADS, FIT_WORKERS);
    if (peak.bytes != BYTES_UNCOUNTED) {
        return true;
    }
    Diag *d = diag(&b->c->diags, E211, b->recipe->span, "this takes more memory than can be counted");
    diag_label(d, "more than 2^64 bytes");
    for (int i = 0; i < HONE_ARENAS; i++) {
        if (program->arena_bytes[i] == BYTES_UNCOUNTED) {
            diag_note(d, "%s: more than 2^64 bytes", names[i]);
        } else if (program->arena_bytes[i] >> 50 > 0) {
            diag_note(d, "%s: %llu TiB", names[i], (unsigned long long)(program->arena_bytes[i] >> 40));
        }
    }
    if (peak.loading == BYTES_UNCOUNTED) {
        diag_note(d, "reading data: more than 2^64 bytes");
    }
    diag_help(d, "make the largest tensors, or `batch`, smaller");
    return false;
}

static bool verified(Build *b, StageId stage, Str name, const Graph *graph, Arena *scratch)
{
    const char *why = graph_verify(graph, scratch);
    if (why == NULL) {
        return true;
    }
    return hone_fail(b->error, HONE_INTERNAL, "E799", "%s left `" STR_FMT "` ill formed: %s",
                     stages[stage].name, STR_ARG(name), why);
}

/* The rows PASS of stages.def, in order. A graph owns what it is made of, so each has an arena that is
 * released once the next is made: `*holds` is that of the last one. */
static const Graph *run_passes(Build *b, Str name, const Graph *graph, Arena **holds)
{
    Mem *mem = arena_mem(b->c->arena);
    Moves without = b->options->without;
    *holds = arena_new(mem, "graph");
    dump_graph(b, STAGE_graph, name, graph);
    if (!verified(b, STAGE_graph, name, graph, *holds) || !counted(b, name, graph)) {
        return NULL;
    }
    double start = now();
#define STAGE(row, help)
#define PASS(row, call, help)                                                                      \
    {                                                                                              \
        Arena *arena = arena_new(mem, "graph");                                                    \
        const Graph *next = call;                                                                  \
        if (!verified(b, STAGE_##row, name, next, arena)) {                                        \
            return NULL;                                                                           \
        }                                                                                          \
        arena_free(next == graph ? arena : *holds);                                                \
        *holds = next == graph ? *holds : arena;                                                   \
        graph = next;                                                                              \
        dump_graph(b, STAGE_##row, name, graph);                                                   \
        b->report->seconds[STAGE_##row] += now() - start;                                          \
        start = now();                                                                             \
    }
#include "stages.def"
#undef STAGE
#undef PASS
    return counted(b, name, graph) ? graph : NULL;
}

static void dump_kernels(Build *b, const PlanEntry *entry)
{
    if (b->options->dump == STAGE_kernels) {
        dump_title(b, STAGE_kernels, entry->name);
        for (size_t i = 0; i < entry->n_kernels; i++) {
            kernel_dump(entry->graph, entry->kernels[i], b->options->dumped);
        }
    }
}

static bool kernels_verified(Build *b, const PlanEntry *entry, Arena *scratch)
{
    for (size_t i = 0; i < entry->n_kernels; i++) {
        const char *why = kernel_verify(entry->kernels[i], scratch);
        if (why != NULL) {
            return hone_fail(b->error, HONE_INTERNAL, "E799", "kernel `" STR_FMT "` is ill formed: %s",
                             STR_ARG(entry->kernels[i]->name), why);
        }
    }
    return true;
}

/* A graph that several stages share is compiled once. */
static bool add_graph(Build *b, Str name, const Graph *graph)
{
    if (graph == NULL) {
        return true;
    }
    for (size_t i = 0; i < b->entries.len; i++) {
        if (b->entries.at[i].graph == graph) {
            return true;
        }
    }
    Arena *holds;
    const Graph *again = recipe_again(b->c->arena, b->recipe, graph, b->report->fit.chosen);
    const Graph *clean = run_passes(b, name, again != NULL ? again : graph, &holds);
    if (clean == NULL) {
        return false;
    }
    double start = now();
    PlanEntry *plan = plan_entry(&b->planner, name, clean);
    b->report->seconds[STAGE_kernels] += now() - start;
    b->report->equations += clean->nodes.len;
    b->report->kernels += plan->n_kernels;
    dump_kernels(b, plan);
    bool good = kernels_verified(b, plan, holds);
    arena_free(holds);
    if (!good) {
        return false;
    }
    VEC_PUSH(b->c->arena, b->entries, ((ProgramEntry){.graph = graph, .plan = plan}));
    return true;
}

static bool add_shorter(Build *b, const RecipeStage *stage)
{
    Arena *arena = b->c->arena;
    const int64_t *lengths = b->recipe->data.at[stage->data].lengths;
    bool ok = true;
    for (size_t i = 0; ok && i < stage->shorter.len; i++) {
        const RecipeLength *shorter = &stage->shorter.at[i];
        Str name = str_format(arena, STR_FMT ".%lld", STR_ARG(stage->name), (long long)lengths[i]);
        ok = add_graph(b, str_join(arena, STR("train"), ".", name), shorter->train) &&
             add_graph(b, str_join(arena, STR("count"), ".", name), shorter->count) &&
             add_graph(b, str_join(arena, STR("update"), ".", name), shorter->update) &&
             add_graph(b, str_join(arena, STR("eval"), ".", name), shorter->eval) &&
             add_graph(b, str_join(arena, STR("eval-one"), ".", name), shorter->eval_one);
    }
    return ok;
}

static bool add_remember(Build *b, const RecipeRemember *of)
{
    Arena *arena = b->c->arena;
    const HoneData *data = &b->recipe->data.at[of->data];
    Str name = str_of(data->name);
    bool ok = add_graph(b, str_join(arena, STR("remember"), ".", name), of->eval) &&
              add_graph(b, str_join(arena, STR("remember-one"), ".", name), of->eval_one);
    for (size_t i = 0; ok && i < of->shorter.len; i++) {
        const RecipeLength *shorter = &of->shorter.at[i];
        Str at = str_format(arena, "%s.%lld", data->name, (long long)data->lengths[i]);
        ok = add_graph(b, str_join(arena, STR("remember"), ".", at), shorter->eval) &&
             add_graph(b, str_join(arena, STR("remember-one"), ".", at), shorter->eval_one);
    }
    return ok;
}

static bool add_stage(Build *b, const RecipeStage *stage)
{
    Arena *arena = b->c->arena;
    Str name = stage->name;
    return add_graph(b, str_join(arena, STR("train"), ".", name), stage->train) &&
           add_graph(b, str_join(arena, STR("count"), ".", name), stage->count) &&
           add_graph(b, str_join(arena, STR("update"), ".", name), stage->update) &&
           add_graph(b, str_join(arena, STR("eval"), ".", name), stage->eval) &&
           add_graph(b, str_join(arena, STR("eval-one"), ".", name), stage->eval_one) &&
           add_graph(b, str_join(arena, STR("metrics"), ".", name), stage->metrics) &&
           add_shorter(b, stage);
}

static void describe_tensors(Build *b)
{
    const Model *model = b->recipe->model;
    size_t n = model->variables.len + b->recipe->states.len;
    PlanTensor *tensors = NEW_ARRAY(b->c->arena, PlanTensor, n);
    for (size_t i = 0; i < model->variables.len; i++) {
        const Variable *v = model->variables.at[i];
        tensors[i] = (PlanTensor){
            .dtype = v->dtype, .rank = v->rank, .dims = v->dims, .arena = HONE_ARENA_PARAMS};
    }
    for (size_t i = 0; i < b->recipe->states.len; i++) {
        const RecipeState *s = &b->recipe->states.at[i];
        tensors[model->variables.len + i] = (PlanTensor){
            .dtype = s->dtype, .rank = s->rank, .dims = s->dims, .arena = HONE_ARENA_STATE};
    }
    b->planner = (Planner){
        .arena = b->c->arena,
        .target = b->options->target,
        .without = b->options->without,
        .n_tensors = n,
        .tensors = tensors,
        .constants = buf_new(b->c->arena),
    };
}

static void place_entries(Build *b)
{
    double start = now();
    PlanEntry **plans = NEW_ARRAY(b->c->arena, PlanEntry *, b->entries.len);
    for (size_t i = 0; i < b->entries.len; i++) {
        plans[i] = b->entries.at[i].plan;
    }
    plan_place_tensors(&b->planner, b->entries.len, plans);
    b->report->seconds[STAGE_plan] += now() - start;
    if (b->options->dump == STAGE_plan) {
        for (size_t i = 0; i < b->entries.len; i++) {
            dump_title(b, STAGE_plan, plans[i]->name);
            plan_dump(&b->planner, plans[i], b->options->dumped);
        }
    }
}

/* All kernels of all entries, in order: the order of program_bind. */
static Code *compile(Build *b)
{
    Arena *arena = b->c->arena;
    const Graph **graphs = NEW_ARRAY(arena, const Graph *, b->report->kernels + 1);
    const Kernel **kernels = NEW_ARRAY(arena, const Kernel *, b->report->kernels + 1);
    size_t n = 0;
    for (size_t i = 0; i < b->entries.len; i++) {
        const PlanEntry *plan = b->entries.at[i].plan;
        for (size_t k = 0; k < plan->n_kernels; k++) {
            graphs[n] = plan->graph;
            kernels[n++] = plan->kernels[k];
        }
    }
    EmitOptions emit = {.target = b->options->target,
                        .threads = b->options->threads,
                        .cache = b->options->cache,
                        .debug = b->options->debug};
    for (size_t k = 0; k < n && b->options->dump == STAGE_llvm; k++) {
        emit_ir(graphs[k], kernels[k], &emit, b->options->dumped);
    }
    for (size_t k = 0; k < n && b->options->dump == STAGE_asm; k++) {
        emit_asm(graphs[k], kernels[k], &emit, b->options->dumped);
    }
    const char *why = NULL;
    double start = now();
    Arena *kept = b->options->kept != NULL ? b->options->kept : arena;
    Code *code = code_compile(kept, graphs, kernels, n, &emit, &why);
    b->report->seconds[STAGE_llvm] += now() - start;
    if (code == NULL) {
        hone_fail(b->error, HONE_INTERNAL, "E799", "code generation failed: %s", why);
        return NULL;
    }
    b->report->distinct = code_distinct(code);
    b->report->code_bytes = code_bytes(code);
    b->report->modules = code_modules(code);
    b->report->cached = code_cached(code);
    return code;
}

/* Every graph planned, as the trial wants it; nothing is left of the one before. */
static bool plan(Build *b, HoneProgram *program)
{
    const Recipe *recipe = b->recipe;
    *b->report = (BuildReport){.fit = b->report->fit};
    memset(&b->entries, 0, sizeof b->entries);
    if (b->options->dumped != NULL) {
        b->options->dumped->len = b->dumped;
    }
    describe_tensors(b);
    for (size_t i = 0; i < recipe->stages.len; i++) {
        if (!add_stage(b, &recipe->stages.at[i])) {
            return false;
        }
    }
    for (size_t i = 0; i < recipe->remembers.len; i++) {
        if (!add_remember(b, &recipe->remembers.at[i])) {
            return false;
        }
    }
    if (!add_graph(b, STR("start"), recipe->start) ||
        !add_graph(b, STR("predict"), recipe->predict) ||
        !add_graph(b, STR("merge"), recipe->merge)) {
        return false;
    }
    place_entries(b);
    b->report->entries = b->entries.at;
    program_fill(b->c, recipe, &b->planner, b->entries.len, b->entries.at, program);
    return memory_counted(b, program);
}

bool build_recipe(Compiler *c, const Recipe *recipe, const BuildOptions *options,
                  HoneProgram *program, BuildReport *report, HoneError *error)
{
    *report = (BuildReport){0};
    Build b = {
        .c = c, .recipe = recipe, .options = options, .report = report, .error = error};
    if (options->dump == STAGE_recipe) {
        dump_title(&b, STAGE_recipe, recipe->name);
        recipe_dump(recipe, options->dumped);
    }
    b.dumped = options->dumped != NULL ? options->dumped->len : 0;
    fit_begin(c->arena, recipe, &report->fit);
    bool ok = plan(&b, program), more = ok && fit_next(c->arena, &report->fit, program);
    while (more) {
        Arena *kept = c->arena;
        c->arena = arena_new(c->mem, "trial");
        ok = plan(&b, program);
        more = ok && fit_next(kept, &report->fit, program);
        arena_free(c->arena);
        c->arena = kept;
    }
    ok = ok && (report->fit.tried == 0 || plan(&b, program));
    if (!ok) {
        return false;
    }
    if (options->code && report->fit.fits) {
        Code *code = compile(&b);
        if (code == NULL) {
            return false;
        }
        program_bind(program, code);
    }
    return true;
}
