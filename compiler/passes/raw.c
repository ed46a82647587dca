/* raw: a piece being rewritten, and the small questions every rewrite asks of it. */
#include "passes/densify.h"

#include <assert.h>

int64_t div_floor(int64_t a, int64_t b)
{
    int64_t q = a / b;
    return q - (a % b != 0 && (a < 0) != (b < 0));
}

int64_t div_ceil(int64_t a, int64_t b)
{
    int64_t q = a / b;
    return q + (a % b != 0 && (a < 0) == (b < 0));
}

bool vars_has(const Vars *vars, const Var *v)
{
    for (size_t i = 0; i < vars->len; i++)
        if (vars->at[i] == v)
            return true;
    return false;
}

void vars_add(Arena *arena, Vars *vars, const Var *v)
{
    if (!vars_has(vars, v))
        VEC_PUSH(arena, *vars, v);
}

void vars_drop(Vars *vars, const Var *v)
{
    size_t n = 0;
    for (size_t i = 0; i < vars->len; i++)
        if (vars->at[i] != v)
            vars->at[n++] = vars->at[i];
    vars->len = n;
}

static Vars vars_copy(Arena *arena, const Vars *vars)
{
    Vars copy = {0};
    for (size_t i = 0; i < vars->len; i++)
        VEC_PUSH(arena, copy, vars->at[i]);
    return copy;
}

Raw *raw_new(Dense *dense, const Piece *piece)
{
    Raw *raw = NEW(dense->arena, Raw);
    for (size_t i = 0; i < piece->n_vars; i++)
        VEC_PUSH(dense->arena, raw->vars, piece->vars[i]);
    for (size_t i = 0; i < piece->n_reduced; i++)
        VEC_PUSH(dense->arena, raw->vars, piece->reduced[i]);
    raw->left = arena_copy(dense->arena, piece->left, dense->rank * sizeof *piece->left);
    raw->body = piece->body;
    for (size_t i = 0; i < piece->n_guards; i++)
        guard_add(dense, raw, piece->guards[i].lo, piece->guards[i].position, piece->guards[i].hi);
    return raw;
}

Raw *raw_copy(Dense *dense, const Raw *raw)
{
    Raw *copy = NEW(dense->arena, Raw);
    *copy = *raw;
    copy->vars = vars_copy(dense->arena, &raw->vars);
    copy->residues = vars_copy(dense->arena, &raw->residues);
    copy->fixed = vars_copy(dense->arena, &raw->fixed);
    copy->left = arena_copy(dense->arena, raw->left, dense->rank * sizeof *raw->left);
    copy->guards = (Guards){0};
    for (size_t i = 0; i < raw->guards.len; i++)
        VEC_PUSH(dense->arena, copy->guards, raw->guards.at[i]);
    return copy;
}

void raw_push(Dense *dense, Raw *raw)
{
    VEC_PUSH(dense->arena, dense->work, raw);
}

const Position *raw_var(Dense *dense, Raw *raw, int64_t extent, Str name)
{
    assert(extent > 0);
    if (extent == 1)
        return pos_const(dense->pool, 0);
    const Var *v = var_new(dense->pool, extent, name);
    VEC_PUSH(dense->arena, raw->vars, v);
    return pos_var(dense->pool, v);
}

void raw_subst(Dense *dense, Raw *raw, const Var *v, const Position *to)
{
    Subst subst = {.n = 1, .from = &v, .to = &to};
    ExprPool *pool = dense->pool;
    for (size_t k = 0; k < dense->rank; k++)
        raw->left[k] = pos_subst(pool, raw->left[k], &subst);
    raw->body = sc_subst(pool, raw->body, &subst);
    Guards old = raw->guards;
    raw->guards = (Guards){0};
    for (size_t i = 0; i < old.len; i++)
        guard_add(dense, raw, old.at[i].lo, pos_subst(pool, old.at[i].position, &subst),
                  old.at[i].hi);
    vars_drop(&raw->vars, v);
    vars_drop(&raw->residues, v);
    vars_drop(&raw->fixed, v);
}

bool raw_on_left(const Dense *dense, const Raw *raw, const Var *v)
{
    for (size_t k = 0; k < dense->rank; k++)
        if (pos_uses(raw->left[k], v))
            return true;
    return false;
}

static int64_t magnitude(int64_t a)
{
    return a < 0 ? -a : a;
}

/* Left variables: in the order of the left positions, larger coefficients first. */
static Vars left_order(Dense *dense, const Raw *raw)
{
    Vars order = {0};
    for (size_t k = 0; k < dense->rank; k++) {
        size_t start = order.len;
        for (size_t i = 0; i < raw->vars.len; i++)
            if (pos_uses(raw->left[k], raw->vars.at[i]))
                vars_add(dense->arena, &order, raw->vars.at[i]);
        for (size_t i = start; i < order.len; i++)
            for (size_t j = i; j > start && magnitude(pos_coef(raw->left[k], order.at[j])) >
                                                magnitude(pos_coef(raw->left[k], order.at[j - 1]));
                 j--) {
                const Var *swap = order.at[j];
                order.at[j] = order.at[j - 1];
                order.at[j - 1] = swap;
            }
    }
    return order;
}

