/* finish: what is left of the guards becomes store guards, fills of reads and masks of the body
 * (differentiation.md 5.8). */
#include "passes/densify.h"

#include <assert.h>

/* --- what follows from what
 * --------------------------------------------------------------------------- */
/* The guard `first <= q <= last` holds: does goal? One rational combination:
 * cq*g = cg*q + rest, for each term of g that q has too. */
static void bounds_by(Dense *dense, const Position *g, const Guard *premise, Term term,
                      int64_t *min, int64_t *max)
{
    ExprPool *pool = dense->pool;
    const Position *q = premise->position;
    int64_t cq = 0, cg = term.coef;
    for (size_t i = 0; i < q->n; i++)
        if (q->terms[i].atom == term.atom)
            cq = q->terms[i].coef;
    if (cq == 0)
        return;
    int64_t first = premise->lo, last = premise->hi - 1;
    if (cq < 0) {
        cq = -cq;
        cg = -cg;
        /* g*|cq| = -cg*q + rest with the sign taken into cg */
    }
    const Position *rest = pos_sub(pool, pos_scale(pool, g, cq), pos_scale(pool, q, cg));
    int64_t low = cg > 0 ? cg * first : cg * last, high = cg > 0 ? cg * last : cg * first;
    int64_t least = div_ceil(low + rest->min, cq), most = div_floor(high + rest->max, cq);
    *min = least > *min ? least : *min;
    *max = most < *max ? most : *max;
}

/* Every guard of premises but number `except` holds. */
static bool follows(Dense *dense, Guard goal, const Guards *premises, size_t except)
{
    const Position *g = goal.position;
    int64_t min = g->min, max = g->max;
    for (size_t i = 0; i < premises->len; i++)
        for (size_t k = 0; i != except && k < g->n; k++)
            bounds_by(dense, g, &premises->at[i], g->terms[k], &min, &max);
    return min >= goal.lo && max < goal.hi;
}

/* --- ranges of factors
 * ---------------------------------------------------------------------------------- */
/* Finite wherever its reads are: such a factor may be evaluated where a zero stands beside it. */
static bool total(const Scalar *s)
{
    double value;
    if (s->kind == SCALAR_CONST)
        return s->value - s->value == 0;
    if (s->kind == SCALAR_READ)
        return !s->fill || total(s->fill);
    if (s->kind != SCALAR_FN)
        return true;
    for (size_t i = 0; i < s->n; i++)
        if (!total(s->args[i]))
            return false;
    if (s->op == OP_DIV)
        return sc_is_const(s->args[1], &value) && value != 0;
    return scalar_op_total(s->op);
}

/* A factor that is (or with `?? 0` becomes) zero outside its tensor. */
static const Scalar *zero_outside(const Scalar *factor)
{
    while (factor->kind == SCALAR_FN && factor->op == OP_CAST)
        factor = factor->args[0];
    return factor->kind == SCALAR_READ && (!factor->fill || sc_is_zero(factor->fill)) ? factor
                                                                                      : NULL;
}

/* Guards that hold wherever the body is not zero by its own factors. */
static Guards factor_ranges(Dense *dense, const Raw *raw)
{
    Guards ranges = {0};
    Factors parts = factors_of(dense->pool, dense->arena, raw->body);
    for (size_t i = 0; i < parts.factors.len; i++)
        if (!total(parts.factors.at[i]))
            return ranges;
    for (size_t i = 0; i < parts.factors.len; i++) {
        const Scalar *read = zero_outside(parts.factors.at[i]);
        if (!read)
            continue;
        const Node *tensor = graph_node(dense->graph, read->tensor);
        for (size_t k = 0; k < read->n; k++) {
            Guard range = {.lo = 0, .hi = tensor->dims[k], .position = read->at[k]};
            if (range.position->n > 0)
                VEC_PUSH(dense->arena, ranges, range);
        }
    }
    return ranges;
}

/* --- reads
 * ------------------------------------------------------------------------------------------------
 */
typedef struct Fills {
    Dense *dense;
    bool gathered;
} Fills;

