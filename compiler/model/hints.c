/* Which `rename` would make a file fit: for each missing variable and each left-over tensor of
 * equal shape a few candidate renames are made; those that fit most are proposed. */
#include <string.h>

#include "model/load.h"

typedef struct Rename {
    Str from, to;
    const Variable *example;
    const LoadTensor *tensor;
    size_t fits;
} Rename;

enum { MOST_RENAMES = 64, SHOWN = 3, MOST_PAIRS = 100000 };

typedef struct Hints {
    Load *load;
    Rename renames[MOST_RENAMES];
    size_t n, pairs;
} Hints;

static Str own_key(const Load *l, const Variable *v)
{
    size_t skip = l->prefix.len > 0 ? l->prefix.len + 1 : 0;
    return (Str){v->key.ptr + skip, v->key.len - skip};
}

static void propose(Hints *h, Str from, Str to, const Variable *v, const LoadTensor *t)
{
    for (size_t i = 0; i < h->n; i++) {
        if (str_eq(h->renames[i].from, from) && str_eq(h->renames[i].to, to)) {
            h->renames[i].fits++;
            return;
        }
    }
    if (h->n < MOST_RENAMES) {
        h->renames[h->n++] = (Rename){from, to, v, t, 1};
    }
}

static size_t common_head(Str a, Str b) /* bytes of equal leading segments, dots included */
{
    size_t head = 0;
    for (size_t i = 0; i < a.len && i < b.len && a.ptr[i] == b.ptr[i]; i++) {
        head = a.ptr[i] == '.' ? i + 1 : head;
    }
    return head;
}

static size_t common_tail(Str a, Str b)
{
    size_t tail = 0;
    for (size_t i = 1; i <= a.len && i <= b.len && a.ptr[a.len - i] == b.ptr[b.len - i]; i++) {
        tail = a.ptr[a.len - i] == '.' ? i : tail;
    }
    return tail;
}

static void pair(Hints *h, const Variable *v, const LoadTensor *t)
{
    Arena *arena = h->load->b->c->arena;
    Str want = own_key(h->load, v), have = t->key;
    Str dotted = str_format(arena, "." STR_FMT, STR_ARG(want));
    if (str_ends(have, dotted)) { /* the file wraps the model */
        Str head = {have.ptr, have.len - dotted.len};
        propose(h, str_format(arena, STR_FMT ".**", STR_ARG(head)), STR("**"), v, t);
        return;
    }
    Str file_dotted = str_format(arena, "." STR_FMT, STR_ARG(have));
    if (str_ends(want, file_dotted)) {
        Str head = {want.ptr, want.len - file_dotted.len};
        propose(h, STR("**"), str_format(arena, STR_FMT ".**", STR_ARG(head)), v, t);
        return;
    }
    size_t head = common_head(want, have);
    Str want_rest = {want.ptr + head, want.len - head},
        have_rest = {have.ptr + head, have.len - head};
    size_t tail = common_tail(want_rest, have_rest);
    want_rest.len -= tail;
    have_rest.len -= tail;
    if (tail == 0 && head > 0) { /* another last name: gamma, weight */
        propose(h, str_format(arena, "**." STR_FMT, STR_ARG(have_rest)),
                str_format(arena, "**." STR_FMT, STR_ARG(want_rest)), v, t);
    } else if (head > 0 || tail > 0) {
        Str before = {want.ptr, head};
        propose(h, str_format(arena, STR_FMT STR_FMT, STR_ARG(before), STR_ARG(have_rest)),
                str_format(arena, STR_FMT STR_FMT, STR_ARG(before), STR_ARG(want_rest)), v, t);
    }
}

static bool same_shape(const Variable *v, const HoneFileTensor *t)
{
    bool same = v->rank == t->rank;
    for (size_t i = 0; same && i < v->rank; i++) {
        same = v->dims[i] == t->dims[i];
    }
    return same;
}

