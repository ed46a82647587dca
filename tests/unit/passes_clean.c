/* One pass at a time on graphs of a few nodes: what must become one, vanish, or stay. */
#include "passes/passes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

typedef struct World {
    HoneSys sys;
    Mem mem;
    Arena *arena;
    Graph *graph;
    ExprPool *pool;
    NodeId x, ids;                /* f32[4, 6], i32[4] */
} World;

static int setup(void **state)
{
    static World world;
    world = (World){0};
    mem_init(&world.mem, &world.sys);
    World *w = *state = &world;
    w->arena = arena_new(&world.mem, "test");
    w->graph = graph_new(w->arena);
    w->pool = w->graph->pool;
    w->x = graph_leaf(w->graph, NODE_INPUT, DT_F32, 2, (int64_t[]){4, 6}, STR("x"), 0, (Span){0});
    w->ids = graph_leaf(w->graph, NODE_INPUT, DT_I32, 1, (int64_t[]){4}, STR("ids"), 0, (Span){0});
    return 0;
}

static int teardown(void **state)
{
    mem_release(&((World *)*state)->mem);
    return 0;
}

static const Var *var(World *w, const char *name, int64_t extent)
{
    return var_new(w->pool, extent, str_of(name));
}

static const Position *at(World *w, const Var *v)
{
    return pos_var(w->pool, v);
}

static const Scalar *number(World *w, double value)
{
    return sc_const(w->pool, DT_F32, value);
}

static const Scalar *read2(World *w, NodeId id, const Position *i, const Position *k,
                           const Scalar *fill)
{
    return graph_read(w->graph, id, (const Position *[]){i, k}, fill);
}

static void value(World *w, NodeId id)
{
    graph_output(w->graph, OUT_VALUE, STR("out"), id, NODE_NONE);
}

static NodeId define(World *w, const char *name, ReduceOp reduce, size_t n_vars,
                     const Var *const *vars, size_t n_reduced, const Var *const *reduced,
                     const Scalar *body)
{
    return graph_define(w->graph, DT_F32, reduce, n_vars, vars, n_reduced, reduced, body,
                        str_of(name), (Span){0});
}

/* The graph after a pass and what nobody needs has gone, as text. */
typedef Graph *Pass(Arena *arena, const Graph *graph);
static void expect(World *w, Pass *pass, const char *text)
{
    Graph *graph = pass_prune(w->arena, pass(w->arena, w->graph));
    const char *problem = graph_verify(graph, w->arena);
    if (problem)
        fail_msg("%s", problem);
    Buf out = buf_new(w->arena);
    graph_dump(graph, &out);
    assert_string_equal(str_c(w->arena, buf_str(&out)), text);
}

/* --- prune ---------------------------------------------------------------------------------------- */
static void unneeded_nodes_go(void **state)
{
    World *w = *state;
    const Var *i = var(w, "i", 4), *k = var(w, "k", 6);
    define(w, "unread", REDUCE_NONE, 2, (const Var *[]){i, k}, 0, NULL,
           read2(w, w->x, at(w, i), at(w, k), NULL));
    value(w, define(w, "y", REDUCE_SUM, 1, &i, 1, &k, read2(w, w->x, at(w, i), at(w, k), NULL)));
    expect(w, pass_prune, "input x: f32[4, 6]\ny: f32[4]\n  y[i] = sum[k<6] x[i, k]\n"
                          "value out = y\n");
}

