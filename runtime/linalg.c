/* linalg: eigenvalues of symmetric matrices by Householder reflections to tridiagonal form and
 * implicit QL steps with Wilkinson's shift (Golub and Van Loan, Matrix Computations, 8.3), and what is
 * made of them; Q of a matrix by Householder reflections (5.2). Rows are what lies contiguously:
 * eigenvectors are rows until the end. */
#include "hone/linalg.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

enum { VECTORS = 6, MOST_TURNS = 100 };      /* vectors of n behind the matrices; QL steps of a value */

size_t hone_matrix_work(int64_t n)
{
    return (size_t)n * (size_t)n + VECTORS * (size_t)n;
}

/* --- rows --------------------------------------------------------------------------------------- */
static double dot(int64_t n, const double *x, const double *y)
{
    double part[4] = {0};
    int64_t i = 0;
    for (; i + 4 <= n; i += 4) {
        for (int k = 0; k < 4; k++) {
            part[k] += x[i + k] * y[i + k];
        }
    }
    double sum = (part[0] + part[1]) + (part[2] + part[3]);
    for (; i < n; i++) {
        sum += x[i] * y[i];
    }
    return sum;
}

static void add_row(int64_t n, double scale, const double *x, double *y)
{
    for (int64_t i = 0; i < n; i++) {
        y[i] += scale * x[i];
    }
}

static bool all_finite(int64_t n, const double *a)
{
    bool finite = true;
    for (int64_t i = 0; i < n * n; i++) {
        finite = finite && isfinite(a[i]);
    }
    return finite;
}

static void fill_nan(int64_t n, double *a)
{
    for (int64_t i = 0; i < n * n; i++) {
        a[i] = NAN;
    }
}

static void transpose(int64_t n, double *a)
{
    for (int64_t i = 0; i < n; i++) {
        for (int64_t j = 0; j < i; j++) {
            double upper = a[j * n + i];
            a[j * n + i] = a[i * n + j];
            a[i * n + j] = upper;
        }
    }
}

static void set_identity(int64_t n, double *a)
{
    memset(a, 0, (size_t)n * (size_t)n * sizeof *a);
    for (int64_t i = 0; i < n; i++) {
        a[i * n + i] = 1;
    }
}

/* --- reflections ---------------------------------------------------------------------------------- */
/* x (n elements) becomes v and H = 1 - beta v v^T takes it to (alpha, 0, …); alpha is returned. */
static double reflector(int64_t n, double *x, double *beta)
{
    double largest = 0;
    for (int64_t i = 0; i < n; i++) {
        largest = fmax(largest, fabs(x[i]));
    }
    *beta = 0;
    if (largest == 0) {
        return 0;
    }
    for (int64_t i = 0; i < n; i++) {
        x[i] /= largest;
    }
    double length = sqrt(dot(n, x, x)), alpha = x[0] > 0 ? -length : length;
    x[0] -= alpha;
    *beta = 2 / dot(n, x, x);
    return alpha * largest;
}

/* The rows m .. n-1 of a, from column m on, become H times themselves; u: n - m doubles. */
static void reflect_rows(int64_t n, int64_t m, const double *v, double beta, double *a, double *u)
{
    int64_t width = n - m;
    memset(u, 0, (size_t)width * sizeof *u);
    for (int64_t i = 0; i < width; i++) {
        add_row(width, beta * v[i], a + (m + i) * n + m, u);
    }
    for (int64_t i = 0; i < width; i++) {
        add_row(width, -v[i], u, a + (m + i) * n + m);
    }
}

/* --- symmetric matrices --------------------------------------------------------------------------- */
typedef struct Spectrum {
    int64_t n;
    double *a, *z;              /* the matrix, later anything; rows: eigenvectors */
    double *d, *e;              /* diagonal, later eigenvalues; beside it */
    double *beta, *p, *u;
} Spectrum;

/* a = Q T Q^T: T is (d, e), the reflections stay in the rows of a, right of the diagonal. */
static void tridiagonal(Spectrum *s)
{
    int64_t n = s->n;
    for (int64_t k = 0; k + 1 < n; k++) {
        int64_t m = k + 1, width = n - m;
        double *v = s->a + k * n + m;
        s->d[k] = s->a[k * n + k];
        s->e[k] = reflector(width, v, &s->beta[k]);
        if (s->beta[k] == 0) {
            continue;
        }
        for (int64_t i = 0; i < width; i++) {
            s->p[i] = s->beta[k] * dot(width, s->a + (m + i) * n + m, v);
        }
        add_row(width, -0.5 * s->beta[k] * dot(width, s->p, v), v, s->p);
        for (int64_t i = 0; i < width; i++) {
            double *row = s->a + (m + i) * n + m;
            double vi = v[i], pi = s->p[i];
            for (int64_t j = 0; j < width; j++) {
                row[j] -= vi * s->p[j] + pi * v[j];
            }
        }
    }
    s->d[n - 1] = s->a[n * n - 1];
    s->e[n - 1] = 0;
}

