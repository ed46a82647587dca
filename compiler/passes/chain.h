/* chain.h: what chain.c and chains.c share. Private to this folder. */
#ifndef HONE_PASSES_CHAIN_H
#define HONE_PASSES_CHAIN_H

#include "passes/fusion.h"

typedef VEC(const Scalar *) ChainReads;
typedef VEC(PieceRows) ChainParts;
typedef enum ChainKind { CHAIN_NONE, CHAIN_PLANE, CHAIN_ROW, CHAIN_RESULT } ChainKind;

typedef struct ChainFinder {
    Arena *arena;
    const Graph *graph;
    ChainReads **reads;          /* by node and piece */
    bool *fixed;                 /* by node: an output, or somebody needs it as a whole */
    const Demand *demands;
    uint32_t *chain_of;          /* by node: 0, or 1 + the index of its chain */
} ChainFinder;
ChainFinder chain_finder(Arena *arena, const Graph *graph);

typedef struct Growth {          /* a chain under construction */
    ChainFinder *f;
    NodeId seed, first;
    size_t n_rows, results;
    uint8_t *kind;               /* by node: ChainKind */
    uint8_t (*roles)[MAX_RANK];  /* by node and dimension, of planes and rows: which row, or n_rows */
    bool *after;                 /* by node: depends on the chain */
    bool again, failed;
} Growth;
/* All that can be computed with the contraction; false: it is none that starts a chain. */
bool chain_grow(ChainFinder *f, NodeId seed, bool turned, Growth *growth);
bool chain_reads_plane(const Growth *g, NodeId id);
bool chain_is_closed(const Growth *g);       /* planes are read by members only */
RowChain chain_of_growth(Growth *g, uint32_t number);

#endif