/* --- simplify ------------------------------------------------------------------------------------- */
static void views_compose(void **state)
{
    World *w = *state;
    const Var *i = var(w, "i", 4), *k = var(w, "k", 6), *f = var(w, "f", 24);
    NodeId flat = define(w, "flat", REDUCE_NONE, 1, &f, 0, NULL,
                         read2(w, w->x, pos_div(w->pool, at(w, f), 6),
                               pos_mod(w->pool, at(w, f), 6), NULL));
    const Position *row = pos_add(w->pool, pos_scale(w->pool, at(w, i), 6), at(w, k));
    NodeId turned = define(w, "turned", REDUCE_NONE, 2, (const Var *[]){k, i}, 0, NULL,
                           graph_read(w->graph, flat, &row, NULL));
    const Position *before = pos_shift(w->pool, at(w, k), -1);
    value(w, define(w, "y", REDUCE_NONE, 2, (const Var *[]){k, i}, 0, NULL,
                    sc_fn1(w->pool, OP_STOP, read2(w, turned, before, at(w, i), number(w, 7)))));
    expect(w, pass_simplify, "input x: f32[4, 6]\ny: f32[6, 4]\n  y[k, i] = x[i, k-1] ?? 7\n"
                             "value out = y\n");
}

/* What a view reads beside its own range is another value than the fill: the view must stay. */
static void slices_with_fills_stay(void **state)
{
    World *w = *state;
    const Var *i = var(w, "i", 4), *k = var(w, "k", 3);
    NodeId slice = define(w, "slice", REDUCE_NONE, 2, (const Var *[]){i, k}, 0, NULL,
                          read2(w, w->x, at(w, i), at(w, k), NULL));
    value(w, define(w, "y", REDUCE_NONE, 2, (const Var *[]){i, k}, 0, NULL,
                    read2(w, slice, at(w, i), pos_shift(w->pool, at(w, k), 1), number(w, 7))));
    expect(w, pass_simplify, "input x: f32[4, 6]\nslice: f32[4, 3]\n  slice[i, k] = x[i, k]\n"
                             "y: f32[4, 3]\n  y[i, k] = slice[i, k+1] ?? 7\nvalue out = y\n");
}

static void quotients_cancel(void **state)
{
    World *w = *state;
    const Scalar *e = sc_fn1(w->pool, OP_EXP, graph_read0(w->graph, graph_leaf(
        w->graph, NODE_STATE, DT_F32, 0, NULL, STR("s"), 0, (Span){0})));
    const Scalar *part = sc_fn2(w->pool, OP_DIV, number(w, 1), e);
    const Scalar *root = sc_fn1(w->pool, OP_RSQRT, e);
    assert_ptr_equal(sc_fn2(w->pool, OP_MUL, e, sc_fn2(w->pool, OP_MUL, number(w, 3), part)),
                     number(w, 3));
    assert_ptr_equal(sc_fn2(w->pool, OP_DIV, sc_fn2(w->pool, OP_MUL, e, e), e), e);
    assert_ptr_equal(sc_fn2(w->pool, OP_MUL, root, sc_fn1(w->pool, OP_SQRT, e)), number(w, 1));
}

/* --- cse ------------------------------------------------------------------------------------------ */
static NodeId row_sum(World *w, const char *name, const char *a, const char *b, double factor)
{
    const Var *i = var(w, a, 4), *k = var(w, b, 6);
    const Scalar *x = read2(w, w->x, at(w, i), at(w, k), NULL);
    return define(w, name, REDUCE_SUM, 1, &i, 1, &k,
                  sc_fn2(w->pool, OP_MUL, number(w, factor), sc_fn1(w->pool, OP_EXP, x)));
}

static void twins_become_one(void **state)
{
    World *w = *state;
    value(w, row_sum(w, "p", "i", "k", 2));
    value(w, row_sum(w, "q", "n", "c", 2));
    NodeId r = row_sum(w, "r", "a", "b", -0.5);
    const Var *i = var(w, "i", 4);
    const Position *row = at(w, i);
    value(w, define(w, "y", REDUCE_NONE, 1, &i, 0, NULL,
                    sc_fn2(w->pool, OP_ADD, graph_read(w->graph, r, &row, NULL), number(w, 1))));
    expect(w, pass_cse, "input x: f32[4, 6]\np: f32[4]\n  p[i] = sum[k<6] 2 * exp(x[i, k])\n"
                        "y: f32[4]\n  y[i] = -0.25 * p[i] + 1\n"
                        "value out = p\nvalue out = p\nvalue out = y\n");
}

