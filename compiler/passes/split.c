/* Large reductions to few results become partial sums over fixed slots and a sum of the slots
 * (fusion.md 3.5): threads share the work, and long sums lose fewer bits. Slots are rows of what is
 * reduced, whole variables, so that the kernel which computes the rows may leave their sums behind.
 * A mean and the mean square around it are one pass: sums around the first element of each slot,
 * joined by Chan's formula. The cut follows from extents alone, so the tree of additions is the same
 * for any number of threads. Needs normal form; changes only how associative reductions round. */
#include "passes/clean.h"
#include "passes/fusion.h"

enum { FEW_SLOTS = 8, SLOTS = 64, MOST_SLOTS = 1 << 16, LEAST_ROW = 24 };
static const double few_results[] = {1024, 4096};   /* more of them are enough work to share */
static const double long_reduction[] = {1024, 256};
static const double more_results = 16384, very_long_reduction = 8192;    /* of products */

typedef struct Split {
    Graph *to;
    const Graph *from;
    NodeId *ids;                 /* by old node */
    NodeId *square;              /* by old node, a mean: the equation of the squares around it */
    NodeId *joined;              /* by old node, such an equation: the new one, once made */
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

/* Does a reduced variable stand before all others in what is read? Then each result is made of elements
 * far apart, rows of which one kernel or another has at hand: shorter sums are worth a cut. Results of
 * consecutive elements, such as the mean of a layer norm's row, are better off whole. */
static bool reduces_rows(const Graph *graph, const Piece *piece)
{
    ScalarList list = sc_list(graph->arena, 1, &piece->body);
    for (size_t i = 0; i < list.n; i++) {
        const Scalar *read = list.at[i];
        bool whole = read->kind == SCALAR_READ;
        for (size_t k = 0; whole && k < piece->n_reduced; k++)
            whole = piece->reduced[k]->extent == 1 || sc_uses(read, piece->reduced[k]);
        for (size_t k = 0; whole && k < piece->n_vars; k++)
            whole = piece->vars[k]->extent == 1 || sc_uses(read, piece->vars[k]);
        size_t d = 0;
        while (whole && d < read->n && read->at[d]->n_vars == 0)
            d++;
        for (size_t k = 0; whole && d < read->n && k < piece->n_reduced; k++) {
            if (pos_uses(read->at[d], piece->reduced[k]))
                return true;
        }
    }
    return false;
}

static bool worth_splitting(const Graph *graph, const Node *node)
{
    if (node->kind != NODE_EQUATION || node->n_pieces != 1 || !associative(node->reduce) ||
        node->pieces[0].n_reduced == 0 || !piece_is_plain(node, &node->pieces[0]) ||
        node->rank + node->pieces[0].n_reduced > MAX_RANK)
        return false;
    double results = (double)node_elements(node);
    double points = piece_points(&node->pieces[0]);
    bool products = piece_is_contraction(graph->arena, node, &node->pieces[0]);
    bool rows = products || reduces_rows(graph, &node->pieces[0]);
    if (products && results <= more_results && points / results >= very_long_reduction)
        return true;
    return results <= few_results[rows] && points / results >= long_reduction[rows] &&
           points >= (double)PARALLEL_POINTS;
}

/* --- slots ------------------------------------------------------------------------------------------ */
/* A reduction cut into slots: partial[slots, I] over `inner`, then the result over the slots. */
typedef struct Cut {
    Piece piece;                 /* of the new graph; its body over slots and inner variables */
    size_t n_slots, n_inner;
    const Var *slots[MAX_RANK], *inner[MAX_RANK];
    int64_t points;              /* of one slot */
    int64_t count;               /* of slots */
} Cut;

/* The largest divisor that is at most `most`. */
static int64_t divisor_of(int64_t extent, int64_t most)
{
    int64_t best = 1;
    for (int64_t s = 2; s <= most && s <= extent; s++) {
        if (extent % s == 0)
            best = s;
    }
    return best;
}

/* The place of the variable among the dimensions of the first tensor that has it: rows first. */
static size_t place_of(const Split *split, const Piece *piece, const Var *var)
{
    ScalarList list = sc_list(split->to->arena, 1, &piece->body);
    for (size_t i = 0; i < list.n; i++) {
        for (size_t d = 0; list.at[i]->kind == SCALAR_READ && d < list.at[i]->n; d++) {
            if (pos_uses(list.at[i]->at[d], var))
                return d;
        }
    }
    return MAX_RANK;
}

static void sort_by_place(const Split *split, const Piece *piece, const Var **vars, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        for (size_t k = i; k > 0 && place_of(split, piece, vars[k]) <
                                        place_of(split, piece, vars[k - 1]); k--) {
            const Var *var = vars[k];
            vars[k] = vars[k - 1];
            vars[k - 1] = var;
        }
    }
}

