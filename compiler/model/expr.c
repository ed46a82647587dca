/* expr: expressions to values: literals, operators, conditions. Reads and reductions are in
 * equation.c, calls in function.c. Ints are exact (E202, overflow is an error); build floats are
 * doubles; whole arrays combine by the broadcasting rule of array.c. */
#include <assert.h>
#include <math.h>

#include "model/internal.h"

static bool is_bool(const Value *v)
{
    return v->kind == VALUE_BOOL || (v->kind == VALUE_TENSOR && v->array->dtype == DT_BOOL);
}

static Value mismatch(Elab *e, Str op, const Value *a, const Value *b, const Ast *at)
{
    Diag *d = elab_error(e, E106, at->span, "`" STR_FMT "` does not apply here", STR_ARG(op));
    diag_label(d, "between %s and %s", value_kind_name(a), value_kind_name(b));
    if (is_bool(a) || is_bool(b)) {
        diag_help(d, "`float(…)` is 1 where it is true; `select(c, a, b)` chooses");
    }
    return value_poison();
}

/* --- build clock ----------------------------------------------------------------------------- */
static Value overflow(Elab *e, const Ast *at, Str op, int64_t a, int64_t b)
{
    Diag *d = elab_error(e, E211, at->span, "int overflow");
    diag_label(d, "%lld " STR_FMT " %lld", (long long)a, STR_ARG(op), (long long)b);
    return value_poison();
}

static Value divide_exactly(Elab *e, const Ast *at, int64_t a, int64_t b)
{
    if (b != 0 && a % b == 0) {
        return value_int(a / b);
    }
    Diag *d =
        elab_error(e, E202, at->span, "%lld is not divisible by %lld", (long long)a, (long long)b);
    Str left = at->kids[0]->kind == AST_NAME ? at->kids[0]->text : (Str){0};
    Str right = at->kids[1]->kind == AST_NAME ? at->kids[1]->text : (Str){0};
    Buf names = buf_new(e->c->arena);
    if (left.len > 0) {
        buf_printf(&names, STR_FMT " = %lld", STR_ARG(left), (long long)a);
    }
    if (right.len > 0) {
        buf_printf(&names, "%s" STR_FMT " = %lld", left.len > 0 ? ", " : "", STR_ARG(right),
                   (long long)b);
    }
    if (names.len > 0) {
        diag_label(d, STR_FMT, STR_ARG(buf_str(&names)));
    }
    Buf text = buf_new(e->c->arena);
    int64_t k = b < a ? b : a;
    while (k > 1 && a % k != 0) { /* the nearest below, then those above */
        k--;
    }
    for (int found = 0; b > 1 && k >= 1 && k <= a && found < 3; k++) {
        if (a % k == 0) {
            buf_printf(&text, "%s%lld", found++ > 0 ? ", " : "", (long long)k);
        }
    }
    Str divisors = buf_str(&text);
    if (b != 0) {
        diag_edit(d, at->name, STR("//"));
    }
    if (divisors.len > 0) {
        diag_help(d, "choose a divisor of %lld (" STR_FMT "%s) or use `//` to round down",
                  (long long)a, STR_ARG(divisors), k <= a ? ", …" : "");
    } else {
        diag_help(d, "use `//` to round down");
    }
    return value_poison();
}

static int64_t floor_div(int64_t a, int64_t b)
{
    int64_t q = a / b;
    return a % b != 0 && (a < 0) != (b < 0) ? q - 1 : q;
}

static Value int_power(Elab *e, const Ast *at, int64_t a, int64_t b)
{
    int64_t r = 1;
    for (int64_t i = 0; i < b; i++) {
        if (!CHECKED_MUL(r, a, &r)) {
            return overflow(e, at, STR("^"), a, b);
        }
        if (r == 0 || (r == 1 && a == 1)) {
            break;
        }
        if (a == -1 && i > 1) {
            return value_int(b % 2 == 0 ? 1 : -1);
        }
    }
    return value_int(r);
}

