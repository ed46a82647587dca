/* instance: modules become instances, parameters and states become variables with keys. A module's
 * body is walked once; `if` and array lengths are of the build clock. Graphs are made later, per
 * stage, from the same instances. */
#include <math.h>

#include "model/internal.h"

Model *model_new(Compiler *c)
{
    Model *model = NEW(c->arena, Model);
    model->by_key = map_new(c->arena);
    return model;
}

/* --- finding things -------------------------------------------------------------------------- */
Member *instance_member(Elab *e, const Instance *instance, size_t n, const Str *segs, size_t *used)
{
    Member *found = NULL;
    Str path = {0};
    for (size_t k = 0; k < n; k++) {
        path = k == 0 ? segs[0] : str_join(e->c->arena, path, ".", segs[k]);
        Member *member = map_get(&instance->members, path);
        if (member != NULL) {
            found = member;
            *used = k + 1;
        }
    }
    return found;
}

const Ast *module_function(const Ast *module, Str name)
{
    const Ast *body = module->kids[1];
    for (size_t i = 0; i < body->n; i++) {
        if (body->kids[i]->kind == AST_FN && str_eq(body->kids[i]->text, name)) {
            return body->kids[i];
        }
    }
    return NULL;
}

static const Ast *declares(const Ast *item, Str path)
{
    if ((item->kind == AST_VAR_PARAM || item->kind == AST_VAR_STATE) && str_eq(item->text, path)) {
        return item;
    }
    for (size_t k = 1; item->kind == AST_SUBMODULE && k < item->n; k++) {
        if (str_eq(item->kids[k]->text, path)) {
            return item->kids[k];
        }
    }
    return NULL;
}

static const Ast *conditional_in(const Ast *body, const Ast *condition, Str path, const Ast **decl)
{
    for (size_t i = 0; body != NULL && i < body->n; i++) {
        const Ast *item = body->kids[i], *found = NULL;
        if (item->kind == AST_IF) {
            found = conditional_in(item->kids[1], item->kids[0], path, decl);
            const Ast *other = item->kids[2];
            if (found == NULL && other != NULL && other->kind == AST_IF) {
                Ast *one[1] = {item->kids[2]};
                Ast single = {.kind = AST_BODY, .n = 1, .kids = one};
                found = conditional_in(&single, item->kids[0], path, decl);
            } else if (found == NULL) {
                found = conditional_in(other, item->kids[0], path, decl);
            }
        } else if (condition != NULL && (*decl = declares(item, path)) != NULL) {
            found = condition;
        }
        if (found != NULL) {
            return found;
        }
    }
    return NULL;
}

const Ast *module_conditional(const Ast *module, Str path, const Ast **decl)
{
    return conditional_in(module->kids[1], NULL, path, decl);
}

bool instance_trainable(const Elab *e, const Instance *instance, bool *any)
{
    bool trainable = false;
    for (size_t i = 0; i < instance->variables.len; i++) {
        *any = true;
        trainable =
            trainable || e->trainable == NULL || e->trainable[instance->variables.at[i]->index];
    }
    for (size_t i = 0; i < instance->children.len && !trainable; i++) {
        trainable = instance_trainable(e, instance->children.at[i], any);
    }
    return trainable;
}

/* --- initialisers ---------------------------------------------------------------------------- */
typedef struct InitRow {
    const char *name;
    size_t n;
    HoneInitKind kind;
} InitRow;
static const InitRow init_rows[] = {
    {"zeros", 0, HONE_INIT_CONSTANT},        {"ones", 0, HONE_INIT_CONSTANT},
    {"constant", 1, HONE_INIT_CONSTANT},     {"normal", 1, HONE_INIT_NORMAL},
    {"uniform", 2, HONE_INIT_UNIFORM},       {"kaiming_uniform", 1, HONE_INIT_UNIFORM},
    {"kaiming_normal", 1, HONE_INIT_NORMAL}, {"eye", 1, HONE_INIT_EYE},
};
enum { INIT_ROWS = sizeof init_rows / sizeof *init_rows };

bool init_exists(Str name)
{
    for (size_t i = 0; i < INIT_ROWS; i++) {
        if (str_is(name, init_rows[i].name)) {
            return true;
        }
    }
    return false;
}

