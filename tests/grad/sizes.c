/* Real sizes, derived and counted only: backward visits twice the points of forward, in few pieces.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "support/gradcheck.h"

#define CONV(O, P, C, K, X, E, F)                                                                  \
    "param x[32, " #C ", " #X ", " #X "]\nparam w[" #O ", " #C ", " #K ", " #K "]\n"               \
    "y[n:32, o:" #O ", p:" #P ", q:" #P "] = sum[c:" #C ", i:" #K ", j:" #K "] "                   \
    "w[o, c, i, j] * (x[n, c, " E ", " F "] ?? 0)"

static const GradCase sizes[] = {
    {"conv 7x7 s2 p3 224", CONV(64, 112, 3, 7, 224, "2*p+i-3", "2*q+j-3"), 2, .pieces = 6},
    {"conv 3x3 p1 56", CONV(64, 56, 64, 3, 56, "p+i-1", "q+j-1"), 2, .pieces = 3},
    {"conv 3x3 s2 p1 56", CONV(128, 28, 64, 3, 56, "2*p+i-1", "2*q+j-1"), 2, .pieces = 6},
    {"conv 1x1 s2 56", CONV(256, 28, 64, 1, 56, "2*p+i", "2*q+j"), 2, .pieces = 3},
    {"conv 3x3 p1 7", CONV(512, 7, 512, 3, 7, "p+i-1", "q+j-1"), 2, .pieces = 3},
    {"conv 3x3 d4 p4 28", CONV(64, 28, 64, 3, 28, "p+4*i-4", "q+4*j-4"), 2, .pieces = 3},
    {"conv 16x16 s16 224", CONV(768, 14, 3, 16, 224, "16*p+i", "16*q+j"), 2, .pieces = 3},
    {"conv 5x5 p0 32", CONV(64, 28, 64, 5, 32, "p+i", "q+j"), 2.31, .pieces = 3},
    {"depthwise 3x3 s2 112",
     "param x[32, 96, 112, 112]\nparam w[96, 1, 3, 3]\n"
     "y[n:32, o:96, p:56, q:56] = sum[c:1, i:3, j:3] "
     "w[o, c, i, j] * (x[n, o//1*1 + c, 2*p+i-1, 2*q+j-1] ?? 0)",
     2, .pieces = 6},
    {"32 groups 56",
     "param x[32, 128, 56, 56]\nparam w[128, 4, 3, 3]\n"
     "y[n:32, o:128, p:56, q:56] = sum[c:4, i:3, j:3] "
     "w[o, c, i, j] * (x[n, o//4*4 + c, p+i-1, q+j-1] ?? 0)",
     2, .pieces = 3},
    {"max pool 3x3 s2 p1 112",
     "param x[32, 64, 112, 112]\ny[n:32, c:64, p:56, q:56] = max[i:3, j:3] "
     "(x[n, c, 2*p+i-1, 2*q+j-1] ?? -inf)",
     2, .pieces = 6},
    {"adaptive 224 to 7",
     "param x[64, 224]\ny[n:64, p:7] = sum[i:32] "
     "select(224*p//7 + i < (224*p+230)//7, x[n, 224*p//7 + i] ?? 0, 0.0)",
     1, .pieces = 2},
    {"adaptive 100 to 7",
     "param x[64, 100]\ny[n:64, p:7] = sum[i:16] "
     "select(100*p//7 + i < (100*p+106)//7, x[n, 100*p//7 + i] ?? 0, 0.0)",
     1.79, .pieces = 2},
    {"embedding",
     "param w[30522, 768]\ninput ids[32, 128] below 30522\n"
     "y[b:32, t:128, d:768] = w[ids[b, t], d]",
     1, .pieces = 2, .scatter = true},
    {"transposed conv 4x4 s2 p1",
     "param x[8, 64, 32, 32]\nparam w[64, 32, 4, 4]\n"
     "y[n:8, o:32, h:64, v:64] = sum[c:64, i:2, j:2] w[c, o, 2*i + (h+1)%2, 2*j + (v+1)%2] * "
     "(x[n, c, (h+1)//2 - i, (v+1)//2 - j] ?? 0)",
     2.07, .pieces = 12},
    {"cross entropy 1024 x 50257",
     "param z[1024, 50257]\ninput t[1024] below 50257\n"
     "m[b:1024] = max[k:50257] z[b, k]\n"
     "s[b:1024] = sum[k:50257] exp(z[b, k] - stop(m[b]))\n"
     "y = sum[b:1024] stop(m[b]) + log(s[b]) - z[b, t[b]]",
     0.51, .pieces = 3},
    {"layer norm 768",
     "param x[2048, 768]\nparam g[768]\nparam b[768]\n"
     "u[n:2048] = sum[i:768] x[n, i] / 768.0\n"
     "v[n:2048] = sum[i:768] (x[n, i] - u[n])^2 / 768.0\n"
     "y[n:2048, i:768] = (x[n, i] - u[n]) * rsqrt(v[n] + 0.00001) * g[i] + b[i]",
     2.01, .pieces = 8},
    {"batch norm 32x64x56x56, stop",
     "param x[32, 64, 56, 56]\nparam g[64]\nparam b[64]\n"
     "u[c:64] = sum[n:32, h:56, w:56] x[n, c, h, w] / 100352.0\n"
     "v[c:64] = sum[n:32, h:56, w:56] (x[n, c, h, w] - u[c])^2 / 100352.0\n"
     "y[n:32, c:64, h:56, w:56] = (x[n, c, h, w] - stop(u[c])) * rsqrt(stop(v[c]) + 0.00001) * "
     "g[c] + b[c]",
     1.01, .pieces = 6},
    {"attention from fused qkv, 12 heads, T 128",
     "param z[8, 128, 2304]\n"
     "s[b:8, h:12, t:128, u:128] = sum[c:64] z[b, t, 64*h+c] * z[b, u, 64*h+c+768] * 0.125\n"
     "k[b:8, h:12, t:128, u:128] = select(u <= t, s[b, h, t, u], -inf)\n"
     "m[b:8, h:12, t:128] = max[u:128] k[b, h, t, u]\n"
     "e[b:8, h:12, t:128, u:128] = exp(k[b, h, t, u] - stop(m[b, h, t]))\n"
     "r[b:8, h:12, t:128] = sum[u:128] e[b, h, t, u]\n"
     "p[b:8, h:12, t:128, u:128] = e[b, h, t, u] / r[b, h, t]\n"
     "y[b:8, t:128, d:768] = sum[u:128] p[b, d//64, t, u] * z[b, u, d+1536]",
     1.97, .pieces = 12},
};

static void all(void **state)
{
    (void)state;
    assert_int_equal(gradcheck_all(sizes, sizeof sizes / sizeof *sizes), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(all)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
