/* gradcheck: derivatives of a whole graph against differences. The loss is evaluated in a graph of
 * two copies: one at the values as given, one whose parameters move; what stands under `stop`, and
 * data in positions, is read from the first, because autodiff takes it for constant.
 *
 * Per parameter the loss is followed along a few directions of length 1: the gradient itself, where
 * the slope must be the gradient's norm, a random one, and single elements. Near a kink one step
 * width may fail where a smaller one does not; so the best of several counts.
 */
#include "passes/densify.h"

#include <assert.h>
#include <math.h>
#include <string.h>

enum { DIRECTIONS = 4, STEPS = 4 };
static const double steps[STEPS] = {1e-4, 1e-5, 1e-6, 1e-3};
static const double good_enough = 1e-8;      /* no further step is tried */
static const double negligible = 1e-6;       /* of the largest gradient: theory says 0 there */

typedef struct Twin {
    Arena *arena;
    const Graph *from;
    Graph *graph;                 /* the first copy keeps the ids of `from` */
    NodeId *moved;                /* old id -> second copy, or itself where nothing moves */
    IdMap memo[2];                /* scalars of the second copy, by: under `stop`? */
} Twin;

typedef struct Run {
    Arena *arena;
    const GradCheck *check;
    Twin twin;
    double **base;                /* values of the first copy, by id */
    double **gradient;            /* by wrt */
    NodeId loss;                  /* of the second copy */
    uint64_t random;
    int64_t int_bound, byte_bound;     /* inputs that may be positions stay below */
} Run;

/* --- random values ---------------------------------------------------------------------------------- */
static double uniform(Run *run, double lo, double hi)
{
    run->random ^= run->random << 13;
    run->random ^= run->random >> 7;
    run->random ^= run->random << 17;
    return lo + (hi - lo) * (double)(run->random >> 11) * 0x1p-53;
}

static double leaf_value(Run *run, const Node *node)
{
    double fan = node->rank > 1 && node->dims[0] > 0
                     ? (double)node_elements(node) / (double)node->dims[0]
                     : 1;
    switch (node->dtype) {
    case DT_BOOL: return floor(uniform(run, 0, 2));
    case DT_U8: case DT_I8: return floor(uniform(run, 0, (double)run->byte_bound));
    case DT_I32: case DT_I64: return floor(uniform(run, 0, (double)run->int_bound));
    case DT_BF16: case DT_F16: case DT_F32: case DT_F64: case DT_COUNT: break;
    }
    if (node->kind == NODE_STEP)
        return 0.5;
    if (node->kind == NODE_PARAM && node->rank > 1)
        return uniform(run, -1, 1) * sqrt(3 / fan);
    return node->kind == NODE_INPUT ? uniform(run, -1, 1) : uniform(run, 0.5, 1.5);
}

static void set_leaves(Run *run)
{
    run->random = run->check->seed * 2 + 88172645463325252u;
    const Graph *graph = run->check->graph;
    for (NodeId id = 0; id < graph->nodes.len; id++) {
        const Node *node = graph_node(graph, id);
        if (node->kind != NODE_INPUT && node->kind != NODE_PARAM && node->kind != NODE_STATE &&
            node->kind != NODE_STEP)
            continue;
        int64_t n = node_elements(node);
        run->base[id] = NEW_ARRAY(run->arena, double, (size_t)n);
        for (int64_t i = 0; i < n; i++)
            run->base[id][i] = leaf_value(run, node);
    }
}

/* --- the second copy -------------------------------------------------------------------------------- */
static const Scalar *copy(Twin *twin, const Scalar *s, bool stopped);

static const Scalar *read_same(void *context, ExprPool *pool, const Scalar *old, size_t rank,
                               const Position *const *at, const Scalar *fill)
{
    (void)context;
    return sc_read(pool, old->dtype, old->tensor, rank, at, fill);
}

static const Scalar *copy_read(Twin *twin, const Scalar *s, bool stopped)
{
    const Position *at[MAX_RANK];
    for (size_t k = 0; k < s->n; k++)
        at[k] = pos_rewrite(twin->graph->pool, s->at[k], read_same, twin);
    return sc_read(twin->graph->pool, s->dtype, stopped ? s->tensor : twin->moved[s->tensor], s->n,
                   at, s->fill ? copy(twin, s->fill, stopped) : NULL);
}

