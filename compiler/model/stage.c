/* Stages: what is trainable in each, its knobs, and the graphs that all stages share: evaluation
 * (adding to running totals), the metrics made of the totals, and prediction. The training graph of
 * a stage is in train.c. */
#include "model/recipe.h"
#include "passes/passes.h"

#include <string.h>

/* --- evaluation ------------------------------------------------------------------------------ */
NodeId node_as(Graph *g, NodeId id, DType dtype, Str name)
{
    Node node = *graph_node(g, id);
    const Var *vars[MAX_RANK];
    const Position *at[MAX_RANK];
    graph_index(g, id, vars, at);
    const Scalar *read = sc_read(g->pool, node.dtype, id, node.rank, at, NULL);
    return graph_define(g, dtype, REDUCE_NONE, node.rank, vars, 0, NULL,
                        sc_cast(g->pool, dtype, read), name, node.span);
}

NodeId node_sum(Graph *g, DType dtype, NodeId a, NodeId b, Span span)
{
    Node node = *graph_node(g, a);
    const Var *vars[MAX_RANK];
    const Position *at[MAX_RANK];
    graph_index(g, a, vars, at);
    const Scalar *sum =
        sc_fn2(g->pool, OP_ADD, sc_cast(g->pool, dtype, graph_read(g, a, at, NULL)),
               sc_cast(g->pool, dtype, graph_read(g, b, at, NULL)));
    return graph_define(g, dtype, REDUCE_NONE, node.rank, vars, 0, NULL, sum, (Str){0}, span);
}

/* total + value, in f64 */
static NodeId add_to_total(Graph *g, const Total *total)
{
    NodeId value = node_as(g, total->value, DT_F64, (Str){0});
    return node_sum(g, DT_F64, total->state, value, graph_node(g, total->value)->span);
}

static Elab *eval_graph(RecipeBuild *b, const Evaluation *of, int64_t samples, StepResult *step)
{
    Graph *g = graph_new(b->c->arena);
    Elab *e = elab_new(b->c, b->r->model, g, false, NULL);
    e->real = knob_real(b, NULL);
    e->total_mode = TOTAL_IS_STATE;
    e->first_total = of->batch != NULL
                         ? of->batch->first_total
                         : (uint32_t)(b->r->model->variables.len + b->r->states.len);
    *step = elab_step(e, b->scope, of->clause->kids[1], of->clause->text,
                      data_batch(b, of->data, samples));
    recipe_reads(b, e);
    return e;
}

static void output_totals(Elab *e)
{
    for (size_t i = 0; i < e->totals.len; i++) {
        const Total *total = &e->totals.at[i];
        Str name = graph_node(e->graph, total->state)->name;
        graph_output(e->graph, OUT_NEXT, name, add_to_total(e->graph, total), total->state);
    }
}

static void keep_totals(RecipeBuild *b, const Elab *e)
{
    size_t known = b->evaluation.totals.len;
    for (size_t i = 0; i < e->totals.len; i++) {
        const Total *total = &e->totals.at[i];
        RecipeState state = {.kind = HONE_TOTAL,
                             .dtype = DT_F64,
                             .rank = total->rank,
                             .of = HONE_NONE,
                             .init = {.kind = HONE_INIT_CONSTANT}};
        state.key = str_format(b->c->arena, "total:%zu", known + i);
        for (size_t k = 0; k < total->rank; k++) {
            state.dims[k] = total->dims[k];
        }
        VEC_PUSH(b->c->arena, b->evaluation.totals, total->variable);
        VEC_PUSH(b->c->arena, b->r->states, state);
    }
}

