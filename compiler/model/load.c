/* `load`: which tensor of a file each variable starts from. The file's header is read here, when it
 * is there; contents are read by the runtime (except that tied keys must agree). In order: ignore,
 * the first matching rename, fresh; then every difference between file and model is an error. */
#include <stdlib.h>
#include <string.h>

#include "model/load.h"

enum { LISTED = 4 }; /* keys shown of a longer list */

static Str tensor_text(Arena *arena, Str key, size_t rank, const int64_t *dims)
{
    Str shape = dims_text(arena, rank, dims);
    return str_format(arena, STR_FMT " " STR_FMT, STR_ARG(key), STR_ARG(shape));
}

/* --- maps ------------------------------------------------------------------------------------ */
static void apply_ignore(Load *l, const Ast *clause)
{
    size_t n = 0;
    Arena *arena = l->b->c->arena;
    Candidate *candidates = NEW_ARRAY(arena, Candidate, l->n + 1);
    bool *selected = NEW_ARRAY(arena, bool, l->n + 1);
    for (size_t i = 0; i < l->n; i++) {
        int64_t elements = 1;
        for (uint32_t k = 0; k < l->tensors[i].tensor->rank; k++) {
            elements *= l->tensors[i].tensor->dims[k];
        }
        candidates[n++] = (Candidate){
            .key = l->tensors[i].name, .rank = l->tensors[i].tensor->rank, .elements = elements,
            .variable = HONE_NONE};
    }
    if (select_among(l->b, clause->kids[0], SELECT_FILE, n, candidates, selected)) {
        for (size_t i = 0; i < l->n; i++) {
            l->tensors[i].ignored = l->tensors[i].ignored || selected[i];
        }
    }
}

static bool rename_ok(Load *l, const Ast *clause)
{
    Str why;
    if (pattern_rename_valid(clause->kids[0]->text, clause->kids[1]->text, &why)) {
        return true;
    }
    Diag *d = diag(&l->b->c->diags, E401, clause->span, "invalid rename");
    diag_label(d, STR_FMT, STR_ARG(why));
    return false;
}

static void apply_rename(Load *l, const Ast *clause)
{
    if (!rename_ok(l, clause)) {
        return;
    }
    Arena *arena = l->b->c->arena;
    Str *keys = NEW_ARRAY(arena, Str, l->n + 1);
    bool any = false;
    size_t n = 0;
    for (size_t i = 0; i < l->n; i++) {
        LoadTensor *t = &l->tensors[i];
        if (t->ignored) {
            continue;
        }
        keys[n++] = t->name;
        Str renamed;
        if (!pattern_rename(arena, clause->kids[0]->text, clause->kids[1]->text, t->name,
                            &renamed)) {
            continue;
        }
        any = true;
        if (!t->renamed) {
            t->key = renamed;
            t->renamed = true;
        }
    }
    if (!any) {
        select_nothing(l->b, clause->kids[0], "tensor of the file", n, keys);
    }
}

static bool apply_fresh(Load *l, const Ast *clause)
{
    Model *model = l->b->r->model;
    bool *selected = NEW_ARRAY(l->b->c->arena, bool, model->variables.len + 1);
    if (!select_variables(l->b, clause->kids[0], SELECT_VARIABLES, l->prefix, selected)) {
        return false;
    }
    for (size_t i = 0; i < model->variables.len; i++) {
        l->b->r->loaded[i].fresh = l->b->r->loaded[i].fresh || selected[i];
    }
    return true;
}

