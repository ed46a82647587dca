/* Compiled kernels against the interpreter, for every target that this CPU runs: each kind of
 * kernel, odd sizes, guards, strides, gathers, scatters, faults, random numbers; and the same bits
 * whatever runs which chunk. */
#include "support/kernels.h"
#include "support/program.h"

#include <hone/hone.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

typedef struct Case {
    const char *name, *text;
} Case;

static const Case cases[] = {
    {"map", "param x[3, 37]\nparam b[37]\ny[n:3, i:37] = max(x[n, i] + b[i], 0.1) * 2.0"},
    {"map of one", "param x\nparam y\nz = x * y + 1.0"},
    {"long map", "param x[9001]\nparam z[9001]\ny[i:9001] = x[i] * z[i] + 0.5"},
    {"long transposed map", "param x[301, 203]\ny[i:203, j:301] = x[j, i] * 2.0"},
    {"broadcast", "param a[5, 1]\nparam b[19]\ny[i:5, j:19] = a[i, 0] - b[j]"},
    {"index", "param x[4, 21]\ny[i:4, j:21] = x[i, j] * (i * 21 + j) + select(j < i, 1.0, 2.0)"},
    {"ints", "input a[33] below 90\ninput b[33] below 7\n"
             "q[i:33] = a[i] // (b[i] + 1)\nr[i:33] = a[i] % (b[i] - 9)\n"
             "s[i:33] = max(a[i], b[i]) - abs(b[i] - a[i])"},
    {"floats",
     "param a[33]\nparam b[33]\nq[i:33] = a[i] // (b[i] + 0.0137)\nr[i:33] = a[i] % b[i]\n"
     "f[i:33] = floor(9.1 * a[i]) + ceil(8.1 * b[i]) * 32.0 + 1024.0 * round(6.1 * a[i])\n"
     "g[i:33] = sign(a[i]) + abs(b[i])"},
    {"row sums", "param x[7, 53]\ny[n:7] = sum[i:53] x[n, i] * x[n, i]"},
    {"column sums", "param x[53, 71]\ny[i:71] = sum[n:53] x[n, i]"},
    {"long sum", "param x[20011] positive\ny = sum[i:20011] x[i]"},
    {"mean of squares", "param x[5, 33, 9]\ny[c:33] = sum[n:5, p:9] 0.02 * x[n, c, p]^2"},
    {"max", "param x[7, 53]\ny[n:7] = max[i:53] x[n, i]\nz[i:53] = max[n:7] x[n, i]"},
    {"min", "param x[7, 5]\ny[n:7] = min[i:5] x[n, i]\nz = min[n:7, i:5] x[n, i]"},
    {"prod", "param x[7, 19] positive\ny[n:7] = prod[i:19] 1.3 * x[n, i]"},
    {"argmax", "param x[7, 53] ties\ny[n:7] = argmax[i:53] x[n, i]\nz[i:53] = argmax[n:7] x[n, i]"},
    {"argmin of two", "param x[3, 6, 5]\ny[n:3] = argmin[i:6, j:5] x[n, i, j]"},
    {"any, all",
     "param x[7, 20]\ny[n:7] = any[i:20] x[n, i] > 0.9\nz[n:7] = all[i:20] x[n, i] > -0.9"},
    {"matmul NN", "param a[37, 19]\nparam b[19, 45]\ny[n:37, o:45] = sum[i:19] a[n, i] * b[i, o]"},
    {"matmul NT", "param a[37, 19]\nparam b[45, 19]\ny[n:37, o:45] = sum[i:19] a[n, i] * b[o, i]"},
    {"matmul TN", "param a[19, 37]\nparam b[19, 45]\ny[n:37, o:45] = sum[i:19] a[i, n] * b[i, o]"},
    {"matmul of exact tiles",
     "param a[28, 16]\nparam b[16, 64]\ny[n:28, o:64] = sum[i:16] a[n, i] * b[i, o]"},
    {"matmul with packed columns",
     "param a[131, 70]\nparam b[75, 70]\ny[n:131, o:75] = sum[i:70] a[n, i] * b[o, i]"},
    {"matmul with panels of columns",
     "param a[125, 1030]\nparam b[35, 1030]\ny[n:125, o:35] = sum[i:1030] a[n, i] * b[o, i]"},
    {"matmul with packed rows",
     "param a[30, 1030]\nparam b[1030, 197]\ny[n:30, o:197] = sum[i:1030] a[n, i] * b[i, o]"},
    {"sum in blocks",
     "param a[1500, 21]\nparam b[1500, 37]\ny[n:21, o:37] = sum[i:1500] a[i, n] * b[i, o]"},
    {"sum in blocks of packs",
     "param a[300, 261]\nparam b[300, 259]\ny[n:97, o:195] = sum[i:300] a[i, n+9] * b[i, o+7]"},
    {"blocks added to what is there",
     "param a[600, 61]\nparam b[600, 45]\nparam c[61, 45]\n"
     "y[n, o | n:61, o:45] of 61, 45 = c[n, o]\n"
     "y[n, o | n:61, o:45] of 61, 45 += sum[i:600] a[i, n] * b[i, o]"},
    {"batched matmul with packs", "param a[2, 101, 40]\nparam b[2, 37, 40]\n"
                                  "y[z:2, n:101, o:37] = sum[i:40] a[z, n, i] * b[z, o, i]"},
    {"product of a computed factor",
     "param x[300, 24]\nparam u[24]\nparam f[24]\nparam w[24, 37]\n"
     "y[n:300, o:37] = sum[i:24] max((x[n, i] - u[i]) * f[i] + 0.1, 0.0) * w[i, o]"},
    {"product of a computed factor, turned",
     "param x[131, 37]\nparam u[37]\nparam w[45, 37]\n"
     "y[n:131, o:45] = sum[i:37] w[o, i] * max(x[n, i] + u[i], 0.1)"},
    {"product of a computed factor in blocks",
     "param x[231, 1030]\nparam u[1030]\nparam w[1030, 37]\n"
     "y[n:231, o:37] = sum[i:1030] min(x[n, i] + u[i], 0.3) * w[i, o]"},
    {"product of a computed factor that lies across",
     "param a[131, 70]\nparam b[75, 70]\nparam u[70]\n"
     "y[n:131, o:75] = sum[i:70] a[n, i] * max(b[o, i] + u[i], 0.2)"},
    {"product of computed factors",
     "param x[600, 21]\nparam d[600, 37]\nparam e[600, 37]\nparam u[21]\n"
     "y[n:21, o:37] = sum[i:600] max(x[i, n] + u[n], 0.1) * (d[i, o] + 0.3 * e[i, o])"},
    {"batched product of a computed factor",
     "param a[2, 101, 40]\nparam b[2, 37, 40]\nparam u[40]\n"
     "y[z:2, n:101, o:37] = sum[i:40] max(a[z, n, i] + u[i], 0.1) * b[z, o, i]"},
    {"product of a computed factor over pixels",
     "param x[2, 5, 7, 19]\nparam u[19]\nparam w[33, 19]\n"
     "y[n:2, p:5, q:7, o:33] = sum[c:19] w[o, c] * max(x[n, p, q, c] - u[c], 0.1)"},
    {"product of a computed factor that is not a tensor's shape",
     "param x[300, 30]\nparam w[24, 37]\n"
     "y[n:300, o:37] = sum[i:24] max(x[n, i+3], 0.2) * w[i, o]\n"
     "z[n:150, o:37] = sum[i:24] max(x[2*n, i], 0.2) * w[i, o]"},
    {"product of a computed factor, small",
     "param x[3, 24]\nparam w[24, 37]\nparam v[300, 1]\nparam a[1, 40]\nparam b[40, 130]\n"
     "y[n:3, o:37] = sum[i:24] max(x[n, i], 0.2) * w[i, o]\n"
     "z[n:3, o:300] = sum[i:1] max(x[n, i], 0.2) * v[o, i]\n"
     "r[n:1, o:130] = sum[i:40] max(a[n, i], 0.2) * b[i, o]\n"
     "s[n:130, o:1] = sum[i:40] max(b[i, n], 0.2) * a[o, i]"},
    {"batched matmul", "param a[3, 9, 17]\nparam b[3, 17, 33]\n"
                       "y[z:3, n:9, o:33] = sum[i:17] a[z, n, i] * b[z, i, o]"},
    {"matmul with bias", "param a[20, 64]\nparam b[64, 10]\nparam c[10]\n"
                         "y[n:20, o:10] = sum[i:64] a[n, i] * b[i, o]\n"
                         "z[n:20, o:10] = max(y[n, o] + c[o], 0.0)"},
    {"matrix and vector", "param a[50, 70]\nparam b[70]\ny[n:50] = sum[i:70] a[n, i] * b[i]"},
    {"vector and matrix", "param a[50]\nparam b[50, 70]\ny[o:70] = sum[n:50] a[n] * b[n, o]"},
    {"conv 3x3", "param x[2, 3, 8, 9]\nparam w[20, 3, 3, 3]\n"
                 "y[n:2, o:20, p:8, q:9] = sum[c:3, i:3, j:3] "
                 "w[o, c, i, j] * (x[n, c, p+i-1, q+j-1] ?? 0)"},
    {"conv 3x3 channels last", "param x[2, 8, 9, 5]\nparam w[3, 3, 5, 34]\n"
                               "y[n:2, p:8, q:9, o:34] = sum[i:3, j:3, c:5] "
                               "w[i, j, c, o] * (x[n, p+i-1, q+j-1, c] ?? 0)"},
    {"conv 3x3 with packed weights",
     "param x[2, 9, 8, 19]\nparam w[35, 3, 3, 19]\n"
     "y[n:2, p:9, q:8, o:35] = sum[i:3, j:3, c:19] "
     "w[o, i, j, c] * (x[n, p+i-1, q+j-1, c] ?? 0)"},
    {"conv 3x3 by its weights",
     "param x[3, 15, 16, 18]\nparam d[3, 15, 16, 21]\n"
     "w[o:21, i:3, j:3, c:18] = sum[n:3, p:15, q:16] "
     "d[n, p, q, o] * (x[n, p+i-1, q+j-1, c] ?? 0)"},
    {"conv 3x3 stride 2", "param x[2, 4, 9, 10]\nparam w[6, 4, 3, 3]\n"
                          "y[n:2, o:6, p:5, q:5] = sum[c:4, i:3, j:3] "
                          "w[o, c, i, j] * (x[n, c, 2*p+i-1, 2*q+j-1] ?? 0)"},
    {"depthwise",
     "param x[2, 7, 7, 35]\nparam w[3, 3, 35]\n"
     "y[n:2, p:7, q:7, c:35] = sum[i:3, j:3] w[i, j, c] * (x[n, p+i-1, q+j-1, c] ?? 0)"},
    {"grouped", "param x[2, 4, 6, 6]\nparam w[6, 2, 3, 3]\n"
                "y[n:2, o:6, p:6, q:6] = sum[c:2, i:3, j:3] "
                "w[o, c, i, j] * (x[n, o//3*2 + c, p+i-1, q+j-1] ?? 0)"},
    {"max pool", "param x[2, 3, 9, 17]\ny[n:2, c:3, p:5, q:9] = max[i:3, j:3] "
                 "(x[n, c, 2*p+i-1, 2*q+j-1] ?? -inf)"},
    {"fill", "param x[5, 21]\ny[i:7, j:40] = x[i-1, j-11] ?? 7.5"},
    {"fill with a tensor", "param x[21]\nparam z[40]\ny[j:40] = x[j-11] ?? z[39-j]"},
    {"flip and roll", "param x[3, 37]\ny[n:3, i:37] = x[n, 36-i]\nz[n:3, i:37] = x[n, (i+5) % 37]"},
    {"reshape", "param x[4, 66]\ny[a:3, b:88] = x[(a*88+b)//66, (a*88+b)%66]"},
    {"negative div", "param x[50]\ny[i:45] = x[(i-20)//3 + 7] + x[(i-20) % 7]"},
    {"diagonal", "param x[24, 24]\ny[k:24] = x[k, k]"},
    {"strided", "param x[100]\ny[k:33] = x[3*k+1]"},
    {"embedding", "param w[11, 37]\ninput ids[3, 6] below 11\ny[b:3, t:6, d:37] = w[ids[b, t], d]"},
    {"gather by lanes", "param w[11]\ninput ids[53] below 11\ny[b:53] = w[ids[b]]"},
    {"gather with fill", "param w[11]\ninput ids[53] below 16\ny[b:53] = w[ids[b]] ?? -2.0"},
    {"strided left", "param x[21, 9]\nz[p, 2*q+1 | p:21, q:9] of 21, 19 = x[p, q]"},
    {"two pieces", "param a[2, 33]\nparam b[2, 40]\n"
                   "y[n, i | n:2, i:33] of 2, 73 = a[n, i]\n"
                   "y[n, i+33 | n:2, i:40] of 2, 73 += 2.0 * b[n, i]"},
    {"overlapping pieces", "param a[40]\nparam b[40]\n"
                           "y[i | i:40] of 60 = a[i]\ny[i+20 | i:40] of 60 += b[i]"},
    {"scatter", "param x[23, 37]\ninput ids[23] below 5\n"
                "y[ids[n], d | n:23, d:37] of 5, 37 = x[n, d]"},
    {"scatter by lanes", "param x[53]\ninput ids[53] below 5\ny[ids[n] | n:53] of 5 = x[n]"},
    {"histogram", "input ids[201] below 7\ny[ids[n] | n:201] of 7 = 1.0"},
    {"transposed conv", "param x[2, 3, 5]\nparam w[3, 4, 3]\n"
                        "y[n, o, 2*p+i | n:2, o:4, p:5, i:3] of 2, 4, 11 = sum[c:3] "
                        "x[n, c, p] * w[c, o, i]"},
    {"softmax", "param z[9, 53]\nm[b:9] = max[k:53] z[b, k]\n"
                "e[b:9, k:53] = exp(z[b, k] - m[b])\ns[b:9] = sum[k:53] e[b, k]\n"
                "p[b:9, k:53] = e[b, k] / s[b]"},
    {"layer norm", "param x[5, 70]\nparam g[70]\nu[n:5] = sum[i:70] x[n, i] / 70.0\n"
                   "v[n:5] = sum[i:70] (x[n, i] - u[n])^2 / 70.0\n"
                   "y[n:5, i:70] = (x[n, i] - u[n]) * rsqrt(v[n] + 0.01) * g[i]"},
    {"maths",
     "param x[67]\nparam p[67] positive\n"
     "a[i:67] = exp(9.0*x[i]) + expm1(x[i])\nb[i:67] = log(p[i]) + log1p(x[i]*0.9) + log2(p[i])\n"
     "c[i:67] = tanh(3.0*x[i]) + erf(2.0*x[i])\nd[i:67] = sin(99.0*x[i]) + cos(50.0*x[i]) + "
     "tan(x[i])\n"
     "e[i:67] = asin(x[i]) + acos(0.9*x[i]) + atan(8.0*x[i]) + atan2(x[i], p[i] - 0.5)\n"
     "f[i:67] = sinh(3.0*x[i]) + cosh(2.0*x[i]) + p[i]^(3.0*x[i]) + sqrt(p[i]) + rsqrt(p[i])"},
    {"random", "param x[70, 33]\ny[n:70, i:33] = select(random(17, n*33+i) < 0.75, x[n, i], 0.0)\n"
               "z[i:33] = random(5, i)"},
};

