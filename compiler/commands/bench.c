/* hone bench: a recipe's training step on made-up values, without data and weights: forward, backward
 * and update apart, beside what this machine can do at most, measured in the same run. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "commands/bench.h"

/* --- whole numbers of a batch ------------------------------------------------------------------- */
/* The input whose elements the position is, or NODE_NONE. */
static NodeId subscript_input(const Graph *graph, const Position *p)
{
    if (!p->has_data || p->n != 1 || p->constant != 0 || p->terms[0].coef != 1 ||
        p->terms[0].atom->kind != ATOM_DATA) {
        return NODE_NONE;
    }
    const Scalar *data = p->terms[0].atom->data;
    while (data->kind == SCALAR_FN && data->n == 1) {
        data = data->args[0];                        /* a conversion */
    }
    bool input = data->kind == SCALAR_READ && graph_node(graph, data->tensor)->kind == NODE_INPUT;
    return input ? data->tensor : NODE_NONE;
}

static void note_read(const Graph *graph, const Scalar *read, int64_t *below)
{
    const Node *tensor = graph_node(graph, read->tensor);
    for (size_t d = 0; d < read->n && d < tensor->rank; d++) {
        NodeId input = subscript_input(graph, read->at[d]);
        if (input != NODE_NONE && (below[input] == 0 || tensor->dims[d] < below[input])) {
            below[input] = tensor->dims[d];
        }
    }
}

int64_t *bench_below(const Session *s, const Graph *graph, const HoneEntry *entry)
{
    Arena *arena = s->arena;
    int64_t *nodes = NEW_ARRAY(arena, int64_t, graph->nodes.len + 1);
    int64_t *below = NEW_ARRAY(s->kept, int64_t, entry->n_fields + 1);
    for (NodeId id = 0; id < graph->nodes.len; id++) {
        const Node *node = graph_node(graph, id);
        for (size_t p = 0; p < node->n_pieces; p++) {
            ScalarList list = piece_list(arena, &node->pieces[p], node->rank);
            for (size_t i = 0; i < list.n; i++) {
                if (list.at[i]->kind == SCALAR_READ) {
                    note_read(graph, list.at[i], nodes);
                }
            }
        }
    }
    for (uint32_t f = 0; f < entry->n_fields; f++) {
        for (NodeId id = 0; id < graph->nodes.len; id++) {
            const Node *node = graph_node(graph, id);
            if (node->kind == NODE_INPUT && str_is(node->name, entry->fields[f].name)) {
                below[f] = nodes[id];
            }
        }
        below[f] = below[f] > 0 ? below[f] : 1000;    /* not known: many, of which none may fit */
    }
    return below;
}

/* --- measuring ---------------------------------------------------------------------------------- */
static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double bench_median(size_t n, double *seconds)
{
    qsort(seconds, n, sizeof *seconds, ascending);
    return n % 2 ? seconds[n / 2] : (seconds[n / 2 - 1] + seconds[n / 2]) / 2;
}

static int64_t choose_passes(double expected)
{
    double wanted = 3 / fmax(expected, 1e-6);
    return wanted < 5 ? 5 : wanted > 200 ? 200 : (int64_t)wanted;
}