/* Does the rename still help a variable that earlier proposals left over? */
static size_t still_fits(const Hints *h, const Rename *r, bool *served, bool serve)
{
    const Load *l = h->load;
    Arena *arena = l->b->c->arena;
    size_t fits = 0;
    for (size_t i = 0; i < l->n; i++) {
        Str renamed;
        const LoadTensor *t = &l->tensors[i];
        if (t->variable != NULL || t->ignored ||
            !pattern_rename(arena, r->from, r->to, t->key, &renamed)) {
            continue;
        }
        for (size_t k = 0; k < l->missing.len; k++) {
            const Variable *v = l->missing.at[k];
            if (!served[k] && str_eq(own_key(l, v), renamed) && same_shape(v, t->tensor)) {
                fits++;
                served[k] = serve || served[k];
            }
        }
    }
    return fits;
}

bool load_hints(Load *load, Diag *d)
{
    Arena *arena = load->b->c->arena;
    Hints *h = NEW(arena, Hints);
    h->load = load;
    for (size_t k = 0; k < load->missing.len; k++) {
        for (size_t i = 0; i < load->n && h->pairs < MOST_PAIRS; i++) {
            const LoadTensor *t = &load->tensors[i];
            if (t->variable == NULL && !t->ignored && same_shape(load->missing.at[k], t->tensor)) {
                h->pairs++;
                pair(h, load->missing.at[k], t);
            }
        }
    }
    bool *served = NEW_ARRAY(arena, bool, load->missing.len + 1);
    size_t shown = 0;
    Str maps = {0};
    while (shown < SHOWN) {
        const Rename *best = NULL;
        size_t most = 0;
        for (size_t i = 0; i < h->n; i++) {
            size_t fits = still_fits(h, &h->renames[i], served, false);
            if (fits > most) {
                most = fits;
                best = &h->renames[i];
            }
        }
        if (best == NULL) {
            break;
        }
        still_fits(h, best, served, true);
        diag_note(d, "the file has " STR_FMT ", which would fit " STR_FMT,
                  STR_ARG(best->tensor->name), STR_ARG(best->example->key));
        Str map = str_format(arena, "rename \"" STR_FMT "\" -> \"" STR_FMT "\"",
                             STR_ARG(best->from), STR_ARG(best->to));
        diag_help(d, STR_FMT, STR_ARG(map));
        maps = str_join(arena, maps, "; ", map);
        shown++;
    }
    if (shown > 0) {
        load_suggest(load, d, maps);
    }
    return shown > 0;
}

void load_suggest(Load *load, Diag *d, Str maps)
{
    Arena *arena = load->b->c->arena;
    const Ast *there = load->clause->kids[1];
    if (there == NULL) {
        Str text = str_format(arena, " { " STR_FMT " }", STR_ARG(maps));
        diag_edit_around(d, load->clause->span, "", str_c(arena, text));
    } else {
        Span brace = {there->span.file, there->span.start, there->span.start + 1};
        Str text = str_format(arena, " " STR_FMT ";", STR_ARG(maps));
        diag_edit_around(d, brace, "", str_c(arena, text));
    }
}

static bool selects_used(const Load *load, Str pattern)
{
    for (size_t i = 0; i < load->n; i++) {
        if (load->tensors[i].variable != NULL && pattern_matches(pattern, load->tensors[i].name)) {
            return true;
        }
    }
    return false;
}

/* "**.last" if all left-over keys end so and nothing that is needed does; else the shortest
 * beginning of one that selects nothing needed. */
Str load_ignore_pattern(Load *load, Str extra)
{
    size_t dot = extra.len;
    while (dot > 0 && extra.ptr[dot - 1] != '.') {
        dot--;
    }
    Str last = {extra.ptr + dot, extra.len - dot};
    Str ending = str_format(load->b->c->arena, "." STR_FMT, STR_ARG(last));
    Str all = str_format(load->b->c->arena, "**" STR_FMT, STR_ARG(ending));
    bool common = !selects_used(load, all);
    for (size_t i = 0; i < load->n; i++) {
        const LoadTensor *t = &load->tensors[i];
        common = common && (t->variable != NULL || t->ignored || str_ends(t->name, ending));
    }
    for (size_t i = 0; !common && i <= extra.len; i++) {
        Str head = {extra.ptr, i};
        if ((i == extra.len || extra.ptr[i] == '.') && !selects_used(load, head)) {
            return head;
        }
    }
    return common ? all : extra;
}
