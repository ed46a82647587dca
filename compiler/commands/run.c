/* hone run: compiles the chosen recipes and trains them, one after another. */
#include <math.h>
#include <stdio.h>

#include "commands/cost.h"

/* A path of the recipe as one writes it here. */
static Str from_here(const Session *s, const char *path)
{
    Str root = str_of(session_options(s).root);
    bool as_is = path[0] == '/' || root.len == 0 || str_is(root, ".");
    return as_is ? str_of(path) : str_join(s->arena, root, "/", str_of(path));
}

static void print_saves(const Session *s, const HoneProgram *program, const HoneResult *result,
                        Buf *out)
{
    for (uint32_t i = 0; i < program->n_saves; i++) {
        const HoneSave *save = &program->saves[i];
        uint64_t bytes = 0;
        for (uint32_t k = 0; k < save->n_items; k++) {
            const HoneTensor *t = &program->tensors[save->items[k].tensor];
            uint64_t elements = 1;
            for (uint32_t d = 0; d < t->rank; d++) {
                elements *= (uint64_t)t->dims[d];
            }
            bytes += elements * dtype_bytes((DType)t->dtype);
        }
        buf_printf(out, "  weights      " STR_FMT " (" STR_FMT ", %u tensors",
                   STR_ARG(from_here(s, save->path)), STR_ARG(bytes_text(s->arena, bytes)), save->n_items);
        if (result->best_lost && isnan(result->saved)) {
            buf_add(out, STR(") of the last step\n"));
        } else if (result->best_lost) {
            buf_printf(out, ") of epoch %lld: %s %.4g\n", (long long)result->saved_epoch,
                       result->monitor, result->saved);
        } else {
            buf_add(out, STR(")\n"));
        }
    }
}

/* The options of the recipe as they were given, so that a command can be copied. */
static void print_settings(const CommandLine *line, Buf *out)
{
    for (size_t i = 0; i < line->settings.len; i++) {
        const OptionSetting *setting = &line->settings.at[i];
        buf_printf(out, " --%s" STR_FMT "%s" STR_FMT, setting->negated ? "no-" : "",
                   STR_ARG(setting->name), setting->text.len > 0 ? " " : "",
                   STR_ARG(setting->text));
    }
    if (line->root.len > 0) {
        buf_printf(out, " --root " STR_FMT, STR_ARG(line->root));
    }
    buf_char(out, '\n');
}

static bool holds(const HoneSave *save, const HoneTensor *tensors, uint32_t tensor)
{
    for (uint32_t i = 0; i < save->n_items; i++) {
        if (save->items[i].tensor == tensor &&
            str_eq(str_of(save->items[i].key), str_of(tensors[tensor].key))) {
            return true;
        }
    }
    return false;
}

/* The whole model under its own keys, as `hone eval` reads it. */
static bool is_whole(const HoneProgram *program, const HoneSave *save)
{
    for (uint32_t t = 0; t < program->n_tensors; t++) {
        HoneTensorKind kind = program->tensors[t].kind;
        if ((kind == HONE_PARAM || kind == HONE_MODEL_STATE) && !holds(save, program->tensors, t)) {
            return false;
        }
    }
    return !save->merged;
}

/* `named`: the file has other recipes, or one was chosen by name. */
static void print_next(const Session *s, const HoneProgram *program, bool named, Buf *out)
{
    const HoneStage *stage = &program->stages[program->n_stages - 1];
    const HoneData *data = &program->data[stage->data];
    bool measured = stage->metrics != HONE_NONE && (data->valid != NULL || data->test != NULL);
    for (uint32_t i = 0; measured && i < program->n_saves; i++) {
        if (is_whole(program, &program->saves[i])) {
            buf_printf(out, "  next         hone eval " STR_FMT "%s%s --weights " STR_FMT,
                       STR_ARG(s->line->args.at[0]), named ? " " : "", named ? program->name : "",
                       STR_ARG(from_here(s, program->saves[i].path)));
            print_settings(s->line, out);
            return;
        }
    }
    if (program->n_saves > 0) {
        buf_printf(out, "  next         hone keys " STR_FMT "\n",
                   STR_ARG(from_here(s, program->saves[0].path)));
    }
}

static void summary(const Session *s, const HoneProgram *program, const HoneResult *result,
                    bool named, Buf *out)
{
    buf_printf(out, "%s finished in %.*f s", program->name, result->seconds < 10 ? 1 : 0,
               result->seconds);
    if (result->monitor != NULL && !isnan(result->best)) {
        buf_printf(out, " · best %s %.4g (epoch %lld, stage %s%s)", result->monitor, result->best,
                   (long long)result->best_epoch, result->best_stage,
                   result->best_lost ? "; not kept" : "");
    }
    buf_char(out, '\n');
    print_saves(s, program, result, out);
    if (program->n_saves == 0) {
        buf_printf(out, "  weights      the recipe has no `save`; they lie in %s/%s\n", result->run_dir,
                   result->monitor == NULL ? "checkpoint-*" : "best");
    }
    buf_printf(out, "  run          %s: metrics.jsonl, recipe.hone, checkpoints\n", result->run_dir);
    Str planned = bytes_text(s->arena, result->planned_bytes);
    Str measured = bytes_text(
        s->arena, result->peak_rss > result->base_rss ? result->peak_rss - result->base_rss : 0);
    buf_printf(out, "  memory       planned " STR_FMT ", measured " STR_FMT "\n", STR_ARG(planned),
               STR_ARG(measured));
    print_next(s, program, named, out);
}

