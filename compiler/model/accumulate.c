/* `accumulate = n`: an update of n parts, a batch each. Accumulation is defined on sums. A loss that
 * is made of totals means the totals of all parts: those that no parameter reaches (the number of
 * tokens) are counted over all parts first, the others add up. What stands outside of totals is
 * averaged over the parts. So
 *
 *     loss of a part = F(n * own totals, totals of all parts) / n
 *
 * whose gradients, added up, are those of the whole wherever F is affine in the totals that
 * parameters reach; anything else is E519. */
#include "model/train.h"

/* --- the loss of a part ---------------------------------------------------------------------- */
/* They are the same tensors for samples of every length. */
static void keep_counts(Training *t)
{
    RecipeBuild *b = t->b;
    const Elab *e = t->forward;
    size_t known = b->r->model->variables.len + b->r->states.len;
    for (size_t i = 0; i < e->totals.len; i++) {
        const Total *total = &e->totals.at[i];
        RecipeState state = {.kind = HONE_TOTAL, .dtype = DT_F64, .rank = total->rank, .of = HONE_NONE};
        state.key = str_format(b->c->arena, "total:" STR_FMT ":%zu", STR_ARG(t->stage->name), i);
        for (size_t k = 0; k < total->rank; k++) {
            state.dims[k] = total->dims[k];
        }
        VEC_PUSH(b->c->arena, t->stage->zeroed, total->variable);
        if (total->variable >= known) {
            VEC_PUSH(b->c->arena, b->r->states, state);
        }
    }
}

bool train_part_loss(Training *t, StepResult *step)
{
    RecipeBuild *b = t->b;
    Elab *e = t->forward;
    Graph *g = e->graph;
    Linear how = graph_linear(b->c->arena, g, step->loss, e->multiplied.len, e->multiplied.at);
    if (how == LINEAR_NOT) {
        const Ast *knob = knob_find(b, b->stage->ast, "accumulate");
        Diag *d = diag(&b->c->diags, E519, step->loss_span,
                       "this loss is no sum over the parts of an update");
        diag_label(d, "a total that parameters reach is not only added and scaled here");
        diag_note_at(d, knob->name, "", "an update has %lld parts", (long long)t->stage->accumulate);
        diag_help(d, "for instance `loss = total(nll) / total(count(nll))`: only what no parameter "
                     "reaches may stand below a division or inside a function");
        return false;
    }
    keep_counts(t);
    const Scalar *share = sc_const(g->pool, DT_F32, 1.0 / (double)t->stage->accumulate);
    const Scalar *own = sc_fn2(g->pool, OP_MUL, graph_read0(g, step->loss), share);
    step->loss = graph_define(g, DT_F32, REDUCE_NONE, 0, NULL, 0, NULL, own, STR("part"),
                              step->loss_span);
    return true;
}

/* --- counting -------------------------------------------------------------------------------- */
static const Graph *count_graph(Training *t)
{
    const Elab *e = t->forward;
    if (e->totals.len == 0) {
        return NULL;
    }
    Arena *arena = t->b->c->arena;
    Graph *g = graph_new(arena);
    NodeId *map = NEW_ARRAY(arena, NodeId, e->graph->nodes.len + 1);
    for (size_t i = 0; i < e->graph->nodes.len; i++) {
        map[i] = NODE_NONE;
    }
    for (size_t i = 0; i < e->totals.len; i++) {
        const Total *total = &e->totals.at[i];
        NodeId value = graph_import(g, e->graph, total->value, map);
        NodeId state = graph_import(g, e->graph, total->state, map);
        Str name = graph_node(g, state)->name;
        NodeId next = node_sum(g, DT_F64, state, value, graph_node(g, value)->span);
        graph_output(g, OUT_NEXT, name, next, state);
    }
    return g;
}

/* --- adding up ------------------------------------------------------------------------------- */
static NodeId add_up(Training *t, const RecipeState *state, Str name, NodeId value, uint32_t *index)
{
    Span span = graph_node(t->graph, value)->span;
    NodeId leaf = state_leaf(t, state, name, span);
    *index = graph_node(t->graph, leaf)->variable;
    NodeId next = node_sum(t->graph, state->dtype, leaf, value, span);
    graph_output(t->graph, OUT_NEXT, state->key, next, leaf);
    VEC_PUSH(t->b->c->arena, t->stage->zeroed, *index);
    return leaf;
}

static void add_gradient(Training *t, const Variable *v)
{
    RecipeState state = state_like(t, v, HONE_GRADIENT, STR(":=grad"));
    state.dtype = graph_node(t->graph, t->grads[v->index])->dtype;
    uint32_t index;
    add_up(t, &state, STR(":=grad"), t->grads[v->index], &index);
}

void train_accumulate(Training *t)
{
    RecipeBuild *b = t->b;
    const Model *model = b->r->model;
    RecipeState whole = {.kind = HONE_GRADIENT, .dtype = DT_F32, .of = HONE_NONE, .key = STR(":=loss")};
    uint32_t loss;
    t->stage->count = count_graph(t);
    t->update = elab_new(b->c, b->r->model, t->graph, true, t->stage->trainable);
    for (size_t i = 0; i < model->variables.len; i++) {
        t->update->variable_nodes[i] = t->forward->variable_nodes[i];
        if (t->grads[i] != NODE_NONE) {
            add_gradient(t, model->variables.at[i]);
        }
    }
    add_up(t, &whole, STR(":=loss"), t->loss, &loss);
    next_model_states(t);
    t->stage->train = t->graph;
    t->graph = graph_new(b->c->arena);
    t->forward = NULL;
    for (size_t i = 0; i < model->variables.len; i++) {
        if (t->grads[i] != NODE_NONE) {
            RecipeState state = state_like(t, model->variables.at[i], HONE_GRADIENT, STR(":=grad"));
            t->grads[i] = state_leaf(t, &state, STR(":=grad"), model->variables.at[i]->span);
        }
    }
    graph_output(t->graph, OUT_VALUE, STR("loss"), state_leaf(t, &whole, STR(":=loss"), (Span){0}),
                 NODE_NONE);
}
