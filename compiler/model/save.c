/* `save`: which variables are written, or which states that optimizers keep for them, under which
 * keys. Writing is the runtime's. */
#include "model/recipe.h"

static bool save_key(RecipeBuild *b, const Ast *maps, const Variable *v, bool *used, Str *key)
{
    *key = v->key;
    for (size_t i = 0; maps != NULL && i < maps->n; i++) {
        const Ast *map = maps->kids[i];
        if (map->kind == AST_RENAME &&
            pattern_rename(b->c->arena, map->kids[0]->text, map->kids[1]->text, v->key, key)) {
            used[i] = true;
            return true;
        }
    }
    return false;
}

static bool maps_ok(RecipeBuild *b, const Ast *maps)
{
    bool ok = true;
    for (size_t i = 0; maps != NULL && i < maps->n; i++) {
        const Ast *map = maps->kids[i];
        Str why;
        if (map->kind == AST_IGNORE || map->kind == AST_FRESH) {
            Diag *d = diag(&b->c->diags, E004, map->name, "`save` takes only `rename`");
            diag_help(d, "`only` chooses what is written");
            ok = false;
        } else if (map->kind == AST_RENAME &&
                   !pattern_rename_valid(map->kids[0]->text, map->kids[1]->text, &why)) {
            Diag *d = diag(&b->c->diags, E401, map->span, "invalid rename");
            diag_label(d, STR_FMT, STR_ARG(why));
            ok = false;
        }
    }
    return ok;
}

static void unused_maps(RecipeBuild *b, const Ast *maps, const bool *used)
{
    Model *model = b->r->model;
    Str *keys = NEW_ARRAY(b->c->arena, Str, model->variables.len + 1);
    for (size_t i = 0; i < model->variables.len; i++) {
        keys[i] = model->variables.at[i]->key;
    }
    for (size_t i = 0; maps != NULL && i < maps->n; i++) {
        if (maps->kids[i]->kind == AST_RENAME && !used[i]) {
            select_nothing(b, maps->kids[i]->kids[0], "parameter or state", model->variables.len,
                           keys);
        }
    }
}

/* --- states ---------------------------------------------------------------------------------- */
static bool is_named(const RecipeState *s, Str name)
{
    size_t n = s->key.len - name.len;
    return s->kind == HONE_OPTIMIZER_STATE && s->key.len > name.len &&
           s->key.ptr[n - 1] == ':' && str_ends(s->key, name);
}

/* The tensor that holds a variable's state of the name: of the rule that updates it last. */
static uint32_t state_of(RecipeBuild *b, const Variable *v, Str name)
{
    uint32_t found = HONE_NONE;
    for (size_t i = 0; i < b->r->states.len; i++) {
        const RecipeState *s = &b->r->states.at[i];
        bool last = false;
        for (size_t k = 0; k < b->r->stages.len; k++) {
            const VariableUse *use = &b->r->stages.at[k].uses[v->index];
            last = use->trainable ? use->optimizer.item == s->rule : last;
        }
        if (s->of == v->index && is_named(s, name) && (last || found == HONE_NONE)) {
            found = (uint32_t)(b->r->model->variables.len + i);
        }
    }
    return found;
}

static bool no_state(RecipeBuild *b, const Ast *clause)
{
    VEC(Str) names = {0};
    for (size_t i = 0; i < b->r->states.len; i++) {
        const RecipeState *s = &b->r->states.at[i];
        size_t at = s->key.len;
        while (at > 0 && s->key.ptr[at - 1] != ':') {
            at--;
        }
        Str name = {s->key.ptr + at, s->key.len - at};
        bool known = s->kind != HONE_OPTIMIZER_STATE;
        for (size_t k = 0; k < names.len && !known; k++) {
            known = str_eq(names.at[k], name);
        }
        if (!known) {
            VEC_PUSH(b->c->arena, names, name);
        }
    }
    Diag *d = diag(&b->c->diags, E101, clause->name, "no optimizer keeps a state `" STR_FMT "`",
                   STR_ARG(clause->text));
    Buf list = buf_new(b->c->arena);
    for (size_t k = 0; k < names.len; k++) {
        buf_printf(&list, "%s`" STR_FMT "`", k > 0 ? ", " : "", STR_ARG(names.at[k]));
    }
    Str text = buf_str(&list);
    if (names.len > 0) {
        diag_note(d, "they keep " STR_FMT, STR_ARG(text));
    } else {
        diag_note(d, "the optimizers of this recipe keep no state at all");
    }
    help_nearest(d, clause->text, names.len, names.at);
    return false;
}

bool save_build(RecipeBuild *b, const Ast *clause)
{
    size_t errors = b->c->diags.errors;
    Model *model = b->r->model;
    const Ast *maps = clause->kids[2];
    bool merged = clause->flags & AST_FLAG_MERGED;
    RecipeSave save = {.span = clause->span, .merged = merged};
    if (!recipe_str(b, clause->kids[0], &save.path) || !maps_ok(b, maps)) {
        return false;
    }
    if (merged && clause->text.len > 0) {
        Diag *d = diag(&b->c->diags, E004, clause->name, "`state` and `merged` do not go together");
        diag_help(d, "write two `save` clauses");
        return false;
    }
    if (save.path.len == 0) {
        Diag *d = diag(&b->c->diags, E516, clause->kids[0]->span, "`save` needs the name of a file");
        diag_help(d, "for instance `save \"weights.safetensors\"`");
        return false;
    }
    for (size_t i = 0; i < b->r->saves.len; i++) {
        if (str_eq(b->r->saves.at[i].path, save.path)) {
            Diag *d = diag(&b->c->diags, E510, clause->name, "two `save` clauses write one file");
            diag_note_at(d, b->r->saves.at[i].span, "", "the first one");
        }
    }
    bool *selected = NEW_ARRAY(b->c->arena, bool, model->variables.len + 1);
    bool *used = NEW_ARRAY(b->c->arena, bool, maps != NULL ? maps->n + 1 : 1);
    SelectOf of = merged ? SELECT_BASE : SELECT_VARIABLES;
    if (clause->kids[1] != NULL && !select_variables(b, clause->kids[1], of, (Str){0}, selected)) {
        return false;
    }
    if (merged && !merge_build(b, clause)) {
        return false;
    }
    Map keys = map_new(b->c->arena);
    for (size_t i = 0; i < model->variables.len; i++) {
        const Variable *v = model->variables.at[i];
        Str key;
        uint32_t tensor = clause->text.len > 0 ? state_of(b, v, clause->text) : v->index;
        if ((clause->kids[1] != NULL && !selected[i]) || tensor == HONE_NONE ||
            (merged && v->of_adapter)) {
            continue;
        }
        save_key(b, maps, v, used, &key);
        const Variable *other = map_get(&keys, key);
        if (other != NULL) {
            Diag *d = diag(&b->c->diags, E405, clause->kids[0]->span,
                           "two tensors would be saved as `" STR_FMT "`", STR_ARG(key));
            diag_note(d, "`" STR_FMT "` and `" STR_FMT "`", STR_ARG(other->key), STR_ARG(v->key));
        }
        map_set(&keys, key, (void *)(uintptr_t)v);
        HoneSaveItem item = {.key = str_c(b->c->arena, key), .tensor = tensor};
        VEC_PUSH(b->c->arena, save.items, item);
    }
    if (clause->text.len > 0 && save.items.len == 0) {
        return no_state(b, clause);
    }
    unused_maps(b, maps, used);
    VEC_PUSH(b->c->arena, b->r->saves, save);
    return b->c->diags.errors == errors;
}
