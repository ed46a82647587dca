/* scalar: leaves, conditions on positions, and the dtypes of functions' arguments and results. What
 * functions simplify to is in algebra.c. */
#include "graph/internal.h"

#include <assert.h>
#include <math.h>

const Scalar *sc_const(ExprPool *pool, DType dtype, double value)
{
    value = scalar_fold(OP_CAST, dtype, 1, &value);
    return scalar_intern(pool, &(Scalar){.kind = SCALAR_CONST, .dtype = dtype,
                                         .tensor = NODE_NONE, .value = value});
}

bool sc_is_const(const Scalar *s, double *value)
{
    if (s->kind == SCALAR_CONST)
        *value = s->value;
    return s->kind == SCALAR_CONST;
}

const Scalar *sc_index(ExprPool *pool, const Position *p)
{
    int64_t value;
    if (pos_is_const(p, &value))
        return sc_const(pool, DT_I32, (double)value);
    return scalar_intern(pool, &(Scalar){.kind = SCALAR_INDEX, .dtype = DT_I32,
                                         .tensor = NODE_NONE, .n = 1, .at = &p});
}

const Scalar *sc_read(ExprPool *pool, DType dtype, NodeId tensor, size_t rank,
                      const Position *const *at, const Scalar *fill)
{
    if (fill && fill->dtype != dtype)
        fill = sc_cast(pool, dtype, fill);
    return scalar_intern(pool, &(Scalar){.kind = SCALAR_READ, .dtype = dtype, .tensor = tensor,
                                         .n = rank, .at = at, .fill = fill});
}

const Scalar *sc_random(ExprPool *pool, uint64_t key, const Position *counter)
{
    return scalar_intern(pool, &(Scalar){.kind = SCALAR_RANDOM, .dtype = DT_F32,
                                         .tensor = NODE_NONE, .n = 1, .at = &counter, .key = key});
}

static int64_t ceil_div(int64_t a, int64_t by)
{
    return -floor_div(-a, by);
}

static int64_t common_factor(const Position *p)
{
    int64_t g = 0;
    for (size_t i = 0; i < p->n; i++) {
        int64_t a = p->terms[i].coef < 0 ? -p->terms[i].coef : p->terms[i].coef;
        while (a != 0) {
            int64_t r = g % a;
            g = a;
            a = r;
        }
    }
    return g;
}

static const Position *divided(ExprPool *pool, const Position *p, int64_t g)
{
    const Position *sum = pos_const(pool, p->constant / g);
    for (size_t i = 0; i < p->n; i++) {
        Term term = {.coef = 1, .atom = p->terms[i].atom};
        const Position *atom = position_intern(pool, 0, 1, &term);
        sum = pos_add(pool, sum, pos_scale(pool, atom, p->terms[i].coef / g));
    }
    return sum;
}

/* Canonical: no constant, first coefficient positive, coefficients without common factor, no lone
 * quotient, bounds clipped to the position's range (so `hi` above the range means: no bound). */
const Scalar *sc_within(ExprPool *pool, int64_t lo, const Position *p, int64_t hi)
{
    lo = lo < p->min ? p->min : lo;
    hi = hi > p->max ? size_add(pool, p->max, 1) : hi;
    if (lo >= hi)
        return sc_const(pool, DT_BOOL, 0);
    if (lo <= p->min && hi > p->max)
        return sc_const(pool, DT_BOOL, 1);
    if (p->constant != 0)
        return sc_within(pool, lo - p->constant, pos_shift(pool, p, -p->constant),
                         hi - p->constant);
    if (p->terms[0].coef < 0)
        return sc_within(pool, 1 - hi, pos_scale(pool, p, -1), 1 - lo);
    int64_t g = common_factor(p);
    if (g > 1)
        return sc_within(pool, ceil_div(lo, g), divided(pool, p, g), ceil_div(hi, g));
    if (p->n == 1 && p->terms[0].atom->kind == ATOM_DIV) {
        const Atom *div = p->terms[0].atom;
        return sc_within(pool, size_mul(pool, lo, div->by), div->of, size_mul(pool, hi, div->by));
    }
    return scalar_intern(pool, &(Scalar){.kind = SCALAR_WITHIN, .dtype = DT_BOOL,
                                         .tensor = NODE_NONE, .n = 1, .at = &p, .lo = lo,
                                         .hi = hi});
}

/* --- functions -------------------------------------------------------------------------------------- */
typedef enum TypeRule { TYPE_SAME, TYPE_REAL, TYPE_BOOL, TYPE_LOGIC, TYPE_PICK, TYPE_CAST } TypeRule;
typedef enum Range { RANGE_TOTAL, RANGE_PARTIAL } Range;
typedef struct OpRow {
    int arity;
    TypeRule type;
    Range range;
} OpRow;
static const OpRow op_rows[] = {
#define SCALAR(id, name, arity, type, range) [OP_##id] = {arity, TYPE_##type, RANGE_##range},
#include "graph/scalar.def"
#undef SCALAR
};

bool scalar_op_total(ScalarOp op)
{
    return op_rows[op].range == RANGE_TOTAL;
}

/* Sums of bools and bytes are counted in i32; picking keeps them. */
static bool counts(ScalarOp op)
{
    return op == OP_ADD || op == OP_MUL || op == OP_SUB || op == OP_NEG || op == OP_IDIV ||
           op == OP_MOD || op == OP_SIGN || op == OP_ABS;
}

const Scalar *sc_cast(ExprPool *pool, DType dtype, const Scalar *a)
{
    return a->dtype == dtype ? a : algebra_cast(pool, dtype, a);
}

enum { ARGS_LOCAL = 16 };

const Scalar *sc_fn(ExprPool *pool, ScalarOp op, size_t n, const Scalar *const *args)
{
    OpRow row = op_rows[op];
    assert(op != OP_CAST && (row.arity < 0 ? n >= 1 : n == (size_t)row.arity));
    size_t first = row.type == TYPE_PICK ? 1 : 0;
    DType wide = args[first]->dtype;
    for (size_t i = first + 1; i < n; i++)
        wide = dtype_widen(wide, args[i]->dtype);
    if (row.type == TYPE_REAL && !dtype_is_float(wide))
        wide = DT_F32;
    if (row.type == TYPE_LOGIC)
        wide = DT_BOOL;
    if (counts(op) && wide < DT_I32)
        wide = DT_I32;
    const Scalar *local[ARGS_LOCAL];
    const Scalar **same = n <= ARGS_LOCAL ? local : NEW_ARRAY(pool->arena, const Scalar *, n);
    for (size_t i = 0; i < n; i++)
        same[i] = i < first ? sc_cast(pool, DT_BOOL, args[i]) : sc_cast(pool, wide, args[i]);
    DType result = row.type == TYPE_BOOL ? DT_BOOL : wide;
    if (op == OP_ADD)
        return algebra_sum(pool, result, n, same);
    if (op == OP_MUL)
        return algebra_product(pool, result, n, same);
    return algebra_fn(pool, op, result, n, same);
}

const Scalar *sc_fn1(ExprPool *pool, ScalarOp op, const Scalar *a)
{
    return sc_fn(pool, op, 1, &a);
}

const Scalar *sc_fn2(ExprPool *pool, ScalarOp op, const Scalar *a, const Scalar *b)
{
    return sc_fn(pool, op, 2, (const Scalar *const[]){a, b});
}

const Scalar *sc_fn3(ExprPool *pool, ScalarOp op, const Scalar *a, const Scalar *b,
                     const Scalar *c)
{
    return sc_fn(pool, op, 3, (const Scalar *const[]){a, b, c});
}
