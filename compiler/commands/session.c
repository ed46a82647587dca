/* session: a recipe's file on the way to a program, for the commands that need one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "commands/cost.h"

/* By the type that is declared, else by the default. */
static Str option_kind(const Ast *item)
{
    const Ast *type = item->kids[0], *value = item->kids[1];
    while (value->kind == AST_UNARY) {
        value = value->kids[0];
    }
    AstKind kind = value->kind;
    if (type != NULL) {
        kind = str_is(type->text, "int")      ? AST_INT
               : str_is(type->text, "float")  ? AST_FLOAT
               : str_is(type->text, "string") ? AST_STRING
               : str_is(type->text, "bool")   ? AST_BOOL
                                              : kind;
    }
    switch (kind) {
    case AST_INT:
        return STR("INT");
    case AST_FLOAT:
        return STR("NUMBER");
    case AST_STRING:
        return STR("TEXT");
    case AST_BOOL:
        return STR("");
    default:
        return STR("VALUE");
    }
}

/* `hone run FILE --help`: the recipe's own options. */
static void recipe_help(const Session *s, Buf *out)
{
    help_command(out, s->line->command);
    buf_printf(out, "\noptions of " STR_FMT "\n", STR_ARG(s->c.root_path));
    const Ast *tree = file_tree(s->file);
    for (size_t i = 0; i < tree->n; i++) {
        const Ast *item = tree->kids[i];
        if (item->kind != AST_OPTION) {
            continue;
        }
        Str kind = option_kind(item);
        Str left = str_format(s->arena, "--" STR_FMT "%s" STR_FMT, STR_ARG(item->text),
                              kind.len > 0 ? " " : "", STR_ARG(kind));
        const Source *source = sources_file(&s->c.sources, item->span.file);
        Span value = item->kids[1]->span;
        Str help = item->kids[2] == NULL ? STR("") : item->kids[2]->text;
        buf_printf(out, "  %-18.*s " STR_FMT "%sdefault: %.*s\n", STR_ARG(left), STR_ARG(help),
                   help.len > 0 ? "; " : "", (int)(value.end - value.start),
                   source->text.ptr + value.start);
    }
}

static bool known_setting(const Session *s, Str name)
{
    return file_item(s->file, AST_OPTION, name) != NULL;
}

/* A setting that the recipe has no option for. */
static int unknown_setting(Session *s, Str name)
{
    VEC(Str) names = {0};
    const Ast *tree = file_tree(s->file);
    for (size_t i = 0; i < tree->n; i++) {
        if (tree->kids[i]->kind == AST_OPTION) {
            VEC_PUSH(s->arena, names, tree->kids[i]->text);
        }
    }
    const Str *own;
    size_t n = line_options(s->arena, s->line->command, &own);
    for (size_t i = 0; i < n; i++) {
        VEC_PUSH(s->arena, names, own[i]);
    }
    Str command = command_spelling(s->arena, s->line->command);
    Diag *d = diag(&s->c.diags, E710, (Span){0},
                   "neither `hone " STR_FMT "` nor " STR_FMT " has an option `--" STR_FMT "`",
                   STR_ARG(command), STR_ARG(s->c.root_path), STR_ARG(name));
    Str near = str_nearest(name, names.at, names.len);
    if (near.len > 0) {
        diag_help(d, "did you mean `--" STR_FMT "`?", STR_ARG(near));
    } else {
        diag_help(d, "`hone " STR_FMT " " STR_FMT " --help` lists them", STR_ARG(command),
                  STR_ARG(s->c.root_path));
    }
    print_diags(s->sys, s->arena, s->line, &s->c.diags);
    return HONE_USAGE;
}

static int unknown_item(Session *s, Str name)
{
    const Ast *tree = file_tree(s->file);
    VEC(Str) names = {0};
    Buf list = buf_new(s->arena);
    for (size_t i = 0; i < tree->n; i++) {
        if (tree->kids[i]->kind == AST_FINETUNE) {
            buf_printf(&list, "%s`" STR_FMT "`", names.len > 0 ? ", " : "",
                       STR_ARG(tree->kids[i]->text));
            VEC_PUSH(s->arena, names, tree->kids[i]->text);
        }
    }
    Diag *d = diag(&s->c.diags, E517, (Span){0}, STR_FMT " has no finetune item `" STR_FMT "`",
                   STR_ARG(s->c.root_path), STR_ARG(name));
    Str near = str_nearest(name, names.at, names.len);
    if (names.len > 0) {
        diag_note(d, "it has " STR_FMT, STR_ARG(buf_str(&list)));
    }
    if (near.len > 0) {
        diag_help(d, "did you mean `" STR_FMT "`?", STR_ARG(near));
    }
    print_diags(s->sys, s->arena, s->line, &s->c.diags);
    return HONE_USAGE;
}

