/* The training graph of a stage: the step's equations, their gradients, clipping, and the update of
 * every trainable parameter. Autodiff is a pass of its own; it is called here because the update
 * reads the gradients. */
#include <math.h>

#include "model/recipe.h"
#include "passes/passes.h"

typedef struct Training {
    RecipeBuild *b;
    RecipeStage *stage;
    size_t index;           /* of the stage */
    Elab *forward, *update; /* of the same nodes; the update's graph goes on after autodiff */
    Graph *graph;           /* the update's */
    NodeId *grads;          /* by variable; NODE_NONE: not trained, or not read by the step */
    OptimizerUse base;
    VEC(uint64_t) masks; /* of the `t` leaves made so far */
    VEC(NodeId) ts;
} Training;

/* --- forward and gradients ------------------------------------------------------------------- */
static bool forward(Training *t, const Ast *clause)
{
    RecipeBuild *b = t->b;
    Graph *g = graph_new(b->c->arena);
    Elab *e = t->forward = elab_new(b->c, b->r->model, g, true, t->stage->trainable);
    e->total_mode = TOTAL_IS_VALUE;
    StepResult step = elab_step(e, b->scope, b->step->kids[1], b->step->text,
                                data_batch(b, b->c->arena, b->r->data.at[0].batch));
    if (!step.ok) {
        return false;
    }
    recipe_reads(b, e);
    if (step.loss == NODE_NONE) {
        Diag *d = diag(&b->c->diags, E503, b->step->name, "`step` defines no `loss`");
        if (clause != NULL) {
            diag_label(d, "in stage `" STR_FMT "`", STR_ARG(clause->text));
        }
        diag_help(d, "for instance `loss = cross_entropy(z, b.label)`");
        return false;
    }
    graph_output(g, OUT_LOSS, STR("loss"), step.loss, NODE_NONE);
    return true;
}

static void differentiate(Training *t)
{
    const Model *model = t->b->r->model;
    Arena *arena = t->b->c->arena;
    VEC(NodeId) wrt = {0};
    for (size_t i = 0; i < model->variables.len; i++) {
        NodeId node = t->forward->variable_nodes[i];
        if (t->stage->trainable[i] && !model->variables.at[i]->is_state && node != NODE_NONE) {
            VEC_PUSH(arena, wrt, node);
        }
    }
    Graph *g = t->graph = pass_autodiff(arena, t->forward->graph, wrt.len, wrt.at);
    size_t kept = 0;
    for (size_t i = 0; i < g->outputs.len; i++) {
        Output out = g->outputs.at[i];
        if (out.kind == OUT_GRAD) { /* the update reads them; nobody else does */
            t->grads[graph_node(g, out.target)->variable] = out.value;
        } else {
            g->outputs.at[kept++] = out;
        }
    }
    g->outputs.len = kept;
}

/* The update is elaborated on the differentiated graph; old ids stay valid there. */
static void begin_update(Training *t)
{
    const Elab *from = t->forward;
    Elab *e = t->update = elab_new(t->b->c, t->b->r->model, t->graph, true, t->stage->trainable);
    if (from == NULL) {
        return;
    }
    for (size_t i = 0; i < t->b->r->model->variables.len; i++) {
        e->variable_nodes[i] = from->variable_nodes[i];
    }
    e->progress = from->progress;
    e->epoch = from->epoch;
    e->t = from->t;
    e->state->steps = from->state->steps;
    e->option_nodes.at = from->option_nodes.at;
    e->option_nodes.len = from->option_nodes.len;
    e->option_nodes.cap = from->option_nodes.cap;
}

/* --- clipping by global norm ----------------------------------------------------------------- */
static const Scalar *read_scalar(Graph *g, NodeId id, DType dtype)
{
    const Scalar *read = sc_read(g->pool, graph_node(g, id)->dtype, id, 0, NULL, NULL);
    return sc_cast(g->pool, dtype, read);
}

static NodeId sum_of_squares(Graph *g, NodeId id)
{
    Node node = *graph_node(g, id);
    const Var *vars[MAX_RANK];
    const Position *at[MAX_RANK];
    for (size_t i = 0; i < node.rank; i++) {
        vars[i] = var_new(g->pool, node.dims[i], (Str){0});
        at[i] = pos_var(g->pool, vars[i]);
    }
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
    for (size_t i = 0; i < node.rank; i++) {
        vars[i] = var_new(g->pool, node.dims[i], (Str){0});
        at[i] = pos_var(g->pool, vars[i]);
    }
    const Scalar *x = sc_read(g->pool, node.dtype, id, node.rank, at, NULL);
    return graph_define(g, node.dtype, REDUCE_NONE, node.rank, vars, 0, NULL,
                        sc_fn2(g->pool, OP_MUL, x, read_scalar(g, by, DT_F32)), (Str){0},
                        node.span);
}

