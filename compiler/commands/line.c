/* The command line: words -> CommandLine, by the tables. An option that a command does not have is
 * kept as a setting of the recipe where the command takes settings; whether the recipe has it is
 * found out when its file is read. */
#include <errno.h>
#include <stdlib.h>

#include "commands/command.h"

#define IN(id) (1u << COMMAND_##id)
#define ALL ((1u << COMMAND_COUNT) - 1)

typedef struct OptionRow {
    const char *name, *value, *help;
    OptionKind kind;
    size_t offset;                /* of the field in CommandLine */
    unsigned commands;
} OptionRow;
static const OptionRow rows[] = {
#define OPTION(field, word, kind, wants, takers, what)                                           \
    {word, wants, what, OPTION_##kind, offsetof(CommandLine, field), takers},
#include "commands/options.def"
#undef OPTION
};
enum { ROWS = sizeof rows / sizeof *rows };

static const Command commands[] = {
#define COMMAND(id, word, takes, arguments, brief, text)                                         \
    {#word, arguments, brief, text, takes, command_##word},
#include "commands/commands.def"
#undef COMMAND
};

const Command *command_row(CommandId id)
{
    return &commands[id];
}

Str command_spelling(Arena *arena, CommandId id)
{
    Str name = str_copy(arena, str_of(commands[id].name));
    char *text = arena_copy(arena, name.ptr, name.len + 1);
    for (size_t i = 0; i < name.len; i++) {
        text[i] = text[i] == '_' ? '-' : text[i];
    }
    return (Str){text, name.len};
}

size_t line_options(Arena *arena, CommandId id, const Str **names)
{
    VEC(Str) list = {0};
    for (size_t i = 0; i < ROWS; i++) {
        if (rows[i].commands >> id & 1) {
            VEC_PUSH(arena, list, str_of(rows[i].name));
        }
    }
    *names = list.at;
    return list.len;
}

void help_command(Buf *out, CommandId id)
{
    Arena *arena = out->arena;
    buf_printf(out, "hone " STR_FMT " %s\n\n%s\n\noptions\n",
               STR_ARG(command_spelling(arena, id)), commands[id].arguments, commands[id].text);
    for (size_t i = 0; i < ROWS; i++) {
        if (rows[i].commands >> id & 1) {
            Str left = str_format(arena, "--%s%s%s", rows[i].name, rows[i].value[0] ? " " : "",
                                  rows[i].value);
            buf_printf(out, "  %-18.*s %s\n", STR_ARG(left), rows[i].help);
        }
    }
}

static void suggest(Diag *d, Str word, size_t n, const Str *names, const char *before)
{
    Str near = str_nearest(word, names, n);
    if (near.len > 0) {
        diag_help(d, "did you mean `%s" STR_FMT "`?", before, STR_ARG(near));
    }
}

static bool parse_command(Arena *arena, Diags *diags, Str word, CommandId *id)
{
    Str names[COMMAND_COUNT];
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        names[i] = command_spelling(arena, (CommandId)i);
        if (str_eq(word, names[i])) {
            *id = (CommandId)i;
            return true;
        }
    }
    Diag *d = diag(diags, E710, (Span){0}, "unknown command `" STR_FMT "`", STR_ARG(word));
    if (str_ends(word, STR(".hone"))) {
        diag_help(d, "to train: hone run " STR_FMT, STR_ARG(word));
    } else {
        suggest(d, word, COMMAND_COUNT, names, "hone ");
        diag_help(d, "`hone help` lists the commands");
    }
    return false;
}

static const OptionRow *find_row(CommandId id, Str name)
{
    for (size_t i = 0; i < ROWS; i++) {
        if (rows[i].commands >> id & 1 && str_is(name, rows[i].name)) {
            return &rows[i];
        }
    }
    return NULL;
}

static bool bad_value(Diags *diags, const OptionRow *row, const char *wants, Str value)
{
    diag(diags, E710, (Span){0}, "`--%s` wants %s, not `" STR_FMT "`", row->name, wants,
         STR_ARG(value));
    return false;
}

static bool parse_value(Arena *arena, Diags *diags, const OptionRow *row, Str value, void *field)
{
    switch (row->kind) {
    case OPTION_FLAG:
        return bad_value(diags, row, "no value", value);
    case OPTION_TEXT:
        if (value.len == 0) {
            return bad_value(diags, row, "a value", value);
        }
        *(Str *)field = value;
        return true;
    case OPTION_COUNT: {
        char *end;
        const char *text = str_c(arena, value);
        errno = 0;
        long long n = strtoll(text, &end, 10);
        if (errno != 0 || end == text || *end != '\0' || n < 1 || n > 1024) {
            return bad_value(diags, row, "a whole number from 1 to 1024", value);
        }
        *(int64_t *)field = n;
        return true;
    }
    case OPTION_CHOICE: {
        static const char *const words[] = {"auto", "never", "always"};
        for (int i = 0; i < 3; i++) {
            if (str_is(value, words[i])) {
                *(int *)field = i - 1;
                return true;
            }
        }
        return bad_value(diags, row, "`always`, `never` or `auto`", value);
    }
    }
    return false;
}

typedef struct Words {
    size_t n, at;
    const Str *words;
} Words;

static bool next_value(Words *w, Str *value)       /* the word after an option, if it is a value */
{
    if (w->at + 1 >= w->n || str_starts(w->words[w->at + 1], STR("--"))) {
        return false;
    }
    *value = w->words[++w->at];
    return true;
}

static bool parse_option(Arena *arena, Diags *diags, Words *w, CommandLine *line)
{
    Str word = w->words[w->at];
    Str name = {word.ptr + 2, word.len - 2}, value = {0};
    bool has_value = false;
    for (size_t i = 0; i < name.len; i++) {
        if (name.ptr[i] == '=') {
            value = (Str){name.ptr + i + 1, name.len - i - 1};
            name.len = i;
            has_value = true;
        }
    }
    const OptionRow *row = find_row(line->command, name);
    if (row != NULL) {
        void *field = (char *)line + row->offset;
        if (row->kind == OPTION_FLAG && !has_value) {
            *(bool *)field = true;
            return true;
        }
        if (!has_value && !next_value(w, &value)) {
            diag(diags, E710, (Span){0}, "`--%s` needs a value: --%s %s", row->name, row->name,
                 row->value);
            return false;
        }
        return parse_value(arena, diags, row, value, field);
    }
    if (!commands[line->command].settings || name.len == 0) {
        const Str *names;
        size_t n = line_options(arena, line->command, &names);
        Diag *d = diag(diags, E710, (Span){0}, "`hone " STR_FMT "` has no option `--" STR_FMT "`",
                       STR_ARG(command_spelling(arena, line->command)), STR_ARG(name));
        suggest(d, name, n, names, "--");
        return false;
    }
    OptionSetting setting = {.name = name, .text = value};
    if (!has_value && !next_value(w, &setting.text) && str_starts(name, STR("no-"))) {
        setting.name = (Str){name.ptr + 3, name.len - 3};
        setting.negated = true;
    }
    VEC_PUSH(arena, line->settings, setting);
    return true;
}

bool line_parse(Arena *arena, Diags *diags, size_t n, const Str *words, CommandLine *line)
{
    *line = (CommandLine){.command = COMMAND_HELP, .colour = -1};
    if (n == 0) {
        return true;
    }
    Str first = words[0];
    if (str_is(first, "--help") || str_is(first, "-h")) {
        return true;
    }
    if (str_is(first, "--version")) {
        line->command = COMMAND_VERSION;
        return true;
    }
    if (!parse_command(arena, diags, first, &line->command)) {
        return false;
    }
    Words w = {.n = n, .at = 1, .words = words};
    bool options = true;
    for (; w.at < n; w.at++) {
        Str word = words[w.at];
        if (options && str_is(word, "--")) {
            options = false;
        } else if (options && str_starts(word, STR("--"))) {
            if (!parse_option(arena, diags, &w, line)) {
                return false;
            }
        } else if (options && word.len > 1 && word.ptr[0] == '-') {
            Diag *d = diag(diags, E710, (Span){0}, "options are written with two dashes, not `" STR_FMT
                           "`", STR_ARG(word));
            diag_help(d, "`hone help " STR_FMT "` lists them",
                      STR_ARG(command_spelling(arena, line->command)));
            return false;
        } else {
            VEC_PUSH(arena, line->args, word);
        }
    }
    return true;
}
