/* position: construction in canonical form. Rules for e // m and e % m (differentiation.md 2):
 *
 *   split     e = m*q + r gives q + r // m; coefficients of r nearest zero while ranges are judged,
 *             0 .. m-1 in the atom that remains, so that (h+1-i)//2 and (h+1-i)%2 share their inner term
 *   period    r within one period: the quotient is a constant
 *   granule   e = g*E + s, g a divisor of m, 0 <= s < g: E // (m/g), and g*(E % (m/g)) + s
 *   nested    (x//a + R) // b = (x + a*R) // (a*b);  (k*(x % M) + R) % b = (k*x + R) % b when b | k*M;
 *             (x % (a*b)) // b = (x // b) % a
 *   whole     m*(e // m) + e % m = e and m*((e // m) % k) + e % m = e % (m*k), in every sum
 */
#include "graph/internal.h"

#include <assert.h>
#include <string.h>

int64_t size_add(ExprPool *pool, int64_t a, int64_t b)
{
    int64_t sum;
    if (CHECKED_ADD(a, b, &sum) && sum != INT64_MIN)
        return sum;
    pool->overflow = true;
    return a < 0 ? -INT64_MAX : INT64_MAX;
}

int64_t size_mul(ExprPool *pool, int64_t a, int64_t b)
{
    int64_t product;
    if (CHECKED_MUL(a, b, &product) && product != INT64_MIN)
        return product;
    pool->overflow = true;
    return (a < 0) == (b < 0) ? INT64_MAX : -INT64_MAX;
}

int64_t floor_div(int64_t a, int64_t by)
{
    return a / by - (a % by < 0);
}

int64_t floor_mod(int64_t a, int64_t by)
{
    int64_t r = a % by;
    return r < 0 ? r + by : r;
}

static int64_t gcd(int64_t a, int64_t b)
{
    a = a < 0 ? -a : a;
    b = b < 0 ? -b : b;
    while (b != 0) {
        int64_t r = a % b;
        a = b;
        b = r;
    }
    return a;
}

/* --- sums under construction ------------------------------------------------------------------ */
enum { SUM_LOCAL = 24 };
typedef struct Sum {
    ExprPool *pool;
    int64_t constant;
    size_t n, cap;
    bool recombined;            /* sum_finish used the rule "whole" */
    Term *terms;                /* by ascending atom id; points at `local` while it suffices */
    Term local[SUM_LOCAL];
} Sum;

static void sum_start(Sum *sum, ExprPool *pool)
{
    sum->pool = pool;
    sum->constant = 0;
    sum->n = 0;
    sum->recombined = false;
    sum->cap = SUM_LOCAL;
    sum->terms = sum->local;
}

static void sum_term(Sum *sum, int64_t coef, const Atom *atom)
{
    size_t i = sum->n;
    while (i > 0 && sum->terms[i - 1].atom->id > atom->id)
        i--;
    if (i > 0 && sum->terms[i - 1].atom == atom) {
        Term *term = &sum->terms[i - 1];
        term->coef = size_add(sum->pool, term->coef, coef);
        if (term->coef == 0) {
            memmove(term, term + 1, (sum->n - i) * sizeof *term);
            sum->n--;
        }
        return;
    }
    if (coef == 0)
        return;
    if (sum->n == sum->cap) {
        Term *more = NEW_ARRAY(sum->pool->arena, Term, 2 * sum->cap);
        memcpy(more, sum->terms, sum->n * sizeof *more);
        sum->terms = more;
        sum->cap *= 2;
    }
    memmove(sum->terms + i + 1, sum->terms + i, (sum->n - i) * sizeof *sum->terms);
    sum->terms[i] = (Term){.coef = coef, .atom = atom};
    sum->n++;
}

static void sum_scaled(Sum *sum, int64_t by, const Position *p)
{
    sum->constant = size_add(sum->pool, sum->constant, size_mul(sum->pool, by, p->constant));
    for (size_t i = 0; i < p->n; i++)
        sum_term(sum, size_mul(sum->pool, by, p->terms[i].coef), p->terms[i].atom);
}

static bool sum_contains(const Sum *sum, int64_t by, const Position *p)
{
    size_t k = 0;
    for (size_t i = 0; i < p->n; i++) {
        while (k < sum->n && sum->terms[k].atom->id < p->terms[i].atom->id)
            k++;
        int64_t want;
        if (k == sum->n || sum->terms[k].atom != p->terms[i].atom ||
            !CHECKED_MUL(by, p->terms[i].coef, &want) || sum->terms[k].coef != want)
            return false;
    }
    return p->n > 0;
}

