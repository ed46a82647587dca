/* function: calls. Arguments are matched by position and name; scalars are bound first, then the
 * dims of tensor parameters from left to right (a name not yet known is bound, a known one must be
 * equal), then the body runs in a scope of its own. */
#include <assert.h>

#include "model/internal.h"

/* --- matching -------------------------------------------------------------------------------- */
static void too_many(Elab *e, const Ast *params, const Ast *arg, size_t given, Str what)
{
    Diag *d = elab_error(e, E107, arg->span, "too many arguments for `" STR_FMT "`", STR_ARG(what));
    diag_label(d, "takes %zu, this is number %zu", params->n, given);
    diag_note_at(d, params->span, "declared here", "the parameters of `" STR_FMT "`",
                 STR_ARG(what));
}

static bool match_named(Elab *e, const Ast *params, const Ast *arg, Str what, const Ast **slots)
{
    Str *names = NEW_ARRAY(e->c->arena, Str, params->n + 1);
    for (size_t k = 0; k < params->n; k++) {
        names[k] = params->kids[k]->text;
        if (!str_eq(names[k], arg->text)) {
            continue;
        }
        if (slots[k] != NULL) {
            Diag *d = elab_error(e, E107, arg->span, "argument `" STR_FMT "` is given twice",
                                 STR_ARG(arg->text));
            diag_note_at(d, slots[k]->span, "the first", "it has a value already");
            return false;
        }
        slots[k] = arg->kids[0];
        return true;
    }
    Diag *d = elab_error(e, E103, arg->name, "`" STR_FMT "` has no argument `" STR_FMT "`",
                         STR_ARG(what), STR_ARG(arg->text));
    Buf list = buf_new(e->c->arena);
    for (size_t k = 0; k < params->n; k++) {
        buf_printf(&list, "%s`" STR_FMT "`", k > 0 ? ", " : "", STR_ARG(names[k]));
    }
    Str text = buf_str(&list);
    diag_note(d, "it takes " STR_FMT, STR_ARG(text));
    help_nearest(d, arg->text, params->n, names);
    return false;
}

bool match_arguments(Elab *e, const Ast *params, size_t n, Ast *const *args, Span call, Str what,
                     const Ast **slots)
{
    bool ok = true, named = false;
    for (size_t i = 0; i < n; i++) {
        if (args[i]->kind == AST_NAMED) {
            named = true;
            ok = match_named(e, params, args[i], what, slots) && ok;
        } else if (named) {
            Diag *d = elab_error(e, E107, args[i]->span, "a positional argument after a named one");
            diag_help(d, "name it, or put it first");
            return false;
        } else if (i >= params->n) {
            too_many(e, params, args[i], i + 1, what);
            return false;
        } else {
            slots[i] = args[i];
        }
    }
    for (size_t k = 0; ok && k < params->n; k++) {
        if (slots[k] != NULL || params->kids[k]->kids[1] != NULL) {
            continue;
        }
        Str name = params->kids[k]->text;
        Diag *d = elab_error(e, E104, call, "`" STR_FMT "` needs the argument `" STR_FMT "`",
                             STR_ARG(what), STR_ARG(name));
        diag_note_at(d, params->kids[k]->span, "no default", "the parameter is declared here");
        ok = false;
    }
    return ok;
}

/* --- scalar types ---------------------------------------------------------------------------- */
bool type_dtype(Elab *e, Str name, Span span, DType *dtype)
{
    const struct {
        const char *name;
        DType dtype;
    } rows[] = {{"", e->real},     {"f32", DT_F32}, {"bool", DT_BOOL}, {"u8", DT_U8},    {"i8", DT_I8},
                {"i32", DT_I32}, {"i64", DT_I64}, {"bf16", DT_BF16}, {"f16", DT_F16}};
    enum { ROWS = sizeof rows / sizeof *rows };
    Str names[ROWS];
    for (size_t i = 0; i < ROWS; i++) {
        names[i] = str_of(rows[i].name);
        if (str_is(name, rows[i].name)) {
            *dtype = rows[i].dtype;
            return true;
        }
    }
    Diag *d = elab_error(e, E101, span, "unknown type `" STR_FMT "`", STR_ARG(name));
    diag_note(d, "a tensor holds f32, bf16, f16, i32, i64, i8, u8 or bool");
    help_nearest(d, name, ROWS, names);
    return false;
}

