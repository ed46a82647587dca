/* Speed of compiled contractions on one thread, beside the core's rate of fused multiply-adds
 * measured in turns with them: every distinct product and convolution of ResNet-50 (batch 8),
 * MobileNetV2 (batch 32) and GPT-2 (4 x 64 and 4 x 256 tokens), forward, by the data, by the weights,
 * each as one equation over tensors as hone lays them out. Processor time, so that a busy machine
 * disturbs less; the best of some runs. By hand:
 *
 *   ninja -C build bench_contract && build/tests/bench_contract [PART-OF-NAME [TARGET [asm|dump]]]
 */
#include "support/kernels.h"

#include <hone/hone.h>
#include <immintrin.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct Conv {
    const char *name;
    int n, size, in, out, taps, stride; /* size: of the output */
} Conv;

static const Conv convs[] = {
    {"r50.stem", 8, 112, 3, 64, 7, 2},      {"r50.1.1x1a", 8, 56, 64, 64, 1, 1},
    {"r50.1.3x3", 8, 56, 64, 64, 3, 1},     {"r50.1.1x1up", 8, 56, 64, 256, 1, 1},
    {"r50.1.1x1dn", 8, 56, 256, 64, 1, 1},  {"r50.2.1x1in", 8, 56, 256, 128, 1, 1},
    {"r50.2.3x3s2", 8, 28, 128, 128, 3, 2}, {"r50.2.1x1s2", 8, 28, 256, 512, 1, 2},
    {"r50.2.3x3", 8, 28, 128, 128, 3, 1},   {"r50.2.1x1up", 8, 28, 128, 512, 1, 1},
    {"r50.2.1x1dn", 8, 28, 512, 128, 1, 1}, {"r50.3.1x1in", 8, 28, 512, 256, 1, 1},
    {"r50.3.3x3s2", 8, 14, 256, 256, 3, 2}, {"r50.3.1x1s2", 8, 14, 512, 1024, 1, 2},
    {"r50.3.3x3", 8, 14, 256, 256, 3, 1},   {"r50.3.1x1up", 8, 14, 256, 1024, 1, 1},
    {"r50.3.1x1dn", 8, 14, 1024, 256, 1, 1}, {"r50.4.1x1in", 8, 14, 1024, 512, 1, 1},
    {"r50.4.3x3s2", 8, 7, 512, 512, 3, 2},  {"r50.4.1x1s2", 8, 7, 1024, 2048, 1, 2},
    {"r50.4.3x3", 8, 7, 512, 512, 3, 1},    {"r50.4.1x1up", 8, 7, 512, 2048, 1, 1},
    {"r50.4.1x1dn", 8, 7, 2048, 512, 1, 1}, {"mb2.stem", 32, 112, 3, 32, 3, 2},
    {"mb2.32-16", 32, 112, 32, 16, 1, 1},   {"mb2.16-96", 32, 112, 16, 96, 1, 1},
    {"mb2.96-24", 32, 56, 96, 24, 1, 1},    {"mb2.24-144", 32, 56, 24, 144, 1, 1},
    {"mb2.144-24", 32, 56, 144, 24, 1, 1},  {"mb2.144-32", 32, 28, 144, 32, 1, 1},
    {"mb2.32-192", 32, 28, 32, 192, 1, 1},  {"mb2.192-32", 32, 28, 192, 32, 1, 1},
    {"mb2.192-64", 32, 14, 192, 64, 1, 1},  {"mb2.64-384", 32, 14, 64, 384, 1, 1},
    {"mb2.384-64", 32, 14, 384, 64, 1, 1},  {"mb2.384-96", 32, 14, 384, 96, 1, 1},
    {"mb2.96-576", 32, 14, 96, 576, 1, 1},  {"mb2.576-96", 32, 14, 576, 96, 1, 1},
    {"mb2.576-160", 32, 7, 576, 160, 1, 1}, {"mb2.160-960", 32, 7, 160, 960, 1, 1},
    {"mb2.960-160", 32, 7, 960, 160, 1, 1}, {"mb2.960-320", 32, 7, 960, 320, 1, 1},
    {"mb2.320-1280", 32, 7, 320, 1280, 1, 1},
    {"gpt256.qkv", 256, 1, 768, 2304, 1, 1}, {"gpt256.proj", 256, 1, 768, 768, 1, 1},
    {"gpt256.up", 256, 1, 768, 3072, 1, 1}, {"gpt256.down", 256, 1, 3072, 768, 1, 1},
    {"gpt256.head", 256, 1, 768, 50257, 1, 1}, {"gpt1024.qkv", 1024, 1, 768, 2304, 1, 1},
    {"gpt1024.proj", 1024, 1, 768, 768, 1, 1}, {"gpt1024.up", 1024, 1, 768, 3072, 1, 1},
    {"gpt1024.down", 1024, 1, 3072, 768, 1, 1}, {"gpt1024.head", 1024, 1, 768, 50257, 1, 1},
};

