/* check: files without `finetune` (libraries). Sizes are not known there, so every definition is
 * elaborated with samples of them: all sizes equal, sizes that differ, and, if both report something,
 * equal sizes of many lengths, which some of the ints have too. What all report is wrong for every value;
 * anything else depends on the arguments and is left to the instance. Most definitions have nothing to
 * report and do not ask for `training`: one sample of them is enough, and its memory goes on to the next. */
#include "model/internal.h"

enum { DIFFERENT = 0, EQUAL = 48 }; /* a sample's sizes: they differ, or all are so long */
enum { ENOUGH = 100 };              /* diagnostics of a file, after which no more are looked for */

typedef struct Check {
    Compiler *c;
    File *file;
    int64_t equal; /* DIFFERENT, or the size of all */
    bool second;   /* of two sets of numbers: 2, 0.25, true; else 1, 0.5, false */
    bool training;
    int64_t sizes; /* given to dims so far */
    size_t turn, ints; /* turn > 0: every other int, the odd or the even ones, is `equal`; given so far */
    LibraryVisit *visit; /* NULL: only checking; else sizes are small and results handed over */
    LibraryRuleVisit *rule;
    void *context;
} Check;

static int64_t next_size(Check *check)
{
    static const int64_t different[] = {48, 60, 36, 72, 24, 84, 96, 30};
    static const int64_t small[] = {4, 6, 2, 8};
    enum { N = sizeof different / sizeof *different };
    if (check->visit != NULL) {
        return small[check->sizes++ % 4];
    }
    return check->equal != DIFFERENT ? check->equal : different[check->sizes++ % N];
}

/* --- arguments of the host: ints, floats, bools ---------------------------------------------- */
static Ast *literal(Check *check, AstKind kind, Span span)
{
    Ast *ast = NEW(check->c->arena, Ast);
    *ast = (Ast){.kind = kind, .depth = 1, .span = span, .name = span};
    return ast;
}

static Str host_type(const Ast *param)
{
    if (param->kids[0] != NULL) {
        return param->kids[0]->kind == AST_TYPE_SCALAR ? param->kids[0]->text : STR("");
    }
    if (param->kids[1] == NULL) {
        return STR("int");
    }
    return param->kids[1]->kind == AST_BOOL ? STR("bool") : STR("default");
}

/* The sample's value as an expression; NULL: the default stands. *known: there is one at all. */
static Ast *host_value(Check *check, const Ast *param, bool *known)
{
    Str type = host_type(param);
    *known = true;
    if (str_is(type, "bool") && (check->visit == NULL || param->kids[1] == NULL)) {
        Ast *ast = literal(check, AST_BOOL, param->span);
        ast->ival = check->second;
        return ast;
    }
    if (param->kids[1] != NULL) {
        return NULL;
    }
    if (str_is(type, "int")) {
        Ast *ast = literal(check, AST_INT, param->span);
        bool long_too = check->turn > 0 && (check->ints++ + check->turn) % 2 == 0;
        ast->ival = long_too ? check->equal : check->second ? 2 : 1;
        return ast;
    }
    if (str_is(type, "float")) {
        Ast *ast = literal(check, AST_FLOAT, param->span);
        ast->fval = check->second ? 0.25 : 0.5;
        return ast;
    }
    *known = false;
    return NULL;
}

static Ast *named(Check *check, const Ast *param, Ast *value)
{
    Ast *ast = literal(check, AST_NAMED, param->span);
    ast->text = param->text;
    ast->n = 1;
    ast->kids = NEW_ARRAY(check->c->arena, Ast *, 1);
    ast->kids[0] = value;
    return ast;
}

/* Name(a = 1, …) with a value for every parameter that needs one; NULL: one cannot be made up. */
static Ast *sample_call(Check *check, const Ast *item)
{
    const Ast *params = item->kids[0];
    Ast *call = literal(check, AST_CALL, item->name);
    call->kids = NEW_ARRAY(check->c->arena, Ast *, params->n + 1);
    call->kids[call->n++] = literal(check, AST_NAME, item->name);
    call->kids[0]->text = item->text;
    for (size_t i = 0; i < params->n; i++) {
        bool known;
        Ast *value = host_value(check, params->kids[i], &known);
        if (!known) {
            return NULL;
        }
        if (value != NULL) {
            call->kids[call->n++] = named(check, params->kids[i], value);
        }
    }
    return call;
}

