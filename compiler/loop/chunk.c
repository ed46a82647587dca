/* Which variables are cut into chunks for threads, what of a chunk lives in scratch, and in which blocks
 * of rows the nests of a chunk follow each other. Cuts follow from extents and the target record, never
 * from the number of threads. */
#include "loop/internal.h"

#include <assert.h>
#include <math.h>

static const double chunk_work = 12000;     /* at least; the unit is one element of a plain map */
static const int64_t most_chunks = 64;
static const double few_chunks = 8, fewest_chunks = 3;
static const int64_t enough_for_whole = 16; /* chunks, rather than the vectors of a row in several */
static const int64_t most_contraction_chunks = 32;  /* each packs for itself */

/* The largest divisor of extent from low to high that is a multiple of `step`; 0: none. Looks among the
 * divisors or among the numbers of parts, whichever are fewer: neither may be many. */
static int64_t divisor_between(int64_t extent, int64_t low, int64_t high, int64_t step)
{
    high = high / step * step;
    if ((high - low) / step <= extent / low) {
        for (int64_t part = high; part >= low; part -= step) {
            if (extent % part == 0)
                return part;
        }
        return 0;
    }
    for (int64_t parts = (extent + high - 1) / high; extent / parts >= low; parts++) {
        if (extent % parts == 0 && extent / parts % step == 0)
            return extent / parts;
    }
    return 0;
}

/* Nearly equal parts of about `most`, a quarter more at most, in steps of `step`. */
int64_t even_part(int64_t extent, int64_t most, int64_t step)
{
    if (most < step)
        most = step;
    if (4 * extent <= 5 * most)
        return extent;
    int64_t low = 3 * most / 4 + 1, part = divisor_between(extent, low > step ? low : step,
                                                           5 * most / 4, step);
    if (part > 0)
        return part;
    int64_t parts = (extent + most - 1) / most;
    part = (extent + parts - 1) / parts;
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
    double runs = (double)chunk_side(work, rule->nest, rule->row_operand, rule->column_operand,
                                     fmin(part, (double)rule->most_rows));
    double least = (double)rule->least_columns;
    if (runs * columns / least < few_chunks)
        least = fmin(least, (double)rule->fewer_columns);
    if (runs * columns / least < fewest_chunks)
        least = fmin(least, (double)rule->fewest_columns);
    if (wanted > runs)
        (void)chunk_side(work, rule->nest, rule->column_operand, rule->row_operand,
                         fmax(columns * runs / wanted, least));
}

