/* overlap: left sides that repeat become left sides that do not (differentiation.md 5.3 - 5.5).
 *
 * A dimension whose free terms form a mixed radix is injective and stays. Where terms overlap, the
 * variable with the largest span is eliminated; a stride gives one piece per phase. Increasing
 * positions with a division are inverted to a base and a short run. */
#include "passes/densify.h"

#include <assert.h>

enum { MAX_PHASES = 16, MAX_COMBINATIONS = 256 };

static int64_t magnitude(int64_t a)
{
    return a < 0 ? -a : a;
}

static int64_t gcd(int64_t a, int64_t b)
{
    while (b != 0) {
        int64_t r = a % b;
        a = b;
        b = r;
    }
    return a;
}

/* --- 5.3
 * ------------------------------------------------------------------------------------------ */
static size_t count_free(const Position *p, const Vars *bound)
{
    size_t n = 0;
    for (size_t i = 0; i < p->n_vars; i++)
        n += !vars_has(bound, p->vars[i]);
    return n;
}

/* Free variables stand in plain terms only. */
static bool free_affine(const Position *p, const Vars *bound)
{
    for (size_t i = 0; i < p->n; i++) {
        const Atom *atom = p->terms[i].atom;
        if (atom->kind != ATOM_VAR && count_free(atom->of, bound) > 0)
            return false;
    }
    return true;
}

/* |a_i| > sum of |a_j| * (extent_j - 1) over the smaller ones */
static bool mixed_radix(const Position *p, const Vars *bound)
{
    for (size_t i = 0; i < p->n; i++) {
        const Term *a = &p->terms[i];
        if (a->atom->kind != ATOM_VAR || vars_has(bound, a->atom->var))
            continue;
        int64_t below = 0;
        for (size_t j = 0; j < p->n; j++) {
            const Term *b = &p->terms[j];
            if (j == i || b->atom->kind != ATOM_VAR || vars_has(bound, b->atom->var))
                continue;
            int64_t size = magnitude(b->coef), mine = magnitude(a->coef);
            if (size < mine || (size == mine && j < i))
                below += size * (b->atom->var->extent - 1);
        }
        if (magnitude(a->coef) <= below)
            return false;
    }
    return true;
}

static void bind(Dense *dense, const Position *p, Vars *bound)
{
    for (size_t i = 0; i < p->n_vars; i++)
        vars_add(dense->arena, bound, p->vars[i]);
}

/* --- 5.4
 * ------------------------------------------------------------------------------------------ */
typedef struct Elimination {
    size_t dim;
    Term term;       /* of the variable that goes */
    int64_t stride;  /* |coefficient| */
    const Var *kept; /* its residue stays a variable: too many phases; or NULL */
} Elimination;

static bool choose(const Raw *raw, size_t dim, const Vars *bound, Elimination *out)
{
    const Position *p = raw->left[dim];
    int64_t span = 0;
    for (size_t i = 0; i < p->n; i++) {
        Term term = p->terms[i];
        if (term.atom->kind != ATOM_VAR || vars_has(bound, term.atom->var))
            continue;
        int64_t mine;
        if (!CHECKED_MUL(magnitude(term.coef), term.atom->var->extent, &mine))
            mine = INT64_MAX;
        if (mine > span) {
            span = mine;
            *out = (Elimination){.dim = dim, .term = term, .stride = magnitude(term.coef)};
        }
    }
    int64_t combinations = 1, most = 0;
    const Term *worst = NULL;
    for (size_t i = 0; i < p->n; i++) {
        const Term *u = &p->terms[i];
        if (u->coef % out->stride == 0)
            continue;
        if (u->atom->kind != ATOM_VAR)
            return false;
        int64_t phases = out->stride / gcd(magnitude(u->coef), out->stride);
        phases = phases < u->atom->var->extent ? phases : u->atom->var->extent;
        if (!CHECKED_MUL(combinations, phases, &combinations))
            return false;
        if (magnitude(u->coef) == 1 && u->atom->var->extent > out->stride && phases > most) {
            most = phases;
            worst = u;
        }
        if (combinations > INT32_MAX)
            return false;
    }
    if (combinations > MAX_PHASES && worst) {
        combinations /= most;
        out->kept = worst->atom->var;
    }
    return combinations <= MAX_COMBINATIONS;
}

