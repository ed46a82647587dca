/* Two loops over u and v become one over z = u*|v| + v where every address and every position moves
 * along: buffers whose dimensions for u and v lie contiguously lose one of them. Elementwise kernels
 * of dense tensors end as one long loop. Several nests: only over the rows they share. */
#include "loop/internal.h"

typedef struct Merge {
    WorkKernel *work;
    const Var *u, *v, *z;
    size_t *du, *dv;              /* by buffer: its dimensions; SIZE_MAX: untouched */
} Merge;

static bool uses(const Merge *merge, const Position *p)
{
    return pos_uses(p, merge->u) || pos_uses(p, merge->v);
}

/* In one position: c*(u*|v| + v) + rest, with u and v nowhere else. */
static bool linear(const Merge *merge, const Position *p)
{
    if (pos_coef(p, merge->u) != pos_coef(p, merge->v) * merge->v->extent)
        return false;
    for (size_t i = 0; i < p->n; i++) {
        const Atom *atom = p->terms[i].atom;
        if (atom->of && uses(merge, atom->of))
            return false;
        if (atom->data && (sc_uses(atom->data, merge->u) || sc_uses(atom->data, merge->v)))
            return false;
    }
    return true;
}

static bool is_pure(const Position *p, const Var *var)
{
    const Var *only;
    return pos_is_var(p, &only) && only == var;
}

static size_t buffer_index(const WorkKernel *work, NodeId tensor)
{
    return (size_t)(work_buffer(work, tensor) - work->buffers.at);
}

static bool check_access(Merge *merge, size_t index, const Position *const *at)
{
    const KBuffer *buffer = &merge->work->buffers.at[index];
    size_t du = SIZE_MAX, dv = SIZE_MAX;
    for (size_t d = 0; d < buffer->rank; d++) {
        if (!uses(merge, at[d]) || linear(merge, at[d]))
            continue;
        if (is_pure(at[d], merge->u) && du == SIZE_MAX)
            du = d;
        else if (is_pure(at[d], merge->v) && dv == SIZE_MAX)
            dv = d;
        else
            return false;
    }
    if (du == SIZE_MAX && dv == SIZE_MAX)
        return true;
    if (du == SIZE_MAX || dv == SIZE_MAX ||
        buffer->strides[du] != merge->v->extent * buffer->strides[dv])
        return false;
    if (merge->du[index] != SIZE_MAX && (merge->du[index] != du || merge->dv[index] != dv))
        return false;
    merge->du[index] = du;
    merge->dv[index] = dv;
    return true;
}

static bool check_nest(Merge *merge, const WorkNest *nest)
{
    WorkKernel *work = merge->work;
    ScalarList list = nest_list(work->arena, nest->stores.len, nest->stores.at, work->buffers.at);
    for (size_t i = 0; i < list.n; i++) {
        const Scalar *s = list.at[i];
        if (s->kind == SCALAR_READ) {
            if (!check_access(merge, buffer_index(work, s->tensor), s->at))
                return false;
        } else if (s->kind == SCALAR_INDEX || s->kind == SCALAR_WITHIN ||
                   s->kind == SCALAR_RANDOM) {
            if (uses(merge, s->at[0]) && !linear(merge, s->at[0]))
                return false;
        }
    }
    for (size_t i = 0; i < nest->stores.len; i++) {
        const KStore *store = &nest->stores.at[i];
        if (!check_access(merge, store->buffer, store->left))
            return false;
        for (size_t g = 0; g < store->n_guards; g++) {
            const Position *p = store->guards[g].position;
            if (uses(merge, p) && !linear(merge, p))
                return false;
        }
    }
    return true;
}

/* Every access of a buffer that loses a dimension must keep its meaning without it. */
static bool check_merged(const Merge *merge, const WorkNest *nest)
{
    WorkKernel *work = merge->work;
    ScalarList list = nest_list(work->arena, nest->stores.len, nest->stores.at, work->buffers.at);
    for (size_t i = 0; i < list.n; i++) {
        const Scalar *s = list.at[i];
        if (s->kind != SCALAR_READ)
            continue;
        size_t b = buffer_index(work, s->tensor);
        if (merge->du[b] == SIZE_MAX)
            continue;
        if (s->at[merge->du[b]]->has_data || s->at[merge->dv[b]]->has_data)
            return false;
        if (s->fill && !(is_pure(s->at[merge->du[b]], merge->u) &&
                         is_pure(s->at[merge->dv[b]], merge->v)))
            return false;
    }
    return true;
}

/* --- rewriting ---------------------------------------------------------------------------------------- */
static const Position *const *without(const Merge *merge, size_t index, size_t rank,
                                      const Position *const *at)
{
    ExprPool *pool = merge->work->graph->pool;
    size_t du = merge->du[index], dv = merge->dv[index], n = 0;
    const Position **out = NEW_ARRAY(merge->work->arena, const Position *, rank);
    int64_t by = merge->v->extent;         /* the ratio of their strides; both may be 0 */
    for (size_t d = 0; d < rank; d++) {
        if (d == dv)
            out[n++] = pos_add(pool, pos_scale(pool, at[du], by), at[dv]);
        else if (d != du)
            out[n++] = at[d];
    }
    return out;
}

static const Scalar *read_merged(void *context, ExprPool *pool, const Scalar *old, size_t rank,
                                 const Position *const *at, const Scalar *fill)
{
    const Merge *merge = context;
    size_t index = buffer_index(merge->work, old->tensor);
    if (merge->du[index] == SIZE_MAX)
        return NULL;
    return sc_read(pool, old->dtype, old->tensor, rank - 1, without(merge, index, rank, at), fill);
}

