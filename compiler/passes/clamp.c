/* clamp: comparisons of what max and min with constants hide read the clamped tensor instead. Where
 * y = min(max(x, lo), hi), `c < x` is `c < y` for lo <= c < hi, and the like: the gradient of relu
 * asks for the sign of its input, and the output has it. One tensor less is kept for the backward
 * pass. Needs normal form; keeps every value, bit for bit; what becomes unread stays for prune. */
#include "passes/clean.h"
#include "passes/densify.h"

#include <math.h>

typedef struct Bounds {           /* min(max(x, lo), hi) of a READ x */
    const Scalar *x;
    double lo, hi;
} Bounds;

typedef struct Clamped {          /* by node: the first tensor that is its clamp */
    NodeId by;                    /* NODE_NONE: none */
    double lo, hi;
} Clamped;

typedef struct Clamp {
    Graph *to;
    Clamped *clamped;             /* by new node */
} Clamp;

static bool is_fn(const Scalar *s, ScalarOp op)
{
    return s->kind == SCALAR_FN && s->op == op;
}

/* s as a clamp of a READ; false: it is none. */
static bool bounds_of(const Scalar *s, Bounds *b)
{
    double k;
    if (s->kind == SCALAR_READ) {
        *b = (Bounds){.x = s, .lo = -INFINITY, .hi = INFINITY};
        return true;
    }
    if (!is_fn(s, OP_MAX) && !is_fn(s, OP_MIN))
        return false;
    const Scalar *inner = sc_is_const(s->args[0], &k) ? s->args[1] : s->args[0];
    if ((inner == s->args[0] && !sc_is_const(s->args[1], &k)) || !bounds_of(inner, b))
        return false;
    if (s->op == OP_MAX) {
        b->lo = fmax(b->lo, k);
        b->hi = fmax(b->hi, k);
    } else {
        b->lo = fmin(b->lo, k);
        b->hi = fmin(b->hi, k);
    }
    return true;
}

/* c < x, x <= c (strict_below: c itself lies below) or c <= x, x < c: does clamping x keep the answer? */
static bool keeps_order(double c, bool strict_below, double lo, double hi)
{
    return strict_below ? lo <= c && c < hi : lo < c && c <= hi;
}

/* --- comparisons -------------------------------------------------------------------------------------- */
static const Scalar *compared(const Clamp *clamp, const Scalar *s)
{
    double c;
    bool left = sc_is_const(s->args[0], &c);
    const Scalar *other = s->args[left];
    if (is_fn(other, OP_CAST) && dtype_is_short(other->args[0]->dtype))
        other = other->args[0];                  /* widened to be compared */
    Bounds b;
    if ((!left && !sc_is_const(s->args[1], &c)) || !bounds_of(other, &b) || b.x->fill)
        return s;
    bool strict_below = left == (s->op == OP_LT);
    const Clamped *known = &clamp->clamped[b.x->tensor];
    if (!keeps_order(c, strict_below, b.lo, b.hi))
        return s;
    const Scalar *x = b.x;
    if (known->by != NODE_NONE && keeps_order(c, strict_below, known->lo, known->hi))
        x = graph_read(clamp->to, known->by, x->at, NULL);
    return left ? sc_fn2(clamp->to->pool, s->op, s->args[0], x)
                : sc_fn2(clamp->to->pool, s->op, x, s->args[1]);
}

static const Scalar *rebuilt(const Clamp *clamp, IdMap *seen, const Scalar *s)
{
    const void *known;
    if (s->kind != SCALAR_FN)
        return s;
    if (idmap_get(seen, s->id, &known))
        return known;
    const Scalar **args = NEW_ARRAY(clamp->to->arena, const Scalar *, s->n);
    bool same = true;
    for (size_t i = 0; i < s->n; i++) {
        args[i] = rebuilt(clamp, seen, s->args[i]);
        same &= args[i] == s->args[i];
    }
    const Scalar *now = same ? s : s->op == OP_CAST ? sc_cast(clamp->to->pool, s->dtype, args[0])
                                                    : sc_fn(clamp->to->pool, s->op, s->n, args);
    if (is_fn(now, OP_LT) || is_fn(now, OP_LE))
        now = compared(clamp, now);
    idmap_set(seen, s->id, now);
    return now;
}

static bool compares(Arena *arena, const Scalar *body)
{
    ScalarList list = sc_list(arena, 1, &body);
    for (size_t i = 0; i < list.n; i++) {
        if (is_fn(list.at[i], OP_LT) || is_fn(list.at[i], OP_LE))
            return true;
    }
    return false;
}

/* --- nodes ---------------------------------------------------------------------------------------------- */
/* The node clamps another tensor, element by element. */
static void note_clamp(Clamp *clamp, NodeId id)
{
    const Node *node = graph_node(clamp->to, id);
    Bounds b;
    if (node->kind != NODE_EQUATION || node->n_pieces != 1 || node->pieces[0].n_reduced > 0 ||
        !piece_is_plain(node, &node->pieces[0]) || !bounds_of(node->pieces[0].body, &b) ||
        b.x == node->pieces[0].body || b.x->fill || b.x->n != node->rank)
        return;
    const Node *x = graph_node(clamp->to, b.x->tensor);
    bool same = x->dtype == node->dtype && dtype_is_float(x->dtype);
    for (size_t d = 0; same && d < node->rank; d++)
        same = x->dims[d] == node->dims[d] && b.x->at[d] == node->pieces[0].left[d];
    if (same && clamp->clamped[b.x->tensor].by == NODE_NONE)
        clamp->clamped[b.x->tensor] = (Clamped){.by = id, .lo = b.lo, .hi = b.hi};
}

static NodeId copied(Clamp *clamp, const Node *node, NodeId *map)
{
    Graph *to = clamp->to;
    bool any = false;
    for (size_t p = 0; p < node->n_pieces; p++)
        any |= compares(to->arena, node->pieces[p].body);
    if (!any)
        return node_rewrite(to, node, read_renamed, map, map);
    Piece *pieces = NEW_ARRAY(to->arena, Piece, node->n_pieces);
    for (size_t p = 0; p < node->n_pieces; p++) {
        IdMap seen = idmap_new(to->arena);
        pieces[p] = piece_rewrite(to, &node->pieces[p], node->rank, read_renamed, map);
        pieces[p].body = rebuilt(clamp, &seen, pieces[p].body);
    }
    return graph_equation(to, node->dtype, node->rank, node->dims, node->reduce, node->n_pieces,
                          pieces, node->name, node->span);
}

Graph *pass_clamp(Arena *arena, const Graph *graph)
{
    Graph *to = graph_new(arena);
    Clamp clamp = {.to = to, .clamped = NEW_ARRAY(arena, Clamped, graph->nodes.len)};
    NodeId *map = NEW_ARRAY(arena, NodeId, graph->nodes.len + 1);
    for (NodeId id = 0; id < graph->nodes.len; id++)
        clamp.clamped[id].by = NODE_NONE;
    for (NodeId id = 0; id < graph->nodes.len; id++) {
        map[id] = copied(&clamp, graph_node(graph, id), map);
        note_clamp(&clamp, map[id]);
    }
    outputs_copy(to, graph, map);
    return to;
}
