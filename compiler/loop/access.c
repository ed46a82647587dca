/* How expressions touch buffers: strides of reads, counts. */
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
        if (n_stores == 1)
            return list;
        for (size_t k = 0; k < list.n; k++)
            VEC_PUSH(arena, roots, list.at[k]);
    }
    return sc_list(arena, roots.len, roots.at);
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
