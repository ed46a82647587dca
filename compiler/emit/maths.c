/* maths: exponentials, logarithms, hyperbolic functions and erf of float32 as polynomials on
 * vectors of any width, and the small vocabulary that the other files of maths share. Coefficients
 * come from tests/bench/fit_maths.py; tests/bench/README.md has the errors over all floats. Every
 * special value is a selection at the end: no lane ever takes a branch.
 *
 * exp(x) = 2^n exp(r), |r| <= ln2 / 2; 2^n is applied in two factors, so that results below the
 * normal range are rounded once. log(x) = k ln2 + log1p(f), x = 2^k (1 + f). ln2 is split so that
 * n * LN2_HIGH is exact.
 */
#include "emit/internal.h"

#include <assert.h>
#include <math.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define LN2_HIGH     0x1.63p-1
#define LN2_LOW      (-0x1.bd0106p-13)
#define ROUNDER      0x1.8p23 /* adding it rounds to an integer, in the low mantissa bits */

/* --- vocabulary ------------------------------------------------------------------------------- */
Maths maths_for(Emit *e, LLVMValueRef x)
{
    unsigned lanes = lanes_of(x);
    return (Maths){.e = e,
                   .lanes = lanes,
                   .real = type_lanes(e->f32, lanes),
                   .ints = type_lanes(e->i32, lanes)};
}

LLVMValueRef mconst(Maths *m, double c)
{
    return make_real(m->real, c);
}

LLVMValueRef madd(Maths *m, LLVMValueRef a, LLVMValueRef b)
{
    return LLVMBuildFAdd(m->e->ir, a, b, "");
}

LLVMValueRef msub(Maths *m, LLVMValueRef a, LLVMValueRef b)
{
    return LLVMBuildFSub(m->e->ir, a, b, "");
}

LLVMValueRef mmul(Maths *m, LLVMValueRef a, LLVMValueRef b)
{
    return LLVMBuildFMul(m->e->ir, a, b, "");
}

LLVMValueRef mdiv(Maths *m, LLVMValueRef a, LLVMValueRef b)
{
    return LLVMBuildFDiv(m->e->ir, a, b, "");
}

LLVMValueRef mfma(Maths *m, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c)
{
    LLVMValueRef args[] = {a, b, c};
    LLVMTypeRef type = LLVMTypeOf(a);
    return m->e->target->fma ? intrinsic(m->e, "llvm.fma", 1, &type, 3, args)
                             : madd(m, mmul(m, a, b), c);
}

LLVMValueRef mpoly(Maths *m, LLVMValueRef x, const double *c, size_t n)
{
    LLVMTypeRef type = LLVMTypeOf(x);
    LLVMValueRef sum = make_real(type, c[n - 1]);
    for (size_t i = n - 1; i-- > 0;)
        sum = mfma(m, sum, x, make_real(type, c[i]));
    return sum;
}

LLVMValueRef mless(Maths *m, LLVMValueRef a, LLVMValueRef b)
{
    return LLVMBuildFCmp(m->e->ir, LLVMRealOLT, a, b, "");
}

LLVMValueRef mequal(Maths *m, LLVMValueRef a, double b)
{
    return LLVMBuildFCmp(m->e->ir, LLVMRealOEQ, a, make_real(LLVMTypeOf(a), b), "");
}

LLVMValueRef mpick(Maths *m, LLVMValueRef cond, LLVMValueRef a, LLVMValueRef b)
{
    return LLVMBuildSelect(m->e->ir, cond, a, b, "");
}

LLVMValueRef mabs(Maths *m, LLVMValueRef a)
{
    LLVMTypeRef type = LLVMTypeOf(a);
    return intrinsic(m->e, "llvm.fabs", 1, &type, 1, &a);
}

LLVMValueRef msign_of(Maths *m, LLVMValueRef magnitude, LLVMValueRef sign)
{
    LLVMValueRef args[] = {magnitude, sign};
    LLVMTypeRef type = LLVMTypeOf(magnitude);
    return intrinsic(m->e, "llvm.copysign", 1, &type, 2, args);
}