/* All residues are chosen: left = s*j + rest, v = ±(j - what else is a multiple of s). */
static void place(Dense *dense, Raw *piece, const Elimination *e, const Position *residue)
{
    ExprPool *pool = dense->pool;
    const Position *p = piece->left[e->dim];
    int64_t s = e->stride, sign = e->term.coef < 0 ? -1 : 1, extent = dense->dims[e->dim];
    const Var *v = e->term.atom->var;
    const Position *others = pos_sub(pool, p, pos_scale(pool, pos_var(pool, v), e->term.coef));
    const Position *even = pos_sub(pool, others, residue); /* a multiple of s, but its constant */
    int64_t r = even->constant - s * div_floor(even->constant, s);
    const Position *shift = pos_div(pool, pos_shift(pool, even, -r), s);
    const Position *offset = pos_shift(pool, residue, r);
    int64_t first = div_ceil(-offset->max, s), last = div_floor(extent - 1 - offset->min, s);
    if (last < first)
        return;
    const Position *j = raw_var(dense, piece, last - first + 1, v->name);
    j = pos_shift(pool, j, first);
    const Position *value = pos_scale(pool, pos_sub(pool, j, shift), sign);
    raw_subst(dense, piece, v, value);
    guard_add(dense, piece, 0, value, v->extent);
    guard_add(dense, piece, 0, piece->left[e->dim], extent);
    raw_push(dense, piece);
}

/* u := m*u' + rho for a piece whose rho is the given position, below `values`. */
static Raw *split_at(Dense *dense, const Raw *raw, const Var *u, int64_t m, const Position *rho,
                     int64_t taps)
{
    Raw *piece = raw_copy(dense, raw);
    for (size_t i = 0; i < rho->n_vars; i++)
        vars_add(dense->arena, &piece->vars, rho->vars[i]);
    const Position *tap = raw_var(dense, piece, taps, u->name);
    raw_subst(dense, piece, u, pos_add(dense->pool, pos_scale(dense->pool, tap, m), rho));
    return piece;
}

static void phases(Dense *dense, Raw *raw, const Elimination *e, const Position *residue);

/* Residues below extent % s have one tap more than the rest: two pieces hold all phases. */
static void keep_residue(Dense *dense, Raw *raw, const Elimination *e, Term u)
{
    int64_t s = e->stride, extent = u.atom->var->extent, more = extent % s, taps = extent / s;
    Elimination rest = *e;
    rest.kept = NULL;
    for (int part = 0; part < 2; part++) {
        int64_t first = part == 0 ? 0 : more, count = part == 0 ? more : s - more;
        if (count == 0 || (part == 1 && taps == 0))
            continue;
        Raw scratch = {0};
        const Position *rho =
            pos_shift(dense->pool, raw_var(dense, &scratch, count, u.atom->var->name), first);
        Raw *piece = split_at(dense, raw, u.atom->var, s, rho, part == 0 ? taps + 1 : taps);
        phases(dense, piece, &rest, pos_scale(dense->pool, rho, u.coef));
    }
}

/* One piece per combination of residues of the terms that are no multiple of the stride. residue:
 * what kept residues contribute. */
static void phases(Dense *dense, Raw *raw, const Elimination *e, const Position *residue)
{
    const Position *p = raw->left[e->dim];
    for (size_t i = 0; i < p->n; i++) {
        Term u = p->terms[i];
        if (u.coef % e->stride == 0 || pos_uses(residue, u.atom->var))
            continue;
        if (u.atom->var == e->kept) {
            keep_residue(dense, raw, e, u);
            return;
        }
        int64_t m = e->stride / gcd(magnitude(u.coef), e->stride);
        for (int64_t rho = m; rho-- > 0;) {
            int64_t taps = div_ceil(u.atom->var->extent - rho, m);
            if (taps > 0)
                phases(dense,
                       split_at(dense, raw, u.atom->var, m, pos_const(dense->pool, rho), taps), e,
                       residue);
        }
        return;
    }
    place(dense, raw_copy(dense, raw), e, residue);
}

/* --- 5.5
 * ------------------------------------------------------------------------------------------ */
/* left = k*v + (a*v + c)//m ± i + constant, increasing in v: as (A*v + C)//m + i. */
typedef struct Increasing {
    const Var *v;
    int64_t a, c, m;        /* A, C, m; a > 0 */
    const Position *window; /* everything else, at most one variable of coefficient ±1 */
} Increasing;

static bool increasing(Dense *dense, const Position *p, const Vars *bound, Increasing *out)
{
    const Atom *div = NULL;
    for (size_t i = 0; i < p->n; i++) {
        const Term *term = &p->terms[i];
        if (term->atom->kind == ATOM_VAR)
            continue;
        if (div || term->atom->kind != ATOM_DIV || term->coef != 1)
            return false;
        div = term->atom;
    }
    if (!div || div->of->n != 1 || div->of->terms[0].atom->kind != ATOM_VAR)
        return false;
    ExprPool *pool = dense->pool;
    const Var *v = div->of->terms[0].atom->var;
    int64_t whole = pos_coef(p, v);
    const Position *f =
        pos_add(pool, pos_div(pool, div->of, div->by), pos_scale(pool, pos_var(pool, v), whole));
    *out = (Increasing){.v = v,
                        .a = div->of->terms[0].coef + whole * div->by,
                        .c = div->of->constant,
                        .m = div->by,
                        .window = pos_sub(pool, p, f)};
    if (out->a <= 0 || vars_has(bound, v) || out->window->n > 1 || !pos_affine(out->window))
        return false;
    if (out->window->n == 0)
        return true;
    Term i = out->window->terms[0];
    return (i.coef == 1 || i.coef == -1) && i.atom->var != v && !vars_has(bound, i.atom->var);
}

