/* Equations of a group become nests over buffers: variables of several equations are unified, a
 * producer of the same nest is written into its reader, pieces store or add, guards stand at the
 * store or mask the body. Loop order, lanes and chunks are not decided here. */
#include "loop/internal.h"

#include <assert.h>
#include <math.h>

/* --- pieces with substituted variables ---------------------------------------------------------- */
typedef struct Unify {
    VEC(const Var *) from;
    VEC(const Position *) to;
} Unify;

static void unify(const WorkKernel *work, Unify *map, const Var *from, const Var *to)
{
    assert(from->extent == to->extent);
    if (from == to)
        return;
    VEC_PUSH(work->arena, map->from, from);
    VEC_PUSH(work->arena, map->to, pos_var(work->graph->pool, to));
}

static Piece piece_renamed(const WorkKernel *work, const Node *node, const Piece *piece,
                           const Var *const *vars, const Var *const *reduced)
{
    ExprPool *pool = work->graph->pool;
    Unify map = {0};
    for (size_t i = 0; i < piece->n_vars; i++)
        unify(work, &map, piece->vars[i], vars[i]);
    for (size_t i = 0; i < piece->n_reduced; i++)
        unify(work, &map, piece->reduced[i], reduced[i]);
    Subst subst = {.n = map.from.len, .from = map.from.at, .to = map.to.at};
    Piece out = *piece;
    out.vars = vars;
    out.reduced = reduced;
    if (subst.n == 0)
        return out;
    const Position **left = NEW_ARRAY(work->arena, const Position *, node->rank);
    for (size_t d = 0; d < node->rank; d++)
        left[d] = pos_subst(pool, piece->left[d], &subst);
    Guard *guards = NEW_ARRAY(work->arena, Guard, piece->n_guards);
    for (size_t i = 0; i < piece->n_guards; i++) {
        guards[i] = piece->guards[i];
        guards[i].position = pos_subst(pool, guards[i].position, &subst);
    }
    out.left = left;
    out.guards = guards;
    out.body = sc_subst(pool, piece->body, &subst);
    return out;
}

/* --- buffers -------------------------------------------------------------------------------------- */
static uint32_t add_buffer(WorkKernel *work, const Lowering *in, NodeId tensor)
{
    for (size_t i = 0; i < work->buffers.len; i++) {
        if (work->buffers.at[i].tensor == tensor)
            return (uint32_t)i;
    }
    const Node *node = graph_node(in->graph, tensor);
    KBuffer buffer = {.tensor = tensor,
                      .dtype = node->dtype,
                      .place = KPLACE_GLOBAL,
                      .rank = node->rank,
                      .dims = node->dims,
                      .strides = in->strides[tensor],
                      .elements = in->elements[tensor]};
    VEC_PUSH(work->arena, work->buffers, buffer);
    return (uint32_t)work->buffers.len - 1;
}

static void add_reads(WorkKernel *work, const Lowering *in, const WorkNest *nest)
{
    ScalarList list =
        nest_list(work->arena, nest->stores.len, nest->stores.at, work->buffers.at);
    for (size_t i = 0; i < list.n; i++) {
        if (list.at[i]->kind == SCALAR_READ)
            add_buffer(work, in, list.at[i]->tensor);
    }
}

/* --- stores ----------------------------------------------------------------------------------------- */
static double reduce_identity(ReduceOp op)
{
    switch (op) {
    case REDUCE_NONE: case REDUCE_SUM: case REDUCE_ANY:
        return 0;
    case REDUCE_PROD: case REDUCE_ALL:
        return 1;
    case REDUCE_MAX: case REDUCE_ARGMAX:
        return -INFINITY;
    case REDUCE_MIN: case REDUCE_ARGMIN:
        return INFINITY;
    }
    return 0;
}

static bool guard_at_store(const Piece *piece, const Guard *guard)
{
    for (size_t i = 0; i < piece->n_reduced; i++) {
        if (pos_uses(guard->position, piece->reduced[i]))
            return false;
    }
    return true;
}

static KStore store_of(const WorkKernel *work, const Node *node, const Piece *piece,
                       uint32_t buffer, bool accumulate)
{
    ExprPool *pool = work->graph->pool;
    ReduceOp op = piece->n_reduced == 0 ? REDUCE_NONE : node->reduce;
    Guard *guards = NEW_ARRAY(work->arena, Guard, piece->n_guards);
    size_t n_guards = 0;
    const Scalar *body = piece->body;
    for (size_t i = 0; i < piece->n_guards; i++) {
        const Guard *guard = &piece->guards[i];
        if (guard_at_store(piece, guard)) {
            guards[n_guards++] = *guard;
            continue;
        }
        const Scalar *inside = sc_within(pool, guard->lo, guard->position, guard->hi);
        body = sc_fn3(pool, OP_SELECT, inside, body,
                      sc_const(pool, body->dtype, reduce_identity(op)));
    }
    return (KStore){.buffer = buffer,
                    .reduce = op,
                    .accumulate = accumulate,
                    .left = piece->left,
                    .n_guards = n_guards,
                    .guards = guards,
                    .body = body};
}

