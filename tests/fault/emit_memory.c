/* Memory refused at every allocation of a compilation of kernels, one after another: a message or
 * the way out, and nothing left behind (the sanitizer build looks for leaks). */
#include "support/kernels.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const char text[] = "param x[9, 37]\nparam w[37, 5]\ninput t[9] below 5\n"
                           "y[i:9, o:5] = sum[k:37] x[i, k] * w[k, o]\n"
                           "z[i:9] = exp(y[i, t[i]])\nu[t[i] | i:9] of 5 = z[i]";

typedef enum Outcome { COMPILED, REFUSED, SAID } Outcome;

static Outcome compile_failing(int64_t after, int threads, bool *reached)
{
    HoneSys sys = {0};
    Mem mem;
    mem_init(&mem, &sys);
    volatile Outcome outcome = REFUSED;
    mem.armed = true;
    if (setjmp(mem.on_failure) == 0) {
        Arena *arena = arena_new(&mem, "test");
        Equations e = equations_read(arena, text, 7);
        KernelRun run = {.arena = arena, .graph = e.graph, .target = target_host()};
        kernels_lower(&run);
        const Graph **graphs = NEW_ARRAY(arena, const Graph *, run.n + 1);
        for (size_t i = 0; i < run.n; i++)
            graphs[i] = e.graph;
        sys.fail_alloc = sys.allocs + after;
        EmitOptions options = {.target = run.target, .threads = threads, .verify = true};
        const char *why = NULL;
        Code *code = code_compile(arena, graphs, run.kernels, run.n, &options, &why);
        outcome = code ? COMPILED : SAID;
        if (!code)
            assert_non_null(strstr(why, "memory"));
    }
    *reached = sys.fail_alloc > 0 && sys.allocs >= sys.fail_alloc;
    mem_release(&mem);
    return outcome;
}

static void test_every_allocation(void **state)
{
    (void)state;
    bool reached = true;
    size_t refused = 0;
    for (int64_t n = 1; reached && n < 1000; n++) {
        Outcome outcome = compile_failing(n, n % 2 ? 1 : 2, &reached);
        refused += outcome != COMPILED;
        if (!reached)
            assert_int_equal(outcome, COMPILED);
    }
    assert_false(reached);
    assert_true(refused > 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_allocation)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
