/* `layers`: the model from bottom to top. A pattern with `#` stands for one layer per number that
 * its matches have, in numeric order; any other pattern is one layer. depth counts from the top. */
#include "model/recipe.h"

enum { MOST_NUMBERS = 8 };

typedef struct Layer {
    const Ast *pattern;
    size_t n;                        /* numbers of the path: h.3 -> 3 */
    int64_t numbers[MOST_NUMBERS];
    int64_t place;                   /* from the bottom */
} Layer;

typedef struct Layering {
    RecipeBuild *b;
    VEC(Layer) layers;               /* in order of appearance */
    const Ast **of;                  /* by variable: the pattern that took it */
    size_t *layer;                   /* by variable: index in layers */
} Layering;

/* --- one key --------------------------------------------------------------------------------- */
bool matching_node(Str pattern, Str key, Str *node)
{
    for (size_t i = 0; i <= key.len; i++) {
        *node = (Str){key.ptr, i};
        if ((i == key.len || key.ptr[i] == '.') && i > 0 && pattern_matches(pattern, *node)) {
            return true;
        }
    }
    return false;
}

static void add_number(Layer *layer, Str segment)
{
    int64_t value = 0;
    for (size_t i = 0; i < segment.len; i++) {
        if (segment.ptr[i] < '0' || segment.ptr[i] > '9' || value > INT32_MAX) {
            return;
        }
        value = value * 10 + (segment.ptr[i] - '0');
    }
    if (segment.len > 0 && layer->n < MOST_NUMBERS) {
        layer->numbers[layer->n++] = value;
    }
}

static Layer layer_of(const Ast *pattern, Str node)
{
    Layer layer = {.pattern = pattern};
    bool expands = false;
    for (size_t i = 0; i < pattern->text.len; i++) {
        expands = expands || pattern->text.ptr[i] == '#';
    }
    size_t start = 0;
    for (size_t i = 0; expands && i <= node.len; i++) {
        if (i == node.len || node.ptr[i] == '.') {
            add_number(&layer, (Str){node.ptr + start, i - start});
            start = i + 1;
        }
    }
    return layer;
}

static int compare(const Layer *a, const Layer *b)
{
    for (size_t i = 0; i < a->n && i < b->n; i++) {
        if (a->numbers[i] != b->numbers[i]) {
            return a->numbers[i] < b->numbers[i] ? -1 : 1;
        }
    }
    return a->n == b->n ? 0 : a->n < b->n ? -1 : 1;
}

static bool match_variable(Str pattern, const Variable *v, Str *node)
{
    bool found = matching_node(pattern, v->key, node);
    for (size_t i = 0; i < v->aliases.len && !found; i++) {
        found = matching_node(pattern, v->aliases.at[i], node);
    }
    return found;
}

/* --- all of them ----------------------------------------------------------------------------- */
static size_t find_layer(Layering *l, const Layer *layer)
{
    for (size_t i = 0; i < l->layers.len; i++) {
        if (l->layers.at[i].pattern == layer->pattern && compare(&l->layers.at[i], layer) == 0) {
            return i;
        }
    }
    VEC_PUSH(l->b->c->arena, l->layers, *layer);
    return l->layers.len - 1;
}

static bool twice(Layering *l, const Variable *v, const Ast *pattern)
{
    Diag *d = diag(&l->b->c->diags, E504, pattern->span, "`" STR_FMT "` is in two layers",
                   STR_ARG(v->key));
    diag_note_at(d, l->of[v->index]->span, "", "the other one");
    diag_help(d, "make one of the patterns narrower");
    return false;
}

static bool apply(Layering *l, const Ast *pattern)
{
    const Model *model = l->b->r->model;
    Arena *arena = l->b->c->arena;
    Str *keys = NEW_ARRAY(arena, Str, model->variables.len + 1);
    bool any = false;
    if (!select_pattern_ok(l->b, pattern)) {
        return false;
    }
    for (size_t i = 0; i < model->variables.len; i++) {
        const Variable *v = model->variables.at[i];
        Str node;
        keys[i] = v->key;
        if (!match_variable(pattern->text, v, &node)) {
            continue;
        }
        any = true;
        if (l->of[i] != NULL) {
            return twice(l, v, pattern);
        }
        Layer layer = layer_of(pattern, node);
        l->of[i] = pattern;
        l->layer[i] = find_layer(l, &layer);
    }
    if (!any) {
        select_nothing(l->b, pattern, "parameter or state", model->variables.len, keys);
    }
    return any;
}

