/* demand: what is needed only where a condition of the step clock holds. A decision is such a
 * condition as a tensor of rank 0; a read below `select(decision, a, b)` is a demand under that
 * condition, and a next value that is the old one under a condition need not be stored there. What
 * is left of the demands of all readers is the same in all of them: too little is always correct,
 * it only computes what nobody looks at. Whoever runs the kernels asks the decision first. */
#include "passes/densify.h"
#include "passes/fusion.h"

bool node_is_map(const Node *node)
{
    return node->kind == NODE_EQUATION && node->n_pieces == 1 && node->pieces[0].n_reduced == 0 &&
           piece_is_plain(node, &node->pieces[0]);
}

/* --- decisions -------------------------------------------------------------------------------- */
/* Follows from values of the step clock alone; steps: of all nodes before it. */
static bool of_steps(Arena *arena, const Node *node, const bool *steps)
{
    if (node->kind == NODE_STEP)
        return true;
    if (!node_is_map(node) || node->rank > 0)
        return false;
    ScalarList list = piece_list(arena, &node->pieces[0], 0);
    bool reads = false;
    for (size_t i = 0; i < list.n; i++) {
        const Scalar *s = list.at[i];
        if (s->kind == SCALAR_RANDOM || (s->kind == SCALAR_READ && !steps[s->tensor]))
            return false;
        reads |= s->kind == SCALAR_READ;
    }
    return reads;
}

bool *graph_of_steps(Arena *arena, const Graph *graph)
{
    bool *steps = NEW_ARRAY(arena, bool, graph->nodes.len + 1);
    for (NodeId id = 0; id < graph->nodes.len; id++)
        steps[id] = of_steps(arena, graph_node(graph, id), steps);
    return steps;
}

static bool is_decision(const Graph *graph, const bool *steps, NodeId id)
{
    const Node *node = graph_node(graph, id);
    return steps[id] && node->kind == NODE_EQUATION && node->dtype == DT_BOOL;
}

/* --- demands ------------------------------------------------------------------------------------ */
typedef struct Search {
    Arena *arena;
    const Graph *graph;
    const uint32_t *unit_of;
    const NodeId *lies_in;
    const bool *steps;
    Demand *of;                  /* by node: of its readers */
    bool changed;
} Search;

static const Demand always = {.any = true};

bool demand_equal(const Demand *a, const Demand *b)
{
    bool same = a->any == b->any && a->n == b->n;
    for (uint32_t i = 0; same && i < a->n; i++)
        same = a->literals[i].decision == b->literals[i].decision &&
               a->literals[i].holds == b->literals[i].holds;
    return same;
}

static bool has_literal(const Demand *d, Literal literal)
{
    for (uint32_t i = 0; i < d->n; i++) {
        if (d->literals[i].decision == literal.decision && d->literals[i].holds == literal.holds)
            return true;
    }
    return false;
}

/* Needed where either is. */
static Demand either(const Demand *a, const Demand *b)
{
    if (!a->any)
        return *b;
    if (!b->any)
        return *a;
    Demand both = {.any = true};
    for (uint32_t i = 0; i < a->n; i++) {
        if (has_literal(b, a->literals[i]))
            both.literals[both.n++] = a->literals[i];
    }
    return both;
}

/* Where the literal holds too; one more than there is room for is left out. */
static Demand under(const Demand *d, Literal literal)
{
    Demand more = *d;
    Literal opposite = {.decision = literal.decision, .holds = !literal.holds};
    if (has_literal(d, opposite))
        return (Demand){0};
    if (!d->any || has_literal(d, literal) || d->n == DEMAND_MOST)
        return more;
    uint32_t at = more.n++;
    for (; at > 0 && more.literals[at - 1].decision > literal.decision; at--)
        more.literals[at] = more.literals[at - 1];
    more.literals[at] = literal;
    return more;
}

static void demand(Search *search, NodeId id, const Demand *more)
{
    Demand now = either(&search->of[id], more);
    search->changed |= !demand_equal(&now, &search->of[id]);
    search->of[id] = now;
}

