/* array: tensors under construction. An Array is an element expression over shared variables, one
 * per (distance from the last dimension, extent), and over the index variables in scope.
 * Whole-array expressions therefore combine without renaming, and one statement becomes one
 * equation. Operators and the meaning of names are elsewhere. */
#include <assert.h>

#include "model/internal.h"

const Var *shared_var(Elab *e, size_t from_end, int64_t extent)
{
    struct ElabState *state = e->state;
    for (size_t i = 0; i < state->shared.len; i++) {
        if (state->shared_from_end.at[i] == from_end && state->shared.at[i]->extent == extent) {
            return state->shared.at[i];
        }
    }
    const Var *var = var_new(e->graph->pool, extent, str_format(elab_arena(e), "i%zu", from_end));
    VEC_PUSH(elab_arena(e), state->shared, var);
    VEC_PUSH(elab_arena(e), state->shared_from_end, from_end);
    return var;
}

const Var *array_var(Elab *e, const Array *a, size_t dim)
{
    return shared_var(e, a->rank - 1 - dim, a->dims[dim]);
}

Value array_value(Elab *e, const Array *a, Clock clock, Span span)
{
    Array *copy = NEW(elab_arena(e), Array);
    *copy = *a;
    bool whole = a->base != NODE_NONE && a->n_lead == 0;
    return (Value){.kind = VALUE_TENSOR,
                   .clock = clock,
                   .span = span,
                   .array = copy,
                   .node = whole ? a->base : NODE_NONE};
}

/* The element expression of node `base` at leading positions and its shared variables. */
static void array_read(Elab *e, Array *a)
{
    const Position *at[MAX_RANK];
    for (size_t i = 0; i < a->n_lead; i++) {
        at[i] = a->lead[i];
    }
    for (size_t i = 0; i < a->rank; i++) {
        at[a->n_lead + i] = pos_var(e->graph->pool, array_var(e, a, i));
    }
    a->body = sc_read(e->graph->pool, a->dtype, a->base, a->n_lead + a->rank, at, NULL);
}

Value array_of_node(Elab *e, NodeId id, Clock clock, Span span)
{
    const Node *node = graph_node(e->graph, id);
    Array a = {.dtype = node->dtype, .rank = node->rank, .base = id};
    for (size_t i = 0; i < node->rank; i++) {
        a.dims[i] = node->dims[i];
    }
    array_read(e, &a);
    return array_value(e, &a, clock, span);
}

Value array_scalar(Elab *e, const Scalar *body, Clock clock, Span span)
{
    Array a = {.dtype = body->dtype, .body = body, .base = NODE_NONE};
    return array_value(e, &a, clock, span);
}

Value array_index(Elab *e, const Position *p, Span span)
{
    int64_t constant;
    if (pos_is_const(p, &constant) && e->state->ambient.len == 0) {
        Value v = value_int(constant);
        v.span = span;
        return v;
    }
    Array a = {.dtype = DT_I32, .position = p, .base = NODE_NONE};
    return array_value(e, &a, CLOCK_TENSOR, span);
}

/* --- lists ----------------------------------------------------------------------------------- */
static bool list_shape(const Value *v, size_t depth, Array *a)
{
    if (v->kind != VALUE_LIST) {
        if (v->kind == VALUE_FLOAT) {
            a->dtype = DT_F32;
        }
        return (value_is_number(v) || v->kind == VALUE_BOOL) && depth == a->rank;
    }
    if (v->n == 0 || depth >= MAX_RANK) {
        return false;
    }
    if (depth == a->rank) {
        if (a->dims[depth] != 0) {
            return false;
        }
        a->dims[a->rank++] = (int64_t)v->n;
    }
    if (a->dims[depth] != (int64_t)v->n) {
        return false;
    }
    for (size_t i = 0; i < v->n; i++) {
        if (!list_shape(&v->items[i], depth + 1, a)) {
            return false;
        }
    }
    return true;
}

static void list_fill(const Value *v, double **to)
{
    for (size_t i = 0; v->kind == VALUE_LIST && i < v->n; i++) {
        list_fill(&v->items[i], to);
    }
    if (v->kind != VALUE_LIST) {
        *(*to)++ = v->kind == VALUE_FLOAT ? v->f : (double)v->i;
    }
}

