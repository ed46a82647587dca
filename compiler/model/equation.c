/* equation: indexed definitions and reductions. An index is a variable whose extent is the size of
 * the dimension that it subscripts alone, found by a walk over the right side before it is
 * evaluated. Reads are in read.c. */
#include <math.h>

#include "model/internal.h"

/* --- extents --------------------------------------------------------------------------------- */
typedef struct Want { /* an index (or `..`) whose extent is looked for */
    Str name;
    bool found;
    size_t n; /* 1; for `..` the number of dimensions */
    int64_t dims[MAX_RANK];
    Span span; /* the use that told */
} Want;

typedef struct Inner { /* names bound between the definition and the place looked at */
    const Ast *reduce;
    const struct Inner *up;
} Inner;

typedef struct Scan {
    Elab *e;
    Scope *scope;
    const Ast *body;
    size_t n;
    Want *wants;
    bool poisoned;
} Scan;

static Want *want_of(Scan *scan, Str name)
{
    for (size_t i = 0; i < scan->n; i++) {
        if (str_eq(scan->wants[i].name, name)) {
            return &scan->wants[i];
        }
    }
    return NULL;
}

static bool is_inner(const Inner *inner, Str name)
{
    for (; inner != NULL; inner = inner->up) {
        for (size_t i = 1; i < inner->reduce->n; i++) {
            const Ast *index = inner->reduce->kids[i];
            if (index->kind == AST_INDEX && str_eq(index->text, name)) {
                return true;
            }
        }
    }
    return false;
}

/* Does the expression mention an index whose variable does not exist yet? */
static bool mentions(Scan *scan, const Inner *inner, const Ast *ast)
{
    if (ast == NULL) {
        return false;
    }
    if (ast->kind == AST_ELLIPSIS) {
        return true;
    }
    if (ast->kind == AST_NAME && (want_of(scan, ast->text) != NULL || is_inner(inner, ast->text))) {
        return true;
    }
    for (size_t i = 0; i < ast->n; i++) {
        if (mentions(scan, inner, ast->kids[i])) {
            return true;
        }
    }
    return false;
}

static void tell(Scan *scan, Want *want, size_t n, const int64_t *dims, Span span, Str tensor)
{
    if (!want->found) {
        want->found = true;
        want->n = n;
        want->span = span;
        for (size_t i = 0; i < n; i++) {
            want->dims[i] = dims[i];
        }
        return;
    }
    bool same = want->n == n;
    for (size_t i = 0; same && i < n; i++) {
        same = want->dims[i] == dims[i];
    }
    if (same) {
        return;
    }
    Arena *arena = scan->e->c->arena;
    Str one = dims_text(arena, n, dims), other = dims_text(arena, want->n, want->dims);
    bool rest = str_is(want->name, "..");
    if (!rest) {
        one = str_format(arena, "%lld", (long long)dims[0]);
        other = str_format(arena, "%lld", (long long)want->dims[0]);
    }
    Diag *d =
        elab_error(scan->e, E201, span, "index `" STR_FMT "` has two extents", STR_ARG(want->name));
    diag_label(d, STR_FMT "%sin `" STR_FMT "`", STR_ARG(one), " ", STR_ARG(tensor));
    if (want->span.file != 0) {
        diag_note_at(d, want->span, str_c(arena, other), "the other is " STR_FMT, STR_ARG(other));
    }
    if (!rest) {
        diag_help(d,
                  "to read only a part give the bound where the index is bound: `" STR_FMT " < …`",
                  STR_ARG(want->name));
    }
    scan->poisoned = true;
}

