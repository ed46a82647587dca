/* linalg: functions of matrices against what defines them, on matrices that are easy and on those that
 * are not: repeated eigenvalues, none at all, zeros, many scales. */
#include "hone/linalg.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MOST = 48, CASES = 7 };
static double first[MOST * MOST], a[MOST * MOST], b[MOST * MOST], work[2 * MOST * MOST];

static double noise(int64_t i)
{
    return (double)((uint32_t)(i * 2654435761u + 12345u) >> 8) / (1 << 23) - 1;
}

/* Symmetric, not negative. */
static void make(int which, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        for (int64_t j = 0; j < n; j++) {
            double sum = 0;
            for (int64_t k = 0; k < (which == 1 ? 2 : n) && which < 4; k++) {
                double scale = which == 2 ? pow(10, -(double)k / 4) : 1;
                sum += scale * noise(i * n + k) * noise(j * n + k);
            }
            first[i * n + j] = which == 4   ? (double)(i == j)
                               : which == 5 ? (double)(i == j) * (double)(i / 2 + 1)
                               : which == 6 ? 0
                                            : sum + (which == 3 ? 10 * (double)(i == j) : 0);
        }
    }
    memcpy(a, first, sizeof a);
}

/* x = the product of x and y^T, or of x and y */
static void multiply(int64_t n, double *x, const double *y, int transposed)
{
    static double z[MOST * MOST];
    for (int64_t i = 0; i < n; i++) {
        for (int64_t j = 0; j < n; j++) {
            double sum = 0;
            for (int64_t k = 0; k < n; k++) {
                sum += x[i * n + k] * (transposed ? y[j * n + k] : y[k * n + j]);
            }
            z[i * n + j] = sum;
        }
    }
    memcpy(x, z, (size_t)(n * n) * sizeof *z);
}

static double most_of(int64_t n, const double *x)
{
    double most = 0;
    for (int64_t i = 0; i < n * n; i++) {
        most = fmax(most, fabs(x[i]));
    }
    return most;
}

/* Largest difference from the identity. */
static double from_identity(int64_t n, const double *x)
{
    double most = 0;
    for (int64_t i = 0; i < n * n; i++) {
        double error = fabs(x[i] - (double)(i / n == i % n));
        most = error > most || isnan(error) ? error : most;
    }
    return most;
}

static void test_eigh(void **state)
{
    (void)state;
    for (int which = 0; which < CASES; which++) {
        for (int64_t n = 1; n <= MOST; n += n < 6 ? 1 : 7) {
            make(which, n);
            hone_matrix_eigh(n, 0, a, work);
            memcpy(b, a, sizeof b);
            multiply(n, b, a, 1);
            assert_true(from_identity(n, b) < 1e-13);
            memcpy(b, first, sizeof b); /* b = first V, column j = value j times column j */
            multiply(n, b, a, 0);
            double before = INFINITY, scale = most_of(n, first) * (double)n + DBL_MIN;
            for (int64_t j = 0; j < n; j++) {
                double value = 0, norm = 0;
                for (int64_t i = 0; i < n; i++) {
                    value += a[i * n + j] * b[i * n + j];
                }
                for (int64_t i = 0; i < n; i++) {
                    norm = fmax(norm, fabs(b[i * n + j] - value * a[i * n + j]));
                }
                assert_true(norm <= 1e-14 * scale && value <= before + 1e-14 * scale);
                before = value;
            }
        }
    }
}

static void test_inverse_root(void **state)
{
    (void)state;
    static const int regular[] = {3, 4, 5};
    for (size_t c = 0; c < 3; c++) {
        for (int64_t n = 1; n <= 13; n += 3) {
            for (int k = 1; k <= 4; k++) {
                make(regular[c], n);
                hone_matrix_inverse_root(n, k, a, work);
                memcpy(b, a, sizeof b);
                for (int i = 1; i < k; i++) {
                    multiply(n, b, a, 0);
                }
                multiply(n, b, first, 0);
                assert_true(from_identity(n, b) < 1e-6);
            }
        }
    }
    make(1, 6); /* rank 2: four eigenvalues are raised */
    hone_matrix_inverse_root(6, 4, a, work);
    assert_true(isfinite(most_of(6, a)) && most_of(6, a) > 1);
    make(6, 3);
    hone_matrix_inverse_root(3, 2, a, work);
    assert_true(isfinite(most_of(3, a)));
}

static void test_qr(void **state)
{
    (void)state;
    for (int64_t n = 1; n <= MOST; n += 5) {
        for (int64_t i = 0; i < n * n; i++) {
            first[i] = a[i] = noise(7 * i + n);
        }
        hone_matrix_qr(n, 0, a, work);
        memcpy(b, a, sizeof b);
        multiply(n, b, a, 1);
        assert_true(from_identity(n, b) < 1e-13);
        for (int64_t j = 0; j < n; j++) { /* Q^T first is R */
            for (int64_t i = j; i < n; i++) {
                double r = 0;
                for (int64_t k = 0; k < n; k++) {
                    r += a[k * n + i] * first[k * n + j];
                }
                assert_true(i == j ? r > -1e-13 : fabs(r) < 1e-12);
            }
        }
    }
}

static void test_not_finite(void **state)
{
    (void)state;
    HoneMatrixFn *const all[] = {hone_matrix_inverse_root, hone_matrix_eigh, hone_matrix_qr};
    for (size_t f = 0; f < 3; f++) {
        make(0, 5);
        a[7] = f == 1 ? INFINITY : NAN;
        all[f](5, 2, a, work);
        assert_true(isnan(a[0]) && isnan(a[24]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_eigh), cmocka_unit_test(test_inverse_root),
                                       cmocka_unit_test(test_qr), cmocka_unit_test(test_not_finite)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