/* e % m of an atom e // m and the other way; NULL while it is being found out. */
static const Position *atom_partner(ExprPool *pool, const Atom *atom)
{
    const Position *busy = (const Position *)pool;          /* an address that is no position */
    const Position *known = pool->partners.at[atom->id];
    if (known)
        return known == busy ? NULL : known;
    pool->partners.at[atom->id] = busy;
    const Position *partner = atom->kind == ATOM_DIV ? pos_mod(pool, atom->of, atom->by)
                                                     : pos_div(pool, atom->of, atom->by);
    pool->partners.at[atom->id] = partner;
    return partner;
}

/* One use of the rule "whole"; false if there is none. */
static bool sum_recombine(Sum *sum)
{
    for (size_t i = 0; i < sum->n; i++) {
        Term term = sum->terms[i];
        if (term.atom->kind != ATOM_DIV && term.atom->kind != ATOM_MOD)
            continue;
        bool is_div = term.atom->kind == ATOM_DIV;
        if (is_div && term.coef % term.atom->by != 0)
            continue;
        int64_t c = is_div ? term.coef / term.atom->by : term.coef;   /* of e */
        int64_t other;
        if (!CHECKED_MUL(c, is_div ? 1 : term.atom->by, &other))
            continue;
        const Position *partner = atom_partner(sum->pool, term.atom);
        if (!partner || !sum_contains(sum, other, partner))
            continue;
        sum_term(sum, -term.coef, term.atom);
        sum_scaled(sum, -other, partner);
        sum_scaled(sum, c, term.atom->of);
        return true;
    }
    return false;
}

/* c*(e % m) + c*m*((e // m) % k) = c*(e % (m*k)) */
static bool sum_join_mods(Sum *sum)
{
    for (size_t i = 0; i < sum->n; i++) {
        Term low = sum->terms[i];
        if (low.atom->kind != ATOM_MOD)
            continue;
        for (size_t k = 0; k < sum->n; k++) {
            Term high = sum->terms[k];
            int64_t coef, by;
            if (k == i || high.atom->kind != ATOM_MOD ||
                !CHECKED_MUL(low.coef, low.atom->by, &coef) || high.coef != coef ||
                high.atom->of != atom_partner(sum->pool, low.atom) ||
                !CHECKED_MUL(low.atom->by, high.atom->by, &by))
                continue;
            sum_term(sum, -low.coef, low.atom);
            sum_term(sum, -high.coef, high.atom);
            sum_scaled(sum, low.coef, pos_mod(sum->pool, low.atom->of, by));
            return true;
        }
    }
    return false;
}

static const Position *sum_finish(Sum *sum)
{
    if (sum->n > 1)
        while (sum_recombine(sum) || sum_join_mods(sum))
            sum->recombined = true;
    return position_intern(sum->pool, sum->constant, sum->n, sum->terms);
}

/* --- linear construction ------------------------------------------------------------------------- */
const Position *pos_const(ExprPool *pool, int64_t value)
{
    return position_intern(pool, value, 0, NULL);
}

static const Position *pos_atom(ExprPool *pool, const Atom *key)
{
    Term term = {.coef = 1, .atom = atom_intern(pool, key)};
    return position_intern(pool, 0, 1, &term);
}

const Position *pos_var(ExprPool *pool, const Var *var)
{
    assert(var->id < pool->vars.len && pool->vars.at[var->id] == var);
    if (var->extent == 1)
        return pos_const(pool, 0);
    return pos_atom(pool, &(Atom){.kind = ATOM_VAR, .var = var});
}

const Position *pos_add(ExprPool *pool, const Position *a, const Position *b)
{
    Sum sum;
    sum_start(&sum, pool);
    sum_scaled(&sum, 1, a);
    sum_scaled(&sum, 1, b);
    return sum_finish(&sum);
}

const Position *pos_sub(ExprPool *pool, const Position *a, const Position *b)
{
    Sum sum;
    sum_start(&sum, pool);
    sum_scaled(&sum, 1, a);
    sum_scaled(&sum, -1, b);
    return sum_finish(&sum);
}

const Position *pos_scale(ExprPool *pool, const Position *a, int64_t by)
{
    if (by == 1)
        return a;
    Sum sum;
    sum_start(&sum, pool);
    sum_scaled(&sum, by, a);
    return sum_finish(&sum);
}

const Position *pos_shift(ExprPool *pool, const Position *a, int64_t by)
{
    return by == 0 ? a : position_intern(pool, size_add(pool, a->constant, by), a->n, a->terms);
}

