/* Which variables are cut into chunks for threads, and what of a chunk lives in scratch. Cuts follow
 * from extents and the target record, never from the number of threads. */
#include "loop/internal.h"

#include <assert.h>
#include <math.h>

static const double chunk_work = 12000;     /* at least; the unit is one element of a plain map */
static const int64_t most_chunks = 64;
static const int64_t most_contraction_chunks = 32;  /* each packs for itself */

/* Nearly equal parts of about `most`, a quarter more at most, in steps of `step`. */
int64_t even_part(int64_t extent, int64_t most, int64_t step)
{
    if (most < step)
        most = step;
    if (4 * extent <= 5 * most)
        return extent;
    for (int64_t part = 5 * most / 4 / step * step; part >= step && 4 * part > 3 * most;
         part -= step) {
        if (extent % part == 0)
            return part;
    }
    int64_t parts = (extent + most - 1) / most;
    int64_t part = (extent + parts - 1) / parts;
    return (part + step - 1) / step * step;
}

enum { FEW_PARTS = 16 };

/* As even_part, but few parts are a power of two, so that they come out even for most numbers of
 * threads: three parts keep two threads busy for as long as four do. */
static int64_t thread_part(int64_t extent, int64_t most, int64_t step)
{
    int64_t part = even_part(extent, most, step), parts = (extent + part - 1) / part, even = 1;
    if (parts == 1 || parts >= FEW_PARTS)
        return part;
    while (even < parts)
        even *= 2;
    int64_t steps = (extent + step - 1) / step;
    return steps < even ? part : (steps + even - 1) / even * step;
}

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

static void add_chunk(WorkKernel *work, const Var *var, int64_t tile)
{
    KChunk chunk = {.var = var, .tile = tile};
    VEC_PUSH(work->arena, work->chunks, chunk);
}

/* Cuts the loops of one side of a contraction, outermost first, into parts of about `points`;
 * returns how many. */
static int64_t chunk_side(WorkKernel *work, const WorkNest *nest, const Scalar *operand,
                          const Scalar *other, double points)
{
    double inner = 1;
    int64_t runs = 1;
    for (size_t i = 0; i < nest->n_loops; i++) {
        const KLoop *loop = &nest->loops[i];
        if (!loop->reduced && sc_uses(operand, loop->var) && !sc_uses(other, loop->var))
            inner *= (double)loop->var->extent;
    }
    for (size_t i = 0; i < nest->n_loops && inner > points; i++) {
        const KLoop *loop = &nest->loops[i];
        if (loop->reduced || !sc_uses(operand, loop->var) || sc_uses(other, loop->var) ||
            !may_cut(work, loop->var))
            continue;
        inner /= (double)loop->var->extent;
        int64_t most = (int64_t)ceil(points / inner), step = granularity(work, loop->var);
        int64_t tile = thread_part(loop->var->extent, most, step);
        inner *= (double)tile;
        if (tile == loop->var->extent)
            continue;
        add_chunk(work, loop->var, tile);
        runs *= (loop->var->extent + tile - 1) / tile;
    }
    return runs;
}

void work_chunk_contraction(WorkKernel *work, const ChunkRule *rule)
{
    double total = 0, rows = 1, columns = 1;
    for (size_t i = 0; i < work->nests.len; i++)
        total += work->nests.at[i].work;
    double wanted = fmin(total / chunk_work, (double)most_contraction_chunks);
    for (size_t i = 0; i < rule->nest->left.len; i++) {
        const Var *var = rule->nest->left.at[i];
        bool in_rows = sc_uses(rule->row_operand, var);
        bool in_columns = sc_uses(rule->column_operand, var);
        if (in_rows && in_columns && may_cut(work, var)) {
            add_chunk(work, var, 1);
            wanted /= (double)var->extent;
        } else if (in_rows) {
            rows *= (double)var->extent;
        } else {
            columns *= (double)var->extent;
        }
    }
    double part = fmax(rows / fmax(wanted, 1), (double)rule->least_rows);
    wanted /= (double)chunk_side(work, rule->nest, rule->row_operand, rule->column_operand,
                                 fmin(part, (double)rule->most_rows));
    if (wanted > 1)
        (void)chunk_side(work, rule->nest, rule->column_operand, rule->row_operand,
                         fmax(columns / wanted, (double)rule->least_columns));
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
        int64_t tile = thread_part(var->extent, (var->extent + wanted - 1) / wanted, step);
        int64_t runs = (var->extent + tile - 1) / tile;
        if (runs < 2)
            continue;
        add_chunk(work, var, tile);
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
