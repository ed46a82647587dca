/* derive: the derivative of a scalar body by one of its reads (differentiation.md 4).
 *
 * One row per scalar function, in terms of its arguments and its value. Masks stay outside, so
 * select(x > 0, log(x), 0) is right at 0. Nothing here knows of pieces, sums or tensors' adjoints.
 */
#include "passes/densify.h"

#include <assert.h>

typedef struct Derivation {
    const Graph *graph;
    ExprPool *pool;
    const Scalar *body, *read;
    const Scalar *value; /* may stand for body where a row uses the value; NULL: body itself */
    IdMap seen;          /* scalar id -> derivative, NULL where it is zero */
} Derivation;

static const Scalar *visit(Derivation *dv, const Scalar *s);

static const Scalar *num(Derivation *dv, const Scalar *like, double value)
{
    return sc_const(dv->pool, like->dtype, value);
}

static const Scalar *mul(Derivation *dv, const Scalar *a, const Scalar *b)
{
    return a && b ? sc_fn2(dv->pool, OP_MUL, a, b) : NULL;
}

static const Scalar *add(Derivation *dv, const Scalar *a, const Scalar *b)
{
    return a && b ? sc_fn2(dv->pool, OP_ADD, a, b) : a ? a : b;
}

static const Scalar *neg(Derivation *dv, const Scalar *a)
{
    return a ? sc_fn2(dv->pool, OP_MUL, num(dv, a, -1), a) : NULL;
}

static const Scalar *recip(Derivation *dv, const Scalar *a)
{
    return sc_fn2(dv->pool, OP_DIV, num(dv, a, 1), a);
}

/* a where the mask holds, else 0 */
static const Scalar *masked(Derivation *dv, const Scalar *mask, const Scalar *a)
{
    return a ? sc_fn3(dv->pool, OP_SELECT, mask, a, num(dv, a, 0)) : NULL;
}

static const Scalar *invert(Derivation *dv, const Scalar *mask)
{
    return sc_fn1(dv->pool, OP_NOT, mask);
}

/* The value of s, through the tensor that s defines where there is one. */
static const Scalar *value_of(const Derivation *dv, const Scalar *s)
{
    return s == dv->body && dv->value ? dv->value : s;
}

bool sc_positional(const Scalar *condition)
{
    if (condition->kind == SCALAR_WITHIN)
        return true;
    if (condition->kind != SCALAR_FN ||
        (condition->op != OP_AND && condition->op != OP_OR && condition->op != OP_NOT))
        return false;
    for (size_t i = 0; i < condition->n; i++)
        if (!sc_positional(condition->args[i]))
            return false;
    return true;
}

const Scalar *sc_inside(const Graph *graph, const Scalar *read)
{
    const Scalar *inside = sc_const(graph->pool, DT_BOOL, 1);
    const Node *tensor = graph_node(graph, read->tensor);
    for (size_t k = 0; k < read->n; k++)
        inside = sc_fn2(graph->pool, OP_AND, inside,
                        sc_within(graph->pool, 0, read->at[k], tensor->dims[k]));
    return inside;
}

/* A read inside a fill counts where the outer read is out of range. */
static const Scalar *through_fill(Derivation *dv, const Scalar *s)
{
    const Scalar *fill = s->fill ? visit(dv, s->fill) : NULL;
    return fill ? masked(dv, invert(dv, sc_inside(dv->graph, s)), fill) : NULL;
}

/* Both branches under one select, except where the condition speaks of positions only: there two
 * masked terms have different domains, and each becomes a piece of its own. */
static const Scalar *through_select(Derivation *dv, const Scalar *s)
{
    const Scalar *c = s->args[0], *a = visit(dv, s->args[1]), *b = visit(dv, s->args[2]);
    if (a && b && !sc_positional(c))
        return sc_fn3(dv->pool, OP_SELECT, c, a, b);
    return add(dv, masked(dv, c, a), b ? masked(dv, invert(dv, c), b) : NULL);
}

static const Scalar *through_product(Derivation *dv, const Scalar *s)
{
    const Scalar *sum = NULL;
    for (size_t i = 0; i < s->n; i++) {
        const Scalar *term = visit(dv, s->args[i]);
        for (size_t j = 0; j < s->n && term; j++)
            if (j != i)
                term = mul(dv, term, s->args[j]);
        sum = add(dv, sum, term);
    }
    return sum;
}

