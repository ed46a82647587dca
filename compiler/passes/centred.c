/* centred: sums that are zero because a mean is what makes them so: sum[K] (x - mean[K] x). The
 * derivative of a variance by its mean is one; without this every norm that does not `stop` its mean
 * would read its input once more. */
#include "passes/clean.h"
#include "passes/densify.h"

#include <math.h>

static bool is_row_sum(const Node *node)
{
    return node->kind == NODE_EQUATION && node->reduce == REDUCE_SUM && node->n_pieces == 1 &&
           node->pieces[0].n_reduced > 0 && piece_is_plain(node, &node->pieces[0]) &&
           dtype_is_float(node->dtype);
}

static bool is_read(const Scalar *s)
{
    bool widens = s->kind == SCALAR_FN && s->op == OP_CAST && dtype_is_short(s->args[0]->dtype);
    const Scalar *read = widens ? s->args[0] : s;
    return read->kind == SCALAR_READ && !read->fill;
}

/* Is mean[...] the mean of x over the piece's reduced variables? */
static bool is_mean_of(const Graph *graph, const Piece *piece, const Scalar *mean, const Scalar *x)
{
    const Node *node = graph_node(graph, mean->tensor);
    if (!is_row_sum(node) || node->pieces[0].n_reduced != piece->n_reduced)
        return false;
    const Piece *of = &node->pieces[0];
    size_t n = of->n_vars + of->n_reduced;
    const Var **from = NEW_ARRAY(graph->arena, const Var *, n);
    const Position **to = NEW_ARRAY(graph->arena, const Position *, n);
    double points = 1, factor;
    for (size_t i = 0; i < of->n_vars; i++) {
        from[i] = of->vars[i];
        to[i] = mean->at[i];
    }
    for (size_t i = 0; i < of->n_reduced; i++) {
        if (of->reduced[i]->extent != piece->reduced[i]->extent || sc_uses(mean, piece->reduced[i]))
            return false;
        from[of->n_vars + i] = of->reduced[i];
        to[of->n_vars + i] = pos_var(graph->pool, piece->reduced[i]);
        points *= (double)piece->reduced[i]->extent;
    }
    Subst subst = {.n = n, .from = from, .to = to};
    const Scalar *element = factor_split(graph->pool, of->body, &factor);
    return fabs(factor * points - 1) < 1e-6 && sc_subst(graph->pool, element, &subst) == x;
}

const Scalar *mean_around(const Graph *graph, const Piece *piece, const Scalar *difference)
{
    double a, b;
    if (difference->kind != SCALAR_FN || difference->op != OP_ADD || difference->n != 2)
        return NULL;
    const Scalar *x = factor_split(graph->pool, difference->args[0], &a);
    const Scalar *y = factor_split(graph->pool, difference->args[1], &b);
    if (a != -b || !is_read(x) || !is_read(y))
        return NULL;
    return y->kind == SCALAR_READ && is_mean_of(graph, piece, y, x)   ? y
           : x->kind == SCALAR_READ && is_mean_of(graph, piece, x, y) ? x
                                                                      : NULL;
}

bool sum_is_zero(const Graph *graph, const Node *node)
{
    double factor;
    return is_row_sum(node) &&
           mean_around(graph, &node->pieces[0],
                       factor_split(graph->pool, node->pieces[0].body, &factor)) != NULL;
}