static Value int_binary(Elab *e, Str op, int64_t a, int64_t b, const Ast *at)
{
    int64_t r;
    if (str_is(op, "+")) {
        return CHECKED_ADD(a, b, &r) ? value_int(r) : overflow(e, at, op, a, b);
    }
    if (str_is(op, "-")) {
        return CHECKED_SUB(a, b, &r) ? value_int(r) : overflow(e, at, op, a, b);
    }
    if (str_is(op, "*")) {
        return CHECKED_MUL(a, b, &r) ? value_int(r) : overflow(e, at, op, a, b);
    }
    if (str_is(op, "^") && b >= 0) {
        return int_power(e, at, a, b);
    }
    if (str_is(op, "^")) {
        return value_float(pow((double)a, (double)b));
    }
    if (b == 0 || (a == INT64_MIN && b == -1)) {
        Diag *d = elab_error(e, b == 0 ? E202 : E211, at->span,
                             b == 0 ? "division by zero" : "int overflow");
        diag_label(d, "%lld " STR_FMT " %lld", (long long)a, STR_ARG(op), (long long)b);
        return value_poison();
    }
    if (str_is(op, "/")) {
        return divide_exactly(e, at, a, b);
    }
    if (str_is(op, "//")) {
        return value_int(floor_div(a, b));
    }
    assert(str_is(op, "%"));
    return value_int(a - floor_div(a, b) * b);
}

static double number(const Value *v)
{
    return v->kind == VALUE_FLOAT ? v->f : (double)v->i;
}

static bool is_comparison(Str op)
{
    return str_is(op, "==") || str_is(op, "!=") || str_is(op, "<") || str_is(op, "<=") ||
           str_is(op, ">") || str_is(op, ">=");
}

static bool compare(Str op, double a, double b)
{
    if (str_is(op, "<")) {
        return a < b;
    }
    if (str_is(op, "<=")) {
        return a <= b;
    }
    return str_is(op, ">") ? a > b : a >= b;
}

static Value build_binary(Elab *e, Str op, const Value *a, const Value *b, const Ast *at)
{
    if (str_is(op, "==") || str_is(op, "!=")) {
        bool comparable = a->kind == b->kind || (value_is_number(a) && value_is_number(b));
        if (!comparable) {
            return mismatch(e, op, a, b, at);
        }
        return value_bool(value_equal(a, b) == str_is(op, "=="));
    }
    if (str_is(op, "and") || str_is(op, "or")) {
        if (a->kind != VALUE_BOOL || b->kind != VALUE_BOOL) {
            return mismatch(e, op, a, b, at);
        }
        return value_bool(str_is(op, "and") ? a->i && b->i : a->i || b->i);
    }
    if (a->kind == VALUE_STRING && b->kind == VALUE_STRING && str_is(op, "+")) {
        return value_str(str_join(e->c->arena, a->s, "", b->s));
    }
    if (!value_is_number(a) || !value_is_number(b)) {
        return mismatch(e, op, a, b, at);
    }
    if (a->kind == VALUE_INT && b->kind == VALUE_INT) {
        if (is_comparison(op)) {
            return value_bool(str_is(op, "<")    ? a->i < b->i
                              : str_is(op, "<=") ? a->i <= b->i
                              : str_is(op, ">")  ? a->i > b->i
                                                 : a->i >= b->i);
        }
        return int_binary(e, op, a->i, b->i, at);
    }
    double x = number(a), y = number(b);
    if (is_comparison(op)) {
        return value_bool(compare(op, x, y));
    }
    if (str_is(op, "+")) {
        return value_float(x + y);
    }
    if (str_is(op, "-")) {
        return value_float(x - y);
    }
    if (str_is(op, "*")) {
        return value_float(x * y);
    }
    if (str_is(op, "/")) {
        return value_float(x / y);
    }
    if (str_is(op, "^")) {
        return value_float(pow(x, y));
    }
    if (str_is(op, "//")) {
        return value_float(floor(x / y));
    }
    assert(str_is(op, "%"));
    return value_float(x - floor(x / y) * y);
}

