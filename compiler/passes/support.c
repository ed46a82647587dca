/* support: the box outside of which a tensor is zero, and what follows for loops: a point where a
 * factor of the body is zero need not be visited. Finite values are assumed, as everywhere. */
#include "passes/clean.h"
#include "passes/densify.h"

/* --- ranges --------------------------------------------------------------------------------------- */
bool range_empty(Range r)
{
    return r.lo >= r.hi;
}

Range range_both(Range a, Range b)
{
    Range r = {a.lo > b.lo ? a.lo : b.lo, a.hi < b.hi ? a.hi : b.hi};
    return range_empty(r) ? (Range){0, 0} : r;
}

Range range_hull(Range a, Range b)
{
    if (range_empty(a))
        return b;
    if (range_empty(b))
        return a;
    return (Range){a.lo < b.lo ? a.lo : b.lo, a.hi > b.hi ? a.hi : b.hi};
}

/* --- where a body may differ from zero ---------------------------------------------------------------- */
typedef struct Visit {
    const Supports *supports;
    const Piece *piece;
    size_t n;                     /* ranges: one per variable, and one more that is whole or empty */
    IdMap seen;                   /* by scalar: its ranges */
} Visit;

static const Var *visit_var(const Visit *v, size_t i)
{
    return i < v->piece->n_vars ? v->piece->vars[i] : v->piece->reduced[i - v->piece->n_vars];
}

static Range *everywhere(const Visit *v)
{
    Range *ranges = NEW_ARRAY(v->supports->arena, Range, v->n);
    for (size_t i = 0; i + 1 < v->n; i++)
        ranges[i] = range_whole(visit_var(v, i)->extent);
    ranges[v->n - 1] = range_whole(1);
    return ranges;
}

static bool nowhere(const Visit *v, const Range *ranges)
{
    for (size_t i = 0; i < v->n; i++)
        if (range_empty(ranges[i]))
            return true;
    return false;
}

static void join(const Visit *v, Range *into, const Range *other)
{
    if (nowhere(v, other))
        return;
    bool none = nowhere(v, into);
    for (size_t i = 0; i < v->n; i++)
        into[i] = none ? other[i] : range_hull(into[i], other[i]);
}

/* The values of v at which coef * v + constant lies in the range; coef > 0. */
static Range solved(Range range, int64_t coef, int64_t constant)
{
    return (Range){div_ceil(range.lo - constant, coef),
                   div_floor(range.hi - 1 - constant, coef) + 1};
}

static Range *visit_read(Visit *v, const Scalar *read)
{
    Range *ranges = everywhere(v);
    const Range *support = v->supports->support[read->tensor];
    if (!support || (read->fill && !sc_is_zero(read->fill)))
        return ranges;
    for (size_t k = 0; k < read->n; k++) {
        const Position *p = read->at[k];
        if (p->n == 0) {
            if (p->constant < support[k].lo || p->constant >= support[k].hi)
                ranges[v->n - 1] = (Range){0, 0};
            continue;
        }
        if (p->n != 1 || p->terms[0].atom->kind != ATOM_VAR || p->terms[0].coef < 0 ||
            range_empty(support[k]))
            continue;
        for (size_t i = 0; i + 1 < v->n; i++)
            if (visit_var(v, i) == p->terms[0].atom->var)
                ranges[i] = range_both(ranges[i],
                                       solved(support[k], p->terms[0].coef, p->constant));
    }
    return ranges;
}

static Range *visit(Visit *v, const Scalar *s);

