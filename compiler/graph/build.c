/* build: the only way to add nodes. A builder completes what follows from its arguments (casts of
 * bodies, dims of plain equations), copies everything onto the graph's arena and asserts what
 * verify.c checks: an ill-shaped node never enters a graph. */
#include "graph/internal.h"

#include <assert.h>

const char *reduce_name(ReduceOp op)
{
    switch (op) {
    case REDUCE_NONE: return "none";
    case REDUCE_SUM: return "sum";
    case REDUCE_PROD: return "prod";
    case REDUCE_MAX: return "max";
    case REDUCE_MIN: return "min";
    case REDUCE_ANY: return "any";
    case REDUCE_ALL: return "all";
    case REDUCE_ARGMAX: return "argmax";
    case REDUCE_ARGMIN: return "argmin";
    }
    return "?";
}

Graph *graph_new(Arena *arena)
{
    Graph *graph = NEW(arena, Graph);
    graph->arena = arena;
    graph->pool = pool_new(arena);
    return graph;
}

const Node *graph_node(const Graph *graph, NodeId id)
{
    assert(id < graph->nodes.len);
    return &graph->nodes.at[id];
}

int64_t node_elements(const Node *node)
{
    int64_t elements = 1;
    for (size_t k = 0; k < node->rank; k++) {
        bool fits = CHECKED_MUL(elements, node->dims[k], &elements);
        assert(fits);
        (void)fits;
    }
    return elements;
}

static NodeId node_add(Graph *graph, Node node)
{
    Arena *arena = graph->arena;
    node.dims = node.rank == 0 ? NULL : arena_copy(arena, node.dims, node.rank * sizeof *node.dims);
    node.name = str_copy(arena, node.name);
    NodeId id = (NodeId)graph->nodes.len;
    const char *problem = node_problem(graph, &node, id, arena);
    assert(!problem);          /* a debugger shows what it says */
    (void)problem;
    VEC_PUSH(arena, graph->nodes, node);
    return id;
}

NodeId graph_leaf(Graph *graph, NodeKind kind, DType dtype, size_t rank, const int64_t *dims,
                  Str name, uint32_t variable, Span span)
{
    assert(kind == NODE_INPUT || kind == NODE_PARAM || kind == NODE_STATE || kind == NODE_STEP);
    return node_add(graph, (Node){.kind = kind, .dtype = dtype, .rank = rank, .dims = dims,
                                  .name = name, .variable = variable, .span = span});
}

NodeId graph_constant(Graph *graph, DType dtype, size_t rank, const int64_t *dims,
                      const double *data, double value, Span span)
{
    Node node = {.kind = NODE_CONSTANT, .dtype = dtype, .rank = rank, .dims = dims, .span = span,
                 .value = value};
    if (data) {
        size_t elements = (size_t)node_elements(&node);
        double *copy = NEW_ARRAY(graph->arena, double, elements == 0 ? 1 : elements);
        for (size_t i = 0; i < elements; i++)
            copy[i] = data[i];
        node.data = copy;
        node.value = 0;
    }
    return node_add(graph, node);
}

static Piece piece_copy(Graph *graph, const Piece *piece, size_t rank)
{
    Arena *arena = graph->arena;
    Piece copy = *piece;
    copy.vars = arena_copy(arena, piece->vars, piece->n_vars * sizeof *piece->vars);
    copy.reduced = arena_copy(arena, piece->reduced, piece->n_reduced * sizeof *piece->reduced);
    copy.left = arena_copy(arena, piece->left, rank * sizeof *piece->left);
    copy.guards = arena_copy(arena, piece->guards, piece->n_guards * sizeof *piece->guards);
    return copy;
}

NodeId graph_equation(Graph *graph, DType dtype, size_t rank, const int64_t *dims, ReduceOp reduce,
                      size_t n_pieces, const Piece *pieces, Str name, Span span)
{
    Piece *copies = NEW_ARRAY(graph->arena, Piece, n_pieces == 0 ? 1 : n_pieces);
    for (size_t i = 0; i < n_pieces; i++) {
        copies[i] = piece_copy(graph, &pieces[i], rank);
        if (reduce != REDUCE_ARGMAX && reduce != REDUCE_ARGMIN)
            copies[i].body = sc_cast(graph->pool, dtype, copies[i].body);
    }
    return node_add(graph, (Node){.kind = NODE_EQUATION, .dtype = dtype, .rank = rank,
                                  .dims = dims, .name = name, .span = span, .reduce = reduce,
                                  .n_pieces = n_pieces, .pieces = copies});
}

