/* Random numbers: known answers of Philox 4x32-10 (Random123's kat_vectors), ranges, moments. */
#include "hone/hone.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

static void known_answers(void **state)
{
    (void)state;
    assert_int_equal(hone_random_u32(0, 0, 0, 0), 0x6627e8d5u);
    assert_int_equal(hone_random_u32(UINT64_MAX, 0, UINT64_MAX, UINT64_MAX), 0x408f276du);
    assert_int_equal(hone_random_u32(0, UINT64_MAX, UINT64_MAX, UINT64_MAX), 0x408f276du);
    /* counter 243f6a88 85a308d3 13198a2e 03707344, key a4093822 299f31d0 */
    uint64_t element = 0x85a308d3243f6a88u, step = 0x0370734413198a2eu, key = 0x299f31d0a4093822u;
    assert_int_equal(hone_random_u32(key, 0, step, element), 0xd16cfe09u);
    assert_int_equal(hone_random_u32(key ^ 77, 77, step, element), 0xd16cfe09u);
    assert_true(hone_random_uniform(key, 0, step, element) == (float)(0xd16cfe09u >> 8) * 0x1p-24f);
    /* words 0 and 1 of that block: d16cfe09 94fdcceb */
    double u1 = ((double)0xd16cfe09u + 1) * 0x1p-32, u2 = (double)0x94fdccebu * 0x1p-32;
    assert_true(hone_random_normal(key, 0, step, element) ==
                sqrt(-2 * log(u1)) * cos(6.283185307179586 * u2));
    assert_true(hone_hash("") == 0xcbf29ce484222325u);
    assert_true(hone_hash("foobar") == 0x85944171f73967e8u);
}

static void moments(void **state)
{
    (void)state;
    const double n = 200000;
    double mean = 0, square = 0, uniform = 0;
    for (uint64_t i = 0; (double)i < n; i++) {
        double x = hone_random_normal(1, 2, 3, i);
        mean += x / n;
        square += x * x / n;
        double u = (double)hone_random_uniform(1, 3, 3, i);
        assert_true(u >= 0 && u < 1);
        uniform += u / n;
    }
    assert_true(fabs(mean) < 0.01 && fabs(square - 1) < 0.015 && fabs(uniform - 0.5) < 0.005);
}

static void below_is_uniform(void **state)
{
    (void)state;
    enum { N = 60000, BOUND = 6 };
    int seen[BOUND] = {0};
    for (uint64_t i = 0; i < N; i++)
        seen[hone_random_below(7, 1, 0, i, BOUND)]++;
    for (int i = 0; i < BOUND; i++)
        assert_true(abs(seen[i] - N / BOUND) < 500);
    /* a bound just over half of the range rejects nearly half of the draws and still ends */
    uint64_t bound = (UINT64_C(1) << 63) + 1;
    for (uint64_t i = 0; i < 1000; i++)
        assert_true(hone_random_below(7, 1, 0, i, bound) < bound);
    assert_int_equal(hone_random_below(7, 1, 0, 0, 1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answers),
        cmocka_unit_test(moments),
        cmocka_unit_test(below_is_uniform),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