/* Whole variables as long as a slot keeps LEAST_ROW points; part of one where that gives too few. */
static bool cut_piece(const Split *split, const Node *node, Cut *cut)
{
    ExprPool *pool = split->to->pool;
    cut->piece = piece_rewrite(split->to, &node->pieces[0], node->rank, read_mapped, (void *)split);
    size_t n = cut->piece.n_reduced;
    const Var *vars[MAX_RANK];
    bool products = piece_is_contraction(split->to->arena, node, &node->pieces[0]);
    int64_t most = products ? SLOTS : MOST_SLOTS;
    for (size_t i = 0; i < n; i++)
        vars[i] = cut->piece.reduced[i];
    sort_by_place(split, &cut->piece, vars, n);
    cut->points = 1;
    cut->count = 1;
    for (size_t i = 0; i < n; i++)
        cut->points *= vars[i]->extent;
    for (size_t i = 0; i < n; i++) {
        int64_t extent = vars[i]->extent;
        bool whole = cut->points / extent >= LEAST_ROW && cut->count * extent <= most;
        int64_t part = whole ? extent
                       : cut->count < FEW_SLOTS ? divisor_of(extent, SLOTS / cut->count) : 1;
        if (part == 1 || cut->n_inner > 0) {
            cut->inner[cut->n_inner++] = vars[i];
            continue;
        }
        cut->points /= part;
        cut->count *= part;
        if (part == extent) {
            cut->slots[cut->n_slots++] = vars[i];
            continue;
        }
        const Var *slot = var_new(pool, part, STR("slot"));
        const Var *inner = var_new(pool, extent / part, vars[i]->name);
        const Position *at = pos_add(pool, pos_scale(pool, pos_var(pool, slot), extent / part),
                                     pos_var(pool, inner));
        Subst subst = {.n = 1, .from = &vars[i], .to = &at};
        cut->piece.body = sc_subst(pool, cut->piece.body, &subst);
        cut->slots[cut->n_slots++] = slot;
        cut->inner[cut->n_inner++] = inner;
    }
    return cut->count > 1 && cut->n_inner > 0;
}

/* partial[slots, I] = reduce[inner] body */
static NodeId partial_of(const Split *split, const Node *node, const Cut *cut, ReduceOp reduce,
                         const Scalar *body, const char *suffix)
{
    const Var *vars[MAX_RANK];
    for (size_t i = 0; i < cut->n_slots; i++)
        vars[i] = cut->slots[i];
    for (size_t d = 0; d < node->rank; d++)
        vars[cut->n_slots + d] = cut->piece.vars[d];
    return graph_define(split->to, node->dtype, reduce, cut->n_slots + node->rank, vars,
                        reduce == REDUCE_NONE ? 0 : cut->n_inner, cut->inner, body,
                        str_join(split->to->arena, node->name, ".", str_of(suffix)), node->span);
}

/* The slots of one result: fresh variables, and reads of partials at them. */
typedef struct Fold {
    const Var *vars[MAX_RANK], *slots[MAX_RANK];
    const Position *at[MAX_RANK];            /* of a partial: slots, then I */
} Fold;

static Fold fold_of(const Split *split, const Node *node, const Cut *cut)
{
    ExprPool *pool = split->to->pool;
    Fold fold;
    for (size_t i = 0; i < cut->n_slots; i++) {
        fold.slots[i] = var_new(pool, cut->slots[i]->extent, cut->slots[i]->name);
        fold.at[i] = pos_var(pool, fold.slots[i]);
    }
    for (size_t d = 0; d < node->rank; d++) {
        fold.vars[d] = var_new(pool, node->dims[d], cut->piece.vars[d]->name);
        fold.at[cut->n_slots + d] = pos_var(pool, fold.vars[d]);
    }
    return fold;
}

static NodeId folded(const Split *split, const Node *node, const Cut *cut, const Fold *fold,
                     const Scalar *body)
{
    return graph_define(split->to, node->dtype, node->reduce, node->rank, fold->vars, cut->n_slots,
                        fold->slots, body, node->name, node->span);
}

static NodeId split_node(const Split *split, const Node *node, const Cut *cut)
{
    NodeId partial = partial_of(split, node, cut, node->reduce, cut->piece.body, "part");
    Fold fold = fold_of(split, node, cut);
    return folded(split, node, cut, &fold, graph_read(split->to, partial, fold.at, NULL));
}

/* --- a mean and the squares around it ----------------------------------------------------------------- */
/* factor * (x - mean)^2; NULL: the equation is no such thing. */
static const Scalar *mean_of_squares(const Graph *graph, const Node *node, double *factor)
{
    if (!worth_splitting(graph, node) || node->reduce != REDUCE_SUM || !dtype_is_float(node->dtype))
        return NULL;
    const Scalar *body = factor_split(graph->pool, node->pieces[0].body, factor);
    bool square = body->kind == SCALAR_FN && body->op == OP_MUL && body->n == 2 &&
                  body->args[0] == body->args[1];
    return square ? mean_around(graph, &node->pieces[0], body->args[0]) : NULL;
}

