/* The pool: every chunk runs once, whatever the number of threads and chunks; one chunk stays on
 * the caller; scratch is per thread and aligned; idle pools sleep; refused memory is survived. */
#include "hone/hone.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

enum { SCRATCH = 1000, MOST = 1000 };

typedef struct Job {
    int64_t from[MOST], to[MOST];
    pthread_t caller;
    _Atomic int elsewhere, misaligned;
} Job;

/* Each chunk fills its thread's scratch, then reads it back: two chunks at once in one scratch
 * would show. */
static void square(void *const *buffers, void *scratch, int64_t chunk)
{
    Job *job = buffers[0];
    unsigned char *bytes = scratch;
    memset(bytes, (int)(chunk & 0xff), SCRATCH);
    if (!pthread_equal(pthread_self(), job->caller))
        atomic_fetch_add(&job->elsewhere, 1);
    if ((uintptr_t)scratch % 64 != 0)
        atomic_fetch_add(&job->misaligned, 1);
    int64_t same = 1;
    for (int i = 0; i < SCRATCH; i++)
        same &= bytes[i] == (chunk & 0xff);
    job->to[chunk] += job->from[chunk] * job->from[chunk] * same;
}

static void every_chunk_once(void **state)
{
    (void)state;
    static Job job;
    const int threads[] = {1, 2, 3, 8};
    const int64_t chunks[] = {0, 1, 2, 3, 7, 64, MOST};
    for (size_t t = 0; t < sizeof threads / sizeof *threads; t++) {
        HoneSys sys = {0};
        HonePool *pool = hone_pool_new(&sys, threads[t], SCRATCH);
        assert_non_null(pool);
        assert_int_equal(hone_pool_threads(pool), threads[t]);
        memset(&job, 0, sizeof job);
        job.caller = pthread_self();
        for (int64_t i = 0; i < MOST; i++)
            job.from[i] = i + 1;
        int64_t expected[MOST] = {0};
        for (int round = 0; round < 300; round++) {
            int64_t n = chunks[(size_t)round % (sizeof chunks / sizeof *chunks)];
            hone_pool_run(pool, square, (void *const[]){&job}, n);
            for (int64_t i = 0; i < n; i++)
                expected[i] += (i + 1) * (i + 1);
            for (int64_t i = 0; i < MOST; i++)   /* the caller sees the results at once */
                if (job.to[i] != expected[i])
                    fail_msg("%d threads, round %d, chunk %d", threads[t], round, (int)i);
        }
        assert_int_equal(job.misaligned, 0);
        hone_pool_free(pool);
    }
}

static void one_chunk_stays(void **state)
{
    (void)state;
    static Job job;
    HoneSys sys = {0};
    HonePool *pool = hone_pool_new(&sys, 4, SCRATCH);
    job.caller = pthread_self();
    for (int i = 0; i < 1000; i++)
        hone_pool_run(pool, square, (void *const[]){&job}, 1);
    assert_int_equal(job.elsewhere, 0);
    hone_pool_free(pool);
}

/* An idle pool of many threads takes no processor time. */
static void idle_sleeps(void **state)
{
    (void)state;
    static Job job;
    HoneSys sys = {0};
    HonePool *pool = hone_pool_new(&sys, 8, SCRATCH);
    job.caller = pthread_self();
    hone_pool_run(pool, square, (void *const[]){&job}, 64);
    nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    struct timespec before, after;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
    nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
    double used = (double)(after.tv_sec - before.tv_sec) +
                  1e-9 * (double)(after.tv_nsec - before.tv_nsec);
    assert_true(used < 0.02);
    hone_pool_free(pool);
}

static void refused_memory(void **state)
{
    (void)state;
    for (int64_t n = 1;; n++) {
        HoneSys sys = {.fail_alloc = n};
        HonePool *pool = hone_pool_new(&sys, 3, SCRATCH);
        if (!pool)
            continue;
        assert_int_equal(n, 4);
        hone_pool_free(pool);
        break;
    }
    HoneSys sys = {0};
    assert_null(hone_pool_new(&sys, 3, SIZE_MAX - 10));
    assert_null(hone_pool_new(&sys, 3, SIZE_MAX / 2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_chunk_once),
        cmocka_unit_test(one_chunk_stays),
        cmocka_unit_test(idle_sleeps),
        cmocka_unit_test(refused_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
