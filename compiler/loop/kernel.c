/* The finished Kernel: buffers with slots, counts, kind, name. */
#include "loop/internal.h"

#include <assert.h>

const char *kernel_kind_name(KernelKind kind)
{
    switch (kind) {
    case KERNEL_MAP:
        return "map";
    case KERNEL_ROWWISE:
        return "rowwise";
    case KERNEL_CONTRACT:
        return "contract";
    case KERNEL_GATHER:
        return "gather";
    case KERNEL_SCATTER:
        return "scatter";
    case KERNEL_TRANSFER:
        return "transfer";
    case KERNEL_STATISTIC:
        return "statistic";
    case KERNEL_CALL:
        return "call";
    }
    return "?";
}

int64_t kernel_chunks(const Kernel *kernel)
{
    int64_t chunks = 1;
    for (size_t i = 0; i < kernel->n_chunk_loops; i++) {
        const KChunk *chunk = &kernel->chunk_loops[i];
        chunks *= (chunk->var->extent + chunk->tile - 1) / chunk->tile;
    }
    return chunks;
}

/* --- what the nests contain
 * ------------------------------------------------------------------------- */
typedef struct Contents {
    bool random, fault, data, reduced, product, scatter, identity;
    NodeId subscripted; /* a tensor whose subscripts may fault */
    double flops;
} Contents;

static bool at_data(const Scalar *read)
{
    for (size_t d = 0; d < read->n; d++) {
        if (read->at[d]->has_data)
            return true;
    }
    return false;
}

static void look_at_nest(const WorkKernel *work, const WorkNest *nest, Contents *c)
{
    ScalarList list = nest_list(work->arena, nest->stores.len, nest->stores.at, work->buffers.at);
    double ops = 0;
    for (size_t i = 0; i < list.n; i++) {
        const Scalar *s = list.at[i];
        c->random |= s->kind == SCALAR_RANDOM;
        c->data |= s->kind == SCALAR_READ && at_data(s);
        if (s->kind == SCALAR_READ && at_data(s) && !s->fill) {
            c->fault = true;
            c->subscripted = s->tensor;
        }
        bool converts = s->kind == SCALAR_FN && s->op == OP_CAST &&
                        (dtype_is_short(s->dtype) || dtype_is_short(s->args[0]->dtype));
        ops += s->kind == SCALAR_FN && s->n_vars > 0 && !converts ? sc_cost(s) : 0;    /* others once */
    }
    for (size_t i = 0; i < nest->stores.len; i++) {
        const KStore *store = &nest->stores.at[i];
        size_t rank = work->buffers.at[store->buffer].rank;
        for (size_t d = 0; d < rank; d++)
            if (store->left[d]->has_data) {
                c->fault = true;
                c->subscripted = work->buffers.at[store->buffer].tensor;
            }
        for (size_t k = 0; k < nest->bound.len; k++)
            c->scatter |= !nest->bound.at[k];
        ops += store->reduce != REDUCE_NONE || store->accumulate ? 1 : 0;
        const Scalar *body = store->body;
        c->identity |= body->kind == SCALAR_READ && store->reduce == REDUCE_NONE;
        c->product |= store->reduce == REDUCE_SUM && body->kind == SCALAR_FN &&
                      (body->op == OP_MUL || body->op == OP_SELECT);
    }
    c->reduced |= nest->reduced.len > 0;
    c->flops += ops * nest_points(nest);
}

/* A register tile of sums. */
static bool has_tile(const WorkKernel *work)
{
    for (size_t n = 0; n < work->nests.len; n++) {
        const WorkNest *nest = &work->nests.at[n];
        for (size_t i = 0; i < nest->n_loops && nest->reduced.len > 0; i++) {
            if (nest->loops[i].kind == KLOOP_UNROLL)
                return true;
        }
    }
    return false;
}

static KernelKind kind_of(const WorkKernel *work, const Contents *c)
{
    if (c->scatter)
        return KERNEL_SCATTER;
    if (work->nests.len > 1 && c->reduced)
        return has_tile(work) ? KERNEL_CONTRACT : KERNEL_ROWWISE;
    if (c->reduced)
        return c->product && has_tile(work) ? KERNEL_CONTRACT : KERNEL_STATISTIC;
    if (c->data)
        return KERNEL_GATHER;
    return c->identity && work->nests.at[0].stores.len == 1 ? KERNEL_TRANSFER : KERNEL_MAP;
}

/* --- assembly
 * ------------------------------------------------------------------------------------------- */
static const Nest *finished_nests(const WorkKernel *work)
{
    Nest *nests = NEW_ARRAY(work->arena, Nest, work->nests.len);
    for (size_t i = 0; i < work->nests.len; i++) {
        const WorkNest *nest = &work->nests.at[i];
        nests[i] = (Nest){.n_loops = nest->n_loops,
                          .loops = nest->loops,
                          .n_stores = nest->stores.len,
                          .stores = nest->stores.at,
                          .n_prefetches = nest->prefetches.len,
                          .prefetches = nest->prefetches.at};
    }
    return nests;
}

static void place_buffers(WorkKernel *work, const Lowering *in, Kernel *kernel)
{
    for (size_t i = 0; i < work->buffers.len; i++) {
        KBuffer *buffer = &work->buffers.at[i];
        if (buffer->relative)
            continue;
        uint64_t size = buffer->elements * dtype_bytes(buffer->dtype);
        if (in->local[buffer->tensor] && buffer->written &&
            work_scratch(work, (uint32_t)i, &kernel->scratch_bytes))
            continue;
        buffer->slot = kernel->n_globals++;
        kernel->bytes += (double)size;
    }
    kernel->n_globals += (size_t)kernel->uses_random + kernel->uses_fault;
    kernel->n_buffers = work->buffers.len;
    kernel->buffers = work->buffers.at;
}

Kernel *work_finish(WorkKernel *work, const Lowering *in, NodeId id)
{
    assert(work->nests.len > 0);
    if (in->n_parts > 0) {
        work_chain(work, in);
    } else {
        work_collapse(work);
        work_operands(work);
        work_schedule(work);
    }
    if (in->n_parts == 0 && !work_block(work)) {
        if (work_operands_undo(work))
            work_schedule(work);
        work_chunk(work);
        work_block_rows(work);
    }
    Contents contents = {0};
    for (size_t i = 0; i < work->nests.len; i++)
        look_at_nest(work, &work->nests.at[i], &contents);
    const Node *node = graph_node(in->graph, id);
    Span span = node->span;
    if (contents.fault && graph_node(in->graph, contents.subscripted)->span.file != 0)
        span = graph_node(in->graph, contents.subscripted)->span; /* what the message is about */
    Kernel *kernel = NEW(work->arena, Kernel);
    *kernel = (Kernel){.kind = kind_of(work, &contents),
                       .name = node->name,
                       .span = span,
                       .n_chunk_loops = work->chunks.len,
                       .chunk_loops = work->chunks.at,
                       .n_blocks = work->blocks.len,
                       .blocks = work->blocks.at,
                       .n_nests = work->nests.len,
                       .nests = finished_nests(work),
                       .uses_random = contents.random,
                       .uses_fault = contents.fault,
                       .scratch_bytes = work->scratch_bytes,
                       .flops = contents.flops};
    place_buffers(work, in, kernel);
    return kernel;
}
