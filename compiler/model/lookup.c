/* lookup: what a name or dotted path means. Order: local, index or parameter; then the longest
 * declared path of the module, its functions; then the file's items; then imports, bare or
 * qualified; then what the language itself provides. */
#include <assert.h>
#include <stdlib.h>

#include "model/internal.h"

enum { MAX_SEGMENTS = 32 };

typedef struct Chain { /* a.b.0.c */
    size_t n;
    Str segs[MAX_SEGMENTS];
    Span spans[MAX_SEGMENTS];
    const Ast *root; /* what stands before the first dot when it is not a name */
} Chain;

static bool chain_add(Chain *chain, Str seg, Span span)
{
    if (chain->n == MAX_SEGMENTS) {
        return false;
    }
    chain->segs[chain->n] = seg;
    chain->spans[chain->n++] = span;
    return true;
}

static bool chain_of(const Ast *expr, Chain *chain)
{
    if (expr->kind == AST_NAME) {
        return chain_add(chain, expr->text, expr->span);
    }
    if (expr->kind != AST_MEMBER) {
        chain->root = expr;
        return true;
    }
    return chain_of(expr->kids[0], chain) && chain_add(chain, expr->text, expr->name);
}

static Meaning meaning_value(Value value)
{
    return (Meaning){.kind = value.kind == VALUE_POISON ? MEANING_NONE : MEANING_VALUE,
                     .value = value};
}

/* --- members --------------------------------------------------------------------------------- */
static Value member_value(Elab *e, Member *member, Span span)
{
    switch (member->kind) {
    case MEMBER_VARIABLE:
        return elab_variable(e, member->variable, span);
    case MEMBER_INSTANCE:
        return member->instance != NULL ? value_instance(member->instance) : value_poison();
    case MEMBER_ARRAY:
        return (Value){.kind = VALUE_INSTANCES,
                       .span = span,
                       .n = member->n,
                       .instances = member->array,
                       .node = NODE_NONE};
    }
    return value_poison();
}

static Value transpose(Elab *e, const Value *v, Span span)
{
    Array a = *v->array;
    if (a.rank < 2) {
        Diag *d = elab_error(e, E106, span, "`.T` swaps the last two dimensions");
        diag_label(d, "this has %zu", a.rank);
        return value_poison();
    }
    array_settle(e, &a);
    if (a.rank < 2) {                        /* too large, which was said: a stand-in */
        return value_poison();
    }
    Array t = a;
    t.base = NODE_NONE;
    t.n_lead = 0;
    t.names = NULL;
    t.dims[a.rank - 1] = a.dims[a.rank - 2];
    t.dims[a.rank - 2] = a.dims[a.rank - 1];
    const Var *from[2] = {array_var(e, &a, a.rank - 2), array_var(e, &a, a.rank - 1)};
    const Position *to[2] = {pos_var(e->graph->pool, array_var(e, &t, a.rank - 1)),
                             pos_var(e->graph->pool, array_var(e, &t, a.rank - 2))};
    Subst subst = {.n = 2, .from = from, .to = to};
    t.body = sc_subst(e->graph->pool, a.body, &subst);
    return array_value(e, &t, v->clock, span);
}

