/* cse: equal equations, intrinsics and constants are computed once. Needs a well-formed graph;
 * guarantees the same values; readers of a later twin read the first, the twin stays for prune. Sums
 * may differ by a constant factor, which moves into the readers: the sums that batch norm's backward
 * pass needs are those of its weight and bias. Two equations are equal if they are after renaming the variables of each piece in order: the n-th variable of an extent
 * becomes the n-th standard variable of that extent, and equality is comparison of pointers in one
 * pool. Random numbers with the same key and counter are the same numbers.
 * What pass_again computes again stays. */
#include "passes/clean.h"
#include "passes/densify.h"

#include <string.h>

typedef struct Standard {             /* the standard variables of one extent */
    int64_t extent;
    size_t used;                      /* in the piece at hand */
    VEC(const Var *) vars;
} Standard;

typedef struct Cse {
    Arena *arena;
    Graph *to;
    VEC(Standard) standards;
    Piece **keys;                     /* by new id: its pieces over standard variables */
    double *scales;                   /* by new id: its body is this times the key's; else 1 */
    NodeId *slots;                    /* open addressing by hash; NODE_NONE: empty */
    size_t n_slots;                   /* a power of two, at least twice the nodes */
} Cse;

/* --- renaming --------------------------------------------------------------------------------- */
static const Var *standard_var(Cse *cse, int64_t extent)
{
    Standard *standard = NULL;
    for (size_t i = 0; i < cse->standards.len && !standard; i++)
        if (cse->standards.at[i].extent == extent)
            standard = &cse->standards.at[i];
    if (!standard) {
        VEC_PUSH(cse->arena, cse->standards, (Standard){.extent = extent});
        standard = &cse->standards.at[cse->standards.len - 1];
    }
    if (standard->used == standard->vars.len)
        VEC_PUSH(cse->arena, standard->vars, var_new(cse->to->pool, extent, STR("v")));
    return standard->vars.at[standard->used++];
}

static void rename_vars(Cse *cse, size_t n, const Var *const *vars, const Var **renamed,
                        const Position **to)
{
    for (size_t i = 0; i < n; i++) {
        renamed[i] = standard_var(cse, vars[i]->extent);
        to[i] = pos_var(cse->to->pool, renamed[i]);
    }
}

static Piece standard_piece(Cse *cse, const Piece *piece, size_t rank)
{
    ExprPool *pool = cse->to->pool;
    size_t n = piece->n_vars + piece->n_reduced;
    const Var **from = NEW_ARRAY(cse->arena, const Var *, n);
    const Var **renamed = NEW_ARRAY(cse->arena, const Var *, n);
    const Position **to = NEW_ARRAY(cse->arena, const Position *, n);
    for (size_t i = 0; i < n; i++)
        from[i] = i < piece->n_vars ? piece->vars[i] : piece->reduced[i - piece->n_vars];
    for (size_t i = 0; i < cse->standards.len; i++)
        cse->standards.at[i].used = 0;
    rename_vars(cse, n, from, renamed, to);
    Subst subst = {.n = n, .from = from, .to = to};
    const Position **left = NEW_ARRAY(cse->arena, const Position *, rank);
    for (size_t k = 0; k < rank; k++)
        left[k] = pos_subst(pool, piece->left[k], &subst);
    Guard *guards = NEW_ARRAY(cse->arena, Guard, piece->n_guards);
    for (size_t i = 0; i < piece->n_guards; i++)
        guards[i] = (Guard){.lo = piece->guards[i].lo, .hi = piece->guards[i].hi,
                            .position = pos_subst(pool, piece->guards[i].position, &subst)};
    return (Piece){.n_vars = piece->n_vars, .vars = renamed, .n_reduced = piece->n_reduced,
                   .reduced = renamed + piece->n_vars, .left = left, .n_guards = piece->n_guards,
                   .guards = guards, .body = sc_subst(pool, piece->body, &subst)};
}

/* --- constant factors --------------------------------------------------------------------------------- */
static bool is_fn(const Scalar *s, ScalarOp op)
{
    return s->kind == SCALAR_FN && s->op == op;
}

