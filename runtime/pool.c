/* pool: the threads that run kernels. Chunks are handed out by one atomic counter; which thread runs
 * which chunk changes nothing, because the plan fixed what a chunk computes.
 *
 * `left` is the number of chunks not yet taken. Whoever decrements a positive value owns chunk
 * n - left, and the job's description stays as it is until `done` has reached n; so a worker that
 * wakes late either gets a valid chunk of the present job or none. Between kernels workers spin
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

typedef struct Worker {
    HonePool *pool;
    pthread_t thread;
    void *scratch;
} Worker;

struct HonePool {
    _Alignas(LINE) _Atomic int64_t left;
    _Alignas(LINE) _Atomic int64_t done;
    /* the job: written before `left`, constant until done == n */
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
    void *own_scratch;           /* the caller's part of it */
    Worker *worker;
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

/* Takes and runs chunks until none is left. */
static void run_chunks(HonePool *pool, void *scratch)
{
    while (atomic_load_explicit(&pool->left, memory_order_relaxed) > 0) {
        int64_t left = atomic_fetch_sub_explicit(&pool->left, 1, memory_order_acquire);
        if (left <= 0)
            return;
        int64_t n = pool->n;
        pool->fn(pool->buffers, scratch, n - left);
        if (atomic_fetch_add(&pool->done, 1) + 1 == n && atomic_load(&pool->waiting)) {
            pthread_mutex_lock(&pool->lock);
            pthread_cond_signal(&pool->finished);
            pthread_mutex_unlock(&pool->lock);
        }
    }
}

static bool work_offered(HonePool *pool)
{
    return atomic_load_explicit(&pool->left, memory_order_relaxed) > 0 ||
           atomic_load_explicit(&pool->stop, memory_order_relaxed);
}

static bool all_done(HonePool *pool)
{
    return atomic_load_explicit(&pool->done, memory_order_acquire) == pool->n;
}

/* Looks for up to SPIN_NS whether `ready`; never spins where threads outnumber cores. */
static bool spin(HonePool *pool, bool (*ready)(HonePool *))
{
    if (ready(pool))
        return true;
    if (pool->useful < pool->workers)
        return false;
    for (int64_t end = now_ns() + SPIN_NS; now_ns() < end;)
        for (int i = 0; i < PAUSES; i++) {
            if (ready(pool))
                return true;
            cpu_pause();
        }
    return false;
}

static void *worker_main(void *arg)
{
    Worker *self = arg;
    HonePool *pool = self->pool;
    while (!atomic_load(&pool->stop)) {
        run_chunks(pool, self->scratch);
        if (spin(pool, work_offered))
            continue;
        pthread_mutex_lock(&pool->lock);
        atomic_fetch_add(&pool->sleepers, 1);
        while (atomic_load(&pool->left) <= 0 && !atomic_load(&pool->stop))
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

void hone_pool_run(HonePool *pool, HoneKernelFn *fn, void *const *buffers, int64_t chunks)
{
    if (chunks <= 1 || pool->workers == 0) {
        for (int64_t chunk = 0; chunk < chunks; chunk++)
            fn(buffers, pool->own_scratch, chunk);
        return;
    }
    pool->fn = fn;
    pool->buffers = buffers;
    pool->n = chunks;
    atomic_store_explicit(&pool->done, 0, memory_order_relaxed);
    atomic_store(&pool->left, chunks);
    wake(pool);
    run_chunks(pool, pool->own_scratch);
    if (spin(pool, all_done))
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
        Worker *worker = &pool->worker[pool->started];
        if (pthread_create(&worker->thread, NULL, worker_main, worker) != 0)
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
    pool->worker = hone_alloc(sys, ((size_t)wanted + 1) * sizeof *pool->worker);
    if (!pool->scratch || !pool->worker) {
        hone_pool_free(pool);
        return NULL;
    }
    pool->own_scratch = pool->scratch;
    for (int i = 0; i < wanted; i++)
        pool->worker[i] =
            (Worker){.pool = pool, .scratch = (char *)pool->scratch + each * ((size_t)i + 1)};
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
        pthread_join(pool->worker[i].thread, NULL);
    pthread_cond_destroy(&pool->work);
    pthread_cond_destroy(&pool->finished);
    pthread_mutex_destroy(&pool->lock);
    if (pool->scratch)
        hone_free(pool->sys, pool->scratch);
    if (pool->worker)
        hone_free(pool->sys, pool->worker);
    hone_free(pool->sys, pool);
}
