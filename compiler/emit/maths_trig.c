/* maths_trig: trigonometric functions of float32 and their inverses. An argument is brought into a
 * quadrant in double precision with a table of 2^e * 2/pi mod 4, so that every float is as good as
 * the small ones (Payne and Hanek, "Radian reduction for trigonometric functions", 1983).
 */
#include "emit/internal.h"

#include <assert.h>
#include <math.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define PIO2_HIGH    0x1.921fb6p+0
#define PIO2_LOW     (-0x1.777a5cp-25)
#define ROUNDER      0x1.8p52

enum { EXPONENTS = 105, PARTS = 2 }; /* |x| = m 2^e, m < 2^24, 0 <= e < 105 */

/* n bits of 2/pi from bit `at` on; bit 0 is worth 1/2, those before it are 0. */
static double bits_of_two_over_pi(int at, int n)
{
    static const uint32_t words[] = {0xA2F9836E, 0x4E441529, 0xFC2757D1, 0xF534DDC0,
                                     0xDB629599, 0x3C439041, 0xFE5163AB, 0xDEBBC561};
    double value = 0;
    for (int i = at; i < at + n; i++) {
        unsigned bit = i < 0 ? 0 : words[i / 32] >> (31 - i % 32) & 1;
        value = 2 * value + bit;
    }
    return value;
}

/* 2^e * 2/pi mod 4 = high + low: high has 29 bits, so that its product with 24 bits is exact. */
static LLVMValueRef quadrant_table(Emit *e)
{
    LLVMValueRef known = LLVMGetNamedGlobal(e->module, "quadrants");
    if (known)
        return known;
    LLVMValueRef values[EXPONENTS * PARTS];
    for (int i = 0; i < EXPONENTS; i++) {
        values[PARTS * i] = LLVMConstReal(e->f64, bits_of_two_over_pi(i - 2, 29) * 0x1p-27);
        values[PARTS * i + 1] = LLVMConstReal(e->f64, bits_of_two_over_pi(i + 27, 53) * 0x1p-80);
    }
    LLVMTypeRef type = LLVMArrayType2(e->f64, EXPONENTS * PARTS);
    LLVMValueRef table = LLVMAddGlobal(e->module, type, "quadrants");
    LLVMSetInitializer(table, LLVMConstArray2(e->f64, values, EXPONENTS * PARTS));
    LLVMSetGlobalConstant(table, true);
    LLVMSetLinkage(table, LLVMInternalLinkage);
    LLVMSetAlignment(table, 64);
    return table;
}

static LLVMValueRef table_at(Maths *m, LLVMValueRef table, LLVMValueRef index)
{
    Emit *e = m->e;
    LLVMValueRef at = LLVMBuildGEP2(e->ir, e->f64, table, &index, 1, "");
    LLVMTypeRef type = type_lanes(e->f64, m->lanes);
    if (m->lanes == 1)
        return LLVMBuildLoad2(e->ir, type, at, "");
    LLVMTypeRef types[] = {type, LLVMTypeOf(at)};
    LLVMValueRef args[] = {at, make_int(e->i32, 8), make_mask(e, m->lanes, m->lanes),
                           LLVMConstNull(type)};
    return intrinsic(e, "llvm.masked.gather", 2, types, 4, args);
}

typedef struct Angle {        /* x = quadrant * pi/2 + r, |r| <= pi/4 */
    LLVMValueRef quadrant, r; /* i32 whose low two bits count; real */
} Angle;

static LLVMValueRef low_word(Maths *m, LLVMValueRef wide)
{
    LLVMBuilderRef ir = m->e->ir;
    LLVMValueRef bits = LLVMBuildBitCast(ir, wide, type_lanes(m->e->i64, m->lanes), "");
    return LLVMBuildTrunc(ir, bits, m->ints, "");
}

