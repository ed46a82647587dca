/* elab: a graph under construction: its leaves (variables, batch fields, step values), the frames
 * that notes are made from, the entry points for other folders, and step blocks. */
#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/internal.h"

enum { MAX_FRAMES = 256 };

Elab *elab_new(Compiler *c, Model *model, Graph *graph, bool training, const bool *trainable)
{
    Arena *arena = graph != NULL ? graph->arena : c->arena;
    Elab *e = NEW(arena, Elab);
    *e = (Elab){.c = c,
                .model = model,
                .graph = graph,
                .real = DT_F32,
                .training = training,
                .trainable = trainable,
                .progress = NODE_NONE,
                .epoch = NODE_NONE,
                .t = NODE_NONE};
    size_t n = model != NULL ? model->variables.len : 0;
    e->variable_nodes = NEW_ARRAY(arena, NodeId, n + 1);
    e->real_nodes = NEW_ARRAY(arena, NodeId, n + 1);
    e->next_nodes = NEW_ARRAY(arena, NodeId, n + 1);
    for (size_t i = 0; i < n; i++) {
        e->variable_nodes[i] = e->real_nodes[i] = e->next_nodes[i] = NODE_NONE;
    }
    e->state = NEW(arena, struct ElabState);
    e->state->draws = map_new(arena);
    e->state->steps = map_new(arena);
    return e;
}

Arena *elab_arena(const Elab *e)
{
    return e->graph != NULL ? e->graph->arena : e->c->arena;
}

/* --- diagnostics and frames ------------------------------------------------------------------ */
Diag *elab_error(Elab *e, DiagCode code, Span span, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    Str text = str_vformat(e->c->arena, fmt, args);
    va_end(args);
    Diag *d = diag(&e->c->diags, code, span, STR_FMT, STR_ARG(text));
    for (const Frame *f = e->state->frame; f != NULL; f = f->up) {
        Str place = span_place(e->c, e->c->arena, f->span);
        if (place.len == 0 ||
            (f->span.file == span.file && f->span.start <= span.start && span.end <= f->span.end)) {
            continue; /* the caret is at this very call */
        }
        if (f->path.len > 0) {
            diag_note(d, "in `" STR_FMT "`, instantiated for `" STR_FMT "` at " STR_FMT,
                      STR_ARG(f->what->text), STR_ARG(f->path), STR_ARG(place));
        } else {
            diag_note(d, "in `" STR_FMT "`, %s at " STR_FMT, STR_ARG(f->what->text),
                      f->what->kind == AST_MODULE ? "instantiated" : "called", STR_ARG(place));
        }
        break;
    }
    return d;
}

bool elab_effort(Elab *e, Span span)
{
    struct ElabState *state = e->state;
    if (++state->effort == MOST_EFFORT) {
        Diag *d = elab_error(e, E211, span, "this makes too large a graph");
        diag_label(d, "the last of %d rounds of loops, calls and parts", MOST_EFFORT);
        diag_note(d, "loops are unrolled, functions and modules written out at every call");
    }
    return state->effort < MOST_EFFORT;
}

bool frame_push(Elab *e, Frame *frame, const Ast *what, Instance *self, Instance *where, Span span)
{
    struct ElabState *state = e->state;
    if (!elab_effort(e, span)) {
        return false;
    }
    size_t depth = state->frame != NULL ? state->frame->depth + 1 : 1;
    for (const Frame *f = state->frame; f != NULL; f = f->up) {
        bool again = f->what == what && (what->kind == AST_MODULE || f->self == self);
        if (!again && depth < MAX_FRAMES) {
            continue;
        }
        Diag *d = elab_error(e, E108, span, "`" STR_FMT "` %s", STR_ARG(what->text),
                             what->kind == AST_MODULE ? "contains itself" : "calls itself");
        diag_note_at(d, what->name, "declared here", "the declaration");
        diag_help(d, what->kind == AST_MODULE ? "use another module inside, or an array of them"
                                              : "write a `for` over a range instead");
        return false;
    }
    *frame = (Frame){.what = what, .self = self, .span = span, .up = state->frame, .depth = depth};
    frame->first = e->graph != NULL ? (NodeId)e->graph->nodes.len : 0;
    if (where != NULL) {
        frame->path = where->path;
    }
    state->frame = frame;
    return true;
}