/* Its written type, else that of its default, else a number: an int unless it is given a float. */
Str param_type(Elab *e, const Ast *param, const Value *fallback)
{
    (void)e;
    if (param->kids[0] != NULL) {
        return param->kids[0]->kind == AST_TYPE_SCALAR ? param->kids[0]->text : STR("");
    }
    if (param->kids[1] == NULL) {
        bool step = fallback->kind == VALUE_TENSOR && fallback->clock == CLOCK_STEP;
        return fallback->kind == VALUE_FLOAT || step ? STR("float") : STR("int");
    }
    switch (fallback->kind) {
    case VALUE_INT:
        return STR("int");
    case VALUE_BOOL:
        return STR("bool");
    case VALUE_STRING:
        return STR("string");
    case VALUE_LIST:
        return STR("list");
    case VALUE_INSTANCE:
        return STR("module");
    case VALUE_FLOAT:
    case VALUE_TENSOR:
    case VALUE_POISON:
    case VALUE_INSTANCES:
    case VALUE_BATCH:
    case VALUE_TUPLE:
    case VALUE_DEFERRED:
        break;
    }
    return STR("float");
}

static Value wrong_type(Elab *e, DiagCode code, const Ast *param, Str type, const Value *value,
                        Span span, Str what)
{
    Diag *d = elab_error(e, code, span, "`" STR_FMT "` of `" STR_FMT "` is " STR_FMT STR_FMT,
                         STR_ARG(param->text), STR_ARG(what),
                         STR_ARG((str_is(type, "int") ? STR("an ") : STR("a "))), STR_ARG(type));
    diag_label(d, "this is %s", value_kind_name(value));
    diag_note_at(d, param->span, "declared here", "the parameter");
    if (code == E207 && str_is(type, "bool")) {
        diag_help(d, "write a comparison: `… != 0`");
    } else if (code == E207) {
        diag_help(d, "write `" STR_FMT "(…)`", STR_ARG(type));
        diag_edit_around(d, span, str_c(e->c->arena, str_join(e->c->arena, type, "(", STR(""))), ")");
    }
    return value_poison();
}

Value convert_scalar(Elab *e, const Ast *param, Str type, Value value, Span span, Str what)
{
    if (value.kind == VALUE_POISON) {
        return value;
    }
    bool tensor = value.kind == VALUE_TENSOR;
    if (str_is(type, "float")) {
        if (value.kind == VALUE_INT) {
            value = value_float((double)value.i);
        }
        bool host = value.kind == VALUE_FLOAT || (tensor && value.clock == CLOCK_STEP);
        if (tensor && value.clock == CLOCK_TENSOR) {
            return wrong_type(e, E208, param, type, &value, span, what);
        }
        return host ? value : wrong_type(e, E106, param, type, &value, span, what);
    }
    if (str_is(type, "int")) {
        bool step_int = tensor && value.clock == CLOCK_STEP && value.array->integral;
        if (value.kind == VALUE_INT || step_int) {
            return value;
        }
        DiagCode code = value.kind == VALUE_FLOAT ? E207 : tensor ? E208 : E106;
        return wrong_type(e, code, param, type, &value, span, what);
    }
    ValueKind want = VALUE_POISON;
    if (str_is(type, "bool")) {
        want = VALUE_BOOL;
    } else if (str_is(type, "string")) {
        want = VALUE_STRING;
    } else if (str_is(type, "list")) {
        want = VALUE_LIST;
    } else if (str_is(type, "module")) {
        want = VALUE_INSTANCE;
    }
    if (want == VALUE_POISON) {
        Span at = param->kids[0] != NULL ? param->kids[0]->span : param->span;
        Diag *d = elab_error(e, E106, at, "`" STR_FMT "` cannot be the type of an argument here",
                             STR_ARG(type));
        diag_help(d, "there are int, float, bool, string and module");
        return value_poison();
    }
    if (value.kind == want) {
        return value;
    }
    return wrong_type(e, tensor ? E208 : E106, param, type, &value, span, what);
}