/* --- tensors --------------------------------------------------------------------------------- */
static bool sample_dims(Check *check, Elab *e, Scope *scope, const Ast *type, size_t *rank,
                        int64_t *dims)
{
    int64_t elements = 1;
    for (size_t i = 0; i < type->n; i++) {
        const Ast *dim = type->kids[i];
        bool rest = dim->kind == AST_ELLIPSIS,
             any = dim->kind == AST_NAME && str_is(dim->text, "_");
        if (*rank == MAX_RANK) {
            return false;
        }
        int64_t *size = &dims[(*rank)++];
        *size = next_size(check);
        if (rest) { /* one dimension, the same throughout the signature */
            const Binding *known = scope_find(scope, STR(".."));
            *size = known != NULL ? known->value.i : *size;
            scope_set(scope, STR(".."), value_int(*size), dim->span);
        } else if (!any && dim->kind == AST_NAME && scope_find(scope, dim->text) == NULL) {
            scope_set(scope, dim->text, value_int(*size), dim->span);
        } else if (!any && !elab_int(e, scope, dim, size)) {
            return false;
        }
        if (*size < 1 || !CHECKED_MUL(elements, *size, &elements)) {
            return false; /* these sizes do not suit; others may */
        }
    }
    return true;
}

static bool is_tensor(const Ast *param)
{
    const Ast *type = param->kids[0];
    static const char *const host[] = {"int", "float", "bool", "string", "module"};
    bool found = type == NULL;
    for (size_t i = 0; i < sizeof host / sizeof *host && !found; i++) {
        found = type->kind == AST_TYPE_SCALAR && str_is(type->text, host[i]);
    }
    return !found;
}

static bool sample_tensor(Check *check, Elab *e, Scope *scope, const Ast *param, Value *value)
{
    const Ast *type = param->kids[0];
    DType dtype;
    size_t rank = 0;
    int64_t dims[MAX_RANK];
    if (!type_dtype(e, type->text, type->span, &dtype) ||
        (type->kind == AST_TYPE_TENSOR && !sample_dims(check, e, scope, type, &rank, dims))) {
        return false;
    }
    NodeId node = graph_leaf(e->graph, NODE_INPUT, dtype, rank, dims, param->text, 0, param->span);
    *value = array_of_node(e, node, CLOCK_TENSOR, param->span);
    return true;
}

/* --- results ----------------------------------------------------------------------------------- */
static void result_nodes(Elab *e, const Value *value, Span span, size_t *n, NodeId *nodes)
{
    for (size_t i = 0; value->kind == VALUE_TUPLE && i < value->n; i++) {
        result_nodes(e, &value->items[i], span, n, nodes);
    }
    if (value->kind != VALUE_TENSOR || *n == LIBRARY_RESULTS) {
        return;
    }
    NodeId node = value->node;
    if (node == NODE_NONE) {
        Array a = *value->array;
        array_node(e, &a, (Str){0}, span);
        node = array_value(e, &a, value->clock, span).node;
    }
    if (node != NODE_NONE) {
        nodes[(*n)++] = node;
    }
}

static void hand_over(const Check *check, Elab *e, const Instance *self, const Ast *fn,
                      const Value *result)
{
    NodeId nodes[LIBRARY_RESULTS];
    size_t n = 0;
    Str name = fn->text;
    if (self != NULL) {
        bool forward = str_is(fn->text, "forward");
        name = forward ? self->module->text
                       : str_join(check->c->arena, self->module->text, ".", fn->text);
    }
    if (check->c->diags.errors == 0) {
        result_nodes(e, result, fn->span, &n, nodes);
    }
    if (check->c->diags.errors == 0) {
        check->visit(check->context, name, e->graph, n, nodes);
    }
}

