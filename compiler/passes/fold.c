/* fold: what depends on constants only is computed now, by the interpreter, and becomes a constant;
 * readers see a uniform constant's value, and an element read at a constant position. Needs a
 * well-formed graph; guarantees the same values up to rounding of narrow types. Only results worth
 * their bytes are kept: small ones, and not those that a few instructions make from indices. */
#include "passes/clean.h"
#include "passes/densify.h"

enum {
    MAX_ELEMENTS = 1 << 16,       /* of a result */
    MAX_POINTS = 1 << 19,         /* loop iterations of one equation */
    MAX_TOTAL = 1 << 22           /* of all of them */
};
static const double worth_storing = 12;   /* instructions; cheaper maps are computed where read */

typedef struct Fold {
    Arena *arena;
    Graph *to;
    NodeId *map;
    Interp interp;                /* over `to`; values of what was computed so far */
    bool *pure;                   /* by new id: made of constants and indices only, and small */
    bool *cheap;                  /* by new id: a map of indices only, of few instructions */
} Fold;

/* --- reads ---------------------------------------------------------------------------------------- */
/* An element of a constant; NULL if it is not known here. Ints may stand in positions, where a
 * value outside the tensor must stay a fault of the run. */
static const Scalar *element(const Fold *fold, const Scalar *read)
{
    const Node *node = graph_node(fold->to, read->tensor);
    int64_t offset = 0, at;
    if (node->kind != NODE_CONSTANT || !node->data || !dtype_is_float(node->dtype))
        return NULL;
    for (size_t k = 0; k < read->n; k++) {
        if (!pos_is_const(read->at[k], &at) || at < 0 || at >= node->dims[k])
            return NULL;
        offset = offset * node->dims[k] + at;
    }
    return sc_const(fold->to->pool, node->dtype, node->data[offset]);
}

static const Scalar *read_folded(void *context, ExprPool *pool, const Scalar *old, size_t rank,
                                 const Position *const *at, const Scalar *fill)
{
    const Fold *fold = context;
    (void)pool, (void)rank;
    const Scalar *read = read_through(fold->to, fold->map[old->tensor], at, fill);
    const Scalar *value = read->kind == SCALAR_READ ? element(fold, read) : NULL;
    return value ? value : read;
}

/* --- what can be computed -------------------------------------------------------------------------- */
static bool piece_points(const Piece *piece, int64_t *points)
{
    *points = 1;
    for (size_t i = 0; i < piece->n_vars + piece->n_reduced; i++) {
        const Var *v = i < piece->n_vars ? piece->vars[i] : piece->reduced[i - piece->n_vars];
        if (!CHECKED_MUL(*points, v->extent, points))
            return false;
    }
    return true;
}

static void judge_piece(Fold *fold, NodeId id, const Piece *piece, size_t rank)
{
    ScalarList list = piece_list(fold->arena, piece, rank);
    double cost = 0;
    for (size_t i = 0; i < list.n; i++) {
        const Scalar *s = list.at[i];
        if (s->kind == SCALAR_RANDOM)
            fold->pure[id] = false;
        if (s->kind == SCALAR_READ) {
            fold->pure[id] &= fold->pure[s->tensor];
            fold->cheap[id] = false;
        }
        cost += sc_cost(s);
    }
    fold->cheap[id] &= piece->n_reduced == 0 && cost < worth_storing;
}

static void judge(Fold *fold, NodeId id)
{
    const Node *node = graph_node(fold->to, id);
    int64_t total = 0, points;
    fold->pure[id] = (node->kind == NODE_CONSTANT || node->kind == NODE_EQUATION) &&
                     node_elements(node) <= MAX_ELEMENTS;
    fold->cheap[id] = node->n_pieces == 1;
    for (size_t i = 0; i < node->n_pieces && fold->pure[id]; i++) {
        judge_piece(fold, id, &node->pieces[i], node->rank);
        fold->pure[id] &= piece_points(&node->pieces[i], &points) && points <= MAX_POINTS &&
                          CHECKED_ADD(total, points, &total);
    }
    fold->pure[id] &= total <= MAX_TOTAL;
}

/* --- computing -------------------------------------------------------------------------------------- */
/* values of a node and what it reads, on demand; false: it faults, or there was enough to do */
static bool computed(Fold *fold, NodeId id)
{
    if (fold->interp.values[id])
        return true;
    const Node *node = graph_node(fold->to, id);
    for (size_t i = 0; i < node->n_pieces; i++) {
        ScalarList list = piece_list(fold->arena, &node->pieces[i], node->rank);
        for (size_t k = 0; k < list.n; k++)
            if (list.at[k]->kind == SCALAR_READ && !computed(fold, list.at[k]->tensor))
                return false;
    }
    if (fold->interp.points > MAX_TOTAL)
        return false;
    fold->interp.faulted = false;
    if (interp_node(&fold->interp, id))
        return true;
    fold->interp.values[id] = NULL;
    fold->pure[id] = false;
    return false;
}

static NodeId constant_of(Fold *fold, NodeId id)
{
    Node node = *graph_node(fold->to, id);
    const double *values = fold->interp.values[id];
    int64_t n = node_elements(&node);
    bool uniform = n > 0;
    for (int64_t i = 1; i < n; i++)
        uniform &= values[i] == values[0];
    NodeId constant = graph_constant(fold->to, node.dtype, node.rank, node.dims,
                                     uniform ? NULL : values, uniform ? values[0] : 0, node.span);
    fold->interp.values[constant] = fold->interp.values[id];
    fold->pure[constant] = true;
    return constant;
}

/* c everywhere, of any size */
static bool is_uniform(const Node *node, double *value)
{
    return node->kind == NODE_EQUATION && node->n_pieces == 1 &&
           (node->reduce == REDUCE_NONE || node->reduce == REDUCE_SUM) &&
           node->pieces[0].n_reduced == 0 && piece_is_plain(node, &node->pieces[0]) &&
           sc_is_const(node->pieces[0].body, value);
}

static NodeId folded(Fold *fold, const Node *old)
{
    NodeId id = node_rewrite(fold->to, old, read_folded, fold, fold->map);
    Node node = *graph_node(fold->to, id);
    double value;
    judge(fold, id);
    if (is_uniform(&node, &value)) {
        id = graph_constant(fold->to, node.dtype, node.rank, node.dims, NULL, value, node.span);
        judge(fold, id);
        return id;
    }
    bool worth = node.kind == NODE_EQUATION && fold->pure[id] && !fold->cheap[id];
    return worth && computed(fold, id) ? constant_of(fold, id) : id;
}

/* What is computed leaves its equation behind, unread: for each node at most one more. */
Graph *pass_fold(Arena *arena, const Graph *graph)
{
    size_t n = graph->nodes.len;
    Graph *to = graph_new(arena);
    Arena *scratch = arena_new(arena_mem(arena), "fold");
    Fold fold = {.arena = scratch, .to = to, .interp = {.graph = to, .arena = scratch}};
    fold.map = NEW_ARRAY(scratch, NodeId, n + 1);
    fold.pure = NEW_ARRAY(scratch, bool, 2 * n + 1);
    fold.cheap = NEW_ARRAY(scratch, bool, 2 * n + 1);
    fold.interp.values = NEW_ARRAY(scratch, double *, 2 * n + 1);
    for (NodeId id = 0; id < n; id++)
        fold.map[id] = folded(&fold, graph_node(graph, id));
    outputs_copy(to, graph, fold.map);
    arena_free(scratch);
    return to;
}
