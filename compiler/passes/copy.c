/* copy: nodes from one graph into another. A tensor that only copies, broadcasts or scales is read
 * through: its readers see what it reads (differentiation.md 8, 9). */
#include "passes/densify.h"

#include <assert.h>

/* --- read through --------------------------------------------------------------------------------- */
static bool plain_read(const Scalar *s)
{
    if (s->kind != SCALAR_READ || s->fill)
        return false;
    for (size_t k = 0; k < s->n; k++)
        if (s->at[k]->has_data)
            return false;
    return true;
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
    return body->kind == SCALAR_CONST || plain_read(body);
}

const Scalar *read_through(const Graph *graph, NodeId tensor, const Position *const *at,
                           const Scalar *fill)
{
    const Node *node = graph_node(graph, tensor);
    const Scalar *read = graph_read(graph, tensor, at, fill);
    if (read->fill)
        return read;
    if (node->kind == NODE_CONSTANT && !node->data && dtype_is_float(node->dtype))
        return sc_const(graph->pool, node->dtype, node->value);
    if (!is_copy(node))
        return read;
    const Piece *piece = &node->pieces[0];
    Subst subst = {.n = piece->n_vars, .from = piece->vars, .to = at};
    return sc_subst(graph->pool, piece->body, &subst);
}

/* --- import --------------------------------------------------------------------------------------- */
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

static const Var *const *import_vars(Graph *to, size_t n, const Var *const *vars)
{
    const Var **copy = NEW_ARRAY(to->arena, const Var *, n);
    for (size_t i = 0; i < n; i++)
        copy[i] = var_import(to->pool, vars[i]);
    return copy;
}

Piece piece_import(Graph *to, const Piece *piece, size_t rank, const NodeId *map)
{
    Import import = {.to = to, .map = map};
    Piece copy = *piece;
    copy.vars = import_vars(to, piece->n_vars, piece->vars);
    copy.reduced = import_vars(to, piece->n_reduced, piece->reduced);
    const Position **left = NEW_ARRAY(to->arena, const Position *, rank);
    for (size_t k = 0; k < rank; k++)
        left[k] = pos_rewrite(to->pool, piece->left[k], import_read, &import);
    Guard *guards = NEW_ARRAY(to->arena, Guard, piece->n_guards);
    for (size_t i = 0; i < piece->n_guards; i++)
        guards[i] = (Guard){piece->guards[i].lo, piece->guards[i].hi,
                            pos_rewrite(to->pool, piece->guards[i].position, import_read, &import)};
    copy.left = left;
    copy.guards = guards;
    copy.body = sc_rewrite(to->pool, piece->body, import_read, &import);
    return copy;
}

NodeId node_import(Graph *to, const Node *node, const NodeId *map)
{
    switch (node->kind) {
    case NODE_INPUT:
    case NODE_PARAM:
    case NODE_STATE:
    case NODE_STEP:
        return graph_leaf(to, node->kind, node->dtype, node->rank, node->dims, node->name,
                          node->variable, node->span);
    case NODE_CONSTANT:
        return graph_constant(to, node->dtype, node->rank, node->dims, node->data, node->value,
                              node->span);
    case NODE_EQUATION: {
        Piece *pieces = NEW_ARRAY(to->arena, Piece, node->n_pieces);
        for (size_t i = 0; i < node->n_pieces; i++)
            pieces[i] = piece_import(to, &node->pieces[i], node->rank, map);
        return graph_equation(to, node->dtype, node->rank, node->dims, node->reduce,
                              node->n_pieces, pieces, node->name, node->span);
    }
    case NODE_INTRINSIC:
    case NODE_COLLECTIVE: {
        NodeId *args = NEW_ARRAY(to->arena, NodeId, node->n_args);
        for (size_t i = 0; i < node->n_args; i++)
            args[i] = map[node->args[i]];
        assert(node->kind == NODE_INTRINSIC);
        return graph_intrinsic(to, node->function, node->dtype, node->rank, node->dims,
                               node->n_args, args, node->span);
    }
    }
    return NODE_NONE;
}
