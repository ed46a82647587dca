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