static void note_again(Elab *e)
{
    const Frame *frame = e->state->frame;
    const Instance *self = e->graph == NULL ? NULL : frame->self;
    if (self != NULL && (self->recompute || self->candidate)) {
        RecipeCall call = {frame->first, (NodeId)e->graph->nodes.len, self};
        VEC_PUSH(elab_arena(e), e->state->again, call);
    }
}

void frame_pop(Elab *e)
{
    note_again(e);
    e->state->frame = e->state->frame->up;
}

/* --- leaves ---------------------------------------------------------------------------------- */
static Value build_only(Elab *e, Span span)
{
    e->state->deferred = true;
    (void)span;
    return value_poison();
}

Value elab_variable(Elab *e, Variable *v, Span span)
{
    if (e->graph == NULL) {
        Diag *d = elab_error(e, E208, span,
                             "`" STR_FMT "` is a tensor; a build-time value is "
                             "needed here",
                             STR_ARG(v->key));
        diag_note_at(d, v->span, "declared here", "the tensor's declaration");
        return value_poison();
    }
    if (e->variable_nodes[v->index] == NODE_NONE) {
        e->variable_nodes[v->index] =
            graph_leaf(e->graph, v->is_state ? NODE_STATE : NODE_PARAM, v->dtype, v->rank, v->dims,
                       v->key, v->index, v->span);
    }
    Value stored = array_of_node(e, e->variable_nodes[v->index], CLOCK_TENSOR, span);
    if (!v->is_real || v->dtype == e->real) {
        return stored;
    }
    if (e->real_nodes[v->index] == NODE_NONE) {
        Array a = *stored.array;
        array_cast(e, &a, e->real);
        array_node(e, &a, v->key, v->span);
        e->real_nodes[v->index] = a.base;
    }
    return array_of_node(e, e->real_nodes[v->index], CLOCK_TENSOR, span);
}

Value elab_field(Elab *e, Batch *batch, Str name, Span span)
{
    for (size_t i = 0; i < batch->n; i++) {
        BatchField *field = &batch->fields[i];
        if (!str_eq(field->name, name)) {
            continue;
        }
        int64_t elements;
        if (!size_within(field->rank, field->dims, MOST_ELEMENTS, &elements)) {
            Str dims = dims_text(e->c->arena, field->rank, field->dims);
            Diag *d = elab_error(e, E211, span, "this field of the batch is too large");
            diag_label(d, "its shape is " STR_FMT, STR_ARG(dims));
            diag_note(d, "a tensor has at most 2^48 elements");
            diag_help(d, "lower `batch`");
            return value_poison();
        }
        if (field->node == NODE_NONE) {
            field->node = graph_leaf(e->graph, NODE_INPUT, field->dtype, field->rank, field->dims,
                                     field->name, 0, span);
        }
        return array_of_node(e, field->node, CLOCK_TENSOR, span);
    }
    Diag *d = elab_error(e, E101, span, "data `" STR_FMT "` has no field `" STR_FMT "`",
                         STR_ARG(batch->data), STR_ARG(name));
    Str *names = NEW_ARRAY(e->c->arena, Str, batch->n + 1);
    Buf list = buf_new(e->c->arena);
    for (size_t i = 0; i < batch->n; i++) {
        names[i] = batch->fields[i].name;
        buf_printf(&list, "%s`" STR_FMT "`", i > 0 ? ", " : "", STR_ARG(names[i]));
    }
    Str text = buf_str(&list);
    diag_note(d, "its fields: " STR_FMT, STR_ARG(text));
    help_nearest(d, name, batch->n, names);
    return value_poison();
}

static NodeId step_leaf(Elab *e, NodeId *slot, const char *name)
{
    if (*slot == NODE_NONE) {
        *slot = graph_leaf(e->graph, NODE_STEP, DT_F64, 0, NULL, str_of(name), 0, (Span){0});
    }
    return *slot;
}