/* --- index arithmetic ------------------------------------------------------------------------ */
static const Position *as_position(Elab *e, const Value *v)
{
    if (v->kind == VALUE_INT) {
        return pos_const(e->graph->pool, v->i);
    }
    return v->kind == VALUE_TENSOR ? v->array->position : NULL;
}

static bool is_index(const Value *v)
{
    return v->kind == VALUE_TENSOR && v->array->position != NULL;
}

/* Both are ints of index arithmetic; false: not expressible as a position. */
static bool index_binary(Elab *e, Str op, const Position *a, const Position *b, const Ast *at,
                         Value *result)
{
    ExprPool *pool = e->graph->pool;
    int64_t k;
    if (str_is(op, "+")) {
        *result = array_index(e, pos_add(pool, a, b), at->span);
    } else if (str_is(op, "-")) {
        *result = array_index(e, pos_sub(pool, a, b), at->span);
    } else if (str_is(op, "*") && pos_is_const(b, &k)) {
        *result = array_index(e, pos_scale(pool, a, k), at->span);
    } else if (str_is(op, "*") && pos_is_const(a, &k)) {
        *result = array_index(e, pos_scale(pool, b, k), at->span);
    } else if ((str_is(op, "//") || str_is(op, "%")) && pos_is_const(b, &k) && k > 0) {
        *result =
            array_index(e, str_is(op, "//") ? pos_div(pool, a, k) : pos_mod(pool, a, k), at->span);
    } else {
        return false;
    }
    return true;
}

/* a OP b on indices is a condition lo <= a - b < hi. */
static Value index_compare(Elab *e, Str op, const Position *a, const Position *b, Span span)
{
    ExprPool *pool = e->graph->pool;
    const Position *p = pos_sub(pool, a, b);
    int64_t lo = p->min, hi = p->max + 1;
    if (str_is(op, "==") || str_is(op, "!=")) {
        lo = 0;
        hi = 1;
    } else if (str_is(op, "<")) {
        hi = 0;
    } else if (str_is(op, "<=")) {
        hi = 1;
    } else if (str_is(op, ">")) {
        lo = 1;
    } else {
        lo = 0;
    }
    const Scalar *within = lo < hi ? sc_within(pool, lo, p, hi) : sc_const(pool, DT_BOOL, 0);
    if (str_is(op, "!=")) {
        within = sc_fn1(pool, OP_NOT, within);
    }
    return array_scalar(e, within, CLOCK_TENSOR, span);
}

static bool int_scalar(const Value *v)
{
    return v->kind == VALUE_TENSOR && v->array->rank == 0 && v->clock == CLOCK_TENSOR &&
           v->array->dtype != DT_BOOL && !dtype_is_float(v->array->dtype) &&
           v->array->reduce == REDUCE_NONE && !v->array->draws;
}

/* An int tensor's element compared with an index is a condition on a position with data. */
static const Position *comparable_position(Elab *e, const Value *v)
{
    const Position *p = as_position(e, v);
    if (p != NULL || !int_scalar(v)) {
        return p;
    }
    return scalar_position(e, v->array->body);
}

/* --- tensors --------------------------------------------------------------------------------- */
static Value logic(Elab *e, Str op, const Value *a, const Value *b, const Ast *at)
{
    if (!is_bool(a) || !is_bool(b)) {
        return mismatch(e, op, a, b, at);
    }
    Value args[2] = {*a, *b};
    return array_map(e, str_is(op, "and") ? OP_AND : OP_OR, DT_BOOL, 2, args, at->span);
}

static Value comparison(Elab *e, Str op, const Value *a, const Value *b, const Ast *at)
{
    bool equality = str_is(op, "==") || str_is(op, "!=");
    if (is_bool(a) != is_bool(b) || (is_bool(a) && !equality)) {
        return mismatch(e, op, a, b, at);
    }
    bool swap = str_is(op, ">") || str_is(op, ">=");
    Value args[2] = {swap ? *b : *a, swap ? *a : *b};
    DType in = values_dtype(2, args);
    bool ints = !dtype_is_float(in) && a->kind != VALUE_FLOAT && b->kind != VALUE_FLOAT;
    if (!ints && !is_bool(a) && !dtype_is_float(in)) {
        in = DT_F32;
    }
    ScalarOp fn = str_is(op, "==")                     ? OP_EQ
                  : str_is(op, "!=")                   ? OP_NE
                  : str_is(op, "<") || str_is(op, ">") ? OP_LT
                                                       : OP_LE;
    return array_map(e, fn, in, 2, args, at->span);
}

