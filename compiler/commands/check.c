/* hone check: all static checks, what trains how, and the exact planned peak memory; nothing runs. */
#include <stdio.h>
#include <string.h>

#include "commands/cost.h"

static void print_title(const Session *s, const Recipe *recipe, Buf *out)
{
    int64_t elements = 0, tensors = 0;
    for (size_t i = 0; i < recipe->model->variables.len; i++) {
        const Variable *v = recipe->model->variables.at[i];
        elements += v->is_state ? 0 : v->elements;
        tensors += !v->is_state;
    }
    buf_printf(out, STR_FMT " · " STR_FMT " parameters in %lld tensors · %zu stage%s\n\n",
               STR_ARG(recipe->name), STR_ARG(count_text(s->arena, elements)), (long long)tensors,
               recipe->stages.len, recipe->stages.len == 1 ? "" : "s");
}

static void print_stages(const Session *s, const Recipe *recipe, const HoneProgram *program,
                         Buf *out)
{
    static const char *const names[] = {"stage",   ">for",         ">trains", ">tensors",
                                        ">a step", ">activations", ">kernels"};
    Table *table = table_new(s->arena, 7, names);
    for (size_t i = 0; i < recipe->stages.len; i++) {
        const HoneStage *stage = &program->stages[i];
        const HoneEntry *train = &program->entries[stage->train];
        table_cell(table, "%s", stage->name);
        if (stage->epochs > 0) {
            table_cell(table, "%g epoch%s", stage->epochs, stage->epochs > 1 ? "s" : "");
        } else {
            table_cell(table, "%lld steps", (long long)stage->steps);
        }
        table_cell(table, STR_FMT, STR_ARG(count_text(s->arena, (int64_t)stage->trainable_elements)));
        table_cell(table, "%u", stage->trainable_tensors);
        const uint32_t others[] = {stage->count, stage->update};
        double flops = train->flops * (double)stage->accumulate;
        uint64_t activations = train->activation_bytes;
        uint32_t calls = train->n_calls;
        for (int k = 0; k < 2; k++) {
            const HoneEntry *entry = &program->entries[others[k] == HONE_NONE ? 0 : others[k]];
            if (others[k] != HONE_NONE) {
                flops += entry->flops * (k == 0 ? (double)stage->accumulate : 1);
                activations = entry->activation_bytes > activations ? entry->activation_bytes
                                                                    : activations;
                calls += entry->n_calls;
            }
        }
        table_cell(table, STR_FMT, STR_ARG(flops_text(s->arena, flops)));
        table_cell(table, STR_FMT, STR_ARG(bytes_text(s->arena, activations)));
        table_cell(table, "%u", calls);
    }
    table_print(table, "  ", out);
    buf_char(out, '\n');
}

static void print_weights(const Recipe *recipe, Buf *out)
{
    size_t n = recipe->model->variables.len, loaded = 0, fresh = 0;
    for (size_t i = 0; i < n; i++) {
        loaded += recipe->loaded[i].load != HONE_NONE;
        fresh += recipe->loaded[i].fresh;
    }
    for (size_t i = 0; i < recipe->loads.len; i++) {
        bool of_model = false; /* others are read by penalties */
        for (size_t k = 0; k < n && !of_model; k++) {
            of_model = recipe->loaded[k].load == i;
        }
        if (!of_model) {
            continue;
        }
        if (recipe->loads.at[i].absent) {
            buf_printf(out, "  weights      %s: not there yet, not checked\n", recipe->loads.at[i].path);
            continue;
        }
        buf_printf(out, "  weights      %s: %zu of %zu tensors fit", recipe->loads.at[i].path, loaded,
                   n);
        if (fresh > 0) {
            buf_printf(out, "; fresh: %zu", fresh);
        }
        if (recipe->loads.at[i].n_ignored > 0) {
            buf_printf(out, "; ignored: %u", recipe->loads.at[i].n_ignored);
        }
        buf_char(out, '\n');
    }
}

static void print_data(const Recipe *recipe, Buf *out)
{
    for (size_t i = 0; i < recipe->facts.len; i++) {
        const RecipeData *facts = &recipe->facts.at[i];
        buf_printf(out, "  data         %s:", recipe->data.at[i].name);
        if (facts->count[0] < 0) {
            buf_add(out, STR(" not there yet, not checked\n"));
            continue;
        }
        buf_printf(out, " %lld training", (long long)facts->count[0]);
        if (facts->count[1] >= 0) {
            buf_printf(out, " and %lld validation", (long long)facts->count[1]);
        }
        buf_add(out, STR(" samples"));
        if (facts->n_classes > 0) {
            buf_printf(out, " in %zu classes", facts->n_classes);
        }
        buf_char(out, '\n');
    }
}

static void print_memory(const Session *s, const HoneProgram *program, const Peak *peak, Buf *out)
{
    buf_printf(out, "  memory       " STR_FMT "\n",
               STR_ARG(memory_text(s->arena, program, peak->loading)));
    buf_printf(out, "  peak         " STR_FMT " with %d threads\n",
               STR_ARG(bytes_text(s->arena, peak->bytes)), peak->threads);
}