static const Scalar *fill_read(void *context, ExprPool *pool, const Scalar *old, size_t rank,
                               const Position *const *at, const Scalar *fill)
{
    const Fills *fills = context;
    const Node *tensor = graph_node(fills->dense->graph, old->tensor);
    bool inside = true, promised = !fill;
    for (size_t k = 0; k < rank; k++) {
        bool proved = pos_in_range(at[k], tensor->dims[k]);
        inside = inside && proved;
        promised = promised && (proved || (at[k]->has_data && !fills->gathered));
    }
    if (inside || promised)
        fill = NULL;
    else if (!fill)
        fill = sc_const(pool, old->dtype, 0);
    return sc_read(pool, old->dtype, old->tensor, rank, at, fill);
}

/* --- the piece
 * --------------------------------------------------------------------------------------------- */
/* Left positions that intervals do not prove inside. A position with data needs a guard only where
 * the raw piece has one: a read without fill promises its range. */
static Guards store_guards(Dense *dense, const Raw *raw)
{
    Guards stores = {0};
    for (size_t k = 0; k < dense->rank; k++) {
        const Position *p = raw->left[k];
        if (pos_in_range(p, dense->dims[k]))
            continue;
        const Scalar *within = sc_within(dense->pool, 0, p, dense->dims[k]);
        assert(within->kind == SCALAR_WITHIN);
        bool needed = !p->has_data || raw->gathered;
        for (size_t i = 0; i < raw->guards.len; i++)
            needed |= raw->guards.at[i].position == within->at[0];
        Guard guard = {.lo = 0, .hi = dense->dims[k], .position = p};
        if (needed)
            VEC_PUSH(dense->arena, stores, guard);
    }
    return stores;
}

static const Scalar *guard_mask(Dense *dense, const Guards *guards)
{
    const Scalar *mask = sc_const(dense->pool, DT_BOOL, 1);
    for (size_t i = 0; i < guards->len; i++)
        mask = sc_fn2(
            dense->pool, OP_AND, mask,
            sc_within(dense->pool, guards->at[i].lo, guards->at[i].position, guards->at[i].hi));
    return mask;
}

/* Guards neither the factors, nor the stores, nor the other guards imply. */
static Guards open_guards(Dense *dense, const Raw *raw, const Guards *stores)
{
    Guards ranges = factor_ranges(dense, raw), open = {0}, known = {0};
    for (size_t i = 0; i < raw->guards.len; i++)
        if (!follows(dense, raw->guards.at[i], &ranges, SIZE_MAX))
            VEC_PUSH(dense->arena, open, raw->guards.at[i]);
    for (size_t i = 0; i < open.len;) {
        known.len = 0;
        for (size_t k = 0; k < open.len; k++)
            if (k != i)
                VEC_PUSH(dense->arena, known, open.at[k]);
        for (size_t k = 0; k < stores->len; k++)
            VEC_PUSH(dense->arena, known, stores->at[k]);
        if (follows(dense, open.at[i], &known, SIZE_MAX)) {
            for (size_t k = i + 1; k < open.len; k++)
                open.at[k - 1] = open.at[k];
            open.len--;
        } else {
            i++;
        }
    }
    return open;
}

/* A variable that nothing uses repeats the term: a factor. */
static void drop_unused(Dense *dense, Raw *raw)
{
    int64_t times = 1;
    for (size_t i = raw->vars.len; i-- > 0;) {
        const Var *v = raw->vars.at[i];
        bool used = raw_on_left(dense, raw, v) || sc_uses(raw->body, v);
        for (size_t k = 0; k < raw->guards.len; k++)
            used |= pos_uses(raw->guards.at[k].position, v);
        if (!used) {
            times *= v->extent;
            vars_drop(&raw->vars, v);
        }
    }
    if (times != 1)
        raw->body = sc_fn2(dense->pool, OP_MUL, raw->body,
                           sc_const(dense->pool, raw->body->dtype, (double)times));
}

void raw_finish(Dense *dense, Raw *raw)
{
    Guards stores = store_guards(dense, raw);
    Guards open = open_guards(dense, raw, &stores);
    Fills fills = {.dense = dense, .gathered = raw->gathered};
    raw->body = sc_masked(dense->pool, guard_mask(dense, &open), raw->body);
    raw->guards = stores;
    raw->body = sc_rewrite(dense->pool, raw->body, fill_read, &fills);
    for (size_t k = 0; k < dense->rank; k++)
        raw->left[k] = pos_rewrite(dense->pool, raw->left[k], fill_read, &fills);
    for (size_t i = 0; i < raw->guards.len; i++)
        raw->guards.at[i].position =
            pos_rewrite(dense->pool, raw->guards.at[i].position, fill_read, &fills);
    drop_unused(dense, raw);
}
