/* types: LLVM types of dtypes, constants, broadcasts, and conversions between dtypes. A bf16 is
 * widened and rounded with integer operations, so that every target gives the same bits. */
#include "emit/internal.h"

#include <assert.h>
#include <string.h>

LLVMTypeRef type_lanes(LLVMTypeRef element, unsigned lanes)
{
    return lanes > 1 ? LLVMVectorType(element, lanes) : element;
}

LLVMTypeRef type_of(Emit *e, DType dtype, unsigned lanes)
{
    LLVMTypeRef element = NULL;
    switch (dtype) {
    case DT_BOOL:
        element = e->i1;
        break;
    case DT_U8:
    case DT_I8:
        element = e->i8;
        break;
    case DT_I32:
        element = e->i32;
        break;
    case DT_I64:
        element = e->i64;
        break;
    case DT_BF16:
    case DT_F16:
    case DT_F32:
        element = e->f32;
        break;
    case DT_F64:
        element = e->f64;
        break;
    case DT_COUNT:
        break;
    }
    assert(element);
    return type_lanes(element, lanes);
}

LLVMTypeRef type_stored(Emit *e, DType dtype, unsigned lanes)
{
    if (dtype == DT_BOOL)
        return type_lanes(e->i8, lanes);
    if (dtype == DT_BF16 || dtype == DT_F16)
        return type_lanes(e->i16, lanes);
    return type_of(e, dtype, lanes);
}

unsigned lanes_of(LLVMValueRef v)
{
    LLVMTypeRef type = LLVMTypeOf(v);
    return LLVMGetTypeKind(type) == LLVMVectorTypeKind ? LLVMGetVectorSize(type) : 1;
}

LLVMTypeRef element_of(LLVMValueRef v)
{
    LLVMTypeRef type = LLVMTypeOf(v);
    return LLVMGetTypeKind(type) == LLVMVectorTypeKind ? LLVMGetElementType(type) : type;
}

/* A constant in every lane of a type. */
static LLVMValueRef splat_const(LLVMTypeRef type, LLVMValueRef element)
{
    if (LLVMGetTypeKind(type) != LLVMVectorTypeKind)
        return element;
    LLVMValueRef lanes[64];
    unsigned n = LLVMGetVectorSize(type);
    assert(n <= 64);
    for (unsigned i = 0; i < n; i++)
        lanes[i] = element;
    return LLVMConstVector(lanes, n);
}

static LLVMTypeRef element_type(LLVMTypeRef type)
{
    return LLVMGetTypeKind(type) == LLVMVectorTypeKind ? LLVMGetElementType(type) : type;
}

LLVMValueRef make_int(LLVMTypeRef type, int64_t value)
{
    return splat_const(type, LLVMConstInt(element_type(type), (unsigned long long)value, true));
}

LLVMValueRef make_real(LLVMTypeRef type, double value)
{
    return splat_const(type, LLVMConstReal(element_type(type), value));
}

LLVMValueRef make_const(Emit *e, DType dtype, double value)
{
    LLVMTypeRef type = type_of(e, dtype, 1);
    return dtype_is_float(dtype) ? LLVMConstReal(type, value)
                                 : LLVMConstInt(type, (unsigned long long)(int64_t)value, true);
}

LLVMValueRef make_iota(Emit *e, LLVMTypeRef element, unsigned lanes, int64_t step)
{
    (void)e;
    LLVMValueRef values[64];
    for (unsigned i = 0; i < lanes; i++)
        values[i] = LLVMConstInt(element, (unsigned long long)((int64_t)i * step), true);
    return lanes > 1 ? LLVMConstVector(values, lanes) : values[0];
}

LLVMValueRef make_mask(Emit *e, unsigned lanes, int64_t on)
{
    LLVMValueRef values[64];
    for (unsigned i = 0; i < lanes; i++)
        values[i] = LLVMConstInt(e->i1, (int64_t)i < on, false);
    return LLVMConstVector(values, lanes);
}