NodeId graph_define(Graph *graph, DType dtype, ReduceOp reduce, size_t n_vars,
                    const Var *const *vars, size_t n_reduced, const Var *const *reduced,
                    const Scalar *body, Str name, Span span)
{
    assert(n_vars <= MAX_RANK);
    int64_t dims[MAX_RANK];
    const Position *left[MAX_RANK];
    for (size_t k = 0; k < n_vars; k++) {
        dims[k] = vars[k]->extent;
        left[k] = pos_var(graph->pool, vars[k]);
    }
    Piece piece = {.n_vars = n_vars, .n_reduced = n_reduced, .vars = vars, .reduced = reduced,
                   .left = left, .body = body};
    return graph_equation(graph, dtype, n_vars, dims, reduce, 1, &piece, name, span);
}

NodeId graph_intrinsic(Graph *graph, Str function, DType dtype, size_t rank, const int64_t *dims,
                       size_t n_args, const NodeId *args, Span span)
{
    return node_add(graph,
                    (Node){.kind = NODE_INTRINSIC, .dtype = dtype, .rank = rank, .dims = dims,
                           .span = span, .function = str_copy(graph->arena, function),
                           .n_args = n_args,
                           .args = arena_copy(graph->arena, args, n_args * sizeof *args)});
}

void graph_output(Graph *graph, OutputKind kind, Str name, NodeId value, NodeId target)
{
    assert(value < graph->nodes.len && (target == NODE_NONE || target < graph->nodes.len));
    Output output = {.kind = kind, .name = str_copy(graph->arena, name), .value = value,
                     .target = target};
    VEC_PUSH(graph->arena, graph->outputs, output);
}

const Scalar *graph_read(const Graph *graph, NodeId tensor, const Position *const *at,
                         const Scalar *fill)
{
    const Node *node = graph_node(graph, tensor);
    bool inside = true;
    for (size_t k = 0; k < node->rank; k++)
        inside &= pos_in_range(at[k], node->dims[k]);
    return sc_read(graph->pool, node->dtype, tensor, node->rank, at, inside ? NULL : fill);
}

void graph_index(Graph *graph, NodeId tensor, const Var *vars[MAX_RANK],
                 const Position *at[MAX_RANK])
{
    const Node *node = graph_node(graph, tensor);
    for (size_t k = 0; k < node->rank; k++) {
        vars[k] = var_new(graph->pool, node->dims[k], (Str){0});
        at[k] = pos_var(graph->pool, vars[k]);
    }
}

const Scalar *graph_read_whole(const Graph *graph, NodeId tensor)
{
    const Var *vars[MAX_RANK];
    const Position *at[MAX_RANK];
    graph_index((Graph *)(uintptr_t)graph, tensor, vars, at);
    return graph_read(graph, tensor, at, NULL);
}

const Scalar *graph_read0(const Graph *graph, NodeId tensor)
{
    assert(graph_node(graph, tensor)->rank == 0);
    return sc_read(graph->pool, graph_node(graph, tensor)->dtype, tensor, 0, NULL, NULL);
}

bool piece_is_plain(const Node *node, const Piece *piece)
{
    if (piece->n_vars != node->rank || piece->n_guards != 0)
        return false;
    for (size_t k = 0; k < node->rank; k++) {
        const Var *var = NULL;
        int64_t zero = 0;
        if (piece->vars[k]->extent != node->dims[k])
            return false;
        bool is_var = pos_is_var(piece->left[k], &var) && var == piece->vars[k];
        bool is_unit = node->dims[k] == 1 && pos_is_const(piece->left[k], &zero) && zero == 0;
        if (!is_var && !is_unit)
            return false;
    }
    return true;
}
