/* Where results go. The next value of a parameter or state is computed into its storage when nobody
 * needs the old value afterwards; otherwise it is computed aside and copied at the end. A result
 * that a port shows, but that lies elsewhere, is copied too. Copies are equations like all others. */
#include "plan/internal.h"

#include <assert.h>
#include <string.h>

/* --- reads -------------------------------------------------------------------------------------------- */
static void add_reads(const Entry *entry, NodeId id, ReadList *reads)
{
    const Node *node = graph_node(entry->graph, id);
    for (size_t p = 0; p < node->n_pieces; p++) {
        ScalarList list = piece_list(entry->arena, &node->pieces[p], node->rank);
        for (size_t i = 0; i < list.n; i++) {
            if (list.at[i]->kind == SCALAR_READ)
                VEC_PUSH(entry->arena, *reads, list.at[i]);
        }
    }
    for (size_t i = 0; i < node->n_args; i++)
        VEC_PUSH(entry->arena, *reads, graph_read_whole(entry->graph, node->args[i]));
}

ReadList unit_reads(const Entry *entry, const Unit *unit)
{
    ReadList reads = {0};
    for (size_t i = 0; i < unit->group.n; i++)
        add_reads(entry, unit->group.nodes[i], &reads);
    return reads;
}

static bool at_place(const Node *node, const Scalar *read)
{
    const Piece *piece = &node->pieces[0];
    if (read->fill || read->n != node->rank)
        return false;
    for (size_t d = 0; d < read->n; d++) {
        if (read->at[d] != piece->left[d])
            return false;
    }
    return true;
}

bool reads_in_place(const Entry *entry, const Unit *unit, NodeId id, NodeId tensor)
{
    uint32_t nest = UINT32_MAX;
    for (size_t i = 0; i < unit->group.n; i++)
        nest = unit->group.nodes[i] == id ? unit->group.nests[i] : nest;
    for (size_t i = 0; i < unit->group.n; i++) {
        const Node *member = graph_node(entry->graph, unit->group.nodes[i]);
        ReadList reads = {0};
        add_reads(entry, unit->group.nodes[i], &reads);
        for (size_t k = 0; k < reads.len; k++) {
            if (reads.at[k]->tensor != tensor)
                continue;
            if (unit->group.nests[i] != nest || member->n_pieces != 1 ||
                !piece_is_plain(member, &member->pieces[0]) ||
                member->pieces[0].n_reduced > 0 || !at_place(member, reads.at[k]))
                return false;
        }
    }
    return true;
}

/* The unit reads these tensors, and runs after those that compute them. */
static void note_reads(Entry *entry, uint32_t u)
{
    Unit *unit = &entry->units.at[u];
    ReadList reads = unit_reads(entry, unit);
    for (size_t i = 0; i < reads.len; i++) {
        NodeId tensor = reads.at[i]->tensor;
        uint32_t producer = entry->unit_of[tensor];
        Indices *readers = &entry->readers[tensor];
        if (producer != NO_UNIT && producer != u)
            VEC_PUSH(entry->arena, unit->before, producer);
        if (readers->len == 0 || readers->at[readers->len - 1] != u)
            VEC_PUSH(entry->arena, *readers, u);
    }
}

/* --- copies ------------------------------------------------------------------------------------------- */
/* The entry's tables by node have room for two copies of every output. */
static NodeId add_copy(Entry *entry, NodeId from)
{
    Graph *graph = entry->graph;
    const Node *node = graph_node(graph, from);
    const Var **vars = NEW_ARRAY(entry->arena, const Var *, node->rank);
    const Position **at = NEW_ARRAY(entry->arena, const Position *, node->rank);
    for (size_t d = 0; d < node->rank; d++) {
        vars[d] = var_new(graph->pool, node->dims[d], STR("i"));
        at[d] = pos_var(graph->pool, vars[d]);
    }
    NodeId *copy = NEW(entry->arena, NodeId);
    *copy = graph_define(graph, node->dtype, REDUCE_NONE, node->rank, vars, 0, NULL,
                         graph_read(graph, from, at, NULL),
                         str_join(entry->arena, node->name, ".", STR("copy")), node->span);
    static const uint8_t no_rows[1];
    const uint8_t **rows = NEW_ARRAY(entry->arena, const uint8_t *, 1);
    rows[0] = no_rows;
    Unit unit = {.group = {.n = 1, .nodes = copy, .nests = NEW(entry->arena, uint32_t), .rows = rows}};
    entry->unit_of[*copy] = (uint32_t)entry->units.len;
    entry->lies_in[*copy] = *copy;
    VEC_PUSH(entry->arena, entry->units, unit);
    note_reads(entry, entry->unit_of[*copy]);
    return *copy;
}

