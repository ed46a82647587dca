/* hone help, hone version, hone explain CODE: what needs no program. */
#include "commands/command.h"

static void overview(Buf *out)
{
    buf_add(out, STR("hone compiles programs that fine-tune pretrained networks, and runs them.\n\n"));
    static const char *const names[] = {"", "", ""};
    Table *table = table_new(out->arena, 3, names);
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        const Command *command = command_row((CommandId)i);
        table_cell(table, "hone " STR_FMT, STR_ARG(command_spelling(out->arena, (CommandId)i)));
        table_cell(table, "%s", command->arguments);
        table_cell(table, "%s", command->line);
    }
    table_print(table, "  ", out);
    buf_add(out, STR("\n`hone help COMMAND` lists its options, `hone run FILE --help` those of a recipe.\n"));
}

int command_help(HoneSys *sys, Mem *mem, const CommandLine *line)
{
    Arena *arena = arena_new(mem, "help");
    Buf out = buf_new(arena);
    if (line->args.len == 0) {
        overview(&out);
        return out_finish(sys, &out, HONE_OK);
    }
    Sources sources = sources_new(arena);
    Diags diags = diags_new(arena, &sources);
    CommandLine of;
    if (!line_parse(arena, &diags, 1, line->args.at, &of)) {
        print_diags(sys, arena, line, &diags);
        return HONE_USAGE;
    }
    help_command(&out, of.command);
    return out_finish(sys, &out, HONE_OK);
}

int command_version(HoneSys *sys, Mem *mem, const CommandLine *line)
{
    Arena *arena = arena_new(mem, "version");
    Buf out = buf_new(arena);
    if (line->json) {
        buf_add(&out, STR("{\"version\":\"" HONE_VERSION "\"}\n"));
    } else {
        buf_add(&out, STR("hone " HONE_VERSION "\n"));
    }
    return out_finish(sys, &out, HONE_OK);
}

/* Breaks text into lines of at most 80 columns. */
static void wrap(Buf *out, Str text)
{
    size_t column = 0;
    for (size_t i = 0; i < text.len;) {
        size_t end = i;
        while (end < text.len && text.ptr[end] != ' ') {
            end++;
        }
        if (column > 0 && column + 1 + (end - i) > 80) {
            buf_char(out, '\n');
            column = 0;
        } else if (column > 0) {
            buf_char(out, ' ');
            column++;
        }
        buf_add(out, (Str){text.ptr + i, end - i});
        column += end - i;
        i = end + 1;
    }
    buf_char(out, '\n');
}

static Str upper(Arena *arena, Str text)
{
    char *copy = arena_copy(arena, text.ptr, text.len);
    for (size_t i = 0; i < text.len; i++) {
        copy[i] = copy[i] >= 'a' && copy[i] <= 'z' ? (char)(copy[i] - 32) : copy[i];
    }
    return (Str){copy, text.len};
}

int command_explain(HoneSys *sys, Mem *mem, const CommandLine *line)
{
    Arena *arena = arena_new(mem, "explain");
    if (line->args.len != 1) {
        return usage_error(sys, arena, line, "`hone explain` wants one code, such as E402");
    }
    DiagCode code;
    if (!diag_code_find(upper(arena, line->args.at[0]), &code)) {
        Sources sources = sources_new(arena);
        Diags diags = diags_new(arena, &sources);
        Diag *d = diag(&diags, E710, (Span){0}, "no diagnostic has the code `" STR_FMT "`",
                       STR_ARG(line->args.at[0]));
        Str names[DIAG_COUNT];
        for (size_t i = 0; i < DIAG_COUNT; i++) {
            names[i] = str_of(diag_code_name((DiagCode)i));
        }
        Str near = str_nearest(upper(arena, line->args.at[0]), names, DIAG_COUNT);
        if (near.len > 0) {
            diag_help(d, "did you mean `" STR_FMT "`?", STR_ARG(near));
        }
        print_diags(sys, arena, line, &diags);
        return HONE_USAGE;
    }
    Buf out = buf_new(arena);
    if (line->json) {
        buf_printf(&out, "{\"code\":\"%s\",\"title\":", diag_code_name(code));
        json_string(&out, str_of(diag_code_title(code)));
        buf_add(&out, STR(",\"text\":"));
        json_string(&out, str_of(diag_code_text(code)));
        buf_add(&out, STR("}\n"));
    } else {
        buf_printf(&out, "%s: %s\n\n", diag_code_name(code), diag_code_title(code));
        wrap(&out, str_of(diag_code_text(code)));
    }
    return out_finish(sys, &out, HONE_OK);
}
