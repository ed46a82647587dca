/* recompute: a map whose readers lie far apart, as the forward and the backward pass do, is computed
 * once more for the later ones where all that it reads is kept until then anyway (fusion.md 3.4): the
 * output of a norm and its ReLU is not kept, only the convolution before it; of the outputs of residual
 * blocks every second one. Readers that need only single elements have the map written into them later,
 * by pass_inline. Needs what pass_lift leaves; keeps every value, bit for bit. */
#include "passes/clean.h"
#include "passes/fusion.h"

static const double most_cost = 12;          /* vector instructions per element */
static const double small_input = 16;        /* times smaller than the map: factors per channel */

typedef VEC(NodeId) NodeIds;

typedef struct Recompute {
    Arena *arena;
    const Graph *from;
    NodeIds *readers;            /* by node, ascending, each once */
    NodeId *again;               /* by node: the first of the readers that get a copy, or NODE_NONE */
    NodeIds *before;             /* by node: what is computed again just before it */
} Recompute;

static void note_readers(Recompute *r, NodeId id)
{
    const Node *node = graph_node(r->from, id);
    for (size_t p = 0; p < node->n_pieces; p++) {
        ScalarList list = piece_list(r->arena, &node->pieces[p], node->rank);
        for (size_t i = 0; i < list.n; i++) {
            if (list.at[i]->kind != SCALAR_READ)
                continue;
            NodeIds *readers = &r->readers[list.at[i]->tensor];
            if (readers->len == 0 || readers->at[readers->len - 1] != id)
                VEC_PUSH(r->arena, *readers, id);
        }
    }
}

/* --- candidates --------------------------------------------------------------------------------------- */
static bool at_own_place(const Node *node, const Scalar *read)
{
    if (read->fill || read->n != node->rank)
        return false;
    for (size_t d = 0; d < node->rank; d++) {
        if (read->at[d] != node->pieces[0].left[d])
            return false;
    }
    return true;
}

/* The tensor is computed, and kept as it is until `reader` at least. */
static bool is_kept(const Recompute *r, NodeId tensor, NodeId reader)
{
    const NodeIds *readers = &r->readers[tensor];
    return graph_node(r->from, tensor)->kind == NODE_EQUATION && r->again[tensor] == NODE_NONE &&
           readers->len > 0 && readers->at[readers->len - 1] >= reader;
}

static bool inputs_are_kept(const Recompute *r, const Node *node, NodeId reader)
{
    ScalarList list = piece_list(r->arena, &node->pieces[0], node->rank);
    double elements = (double)node_elements(node), cost = 0;
    for (size_t i = 0; i < list.n; i++) {
        const Scalar *s = list.at[i];
        cost += sc_cost(s);
        if (s->kind != SCALAR_READ)
            continue;
        const Node *input = graph_node(r->from, s->tensor);
        if ((double)node_elements(input) * small_input <= elements)
            continue;
        if (!at_own_place(node, s) || !is_kept(r, s->tensor, reader))
            return false;
    }
    return cost <= most_cost;
}

/* The first reader after the widest gap, if others lie before it. */
static NodeId first_late(const Recompute *r, NodeId id)
{
    const NodeIds *readers = &r->readers[id];
    size_t widest = 0;
    for (size_t i = 1; i < readers->len; i++) {
        NodeId gap = readers->at[i] - readers->at[i - 1];
        if (gap >= RECOMPUTE_GAP &&
            (widest == 0 || gap > readers->at[widest] - readers->at[widest - 1]))
            widest = i;
    }
    return widest == 0 ? NODE_NONE : readers->at[widest];
}

static bool is_map(const Node *node)
{
    return node->kind == NODE_EQUATION && node->n_pieces == 1 && node->pieces[0].n_reduced == 0 &&
           piece_is_plain(node, &node->pieces[0]);
}

static void choose(Recompute *r, NodeId id)
{
    const Node *node = graph_node(r->from, id);
    r->again[id] = NODE_NONE;
    double bytes = (double)node_elements(node) * (double)dtype_bytes(node->dtype);
    if (!is_map(node) || bytes < (double)RECOMPUTE_BYTES)
        return;
    NodeId late = first_late(r, id);
    if (late == NODE_NONE || !inputs_are_kept(r, node, late))
        return;
    r->again[id] = late;
    VEC_PUSH(r->arena, r->before[late], id);
}

Graph *pass_recompute(Arena *arena, const Graph *graph)
{
    size_t n = graph->nodes.len;
    Graph *to = graph_new(arena);
    Recompute r = {.arena = arena,
                   .from = graph,
                   .readers = NEW_ARRAY(arena, NodeIds, n),
                   .again = NEW_ARRAY(arena, NodeId, n + 1),
                   .before = NEW_ARRAY(arena, NodeIds, n)};
    NodeId *map = NEW_ARRAY(arena, NodeId, n + 1);
    for (NodeId id = 0; id < n; id++)
        note_readers(&r, id);
    for (NodeId id = 0; id < n; id++)
        choose(&r, id);
    for (NodeId id = 0; id < n; id++) {
        for (size_t i = 0; i < r.before[id].len; i++) {
            NodeId again = r.before[id].at[i];
            map[again] = node_rewrite(to, graph_node(graph, again), read_renamed, map, map);
        }
        map[id] = node_rewrite(to, graph_node(graph, id), read_renamed, map, map);
    }
    outputs_copy(to, graph, map);
    return to;
}
