/* passes: graph -> graph, a file each. Each reads a const graph and returns a new one in `arena`;
 * its header comment says what it needs, guarantees and changes. The driver verifies after each.
 *
 *   autodiff.c derive.c   raw adjoint pieces (differentiation.md 3, 4, 7, 8)
 *   densify.c             raw pieces -> injective left sides (differentiation.md 5, 6)
 *   simplify.c            normal form, views read through; STOP removed after autodiff
 *   cse.c fold.c prune.c narrow.c
 *   clamp.c               signs are asked of relu's output, not of its input
 *   lift.c                what repeats for many points of an equation becomes a tensor
 *   separate.c            tensors that one equation adds become equations and a map
 *   again.c               parts of the forward pass computed again for the backward pass (`recompute`)
 *   recompute.c           maps computed again for the backward pass instead of kept
 *   linear.c              how a node depends on others
 *   gradcheck.c           gradients against finite differences
 *   layout.c              storage order of every tensor
 *   split.c               large reductions into fixed partial sums
 *   demand.c              what is needed only under a condition of the step clock
 *   chain.c chains.c      contractions whose results are never stored whole
 *   fuse.c                which equations are computed together (groups)
 *   moves.c               the names of what fusion does
 */
#ifndef HONE_PASSES_H
#define HONE_PASSES_H

#include "graph/graph.h"
#include "target/target.h"

/* --- moves of fusion, for experiments: moves.def --------------------------------------------------- */
typedef enum MoveId {
#define MOVE(name, text) MOVE_##name,
#include "passes/moves.def"
#undef MOVE
    MOVE_COUNT
} MoveId;
typedef uint32_t Moves;              /* a set: bit of each MoveId */
#define MOVE_BIT(name) ((Moves)1 << MOVE_##name)
const char *move_name(MoveId move);
/* Names with commas between them; false: *wrong is none. */
bool moves_read(Str text, Moves *moves, Str *wrong);

/* --- differentiation ---------------------------------------------------------------------------- */
/* Appends the adjoint of output OUT_LOSS by each PARAM node in wrt; adds one OUT_GRAD output per wrt
 * entry (a zero constant where the loss does not depend on it), of the same dtype, f32 where that is shorter.
 * Raw: scatters allowed. */
Graph *pass_autodiff(Arena *arena, const Graph *graph, size_t n_wrt, const NodeId *wrt);
/* Old ids stay valid in the result of autodiff (it only appends). */
Graph *pass_densify(Arena *arena, const Graph *graph);
/* d body / d read for one read of a piece's body (derive.c); NULL: zero. value may stand for body
 * where the derivative uses its value (a read of the tensor that body defines); NULL: none does. */
const Scalar *derive(const Graph *graph, const Scalar *body, const Scalar *read,
                     const Scalar *value);
/* The first node between the parameters and anything that has no derivative (an intrinsic), or
 * NODE_NONE. pass_autodiff must not be called while there is one: the caller diagnoses it. */
NodeId autodiff_refuses(Arena *arena, const Graph *graph, size_t n_wrt, const NodeId *wrt);

/* --- cleaning ------------------------------------------------------------------------------------- */
Graph *pass_simplify(Arena *arena, const Graph *graph);
Graph *pass_cse(Arena *arena, const Graph *graph);
Graph *pass_fold(Arena *arena, const Graph *graph);
Graph *pass_prune(Arena *arena, const Graph *graph);      /* keeps what outputs need, all leaves' order */
Graph *pass_narrow(Arena *arena, const Graph *graph);
Graph *pass_clamp(Arena *arena, const Graph *graph);
Graph *pass_separate(Arena *arena, const Graph *graph);
Graph *pass_lift(Arena *arena, const Graph *graph);

/* --- again.c --------------------------------------------------------------------------------------- */
typedef struct NodeRange {
    NodeId first, end;
} NodeRange;
typedef struct AgainCost {
    double bytes, flops;          /* of the tensors that are not kept, of computing them again; roughly */
} AgainCost;
/* Of ranges within others the last one given counts, so inner ones come first. cost, NULL or: out. The
 * graph itself: nothing is to be computed again. */
const Graph *pass_again(Arena *arena, const Graph *graph, size_t n_forward, size_t n,
                        const NodeRange *ranges, AgainCost *cost);
bool node_is_again(const Node *node);      /* a copy on purpose, equal to another node */

