/* What the files of emit/ share: one Emit holds a module, the kernel and the nest in work.
 *
 * Values. A scalar expression becomes an LLVM value of one lane (it does not depend on the LANES
 * variable) or of target->lanes lanes; lanes_of() tells which. Register types: bool i1, bf16 and
 * f16 float, the others themselves.
 *
 * Placement. An expression is emitted once, in the outermost loop that binds its variables: the
 * memo (memo.c) remembers it per region, that is per loop as being emitted, and per coordinate of
 * the unrolled loops and vectors that it depends on.
 */
#ifndef HONE_EMIT_INTERNAL_H
#define HONE_EMIT_INTERNAL_H

#include "emit/emit.h"

#include <hone/hone.h>
#include <llvm-c/Core.h>
#include <llvm-c/TargetMachine.h>

enum { MAX_LOOPS = 2 * MAX_RANK + 8, MAX_VECTORS = 16 };

typedef struct Point { /* coordinate in each loop: the row of an UNROLL loop, the
                        * vector of the LANES loop, else 0 */
    int64_t at[MAX_LOOPS];
} Point;

typedef struct Level {               /* a loop whose body is being emitted; level 0: the nest */
    uint64_t region;                 /* unique; 0: closed */
    LLVMBasicBlockRef setup;         /* ends with the jump into the open loop inside; NULL: none */
    LLVMValueRef base;               /* i64: the variable at coordinate 0, lane 0 */
    int64_t count;                   /* coordinates */
    int64_t turn;                    /* SERIAL of several values a trip: which of them */
    LLVMValueRef masks[MAX_VECTORS]; /* LANES: by vector; NULL: all lanes on */
} Level;

typedef struct MemoEntry {
    const void *key;       /* Scalar, Atom or KStore; unique pointers */
    uint64_t deps, region; /* deps: bit i for loop i of the nest */
    LLVMValueRef *values;  /* by coordinates of the loops in deps */
    size_t room;
    struct Access *access;   /* of a READ or a store */
    struct Reached *reached; /* of a scalar, where the kernel can fault */
} MemoEntry;

typedef struct AccessCheck { /* a dimension that may be left */
    const Position *position;
    int64_t extent, stride;
    const Scalar *read;      /* NULL of a store */
    MemoEntry memo, checked; /* the clamped position; that it was checked */
} AccessCheck;
typedef struct Memo {
    MemoEntry **slots;
    size_t n, n_slots;
} Memo;

typedef struct Run { /* this chunk's or block's part of a variable */
    const Var *var;
    LLVMValueRef index, start, end; /* i64; a block has no index */
    int64_t length;                 /* as emitted now; 0: known at run time only */
    LLVMValueRef first;             /* i1: the first block of a reduced variable; else NULL */
} Run;

typedef struct Emit {
    Arena *arena;
    const Target *target;
    LLVMContextRef llvm;
    LLVMModuleRef module;
    LLVMBuilderRef ir;
    LLVMTypeRef i1, i8, i16, i32, i64, f32, f64, ptr;

    const Graph *graph;
    const Kernel *kernel;
    LLVMValueRef function;
    LLVMBasicBlockRef block;           /* end of the code emitted so far */
    LLVMValueRef *buffers;             /* pointer of each KBuffer */
    LLVMValueRef random, fault, dummy; /* u64[2]; i64[4]; a place for faults that did not happen */
    Run *runs; /* of the chunk loops, then of the open blocks, outermost first */
    size_t n_runs;
    LLVMValueRef first; /* i1: in the first block of all that the nest sums over; NULL: no such blocks */

    const Nest *nest;
    Level levels[MAX_LOOPS + 1]; /* levels[i + 1] is loop i */
    size_t depth;                /* innermost open level */
    size_t placed;               /* level where code goes now */
    size_t lane_loop;            /* SIZE_MAX: none */
    uint64_t once;               /* loops of one step from 0: nothing need wait for them */
    uint64_t regions;
    Memo memo;
    struct { /* to = from + bytes * by */
        LLVMValueRef from, by, to;
        int64_t bytes;
        uint64_t region;
    } steps[64];
    size_t n_steps;
} Emit;

