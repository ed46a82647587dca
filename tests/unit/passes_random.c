/* Random graphs before and after every cleaning pass: well formed, the same outputs. */
#include "passes/passes.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

enum { GRAPHS = 3000, EQUATIONS = 10, IDS_BELOW = 3 };

typedef struct Maker {
    Mem mem;
    HoneSys sys;
    Arena *arena;
    Graph *graph;
    ExprPool *pool;
    uint64_t random;
    const Var *vars[8];           /* of the piece at hand */
    size_t n_vars;
} Maker;

static int64_t pick(Maker *m, int64_t low, int64_t high)
{
    m->random ^= m->random << 13;
    m->random ^= m->random >> 7;
    m->random ^= m->random << 17;
    return low + (int64_t)(m->random % (uint64_t)(high - low + 1));
}

/* --- expressions ------------------------------------------------------------------------------- */
static const Scalar *make_read(Maker *m, NodeId tensor, int depth);

/* A position for a dimension, anywhere near it; data ones only where ids fit. */
static const Position *make_position(Maker *m, int64_t extent, int depth)
{
    ExprPool *pool = m->pool;
    const Position *v = m->n_vars == 0
                            ? pos_const(pool, 0)
                            : pos_var(pool, m->vars[pick(m, 0, (int64_t)m->n_vars - 1)]);
    switch (pick(m, 0, 9)) {
    case 0: return pos_const(pool, pick(m, 0, extent - 1));
    case 1: return pos_sub(pool, pos_const(pool, extent - 1), v);
    case 2: return pos_div(pool, v, 2);
    case 3: return pos_shift(pool, pos_scale(pool, v, 2), pick(m, -1, 1));
    case 4: return pos_shift(pool, v, pick(m, -2, 2));
    case 5: return pos_mod(pool, v, pick(m, 2, 3));
    case 6:
        if (extent >= IDS_BELOW && depth < 2)
            return pos_data(pool, make_read(m, 0, depth + 1));        /* node 0: ids */
        break;
    default: break;
    }
    return v;
}

static const Scalar *make_read(Maker *m, NodeId tensor, int depth)
{
    const Node *node = graph_node(m->graph, tensor);
    const Position *at[MAX_RANK];
    bool unsure = false;
    for (size_t k = 0; k < node->rank; k++) {
        at[k] = make_position(m, node->dims[k], depth);
        unsure |= !at[k]->has_data && !pos_in_range(at[k], node->dims[k]);
    }
    bool filled = unsure || pick(m, 0, 3) == 0;
    return graph_read(m->graph, tensor, at,
                      filled ? sc_const(m->pool, node->dtype, (double)pick(m, 0, 2)) : NULL);
}

static const Scalar *make_condition(Maker *m)
{
    if (m->n_vars > 0 && pick(m, 0, 1) == 0)
        return sc_within(m->pool, pick(m, 0, 2), make_position(m, 4, 2), pick(m, 1, 4));
    return sc_fn2(m->pool, OP_LT, make_read(m, 1, 1), sc_const(m->pool, DT_F32, 0.1));
}

static const Scalar *make_body(Maker *m, int depth)
{
    ExprPool *pool = m->pool;
    NodeId last = (NodeId)m->graph->nodes.len - 1;
    NodeId tensor = (NodeId)pick(m, 1, last);
    switch (depth > 2 ? 0 : pick(m, 0, 11)) {
    case 1: return sc_fn2(pool, OP_ADD, make_body(m, depth + 1), make_body(m, depth + 1));
    case 2:
    case 3: return sc_fn2(pool, OP_MUL, make_body(m, depth + 1), make_body(m, depth + 1));
    case 4: return sc_fn2(pool, OP_MAX, make_body(m, depth + 1), make_body(m, depth + 1));
    case 5: return sc_fn1(pool, OP_TANH, make_body(m, depth + 1));
    case 6: return sc_fn1(pool, OP_STOP, make_body(m, depth + 1));
    case 7: return sc_const(pool, DT_F32, 0.25 * (double)pick(m, -4, 4));
    case 8:
        return sc_cast(pool, DT_F32, sc_index(pool, make_position(m, 4, 2)));
    case 9:
        return sc_random(pool, (uint64_t)pick(m, 0, 1), make_position(m, 4, 2));
    case 10:
        return sc_fn3(pool, OP_SELECT, make_condition(m), make_body(m, depth + 1),
                      sc_const(pool, DT_F32, 0));
    default: return sc_cast(pool, DT_F32, make_read(m, tensor, depth));
    }
}

