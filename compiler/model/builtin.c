/* builtin: functions that are not formulas, and the scalar functions of graph/scalar.def under
 * their names. On build-clock numbers they are computed here and now, in double precision. */
#include <assert.h>
#include <math.h>

#include "model/internal.h"

typedef struct ScalarRow {
    const char *name;
    ScalarOp op;
    int n;
} ScalarRow;
static const ScalarRow scalar_rows[] = {
    {"abs", OP_ABS, 1},     {"sign", OP_SIGN, 1}, {"floor", OP_FLOOR, 1}, {"ceil", OP_CEIL, 1},
    {"round", OP_ROUND, 1}, {"exp", OP_EXP, 1},   {"expm1", OP_EXPM1, 1}, {"log", OP_LOG, 1},
    {"log1p", OP_LOG1P, 1}, {"log2", OP_LOG2, 1}, {"sqrt", OP_SQRT, 1},   {"rsqrt", OP_RSQRT, 1},
    {"sin", OP_SIN, 1},     {"cos", OP_COS, 1},   {"tan", OP_TAN, 1},     {"asin", OP_ASIN, 1},
    {"acos", OP_ACOS, 1},   {"atan", OP_ATAN, 1}, {"atan2", OP_ATAN2, 2}, {"sinh", OP_SINH, 1},
    {"cosh", OP_COSH, 1},   {"tanh", OP_TANH, 1}, {"erf", OP_ERF, 1},     {"isnan", OP_ISNAN, 1},
    {"isinf", OP_ISINF, 1}, {"stop", OP_STOP, 1}};
enum { SCALAR_ROWS = sizeof scalar_rows / sizeof *scalar_rows };

/* --- elementwise ----------------------------------------------------------------------------- */
static bool all_build(size_t n, const Value *args)
{
    for (size_t i = 0; i < n; i++) {
        if (!value_is_number(&args[i]) && args[i].kind != VALUE_BOOL) {
            return false;
        }
    }
    return true;
}

static bool same_sign(ScalarOp op)
{
    return op == OP_MAX || op == OP_MIN || op == OP_ABS || op == OP_SIGN || op == OP_STOP;
}

static bool whole(const Value *v)
{
    return v->kind == VALUE_INT || (v->kind == VALUE_TENSOR && !dtype_is_float(v->array->dtype));
}

static bool numeric(Elab *e, size_t n, const Value *args, Span span, const char *name)
{
    for (size_t i = 0; i < n; i++) {
        const Value *v = &args[i];
        bool number = value_is_number(v) || v->kind == VALUE_LIST ||
                      (v->kind == VALUE_TENSOR && v->array->dtype != DT_BOOL);
        if (number) {
            continue;
        }
        Diag *d = elab_error(e, E106, span, "`%s` takes numbers", name);
        diag_label(d, "argument %zu is %s", i + 1,
                   v->kind == VALUE_TENSOR ? "a tensor of bools" : value_kind_name(v));
        return false;
    }
    return true;
}

Value build_fn(Elab *e, ScalarOp op, size_t n, const Value *args, Span span)
{
    for (size_t i = 0; i < n; i++) {
        if (args[i].kind == VALUE_POISON) {
            return value_poison();
        }
    }
    if (!numeric(e, n, args, span, scalar_op_name(op))) {
        return value_poison();
    }
    if (all_build(n, args)) {
        double x[3];
        bool ints = same_sign(op);
        for (size_t i = 0; i < n; i++) {
            x[i] = args[i].kind == VALUE_FLOAT ? args[i].f : (double)args[i].i;
            ints = ints && args[i].kind == VALUE_INT;
        }
        double r = op == OP_STOP ? x[0] : scalar_fold(op, DT_F64, n, x);
        if (op == OP_ISNAN || op == OP_ISINF) {
            return value_bool(r != 0);
        }
        return ints ? value_int((int64_t)r) : value_float(r);
    }
    if (e->graph == NULL) {
        elab_error(e, E208, span, "a tensor where a value known at build time is needed");
        return value_poison();
    }
    DType in = values_dtype(n, args);
    bool ints = same_sign(op);
    for (size_t i = 0; i < n; i++) {
        ints = ints && whole(&args[i]);
    }
    if (!ints && !dtype_is_float(in)) {
        in = DT_F32;
    }
    if (ints && dtype_is_float(in) && values_clock(n, args) == CLOCK_TENSOR) {
        in = DT_I32;
    }
    return array_map(e, op, in, n, args, span);
}