/* The condition of a select as a literal: what holds where the first value is chosen. */
static bool literal_of(const Search *search, const Scalar *condition, Literal *literal)
{
    bool inverted = condition->kind == SCALAR_FN && condition->op == OP_NOT;
    const Scalar *read = inverted ? condition->args[0] : condition;
    if (read->kind != SCALAR_READ || !is_decision(search->graph, search->steps, read->tensor))
        return false;
    *literal = (Literal){.decision = read->tensor, .holds = !inverted};
    return true;
}

static Literal inverse(Literal literal)
{
    literal.holds = !literal.holds;
    return literal;
}

static bool at_place(const Piece *piece, const Scalar *read, size_t rank)
{
    for (size_t d = 0; d < rank; d++) {
        if (read->at[d] != piece->left[d])
            return false;
    }
    return read->fill == NULL && read->n == rank;
}

static bool holds_all(DType wide, DType dtype)
{
    return wide == dtype || (dtype_is_float(wide) && dtype_is_float(dtype) &&
                             dtype_bytes(wide) > dtype_bytes(dtype));
}

/* Where `value` differs from the element of target at its own place. */
static Demand kept(const Search *search, NodeId id, const Scalar *value, NodeId target)
{
    const Node *node = graph_node(search->graph, id);
    const Piece *piece = &node->pieces[0];
    Literal literal;
    if (value->kind == SCALAR_FN && value->op == OP_CAST && holds_all(value->dtype, node->dtype))
        return kept(search, id, value->args[0], target);
    if (value->kind == SCALAR_READ && at_place(piece, value, node->rank)) {
        const Node *from = graph_node(search->graph, value->tensor);
        if (value->tensor == target)
            return (Demand){0};
        return node_is_map(from) && from->dtype == node->dtype
                   ? kept(search, value->tensor, from->pieces[0].body, target)
                   : always;
    }
    if (value->kind != SCALAR_FN || value->op != OP_SELECT ||
        !literal_of(search, value->args[0], &literal))
        return always;
    Demand yes = kept(search, id, value->args[1], target);
    Demand no = kept(search, id, value->args[2], target);
    yes = under(&yes, literal);
    no = under(&no, inverse(literal));
    return either(&yes, &no);
}

/* --- what a node asks of others ----------------------------------------------------------------- */
static void demand_positions(Search *search, const Piece *piece, size_t rank, const Demand *d)
{
    const Scalar *const *reads;
    for (size_t k = 0; k < rank + piece->n_guards; k++) {
        const Position *p = k < rank ? piece->left[k] : piece->guards[k - rank].position;
        size_t n = p->has_data ? pos_reads(search->graph->pool, p, &reads) : 0;
        for (size_t i = 0; i < n; i++)
            demand(search, reads[i]->tensor, d);
    }
}

/* Positions are checked whatever a select chooses: what they read is needed throughout. */
static void demand_body(Search *search, const Piece *piece, const Demand *d)
{
    ScalarList list = sc_list(search->arena, 1, &piece->body);
    Demand *of = NEW_ARRAY(search->arena, Demand, list.n + 1);
    IdMap places = idmap_new(search->arena);
    for (size_t i = 0; i < list.n; i++)
        idmap_set(&places, list.at[i]->id, &of[i]);
    of[list.n - 1] = *d;
    for (size_t i = list.n; i-- > 0;) {
        const Scalar *s = list.at[i];
        Literal literal = {0};
        bool decided = s->kind == SCALAR_FN && s->op == OP_SELECT &&
                       literal_of(search, s->args[0], &literal);
        for (size_t k = 0; s->kind == SCALAR_FN && k < s->n; k++) {
            const void *place;
            Demand own = !decided || k == 0 ? of[i]
                         : k == 1           ? under(&of[i], literal)
                                            : under(&of[i], inverse(literal));
            idmap_get(&places, s->args[k]->id, &place);
            Demand *to = &of[(const Demand *)place - of];
            *to = either(to, &own);
        }
        const void *fill;
        if (s->fill && idmap_get(&places, s->fill->id, &fill)) {
            Demand *to = &of[(const Demand *)fill - of];
            *to = either(to, &of[i]);
        }
        if (s->kind == SCALAR_READ)
            demand(search, s->tensor, &of[i]);
        for (size_t k = 0; s->kind != SCALAR_FN && k < s->n; k++) {
            const Scalar *const *reads;
            size_t n = s->at[k]->has_data ? pos_reads(search->graph->pool, s->at[k], &reads) : 0;
            for (size_t r = 0; r < n; r++)
                demand(search, reads[r]->tensor, d);
        }
    }
}