static void nest_variables(const WorkKernel *work, WorkNest *nest, const Node *node,
                           const Piece *piece)
{
    bool *bound = NEW_ARRAY(work->arena, bool, piece->n_vars);
    left_bound(node->rank, piece->left, piece->n_vars, piece->vars, bound);
    for (size_t i = 0; i < piece->n_vars; i++) {
        if (piece->vars[i]->extent == 1)
            continue;
        VEC_PUSH(work->arena, nest->left, piece->vars[i]);
        VEC_PUSH(work->arena, nest->bound, bound[i]);
    }
    for (size_t i = 0; i < piece->n_reduced; i++) {
        if (piece->reduced[i]->extent != 1)
            VEC_PUSH(work->arena, nest->reduced, piece->reduced[i]);
    }
}

/* A reduction over nothing but variables of extent 1 is its body; argmax of one element is 0. */
static void store_settle(const WorkKernel *work, const WorkNest *nest, KStore *store)
{
    if (nest->reduced.len > 0 || store->reduce == REDUCE_NONE)
        return;
    if (store->reduce == REDUCE_ARGMAX || store->reduce == REDUCE_ARGMIN)
        store->body = sc_const(work->graph->pool, DT_I32, 0);
    store->reduce = REDUCE_NONE;
}

/* --- nests of single equations ------------------------------------------------------------------------ */
static void nest_clear(WorkKernel *work, const Lowering *in, NodeId id)
{
    const Node *node = graph_node(in->graph, id);
    ExprPool *pool = in->graph->pool;
    const Var **vars = NEW_ARRAY(work->arena, const Var *, node->rank);
    const Position **left = NEW_ARRAY(work->arena, const Position *, node->rank);
    for (size_t d = 0; d < node->rank; d++) {
        vars[d] = var_new(pool, node->dims[d], STR("z"));
        left[d] = pos_var(pool, vars[d]);
    }
    Piece piece = {.n_vars = node->rank, .vars = vars, .left = left,
                   .body = sc_const(pool, node->dtype, 0)};
    WorkNest nest = {0};
    uint32_t buffer = add_buffer(work, in, id);
    work->buffers.at[buffer].written = true;
    nest_variables(work, &nest, node, &piece);
    VEC_PUSH(work->arena, nest.stores, store_of(work, node, &piece, buffer, false));
    VEC_PUSH(work->arena, work->nests, nest);
}

/* injective: known of the piece as a whole, where its left positions alone do not show it. */
static void nest_piece(WorkKernel *work, const Lowering *in, NodeId id, const Piece *piece,
                       bool accumulate, bool injective)
{
    const Node *node = graph_node(in->graph, id);
    WorkNest nest = {0};
    uint32_t buffer = add_buffer(work, in, id);
    work->buffers.at[buffer].written = true;
    nest_variables(work, &nest, node, piece);
    for (size_t i = 0; i < nest.bound.len; i++)
        nest.bound.at[i] |= injective;
    VEC_PUSH(work->arena, nest.stores, store_of(work, node, piece, buffer, accumulate));
    store_settle(work, &nest, &nest.stores.at[0]);
    add_reads(work, in, &nest);
    VEC_PUSH(work->arena, work->nests, nest);
}

/* --- nests of several equations ------------------------------------------------------------------------- */
typedef struct Producers {        /* equations of this nest so far, by node */
    const WorkKernel *work;
    size_t n;
    const NodeId *ids;
    const Scalar *const *bodies;
} Producers;

static const Scalar *read_producer(void *context, ExprPool *pool, const Scalar *old, size_t rank,
                                   const Position *const *at, const Scalar *fill)
{
    (void)pool, (void)rank, (void)at, (void)fill;
    const Producers *producers = context;
    for (size_t i = 0; i < producers->n; i++) {
        if (producers->ids[i] == old->tensor)
            return producers->bodies[i];
    }
    return NULL;
}