/* --- matching -------------------------------------------------------------------------------- */
static void shape_differs(Load *l, const Variable *v, const HoneFileTensor *t, const char *what)
{
    Arena *arena = l->b->c->arena;
    Str file = dims_text(arena, t->rank, t->dims), model = dims_text(arena, v->rank, v->dims);
    Diag *d = diag(&l->b->c->diags, E402, l->clause->kids[0]->span,
                   "`" STR_FMT "` has another %s in the checkpoint", STR_ARG(v->key), what);
    if (strcmp(what, "type") == 0) {
        diag_label(d, "file: %s   model: %s", t->dtype_name, dtype_name(v->dtype));
    } else {
        diag_label(d, "file: " STR_FMT "   model: " STR_FMT, STR_ARG(file), STR_ARG(model));
    }
    if (l->b->models.len == 1) {
        diag_note_at(d, l->b->models.at[0]->kids[0]->span, "", "the model's shape comes from");
    }
    diag_note_at(d, v->span, "", "`" STR_FMT "` is declared here", STR_ARG(v->key));
    Str path = v->owner != NULL && v->owner->path.len > 0 ? v->owner->path : v->key;
    Str map = str_format(l->b->c->arena, "fresh \"" STR_FMT "\"", STR_ARG(path));
    diag_help(d, "to train this layer from scratch add `" STR_FMT "`", STR_ARG(map));
    load_suggest(l, d, map);
}

static bool same_contents(Load *l, const HoneFileTensor *a, const HoneFileTensor *other)
{
    if (a->bytes != other->bytes || a->dtype != other->dtype) {
        return false;
    }
    char *x = arena_alloc(l->b->c->arena, a->bytes + 1, 64);
    char *y = arena_alloc(l->b->c->arena, a->bytes + 1, 64);
    HoneError error = {0};
    if (hone_file_read(l->file, a, x, &error) && hone_file_read(l->file, other, y, &error)) {
        return memcmp(x, y, a->bytes) == 0;
    }
    recipe_file_error(l->b, &error, l->clause->kids[0]->span);
    return true;
}

/* Two tensors of the file for one variable: tied keys that agree, or a rename onto a taken key. */
static void second_tensor(Load *l, const Variable *v, const LoadTensor *first, const LoadTensor *t)
{
    if (str_eq(first->key, t->key)) {
        Diag *d = diag(&l->b->c->diags, E405, l->clause->kids[0]->span,
                       "two tensors of the file have the key `" STR_FMT "` after renaming",
                       STR_ARG(t->key));
        diag_note(d, "`" STR_FMT "` and `" STR_FMT "`", STR_ARG(first->name), STR_ARG(t->name));
        diag_help(d, "`ignore` one of them, or rename with a narrower pattern");
    } else if (!same_contents(l, first->tensor, t->tensor)) {
        Diag *d = diag(&l->b->c->diags, E406, l->clause->kids[0]->span,
                       "`" STR_FMT "` and `" STR_FMT "` are tied and differ in the file",
                       STR_ARG(first->key), STR_ARG(t->key));
        diag_note_at(d, v->span, "", "`" STR_FMT "` is one tensor", STR_ARG(v->key));
        diag_help(d, "`ignore` one of them");
    }
}

static const Variable *find_variable(const Load *l, Str key)
{
    Str whole = l->prefix.len > 0 ? str_join(l->b->c->arena, l->prefix, ".", key) : key;
    return map_get(&l->b->r->model->by_key, whole);
}

static void take(Load *l, LoadTensor *t)
{
    const Variable *v = t->variable = find_variable(l, t->key);
    if (v == NULL || (l->adapter && !v->of_adapter)) {
        t->variable = NULL;
        return;
    }
    LoadedTensor *loaded = &l->b->r->loaded[v->index];
    if (loaded->fresh) {
        return;
    }
    const HoneFileTensor *tensor = t->tensor;
    if (l->taken[v->index] != NULL) {
        second_tensor(l, v, l->taken[v->index], t);
        return;
    }
    l->taken[v->index] = t;
    loaded->load = l->index;
    loaded->key = str_copy(l->b->c->arena, t->name);
    bool same = tensor->rank == v->rank;
    for (size_t i = 0; same && i < v->rank; i++) {
        same = tensor->dims[i] == v->dims[i];
    }
    if (!same) {
        shape_differs(l, v, tensor, "shape");
    } else if (!tensor->known_dtype ||
               dtype_is_float((DType)tensor->dtype) != dtype_is_float(v->dtype)) {
        shape_differs(l, v, tensor, "type");
    }
}

/* --- what is left over ----------------------------------------------------------------------- */
static void list_more(Buf *out, Str text, size_t i)
{
    if (i < LISTED) {
        buf_printf(out, "%s" STR_FMT, i > 0 ? ", " : "", STR_ARG(text));
    } else if (i == LISTED) {
        buf_add(out, STR(", …"));
    }
}

