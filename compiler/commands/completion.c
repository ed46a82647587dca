/* hone completion: the command line's words for a shell, from the tables of commands and options. */
#include "commands/command.h"

static const char head[] =
    "# bash completion for hone:  source <(hone completion)\n"
    "_hone() {\n"
    "  local word=${COMP_WORDS[COMP_CWORD]} command=${COMP_WORDS[1]} words=\n"
    "  COMPREPLY=()\n"
    "  if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
    "    COMPREPLY=($(compgen -W \"";
static const char middle[] =
    "\" -- \"$word\"))\n"
    "    return\n"
    "  fi\n"
    "  case $command in\n";
static const char tail[] =
    "  esac\n"
    "  case $word in\n"
    "    -*) COMPREPLY=($(compgen -W \"$words\" -- \"$word\")) ;;\n"
    "    *) COMPREPLY=($(compgen -f -- \"$word\")) ;;\n"
    "  esac\n"
    "}\n"
    "complete -o filenames -F _hone hone\n";

int command_completion(HoneSys *sys, Mem *mem, const CommandLine *line)
{
    Arena *arena = arena_new(mem, "completion");
    if (line->args.len > 1 || (line->args.len == 1 && !str_is(line->args.at[0], "bash"))) {
        return usage_error(sys, arena, line, "`hone completion` knows one shell: bash");
    }
    Buf out = buf_new(arena);
    buf_add(&out, str_of(head));
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        buf_printf(&out, "%s" STR_FMT, i > 0 ? " " : "",
                   STR_ARG(command_spelling(arena, (CommandId)i)));
    }
    buf_add(&out, str_of(middle));
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        const Str *names;
        size_t n = line_options(arena, (CommandId)i, &names);
        buf_printf(&out, "    " STR_FMT ") words=\"",
                   STR_ARG(command_spelling(arena, (CommandId)i)));
        for (size_t k = 0; k < n; k++) {
            buf_printf(&out, "%s--" STR_FMT, k > 0 ? " " : "", STR_ARG(names[k]));
        }
        buf_add(&out, STR("\" ;;\n"));
    }
    buf_add(&out, str_of(tail));
    return out_finish(sys, &out, HONE_OK);
}