/* --- equations ------------------------------------------------------------------------------------ */
static void new_vars(Maker *m, size_t n, const int64_t *extents)
{
    static const char *const names[] = {"a", "b", "c", "d", "e", "f"};
    for (size_t i = 0; i < n; i++) {
        m->vars[m->n_vars] = var_new(m->pool, extents[i], str_of(names[m->n_vars]));
        m->n_vars++;
    }
}

static ReduceOp make_reduce(Maker *m)
{
    static const ReduceOp ops[] = {REDUCE_NONE, REDUCE_NONE, REDUCE_SUM, REDUCE_SUM, REDUCE_MAX,
                                   REDUCE_MIN,  REDUCE_PROD, REDUCE_ARGMAX};
    return ops[pick(m, 0, 7)];
}

static void make_plain(Maker *m)
{
    int64_t extents[5];
    for (size_t i = 0; i < 5; i++)
        extents[i] = pick(m, 1, 4);
    size_t rank = (size_t)pick(m, 0, 3);
    ReduceOp op = make_reduce(m);
    size_t n_reduced = op == REDUCE_NONE ? 0 : (size_t)pick(m, 1, 2);
    new_vars(m, rank + n_reduced, extents);
    const Scalar *body = make_body(m, 0);
    graph_define(m->graph, op == REDUCE_ARGMAX ? DT_I32 : DT_F32, op, rank, m->vars, n_reduced,
                 m->vars + rank, body, STR("plain"), (Span){0});
}

/* A view: transposed, broadcast, reversed, sliced, or scaled. */
static void make_view(Maker *m)
{
    NodeId tensor = (NodeId)pick(m, 1, (int64_t)m->graph->nodes.len - 1);
    const Node *node = graph_node(m->graph, tensor);
    if (!dtype_is_float(node->dtype) || node->rank > 3)
        return;
    const Position *at[MAX_RANK];
    int64_t extra = pick(m, 1, 3);
    bool reversed = pick(m, 0, 1) == 0;
    new_vars(m, 1, &extra);
    for (size_t k = node->rank; k-- > 0;) {
        int64_t extent = pick(m, 0, 1) == 0 ? node->dims[k] : pick(m, 1, node->dims[k]);
        new_vars(m, 1, &extent);
        at[k] = pos_var(m->pool, m->vars[m->n_vars - 1]);
        if (reversed)
            at[k] = pos_sub(m->pool, pos_const(m->pool, node->dims[k] - 1), at[k]);
    }
    const Scalar *body = graph_read(m->graph, tensor, at, NULL);
    if (pick(m, 0, 3) == 0)
        body = sc_fn2(m->pool, OP_MUL, body, sc_const(m->pool, DT_F32, 0.5));
    graph_define(m->graph, DT_F32, REDUCE_NONE, m->n_vars, m->vars, 0, NULL, body, STR("view"),
                 (Span){0});
}

