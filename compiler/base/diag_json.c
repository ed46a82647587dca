/* diag_json: diagnostics for machines, one JSON object per line:
 *
 *   {"level","code","message","place"?,"label"?,"notes":[{"message","place"?,"label"?}],
 *    "help":[text],"edits":[{"place","text"}]}
 *
 * where a place is {"file","line","column","start","end"}: line and column from 1, in characters;
 * start and end in bytes, end exclusive. */
#include "base/diag_internal.h"

static void json_text(Buf *buf, Str text)
{
    buf_char(buf, '"');
    while (text.len > 0) {
        unsigned char c = (unsigned char)text.ptr[0];
        size_t n = utf8_length(text);
        if (n == 0) {
            buf_add(buf, STR("\\ufffd"));
        } else if (c == '"' || c == '\\') {
            buf_printf(buf, "\\%c", c);
        } else if (c == '\n') {
            buf_add(buf, STR("\\n"));
        } else if (c < 0x20 || c == 0x7F) {
            buf_printf(buf, "\\u%04x", c);
        } else {
            buf_add(buf, (Str){text.ptr, n});
        }
        size_t used = n > 0 ? n : 1;
        text = (Str){text.ptr + used, text.len - used};
    }
    buf_char(buf, '"');
}

static void json_member(Buf *buf, const char *name, Str text)
{
    buf_printf(buf, "\"%s\":", name);
    json_text(buf, text);
}

static void json_place(Buf *buf, const Sources *sources, Span span)
{
    const Source *source = sources_file(sources, span.file);
    Place place = source_place(source, span.start);
    buf_add(buf, STR("\"place\":{"));
    json_member(buf, "file", source->path);
    buf_printf(buf, ",\"line\":%u,\"column\":%u,\"start\":%u,\"end\":%u}", place.line, place.column,
               span.start, span.end);
}

/* The members that a diagnostic and its notes have in common. */
static void json_body(Buf *buf, const Sources *sources, Str message, Span span, Str label)
{
    json_member(buf, "message", message);
    if (span.file != 0) {
        buf_char(buf, ',');
        json_place(buf, sources, span);
    }
    if (label.len > 0) {
        buf_char(buf, ',');
        json_member(buf, "label", label);
    }
}

static void json_one(Buf *buf, const Sources *sources, const Diag *d)
{
    buf_printf(buf, "{\"level\":\"%s\",\"code\":\"%s\",", diag_code_level(d->code),
               diag_code_name(d->code));
    json_body(buf, sources, d->message, d->span, d->label);
    buf_add(buf, STR(",\"notes\":["));
    for (size_t i = 0; i < d->notes.len; i++) {
        buf_add(buf, i > 0 ? STR(",{") : STR("{"));
        json_body(buf, sources, d->notes.at[i].message, d->notes.at[i].span, d->notes.at[i].label);
        buf_char(buf, '}');
    }
    buf_add(buf, STR("],\"help\":["));
    for (size_t i = 0; i < d->helps.len; i++) {
        if (i > 0) {
            buf_char(buf, ',');
        }
        json_text(buf, d->helps.at[i]);
    }
    buf_add(buf, STR("],\"edits\":["));
    for (size_t i = 0; i < d->edits.len; i++) {
        buf_add(buf, i > 0 ? STR(",{") : STR("{"));
        json_place(buf, sources, d->edits.at[i].span);
        buf_char(buf, ',');
        json_member(buf, "text", d->edits.at[i].text);
        buf_char(buf, '}');
    }
    buf_add(buf, STR("]}\n"));
}

void diags_json(const Diags *diags, Buf *buf)
{
    Diag **sorted = diags_sorted(diags, buf->arena);
    for (size_t i = 0; i < diags->list.len; i++) {
        json_one(buf, diags->sources, sorted[i]);
    }
}
