/* The `hone` command: arms the one way out when memory is refused, reads the command line, calls the
 * command. */
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

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

/* Files must not get the numbers of standard streams that are closed: what is meant for a terminal
 * would be written into them. A full disk and a reader that went away are errors of a call, not
 * signals that end the program. */
static void prepare_process(void)
{
    int fd = open("/dev/null", O_RDONLY);
    while (fd >= 0 && fd <= STDERR_FILENO) {
        fd = open("/dev/null", O_RDONLY);        /* writing to it fails, as to a closed one */
    }
    if (fd >= 0) {
        close(fd);
    }
    signal(SIGXFSZ, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
}

int main(int argc, char **argv)
{
    static HoneSys sys;
    prepare_process();
    Mem mem;
    mem_init(&mem, &sys);
    if (setjmp(mem.on_failure) != 0) {
        mem_release(&mem);
        err_write(&sys, STR("error[E706]: not enough memory\n"
                            "   = help: a smaller `batch` needs less\n"));
        return HONE_NO_MEMORY;
    }
    mem.armed = true;
    int exit = run(&sys, &mem, argc, argv);
    mem.armed = false;
    mem_release(&mem);
    return exit;
}