static bool object_value(Scan *scan, const Inner *inner, const Ast *object, Value *value)
{
    if (mentions(scan, inner, object)) {
        return false;
    }
    *value = eval(scan->e, scan->scope, object);
    bool path =
        object->kind == AST_NAME || object->kind == AST_MEMBER || object->kind == AST_PRIMED;
    if (value->kind == VALUE_POISON) {
        scan->poisoned = true;
    } else if (!path) {
        if (value->kind == VALUE_TENSOR && value->node == NODE_NONE) {
            Array a = *value->array;
            array_settle(scan->e, &a);
            array_node(scan->e, &a, (Str){0}, object->span);
            *value = array_value(scan->e, &a, value->clock, object->span);
        }
        VEC_PUSH(elab_arena(scan->e), scan->e->state->memo, ((Memo){object, *value}));
    }
    return value->kind == VALUE_TENSOR;
}

Str object_name(const Ast *object)
{
    return object->kind == AST_NAME || object->kind == AST_MEMBER ? object->text
                                                                  : STR("this tensor");
}

void wrong_subscripts(Elab *e, const Ast *read, const Array *a)
{
    Str dims = dims_text(e->c->arena, a->rank, a->dims), name = object_name(read->kids[0]);
    if (a->position != NULL && read->kids[0]->kind == AST_NAME) {
        Diag *d = elab_error(e, E212, read->span, "`" STR_FMT "` is an index here, not a tensor",
                             STR_ARG(name));
        diag_help(d, "the index hides what else has this name: rename one of them");
        return;
    }
    Diag *d = elab_error(e, E212, read->span, "wrong number of subscripts of `" STR_FMT "`",
                         STR_ARG(name));
    diag_label(d, "its shape is " STR_FMT, STR_ARG(dims));
}

static void scan_read(Scan *scan, const Inner *inner, const Ast *read)
{
    size_t n = read->n - 2, rest = n;
    bool any = false;
    for (size_t i = 0; i < n; i++) {
        const Ast *sub = read->kids[i + 2];
        if (sub->kind == AST_ELLIPSIS) {
            rest = i;
            any = any || want_of(scan, STR("..")) != NULL;
        }
        any = any || (sub->kind == AST_NAME && want_of(scan, sub->text) != NULL);
    }
    Value value;
    if (!any || !object_value(scan, inner, read->kids[0], &value)) {
        return;
    }
    const Array *a = value.array;
    Str name = object_name(read->kids[0]);
    if (rest < n ? a->rank + 1 < n : a->rank != n) {
        wrong_subscripts(scan->e, read, a);
        scan->poisoned = true;
        return;
    }
    for (size_t i = 0, dim = 0; i < n; i++) {
        const Ast *sub = read->kids[i + 2];
        Want *want = sub->kind == AST_ELLIPSIS ? want_of(scan, STR(".."))
                     : sub->kind == AST_NAME   ? want_of(scan, sub->text)
                                               : NULL;
        size_t width = sub->kind == AST_ELLIPSIS ? a->rank + 1 - n : 1;
        if (want != NULL) {
            tell(scan, want, width, a->dims + dim, sub->span, name);
        }
        dim += width;
    }
}

static void scan_expr(Scan *scan, const Inner *inner, const Ast *ast)
{
    if (ast == NULL) {
        return;
    }
    Inner own = {.reduce = ast, .up = inner};
    if (ast->kind == AST_REDUCE) {
        for (size_t i = 1; i < ast->n; i++) {
            const Ast *index = ast->kids[i];
            if (index->kind != AST_INDEX || want_of(scan, index->text) == NULL) {
                continue;
            }
            Diag *d = elab_error(scan->e, E102, index->span, "index `" STR_FMT "` is already bound",
                                 STR_ARG(index->text));
            diag_label(d, "and bound again inside");
            diag_help(d, "give the inner index another name, or end the outer reduction before it: "
                         "`(sum[" STR_FMT "] …) …`", STR_ARG(index->text));
            scan->poisoned = true;
        }
        inner = &own;
    }
    if (ast->kind == AST_SUBSCRIPT) {
        scan_read(scan, inner, ast);
    }
    for (size_t i = 0; i < ast->n; i++) {
        scan_expr(scan, inner, ast->kids[i]);
    }
}

