/* separate: an equation whose pieces add several tensors of full size becomes a map that adds them,
 * and an equation for each: where gradients meet, each contraction has loops of its own and the map
 * may join the last of them. Pieces that write only some elements stay and add to the map. Needs
 * normal form; changes only the order of additions. */
#include "passes/clean.h"

typedef struct Separate {
    Graph *to;
    NodeId *map;
} Separate;

static bool is_plain_sum(const Node *node, const Piece *piece)
{
    return piece->n_reduced > 0 && piece_is_plain(node, piece);
}

/* At least one plain sum beside another plain piece, or everything would only get longer. */
static bool worth_separating(const Node *node)
{
    size_t plain = 0, sums = 0;
    if (node->kind != NODE_EQUATION || node->n_pieces < 2 || node->reduce != REDUCE_SUM)
        return false;
    for (size_t p = 0; p < node->n_pieces; p++) {
        plain += piece_is_plain(node, &node->pieces[p]);
        sums += is_plain_sum(node, &node->pieces[p]);
    }
    return sums > 0 && plain > 1;
}

/* The piece as a term over `vars`: its body, or a read of its sum. */
static const Scalar *term_of(Separate *separate, const Node *node, const Piece *piece,
                             const Var *const *vars)
{
    Graph *to = separate->to;
    const Position *at[MAX_RANK];
    for (size_t d = 0; d < node->rank; d++)
        at[d] = pos_var(to->pool, vars[d]);
    if (piece->n_reduced == 0) {
        Subst subst = {.n = piece->n_vars, .from = piece->vars, .to = at};
        return sc_subst(to->pool, piece->body, &subst);
    }
    NodeId sum = graph_define(to, node->dtype, REDUCE_SUM, piece->n_vars, piece->vars,
                              piece->n_reduced, piece->reduced, piece->body, node->name, node->span);
    return graph_read(to, sum, at, NULL);
}

static NodeId separated(Separate *separate, const Node *node)
{
    Graph *to = separate->to;
    Piece *pieces = NEW_ARRAY(to->arena, Piece, node->n_pieces);
    const Var **vars = NEW_ARRAY(to->arena, const Var *, node->rank);
    const Position **left = NEW_ARRAY(to->arena, const Position *, node->rank);
    for (size_t d = 0; d < node->rank; d++) {
        vars[d] = var_new(to->pool, node->dims[d], STR("i"));
        left[d] = pos_var(to->pool, vars[d]);
    }
    size_t n = 1;
    const Scalar *sum = sc_const(to->pool, node->dtype, 0);
    for (size_t p = 0; p < node->n_pieces; p++) {
        Piece piece =
            piece_rewrite(to, &node->pieces[p], node->rank, read_renamed, separate->map);
        if (piece_is_plain(node, &node->pieces[p]))
            sum = sc_fn2(to->pool, OP_ADD, sum, term_of(separate, node, &piece, vars));
        else
            pieces[n++] = piece;
    }
    pieces[0] = (Piece){.n_vars = node->rank, .vars = vars, .left = left, .body = sum};
    return graph_equation(to, node->dtype, node->rank, node->dims,
                          n > 1 ? node->reduce : REDUCE_NONE, n, pieces, node->name, node->span);
}

Graph *pass_separate(Arena *arena, const Graph *graph)
{
    Separate separate = {.to = graph_new(arena),
                         .map = NEW_ARRAY(arena, NodeId, graph->nodes.len + 1)};
    for (NodeId id = 0; id < graph->nodes.len; id++) {
        const Node *node = graph_node(graph, id);
        separate.map[id] =
            worth_separating(node)
                ? separated(&separate, node)
                : node_rewrite(separate.to, node, read_renamed, separate.map, separate.map);
    }
    outputs_copy(separate.to, graph, separate.map);
    return separate.to;
}
