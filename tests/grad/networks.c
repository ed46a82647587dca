/* Gradients of what networks are made of: softmax and losses, norms, attention, gathers, dropout,
 * activations, small networks whose tensors get several contributions, and gradients of gradients. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "support/gradcheck.h"

#define SOFTMAX(X, I, N, J, K, AT)                                                                 \
    "m[" I ":" N "] = max[" J ":" K "] " X "[" AT "]\n"                                            \
    "e[" I ":" N ", " J ":" K "] = exp(" X "[" AT "] - stop(m[" I "]))\n"                          \
    "s[" I ":" N "] = sum[" J ":" K "] e[" I ", " J "]\n"

static const GradCase losses[] = {
    {"softmax",
     "param z[3, 5]\n" SOFTMAX("z", "b", "3", "k", "5", "b, k") "p[b:3, k:5] = e[b, k] / s[b]",
     .ratio = 2.3},
    {"softmax, m not stopped",
     "param z[3, 5]\nm[b:3] = max[k:5] z[b, k]\n"
     "e[b:3, k:5] = exp(z[b, k] - m[b])\ns[b:3] = sum[k:5] e[b, k]\n"
     "p[b:3, k:5] = e[b, k] / s[b]",
     .ratio = 4},
    {"log softmax",
     "param z[3, 5]\n" SOFTMAX("z", "b", "3", "k", "5",
                               "b, k") "p[b:3, k:5] = z[b, k] - stop(m[b]) - log(s[b])",
     .ratio = 2},
    {"cross entropy",
     "param z[4, 5]\ninput t[4] below 5\n" SOFTMAX(
         "z", "b", "4", "k", "5", "b, k") "l[b:4] = stop(m[b]) + log(s[b]) - z[b, t[b]]\n"
                                          "y = sum[b:4] 0.25 * l[b]",
     .ratio = 1},
    {"cross entropy, fill",
     "param z[4, 5]\ninput t[4] below 7\n" SOFTMAX(
         "z", "b", "4", "k", "5", "b, k") "l[b:4] = stop(m[b]) + log(s[b]) - (z[b, t[b]] ?? 0)",
     .ratio = 1},
    {"cross entropy, ignored",
     "param z[4, 5]\ninput t[4] below 5\n" SOFTMAX(
         "z", "b", "4", "k", "5",
         "b, k") "l[b:4] = select(t[b] == 2, 0.0, stop(m[b]) + log(s[b]) - z[b, t[b]])\n"
                 "y = sum[b:4] l[b]",
     .ratio = 0.4},
    {"label smoothing",
     "param z[4, 5]\ninput t[4] below 5\n" SOFTMAX(
         "z", "b", "4", "k", "5",
         "b, k") "l[b:4] = stop(m[b]) + log(s[b])\n"
                 "y = sum[b:4, k:5] (l[b] - z[b, k]) * (0.02 + select(t[b] == k, 0.9, 0.0))",
     .ratio = 0.4},
    {"L2 norm",
     "param x[3, 5]\ns[n:3] = sum[i:5] x[n, i]^2\ny[n:3, i:5] = x[n, i] * rsqrt(s[n] + 0.1)",
     .ratio = 2},
    {"smooth L1",
     "param x[3, 4]\ninput g[3, 4]\nd[i:3, j:4] = x[i, j] - g[i, j]\n"
     "y = sum[i:3, j:4] select(abs(d[i, j]) < 0.53, d[i, j]^2, abs(d[i, j]) - 0.25)",
     .ratio = 1.05},
    {"binary cross entropy",
     "param z[6]\ninput t[6] below 2\n"
     "y = sum[i:6] max(z[i], 0.0) - z[i]*t[i] + log1p(exp(-abs(z[i])))",
     .ratio = 1.05},
};

#define NORM(STOP, I, N, R, AT, OF)                                                                \
    "u[" I "] = sum[" R "] " N " * x[" AT "]\n"                                                    \
    "v[" I "] = sum[" R "] " N " * (x[" AT "] - " STOP "(u[" OF "]))^2\n"

static const GradCase norms[] = {
    {"layer norm",
     "param x[3, 8]\nparam g[8]\nparam b[8]\n" NORM(
         "", "n:3", "0.125", "i:8", "n, i",
         "n") "y[n:3, i:8] = (x[n, i] - u[n]) * rsqrt(v[n] + 0.01) * g[i] + b[i]",
     .ratio = 2.1},
    {"layer norm, stop",
     "param x[3, 8]\nparam g[8]\nparam b[8]\n" NORM(
         "stop", "n:3", "0.125", "i:8", "n, i",
         "n") "y[n:3, i:8] = (x[n, i] - u[n]) * rsqrt(v[n] + 0.01) * g[i] + b[i]",
     .ratio = 1.8},
    {"batch norm",
     "param x[3, 2, 2, 4]\nparam g[2]\nparam b[2]\n"
     "u[c:2] = sum[n:3, h:2, w:4] 0.0416666666666666666 * x[n, c, h, w]\n"
     "v[c:2] = sum[n:3, h:2, w:4] 0.0416666666666666666 * (x[n, c, h, w] - u[c])^2\n"
     "y[n:3, c:2, h:2, w:4] = (x[n, c, h, w] - u[c]) * rsqrt(v[c] + 0.01) * g[c] "
     "+ b[c]",
     .ratio = 2.05},
    {"batch norm, stop, relu",
     "param x[3, 2, 2, 4]\nparam g[2]\nparam b[2]\n"
     "u[c:2] = sum[n:3, h:2, w:4] 0.0416666666666666666 * x[n, c, h, w]\n"
     "v[c:2] = sum[n:3, h:2, w:4] 0.0416666666666666666 * (x[n, c, h, w] - stop(u[c]))^2\n"
     "y[n:3, c:2, h:2, w:4] = (x[n, c, h, w] - u[c]) * rsqrt(v[c] + 0.01) * g[c] + b[c]\n"
     "z[n:3, c:2, h:2, w:4] = max(y[n, c, h, w], 0.0)",
     .ratio = 1.55},
    {"group norm",
     "param x[2, 6, 4]\nparam g[6]\n"
     "u[n:2, k:2] = sum[c:3, t:4] 0.08333333333333333 * x[n, k*3+c, t]\n"
     "v[n:2, k:2] = sum[c:3, t:4] 0.08333333333333333 * "
     "(x[n, k*3+c, t] - u[n, k])^2\n"
     "y[n:2, c:6, t:4] = (x[n, c, t] - u[n, c//3]) * rsqrt(v[n, c//3] + 0.01) * g[c]",
     .ratio = 2.1},
};

static const GradCase gathers[] = {
    {"embedding", "param w[5, 4]\ninput ids[3, 6] below 5\ny[b:3, t:6, d:4] = w[ids[b, t], d]",
     .ratio = 1, .scatter = true},
    {"one-hot product",
     "param w[5, 4]\ninput ids[7] below 5\n"
     "y[b:7, d:4] = sum[k:5] select(k == ids[b], w[k, d], 0.0)",
     .ratio = 1, .scatter = true},
    {"gathered dot",
     "param w[5, 4]\nparam x[6, 4]\ninput ids[6] below 5\n"
     "y[b:6] = sum[d:4] w[ids[b], d] * x[b, d]",
     .ratio = 2, .scatter = true},
    {"gather times row",
     "param z[4, 5]\nparam w[3]\ninput t[4] below 5\n"
     "y[b:4, o:3] = z[b, t[b]] * w[o]",
     .ratio = 4},
    {"tied embedding",
     "param w[5, 4]\ninput ids[6] below 5\nx[b:6, d:4] = w[ids[b], d]\n"
     "h[b:6, d:4] = tanh(x[b, d])\ny[b:6, v:5] = sum[d:4] h[b, d] * w[v, d]",
     .ratio = 1.75, .scatter = true},
    {"two data positions",
     "param x[3, 4, 4]\ninput a[3, 5] below 4\ninput c[3, 5] below 4\n"
     "y[n:3, k:5] = x[n, a[n, k], c[n, k]]",
     .ratio = 1.05, .scatter = true},
    {"select by data",
     "param x[3, 5]\ninput t[3] below 5\n"
     "y[n:3] = sum[k:5] select(k < t[n], x[n, k], 0.0)",
     .ratio = 1.05},
};

static const GradCase maps[] = {
    {"relu", "param x[7]\ny[i:7] = max(x[i], 0.0)", .ratio = 1},
    {"relu at 0", "param x[7] ties\ny[i:7] = max(x[i], 0.0)", .ratio = 1, .kinks = true},
    {"gelu", "param x[7]\ny[i:7] = 0.5 * x[i] * (1.0 + erf(x[i] * 0.70710678))", .ratio = 1},
    {"gelu, tanh",
     "param x[7]\ny[i:7] = 0.5 * x[i] * (1.0 + tanh(0.79788456 * (x[i] + 0.044715 * "
     "x[i]^3)))",
     .ratio = 1},
    {"silu", "param x[7]\ny[i:7] = x[i] / (1.0 + exp(-x[i]))", .ratio = 1},
    {"abs, sign", "param x[7]\ny[i:7] = abs(x[i]) * sign(x[i]) + sign(x[i])", .ratio = 1},
    {"log under select", "param x[7]\ny[i:7] = select(x[i] > 0.0, log(x[i]), 0.0)", .ratio = 1},
    {"log at 0", "param x[7] ties\ny[i:7] = select(x[i] > 0.0, log(x[i]), 0.0)", .ratio = 1,
     .kinks = true},
    {"hard swish", "param x[7]\ny[i:7] = x[i] * min(max(x[i]*3.0 + 1.5, 0.0), 3.0) / 3.0",
     .ratio = 1},
    {"powers", "param x[6] positive\nparam p[6]\ny[i:6] = x[i]^p[i] + x[i]^2.5 + x[i]^-1.5",
     .ratio = 2},
    {"trigonometry",
     "param x[6]\ny[i:6] = sin(x[i]) * cos(x[i]) + tan(x[i]) + atan(x[i]) + "
     "asin(0.9 * x[i]) + acos(0.5 * x[i]) + sinh(x[i]) - cosh(x[i])",
     .ratio = 1},
    {"logarithms",
     "param x[6] positive\ny[i:6] = log2(x[i]) + log1p(x[i]) + expm1(x[i]) + "
     "sqrt(x[i]) + rsqrt(x[i]) + 1.0 / x[i]",
     .ratio = 1},
    {"atan2", "param x[6] positive\nparam z[6]\ny[i:6] = atan2(z[i], x[i]) + z[i] % x[i]",
     .ratio = 2},
    {"max, min of two",
     "param x[6]\nparam z[6]\ny[i:6] = max(x[i], z[i] + 0.03) * min(x[i], 2.0*z[i])", .ratio = 2},
    {"dropout",
     "param x[3, 5]\ny[n:3, i:5] = select(random(17, n*5+i) < 0.75, x[n, i] / 0.75, 0.0)",
     .ratio = 1},
};

static const GradCase reductions[] = {
    {"max", "param x[3, 4]\ny[n:3] = max[i:4] x[n, i]", .ratio = 2},
    {"max, ties", "param x[3, 4] ties\ny[n:3] = max[i:4] x[n, i]", .ratio = 2, .kinks = true},
    {"min of all", "param x[3, 4]\ny = min[n:3, i:4] x[n, i]", .ratio = 2.1},
    {"min of products", "param x[3, 4]\nparam w[4]\ny[n:3] = min[i:4] x[n, i] * (w[i] + 0.06)",
     .ratio = 3, .scatter = true},
    {"max of outer products", "param x[5]\nparam w[4]\ny[i:5] = max[k:4] x[i] * w[k]", .ratio = 2.5,
     .scatter = true},
    {"max along columns", "param x[3, 4]\ny[i:4] = max[n:3] x[n, i]", .ratio = 2},
    {"prod", "param x[3, 4]\ny[n:3] = prod[i:4] x[n, i]", .ratio = 3},
    {"prod with zeros", "param x[4, 4] ties\ny[n:4] = prod[i:4] x[n, i]", .ratio = 3,
     .kinks = true},
    {"mean and variance",
     "param x[12]\nu = sum[i:12] x[i] / 12.0\n"
     "y = sum[i:12] (x[i] - u)^2 / 11.0",
     .ratio = 1.05},
};

static const GradCase dtypes[] = {
    {"bf16 weights",
     "param x[3, 5]\nparam w[4, 5] bf16\nparam b[4] bf16\n"
     "m[n:3, o:4] = sum[i:5] x[n, i] * w[o, i]\ny[n:3, o:4] = m[n, o] + b[o]",
     .ratio = 3},
    {"f16 in the middle",
     "param x[6]\nparam w[6] f16\nh[i:6] = w[i] * w[i]\n"
     "y[i:6] = h[i] * x[i] + exp(w[i])",
     .ratio = 3},
    {"f64 state", "param x[6]\ninput s f64\nparam k[6] f64\ny[i:6] = x[i] * s * k[i]", .ratio = 3},
    {"ints and bytes",
     "param x[4]\ninput a[4] below 200 u8\ninput t[4] below 3\n"
     "y[i:4] = (float(a[i]) / 255.0 - 0.5) * x[i] * t[i] + x[i] ^ t[i]",
     .ratio = 1},
    {"gather from bf16", "param w[5, 3] bf16\ninput t[4] below 5\ny[b:4, d:3] = w[t[b], d] * 2.0",
     .ratio = 1, .scatter = true},
};

static const GradCase networks[] = {
    {"causal attention",
     "param z[2, 3, 24]\n"
     "s[b:2, h:2, t:3, u:3] = sum[c:4] select(u <= t, z[b, t, 4*h+c] * z[b, u, 4*h+c+8] * 0.5, "
     "0.0)\n"
     "k[b:2, h:2, t:3, u:3] = select(u <= t, s[b, h, t, u], -inf)\n"
     "m[b:2, h:2, t:3] = max[u:3] k[b, h, t, u]\n"
     "e[b:2, h:2, t:3, u:3] = exp(k[b, h, t, u] - stop(m[b, h, t]))\n"
     "r[b:2, h:2, t:3] = sum[u:3] e[b, h, t, u]\n"
     "p[b:2, h:2, t:3, u:3] = e[b, h, t, u] / r[b, h, t]\n"
     "o[b:2, t:3, d:8] = sum[u:3] p[b, d//4, t, u] * z[b, u, d+16]",
     .ratio = 1.6},
    {"residual",
     "param x[3, 6]\nparam w[6, 6]\n"
     "h[n:3, o:6] = sum[i:6] w[o, i] * x[n, i]\n"
     "a[n:3, o:6] = max(h[n, o], 0.0)\ny[n:3, o:6] = a[n, o] + x[n, o]",
     .ratio = 2.3},
    {"relu inside a matmul",
     "param x[4, 5]\nparam w[3, 5]\n"
     "y[n:4, o:3] = sum[i:5] max(x[n, i], 0.0) * w[o, i]",
     .ratio = 2.4},
    {"LoRA",
     "param x[4, 5]\nparam w[3, 5]\nparam a[2, 5]\nparam b[3, 2] zeros\n"
     "h[n:4, r:2] = sum[i:5] x[n, i] * a[r, i]\n"
     "u[n:4, o:3] = sum[i:5] x[n, i] * w[o, i]\n"
     "v[n:4, o:3] = sum[r:2] h[n, r] * b[o, r]\n"
     "y[n:4, o:3] = u[n, o] + 2.0 * v[n, o]",
     .ratio = 2.4},
    {"bottleneck s2",
     "param x[2, 3, 5, 5]\nparam w[2, 3]\nparam k[2, 2, 3, 3]\nparam d[2, 3]\n"
     "a[n:2, o:2, p:5, q:5] = sum[c:3] w[o, c] * x[n, c, p, q]\n"
     "r[n:2, o:2, p:5, q:5] = max(a[n, o, p, q], 0.0)\n"
     "b[n:2, o:2, p:3, q:3] = sum[c:2, i:3, j:3] k[o, c, i, j] * "
     "(r[n, c, 2*p+i-1, 2*q+j-1] ?? 0)\n"
     "e[n:2, o:2, p:3, q:3] = sum[c:3] d[o, c] * x[n, c, 2*p, 2*q]\n"
     "y[n:2, o:2, p:3, q:3] = max(b[n, o, p, q] + e[n, o, p, q], 0.0)",
     .ratio = 2.5},
    {"upsample, concatenate",
     "param x[2, 2, 3]\nparam s[2, 3, 6]\nparam w[2, 5]\n"
     "u[n:2, c:2, p:6] = x[n, c, p//2]\n"
     "k[n:2, c:5, p:6] = u[n, c, p] ?? (s[n, c-2, p] ?? 0)\n"
     "y[n:2, o:2, p:6] = sum[c:5] w[o, c] * k[n, c, p]",
     .ratio = 3},
    {"squeeze and excite",
     "param x[2, 3, 2, 2]\nparam a[2, 3]\nparam b[3, 2]\n"
     "g[n:2, c:3] = sum[p:2, q:2] 0.25 * x[n, c, p, q]\n"
     "h[n:2, r:2] = sum[c:3] a[r, c] * g[n, c]\nt[n:2, r:2] = max(h[n, r], 0.0)\n"
     "f[n:2, c:3] = sum[r:2] b[c, r] * t[n, r]\n"
     "y[n:2, c:3, p:2, q:2] = x[n, c, p, q] / (1.0 + exp(-f[n, c]))",
     .ratio = 1.4},
};

/* An encoder with one level below, joined again by upsampling and concatenation, and cross entropy
 * of every pixel. */
