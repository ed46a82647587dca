/* The interpreter against hand-written loops: pieces, guards, fills, data positions, reductions. */
#include "graph/graph.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "hone/hone.h"

typedef struct World {
    HoneSys sys;
    Mem mem;
    Graph *graph;
    ExprPool *pool;
    double *leaves[64];
} World;

static int setup(void **state)
{
    static World world;
    world = (World){0};
    mem_init(&world.mem, &world.sys);
    world.graph = graph_new(arena_new(&world.mem, "test"));
    world.pool = world.graph->pool;
    *state = &world;
    return 0;
}

static int teardown(void **state)
{
    mem_release(&((World *)*state)->mem);
    return 0;
}

static NodeId leaf(World *w, DType dtype, size_t rank, const int64_t *dims, const double *values)
{
    NodeId id = graph_leaf(w->graph, NODE_INPUT, dtype, rank, dims, STR("x"), 0, (Span){0});
    size_t n = (size_t)node_elements(graph_node(w->graph, id));
    w->leaves[id] = arena_copy(w->graph->arena, values, n * sizeof *values);
    return id;
}

static Interp run(World *w, bool want)
{
    Interp interp = {.graph = w->graph, .arena = w->graph->arena, .seed = 7, .step = 3};
    interp.values = NEW_ARRAY(w->graph->arena, double *, w->graph->nodes.len);
    for (size_t i = 0; i < w->graph->nodes.len; i++)
        interp.values[i] = w->leaves[i];
    assert_true(interp_run(&interp) == want);
    return interp;
}

static const Var *var(World *w, int64_t extent)
{
    return var_new(w->pool, extent, STR("v"));
}

static const Position *at(World *w, const Var *v)
{
    return pos_var(w->pool, v);
}

/* y[p] = sum[i] k[i] * (x[2*p + i - 1] ?? 0) */
static void windows(void **state)
{
    World *w = *state;
    const double xs[] = {1, 2, 3, 4, 5}, ks[] = {10, 100, 1000};
    NodeId x = leaf(w, DT_F32, 1, (int64_t[]){5}, xs), k = leaf(w, DT_F32, 1, (int64_t[]){3}, ks);
    const Var *p = var(w, 3), *i = var(w, 3);
    const Position *e =
        pos_shift(w->pool, pos_add(w->pool, pos_scale(w->pool, at(w, p), 2), at(w, i)), -1);
    const Position *tap = at(w, i);
    const Scalar *body = sc_fn2(w->pool, OP_MUL, graph_read(w->graph, k, &tap, NULL),
                                graph_read(w->graph, x, &e, sc_const(w->pool, DT_F32, 0)));
    NodeId y = graph_define(w->graph, DT_F32, REDUCE_SUM, 1, &p, 1, &i, body, STR("y"), (Span){0});
    Interp interp = run(w, true);
    const double want[] = {2100, 4320, 540};
    for (int n = 0; n < 3; n++)
        assert_float_equal(interp.values[y][n], want[n], 0);
    assert_int_equal(interp.points, 9);
}

/* y[ids[b]] += x[b] adds up; y[ids[b]] outside is a fault unless a guard keeps it out. */
static void scatter(void **state)
{
    World *w = *state;
    const double rows[] = {1, 0, 1, 5}, xs[] = {1, 2, 4, 8};
    NodeId ids = leaf(w, DT_I32, 1, (int64_t[]){4}, rows);
    NodeId x = leaf(w, DT_F32, 1, (int64_t[]){4}, xs);
    const Var *b = var(w, 4);
    const Position *pb = at(w, b);
    const Position *row = pos_data(w->pool, graph_read(w->graph, ids, &pb, NULL));
    Guard guard = {.lo = 0, .hi = 3, .position = row};
    Piece piece = {.n_vars = 1,
                   .vars = &b,
                   .left = &row,
                   .n_guards = 1,
                   .guards = &guard,
                   .body = graph_read(w->graph, x, &pb, NULL)};
    NodeId y = graph_equation(w->graph, DT_F32, 1, (int64_t[]){3}, REDUCE_NONE, 1, &piece, STR("y"),
                              (Span){0});
    Interp interp = run(w, true);
    assert_float_equal(interp.values[y][0], 2, 0);
    assert_float_equal(interp.values[y][1], 5, 0);
    assert_float_equal(interp.values[y][2], 0, 0);
    piece.n_guards = 0;
    NodeId bad = graph_equation(w->graph, DT_F32, 1, (int64_t[]){3}, REDUCE_NONE, 1, &piece,
                                STR("bad"), (Span){0});
    interp = run(w, false);
    assert_int_equal(interp.fault.node, bad);
    assert_int_equal(interp.fault.value, 5);
    assert_int_equal(interp.fault.extent, 3);
}