typedef enum What { FORWARD, BY_DATA, BY_WEIGHT } What;
static const char *const whats[] = {"y", "dx", "dw"};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static char text[2048];
static void say(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
}

/* Equations of products: a 1x1 convolution of stride 1. Returns FLOPs. */
static double product(const Conv *c, What what)
{
    int m = c->n * c->size * c->size, i = c->in, o = c->out;
    if (what == FORWARD)
        say("input x[%d, %d]\ninput w[%d, %d]\ny[m:%d, o:%d] = sum[i:%d] w[o, i] * x[m, i]", m, i, o,
            i, m, o, i);
    else if (what == BY_DATA)
        say("input d[%d, %d]\ninput w[%d, %d]\ny[m:%d, i:%d] = sum[o:%d] w[o, i] * d[m, o]", m, o, o,
            i, m, i, o);
    else
        say("input x[%d, %d]\ninput d[%d, %d]\ny[o:%d, i:%d] = sum[m:%d] d[m, o] * x[m, i]", m, i, m,
            o, o, i, m);
    return 2.0 * m * i * o;
}

/* By the data with stride 2: the residue that most taps reach. */
static double convolution(const Conv *c, What what)
{
    int n = c->n, p = c->size, s = c->stride, h = p * s, t = c->taps, i = c->in, o = c->out;
    int pad = t / 2;
    double flops = 2.0 * n * p * p * o * i * t * t;
    if (what == FORWARD) {
        say("input x[%d, %d, %d, %d]\ninput w[%d, %d, %d, %d]\n"
            "y[n:%d, p:%d, q:%d, o:%d] = sum[i:%d, j:%d, c:%d] "
            "w[o, i, j, c] * (x[n, %d*p+i-%d, %d*q+j-%d, c] ?? 0)",
            n, h, h, i, o, t, t, i, n, p, p, o, t, t, i, s, pad, s, pad);
    } else if (what == BY_WEIGHT) {
        say("input x[%d, %d, %d, %d]\ninput d[%d, %d, %d, %d]\n"
            "y[o:%d, i:%d, j:%d, c:%d] = sum[n:%d, p:%d, q:%d] "
            "d[n, p, q, o] * (x[n, %d*p+i-%d, %d*q+j-%d, c] ?? 0)",
            n, h, h, i, n, p, p, o, o, t, t, i, n, p, p, s, pad, s, pad);
    } else {
        int reach = s == 1 ? t : (t + 1) / 2;
        say("input d[%d, %d, %d, %d]\ninput w[%d, %d, %d, %d]\n"
            "y[n:%d, p:%d, q:%d, c:%d] = sum[i:%d, j:%d, o:%d] "
            "w[o, %d*i, %d*j, c] * (d[n, p-i+%d, q-j+%d, o] ?? 0)",
            n, p, p, o, o, t, t, i, n, p, p, i, reach, reach, o, s, s, reach / 2, reach / 2);
        flops = 2.0 * n * p * p * o * i * reach * reach;
    }
    return flops;
}

/* --- the core's rate -------------------------------------------------------------------------- */
#define CHAINS 12
__attribute__((target("avx512f"))) static float fma_512(int turns)
{
    __m512 sums[CHAINS], a = _mm512_set1_ps(0.999f), b = _mm512_set1_ps(0.001f);
    for (int i = 0; i < CHAINS; i++)
        sums[i] = _mm512_set1_ps((float)i);
    for (int t = 0; t < turns; t++)
        for (int i = 0; i < CHAINS; i++)
            sums[i] = _mm512_fmadd_ps(sums[i], a, b);
    for (int i = 1; i < CHAINS; i++)
        sums[0] = _mm512_add_ps(sums[0], sums[i]);
    return _mm512_cvtss_f32(sums[0]);
}

__attribute__((target("avx2,fma"))) static float fma_256(int turns)
{
    __m256 sums[CHAINS], a = _mm256_set1_ps(0.999f), b = _mm256_set1_ps(0.001f);
    for (int i = 0; i < CHAINS; i++)
        sums[i] = _mm256_set1_ps((float)i);
    for (int t = 0; t < turns; t++)
        for (int i = 0; i < CHAINS; i++)
            sums[i] = _mm256_fmadd_ps(sums[i], a, b);
    for (int i = 1; i < CHAINS; i++)
        sums[0] = _mm256_add_ps(sums[0], sums[i]);
    return _mm256_cvtss_f32(sums[0]);
}

static double peak(const Target *target)
{
    int turns = 100000;
    double start = now();
    volatile float keep = target->lanes >= 16 ? fma_512(turns) : fma_256(turns);
    (void)keep;
    return 2.0 * CHAINS * target->lanes * turns / (now() - start);
}

/* --- cases ------------------------------------------------------------------------------------ */
typedef struct Total {
    double flops, seconds;
} Total;

