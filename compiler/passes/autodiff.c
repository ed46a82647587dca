/* autodiff: the adjoint of the loss by parameters, as raw pieces (differentiation.md 3, 7, 8).
 *
 * For each read A[e] in a piece of t: d_A[e] += d_t[left] * d body / d read, at once and without
 * looking at what kind of equation t is. All contributions to one tensor are pieces of one
 * equation. Left sides may repeat; densify makes them injective. Needs a well-formed graph with one
 * OUT_LOSS; old ids stay valid in the result, whose old nodes read through copies. */
#include "passes/densify.h"

#include <assert.h>

typedef VEC(Piece) Pieces;

typedef struct Autodiff {
    Arena *arena;
    Graph *graph;
    ExprPool *pool;
    bool *active;    /* by node: real, and depends on what is asked for */
    Pieces *raw;     /* by node: contributions to its adjoint, in order of creation */
    NodeId *adjoint; /* by node: its adjoint once complete, else NODE_NONE */
} Autodiff;

/* --- which reads count
 * -------------------------------------------------------------------------------- */
typedef struct Reads {
    Autodiff *ad;
    Scalars list;
    IdMap seen;
} Reads;

/* Not in conditions, positions, stop(), or what an int is made of. */
static void collect(Reads *reads, const Scalar *s)
{
    const void *before;
    if (!dtype_is_float(s->dtype) || idmap_get(&reads->seen, s->id, &before))
        return;
    idmap_set(&reads->seen, s->id, s);
    if (s->kind == SCALAR_FN && s->op != OP_STOP)
        for (size_t i = 0; i < s->n; i++)
            collect(reads, s->args[i]);
    if (s->kind != SCALAR_READ)
        return;
    if (s->fill)
        collect(reads, s->fill);
    if (reads->ad->active[s->tensor])
        VEC_PUSH(reads->ad->arena, reads->list, s);
}

static Scalars active_reads(Autodiff *ad, const Scalar *body)
{
    Reads reads = {.ad = ad, .seen = idmap_new(ad->arena)};
    collect(&reads, body);
    return reads.list;
}

static bool is_active(Autodiff *ad, const Node *node)
{
    if (!dtype_is_float(node->dtype))
        return false;
    for (size_t i = 0; i < node->n_pieces; i++)
        if (active_reads(ad, node->pieces[i].body).len > 0)
            return true;
    for (size_t i = 0; i < node->n_args; i++)
        if (ad->active[node->args[i]])
            return true;
    return false;
}

static void mark_active(Autodiff *ad, size_t n_wrt, const NodeId *wrt)
{
    size_t n = ad->graph->nodes.len;
    ad->active = NEW_ARRAY(ad->arena, bool, n);
    for (size_t i = 0; i < n_wrt; i++)
        ad->active[wrt[i]] = true;
    for (NodeId id = 0; id < n; id++)
        ad->active[id] = ad->active[id] || is_active(ad, graph_node(ad->graph, id));
}

/* --- the adjoint of one tensor
 * ------------------------------------------------------------------------- */
/* What is kept in less than float32, parameters among it, has a float32 adjoint all the same. */
static DType adjoint_dtype(const Node *node)
{
    return dtype_is_short(node->dtype) ? DT_F32 : node->dtype;
}

static NodeId complete(Autodiff *ad, NodeId id)
{
    Node node = *graph_node(ad->graph, id);
    node.dtype = adjoint_dtype(&node);
    Pieces *raw = &ad->raw[id];
    if (raw->len == 0)
        return graph_constant(ad->graph, node.dtype, node.rank, node.dims, NULL, 0, node.span);
    bool reduced = false;
    for (size_t i = 0; i < raw->len; i++)
        reduced |= raw->at[i].n_reduced > 0;
    Str name = str_format(ad->arena, "d_" STR_FMT, STR_ARG(node.name));
    return graph_equation(ad->graph, node.dtype, node.rank, node.dims,
                          reduced ? REDUCE_SUM : REDUCE_NONE, raw->len, raw->at, name, node.span);
}

/* d_t at the left positions of one of its pieces */
static const Scalar *adjoint_at(Autodiff *ad, NodeId t, const Piece *piece)
{
    const Node *node = graph_node(ad->graph, t);
    return read_through(ad->graph, ad->adjoint[t], piece->left,
                        sc_const(ad->pool, adjoint_dtype(node), 0));
}

/* --- terms of a derivative that have different domains
 * ---------------------------------------------------- */
typedef struct MaskedTerm {
    const Scalar *mask; /* on positions, or NULL */
    const Scalar *sum;
} MaskedTerm;
typedef VEC(MaskedTerm) MaskedTerms;