static bool array_from_list(Elab *e, const Value *v, Array *a)
{
    *a = (Array){.dtype = DT_I32, .base = NODE_NONE};
    if (!list_shape(v, 0, a)) {
        Diag *d = elab_error(e, E106, v->span, "this list is not a vector or matrix of numbers");
        Str text = value_text(e->c->arena, v);
        diag_label(d, STR_FMT, STR_ARG(text));
        return false;
    }
    int64_t n = 1;
    for (size_t i = 0; i < a->rank; i++) {
        n *= a->dims[i]; /* the items exist: no overflow */
    }
    double *data = NEW_ARRAY(elab_arena(e), double, (size_t)n), *end = data;
    list_fill(v, &end);
    a->base = graph_constant(e->graph, a->dtype, a->rank, a->dims, data, 0, v->span);
    array_read(e, a);
    return true;
}

bool array_from(Elab *e, const Value *v, Array *a)
{
    switch (v->kind) {
    case VALUE_INT:
    case VALUE_FLOAT:
    case VALUE_BOOL: {
        DType dtype = v->kind == VALUE_INT ? DT_I32 : v->kind == VALUE_FLOAT ? DT_F32 : DT_BOOL;
        double number = v->kind == VALUE_FLOAT ? v->f : (double)v->i;
        *a = (Array){
            .dtype = dtype, .body = sc_const(e->graph->pool, dtype, number), .base = NODE_NONE};
        return true;
    }
    case VALUE_TENSOR:
        *a = *v->array;
        return true;
    case VALUE_LIST:
        return array_from_list(e, v, a);
    case VALUE_POISON:
        return false;
    case VALUE_STRING:
    case VALUE_INSTANCE:
    case VALUE_INSTANCES:
    case VALUE_BATCH:
    case VALUE_TUPLE:
    case VALUE_DEFERRED:
        break;
    }
    Diag *d = elab_error(e, E106, v->span, "a number or tensor is needed here");
    diag_label(d, "this is %s", value_kind_name(v));
    return false;
}

/* --- from expression to node ----------------------------------------------------------------- */
const Scalar *array_body(Elab *e, const Array *a)
{
    return a->position != NULL ? sc_index(e->graph->pool, a->position) : a->body;
}

void array_draw(Elab *e, Array *a)
{
    if (!a->draws) {
        return;
    }
    ExprPool *pool = e->graph->pool;
    const Position *number = pos_const(pool, 0);
    for (size_t i = 0; i < e->state->ambient.len + a->rank; i++) {
        const Var *var = i < e->state->ambient.len ? e->state->ambient.at[i]
                                                   : array_var(e, a, i - e->state->ambient.len);
        number = pos_add(pool, pos_scale(pool, number, var->extent), pos_var(pool, var));
    }
    Subst subst = {.n = 1, .from = &e->state->flat, .to = &number};
    a->body = sc_subst(pool, a->body, &subst);
    a->draws = false;
}

static Str extents_text(Arena *arena, size_t n, const Var *const *vars)
{
    Buf text = buf_new(arena);
    for (size_t i = 0; i < n; i++) {
        buf_printf(&text, "%s%lld", i > 0 ? ", " : "", (long long)vars[i]->extent);
    }
    return buf_str(&text);
}

/* What is settled has no place of its own: the statement at work, or the whole of `fn f(x) = …`. */
static Span place_of(const Elab *e, Span span)
{
    const Frame *frame = e->state->frame;
    if (span.file != 0) {
        return span;
    }
    if (e->state->run != NULL) {
        return e->state->run->stmt->span;
    }
    return frame != NULL && frame->what->kind == AST_FN ? frame->what->kids[2]->span : span;
}

/* Are there at most MOST_ELEMENTS, and MOST_POINTS terms of all of them? */
static bool array_countable(Elab *e, const Array *a, size_t n, const Var *const *vars, Span span)
{
    int64_t sizes[2 * MAX_RANK], elements, points;
    for (size_t i = 0; i < n + a->n_reduced; i++) {
        sizes[i] = i < n ? vars[i]->extent : a->reduced[i - n]->extent;
    }
    bool small = size_within(n, sizes, MOST_ELEMENTS, &elements);
    if (small && size_within(n + a->n_reduced, sizes, MOST_POINTS, &points)) {
        return true;
    }
    Arena *arena = e->c->arena;
    Diag *d = elab_error(e, E211, place_of(e, span), "this %s is too large", small ? "sum" : "tensor");
    if (small) {
        diag_label(d, "for %lld element%s, each over [" STR_FMT "]", (long long)elements,
                   elements == 1 ? "" : "s", STR_ARG(extents_text(arena, a->n_reduced, a->reduced)));
        diag_note(d, "elements times terms are at most 2^60");
    } else {
        diag_label(d, "its shape is [" STR_FMT "]", STR_ARG(extents_text(arena, n, vars)));
        diag_note(d, "a tensor has at most 2^48 elements");
    }
    diag_help(d, "make one of these sizes smaller");
    return false;
}

