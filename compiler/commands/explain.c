/* hone explain: of a code, what a diagnostic means; of a recipe, every kernel of its steps: which
 * equations it computes, how, what it costs, what bounds it and how long it should take. */
#include "commands/cost.h"

/* --- codes ------------------------------------------------------------------------------------ */
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

static int unknown_code(HoneSys *sys, Arena *arena, const CommandLine *line)
{
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

/* A code has no options of a recipe. */
static int unknown_option(HoneSys *sys, Arena *arena, const CommandLine *line)
{
    Sources sources = sources_new(arena);
    Diags diags = diags_new(arena, &sources);
    Str name = line->settings.at[0].name;
    const Str *names;
    size_t n = line_options(arena, line->command, &names);
    Diag *d = diag(&diags, E710, (Span){0}, "`hone explain CODE` has no option `--" STR_FMT "`",
                   STR_ARG(name));
    Str near = str_nearest(name, names, n);
    if (near.len > 0) {
        diag_help(d, "did you mean `--" STR_FMT "`?", STR_ARG(near));
    }
    print_diags(sys, arena, line, &diags);
    return HONE_USAGE;
}

static int explain_code(HoneSys *sys, Arena *arena, const CommandLine *line)
{
    DiagCode code;
    if (line->settings.len > 0) {
        return unknown_option(sys, arena, line);
    }
    if (line->args.len != 1 || !diag_code_find(upper(arena, line->args.at[0]), &code)) {
        return unknown_code(sys, arena, line);
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

/* --- kernels ---------------------------------------------------------------------------------- */
static void print_rows(Session *s, size_t n, const CostRow *rows, Buf *out)
{
    static const char *const names[] = {"kernel", "part", "equations", "loops", ">FLOPs", ">bytes",
                                        "bound", ">limit", ">expected", ">calls"};
    Table *table = table_new(s->arena, 10, names);
    for (size_t i = 0; i < n; i++) {
        const KernelCost *c = rows[i].first;
        table_cell(table, "%s", kernel_kind_name(c->kind));
        table_cell(table, "%s", phase_name(c->phase));
        table_cell(table, STR_FMT, STR_ARG(c->where));
        table_cell(table, STR_FMT, STR_ARG(c->tile));
        table_cell(table, STR_FMT, STR_ARG(flops_text(s->arena, c->flops)));
        table_cell(table, STR_FMT, STR_ARG(moved_text(s->arena, c->bytes)));
        table_cell(table, "%s", c->bound);
        table_cell(table, STR_FMT, STR_ARG(seconds_text(s->arena, c->limit)));
        table_cell(table, STR_FMT, STR_ARG(seconds_text(s->arena, c->predicted)));
        table_cell(table, "%zu", rows[i].sum.kernels);
    }
    table_print(table, "  ", out);
}

static void json_cost(const Cost *cost, Buf *out)
{
    buf_add(out, STR("\"flops\": "));
    json_number(out, cost->flops);
    buf_add(out, STR(", \"bytes\": "));
    json_number(out, cost->bytes);
    buf_add(out, STR(", \"limit_s\": "));
    json_number(out, cost->limit);
    buf_add(out, STR(", \"expected_s\": "));
    json_number(out, cost->predicted);
}

static void json_rows(const PlanEntry *plan, size_t n, const CostRow *rows, Buf *out)
{
    for (size_t i = 0; i < n; i++) {
        const KernelCost *c = rows[i].first;
        buf_add(out, STR("{\"entry\": "));
        json_string(out, plan->name);
        buf_printf(out, ", \"kind\": \"%s\", \"part\": \"%s\", \"name\": ",
                   kernel_kind_name(c->kind), phase_name(c->phase));
        json_string(out, c->kernel->name);
        buf_add(out, STR(", \"equations\": "));
        json_string(out, c->where);
        buf_add(out, STR(", \"loops\": "));
        json_string(out, c->tile);
        buf_printf(out, ", \"bound\": \"%s\", \"chunks\": %lld, \"calls\": %zu, ", c->bound,
                   (long long)c->chunks, rows[i].sum.kernels);
        json_cost(&rows[i].sum, out);
        buf_add(out, STR("}\n"));
    }
}

/* --- entries ---------------------------------------------------------------------------------- */
static void print_parts(Session *s, const Cost parts[PHASES], Buf *out)
{
    static const char *const names[] = {"part", ">kernels", ">FLOPs", ">bytes", ">limit",
                                        ">expected"};
    Table *table = table_new(s->arena, 6, names);
    for (int i = 0; i < PHASES; i++) {
        if (parts[i].kernels == 0) {
            continue;
        }
        table_cell(table, "%s", phase_name((Phase)i));
        table_cell(table, "%zu", parts[i].kernels);
        table_cell(table, STR_FMT, STR_ARG(flops_text(s->arena, parts[i].flops)));
        table_cell(table, STR_FMT, STR_ARG(moved_text(s->arena, parts[i].bytes)));
        table_cell(table, STR_FMT, STR_ARG(seconds_text(s->arena, parts[i].limit)));
        table_cell(table, STR_FMT, STR_ARG(seconds_text(s->arena, parts[i].predicted)));
    }
    table_print(table, "  ", out);
}

static void explain_entry(Session *s, const Recipe *recipe, const ProgramEntry *entry,
                          const Limits *limits, Buf *out)
{
    const PlanEntry *plan = entry->plan;
    KernelCost *costs = cost_kernels(s, recipe, entry);
    cost_times(session_target(s), limits, plan->n_kernels, costs);
    Cost parts[PHASES] = {0}, all = {0};
    for (size_t k = 0; k < plan->n_kernels; k++) {
        cost_add(&parts[costs[k].phase], &costs[k], 1);
        cost_add(&all, &costs[k], 1);
    }
    size_t n;
    const CostRow *rows = cost_rows(s, plan, costs, NULL, &n);
    size_t shown = s->line->cost ? 0 : s->line->top > 0 && (size_t)s->line->top < n
                                           ? (size_t)s->line->top : n;
    if (s->line->json) {
        json_rows(plan, shown, rows, out);
        buf_add(out, STR("{\"entry\": "));
        json_string(out, plan->name);
        buf_printf(out, ", \"kernels\": %zu, ", all.kernels);
        json_cost(&all, out);
        buf_add(out, STR("}\n"));
        return;
    }
    buf_printf(out, "\n" STR_FMT ": %zu kernels, " STR_FMT ", " STR_FMT ", activations " STR_FMT
                    ": at least " STR_FMT ", expected " STR_FMT "\n",
               STR_ARG(plan->name), all.kernels, STR_ARG(flops_text(s->arena, all.flops)),
               STR_ARG(moved_text(s->arena, all.bytes)),
               STR_ARG(bytes_text(s->arena, plan->activation_bytes)),
               STR_ARG(seconds_text(s->arena, all.limit)),
               STR_ARG(seconds_text(s->arena, all.predicted)));
    if (all.kernels > 0) {
        print_parts(s, parts, out);
    }
    if (shown > 0) {
        buf_char(out, '\n');
        print_rows(s, shown, rows, out);
    }
    if (shown > 0 && shown < n) {
        buf_printf(out, "  … and %zu more rows\n", n - shown);
    }
}

static int explain_recipe(Session *s, const Ast *finetune, const Limits *limits)
{
    Recipe *recipe = session_recipe(s, finetune, &(RecipeOptions){.without_files = true});
    if (recipe == NULL) {
        return diags_exit(&s->c.diags);
    }
    int exit = HONE_OK;
    BuildReport report;
    HoneProgram *program = session_steps(s, recipe, false, &report, &exit);
    if (program == NULL) {
        return exit;
    }
    Buf out = buf_new(s->arena);
    if (s->line->json) {
        buf_printf(&out, "{\"recipe\": ");
        json_string(&out, recipe->name);
        buf_printf(&out, ", \"target\": \"%s\", \"threads\": %d, \"flops_per_s\": %.6g, "
                         "\"bytes_per_s\": %.6g}\n", session_target(s)->name, limits->threads,
                   limits->flops, limits->memory);
    } else {
        buf_printf(&out, STR_FMT " on " STR_FMT "\n", STR_ARG(recipe->name),
                   STR_ARG(machine_text(s->arena, s->sys, session_target(s), limits)));
    }
    for (uint32_t i = 0; i < program->n_entries; i++) {
        explain_entry(s, recipe, &report.entries[i], limits, &out);
    }
    return out_finish(s->sys, &out, HONE_OK);
}

static int explain_file(HoneSys *sys, Mem *mem, const CommandLine *line)
{
    Session s;
    int exit = HONE_OK;
    if (session_begin(&s, sys, mem, line, &exit) == NULL) {
        return exit;
    }
    Limits limits = {0};
    if (s.dump == STAGE_COUNT) {
        const Target *target = session_runs_on(&s, &exit);
        HoneError error = {0};
        if (target == NULL) {
            return exit;
        }
        if (!limits_measure(&s, target, &limits, &error)) {
            return session_error(&s, &error);
        }
    }
    for (size_t i = 0; i < s.finetunes.len && exit == HONE_OK; i++) {
        exit = explain_recipe(&s, s.finetunes.at[i], &limits);
    }
    return exit;
}

/* A word without a point or a slash is a code. */
int command_explain(HoneSys *sys, Mem *mem, const CommandLine *line)
{
    Arena *arena = arena_new(mem, "explain");
    if (line->args.len == 0) {
        return usage_error(sys, arena, line,
                           "`hone explain` wants a code, such as E402, or a recipe's file");
    }
    bool file = false;
    for (size_t i = 0; i < line->args.at[0].len; i++) {
        file = file || line->args.at[0].ptr[i] == '.' || line->args.at[0].ptr[i] == '/';
    }
    return file ? explain_file(sys, mem, line) : explain_code(sys, arena, line);
}
