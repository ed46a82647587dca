/* graph: networks as equations over indices.
 *
 * A tensor is a sum of pieces. A piece says: for all values of its variables that satisfy its
 * guards, the body, reduced over the reduced variables, is added at the left positions; where
 * nothing is added the value is 0. A plain equation has one piece whose left positions are its own
 * variables.
 *
 *   expr.c      ExprPool: hash-consed variables, positions and scalar expressions
 *   position.c  affine + div + mod + data positions: canonical construction
 *   interval.c  ranges of positions
 *   scalar.c    scalar expressions: leaves, dtypes of results; scalar.def has one row per function
 *   algebra.c   the canonical form of sums, products, selections, conditions
 *   fold.c      the reference of every scalar function
 *   cost.c      what a scalar costs to evaluate
 *   rewrite.c   substitution and rebuilding of positions and scalars, also into another pool
 *   coverage.c  which elements the pieces of an equation write
 *   build.c     the only way to add nodes: builders that refuse ill-shaped nodes
 *   copy.c      pieces and nodes rebuilt with mapped reads
 *   verify.c    what every graph must satisfy between passes
 *   size.c      whether the sizes of a graph can be counted
 *   dump.c      the deterministic text form
 *   interp.c    double precision, slow: the definition of every equation
 *
 * A graph is append-only; inputs of a node have smaller ids. Passes read one graph and return a new
 * one in a fresh arena.
 */
#ifndef HONE_GRAPH_H
#define HONE_GRAPH_H

#include "base/base.h"

typedef uint32_t NodeId;
#define NODE_NONE UINT32_MAX
enum { MAX_RANK = 12 };

typedef enum DType {
#define DTYPE(id, name, bytes, is_float) DT_##id,
#include "graph/dtype.def"
#undef DTYPE
    DT_COUNT
} DType;
const char *dtype_name(DType dtype);
size_t dtype_bytes(DType dtype);
bool dtype_is_float(DType dtype);
bool dtype_is_short(DType dtype);         /* a float below float32: kept so, never computed in */
DType dtype_widen(DType a, DType b);      /* the smallest that holds both; ints give way to floats */

/* --- positions (position.c) -------------------------------------------------------------------
 * const + sum(coefficient * atom), canonical on construction: equality is pointer equality within
 * one pool. Variables are unique in the pool and carry their extent: 0 <= v < extent. A variable of
 * extent 1 is the constant 0. See differentiation.md 2 for the rewriting of div and mod.
 */
typedef struct Var {
    uint32_t id;           /* unique in its pool, never reused */
    int64_t extent;
    Str name;              /* for dumps; need not be unique */
} Var;

typedef struct Position Position;
typedef struct Scalar Scalar;

typedef enum AtomKind { ATOM_VAR, ATOM_DIV, ATOM_MOD, ATOM_DATA } AtomKind;
typedef struct Atom {
    AtomKind kind;
    uint32_t id;                  /* order of terms; unique in the pool */
    const Var *var;               /* VAR */
    const Position *of;           /* DIV, MOD: floor division, non-negative remainder */
    int64_t by;                   /* DIV, MOD: > 1 */
    const Scalar *data;           /* DATA: an int expression of reads */
} Atom;
typedef struct Term {
    int64_t coef;                 /* never 0 */
    const Atom *atom;
} Term;
struct Position {
    uint32_t id;                  /* unique in the pool */
    int64_t constant;
    size_t n;
    const Term *terms;            /* by ascending atom id */
    int64_t min, max;             /* interval; for DATA atoms the interval is INT32_MIN..INT32_MAX */
    bool has_data;
    size_t n_vars;
    const Var *const *vars;       /* used anywhere, nested included; by ascending id */
};

/* --- scalar expressions (scalar.c) ------------------------------------------------------------ */
typedef enum ScalarOp {
#define SCALAR(id, name, arity, type, range) OP_##id,
#include "graph/scalar.def"
#undef SCALAR
    OP_COUNT
} ScalarOp;

