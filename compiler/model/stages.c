/* Which stages a recipe has: `stage` clauses in order, and those that a `for` makes, one for every
 * turn. What a stage is made of is in stage.c. */
#include <string.h>

#include "model/recipe.h"

/* --- what may stand in them ------------------------------------------------------------------ */
static const Ast *same_clause(const Ast *body, size_t before, AstKind kind)
{
    for (size_t i = 0; i < before; i++) {
        const Ast *other = body->kids[i], *own = body->kids[before];
        if (other->kind == kind && str_eq(other->text, own->text)) {
            return other;
        }
    }
    return NULL;
}

/* Where a clause's own word stands: clauses with a name keep that one's place. */
static Span first_word(const Ast *clause)
{
    size_t len = strlen(ast_kind_name(clause->kind));
    bool named = clause->kind == AST_KNOB || clause->name.start == clause->span.start;
    Span word = {clause->span.file, clause->span.start, clause->span.start + (uint32_t)len};
    return named ? clause->name : word;
}

static void check_stage(RecipeBuild *b, const Ast *stage)
{
    const Ast *body = stage->kids[0];
    for (size_t i = 0; i < body->n; i++) {
        const Ast *clause = body->kids[i];
        bool knob = clause->kind == AST_KNOB;
        if (knob || clause->kind == AST_OPTIMIZER_CALL) {
            const Ast *first = same_clause(body, i, clause->kind);
            if (first != NULL) {
                Diag *d = diag(&b->c->diags, E510, clause->name, "%s stands twice",
                               knob ? "this knob" : "`optimizer`");
                diag_note_at(d, first->name, "", "the first one");
            } else if (knob) {
                knob_check(b, clause, true);
            }
        } else if (clause->kind != AST_PENALTY && clause->kind != AST_FREEZE &&
                   clause->kind != AST_GROUP && clause->kind != AST_ERROR) {
            Diag *d = diag(&b->c->diags, E004, first_word(clause), "`%s` may not stand in a stage",
                           ast_kind_name(clause->kind));
            diag_help(d, "a stage allows knobs, `freeze`, `group`, `optimizer` and `penalty`; "
                         "write it in the recipe, above the stages");
        }
    }
}

void stages_check(RecipeBuild *b, const Ast *clause)
{
    if (clause->kind == AST_STAGE) {
        check_stage(b, clause);
        return;
    }
    const Ast *body = clause->kids[1];
    for (size_t i = 0; i < body->n; i++) {
        const Ast *item = body->kids[i];
        if (item->kind == AST_STAGE || item->kind == AST_FOR) {
            stages_check(b, item);
        } else if (item->kind != AST_ERROR) {
            bool knob = item->kind == AST_KNOB;
            Diag *d = diag(&b->c->diags, E004, first_word(item), "`%s` may not stand in this `for`",
                           knob ? str_c(b->c->arena, item->text) : ast_kind_name(item->kind));
            diag_help(d, "a `for` of a recipe makes stages: `for k in 0..4 { stage thaw { … } }`");
        }
    }
}

/* --- one after another ----------------------------------------------------------------------- */
static const Ast *named_stage(const RecipeBuild *b, const Ast *stage)
{
    for (size_t i = 0; i < b->stages.len; i++) {
        const Ast *other = b->stages.at[i].ast;
        if (other != stage && str_eq(other->text, stage->text)) {
            return other;
        }
    }
    return NULL;
}

static bool add_stage(RecipeBuild *b, const Ast *stage, Scope *scope, bool looped)
{
    const Ast *first = named_stage(b, stage);
    if (first != NULL) {
        Diag *d = diag(&b->c->diags, E102, stage->name, "stage `" STR_FMT "` is already declared",
                       STR_ARG(stage->text));
        diag_note_at(d, first->name, "", "the first one");
        return false;
    }
    if (b->stages.len == HONE_MAX_STAGES) {
        Diag *d = diag(&b->c->diags, E516, stage->name, "a recipe has at most %d stages",
                       HONE_MAX_STAGES);
        diag_help(d, "thaw several layers in one stage");
        return false;
    }
    size_t turn = 0;
    for (size_t i = 0; i < b->stages.len; i++) {
        turn += b->stages.at[i].ast == stage;
    }
    Str name = looped ? str_format(b->c->arena, STR_FMT "[%zu]", STR_ARG(stage->text), turn)
                      : stage->text;
    StageClause clause = {.ast = stage, .name = name, .scope = scope, .looped = looped};
    VEC_PUSH(b->c->arena, b->stages, clause);
    return true;
}

static bool expand(RecipeBuild *b, const Ast *clause, Scope *scope, bool looped)
{
    if (clause->kind == AST_STAGE) {
        return add_stage(b, clause, scope, looped);
    }
    if (clause->kind != AST_FOR) {
        return false; /* reported */
    }
    size_t n = 0, errors = b->c->diags.errors;
    Value *items;
    b->build->state->deferred = false;
    if (!iterate(b->build, scope, clause->kids[0], &n, &items)) {
        if (b->c->diags.errors == errors) {
            diag(&b->c->diags, E208, clause->kids[0]->span,
                 "how many stages there are must be known when the graph is built");
        }
        return false;
    }
    if (n == 0) {
        Diag *d = diag(&b->c->diags, W505, clause->name, "this `for` makes no stage");
        diag_label(d, "it has no turn");
    }
    for (size_t i = 0; i < n; i++) {
        Scope *turn = scope_new(b->c->arena, scope, b->file, NULL);
        scope_set(turn, clause->text, items[i], clause->name);
        for (size_t k = 0; k < clause->kids[1]->n; k++) {
            if (!expand(b, clause->kids[1]->kids[k], turn, true)) {
                return false;
            }
        }
    }
    return true;
}

bool stages_expand(RecipeBuild *b)
{
    bool ok = true;
    for (size_t i = 0; i < b->sequence.len; i++) {
        ok = expand(b, b->sequence.at[i], b->scope, false) && ok;
    }
    if (ok && b->stages.len == 0) {
        VEC_PUSH(b->c->arena, b->stages,
                 ((StageClause){.name = STR("train"), .scope = b->scope}));
    }
    return ok;
}
