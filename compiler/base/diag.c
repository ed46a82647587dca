/* diag: diagnostics as data. They are collected while a phase runs and rendered at its end; how
 * they look is in diag_text.c and diag_json.c. */
#include "base/diag_internal.h"

#include <stdlib.h>
#include <string.h>

typedef struct Row {
    const char *name, *title, *text;
} Row;

static const Row rows[DIAG_COUNT] = {
#define DIAG(code, title, text) [code] = {#code, title, text},
#include "base/diag.def"
#undef DIAG
};

const char *diag_code_name(DiagCode code)
{
    return rows[code].name;
}

const char *diag_code_title(DiagCode code)
{
    return rows[code].title;
}

const char *diag_code_text(DiagCode code)
{
    return rows[code].text;
}

const char *diag_code_level(DiagCode code)
{
    switch (rows[code].name[0]) {
    case 'E': return "error";
    case 'W': return "warning";
    default: return "note";
    }
}

bool diag_code_find(Str name, DiagCode *code)
{
    for (int i = 0; i < DIAG_COUNT; i++) {
        if (str_is(name, rows[i].name)) {
            *code = (DiagCode)i;
            return true;
        }
    }
    return false;
}

Diags diags_new(Arena *arena, const Sources *sources)
{
    return (Diags){.arena = arena, .sources = sources, .seen = map_new(arena)};
}

/* A repeated diagnostic is returned like a new one, but stays out of the list. */
Diag *diag(Diags *diags, DiagCode code, Span span, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    Str message = str_vformat(diags->arena, fmt, args);
    va_end(args);
    Diag *d = NEW(diags->arena, Diag);
    *d = (Diag){.arena = diags->arena, .code = code, .span = span, .message = message};
    Str key = str_format(diags->arena, "%s %u %u %u " STR_FMT, diag_code_name(code), span.file,
                         span.start, span.end, STR_ARG(message));
    diags->errors += rows[code].name[0] == 'E';
    if (map_has(&diags->seen, key)) {
        return d;
    }
    map_set(&diags->seen, key, d);
    d->order = diags->list.len;
    VEC_PUSH(diags->arena, diags->list, d);
    diags->warnings += rows[code].name[0] == 'W';
    return d;
}

void diag_label(Diag *d, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    d->label = str_vformat(d->arena, fmt, args);
    va_end(args);
}

void diag_note(Diag *d, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    Note note = {.message = str_vformat(d->arena, fmt, args)};
    va_end(args);
    VEC_PUSH(d->arena, d->notes, note);
}

void diag_note_at(Diag *d, Span span, const char *label, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    Note note = {.span = span, .message = str_vformat(d->arena, fmt, args)};
    va_end(args);
    if (label != NULL) {
        note.label = str_copy(d->arena, str_of(label));
    }
    VEC_PUSH(d->arena, d->notes, note);
}

void diag_help(Diag *d, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    Str help = str_vformat(d->arena, fmt, args);
    va_end(args);
    VEC_PUSH(d->arena, d->helps, help);
}

void diag_edit(Diag *d, Span span, Str replacement)
{
    Edit edit = {.span = span, .text = str_copy(d->arena, replacement)};
    VEC_PUSH(d->arena, d->edits, edit);
}

void diag_edit_around(Diag *d, Span span, const char *before, const char *after)
{
    if (before[0] != '\0') {
        diag_edit(d, (Span){span.file, span.start, span.start}, str_of(before));
    }
    if (after[0] != '\0') {
        diag_edit(d, (Span){span.file, span.end, span.end}, str_of(after));
    }
}

DiagCode diag_code(const Diag *d)
{
    return d->code;
}

Span diag_span(const Diag *d)
{
    return d->span;
}

Str diag_message(const Diag *d)
{
    return d->message;
}

static int by_place(const void *a, const void *b)
{
    const Diag *x = *(Diag *const *)a;
    const Diag *y = *(Diag *const *)b;
    if (x->span.file != y->span.file) {
        return x->span.file < y->span.file ? -1 : 1;
    }
    if (x->span.start != y->span.start) {
        return x->span.start < y->span.start ? -1 : 1;
    }
    return (x->order > y->order) - (x->order < y->order);
}

Diag **diags_sorted(const Diags *diags, Arena *arena)
{
    size_t n = diags->list.len;
    Diag **sorted = NEW_ARRAY(arena, Diag *, n);
    if (n > 0) {
        memcpy(sorted, diags->list.at, n * sizeof *sorted);
        qsort(sorted, n, sizeof *sorted, by_place);
    }
    return sorted;
}