typedef enum ScalarKind {
    SCALAR_CONST,      /* value */
    SCALAR_INDEX,      /* a position as an i32 value */
    SCALAR_READ,       /* tensor[at…], or fill where a position lies outside */
    SCALAR_WITHIN,     /* lo <= position < hi, the only condition on positions; bool */
    SCALAR_FN,         /* op(args) */
    SCALAR_RANDOM      /* uniform f32 in [0, 1): Philox keyed by (seed, key, step, counter) */
} ScalarKind;

struct Scalar {
    ScalarKind kind;
    ScalarOp op;                  /* FN */
    DType dtype;
    uint32_t id;                  /* unique in the pool; arguments have smaller ids */
    double value;                 /* CONST; ints up to 2^53 exactly */
    NodeId tensor;                /* READ */
    size_t n;
    const Scalar *const *args;    /* FN */
    const Position *const *at;    /* READ: n positions, one per dimension; INDEX, WITHIN, RANDOM: 1 */
    const Scalar *fill;           /* READ: NULL when every position is in range */
    int64_t lo, hi;               /* WITHIN */
    uint64_t key;                 /* RANDOM: hash of (instance path, call site) */
    size_t n_vars;
    const Var *const *vars;       /* used anywhere, in positions too; by ascending id */
};

/* One pool per graph; all expressions of a graph come from its pool. */
typedef struct ExprPool ExprPool;
ExprPool *pool_new(Arena *arena);

/* Sizes that leave int64 do not crash: coefficients saturate and this turns true for good. Whoever
 * makes positions of a person's numbers asks and diagnoses. */
bool pool_overflowed(const ExprPool *pool);

/* From now on `stop` is dropped: nothing made in this pool will be differentiated. */
void pool_drop_stops(ExprPool *pool);

const Var *var_new(ExprPool *pool, int64_t extent, Str name);
/* The variable of this pool that stands for one of another pool (always the same); itself if it is
 * of this pool. What sc_rewrite and pos_rewrite do to variables. */
const Var *var_import(ExprPool *pool, const Var *var);
const Position *pos_const(ExprPool *pool, int64_t value);
const Position *pos_var(ExprPool *pool, const Var *var);
const Position *pos_data(ExprPool *pool, const Scalar *data);     /* a constant scalar folds */
const Position *pos_add(ExprPool *pool, const Position *a, const Position *b);
const Position *pos_sub(ExprPool *pool, const Position *a, const Position *b);
const Position *pos_scale(ExprPool *pool, const Position *a, int64_t by);
const Position *pos_shift(ExprPool *pool, const Position *a, int64_t by);
const Position *pos_div(ExprPool *pool, const Position *a, int64_t by);   /* floor; by > 0 */
const Position *pos_mod(ExprPool *pool, const Position *a, int64_t by);   /* 0 <= r < by */
bool pos_is_const(const Position *p, int64_t *value);
bool pos_is_var(const Position *p, const Var **var);              /* exactly one variable, coef 1 */
int64_t pos_coef(const Position *p, const Var *var);              /* of the plain VAR atom, 0 if none */
bool pos_uses(const Position *p, const Var *var);                 /* anywhere, nested included */
bool pos_in_range(const Position *p, int64_t extent);             /* proved 0 <= p < extent */
bool pos_affine(const Position *p);                               /* VAR atoms only */

const Scalar *sc_const(ExprPool *pool, DType dtype, double value);
const Scalar *sc_index(ExprPool *pool, const Position *p);
const Scalar *sc_read(ExprPool *pool, DType dtype, NodeId tensor, size_t rank,
                      const Position *const *at, const Scalar *fill);
const Scalar *sc_within(ExprPool *pool, int64_t lo, const Position *p, int64_t hi); /* may fold */
const Scalar *sc_random(ExprPool *pool, uint64_t key, const Position *counter);
/* Arguments are converted to the type that the row's `type` column says (see scalar.def); both
 * operands of a binary op are widened. The result is canonical:
 *   sums and products are n-ary, flattened, sorted, with one constant, which is the first argument;
 *   equal terms are collected, powers are repeated factors; finite values are assumed (0*x = 0,
 *   x/x = 1);
 *   no SUB, NEG, a/b: they are ADD and MUL with -1 and MUL with DIV(1, b);
 *   select(c, a, 0) is pulled to the outside of products, a bool cast to a number is select(c, 1, 0);
 *   ints of indices are one INDEX; comparisons with an INDEX are WITHIN;
 *   constants fold (in double: never a visible change beyond rounding them). */