static bool init_number(Elab *e, Scope *scope, const Ast *expr, double *number)
{
    Value v = eval(e, scope, expr);
    if (value_is_number(&v)) {
        *number = v.kind == VALUE_INT ? (double)v.i : v.f;
        return true;
    }
    if (v.kind != VALUE_POISON) {
        Diag *d = elab_error(e, E106, expr->span, "an initialiser's argument is a number");
        diag_label(d, "this is %s", value_kind_name(&v));
    } else if (e->state->deferred) {
        elab_error(e, E208, expr->span, "an initialiser must be known when the graph is built");
    }
    return false;
}

static bool has_initialiser(const Ast *expr)
{
    bool found = expr->kind == AST_CALL && expr->kids[0]->kind == AST_NAME && init_exists(expr->kids[0]->text);
    for (size_t i = 0; i < expr->n && !found; i++) {
        found = expr->kids[i] != NULL && has_initialiser(expr->kids[i]);
    }
    return found;
}

static void init_apply(const InitRow *row, const double *args, Init *init)
{
    *init = (Init){.kind = row->kind};
    if (str_is(str_of(row->name), "ones")) {
        init->a = 1;
    } else if (str_is(str_of(row->name), "kaiming_uniform")) {
        init->b = 1 / sqrt(args[0]); /* torch.nn.Linear: a = sqrt(5) */
        init->a = -init->b;
    } else if (str_is(str_of(row->name), "kaiming_normal")) {
        init->b = sqrt(2 / args[0]); /* He et al. 2015 */
    } else if (row->kind == HONE_INIT_NORMAL) {
        init->b = args[0];
    } else if (row->n > 0) {
        init->a = args[0];
        init->b = row->n > 1 ? args[1] : 0;
    }
}

bool init_eval(Elab *e, Scope *scope, const Ast *expr, Init *init)
{
    double args[2];
    if (expr->kind != AST_CALL && has_initialiser(expr)) {
        Diag *d = elab_error(e, E208, expr->span, "an initialiser is one call, not an expression");
        diag_help(d, "the numbers are its arguments: `normal(0.1)`, `uniform(-0.1, 0.1)`, `constant(0.5)`");
        return false;
    }
    if (expr->kind != AST_CALL || expr->kids[0]->kind != AST_NAME) {
        *init = (Init){.kind = HONE_INIT_CONSTANT};
        return init_number(e, scope, expr, &init->a);
    }
    Str name = expr->kids[0]->text, names[INIT_ROWS];
    for (size_t i = 0; i < INIT_ROWS; i++) {
        const InitRow *row = &init_rows[i];
        names[i] = str_of(row->name);
        if (!str_is(name, row->name)) {
            continue;
        }
        if (expr->n - 1 != row->n) {
            Diag *d = elab_error(e, E107, expr->span, "`%s` takes %zu argument%s", row->name,
                                 row->n, row->n == 1 ? "" : "s");
            diag_label(d, "%zu here", expr->n - 1);
            return false;
        }
        for (size_t k = 0; k < row->n; k++) {
            const Ast *arg = expr->kids[k + 1];
            if (!init_number(e, scope, arg->kind == AST_NAMED ? arg->kids[0] : arg, &args[k])) {
                return false;
            }
        }
        if (str_starts(name, STR("kaiming")) && args[0] <= 0) {
            Diag *d = elab_error(e, E106, expr->kids[1]->span, "the fan must be positive");
            diag_label(d, "%g", args[0]);
            return false;
        }
        init_apply(row, args, init);
        return true;
    }
    Diag *d = elab_error(e, E101, expr->kids[0]->span, "unknown initialiser `" STR_FMT "`",
                         STR_ARG(name));
    diag_note(d, "there are zeros() ones() constant(a) normal(s) uniform(a, b) "
                 "kaiming_uniform(fan) kaiming_normal(fan) eye(a)");
    help_nearest(d, name, INIT_ROWS, names);
    return false;
}

/* --- declarations
 * ------------------------------------------------------------------------------------------------
 */
typedef struct Build {
    Elab *e;
    Instance *in;
    VEC(const Ast *) ties;
} Build;

