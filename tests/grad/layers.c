/* Gradients of layers: every row of the case table that is a linear map, a window or a view. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "support/gradcheck.h"

static const GradCase products[] = {
    {"linear",
     "param x[3, 5]\nparam w[4, 5]\nparam b[4]\n"
     "m[n:3, o:4] = sum[i:5] x[n, i] * w[o, i]\n"
     "y[n:3, o:4] = m[n, o] + b[o]",
     .ratio = 2.21},
    {"matmul NN", "param a[3, 5]\nparam b[5, 4]\ny[n:3, o:4] = sum[i:5] a[n, i] * b[i, o]",
     .ratio = 2},
    {"matmul TN", "param a[5, 3]\nparam b[5, 4]\ny[n:3, o:4] = sum[i:5] a[i, n] * b[i, o]",
     .ratio = 2},
    {"matmul batched",
     "param a[2, 3, 5]\nparam b[2, 5, 4]\n"
     "y[z:2, n:3, o:4] = sum[i:5] a[z, n, i] * b[z, i, o]",
     .ratio = 2},
    {"matmul of size 1", "param a[1, 5]\nparam b[5, 1]\ny[n:1, o:1] = sum[i:5] a[n, i] * b[i, o]",
     .ratio = 2},
    {"broadcast sums",
     "param a[3, 1]\nparam b[4]\nparam s\n"
     "y[i:3, j:4] = a[i, 0] * b[j] + s",
     .ratio = 4},
};

#define CONV(N, O, P, Q, C, K, L, W, X, E, F)                                                      \
    "param x[" #N ", " X "]\nparam w[" W "]\n"                                                     \
    "y[n:" #N ", o:" #O ", p:" #P ", q:" #Q "] = sum[c:" #C ", i:" #K ", j:" #L "] "               \
    "w[o, c, i, j] * (x[n, c, " E ", " F "] ?? 0)"

static const GradCase convolutions[] = {
    {"conv k1 s1", CONV(2, 4, 4, 4, 3, 1, 1, "4, 3, 1, 1", "3, 4, 4", "p+i", "q+j"), .ratio = 2},
    {"conv k1 s2", CONV(2, 4, 3, 2, 3, 1, 1, "4, 3, 1, 1", "3, 5, 4", "2*p+i", "2*q+j"),
     .ratio = 2},
    {"conv k4 s4", CONV(2, 4, 2, 2, 3, 4, 4, "4, 3, 4, 4", "3, 8, 8", "4*p+i", "4*q+j"),
     .ratio = 2},
    {"conv k2 s3", CONV(2, 2, 3, 2, 3, 2, 2, "2, 3, 2, 2", "3, 9, 6", "3*p+i", "3*q+j"),
     .ratio = 2},
    {"conv k3 s1 p1", CONV(2, 4, 6, 7, 3, 3, 3, "4, 3, 3, 3", "3, 6, 7", "p+i-1", "q+j-1"),
     .ratio = 2},
    {"conv k3 s1 p0", CONV(2, 4, 4, 5, 3, 3, 3, "4, 3, 3, 3", "3, 6, 7", "p+i", "q+j"),
     .ratio = 3.1},
    {"conv k3 s2 p1 odd", CONV(2, 4, 5, 4, 3, 3, 3, "4, 3, 3, 3", "3, 9, 8", "2*p+i-1", "2*q+j-1"),
     .ratio = 2},
    {"conv k3 s2 p(0,1)", CONV(2, 4, 4, 4, 3, 3, 3, "4, 3, 3, 3", "3, 8, 8", "2*p+i", "2*q+j"),
     .ratio = 2},
    {"conv k7 s2 p3", CONV(1, 2, 6, 7, 3, 7, 7, "2, 3, 7, 7", "3, 12, 13", "2*p+i-3", "2*q+j-3"),
     .ratio = 2},
    {"conv k3 s3 p1", CONV(2, 3, 4, 3, 2, 3, 3, "3, 2, 3, 3", "2, 10, 9", "3*p+i-1", "3*q+j-1"),
     .ratio = 2},
    {"conv d2 s1", CONV(1, 2, 6, 7, 2, 3, 3, "2, 2, 3, 3", "2, 6, 7", "p+2*i-2", "q+2*j-2"),
     .ratio = 2},
    {"conv d2 s2", CONV(1, 2, 4, 4, 2, 3, 3, "2, 2, 3, 3", "2, 8, 7", "2*p+2*i-2", "2*q+2*j-2"),
     .ratio = 2},
    {"conv d2 s3", CONV(1, 2, 4, 3, 2, 3, 3, "2, 2, 3, 3", "2, 10, 9", "3*p+2*i-2", "3*q+2*j-2"),
     .ratio = 2},
    {"conv k5 s4 d3",
     CONV(1, 2, 4, 3, 2, 5, 5, "2, 2, 5, 5", "2, 17, 13", "4*p+3*i-6", "4*q+3*j-6"), .ratio = 2.1},
    {"conv groups 2",
     "param x[2, 4, 6, 6]\nparam w[6, 2, 3, 3]\n"
     "y[n:2, o:6, p:6, q:6] = sum[c:2, i:3, j:3] "
     "w[o, c, i, j] * (x[n, o//3*2 + c, p+i-1, q+j-1] ?? 0)",
     .ratio = 2},
    {"conv depthwise",
     "param x[2, 4, 5, 6]\nparam w[4, 1, 3, 3]\n"
     "y[n:2, o:4, p:5, q:6] = sum[c:1, i:3, j:3] "
     "w[o, c, i, j] * (x[n, o//1*1 + c, p+i-1, q+j-1] ?? 0)",
     .ratio = 2},
    {"conv depthwise s2",
     "param x[2, 4, 5, 6]\nparam w[4, 1, 3, 3]\n"
     "y[n:2, o:4, p:3, q:3] = sum[c:1, i:3, j:3] "
     "w[o, c, i, j] * (x[n, o + c, 2*p+i-1, 2*q+j-1] ?? 0)",
     .ratio = 2},
    {"conv multiplier 2",
     "param x[2, 3, 5, 6]\nparam w[6, 1, 3, 3]\n"
     "y[n:2, o:6, p:5, q:6] = sum[c:1, i:3, j:3] "
     "w[o, c, i, j] * (x[n, o//2 + c, p+i-1, q+j-1] ?? 0)",
     .ratio = 2},
    {"conv k20 s17",
     CONV(1, 1, 2, 1, 1, 20, 20, "1, 1, 20, 20", "1, 34, 17", "17*p+i-1", "17*q+j-1"),
     .ratio = 2.3},
    {"conv k19 s18", CONV(1, 1, 2, 2, 1, 19, 19, "1, 1, 19, 19", "1, 36, 36", "18*p+i", "18*q+j"),
     .ratio = 2.2},
};

#define CONVT(MASK, P, Q, K, X, E, F)                                                              \
    "param x[2, 3, " X "]\nparam w[3, 2, " #K ", " #K "]\n"                                        \
    "y[n:2, o:2, h:" #P ", v:" #Q "] = sum[c:3, i:" #K ", j:" #K "] "                              \
    "select(" MASK ", w[c, o, i, j] * (x[n, c, " E ", " F "] ?? 0), 0.0)"

static const GradCase transposed[] = {
    {"transposed k3 s2",
     CONVT("(h+1-i) % 2 == 0 and (v+1-j) % 2 == 0", 10, 8, 3, "5, 4", "(h+1-i)//2", "(v+1-j)//2"),
     .ratio = 0.63},
    {"transposed k4 s2",
     CONVT("(h+1-i) % 2 == 0 and (v+1-j) % 2 == 0", 10, 10, 4, "5, 5", "(h+1-i)//2", "(v+1-j)//2"),
     .ratio = 0.62},
    {"transposed k2 s2",
     CONVT("(h-i) % 2 == 0 and (v-j) % 2 == 0", 10, 8, 2, "5, 4", "(h-i)//2", "(v-j)//2"),
     .ratio = 0.63},
    {"transposed k5 s3",
     CONVT("(h+1-i) % 3 == 0 and (v+1-j) % 3 == 0", 14, 11, 5, "5, 4", "(h+1-i)//3", "(v+1-j)//3"),
     .ratio = 0.26},
    {"transposed k4 s2 by taps",
     "param x[2, 3, 5, 5]\nparam w[3, 2, 4, 4]\n"
     "y[n:2, o:2, h:10, v:10] = sum[c:3, i:2, j:2] w[c, o, 2*i + (h+1)%2, 2*j + (v+1)%2] * "
     "(x[n, c, (h+1)//2 - i, (v+1)//2 - j] ?? 0)",
     .ratio = 2.7},
    {"transposed k3 s2 by taps",
     "param x[2, 3, 5, 4]\nparam w[3, 2, 3, 3]\n"
     "y[n:2, o:2, h:10, v:8] = sum[c:3, i:2, j:2] (w[c, o, 2*i + (h+1)%2, 2*j + (v+1)%2] ?? 0) * "
     "(x[n, c, (h+1)//2 - i, (v+1)//2 - j] ?? 0)",
     .ratio = 2.7},
    {"transposed k34 s17 p8",
     "param x[1, 1, 3, 3]\nparam w[1, 1, 34, 34]\n"
     "y[n:1, o:1, h:52, v:52] = sum[c:1, i:34, j:34] "
     "select((h+8-i) % 17 == 0 and (v+8-j) % 17 == 0, "
     "w[c, o, i, j] * (x[n, c, (h+8-i)//17, (v+8-j)//17] ?? 0), 0.0)",
     .ratio = 0.01,
     .kinks = true},
};

static const GradCase pools[] = {
    {"max pool 3x3 s2 p1",
     "param x[2, 3, 5, 7]\ny[n:2, c:3, p:3, q:4] = max[i:3, j:3] "
     "(x[n, c, 2*p+i-1, 2*q+j-1] ?? -inf)",
     .ratio = 2.9},
    {"max pool with ties",
     "param x[2, 3, 5, 7] ties\ny[n:2, c:3, p:3, q:4] = max[i:3, j:3] "
     "(x[n, c, 2*p+i-1, 2*q+j-1] ?? -inf)",
     .ratio = 2.9, .kinks = true},
    {"max pool 2x2 odd",
     "param x[2, 3, 5, 7]\ny[n:2, c:3, p:2, q:3] = max[i:2, j:2] "
     "x[n, c, 2*p+i, 2*q+j]",
     .ratio = 3},
    {"avg pool 3x3 s2 p1",
     "param x[2, 3, 5, 7]\ny[n:2, c:3, p:3, q:4] = sum[i:3, j:3] "
     "0.111 * (x[n, c, 2*p+i-1, 2*q+j-1] ?? 0)",
     .ratio = 1},
    {"global mean", "param x[2, 3, 5, 7]\ny[n:2, c:3] = sum[p:5, q:7] 0.03 * x[n, c, p, q]",
     .ratio = 1},
    {"adaptive 10 to 4",
     "param x[2, 10]\ny[n:2, p:4] = sum[i:4] select(10*p//4 + i < (10*p+13)//4, "
     "x[n, 10*p//4 + i] ?? 0, 0.0)",
     .ratio = 0.63},
    {"adaptive 8 to 4",
     "param x[2, 8]\ny[n:2, p:4] = sum[i:2] select(8*p//4 + i < (8*p+11)//4, "
     "x[n, 8*p//4 + i] ?? 0, 0.0)",
     .ratio = 1},
    {"adaptive 7 to 5",
     "param x[7]\ny[p:5] = sum[i:3] select(7*p//5 + i < (7*p+11)//5, "
     "x[7*p//5 + i] ?? 0, 0.0)",
     .ratio = 1.4},
    {"adaptive 12 to 5",
     "param x[12]\ny[p:5] = sum[i:4] select(12*p//5 + i < (12*p+16)//5, "
     "x[12*p//5 + i] ?? 0, 0.0)",
     .ratio = 1.4},
    {"adaptive 5 to 9",
     "param x[5]\ny[p:9] = sum[i:2] select(5*p//9 + i < (5*p+13)//9, "
     "x[5*p//9 + i] ?? 0, 0.0)",
     .ratio = 1.4},
};

static const GradCase views[] = {
    {"nearest x2", "param x[2, 3, 4]\ny[n:2, p:6, q:8] = x[n, p//2, q//2]", .ratio = 1},
    {"nearest 5 to 7", "param x[5]\ny[p:7] = x[5*p//7]", .ratio = 1.43},
    {"nearest 7 to 3", "param x[7]\ny[p:3] = x[7*p//3]", .ratio = 1},
    {"bilinear up",
     "param x[2, 4, 3]\n"
     "input t[7, 2] below 4\ninput f[7, 2]\n"
     "y[n:2, p:7] = sum[u:2] f[p, u] * x[n, t[p, u], 0]",
     .ratio = 0, .scatter = true},
    {"pixel shuffle",
     "param x[2, 12, 3, 2]\n"
     "y[n:2, c:3, h:6, v:4] = x[n, c*4 + h%2*2 + v%2, h//2, v//2]",
     .ratio = 1},
    {"pixel unshuffle",
     "param x[2, 3, 6, 4]\n"
     "y[n:2, c:12, h:3, v:2] = x[n, c//4, h*2 + c//2%2, v*2 + c%2]",
     .ratio = 1},
    {"flip", "param x[3, 7]\ny[n:3, i:7] = x[n, 6-i]", .ratio = 1},
    {"roll", "param x[3, 7]\ny[n:3, i:7] = x[n, (i+3) % 7]", .ratio = 1},
    {"crop and pad", "param x[3, 7]\ny[n:2, i:9] = x[n+1, i-1] ?? 0", .ratio = 1},
    {"reshape", "param x[4, 6]\ny[a:3, b:8] = x[(a*8+b)//6, (a*8+b)%6]", .ratio = 2},
    {"concatenation",
     "param a[2, 3]\nparam b[2, 4]\nparam c[2, 2]\n"
     "y[n:2, i:9] = a[n, i] ?? (b[n, i-3] ?? (c[n, i-7] ?? 0))",
     .ratio = 1.1},
    {"concatenation of pieces",
     "param a[2, 3]\nparam b[2, 4]\n"
     "y[n, i | n:2, i:3] of 2, 7 = a[n, i]\n"
     "y[n, i+3 | n:2, i:4] of 2, 7 += 2.0 * b[n, i]",
     .ratio = 1.1},
    {"row 0", "param x[2, 5, 3]\ny[n:2, d:3] = x[n, 0, d]", .ratio = 1},
    {"shifted slice", "param x[2, 5]\ny[n:2, t:4] = x[n, t+1]", .ratio = 1},
    {"two reads", "param x[6]\ny[i:5] = x[i]*x[i+1] + x[i]^3", .ratio = 3},
    {"diagonal", "param x[4, 4]\ny[k:4] = x[k, k]", .ratio = 1},
    {"trace", "param x[4, 4]\ny = sum[k:4] x[k, k]", .ratio = 1.3},
    {"three operands",
     "param a[3, 4]\nparam b[4, 5]\nparam c[5]\n"
     "y[i:3] = sum[j:4, k:5] a[i, j] * b[j, k] * c[k]",
     .ratio = 2.1},
    {"hankel", "param x[7]\ny[i:4, j:4] = x[i+j]", .ratio = 1.8},
    {"relative bias", "param b[9]\ny[n:2, t:5, u:5] = b[t-u+4]", .ratio = 1.8},
};

static void all(void **state)
{
    (void)state;
    int failures = 0;
#define RUN(rows) failures += gradcheck_all(rows, sizeof rows / sizeof *rows)
    RUN(products);
    RUN(convolutions);
    RUN(transposed);
    RUN(pools);
    RUN(views);
    assert_int_equal(failures, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(all)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