/* Plain equations of equal domain: variables of the first, reads of one another replaced. */
static void nest_shared(WorkKernel *work, const Lowering *in, size_t first, size_t end)
{
    const Node *lead = graph_node(in->graph, in->nodes[first]);
    const Piece *shape = &lead->pieces[0];
    const Var **vars = NEW_ARRAY(work->arena, const Var *, shape->n_vars);
    for (size_t i = 0; i < shape->n_vars; i++)
        vars[i] = shape->vars[i];
    for (size_t r = 0; r < in->n_rows; r++)
        vars[in->rows[first][r]] = work->rows.at[r];
    const Scalar **bodies = NEW_ARRAY(work->arena, const Scalar *, end - first);
    Producers producers = {.work = work, .ids = in->nodes + first, .bodies = bodies};
    WorkNest nest = {0};
    for (size_t i = first; i < end; i++) {
        const Node *node = graph_node(in->graph, in->nodes[i]);
        assert(node->n_pieces == 1 && piece_is_plain(node, &node->pieces[0]));
        assert(node->rank == lead->rank && node->pieces[0].n_reduced == shape->n_reduced);
        Piece piece = piece_renamed(work, node, &node->pieces[0], vars, shape->reduced);
        if (producers.n > 0)
            piece.body = sc_rewrite(in->graph->pool, piece.body, read_producer, &producers);
        bodies[producers.n++] = piece.body;
        if (i == first)
            nest_variables(work, &nest, node, &piece);
        if (!in->stored[in->nodes[i]])
            continue;
        uint32_t buffer = add_buffer(work, in, in->nodes[i]);
        work->buffers.at[buffer].written = true;
        VEC_PUSH(work->arena, nest.stores, store_of(work, node, &piece, buffer, false));
        store_settle(work, &nest, &nest.stores.at[nest.stores.len - 1]);
    }
    add_reads(work, in, &nest);
    VEC_PUSH(work->arena, work->nests, nest);
}

/* --- groups --------------------------------------------------------------------------------------------- */
static WorkKernel work_new(Arena *arena, const Lowering *in)
{
    return (WorkKernel){.arena = arena, .graph = in->graph, .target = in->target};
}

static bool is_plain(const Lowering *in, NodeId id)
{
    const Node *node = graph_node(in->graph, id);
    return node->n_pieces == 1 && piece_is_plain(node, &node->pieces[0]);
}

/* The pieces of one equation, each as a nest of `work`, or each as a kernel of its own when `work`
 * is NULL (they are not aligned, and each may be worth its own chunks). */
static void lower_pieces(Arena *arena, const Lowering *in, NodeId id, WorkKernel *work,
                         Kernels *kernels)
{
    const Node *node = graph_node(in->graph, id);
    Coverage coverage = coverage_of(arena, node);
    bool adds = !coverage.disjoint;
    if (coverage.clear) {
        WorkKernel own = work_new(arena, in);
        nest_clear(work ? work : &own, in, id);
        if (!work)
            VEC_PUSH(arena, *kernels, work_finish(&own, in, id));
    }
    for (size_t k = 0; k < node->n_pieces; k++) {
        /* the piece that covers everything goes first, the others follow in their order */
        size_t first = coverage.clear || coverage.disjoint ? 0 : coverage.first;
        size_t i = k == 0 ? first : k <= first ? k - 1 : k;
        const Piece *piece = &node->pieces[i];
        WorkKernel own = work_new(arena, in);
        WorkKernel *to = work ? work : &own;
        bool stores = !adds || (k == 0 && !coverage.clear);
        assert(!stores || coverage.injective[i]);
        nest_piece(to, in, id, piece, !stores, coverage.injective[i]);
        if (!work)
            VEC_PUSH(arena, *kernels, work_finish(&own, in, id));
    }
}

/* Rows are variables of the kernel's own: an equation's may be other dimensions of another's. */
static void add_row(WorkKernel *work, const Var *like)
{
    VEC_PUSH(work->arena, work->rows, var_new(work->graph->pool, like->extent, like->name));
}

static void choose_rows(WorkKernel *work, const Lowering *in)
{
    const Node *lead = graph_node(in->graph, in->nodes[0]);
    for (size_t r = 0; r < in->n_rows; r++)
        add_row(work, lead->pieces[0].vars[in->rows[0][r]]);
}

/* --- chains --------------------------------------------------------------------------------------------- */
enum { MOST_MAPS = 4 };          /* of a nest; their streams share the first cache */

typedef struct Part {
    const PieceRows *of;
    Piece piece;                 /* over the common rows */
} Part;

static bool is_common(const WorkKernel *work, const Var *var)
{
    for (size_t r = 0; r < work->rows.len; r++) {
        if (work->rows.at[r] == var)
            return true;
    }
    return false;
}

