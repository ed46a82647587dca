/* Pieces and whole nodes rebuilt in a graph, their reads mapped: how passes carry over what they do
 * not change. */
#include "graph/graph.h"

static const Var *const *import_vars(Graph *to, size_t n, const Var *const *vars)
{
    const Var **copy = NEW_ARRAY(to->arena, const Var *, n);
    for (size_t i = 0; i < n; i++)
        copy[i] = var_import(to->pool, vars[i]);
    return copy;
}

Piece piece_rewrite(Graph *to, const Piece *piece, size_t rank, ReadMap *map, void *context)
{
    Piece copy = *piece;
    copy.vars = import_vars(to, piece->n_vars, piece->vars);
    copy.reduced = import_vars(to, piece->n_reduced, piece->reduced);
    const Position **left = NEW_ARRAY(to->arena, const Position *, rank);
    for (size_t k = 0; k < rank; k++)
        left[k] = pos_rewrite(to->pool, piece->left[k], map, context);
    Guard *guards = NEW_ARRAY(to->arena, Guard, piece->n_guards);
    for (size_t i = 0; i < piece->n_guards; i++) {
        const Guard *from = &piece->guards[i];
        guards[i] = (Guard){.lo = from->lo, .hi = from->hi,
                            .position = pos_rewrite(to->pool, from->position, map, context)};
    }
    copy.left = left;
    copy.guards = guards;
    copy.body = sc_rewrite(to->pool, piece->body, map, context);
    return copy;
}

static NodeId intrinsic_copy(Graph *to, const Node *node, const NodeId *ids)
{
    NodeId *args = NEW_ARRAY(to->arena, NodeId, node->n_args);
    for (size_t i = 0; i < node->n_args; i++)
        args[i] = ids ? ids[node->args[i]] : node->args[i];
    return graph_intrinsic(to, node->function, node->dtype, node->rank, node->dims, node->n_args,
                           args, node->span);
}

NodeId node_rewrite(Graph *to, const Node *node, ReadMap *map, void *context, const NodeId *ids)
{
    switch (node->kind) {
    case NODE_INPUT: case NODE_PARAM: case NODE_STATE: case NODE_STEP:
        return graph_leaf(to, node->kind, node->dtype, node->rank, node->dims, node->name,
                          node->variable, node->span);
    case NODE_CONSTANT:
        return graph_constant(to, node->dtype, node->rank, node->dims, node->data, node->value,
                              node->span);
    case NODE_EQUATION: {
        Piece *pieces = NEW_ARRAY(to->arena, Piece, node->n_pieces);
        for (size_t i = 0; i < node->n_pieces; i++)
            pieces[i] = piece_rewrite(to, &node->pieces[i], node->rank, map, context);
        return graph_equation(to, node->dtype, node->rank, node->dims, node->reduce,
                              node->n_pieces, pieces, node->name, node->span);
    }
    case NODE_INTRINSIC: case NODE_COLLECTIVE:
        return intrinsic_copy(to, node, ids);
    }
    return NODE_NONE;
}
