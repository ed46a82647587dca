/* Random convolutional networks ending in a cross entropy: a dozen layers from a menu, each tensor
 * read by one or several later ones. HONE_FUZZ_FROM and HONE_FUZZ_N choose other seeds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "support/gradcheck.h"

enum { MOST_TENSORS = 40, N = 2 };

typedef struct Tensor {
    int c, h, w;
} Tensor;

/* Tensor k is `tk`; the current one is the last. Helpers of layer k are named after k too. */
typedef struct Net {
    uint64_t random;
    bool smooth; /* no maxima, no kinks: compared with differences */
    char text[16384];
    size_t len;
    int n;
    Tensor at[MOST_TENSORS];
} Net;

static int pick(Net *net, int low, int high)
{
    net->random ^= net->random << 13;
    net->random ^= net->random >> 7;
    net->random ^= net->random << 17;
    return low + (int)(net->random % (uint64_t)(high - low + 1));
}

static void put(Net *net, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    net->len += (size_t)vsnprintf(net->text + net->len, sizeof net->text - net->len, fmt, args);
    va_end(args);
}

static Tensor now(const Net *net)
{
    return net->at[net->n - 1];
}

/* "tk[n:2, c:C, p:H, q:W] = " */
static void begin(Net *net, Tensor t)
{
    net->at[net->n] = t;
    put(net, "t%d[n:%d, c:%d, p:%d, q:%d] = ", net->n++, N, t.c, t.h, t.w);
}

static int windows(int extent, int k, int stride, int pad, int dilation)
{
    return (extent + 2 * pad - dilation * (k - 1) - 1) / stride + 1;
}

static void conv(Net *net)
{
    Tensor x = now(net);
    int k = pick(net, 1, 3), stride = pick(net, 1, 2), dilation = k > 1 ? pick(net, 1, 2) : 1;
    int pad = pick(net, 0, dilation * (k - 1)), groups = x.c % 2 == 0 ? pick(net, 1, 2) : 1;
    if (pick(net, 0, 3) == 0)
        groups = x.c;
    Tensor y = {groups * pick(net, 1, groups == 1 ? 5 : 2), windows(x.h, k, stride, pad, dilation),
                windows(x.w, k, stride, pad, dilation)};
    int in = x.c / groups, out = y.c / groups, id = net->n, from = id - 1;
    if (y.h < 1 || y.w < 1 || x.h + 2 * pad < dilation * (k - 1) + 1 ||
        x.w + 2 * pad < dilation * (k - 1) + 1)
        return;
    put(net, "param w%d[%d, %d, %d, %d]\n", id, y.c, in, k, k);
    begin(net, y);
    put(net, "sum[d:%d, i:%d, j:%d] w%d[c, d, i, j] * ", in, k, k, id);
    put(net, "(t%d[n, c//%d*%d + d, %d*p + %d*i - %d, %d*q + %d*j - %d] ?? 0)\n", from, out, in,
        stride, dilation, pad, stride, dilation, pad);
}

static void pool(Net *net)
{
    Tensor x = now(net);
    int k = pick(net, 2, 3), stride = pick(net, 1, k), pad = pick(net, 0, 1), from = net->n - 1;
    Tensor y = {x.c, windows(x.h, k, stride, pad, 1), windows(x.w, k, stride, pad, 1)};
    if (x.h + 2 * pad < k || x.w + 2 * pad < k)
        return;
    bool max = !net->smooth && pick(net, 0, 1);
    begin(net, y);
    put(net, "%s[i:%d, j:%d] ", max ? "max" : "sum", k, k);
    put(net, "%s(t%d[n, c, %d*p + i - %d, %d*q + j - %d] ?? %s)\n", max ? "" : "0.2 * ", from,
        stride, pad, stride, pad, max ? "-inf" : "0");
}