LLVMValueRef widen(Emit *e, LLVMValueRef v, unsigned lanes)
{
    if (lanes == 1 || lanes_of(v) > 1)
        return v;
    LLVMTypeRef type = LLVMVectorType(LLVMTypeOf(v), lanes);
    if (LLVMIsConstant(v))
        return splat_const(type, v);
    LLVMValueRef poison = LLVMGetPoison(type);
    LLVMValueRef one = LLVMBuildInsertElement(e->ir, poison, v, LLVMConstInt(e->i32, 0, false), "");
    return LLVMBuildShuffleVector(e->ir, one, poison, LLVMConstNull(LLVMVectorType(e->i32, lanes)),
                                  "");
}

void match_lanes(Emit *e, size_t n, LLVMValueRef *values)
{
    unsigned lanes = 1;
    for (size_t i = 0; i < n; i++)
        if (lanes_of(values[i]) > lanes)
            lanes = lanes_of(values[i]);
    for (size_t i = 0; i < n; i++)
        values[i] = widen(e, values[i], lanes);
}

LLVMValueRef intrinsic(Emit *e, const char *name, size_t n_types, LLVMTypeRef *types, size_t n,
                       LLVMValueRef *args)
{
    unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    assert(id);
    LLVMValueRef f = LLVMGetIntrinsicDeclaration(e->module, id, types, n_types);
    return LLVMBuildCall2(e->ir, LLVMIntrinsicGetType(e->llvm, id, types, n_types), f, args,
                          (unsigned)n, "");
}

/* --- conversions ------------------------------------------------------------------------------ */
/* Round to nearest even; NaN stays NaN by setting a high mantissa bit. */
static LLVMValueRef bf16_bits(Emit *e, LLVMValueRef v)
{
    unsigned n = lanes_of(v);
    LLVMTypeRef i32 = type_lanes(e->i32, n);
    LLVMValueRef bits = LLVMBuildBitCast(e->ir, v, i32, "");
    LLVMValueRef high = LLVMBuildLShr(e->ir, bits, make_int(i32, 16), "");
    LLVMValueRef odd = LLVMBuildAnd(e->ir, high, make_int(i32, 1), "");
    LLVMValueRef bias = LLVMBuildAdd(e->ir, odd, make_int(i32, 0x7fff), "");
    LLVMValueRef sum = LLVMBuildAdd(e->ir, bits, bias, "");
    LLVMValueRef rounded = LLVMBuildLShr(e->ir, sum, make_int(i32, 16), "");
    LLVMValueRef nan = LLVMBuildFCmp(e->ir, LLVMRealUNO, v, v, "");
    LLVMValueRef quiet = LLVMBuildOr(e->ir, high, make_int(i32, 0x40), "");
    LLVMValueRef picked = LLVMBuildSelect(e->ir, nan, quiet, rounded, "");
    return LLVMBuildTrunc(e->ir, picked, type_lanes(e->i16, n), "");
}

static LLVMValueRef bf16_value(Emit *e, LLVMValueRef bits)
{
    unsigned n = lanes_of(bits);
    LLVMTypeRef i32 = type_lanes(e->i32, n);
    LLVMValueRef wide = LLVMBuildZExt(e->ir, bits, i32, "");
    LLVMValueRef high = LLVMBuildShl(e->ir, wide, make_int(i32, 16), "");
    return LLVMBuildBitCast(e->ir, high, type_lanes(e->f32, n), "");
}

/* f16 without conversion instructions. Normal halves: the exponent field moves by 112. Subnormal
 * halves: a float with the mantissa behind 2^-14, minus 2^-14. */
