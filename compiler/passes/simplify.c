/* simplify: every expression rebuilt in normal form, reads of views composed and reads of uniform
 * constants replaced by their value, `stop` removed, sums around a mean recognised as 0. Needs a graph whose derivatives are taken;
 * guarantees the same values; what becomes unread stays for prune. */
#include "passes/clean.h"
#include "passes/densify.h"

static NodeId simplified(Graph *to, const Node *node, const NodeId *map)
{
    NodeId id = node_import(to, node, map);
    if (!sum_is_zero(to, graph_node(to, id)))
        return id;
    return graph_constant(to, node->dtype, node->rank, node->dims, NULL, 0, node->span);
}

Graph *pass_simplify(Arena *arena, const Graph *graph)
{
    Graph *to = graph_new(arena);
    pool_drop_stops(to->pool);
    NodeId *map = NEW_ARRAY(arena, NodeId, graph->nodes.len + 1);
    for (NodeId id = 0; id < graph->nodes.len; id++)
        map[id] = simplified(to, graph_node(graph, id), map);
    outputs_copy(to, graph, map);
    return to;
}