static Angle reduce_angle(Maths *m, LLVMValueRef x)
{
    LLVMBuilderRef ir = m->e->ir;
    LLVMTypeRef wide = type_lanes(m->e->f64, m->lanes);
    LLVMValueRef magnitude = mbits(m, mabs(m, x));
    LLVMValueRef e =
        LLVMBuildSub(ir, LLVMBuildLShr(ir, magnitude, mint(m, 23), ""), mint(m, 150), "");
    LLVMValueRef negative = LLVMBuildICmp(ir, LLVMIntSLT, e, mint(m, 0), "");
    e = mpick(m, negative, mint(m, 0), e);
    LLVMValueRef last = LLVMBuildICmp(ir, LLVMIntSGT, e, mint(m, EXPONENTS - 1), "");
    e = mpick(m, last, mint(m, EXPONENTS - 1), e);
    LLVMValueRef bits = LLVMBuildSub(ir, mbits(m, x), LLVMBuildShl(ir, e, mint(m, 23), ""), "");
    LLVMValueRef mantissa = LLVMBuildFPExt(ir, mreal(m, bits), wide, "");
    LLVMValueRef table = quadrant_table(m->e), index = LLVMBuildShl(ir, e, mint(m, 1), "");
    LLVMValueRef high = table_at(m, table, index);
    LLVMValueRef low = table_at(m, table, LLVMBuildAdd(ir, index, mint(m, 1), ""));
    LLVMValueRef rounder = make_real(wide, ROUNDER);
    LLVMValueRef turns = mmul(m, mantissa, high);
    LLVMValueRef shifted = madd(m, turns, rounder);
    LLVMValueRef part = msub(m, turns, msub(m, shifted, rounder));
    part = madd(m, part, mmul(m, mantissa, low));
    LLVMValueRef again = madd(m, part, rounder);
    part = msub(m, part, msub(m, again, rounder));
    LLVMValueRef angle = mmul(m, part, make_real(wide, 0x1.921fb54442d18p+0));
    return (Angle){.quadrant = LLVMBuildAdd(ir, low_word(m, shifted), low_word(m, again), ""),
                   .r = LLVMBuildFPTrunc(ir, angle, m->real, "")};
}

/* x + x t p(t) */
static LLVMValueRef odd(Maths *m, LLVMValueRef x, LLVMValueRef t, const double *p, size_t n)
{
    return mfma(m, mmul(m, mpoly(m, t, p, n), t), x, x);
}

static LLVMValueRef sin_near(Maths *m, LLVMValueRef r)
{
    static const double p[] = {-0x1.5555560000000p-3, 0x1.1111760000000p-7, -0x1.a05ba80000000p-13,
                               0x1.7ccf120000000p-19};
    return odd(m, r, mmul(m, r, r), p, COUNT(p));
}

static LLVMValueRef cos_near(Maths *m, LLVMValueRef r)
{
    static const double p[] = {0x1.55554a0000000p-5, -0x1.6c0c1a0000000p-10, 0x1.99e0ec0000000p-16};
    LLVMValueRef t = mmul(m, r, r);
    LLVMValueRef rest = mfma(m, t, mpoly(m, t, p, COUNT(p)), mconst(m, -0.5));
    return mfma(m, t, rest, mconst(m, 1));
}

static LLVMValueRef has_bit(Maths *m, LLVMValueRef v, int64_t bit)
{
    LLVMBuilderRef ir = m->e->ir;
    return LLVMBuildICmp(ir, LLVMIntNE, LLVMBuildAnd(ir, v, mint(m, bit), ""), mint(m, 0), "");
}

static LLVMValueRef negate(Maths *m, LLVMValueRef x)
{
    return LLVMBuildFNeg(m->e->ir, x, "");
}

/* sin(x + ahead * pi/2) */
static LLVMValueRef emit_sin(Maths *m, LLVMValueRef x, int64_t ahead)
{
    Angle a = reduce_angle(m, x);
    LLVMValueRef quadrant = LLVMBuildAdd(m->e->ir, a.quadrant, mint(m, ahead), "");
    LLVMValueRef v = mpick(m, has_bit(m, quadrant, 1), cos_near(m, a.r), sin_near(m, a.r));
    v = mpick(m, has_bit(m, quadrant, 2), negate(m, v), v);
    return mpick(m, mless(m, mabs(m, x), mconst(m, INFINITY)), v, mconst(m, NAN));
}

static LLVMValueRef emit_tan(Maths *m, LLVMValueRef x)
{
    Angle a = reduce_angle(m, x);
    LLVMValueRef sin = sin_near(m, a.r), cos = cos_near(m, a.r);
    LLVMValueRef second = has_bit(m, a.quadrant, 1);
    LLVMValueRef v = mdiv(m, mpick(m, second, cos, sin), mpick(m, second, negate(m, sin), cos));
    return mpick(m, mless(m, mabs(m, x), mconst(m, INFINITY)), v, mconst(m, NAN));
}

/* --- inverses --------------------------------------------------------------------------------- */
static const double asin_p[] = {0x1.5555ca0000000p-3, 0x1.33016c0000000p-4, 0x1.7489e20000000p-5,
                                0x1.8bb8900000000p-6, 0x1.59c97c0000000p-5};

typedef struct Arc {             /* asin of a <= 1/2, or of sqrt((1 - a) / 2) where big */
    LLVMValueRef big, of, value; /* value = asin(of) */
} Arc;

static Arc arc(Maths *m, LLVMValueRef x)
{
    LLVMValueRef a = mabs(m, x), half = mconst(m, 0.5);
    LLVMValueRef big = mless(m, half, a);
    LLVMValueRef t = mpick(m, big, mmul(m, msub(m, mconst(m, 1), a), half), mmul(m, a, a));
    LLVMValueRef of = mpick(m, big, msqrt(m, t), a);
    return (Arc){.big = big, .of = of, .value = odd(m, of, t, asin_p, COUNT(asin_p))};
}

