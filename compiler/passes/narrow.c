/* narrow: every tensor keeps only the box of elements that are read and may differ from zero
 * (fusion.md 3.8), and sums visit only such boxes. Needs a well-formed graph; guarantees the same
 * outputs, random numbers (their counters are positions of the whole tensor) and faults (a variable
 * that stands in a position checked at run time keeps its range). Leaves, outputs and what
 * intrinsics read stay whole; so does a dimension that would lose less than a 32nd, because round
 * extents are worth more than that.
 *
 * Three walks: first to last, loops shrink to where their factors are not zero; last to first, the
 * pieces of a node are cut to the box its readers want and tell what they want themselves; first to
 * last, nodes are built, each read shifted by the start of its tensor's box.
 */
#include "passes/clean.h"
#include "passes/densify.h"

#include <assert.h>

typedef struct Want {             /* of one dimension */
    Range soft;                   /* read; outside of the support 0 may be read instead */
    Range hard;                   /* must be there */
    Range box;                    /* what is kept */
} Want;

typedef struct Cut {              /* a node's pieces in the new pool, reads still by old ids */
    size_t n;
    Piece *pieces;
} Cut;

typedef struct Narrow {
    Arena *arena;
    const Graph *from;
    Graph *to;
    Supports supports;            /* of old ids */
    Want **wanted;                /* by old id, per dimension; NULL: not wanted at all */
    Cut *cuts;                    /* by old id */
    NodeId *map;
} Narrow;

/* The range, or the whole extent where the cut is not worth it. */
static Range worth_cutting(Range range, int64_t extent)
{
    int64_t saved = extent - (range.hi - range.lo);
    return saved > 0 && saved >= extent / 32 ? range : range_whole(extent);
}

static bool is_sum(const Node *node)
{
    return node->kind == NODE_EQUATION &&
           (node->reduce == REDUCE_NONE || node->reduce == REDUCE_SUM);
}

/* --- first walk: zeros ---------------------------------------------------------------------------- */
/* false: the piece adds nothing. */
static bool visit_less(Narrow *narrow, Piece *piece, size_t rank)
{
    Range *ranges;
    if (!piece_visited(&narrow->supports, piece, &ranges))
        return false;
    Shorter shorter = {0};
    for (size_t i = 0; i < piece->n_vars + piece->n_reduced; i++) {
        const Var *v = i < piece->n_vars ? piece->vars[i] : piece->reduced[i - piece->n_vars];
        Range range = worth_cutting(ranges[i], v->extent);
        if ((range.lo > 0 || range.hi < v->extent) && !var_checked(narrow->arena, piece, rank, v))
            shorter_add(narrow->arena, narrow->to->pool, &shorter, v, range);
    }
    if (shorter.from.len > 0)
        *piece = piece_shortened(narrow->arena, narrow->to->pool, piece, rank, &shorter);
    return true;
}

/* The hull of what the pieces write. */
static Range *support_of(Narrow *narrow, const Node *node, const Cut *cut)
{
    Range *support = NEW_ARRAY(narrow->arena, Range, node->rank + 1);
    for (size_t i = 0; i < cut->n; i++)
        for (size_t k = 0; k < node->rank; k++) {
            const Position *p = cut->pieces[i].left[k];
            Range all = range_whole(node->dims[k]), written = {p->min, p->max + 1};
            support[k] = range_hull(support[k], p->has_data ? all : range_both(all, written));
        }
    return support;
}

static void skip_zeros(Narrow *narrow, NodeId id)
{
    const Node *node = graph_node(narrow->from, id);
    Cut *cut = &narrow->cuts[id];
    cut->pieces = NEW_ARRAY(narrow->arena, Piece, node->n_pieces);
    for (size_t i = 0; i < node->n_pieces; i++) {
        Piece piece = piece_rewrite(narrow->to, &node->pieces[i], node->rank, NULL, NULL);
        if (!is_sum(node) || visit_less(narrow, &piece, node->rank))
            cut->pieces[cut->n++] = piece;
    }
    if (is_sum(node))
        narrow->supports.support[id] = support_of(narrow, node, cut);
}

/* --- second walk: wants --------------------------------------------------------------------------- */
static Want *want(Narrow *narrow, NodeId id)
{
    if (!narrow->wanted[id])
        narrow->wanted[id] = NEW_ARRAY(narrow->arena, Want, graph_node(narrow->from, id)->rank + 1);
    return narrow->wanted[id];
}

