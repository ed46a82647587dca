/* equations: see equations.h. A mistake in a test's text ends the test. */
#include "support/equations.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "passes/passes.h"

enum { MAX_VARS = 32, MAX_PIECES = 8, MAX_ARGS = 4 };

typedef struct Text {
    Equations *e;
    const char *at, *start;
    uint64_t random;
    size_t n_vars; /* of the definition being read */
    const Var *vars[MAX_VARS];
} Text;

static void stop_here(const Text *t, const char *what)
{
    fprintf(stderr, "equations: %s at: %.60s\n", what, t->at);
    abort();
}

static void blanks(Text *t)
{
    while (*t->at == ' ')
        t->at++;
}

static bool take(Text *t, const char *token)
{
    blanks(t);
    size_t n = strlen(token);
    if (strncmp(t->at, token, n) != 0)
        return false;
    if (isalpha((unsigned char)token[0]) && (isalnum((unsigned char)t->at[n]) || t->at[n] == '_'))
        return false;
    t->at += n;
    return true;
}

static void need(Text *t, const char *token)
{
    if (!take(t, token))
        stop_here(t, token);
}

static Str name(Text *t)
{
    blanks(t);
    const char *from = t->at;
    while (isalnum((unsigned char)*t->at) || *t->at == '_')
        t->at++;
    if (t->at == from)
        stop_here(t, "a name was expected");
    return (Str){from, (size_t)(t->at - from)};
}

static int64_t number(Text *t)
{
    blanks(t);
    char *end;
    int64_t value = strtoll(t->at, &end, 10);
    if (end == t->at)
        stop_here(t, "a number was expected");
    t->at = end;
    return value;
}

/* --- random values ------------------------------------------------------------------------------
 */
