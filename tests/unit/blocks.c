/* Fused kernels in blocks: networks whose tensors leave the caches of a target made for this test, so
 * that factors of products are computed as they are packed, and maps and sums follow a product block by
 * block with what is between them in scratch. Compiled, planned and run against the interpreter. */
#include "support/kernels.h"
#include "support/planned.h"
#include "support/program.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

typedef struct Net {
    const char *name, *text;
    size_t least_nests;          /* of the kernel that has most */
} Net;

/* A norm over the batch, written out; y of z. */
#define NORM(z, y, n, p, c, count)                                                                 \
    "u" y "[c:" c "] = sum[n:" n ", p:" p "] " count " * " z "[n, p, c]\n"                         \
    "v" y "[c:" c "] = sum[n:" n ", p:" p "] " count " * (" z "[n, p, c] - u" y "[c])^2\n"         \
    y "[n:" n ", p:" p ", c:" c "] = max((" z "[n, p, c] - u" y "[c]) * rsqrt(v" y "[c] + 0.1) + " \
    "0.05, 0.0)\n"

static const Net nets[] = {
    {"products and norms",
     "input x[4, 61, 19]\nparam w[37, 19]\nparam k[21, 37]\nparam l[5, 21]\n"
     "a[n:4, p:61, o:37] = sum[c:19] w[o, c] * x[n, p, c]\n" NORM("a", "b", "4", "61", "37", "0.0041")
     "d[n:4, p:61, o:21] = sum[c:37] k[o, c] * b[n, p, c]\n" NORM("d", "e", "4", "61", "21", "0.0041")
     "f[n:4, p:61, o:5] = sum[c:21] l[o, c] * e[n, p, c]", 3},
    {"of one image and one channel",
     "input x[1, 301, 1]\nparam w[33, 1]\nparam k[1, 33]\n"
     "a[n:1, p:301, o:33] = sum[c:1] w[o, c] * x[n, p, c]\n" NORM("a", "b", "1", "301", "33", "0.0033")
     "d[n:1, p:301, o:1] = sum[c:33] k[o, c] * b[n, p, c]", 2},
    {"with a sum over what is kept",
     "input x[6, 53, 24]\nparam w[24, 24]\nparam k[24, 24]\n"
     "a[n:6, p:53, o:24] = sum[c:24] w[o, c] * x[n, p, c]\n" NORM("a", "b", "6", "53", "24", "0.0031")
     "d[n:6, p:53, o:24] = sum[c:24] k[o, c] * b[n, p, c]\n"
     "e[n:6, p:53, o:24] = max(d[n, p, o] + x[n, p, o], 0.0)\n"
     "f[n:6, o:24] = sum[p:53] e[n, p, o]", 2},
    {"with a long sum",
     "input x[3, 41, 700]\nparam w[19, 700]\nparam k[700, 19]\n"
     "b[n:3, p:41, c:700] = max(x[n, p, c] * 0.5 + 0.1, 0.0)\n"
     "a[n:3, p:41, o:19] = sum[c:700] w[o, c] * b[n, p, c]\n"
     "d[n:3, p:41, o:700] = sum[c:19] k[o, c] * a[n, p, c]", 1},
    {"with products that are packed one by one",
     "input x[3, 15, 32]\nparam w[32, 128]\nparam k[128, 32]\n"
     "a[n:3, p:15, o:128] = sum[i:32] w[i, o] * x[n, p, i]\n"
     "b[n:3, p:15, o:128] = tanh(a[n, p, o]) * a[n, p, o]\n"
     "d[n:3, p:15, o:32] = sum[i:128] k[i, o] * b[n, p, i]", 2},
    {"with windows beside products",
     "input x[2, 9, 11, 18]\nparam w[35, 18]\nparam k[3, 3, 35]\nparam l[17, 35]\n"
     "a[n:2, p:9, q:11, o:35] = sum[c:18] w[o, c] * x[n, p, q, c]\n"
     "b[n:2, p:9, q:11, c:35] = max(a[n, p, q, c] * 0.7 + 0.01, 0.0)\n"
     "d[n:2, p:9, q:11, c:35] = sum[i:3, j:3] k[i, j, c] * (b[n, p+i-1, q+j-1, c] ?? 0)\n"
     "e[n:2, p:9, q:11, c:35] = min(max(d[n, p, q, c], 0.0), 0.6)\n"
     "f[n:2, p:9, q:11, o:17] = sum[c:35] l[o, c] * e[n, p, q, c]", 2},
    {"with rows of other dimensions of equal extent",
     "input x[160, 160]\nparam g[160]\n"
     "u[n:160] = sum[d:160] 0.01 * x[n, d] * g[d]\n"
     "e[n:160, d:160] = exp(u[n] * g[d]) * x[n, d]\n"
     "f[n:160, d:160] = exp(u[d] * g[n]) * x[n, d]\n"
     "y[n:160, d:160] = sum[k:160] e[n, k] * f[k, d]", 1},
};

/* Small caches and large ones, of every target that runs here, against one evaluation. */
static bool check_target(const Net *net, Arena *arena, const Graph *graph, const Interp *interp,
                         const Target *target)
{
    const Target small = kernels_small_caches(target), *const caches[] = {&small, target};
    bool good = true;
    for (size_t i = 0; i < 2; i++) {
        PlannedResult r = planned_compare(arena, graph, interp, caches[i]);
        if (r.why[0] == '\0' && r.error < 1e-4 && r.most_nests >= net->least_nests)
            continue;
        print_error("%s, %s, %s caches: differs by %g, %zu nests at most, %s\n", target->name,
                    net->name, i == 0 ? "small" : "large", r.error, r.most_nests, r.why);
        good = false;
    }
    return good;
}

static int check_net(const Net *net)
{
    Program p;
    program_open(&p);
    Equations e = equations_read(p.arena, net->text, 11);
    equations_add_loss(&e, 1);
    const Target *const *targets;
    size_t n = target_list(&targets);
    int failed = 0, ran = 0;
    const Graph *raw = pass_autodiff(p.arena, e.graph, e.n_params, e.params);
    const Graph *graph = planned_passes(p.arena, raw, targets[0]);
    Interp interp = equations_interp(&e, graph);
    assert_true(interp_run(&interp));
    for (size_t t = 0; t < n; t++) {
        if (target_runs_here(targets[t])) {
            failed += !check_target(net, p.arena, graph, &interp, targets[t]);
            ran++;
        }
    }
    assert_true(ran > 0);
    program_close(&p);
    return failed;
}

static void blocks_change_nothing(void **state)
{
    (void)state;
    int failed = 0;
    for (size_t i = 0; i < sizeof nets / sizeof *nets; i++)
        failed += check_net(&nets[i]);
    assert_int_equal(failed, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(blocks_change_nothing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