static bool mentions_positions(const Scalar *condition)
{
    if (condition->kind == SCALAR_WITHIN)
        return true;
    for (size_t i = 0; condition->kind == SCALAR_FN && i < condition->n; i++)
        if (mentions_positions(condition->args[i]))
            return true;
    return false;
}

static const Scalar *mask_of(const Scalar *s)
{
    return s->kind == SCALAR_FN && s->op == OP_SELECT && sc_is_zero(s->args[2]) &&
                   mentions_positions(s->args[0])
               ? s->args[0]
               : NULL;
}

/* Terms under the same mask stay one sum. */
static void split_terms(Autodiff *ad, const Scalar *d, MaskedTerms *out)
{
    if (d->kind == SCALAR_FN && d->op == OP_ADD) {
        for (size_t i = 0; i < d->n; i++)
            split_terms(ad, d->args[i], out);
        return;
    }
    const Scalar *mask = mask_of(d);
    for (size_t i = 0; i < out->len; i++)
        if (out->at[i].mask == mask) {
            out->at[i].sum = sc_fn2(ad->pool, OP_ADD, out->at[i].sum, d);
            return;
        }
    MaskedTerm term = {.mask = mask, .sum = d};
    VEC_PUSH(ad->arena, *out, term);
}

/* --- one contribution
 * ------------------------------------------------------------------------------------- */
static void add_range_guards(Autodiff *ad, const Scalar *read, Guards *guards)
{
    const Node *tensor = graph_node(ad->graph, read->tensor);
    for (size_t k = 0; k < read->n; k++) {
        bool promised = read->at[k]->has_data && !read->fill;
        Guard guard = {.lo = 0, .hi = tensor->dims[k], .position = read->at[k]};
        if (!promised && !pos_in_range(read->at[k], tensor->dims[k]))
            VEC_PUSH(ad->arena, *guards, guard);
    }
}

static bool on_left(const Scalar *read, const Var *v)
{
    for (size_t k = 0; k < read->n; k++)
        if (pos_uses(read->at[k], v))
            return true;
    return false;
}

/* d_A[e(V)] += factor(V) for all variables V of the piece, under the guards. */
static void contribute(Autodiff *ad, const Piece *piece, const Guards *more, const Scalar *read,
                       const Scalar *factor)
{
    Vars left = {0}, reduced = {0};
    for (size_t i = 0; i < piece->n_vars + piece->n_reduced; i++) {
        const Var *v = i < piece->n_vars ? piece->vars[i] : piece->reduced[i - piece->n_vars];
        if (on_left(read, v))
            VEC_PUSH(ad->arena, left, v);
        else
            VEC_PUSH(ad->arena, reduced, v);
    }
    Guards guards = {0};
    for (size_t i = 0; i < piece->n_guards; i++)
        VEC_PUSH(ad->arena, guards, piece->guards[i]);
    for (size_t i = 0; i < more->len; i++)
        VEC_PUSH(ad->arena, guards, more->at[i]);
    add_range_guards(ad, read, &guards);
    DType dtype = adjoint_dtype(graph_node(ad->graph, read->tensor));
    Piece raw = {.n_vars = left.len,
                 .vars = left.at,
                 .n_reduced = reduced.len,
                 .reduced = reduced.at,
                 .left = read->at,
                 .n_guards = guards.len,
                 .guards = guards.at,
                 .body = sc_cast(ad->pool, dtype, factor)};
    VEC_PUSH(ad->arena, ad->raw[read->tensor], raw);
}

/* --- max, min, prod (section 7)
 * ------------------------------------------------------------------------------ */
static NodeId define_like(Autodiff *ad, NodeId t, DType dtype, ReduceOp reduce, const Piece *piece,
                          const Scalar *body, const char *what)
{
    Node node = *graph_node(ad->graph, t);
    Piece copy = *piece;
    copy.body = body;
    Str name = str_format(ad->arena, STR_FMT "_%s", STR_ARG(node.name), what);
    return graph_equation(ad->graph, dtype, node.rank, node.dims, reduce, 1, &copy, name,
                          node.span);
}

static const Scalar *read_like(Autodiff *ad, NodeId tensor, const Piece *piece)
{
    const Node *node = graph_node(ad->graph, tensor);
    return graph_read(ad->graph, tensor, piece->left, sc_const(ad->pool, node->dtype, 0));
}

/* The first winner only: row-major position of the reduced variables == arg[left]. One equation
 * solves or compares it; where some reduced variable is not on the gradient's left, one equation
 * per variable lets each of those be solved. */