static Instance *build_instance(Elab *e, Instance *parent, const Ast *call, Scope *scope, Str path,
                                Span span);

static Str member_key(const Instance *in, const Ast *as, Str path, Arena *arena)
{
    Str own = as != NULL ? as->text : path;
    return own.len > 0 ? str_join(arena, in->path, ".", own) : in->path;
}

static void add_variable(Build *b, const Ast *item)
{
    Elab *e = b->e;
    Arena *arena = e->c->arena;
    Variable *v = NEW(arena, Variable);
    v->index = UINT32_MAX;
    v->key = member_key(b->in, item->kids[2], item->text, arena);
    v->is_state = item->kind == AST_VAR_STATE;
    v->span = item->span;
    v->owner = b->in;
    v->dtype = DT_F32;
    const Ast *type = item->kids[0];
    v->is_real = !v->is_state && type->text.len == 0;
    Member *member = NEW(arena, Member);
    *member = (Member){.kind = MEMBER_VARIABLE, .variable = v, .span = item->name};
    map_set(&b->in->members, item->text, member);
    VEC_PUSH(arena, b->in->variables, v);
    v->elements = 1;
    if ((type->kind == AST_TYPE_SCALAR || type->text.len > 0) &&
        !type_dtype(e, type->text, type->span, &v->dtype)) {
        return;
    }
    if (type->kind == AST_TYPE_TENSOR && !eval_dims(e, b->in->scope, type, &v->rank, v->dims)) {
        return;
    }
    for (size_t i = 0; i < v->rank; i++) {
        if (v->dims[i] < 1 || !CHECKED_MUL(v->elements, v->dims[i], &v->elements) ||
            v->elements > MOST_ELEMENTS) {
            Str dims = dims_text(arena, v->rank, v->dims);
            Diag *d = elab_error(e, E201, type->span, "`" STR_FMT "` cannot have shape " STR_FMT,
                                 STR_ARG(v->key), STR_ARG(dims));
            diag_help(d, "every dimension is at least 1, and a tensor has at most 2^48 elements");
            return;
        }
    }
    if (init_eval(e, b->in->scope, item->kids[1], &v->init) && v->init.kind == HONE_INIT_EYE &&
        v->rank != 2) {
        elab_error(e, E106, item->kids[1]->span,
                   "`eye` is for matrices; `" STR_FMT "` has %zu dimensions", STR_ARG(v->key),
                   v->rank);
    }
}

static void add_array(Build *b, const Ast *decl, const Ast *call, Member *member)
{
    Elab *e = b->e;
    const Ast *index = decl->kids[0];
    int64_t n;
    member->kind = MEMBER_ARRAY;
    if (index->kids[0] == NULL) {
        Diag *d = elab_error(e, E205, index->span, "how many `" STR_FMT "` are there?",
                             STR_ARG(decl->text));
        diag_help(d, "write `" STR_FMT "[" STR_FMT " < n]`", STR_ARG(decl->text),
                  STR_ARG(index->text));
        return;
    }
    if (!elab_int(e, b->in->scope, index->kids[0], &n)) {
        return;
    }
    if (n < 0 || n > MOST_EFFORT) {
        Diag *d =
            elab_error(e, E211, index->kids[0]->span, "an array of %lld modules", (long long)n);
        diag_help(d, "the length is between 0 and %d", MOST_EFFORT);
        return;
    }
    Str prefix = member_key(b->in, decl->kids[1], decl->text, e->c->arena);
    member->array = NEW_ARRAY(e->c->arena, Instance *, (size_t)n + 1);
    member->n = (size_t)n;
    for (int64_t i = 0; i < n && e->state->effort < MOST_EFFORT; i++) {
        Scope *scope = scope_new(e->c->arena, b->in->scope, b->in->file, b->in);
        scope_set(scope, index->text, value_int(i), index->span);
        Str number = str_format(e->c->arena, "%lld", (long long)i);
        Str path = str_join(e->c->arena, prefix, ".", number);
        member->array[i] = build_instance(e, b->in, call, scope, path, decl->span);
    }
}

