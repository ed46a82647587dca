/* layout: what a dtype is in bytes, turning elements of one dtype into another, and walking tensors
 * whose storage order is not their logical one. Which conversions are allowed where is decided by
 * hone_dtype_converts and its callers. */
#include "internal.h"

#include <assert.h>
#include <string.h>

static const struct {
    const char *name;
    uint8_t bytes;
    bool is_float;
} dtypes[] = {
    [HONE_BOOL] = {"bool", 1, false}, [HONE_U8] = {"u8", 1, false},   [HONE_I8] = {"i8", 1, false},
    [HONE_I32] = {"i32", 4, false},   [HONE_I64] = {"i64", 8, false}, [HONE_BF16] = {"bf16", 2, true},
    [HONE_F16] = {"f16", 2, true},    [HONE_F32] = {"f32", 4, true},  [HONE_F64] = {"f64", 8, true},
};

size_t hone_dtype_bytes(HoneDType dtype)
{
    return dtypes[dtype].bytes;
}

const char *hone_dtype_name(HoneDType dtype)
{
    return dtypes[dtype].name;
}

bool hone_dtype_is_float(HoneDType dtype)
{
    return dtypes[dtype].is_float;
}

bool hone_dtype_converts(HoneDType from, HoneDType to)
{
    if (from == to || hone_dtype_is_float(to))
        return true;
    if (hone_dtype_is_float(from) || to == HONE_BOOL)
        return false;
    return hone_dtype_bytes(to) > hone_dtype_bytes(from);   /* u8 and i8 do not mix */
}

bool hone_size_of(uint32_t rank, const int64_t *dims, size_t element, uint64_t *bytes)
{
    uint64_t product = element;
    for (uint32_t i = 0; i < rank; i++)
        if (dims[i] < 0 || __builtin_mul_overflow(product, (uint64_t)dims[i], &product))
            return false;
    *bytes = product;
    return product <= INT64_MAX;
}