Value select_value(Elab *e, const Value *args, const Ast *call)
{
    const Value *c = &args[0];
    bool is_bool = c->kind == VALUE_BOOL || (c->kind == VALUE_TENSOR && c->array->dtype == DT_BOOL);
    if (!is_bool) {
        Diag *d = elab_error(e, E106, call->kids[1]->span, "`select` chooses by a bool");
        diag_label(d, "this is %s", value_kind_name(c));
        return value_poison();
    }
    if (c->kind == VALUE_BOOL && all_build(2, args + 1)) {
        Value chosen = args[c->i ? 1 : 2];
        bool mixed = args[1].kind == VALUE_FLOAT || args[2].kind == VALUE_FLOAT;
        return mixed && chosen.kind == VALUE_INT ? value_float((double)chosen.i) : chosen;
    }
    bool other = false;
    for (size_t i = 1; i < 3; i++) {
        other = other || (args[i].kind != VALUE_TENSOR && !all_build(1, &args[i]));
    }
    if (other && c->kind == VALUE_BOOL) {
        return args[c->i ? 1 : 2]; /* strings, lists, instances */
    }
    DType in = values_dtype(2, args + 1);
    bool ints = true;
    for (size_t i = 1; i < 3; i++) {
        ints = ints && (whole(&args[i]));
    }
    if (ints && in == DT_F32) {
        in = DT_I32;
    }
    if (c->kind == VALUE_TENSOR && c->clock == CLOCK_TENSOR && in == DT_F64) {
        Value all[3] = {args[0], args[1], args[2]};
        return array_map(e, OP_SELECT, DT_F32, 3, all, call->span);
    }
    return array_map(e, OP_SELECT, in, 3, args, call->span);
}

/* lerp(a, b, w) = a + (b - a) * w */
static Value fn_lerp(Elab *e, const Value *args, const Ast *call)
{
    Value d = eval_binary(e, STR("-"), &args[1], &args[0], call);
    d = eval_binary(e, STR("*"), &d, &args[2], call);
    return eval_binary(e, STR("+"), &args[0], &d, call);
}

static Value fn_clamp(Elab *e, const Value *args, const Ast *call)
{
    Value low = build_fn(e, OP_MAX, 2, (Value[]){args[0], args[1]}, call->span);
    return build_fn(e, OP_MIN, 2, (Value[]){low, args[2]}, call->span);
}

static Value fn_float(Elab *e, const Value *args, const Ast *call)
{
    const Value *v = &args[0];
    if (v->kind == VALUE_INT || v->kind == VALUE_BOOL) {
        return value_float((double)v->i);
    }
    if (v->kind == VALUE_FLOAT) {
        return *v;
    }
    Array a;
    if (!array_from(e, v, &a)) {
        return value_poison();
    }
    if (v->kind == VALUE_TENSOR && v->clock == CLOCK_STEP) {
        a.integral = false;
        array_cast(e, &a, DT_F64);
        return array_value(e, &a, CLOCK_STEP, call->span);
    }
    if (!dtype_is_float(a.dtype)) {
        array_cast(e, &a, DT_F32);
    }
    return array_value(e, &a, CLOCK_TENSOR, call->span);
}

static Value fn_int(Elab *e, const Value *args, const Ast *call)
{
    const Value *v = &args[0];
    if (v->kind == VALUE_INT) {
        return *v;
    }
    if (v->kind == VALUE_BOOL) {
        return value_int(v->i);
    }
    if (v->kind == VALUE_FLOAT) {
        if (v->f >= -9e18 && v->f <= 9e18) {
            return value_int((int64_t)v->f);
        }
        Diag *d = elab_error(e, E211, call->span, "this does not fit an int");
        diag_label(d, "%g", v->f);
        return value_poison();
    }
    Array a;
    if (!array_from(e, v, &a)) {
        return value_poison();
    }
    if (v->kind == VALUE_TENSOR && v->clock == CLOCK_STEP) {
        Value whole_part = array_map(e, OP_FLOOR, DT_F64, 1, v, call->span);
        Array r = *whole_part.array;
        r.integral = true;
        return array_value(e, &r, CLOCK_STEP, call->span);
    }
    if (a.position == NULL && (dtype_is_float(a.dtype) || a.dtype == DT_BOOL)) {
        array_cast(e, &a, DT_I32);
    }
    return array_value(e, &a, CLOCK_TENSOR, call->span);
}