/* What the equations of a case mean, evaluated once for all targets. */
static const uint64_t random_of[] = {0x9876543210u, 77};
typedef struct Meaning {
    Program program;
    Equations e;
    Interp interp;
    bool known;
} Meaning;
static Meaning meanings[sizeof cases / sizeof *cases];

static Meaning *meaning_of(size_t i)
{
    Meaning *m = &meanings[i];
    if (!m->known) {
        program_open(&m->program);
        m->e = equations_read(m->program.arena, cases[i].text, 7);
        m->interp = equations_interp(&m->e, m->e.graph);
        m->interp.seed = random_of[0];
        m->interp.step = random_of[1];
        assert_true(interp_run(&m->interp));
        m->known = true;
    }
    return m;
}

static int forget_meanings(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof meanings / sizeof *meanings; i++)
        if (meanings[i].known)
            program_close(&meanings[i].program);
    return 0;
}

static bool check_orders(const char *name, const Meaning *m, KernelRun *run)
{
    bool good = true;
    uint64_t hash = 0;
    for (int order = CHUNKS_UP; order <= CHUNKS_THREADS && good; order++) {
        kernels_fill(run, m->e.leaves);
        kernels_run(run, (ChunkOrder)order);
        NodeId worst = 0;
        double error = kernels_difference(run, &m->interp, &worst);
        uint64_t now = kernels_hash(run);
        if (error > 1e-5)
            print_error("%s: %.*s differs by %g\n", name,
                        STR_ARG(graph_node(m->e.graph, worst)->name), error);
        if (order != CHUNKS_UP && now != hash)
            print_error("%s: other bits in another order\n", name);
        good = error <= 1e-5 && (order == CHUNKS_UP || now == hash) && run->fault[0] == 0;
        hash = now;
    }
    return good;
}