/* --- binding indices ------------------------------------------------------------------------- */
typedef struct Indices { /* of a left side or a reduction */
    size_t n;
    const Var *vars[MAX_RANK];
    Str names[MAX_RANK];
    size_t ambient; /* length of the stack before */
    size_t memo;
} Indices;

static void indices_end(Elab *e, const Indices *indices)
{
    e->state->ambient.len = indices->ambient;
    e->state->memo.len = indices->memo;
}

static bool add_index(Elab *e, Scope *inner, Indices *indices, Str name, int64_t extent, Span span,
                      Value *value)
{
    if (indices->n == MAX_RANK) {
        elab_error(e, E212, span, "more than %d indices", MAX_RANK);
        return false;
    }
    const Var *var = var_new(e->graph->pool, extent, name);
    indices->names[indices->n] = name;
    indices->vars[indices->n++] = var;
    VEC_PUSH(elab_arena(e), e->state->ambient, var);
    *value = array_index(e, pos_var(e->graph->pool, var), span);
    (void)inner;
    return true;
}

/* A term that mentions none of the indices and is a tensor: that is said when it is evaluated, whatever
 * their extents are. */
static void whole_tensor(Scan *scan, size_t n, Ast *const *list)
{
    bool known = scan->n == 0 || scan->poisoned;
    for (size_t i = 0; i < scan->n; i++) {
        known = known || scan->wants[i].found;
    }
    for (size_t i = 0; i < n && !known; i++) {
        known = list[i]->kind == AST_ELLIPSIS || ast_reads(scan->body, list[i]->text);
    }
    if (known) {
        return;
    }
    Value v = eval(scan->e, scan->scope, scan->body);
    scan->poisoned = v.kind == VALUE_POISON;
    for (size_t i = 0; i < scan->n && v.kind == VALUE_TENSOR && v.array->rank > 0; i++) {
        scan->wants[i].found = true;
        scan->wants[i].n = 1;
        scan->wants[i].dims[0] = 1;
    }
}

/* The size that goes by the index's name, as K for k; else an ellipsis. */
static Str likely_bound(Scan *scan, Str name)
{
    char capital = name.len == 1 && name.ptr[0] >= 'a' && name.ptr[0] <= 'z'
                       ? (char)(name.ptr[0] - 'a' + 'A') : 0;
    Str size = str_format(scan->e->c->arena, "%c", capital);
    const Binding *bound = capital != 0 ? scope_find(scan->scope, size) : NULL;
    return bound != NULL && bound->value.kind == VALUE_INT ? size : STR("…");
}

static bool unknown_extent(Scan *scan, const Ast *index, bool arithmetic)
{
    if (scan->poisoned) {
        return false;
    }
    bool rest = index->kind == AST_ELLIPSIS;
    Str name = rest ? STR("..") : index->text;
    Diag *d = elab_error(scan->e, E205, index->span, "extent of index `" STR_FMT "` is unknown",
                         STR_ARG(name));
    diag_label(d, arithmetic && !ast_reads(scan->body, name) ? "nothing is subscripted by it"
                  : arithmetic ? "used only in arithmetic or as a value"
                             : "no dimension is subscripted by it alone");
    if (rest) {
        return false;
    }
    Str size = likely_bound(scan, name);
    diag_help(d, "give its bound where it is bound: `" STR_FMT " < " STR_FMT "`%s", STR_ARG(name), STR_ARG(size),
              scan->e->state->frame == NULL
                  ? "; the size of a batch has a name only in a function: `fn f(x: [N, T])`" : "");
    return false;
}

