/* commands: the subcommands of `hone`, a file each, and what they share.
 *
 *   commands.def options.def   what there is: names, arguments, help
 *   line.c                     the command line -> CommandLine
 *   output.c                   text and JSON for people and programs
 *   table.c                    columns that align
 *   run.c check.c keys.c …     one command each
 *
 * Only these files and main.c write to the standard streams. How a file becomes a program is in
 * driver.h.
 */
#ifndef HONE_COMMANDS_H
#define HONE_COMMANDS_H

#include "base/base.h"
#include "hone/hone.h"
#include "model/model.h"

typedef enum CommandId {
#define COMMAND(id, word, takes, arguments, brief, text) COMMAND_##id,
#include "commands/commands.def"
#undef COMMAND
    COMMAND_COUNT
} CommandId;

typedef enum OptionKind { OPTION_FLAG, OPTION_COUNT, OPTION_TEXT, OPTION_CHOICE } OptionKind;

typedef struct CommandLine {
    CommandId command;
    VEC(Str) args;                   /* positional: file, recipes, pictures */
    VEC(OptionSetting) settings;     /* --NAME of the recipe's own */
    Str out, weights, root, target, dump, update, shapes, without;
    int64_t threads, top, steps;     /* 0: all cores, all rows, chosen */
    int colour;                      /* -1 automatic, 0 never, 1 always */
    bool resume, time, quiet, json, help, no_cache, cost, profile, check, werror;
} CommandLine;

typedef struct Command {
    const char *name, *arguments, *line, *text;
    bool settings;
    int (*run)(HoneSys *sys, Mem *mem, const CommandLine *line);    /* an exit code */
} Command;
const Command *command_row(CommandId id);
Str command_spelling(Arena *arena, CommandId id);    /* grad_check is written grad-check */

/* line.c: false after an E710 in diags (exit 2). */
bool line_parse(Arena *arena, Diags *diags, size_t n, const Str *words, CommandLine *line);
/* Names of all options of a command, for suggestions and completion. */
size_t line_options(Arena *arena, CommandId id, const Str **names);

/* help.c */
void help_command(Buf *out, CommandId id);

/* output.c */
bool out_write(HoneSys *sys, Str text);              /* standard output; false: could not (exit 4) */
void err_write(HoneSys *sys, Str text);
int out_finish(HoneSys *sys, const Buf *buf, int exit);      /* writes; exit, or 4 when it failed */
bool use_colour(const CommandLine *line, int fd);
/* The collected diagnostics: text on standard error, or JSON lines on standard output. */
void print_diags(HoneSys *sys, Arena *arena, const CommandLine *line, const Diags *diags);
/* How a command ends after errors: 5 when memory was refused, 3 when every one is about a file of data
 * or weights, else 2. */
int diags_exit(const Diags *diags);
int print_failure(HoneSys *sys, Arena *arena, const CommandLine *line, const HoneError *error);
int usage_error(HoneSys *sys, Arena *arena, const CommandLine *line, const char *fmt, ...)
    HONE_PRINTF(4, 5);                               /* E710, exit 2 */
void json_string(Buf *buf, Str text);
void json_number(Buf *buf, double value);            /* null when not finite */
Str count_text(Arena *arena, int64_t n);             /* 23,508,032 */
Str bytes_text(Arena *arena, uint64_t bytes);        /* 612 MiB */
Str dims_list(Arena *arena, size_t rank, const int64_t *dims);      /* [37, 2048] */
Str number_text(Arena *arena, double value);         /* at most three digits that matter */

/* table.c: rows of cells; a column is aligned left, or right if its name starts with '>' */
typedef struct Table Table;
Table *table_new(Arena *arena, size_t columns, const char *const *names);
void table_cell(Table *table, const char *fmt, ...) HONE_PRINTF(2, 3);
void table_print(const Table *table, const char *indent, Buf *out);

#define COMMAND(id, word, takes, arguments, brief, text)                                         \
    int command_##word(HoneSys *sys, Mem *mem, const CommandLine *line);
#include "commands/commands.def"
#undef COMMAND

#endif
