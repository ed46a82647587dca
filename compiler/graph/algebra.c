/* algebra: the canonical form of functions whose arguments are canonical already and have the dtypes
 * that scalar.c gave them. Finite values are assumed: 0*x is 0, x - x is 0. */
#include "graph/internal.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool is_value(const Scalar *s, double value)
{
    return s->kind == SCALAR_CONST && s->value == value;
}

static bool is_fn(const Scalar *s, ScalarOp op)
{
    return s->kind == SCALAR_FN && s->op == op;
}

/* select(c, a, 0) */
static bool is_masked(const Scalar *s)
{
    return is_fn(s, OP_SELECT) && is_value(s->args[2], 0);
}

static const Scalar *fn1(ExprPool *pool, ScalarOp op, DType dtype, const Scalar *a)
{
    return algebra_fn(pool, op, dtype, 1, &a);
}

static const Scalar *fn2(ExprPool *pool, ScalarOp op, DType dtype, const Scalar *a,
                         const Scalar *b)
{
    return algebra_fn(pool, op, dtype, 2, (const Scalar *const[]){a, b});
}

/* --- sums ------------------------------------------------------------------------------------------ */
typedef struct LinearTerm {
    double coef;
    const Scalar *of;
} LinearTerm;
typedef struct Linear {
    ExprPool *pool;
    DType dtype;
    double constant;
    const Position *index;            /* sum of the INDEX terms, i32 only */
    VEC(LinearTerm) terms;
} Linear;

static const Scalar *without_constant(ExprPool *pool, const Scalar *product)
{
    return product->n == 2 ? product->args[1]
                           : scalar_of(pool, OP_MUL, product->dtype, product->n - 1,
                                       product->args + 1);
}

static void linear_add(Linear *sum, double coef, const Scalar *s)
{
    if (s->kind == SCALAR_CONST) {
        sum->constant += coef * s->value;
        return;
    }
    if (s->kind == SCALAR_INDEX && fabs(coef) < 0x1p53) {
        const Position *p = pos_scale(sum->pool, s->at[0], (int64_t)coef);
        sum->index = sum->index ? pos_add(sum->pool, sum->index, p) : p;
        return;
    }
    if (is_fn(s, OP_ADD) && (fabs(coef) == 1 || !dtype_is_float(sum->dtype))) {
        for (size_t i = 0; i < s->n; i++)
            linear_add(sum, coef, s->args[i]);
        return;
    }
    if (is_fn(s, OP_MUL) && s->args[0]->kind == SCALAR_CONST) {
        linear_add(sum, coef * s->args[0]->value, without_constant(sum->pool, s));
        return;
    }
    for (size_t i = 0; i < sum->terms.len; i++) {
        if (sum->terms.at[i].of == s) {
            sum->terms.at[i].coef += coef;
            return;
        }
    }
    LinearTerm term = {.coef = coef, .of = s};
    VEC_PUSH(sum->pool->arena, sum->terms, term);
}

static int by_term_id(const void *a, const void *b)
{
    const LinearTerm *x = a, *y = b;
    return (x->of->id > y->of->id) - (x->of->id < y->of->id);
}

static const Scalar *times(ExprPool *pool, DType dtype, double coef, const Scalar *s)
{
    if (coef == 1)
        return s;
    const Scalar *args[] = {sc_const(pool, dtype, coef), s};
    return algebra_product(pool, dtype, 2, args);
}

const Scalar *algebra_sum(ExprPool *pool, DType dtype, size_t n, const Scalar *const *args)
{
    Linear sum = {.pool = pool, .dtype = dtype};
    for (size_t i = 0; i < n; i++)
        linear_add(&sum, 1, args[i]);
    if (sum.terms.len > 1)
        qsort(sum.terms.at, sum.terms.len, sizeof *sum.terms.at, by_term_id);
    const Scalar **all = NEW_ARRAY(pool->arena, const Scalar *, sum.terms.len + 2);
    size_t n_all = 0;
    if (sum.index) {
        const Position *p = pos_shift(pool, sum.index, (int64_t)sum.constant);
        sum.constant = 0;
        all[n_all++] = sc_index(pool, p);
        if (is_value(all[0], 0))
            n_all = 0;
    }
    if (sum.constant != 0)
        all[n_all++] = sc_const(pool, dtype, sum.constant);
    for (size_t i = 0; i < sum.terms.len; i++)
        if (sum.terms.at[i].coef != 0)
            all[n_all++] = times(pool, dtype, sum.terms.at[i].coef, sum.terms.at[i].of);
    if (n_all == 0)
        return sc_const(pool, dtype, 0);
    return n_all == 1 ? all[0] : scalar_of(pool, OP_ADD, dtype, n_all, all);
}