static Range *visit_fn(Visit *v, const Scalar *s)
{
    Range *ranges = everywhere(v);
    if (s->op == OP_CAST)
        return visit(v, s->args[0]);
    if (s->op == OP_MUL) {
        for (size_t i = 0; i < s->n; i++) {
            const Range *factor = visit(v, s->args[i]);
            for (size_t k = 0; k < v->n; k++)
                ranges[k] = range_both(ranges[k], factor[k]);
        }
        return ranges;
    }
    if (s->op != OP_ADD && s->op != OP_SELECT)
        return ranges;
    for (size_t k = 0; k < v->n; k++)
        ranges[k] = (Range){0, 0};
    for (size_t i = s->op == OP_SELECT ? 1 : 0; i < s->n; i++)
        if (!sc_is_zero(s->args[i]))
            join(v, ranges, visit(v, s->args[i]));
    return ranges;
}

static Range *visit(Visit *v, const Scalar *s)
{
    const void *known;
    if (idmap_get(&v->seen, s->id, &known))
        return (Range *)known;
    Range *ranges = s->kind == SCALAR_READ  ? visit_read(v, s)
                    : s->kind == SCALAR_FN ? visit_fn(v, s)
                                           : everywhere(v);
    idmap_set(&v->seen, s->id, ranges);
    return ranges;
}

bool piece_visited(const Supports *supports, const Piece *piece, Range **ranges)
{
    Visit v = {.supports = supports, .piece = piece, .n = piece->n_vars + piece->n_reduced + 1,
               .seen = idmap_new(supports->arena)};
    *ranges = visit(&v, piece->body);
    return !nowhere(&v, *ranges);
}

/* --- shorter variables ---------------------------------------------------------------------------------- */
bool var_checked(Arena *arena, const Piece *piece, size_t rank, const Var *v)
{
    for (size_t k = 0; k < rank; k++)
        if (piece->left[k]->has_data && pos_uses(piece->left[k], v))
            return true;
    ScalarList list = piece_list(arena, piece, rank);
    for (size_t i = 0; i < list.n; i++) {
        const Scalar *s = list.at[i];
        if (s->kind != SCALAR_READ || s->fill)
            continue;
        for (size_t k = 0; k < s->n; k++)
            if (s->at[k]->has_data && pos_uses(s->at[k], v))
                return true;
    }
    return false;
}

void shorter_add(Arena *arena, ExprPool *pool, Shorter *shorter, const Var *v, Range range)
{
    const Var *kept = var_new(pool, range.hi - range.lo, v->name);
    VEC_PUSH(arena, shorter->from, v);
    VEC_PUSH(arena, shorter->kept, kept);
    VEC_PUSH(arena, shorter->to, pos_shift(pool, pos_var(pool, kept), range.lo));
}

static const Var *const *vars_shortened(Arena *arena, size_t n, const Var *const *vars,
                                        const Shorter *shorter)
{
    const Var **copy = NEW_ARRAY(arena, const Var *, n);
    for (size_t i = 0; i < n; i++) {
        copy[i] = vars[i];
        for (size_t k = 0; k < shorter->from.len; k++)
            if (shorter->from.at[k] == vars[i])
                copy[i] = shorter->kept.at[k];
    }
    return copy;
}

Piece piece_shortened(Arena *arena, ExprPool *pool, const Piece *piece, size_t rank,
                      const Shorter *shorter)
{
    Subst subst = {.n = shorter->from.len, .from = shorter->from.at, .to = shorter->to.at};
    Piece copy = *piece;
    copy.vars = vars_shortened(arena, piece->n_vars, piece->vars, shorter);
    copy.reduced = vars_shortened(arena, piece->n_reduced, piece->reduced, shorter);
    const Position **left = NEW_ARRAY(arena, const Position *, rank);
    for (size_t k = 0; k < rank; k++)
        left[k] = pos_subst(pool, piece->left[k], &subst);
    Guard *guards = NEW_ARRAY(arena, Guard, piece->n_guards);
    for (size_t i = 0; i < piece->n_guards; i++)
        guards[i] = (Guard){.lo = piece->guards[i].lo, .hi = piece->guards[i].hi,
                            .position = pos_subst(pool, piece->guards[i].position, &subst)};
    copy.left = left;
    copy.guards = guards;
    copy.body = sc_subst(pool, piece->body, &subst);
    return copy;
}
