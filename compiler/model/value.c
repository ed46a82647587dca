/* value: values of the three clocks, and scopes, the chains of names that hold them. What a name
 * means beyond its scope (members, items, imports) is in lookup.c. */
#include "model/internal.h"

Value value_int(int64_t i)
{
    return (Value){.kind = VALUE_INT, .i = i, .node = NODE_NONE};
}

Value value_float(double f)
{
    return (Value){.kind = VALUE_FLOAT, .f = f, .node = NODE_NONE};
}

Value value_bool(bool b)
{
    return (Value){.kind = VALUE_BOOL, .i = b, .node = NODE_NONE};
}

Value value_str(Str s)
{
    return (Value){.kind = VALUE_STRING, .s = s, .node = NODE_NONE};
}

Value value_poison(void)
{
    return (Value){.kind = VALUE_POISON, .node = NODE_NONE};
}

Value value_list(size_t n, const Value *items)
{
    return (Value){.kind = VALUE_LIST, .n = n, .items = items, .node = NODE_NONE};
}

Value value_instance(Instance *instance)
{
    return (Value){.kind = VALUE_INSTANCE, .instance = instance, .node = NODE_NONE};
}

bool value_is_number(const Value *value)
{
    return value->kind == VALUE_INT || value->kind == VALUE_FLOAT;
}

bool value_equal(const Value *a, const Value *b)
{
    if (value_is_number(a) && value_is_number(b)) {
        if (a->kind == VALUE_INT && b->kind == VALUE_INT) {
            return a->i == b->i;
        }
        double x = a->kind == VALUE_INT ? (double)a->i : a->f;
        double y = b->kind == VALUE_INT ? (double)b->i : b->f;
        return x == y;
    }
    if (a->kind != b->kind) {
        return false;
    }
    if (a->kind == VALUE_BOOL) {
        return a->i == b->i;
    }
    if (a->kind == VALUE_STRING) {
        return str_eq(a->s, b->s);
    }
    if (a->kind == VALUE_LIST) {
        bool equal = a->n == b->n;
        for (size_t i = 0; equal && i < a->n; i++) {
            equal = value_equal(&a->items[i], &b->items[i]);
        }
        return equal;
    }
    return a->kind == VALUE_INSTANCE && a->instance == b->instance;
}

const char *value_kind_name(const Value *value)
{
    switch (value->kind) {
    case VALUE_POISON:
        return "a mistake";
    case VALUE_INT:
        return "an int";
    case VALUE_FLOAT:
        return "a float";
    case VALUE_BOOL:
        return "a bool";
    case VALUE_STRING:
        return "a string";
    case VALUE_LIST:
        return "a list";
    case VALUE_TENSOR:
        if (value->array != NULL && value->array->position != NULL) {
            return "an index";
        }
        if (value->array != NULL && value->array->dtype == DT_BOOL) {
            return value->clock == CLOCK_STEP ? "a bool that changes every step" : "a tensor of bools";
        }
        return value->clock == CLOCK_STEP ? "a float that changes every step" : "a tensor";
    case VALUE_INSTANCE:
        return "a module instance";
    case VALUE_INSTANCES:
        return "an array of modules";
    case VALUE_BATCH:
        return "a batch";
    case VALUE_TUPLE:
        return "several results";
    case VALUE_DEFERRED:
        return "a float that changes every step";
    }
    return "";
}

Str value_text(Arena *arena, const Value *value)
{
    switch (value->kind) {
    case VALUE_INT:
        return str_format(arena, "%lld", (long long)value->i);
    case VALUE_FLOAT:
        return str_format(arena, "%g", value->f);
    case VALUE_BOOL:
        return value->i ? STR("true") : STR("false");
    case VALUE_STRING:
        return str_format(arena, "\"" STR_FMT "\"", STR_ARG(value->s));
    case VALUE_LIST: {
        Buf text = buf_new(arena);
        buf_char(&text, '[');
        for (size_t i = 0; i < value->n; i++) {
            buf_add(&text, i > 0 ? STR(", ") : STR(""));
            buf_add(&text, value_text(arena, &value->items[i]));
        }
        buf_char(&text, ']');
        return buf_str(&text);
    }
    case VALUE_POISON:
    case VALUE_TENSOR:
    case VALUE_INSTANCE:
    case VALUE_INSTANCES:
    case VALUE_BATCH:
    case VALUE_TUPLE:
    case VALUE_DEFERRED:
        break;
    }
    return str_of(value_kind_name(value));
}

/* --- scopes ---------------------------------------------------------------------------------- */
Scope *scope_new(Arena *arena, Scope *outer, File *file, Instance *self)
{
    Scope *scope = NEW(arena, Scope);
    scope->arena = arena;
    scope->outer = outer;
    scope->file = file;
    scope->self = self;
    scope->instance = self != NULL ? self : outer != NULL ? outer->instance : NULL;
    scope->body = outer != NULL ? outer->body : NULL;
    scope->names = map_new(arena);
    return scope;
}

static void bind(Scope *scope, Str name, Value value, Span span, bool is_index)
{
    Binding *binding = NEW(scope->arena, Binding);
    *binding = (Binding){.value = value, .span = span, .is_index = is_index};
    map_set(&scope->names, name, binding);
}

void scope_set(Scope *scope, Str name, Value value, Span span)
{
    bind(scope, name, value, span, false);
}

void scope_set_index(Scope *scope, Str name, Value value, Span span)
{
    bind(scope, name, value, span, true);
}

const Binding *scope_find(const Scope *scope, Str name)
{
    for (const Scope *s = scope; s != NULL; s = s->outer) {
        const Binding *binding = map_get(&s->names, name);
        if (binding != NULL) {
            return binding;
        }
    }
    return NULL;
}

bool scope_get(const Scope *scope, Str name, Value *value)
{
    const Binding *binding = scope_find(scope, name);
    if (binding != NULL) {
        *value = binding->value;
    }
    return binding != NULL;
}
