/* kernels: compiled equations in guarded memory. */
#define _GNU_SOURCE
#include "support/kernels.h"

#include <hone/hone.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { PAGE = 4096, FRONT = 64 };
static const unsigned char untouched = 0xA5;

/* --- numbers ---------------------------------------------------------------------------------- */
static float from_half(uint16_t h)
{
    int exponent = h >> 10 & 31;
    double mantissa = h & 1023, v;
    if (exponent == 31)
        v = mantissa != 0 ? NAN : INFINITY;
    else
        v = exponent == 0 ? ldexp(mantissa, -24) : ldexp(1024 + mantissa, exponent - 25);
    return (float)(h >> 15 ? -v : v);
}

/* The float is a multiple of 2^-24 after rounding to 11 bits, or less where halves are subnormal.
 */
static uint16_t to_half(double v)
{
    uint16_t sign = signbit(v) ? 0x8000 : 0;
    double a = fabs(v);
    if (isnan(v))
        return 0x7e00;
    if (a >= 65520)
        return sign | 0x7c00;
    int exponent = a < 0x1p-14 ? -14 : ilogb(a);
    double units = nearbyint(ldexp(a, 10 - exponent)); /* 1024 .. 2048, or fewer */
    return (uint16_t)(sign + ((exponent + 14) << 10) + (int)units);
}

double value_get(DType dtype, const void *memory, size_t i)
{
    switch (dtype) {
    case DT_BOOL:
        return ((const uint8_t *)memory)[i];
    case DT_U8:
        return ((const uint8_t *)memory)[i];
    case DT_I8:
        return ((const int8_t *)memory)[i];
    case DT_I32:
        return ((const int32_t *)memory)[i];
    case DT_I64:
        return (double)((const int64_t *)memory)[i];
    case DT_F16:
        return (double)from_half(((const uint16_t *)memory)[i]);
    case DT_F32:
        return (double)((const float *)memory)[i];
    case DT_F64:
        return ((const double *)memory)[i];
    case DT_BF16: {
        uint32_t bits = (uint32_t)((const uint16_t *)memory)[i] << 16;
        float v;
        memcpy(&v, &bits, sizeof v);
        return (double)v;
    }
    case DT_COUNT:
        break;
    }
    return NAN;
}

void value_set(DType dtype, void *memory, size_t i, double value)
{
    switch (dtype) {
    case DT_BOOL:
        ((uint8_t *)memory)[i] = value != 0;
        break;
    case DT_U8:
        ((uint8_t *)memory)[i] = (uint8_t)value;
        break;
    case DT_I8:
        ((int8_t *)memory)[i] = (int8_t)value;
        break;
    case DT_I32:
        ((int32_t *)memory)[i] = (int32_t)value;
        break;
    case DT_I64:
        ((int64_t *)memory)[i] = value >= 0x1p63 ? INT64_MAX : (int64_t)value;
        break;
    case DT_F16:
        ((uint16_t *)memory)[i] = to_half(value);
        break;
    case DT_F32:
        ((float *)memory)[i] = (float)value;
        break;
    case DT_F64:
        ((double *)memory)[i] = value;
        break;
    case DT_BF16: {
        float v = (float)value;
        uint32_t bits;
        memcpy(&bits, &v, sizeof bits);
        bits += 0x7fff + (bits >> 16 & 1);
        ((uint16_t *)memory)[i] = (uint16_t)(bits >> 16);
        break;
    }
    case DT_COUNT:
        break;
    }
}

/* --- memory: the last byte before a page that may not be touched ------------------------------ */
static uint64_t node_bytes(const KernelRun *run, NodeId id)
{
    const Node *node = graph_node(run->graph, id);
    return (uint64_t)node_elements(node) * dtype_bytes(node->dtype);
}

