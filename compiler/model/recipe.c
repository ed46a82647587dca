/* A finetune item -> Recipe: its clauses are sorted and counted here, and the parts built in the
 * order in which they need each other: models, data, loads, evaluation, stages, saves. What a
 * single clause means is in load.c, save.c, data.c, knobs.c, group.c, stage.c and train.c. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "model/recipe.h"

/* --- helpers of all clauses ----------------------------------------------------------------------
 */
static const Ast *find_option(const File *file, Str name)
{
    return file_item(file, AST_OPTION, name);
}

bool recipe_option(Compiler *c, Str name, double *value)
{
    const Ast *option = c->root != NULL ? find_option(c->root, name) : NULL;
    if (option == NULL) {
        return false;
    }
    const OptionSetting *setting = option_setting(c, name);
    if (setting != NULL) { /* elab_option has refused what is not a number */
        char *end;
        *value = strtod(str_c(c->arena, setting->text), &end);
        return true;
    }
    Elab *e = elab_new(c, NULL, NULL, false, NULL);
    Value v = elab_expr(e, scope_new(c->arena, NULL, c->root, NULL), option->kids[1]);
    *value = v.kind == VALUE_INT ? (double)v.i : v.f;
    return value_is_number(&v);
}

static bool fixed_number(RecipeBuild *b, Elab *e, const Ast *expr, NodeId node, double *value)
{
    Graph *g = e->graph;
    Interp interp = {.graph = g, .arena = g->arena};
    interp.values = NEW_ARRAY(g->arena, double *, g->nodes.len + 1);
    for (size_t i = 0; i < g->nodes.len; i++) {
        if (g->nodes.at[i].kind != NODE_STEP) {
            continue;
        }
        interp.values[i] = NEW(g->arena, double);
        bool changes = i == e->progress || i == e->epoch || i == e->t;
        if (changes || !recipe_option(b->c, g->nodes.at[i].name, interp.values[i])) {
            Diag *d =
                diag(&b->c->diags, E208, expr->span, "this must be known before the run starts");
            diag_label(d, "`" STR_FMT "` changes every step", STR_ARG(g->nodes.at[i].name));
            return false;
        }
    }
    if (!interp_run(&interp)) {
        return false;
    }
    *value = interp.values[node][0];
    return true;
}

bool recipe_number(RecipeBuild *b, const Ast *expr, double *value)
{
    Elab *e = elab_new(b->c, b->r->model, graph_new(b->c->arena), false, NULL);
    Value v = elab_expr(e, b->scope, expr);
    if (value_is_number(&v)) {
        *value = v.kind == VALUE_INT ? (double)v.i : v.f;
        return true;
    }
    if (v.kind == VALUE_TENSOR && v.clock == CLOCK_STEP) {
        return fixed_number(b, e, expr, elab_float_node(e, v), value);
    }
    if (v.kind != VALUE_POISON) {
        Diag *d = diag(&b->c->diags, E106, expr->span, "a number is needed here");
        diag_label(d, "this is %s", value_kind_name(&v));
    }
    return false;
}

/* Evaluation without a graph is silent about what only a step knows. */
static bool known(RecipeBuild *b, const Ast *expr, bool ok, size_t errors)
{
    if (!ok && b->c->diags.errors == errors) {
        diag(&b->c->diags, E208, expr->span, "this must be known when the graph is built");
    }
    return ok;
}

bool recipe_int(RecipeBuild *b, const Ast *expr, int64_t *value)
{
    size_t errors = b->c->diags.errors;
    return known(b, expr, elab_int(b->build, b->scope, expr, value), errors);
}

bool recipe_str(RecipeBuild *b, const Ast *expr, Str *value)
{
    size_t errors = b->c->diags.errors, before = b->c->diags.list.len;
    bool ok = known(b, expr, elab_str(b->build, b->scope, expr, value), errors);
    if (!ok && expr->kind == AST_MEMBER && b->c->diags.list.len > before) {
        Diag *d = b->c->diags.list.at[before];
        diag_help(d, "the name of a file is a string: write it in double quotes");
        diag_edit_around(d, expr->span, "\"", "\"");
    }
    return ok;
}

