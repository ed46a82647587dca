/* What every kernel must satisfy before code is made of it. A message means a bug of the compiler. */
#include "loop/internal.h"

typedef struct Check {
    const Kernel *kernel;
    size_t nest;                 /* index of the one being checked */
    Arena *arena;
} Check;

static bool is_chunked(const Kernel *kernel, const Var *var)
{
    for (size_t i = 0; i < kernel->n_chunk_loops; i++) {
        if (kernel->chunk_loops[i].var == var)
            return true;
    }
    return false;
}

static bool has_run(const Kernel *kernel, size_t nest, const Var *var)
{
    for (size_t i = 0; i < kernel->n_blocks; i++) {
        const KBlock *block = &kernel->blocks[i];
        if (block->var == var && block->first <= nest && nest < block->end)
            return true;
    }
    return is_chunked(kernel, var);
}

static bool has_loop(const Nest *nest, const Var *var)
{
    for (size_t i = 0; i < nest->n_loops; i++) {
        if (nest->loops[i].var == var)
            return true;
    }
    return false;
}

/* What only this chunk sees may be computed by every chunk. */
static bool only_scratch(const Kernel *kernel, const Nest *nest)
{
    for (size_t i = 0; i < nest->n_stores; i++) {
        if (nest->stores[i].buffer < kernel->n_buffers &&
            kernel->buffers[nest->stores[i].buffer].place == KPLACE_GLOBAL)
            return false;
    }
    return true;
}

static const char *loops_problem(const Check *check, const Nest *nest)
{
    bool reduced = false;
    size_t lanes = 0;
    for (size_t i = 0; i < nest->n_loops; i++) {
        const KLoop *loop = &nest->loops[i];
        if (loop->tile < 1)
            return "a loop steps by nothing";
        if (reduced && !loop->reduced)
            return "a left loop inside a reduced one";
        if (loop->reduced && loop->kind == KLOOP_UNROLL)
            return "a reduced loop is unrolled";
        if (loop->reduced && is_chunked(check->kernel, loop->var))
            return "a reduced loop is cut into chunks";
        for (size_t k = 0; k < i; k++) {
            if (nest->loops[k].var == loop->var)
                return "two loops over one variable";
        }
        lanes += loop->kind == KLOOP_LANES;
        reduced |= loop->reduced;
    }
    if (lanes > 1)
        return "two loops in lanes";
    for (size_t i = 0; i < check->kernel->n_chunk_loops; i++) {
        if (!has_loop(nest, check->kernel->chunk_loops[i].var) &&
            !only_scratch(check->kernel, nest))
            return "a nest lacks a chunk variable";
    }
    return NULL;
}

static const KBuffer *buffer_of(const Kernel *kernel, NodeId tensor)
{
    for (size_t i = 0; i < kernel->n_buffers; i++) {
        if (kernel->buffers[i].tensor == tensor)
            return &kernel->buffers[i];
    }
    return NULL;
}

static const char *scalar_problem(const Check *check, const Nest *nest, const Scalar *s)
{
    for (size_t i = 0; i < s->n_vars; i++) {
        if (!has_loop(nest, s->vars[i]) && !has_run(check->kernel, check->nest, s->vars[i]))
            return "an expression uses a variable without a loop";
    }
    if (s->kind == SCALAR_RANDOM && !check->kernel->uses_random)
        return "random numbers without their buffer";
    if (s->kind != SCALAR_READ)
        return NULL;
    const KBuffer *buffer = buffer_of(check->kernel, s->tensor);
    if (!buffer)
        return "a read of a tensor without a buffer";
    if (buffer->rank != s->n)
        return "a read with another rank than its buffer";
    for (size_t i = 0; i < nest->n_stores; i++) {
        if (check->kernel->buffers[nest->stores[i].buffer].tensor == s->tensor)
            return "a body reads what its own nest writes";
    }
    return NULL;
}

static const char *store_problem(const Check *check, const Nest *nest, const KStore *store)
{
    if (store->buffer >= check->kernel->n_buffers)
        return "a store into a buffer that is not there";
    if (!check->kernel->buffers[store->buffer].written)
        return "a store into a buffer that is only read";
    bool reduces = false;
    for (size_t i = 0; i < nest->n_loops; i++)
        reduces |= nest->loops[i].reduced;
    if (reduces != (store->reduce != REDUCE_NONE))
        return "a reduction without reduced loops, or the other way round";
    for (size_t i = 0; i < check->kernel->buffers[store->buffer].rank; i++) {
        for (size_t k = 0; k < nest->n_loops; k++) {
            if (nest->loops[k].reduced && pos_uses(store->left[i], nest->loops[k].var))
                return "a left position uses a reduced variable";
        }
    }
    return NULL;
}