/* Everything a metric reads beside totals would be of one batch only (E512). */
static bool made_of_totals(RecipeBuild *b, const Graph *metrics, const StepValue *metric)
{
    size_t totals = 0;
    for (size_t i = 0; i < metrics->nodes.len; i++) {
        const Node *node = &metrics->nodes.at[i];
        bool total = node->kind == NODE_STATE && node->variable >= b->r->model->variables.len;
        totals += total;
        if (total || node->kind == NODE_EQUATION || node->kind == NODE_CONSTANT ||
            node->kind == NODE_STEP) {
            continue;
        }
        Diag *d = diag(&b->c->diags, E512, metric->span,
                       "metric `" STR_FMT "` is not made of totals", STR_ARG(metric->name));
        diag_label(d, "`" STR_FMT "` stands outside `total( )`", STR_ARG(node->name));
        diag_help(d, "for instance `total(hits(z, b.label)) / total(count(b.label))`");
        return false;
    }
    if (totals > 0) {
        return true;
    }
    Diag *d = diag(&b->c->diags, E512, metric->span, "metric `" STR_FMT "` contains no `total( )`",
                   STR_ARG(metric->name));
    diag_help(d, "`total(e)` is the sum of `e` over the whole evaluation set");
    return false;
}

/* Each metric is imported by itself first, so that its own leaves can be told. */
static bool add_metrics(RecipeBuild *b, const Graph *eval, const StepResult *step, NodeId *values)
{
    bool ok = true;
    NodeId *map = NEW_ARRAY(b->c->arena, NodeId, eval->nodes.len + 1);
    NodeId *own = NEW_ARRAY(b->c->arena, NodeId, eval->nodes.len + 1);
    for (size_t i = 0; i < eval->nodes.len; i++) {
        map[i] = NODE_NONE;
    }
    for (size_t k = 0; k < step->metrics.len; k++) {
        const StepValue *metric = &step->metrics.at[k];
        Graph *alone = graph_new(b->c->arena);
        for (size_t i = 0; i < eval->nodes.len; i++) {
            own[i] = NODE_NONE;
        }
        graph_import(alone, eval, metric->node, own);
        ok = made_of_totals(b, alone, metric) && ok;
        if (ok) {
            values[k] = graph_import(b->metrics, eval, metric->node, map);
            graph_output(b->metrics, OUT_VALUE, metric->name, values[k], NODE_NONE);
        }
    }
    return ok;
}

static const Graph *predict_graph(RecipeBuild *b, const Graph *eval, const StepResult *step)
{
    Graph *g = graph_new(b->c->arena);
    NodeId *map = NEW_ARRAY(b->c->arena, NodeId, eval->nodes.len + 1);
    for (size_t i = 0; i < eval->nodes.len; i++) {
        map[i] = NODE_NONE;
    }
    for (size_t k = 0; k < step->predicts.len; k++) {
        const StepValue *predict = &step->predicts.at[k];
        graph_output(g, OUT_VALUE, predict->name, graph_import(g, eval, predict->node, map),
                     NODE_NONE);
    }
    return g;
}

/* Is one of the values from `first` on called as another one before it? */
static bool duplicate_names(RecipeBuild *b, size_t first, size_t n, const StepValue *values)
{
    for (size_t i = first; i < n; i++) {
        for (size_t k = 0; k < i; k++) {
            if (str_eq(values[i].name, values[k].name)) {
                Diag *d = diag(&b->c->diags, E102, values[i].span,
                               "`" STR_FMT "` is already declared here", STR_ARG(values[i].name));
                diag_note_at(d, values[k].span, "", "the first one");
                return true;
            }
        }
    }
    return false;
}

/* What is said beside metrics in every record of a run. */
static bool reserved_name(RecipeBuild *b, const StepValue *metric)
{
    static const char *const reserved[] = {"event", "stage", "step", "epoch"};
    for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++) {
        if (str_is(metric->name, reserved[i])) {
            Diag *d = diag(&b->c->diags, E102, metric->span, "no metric may be called `%s`", reserved[i]);
            diag_note(d, "every record of `metrics.jsonl` and `--json` has event, stage, step or epoch");
            diag_help(d, "give it another name");
            return true;
        }
    }
    return false;
}