/* --- products ----------------------------------------------------------------------------------------- */
typedef struct Factors {
    ExprPool *pool;
    double constant;
    const Scalar *mask;               /* NULL: none */
    VEC(const Scalar *) list;
} Factors;

/* a * b = 1 */
static bool cancels(const Scalar *a, const Scalar *b)
{
    return (is_fn(a, OP_DIV) && a->args[1] == b) || (is_fn(b, OP_DIV) && b->args[1] == a) ||
           (is_fn(a, OP_SQRT) && is_fn(b, OP_RSQRT) && a->args[0] == b->args[0]) ||
           (is_fn(a, OP_RSQRT) && is_fn(b, OP_SQRT) && a->args[0] == b->args[0]);
}

static void factor_push(Factors *f, const Scalar *s)
{
    for (size_t i = 0; i < f->list.len; i++)
        if (cancels(f->list.at[i], s)) {
            f->list.at[i] = f->list.at[--f->list.len];
            return;
        }
    VEC_PUSH(f->pool->arena, f->list, s);
}

static void factors_add(Factors *f, const Scalar *s)
{
    if (s->kind == SCALAR_CONST) {
        f->constant *= s->value;
    } else if (is_fn(s, OP_MUL)) {
        for (size_t i = 0; i < s->n; i++)
            factors_add(f, s->args[i]);
    } else if (is_masked(s)) {
        f->mask = f->mask ? fn2(f->pool, OP_AND, DT_BOOL, f->mask, s->args[0]) : s->args[0];
        factors_add(f, s->args[1]);
    } else {
        factor_push(f, s);
    }
}

static int by_id(const void *a, const void *b)
{
    const Scalar *x = *(const Scalar *const *)a, *y = *(const Scalar *const *)b;
    return (x->id > y->id) - (x->id < y->id);
}

static const Scalar *product_of(Factors *f, DType dtype)
{
    ExprPool *pool = f->pool;
    if (f->list.len == 0)
        return sc_const(pool, dtype, f->constant);
    if (f->list.len > 1)
        qsort(f->list.at, f->list.len, sizeof *f->list.at, by_id);
    if (f->constant == 1)
        return f->list.len == 1 ? f->list.at[0]
                                : scalar_of(pool, OP_MUL, dtype, f->list.len, f->list.at);
    if (f->list.len == 1 && f->list.at[0]->kind == SCALAR_INDEX && fabs(f->constant) < 0x1p53)
        return sc_index(pool, pos_scale(pool, f->list.at[0]->at[0], (int64_t)f->constant));
    const Scalar **all = NEW_ARRAY(pool->arena, const Scalar *, f->list.len + 1);
    all[0] = sc_const(pool, dtype, f->constant);
    memcpy(all + 1, f->list.at, f->list.len * sizeof *all);
    return scalar_of(pool, OP_MUL, dtype, f->list.len + 1, all);
}

const Scalar *algebra_product(ExprPool *pool, DType dtype, size_t n, const Scalar *const *args)
{
    Factors f = {.pool = pool, .constant = 1};
    for (size_t i = 0; i < n; i++)
        factors_add(&f, args[i]);
    if (f.constant == 0)
        return sc_const(pool, dtype, 0);
    const Scalar *product = product_of(&f, dtype);
    if (!f.mask)
        return product;
    const Scalar *select[] = {f.mask, product, sc_const(pool, dtype, 0)};
    return algebra_fn(pool, OP_SELECT, dtype, 3, select);
}

/* 1 / b */
static const Scalar *reciprocal(ExprPool *pool, const Scalar *b)
{
    if (b->kind == SCALAR_CONST)
        return sc_const(pool, b->dtype, 1 / b->value);
    if (is_fn(b, OP_DIV))
        return b->args[1];                              /* canonical DIV is 1 / x */
    if (is_fn(b, OP_SQRT))
        return fn1(pool, OP_RSQRT, b->dtype, b->args[0]);
    if (is_fn(b, OP_RSQRT))
        return fn1(pool, OP_SQRT, b->dtype, b->args[0]);
    if (is_fn(b, OP_MUL) && b->args[0]->kind == SCALAR_CONST)
        return times(pool, b->dtype, 1 / b->args[0]->value,
                     reciprocal(pool, without_constant(pool, b)));
    const Scalar *args[] = {sc_const(pool, b->dtype, 1), b};
    return scalar_of(pool, OP_DIV, b->dtype, 2, args);
}