/* --- elements ------------------------------------------------------------------------------------- */
static float f32_of_bits(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static uint32_t bits_of_f32(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* IEEE half: 1 sign, 5 exponent (bias 15), 10 fraction bits. */
static float f32_of_f16(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = h >> 10 & 31, fraction = h & 1023;
    if (exponent == 0)
        return (sign ? -1.0f : 1.0f) * (float)fraction * 0x1p-24f;
    if (exponent == 31)
        return f32_of_bits(sign | 0x7F800000 | fraction << 13);
    return f32_of_bits(sign | (exponent + 112) << 23 | fraction << 13);
}

/* Nearest, ties to even: by adding a power of two that leaves just the bits that are kept. */
static uint16_t f16_of_f32(float x)
{
    uint32_t bits = bits_of_f32(x), sign = bits >> 16 & 0x8000, size = bits & 0x7FFFFFFF;
    if (size > 0x7F800000)
        return (uint16_t)(sign | 0x7E00);
    if (size >= 0x477FF000)                                  /* rounds to 2^16 or more */
        return (uint16_t)(sign | 0x7C00);
    if (size < 0x38800000)                                   /* below 2^-14: subnormal */
        return (uint16_t)(sign | (bits_of_f32(f32_of_bits(size) + 0.5f) - 0x3F000000));
    uint32_t rounded = size + 0xFFF + (size >> 13 & 1);
    return (uint16_t)(sign | (rounded - 0x38000000) >> 13);
}

static uint16_t bf16_of_f32(float x)
{
    uint32_t bits = bits_of_f32(x);
    if ((bits & 0x7FFFFFFF) > 0x7F800000)
        return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

#define LOAD(T, at)                                                                                \
    T x;                                                                                           \
    memcpy(&x, (at), sizeof x)

static double load_real(const void *at, HoneDType dtype)
{
    switch (dtype) {
    case HONE_BOOL: return *(const unsigned char *)at != 0;
    case HONE_U8: return *(const unsigned char *)at;
    case HONE_I8: return *(const signed char *)at;
    case HONE_I32: { LOAD(int32_t, at); return x; }
    case HONE_I64: { LOAD(int64_t, at); return (double)x; }
    case HONE_BF16: { LOAD(uint16_t, at); return (double)f32_of_bits((uint32_t)x << 16); }
    case HONE_F16: { LOAD(uint16_t, at); return (double)f32_of_f16(x); }
    case HONE_F32: { LOAD(float, at); return (double)x; }
    case HONE_F64: { LOAD(double, at); return x; }
    }
    return 0;
}

static int64_t load_int(const void *at, HoneDType dtype)
{
    if (dtype == HONE_I64) {
        LOAD(int64_t, at);
        return x;
    }
    return (int64_t)load_real(at, dtype);
}

static void store_int(void *at, HoneDType dtype, int64_t value)
{
    if (dtype == HONE_I64) {
        memcpy(at, &value, sizeof value);
    } else if (dtype == HONE_I32) {
        int32_t x = (int32_t)value;
        memcpy(at, &x, sizeof x);
    } else {
        *(unsigned char *)at = (unsigned char)value;
    }
}

static void store_real(void *at, HoneDType dtype, double value)
{
    if (dtype == HONE_F64) {
        memcpy(at, &value, sizeof value);
    } else if (dtype == HONE_F32) {
        float x = (float)value;
        memcpy(at, &x, sizeof x);
    } else {
        uint16_t x = dtype == HONE_F16 ? f16_of_f32((float)value) : bf16_of_f32((float)value);
        memcpy(at, &x, sizeof x);
    }
}

void hone_store(void *at, HoneDType dtype, double value)
{
    if (hone_dtype_is_float(dtype))
        store_real(at, dtype, value);
    else
        store_int(at, dtype, (int64_t)value);
}

double hone_fetch(const void *at, HoneDType dtype)
{
    return load_real(at, dtype);
}

static void copy_elements(char *to, int64_t to_step, const char *from, int64_t from_step,
                          size_t size, int64_t n)
{
    if (to_step == (int64_t)size && from_step == (int64_t)size) {
        memcpy(to, from, size * (size_t)n);
        return;
    }
    for (int64_t i = 0; i < n; i++, to += to_step, from += from_step)
        switch (size) {
        case 1: *to = *from; break;
        case 2: memcpy(to, from, 2); break;
        case 4: memcpy(to, from, 4); break;
        default: memcpy(to, from, 8); break;
        }
}

void hone_convert(void *to, HoneDType to_dtype, int64_t to_stride, const void *from,
                  HoneDType from_dtype, int64_t from_stride, int64_t n)
{
    assert(hone_dtype_converts(from_dtype, to_dtype));
    char *t = to;
    const char *f = from;
    int64_t t_step = to_stride * (int64_t)hone_dtype_bytes(to_dtype);
    int64_t f_step = from_stride * (int64_t)hone_dtype_bytes(from_dtype);
    if (to_dtype == from_dtype && to_dtype != HONE_BOOL) {
        copy_elements(t, t_step, f, f_step, hone_dtype_bytes(to_dtype), n);
        return;
    }
    for (int64_t i = 0; i < n; i++, t += t_step, f += f_step) {
        if (hone_dtype_is_float(to_dtype))
            store_real(t, to_dtype, load_real(f, from_dtype));
        else
            store_int(t, to_dtype, load_int(f, from_dtype));
    }
}

/* --- rows ----------------------------------------------------------------------------------------- */
static void row_major(uint32_t rank, const int64_t *dims, int64_t *strides)
{
    int64_t step = 1;
    for (uint32_t i = rank; i-- > 0;) {
        strides[i] = step;
        step *= dims[i];
    }
}

HoneRows hone_rows(uint32_t rank, const int64_t *dims, const int64_t *a, const int64_t *b)
{
    HoneRows rows = {.rank = rank, .n = 1, .a_step = 1, .b_step = 1, .valid = true};
    int64_t packed[HONE_MAX_RANK];
    row_major(rank, dims, packed);
    a = a ? a : packed;
    b = b ? b : packed;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < rank; i++) {
        rows.valid &= dims[i] > 0;
        if (dims[i] == 1)
            continue;
        bool joins = kept > 0 && rows.a_strides[kept - 1] == a[i] * dims[i] &&
                     rows.b_strides[kept - 1] == b[i] * dims[i];
        uint32_t at = joins ? kept - 1 : kept++;
        rows.dims[at] = joins ? rows.dims[at] * dims[i] : dims[i];
        rows.a_strides[at] = a[i];
        rows.b_strides[at] = b[i];
    }
    rows.rank = kept;
    if (kept > 0) {
        rows.rank--;
        rows.n = rows.dims[rows.rank];
        rows.a_step = rows.a_strides[rows.rank];
        rows.b_step = rows.b_strides[rows.rank];
    }
    return rows;
}

void hone_rows_next(HoneRows *rows)
{
    for (uint32_t i = rows->rank; i-- > 0;) {
        rows->a += rows->a_strides[i];
        rows->b += rows->b_strides[i];
        if (++rows->index[i] < rows->dims[i])
            return;
        rows->a -= rows->a_strides[i] * rows->dims[i];
        rows->b -= rows->b_strides[i] * rows->dims[i];
        rows->index[i] = 0;
    }
    rows->valid = false;
}

void hone_copy_strided(void *to, HoneDType to_dtype, const int64_t *to_strides, const void *from,
                       HoneDType from_dtype, const int64_t *from_strides, uint32_t rank,
                       const int64_t *dims)
{
    int64_t to_size = (int64_t)hone_dtype_bytes(to_dtype);
    int64_t from_size = (int64_t)hone_dtype_bytes(from_dtype);
    for (HoneRows rows = hone_rows(rank, dims, to_strides, from_strides); rows.valid;
         hone_rows_next(&rows))
        hone_convert((char *)to + rows.a * to_size, to_dtype, rows.a_step,
                     (const char *)from + rows.b * from_size, from_dtype, rows.b_step, rows.n);
}