/* A name in the bound that is an index; NULL: none. */
static const Ast *index_in(Scope *scope, const Ast *bound)
{
    if (bound->kind == AST_NAME) {
        const Binding *b = scope_find(scope, bound->text);
        bool is_index = b != NULL && b->value.kind == VALUE_TENSOR && b->value.array->position != NULL;
        return is_index ? bound : NULL;
    }
    const Ast *found = NULL;
    for (size_t i = 0; i < bound->n && found == NULL; i++) {
        found = bound->kids[i] != NULL ? index_in(scope, bound->kids[i]) : NULL;
    }
    return found;
}

static bool bounded_extent(Elab *e, Scope *scope, const Ast *index, int64_t *extent)
{
    const Ast *moving = index_in(scope, index->kids[0]);
    if (moving != NULL) {
        Diag *d = elab_error(e, E208, index->kids[0]->span, "a bound may not depend on an index");
        diag_label(d, "`" STR_FMT "` is one", STR_ARG(moving->text));
        diag_help(d, "take all of `" STR_FMT "` and leave out the rest: `sum[" STR_FMT "] select(" STR_FMT
                  " < …, …, 0.0)`", STR_ARG(index->text), STR_ARG(index->text), STR_ARG(index->text));
        return false;
    }
    if (!elab_int(e, scope, index->kids[0], extent)) {
        return false;
    }
    if (*extent >= 1) {
        return true;
    }
    Diag *d = elab_error(e, E211, index->kids[0]->span, "index `" STR_FMT "` has no values",
                         STR_ARG(index->text));
    diag_label(d, "the bound is %lld", (long long)*extent);
    diag_help(d, "a bound is at least 1; is the input smaller than the window?");
    return false;
}

/* Adds what each index stands for to `inner`, pushed on the stack of variables in scope. */
static bool indices_begin(Elab *e, Scope *scope, Scope *inner, size_t n, Ast *const *list,
                          const Ast *body, Indices *indices)
{
    *indices = (Indices){.ambient = e->state->ambient.len, .memo = e->state->memo.len};
    Want wants[MAX_RANK + 1];
    Scan scan = {.e = e, .scope = scope, .body = body, .wants = wants};
    const Binding *signature = scope_find(scope, STR(".."));
    for (size_t i = 0; i < n; i++) {
        Str name = list[i]->kind == AST_ELLIPSIS ? STR("..") : list[i]->text;
        for (size_t k = 0; k < i; k++) {
            if (list[k]->kind != list[i]->kind ||
                (list[i]->kind == AST_INDEX && !str_eq(list[k]->text, name))) {
                continue;
            }
            Diag *d = elab_error(e, E102, list[i]->span, "index `" STR_FMT "` stands twice",
                                 STR_ARG(name));
            diag_help(d, "each dimension has its own index; a diagonal is read on the right");
            return false;
        }
        if ((list[i]->kind == AST_INDEX && list[i]->kids[0] != NULL) || scan.n > MAX_RANK) {
            continue;
        }
        Want want = {.name = name};
        if (list[i]->kind == AST_ELLIPSIS && signature != NULL &&
            signature->value.kind == VALUE_LIST) {
            want.found = true;
            want.n = signature->value.n;
            for (size_t k = 0; k < want.n; k++) {
                const Value *item = &signature->value.items[k];
                want.dims[k] = item->kind == VALUE_INT ? item->i : 0;
                want.found = want.found && item->kind == VALUE_INT;
            }
        }
        wants[scan.n++] = want;
    }
    scan_expr(&scan, NULL, body);
    whole_tensor(&scan, n, list);
    bool ok = !scan.poisoned;
    for (size_t i = 0; i < n && ok; i++) {
        const Ast *index = list[i];
        Str name = index->kind == AST_ELLIPSIS ? STR("..") : index->text;
        Value value;
        const Want *want = want_of(&scan, name);
        if (index->kind == AST_INDEX) {
            int64_t extent = want != NULL && want->found ? want->dims[0] : 0;
            ok = want == NULL ? bounded_extent(e, scope, index, &extent)
                              : want->found || unknown_extent(&scan, index, true);
            if (ok && (ok = add_index(e, inner, indices, name, extent, index->span, &value))) {
                scope_set_index(inner, name, value, index->span);
            }
            continue;
        }
        ok = want->found || unknown_extent(&scan, index, false);
        Value *items = NEW_ARRAY(elab_arena(e), Value, want->n + 1);
        for (size_t k = 0; ok && k < want->n; k++) {
            Str own = str_format(elab_arena(e), "r%zu", k);
            ok = add_index(e, inner, indices, own, want->dims[k], index->span, &items[k]);
        }
        scope_set_index(inner, name, value_list(want->n, items), index->span);
    }
    if (!ok) {
        indices_end(e, indices);
    }
    return ok;
}