static const Scalar *power(ExprPool *pool, DType dtype, const Scalar *a, const Scalar *b)
{
    const Scalar *args[] = {a, b};
    if (is_value(a, 1))
        return a;
    if (b->kind != SCALAR_CONST)
        return scalar_of(pool, OP_POW, dtype, 2, args);
    double k = b->value;
    if (k < 0 && (k == -0.5 || (k >= -4 && k == trunc(k))))
        return reciprocal(pool, power(pool, dtype, a, sc_const(pool, dtype, -k)));
    if (k == 0)
        return sc_const(pool, dtype, 1);
    if (k == 0.5)
        return fn1(pool, OP_SQRT, dtype, a);
    if (k <= 4 && k == trunc(k)) {
        const Scalar *factors[4] = {a, a, a, a};
        return algebra_product(pool, dtype, (size_t)k, factors);
    }
    return scalar_of(pool, OP_POW, dtype, 2, args);
}

/* --- conditions --------------------------------------------------------------------------------------- */
static bool mentions_index(const Scalar *s)
{
    if (s->kind == SCALAR_INDEX)
        return true;
    if (s->kind != SCALAR_FN || s->dtype == DT_BOOL || dtype_is_float(s->dtype))
        return false;
    if (s->op != OP_ADD && s->op != OP_MUL && s->op != OP_IDIV && s->op != OP_MOD &&
        s->op != OP_CAST)
        return false;
    for (size_t i = 0; i < s->n; i++)
        if (!dtype_is_float(s->args[i]->dtype) && mentions_index(s->args[i]))
            return true;
    return false;
}

static const Scalar *negation(ExprPool *pool, const Scalar *a)
{
    if (is_fn(a, OP_NOT))
        return a->args[0];
    if (is_fn(a, OP_EQ) || is_fn(a, OP_NE))
        return scalar_of(pool, a->op == OP_EQ ? OP_NE : OP_EQ, DT_BOOL, 2, a->args);
    if (a->kind == SCALAR_WITHIN && a->lo <= a->at[0]->min)
        return sc_within(pool, a->hi, a->at[0], INT64_MAX);
    if (a->kind == SCALAR_WITHIN && a->hi > a->at[0]->max)
        return sc_within(pool, INT64_MIN, a->at[0], a->lo);
    return scalar_of(pool, OP_NOT, DT_BOOL, 1, &a);
}

static const Scalar *comparison(ExprPool *pool, ScalarOp op, const Scalar *a, const Scalar *b)
{
    bool is_int = !dtype_is_float(a->dtype);
    if (is_int && a == b)
        return sc_const(pool, DT_BOOL, op == OP_EQ || op == OP_LE);
    if (is_int && a->dtype != DT_BOOL && (mentions_index(a) || mentions_index(b))) {
        const Position *d = pos_sub(pool, pos_data(pool, b), pos_data(pool, a));
        switch (op) {
        case OP_EQ: return sc_within(pool, 0, d, 1);
        case OP_NE: return negation(pool, sc_within(pool, 0, d, 1));
        case OP_LT: return sc_within(pool, 1, d, INT64_MAX);
        default: return sc_within(pool, 0, d, INT64_MAX);
        }
    }
    bool swap = (op == OP_EQ || op == OP_NE) && a->id > b->id;
    const Scalar *args[] = {swap ? b : a, swap ? a : b};
    return scalar_of(pool, op, DT_BOOL, 2, args);
}

typedef VEC(const Scalar *) Conditions;

static void conditions_add(ExprPool *pool, Conditions *all, ScalarOp op, const Scalar *s)
{
    if (is_fn(s, op)) {
        conditions_add(pool, all, op, s->args[0]);
        conditions_add(pool, all, op, s->args[1]);
        return;
    }
    for (size_t i = 0; i < all->len; i++) {
        const Scalar *have = all->at[i];
        if (have == s)
            return;
        if (op == OP_AND && have->kind == SCALAR_WITHIN && s->kind == SCALAR_WITHIN &&
            have->at[0] == s->at[0]) {
            all->at[i] = sc_within(pool, have->lo > s->lo ? have->lo : s->lo, s->at[0],
                                   have->hi < s->hi ? have->hi : s->hi);
            return;
        }
    }
    VEC_PUSH(pool->arena, *all, s);
}