/* --- types.c --------------------------------------------------------------------------------- */
LLVMTypeRef type_of(Emit *e, DType dtype, unsigned lanes);     /* in registers */
LLVMTypeRef type_stored(Emit *e, DType dtype, unsigned lanes); /* in memory */
LLVMTypeRef type_lanes(LLVMTypeRef element, unsigned lanes);
unsigned lanes_of(LLVMValueRef v);
LLVMTypeRef element_of(LLVMValueRef v);
LLVMValueRef make_int(LLVMTypeRef type, int64_t value); /* splat for vector types */
LLVMValueRef make_real(LLVMTypeRef type, double value);
LLVMValueRef make_const(Emit *e, DType dtype, double value);
LLVMValueRef make_iota(Emit *e, LLVMTypeRef element, unsigned lanes, int64_t step);
LLVMValueRef make_mask(Emit *e, unsigned lanes, int64_t on); /* the first `on` lanes */
LLVMValueRef widen(Emit *e, LLVMValueRef v, unsigned lanes); /* broadcast of a scalar */
void match_lanes(Emit *e, size_t n, LLVMValueRef *values);   /* all to the widest */
LLVMValueRef intrinsic(Emit *e, const char *name, size_t n_types, LLVMTypeRef *types, size_t n,
                       LLVMValueRef *args);
LLVMValueRef convert(Emit *e, LLVMValueRef v, DType from, DType to);
LLVMValueRef value_loaded(Emit *e, LLVMValueRef stored, DType dtype);
LLVMValueRef value_stored(Emit *e, LLVMValueRef v, DType dtype);

/* --- memo.c ---------------------------------------------------------------------------------- */
MemoEntry *memo_scalar(Emit *e, const Scalar *s);
MemoEntry *memo_atom(Emit *e, const Atom *atom);
MemoEntry *memo_store(Emit *e, const KStore *store);
uint64_t deps_position(Emit *e, const Position *p);
size_t deps_level(Emit *e, uint64_t deps);
LLVMValueRef *memo_slot(Emit *e, MemoEntry *entry, const Point *point);
size_t place(Emit *e, size_t level); /* sends code to a level; returns the former one */
bool on_lanes(const Emit *e, uint64_t deps);

/* --- position.c ------------------------------------------------------------------------------ */
LLVMValueRef emit_atom(Emit *e, const Atom *atom, const Point *point);
/* i64 if uniform over lanes, else <lanes x i32 or i64>. */
LLVMValueRef emit_position(Emit *e, const Position *p, const Point *point);
/* lo <= p < hi as i1 or <lanes x i1>; NULL: always. */
LLVMValueRef emit_within(Emit *e, const Position *p, int64_t lo, int64_t hi, const Point *point);
size_t loop_of(const Emit *e, const Var *var);      /* SIZE_MAX: none */
const Run *run_of(const Emit *e, const Var *var);   /* the innermost; NULL: none */

/* --- access.c -------------------------------------------------------------------------------- */
typedef struct AccessTerm {
    int64_t coef; /* elements */
    int64_t base; /* per unit of a loop's variable at coordinate 0: differs in panels */
    const Atom *atom;
} AccessTerm;
typedef struct Access {
    const KBuffer *buffer;
    LLVMValueRef pointer;
    int64_t constant; /* elements */
    size_t n, n_checks, n_clamped;
    AccessTerm *terms;   /* uniform atoms, and VAR atoms of any loop */
    AccessTerm *varying; /* lane-dependent atoms other than the variable itself */
    size_t n_varying;
    AccessCheck *checks;  /* outside: not accessed */
    AccessCheck *clamped; /* outside: nearest end, and a fault is recorded */
    int64_t step;         /* elements between lanes, of the VAR atom */
    bool gather, to_zeros;
    MemoEntry zeros; /* the pointer at zeros_level, or to the zeros */
    size_t zeros_level;
} Access;

/* read: NULL of a store. */
Access *access_new(Emit *e, const KBuffer *buffer, size_t rank, const Position *const *at,
                   const Scalar *read);