static const Scalar *copy_fn(Twin *twin, const Scalar *s, bool stopped)
{
    stopped |= s->op == OP_STOP;
    const Scalar **args = NEW_ARRAY(twin->arena, const Scalar *, s->n);
    for (size_t i = 0; i < s->n; i++)
        args[i] = copy(twin, s->args[i], stopped);
    return s->op == OP_CAST ? sc_cast(twin->graph->pool, s->dtype, args[0])
                            : sc_fn(twin->graph->pool, s->op, s->n, args);
}

static const Scalar *copy(Twin *twin, const Scalar *s, bool stopped)
{
    const void *known;
    if (idmap_get(&twin->memo[stopped], s->id, &known))
        return known;
    const Scalar *result = s->kind == SCALAR_READ ? copy_read(twin, s, stopped)
                           : s->kind == SCALAR_FN ? copy_fn(twin, s, stopped)
                                                  : sc_rewrite(twin->graph->pool, s, read_same, twin);
    idmap_set(&twin->memo[stopped], s->id, result);
    return result;
}

static NodeId copy_equation(Twin *twin, const Node *node)
{
    Piece *pieces = NEW_ARRAY(twin->arena, Piece, node->n_pieces);
    for (size_t i = 0; i < node->n_pieces; i++) {
        pieces[i] = piece_rewrite(twin->graph, &node->pieces[i], node->rank, read_same, twin);
        pieces[i].body = copy(twin, node->pieces[i].body, false);
    }
    return graph_equation(twin->graph, node->dtype, node->rank, node->dims, node->reduce,
                          node->n_pieces, pieces, node->name, node->span);
}

/* Does the node read anything marked? */
static bool reads_marked(Arena *arena, const Node *node, const bool *marked)
{
    bool found = false;
    for (size_t i = 0; i < node->n_pieces; i++) {
        ScalarList list = piece_list(arena, &node->pieces[i], node->rank);
        for (size_t k = 0; k < list.n; k++)
            found |= list.at[k]->kind == SCALAR_READ && marked[list.at[k]->tensor];
    }
    for (size_t i = 0; i < node->n_args; i++)
        found |= marked[node->args[i]];
    return found;
}

static void make_twin(Run *run)
{
    const Graph *from = run->check->graph;
    size_t n = from->nodes.len;
    Twin *twin = &run->twin;
    *twin = (Twin){.arena = run->arena, .from = from, .graph = graph_new(run->arena)};
    twin->memo[0] = idmap_new(run->arena);
    twin->memo[1] = idmap_new(run->arena);
    twin->moved = NEW_ARRAY(run->arena, NodeId, n + 1);
    bool *active = NEW_ARRAY(run->arena, bool, n + 1);
    for (size_t i = 0; i < run->check->n_wrt; i++)
        active[run->check->wrt[i]] = true;
    for (NodeId id = 0; id < n; id++) {
        twin->moved[id] = node_rewrite(twin->graph, graph_node(from, id), read_same, NULL, NULL);
        assert(twin->moved[id] == id);
        active[id] |= reads_marked(run->arena, graph_node(from, id), active);
    }
    for (NodeId id = 0; id < n; id++) {
        const Node *node = graph_node(from, id);
        if (active[id] && node->kind == NODE_EQUATION)
            twin->moved[id] = copy_equation(twin, node);
        else if (active[id])
            twin->moved[id] = node_rewrite(twin->graph, node, read_same, NULL, twin->moved);
    }
}

/* --- evaluation --------------------------------------------------------------------------------------- */
static Interp interp_of(const Run *run, const Graph *graph, Arena *arena)
{
    Interp interp = {.graph = graph, .arena = arena, .seed = run->check->seed, .step = 1};
    interp.values = NEW_ARRAY(arena, double *, graph->nodes.len + 1);
    return interp;
}

/* All values of the first copy; inputs become smaller until they fit as positions. */
static const char *run_base(Run *run)
{
    const Graph *graph = run->check->graph;
    run->int_bound = 3;
    run->byte_bound = 100;
    for (;;) {
        set_leaves(run);
        Interp interp = interp_of(run, graph, run->arena);
        memcpy(interp.values, run->base, graph->nodes.len * sizeof *run->base);
        if (interp_run(&interp)) {
            run->base = interp.values;
            return NULL;
        }
        int64_t extent = interp.fault.extent;
        Str name = graph_node(graph, interp.fault.node)->name;
        if (extent == 0)
            return str_format(run->arena, "the interpreter does not know intrinsics (`" STR_FMT "`)",
                              STR_ARG(graph_node(graph, interp.fault.node)->function)).ptr;
        if (extent >= run->int_bound && extent >= run->byte_bound)
            return str_format(run->arena, "`" STR_FMT "` reads at %lld of %lld", STR_ARG(name),
                              (long long)interp.fault.value, (long long)extent).ptr;
        run->int_bound = extent < run->int_bound ? extent : run->int_bound;
        run->byte_bound = extent < run->byte_bound ? extent : run->byte_bound;
    }
}

