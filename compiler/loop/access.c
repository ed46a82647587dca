/* How expressions touch buffers: strides of reads, costs, counts. */
#include "loop/internal.h"

bool access_stride(const KBuffer *buffer, const Position *const *at, const Var *var,
                   int64_t *stride)
{
    int64_t sum = 0;
    for (size_t d = 0; d < buffer->rank; d++) {
        if (!pos_uses(at[d], var))
            continue;
        for (size_t i = 0; i < at[d]->n; i++) {
            const Term *term = &at[d]->terms[i];
            const Atom *atom = term->atom;
            if (atom->kind == ATOM_VAR)
                sum += atom->var == var ? term->coef * buffer->strides[d] : 0;
            else if (atom->kind == ATOM_DATA ? sc_uses(atom->data, var) : pos_uses(atom->of, var))
                return false;
        }
    }
    *stride = sum;
    return true;
}

const KBuffer *work_buffer(const WorkKernel *work, NodeId tensor)
{
    for (size_t i = 0; i < work->buffers.len; i++) {
        if (work->buffers.at[i].tensor == tensor)
            return &work->buffers.at[i];
    }
    return NULL;
}

ScalarList nest_list(Arena *arena, size_t n_stores, const KStore *stores, const KBuffer *buffers)
{
    VEC(const Scalar *) roots = {0};
    for (size_t i = 0; i < n_stores; i++) {
        Piece piece = {.left = stores[i].left, .n_guards = stores[i].n_guards,
                       .guards = stores[i].guards, .body = stores[i].body};
        ScalarList list = piece_list(arena, &piece, buffers[stores[i].buffer].rank);
        for (size_t k = 0; k < list.n; k++)
            VEC_PUSH(arena, roots, list.at[k]);
    }
    return sc_list(arena, roots.len, roots.at);
}

/* A rough count of vector instructions; only ratios matter. */
double scalar_cost(const Scalar *s)
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

double nest_points(const WorkNest *nest)
{
    double points = 1;
    for (size_t i = 0; i < nest->left.len; i++)
        points *= (double)nest->left.at[i]->extent;
    for (size_t i = 0; i < nest->reduced.len; i++)
        points *= (double)nest->reduced.at[i]->extent;
    return points;
}
