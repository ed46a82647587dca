/* gradcheck: see gradcheck.h. */
#include "support/gradcheck.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "passes/passes.h"
#include "support/kernels.h"
#include "support/planned.h"

enum { MAX_PROBES = 24, MANY_PARAMS = 16 }; /* elements per parameter compared with differences */

typedef struct Check {
    Arena *arena;
    Equations *e;
    GradResult *result;
} Check;

static bool well_formed(Check *c, const Graph *graph, const char *what)
{
    const char *problem = graph_verify(graph, c->arena);
    if (problem && !c->result->why[0])
        snprintf(c->result->why, sizeof c->result->why, "%s: %s", what, problem);
    return !problem;
}

static bool run(Check *c, Interp *interp, const char *what)
{
    if (interp_run(interp))
        return true;
    snprintf(c->result->why, sizeof c->result->why, "%s: node %u: %lld of %lld", what,
             interp->fault.node, (long long)interp->fault.value, (long long)interp->fault.extent);
    return false;
}

/* --- points and left sides ----------------------------------------------------------------------
 */
static void mark(const Graph *graph, bool *needed, NodeId id, Arena *arena)
{
    if (needed[id])
        return;
    needed[id] = true;
    const Node *node = graph_node(graph, id);
    for (size_t i = 0; i < node->n_pieces; i++) {
        ScalarList list = piece_list(arena, &node->pieces[i], node->rank);
        for (size_t k = 0; k < list.n; k++)
            if (list.at[k]->kind == SCALAR_READ)
                mark(graph, needed, list.at[k]->tensor, arena);
    }
}

static int64_t piece_points(const Piece *piece)
{
    int64_t points = 1;
    for (size_t i = 0; i < piece->n_vars; i++)
        points *= piece->vars[i]->extent;
    for (size_t i = 0; i < piece->n_reduced; i++)
        points *= piece->reduced[i]->extent;
    return points;
}

static int64_t needed_points(const Graph *graph, const bool *needed)
{
    int64_t points = 0;
    for (NodeId id = 0; id < graph->nodes.len; id++)
        for (size_t i = 0; needed[id] && i < graph_node(graph, id)->n_pieces; i++)
            points += piece_points(&graph_node(graph, id)->pieces[i]);
    return points;
}

static int64_t points_below(Check *c, const Graph *graph, bool gradients, size_t *pieces)
{
    bool *needed = NEW_ARRAY(c->arena, bool, graph->nodes.len);
    for (size_t i = 0; i < graph->outputs.len; i++)
        if (gradients || graph->outputs.at[i].kind == OUT_LOSS)
            mark(graph, needed, graph->outputs.at[i].value, c->arena);
    for (NodeId id = 0; id < graph->nodes.len; id++)
        *pieces += needed[id] ? graph_node(graph, id)->n_pieces : 0;
    return needed_points(graph, needed);
}

static void count_points(Check *c, const Graph *dense, const Node *last)
{
    GradResult *r = c->result;
    size_t forward = 0, all = 0, unused = 0;
    r->forward = points_below(c, c->e->graph, false, &unused) - node_elements(last);
    r->backward = points_below(c, dense, true, &all) - points_below(c, dense, false, &forward);
    r->pieces = all - forward;
}