/* The loss with one parameter at other values. `depends`: by node of the twin. */
static double loss_at(Run *run, NodeId param, double *values, const bool *depends)
{
    size_t n = run->check->graph->nodes.len;
    Arena *arena = arena_new(arena_mem(run->arena), "difference");
    Interp interp = interp_of(run, run->twin.graph, arena);
    memcpy(interp.values, run->base, n * sizeof *run->base);
    for (NodeId id = 0; id < n; id++)
        interp.values[run->twin.moved[id]] = run->base[id];
    interp.values[run->twin.moved[param]] = values;
    bool ran = true;
    for (NodeId id = (NodeId)n; id < run->twin.graph->nodes.len && ran; id++)
        if (depends[id])
            ran = interp_node(&interp, id);
    double loss = ran ? interp.values[run->loss][0] : NAN;
    arena_free(arena);
    return loss;
}

static const Graph *differentiated(Arena *arena, const GradCheck *check)
{
    const Graph *graph = pass_autodiff(arena, check->graph, check->n_wrt, check->wrt);
    graph = pass_simplify(arena, pass_densify(arena, graph));
    return pass_prune(arena, pass_narrow(arena, pass_cse(arena, pass_fold(arena, graph))));
}

/* Values of a leaf of the checked graph with the same name and number. */
static double *leaf_values(const Run *run, const Node *leaf)
{
    const Graph *graph = run->check->graph;
    for (NodeId id = 0; id < graph->nodes.len; id++) {
        const Node *node = graph_node(graph, id);
        if (node->kind == leaf->kind && node->variable == leaf->variable &&
            str_eq(node->name, leaf->name) && run->base[id])
            return run->base[id];
    }
    return NULL;
}

static const char *run_gradients(Run *run)
{
    const Graph *graph = differentiated(run->arena, run->check);
    const char *problem = graph_verify(graph, run->arena);
    if (problem)
        return problem;
    Interp interp = interp_of(run, graph, run->arena);
    for (NodeId id = 0; id < graph->nodes.len; id++) {
        const Node *node = graph_node(graph, id);
        if (node->kind != NODE_EQUATION && node->kind != NODE_CONSTANT)
            interp.values[id] = leaf_values(run, node);
    }
    if (!interp_run(&interp))
        return "the gradients leave a tensor that the loss does not leave";
    size_t found = 0;
    for (size_t i = 0; i < graph->outputs.len; i++)
        if (graph->outputs.at[i].kind == OUT_GRAD)
            run->gradient[found++] = interp.values[graph->outputs.at[i].value];
    assert(found == run->check->n_wrt);
    return NULL;
}

/* --- one parameter ------------------------------------------------------------------------------------ */
static double norm_of(const double *x, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += x[i] * x[i];
    return sqrt(sum);
}

/* A direction of length 1; the third is along the gradient's largest element. */
static void make_direction(Run *run, int which, const double *gradient, int64_t n, double *u)
{
    int64_t at = 0;
    for (int64_t i = 0; i < n; i++) {
        u[i] = which == 0 ? gradient[i] : which == 1 ? uniform(run, -1, 1) : 0;
        at = fabs(gradient[i]) > fabs(gradient[at]) ? i : at;
    }
    if (which == 2)
        u[at] = 1;
    if (which == 3)
        u[(int64_t)uniform(run, 0, (double)n)] = 1;
    double norm = norm_of(u, n);
    for (int64_t i = 0; i < n && norm > 0; i++)
        u[i] /= norm;
}

/* |slope along u - <gradient, u>|, the best of the steps. */
static double slope_error(Run *run, NodeId param, const bool *depends, const double *u, double want,
                          double norm)
{
    int64_t n = node_elements(graph_node(run->check->graph, param));
    double *moved = NEW_ARRAY(run->arena, double, (size_t)n);
    double best = INFINITY;
    for (int s = 0; s < STEPS && !(best <= good_enough * norm); s++) {
        double loss[2];
        for (int side = 0; side < 2; side++) {
            for (int64_t i = 0; i < n; i++)
                moved[i] = run->base[param][i] + (side == 0 ? -1 : 1) * steps[s] * u[i];
            loss[side] = loss_at(run, param, moved, depends);
        }
        double error = fabs((loss[1] - loss[0]) / (2 * steps[s]) - want);
        best = error < best ? error : best;
    }
    return best;
}

