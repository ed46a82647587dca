/* The training graph of a stage: the step's equations, their gradients, clipping, and the update of
 * every trainable parameter. Autodiff is a pass of its own; it is called here because the update
 * reads the gradients. */
#include "model/train.h"

/* --- forward and gradients ------------------------------------------------------------------- */
static bool forward(Training *t, const Ast *clause)
{
    RecipeBuild *b = t->b;
    Graph *g = graph_new(b->c->arena);
    Elab *e = t->forward = elab_new(b->c, b->r->model, g, true, t->stage->trainable);
    e->real = knob_real(b, clause);
    e->parts = t->stage->accumulate;
    e->total_mode = e->parts > 1 ? TOTAL_IS_UPDATE : TOTAL_IS_VALUE;
    const Elab *longest = t->stage->step;      /* NULL: this is it */
    e->first_total = longest != NULL ? longest->first_total
                                     : (uint32_t)(b->r->model->variables.len + b->r->states.len);
    StepResult step = elab_step(e, b->scope, b->step->kids[1], b->step->text,
                                data_batch(b, 0, b->r->data.at[0].batch));
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
    if ((longest != NULL && !same_totals(b, longest, e, b->step->name)) ||
        (e->parts > 1 && !train_part_loss(t, &step))) {
        return false;
    }
    t->stage->step = e;
    t->loss = step.loss;
    t->n_forward = g->nodes.len;
    t->loss_span = step.loss_span;
    graph_output(g, OUT_LOSS, STR("loss"), step.loss, NODE_NONE);
    return true;
}

/* E605: a function without a derivative on the way from the parameters to the loss. */
static bool refused(Training *t, size_t n_wrt, const NodeId *wrt)
{
    Graph *g = t->forward->graph;
    NodeId id = autodiff_refuses(t->b->c->arena, g, n_wrt, wrt);
    if (id == NODE_NONE) {
        return false;
    }
    const Node *node = graph_node(g, id);
    Diag *d = diag(&t->b->c->diags, E605, node->span, "`" STR_FMT "` has no derivative",
                   STR_ARG(node->function));
    diag_label(d, "the loss depends on a parameter through this");
    diag_help(d, "`stop(x)` says that no gradient shall flow through x");
    return true;
}

/* A loss that moves nothing is no mistake of numbers: it goes through whole numbers, comparisons or
 * `stop` only, or reads no parameter that trains. */
static bool reaches_nothing(Training *t)
{
    const Graph *g = t->graph;
    for (size_t i = 0; i < t->b->r->model->variables.len; i++) {
        if (t->grads[i] != NODE_NONE && graph_node(g, t->grads[i])->kind != NODE_CONSTANT) {
            return false;
        }
    }
    Diag *d = diag(&t->b->c->diags, E605, t->loss_span,
                   "no gradient of this loss reaches a parameter that trains");
    diag_label(d, "in stage `" STR_FMT "`", STR_ARG(t->stage->name));
    diag_help(d, "`argmax`, comparisons, `int`, `floor` and `stop` have no gradient");
    return true;
}

static bool differentiate(Training *t)
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
    if (refused(t, wrt.len, wrt.at)) {
        return false;
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
    return !reaches_nothing(t);
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

NodeId train_knob(Training *t, const Ast *knob, Value *value)
{
    Diags *diags = &t->b->c->diags;
    Span span = knob->kids[0]->span;
    *value = elab_expr(t->update, t->b->scope, knob->kids[0]);
    NodeId node = elab_float_node(t->update, *value);
    if (node == NODE_NONE && value->kind != VALUE_POISON) {
        diag(diags, E106, span, "`" STR_FMT "` is a number", STR_ARG(knob->text));
    } else if (node != NODE_NONE && value->kind == VALUE_TENSOR && value->clock == CLOCK_TENSOR) {
        Diag *d = diag(diags, E208, span, "`" STR_FMT "` must be known before the step",
                       STR_ARG(knob->text));
        diag_label(d, "this is tensor data");
        return NODE_NONE;
    }
    return node;
}

/* The default optimizer's first hyperparameter, for people to see. */
static void show_rate(Training *t)
{
    if (t->base.n == 0) {
        return;
    }
    NodeId node = elab_float_node(t->update, t->base.hypers[0].value);
    if (node != NODE_NONE) {
        graph_output(t->graph, OUT_VALUE, t->base.hypers[0].name, node, NODE_NONE);
    }
}

/* `recompute`: what the selected modules compute is computed once more for their gradients. What `memory`
 * adds to them the plan decides. */
static void recompute(Training *t, const Elab *forward)
{
    RecipeBuild *b = t->b;
    size_t calls = forward->state->again.len, n = 0;
    const Graph *before = t->stage->train;
    NodeRange *ranges = NEW_ARRAY(b->c->arena, NodeRange, calls + 1);
    RecipeTrain train = {.kept = before, .n_forward = t->n_forward};
    for (size_t i = 0; i < calls; i++) {
        RecipeCall call = forward->state->again.at[i];
        VEC_PUSH(b->c->arena, train.calls, call);
        if (call.of->recompute) {
            ranges[n++] = (NodeRange){call.first, call.end};
        }
    }
    if (n > 0) {
        t->stage->train = pass_again(b->c->arena, before, t->n_forward, n, ranges, NULL);
    }
    train.train = t->stage->train;
    if (calls > n) {
        VEC_PUSH(b->c->arena, b->r->trains, train);
    }
    b->recomputed = b->recomputed || t->stage->train != before;
}

static void no_gradients(Training *t)
{
    for (size_t i = 0; i < t->b->r->model->variables.len; i++) {
        t->grads[i] = t->nexts[i] = NODE_NONE;
    }
}

bool train_build(RecipeBuild *b, RecipeStage *stage, const Ast *clause, size_t index)
{
    size_t n = b->r->model->variables.len;
    Training training = {.b = b, .stage = stage, .index = index};
    Training *t = &training;
    t->grads = NEW_ARRAY(b->c->arena, NodeId, n + 1);
    t->nexts = NEW_ARRAY(b->c->arena, NodeId, n + 1);
    no_gradients(t);
    bool whole = b->step_known && forward(t, clause) && differentiate(t);
    const Elab *step = t->forward;
    if (whole && stage->accumulate > 1) {
        train_accumulate(t);
    }
    if (!whole) { /* the optimizer's clauses are checked all the same */
        no_gradients(t);
        t->forward = NULL;
        t->graph = graph_new(b->c->arena);
    }
    begin_update(t);
    const Ast *knob = knob_find(b, clause, "clip"), *ema = knob_find(b, clause, "ema");
    bool ok = knob == NULL || train_clip(t, knob);
    ok = group_uses(b, t->update, clause, stage->trainable, &t->base, stage->uses) && ok;
    ok = train_penalties(t, clause) && ok;
    if (!ok || !update_all(t) || (ema != NULL && !train_average(t, ema))) {
        return false;
    }
    if (!whole) {
        return !b->step_known;
    }
    if (stage->accumulate == 1) {
        next_model_states(t);
        stage->train = t->graph;
    } else {
        stage->update = t->graph;
    }
    show_rate(t);
    recompute(t, step);
    return true;
}
