/* Tables for people: columns as wide as their widest cell, two blanks apart. */
#include <assert.h>

#include "commands/command.h"

struct Table {
    Arena *arena;
    size_t columns;
    const char *const *names;
    VEC(Str) cells;                /* by row, then column */
};

Table *table_new(Arena *arena, size_t columns, const char *const *names)
{
    Table *table = NEW(arena, Table);
    *table = (Table){.arena = arena, .columns = columns, .names = names};
    return table;
}

void table_cell(Table *table, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    Str text = str_vformat(table->arena, fmt, args);
    va_end(args);
    VEC_PUSH(table->arena, table->cells, text);
}

static size_t width_of(Str text)                   /* in characters */
{
    size_t n = 0;
    for (size_t i = 0; i < text.len; i++) {
        n += (text.ptr[i] & 0xC0) != 0x80;
    }
    return n;
}

static void print_cell(Buf *out, Str text, size_t width, bool right, bool last)
{
    size_t fill = width - width_of(text);
    for (size_t i = 0; right && i < fill; i++) {
        buf_char(out, ' ');
    }
    buf_add(out, text);
    for (size_t i = 0; !right && !last && i < fill; i++) {
        buf_char(out, ' ');
    }
}

void table_print(const Table *table, const char *indent, Buf *out)
{
    assert(table->cells.len % table->columns == 0);
    size_t rows = table->cells.len / table->columns;
    size_t *widths = NEW_ARRAY(table->arena, size_t, table->columns);
    Str *heads = NEW_ARRAY(table->arena, Str, table->columns);
    bool headed = false;
    for (size_t c = 0; c < table->columns; c++) {
        heads[c] = str_of(table->names[c] + (table->names[c][0] == '>'));
        headed = headed || heads[c].len > 0;
        widths[c] = width_of(heads[c]);
        for (size_t r = 0; r < rows; r++) {
            size_t width = width_of(table->cells.at[r * table->columns + c]);
            widths[c] = width > widths[c] ? width : widths[c];
        }
    }
    for (size_t r = headed ? 0 : 1; r <= rows; r++) {
        buf_add(out, str_of(indent));
        for (size_t c = 0; c < table->columns; c++) {
            Str text = r == 0 ? heads[c] : table->cells.at[(r - 1) * table->columns + c];
            if (c > 0) {
                buf_add(out, STR("  "));
            }
            print_cell(out, text, widths[c], table->names[c][0] == '>', c + 1 == table->columns);
        }
        while (out->len > 0 && out->ptr[out->len - 1] == ' ') {
            out->len--;
        }
        buf_char(out, '\n');
    }
}