static void map_nodes(KernelRun *run)
{
    size_t n = run->graph->nodes.len;
    run->memory = NEW_ARRAY(run->arena, void *, n);
    run->mapped = NEW_ARRAY(run->arena, uint64_t, n);
    for (NodeId id = 0; id < n; id++) {
        uint64_t bytes = node_bytes(run, id), room = (bytes + FRONT + PAGE - 1) / PAGE * PAGE;
        char *map =
            mmap(NULL, room + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (map == MAP_FAILED || mprotect(map + room, PAGE, PROT_NONE) != 0)
            abort();
        run->mapped[id] = room + PAGE;
        run->memory[id] = map + room - bytes;
    }
}

void kernels_fill(KernelRun *run, double *const *leaves)
{
    for (NodeId id = 0; id < run->graph->nodes.len; id++) {
        const Node *node = graph_node(run->graph, id);
        uint64_t bytes = node_bytes(run, id);
        char *first = (char *)run->memory[id] + bytes - (run->mapped[id] - PAGE);
        memset(first, untouched, run->mapped[id] - PAGE);
        for (size_t i = 0; node->kind != NODE_EQUATION && i < (size_t)node_elements(node); i++) {
            double v = node->kind == NODE_CONSTANT ? (node->data ? node->data[i] : node->value)
                                                   : leaves[id][i];
            value_set(node->dtype, run->memory[id], i, v);
        }
    }
}

static void check_fronts(const KernelRun *run)
{
    for (NodeId id = 0; id < run->graph->nodes.len; id++) {
        const unsigned char *first = run->memory[id];
        for (int i = 1; i <= FRONT; i++) {
            if (first[-i] != untouched) {
                fprintf(stderr, "node %u: a store before its memory\n", id);
                abort();
            }
        }
    }
}

/* --- compilation ------------------------------------------------------------------------------ */
static const int64_t *row_major(Arena *arena, const Node *node)
{
    int64_t *strides = NEW_ARRAY(arena, int64_t, node->rank + 1), step = 1;
    for (size_t d = node->rank; d-- > 0;) {
        strides[d] = step;
        step *= node->dims[d];
    }
    return strides;
}

Target kernels_small_caches(const Target *target)
{
    Target small = *target;
    small.l1_bytes = 1024;
    small.l2_bytes = 16384;
    small.l3_share_bytes = 4096;
    return small;
}

void kernels_lower(KernelRun *run)
{
    size_t n = run->graph->nodes.len;
    const int64_t **strides = NEW_ARRAY(run->arena, const int64_t *, n);
    uint64_t *elements = NEW_ARRAY(run->arena, uint64_t, n);
    bool *stored = NEW_ARRAY(run->arena, bool, n), *local = NEW_ARRAY(run->arena, bool, n);
    for (NodeId id = 0; id < n; id++) {
        const Node *node = graph_node(run->graph, id);
        strides[id] = row_major(run->arena, node);
        elements[id] = (uint64_t)node_elements(node);
        stored[id] = true;
    }
    Kernels kernels = {0};
    for (NodeId id = 0; id < n; id++) {
        if (graph_node(run->graph, id)->kind != NODE_EQUATION)
            continue;
        uint32_t nest = 0;
        const uint8_t *rows = NULL;
        Lowering lowering = {.graph = run->graph,
                             .target = run->target,
                             .strides = strides,
                             .elements = elements,
                             .stored = stored,
                             .local = local,
                             .n = 1,
                             .nodes = &id,
                             .nests = &nest,
                             .rows = &rows};
        kernel_lower(run->arena, &lowering, &kernels);
    }
    run->n = kernels.len;
    run->kernels = (const Kernel *const *)kernels.at;
}

bool kernels_open(KernelRun *run, Arena *arena, const Graph *graph, const Target *target)
{
    *run = (KernelRun){.arena = arena, .graph = graph, .target = target, .random = {11, 3}};
    kernels_lower(run);
    map_nodes(run);
    const Graph **graphs = NEW_ARRAY(arena, const Graph *, run->n + 1);
    for (size_t i = 0; i < run->n; i++) {
        graphs[i] = graph;
        run->why = kernel_verify(run->kernels[i], arena);
        if (run->why)
            return false;
    }
    EmitOptions options = {.target = target, .threads = 2, .verify = true};
    run->code = code_compile(arena, graphs, run->kernels, run->n, &options, &run->why);
    return run->code != NULL;
}

void kernels_close(KernelRun *run)
{
    for (NodeId id = 0; id < run->graph->nodes.len; id++) {
        char *end = (char *)run->memory[id] + node_bytes(run, id) + PAGE;
        munmap(end - run->mapped[id], run->mapped[id]);
    }
    if (run->code)
        code_free(run->code);
}

/* --- running ---------------------------------------------------------------------------------- */
static void run_kernel(KernelRun *run, size_t index, ChunkOrder order, HonePool *pool)
{
    const Kernel *kernel = run->kernels[index];
    void **buffers = NEW_ARRAY(run->arena, void *, kernel->n_globals + 1);
    for (size_t i = 0; i < kernel->n_buffers; i++) {
        const KBuffer *buffer = &kernel->buffers[i];
        if (buffer->place == KPLACE_GLOBAL)
            buffers[buffer->slot] = run->memory[buffer->tensor];
    }
    size_t last = kernel->n_globals;
    if (kernel->uses_fault)
        buffers[--last] = run->fault;
    if (kernel->uses_random)
        buffers[--last] = run->random;
    void *scratch = arena_alloc(run->arena, kernel->scratch_bytes + 64, 64);
    HoneKernelFn *fn = code_function(run->code, index);
    int64_t chunks = kernel_chunks(kernel);
    if (pool) {
        hone_pool_run(pool, fn, buffers, chunks);
        return;
    }
    for (int64_t i = 0; i < chunks; i++)
        fn(buffers, scratch, order == CHUNKS_UP ? i : chunks - 1 - i);
}

void kernels_run(KernelRun *run, ChunkOrder order)
{
    uint64_t scratch = 64;
    for (size_t i = 0; i < run->n; i++)
        if (run->kernels[i]->scratch_bytes > scratch)
            scratch = run->kernels[i]->scratch_bytes;
    HoneSys *sys = arena_mem(run->arena)->sys;
    HonePool *pool = order == CHUNKS_THREADS ? hone_pool_new(sys, 3, scratch) : NULL;
    for (size_t i = 0; i < run->n; i++)
        run_kernel(run, i, order, pool);
    if (pool)
        hone_pool_free(pool);
    check_fronts(run);
}

double kernels_value(const KernelRun *run, NodeId id, size_t element)
{
    return value_get(graph_node(run->graph, id)->dtype, run->memory[id], element);
}

uint64_t kernels_hash(const KernelRun *run)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (NodeId id = 0; id < run->graph->nodes.len; id++) {
        const unsigned char *at = run->memory[id];
        for (uint64_t i = 0; i < node_bytes(run, id); i++)
            hash = (hash ^ at[i]) * 0x100000001b3u;
    }
    return hash;
}

/* Largest difference from the interpreter over all equations, relative to the tensor's scale. */
double kernels_difference(const KernelRun *run, const Interp *interp, NodeId *worst)
{
    double most = 0;
    for (NodeId id = 0; id < run->graph->nodes.len; id++) {
        const Node *node = graph_node(run->graph, id);
        if (node->kind != NODE_EQUATION)
            continue;
        double scale = 0.05; /* sums that cancel leave rounding errors */
        for (size_t i = 0; i < (size_t)node_elements(node); i++)
            if (isfinite(interp->values[id][i]))
                scale = fmax(scale, fabs(interp->values[id][i]));
        for (size_t i = 0; i < (size_t)node_elements(node); i++) {
            double want = interp->values[id][i], got = kernels_value(run, id, i);
            double error =
                want == got || (isnan(want) && isnan(got)) ? 0 : fabs(got - want) / scale;
            if (!(error <= most)) {
                most = isnan(error) ? INFINITY : error;
                *worst = id;
            }
        }
    }
    return most;
}
