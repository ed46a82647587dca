/* `penalty(p, p0) in SELECTOR = expr`: a regulariser of each selected parameter by itself. Its
 * derivative joins the gradient after clipping and accumulation, as weight decay does, so that it
 * becomes part of the update's one pass. A third name is read per parameter from a file. */
#include "model/train.h"

#include <string.h>

typedef struct Penalty {
    Training *t;
    const Ast *clause;
    const Ast *names[3];
    Str key;              /* of the third name's tensor: PARAM + key */
    uint32_t load;        /* of the file; HONE_NONE: none */
    HoneFile *file;       /* NULL: not there, not checked */
} Penalty;

enum { SELECTOR, EXPRESSION, FROM, FIRST_NAME };

/* --- the file of the third name -------------------------------------------------------------- */
static bool fits(Penalty *p, const Variable *v)
{
    const HoneFileTensor *tensor =
        hone_file_find(p->file, str_c(p->t->b->c->arena, v->key));
    Span span = p->clause->kids[FROM]->span;
    bool same = tensor != NULL && tensor->rank == v->rank;
    for (size_t i = 0; same && i < v->rank; i++) {
        same = tensor->dims[i] == v->dims[i];
    }
    if (same) {
        return true;
    }
    Diag *d = diag(&p->t->b->c->diags, tensor == NULL ? E403 : E402, span,
                   tensor == NULL ? "the file has no tensor `" STR_FMT "`"
                                  : "`" STR_FMT "` has another shape in the file",
                   STR_ARG(v->key));
    diag_help(d, "`save \"FILE\" state NAME` writes such a file; narrow the penalty's selector to "
                 "what is in it");
    return false;
}

static void close_file(void *file)
{
    hone_file_close(file);
}

/* The same file is one load, whichever stages and penalties read it. */
static uint32_t find_load(RecipeBuild *b, Str path)
{
    for (size_t i = b->loads.len; i < b->r->loads.len; i++) {
        if (str_eq(str_of(b->r->loads.at[i].path), path)) {
            return (uint32_t)i;
        }
    }
    VEC_PUSH(b->c->arena, b->r->loads, (HoneLoad){.path = str_c(b->c->arena, path)});
    return (uint32_t)(b->r->loads.len - 1);
}

static bool open_file(Penalty *p)
{
    RecipeBuild *b = p->t->b;
    const Ast *from = p->clause->kids[FROM];
    Str path;
    if (from == NULL || !recipe_str(b, from, &path)) {
        return from == NULL;
    }
    p->load = find_load(b, path);
    HoneError error = {0};
    if (!b->unread) {
        p->file = hone_file_open(b->c->sys, str_c(b->c->arena, recipe_path(b, path)), &error);
    }
    if (p->file != NULL) {
        mem_on_release(b->c->mem, close_file, p->file);
        return true;
    }
    if (!b->unread && (!b->without_files || !recipe_missing(&error))) {
        recipe_file_error(b, &error, from->span);
        return false;
    }
    if (!b->r->loads.at[p->load].absent && !b->silent) {
        Diag *d = diag(&b->c->diags, N521, from->span, "this file cannot be read: not checked");
        diag_label(d, "%s", error.message);
    }
    b->r->loads.at[p->load].absent = true;
    return true;
}

static NodeId extra_leaf(Penalty *p, const Variable *v)
{
    RecipeState state = state_like(p->t, v, HONE_INITIAL, p->key);
    LoadedTensor *from = NEW(p->t->b->c->arena, LoadedTensor);
    *from = (LoadedTensor){.load = p->load, .key = v->key};
    state.from = from;
    return state_leaf(p->t, &state, p->key, v->span);
}

/* --- one parameter --------------------------------------------------------------------------- */
/* The leaf of the update's graph that a leaf of the penalty's graph stands for. */
static NodeId same_leaf(Training *t, const Node *leaf)
{
    for (size_t i = 0; i < t->graph->nodes.len; i++) {
        const Node *node = &t->graph->nodes.at[i];
        bool variable = leaf->kind == NODE_PARAM || leaf->kind == NODE_STATE;
        if (node->kind == leaf->kind && (variable ? node->variable == leaf->variable
                                                  : str_eq(node->name, leaf->name))) {
            return (NodeId)i;
        }
    }
    return NODE_NONE;
}