/* --- tensor types ---------------------------------------------------------------------------- */
Value convert_tensor(Elab *e, Value value, DType dtype, Span span)
{
    Array a;
    if (!array_from(e, &value, &a)) {
        return value_poison();
    }
    bool to_float = dtype_is_float(dtype), from_float = dtype_is_float(a.dtype);
    if ((from_float && !to_float) || ((a.dtype == DT_BOOL) != (dtype == DT_BOOL))) {
        Diag *d =
            elab_error(e, E207, span, "%s would become %s", dtype_name(a.dtype), dtype_name(dtype));
        diag_help(d, to_float ? "write `float(…)`" : "write `int(…)`, or a comparison");
        return value_poison();
    }
    bool host = value.kind == VALUE_TENSOR && value.clock == CLOCK_STEP;
    if (!host) {
        array_cast(e, &a, dtype);
    }
    Value r = array_value(e, &a, host ? CLOCK_STEP : CLOCK_TENSOR, span);
    return r;
}

static bool is_open(const Ast *dim, const Scope *scope)
{
    return dim->kind == AST_NAME && !str_is(dim->text, "_") && scope_find(scope, dim->text) == NULL;
}

/* Are the dimensions that `..` stands for not what differs? */
static bool rest_fits(const Value *rest, size_t at, size_t n, const Array *a)
{
    bool fits = rest->n + n - 1 == a->rank;
    for (size_t k = 0; fits && k < rest->n; k++) {
        fits = rest->items[k].i == a->dims[at + k];
    }
    return fits;
}

/* "[.., 512]": what a type says where its dims are known. */
static Str wanted_text(Elab *e, Scope *scope, const Ast *type, const Array *a)
{
    Buf text = buf_new(e->c->arena);
    buf_char(&text, '[');
    for (size_t i = 0; i < type->n; i++) {
        const Ast *dim = type->kids[i];
        buf_add(&text, i > 0 ? STR(", ") : STR(""));
        Value v = value_poison();
        const Binding *rest = dim->kind == AST_ELLIPSIS ? map_get(&scope->names, STR("..")) : NULL;
        if (rest != NULL && rest_fits(&rest->value, i, type->n, a)) {
            rest = NULL;
        }
        for (size_t k = 0; rest != NULL && k < rest->value.n; k++) {
            buf_printf(&text, "%s%lld", k > 0 ? ", " : "", (long long)rest->value.items[k].i);
        }
        if (dim->kind == AST_ELLIPSIS) {
            buf_add(&text, rest == NULL ? STR("..") : STR(""));
        } else if (dim->kind != AST_NAME || scope_find(scope, dim->text) != NULL) {
            v = eval(e, scope, dim);
        }
        if (v.kind == VALUE_INT) {
            buf_printf(&text, "%lld", (long long)v.i);
        } else if (dim->kind == AST_NAME) {
            buf_add(&text, dim->text);
        }
    }
    buf_char(&text, ']');
    return buf_str(&text);
}

static bool dims_differ(Elab *e, Scope *scope, const Ast *type, const Array *a, Span at, Str callee,
                        DiagCode code)
{
    Str wants = wanted_text(e, scope, type, a), gets = dims_text(e->c->arena, a->rank, a->dims);
    Diag *d =
        elab_error(e, code, at, "dimension mismatch in call to `" STR_FMT "`", STR_ARG(callee));
    diag_label(d, "wants " STR_FMT ", gets " STR_FMT, STR_ARG(wants), STR_ARG(gets));
    diag_note_at(d, type->span, "the declared shape", "the parameter is declared here");
    Instance *self = scope->self;
    if (self != NULL && self->span.file != 0) {
        Str path = self->path.len > 0 ? self->path : self->module->text;
        diag_note_at(d, self->span, "its sizes come from these arguments",
                     "`" STR_FMT "` is made here", STR_ARG(path));
    }
    diag_help(d, "change the argument, or the sizes given where it is declared");
    return false;
}

static bool bind_rest(Elab *e, Scope *scope, size_t n, const int64_t *dims, Span span)
{
    const Binding *known = map_get(&scope->names, STR(".."));
    if (known == NULL) {
        Value *items = NEW_ARRAY(elab_arena(e), Value, n + 1);
        for (size_t i = 0; i < n; i++) {
            items[i] = value_int(dims[i]);
        }
        scope_set(scope, STR(".."), value_list(n, items), span);
        return true;
    }
    bool same = known->value.n == n;
    for (size_t i = 0; same && i < n; i++) {
        same = known->value.items[i].i == dims[i];
    }
    return same;
}