/* AND and OR: a chain of distinct conditions by ascending id. */
static const Scalar *junction(ExprPool *pool, ScalarOp op, const Scalar *a, const Scalar *b)
{
    Conditions all = {0};
    conditions_add(pool, &all, op, a);
    conditions_add(pool, &all, op, b);
    double deciding = op == OP_AND ? 0 : 1;
    size_t n = 0;
    for (size_t i = 0; i < all.len; i++) {
        if (is_value(all.at[i], deciding))
            return all.at[i];
        if (all.at[i]->kind != SCALAR_CONST)
            all.at[n++] = all.at[i];
    }
    if (n == 0)
        return sc_const(pool, DT_BOOL, 1 - deciding);
    qsort(all.at, n, sizeof *all.at, by_id);
    const Scalar *chain = all.at[0];
    for (size_t i = 1; i < n; i++) {
        const Scalar *args[] = {chain, all.at[i]};
        chain = scalar_of(pool, op, DT_BOOL, 2, args);
    }
    return chain;
}

static const Scalar *selection(ExprPool *pool, DType dtype, const Scalar *c, const Scalar *a,
                               const Scalar *b)
{
    if (c->kind == SCALAR_CONST)
        return c->value != 0 ? a : b;
    if (is_fn(a, OP_SELECT) && a->args[0] == c)
        a = a->args[1];
    if (is_fn(b, OP_SELECT) && b->args[0] == c)
        b = b->args[2];
    if (a == b)
        return a;
    if (dtype == DT_BOOL && is_value(a, 1) && is_value(b, 0))
        return c;
    if (is_value(a, 0) || (is_fn(c, OP_NOT) && !is_value(b, 0))) {
        c = negation(pool, c);
        const Scalar *swap = a;
        a = b;
        b = swap;
    }
    if (dtype == DT_BOOL && is_value(b, 0))
        return junction(pool, OP_AND, c, a);
    if (is_value(b, 0) && is_masked(a))
        return selection(pool, dtype, junction(pool, OP_AND, c, a->args[0]), a->args[1], b);
    const Scalar *args[] = {c, a, b};
    return scalar_of(pool, OP_SELECT, dtype, 3, args);
}

/* --- the rest --------------------------------------------------------------------------------------------- */
static bool is_index_like(const Scalar *s, const Position **p, ExprPool *pool)
{
    if (s->kind != SCALAR_INDEX && (s->kind != SCALAR_CONST || s->dtype != DT_I32))
        return false;
    *p = pos_data(pool, s);
    return true;
}

/* max and min of indices, settled by ranges: the argument that always wins; NULL if none does. */
static const Scalar *winner(ExprPool *pool, ScalarOp op, const Scalar *a, const Scalar *b)
{
    const Position *p, *q;
    if (a == b)
        return a;
    if (!is_index_like(a, &p, pool) || !is_index_like(b, &q, pool))
        return NULL;
    const Position *d = pos_sub(pool, p, q);
    if (d->min >= 0)
        return op == OP_MAX ? a : b;
    if (d->max <= 0)
        return op == OP_MAX ? b : a;
    return NULL;
}

static const Scalar *int_division(ExprPool *pool, ScalarOp op, DType dtype, const Scalar *a,
                                  const Scalar *b)
{
    const Scalar *args[] = {a, b};
    bool is_int = !dtype_is_float(dtype);
    if (is_int && is_value(b, 1))
        return op == OP_IDIV ? a : sc_const(pool, dtype, 0);
    if (is_int && b->kind == SCALAR_CONST && b->value > 0 && a->kind == SCALAR_INDEX) {
        int64_t by = (int64_t)b->value;
        return sc_index(pool, op == OP_IDIV ? pos_div(pool, a->at[0], by)
                                            : pos_mod(pool, a->at[0], by));
    }
    return scalar_of(pool, op, dtype, 2, args);
}

/* The same value in a shorter float, where it is chosen among such values and needs no rounding: relu of a
 * bf16 tensor. NULL: it is not. */
static const Scalar *chosen(ExprPool *pool, DType dtype, const Scalar *a)
{
    if (a->dtype == dtype)
        return a;
    if (a->kind == SCALAR_CONST) {
        const Scalar *c = sc_const(pool, dtype, a->value);
        return c->value == a->value ? c : NULL;
    }
    if (is_fn(a, OP_CAST))
        return a->args[0]->dtype == dtype ? a->args[0] : NULL;
    size_t first = is_fn(a, OP_SELECT);
    if (!is_fn(a, OP_SELECT) && !is_fn(a, OP_MAX) && !is_fn(a, OP_MIN) && !is_fn(a, OP_ABS))
        return NULL;
    const Scalar *args[3] = {a->args[0]};
    for (size_t i = first; i < a->n; i++) {
        args[i] = chosen(pool, dtype, a->args[i]);
        if (!args[i])
            return NULL;
    }
    return sc_fn(pool, a->op, a->n, args);
}