/* Copies node `id` of `from` and all it needs into `to`, once per map entry (NODE_NONE: not yet). */
NodeId graph_import(Graph *to, const Graph *from, NodeId id, NodeId *map);

/* --- linear.c -------------------------------------------------------------------------------------- */
typedef enum Linear {
    LINEAR_ZERO, LINEAR_FREE,    /* independent of them */
    LINEAR_PURE,                 /* a sum of multiples of them */
    LINEAR_AFFINE,               /* and something beside that */
    LINEAR_NOT
} Linear;
/* How a node depends on n others. */
Linear graph_linear(Arena *arena, const Graph *graph, NodeId node, size_t n, const NodeId *of);

/* --- gradcheck.c ------------------------------------------------------------------------------------ */
/* The gradients of a graph's loss by some of its PARAM nodes, as all passes leave them, against
 * central differences of the loss in the double-precision interpreter, at made-up values. What
 * `stop` protects stands still meanwhile. */
typedef struct GradRow {
    NodeId param;
    double norm;                 /* of the gradient */
    double error;                /* largest difference along any direction, over the norm */
    int directions;
} GradRow;
typedef struct GradCheck {
    const Graph *graph;          /* with one OUT_LOSS */
    size_t n_wrt;
    const NodeId *wrt;
    uint64_t seed;
    double max_points;           /* iterations of loops that all differences together may cost */
    GradRow *rows;               /* out: one per wrt */
    double loss, points;         /* out: points that one loss costs */
} GradCheck;
/* NULL, or why it cannot be done (on the arena). */
const char *grad_check(Arena *arena, GradCheck *check);

/* --- towards kernels -------------------------------------------------------------------------------- */
Graph *pass_split(Arena *arena, const Graph *graph);

/* Storage of every tensor: a permutation of its dimensions with padding. strides in elements. */
typedef struct Layout {
    const int64_t *const *strides;   /* by node */
    const uint64_t *elements;        /* storage size by node */
} Layout;
/* fixed_strides[variable] (NULL entries: free) pins PARAM and STATE nodes to another graph's choice. */
Layout pass_layout(Arena *arena, const Graph *graph, const int64_t *const *fixed_strides);

/* --- demand.c ---------------------------------------------------------------------------------------- */
/* A decision is a bool of rank 0 that follows from step values alone: known before the step. */
typedef struct Literal {
    NodeId decision;
    bool holds;
} Literal;
enum { DEMAND_MOST = 4 };
typedef struct Demand {          /* needed where all literals hold; any false: by nobody */
    bool any;
    uint32_t n;
    Literal literals[DEMAND_MOST];   /* by ascending decision */
} Demand;
bool demand_equal(const Demand *a, const Demand *b);
/* By node. unit_of: nodes of equal numbers are computed together (NULL: all alone; leaves are in
 * none; numbers are below the number of nodes). lies_in[node] != node: its value takes that leaf's storage (NULL:
 * every next value does). */
Demand *graph_demands(Arena *arena, const Graph *graph, const uint32_t *unit_of,
                      const NodeId *lies_in);
/* By node: decisions that more than maps wait for. */
bool *graph_decisions(Arena *arena, const Graph *graph);

/* --- chain.c, chains.c ------------------------------------------------------------------------------- */
/* A contraction, what is done with each row of its result, and contractions of those rows: the last row
 * variable is cut into blocks, chunks are one value of each of the others. */
typedef struct RowChain {
    size_t n_rows, n_nodes, n_parts;
    const NodeId *nodes;             /* consecutive */
    const PieceRows *parts;          /* their pieces */
} RowChain;
typedef struct RowChains {
    Graph *graph;                    /* the same values, chains in one piece */
    size_t n;
    const RowChain *chains;
} RowChains;
RowChains pass_chain(Arena *arena, Graph *graph);

/* Equations computed by one kernel, producers first. By position in `nodes`: equal numbers in nests
 * share one nest; rows: the n_rows dimensions that correspond in all of them (Lowering of loop/). */
typedef struct Group {
    size_t n, n_rows;
    const NodeId *nodes;
    const uint32_t *nests;
    const uint8_t *const *rows;
    const RowChain *chain;              /* NULL, or what the nodes are */
} Group;
typedef struct Groups {
    Graph *graph;                    /* after inlining of maps into their readers */
    size_t n;
    const Group *groups;             /* no cycles between them; in no particular order */
} Groups;
Groups pass_fuse(Arena *arena, const Graph *graph, const Target *target, Moves without);

#endif