static void different_draws_stay(void **state)
{
    World *w = *state;
    const Var *i = var(w, "i", 4), *k = var(w, "k", 4);
    value(w, define(w, "a", REDUCE_NONE, 1, &i, 0, NULL, sc_random(w->pool, 1, at(w, i))));
    value(w, define(w, "b", REDUCE_NONE, 1, &k, 0, NULL, sc_random(w->pool, 1, at(w, k))));
    value(w, define(w, "c", REDUCE_NONE, 1, &i, 0, NULL, sc_random(w->pool, 2, at(w, i))));
    expect(w, pass_cse, "a: f32[4]\n  a[i] = random(1, i)\nc: f32[4]\n  c[i] = random(2, i)\n"
                        "value out = a\nvalue out = a\nvalue out = c\n");
}

/* --- fold ------------------------------------------------------------------------------------------ */
static void constants_are_computed(void **state)
{
    World *w = *state;
    const double data[] = {1, 2, 3};
    NodeId c = graph_constant(w->graph, DT_F32, 1, (int64_t[]){3}, data, 0, (Span){0});
    const Var *i = var(w, "i", 3), *k = var(w, "k", 2);
    const Position *ci = at(w, i), *two = pos_const(w->pool, 2);
    NodeId sum = define(w, "sum", REDUCE_SUM, 0, NULL, 1, &i, graph_read(w->graph, c, &ci, NULL));
    NodeId draw = define(w, "draw", REDUCE_NONE, 1, &k, 0, NULL,
                         sc_random(w->pool, 1, at(w, k)));
    const Position *ck = at(w, k);
    const Scalar *terms[] = {graph_read(w->graph, draw, &ck, NULL), graph_read0(w->graph, sum),
                             graph_read(w->graph, c, &two, NULL)};
    value(w, define(w, "y", REDUCE_NONE, 1, &k, 0, NULL, sc_fn(w->pool, OP_ADD, 3, terms)));
    expect(w, pass_fold, "draw: f32[2]\n  draw[k] = random(1, k)\ny: f32[2]\n"
                         "  y[k] = draw[k] + 9\nvalue out = y\n");
}

/* --- narrow ---------------------------------------------------------------------------------------- */
static void rows_that_nobody_reads_go(void **state)
{
    World *w = *state;
    const Var *i = var(w, "i", 4), *k = var(w, "k", 6);
    const Position *flat = pos_add(w->pool, pos_scale(w->pool, at(w, i), 6), at(w, k));
    const Scalar *x = read2(w, w->x, at(w, i), at(w, k), NULL);
    NodeId drop = define(w, "drop", REDUCE_NONE, 2, (const Var *[]){i, k}, 0, NULL,
                         sc_fn2(w->pool, OP_MUL, x, sc_random(w->pool, 1, flat)));
    const Var *n = var(w, "n", 2);
    value(w, define(w, "y", REDUCE_NONE, 1, &n, 0, NULL,
                    read2(w, drop, pos_shift(w->pool, at(w, n), 1), pos_const(w->pool, 5),
                          NULL)));
    expect(w, pass_narrow, "input x: f32[4, 6]\ndrop: f32[2, 1]\n"
                           "  drop[i, k] = x[i+1, 5] * random(1, 6*i+11)\n"
                           "y: f32[2]\n  y[n] = drop[n, 0]\nvalue out = y\n");
}