static bool change_is_named(RecipeBuild *b, const StepValue *change, const StepValue *metric)
{
    if (!str_eq(change->name, metric->name)) {
        return false;
    }
    Diag *d = diag(&b->c->diags, E102, metric->span,
                   "`" STR_FMT "` is the change of another metric already", STR_ARG(metric->name));
    diag_note_at(d, change->span, "", "of this one, which `remember` watches");
    return true;
}

/* All metrics stand beside each other, and the changes of what is remembered beside them. */
static bool add_names(RecipeBuild *b, const Evaluation *of)
{
    size_t named = b->named.len, changes = b->changes.len;
    bool ok = true;
    for (size_t i = 0; i < of->step.metrics.len; i++) {
        StepValue metric = of->step.metrics.at[i];
        ok = !reserved_name(b, &metric) && ok;
        VEC_PUSH(b->c->arena, b->named, metric);
        if (of->clause->kind == AST_REMEMBER) {
            metric.name = change_name(b->c->arena, metric.name);
            VEC_PUSH(b->c->arena, b->changes, metric);
        }
    }
    ok = !duplicate_names(b, named, b->named.len, b->named.at) && ok;
    for (size_t i = 0; i < b->changes.len; i++) {
        for (size_t k = i < changes ? named : 0; k < b->named.len; k++) {
            ok = !change_is_named(b, &b->changes.at[i], &b->named.at[k]) && ok;
        }
    }
    return ok;
}

bool evaluation_build(RecipeBuild *b, Evaluation *of)
{
    StepResult one;
    of->batch = eval_graph(b, of, b->r->data.at[of->data].batch, &of->step);
    if (!of->step.ok || !labels_check(b, of->batch->graph, of->data)) {
        return false;
    }
    if (!add_names(b, of) || duplicate_names(b, 0, of->step.predicts.len, of->step.predicts.at)) {
        return false;
    }
    if (of->step.metrics.len + of->step.predicts.len == 0) {
        return true;
    }
    size_t before = b->c->diags.list.len;
    of->one = eval_graph(b, of, 1, &one);
    for (size_t i = before; i < b->c->diags.list.len && !one.ok; i++) {
        diag_note(b->c->diags.list.at[i],
                  "this is where a batch has one sample, as what is left over for a short last one "
                  "has; the size of a batch is a dim of a function: `fn f(x: [N, D]) …`");
    }
    return one.ok;
}

bool evaluation_metrics(RecipeBuild *b, Evaluation *of, NodeId *values)
{
    if (b->metrics == NULL) {
        b->evaluation.metrics = b->metrics = graph_new(b->c->arena);
    }
    if (!add_metrics(b, of->batch->graph, &of->step, values)) {
        return false;
    }
    keep_totals(b, of->batch);
    output_totals(of->batch);
    output_totals(of->one);
    return true;
}

bool same_totals(RecipeBuild *b, const Elab *a, const Elab *other, Span span)
{
    bool same = a->totals.len == other->totals.len;
    for (size_t i = 0; same && i < a->totals.len; i++) {
        const Total *x = &a->totals.at[i], *y = &other->totals.at[i];
        same = x->rank == y->rank;
        for (size_t k = 0; same && k < x->rank; k++) {
            same = x->dims[k] == y->dims[k];
        }
    }
    if (!same) {
        Diag *d = diag(&b->c->diags, E201, span, "a total has another shape for samples of length %lld",
                       (long long)b->length);
        diag_help(d, "sum over the length before `total( )`");
    }
    return same;
}

RecipeLengths shorter_lengths(RecipeBuild *b, uint32_t data)
{
    RecipeLengths lengths = {0};
    for (size_t i = 0; i + 1 < b->r->data.at[data].n_lengths; i++) {
        VEC_PUSH(b->c->arena, lengths, (RecipeLength){0});
    }
    return lengths;
}

