/* hone grad-check: the gradient of every trained parameter against finite differences of the loss, in
 * the double-precision interpreter. For a library: of every function and module by everything real
 * that it reads, at small sizes; and whether the first step of every update rule goes down. */
#include <math.h>

#include "commands/session.h"
#include "passes/passes.h"

static const double tolerance = 1e-5;      /* of the gradient's length */
static const double max_points = 4e10;     /* some minutes */
static const int64_t most_batch = 2;       /* samples: gradients are as wrong with two as with many */
static const double max_item_points = 1e9; /* of one item of a library: seconds */

static bool chosen(const Session *s, Str name)
{
    bool found = s->line->args.len == 1;
    for (size_t i = 1; i < s->line->args.len; i++) {
        found = found || str_eq(s->line->args.at[i], name);
    }
    return found;
}

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
    size_t wrong = 0, flat = 0;
    for (size_t i = 0; i < check->n_wrt; i++) {
        wrong += !agrees(&check->rows[i]);
        flat += check->rows[i].norm == 0;
    }
    if (!s->line->json) {
        buf_printf(&out, "%s · loss %.6g\n", title, check->loss);
    }
    print_rows(s, check, &out);
    if (!s->line->json) {
        buf_printf(&out, "%zu gradients, %zu differ from finite differences by more than %.0e\n",
                   check->n_wrt, wrong, tolerance);
    }
    if (!s->line->json && flat > 0) {
        buf_printf(&out, "%zu of them %s 0 at the values that were made up, and so not checked\n", flat,
                   flat == 1 ? "is" : "are");
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

/* The batch's whole numbers, which are made up as well; empty: there are none. */
static Str whole_fields(Arena *arena, const Graph *graph)
{
    Str names = {0};
    for (NodeId id = 0; id < graph->nodes.len; id++) {
        const Node *node = graph_node(graph, id);
        if (node->kind == NODE_INPUT && !dtype_is_float(node->dtype)) {
            names = str_join(arena, names, ", ", str_format(arena, "`" STR_FMT "`", STR_ARG(node->name)));
        }
    }
    return names;
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
        Str whole = isfinite(check.loss) ? STR("") : whole_fields(s->arena, check.graph);
        if (whole.len > 0) {
            diag_help(d, "whole numbers of the batch were made up too, " STR_FMT ": they may be larger than 1, "
                      "or leave out every sample", STR_ARG(whole));
        } else {
            diag_help(d, "make the batch and the sizes of this recipe options, and give small ones, "
                      "`--batch 2 --size 16`");
        }
        print_diags(s->sys, s->arena, s->line, &s->c.diags);
        return HONE_USAGE;
    }
    Str title = str_format(s->arena, STR_FMT " · stage " STR_FMT, STR_ARG(recipe->name),
                           STR_ARG(stage->name));
    return report(s, title.ptr, &check);
}

