/* densify.h: what autodiff and densify share (differentiation.md). Private to this folder.
 *
 *   copy.c       nodes from one graph into another; copies and broadcasts read through (9)
 *   derive.c     scalar derivatives
 *   autodiff.c   raw adjoint pieces
 *   raw.c        Raw: a piece being rewritten; substitution, conversion from and to Piece
 *   guard.c      guards: zero fills, masks, intervals, trimming, solving      (5.0, 5.1)
 *   divide.c     divisions split into quotient and residue                    (5.2, 5.6)
 *   overlap.c    injective sides, phases, increasing sides                    (5.3 - 5.5)
 *   gather.c     left positions with data                                     (5.7)
 *   finish.c     guards become fills, masks and store guards                  (5.8)
 *   hoist.c      factors leave sums                                           (6)
 *   densify.c    the pass: loop of rewrites, merging, copies read through     (8, 9)
 *   idmap.c       expression id -> anything
 */
#ifndef HONE_PASSES_DENSIFY_H
#define HONE_PASSES_DENSIFY_H

#include "passes/passes.h"

/* --- idmap.c -------------------------------------------------------------------------------------
 */
typedef struct IdSlot {
    uint64_t key;
    const void *value;
} IdSlot;
typedef struct IdMap {
    Arena *arena;
    IdSlot *slots;
    size_t len, cap;
} IdMap;
IdMap idmap_new(Arena *arena);
bool idmap_get(const IdMap *map, uint64_t key, const void **value); /* false: nothing there yet */
void idmap_set(IdMap *map, uint64_t key, const void *value);

/* --- copy.c -------------------------------------------------------------------------------------
 */
/* A read of the tensor; of what it copies, broadcasts or scales if it does only that. */
const Scalar *read_through(const Graph *graph, NodeId tensor, const Position *const *at,
                           const Scalar *fill);
/* The piece with its reads mapped (map[old id] = new id), read through. */
Piece piece_import(Graph *to, const Piece *piece, size_t rank, const NodeId *map);
/* The node as it is, but for its reads. Not for equations under densify: those are rewritten. */
NodeId node_import(Graph *to, const Node *node, const NodeId *map);

/* --- derive.c -----------------------------------------------------------------------------------
 */
bool sc_positional(const Scalar *condition);                     /* and, or, not of `within` only */
const Scalar *sc_inside(const Graph *graph, const Scalar *read); /* all positions in range */

/* --- raw.c --------------------------------------------------------------------------------------
 */
typedef VEC(const Var *) Vars;
typedef VEC(const Scalar *) Scalars;
typedef VEC(Guard) Guards;

/* A piece being rewritten: for all values of vars that satisfy the guards, body is added at left.
 */
typedef struct Raw {
    Vars vars;
    Guards guards;         /* canonical: see guard_add */
    const Position **left; /* one per dimension of the tensor */
    const Scalar *body;
    Vars residues; /* of vars: remainders introduced by a division */
    Vars fixed;    /* of vars: divisions of these stay (5.5) */
    bool empty;    /* a guard was found impossible */
    bool scatter;  /* given up: the left side may repeat */
    bool gathered; /* reads may be at positions with data that lie outside */
} Raw;

typedef struct Dense {
    Arena *arena;
    Graph *graph; /* the new graph; constants and hoisted sums are appended */
    ExprPool *pool;
    size_t rank;
    const int64_t *dims; /* of the tensor that is written */
    VEC(Raw *) work;     /* a stack */
    VEC(Raw *) done;
    Interp constants;   /* values of tensors that depend on no input, on demand */
    size_t n_constants; /* of constants.values */
    VEC(NodeId) tables; /* inverted tables stored so far (5.7) */
    Span span;          /* of the equation, for nodes appended for it */
    Str name;
} Dense;

Raw *raw_new(Dense *dense, const Piece *piece);
Raw *raw_copy(Dense *dense, const Raw *raw);
void raw_push(Dense *dense, Raw *raw);
/* A new variable of the piece as a position; the constant 0 for extent 1. */
const Position *raw_var(Dense *dense, Raw *raw, int64_t extent, Str name);
/* v := to, everywhere; v leaves the piece. Guards are rebuilt, raw->empty may become true. */
void raw_subst(Dense *dense, Raw *raw, const Var *v, const Position *to);
bool raw_on_left(const Dense *dense, const Raw *raw, const Var *v);
/* Vars sorted into left and reduced, as a piece (arrays on the arena); a plain left side gets one
 * variable per dimension, also where the extent is 1. */
Piece raw_piece(Dense *dense, const Raw *raw);
bool vars_has(const Vars *vars, const Var *v);
void vars_add(Arena *arena, Vars *vars, const Var *v); /* once */
void vars_drop(Vars *vars, const Var *v);
int64_t div_floor(int64_t a, int64_t b); /* any sign of b */
int64_t div_ceil(int64_t a, int64_t b);

/* The body as masks and factors: select(m, a, 0) gives a mask, products and quotients factors. */
typedef struct Factors {
    Scalars masks; /* conjuncts */
    Scalars factors;
} Factors;
Factors factors_of(ExprPool *pool, Arena *arena, const Scalar *body);
const Scalar *factors_product(ExprPool *pool, DType dtype, const Scalars *factors);
const Scalar *sc_masked(ExprPool *pool, const Scalar *mask, const Scalar *body);
bool sc_is_zero(const Scalar *s);

/* Calls visit for every READ below s outside of positions (of conditions too), once each. */
typedef void ReadVisit(void *context, const Scalar *read);
void sc_each_read(Arena *arena, const Scalar *s, ReadVisit *visit, void *context);

/* --- guard.c ------------------------------------------------------------------------------------
 */
/* Adds lo <= p < hi in canonical form (no constant, first coefficient positive, no common factor),
 * unless intervals prove it; joins it with a guard on the same position. */
void guard_add(Dense *dense, Raw *raw, int64_t lo, const Position *p, int64_t hi);
/* To a fixed point; false: the piece is empty. */
bool guard_simplify(Dense *dense, Raw *raw);
/* Zero fills and masks on positions at the outside of the body as guards, nothing else. */
void guard_absorb(Dense *dense, Raw *raw);
/* sum[k] select(k == ids[b], f(k), 0) to f(ids[b]); true if it did anything. */
bool guard_solve_one_hot(Dense *dense, Raw *raw);

/* --- divide.c, overlap.c, gather.c: one rewrite each; true: done, results are on the stack ------
 */
bool raw_divide(Dense *dense, const Raw *raw);
bool raw_enumerate_guards(Dense *dense, const Raw *raw);
/* SIDES_INJECTIVE: nothing to do. */
typedef enum Sides { SIDES_INJECTIVE, SIDES_REWRITTEN, SIDES_SCATTER } Sides;
Sides raw_solve_sides(Dense *dense, const Raw *raw);
/* Every other dimension is injective and binds `bound`. */
Sides raw_solve_gather(Dense *dense, const Raw *raw, const Vars *bound);

/* --- finish.c, hoist.c --------------------------------------------------------------------------
 */
void raw_finish(Dense *dense, Raw *raw);
void raw_hoist(Dense *dense, Raw *raw);

#endif