void work_chunk(WorkKernel *work)
{
    double total = 0;
    for (size_t i = 0; i < work->nests.len; i++)
        total += work->nests.at[i].work;
    double most = total / chunk_work;
    int64_t wanted = most > (double)most_chunks ? most_chunks : (int64_t)most, made = 1;
    const WorkNest *first = &work->nests.at[0];
    for (size_t i = 0; i < first->n_loops && wanted > 1; i++) {
        const Var *var = first->loops[i].var;
        if (!may_cut(work, var) || (first->loops[i].kind == KLOOP_LANES && made >= enough_for_whole))
            continue;
        int64_t step = granularity(work, var);
        int64_t tile = thread_part(var->extent, (var->extent + wanted - 1) / wanted, step);
        int64_t runs = (var->extent + tile - 1) / tile;
        if (runs < 2)
            continue;
        add_chunk(work, var, tile);
        wanted /= runs;
        made *= runs;
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

static bool touches(const WorkKernel *work, const WorkNest *nest, uint32_t index)
{
    ScalarList list = nest_list(work->arena, nest->stores.len, nest->stores.at, work->buffers.at);
    bool found = false;
    for (size_t i = 0; i < nest->stores.len; i++)
        found |= nest->stores.at[i].buffer == index;
    for (size_t i = 0; i < list.n; i++)
        found |= list.at[i]->kind == SCALAR_READ &&
                 list.at[i]->tensor == work->buffers.at[index].tensor;
    return found;
}

int64_t work_part(const WorkKernel *work, const Var *var, size_t first, size_t last)
{
    int64_t part = var->extent;
    for (size_t i = 0; i < work->chunks.len; i++) {
        if (work->chunks.at[i].var == var && work->chunks.at[i].tile < part)
            part = work->chunks.at[i].tile;
    }
    for (size_t i = 0; i < work->blocks.len; i++) {
        const KBlock *block = &work->blocks.at[i];
        if (block->var != var || block->end <= first || last < block->first)
            continue;
        if (first < block->first || block->end <= last)
            return 0;
        part = block->tile < part ? block->tile : part;
    }
    return part;
}

/* The nests that touch the tensor. */
static void span_of(const WorkKernel *work, uint32_t index, size_t *first, size_t *last)
{
    *first = SIZE_MAX;
    for (size_t n = 0; n < work->nests.len; n++) {
        if (!touches(work, &work->nests.at[n], index))
            continue;
        *first = *first == SIZE_MAX ? n : *first;
        *last = n;
    }
}

/* Does every nest read its own part of the tensor only, parts[d] elements of each dimension? */
static bool reads_own_part(const WorkKernel *work, uint32_t index, const Position *const *left,
                           const int64_t *parts)
{
    const KBuffer *buffer = &work->buffers.at[index];
    for (size_t n = 0; n < work->nests.len; n++) {
        const WorkNest *nest = &work->nests.at[n];
        ScalarList list =
            nest_list(work->arena, nest->stores.len, nest->stores.at, work->buffers.at);
        for (size_t i = 0; i < list.n; i++) {
            const Scalar *s = list.at[i];
            if (s->kind != SCALAR_READ || s->tensor != buffer->tensor)
                continue;
            bool own = !s->fill;
            for (size_t d = 0; d < buffer->rank; d++) {
                bool whole = parts[d] == buffer->dims[d];
                own &= parts[d] > 0 && (whole ? pos_in_range(s->at[d], buffer->dims[d])
                                              : s->at[d] == left[d]);
            }
            if (!own)
                return false;
        }
    }
    return true;
}

/* Row-major in the order of the strides over `extents`, those of 0 left out; returns the elements. */
static int64_t pack_strides(const KBuffer *buffer, const int64_t *extents, int64_t *strides)
{
    bool done[MAX_RANK] = {false};
    int64_t elements = 1;
    for (size_t left = buffer->rank; left-- > 0;) {
        size_t least = SIZE_MAX;
        for (size_t d = buffer->rank; d-- > 0;) {
            if (!done[d] && extents[d] > 0 &&
                (least == SIZE_MAX || buffer->strides[d] < buffer->strides[least]))
                least = d;
        }
        if (least == SIZE_MAX)
            break;
        strides[least] = elements;
        elements *= extents[least];
        done[least] = true;
    }
    return elements;
}

/* A tensor that only this kernel's nests read keeps the part of one chunk or block, if that is small:
 * where all of them stay in the part, in whatever runs it has; else where a variable with one value per
 * chunk makes it a part. Order of the other dimensions as stored. */
bool work_scratch(WorkKernel *work, uint32_t index, uint64_t *bytes)
{
    KBuffer *buffer = &work->buffers.at[index];
    const KStore *store = store_into(work, index);
    if (!store || work->nests.len < 2 || work->chunks.len == 0)
        return false;
    int64_t parts[MAX_RANK], *strides = NEW_ARRAY(work->arena, int64_t, buffer->rank);
    size_t first, last = 0;
    bool is_part = false;
    span_of(work, index, &first, &last);
    for (size_t d = 0; d < buffer->rank; d++) {
        const Var *var;
        parts[d] = pos_is_var(store->left[d], &var) ? work_part(work, var, first, last) : 1;
    }
    bool own = reads_own_part(work, index, store->left, parts);
    for (size_t d = 0; d < buffer->rank; d++) {
        const Var *var;
        bool is_var = pos_is_var(store->left[d], &var);
        if (!own)
            parts[d] = !is_var || fixed_by_chunk(work, var) ? 0 : buffer->dims[d];
        is_part |= is_var && parts[d] < var->extent;
    }
    int64_t elements = pack_strides(buffer, parts, strides);
    uint64_t size = ((uint64_t)elements * dtype_bytes(buffer->dtype) + 63) / 64 * 64;
    if (!is_part || size > (uint64_t)work->target->l2_bytes / (own ? 4 : 8))
        return false;
    buffer->place = KPLACE_SCRATCH;
    buffer->slot = *bytes;
    buffer->strides = strides;
    buffer->elements = (uint64_t)elements;
    buffer->relative = own;
    *bytes += size;
    return true;
}

/* --- blocks of rows ---------------------------------------------------------------------------------- */
/* Bytes that several nests touch, for one value of the variable in a chunk. */
static double shared_row_bytes(const WorkKernel *work, int64_t part)
{
    double bytes = 0, chunks = 1;
    for (size_t i = 0; i < work->chunks.len; i++) {
        const KChunk *chunk = &work->chunks.at[i];
        chunks *= ceil((double)chunk->var->extent / (double)chunk->tile);
    }
    for (size_t i = 0; i < work->buffers.len; i++) {
        size_t first, last = 0;
        span_of(work, (uint32_t)i, &first, &last);
        if (first != SIZE_MAX && last > first)
            bytes += (double)work->buffers.at[i].elements * (double)dtype_bytes(work->buffers.at[i].dtype);
    }
    return bytes / chunks / (double)part;
}

/* All nests go over some rows of their chunk before the next, so that what one stores is in the second
 * cache when another reads it. */
void work_block_rows(WorkKernel *work)
{
    if (work->nests.len < 2 || work->blocks.len > 0)
        return;
    const WorkNest *first = &work->nests.at[0];
    for (size_t i = 0; i < first->n_loops; i++) {
        const Var *var = first->loops[i].var;
        int64_t part = work_part(work, var, 0, work->nests.len - 1);
        if (!may_cut(work, var) || granularity(work, var) > 1 || part < 2)
            continue;
        double most = (double)work->target->l2_bytes / 4 / shared_row_bytes(work, part);
        int64_t tile = most < 1 ? 1 : most > (double)part ? part : even_part(part, (int64_t)most, 1);
        if (tile < part) {
            KBlock block = {.var = var, .tile = tile, .first = 0, .end = work->nests.len};
            VEC_PUSH(work->arena, work->blocks, block);
        }
        return;
    }
}