/* x^n for small whole n is a product: exact, and defined for negative x. */
static Value power(Elab *e, const Value *a, const Value *b, const Ast *at)
{
    Value args[2] = {*a, *b};
    DType in = values_dtype(2, args);
    double n = value_is_number(b) ? number(b) : 0;
    if (a->kind == VALUE_TENSOR && n >= 1 && n <= 8 && n == floor(n) &&
        (b->kind == VALUE_INT || dtype_is_float(a->array->dtype))) {
        DType own = a->clock == CLOCK_STEP ? DT_F64 : in;
        Value square = n >= 2 ? array_map(e, OP_MUL, own, 2, (Value[]){*a, *a}, at->span) : *a;
        for (int i = 2; i < (int)n && square.kind != VALUE_POISON; i++) {
            square = array_map(e, OP_MUL, own, 2, (Value[]){square, *a}, at->span);
        }
        return square;
    }
    return array_map(e, OP_POW, dtype_is_float(in) ? in : DT_F32, 2, args, at->span);
}

/* a - floor(a / b) * b of floats and step ints, which have no MOD of their own */
static Value float_floor_div(Elab *e, Str op, const Value *a, const Value *b, DType in, Span span)
{
    Value q = array_map(e, OP_DIV, in, 2, (Value[]){*a, *b}, span);
    if (q.kind == VALUE_POISON) {
        return q;
    }
    q = array_map(e, OP_FLOOR, in, 1, &q, span);
    if (str_is(op, "//")) {
        return q;
    }
    Value whole = array_map(e, OP_MUL, in, 2, (Value[]){q, *b}, span);
    return array_map(e, OP_SUB, in, 2, (Value[]){*a, whole}, span);
}

static bool integral(const Value *v)
{
    return v->kind == VALUE_INT ||
           (v->kind == VALUE_TENSOR && v->clock == CLOCK_STEP && v->array->integral);
}

static Value arithmetic(Elab *e, Str op, const Value *a, const Value *b, const Ast *at)
{
    if (is_bool(a) || is_bool(b)) {
        Value v = mismatch(e, op, a, b, at);
        return v;
    }
    Value args[2] = {*a, *b};
    DType in = values_dtype(2, args);
    bool divides = str_is(op, "/");
    if (divides && (is_index(a) || (a->kind == VALUE_TENSOR && integral(a))) &&
        (b->kind == VALUE_INT || is_index(b) || integral(b))) {
        Diag *d =
            elab_error(e, E207, at->span, "`/` on %s", is_index(a) ? "an index" : "a step int");
        diag_label(d, "an int that may not divide");
        diag_help(d, "write `float(…) / …`, or `//` to round down");
        diag_edit_around(d, at->kids[0]->span, "float(", ")");
        return value_poison();
    }
    if (str_is(op, "^")) {
        return power(e, a, b, at);
    }
    if (is_index(a) || is_index(b)) {
        bool real = a->kind == VALUE_FLOAT || b->kind == VALUE_FLOAT;
        in = real && !dtype_is_float(in) ? DT_F32 : in;
    }
    bool whole = !dtype_is_float(in);
    if (str_is(op, "//") || str_is(op, "%")) {
        if (!whole) {
            bool steps = integral(a) && integral(b);
            Value v = float_floor_div(e, op, a, b, in, at->span);
            if (v.kind == VALUE_TENSOR && steps) {
                Array result = *v.array;
                result.integral = true;
                v = array_value(e, &result, v.clock, at->span);
            }
            return v;
        }
        return array_map(e, str_is(op, "%") ? OP_MOD : OP_IDIV, in, 2, args, at->span);
    }
    if (divides) {
        return array_map(e, OP_DIV, whole ? DT_F32 : in, 2, args, at->span);
    }
    ScalarOp fn = str_is(op, "+") ? OP_ADD : str_is(op, "-") ? OP_SUB : OP_MUL;
    return array_map(e, fn, in, 2, args, at->span);
}