static void add_submodules(Build *b, const Ast *item)
{
    const Ast *call = item->kids[0];
    for (size_t k = 1; k < item->n; k++) {
        const Ast *decl = item->kids[k];
        Member *member = NEW(b->e->c->arena, Member);
        member->span = decl->name;
        member->kind = MEMBER_INSTANCE;
        map_set(&b->in->members, decl->text, member);
        if (decl->kids[0] != NULL) {
            add_array(b, decl, call, member);
            continue;
        }
        Str path = member_key(b->in, decl->kids[1], decl->text, b->e->c->arena);
        member->instance = build_instance(b->e, b->in, call, b->in->scope, path, decl->span);
    }
}

static void add_items(Build *b, const Ast *body)
{
    for (size_t i = 0; body != NULL && i < body->n; i++) {
        const Ast *item = body->kids[i];
        if (item->kind == AST_VAR_PARAM || item->kind == AST_VAR_STATE) {
            add_variable(b, item);
        } else if (item->kind == AST_SUBMODULE) {
            add_submodules(b, item);
        } else if (item->kind == AST_TIE) {
            VEC_PUSH(b->e->c->arena, b->ties, item);
        } else if (item->kind == AST_IF) {
            bool yes;
            if (!eval_bool(b->e, b->in->scope, item->kids[0], &yes)) {
                continue;
            }
            Ast *other = item->kids[2], single = {.kind = AST_BODY, .n = 1, .kids = &other};
            if (yes) {
                add_items(b, item->kids[1]);
            } else if (other != NULL) {
                add_items(b, other->kind == AST_IF ? &single : other);
            }
        }
    }
}

/* --- ties
 * ------------------------------------------------------------------------------------------------------------
 */
static Member *variable_member(Elab *e, const Instance *in, Str dotted)
{
    Str segs[64];
    size_t n = 0, start = 0;
    for (size_t i = 0; i <= dotted.len; i++) {
        if (i == dotted.len || dotted.ptr[i] == '.') {
            if (n == 64) {
                return NULL;
            }
            segs[n++] = (Str){dotted.ptr + start, i - start};
            start = i + 1;
        }
    }
    size_t at = 0;
    while (in != NULL && at < n) {
        size_t used;
        Member *member = instance_member(e, in, n - at, segs + at, &used);
        if (member == NULL) {
            return NULL;
        }
        at += used;
        if (member->kind == MEMBER_VARIABLE) {
            return at == n ? member : NULL;
        }
        in = member->instance;
        if (member->kind == MEMBER_ARRAY) {
            in = NULL;
            for (size_t i = 0; at < n && i < member->n; i++) {
                if (str_eq(segs[at], str_format(e->c->arena, "%zu", i))) {
                    in = member->array[i];
                }
            }
            at++;
        }
    }
    return NULL;
}

static Str first_segment(Str path)
{
    size_t n = 0;
    while (n < path.len && path.ptr[n] != '.') {
        n++;
    }
    return (Str){path.ptr, n};
}

/* A tie may make a key that only files know; one that is nearly a declared name is a misspelling.
 */
static void check_new_path(Build *b, const Ast *path)
{
    Arena *arena = b->e->c->arena;
    Str own = first_segment(path->text);
    VEC(Str) names = {0};
    for (size_t i = 0; i < b->in->members.len; i++) {
        Str name = first_segment(b->in->members.entries[i].key);
        if (str_eq(name, own)) {
            return;
        }
        VEC_PUSH(arena, names, name);
    }
    const Ast *body = b->in->module->kids[1];
    for (size_t i = 0; i < body->n; i++) {
        if (body->kids[i]->kind == AST_FN && ast_reads(body->kids[i], own)) {
            return;
        }
    }
    Str near = str_nearest(own, names.at, names.len);
    if (near.len == 0) {
        return;
    }
    Diag *d = elab_error(b->e, W307, path->span, "`tie` makes a new key near a declared one");
    diag_label(d, "nothing reads `" STR_FMT "`", STR_ARG(path->text));
    Str rest = {path->text.ptr + own.len, path->text.len - own.len};
    Str whole = str_format(b->e->c->arena, STR_FMT STR_FMT, STR_ARG(near), STR_ARG(rest));
    diag_help(d, "did you mean `" STR_FMT "`?", STR_ARG(whole));
    diag_edit(d, path->span, whole);
}

