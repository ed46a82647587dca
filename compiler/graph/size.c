/* size: can what a graph computes be counted? Passes and kernels multiply and add sizes in 64 bits; a
 * graph within the limits here leaves them room. Gradients and rewrites make tensors and sums that
 * nobody wrote down, so this is asked of every graph before and after the passes. */
#include "graph/internal.h"

bool size_within(size_t n, const int64_t *sizes, int64_t most, int64_t *product)
{
    *product = 1;
    for (size_t i = 0; i < n; i++) {
        if (!CHECKED_MUL(*product, sizes[i], product) || *product > most)
            return false;
    }
    return true;
}

static bool piece_within(const Piece *piece)
{
    int64_t sizes[2 * MAX_RANK], points;
    size_t n = 0;
    for (size_t i = 0; i < piece->n_vars && n < 2 * MAX_RANK; i++)
        sizes[n++] = piece->vars[i]->extent;
    for (size_t i = 0; i < piece->n_reduced && n < 2 * MAX_RANK; i++)
        sizes[n++] = piece->reduced[i]->extent;
    return n < piece->n_vars + piece->n_reduced || size_within(n, sizes, MOST_POINTS, &points);
}

NodeId graph_uncounted(const Graph *graph)
{
    for (size_t id = 0; id < graph->nodes.len; id++) {
        const Node *node = &graph->nodes.at[id];
        int64_t elements;
        bool within = size_within(node->rank, node->dims, MOST_POINTS, &elements);
        for (size_t i = 0; within && i < node->n_pieces; i++)
            within = piece_within(&node->pieces[i]);
        if (!within)
            return (NodeId)id;
    }
    return NODE_NONE;
}