static void activation(Net *net)
{
    static const char *const forms[] = {
        "max(%s + 0.0131, 0.0)",
        "min(max(%s + 0.0131, 0.0), 1.1)",
        "%s * sign(0.31371 + %s)",
        "tanh(%s)",
        "0.5 * %s * (1.0 + erf(0.7 * %s))",
        "%s / (1.0 + exp(-%s))",
    };
    char read[32];
    snprintf(read, sizeof read, "t%d[n, c, p, q]", net->n - 1);
    const char *form = forms[pick(net, net->smooth ? 3 : 0, 5)];
    begin(net, now(net));
    for (const char *at = form; *at; at++) {
        if (at[0] == '%' && at[1] == 's') {
            put(net, "%s", read);
            at++;
        } else {
            put(net, "%c", *at);
        }
    }
    put(net, "\n");
}

static void batch_norm(Net *net)
{
    Tensor x = now(net);
    int id = net->n, from = id - 1, m = N * x.h * x.w;
    put(net, "param g%d[%d]\nparam b%d[%d]\n", id, x.c, id, x.c);
    put(net, "u%d[c:%d] = sum[n:%d, p:%d, q:%d] t%d[n, c, p, q] / %d.0\n", id, x.c, N, x.h, x.w,
        from, m);
    put(net, "v%d[c:%d] = sum[n:%d, p:%d, q:%d] (t%d[n, c, p, q] - stop(u%d[c]))^2 / %d.0\n", id,
        x.c, N, x.h, x.w, from, id, m);
    begin(net, x);
    put(net, "(t%d[n, c, p, q] - u%d[c]) * rsqrt(v%d[c] + 0.1) * (1.0 + g%d[c]) + b%d[c]\n", from,
        id, id, id, id);
}

static void layer_norm(Net *net)
{
    Tensor x = now(net);
    int id = net->n, from = id - 1;
    put(net, "u%d[n:%d, p:%d, q:%d] = sum[c:%d] t%d[n, c, p, q] / %d.0\n", id, N, x.h, x.w, x.c,
        from, x.c);
    put(net, "v%d[n:%d, p:%d, q:%d] = sum[c:%d] (t%d[n, c, p, q] - u%d[n, p, q])^2 / %d.0\n", id, N,
        x.h, x.w, x.c, from, id, x.c);
    begin(net, x);
    put(net, "(t%d[n, c, p, q] - u%d[n, p, q]) * rsqrt(v%d[n, p, q] + 0.1)\n", from, id, id);
}

/* With an earlier tensor of the same shape, or of the same rows and columns. */
static void join(Net *net)
{
    Tensor x = now(net);
    int from = net->n - 1;
    for (int k = from; k-- > 0;) {
        Tensor y = net->at[k];
        if (y.h != x.h || y.w != x.w)
            continue;
        if (y.c == x.c) {
            begin(net, x);
            put(net, "t%d[n, c, p, q] + t%d[n, c, p, q]\n", from, k);
        } else if (x.c + y.c <= 8) {
            begin(net, (Tensor){x.c + y.c, x.h, x.w});
            put(net, "t%d[n, c, p, q] ?? (t%d[n, c-%d, p, q] ?? 0)\n", from, k, x.c);
        }
        return;
    }
}

static void view(Net *net)
{
    Tensor x = now(net);
    int from = net->n - 1;
    switch (pick(net, 0, 5)) {
    case 0:
        if (x.h * x.w <= 12) {
            begin(net, (Tensor){x.c, 2 * x.h, 2 * x.w});
            put(net, "t%d[n, c, p//2, q//2]\n", from);
        }
        break;
    case 1:
        begin(net, (Tensor){x.c, x.w, x.h});
        put(net, "t%d[n, c, q, p]\n", from);
        break;
    case 2:
        begin(net, x);
        put(net, "t%d[n, %d - c, p, %d - q]\n", from, x.c - 1, x.w - 1);
        break;
    case 3:
        if (x.c % 2 == 0) {
            begin(net, x);
            put(net, "t%d[n, c%%2*%d + c//2, p, q]\n", from, x.c / 2);
        }
        break;
    case 4:
        if (x.h > 2) {
            begin(net, (Tensor){x.c, x.h - 1, x.w});
            put(net, "t%d[n, c, p+1, q]\n", from);
        }
        break;
    default:
        if (x.c % 4 == 0 && x.h * x.w <= 12) {
            begin(net, (Tensor){x.c / 4, 2 * x.h, 2 * x.w});
            put(net, "t%d[n, c*4 + p%%2*2 + q%%2, p//2, q//2]\n", from);
        }
    }
}

