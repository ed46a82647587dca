/* narrow: every tensor keeps only the box of elements that are read (fusion.md 3.8). Needs a
 * well-formed graph; guarantees the same outputs, random numbers (their counters are positions of
 * the whole tensor) and faults (a variable that stands in a position checked at run time keeps its
 * range). Leaves, outputs and what intrinsics read stay whole.
 *
 * From the last node to the first, the pieces of a node are cut to the box its readers want and
 * tell what they want themselves; then the nodes are built from the first to the last, each read
 * shifted by the start of its tensor's box.
 */
#include "passes/clean.h"

#include <assert.h>

typedef struct Range {
    int64_t lo, hi;               /* hi exclusive; lo == hi: nothing */
} Range;

typedef struct Cut {              /* a node's pieces in the new pool, reads still by old ids */
    size_t n;
    Piece *pieces;
} Cut;

typedef struct Narrow {
    Arena *arena;
    const Graph *from;
    Graph *to;
    Range **wanted;               /* by old id: a range per dimension; NULL: not wanted at all */
    Cut *cuts;                    /* by old id */
    NodeId *map;
} Narrow;

/* --- wants -------------------------------------------------------------------------------------- */
static Range *want(Narrow *narrow, NodeId id)
{
    if (!narrow->wanted[id])
        narrow->wanted[id] = NEW_ARRAY(narrow->arena, Range, graph_node(narrow->from, id)->rank + 1);
    return narrow->wanted[id];
}

static void widen(Range *range, int64_t lo, int64_t hi)
{
    if (lo >= hi)
        return;
    bool empty = range->lo == range->hi;
    range->lo = empty || lo < range->lo ? lo : range->lo;
    range->hi = empty || hi > range->hi ? hi : range->hi;
}

static void want_all(Narrow *narrow, NodeId id)
{
    const Node *node = graph_node(narrow->from, id);
    Range *ranges = want(narrow, id);
    for (size_t k = 0; k < node->rank; k++)
        widen(&ranges[k], 0, node->dims[k]);
}

static void want_read(Narrow *narrow, const Scalar *read)
{
    const Node *node = graph_node(narrow->from, read->tensor);
    Range *ranges = want(narrow, read->tensor);
    for (size_t k = 0; k < node->rank; k++) {
        const Position *p = read->at[k];
        bool known = !p->has_data;
        int64_t lo = known && p->min > 0 ? p->min : 0;
        int64_t hi = known && p->max < node->dims[k] - 1 ? p->max + 1 : node->dims[k];
        widen(&ranges[k], lo, hi);
    }
}

static void want_outputs(Narrow *narrow)
{
    for (size_t i = 0; i < narrow->from->outputs.len; i++) {
        const Output *output = &narrow->from->outputs.at[i];
        want_all(narrow, output->value);
        if (output->target != NODE_NONE)
            want_all(narrow, output->target);
    }
}

/* --- which dimensions may shrink ------------------------------------------------------------------ */
/* Does the variable stand in a position that is checked at run time? */
static bool is_checked(const Narrow *narrow, const Piece *piece, size_t rank, const Var *v)
{
    ScalarList list = piece_list(narrow->arena, piece, rank);
    for (size_t k = 0; k < rank; k++)
        if (piece->left[k]->has_data && pos_uses(piece->left[k], v))
            return true;
    for (size_t i = 0; i < list.n; i++)
        for (size_t k = 0; list.at[i]->kind == SCALAR_READ && !list.at[i]->fill && k < list.at[i]->n;
             k++)
            if (list.at[i]->at[k]->has_data && pos_uses(list.at[i]->at[k], v))
                return true;
    return false;
}

/* left[k] is a constant, or a variable of its own plus a constant. */
static bool may_shrink(const Narrow *narrow, const Piece *piece, size_t rank, size_t k)
{
    const Position *p = piece->left[k];
    int64_t value;
    if (pos_is_const(p, &value))
        return true;
    if (p->n != 1 || p->terms[0].atom->kind != ATOM_VAR || p->terms[0].coef != 1)
        return false;
    for (size_t i = 0; i < rank; i++)
        if (i != k && pos_uses(piece->left[i], p->terms[0].atom->var))
            return false;
    return !is_checked(narrow, piece, rank, p->terms[0].atom->var);
}