/* pi/2 - v */
static LLVMValueRef from_quarter(Maths *m, LLVMValueRef v)
{
    return msub(m, mconst(m, PIO2_HIGH), msub(m, v, mconst(m, PIO2_LOW)));
}

static LLVMValueRef twice(Maths *m, LLVMValueRef v)
{
    return madd(m, v, v);
}

static LLVMValueRef emit_asin(Maths *m, LLVMValueRef x)
{
    Arc a = arc(m, x);
    LLVMValueRef v = mpick(m, a.big, from_quarter(m, twice(m, a.value)), a.value);
    return msign_of(m, v, x);
}

static LLVMValueRef emit_acos(Maths *m, LLVMValueRef x)
{
    Arc a = arc(m, x);
    LLVMValueRef small = from_quarter(m, msign_of(m, a.value, x));
    LLVMValueRef back = twice(m, from_quarter(m, a.value));
    LLVMValueRef big = mpick(m, mless(m, x, mconst(m, 0)), back, twice(m, a.value));
    return mpick(m, a.big, big, small);
}

/* atan(low / high), 0 <= low <= high; 0 / 0 is 0. Above tan(pi/8): pi/4 + atan((l - h)/(l + h)). */
static LLVMValueRef atan_ratio(Maths *m, LLVMValueRef low, LLVMValueRef high)
{
    static const double p[] = {-0x1.55554a0000000p-2, 0x1.9991e80000000p-3, -0x1.23ba440000000p-3,
                               0x1.b22f080000000p-4, -0x1.f31f260000000p-5};
    LLVMValueRef zero = mconst(m, 0);
    LLVMValueRef large = mless(m, mconst(m, 0x1p100), high), scale = mconst(m, 0x1p-30);
    low = mpick(m, large, mmul(m, low, scale), low);
    high = mpick(m, large, mmul(m, high, scale), high);
    LLVMValueRef big = mless(m, mmul(m, high, mconst(m, 0x1.a8279ap-2)), low);
    LLVMValueRef over = mpick(m, big, msub(m, low, high), low);
    LLVMValueRef under = mpick(m, big, madd(m, low, high), high);
    LLVMValueRef ratio = mdiv(m, over, under);
    ratio = mpick(m, mequal(m, high, 0), zero, ratio);
    LLVMValueRef near = odd(m, ratio, mmul(m, ratio, ratio), p, COUNT(p));
    LLVMValueRef far = madd(m, mconst(m, PIO2_HIGH / 2), madd(m, near, mconst(m, PIO2_LOW / 2)));
    return mpick(m, big, far, near);
}

static LLVMValueRef emit_atan2(Maths *m, LLVMValueRef y, LLVMValueRef x)
{
    LLVMBuilderRef ir = m->e->ir;
    LLVMValueRef a = mabs(m, y), b = mabs(m, x), steep = mless(m, b, a);
    LLVMValueRef low = mpick(m, steep, b, a), high = mpick(m, steep, a, b);
    LLVMValueRef both = mequal(m, low, INFINITY), one = mconst(m, 1);
    LLVMValueRef v = atan_ratio(m, mpick(m, both, one, low), mpick(m, both, one, high));
    v = mpick(m, steep, from_quarter(m, v), v);
    LLVMValueRef back = LLVMBuildICmp(ir, LLVMIntSLT, mbits(m, x), mint(m, 0), "");
    LLVMValueRef half_turn = msub(m, mconst(m, 2 * PIO2_HIGH), msub(m, v, mconst(m, 2 * PIO2_LOW)));
    v = msign_of(m, mpick(m, back, half_turn, v), y);
    LLVMValueRef nan = LLVMBuildFCmp(ir, LLVMRealUNO, x, y, "");
    return mpick(m, nan, mconst(m, NAN), v);
}

LLVMValueRef maths_trig(Emit *e, ScalarOp op, size_t n, LLVMValueRef *args)
{
    (void)n;
    Maths m = maths_for(e, args[0]);
    switch (op) {
    case OP_SIN:
        return emit_sin(&m, args[0], 0);
    case OP_COS:
        return emit_sin(&m, args[0], 1);
    case OP_TAN:
        return emit_tan(&m, args[0]);
    case OP_ASIN:
        return emit_asin(&m, args[0]);
    case OP_ACOS:
        return emit_acos(&m, args[0]);
    case OP_ATAN:
        return emit_atan2(&m, args[0], mconst(&m, 1));
    case OP_ATAN2:
        return emit_atan2(&m, args[0], args[1]);
    default:
        break;
    }
    assert(false && "a function of float32");
    return NULL;
}
