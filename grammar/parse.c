/* parse: one file, from text to tree: plainly first; when that fails once more with the recovery
 * rules of layout.c on, to produce the messages. */
#include "parse.h"

#include <assert.h>
#include <string.h>

#include "hone.tab.h"

/* Hundreds of errors help nobody: later ones are made, but shown to no one. */
Diag *parse_error(Parse *p, DiagCode code, Span span, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    Str message = str_vformat(p->arena, fmt, args);
    va_end(args);
    p->reported++;
    if (p->reported > PARSE_ERRORS_MOST) {
        Diags *nowhere = NEW(p->arena, Diags);
        *nowhere = diags_new(p->arena, p->sources);
        return diag(nowhere, code, span, STR_FMT, STR_ARG(message));
    }
    Diag *d = diag(p->diags, code, span, STR_FMT, STR_ARG(message));
    if (p->reported == PARSE_ERRORS_MOST) {
        diag_note(d, "further errors of this file are not shown");
    }
    return d;
}

bool parse_bad_line(const Parse *p, uint32_t line)
{
    for (size_t i = 0; i < p->bad_lines.len; i++) {
        if (p->bad_lines.at[i] == line) {
            return true;
        }
    }
    return false;
}

/* Runs of bytes that are not UTF-8, one message each. A text does not hold NUL: a file that does is
 * no program, which is said once. */
static bool check_utf8(Parse *p)
{
    const char *nul = memchr(p->text.ptr, '\0', p->text.len);
    if (nul != NULL) {
        uint32_t at = (uint32_t)(nul - p->text.ptr);
        parse_error(p, E003, (Span){p->file, at, at}, "this is no text: byte %u is 0", at);
        return false;
    }
    for (size_t i = 0; i < p->text.len;) {
        Str rest = {p->text.ptr + i, p->text.len - i};
        size_t n = utf8_length(rest);
        if (n > 0) {
            i += n;
            continue;
        }
        size_t end = i + 1;
        while (end < p->text.len && utf8_length((Str){p->text.ptr + end, p->text.len - end}) == 0) {
            end++;
        }
        Span span = {p->file, (uint32_t)i, (uint32_t)end};
        parse_error(p, E003, span, "not UTF-8");
        i = end;
    }
    return true;
}

bool parse_run(Parse *p)
{
    p->items = ast_list(p->arena);
    if (p->text.len > PARSE_BYTES_MOST) {
        parse_error(p, E003, (Span){p->file, 0, 0}, "file is longer than 64 MiB");
        return false;
    }
    if (!check_utf8(p)) {
        return false;
    }
    scan(p);
    if (layout(p)) {
        hone_parse(p);
        if (p->failed) {
            p->items = ast_list(p->arena);
            p->recover = true;
            if (layout(p)) {
                hone_parse(p);
            }
            assert(p->reported > 0);
        }
    }
    return p->reported == 0;
}

Ast *parse_file(Arena *arena, const Sources *sources, uint32_t file, Diags *diags)
{
    const Source *source = sources_file(sources, file);
    Parse p = {
        .arena = arena, .diags = diags, .sources = sources, .file = file, .text = source->text};
    parse_run(&p);
    Span whole = {file, 0, (uint32_t)source->text.len};
    return ast_new(arena, AST_PROGRAM, whole, p.items, NULL, 0);
}
