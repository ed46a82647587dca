/* verify: what every graph satisfies between passes. Builders assert the same of each new node, so
 * that this finds only nodes changed behind their back, and outputs. */
#include "graph/internal.h"

typedef struct Check {
    const Graph *graph;
    const Node *node;
    NodeId id;
    Arena *arena;
} Check;

#define PROBLEM(check, ...) str_format((check)->arena, __VA_ARGS__).ptr

static bool var_is_of(const Piece *piece, const Var *var, bool reduced_too)
{
    for (size_t i = 0; i < piece->n_vars; i++)
        if (piece->vars[i] == var)
            return true;
    for (size_t i = 0; reduced_too && i < piece->n_reduced; i++)
        if (piece->reduced[i] == var)
            return true;
    return false;
}

static const char *check_vars(const Check *c, const Piece *piece, size_t n,
                              const Var *const *vars, bool reduced_too, const char *where)
{
    for (size_t i = 0; i < n; i++)
        if (!var_is_of(piece, vars[i], reduced_too))
            return PROBLEM(c, "variable `" STR_FMT "` in %s is not the piece's",
                           STR_ARG(vars[i]->name), where);
    return NULL;
}

static const char *check_read(const Check *c, const Scalar *read)
{
    if (read->tensor >= c->id)
        return PROBLEM(c, "reads node %u, which does not come before it", read->tensor);
    const Node *tensor = graph_node(c->graph, read->tensor);
    if (read->n != tensor->rank)
        return PROBLEM(c, "reads node %u of rank %zu with %zu positions", read->tensor,
                       tensor->rank, read->n);
    if (read->dtype != tensor->dtype)
        return PROBLEM(c, "reads node %u as %s, which is %s", read->tensor,
                       dtype_name(read->dtype), dtype_name(tensor->dtype));
    for (size_t k = 0; !read->fill && k < read->n; k++)
        if (!read->at[k]->has_data && !pos_in_range(read->at[k], tensor->dims[k]))
            return PROBLEM(c, "reads node %u at %lld..%lld of dimension %zu, which has %lld",
                           read->tensor, (long long)read->at[k]->min, (long long)read->at[k]->max,
                           k, (long long)tensor->dims[k]);
    return NULL;
}

static const char *check_reads(const Check *c, size_t n, const Scalar *const *reads)
{
    const char *problem = NULL;
    for (size_t i = 0; !problem && i < n; i++)
        problem = check_read(c, reads[i]);
    return problem;
}

static const char *check_position(const Check *c, const Piece *piece, const Position *p,
                                  bool reduced_too, const char *where)
{
    const Scalar *const *reads;
    const char *problem = check_vars(c, piece, p->n_vars, p->vars, reduced_too, where);
    if (!problem && p->has_data)
        problem = check_reads(c, pos_reads(c->graph->pool, p, &reads), reads);
    return problem;
}

/* Is the store at dimension k inside, by interval or by a guard on the position itself? */
static bool store_inside(const Piece *piece, size_t k, int64_t extent)
{
    if (pos_in_range(piece->left[k], extent) || piece->left[k]->has_data)
        return true;
    for (size_t i = 0; i < piece->n_guards; i++) {
        const Guard *guard = &piece->guards[i];
        if (guard->position == piece->left[k] && guard->lo >= 0 && guard->hi <= extent)
            return true;
    }
    return false;
}

static const char *check_left(const Check *c, const Piece *piece)
{
    for (size_t k = 0; k < c->node->rank; k++) {
        const char *problem = check_position(c, piece, piece->left[k], false, "a left position");
        if (problem)
            return problem;
        if (!store_inside(piece, k, c->node->dims[k]))
            return PROBLEM(c, "stores at %lld..%lld of dimension %zu, which has %lld",
                           (long long)piece->left[k]->min, (long long)piece->left[k]->max, k,
                           (long long)c->node->dims[k]);
    }
    return NULL;
}

static const char *check_body_dtype(const Check *c, const Piece *piece)
{
    DType body = piece->body->dtype, node = c->node->dtype;
    switch (c->node->reduce) {
    case REDUCE_ARGMAX:
    case REDUCE_ARGMIN:
        return node == DT_I32 || node == DT_I64 ? NULL : "argmax of another dtype than i32 or i64";
    case REDUCE_ANY:
    case REDUCE_ALL:
        return node == DT_BOOL && body == DT_BOOL ? NULL : "any or all of what is not bool";
    case REDUCE_NONE:
    case REDUCE_SUM:
    case REDUCE_PROD:
    case REDUCE_MAX:
    case REDUCE_MIN:
        break;
    }
    return body == node ? NULL
                        : PROBLEM(c, "body is %s, tensor %s", dtype_name(body), dtype_name(node));
}