/* Partial sums lie in the output as they are, and every block around them is part of the sum. */
static const char *blocks_problem(const Check *check, const Nest *nest)
{
    bool sums = nest->n_stores > 0 && nest->stores[0].reduce != REDUCE_NONE;
    for (size_t i = 0; i < check->kernel->n_blocks; i++) {
        const KBlock *block = &check->kernel->blocks[i];
        if (check->nest < block->first || check->nest >= block->end || !block->reduced)
            continue;
        bool over = false, own = false;      /* own: every block has its part of the results */
        for (size_t k = 0; k < nest->n_loops; k++) {
            over |= nest->loops[k].var == block->var && nest->loops[k].reduced;
            own |= nest->loops[k].var == block->var && !nest->loops[k].reduced;
        }
        if (own)
            continue;
        if (!sums && !only_scratch(check->kernel, nest))
            return "a nest stores results in every block of a sum";
        for (size_t k = 0; sums && k < nest->n_loops; k++) {
            if (!over || (nest->loops[k].reduced && nest->loops[k].kind == KLOOP_LANES))
                return "a sum inside a block that is not part of it";
        }
        for (size_t k = 0; sums && k < nest->n_stores; k++) {
            const KStore *store = &nest->stores[k];
            if (store->reduce != REDUCE_SUM || store->n_guards > 0 ||
                store->body->dtype != DT_F32 ||
                check->kernel->buffers[store->buffer].dtype != DT_F32)
                return "partial sums of another kind than plain float32";
        }
    }
    return NULL;
}

static const char *block_problem(const Kernel *kernel, size_t i)
{
    const KBlock *block = &kernel->blocks[i];
    if (block->tile < 1 || block->first >= block->end || block->end > kernel->n_nests)
        return "a block around nothing";
    for (size_t k = 0; k < i; k++) {
        const KBlock *other = &kernel->blocks[k];
        bool apart = other->end <= block->first;
        bool inside = other->first <= block->first && block->end <= other->end;
        if (!apart && !inside)
            return "blocks that overlap";
    }
    return NULL;
}

static const char *nest_problem(const Check *check, const Nest *nest)
{
    const char *why = loops_problem(check, nest);
    if (!why && nest->n_stores == 0)
        why = "a nest without stores";
    for (size_t i = 0; !why && i < nest->n_stores; i++)
        why = store_problem(check, nest, &nest->stores[i]);
    ScalarList list = {0};
    if (!why)
        why = blocks_problem(check, nest);
    if (!why)
        list = nest_list(check->arena, nest->n_stores, nest->stores, check->kernel->buffers);
    for (size_t i = 0; !why && i < list.n; i++)
        why = scalar_problem(check, nest, list.at[i]);
    for (size_t i = 0; !why && i < nest->n_prefetches; i++) {
        const KPrefetch *prefetch = &nest->prefetches[i];
        if (prefetch->read->kind != SCALAR_READ || prefetch->lines < 1 ||
            (prefetch->over && !has_loop(nest, prefetch->over)))
            return "a prefetch of nothing";
        why = scalar_problem(check, nest, prefetch->read);
    }
    return why;
}

const char *kernel_verify(const Kernel *kernel, Arena *arena)
{
    Check check = {.kernel = kernel, .arena = arena};
    const char *why = (kernel->n_nests == 0) != (kernel->kind == KERNEL_CALL)
                          ? "a kernel without nests, or a call with some" : NULL;
    for (size_t i = 0; !why && i < kernel->n_buffers; i++) {
        const KBuffer *buffer = &kernel->buffers[i];
        if (buffer->place == KPLACE_GLOBAL && buffer->slot >= kernel->n_globals)
            why = "a buffer beyond the globals";
        if (buffer->place == KPLACE_SCRATCH && buffer->slot >= kernel->scratch_bytes)
            why = "a buffer beyond the scratch";
        if (buffer->panel > 0 && (!buffer->relative || buffer->panel_at >= buffer->rank ||
                                  buffer->panel_stride % buffer->panel != 0))
            why = "panels that do not fit";
    }
    for (size_t i = 0; !why && i < kernel->n_blocks; i++)
        why = block_problem(kernel, i);
    for (size_t i = 0; !why && i < kernel->n_nests; i++) {
        check.nest = i;
        why = nest_problem(&check, &kernel->nests[i]);
    }
    return why;
}
