/* scalar: expressions over values. Each is emitted once per region and coordinate (memo.c);
 * functions of float32 stand in maths*.c. Sums and products go left to right, unfused: equal
 * expressions have equal bits in every kernel. */
#include "emit/internal.h"

#include <assert.h>

static LLVMValueRef compare(Emit *e, DType dtype, LLVMRealPredicate real, LLVMIntPredicate sint,
                            LLVMIntPredicate uint, LLVMValueRef a, LLVMValueRef b)
{
    if (dtype_is_float(dtype))
        return LLVMBuildFCmp(e->ir, real, a, b, "");
    return LLVMBuildICmp(e->ir, dtype == DT_BOOL || dtype == DT_U8 ? uint : sint, a, b, "");
}

static LLVMValueRef less(Emit *e, DType dtype, LLVMValueRef a, LLVMValueRef b)
{
    return compare(e, dtype, LLVMRealOLT, LLVMIntSLT, LLVMIntULT, a, b);
}

static bool is_number(LLVMValueRef v) /* a constant that is not NaN */
{
    if (!LLVMIsConstant(v))
        return false;
    LLVMValueRef c = lanes_of(v) > 1 ? LLVMGetAggregateElement(v, 0) : v;
    LLVMBool lost;
    double x = LLVMIsAConstantFP(c) ? LLVMConstRealGetDouble(c, &lost) : 0;
    return x == x;
}

/* NaN in either argument gives NaN; of equal arguments the second, except that max(x, c) with a
 * number c compares the other way round, which is one instruction. */
LLVMValueRef emit_minmax(Emit *e, bool max, DType dtype, LLVMValueRef a, LLVMValueRef b)
{
    if (!dtype_is_float(dtype)) {
        LLVMValueRef first = max ? less(e, dtype, b, a) : less(e, dtype, a, b);
        return LLVMBuildSelect(e->ir, first, a, b, "");
    }
    if (is_number(b)) {
        LLVMValueRef second = LLVMBuildFCmp(e->ir, max ? LLVMRealOGT : LLVMRealOLT, b, a, "");
        return LLVMBuildSelect(e->ir, second, b, a, "");
    }
    LLVMValueRef first = LLVMBuildFCmp(e->ir, max ? LLVMRealOGT : LLVMRealOLT, a, b, "");
    LLVMValueRef picked = LLVMBuildSelect(e->ir, first, a, b, "");
    if (is_number(a))
        return picked;
    LLVMValueRef nan = LLVMBuildFCmp(e->ir, LLVMRealUNO, a, a, "");
    return LLVMBuildSelect(e->ir, nan, a, picked, "");
}

/* --- integer division ------------------------------------------------------------------------- */
/* Floor division of up to 32 bits is exact in double precision. By zero: 0, as the conversion of
 * infinity or NaN must be some number. */
static LLVMValueRef divide_small(Emit *e, DType dtype, LLVMValueRef a, LLVMValueRef b)
{
    LLVMValueRef x = convert(e, a, dtype, DT_F64), y = convert(e, b, dtype, DT_F64);
    LLVMValueRef q = maths_round(e, OP_FLOOR, LLVMBuildFDiv(e->ir, x, y, ""));
    LLVMValueRef zero = LLVMBuildICmp(e->ir, LLVMIntEQ, b, LLVMConstNull(LLVMTypeOf(b)), "");
    q = LLVMBuildSelect(e->ir, zero, LLVMConstNull(LLVMTypeOf(q)), q, "");
    return convert(e, q, DT_F64, dtype);
}