/* The element expression stays as it is; what becomes a node of it is kept in another dtype. */
static void array_keep(Array *a, DType dtype)
{
    if (a->dtype != dtype) {
        a->dtype = dtype;
        a->base = NODE_NONE;
        a->n_lead = 0;
    }
}

/* The node over the outer index variables that the body uses and the array's own variables. A sum that
 * will be rounded is a node of its own before, in f32. */
void array_define(Elab *e, Array *a, const Var *const *own, Str name, Span span)
{
    DType kept = a->dtype;
    if (a->reduce != REDUCE_NONE && dtype_is_short(kept)) {
        a->dtype = DT_F32;
        array_define(e, a, own, name, span);
        array_keep(a, kept);
        array_node(e, a, name, span);
        return;
    }
    ExprPool *pool = e->graph->pool;
    a->body = array_body(e, a);
    a->position = NULL;
    array_draw(e, a);
    const Var *vars[2 * MAX_RANK];
    size_t n = 0;
    for (size_t i = 0; i < e->state->ambient.len && n < MAX_RANK; i++) {
        if (sc_uses(a->body, e->state->ambient.at[i])) {
            vars[n] = e->state->ambient.at[i];
            a->lead[n] = pos_var(pool, vars[n]);
            n++;
        }
    }
    a->n_lead = n;
    for (size_t i = 0; i < a->rank; i++) {
        vars[n++] = own[i];
    }
    bool ranked = n <= MAX_RANK;
    if (!ranked) {
        elab_error(e, E212, span, "a tensor has at most %d dimensions; this needs %zu", MAX_RANK,
                   n);
    }
    if (!ranked || !array_countable(e, a, n, vars, span)) {
        a->rank = a->n_lead = n = 0; /* a stand-in: the error stops the build */
        a->body = sc_const(pool, a->dtype, 0);
        a->reduce = REDUCE_NONE;
        a->n_reduced = 0;
    }
    a->base = graph_define(e->graph, a->dtype, a->reduce, n, vars, a->n_reduced, a->reduced,
                           a->body, name, span);
    a->reduce = REDUCE_NONE;
    a->n_reduced = 0;
    array_read(e, a);
}

void array_node(Elab *e, Array *a, Str name, Span span)
{
    if (a->base != NODE_NONE) {
        return;
    }
    const Var *own[MAX_RANK];
    for (size_t i = 0; i < a->rank; i++) {
        own[i] = array_var(e, a, i);
    }
    array_define(e, a, own, name, span);
}

void array_settle(Elab *e, Array *a)
{
    DType kept = a->dtype;
    if (a->reduce != REDUCE_NONE) {
        a->dtype = dtype_is_short(kept) ? DT_F32 : kept;
        array_node(e, a, (Str){0}, (Span){0});
        array_keep(a, kept);
    }
}

void array_cast(Elab *e, Array *a, DType dtype)
{
    if (a->dtype == dtype && a->position == NULL) {
        return;
    }
    array_settle(e, a);
    double number;
    const Scalar *body = array_body(e, a);
    if (sc_is_const(body, &number) && dtype_is_float(dtype)) {
        a->body = sc_const(e->graph->pool, dtype, number); /* never rounded on the way */
    } else {
        a->body = sc_cast(e->graph->pool, dtype, body);
    }
    a->position = NULL;
    a->base = NODE_NONE;
    a->n_lead = 0;
    a->dtype = dtype;
}

/* --- combining ------------------------------------------------------------------------------- */
Str dims_text(Arena *arena, size_t rank, const int64_t *dims)
{
    Buf text = buf_new(arena);
    buf_char(&text, '[');
    for (size_t i = 0; i < rank; i++) {
        buf_printf(&text, "%s%lld", i > 0 ? ", " : "", (long long)dims[i]);
    }
    buf_char(&text, ']');
    return buf_str(&text);
}