bool eval_shorter(RecipeBuild *b, const Evaluation *of, const RecipeLengths *to)
{
    const HoneData *data = &b->r->data.at[of->data];
    bool ok = true;
    for (size_t i = 0; ok && i < to->len; i++) {
        StepResult step, step_one;
        b->length = data->lengths[i];
        Elab *e = eval_graph(b, of, data->batch, &step), *one = eval_graph(b, of, 1, &step_one);
        ok = step.ok && step_one.ok && same_totals(b, of->batch, e, of->clause->name);
        if (ok) {
            output_totals(e);
            output_totals(one);
            to->at[i] = (RecipeLength){.eval = e->graph, .eval_one = one->graph};
        }
    }
    b->length = 0;
    return ok;
}

bool eval_build(RecipeBuild *b)
{
    const HoneData *data = &b->r->data.at[0];
    Evaluation evaluation = {.clause = b->step}, *of = &evaluation;
    if (!evaluation_build(b, of)) {
        return false;
    }
    b->evaluation.shorter = shorter_lengths(b, 0);
    size_t n = of->step.metrics.len;
    for (size_t i = 0; i < n && data->valid == NULL; i++) {
        const StepValue *metric = &of->step.metrics.at[i];
        Diag *d = diag(&b->c->diags, W513, metric->span, "metric `" STR_FMT "` is never evaluated",
                       STR_ARG(metric->name));
        diag_note_at(d, b->r->facts.at[0].span, "", "this data has no `valid`");
    }
    if (of->step.predicts.len > 0) {
        b->r->predict = predict_graph(b, of->one->graph, &of->step);
    }
    if (n == 0 || (data->valid == NULL && data->test == NULL)) {
        return true;
    }
    NodeId *values = NEW_ARRAY(b->c->arena, NodeId, n);
    if (!evaluation_metrics(b, of, values)) {
        return false;
    }
    b->evaluation.eval = of->batch->graph;
    b->evaluation.eval_one = data->batch == 1 ? of->batch->graph : of->one->graph;
    return eval_shorter(b, of, &b->evaluation.shorter);
}

bool eval_check(RecipeBuild *b)
{
    StepResult step;
    Evaluation evaluation = {.clause = b->step};
    eval_graph(b, &evaluation, b->r->data.at[0].batch, &step);
    return step.ok;
}

/* --- a stage --------------------------------------------------------------------------------- */
static bool freeze(RecipeBuild *b, const Ast *clause, bool *trainable)
{
    size_t n = b->r->model->variables.len;
    bool *selected = NEW_ARRAY(b->c->arena, bool, n + 1);
    if (!select_variables(b, clause->kids[0], SELECT_VARIABLES, (Str){0}, selected)) {
        return false;
    }
    bool any = false, fresh = false;
    for (size_t i = 0; i < n; i++) {
        any = any || selected[i];
        fresh = fresh || (selected[i] && trainable[i]);
        trainable[i] = trainable[i] && !selected[i];
    }
    if (any && !fresh && !(b->stage != NULL && b->stage->looped)) {
        Diag *d = diag(&b->c->diags, W505, clause->span, "`freeze` has no effect");
        diag_label(d, "all of this is frozen already");
    }
    return true;
}