static uint64_t draw(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* About evenly spaced, so that sums do not cancel, and shuffled. */
double *equations_spread(Arena *arena, size_t n, uint64_t *random)
{
    n = n > MOST_VALUES ? 0 : n;
    double *values = NEW_ARRAY(arena, double, n + 1);
    for (size_t i = 0; i < n; i++) {
        double jitter = (double)(draw(random) % 1001) / 2000 - 0.25;
        values[i] = 2 * ((double)i + 0.5 + jitter - (double)(n / 2)) / (double)(n < 8 ? 8 : n);
    }
    for (size_t i = n; i > 1; i--) {
        size_t k = draw(random) % i;
        double swap = values[i - 1];
        values[i - 1] = values[k];
        values[k] = swap;
    }
    return values;
}

static void read_leaf(Text *t, NodeKind kind)
{
    Equations *e = t->e;
    Str key = name(t);
    int64_t dims[MAX_RANK];
    size_t rank = 0;
    if (take(t, "["))
        do
            dims[rank++] = number(t);
        while (take(t, ","));
    if (rank > 0)
        need(t, "]");
    int64_t below = take(t, "below") ? number(t) : 0;
    DType dtype = below ? DT_I32 : DT_F32;
    for (int d = 0; d < DT_COUNT; d++)
        if (take(t, dtype_name((DType)d)))
            dtype = (DType)d;
    NodeId id =
        graph_leaf(e->graph, kind, dtype, rank, dims, key, (uint32_t)e->n_params, (Span){0});
    size_t n = (size_t)node_elements(graph_node(e->graph, id));
    double *values = equations_spread(e->graph->arena, n, &t->random);
    n = n > MOST_VALUES ? 0 : n;
    bool positive = take(t, "positive"), ties = take(t, "ties"), zeros = take(t, "zeros");
    for (size_t i = 0; i < n; i++) {
        if (below)
            values[i] = (double)(draw(&t->random) % (uint64_t)below);
        else if (positive)
            values[i] = 0.7 + values[i] / 2;
        else if (ties)
            values[i] = (double)(draw(&t->random) % 3) - 1;
        else if (zeros)
            values[i] = 0;
        values[i] = (double)(float)values[i]; /* compiled code reads the same */
    }
    e->leaves[id] = values;
    if (kind == NODE_PARAM)
        e->params[e->n_params++] = id;
    e->last = id;
}

/* --- scalars ------------------------------------------------------------------------------------
 */
static const Scalar *expression(Text *t);
static const Scalar *unary(Text *t);

NodeId equations_find(const Equations *e, const char *key)
{
    for (NodeId id = (NodeId)e->graph->nodes.len; id-- > 0;)
        if (str_is(graph_node(e->graph, id)->name, key))
            return id;
    return NODE_NONE;
}

static const Scalar *read_of(Text *t, Str key)
{
    ExprPool *pool = t->e->graph->pool;
    NodeId id = equations_find(t->e, str_c(t->e->graph->arena, key));
    if (id == NODE_NONE)
        stop_here(t, "an unknown name stands before");
    const Position *at[MAX_RANK];
    size_t rank = 0;
    if (take(t, "[")) {
        do
            at[rank++] = pos_data(pool, expression(t));
        while (take(t, ","));
        need(t, "]");
    }
    if (rank != graph_node(t->e->graph, id)->rank)
        stop_here(t, "a read of another rank stands before");
    const Scalar *fill = take(t, "??") ? unary(t) : NULL;
    return graph_read(t->e->graph, id, at, fill);
}

static const Scalar *call_of(Text *t, Str key)
{
    ExprPool *pool = t->e->graph->pool;
    const Scalar *args[MAX_ARGS];
    size_t n = 0;
    do
        args[n++] = expression(t);
    while (n < MAX_ARGS && take(t, ","));
    need(t, ")");
    if (str_is(key, "random"))
        return sc_random(pool, (uint64_t)args[0]->value, pos_data(pool, args[1]));
    if (str_is(key, "float"))
        return sc_cast(pool, DT_F32, args[0]);
    for (int op = 0; op < OP_COUNT; op++)
        if (str_is(key, scalar_op_name((ScalarOp)op)))
            return sc_fn(pool, (ScalarOp)op, n, args);
    stop_here(t, "an unknown function stands before");
    return NULL;
}

static const Scalar *literal(Text *t)
{
    char *end;
    double value = strtod(t->at, &end);
    bool real = memchr(t->at, '.', (size_t)(end - t->at)) != NULL;
    t->at = end;
    return sc_const(t->e->graph->pool, real ? DT_F32 : DT_I32, value);
}

static const Scalar *primary(Text *t)
{
    if (take(t, "(")) {
        const Scalar *s = expression(t);
        need(t, ")");
        return s;
    }
    blanks(t);
    if (isdigit((unsigned char)*t->at))
        return literal(t);
    Str key = name(t);
    if (str_is(key, "inf"))
        return sc_const(t->e->graph->pool, DT_F32, HUGE_VAL);
    if (take(t, "("))
        return call_of(t, key);
    for (size_t i = 0; i < t->n_vars; i++)
        if (str_eq(t->vars[i]->name, key))
            return sc_index(t->e->graph->pool, pos_var(t->e->graph->pool, t->vars[i]));
    return read_of(t, key);
}

static const Scalar *unary(Text *t)
{
    ExprPool *pool = t->e->graph->pool;
    if (take(t, "-"))
        return sc_fn1(pool, OP_NEG, unary(t));
    if (take(t, "not"))
        return sc_fn1(pool, OP_NOT, unary(t));
    const Scalar *s = primary(t);
    return take(t, "^") ? sc_fn2(pool, OP_POW, s, unary(t)) : s;
}

typedef struct Infix {
    const char *token;
    ScalarOp op;
    int level;
    bool swapped;
} Infix;
static const Infix infixes[] = {
    {"or", OP_OR, 0, false}, {"and", OP_AND, 1, false}, {"<=", OP_LE, 2, false},
    {">=", OP_LE, 2, true},  {"==", OP_EQ, 2, false},   {"!=", OP_NE, 2, false},
    {"<", OP_LT, 2, false},  {">", OP_LT, 2, true},     {"+", OP_ADD, 3, false},
    {"-", OP_SUB, 3, false}, {"*", OP_MUL, 4, false},   {"//", OP_IDIV, 4, false},
    {"/", OP_DIV, 4, false}, {"%", OP_MOD, 4, false},
};
enum { LEVELS = 5 };

static const Scalar *infix(Text *t, int level)
{
    if (level == LEVELS)
        return unary(t);
    const Scalar *s = infix(t, level + 1);
    for (bool more = true; more;) {
        more = false;
        for (size_t i = 0; i < sizeof infixes / sizeof *infixes && !more; i++) {
            const Infix *row = &infixes[i];
            if (row->level != level || !take(t, row->token))
                continue;
            const Scalar *other = infix(t, level + 1);
            s = sc_fn2(t->e->graph->pool, row->op, row->swapped ? other : s,
                       row->swapped ? s : other);
            more = true;
        }
    }
    return s;
}

static const Scalar *expression(Text *t)
{
    return infix(t, 0);
}

/* --- definitions --------------------------------------------------------------------------------
 */
static const Var *declare(Text *t)
{
    Str key = name(t);
    need(t, ":");
    const Var *v = var_new(t->e->graph->pool, number(t), key);
    t->vars[t->n_vars++] = v;
    return v;
}

typedef struct Left {
    size_t rank, n_vars;
    const Position *at[MAX_RANK];
    int64_t dims[MAX_RANK];
} Left;

/* Positions come before the variables they use: read again once those are known. */
static void general_left(Text *t, Left *left, const char *positions)
{
    do
        declare(t);
    while (take(t, ","));
    need(t, "]");
    need(t, "of");
    left->n_vars = t->n_vars;
    const char *after = t->at;
    t->at = positions;
    do
        left->at[left->rank++] = pos_data(t->e->graph->pool, expression(t));
    while (take(t, ","));
    t->at = after;
    for (size_t k = 0; k < left->rank; k++) {
        if (k > 0)
            need(t, ",");
        left->dims[k] = number(t);
    }
}

static Left left_side(Text *t)
{
    Left left = {0};
    if (!take(t, "["))
        return left;
    const char *positions = t->at, *bar = positions, *end = strchr(positions, '=');
    while (bar < end && *bar != '|')
        bar++;
    if (*bar == '|') {
        t->at = bar + 1;
        general_left(t, &left, positions);
        return left;
    }
    do {
        const Var *v = declare(t);
        left.at[left.rank] = pos_var(t->e->graph->pool, v);
        left.dims[left.rank++] = v->extent;
    } while (take(t, ","));
    need(t, "]");
    left.n_vars = t->n_vars;
    return left;
}

static ReduceOp reduction(Text *t)
{
    static const ReduceOp ops[] = {REDUCE_SUM, REDUCE_PROD, REDUCE_MAX,    REDUCE_MIN,
                                   REDUCE_ANY, REDUCE_ALL,  REDUCE_ARGMAX, REDUCE_ARGMIN};
    const char *before = t->at;
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
        if (take(t, reduce_name(ops[i])) && take(t, "[")) {
            do
                declare(t);
            while (take(t, ","));
            need(t, "]");
            return ops[i];
        }
        t->at = before;
    }
    return REDUCE_NONE;
}