bool bench_entry(const Session *s, const HoneProgram *program, uint32_t index, int64_t *below,
                 double expected, int64_t passes, Measured *measured, HoneError *error)
{
    const HoneEntry *entry = &program->entries[index];
    size_t first = 0, calls = 0;
    for (uint32_t e = 0; e < program->n_entries; e++) {
        first += e < index ? program->entries[e].n_calls : 0;
        calls += program->entries[e].n_calls;
    }
    HoneTimes times = {.passes = NEW_ARRAY(s->arena, int64_t, program->n_entries + 1),
                       .seconds = NEW_ARRAY(s->arena, double, calls + 1)};
    HoneRunOptions options = session_options(s);
    options.times = &times;
    passes = passes > 0 ? passes : choose_passes(expected);
    HoneMeasure m = {.entry = index, .warm = passes < 10 ? 2 : 10, .passes = passes, .below = below,
                     .seconds = NEW_ARRAY(s->arena, double, (size_t)passes)};
    bool ok = hone_measure(program, &options, &m, error);
    if (!ok && strcmp(error->code, "E709") == 0) {   /* a subscript made of them left its tensor */
        memset(below, 0, entry->n_fields * sizeof *below);
        *error = (HoneError){0};
        ok = hone_measure(program, &options, &m, error);
    }
    if (!ok) {
        return false;
    }
    double all = 0, median = bench_median((size_t)passes, m.seconds);
    for (int64_t i = 0; i < passes; i++) {
        all += m.seconds[i];
    }
    for (uint32_t k = 0; k < entry->n_calls; k++) {
        times.seconds[first + k] *= median / all;     /* their shares of a median pass */
    }
    *measured = (Measured){.step = median, .passes = passes,
                           .calls = times.seconds + first, .planned_bytes = m.planned_bytes,
                           .base_bytes = m.base_rss, .peak_bytes = m.peak_rss};
    return true;
}

/* --- the report --------------------------------------------------------------------------------- */
typedef struct Part {
    Cost cost;
    double seconds;
} Part;

static void part_row(Arena *arena, Table *table, const char *name, const Part *part)
{
    table_cell(table, "%s", name);
    table_cell(table, "%zu", part->cost.kernels);
    table_cell(table, STR_FMT, STR_ARG(seconds_text(arena, part->seconds)));
    table_cell(table, STR_FMT, STR_ARG(flops_text(arena, part->cost.flops)));
    table_cell(table, STR_FMT, STR_ARG(moved_text(arena, part->cost.bytes)));
    table_cell(table, "%.1f", part->cost.flops / part->seconds / 1e9);
    table_cell(table, "%.1f", part->cost.bytes / part->seconds / 1e9);
    table_cell(table, STR_FMT, STR_ARG(seconds_text(arena, part->cost.limit)));
    table_cell(table, "%.0f %%", 100 * part->cost.limit / part->seconds);
    table_cell(table, STR_FMT, STR_ARG(seconds_text(arena, part->cost.predicted)));
}

static void json_part(Buf *out, const char *name, const Part *part)
{
    buf_printf(out, ", \"%s\": {\"seconds\": ", name);
    json_number(out, part->seconds);
    buf_add(out, STR(", \"flops\": "));
    json_number(out, part->cost.flops);
    buf_add(out, STR(", \"bytes\": "));
    json_number(out, part->cost.bytes);
    buf_add(out, STR(", \"limit\": "));
    json_number(out, part->cost.limit);
    buf_add(out, STR(", \"expected\": "));
    json_number(out, part->cost.predicted);
    buf_printf(out, ", \"kernels\": %zu}", part->cost.kernels);
}

/* What a report needs after the recipe is forgotten: an entry of a step, and how often a step runs it. */
typedef struct StepEntry {
    uint32_t entry;
    int64_t times;
    size_t n;                    /* kernels */
    KernelCost *costs;
    int64_t *below;
} StepEntry;

enum { STEP_ENTRIES = 3 };       /* train, and where an update has parts count and update */

typedef struct Bench {
    Str name;
    int64_t accumulate;
    size_t n;
    StepEntry entries[STEP_ENTRIES];
} Bench;

static void print_json(const Session *s, const Bench *b, const Limits *limits, const Measured *m,
                       const Part parts[PHASES + 1], Buf *out)
{
    buf_add(out, STR("{\"entry\": "));
    json_string(out, b->name);
    buf_printf(out, ", \"target\": \"%s\", \"threads\": %d, \"steps\": %lld, \"accumulate\": %lld, "
                    "\"flops_per_s\": %.6g, \"bytes_per_s\": %.6g", session_target(s)->name,
               limits->threads, (long long)m->passes, (long long)b->accumulate, limits->flops,
               limits->memory);
    for (int i = 0; i < PHASES; i++) {
        json_part(out, phase_name((Phase)i), &parts[i]);
    }
    json_part(out, "step", &parts[PHASES]);
    buf_printf(out, ", \"planned_bytes\": %llu, \"base_bytes\": %llu, \"peak_bytes\": %llu}\n",
               (unsigned long long)m->planned_bytes, (unsigned long long)m->base_bytes,
               (unsigned long long)m->peak_bytes);
}