/* One variable per dimension, if the left side is that; then dimensions of extent 1 get one too. */
static void complete_plain(Dense *dense, const Raw *raw, Vars *left)
{
    Vars plain = {0};
    size_t units = 0;
    for (size_t k = 0; k < dense->rank; k++) {
        const Var *v;
        int64_t zero;
        bool unit = dense->dims[k] == 1 && pos_is_const(raw->left[k], &zero);
        if (unit)
            v = var_new(dense->pool, 1, STR("one"));
        else if (!pos_is_var(raw->left[k], &v) || v->extent != dense->dims[k] ||
                 vars_has(&plain, v))
            return;
        units += unit;
        VEC_PUSH(dense->arena, plain, v);
    }
    if (plain.len == left->len + units)
        *left = plain;
}

Piece raw_piece(Dense *dense, const Raw *raw)
{
    Vars left = left_order(dense, raw), reduced = {0};
    complete_plain(dense, raw, &left);
    for (size_t i = 0; i < raw->vars.len; i++)
        if (!vars_has(&left, raw->vars.at[i]))
            VEC_PUSH(dense->arena, reduced, raw->vars.at[i]);
    return (Piece){.n_vars = left.len,
                   .vars = left.at,
                   .n_reduced = reduced.len,
                   .reduced = reduced.at,
                   .left = raw->left,
                   .n_guards = raw->guards.len,
                   .guards = raw->guards.at,
                   .body = raw->body};
}

/* --- bodies
 * --------------------------------------------------------------------------------------- */
bool sc_is_zero(const Scalar *s)
{
    double value;
    return sc_is_const(s, &value) && value == 0;
}

const Scalar *sc_masked(ExprPool *pool, const Scalar *mask, const Scalar *body)
{
    return sc_fn3(pool, OP_SELECT, mask, body, sc_const(pool, body->dtype, 0));
}

static void conjuncts(Arena *arena, const Scalar *mask, Scalars *out)
{
    if (mask->kind == SCALAR_FN && mask->op == OP_AND)
        for (size_t i = 0; i < mask->n; i++)
            conjuncts(arena, mask->args[i], out);
    else
        VEC_PUSH(arena, *out, mask);
}

static void gather_factors(ExprPool *pool, Arena *arena, const Scalar *s, Factors *out)
{
    if (s->kind == SCALAR_FN && s->op == OP_MUL) {
        for (size_t i = 0; i < s->n; i++)
            gather_factors(pool, arena, s->args[i], out);
    } else if (s->kind == SCALAR_FN && s->op == OP_SELECT && sc_is_zero(s->args[2])) {
        conjuncts(arena, s->args[0], &out->masks);
        gather_factors(pool, arena, s->args[1], out);
    } else if (s->kind == SCALAR_FN && s->op == OP_NEG) {
        VEC_PUSH(arena, out->factors, sc_const(pool, s->dtype, -1));
        gather_factors(pool, arena, s->args[0], out);
    } else if (s->kind == SCALAR_FN && s->op == OP_DIV && s->args[0]->kind != SCALAR_CONST) {
        const Scalar *one = sc_const(pool, s->dtype, 1);
        gather_factors(pool, arena, s->args[0], out);
        VEC_PUSH(arena, out->factors, sc_fn2(pool, OP_DIV, one, s->args[1]));
    } else {
        VEC_PUSH(arena, out->factors, s);
    }
}

Factors factors_of(ExprPool *pool, Arena *arena, const Scalar *body)
{
    Factors out = {0};
    gather_factors(pool, arena, body, &out);
    return out;
}

const Scalar *factors_product(ExprPool *pool, DType dtype, const Scalars *factors)
{
    const Scalar *product = sc_const(pool, dtype, 1);
    for (size_t i = 0; i < factors->len; i++)
        product = sc_fn2(pool, OP_MUL, product, factors->at[i]);
    return product;
}

typedef struct Walk {
    ReadVisit *visit;
    void *context;
    IdMap seen;
} Walk;

static void walk(Walk *w, const Scalar *s)
{
    const void *before;
    if (idmap_get(&w->seen, s->id, &before))
        return;
    idmap_set(&w->seen, s->id, s);
    if (s->kind == SCALAR_FN)
        for (size_t i = 0; i < s->n; i++)
            walk(w, s->args[i]);
    if (s->kind == SCALAR_READ) {
        if (s->fill)
            walk(w, s->fill);
        w->visit(w->context, s);
    }
}

void sc_each_read(Arena *arena, const Scalar *s, ReadVisit *visit, void *context)
{
    Walk w = {.visit = visit, .context = context, .seen = idmap_new(arena)};
    walk(&w, s);
}