static bool check_case(size_t i, const Target *target)
{
    const Meaning *m = meaning_of(i);
    KernelRun run;
    char name[200];
    snprintf(name, sizeof name, "%s, %s", target->name, cases[i].name);
    bool good = kernels_open(&run, m->program.arena, m->e.graph, target);
    run.random[0] = random_of[0];
    run.random[1] = random_of[1];
    if (good)
        good = check_orders(name, m, &run);
    else
        print_error("%s: %s\n", name, run.why);
    kernels_close(&run);
    return good;
}

static void check_cases(const Target *target)
{
    int failed = 0;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        failed += !check_case(i, target);
    assert_int_equal(failed, 0);
}

static void check_target(const char *name)
{
    const Target *target = target_find(str_of(name));
    assert_non_null(target);
    if (!target_runs_here(target))
        skip();
    check_cases(target);
}

/* Blocks and packs of all sizes that do not fit. */
static void test_small_caches(void **state)
{
    (void)state;
    Target small = kernels_small_caches(target_host());
    check_cases(&small);
}

static void test_v4(void **state)
{
    (void)state;
    check_target("x86-64-v4");
}

static void test_v3(void **state)
{
    (void)state;
    check_target("x86-64-v3");
}

static void test_generic(void **state)
{
    (void)state;
    check_target("generic");
}

