/* cost: FLOPs, bytes, what bounds a kernel, what it should take and which equations it computes. The limit is FLOPs at the measured peak plus bytes at the measured rate
 * of memory (of the cache, or none, where all of an entry stays there), nothing overlapping; the prediction takes the share of the peak that each kind of kernel
 * reaches, and the rate of the cache for what stays there. */
#include "commands/cost.h"

#include <math.h>
#include <string.h>

typedef struct Look {
    const Session *s;
    const PlanEntry *plan;
} Look;

/* --- words ------------------------------------------------------------------------------------ */
/* d_layer1.0.conv2.weight, as all its like: d_weight. */
static void add_name(Str name, Buf *out)
{
    Str last = name;
    for (size_t i = 0; i + 1 < name.len; i++) {
        if (name.ptr[i] == '.' && !str_ends(last, STR(".part")) && !str_ends(last, STR(".copy"))) {
            last = (Str){name.ptr + i + 1, name.len - i - 1};
        }
    }
    buf_printf(out, "%s" STR_FMT, last.len < name.len && str_starts(name, STR("d_")) ? "d_" : "",
               STR_ARG(last));
}

static void add_place(const Look *look, const Node *node, Buf *out)
{
    const Source *source = sources_file(&look->s->c.sources, node->span.file);
    Place place = source_place(source, node->span.start);
    Str path = source->path;
    for (size_t i = 0; i + 1 < path.len; i++) {
        if (path.ptr[i] == '/') {
            path = (Str){path.ptr + i + 1, path.len - i - 1};
            i = (size_t)-1;
        }
    }
    buf_printf(out, STR_FMT ":%u ", STR_ARG(path), place.line);
    add_name(node->name, out);
}

/* " if t % every == 1": what the kernel waits for, as it is written. */
static void add_conditions(const Look *look, const Demand *demand, Buf *out)
{
    for (uint32_t i = 0; i < demand->n; i++) {
        Span span = graph_node(look->plan->graph, demand->literals[i].decision)->span;
        const char *word = demand->literals[i].holds ? "if" : "unless";
        if (span.file == 0) {
            buf_printf(out, " %s a condition of the step holds", word);
            continue;
        }
        Str text = sources_file(&look->s->c.sources, span.file)->text;
        buf_printf(out, " %s " STR_FMT, word,
                   STR_ARG(((Str){text.ptr + span.start, span.end - span.start})));
    }
}

/* The equations of what is written, each once: the first two, and how many more there are. */
static Str where_of(const Look *look, const Kernel *kernel, const Demand *demand)
{
    enum { SHOWN = 2 };
    Arena *arena = look->s->arena;
    Buf out = buf_new(arena);
    Map seen = map_new(arena);
    for (size_t i = 0; i < kernel->n_buffers; i++) {
        if (!kernel->buffers[i].written || buffer_is_pack(look->plan, &kernel->buffers[i])) {
            continue;
        }
        const Node *node = graph_node(look->plan->graph, kernel->buffers[i].tensor);
        if (node->span.file == 0) {
            continue;
        }
        Buf place = buf_new(arena);
        add_place(look, node, &place);
        if (map_has(&seen, buf_str(&place))) {
            continue;
        }
        map_set(&seen, buf_str(&place), (void *)1);
        if (seen.len <= SHOWN) {
            buf_printf(&out, "%s" STR_FMT, seen.len > 1 ? ", " : "", STR_ARG(buf_str(&place)));
        }
    }
    if (seen.len > SHOWN) {
        buf_printf(&out, " +%zu", seen.len - SHOWN);
    }
    add_conditions(look, demand, &out);
    return buf_str(&out);
}

static const Nest *main_nest(const Kernel *kernel)
{
    const Nest *main = &kernel->nests[0];
    double most = -1;
    for (size_t i = 0; i < kernel->n_nests; i++) {
        double points = 1;
        for (size_t k = 0; k < kernel->nests[i].n_loops; k++) {
            points *= (double)kernel->nests[i].loops[k].var->extent;
        }
        if (points > most) {
            most = points;
            main = &kernel->nests[i];
        }
    }
    return main;
}

/* "6x32 of 8x56x56x64 sum 576": the register tile, the extents of the left side, the terms. */
static Str tile_of(const Look *look, const Target *target, const Kernel *kernel)
{
    if (kernel->kind == KERNEL_CALL) {
        return str_format(look->s->arena, "%lldx%lld", (long long)kernel->buffers[0].dims[0],
                          (long long)kernel->buffers[0].dims[1]);
    }
    const Nest *nest = main_nest(kernel);
    Buf out = buf_new(look->s->arena);
    int64_t rows = 1, columns = 1;
    double terms = 1;
    for (size_t i = 0; i < nest->n_loops; i++) {
        const KLoop *loop = &nest->loops[i];
        terms *= loop->reduced ? (double)loop->var->extent : 1;
        rows *= loop->kind == KLOOP_UNROLL ? loop->tile : 1;
        columns *= loop->kind == KLOOP_LANES ? loop->tile * target->lanes : 1;
    }
    if (columns > 1 || rows > 1) {
        buf_printf(&out, "%lldx%lld of ", (long long)rows, (long long)columns);
    }
    bool first = true;
    for (size_t i = 0; i < nest->n_loops; i++) {
        if (!nest->loops[i].reduced) {
            buf_printf(&out, "%s%lld", first ? "" : "x", (long long)nest->loops[i].var->extent);
            first = false;
        }
    }
    buf_printf(&out, first ? "1" : "");
    if (terms > 1) {
        buf_printf(&out, " sum %.0f", terms);
    }
    return buf_str(&out);
}