/* Items by name in any order of the command line; they run in file order. */
static bool choose(Session *s, size_t first_name, int *exit)
{
    const Ast *tree = file_tree(s->file);
    for (size_t k = first_name; k < s->line->args.len; k++) {
        if (file_item(s->file, AST_FINETUNE, s->line->args.at[k]) == NULL) {
            *exit = unknown_item(s, s->line->args.at[k]);
            return false;
        }
    }
    for (size_t i = 0; i < tree->n; i++) {
        const Ast *item = tree->kids[i];
        bool chosen = item->kind == AST_FINETUNE && first_name >= s->line->args.len;
        for (size_t k = first_name; k < s->line->args.len; k++) {
            chosen = chosen || (item->kind == AST_FINETUNE &&
                                str_eq(item->text, s->line->args.at[k]));
        }
        if (chosen) {
            VEC_PUSH(s->arena, s->finetunes, item);
        }
    }
    return true;
}

static bool find_dump(Session *s, int *exit)
{
    s->dump = STAGE_COUNT;
    if (s->line->dump.len == 0 || stage_find(s->line->dump, &s->dump)) {
        return true;
    }
    Buf list = buf_new(s->arena);
    for (size_t i = 0; i < STAGE_COUNT; i++) {
        buf_printf(&list, " %s", stage_name((StageId)i));
    }
    *exit = usage_error(s->sys, s->arena, s->line,
                        "there is no stage `" STR_FMT "`; the stages are" STR_FMT,
                        STR_ARG(s->line->dump), STR_ARG(buf_str(&list)));
    return false;
}

static bool find_moves(Session *s, int *exit)
{
    Str wrong;
    if (moves_read(s->line->without, &s->without, &wrong)) {
        return true;
    }
    Buf list = buf_new(s->arena);
    for (size_t i = 0; i < MOVE_COUNT; i++) {
        buf_printf(&list, " %s", move_name((MoveId)i));
    }
    *exit = usage_error(s->sys, s->arena, s->line,
                        "`" STR_FMT "` is no move of fusion, or named twice; the moves are" STR_FMT,
                        STR_ARG(wrong), STR_ARG(buf_str(&list)));
    return false;
}

bool session_choices(Session *s, int *exit)
{
    return find_dump(s, exit) && find_moves(s, exit);
}

bool session_tree(const Session *s, int *exit)
{
    if (s->dump == STAGE_ast) {
        Buf out = buf_new(s->arena);
        ast_dump(file_tree(s->file), &out);
        *exit = out_finish(s->sys, &out, HONE_OK);
    }
    return s->dump == STAGE_ast;
}

/* E102: `--threads` on the command line of `hone run` is hone's own, and would never reach the recipe. */
static bool options_reach(Session *s)
{
    const Str *own;
    size_t n = line_options(s->arena, COMMAND_RUN, &own), errors = s->c.diags.errors;
    const Ast *tree = file_tree(s->file);
    for (size_t i = 0; i < tree->n; i++) {
        const Ast *item = tree->kids[i];
        bool option = item->kind == AST_OPTION;
        Str negated = option && option_kind(item).len == 0 ? str_join(s->arena, STR("no"), "-", item->text)
                                                           : (Str){0};
        for (size_t k = 0; option && k < n; k++) {
            if (!str_eq(item->text, own[k]) && !str_eq(negated, own[k])) {
                continue;
            }
            Diag *d = diag(&s->c.diags, E102, item->name, "`--" STR_FMT "` is an option of hone itself",
                           STR_ARG(own[k]));
            diag_label(d, "on the command line it would never reach the recipe");
            diag_help(d, "choose another name; `hone help run` lists hone's own");
        }
    }
    return s->c.diags.errors == errors;
}