const Scalar *factor_split(ExprPool *pool, const Scalar *body, double *factor)
{
    *factor = 1;
    if (is_fn(body, OP_SELECT) && sc_is_zero(body->args[2]))
        return sc_fn3(pool, OP_SELECT, body->args[0], factor_split(pool, body->args[1], factor),
                      body->args[2]);
    if (!is_fn(body, OP_MUL) || !sc_is_const(body->args[0], factor))
        return body;
    return body->n == 2 ? body->args[1] : sc_fn(pool, OP_MUL, body->n - 1, body->args + 1);
}

static const Scalar *scaled(ExprPool *pool, double by, const Scalar *s)
{
    return sc_fn2(pool, OP_MUL, sc_const(pool, s->dtype, by), s);
}

/* As factor_split; of a sum the sign of its last term is taken out. */
static const Scalar *key_body(ExprPool *pool, const Scalar *body, double *factor)
{
    double last;
    const Scalar *rest = factor_split(pool, body, factor);
    if (!is_fn(rest, OP_ADD))
        return rest;
    factor_split(pool, rest->args[rest->n - 1], &last);
    if (last >= 0)
        return rest;
    *factor = -*factor;
    return scaled(pool, -1, rest);
}

/* A sum over something, whose readers may apply a factor. */
static bool is_scalable(const Node *node)
{
    return node->kind == NODE_EQUATION && node->reduce == REDUCE_SUM && node->n_pieces == 1 &&
           node->pieces[0].n_reduced > 0 && piece_is_plain(node, &node->pieces[0]) &&
           (node->dtype == DT_F32 || node->dtype == DT_F64);
}

/* by * tensor, a copy that is read through */
static NodeId scaled_copy(Cse *cse, NodeId tensor, double by, const Node *twin)
{
    ExprPool *pool = cse->to->pool;
    const Piece *piece = &twin->pieces[0];
    const Position *at[MAX_RANK];
    for (size_t k = 0; k < twin->rank; k++)
        at[k] = pos_var(pool, piece->vars[k]);
    return graph_define(cse->to, twin->dtype, REDUCE_NONE, piece->n_vars, piece->vars, 0, NULL,
                        scaled(pool, by, graph_read(cse->to, tensor, at, NULL)), twin->name,
                        twin->span);
}

/* --- equality and hash ---------------------------------------------------------------------------- */
static bool pieces_equal(const Piece *a, const Piece *b, size_t rank)
{
    if (a->n_vars != b->n_vars || a->n_reduced != b->n_reduced || a->n_guards != b->n_guards ||
        a->body != b->body)
        return false;
    for (size_t i = 0; i < a->n_vars; i++)
        if (a->vars[i] != b->vars[i])
            return false;
    for (size_t i = 0; i < a->n_reduced; i++)
        if (a->reduced[i] != b->reduced[i])
            return false;
    for (size_t k = 0; k < rank; k++)
        if (a->left[k] != b->left[k])
            return false;
    for (size_t i = 0; i < a->n_guards; i++)
        if (a->guards[i].lo != b->guards[i].lo || a->guards[i].hi != b->guards[i].hi ||
            a->guards[i].position != b->guards[i].position)
            return false;
    return true;
}

static bool constants_equal(const Node *a, const Node *b)
{
    if (!a->data || !b->data)
        return !a->data && !b->data && memcmp(&a->value, &b->value, sizeof a->value) == 0;
    return memcmp(a->data, b->data, (size_t)node_elements(a) * sizeof *a->data) == 0;
}

static bool nodes_equal(const Node *a, const Piece *a_key, const Node *b, const Piece *b_key)
{
    if (a->kind != b->kind || a->dtype != b->dtype || a->rank != b->rank ||
        a->reduce != b->reduce || a->n_pieces != b->n_pieces || a->n_args != b->n_args ||
        !str_eq(a->function, b->function))
        return false;
    for (size_t k = 0; k < a->rank; k++)
        if (a->dims[k] != b->dims[k])
            return false;
    if (a->kind == NODE_CONSTANT && !constants_equal(a, b))
        return false;
    for (size_t i = 0; i < a->n_args; i++)
        if (a->args[i] != b->args[i])
            return false;
    for (size_t i = 0; i < a->n_pieces; i++)
        if (!pieces_equal(&a_key[i], &b_key[i], a->rank))
            return false;
    return true;
}

static uint64_t mix(uint64_t hash, uint64_t value)
{
    return (hash ^ value) * UINT64_C(0x100000001B3) + (hash >> 29);
}