static LLVMValueRef f16_value(Emit *e, LLVMValueRef bits)
{
    unsigned n = lanes_of(bits);
    LLVMTypeRef i32 = type_lanes(e->i32, n), f32 = type_lanes(e->f32, n);
    LLVMValueRef h = LLVMBuildZExt(e->ir, bits, i32, "");
    LLVMValueRef sign = LLVMBuildShl(e->ir, LLVMBuildAnd(e->ir, h, make_int(i32, 0x8000), ""),
                                     make_int(i32, 16), "");
    LLVMValueRef magnitude = LLVMBuildShl(e->ir, LLVMBuildAnd(e->ir, h, make_int(i32, 0x7fff), ""),
                                          make_int(i32, 13), "");
    LLVMValueRef normal = LLVMBuildAdd(e->ir, magnitude, make_int(i32, 112 << 23), "");
    LLVMValueRef special = LLVMBuildAdd(e->ir, magnitude, make_int(i32, 224 << 23), "");
    LLVMValueRef behind = LLVMBuildBitCast(
        e->ir, LLVMBuildAdd(e->ir, magnitude, make_int(i32, 113 << 23), ""), f32, "");
    LLVMValueRef small =
        LLVMBuildBitCast(e->ir, LLVMBuildFSub(e->ir, behind, make_real(f32, 0x1p-14), ""), i32, "");
    LLVMValueRef is_small = LLVMBuildICmp(e->ir, LLVMIntULT, magnitude, make_int(i32, 1 << 23), "");
    LLVMValueRef is_special =
        LLVMBuildICmp(e->ir, LLVMIntUGE, magnitude, make_int(i32, 31 << 23), "");
    LLVMValueRef picked = LLVMBuildSelect(
        e->ir, is_small, small, LLVMBuildSelect(e->ir, is_special, special, normal, ""), "");
    return LLVMBuildBitCast(e->ir, LLVMBuildOr(e->ir, picked, sign, ""), f32, "");
}

/* Normal results: round the 13 lost bits to even. Subnormal results: adding 0.5 leaves the rounded
 * multiple of 2^-24 in the low bits. From 65520 up: infinity. */
static LLVMValueRef f16_bits(Emit *e, LLVMValueRef v)
{
    unsigned n = lanes_of(v);
    LLVMTypeRef i32 = type_lanes(e->i32, n), f32 = type_lanes(e->f32, n);
    LLVMValueRef bits = LLVMBuildBitCast(e->ir, v, i32, "");
    LLVMValueRef sign = LLVMBuildAnd(e->ir, LLVMBuildLShr(e->ir, bits, make_int(i32, 16), ""),
                                     make_int(i32, 0x8000), "");
    LLVMValueRef a = LLVMBuildAnd(e->ir, bits, make_int(i32, 0x7fffffff), "");
    LLVMValueRef odd =
        LLVMBuildAnd(e->ir, LLVMBuildLShr(e->ir, a, make_int(i32, 13), ""), make_int(i32, 1), "");
    LLVMValueRef biased = LLVMBuildAdd(e->ir, LLVMBuildSub(e->ir, a, make_int(i32, 112 << 23), ""),
                                       make_int(i32, 0xfff), "");
    LLVMValueRef normal =
        LLVMBuildLShr(e->ir, LLVMBuildAdd(e->ir, biased, odd, ""), make_int(i32, 13), "");
    LLVMValueRef sum =
        LLVMBuildFAdd(e->ir, LLVMBuildBitCast(e->ir, a, f32, ""), make_real(f32, 0.5), "");
    LLVMValueRef small =
        LLVMBuildSub(e->ir, LLVMBuildBitCast(e->ir, sum, i32, ""), make_int(i32, 0x3f000000), "");
    LLVMValueRef is_small = LLVMBuildICmp(e->ir, LLVMIntULT, a, make_int(i32, 113 << 23), "");
    LLVMValueRef is_big = LLVMBuildICmp(e->ir, LLVMIntUGE, a, make_int(i32, 0x477ff000), "");
    LLVMValueRef is_nan = LLVMBuildICmp(e->ir, LLVMIntUGT, a, make_int(i32, 0x7f800000), "");
    LLVMValueRef r = LLVMBuildSelect(e->ir, is_small, small, normal, "");
    r = LLVMBuildSelect(e->ir, is_big, make_int(i32, 0x7c00), r, "");
    r = LLVMBuildSelect(e->ir, is_nan, make_int(i32, 0x7e00), r, "");
    return LLVMBuildTrunc(e->ir, LLVMBuildOr(e->ir, r, sign, ""), type_lanes(e->i16, n), "");
}

LLVMValueRef value_loaded(Emit *e, LLVMValueRef stored, DType dtype)
{
    if (dtype == DT_BOOL)
        return LLVMBuildICmp(e->ir, LLVMIntNE, stored, make_int(LLVMTypeOf(stored), 0), "");
    if (dtype == DT_BF16)
        return bf16_value(e, stored);
    if (dtype == DT_F16)
        return f16_value(e, stored);
    return stored;
}