LLVMValueRef mbits(Maths *m, LLVMValueRef a)
{
    return LLVMBuildBitCast(m->e->ir, a, m->ints, "");
}

LLVMValueRef mreal(Maths *m, LLVMValueRef bits)
{
    return LLVMBuildBitCast(m->e->ir, bits, m->real, "");
}

LLVMValueRef mint(Maths *m, int64_t value)
{
    return make_int(m->ints, value);
}

LLVMValueRef msqrt(Maths *m, LLVMValueRef a)
{
    LLVMTypeRef type = LLVMTypeOf(a);
    return intrinsic(m->e, "llvm.sqrt", 1, &type, 1, &a);
}

static LLVMValueRef clamp(Maths *m, LLVMValueRef x, double low, double high) /* NaN stays */
{
    LLVMValueRef lo = mconst(m, low), hi = mconst(m, high);
    x = mpick(m, mless(m, x, lo), lo, x);
    return mpick(m, mless(m, hi, x), hi, x);
}

/* --- exp -------------------------------------------------------------------------------------- */
typedef struct Power { /* x = n ln2 + r */
    LLVMValueRef n, r; /* i32, real */
} Power;

static Power reduce_exp(Maths *m, LLVMValueRef x)
{
    LLVMBuilderRef ir = m->e->ir;
    LLVMValueRef t = mfma(m, x, mconst(m, 0x1.715476p0), mconst(m, ROUNDER));
    LLVMValueRef n = msub(m, t, mconst(m, ROUNDER));
    LLVMValueRef r = mfma(m, n, mconst(m, -LN2_HIGH), x);
    r = mfma(m, n, mconst(m, -LN2_LOW), r);
    LLVMValueRef bits = mbits(m, mconst(m, ROUNDER));
    return (Power){.n = LLVMBuildSub(ir, mbits(m, t), bits, ""), .r = r};
}

/* exp(r), |r| <= 0.35 */
static LLVMValueRef exp_near(Maths *m, LLVMValueRef r)
{
    static const double q[] = {0x1.0000000000000p-1, 0x1.5554880000000p-3, 0x1.5554d00000000p-5,
                               0x1.1240ae0000000p-7, 0x1.6d68f80000000p-10};
    LLVMValueRef square = mmul(m, r, r);
    return madd(m, mfma(m, square, mpoly(m, r, q, COUNT(q)), r), mconst(m, 1));
}

/* 2^n for -126 <= n <= 127 */
static LLVMValueRef two_to(Maths *m, LLVMValueRef n)
{
    LLVMBuilderRef ir = m->e->ir;
    LLVMValueRef biased = LLVMBuildAdd(ir, n, mint(m, 127), "");
    return mreal(m, LLVMBuildShl(ir, biased, mint(m, 23), ""));
}

/* x 2^n for -252 <= n <= 254 */
static LLVMValueRef scale_by(Maths *m, LLVMValueRef x, LLVMValueRef n)
{
    LLVMBuilderRef ir = m->e->ir;
    LLVMValueRef half = LLVMBuildAShr(ir, n, mint(m, 1), "");
    LLVMValueRef rest = LLVMBuildSub(ir, n, half, "");
    return mmul(m, mmul(m, x, two_to(m, half)), two_to(m, rest));
}

/* exp(x) 2^by, for what comes near the largest float and for halves. */
static LLVMValueRef exp_scaled(Maths *m, LLVMValueRef x, int64_t by)
{
    Power p = reduce_exp(m, clamp(m, x, -104, 89.5));
    LLVMValueRef n = by ? LLVMBuildAdd(m->e->ir, p.n, mint(m, by), "") : p.n;
    return scale_by(m, exp_near(m, p.r), n);
}

/* expm1(r) relative to r, |r| <= 0.35 */
static LLVMValueRef expm1_near(Maths *m, LLVMValueRef r)
{
    static const double q[] = {0x1.0000000000000p-1, 0x1.5555560000000p-3,  0x1.5554f20000000p-5,
                               0x1.1110040000000p-7, 0x1.6d42900000000p-10, 0x1.a242da0000000p-13};
    return mfma(m, mmul(m, r, r), mpoly(m, r, q, COUNT(q)), r);
}

