/* Large reductions to few results become partial sums over fixed slots and a sum of the slots
 * (fusion.md 3.5): threads share the work, and long sums lose fewer bits. The cut follows from
 * extents alone, so the tree of additions is the same for any number of threads. Needs normal form;
 * changes only the order of associative reductions. */
#include "passes/fusion.h"

enum { SLOTS = 64 };
static const double few_results = 1024;      /* more of them are enough work to share */
static const double long_reduction = 1024;
static const double parallel_points = 100000;

typedef struct Split {
    Graph *to;
    const NodeId *ids;
} Split;

static const Scalar *read_mapped(void *context, ExprPool *pool, const Scalar *old, size_t rank,
                                 const Position *const *at, const Scalar *fill)
{
    const Split *split = context;
    return sc_read(pool, old->dtype, split->ids[old->tensor], rank, at, fill);
}

static bool associative(ReduceOp op)
{
    switch (op) {
    case REDUCE_SUM: case REDUCE_PROD: case REDUCE_MAX: case REDUCE_MIN: case REDUCE_ANY:
    case REDUCE_ALL:
        return true;
    case REDUCE_NONE: case REDUCE_ARGMAX: case REDUCE_ARGMIN:
        return false;
    }
    return false;
}

/* The largest divisor that is at most SLOTS. */
static int64_t slots_of(int64_t extent)
{
    int64_t best = 1;
    for (int64_t s = 2; s <= SLOTS && s <= extent; s++) {
        if (extent % s == 0)
            best = s;
    }
    return best;
}

/* The reduced variable that gives most slots; the first of equals. */
static size_t variable_to_cut(const Piece *piece, int64_t *slots)
{
    size_t best = 0;
    *slots = 1;
    for (size_t i = 0; i < piece->n_reduced; i++) {
        int64_t s = slots_of(piece->reduced[i]->extent);
        if (s > *slots) {
            *slots = s;
            best = i;
        }
    }
    return best;
}

static bool worth_splitting(const Node *node)
{
    if (node->kind != NODE_EQUATION || node->n_pieces != 1 || !associative(node->reduce) ||
        node->pieces[0].n_reduced == 0 || !piece_is_plain(node, &node->pieces[0]) ||
        node->rank >= MAX_RANK)
        return false;
    double results = (double)node_elements(node);
    double points = piece_points(&node->pieces[0]);
    return results <= few_results && points / results >= long_reduction && points >= parallel_points;
}

/* partial[s, I] over one slot's part of the cut variable, then node[I] over s. */
static NodeId split_node(Split *split, const Node *node)
{
    Graph *to = split->to;
    ExprPool *pool = to->pool;
    Piece piece = piece_rewrite(to, &node->pieces[0], node->rank, read_mapped, split);
    int64_t slots;
    size_t cut = variable_to_cut(&piece, &slots);
    int64_t part = piece.reduced[cut]->extent / slots;
    const Var *old = piece.reduced[cut], *slot = var_new(pool, slots, STR("slot"));
    const Var *inner = var_new(pool, part, old->name);
    const Position *at = pos_add(pool, pos_scale(pool, pos_var(pool, slot), part), pos_var(pool, inner));
    Subst subst = {.n = 1, .from = &old, .to = &at};
    const Var *vars[MAX_RANK], **reduced = NEW_ARRAY(to->arena, const Var *, piece.n_reduced);
    vars[0] = slot;
    for (size_t d = 0; d < node->rank; d++)
        vars[d + 1] = piece.vars[d];
    for (size_t i = 0; i < piece.n_reduced; i++)
        reduced[i] = i == cut ? inner : piece.reduced[i];
    NodeId partial = graph_define(to, node->dtype, node->reduce, node->rank + 1, vars,
                                  piece.n_reduced, reduced, sc_subst(pool, piece.body, &subst),
                                  str_join(to->arena, node->name, ".", STR("part")), node->span);
    const Var *fold = var_new(pool, slots, STR("slot"));
    const Position *read[MAX_RANK];
    read[0] = pos_var(pool, fold);
    for (size_t d = 0; d < node->rank; d++) {
        vars[d] = var_new(pool, node->dims[d], piece.vars[d]->name);
        read[d + 1] = pos_var(pool, vars[d]);
    }
    return graph_define(to, node->dtype, node->reduce, node->rank, vars, 1, &fold,
                        graph_read(to, partial, read, NULL), node->name, node->span);
}

Graph *pass_split(Arena *arena, const Graph *graph)
{
    size_t n = graph->nodes.len;
    Graph *to = graph_new(arena);
    NodeId *ids = NEW_ARRAY(arena, NodeId, n);
    Split split = {.to = to, .ids = ids};
    for (NodeId id = 0; id < n; id++) {
        const Node *node = graph_node(graph, id);
        int64_t slots = 1;
        if (worth_splitting(node))
            (void)variable_to_cut(&node->pieces[0], &slots);
        ids[id] = slots > 1 ? split_node(&split, node)
                            : node_rewrite(to, node, read_mapped, &split, ids);
    }
    for (size_t i = 0; i < graph->outputs.len; i++) {
        const Output *o = &graph->outputs.at[i];
        graph_output(to, o->kind, o->name, ids[o->value],
                     o->target == NODE_NONE ? NODE_NONE : ids[o->target]);
    }
    return to;
}
