/* hoist: factors that no reduced variable stands in leave the sum (differentiation.md 6). The sum
 * becomes an equation over the left variables that it uses, the piece a map that reads it. A sum
 * that uses fewer left variables than the piece has is split the same way, or it would be computed
 * once per element. A constant alone stays: it is the contraction's scale. */
#include "passes/densify.h"

static bool uses_any(const Scalar *s, size_t n, const Var *const *vars)
{
    for (size_t i = 0; i < n; i++)
        if (sc_uses(s, vars[i]))
            return true;
    return false;
}

/* A mask on positions of left variables costs nothing inside. */
static bool cheap_mask(const Scalar *mask)
{
    return sc_positional(mask);
}

typedef struct Halves {
    const Scalar *outer_mask, *outer, *inner_mask, *inner;
    bool moves; /* something worth moving stands outside */
} Halves;

static Halves halve(Dense *dense, const Piece *piece)
{
    ExprPool *pool = dense->pool;
    DType dtype = piece->body->dtype;
    Factors parts = factors_of(pool, dense->arena, piece->body), outer = {0}, inner = {0};
    Halves h = {.outer_mask = sc_const(pool, DT_BOOL, 1), .inner_mask = sc_const(pool, DT_BOOL, 1)};
    for (size_t i = 0; i < parts.masks.len; i++) {
        const Scalar *mask = parts.masks.at[i];
        bool inside = uses_any(mask, piece->n_reduced, piece->reduced);
        const Scalar **half = inside ? &h.inner_mask : &h.outer_mask;
        *half = sc_fn2(pool, OP_AND, *half, mask);
        h.moves |= !inside && !cheap_mask(mask);
    }
    for (size_t i = 0; i < parts.factors.len; i++) {
        const Scalar *factor = parts.factors.at[i];
        bool inside =
            factor->kind == SCALAR_CONST || uses_any(factor, piece->n_reduced, piece->reduced);
        VEC_PUSH(dense->arena, *(inside ? &inner.factors : &outer.factors), factor);
        h.moves |= !inside;
    }
    h.outer = factors_product(pool, dtype, &outer.factors);
    h.inner = sc_masked(pool, h.inner_mask, factors_product(pool, dtype, &inner.factors));
    return h;
}

void raw_hoist(Dense *dense, Raw *raw)
{
    Piece piece = raw_piece(dense, raw);
    if (piece.n_reduced == 0)
        return;
    Halves h = halve(dense, &piece);
    Vars left = {0};
    for (size_t i = 0; i < piece.n_vars; i++)
        if (sc_uses(h.inner, piece.vars[i]))
            VEC_PUSH(dense->arena, left, piece.vars[i]);
    size_t own = 0;
    for (size_t i = 0; i < piece.n_vars; i++)
        own += piece.vars[i]->extent > 1;
    if ((!h.moves && left.len == own) || left.len > MAX_RANK)
        return;
    NodeId sum = graph_define(dense->graph, raw->body->dtype, REDUCE_SUM, left.len, left.at,
                              piece.n_reduced, piece.reduced, h.inner, dense->name, dense->span);
    const Position **at = NEW_ARRAY(dense->arena, const Position *, left.len);
    for (size_t i = 0; i < left.len; i++)
        at[i] = pos_var(dense->pool, left.at[i]);
    const Scalar *read = graph_read(dense->graph, sum, at, NULL);
    raw->body = sc_masked(dense->pool, h.outer_mask, sc_fn2(dense->pool, OP_MUL, h.outer, read));
    for (size_t i = 0; i < piece.n_reduced; i++)
        vars_drop(&raw->vars, piece.reduced[i]);
}