/* Ranges that cannot be cut become whole; false: all are. */
static bool settle(Narrow *narrow, NodeId id)
{
    const Node *node = graph_node(narrow->from, id);
    Range *ranges = narrow->wanted[id];
    bool shrinks = false;
    for (size_t k = 0; k < node->rank; k++) {
        if (ranges[k].lo == ranges[k].hi && node->dims[k] > 0)
            ranges[k] = (Range){0, 1};         /* read nowhere: one element, not none */
        bool may = (node->kind == NODE_EQUATION || node->kind == NODE_CONSTANT) &&
                   (ranges[k].lo > 0 || ranges[k].hi < node->dims[k]);
        for (size_t i = 0; i < node->n_pieces && may; i++)
            may = may_shrink(narrow, &node->pieces[i], node->rank, k);
        if (!may)
            ranges[k] = (Range){0, node->dims[k]};
        shrinks |= may;
    }
    return shrinks;
}

/* --- cutting ---------------------------------------------------------------------------------------- */
typedef struct Renaming {
    size_t n;
    const Var *from[MAX_RANK];
    const Position *to[MAX_RANK];
} Renaming;

static bool is_cut(const Node *node, const Range *ranges, size_t k)
{
    return ranges[k].lo > 0 || ranges[k].hi < node->dims[k];
}

/* The variable of left[k] shortened to the range; false: nothing of the piece is in it. */
static bool shorten(Narrow *narrow, Piece *piece, size_t k, Range range, Renaming *renaming)
{
    const Position *p = piece->left[k];
    int64_t value;
    if (pos_is_const(p, &value))
        return value >= range.lo && value < range.hi;
    const Var *v = p->terms[0].atom->var;
    int64_t first = range.lo - p->constant, last = range.hi - p->constant;
    first = first < 0 ? 0 : first;
    last = last > v->extent ? v->extent : last;
    if (first >= last)
        return false;
    if (first == 0 && last == v->extent)
        return true;
    ExprPool *pool = narrow->to->pool;
    const Var *shorter = var_new(pool, last - first, v->name);
    const Var **vars = arena_copy(narrow->arena, piece->vars, piece->n_vars * sizeof *vars);
    for (size_t i = 0; i < piece->n_vars; i++)
        vars[i] = vars[i] == v ? shorter : vars[i];
    piece->vars = vars;
    renaming->from[renaming->n] = v;
    renaming->to[renaming->n++] = pos_shift(pool, pos_var(pool, shorter), first);
    return true;
}

/* The piece within the ranges, its left side relative to their starts; false: nothing is left. */
static bool cut_piece(Narrow *narrow, const Node *node, const Range *ranges, Piece *piece)
{
    ExprPool *pool = narrow->to->pool;
    Renaming renaming = {0};
    for (size_t k = 0; k < node->rank; k++)
        if (is_cut(node, ranges, k) && !shorten(narrow, piece, k, ranges[k], &renaming))
            return false;
    Subst subst = {.n = renaming.n, .from = renaming.from, .to = renaming.to};
    const Position **left = NEW_ARRAY(narrow->arena, const Position *, node->rank);
    for (size_t k = 0; k < node->rank; k++)
        left[k] = pos_shift(pool, pos_subst(pool, piece->left[k], &subst),
                            is_cut(node, ranges, k) ? -ranges[k].lo : 0);
    Guard *guards = NEW_ARRAY(narrow->arena, Guard, piece->n_guards);
    for (size_t i = 0; i < piece->n_guards; i++)
        guards[i] = (Guard){.lo = piece->guards[i].lo, .hi = piece->guards[i].hi,
                            .position = pos_subst(pool, piece->guards[i].position, &subst)};
    piece->left = left;
    piece->guards = guards;
    piece->body = sc_subst(pool, piece->body, &subst);
    return true;
}

/* The node's pieces in the new pool, cut, and what they read wanted. */
static void cut(Narrow *narrow, NodeId id)
{
    const Node *node = graph_node(narrow->from, id);
    bool shrinks = settle(narrow, id);
    Cut *result = &narrow->cuts[id];
    result->pieces = NEW_ARRAY(narrow->arena, Piece, node->n_pieces);
    for (size_t i = 0; i < node->n_pieces; i++) {
        Piece piece = piece_rewrite(narrow->to, &node->pieces[i], node->rank, NULL, NULL);
        if (shrinks && !cut_piece(narrow, node, narrow->wanted[id], &piece))
            continue;
        result->pieces[result->n++] = piece;
        ScalarList list = piece_list(narrow->arena, &piece, node->rank);
        for (size_t k = 0; k < list.n; k++)
            if (list.at[k]->kind == SCALAR_READ)
                want_read(narrow, list.at[k]);
    }
    for (size_t i = 0; i < node->n_args; i++)
        want_all(narrow, node->args[i]);
}