/* --- shapes
 * ----------------------------------------------------------------------------------------------------
 */
/* reshape(x, [A, B]): row-major. Position d of the old shape is flat // stride % size. */
static Value fn_reshape(Elab *e, const Value *args, const Ast *call)
{
    Array a;
    if (args[1].kind != VALUE_LIST) {
        Diag *d = elab_error(e, E106, call->kids[2]->span, "`reshape` takes a tensor and a list");
        diag_help(d, "write `reshape(x, [B, T, D])`");
        return value_poison();
    }
    if (!array_strong(e, &args[0], &a)) {
        return value_poison();
    }
    array_settle(e, &a);
    array_node(e, &a, (Str){0}, call->span);
    Array y = {.dtype = a.dtype, .rank = args[1].n, .base = NODE_NONE};
    int64_t have = 1, want = 1;
    for (size_t i = 0; i < a.rank; i++) {
        have *= a.dims[i];
    }
    bool ok = y.rank <= MAX_RANK;
    for (size_t i = 0; ok && i < y.rank; i++) {
        const Value *dim = &args[1].items[i];
        Span span =
            call->kids[2]->kind == AST_LIST ? call->kids[2]->kids[i]->span : call->kids[2]->span;
        if (dim->kind != VALUE_INT) {
            Diag *d = elab_error(e, dim->kind == VALUE_TENSOR ? E208 : E207, span,
                                 "a shape must be known when the graph is built");
            diag_label(d, "this is %s", value_kind_name(dim));
            return value_poison();
        }
        y.dims[i] = dim->i;
        ok = dim->i > 0 && CHECKED_MUL(want, dim->i, &want) && want <= MOST_ELEMENTS;
    }
    if (!ok || want != have) {
        Str from = dims_text(e->c->arena, a.rank, a.dims);
        Str to = dims_text(e->c->arena, y.rank <= MAX_RANK ? y.rank : 0, y.dims);
        Diag *d = elab_error(e, E201, call->span, "`reshape` changes the number of elements");
        diag_label(d, "from " STR_FMT " (%lld) to " STR_FMT, STR_ARG(from), (long long)have,
                   STR_ARG(to));
        return value_poison();
    }
    ExprPool *pool = e->graph->pool;
    const Position *flat = pos_const(pool, 0), *at[MAX_RANK];
    for (size_t i = 0; i < y.rank; i++) {
        flat = pos_add(pool, pos_scale(pool, flat, y.dims[i]), pos_var(pool, array_var(e, &y, i)));
    }
    for (size_t i = 0; i < a.n_lead; i++) {
        at[i] = a.lead[i];
    }
    int64_t stride = have;
    for (size_t i = 0; i < a.rank; i++) {
        stride /= a.dims[i];
        const Position *p = stride > 1 ? pos_div(pool, flat, stride) : flat;
        if (i > 0 && a.dims[i] > 1) {
            p = pos_mod(pool, p, a.dims[i]);
        } else if (a.dims[i] == 1) {
            p = pos_const(pool, 0);
        }
        at[a.n_lead + i] = p;
    }
    y.body = sc_read(pool, a.dtype, a.base, a.n_lead + a.rank, at, NULL);
    return array_value(e, &y, CLOCK_TENSOR, call->span);
}

/* count(x): how many elements, as a float; total(count(x)) is the number over the whole set. */
static Value fn_count(Elab *e, const Value *args, const Ast *call)
{
    Array a;
    if (!array_from(e, &args[0], &a)) {
        return value_poison();
    }
    double n = 1;
    for (size_t i = 0; i < a.rank; i++) {
        n *= (double)a.dims[i];
    }
    return array_scalar(e, sc_const(e->graph->pool, DT_F32, n), CLOCK_TENSOR, call->span);
}

/* Does a parameter that trains reach the node? */
static bool reached(const Elab *e, NodeId node)
{
    const Graph *g = e->graph;
    bool *marked = NEW_ARRAY(g->arena, bool, node + 1);
    marked[node] = true;
    for (size_t i = node + 1; i-- > 0;) {
        const Node *n = graph_node(g, (NodeId)i);
        if (marked[i] && n->kind == NODE_PARAM && e->trainable[n->variable]) {
            return true;
        }
        for (size_t p = 0; marked[i] && p < n->n_pieces; p++) {
            ScalarList list = piece_list(g->arena, &n->pieces[p], n->rank);
            for (size_t k = 0; k < list.n; k++) {
                if (list.at[k]->kind == SCALAR_READ) {
                    marked[list.at[k]->tensor] = true;
                }
            }
        }
        for (size_t k = 0; marked[i] && k < n->n_args; k++) {
            marked[n->args[k]] = true;
        }
    }
    return false;
}