/* What the sizes in messages about shapes stand for. */
static void note_sizes(Check *check, const Scope *dims, size_t before)
{
    Arena *arena = check->c->arena;
    Str sizes = {0};
    for (size_t i = 0; i < dims->names.len; i++) {
        const Binding *binding = dims->names.entries[i].value;
        Str name = dims->names.entries[i].key;
        if (binding->value.kind == VALUE_INT && !str_is(name, "..")) {
            Str one = str_format(arena, STR_FMT " = %lld", STR_ARG(name),
                                 (long long)binding->value.i);
            sizes = str_join(arena, sizes, ", ", one);
        }
    }
    for (size_t i = before; sizes.len > 0 && i < check->c->diags.list.len; i++) {
        Diag *d = check->c->diags.list.at[i];
        if (str_starts(str_of(diag_code_name(diag_code(d))), STR("E2"))) {
            diag_note(d, "checked with " STR_FMT "; it is so for other sizes too", STR_ARG(sizes));
        }
    }
}

/* --- definitions ----------------------------------------------------------------------------- */
static void check_function(Check *check, Model *model, Instance *self, const Ast *fn)
{
    Elab *e = elab_new(check->c, model, graph_new(check->c->arena), check->training, NULL);
    e->total_mode = TOTAL_IS_STATE;
    e->first_total = (uint32_t)model->variables.len;
    const Ast *params = fn->kids[0];
    Scope *given = scope_new(check->c->arena, NULL, check->file, NULL);
    Scope *dims = scope_new(check->c->arena, self != NULL ? self->scope : NULL, check->file, self);
    Ast **args = NEW_ARRAY(check->c->arena, Ast *, params->n + 1);
    size_t n = 0;
    for (int tensors = 0; tensors < 2; tensors++) { /* numbers first: dims may use them */
        for (size_t i = 0; i < params->n; i++) {
            const Ast *param = params->kids[i];
            if (is_tensor(param) != (tensors == 1)) {
                continue;
            }
            bool known;
            Ast *number = tensors ? NULL : host_value(check, param, &known);
            Value value = value_poison();
            if (!tensors && !known) {
                return;
            }
            if (!tensors) {
                const Ast *source = number != NULL ? number : param->kids[1];
                value = eval(e, dims, source);
                scope_set(dims, param->text, value, param->span);
            } else if (!sample_tensor(check, e, dims, param, &value)) {
                return;
            }
            if (tensors || number != NULL) {
                scope_set(given, param->text, value, param->span);
                Ast *name = literal(check, AST_NAME, param->span);
                name->text = param->text;
                args[n++] = named(check, param, name);
            }
        }
    }
    Meaning m = {
        .kind = MEANING_FN, .item = fn, .file = check->file, .self = self, .name = fn->text};
    const Ast nowhere = {.kind = AST_FN};
    size_t before = check->c->diags.list.len;
    Value result = call_function(e, &m, given, n, args, &nowhere);
    note_sizes(check, dims, before);
    if (check->visit != NULL) {
        hand_over(check, e, self, fn, &result);
    }
}

static void check_module(Check *check, const Ast *module)
{
    Ast *call = sample_call(check, module);
    if (call == NULL) {
        return;
    }
    Model *model = model_new(check->c);
    Scope *scope = scope_new(check->c->arena, NULL, check->file, NULL);
    Instance *in = model_instance(check->c, model, call, scope, (Str){0});
    for (size_t i = 0; in != NULL && i < module->kids[1]->n; i++) {
        if (module->kids[1]->kids[i]->kind == AST_FN) {
            check_function(check, model, in, module->kids[1]->kids[i]);
        }
    }
}

