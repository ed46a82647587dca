/* again: what the equations of a range of the forward pass compute is computed once more for the backward
 * pass instead of being kept until then (Chen et al. 2016, "Training deep nets with sublinear memory
 * cost"). Kept is what others in the forward pass or an output read of the range. A copy stands just
 * before its first reader and is called NAME again, by which pass_cse knows that it is wanted. Needs the
 * graph that pass_autodiff leaves, whose first nodes are the forward pass; keeps every value. */
#include "passes/clean.h"
#include "passes/fusion.h"

static const char suffix[] = " again";

bool node_is_again(const Node *node)
{
    return str_ends(node->name, str_of(suffix));
}

typedef struct Again {
    Arena *arena;
    const Graph *from;
    Graph *to;
    size_t *range;      /* by node: 1 + index of its range; 0: none */
    bool *kept;
    NodeId *late;       /* by node: what the backward pass reads */
    size_t copies;
    AgainCost cost;
} Again;

static void find_ranges(Again *a, size_t n_forward, size_t n, const NodeRange *ranges)
{
    for (size_t r = 0; r < n; r++) {
        for (NodeId id = ranges[r].first; id < ranges[r].end && id < n_forward; id++)
            a->range[id] = graph_node(a->from, id)->kind == NODE_EQUATION ? r + 1 : 0;
    }
    for (NodeId id = 0; id < n_forward; id++) {
        const Node *node = graph_node(a->from, id);
        for (size_t p = 0; p < node->n_pieces; p++) {
            ScalarList list = piece_list(a->arena, &node->pieces[p], node->rank);
            for (size_t i = 0; i < list.n; i++) {
                const Scalar *s = list.at[i];
                if (s->kind == SCALAR_READ && a->range[s->tensor] != a->range[id])
                    a->kept[s->tensor] = true;
            }
        }
        for (size_t i = 0; i < node->n_args; i++)
            a->kept[node->args[i]] = true;
    }
    for (size_t i = 0; i < a->from->outputs.len; i++)
        a->kept[a->from->outputs.at[i].value] = true;
}

static NodeId rewritten(Again *a, NodeId id)
{
    return node_rewrite(a->to, graph_node(a->from, id), read_renamed, a->late, a->late);
}

/* What only renames elements of another tensor is not stored. */
static void add_cost(Again *a, const Node *node)
{
    bool view = node->n_pieces == 1 && node->pieces[0].n_reduced == 0 &&
                node->pieces[0].body->kind == SCALAR_READ;
    a->cost.bytes += view ? 0 : (double)node_elements(node) * (double)dtype_bytes(node->dtype);
    for (size_t p = 0; p < node->n_pieces; p++) {
        const Piece *piece = &node->pieces[p];
        ScalarList list = sc_list(a->arena, 1, &piece->body);
        double each = piece->n_reduced > 0;
        for (size_t i = 0; i < list.n; i++)
            each += sc_cost(list.at[i]);
        a->cost.flops += each * piece_points(piece);
    }
}

/* Copies of what the node reads, and of what these read, before it. */
static void copy_reads(Again *a, NodeId id)
{
    const Node *node = graph_node(a->from, id);
    for (size_t p = 0; p < node->n_pieces; p++) {
        ScalarList list = piece_list(a->arena, &node->pieces[p], node->rank);
        for (size_t i = 0; i < list.n; i++) {
            NodeId read = list.at[i]->kind == SCALAR_READ ? list.at[i]->tensor : NODE_NONE;
            if (read == NODE_NONE || a->range[read] == 0 || a->kept[read])
                continue;
            a->kept[read] = true;               /* done */
            copy_reads(a, read);
            a->late[read] = rewritten(a, read);
            Node *copy = &a->to->nodes.at[a->late[read]];
            copy->name = str_format(a->to->arena, STR_FMT "%s", STR_ARG(copy->name), suffix);
            a->copies++;
            add_cost(a, copy);
        }
    }
}

const Graph *pass_again(Arena *arena, const Graph *graph, size_t n_forward, size_t n,
                        const NodeRange *ranges, AgainCost *cost)
{
    size_t nodes = graph->nodes.len;
    Again again = {.arena = arena, .from = graph, .to = graph_new(arena)}, *a = &again;
    a->range = NEW_ARRAY(arena, size_t, nodes + 1);
    a->kept = NEW_ARRAY(arena, bool, nodes + 1);
    a->late = NEW_ARRAY(arena, NodeId, nodes + 1);
    find_ranges(a, n_forward, n, ranges);
    for (NodeId id = 0; id < nodes; id++) {
        if (id >= n_forward)
            copy_reads(a, id);
        a->late[id] = rewritten(a, id);
    }
    outputs_copy(a->to, graph, a->late);
    if (cost != NULL)
        *cost = a->cost;
    return a->copies > 0 ? a->to : graph;
}