/* 2^n expm1(r) + (2^n - 1), in halves: 2^128 is no float. */
static LLVMValueRef emit_expm1(Maths *m, LLVMValueRef x)
{
    LLVMBuilderRef ir = m->e->ir;
    Power p = reduce_exp(m, clamp(m, x, -18, 88.8));
    LLVMValueRef near = expm1_near(m, p.r);
    LLVMValueRef none = LLVMBuildICmp(ir, LLVMIntEQ, p.n, mint(m, 0), "");
    LLVMValueRef half = two_to(m, LLVMBuildSub(ir, p.n, mint(m, 1), ""));
    LLVMValueRef sum = mfma(m, half, near, msub(m, half, mconst(m, 0.5)));
    LLVMValueRef far = mmul(m, sum, mconst(m, 2));
    return mpick(m, none, near, far);
}

/* --- log -------------------------------------------------------------------------------------- */
typedef struct Split { /* x = 2^k (1 + f), 1 + f in [sqrt 1/2, sqrt 2) */
    LLVMValueRef k, f; /* both real */
} Split;

static Split split_log(Maths *m, LLVMValueRef x)
{
    LLVMBuilderRef ir = m->e->ir;
    LLVMValueRef tiny = mless(m, x, mconst(m, 0x1p-126));
    LLVMValueRef bits = mbits(m, mpick(m, tiny, mmul(m, x, mconst(m, 0x1p23)), x));
    LLVMValueRef offset = mint(m, 0x3f3504f3); /* sqrt 1/2 */
    LLVMValueRef above = LLVMBuildSub(ir, bits, offset, "");
    LLVMValueRef k = LLVMBuildAShr(ir, above, mint(m, 23), "");
    LLVMValueRef mantissa = LLVMBuildAnd(ir, above, mint(m, 0x7fffff), "");
    LLVMValueRef f = msub(m, mreal(m, LLVMBuildAdd(ir, mantissa, offset, "")), mconst(m, 1));
    LLVMValueRef real = LLVMBuildSIToFP(ir, k, m->real, "");
    return (Split){.k = mpick(m, tiny, msub(m, real, mconst(m, 23)), real), .f = f};
}

/* log1p(f) - f, f in [sqrt 1/2 - 1, sqrt 2 - 1] */
static LLVMValueRef log_rest(Maths *m, LLVMValueRef f, LLVMValueRef low)
{
    static const double p[] = {0x1.55554a0000000p-2,  -0x1.0002200000000p-2, 0x1.99a5aa0000000p-3,
                               -0x1.54788c0000000p-3, 0x1.226d220000000p-3,  -0x1.0cdfa20000000p-3,
                               0x1.07d6500000000p-3,  -0x1.41fbde0000000p-4};
    LLVMValueRef square = mmul(m, f, f);
    LLVMValueRef cube = mmul(m, mmul(m, f, square), mpoly(m, f, p, COUNT(p)));
    if (low)
        cube = madd(m, cube, low);
    return mfma(m, square, mconst(m, -0.5), cube);
}

/* At 0: -inf; below: NaN; infinity and NaN stay. */
static LLVMValueRef log_ends(Maths *m, LLVMValueRef x, LLVMValueRef result)
{
    LLVMValueRef low = LLVMBuildFCmp(m->e->ir, LLVMRealULT, x, mconst(m, 0), "");
    result = mpick(m, mequal(m, x, INFINITY), x, result);
    result = mpick(m, low, mconst(m, NAN), result);
    return mpick(m, mequal(m, x, 0), mconst(m, -INFINITY), result);
}

static LLVMValueRef emit_log(Maths *m, LLVMValueRef x)
{
    Split s = split_log(m, x);
    LLVMValueRef rest = log_rest(m, s.f, mmul(m, s.k, mconst(m, LN2_LOW)));
    LLVMValueRef result = mfma(m, s.k, mconst(m, LN2_HIGH), madd(m, s.f, rest));
    return log_ends(m, x, result);
}