/* a @ b: the last dimension of a with the second-last of b. */
static Value contraction(Elab *e, const Value *va, const Value *vb, const Ast *at)
{
    Array a, b;
    if (!array_from(e, va, &a) || !array_from(e, vb, &b)) {
        return value_poison();
    }
    Str left = dims_text(e->c->arena, a.rank, a.dims),
        right = dims_text(e->c->arena, b.rank, b.dims);
    size_t la = a.rank - 2, lb = b.rank - 2;
    bool ok = a.rank >= 2 && b.rank >= 2 && a.dims[a.rank - 1] == b.dims[b.rank - 2] &&
              (la == lb || la == 0 || lb == 0);
    for (size_t i = 0; ok && la == lb && i < la; i++) {
        ok = a.dims[i] == b.dims[i];
    }
    if (!ok) {
        bool vectors = a.rank < 2 || b.rank < 2;
        Diag *d = elab_error(e, vectors ? E206 : E201, at->span, "`@` does not fit");
        diag_label(d, STR_FMT " @ " STR_FMT, STR_ARG(left), STR_ARG(right));
        diag_note(d, "the last dimension of the left meets the second-last of the right; leading "
                     "dimensions are equal, or absent on one side; both have at least two dimensions");
        diag_help(d, vectors ? "write the sum: `y[i] = sum[k] a[i, k] * b[k]`"
                             : "`.T` swaps the last two dimensions");
        return value_poison();
    }
    DType in = values_dtype(2, (Value[]){*va, *vb});
    if (!dtype_is_short(a.dtype)) {
        array_cast(e, &a, in);
    }
    if (!dtype_is_short(b.dtype)) {
        array_cast(e, &b, in);
    }
    bool view = a.body->kind == SCALAR_READ && a.body->fill == NULL && a.reduce == REDUCE_NONE;
    if (!view) {
        array_node(e, &a, (Str){0}, va->span);
    }
    view = b.body->kind == SCALAR_READ && b.body->fill == NULL && b.reduce == REDUCE_NONE;
    if (!view) {
        array_node(e, &b, (Str){0}, vb->span);
    }
    if (a.rank < 2 || b.rank < 2) {          /* too large, which was said: a stand-in */
        return value_poison();
    }
    ExprPool *pool = e->graph->pool;
    const Array *longer = la >= lb ? &a : &b;
    Array y = {
        .dtype = real_dtype(e, 2, (Value[]){*va, *vb}, in), .rank = longer->rank, .base = NODE_NONE,
        .reduce = REDUCE_SUM, .n_reduced = 1};
    for (size_t i = 0; i + 2 < y.rank; i++) {
        y.dims[i] = longer->dims[i];
    }
    y.dims[y.rank - 2] = a.dims[a.rank - 2];
    y.dims[y.rank - 1] = b.dims[b.rank - 1];
    y.reduced[0] = var_new(pool, a.dims[a.rank - 1], STR("k"));
    const Position *k = pos_var(pool, y.reduced[0]);
    const Var *from = array_var(e, &a, a.rank - 1);
    const Scalar *x = sc_subst(pool, a.body, &(Subst){.n = 1, .from = &from, .to = &k});
    from = array_var(e, &b, b.rank - 2);
    const Scalar *w = sc_subst(pool, b.body, &(Subst){.n = 1, .from = &from, .to = &k});
    y.body = sc_fn2(pool, OP_MUL, sc_cast(pool, in, x), sc_cast(pool, in, w));
    return array_value(e, &y, CLOCK_TENSOR, at->span);
}

static bool is_build(const Value *v)
{
    return v->kind == VALUE_INT || v->kind == VALUE_FLOAT || v->kind == VALUE_BOOL ||
           v->kind == VALUE_STRING;
}