static void winner_guards(Autodiff *ad, const Piece *piece, const Scalar *arg, const Scalar *read,
                          Guards *out)
{
    ExprPool *pool = ad->pool;
    const Position *winner = pos_data(pool, arg), *flat = pos_const(pool, 0);
    bool all_left = true;
    for (size_t i = 0; i < piece->n_reduced; i++) {
        const Var *v = piece->reduced[i];
        flat = pos_add(pool, pos_scale(pool, flat, v->extent), pos_var(pool, v));
        all_left = all_left && (v->extent == 1 || on_left(read, v));
    }
    if (all_left) {
        Guard guard = {.lo = 0, .hi = 1, .position = pos_sub(pool, flat, winner)};
        VEC_PUSH(ad->arena, *out, guard);
        return;
    }
    int64_t stride = 1;
    for (size_t i = piece->n_reduced; i-- > 0;) {
        const Var *v = piece->reduced[i];
        const Position *digit = pos_div(pool, winner, stride);
        if (i > 0)
            digit = pos_mod(pool, digit, v->extent);
        Guard guard = {.lo = 0, .hi = 1, .position = pos_sub(pool, pos_var(pool, v), digit)};
        VEC_PUSH(ad->arena, *out, guard);
        stride *= v->extent;
    }
}

/* The product of the others, right where the tensor holds zeros. */
static const Scalar *others_product(Autodiff *ad, NodeId t, const Piece *piece)
{
    ExprPool *pool = ad->pool;
    const Scalar *x = piece->body, *one = sc_const(pool, x->dtype, 1);
    const Scalar *none = sc_const(pool, x->dtype, 0), *zero = sc_fn2(pool, OP_EQ, x, none);
    const Scalar *single = sc_const(pool, DT_I32, 1), *no = sc_const(pool, DT_I32, 0);
    NodeId zeros = define_like(ad, t, DT_I32, REDUCE_SUM, piece,
                               sc_fn3(pool, OP_SELECT, zero, single, no), "zeros");
    NodeId rest = define_like(ad, t, graph_node(ad->graph, t)->dtype, REDUCE_PROD, piece,
                              sc_fn3(pool, OP_SELECT, zero, one, x), "rest");
    const Scalar *c = read_like(ad, zeros, piece), *p = read_like(ad, rest, piece);
    return sc_fn3(pool, OP_SELECT, zero, sc_masked(pool, sc_fn2(pool, OP_EQ, c, single), p),
                  sc_masked(pool, sc_fn2(pool, OP_EQ, c, no), sc_fn2(pool, OP_DIV, p, x)));
}

/* --- one piece
 * --------------------------------------------------------------------------------------------------
 */
typedef struct Outer {
    const Scalar *factor; /* d_t[left], and for prod the product of the others */
    const Scalar *arg;    /* max, min: read of the winner */
    const Scalar *value;  /* what stands for the body's value: t itself, or NULL */
} Outer;

static Outer outer_of(Autodiff *ad, NodeId t, const Piece *piece)
{
    const Node *node = graph_node(ad->graph, t);
    Outer outer = {.factor = adjoint_at(ad, t, piece)};
    switch (node->reduce) {
    case REDUCE_NONE:
    case REDUCE_SUM:
        if (piece->n_reduced == 0 && node->n_pieces == 1 && piece_is_plain(node, piece) &&
            piece->body->kind == SCALAR_FN)
            outer.value = graph_read(ad->graph, t, piece->left, NULL);
        break;
    case REDUCE_MAX:
    case REDUCE_MIN: {
        ReduceOp op = node->reduce == REDUCE_MAX ? REDUCE_ARGMAX : REDUCE_ARGMIN;
        if (piece->n_reduced > 0)
            outer.arg =
                read_like(ad, define_like(ad, t, DT_I32, op, piece, piece->body, "arg"), piece);
        break;
    }
    case REDUCE_PROD:
        if (piece->n_reduced > 0)
            outer.factor = sc_fn2(ad->pool, OP_MUL, outer.factor, others_product(ad, t, piece));
        break;
    case REDUCE_ANY:
    case REDUCE_ALL:
    case REDUCE_ARGMAX:
    case REDUCE_ARGMIN:
        assert(false && "an int or bool tensor has no adjoint");
    }
    return outer;
}

static void differentiate(Autodiff *ad, NodeId t)
{
    Node node = *graph_node(ad->graph, t);
    for (size_t i = 0; i < node.n_pieces; i++) {
        const Piece *piece = &node.pieces[i];
        Outer outer = outer_of(ad, t, piece);
        Scalars reads = active_reads(ad, piece->body);
        for (size_t k = 0; k < reads.len; k++) {
            const Scalar *read = reads.at[k];
            const Scalar *d = derive(ad->graph, piece->body, read, outer.value);
            if (!d)
                continue;
            Guards guards = {0};
            if (outer.arg)
                winner_guards(ad, piece, outer.arg, read, &guards);
            MaskedTerms terms = {0};
            split_terms(ad, d, &terms);
            for (size_t m = 0; m < terms.len; m++)
                contribute(ad, piece, &guards, read,
                           sc_fn2(ad->pool, OP_MUL, outer.factor, terms.at[m].sum));
        }
    }
}