/* --- faults ----------------------------------------------------------------------------------- */
typedef struct FaultCase {
    const char *text, *tensor;
    size_t element;
    int64_t value, extent; /* extent 0: no fault */
} FaultCase;

static const FaultCase fault_cases[] = {
    {"param w[11, 20]\ninput t[5] below 11\ny[b:5, d:20] = w[t[b], d]", "t", 3, 11, 11},
    {"param w[11, 20]\ninput t[5] below 11\ny[b:5, d:20] = w[t[b], d]", "t", 4, -1, 11},
    {"param w[11]\ninput t[53] below 11\ny[b:53] = w[t[b]]", "t", 50, 2000000000, 11},
    {"param w[4, 5]\ninput t[4] below 5\ny = sum[b:4] w[b, t[b]]", "t", 2, 5, 5},
    {"param w[4, 5]\ninput t[4] below 5\ny = sum[b:4] select(t[b] == 7, 0.0, w[b, t[b]])", "t", 2,
     5, 5},
    {"param w[4, 5]\ninput t[4] below 5\ny = sum[b:4] select(t[b] == 7, 0.0, w[b, t[b]])", "t", 2,
     7, 0},
    {"param w[4, 5]\ninput t[4] below 5\ny[b:4, k:5] = select(k < 6, w[b, t[b]] ?? 0, 1.0)", "t", 2,
     7, 0},
    {"param a[4]\nparam w[5]\ninput t[9] below 5\ny[i:9] = a[i] ?? w[t[i]]", "t", 2, 7, 0},
    {"param a[4]\nparam w[5]\ninput t[9] below 5\ny[i:9] = a[i] ?? w[t[i]]", "t", 6, 7, 5},
    {"param x[23, 37]\ninput t[23] below 5\ny[t[n], d | n:23, d:37] of 5, 37 = x[n, d]", "t", 22, 5,
     5},
    {"param x[53]\ninput t[53] below 5\ny[t[n] | n:53] of 5 = x[n]", "t", 52, -3, 5},
};