static void report_missing(Load *l)
{
    Arena *arena = l->b->c->arena;
    Model *model = l->b->r->model;
    Buf list = buf_new(arena);
    size_t n = 0, states = 0;
    for (size_t i = 0; i < model->variables.len; i++) {
        const Variable *v = model->variables.at[i];
        if (!load_covers(l, v) || l->b->r->loaded[i].fresh || l->taken[i] != NULL) {
            continue;
        }
        VEC_PUSH(arena, l->missing, v);
        list_more(&list, tensor_text(arena, v->key, v->rank, v->dims), n++);
        states += v->is_state;
    }
    if (n == 0) {
        return;
    }
    const char *what = states == 0 ? "parameter" : states == n ? "state" : "tensor";
    Diag *d =
        diag(&l->b->c->diags, E403, l->clause->kids[0]->span,
             "%zu %s%s in the model but not in the checkpoint", n, what, n == 1 ? " is" : "s are");
    diag_note(d, STR_FMT, STR_ARG(buf_str(&list)));
    if (!load_hints(l, d)) {
        diag_help(d, "`rename` what is called differently in the file, or declare it new with "
                     "`fresh`");
    }
}

static void report_extra(Load *l)
{
    Arena *arena = l->b->c->arena;
    Buf list = buf_new(arena);
    size_t n = 0;
    Str one = {0};
    for (size_t i = 0; i < l->n; i++) {
        const LoadTensor *t = &l->tensors[i];
        if (t->variable == NULL && !t->ignored) {
            one = t->name;
            list_more(&list, tensor_text(arena, t->name, t->tensor->rank, t->tensor->dims), n++);
        }
    }
    if (n == 0) {
        return;
    }
    Diag *d =
        diag(&l->b->c->diags, E404, l->clause->kids[0]->span,
             "%zu tensor%s in the checkpoint but not in the model", n, n == 1 ? " is" : "s are");
    diag_note(d, STR_FMT, STR_ARG(buf_str(&list)));
    if (l->missing.len > 0) {
        diag_help(d, "`rename` what the model calls differently; `ignore` what it does not need");
    } else {
        Str pattern = load_ignore_pattern(l, one);
        Str map = str_format(arena, "ignore \"" STR_FMT "\"", STR_ARG(pattern));
        diag_help(d, "if it is not needed add `" STR_FMT "`", STR_ARG(map));
        load_suggest(l, d, map);
    }
}

/* --- the clause ------------------------------------------------------------------------------ */
static bool below(Str prefix, const Variable *v)
{
    return str_starts(v->key, prefix) && v->key.len > prefix.len &&
           v->key.ptr[prefix.len] == '.';
}


bool load_covers(const Load *l, const Variable *v)
{
    if (v->of_adapter != l->adapter) {
        return false;
    }
    return l->prefix.len == 0 || below(l->prefix, v);
}

static void read_header(Load *l)
{
    l->n = hone_file_count(l->file);
    l->tensors = NEW_ARRAY(l->b->c->arena, LoadTensor, l->n + 1);
    for (size_t i = 0; i < l->n; i++) {
        const HoneFileTensor *tensor = hone_file_tensor(l->file, i);
        Str name = str_of(tensor->key);
        l->tensors[i] = (LoadTensor){.tensor = tensor, .name = name, .key = name};
    }
}

static void match_file(Load *l, size_t errors)
{
    const Ast *maps = l->clause->kids[1];
    read_header(l);
    for (size_t i = 0; maps != NULL && i < maps->n; i++) {
        if (maps->kids[i]->kind == AST_IGNORE) {
            apply_ignore(l, maps->kids[i]);
        }
    }
    for (size_t i = 0; maps != NULL && i < maps->n; i++) {
        if (maps->kids[i]->kind == AST_RENAME) {
            apply_rename(l, maps->kids[i]);
        }
    }
    if (l->b->c->diags.errors != errors) {
        return; /* a wrong map would only make echoes */
    }
    uint32_t ignored = 0;
    for (size_t i = 0; i < l->n; i++) {
        ignored += l->tensors[i].ignored;
        if (!l->tensors[i].ignored) {
            take(l, &l->tensors[i]);
        }
    }
    l->b->r->loads.at[l->index].n_ignored = ignored;
    report_missing(l);
    report_extra(l);
}