static void want_all(Narrow *narrow, NodeId id)
{
    const Node *node = graph_node(narrow->from, id);
    Want *wants = want(narrow, id);
    for (size_t k = 0; k < node->rank; k++)
        wants[k].soft = wants[k].hard = range_whole(node->dims[k]);
}

/* May the read become one that gives 0 outside of a smaller tensor? */
static bool may_fill(const Scalar *read)
{
    if (read->fill)
        return sc_is_zero(read->fill);
    for (size_t k = 0; k < read->n; k++)
        if (read->at[k]->has_data)
            return false;
    return true;
}

static void want_read(Narrow *narrow, const Scalar *read)
{
    const Node *node = graph_node(narrow->from, read->tensor);
    Want *wants = want(narrow, read->tensor);
    bool soft = may_fill(read);
    for (size_t k = 0; k < node->rank; k++) {
        const Position *p = read->at[k];
        Range all = range_whole(node->dims[k]), range = all;
        if (!p->has_data)
            range = range_both(all, (Range){p->min, p->max + 1});
        wants[k].soft = range_hull(wants[k].soft, range);
        if (!soft)
            wants[k].hard = range_hull(wants[k].hard, range);
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
    return !var_checked(narrow->arena, piece, rank, p->terms[0].atom->var);
}

/* The box that the node keeps; false: all of it. */
static bool choose_box(Narrow *narrow, NodeId id)
{
    const Node *node = graph_node(narrow->from, id);
    const Range *support = narrow->supports.support[id];
    Want *wants = narrow->wanted[id];
    bool shrinks = false;
    for (size_t k = 0; k < node->rank; k++) {
        Range whole = range_whole(node->dims[k]);
        Range kept = support ? range_both(wants[k].soft, support[k]) : wants[k].soft;
        kept = range_hull(wants[k].hard, kept);
        if (range_empty(kept) && node->dims[k] > 0)
            kept = (Range){0, 1};              /* read nowhere: one element, not none */
        kept = worth_cutting(kept, node->dims[k]);
        bool may = (node->kind == NODE_EQUATION || node->kind == NODE_CONSTANT) &&
                   (kept.lo > 0 || kept.hi < node->dims[k]);
        for (size_t i = 0; i < narrow->cuts[id].n && may; i++)
            may = may_shrink(narrow, &narrow->cuts[id].pieces[i], node->rank, k);
        wants[k].box = may ? kept : whole;
        shrinks |= may;
    }
    return shrinks;
}

/* --- cutting ---------------------------------------------------------------------------------------- */
static bool is_cut(const Node *node, const Want *wants, size_t k)
{
    return wants[k].box.lo > 0 || wants[k].box.hi < node->dims[k];
}

/* The piece within the box, its left side relative to the box's start; false: nothing is left. */
static bool cut_piece(Narrow *narrow, const Node *node, const Want *wants, Piece *piece)
{
    ExprPool *pool = narrow->to->pool;
    Shorter shorter = {0};
    for (size_t k = 0; k < node->rank; k++) {
        const Position *p = piece->left[k];
        if (!is_cut(node, wants, k))
            continue;
        Range box = {wants[k].box.lo - p->constant, wants[k].box.hi - p->constant};
        const Var *v = p->n == 0 ? NULL : p->terms[0].atom->var;
        Range range = range_both(box, range_whole(v ? v->extent : 1));
        if (range_empty(range))
            return false;
        if (v && (range.lo > 0 || range.hi < v->extent))
            shorter_add(narrow->arena, pool, &shorter, v, range);
    }
    *piece = piece_shortened(narrow->arena, pool, piece, node->rank, &shorter);
    const Position **left = NEW_ARRAY(narrow->arena, const Position *, node->rank);
    for (size_t k = 0; k < node->rank; k++)
        left[k] = pos_shift(pool, piece->left[k], -wants[k].box.lo);
    piece->left = left;
    return true;
}

static void cut_to_box(Narrow *narrow, NodeId id)
{
    const Node *node = graph_node(narrow->from, id);
    Cut *cut = &narrow->cuts[id];
    bool shrinks = choose_box(narrow, id);
    size_t n = 0;
    for (size_t i = 0; i < cut->n; i++) {
        Piece piece = cut->pieces[i];
        if (shrinks && !cut_piece(narrow, node, narrow->wanted[id], &piece))
            continue;
        cut->pieces[n++] = piece;
        ScalarList list = piece_list(narrow->arena, &piece, node->rank);
        for (size_t k = 0; k < list.n; k++)
            if (list.at[k]->kind == SCALAR_READ)
                want_read(narrow, list.at[k]);
    }
    cut->n = n;
    for (size_t i = 0; i < node->n_args; i++)
        want_all(narrow, node->args[i]);
}

/* --- third walk: building ----------------------------------------------------------------------------- */
static const Scalar *read_shifted(void *context, ExprPool *pool, const Scalar *old, size_t rank,
                                  const Position *const *at, const Scalar *fill)
{
    const Narrow *narrow = context;
    const Want *wants = narrow->wanted[old->tensor];
    const Node *tensor = graph_node(narrow->to, narrow->map[old->tensor]);
    const Position *shifted[MAX_RANK];
    assert(rank == tensor->rank);
    bool leaves = false, inside = true;
    for (size_t k = 0; k < rank; k++) {
        shifted[k] = pos_shift(pool, at[k], -wants[k].box.lo);
        bool proved = pos_in_range(shifted[k], tensor->dims[k]);
        leaves |= !shifted[k]->has_data && !proved;
        inside &= proved;
    }
    if (leaves && !fill)
        fill = sc_const(pool, old->dtype, 0);
    if (inside)
        fill = NULL;
    return sc_read(pool, old->dtype, narrow->map[old->tensor], rank, shifted, fill);
}

static NodeId cut_constant(Narrow *narrow, const Node *node, const Want *wants,
                           const int64_t *dims)
{
    int64_t n = 1;
    for (size_t k = 0; k < node->rank; k++)
        n *= dims[k];
    double *data = node->data ? NEW_ARRAY(narrow->arena, double, (size_t)n) : NULL;
    for (int64_t i = 0; data && i < n; i++) {
        int64_t rest = i, stride = 1, offset = 0;
        for (size_t k = node->rank; k-- > 0;) {
            offset += (rest % dims[k] + wants[k].box.lo) * stride;
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
    const Want *wants = narrow->wanted[id];
    if (node->kind != NODE_EQUATION && node->kind != NODE_CONSTANT)
        return node_rewrite(narrow->to, node, NULL, NULL, narrow->map);
    int64_t dims[MAX_RANK];
    for (size_t k = 0; k < node->rank; k++)
        dims[k] = wants[k].box.hi - wants[k].box.lo;
    if (node->kind == NODE_CONSTANT)
        return cut_constant(narrow, node, wants, dims);
    const Cut *cut = &narrow->cuts[id];
    if (cut->n == 0)
        return graph_constant(narrow->to, node->dtype, node->rank, dims, NULL, 0, node->span);
    for (size_t i = 0; i < cut->n; i++)
        cut->pieces[i] = piece_rewrite(narrow->to, &cut->pieces[i], node->rank, read_shifted,
                                       narrow);
    return graph_equation(narrow->to, node->dtype, node->rank, dims, node->reduce, cut->n,
                          cut->pieces, node->name, node->span);
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
    narrow.supports = (Supports){.arena = scratch, .graph = graph,
                                 .support = NEW_ARRAY(scratch, Range *, n + 1)};
    narrow.wanted = NEW_ARRAY(scratch, Want *, n + 1);
    narrow.cuts = NEW_ARRAY(scratch, Cut, n + 1);
    narrow.map = NEW_ARRAY(scratch, NodeId, n + 1);
    for (NodeId id = 0; id < n; id++)
        skip_zeros(&narrow, id);
    want_outputs(&narrow);
    for (NodeId id = (NodeId)n; id-- > 0;) {
        if (is_leaf(graph_node(graph, id)))
            want_all(&narrow, id);
        if (narrow.wanted[id])
            cut_to_box(&narrow, id);
    }
    for (NodeId id = 0; id < n; id++)
        narrow.map[id] = narrow.wanted[id] ? build(&narrow, id) : NODE_NONE;
    outputs_copy(narrow.to, graph, narrow.map);
    arena_free(scratch);
    return narrow.to;
}