Str recipe_path(RecipeBuild *b, Str path)
{
    if (b->c->root_dir.len == 0 || (path.len > 0 && path.ptr[0] == '/')) {
        return path;
    }
    const char *between = str_ends(b->c->root_dir, STR("/")) ? "" : "/";
    return str_join(b->c->arena, b->c->root_dir, between, path);
}

bool recipe_missing(const HoneError *error)
{
    return strcmp(error->code, "E702") == 0;
}

Diag *recipe_file_error(RecipeBuild *b, const HoneError *error, Span span)
{
    DiagCode code;
    if (!diag_code_find(str_of(error->code), &code)) {
        code = E702;
    }
    Diag *d = diag(&b->c->diags, code, span, "%s", error->message);
    if (error->note[0] != '\0') {
        diag_note(d, "%s", error->note);
    }
    if (error->help[0] != '\0') {
        diag_help(d, "%s", error->help);
    } else if (recipe_missing(error)) {
        diag_help(
            d, "relative paths start at the recipe's folder; `--root DIR` starts them elsewhere");
    }
    return d;
}

/* --- sorting the clauses --------------------------------------------------------------------- */
static void twice(RecipeBuild *b, const Ast *clause, const Ast *first, const char *what)
{
    Diag *d = diag(&b->c->diags, E510, clause->name, "%s stands twice", what);
    diag_note_at(d, first->name, "", "the first one");
    if (clause->kind == AST_STEP) {
        diag_help(d, "a recipe has one; metrics over other data are a `remember b in d { … }`, training on "
                     "them is another `finetune`");
    }
}

static void once(RecipeBuild *b, const Ast **slot, const Ast *clause, const char *what)
{
    if (*slot != NULL) {
        twice(b, clause, *slot, what);
    } else {
        *slot = clause;
    }
}

static const Ast *same_text(const Ast *const *list, size_t n, Str text)
{
    for (size_t i = 0; i < n; i++) {
        if (str_eq(list[i]->text, text)) {
            return list[i];
        }
    }
    return NULL;
}

static void add_knob(RecipeBuild *b, const Ast *knob)
{
    const Ast *first = same_text(b->knobs.at, b->knobs.len, knob->text);
    if (first != NULL) {
        twice(
            b, knob, first,
            str_c(b->c->arena, str_format(b->c->arena, "knob `" STR_FMT "`", STR_ARG(knob->text))));
    } else if (knob_check(b, knob, false)) {
        VEC_PUSH(b->c->arena, b->knobs, knob);
    }
}

static void add_model(RecipeBuild *b, const Ast *model)
{
    const Ast *first = same_text(b->models.at, b->models.len, model->text);
    if (first != NULL) {
        Diag *d = diag(&b->c->diags, E102, model->name, "model `" STR_FMT "` is already declared",
                       STR_ARG(model->text));
        diag_note_at(d, first->name, "", "the first one");
    } else {
        VEC_PUSH(b->c->arena, b->models, model);
    }
}

