/* interval: the range of a position over all values of its variables. Sound always, exact for sums of
 * distinct variables; a quotient and the terms that belong to it are estimated together. */
#include "graph/internal.h"

/* An end that has left int64 stays out. */
static int64_t sat_add(int64_t a, int64_t b)
{
    if (a == INT64_MIN || a == INT64_MAX)
        return a;
    int64_t sum;
    if (CHECKED_ADD(a, b, &sum))
        return sum;
    return a < 0 ? INT64_MIN : INT64_MAX;
}

static int64_t sat_mul(int64_t a, int64_t b)
{
    int64_t product;
    if (CHECKED_MUL(a, b, &product))
        return product;
    return (a < 0) == (b < 0) ? INT64_MAX : INT64_MIN;
}

static Interval atom_interval(const Atom *atom)
{
    switch (atom->kind) {
    case ATOM_VAR:
        return (Interval){0, atom->var->extent > 0 ? atom->var->extent - 1 : 0};
    case ATOM_DIV:
        return (Interval){floor_div(atom->of->min, atom->by), floor_div(atom->of->max, atom->by)};
    case ATOM_MOD:
        return (Interval){0, atom->by - 1};
    case ATOM_DATA:
        return (Interval){INT32_MIN, INT32_MAX};
    }
    return (Interval){0, 0};
}

static Interval add_scaled(Interval sum, int64_t coef, Interval x)
{
    int64_t a = sat_mul(coef, coef < 0 ? x.max : x.min);
    int64_t b = sat_mul(coef, coef < 0 ? x.min : x.max);
    return (Interval){sat_add(sum.min, a), sat_add(sum.max, b)};
}

static int64_t coef_of(size_t n, const Term *terms, const Atom *atom)
{
    for (size_t i = 0; i < n; i++)
        if (terms[i].atom == atom)
            return terms[i].coef;
    return 0;
}

/* c*(e // m) + c*t*u = c*((e + m*t*u) // m): terms that are multiples of c move into the quotient,
 * where they meet the parts of e that canonical form has moved out (-i is m*(-1)*i + (m-1)*i). */
static Interval pull_into(int64_t constant, size_t n, const Term *terms, size_t quotient)
{
    const Atom *div = terms[quotient].atom;
    int64_t c = terms[quotient].coef;
    Interval inside = {div->of->constant, div->of->constant};
    Interval outside = {constant, constant};
    for (size_t i = 0; i < n; i++) {
        if (i == quotient)
            continue;
        int64_t pulled = 0;
        bool whole = terms[i].coef % c == 0 && CHECKED_MUL(terms[i].coef / c, div->by, &pulled);
        Interval range = atom_interval(terms[i].atom);
        if (!whole)
            outside = add_scaled(outside, terms[i].coef, range);
        else
            inside = add_scaled(
                inside, sat_add(pulled, coef_of(div->of->n, div->of->terms, terms[i].atom)), range);
    }
    for (size_t i = 0; i < div->of->n; i++) {
        int64_t other = coef_of(n, terms, div->of->terms[i].atom);
        int64_t scaled;
        if (other == 0 || other % c != 0 || !CHECKED_MUL(other / c, div->by, &scaled))
            inside = add_scaled(inside, div->of->terms[i].coef,
                                atom_interval(div->of->terms[i].atom));
    }
    inside = (Interval){floor_div(inside.min, div->by), floor_div(inside.max, div->by)};
    return add_scaled(outside, c, inside);
}

Interval interval_of(int64_t constant, size_t n, const Term *terms)
{
    Interval sum = {constant, constant};
    for (size_t i = 0; i < n; i++)
        sum = add_scaled(sum, terms[i].coef, atom_interval(terms[i].atom));
    for (size_t i = 0; i < n; i++) {
        if (terms[i].atom->kind != ATOM_DIV)
            continue;
        Interval pulled = pull_into(constant, n, terms, i);
        sum.min = pulled.min > sum.min ? pulled.min : sum.min;
        sum.max = pulled.max < sum.max ? pulled.max : sum.max;
    }
    return sum;
}
