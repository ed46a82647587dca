/* read: subscripts of tensors and lists. A read is proved in range by intervals, or has a value for
 * outside (`??`), or its position is data and is checked when the step runs. */
#include "model/internal.h"

/* Where the position is known to lie here: its own interval, cut by what surrounding `??` say. */
static void known_bounds(Elab *e, const Position *p, int64_t *lo, int64_t *hi)
{
    *lo = p->min;
    *hi = p->max;
    for (size_t i = 0; i < e->state->known.len; i++) {
        const Known *k = &e->state->known.at[i];
        int64_t shift;
        if (!pos_is_const(pos_sub(e->graph->pool, p, k->position), &shift)) {
            continue;
        }
        *lo = k->lo + shift > *lo ? k->lo + shift : *lo;
        *hi = k->hi + shift < *hi ? k->hi + shift : *hi;
    }
}

static bool subscript_position(Elab *e, Scope *scope, const Ast *sub, const Position **p)
{
    e->state->subscripts++;
    Value v = eval(e, scope, sub);
    e->state->subscripts--;
    if (v.kind == VALUE_INT) {
        *p = pos_const(e->graph->pool, v.i);
        return true;
    }
    if (v.kind == VALUE_TENSOR && v.array->position != NULL) {
        *p = v.array->position;
        return true;
    }
    bool is_int = v.kind == VALUE_TENSOR && v.clock == CLOCK_TENSOR &&
                  !dtype_is_float(v.array->dtype) && v.array->dtype != DT_BOOL;
    if (is_int && v.array->rank == 0) {
        Array a = *v.array;
        array_settle(e, &a);
        *p = scalar_position(e, a.body);
        return true;
    }
    if (v.kind == VALUE_POISON) {
        return false;
    }
    Diag *d;
    if (is_int) {
        Str dims = dims_text(e->c->arena, v.array->rank, v.array->dims);
        d = elab_error(e, E212, sub->span, "a subscript is one number");
        diag_label(d, "this has shape " STR_FMT, STR_ARG(dims));
        diag_help(d, "subscript it too: `w[ids[b, t], d]`");
    } else {
        bool real =
            v.kind == VALUE_FLOAT || (v.kind == VALUE_TENSOR && dtype_is_float(v.array->dtype));
        d = elab_error(e, real ? E207 : E106, sub->span, "a subscript must be an int");
        diag_label(d, "this is %s%s", value_kind_name(&v),
                   real && v.kind == VALUE_TENSOR ? " of floats" : "");
        diag_help(d, "write `int(…)`");
        if (real) {
            diag_edit_around(d, sub->span, "int(", ")");
        }
    }
    return false;
}

typedef struct Read { /* the positions of one read */
    size_t n;
    const Position *at[MAX_RANK];
    Span spans[MAX_RANK];
} Read;

static bool read_positions(Elab *e, Scope *scope, const Ast *expr, const Array *a, Read *read)
{
    size_t n = expr->n - 2;
    const Binding *rest = scope_find(scope, STR(".."));
    for (size_t i = 0; i < n; i++) {
        const Ast *sub = expr->kids[i + 2];
        size_t width = 1;
        const Value *list = NULL;
        if (sub->kind == AST_ELLIPSIS) {
            bool bound = rest != NULL && rest->value.kind == VALUE_LIST &&
                         (rest->value.n == 0 || rest->value.items[0].kind == VALUE_TENSOR);
            if (!bound) {
                Diag *d = elab_error(e, E204, sub->span, "`..` is not bound");
                diag_help(d, "it stands for the dimensions of a left side: give this a line of its "
                             "own, `y[..] = …`, or name the indices");
                return false;
            }
            list = rest->value.items;
            width = rest->value.n;
        }
        for (size_t k = 0; k < width; k++) {
            if (read->n == a->rank) {
                read->n++;
                break;
            }
            read->spans[read->n] = sub->span;
            if (list != NULL) {
                read->at[read->n] = list[k].array->position;
            } else if (!subscript_position(e, scope, sub, &read->at[read->n])) {
                return false;
            }
            read->n++;
        }
    }
    if (read->n == a->rank) {
        return true;
    }
    wrong_subscripts(e, expr, a);
    return false;
}

