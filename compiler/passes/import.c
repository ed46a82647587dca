/* import: one node of a graph, and all it needs, into another graph. */
#include "passes/densify.h"

static void mark_read(const Graph *from, const Piece *piece, size_t rank, bool *needed)
{
    ScalarList list = piece_list(from->arena, piece, rank);
    for (size_t i = 0; i < list.n; i++) {
        if (list.at[i]->kind == SCALAR_READ) {
            needed[list.at[i]->tensor] = true;
        }
    }
}

NodeId graph_import(Graph *to, const Graph *from, NodeId id, NodeId *map)
{
    bool *needed = NEW_ARRAY(from->arena, bool, id + 1);
    needed[id] = true;
    for (size_t i = id + 1; i-- > 0;) {
        const Node *node = graph_node(from, (NodeId)i);
        if (!needed[i] || map[i] != NODE_NONE) {
            continue;
        }
        for (size_t k = 0; k < node->n_pieces; k++) {
            mark_read(from, &node->pieces[k], node->rank, needed);
        }
        for (size_t k = 0; k < node->n_args; k++) {
            needed[node->args[k]] = true;
        }
    }
    for (size_t i = 0; i <= id; i++) {
        if (needed[i] && map[i] == NODE_NONE) {
            map[i] = node_import(to, graph_node(from, (NodeId)i), map);
        }
    }
    return map[id];
}