/* Of what parameters reach, a part of the update sees its own share: times the number of parts it
 * stands for the whole, and the loss is divided by that number. */
static Value total_of_parts(Elab *e, const Array *a, Span span)
{
    Value args[2] = {array_value(e, a, CLOCK_TENSOR, span), value_float((double)e->parts)};
    Value whole = array_map(e, OP_MUL, a->dtype, 2, args, span);
    Array all = *whole.array;
    array_node(e, &all, STR("total"), span);
    VEC_PUSH(elab_arena(e), e->multiplied, all.base);
    return array_value(e, &all, CLOCK_TENSOR, span);
}

static Value fn_total(Elab *e, const Value *args, const Ast *call)
{
    Array a;
    if (e->total_mode == TOTAL_IS_ERROR || e->state->ambient.len > 0) {
        Diag *d = elab_error(e, E512, call->span, "`total` has no meaning here");
        diag_help(d, "it stands in a metric or in the loss, outside of equations");
        return value_poison();
    }
    if (!array_strong(e, &args[0], &a)) {
        return value_poison();
    }
    if (e->total_mode == TOTAL_IS_VALUE) {
        return array_value(e, &a, CLOCK_TENSOR, call->span);
    }
    if (!dtype_is_float(a.dtype) || dtype_is_short(a.dtype)) {
        array_cast(e, &a, DT_F64);
    }
    array_node(e, &a, (Str){0}, call->span);
    if (e->total_mode == TOTAL_IS_UPDATE && reached(e, a.base)) {
        return total_of_parts(e, &a, call->span);
    }
    Total total = {.value = a.base, .rank = a.rank};
    for (size_t i = 0; i < a.rank; i++) {
        total.dims[i] = a.dims[i];
    }
    for (size_t i = 0; i < e->totals.len; i++) {
        if (e->totals.at[i].value == a.base) { /* the same sum again */
            return array_of_node(e, e->totals.at[i].state, CLOCK_TENSOR, call->span);
        }
    }
    total.variable = e->first_total + (uint32_t)e->totals.len;
    Str name = str_format(elab_arena(e), "total.%zu", e->totals.len);
    total.state =
        graph_leaf(e->graph, NODE_STATE, DT_F64, a.rank, a.dims, name, total.variable, call->span);
    VEC_PUSH(elab_arena(e), e->totals, total);
    return array_of_node(e, total.state, CLOCK_TENSOR, call->span);
}

/* --- random draws
 * -------------------------------------------------------------------------------------------------
 */
/* Keyed by the instance and how many draws it has made before in this graph. */
static uint64_t draw_key(Elab *e, const Scope *scope)
{
    Str path = scope->instance != NULL ? scope->instance->path : STR("");
    uint64_t *count = map_get(&e->state->draws, path);
    if (count == NULL) {
        count = NEW(elab_arena(e), uint64_t);
        map_set(&e->state->draws, path, count);
    }
    Str text =
        str_format(elab_arena(e), STR_FMT "#%llu", STR_ARG(path), (unsigned long long)(*count)++);
    return str_hash(text);
}

static const Scalar *uniform_draw(Elab *e, uint64_t key, int64_t every, int64_t offset)
{
    ExprPool *pool = e->graph->pool;
    if (e->state->flat == NULL) {
        e->state->flat = var_new(pool, MOST_ELEMENTS, STR("element"));
    }
    const Position *p = pos_scale(pool, pos_var(pool, e->state->flat), every);
    return sc_random(pool, key, pos_shift(pool, p, offset));
}

/* A rank-0 array of the argument's value in f32. */
static const Scalar *draw_argument(Elab *e, const Value *v)
{
    Array a;
    if (!array_strong(e, v, &a)) {
        return NULL;
    }
    array_settle(e, &a);
    if (a.rank > 0 || a.dtype == DT_BOOL) {
        elab_error(e, E212, v->span, "a draw's argument is one number");
        return NULL;
    }
    array_cast(e, &a, DT_F32);
    return array_body(e, &a);
}

