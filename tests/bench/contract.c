/* Speed of compiled contractions, beside the machine's rate of fused multiply-adds measured in turns
 * with them: every distinct product and convolution of ResNet-50 (batch 8), MobileNetV2 (batch 32, its
 * depthwise ones too) and GPT-2 (4 x 64 and 4 x 256 tokens), and some small products, forward, by the
 * data, by the weights, each as one equation over tensors as hone lays them out; and maps over 8 M
 * elements. The best of some runs. By hand:
 *
 *   ninja -C build bench_contract && build/tests/bench_contract [PART-OF-NAME [TARGET [asm|dump]]]
 *   build/tests/bench_contract json THREADS PART-OF-NAME [TARGET]      what compare.py reads
 *
 * The table counts processor time of one thread, so that a busy machine disturbs less; json counts
 * time of the clock on that many threads and takes the beginning of names.
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
    int n, size, in, out, taps, stride; /* size: of the output; in == 0: depthwise over `out` */
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
    {"mb2.320-1280", 32, 7, 320, 1280, 1, 1}, {"dw.32", 32, 112, 0, 32, 3, 1},
    {"dw.96s2", 32, 56, 0, 96, 3, 2},       {"dw.144", 32, 56, 0, 144, 3, 1},
    {"dw.144s2", 32, 28, 0, 144, 3, 2},     {"dw.192", 32, 28, 0, 192, 3, 1},
    {"dw.192s2", 32, 14, 0, 192, 3, 2},     {"dw.384", 32, 14, 0, 384, 3, 1},
    {"dw.576", 32, 14, 0, 576, 3, 1},       {"dw.576s2", 32, 7, 0, 576, 3, 2},
    {"dw.960", 32, 7, 0, 960, 3, 1},
    {"gpt256.qkv", 256, 1, 768, 2304, 1, 1}, {"gpt256.proj", 256, 1, 768, 768, 1, 1},
    {"gpt256.up", 256, 1, 768, 3072, 1, 1}, {"gpt256.down", 256, 1, 3072, 768, 1, 1},
    {"gpt256.head", 256, 1, 768, 50257, 1, 1}, {"gpt1024.qkv", 1024, 1, 768, 2304, 1, 1},
    {"gpt1024.proj", 1024, 1, 768, 768, 1, 1}, {"gpt1024.up", 1024, 1, 768, 3072, 1, 1},
    {"gpt1024.down", 1024, 1, 3072, 768, 1, 1}, {"gpt1024.head", 1024, 1, 768, 50257, 1, 1},
    {"small.mlp", 32, 1, 64, 128, 1, 1},    {"small.mlp2", 32, 1, 128, 10, 1, 1},
    {"small.64", 64, 1, 64, 64, 1, 1},      {"small.128", 128, 1, 128, 128, 1, 1},
    {"small.256", 256, 1, 256, 256, 1, 1},
};

/* Maps: y[n] = body over 8 M elements of a; bytes in and out. */
typedef struct Formula {
    const char *name, *body;
} Formula;

static const Formula maps[] = {
    {"add", "a[n] + b[n]"},
    {"exp", "exp(a[n])"},
    {"tanh", "tanh(a[n])"},
    {"erf", "erf(a[n])"},
    {"gelu", "0.5 * a[n] * (1 + erf(a[n] * 0.70710678))"},
    {"gelu_tanh", "0.5 * a[n] * (1 + tanh(0.79788456 * (a[n] + 0.044715 * a[n] * a[n] * a[n])))"},
};

typedef enum What { FORWARD, BY_DATA, BY_WEIGHT } What;
static const char *const whats[] = {"y", "dx", "dw"};

typedef struct Bench {
    const Target *target;
    const char *show;            /* "asm", "dump" or NULL */
    int threads;                 /* 0: the table */
    HonePool *pool;
    HoneSys sys;
    double flops, seconds;       /* of all so far */
} Bench;