/* A read out of its tensor is no fault where a selection does not choose it. */
static void unchosen_reads(void **state)
{
    World *w = *state;
    const double rows[] = {1, 9}, xs[] = {3, 4};
    NodeId ids = leaf(w, DT_I32, 1, (int64_t[]){2}, rows);
    NodeId x = leaf(w, DT_F32, 1, (int64_t[]){2}, xs);
    const Var *b = var(w, 2);
    const Position *pb = at(w, b);
    const Scalar *id = graph_read(w->graph, ids, &pb, NULL);
    const Position *row = pos_data(w->pool, id);
    const Scalar *gathered = graph_read(w->graph, x, &row, NULL);
    const Scalar *small = sc_fn2(w->pool, OP_LT, id, sc_const(w->pool, DT_I32, 2));
    const Scalar *body = sc_fn3(w->pool, OP_SELECT, small, gathered, sc_const(w->pool, DT_F32, -1));
    NodeId y =
        graph_define(w->graph, DT_F32, REDUCE_NONE, 1, &b, 0, NULL, body, STR("y"), (Span){0});
    Interp interp = run(w, true);
    assert_float_equal(interp.values[y][0], 4, 0);
    assert_float_equal(interp.values[y][1], -1, 0);
}

static void reductions(void **state)
{
    World *w = *state;
    const double xs[] = {2, 5, 5, -1, NAN, 3};
    NodeId x = leaf(w, DT_F32, 2, (int64_t[]){2, 3}, xs);
    const Var *n = var(w, 2), *k = var(w, 3);
    const Position *nk[] = {at(w, n), at(w, k)};
    const Scalar *body = graph_read(w->graph, x, nk, NULL);
    const Scalar *four = sc_fn2(w->pool, OP_LT, sc_const(w->pool, DT_F32, 4), body);
    static const struct {
        ReduceOp op;
        double want[2];
    } rows[] = {
        {REDUCE_SUM, {12, NAN}}, {REDUCE_PROD, {50, NAN}}, {REDUCE_MAX, {5, NAN}},
        {REDUCE_MIN, {2, NAN}},  {REDUCE_ANY, {1, 0}},     {REDUCE_ALL, {0, 0}},
        {REDUCE_ARGMAX, {1, 1}}, {REDUCE_ARGMIN, {0, 1}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        bool logic = rows[i].op == REDUCE_ANY || rows[i].op == REDUCE_ALL;
        bool arg = rows[i].op == REDUCE_ARGMAX || rows[i].op == REDUCE_ARGMIN;
        NodeId y = graph_define(w->graph,
                                logic ? DT_BOOL
                                : arg ? DT_I32
                                      : DT_F32,
                                rows[i].op, 1, &n, 1, &k, logic ? four : body, STR("y"), (Span){0});
        Interp interp = run(w, true);
        for (int r = 0; r < 2; r++) {
            double have = interp.values[y][r], want = rows[i].want[r];
            assert_true(have == want || (isnan(have) && isnan(want)));
        }
    }
}

static void random_numbers(void **state)
{
    World *w = *state;
    const Var *n = var(w, 5);
    NodeId y =
        graph_define(w->graph, DT_F32, REDUCE_NONE, 1, &n, 0, NULL,
                     sc_random(w->pool, 99, pos_shift(w->pool, at(w, n), 10)), STR("y"), (Span){0});
    Interp interp = run(w, true);
    for (uint64_t i = 0; i < 5; i++)
        assert_float_equal(interp.values[y][i], hone_random_uniform(7, 99, 3, i + 10), 0);
}

/* y[(2*a+b) // 3, (2*a+b) % 3] = 10*a + b: divisions on the left, several pieces, an empty extent
 */
static void divisions(void **state)
{
    World *w = *state;
    const Var *a = var(w, 3), *b = var(w, 2), *none = var(w, 0);
    const Position *e = pos_add(w->pool, pos_scale(w->pool, at(w, a), 2), at(w, b));
    const Position *left[] = {pos_div(w->pool, e, 3), pos_mod(w->pool, e, 3)};
    const Position *value = pos_add(w->pool, pos_scale(w->pool, at(w, a), 10), at(w, b));
    const Var *ab[] = {a, b};
    Piece pieces[] = {{.n_vars = 2, .vars = ab, .left = left, .body = sc_index(w->pool, value)},
                      {.n_vars = 2,
                       .vars = ab,
                       .left = left,
                       .n_reduced = 1,
                       .reduced = &none,
                       .body = sc_index(w->pool, at(w, a))}};
    NodeId y = graph_equation(w->graph, DT_F32, 2, (int64_t[]){2, 3}, REDUCE_SUM, 2, pieces,
                              STR("y"), (Span){0});
    Interp interp = run(w, true);
    for (int i = 0; i < 6; i++)
        assert_true(interp.values[y][i] == 10 * (i / 2) + i % 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(windows, setup, teardown),
        cmocka_unit_test_setup_teardown(scatter, setup, teardown),
        cmocka_unit_test_setup_teardown(unchosen_reads, setup, teardown),
        cmocka_unit_test_setup_teardown(reductions, setup, teardown),
        cmocka_unit_test_setup_teardown(random_numbers, setup, teardown),
        cmocka_unit_test_setup_teardown(divisions, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