LLVMValueRef value_stored(Emit *e, LLVMValueRef v, DType dtype)
{
    if (dtype == DT_BOOL)
        return LLVMBuildZExt(e->ir, v, type_lanes(e->i8, lanes_of(v)), "");
    if (dtype == DT_BF16)
        return bf16_bits(e, v);
    if (dtype == DT_F16)
        return f16_bits(e, v);
    return v;
}

static bool is_unsigned(DType dtype)
{
    return dtype == DT_BOOL || dtype == DT_U8;
}

static LLVMValueRef convert_float(Emit *e, LLVMValueRef v, DType from, DType to)
{
    LLVMTypeRef type = type_of(e, to, lanes_of(v));
    if (to == DT_F64)
        return from == DT_F64 ? v : LLVMBuildFPExt(e->ir, v, type, "");
    LLVMValueRef single = from == DT_F64 ? LLVMBuildFPTrunc(e->ir, v, type, "") : v;
    if ((to == DT_BF16 || to == DT_F16) && from != to)
        return value_loaded(e, value_stored(e, single, to), to);
    return single;
}

/* Out of range goes to the nearest end, NaN to 0, as scalar_fold says. */
static LLVMValueRef convert_to_int(Emit *e, LLVMValueRef v, DType to)
{
    LLVMTypeRef types[] = {type_of(e, to, lanes_of(v)), LLVMTypeOf(v)};
    return intrinsic(e, is_unsigned(to) ? "llvm.fptoui.sat" : "llvm.fptosi.sat", 2, types, 1, &v);
}

/* Saturating between ints too. */
static LLVMValueRef convert_int(Emit *e, LLVMValueRef v, DType from, DType to)
{
    unsigned n = lanes_of(v);
    LLVMTypeRef type = type_of(e, to, n), source = LLVMTypeOf(v);
    if (dtype_bytes(to) > dtype_bytes(from) || from == DT_BOOL)
        return is_unsigned(from) ? LLVMBuildZExt(e->ir, v, type, "")
                                 : LLVMBuildSExt(e->ir, v, type, "");
    int64_t low = to == DT_U8 ? 0 : to == DT_I8 ? INT8_MIN : INT32_MIN;
    int64_t high = to == DT_U8 ? UINT8_MAX : to == DT_I8 ? INT8_MAX : INT32_MAX;
    if (from == DT_U8)
        high = INT8_MAX;
    LLVMValueRef lo = make_int(source, low), hi = make_int(source, high);
    if (from == DT_U8) {
        LLVMValueRef big = LLVMBuildICmp(e->ir, LLVMIntUGT, v, hi, "");
        return LLVMBuildSelect(e->ir, big, hi, v, "");
    }
    v = LLVMBuildSelect(e->ir, LLVMBuildICmp(e->ir, LLVMIntSLT, v, lo, ""), lo, v, "");
    if (dtype_bytes(to) < dtype_bytes(from)) {
        v = LLVMBuildSelect(e->ir, LLVMBuildICmp(e->ir, LLVMIntSGT, v, hi, ""), hi, v, "");
        v = LLVMBuildTrunc(e->ir, v, type, "");
    }
    return v;
}

LLVMValueRef convert(Emit *e, LLVMValueRef v, DType from, DType to)
{
    if (from == to)
        return v;
    if (dtype_is_float(from) && dtype_is_float(to))
        return convert_float(e, v, from, to);
    LLVMTypeRef type = type_of(e, to, lanes_of(v));
    if (dtype_is_float(from)) {
        if (to == DT_BOOL)
            return LLVMBuildFCmp(e->ir, LLVMRealUNE, v, make_real(LLVMTypeOf(v), 0), "");
        return convert_to_int(e, v, to);
    }
    if (to == DT_BOOL)
        return LLVMBuildICmp(e->ir, LLVMIntNE, v, make_int(LLVMTypeOf(v), 0), "");
    if (dtype_is_float(to)) {
        LLVMValueRef real = is_unsigned(from) ? LLVMBuildUIToFP(e->ir, v, type, "")
                                              : LLVMBuildSIToFP(e->ir, v, type, "");
        return to == DT_BF16 || to == DT_F16 ? convert_float(e, real, DT_F32, to) : real;
    }
    return convert_int(e, v, from, to);
}
