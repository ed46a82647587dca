/* Which variables are cut into chunks for threads, and what of a chunk lives in scratch. Cuts follow
 * from extents and the target record, never from the number of threads. */
#include "loop/internal.h"

#include <assert.h>

static const double chunk_work = 20000;     /* at least; the unit is one element of a plain map */
static const int64_t most_chunks = 64;

/* Cuts fall between register tiles and between vectors. */
static int64_t granularity(const WorkKernel *work, const Var *var)
{
    int64_t step = 1;
    for (size_t i = 0; i < work->nests.len; i++) {
        const WorkNest *nest = &work->nests.at[i];
        for (size_t k = 0; k < nest->n_loops; k++) {
            const KLoop *loop = &nest->loops[k];
            int64_t width = loop->kind == KLOOP_LANES ? work->target->lanes * loop->tile
                            : loop->kind == KLOOP_UNROLL ? loop->tile : 1;
            if (loop->var == var && width > step)
                step = width;
        }
    }
    return step;
}

static bool may_cut(const WorkKernel *work, const Var *var)
{
    if (work->nests.len > 1) {
        for (size_t i = 0; i < work->rows.len; i++) {
            if (work->rows.at[i] == var)
                return true;
        }
        return false;
    }
    const WorkNest *nest = &work->nests.at[0];
    for (size_t i = 0; i < nest->left.len; i++) {
        if (nest->left.at[i] == var)
            return nest->bound.at[i];
    }
    return false;
}

void work_chunk(WorkKernel *work)
{
    double total = 0;
    for (size_t i = 0; i < work->nests.len; i++)
        total += work->nests.at[i].work;
    double most = total / chunk_work;
    int64_t wanted = most > (double)most_chunks ? most_chunks : (int64_t)most;
    const WorkNest *first = &work->nests.at[0];
    for (size_t i = 0; i < first->n_loops && wanted > 1; i++) {
        const Var *var = first->loops[i].var;
        if (!may_cut(work, var))
            continue;
        int64_t step = granularity(work, var);
        int64_t steps = (var->extent + step - 1) / step;
        int64_t runs = steps < wanted ? steps : wanted;
        int64_t tile = (steps + runs - 1) / runs * step;
        runs = (var->extent + tile - 1) / tile;
        if (runs < 2)
            continue;
        KChunk chunk = {.var = var, .tile = tile};
        VEC_PUSH(work->arena, work->chunks, chunk);
        wanted /= runs;
    }
}

/* --- scratch ---------------------------------------------------------------------------------------- */
static const KStore *store_into(const WorkKernel *work, uint32_t buffer)
{
    for (size_t i = 0; i < work->nests.len; i++) {
        for (size_t k = 0; k < work->nests.at[i].stores.len; k++) {
            if (work->nests.at[i].stores.at[k].buffer == buffer)
                return &work->nests.at[i].stores.at[k];
        }
    }
    return NULL;
}

static bool fixed_by_chunk(const WorkKernel *work, const Var *var)
{
    for (size_t i = 0; i < work->chunks.len; i++) {
        if (work->chunks.at[i].var == var)
            return work->chunks.at[i].tile == 1;
    }
    return false;
}

/* A tensor that only this kernel's nests read keeps the part of one chunk, if that is small and a
 * variable with one value per chunk makes it a part. Order of the other dimensions as stored. */
bool work_scratch(WorkKernel *work, uint32_t index, uint64_t *bytes)
{
    KBuffer *buffer = &work->buffers.at[index];
    const KStore *store = store_into(work, index);
    if (!store || work->nests.len < 2 || work->chunks.len == 0)
        return false;
    int64_t *strides = NEW_ARRAY(work->arena, int64_t, buffer->rank);
    bool done[MAX_RANK] = {false}, part = false;
    int64_t extents[MAX_RANK];
    for (size_t d = 0; d < buffer->rank; d++) {
        const Var *var;
        bool is_var = pos_is_var(store->left[d], &var);
        extents[d] = is_var ? var->extent : 1;
        done[d] = !is_var || fixed_by_chunk(work, var);
        part |= is_var && done[d];
    }
    int64_t elements = 1;
    for (size_t left = buffer->rank; left-- > 0;) {
        size_t least = SIZE_MAX;
        for (size_t d = buffer->rank; d-- > 0;) {
            if (!done[d] && (least == SIZE_MAX || buffer->strides[d] < buffer->strides[least]))
                least = d;
        }
        if (least == SIZE_MAX)
            break;
        strides[least] = elements;
        elements *= extents[least];
        done[least] = true;
    }
    uint64_t size = ((uint64_t)elements * dtype_bytes(buffer->dtype) + 63) / 64 * 64;
    if (!part || size > (uint64_t)work->target->l2_bytes / 8)
        return false;
    buffer->place = KPLACE_SCRATCH;
    buffer->slot = *bytes;
    buffer->strides = strides;
    buffer->elements = (uint64_t)elements;
    *bytes += size;
    return true;
}