/* Does the piece write an element twice? Counted by evaluating it with the body 1. */
static bool repeats(Check *c, const Graph *dense, NodeId id, const Piece *piece,
                    const Interp *run_of)
{
    Graph *graph = (Graph *)dense;
    const Node node = *graph_node(graph, id);
    Piece ones = *piece;
    ones.n_reduced = 0;
    ones.body = sc_const(graph->pool, DT_F32, 1);
    size_t n_guards = 0;
    Guard *guards = NEW_ARRAY(c->arena, Guard, piece->n_guards);
    for (size_t i = 0; i < piece->n_guards; i++) {
        bool left = true;
        for (size_t k = 0; k < piece->n_reduced; k++)
            left = left && !pos_uses(piece->guards[i].position, piece->reduced[k]);
        if (left)
            guards[n_guards++] = piece->guards[i];
    }
    ones.guards = guards;
    ones.n_guards = n_guards;
    NodeId counts = graph_equation(graph, DT_F32, node.rank, node.dims, REDUCE_NONE, 1, &ones,
                                   STR("counts"), (Span){0});
    Interp interp = *run_of;
    interp.values = NEW_ARRAY(c->arena, double *, graph->nodes.len);
    memcpy(interp.values, run_of->values, counts * sizeof *interp.values);
    if (!interp_node(&interp, counts))
        return true;
    int64_t elements = node_elements(&node);
    bool twice = false;
    for (int64_t i = 0; i < elements; i++)
        twice |= interp.values[counts][i] > 1;
    graph->nodes.len = counts;
    return twice;
}

static void count_scatters(Check *c, const Graph *dense, const Interp *interp)
{
    size_t n = dense->nodes.len;
    for (NodeId id = 0; id < n; id++)
        for (size_t i = 0; i < graph_node(dense, id)->n_pieces; i++)
            c->result->scatters += repeats(c, dense, id, &graph_node(dense, id)->pieces[i], interp);
}

/* --- values -------------------------------------------------------------------------------------
 */
static double largest(const double *values, size_t n)
{
    double most = 0;
    for (size_t i = 0; i < n; i++)
        most = fabs(values[i]) > most ? fabs(values[i]) : most;
    return most;
}

static const double *gradient(const Graph *graph, const Interp *interp, size_t param)
{
    size_t seen = 0;
    for (size_t i = 0; i < graph->outputs.len; i++)
        if (graph->outputs.at[i].kind == OUT_GRAD && seen++ == param)
            return interp->values[graph->outputs.at[i].value];
    return NULL;
}

static double loss_in(const Graph *graph, const Interp *interp)
{
    for (size_t i = 0; i < graph->outputs.len; i++)
        if (graph->outputs.at[i].kind == OUT_LOSS)
            return interp->values[graph->outputs.at[i].value][0];
    return NAN;
}

static double loss_of(Check *c)
{
    Interp interp = equations_interp(c->e, c->e->graph);
    interp.arena = arena_new(arena_mem(c->arena), "difference");
    double loss = NAN;
    if (run(c, &interp, "forward"))
        loss = loss_in(c->e->graph, &interp);
    arena_free(interp.arena);
    return loss;
}

/* Five points: error h^4/30 of the fifth derivative. */
static double difference(Check *c, double *x)
{
    static const double at[] = {2, 1, -1, -2}, weight[] = {-1, 8, -8, 1};
    const double h = 1e-4, before = *x;
    double sum = 0;
    for (int i = 0; i < 4; i++) {
        *x = before + at[i] * h;
        sum += weight[i] * loss_of(c);
    }
    *x = before;
    return sum / (12 * h);
}

static double worse(double have, double error)
{
    return error > have || isnan(error) ? error : have;
}

static size_t param_elements(const Check *c, size_t i)
{
    return (size_t)node_elements(graph_node(c->e->graph, c->e->params[i]));
}

static void compare_differences(Check *c, const Graph *graph, const Interp *interp, double scale)
{
    for (size_t i = 0; i < c->e->n_params; i++) {
        const double *g = gradient(graph, interp, i);
        size_t n = param_elements(c, i), most = MAX_PROBES;
        most = c->e->n_params > MANY_PARAMS ? most / 4 : most;
        size_t stride = n / most + 1;
        for (size_t k = 0; k < n && !c->result->why[0]; k += stride) {
            double error = fabs(g[k] - difference(c, &c->e->leaves[c->e->params[i]][k])) / scale;
            c->result->by_difference = worse(c->result->by_difference, error);
        }
    }
}