bool arrays_broadcast(Elab *e, size_t n, Array **arrays, size_t *rank, int64_t *dims, Span span,
                      const char *what)
{
    const Array *widest = arrays[0];
    for (size_t i = 1; i < n; i++) {
        widest = arrays[i]->rank > widest->rank ? arrays[i] : widest;
    }
    for (size_t i = 0; i < n; i++) {
        size_t shift = widest->rank - arrays[i]->rank;
        bool suffix = true;
        for (size_t k = 0; k < arrays[i]->rank; k++) {
            suffix = suffix && arrays[i]->dims[k] == widest->dims[k + shift];
        }
        if (suffix) {
            continue;
        }
        Arena *arena = e->c->arena;
        const Array *first = arrays[i] == arrays[0] ? widest : arrays[0];
        Str a = dims_text(arena, arrays[0]->rank, arrays[0]->dims);
        const Array *second = first == widest && arrays[i] == arrays[0] ? widest : arrays[i];
        Str b = dims_text(arena, second->rank, second->dims);
        Diag *d = elab_error(e, E206, span, "shapes do not broadcast in `%s`", what);
        diag_label(d, STR_FMT " and " STR_FMT, STR_ARG(a), STR_ARG(b));
        diag_note(d, "shapes must be equal, or one the end of the other, or a single number");
        diag_help(d, "say with indices which dimensions belong together: `y[i, j] = …`");
        return false;
    }
    *rank = widest->rank;
    for (size_t k = 0; k < widest->rank; k++) {
        dims[k] = widest->dims[k];
    }
    return true;
}

Clock values_clock(size_t n, const Value *values)
{
    Clock clock = CLOCK_BUILD;
    for (size_t i = 0; i < n; i++) {
        Clock own = values[i].kind == VALUE_TENSOR ? values[i].clock
                    : values[i].kind == VALUE_LIST ? CLOCK_TENSOR
                                                   : CLOCK_BUILD;
        clock = own > clock ? own : clock;
    }
    return clock;
}

static DType widen(DType a, DType b)
{
    if (a == b) {
        return a;
    }
    if ((a == DT_U8 && b == DT_I8) || (a == DT_I8 && b == DT_U8)) {
        return DT_I32;
    }
    return a > b ? a : b;
}

DType values_dtype(size_t n, const Value *values)
{
    DType strong = DT_BOOL;
    bool any_strong = false, weak_float = false, all_bool = true;
    Clock clock = values_clock(n, values);
    for (size_t i = 0; i < n; i++) {
        const Value *v = &values[i];
        bool tensor = v->kind == VALUE_TENSOR;
        bool is_bool = v->kind == VALUE_BOOL || (tensor && v->array->dtype == DT_BOOL);
        all_bool = all_bool && is_bool;
        if (tensor && v->clock == CLOCK_TENSOR) {
            DType own = dtype_is_short(v->array->dtype) ? DT_F32 : v->array->dtype;
            strong = any_strong ? widen(strong, own) : own;
            any_strong = true;
        } else if (v->kind == VALUE_FLOAT || v->kind == VALUE_LIST ||
                   (tensor && !v->array->integral && v->array->dtype != DT_BOOL)) {
            weak_float = true;
        }
    }
    if (all_bool) {
        return DT_BOOL;
    }
    if (clock == CLOCK_STEP) {
        return DT_F64;
    }
    if (!any_strong) {
        return DT_F32;
    }
    if (weak_float && !dtype_is_float(strong)) {
        return DT_F32;
    }
    return strong == DT_BOOL ? DT_I32 : strong;
}

DType real_dtype(const Elab *e, size_t n, const Value *values, DType dtype)
{
    bool any = false, all = true;
    for (size_t i = 0; i < n; i++) {
        const Value *v = &values[i];
        if (v->kind == VALUE_TENSOR && v->clock == CLOCK_TENSOR && dtype_is_float(v->array->dtype)) {
            any = true;
            all = all && v->array->dtype == e->real;
        }
    }
    return dtype == DT_F32 && any && all ? e->real : dtype;
}

/* A step-clock scalar used by tensors: computed once per step in f64, a node of its own. A condition
 * keeps its place: kernels may wait for it. */