static void print_text(const Session *s, const Bench *b, const Measured *m,
                       const Part parts[PHASES + 1], Buf *out)
{
    static const char *const names[] = {"part",    ">kernels", ">time",  ">FLOPs",  ">bytes",
                                        ">GFLOP/s", ">GB/s",   ">limit", ">of the limit",
                                        ">expected"};
    Table *table = table_new(s->arena, 10, names);
    buf_printf(out, "\n" STR_FMT ": median of %lld steps", STR_ARG(b->name), (long long)m->passes);
    if (b->accumulate > 1) {
        buf_printf(out, ", each of %lld parts", (long long)b->accumulate);
    }
    buf_char(out, '\n');
    for (int i = 0; i < PHASES; i++) {
        if (parts[i].cost.kernels > 0) {
            part_row(s->arena, table, phase_name((Phase)i), &parts[i]);
        }
    }
    part_row(s->arena, table, "step", &parts[PHASES]);
    table_print(table, "  ", out);
    if (parts[PHASE_UPDATE].cost.kernels == 0) {
        buf_add(out, STR("  every update is computed where its gradient is\n"));
    }
    uint64_t own = m->peak_bytes > m->base_bytes ? m->peak_bytes - m->base_bytes : 0;
    buf_printf(out, "  memory: planned " STR_FMT ", measured " STR_FMT " beside " STR_FMT
                    " of this program itself\n",
               STR_ARG(bytes_text(s->arena, m->planned_bytes)), STR_ARG(bytes_text(s->arena, own)),
               STR_ARG(bytes_text(s->arena, m->base_bytes)));
}

/* Adds an entry, as often as a step runs it, to what a step takes. */
static bool measure_entry(const Session *s, const HoneProgram *program, const StepEntry *e,
                          const Limits *limits, Part parts[PHASES + 1], Measured *m,
                          HoneError *error)
{
    Measured own;
    double expected = 0;
    cost_times(session_target(s), limits, e->n, e->costs);
    for (size_t k = 0; k < e->n; k++) {
        expected += e->costs[k].predicted;
    }
    if (!bench_entry(s, program, e->entry, e->below, expected, s->line->steps, &own, error)) {
        return false;
    }
    for (size_t k = 0; k < e->n; k++) {
        parts[e->costs[k].phase].seconds += (double)e->times * own.calls[k];
    }
    parts[PHASES].seconds += (double)e->times * own.step;
    if (m->passes == 0) {
        *m = own;
    } else if (own.peak_bytes > m->peak_bytes) {
        m->peak_bytes = own.peak_bytes;
    }
    return true;
}

static void add_costs(const Target *target, const StepEntry *e, const Limits *limits,
                      Part parts[PHASES + 1])
{
    cost_times(target, limits, e->n, e->costs);
    for (size_t k = 0; k < e->n; k++) {
        cost_add(&parts[e->costs[k].phase].cost, &e->costs[k], e->times);
        cost_add(&parts[PHASES].cost, &e->costs[k], e->times);
    }
}

static bool bench_stage(const Session *s, const HoneProgram *program, const Bench *b, Buf *out,
                        HoneError *error)
{
    const Target *target = session_target(s);
    Limits limits;
    Measured m = {0};
    Part parts[PHASES + 1] = {0};
    bool ok = limits_measure(s, target, &limits, error);
    for (size_t i = 0; ok && i < b->n; i++) {
        ok = measure_entry(s, program, &b->entries[i], &limits, parts, &m, error);
    }
    if (!ok || !limits_again(s, target, &limits, error)) {
        return false;
    }
    for (size_t i = 0; i < b->n; i++) {
        add_costs(target, &b->entries[i], &limits, parts);
    }
    if (s->line->json) {
        print_json(s, b, &limits, &m, parts, out);
    } else {
        buf_printf(out, "%s%s on " STR_FMT "\n", out->len > 0 ? "\n" : "", program->name,
                   STR_ARG(machine_text(s->arena, s->sys, target, &limits)));
        print_text(s, b, &m, parts, out);
    }
    return true;
}

