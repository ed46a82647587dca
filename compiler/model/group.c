/* `optimizer` and `group`: which rule with which hyperparameters updates each parameter in a stage.
 * The recipe's groups apply before the stage's, each refining what stands. Parameters with one
 * history share one list of hyperparameters (equal `hypers` pointers). */
#include "model/recipe.h"

typedef struct Grouping {
    RecipeBuild *b;
    Elab *e;
    const bool *trainable;
    VariableUse *uses; /* by variable */
    bool *members;     /* of the group at work */
    bool no_rule;      /* the default optimizer is wrong: groups have no hyperparameters to set */
} Grouping;

static size_t n_variables(const Grouping *g)
{
    return g->b->r->model->variables.len;
}

static int64_t depth_of(const Grouping *g, uint32_t variable)
{
    return g->b->depth != NULL ? g->b->depth[variable] : 0;
}

static GroupKnob *group_knob(RecipeBuild *b, const Ast *group, const Ast *knob)
{
    for (size_t i = 0; i < b->group_knobs.len; i++) {
        if (b->group_knobs.at[i].knob == knob) {
            return &b->group_knobs.at[i];
        }
    }
    VEC_PUSH(b->c->arena, b->group_knobs, ((GroupKnob){.group = group, .knob = knob}));
    return &b->group_knobs.at[b->group_knobs.len - 1];
}

static bool same_span(Span a, Span other)
{
    return a.file == other.file && a.start == other.start && a.end == other.end;
}

/* --- hyperparameters ------------------------------------------------------------------------- */
static Hyper *find_hyper(const OptimizerUse *use, Str name)
{
    for (size_t i = 0; i < use->n; i++) {
        if (str_eq(use->hypers[i].name, name)) {
            return &use->hypers[i];
        }
    }
    return NULL;
}

static bool mentions(const Ast *expr, Str name)
{
    if (expr == NULL) {
        return false;
    }
    bool found = expr->kind == AST_NAME && str_eq(expr->text, name);
    for (size_t i = 0; i < expr->n && !found; i++) {
        found = mentions(expr->kids[i], name);
    }
    return found;
}

/* Values that a later group builds on were not without effect. */
static void keep_mentioned(Grouping *g, const OptimizerUse *use, const Ast *expr)
{
    for (size_t i = 0; i < use->n; i++) {
        for (size_t k = 0; k < g->b->group_knobs.len; k++) {
            GroupKnob *knob = &g->b->group_knobs.at[k];
            if (knob->knob->kind == AST_KNOB && mentions(expr, use->hypers[i].name) &&
                same_span(use->hypers[i].span, knob->knob->kids[0]->span)) {
                knob->effective = true;
            }
        }
    }
}

/* A copy of the use with one hyperparameter set; on the right, names are the values so far. */
static bool refine(Grouping *g, const Ast *knob, uint32_t variable, const OptimizerUse *old,
                   OptimizerUse *refined)
{
    Elab *e = g->e;
    Arena *arena = g->b->c->arena;
    Scope *scope = layers_scope(g->b, g->b->scope, variable);
    scope = scope_new(arena, scope, g->b->file, NULL);
    for (size_t i = 0; i < old->n; i++) {
        scope_set(scope, old->hypers[i].name, old->hypers[i].value, old->hypers[i].span);
    }
    keep_mentioned(g, old, knob->kids[0]);
    size_t errors = g->b->c->diags.errors;
    Value value = eval(e, scope, knob->kids[0]);
    const Ast *params = old->item->kids[0], *param = NULL;
    for (size_t i = 0; i < params->n; i++) {
        param = str_eq(params->kids[i]->text, knob->text) ? params->kids[i] : param;
    }
    Scope *own = scope_new(arena, NULL, old->file, NULL);
    Value fallback = param->kids[1] != NULL ? eval(e, own, param->kids[1]) : value;
    value = convert_scalar(e, param, param_type(e, param, &fallback), value, knob->kids[0]->span,
                           old->item->text);
    value.span = knob->kids[0]->span;
    *refined = *old;
    refined->hypers = NEW_ARRAY(arena, Hyper, old->n + 1);
    for (size_t i = 0; i < old->n; i++) {
        refined->hypers[i] = old->hypers[i];
    }
    Hyper *hyper = find_hyper(refined, knob->text);
    *hyper = (Hyper){.name = hyper->name, .value = value, .span = knob->kids[0]->span};
    return g->b->c->diags.errors == errors;
}

