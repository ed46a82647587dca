/* copy: nodes from one graph into another. A tensor that only copies, broadcasts or scales is read
 * through: its readers see what it reads (differentiation.md 8, 9). */
#include "passes/densify.h"

/* --- read through
 * --------------------------------------------------------------------------------- */
static bool plain_read(const Scalar *s)
{
    if (s->kind != SCALAR_READ || s->fill)
        return false;
    for (size_t k = 0; k < s->n; k++)
        if (s->at[k]->has_data)
            return false;
    return true;
}

/* What a copy reads, widened or not. */
static const Scalar *unwidened(const Scalar *s)
{
    bool widens = s->kind == SCALAR_FN && s->op == OP_CAST && dtype_is_float(s->dtype);
    return widens && dtype_is_short(s->args[0]->dtype) ? s->args[0] : s;
}

/* c, b[e] or c * b[e] */
static bool is_copy(const Node *node)
{
    if (node->kind != NODE_EQUATION || node->n_pieces != 1 || node->pieces[0].n_reduced != 0 ||
        (node->reduce != REDUCE_NONE && node->reduce != REDUCE_SUM) ||
        !piece_is_plain(node, &node->pieces[0]))
        return false;
    const Scalar *body = node->pieces[0].body;
    if (body->kind == SCALAR_FN && body->op == OP_MUL && body->n == 2 &&
        body->args[0]->kind == SCALAR_CONST)
        body = body->args[1];
    return body->kind == SCALAR_CONST || plain_read(unwidened(body));
}

/* The tensor's positions that `at` does not prove inside leave what it copies in the same places:
 * each is a dimension there too, of the same extent, at the variable alone. */
static bool same_ranges(const Graph *graph, const Node *node, const Scalar *copied,
                        const Position *const *at)
{
    if (copied->kind != SCALAR_READ)
        return false;
    const Node *source = graph_node(graph, copied->tensor);
    for (size_t k = 0; k < node->rank; k++) {
        bool same = pos_in_range(at[k], node->dims[k]);
        for (size_t j = 0; j < source->rank && !same; j++) {
            const Var *v;
            same = pos_is_var(copied->at[j], &v) && v == node->pieces[0].vars[k] &&
                   source->dims[j] == node->dims[k];
        }
        if (!same)
            return false;
    }
    return true;
}

static bool all_in_range(const Node *node, const Position *const *at)
{
    for (size_t k = 0; k < node->rank; k++)
        if (!pos_in_range(at[k], node->dims[k]))
            return false;
    return true;
}

static const Scalar *through_copy(const Graph *graph, const Node *node, const Position *const *at,
                                  const Scalar *fill)
{
    ExprPool *pool = graph->pool;
    const Piece *piece = &node->pieces[0];
    Subst subst = {.n = piece->n_vars, .from = piece->vars, .to = at};
    if (all_in_range(node, at))
        return sc_subst(pool, piece->body, &subst);
    bool scaled = piece->body->kind == SCALAR_FN && piece->body->op == OP_MUL;
    const Scalar *whole = scaled ? piece->body->args[1] : piece->body, *copied = unwidened(whole);
    if (!same_ranges(graph, node, copied, at) || ((scaled || copied != whole) && fill && !sc_is_zero(fill)))
        return NULL;
    const Scalar *inner = sc_subst(pool, copied, &subst);
    const Scalar *read = sc_cast(pool, whole->dtype, graph_read(graph, inner->tensor, inner->at, fill));
    return scaled ? sc_fn2(pool, OP_MUL, piece->body->args[0], read) : read;
}

const Scalar *read_through(const Graph *graph, NodeId tensor, const Position *const *at,
                           const Scalar *fill)
{
    const Node *node = graph_node(graph, tensor);
    const Scalar *read = graph_read(graph, tensor, at, fill);
    if (node->kind == NODE_CONSTANT && !node->data && dtype_is_float(node->dtype) &&
        all_in_range(node, at))
        return sc_const(graph->pool, node->dtype, node->value);
    const Scalar *through = is_copy(node) ? through_copy(graph, node, at, fill) : NULL;
    return through ? through : read;
}

/* --- import
 * --------------------------------------------------------------------------------------- */
typedef struct Import {
    Graph *to;
    const NodeId *map;
} Import;

static const Scalar *import_read(void *context, ExprPool *pool, const Scalar *old, size_t rank,
                                 const Position *const *at, const Scalar *fill)
{
    const Import *import = context;
    (void)pool;
    (void)rank;
    return read_through(import->to, import->map[old->tensor], at, fill);
}

Piece piece_import(Graph *to, const Piece *piece, size_t rank, const NodeId *map)
{
    Import import = {.to = to, .map = map};
    return piece_rewrite(to, piece, rank, import_read, &import);
}

NodeId node_import(Graph *to, const Node *node, const NodeId *map)
{
    Import import = {.to = to, .map = map};
    return node_rewrite(to, node, import_read, &import, map);
}
