/* grad_check: what it follows, what it holds still, what it refuses. */
#include "passes/passes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

typedef struct World {
    HoneSys sys;
    Mem mem;
    Graph *graph;
    ExprPool *pool;
    const Var *i;
    NodeId w;
    const Scalar *x;              /* w[i] */
} World;

static int setup(void **state)
{
    static World world;
    world = (World){0};
    mem_init(&world.mem, &world.sys);
    World *w = *state = &world;
    w->graph = graph_new(arena_new(&world.mem, "test"));
    w->pool = w->graph->pool;
    w->i = var_new(w->pool, 7, STR("i"));
    w->w = graph_leaf(w->graph, NODE_PARAM, DT_F32, 1, (int64_t[]){7}, STR("w"), 0, (Span){0});
    const Position *at = pos_var(w->pool, w->i);
    w->x = graph_read(w->graph, w->w, &at, NULL);
    return 0;
}

static int teardown(void **state)
{
    mem_release(&((World *)*state)->mem);
    return 0;
}

/* loss = sum[i] body */
static const char *check(World *w, const Scalar *body, double max_points, GradCheck *result)
{
    NodeId loss = graph_define(w->graph, DT_F32, REDUCE_SUM, 0, NULL, 1, &w->i, body, STR("loss"),
                               (Span){0});
    graph_output(w->graph, OUT_LOSS, STR("loss"), loss, NODE_NONE);
    *result = (GradCheck){.graph = w->graph, .n_wrt = 1, .wrt = &w->w, .seed = 3,
                          .max_points = max_points};
    assert_null(graph_verify(w->graph, w->graph->arena));
    return grad_check(w->graph->arena, result);
}

static void slopes_agree(void **state)
{
    World *w = *state;
    GradCheck result;
    assert_null(check(w, sc_fn2(w->pool, OP_MUL, sc_fn1(w->pool, OP_SIN, w->x), w->x), 1e6,
                      &result));
    assert_true(result.rows[0].error < 1e-7);
    assert_true(result.rows[0].norm > 0.1);
}

/* d (w * stop(w)) / d w is w: the difference must not move what is stopped. */
static void stopped_parts_stand_still(void **state)
{
    World *w = *state;
    GradCheck result;
    assert_null(check(w, sc_fn2(w->pool, OP_MUL, w->x, sc_fn1(w->pool, OP_STOP, w->x)), 1e6,
                      &result));
    assert_true(result.rows[0].error < 1e-7);
}

/* A jump has no slope that differences agree with: floor counts as constant, and they see it jump. */
static void wrong_slopes_are_seen(void **state)
{
    World *w = *state;
    GradCheck result;
    const Scalar *fine = sc_fn2(w->pool, OP_MUL, sc_const(w->pool, DT_F32, 1e9), w->x);
    const Scalar *steps = sc_fn1(w->pool, OP_FLOOR, fine);
    assert_null(check(w, sc_fn2(w->pool, OP_ADD, steps, w->x), 1e6, &result));
    assert_true(result.rows[0].error > 1);
}

static void too_large_is_refused(void **state)
{
    World *w = *state;
    GradCheck result;
    assert_non_null(check(w, sc_fn1(w->pool, OP_EXP, w->x), 10, &result));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(slopes_agree, setup, teardown),
        cmocka_unit_test_setup_teardown(stopped_parts_stand_still, setup, teardown),
        cmocka_unit_test_setup_teardown(wrong_slopes_are_seen, setup, teardown),
        cmocka_unit_test_setup_teardown(too_large_is_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
