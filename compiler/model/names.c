/* names: the files of a compilation, `use`, and the items that a file declares. Four namespaces:
 * data, finetune, stages (recipe.c), and everything else, which is what lookup.c resolves. */
#include <errno.h>
#include <string.h>

#include "model/internal.h"

void compiler_init(Compiler *c, Mem *mem, HoneSys *sys, Arena *arena)
{
    *c = (Compiler){.mem = mem, .sys = sys, .arena = arena};
    c->sources = sources_new(arena);
    c->diags = diags_new(arena, &c->sources);
    c->files = map_new(arena);
}

bool name_is_reserved(Str name)
{
    static const char *const reserved[] = {"training", "pi", "inf", "total", "count"};
    for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++) {
        if (str_is(name, reserved[i])) {
            return true;
        }
    }
    return false;
}

void help_nearest(Diag *d, Str name, size_t n, const Str *names)
{
    Str near = str_nearest(name, names, n);
    if (near.len > 0) {
        diag_help(d, "did you mean `" STR_FMT "`?", STR_ARG(near));
        Span span = diag_span(d);
        if (span.end - span.start == name.len) { /* the name itself stands there */
            diag_edit(d, span, near);
        }
    }
}

Str span_place(Compiler *c, Arena *arena, Span span)
{
    if (span.file == 0) {
        return STR("");
    }
    const Source *source = sources_file(&c->sources, span.file);
    Place place = source_place(source, span.start);
    return str_format(arena, STR_FMT ":%u:%u", STR_ARG(source->path), place.line, place.column);
}

const OptionSetting *option_setting(const Compiler *c, Str name)
{
    for (size_t i = 0; i < c->n_settings; i++) {
        if (str_eq(c->settings[i].name, name)) {
            return &c->settings[i];
        }
    }
    return NULL;
}

static Str folder_of(Str path)
{
    size_t n = path.len;
    while (n > 0 && path.ptr[n - 1] != '/') {
        n--;
    }
    return (Str){path.ptr, n};
}

/* --- declarations ---------------------------------------------------------------------------- */
static void check_name(Compiler *c, Map *seen, Str name, const Ast *item, const char *where)
{
    if (name_is_reserved(name)) {
        Diag *d =
            diag(&c->diags, E102, item->name, "`" STR_FMT "` may not be redefined", STR_ARG(name));
        diag_help(d, "choose another name");
        return;
    }
    const Ast *first = map_get(seen, name);
    if (first == NULL) {
        map_set(seen, name, (void *)(uintptr_t)item);
        return;
    }
    Diag *d = diag(&c->diags, E102, item->name, "`" STR_FMT "` is already declared %s",
                   STR_ARG(name), where);
    diag_note_at(d, first->name, "the first", "the other declaration is here");
    diag_help(d, "rename one of them");
}

static void check_params(Compiler *c, const Ast *params, bool is_fn)
{
    Map seen = map_new(c->arena);
    for (size_t i = 0; i < params->n; i++) {
        const Ast *param = params->kids[i];
        if (param->kind != AST_PARAM) {
            continue;
        }
        check_name(c, &seen, param->text, param, "in this parameter list");
        if (is_fn && param->kids[0] == NULL && param->kids[1] == NULL) {
            Diag *d = diag(&c->diags, E110, param->name, "parameter `" STR_FMT "` needs a type",
                           STR_ARG(param->text));
            diag_help(d,
                      "write `" STR_FMT ": [..]` for any tensor, or `" STR_FMT
                      ": int`, or give a default",
                      STR_ARG(param->text), STR_ARG(param->text));
            diag_edit_around(d, param->name, "", ": [..]");
        }
    }
}

/* Paths that both branches of an `if` declare are one: the branches exclude each other. */
static void check_members(Compiler *c, Map *seen, const Ast *body)
{
    for (size_t i = 0; i < body->n; i++) {
        const Ast *item = body->kids[i];
        switch (item->kind) {
        case AST_VAR_PARAM:
        case AST_VAR_STATE:
            check_name(c, seen, item->text, item, "in this module");
            break;
        case AST_SUBMODULE:
            for (size_t k = 1; k < item->n; k++) {
                check_name(c, seen, item->kids[k]->text, item->kids[k], "in this module");
            }
            break;
        case AST_FN:
            check_name(c, seen, item->text, item, "in this module");
            check_params(c, item->kids[0], true);
            break;
        default:
            break;
        }
    }
}

