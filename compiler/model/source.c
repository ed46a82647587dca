/* Data sources: `images("pets/train", size = 224)` becomes a HoneSource. Which sources there are and what
 * they may be told, the runtime's readers say (HoneArgument). */
#include <string.h>

#include "model/recipe.h"

typedef VEC(Str) Names;

static Names reader_names(Arena *arena)
{
    Names names = {0};
    for (size_t i = 0; hone_reader_name(i) != NULL; i++) {
        VEC_PUSH(arena, names, str_of(hone_reader_name(i)));
    }
    return names;
}

static Names argument_names(Arena *arena, const HoneArgument *arguments)
{
    Names names = {0};
    for (size_t i = 0; arguments[i].name != NULL; i++) {
        VEC_PUSH(arena, names, str_of(arguments[i].name));
    }
    return names;
}

static Names choice_names(Arena *arena, const char *const *choices)
{
    Names names = {0};
    for (size_t i = 0; choices[i] != NULL; i++) {
        VEC_PUSH(arena, names, str_of(choices[i]));
    }
    return names;
}

/* `a`, `b`, `c` */
static Str list_of(Arena *arena, Names names)
{
    Buf out = buf_new(arena);
    for (size_t i = 0; i < names.len; i++) {
        buf_printf(&out, "%s`" STR_FMT "`", i > 0 ? ", " : "", STR_ARG(names.at[i]));
    }
    return buf_str(&out);
}

static bool is_among(Str name, Names names)
{
    for (size_t i = 0; i < names.len; i++) {
        if (str_eq(name, names.at[i])) {
            return true;
        }
    }
    return false;
}

static const HoneArgument *argument_find(const HoneArgument *arguments, Str name)
{
    for (; arguments->name != NULL; arguments++) {
        if (str_is(name, arguments->name)) {
            return arguments;
        }
    }
    return NULL;
}

static bool source_known(RecipeBuild *b, const Ast *call)
{
    Str name = call->kids[0]->text;
    if (hone_reader_arguments(str_c(b->c->arena, name)) != NULL) {
        return true;
    }
    Diag *d = diag(&b->c->diags, E101, call->kids[0]->span, "there is no data source `" STR_FMT "`",
                   STR_ARG(name));
    Str list = list_of(b->c->arena, reader_names(b->c->arena));
    diag_help(d, "the sources are " STR_FMT, STR_ARG(list));
    return false;
}

/* --- one argument ---------------------------------------------------------------------------- */
/* Which one it is, by place or by name; NULL after a diagnostic. */
static const HoneArgument *argument_of(RecipeBuild *b, const Ast *call, size_t at,
                                       const HoneArgument *arguments)
{
    const Ast *arg = call->kids[at];
    Names names = argument_names(b->c->arena, arguments);
    if (arg->kind != AST_NAMED) {
        if (at - 1 < names.len) {
            return &arguments[at - 1];
        }
        diag(&b->c->diags, E107, arg->span, "`" STR_FMT "` has %zu arguments",
             STR_ARG(call->kids[0]->text), names.len);
        return NULL;
    }
    const HoneArgument *found = argument_find(arguments, arg->text);
    if (found == NULL) {
        Diag *d = diag(&b->c->diags, E103, arg->name, "`" STR_FMT "` has no argument `" STR_FMT "`",
                       STR_ARG(call->kids[0]->text), STR_ARG(arg->text));
        Str list = list_of(b->c->arena, names);
        diag_note(d, "its arguments are " STR_FMT, STR_ARG(list));
        help_nearest(d, arg->text, names.len, names.at);
    }
    return found;
}

static bool option_value(RecipeBuild *b, const Ast *expr, HoneOption *option)
{
    b->build->state->deferred = false;
    size_t errors = b->c->diags.errors;
    Value v = elab_expr(b->build, b->scope, expr);
    switch (v.kind) {
    case VALUE_INT:
        option->kind = HONE_OPT_INT;
        option->i = v.i;
        return true;
    case VALUE_FLOAT:
        option->kind = HONE_OPT_FLOAT;
        option->f = v.f;
        return true;
    case VALUE_BOOL:
        option->kind = HONE_OPT_BOOL;
        option->i = v.i;
        return true;
    case VALUE_STRING:
        option->kind = HONE_OPT_STRING;
        option->s = str_c(b->c->arena, v.s);
        return true;
    case VALUE_POISON: /* a float option is of the step clock */
        option->kind = HONE_OPT_FLOAT;
        return b->c->diags.errors == errors && recipe_number(b, expr, &option->f);
    case VALUE_LIST:
    case VALUE_TENSOR:
    case VALUE_INSTANCE:
    case VALUE_INSTANCES:
    case VALUE_BATCH:
    case VALUE_TUPLE:
    case VALUE_DEFERRED:
        break;
    }
    Diag *d = diag(&b->c->diags, E106, expr->span,
                   "an argument of a data source is a number, a bool or a string");
    diag_label(d, "this is %s", value_kind_name(&v));
    return false;
}

static bool kind_fits(RecipeBuild *b, const Ast *expr, const char *reader,
                      const HoneArgument *argument, const HoneOption *option)
{
    static const char *const names[] = {[HONE_OPT_INT] = "an int",
                                        [HONE_OPT_FLOAT] = "a float",
                                        [HONE_OPT_BOOL] = "a bool",
                                        [HONE_OPT_STRING] = "a string"};
    HoneOptionKind wants = argument->kind, kind = option->kind;
    if (kind == wants || (wants == HONE_OPT_FLOAT && kind == HONE_OPT_INT)) {
        return true;
    }
    Diag *d = diag(&b->c->diags, E106, expr->span, "`%s` of `%s` is %s", option->name, reader,
                   names[wants]);
    diag_label(d, "this is %s", names[kind]);
    return false;
}

