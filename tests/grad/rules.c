/* What differences cannot show: who gets the gradient at a tie, that masked terms never spoil it,
 * what is not differentiated, and that adjoints differentiate again. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "passes/passes.h"
#include "support/equations.h"

typedef struct World {
    HoneSys sys;
    Mem mem;
    Arena *arena;
} World;

static int setup(void **state)
{
    static World world;
    world = (World){0};
    mem_init(&world.mem, &world.sys);
    world.arena = arena_new(&world.mem, "test");
    *state = &world;
    return 0;
}

static int teardown(void **state)
{
    mem_release(&((World *)*state)->mem);
    return 0;
}

static NodeId gradient_of(const Graph *graph, const char *param)
{
    for (size_t i = 0; i < graph->outputs.len; i++)
        if (graph->outputs.at[i].kind == OUT_GRAD && str_is(graph->outputs.at[i].name, param))
            return graph->outputs.at[i].value;
    return NODE_NONE;
}

/* The gradient of sum(last) by x at the given x, through autodiff and densify. */
static const double *gradient_at(World *w, const char *text, const double *x)
{
    Equations e = equations_read(w->arena, text, 1);
    NodeId id = equations_find(&e, "x");
    size_t n = (size_t)node_elements(graph_node(e.graph, id));
    memcpy(e.leaves[id], x, n * sizeof *x);
    equations_add_loss(&e, 1);
    double *ones = e.leaves[equations_find(&e, "cotangent")];
    size_t n_last = (size_t)node_elements(graph_node(e.graph, e.last));
    for (size_t i = 0; i < n_last; i++)
        ones[i] = 1;
    Graph *graph = pass_densify(w->arena, pass_autodiff(w->arena, e.graph, 1, &id));
    assert_null(graph_verify(graph, w->arena));
    Interp interp = equations_interp(&e, graph);
    assert_true(interp_run(&interp));
    return interp.values[gradient_of(graph, "x")];
}

static void same(const double *have, size_t n, const double *want)
{
    for (size_t i = 0; i < n; i++)
        assert_true(fabs(have[i] - want[i]) < 1e-12);
}

typedef struct Rule {
    const char *text;
    size_t n;
    double at[8], want[8];
} Rule;

static const Rule rules[] = {
    /* the first winner takes everything */
    {"param x[5]\ny = max[i:5] x[i]", 5, {1, 3, 3, 0, 3}, {0, 1, 0, 0, 0}},
    {"param x[5]\ny = min[i:5] x[i]", 5, {1, 0, 3, 0, 3}, {0, 1, 0, 0, 0}},
    {"param x[5]\ny[p:3] = max[i:3] (x[2*p+i-1] ?? -inf)", 5, {2, 2, 2, 2, 2}, {1, 1, 0, 1, 0}},
    {"param x[2, 3]\ny = max[i:2, j:3] x[i, j]", 6, {1, 5, 5, 5, 5, 0}, {0, 1, 0, 0, 0, 0}},
    /* windows of padding alone have no winner inside */
    {"param x[2]\ny[p:2] = max[i:2] max(x[0], (x[3*p+i-1] ?? -inf))", 2, {4, 1}, {2, 0}},
    /* elementwise: the second argument, so that max(x, 0) has slope 0 at 0 */
    {"param x[3]\ny[i:3] = max(x[i], 0.0)", 3, {-1, 0, 2}, {0, 0, 1}},
    {"param x[3]\ny[i:3] = min(x[i], 0.0)", 3, {-1, 0, 2}, {1, 0, 0}},
    {"param x[3]\ny[i:3] = max(0.0, x[i])", 3, {-1, 0, 2}, {0, 1, 1}},
    {"param x[3]\ny[i:3] = abs(x[i])", 3, {-1, 0, 2}, {-1, 0, 1}},
    /* what a selection does not choose may be anything */
    {"param x[3]\ny[i:3] = select(x[i] > 0.0, log(x[i]), 0.0)", 3, {-1, 0, 2}, {0, 0, 0.5}},
    {"param x[3]\ny[i:3] = select(x[i] > 0.0, sqrt(x[i]), x[i])", 3, {-1, 0, 4}, {1, 1, 0.25}},
    {"param x[3]\ny[i:3] = select(i == 1, 0.0, 1.0 / x[i])", 3, {1, 0, 2}, {-1, 0, -0.25}},
    {"param x[3]\ny = sum[i:3] select(x[i] != 0.0, x[i] * log(abs(x[i])), 0.0)",
     3,
     {1, 0, -1},
     {1, 0, 1}},
    /* not differentiated */
    {"param x[3]\ny[i:3] = stop(x[i]) * x[i]", 3, {1, 2, 3}, {1, 2, 3}},
    {"param x[3]\ny[i:3] = floor(x[i]) + sign(x[i]) + round(x[i])", 3, {1.2, 2, -3}, {0, 0, 0}},
    {"param x[3]\ny[i:3] = select(x[i] < 2.0, 1.0, 0.0) + float(x[i] == 3.0)",
     3,
     {1, 2, 3},
     {0, 0, 0}},
    {"param x[3]\na = argmax[i:3] x[i]\ny = float(a) * x[a]", 3, {1, 2, 5}, {0, 0, 2}},
    /* the product of the others where factors are zero */
    {"param x[4]\ny = prod[i:4] x[i]", 4, {2, 3, 0, 5}, {0, 0, 30, 0}},
    {"param x[4]\ny = prod[i:4] x[i]", 4, {2, 0, 0, 5}, {0, 0, 0, 0}},
    /* nothing depends on it */
    {"param x[2]\ninput z[2]\ny[i:2] = z[i]", 2, {1, 2}, {0, 0}},
    /* everything behind a read that no loss needs */
    {"param x[3]\nu[i:3] = exp(x[i])\ny[i:3] = x[i] * 2.0", 3, {1, 2, 3}, {2, 2, 2}},
};

