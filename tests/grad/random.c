/* Random equations: raw against dense gradients, every element of a dense piece written once.
 * HONE_FUZZ_FROM and HONE_FUZZ_N choose other seeds than the few of a normal run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support/gradcheck.h"

typedef struct Writer {
    uint64_t random;
    char text[2048];
    size_t len;
    int n_vars, n_left, rank_x, rank_z;
    bool data;
    int extent[6];
} Writer;

static int pick(Writer *w, int low, int high)
{
    w->random ^= w->random << 13;
    w->random ^= w->random >> 7;
    w->random ^= w->random << 17;
    return low + (int)(w->random % (uint64_t)(high - low + 1));
}

static void put(Writer *w, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    w->len += (size_t)vsnprintf(w->text + w->len, sizeof w->text - w->len, fmt, args);
    va_end(args);
}

static const char *const names[] = {"a", "b", "c", "d", "e", "f"};

static void affine(Writer *w)
{
    int terms = pick(w, 1, 3);
    for (int i = 0; i < terms; i++) {
        static const int coefs[] = {1, 1, 1, 2, 2, 3, -1, -1, -2, 4};
        int coef = coefs[pick(w, 0, 9)];
        put(w, "%s%d*%s", i > 0 ? " + " : "", coef, names[pick(w, 0, w->n_vars - 1)]);
    }
    int shift = pick(w, -3, 4);
    if (pick(w, 0, 2) == 0)
        put(w, " + %d", shift);
}

static void position(Writer *w)
{
    int form = pick(w, 0, 9);
    if (form < 3) {
        put(w, "%s", names[pick(w, 0, w->n_vars - 1)]);
    } else if (form < 7) {
        affine(w);
    } else {
        put(w, "(");
        affine(w);
        put(w, ") %s %d", form == 7 ? "%" : "//", pick(w, 2, 4));
        if (pick(w, 0, 3) == 0)
            put(w, " + %s", names[pick(w, 0, w->n_vars - 1)]);
    }
}

static void read_of(Writer *w, const char *tensor, int rank)
{
    put(w, "(%s[", tensor);
    for (int k = 0; k < rank; k++) {
        put(w, "%s", k > 0 ? ", " : "");
        position(w);
    }
    put(w, "] ?? 0)");
}

static void mask(Writer *w)
{
    put(w, "(");
    affine(w);
    if (pick(w, 0, 1)) {
        int m = pick(w, 2, 3);
        put(w, ") %% %d == %d", m, pick(w, 0, m - 1));
    } else {
        put(w, ") %s %d", pick(w, 0, 1) ? "<" : ">=", pick(w, -2, 6));
    }
}

/* A factor: a read with a fill of 0 or of another read, or at data. */
static void factor(Writer *w, const char *tensor, int rank)
{
    int form = w->data ? pick(w, 0, 7) : pick(w, 2, 7);
    if (form == 0) {
        put(w, "g[t[a]]");
    } else if (form == 1) {
        put(w, "(g[t[a] + %s - %d] ?? 0)", names[pick(w, 0, w->n_vars - 1)], pick(w, 0, 2));
    } else if (form == 2) {
        put(w, "(x[");
        for (int k = 0; k < w->rank_x; k++)
            put(w, "%s%s", k > 0 ? ", " : "", names[pick(w, 0, w->n_vars - 1)]);
        put(w, "] ?? ");
        read_of(w, tensor, rank);
        put(w, ")");
    } else {
        read_of(w, tensor, rank);
    }
}

static void body(Writer *w, const char *tensor, int rank)
{
    int masks = pick(w, 0, 5) - 3;
    for (int i = 0; i < masks; i++) {
        put(w, "select(");
        mask(w);
        put(w, ", ");
    }
    factor(w, tensor, rank);
    if (pick(w, 0, 2)) {
        put(w, " * ");
        factor(w, "z", w->rank_z);
    }
    if (pick(w, 0, 5) == 0) {
        put(w, " + ");
        factor(w, tensor, rank);
    }
    for (int i = 0; i < masks; i++)
        put(w, ", 0.0)");
    put(w, "\n");
}

