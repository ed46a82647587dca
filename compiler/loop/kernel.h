/* kernel: loop nests over buffers, between graph and LLVM.
 *
 *   lower.c     equations of a group -> kernels
 *   call.c      intrinsics -> calls of functions of the runtime
 *   collapse.c  neighbouring loops of contiguous elements become one
 *   chain.c     nests of a contraction, maps of its rows and contractions of those, by blocks of rows
 *   operand.c   factors of products that are maps become operands that packs compute
 *   schedule.c  which variable is lanes, which are unrolled, reduced; from a Target record
 *   chunk.c     which variables are cut for threads; from extents and the Target record alone
 *   verify.c    what every kernel must satisfy
 *   dump.c      the deterministic text form
 *
 * A kernel is one parallel box of chunks and, inside a chunk, nests run one after another. A nest
 * is a perfect loop nest around the stores of one or more pieces that share it. Bodies are the
 * graph's scalar expressions; KBuffer says where the elements of each tensor lie. A nest may read
 * what an earlier nest of its chunk wrote, never what another chunk writes.
 *
 * At every point of a nest (a whole vector or register tile of points) all bodies are evaluated
 * before the first store: a store may then overwrite what any body of its nest read at the same
 * position (an update in place). Only such buffers share memory. No body reads a tensor that its
 * own nest writes: the producer's expression is part of the body instead, and equal Scalars (by
 * pointer) are evaluated once per point for all stores of the nest.
 *
 *   for chunk in 0..chunks (any thread)          the chunk loops, outermost first
 *     nest 0: for … { for … (reduce) … }  store
 *     for block of k                             a block loop around nests 1 and 2
 *       nest 1: pack[k, m] = a[m, k]
 *       nest 2: y[m, n] = sum pack[k, m] * b[k, n]
 *     nest 3: …
 *
 * Block loops are serial and cut a variable's part (of the chunk, or of a block outside) once more:
 * all nests inside see this block's part of it. Nests inside may do anything that nests of a chunk
 * do, with the block's elements still in cache: copy an operand's block into scratch in the order in
 * which it will be read (a pack), evaluate a map while doing so (its body is any expression), go
 * over the results just stored. Blocks of a reduced variable hold partial sums in the output: the
 * first starts from zero, each later one goes on from what is stored, in the order of an unblocked
 * sum, so blocks do not change a bit. A nest over the finished sums belongs after such a block loop.
 */
#ifndef HONE_KERNEL_H
#define HONE_KERNEL_H

#include "graph/graph.h"
#include "target/target.h"

typedef enum KPlaceKind {
    KPLACE_GLOBAL,       /* the call's buffer pointer `slot` */
    KPLACE_SCRATCH       /* this thread's scratch at byte `slot` (a row kept between nests) */
} KPlaceKind;

typedef struct KBuffer {
    NodeId tensor;       /* unique in a kernel; from the graph's number of nodes up: of this kernel
                          * alone, known by that number (a pack) */
    DType dtype;
    KPlaceKind place;
    uint64_t slot;
    size_t rank;              /* of the reads and stores in this kernel; may be below the node's
                               * rank where loops were collapsed */
    const int64_t *dims;      /* extents by dimension: for fills and range checks */
    const int64_t *strides;   /* elements; 0 for a dimension that the chunk loops fix (scratch) */
    uint64_t elements;        /* of storage, for checks and prefetch */
    bool written;
    bool relative;            /* scratch: variables count from the start of their chunk's or block's
                               * part, so that only the part is stored; positions are in range */
    int64_t panel;            /* 0, or: dimension `panel_at` lies in panels of so many elements, */
    size_t panel_at;          /* `panel_stride` (a multiple of panel) apart; strides[panel_at] holds */
    int64_t panel_stride;     /* within a panel; loops over that variable step by whole panels */
} KBuffer;

typedef enum KLoopKind {
    KLOOP_SERIAL,
    KLOOP_LANES,         /* vectors of the target's width; at most one per nest; remainder masked */
    KLOOP_UNROLL         /* unroll-and-jam: all values of the variable (or of each block of `tile`)
                          * at once, one accumulator each; left variables only */
} KLoopKind;

typedef struct KLoop {
    const Var *var;
    KLoopKind kind;
    int64_t tile;        /* LANES: vectors per step (>= 1); UNROLL: values per step; SERIAL: of a
                          * reduced variable, values one after another per trip; else 1 */
    int64_t width;       /* LANES: elements per step where that is not tile whole vectors; else 0 */
    int64_t times;       /* SERIAL, innermost: so many times var's values, those of the folded loops around
                          * it; 0: once */
    bool folded;         /* only the first value: the innermost loop goes through the others */
    bool reduced;        /* a reduced variable: reduced loops come after all left loops. LANES of a
                          * reduced variable: `tile` vector accumulators, folded at the end */
} KLoop;

/* A chunk loop cuts [0, extent) of var into ceil(extent / tile) runs; the chunk index enumerates
 * the runs of all chunk loops, the last fastest. */
