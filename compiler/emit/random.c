/* random: Philox 4x32-10 on the lanes of a vector: word 0 of hone_random_u32() (runtime/rng.c),
 * bit for bit. Cipher key: seed ^ key; counter: element and step, low words first. */
#include "emit/internal.h"

enum { ROUNDS = 10 };

/* High and low word of constant * x, each as i32. */
static LLVMValueRef multiply(Emit *e, uint32_t constant, LLVMValueRef x, LLVMValueRef *low)
{
    unsigned lanes = lanes_of(x);
    LLVMTypeRef wide = type_lanes(e->i64, lanes), word = type_lanes(e->i32, lanes);
    LLVMValueRef product = LLVMBuildMul(e->ir, LLVMBuildZExt(e->ir, x, wide, ""),
                                        make_int(wide, (int64_t)constant), "");
    *low = LLVMBuildTrunc(e->ir, product, word, "");
    return LLVMBuildTrunc(e->ir, LLVMBuildLShr(e->ir, product, make_int(wide, 32), ""), word, "");
}

static LLVMValueRef word_of(Emit *e, LLVMValueRef wide, int64_t shift, unsigned lanes)
{
    LLVMTypeRef type = LLVMTypeOf(wide);
    LLVMValueRef shifted = shift ? LLVMBuildLShr(e->ir, wide, make_int(type, shift), "") : wide;
    return widen(e, LLVMBuildTrunc(e->ir, shifted, type_lanes(e->i32, lanes_of(wide)), ""), lanes);
}

static LLVMValueRef loaded(Emit *e, int64_t index)
{
    LLVMValueRef at = make_int(e->i64, index);
    LLVMValueRef v =
        LLVMBuildLoad2(e->ir, e->i64, LLVMBuildGEP2(e->ir, e->i64, e->random, &at, 1, ""), "");
    LLVMSetAlignment(v, 8);
    return v;
}

LLVMValueRef emit_random(Emit *e, const Scalar *s, const Point *point)
{
    LLVMValueRef element = emit_position(e, s->at[0], point);
    unsigned lanes = lanes_of(element);
    LLVMTypeRef word = type_lanes(e->i32, lanes), wide = type_lanes(e->i64, lanes);
    element = LLVMBuildIntCast2(e->ir, element, wide, true, "");
    LLVMValueRef key = LLVMBuildXor(e->ir, loaded(e, 0), make_int(e->i64, (int64_t)s->key), "");
    LLVMValueRef step = loaded(e, 1);
    LLVMValueRef c[] = {word_of(e, element, 0, lanes), word_of(e, element, 32, lanes),
                        word_of(e, step, 0, lanes), word_of(e, step, 32, lanes)};
    LLVMValueRef k0 = word_of(e, key, 0, 1), k1 = word_of(e, key, 32, 1);
    for (int round = 0; round < ROUNDS; round++) {
        LLVMValueRef low0, low1;
        LLVMValueRef high0 = multiply(e, 0xD2511F53u, c[0], &low0);
        LLVMValueRef high1 = multiply(e, 0xCD9E8D57u, c[2], &low1);
        LLVMValueRef x = LLVMBuildXor(e->ir, high1, c[1], "");
        LLVMValueRef y = LLVMBuildXor(e->ir, high0, c[3], "");
        c[0] = LLVMBuildXor(e->ir, x, widen(e, k0, lanes), "");
        c[1] = low1;
        c[2] = LLVMBuildXor(e->ir, y, widen(e, k1, lanes), "");
        c[3] = low0;
        k0 = LLVMBuildAdd(e->ir, k0, make_int(e->i32, 0x9E3779B9u), "");
        k1 = LLVMBuildAdd(e->ir, k1, make_int(e->i32, 0xBB67AE85u), "");
    }
    LLVMValueRef bits = LLVMBuildLShr(e->ir, c[0], make_int(word, 8), "");
    LLVMTypeRef real = type_lanes(e->f32, lanes);
    LLVMValueRef whole = LLVMBuildSIToFP(e->ir, bits, real, "");
    return LLVMBuildFMul(e->ir, whole, make_real(real, 0x1p-24), "");
}
