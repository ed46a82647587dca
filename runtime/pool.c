/* pool: the threads that run kernels. Every thread has a range of the chunks, the same part of each
 * kernel, so that it finds in its cache what it wrote a kernel before; whoever is done takes from
 * the others' ranges. Which thread runs which chunk changes nothing, because the plan fixed what a
 * chunk computes.
 *
 * `left` is the number of chunks of a range not yet taken. Whoever decrements a positive value owns
 * chunk end - left, and the job's description stays as it is until `done` has reached n; so a worker
 * that wakes late either gets a valid chunk of the present job or none. Between kernels workers spin
 * for some microseconds (a step is hundreds of small kernels), then sleep.
 */
#define _GNU_SOURCE
#include "hone/hone.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <time.h>

enum {
    LINE = 64,
    SPIN_NS = 30000,     /* longer than the gap between two kernels, shorter than anyone notices */
    PAUSES = 32          /* between two looks at the clock */
};

typedef struct Thread {          /* the first is the caller's */
    _Alignas(LINE) _Atomic int64_t left;
    int64_t end;                 /* of its range: part of the job's description */
    HonePool *pool;
    void *scratch;
    pthread_t id;
} Thread;

struct HonePool {
    _Alignas(LINE) _Atomic uint64_t jobs;        /* offered so far */
    _Alignas(LINE) _Atomic int64_t done;
    /* the job: written before any `left`, constant until done == n */
    _Alignas(LINE) HoneKernelFn *fn;
    void *const *buffers;
    int64_t n;

    _Alignas(LINE) pthread_mutex_t lock;
    pthread_cond_t work, finished;
    _Atomic int sleepers;        /* workers in, or about to enter, a wait for work */
    _Atomic bool waiting;        /* the caller is in, or about to enter, a wait for the last chunk */
    _Atomic bool stop;

    HoneSys *sys;
    int workers;                 /* threads besides the caller */
    int started;                 /* of them; equal to workers but while starting fails */
    int useful;                  /* workers that have a core */
    void *scratch;
    Thread *threads;
};

int hone_cpu_count(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return 1;
    int n = CPU_COUNT(&set);
    return n > 0 ? n : 1;
}