/* f and the rest are multiplied apart by log2(e) = 1 + 0.4427. */
static LLVMValueRef emit_log2(Maths *m, LLVMValueRef x)
{
    Split s = split_log(m, x);
    LLVMValueRef rest = log_rest(m, s.f, NULL), c = mconst(m, 0x1.c551d94ae0bf8p-2);
    LLVMValueRef low = mfma(m, s.f, c, mfma(m, rest, c, rest));
    return log_ends(m, x, madd(m, s.k, madd(m, s.f, low)));
}

/* log(u) of u = 1 + x rounded, and what the rounding lost; near 1, f = x itself. */
static LLVMValueRef emit_log1p(Maths *m, LLVMValueRef x)
{
    LLVMValueRef one = mconst(m, 1), u = madd(m, x, one);
    Split s = split_log(m, u);
    LLVMValueRef near = mequal(m, s.k, 0);
    LLVMValueRef big = mless(m, one, x);
    LLVMValueRef lost = mpick(m, big, msub(m, one, msub(m, u, x)), msub(m, x, msub(m, u, one)));
    LLVMValueRef correction = mpick(m, near, mconst(m, 0), mdiv(m, lost, u));
    LLVMValueRef f = mpick(m, near, x, s.f);
    LLVMValueRef low = mfma(m, s.k, mconst(m, LN2_LOW), correction);
    LLVMValueRef sum = madd(m, f, log_rest(m, f, low));
    LLVMValueRef far = mfma(m, s.k, mconst(m, LN2_HIGH), sum);
    return mpick(m, mequal(m, x, 0), x, log_ends(m, u, mpick(m, near, sum, far)));
}

/* --- hyperbolic functions and erf ------------------------------------------------------------- */
/* x + x^3 p(x^2) */
static LLVMValueRef odd(Maths *m, LLVMValueRef x, const double *p, size_t n)
{
    LLVMValueRef square = mmul(m, x, x);
    return mfma(m, mmul(m, mpoly(m, square, p, n), square), x, x);
}

static LLVMValueRef emit_tanh(Maths *m, LLVMValueRef x)
{
    static const double p[] = {-0x1.5555340000000p-2, 0x1.1107580000000p-3, -0x1.b841840000000p-5,
                               0x1.5241f80000000p-6, -0x1.7644e00000000p-8};
    LLVMValueRef a = mabs(m, x), one = mconst(m, 1);
    LLVMValueRef twice = madd(m, a, a), most = mconst(m, 20);
    Power power = reduce_exp(m, mpick(m, mless(m, most, twice), most, twice));
    LLVMValueRef e = mmul(m, exp_near(m, power.r), two_to(m, power.n));
    LLVMValueRef far = msub(m, one, mdiv(m, mconst(m, 2), madd(m, e, one)));
    LLVMValueRef small = mless(m, a, mconst(m, 0.625));
    return mpick(m, small, odd(m, x, p, COUNT(p)), msign_of(m, far, x));
}

static LLVMValueRef emit_sinh(Maths *m, LLVMValueRef x)
{
    static const double p[] = {0x1.5555560000000p-3, 0x1.1110e20000000p-7, 0x1.a021560000000p-13,
                               0x1.75a6f20000000p-19};
    LLVMValueRef a = mabs(m, x), half = exp_scaled(m, a, -1);
    LLVMValueRef far = msub(m, half, mdiv(m, mconst(m, 0.25), half));
    return mpick(m, mless(m, a, mconst(m, 1)), odd(m, x, p, COUNT(p)), msign_of(m, far, x));
}

static LLVMValueRef emit_cosh(Maths *m, LLVMValueRef x)
{
    LLVMValueRef half = exp_scaled(m, mabs(m, x), -1);
    return madd(m, half, mdiv(m, mconst(m, 0.25), half));
}