const Scalar *sc_fn(ExprPool *pool, ScalarOp op, size_t n, const Scalar *const *args);
const Scalar *sc_fn1(ExprPool *pool, ScalarOp op, const Scalar *a);
const Scalar *sc_fn2(ExprPool *pool, ScalarOp op, const Scalar *a, const Scalar *b);
const Scalar *sc_fn3(ExprPool *pool, ScalarOp op, const Scalar *a, const Scalar *b, const Scalar *c);
const Scalar *sc_cast(ExprPool *pool, DType dtype, const Scalar *a);
bool sc_is_const(const Scalar *s, double *value);
bool sc_uses(const Scalar *s, const Var *var);
/* The distinct READs of an expression, those in positions and fills included, arguments first;
 * the list is new and may be permuted. */
size_t sc_reads(ExprPool *pool, const Scalar *s, const Scalar *const **list);
size_t pos_reads(ExprPool *pool, const Position *p, const Scalar *const **list);
double scalar_fold(ScalarOp op, DType dtype, size_t n, const double *args);   /* reference in C */
const char *scalar_op_name(ScalarOp op);
/* Are its results finite for all finite arguments? */
bool scalar_op_total(ScalarOp op);
/* A rough count of vector instructions of this scalar alone, arguments not included. */
double sc_cost(const Scalar *s);

/* Substitution: parallel, memoised per call. from[i] becomes to[i] (a position). */
typedef struct Subst {
    size_t n;
    const Var *const *from;
    const Position *const *to;
} Subst;
const Position *pos_subst(ExprPool *pool, const Position *p, const Subst *subst);
const Scalar *sc_subst(ExprPool *pool, const Scalar *s, const Subst *subst);

/* Rebuild of an expression bottom-up in `pool` (which may be another pool; variables go through
 * var_import): called for every READ with its positions and fill already rebuilt; returns what
 * stands there (cast to the read's dtype). NULL: keep the read. map NULL: only copy. */
typedef const Scalar *ReadMap(void *context, ExprPool *pool, const Scalar *old, size_t rank,
                              const Position *const *at, const Scalar *fill);
const Scalar *sc_rewrite(ExprPool *pool, const Scalar *s, ReadMap *map, void *context);
const Position *pos_rewrite(ExprPool *pool, const Position *p, ReadMap *map, void *context);

/* --- nodes (build.c) -------------------------------------------------------------------------- */
typedef enum NodeKind {
    NODE_INPUT,        /* a field of the batch */
    NODE_PARAM,        /* a model parameter */
    NODE_STATE,        /* a model or optimizer state, or a metric's running total */
    NODE_STEP,         /* rank 0, f64: a value of the step clock (progress, epoch, t, option) */
    NODE_CONSTANT,     /* data known when compiling */
    NODE_EQUATION,
    NODE_INTRINSIC,    /* a C function of the runtime with its derivative (sort, inverse root) */
    NODE_COLLECTIVE    /* across machines */
} NodeKind;

typedef enum ReduceOp {
    REDUCE_NONE, REDUCE_SUM, REDUCE_PROD, REDUCE_MAX, REDUCE_MIN,
    REDUCE_ANY, REDUCE_ALL, REDUCE_ARGMAX, REDUCE_ARGMIN
} ReduceOp;
const char *reduce_name(ReduceOp op);

typedef struct Guard {            /* lo <= position < hi */
    int64_t lo, hi;
    const Position *position;
} Guard;

typedef struct Piece {
    size_t n_vars, n_reduced, n_guards;
    const Var *const *vars;              /* left variables */
    const Var *const *reduced;           /* for argmax the row-major order of these is the value */
    const Position *const *left;         /* one per dimension of the tensor */
    const Guard *guards;
    const Scalar *body;
} Piece;