static void check_rank(Check *check, const Ast *optimizer, const Ast *call, size_t rank)
{
    Model *model = model_new(check->c);
    Variable v = {.key = STR("p"), .rank = rank, .dtype = DT_F32, .elements = 1};
    for (size_t i = 0; i < v.rank; i++) {
        v.dims[i] = next_size(check);
        v.elements *= v.dims[i];
    }
    Graph *g = graph_new(check->c->arena);
    Elab *e = elab_new(check->c, model, g, true, NULL);
    Scope *scope = scope_new(check->c->arena, NULL, check->file, NULL);
    OptimizerUse use;
    OptimizerState *list;
    size_t n;
    if (!optimizer_use(e, scope, call, &use) || !optimizer_fits(e, &use, &v) ||
        !optimizer_states(e, &use, &v, &n, &list)) {
        return;
    }
    Span at = optimizer->name;
    NodeId inputs[3];
    for (size_t i = 0; i < 3; i++) {
        inputs[i] = graph_leaf(g, NODE_PARAM, DT_F32, v.rank, v.dims, v.key, (uint32_t)i, at);
    }
    NodeId t = graph_leaf(g, NODE_STEP, DT_F64, 0, NULL, STR("t"), 0, at), next;
    NodeId *states = NEW_ARRAY(check->c->arena, NodeId, n + 1);
    NodeId *next_states = NEW_ARRAY(check->c->arena, NodeId, n + 1);
    for (size_t i = 0; i < n; i++) {
        states[i] = graph_leaf(g, NODE_STATE, list[i].dtype, list[i].rank, list[i].dims,
                               list[i].name, (uint32_t)(3 + i), at);
    }
    bool ok =
        optimizer_update(e, &use, &v, inputs[0], inputs[1], t, inputs[2], states, &next, next_states);
    if (!ok || check->rule == NULL || check->c->diags.errors > 0) {
        return;
    }
    Init *first = NEW_ARRAY(check->c->arena, Init, n + 1);
    for (size_t i = 0; i < n; i++) {
        first[i] = list[i].init;
    }
    const LibraryRule rule = {.name = optimizer->text, .graph = g, .p = inputs[0], .g = inputs[1],
                              .p0 = inputs[2], .t = t, .next = next, .n = n, .states = states,
                              .first = first};
    check->rule(check->context, &rule);
}

/* A rule may depend on the rank: all those that parameters have. */
static void check_optimizer(Check *check, const Ast *optimizer)
{
    Ast *call = sample_call(check, optimizer);
    size_t from = check->rule != NULL ? 1 : 0, to = check->rule != NULL ? 2 : 5;
    for (size_t rank = from; call != NULL && rank <= to; rank++) {
        check_rank(check, optimizer, call, rank);
    }
}

static void check_value(Check *check, const Ast *expr)
{
    Elab *e = elab_new(check->c, NULL, graph_new(check->c->arena), false, NULL);
    elab_expr(e, scope_new(check->c->arena, NULL, check->file, NULL), expr);
}

static void check_item(Check *check, const Ast *item)
{
    if (item->kind == AST_FN) {
        check_function(check, model_new(check->c), NULL, item);
    } else if (item->kind == AST_MODULE) {
        check_module(check, item);
    } else if (item->kind == AST_OPTIMIZER) {
        check_optimizer(check, item);
    } else if (item->kind == AST_LET) {
        check_value(check, item->kids[0]);
    } else if (item->kind == AST_OPTION) {
        check_value(check, item->kids[1]);
    }
}

/* --- what every sample reports --------------------------------------------------------------- */
static bool reported(const Diags *diags, const Diag *d)
{
    Span span = diag_span(d);
    for (size_t i = 0; i < diags->list.len; i++) {
        Span other = diag_span(diags->list.at[i]);
        if (diag_code(diags->list.at[i]) == diag_code(d) && other.file == span.file &&
            other.start == span.start && other.end == span.end) {
            return true;
        }
    }
    return false;
}

static void keep(Diags *all, Diag *d)
{
    if (!reported(all, d)) {
        VEC_PUSH(all->arena, all->list, d);
        all->errors += diag_code_name(diag_code(d))[0] == 'E';
        all->warnings += diag_code_name(diag_code(d))[0] == 'W';
    }
}

static Diags sample(Compiler *c, File *file, const Ast *item, int64_t equal, size_t turn)
{
    c->diags = diags_new(c->arena, &c->sources);
    c->asks_training = false;
    for (int training = 0; training < 2 && (training == 0 || c->asks_training); training++) {
        Check check = {.c = c,
                       .file = file,
                       .equal = equal,
                       .turn = turn,
                       .second = equal == DIFFERENT,
                       .training = training == 1};
        check_item(&check, item);
    }
    return c->diags;
}

