/* hone help, hone version: what needs no program. */
#include "commands/command.h"
#include "target/target.h"

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
        buf_printf(&out, "{\"version\":\"" HONE_VERSION "\",\"target\":\"%s\",\"licence\":\"MIT\"}\n",
                   target_host()->name);
    } else {
        buf_printf(&out, "hone " HONE_VERSION " for %s, MIT licence\n", target_host()->name);
    }
    return out_finish(sys, &out, HONE_OK);
}