static void check_param(Run *run, size_t index, int directions, double scale)
{
    NodeId param = run->check->wrt[index];
    const Graph *twin = run->twin.graph;
    int64_t n = node_elements(graph_node(run->check->graph, param));
    const double *gradient = run->gradient[index];
    GradRow *row = &run->check->rows[index];
    *row = (GradRow){.param = param, .norm = norm_of(gradient, n), .directions = directions};
    bool *depends = NEW_ARRAY(run->arena, bool, twin->nodes.len);
    depends[run->twin.moved[param]] = true;
    for (NodeId id = run->twin.moved[param] + 1; id < twin->nodes.len; id++)
        depends[id] = reads_marked(run->arena, graph_node(twin, id), depends);
    depends[run->twin.moved[param]] = false;
    double norm = row->norm > negligible * scale ? row->norm : negligible * scale;
    double *u = NEW_ARRAY(run->arena, double, (size_t)n);
    for (int d = 0; d < directions && n > 0; d++) {
        make_direction(run, d, gradient, n, u);
        double want = 0;
        for (int64_t i = 0; i < n; i++)
            want += u[i] * gradient[i];
        double error = slope_error(run, param, depends, u, want, norm) / (norm > 0 ? norm : 1);
        row->error = error > row->error || isnan(error) ? error : row->error;
    }
}

/* --- the whole ------------------------------------------------------------------------------------------ */
static double points_of(const Graph *graph)
{
    double total = 0;
    for (NodeId id = 0; id < graph->nodes.len; id++) {
        const Node *node = graph_node(graph, id);
        for (size_t i = 0; i < node->n_pieces; i++) {
            const Piece *piece = &node->pieces[i];
            double points = 1;
            for (size_t k = 0; k < piece->n_vars; k++)
                points *= (double)piece->vars[k]->extent;
            for (size_t k = 0; k < piece->n_reduced; k++)
                points *= (double)piece->reduced[k]->extent;
            total += points;
        }
    }
    return total;
}

static NodeId loss_of(const Graph *graph)
{
    for (size_t i = 0; i < graph->outputs.len; i++)
        if (graph->outputs.at[i].kind == OUT_LOSS)
            return graph->outputs.at[i].value;
    return NODE_NONE;
}

const char *grad_check(Arena *arena, GradCheck *check)
{
    Run run = {.arena = arena, .check = check};
    NodeId loss = loss_of(check->graph);
    assert(loss != NODE_NONE);
    NodeId refused = autodiff_refuses(arena, check->graph, check->n_wrt, check->wrt);
    if (refused != NODE_NONE)
        return str_format(arena, "`" STR_FMT "` has no derivative",
                          STR_ARG(graph_node(check->graph, refused)->function)).ptr;
    check->points = points_of(check->graph);
    double each = 2 * check->points * (double)check->n_wrt;
    int directions = DIRECTIONS;
    while (directions > 1 && each * directions > check->max_points)
        directions--;
    if (each > check->max_points)
        return str_format(arena, "a loss costs %.3g points and %zu gradients need it twice each: too "
                          "many for the interpreter", check->points, check->n_wrt).ptr;
    run.base = NEW_ARRAY(arena, double *, check->graph->nodes.len + 1);
    run.gradient = NEW_ARRAY(arena, double *, check->n_wrt + 1);
    check->rows = NEW_ARRAY(arena, GradRow, check->n_wrt + 1);
    const char *problem = run_base(&run);
    if (!problem)
        problem = run_gradients(&run);
    if (problem)
        return problem;
    check->loss = run.base[loss][0];
    if (!isfinite(check->loss))
        return "the loss is not finite at the values that were made up";
    make_twin(&run);
    run.loss = run.twin.moved[loss];
    double scale = 0;
    for (size_t i = 0; i < check->n_wrt; i++)
        scale = fmax(scale, norm_of(run.gradient[i],
                                    node_elements(graph_node(check->graph, check->wrt[i]))));
    for (size_t i = 0; i < check->n_wrt; i++)
        check_param(&run, i, directions, scale);
    return NULL;
}