/* GRADCHECK_DUMP=1 shows both graphs. */
static void dump(Check *c, const Graph *graph)
{
    if (!getenv("GRADCHECK_DUMP"))
        return;
    Buf text = buf_new(c->arena);
    graph_dump(graph, &text);
    fprintf(stderr, STR_FMT "\n", STR_ARG(buf_str(&text)));
}

/* Derivatives are of values that are not rounded to bf16 and f16. */
static bool has_narrow(const Graph *graph)
{
    for (NodeId id = 0; id < graph->nodes.len; id++) {
        DType dtype = graph_node(graph, id)->dtype;
        if (dtype == DT_BF16 || dtype == DT_F16)
            return true;
    }
    return false;
}

/* GRADCHECK_TARGET=x86-64-v3: code for another machine whose programs run here too. */
static const Target *target_checked(void)
{
    const char *name = getenv("GRADCHECK_TARGET");
    const Target *target = name ? target_find(str_of(name)) : NULL;
    return target && target_runs_here(target) ? target : target_host();
}

/* Compiled code of the host against the interpreter, equation by equation. */
static void compare_kernels(Check *c, const Graph *graph, const Interp *interp)
{
    KernelRun run;
    if (!kernels_open(&run, c->arena, graph, target_checked())) {
        snprintf(c->result->why, sizeof c->result->why, "kernels: %.200s", run.why);
        return;
    }
    run.random[0] = interp->seed;
    run.random[1] = interp->step;
    kernels_fill(&run, interp->values);
    kernels_run(&run, CHUNKS_DOWN);
    NodeId worst = 0;
    double error = kernels_difference(&run, interp, &worst);
    if (error > (has_narrow(graph) ? 5e-2 : 1e-4))
        snprintf(c->result->why, sizeof c->result->why, "kernels: node %u differs by %g", worst,
                 error);
    c->result->by_kernels = worse(c->result->by_kernels, error);
    kernels_close(&run);
}

/* The largest difference of gradients and losses of two graphs that should be the same. */
static double distance(Check *c, const Graph *one, const Interp *run_one, const Graph *other,
                       const Interp *run_other)
{
    double loss = loss_in(one, run_one);
    double error = fabs(loss - loss_in(other, run_other)) / fmax(fabs(loss), 1);
    for (size_t i = 0; i < c->e->n_params; i++) {
        const double *a = gradient(one, run_one, i), *b = gradient(other, run_other, i);
        for (size_t k = 0; k < param_elements(c, i); k++)
            error = worse(error, fabs(a[k] - b[k]) / c->result->scale);
    }
    return error;
}

static void clean(Check *c, const Graph *dense, const Interp *dense_run, bool compiled)
{
    Graph *graph = pass_simplify(c->arena, dense);
    graph = pass_fold(c->arena, graph);
    graph = pass_cse(c->arena, graph);
    graph = pass_narrow(c->arena, graph);
    graph = pass_prune(c->arena, graph);
    size_t pieces = 0;
    if (!well_formed(c, graph, "clean"))
        return;
    c->result->cleaned = points_below(c, graph, true, &pieces);
    dump(c, graph);
    if (!dense_run)
        return;
    Interp interp = equations_interp(c->e, graph);
    if (!run(c, &interp, "clean"))
        return;
    c->result->by_cleaning = distance(c, dense, dense_run, graph, &interp);
    if (!compiled)
        return;
    compare_kernels(c, graph, &interp);
    if (has_narrow(graph))
        return;
    Graph *ready = pass_separate(c->arena, pass_clamp(c->arena, graph));
    ready = pass_split(c->arena, pass_lift(c->arena, ready));
    Interp again = equations_interp(c->e, ready);
    if (!well_formed(c, ready, "ready") || !run(c, &again, "ready"))
        return;
    c->result->by_cleaning = worse(c->result->by_cleaning, distance(c, dense, dense_run, ready, &again));
    PlannedResult planned = planned_compare(c->arena, ready, &again, target_checked());
    if (planned.why[0] && !c->result->why[0])
        snprintf(c->result->why, sizeof c->result->why, "planned: %.200s", planned.why);
}