static Value fn_draw(Elab *e, Scope *scope, Str name, size_t n, const Value *args, const Ast *call)
{
    const Scalar *x[2] = {NULL};
    for (size_t i = 0; i < n; i++) {
        x[i] = draw_argument(e, &args[i]);
        if (x[i] == NULL) {
            return value_poison();
        }
    }
    ExprPool *pool = e->graph->pool;
    uint64_t key = draw_key(e, scope);
    Array a = {.dtype = e->real, .base = NODE_NONE, .draws = true};
    double p;
    if (str_is(name, "bernoulli") && sc_is_const(x[0], &p) && (p <= 0 || p >= 1)) {
        a.body = sc_const(pool, DT_F32, p >= 1); /* certain: no draw */
        a.draws = false;
    } else if (str_is(name, "bernoulli")) {
        const Scalar *hit = sc_fn2(pool, OP_LT, uniform_draw(e, key, 1, 0), x[0]);
        a.body = sc_fn3(pool, OP_SELECT, hit, sc_const(pool, DT_F32, 1), sc_const(pool, DT_F32, 0));
    } else if (str_is(name, "uniform")) {
        const Scalar *width = sc_fn2(pool, OP_SUB, x[1], x[0]);
        a.body =
            sc_fn2(pool, OP_ADD, x[0], sc_fn2(pool, OP_MUL, width, uniform_draw(e, key, 1, 0)));
    } else { /* Box and Muller 1958 */
        const Scalar *u =
            sc_fn2(pool, OP_SUB, sc_const(pool, DT_F32, 1), uniform_draw(e, key, 2, 0));
        const Scalar *r =
            sc_fn1(pool, OP_SQRT,
                   sc_fn2(pool, OP_MUL, sc_const(pool, DT_F32, -2), sc_fn1(pool, OP_LOG, u)));
        const Scalar *turn = sc_fn2(pool, OP_MUL, sc_const(pool, DT_F32, 6.283185307179586),
                                    uniform_draw(e, key, 2, 1));
        a.body = sc_fn2(pool, OP_MUL, x[0], sc_fn2(pool, OP_MUL, r, sc_fn1(pool, OP_COS, turn)));
    }
    return array_value(e, &a, CLOCK_TENSOR, call->span);
}

/* --- by name
 * ----------------------------------------------------------------------------------------------------------
 */
