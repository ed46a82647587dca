/* clean.h: what the cleaning passes share. Private to this folder.
 *
 *   prune.c      what outputs need
 *   simplify.c   views and uniform constants read through, `stop` removed
 *   centred.c    sums that are zero by a mean
 *   fold.c       what depends on constants only is computed
 *   cse.c        equal equations computed once
 *   narrow.c     extents shrunk to what is read and not zero
 *   support.c    where tensors are not zero, and the loops that visit it
 *
 * Each keeps the order of nodes, leaves included, so that ids grow with use and a leaf keeps its
 * place among leaves; names, spans and Node.variable stay.
 */
#ifndef HONE_PASSES_CLEAN_H
#define HONE_PASSES_CLEAN_H

#include "passes/passes.h"

/* By node: whether an output needs it (targets of outputs included). */
bool *nodes_needed(Arena *arena, const Graph *graph);
void outputs_copy(Graph *to, const Graph *from, const NodeId *map);

/* A ReadMap that renames tensors; its context is the array of new ids. */
const Scalar *read_renamed(void *map, ExprPool *pool, const Scalar *old, size_t rank,
                           const Position *const *at, const Scalar *fill);

/* cse.c: body = factor * rest, also below a mask. */
const Scalar *factor_split(ExprPool *pool, const Scalar *body, double *factor);

/* centred.c: does the equation sum what lies around its own mean, and is 0? */
bool sum_is_zero(const Graph *graph, const Node *node);
/* The read of mean[K] x in difference = x - mean[K] x, up to a sign, K the piece's reduced variables;
 * NULL: it is something else. */
const Scalar *mean_around(const Graph *graph, const Piece *piece, const Scalar *difference);

/* --- support.c ------------------------------------------------------------------------------------ */
typedef struct Range {
    int64_t lo, hi;               /* hi exclusive; lo == hi: nothing */
} Range;

static inline Range range_whole(int64_t extent)
{
    return (Range){0, extent};
}
bool range_empty(Range r);
Range range_both(Range a, Range b);          /* intersection */
Range range_hull(Range a, Range b);

/* Outside of support[id] (a range per dimension) a tensor is zero; NULL: nothing is known. */
typedef struct Supports {
    Arena *arena;
    const Graph *graph;           /* reads of pieces are of its nodes */
    Range **support;
} Supports;
/* Per variable, left ones first, the values at which the body may differ from 0. false: none. */
bool piece_visited(const Supports *supports, const Piece *piece, Range **ranges);
/* Does the variable stand in a position that is checked at run time? Then it keeps its range. */
bool var_checked(Arena *arena, const Piece *piece, size_t rank, const Var *v);

/* Variables shortened: each from[i] is to[i], a shorter variable plus a constant. */
typedef struct Shorter {
    VEC(const Var *) from, kept;
    VEC(const Position *) to;
} Shorter;
/* The variable takes the values of the range only; it is not empty. */
void shorter_add(Arena *arena, ExprPool *pool, Shorter *shorter, const Var *v, Range range);
Piece piece_shortened(Arena *arena, ExprPool *pool, const Piece *piece, size_t rank,
                      const Shorter *shorter);

#endif
