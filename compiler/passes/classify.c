/* What kind of work a piece is, from its variables and reads alone (fusion.md 3.1). */
#include "passes/fusion.h"

double piece_points(const Piece *piece)
{
    double points = 1;
    for (size_t i = 0; i < piece->n_vars; i++)
        points *= (double)piece->vars[i]->extent;
    for (size_t i = 0; i < piece->n_reduced; i++)
        points *= (double)piece->reduced[i]->extent;
    return points;
}

/* Has some of the left variables, and lacks some. */
static bool has_part_of_left(const Piece *piece, const Scalar *read)
{
    bool has = false, lacks = false;
    for (size_t i = 0; i < piece->n_vars; i++) {
        bool uses = sc_uses(read, piece->vars[i]);
        has |= uses;
        lacks |= !uses && piece->vars[i]->extent > 1;
    }
    return has && lacks;
}

bool piece_is_contraction(Arena *arena, const Node *node, const Piece *piece)
{
    if (node->reduce != REDUCE_SUM || piece->n_reduced == 0)
        return false;
    size_t reduced = 0;                /* tensors of the reduced variables that lack a left one */
    ScalarList list = piece_list(arena, piece, node->rank);
    for (size_t i = 0; i < list.n; i++) {
        const Scalar *s = list.at[i];
        bool uses = false;
        for (size_t k = 0; s->kind == SCALAR_READ && k < piece->n_reduced; k++)
            uses |= sc_uses(s, piece->reduced[k]);
        reduced += uses && has_part_of_left(piece, s);
    }
    return reduced >= 2;
}