/* z = Q^T */
static void reflections_together(Spectrum *s)
{
    int64_t n = s->n;
    set_identity(n, s->z);
    for (int64_t k = n - 2; k >= 0; k--) {
        if (s->beta[k] != 0) {
            reflect_rows(n, k + 1, s->a + k * n + k + 1, s->beta[k], s->z, s->u);
        }
    }
    transpose(n, s->z);
}

static void rotate(int64_t n, double c, double sn, double *lower, double *upper)
{
    for (int64_t k = 0; k < n; k++) {
        double f = upper[k];
        upper[k] = sn * lower[k] + c * f;
        lower[k] = c * lower[k] - sn * f;
    }
}

/* One QL step on rows first .. last with the shift of the first. */
static void ql_step(Spectrum *s, int64_t first, int64_t last)
{
    double *d = s->d, *e = s->e;
    double g = (d[first + 1] - d[first]) / (2 * e[first]), r = hypot(g, 1);
    double sn = 1, c = 1, p = 0;
    g = d[last] - d[first] + e[first] / (g + copysign(r, g));
    int64_t i = last - 1;
    for (; i >= first; i--) {
        double f = sn * e[i], b = c * e[i];
        r = hypot(f, g);
        e[i + 1] = r;
        if (r == 0) {           /* the matrix falls apart here */
            d[i + 1] -= p;
            e[last] = 0;
            return;
        }
        sn = f / r;
        c = g / r;
        g = d[i + 1] - p;
        r = (d[i] - g) * sn + 2 * c * b;
        p = sn * r;
        d[i + 1] = g + p;
        g = c * r - b;
        rotate(s->n, c, sn, s->z + i * s->n, s->z + (i + 1) * s->n);
    }
    d[first] -= p;
    e[first] = g;
    e[last] = 0;
}

static int64_t end_of_block(const Spectrum *s, int64_t first)
{
    int64_t m = first;
    while (m + 1 < s->n && fabs(s->e[m]) > DBL_EPSILON * (fabs(s->d[m]) + fabs(s->d[m + 1]))) {
        m++;
    }
    return m;
}

/* Eigenvalues in d, eigenvectors in the rows of z; false: a is not finite. */
static bool spectrum(Spectrum *s, int64_t n, double *a, double *work)
{
    double *rest = work + n * n;
    *s = (Spectrum){.n = n, .a = a, .z = work, .d = rest, .e = rest + n, .beta = rest + 2 * n,
                    .p = rest + 3 * n, .u = rest + 4 * n};
    if (n == 0 || !all_finite(n, a)) {
        return false;
    }
    for (int64_t i = 0; i < n; i++) {
        for (int64_t j = 0; j < i; j++) {
            a[i * n + j] = a[j * n + i] = 0.5 * (a[i * n + j] + a[j * n + i]);
        }
    }
    tridiagonal(s);
    reflections_together(s);
    for (int64_t first = 0; first < n; first++) {
        for (int turn = 0; turn < MOST_TURNS; turn++) {
            int64_t last = end_of_block(s, first);
            if (last == first) {
                break;
            }
            ql_step(s, first, last);
        }
    }
    return true;
}

void hone_matrix_inverse_root(int64_t n, double k, double *a, double *work)
{
    Spectrum s;
    if (!spectrum(&s, n, a, work)) {
        fill_nan(n, a);
        return;
    }
    double largest = 0;
    for (int64_t i = 0; i < n; i++) {
        largest = fmax(largest, s.d[i]);
    }
    double least = fmax(largest * (double)FLT_EPSILON, (double)FLT_MIN);
    for (int64_t i = 0; i < n; i++) {
        s.d[i] = pow(fmax(s.d[i], least), -1 / k);
    }
    memset(a, 0, (size_t)(n * n) * sizeof *a);
    for (int64_t row = 0; row < n; row++) {
        for (int64_t i = 0; i < n; i++) {
            add_row(n, s.d[i] * s.z[i * n + row], s.z + i * n, a + row * n);
        }
    }
}