typedef struct Node {
    NodeKind kind;
    DType dtype;
    size_t rank;
    const int64_t *dims;
    Str name;          /* key of a param or state, field of an input, the user's name otherwise */
    Span span;         /* the text it comes from */
    uint32_t variable; /* PARAM, STATE: index in the model's table of variables */
    ReduceOp reduce;   /* EQUATION: of all pieces */
    size_t n_pieces;
    const Piece *pieces;
    const double *data;         /* CONSTANT: row-major, NULL if all equal `value` */
    double value;
    Str function;               /* INTRINSIC, COLLECTIVE */
    size_t n_args;
    const NodeId *args;         /* INTRINSIC, COLLECTIVE */
} Node;

typedef enum OutputKind {
    OUT_LOSS,          /* rank 0 */
    OUT_GRAD,          /* of target (a PARAM), in f32 at least: for clip, tests and dumps */
    OUT_NEXT,          /* becomes the value of target (PARAM or STATE) after the step */
    OUT_VALUE          /* a named result: metric, prediction, learning rate shown to a person */
} OutputKind;
typedef struct Output {
    OutputKind kind;
    Str name;
    NodeId value;
    NodeId target;     /* NODE_NONE unless GRAD or NEXT */
} Output;

typedef struct Graph {
    Arena *arena;
    ExprPool *pool;
    VEC(Node) nodes;
    VEC(Output) outputs;
} Graph;

Graph *graph_new(Arena *arena);
const Node *graph_node(const Graph *graph, NodeId id);
int64_t node_elements(const Node *node);

/* Builders: arguments are copied; the body is cast to the node's dtype (not for argmax and argmin,
 * whose nodes are I32 or I64). They assert (a compiler bug) on ill-shaped nodes: ranks, extents,
 * ids of later nodes, positions not proved in range without a fill, variables that are not the
 * piece's, several pieces under max/min/prod/argmax. */
NodeId graph_leaf(Graph *graph, NodeKind kind, DType dtype, size_t rank, const int64_t *dims,
                  Str name, uint32_t variable, Span span);
NodeId graph_constant(Graph *graph, DType dtype, size_t rank, const int64_t *dims,
                      const double *data, double value, Span span);   /* data NULL: all `value` */
NodeId graph_equation(Graph *graph, DType dtype, size_t rank, const int64_t *dims, ReduceOp reduce,
                      size_t n_pieces, const Piece *pieces, Str name, Span span);
/* One plain piece: dims are the extents of vars, left positions are the vars themselves. */
NodeId graph_define(Graph *graph, DType dtype, ReduceOp reduce, size_t n_vars,
                    const Var *const *vars, size_t n_reduced, const Var *const *reduced,
                    const Scalar *body, Str name, Span span);
/* A read of `tensor`: no fill where every position is proved in range, else the fill is needed
 * (NULL: only data positions may leave the tensor, checked at run time). */
const Scalar *graph_read(const Graph *graph, NodeId tensor, const Position *const *at,
                         const Scalar *fill);
/* One new variable per dimension of `tensor`, and the positions where it is read as it lies. */
void graph_index(Graph *graph, NodeId tensor, const Var *vars[MAX_RANK],
                 const Position *at[MAX_RANK]);
const Scalar *graph_read_whole(const Graph *graph, NodeId tensor);   /* over variables of its own */
const Scalar *graph_read0(const Graph *graph, NodeId tensor);        /* rank 0 */
bool piece_is_plain(const Node *node, const Piece *piece);   /* left side = its variables, no guards */
NodeId graph_intrinsic(Graph *graph, Str function, DType dtype, size_t rank, const int64_t *dims,
                       size_t n_args, const NodeId *args, Span span);
/* The piece, or the whole node with its pieces, in `to` (which may be another graph than the node's):
 * reads go through map as in sc_rewrite, arguments of intrinsics through ids (NULL: unchanged). */
