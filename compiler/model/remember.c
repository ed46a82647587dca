/* `remember b in old { … metric … }`: metrics over other data, taken before the first update and at every
 * evaluation. They stand among the step's own; behind all of them stands how much each has changed since
 * the start, whose values are kept between steps. */
#include "model/recipe.h"
#include "passes/passes.h"

static bool check_block(RecipeBuild *b, const Evaluation *of)
{
    const StepResult *step = &of->step;
    if (step->loss != NODE_NONE || step->predicts.len > 0) {
        bool loss = step->loss != NODE_NONE;
        Diag *d = diag(&b->c->diags, E004, loss ? step->loss_span : step->predicts.at[0].span,
                       "`%s` has no meaning in `remember`", loss ? "loss" : "predict");
        diag_help(d, "it only watches: what is learnt stands in `step`");
        return false;
    }
    if (step->metrics.len == 0) {
        Diag *d = diag(&b->c->diags, E511, of->clause->name, "`remember` has no metric");
        diag_help(d, "for instance `metric kept = total(hits(z, b.label)) / total(count(b.label))`");
        return false;
    }
    return true;
}

Str change_name(Arena *arena, Str metric)
{
    return str_join(arena, metric, "_", STR("change"));
}

static NodeId start_leaf(RecipeBuild *b, Graph *g, Str metric, uint32_t variable)
{
    Str key = str_join(b->c->arena, STR("start"), ":", metric);
    return graph_leaf(g, NODE_STATE, DT_F64, 0, NULL, key, variable, (Span){0});
}

/* values: of the metrics in b->metrics; changes: gets the difference to each one's start. */
static void add_start(RecipeBuild *b, const Evaluation *of, const NodeId *values, NodeId *changes)
{
    Graph *all = b->metrics, *start = b->start;
    NodeId *map = NEW_ARRAY(b->c->arena, NodeId, all->nodes.len + 1);
    for (size_t i = 0; i < all->nodes.len; i++) {
        map[i] = NODE_NONE;
    }
    for (size_t i = 0; i < of->step.metrics.len; i++) {
        const StepValue *metric = &of->step.metrics.at[i];
        RecipeState state = {.kind = HONE_START, .dtype = DT_F64, .of = HONE_NONE,
                             .key = str_join(b->c->arena, STR("start"), ":", metric->name)};
        uint32_t variable = (uint32_t)(b->r->model->variables.len + b->r->states.len);
        VEC_PUSH(b->c->arena, b->r->states, state);
        NodeId first = graph_import(start, all, values[i], map);
        graph_output(start, OUT_VALUE, metric->name, first, NODE_NONE);
        graph_output(start, OUT_NEXT, state.key, node_as(start, first, DT_F64, metric->name),
                     start_leaf(b, start, metric->name, variable));
        NodeId leaf = start_leaf(b, all, metric->name, variable);
        const Scalar *now = sc_cast(all->pool, DT_F64, graph_read0(all, values[i]));
        const Scalar *change = sc_fn2(all->pool, OP_SUB, now, graph_read0(all, leaf));
        changes[i] = graph_define(all, DT_F64, REDUCE_NONE, 0, NULL, 0, NULL, change,
                                  change_name(b->c->arena, metric->name),
                                  metric->span);
    }
}

static bool add(RecipeBuild *b, const Ast *clause, NodeId **changes)
{
    Evaluation evaluation = {.clause = clause}, *of = &evaluation;
    if (!data_build(b, clause, &of->data)) {
        return false;
    }
    const HoneData *data = &b->r->data.at[of->data];
    const RecipeData *facts = &b->r->facts.at[of->data];
    if (data->valid == NULL) {
        Diag *d = diag(&b->c->diags, E511, clause->kids[0]->span, "data `%s` has no `valid`",
                       data->name);
        diag_note_at(d, facts->span, "", "declared here");
        diag_help(d, "`remember` evaluates on `valid`: add `valid = …` to it");
        return false;
    }
    if (!facts->known) {
        return true;
    }
    if (!evaluation_build(b, of) || !check_block(b, of)) {
        return false;
    }
    size_t n = of->step.metrics.len;
    NodeId *values = NEW_ARRAY(b->c->arena, NodeId, n);
    *changes = NEW_ARRAY(b->c->arena, NodeId, n);
    if (!evaluation_metrics(b, of, values)) {
        return false;
    }
    b->start = b->start != NULL ? b->start : graph_new(b->c->arena);
    add_start(b, of, values, *changes);
    RecipeRemember remember = {.data = of->data, .eval = of->batch->graph, .eval_one = of->one->graph,
                               .shorter = shorter_lengths(b, of->data)};
    if (!eval_shorter(b, of, &remember.shorter)) {
        return false;
    }
    VEC_PUSH(b->c->arena, b->r->remembers, remember);
    b->r->changes += n;
    return true;
}

bool remember_build(RecipeBuild *b)
{
    VEC(NodeId) all = {0};
    bool ok = true;
    for (size_t i = 0; i < b->remembers.len; i++) {
        NodeId *changes = NULL;
        size_t before = b->r->changes;
        ok = add(b, b->remembers.at[i], &changes) && ok;
        for (size_t k = 0; k < b->r->changes - before; k++) {
            VEC_PUSH(b->c->arena, all, changes[k]);
        }
    }
    for (size_t i = 0; i < all.len; i++) {
        Str name = graph_node(b->metrics, all.at[i])->name;
        graph_output(b->metrics, OUT_VALUE, name, all.at[i], NODE_NONE);
    }
    b->r->start = b->start;
    return ok;
}