/* The address of lane 0; of the lanes, in elements from there: <lanes x i32> or i64. */
LLVMValueRef access_pointer(Emit *e, const Access *a, const Point *point);
LLVMValueRef access_offsets(Emit *e, const Access *a, const Point *point);
/* Conditions to be inside: uniform ones are added to *ok, those of lanes to *mask. */
void access_conditions(Emit *e, const Access *a, const Point *point, LLVMValueRef *ok,
                       LLVMValueRef *mask);
/* Can the read of a fill of 0 go to zeros instead, once for all loops inside the conditions? */
bool access_to_zeros(Emit *e, const Scalar *s, Access *a);
LLVMValueRef access_or_zeros(Emit *e, Access *a, const Point *point);
LLVMValueRef both(Emit *e, LLVMValueRef a, LLVMValueRef b); /* and; NULL: always */
LLVMValueRef lane_mask(const Emit *e, const Point *point);  /* NULL: all on */
const KBuffer *buffer_of(const Emit *e, NodeId tensor);

/* --- memory.c -------------------------------------------------------------------------------- */
LLVMValueRef emit_read(Emit *e, const Scalar *s, MemoEntry *entry, const Point *point);
void emit_store(Emit *e, const KStore *store, const Point *point, LLVMValueRef value);
Access *access_of_read(Emit *e, const Scalar *s, MemoEntry *entry);
const Access *access_of_store(Emit *e, const KStore *store);
LLVMValueRef load_stored(Emit *e, const Access *a, LLVMValueRef pointer, const Point *point);

/* --- prefetch.c ------------------------------------------------------------------------------ */
void emit_prefetches(Emit *e); /* of the nest, at its innermost loop */

/* --- transpose.c ----------------------------------------------------------------------------- */
size_t transpose_loop(const Emit *e, const Access *a); /* along which it is contiguous; SIZE_MAX */
LLVMValueRef emit_transposed(Emit *e, const Access *a, MemoEntry *entry, size_t loop,
                             const Point *point);

/* --- fault.c --------------------------------------------------------------------------------- */
void fault_prepare(Emit *e);                                       /* of a nest */
uint64_t fault_deps(Emit *e, const Scalar *read);                  /* of its conditions */
void fault_check(Emit *e, AccessCheck *check, const Point *point); /* of a read */
void fault_record(Emit *e, LLVMValueRef outside, const AccessCheck *check, const Point *point);