static void tie(Build *b, const Ast *item)
{
    Elab *e = b->e;
    const Ast *new_path = item->kids[0], *old_path = item->kids[1];
    Member *old = variable_member(e, b->in, old_path->text);
    if (old == NULL) {
        Diag *d = elab_error(e, E101, old_path->span,
                             "`" STR_FMT "` is no parameter or state of "
                             "this module",
                             STR_ARG(old_path->text));
        diag_help(d, "on the right of `tie` stands the path of one that is declared");
        return;
    }
    Member *given = variable_member(e, b->in, new_path->text);
    Str key = str_join(e->c->arena, b->in->path, ".", new_path->text);
    if (given == NULL) {
        check_new_path(b, new_path);
        given = NEW(e->c->arena, Member);
        map_set(&b->in->members, new_path->text, given);
    } else if (given->variable != old->variable) {
        const Variable *a = given->variable, *o = old->variable;
        key = a->key;
        bool same = a->rank == o->rank && a->dtype == o->dtype;
        for (size_t i = 0; same && i < a->rank; i++) {
            same = a->dims[i] == o->dims[i];
        }
        if (!same) {
            Str left = dims_text(e->c->arena, a->rank, a->dims);
            Str right = dims_text(e->c->arena, o->rank, o->dims);
            Diag *d = elab_error(e, E303, item->span, "tied shapes differ");
            diag_label(d, "`" STR_FMT "` is " STR_FMT ", `" STR_FMT "` is " STR_FMT,
                       STR_ARG(new_path->text), STR_ARG(left), STR_ARG(old_path->text),
                       STR_ARG(right));
            diag_note_at(d, a->span, "one", "`" STR_FMT "` is declared here", STR_ARG(a->key));
            diag_note_at(d, o->span, "the other", "`" STR_FMT "` is declared here",
                         STR_ARG(o->key));
            diag_help(d, "only tensors of one shape can be one tensor");
            return;
        }
    }
    *given = (Member){
        .kind = MEMBER_VARIABLE, .variable = old->variable, .span = item->span, .is_alias = true};
    VEC_PUSH(e->c->arena, old->variable->aliases, key);
}

/* --- instances
 * ----------------------------------------------------------------------------------------------------------
 */
static bool bind_arguments(Elab *e, Instance *in, const Ast *params, const Ast *call, Scope *scope)
{
    const Ast **slots = NEW_ARRAY(e->c->arena, const Ast *, params->n + 1);
    if (!match_arguments(e, params, call->n - 1, call->kids + 1, call->span, in->module->text,
                         slots)) {
        return false;
    }
    bool ok = true;
    for (size_t i = 0; i < params->n; i++) {
        const Ast *param = params->kids[i], *source = slots[i];
        if (source == NULL) {
            source = param->kids[1];
        }
        e->state->deferred = false;
        Scope *where = slots[i] != NULL ? scope : in->scope;
        Value value = eval(e, where, source);
        Value fallback = value_int(0);
        if (param->kids[0] == NULL && param->kids[1] != NULL && slots[i] != NULL) {
            fallback = eval(e, in->scope, param->kids[1]);
        } else if (slots[i] == NULL) {
            fallback = value;
        } else if (value.kind == VALUE_FLOAT || e->state->deferred) {
            fallback = value_float(0);
        }
        Str type = param_type(e, param, &fallback);
        if (e->state->deferred && str_is(type, "float")) {
            value = (Value){.kind = VALUE_DEFERRED,
                            .clock = CLOCK_STEP,
                            .ast = source,
                            .scope = where,
                            .span = source->span,
                            .node = NODE_NONE};
        } else if (e->state->deferred) {
            elab_error(e, E208, source->span,
                       "argument `" STR_FMT "` must be known when the graph"
                       " is built; this changes every step",
                       STR_ARG(param->text));
        } else {
            value = convert_scalar(e, param, type, value, source->span, in->module->text);
        }
        e->state->deferred = false;
        ok = ok && value.kind != VALUE_POISON;
        scope_set(in->scope, param->text, value, source->span);
    }
    return ok;
}

