/* guard: what restricts the variables of a piece, and how restrictions become shorter loops
 * (differentiation.md 5.0, 5.1). Guards are kept in the canonical form of `within`: no constant,
 * first coefficient positive, no common factor, bounds clipped to the position's range. */
#include "passes/densify.h"

#include <assert.h>

void guard_add(Dense *dense, Raw *raw, int64_t lo, const Position *p, int64_t hi)
{
    const Scalar *within = sc_within(dense->pool, lo, p, hi);
    double holds;
    if (sc_is_const(within, &holds)) {
        raw->empty |= holds == 0;
        return;
    }
    Guard guard = {.lo = within->lo, .hi = within->hi, .position = within->at[0]};
    for (size_t i = 0; i < raw->guards.len; i++) {
        Guard *old = &raw->guards.at[i];
        if (old->position != guard.position)
            continue;
        old->lo = old->lo > guard.lo ? old->lo : guard.lo;
        old->hi = old->hi < guard.hi ? old->hi : guard.hi;
        raw->empty |= old->lo >= old->hi;
        return;
    }
    VEC_PUSH(dense->arena, raw->guards, guard);
}

/* --- masks and fills
 * ------------------------------------------------------------------------------ */
/* The mask as a guard, if it is one interval of one position. */
static bool guard_of_mask(const Scalar *mask, Guard *guard)
{
    bool inverted = mask->kind == SCALAR_FN && mask->op == OP_NOT;
    const Scalar *within = inverted ? mask->args[0] : mask;
    if (within->kind != SCALAR_WITHIN)
        return false;
    const Position *p = within->at[0];
    if (!inverted)
        *guard = (Guard){within->lo, within->hi, p};
    else if (within->lo <= p->min)
        *guard = (Guard){within->hi, p->max + 1, p};
    else if (within->hi > p->max)
        *guard = (Guard){p->min, within->lo, p};
    else
        return false;
    return true;
}

/* A factor B[q] ?? 0 contributes nothing outside B. Positions with data promise nothing shorter. */
static void absorb_fill(Dense *dense, Raw *raw, const Scalar *factor)
{
    while (factor->kind == SCALAR_FN && factor->op == OP_CAST)
        factor = factor->args[0];
    if (factor->kind != SCALAR_READ || !factor->fill || !sc_is_zero(factor->fill))
        return;
    const Node *tensor = graph_node(dense->graph, factor->tensor);
    for (size_t k = 0; k < factor->n; k++)
        if (!factor->at[k]->has_data)
            guard_add(dense, raw, 0, factor->at[k], tensor->dims[k]);
}

void guard_absorb(Dense *dense, Raw *raw)
{
    Factors parts = factors_of(dense->pool, dense->arena, raw->body);
    bool masks = false;
    const Scalar *rest = sc_const(dense->pool, DT_BOOL, 1);
    for (size_t i = 0; i < parts.masks.len; i++) {
        Guard guard;
        if (guard_of_mask(parts.masks.at[i], &guard)) {
            guard_add(dense, raw, guard.lo, guard.position, guard.hi);
            masks = true;
        } else {
            rest = sc_fn2(dense->pool, OP_AND, rest, parts.masks.at[i]);
        }
    }
    for (size_t i = 0; i < parts.factors.len; i++)
        absorb_fill(dense, raw, parts.factors.at[i]);
    if (masks)
        raw->body = sc_masked(dense->pool, rest,
                              factors_product(dense->pool, raw->body->dtype, &parts.factors));
}

/* --- trimming
 * --------------------------------------------------------------------------------------- */
static const Position *without(ExprPool *pool, const Position *p, Term term)
{
    return pos_sub(pool, p, pos_scale(pool, pos_var(pool, term.atom->var), term.coef));
}