/* The penalty of one parameter as a graph of its own; NODE_NONE after a diagnostic. */
static NodeId value_node(Penalty *p, Elab *e, const Variable *v, const NodeId *leaves, size_t n)
{
    RecipeBuild *b = p->t->b;
    const Ast *expr = p->clause->kids[EXPRESSION];
    Scope *scope = scope_new(b->c->arena, layers_scope(b, b->scope, v->index), b->file, NULL);
    for (size_t i = 0; i < n; i++) {
        scope_set(scope, p->names[i]->text,
                  array_of_node(e, leaves[i], CLOCK_TENSOR, p->names[i]->span), p->names[i]->span);
    }
    Value value = elab_expr(e, scope, expr);
    if (value.kind == VALUE_POISON) {
        return NODE_NONE;
    }
    if (value.kind == VALUE_TENSOR && value.array->rank == 0 && value.clock == CLOCK_TENSOR &&
        dtype_is_float(value.array->dtype)) {
        return node_as(e->graph, value.node, DT_F32, STR("penalty"));
    }
    Diag *d = diag(&b->c->diags, E106, expr->span, "a penalty is one number made of `" STR_FMT "`",
                   STR_ARG(p->names[0]->text));
    if (value.kind == VALUE_TENSOR && value.array->rank > 0) {
        Str dims = dims_text(b->c->arena, value.array->rank, value.array->dims);
        diag_label(d, "this has shape " STR_FMT, STR_ARG(dims));
        diag_help(d, "reduce it: `sum(…)`, `mean(…)`");
    } else {
        diag_label(d, "this is %s", value_kind_name(&value));
        diag_help(d, "for instance `0.01 * sumsq(p - p0)`");
    }
    return NODE_NONE;
}

/* A penalty of one parameter moves no other that trains: that would have to be part of the loss. */
static bool of_one(const Penalty *p, const Graph *whole, const Variable *v)
{
    const Model *model = p->t->b->r->model;
    for (size_t i = 0; i < whole->outputs.len; i++) {
        const Output *out = &whole->outputs.at[i];
        uint32_t of = out->kind == OUT_GRAD ? graph_node(whole, out->target)->variable : v->index;
        if (of == v->index || graph_node(whole, out->value)->kind == NODE_CONSTANT) {
            continue;
        }
        Diag *d = diag(&p->t->b->c->diags, E106, p->clause->kids[EXPRESSION]->span,
                       "a penalty is of one parameter by itself");
        diag_label(d, "this one of `" STR_FMT "` would also move `" STR_FMT "`", STR_ARG(v->key),
                   STR_ARG(model->variables.at[of]->key));
        diag_help(d, "add what couples parameters to the loss, or say `stop(…)`");
        return false;
    }
    return true;
}

static bool penalise(Penalty *p, const Variable *v)
{
    Training *t = p->t;
    Arena *arena = t->b->c->arena;
    Graph *g = graph_new(arena);
    Elab *e = elab_new(t->b->c, t->b->r->model, g, true, t->stage->trainable);
    NodeId leaves[3], outer[3] = {variable_leaf(t, v), NODE_NONE, NODE_NONE};
    size_t n = p->clause->n - FIRST_NAME;
    if (n > 1 && ast_reads(p->clause->kids[EXPRESSION], p->names[1]->text)) {
        outer[1] = initial_leaf(t, v);
    }
    if (n > 2) {
        outer[2] = extra_leaf(p, v);
    }
    leaves[0] = e->variable_nodes[v->index] =
        graph_leaf(g, NODE_PARAM, v->dtype, v->rank, v->dims, v->key, v->index, v->span);
    for (size_t i = 1; i < n; i++) {
        leaves[i] = graph_leaf(g, NODE_STATE, v->dtype, v->rank, v->dims, p->names[i]->text,
                               HONE_NONE, v->span);
    }
    NodeId value = value_node(p, e, v, leaves, n);
    if (value == NODE_NONE) {
        return false;
    }
    graph_output(g, OUT_LOSS, STR("penalty"), value, NODE_NONE);
    VEC(NodeId) wrt = {0};
    VEC_PUSH(arena, wrt, leaves[0]);
    for (size_t i = 0; i < t->b->r->model->variables.len; i++) {
        const Variable *other = t->b->r->model->variables.at[i];
        NodeId leaf = other == v || other->is_state ? NODE_NONE : e->variable_nodes[i];
        t->b->read[i] = t->b->read[i] || leaf != NODE_NONE;
        if (leaf != NODE_NONE && t->stage->trainable[i]) {
            VEC_PUSH(arena, wrt, leaf);
        }
    }
    Graph *whole = pass_autodiff(arena, g, wrt.len, wrt.at);
    if (!of_one(p, whole, v)) {
        return false;
    }
    NodeId *map = NEW_ARRAY(arena, NodeId, whole->nodes.len + 1), grad = NODE_NONE;
    for (size_t i = 0; i < whole->nodes.len; i++) {
        const Node *node = &whole->nodes.at[i];
        bool leaf = node->kind == NODE_PARAM || node->kind == NODE_STATE || node->kind == NODE_STEP;
        map[i] = leaf ? same_leaf(t, node) : NODE_NONE;
    }
    for (size_t i = 0; i < n; i++) {
        map[leaves[i]] = outer[i];
    }
    for (size_t i = 0; i < whole->outputs.len; i++) {
        const Output *out = &whole->outputs.at[i];
        grad = out->kind == OUT_GRAD && out->target == leaves[0] ? out->value : grad;
    }
    const Node *node = graph_node(t->graph, t->grads[v->index]);
    t->grads[v->index] = node_sum(t->graph, node->dtype, t->grads[v->index],
                                  graph_import(t->graph, whole, grad, map), node->span);
    return true;
}