static void out_of_range(Elab *e, const Ast *expr, const Array *a, size_t dim, int64_t lo,
                         int64_t hi, Span span)
{
    Str object = object_name(expr->kids[0]);
    Str name = a->names != NULL ? a->names[dim] : (Str){0};
    Str shown = name.len > 0 ? str_format(e->c->arena, "`" STR_FMT "`", STR_ARG(name))
                             : str_format(e->c->arena, "dimension %zu of `" STR_FMT "`", dim + 1,
                                          STR_ARG(object));
    Diag *d = elab_error(e, E203, span, "index may leave %s" STR_FMT,
                         name.len > 0 ? "dimension " : "", STR_ARG(shown));
    if (lo == hi) {
        diag_label(d, "is %lld, " STR_FMT " is %lld", (long long)lo, STR_ARG(shown),
                   (long long)a->dims[dim]);
    } else {
        diag_label(d, "ranges over %lld .. %lld, " STR_FMT " is %lld", (long long)lo, (long long)hi,
                   STR_ARG(shown), (long long)a->dims[dim]);
    }
    diag_help(d, "give the value outside: `" STR_FMT "[…] ?? 0`", STR_ARG(object));
    diag_edit_around(d, expr->span, "(", " ?? 0)");
}

/* The value outside, with what its being asked for proves. */
static const Scalar *read_fill(Elab *e, Scope *scope, const Ast *fill, const Array *a,
                               const Known *known)
{
    size_t before = e->state->known.len;
    if (known != NULL) {
        VEC_PUSH(elab_arena(e), e->state->known, *known);
    }
    Value v = eval(e, scope, fill->kids[0]);
    e->state->known.len = before;
    Array f;
    if (v.kind == VALUE_POISON || !array_strong(e, &v, &f)) {
        return NULL;
    }
    array_settle(e, &f);
    if (f.rank > 0) {
        Str dims = dims_text(e->c->arena, f.rank, f.dims);
        Diag *d = elab_error(e, E212, fill->span, "the value after `??` is one number");
        diag_label(d, "this has shape " STR_FMT, STR_ARG(dims));
        return NULL;
    }
    bool narrows = (dtype_is_float(f.dtype) && !dtype_is_float(a->dtype)) ||
                   (f.dtype == DT_BOOL) != (a->dtype == DT_BOOL);
    if (narrows) {
        Diag *d = elab_error(e, E207, fill->span, "the value after `??` has another type");
        diag_label(d, "%s, but the tensor is %s", dtype_name(f.dtype), dtype_name(a->dtype));
        return NULL;
    }
    array_cast(e, &f, a->dtype);
    return array_body(e, &f);
}

/* A position outside [0, extent) that cannot be below 0 is at least extent, and so on. */
static bool outside(Elab *e, const Position *p, int64_t extent, Known *known)
{
    int64_t lo, hi;
    known_bounds(e, p, &lo, &hi);
    *known = (Known){.position = p, .lo = lo, .hi = hi};
    if (lo >= 0) {
        known->lo = extent;
    } else if (hi < extent) {
        known->hi = -1;
    }
    return lo >= 0 || hi < extent;
}

