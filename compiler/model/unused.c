/* What of a recipe has no effect (W505): knobs and a rule that every stage says anew, evaluations with
 * nothing to evaluate, layers whose depth nothing asks for. What groups and penalties do not move is
 * said where they are built. */
#include "model/recipe.h"

static Diag *no_effect(RecipeBuild *b, Span span, Str what)
{
    return diag(&b->c->diags, W505, span, "`" STR_FMT "` has no effect", STR_ARG(what));
}

static bool says(const Ast *stage, AstKind kind, const char *name)
{
    const Ast *body = stage->kids[0];
    for (size_t i = 0; i < body->n; i++) {
        if (body->kids[i]->kind == kind && (name == NULL || str_is(body->kids[i]->text, name))) {
            return true;
        }
    }
    return false;
}

static bool says_knob(const Ast *stage, Str name)
{
    bool length = str_is(name, "epochs") || str_is(name, "steps");
    for (size_t i = 0; i < stage->kids[0]->n; i++) {
        const Ast *own = stage->kids[0]->kids[i];
        if (own->kind == AST_KNOB && str_eq(own->text, name)) {
            return true;
        }
    }
    return length && (says(stage, AST_KNOB, "epochs") || says(stage, AST_KNOB, "steps"));
}

static void overridden_knobs(RecipeBuild *b)
{
    for (size_t i = 0; i < b->knobs.len; i++) {
        const Ast *knob = b->knobs.at[i];
        size_t own = 0;
        for (size_t k = 0; k < b->stages.len; k++) {
            own += b->stages.at[k].ast != NULL && says_knob(b->stages.at[k].ast, knob->text);
        }
        if (own > 0 && own == b->stages.len) {
            Diag *d = no_effect(b, knob->name, knob->text);
            diag_label(d, "every stage has its own");
        }
    }
}

static bool same_span(Span a, Span other)
{
    return a.file == other.file && a.start == other.start && a.end == other.end;
}

static void overridden_rule(RecipeBuild *b)
{
    Span span = b->optimizer->kids[0]->span;
    for (size_t i = 0; i < b->r->stages.len; i++) {
        for (size_t k = 0; k < b->r->model->variables.len; k++) {
            const VariableUse *use = &b->r->stages.at[i].uses[k];
            if (use->trainable && same_span(use->optimizer.span, span)) {
                return;
            }
        }
    }
    Diag *d = no_effect(b, b->optimizer->span, STR("optimizer"));
    diag_label(d, "stages and groups give every parameter another rule");
}

void recipe_unused(RecipeBuild *b)
{
    overridden_knobs(b);
    if (b->optimizer != NULL) {
        overridden_rule(b);
    }
    const Ast *every = knob_find(b, NULL, "every");
    if (every != NULL && b->step_known && b->evaluation.metrics == NULL) {
        Diag *d = no_effect(b, every->name, every->text);
        diag_label(d, "the step declares no metric that could be evaluated");
    }
    if (b->layers != NULL && !ast_reads(b->item, STR("depth"))) {
        Diag *d = no_effect(b, b->layers->name, STR("layers"));
        diag_label(d, "nothing asks for `depth`");
        diag_help(d, "for instance `optimizer AdamW(lr = 1e-3 * 0.9^depth)`");
    }
}