NodeId elab_step_leaf(Elab *e, Str name)
{
    assert(e->graph != NULL);
    if (str_is(name, "progress")) {
        return step_leaf(e, &e->progress, "progress");
    }
    if (str_is(name, "epoch")) {
        return step_leaf(e, &e->epoch, "epoch");
    }
    return step_leaf(e, &e->t, "t");
}

/* --- options
 * -----------------------------------------------------------------------------------------------
 */
/* Only a bool may stand without a value, or be turned off by --no-. */
static bool setting_complete(Elab *e, const Value *fallback, const OptionSetting *setting,
                             const Ast *option)
{
    if (fallback->kind == VALUE_BOOL || (setting->text.len > 0 && !setting->negated))
        return true;
    Diag *d = setting->negated ? elab_error(e, E106, option->name,
                                            "`--no-" STR_FMT "`: only a bool can be "
                                            "turned off",
                                            STR_ARG(option->text))
                               : elab_error(e, E106, option->name, "`--" STR_FMT "` needs a value",
                                            STR_ARG(option->text));
    diag_label(d, "its default is %s", value_kind_name(fallback));
    return false;
}

static bool parse_setting(Elab *e, const Value *fallback, const OptionSetting *setting,
                          const Ast *option, Value *value)
{
    const char *text = str_c(e->c->arena, setting->text);
    char *end = NULL;
    bool ok = setting->text.len > 0;
    if (!setting_complete(e, fallback, setting, option))
        return false;
    errno = 0;
    switch (fallback->kind) {
    case VALUE_INT:
        *value = value_int(strtoll(text, &end, 10));
        break;
    case VALUE_FLOAT:
        *value = value_float(strtod(text, &end));
        ok = ok && isfinite(value->f) && strpbrk(text, "xX") == NULL;
        break;
    case VALUE_BOOL:
        *value = value_bool(!setting->negated && !str_is(setting->text, "false"));
        ok = setting->text.len == 0 || str_is(setting->text, "true") ||
             str_is(setting->text, "false");
        break;
    case VALUE_STRING:
        *value = value_str(setting->text);
        ok = true;
        break;
    case VALUE_POISON:
        return false;
    case VALUE_LIST:
    case VALUE_TENSOR:
    case VALUE_INSTANCE:
    case VALUE_INSTANCES:
    case VALUE_BATCH:
    case VALUE_TUPLE:
    case VALUE_DEFERRED: {
        Diag *d = elab_error(e, E106, option->name, "`--" STR_FMT "` cannot be given on the command line",
                             STR_ARG(option->text));
        diag_label(d, "its default is %s", value_kind_name(fallback));
        diag_help(d, "only numbers, bools and strings can");
        return false;
    }
    }
    if (ok && (end == NULL || *end == '\0') && errno == 0) {
        return true;
    }
    Diag *d = elab_error(e, E106, option->name, "`--" STR_FMT " " STR_FMT "` is not %s",
                         STR_ARG(option->text), STR_ARG(setting->text), value_kind_name(fallback));
    diag_label(d, "its default is %s", value_kind_name(fallback));
    return false;
}

/* Ints, bools and strings are of the build clock; floats are leaves of the step clock. */
Value elab_option(Elab *e, File *file, const Ast *option)
{
    Scope *scope = scope_new(elab_arena(e), NULL, file, NULL);
    Value value = eval(e, scope, option->kids[1]);
    if (value.kind == VALUE_POISON) {
        return value;
    }
    const Ast *type = option->kids[0];
    if (type != NULL) {
        value = convert_scalar(e, option, type->text, value, option->kids[1]->span, STR("option"));
    }
    const OptionSetting *setting = option_setting(e->c, option->text);
    if (setting != NULL && file == e->c->root &&
        !parse_setting(e, &value, setting, option, &value)) {
        return value_poison();
    }
    if (value.kind != VALUE_FLOAT) {
        return value;
    }
    if (e->graph == NULL) {
        return build_only(e, option->span);
    }
    void *known = map_get(&e->state->steps, option->text);
    NodeId node = (NodeId)((uintptr_t)known - 1);
    if (known == NULL) {
        node = graph_leaf(e->graph, NODE_STEP, DT_F64, 0, NULL, option->text, 0, option->span);
        map_set(&e->state->steps, option->text, (void *)((uintptr_t)node + 1));
        VEC_PUSH(elab_arena(e), e->option_nodes, node);
    }
    return array_of_node(e, node, CLOCK_STEP, option->span);
}

