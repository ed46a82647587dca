/* hone grad-check: the gradient of every trained parameter against finite differences of the loss, in
 * the double-precision interpreter. */
#include <math.h>

#include "commands/session.h"
#include "passes/passes.h"

static const double tolerance = 1e-5;      /* of the gradient's length */
static const double max_points = 4e10;     /* some minutes */

static bool agrees(const GradRow *row)
{
    return row->error <= tolerance;
}

static void print_rows(const Session *s, const GradCheck *check, Buf *out)
{
    static const char *const names[] = {"parameter", "shape", ">gradient", ">error", ""};
    Table *table = table_new(s->arena, 5, names);
    for (size_t i = 0; i < check->n_wrt; i++) {
        const GradRow *row = &check->rows[i];
        const Node *node = graph_node(check->graph, row->param);
        if (s->line->json) {
            buf_add(out, STR("{\"parameter\": "));
            json_string(out, node->name);
            buf_add(out, STR(", \"gradient\": "));
            json_number(out, row->norm);
            buf_add(out, STR(", \"error\": "));
            json_number(out, row->error);
            buf_printf(out, ", \"agrees\": %s}\n", agrees(row) ? "true" : "false");
            continue;
        }
        table_cell(table, STR_FMT, STR_ARG(node->name));
        table_cell(table, STR_FMT, STR_ARG(dims_list(s->arena, node->rank, node->dims)));
        table_cell(table, "%.3g", row->norm);
        table_cell(table, "%.1e", row->error);
        table_cell(table, "%s", agrees(row) ? "" : "differs");
    }
    if (!s->line->json) {
        table_print(table, "  ", out);
    }
}

static int report(Session *s, const char *title, const GradCheck *check)
{
    Buf out = buf_new(s->arena);
    size_t wrong = 0;
    for (size_t i = 0; i < check->n_wrt; i++) {
        wrong += !agrees(&check->rows[i]);
    }
    if (!s->line->json) {
        buf_printf(&out, "%s · loss %.6g\n", title, check->loss);
    }
    print_rows(s, check, &out);
    if (!s->line->json) {
        buf_printf(&out, "%zu gradients, %zu differ from finite differences by more than %.0e\n",
                   check->n_wrt, wrong, tolerance);
    }
    return out_finish(s->sys, &out, wrong == 0 ? HONE_OK : HONE_INTERNAL);
}

/* The loss of a training graph alone: its gradients are taken anew. */
static Graph *loss_alone(Arena *arena, const Graph *train)
{
    Graph *graph = graph_new(arena);
    NodeId *map = NEW_ARRAY(arena, NodeId, train->nodes.len + 1);
    for (size_t i = 0; i < train->nodes.len; i++) {
        map[i] = NODE_NONE;
    }
    for (size_t i = 0; i < train->outputs.len; i++) {
        const Output *output = &train->outputs.at[i];
        if (output->kind == OUT_LOSS) {
            graph_output(graph, OUT_LOSS, output->name,
                         graph_import(graph, train, output->value, map), NODE_NONE);
        }
    }
    return graph;
}

static int check_stage(Session *s, const Recipe *recipe, const RecipeStage *stage)
{
    GradCheck check = {.seed = recipe->seed, .max_points = max_points};
    check.graph = loss_alone(s->arena, stage->train);
    NodeId *wrt = NEW_ARRAY(s->arena, NodeId, check.graph->nodes.len + 1);
    for (NodeId id = 0; id < check.graph->nodes.len; id++) {
        const Node *node = graph_node(check.graph, id);
        if (node->kind == NODE_PARAM && stage->trainable[node->variable]) {
            wrt[check.n_wrt++] = id;
        }
    }
    check.wrt = wrt;
    const char *problem = grad_check(s->arena, &check);
    if (problem != NULL) {
        s->c.diags = diags_new(s->arena, &s->c.sources);       /* the others were printed */
        Diag *d = diag(&s->c.diags, E711, stage->span, "the gradients cannot be checked: %s",
                       problem);
        diag_help(d, "make the batch and the sizes of this recipe options, and give small ones, "
                  "`--batch 2 --size 16`");
        print_diags(s->sys, s->arena, s->line, &s->c.diags);
        return HONE_USAGE;
    }
    Str title = str_format(s->arena, STR_FMT " · stage " STR_FMT, STR_ARG(recipe->name),
                           STR_ARG(stage->name));
    return report(s, title.ptr, &check);
}

static int check_recipe(Session *s, const Ast *finetune)
{
    Recipe *recipe = session_recipe(s, finetune, true);
    if (recipe == NULL) {
        return HONE_USAGE;
    }
    int worst = HONE_OK;
    for (size_t i = 0; i < recipe->stages.len && worst != HONE_USAGE; i++) {
        const RecipeStage *stage = &recipe->stages.at[i];
        if (stage->train == NULL) {
            return usage_error(s->sys, s->arena, s->line,
                               "the fields of this recipe's data are not known without its files");
        }
        int exit = check_stage(s, recipe, stage);
        worst = exit == HONE_OK ? worst : exit;
    }
    return worst;
}

int command_grad_check(HoneSys *sys, Mem *mem, const CommandLine *line)
{
    Session s;
    int exit = HONE_OK;
    if (!session_open(&s, sys, mem, line, &exit) || session_only(&s, &exit) == NULL) {
        return exit;
    }
    for (size_t i = 0; i < s.finetunes.len && exit == HONE_OK; i++) {
        exit = check_recipe(&s, s.finetunes.at[i]);
    }
    return exit;
}