/* j over the dimension, v = base(j) + u, window = j - f(v) */
static bool invert(Dense *dense, const Raw *raw, size_t dim, const Increasing *in)
{
    ExprPool *pool = dense->pool;
    Raw *piece = raw_copy(dense, raw);
    const Position *f = pos_sub(pool, raw->left[dim], in->window);
    int64_t range = in->window->max - in->window->min;
    const Position *j = raw_var(dense, piece, dense->dims[dim], in->v->name);
    const Position *u = raw_var(dense, piece, (in->m * range + in->m - 1) / in->a + 1, in->v->name);
    const Position *low = pos_scale(pool, pos_shift(pool, j, -in->window->max), in->m);
    const Position *base = pos_div(pool, pos_shift(pool, low, in->a - 1 - in->c), in->a);
    const Position *v = pos_add(pool, base, u);
    Subst subst = {.n = 1, .from = &in->v, .to = &v};
    const Position *at = pos_sub(pool, j, pos_subst(pool, f, &subst));
    raw_subst(dense, piece, in->v, v);
    guard_add(dense, piece, 0, v, in->v->extent);
    if (in->window->n == 1) {
        Term term = in->window->terms[0];
        const Position *i = pos_scale(pool, pos_shift(pool, at, -in->window->constant), term.coef);
        raw_subst(dense, piece, term.atom->var, i);
        guard_add(dense, piece, 0, i, term.atom->var->extent);
    } else {
        guard_add(dense, piece, in->window->constant, at, in->window->constant + 1);
    }
    piece->left[dim] = j;
    for (size_t i = 0; i < j->n_vars; i++)
        vars_add(dense->arena, &piece->fixed, j->vars[i]);
    for (size_t i = 0; i < u->n_vars; i++)
        vars_add(dense->arena, &piece->fixed, u->vars[i]);
    raw_push(dense, piece);
    return true;
}

/* --- the sides, one after another
 * ------------------------------------------------------------------- */
/* A data position that moves with the dimension cannot be compared afterwards. */
static bool data_moves(const Dense *dense, const Raw *raw, size_t dim, const Vars *bound)
{
    for (size_t k = 0; k < dense->rank; k++) {
        if (!raw->left[k]->has_data)
            continue;
        for (size_t i = 0; i < raw->left[dim]->n_vars; i++)
            if (!vars_has(bound, raw->left[dim]->vars[i]) &&
                pos_uses(raw->left[k], raw->left[dim]->vars[i]))
                return true;
    }
    return false;
}

Sides raw_solve_sides(Dense *dense, const Raw *raw)
{
    Vars bound = {0};
    bool done[MAX_RANK] = {false};
    bool data = false;
    for (size_t round = 0; round < dense->rank; round++) {
        size_t dim = dense->rank, fewest = SIZE_MAX;
        for (size_t k = 0; k < dense->rank; k++) {
            if (done[k] || raw->left[k]->has_data)
                continue;
            size_t n = count_free(raw->left[k], &bound);
            if (n < fewest) {
                fewest = n;
                dim = k;
            }
        }
        if (dim == dense->rank)
            break;
        done[dim] = true;
        const Position *p = raw->left[dim];
        Elimination elimination;
        Increasing in;
        if (!free_affine(p, &bound)) {
            if (!increasing(dense, p, &bound, &in) || data_moves(dense, raw, dim, &bound))
                return SIDES_SCATTER;
            return invert(dense, raw, dim, &in) ? SIDES_REWRITTEN : SIDES_SCATTER;
        }
        if (!mixed_radix(p, &bound)) {
            if (data_moves(dense, raw, dim, &bound) || !choose(raw, dim, &bound, &elimination))
                return SIDES_SCATTER;
            phases(dense, raw_copy(dense, raw), &elimination, pos_const(dense->pool, 0));
            return SIDES_REWRITTEN;
        }
        bind(dense, p, &bound);
    }
    for (size_t k = 0; k < dense->rank; k++)
        data |= raw->left[k]->has_data;
    return data ? raw_solve_gather(dense, raw, &bound) : SIDES_INJECTIVE;
}
