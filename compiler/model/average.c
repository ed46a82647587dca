/* `ema = d`: beside every parameter that trains lives its average over the updates,
 *
 *     average' = d * average + (1 - d) * p'
 *
 * from its value after `load` on. Evaluation and `save` use the averages; states of the model (running
 * statistics) are averages already and stay as they are. */
#include "model/train.h"

static NodeId decay_node(Training *t, const Ast *knob)
{
    Value value;
    NodeId decay = train_knob(t, knob, &value);
    if (decay == NODE_NONE) {
        return NODE_NONE;
    }
    double number = value.kind == VALUE_INT ? (double)value.i : value.f;
    if (value_is_number(&value) && !(number > 0 && number < 1)) {
        Diag *d = diag(&t->b->c->diags, E516, knob->kids[0]->span, "`ema` must be between 0 and 1");
        diag_label(d, "this is %g", number);
        diag_help(d, "0.999 averages over about a thousand updates");
        return NODE_NONE;
    }
    return decay;
}

/* The average as evaluation and `save` take it. One of a parameter kept in less than float32 would not move
 * by steps of (1 - d): such a one is rounded from an average that is kept in f32 beside it. */
static NodeId average_leaf(Training *t, const Variable *v, DType dtype)
{
    Str name = dtype == v->dtype ? STR(":=ema") : STR(":=ema:f32");
    RecipeState state = state_like(t, v, HONE_AVERAGE, name);
    state.dtype = dtype;
    state.init.kind = HONE_INIT_COPY;
    return state_leaf(t, &state, name, v->span);
}

static void move_on(Training *t, const Variable *v, NodeId next, NodeId decay)
{
    Graph *g = t->graph;
    bool is_short = dtype_is_short(v->dtype);
    NodeId average = average_leaf(t, v, is_short ? DT_F32 : v->dtype);
    const Var *vars[MAX_RANK];
    const Position *at[MAX_RANK];
    graph_index(g, average, vars, at);
    const Scalar *d = read_scalar(g, decay, DT_F32), *one = sc_const(g->pool, DT_F32, 1);
    const Scalar *kept = sc_fn2(g->pool, OP_MUL, d, graph_read(g, average, at, NULL));
    const Scalar *added = sc_fn2(g->pool, OP_MUL, sc_fn2(g->pool, OP_SUB, one, d),
                                 graph_read(g, next, at, NULL));
    NodeId moved = graph_define(g, graph_node(g, average)->dtype, REDUCE_NONE, v->rank, vars, 0, NULL,
                                sc_fn2(g->pool, OP_ADD, kept, added), STR("average"), v->span);
    graph_output(g, OUT_NEXT, graph_node(g, average)->name, moved, average);
    if (is_short) {
        NodeId rounded = average_leaf(t, v, v->dtype);
        graph_output(g, OUT_NEXT, graph_node(g, rounded)->name,
                     node_as(g, moved, v->dtype, STR("average")), rounded);
    }
}

bool train_average(Training *t, const Ast *knob)
{
    const Model *model = t->b->r->model;
    NodeId decay = decay_node(t, knob);
    if (decay == NODE_NONE) {
        return false;
    }
    t->stage->average = true;
    for (size_t i = 0; i < model->variables.len; i++) {
        const Variable *v = model->variables.at[i];
        bool trains = t->nexts[i] != NODE_NONE;
        if (trains || state_find(t, v, HONE_AVERAGE) != NODE_NONE) { /* trained before: on towards p */
            move_on(t, v, trains ? t->nexts[i] : variable_leaf(t, v), decay);
        }
    }
    return true;
}