static void cpu_pause(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Takes and runs chunks of a range until none is left. */
static int64_t run_range(HonePool *pool, Thread *range, void *scratch)
{
    int64_t ran = 0;
    while (atomic_load_explicit(&range->left, memory_order_relaxed) > 0) {
        int64_t left = atomic_fetch_sub_explicit(&range->left, 1, memory_order_acquire);
        if (left <= 0)
            break;
        pool->fn(pool->buffers, scratch, range->end - left);
        ran++;
    }
    return ran;
}

/* The thread's own range first, then the others'. Until `ran` is counted the job cannot end. */
static void run_chunks(HonePool *pool, const Thread *self)
{
    size_t threads = (size_t)pool->workers + 1, own = (size_t)(self - pool->threads);
    for (size_t i = 0; i < threads; i++) {
        int64_t ran = run_range(pool, &pool->threads[(own + i) % threads], self->scratch);
        if (ran == 0)
            continue;
        int64_t n = pool->n;
        if (atomic_fetch_add(&pool->done, ran) + ran < n || !atomic_load(&pool->waiting))
            continue;
        pthread_mutex_lock(&pool->lock);
        pthread_cond_signal(&pool->finished);
        pthread_mutex_unlock(&pool->lock);
    }
}

typedef bool Ready(HonePool *pool, uint64_t seen);

static bool all_done(HonePool *pool, uint64_t seen)
{
    (void)seen;
    return atomic_load_explicit(&pool->done, memory_order_acquire) == pool->n;
}

static bool job_offered(HonePool *pool, uint64_t seen)
{
    return atomic_load(&pool->jobs) != seen || atomic_load_explicit(&pool->stop, memory_order_relaxed);
}

/* Looks for up to SPIN_NS whether `ready`; never spins where threads outnumber cores. */
static bool spin(HonePool *pool, Ready *ready, uint64_t seen)
{
    if (ready(pool, seen))
        return true;
    if (pool->useful < pool->workers)
        return false;
    for (int64_t end = now_ns() + SPIN_NS; now_ns() < end;)
        for (int i = 0; i < PAUSES; i++) {
            if (ready(pool, seen))
                return true;
            cpu_pause();
        }
    return false;
}

static void *worker_main(void *arg)
{
    Thread *self = arg;
    HonePool *pool = self->pool;
    while (!atomic_load(&pool->stop)) {
        uint64_t seen = atomic_load(&pool->jobs);
        run_chunks(pool, self);
        if (spin(pool, job_offered, seen))
            continue;
        pthread_mutex_lock(&pool->lock);
        atomic_fetch_add(&pool->sleepers, 1);
        while (!job_offered(pool, seen))
            pthread_cond_wait(&pool->work, &pool->lock);
        atomic_fetch_sub(&pool->sleepers, 1);
        pthread_mutex_unlock(&pool->lock);
    }
    return NULL;
}

/* Wakes as many sleepers as have a chunk to run and a core to run it on. */
static void wake(HonePool *pool)
{
    int sleepers = atomic_load(&pool->sleepers);
    if (sleepers == 0)
        return;
    int64_t wanted = pool->n - 1 < pool->useful ? pool->n - 1 : pool->useful;
    int64_t missing = wanted - (pool->workers - sleepers);
    if (missing <= 0)
        return;
    pthread_mutex_lock(&pool->lock);
    for (int64_t i = 0; i < missing; i++)
        pthread_cond_signal(&pool->work);
    pthread_mutex_unlock(&pool->lock);
}

static void offer(HonePool *pool, int64_t chunks)
{
    int64_t threads = pool->workers + 1, each = chunks / threads, more = chunks % threads, end = 0;
    for (int64_t i = 0; i < threads; i++) {
        end += each + (i < more);
        pool->threads[i].end = end;
    }
    for (int64_t i = 0; i < threads; i++)
        atomic_store_explicit(&pool->threads[i].left, each + (i < more), memory_order_release);
    atomic_fetch_add(&pool->jobs, 1);
}

void hone_pool_run(HonePool *pool, HoneKernelFn *fn, void *const *buffers, int64_t chunks)
{
    if (chunks <= 1 || pool->workers == 0) {
        for (int64_t chunk = 0; chunk < chunks; chunk++)
            fn(buffers, pool->threads[0].scratch, chunk);
        return;
    }
    pool->fn = fn;
    pool->buffers = buffers;
    pool->n = chunks;
    atomic_store_explicit(&pool->done, 0, memory_order_relaxed);
    offer(pool, chunks);
    wake(pool);
    run_chunks(pool, &pool->threads[0]);
    if (spin(pool, all_done, 0))
        return;
    pthread_mutex_lock(&pool->lock);
    atomic_store(&pool->waiting, true);
    while (atomic_load(&pool->done) != chunks)
        pthread_cond_wait(&pool->finished, &pool->lock);
    atomic_store(&pool->waiting, false);
    pthread_mutex_unlock(&pool->lock);
}

int hone_pool_threads(const HonePool *pool)
{
    return pool->workers + 1;
}

/* Signals are for the main thread, so workers start with all of them blocked. */
static bool start_workers(HonePool *pool)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    while (pool->started < pool->workers) {
        Thread *worker = &pool->threads[pool->started + 1];
        if (pthread_create(&worker->id, NULL, worker_main, worker) != 0)
            break;
        pool->started++;
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return pool->started == pool->workers;
}

HonePool *hone_pool_new(HoneSys *sys, int threads, size_t scratch_bytes)
{
    int wanted = (threads > 1 ? threads : 1) - 1;
    size_t each, all;
    if (__builtin_add_overflow(scratch_bytes, LINE, &each) ||
        __builtin_mul_overflow(each / LINE * LINE, (size_t)wanted + 1, &all))
        return NULL;
    each = each / LINE * LINE;
    HonePool *pool = hone_alloc(sys, sizeof *pool);
    if (!pool)
        return NULL;
    pool->sys = sys;
    pool->workers = wanted;
    pool->useful = hone_cpu_count() - 1 < wanted ? hone_cpu_count() - 1 : wanted;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->work, NULL);
    pthread_cond_init(&pool->finished, NULL);
    pool->scratch = hone_alloc(sys, all);
    pool->threads = hone_alloc(sys, ((size_t)wanted + 1) * sizeof *pool->threads);
    if (!pool->scratch || !pool->threads) {
        hone_pool_free(pool);
        return NULL;
    }
    for (int i = 0; i <= wanted; i++)
        pool->threads[i] = (Thread){.pool = pool, .scratch = (char *)pool->scratch + each * (size_t)i};
    if (!start_workers(pool)) {
        hone_pool_free(pool);
        return NULL;
    }
    return pool;
}

void hone_pool_free(HonePool *pool)
{
    if (!pool)
        return;
    pthread_mutex_lock(&pool->lock);
    atomic_store(&pool->stop, true);
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->lock);
    for (int i = 0; i < pool->started; i++)
        pthread_join(pool->threads[i + 1].id, NULL);
    pthread_cond_destroy(&pool->work);
    pthread_cond_destroy(&pool->finished);
    pthread_mutex_destroy(&pool->lock);
    if (pool->scratch)
        hone_free(pool->sys, pool->scratch);
    if (pool->threads)
        hone_free(pool->sys, pool->threads);
    hone_free(pool->sys, pool);
}
