/* hone groups: which parameters train how, per stage: one row per set of parameters that share an
 * optimizer and its hyperparameters. */
#include <string.h>

#include "commands/session.h"

static Str source_text(const Session *s, Span span)
{
    const Source *source = sources_file(&s->c.sources, span.file);
    return (Str){source->text.ptr + span.start, span.end - span.start};
}

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
    return source_text(s, hyper->span);
}

static Str use_text(const Session *s, const VariableUse *own)
{
    const OptimizerUse *use = &own->optimizer;
    Buf out = buf_new(s->arena);
    buf_printf(&out, STR_FMT "(", STR_ARG(use->item->text));
    for (size_t i = 0; i < use->n; i++) {
        Str value = hyper_text(s, &use->hypers[i]);
        buf_printf(&out, "%s" STR_FMT " = " STR_FMT, i > 0 ? ", " : "",
                   STR_ARG(use->hypers[i].name), STR_ARG(value));
    }
    buf_char(&out, ')');
    for (size_t i = 0; i < own->penalties.len; i++) {
        Str value = source_text(s, own->penalties.at[i]->kids[1]->span);
        buf_printf(&out, ", penalty " STR_FMT, STR_ARG(value));
    }
    return buf_str(&out);
}

typedef struct Row {
    int64_t depth;
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
        Str use = trains ? use_text(s, &stage->uses[i]) : STR("frozen");
        int64_t depth = recipe->depth != NULL ? recipe->depth[i] : 0;
        Str key = str_format(s->arena, "%lld " STR_FMT, (long long)depth, STR_ARG(use));
        Row *row = map_get(rows, key);
        if (row == NULL) {
            row = NEW(s->arena, Row);
            *row = (Row){.use = use, .first = v->key, .depth = depth};
            map_set(rows, key, row);
        }
        row->tensors++;
        row->elements += v->elements;
    }
}

static void print_json_row(const Recipe *recipe, const RecipeStage *stage, const Row *row, Buf *out)
{
    buf_add(out, STR("{\"recipe\": "));
    json_string(out, recipe->name);
    buf_add(out, STR(", \"stage\": "));
    json_string(out, stage->name);
    buf_printf(out, ", \"parameters\": %lld, \"tensors\": %lld, \"update\": ",
               (long long)row->elements, (long long)row->tensors);
    json_string(out, row->use);
    if (recipe->depth != NULL) {
        buf_printf(out, ", \"depth\": %lld", (long long)row->depth);
    }
    buf_add(out, STR(", \"first\": "));
    json_string(out, row->first);
    buf_add(out, STR("}\n"));
}

static void print_row(const Session *s, const Recipe *recipe, const Row *row, Table *table)
{
    Str count = count_text(s->arena, row->elements);
    if (recipe->depth != NULL && row->depth >= 0) {
        table_cell(table, "%lld", (long long)row->depth);
    } else if (recipe->depth != NULL) {
        table_cell(table, "-");
    }
    table_cell(table, STR_FMT, STR_ARG(count));
    table_cell(table, "%lld", (long long)row->tensors);
    table_cell(table, STR_FMT, STR_ARG(row->use));
    table_cell(table, STR_FMT "%s", STR_ARG(row->first), row->tensors > 1 ? ", …" : "");
}

/* With layers, from the top: the order of depth. */
static void print_stage(const Session *s, const Recipe *recipe, const RecipeStage *stage, Buf *out)
{
    static const char *const names[] = {">depth", ">parameters", ">tensors", "updated by", "first"};
    bool layers = recipe->depth != NULL;
    int64_t from = 0, to = 0;
    Map rows = map_new(s->arena);
    collect(s, recipe, stage, &rows);
    Table *table = table_new(s->arena, layers ? 5 : 4, layers ? names : names + 1);
    for (size_t i = 0; i < rows.len; i++) {
        const Row *row = rows.entries[i].value;
        from = row->depth < from ? row->depth : from;
        to = row->depth > to ? row->depth : to;
    }
    for (int64_t depth = from; depth <= to; depth++) {
        for (size_t i = 0; i < rows.len; i++) {
            const Row *row = rows.entries[i].value;
            if (row->depth == depth && s->line->json) {
                print_json_row(recipe, stage, row, out);
            } else if (row->depth == depth) {
                print_row(s, recipe, row, table);
            }
        }
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
    if (session_begin(&s, sys, mem, line, &exit) == NULL) {
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