static void check(Check *c, const GradCase *row)
{
    Node last = *graph_node(c->e->graph, c->e->last);
    equations_add_loss(c->e, 1);
    if (!well_formed(c, c->e->graph, "text"))
        return;
    Graph *raw = pass_autodiff(c->arena, c->e->graph, c->e->n_params, c->e->params);
    if (!well_formed(c, raw, "raw"))
        return;
    if (row->pieces > 0) {
        Graph *dense = pass_densify(c->arena, raw);
        dump(c, dense);
        if (well_formed(c, dense, "dense")) {
            count_points(c, dense, &last);
            clean(c, dense, NULL, false);
        }
        return;
    }
    Interp raw_run = equations_interp(c->e, raw);
    if (!run(c, &raw_run, "raw"))
        return;
    double scale = 1e-2; /* sums that cancel leave rounding errors */
    for (size_t i = 0; i < c->e->n_params; i++)
        scale = fmax(scale, largest(gradient(raw, &raw_run, i), param_elements(c, i)));
    c->result->scale = scale;
    if (!row->kinks)
        compare_differences(c, raw, &raw_run, scale);
    Graph *dense = pass_densify(c->arena, raw);
    if (!well_formed(c, dense, "dense"))
        return;
    dump(c, raw);
    dump(c, dense);
    Interp dense_run = equations_interp(c->e, dense);
    if (!run(c, &dense_run, "dense"))
        return;
    c->result->by_densify = distance(c, raw, &raw_run, dense, &dense_run);
    if (!row->uncompiled)
        compare_kernels(c, raw, &raw_run);
    count_scatters(c, dense, &dense_run);
    count_points(c, dense, &last);
    clean(c, dense, &dense_run, !row->uncompiled);
}

GradResult gradcheck_graph(Arena *arena, Equations *e, const GradCase *row)
{
    GradResult result = {0};
    Check c = {.arena = arena, .e = e, .result = &result};
    check(&c, row);
    return result;
}

GradResult gradcheck(HoneSys *sys, const GradCase *row)
{
    Mem mem;
    mem_init(&mem, sys);
    mem.armed = true;
    if (setjmp(mem.on_failure))
        abort();
    Arena *arena = arena_new(&mem, "gradcheck");
    Equations e = equations_read(arena, row->text, 1);
    if (row->twice)
        equations_differentiate(&e);
    GradResult result = gradcheck_graph(arena, &e, row);
    mem_release(&mem);
    return result;
}

bool gradcheck_good(const GradCase *row, const GradResult *r)
{
    double ratio = (double)r->backward / (double)(r->forward ? r->forward : 1);
    bool good = !r->why[0] && r->by_difference < 1e-7 && r->by_densify < 1e-12 &&
                r->by_cleaning < 1e-12 && (row->scatter || r->scatters == 0) &&
                (row->ratio == 0 || ratio <= row->ratio) &&
                (row->pieces == 0 || r->pieces <= row->pieces);
    if (!good || getenv("GRADCHECK_ALL"))
        fprintf(stderr,
                "%-28s %s differences %.1e densify %.1e kernels %.1e points %lld -> %lld (%.2f) "
                "clean %.1e %lld pieces %zu scatters %zu %s\n",
                row->name, good ? "ok  " : "FAIL", r->by_difference, r->by_densify, r->by_kernels,
                (long long)r->forward, (long long)r->backward, ratio, r->by_cleaning,
                (long long)r->cleaned, r->pieces, r->scatters, r->why);
    return good;
}

int gradcheck_all(const GradCase *cases, size_t n)
{
    HoneSys sys = {0};
    const char *only = getenv("GRADCHECK_ONLY");
    int failures = 0;
    for (size_t i = 0; i < n; i++) {
        if (only && !strstr(cases[i].name, only))
            continue;
        GradResult r = gradcheck(&sys, &cases[i]);
        failures += !gradcheck_good(&cases[i], &r);
    }
    return failures;
}
