/* Compiled code in every dtype: casts between all pairs, reductions, functions of double precision;
 * on the host's target and on the generic one. */
#include "support/kernels.h"
#include "support/program.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* The host's and the generic one. */
static const Target *target_of(int index)
{
    return index == 0 ? target_host() : target_find(STR("generic"));
}

/* --- casts ------------------------------------------------------------------------------------ */
static const double samples[] = {
    0,    1,    -1,   2.5,  -2.5,         3.5,           100,   -100,  127,        128,        200,
    255,  256,  300,  -129, 1e-3,         0.1,           65504, 65519, 65520,      7e4,        -7e4,
    6e-5, 3e-8, 2e-8, 1e-9, 2147483648.0, -2147483649.0, 3e10,  1e30,  1.00390625, 1.01171875, 0.3};
enum { SAMPLES = sizeof samples / sizeof *samples };

static double held(DType dtype, double value)
{
    double memory[1] = {0};
    value_set(dtype, memory, 0, value);
    return value_get(dtype, memory, 0);
}

/* y = cast(x) of all samples that x's dtype holds, for every pair of dtypes. */
static void check_casts(const Target *target)
{
    Program p;
    program_open(&p);
    Arena *arena = p.arena;
    Graph *graph = graph_new(arena);
    int64_t dims[] = {SAMPLES};
    static double values[DT_COUNT][SAMPLES];
    double *leaves[DT_COUNT * (DT_COUNT + 1)] = {NULL};
    const Var *i = var_new(graph->pool, SAMPLES, STR("i"));
    const Position *at[] = {pos_var(graph->pool, i)};
    for (DType from = 0; from < DT_COUNT; from++) {
        graph_leaf(graph, NODE_INPUT, from, 1, dims, STR("x"), 0, (Span){0});
        leaves[from] = values[from];
        for (size_t k = 0; k < SAMPLES; k++)
            values[from][k] =
                dtype_is_float(from) ? samples[k] : scalar_fold(OP_CAST, from, 1, &samples[k]);
    }
    for (NodeId from = 0; from < DT_COUNT; from++)
        for (DType to = 0; to < DT_COUNT; to++)
            graph_define(graph, to, REDUCE_NONE, 1, &i, 0, NULL,
                         sc_cast(graph->pool, to, graph_read(graph, from, at, NULL)), STR("y"),
                         (Span){0});
    KernelRun run;
    assert_true(kernels_open(&run, arena, graph, target));
    kernels_fill(&run, leaves);
    kernels_run(&run, CHUNKS_UP);
    for (size_t pair = 0; pair < DT_COUNT * DT_COUNT; pair++) {
        DType from = (DType)(pair / DT_COUNT), to = (DType)(pair % DT_COUNT);
        for (size_t k = 0; k < SAMPLES; k++) {
            double x = kernels_value(&run, (NodeId)from, k);
            double want = held(to, scalar_fold(OP_CAST, to, 1, &x));
            double got = kernels_value(&run, (NodeId)(DT_COUNT + pair), k);
            if (got != want)
                fail_msg("%s: %s(%g) to %s is %g, not %g", target->name, dtype_name(from), x,
                         dtype_name(to), got, want);
        }
    }
    kernels_close(&run);
    program_close(&p);
}

static void test_casts(void **state)
{
    (void)state;
    for (int t = 0; t < 2; t++)
        check_casts(target_of(t));
}

/* --- reductions of every dtype ---------------------------------------------------------------- */
static bool reduces(ReduceOp op, DType dtype)
{
    if (op == REDUCE_ANY || op == REDUCE_ALL)
        return dtype == DT_BOOL;
    return dtype != DT_BOOL || op == REDUCE_MAX || op == REDUCE_MIN;
}

enum { ROWS = 5, COLUMNS = 37 };

/* y[n] = op[i] x[n, i] and z[i] = op[n] x[n, i]; products only of 1 and 2. */
static void add_reduction(Graph *graph, ReduceOp op, DType dtype, double **leaves)
{
    int64_t dims[] = {ROWS, COLUMNS};
    NodeId x = graph_leaf(graph, NODE_INPUT, dtype, 2, dims, str_of(reduce_name(op)), 0, (Span){0});
    const Var *n = var_new(graph->pool, ROWS, STR("n")),
              *i = var_new(graph->pool, COLUMNS, STR("i"));
    const Position *at[] = {pos_var(graph->pool, n), pos_var(graph->pool, i)};
    const Scalar *body = graph_read(graph, x, at, NULL);
    bool arg = op == REDUCE_ARGMAX || op == REDUCE_ARGMIN;
    DType to = arg ? DT_I32 : dtype;
    graph_define(graph, to, op, 1, &n, 1, &i, body, STR("rows"), (Span){0});
    graph_define(graph, to, op, 1, &i, 1, &n, body, STR("columns"), (Span){0});
    leaves[x] = NEW_ARRAY(graph->arena, double, ROWS *COLUMNS);
    for (size_t k = 0; k < ROWS * COLUMNS; k++)
        leaves[x][k] = dtype == DT_BOOL    ? (double)(k % 7 == 0)
                       : op == REDUCE_PROD ? (double)(k % 31 == 0 ? 2 : 1)
                                           : (double)((k * 7919) % 7) - (dtype == DT_U8 ? 0 : 3);
}

