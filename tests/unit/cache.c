/* The cache of object code: what was put comes back; anything torn, damaged, foreign or refused is as
 * good as nothing; two writers, the limit; and compiled code is the same with it and without. */
#include "support/files.h"
#include "support/kernels.h"

#include <hone/hone.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static HoneSys steady;
static char *folder;

static HoneDigest key_of(int i)
{
    return (HoneDigest){.low = (uint64_t)i, .high = 7};
}

static const char *path_of(const char *in, int i)
{
    static char path[600];
    snprintf(path, sizeof path, "%s/%016x%016x.o", in, 7, (unsigned)i);
    return path;
}

/* -1: nothing; else the length, the text checked to be all `fill`. */
static int64_t got(HoneSys *sys, const char *in, int i, char fill)
{
    const char *from;
    size_t n;
    void *block = hone_cache_get(sys, in, key_of(i), &from, &n);
    if (!block)
        return -1;
    for (size_t k = 0; k < n; k++)
        assert_int_equal(from[k], fill);
    hone_free(sys, block);
    return (int64_t)n;
}

static void test_round_trip(void **state)
{
    (void)state;
    char text[3000];
    const char *in = in_folder(folder, "made/hone");
    assert_int_equal(got(&steady, in, 1, 'a'), -1);
    memset(text, 'a', sizeof text);
    assert_true(hone_cache_put(&steady, in, key_of(1), text, sizeof text));
    memset(text, 'b', sizeof text);
    assert_true(hone_cache_put(&steady, in, key_of(2), text, 10));
    assert_int_equal(got(&steady, in, 1, 'a'), 3000);
    assert_int_equal(got(&steady, in, 2, 'b'), 10);
    assert_int_equal(got(&steady, in, 3, 'b'), -1);
    assert_true(hone_cache_put(&steady, in, key_of(1), text, 20));      /* a second writer */
    assert_int_equal(got(&steady, in, 1, 'b'), 20);
    assert_int_equal(folder_count(in), 2);
    struct stat info;
    assert_int_equal(stat(in, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0700);
}

/* Every prefix, every changed byte, another's file. */
static void test_damage(void **state)
{
    (void)state;
    const char *in = in_folder(folder, "damage");
    char text[100];
    memset(text, 'x', sizeof text);
    assert_true(hone_cache_put(&steady, in, key_of(5), text, sizeof text));
    size_t n;
    char *whole = file_get(path_of(in, 5), &n);
    assert_non_null(whole);
    for (size_t cut = 0; cut < n; cut++) {
        file_put(path_of(in, 5), whole, cut);
        assert_int_equal(got(&steady, in, 5, 'x'), -1);
    }
    for (size_t at = 0; at < n; at++) {
        whole[at] ^= 0x40;
        file_put(path_of(in, 5), whole, n);
        assert_int_equal(got(&steady, in, 5, 'x'), -1);
        whole[at] ^= 0x40;
    }
    file_put(path_of(in, 6), whole, n);                                 /* under another key */
    assert_int_equal(got(&steady, in, 6, 'x'), -1);
    file_put(path_of(in, 5), whole, n);
    assert_int_equal(got(&steady, in, 5, 'x'), 100);
    assert_int_equal(chmod(path_of(in, 5), 0666), 0);                   /* others may have written it */
    assert_int_equal(got(&steady, in, 5, 'x'), -1);
    assert_int_equal(unlink(path_of(in, 5)), 0);
    assert_int_equal(mkdir(path_of(in, 5), 0700), 0);
    assert_int_equal(got(&steady, in, 5, 'x'), -1);
    free(whole);
}

static void test_refusals(void **state)
{
    (void)state;
    const char *in = in_folder(folder, "refused");
    char text[500];
    memset(text, 'r', sizeof text);
    for (int persistent = 0; persistent < 2; persistent++) {
        for (int io = 0; io < 2; io++) {
            bool reached = true;
            for (int64_t n = 1; reached; n++) {
                HoneSys sys = {.persistent = persistent, .io_error = 28,     /* no space left */
                               .fail_io = io ? n : 0, .fail_alloc = io ? 0 : n};
                bool put = hone_cache_put(&sys, in, key_of(9), text, sizeof text);
                int64_t found = got(&sys, in, 9, 'r');
                assert_true(found == -1 || found == 500);
                hone_cache_trim(&sys, in, 1 << 20);
                reached = io ? sys.ios >= n : sys.allocs >= n;
                assert_true(put || reached);
                assert_true(got(&steady, in, 9, 'r') == 500 || !put);
            }
        }
    }
    char name[64];
    snprintf(name, sizeof name, ".%016x%016x.o.tmp-%ld", 7, 9, (long)getpid());
    file_put(in_folder(in, name), text, 3);                /* of a dead process with our number */
    (void)hone_cache_put(&steady, in, key_of(9), text, sizeof text);
    assert_true(hone_cache_put(&steady, in, key_of(9), text, sizeof text));
    assert_false(hone_cache_put(&steady, "/proc/nowhere", key_of(9), text, sizeof text));
    hone_cache_trim(&steady, "/proc/nowhere", 0);
}

static void set_time(const char *path, time_t seconds)
{
    int64_t bytes, before;
    const struct timespec times[2] = {{.tv_sec = seconds}, {.tv_sec = seconds}};
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
    assert_true(hone_file_age(&steady, path, &bytes, &before));
    assert_true(before == (int64_t)seconds * 1000000000);
}

/* The least recently used go; what is not ours stays. */
static void test_limit(void **state)
{
    (void)state;
    const char *in = in_folder(folder, "limit");
    char text[1000];
    memset(text, 'l', sizeof text);
    for (int i = 0; i < 10; i++) {
        assert_true(hone_cache_put(&steady, in, key_of(i), text, sizeof text));
        set_time(path_of(in, i), 1000 + i);
    }
    file_put(in_folder(in, "notes.txt"), text, sizeof text);
    assert_int_equal(got(&steady, in, 0, 'l'), 1000);                   /* used again */
    hone_cache_trim(&steady, in, 1 << 20);
    assert_int_equal(folder_count(in), 11);
    hone_cache_trim(&steady, in, 4500);
    for (int i = 0; i < 10; i++)
        assert_int_equal(got(&steady, in, i, 'l'), i == 0 || i > 6 ? 1000 : -1);
    assert_true(file_exists(in_folder(in, "notes.txt")));
}

/* --- compiled code ------------------------------------------------------------------------------ */
static const char equations[] = "param x[9, 37]\nparam w[37, 5]\nparam b[5]\n"
                                "y[i:9, o:5] = sum[k:37] x[i, k] * w[k, o]\n"
                                "z[i:9, o:5] = exp(y[i, o] + b[o])";

/* Modules that came from the cache, -1 on failure; *hash of the results. */
static int compile(HoneSys *sys, const Target *target, const char *in, uint64_t *hash)
{
    Mem mem;
    mem_init(&mem, sys);
    volatile int cached = -1;
    mem.armed = true;
    if (setjmp(mem.on_failure) == 0) {
        Arena *arena = arena_new(&mem, "test");
        Equations e = equations_read(arena, equations, 7);
        KernelRun run;
        assert_true(kernels_open(&run, arena, e.graph, target));
        const Graph *graphs[8] = {e.graph, e.graph, e.graph, e.graph};
        EmitOptions options = {.target = target, .threads = 2, .cache = in};
        code_free(run.code);
        run.code = code_compile(arena, graphs, run.kernels, run.n, &options, &run.why);
        assert_non_null(run.code);
        assert_int_equal(code_modules(run.code), 1);
        kernels_fill(&run, e.leaves);
        kernels_run(&run, CHUNKS_UP);
        *hash = kernels_hash(&run);
        cached = (int)code_cached(run.code);
        kernels_close(&run);
    }
    mem_release(&mem);
    return cached;
}

static void damage_all(const char *in)
{
    size_t n;
    char **names = hone_list_dir(&steady, in, &n);
    assert_non_null(names);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(truncate(in_folder(in, names[i]), 200), 0);
    hone_free(&steady, names);
}

static void test_code(void **state)
{
    (void)state;
    const char *in = in_folder(folder, "code");
    uint64_t plain, first, second;
    assert_int_equal(compile(&steady, target_host(), NULL, &plain), 0);
    assert_int_equal(compile(&steady, target_host(), in, &first), 0);
    assert_int_equal(compile(&steady, target_host(), in, &second), 1);
    assert_true(first == plain && second == plain);
    const Target *generic = target_find(STR("generic"));
    assert_int_equal(compile(&steady, generic, in, &second), target_host() == generic);
    damage_all(in);
    assert_int_equal(compile(&steady, target_host(), in, &first), 0);
    assert_int_equal(compile(&steady, target_host(), in, &second), 1);
    assert_true(first == plain && second == plain);
    for (int64_t n = 1; n < 25; n++) {       /* I/O refused: compiled all the same */
        HoneSys sys = {.fail_io = n, .persistent = n % 2};
        assert_true(compile(&sys, target_host(), in, &first) >= 0);
        assert_true(first == plain);
    }
}

int main(void)
{
    folder = temp_folder();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_damage),
        cmocka_unit_test(test_refusals),   cmocka_unit_test(test_limit),
        cmocka_unit_test(test_code),
    };
    int failed = cmocka_run_group_tests_name("cache", tests, NULL, NULL);
    temp_remove(folder);
    return failed;
}
