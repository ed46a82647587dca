/* clean.h: what the cleaning passes share. Private to this folder.
 *
 *   prune.c      what outputs need
 *   simplify.c   views and uniform constants read through, `stop` removed
 *   fold.c       what depends on constants only is computed
 *   cse.c        equal equations computed once
 *   narrow.c     extents shrunk to what is read
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

#endif
