/* prune: drops every node that no output needs, leaves included. Needs a well-formed graph;
 * guarantees the same outputs in the same order; changes no equation. */
#include "passes/clean.h"

static void need_reads(Arena *arena, const Node *node, bool *needed)
{
    for (size_t i = 0; i < node->n_pieces; i++) {
        ScalarList list = piece_list(arena, &node->pieces[i], node->rank);
        for (size_t k = 0; k < list.n; k++)
            if (list.at[k]->kind == SCALAR_READ)
                needed[list.at[k]->tensor] = true;
    }
    for (size_t i = 0; i < node->n_args; i++)
        needed[node->args[i]] = true;
}

bool *nodes_needed(Arena *arena, const Graph *graph)
{
    bool *needed = NEW_ARRAY(arena, bool, graph->nodes.len + 1);
    Arena *scratch = arena_new(arena_mem(arena), "needed");
    for (size_t i = 0; i < graph->outputs.len; i++) {
        const Output *output = &graph->outputs.at[i];
        needed[output->value] = true;
        if (output->target != NODE_NONE)
            needed[output->target] = true;
    }
    for (NodeId id = (NodeId)graph->nodes.len; id-- > 0;)
        if (needed[id])
            need_reads(scratch, graph_node(graph, id), needed);
    arena_free(scratch);
    return needed;
}

void outputs_copy(Graph *to, const Graph *from, const NodeId *map)
{
    for (size_t i = 0; i < from->outputs.len; i++) {
        const Output *o = &from->outputs.at[i];
        graph_output(to, o->kind, o->name, map[o->value],
                     o->target == NODE_NONE ? NODE_NONE : map[o->target]);
    }
}

const Scalar *read_renamed(void *map, ExprPool *pool, const Scalar *old, size_t rank,
                           const Position *const *at, const Scalar *fill)
{
    const NodeId *ids = map;
    return sc_read(pool, old->dtype, ids[old->tensor], rank, at, fill);
}

Graph *pass_prune(Arena *arena, const Graph *graph)
{
    Graph *to = graph_new(arena);
    const bool *needed = nodes_needed(arena, graph);
    NodeId *map = NEW_ARRAY(arena, NodeId, graph->nodes.len + 1);
    for (NodeId id = 0; id < graph->nodes.len; id++)
        map[id] = needed[id] ? node_rewrite(to, graph_node(graph, id), read_renamed, map, map)
                             : NODE_NONE;
    outputs_copy(to, graph, map);
    return to;
}
