/* The nests of a chain: a contraction, maps and reductions of the rows of its result, contractions of
 * those rows. What has both rows and columns (a plane) is kept for one block of rows only, in scratch:
 *
 *   pack the operands that have no rows
 *   block of the last row variable
 *     pack the operands that have
 *     a nest per equation; sums over the rows go on from block to block
 *
 * Sizes follow from extents and the target record; a sum over the rows has the order of one without
 * blocks. */
#include "loop/internal.h"

enum { MOST_ROWS = 64, FAR_ROW = 256, ROW_PAD = 16 };

static const Var *last_row(const WorkKernel *work)
{
    return work->rows.at[work->rows.len - 1];
}

static bool is_row(const WorkKernel *work, const Var *var)
{
    for (size_t r = 0; r < work->rows.len; r++) {
        if (work->rows.at[r] == var)
            return true;
    }
    return false;
}

/* --- planes ------------------------------------------------------------------------------------------- */
typedef struct Plane {
    const KStore *store;
    size_t first, last;          /* the nest that computes it; the last that reads it */
    const Var *column;
    size_t slot;
} Plane;

typedef struct Planes {
    VEC(Plane) list;
    VEC(size_t) slots;           /* bytes of a row */
} Planes;

static bool sums_rows(const WorkKernel *work, const WorkNest *nest)
{
    for (size_t i = 0; i < nest->reduced.len; i++) {
        if (nest->reduced.at[i] == last_row(work))
            return true;
    }
    return false;
}

/* The variable of a plane's columns; NULL: this is none that only this kernel reads. */
static const Var *column_of(const WorkKernel *work, const Lowering *in, const KStore *store)
{
    const KBuffer *buffer = &work->buffers.at[store->buffer];
    const Var *column = NULL;
    for (size_t d = 0; d < buffer->rank; d++) {
        const Var *var;
        if (!in->local[buffer->tensor] || !pos_is_var(store->left[d], &var))
            return NULL;
        if (var->extent > 1 && !is_row(work, var))
            column = column ? NULL : var;
    }
    return column;
}

/* Rows some vectors of which share few sets of the first cache are padded. */
static int64_t row_stride(const Var *column)
{
    return column->extent % FAR_ROW == 0 ? column->extent + ROW_PAD : column->extent;
}

static size_t row_bytes(const WorkKernel *work, const Plane *plane)
{
    return (size_t)row_stride(plane->column) * dtype_bytes(work->buffers.at[plane->store->buffer].dtype);
}

static bool nest_reads(const WorkKernel *work, const WorkNest *nest, NodeId tensor)
{
    ScalarList list = nest_list(work->arena, nest->stores.len, nest->stores.at, work->buffers.at);
    for (size_t i = 0; i < list.n; i++) {
        if (list.at[i]->kind == SCALAR_READ && list.at[i]->tensor == tensor)
            return true;
    }
    return false;
}

static NodeId tensor_of(const WorkKernel *work, const Plane *plane)
{
    return work->buffers.at[plane->store->buffer].tensor;
}

/* Dead when the plane is computed, or dies there: what a map reads, it reads at its own point. */
static bool may_take(const WorkKernel *work, const Planes *planes, const Plane *plane, const Plane *dead)
{
    bool map = work->nests.at[plane->first].reduced.len == 0;
    size_t bytes = dtype_bytes(work->buffers.at[plane->store->buffer].dtype);
    for (size_t i = 0; i < planes->list.len; i++) {
        if (planes->list.at[i].slot == dead->slot && planes->list.at[i].first > dead->first)
            return false;                        /* taken already */
    }
    return dead->column->extent == plane->column->extent && row_bytes(work, dead) == row_bytes(work, plane) &&
           bytes == dtype_bytes(work->buffers.at[dead->store->buffer].dtype) &&
           dead->first < plane->first && (dead->last < plane->first || (map && dead->last == plane->first));
}

static void add_plane(WorkKernel *work, Planes *planes, Plane plane)
{
    plane.last = plane.first;
    for (size_t n = plane.first + 1; n < work->nests.len; n++)
        plane.last = nest_reads(work, &work->nests.at[n], tensor_of(work, &plane)) ? n : plane.last;
    plane.slot = planes->slots.len;
    for (size_t i = 0; i < planes->list.len && plane.slot == planes->slots.len; i++) {
        if (may_take(work, planes, &plane, &planes->list.at[i]))
            plane.slot = planes->list.at[i].slot;
    }
    if (plane.slot == planes->slots.len)
        VEC_PUSH(work->arena, planes->slots, row_bytes(work, &plane));
    VEC_PUSH(work->arena, planes->list, plane);
}

