/* Functions of float32 in compiled code against libm in double precision: at most 4 ulp everywhere,
 * special values as in C. A sample here; bench/maths_exhaustive.c runs over all floats. */
#include "support/maths.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { SAMPLES = 1 << 15 };

static float of_bits(uint32_t bits)
{
    float v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

/* Every exponent, both signs, and the neighbours of what polynomials are cut at. */
static void fill_samples(float *x)
{
    static const float around[] = {
        0.0f,       1.0f,          0.5f,        0.625f,      0.92f,    0.41421356f, 2.4142135f,
        3.95f,      88.72284f,     89.0f,       104.0f,      17.3f,    0.70710678f, 1.41421356f,
        1.5707964f, 0.78539819f,   3.1415927f,  33554432.0f, INFINITY, NAN,         1.17549435e-38f,
        1e-45f,     3.4028235e38f, 0.34657359f, 9.01f};
    size_t n = 0;
    for (size_t i = 0; i < sizeof around / sizeof *around; i++) {
        uint32_t bits;
        memcpy(&bits, &around[i], sizeof bits);
        for (int d = -20; d <= 20; d++) {
            x[n++] = of_bits(bits + (uint32_t)d);
            x[n++] = of_bits((bits + (uint32_t)d) ^ 0x80000000u);
        }
    }
    for (uint32_t k = 0; n < SAMPLES; k++)
        x[n++] = of_bits(k * 2654435769u);
}

static double check_op(const MathsFunction *f, const Target *target)
{
    static float x[SAMPLES], y[SAMPLES], z[SAMPLES];
    fill_samples(x);
    for (size_t i = 0; i < SAMPLES; i++)
        y[i] = x[(i * 7919 + 13) % SAMPLES];
    MathsRun run;
    const char *why = maths_open(&run, f, target, SAMPLES);
    if (why)
        fail_msg("%s: %s", f->name, why);
    const float *args[] = {x, y};
    maths_run(&run, args, z);
    double most = 0;
    size_t worst = 0;
    for (size_t i = 0; i < SAMPLES; i++) {
        double error = maths_error(f, x[i], y[i], z[i]);
        worst = error > most ? i : worst;
        most = error > most ? error : most;
    }
    if (most > 4)
        print_error("%s, %s(%a, %a) = %a, not %a: %g ulp\n", target->name, f->name,
                    (double)x[worst], (double)y[worst], (double)z[worst],
                    maths_exact(f, x[worst], y[worst]), most);
    maths_close(&run);
    return most;
}

static void test_samples(void **state)
{
    (void)state;
    const Target *const *targets;
    size_t n = target_list(&targets);
    double most = 0;
    for (size_t t = 0; t < n; t++)
        for (size_t i = 0; target_runs_here(targets[t]) && i < maths_count(); i++)
            most = fmax(most, check_op(maths_function(i), targets[t]));
    assert_true(most <= 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_samples)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
