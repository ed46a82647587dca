/* Sizes at which loops are cut into tiles, chunks and partial sums, none of them a multiple of
 * anything: compiled forward and backward against the interpreter, without differences. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "support/gradcheck.h"

#define CONV(NN, O, P, Q, C, K, X, W, E, F)                                                        \
    "param x[" #NN ", " #C ", " X "]\nparam w[" W ", " #K ", " #K "]\nparam b[" #O "]\n"           \
    "a[n:" #NN ", o:" #O ", p:" #P ", q:" #Q "] = sum[c:" #C ", i:" #K ", j:" #K "] "              \
    "w[o, c, i, j] * (x[n, c, " E ", " F "] ?? 0)\n"                                               \
    "y[n:" #NN ", o:" #O ", p:" #P ", q:" #Q "] = max(a[n, o, p, q] + b[o], 0.0)"

static const GradCase rows[] = {
    {"matmul 67 x 71 x 131",
     "param a[67, 131]\nparam b[71, 131]\ny[i:67, j:71] = sum[k:131] a[i, k] * b[j, k]",
     .kinks = true, .ratio = 2},
    {"matmul NN 61 x 97 x 130",
     "param a[61, 130]\nparam b[130, 97]\ny[i:61, j:97] = sum[k:130] a[i, k] * b[k, j]",
     .kinks = true, .ratio = 2},
    {"thin matmul 3 x 1001 x 257",
     "param a[3, 257]\nparam b[1001, 257]\ny[i:3, j:1001] = sum[k:257] a[i, k] * b[j, k]",
     .kinks = true, .ratio = 2},
    {"long matmul 7 x 9 x 9001",
     "param a[7, 9001]\nparam b[9001, 9]\ny[i:7, j:9] = sum[k:9001] a[i, k] * b[k, j]",
     .kinks = true, .ratio = 2},
    {"batched matmul 5 x 33 x 65 x 17",
     "param a[5, 33, 17]\nparam b[5, 65, 17]\n"
     "y[z:5, i:33, j:65] = sum[k:17] a[z, i, k] * b[z, j, k]",
     .kinks = true, .ratio = 2},
    {"conv 3x3", CONV(1, 19, 17, 15, 18, 3, "17, 15", "19, 18", "p+i-1", "q+j-1"), .kinks = true,
     .ratio = 2},
    {"conv 3x3 s2", CONV(1, 33, 9, 17, 17, 3, "18, 33", "33, 17", "2*p+i-1", "2*q+j-1"),
     .kinks = true, .ratio = 2},
    {"conv 1x1", CONV(2, 37, 19, 13, 53, 1, "19, 13", "37, 53", "p+i", "q+j"), .kinks = true,
     .ratio = 2},
    {"conv 7x7 s2, 3 channels", CONV(1, 17, 20, 22, 3, 7, "39, 44", "17, 3", "2*p+i-3", "2*q+j-3"),
     .kinks = true, .ratio = 2},
    {"depthwise 3x3 s2",
     "param x[3, 37, 29, 31]\nparam w[37, 1, 3, 3]\n"
     "y[n:3, o:37, p:15, q:16] = sum[c:1, i:3, j:3] w[o, c, i, j] * "
     "(x[n, o+c, 2*p+i-1, 2*q+j-1] ?? 0)",
     .kinks = true, .ratio = 2},
    {"grouped conv",
     "param x[2, 24, 13, 11]\nparam w[36, 8, 3, 3]\n"
     "y[n:2, o:36, p:13, q:11] = sum[c:8, i:3, j:3] w[o, c, i, j] * "
     "(x[n, o//12*8 + c, p+i-1, q+j-1] ?? 0)",
     .kinks = true, .ratio = 2},
    {"max pool",
     "param x[3, 21, 37, 35]\ny[n:3, c:21, p:19, q:18] = max[i:3, j:3] "
     "(x[n, c, 2*p+i-1, 2*q+j-1] ?? -inf)",
     .kinks = true, .ratio = 2},
    {"batch norm",
     "param x[5, 19, 21, 23]\nparam g[19]\nparam b[19]\n"
     "u[c:19] = sum[n:5, h:21, w:23] x[n, c, h, w] / 2415.0\n"
     "v[c:19] = sum[n:5, h:21, w:23] (x[n, c, h, w] - stop(u[c]))^2 / 2415.0\n"
     "y[n:5, c:19, h:21, w:23] = max((x[n, c, h, w] - u[c]) * rsqrt(v[c] + 0.001) * g[c] + b[c], "
     "0.0)",
     .kinks = true},
    {"layer norm and projection",
     "param x[67, 129]\nparam g[129]\nparam w[35, 129]\n"
     "u[n:67] = sum[i:129] x[n, i] / 129.0\n"
     "v[n:67] = sum[i:129] (x[n, i] - stop(u[n]))^2 / 129.0\n"
     "h[n:67, i:129] = (x[n, i] - u[n]) * rsqrt(v[n] + 0.001) * g[i]\n"
     "y[n:67, o:35] = sum[i:129] h[n, i] * w[o, i]",
     .kinks = true},
    {"cross entropy over 1009",
     "param z[37, 1009]\ninput t[37] below 1009\nm[b:37] = max[k:1009] z[b, k]\n"
     "s[b:37] = sum[k:1009] exp(z[b, k] - stop(m[b]))\n"
     "y = sum[b:37] stop(m[b]) + log(s[b]) - z[b, t[b]]",
     .kinks = true},
    {"attention, 3 heads",
     "param q[2, 35, 51]\nparam k[2, 35, 51]\nparam v[2, 35, 51]\n"
     "s[b:2, h:3, t:35, u:35] = sum[c:17] q[b, t, 17*h+c] * k[b, u, 17*h+c] * 0.25\n"
     "m[b:2, h:3, t:35] = max[u:35] select(u <= t, s[b, h, t, u], -inf)\n"
     "e[b:2, h:3, t:35, u:35] = exp(select(u <= t, s[b, h, t, u], -inf) - stop(m[b, h, t]))\n"
     "r[b:2, h:3, t:35] = sum[u:35] e[b, h, t, u]\n"
     "o[b:2, t:35, d:51] = sum[u:35] e[b, d//17, t, u] / r[b, d//17, t] * v[b, u, d]",
     .kinks = true},
    {"embedding and its transpose",
     "param w[103, 67]\ninput t[3, 31] below 103\ne[b:3, s:31, d:67] = w[t[b, s], d]\n"
     "y[b:3, s:31, v:103] = sum[d:67] tanh(e[b, s, d]) * w[v, d]",
     .kinks = true, .scatter = true},
    {"mean of everything",
     "param x[31, 67, 35]\nu = sum[i:31, j:67, k:35] x[i, j, k]^2 / 72695.0\n"
     "y[i:31] = u * x[i, 0, 0]",
     .kinks = true},
};

static void all(void **state)
{
    (void)state;
    assert_int_equal(gradcheck_all(rows, sizeof rows / sizeof *rows), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(all)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