static int check_recipe(Session *s, const Ast *finetune)
{
    RecipeOptions options = {.without_files = true, .most_batch = most_batch};
    Recipe *recipe = session_recipe(s, finetune, &options);
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

/* --- libraries ------------------------------------------------------------------------------------ */
typedef struct Library {
    Session *s;
    Table *table;
    Buf lines;                       /* JSON */
    size_t checked, refused, wrong;
    Table *steps;                    /* of update rules */
    size_t rules, climbing;
} Library;

/* Real inputs become parameters: gradients are by those. */
static NodeId copy_leaf(Graph *to, const Node *node, NodeId id)
{
    NodeKind kind = node->kind == NODE_INPUT && dtype_is_float(node->dtype) ? NODE_PARAM
                                                                            : node->kind;
    return graph_leaf(to, kind, node->dtype, node->rank, node->dims, node->name, id, node->span);
}

/* sum of c * y over all elements, c different for each: no gradient cancels. */
static const Scalar *weighted_sum(Graph *g, NodeId id)
{
    Node node = *graph_node(g, id);
    const Var *vars[MAX_RANK];
    const Position *at[MAX_RANK], *flat = pos_const(g->pool, 0);
    for (size_t k = 0; k < node.rank; k++) {
        vars[k] = var_new(g->pool, node.dims[k], STR("i"));
        at[k] = pos_var(g->pool, vars[k]);
        flat = pos_add(g->pool, pos_scale(g->pool, flat, node.dims[k]), at[k]);
    }
    const Scalar *index = sc_cast(g->pool, DT_F32, sc_index(g->pool, flat));
    const Scalar *weight = sc_fn1(g->pool, OP_SIN, sc_fn2(g->pool, OP_ADD, index,
                                                         sc_const(g->pool, DT_F32, 1)));
    const Scalar *y = sc_cast(g->pool, DT_F32, graph_read(g, id, at, NULL));
    NodeId sum = graph_define(g, DT_F32, node.rank > 0 ? REDUCE_SUM : REDUCE_NONE, 0, NULL,
                              node.rank, vars, sc_fn2(g->pool, OP_MUL, weight, y), STR("sum"),
                              node.span);
    return graph_read0(g, sum);
}

/* The graph with a loss made of its real results; NULL: there are none. */
static Graph *with_loss(Arena *arena, const Graph *graph, size_t n, const NodeId *results)
{
    Graph *to = graph_new(arena);
    NodeId *map = NEW_ARRAY(arena, NodeId, graph->nodes.len + 1);
    for (NodeId id = 0; id < graph->nodes.len; id++) {
        const Node *node = graph_node(graph, id);
        bool leaf = node->kind == NODE_INPUT || node->kind == NODE_PARAM;
        map[id] = leaf ? copy_leaf(to, node, id) : NODE_NONE;
    }
    const Scalar *loss = NULL;
    for (size_t i = 0; i < n; i++) {
        if (dtype_is_float(graph_node(graph, results[i])->dtype)) {
            const Scalar *part = weighted_sum(to, graph_import(to, graph, results[i], map));
            loss = loss == NULL ? part : sc_fn2(to->pool, OP_ADD, loss, part);
        }
    }
    if (loss != NULL) {
        NodeId node = graph_define(to, DT_F32, REDUCE_NONE, 0, NULL, 0, NULL, loss, STR("loss"),
                                   (Span){0});
        graph_output(to, OUT_LOSS, STR("loss"), node, NODE_NONE);
    }
    return loss == NULL ? NULL : to;
}

static void add_row(Library *library, Str name, const char *tensor, const GradRow *row,
                    const char *problem)
{
    bool differs = row != NULL && !agrees(row);
    library->wrong += differs;
    if (!library->s->line->json) {
        table_cell(library->table, STR_FMT, STR_ARG(name));
        table_cell(library->table, "%s", tensor);
        Arena *arena = library->s->arena;
        Str norm = row != NULL ? str_format(arena, "%.3g", row->norm) : STR("");
        Str error = row != NULL ? str_format(arena, "%.1e", row->error) : STR("");
        table_cell(library->table, STR_FMT, STR_ARG(norm));
        table_cell(library->table, STR_FMT, STR_ARG(error));
        table_cell(library->table, "%s", differs ? "differs" : problem != NULL ? problem : "");
        return;
    }
    Buf *out = &library->lines;
    buf_add(out, STR("{\"item\": "));
    json_string(out, name);
    buf_add(out, STR(", \"tensor\": "));
    json_string(out, str_of(tensor));
    if (row != NULL) {
        buf_add(out, STR(", \"gradient\": "));
        json_number(out, row->norm);
        buf_add(out, STR(", \"error\": "));
        json_number(out, row->error);
        buf_printf(out, ", \"agrees\": %s", differs ? "false" : "true");
    }
    if (problem != NULL) {
        buf_add(out, STR(", \"problem\": "));
        json_string(out, str_of(problem));
    }
    buf_add(out, STR("}\n"));
}

static void check_item(void *context, Str name, const Graph *graph, size_t n,
                       const NodeId *results)
{
    Library *library = context;
    Arena *arena = library->s->arena;
    const Graph *loss = chosen(library->s, name) ? with_loss(arena, graph, n, results) : NULL;
    if (loss == NULL) {
        return;
    }
    GradCheck check = {.graph = loss, .seed = 1, .max_points = max_item_points};
    NodeId *wrt = NEW_ARRAY(arena, NodeId, loss->nodes.len + 1);
    for (NodeId id = 0; id < loss->nodes.len; id++) {
        if (graph_node(loss, id)->kind == NODE_PARAM) {
            wrt[check.n_wrt++] = id;
        }
    }
    if (check.n_wrt == 0) {
        return;
    }
    check.wrt = wrt;
    const char *problem = grad_check(arena, &check);
    library->checked += problem == NULL;
    if (problem != NULL) {
        library->refused++;
        add_row(library, name, "", NULL, problem);
        return;
    }
    for (size_t i = 0; i < check.n_wrt; i++) {
        const GradRow *row = &check.rows[i];
        add_row(library, name, str_c(arena, graph_node(loss, row->param)->name), row, NULL);
    }
}

/* --- update rules --------------------------------------------------------------------------------- */
/* Values for a rule's leaves: g, p at a right angle to it (decay is no descent), t = 1, fresh states. */
static void fill_rule(Arena *arena, const LibraryRule *rule, double **values)
{
    const Graph *g = rule->graph;
    int64_t n = node_elements(graph_node(g, rule->p));
    double *p = NEW_ARRAY(arena, double, (size_t)n), *slope = NEW_ARRAY(arena, double, (size_t)n);
    double across = 0, square = 0;
    for (int64_t i = 0; i < n; i++) {
        p[i] = sin(2.0 + 1.7 * (double)i);
        slope[i] = cos(1.0 + 2.3 * (double)i);
        across += p[i] * slope[i];
        square += slope[i] * slope[i];
    }
    for (int64_t i = 0; i < n; i++) {
        p[i] -= across / square * slope[i];
    }
    values[rule->p] = values[rule->p0] = p;
    values[rule->g] = slope;
    values[rule->t] = NEW_ARRAY(arena, double, 1);
    values[rule->t][0] = 1;
    for (size_t k = 0; k < rule->n; k++) {
        const Node *node = graph_node(g, rule->states[k]);
        int64_t elements = node_elements(node);
        int64_t every = rule->first[k].kind == HONE_INIT_EYE ? node->dims[1] + 1 : 1;
        double *state = values[rule->states[k]] = NEW_ARRAY(arena, double, (size_t)elements);
        for (int64_t i = 0; i < elements; i += every) {
            state[i] = rule->first[k].a;
        }
    }
}

static void check_rule(void *context, const LibraryRule *rule)
{
    Library *library = context;
    Arena *arena = library->s->arena;
    if (!chosen(library->s, rule->name)) {
        return;
    }
    Interp interp = {.graph = rule->graph, .arena = arena};
    interp.values = NEW_ARRAY(arena, double *, rule->graph->nodes.len);
    fill_rule(arena, rule, interp.values);
    if (!interp_run(&interp)) {
        return;
    }
    const Node *node = graph_node(rule->graph, rule->p);
    const double *p = interp.values[rule->p], *g = interp.values[rule->g];
    double step = 0, slope = 0, down = 0;
    for (int64_t i = 0; i < node_elements(node); i++) {
        double d = interp.values[rule->next][i] - p[i];
        step += d * d;
        slope += g[i] * g[i];
        down -= d * g[i];
    }
    double cosine = step > 0 ? down / sqrt(step * slope) : 0;
    bool good = isfinite(step) && cosine >= 0;
    library->rules++;
    library->climbing += !good;
    if (library->s->line->json) {
        Buf *out = &library->lines;
        buf_add(out, STR("{\"rule\": "));
        json_string(out, rule->name);
        buf_printf(out, ", \"rank\": %zu, \"step\": ", node->rank);
        json_number(out, sqrt(step));
        buf_add(out, STR(", \"down\": "));
        json_number(out, cosine);
        buf_printf(out, ", \"agrees\": %s}\n", good ? "true" : "false");
        return;
    }
    table_cell(library->steps, STR_FMT, STR_ARG(rule->name));
    table_cell(library->steps, STR_FMT, STR_ARG(dims_list(arena, node->rank, node->dims)));
    table_cell(library->steps, "%.3g", sqrt(step));
    table_cell(library->steps, "%.2f", cosine);
    table_cell(library->steps, "%s", good ? step > 0 ? "" : "stays" : "does not go down");
}

static int check_library(Session *s)
{
    static const char *const names[] = {"item", "by", ">gradient", ">error", ""};
    static const char *const steps[] = {"rule", "parameter", ">first step", ">cos to -g", ""};
    Library library = {.s = s, .table = table_new(s->arena, 5, names), .lines = buf_new(s->arena),
                       .steps = table_new(s->arena, 5, steps)};
    library_visit(&s->c, s->file, check_item, check_rule, &library);
    if (library.checked + library.refused + library.rules == 0) {
        return usage_error(s->sys, s->arena, s->line,
                           "nothing in " STR_FMT " has a gradient: no function or module of tensors "
                           "that fits made-up sizes, and no update rule",
                           STR_ARG(s->c.root_path));
    }
    Buf *out = &library.lines;
    if (!s->line->json && library.checked + library.refused > 0) {
        table_print(library.table, "  ", out);
        buf_printf(out, "%zu items checked, %zu not; %zu gradients differ from finite differences by "
                   "more than %.0e\n", library.checked, library.refused, library.wrong, tolerance);
    }
    if (!s->line->json && library.rules > 0) {
        table_print(library.steps, "  ", out);
        buf_printf(out, "%zu first steps of update rules, %zu do not go down\n", library.rules,
                   library.climbing);
    }
    bool good = library.wrong + library.climbing == 0;
    return out_finish(s->sys, out, good ? HONE_OK : HONE_INTERNAL);
}

int command_grad_check(HoneSys *sys, Mem *mem, const CommandLine *line)
{
    Session s;
    int exit = HONE_OK;
    if (!session_open(&s, sys, mem, line, &exit)) {
        return exit;
    }
    if (s.finetunes.len == 0) {
        return check_library(&s);
    }
    size_t met = 0;
    for (size_t i = 0; i < s.finetunes.len && exit == HONE_OK; i++) {
        if (chosen(&s, s.finetunes.at[i]->text)) {
            exit = check_recipe(&s, s.finetunes.at[i]);
            met++;
        }
    }
    bool rules = false;
    for (size_t i = 1; i < line->args.len && met == 0; i++) {
        rules = rules || file_item(s.file, AST_OPTIMIZER, line->args.at[i]) != NULL;
    }
    if (rules) {
        return check_library(&s);                    /* chosen by name beside recipes */
    }
    return met > 0 ? exit
                   : usage_error(sys, s.arena, line, STR_FMT " has no such finetune item",
                                 STR_ARG(s.c.root_path));
}