/* --- who runs before whom ------------------------------------------------------------------------------- */
/* All units that must run before `unit`, itself included. */
static void mark_before(const Entry *entry, uint32_t unit, bool *marked)
{
    Indices stack = {0};
    VEC_PUSH(entry->arena, stack, unit);
    while (stack.len > 0) {
        uint32_t u = stack.at[--stack.len];
        if (marked[u])
            continue;
        marked[u] = true;
        const Indices *before = &entry->units.at[u].before;
        for (size_t i = 0; i < before->len; i++)
            VEC_PUSH(entry->arena, stack, before->at[i]);
    }
}

/* The unit that writes node can run after all other readers of the target. */
static bool can_run_last(const Entry *entry, uint32_t writer, const Indices *readers)
{
    bool *marked = NEW_ARRAY(entry->arena, bool, entry->units.len);
    for (size_t i = 0; i < readers->len; i++) {
        if (readers->at[i] != writer)
            mark_before(entry, readers->at[i], marked);
    }
    return !marked[writer];
}

static bool fits_in_place(const Entry *entry, NodeId value, NodeId target, const Indices *readers)
{
    const Node *node = graph_node(entry->graph, value);
    if (node->kind != NODE_EQUATION || entry->lies_in[value] != value ||
        node->dtype != graph_node(entry->graph, target)->dtype)
        return false;
    uint32_t writer = entry->unit_of[value];
    const Unit *unit = &entry->units.at[writer];
    bool plain = node->n_pieces == 1 && piece_is_plain(node, &node->pieces[0]);
    bool reads = false;
    for (size_t i = 0; i < readers->len; i++)
        reads |= readers->at[i] == writer;
    if (reads && (!plain || !reads_in_place(entry, unit, value, target)))
        return false;
    return can_run_last(entry, writer, readers);
}

static void settle_next(Entry *entry, Output *output)
{
    NodeId target = output->target;
    if (output->value == target)
        return;
    const Indices *readers = &entry->readers[target];
    if (!fits_in_place(entry, output->value, target, readers))
        output->value = add_copy(entry, output->value);
    uint32_t writer = entry->unit_of[output->value];
    entry->lies_in[output->value] = target;
    for (size_t i = 0; i < readers->len; i++) {
        if (readers->at[i] != writer)
            VEC_PUSH(entry->arena, entry->units.at[writer].before, readers->at[i]);
    }
}

static bool is_shown(const Output *output)
{
    switch (output->kind) {
    case OUT_LOSS: case OUT_VALUE:
        return true;
    case OUT_NEXT: case OUT_GRAD:
        return false;
    }
    return false;
}

/* The old value of a leaf is taken aside before anything is stored in place. */
static void copy_leaves(Entry *entry)
{
    for (size_t i = 0; i < entry->graph->outputs.len; i++) {
        Output *output = &entry->graph->outputs.at[i];
        if (output->kind != OUT_GRAD && output->value != output->target &&
            graph_node(entry->graph, output->value)->kind != NODE_EQUATION)
            output->value = add_copy(entry, output->value);
    }
}

void entry_settle(Entry *entry)
{
    for (uint32_t u = 0; u < entry->units.len; u++)
        note_reads(entry, u);
    copy_leaves(entry);
    for (size_t i = 0; i < entry->graph->outputs.len; i++) {
        if (entry->graph->outputs.at[i].kind == OUT_NEXT)
            settle_next(entry, &entry->graph->outputs.at[i]);
    }
    for (size_t i = 0; i < entry->graph->outputs.len; i++) {
        Output *output = &entry->graph->outputs.at[i];
        if (!is_shown(output))
            continue;
        if (entry->lies_in[output->value] != output->value)
            output->value = add_copy(entry, output->value);
        entry->output[output->value] = true;
    }
}