/* --- the graph
 * ----------------------------------------------------------------------------------------------------
 */
/* A user's one-hot product becomes a gather before anything is differentiated. */
static Piece solve_one_hot(Autodiff *ad, const Node *node, Piece piece)
{
    Dense dense = {.arena = ad->arena,
                   .graph = ad->graph,
                   .pool = ad->pool,
                   .rank = node->rank,
                   .dims = node->dims};
    if (node->reduce != REDUCE_SUM || piece.n_reduced == 0 || !piece_is_plain(node, &piece))
        return piece;
    Raw *raw = raw_new(&dense, &piece);
    if (!guard_solve_one_hot(&dense, raw) || raw->empty)
        return piece;
    raw_finish(&dense, raw);
    return raw_piece(&dense, raw);
}

static void import_node(Autodiff *ad, const Node *node, const NodeId *map)
{
    if (node->kind != NODE_EQUATION) {
        node_import(ad->graph, node, map);
        return;
    }
    Piece *pieces = NEW_ARRAY(ad->arena, Piece, node->n_pieces);
    for (size_t i = 0; i < node->n_pieces; i++)
        pieces[i] =
            solve_one_hot(ad, node, piece_import(ad->graph, &node->pieces[i], node->rank, map));
    graph_equation(ad->graph, node->dtype, node->rank, node->dims, node->reduce, node->n_pieces,
                   pieces, node->name, node->span);
}

static Autodiff import_graph(Arena *arena, const Graph *graph)
{
    Autodiff ad = {.arena = arena, .graph = graph_new(arena)};
    ad.pool = ad.graph->pool;
    size_t n = graph->nodes.len;
    NodeId *map = NEW_ARRAY(arena, NodeId, n);
    for (NodeId id = 0; id < n; id++) {
        map[id] = id;
        import_node(&ad, graph_node(graph, id), map);
    }
    for (size_t i = 0; i < graph->outputs.len; i++) {
        const Output *o = &graph->outputs.at[i];
        graph_output(ad.graph, o->kind, o->name, o->value, o->target);
    }
    ad.raw = NEW_ARRAY(arena, Pieces, n);
    ad.adjoint = NEW_ARRAY(arena, NodeId, n);
    for (NodeId id = 0; id < n; id++)
        ad.adjoint[id] = NODE_NONE;
    return ad;
}

/* d loss / d loss = 1, a constant that its readers see through */
static void seed(Autodiff *ad)
{
    for (size_t i = 0; i < ad->graph->outputs.len; i++) {
        const Output *o = &ad->graph->outputs.at[i];
        if (o->kind != OUT_LOSS)
            continue;
        Piece one = {.body = sc_const(ad->pool, graph_node(ad->graph, o->value)->dtype, 1)};
        VEC_PUSH(ad->arena, ad->raw[o->value], one);
    }
}

Graph *pass_autodiff(Arena *arena, const Graph *graph, size_t n_wrt, const NodeId *wrt)
{
    Autodiff ad = import_graph(arena, graph);
    mark_active(&ad, n_wrt, wrt);
    seed(&ad);
    for (NodeId id = (NodeId)graph->nodes.len; id-- > 0;) {
        if (!ad.active[id] || ad.raw[id].len == 0)
            continue;
        assert(graph_node(ad.graph, id)->kind != NODE_INTRINSIC &&
               graph_node(ad.graph, id)->kind != NODE_COLLECTIVE);
        ad.adjoint[id] = complete(&ad, id);
        if (graph_node(ad.graph, id)->kind == NODE_EQUATION)
            differentiate(&ad, id);
    }
    for (size_t i = 0; i < n_wrt; i++) {
        if (ad.adjoint[wrt[i]] == NODE_NONE)
            ad.adjoint[wrt[i]] = complete(&ad, wrt[i]);
        graph_output(ad.graph, OUT_GRAD, graph_node(ad.graph, wrt[i])->name, ad.adjoint[wrt[i]],
                     wrt[i]);
    }
    return ad.graph;
}

NodeId autodiff_refuses(Arena *arena, const Graph *graph, size_t n_wrt, const NodeId *wrt)
{
    Autodiff ad = {.arena = arena, .graph = (Graph *)graph, .pool = graph->pool};
    mark_active(&ad, n_wrt, wrt);
    for (NodeId id = 0; id < graph->nodes.len; id++)
        if (ad.active[id] && (graph_node(graph, id)->kind == NODE_INTRINSIC ||
                              graph_node(graph, id)->kind == NODE_COLLECTIVE))
            return id;
    return NODE_NONE;
}