/* The sign that makes the first element of largest magnitude positive. */
static double sign_of(int64_t n, const double *x)
{
    double largest = 0, sign = 1;
    for (int64_t i = 0; i < n; i++) {
        if (fabs(x[i]) > largest) {
            largest = fabs(x[i]);
            sign = x[i] < 0 ? -1 : 1;
        }
    }
    return sign;
}

void hone_matrix_eigh(int64_t n, double k, double *a, double *work)
{
    (void)k;
    Spectrum s;
    if (!spectrum(&s, n, a, work)) {
        fill_nan(n, a);
        return;
    }
    bool *taken = (bool *)s.beta;           /* n bytes of n doubles */
    memset(taken, 0, (size_t)n);
    for (int64_t column = 0; column < n; column++) {
        int64_t best = -1;
        for (int64_t i = 0; i < n; i++) {
            best = !taken[i] && (best < 0 || s.d[i] > s.d[best]) ? i : best;
        }
        taken[best] = true;
        const double *z = s.z + best * n;
        double sign = sign_of(n, z);
        for (int64_t i = 0; i < n; i++) {
            a[i * n + column] = sign * z[i];
        }
    }
}

/* --- any matrix ------------------------------------------------------------------------------------- */
void hone_matrix_qr(int64_t n, double k, double *a, double *work)
{
    (void)k;
    double *q = work, *beta = work + n * n, *sign = beta + n, *u = sign + n;
    if (!all_finite(n, a)) {
        fill_nan(n, a);
        return;
    }
    transpose(n, a);            /* its rows are the columns; row i keeps the reflection of column i */
    for (int64_t i = 0; i < n; i++) {
        double *v = a + i * n + i;
        sign[i] = reflector(n - i, v, &beta[i]) < 0 ? -1 : 1;
        for (int64_t j = i + 1; j < n && beta[i] != 0; j++) {
            double *x = a + j * n + i;
            add_row(n - i, -beta[i] * dot(n - i, v, x), v, x);
        }
    }
    set_identity(n, q);
    for (int64_t i = n - 1; i >= 0; i--) {
        if (beta[i] != 0) {
            reflect_rows(n, i, a + i * n + i, beta[i], q, u);
        }
    }
    for (int64_t i = 0; i < n; i++) {
        for (int64_t j = 0; j < n; j++) {
            a[i * n + j] = q[i * n + j] * sign[j];
        }
    }
}

/* --- calls ------------------------------------------------------------------------------------------- */
uint64_t hone_call_scratch(int64_t n)
{
    return ((uint64_t)n * (uint64_t)n + hone_matrix_work(n)) * sizeof(double);
}

static void call(HoneMatrixFn *fn, double k, const float *from, float *to, void *scratch, int64_t n,
                 const int64_t strides[4])
{
    double *a = scratch;
    for (int64_t i = 0; i < n; i++) {
        for (int64_t j = 0; j < n; j++) {
            a[i * n + j] = (double)from[i * strides[0] + j * strides[1]];
        }
    }
    fn(n, k, a, a + n * n);
    for (int64_t i = 0; i < n; i++) {
        for (int64_t j = 0; j < n; j++) {
            to[i * strides[2] + j * strides[3]] = (float)a[i * n + j];
        }
    }
}

void hone_call_inverse_root(void *const *buffers, void *scratch, int64_t n, int64_t a_row,
                            int64_t a_column, int64_t to_row, int64_t to_column)
{
    const float *k = buffers[1];
    call(hone_matrix_inverse_root, (double)*k, buffers[0], buffers[2], scratch, n,
         (const int64_t[4]){a_row, a_column, to_row, to_column});
}

void hone_call_eigh(void *const *buffers, void *scratch, int64_t n, int64_t a_row,
                    int64_t a_column, int64_t to_row, int64_t to_column)
{
    call(hone_matrix_eigh, 0, buffers[0], buffers[1], scratch, n,
         (const int64_t[4]){a_row, a_column, to_row, to_column});
}

void hone_call_qr(void *const *buffers, void *scratch, int64_t n, int64_t a_row, int64_t a_column,
                  int64_t to_row, int64_t to_column)
{
    call(hone_matrix_qr, 0, buffers[0], buffers[1], scratch, n,
         (const int64_t[4]){a_row, a_column, to_row, to_column});
}