static void check_reductions(const Target *target)
{
    Program p;
    program_open(&p);
    Arena *arena = p.arena;
    Graph *graph = graph_new(arena);
    double *leaves[512] = {NULL};
    for (DType dtype = 0; dtype < DT_COUNT; dtype++)
        for (ReduceOp op = REDUCE_SUM; op <= REDUCE_ARGMIN; op++)
            if (reduces(op, dtype))
                add_reduction(graph, op, dtype, leaves);
    Interp interp = {.graph = graph, .arena = arena, .values = leaves};
    assert_true(interp_run(&interp));
    KernelRun run;
    assert_true(kernels_open(&run, arena, graph, target));
    kernels_fill(&run, leaves);
    kernels_run(&run, CHUNKS_UP);
    NodeId worst = 0;
    if (kernels_difference(&run, &interp, &worst) != 0) {
        const Node *node = graph_node(graph, worst);
        fail_msg("%s: %s of %s, node %u", target->name, reduce_name(node->reduce),
                 dtype_name(node->dtype), worst);
    }
    kernels_close(&run);
    program_close(&p);
}

static void test_reductions(void **state)
{
    (void)state;
    for (int t = 0; t < 2; t++)
        check_reductions(target_of(t));
}

/* --- double precision ------------------------------------------------------------------------- */
/* Every function of the table in f64 is libm's or exact. */
static void test_double(void **state)
{
    (void)state;
    enum { N = 19 };
    static const struct {
        ScalarOp op;
        size_t arity;
    } ops[] = {{OP_EXP, 1},  {OP_EXPM1, 1}, {OP_LOG, 1},   {OP_LOG1P, 1}, {OP_LOG2, 1},
               {OP_SQRT, 1}, {OP_RSQRT, 1}, {OP_SIN, 1},   {OP_COS, 1},   {OP_TAN, 1},
               {OP_ASIN, 1}, {OP_ACOS, 1},  {OP_ATAN, 1},  {OP_SINH, 1},  {OP_COSH, 1},
               {OP_TANH, 1}, {OP_ERF, 1},   {OP_FLOOR, 1}, {OP_CEIL, 1},  {OP_ROUND, 1},
               {OP_ABS, 1},  {OP_SIGN, 1},  {OP_POW, 2},   {OP_ATAN2, 2}, {OP_MAX, 2},
               {OP_MIN, 2},  {OP_MOD, 2},   {OP_IDIV, 2},  {OP_DIV, 2}};
    for (int t = 0; t < 2; t++) {
        Program p;
        program_open(&p);
        Arena *arena = p.arena;
        Graph *graph = graph_new(arena);
        int64_t dims[] = {N};
        const Var *i = var_new(graph->pool, N, STR("i"));
        const Position *at[] = {pos_var(graph->pool, i)};
        const Scalar *args[2];
        double values[2][N], *leaves[64] = {values[0], values[1]};
        for (size_t k = 0; k < 2; k++) {
            NodeId x = graph_leaf(graph, NODE_INPUT, DT_F64, 1, dims, STR("x"), 0, (Span){0});
            args[k] = graph_read(graph, x, at, NULL);
            for (size_t j = 0; j < N; j++)
                values[k][j] = 0.11 + ((double)((j * 7 + k * 3) % N) - 8) / 7.3;
        }
        size_t n_ops = sizeof ops / sizeof *ops;
        for (size_t k = 0; k < n_ops; k++)
            graph_define(graph, DT_F64, REDUCE_NONE, 1, &i, 0, NULL,
                         sc_fn(graph->pool, ops[k].op, ops[k].arity, args), STR("y"), (Span){0});
        Interp interp = {.graph = graph, .arena = arena, .values = leaves};
        assert_true(interp_run(&interp));
        KernelRun run;
        assert_true(kernels_open(&run, arena, graph, target_of(t)));
        kernels_fill(&run, leaves);
        kernels_run(&run, CHUNKS_UP);
        for (size_t k = 0; k < n_ops * N; k++) {
            double want = interp.values[2 + k / N][k % N];
            double got = kernels_value(&run, (NodeId)(2 + k / N), k % N);
            if (!(fabs(got - want) <= 1e-15 * fabs(want)) && !(isnan(got) && isnan(want)))
                fail_msg("%s(%g, %g) = %.17g, not %.17g", scalar_op_name(ops[k / N].op),
                         values[0][k % N], values[1][k % N], got, want);
        }
        kernels_close(&run);
        program_close(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_casts),
        cmocka_unit_test(test_reductions),
        cmocka_unit_test(test_double),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
