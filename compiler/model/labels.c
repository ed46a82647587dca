/* Do the model's outputs fit the data's classes? Wherever the step subscripts a tensor by `label`
 * directly (cross entropy does), that dimension must be as long as there are classes; a shorter one
 * would be read past its end, a longer one is a head made for other data. */
#include "model/recipe.h"

typedef struct Search {
    const Graph *graph;
    Arena *arena;
    VEC(bool) seen; /* by scalar id */
    int64_t extent; /* of a dimension subscripted by `label`; 0: none met */
    NodeId tensor;
} Search;

static bool is_label(const Search *s, const Scalar *scalar)
{
    while (scalar->kind == SCALAR_FN && scalar->op == OP_CAST) {
        scalar = scalar->args[0];
    }
    if (scalar->kind != SCALAR_READ) {
        return false;
    }
    const Node *node = graph_node(s->graph, scalar->tensor);
    return node->kind == NODE_INPUT && str_is(node->name, "label");
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
    for (size_t i = 0; scalar->kind == SCALAR_READ && i < scalar->n; i++) {
        const Position *p = scalar->at[i];
        if (p->n == 1 && p->constant == 0 && p->terms[0].coef == 1 &&
            p->terms[0].atom->kind == ATOM_DATA && is_label(s, p->terms[0].atom->data)) {
            s->extent = graph_node(s->graph, scalar->tensor)->dims[i];
            s->tensor = scalar->tensor;
        }
    }
    if (scalar->kind == SCALAR_READ && scalar->fill != NULL) {
        look(s, scalar->fill);
    }
}

bool labels_check(RecipeBuild *b, const Graph *graph)
{
    const RecipeData *facts = &b->r->facts.at[0];
    Search s = {.graph = graph, .arena = b->c->arena};
    for (size_t i = 0; facts->n_classes > 0 && i < graph->nodes.len; i++) {
        const Node *node = &graph->nodes.at[i];
        for (size_t k = 0; k < node->n_pieces && s.extent == 0; k++) {
            look(&s, node->pieces[k].body);
        }
    }
    if (s.extent == 0 || (size_t)s.extent == facts->n_classes) {
        return true;
    }
    const Node *node = graph_node(graph, s.tensor);
    Diag *d = diag(&b->c->diags, E705, facts->span,
                   "the data has %zu classes, the model has %lld "
                   "outputs",
                   facts->n_classes, (long long)s.extent);
    if (node->span.file != 0) {
        diag_note_at(d, node->span, "", "the outputs are computed here");
    }
    diag_note(d, "the first classes are %s%s%s …", facts->classes[0],
              facts->n_classes > 1 ? ", " : "", facts->n_classes > 1 ? facts->classes[1] : "");
    diag_help(d, "build the model with `classes = %zu`", facts->n_classes);
    return false;
}