/* Row ids[i] of x may not exist: all of them are looked at, whoever reads the result. */
static void faults_stay(void **state)
{
    World *w = *state;
    const Var *i = var(w, "i", 4), *k = var(w, "k", 6);
    const Position *row = at(w, i);
    const Position *id = pos_data(w->pool, graph_read(w->graph, w->ids, &row, NULL));
    NodeId rows = define(w, "rows", REDUCE_NONE, 2, (const Var *[]){i, k}, 0, NULL,
                         read2(w, w->x, id, at(w, k), NULL));
    value(w, define(w, "y", REDUCE_NONE, 0, NULL, 0, NULL,
                    read2(w, rows, pos_const(w->pool, 0), pos_const(w->pool, 0), NULL)));
    expect(w, pass_narrow, "input x: f32[4, 6]\ninput ids: i32[4]\nrows: f32[4, 1]\n"
                           "  rows[i, k] = x[ids[i], 0]\ny: f32\n  y = rows[0, 0]\n"
                           "value out = y\n");
}

/* A tensor with rows only at 0 and 1 of 4: the sum over all rows visits two. */
static void zeros_are_not_visited(void **state)
{
    World *w = *state;
    const Var *n = var(w, "n", 2), *i = var(w, "i", 4), *k = var(w, "k", 6);
    const Position *left[] = {at(w, n), at(w, k)};
    Piece piece = {.n_vars = 2, .vars = (const Var *[]){n, k}, .left = left,
                   .body = sc_fn1(w->pool, OP_EXP, read2(w, w->x, at(w, n), at(w, k), NULL))};
    NodeId part = graph_equation(w->graph, DT_F32, 2, (int64_t[]){4, 6}, REDUCE_NONE, 1, &piece,
                                 STR("part"), (Span){0});
    const Scalar *product = sc_fn2(w->pool, OP_MUL, read2(w, part, at(w, i), at(w, k), NULL),
                                   read2(w, w->x, at(w, i), at(w, k), NULL));
    value(w, define(w, "y", REDUCE_SUM, 1, &k, 1, &i, product));
    expect(w, pass_narrow, "input x: f32[4, 6]\npart: f32[2, 6]\n  part[n, k] = exp(x[n, k])\n"
                           "y: f32[6]\n  y[k] = sum[i<2] part[i, k] * x[i, k]\nvalue out = y\n");
}

/* --- clamp ------------------------------------------------------------------------------------------ */
/* 0 < x and max(x, 0) < 6, the mask of relu6, is asked of y; -1 < x is not: y does not know. */
static void signs_are_asked_of_the_clamp(void **state)
{
    World *w = *state;
    const Var *i = var(w, "i", 4), *k = var(w, "k", 6), *r = var(w, "r", 4), *s = var(w, "s", 6);
    const Var *two[] = {i, k}, *other[] = {r, s};
    NodeId x = define(w, "e", REDUCE_NONE, 2, two, 0, NULL,
                      sc_fn1(w->pool, OP_EXP, read2(w, w->x, at(w, i), at(w, k), NULL)));
    const Scalar *e = read2(w, x, at(w, i), at(w, k), NULL);
    const Scalar *low = sc_fn2(w->pool, OP_MAX, e, number(w, 0));
    value(w, define(w, "y", REDUCE_NONE, 2, two, 0, NULL,
                    sc_fn2(w->pool, OP_MIN, low, number(w, 6))));
    e = read2(w, x, at(w, r), at(w, s), NULL);
    low = sc_fn2(w->pool, OP_MAX, e, number(w, 0));
    const Scalar *mask = sc_fn2(w->pool, OP_AND, sc_fn2(w->pool, OP_LT, number(w, 0), e),
                                sc_fn2(w->pool, OP_LT, low, number(w, 6)));
    value(w, define(w, "m", REDUCE_NONE, 2, other, 0, NULL,
                    sc_fn3(w->pool, OP_SELECT, mask, number(w, 7), number(w, 0))));
    value(w, define(w, "n", REDUCE_NONE, 2, other, 0, NULL,
                    sc_fn3(w->pool, OP_SELECT, sc_fn2(w->pool, OP_LT, number(w, -1), e),
                           number(w, 7), number(w, 0))));
    expect(w, pass_clamp,
           "input x: f32[4, 6]\ne: f32[4, 6]\n  e[i, k] = exp(x[i, k])\n"
           "y: f32[4, 6]\n  y[i, k] = min(max(e[i, k], 0), 6)\n"
           "m: f32[4, 6]\n  m[r, s] = select(0 < y[r, s] and y[r, s] < 6, 7, 0)\n"
           "n: f32[4, 6]\n  n[r, s] = select(-1 < e[r, s], 7, 0)\n"
           "value out = y\nvalue out = m\nvalue out = n\n");
}

