/* source: the files of a compilation, and where a byte stands in them. Reading files is not done
 * here. */
#include "base/base.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

Sources sources_new(Arena *arena)
{
    Sources sources = {.arena = arena};
    VEC_PUSH(arena, sources.files, NULL);
    return sources;
}

uint32_t sources_add(Sources *sources, Str path, Str text)
{
    assert(text.len < UINT32_MAX && sources->files.len < UINT32_MAX);
    VEC(uint32_t) lines = {0};
    VEC_PUSH(sources->arena, lines, 0);
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '\n') {
            VEC_PUSH(sources->arena, lines, (uint32_t)(i + 1));
        }
    }
    Source *source = NEW(sources->arena, Source);
    *source = (Source){.path = path, .text = text, .lines = lines.at, .n_lines = lines.len};
    VEC_PUSH(sources->arena, sources->files, source);
    return (uint32_t)(sources->files.len - 1);
}

const Source *sources_file(const Sources *sources, uint32_t file)
{
    assert(file < sources->files.len);
    return sources->files.at[file];
}

/* Index of the line that holds a byte, from 0. */
static size_t line_index(const Source *source, uint32_t offset)
{
    size_t low = 0;
    size_t high = source->n_lines;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (source->lines[middle] <= offset) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

static bool has_bom(const Source *source)
{
    return str_starts(source->text, STR("\xEF\xBB\xBF"));
}

Place source_place(const Source *source, uint32_t offset)
{
    if (offset > source->text.len) {
        offset = (uint32_t)source->text.len;
    }
    size_t line = line_index(source, offset);
    uint32_t column = 1;
    uint32_t at = source->lines[line];
    if (at == 0 && has_bom(source)) {
        at = 3;
    }
    for (; at < offset; at++) {
        if (((unsigned char)source->text.ptr[at] & 0xC0) != 0x80) {
            column++;
        }
    }
    return (Place){.line = (uint32_t)(line + 1), .column = column};
}

Str source_line(const Source *source, uint32_t line)
{
    assert(line >= 1 && line <= source->n_lines);
    size_t start = source->lines[line - 1];
    size_t end = line < source->n_lines ? source->lines[line] - 1 : source->text.len;
    if (start == 0 && has_bom(source)) {
        start = 3;
    }
    if (end > start && source->text.ptr[end - 1] == '\r') {
        end--;
    }
    return (Str){source->text.ptr + start, end - start};
}

Span span_join(Span a, Span b)
{
    if (a.file == 0) {
        return b;
    }
    if (b.file != a.file) {
        return a;
    }
    return (Span){.file = a.file, .start = a.start < b.start ? a.start : b.start,
                  .end = a.end > b.end ? a.end : b.end};
}

/* The size first: memory of the arena may be refused, which unwinds, and then nothing is open. */
static int64_t text_size(HoneSys *sys, const char *path)
{
    int fd = hone_open_read(sys, path);
    if (fd < 0) {
        return -1;
    }
    int64_t size = hone_file_size(sys, fd);
    int why = errno;
    hone_close(sys, fd);
    errno = why;
    return size;
}

bool source_read(Arena *arena, HoneSys *sys, Str path, Str *text)
{
    const char *name = str_c(arena, path);
    int64_t size = text_size(sys, name);
    if (size < 0) {
        return false;
    }
    char *memory = arena_alloc(arena, (size_t)size + 1, 1);
    int fd = hone_open_read(sys, name);
    if (fd < 0) {
        return false;
    }
    bool read = hone_read_at(sys, fd, memory, (size_t)size, 0) == 0;
    int why = errno;
    hone_close(sys, fd);
    errno = why;
    *text = read ? (Str){memory, (size_t)size} : *text;
    return read;
}