/* --- the clause ------------------------------------------------------------------------------ */
static bool check_names(Penalty *p)
{
    RecipeBuild *b = p->t->b;
    size_t n = p->clause->n - FIRST_NAME;
    const Ast *from = p->clause->kids[FROM];
    for (size_t i = 0; i < n && i < 3; i++) {
        p->names[i] = p->clause->kids[FIRST_NAME + i];
        for (size_t k = 0; k < i; k++) {
            if (str_eq(p->names[i]->text, p->names[k]->text)) {
                diag(&b->c->diags, E102, p->names[i]->span, "this name stands twice");
                return false;
            }
        }
    }
    if (n < 2 || n > 3) {
        Diag *d = diag(&b->c->diags, E107, p->clause->name, "`penalty` has %zu name%s", n,
                       n == 1 ? "" : "s");
        diag_help(d, "write `penalty(p, p0) in …`: the parameter and its value after `load`; a third "
                     "name is read from a file, `penalty(p, p0, f) in … from \"file\"`");
        return false;
    }
    if ((n == 3) != (from != NULL)) {
        Diag *d = diag(&b->c->diags, n == 3 ? E104 : E107, n == 3 ? p->names[2]->span : from->span,
                       n == 3 ? "where does `" STR_FMT "` come from?" : "nothing is read from this"
                       " file" STR_FMT, STR_ARG((n == 3 ? p->names[2]->text : STR(""))));
        diag_help(d, "a third name and `from` belong together: `penalty(p, p0, f) in \"**\" from "
                     "\"fisher.safetensors\" = …`");
        return false;
    }
    return true;
}

static bool apply(Training *t, const Ast *clause)
{
    RecipeBuild *b = t->b;
    const Model *model = b->r->model;
    Penalty penalty = {.t = t, .clause = clause, .load = HONE_NONE}, *p = &penalty;
    bool *selected = NEW_ARRAY(b->c->arena, bool, model->variables.len + 1), any = false;
    if (!check_names(p) || !open_file(p) ||
        !select_variables(b, clause->kids[SELECTOR], SELECT_PARAMETERS, (Str){0}, selected)) {
        return false;
    }
    p->key = p->load == HONE_NONE ? (Str){0} : str_format(b->c->arena, ":=from%u", p->load);
    for (size_t i = 0; i < model->variables.len; i++) {
        const Variable *v = model->variables.at[i];
        bool trains = selected[i] && t->stage->trainable[i];
        any = any || trains;
        if (trains && p->file != NULL && !fits(p, v)) {
            return false;
        }
        if (!trains || t->grads[i] == NODE_NONE) {
            continue;
        }
        if (!penalise(p, v)) {
            return false; /* the others would say the same */
        }
        VEC_PUSH(b->c->arena, t->stage->uses[i].penalties, clause);
    }
    if (any) {
        VEC_PUSH(b->c->arena, b->effective, clause);
    }
    return true;
}

bool train_penalties(Training *t, const Ast *clause)
{
    bool ok = true, own = false;
    for (size_t i = 0; clause != NULL && i < clause->kids[0]->n; i++) {
        if (clause->kids[0]->kids[i]->kind == AST_PENALTY) {
            own = true;
            ok = apply(t, clause->kids[0]->kids[i]) && ok;
        }
    }
    for (size_t i = 0; !own && i < t->b->penalties.len; i++) {
        ok = apply(t, t->b->penalties.at[i]) && ok;
    }
    return ok;
}

static void check_effect(RecipeBuild *b, const Ast *clause)
{
    for (size_t i = 0; i < b->effective.len; i++) {
        if (b->effective.at[i] == clause) {
            return;
        }
    }
    Diag *d = diag(&b->c->diags, W505, clause->name, "this `penalty` has no effect");
    diag_label(d, "all it selects is frozen, or another penalty stands in its place");
}

void penalties_unused(RecipeBuild *b)
{
    for (size_t i = 0; i < b->penalties.len; i++) {
        check_effect(b, b->penalties.at[i]);
    }
    for (size_t i = 0; i < b->stages.len; i++) {
        const Ast *stage = b->stages.at[i].ast;
        bool again = i > 0 && b->stages.at[i - 1].ast == stage;
        for (size_t k = 0; stage != NULL && !again && k < stage->kids[0]->n; k++) {
            if (stage->kids[0]->kids[k]->kind == AST_PENALTY) {
                check_effect(b, stage->kids[0]->kids[k]);
            }
        }
    }
}