/* scale = min(1, clip / (norm + 1e-6)), as torch.nn.utils.clip_grad_norm_ */
static bool clip(Training *t, const Ast *knob)
{
    RecipeBuild *b = t->b;
    Value value = elab_expr(t->update, b->scope, knob->kids[0]);
    NodeId most = elab_float_node(t->update, value);
    if (most == NODE_NONE) {
        if (value.kind != VALUE_POISON) {
            diag(&b->c->diags, E106, knob->kids[0]->span, "`clip` is a number");
        }
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

/* --- states and update ----------------------------------------------------------------------- */
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

static NodeId state_leaf(Training *t, const RecipeState *state, Str name, Span span)
{
    uint32_t index = persistent(t->b, state, name);
    const RecipeState *s = &t->b->r->states.at[index - t->b->r->model->variables.len];
    return graph_leaf(t->graph, NODE_STATE, s->dtype, s->rank, s->dims, s->key, index, span);
}

static NodeId initial_leaf(Training *t, const Variable *v)
{
    RecipeState state = {.kind = HONE_INITIAL,
                         .dtype = v->dtype,
                         .rank = v->rank,
                         .of = v->index,
                         .init = {.kind = HONE_INIT_COPY}};
    state.key = str_format(t->b->c->arena, STR_FMT ":p0", STR_ARG(v->key));
    for (size_t i = 0; i < v->rank; i++) {
        state.dims[i] = v->dims[i];
    }
    return state_leaf(t, &state, STR(":p0"), v->span);
}

/* t counts this rule's updates of the parameter: bit s of the name says that it was the one in stage
 * s too. */
static NodeId t_leaf(Training *t, const Variable *v)
{
    uint64_t mask = 0;
    const Ast *rule = t->stage->uses[v->index].optimizer.item;
    for (size_t i = 0; i < t->index && i < 64; i++) {
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
        RecipeState state = {.kind = HONE_OPTIMIZER_STATE,
                             .dtype = list[i].dtype,
                             .rank = list[i].rank,
                             .of = v->index,
                             .init = list[i].init,
                             .rule = use->item};
        state.key = str_format(arena, STR_FMT STR_FMT, STR_ARG(v->key), STR_ARG(name));
        for (size_t k = 0; k < list[i].rank; k++) {
            state.dims[k] = list[i].dims[k];
        }
        states[i] = state_leaf(t, &state, name, use->span);
    }
    NodeId p = t->update->variable_nodes[v->index], next_p;
    NodeId count = optimizer_wants(t->update, use, v, STR("t")) ? t_leaf(t, v) : NODE_NONE;
    NodeId p0 = optimizer_wants(t->update, use, v, STR("p0")) ? initial_leaf(t, v) : NODE_NONE;
    if (!optimizer_update(t->update, use, v, p, g, count, p0, states, &next_p, next)) {
        return false;
    }
    graph_output(t->graph, OUT_NEXT, v->key, next_p, p);
    for (size_t i = 0; i < n; i++) {
        if (next[i] != NODE_NONE) {
            Str key = graph_node(t->graph, states[i])->name;
            graph_output(t->graph, OUT_NEXT, key, next[i], states[i]);
        }
    }
    return true;
}

static void next_model_states(Training *t)
{
    const Model *model = t->b->r->model;
    for (size_t i = 0; i < model->variables.len; i++) {
        const Variable *v = model->variables.at[i];
        NodeId next = t->forward->next_nodes[i], *leaf = &t->update->variable_nodes[i];
        if (next == NODE_NONE) {
            continue;
        }
        if (*leaf == NODE_NONE) {
            *leaf = graph_leaf(t->graph, NODE_STATE, v->dtype, v->rank, v->dims, v->key, v->index,
                               v->span);
        }
        graph_output(t->graph, OUT_NEXT, v->key, next, *leaf);
    }
}

/* The default optimizer's first hyperparameter, for people to see. */
static void show_rate(Training *t)
{
    if (t->base.n == 0) {
        return;
    }
    NodeId node = elab_float_node(t->update, t->base.hypers[0].value);
    if (node != NODE_NONE) {
        t->stage->lr = node;
        graph_output(t->graph, OUT_VALUE, t->base.hypers[0].name, node, NODE_NONE);
    }
}

/* One wrong rule would be reported once for every parameter: the first stands for its kind. */
static bool update_all(Training *t)
{
    const Model *model = t->b->r->model;
    VEC(const Hyper *) failed = {0};
    for (size_t i = 0; i < model->variables.len; i++) {
        const VariableUse *use = &t->stage->uses[i];
        bool skip = !use->trainable;
        for (size_t k = 0; k < failed.len && !skip; k++) {
            skip = failed.at[k] == use->optimizer.hypers;
        }
        if (!skip && !update_variable(t, model->variables.at[i])) {
            VEC_PUSH(t->b->c->arena, failed, use->optimizer.hypers);
        }
    }
    return failed.len == 0;
}

bool train_build(RecipeBuild *b, RecipeStage *stage, const Ast *clause, size_t index)
{
    size_t n = b->r->model->variables.len;
    Training training = {.b = b, .stage = stage, .index = index};
    Training *t = &training;
    t->grads = NEW_ARRAY(b->c->arena, NodeId, n + 1);
    for (size_t i = 0; i < n; i++) {
        t->grads[i] = NODE_NONE;
    }
    bool whole = b->step_known && forward(t, clause);
    if (whole) {
        differentiate(t);
    } else { /* the optimizer's clauses are checked all the same */
        t->forward = NULL;
        t->graph = graph_new(b->c->arena);
    }
    begin_update(t);
    const Ast *knob = knob_find(b, clause, "clip");
    if ((knob != NULL && !clip(t, knob)) ||
        !group_uses(b, t->update, clause, stage->trainable, &t->base, stage->uses) ||
        !update_all(t)) {
        return false;
    }
    if (!whole) {
        return !b->step_known;
    }
    next_model_states(t);
    show_rate(t);
    stage->train = t->graph;
    return true;
}