static void unknown_hyper(Grouping *g, const Ast *knob)
{
    VEC(Str) names = {0};
    Buf rules = buf_new(g->b->c->arena);
    const Ast *last = NULL;
    Arena *arena = g->b->c->arena;
    for (size_t i = 0; i < n_variables(g); i++) {
        const OptimizerUse *use = &g->uses[i].optimizer;
        if (!g->members[i] || use->item == last) {
            continue;
        }
        last = use->item;
        buf_printf(&rules, "%s`" STR_FMT "`", names.len > 0 ? ", " : "", STR_ARG(use->item->text));
        for (size_t k = 0; k < use->n; k++) {
            VEC_PUSH(arena, names, use->hypers[k].name);
        }
    }
    Str list = buf_str(&rules);
    Diag *d = diag(&g->b->c->diags, E501, knob->name,
                   "no optimizer of this group has a "
                   "hyperparameter `" STR_FMT "`",
                   STR_ARG(knob->text));
    diag_label(d, "its parameters are updated by " STR_FMT, STR_ARG(list));
    Str all = {0};
    for (size_t k = 0; k < names.len; k++) {
        all = str_join(arena, all, ", ", str_format(arena, "`" STR_FMT "`", STR_ARG(names.at[k])));
    }
    diag_note(d, "its hyperparameters: " STR_FMT, STR_ARG(all));
    help_nearest(d, knob->text, names.len, names.at);
}

static bool apply_knob(Grouping *g, const Ast *group, const Ast *knob)
{
    typedef struct Done {
        const Hyper *from;
        int64_t depth;
        OptimizerUse to;
    } Done;
    VEC(Done) done = {0};
    bool any = false, has = false;
    group_knob(g->b, group, knob);
    for (size_t i = 0; i < n_variables(g); i++) {
        if (!g->members[i]) {
            continue;
        }
        any = true;
        OptimizerUse *use = &g->uses[i].optimizer;
        if (find_hyper(use, knob->text) == NULL) {
            continue;
        }
        has = true;
        size_t k = 0;
        while (k < done.len && !(done.at[k].from == use->hypers &&
                                 done.at[k].depth == depth_of(g, (uint32_t)i))) {
            k++;
        }
        if (k == done.len) {
            Done step = {.from = use->hypers, .depth = depth_of(g, (uint32_t)i)};
            if (!refine(g, knob, (uint32_t)i, use, &step.to)) {
                return false;
            }
            VEC_PUSH(g->b->c->arena, done, step);
        }
        *use = done.at[k].to;
    }
    group_knob(g->b, group, knob)->met |= has;
    if (any && !has) {
        unknown_hyper(g, knob);
        return false;
    }
    return true;
}

/* --- groups
 * ------------------------------------------------------------------------------------------------
 */
/* The rule for all members; its arguments are evaluated once for every depth among them. */
static bool call_rule(Grouping *g, const Ast *clause, const bool *members)
{
    RecipeBuild *b = g->b;
    VEC(uint32_t) firsts = {0}; /* of each depth */
    for (size_t i = 0; i < n_variables(g); i++) {
        size_t k = 0;
        while (members[i] && k < firsts.len &&
               depth_of(g, firsts.at[k]) != depth_of(g, (uint32_t)i)) {
            k++;
        }
        if (!members[i]) {
            continue;
        }
        if (k < firsts.len) {
            g->uses[i].optimizer = g->uses[firsts.at[k]].optimizer;
            continue;
        }
        Scope *scope = layers_scope(b, b->scope, (uint32_t)i);
        if (!optimizer_use(g->e, scope, clause->kids[0], &g->uses[i].optimizer)) {
            return false;
        }
        VEC_PUSH(b->c->arena, firsts, (uint32_t)i);
    }
    return true;
}

static bool apply_optimizer(Grouping *g, const Ast *group, const Ast *clause)
{
    group_knob(g->b, group, clause);
    if (!call_rule(g, clause, g->members)) {
        return false;
    }
    for (size_t i = 0; i < n_variables(g); i++) {
        group_knob(g->b, group, clause)->met |= g->members[i];
    }
    return true;
}

static const Ast *first_of_name(const Ast *body, size_t before)
{
    for (size_t k = 0; k < before; k++) {
        if (body->kids[k]->kind == body->kids[before]->kind &&
            str_eq(body->kids[k]->text, body->kids[before]->text)) {
            return body->kids[k];
        }
    }
    return NULL;
}