/* Ints made of indices, constants and data become positions as far as they are linear. */
const Position *pos_data(ExprPool *pool, const Scalar *data)
{
    assert(!dtype_is_float(data->dtype));
    if (data->kind == SCALAR_CONST)
        return pos_const(pool, (int64_t)data->value);
    if (data->kind == SCALAR_INDEX)
        return data->at[0];
    if (data->kind == SCALAR_FN && data->dtype != DT_BOOL) {
        const Scalar *const *args = data->args;
        double by;
        if (data->op == OP_ADD) {
            Sum sum;
            sum_start(&sum, pool);
            for (size_t i = 0; i < data->n; i++)
                sum_scaled(&sum, 1, pos_data(pool, args[i]));
            return sum_finish(&sum);
        }
        if (data->op == OP_MUL && data->n == 2 && sc_is_const(args[0], &by))
            return pos_scale(pool, pos_data(pool, args[1]), (int64_t)by);
        if (data->op == OP_IDIV && sc_is_const(args[1], &by) && by > 0)
            return pos_div(pool, pos_data(pool, args[0]), (int64_t)by);
        if (data->op == OP_MOD && sc_is_const(args[1], &by) && by > 0)
            return pos_mod(pool, pos_data(pool, args[0]), (int64_t)by);
        if (data->op == OP_CAST && !dtype_is_float(args[0]->dtype) && args[0]->dtype != DT_BOOL &&
            dtype_bytes(data->dtype) >= dtype_bytes(args[0]->dtype))
            return pos_data(pool, args[0]);
    }
    return pos_atom(pool, &(Atom){.kind = ATOM_DATA, .data = data});
}

/* --- division ------------------------------------------------------------------------------------- */
/* k mod m nearest zero; of -m/2 and m/2 the one with k's sign. */
static int64_t nearest(int64_t k, int64_t m)
{
    int64_t r = k % m;
    if (r > m / 2)
        return r - m;
    if (r < -(m / 2))
        return r + m;
    return r;
}

/* rest = e with coefficients modulo m (the constant too, into 0 .. m-1), raw. */
static void sum_modulo(Sum *rest, ExprPool *pool, const Position *e, int64_t m, bool near)
{
    sum_start(rest, pool);
    rest->constant = floor_mod(e->constant, m);
    for (size_t i = 0; i < e->n; i++) {
        int64_t k = e->terms[i].coef;
        sum_term(rest, near ? nearest(k, m) : floor_mod(k, m), e->terms[i].atom);
    }
}

/* (e - rest) / m, where the difference is a multiple term by term. */
static const Position *quotient(ExprPool *pool, const Position *e, const Sum *rest, int64_t m)
{
    Sum q;
    sum_start(&q, pool);
    q.constant = (e->constant - rest->constant) / m;
    for (size_t i = 0; i < e->n; i++) {
        int64_t kept = 0;
        for (size_t k = 0; k < rest->n; k++)
            if (rest->terms[k].atom == e->terms[i].atom)
                kept = rest->terms[k].coef;
        sum_term(&q, (e->terms[i].coef - kept) / m, e->terms[i].atom);
    }
    return sum_finish(&q);
}

/* Is e within one period of m, perhaps after changing the sign of terms m/2? Then *rest, within
 * 0 .. m-1, is e minus a multiple of m. */
static bool one_period(ExprPool *pool, const Position *e, int64_t m, Sum *rest)
{
    size_t n_ties = 0, ties[4];
    for (size_t i = 0; i < e->n && n_ties < 4; i++)
        if (m % 2 == 0 && (e->terms[i].coef == m / 2 || e->terms[i].coef == -m / 2))
            ties[n_ties++] = i;
    for (unsigned choice = 0; choice < 1u << n_ties; choice++) {
        sum_start(rest, pool);
        sum_scaled(rest, 1, e);
        for (size_t i = 0; i < n_ties; i++) {
            Term tie = e->terms[ties[i]];
            if (choice >> i & 1)
                sum_term(rest, -2 * tie.coef, tie.atom);
        }
        Interval range = interval_of(rest->constant, rest->n, rest->terms);
        int64_t period = floor_div(range.min, m);
        if (period == floor_div(range.max, m)) {
            rest->constant -= period * m;
            return true;
        }
    }
    return false;
}

/* e = g*coarse + fine with g a divisor of m and fine within 0 .. g-1. */
static int64_t granule(ExprPool *pool, const Position *e, int64_t m, const Position **coarse,
                       const Position **fine)
{
    for (size_t i = 0; i < e->n; i++) {
        int64_t g = gcd(e->terms[i].coef, m);
        if (g == 1)
            continue;
        Sum small, big;
        sum_modulo(&small, pool, e, g, true);
        Interval range = interval_of(small.constant, small.n, small.terms);
        int64_t period = floor_div(range.min, g);
        if (period != floor_div(range.max, g))
            continue;
        small.constant -= period * g;
        sum_start(&big, pool);
        sum_scaled(&big, 1, quotient(pool, e, &small, g));
        *coarse = sum_finish(&big);
        *fine = sum_finish(&small);
        return g;
    }
    return 1;
}