static void step_scalar(Elab *e, Array *a, Span span)
{
    struct ElabState *state = e->state;
    for (size_t i = 0; i < state->step_bodies.len && a->base == NODE_NONE; i++) {
        if (state->step_bodies.at[i] == a->body) {
            a->base = state->step_nodes.at[i];
            array_read(e, a);
            return;
        }
    }
    if (a->base != NODE_NONE) {
        return;
    }
    VEC_PUSH(elab_arena(e), state->step_bodies, a->body);
    array_node(e, a, (Str){0}, a->dtype == DT_BOOL ? span : (Span){0});
    VEC_PUSH(elab_arena(e), state->step_nodes, a->base);
}

Value array_map(Elab *e, ScalarOp op, DType in, size_t n, const Value *args, Span span)
{
    Array arrays[3] = {{0}}, *list[3];
    const Scalar *bodies[3] = {NULL};
    assert(n <= 3);
    Clock clock = values_clock(n, args);
    Array result = {.base = NODE_NONE, .integral = true};
    for (size_t i = 0; i < n; i++) {
        if (!array_from(e, &args[i], &arrays[i])) {
            return value_poison();
        }
        list[i] = &arrays[i];
        array_settle(e, &arrays[i]);
        bool step = args[i].kind == VALUE_TENSOR && args[i].clock == CLOCK_STEP;
        result.integral =
            result.integral && (step ? arrays[i].integral : args[i].kind == VALUE_INT);
        result.draws = result.draws || arrays[i].draws;
        if (clock == CLOCK_TENSOR && step) {
            step_scalar(e, &arrays[i], args[i].span);
        }
        if (op != OP_SELECT || i > 0) {
            array_cast(e, &arrays[i], in);
        }
        bodies[i] = array_body(e, &arrays[i]);
    }
    if (!arrays_broadcast(e, n, list, &result.rank, result.dims, span, scalar_op_name(op))) {
        return value_poison();
    }
    result.body = sc_fn(e->graph->pool, op, n, bodies);
    result.dtype = real_dtype(e, n, args, result.body->dtype);
    for (size_t i = 0; i < n; i++) {
        if (arrays[i].rank == result.rank && arrays[i].names != NULL) {
            result.names = arrays[i].names;
        }
    }
    if (result.rank > 0) {
        array_draw(e, &result);
    }
    return array_value(e, &result, clock == CLOCK_BUILD ? CLOCK_TENSOR : clock, span);
}

bool array_strong(Elab *e, const Value *v, Array *a)
{
    if (!array_from(e, v, a)) {
        return false;
    }
    if (v->kind == VALUE_TENSOR && v->clock == CLOCK_STEP) {
        step_scalar(e, a, v->span);
        array_cast(e, a, DT_F32);
    }
    return true;
}

/* --- int expressions as positions ------------------------------------------------------------ */
const Position *scalar_position(Elab *e, const Scalar *s)
{
    ExprPool *pool = e->graph->pool;
    double number;
    if (sc_is_const(s, &number)) {
        return pos_const(pool, (int64_t)number);
    }
    if (s->kind == SCALAR_INDEX) {
        return s->at[0];
    }
    if (s->kind != SCALAR_FN) {
        return pos_data(pool, s);
    }
    if (s->op == OP_CAST && !dtype_is_float(s->args[0]->dtype)) {
        return scalar_position(e, s->args[0]);
    }
    if (s->op == OP_ADD) {
        const Position *sum = pos_const(pool, 0);
        for (size_t i = 0; i < s->n; i++) {
            sum = pos_add(pool, sum, scalar_position(e, s->args[i]));
        }
        return sum;
    }
    if (s->op == OP_SUB) {
        return pos_sub(pool, scalar_position(e, s->args[0]), scalar_position(e, s->args[1]));
    }
    if (s->op == OP_NEG) {
        return pos_scale(pool, scalar_position(e, s->args[0]), -1);
    }
    if (s->op == OP_MUL && s->n == 2) {
        for (size_t i = 0; i < 2; i++) {
            if (sc_is_const(s->args[i], &number)) {
                return pos_scale(pool, scalar_position(e, s->args[1 - i]), (int64_t)number);
            }
        }
    }
    if ((s->op == OP_IDIV || s->op == OP_MOD) && sc_is_const(s->args[1], &number) && number > 0) {
        const Position *p = scalar_position(e, s->args[0]);
        return s->op == OP_IDIV ? pos_div(pool, p, (int64_t)number)
                                : pos_mod(pool, p, (int64_t)number);
    }
    return pos_data(pool, s);
}