static void check_fault(const FaultCase *c, const Target *target)
{
    Program p;
    program_open(&p);
    Arena *arena = p.arena;
    Equations e = equations_read(arena, c->text, 7);
    e.leaves[equations_find(&e, c->tensor)][c->element] = (double)c->value;
    KernelRun run;
    assert_true(kernels_open(&run, arena, e.graph, target));
    kernels_fill(&run, e.leaves);
    kernels_run(&run, CHUNKS_UP);
    assert_int_equal(run.fault[0], c->extent == 0 ? 0 : 1);
    if (c->extent != 0) {
        assert_int_equal(run.fault[1], c->value);
        assert_int_equal(run.fault[2], c->extent);
        assert_int_equal(run.fault[3], c->element);
    }
    kernels_close(&run);
    program_close(&p);
}

static void test_faults(void **state)
{
    (void)state;
    const Target *const *targets;
    size_t n = target_list(&targets);
    for (size_t t = 0; t < n; t++)
        for (size_t i = 0;
             target_runs_here(targets[t]) && i < sizeof fault_cases / sizeof *fault_cases; i++)
            check_fault(&fault_cases[i], targets[t]);
}

/* --- random numbers ----------------------------------------------------------------------- */
static void test_random(void **state)
{
    (void)state;
    Program p;
    program_open(&p);
    Arena *arena = p.arena;
    Equations e =
        equations_read(arena, "z[i:77, j:3] = random(5, 3*i + j)\ny[i:9] = random(5, 7)", 7);
    KernelRun run;
    assert_true(kernels_open(&run, arena, e.graph, target_host()));
    run.random[0] = 0xfedcba9876543210u;
    run.random[1] = 0x123456789u;
    kernels_fill(&run, e.leaves);
    kernels_run(&run, CHUNKS_UP);
    for (size_t i = 0; i < 231; i++) {
        float want = hone_random_uniform(run.random[0], 5, run.random[1], i);
        assert_true((double)want == kernels_value(&run, equations_find(&e, "z"), i));
    }
    float want = hone_random_uniform(run.random[0], 5, run.random[1], 7);
    assert_true((double)want == kernels_value(&run, equations_find(&e, "y"), 8));
    kernels_close(&run);
    program_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_v4),      cmocka_unit_test(test_v3),
        cmocka_unit_test(test_generic), cmocka_unit_test(test_faults),
        cmocka_unit_test(test_small_caches), cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, NULL, forget_meanings);
}