static uint64_t double_bits(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* The first elements of a constant tell it from most others. */
static uint64_t constant_hash(uint64_t hash, const Node *node)
{
    enum { LOOKED_AT = 16 };
    if (!node->data)
        return mix(hash, double_bits(node->value));
    int64_t n = node_elements(node);
    for (int64_t i = 0; i < n && i < LOOKED_AT; i++)
        hash = mix(hash, double_bits(node->data[i]));
    return hash;
}

static uint64_t node_hash(const Node *node, const Piece *key)
{
    uint64_t hash = mix(mix((uint64_t)node->kind, (uint64_t)node->dtype), (uint64_t)node->reduce);
    for (size_t k = 0; k < node->rank; k++)
        hash = mix(hash, (uint64_t)node->dims[k]);
    if (node->kind == NODE_CONSTANT)
        hash = constant_hash(hash, node);
    for (size_t i = 0; i < node->n_args; i++)
        hash = mix(hash, node->args[i]);
    for (size_t i = 0; i < node->n_pieces; i++) {
        hash = mix(hash, key[i].body->id);
        for (size_t k = 0; k < node->rank; k++)
            hash = mix(hash, key[i].left[k]->id);
    }
    return hash;
}

/* --- the pass --------------------------------------------------------------------------------------- */
static Piece *make_key(Cse *cse, NodeId id)
{
    const Node *node = graph_node(cse->to, id);
    Piece *key = NEW_ARRAY(cse->arena, Piece, node->n_pieces);
    for (size_t i = 0; i < node->n_pieces; i++)
        key[i] = standard_piece(cse, &node->pieces[i], node->rank);
    cse->keys[id] = key;
    cse->scales[id] = 1;
    if (is_scalable(node))
        key[0].body = key_body(cse->to->pool, key[0].body, &cse->scales[id]);
    return key;
}

/* The first node that equals this one, which has just been added, or itself. */
static NodeId first_twin(Cse *cse, NodeId id)
{
    const Piece *key = make_key(cse, id);
    const Node *node = graph_node(cse->to, id);
    size_t mask = cse->n_slots - 1, slot = (size_t)node_hash(node, key) & mask;
    while (cse->slots[slot] != NODE_NONE) {
        NodeId other = cse->slots[slot];
        if (nodes_equal(node, key, graph_node(cse->to, other), cse->keys[other]))
            return other;
        slot = (slot + 1) & mask;
    }
    cse->slots[slot] = id;
    return id;
}

/* What the readers of a node that has just been added read from now on. */
static NodeId shared(Cse *cse, NodeId id)
{
    NodeId first = first_twin(cse, id);
    double by = cse->scales[id] / cse->scales[first];
    if (first == id || by == 1)
        return first;
    Node twin = *graph_node(cse->to, id);
    return scaled_copy(cse, first, by, &twin);
}

static bool is_leaf(const Node *node)
{
    return node->kind == NODE_INPUT || node->kind == NODE_PARAM || node->kind == NODE_STATE ||
           node->kind == NODE_STEP;
}

Graph *pass_cse(Arena *arena, const Graph *graph)
{
    size_t n = graph->nodes.len;
    Arena *scratch = arena_new(arena_mem(arena), "cse");
    Cse cse = {.arena = scratch, .to = graph_new(arena), .n_slots = 16};
    while (cse.n_slots < 2 * n)
        cse.n_slots *= 2;
    cse.slots = NEW_ARRAY(scratch, NodeId, cse.n_slots);
    for (size_t i = 0; i < cse.n_slots; i++)
        cse.slots[i] = NODE_NONE;
    cse.keys = NEW_ARRAY(scratch, Piece *, 2 * n + 1);     /* a twin may leave a copy */
    cse.scales = NEW_ARRAY(scratch, double, 2 * n + 1);
    NodeId *map = NEW_ARRAY(scratch, NodeId, n + 1);
    for (NodeId id = 0; id < n; id++) {
        const Node *node = graph_node(graph, id);
        NodeId copy = node_import(cse.to, node, map);
        map[id] = is_leaf(node) || node_is_again(node) ? copy : shared(&cse, copy);
    }
    outputs_copy(cse.to, graph, map);
    arena_free(scratch);
    return cse.to;
}