bool bind_dims(Elab *e, Scope *scope, const Ast *type, const Array *a, Span at, Str callee,
               Str *names)
{
    size_t rest = type->n, fixed = type->n;
    for (size_t i = 0; i < type->n; i++) {
        if (type->kids[i]->kind == AST_ELLIPSIS) {
            rest = i;
            fixed = type->n - 1;
        }
    }
    if (rest < type->n ? a->rank < fixed : a->rank != fixed) {
        return dims_differ(e, scope, type, a, at, callee, E212);
    }
    for (size_t i = 0, k = 0; i < type->n; i++) {
        const Ast *dim = type->kids[i];
        if (i == rest) {
            if (!bind_rest(e, scope, a->rank - fixed, a->dims + k, dim->span)) {
                return dims_differ(e, scope, type, a, at, callee, E201);
            }
            k += a->rank - fixed;
            continue;
        }
        int64_t want = a->dims[k];
        bool any = dim->kind == AST_NAME && str_is(dim->text, "_");
        if (!any && dim->kind == AST_NAME) {
            names[k] = dim->text;
        }
        if (!any && is_open(dim, scope)) {
            scope_set(scope, dim->text, value_int(want), dim->span);
        } else if (!any && !elab_int(e, scope, dim, &want)) {
            return false;
        }
        if (want != a->dims[k]) {
            return dims_differ(e, scope, type, a, at, callee, E201);
        }
        k++;
    }
    return true;
}

bool eval_dims(Elab *e, Scope *scope, const Ast *type, size_t *rank, int64_t *dims)
{
    *rank = 0;
    for (size_t i = 0; i < type->n; i++) {
        const Ast *dim = type->kids[i];
        const Binding *rest = NULL;
        if (dim->kind == AST_ELLIPSIS) {
            rest = scope_find(scope, STR(".."));
            if (rest == NULL || rest->value.kind != VALUE_LIST) {
                elab_error(e, E205, dim->span, "`..` stands for nothing here");
                return false;
            }
        }
        size_t width = rest != NULL ? rest->value.n : 1;
        if (*rank + width > MAX_RANK) {
            elab_error(e, E212, type->span, "more than %d dimensions", MAX_RANK);
            return false;
        }
        for (size_t k = 0; k < width; k++) {
            if (rest != NULL) {
                dims[*rank] = rest->value.items[k].i;
            } else if (!elab_int(e, scope, dim, &dims[*rank])) {
                return false;
            }
            ++*rank;
        }
    }
    return true;
}

/* --- arguments
 * ----------------------------------------------------------------------------------------------------
 */
typedef struct Call {
    Elab *e;
    const Meaning *fn;
    Scope *scope; /* of the body */
    const Ast *at;
    const Ast **slots;
    Value *values; /* by parameter; poison for a default */
} Call;

/* What is called, as the call spells it: `fc2`, and not `forward`. */
static Str callee(const Call *call)
{
    const Ast *at = call->at;
    if (call->fn->self == NULL || at->kind != AST_CALL || at->kids[0]->kind == AST_CALL) {
        return call->fn->item->text;
    }
    Str text = at->kids[0]->text;
    return text.len > 0 ? text : call->fn->item->text;
}

static bool is_tensor_param(const Ast *param)
{
    const Ast *type = param->kids[0];
    if (type == NULL) {
        return false;
    }
    if (type->kind == AST_TYPE_TENSOR) {
        return true;
    }
    static const char *const host[] = {"int", "float", "bool", "string", "module"};
    for (size_t i = 0; i < sizeof host / sizeof *host; i++) {
        if (str_is(type->text, host[i])) {
            return false;
        }
    }
    return true;
}

static bool bind_scalar(Call *call, const Ast *param, size_t i)
{
    Elab *e = call->e;
    Span span = call->slots[i] != NULL ? call->slots[i]->span : param->span;
    Value value = call->slots[i] != NULL ? call->values[i] : eval(e, call->scope, param->kids[1]);
    Value fallback = value;
    if (param->kids[0] == NULL && param->kids[1] != NULL && call->slots[i] != NULL) {
        fallback = eval(e, call->scope, param->kids[1]);
    }
    value = convert_scalar(e, param, param_type(e, param, &fallback), value, span,
                           call->fn->item->text);
    value.span = span;
    scope_set(call->scope, param->text, value, span);
    return value.kind != VALUE_POISON;
}