/* Near 0 an odd polynomial, elsewhere 1 - exp(log erfc); from 3.95 on 1. */
static LLVMValueRef emit_erf(Maths *m, LLVMValueRef x)
{
    static const double p[] = {0x1.06eba80000000p-3,  -0x1.8127400000000p-2, 0x1.ce2d600000000p-4,
                               -0x1.b8008a0000000p-6, 0x1.5443620000000p-8,  -0x1.a5c9040000000p-11,
                               0x1.4e8a840000000p-14};
    static const double q[] = {
        0x1.41be120000000p-13, -0x1.21202e0000000p+0,  -0x1.446abc0000000p-1,
        -0x1.b9fbfe0000000p-4, 0x1.968a580000000p-6,   -0x1.0708ee0000000p-8,
        0x1.93866a0000000p-12, -0x1.9de3940000000p-17, -0x1.63c85e0000000p-21};
    LLVMValueRef a = mabs(m, x), most = mconst(m, 3.95);
    LLVMValueRef near = mfma(m, x, mpoly(m, mmul(m, x, x), p, COUNT(p)), x);
    LLVMValueRef within = mpick(m, mless(m, most, a), most, a);
    Power power = reduce_exp(m, mpoly(m, within, q, COUNT(q)));
    LLVMValueRef erfc = mmul(m, exp_near(m, power.r), two_to(m, power.n));
    LLVMValueRef far = msign_of(m, msub(m, mconst(m, 1), erfc), x);
    return mpick(m, mless(m, a, mconst(m, 0.92)), near, far);
}

/* --- rounding --------------------------------------------------------------------------------- */
/* Without rounding instructions: adding and taking away 2^mantissa rounds to even what is below. */
static LLVMValueRef round_even(Emit *e, LLVMValueRef x)
{
    LLVMTypeRef type = LLVMTypeOf(x);
    Maths maths = maths_for(e, x), *m = &maths;
    LLVMValueRef big = make_real(type, element_of(x) == e->f64 ? 0x1p52 : 0x1p23);
    LLVMValueRef a = mabs(m, x);
    LLVMValueRef whole = msign_of(m, msub(m, madd(m, a, big), big), x);
    return mpick(m, mless(m, a, big), whole, x);
}

LLVMValueRef maths_round(Emit *e, ScalarOp op, LLVMValueRef x)
{
    LLVMTypeRef type = LLVMTypeOf(x);
    const char *name = op == OP_FLOOR  ? "llvm.floor"
                       : op == OP_CEIL ? "llvm.ceil"
                                       : "llvm.roundeven";
    if (e->target->lanes > 4)
        return intrinsic(e, name, 1, &type, 1, &x);
    LLVMValueRef whole = round_even(e, x);
    if (op == OP_ROUND)
        return whole;
    Maths maths = maths_for(e, x), *m = &maths;
    LLVMValueRef wrong = op == OP_FLOOR ? mless(m, x, whole) : mless(m, whole, x);
    LLVMValueRef step = make_real(type, op == OP_FLOOR ? -1 : 1);
    return msign_of(m, mpick(m, wrong, madd(m, whole, step), whole), x);
}

/* --- all of them ------------------------------------------------------------------------------ */
LLVMValueRef maths_call(Emit *e, ScalarOp op, size_t n, LLVMValueRef *args)
{
    Maths m = maths_for(e, args[0]);
    switch (op) {
    case OP_EXP:
        return exp_scaled(&m, args[0], 0);
    case OP_EXPM1:
        return emit_expm1(&m, args[0]);
    case OP_LOG:
        return emit_log(&m, args[0]);
    case OP_LOG2:
        return emit_log2(&m, args[0]);
    case OP_LOG1P:
        return emit_log1p(&m, args[0]);
    case OP_TANH:
        return emit_tanh(&m, args[0]);
    case OP_SINH:
        return emit_sinh(&m, args[0]);
    case OP_COSH:
        return emit_cosh(&m, args[0]);
    case OP_ERF:
        return emit_erf(&m, args[0]);
    case OP_POW:
        return maths_pow(e, args[0], args[1]);
    default:
        return maths_trig(e, op, n, args);
    }
}
