/* session: what every command that reads a recipe does first and last: load the file, choose its
 * finetune items, build them, print diagnostics. */
#ifndef HONE_SESSION_H
#define HONE_SESSION_H

#include "commands/command.h"
#include "driver.h"

typedef struct Said {                /* warnings that were printed, by their places */
    VEC(Span) spans;
} Said;

typedef struct Session {
    HoneSys *sys;
    Mem *mem;
    Arena *arena;
    Arena *kept;                     /* what a run needs after session_forget: code, the program */
    const CommandLine *line;
    Compiler c;
    File *file;
    VEC(const Ast *) finetunes;      /* chosen by name, or all, in file order */
    Said said;
    StageId dump;                    /* STAGE_COUNT: none */
    Moves without;
} Session;

/* The stage of --dump and the moves of --without; false: *exit says what is wrong with them. */
bool session_choices(Session *s, int *exit);
/* Prints the tree if that is the stage to dump: then the command is over, as *exit says. */
bool session_tree(const Session *s, int *exit);
/* False when the command is over: *exit says how (help was printed, or the file is wrong). */
bool session_open(Session *s, HoneSys *sys, Mem *mem, const CommandLine *line, int *exit);
/* The same for a command that takes a recipe: its first chosen item; NULL: *exit says why. */
const Ast *session_begin(Session *s, HoneSys *sys, Mem *mem, const CommandLine *line, int *exit);
/* NULL after diagnostics. Prints warnings too; with --werror NULL after those. */
Recipe *session_recipe(Session *s, const Ast *finetune, const RecipeOptions *options);
/* Prints the diagnostics of what was done well or not; false if the command is over: not well, or
 * with warnings where --werror makes errors of them. */
bool session_judge(Session *s, bool good);
/* All chosen ones as far as they can be built without files; the mistakes of all, in file order. */
Recipe **session_recipes(Session *s);
/* Runs the stages; prints a dump when one was asked for. NULL: *exit says why or that a dump ended
 * the command. */
HoneProgram *session_program(Session *s, const Recipe *recipe, bool code, BuildReport *report,
                             int *exit);
/* The same for reports: where the shapes of a batch are not known there are no steps, an error. */
HoneProgram *session_steps(Session *s, const Recipe *recipe, bool code, BuildReport *report,
                           int *exit);
/* The target, if this machine runs it; NULL after an error. */
const Target *session_runs_on(Session *s, int *exit);
/* The target that the program is for; NULL is not possible after session_program. */
/* What the plan takes, by arena; loading 0: not known. */
Str memory_text(Arena *arena, const HoneProgram *program, uint64_t loading);
const Target *session_target(const Session *s);
/* The program alone, before it runs: all that it was made of is released, to the system too. Only the
 * command line, options and messages work afterwards; session_open starts again. */
HoneProgram *session_forget(Session *s, const HoneProgram *program);
HoneRunOptions session_options(const Session *s);
int session_error(const Session *s, const HoneError *error);

#endif