typedef struct KChunk {
    const Var *var;
    int64_t tile;
} KChunk;

/* Nests first .. end-1 run once for each run of `tile` values of var's part outside. Outermost
 * first; two blocks lie one inside the other or apart. */
typedef struct KBlock {
    const Var *var;
    int64_t tile;
    size_t first, end;
    bool reduced;                /* stores that reduce over var add to what earlier runs stored */
} KBlock;

typedef struct KStore {
    uint32_t buffer;
    ReduceOp reduce;             /* over the nest's reduced loops; NONE: there are none */
    bool accumulate;             /* add to what is stored (sum); different points may have equal
                                  * left positions unless they differ in LANES, UNROLL or chunk
                                  * variables */
    const Position *const *left; /* one per dimension of the buffer */
    size_t n_guards;
    const Guard *guards;         /* store only where they hold */
    const Scalar *body;
} KStore;

/* At every trip of the innermost loop: asks for `lines` cache lines, one after another, at the address of
 * `read` plus `ahead` elements plus `drift` times the innermost variable. May point beside the tensor.
 * With `over`, only the first tile of that loop in the chunk asks; with `parts`, the first so many: each
 * asks for one of as many equal parts of the innermost loop's values, `ahead` of them. */
typedef struct KPrefetch {
    const Scalar *read;
    int64_t ahead, drift;
    int64_t stride;              /* of the read along the innermost variable */
    int64_t lines;
    const Var *over;             /* NULL: all tiles ask */
    int64_t parts;               /* divides the values of a trip; 0: no parts */
} KPrefetch;

typedef struct Nest {
    size_t n_loops, n_stores, n_prefetches;
    const KLoop *loops;          /* outermost first; var of a chunk loop appears too: its loop runs
                                  * over the chunk's part only */
    const KStore *stores;        /* evaluated in order for each point */
    const KPrefetch *prefetches; /* change no result */
} Nest;

typedef enum KernelKind {
    KERNEL_MAP, KERNEL_ROWWISE, KERNEL_CONTRACT, KERNEL_GATHER, KERNEL_SCATTER, KERNEL_TRANSFER,
    KERNEL_STATISTIC,
    KERNEL_CALL          /* a function of the runtime; no nests */
} KernelKind;
const char *kernel_kind_name(KernelKind kind);

typedef struct Kernel {
    KernelKind kind;
    Str name;                    /* "conv.3" */
    Span span;                   /* the equation it mainly computes */
    size_t n_chunk_loops, n_blocks, n_nests, n_buffers, n_globals;
    const KChunk *chunk_loops;
    const KBlock *blocks;
    const Nest *nests;
    const KBuffer *buffers;      /* globals are slots 0 .. n_globals-1; n_globals counts the random
                                  * and fault buffers when used: they are the last slots, in this order */
    Str function;                /* CALL: hone_call_NAME of hone/linalg.h; buffers as it takes them */
    bool uses_random, uses_fault;
    uint32_t place;              /* index of the span among the program's places, for faults */
    uint64_t scratch_bytes;
    double flops, bytes;
} Kernel;

int64_t kernel_chunks(const Kernel *kernel);

/* Equations that are computed together (a Group of passes/), with what is known of their tensors.
 * By position in `nodes`: nests: equal numbers share one nest; rows: the dimensions, n_rows each,
 * that correspond in all of them. n_rows == 0 with several nests: not aligned, one chunk. */
typedef struct Lowering {
    const Graph *graph;
    const Target *target;
    const int64_t *const *strides;   /* by node: storage in elements */
    const uint64_t *elements;        /* by node: of storage */
    const bool *stored;              /* by node: read by another nest, or an output */
    const bool *local;               /* by node: read by nests of its own group only */
    size_t n, n_rows;
    const NodeId *nodes;
    const uint32_t *nests;
    const uint8_t *const *rows;
    size_t n_parts, n_part_rows;     /* a chain: its pieces, in order, a nest each, and their rows; 0: */
    const PieceRows *parts;          /* none. Chunks are one value of all rows but the last */
} Lowering;
/* The kernels that compute the group, in order: one, or for an equation of several pieces one per
 * piece. Global slots number the kernel's buffers in order; the caller knows where each lies. */
typedef VEC(Kernel *) Kernels;
void kernel_lower(Arena *arena, const Lowering *lowering, Kernels *kernels);

const char *kernel_verify(const Kernel *kernel, Arena *arena);
void kernel_dump(const Graph *graph, const Kernel *kernel, Buf *out);
/* Equal keys compile to equal code: structure, extents, strides, dtypes, the place of a kernel that
 * can fault; not names, spans, ids. */
Str kernel_key(const Kernel *kernel, Arena *arena);

/* A data-dependent position of a READ without fill, or of a store's left side, is range-checked by
 * the kernel: the address is clamped and the fault buffer records {place + 1, position value, extent,
 * element}. */

#endif