/* What `memory` chose; modules that follow each other as the first and the last of them. */
static void print_again(const Session *s, const Fit *fit, Buf *out)
{
    const Recipe *recipe = fit->recipe;
    const char *before = "  recompute    ";
    for (size_t i = 0; i < recipe->candidates.len && fit->tried > 0; i++) {
        size_t first = i;
        while (fit->chosen[i] && i + 1 < recipe->candidates.len && fit->chosen[i + 1]) {
            i++;
        }
        if (!fit->chosen[first]) {
            continue;
        }
        buf_printf(out, "%s" STR_FMT, before, STR_ARG(recipe->candidates.at[first]->path));
        if (i > first) {
            buf_printf(out, "%s" STR_FMT, i > first + 1 ? " .. " : ", ",
                       STR_ARG(recipe->candidates.at[i]->path));
        }
        before = ", ";
    }
    if (fit->tried > 0) {
        buf_printf(out, " (memory): +" STR_FMT " a step\n", STR_ARG(flops_text(s->arena, fit->flops)));
    }
}

static void print_json(const HoneProgram *program, const Fit *fit, const Peak *peak, Buf *out)
{
    static const char *const names[HONE_ARENAS] = {"params", "state", "io", "activations",
                                                   "constants"};
    buf_add(out, STR("{\"recipe\": "));
    json_string(out, str_of(program->name));
    for (int i = 0; i < HONE_ARENAS; i++) {
        buf_printf(out, ", \"%s_bytes\": %llu", names[i],
                   (unsigned long long)program->arena_bytes[i]);
    }
    buf_printf(out,
               ", \"scratch_bytes\": %llu, \"loading_bytes\": %llu, \"threads\": %d, "
               "\"peak_bytes\": %llu, \"recompute\": [",
               (unsigned long long)program->scratch_bytes, (unsigned long long)peak->loading,
               peak->threads, (unsigned long long)peak->bytes);
    for (size_t i = 0, n = 0; i < fit->recipe->candidates.len; i++) {
        if (fit->chosen[i]) {
            buf_add(out, n++ > 0 ? STR(", ") : STR(""));
            json_string(out, fit->recipe->candidates.at[i]->path);
        }
    }
    buf_add(out, STR("], \"recompute_flops\": "));
    json_number(out, fit->flops);
    buf_add(out, STR("}\n"));
}

static void print_verdict(const Session *s, Buf *out)
{
    buf_printf(out, "no errors, %zu warning%s\n", s->c.diags.warnings,
               s->c.diags.warnings == 1 ? "" : "s");
}

static int finish(const Session *s, const Buf *out)
{
    return s->line->quiet && !s->line->json ? HONE_OK : out_finish(s->sys, out, HONE_OK);
}

/* What can be said where the shapes of a batch are not known: all but the plan. */
static int check_without_fields(Session *s, const Recipe *recipe)
{
    Buf out = buf_new(s->arena);
    if (s->line->json) {
        buf_add(&out, STR("{\"recipe\": "));
        json_string(&out, recipe->name);
        buf_add(&out, STR("}\n"));
        return finish(s, &out);
    }
    print_title(s, recipe, &out);
    print_weights(recipe, &out);
    print_data(recipe, &out);
    buf_char(&out, '\n');
    print_verdict(s, &out);
    return finish(s, &out);
}

static int check_one(Session *s, const Recipe *recipe)
{
    for (size_t i = 0; i < recipe->stages.len; i++) {
        if (recipe->stages.at[i].train == NULL) {      /* fields unknown without the files */
            return check_without_fields(s, recipe);
        }
    }
    BuildReport report;
    int exit = HONE_OK;
    HoneProgram *program = session_program(s, recipe, false, &report, &exit);
    if (program == NULL) {
        return exit;
    }
    Buf out = buf_new(s->arena);
    int threads = s->line->threads > 0 ? (int)s->line->threads : hone_cpu_count();
    Peak peak = program_peak(recipe, program, threads, -1);
    if (s->line->json) {
        print_json(program, &report.fit, &peak, &out);
        return finish(s, &out);
    }
    print_title(s, recipe, &out);
    print_stages(s, recipe, program, &out);
    print_weights(recipe, &out);
    print_data(recipe, &out);
    print_again(s, &report.fit, &out);
    print_memory(s, program, &peak, &out);
    buf_char(&out, '\n');
    print_verdict(s, &out);
    return finish(s, &out);
}

/* A recipe's plan is released before the next one's is made; but not what was emitted for a dump, which the
 * end of the compilation closes. */
static int check_apart(Session *s, const Recipe *recipe)
{
    Arena *whole = s->arena;
    s->arena = s->c.arena = arena_new(s->mem, "plan");
    int exit = check_one(s, recipe);
    if (s->dump != STAGE_llvm && s->dump != STAGE_asm) {
        arena_free(s->arena);
    }
    s->arena = s->c.arena = whole;
    return exit;
}

static int check_library(Session *s)
{
    bool ok = library_check(&s->c, s->file) && s->c.diags.errors == 0;
    if (!session_judge(s, ok)) {
        return HONE_USAGE;
    }
    Buf out = buf_new(s->arena);
    if (!s->line->json) {
        buf_printf(&out, STR_FMT " · a library: it has no finetune item\n",
                   STR_ARG(s->c.root_path));
        print_verdict(s, &out);
    }
    return finish(s, &out);
}

int command_check(HoneSys *sys, Mem *mem, const CommandLine *line)
{
    Session s;
    int exit = HONE_OK;
    if (!session_open(&s, sys, mem, line, &exit)) {
        return exit;
    }
    if (s.finetunes.len == 0) {
        return check_library(&s);
    }
    Recipe **recipes = session_recipes(&s);
    if (recipes == NULL) {
        return diags_exit(&s.c.diags);
    }
    for (size_t i = 0; i < s.finetunes.len && exit == HONE_OK; i++) {
        exit = check_apart(&s, recipes[i]);
    }
    return exit;
}