static void summary_json(const HoneProgram *program, const HoneResult *result, Buf *out)
{
    buf_add(out, STR("{\"event\": \"end\", \"name\": "));
    json_string(out, str_of(program->name));
    buf_add(out, STR(", \"seconds\": "));
    json_number(out, result->seconds);
    buf_printf(out, ", \"steps\": %lld, \"best\": ", (long long)result->steps);
    json_number(out, result->best);
    buf_add(out, STR(", \"monitor\": "));
    json_string(out, str_of(result->monitor == NULL ? "" : result->monitor));
    buf_add(out, STR(", \"saved\": "));
    json_number(out, result->saved);
    uint64_t measured = result->peak_rss > result->base_rss ? result->peak_rss - result->base_rss : 0;
    buf_printf(out, ", \"planned_bytes\": %llu, \"measured_bytes\": %llu, \"run\": ",
               (unsigned long long)result->planned_bytes, (unsigned long long)measured);
    json_string(out, str_of(result->run_dir));
    buf_add(out, STR("}\n"));
}

static void print_times(const Session *s, const BuildReport *report)
{
    Buf out = buf_new(s->arena);
    for (size_t i = 0; i < STAGE_COUNT; i++) {
        if (report->seconds[i] > 0) {
            buf_printf(&out, "%-10s %8.1f ms\n", stage_name((StageId)i), 1e3 * report->seconds[i]);
        }
    }
    buf_printf(&out, "%zu equations, %zu kernels, %zu distinct, %zu bytes of code, %zu of %zu modules "
                     "from the cache\n",
               report->equations, report->kernels, report->distinct, report->code_bytes,
               report->cached, report->modules);
    err_write(s->sys, buf_str(&out));
}

static int run_one(Session *s, const Ast *finetune)
{
    const CommandLine *line = s->line;
    bool named = s->finetunes.len > 1 || line->args.len > 1;
    Recipe *recipe = session_recipe(s, finetune, &(RecipeOptions){0});
    if (recipe == NULL) {
        return diags_exit(&s->c.diags);
    }
    BuildReport report;
    int exit = HONE_OK;
    HoneProgram *program = session_program(s, recipe, true, &report, &exit);
    if (program == NULL) {
        return exit;
    }
    if (line->time) {
        print_times(s, &report);
    }
    HoneResult result = {0};
    HoneError error = {0};
    Profile profile;
    if (line->profile && !profile_begin(s, program, &report, &profile, &error)) {
        return session_error(s, &error);
    }
    if (!line->profile) {
        program = session_forget(s, program);        /* a profile tells kernels by their equations */
    }
    HoneRunOptions options = session_options(s);
    options.times = line->profile ? &profile.times : NULL;
    bool ok = hone_run(program, &options, &result, &error);
    if (line->profile && result.steps > 0) {
        profile_end(s, recipe, program, &report, &profile, &result);
    }
    Buf out = buf_new(s->arena);
    if (result.finished && line->json) {
        summary_json(program, &result, &out);
    } else if (result.finished && !line->quiet) {
        summary(s, program, &result, named, &out);
    }
    exit = out_finish(s->sys, &out, HONE_OK);
    if (ok) {
        return exit;
    }
    if (error.exit != HONE_SIGINT && error.exit != HONE_SIGTERM) {
        return session_error(s, &error);
    }
    err_write(s->sys, str_format(s->arena, "%s\n", error.message));
    return (int)error.exit;
}

/* The last recipe's mistakes are said before the first one trains. */
static bool begin(Session *s, HoneSys *sys, Mem *mem, const CommandLine *line, int *exit)
{
    if (session_begin(s, sys, mem, line, exit) == NULL) {
        return false;
    }
    if (s->finetunes.len > 1 && session_recipes(s) == NULL) {
        *exit = diags_exit(&s->c.diags);
        return false;
    }
    s->c.diags = diags_new(s->arena, &s->c.sources);
    return true;
}

int command_run(HoneSys *sys, Mem *mem, const CommandLine *line)
{
    Session s;
    int exit = HONE_OK;
    if (!begin(&s, sys, mem, line, &exit)) {
        return exit;
    }
    size_t n = s.finetunes.len;
    for (size_t i = 0; i < n && exit == HONE_OK; i++) {
        Said said = s.said;
        if (i > 0 && !line->profile && !session_open(&s, sys, mem, line, &exit)) {
            return exit;                             /* the one before forgot the recipe */
        }
        s.said = said;
        exit = run_one(&s, s.finetunes.at[i]);
    }
    return exit;
}
