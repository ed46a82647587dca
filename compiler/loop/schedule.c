/* Loop order, lanes and register tiles of every nest, by rule from extents, strides and the target
 * record (fusion.md 4.2). Lanes go to the variable whose vectors cost least; a contraction keeps a
 * tile of accumulators: lanes x the left variable that its vector operands do not use. Nothing here
 * changes what is computed except the order of sums, which depends on the target alone. */
#include "loop/internal.h"

#include <math.h>
#include <stdlib.h>

typedef struct Plan {
    const WorkKernel *work;
    WorkNest *nest;
    ScalarList reads;             /* READs of the nest */
    double ops;
    const Var *lanes;             /* NULL: none */
    bool lanes_reduced;
    int64_t vectors;
    size_t n_unroll;
    const Var *unroll[2];         /* outermost first */
    int64_t tiles[2];
    bool columns_outer;           /* the lanes loop runs outside the rows */
} Plan;

static int64_t ceil_div(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

/* --- lanes ------------------------------------------------------------------------------------------ */
typedef enum Access { ACCESS_FIXED, ACCESS_UNIT, ACCESS_SPREAD } Access;

static Access access_of(const WorkKernel *work, NodeId tensor, const Position *const *at,
                        const Var *var)
{
    int64_t stride;
    if (!access_stride(work_buffer(work, tensor), at, var, &stride))
        return ACCESS_SPREAD;
    return stride == 0 ? ACCESS_FIXED : stride == 1 ? ACCESS_UNIT : ACCESS_SPREAD;
}

static double read_cost(const Plan *plan, const Scalar *read, const Var *lanes)
{
    double mask = 0;                             /* is it the lanes that may leave the tensor? */
    for (size_t d = 0; read->fill && d < read->n; d++) {
        int64_t extent = work_buffer(plan->work, read->tensor)->dims[d];
        if (pos_uses(read->at[d], lanes) && !pos_in_range(read->at[d], extent))
            mask = 1;
    }
    switch (access_of(plan->work, read->tensor, read->at, lanes)) {
    case ACCESS_FIXED: return 0.3 + mask;
    case ACCESS_UNIT: return 1 + mask;
    case ACCESS_SPREAD:
        if (may_pack(plan->work, plan->nest, read, lanes))
            return 1.2 + mask;
        return 0.8 * plan->work->target->lanes + mask;
    }
    return 0;
}

static double store_cost(const Plan *plan, const Var *lanes)
{
    double cost = 0;
    for (size_t i = 0; i < plan->nest->stores.len; i++) {
        const KStore *store = &plan->nest->stores.at[i];
        NodeId tensor = plan->work->buffers.at[store->buffer].tensor;
        Access access = access_of(plan->work, tensor, store->left, lanes);
        cost += (access == ACCESS_UNIT ? 1 : 1.2 * plan->work->target->lanes) *
                (store->accumulate ? 2 : 1);
    }
    return cost;
}

static double reduced_points(const WorkNest *nest)
{
    double points = 1;
    for (size_t i = 0; i < nest->reduced.len; i++)
        points *= (double)nest->reduced.at[i]->extent;
    return points;
}

/* Vector instructions per point. */
static double lanes_cost(const Plan *plan, const Var *lanes, bool reduced)
{
    int64_t width = plan->work->target->lanes;
    double vectors = (double)ceil_div(lanes->extent, width) / (double)lanes->extent;
    double cost = plan->ops + 0.5;
    for (size_t i = 0; i < plan->reads.n; i++)
        cost += read_cost(plan, plan->reads.at[i], lanes);
    double stores = (double)plan->nest->stores.len;
    if (reduced)
        return cost * vectors + stores * 2 * log2((double)width) / reduced_points(plan->nest);
    return (cost + store_cost(plan, lanes) / reduced_points(plan->nest)) * vectors;
}

static bool lanes_may_reduce(const WorkNest *nest)
{
    if (nest->partial)
        return false;
    for (size_t i = 0; i < nest->stores.len; i++) {
        ReduceOp op = nest->stores.at[i].reduce;
        if (op == REDUCE_ARGMAX || op == REDUCE_ARGMIN)
            return false;
    }
    return true;
}

static void choose_lanes(Plan *plan)
{
    const WorkNest *nest = plan->nest;
    double best = 0.6 * (double)plan->reads.n + plan->ops + 0.5 + (double)nest->stores.len;
    for (size_t i = nest->left.len; i-- > 0;) {
        double cost = nest->bound.at[i] ? lanes_cost(plan, nest->left.at[i], false) : INFINITY;
        if (cost < best) {
            best = cost;
            plan->lanes = nest->left.at[i];
        }
    }
    for (size_t i = nest->reduced.len; lanes_may_reduce(nest) && i-- > 0;) {
        double cost = lanes_cost(plan, nest->reduced.at[i], true);
        if (cost < best) {
            best = cost;
            plan->lanes = nest->reduced.at[i];
            plan->lanes_reduced = true;
        }
    }
}

/* --- register tiles ----------------------------------------------------------------------------------- */
/* A tile near `most` that divides the extent, or nearly equal tiles. */
static int64_t tile_of(int64_t extent, int64_t most)
{
    if (extent <= most)
        return extent;
    for (int64_t tile = most; 5 * tile >= 4 * most && tile > 1; tile--) {
        if (extent % tile == 0)
            return tile;
    }
    return ceil_div(extent, ceil_div(extent, most));
}

static bool uses_reduced(const Plan *plan, const Scalar *read)
{
    for (size_t i = 0; i < plan->nest->reduced.len; i++) {
        if (sc_uses(read, plan->nest->reduced.at[i]))
            return true;
    }
    return false;
}

/* Vector operands that are loaded once for all values of the variable; what no reduced variable
 * stands in is loaded once per result anyhow. */
static size_t reuse(const Plan *plan, const Var *var, const Var *also_used)
{
    size_t n = 0;
    for (size_t i = 0; i < plan->reads.n; i++) {
        const Scalar *read = plan->reads.at[i];
        n += sc_uses(read, plan->lanes) && !sc_uses(read, var) && uses_reduced(plan, read) &&
             (!also_used || sc_uses(read, also_used));
    }
    return n;
}

static int64_t store_stride(const Plan *plan, const Var *var)
{
    const KStore *store = &plan->nest->stores.at[0];
    int64_t stride;
    if (!access_stride(&plan->work->buffers.at[store->buffer], store->left, var, &stride))
        return INT64_MAX;
    return llabs(stride);
}

static const Var *best_row(const Plan *plan, const Var *not, const Var *also_used)
{
    const Var *best = NULL;
    for (size_t i = 0; i < plan->nest->left.len; i++) {
        const Var *var = plan->nest->left.at[i];
        if (var == plan->lanes || var == not || !plan->nest->bound.at[i])
            continue;
        size_t gain = reuse(plan, var, also_used);
        size_t best_gain = best ? reuse(plan, best, also_used) : 0;
        if (gain > best_gain ||
            (gain == best_gain && gain > 0 && store_stride(plan, var) < store_stride(plan, best)))
            best = var;
    }
    return best;
}

static void unroll(Plan *plan, const Var *var, int64_t tile)
{
    if (!var || tile < 2)
        return;
    plan->unroll[plan->n_unroll] = var;
    plan->tiles[plan->n_unroll++] = tile;
}

/* Accumulators of one store; long bodies take fewer, or their temporaries spill. */
static int64_t accumulators(const Plan *plan)
{
    const Target *target = plan->work->target;
    double all = (double)target->tile_rows * target->tile_vectors;
    double each = all / (double)plan->nest->stores.len / (1 + fmax(0, plan->ops - 2) / 8);
    return each < 1 ? 1 : (int64_t)each;
}

/* Where the rows come in few: is there another vector for each of them, in all panels of lanes but a small
 * rest? */
static bool tile_is_better_wide(const Plan *plan, int64_t vectors, int64_t budget)
{
    int64_t wide = plan->vectors + 1;
    return plan->vectors == plan->work->target->tile_vectors && budget / wide >= wide &&
           (vectors % wide == 0 || vectors >= 8 * wide);
}

static void tile_left_lanes(Plan *plan)
{
    const Target *target = plan->work->target;
    int64_t vectors = ceil_div(plan->lanes->extent, target->lanes);
    int64_t budget = accumulators(plan);
    const Var *row = best_row(plan, NULL, NULL);
    if (!row) {                                    /* column sums: several chains hide latency */
        plan->vectors = vectors < 4 ? vectors : budget < 4 ? budget : 4;
        return;
    }
    plan->vectors = vectors < target->tile_vectors ? vectors : target->tile_vectors;
    if (plan->vectors > budget)
        plan->vectors = budget;
    int64_t rows = budget / plan->vectors;
    if (rows > target->tile_rows)
        rows = target->tile_rows;
    int64_t tile = tile_of(row->extent, rows);
    if (tile * plan->vectors < target->tile_least && tile_is_better_wide(plan, vectors, budget)) {
        plan->vectors++;
        rows = budget / plan->vectors;
        tile = tile_of(row->extent, rows);
    }
    if (tile == row->extent && 2 * tile <= rows) {
        const Var *second = best_row(plan, row, NULL);
        if (second)
            unroll(plan, second, tile_of(second->extent, rows / tile));
    }
    unroll(plan, row, tile);
}

static void tile_reduced_lanes(Plan *plan)
{
    int64_t budget = accumulators(plan);
    const Var *row = best_row(plan, NULL, NULL);
    const Var *column = row ? best_row(plan, row, row) : NULL;
    if (!row) {
        int64_t vectors = ceil_div(plan->lanes->extent, plan->work->target->lanes);
        plan->vectors = vectors < 4 ? vectors : budget < 4 ? budget : 4;
        return;
    }
    int64_t rows = column ? (int64_t)sqrt((double)budget) : budget < 4 ? budget : 4;
    int64_t tile = tile_of(row->extent, rows);
    if (column)
        unroll(plan, column, tile_of(column->extent, budget / (tile > 0 ? tile : 1)));
    unroll(plan, row, tile);
}

/* A map with costly terms in the lanes variable alone: all its vectors at once, so that they are
 * computed once and kept in registers. */
static void tile_map(Plan *plan, ScalarList list)
{
    int64_t vectors = ceil_div(plan->lanes->extent, plan->work->target->lanes);
    bool costly = false;
    for (size_t i = 0; i < list.n; i++) {
        const Scalar *s = list.at[i];
        costly |= s->n_vars == 1 && s->vars[0] == plan->lanes && sc_cost(s) >= 5;
    }
    if (costly && vectors <= 4 && plan->nest->left.len > 1)
        plan->vectors = vectors;
}

/* --- loop order ------------------------------------------------------------------------------------------ */
static bool in_all_reads(const Plan *plan, const Var *var)
{
    for (size_t i = 0; i < plan->reads.n; i++) {
        if (!sc_uses(plan->reads.at[i], var))
            return false;
    }
    return true;
}

/* Bytes of the vector operands that all rows share, for one value of the batch variables. */
static double shared_bytes(const Plan *plan, const Var *row)
{
    double bytes = 0;
    for (size_t i = 0; i < plan->reads.n; i++) {
        const Scalar *read = plan->reads.at[i];
        if (sc_uses(read, row))
            continue;
        double size = (double)dtype_bytes(read->dtype);
        for (size_t k = 0; k < read->n_vars; k++)
            size *= in_all_reads(plan, read->vars[k]) ? 1 : (double)read->vars[k]->extent;
        bytes += size;
    }
    return bytes;
}

typedef struct Ordered {
    const Var *var;
    int group;                    /* outermost first */
    int64_t stride;               /* then descending */
    size_t index;                 /* then as given */
} Ordered;

static int by_order(const void *a, const void *b)
{
    const Ordered *x = a, *y = b;
    if (x->group != y->group)
        return x->group < y->group ? -1 : 1;
    if (x->stride != y->stride)
        return x->stride > y->stride ? -1 : 1;
    return (x->index > y->index) - (x->index < y->index);
}

enum { BATCH, COLUMNS_OUTER, OTHER, ROWS_2, ROWS, LANES, REDUCED, REDUCED_LANES };

static int left_group(const Plan *plan, const Var *var)
{
    if (var == plan->lanes)
        return plan->columns_outer ? COLUMNS_OUTER : LANES;
    if (plan->n_unroll > 0 && var == plan->unroll[plan->n_unroll - 1])
        return ROWS;
    if (plan->n_unroll > 1 && var == plan->unroll[0])
        return ROWS_2;
    return plan->n_unroll > 0 && in_all_reads(plan, var) ? BATCH : OTHER;
}

/* How far apart the elements of consecutive values lie, over all reads. */
static int64_t read_stride(const Plan *plan, const Var *var)
{
    int64_t sum = 0;
    for (size_t i = 0; i < plan->reads.n; i++) {
        int64_t stride;
        const KBuffer *buffer = work_buffer(plan->work, plan->reads.at[i]->tensor);
        if (!access_stride(buffer, plan->reads.at[i]->at, var, &stride))
            return INT64_MAX;
        if (!CHECKED_ADD(sum, llabs(stride), &sum))
            return INT64_MAX;
    }
    return sum;
}

static KLoop loop_of(const Plan *plan, const Var *var, bool reduced)
{
    KLoop loop = {.var = var, .kind = KLOOP_SERIAL, .tile = 1, .reduced = reduced};
    if (var == plan->lanes) {
        loop.kind = KLOOP_LANES;
        loop.tile = plan->vectors;
    }
    for (size_t i = 0; i < plan->n_unroll; i++) {
        if (var == plan->unroll[i]) {
            loop.kind = KLOOP_UNROLL;
            loop.tile = plan->tiles[i];
        }
    }
    return loop;
}

static void order_loops(Plan *plan)
{
    Arena *arena = plan->work->arena;
    WorkNest *nest = plan->nest;
    size_t n = nest->left.len + nest->reduced.len;
    Ordered *order = NEW_ARRAY(arena, Ordered, n);
    for (size_t i = 0; i < nest->left.len; i++) {
        const Var *var = nest->left.at[i];
        order[i] = (Ordered){.var = var, .group = left_group(plan, var),
                             .stride = store_stride(plan, var), .index = i};
    }
    for (size_t i = 0; i < nest->reduced.len; i++) {
        const Var *var = nest->reduced.at[i];
        order[nest->left.len + i] = (Ordered){
            .var = var, .group = var == plan->lanes ? REDUCED_LANES : REDUCED,
            .stride = lanes_may_reduce(nest) ? read_stride(plan, var) : 0,   /* argmax: as given */
            .index = nest->left.len + i};
    }
    qsort(order, n, sizeof *order, by_order);
    KLoop *loops = NEW_ARRAY(arena, KLoop, n);
    for (size_t i = 0; i < n; i++)
        loops[i] = loop_of(plan, order[i].var, order[i].group >= REDUCED);
    nest->loops = loops;
    nest->n_loops = n;
}

static void schedule_nest(const WorkKernel *work, WorkNest *nest)
{
    Plan plan = {.work = work, .nest = nest, .vectors = 1};
    ScalarList list =
        nest_list(work->arena, nest->stores.len, nest->stores.at, work->buffers.at);
    const Scalar **reads = NEW_ARRAY(work->arena, const Scalar *, list.n);
    for (size_t i = 0; i < list.n; i++) {
        if (list.at[i]->kind == SCALAR_READ)
            reads[plan.reads.n++] = list.at[i];
        plan.ops += sc_cost(list.at[i]);
    }
    plan.reads.at = reads;
    choose_lanes(&plan);
    if (plan.lanes && nest->reduced.len == 0)
        tile_map(&plan, list);
    if (plan.lanes && nest->reduced.len > 0) {
        if (plan.lanes_reduced)
            tile_reduced_lanes(&plan);
        else
            tile_left_lanes(&plan);
        if (plan.n_unroll > 0 && !plan.lanes_reduced)
            plan.columns_outer = shared_bytes(&plan, plan.unroll[plan.n_unroll - 1]) >
                                 (double)work->target->l2_bytes / 2;
    }
    nest->work = nest_points(nest) * (plan.n_unroll > 0 ? 0.1 : 1 + plan.ops / 4);
    order_loops(&plan);
}

void work_schedule(WorkKernel *work)
{
    for (size_t i = 0; i < work->nests.len; i++)
        schedule_nest(work, &work->nests.at[i]);
}