static const Var *const *with_rows(const WorkKernel *work, const PieceRows *part, size_t n,
                                   const Var *const *vars)
{
    const Var **to = NEW_ARRAY(work->arena, const Var *, n);
    for (size_t i = 0; i < n; i++) {
        to[i] = vars[i];
        for (size_t r = 0; r < work->rows.len; r++) {
            if (vars[i] == part->rows[r])
                to[i] = work->rows.at[r];
        }
    }
    return to;
}

/* Does the map have the points of the last nest's first map, row by row? Reads of what that nest
 * computes are at the same point then: of other points there is none that a map of a chain reads. */
static bool same_points(const WorkKernel *work, const Lowering *in, const Part *last, const Part *part)
{
    const Node *a = graph_node(in->graph, last->of->node), *b = graph_node(in->graph, part->of->node);
    if (last->piece.n_reduced > 0 || part->piece.n_reduced > 0 || a->rank != b->rank)
        return false;
    for (size_t d = 0; d < a->rank; d++) {
        const Var *x = last->piece.vars[d], *y = part->piece.vars[d];
        if (a->dims[d] != b->dims[d] || (x != y && (is_common(work, x) || is_common(work, y))))
            return false;
    }
    return true;
}

/* Into the last nest, whose first map is `lead`. */
static void join_nest(WorkKernel *work, const Lowering *in, const Part *lead, Part *part)
{
    const Node *node = graph_node(in->graph, part->of->node);
    WorkNest *nest = &work->nests.at[work->nests.len - 1];
    NodeId ids[MAX_RANK];
    const Scalar *bodies[MAX_RANK];
    Producers producers = {.work = work, .n = nest->stores.len, .ids = ids, .bodies = bodies};
    for (size_t i = 0; i < nest->stores.len; i++) {
        ids[i] = work->buffers.at[nest->stores.at[i].buffer].tensor;
        bodies[i] = nest->stores.at[i].body;
    }
    part->piece = piece_renamed(work, node, &part->piece, lead->piece.vars, NULL);
    part->piece.body = sc_rewrite(in->graph->pool, part->piece.body, read_producer, &producers);
    uint32_t buffer = add_buffer(work, in, part->of->node);
    work->buffers.at[buffer].written = true;
    VEC_PUSH(work->arena, nest->stores, store_of(work, node, &part->piece, buffer, false));
    add_reads(work, in, nest);
}

static void lower_chain(WorkKernel *work, const Lowering *in)
{
    Part lead = {0};
    for (size_t r = 0; r < in->n_part_rows; r++)
        add_row(work, in->parts[0].rows[r]);
    for (size_t i = 0; i < in->n_parts; i++) {
        Part part = {.of = &in->parts[i]};
        const Node *node = graph_node(in->graph, part.of->node);
        const Piece *piece = &node->pieces[part.of->piece];
        part.piece = piece_renamed(work, node, piece,
                                   with_rows(work, part.of, piece->n_vars, piece->vars),
                                   with_rows(work, part.of, piece->n_reduced, piece->reduced));
        if (lead.of && work->nests.at[work->nests.len - 1].stores.len < MOST_MAPS &&
            same_points(work, in, &lead, &part)) {
            join_nest(work, in, &lead, &part);
            continue;
        }
        nest_piece(work, in, part.of->node, &part.piece, false, true);
        lead = part;
    }
}

void kernel_lower(Arena *arena, const Lowering *in, Kernels *kernels)
{
    assert(in->n > 0);
    if (graph_node(in->graph, in->nodes[0])->kind == NODE_INTRINSIC) {
        VEC_PUSH(arena, *kernels, call_kernel(arena, in, in->nodes[0]));
        return;
    }
    if (in->n == 1 && in->n_parts == 0 && !is_plain(in, in->nodes[0])) {
        lower_pieces(arena, in, in->nodes[0], NULL, kernels);
        return;
    }
    WorkKernel work = work_new(arena, in);
    if (in->n_parts > 0) {
        lower_chain(&work, in);
        VEC_PUSH(arena, *kernels, work_finish(&work, in, in->nodes[0]));
        return;
    }
    choose_rows(&work, in);
    for (size_t i = 0; i < in->n;) {
        if (!is_plain(in, in->nodes[i])) {
            assert(in->n_rows == 0);
            lower_pieces(arena, in, in->nodes[i], &work, kernels);
            i++;
            continue;
        }
        size_t end = i + 1;
        while (end < in->n && in->nests[end] == in->nests[i])
            end++;
        nest_shared(&work, in, i, end);
        i = end;
    }
    VEC_PUSH(arena, *kernels, work_finish(&work, in, in->nodes[0]));
}
