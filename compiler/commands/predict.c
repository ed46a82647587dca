/* hone predict: the recipe's `predict` line on pictures; the best classes by folder name when the
 * output has one value per class. */
#include <stdio.h>
#include <string.h>

#include "commands/session.h"

enum { BEST = 3 };

static int64_t elements(const HonePort *port)
{
    int64_t n = 1;
    for (uint32_t d = 0; d < port->rank; d++) {
        n *= port->dims[d];
    }
    return n;
}

static size_t best_of(const float *values, int64_t n, size_t *best)
{
    size_t count = 0;
    for (; count < BEST && (int64_t)count < n; count++) {
        size_t top = SIZE_MAX;
        for (size_t i = 0; i < (size_t)n; i++) {
            bool taken = false;
            for (size_t k = 0; k < count; k++) {
                taken = taken || best[k] == i;
            }
            if (!taken && (top == SIZE_MAX || values[i] > values[top])) {
                top = i;
            }
        }
        best[count] = top;
    }
    return count;
}

static void print_classes(const char *picture, const float *values, int64_t n,
                          const char *const *classes, Buf *out)
{
    size_t best[BEST];
    size_t count = best_of(values, n, best);
    buf_printf(out, "%s ", picture);
    for (size_t k = 0; k < count; k++) {
        buf_printf(out, "  %s %.1f %%", classes[best[k]], 100 * (double)values[best[k]]);
    }
    buf_char(out, '\n');
}

static void print_json(const char *picture, const HonePort *port, const float *values, int64_t n,
                       const char *const *classes, Buf *out)
{
    buf_add(out, STR("{\"file\": "));
    json_string(out, str_of(picture));
    buf_add(out, STR(", "));
    json_string(out, str_of(port->name));
    buf_add(out, classes != NULL ? STR(": {") : STR(": ["));
    for (int64_t i = 0; i < n; i++) {
        buf_add(out, i > 0 ? STR(", ") : STR(""));
        if (classes != NULL) {
            json_string(out, str_of(classes[i]));
            buf_add(out, STR(": "));
        }
        json_number(out, (double)values[i]);
    }
    buf_add(out, classes != NULL ? STR("}}\n") : STR("]}\n"));
}

static void print_values(const char *picture, const float *values, int64_t n, Buf *out)
{
    buf_printf(out, "%s ", picture);
    for (int64_t i = 0; i < n; i++) {
        buf_printf(out, " %.5g", (double)values[i]);
    }
    buf_char(out, '\n');
}

static int predict_all(Session *s, const HoneProgram *program)
{
    HoneRunOptions options = session_options(s);
    HoneError error = {0};
    const HoneData *data = &program->data[program->predict_data];
    const HoneSource *source = data->train != NULL ? data->train : data->valid;
    HoneDataset *set = hone_data_open(s->sys, source, options.root, &error);
    HonePredictor *predictor =
        hone_predictor_new(program, &options, str_c(s->arena, s->line->weights), &error);
    if (predictor == NULL) {
        hone_data_close(set);
        return session_error(s, &error);
    }
    const char *const *names = NULL;
    size_t n_classes = set == NULL ? 0 : hone_data_classes(set, &names);
    Buf out = buf_new(s->arena);
    int exit = HONE_OK;
    for (size_t i = 1; i < s->line->args.len; i++) {
        const char *picture = str_c(s->arena, s->line->args.at[i]);
        const HonePort *port;
        const float *values;
        if (!hone_predict(predictor, picture, &port, &values, &error)) {
            if (strcmp(error.code, "E704") == 0) {     /* a recipe's knob does not help here */
                hone_error_help(&error, "name a JPEG or PNG file that is whole");
            }
            exit = session_error(s, &error);
            continue;
        }
        int64_t n = elements(port);
        bool classes = n_classes > 0 && n == (int64_t)n_classes;
        if (s->line->json) {
            print_json(picture, port, values, n, classes ? names : NULL, &out);
        } else if (classes) {
            print_classes(picture, values, n, names, &out);
        } else {
            print_values(picture, values, n, &out);
        }
    }
    hone_predictor_free(predictor);
    hone_data_close(set);
    return out_finish(s->sys, &out, exit);
}

/* The recipe says what to predict, and of pictures. */
static bool can_predict(Session *s, const Recipe *recipe)
{
    Diags *diags = &s->c.diags;
    Diag *d;
    uint32_t index = recipe->stages.len > 0 ? recipe->stages.at[0].data : 0;
    const HoneData *data = &recipe->data.at[index];
    const HoneSource *source = data->train != NULL ? data->train : data->valid;
    if (recipe->predict == NULL) {
        d = diag(diags, E515, recipe->span, "recipe `" STR_FMT "` does not say what to predict",
                 STR_ARG(recipe->name));
        diag_help(d, "add to its step: `predict scores = softmax(z)`");
    } else if (!hone_reader_pictures(source->reader)) {
        d = diag(diags, E515, recipe->facts.at[index].span, "`hone predict` takes pictures, which this recipe does not read");
        diag_label(d, "its data are `%s(…)`", source->reader);
        diag_help(d, "`hone eval " STR_FMT " --weights " STR_FMT "` computes its metrics over `valid`",
                  STR_ARG(s->c.root_path), STR_ARG(s->line->weights));
    } else {
        return true;
    }
    print_diags(s->sys, s->arena, s->line, diags);
    return false;
}

int command_predict(HoneSys *sys, Mem *mem, const CommandLine *line)
{
    Session s;
    int exit = HONE_OK;
    const Ast *finetune = session_begin(&s, sys, mem, line, &exit);
    if (finetune == NULL) {
        return exit;
    }
    if (line->weights.len == 0 || line->args.len < 2) {
        return usage_error(sys, s.arena, line,
                           "`hone predict` wants --weights FILE and at least one picture");
    }
    /* What the recipe started from need not be there any more. */
    RecipeOptions files = {.without_files = true, .silent = true};
    Recipe *recipe = session_recipe(&s, finetune, &files);
    if (recipe == NULL) {
        return diags_exit(&s.c.diags);
    }
    if (!can_predict(&s, recipe)) {
        return HONE_USAGE;
    }
    BuildReport report;
    HoneProgram *program = session_steps(&s, recipe, true, &report, &exit);
    return program == NULL ? exit : predict_all(&s, program);
}
