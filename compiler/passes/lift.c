/* lift: what an equation would compute again for many of its points becomes an equation of its own:
 * the factor rsqrt(v[c] + eps) * weight[c] of a map over [n, c, h, w] is a tensor over [c]. Readers of
 * that tensor need neither v nor weight, so that weight may be updated in place while they wait. Needs
 * normal form; the same operations on the same values, except that a product of such factors is
 * multiplied before the others. Equal lifted tensors are one. */
#include "passes/clean.h"
#include "passes/densify.h"

static const double least_repeats = 16;      /* points of the equation per point of what is lifted */
static const double least_cost = 2;          /* of what is lifted, in instructions */

typedef struct Factor {
    NodeId node;
    const Var *dims[MAX_RANK];    /* the standard variable of each */
} Factor;

typedef struct Lift {
    Graph *to;
    IdMap known;                  /* by lifted body over standard variables: its Factor */
    VEC(const Var *) standards;
    const Node *node;             /* being rebuilt */
    double points;
} Lift;

static double points_of(size_t n, const Var *const *vars)
{
    double points = 1;
    for (size_t i = 0; i < n; i++)
        points *= (double)vars[i]->extent;
    return points;
}

static bool repeats(const Lift *lift, const Scalar *s)
{
    return s->n_vars > 0 && s->n_vars <= MAX_RANK &&
           points_of(s->n_vars, s->vars) * least_repeats <= lift->points;
}

/* Reads at plain places only, and at least one: nothing that may fault or depends on a border. */
static double cost_of(const Lift *lift, const Scalar *s)
{
    ScalarList list = sc_list(lift->to->arena, 1, &s);
    double cost = 0;
    bool reads = false;
    for (size_t i = 0; i < list.n; i++) {
        const Scalar *part = list.at[i];
        if (part->kind == SCALAR_RANDOM || part->kind == SCALAR_INDEX || part->kind == SCALAR_WITHIN)
            return 0;
        reads |= part->kind == SCALAR_READ;
        for (size_t d = 0; part->kind == SCALAR_READ && d < part->n; d++) {
            if (part->fill || !pos_affine(part->at[d]))
                return 0;
        }
        cost += sc_cost(part);
    }
    return reads ? cost : 0;
}

static const Var *standard_var(Lift *lift, size_t place, int64_t extent)
{
    for (size_t i = 0; i < lift->standards.len; i++) {
        const Var *var = lift->standards.at[i];
        place -= var->extent == extent && place > 0;
        if (var->extent == extent && place == 0)
            return var;
    }
    const Var *var = var_new(lift->to->pool, extent, STR("v"));
    VEC_PUSH(lift->to->arena, lift->standards, var);
    return var;
}

static Factor *factor_new(Lift *lift, const Scalar *s, const Var *const *standard)
{
    ExprPool *pool = lift->to->pool;
    Factor *factor = NEW(lift->to->arena, Factor);
    const Var *vars[MAX_RANK];
    const Position *fresh[MAX_RANK];
    for (size_t i = 0; i < s->n_vars; i++) {
        factor->dims[i] = standard[i];
        vars[i] = var_new(pool, s->vars[i]->extent, s->vars[i]->name);
        fresh[i] = pos_var(pool, vars[i]);
    }
    Subst to = {.n = s->n_vars, .from = s->vars, .to = fresh};
    factor->node = graph_define(lift->to, s->dtype, REDUCE_NONE, s->n_vars, vars, 0, NULL,
                                sc_subst(pool, s, &to),
                                str_join(lift->to->arena, lift->node->name, ".", STR("factor")),
                                lift->node->span);
    return factor;
}

/* A read of the tensor whose elements are s. Its dimensions are in the order of whoever came first. */
static const Scalar *lifted(Lift *lift, const Scalar *s)
{
    ExprPool *pool = lift->to->pool;
    const Var *standard[MAX_RANK];
    const Position *places[MAX_RANK], *at[MAX_RANK];
    for (size_t i = 0; i < s->n_vars; i++) {
        size_t place = 1;
        for (size_t k = 0; k < i; k++)
            place += s->vars[k]->extent == s->vars[i]->extent;
        standard[i] = standard_var(lift, place, s->vars[i]->extent);
        places[i] = pos_var(pool, standard[i]);
    }
    Subst subst = {.n = s->n_vars, .from = s->vars, .to = places};
    const Scalar *key = sc_subst(pool, s, &subst);
    const void *known;
    if (!idmap_get(&lift->known, key->id, &known)) {
        known = factor_new(lift, s, standard);
        idmap_set(&lift->known, key->id, known);
    }
    const Factor *factor = known;
    for (size_t i = 0; i < s->n_vars; i++) {
        for (size_t d = 0; d < s->n_vars; d++) {
            if (factor->dims[d] == standard[i])
                at[d] = pos_var(pool, s->vars[i]);
        }
    }
    return graph_read(lift->to, factor->node, at, NULL);
}

