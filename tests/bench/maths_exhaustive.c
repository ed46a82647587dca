/* Every float through the compiled functions of one argument, against libm in double precision, on
 * all cores. Run by hand:
 *
 *   ninja -C build bench_maths_exhaustive && build/tests/bench_maths_exhaustive [TARGET]
 * [FUNCTION…]
 *
 * Prints the largest error in ulp and where it is; 1 if one is above 4. What it printed stands in
 * bench/README.md.
 */
#include "support/maths.h"

#include <hone/hone.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { BLOCK_BITS = 18, BLOCK = 1 << BLOCK_BITS, BLOCKS = 1 << (32 - BLOCK_BITS) };

typedef struct Worst {
    double error;
    uint32_t bits;
    float result;
} Worst;

typedef struct Sweep {
    const MathsFunction *function;
    HoneKernelFn *fn;
    int64_t chunks;
    Worst *worst; /* by block */
} Sweep;

static void sweep_block(void *const *buffers, void *scratch, int64_t block)
{
    Sweep *sweep = buffers[0];
    float *x = scratch, *y = x + BLOCK;
    for (uint32_t i = 0; i < BLOCK; i++) {
        uint32_t bits = (uint32_t)block << BLOCK_BITS | i;
        memcpy(&x[i], &bits, sizeof bits);
    }
    void *const args[] = {y, x};
    for (int64_t chunk = 0; chunk < sweep->chunks; chunk++)
        sweep->fn(args, y + BLOCK, chunk);
    Worst *worst = &sweep->worst[block];
    for (uint32_t i = 0; i < BLOCK; i++) {
        double error = maths_error(sweep->function, x[i], 0, y[i]);
        if (error > worst->error)
            *worst =
                (Worst){.error = error, .bits = (uint32_t)block << BLOCK_BITS | i, .result = y[i]};
    }
}

static bool sweep_function(const MathsFunction *f, const Target *target)
{
    static Worst all[BLOCKS];
    memset(all, 0, sizeof all);
    MathsRun run;
    const char *why = maths_open(&run, f, target, BLOCK);
    if (why) {
        printf("%s: %s\n", f->name, why);
        return false;
    }
    Sweep sweep = {.function = f,
                   .fn = code_function(run.run.code, 0),
                   .chunks = kernel_chunks(run.run.kernels[0]),
                   .worst = all};
    HonePool *pool = hone_pool_new(&run.sys, hone_cpu_count(), 2 * BLOCK * sizeof(float) + 4096);
    if (pool) {
        void *const buffers[] = {&sweep};
        hone_pool_run(pool, sweep_block, buffers, BLOCKS);
        hone_pool_free(pool);
    }
    maths_close(&run);
    Worst worst = {0};
    for (size_t i = 0; i < BLOCKS; i++)
        worst = all[i].error > worst.error ? all[i] : worst;
    float x;
    memcpy(&x, &worst.bits, sizeof x);
    printf("%-10s %-6s %6.2f ulp at %a: %a, not %a\n", target->name, f->name, worst.error,
           (double)x, (double)worst.result, maths_exact(f, x, 0));
    fflush(stdout);
    return worst.error <= 4;
}

static bool wanted(const char *name, int n, char **names)
{
    for (int i = 0; i < n; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return n == 0;
}

int main(int argc, char **argv)
{
    const Target *target = argc > 1 ? target_find(str_of(argv[1])) : target_host();
    if (!target || !target_runs_here(target)) {
        printf("no such target here\n");
        return 1;
    }
    bool good = true;
    for (size_t i = 0; i < maths_count(); i++) {
        const MathsFunction *f = maths_function(i);
        if (f->arity == 1 && wanted(f->name, argc - 2, argv + 2))
            good &= sweep_function(f, target);
    }
    return good ? 0 : 1;
}