static const Scalar *through_power(Derivation *dv, const Scalar *s, const Scalar *da,
                                   const Scalar *db)
{
    const Scalar *a = s->args[0], *b = s->args[1];
    ExprPool *pool = dv->pool;
    const Scalar *sum = NULL;
    double c;
    if (da && sc_is_const(b, &c)) {
        const Scalar *lower = c == 2   ? a
                              : c == 1 ? num(dv, s, 1)
                                       : sc_fn2(pool, OP_POW, a, num(dv, s, c - 1));
        sum = mul(dv, da, sc_fn2(pool, OP_MUL, num(dv, s, c), lower));
    } else if (da) {
        const Scalar *lower = sc_fn2(pool, OP_POW, a, sc_fn2(pool, OP_SUB, b, num(dv, b, 1)));
        sum = mul(dv, da, sc_fn2(pool, OP_MUL, b, lower));
    }
    if (db) { /* 0 where the base is not positive */
        const Scalar *slope = sc_fn2(pool, OP_MUL, value_of(dv, s), sc_fn1(pool, OP_LOG, a));
        sum = add(dv, sum, masked(dv, sc_fn2(pool, OP_LT, num(dv, a, 0), a), mul(dv, db, slope)));
    }
    return sum;
}

/* d s / d args[0], for functions of one argument; a: the argument, y: the value. NULL: zero. */
static const Scalar *slope(Derivation *dv, const Scalar *s, const Scalar *a, const Scalar *y)
{
    ExprPool *pool = dv->pool;
    switch (s->op) {
    case OP_NEG:
        return num(dv, s, -1);
    case OP_ABS:
        return sc_fn1(pool, OP_SIGN, a);
    case OP_EXP:
        return y;
    case OP_EXPM1:
        return add(dv, y, num(dv, s, 1));
    case OP_LOG:
        return recip(dv, a);
    case OP_LOG1P:
        return recip(dv, add(dv, a, num(dv, s, 1)));
    case OP_LOG2:
        return mul(dv, recip(dv, a), num(dv, s, 1.4426950408889634)); /* 1 / ln 2 */
    case OP_SQRT:
        return mul(dv, recip(dv, y), num(dv, s, 0.5));
    case OP_RSQRT:
        return mul(dv, num(dv, s, -0.5), mul(dv, y, mul(dv, y, y)));
    case OP_SIN:
        return sc_fn1(pool, OP_COS, a);
    case OP_COS:
        return neg(dv, sc_fn1(pool, OP_SIN, a));
    case OP_TAN:
        return add(dv, mul(dv, y, y), num(dv, s, 1));
    case OP_ASIN:
        return sc_fn1(pool, OP_RSQRT, add(dv, num(dv, s, 1), neg(dv, mul(dv, a, a))));
    case OP_ACOS:
        return neg(dv, sc_fn1(pool, OP_RSQRT, add(dv, num(dv, s, 1), neg(dv, mul(dv, a, a)))));
    case OP_ATAN:
        return recip(dv, add(dv, mul(dv, a, a), num(dv, s, 1)));
    case OP_SINH:
        return sc_fn1(pool, OP_COSH, a);
    case OP_COSH:
        return sc_fn1(pool, OP_SINH, a);
    case OP_TANH:
        return add(dv, num(dv, s, 1), neg(dv, mul(dv, y, y)));
    case OP_ERF: /* 2/sqrt(pi) */
        return mul(dv, num(dv, s, 1.1283791670955126),
                   sc_fn1(pool, OP_EXP, neg(dv, mul(dv, a, a))));
    case OP_CAST:
        return num(dv, s, 1);
    case OP_STOP:
    case OP_SIGN:
    case OP_FLOOR:
    case OP_CEIL:
    case OP_ROUND:
    case OP_NOT:
    case OP_ISNAN:
    case OP_ISINF:
        return NULL;
    case OP_ADD:
    case OP_MUL:
    case OP_SUB:
    case OP_DIV:
    case OP_IDIV:
    case OP_MOD:
    case OP_POW:
    case OP_MAX:
    case OP_MIN:
    case OP_ATAN2:
    case OP_EQ:
    case OP_NE:
    case OP_LT:
    case OP_LE:
    case OP_AND:
    case OP_OR:
    case OP_SELECT:
    case OP_COUNT:
        break;
    }
    assert(false && "a function of one argument");
    return NULL;
}

