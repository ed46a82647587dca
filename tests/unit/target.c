/* Target records: found by name, consistent, and the host's choice runs here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "target/target.h"

static void records_are_consistent(void **state)
{
    (void)state;
    const Target *const *all;
    size_t n = target_list(&all);
    assert_true(n >= 3);
    for (size_t i = 0; i < n; i++) {
        const Target *t = all[i];
        assert_ptr_equal(target_find(str_of(t->name)), t);
        assert_true(t->lanes == 4 || t->lanes == 8 || t->lanes == 16);
        /* accumulators, the vectors of one operand and one broadcast fit in registers */
        assert_true(t->tile_rows * t->tile_vectors + t->tile_vectors + 1 <= t->registers);
        assert_true(t->l1_bytes < t->l2_bytes && t->l2_bytes <= t->l3_share_bytes);
        assert_non_null(t->triple);
        assert_non_null(t->features);
    }
    assert_null(target_find(STR("x86-64-v5")));
}

static void host_runs_here(void **state)
{
    (void)state;
    const Target *host = target_host();
    assert_non_null(host);
    assert_true(target_runs_here(host));
    assert_true(target_runs_here(target_find(STR("generic"))));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_are_consistent),
        cmocka_unit_test(host_runs_here),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
