/* `memory = "2GiB"`: the amount, the modules that can be computed again to keep within it, and training
 * graphs where some of them are. Which ones the plan decides (compiler/fit.c). */
#include "model/recipe.h"

/* --- the amount ------------------------------------------------------------------------------ */
static const struct {
    const char *name;
    double bytes;
} units[] = {
    {"KiB", 1024}, {"MiB", 1024.0 * 1024}, {"GiB", 1024.0 * 1024 * 1024},
    {"kB", 1e3},   {"MB", 1e6},            {"GB", 1e9},
};

/* Digits, also behind a point, then a unit. */
static bool amount(Str text, uint64_t *bytes)
{
    double value = 0, place = 1;
    size_t i = 0, digits = 0;
    bool point = false;
    for (; i < text.len && ((text.ptr[i] >= '0' && text.ptr[i] <= '9') || (text.ptr[i] == '.' && !point)); i++) {
        if (text.ptr[i] == '.') {
            point = true;
            continue;
        }
        digits++;
        value = 10 * value + (text.ptr[i] - '0');
        place *= point ? 10 : 1;
    }
    i += i < text.len && text.ptr[i] == ' ';
    Str unit = {text.ptr + i, text.len - i};
    for (size_t k = 0; k < sizeof units / sizeof *units; k++) {
        double all = value / place * units[k].bytes;
        if (digits > 0 && str_is(unit, units[k].name) && all >= 1 && all < 0x1p63) {
            *bytes = (uint64_t)all;
            return true;
        }
    }
    return false;
}

/* --- modules --------------------------------------------------------------------------------- */
static bool is_element(const Instance *in)
{
    const Map *members = &in->parent->members;
    for (size_t i = 0; i < members->len; i++) {
        const Member *member = members->entries[i].value;
        for (size_t k = 0; member->kind == MEMBER_ARRAY && k < member->n; k++) {
            if (member->array[k] == in) {
                return true;
            }
        }
    }
    return false;
}

static bool holds_elements(const Instance *in)
{
    for (size_t i = 0; i < in->children.len; i++) {
        if (is_element(in->children.at[i]) || holds_elements(in->children.at[i])) {
            return true;
        }
    }
    return false;
}

/* Elements of the outermost arrays, and modules in which and around which there are none. */
static void find_candidates(RecipeBuild *b, const Instance *in)
{
    for (size_t i = 0; i < in->children.len; i++) {
        Instance *child = in->children.at[i];
        if (child->recompute) {
            continue;
        }
        if (is_element(child) || !holds_elements(child)) {
            child->candidate = true;
            VEC_PUSH(b->c->arena, b->r->candidates, child);
        } else {
            find_candidates(b, child);
        }
    }
}

bool memory_build(RecipeBuild *b)
{
    const Ast *knob = knob_find(b, NULL, "memory");
    Str text;
    if (knob == NULL || !recipe_str(b, knob->kids[0], &text)) {
        return knob == NULL;
    }
    b->r->memory_span = knob->kids[0]->span;
    if (!amount(text, &b->r->memory)) {
        Diag *d = diag(&b->c->diags, E103, knob->kids[0]->span, "this is no amount of memory");
        diag_help(d, "a number above 0 and one of KiB MiB GiB (1024), kB MB GB (1000): `memory = \"2GiB\"`");
        return false;
    }
    for (size_t i = 0; i < b->r->model->roots.len; i++) {
        const Instance *root = b->r->model->roots.at[i];
        if (!root->recompute) {
            find_candidates(b, root);
        }
    }
    return true;
}

/* --- graphs ---------------------------------------------------------------------------------- */
static const Graph *again(Arena *arena, const Recipe *r, const RecipeTrain *t, const bool *chosen,
                          AgainCost *cost)
{
    NodeRange *ranges = NEW_ARRAY(arena, NodeRange, t->calls.len + 1);
    size_t n = 0;
    for (size_t i = 0; i < t->calls.len; i++) {
        const RecipeCall *call = &t->calls.at[i];
        bool is_chosen = call->of->recompute;
        for (size_t k = 0; k < r->candidates.len && !is_chosen; k++) {
            is_chosen = chosen[k] && r->candidates.at[k] == call->of;
        }
        if (is_chosen) {
            ranges[n++] = (NodeRange){call->first, call->end};
        }
    }
    return pass_again(arena, t->kept, t->n_forward, n, ranges, cost);
}

const Graph *recipe_again(Arena *arena, const Recipe *r, const Graph *train, const bool *chosen)
{
    for (size_t i = 0; i < r->trains.len; i++) {
        if (r->trains.at[i].train == train) {
            return again(arena, r, &r->trains.at[i], chosen, NULL);
        }
    }
    return NULL;
}

void recipe_saves(Arena *arena, const Recipe *r, size_t candidate, double *bytes, double *flops)
{
    bool *chosen = NEW_ARRAY(arena, bool, r->candidates.len + 1);
    *bytes = *flops = 0;
    for (size_t i = 0; i < r->trains.len; i++) {
        AgainCost without, with;
        chosen[candidate] = false;
        again(arena, r, &r->trains.at[i], chosen, &without);
        chosen[candidate] = true;
        again(arena, r, &r->trains.at[i], chosen, &with);
        *bytes += with.bytes - without.bytes;
        *flops += with.flops - without.flops;
    }
}