static const GradCase dense_outputs[] = {
    {"U-Net, segmentation loss",
     "param x[2, 2, 6, 4]\nparam w[3, 2, 3, 3]\nparam d[4, 3, 3, 3]\nparam u[3, 4]\n"
     "param k[3, 6, 3, 3]\nparam h[3, 3]\ninput t[2, 6, 4] below 3\n"
     "a[n:2, o:3, p:6, q:4] = sum[c:2, i:3, j:3] w[o, c, i, j] * (x[n, c, p+i-1, q+j-1] ?? 0)\n"
     "r[n:2, o:3, p:6, q:4] = max(a[n, o, p, q], 0.0)\n"
     "s[n:2, o:3, p:3, q:2] = max[i:2, j:2] r[n, o, 2*p+i, 2*q+j]\n"
     "b[n:2, o:4, p:3, q:2] = sum[c:3, i:3, j:3] d[o, c, i, j] * (s[n, c, p+i-1, q+j-1] ?? 0)\n"
     "v[n:2, o:4, p:3, q:2] = tanh(b[n, o, p, q])\n"
     "f[n:2, o:3, p:6, q:4] = sum[c:4] u[o, c] * v[n, c, p//2, q//2]\n"
     "g[n:2, c:6, p:6, q:4] = r[n, c, p, q] ?? (f[n, c-3, p, q] ?? 0)\n"
     "e[n:2, o:3, p:6, q:4] = sum[c:6, i:3, j:3] k[o, c, i, j] * (g[n, c, p+i-1, q+j-1] ?? 0)\n"
     "z[n:2, o:3, p:6, q:4] = sum[c:3] h[o, c] * max(e[n, c, p, q], 0.0)\n"
     "m[n:2, p:6, q:4] = max[o:3] z[n, o, p, q]\n"
     "l[n:2, p:6, q:4] = sum[o:3] exp(z[n, o, p, q] - stop(m[n, p, q]))\n"
     "y = sum[n:2, p:6, q:4] (stop(m[n, p, q]) + log(l[n, p, q]) - z[n, t[n, p, q], p, q]) / 48.0",
     .ratio = 2.3},
    {"SSD losses without mining",
     "param z[2, 6, 4]\nparam b[2, 6, 4]\ninput t[2, 6] below 4\ninput g[2, 6, 4]\n"
     "m[n:2, a:6] = max[k:4] z[n, a, k]\n"
     "l[n:2, a:6] = sum[k:4] exp(z[n, a, k] - stop(m[n, a]))\n"
     "c = sum[n:2, a:6] (stop(m[n, a]) + log(l[n, a]) - z[n, a, t[n, a]])\n"
     "d[n:2, a:6, i:4] = b[n, a, i] - g[n, a, i]\n"
     "s = sum[n:2, a:6, i:4] select(t[n, a] > 0, select(abs(d[n, a, i]) < 0.53, "
     "d[n, a, i]^2, abs(d[n, a, i]) - 0.25), 0.0)\n"
     "k = sum[n:2, a:6] select(t[n, a] > 0, 1.0, 0.0)\n"
     "y = (c + 2.0 * s) / max(k, 1.0)",
     .ratio = 1.1},
};

