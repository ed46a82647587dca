/* fold: sums over rows of packed pictures run as one loop, and mean what they meant: weight gradients of
 * convolutions whose rows are short, odd, cut into even and uneven blocks, and those that may not be folded. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "support/kernels.h"
#include "support/program.h"

typedef struct Case {
    const char *name, *text;
    int64_t times;               /* of the innermost loop of the last kernel, for AVX2; 0: nothing folds */
} Case;

static const Case cases[] = {
    {"3x3, 7x7, images in blocks of four",
     "input d[8, 7, 7, 128]\ninput x[8, 7, 7, 8]\n"
     "y[o:128, i:3, j:3, c:8] = sum[n:8, p:7, q:7] d[n, p, q, o] * (x[n, p+i-1, q+j-1, c] ?? 0)", 28},
    {"3x3 of stride 2, 5x6",
     "input d[3, 5, 6, 128]\ninput x[3, 10, 12, 8]\n"
     "y[o:128, i:3, j:3, c:8] = sum[n:3, p:5, q:6] d[n, p, q, o] * (x[n, 2*p+i-1, 2*q+j-1, c] ?? 0)", 15},
    {"images in uneven blocks",
     "input d[7, 9, 9, 128]\ninput x[7, 9, 9, 8]\n"
     "y[o:128, i:3, j:3, c:8] = sum[n:7, p:9, q:9] d[n, p, q, o] * (x[n, p+i-1, q+j-1, c] ?? 0)", 9},
    {"nothing is packed: the border stays in the sum",
     "input d[2, 9, 9, 8]\ninput x[2, 9, 9, 3]\n"
     "y[o:8, i:3, j:3, c:3] = sum[n:2, p:9, q:9] d[n, p, q, o] * (x[n, p+i-1, q+j-1, c] ?? 0)", 0},
};

static int64_t times_of(const Kernel *kernel)
{
    const Nest *nest = &kernel->nests[kernel->n_nests - 1];
    return nest->loops[nest->n_loops - 1].times;
}

/* The difference from the interpreter is at most `most` of the tensor's scale. */
static void check_case(const Case *c, const Target *target, double most)
{
    Program p;
    program_open(&p);
    Equations e = equations_read(p.arena, c->text, 5);
    Interp interp = {.graph = e.graph, .arena = p.arena, .values = e.leaves};
    assert_true(interp_run(&interp));
    KernelRun run;
    assert_true(kernels_open(&run, p.arena, e.graph, target));
    if (target == target_find(STR("x86-64-v3")))
        assert_int_equal(times_of(run.kernels[run.n - 1]), c->times);
    kernels_fill(&run, e.leaves);
    kernels_run(&run, CHUNKS_THREADS);
    NodeId worst = 0;
    double difference = kernels_difference(&run, &interp, &worst);
    if (difference > most)
        fail_msg("%s, %s: differs by %g", target->name, c->name, difference);
    kernels_close(&run);
    program_close(&p);
}

static void folded_sums_mean_the_same(void **state)
{
    (void)state;
    const Target *const *targets;
    size_t n = target_list(&targets);
    for (size_t t = 0; t < n; t++)
        for (size_t i = 0; target_runs_here(targets[t]) && i < sizeof cases / sizeof *cases; i++)
            check_case(&cases[i], targets[t], 1e-5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(folded_sums_mean_the_same)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