bool session_open(Session *s, HoneSys *sys, Mem *mem, const CommandLine *line, int *exit)
{
    *s = (Session){.sys = sys, .mem = mem, .line = line};
    s->arena = arena_new(mem, "compiler");
    s->kept = arena_new(mem, "program");
    if (!session_choices(s, exit)) {
        return false;
    }
    if (line->args.len == 0) {
        *exit = usage_error(sys, s->arena, line, "`hone " STR_FMT "` wants a recipe file",
                            STR_ARG(command_spelling(s->arena, line->command)));
        return false;
    }
    compiler_init(&s->c, mem, sys, s->arena);
    s->c.settings = line->settings.at;
    s->c.n_settings = line->settings.len;
    s->file = compiler_load(&s->c, line->args.at[0]);
    if (s->file == NULL || s->c.diags.errors > 0 || !options_reach(s)) {
        print_diags(sys, s->arena, line, &s->c.diags);
        *exit = HONE_USAGE;
        return false;
    }
    if (line->root.len > 0) {
        s->c.root_dir = line->root;
    }
    if (line->help) {
        Buf out = buf_new(s->arena);
        recipe_help(s, &out);
        *exit = out_finish(sys, &out, HONE_OK);
        return false;
    }
    if (session_tree(s, exit)) {
        return false;
    }
    for (size_t i = 0; i < line->settings.len; i++) {
        if (!known_setting(s, line->settings.at[i].name)) {
            *exit = unknown_setting(s, line->settings.at[i].name);
            return false;
        }
    }
    const char *arguments = command_row(line->command)->arguments;
    bool names = strstr(arguments, "[NAME") != NULL;
    if (strstr(arguments, "[NAME]") != NULL && line->args.len > 2) {
        *exit = usage_error(sys, s->arena, line, "`hone " STR_FMT "` takes one recipe, and got `" STR_FMT
                            "` and `" STR_FMT "`",
                            STR_ARG(command_spelling(s->arena, line->command)),
                            STR_ARG(line->args.at[1]), STR_ARG(line->args.at[2]));
        return false;
    }
    return choose(s, names ? 1 : line->args.len, exit);
}

/* `--werror`: warnings end the command as errors do. */
static bool refused_by_warnings(const Session *s)
{
    size_t n = s->c.diags.warnings;
    if (!s->line->werror || n == 0) {
        return false;
    }
    if (!s->line->json) {
        err_write(s->sys, str_format(s->arena, "%zu warning%s, with --werror an error\n", n,
                                     n == 1 ? "" : "s"));
    }
    return true;
}

static bool was_said(Said *said, Arena *arena, Span span)
{
    for (size_t i = 0; i < said->spans.len; i++) {
        Span other = said->spans.at[i];
        if (other.file == span.file && other.start == span.start && other.end == span.end) {
            return true;
        }
    }
    VEC_PUSH(arena, said->spans, span);
    return false;
}

/* Drops the warnings that were printed before, of the file or of a recipe before; how many are left. */
static size_t new_warnings(Session *s)
{
    size_t n = 0, warnings = 0;
    for (size_t i = 0; i < s->c.diags.list.len; i++) {
        Diag *d = s->c.diags.list.at[i];
        bool warning = diag_code_name(diag_code(d))[0] == 'W';
        if (!warning || !was_said(&s->said, s->kept, diag_span(d))) {
            s->c.diags.list.at[n++] = d;
            warnings += warning;
        } else {
            s->c.diags.warnings--;
        }
    }
    s->c.diags.list.len = n;
    return warnings;
}

bool session_judge(Session *s, bool good)
{
    bool notes = s->line->command == COMMAND_CHECK;      /* what was not checked */
    size_t warnings = new_warnings(s);
    if (s->c.diags.list.len > 0 && (!good || notes || warnings > 0)) {
        print_diags(s->sys, s->arena, s->line, &s->c.diags);
    }
    good = good && !refused_by_warnings(s);
    if (good) {
        s->c.diags.list.len = 0;                         /* the next recipe does not repeat them */
    }
    return good;
}

Recipe *session_recipe(Session *s, const Ast *finetune, const RecipeOptions *options)
{
    size_t errors = s->c.diags.errors;
    Recipe *recipe = recipe_build(&s->c, s->file, finetune, options);
    bool good = recipe != NULL && s->c.diags.errors == errors;
    return session_judge(s, good) ? recipe : NULL;
}

