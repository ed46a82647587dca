/* hone fmt: files in the canonical layout. A file that has errors stays as it is; one that changes is
 * replaced whole. */
#include <errno.h>

#include "commands/command.h"
#include "syntax/ast.h"

typedef struct Fmt {
    HoneSys *sys;
    Arena *arena;
    const CommandLine *line;
    Buf out;
    size_t changed;
} Fmt;

static int format_one(Fmt *f, Str path)
{
    Sources sources = sources_new(f->arena);
    Diags diags = diags_new(f->arena, &sources);
    Str text;
    if (!source_read(f->arena, f->sys, path, &text)) {
        char why[128];
        diag(&diags, E702, (Span){0}, "cannot read `" STR_FMT "`: %s", STR_ARG(path),
             hone_errno_text(errno, why));
        print_diags(f->sys, f->arena, f->line, &diags);
        return HONE_BAD_INPUT;
    }
    uint32_t file = sources_add(&sources, path, text);
    Buf formatted = buf_new(f->arena);
    if (!format_file(f->arena, &sources, file, &diags, &formatted)) {
        print_diags(f->sys, f->arena, f->line, &diags);
        return HONE_USAGE;
    }
    if (str_eq(buf_str(&formatted), text)) {
        return HONE_OK;
    }
    f->changed++;
    if (f->line->json) {
        buf_add(&f->out, STR("{\"file\": "));
        json_string(&f->out, path);
        buf_add(&f->out, STR("}\n"));
    } else {
        buf_printf(&f->out, STR_FMT "\n", STR_ARG(path));
    }
    HoneError error = {0};
    Str done = buf_str(&formatted);
    bool good = f->line->check || hone_replace_file(f->sys, str_c(f->arena, path), done.ptr,
                                                    done.len, &error);
    return good ? HONE_OK : print_failure(f->sys, f->arena, f->line, &error);
}

int command_fmt(HoneSys *sys, Mem *mem, const CommandLine *line)
{
    Fmt f = {.sys = sys, .arena = arena_new(mem, "fmt"), .line = line};
    f.out = buf_new(f.arena);
    if (line->args.len == 0) {
        return usage_error(sys, f.arena, line, "`hone fmt` wants one or more files");
    }
    int exit = HONE_OK;
    for (size_t i = 0; i < line->args.len; i++) {
        int one = format_one(&f, line->args.at[i]);
        exit = one > exit ? one : exit;
    }
    exit = out_finish(sys, &f.out, exit);
    return exit == HONE_OK && line->check && f.changed > 0 ? HONE_INTERNAL : exit;
}