/* Clauses from bottom to top; within one, by number. */
static void order(Layering *l)
{
    const Ast *clause = l->b->layers;
    int64_t place = 0;
    for (size_t k = 0; k < clause->n; k++) {
        for (size_t i = 0; i < l->layers.len; i++) {
            Layer *layer = &l->layers.at[i];
            if (layer->pattern != clause->kids[k]) {
                continue;
            }
            layer->place = place;
            for (size_t j = 0; j < l->layers.len; j++) {
                layer->place += l->layers.at[j].pattern == layer->pattern &&
                                compare(&l->layers.at[j], layer) < 0;
            }
        }
        for (size_t i = 0; i < l->layers.len; i++) {
            place += l->layers.at[i].pattern == clause->kids[k];
        }
    }
}

bool layers_build(RecipeBuild *b)
{
    if (b->layers == NULL) {
        return true;
    }
    const Model *model = b->r->model;
    Arena *arena = b->c->arena;
    Layering l = {.b = b};
    l.of = NEW_ARRAY(arena, const Ast *, model->variables.len + 1);
    l.layer = NEW_ARRAY(arena, size_t, model->variables.len + 1);
    bool ok = true;
    for (size_t i = 0; i < b->layers->n; i++) {
        ok = b->layers->kids[i]->kind == AST_STRING && apply(&l, b->layers->kids[i]) && ok;
    }
    if (!ok) {
        return false;
    }
    order(&l);
    b->depth = NEW_ARRAY(arena, int64_t, model->variables.len + 1);
    for (size_t i = 0; i < model->variables.len; i++) {
        int64_t top = (int64_t)l.layers.len - 1;
        b->depth[i] = l.of[i] != NULL ? top - l.layers.at[l.layer[i]].place : -1;
    }
    b->r->depth = b->depth;
    return true;
}

/* The leading segments that both keys have. */
static Str shared_head(Str a, Str b)
{
    size_t end = 0;
    for (size_t i = 0; i <= a.len && i <= b.len; i++) {
        bool a_ends = i == a.len || a.ptr[i] == '.', b_ends = i == b.len || b.ptr[i] == '.';
        end = a_ends && b_ends ? i : end;
        if (i == a.len || i == b.len || a.ptr[i] != b.ptr[i]) {
            break;
        }
    }
    return (Str){a.ptr, end};
}

/* Has a layer something of it already? */
static bool partly_covered(const RecipeBuild *b, Str head)
{
    const Model *model = b->r->model;
    for (size_t i = 0; i < model->variables.len; i++) {
        if (b->depth[i] >= 0 && shared_head(head, model->variables.at[i]->key).len == head.len) {
            return true;
        }
    }
    return false;
}

bool layers_cover(RecipeBuild *b, const bool *trainable)
{
    enum { LISTED = 6 };
    const Model *model = b->r->model;
    Buf list = buf_new(b->c->arena);
    Str head = {0};
    size_t n = 0;
    for (size_t i = 0; b->depth != NULL && i < model->variables.len; i++) {
        const Variable *v = model->variables.at[i];
        if (!trainable[i] || v->is_state || b->depth[i] >= 0) {
            continue;
        }
        if (n < LISTED) {
            buf_printf(&list, "%s" STR_FMT, n > 0 ? ", " : "", STR_ARG(v->key));
        }
        head = n == 0 ? v->key : shared_head(head, v->key);
        n++;
    }
    if (n == 0 || b->uncovered) {
        return n == 0;
    }
    b->uncovered = true;
    Diag *d = diag(&b->c->diags, E504, b->layers->name, "%zu trainable parameter%s in no layer", n,
                   n == 1 ? " is" : "s are");
    Str keys = buf_str(&list);
    diag_note(d, STR_FMT "%s", STR_ARG(keys), n > LISTED ? ", …" : "");
    const char *them = n == 1 ? "it" : "them";
    if (head.len == 0 || partly_covered(b, head)) {
        diag_help(d, "add a pattern for %s at its place between bottom and top, or freeze %s", them,
                  them);
    } else {
        diag_help(d, "add \"" STR_FMT "\" at its place between bottom and top, or freeze it",
                  STR_ARG(head));
    }
    return false;
}

Scope *layers_scope(RecipeBuild *b, Scope *scope, uint32_t variable)
{
    if (b->depth == NULL || b->depth[variable] < 0) {
        return scope;
    }
    Scope *own = scope_new(b->c->arena, scope, b->file, NULL);
    scope_set(own, STR("depth"), value_int(b->depth[variable]), b->layers->name);
    return own;
}