/* --- building ---------------------------------------------------------------------------------------- */
static const Scalar *read_shifted(void *context, ExprPool *pool, const Scalar *old, size_t rank,
                                  const Position *const *at, const Scalar *fill)
{
    const Narrow *narrow = context;
    const Range *ranges = narrow->wanted[old->tensor];
    const Node *tensor = graph_node(narrow->to, narrow->map[old->tensor]);
    const Position *shifted[MAX_RANK];
    assert(rank == tensor->rank);
    for (size_t k = 0; k < rank; k++)
        shifted[k] = pos_shift(pool, at[k], -ranges[k].lo);
    return sc_read(pool, old->dtype, narrow->map[old->tensor], rank, shifted, fill);
}

static NodeId cut_constant(Narrow *narrow, const Node *node, const Range *ranges,
                           const int64_t *dims)
{
    int64_t n = 1;
    for (size_t k = 0; k < node->rank; k++)
        n *= dims[k];
    double *data = node->data ? NEW_ARRAY(narrow->arena, double, (size_t)n) : NULL;
    for (int64_t i = 0; data && i < n; i++) {
        int64_t rest = i, stride = 1, offset = 0;
        for (size_t k = node->rank; k-- > 0;) {
            offset += (rest % dims[k] + ranges[k].lo) * stride;
            rest /= dims[k];
            stride *= node->dims[k];
        }
        data[i] = node->data[offset];
    }
    return graph_constant(narrow->to, node->dtype, node->rank, dims, data, node->value, node->span);
}

static NodeId build(Narrow *narrow, NodeId id)
{
    const Node *node = graph_node(narrow->from, id);
    const Range *ranges = narrow->wanted[id];
    if (node->kind != NODE_EQUATION && node->kind != NODE_CONSTANT)
        return node_rewrite(narrow->to, node, NULL, NULL, narrow->map);
    int64_t dims[MAX_RANK];
    for (size_t k = 0; k < node->rank; k++)
        dims[k] = ranges[k].hi - ranges[k].lo;
    if (node->kind == NODE_CONSTANT)
        return cut_constant(narrow, node, ranges, dims);
    const Cut *result = &narrow->cuts[id];
    if (result->n == 0)
        return graph_constant(narrow->to, node->dtype, node->rank, dims, NULL, 0, node->span);
    for (size_t i = 0; i < result->n; i++)
        result->pieces[i] = piece_rewrite(narrow->to, &result->pieces[i], node->rank, read_shifted,
                                          narrow);
    return graph_equation(narrow->to, node->dtype, node->rank, dims, node->reduce, result->n,
                          result->pieces, node->name, node->span);
}

static bool is_leaf(const Node *node)
{
    return node->kind == NODE_INPUT || node->kind == NODE_PARAM || node->kind == NODE_STATE ||
           node->kind == NODE_STEP;
}

Graph *pass_narrow(Arena *arena, const Graph *graph)
{
    size_t n = graph->nodes.len;
    Arena *scratch = arena_new(arena_mem(arena), "narrow");
    Narrow narrow = {.arena = scratch, .from = graph, .to = graph_new(arena)};
    narrow.wanted = NEW_ARRAY(scratch, Range *, n + 1);
    narrow.cuts = NEW_ARRAY(scratch, Cut, n + 1);
    narrow.map = NEW_ARRAY(scratch, NodeId, n + 1);
    want_outputs(&narrow);
    for (NodeId id = (NodeId)n; id-- > 0;) {
        if (is_leaf(graph_node(graph, id)))
            want_all(&narrow, id);
        if (narrow.wanted[id])
            cut(&narrow, id);
    }
    for (NodeId id = 0; id < n; id++)
        narrow.map[id] = narrow.wanted[id] ? build(&narrow, id) : NODE_NONE;
    outputs_copy(narrow.to, graph, narrow.map);
    arena_free(scratch);
    return narrow.to;
}