static double now(const Bench *bench)
{
    struct timespec t;
    clock_gettime(bench->threads > 0 ? CLOCK_MONOTONIC : CLOCK_THREAD_CPUTIME_ID, &t);
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

/* One channel by itself; by the data with stride 2 the residue that most taps reach. */
static double depthwise(const Conv *c, What what)
{
    int n = c->n, p = c->size, s = c->stride, h = p * s, t = c->taps, o = c->out, pad = t / 2;
    int reach = s == 1 || what != BY_DATA ? t : (t + 1) / 2;
    if (what == FORWARD)
        say("input x[%d, %d, %d, %d]\ninput w[%d, %d, %d]\n"
            "y[n:%d, p:%d, q:%d, c:%d] = sum[i:%d, j:%d] "
            "w[i, j, c] * (x[n, %d*p+i-%d, %d*q+j-%d, c] ?? 0)",
            n, h, h, o, t, t, o, n, p, p, o, t, t, s, pad, s, pad);
    else if (what == BY_WEIGHT)
        say("input x[%d, %d, %d, %d]\ninput d[%d, %d, %d, %d]\n"
            "y[i:%d, j:%d, c:%d] = sum[n:%d, p:%d, q:%d] "
            "d[n, p, q, c] * (x[n, %d*p+i-%d, %d*q+j-%d, c] ?? 0)",
            n, h, h, o, n, p, p, o, t, t, o, n, p, p, s, pad, s, pad);
    else
        say("input d[%d, %d, %d, %d]\ninput w[%d, %d, %d]\n"
            "y[n:%d, p:%d, q:%d, c:%d] = sum[i:%d, j:%d] "
            "w[%d*i, %d*j, c] * (d[n, p-i+%d, q-j+%d, c] ?? 0)",
            n, p, p, o, t, t, o, n, p, p, o, reach, reach, s, s, reach / 2, reach / 2);
    return 2.0 * n * p * p * o * reach * reach;
}

/* --- the machine's rate -------------------------------------------------------------------------- */
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

static void multiply_512(void *const *buffers, void *scratch, int64_t chunk)
{
    (void)buffers, (void)chunk;
    *(volatile float *)scratch = fma_512(100000);
}

static void multiply_256(void *const *buffers, void *scratch, int64_t chunk)
{
    (void)buffers, (void)chunk;
    *(volatile float *)scratch = fma_256(100000);
}

static double peak(const Bench *bench)
{
    int64_t chunks = bench->threads > 0 ? bench->threads : 1;
    double start = now(bench);
    hone_pool_run(bench->pool, bench->target->lanes >= 16 ? multiply_512 : multiply_256, NULL, chunks);
    return 2.0 * CHAINS * bench->target->lanes * 100000 * (double)chunks / (now(bench) - start);
}

/* --- cases ------------------------------------------------------------------------------------ */
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

static double run_once(Arena *arena, Bench *bench, const KernelRun *run, void **nodes)
{
    double took = 0;
    for (size_t k = 0; k < run->n; k++) {
        void **buffers = buffers_of(arena, &bench->sys, run, run->kernels[k], nodes);
        double start = now(bench);
        hone_pool_run(bench->pool, code_function(run->code, k), buffers,
                      kernel_chunks(run->kernels[k]));
        took += now(bench) - start;
    }
    return took;
}

typedef struct Case {
    const char *name, *what;
    double flops, bytes;
    const Conv *conv;            /* NULL: a map */
} Case;

static void print_json(const Bench *bench, const Case *c, double seconds, double rate)
{
    printf("{\"name\": \"%s\", \"what\": \"%s\", \"threads\": %d, \"seconds\": %.9g, \"flops\": %.9g, "
           "\"bytes\": %.9g, \"flops_per_s\": %.6g",
           c->name, c->what, bench->threads, seconds, c->flops, c->bytes, rate);
    if (c->conv)
        printf(", \"shape\": [%d, %d, %d, %d, %d, %d]", c->conv->n, c->conv->size, c->conv->in,
               c->conv->out, c->conv->taps, c->conv->stride);
    printf("}\n");
}

static void time_kernels(Arena *arena, Bench *bench, KernelRun *run, const Case *c)
{
    void **nodes = NEW_ARRAY(arena, void *, run->graph->nodes.len);
    double best = INFINITY, most = 0, spent = 0;
    uint64_t scratch = 0;
    for (size_t k = 0; k < run->n; k++)
        if (run->kernels[k]->scratch_bytes > scratch)
            scratch = run->kernels[k]->scratch_bytes;
    bench->pool = hone_pool_new(&bench->sys, bench->threads > 0 ? bench->threads : 1, scratch + 64);
    for (int turn = 0; bench->pool && turn < 200 && (turn < 5 || spent < 0.15); turn++) {
        double took = run_once(arena, bench, run, nodes);
        spent += took;
        best = fmin(best, took);
        most = turn < 40 ? fmax(most, peak(bench)) : most;
    }
    hone_pool_free(bench->pool);
    if (bench->threads > 0)
        print_json(bench, c, best, most);
    else
        printf("%-14s %-3s %9.3f ms %7.1f Gop/s  %5.1f %% of %5.1f %5.1f GB/s %4lld chunks %5zu kB of "
               "scratch\n",
               c->name, c->what, 1e3 * best, 1e-9 * c->flops / best, 100 * c->flops / best / most,
               1e-9 * most, 1e-9 * c->bytes / best, (long long)kernel_chunks(run->kernels[0]),
               run->kernels[0]->scratch_bytes / 1024);
    fflush(stdout);
    bench->flops += c->flops;
    bench->seconds += best;
    for (size_t i = 0; i < run->graph->nodes.len; i++)
        if (nodes[i])
            hone_unmap(&bench->sys, nodes[i],
                       (size_t)node_elements(graph_node(run->graph, (NodeId)i)) * 4);
}

/* The equation in `text`. */
static void measure(Bench *bench, Case *c)
{
    Mem mem;
    mem_init(&mem, &bench->sys);
    mem.armed = true;
    if (setjmp(mem.on_failure))
        return;
    Arena *arena = arena_new(&mem, "test");
    Equations e = equations_read(arena, text, 7);
    KernelRun run = {.arena = arena, .graph = e.graph, .target = bench->target};
    kernels_lower(&run);
    Buf out = buf_new(arena);
    EmitOptions options = {.target = bench->target, .threads = 1};
    const Graph **graphs = NEW_ARRAY(arena, const Graph *, run.n);
    for (size_t i = 0; i < run.n; i++) {
        graphs[i] = e.graph;
        c->bytes += run.kernels[i]->bytes;
        const char *why = kernel_verify(run.kernels[i], arena);
        if (why)
            printf("%s: %s\n", c->name, why);
        if (bench->show && strcmp(bench->show, "asm") == 0)
            emit_asm(e.graph, run.kernels[i], &options, &out);
        else if (bench->show)
            kernel_dump(e.graph, run.kernels[i], &out);
    }
    fwrite(out.ptr, 1, out.len, stdout);
    run.code = code_compile(arena, graphs, run.kernels, run.n, &options, &run.why);
    if (run.code)
        time_kernels(arena, bench, &run, c);
    else
        printf("%s: %s\n", c->name, run.why);
    mem_release(&mem);
}

static void measure_conv(Bench *bench, const Conv *c, What what)
{
    Case one = {.name = c->name, .what = whats[what], .conv = c};
    one.flops = c->in == 0                           ? depthwise(c, what)
                : c->taps == 1 && c->stride == 1 ? product(c, what)
                                                     : convolution(c, what);
    measure(bench, &one);
}

/* In json a part is the beginning of a name. */
static bool wanted(const Bench *bench, const char *name, const char *what, const char *part)
{
    char whole[64];
    snprintf(whole, sizeof whole, "%s %s", name, what);
    return bench->threads > 0 ? strncmp(whole, part, strlen(part)) == 0 : strstr(whole, part) != NULL;
}

int main(int argc, char **argv)
{
    bool json = argc > 3 && strcmp(argv[1], "json") == 0;
    Bench bench = {.threads = json ? atoi(argv[2]) : 0};
    int first = json ? 3 : 1;
    const char *part = argc > first ? argv[first] : "";
    bench.target = argc > first + 1 ? target_find(str_of(argv[first + 1])) : target_host();
    bench.show = argc > first + 2 && !json ? argv[first + 2] : NULL;
    for (size_t i = 0; bench.target && i < sizeof convs / sizeof *convs; i++)
        for (What what = FORWARD; what <= BY_WEIGHT; what++)
            if (wanted(&bench, convs[i].name, whats[what], part))
                measure_conv(&bench, &convs[i], what);
    for (size_t i = 0; bench.target && i < sizeof maps / sizeof *maps; i++) {
        if (!wanted(&bench, maps[i].name, "y", part))
            continue;
        const int64_t n = 8 << 20;
        say("input a[%lld]\ninput b[%lld]\ny[n:%lld] = %s", (long long)n, (long long)n, (long long)n,
            maps[i].body);
        measure(&bench, &(Case){.name = maps[i].name, .what = "y", .flops = (double)n});
    }
    if (!json)
        printf("all: %.1f Gop/s\n", 1e-9 * bench.flops / bench.seconds);
    return 0;
}
