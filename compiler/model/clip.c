/* Clipping of gradients by their global norm, over a tree of fixed shape. */
#include <math.h>

#include "model/train.h"

const Scalar *read_scalar(Graph *g, NodeId id, DType dtype)
{
    const Scalar *read = sc_read(g->pool, graph_node(g, id)->dtype, id, 0, NULL, NULL);
    return sc_cast(g->pool, dtype, read);
}

static NodeId sum_of_squares(Graph *g, NodeId id)
{
    Node node = *graph_node(g, id);
    const Var *vars[MAX_RANK];
    const Position *at[MAX_RANK];
    graph_index(g, id, vars, at);
    const Scalar *x = sc_read(g->pool, node.dtype, id, node.rank, at, NULL);
    ReduceOp reduce = node.rank > 0 ? REDUCE_SUM : REDUCE_NONE;
    return graph_define(g, DT_F32, reduce, 0, NULL, node.rank, vars, sc_fn2(g->pool, OP_MUL, x, x),
                        (Str){0}, node.span);
}

/* A tree of fixed shape: the order of summation depends on the model alone. */
static NodeId sum_tree(Graph *g, size_t n, NodeId *parts)
{
    enum { FAN = 8 };
    while (n > 1) {
        size_t m = 0;
        for (size_t i = 0; i < n; i += FAN) {
            const Scalar *terms[FAN];
            size_t k = 0;
            for (; k < FAN && i + k < n; k++) {
                terms[k] = read_scalar(g, parts[i + k], DT_F32);
            }
            const Scalar *sum = k > 1 ? sc_fn(g->pool, OP_ADD, k, terms) : terms[0];
            parts[m++] =
                graph_define(g, DT_F32, REDUCE_NONE, 0, NULL, 0, NULL, sum, (Str){0}, (Span){0});
        }
        n = m;
    }
    return parts[0];
}

static NodeId scaled(Graph *g, NodeId id, NodeId by)
{
    Node node = *graph_node(g, id);
    const Var *vars[MAX_RANK];
    const Position *at[MAX_RANK];
    graph_index(g, id, vars, at);
    const Scalar *x = sc_read(g->pool, node.dtype, id, node.rank, at, NULL);
    return graph_define(g, node.dtype, REDUCE_NONE, node.rank, vars, 0, NULL,
                        sc_fn2(g->pool, OP_MUL, x, read_scalar(g, by, DT_F32)), (Str){0},
                        node.span);
}

/* scale = min(1, clip / (norm + 1e-6)), as torch.nn.utils.clip_grad_norm_ */
bool train_clip(Training *t, const Ast *knob)
{
    RecipeBuild *b = t->b;
    Value value;
    NodeId most = train_knob(t, knob, &value);
    if (most == NODE_NONE) {
        return false;
    }
    double number = value.kind == VALUE_INT ? (double)value.i : value.f;
    if (value_is_number(&value) && !(number > 0 && isfinite(number))) {
        Diag *d = diag(&b->c->diags, E516, knob->kids[0]->span, "`clip` must be above 0");
        diag_label(d, "this is %g", number);
        return false;
    }
    Graph *g = t->graph;
    size_t n = 0, variables = b->r->model->variables.len;
    NodeId *squares = NEW_ARRAY(b->c->arena, NodeId, variables + 1);
    for (size_t i = 0; i < variables; i++) {
        if (t->grads[i] != NODE_NONE) {
            squares[n++] = sum_of_squares(g, t->grads[i]);
        }
    }
    if (n == 0) {
        return true;
    }
    NodeId total = sum_tree(g, n, squares);
    NodeId norm = graph_define(g, DT_F32, REDUCE_NONE, 0, NULL, 0, NULL,
                               sc_fn1(g->pool, OP_SQRT, read_scalar(g, total, DT_F32)), STR("grad"),
                               knob->span);
    const Scalar *below =
        sc_fn2(g->pool, OP_ADD, read_scalar(g, norm, DT_F32), sc_const(g->pool, DT_F32, 1e-6));
    const Scalar *ratio = sc_fn2(g->pool, OP_DIV, read_scalar(g, most, DT_F32), below);
    const Scalar *scale = sc_fn2(g->pool, OP_MIN, sc_const(g->pool, DT_F32, 1), ratio);
    NodeId by =
        graph_define(g, DT_F32, REDUCE_NONE, 0, NULL, 0, NULL, scale, STR("clip"), knob->span);
    for (size_t i = 0; i < variables; i++) {
        if (t->grads[i] != NODE_NONE) {
            t->grads[i] = scaled(g, t->grads[i], by);
        }
    }
    graph_output(g, OUT_VALUE, STR("grad"), norm, NODE_NONE);
    return true;
}