static Diag *no_member(Elab *e, const Instance *in, Str name, Span span)
{
    const Ast *decl, *condition = module_conditional(in->module, name, &decl);
    if (condition != NULL) {
        Diag *d =
            elab_error(e, E302, span, "`" STR_FMT "` exists only under a condition", STR_ARG(name));
        diag_label(d, "not in this instance");
        diag_note_at(d, condition->span, "false here", "it is declared under this condition");
        diag_help(d, "use it under the same `if`");
        return d;
    }
    const Instance *wrapped = e->state->adapted;
    while (wrapped != NULL && wrapped != in) {
        wrapped = wrapped->base; /* another wrapper, through which it shows */
    }
    if (wrapped != NULL) {
        Diag *d = elab_error(e, E509, span, "adapter does not fit `" STR_FMT "`", STR_ARG(in->path));
        diag_label(d, "`" STR_FMT "` has no %s `" STR_FMT "`", STR_ARG(in->module->text),
                   e->state->merging ? "function" : "argument", STR_ARG(name));
        if (e->state->merging) {
            diag_note_at(d, in->module->name, "", "`" STR_FMT "` is declared here",
                         STR_ARG(in->module->text));
            diag_help(d, "give it one: `Linear` of `nn` has `fn stored(w: [O, I]) -> [O, I] = w`");
            return d;
        }
        diag_help(d, "select modules that have it: a `Linear(I, O)` has `I` and `O`");
        return d;
    }
    Diag *d = elab_error(e, E101, span, "`" STR_FMT "` has no member `" STR_FMT "`",
                         STR_ARG(in->module->text), STR_ARG(name));
    Str *names = NEW_ARRAY(e->c->arena, Str, in->members.len + in->module->kids[1]->n + 1);
    size_t n = 0;
    for (size_t i = 0; i < in->members.len; i++) {
        names[n++] = in->members.entries[i].key;
    }
    for (size_t i = 0; i < in->module->kids[1]->n; i++) {
        if (in->module->kids[1]->kids[i]->kind == AST_FN) {
            names[n++] = in->module->kids[1]->kids[i]->text;
        }
    }
    help_nearest(d, name, n, names);
    return d;
}

static bool is_number(Str s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9') {
            return false;
        }
    }
    return s.len > 0 && s.len < 10;
}

static Meaning array_element(Elab *e, const Value *v, Str seg, Span span)
{
    if (!is_number(seg)) {
        Diag *d = elab_error(e, E101, span, "an array of modules has no member `" STR_FMT "`",
                             STR_ARG(seg));
        diag_help(d, "choose one: `.0`, or use `for x in …`");
        return (Meaning){.kind = MEANING_NONE};
    }
    int64_t i = 0;
    for (size_t k = 0; k < seg.len; k++) {
        i = i * 10 + (seg.ptr[k] - '0');
    }
    if (i < (int64_t)v->n) {
        return v->instances[i] != NULL ? meaning_value(value_instance(v->instances[i]))
                                       : (Meaning){.kind = MEANING_NONE};
    }
    Diag *d = elab_error(e, E101, span, "path index " STR_FMT " is out of range", STR_ARG(seg));
    if (v->n > 0) {
        diag_label(d, "the array has .0 to .%zu", v->n - 1);
    } else {
        diag_label(d, "the array is empty");
    }
    return (Meaning){.kind = MEANING_NONE};
}

/* Follows segs[used..n) from a value. */
static Meaning follow(Elab *e, Value value, const Chain *chain, size_t used)
{
    while (used < chain->n) {
        Str seg = chain->segs[used];
        Span span = chain->spans[used];
        if (value.kind == VALUE_POISON) {
            return meaning_value(value);
        }
        if (value.kind == VALUE_INSTANCE) {
            Instance *in = value.instance;
            size_t k;
            Member *member = instance_member(e, in, chain->n - used, chain->segs + used, &k);
            const Binding *arg = map_get(&in->scope->names, seg);
            const Ast *fn = module_function(in->module, seg);
            if (member != NULL) {
                value = member_value(e, member, span);
                used += k;
            } else if (arg != NULL) {
                value = arg->value;
                used++;
            } else if (fn != NULL && used + 1 == chain->n) {
                return (Meaning){
                    .kind = MEANING_FN, .item = fn, .file = in->file, .self = in, .name = seg};
            } else if (in->base != NULL) {
                value = value_instance(in->base);
            } else {
                no_member(e, in, seg, span);
                return (Meaning){.kind = MEANING_NONE};
            }
        } else if (value.kind == VALUE_INSTANCES) {
            Meaning m = array_element(e, &value, seg, span);
            if (m.kind == MEANING_NONE) {
                return m;
            }
            value = m.value;
            used++;
        } else if (value.kind == VALUE_BATCH) {
            value = elab_field(e, value.batch, seg, span);
            used++;
        } else if (value.kind == VALUE_TENSOR && str_is(seg, "T")) {
            value = transpose(e, &value, span);
            used++;
        } else {
            Diag *d = elab_error(e, E106, span, "`." STR_FMT "` of %s", STR_ARG(seg),
                                 value_kind_name(&value));
            const char *help = value.kind == VALUE_TENSOR ? foreign_help(FOREIGN_MEMBER, seg) : NULL;
            diag_help(d, "%s",
                      help != NULL ? help : "members are of modules and batches; a matrix has `.T`");
            return (Meaning){.kind = MEANING_NONE};
        }
    }
    return meaning_value(value);
}