/* Several pieces: rows written by one another's side, strided, guarded, scattered. */
static void make_pieces(Maker *m)
{
    int64_t dims[] = {6, pick(m, 1, 3)}, half = 3;
    Piece pieces[3];
    size_t n = (size_t)pick(m, 1, 3);
    const Var *vars[3][2];
    const Position *left[3][2];
    Guard guard[3];
    for (size_t i = 0; i < n; i++) {
        m->n_vars = 0;
        new_vars(m, 1, &half);
        new_vars(m, 1, &dims[1]);
        vars[i][0] = m->vars[0];
        vars[i][1] = m->vars[1];
        const Position *v = pos_var(m->pool, vars[i][0]);
        left[i][0] = i == 0   ? pos_shift(m->pool, v, pick(m, 0, 3))
                     : i == 1 ? pos_shift(m->pool, pos_scale(m->pool, v, 2), pick(m, 0, 1))
                              : pos_data(m->pool, make_read(m, 0, 2));
        left[i][1] = pos_var(m->pool, vars[i][1]);
        guard[i] = (Guard){.lo = pick(m, 0, 1), .hi = pick(m, 2, 3), .position = v};
        pieces[i] = (Piece){.n_vars = 2, .vars = vars[i], .left = left[i],
                            .n_guards = (size_t)pick(m, 0, 1), .guards = &guard[i]};
        pieces[i].body = sc_cast(m->pool, DT_F32, make_body(m, 1));
    }
    graph_equation(m->graph, DT_F32, 2, dims, REDUCE_SUM, n, pieces, STR("pieces"), (Span){0});
}

static void make_graph(Maker *m)
{
    m->graph = graph_new(m->arena);
    m->pool = m->graph->pool;
    Span none = {0};
    const double table[] = {0.5, -1, 2, 0.25, 0.75, -0.5, 1, 1, 0.125, 0, 3, -2};
    graph_leaf(m->graph, NODE_INPUT, DT_I32, 1, (int64_t[]){4}, STR("ids"), 0, none);
    graph_leaf(m->graph, NODE_INPUT, DT_F32, 2, (int64_t[]){4, 3}, STR("x"), 0, none);
    graph_leaf(m->graph, NODE_PARAM, DT_F32, 2, (int64_t[]){3, 4}, STR("w"), 0, none);
    graph_leaf(m->graph, NODE_STATE, DT_F32, 2, (int64_t[]){6, 2}, STR("s"), 1, none);
    graph_constant(m->graph, DT_F32, 2, (int64_t[]){3, 4}, table, 0, none);
    graph_constant(m->graph, DT_F32, 1, (int64_t[]){4}, NULL, 0.5, none);
    for (int i = 0; i < EQUATIONS; i++) {
        m->n_vars = 0;
        int64_t kind = pick(m, 0, 5);
        if (kind == 0)
            make_pieces(m);
        else if (kind < 3)
            make_view(m);
        else
            make_plain(m);
    }
    NodeId last = (NodeId)m->graph->nodes.len - 1;
    graph_output(m->graph, OUT_VALUE, STR("one"), last, NODE_NONE);
    graph_output(m->graph, OUT_VALUE, STR("two"), last / 2 + 1, NODE_NONE);
    graph_output(m->graph, OUT_VALUE, STR("three"), last - 1, NODE_NONE);
}

/* --- comparison ------------------------------------------------------------------------------------ */
static double leaf_value(const Node *node, int64_t i)
{
    uint64_t hash = str_hash(node->name) + (uint64_t)i * 7919;
    hash ^= hash >> 13;
    hash *= UINT64_C(0x9E3779B97F4A7C15);
    hash >>= 40;
    return node->dtype == DT_I32 ? (double)(hash % IDS_BELOW)
                                 : (double)(hash % 1000) / 500.0 - 1;
}

static bool run(Interp *interp, const Graph *graph, Arena *arena)
{
    *interp = (Interp){.graph = graph, .arena = arena, .seed = 5, .step = 2};
    interp->values = NEW_ARRAY(arena, double *, graph->nodes.len + 1);
    for (NodeId id = 0; id < graph->nodes.len; id++) {
        const Node *node = graph_node(graph, id);
        if (node->kind == NODE_CONSTANT || node->kind == NODE_EQUATION)
            continue;
        int64_t n = node_elements(node);
        interp->values[id] = NEW_ARRAY(arena, double, (size_t)n);
        for (int64_t i = 0; i < n; i++)
            interp->values[id][i] = leaf_value(node, i);
    }
    return interp_run(interp);
}