static void declare(Compiler *c, File *file, const Ast *item, Map *data, Map *finetune)
{
    switch (item->kind) {
    case AST_OPTION:
        if (c->root != file) {
            Diag *d = diag(&c->diags, E514, item->name,
                           "option `" STR_FMT "` outside the root file", STR_ARG(item->text));
            diag_help(d, "make it a `let`, or an argument of what uses it");
        }
        check_name(c, &file->items, item->text, item, "in this file");
        break;
    case AST_LET:
        check_name(c, &file->items, item->text, item, "in this file");
        break;
    case AST_FN:
    case AST_MODULE:
    case AST_OPTIMIZER:
        check_name(c, &file->items, item->text, item, "in this file");
        check_params(c, item->kids[0], item->kind == AST_FN);
        if (item->kind != AST_FN) {
            Map seen = map_new(c->arena);
            check_members(c, &seen, item->kids[1]);
        }
        break;
    case AST_DATA:
        check_name(c, data, item->text, item, "in this file");
        break;
    case AST_FINETUNE:
        check_name(c, finetune, item->text, item, "in this file");
        break;
    default:
        break;
    }
}

/* --- files ----------------------------------------------------------------------------------- */
static File *file_use(Compiler *c, File *from, const Ast *name);

static File *file_read(Compiler *c, Str name, Str path, Str shown, bool is_std, Str text)
{
    File *file = NEW(c->arena, File);
    file->name = name;
    file->path = path;
    file->is_std = is_std;
    file->items = map_new(c->arena);
    file->lets = map_new(c->arena);
    file->loading = true;
    map_set(&c->files, shown, file);
    if (c->root == NULL) {
        c->root = file;
    }
    uint32_t source = sources_add(&c->sources, shown, text);
    file->tree = parse_file(c->arena, &c->sources, source, &c->diags);
    Map data = map_new(c->arena), finetune = map_new(c->arena);
    for (size_t i = 0; i < file->tree->n; i++) {
        const Ast *item = file->tree->kids[i];
        if (item->kind != AST_USE) {
            declare(c, file, item, &data, &finetune);
        }
        for (size_t k = 0; item->kind == AST_USE && k < item->n; k++) {
            File *used = item->kids[k]->kind == AST_NAME ? file_use(c, file, item->kids[k]) : NULL;
            if (used != NULL) {
                VEC_PUSH(c->arena, file->imports, used);
            }
        }
    }
    file->loading = false;
    return file;
}

static File *file_known(Compiler *c, Str shown, const Ast *name)
{
    File *file = map_get(&c->files, shown);
    if (file != NULL && file->loading) {
        Diag *d =
            diag(&c->diags, E108, name->span, "`" STR_FMT "` uses itself", STR_ARG(name->text));
        diag_help(d, "move what both files need into a third file");
    }
    return file;
}

/* Beside the file, then std, then std/models. The standard library's own files see only itself; a
 * file called as one of the library means that one. */