/* --- definitions
 * ------------------------------------------------------------------------------------------------
 */
static bool same_indices(const Ast *lhs, const Ast *read)
{
    if (lhs->n != read->n - 2) {
        return false;
    }
    for (size_t i = 0; i < lhs->n; i++) {
        const Ast *sub = read->kids[i + 2], *index = lhs->kids[i];
        bool same = index->kind == AST_ELLIPSIS
                        ? sub->kind == AST_ELLIPSIS
                        : sub->kind == AST_NAME && str_eq(sub->text, index->text);
        if (!same) {
            return false;
        }
    }
    return true;
}

static const Ast *recurrence(const Ast *lhs, const Ast *ast)
{
    if (ast == NULL) {
        return NULL;
    }
    if (ast->kind == AST_SUBSCRIPT && ast->kids[0]->kind == AST_NAME &&
        str_eq(ast->kids[0]->text, lhs->text) && !same_indices(lhs, ast)) {
        return ast;
    }
    const Ast *found = NULL;
    for (size_t i = 0; i < ast->n && found == NULL; i++) {
        found = recurrence(lhs, ast->kids[i]);
    }
    return found;
}

Value eval_definition(Elab *e, Scope *scope, const Ast *lhs, const Ast *right)
{
    const Ast *again = recurrence(lhs, right);
    if (again != NULL) {
        Diag *d = elab_error(e, E213, again->span,
                             "this equation reads what it defines at another "
                             "position");
        diag_label(d, "`" STR_FMT "` is being defined", STR_ARG(lhs->text));
        diag_help(d, "give the result another name, or write the sum over earlier positions");
        return value_poison();
    }
    Scope *inner = scope_new(elab_arena(e), scope, scope->file, scope->self);
    inner->instance = scope->instance;
    Indices indices;
    if (!indices_begin(e, scope, inner, lhs->n, lhs->kids, right, &indices)) {
        return value_poison();
    }
    Value v = eval(e, inner, right);
    Array a;
    bool ok = v.kind != VALUE_POISON && array_strong(e, &v, &a);
    if (ok && a.rank > 0) {
        Str dims = dims_text(e->c->arena, a.rank, a.dims);
        Diag *d = elab_error(e, E212, right->span, "one element of `" STR_FMT "` must be a number",
                             STR_ARG(lhs->text));
        diag_label(d, "this has shape " STR_FMT, STR_ARG(dims));
        diag_help(d, "subscript it with the indices of the left side");
        ok = false;
    }
    if (ok) {
        array_draw(e, &a);
    }
    indices_end(e, &indices);
    if (!ok) {
        return value_poison();
    }
    a.rank = indices.n;
    Str *names = NEW_ARRAY(elab_arena(e), Str, indices.n + 1);
    for (size_t i = 0; i < indices.n; i++) {
        a.dims[i] = indices.vars[i]->extent;
        names[i] = indices.names[i];
    }
    a.names = names;
    array_define(e, &a, indices.vars, lhs->text, lhs->span);
    return array_value(e, &a, CLOCK_TENSOR, lhs->span);
}

/* --- reductions
 * ---------------------------------------------------------------------------------------------------
 */