static void sort_clause(RecipeBuild *b, const Ast *clause)
{
    Arena *arena = b->c->arena;
    if (clause->kind == AST_KNOB) {
        add_knob(b, clause);
    } else if (clause->kind == AST_MODEL) {
        add_model(b, clause);
    } else if (clause->kind == AST_ADAPT) {
        VEC_PUSH(arena, b->adapts, clause);
    } else if (clause->kind == AST_LOAD) {
        VEC_PUSH(arena, b->loads, clause);
    } else if (clause->kind == AST_SAVE) {
        VEC_PUSH(arena, b->saves, clause);
    } else if (clause->kind == AST_FREEZE) {
        VEC_PUSH(arena, b->freezes, clause);
    } else if (clause->kind == AST_GROUP) {
        VEC_PUSH(arena, b->groups, clause);
    } else if (clause->kind == AST_OPTIMIZER_CALL) {
        once(b, &b->optimizer, clause, "`optimizer`");
    } else if (clause->kind == AST_STEP) {
        once(b, &b->step, clause, "`step`");
    } else if (clause->kind == AST_LAYERS) {
        once(b, &b->layers, clause, "`layers`");
    } else if (clause->kind == AST_RECOMPUTE) {
        VEC_PUSH(arena, b->recomputes, clause);
    } else if (clause->kind == AST_REMEMBER) {
        VEC_PUSH(arena, b->remembers, clause);
    } else if (clause->kind == AST_PENALTY) {
        VEC_PUSH(arena, b->penalties, clause);
    } else if (clause->kind == AST_STAGE || clause->kind == AST_FOR) {
        stages_check(b, clause);
        VEC_PUSH(arena, b->sequence, clause);
    }
}

static void missing(RecipeBuild *b, const char *what, const char *help)
{
    Diag *d = diag(&b->c->diags, E511, b->item->name, "recipe `" STR_FMT "` has no %s",
                   STR_ARG(b->item->text), what);
    diag_help(d, "%s", help);
}

/* Has every stage of the clause an optimizer of its own? */
static bool has_optimizer(const Ast *clause)
{
    if (clause->kind != AST_FOR && clause->kind != AST_STAGE) {
        return true; /* reported */
    }
    const Ast *body = clause->kids[clause->kind == AST_FOR ? 1 : 0];
    bool all = true, any = false;
    for (size_t i = 0; i < body->n; i++) {
        any = any || body->kids[i]->kind == AST_OPTIMIZER_CALL;
        all = all && (clause->kind == AST_STAGE || has_optimizer(body->kids[i]));
    }
    return clause->kind == AST_FOR ? all : any;
}

static void require_clauses(RecipeBuild *b)
{
    if (b->models.len == 0) {
        missing(b, "model", "add `model: Name(…)`");
    }
    if (b->step == NULL) {
        missing(b, "`step`", "add `step b in DATA { … loss = … }`");
    }
    bool own = b->sequence.len > 0;
    for (size_t i = 0; i < b->sequence.len; i++) {
        own = own && has_optimizer(b->sequence.at[i]);
    }
    if (b->optimizer == NULL && !own) {
        missing(b, "optimizer", "add `optimizer AdamW(lr = 1e-4)`");
    }
}

/* --- scope and models ------------------------------------------------------------------------ */
/* A let of the step clock is evaluated anew in every graph. */
static void bind_lets(RecipeBuild *b)
{
    const Ast *body = b->item->kids[0];
    for (size_t i = 0; i < body->n; i++) {
        const Ast *let = body->kids[i];
        if (let->kind != AST_LET) {
            continue;
        }
        if (map_has(&b->scope->names, let->text)) {
            diag(&b->c->diags, E102, let->name, "`" STR_FMT "` is already declared here",
                 STR_ARG(let->text));
            continue;
        }
        b->build->state->deferred = false;
        Value value = elab_expr(b->build, b->scope, let->kids[0]);
        if (value.kind == VALUE_POISON && b->build->state->deferred) {
            Scope *here = scope_new(b->c->arena, b->scope, b->file, NULL);
            value = (Value){.kind = VALUE_DEFERRED,
                            .clock = CLOCK_STEP,
                            .span = let->span,
                            .node = NODE_NONE,
                            .ast = let->kids[0],
                            .scope = here};
        }
        scope_set(b->scope, let->text, value, let->name);
    }
    b->build->state->deferred = false;
}