static const char *check_piece(const Check *c, const Piece *piece)
{
    if (c->node->reduce == REDUCE_NONE && piece->n_reduced != 0)
        return "reduced variables without a reduction";
    for (size_t i = 0; i < piece->n_vars + piece->n_reduced; i++)
        for (size_t k = 0; k < i; k++) {
            const Var *a = i < piece->n_vars ? piece->vars[i] : piece->reduced[i - piece->n_vars];
            const Var *b = k < piece->n_vars ? piece->vars[k] : piece->reduced[k - piece->n_vars];
            if (a == b)
                return PROBLEM(c, "variable `" STR_FMT "` stands twice", STR_ARG(a->name));
        }
    const char *problem = check_left(c, piece);
    for (size_t i = 0; !problem && i < piece->n_guards; i++)
        problem = check_position(c, piece, piece->guards[i].position, true, "a guard");
    if (!problem)
        problem = check_vars(c, piece, piece->body->n_vars, piece->body->vars, true, "the body");
    const Scalar *const *reads;
    if (!problem)
        problem = check_reads(c, sc_reads(c->graph->pool, piece->body, &reads), reads);
    return problem ? problem : check_body_dtype(c, piece);
}

static const char *check_args(const Check *c)
{
    for (size_t i = 0; i < c->node->n_args; i++)
        if (c->node->args[i] >= c->id)
            return PROBLEM(c, "argument %zu does not come before it", i);
    return c->node->function.len > 0 ? NULL : "an intrinsic without a name";
}

const char *node_problem(const Graph *graph, const Node *node, NodeId id, Arena *arena)
{
    Check check = {.graph = graph, .node = node, .id = id, .arena = arena};
    const Check *c = &check;
    if (node->rank > MAX_RANK)
        return PROBLEM(c, "rank %zu", node->rank);
    int64_t elements = 1;
    for (size_t k = 0; k < node->rank; k++)
        if (node->dims[k] < 0 || !CHECKED_MUL(elements, node->dims[k], &elements))
            return PROBLEM(c, "dimension %zu is %lld", k, (long long)node->dims[k]);
    switch (node->kind) {
    case NODE_INPUT:
    case NODE_PARAM:
    case NODE_STATE:
    case NODE_CONSTANT:
        return NULL;
    case NODE_STEP:
        return node->rank == 0 && node->dtype == DT_F64 ? NULL : "a step value is a rank-0 f64";
    case NODE_INTRINSIC:
    case NODE_COLLECTIVE:
        return check_args(c);
    case NODE_EQUATION:
        break;
    }
    if (node->n_pieces != 1 && node->reduce != REDUCE_NONE && node->reduce != REDUCE_SUM)
        return PROBLEM(c, "%zu pieces under %s", node->n_pieces, reduce_name(node->reduce));
    for (size_t i = 0; i < node->n_pieces; i++) {
        const char *problem = check_piece(c, &node->pieces[i]);
        if (problem)
            return PROBLEM(c, "piece %zu: %s", i, problem);
    }
    return NULL;
}

static const char *output_problem(const Check *c, const Output *output)
{
    if (output->value >= c->graph->nodes.len)
        return "no such value";
    const Node *value = graph_node(c->graph, output->value);
    switch (output->kind) {
    case OUT_LOSS:
        return value->rank == 0 && dtype_is_float(value->dtype) ? NULL : "a loss is a real number";
    case OUT_VALUE:
        return NULL;
    case OUT_GRAD:
    case OUT_NEXT:
        break;
    }
    if (output->target >= c->graph->nodes.len)
        return "no such target";
    const Node *target = graph_node(c->graph, output->target);
    if (target->kind != NODE_PARAM && (output->kind == OUT_GRAD || target->kind != NODE_STATE))
        return "the target is not a variable";
    bool widened = output->kind == OUT_GRAD && dtype_is_short(target->dtype);
    if (value->rank != target->rank || value->dtype != (widened ? DT_F32 : target->dtype))
        return "value and target differ in rank or dtype";
    for (size_t k = 0; k < value->rank; k++)
        if (value->dims[k] != target->dims[k])
            return "value and target differ in shape";
    return NULL;
}

const char *graph_verify(const Graph *graph, Arena *arena)
{
    Check check = {.graph = graph, .arena = arena};
    for (NodeId id = 0; id < graph->nodes.len; id++) {
        const Node *node = graph_node(graph, id);
        const char *problem = node_problem(graph, node, id, arena);
        if (problem)
            return PROBLEM(&check, "node %u `" STR_FMT "`: %s", id, STR_ARG(node->name), problem);
    }
    for (size_t i = 0; i < graph->outputs.len; i++) {
        const char *problem = output_problem(&check, &graph->outputs.at[i]);
        if (problem)
            return PROBLEM(&check, "output `" STR_FMT "`: %s", STR_ARG(graph->outputs.at[i].name),
                           problem);
    }
    return NULL;
}