/* 64 bits: guarded against the two divisions that trap. */
static LLVMValueRef divide_wide(Emit *e, LLVMValueRef a, LLVMValueRef b)
{
    LLVMTypeRef type = LLVMTypeOf(a);
    LLVMValueRef zero = make_int(type, 0), one = make_int(type, 1);
    LLVMValueRef none = LLVMBuildICmp(e->ir, LLVMIntEQ, b, zero, "");
    LLVMValueRef minus = LLVMBuildICmp(e->ir, LLVMIntEQ, b, make_int(type, -1), "");
    LLVMValueRef odd = LLVMBuildOr(e->ir, none, minus, "");
    LLVMValueRef by = LLVMBuildSelect(e->ir, odd, one, b, "");
    LLVMValueRef q = LLVMBuildSDiv(e->ir, a, by, ""), r = LLVMBuildSRem(e->ir, a, by, "");
    LLVMValueRef apart = LLVMBuildICmp(e->ir, LLVMIntSLT, LLVMBuildXor(e->ir, r, by, ""), zero, "");
    LLVMValueRef rest = LLVMBuildICmp(e->ir, LLVMIntNE, r, zero, "");
    LLVMValueRef down = LLVMBuildAnd(e->ir, apart, rest, "");
    q = LLVMBuildSub(e->ir, q, LLVMBuildZExt(e->ir, down, type, ""), "");
    q = LLVMBuildSelect(e->ir, minus, LLVMBuildNeg(e->ir, a, ""), q, "");
    return LLVMBuildSelect(e->ir, none, zero, q, "");
}

static LLVMValueRef quotient(Emit *e, DType dtype, LLVMValueRef a, LLVMValueRef b)
{
    if (dtype_is_float(dtype))
        return maths_round(e, OP_FLOOR, LLVMBuildFDiv(e->ir, a, b, ""));
    return dtype == DT_I64 ? divide_wide(e, a, b) : divide_small(e, dtype, a, b);
}

/* Ints: a - floor(a / b) * b, 0 by zero. Floats: the exact remainder with the divisor's sign. */
static LLVMValueRef remainder_of(Emit *e, DType dtype, LLVMValueRef a, LLVMValueRef b)
{
    LLVMTypeRef type = LLVMTypeOf(a);
    if (!dtype_is_float(dtype)) {
        LLVMValueRef q = quotient(e, dtype, a, b);
        LLVMValueRef r = LLVMBuildSub(e->ir, a, LLVMBuildMul(e->ir, q, b, ""), "");
        LLVMValueRef zero = LLVMBuildICmp(e->ir, LLVMIntEQ, b, LLVMConstNull(type), "");
        return LLVMBuildSelect(e->ir, zero, LLVMConstNull(type), r, "");
    }
    LLVMValueRef args[] = {a, b};
    LLVMValueRef r = maths_libm(e, OP_MOD, 2, args);
    LLVMValueRef zero = make_real(type, 0);
    LLVMValueRef low = LLVMBuildFCmp(e->ir, LLVMRealOLT, r, zero, "");
    LLVMValueRef down = LLVMBuildFCmp(e->ir, LLVMRealOLT, b, zero, "");
    LLVMValueRef apart = LLVMBuildXor(e->ir, low, down, "");
    LLVMValueRef rest = LLVMBuildFCmp(e->ir, LLVMRealONE, r, zero, "");
    LLVMValueRef shifted = LLVMBuildFAdd(e->ir, r, b, "");
    return LLVMBuildSelect(e->ir, LLVMBuildAnd(e->ir, apart, rest, ""), shifted, r, "");
}

/* --- small functions -------------------------------------------------------------------------- */
static LLVMValueRef sign(Emit *e, DType dtype, LLVMValueRef a)
{
    LLVMTypeRef type = LLVMTypeOf(a);
    LLVMValueRef zero = LLVMConstNull(type);
    LLVMValueRef up = less(e, dtype, zero, a), down = less(e, dtype, a, zero);
    if (dtype_is_float(dtype)) {
        LLVMValueRef nan = LLVMBuildFCmp(e->ir, LLVMRealUNO, a, a, "");
        LLVMValueRef rest = LLVMBuildSelect(e->ir, nan, a, zero, "");
        LLVMValueRef low = LLVMBuildSelect(e->ir, down, make_real(type, -1), rest, "");
        return LLVMBuildSelect(e->ir, up, make_real(type, 1), low, "");
    }
    LLVMValueRef low = LLVMBuildSelect(e->ir, down, make_int(type, -1), zero, "");
    return LLVMBuildSelect(e->ir, up, make_int(type, 1), low, "");
}

