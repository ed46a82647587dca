/* diag_text: diagnostics as a person reads them.
 *
 *   error[E201]: message
 *     --> file:line:column
 *      |
 *   47 | the line
 *      | ^^^^ label
 *
 * Text of a program is shown with control characters and bad bytes replaced, tabs as one blank, and
 * long lines cut around the place. */
#include "base/diag_internal.h"

#include <string.h>

enum { LINE_MOST = 160, BEFORE_MOST = 100 }; /* characters of a line shown, before the caret */
enum { TEXT_MOST = 1200, SHOWN_MOST = 20 };  /* bytes of a message; diagnostics written out */

static const char RED[] = "\x1b[1;31m";
static const char YELLOW[] = "\x1b[1;33m";
static const char BLUE[] = "\x1b[1;34m";
static const char GREEN[] = "\x1b[1;32m";
static const char BOLD[] = "\x1b[1m";
static const char PLAIN[] = "\x1b[0m";

typedef struct Out {
    Buf *buf;
    const Sources *sources;
    bool colour;
    int gutter; /* digits of the largest line number, at least 2 */
} Out;

static void paint(const Out *out, const char *escape)
{
    if (out->colour) {
        buf_add(out->buf, str_of(escape));
    }
}

/* The next character of a line as it is shown; *used is how many bytes it takes. */
static Str shown(Str rest, size_t *used)
{
    size_t n = utf8_length(rest);
    *used = n > 0 ? n : 1;
    unsigned char first = (unsigned char)rest.ptr[0];
    if (first == '\t') {
        return STR(" ");
    }
    bool c1 = n == 2 && first == 0xC2 && (unsigned char)rest.ptr[1] < 0xA0;
    if (n == 0 || first < 0x20 || first == 0x7F || c1) {
        return STR("\xEF\xBF\xBD");
    }
    return (Str){rest.ptr, n};
}

static void add_text(Buf *buf, Str text)
{
    const char *most = text.ptr + TEXT_MOST;
    for (size_t used = 0; text.len > 0; text.ptr += used, text.len -= used) {
        if (text.ptr >= most) {
            buf_add(buf, STR("…"));
            return;
        }
        buf_add(buf, shown(text, &used));
    }
}

static void bar(const Out *out, const char *after)
{
    paint(out, BLUE);
    buf_printf(out->buf, "%*s %s", out->gutter, "", after);
    paint(out, PLAIN);
}

/* The line and below it the carets, which start at byte `start` of the line and cover `len` bytes.
 */
static void excerpt_line(const Out *out, uint32_t number, Str line, size_t start, size_t len,
                         const char *escape, Str label)
{
    size_t column = 0; /* characters before the caret */
    size_t used = 0;
    for (size_t at = 0; at < start; at += used) {
        shown((Str){line.ptr + at, line.len - at}, &used);
        column++;
    }
    size_t skip = column > BEFORE_MOST ? column - BEFORE_MOST / 2 : 0; /* cut on the left */
    paint(out, BLUE);
    buf_printf(out->buf, "%*u |", out->gutter, number);
    paint(out, PLAIN);
    Buf text = buf_new(out->buf->arena);
    Buf carets = buf_new(out->buf->arena);
    if (skip > 0) {
        buf_add(&text, STR("…"));
        buf_char(&carets, ' ');
    }
    size_t i = 0;
    size_t at = 0;
    for (; at < line.len && i < skip + LINE_MOST; at += used, i++) {
        Str c = shown((Str){line.ptr + at, line.len - at}, &used);
        if (i >= skip) {
            buf_add(&text, c);
            if (at < start) {
                buf_char(&carets, ' ');
            } else if (at < start + len) {
                buf_char(&carets, '^');
            }
        }
    }
    if (at < line.len) {
        buf_add(&text, STR("…"));
    }
    if (start >= line.len || len == 0) {
        buf_char(&carets, '^');
    }
    if (text.len > 0) {
        buf_char(out->buf, ' ');
        buf_add(out->buf, buf_str(&text));
    }
    buf_char(out->buf, '\n');
    bar(out, "| ");
    paint(out, escape);
    buf_add(out->buf, buf_str(&carets));
    if (label.len > 0) {
        buf_char(out->buf, ' ');
        add_text(out->buf, label);
    }
    paint(out, PLAIN);
    buf_char(out->buf, '\n');
}

