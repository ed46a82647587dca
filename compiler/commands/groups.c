/* hone groups: which parameters train how, per stage: one row per set of parameters that share an
 * optimizer and its hyperparameters. */
#include <string.h>

#include "commands/session.h"

/* A hyperparameter as a person wrote it, or as the number it is. */
static Str hyper_text(const Session *s, const Hyper *hyper)
{
    const Value *v = &hyper->value;
    switch (v->kind) {
    case VALUE_INT:
        return str_format(s->arena, "%lld", (long long)v->i);
    case VALUE_FLOAT:
        return str_format(s->arena, "%.4g", v->f);
    case VALUE_BOOL:
        return v->i ? STR("true") : STR("false");
    case VALUE_STRING:
        return v->s;
    case VALUE_POISON:
    case VALUE_LIST:
    case VALUE_TENSOR:
    case VALUE_INSTANCE:
    case VALUE_INSTANCES:
    case VALUE_BATCH:
    case VALUE_TUPLE:
    case VALUE_DEFERRED:
        break;
    }
    if (hyper->span.file == 0) {
        return STR("per step");
    }
    const Source *source = sources_file(&s->c.sources, hyper->span.file);
    return (Str){source->text.ptr + hyper->span.start, hyper->span.end - hyper->span.start};
}

static Str use_text(const Session *s, const OptimizerUse *use)
{
    Buf out = buf_new(s->arena);
    buf_printf(&out, STR_FMT "(", STR_ARG(use->item->text));
    for (size_t i = 0; i < use->n; i++) {
        Str value = hyper_text(s, &use->hypers[i]);
        buf_printf(&out, "%s" STR_FMT " = " STR_FMT, i > 0 ? ", " : "",
                   STR_ARG(use->hypers[i].name), STR_ARG(value));
    }
    buf_char(&out, ')');
    return buf_str(&out);
}

typedef struct Row {
    Str use, first;                  /* first: key of the first parameter */
    int64_t tensors, elements;
} Row;

static void collect(const Session *s, const Recipe *recipe, const RecipeStage *stage, Map *rows)
{
    for (size_t i = 0; i < recipe->model->variables.len; i++) {
        const Variable *v = recipe->model->variables.at[i];
        if (v->is_state) {
            continue;
        }
        bool trains = stage->trainable[i];
        Str use = trains ? use_text(s, &stage->uses[i].optimizer) : STR("frozen");
        Row *row = map_get(rows, use);
        if (row == NULL) {
            row = NEW(s->arena, Row);
            *row = (Row){.use = use, .first = v->key};
            map_set(rows, use, row);
        }
        row->tensors++;
        row->elements += v->elements;
    }
}

static void print_stage(const Session *s, const Recipe *recipe, const RecipeStage *stage, Buf *out)
{
    static const char *const names[] = {">parameters", ">tensors", "updated by", "first"};
    Map rows = map_new(s->arena);
    collect(s, recipe, stage, &rows);
    Table *table = table_new(s->arena, 4, names);
    for (size_t i = 0; i < rows.len; i++) {
        const Row *row = rows.entries[i].value;
        Str count = count_text(s->arena, row->elements);
        if (s->line->json) {
            buf_add(out, STR("{\"recipe\": "));
            json_string(out, recipe->name);
            buf_add(out, STR(", \"stage\": "));
            json_string(out, stage->name);
            buf_printf(out, ", \"parameters\": %lld, \"tensors\": %lld, \"update\": ",
                       (long long)row->elements, (long long)row->tensors);
            json_string(out, row->use);
            buf_add(out, STR(", \"first\": "));
            json_string(out, row->first);
            buf_add(out, STR("}\n"));
            continue;
        }
        table_cell(table, STR_FMT, STR_ARG(count));
        table_cell(table, "%lld", (long long)row->tensors);
        table_cell(table, STR_FMT, STR_ARG(row->use));
        table_cell(table, STR_FMT "%s", STR_ARG(row->first), row->tensors > 1 ? ", …" : "");
    }
    if (!s->line->json) {
        buf_printf(out, STR_FMT " · stage " STR_FMT "\n", STR_ARG(recipe->name),
                   STR_ARG(stage->name));
        table_print(table, "  ", out);
    }
}

int command_groups(HoneSys *sys, Mem *mem, const CommandLine *line)
{
    Session s;
    int exit = HONE_OK;
    if (!session_open(&s, sys, mem, line, &exit) || session_only(&s, &exit) == NULL) {
        return exit;
    }
    Buf out = buf_new(s.arena);
    for (size_t i = 0; i < s.finetunes.len; i++) {
        Recipe *recipe = session_recipe(&s, s.finetunes.at[i], &(RecipeOptions){.without_files = true});
        if (recipe == NULL) {
            return diags_exit(&s.c.diags);
        }
        for (size_t k = 0; k < recipe->stages.len; k++) {
            print_stage(&s, recipe, &recipe->stages.at[k], &out);
        }
    }
    return out_finish(sys, &out, HONE_OK);
}
