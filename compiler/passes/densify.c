/* densify: pieces whose left side may repeat become pieces that write every element once, sums lose
 * the factors that do not belong in them, equal maps of one tensor merge (differentiation.md 5, 6,
 * 8). Needs a well-formed graph; guarantees the same values; changes equations under `sum` or no
 * reduction only. What cannot be improved stays a scatter and is still right. */
#include "passes/densify.h"

#include <assert.h>

enum { MAX_STEPS = 4096 }; /* rewrites of one piece before it is left a scatter */

/* --- one piece
 * ---------------------------------------------------------------------------------------- */
/* One rewrite or the end of them; false: the raw piece is done. */
static bool rewrite(Dense *dense, Raw *raw)
{
    if (!guard_simplify(dense, raw) || raw_divide(dense, raw))
        return true;
    switch (raw_solve_sides(dense, raw)) {
    case SIDES_REWRITTEN:
        return true;
    case SIDES_SCATTER:
        raw->scatter = true;
        return false;
    case SIDES_INJECTIVE:
        break;
    }
    return raw_enumerate_guards(dense, raw);
}

static void densify_piece(Dense *dense, const Piece *piece)
{
    size_t before = dense->done.len, steps = 0;
    raw_push(dense, raw_new(dense, piece));
    while (dense->work.len > 0 && steps < MAX_STEPS) {
        Raw *raw = dense->work.at[--dense->work.len];
        steps++;
        if (!rewrite(dense, raw))
            VEC_PUSH(dense->arena, dense->done, raw);
    }
    if (dense->work.len == 0)
        return;
    Raw *raw = raw_new(dense, piece);
    raw->scatter = true;
    dense->work.len = 0;
    dense->done.len = before;
    if (guard_simplify(dense, raw))
        VEC_PUSH(dense->arena, dense->done, raw);
}

/* --- merging
 * ---------------------------------------------------------------------------------------------- */
static bool is_map(const Piece *piece, size_t rank)
{
    if (piece->n_reduced != 0 || piece->n_guards != 0)
        return false;
    for (size_t k = 0; k < rank; k++)
        if (piece->left[k]->has_data)
            return false;
    return true;
}

/* b's body in a's variables, if both write the same elements in the same way; else NULL. */
static const Scalar *renamed(Dense *dense, const Piece *a, const Piece *b)
{
    if (a->n_vars != b->n_vars)
        return NULL;
    const Position **to = NEW_ARRAY(dense->arena, const Position *, a->n_vars);
    for (size_t i = 0; i < a->n_vars; i++) {
        if (a->vars[i]->extent != b->vars[i]->extent)
            return NULL;
        to[i] = pos_var(dense->pool, a->vars[i]);
    }
    Subst subst = {.n = a->n_vars, .from = b->vars, .to = to};
    for (size_t k = 0; k < dense->rank; k++)
        if (pos_subst(dense->pool, b->left[k], &subst) != a->left[k])
            return NULL;
    return sc_subst(dense->pool, b->body, &subst);
}

typedef VEC(Piece) Pieces;

static void add_piece(Dense *dense, Pieces *pieces, Piece piece)
{
    if (is_map(&piece, dense->rank))
        for (size_t i = 0; i < pieces->len; i++) {
            Piece *old = &pieces->at[i];
            const Scalar *body = is_map(old, dense->rank) ? renamed(dense, old, &piece) : NULL;
            if (body) {
                old->body = sc_fn2(dense->pool, OP_ADD, old->body, body);
                return;
            }
        }
    VEC_PUSH(dense->arena, *pieces, piece);
}

/* --- one equation
 * ------------------------------------------------------------------------------------------ */
static bool has_division(const Position *p)
{
    for (size_t i = 0; i < p->n; i++)
        if (p->terms[i].atom->kind == ATOM_DIV || p->terms[i].atom->kind == ATOM_MOD)
            return true;
    return false;
}

static void find_division(void *context, const Scalar *read)
{
    for (size_t k = 0; k < read->n; k++)
        if (has_division(read->at[k]))
            *(bool *)context = true;
}

/* Left sides that are not plain, and sums with divisions or masks on positions. */
static bool worth_rewriting(Dense *dense, const Node *node, const Piece *piece)
{
    if (!piece_is_plain(node, piece))
        return true;
    if (piece->n_reduced == 0)
        return false;
    bool division = false;
    sc_each_read(dense->arena, piece->body, find_division, &division);
    Factors parts = factors_of(dense->pool, dense->arena, piece->body);
    for (size_t i = 0; i < parts.masks.len; i++)
        division |= sc_positional(parts.masks.at[i]);
    return division;
}

static NodeId densify_equation(Dense *dense, const Node *node, const NodeId *map)
{
    Pieces pieces = {0};
    bool reduced = false;
    dense->rank = node->rank;
    dense->dims = node->dims;
    dense->span = node->span;
    dense->name = node->name;
    for (size_t i = 0; i < node->n_pieces; i++) {
        Piece piece = piece_import(dense->graph, &node->pieces[i], node->rank, map);
        dense->done.len = 0;
        if (!worth_rewriting(dense, node, &piece)) {
            Raw *raw = raw_new(dense, &piece);
            VEC_PUSH(dense->arena, dense->done, raw);
        } else {
            densify_piece(dense, &piece);
            for (size_t k = 0; k < dense->done.len; k++)
                raw_finish(dense, dense->done.at[k]);
        }
        for (size_t k = 0; k < dense->done.len; k++) {
            raw_hoist(dense, dense->done.at[k]);
            add_piece(dense, &pieces, raw_piece(dense, dense->done.at[k]));
        }
    }
    for (size_t i = 0; i < pieces.len; i++)
        reduced |= pieces.at[i].n_reduced > 0;
    if (pieces.len == 0)
        return graph_constant(dense->graph, node->dtype, node->rank, node->dims, NULL, 0,
                              node->span);
    return graph_equation(dense->graph, node->dtype, node->rank, node->dims,
                          reduced ? REDUCE_SUM : REDUCE_NONE, pieces.len, pieces.at, node->name,
                          node->span);
}

Graph *pass_densify(Arena *arena, const Graph *graph)
{
    Graph *to = graph_new(arena);
    Dense dense = {.arena = arena, .graph = to, .pool = to->pool};
    NodeId *map = NEW_ARRAY(arena, NodeId, graph->nodes.len);
    for (NodeId id = 0; id < graph->nodes.len; id++) {
        const Node *node = graph_node(graph, id);
        bool sum = node->kind == NODE_EQUATION &&
                   (node->reduce == REDUCE_NONE || node->reduce == REDUCE_SUM);
        map[id] = sum ? densify_equation(&dense, node, map) : node_import(to, node, map);
    }
    for (size_t i = 0; i < graph->outputs.len; i++) {
        const Output *o = &graph->outputs.at[i];
        graph_output(to, o->kind, o->name, map[o->value],
                     o->target == NODE_NONE ? NODE_NONE : map[o->target]);
    }
    return to;
}