static bool bind_tensor(Call *call, const Ast *param, size_t i)
{
    Elab *e = call->e;
    const Ast *type = param->kids[0];
    Span span = call->slots[i] != NULL ? call->slots[i]->span : param->span;
    Value value = call->slots[i] != NULL ? call->values[i] : eval(e, call->scope, param->kids[1]);
    DType dtype;
    if (value.kind == VALUE_POISON || !type_dtype(e, type->text, type->span, &dtype)) {
        return false;
    }
    bool host =
        value_is_number(&value) || (value.kind == VALUE_TENSOR && value.clock == CLOCK_STEP);
    if (e->graph == NULL && !host) {
        elab_error(e, E208, span, "a tensor where a value known at build time is needed");
        return false;
    }
    if (host && dtype_is_float(dtype)) { /* keeps its clock: schedules stay schedules */
        Array none = {.base = NODE_NONE};
        Str names[1];
        if (type->kind == AST_TYPE_TENSOR &&
            !bind_dims(e, call->scope, type, &none, span, callee(call), names)) {
            return false;
        }
        scope_set(call->scope, param->text, value, span);
        return true;
    }
    value = convert_tensor(e, value, dtype, span);
    if (value.kind == VALUE_POISON) {
        return false;
    }
    Array a = *value.array;
    Str *names = NEW_ARRAY(elab_arena(e), Str, MAX_RANK);
    Ast none = *type;
    none.n = 0;
    if (!bind_dims(e, call->scope, type->kind == AST_TYPE_TENSOR ? type : &none, &a, span,
                   callee(call), names)) {
        return false;
    }
    array_settle(e, &a);
    array_node(e, &a, param->text, span);
    a.names = names;
    Value bound = array_value(e, &a, value.clock, span);
    scope_set(call->scope, param->text, bound, span);
    return true;
}

static bool bind_all(Call *call)
{
    const Ast *params = call->fn->item->kids[0];
    for (size_t i = 0; i < params->n; i++) {
        if (!is_tensor_param(params->kids[i]) && !bind_scalar(call, params->kids[i], i)) {
            return false;
        }
    }
    for (size_t i = 0; i < params->n; i++) {
        if (is_tensor_param(params->kids[i]) && !bind_tensor(call, params->kids[i], i)) {
            return false;
        }
    }
    return true;
}

/* --- results
 * ---------------------------------------------------------------------------------------------------------
 */
static Value convert_result(Call *call, Value value)
{
    Elab *e = call->e;
    const Ast *fn = call->fn->item, *type = fn->kids[1];
    if (value.kind == VALUE_POISON || type == NULL) {
        return value;
    }
    Ast param = {.kind = AST_PARAM, .text = STR("result"), .span = type->span, .name = type->span};
    Ast *kids[2] = {fn->kids[1], NULL};
    param.kids = kids;
    param.n = 2;
    if (!is_tensor_param(&param)) {
        return convert_scalar(e, &param, type->text, value, value.span, fn->text);
    }
    DType dtype;
    if (!type_dtype(e, type->text, type->span, &dtype)) {
        return value_poison();
    }
    bool host =
        value_is_number(&value) || (value.kind == VALUE_TENSOR && value.clock == CLOCK_STEP);
    if (host && dtype_is_float(dtype) && type->kind == AST_TYPE_SCALAR) {
        return value;
    }
    if (e->graph == NULL) {
        return value;
    }
    size_t rank = 0;
    int64_t dims[MAX_RANK];
    if (type->kind == AST_TYPE_TENSOR && !eval_dims(e, call->scope, type, &rank, dims)) {
        return value_poison();
    }
    if (host && dtype_is_float(dtype) && rank == 0) {
        return value;
    }
    value = convert_tensor(e, value, dtype, value.span);
    if (value.kind == VALUE_POISON) {
        return value;
    }
    bool same = value.array->rank == rank;
    for (size_t i = 0; same && i < rank; i++) {
        same = value.array->dims[i] == dims[i];
    }
    if (same) {
        return value;
    }
    Str wants = dims_text(e->c->arena, rank, dims);
    Str gets = dims_text(e->c->arena, value.array->rank, value.array->dims);
    Diag *d = elab_error(e, E201, value.span, "the result of `" STR_FMT "` has another shape",
                         STR_ARG(fn->text));
    diag_label(d, "has " STR_FMT, STR_ARG(gets));
    diag_note_at(d, type->span, str_c(e->c->arena, wants), "declared as " STR_FMT, STR_ARG(wants));
    return value_poison();
}