static const Scalar *through_one(Derivation *dv, const Scalar *s)
{
    const Scalar *da = visit(dv, s->args[0]);
    if (!da)
        return NULL;
    if (s->op == OP_CAST && !dtype_is_short(s->dtype)) /* values are rounded, slopes are not */
        da = sc_cast(dv->pool, s->dtype, da);
    return mul(dv, da, slope(dv, s, s->args[0], value_of(dv, s)));
}

static const Scalar *through_two(Derivation *dv, const Scalar *s)
{
    ExprPool *pool = dv->pool;
    const Scalar *a = s->args[0], *b = s->args[1];
    const Scalar *da = visit(dv, a), *db = visit(dv, b);
    if (!da && !db)
        return NULL;
    switch (s->op) {
    case OP_SUB:
        return add(dv, da, neg(dv, db));
    case OP_DIV:
        return mul(dv, recip(dv, b),
                   add(dv, da, db ? neg(dv, mul(dv, value_of(dv, s), db)) : NULL));
    case OP_MOD: /* a - b * floor(a / b) */
        return add(dv, da,
                   db ? neg(dv, mul(dv, sc_fn1(pool, OP_FLOOR, sc_fn2(pool, OP_DIV, a, b)), db))
                      : NULL);
    case OP_POW:
        return through_power(dv, s, da, db);
    case OP_MAX: /* a tie goes to the second argument: max(x, 0) has slope 0 at 0 */
    case OP_MIN: {
        const Scalar *first =
            s->op == OP_MAX ? sc_fn2(pool, OP_LT, b, a) : sc_fn2(pool, OP_LT, a, b);
        if (da && db)
            return sc_fn3(pool, OP_SELECT, first, da, db);
        return da ? masked(dv, first, da) : masked(dv, invert(dv, first), db);
    }
    case OP_ATAN2: {
        const Scalar *square = recip(dv, add(dv, mul(dv, a, a), mul(dv, b, b)));
        return mul(dv, square, add(dv, mul(dv, da, b), neg(dv, mul(dv, db, a))));
    }
    case OP_IDIV:
    case OP_EQ:
    case OP_NE:
    case OP_LT:
    case OP_LE:
        return NULL;
    case OP_ADD:
    case OP_MUL:
    case OP_NEG:
    case OP_ABS:
    case OP_SIGN:
    case OP_FLOOR:
    case OP_CEIL:
    case OP_ROUND:
    case OP_EXP:
    case OP_EXPM1:
    case OP_LOG:
    case OP_LOG1P:
    case OP_LOG2:
    case OP_SQRT:
    case OP_RSQRT:
    case OP_SIN:
    case OP_COS:
    case OP_TAN:
    case OP_ASIN:
    case OP_ACOS:
    case OP_ATAN:
    case OP_SINH:
    case OP_COSH:
    case OP_TANH:
    case OP_ERF:
    case OP_AND:
    case OP_OR:
    case OP_NOT:
    case OP_ISNAN:
    case OP_ISINF:
    case OP_SELECT:
    case OP_STOP:
    case OP_CAST:
    case OP_COUNT:
        break;
    }
    assert(false && "a function of two arguments");
    return NULL;
}

static const Scalar *through_fn(Derivation *dv, const Scalar *s)
{
    if (!dtype_is_float(s->dtype))
        return NULL;
    if (s->op == OP_ADD) {
        const Scalar *sum = NULL;
        for (size_t i = 0; i < s->n; i++)
            sum = add(dv, sum, visit(dv, s->args[i]));
        return sum;
    }
    if (s->op == OP_MUL)
        return through_product(dv, s);
    if (s->op == OP_SELECT)
        return through_select(dv, s);
    return s->n == 1 ? through_one(dv, s) : through_two(dv, s);
}

static const Scalar *visit(Derivation *dv, const Scalar *s)
{
    const void *known;
    if (idmap_get(&dv->seen, s->id, &known))
        return known;
    const Scalar *d = NULL;
    if (s == dv->read)
        d = num(dv, s, 1);
    else if (s->kind == SCALAR_READ)
        d = through_fill(dv, s);
    else if (s->kind == SCALAR_FN)
        d = through_fn(dv, s);
    double c;
    if (d && sc_is_const(d, &c) && c == 0)
        d = NULL;
    idmap_set(&dv->seen, s->id, d);
    return d;
}

const Scalar *derive(const Graph *graph, const Scalar *body, const Scalar *read,
                     const Scalar *value)
{
    Derivation dv = {.graph = graph,
                     .pool = graph->pool,
                     .body = body,
                     .read = read,
                     .value = value,
                     .seen = idmap_new(graph->arena)};
    return visit(&dv, body);
}
