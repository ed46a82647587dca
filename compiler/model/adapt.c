/* `adapt SELECTOR with Module(…)`: the selected instances are wrapped. Their own keys do not move; what
 * the wrapper declares hangs below the same path. */
#include "model/recipe.h"

typedef VEC(Instance *) Instances;

static void collect(RecipeBuild *b, Instance *in, Instances *all)
{
    VEC_PUSH(b->c->arena, *all, in);
    for (size_t i = 0; i < in->children.len; i++) {
        collect(b, in->children.at[i], all);
    }
}

/* The instance at the pattern's node itself, not those below it. */
static bool selects(Str pattern, Str path)
{
    Str node;
    return path.len > 0 && matching_node(pattern, path, &node) && node.len == path.len;
}

static bool apply(RecipeBuild *b, const Ast *patterns, const Instances *all, bool value, bool *chosen)
{
    bool ok = true;
    Str *paths = NEW_ARRAY(b->c->arena, Str, all->len + 1);
    for (size_t k = 0; patterns != NULL && k < patterns->n; k++) {
        const Ast *pattern = patterns->kids[k];
        if (pattern->kind != AST_STRING || !select_pattern_ok(b, pattern)) {
            ok = false;
            continue;
        }
        bool any = false;
        size_t n = 0;
        for (size_t i = 0; i < all->len; i++) {
            Str path = all->at[i]->path;
            bool hit = value ? selects(pattern->text, path)
                             : path.len > 0 && pattern_matches(pattern->text, path);
            chosen[i] = hit ? value : chosen[i];
            any = any || hit;
            if (path.len > 0) {
                paths[n++] = path;
            }
        }
        if (!any) {
            select_nothing(b, pattern, "module", n, paths);
            ok = false;
        }
    }
    return ok;
}

/* Of instances with one path (`as ""`) the outermost stands for it; a whole model is no part. */
static bool adapt_one(RecipeBuild *b, const Ast *clause, Instance *in)
{
    if (in->parent != NULL) {
        return model_adapt(b->c, b->r->model, in, clause->kids[1], b->scope);
    }
    Diag *d = diag(&b->c->diags, E509, clause->name, "a whole model cannot be wrapped");
    diag_label(d, "this selects `" STR_FMT "`", STR_ARG(in->path));
    diag_help(d, "select modules inside it");
    return false;
}

bool adapt_build(RecipeBuild *b, const Ast *clause)
{
    const Ast *select = clause->kids[0];
    Instances all = {0};
    for (size_t i = 0; i < b->r->model->roots.len; i++) {
        collect(b, b->r->model->roots.at[i], &all);
    }
    if (select->kids[2] != NULL) {
        Diag *d = diag(&b->c->diags, E509, select->kids[2]->span, "`adapt` takes no `where`");
        diag_help(d, "conditions are on tensors; `adapt` selects modules: use patterns and `except`");
        return false;
    }
    bool *chosen = NEW_ARRAY(b->c->arena, bool, all.len + 1);
    if (!apply(b, select->kids[0], &all, true, chosen) ||
        !apply(b, select->kids[1], &all, false, chosen)) {
        return false;
    }
    size_t n = 0;
    for (size_t i = 0; i < all.len; i++) {
        Instance *in = all.at[i];
        bool again = in->parent != NULL && str_eq(in->parent->path, in->path);
        if (!chosen[i] || again) {
            continue;
        }
        n++;
        if (!adapt_one(b, clause, in)) {
            return false;
        }
    }
    if (n == 0) {
        Diag *d = diag(&b->c->diags, W505, select->span, "nothing is selected");
        diag_label(d, "`except` leaves no module");
    }
    return true;
}