static LLVMValueRef absolute(Emit *e, DType dtype, LLVMValueRef a)
{
    LLVMTypeRef type = LLVMTypeOf(a);
    if (dtype_is_float(dtype))
        return intrinsic(e, "llvm.fabs", 1, &type, 1, &a);
    if (dtype == DT_BOOL || dtype == DT_U8)
        return a;
    LLVMValueRef low = LLVMBuildICmp(e->ir, LLVMIntSLT, a, LLVMConstNull(type), "");
    return LLVMBuildSelect(e->ir, low, LLVMBuildNeg(e->ir, a, ""), a, "");
}

static LLVMValueRef is_infinite(Emit *e, DType dtype, LLVMValueRef a)
{
    LLVMValueRef magnitude = absolute(e, dtype, a);
    return LLVMBuildFCmp(e->ir, LLVMRealOEQ, magnitude, make_real(LLVMTypeOf(a), __builtin_inf()),
                         "");
}

static LLVMValueRef fold_left(Emit *e, ScalarOp op, DType dtype, size_t n, LLVMValueRef *args)
{
    LLVMValueRef v = args[0];
    bool real = dtype_is_float(dtype);
    for (size_t i = 1; i < n; i++) {
        LLVMValueRef pair[] = {v, args[i]}; /* a uniform prefix stays scalar */
        match_lanes(e, 2, pair);
        if (op == OP_ADD && dtype == DT_BOOL)
            v = LLVMBuildOr(e->ir, pair[0], pair[1], "");
        else if (op == OP_ADD)
            v = real ? LLVMBuildFAdd(e->ir, pair[0], pair[1], "")
                     : LLVMBuildAdd(e->ir, pair[0], pair[1], "");
        else
            v = real ? LLVMBuildFMul(e->ir, pair[0], pair[1], "")
                     : LLVMBuildMul(e->ir, pair[0], pair[1], "");
    }
    return v;
}

static LLVMValueRef elementary(Emit *e, ScalarOp op, DType dtype, size_t n, LLVMValueRef *args)
{
    LLVMTypeRef type = LLVMTypeOf(args[0]);
    if (op == OP_SQRT || op == OP_RSQRT) { /* correctly rounded in every width */
        LLVMValueRef root = intrinsic(e, "llvm.sqrt", 1, &type, 1, args);
        return op == OP_SQRT ? root : LLVMBuildFDiv(e->ir, make_real(type, 1), root, "");
    }
    return dtype == DT_F64 ? maths_libm(e, op, n, args) : maths_call(e, op, n, args);
}

/* dtype: of the result; from: of the arguments (the last ones for select). */
LLVMValueRef emit_op(Emit *e, ScalarOp op, DType dtype, DType from, size_t n, LLVMValueRef *args)
{
    if (op == OP_ADD || op == OP_MUL)
        return fold_left(e, op, dtype, n, args);
    match_lanes(e, n, args);
    LLVMValueRef a = args[0], b = n > 1 ? args[1] : NULL;
    bool real = dtype_is_float(from);
    switch (op) {
    case OP_ADD:
    case OP_MUL:
        break;
    case OP_SUB:
        return real ? LLVMBuildFSub(e->ir, a, b, "") : LLVMBuildSub(e->ir, a, b, "");
    case OP_NEG:
        return real ? LLVMBuildFNeg(e->ir, a, "") : LLVMBuildNeg(e->ir, a, "");
    case OP_DIV:
        return LLVMBuildFDiv(e->ir, a, b, "");
    case OP_IDIV:
        return quotient(e, dtype, a, b);
    case OP_MOD:
        return remainder_of(e, dtype, a, b);
    case OP_MAX:
    case OP_MIN:
        return emit_minmax(e, op == OP_MAX, dtype, a, b);
    case OP_ABS:
        return absolute(e, dtype, a);
    case OP_SIGN:
        return sign(e, dtype, a);
    case OP_FLOOR:
    case OP_CEIL:
    case OP_ROUND:
        return maths_round(e, op, a);
    case OP_POW:
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
    case OP_ATAN2:
    case OP_SINH:
    case OP_COSH:
    case OP_TANH:
    case OP_ERF:
        return elementary(e, op, dtype, n, args);
    case OP_EQ:
        return compare(e, from, LLVMRealOEQ, LLVMIntEQ, LLVMIntEQ, a, b);
    case OP_NE:
        return compare(e, from, LLVMRealUNE, LLVMIntNE, LLVMIntNE, a, b);
    case OP_LT:
        return less(e, from, a, b);
    case OP_LE:
        return compare(e, from, LLVMRealOLE, LLVMIntSLE, LLVMIntULE, a, b);
    case OP_AND:
        return LLVMBuildAnd(e->ir, a, b, "");
    case OP_OR:
        return LLVMBuildOr(e->ir, a, b, "");
    case OP_NOT:
        return LLVMBuildNot(e->ir, a, "");
    case OP_ISNAN:
        return real ? LLVMBuildFCmp(e->ir, LLVMRealUNO, a, a, "")
                    : LLVMConstNull(type_of(e, DT_BOOL, lanes_of(a)));
    case OP_ISINF:
        return real ? is_infinite(e, from, a) : LLVMConstNull(type_of(e, DT_BOOL, lanes_of(a)));
    case OP_SELECT:
        return LLVMBuildSelect(e->ir, a, b, args[2], "");
    case OP_STOP:
        return a;
    case OP_CAST:
        return convert(e, a, from, dtype);
    case OP_COUNT:
        break;
    }
    assert(false && "a scalar function");
    return NULL;
}

