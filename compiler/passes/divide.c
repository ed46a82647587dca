/* divide: quotients and remainders of positions become variables (differentiation.md 5.2, 5.6), so
 * that every position a later rewrite looks at is affine. */
#include "passes/densify.h"

#include <assert.h>

enum { MAX_RESIDUES = 16, MAX_SLICES = 3, MAX_GROWTH = 2 };

/* --- which atom
 * ------------------------------------------------------------------------------------- */
typedef struct Candidates {
    Dense *dense;
    VEC(const Atom *) atoms;
} Candidates;

static void add_atoms(Candidates *c, const Position *p)
{
    for (size_t i = 0; i < p->n; i++) {
        const Atom *atom = p->terms[i].atom;
        if (atom->kind != ATOM_DIV && atom->kind != ATOM_MOD)
            continue;
        if (!pos_affine(atom->of)) {
            add_atoms(c, atom->of);
            continue;
        }
        bool known = false;
        for (size_t k = 0; k < c->atoms.len; k++)
            known |= c->atoms.at[k] == atom;
        if (!known)
            VEC_PUSH(c->dense->arena, c->atoms, atom);
    }
}

static void add_read_atoms(void *context, const Scalar *read)
{
    for (size_t k = 0; k < read->n; k++)
        add_atoms(context, read->at[k]);
}

/* --- what to do with it
 * ------------------------------------------------------------------------------ */
/* coefficients of e are 0..m-1; the value nearest zero gives the true ranges */
static const Position *nearest_zero(ExprPool *pool, const Atom *atom)
{
    const Position *e = pos_const(pool, atom->of->constant);
    for (size_t i = 0; i < atom->of->n; i++) {
        Term term = atom->of->terms[i];
        int64_t coef = term.coef > atom->by / 2 ? term.coef - atom->by : term.coef;
        e = pos_add(pool, e, pos_scale(pool, pos_var(pool, term.atom->var), coef));
    }
    return e;
}

static bool any_fixed(const Raw *raw, const Position *e)
{
    for (size_t i = 0; i < e->n; i++)
        if (vars_has(&raw->fixed, e->terms[i].atom->var))
            return true;
    return false;
}

/* The number of values of all variables of e together, if all are residues; else 0. */
static int64_t residue_values(const Raw *raw, const Position *e)
{
    int64_t values = 1;
    for (size_t i = 0; i < e->n; i++) {
        const Term *term = &e->terms[i];
        if (term->atom->kind != ATOM_VAR || !vars_has(&raw->residues, term->atom->var) ||
            term->atom->var->extent > MAX_RESIDUES)
            return 0;
        values *= term->atom->var->extent;
        if (values > MAX_RESIDUES)
            return 0;
    }
    return values;
}

/* One piece per combination of values of vars[0..n). */
static void enumerate(Dense *dense, const Raw *raw, size_t n, const Var *const *vars)
{
    if (n == 0) {
        raw_push(dense, raw_copy(dense, raw));
        return;
    }
    for (int64_t value = vars[0]->extent; value-- > 0;) {
        Raw *piece = raw_copy(dense, raw);
        raw_subst(dense, piece, vars[0], pos_const(dense->pool, value));
        enumerate(dense, piece, n - 1, vars + 1);
    }
}

static void enumerate_all(Dense *dense, const Raw *raw, const Position *e)
{
    Vars vars = {0};
    for (size_t i = 0; i < e->n; i++)
        vars_add(dense->arena, &vars, e->terms[i].atom->var);
    enumerate(dense, raw, vars.len, vars.at);
}

/* One piece per value of the quotient: its ranges trim to exact slices. */
static void slice(Dense *dense, const Raw *raw, const Position *e, int64_t m)
{
    for (int64_t q = div_floor(e->max, m); q >= div_floor(e->min, m); q--) {
        Raw *piece = raw_copy(dense, raw);
        guard_add(dense, piece, q * m, e, (q + 1) * m);
        raw_push(dense, piece);
    }
}