static Planes find_planes(WorkKernel *work, const Lowering *in)
{
    Planes planes = {0};
    for (size_t n = 0; n < work->nests.len; n++) {
        const WorkNest *nest = &work->nests.at[n];
        for (size_t k = 0; k < nest->stores.len && !sums_rows(work, nest); k++) {
            Plane plane = {.store = &nest->stores.at[k], .first = n,
                           .column = column_of(work, in, &nest->stores.at[k])};
            if (plane.column)
                add_plane(work, &planes, plane);
        }
    }
    return planes;
}

/* Rows of a block, whose planes stay in cache. */
static int64_t block_of_rows(const WorkKernel *work, const Planes *planes)
{
    const Target *target = work->target;
    size_t bytes = 1;
    for (size_t i = 0; i < planes->slots.len; i++)
        bytes += planes->slots.at[i];
    int64_t most = target->l2_bytes / 3 / (int64_t)bytes;
    most = most > MOST_ROWS ? MOST_ROWS : most < target->tile_rows ? target->tile_rows : most;
    return even_part(last_row(work)->extent, most, 1);
}

static void place_plane(WorkKernel *work, const Plane *plane, int64_t rows, uint64_t at)
{
    KBuffer *buffer = &work->buffers.at[plane->store->buffer];
    int64_t *strides = NEW_ARRAY(work->arena, int64_t, buffer->rank), row = row_stride(plane->column);
    for (size_t d = 0; d < buffer->rank; d++) {
        const Var *var;
        if (pos_is_var(plane->store->left[d], &var))
            strides[d] = var == plane->column ? 1 : var == last_row(work) ? row : 0;
    }
    buffer->place = KPLACE_SCRATCH;
    buffer->slot = at;
    buffer->strides = strides;
    buffer->elements = (uint64_t)(rows * row);
    buffer->relative = true;
}

static void place_planes(WorkKernel *work, const Planes *planes, int64_t rows)
{
    for (size_t s = 0; s < planes->slots.len; s++) {
        for (size_t i = 0; i < planes->list.len; i++) {
            if (planes->list.at[i].slot == s)
                place_plane(work, &planes->list.at[i], rows, work->scratch_bytes);
        }
        work->scratch_bytes += ((uint64_t)rows * planes->slots.at[s] + 63) / 64 * 64 + 64;
    }
}

static void mark_sums(WorkKernel *work)
{
    for (size_t i = 0; i < work->nests.len; i++) {
        work->nests.at[i].partial = sums_rows(work, &work->nests.at[i]);
    }
}

/* --- loops -------------------------------------------------------------------------------------------- */
/* Variables with one value per chunk are neither lanes nor rows of tiles. */
static void schedule(WorkKernel *work)
{
    for (int held = 1; held >= 0; held--) {
        for (size_t i = 0; i < work->nests.len; i++) {
            WorkNest *nest = &work->nests.at[i];
            for (size_t k = 0; k < nest->left.len; k++) {
                const Var *var = nest->left.at[k];
                nest->bound.at[k] = !held || !is_row(work, var) || var == last_row(work);
            }
        }
        if (held)
            work_schedule(work);
    }
}

/* Register tiles of nearly equal numbers of rows within a block. */
static void even_tiles(WorkKernel *work, int64_t rows)
{
    for (size_t i = 0; i < work->nests.len; i++) {
        WorkNest *nest = &work->nests.at[i];
        KLoop *loops = NEW_ARRAY(work->arena, KLoop, nest->n_loops);
        for (size_t k = 0; k < nest->n_loops; k++) {
            loops[k] = nest->loops[k];
            int64_t tiles = (rows + loops[k].tile - 1) / loops[k].tile;
            if (loops[k].var == last_row(work) && loops[k].kind == KLOOP_UNROLL)
                loops[k].tile = (rows + tiles - 1) / tiles;
        }
        nest->loops = loops;
    }
}

void work_chain(WorkKernel *work, const Lowering *in)
{
    const Var *last = last_row(work);
    Planes planes = find_planes(work, in);
    int64_t rows = block_of_rows(work, &planes);
    place_planes(work, &planes, rows);
    if (rows < last->extent)
        mark_sums(work);
    schedule(work);
    even_tiles(work, rows);
    for (size_t r = 0; r + 1 < work->rows.len; r++) {
        KChunk chunk = {.var = work->rows.at[r], .tile = 1};
        VEC_PUSH(work->arena, work->chunks, chunk);
    }
    if (rows < last->extent) {
        KBlock block = {.var = last, .tile = rows, .first = 0, .end = work->nests.len, .reduced = true};
        VEC_PUSH(work->arena, work->blocks, block);
    }
    for (size_t i = 0; i < work->nests.len; i++) {
        work_pack(work, &i, last, false);
        work_pack(work, &i, last, true);
    }
}