static void values(void **state)
{
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        const double *g = gradient_at(*state, rules[i].text, rules[i].at);
        for (size_t k = 0; k < rules[i].n; k++)
            if (!(fabs(g[k] - rules[i].want[k]) < 1e-12))
                fail_msg("%s\nelement %zu: %g, wanted %g", rules[i].text, k, g[k],
                         rules[i].want[k]);
    }
}

/* sum(direction * gradient) as a new loss on top of the first adjoints */
static NodeId directional(Graph *graph, NodeId gradient, NodeId direction)
{
    Node node = *graph_node(graph, gradient);
    const Var *vars[MAX_RANK];
    const Position *at[MAX_RANK];
    for (size_t k = 0; k < node.rank; k++) {
        vars[k] = var_new(graph->pool, node.dims[k], STR("h"));
        at[k] = pos_var(graph->pool, vars[k]);
    }
    const Scalar *body = sc_fn2(graph->pool, OP_MUL, graph_read(graph, gradient, at, NULL),
                                graph_read(graph, direction, at, NULL));
    return graph_define(graph, DT_F32, REDUCE_SUM, 0, NULL, node.rank, vars, body, STR("second"),
                        (Span){0});
}

static const char *const twice[] = {
    "param x[2, 5]\nparam w[3]\ninput v[2, 5]\n"
    "h[n:2, p:3] = sum[i:3] w[i] * (x[n, 2*p+i-1] ?? 0)\ny[n:2, p:3] = tanh(h[n, p])",
    "param x[5, 3]\ninput v[5, 3]\ninput t[4] below 5\n"
    "e[b:4, d:3] = exp(x[t[b], d])\ns[b:4] = sum[d:3] e[b, d]\ny[b:4, d:3] = e[b, d] / s[b]",
    "param x[2, 7]\ninput v[2, 7]\n"
    "m[n:2, p:4] = max[i:3] (x[n, 2*p+i-1] ?? -inf)\ny[n:2, p:4] = m[n, p]^3",
    "param x[3, 4]\ninput v[3, 4]\ny[n:3] = prod[i:4] x[n, i]",
};