/* --- lift ------------------------------------------------------------------------------------------- */
/* s[k] * exp(s[k]) is the same for 4 values of i only, for 16 values of i and j together. */
static void factors_become_tensors(void **state)
{
    World *w = *state;
    NodeId s = graph_leaf(w->graph, NODE_INPUT, DT_F32, 1, (int64_t[]){6}, STR("s"), 0, (Span){0});
    const Var *i = var(w, "i", 4), *j = var(w, "j", 4), *k = var(w, "k", 6);
    const Position *place = at(w, k);
    const Scalar *e = graph_read(w->graph, s, &place, NULL);
    const Scalar *factor = sc_fn2(w->pool, OP_MUL, e, sc_fn1(w->pool, OP_EXP, e));
    const Scalar *row = sc_fn2(w->pool, OP_MUL, factor, read2(w, w->x, at(w, i), at(w, k), NULL));
    value(w, define(w, "few", REDUCE_NONE, 2, (const Var *[]){i, k}, 0, NULL, row));
    const Scalar *other = read2(w, w->x, at(w, j), at(w, k), NULL);
    value(w, define(w, "many", REDUCE_NONE, 3, (const Var *[]){i, j, k}, 0, NULL,
                    sc_fn2(w->pool, OP_MUL, row, other)));
    expect(w, pass_lift,
           "input x: f32[4, 6]\ninput s: f32[6]\n"
           "few: f32[4, 6]\n  few[i, k] = s[k] * exp(s[k]) * x[i, k]\n"
           "many.factor: f32[6]\n  many.factor[k] = s[k] * exp(s[k])\n"
           "many: f32[4, 4, 6]\n  many[i, j, k] = x[i, k] * x[j, k] * many.factor[k]\n"
           "value out = few\nvalue out = many\n");
}

/* Of equal factors, which may have their variables in another order. */
static void equal_factors_are_one(void **state)
{
    World *w = *state;
    const Var *i = var(w, "i", 4), *k = var(w, "k", 6), *j = var(w, "j", 16);
    const Var *k2 = var(w, "k", 6), *i2 = var(w, "i", 4), *j2 = var(w, "j", 16);
    const Scalar *a = sc_fn1(w->pool, OP_EXP, read2(w, w->x, at(w, i), at(w, k), NULL));
    const Scalar *b = sc_fn1(w->pool, OP_EXP, read2(w, w->x, at(w, i2), at(w, k2), NULL));
    value(w, define(w, "y", REDUCE_NONE, 3, (const Var *[]){i, k, j}, 0, NULL, a));
    value(w, define(w, "z", REDUCE_NONE, 3, (const Var *[]){i2, k2, j2}, 0, NULL, b));
    expect(w, pass_lift,
           "input x: f32[4, 6]\ny.factor: f32[4, 6]\n  y.factor[i, k] = exp(x[i, k])\n"
           "y: f32[4, 6, 16]\n  y[i, k, j] = y.factor[i, k]\n"
           "z: f32[4, 6, 16]\n  z[i, k, j] = y.factor[i, k]\n"
           "value out = y\nvalue out = z\n");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(unneeded_nodes_go),      TEST(views_compose),     TEST(slices_with_fills_stay),
        TEST(quotients_cancel),
        TEST(twins_become_one),       TEST(different_draws_stay), TEST(constants_are_computed),
        TEST(rows_that_nobody_reads_go), TEST(faults_stay),    TEST(zeros_are_not_visited),
        TEST(signs_are_asked_of_the_clamp), TEST(factors_become_tensors),
        TEST(equal_factors_are_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
