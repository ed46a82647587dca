/* fusion.h: what the passes towards kernels share. Private to this folder.
 *
 *   inline.c   maps written into their readers
 *   fuse.c     equations that are computed together
 *   split.c    large reductions into partial sums
 *   recompute.c  maps computed again instead of kept
 *   layout.c   the order of every tensor's elements in memory
 */
#ifndef HONE_PASSES_FUSION_H
#define HONE_PASSES_FUSION_H

#include "passes/passes.h"

/* Points of the piece's domain: extents of left and reduced variables. */
double piece_points(const Piece *piece);
/* A sum of products over at least two tensors, neither of which has all variables: it is worth a
 * register tile. */
bool piece_is_contraction(Arena *arena, const Node *node, const Piece *piece);

/* Work from here on is shared by threads: some microseconds of a map, several times what handing it
 * to another core costs. */
enum { PARALLEL_POINTS = 1 << 14 };

/* One equation per element: no sums, left side its variables. */
bool node_is_map(const Node *node);
/* By node: rank 0 and follows from step values alone (demand.c). */
bool *graph_of_steps(Arena *arena, const Graph *graph);

Graph *pass_inline(Arena *arena, const Graph *graph, const Target *target);

/* Tensors below are hardly worth a kernel; the gap is in equations between two groups of readers. */
enum { RECOMPUTE_BYTES = 1 << 20, RECOMPUTE_GAP = 12 };
Graph *pass_recompute(Arena *arena, const Graph *graph);

#endif