static Value read_tensor(Elab *e, Scope *scope, const Ast *expr, const Array *a, Clock clock)
{
    ExprPool *pool = e->graph->pool;
    const Ast *fill_ast = expr->kids[1];
    Read read = {0};
    if (!read_positions(e, scope, expr, a, &read)) {
        return value_poison();
    }
    bool proved = true, certain = true;
    size_t open = 0, open_dim = 0;
    for (size_t i = 0; i < a->rank; i++) {
        const Position *p = read.at[i];
        if (pos_in_range(p, a->dims[i])) {
            continue;
        }
        certain = certain && p->has_data && fill_ast == NULL;
        int64_t lo, hi;
        known_bounds(e, p, &lo, &hi);
        bool inside = lo >= 0 && hi < a->dims[i];
        if (inside || (p->has_data && fill_ast == NULL)) {
            continue;
        }
        open++;
        open_dim = i;
        proved = false;
        if (fill_ast == NULL) {
            out_of_range(e, expr, a, i, lo, hi, read.spans[i]);
            return value_poison();
        }
    }
    const Scalar *fill = NULL;
    if (fill_ast != NULL) {
        Known known;
        bool tells = open == 1 && outside(e, read.at[open_dim], a->dims[open_dim], &known);
        fill = read_fill(e, scope, fill_ast, a, tells ? &known : NULL);
        if (fill == NULL) {
            return value_poison();
        }
    }
    if (proved) { /* by intervals, or only here: then never asked for */
        fill = certain ? NULL : sc_const(pool, a->dtype, 0);
    }
    const Position *at[MAX_RANK];
    for (size_t i = 0; i < a->n_lead; i++) {
        at[i] = a->lead[i];
    }
    for (size_t i = 0; i < a->rank; i++) {
        at[a->n_lead + i] = read.at[i];
    }
    const Scalar *body = sc_read(pool, a->dtype, a->base, a->n_lead + a->rank, at, fill);
    return array_scalar(e, body, clock, expr->span);
}

static Value element(Elab *e, Scope *scope, const Ast *expr, const Value *list)
{
    int64_t i;
    size_t n = expr->n - 2;
    if (n < 1 || expr->kids[2]->kind == AST_ELLIPSIS || expr->kids[1] != NULL) {
        elab_error(e, E106, expr->span, "a list is subscripted by an int");
        return value_poison();
    }
    Value current = *list;
    for (size_t k = 0; k < n; k++) {
        if (current.kind != VALUE_LIST && current.kind != VALUE_INSTANCES) {
            elab_error(e, E212, expr->span, "too many subscripts");
            return value_poison();
        }
        if (!elab_int(e, scope, expr->kids[k + 2], &i)) {
            return value_poison();
        }
        if (i < 0 || i >= (int64_t)current.n) {
            Diag *d = elab_error(e, E101, expr->kids[k + 2]->span, "index %lld is out of range",
                                 (long long)i);
            if (current.n > 0) {
                diag_label(d, "there are 0 to %zu", current.n - 1);
            } else {
                diag_label(d, "it is empty");
            }
            return value_poison();
        }
        if (current.kind == VALUE_LIST) {
            current = current.items[i];
        } else {
            current = current.instances[i] != NULL ? value_instance(current.instances[i])
                                                   : value_poison();
        }
    }
    return current;
}

Value eval_subscript(Elab *e, Scope *scope, const Ast *expr)
{
    Value v = eval(e, scope, expr->kids[0]);
    if (v.kind == VALUE_POISON) {
        return v;
    }
    bool index_list = v.kind == VALUE_LIST || v.kind == VALUE_INSTANCES;
    if (v.kind == VALUE_LIST && e->graph != NULL && e->state->ambient.len > 0 && expr->n > 2 &&
        expr->kids[2]->kind != AST_INT) {
        Value at = eval(e, scope, expr->kids[2]); /* a constant vector, read by an index */
        index_list = at.kind != VALUE_TENSOR;
    }
    if (index_list) {
        return element(e, scope, expr, &v);
    }
    if (v.kind == VALUE_TENSOR || v.kind == VALUE_LIST) {
        Array a;
        if (!array_from(e, &v, &a)) {
            return value_poison();
        }
        array_settle(e, &a);
        array_node(e, &a, (Str){0}, expr->span);
        return read_tensor(e, scope, expr, &a, v.kind == VALUE_LIST ? CLOCK_TENSOR : v.clock);
    }
    Diag *d = elab_error(e, E106, expr->kids[0]->span, "this cannot be subscripted");
    diag_label(d, "%s", value_kind_name(&v));
    return value_poison();
}
