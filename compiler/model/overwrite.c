/* Files that a recipe reads and would then replace by `save`: data, weights, programs. Files that are
 * there are told by the system; what is not there yet as text, without `.` and `..`. */
#include "model/recipe.h"

/* "a/./b/../c" -> "a/c". */
static Str plain_path(Arena *arena, Str path)
{
    VEC(Str) parts = {0};
    bool rooted = path.len > 0 && path.ptr[0] == '/';
    for (size_t at = 0; at < path.len;) {
        size_t end = at;
        while (end < path.len && path.ptr[end] != '/') {
            end++;
        }
        Str part = {path.ptr + at, end - at};
        bool up = str_is(part, "..");
        if (up && parts.len > 0 && !str_is(parts.at[parts.len - 1], "..")) {
            parts.len--;
        } else if (part.len > 0 && !str_is(part, ".") && !(up && rooted)) {
            VEC_PUSH(arena, parts, part);
        }
        at = end + 1;
    }
    Buf out = buf_new(arena);
    for (size_t i = 0; i < parts.len; i++) {
        if (i > 0 || rooted) {
            buf_char(&out, '/');
        }
        buf_add(&out, parts.at[i]);
    }
    return buf_str(&out);
}

typedef struct SaveTarget {
    RecipeBuild *b;
    const RecipeSave *save;
    Str path;                  /* from here */
    Str plain;
} SaveTarget;

static void compare(const SaveTarget *t, Str path, Span span, const char *what)
{
    Compiler *c = t->b->c;
    if (!str_eq(t->plain, plain_path(c->arena, path)) &&
        !hone_file_same(c->sys, str_c(c->arena, t->path), str_c(c->arena, path))) {
        return;
    }
    Diag *d = diag(&t->b->c->diags, E518, t->save->span, "`save` would replace %s", what);
    diag_label(d, "writes `" STR_FMT "`", STR_ARG(t->save->path));
    if (span.file != 0) {
        diag_note_at(d, span, "", "which is read here");
    }
    diag_help(d, "choose another name for the file that is written");
}

static void compare_source(const SaveTarget *t, const HoneSource *source, Span span)
{
    for (uint32_t i = 0; source != NULL && i < source->n_options; i++) {
        if (source->options[i].kind == HONE_OPT_STRING) {
            compare(t, recipe_path(t->b, str_of(source->options[i].s)), span, "a file of data");
        }
    }
}

void save_check_inputs(RecipeBuild *b)
{
    Compiler *c = b->c;
    for (size_t i = 0; i < b->r->saves.len; i++) {
        const RecipeSave *save = &b->r->saves.at[i];
        SaveTarget t = {.b = b, .save = save, .path = recipe_path(b, save->path)};
        t.plain = plain_path(c->arena, t.path);
        for (size_t k = 0; k < b->r->loads.len && k < b->loads.len; k++) {
            compare(&t, recipe_path(b, str_of(b->r->loads.at[k].path)), b->loads.at[k]->span,
                    "the weights that the recipe starts from");
        }
        for (size_t k = 0; k < b->r->data.len; k++) {
            const HoneData *data = &b->r->data.at[k];
            compare_source(&t, data->train, b->r->facts.at[k].span);
            compare_source(&t, data->valid, b->r->facts.at[k].span);
            compare_source(&t, data->test, b->r->facts.at[k].span);
        }
        for (size_t k = 0; k < c->files.len; k++) {
            compare(&t, c->files.entries[k].key, (Span){0}, "a program that the recipe is made of");
        }
    }
}