/* Adjoints, scatters included, differentiate again. */
static const GradCase hessians[] = {
    {"Hessian of a convolution and tanh",
     "param x[2, 2, 5]\nparam w[3, 2, 3]\n"
     "a[n:2, o:3, p:3] = sum[c:2, i:3] w[o, c, i] * (x[n, c, 2*p+i-1] ?? 0)\n"
     "y[n:2, o:3, p:3] = tanh(a[n, o, p])",
     .twice = true},
    {"Hessian of an embedding and softmax",
     "param w[5, 3]\nparam k[3, 4]\ninput ids[4] below 5\n"
     "z[b:4, o:4] = sum[d:3] w[ids[b], d] * k[d, o]\n"
     "m[b:4] = max[o:4] z[b, o]\ne[b:4, o:4] = exp(z[b, o] - stop(m[b]))\n"
     "s[b:4] = sum[o:4] e[b, o]\ny[b:4, o:4] = e[b, o] / s[b]",
     .twice = true, .scatter = true},
    {"Hessian of a max pool",
     "param x[2, 7]\nz[n:2, p:3] = max[i:3] (x[n, 2*p+i-1] ?? -inf)\n"
     "y[n:2, p:3] = z[n, p]^3",
     .twice = true, .scatter = true},
};

static void all(void **state)
{
    (void)state;
    int failures = 0;
#define RUN(rows) failures += gradcheck_all(rows, sizeof rows / sizeof *rows)
    RUN(losses);
    RUN(norms);
    RUN(gathers);
    RUN(maps);
    RUN(reductions);
    RUN(dtypes);
    RUN(networks);
    RUN(dense_outputs);
    RUN(hessians);
    assert_int_equal(failures, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(all)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