static bool build_models(RecipeBuild *b)
{
    bool ok = true;
    for (size_t i = 0; i < b->models.len; i++) {
        const Ast *clause = b->models.at[i];
        Str prefix = b->models.len > 1 ? clause->text : (Str){0};
        Instance *in = model_instance(b->c, b->r->model, clause->kids[0], b->scope, prefix);
        ok = ok && in != NULL;
        Value value = in != NULL ? value_instance(in) : value_poison();
        value.span = clause->span;
        scope_set(b->scope, clause->text, value, clause->name);
    }
    for (size_t i = 0; ok && i < b->adapts.len; i++) {
        ok = adapt_build(b, b->adapts.at[i]);
    }
    for (size_t i = 0; ok && i < b->recomputes.len; i++) {
        Instances chosen = {0};
        ok = select_instances(b, b->recomputes.at[i], &chosen);
        for (size_t k = 0; k < chosen.len; k++) {
            chosen.at[k]->recompute = true;
        }
    }
    ok = memory_build(b) && ok;
    Model *model = b->r->model;
    b->build = elab_new(b->c, model, NULL, false, NULL);
    b->read = NEW_ARRAY(b->c->arena, bool, model->variables.len + 1);
    b->r->loaded = NEW_ARRAY(b->c->arena, LoadedTensor, model->variables.len + 1);
    for (size_t i = 0; i < model->variables.len; i++) {
        b->r->loaded[i].load = HONE_NONE;
    }
    return ok;
}

/* --- what nothing reads ---------------------------------------------------------------------- */
void recipe_reads(RecipeBuild *b, const Elab *e)
{
    for (size_t i = 0; i < b->r->model->variables.len; i++) {
        b->read[i] =
            b->read[i] || e->variable_nodes[i] != NODE_NONE || e->next_nodes[i] != NODE_NONE;
    }
}

static bool any_read(const RecipeBuild *b, const Instance *in, size_t *variables)
{
    bool any = false;
    for (size_t i = 0; i < in->variables.len; i++) {
        any = any || b->read[in->variables.at[i]->index];
        ++*variables;
    }
    for (size_t i = 0; i < in->children.len; i++) {
        any = any_read(b, in->children.at[i], variables) || any;
    }
    return any;
}

/* A submodule that no step calls is reported where it is declared, once for all it holds. */
static void unread(RecipeBuild *b, const Instance *in)
{
    size_t variables = 0;
    if (!any_read(b, in, &variables) && variables > 0) {
        Diag *d = diag(&b->c->diags, W210, in->span, "submodule `" STR_FMT "` is not used",
                       STR_ARG(in->path.len > 0 ? in->path : in->module->text));
        diag_label(d, "no step calls it");
        diag_help(d, "it takes memory and must be in the checkpoint: remove it, or call it");
        return;
    }
    for (size_t i = 0; i < in->children.len; i++) {
        unread(b, in->children.at[i]);
    }
    for (size_t i = 0; i < in->variables.len; i++) {
        const Variable *v = in->variables.at[i];
        if (!b->read[v->index] && !v->is_state) {
            diag(&b->c->diags, W210, v->span, "parameter `" STR_FMT "` is not used",
                 STR_ARG(v->key));
        }
    }
}

static bool build_data(RecipeBuild *b)
{
    uint32_t index;
    if (!data_build(b, b->step, &index)) {
        return false;
    }
    b->step_known = b->r->facts.at[index].known;
    return true;
}

/* Values from the command line are checked even where nothing reads their option. */
static void check_settings(RecipeBuild *b)
{
    for (size_t i = 0; i < b->c->n_settings; i++) {
        const Ast *option = find_option(b->c->root, b->c->settings[i].name);
        if (option != NULL) {
            elab_option(b->build, b->c->root, option);
        }
    }
    b->build->state->deferred = false;
}

/* Without a model: what can be said of knobs and of the default rule. */
static void check_stages(RecipeBuild *b)
{
    for (size_t i = 0; i < b->stages.len; i++) {
        RecipeStage stage = {.accumulate = 1};
        knobs_of_stage(b, b->stages.at[i].ast, &stage);
    }
    if (b->optimizer != NULL && b->layers == NULL) {
        OptimizerUse use;
        optimizer_use(elab_new(b->c, b->r->model, graph_new(b->c->arena), true, NULL), b->scope,
                      b->optimizer->kids[0], &use);
    }
}