static bool worth_lifting(const Lift *lift, const Scalar *s)
{
    return dtype_is_float(s->dtype) && repeats(lift, s) && cost_of(lift, s) >= least_cost;
}

/* --- expressions ---------------------------------------------------------------------------------------- */
static const Scalar *rebuilt(Lift *lift, IdMap *seen, const Scalar *s);

/* The arguments of a sum or product that repeat together, as one; n: how many arguments are left. */
static const Scalar *joined(Lift *lift, const Scalar *s, const Scalar **rest, size_t *n)
{
    const Scalar **part = NEW_ARRAY(lift->to->arena, const Scalar *, s->n);
    size_t n_part = 0;
    *n = 0;
    for (size_t i = 0; i < s->n; i++) {
        bool may = s->args[i]->n_vars == 0 || repeats(lift, s->args[i]);
        if (may)
            part[n_part++] = s->args[i];
        else
            rest[(*n)++] = s->args[i];
    }
    const Scalar *all =
        n_part > 1 && *n > 0 ? sc_fn(lift->to->pool, s->op, n_part, part) : NULL;
    return all && worth_lifting(lift, all) ? all : NULL;
}

static const Scalar *rebuilt_fn(Lift *lift, IdMap *seen, const Scalar *s)
{
    ExprPool *pool = lift->to->pool;
    const Scalar **args = NEW_ARRAY(lift->to->arena, const Scalar *, s->n + 1);
    size_t n = s->n;
    if (s->op == OP_CAST)
        return sc_cast(pool, s->dtype, rebuilt(lift, seen, s->args[0]));
    if (s->op == OP_ADD || s->op == OP_MUL) {
        const Scalar *part = joined(lift, s, args, &n);
        if (part) {
            for (size_t i = 0; i < n; i++)
                args[i] = rebuilt(lift, seen, args[i]);
            args[n++] = lifted(lift, part);
            return sc_fn(pool, s->op, n, args);
        }
    }
    for (size_t i = 0; i < s->n; i++)
        args[i] = rebuilt(lift, seen, s->args[i]);
    return sc_fn(pool, s->op, s->n, args);
}

static const Scalar *rebuilt(Lift *lift, IdMap *seen, const Scalar *s)
{
    const void *known;
    if (s->kind != SCALAR_FN)
        return s;
    if (idmap_get(seen, s->id, &known))
        return known;
    const Scalar *now = worth_lifting(lift, s) ? lifted(lift, s) : rebuilt_fn(lift, seen, s);
    idmap_set(seen, s->id, now);
    return now;
}

static NodeId copied(Lift *lift, const Node *node, NodeId *map)
{
    Graph *to = lift->to;
    if (node->kind != NODE_EQUATION || node->rank == 0)
        return node_rewrite(to, node, read_renamed, map, map);
    Piece *pieces = NEW_ARRAY(to->arena, Piece, node->n_pieces);
    lift->node = node;
    for (size_t p = 0; p < node->n_pieces; p++) {
        IdMap seen = idmap_new(to->arena);
        Piece *piece = &pieces[p];
        *piece = piece_rewrite(to, &node->pieces[p], node->rank, read_renamed, map);
        lift->points = points_of(piece->n_vars, piece->vars) *
                       points_of(piece->n_reduced, piece->reduced);
        piece->body = rebuilt(lift, &seen, piece->body);
    }
    return graph_equation(to, node->dtype, node->rank, node->dims, node->reduce, node->n_pieces,
                          pieces, node->name, node->span);
}

Graph *pass_lift(Arena *arena, const Graph *graph)
{
    Lift lift = {.to = graph_new(arena), .known = idmap_new(arena)};
    NodeId *map = NEW_ARRAY(arena, NodeId, graph->nodes.len + 1);
    for (NodeId id = 0; id < graph->nodes.len; id++)
        map[id] = copied(&lift, graph_node(graph, id), map);
    outputs_copy(lift.to, graph, map);
    return lift.to;
}
