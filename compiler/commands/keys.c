/* hone keys: key, dtype and shape of every tensor, of a recipe's model or of a weights file. */
#include <string.h>

#include "commands/session.h"

static void add_row(const CommandLine *line, Table *table, Buf *out, Str key, const char *dtype,
                    size_t rank, const int64_t *dims, const char *kind)
{
    Str shape = dims_list(out->arena, rank, dims);
    if (!line->json) {
        table_cell(table, STR_FMT, STR_ARG(key));
        table_cell(table, "%s", dtype);
        table_cell(table, STR_FMT, STR_ARG(shape));
        table_cell(table, "%s", kind);
        return;
    }
    buf_add(out, STR("{\"key\": "));
    json_string(out, key);
    buf_printf(out, ", \"dtype\": \"%s\", \"shape\": " STR_FMT ", \"kind\": \"%s\"}\n", dtype,
               STR_ARG(shape), kind);
}

static Table *keys_table(Arena *arena)
{
    static const char *const names[] = {"key", "dtype", "shape", "kind"};
    return table_new(arena, 4, names);
}

static bool add_file(HoneSys *sys, const CommandLine *line, Str path, const char *kind,
                     Table *table, Buf *out, HoneError *error)
{
    Arena *arena = out->arena;
    HoneFile *file = hone_file_open(sys, str_c(arena, path), error);
    if (file == NULL) {
        return false;
    }
    for (size_t i = 0; i < hone_file_count(file); i++) {
        const HoneFileTensor *t = hone_file_tensor(file, i);
        add_row(line, table, out, str_copy(arena, str_of(t->key)),
                str_c(arena, str_of(t->dtype_name)), t->rank, t->dims, kind);
    }
    hone_file_close(file);
    return true;
}

/* A weights file, or a checkpoint: a folder with weights and what the optimizer keeps. */
static int keys_of_file(HoneSys *sys, Arena *arena, const CommandLine *line)
{
    HoneError error = {0};
    Buf out = buf_new(arena);
    Table *table = keys_table(arena);
    Str path = line->args.at[0];
    Str weights = str_join(arena, path, "/", STR("weights.safetensors"));
    Str state = str_join(arena, path, "/", STR("state.safetensors"));
    bool ok = hone_is_folder(sys, str_c(arena, path))
                  ? add_file(sys, line, weights, "weights", table, &out, &error) &&
                        add_file(sys, line, state, "state", table, &out, &error)
                  : add_file(sys, line, path, "", table, &out, &error);
    if (!ok) {
        return print_failure(sys, arena, line, &error);
    }
    if (!line->json) {
        table_print(table, "", &out);
    }
    return out_finish(sys, &out, HONE_OK);
}

static int keys_of_recipe(HoneSys *sys, Mem *mem, const CommandLine *line)
{
    Session s;
    int exit = HONE_OK;
    const Ast *finetune = session_begin(&s, sys, mem, line, &exit);
    if (finetune == NULL) {
        return exit;
    }
    RecipeOptions options = {.without_files = true, .model_only = true};
    Recipe *recipe = recipe_build(&s.c, s.file, finetune, &options);
    if (recipe == NULL) {
        print_diags(sys, s.arena, line, &s.c.diags);
        return diags_exit(&s.c.diags);
    }
    Buf out = buf_new(s.arena);
    Table *table = keys_table(s.arena);
    for (size_t i = 0; i < recipe->model->variables.len; i++) {
        const Variable *v = recipe->model->variables.at[i];
        add_row(line, table, &out, v->key, dtype_name(v->dtype), v->rank, v->dims,
                v->is_state ? "state" : "param");
    }
    if (!line->json) {
        table_print(table, "", &out);
    }
    return out_finish(sys, &out, HONE_OK);
}

int command_keys(HoneSys *sys, Mem *mem, const CommandLine *line)
{
    if (line->args.len > 0 && !str_ends(line->args.at[0], STR(".hone"))) {
        return keys_of_file(sys, arena_new(mem, "keys"), line);
    }
    return keys_of_recipe(sys, mem, line);
}