/* --- times ------------------------------------------------------------------------------------ */
/* The share of the multiply-add peak that a kind of kernel reaches. What is not a contraction counts
 * instructions, of which a core starts half as many as multiply-adds have operations. */
static double share_of(KernelKind kind)
{
    switch (kind) {
    case KERNEL_CONTRACT:
        return 0.85;
    case KERNEL_MAP:
    case KERNEL_TRANSFER:
    case KERNEL_ROWWISE:
    case KERNEL_STATISTIC:
        return 0.5;
    case KERNEL_GATHER:
    case KERNEL_SCATTER:
    case KERNEL_CALL:
        break;
    }
    return 0.05;
}

/* Bytes that a pass touches: what lives between steps, the batch, and what the pass computes. */
static double working_set(const PlanEntry *plan)
{
    double bytes = (double)plan->activation_bytes;
    for (NodeId id = 0; id < plan->graph->nodes.len; id++) {
        const Node *node = graph_node(plan->graph, id);
        if (node->kind == NODE_PARAM || node->kind == NODE_STATE || node->kind == NODE_INPUT) {
            bytes += (double)node_elements(node) * (double)dtype_bytes(node->dtype);
        }
    }
    return bytes;
}

static const double cached = 4 << 20;      /* bytes that are likely to be in a cache still */

/* home: bytes a second from where an entry's data lie. */
static void predict(KernelCost *cost, const Limits *limits, double home)
{
    int64_t chunks = cost->chunks;
    double rounds = ceil((double)chunks / limits->threads) * limits->threads / (double)chunks;
    bool alone = chunks == 1 || limits->threads == 1, near = cost->bytes <= cached;
    double peak = alone ? limits->flops_one : limits->flops / rounds;
    double rate = alone ? (near ? limits->cache_one : limits->memory_one)
                        : (near ? limits->cache : limits->memory);
    double start = alone ? limits->call : limits->share;
    double compute = cost->flops / limits->flops, memory = cost->bytes / home;
    cost->limit = compute + memory;
    cost->predicted = start + cost->flops / (share_of(cost->kind) * peak) +
                      cost->bytes / rate;
    cost->bound = cost->limit < start ? "call" : compute > memory ? "compute" : "memory";
}

KernelCost *cost_kernels(const Session *s, const Recipe *recipe, const ProgramEntry *entry)
{
    const PlanEntry *plan = entry->plan;
    Look look = {.s = s, .plan = plan};
    const Phase *phases = entry_phases(s, recipe, entry);
    KernelCost *costs = NEW_ARRAY(s->arena, KernelCost, plan->n_kernels + 1);
    const Target *target = session_target(s);
    double set = working_set(plan);
    for (size_t k = 0; k < plan->n_kernels; k++) {
        const Kernel *kernel = plan->kernels[k];
        costs[k] = (KernelCost){.kernel = kernel,
                                .kind = kernel->kind,
                                .chunks = kernel_chunks(kernel),
                                .set = set,
                                .phase = phases[k],
                                .flops = kernel->flops,
                                .bytes = kernel->bytes,
                                .bound = "",
                                .tile = tile_of(&look, target, kernel),
                                .where = where_of(&look, kernel, &plan->demands[k])};
    }
    return costs;
}

void cost_times(const Target *target, const Limits *limits, size_t n, KernelCost *costs)
{
    for (size_t k = 0; k < n; k++) {
        double set = costs[k].set, home = INFINITY;
        if (set > (double)target->l2_bytes) {
            home = set <= cached ? limits->cache : limits->memory;
        }
        predict(&costs[k], limits, home);
    }
}

void cost_add(Cost *sum, const KernelCost *one, int64_t times)
{
    double n = (double)times;
    sum->flops += n * one->flops;
    sum->bytes += n * one->bytes;
    sum->limit += n * one->limit;
    sum->predicted += n * one->predicted;
    sum->kernels += (size_t)times;
}

/* --- numbers ---------------------------------------------------------------------------------- */
static Str scaled(Arena *arena, double value, size_t n, const char *const *units)
{
    size_t unit = 0;
    while (unit + 1 < n && value >= 999.5) {
        value /= 1000;
        unit++;
    }
    int digits = value >= 99.5 || value == 0 ? 0 : value >= 9.95 ? 1 : 2;
    return str_format(arena, "%.*f %s", digits, value, units[unit]);
}

Str flops_text(Arena *arena, double flops)
{
    static const char *const units[] = {"FLOP", "kFLOP", "MFLOP", "GFLOP", "TFLOP"};
    return scaled(arena, flops, 5, units);
}

Str moved_text(Arena *arena, double bytes)
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
    return scaled(arena, bytes, 5, units);
}

Str seconds_text(Arena *arena, double seconds)
{
    static const char *const units[] = {"us", "ms", "s"};
    return scaled(arena, 1e6 * seconds, 3, units);
}

Str machine_text(Arena *arena, HoneSys *sys, const Target *target, const Limits *limits)
{
    char text[4096];
    const char *name = "";
    if (hone_read_some(sys, "/proc/cpuinfo", text, sizeof text)) {
        char *at = strstr(text, "model name");
        at = at == NULL ? NULL : strchr(at, ':');
        if (at != NULL) {
            at[strcspn(at, "\n")] = '\0';
            name = at + 2;
        }
    }
    return str_format(arena, "%s%s%s, %d thread%s: " STR_FMT "/s, " STR_FMT "/s", name,
                      name[0] != '\0' ? ", " : "", target->name, limits->threads,
                      limits->threads == 1 ? "" : "s", STR_ARG(flops_text(arena, limits->flops)),
                      STR_ARG(moved_text(arena, limits->memory)));
}