/* v = ±(m*q + r - rest), where e = ±v + rest */
static void split(Dense *dense, const Raw *raw, const Position *e, int64_t m, const Var *v)
{
    ExprPool *pool = dense->pool;
    Raw *piece = raw_copy(dense, raw);
    int64_t sign = pos_coef(e, v), first = div_floor(e->min, m);
    const Position *rest = pos_sub(pool, e, pos_scale(pool, pos_var(pool, v), sign));
    const Position *q = raw_var(dense, piece, div_floor(e->max, m) - first + 1, v->name);
    const Position *r = raw_var(dense, piece, m, v->name);
    const Var *residue;
    if (pos_is_var(r, &residue))
        vars_add(dense->arena, &piece->residues, residue);
    const Position *whole = pos_add(pool, pos_scale(pool, pos_shift(pool, q, first), m), r);
    const Position *value = pos_scale(pool, pos_sub(pool, whole, rest), sign);
    raw_subst(dense, piece, v, value);
    guard_add(dense, piece, 0, value, v->extent);
    raw_push(dense, piece);
}

static const Var *largest_unit(const Position *e)
{
    const Var *best = NULL;
    for (size_t i = 0; i < e->n; i++)
        if ((e->terms[i].coef == 1 || e->terms[i].coef == -1) &&
            (!best || e->terms[i].atom->var->extent > best->extent))
            best = e->terms[i].atom->var;
    return best;
}

static bool divide_atom(Dense *dense, const Raw *raw, const Atom *atom, bool on_left)
{
    int64_t m = atom->by;
    const Position *e = nearest_zero(dense->pool, atom);
    if (any_fixed(raw, e))
        return false;
    const Var *v = largest_unit(e);
    int64_t sign = v ? pos_coef(e, v) : 0;
    int64_t start = sign > 0 ? e->min : e->max + 1; /* where the single variable's run begins */
    bool alone = e->n == 1 && v;
    bool even = alone && v->extent % m == 0 && start % m == 0;
    if (!even && residue_values(raw, e) > 0) {
        enumerate_all(dense, raw, e);
        return true;
    }
    if (!v)
        return false;
    int64_t quotients = div_floor(e->max, m) - div_floor(e->min, m) + 1;
    if (alone && !even && quotients <= MAX_SLICES && sign > 0) {
        slice(dense, raw, e, m);
        return true;
    }
    if (alone && sign < 0) { /* run the variable the other way */
        Raw *piece = raw_copy(dense, raw);
        const Position *other = raw_var(dense, piece, v->extent, v->name);
        bool residue = vars_has(&raw->residues, v);
        if (residue)
            vars_add(dense->arena, &piece->residues, other->terms[0].atom->var);
        raw_subst(dense, piece, v,
                  pos_shift(dense->pool, pos_scale(dense->pool, other, -1), v->extent - 1));
        raw_push(dense, piece);
        return true;
    }
    if (!on_left && quotients * m > MAX_GROWTH * v->extent)
        return false;
    split(dense, raw, e, m, v);
    return true;
}

bool raw_divide(Dense *dense, const Raw *raw)
{
    Candidates c = {.dense = dense};
    for (size_t k = 0; k < dense->rank; k++)
        add_atoms(&c, raw->left[k]);
    size_t n_left = c.atoms.len;
    for (size_t i = 0; i < raw->guards.len; i++)
        add_atoms(&c, raw->guards.at[i].position);
    sc_each_read(dense->arena, raw->body, add_read_atoms, &c);
    for (size_t i = 0; i < c.atoms.len; i++)
        if (divide_atom(dense, raw, c.atoms.at[i], i < n_left))
            return true;
    return false;
}

bool raw_enumerate_guards(Dense *dense, const Raw *raw)
{
    Vars vars = {0};
    int64_t values = 1;
    for (size_t i = 0; i < raw->guards.len; i++) {
        const Position *p = raw->guards.at[i].position;
        if (!pos_affine(p))
            continue;
        for (size_t k = 0; k < p->n; k++) {
            const Var *v = p->terms[k].atom->var;
            if (!vars_has(&raw->residues, v) || vars_has(&vars, v) || v->extent > MAX_RESIDUES ||
                values * v->extent > MAX_RESIDUES)
                continue;
            values *= v->extent;
            vars_add(dense->arena, &vars, v);
        }
    }
    if (vars.len == 0)
        return false;
    enumerate(dense, raw, vars.len, vars.at);
    return true;
}
