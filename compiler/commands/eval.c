/* hone eval: the metrics of the recipe's last stage on its validation data, with given weights. */
#include "commands/session.h"

enum { MAX_METRICS = 64 };

static int evaluate(Session *s, const HoneProgram *program)
{
    HoneRunOptions options = session_options(s);
    HoneMetric metrics[MAX_METRICS];
    size_t n = 0;
    HoneError error = {0};
    if (!hone_evaluate(program, &options, str_c(s->arena, s->line->weights), &n, metrics,
                       MAX_METRICS, &error)) {
        return session_error(s, &error);
    }
    Buf out = buf_new(s->arena);
    buf_add(&out, s->line->json ? STR("{") : STR(""));
    for (size_t i = 0; i < n; i++) {
        if (s->line->json) {
            buf_add(&out, i > 0 ? STR(", ") : STR(""));
            json_string(&out, str_of(metrics[i].name));
            buf_add(&out, STR(": "));
            json_number(&out, metrics[i].value);
        } else {
            buf_printf(&out, "%-12s %.6g\n", metrics[i].name, metrics[i].value);
        }
    }
    buf_add(&out, s->line->json ? STR("}\n") : STR(""));
    return out_finish(s->sys, &out, HONE_OK);
}

int command_eval(HoneSys *sys, Mem *mem, const CommandLine *line)
{
    Session s;
    int exit = HONE_OK;
    const Ast *finetune = session_begin(&s, sys, mem, line, &exit);
    if (finetune == NULL) {
        return exit;
    }
    if (line->weights.len == 0) {
        return usage_error(sys, s.arena, line, "`hone eval` wants --weights FILE");
    }
    /* What the recipe started from need not be there any more. */
    RecipeOptions files = {.without_files = true, .silent = true};
    Recipe *recipe = session_recipe(&s, finetune, &files);
    if (recipe == NULL) {
        return diags_exit(&s.c.diags);
    }
    BuildReport report;
    HoneProgram *program = session_steps(&s, recipe, true, &report, &exit);
    return program == NULL ? exit : evaluate(&s, program);
}
