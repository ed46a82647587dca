/* The order of every tensor's elements in memory (fusion.md 4.1). One dimension is innermost, the
 * others keep their order. Dimensions that equations run through together form classes; the class
 * that is the lanes of most arithmetic is innermost wherever it occurs: channels for images, the
 * output features for weights. Shapes that a person sees never change. */
#include "passes/fusion.h"

#include <assert.h>
#include <string.h>

#define NOT_CHOSEN UINT8_MAX

typedef struct Choice {
    Arena *arena;
    const Graph *graph;
    size_t *first;               /* by node: its first dimension's place in parent */
    size_t *parent;              /* union-find over dimensions */
    bool *inner;                 /* by class: chosen as innermost somewhere */
    uint8_t *innermost;          /* by node: dimension */
} Choice;

/* --- classes ---------------------------------------------------------------------------------------- */
static size_t class_of(Choice *c, NodeId node, size_t dimension)
{
    size_t i = c->first[node] + dimension;
    while (c->parent[i] != i) {
        c->parent[i] = c->parent[c->parent[i]];
        i = c->parent[i];
    }
    return i;
}

static void join(Choice *c, NodeId a, size_t da, NodeId b, size_t db)
{
    size_t x = class_of(c, a, da), y = class_of(c, b, db);
    c->parent[x > y ? x : y] = x > y ? y : x;
}

static void join_reads(Choice *c, NodeId id, const Piece *piece, const ScalarList *list)
{
    size_t rank = graph_node(c->graph, id)->rank;
    for (size_t i = 0; i < list->n; i++) {
        const Scalar *read = list->at[i];
        for (size_t d = 0; read->kind == SCALAR_READ && d < read->n; d++) {
            const Var *var;
            for (size_t k = 0; pos_is_var(read->at[d], &var) && k < rank; k++) {
                const Var *left;
                if (pos_is_var(piece->left[k], &left) && left == var)
                    join(c, id, k, read->tensor, d);
            }
        }
    }
}

static void classify_all(Choice *c)
{
    for (NodeId id = 0; id < c->graph->nodes.len; id++) {
        const Node *node = graph_node(c->graph, id);
        for (size_t p = 0; p < node->n_pieces; p++) {
            ScalarList list = piece_list(c->arena, &node->pieces[p], node->rank);
            join_reads(c, id, &node->pieces[p], &list);
        }
    }
    for (size_t i = 0; i < c->graph->outputs.len; i++) {
        const Output *o = &c->graph->outputs.at[i];
        size_t rank = graph_node(c->graph, o->value)->rank;
        for (size_t d = 0; o->target != NODE_NONE && d < rank; d++)
            join(c, o->value, d, o->target, d);
    }
}

/* --- choosing ---------------------------------------------------------------------------------------- */
static void choose(Choice *c, NodeId node, size_t dimension)
{
    c->innermost[node] = (uint8_t)dimension;
    c->inner[class_of(c, node, dimension)] = true;
}

/* From a class that is innermost elsewhere; the last such dimension. */
static bool chosen_by_class(Choice *c, NodeId id)
{
    const Node *node = graph_node(c->graph, id);
    for (size_t d = node->rank; c->innermost[id] == NOT_CHOSEN && d-- > 0;) {
        if (node->dims[d] > 1 && c->inner[class_of(c, id, d)])
            c->innermost[id] = (uint8_t)d;
    }
    return c->innermost[id] != NOT_CHOSEN;
}

static bool dimension_of(const Scalar *read, const Var *var, size_t *dimension)
{
    for (size_t d = 0; d < read->n; d++) {
        const Var *alone;
        if (pos_is_var(read->at[d], &alone) && alone == var) {
            *dimension = d;
            return true;
        }
    }
    return false;
}

/* How good the variable is as lanes of the contraction. */
static int lanes_score(Choice *c, const Piece *piece, const ScalarList *list, const Var *var)
{
    int score = var->extent >= 4 ? 3 : 1;
    for (size_t i = 0; i < list->n; i++) {
        const Scalar *read = list->at[i];
        size_t dimension;
        if (read->kind != SCALAR_READ || !sc_uses(read, var))
            continue;
        if (!dimension_of(read, var, &dimension))
            score -= 2;
        else if (graph_node(c->graph, read->tensor)->kind == NODE_PARAM)
            score += 4;
    }
    (void)piece;
    return score;
}

static void choose_operands(Choice *c, const Piece *piece, const ScalarList *list, const Var *lanes)
{
    for (size_t i = 0; i < list->n; i++) {
        const Scalar *read = list->at[i];
        size_t dimension;
        if (read->kind != SCALAR_READ || chosen_by_class(c, read->tensor))
            continue;
        if (dimension_of(read, lanes, &dimension)) {
            choose(c, read->tensor, dimension);
            continue;
        }
        for (size_t k = 0; k < piece->n_reduced; k++) {
            if (c->innermost[read->tensor] == NOT_CHOSEN && piece->reduced[k]->extent > 1 &&
                dimension_of(read, piece->reduced[k], &dimension))
                choose(c, read->tensor, dimension);
        }
    }
}