static bool is_operand(const Value *v)
{
    return v->kind == VALUE_TENSOR || value_is_number(v) || v->kind == VALUE_BOOL ||
           v->kind == VALUE_LIST;
}

Value eval_binary(Elab *e, Str op, const Value *a, const Value *b, const Ast *at)
{
    if (a->kind == VALUE_POISON || b->kind == VALUE_POISON) {
        return value_poison();
    }
    if (str_is(op, "@") && is_operand(a) && is_operand(b) && e->graph != NULL) {
        return contraction(e, a, b, at);
    }
    if (is_build(a) && is_build(b) && !str_is(op, "@")) {
        return build_binary(e, op, a, b, at);
    }
    if (a->kind == VALUE_LIST && b->kind == VALUE_LIST && (str_is(op, "==") || str_is(op, "!="))) {
        return value_bool(value_equal(a, b) == str_is(op, "=="));
    }
    if (!is_operand(a) || !is_operand(b) || e->graph == NULL || str_is(op, "@")) {
        return mismatch(e, op, a, b, at);
    }
    if (is_index(a) || is_index(b)) {
        const Position *p = as_position(e, a), *q = as_position(e, b);
        Value result;
        if (p != NULL && q != NULL && !is_comparison(op) &&
            index_binary(e, op, p, q, at, &result)) {
            return result;
        }
        p = comparable_position(e, a);
        q = comparable_position(e, b);
        if (p != NULL && q != NULL && is_comparison(op)) {
            return index_compare(e, op, p, q, at->span);
        }
    }
    if (str_is(op, "and") || str_is(op, "or")) {
        return logic(e, op, a, b, at);
    }
    if (is_comparison(op)) {
        return comparison(e, op, a, b, at);
    }
    return arithmetic(e, op, a, b, at);
}

static Value eval_unary(Elab *e, Scope *scope, const Ast *expr)
{
    Value v = eval(e, scope, expr->kids[0]);
    if (v.kind == VALUE_POISON) {
        return v;
    }
    if (str_is(expr->text, "not")) {
        if (v.kind == VALUE_BOOL) {
            return value_bool(!v.i);
        }
        if (is_bool(&v)) {
            return array_map(e, OP_NOT, DT_BOOL, 1, &v, expr->span);
        }
    } else {
        if (v.kind == VALUE_INT) {
            return v.i != INT64_MIN ? value_int(-v.i) : overflow(e, expr, STR("-"), 0, v.i);
        }
        if (v.kind == VALUE_FLOAT) {
            return value_float(-v.f);
        }
        if (is_index(&v)) {
            return array_index(e, pos_scale(e->graph->pool, v.array->position, -1), expr->span);
        }
        if ((v.kind == VALUE_TENSOR || v.kind == VALUE_LIST) && !is_bool(&v) && e->graph != NULL) {
            return array_map(e, OP_NEG, values_dtype(1, &v), 1, &v, expr->span);
        }
    }
    Diag *d =
        elab_error(e, E106, expr->span, "`" STR_FMT "` does not apply here", STR_ARG(expr->text));
    diag_label(d, "to %s", value_kind_name(&v));
    return value_poison();
}

/* --- dispatch
 * --------------------------------------------------------------------------------------------------
 */
static Value eval_name(Elab *e, Scope *scope, const Ast *expr)
{
    Meaning m = lookup(e, scope, expr);
    if (m.kind == MEANING_VALUE) {
        return m.value;
    }
    if (m.kind == MEANING_NONE) {
        return value_poison();
    }
    const char *what = m.kind == MEANING_MODULE      ? "a module"
                       : m.kind == MEANING_OPTIMIZER ? "an optimizer"
                                                     : "a function";
    Diag *d =
        elab_error(e, E106, expr->span, "`" STR_FMT "` is %s, not a value", STR_ARG(m.name), what);
    if (m.kind == MEANING_FN || m.kind == MEANING_BUILTIN) {
        diag_help(d, "call it: `" STR_FMT "(…)`", STR_ARG(m.name));
    } else if (m.kind == MEANING_MODULE) {
        diag_help(d, "instances are declared in a module's body: `name: " STR_FMT "(…)`",
                  STR_ARG(m.name));
    }
    return value_poison();
}