/* --- entry points ---------------------------------------------------------------------------- */
static Value settle(Elab *e, Value value, Str name, Span span)
{
    if (value.kind == VALUE_TENSOR && value.node == NODE_NONE && e->graph != NULL) {
        Array a = *value.array;
        array_node(e, &a, name, span);
        return array_value(e, &a, value.clock, span);
    }
    return value;
}

Value elab_expr(Elab *e, Scope *scope, const Ast *expr)
{
    return settle(e, eval(e, scope, expr), (Str){0}, expr->span);
}

/* Without a graph, step-clock values are silently poison (a let or an argument waits for its graph);
 * where a build-clock value is needed now, that is a mistake. */
static Value eval_now(Elab *e, Scope *scope, const Ast *expr, const char *what)
{
    bool before = e->state->deferred;
    size_t errors = e->c->diags.errors;
    e->state->deferred = false;
    Value v = eval(e, scope, expr);
    if (v.kind == VALUE_POISON && e->state->deferred && e->c->diags.errors == errors) {
        Diag *d = elab_error(e, E208, expr->span, "%s must be known when the graph is built", what);
        diag_label(d, "changes every step");
    }
    e->state->deferred = e->state->deferred || before;
    return v;
}

bool elab_int(Elab *e, Scope *scope, const Ast *expr, int64_t *value)
{
    Value v = eval_now(e, scope, expr, "an int");
    if (v.kind == VALUE_INT) {
        *value = v.i;
        return true;
    }
    if (v.kind == VALUE_TENSOR) {
        Diag *d = elab_error(e, E208, expr->span, "an int must be known when the graph is built");
        diag_label(d, "%s", v.clock == CLOCK_STEP ? "changes every step" : "this is tensor data");
    } else if (v.kind == VALUE_FLOAT) {
        Diag *d = elab_error(e, E207, expr->span, "a float where an int is needed");
        diag_label(d, "this is %g", v.f);
        diag_help(d, "write `int(…)`");
        diag_edit_around(d, expr->span, "int(", ")");
    } else if (v.kind != VALUE_POISON) {
        Diag *d = elab_error(e, E106, expr->span, "an int is needed here");
        diag_label(d, "this is %s", value_kind_name(&v));
    }
    return false;
}

bool elab_str(Elab *e, Scope *scope, const Ast *expr, Str *value)
{
    Value v = eval_now(e, scope, expr, "a string");
    if (v.kind == VALUE_STRING) {
        *value = v.s;
        return true;
    }
    if (v.kind != VALUE_POISON) {
        Diag *d = elab_error(e, E106, expr->span, "a string is needed here");
        diag_label(d, "this is %s", value_kind_name(&v));
    }
    return false;
}

NodeId elab_float_node(Elab *e, Value value)
{
    if (value.kind == VALUE_INT || value.kind == VALUE_FLOAT) {
        double f = value.kind == VALUE_INT ? (double)value.i : value.f;
        return graph_constant(e->graph, DT_F64, 0, NULL, NULL, f, value.span);
    }
    if (value.kind != VALUE_TENSOR || value.array->rank != 0) {
        return NODE_NONE;
    }
    Array a = *value.array;
    array_cast(e, &a, DT_F64);
    array_node(e, &a, (Str){0}, value.span);
    return a.base;
}

/* --- step blocks
 * ------------------------------------------------------------------------------------------------
 */