typedef Value BuiltinFn(Elab *e, const Value *args, const Ast *call);
#define INTRINSIC(name, arguments)                                                                 \
    static Value fn_##name(Elab *e, const Value *args, const Ast *call)                            \
    {                                                                                              \
        return intrinsic_value(e, STR(#name), arguments, args, call);                              \
    }
#include "graph/intrinsic.def"
#undef INTRINSIC

typedef struct BuiltinRow {
    const char *name;
    size_t n;
    BuiltinFn *fn; /* NULL: a draw */
    bool graph;    /* needs one */
} BuiltinRow;
static const BuiltinRow builtin_rows[] = {
    {"select", 3, select_value, false}, {"lerp", 3, fn_lerp, false},  {"clamp", 3, fn_clamp, false},
    {"float", 1, fn_float, false},   {"int", 1, fn_int, false},    {"reshape", 2, fn_reshape, true},
    {"count", 1, fn_count, true},    {"total", 1, fn_total, true}, {"bernoulli", 1, NULL, true},
    {"normal", 1, NULL, true},       {"uniform", 2, NULL, true},
#define INTRINSIC(name, arguments) {#name, arguments, fn_##name, true},
#include "graph/intrinsic.def"
#undef INTRINSIC
};
enum { BUILTIN_ROWS = sizeof builtin_rows / sizeof *builtin_rows };

static const Str all_names[] = {
    {"abs", 3},    {"sign", 4},    {"floor", 5}, {"ceil", 4},          {"round", 5},
    {"exp", 3},    {"expm1", 5},   {"log", 3},   {"log1p", 5},         {"log2", 4},
    {"sqrt", 4},   {"rsqrt", 5},   {"sin", 3},   {"cos", 3},           {"tan", 3},
    {"asin", 4},   {"acos", 4},    {"atan", 4},  {"atan2", 5},         {"sinh", 4},
    {"cosh", 4},   {"tanh", 4},    {"erf", 3},   {"isnan", 5},         {"isinf", 5},
    {"stop", 4},   {"select", 6},  {"lerp", 4},  {"clamp", 5},         {"float", 5},
    {"int", 3},    {"reshape", 7}, {"count", 5}, {"total", 5},         {"bernoulli", 9},
    {"normal", 6}, {"uniform", 7}, {"len", 3},   {"inverse_root", 12}, {"eigh", 4},
    {"qr", 2},     {"pi", 2},
    {"inf", 3},    {"training", 8}};

size_t builtin_names(const Str **names)
{
    *names = all_names;
    return sizeof all_names / sizeof *all_names;
}

bool language_has(Str name)
{
    for (size_t i = 0; i < sizeof all_names / sizeof *all_names; i++) {
        if (str_eq(name, all_names[i])) {
            return true;
        }
    }
    return init_exists(name);
}

bool builtin_exists(Str name)
{
    const size_t functions = sizeof all_names / sizeof *all_names - 3;
    for (size_t i = 0; i < functions; i++) {
        if (str_eq(name, all_names[i])) {
            return true;
        }
    }
    return false;
}

/* An instance without variables trains when its parent does; outside a module all training is. */
static bool is_training(const Elab *e, const Instance *in)
{
    e->c->asks_training = true;
    bool any = false, trainable = true;
    for (; in != NULL && !any; in = in->parent) {
        trainable = instance_trainable(e, in, &any);
    }
    return e->training && (!any || trainable);
}

Value builtin_constant(Elab *e, Scope *scope, Str name, Span span)
{
    Value v = str_is(name, "pi")    ? value_float(3.14159265358979323846)
              : str_is(name, "inf") ? value_float((double)INFINITY)
                                    : value_bool(is_training(e, scope->instance));
    v.span = span;
    return v;
}

static Value fn_len(Elab *e, const Value *v, const Ast *call)
{
    if (v->kind == VALUE_LIST || v->kind == VALUE_INSTANCES) {
        return value_int((int64_t)v->n);
    }
    Diag *d = elab_error(e, E106, call->span, "`len` is of lists and module arrays");
    diag_label(d, "this is %s", value_kind_name(v));
    return value_poison();
}

static bool builtin_arguments(Elab *e, Scope *scope, Str name, size_t want, size_t n,
                              Ast *const *args, const Ast *call, Value *values)
{
    bool ok = n == want;
    if (!ok) {
        Diag *d = elab_error(e, E107, call->span, "`" STR_FMT "` takes %zu argument%s",
                             STR_ARG(name), want, want == 1 ? "" : "s");
        diag_label(d, "%zu here", n);
        if (str_is(name, "reshape") && n > 2) {
            diag_help(d, "the shape is a list: `reshape(x, [N, D])`");
        }
    }
    for (size_t i = 0; i < n && ok; i++) {
        if (args[i]->kind == AST_NAMED) {
            elab_error(e, E103, args[i]->name, "the arguments of `" STR_FMT "` have no names",
                       STR_ARG(name));
            return false;
        }
        values[i] = eval(e, scope, args[i]);
        ok = values[i].kind != VALUE_POISON;
    }
    return ok;
}

Value builtin_call(Elab *e, Scope *scope, Str name, size_t n, Ast *const *args, const Ast *call)
{
    Value values[3];
    for (size_t i = 0; i < SCALAR_ROWS; i++) {
        const ScalarRow *row = &scalar_rows[i];
        if (!str_is(name, row->name)) {
            continue;
        }
        if (!builtin_arguments(e, scope, name, (size_t)row->n, n, args, call, values)) {
            return value_poison();
        }
        return build_fn(e, row->op, (size_t)row->n, values, call->span);
    }
    for (size_t i = 0; i < BUILTIN_ROWS; i++) {
        const BuiltinRow *row = &builtin_rows[i];
        if (!str_is(name, row->name)) {
            continue;
        }
        if (!builtin_arguments(e, scope, name, row->n, n, args, call, values)) {
            return value_poison();
        }
        bool tensors = row->graph;
        for (size_t k = 0; k < n; k++) {
            tensors = tensors || values[k].kind == VALUE_TENSOR;
        }
        if (tensors && e->graph == NULL) {
            elab_error(e, E208, call->span, "a value known at build time is needed here");
            return value_poison();
        }
        return row->fn != NULL ? row->fn(e, values, call)
                               : fn_draw(e, scope, name, n, values, call);
    }
    assert(str_is(name, "len"));
    return builtin_arguments(e, scope, name, 1, n, args, call, values) ? fn_len(e, values, call)
                                                                       : value_poison();
}
