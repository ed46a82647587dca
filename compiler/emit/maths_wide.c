/* maths_wide: what needs more than float32: powers, computed in double precision, and functions of
 * double precision themselves, which are called in libm lane by lane (they occur in schedules and
 * totals, not in loops that count).
 */
#include "emit/internal.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define ROUNDER      0x1.8p52

/* --- powers ----------------------------------------------------------------------------------- */
/* log2 of a positive double that is 0, infinite or a float: 2^k m, m in [sqrt 1/2, sqrt 2);
 * log2 m = 2 / ln2 atanh(s), s = (m - 1) / (m + 1). */
static LLVMValueRef log2_wide(Maths *m, LLVMValueRef a)
{
    static const double p[] = {0x1.71547652b82ffp+1, 0x1.ec709dc39c7e7p-1, 0x1.2776c51720e65p-1,
                               0x1.a61755bdf85a7p-2, 0x1.484fe5922ea90p-2, 0x1.0bafee6fab8b5p-2,
                               0x1.f24b0e7c386ebp-3};
    LLVMBuilderRef ir = m->e->ir;
    LLVMTypeRef real = LLVMTypeOf(a), ints = type_lanes(m->e->i64, m->lanes);
    LLVMValueRef offset = make_int(ints, 0x3fe6a09e667f3bcd), one = make_real(real, 1);
    LLVMValueRef above = LLVMBuildSub(ir, LLVMBuildBitCast(ir, a, ints, ""), offset, "");
    LLVMValueRef k = LLVMBuildAShr(ir, above, make_int(ints, 52), "");
    LLVMValueRef bits = LLVMBuildAnd(ir, above, make_int(ints, 0xfffffffffffff), "");
    LLVMValueRef mantissa = LLVMBuildBitCast(ir, LLVMBuildAdd(ir, bits, offset, ""), real, "");
    LLVMValueRef s = mdiv(m, msub(m, mantissa, one), madd(m, mantissa, one));
    k = LLVMBuildTrunc(ir, k, m->ints, "");
    LLVMValueRef whole = LLVMBuildSIToFP(ir, k, real, "");
    LLVMValueRef v = mfma(m, s, mpoly(m, mmul(m, s, s), p, COUNT(p)), whole);
    v = mpick(m, mequal(m, a, 0), make_real(real, -INFINITY), v);
    return mpick(m, mless(m, a, make_real(real, INFINITY)), v, a);
}

/* 2^t for |t| <= 200 */
static LLVMValueRef exp2_wide(Maths *m, LLVMValueRef t)
{
    static const double p[] = {0x1.000000000007cp+0,  0x1.62e42fef844e4p-1,  0x1.ebfbdff804ce0p-3,
                               0x1.c6b08dd83d8e5p-5,  0x1.3b2ab73ec03c1p-7,  0x1.5d87442805e8fp-10,
                               0x1.43086ecc50710p-13, 0x1.00dd48f4106acp-16, 0x1.640edfccbaeddp-20};
    LLVMBuilderRef ir = m->e->ir;
    LLVMTypeRef real = LLVMTypeOf(t), ints = type_lanes(m->e->i64, m->lanes);
    LLVMValueRef rounder = make_real(real, ROUNDER);
    LLVMValueRef shifted = madd(m, t, rounder);
    LLVMValueRef r = msub(m, t, msub(m, shifted, rounder));
    LLVMValueRef n =
        LLVMBuildAdd(ir, LLVMBuildBitCast(ir, shifted, ints, ""), make_int(ints, 1023), "");
    LLVMValueRef scale = LLVMBuildShl(ir, n, make_int(ints, 52), "");
    return mmul(m, mpoly(m, r, p, COUNT(p)), LLVMBuildBitCast(ir, scale, real, ""));
}