static StepEntry step_entry(const Session *s, const Recipe *recipe, const HoneProgram *program,
                            const BuildReport *report, uint32_t entry, int64_t times)
{
    const PlanEntry *plan = report->entries[entry].plan;
    KernelCost *costs = cost_kernels(s, recipe, &report->entries[entry]);
    StepEntry e = {.entry = entry,
                   .times = times,
                   .n = plan->n_kernels,
                   .costs = arena_copy(s->kept, costs, plan->n_kernels * sizeof *costs),
                   .below = bench_below(s, report->entries[entry].graph, &program->entries[entry])};
    for (size_t k = 0; k < e.n; k++) {
        e.costs[k].kernel = NULL;                    /* forgotten */
        e.costs[k].tile = e.costs[k].where = STR("");
    }
    return e;
}

static Bench bench_of(const Session *s, const Recipe *recipe, const HoneProgram *program,
                      const BuildReport *report, const HoneStage *stage)
{
    Bench b = {.name = str_copy(s->kept, report->entries[stage->train].plan->name),
               .accumulate = stage->accumulate};
    const uint32_t entries[STEP_ENTRIES] = {stage->train, stage->count, stage->update};
    for (size_t i = 0; i < STEP_ENTRIES; i++) {
        int64_t times = entries[i] == stage->update ? 1 : stage->accumulate;
        if (entries[i] != HONE_NONE) {
            b.entries[b.n++] = step_entry(s, recipe, program, report, entries[i], times);
        }
    }
    return b;
}

static int bench_recipe(Session *s, const Ast *finetune)
{
    Recipe *recipe = session_recipe(s, finetune, &(RecipeOptions){.without_files = true});
    if (recipe == NULL) {
        return diags_exit(&s->c.diags);
    }
    int exit = HONE_OK;
    BuildReport report;
    HoneProgram *program = session_steps(s, recipe, true, &report, &exit);
    if (program == NULL) {
        return exit;
    }
    VEC(Bench) benches = {0};
    for (uint32_t i = 0; i < program->n_stages; i++) {
        const HoneStage *stage = &program->stages[i];
        bool again = false;                           /* stages may share their step */
        for (size_t k = 0; k < benches.len; k++) {
            again = again || benches.at[k].entries[0].entry == stage->train;
        }
        if (!again) {
            VEC_PUSH(s->kept, benches, bench_of(s, recipe, program, &report, stage));
        }
    }
    program = session_forget(s, program);
    Buf out = buf_new(s->arena);
    HoneError error = {0};
    for (size_t i = 0; i < benches.len; i++) {
        if (!bench_stage(s, program, &benches.at[i], &out, &error)) {
            return session_error(s, &error);
        }
    }
    return out_finish(s->sys, &out, HONE_OK);
}

int command_bench(HoneSys *sys, Mem *mem, const CommandLine *line)
{
    if (line->update.len > 0 || line->shapes.len > 0) {
        return bench_update(sys, mem, line);
    }
    Session s;
    int exit = HONE_OK;
    if (session_begin(&s, sys, mem, line, &exit) == NULL) {
        return exit;
    }
    size_t n = s.finetunes.len;
    for (size_t i = 0; i < n && exit == HONE_OK; i++) {
        if (i > 0 && !session_open(&s, sys, mem, line, &exit)) {
            return exit;                             /* the one before forgot the recipe */
        }
        exit = bench_recipe(&s, s.finetunes.at[i]);
    }
    return exit;
}