Recipe **session_recipes(Session *s)
{
    bool run = s->line->command == COMMAND_RUN;          /* the first may write what the second loads */
    RecipeOptions options = {.without_files = true, .silent = run, .unread = run};
    size_t errors = s->c.diags.errors;
    Recipe **recipes = NEW_ARRAY(s->arena, Recipe *, s->finetunes.len + 1);
    bool good = true;
    for (size_t i = 0; i < s->finetunes.len; i++) {
        recipes[i] = recipe_build(&s->c, s->file, s->finetunes.at[i], &options);
        good = good && recipes[i] != NULL;
    }
    good = good && s->c.diags.errors == errors;
    return session_judge(s, good) ? recipes : NULL;
}

const Target *session_target(const Session *s)
{
    return s->line->target.len == 0 ? target_host() : target_find(s->line->target);
}

/* The machine's own, or the one asked for; code that is to run must run here. */
static const Target *choose_target(const Session *s, bool runs, int *exit)
{
    Str name = s->line->target;
    if (name.len == 0) {
        return target_host();
    }
    const Target *target = target_find(name);
    if (target == NULL) {
        Buf list = buf_new(s->arena);
        const Target *const *all;
        size_t n = target_list(&all);
        for (size_t i = 0; i < n; i++) {
            buf_printf(&list, " %s", all[i]->name);
        }
        *exit = usage_error(s->sys, s->arena, s->line,
                            "there is no target `" STR_FMT "`; the targets are" STR_FMT,
                            STR_ARG(name), STR_ARG(buf_str(&list)));
    } else if (runs && !target_runs_here(target)) {
        *exit = usage_error(s->sys, s->arena, s->line,
                            "this machine cannot run code for `" STR_FMT "`; it is `%s`",
                            STR_ARG(name), target_host()->name);
        target = NULL;
    }
    return target;
}

const Target *session_runs_on(Session *s, int *exit)
{
    return choose_target(s, true, exit);
}

/* $XDG_CACHE_HOME/hone, else ~/.cache/hone; NULL: nowhere. */
static const char *cache_folder(const Session *s)
{
    const char *base = getenv("XDG_CACHE_HOME");
    if (base != NULL && base[0] == '/') {
        return str_c(s->arena, str_format(s->arena, "%s/hone", base));
    }
    const char *home = getenv("HOME");
    bool known = home != NULL && home[0] == '/';
    return known ? str_c(s->arena, str_format(s->arena, "%s/.cache/hone", home)) : NULL;
}

Str memory_text(Arena *arena, const HoneProgram *program, uint64_t loading)
{
    static const char *const names[HONE_ARENAS] = {"parameters", "optimizer state", "batch",
                                                   "activations", "constants"};
    Buf out = buf_new(arena);
    for (int i = 0; i < HONE_ARENAS; i++) {
        buf_printf(&out, "%s " STR_FMT " · ", names[i],
                   STR_ARG(bytes_text(arena, program->arena_bytes[i])));
    }
    buf_printf(&out, "scratch " STR_FMT " a thread · loading ",
               STR_ARG(bytes_text(arena, program->scratch_bytes)));
    buf_add(&out, loading > 0 ? bytes_text(arena, loading) : STR("not known"));
    return buf_str(&out);
}

/* `memory` asks for less than can be reached, or more threads run than there is room for. */
static bool fits(Session *s, const HoneProgram *program, const Fit *fit, int *exit)
{
    const Recipe *recipe = fit->recipe;
    int threads = s->line->threads > 0 ? (int)s->line->threads : hone_cpu_count();
    if (recipe->memory == 0 || (fit->fits && threads <= FIT_THREADS)) {
        return true;
    }
    Peak peak = fit->fits ? program_peak(recipe, program, threads, -1) : fit->peak;
    if (peak.bytes <= recipe->memory) {
        return true;
    }
    Diag *d = diag(&s->c.diags, E706, recipe->memory_span, "the run does not fit `memory`");
    diag_label(d, "%s " STR_FMT, fit->fits || fit->n == 0 ? "it takes" : "the least is",
               STR_ARG(bytes_text(s->arena, peak.bytes)));
    diag_note(d, "with %d threads%s: " STR_FMT, peak.threads,
              fit->tried > 0 && !fit->fits ? " and all computed again that saves memory" : "",
              STR_ARG(memory_text(s->arena, program, peak.loading)));
    if (fit->fits) {
        diag_help(d, "there is room for `--threads %d`", FIT_THREADS);
    } else {
        diag_help(d, "a smaller `batch` needs less; `accumulate` makes one update of several batches");
    }
    session_judge(s, false);
    *exit = diags_exit(&s->c.diags);
    return false;
}