/* Special values as in C: pow(x, 0) = pow(1, y) = 1, pow(-1, inf) = 1. */
LLVMValueRef maths_pow(Emit *e, LLVMValueRef x, LLVMValueRef y)
{
    Maths maths = maths_for(e, x), *m = &maths;
    LLVMBuilderRef ir = e->ir;
    LLVMTypeRef wide = type_lanes(e->f64, m->lanes);
    LLVMValueRef a = mabs(m, x), one = mconst(m, 1);
    LLVMValueRef t =
        mmul(m, LLVMBuildFPExt(ir, y, wide, ""), log2_wide(m, LLVMBuildFPExt(ir, a, wide, "")));
    LLVMValueRef low = make_real(wide, -200), high = make_real(wide, 200);
    t = mpick(m, mless(m, t, low), low, t);
    t = mpick(m, mless(m, high, t), high, t);
    LLVMValueRef v = LLVMBuildFPTrunc(ir, exp2_wide(m, t), m->real, "");
    v = mpick(m, LLVMBuildAnd(ir, mequal(m, a, 1), LLVMBuildFCmp(ir, LLVMRealORD, y, y, ""), ""),
              one, v);
    LLVMValueRef whole = LLVMBuildFCmp(ir, LLVMRealOEQ, maths_round(e, OP_ROUND, y), y, "");
    LLVMValueRef half = mmul(m, y, mconst(m, 0.5));
    LLVMValueRef even = LLVMBuildFCmp(ir, LLVMRealOEQ, maths_round(e, OP_ROUND, half), half, "");
    LLVMValueRef odd = LLVMBuildAnd(ir, whole, LLVMBuildNot(ir, even, ""), "");
    v = mpick(m, odd, msign_of(m, v, x), v);
    LLVMValueRef below =
        LLVMBuildAnd(ir, mless(m, x, mconst(m, 0)), mless(m, a, mconst(m, INFINITY)), "");
    v = mpick(m, LLVMBuildAnd(ir, below, LLVMBuildNot(ir, whole, ""), ""), mconst(m, NAN), v);
    LLVMValueRef always = LLVMBuildOr(ir, mequal(m, y, 0), mequal(m, x, 1), "");
    return mpick(m, always, one, v);
}

/* --- libm ------------------------------------------------------------------------------------- */
typedef double Unary(double);
typedef double Binary(double, double);
typedef struct Libm {
    ScalarOp op;
    const char *name;
    Unary *unary;
    Binary *binary;
} Libm;

static const Libm libm[] = {
    {OP_EXP, "exp", exp, NULL},       {OP_EXPM1, "expm1", expm1, NULL},
    {OP_LOG, "log", log, NULL},       {OP_LOG1P, "log1p", log1p, NULL},
    {OP_LOG2, "log2", log2, NULL},    {OP_SIN, "sin", sin, NULL},
    {OP_COS, "cos", cos, NULL},       {OP_TAN, "tan", tan, NULL},
    {OP_ASIN, "asin", asin, NULL},    {OP_ACOS, "acos", acos, NULL},
    {OP_ATAN, "atan", atan, NULL},    {OP_SINH, "sinh", sinh, NULL},
    {OP_COSH, "cosh", cosh, NULL},    {OP_TANH, "tanh", tanh, NULL},
    {OP_ERF, "erf", erf, NULL},       {OP_POW, "pow", NULL, pow},
    {OP_ATAN2, "atan2", NULL, atan2}, {OP_MOD, "fmod", NULL, fmod},
};

size_t libm_symbols(LibmSymbol symbols[LIBM_MOST])
{
    for (size_t i = 0; i < COUNT(libm); i++) {
        uintptr_t address = libm[i].unary ? (uintptr_t)libm[i].unary : (uintptr_t)libm[i].binary;
        symbols[i] = (LibmSymbol){.name = libm[i].name, .address = address};
    }
    return COUNT(libm);
}

static LLVMValueRef libm_call(Emit *e, const Libm *f, size_t n, LLVMValueRef *args)
{
    LLVMTypeRef params[] = {e->f64, e->f64};
    LLVMTypeRef type = LLVMFunctionType(e->f64, params, (unsigned)n, false);
    LLVMValueRef function = LLVMGetNamedFunction(e->module, f->name);
    if (!function)
        function = LLVMAddFunction(e->module, f->name, type);
    return LLVMBuildCall2(e->ir, type, function, args, (unsigned)n, "");
}

/* Of float32, only the remainder, which is exact in double precision. */
LLVMValueRef maths_libm(Emit *e, ScalarOp op, size_t n, LLVMValueRef *args)
{
    size_t row = 0;
    while (row < COUNT(libm) && libm[row].op != op)
        row++;
    assert(row < COUNT(libm) && n <= 2);
    LLVMTypeRef type = LLVMTypeOf(args[0]), element = element_of(args[0]);
    unsigned lanes = lanes_of(args[0]);
    LLVMValueRef result = LLVMGetPoison(type);
    for (unsigned i = 0; i < lanes; i++) {
        LLVMValueRef lane = make_int(e->i32, i), each[2];
        for (size_t k = 0; k < n; k++) {
            each[k] = lanes > 1 ? LLVMBuildExtractElement(e->ir, args[k], lane, "") : args[k];
            each[k] = element == e->f64 ? each[k] : LLVMBuildFPExt(e->ir, each[k], e->f64, "");
        }
        LLVMValueRef v = libm_call(e, &libm[row], n, each);
        v = element == e->f64 ? v : LLVMBuildFPTrunc(e->ir, v, e->f32, "");
        result = lanes > 1 ? LLVMBuildInsertElement(e->ir, result, v, lane, "") : v;
    }
    return result;
}
