/* world: a compilation of recipe files in a temporary folder. */
#include "support/world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/internal.h"
#include "support/files.h"

void world_open(World *w)
{
    memset(w, 0, sizeof *w);
    mem_init(&w->mem, &w->sys);
    w->folder = temp_folder();
    compiler_init(&w->c, &w->mem, &w->sys, arena_new(&w->mem, "test"));
}

void world_close(World *w)
{
    mem_release(&w->mem);
    temp_remove(w->folder);
}

void world_put(World *w, const char *name, const char *text)
{
    file_put(in_folder(w->folder, name), text, strlen(text));
}

File *world_load(World *w, const char *path)
{
    size_t n = w->c.n_settings;
    const OptionSetting *settings = w->c.settings;
    bool armed = w->mem.armed;
    mem_release(&w->mem);
    w->mem.armed = armed;
    Arena *arena = arena_new(&w->mem, "test");
    compiler_init(&w->c, &w->mem, &w->sys, arena);
    w->c.n_settings = n;
    w->c.settings = settings;
    const char *full = strchr(path, '/') != NULL ? path : in_folder(w->folder, path);
    return compiler_load(&w->c, str_copy(arena, str_of(full)));
}

/* The first finetune item; NULL: a library. */
static const Ast *finetune_of(const File *file)
{
    const Ast *tree = file_tree(file);
    for (size_t i = 0; i < tree->n; i++) {
        if (tree->kids[i]->kind == AST_FINETUNE) {
            return tree->kids[i];
        }
    }
    return NULL;
}

Recipe *world_recipe(World *w, File *file, bool without_files)
{
    const Ast *item = file == NULL || w->c.diags.errors > 0 ? NULL : finetune_of(file);
    RecipeOptions options = {.without_files = without_files};
    return item == NULL ? NULL : recipe_build(&w->c, file, item, &options);
}

bool world_check(World *w, const char *path)
{
    File *file = world_load(w, path);
    assert_true(file != NULL || w->c.diags.errors > 0);
    if (w->c.diags.errors > 0) {
        return false;
    }
    if (finetune_of(file) == NULL) {
        library_check(&w->c, file);
        return true;
    }
    Recipe *recipe = world_recipe(w, file, true);
    assert_true((recipe == NULL) == (w->c.diags.errors > 0));
    const char *why = recipe != NULL ? world_verify(w, recipe) : NULL;
    if (why != NULL) {
        fail_msg("%s: %s", path, why);
    }
    return true;
}

static int by_place(const void *a, const void *b)
{
    const Diag *x = *(Diag *const *)a, *y = *(Diag *const *)b;
    Span p = diag_span(x), q = diag_span(y);
    if (p.file != q.file) {
        return p.file < q.file ? -1 : 1;
    }
    return p.start < q.start ? -1 : p.start > q.start;
}

Str world_diags(World *w)
{
    Buf out = buf_new(w->c.arena);
    size_t n = w->c.diags.list.len;
    Diag **list = arena_copy(w->c.arena, w->c.diags.list.at, n * sizeof *list);
    qsort(list, n, sizeof *list, by_place);
    for (size_t i = 0; i < n; i++) {
        Span span = diag_span(list[i]);
        Str message = diag_message(list[i]);
        buf_printf(&out, "%s%s ", i > 0 ? "; " : "", diag_code_name(diag_code(list[i])));
        if (span.file != 0) {
            const Source *source = sources_file(&w->c.sources, span.file);
            Place place = source_place(source, span.start);
            if (str_starts(source->path, STR("std/"))) {
                buf_printf(&out, STR_FMT ":", STR_ARG(source->path));
            }
            buf_printf(&out, "%u:%u ", place.line, place.column);
        }
        buf_add(&out, message);
    }
    return buf_str(&out);
}

Str world_text(World *w)
{
    Buf out = buf_new(w->c.arena);
    diags_text(&w->c.diags, &out, false);
    return buf_str(&out);
}

static const char *bad(World *w, Str what, const Graph *graph)
{
    const char *why = graph != NULL ? graph_verify(graph, w->c.arena) : NULL;
    return why == NULL
               ? NULL
               : str_c(w->c.arena, str_format(w->c.arena, STR_FMT ": %s", STR_ARG(what), why));
}

const char *world_verify(World *w, const Recipe *r)
{
    const char *why = bad(w, STR("predict"), r->predict);
    why = why == NULL ? bad(w, STR("merge"), r->merge) : why;
    for (size_t i = 0; i < r->stages.len && why == NULL; i++) {
        const RecipeStage *s = &r->stages.at[i];
        const Graph *graphs[] = {s->train, s->eval, s->eval_one, s->metrics};
        for (size_t k = 0; k < 4 && why == NULL; k++) {
            why = bad(w, s->name, graphs[k]);
        }
    }
    return why;
}

/* --- tables of cases ---------------------------------------------------------------------------- */
bool world_shape(const char **shapes, size_t *rank, int64_t *dims, int64_t *below)
{
    const char *at = *shapes + strspn(*shapes, " ;,");
    *rank = 0;
    *below = 0;
    if (*at == '\0') {
        return false;
    }
    if (*at == 'i') {
        char *end;
        *below = strtoll(at + 1, &end, 10);
        at = end + 1;
    }
    do {
        char *end;
        dims[(*rank)++] = strtoll(at + (*at == ','), &end, 10);
        at = end;
    } while (*at == ',');
    *shapes = at;
    return true;
}

size_t world_unknown(World *w, const char *library, bool known(Str name))
{
    char text[64];
    snprintf(text, sizeof text, "use %s\n", library);
    world_put(w, "t.hone", text);
    const File *file = file_import(world_load(w, "t.hone"), str_of(library));
    size_t n = 0;
    for (size_t i = 0; file != NULL && i < file->tree->n; i++) {
        const Ast *item = file->tree->kids[i];
        bool counts =
            item->kind == AST_FN || item->kind == AST_MODULE || item->kind == AST_OPTIMIZER;
        if (counts && !known(item->text)) {
            fprintf(stderr, "nothing tests " STR_FMT "\n", STR_ARG(item->text));
            n++;
        }
    }
    return file != NULL ? n : 1;
}
