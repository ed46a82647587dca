/* The inner sums of a contraction as one loop: where all that is read lies on evenly over several of them,
 * as packed pictures do over their rows, only the innermost runs, through the values of the others
 * too. Short rows (7, 14) cost a loop's start and end each otherwise. The order of sums stays. */
#include "loop/internal.h"

/* Values of the variable in each block around the nest; 0: not in all of them the same. */
static int64_t even_values(const WorkKernel *work, size_t nest, const Var *var)
{
    int64_t values = work_part(work, var, nest, nest);
    return var->extent % values == 0 ? values : 0;
}

/* One value of u is as far as `values` of v, in all that is read. */
static bool lies_on(const WorkKernel *work, const WorkNest *nest, const Var *u, const Var *v,
                    int64_t values)
{
    ScalarList list = nest_list(work->arena, nest->stores.len, nest->stores.at, work->buffers.at);
    for (size_t i = 0; i < list.n; i++) {
        const Scalar *s = list.at[i];
        int64_t of_u, of_v;
        if (s->kind != SCALAR_READ) {
            if (s->kind != SCALAR_FN && s->kind != SCALAR_CONST)
                return false;
            continue;
        }
        const KBuffer *buffer = work_buffer(work, s->tensor);
        if (s->fill || !access_stride(buffer, s->at, u, &of_u) ||
            !access_stride(buffer, s->at, v, &of_v) || of_u != of_v * values)
            return false;
    }
    return true;
}

static bool is_plain(const KLoop *loop)
{
    return loop->reduced && loop->kind == KLOOP_SERIAL && loop->tile == 1;
}

void work_fold(WorkKernel *work, size_t index)
{
    WorkNest *nest = &work->nests.at[index];
    KLoop *loops = NEW_ARRAY(work->arena, KLoop, nest->n_loops);
    for (size_t i = 0; i < nest->n_loops; i++)
        loops[i] = nest->loops[i];
    KLoop *inner = &loops[nest->n_loops - 1];
    int64_t values = inner->var->extent;
    if (!is_plain(inner) || even_values(work, index, inner->var) != values)
        return;
    for (size_t i = nest->n_loops - 1; i-- > 0 && is_plain(&loops[i]);) {
        int64_t outside = even_values(work, index, loops[i].var), all;
        if (outside == 0 || !lies_on(work, nest, loops[i].var, inner->var, values) ||
            !CHECKED_MUL(values, outside, &all) || all > INT32_MAX)
            break;
        loops[i].folded = true;
        inner->times = (inner->times ? inner->times : 1) * outside;
        values = all;
    }
    nest->loops = loops;
}