Piece piece_rewrite(Graph *to, const Piece *piece, size_t rank, ReadMap *map, void *context);
NodeId node_rewrite(Graph *to, const Node *node, ReadMap *map, void *context, const NodeId *ids);
void graph_output(Graph *graph, OutputKind kind, Str name, NodeId value, NodeId target);

/* --- coverage.c ------------------------------------------------------------------------------------ */
/* bound[i]: equal left positions imply equal values of vars[i]. */
void left_bound(size_t rank, const Position *const *left, size_t n, const Var *const *vars,
                bool *bound);
typedef struct Coverage {
    bool clear;              /* elements that no piece writes exist, or may exist */
    size_t first;            /* this piece runs first and stores; SIZE_MAX: none covers everything */
    const bool *injective;   /* by piece: it writes no element twice */
    bool disjoint;           /* no element is written twice: every piece stores */
} Coverage;
Coverage coverage_of(Arena *arena, const Node *node);

/* A piece, and those of its variables that correspond to the rows of other pieces. */
typedef struct PieceRows {
    NodeId node;
    size_t piece;
    const Var *rows[MAX_RANK];
} PieceRows;

/* --- walk.c -------------------------------------------------------------------------------------- */
typedef struct ScalarList {
    size_t n;
    const Scalar *const *at;
} ScalarList;
/* Every distinct scalar below the roots once, arguments first; also inside fills and positions. */
ScalarList sc_list(Arena *arena, size_t n, const Scalar *const *roots);
/* The same of a piece: body, left positions and guards. rank: of its tensor. */
ScalarList piece_list(Arena *arena, const Piece *piece, size_t rank);

/* --- verify.c, dump.c, interp.c --------------------------------------------------------------- */
/* NULL if the graph is well formed, else what is wrong (on the arena). */
const char *graph_verify(const Graph *graph, Arena *arena);
void graph_dump(const Graph *graph, Buf *out);

/* --- size.c ----------------------------------------------------------------------------------- */
#define MOST_ELEMENTS ((int64_t)1 << 48)      /* of a tensor that a program declares or defines */
#define MOST_POINTS ((int64_t)1 << 60)        /* elements of any equation times terms of its sum */
/* Is the product at most `most`? */
bool size_within(size_t n, const int64_t *sizes, int64_t most, int64_t *product);
/* The first node that is beyond MOST_POINTS; NODE_NONE: none is. */
NodeId graph_uncounted(const Graph *graph);

/* --- verify.c, dump.c, interp.c, further ------------------------------------------------------ */
/* Parts of a text form, for the stages after the graph. Variables get names that are unique among
 * those given last. */
typedef struct Dump Dump;
Dump *dump_new(const Graph *graph, Buf *out);
void dump_variables(Dump *dump, size_t n, const Var *const *vars);
void dump_variable(Dump *dump, const Var *var);
void dump_tensor_at(Dump *dump, NodeId tensor, size_t rank, const Position *const *at);
void dump_guard(Dump *dump, const Guard *guard);
void dump_expression(Dump *dump, const Scalar *s);
void node_dump(const Graph *graph, NodeId id, Buf *out);

/* Double-precision evaluation. values[id] must be set (row-major doubles) for INPUT, PARAM, STATE
 * and STEP nodes; the others are computed on `arena`. Integer and bool tensors hold exact doubles.
 * What is kept in bf16 or f16 is rounded to the nearest if `rounds`; without it the values are those
 * that derivatives are derivatives of. seed and step key the random numbers; random values equal
 * those of compiled code exactly. Selections evaluate only what they choose. Returns false, with
 * `fault`, if a position without fill leaves its tensor, or at a collective (extent 0). */
typedef struct InterpFault {
    NodeId node;           /* whose definition it is */
    int64_t value, extent; /* the position and what it should have been below */
} InterpFault;
typedef struct Interp {
    const Graph *graph;
    Arena *arena;
    double **values;       /* one per node */
    uint64_t seed, step;
    bool rounds;
    int64_t points;        /* loop iterations of equations evaluated so far (differentiation.md 12) */
    bool faulted;
    InterpFault fault;
} Interp;
bool interp_run(Interp *interp);
bool interp_node(Interp *interp, NodeId id);

#endif
