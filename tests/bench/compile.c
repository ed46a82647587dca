/* Time to compile many small kernels of a network's mix. Run by hand:
 *
 *   ninja -C build bench_compile && build/tests/bench_compile [KERNELS [THREADS]]
 */
#include "support/kernels.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Of ten: three maps, a softmax in rows, two row sums, two contractions, a convolution, a gather.
 */
static void write_equation(Buf *out, int i)
{
    int n = 17 + i % 5, m = 33 + i, k = 48 + i % 7;
    switch (i % 10) {
    case 0:
    case 1:
    case 2:
        buf_printf(out, "y%d[i:%d, j:%d] = max(x[i, j] * %d.5 + b[j], 0.1)\n", i, n, m, i);
        break;
    case 3:
    case 4:
        buf_printf(out, "y%d[i:%d] = sum[j:%d] exp(x[i, j] - b[i])\n", i, n, m);
        break;
    case 5:
        buf_printf(out, "y%d[i:%d, j:%d] = tanh(x[i, j]) * erf(b[j] + x[i, j])\n", i, n, m);
        break;
    case 6:
    case 7:
        buf_printf(out, "y%d[i:%d, j:%d] = sum[k:%d] x[i, k] * x[k, j]\n", i, n, m, k);
        break;
    case 8:
        buf_printf(out,
                   "y%d[i:%d, j:8, k:%d] = sum[p:3, q:3] x[q, p+k] * (z[i+p-1, j+q-1, k] ?? 0)\n",
                   i, n, m);
        break;
    default:
        buf_printf(out, "y%d[i:%d, j:%d] = x[t[i], j]\n", i, n, m);
        break;
    }
}

int main(int argc, char **argv)
{
    int n = argc > 1 ? atoi(argv[1]) : 200, threads = argc > 2 ? atoi(argv[2]) : 1;
    HoneSys sys = {0};
    Mem mem;
    mem_init(&mem, &sys);
    mem.armed = true;
    if (setjmp(mem.on_failure))
        return 1;
    Arena *arena = arena_new(&mem, "test");
    Buf text = buf_new(arena);
    buf_printf(&text,
               "input x[900, 900]\ninput z[64, 16, 900]\ninput b[900]\ninput t[64] below 64\n");
    for (int i = 0; i < n; i++)
        write_equation(&text, i);
    Equations e = equations_read(arena, str_c(arena, buf_str(&text)), 7);
    KernelRun run = {.arena = arena, .graph = e.graph, .target = target_host()};
    kernels_lower(&run);
    const Graph **graphs = NEW_ARRAY(arena, const Graph *, run.n + 1);
    for (size_t i = 0; i < run.n; i++)
        graphs[i] = e.graph;
    EmitOptions options = {.target = run.target, .threads = threads};
    double start = seconds();
    const char *why;
    Code *code = code_compile(arena, graphs, run.kernels, run.n, &options, &why);
    if (!code) {
        printf("%s\n", why);
        return 1;
    }
    double took = seconds() - start;
    printf("%zu kernels, %zu distinct, %d threads: %.1f ms, %.2f ms each, %zu bytes\n", run.n,
           code_distinct(code), threads, 1e3 * took, 1e3 * took / (double)run.n, code_bytes(code));
    mem_release(&mem);
    return 0;
}
