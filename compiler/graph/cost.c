/* What a scalar costs to evaluate: the one estimate that fusion and scheduling share. */
#include "graph/graph.h"

/* A rough count of vector instructions; only ratios matter. */
double sc_cost(const Scalar *s)
{
    if (s->kind == SCALAR_RANDOM)
        return 60;
    if (s->kind == SCALAR_INDEX || s->kind == SCALAR_WITHIN)
        return 1;
    if (s->kind != SCALAR_FN)
        return 0;
    switch (s->op) {
    case OP_EXP: case OP_EXPM1: case OP_LOG: case OP_LOG1P: case OP_LOG2: case OP_TANH: case OP_ERF:
    case OP_SIN: case OP_COS: case OP_SINH: case OP_COSH:
        return 15;
    case OP_TAN: case OP_ASIN: case OP_ACOS: case OP_ATAN: case OP_ATAN2: case OP_POW:
        return 30;
    case OP_DIV: case OP_SQRT: case OP_RSQRT: case OP_IDIV: case OP_MOD:
        return 5;
    case OP_ADD: case OP_MUL:
        return (double)s->n - 1;
    case OP_SUB: case OP_NEG: case OP_MAX: case OP_MIN: case OP_ABS: case OP_SIGN: case OP_FLOOR:
    case OP_CEIL: case OP_ROUND: case OP_EQ: case OP_NE: case OP_LT: case OP_LE: case OP_AND:
    case OP_OR: case OP_NOT: case OP_ISNAN: case OP_ISINF: case OP_SELECT: case OP_STOP:
    case OP_CAST:
        return 1;
    case OP_COUNT:
        break;
    }
    return 1;
}
