/* maths: compiled functions beside libm. */
#include "support/maths.h"

#include <math.h>
#include <string.h>

static const MathsFunction functions[] = {
    {OP_EXP, "exp", 1},     {OP_LOG, "log", 1},     {OP_TANH, "tanh", 1}, {OP_ERF, "erf", 1},
    {OP_EXPM1, "expm1", 1}, {OP_LOG1P, "log1p", 1}, {OP_LOG2, "log2", 1}, {OP_SIN, "sin", 1},
    {OP_COS, "cos", 1},     {OP_TAN, "tan", 1},     {OP_ASIN, "asin", 1}, {OP_ACOS, "acos", 1},
    {OP_ATAN, "atan", 1},   {OP_SINH, "sinh", 1},   {OP_COSH, "cosh", 1}, {OP_SQRT, "sqrt", 1},
    {OP_RSQRT, "rsqrt", 1}, {OP_FLOOR, "floor", 1}, {OP_CEIL, "ceil", 1}, {OP_ROUND, "round", 1},
    {OP_POW, "pow", 2},     {OP_ATAN2, "atan2", 2}, {OP_MAX, "max", 2},   {OP_MIN, "min", 2},
};

size_t maths_count(void)
{
    return sizeof functions / sizeof *functions;
}

const MathsFunction *maths_function(size_t index)
{
    return &functions[index];
}

const char *maths_open(MathsRun *run, const MathsFunction *f, const Target *target, size_t n)
{
    memset(run, 0, sizeof *run);
    mem_init(&run->mem, &run->sys);
    run->mem.armed = true;
    if (setjmp(run->mem.on_failure))
        return "out of memory";
    Arena *arena = arena_new(&run->mem, "test");
    Graph *graph = graph_new(arena);
    int64_t dims[] = {(int64_t)n};
    const Var *i = var_new(graph->pool, (int64_t)n, STR("i"));
    const Position *at[] = {pos_var(graph->pool, i)};
    const Scalar *reads[2];
    for (int k = 0; k < f->arity; k++) {
        run->args[k] = graph_leaf(graph, NODE_INPUT, DT_F32, 1, dims, STR("x"), 0, (Span){0});
        reads[k] = graph_read(graph, run->args[k], at, NULL);
    }
    const Scalar *body = sc_fn(graph->pool, f->op, (size_t)f->arity, reads);
    run->result =
        graph_define(graph, DT_F32, REDUCE_NONE, 1, &i, 0, NULL, body, STR("y"), (Span){0});
    run->function = f;
    run->n = n;
    if (!kernels_open(&run->run, arena, graph, target))
        return run->run.why;
    double *zeros = NEW_ARRAY(arena, double, n), *leaves[] = {zeros, zeros};
    kernels_fill(&run->run, leaves);
    return NULL;
}

void maths_run(MathsRun *run, const float *const *args, float *result)
{
    for (int k = 0; k < run->function->arity; k++)
        memcpy(run->run.memory[run->args[k]], args[k], run->n * sizeof(float));
    kernels_run(&run->run, CHUNKS_UP);
    memcpy(result, run->run.memory[run->result], run->n * sizeof(float));
}

void maths_close(MathsRun *run)
{
    kernels_close(&run->run);
    mem_release(&run->mem);
}

double maths_exact(const MathsFunction *f, float x, float y)
{
    double args[] = {(double)x, (double)y};
    return scalar_fold(f->op, DT_F32, (size_t)f->arity, args);
}

static double unit_of(double exact)
{
    double a = fabs(exact);
    int exponent = a < 0x1p-126 ? -126 : ilogb(a);
    return ldexp(1, exponent - 23);
}

double maths_error(const MathsFunction *f, float x, float y, float result)
{
    double exact = maths_exact(f, x, y), got = (double)result;
    if (isnan(exact) || isnan(got))
        return isnan(exact) && isnan(got) ? 0 : INFINITY;
    if (isinf((float)exact) && isinf(result))
        return signbit(exact) == signbit(got) ? 0 : INFINITY;
    if (isinf(result))
        return fabs(exact) >= 0x1.fffff8p127 ? 1 : INFINITY;
    if (isinf(exact))
        return INFINITY;
    return fabs(got - exact) / unit_of(exact);
}