/* Leaves in the list what the other sample reports too. */
static void intersect(Diags *found, const Diags *other)
{
    size_t n = 0;
    for (size_t i = 0; i < found->list.len; i++) {
        if (reported(other, found->list.at[i])) {
            found->list.at[n++] = found->list.at[i];
        }
    }
    found->list.len = n;
}

/* Sizes that programs have; a definition that fits one of them is not wrong. */
static const int64_t usual[] = {1,   2,   3,   4,   5,   6,   7,   8,    9,    10,  12,
                                14,  15,  16,  20,  24,  25,  28,  30,   32,   36,  49,
                                50,  56,  64,  81,  96,  100, 112, 128,  192,  196, 224,
                                256, 384, 512, 768, 1000, 1024, 2048, 3072, 4096};

/* Is the k-th of the usual sizes worth a try? Shapes and ranges (E2xx) may fit any of them; of other
 * mistakes the first few tell whether they stand under an `if`; what is too large is so for all. */
static bool worth(const Diags *found, size_t k)
{
    enum { FEW = 4 };
    for (size_t i = 0; i < found->list.len; i++) {
        DiagCode code = diag_code(found->list.at[i]);
        bool of_sizes = diag_code_name(code)[1] == '2' && code != E204 && code != E211;
        if (of_sizes || (k < FEW && code != E211)) {
            return true;
        }
    }
    return false;
}

/* Values of lets lie where a sample's graph does. */
static void forget_lets(Compiler *c)
{
    for (size_t i = 0; i < c->files.len; i++) {
        File *file = c->files.entries[i].value;
        if (file->lets.len > 0) {
            file->lets = map_new(file->lets.arena);
        }
    }
}

/* Leaves in the list what one more sample reports too. */
static void confirm(Compiler *c, File *file, const Ast *item, int64_t equal, size_t turn, Diags *found)
{
    if (found->list.len == 0) {
        return;
    }
    Arena *whole = c->arena;
    c->arena = arena_new(c->mem, "sample");
    Diags other = sample(c, file, item, equal, turn);
    intersect(found, &other);
    forget_lets(c);
    arena_free(c->arena);
    c->arena = whole;
}

/* What every sample of the item reports. */
static Diags check_samples(Compiler *c, File *file, const Ast *item)
{
    Diags found = sample(c, file, item, DIFFERENT, 0);
    forget_lets(c);
    confirm(c, file, item, EQUAL, 0, &found);
    for (size_t k = 0; k < sizeof usual / sizeof *usual && worth(&found, k); k++) {
        confirm(c, file, item, usual[k], 0, &found);
        confirm(c, file, item, usual[k], k + 1, &found);
    }
    return found;
}

bool library_check(Compiler *c, File *file)
{
    Diags all = c->diags;
    Arena *whole = c->arena;
    for (size_t i = 0; i < file->tree->n && all.list.len < ENOUGH; i++) {
        c->arena = arena_new(c->mem, "samples");
        Diags found = check_samples(c, file, file->tree->kids[i]);
        for (size_t k = 0; k < found.list.len; k++) {
            keep(&all, found.list.at[k]);
        }
        if (found.list.len == 0) {       /* else the diagnostics lie there */
            arena_free(c->arena);
        }
        c->arena = whole;
    }
    c->diags = all;
    if (c->diags.errors == 0) {
        lint_file(c, file);
    }
    return c->diags.errors == 0;
}

void library_visit(Compiler *c, File *file, LibraryVisit *visit, LibraryRuleVisit *rule,
                   void *context)
{
    Diags before = c->diags;
    for (size_t i = 0; i < file->tree->n; i++) {
        const Ast *item = file->tree->kids[i];
        Check check = {.c = c, .file = file, .second = true, .training = true, .visit = visit,
                       .rule = rule, .context = context};
        c->diags = diags_new(c->arena, &c->sources);
        if (item->kind == AST_FN || item->kind == AST_MODULE ||
            (item->kind == AST_OPTIMIZER && rule != NULL)) {
            check_item(&check, item);
        }
    }
    c->diags = before;
}