/* --- items
 * ------------------------------------------------------------------------------------------------
 */
typedef struct LetValue {
    Value value;
    bool running;
} LetValue;

static Value let_value(Elab *e, File *file, const Ast *let, Span span)
{
    LetValue *known = map_get(&file->lets, let->text);
    if (known != NULL && !known->running) {
        return known->value;
    }
    if (known != NULL) {
        Diag *d =
            elab_error(e, E108, span, "`" STR_FMT "` is defined by itself", STR_ARG(let->text));
        diag_note_at(d, let->name, "declared here", "the definition");
        return value_poison();
    }
    LetValue *own = NEW(e->c->arena, LetValue);
    own->running = true;
    map_set(&file->lets, let->text, own);
    Scope *scope = scope_new(elab_arena(e), NULL, file, NULL);
    Value value = eval(e, scope, let->kids[0]);
    value.span = span;
    own->running = false;
    own->value = value;
    if (value.kind == VALUE_TENSOR || value.kind == VALUE_POISON) {
        map_set(&file->lets, let->text, NULL); /* belongs to this graph */
    }
    return value;
}

static Meaning item_meaning(Elab *e, const Ast *item, File *file, Span span)
{
    if (item->kind == AST_OPTION) {
        return meaning_value(elab_option(e, file, item));
    }
    if (item->kind == AST_LET) {
        return meaning_value(let_value(e, file, item, span));
    }
    MeaningKind kind = item->kind == AST_FN       ? MEANING_FN
                       : item->kind == AST_MODULE ? MEANING_MODULE
                                                  : MEANING_OPTIMIZER;
    return (Meaning){.kind = kind, .item = item, .file = file, .name = item->text};
}

/* --- what was not found ---------------------------------------------------------------------- */
typedef VEC(Str) Names;

static void add_items(Elab *e, Names *names, const File *file)
{
    for (size_t i = 0; i < file->items.len; i++) {
        VEC_PUSH(e->c->arena, *names, file->items.entries[i].key);
    }
}

static bool other_case(Str a, Str b)
{
    bool same = a.len == b.len;
    for (size_t i = 0; i < a.len && same; i++) {
        same = (a.ptr[i] | 0x20) == (b.ptr[i] | 0x20);
    }
    return same;
}

/* The function that a module is looked for, as `dropout` for `Dropout`; empty: none. */
static Str function_of(const Scope *scope, Str name)
{
    for (size_t i = 0; i <= scope->file->imports.len; i++) {
        const File *file = i > 0 ? scope->file->imports.at[i - 1] : scope->file;
        for (size_t k = 0; k < file->items.len; k++) {
            const Ast *item = file->items.entries[k].value;
            if (item->kind == AST_FN && other_case(item->text, name)) {
                return item->text;
            }
        }
    }
    return (Str){0};
}