static void show(const Graph *before, const Graph *after, Arena *arena)
{
    Buf out = buf_new(arena);
    graph_dump(before, &out);
    buf_printf(&out, "--- becomes\n");
    graph_dump(after, &out);
    print_message(STR_FMT "\n", STR_ARG(buf_str(&out)));
}

static bool close_to(double a, double b)
{
    return (isnan(a) && isnan(b)) || a == b || fabs(a - b) <= 1e-6 * (1 + fabs(a));
}

/* false: the graph faults, and nothing is compared. */
static bool compare(const Graph *before, const Graph *after, Arena *arena, const char *pass)
{
    const char *problem = graph_verify(after, arena);
    if (problem) {
        show(before, after, arena);
        fail_msg("%s: %s", pass, problem);
    }
    Interp old, new;
    bool ran = run(&old, before, arena);
    if (!ran)
        return false;
    if (!run(&new, after, arena)) {
        show(before, after, arena);
        fail_msg("%s: faults now", pass);
    }
    assert_int_equal(before->outputs.len, after->outputs.len);
    for (size_t i = 0; i < before->outputs.len; i++) {
        const Output *a = &before->outputs.at[i], *b = &after->outputs.at[i];
        int64_t n = node_elements(graph_node(before, a->value));
        assert_true(str_eq(a->name, b->name));
        assert_int_equal(n, node_elements(graph_node(after, b->value)));
        for (int64_t k = 0; k < n; k++)
            if (!close_to(old.values[a->value][k], new.values[b->value][k])) {
                show(before, after, arena);
                fail_msg("%s: output %zu element %lld: %.9g, was %.9g", pass, i, (long long)k,
                         new.values[b->value][k], old.values[a->value][k]);
            }
    }
    return true;
}

static int64_t elements(const Graph *graph)
{
    int64_t n = 0;
    for (NodeId id = 0; id < graph->nodes.len; id++)
        n += node_elements(graph_node(graph, id));
    return n;
}

typedef Graph *Pass(Arena *arena, const Graph *graph);
static const struct {
    const char *name;
    Pass *run;
} passes[] = {
    {"prune", pass_prune}, {"simplify", pass_simplify}, {"fold", pass_fold},
    {"cse", pass_cse},     {"narrow", pass_narrow},     {"prune again", pass_prune},
    {"clamp", pass_clamp}, {"lift", pass_lift},         {"separate", pass_separate},
    {"split", pass_split},
};

static void passes_keep_values(void **state)
{
    (void)state;
    static Maker maker;
    maker = (Maker){.random = 88172645463325252u};
    mem_init(&maker.mem, &maker.sys);
    int64_t compared = 0, before = 0, after = 0;
    for (int i = 0; i < GRAPHS; i++) {
        maker.arena = arena_new(&maker.mem, "test");
        make_graph(&maker);
        assert_null(graph_verify(maker.graph, maker.arena));
        const Graph *graph = maker.graph;
        for (size_t p = 0; p < sizeof passes / sizeof *passes; p++) {
            compared += compare(maker.graph, passes[p].run(maker.arena, maker.graph), maker.arena,
                                passes[p].name);
            Graph *next = passes[p].run(maker.arena, graph);
            compare(graph, next, maker.arena, passes[p].name);
            graph = next;
        }
        before += elements(maker.graph);
        after += elements(graph);
        arena_free(maker.arena);
    }
    mem_release(&maker.mem);
    print_message("compared %lld, elements %lld -> %lld\n", (long long)compared, (long long)before,
                  (long long)after);
    assert_true(compared > (int64_t)(GRAPHS * sizeof passes / sizeof *passes) * 4 / 5);
    assert_true(after < before * 3 / 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(passes_keep_values)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
