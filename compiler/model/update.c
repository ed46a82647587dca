/* What lives between the steps of a run beside the model, and the update's equations: the next value
 * of every trainable parameter and of the states that its optimizer keeps. */
#include "model/train.h"

/* Index of a persistent tensor; the same rule in a later stage finds its own state again. */
static uint32_t persistent(RecipeBuild *b, const RecipeState *state, Str name)
{
    size_t first = b->r->model->variables.len;
    bool taken = false;
    for (size_t i = 0; i < b->r->states.len; i++) {
        const RecipeState *s = &b->r->states.at[i];
        if (s->kind == state->kind && s->of == state->of && s->rule == state->rule &&
            str_ends(s->key, name)) {
            return (uint32_t)(first + i);
        }
        taken = taken || str_eq(s->key, state->key);
    }
    RecipeState added = *state;
    if (taken) { /* another rule keeps a state of this name */
        added.key = str_format(b->c->arena, STR_FMT ":" STR_FMT STR_FMT,
                               STR_ARG(b->r->model->variables.at[state->of]->key),
                               STR_ARG(state->rule->text), STR_ARG(name));
    }
    VEC_PUSH(b->c->arena, b->r->states, added);
    return (uint32_t)(first + b->r->states.len - 1);
}

NodeId state_leaf(Training *t, const RecipeState *state, Str name, Span span)
{
    uint32_t index = persistent(t->b, state, name);
    const RecipeState *s = &t->b->r->states.at[index - t->b->r->model->variables.len];
    for (size_t i = 0; i < t->graph->nodes.len; i++) {
        const Node *node = &t->graph->nodes.at[i];
        if (node->kind == NODE_STATE && node->variable == index) {
            return (NodeId)i;
        }
    }
    return graph_leaf(t->graph, NODE_STATE, s->dtype, s->rank, s->dims, s->key, index, span);
}

NodeId state_find(Training *t, const Variable *v, HoneTensorKind kind)
{
    for (size_t i = 0; i < t->b->r->states.len; i++) {
        const RecipeState *s = &t->b->r->states.at[i];
        if (s->kind == kind && s->of == v->index) {
            uint32_t index = (uint32_t)(t->b->r->model->variables.len + i);
            return graph_leaf(t->graph, NODE_STATE, s->dtype, s->rank, s->dims, s->key, index,
                              v->span);
        }
    }
    return NODE_NONE;
}

RecipeState state_like(const Training *t, const Variable *v, HoneTensorKind kind, Str name)
{
    RecipeState state = {.kind = kind, .dtype = v->dtype, .rank = v->rank, .of = v->index};
    state.key = str_format(t->b->c->arena, STR_FMT STR_FMT, STR_ARG(v->key), STR_ARG(name));
    for (size_t i = 0; i < v->rank; i++) {
        state.dims[i] = v->dims[i];
    }
    return state;
}

NodeId initial_leaf(Training *t, const Variable *v)
{
    RecipeState state = state_like(t, v, HONE_INITIAL, STR(":=p0"));
    state.init.kind = HONE_INIT_COPY;
    return state_leaf(t, &state, STR(":=p0"), v->span);
}

NodeId variable_leaf(Training *t, const Variable *v)
{
    NodeId *leaf = &t->update->variable_nodes[v->index];
    if (*leaf == NODE_NONE) {
        *leaf = graph_leaf(t->graph, v->is_state ? NODE_STATE : NODE_PARAM, v->dtype, v->rank,
                           v->dims, v->key, v->index, v->span);
    }
    return *leaf;
}

/* t counts this rule's updates of the parameter: bit s of the name says that it was the one in stage
 * s too. */