static void choose_contraction(Choice *c, NodeId id)
{
    const Node *node = graph_node(c->graph, id);
    const Piece *piece = node->pieces;
    if (node->kind != NODE_EQUATION || node->n_pieces != 1 || !piece_is_plain(node, piece) ||
        node->reduce != REDUCE_SUM || piece->n_reduced == 0)
        return;
    ScalarList list = piece_list(c->arena, piece, node->rank);
    size_t reads = 0, best = NOT_CHOSEN;
    int best_score = INT32_MIN;
    for (size_t i = 0; i < list.n; i++)
        reads += list.at[i]->kind == SCALAR_READ;
    if (reads < 2)
        return;
    if (chosen_by_class(c, id))
        best = c->innermost[id];
    for (size_t d = 0; c->innermost[id] == NOT_CHOSEN && d < node->rank; d++) {
        int score = lanes_score(c, piece, &list, piece->vars[d]);
        if (node->dims[d] > 1 && score >= best_score) {
            best = d;
            best_score = score;
        }
    }
    if (best == NOT_CHOSEN)
        return;
    choose(c, id, best);
    choose_operands(c, piece, &list, piece->vars[best]);
}

/* The innermost dimension of strides that another graph fixed. */
static void choose_fixed(Choice *c, NodeId id, const int64_t *strides)
{
    const Node *node = graph_node(c->graph, id);
    for (size_t d = 0; d < node->rank; d++) {
        if (node->dims[d] > 1 && strides[d] == 1)
            choose(c, id, d);
    }
}

/* --- strides ------------------------------------------------------------------------------------------ */
static const int64_t *strides_of(Choice *c, NodeId id)
{
    const Node *node = graph_node(c->graph, id);
    int64_t *strides = NEW_ARRAY(c->arena, int64_t, node->rank + 1);
    if (node->kind == NODE_CONSTANT && !node->data)
        return strides;                          /* one element for all positions */
    int64_t step = 1;
    size_t inner = c->innermost[id];
    if (inner < node->rank) {
        strides[inner] = 1;
        step = node->dims[inner];
    }
    for (size_t d = node->rank; d-- > 0;) {
        if (d == inner)
            continue;
        strides[d] = step;
        step *= node->dims[d];
    }
    return strides;
}

static bool is_persistent(const Node *node)
{
    return node->kind == NODE_PARAM || node->kind == NODE_STATE;
}

Layout pass_layout(Arena *arena, const Graph *graph, const int64_t *const *fixed_strides)
{
    size_t n = graph->nodes.len, dims = 0;
    Choice c = {.arena = arena,
                .graph = graph,
                .first = NEW_ARRAY(arena, size_t, n),
                .innermost = NEW_ARRAY(arena, uint8_t, n)};
    for (NodeId id = 0; id < n; id++) {
        c.first[id] = dims;
        c.innermost[id] = NOT_CHOSEN;
        dims += graph_node(graph, id)->rank;
    }
    c.parent = NEW_ARRAY(arena, size_t, dims);
    c.inner = NEW_ARRAY(arena, bool, dims);
    for (size_t i = 0; i < dims; i++)
        c.parent[i] = i;
    classify_all(&c);
    for (NodeId id = 0; id < n; id++) {
        const Node *node = graph_node(graph, id);
        if (is_persistent(node) && fixed_strides[node->variable])
            choose_fixed(&c, id, fixed_strides[node->variable]);
    }
    for (NodeId id = 0; id < n; id++)
        choose_contraction(&c, id);
    const int64_t **strides = NEW_ARRAY(arena, const int64_t *, n);
    uint64_t *elements = NEW_ARRAY(arena, uint64_t, n);
    for (NodeId id = 0; id < n; id++) {
        const Node *node = graph_node(graph, id);
        (void)chosen_by_class(&c, id);
        bool fixed = is_persistent(node) && fixed_strides[node->variable];
        strides[id] = fixed ? fixed_strides[node->variable] : strides_of(&c, id);
        elements[id] = node->kind == NODE_CONSTANT && !node->data ? 1 : (uint64_t)node_elements(node);
    }
    /* what becomes a parameter's next value lies as the parameter does */
    for (size_t i = 0; i < graph->outputs.len; i++) {
        const Output *o = &graph->outputs.at[i];
        if (o->kind == OUT_NEXT && graph_node(graph, o->value)->kind == NODE_EQUATION)
            strides[o->value] = strides[o->target];
    }
    return (Layout){.strides = strides, .elements = elements};
}