static void place_and_excerpt(const Out *out, Span span, const char *escape, Str label)
{
    const Source *source = sources_file(out->sources, span.file);
    Place place = source_place(source, span.start);
    paint(out, BLUE);
    buf_printf(out->buf, "%*s--> ", out->gutter, "");
    paint(out, PLAIN);
    add_text(out->buf, source->path);
    buf_printf(out->buf, ":%u:%u\n", place.line, place.column);
    bar(out, "|");
    buf_char(out->buf, '\n');
    Str line = source_line(source, place.line);
    size_t line_start = (size_t)(line.ptr - source->text.ptr);
    size_t start = span.start > line_start ? span.start - line_start : 0;
    start = start < line.len ? start : line.len;
    size_t len = span.end > span.start ? span.end - span.start : 0;
    len = len < line.len - start ? len : line.len - start; /* a long span: its first line */
    excerpt_line(out, place.line, line, start, len, escape, label);
}

static int digits(uint32_t number)
{
    int n = 1;
    for (; number >= 10; number /= 10) {
        n++;
    }
    return n;
}

static int gutter(const Sources *sources, const Diag *d)
{
    int most = 2;
    for (size_t i = 0; i <= d->notes.len; i++) {
        Span span = i == 0 ? d->span : d->notes.at[i - 1].span;
        if (span.file != 0) {
            int n = digits(source_place(sources_file(sources, span.file), span.start).line);
            most = n > most ? n : most;
        }
    }
    return most;
}

static void headline(const Out *out, const Diag *d, const char *escape)
{
    paint(out, escape);
    buf_printf(out->buf, "%s[%s]", diag_code_level(d->code), diag_code_name(d->code));
    paint(out, PLAIN);
    paint(out, BOLD);
    buf_add(out->buf, STR(": "));
    add_text(out->buf, d->message);
    paint(out, PLAIN);
    buf_char(out->buf, '\n');
}

static void remark(const Out *out, const char *kind, const char *escape, Str text)
{
    bar(out, "= ");
    paint(out, escape);
    buf_add(out->buf, str_of(kind));
    paint(out, PLAIN);
    add_text(out->buf, text);
    buf_char(out->buf, '\n');
}

static void one(Out *out, const Diag *d)
{
    const char *escape = diag_code_name(d->code)[0] == 'E'   ? RED
                         : diag_code_name(d->code)[0] == 'W' ? YELLOW
                                                             : GREEN;
    out->gutter = gutter(out->sources, d);
    headline(out, d, escape);
    if (d->span.file != 0) {
        place_and_excerpt(out, d->span, escape, d->label);
    } else if (d->label.len > 0) {
        remark(out, "note: ", GREEN, d->label);
    }
    bool first = true;
    for (size_t i = 0; i < d->notes.len; i++) {
        if (d->notes.at[i].span.file != 0) {
            if (first && d->span.file != 0) {
                bar(out, "|");
                buf_char(out->buf, '\n');
            }
            first = false;
            paint(out, GREEN);
            buf_add(out->buf, STR("note: "));
            paint(out, PLAIN);
            add_text(out->buf, d->notes.at[i].message);
            buf_char(out->buf, '\n');
            place_and_excerpt(out, d->notes.at[i].span, GREEN, d->notes.at[i].label);
        }
    }
    for (size_t i = 0; i < d->notes.len; i++) {
        if (d->notes.at[i].span.file == 0) {
            remark(out, "note: ", BOLD, d->notes.at[i].message);
        }
    }
    for (size_t i = 0; i < d->helps.len; i++) {
        remark(out, "help: ", BOLD, d->helps.at[i]);
    }
}

void diags_text(const Diags *diags, Buf *buf, bool colour)
{
    Out out = {.buf = buf, .sources = diags->sources, .colour = colour};
    Diag **sorted = diags_sorted(diags, buf->arena);
    size_t n = diags->list.len, most = n <= SHOWN_MOST + 1 ? n : SHOWN_MOST;
    for (size_t i = 0; i < most; i++) {
        if (i > 0) {
            buf_char(buf, '\n');
        }
        one(&out, sorted[i]);
    }
    if (most < n) {
        buf_printf(buf, "\n%zu more are not shown: the first ones often cause the rest\n", n - most);
    }
}