static NodeId t_leaf(Training *t, const Variable *v)
{
    uint64_t mask = 0;
    const Ast *rule = t->stage->uses[v->index].optimizer.item;
    for (size_t i = 0; i < t->index && i < HONE_MAX_STAGES; i++) {
        const VariableUse *before = &t->b->r->stages.at[i].uses[v->index];
        mask |= (uint64_t)(before->trainable && before->optimizer.item == rule) << i;
    }
    for (size_t i = 0; i < t->masks.len; i++) {
        if (t->masks.at[i] == mask) {
            return t->ts.at[i];
        }
    }
    Str name = str_format(t->b->c->arena, "t@%llu", (unsigned long long)mask);
    NodeId leaf = graph_leaf(t->graph, NODE_STEP, DT_F64, 0, NULL, name, 0, (Span){0});
    VEC_PUSH(t->b->c->arena, t->masks, mask);
    VEC_PUSH(t->b->c->arena, t->ts, leaf);
    return leaf;
}

static bool update_variable(Training *t, const Variable *v)
{
    const OptimizerUse *use = &t->stage->uses[v->index].optimizer;
    Arena *arena = t->b->c->arena;
    size_t n;
    OptimizerState *list;
    if (!optimizer_states(t->update, use, v, &n, &list)) {
        return false;
    }
    NodeId g = t->grads[v->index];
    if (g == NODE_NONE) {
        return true; /* the step does not read it */
    }
    NodeId *states = NEW_ARRAY(arena, NodeId, n + 1), *next = NEW_ARRAY(arena, NodeId, n + 1);
    for (size_t i = 0; i < n; i++) {
        Str name = str_format(arena, ":" STR_FMT, STR_ARG(list[i].name));
        RecipeState state = state_like(t, v, HONE_OPTIMIZER_STATE, name);
        state.dtype = list[i].dtype;
        state.rank = list[i].rank;
        state.init = list[i].init;
        state.rule = use->item;
        for (size_t k = 0; k < list[i].rank; k++) {
            state.dims[k] = list[i].dims[k];
        }
        states[i] = state_leaf(t, &state, name, use->span);
    }
    NodeId p = variable_leaf(t, v), next_p;
    NodeId count = optimizer_wants(t->update, use, v, STR("t")) ? t_leaf(t, v) : NODE_NONE;
    NodeId p0 = optimizer_wants(t->update, use, v, STR("p0")) ? initial_leaf(t, v) : NODE_NONE;
    if (!optimizer_update(t->update, use, v, p, g, count, p0, states, &next_p, next)) {
        return false;
    }
    graph_output(t->graph, OUT_NEXT, v->key, next_p, p);
    t->nexts[v->index] = next_p;
    for (size_t i = 0; i < n; i++) {
        if (next[i] != NODE_NONE) {
            Str key = graph_node(t->graph, states[i])->name;
            graph_output(t->graph, OUT_NEXT, key, next[i], states[i]);
        }
    }
    return true;
}

/* One wrong rule would be reported once for every parameter: the first stands for its kind. */
bool update_all(Training *t)
{
    const Model *model = t->b->r->model;
    VEC(Span) failed = {0}; /* calls of rules */
    for (size_t i = 0; i < model->variables.len; i++) {
        const VariableUse *use = &t->stage->uses[i];
        bool skip = !use->trainable;
        for (size_t k = 0; k < failed.len && !skip; k++) {
            skip = failed.at[k].file == use->optimizer.span.file &&
                   failed.at[k].start == use->optimizer.span.start;
        }
        if (!skip && !update_variable(t, model->variables.at[i])) {
            VEC_PUSH(t->b->c->arena, failed, use->optimizer.span);
        }
    }
    return failed.len == 0;
}

void next_model_states(Training *t)
{
    const Model *model = t->b->r->model;
    for (size_t i = 0; i < model->variables.len; i++) {
        const Variable *v = model->variables.at[i];
        NodeId next = t->forward->next_nodes[i];
        if (next != NODE_NONE) {
            graph_output(t->graph, OUT_NEXT, v->key, next, variable_leaf(t, v));
        }
    }
}