static Instance *build_instance(Elab *e, Instance *parent, const Ast *call, Scope *scope, Str path,
                                Span span)
{
    Meaning m = lookup(e, scope, call->kids[0]);
    if (m.kind != MEANING_MODULE) {
        if (m.kind != MEANING_NONE || e->state->deferred) {
            Diag *d = elab_error(e, E106, call->kids[0]->span, "this is not a module");
            diag_help(d, "after `:` stands a module with its arguments: `Linear(256, 10)`");
        }
        return NULL;
    }
    Arena *arena = e->c->arena;
    Instance *in = NEW(arena, Instance);
    in->path = path;
    in->module = m.item;
    in->file = m.file;
    in->span = span;
    in->parent = parent;
    in->members = map_new(arena);
    in->scope = scope_new(arena, NULL, m.file, NULL);
    if (!bind_arguments(e, in, m.item->kids[0], call, scope)) {
        return NULL;
    }
    Frame frame;
    Instance *made = NULL;
    if (frame_push(e, &frame, m.item, NULL, in, call->span)) {
        in->scope->self = in->scope->instance = in;
        Build build = {.e = e, .in = in};
        add_items(&build, m.item->kids[1]);
        for (size_t i = 0; i < build.ties.len; i++) {
            tie(&build, build.ties.at[i]);
        }
        if (parent != NULL) {
            VEC_PUSH(arena, parent->children, in);
        }
        made = in;
        frame_pop(e);
    }
    return made;
}

/* --- numbering
 * ------------------------------------------------------------------------------------------------------------
 */
static void take_key(Compiler *c, Model *model, Str key, Variable *v)
{
    Variable *other = map_get(&model->by_key, key);
    if (other == NULL) {
        map_set(&model->by_key, key, v);
        return;
    }
    bool owners = v->owner != other->owner; /* two instances of one module */
    if (owners && v->owner->clashes) {
        return; /* once for all it holds */
    }
    v->owner->clashes = true;
    Diag *d = diag(&c->diags, E301, owners ? v->owner->span : v->span,
                   "two declarations with the key `" STR_FMT "`", STR_ARG(key));
    diag_note_at(d, owners ? other->owner->span : other->span, "the first",
                 "the other declaration is here");
    diag_help(d, "give one of them another path, or another key with `as`");
}

/* E211, once, where all together are more than can be counted. */
static void count(Compiler *c, Model *model, const Variable *v)
{
    if (model->elements < 0 || CHECKED_ADD(model->elements, v->elements, &model->elements)) {
        return;
    }
    Diag *d = diag(&c->diags, E211, v->span, "the model is too large");
    diag_label(d, "with `" STR_FMT "` %zu tensors have more than 2^63 elements", STR_ARG(v->key),
               model->variables.len);
    diag_help(d, "make them fewer or smaller");
    model->elements = -1;
}

static void number(Compiler *c, Model *model, Instance *in)
{
    for (size_t i = 0; i < in->members.len; i++) {
        Member *member = in->members.entries[i].value;
        if (member->kind == MEMBER_VARIABLE && !member->is_alias) {
            Variable *v = member->variable;
            v->index = (uint32_t)model->variables.len;
            VEC_PUSH(c->arena, model->variables, v);
            take_key(c, model, v->key, v);
            count(c, model, v);
        }
        if (member->kind == MEMBER_INSTANCE && member->instance != NULL) {
            number(c, model, member->instance);
        }
        for (size_t k = 0; member->kind == MEMBER_ARRAY && k < member->n; k++) {
            if (member->array[k] != NULL) {
                number(c, model, member->array[k]);
            }
        }
    }
}

/* A tied declaration has given way to the other tensor: it is no variable of its instance. */
static void aliases(Compiler *c, Model *model, Instance *in)
{
    size_t kept = 0;
    for (size_t i = 0; i < in->variables.len; i++) {
        if (in->variables.at[i]->index != UINT32_MAX) {
            in->variables.at[kept++] = in->variables.at[i];
        }
    }
    in->variables.len = kept;
    for (size_t i = 0; i < in->variables.len; i++) {
        Variable *v = in->variables.at[i];
        for (size_t k = 0; k < v->aliases.len; k++) {
            take_key(c, model, v->aliases.at[k], v);
        }
    }
    for (size_t i = 0; i < in->children.len; i++) {
        aliases(c, model, in->children.at[i]);
    }
}