static bool reduce_op(Str name, ReduceOp *op, bool *mean)
{
    static const struct {
        const char *name;
        ReduceOp op;
    } rows[] = {{"sum", REDUCE_SUM},       {"prod", REDUCE_PROD},     {"max", REDUCE_MAX},
                {"min", REDUCE_MIN},       {"any", REDUCE_ANY},       {"all", REDUCE_ALL},
                {"argmax", REDUCE_ARGMAX}, {"argmin", REDUCE_ARGMIN}, {"mean", REDUCE_SUM}};
    *mean = str_is(name, "mean");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (str_is(name, rows[i].name)) {
            *op = rows[i].op;
            return true;
        }
    }
    return false;
}

/* Makes `a` (settled, its draws bound) the pending reduction over vars. */
static Value reduce(Elab *e, Array *a, Str name, size_t n, const Var *const *vars, const Ast *at)
{
    ReduceOp op;
    bool mean;
    if (!reduce_op(name, &op, &mean)) {
        return value_poison();
    }
    bool logic = op == REDUCE_ANY || op == REDUCE_ALL, is_bool = a->dtype == DT_BOOL;
    if (logic != is_bool) {
        Diag *d = elab_error(e, E106, at->span, "`" STR_FMT "` of %s", STR_ARG(name),
                             is_bool ? "bools" : "numbers");
        if (logic) {
            diag_help(d, "a reduction binds tighter than a comparison: `" STR_FMT "[k] (x[k] > 0)`",
                      STR_ARG(name));
        } else {
            diag_help(d, "count them: `sum(float(…))`, or use `any`, `all`");
        }
        return value_poison();
    }
    bool arg = op == REDUCE_ARGMAX || op == REDUCE_ARGMIN, real = a->dtype == e->real;
    if (arg && n != 1) {
        Diag *d = elab_error(e, E107, at->span, "`" STR_FMT "` takes one index", STR_ARG(name));
        diag_label(d, "%zu here", n);
        return value_poison();
    }
    if (a->position != NULL || (!is_bool && a->dtype < DT_I32)) {
        array_cast(e, a, DT_I32);
    } else if (dtype_is_short(a->dtype)) {
        array_cast(e, a, DT_F32);
    }
    if (mean) {
        double count = 1;
        for (size_t i = 0; i < n; i++) {
            count *= (double)vars[i]->extent;
        }
        if (!dtype_is_float(a->dtype)) {
            array_cast(e, a, DT_F32);
        }
        const Scalar *scale = sc_const(e->graph->pool, a->dtype, 1 / count);
        a->body = sc_fn2(e->graph->pool, OP_MUL, a->body, scale);
    }
    Array r = {.dtype = arg ? DT_I32 : real ? e->real : a->dtype,
               .body = a->body,
               .base = NODE_NONE,
               .reduce = op,
               .n_reduced = n};
    for (size_t i = 0; i < n; i++) {
        r.reduced[i] = vars[i];
    }
    if (r.n_reduced == 0 && !arg) {
        r.reduce = REDUCE_NONE;
    }
    return array_value(e, &r, CLOCK_TENSOR, at->span);
}

static bool needs_graph(Elab *e, const Ast *at)
{
    if (e->graph != NULL) {
        return true;
    }
    elab_error(e, E208, at->span, "a tensor where a value known at build time is needed");
    return false;
}