static void nearest_known(Elab *e, const Scope *scope, Diag *d, Str name)
{
    Names names = {0};
    for (const Scope *s = scope; s != NULL; s = s->outer) {
        for (size_t i = 0; i < s->names.len; i++) {
            VEC_PUSH(e->c->arena, names, s->names.entries[i].key);
        }
    }
    for (size_t i = 0; scope->self != NULL && i < scope->self->members.len; i++) {
        VEC_PUSH(e->c->arena, names, scope->self->members.entries[i].key);
    }
    add_items(e, &names, scope->file);
    for (size_t i = 0; i < scope->file->imports.len; i++) {
        add_items(e, &names, scope->file->imports.at[i]);
    }
    const Str *builtins;
    size_t n = builtin_names(&builtins);
    for (size_t i = 0; i < n; i++) {
        VEC_PUSH(e->c->arena, names, builtins[i]);
    }
    Str home = std_home(name), function = e->graph == NULL ? function_of(scope, name) : (Str){0};
    const char *help = foreign_help(FOREIGN_NAME, name);
    if (home.len > 0 && !scope->file->is_std) {
        diag_help(d, "`use " STR_FMT "` brings it", STR_ARG(home));
        Span start = {scope->file->tree->span.file, 0, 0};
        diag_edit(d, start, str_format(e->c->arena, "use " STR_FMT "\n", STR_ARG(home)));
    } else if (help != NULL) {
        diag_help(d, "%s", help);
    } else if (function.len > 0) {
        diag_help(d, "`" STR_FMT "` is a function: without a part of its own it is called in `forward`, `" STR_FMT
                  "(x, …)`", STR_ARG(function), STR_ARG(function));
    } else {
        help_nearest(d, name, names.len, names.at);
    }
}

static const Ast *find_assignment(const Ast *ast, Str name)
{
    if (ast == NULL) {
        return NULL;
    }
    if (ast->kind == AST_LHS && str_eq(ast->text, name)) {
        return ast;
    }
    for (size_t i = 0; i < ast->n; i++) {
        const Ast *found = find_assignment(ast->kids[i], name);
        if (found != NULL) {
            return found;
        }
    }
    return NULL;
}

typedef struct Ended {         /* sum[k] in `sum[k] x[k] == y[k]` */
    const Ast *reduce, *before; /* the node whose operator ends its term */
    const Ast *whole;           /* the node whose right side reads k */
} Ended;

static void find_ended(const Ast *ast, const Ast *before, Str name, Ended *ended)
{
    if (ast->flags & AST_FLAG_PARENS) {
        return;
    }
    if (ast->kind == AST_BINARY) {
        find_ended(ast->kids[0], ast, name, ended);
        find_ended(ast->kids[1], before, name, ended);
    } else if (ast->kind == AST_UNARY || ast->kind == AST_REDUCE) {
        find_ended(ast->kids[0], before, name, ended);
    }
    for (size_t i = 1; ast->kind == AST_REDUCE && i < ast->n; i++) {
        if (ast->kids[i]->kind == AST_INDEX && str_eq(ast->kids[i]->text, name)) {
            ended->reduce = ast;
            ended->before = before;
        }
    }
}

/* The reduction over `name` left of an operator whose right side holds the place. */
static bool ended_before(const Ast *ast, Str name, Span place, Ended *ended)
{
    if (ast == NULL || place.start < ast->span.start || place.end > ast->span.end) {
        return false;
    }
    for (size_t i = 0; i < ast->n; i++) {
        if (ended_before(ast->kids[i], name, place, ended)) {
            return true;
        }
    }
    if (ast->kind != AST_BINARY || place.start < ast->kids[1]->span.start) {
        return false;
    }
    *ended = (Ended){.whole = ast};
    find_ended(ast->kids[0], ast, name, ended);
    return ended->reduce != NULL;
}