static Value run_body(Call *call)
{
    Elab *e = call->e;
    const Ast *fn = call->fn->item, *body = fn->kids[2];
    if (body->kind != AST_BLOCK) {
        return eval(e, call->scope, body);
    }
    Value result;
    size_t errors = e->c->diags.errors;
    if (run_block(e, call->scope, body, &result)) {
        return result;
    }
    if (e->c->diags.errors == errors) {
        Diag *d = elab_error(e, E107, fn->name, "`" STR_FMT "` returns nothing", STR_ARG(fn->text));
        diag_help(d, "end it with `return …`");
    }
    return value_poison();
}

Value call_function(Elab *e, const Meaning *fn, Scope *scope, size_t n, Ast *const *args,
                    const Ast *at)
{
    const Ast *params = fn->item->kids[0];
    Call call = {.e = e, .fn = fn, .at = at};
    call.slots = NEW_ARRAY(elab_arena(e), const Ast *, params->n + 1);
    call.values = NEW_ARRAY(elab_arena(e), Value, params->n + 1);
    if (!match_arguments(e, params, n, args, at->span, fn->item->text, call.slots)) {
        return value_poison();
    }
    bool ok = true;
    size_t subscripts = e->state->subscripts;
    e->state->subscripts = 0;
    for (size_t i = 0; i < params->n; i++) {
        if (call.slots[i] == NULL) {
            continue;
        }
        call.values[i] = eval(e, scope, call.slots[i]);
        ok = ok && call.values[i].kind != VALUE_POISON;
    }
    Instance *where = fn->self != NULL ? fn->self : scope->instance;
    call.scope =
        scope_new(elab_arena(e), fn->self != NULL ? fn->self->scope : NULL, fn->file, fn->self);
    call.scope->instance = where;
    call.scope->body = fn->item->kids[2];
    Frame frame;
    Value result = value_poison();
    if (ok && frame_push(e, &frame, fn->item, fn->self, where, at->span)) {
        size_t memo = e->state->memo.len, known = e->state->known.len;
        struct BlockRun *run = e->state->run;
        e->state->run = NULL;
        if (bind_all(&call)) {
            result = convert_result(&call, run_body(&call));
        }
        e->state->memo.len = memo;
        e->state->known.len = known;
        e->state->run = run;
        frame_pop(e);
    }
    e->state->subscripts = subscripts;
    return result;
}

Value eval_call(Elab *e, Scope *scope, const Ast *expr)
{
    Meaning m = lookup(e, scope, expr->kids[0]);
    if (m.kind == MEANING_VALUE && m.value.kind == VALUE_INSTANCE) {
        Instance *self = m.value.instance;
        const Ast *forward = module_function(self->module, STR("forward"));
        if (forward == NULL) {
            Diag *d = elab_error(e, E304, expr->span, "`" STR_FMT "` has no `forward`",
                                 STR_ARG(self->module->text));
            diag_note_at(d, self->module->name, "this module", "declared here");
            diag_help(d, "call one of its functions by name: `m.name(…)`");
            return value_poison();
        }
        m = (Meaning){.kind = MEANING_FN,
                      .item = forward,
                      .file = self->file,
                      .self = self,
                      .name = forward->text};
    }
    if (m.kind == MEANING_FN) {
        return call_function(e, &m, scope, expr->n - 1, expr->kids + 1, expr);
    }
    if (m.kind == MEANING_BUILTIN) {
        return builtin_call(e, scope, m.name, expr->n - 1, expr->kids + 1, expr);
    }
    if (m.kind == MEANING_NONE) {
        return value_poison();
    }
    bool item = m.kind == MEANING_MODULE || m.kind == MEANING_OPTIMIZER;
    Diag *d = elab_error(e, E106, expr->kids[0]->span, "this cannot be called");
    diag_label(d, "%s",
               m.kind == MEANING_MODULE ? "a module"
               : item                   ? "an optimizer"
                                        : value_kind_name(&m.value));
    if (m.kind == MEANING_MODULE) {
        diag_help(d,
                  "declare an instance in a module's body, `name: " STR_FMT "(…)`, and call "
                  "`name`",
                  STR_ARG(m.name));
    } else if (m.kind == MEANING_VALUE && m.value.kind == VALUE_INSTANCES) {
        diag_help(d, "call its elements: `for m in … { x = m(x) }`");
    }
    return value_poison();
}
