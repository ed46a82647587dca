/* `adapt SELECTOR with Module(…)`: the selected instances are wrapped. Their own keys do not move; what
 * the wrapper declares hangs below the same path. */
#include "model/recipe.h"

/* A whole model is no part. */
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
    Instances chosen = {0};
    if (!select_instances(b, clause, &chosen)) {
        return false;
    }
    for (size_t i = 0; i < chosen.len; i++) {
        if (!adapt_one(b, clause, chosen.at[i])) {
            return false;
        }
    }
    return true;
}