static void **buffers_of(Arena *arena, HoneSys *sys, const KernelRun *run, const Kernel *kernel,
                         void **nodes)
{
    void **buffers = NEW_ARRAY(arena, void *, kernel->n_globals + 1);
    for (size_t i = 0; i < kernel->n_buffers; i++) {
        const KBuffer *buffer = &kernel->buffers[i];
        if (buffer->place != KPLACE_GLOBAL)
            continue;
        if (!nodes[buffer->tensor]) {
            size_t n = (size_t)node_elements(graph_node(run->graph, buffer->tensor));
            float *memory = hone_map(sys, n * 4);
            for (size_t k = 0; k < n; k++)
                memory[k] = 0.01f * (float)(k % 13);
            nodes[buffer->tensor] = memory;
        }
        buffers[buffer->slot] = nodes[buffer->tensor];
    }
    return buffers;
}

static void time_kernels(Arena *arena, HoneSys *sys, KernelRun *run, const char *name,
                         const char *what, double flops, Total *total)
{
    void **nodes = NEW_ARRAY(arena, void *, run->graph->nodes.len);
    double best = INFINITY, most = 0, spent = 0;
    for (int turn = 0; turn < 40 && (turn < 3 || spent < 0.15); turn++) {
        double took = 0;
        for (size_t k = 0; k < run->n; k++) {
            const Kernel *kernel = run->kernels[k];
            void **buffers = buffers_of(arena, sys, run, kernel, nodes);
            static char *scratch;
            static size_t room;
            if (room < kernel->scratch_bytes + 64) {
                room = kernel->scratch_bytes + 64;
                scratch = hone_map(sys, room);
            }
            int64_t chunks = kernel_chunks(kernel);
            HoneKernelFn *fn = code_function(run->code, k);
            double start = now();
            for (int64_t i = 0; i < chunks; i++)
                fn(buffers, scratch, i);
            took += now() - start;
        }
        spent += took;
        best = fmin(best, took);
        most = fmax(most, peak(run->target));
    }
    printf("%-14s %-3s %9.2f ms %7.1f Gop/s  %5.1f %% of %5.1f %4lld chunks %5zu kB of scratch\n", name,
           what, 1e3 * best, 1e-9 * flops / best, 100 * flops / best / most, 1e-9 * most,
           (long long)kernel_chunks(run->kernels[0]), run->kernels[0]->scratch_bytes / 1024);
    fflush(stdout);
    total->flops += flops;
    total->seconds += best;
    for (size_t i = 0; i < run->graph->nodes.len; i++)
        if (nodes[i])
            hone_unmap(sys, nodes[i], (size_t)node_elements(graph_node(run->graph, (NodeId)i)) * 4);
}

static void measure(const char *name, const char *what, double flops, const Target *target,
                    const char *show, Total *total)
{
    HoneSys sys = {0};
    Mem mem;
    mem_init(&mem, &sys);
    mem.armed = true;
    if (setjmp(mem.on_failure))
        return;
    Arena *arena = arena_new(&mem, "test");
    Equations e = equations_read(arena, text, 7);
    KernelRun run = {.arena = arena, .graph = e.graph, .target = target};
    kernels_lower(&run);
    Buf out = buf_new(arena);
    EmitOptions options = {.target = target, .threads = 1};
    const Graph **graphs = NEW_ARRAY(arena, const Graph *, run.n);
    for (size_t i = 0; i < run.n; i++) {
        graphs[i] = e.graph;
        const char *why = kernel_verify(run.kernels[i], arena);
        if (why)
            printf("%s: %s\n", name, why);
        if (show && strcmp(show, "asm") == 0)
            emit_asm(e.graph, run.kernels[i], &options, &out);
        else if (show)
            kernel_dump(e.graph, run.kernels[i], &out);
    }
    fwrite(out.ptr, 1, out.len, stdout);
    run.code = code_compile(arena, graphs, run.kernels, run.n, &options, &run.why);
    if (run.code)
        time_kernels(arena, &sys, &run, name, what, flops, total);
    else
        printf("%s: %s\n", name, run.why);
    mem_release(&mem);
}

int main(int argc, char **argv)
{
    const char *part = argc > 1 ? argv[1] : "";
    const Target *target = argc > 2 ? target_find(str_of(argv[2])) : target_host();
    Total total = {0};
    for (size_t i = 0; target && i < sizeof convs / sizeof *convs; i++) {
        for (What what = FORWARD; what <= BY_WEIGHT; what++) {
            const Conv *c = &convs[i];
            char name[64];
            snprintf(name, sizeof name, "%s %s", c->name, whats[what]);
            if (!strstr(name, part))
                continue;
            double flops = c->taps == 1 && c->stride == 1 ? product(c, what) : convolution(c, what);
            measure(c->name, whats[what], flops, target, argc > 3 ? argv[3] : NULL, &total);
        }
    }
    printf("all: %.1f Gop/s\n", 1e-9 * total.flops / total.seconds);
    return 0;
}