/* H v by differentiating the (dense) gradient again, against differences of the gradient. */
static void second_order(void **state)
{
    World *w = *state;
    for (size_t k = 0; k < sizeof twice / sizeof *twice; k++) {
        Equations e = equations_read(w->arena, twice[k], 1);
        equations_add_loss(&e, 1);
        NodeId x = equations_find(&e, "x"), v = equations_find(&e, "v");
        Graph *first = pass_autodiff(w->arena, e.graph, 1, &x);
        if (k % 2 == 0)
            first = pass_densify(w->arena, first);
        NodeId g = gradient_of(first, "x"), x1 = NODE_NONE, v1 = NODE_NONE;
        for (NodeId id = 0; id < first->nodes.len; id++) {
            x1 = str_is(graph_node(first, id)->name, "x") ? id : x1;
            v1 = str_is(graph_node(first, id)->name, "v") ? id : v1;
        }
        size_t n = (size_t)node_elements(graph_node(first, x1));
        first->outputs.len = 0;
        graph_output(first, OUT_LOSS, STR("second"), directional(first, g, v1), NODE_NONE);
        Graph *second = pass_densify(w->arena, pass_autodiff(w->arena, first, 1, &x1));
        assert_null(graph_verify(second, w->arena));
        Interp interp = equations_interp(&e, second);
        assert_true(interp_run(&interp));
        const double *have = interp.values[gradient_of(second, "x")];
        double *want = NEW_ARRAY(w->arena, double, n), *at = e.leaves[x];
        const double h = 1e-4, steps[] = {2, 1, -1, -2}, weights[] = {-1, 8, -8, 1};
        double *before = arena_copy(w->arena, at, n * sizeof *at);
        for (int s = 0; s < 4; s++) {
            for (size_t i = 0; i < n; i++)
                at[i] = before[i] + steps[s] * h * e.leaves[v][i];
            Interp there = equations_interp(&e, first);
            assert_true(interp_run(&there));
            for (size_t i = 0; i < n; i++)
                want[i] += weights[s] * there.values[g][i] / (12 * h);
        }
        double error = 0, scale = 0;
        for (size_t i = 0; i < n; i++) {
            error = fmax(error, fabs(have[i] - want[i]));
            scale = fmax(scale, fabs(want[i]));
        }
        if (!(scale > 1e-3 && error < 1e-8 * scale))
            fail_msg("%s\nerror %g of %g", twice[k], error, scale);
    }
}

/* Two parameters of one shape, one of them without any use; a loss that is a parameter. */
static void edges(void **state)
{
    World *w = *state;
    Equations e = equations_read(w->arena, "param x\nparam z[2]", 1);
    graph_output(e.graph, OUT_LOSS, STR("loss"), equations_find(&e, "x"), NODE_NONE);
    Graph *graph = pass_densify(w->arena, pass_autodiff(w->arena, e.graph, 2, e.params));
    assert_null(graph_verify(graph, w->arena));
    Interp interp = equations_interp(&e, graph);
    assert_true(interp_run(&interp));
    same(interp.values[gradient_of(graph, "x")], 1, (double[]){1});
    same(interp.values[gradient_of(graph, "z")], 2, (double[]){0, 0});
}

/* An intrinsic between parameter and loss has no derivative; the caller is told where. */
static void refusal(void **state)
{
    World *w = *state;
    Equations e = equations_read(w->arena, "param x[3]\ninput z[3]", 1);
    NodeId x = equations_find(&e, "x"), z = equations_find(&e, "z");
    const int64_t dims[] = {3};
    graph_intrinsic(e.graph, STR("sort"), DT_F32, 1, dims, 1, &z, (Span){0});
    assert_int_equal(autodiff_refuses(w->arena, e.graph, 1, &x), NODE_NONE);
    NodeId sorted = graph_intrinsic(e.graph, STR("sort"), DT_F32, 1, dims, 1, &x, (Span){0});
    assert_int_equal(autodiff_refuses(w->arena, e.graph, 1, &x), sorted);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(values, setup, teardown),
        cmocka_unit_test_setup_teardown(second_order, setup, teardown),
        cmocka_unit_test_setup_teardown(edges, setup, teardown),
        cmocka_unit_test_setup_teardown(refusal, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