static File *file_use(Compiler *c, File *from, const Ast *name)
{
    Str text;
    Str in_std = name->text;
    if (!std_find(in_std, &text)) {
        in_std = str_format(c->arena, "models/" STR_FMT, STR_ARG(name->text));
    }
    Str path = str_format(c->arena, STR_FMT STR_FMT ".hone", STR_ARG(folder_of(from->path)),
                          STR_ARG(name->text));
    bool own = str_eq(path, from->path) && std_find(in_std, &text);
    if (!from->is_std && !own) {
        File *known = file_known(c, path, name);
        if (known != NULL) {
            return known->loading ? NULL : known;
        }
        if (source_read(c->arena, c->sys, path, &text)) {
            return file_read(c, name->text, path, path, false, text);
        }
        if (errno != ENOENT) {
            char why[128];
            diag(&c->diags, E109, name->span, "cannot read `" STR_FMT "`: %s", STR_ARG(path),
                 hone_errno_text(errno, why));
            return NULL;
        }
    }
    if (std_find(in_std, &text)) {
        Str shown = str_format(c->arena, "std/" STR_FMT ".hone", STR_ARG(in_std));
        File *known = file_known(c, shown, name);
        if (known != NULL) {
            return known->loading ? NULL : known;
        }
        return file_read(c, name->text, (Str){0}, shown, true, text);
    }
    Diag *d =
        diag(&c->diags, E109, name->span, "no file for `use " STR_FMT "`", STR_ARG(name->text));
    diag_note(d, "looked for " STR_FMT ".hone beside this file and in the standard library",
              STR_ARG(name->text));
    VEC(Str) std = {0};
    Str models = STR("models/"), file;
    for (size_t i = 0; std_file(i, &file, &text); i++) {
        bool model = str_starts(file, models);
        Str used = {file.ptr + (model ? models.len : 0), file.len - (model ? models.len : 0)};
        VEC_PUSH(c->arena, std, used);
    }
    help_nearest(d, name->text, std.len, std.at);
    return NULL;
}

File *compiler_load(Compiler *c, Str path)
{
    Str text = {0};
    bool is_std = false;
    if (!source_read(c->arena, c->sys, path, &text)) {
        int error = errno;
        is_std = std_find(path, &text) ||
                 std_find(str_format(c->arena, "models/" STR_FMT, STR_ARG(path)), &text);
        errno = error;
    }
    if (text.ptr == NULL) {
        char why[128];
        Diag *d = diag(&c->diags, E702, (Span){0}, "cannot read the recipe `" STR_FMT "`: %s",
                       STR_ARG(path), hone_errno_text(errno, why));
        diag_help(d, "name a file that ends in .hone");
        return NULL;
    }
    if (c->root == NULL) {
        c->root_path = path;
        c->root_dir = folder_of(path);
        if (c->root_dir.len > 1) {
            c->root_dir.len--; /* without the slash */
        }
    }
    File *known = map_get(&c->files, path);
    return known != NULL ? known : file_read(c, path, path, path, is_std, text);
}

File *compiler_text(Compiler *c, Str path, Str text)
{
    if (c->root == NULL) {
        c->root_path = path;
        c->root_dir = folder_of(path);
    }
    return file_read(c, path, path, path, false, text);
}

const Ast *file_item(const File *file, AstKind kind, Str name)
{
    for (size_t i = 0; i < file->tree->n; i++) {
        const Ast *item = file->tree->kids[i];
        if (item->kind == kind && str_eq(item->text, name)) {
            return item;
        }
    }
    return NULL;
}

const Ast *file_tree(const File *file)
{
    return file->tree;
}

File *file_import(const File *file, Str name)
{
    for (size_t i = 0; i < file->imports.len; i++) {
        if (str_eq(file->imports.at[i]->name, name)) {
            return file->imports.at[i];
        }
    }
    return NULL;
}

const Ast *file_lookup(Compiler *c, File *file, Str name, Span span, File **where)
{
    const Ast *found = map_get(&file->items, name);
    *where = file;
    for (size_t i = 0; found == NULL && i < file->imports.len; i++) {
        found = map_get(&file->imports.at[i]->items, name);
        *where = file->imports.at[i];
    }
    for (size_t i = 0; found != NULL && *where != file && i < file->imports.len; i++) {
        File *other = file->imports.at[i];
        if (other == *where || !map_has(&other->items, name)) {
            continue;
        }
        Diag *d = diag(&c->diags, E105, span, "`" STR_FMT "` is declared in two files in use",
                       STR_ARG(name));
        diag_note(d, "in `" STR_FMT "` and in `" STR_FMT "`", STR_ARG((*where)->name),
                  STR_ARG(other->name));
        Str path = str_join(c->arena, (*where)->name, ".", name);
        diag_help(d, "say which: `" STR_FMT "`", STR_ARG(path));
        diag_edit(d, span, path);
        break;
    }
    return found;
}
