/* What `hone explain` stands on: limits that make sense, and which sums of products are warned of. */
#include "commands/cost.h"
#include "support/kernels.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* Does W522 stand for the only kernel of the text, as it is scheduled or (plain) without tiles? */
static bool warned(const char *text, bool plain)
{
    HoneSys sys = {0};
    Mem mem;
    mem_init(&mem, &sys);
    assert_int_equal(setjmp(mem.on_failure), 0);
    mem.armed = true;
    Arena *arena = arena_new(&mem, "test");
    Equations e = equations_read(arena, text, 7);
    KernelRun run = {.arena = arena, .graph = e.graph, .target = target_host()};
    kernels_lower(&run);
    assert_int_equal(run.n, 1);
    Nest nest = run.kernels[0]->nests[run.kernels[0]->n_nests - 1]; /* packs come first */
    KLoop *loops = arena_copy(arena, nest.loops, nest.n_loops * sizeof *loops);
    for (size_t i = 0; i < nest.n_loops; i++)
        if (plain && loops[i].kind == KLOOP_UNROLL)
            loops[i] = (KLoop){.var = loops[i].var, .tile = 1, .reduced = loops[i].reduced};
    nest.loops = loops;
    bool found = plain_product(&nest, &nest.stores[0]);
    mem_release(&mem);
    return found;
}

static void test_plain_products(void **state)
{
    (void)state;
    static const char large[] = "param a[512, 512]\nparam b[512, 512]\n"
                                "y[n:512, o:512] = sum[i:512] a[n, i] * b[i, o]";
    static const char small[] = "param a[64, 64]\nparam b[64, 64]\n"
                                "y[n:64, o:64] = sum[i:64] a[n, i] * b[i, o]";
    static const char vector[] = "param a[8192, 8192]\nparam b[8192]\n"
                                 "y[n:8192] = sum[i:8192] a[n, i] * b[i]";
    static const char squares[] = "param x[16384, 8192]\ny[n:16384] = sum[i:8192] x[n, i] * x[n, i]";
    assert_false(warned(large, false));
    assert_true(warned(large, true));
    assert_false(warned(small, true));
    assert_false(warned(vector, true));
    assert_false(warned(squares, true));
}

static void check_limits(const Target *target)
{
    HoneSys sys = {0};
    Mem mem;
    mem_init(&mem, &sys);
    assert_int_equal(setjmp(mem.on_failure), 0);
    mem.armed = true;
    CommandLine line = {.threads = 2};
    Session s = {.sys = &sys, .mem = &mem, .arena = arena_new(&mem, "test"),
                 .kept = arena_new(&mem, "kept"), .line = &line};
    Limits limits;
    HoneError error = {0};
    double seconds = 0;
    assert_true(limits_measure(&s, target, &limits, &error));
    assert_true(limits.flops_one > 1e8 && limits.flops_one < 1e13);
    assert_true(limits.flops > 1e7 && limits.memory > 1e6);      /* a busy machine shares its cores */
    assert_true(limits.cache > 1e6 && limits.threads == 2);
    for (int writes = 0; writes <= 3; writes += 3) {
        assert_true(limits_stream(&s, target, 4, writes, 100000, 2, &seconds, &error));
        assert_true(seconds > 1e-7 && seconds < 10);
    }
    for (volatile int64_t n = 1; n < 40; n++) {      /* refused memory is said, nothing is lost */
        mem.armed = true;
        sys.fail_alloc = sys.allocs + n;
        if (setjmp(mem.on_failure) == 0 &&
            !limits_stream(&s, target, 2, 1, 1000, 1, &seconds, &error)) {
            assert_true(error.exit == HONE_NO_MEMORY || error.exit == HONE_INTERNAL);
        }
    }
    sys.fail_alloc = 0;
    mem_release(&mem);
}

static void test_limits(void **state)
{
    (void)state;
    const Target *const *all;
    size_t n = target_list(&all);
    for (size_t i = 0; i < n; i++)
        if (target_runs_here(all[i]))
            check_limits(all[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_plain_products),
                                       cmocka_unit_test(test_limits)};
    return cmocka_run_group_tests_name("explain", tests, NULL, NULL);
}