static void find_squares(Split *split)
{
    for (NodeId id = 0; id < split->from->nodes.len; id++)
        split->square[id] = split->joined[id] = NODE_NONE;
    for (NodeId id = 0; id < split->from->nodes.len; id++) {
        double factor;
        const Scalar *mean = mean_of_squares(split->from, graph_node(split->from, id), &factor);
        if (mean && split->square[mean->tensor] == NODE_NONE)
            split->square[mean->tensor] = id;
    }
}

/* Sums of d = x - first and of d^2 per slot, first the slot's first x; then mean and squares:
 *   m = first + D / n     mean = sum m / slots     squares = sum D2 - D D / n + n (m - mean)^2
 * The cut is that of the mean, whose body is a factor times x. */
static NodeId split_moments(Split *split, const Node *node, NodeId square, const Cut *cut)
{
    Graph *to = split->to;
    ExprPool *pool = to->pool;
    double factor;
    const Scalar *x = factor_split(pool, cut->piece.body, &factor);
    const Position *zero[MAX_RANK];
    for (size_t i = 0; i < cut->n_inner; i++)
        zero[i] = pos_const(pool, 0);
    Subst start = {.n = cut->n_inner, .from = cut->inner, .to = zero};
    const Scalar *minus = sc_const(pool, node->dtype, -1);
    const Scalar *d = sc_fn2(pool, OP_ADD, x, sc_fn2(pool, OP_MUL, minus, sc_subst(pool, x, &start)));
    NodeId first = partial_of(split, node, cut, REDUCE_NONE, sc_subst(pool, x, &start), "first");
    NodeId sums = partial_of(split, node, cut, REDUCE_SUM, d, "part");
    NodeId squares = partial_of(split, node, cut, REDUCE_SUM, sc_fn2(pool, OP_MUL, d, d), "squares");

    Fold fold = fold_of(split, node, cut);
    const Scalar *n = sc_const(pool, node->dtype, (double)cut->points);
    const Scalar *each = sc_const(pool, node->dtype, 1 / (double)cut->points);
    const Scalar *shift = sc_fn2(pool, OP_MUL, each, graph_read(to, sums, fold.at, NULL));
    const Scalar *m = sc_fn2(pool, OP_ADD, graph_read(to, first, fold.at, NULL), shift);
    const Scalar *share = sc_const(pool, node->dtype, 1 / (double)cut->count);
    NodeId mean = folded(split, node, cut, &fold, sc_fn2(pool, OP_MUL, share, m));

    const Node *other = graph_node(split->from, square);
    Fold again = fold_of(split, other, cut);
    shift = sc_fn2(pool, OP_MUL, each, graph_read(to, sums, again.at, NULL));
    m = sc_fn2(pool, OP_ADD, graph_read(to, first, again.at, NULL), shift);
    const Scalar *away =
        sc_fn2(pool, OP_SUB, m, graph_read(to, mean, again.at + cut->n_slots, NULL));
    const Scalar *lost = sc_fn2(pool, OP_MUL, shift, graph_read(to, sums, again.at, NULL));
    const Scalar *inside = sc_fn2(pool, OP_SUB, graph_read(to, squares, again.at, NULL), lost);
    inside = sc_fn2(pool, OP_MAX, inside, sc_const(pool, node->dtype, 0));
    const Scalar *all = sc_fn2(pool, OP_ADD, inside,
                               sc_fn2(pool, OP_MUL, n, sc_fn2(pool, OP_MUL, away, away)));
    mean_of_squares(split->from, other, &factor);
    split->joined[square] = folded(split, other, cut, &again,
                                   sc_fn2(pool, OP_MUL, sc_const(pool, node->dtype, factor), all));
    return mean;
}

static NodeId copied(Split *split, NodeId id)
{
    const Node *node = graph_node(split->from, id);
    Cut cut = {.count = 1};
    if (split->joined[id] != NODE_NONE)
        return split->joined[id];
    if (!worth_splitting(split->from, node) || !cut_piece(split, node, &cut))
        return node_rewrite(split->to, node, read_mapped, split, split->ids);
    return split->square[id] == NODE_NONE ? split_node(split, node, &cut)
                                          : split_moments(split, node, split->square[id], &cut);
}

Graph *pass_split(Arena *arena, const Graph *graph)
{
    size_t n = graph->nodes.len;
    Split split = {.to = graph_new(arena), .from = graph,
                   .ids = NEW_ARRAY(arena, NodeId, n + 1),
                   .square = NEW_ARRAY(arena, NodeId, n + 1),
                   .joined = NEW_ARRAY(arena, NodeId, n + 1)};
    find_squares(&split);
    for (NodeId id = 0; id < n; id++)
        split.ids[id] = copied(&split, id);
    outputs_copy(split.to, graph, split.ids);
    return split.to;
}