/* Values of the term's variable that the guard leaves, given the range of everything else. */
static bool trim_term(Dense *dense, Raw *raw, Guard guard, Term term)
{
    const Var *v = term.atom->var;
    const Position *rest = without(dense->pool, guard.position, term);
    if (rest->has_data)
        return false;
    int64_t a = guard.lo - rest->max, b = guard.hi - 1 - rest->min;
    int64_t first = term.coef > 0 ? div_ceil(a, term.coef) : div_ceil(b, term.coef);
    int64_t last = term.coef > 0 ? div_floor(b, term.coef) : div_floor(a, term.coef);
    first = first < 0 ? 0 : first;
    last = last >= v->extent ? v->extent - 1 : last;
    if (first == 0 && last == v->extent - 1)
        return false;
    if (first > last) {
        raw->empty = true;
        return true;
    }
    bool residue = vars_has(&raw->residues, v), fixed = vars_has(&raw->fixed, v);
    const Position *shorter = raw_var(dense, raw, last - first + 1, v->name);
    const Var *kept;
    if (residue && pos_is_var(shorter, &kept))
        vars_add(dense->arena, &raw->residues, kept);
    if (fixed && pos_is_var(shorter, &kept))
        vars_add(dense->arena, &raw->fixed, kept);
    raw_subst(dense, raw, v, pos_shift(dense->pool, shorter, first));
    return true;
}

static bool trim(Dense *dense, Raw *raw, Guard guard)
{
    for (size_t i = 0; i < guard.position->n; i++)
        if (guard.position->terms[i].atom->kind == ATOM_VAR &&
            trim_term(dense, raw, guard, guard.position->terms[i]))
            return true;
    return false;
}

/* --- solving
 * ---------------------------------------------------------------------------------------- */
/* position == lo gives a variable of coefficient 1 or -1 as an expression of the others. */
static bool solve(Dense *dense, Raw *raw, Guard guard)
{
    if (guard.hi != guard.lo + 1)
        return false;
    const Position *p = guard.position;
    size_t best = p->n;
    bool best_left = true;
    for (size_t i = 0; i < p->n; i++) {
        Term term = p->terms[i];
        if (term.atom->kind != ATOM_VAR || (term.coef != 1 && term.coef != -1))
            continue;
        bool left = raw_on_left(dense, raw, term.atom->var);
        if ((left && p->has_data) || pos_uses(without(dense->pool, p, term), term.atom->var))
            continue;
        bool better =
            best == p->n || (best_left && !left) ||
            (best_left == left && term.atom->var->extent > p->terms[best].atom->var->extent);
        if (better) {
            best = i;
            best_left = left;
        }
    }
    if (best == p->n)
        return false;
    Term term = p->terms[best];
    const Var *v = term.atom->var;
    const Position *rest = pos_shift(dense->pool, without(dense->pool, p, term), -guard.lo);
    const Position *value = pos_scale(dense->pool, rest, -term.coef);
    raw->gathered |= p->has_data;
    raw_subst(dense, raw, v, value);
    guard_add(dense, raw, 0, value, v->extent);
    return true;
}

bool guard_solve_one_hot(Dense *dense, Raw *raw)
{
    bool solved = false, changed = true;
    guard_absorb(dense, raw);
    while (changed && !raw->empty) {
        changed = false;
        for (size_t i = 0; i < raw->guards.len && !changed; i++)
            changed = raw->guards.at[i].position->has_data && solve(dense, raw, raw->guards.at[i]);
        solved |= changed;
    }
    return solved;
}

bool guard_simplify(Dense *dense, Raw *raw)
{
    bool changed = true;
    while (changed && !raw->empty) {
        changed = false;
        guard_absorb(dense, raw);
        for (size_t i = raw->vars.len; i-- > 0;) {
            raw->empty |= raw->vars.at[i]->extent == 0;
            if (raw->vars.at[i]->extent == 1)
                vars_drop(&raw->vars, raw->vars.at[i]);
        }
        for (size_t i = 0; i < raw->guards.len && !changed && !raw->empty; i++)
            changed = trim(dense, raw, raw->guards.at[i]) || solve(dense, raw, raw->guards.at[i]);
    }
    return !raw->empty && !sc_is_zero(raw->body);
}