static void gate(Net *net)
{
    Tensor x = now(net);
    int id = net->n, from = id - 1;
    put(net, "s%d[n:%d, c:%d] = sum[p:%d, q:%d] t%d[n, c, p, q] / %d.0\n", id, N, x.c, x.h, x.w,
        from, x.h * x.w);
    put(net, "param e%d[%d, %d]\n", id, x.c, x.c);
    put(net, "h%d[n:%d, c:%d] = sum[d:%d] e%d[c, d] * s%d[n, d]\n", id, N, x.c, x.c, id, id);
    begin(net, x);
    put(net, "t%d[n, c, p, q] / (1.0 + exp(-h%d[n, c]))\n", from, id);
}

static void dropout(Net *net)
{
    Tensor x = now(net);
    int id = net->n, from = id - 1;
    begin(net, x);
    put(net, "select(random(%d, ((n*%d + c)*%d + p)*%d + q) < 0.8, t%d[n, c, p, q] / 0.8, 0.0)\n",
        id, x.c, x.h, x.w, from);
}

static void head(Net *net)
{
    Tensor x = now(net);
    int from = net->n - 1;
    put(net, "f[n:%d, c:%d] = sum[p:%d, q:%d] t%d[n, c, p, q] / %d.0\n", N, x.c, x.h, x.w, from,
        x.h * x.w);
    put(net, "param fc[3, %d]\ninput label[%d] below 3\n", x.c, N);
    put(net, "z[n:%d, k:3] = sum[c:%d] fc[k, c] * f[n, c]\n", N, x.c);
    put(net, "m[n:%d] = max[k:3] z[n, k]\n", N);
    put(net, "s[n:%d] = sum[k:3] exp(z[n, k] - stop(m[n]))\n", N);
    put(net, "y = sum[n:%d] stop(m[n]) + log(s[n]) - z[n, label[n]]\n", N);
}

static void write_net(Net *net)
{
    static void (*const layers[])(Net *) = {conv,       conv,       conv,       pool, activation,
                                            activation, batch_norm, layer_norm, join, join,
                                            view,       gate,       dropout};
    Tensor x = {pick(net, 1, 4), pick(net, 4, 9), pick(net, 4, 9)};
    net->at[net->n++] = x;
    put(net, "param t0[%d, %d, %d, %d]\n", N, x.c, x.h, x.w);
    int depth = pick(net, 3, 14);
    for (int i = 0; i < depth; i++)
        layers[pick(net, 0, sizeof layers / sizeof *layers - 1)](net);
    head(net);
}

static int number_of(const char *variable, int otherwise)
{
    const char *text = getenv(variable);
    return text ? atoi(text) : otherwise;
}

static void random_nets(void **state)
{
    (void)state;
    HoneSys sys = {0};
    int from = number_of("HONE_FUZZ_FROM", 0), n = number_of("HONE_FUZZ_N", 24), wrong = 0;
    for (int seed = from; seed < from + n; seed++) {
        Net net = {.smooth = seed % 4 == 0,
                   .random = (uint64_t)seed * 2654435761u + 88172645463325252u};
        pick(&net, 0, 1);
        write_net(&net);
        GradCase row = {.name = "net",
                        .text = net.text,
                        .kinks = !net.smooth,
                        .uncompiled = seed % 8 != 1 && !getenv("HONE_FUZZ_N")};
        GradResult r = gradcheck(&sys, &row);
        if (!r.why[0] && r.by_densify < 1e-10 && r.by_cleaning < 1e-10 && r.by_difference < 1e-5 &&
            r.scatters == 0 && r.backward < 4 * r.forward + 500)
            continue;
        if (wrong++ < 3)
            fprintf(stderr,
                    "seed %d: densify %.1e clean %.1e differences %.1e points %lld -> %lld "
                    "scatters %zu %s\n%s\n",
                    seed, r.by_densify, r.by_cleaning, r.by_difference, (long long)r.forward,
                    (long long)r.backward, r.scatters, r.why, net.text);
    }
    assert_int_equal(wrong, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(random_nets)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