static const Position *moved(const Merge *merge, const Subst *subst, const Position *p)
{
    ExprPool *pool = merge->work->graph->pool;
    return pos_rewrite(pool, pos_subst(pool, p, subst), read_merged, (void *)merge);
}

static void merge_store(const Merge *merge, const Subst *subst, KStore *store)
{
    Arena *arena = merge->work->arena;
    ExprPool *pool = merge->work->graph->pool;
    size_t rank = merge->work->buffers.at[store->buffer].rank;
    const Position **left = NEW_ARRAY(arena, const Position *, rank);
    for (size_t d = 0; d < rank; d++)
        left[d] = moved(merge, subst, store->left[d]);
    store->left = merge->du[store->buffer] == SIZE_MAX
                      ? left
                      : without(merge, store->buffer, rank, left);
    Guard *guards = NEW_ARRAY(arena, Guard, store->n_guards);
    for (size_t i = 0; i < store->n_guards; i++) {
        guards[i] = store->guards[i];
        guards[i].position = moved(merge, subst, guards[i].position);
    }
    store->guards = guards;
    store->body = sc_rewrite(pool, sc_subst(pool, store->body, subst), read_merged, (void *)merge);
}

static void merge_nest(const Merge *merge, WorkNest *nest)
{
    ExprPool *pool = merge->work->graph->pool;
    const Var *const from[] = {merge->u, merge->v};
    const Position *const to[] = {pos_const(pool, 0), pos_var(pool, merge->z)};
    Subst subst = {.n = 2, .from = from, .to = to};
    for (size_t i = 0; i < nest->stores.len; i++)
        merge_store(merge, &subst, &nest->stores.at[i]);
    size_t n = 0;
    for (size_t i = 0; i < nest->left.len; i++) {
        if (nest->left.at[i] == merge->u)
            continue;
        nest->bound.at[n] = nest->bound.at[i];
        nest->left.at[n++] = nest->left.at[i] == merge->v ? merge->z : nest->left.at[i];
    }
    nest->left.len = nest->bound.len = n;
    n = 0;
    for (size_t i = 0; i < nest->reduced.len; i++) {
        if (nest->reduced.at[i] != merge->u)
            nest->reduced.at[n++] =
                nest->reduced.at[i] == merge->v ? merge->z : nest->reduced.at[i];
    }
    nest->reduced.len = n;
}

static void merge_buffer(const Merge *merge, size_t index)
{
    KBuffer *buffer = &merge->work->buffers.at[index];
    size_t du = merge->du[index], dv = merge->dv[index], n = 0;
    if (du == SIZE_MAX)
        return;
    int64_t *dims = NEW_ARRAY(merge->work->arena, int64_t, buffer->rank);
    int64_t *strides = NEW_ARRAY(merge->work->arena, int64_t, buffer->rank);
    for (size_t d = 0; d < buffer->rank; d++) {
        if (d == du)
            continue;
        dims[n] = d == dv ? buffer->dims[du] * buffer->dims[dv] : buffer->dims[d];
        strides[n++] = buffer->strides[d];
    }
    buffer->rank = n;
    buffer->dims = dims;
    buffer->strides = strides;
}

static bool try_merge(WorkKernel *work, const Var *u, const Var *v)
{
    Merge merge = {.work = work, .u = u, .v = v};
    merge.du = NEW_ARRAY(work->arena, size_t, work->buffers.len);
    merge.dv = NEW_ARRAY(work->arena, size_t, work->buffers.len);
    for (size_t i = 0; i < work->buffers.len; i++)
        merge.du[i] = merge.dv[i] = SIZE_MAX;
    for (size_t i = 0; i < work->nests.len; i++) {
        if (!check_nest(&merge, &work->nests.at[i]))
            return false;
    }
    for (size_t i = 0; i < work->nests.len; i++) {
        if (!check_merged(&merge, &work->nests.at[i]))
            return false;
    }
    merge.z = var_new(work->graph->pool, u->extent * v->extent, v->name);
    for (size_t i = 0; i < work->nests.len; i++)
        merge_nest(&merge, &work->nests.at[i]);
    for (size_t i = 0; i < work->buffers.len; i++)
        merge_buffer(&merge, i);
    size_t n = 0;
    for (size_t i = 0; i < work->rows.len; i++) {
        if (work->rows.at[i] != u)
            work->rows.at[n++] = work->rows.at[i] == v ? merge.z : work->rows.at[i];
    }
    work->rows.len = n;
    return true;
}

/* --- pairs ----------------------------------------------------------------------------------------------- */
static bool merge_some(WorkKernel *work, size_t n, const Var *const *vars, const bool *bound)
{
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < n; k++) {
            if (i != k && (!bound || (bound[i] && bound[k])) && try_merge(work, vars[i], vars[k]))
                return true;
        }
    }
    return false;
}

static bool order_free(const WorkNest *nest)
{
    for (size_t i = 0; i < nest->stores.len; i++) {
        ReduceOp op = nest->stores.at[i].reduce;
        if (op == REDUCE_ARGMAX || op == REDUCE_ARGMIN)
            return false;
    }
    return true;
}

void work_collapse(WorkKernel *work)
{
    if (work->nests.len > 1) {
        while (merge_some(work, work->rows.len, work->rows.at, NULL))
            ;
        return;
    }
    WorkNest *nest = &work->nests.at[0];
    while (merge_some(work, nest->left.len, nest->left.at, nest->bound.at))
        ;
    while (order_free(nest) && merge_some(work, nest->reduced.len, nest->reduced.at, NULL))
        ;
}