static void index_ended(Elab *e, Str name, Span span, const Ended *ended)
{
    Str op = ended->before->text, reduction = ended->reduce->text;
    Diag *d = elab_error(e, E204, span, "index `" STR_FMT "` is not bound here", STR_ARG(name));
    diag_label(d, "the term of `" STR_FMT "[" STR_FMT "]` ends before `" STR_FMT "`",
               STR_ARG(reduction), STR_ARG(name), STR_ARG(op));
    diag_help(d, "a reduction ends before `+`, `-` and comparisons: `" STR_FMT "[" STR_FMT "] (… " STR_FMT " …)`",
              STR_ARG(reduction), STR_ARG(name), STR_ARG(op));
    Span term = ended->reduce->kids[0]->span;
    term.end = ended->whole->kids[1]->span.end;
    diag_edit_around(d, term, "(", ")");
}

/* Is the place in the result type of the function that is being called? */
static bool in_result(const Elab *e, Span span)
{
    const Frame *frame = e->state->frame;
    const Ast *type = frame != NULL && frame->what->kind == AST_FN ? frame->what->kids[1] : NULL;
    return type != NULL && type->span.file == span.file && type->span.start <= span.start &&
           span.end <= type->span.end;
}

static void unknown(Elab *e, const Scope *scope, const Chain *chain)
{
    Str name = chain->segs[0];
    Span span = chain->spans[0];
    if (scope->self != NULL) {
        Buf path = buf_new(e->c->arena);
        for (size_t k = 0; k < chain->n; k++) {
            buf_printf(&path, "%s" STR_FMT, k > 0 ? "." : "", STR_ARG(chain->segs[k]));
            const Ast *decl;
            if (module_conditional(scope->self->module, buf_str(&path), &decl) != NULL) {
                no_member(e, scope->self, buf_str(&path), span);
                return;
            }
        }
    }
    Ended ended;
    if (chain->n == 1 && ended_before(scope->body, name, span, &ended)) {
        index_ended(e, name, span, &ended);
        return;
    }
    if (e->state->subscripts > 0 && chain->n == 1) {
        Diag *d = elab_error(e, E204, span, "index `" STR_FMT "` is not bound", STR_ARG(name));
        diag_label(d, "appears only on the right");
        diag_help(d, "did you mean to sum over it?  `sum[" STR_FMT "] …`; or bind it on the left: "
                     "`y[" STR_FMT "] = …`", STR_ARG(name), STR_ARG(name));
        const Ast *stmt = e->state->run != NULL ? e->state->run->stmt : NULL;
        if (stmt != NULL && stmt->kind == AST_ASSIGN) {
            const Ast *right = stmt->kids[0];
            bool whole = right->kind != AST_BINARY;      /* a reduction ends before `+` */
            Str sum = str_format(e->c->arena, "sum[" STR_FMT "] %s", STR_ARG(name), whole ? "" : "(");
            diag_edit_around(d, right->span, str_c(e->c->arena, sum), whole ? "" : ")");
        }
        return;
    }
    const Ast *assigned = scope->body != NULL ? find_assignment(scope->body, name) : NULL;
    Diag *d = elab_error(e, E101, span, "unknown name `" STR_FMT "`", STR_ARG(name));
    if (assigned != NULL && assigned->span.start > span.start) {
        diag_note_at(d, assigned->span, "assigned here", "it has no value before this line");
    } else if (assigned != NULL) {
        diag_note_at(d, assigned->span, "assigned here",
                     "it has a value only on the path through this line");
    } else if (in_result(e, span)) {
        diag_help(d, "dimensions of a result are made of those of the parameters, or its type is left out");
    } else if (init_exists(name)) {
        diag_help(d, "an initialiser stands after the type of a `param` or `state`; a tensor of one "
                     "value is `y[i < N] = 0.0`");
    } else {
        nearest_known(e, scope, d, name);
    }
}

/* --- the order
 * -------------------------------------------------------------------------------------------------
 */
static Value resolved(Elab *e, Value value)
{
    if (value.kind != VALUE_DEFERRED) {
        return value;
    }
    if (e->graph == NULL) {
        e->state->deferred = true;
        return value_poison();
    }
    return eval(e, value.scope, value.ast);
}

