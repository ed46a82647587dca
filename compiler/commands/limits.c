/* limits: what this machine can do at most, measured. Nowhere else are the limits of a report taken
 * from. Times are the fastest of several turns, for what disturbs a turn only makes it slower. */
#include "commands/cost.h"

#include <math.h>
#include <string.h>
#include <time.h>

enum { STREAMS = 4, TURNS = 7, MULTIPLIES = 64 };
static const uint64_t STREAM_BYTES = (uint64_t)32 << 20;     /* beyond any cache */
static const uint64_t CACHE_BYTES = (uint64_t)1 << 20;       /* of each stream: in the last cache */

typedef struct Bench {
    const Session *s;
    HonePool *pool;
    char *memory;                /* all streams, one after another */
    uint64_t bytes;
    Probes probes;
} Bench;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void bench_close(Bench *b)
{
    hone_pool_free(b->pool);
    hone_unmap(b->s->sys, b->memory, b->bytes);
}

static bool bench_open(Bench *b, const Session *s, const Target *target, int threads, int reads,
                       int writes, uint64_t stream, HoneError *error)
{
    *b = (Bench){.s = s, .bytes = stream * (uint64_t)reads};
    const char *why;
    if (!probe_compile(s->kept, target, reads, writes, &b->probes, &why)) {
        return hone_fail(error, HONE_INTERNAL, "E799", "code generation failed: %s", why);
    }
    b->pool = hone_pool_new(s->sys, threads, 4096);
    b->memory = hone_map(s->sys, b->bytes);
    if (b->pool == NULL || b->memory == NULL) {
        bench_close(b);
        return hone_fail(error, HONE_NO_MEMORY, "E706", "the system refused memory for measuring");
    }
    for (uint64_t i = 0; i < b->bytes / sizeof(float); i++) {
        ((float *)(void *)b->memory)[i] = 0.5f;
    }
    return true;
}

/* Seconds of one turn over `chunks` chunks of streams that lie `stream` bytes apart. */
static double turn(const Bench *b, HoneKernelFn *fn, uint64_t stream, int64_t chunks)
{
    void *buffers[PROBE_STREAMS];
    for (uint64_t i = 0; i < PROBE_STREAMS; i++) {
        uint64_t at = i * stream;
        buffers[i] = b->memory + (at < b->bytes ? at : 0);
    }
    double start = now();
    hone_pool_run(b->pool, fn, buffers, chunks);
    return now() - start;
}

static void nothing(void *const *buffers, void *scratch, int64_t chunk)
{
    (void)buffers, (void)scratch, (void)chunk;
}

/* A kernel after a kernel, as in a step: the fastest run of some. */
static double call_of(const Bench *b, int64_t chunks)
{
    enum { CALLS = 20 };
    double best = INFINITY;
    for (int i = 0; i < 4 * TURNS; i++) {
        double took = 0;
        for (int k = 0; k < CALLS; k++) {
            took += turn(b, nothing, 0, chunks);
        }
        best = fmin(best, took / (double)CALLS);
    }
    return best;
}

/* The one thread's pool is the caller alone. */
static bool measure(const Session *s, const Target *target, int threads, double *flops,
                    double *memory, double *cache, double *call, HoneError *error)
{
    Bench b;
    if (!bench_open(&b, s, target, threads, STREAMS, 0, STREAM_BYTES, error)) {
        return false;
    }
    int64_t blocks = (int64_t)(STREAM_BYTES / PROBE_BLOCK), few = (int64_t)(CACHE_BYTES / PROBE_BLOCK);
    double multiply = INFINITY, stream = INFINITY, near = INFINITY;
    for (int i = 0; i < TURNS; i++) {
        multiply = fmin(multiply, turn(&b, b.probes.multiply, 0, (int64_t)MULTIPLIES * threads));
        stream = fmin(stream, turn(&b, b.probes.stream, STREAM_BYTES, blocks));
        for (int k = 0; k < TURNS; k++) {
            near = fmin(near, turn(&b, b.probes.stream, CACHE_BYTES, few));
        }
    }
    *call = call_of(&b, threads > 1 ? 4 * threads : 1);
    *flops = probe_flops(target) * (double)(MULTIPLIES * threads) / multiply;
    *memory = (double)(STREAM_BYTES * STREAMS) / stream;
    *cache = (double)(CACHE_BYTES * STREAMS) / near;
    bench_close(&b);
    return true;
}

bool limits_measure(const Session *s, const Target *target, Limits *limits, HoneError *error)
{
    int threads = s->line->threads > 0 ? (int)s->line->threads : hone_cpu_count();
    int useful = threads < hone_cpu_count() ? threads : hone_cpu_count();
    *limits = (Limits){.threads = threads};
    return measure(s, target, 1, &limits->flops_one, &limits->memory_one, &limits->cache_one,
                   &limits->call, error) &&
           measure(s, target, useful, &limits->flops, &limits->memory, &limits->cache,
                   &limits->share, error);
}

bool limits_again(const Session *s, const Target *target, Limits *limits, HoneError *error)
{
    Limits later;
    if (!limits_measure(s, target, &later, error)) {
        return false;
    }
    limits->flops = fmax(limits->flops, later.flops);
    limits->flops_one = fmax(limits->flops_one, later.flops_one);
    limits->memory = fmax(limits->memory, later.memory);
    limits->memory_one = fmax(limits->memory_one, later.memory_one);
    limits->cache = fmax(limits->cache, later.cache);
    limits->cache_one = fmax(limits->cache_one, later.cache_one);
    limits->call = fmin(limits->call, later.call);
    limits->share = fmin(limits->share, later.share);
    return true;
}

bool limits_stream(const Session *s, const Target *target, int reads, int writes, int64_t n,
                   int turns, double *seconds, HoneError *error)
{
    Bench b;
    uint64_t blocks = ((uint64_t)n * sizeof(float) + PROBE_BLOCK - 1) / PROBE_BLOCK;
    uint64_t stream = blocks * PROBE_BLOCK;
    int threads = s->line->threads > 0 ? (int)s->line->threads : hone_cpu_count();
    if (!bench_open(&b, s, target, threads, reads, writes, stream, error)) {
        return false;
    }
    *seconds = INFINITY;
    for (int i = 0; i < turns; i++) {
        *seconds = fmin(*seconds, turn(&b, b.probes.stream, stream, (int64_t)blocks));
    }
    *seconds *= (double)n * sizeof(float) / (double)stream;      /* of the part that was asked for */
    bench_close(&b);
    return true;
}