/* Each store position that is not proved inside gets its guard. */
static Piece piece_of(Text *t, const Left *left, const Scalar *body)
{
    Arena *arena = t->e->graph->arena;
    Guard *guards = NEW_ARRAY(arena, Guard, left->rank + 1);
    size_t n = 0;
    for (size_t k = 0; k < left->rank; k++)
        if (!pos_in_range(left->at[k], left->dims[k]) && !left->at[k]->has_data)
            guards[n++] = (Guard){0, left->dims[k], left->at[k]};
    const Var **vars = arena_copy(arena, t->vars, t->n_vars * sizeof *vars);
    return (Piece){.n_vars = left->n_vars,
                   .vars = vars,
                   .n_reduced = t->n_vars - left->n_vars,
                   .reduced = vars + left->n_vars,
                   .left = arena_copy(arena, left->at, left->rank * sizeof *left->at),
                   .n_guards = n,
                   .guards = guards,
                   .body = body};
}

static void read_equation(Text *t)
{
    Piece pieces[MAX_PIECES];
    Str key = name(t);
    Left first = {0};
    ReduceOp reduce = REDUCE_NONE;
    size_t n = 0;
    DType dtype = DT_F32;
    const char *again;
    do {
        t->n_vars = 0;
        Left left = left_side(t);
        if (n == 0)
            first = left;
        if (!take(t, "+="))
            need(t, "=");
        ReduceOp op = reduction(t);
        reduce = op == REDUCE_NONE ? reduce : op;
        const Scalar *body = expression(t);
        dtype = op == REDUCE_ARGMAX || op == REDUCE_ARGMIN ? DT_I32 : body->dtype;
        pieces[n++] = piece_of(t, &left, body);
        again = t->at;
        while (*again == '\n' || *again == ' ')
            again++;
        const char *line_end = strchr(again, '\n'), *plus = strstr(again, "+=");
        if (strncmp(again, key.ptr, key.len) != 0 || !plus || (line_end && plus > line_end) ||
            isalnum((unsigned char)again[key.len]))
            break;
        t->at = again + key.len;
    } while (n < MAX_PIECES);
    t->e->last = graph_equation(t->e->graph, dtype, first.rank, first.dims, reduce, n, pieces, key,
                                (Span){0});
}