const Scalar *algebra_cast(ExprPool *pool, DType dtype, const Scalar *a)
{
    if (a->kind == SCALAR_CONST)
        return sc_const(pool, dtype, a->value);
    const Scalar *same = dtype_is_short(dtype) && a->dtype == DT_F32 ? chosen(pool, dtype, a) : NULL;
    if (same)
        return same;
    if (dtype == DT_BOOL)
        return comparison(pool, OP_NE, a, sc_const(pool, a->dtype, 0));
    if (a->dtype == DT_BOOL) {
        return selection(pool, dtype, a, sc_const(pool, dtype, 1), sc_const(pool, dtype, 0));
    }
    if (is_fn(a, OP_SELECT) && a->args[1]->kind == SCALAR_CONST &&
        a->args[2]->kind == SCALAR_CONST)
        return selection(pool, dtype, a->args[0], sc_const(pool, dtype, a->args[1]->value),
                         sc_const(pool, dtype, a->args[2]->value));
    if (is_fn(a, OP_CAST) && a->args[0]->dtype == dtype &&
        dtype_is_float(dtype) == dtype_is_float(a->dtype) &&
        dtype_widen(dtype, a->dtype) == a->dtype)
        return a->args[0];                              /* there and back, exactly */
    return scalar_of(pool, OP_CAST, dtype, 1, &a);
}

static const Scalar *fold_constants(ExprPool *pool, ScalarOp op, DType dtype, size_t n,
                                    const Scalar *const *args)
{
    double values[3];
    if (n > 3)
        return NULL;
    for (size_t i = 0; i < n; i++)
        if (!sc_is_const(args[i], &values[i]))
            return NULL;
    if ((op == OP_IDIV || op == OP_MOD) && !dtype_is_float(dtype) && values[1] == 0)
        return NULL;                                    /* ints have no infinity */
    return sc_const(pool, dtype, scalar_fold(op, dtype, n, values));
}

const Scalar *algebra_fn(ExprPool *pool, ScalarOp op, DType dtype, size_t n,
                         const Scalar *const *args)
{
    const Scalar *folded = fold_constants(pool, op, dtype, n, args);
    if (folded)
        return folded;
    const Scalar *a = args[0], *b = n > 1 ? args[1] : NULL;
    bool is_int = !dtype_is_float(a->dtype);
    switch (op) {
    case OP_ADD:
        return algebra_sum(pool, dtype, n, args);
    case OP_MUL:
        return algebra_product(pool, dtype, n, args);
    case OP_SUB: {
        const Scalar *terms[] = {a, times(pool, dtype, -1, b)};
        return algebra_sum(pool, dtype, 2, terms);
    }
    case OP_NEG: {
        const Scalar *minus = times(pool, dtype, -1, a);
        return algebra_sum(pool, dtype, 1, &minus);
    }
    case OP_DIV: {
        const Scalar *factors[] = {a, reciprocal(pool, b)};
        return algebra_product(pool, dtype, 2, factors);
    }
    case OP_POW:
        return power(pool, dtype, a, b);
    case OP_IDIV:
    case OP_MOD:
        return int_division(pool, op, dtype, a, b);
    case OP_MAX:
    case OP_MIN: {
        const Scalar *wins = winner(pool, op, a, b);
        return wins ? wins : scalar_of(pool, op, dtype, 2, args);
    }
    case OP_EQ:
    case OP_NE:
    case OP_LT:
    case OP_LE:
        return comparison(pool, op, a, b);
    case OP_AND:
    case OP_OR:
        return junction(pool, op, a, b);
    case OP_NOT:
        return negation(pool, a);
    case OP_SELECT:
        return selection(pool, dtype, a, b, args[2]);
    case OP_STOP:
        return is_int || pool->no_stops || is_fn(a, OP_STOP) ? a : scalar_of(pool, op, dtype, 1, args);
    case OP_ISNAN:
    case OP_ISINF:
        return is_int ? sc_const(pool, DT_BOOL, 0) : scalar_of(pool, op, dtype, 1, args);
    case OP_CAST:
        return algebra_cast(pool, dtype, a);
    case OP_ABS: case OP_SIGN: case OP_FLOOR: case OP_CEIL: case OP_ROUND: case OP_EXP:
    case OP_EXPM1: case OP_LOG: case OP_LOG1P: case OP_LOG2: case OP_SQRT: case OP_RSQRT:
    case OP_SIN: case OP_COS: case OP_TAN: case OP_ASIN: case OP_ACOS: case OP_ATAN:
    case OP_ATAN2: case OP_SINH: case OP_COSH: case OP_TANH: case OP_ERF:
        return scalar_of(pool, op, dtype, n, args);
    case OP_COUNT:
        break;
    }
    assert(false && "a scalar function");
    return NULL;
}