static bool apply_group(Grouping *g, const Ast *group)
{
    RecipeBuild *b = g->b;
    if (!select_variables(b, group->kids[0], SELECT_PARAMETERS, (Str){0}, g->members)) {
        return false;
    }
    for (size_t i = 0; i < n_variables(g); i++) {
        g->members[i] = g->members[i] && g->trainable[i];
    }
    const Ast *body = group->kids[1];
    bool ok = true;
    for (size_t i = 0; i < body->n; i++) {
        const Ast *first = first_of_name(body, i);
        if (first != NULL) {
            Diag *d = diag(&b->c->diags, E510, body->kids[i]->name, "this stands twice");
            diag_note_at(d, first->name, "", "the first one");
            ok = false;
        } else if (body->kids[i]->kind == AST_OPTIMIZER_CALL) {
            ok = apply_optimizer(g, group, body->kids[i]) && ok;
        }
    }
    for (size_t i = 0; ok && !g->no_rule && i < body->n; i++) {
        if (body->kids[i]->kind == AST_KNOB) {
            ok = apply_knob(g, group, body->kids[i]) && ok;
        }
    }
    return ok;
}

static void note_effects(Grouping *g)
{
    for (size_t k = 0; k < g->b->group_knobs.len; k++) {
        GroupKnob *knob = &g->b->group_knobs.at[k];
        Span span = knob->knob->kids[0]->span;
        bool rule = knob->knob->kind == AST_OPTIMIZER_CALL;
        for (size_t i = 0; i < n_variables(g) && !knob->effective; i++) {
            const OptimizerUse *use = &g->uses[i].optimizer;
            if (!g->trainable[i] || use->item == NULL) {
                continue;
            }
            knob->effective = rule && same_span(use->span, span);
            for (size_t h = 0; h < use->n && !rule && !knob->effective; h++) {
                knob->effective = same_span(use->hypers[h].span, span);
            }
        }
    }
}

static const Ast *optimizer_clause(RecipeBuild *b, const Ast *stage)
{
    for (size_t i = 0; stage != NULL && i < stage->kids[0]->n; i++) {
        if (stage->kids[0]->kids[i]->kind == AST_OPTIMIZER_CALL) {
            return stage->kids[0]->kids[i];
        }
    }
    return b->optimizer;
}

bool group_uses(RecipeBuild *b, Elab *e, const Ast *stage, const bool *trainable,
                OptimizerUse *base, VariableUse *uses)
{
    size_t n = b->r->model->variables.len;
    Grouping g = {.b = b,
                  .e = e,
                  .trainable = trainable,
                  .uses = uses,
                  .members = NEW_ARRAY(b->c->arena, bool, n + 1)};
    for (size_t i = 0; i < n; i++) {
        g.members[i] = trainable[i] && !b->r->model->variables.at[i]->is_state;
        uses[i] = (VariableUse){.trainable = g.members[i]};
    }
    const Ast *clause = optimizer_clause(b, stage);
    bool ok = clause != NULL && call_rule(&g, clause, g.members);
    g.no_rule = !ok;
    *base = (OptimizerUse){0};
    for (size_t i = 0, best = 0; i < n; i++) { /* that of the top layer stands for all */
        if (uses[i].trainable && (base->item == NULL || depth_of(&g, (uint32_t)i) <
                                                            depth_of(&g, (uint32_t)best))) {
            *base = uses[i].optimizer;
            best = i;
        }
    }
    for (size_t i = 0; i < b->groups.len; i++) {
        ok = apply_group(&g, b->groups.at[i]) && ok;
    }
    for (size_t i = 0; stage != NULL && i < stage->kids[0]->n; i++) {
        if (stage->kids[0]->kids[i]->kind == AST_GROUP) {
            ok = apply_group(&g, stage->kids[0]->kids[i]) && ok;
        }
    }
    note_effects(&g);
    return ok;
}

/* A group that met no trainable parameter is one warning, not one for each of its knobs. */
void group_unused(RecipeBuild *b)
{
    for (size_t i = 0; i < b->group_knobs.len; i++) {
        const GroupKnob *knob = &b->group_knobs.at[i];
        if (knob->met && !knob->effective) {
            const char *what =
                knob->knob->kind == AST_KNOB ? str_c(b->c->arena, knob->knob->text) : "optimizer";
            Diag *d = diag(&b->c->diags, W505, knob->knob->name, "`%s` of this group has no effect",
                           what);
            diag_label(d, "a later group sets it for all of its parameters");
        } else if (!knob->met) {
            Diag *d = diag(&b->c->diags, W505, knob->group->name, "this group has no effect");
            diag_label(d, "all it selects is frozen in every stage");
        }
    }
}