static Meaning own_member(Elab *e, const Scope *scope, const Chain *chain)
{
    Instance *self = scope->self;
    size_t used;
    Member *member = instance_member(e, self, chain->n, chain->segs, &used);
    if (member != NULL) {
        return follow(e, member_value(e, member, chain->spans[0]), chain, used);
    }
    const Ast *fn = chain->n == 1 ? module_function(self->module, chain->segs[0]) : NULL;
    if (fn != NULL) {
        return (Meaning){
            .kind = MEANING_FN, .item = fn, .file = self->file, .self = self, .name = fn->text};
    }
    return (Meaning){.kind = MEANING_BUILTIN, .name = {0}}; /* not here: go on */
}

static bool step_name(const Elab *e, Str name)
{
    return e->state->frame == NULL &&
           (str_is(name, "t") || str_is(name, "epoch") || str_is(name, "progress"));
}

static Meaning outer_name(Elab *e, const Scope *scope, const Chain *chain)
{
    Str name = chain->segs[0];
    File *file;
    const Ast *item = file_lookup(e->c, scope->file, name, chain->spans[0], &file);
    size_t used = 1;
    if (item == NULL && chain->n > 1) {
        file = file_import(scope->file, name);
        item = file != NULL ? map_get(&file->items, chain->segs[1]) : NULL;
        used = 2;
    }
    if (item != NULL) {
        Meaning m = item_meaning(e, item, file, chain->spans[0]);
        return m.kind == MEANING_VALUE ? follow(e, m.value, chain, used) : m;
    }
    if (step_name(e, name)) {
        if (e->graph == NULL) {
            e->state->deferred = true;
            return (Meaning){.kind = MEANING_NONE};
        }
        Value value = array_of_node(e, elab_step_leaf(e, name), CLOCK_STEP, chain->spans[0]);
        Array a = *value.array;
        a.integral = str_is(name, "t");
        return meaning_value(array_value(e, &a, CLOCK_STEP, chain->spans[0]));
    }
    if (str_is(name, "pi") || str_is(name, "inf") || str_is(name, "training")) {
        Value value = builtin_constant(e, (Scope *)(uintptr_t)scope, name, chain->spans[0]);
        return follow(e, value, chain, 1);
    }
    if (chain->n == 1 && builtin_exists(name)) {
        return (Meaning){.kind = MEANING_BUILTIN, .name = name};
    }
    unknown(e, scope, chain);
    return (Meaning){.kind = MEANING_NONE};
}

static Meaning lookup_chain(Elab *e, Scope *scope, const Chain *chain)
{
    if (chain->root != NULL) {
        return follow(e, eval(e, scope, chain->root), chain, 0);
    }
    const Binding *local = scope_find(scope, chain->segs[0]);
    if (local != NULL) {
        Value value = resolved(e, local->value);
        if (value.span.file == 0) {
            value.span = chain->spans[0];
        }
        return follow(e, value, chain, 1);
    }
    if (scope->self != NULL) {
        Meaning m = own_member(e, scope, chain);
        if (m.kind != MEANING_BUILTIN) {
            return m;
        }
    }
    return outer_name(e, scope, chain);
}

Meaning lookup(Elab *e, Scope *scope, const Ast *expr)
{
    Chain chain = {0};
    if (!chain_of(expr, &chain)) {
        elab_error(e, E003, expr->span, "a path of more than %d segments", MAX_SEGMENTS);
        return (Meaning){.kind = MEANING_NONE};
    }
    return lookup_chain(e, scope, &chain);
}

Meaning lookup_path(Elab *e, Scope *scope, Str dotted, Span span)
{
    Chain chain = {0};
    size_t start = 0;
    for (size_t i = 0; i <= dotted.len; i++) {
        if (i < dotted.len && dotted.ptr[i] != '.') {
            continue;
        }
        if (!chain_add(&chain, (Str){dotted.ptr + start, i - start}, span)) {
            return (Meaning){.kind = MEANING_NONE};
        }
        start = i + 1;
    }
    return lookup_chain(e, scope, &chain);
}
