/* Factors of a sum of products that are maps of what they read, such as a norm applied on read. Such a
 * factor becomes a tensor of its own, over just the variables that it uses, as if it lay in memory as
 * the largest tensor does that it reads. The rules of schedule.c then see a product of two tensors;
 * block.c puts the tensor into scratch, block by block, where its values are computed once for all that
 * read them (fusion.md 3.6). What block.c leaves is written back into the product. */
#include "loop/internal.h"

static bool is_plain_read(const Scalar *read)
{
    for (size_t d = 0; d < read->n; d++) {
        const Var *var;
        int64_t value;
        if (!pos_is_var(read->at[d], &var) && !pos_is_const(read->at[d], &value))
            return false;
    }
    return !read->fill;
}

/* The read that has all variables of the factor, at distinct dimensions; NULL: there is none, or
 * something else is in the way. */
static const Scalar *source_of(Arena *arena, const Scalar *factor)
{
    const Scalar *source = NULL;
    if (factor->kind != SCALAR_FN || factor->dtype != DT_F32 || factor->n_vars == 0)
        return NULL;
    ScalarList list = sc_list(arena, 1, &factor);
    for (size_t i = 0; i < list.n; i++) {
        const Scalar *s = list.at[i];
        if (s->kind == SCALAR_RANDOM || s->dtype == DT_F64)
            return NULL;
        if (s->kind != SCALAR_READ)
            continue;
        if (!is_plain_read(s))
            return NULL;
        if (!source && s->n_vars == factor->n_vars && (s->dtype == DT_F32 || dtype_is_short(s->dtype)))
            source = s;
    }
    return source;
}

/* Adds the tensor that stands for the factor; NULL: nothing can. */
static const Scalar *operand_for(WorkKernel *work, const Scalar *factor)
{
    const Scalar *source = source_of(work->arena, factor);
    if (!source)
        return NULL;
    size_t rank = source->n_vars;
    int64_t *dims = NEW_ARRAY(work->arena, int64_t, rank);
    int64_t *strides = NEW_ARRAY(work->arena, int64_t, rank);
    const Position **at = NEW_ARRAY(work->arena, const Position *, rank);
    const KBuffer *from = work_buffer(work, source->tensor);
    for (size_t d = 0; d < rank; d++) {
        const Var *var = source->vars[d];
        dims[d] = var->extent;
        at[d] = pos_var(work->graph->pool, var);
        if (!access_stride(from, source->at, var, &strides[d]))
            return NULL;
    }
    KBuffer buffer = {.tensor = (NodeId)(work->graph->nodes.len + work->buffers.len),
                      .dtype = DT_F32, .place = KPLACE_SCRATCH, .rank = rank, .dims = dims,
                      .strides = strides, .relative = true};
    Operand operand = {.buffer = (uint32_t)work->buffers.len, .factor = factor, .source = source};
    VEC_PUSH(work->arena, work->buffers, buffer);
    VEC_PUSH(work->arena, work->operands, operand);
    return sc_read(work->graph->pool, DT_F32, buffer.tensor, rank, at, NULL);
}

const Operand *work_operand(const WorkKernel *work, const Scalar *read)
{
    for (size_t i = 0; i < work->operands.len; i++) {
        const Operand *operand = &work->operands.at[i];
        if (work->buffers.at[operand->buffer].tensor == read->tensor)
            return operand;
    }
    return NULL;
}

static bool lacks_a_left(const WorkNest *nest, const Scalar *factor)
{
    for (size_t i = 0; i < nest->left.len; i++) {
        if (!sc_uses(factor, nest->left.at[i]))
            return true;
    }
    return false;
}

void work_operands(WorkKernel *work)
{
    for (size_t i = 0; i < work->nests.len; i++) {
        WorkNest *nest = &work->nests.at[i];
        const Scalar *body = nest->stores.at[0].body, *factors[2];
        if (nest->stores.len != 1 || nest->reduced.len == 0 || body->kind != SCALAR_FN ||
            nest->stores.at[0].reduce != REDUCE_SUM || body->op != OP_MUL || body->n != 2 ||
            !lacks_a_left(nest, body->args[0]) || !lacks_a_left(nest, body->args[1]))
            continue;
        for (size_t k = 0; k < 2; k++) {
            const Scalar *operand = operand_for(work, body->args[k]);
            factors[k] = operand ? operand : body->args[k];
        }
        nest->stores.at[0].body = sc_fn2(work->graph->pool, OP_MUL, factors[0], factors[1]);
        return;                                  /* block.c does one */
    }
}

static const Scalar *read_factor(void *context, ExprPool *pool, const Scalar *old, size_t rank,
                                 const Position *const *at, const Scalar *fill)
{
    const Operand *operand = work_operand(context, old);
    return operand ? operand->factor : sc_read(pool, old->dtype, old->tensor, rank, at, fill);
}

bool work_operands_undo(WorkKernel *work)
{
    if (work->operands.len == 0)
        return false;
    for (size_t i = 0; i < work->nests.len; i++) {
        for (size_t k = 0; k < work->nests.at[i].stores.len; k++) {
            KStore *store = &work->nests.at[i].stores.at[k];
            store->body = sc_rewrite(work->graph->pool, store->body, read_factor, work);
        }
    }
    work->buffers.len = work->operands.at[0].buffer;     /* they are the last */
    work->operands.len = 0;
    return true;
}