static void equation(Writer *w, const char *key, const char *tensor, int rank)
{
    w->n_left = pick(w, 1, 3);
    w->n_vars = w->n_left + pick(w, 0, 3);
    for (int i = 0; i < w->n_vars; i++)
        w->extent[i] = i == 0 ? w->extent[0] : pick(w, 1, 5);
    put(w, "%s[", key);
    for (int i = 0; i < w->n_left; i++)
        put(w, "%s%s:%d", i > 0 ? ", " : "", names[i], w->extent[i]);
    put(w, "] = ");
    static const char *const reductions[] = {"sum", "sum", "sum", "sum", "max", "min", "prod"};
    if (w->n_vars > w->n_left) {
        put(w, "%s[", reductions[pick(w, 0, 6)]);
        for (int i = w->n_left; i < w->n_vars; i++)
            put(w, "%s%s:%d", i > w->n_left ? ", " : "", names[i], w->extent[i]);
        put(w, "] ");
    }
    body(w, tensor, rank);
}

/* v[2*a + 1, b] += …: pieces with positions on the left. */
static void pieces(Writer *w, const char *tensor, int rank)
{
    int n = pick(w, 1, 2), rank_v = pick(w, 1, 2), dims[2] = {pick(w, 2, 7), pick(w, 1, 5)};
    for (int i = 0; i < n; i++) {
        w->n_left = w->n_vars = pick(w, 1, 2);
        put(w, "v[");
        for (int k = 0; k < rank_v; k++) {
            put(w, "%s", k > 0 ? ", " : "");
            if (pick(w, 0, 1))
                affine(w);
            else
                put(w, "%s", names[k % w->n_vars]);
        }
        put(w, " | a:%d", w->extent[0]);
        for (int k = 1; k < w->n_vars; k++)
            put(w, ", %s:%d", names[k], w->extent[k] = pick(w, 1, 4));
        put(w, "] of %d", dims[0]);
        if (rank_v > 1)
            put(w, ", %d", dims[1]);
        put(w, " += ");
        body(w, tensor, rank);
    }
}

static void write_case(Writer *w)
{
    w->rank_x = pick(w, 1, 3);
    w->rank_z = pick(w, 1, 2);
    w->data = pick(w, 0, 3) == 0;
    put(w, "param x[");
    for (int k = 0; k < w->rank_x; k++)
        put(w, "%s%d", k > 0 ? ", " : "", pick(w, 1, 7));
    put(w, "]\nparam z[");
    for (int k = 0; k < w->rank_z; k++)
        put(w, "%s%d", k > 0 ? ", " : "", pick(w, 1, 5));
    put(w, "]\n");
    w->extent[0] = pick(w, 1, 5);
    if (w->data)
        put(w, "param g[5]\ninput t[%d] below 5\n", w->extent[0]);
    equation(w, "y", "x", w->rank_x);
    int more = pick(w, 0, 4);
    if (more == 0)
        equation(w, "u", "y", w->n_left);
    else if (more == 1)
        pieces(w, "y", w->n_left);
}

static int number_of(const char *variable, int otherwise)
{
    const char *text = getenv(variable);
    return text ? atoi(text) : otherwise;
}

static void random_equations(void **state)
{
    (void)state;
    HoneSys sys = {0};
    int from = number_of("HONE_FUZZ_FROM", 0), n = number_of("HONE_FUZZ_N", 400), wrong = 0;
    int scatters = 0, costly = 0, nonzero = 0;
    for (int seed = from; seed < from + n; seed++) {
        Writer w = {.random = (uint64_t)seed * 2654435761u + 88172645463325252u};
        pick(&w, 0, 1);
        write_case(&w);
        GradCase row = {.name = "random",
                        .text = w.text,
                        .uncompiled = seed % 8 != 0 && !getenv("HONE_FUZZ_N"),
                        .kinks = seed % 16 != 0 || strstr(w.text, "= m")};
        GradResult r = gradcheck(&sys, &row);
        scatters += r.scatters > 0;
        nonzero += r.scale > 0.01;
        costly += r.forward > 0 && r.backward > 4 * r.forward + 200;
        if (!r.why[0] && r.by_densify < 1e-10 && r.by_cleaning < 1e-10 && r.by_difference < 1e-6)
            continue;
        if (wrong++ < 5)
            fprintf(stderr, "seed %d: densify %.1e clean %.1e differences %.1e %s\n%s\n", seed,
                    r.by_densify, r.by_cleaning, r.by_difference, r.why, w.text);
    }
    if (getenv("HONE_FUZZ_N"))
        fprintf(stderr, "%d equations, %d not empty, %d with scatters, %d costly, %d wrong\n", n,
                nonzero, scatters, costly, wrong);
    assert_int_equal(wrong, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(random_equations)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