HoneProgram *session_program(Session *s, const Recipe *recipe, bool code, BuildReport *report,
                             int *exit)
{
    Buf dumped = buf_new(s->arena);
    StageId dump = s->dump;
    const Target *target = choose_target(s, code && dump == STAGE_COUNT, exit);
    if (target == NULL) {
        return NULL;
    }
    BuildOptions options = {
        .target = target,
        .without = s->without,
        .threads = (int)s->line->threads,
        .debug = s->line->profile,
        .kept = s->kept,
        .cache = s->line->no_cache ? NULL : cache_folder(s),
        .code = code || dump == STAGE_llvm || dump == STAGE_asm,
        .dump = dump,
        .dumped = &dumped,
    };
    HoneProgram *program = NEW(s->arena, HoneProgram);
    HoneError error = {0};
    size_t errors = s->c.diags.errors;
    if (!build_recipe(&s->c, recipe, &options, program, report, &error)) {
        bool said = s->c.diags.errors > errors;
        if (said) {
            session_judge(s, false);
        }
        *exit = said ? diags_exit(&s->c.diags) : session_error(s, &error);
        return NULL;
    }
    if (!fits(s, program, &report->fit, exit)) {
        return NULL;
    }
    if (dump != STAGE_COUNT) {
        *exit = out_finish(s->sys, &dumped, HONE_OK);
        return NULL;
    }
    size_t before = s->c.diags.warnings;
    plain_warn(s, report, program->n_entries);
    if (s->c.diags.warnings > before && !session_judge(s, true)) {
        *exit = HONE_USAGE;
        return NULL;
    }
    return program;
}

HoneProgram *session_steps(Session *s, const Recipe *recipe, bool code, BuildReport *report,
                           int *exit)
{
    for (size_t i = 0; i < recipe->stages.len; i++) {
        if (recipe->stages.at[i].train == NULL) {
            diag(&s->c.diags, E702, recipe->facts.at[0].span,
                 "the fields of the data are not known without its files");
            print_diags(s->sys, s->arena, s->line, &s->c.diags);
            *exit = HONE_BAD_INPUT;
            return NULL;
        }
    }
    return session_program(s, recipe, code, report, exit);
}

const Ast *session_begin(Session *s, HoneSys *sys, Mem *mem, const CommandLine *line, int *exit)
{
    if (!session_open(s, sys, mem, line, exit)) {
        return NULL;
    }
    if (s->finetunes.len == 0) {
        *exit = usage_error(s->sys, s->arena, s->line, STR_FMT " has no finetune item",
                            STR_ARG(s->c.root_path));
        return NULL;
    }
    return s->finetunes.at[0];
}

HoneProgram *session_forget(Session *s, const HoneProgram *program)
{
    HoneProgram *kept = program_keep(s->kept, program);
    const char *root = str_c(s->kept, s->c.root_dir);
    arena_free(s->arena);
    hone_trim(s->sys);
    *s = (Session){.sys = s->sys,
                   .mem = s->mem,
                   .arena = arena_new(s->mem, "run"),
                   .kept = s->kept,
                   .line = s->line,
                   .said = s->said,
                   .c = {.root_dir = str_of(root)}};
    return kept;
}

HoneRunOptions session_options(const Session *s)
{
    const CommandLine *line = s->line;
    return (HoneRunOptions){
        .sys = s->sys,
        .root = str_c(s->arena, s->c.root_dir),
        .out = line->out.len > 0 ? str_c(s->arena, line->out) : NULL,
        .threads = (int)line->threads,
        .resume = line->resume,
        .quiet = line->quiet,
        .json = line->json,
        .colour = line->colour,
        .prefetch = -1,
        .err_fd = STDERR_FILENO,
        .out_fd = STDOUT_FILENO,
    };
}

int session_error(const Session *s, const HoneError *error)
{
    return print_failure(s->sys, s->arena, s->line, error);
}