/* Leaves are in no unit and ask nothing of others. */
static Demand *unit_at(const Search *search, NodeId id, Demand *units)
{
    if (graph_node(search->graph, id)->n_pieces == 0 && graph_node(search->graph, id)->n_args == 0)
        return NULL;
    return &units[search->unit_of ? search->unit_of[id] : id];
}

static Demand own_demand(const Search *search, NodeId id)
{
    if (search->lies_in[id] == id)
        return search->of[id];
    return node_is_map(graph_node(search->graph, id))
               ? kept(search, id, graph_node(search->graph, id)->pieces[0].body, search->lies_in[id])
               : always;
}

/* One walk from the readers to what they read; demands only ever weaken. */
static void walk(Search *search, Demand *units)
{
    const Graph *graph = search->graph;
    for (NodeId id = (NodeId)graph->nodes.len; id-- > 0;) {
        Demand *unit = unit_at(search, id, units), own = own_demand(search, id);
        if (unit)
            *unit = either(unit, &own);
    }
    for (NodeId id = (NodeId)graph->nodes.len; id-- > 0;) {
        const Node *node = graph_node(graph, id);
        Demand *d = unit_at(search, id, units);
        if (!d || !d->any)
            continue;
        for (size_t p = 0; p < node->n_pieces; p++) {
            demand_positions(search, &node->pieces[p], node->rank, d);
            demand_body(search, &node->pieces[p], d);
        }
        for (size_t i = 0; i < node->n_args; i++)
            demand(search, node->args[i], d);
    }
}

/* Every next value of an equation is taken to lie in its target. */
static const NodeId *in_place(Arena *arena, const Graph *graph)
{
    NodeId *lies_in = NEW_ARRAY(arena, NodeId, graph->nodes.len + 1);
    for (NodeId id = 0; id < graph->nodes.len; id++)
        lies_in[id] = id;
    for (size_t i = 0; i < graph->outputs.len; i++) {
        const Output *output = &graph->outputs.at[i];
        if (output->kind == OUT_NEXT && graph_node(graph, output->value)->kind == NODE_EQUATION)
            lies_in[output->value] = output->target;
    }
    return lies_in;
}

Demand *graph_demands(Arena *arena, const Graph *graph, const uint32_t *unit_of,
                      const NodeId *lies_in)
{
    size_t n = graph->nodes.len;
    Search search = {.arena = arena, .graph = graph, .unit_of = unit_of,
                     .steps = graph_of_steps(arena, graph), .of = NEW_ARRAY(arena, Demand, n + 1)};
    bool any = false;
    for (NodeId id = 0; id < n && !any; id++)
        any = is_decision(graph, search.steps, id);
    Demand *demands = NEW_ARRAY(arena, Demand, n + 1);
    for (NodeId id = 0; id < n; id++)
        demands[id] = always;
    if (!any)
        return demands;
    search.lies_in = lies_in ? lies_in : in_place(arena, graph);
    for (size_t i = 0; i < graph->outputs.len; i++) {
        const Output *output = &graph->outputs.at[i];
        if (output->kind != OUT_NEXT || search.lies_in[output->value] == output->value)
            demand(&search, output->value, &always);
    }
    Demand *units = NEW_ARRAY(arena, Demand, n + 1);
    do {
        search.changed = false;
        walk(&search, units);
    } while (search.changed);
    for (NodeId id = 0; id < n; id++) {
        const Demand *unit = unit_at(&search, id, units);
        demands[id] = unit ? *unit : always;
    }
    return demands;
}

bool *graph_decisions(Arena *arena, const Graph *graph)
{
    const Demand *demands = graph_demands(arena, graph, NULL, NULL);
    bool *worth = NEW_ARRAY(arena, bool, graph->nodes.len + 1);
    for (NodeId id = 0; id < graph->nodes.len; id++) {
        const Node *node = graph_node(graph, id);
        if (node->kind != NODE_INTRINSIC && (node->kind != NODE_EQUATION || node_is_map(node)))
            continue;
        for (uint32_t i = 0; i < demands[id].n; i++)
            worth[demands[id].literals[i].decision] = true;
    }
    return worth;
}