/* What the kind alone does not say; the kind fits. */
static bool value_fits(RecipeBuild *b, const Ast *expr, const HoneArgument *argument,
                       const HoneOption *option)
{
    Arena *arena = b->c->arena;
    long long least = argument->least, most = argument->most;
    double real = option->kind == HONE_OPT_INT ? (double)option->i : option->f;
    if (argument->kind == HONE_OPT_INT && (option->i < least || option->i > most)) {
        Diag *d = diag(&b->c->diags, E516, expr->span, "`%s` must be from %lld to %lld", option->name,
                       least, most);
        diag_label(d, "this is %lld", (long long)option->i);
        return false;
    }
    if (argument->kind == HONE_OPT_FLOAT && !(real > (double)least && real <= (double)most)) {
        Diag *d = diag(&b->c->diags, E516, expr->span, "`%s` must be above %lld and at most %lld",
                       option->name, least, most);
        diag_label(d, "this is %g", real);
        return false;
    }
    if (argument->choices == NULL) {
        return true;
    }
    Names names = choice_names(arena, argument->choices);
    if (is_among(str_of(option->s), names)) {
        return true;
    }
    Diag *d = diag(&b->c->diags, E103, expr->span, "`%s` has no choice `%s`", option->name, option->s);
    Str list = list_of(arena, names);
    diag_help(d, "the choices are " STR_FMT, STR_ARG(list));
    return false;
}

/* --- all of them ----------------------------------------------------------------------------- */
static bool is_given(const HoneSource *source, const char *name)
{
    for (uint32_t i = 0; i < source->n_options; i++) {
        if (strcmp(source->options[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

/* `length` of the data is that of every source: the longest of several. */
static bool add_length(RecipeBuild *b, const Ast *call, const HoneArgument *arguments,
                       HoneOption *options, HoneSource *source)
{
    const int64_t longest = b->lengths[b->n_lengths - 1];
    Diag *d = NULL;
    const HoneArgument *length = argument_find(arguments, STR("length"));
    if (is_given(source, "length")) {
        d = diag(&b->c->diags, E510, call->span, "`length` is given to the source and to the data");
        diag_help(d, "leave it out of `%s(…)`", source->reader);
        return false;
    }
    bool several = b->n_lengths > 1 && strcmp(source->reader, "text") != 0;
    if (length == NULL || several) {
        d = diag(&b->c->diags, E103, call->span, "`%s` has samples of one length only", source->reader);
        diag_help(d, length == NULL ? "leave out `length`" : "give one `length`: `length = %lld`",
                  (long long)longest);
        return false;
    }
    options[source->n_options++] =
        (HoneOption){.name = length->name, .kind = HONE_OPT_INT, .i = longest};
    return true;
}

static bool needed_are_given(RecipeBuild *b, const Ast *call, const HoneArgument *arguments,
                             const HoneSource *source)
{
    bool ok = true;
    for (; arguments->name != NULL; arguments++) {
        if (arguments->needed && !is_given(source, arguments->name)) {
            diag(&b->c->diags, E104, call->span, "`%s` needs the argument `%s`", source->reader,
                 arguments->name);
            ok = false;
        }
    }
    return ok;
}

static bool add_argument(RecipeBuild *b, const Ast *call, size_t at, const HoneArgument *arguments,
                         HoneOption *options, HoneSource *source)
{
    const Ast *arg = call->kids[at];
    const Ast *expr = arg->kind == AST_NAMED ? arg->kids[0] : arg;
    const HoneArgument *argument = argument_of(b, call, at, arguments);
    if (argument == NULL) {
        return false;
    }
    HoneOption option = {.name = argument->name};
    if (!option_value(b, expr, &option) || !kind_fits(b, expr, source->reader, argument, &option) ||
        !value_fits(b, expr, argument, &option)) {
        return false;
    }
    bool twice = is_given(source, option.name);
    if (twice) {
        diag(&b->c->diags, E510, arg->span, "argument `%s` is given twice", option.name);
    }
    options[source->n_options++] = option;
    return !twice;
}

HoneSource *source_build(RecipeBuild *b, const Ast *call)
{
    if (call->kind != AST_CALL || call->kids[0]->kind != AST_NAME) {
        Diag *d = diag(&b->c->diags, E106, call->span, "a data source is needed here");
        diag_help(d, "for instance `images(\"folder\", size = 224)`");
        return NULL;
    }
    if (!source_known(b, call)) {
        return NULL;
    }
    HoneOption *options = NEW_ARRAY(b->c->arena, HoneOption, call->n + 1);
    HoneSource *source = NEW(b->c->arena, HoneSource);
    source->reader = str_c(b->c->arena, call->kids[0]->text);
    source->options = options;
    const HoneArgument *arguments = hone_reader_arguments(source->reader);
    bool ok = true;
    for (size_t i = 1; i < call->n; i++) {
        ok = add_argument(b, call, i, arguments, options, source) && ok;
    }
    ok = ok && (b->n_lengths == 0 || add_length(b, call, arguments, options, source));
    return ok && needed_are_given(b, call, arguments, source) ? source : NULL;
}
