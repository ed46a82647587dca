/* linear: how a node depends on some others, read off its equations: not at all, as a sum of multiples
 * of them, with a constant beside it, or otherwise. What cannot be seen to be linear counts as not. */
#include "passes/passes.h"

typedef struct Analysis {
    const Graph *graph;
    Arena *arena;
    Linear *nodes;                   /* by node */
    Linear *scalars;                 /* of the present expression, by place in its list */
    ScalarList list;
} Analysis;

static Linear of_scalar(const Analysis *a, const Scalar *s)
{
    for (size_t i = 0; i < a->list.n; i++) {
        if (a->list.at[i] == s) {
            return a->scalars[i];
        }
    }
    return LINEAR_NOT; /* every argument stands in the list before its reader */
}

/* a + b; zero: b is the constant 0, which belongs to every sum. */
static Linear joined(Linear a, Linear b)
{
    if (a == LINEAR_NOT || b == LINEAR_NOT) {
        return LINEAR_NOT;
    }
    if (a == LINEAR_ZERO || b == LINEAR_ZERO) {
        return a == LINEAR_ZERO ? b : a;
    }
    return a == b ? a : LINEAR_AFFINE;
}

static bool is_free(Linear a)
{
    return a == LINEAR_ZERO || a == LINEAR_FREE;
}

static Linear of_function(const Analysis *a, const Scalar *s)
{
    Linear sum = LINEAR_ZERO, product = LINEAR_FREE;
    bool all_free = true, zero = false;
    for (size_t i = 0; i < s->n; i++) {
        Linear arg = of_scalar(a, s->args[i]);
        sum = joined(sum, arg);
        all_free = all_free && is_free(arg);
        zero = zero || arg == LINEAR_ZERO;
        product = is_free(arg) ? product : is_free(product) ? arg : LINEAR_NOT;
    }
    bool choice = s->op == OP_SELECT && is_free(of_scalar(a, s->args[0]));
    if (choice) {
        return joined(of_scalar(a, s->args[1]), of_scalar(a, s->args[2]));
    }
    if (s->op == OP_ADD || s->op == OP_SUB || s->op == OP_NEG || s->op == OP_STOP ||
        s->op == OP_CAST) {
        return sum;
    }
    if (s->op == OP_MUL) {
        return zero ? LINEAR_ZERO : product;
    }
    if (s->op == OP_DIV && is_free(of_scalar(a, s->args[1]))) {
        return of_scalar(a, s->args[0]);
    }
    return all_free ? LINEAR_FREE : LINEAR_NOT;
}

static Linear classify(const Analysis *a, const Scalar *s)
{
    switch (s->kind) {
    case SCALAR_CONST:
        return s->value == 0 ? LINEAR_ZERO : LINEAR_FREE;
    case SCALAR_INDEX: case SCALAR_WITHIN: case SCALAR_RANDOM:
        return LINEAR_FREE;
    case SCALAR_READ: {
        Linear value = a->nodes[s->tensor];
        return s->fill != NULL ? joined(value, of_scalar(a, s->fill)) : value;
    }
    case SCALAR_FN:
        return of_function(a, s);
    }
    return LINEAR_NOT;
}

static Linear of_piece(Analysis *a, const Node *node, const Piece *piece)
{
    a->list = sc_list(a->arena, 1, &piece->body);
    a->scalars = NEW_ARRAY(a->arena, Linear, a->list.n + 1);
    for (size_t i = 0; i < a->list.n; i++) {
        a->scalars[i] = classify(a, a->list.at[i]);
    }
    Linear body = of_scalar(a, piece->body);
    bool sum = node->reduce == REDUCE_NONE || node->reduce == REDUCE_SUM;
    return sum || is_free(body) ? body : LINEAR_NOT;
}

static Linear of_node(Analysis *a, const Node *node)
{
    if (node->kind == NODE_CONSTANT && node->data == NULL && node->value == 0) {
        return LINEAR_ZERO;
    }
    Linear sum = node->kind == NODE_EQUATION ? LINEAR_ZERO : LINEAR_FREE;
    for (size_t i = 0; i < node->n_pieces; i++) {
        sum = joined(sum, of_piece(a, node, &node->pieces[i]));
    }
    for (size_t i = 0; i < node->n_args; i++) {
        sum = is_free(a->nodes[node->args[i]]) ? sum : LINEAR_NOT;
    }
    return sum;
}

Linear graph_linear(Arena *arena, const Graph *graph, NodeId node, size_t n, const NodeId *of)
{
    Analysis a = {.graph = graph, .arena = arena};
    a.nodes = NEW_ARRAY(arena, Linear, node + 1);
    for (NodeId id = 0; id <= node; id++) {
        bool marked = false;
        for (size_t i = 0; i < n; i++) {
            marked = marked || of[i] == id;
        }
        a.nodes[id] = marked ? LINEAR_PURE : of_node(&a, graph_node(graph, id));
    }
    return a.nodes[node];
}