/* --- scalar.c -------------------------------------------------------------------------------- */
LLVMValueRef emit_scalar(Emit *e, const Scalar *s, const Point *point);
LLVMValueRef emit_minmax(Emit *e, bool max, DType dtype, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef emit_op(Emit *e, ScalarOp op, DType dtype, DType from, size_t n, LLVMValueRef *args);

/* --- random.c -------------------------------------------------------------------------------- */
LLVMValueRef emit_random(Emit *e, const Scalar *s, const Point *point);

/* --- maths.c, maths_trig.c, maths_wide.c: any number of lanes --------------------------------- */
typedef struct Maths { /* short names for building polynomials on one shape */
    Emit *e;
    LLVMTypeRef real, ints; /* f32 and i32 of the operand's lanes */
    unsigned lanes;
} Maths;
Maths maths_for(Emit *e, LLVMValueRef x);
LLVMValueRef mconst(Maths *m, double c);
LLVMValueRef madd(Maths *m, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef msub(Maths *m, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef mmul(Maths *m, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef mdiv(Maths *m, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef mfma(Maths *m, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c); /* a * b + c */
LLVMValueRef mpoly(Maths *m, LLVMValueRef x, const double *c, size_t n);     /* c[0] + c[1] x … */
LLVMValueRef mless(Maths *m, LLVMValueRef a, LLVMValueRef b);                /* false for NaN */
LLVMValueRef mequal(Maths *m, LLVMValueRef a, double b);                     /* false for NaN */
LLVMValueRef mpick(Maths *m, LLVMValueRef cond, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef mabs(Maths *m, LLVMValueRef a);
LLVMValueRef msign_of(Maths *m, LLVMValueRef magnitude, LLVMValueRef sign);
LLVMValueRef mbits(Maths *m, LLVMValueRef a); /* as i32 */
LLVMValueRef mreal(Maths *m, LLVMValueRef bits);
LLVMValueRef mint(Maths *m, int64_t value);
LLVMValueRef msqrt(Maths *m, LLVMValueRef a);
LLVMValueRef maths_call(Emit *e, ScalarOp op, size_t n, LLVMValueRef *args); /* f32 */
LLVMValueRef maths_round(Emit *e, ScalarOp op, LLVMValueRef x);              /* FLOOR CEIL ROUND */
LLVMValueRef maths_trig(Emit *e, ScalarOp op, size_t n, LLVMValueRef *args);
LLVMValueRef maths_pow(Emit *e, LLVMValueRef x, LLVMValueRef y);
LLVMValueRef maths_libm(Emit *e, ScalarOp op, size_t n, LLVMValueRef *args); /* f64, by lanes */
enum { LIBM_MOST = 32 };
typedef struct LibmSymbol { /* a function that kernels may call */
    const char *name;
    uintptr_t address;
} LibmSymbol;
size_t libm_symbols(LibmSymbol symbols[LIBM_MOST]);
/* call.c: these and the functions of matrices */
size_t call_symbols(LibmSymbol symbols[LIBM_MOST]);
void emit_call(Emit *e);                     /* the body of a kernel that is a call */

/* --- nest.c, block.c, reduce.c, kernel.c --------------------------------------------------------------- */
LLVMBasicBlockRef new_block(Emit *e, const char *name);
void enter_block(Emit *e, LLVMBasicBlockRef block);
void emit_nest(Emit *e, const Nest *nest);
int64_t loop_step(const Emit *e, const KLoop *loop); /* values of its variable per trip */
int64_t loop_length(const Emit *e, const KLoop *loop);      /* values in its part; 0: known at run time */
void emit_chunk(Emit *e); /* all blocks and nests */
typedef struct Sums { /* accumulators of a reducing nest */
    size_t n;         /* instances of all stores */
    LLVMValueRef *at;
} Sums;
size_t point_count(const Emit *e); /* instances: rows x vectors */
void point_set(const Emit *e, size_t i, Point *point);
Sums sums_begin(Emit *e);
void sums_add(Emit *e, Sums *sums);          /* the body at the innermost loop */
void sums_finish(Emit *e, const Sums *sums); /* fold lanes, store */
LLVMValueRef emit_kernel(Emit *e, const Graph *graph, const Kernel *kernel, const char *name);

/* --- object.c -------------------------------------------------------------------------------- */
typedef struct Machine { /* LLVM's target machine for a Target; one per thread */
    LLVMTargetMachineRef llvm;
    LLVMTargetDataRef layout;
} Machine;
void machine_prepare(void); /* LLVM's own tables, once; any thread */
/* Machines and modules are closed with the arena's Mem at the latest; closing twice is nothing. */
Machine *machine_open(Arena *arena, const Target *target, const char **why); /* NULL: why */
void machine_close(void *machine);
Emit *module_open(Arena *arena, const Target *target, const Machine *machine);
void module_close(void *emit);
/* Checks the module. NULL, or the verifier's text on the arena. */
const char *module_verify(Emit *e);
LLVMMemoryBufferRef module_emit(Emit *e, const Machine *machine, LLVMCodeGenFileType type,
                                const char **why);

/* --- probe.c --------------------------------------------------------------------------------- */
LLVMMemoryBufferRef probe_object(Arena *arena, const Target *target, int reads, int writes,
                                 const char **why); /* probe_multiply, probe_stream */

/* --- cache.c --------------------------------------------------------------------------------- */
Str cache_stamp(Arena *arena, const Target *target); /* empty: this program has no build id */
HoneDigest cache_key(Arena *arena, Str stamp, size_t n, const Str *symbols, const Str *kernels);
Str cache_symbol(Arena *arena, Str name, Str kernel);

#endif