static Value eval_list(Elab *e, Scope *scope, const Ast *expr)
{
    Value *items = NEW_ARRAY(elab_arena(e), Value, expr->n + 1);
    for (size_t i = 0; i < expr->n; i++) {
        if (expr->kids[i]->kind == AST_ELLIPSIS) {
            elab_error(e, E106, expr->kids[i]->span, "`..` has no meaning in a list");
            return value_poison();
        }
        items[i] = eval(e, scope, expr->kids[i]);
        if (items[i].kind == VALUE_POISON) {
            return items[i];
        }
    }
    return value_list(expr->n, items);
}

static Value eval_kind(Elab *e, Scope *scope, const Ast *expr)
{
    if (expr->kind == AST_NAME || expr->kind == AST_MEMBER) {
        return eval_name(e, scope, expr);
    }
    if (expr->kind == AST_INT) {
        return value_int(expr->ival);
    }
    if (expr->kind == AST_FLOAT) {
        return value_float(expr->fval);
    }
    if (expr->kind == AST_STRING) {
        return value_str(expr->text);
    }
    if (expr->kind == AST_BOOL) {
        return value_bool(expr->ival != 0);
    }
    if (expr->kind == AST_LIST) {
        return eval_list(e, scope, expr);
    }
    if (expr->kind == AST_BINARY) {
        Value a = eval(e, scope, expr->kids[0]), b = eval(e, scope, expr->kids[1]);
        return eval_binary(e, expr->text, &a, &b, expr);
    }
    if (expr->kind == AST_UNARY) {
        return eval_unary(e, scope, expr);
    }
    if (expr->kind == AST_CALL) {
        return eval_call(e, scope, expr);
    }
    if (expr->kind == AST_SUBSCRIPT) {
        return eval_subscript(e, scope, expr);
    }
    if (expr->kind == AST_REDUCE) {
        return eval_reduce(e, scope, expr);
    }
    if (expr->kind == AST_REDUCE_CALL) {
        return eval_reduce_call(e, scope, expr);
    }
    if (expr->kind == AST_PRIMED) {
        return read_prime(e, scope, expr);
    }
    return value_poison(); /* AST_ERROR: already reported */
}

Value eval(Elab *e, Scope *scope, const Ast *expr)
{
    for (size_t i = e->state->memo.len; i-- > 0;) {
        if (e->state->memo.at[i].ast == expr) {
            return e->state->memo.at[i].value;
        }
    }
    Value v = eval_kind(e, scope, expr);
    v.span = expr->span;
    return v;
}

bool eval_bool(Elab *e, Scope *scope, const Ast *expr, bool *value)
{
    Value v = eval(e, scope, expr);
    return value_bool_of(e, &v, expr, value);
}

bool value_bool_of(Elab *e, const Value *v, const Ast *expr, bool *value)
{
    if (v->kind == VALUE_BOOL) {
        *value = v->i != 0;
        return true;
    }
    if (v->kind == VALUE_TENSOR && v->clock == CLOCK_TENSOR) {
        Diag *d = elab_error(e, E604, expr->span, "`if` on tensor data");
        diag_label(d, "known only when the step runs");
        diag_help(d, "choose per element: `select(condition, a, b)`");
    } else if (v->kind == VALUE_TENSOR) {
        Diag *d = elab_error(e, E208, expr->span, "`if` on a value that changes every step");
        diag_help(d, "write `select(condition, a, b)`; such an `if` may stand in an optimizer's "
                  "`update` only");
    } else if (v->kind != VALUE_POISON) {
        Diag *d = elab_error(e, E106, expr->span, "a condition must be a bool");
        diag_label(d, "this is %s", value_kind_name(v));
    } else if (e->graph == NULL && e->state->deferred) {
        elab_error(e, E208, expr->span,
                   "this must be known when the graph is built; it changes "
                   "every step");
    }
    return false;
}