/* (x//a + R) // b with R of any form: x + a*R and a*b. */
static const Position *nested_div(ExprPool *pool, const Position *e, int64_t by, int64_t *whole)
{
    for (size_t i = 0; i < e->n; i++) {
        const Atom *atom = e->terms[i].atom;
        if (atom->kind != ATOM_DIV || e->terms[i].coef != 1 || !CHECKED_MUL(atom->by, by, whole))
            continue;
        Sum sum;
        sum_start(&sum, pool);
        sum_scaled(&sum, atom->by, e);
        sum_term(&sum, -atom->by, atom);
        sum_scaled(&sum, 1, atom->of);
        return sum_finish(&sum);
    }
    return NULL;
}

const Position *pos_div(ExprPool *pool, const Position *e, int64_t by)
{
    assert(by > 0);
    if (by == 1)
        return e;
    Sum rest;
    sum_modulo(&rest, pool, e, by, true);
    const Position *q = quotient(pool, e, &rest, by);
    const Position *r = sum_finish(&rest);
    if (r != e)
        return pos_add(pool, q, pos_div(pool, r, by));
    if (one_period(pool, e, by, &rest))
        return quotient(pool, e, &rest, by);
    const Position *coarse, *fine;
    int64_t g = granule(pool, e, by, &coarse, &fine);
    if (g > 1)
        return pos_div(pool, coarse, by / g);
    int64_t whole;
    const Position *inner = nested_div(pool, e, by, &whole);
    if (inner)
        return pos_div(pool, inner, whole);
    if (e->n == 1 && e->constant == 0 && e->terms[0].coef == 1 &&
        e->terms[0].atom->kind == ATOM_MOD && e->terms[0].atom->by % by == 0) {
        const Atom *mod = e->terms[0].atom;
        return pos_mod(pool, pos_div(pool, mod->of, by), mod->by / by);
    }
    sum_modulo(&rest, pool, e, by, false);
    q = quotient(pool, e, &rest, by);
    r = sum_finish(&rest);
    if (rest.recombined)
        return pos_add(pool, q, pos_div(pool, r, by));
    return pos_add(pool, q, pos_atom(pool, &(Atom){.kind = ATOM_DIV, .of = r, .by = by}));
}

const Position *pos_mod(ExprPool *pool, const Position *e, int64_t by)
{
    assert(by > 0);
    if (by == 1)
        return pos_const(pool, 0);
    Sum rest;
    sum_modulo(&rest, pool, e, by, true);
    for (size_t i = 0; i < rest.n; i++) {
        Term term = rest.terms[i];
        int64_t period;
        if (term.atom->kind == ATOM_MOD && CHECKED_MUL(term.coef, term.atom->by, &period) &&
            period % by == 0) {
            sum_term(&rest, -term.coef, term.atom);
            sum_scaled(&rest, term.coef, term.atom->of);
            return pos_mod(pool, sum_finish(&rest), by);
        }
    }
    const Position *r = sum_finish(&rest);
    if (r != e)
        return pos_mod(pool, r, by);
    if (one_period(pool, e, by, &rest))
        return sum_finish(&rest);
    const Position *coarse, *fine;
    int64_t g = granule(pool, e, by, &coarse, &fine);
    if (g > 1) {
        Sum sum;
        sum_start(&sum, pool);
        sum_scaled(&sum, g, pos_mod(pool, coarse, by / g));
        sum_scaled(&sum, 1, fine);
        return sum_finish(&sum);
    }
    sum_modulo(&rest, pool, e, by, false);
    r = sum_finish(&rest);
    if (rest.recombined)
        return pos_mod(pool, r, by);
    return pos_atom(pool, &(Atom){.kind = ATOM_MOD, .of = r, .by = by});
}

/* --- questions -------------------------------------------------------------------------------------- */
bool pos_is_const(const Position *p, int64_t *value)
{
    if (p->n == 0)
        *value = p->constant;
    return p->n == 0;
}

bool pos_is_var(const Position *p, const Var **var)
{
    if (p->constant != 0 || p->n != 1 || p->terms[0].coef != 1 ||
        p->terms[0].atom->kind != ATOM_VAR)
        return false;
    *var = p->terms[0].atom->var;
    return true;
}

int64_t pos_coef(const Position *p, const Var *var)
{
    for (size_t i = 0; i < p->n; i++)
        if (p->terms[i].atom->kind == ATOM_VAR && p->terms[i].atom->var == var)
            return p->terms[i].coef;
    return 0;
}

bool pos_in_range(const Position *p, int64_t extent)
{
    return p->min >= 0 && p->max < extent;
}

bool pos_affine(const Position *p)
{
    for (size_t i = 0; i < p->n; i++)
        if (p->terms[i].atom->kind != ATOM_VAR)
            return false;
    return true;
}