/* False where training could not be built, which is not so for a `freeze` that is wrong. */
static bool find_trainable(RecipeBuild *b, const Ast *clause, RecipeStage *stage)
{
    const Model *model = b->r->model;
    bool ok = true;
    for (size_t i = 0; i < model->variables.len; i++) {
        stage->trainable[i] = true;
    }
    for (size_t i = 0; i < b->freezes.len; i++) {
        ok = freeze(b, b->freezes.at[i], stage->trainable) && ok;
    }
    for (size_t i = 0; clause != NULL && i < clause->kids[0]->n; i++) {
        if (clause->kids[0]->kids[i]->kind == AST_FREEZE) {
            ok = freeze(b, clause->kids[0]->kids[i], stage->trainable) && ok;
        }
    }
    for (size_t i = 0; i < model->variables.len; i++) {
        if (stage->trainable[i] && !model->variables.at[i]->is_state) {
            stage->trainable_tensors++;
            stage->trainable_elements += model->variables.at[i]->elements;
        }
    }
    if (ok && stage->trainable_tensors == 0) {
        Diag *d =
            diag(&b->c->diags, E502, clause != NULL ? clause->name : b->item->name,
                 "nothing is trainable in %s `" STR_FMT "`", clause != NULL ? "stage" : "recipe",
                 STR_ARG(clause != NULL ? b->stage->name : b->item->text));
        diag_help(d, "leave something out of `freeze`: `freeze \"**\" except \"fc\"`");
        return false;
    }
    return !ok || layers_cover(b, stage->trainable);
}

/* An update that begins with the same sums as that of the longest samples is the same one. */
static bool same_sums(RecipeBuild *b, RecipeStage *stage, const RecipeStage *other)
{
    bool same = stage->zeroed.len == other->zeroed.len;
    for (size_t i = 0; i < other->zeroed.len; i++) {
        size_t k = 0;
        while (k < stage->zeroed.len && stage->zeroed.at[k] != other->zeroed.at[i]) {
            k++;
        }
        if (k == stage->zeroed.len) {
            same = false;
            VEC_PUSH(b->c->arena, stage->zeroed, other->zeroed.at[i]);
        }
    }
    return same;
}

/* The same stage for batches of every length but the last. What is wrong with all lengths was said
 * already; warnings too. */
static bool train_shorter(RecipeBuild *b, RecipeStage *stage, const Ast *clause, size_t index,
                          VariableUse *uses)
{
    bool ok = true;
    for (size_t i = 0; ok && i < stage->shorter.len; i++) {
        RecipeStage other = *stage;
        Diags kept = b->c->diags;
        memset(&other.zeroed, 0, sizeof other.zeroed);
        other.uses = uses;
        b->length = b->r->data.at[0].lengths[i];
        b->c->diags = diags_new(b->c->arena, &b->c->sources);
        ok = train_build(b, &other, clause, index);
        b->c->diags = kept;
        if (!ok) {
            (void)train_build(b, &other, clause, index);
        }
        RecipeLength *to = &stage->shorter.at[i];
        to->train = other.train;
        to->count = other.count;
        to->update = same_sums(b, stage, &other) ? stage->update : other.update;
    }
    b->length = 0;
    return ok;
}

bool stage_build(RecipeBuild *b, const Ast *clause, size_t index)
{
    size_t errors = b->c->diags.errors, n = b->r->model->variables.len;
    RecipeStage stage = {
        .name = b->stage->name,
        .span = clause != NULL ? clause->span : b->item->span,
        .trainable = NEW_ARRAY(b->c->arena, bool, n + 1),
        .uses = NEW_ARRAY(b->c->arena, VariableUse, n + 1),
        .accumulate = 1,
        .eval = b->evaluation.eval,
        .eval_one = b->evaluation.eval_one,
        .metrics = b->evaluation.metrics,
    };
    for (size_t i = 0; i < b->evaluation.totals.len; i++) {
        VEC_PUSH(b->c->arena, stage.totals, b->evaluation.totals.at[i]);
    }
    knobs_of_stage(b, clause, &stage);
    for (size_t i = 0; i < b->evaluation.shorter.len; i++) {
        VEC_PUSH(b->c->arena, stage.shorter, b->evaluation.shorter.at[i]);
    }
    if (find_trainable(b, clause, &stage) && train_build(b, &stage, clause, index)) {
        train_shorter(b, &stage, clause, index, NEW_ARRAY(b->c->arena, VariableUse, n + 1));
    }
    VEC_PUSH(b->c->arena, b->r->stages, stage);
    return b->c->diags.errors == errors;
}
