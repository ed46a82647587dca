/* fold: the value of every scalar function in double precision: the definition that derivatives and
 * generated code are checked against. Also names and sizes of dtypes. */
#include "graph/internal.h"

#include <assert.h>
#include <math.h>

const char *dtype_name(DType dtype)
{
    static const char *const names[] = {
#define DTYPE(id, name, bytes, is_float) name,
#include "graph/dtype.def"
#undef DTYPE
    };
    return names[dtype];
}

size_t dtype_bytes(DType dtype)
{
    static const size_t sizes[] = {
#define DTYPE(id, name, bytes, is_float) bytes,
#include "graph/dtype.def"
#undef DTYPE
    };
    return sizes[dtype];
}

bool dtype_is_float(DType dtype)
{
    static const bool floats[] = {
#define DTYPE(id, name, bytes, is_float) is_float,
#include "graph/dtype.def"
#undef DTYPE
    };
    return floats[dtype];
}

bool dtype_is_short(DType dtype)
{
    return dtype_is_float(dtype) && dtype_bytes(dtype) < dtype_bytes(DT_F32);
}

DType dtype_widen(DType a, DType b)
{
    if (a == b)
        return a;
    DType low = a < b ? a : b, high = a < b ? b : a;
    if ((low == DT_U8 && high == DT_I8))
        return DT_I32;
    if (low == DT_BF16 && high == DT_F16)
        return DT_F32;
    return high;
}

const char *scalar_op_name(ScalarOp op)
{
    static const char *const names[] = {
#define SCALAR(id, name, arity, type, range) name,
#include "graph/scalar.def"
#undef SCALAR
    };
    return names[op];
}

static double floor_quotient(double a, double b)
{
    return floor(a / b);
}

static double floor_remainder(double a, double b)
{
    double r = fmod(a, b);
    return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}

/* C truncates; what does not fit goes to the nearest end, NaN to 0. */
static double cast_int(double a, double low, double high)
{
    if (isnan(a))
        return 0;
    double t = trunc(a);
    t = t < low ? low : t > high ? high : t;
    return t == 0 ? 0 : t;                            /* no -0 among ints */
}

/* To the nearest number of so many bits, ties to even; least: the exponent of the smallest normal
 * number, below which all are multiples of one step. */
static double rounded(double a, int bits, int least, double largest)
{
    int exponent;
    if (a == 0 || !isfinite(a))
        return a;
    (void)frexp(a, &exponent);
    exponent = exponent - 1 > least ? exponent - 1 : least;
    double step = ldexp(1, exponent - bits + 1), r = nearbyint(a / step) * step;
    return fabs(r) > largest ? copysign(INFINITY, r) : r;
}

static double cast_to(DType dtype, double a)
{
    switch (dtype) {
    case DT_BOOL:
        return a != 0;
    case DT_U8:
        return cast_int(a, 0, UINT8_MAX);
    case DT_I8:
        return cast_int(a, INT8_MIN, INT8_MAX);
    case DT_I32:
        return cast_int(a, INT32_MIN, INT32_MAX);
    case DT_I64:
        return cast_int(a, -0x1p63, 0x1p63);
    case DT_BF16:
        return rounded(a, 8, -126, 0x1.fep127);
    case DT_F16:
        return rounded(a, 11, -14, 65504);
    case DT_F32:
    case DT_F64:
    case DT_COUNT:
        return a;
    }
    return a;
}

static double sum_of(size_t n, const double *x)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += x[i];
    return sum;
}

static double product_of(size_t n, const double *x)
{
    double product = 1;
    for (size_t i = 0; i < n; i++)
        product *= x[i];
    return product;
}

/* dtype: the result's; only casts depend on it. */
double scalar_fold(ScalarOp op, DType dtype, size_t n, const double *args)
{
    double a = n > 0 ? args[0] : 0, b = n > 1 ? args[1] : 0;
    switch (op) {
    case OP_ADD: return sum_of(n, args);
    case OP_MUL: return product_of(n, args);
    case OP_SUB: return a - b;
    case OP_NEG: return -a;
    case OP_DIV: return a / b;
    case OP_IDIV: return floor_quotient(a, b);
    case OP_MOD: return floor_remainder(a, b);
    case OP_POW: return pow(a, b);
    case OP_MAX: return a > b || isnan(a) ? a : b;
    case OP_MIN: return a < b || isnan(a) ? a : b;
    case OP_ABS: return fabs(a);
    case OP_SIGN: return isnan(a) ? a : (a > 0) - (a < 0);
    case OP_FLOOR: return floor(a);
    case OP_CEIL: return ceil(a);
    case OP_ROUND: return nearbyint(a);               /* ties to even */
    case OP_EXP: return exp(a);
    case OP_EXPM1: return expm1(a);
    case OP_LOG: return log(a);
    case OP_LOG1P: return log1p(a);
    case OP_LOG2: return log2(a);
    case OP_SQRT: return sqrt(a);
    case OP_RSQRT: return 1 / sqrt(a);
    case OP_SIN: return sin(a);
    case OP_COS: return cos(a);
    case OP_TAN: return tan(a);
    case OP_ASIN: return asin(a);
    case OP_ACOS: return acos(a);
    case OP_ATAN: return atan(a);
    case OP_ATAN2: return atan2(a, b);
    case OP_SINH: return sinh(a);
    case OP_COSH: return cosh(a);
    case OP_TANH: return tanh(a);
    case OP_ERF: return erf(a);
    case OP_EQ: return a == b;
    case OP_NE: return a != b;
    case OP_LT: return a < b;
    case OP_LE: return a <= b;
    case OP_AND: return a != 0 && b != 0;
    case OP_OR: return a != 0 || b != 0;
    case OP_NOT: return a == 0;
    case OP_ISNAN: return isnan(a) ? 1 : 0;
    case OP_ISINF: return isinf(a) ? 1 : 0;
    case OP_SELECT: return a != 0 ? b : args[2];
    case OP_STOP: return a;
    case OP_CAST: return cast_to(dtype, a);
    case OP_COUNT: break;
    }
    assert(false && "a scalar function");
    return NAN;
}