static void step_result(Elab *e, Scope *scope, const Ast *stmt, StepResult *result)
{
    Value value = settle(e, eval(e, scope, stmt->kids[0]), stmt->text, stmt->kids[0]->span);
    scope_set(scope, stmt->text, value, stmt->name);
    if (value.kind == VALUE_POISON) {
        result->ok = false;
        return;
    }
    bool metric = stmt->kind == AST_METRIC;
    if (value_is_number(&value)) {
        Array a;
        if (!array_from(e, &value, &a)) {
            result->ok = false;
            return;
        }
        array_node(e, &a, stmt->text, stmt->span);
        value = array_value(e, &a, CLOCK_TENSOR, stmt->span);
    }
    if (value.kind != VALUE_TENSOR || (metric && value.array->rank != 0)) {
        Diag *d = elab_error(e, E106, stmt->kids[0]->span, "%s `" STR_FMT "` must be a %s",
                             metric ? "metric" : "prediction", STR_ARG(stmt->text),
                             metric ? "single number" : "tensor");
        if (value.kind == VALUE_TENSOR) {
            Str dims = dims_text(e->c->arena, value.array->rank, value.array->dims);
            diag_label(d, "this has shape " STR_FMT, STR_ARG(dims));
            diag_help(d, "reduce it: `sum(…)`, `mean(…)`");
        } else {
            diag_label(d, "this is %s", value_kind_name(&value));
        }
        result->ok = false;
        return;
    }
    StepValue item = {.name = stmt->text, .node = value.node, .span = stmt->name};
    if (metric) {
        VEC_PUSH(elab_arena(e), result->metrics, item);
    } else {
        VEC_PUSH(elab_arena(e), result->predicts, item);
    }
}

static void step_loss(Elab *e, Scope *scope, StepResult *result)
{
    const Binding *loss = map_get(&scope->names, STR("loss"));
    if (loss == NULL) {
        return;
    }
    result->loss_span = loss->span;
    Value value = loss->value;
    if (value.kind == VALUE_POISON) {
        result->ok = false;
        return;
    }
    if (value.kind == VALUE_TENSOR && value.array->rank == 0 && value.clock == CLOCK_TENSOR) {
        Array a = *value.array;
        if (a.dtype != DT_F32 || value.node == NODE_NONE) {
            array_cast(e, &a, DT_F32);
            array_node(e, &a, STR("loss"), loss->span);
        }
        result->loss = a.base;
        return;
    }
    result->ok = false;
    Diag *d = elab_error(e, E106, loss->span, "`loss` must be a single number");
    if (value.kind == VALUE_TENSOR && value.array->rank > 0) {
        Str dims = dims_text(e->c->arena, value.array->rank, value.array->dims);
        diag_label(d, "it has shape " STR_FMT, STR_ARG(dims));
        diag_help(d, "reduce it: `mean(…)`");
    } else {
        diag_label(d, "it is %s", value_kind_name(&value));
        diag_help(d, "a loss is computed from the model's outputs");
    }
}

/* Whatever the steps before have reported makes ok false, so nothing is built on it. */
StepResult elab_step(Elab *e, Scope *scope, const Ast *block, Str batch_name, Batch *batch)
{
    StepResult result = {.ok = true, .loss = NODE_NONE};
    size_t errors = e->c->diags.errors;
    Scope *inner = scope_new(elab_arena(e), scope, scope->file, NULL);
    inner->body = block;
    Value value = {.kind = VALUE_BATCH, .clock = CLOCK_TENSOR, .node = NODE_NONE, .batch = batch};
    scope_set(inner, batch_name, value, block->span);
    Ast *one[1];
    for (size_t i = 0; i < block->n; i++) {
        Ast *stmt = block->kids[i];
        if (stmt->kind == AST_METRIC || stmt->kind == AST_PREDICT) {
            if (!e->training) {
                step_result(e, inner, stmt, &result);
            }
            continue;
        }
        one[0] = stmt;
        Ast single = *block;
        single.n = 1;
        single.kids = one;
        Value ignored;
        run_block(e, inner, &single, &ignored);
    }
    step_loss(e, inner, &result);
    bool said = e->c->diags.errors != errors;        /* what is too large has such positions */
    if (e->graph != NULL && !said && pool_overflowed(e->graph->pool)) {
        elab_error(e, E211, block->span, "positions in this step do not fit in 64 bits");
    }
    if (e->c->diags.errors != errors) {
        result.ok = false;
    }
    return result;
}