/* The dtype in which a function takes its arguments: the graph has widened them already; what
 * stays different (a bool condition) is not converted. */
static DType argument_dtype(const Scalar *s, size_t i)
{
    const Scalar *arg = s->args[i];
    switch (s->op) {
    case OP_CAST:
    case OP_ISNAN:
    case OP_ISINF:
        return arg->dtype;
    case OP_EQ:
    case OP_NE:
    case OP_LT:
    case OP_LE: {
        DType other = s->args[1 - i]->dtype;
        return other > arg->dtype ? other : arg->dtype;
    }
    default:
        return s->op == OP_SELECT && i == 0 ? DT_BOOL : s->dtype;
    }
}

static LLVMValueRef emit_fn(Emit *e, const Scalar *s, const Point *point)
{
    LLVMValueRef *args = NEW_ARRAY(e->arena, LLVMValueRef, s->n);
    DType from = s->dtype;
    for (size_t i = 0; i < s->n; i++) {
        from = argument_dtype(s, i);
        args[i] = convert(e, emit_scalar(e, s->args[i], point), s->args[i]->dtype, from);
    }
    return emit_op(e, s->op, s->dtype, from, s->n, args);
}

static LLVMValueRef emit_new(Emit *e, const Scalar *s, MemoEntry *entry, const Point *point)
{
    switch (s->kind) {
    case SCALAR_CONST:
        return make_const(e, s->dtype, s->value);
    case SCALAR_INDEX: {
        LLVMValueRef v = emit_position(e, s->at[0], point);
        return LLVMBuildIntCast2(e->ir, v, type_of(e, s->dtype, lanes_of(v)), true, "");
    }
    case SCALAR_WITHIN: {
        LLVMValueRef v = emit_within(e, s->at[0], s->lo, s->hi, point);
        return v ? v : LLVMConstInt(e->i1, 1, false);
    }
    case SCALAR_READ:
        return emit_read(e, s, entry, point);
    case SCALAR_FN:
        return emit_fn(e, s, point);
    case SCALAR_RANDOM:
        return emit_random(e, s, point);
    }
    assert(false && "a kind of scalar");
    return NULL;
}

LLVMValueRef emit_scalar(Emit *e, const Scalar *s, const Point *point)
{
    if (s->kind == SCALAR_CONST)
        return make_const(e, s->dtype, s->value);
    MemoEntry *entry = memo_scalar(e, s);
    LLVMValueRef *slot = memo_slot(e, entry, point);
    if (*slot)
        return *slot;
    size_t before = place(e, deps_level(e, entry->deps));
    LLVMValueRef v = emit_new(e, s, entry, point);
    place(e, before);
    return *memo_slot(e, entry, point) = v;
}
