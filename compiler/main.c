/* The `hone` command: arms the one way out when memory is refused, reads the command line, calls the
 * command. */
#include <stdlib.h>

#include "commands/command.h"

static int run(HoneSys *sys, Mem *mem, int argc, char **argv)
{
    Arena *arena = arena_new(mem, "command line");
    Str *words = NEW_ARRAY(arena, Str, (size_t)argc);
    for (int i = 1; i < argc; i++) {
        words[i - 1] = str_of(argv[i]);
    }
    Sources sources = sources_new(arena);
    Diags diags = diags_new(arena, &sources);
    CommandLine line;
    if (!line_parse(arena, &diags, argc > 0 ? (size_t)argc - 1 : 0, words, &line)) {
        print_diags(sys, arena, &line, &diags);
        return HONE_USAGE;
    }
    if (line.help && line.args.len == 0) {
        Buf out = buf_new(arena);
        help_command(&out, line.command);
        return out_finish(sys, &out, HONE_OK);
    }
    return command_row(line.command)->run(sys, mem, &line);
}

int main(int argc, char **argv)
{
    static HoneSys sys;
    Mem mem;
    mem_init(&mem, &sys);
    if (setjmp(mem.on_failure) != 0) {
        mem_release(&mem);
        err_write(&sys, STR("error[E706]: not enough memory\n"));
        return HONE_NO_MEMORY;
    }
    mem.armed = true;
    int exit = run(&sys, &mem, argc, argv);
    mem.armed = false;
    mem_release(&mem);
    return exit;
}