Equations equations_read(Arena *arena, const char *text, uint64_t seed)
{
    Equations e = {.graph = graph_new(arena)};
    Text t = {
        .e = &e, .at = text, .start = text, .random = seed * 2654435761u + 88172645463325252u};
    while (*t.at) {
        if (*t.at == '\n' || *t.at == ' ') {
            t.at++;
            continue;
        }
        if (take(&t, "param"))
            read_leaf(&t, NODE_PARAM);
        else if (take(&t, "input"))
            read_leaf(&t, NODE_INPUT);
        else
            read_equation(&t);
        blanks(&t);
        if (*t.at && *t.at != '\n')
            stop_here(&t, "the end of the line was expected");
    }
    return e;
}

/* `name = sum values * tensor`, the values a leaf of their own. */
static NodeId dot_with_leaf(Equations *e, NodeId tensor, Str leaf, uint64_t seed, Str name)
{
    Graph *graph = e->graph;
    Node node = *graph_node(graph, tensor);
    uint64_t random = seed + 7046029254386353087u;
    NodeId r = graph_leaf(graph, NODE_INPUT, DT_F32, node.rank, node.dims, leaf, 0, (Span){0});
    e->leaves[r] = equations_spread(graph->arena, (size_t)node_elements(&node), &random);
    const Var *vars[MAX_RANK];
    const Position *at[MAX_RANK];
    for (size_t k = 0; k < node.rank; k++) {
        vars[k] = var_new(graph->pool, node.dims[k], STR("l"));
        at[k] = pos_var(graph->pool, vars[k]);
    }
    const Scalar *body = sc_fn2(graph->pool, OP_MUL, graph_read(graph, tensor, at, NULL),
                                graph_read(graph, r, at, NULL));
    return graph_define(graph, DT_F32, node.rank > 0 ? REDUCE_SUM : REDUCE_NONE, 0, NULL, node.rank,
                        vars, body, name, (Span){0});
}

void equations_add_loss(Equations *e, uint64_t seed)
{
    NodeId loss = dot_with_leaf(e, e->last, STR("cotangent"), seed, STR("loss"));
    graph_output(e->graph, OUT_LOSS, STR("loss"), loss, NODE_NONE);
}

void equations_differentiate(Equations *e)
{
    NodeId loss = dot_with_leaf(e, e->last, STR("inner cotangent"), 2, STR("inner loss"));
    graph_output(e->graph, OUT_LOSS, STR("loss"), loss, NODE_NONE);
    e->graph = pass_autodiff(e->graph->arena, e->graph, e->n_params, e->params);
    Graph *graph = e->graph;
    const Scalar *sum = sc_const(graph->pool, DT_F32, 0);
    size_t seen = 0;
    for (size_t i = 0; i < graph->outputs.len; i++) {
        if (graph->outputs.at[i].kind != OUT_GRAD)
            continue;
        Str leaf = str_format(graph->arena, "direction %zu", seen);
        NodeId dot = dot_with_leaf(e, graph->outputs.at[i].value, leaf, seen++, STR("dot"));
        sum = sc_fn2(graph->pool, OP_ADD, sum, graph_read(graph, dot, NULL, NULL));
    }
    graph->outputs.len = 0;
    e->last = graph_define(graph, DT_F32, REDUCE_NONE, 0, NULL, 0, NULL, sum, STR("hessian"),
                           (Span){0});
}

static NodeId leaf_like(const Equations *e, const Node *node)
{
    for (NodeId id = 0; id < e->graph->nodes.len && id < MAX_LEAVES; id++) {
        const Node *leaf = graph_node(e->graph, id);
        if (e->leaves[id] && leaf->kind == node->kind && leaf->variable == node->variable &&
            str_eq(leaf->name, node->name))
            return id;
    }
    fprintf(stderr, "equations: no leaf `" STR_FMT "`\n", STR_ARG(node->name));
    abort();
}

/* Passes give leaves other ids, and drop those that nothing needs. */
Interp equations_interp(const Equations *e, const Graph *graph)
{
    Interp interp = {.graph = graph, .arena = graph->arena, .seed = 7, .step = 3};
    interp.values = NEW_ARRAY(graph->arena, double *, graph->nodes.len);
    for (NodeId id = 0; id < graph->nodes.len; id++) {
        const Node *node = graph_node(graph, id);
        if (node->kind != NODE_EQUATION && node->kind != NODE_CONSTANT &&
            node->kind != NODE_INTRINSIC)
            interp.values[id] = e->leaves[leaf_like(e, node)];
    }
    return interp;
}
