/* `save`: which variables are written, under which keys. Writing is the runtime's. */
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

bool save_build(RecipeBuild *b, const Ast *clause)
{
    size_t errors = b->c->diags.errors;
    Model *model = b->r->model;
    const Ast *maps = clause->kids[2];
    RecipeSave save = {.span = clause->span};
    if (!recipe_str(b, clause->kids[0], &save.path) || !maps_ok(b, maps)) {
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
    if (clause->kids[1] != NULL &&
        !select_variables(b, clause->kids[1], SELECT_VARIABLES, (Str){0}, selected)) {
        return false;
    }
    Map keys = map_new(b->c->arena);
    for (size_t i = 0; i < model->variables.len; i++) {
        const Variable *v = model->variables.at[i];
        Str key;
        if (clause->kids[1] != NULL && !selected[i]) {
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
        HoneSaveItem item = {.key = str_c(b->c->arena, key), .tensor = v->index};
        VEC_PUSH(b->c->arena, save.items, item);
    }
    unused_maps(b, maps, used);
    VEC_PUSH(b->c->arena, b->r->saves, save);
    return b->c->diags.errors == errors;
}