Value eval_reduce(Elab *e, Scope *scope, const Ast *expr)
{
    if (!needs_graph(e, expr)) {
        return value_poison();
    }
    Scope *inner = scope_new(elab_arena(e), scope, scope->file, scope->self);
    inner->instance = scope->instance;
    Indices indices;
    if (!indices_begin(e, scope, inner, expr->n - 1, expr->kids + 1, expr->kids[0], &indices)) {
        return value_poison();
    }
    size_t subscripts = e->state->subscripts;
    e->state->subscripts = 0;
    Value v = eval(e, inner, expr->kids[0]);
    e->state->subscripts = subscripts;
    Array a;
    bool ok = v.kind != VALUE_POISON && array_strong(e, &v, &a);
    if (ok && a.rank > 0) {
        Str dims = dims_text(e->c->arena, a.rank, a.dims);
        Diag *d = elab_error(e, E212, expr->kids[0]->span, "what is reduced must be a number");
        diag_label(d, "this has shape " STR_FMT, STR_ARG(dims));
        diag_help(d, "subscript it, or reduce the whole: `" STR_FMT "(…)`", STR_ARG(expr->text));
        ok = false;
    }
    if (ok) {
        array_settle(e, &a);
        array_draw(e, &a);
    }
    indices_end(e, &indices);
    return ok ? reduce(e, &a, expr->text, indices.n, indices.vars, expr) : value_poison();
}

static Value reduce_list(Elab *e, const Value *list, const Ast *expr)
{
    Str name = expr->text;
    bool mean = str_is(name, "mean"), sum = str_is(name, "sum") || mean;
    Value r = list->n > 0 ? list->items[0] : value_poison();
    for (size_t i = 1; i < list->n && r.kind != VALUE_POISON; i++) {
        if (sum || str_is(name, "prod")) {
            r = eval_binary(e, sum ? STR("+") : STR("*"), &r, &list->items[i], expr);
        } else {
            r = build_fn(e, str_is(name, "max") ? OP_MAX : OP_MIN, 2, (Value[]){r, list->items[i]},
                         expr->span);
        }
    }
    Value n = value_float((double)list->n);
    return mean ? eval_binary(e, STR("/"), &r, &n, expr) : r;
}

static bool numbers_only(const Value *list)
{
    for (size_t i = 0; i < list->n; i++) {
        if (!value_is_number(&list->items[i])) {
            return false;
        }
    }
    return list->n > 0;
}

Value eval_reduce_call(Elab *e, Scope *scope, const Ast *expr)
{
    Value args[2];
    bool two = str_is(expr->text, "max") || str_is(expr->text, "min");
    for (size_t i = 0; i < expr->n; i++) {
        if (expr->kids[i]->kind != AST_NAMED && i < (two ? 2u : 1u)) {
            continue;
        }
        Diag *d = elab_error(e, E107, expr->kids[i]->span, "`" STR_FMT "` takes %s",
                             STR_ARG(expr->text), two ? "one or two arguments" : "one argument");
        diag_help(d, "over some indices only: `" STR_FMT "[i] x[i, j]`", STR_ARG(expr->text));
        return value_poison();
    }
    if (expr->n == 0) {
        elab_error(e, E107, expr->span, "`" STR_FMT "` of nothing", STR_ARG(expr->text));
        return value_poison();
    }
    for (size_t i = 0; i < expr->n; i++) {
        args[i] = eval(e, scope, expr->kids[i]);
        if (args[i].kind == VALUE_POISON) {
            return args[i];
        }
    }
    if (expr->n == 2) {
        return build_fn(e, str_is(expr->text, "max") ? OP_MAX : OP_MIN, 2, args, expr->span);
    }
    bool arithmetic = two || str_is(expr->text, "sum") || str_is(expr->text, "prod") ||
                      str_is(expr->text, "mean");
    if (args[0].kind == VALUE_LIST && arithmetic && numbers_only(&args[0])) {
        return reduce_list(e, &args[0], expr);
    }
    Array a;
    if (!needs_graph(e, expr) || !array_strong(e, &args[0], &a)) {
        return value_poison();
    }
    array_settle(e, &a);
    array_draw(e, &a);
    const Var *vars[MAX_RANK];
    for (size_t i = 0; i < a.rank; i++) {
        vars[i] = array_var(e, &a, i);
    }
    return reduce(e, &a, expr->text, a.rank, vars, expr);
}