/* What is wrong in one turn of a loop is wrong in the next: it is said once. */
static void build_stages(RecipeBuild *b)
{
    const Ast *failed = NULL;
    for (size_t i = 0; i < b->stages.len; i++) {
        StageClause *stage = &b->stages.at[i];
        Scope *scope = b->scope;
        if (failed != NULL && stage->ast == failed) {
            continue;
        }
        b->stage = stage;
        b->scope = stage->scope;
        failed = stage_build(b, stage->ast, i) ? NULL : stage->ast;
        b->scope = scope;
        b->stage = NULL;
    }
}

Recipe *recipe_build(Compiler *c, File *file, const Ast *finetune, const RecipeOptions *options)
{
    size_t errors = c->diags.errors;
    Recipe *r = NEW(c->arena, Recipe);
    *r = (Recipe){
        .name = finetune->text, .span = finetune->span, .model = model_new(c), .workers = -1};
    RecipeBuild build = {
        .c = c, .file = file, .item = finetune, .r = r, .without_files = options->without_files, .unread = options->unread,
        .silent = options->silent, .most_batch = options->most_batch};
    RecipeBuild *b = &build;
    b->scope = scope_new(c->arena, NULL, file, NULL);
    b->build = elab_new(c, r->model, NULL, false, NULL);
    for (size_t i = 0; i < finetune->kids[0]->n; i++) {
        sort_clause(b, finetune->kids[0]->kids[i]);
    }
    require_clauses(b);
    check_settings(b);
    bind_lets(b);
    bool model_ok = build_models(b) && b->models.len > 0;
    if (options->model_only) {
        return c->diags.errors == errors ? r : NULL;
    }
    knobs_of_run(b);
    bool data_ok = b->step != NULL && build_data(b);
    for (size_t i = 0; model_ok && i < b->loads.len; i++) {
        load_build(b, b->loads.at[i]);
    }
    for (size_t i = 0; model_ok && i < b->saves.len; i++) {
        if (b->saves.at[i]->text.len == 0) {
            save_build(b, b->saves.at[i]);
        }
    }
    if (c->diags.errors == errors) {
        save_check_inputs(b);
    }
    b->step_known = b->step_known && data_ok;
    bool eval_ok = !b->step_known || (model_ok ? eval_build(b) : eval_check(b));
    eval_ok = eval_ok && (!model_ok || !data_ok || remember_build(b));
    b->step_known = b->step_known && model_ok && eval_ok;
    bool layers_ok = model_ok && layers_build(b);
    bool sequence_ok = stages_expand(b) && layers_ok && b->step != NULL;
    if (sequence_ok) {
        build_stages(b);
    } else if (b->step != NULL) {
        check_stages(b);
    }
    for (size_t i = 0; c->diags.errors == errors && i < b->saves.len; i++) {
        if (b->saves.at[i]->text.len > 0 && b->step_known) { /* of states, known now */
            save_build(b, b->saves.at[i]);
        }
    }
    if (c->diags.errors == errors) {
        group_unused(b);
        recipe_unused(b);
        penalties_unused(b);
        if (b->recomputes.len > 0 && !b->recomputed && b->step_known) {
            Diag *d = diag(&b->c->diags, W505, b->recomputes.at[0]->name, "`recompute` has no effect");
            diag_label(d, "the backward pass needs nothing from inside of this");
        }
        lint_file(c, file);
    }
    for (size_t i = 0; b->step_known && c->diags.errors == errors && i < r->model->roots.len; i++) {
        unread(b, r->model->roots.at[i]);
    }
    assert(c->diags.errors != errors || (sequence_ok && r->stages.len > 0));
    return c->diags.errors == errors ? r : NULL;
}