Instance *model_instance(Compiler *c, Model *model, const Ast *call, Scope *scope, Str prefix)
{
    size_t errors = c->diags.errors;
    Elab *e = elab_new(c, model, NULL, false, NULL);
    Instance *in = build_instance(e, NULL, call, scope, prefix, call->span);
    if (in == NULL) {
        return NULL;
    }
    number(c, model, in);
    aliases(c, model, in);
    VEC_PUSH(c->arena, model->roots, in);
    return c->diags.errors == errors ? in : NULL;
}

/* --- adapters -------------------------------------------------------------------------------- */
static void replace_child(Instance *parent, Instance *old, Instance *with)
{
    for (size_t i = 0; i < parent->members.len; i++) {
        Member *member = parent->members.entries[i].value;
        if (member->kind == MEMBER_INSTANCE && member->instance == old) {
            member->instance = with;
        }
        for (size_t k = 0; member->kind == MEMBER_ARRAY && k < member->n; k++) {
            member->array[k] = member->array[k] == old ? with : member->array[k];
        }
    }
    for (size_t i = 0; i < parent->children.len; i++) {
        if (parent->children.at[i] == old) {
            parent->children.at[i] = with;
        }
    }
}

static bool wraps(Elab *e, const Ast *module, const Ast *call)
{
    const Ast *first = module->kids[0]->n > 0 ? module->kids[0]->kids[0] : NULL;
    if (first != NULL && first->kids[0] != NULL && first->kids[0]->kind == AST_TYPE_SCALAR &&
        str_is(first->kids[0]->text, "module")) {
        return true;
    }
    Diag *d = elab_error(e, E509, call->span, "`" STR_FMT "` does not wrap a module",
                         STR_ARG(module->text));
    diag_note_at(d, module->name, "declared here", "its first argument is not of type `module`");
    diag_help(d, "begin its arguments with `base: module`, and call `base(x)` in its `forward`");
    return false;
}

static Instance *build_wrapper(Elab *e, Instance *base, const Ast *call, Scope *scope)
{
    Meaning m = lookup(e, scope, call->kids[0]);
    if (m.kind != MEANING_MODULE) {
        if (m.kind != MEANING_NONE) {
            elab_error(e, E106, call->kids[0]->span, "this is not a module");
        }
        return NULL;
    }
    if (!wraps(e, m.item, call)) {
        return NULL;
    }
    Arena *arena = e->c->arena;
    Instance *in = NEW(arena, Instance);
    *in = (Instance){.path = base->path, .module = m.item, .file = m.file, .span = call->span,
                     .parent = base->parent, .base = base, .members = map_new(arena),
                     .scope = scope_new(arena, NULL, m.file, NULL)};
    Ast rest = *m.item->kids[0];
    scope_set(in->scope, rest.kids[0]->text, value_instance(base), call->span);
    rest.kids++;
    rest.n--;
    Frame frame;
    if (!bind_arguments(e, in, &rest, call, scope) ||
        !frame_push(e, &frame, m.item, NULL, in, call->span)) {
        return NULL;
    }
    in->scope->self = in->scope->instance = in;
    Build build = {.e = e, .in = in};
    add_items(&build, m.item->kids[1]);
    for (size_t i = 0; i < build.ties.len; i++) {
        tie(&build, build.ties.at[i]);
    }
    frame_pop(e);
    return in;
}

bool model_adapt(Compiler *c, Model *model, Instance *base, const Ast *call, Scope *scope)
{
    size_t errors = c->diags.errors, first = model->variables.len;
    Elab *e = elab_new(c, model, NULL, false, NULL);
    e->state->adapted = base;
    Instance *in = build_wrapper(e, base, call, scope);
    if (in == NULL || c->diags.errors != errors) {
        return false;
    }
    number(c, model, in);
    aliases(c, model, in);
    for (size_t i = first; i < model->variables.len; i++) {
        model->variables.at[i]->of_adapter = true;
    }
    VEC_PUSH(c->arena, model->wrappers, in);
    replace_child(base->parent, base, in);
    VEC_PUSH(c->arena, in->children, base);
    base->parent = in;
    return c->diags.errors == errors;
}
