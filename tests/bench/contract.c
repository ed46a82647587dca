/* Speed of compiled kernels on one thread, against the machine's rate of fused multiply-adds. Run
 * by hand:
 *
 *   ninja -C build bench_contract && build/tests/bench_contract [asm NAME]
 *
 * `asm NAME` prints the assembly of that case instead.
 */
#include "support/kernels.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

typedef struct Case {
    const char *name, *text;
    double flops;
} Case;

#define CONV_LAST(N, P, C, O)                                                                      \
    "input x[" #N ", " #P ", " #P ", " #C "]\ninput w[3, 3, " #C ", " #O "]\n"                     \
    "y[n:" #N ", p:" #P ", q:" #P ", o:" #O "] = sum[i:3, j:3, c:" #C "] "                         \
    "w[i, j, c, o] * (x[n, p+i-1, q+j-1, c] ?? 0)",                                                \
        2.0 * N *P *P *O *C * 9

static const Case cases[] = {
    {"nn512",
     "input a[512, 512]\ninput b[512, 512]\ny[n:512, o:512] = sum[i:512] a[n, i] * b[i, o]",
     2.0 * 512 * 512 * 512},
    {"nt512",
     "input a[512, 512]\ninput b[512, 512]\ny[n:512, o:512] = sum[i:512] a[n, i] * b[o, i]",
     2.0 * 512 * 512 * 512},
    {"tn512",
     "input a[512, 512]\ninput b[512, 512]\ny[n:512, o:512] = sum[i:512] a[i, n] * b[i, o]",
     2.0 * 512 * 512 * 512},
    {"nn100",
     "input a[100, 100]\ninput b[100, 100]\ny[n:100, o:100] = sum[i:100] a[n, i] * b[i, o]",
     2.0 * 100 * 100 * 100},
    {"nt32x10", "input a[32, 64]\ninput b[10, 64]\ny[n:32, o:10] = sum[i:64] a[n, i] * b[o, i]",
     2.0 * 32 * 64 * 10},
    {"conv28last", CONV_LAST(4, 28, 64, 64)},
    {"conv8last", CONV_LAST(32, 8, 16, 32)},
    {"conv28first",
     "input x[4, 64, 28, 28]\ninput w[64, 64, 3, 3]\n"
     "y[n:4, o:64, p:28, q:28] = sum[c:64, i:3, j:3] "
     "w[o, c, i, j] * (x[n, c, p+i-1, q+j-1] ?? 0)",
     2.0 * 4 * 64 * 28 * 28 * 64 * 9},
    {"conv8first",
     "input x[32, 16, 8, 8]\ninput w[32, 16, 3, 3]\n"
     "y[n:32, o:32, p:8, q:8] = sum[c:16, i:3, j:3] "
     "w[o, c, i, j] * (x[n, c, p+i-1, q+j-1] ?? 0)",
     2.0 * 32 * 32 * 8 * 8 * 16 * 9},
    {"wgrad28last",
     "input x[4, 28, 28, 64]\ninput d[4, 28, 28, 64]\n"
     "y[i:3, j:3, c:64, o:64] = sum[n:4, p:28, q:28] "
     "d[n, p, q, o] * (x[n, p+i-1, q+j-1, c] ?? 0)",
     2.0 * 4 * 64 * 28 * 28 * 64 * 9},
    {"wgrad8last",
     "input x[32, 8, 8, 16]\ninput d[32, 8, 8, 32]\n"
     "y[i:3, j:3, c:16, o:32] = sum[n:32, p:8, q:8] "
     "d[n, p, q, o] * (x[n, p+i-1, q+j-1, c] ?? 0)",
     2.0 * 32 * 32 * 8 * 8 * 16 * 9},
    {"depthwise28",
     "input x[4, 28, 28, 64]\ninput w[3, 3, 64]\n"
     "y[n:4, p:28, q:28, c:64] = sum[i:3, j:3] "
     "w[i, j, c] * (x[n, p+i-1, q+j-1, c] ?? 0)",
     2.0 * 4 * 64 * 28 * 28 * 9},
    {"add", "input a[4096]\ninput b[4096]\ny[i:4096] = a[i] + b[i]", 4096},
    {"gelu", "input a[4096]\ny[i:4096] = 0.5 * a[i] * (1.0 + erf(a[i] * 0.70710678))", 4096},
    {"exp", "input a[4096]\ny[i:4096] = exp(a[i])", 4096},
    {"rowsum", "input a[64, 512]\ny[i:64] = sum[k:512] a[i, k]", 64 * 512},
    {"colsum", "input a[64, 512]\ny[k:512] = sum[i:64] a[i, k]", 64 * 512},
};

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void measure(const Case *c, const Target *target, bool assembly)
{
    HoneSys sys = {0};
    Mem mem;
    mem_init(&mem, &sys);
    mem.armed = true;
    if (setjmp(mem.on_failure))
        return;
    Arena *arena = arena_new(&mem, "test");
    Equations e = equations_read(arena, c->text, 7);
    KernelRun run;
    double start = seconds();
    if (!kernels_open(&run, arena, e.graph, target)) {
        printf("%s: %s\n", c->name, run.why);
        return;
    }
    double compiled = seconds() - start, best = INFINITY;
    if (assembly) {
        Buf out = buf_new(arena);
        EmitOptions options = {.target = target};
        for (size_t i = 0; i < run.n; i++)
            emit_asm(e.graph, run.kernels[i], &options, &out);
        fwrite(out.ptr, 1, out.len, stdout);
    }
    kernels_fill(&run, e.leaves);
    for (double until = seconds() + 0.3; !assembly && seconds() < until;) {
        start = seconds();
        kernels_run(&run, CHUNKS_UP);
        best = fmin(best, seconds() - start);
    }
    if (!assembly)
        printf("%-10s %-12s %8.1f us  %7.1f Gop/s  compiled in %.1f ms\n", target->name, c->name,
               1e6 * best, 1e-9 * c->flops / best, 1e3 * compiled);
    fflush(stdout);
    kernels_close(&run);
    mem_release(&mem);
}

int main(int argc, char **argv)
{
    bool assembly = argc > 2 && strcmp(argv[1], "asm") == 0;
    const Target *target =
        argc == 2 || argc == 4 ? target_find(str_of(argv[argc - 1])) : target_host();
    for (size_t i = 0; target && i < sizeof cases / sizeof *cases; i++)
        if (!assembly || strcmp(cases[i].name, argv[2]) == 0)
            measure(&cases[i], target, assembly);
    return 0;
}