/* The file is not there: what the program alone says is still checked. */
static void without_file(Load *l, const HoneError *error)
{
    if (!l->b->silent) {
        Diag *d = diag(&l->b->c->diags, N521, l->clause->kids[0]->span,
                       "the weights cannot be read: keys and shapes were not checked");
        diag_label(d, "%s", error->message);
    }
    l->b->r->loads.at[l->index].absent = true;
    const Ast *maps = l->clause->kids[1];
    for (size_t i = 0; maps != NULL && i < maps->n; i++) {
        if (maps->kids[i]->kind == AST_RENAME) {
            rename_ok(l, maps->kids[i]);
        }
    }
    Model *model = l->b->r->model;
    for (size_t i = 0; i < model->variables.len; i++) {
        const Variable *v = model->variables.at[i];
        if (load_covers(l, v) && !l->b->r->loaded[i].fresh) {
            l->b->r->loaded[i].load = l->index;
            size_t n = l->prefix.len > 0 ? l->prefix.len + 1 : 0;
            l->b->r->loaded[i].key = (Str){v->key.ptr + n, v->key.len - n};
        }
    }
}

static bool target(Load *l)
{
    RecipeBuild *b = l->b;
    for (size_t i = 0; i < b->loads.len && b->loads.at[i] != l->clause; i++) {
        if (str_eq(b->loads.at[i]->text, l->clause->text)) {
            if (b->r->model->wrappers.len > 0 && !l->adapter) {
                l->adapter = true;
                continue;
            }
            Diag *d = diag(&b->c->diags, E510, l->clause->name, "`load` stands twice");
            diag_note_at(d, b->loads.at[i]->name, "", "the first one");
            diag_help(d, "a model starts from one file; several models load each their own: "
                         "`load \"file\" into name`");
            return false;
        }
    }
    Str *names = NEW_ARRAY(b->c->arena, Str, b->models.len + 1);
    for (size_t i = 0; i < b->models.len; i++) {
        names[i] = b->models.at[i]->text;
        if (str_eq(names[i], l->clause->text)) {
            l->prefix = b->models.len > 1 ? names[i] : (Str){0};
            return true;
        }
    }
    if (l->clause->text.len == 0) {
        return true;
    }
    Diag *d = diag(&b->c->diags, E101, l->clause->name, "no model is called `" STR_FMT "`",
                   STR_ARG(l->clause->text));
    help_nearest(d, l->clause->text, b->models.len, names);
    return false;
}

static void close_file(void *file)
{
    hone_file_close(file);
}

bool load_build(RecipeBuild *b, const Ast *clause)
{
    size_t errors = b->c->diags.errors;
    Load load = {.b = b, .clause = clause, .index = (uint32_t)b->r->loads.len};
    Str path;
    if (!target(&load) || !recipe_str(b, clause->kids[0], &path)) {
        return false;
    }
    VEC_PUSH(b->c->arena, b->r->loads, (HoneLoad){.path = str_c(b->c->arena, path)});
    load.taken = NEW_ARRAY(b->c->arena, LoadTensor *, b->r->model->variables.len + 1);
    const Ast *maps = clause->kids[1];
    for (size_t i = 0; maps != NULL && i < maps->n; i++) {
        if (maps->kids[i]->kind == AST_FRESH) {
            apply_fresh(&load, maps->kids[i]);
        }
    }
    HoneError error = {0};
    if (!b->unread) {
        load.file = hone_file_open(b->c->sys, str_c(b->c->arena, recipe_path(b, path)), &error);
    }
    if (load.file != NULL) {
        mem_on_release(b->c->mem, close_file, load.file);
        match_file(&load, errors);
    } else if (b->unread || (b->without_files && recipe_missing(&error))) {
        without_file(&load, &error);
    } else {
        recipe_file_error(b, &error, clause->kids[0]->span);
    }
    return b->c->diags.errors == errors;
}
