/* Do the model's outputs fit the data? Where the step subscripts a tensor directly by a field of
 * the batch, that dimension must hold every value of the field: for `label` of an image folder
 * there are as many as classes, and a longer dimension is a head made for other data; for fields
 * that are in memory the values themselves are known. A read of the labels with `??` (cross entropy)
 * counts, because a class without an output would be trained away from silently. So does one by
 * select(label == skip, 0, label), as in cross entropy; which labels below 0 are left out there the run
 * finds out. Labels that may be -1 (things in pictures) leave it to the model whether there is an output
 * for that. */
#include "model/recipe.h"

typedef struct Search {
    const Graph *graph;
    Arena *arena;
    RecipeBuild *b;
    const RecipeData *facts;
    VEC(bool) seen; /* by scalar id */
    bool ok;
} Search;

/* Index of the batch's field that the scalar is, as it stands, in another type, or in all but chosen
 * cases; n_fields: none. */
static size_t field_of(const Search *s, const Scalar *scalar, bool *chosen)
{
    size_t n = s->facts->n_fields;
    *chosen = false;
    while (scalar->kind == SCALAR_FN && (scalar->op == OP_CAST || scalar->op == OP_SELECT)) {
        bool choice = scalar->op == OP_SELECT;
        *chosen |= choice;
        scalar = scalar->args[choice && scalar->args[1]->kind == SCALAR_CONST ? 2 : choice];
    }
    if (scalar->kind != SCALAR_READ) {
        return n;
    }
    const Node *node = graph_node(s->graph, scalar->tensor);
    for (size_t i = 0; node->kind == NODE_INPUT && i < n; i++) {
        if (str_is(node->name, s->facts->fields[i].name)) {
            return i;
        }
    }
    return n;
}

static bool is_label(const RecipeData *facts, size_t field)
{
    const char *label = facts->label == NULL ? "label" : facts->label;
    return str_is(str_of(facts->fields[field].name), label);
}

static void note_outputs(Diag *d, const Node *node)
{
    if (node->span.file != 0) {
        diag_note_at(d, node->span, "", "the outputs are computed here");
    }
}

static void check_classes(Search *s, const Node *node, int64_t extent)
{
    const RecipeData *facts = s->facts;
    if ((size_t)extent == facts->n_classes) {
        return;
    }
    Diag *d = diag(&s->b->c->diags, E705, facts->span,
                   "the data has %zu class%s, the model has %lld output%s", facts->n_classes,
                   facts->n_classes == 1 ? "" : "es", (long long)extent, extent == 1 ? "" : "s");
    note_outputs(d, node);
    diag_note(d, "the first classes are %s%s%s …", facts->classes[0],
              facts->n_classes > 1 ? ", " : "", facts->n_classes > 1 ? facts->classes[1] : "");
    diag_help(d, "build the model with `classes = %zu`", facts->n_classes);
    s->ok = false;
}

static void check_values(Search *s, const Node *node, int64_t extent, size_t field, bool filled)
{
    const RecipeData *facts = s->facts;
    const char *name = facts->fields[field].name;
    bool label = is_label(facts, field);
    if (facts->low == NULL || facts->low[field] > facts->high[field] || (filled && !label)) {
        return;
    }
    int64_t bad = facts->high[field] >= extent       ? facts->high[field]
                  : facts->low[field] < 0 && !filled ? facts->low[field]
                                                     : 0;
    if (bad == 0) {
        return;
    }
    Diag *d;
    if (node->kind == NODE_PARAM) { /* an embedding */
        d = diag(&s->b->c->diags, E705, facts->span,
                 "`%s` of the data has the value %lld, `" STR_FMT "` has %lld rows", name,
                 (long long)bad, STR_ARG(node->name), (long long)extent);
    } else {
        d = diag(&s->b->c->diags, E705, facts->span,
                 "`%s` of the data has the value %lld, the model "
                 "has %lld outputs",
                 name, (long long)bad, (long long)extent);
        note_outputs(d, node);
    }
    diag_note(d, "its values are from %lld to %lld, positions are from 0 to %lld",
              (long long)facts->low[field], (long long)facts->high[field], (long long)extent - 1);
    if (label && bad > 0) {
        diag_help(d, "build the model with `classes = %lld`, or mend the data", (long long)bad + 1);
    } else {
        diag_help(d, "mend the data, or give the value outside with `??`");
    }
    s->ok = false;
}

static void check_read(Search *s, const Scalar *read)
{
    const Node *node = graph_node(s->graph, read->tensor);
    for (size_t i = 0; i < read->n; i++) {
        const Position *p = read->at[i];
        if (p->n != 1 || p->constant != 0 || p->terms[0].coef != 1 ||
            p->terms[0].atom->kind != ATOM_DATA) {
            continue;
        }
        bool chosen;
        size_t field = field_of(s, p->terms[0].atom->data, &chosen);
        if (field == s->facts->n_fields) {
            continue;
        }
        bool none = s->facts->low != NULL && s->facts->low[field] < 0; /* there may be an output for it */
        if (s->facts->n_classes > 0 && is_label(s->facts, field) && !none) {
            check_classes(s, node, node->dims[i]);
        } else {
            check_values(s, node, node->dims[i], field, read->fill != NULL || chosen);
        }
    }
}

static void look(Search *s, const Scalar *scalar)
{
    while (s->seen.len <= scalar->id) {
        VEC_PUSH(s->arena, s->seen, false);
    }
    if (s->seen.at[scalar->id]) {
        return;
    }
    s->seen.at[scalar->id] = true;
    for (size_t i = 0; scalar->kind == SCALAR_FN && i < scalar->n; i++) {
        look(s, scalar->args[i]);
    }
    if (scalar->kind == SCALAR_READ) {
        check_read(s, scalar);
        for (size_t i = 0; i < scalar->n; i++) {
            for (size_t k = 0; k < scalar->at[i]->n; k++) {
                const Atom *atom = scalar->at[i]->terms[k].atom;
                if (atom->kind == ATOM_DATA) {
                    look(s, atom->data);
                }
            }
        }
        if (scalar->fill != NULL) {
            look(s, scalar->fill);
        }
    }
}

bool labels_check(RecipeBuild *b, const Graph *graph, uint32_t data)
{
    Search s = {
        .graph = graph, .arena = b->c->arena, .b = b, .facts = &b->r->facts.at[data], .ok = true};
    for (size_t i = 0; s.ok && i < graph->nodes.len; i++) {
        const Node *node = &graph->nodes.at[i];
        for (size_t k = 0; s.ok && k < node->n_pieces; k++) {
            look(&s, node->pieces[k].body);
        }
    }
    return s.ok;
}
