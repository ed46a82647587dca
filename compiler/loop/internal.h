/* internal: kernels under construction, shared by the files of this folder. */
#ifndef HONE_LOOP_INTERNAL_H
#define HONE_LOOP_INTERNAL_H

#include "loop/kernel.h"

/* A nest before its loops have an order: variables of extent 1 are gone. */
typedef struct WorkNest {
    VEC(const Var *) left, reduced;
    VEC(bool) bound;              /* by left: equal left positions imply equal values of it */
    VEC(KStore) stores;
    VEC(KPrefetch) prefetches;
    const KLoop *loops;           /* of schedule.c */
    size_t n_loops;
    double work;                  /* in elements of a plain map, about */
    bool partial;                 /* its sums go on in other blocks: each lane has its own */
} WorkNest;

/* A factor of a product that is no tensor: a buffer of nothing yet stands for it. */
typedef struct Operand {
    uint32_t buffer;
    const Scalar *factor;
    const Scalar *source;         /* the READ in it that has all of its variables */
} Operand;

typedef struct WorkKernel {
    Arena *arena;
    const Graph *graph;
    const Target *target;
    VEC(WorkNest) nests;
    VEC(KBuffer) buffers;
    VEC(const Var *) rows;        /* variables of every nest that chunks may cut; a kernel of one
                                   * nest: none, any bound left variable may be cut */
    VEC(KChunk) chunks;
    VEC(KBlock) blocks;
    VEC(Operand) operands;
    uint64_t scratch_bytes;       /* of packs */
} WorkKernel;

/* access.c */
/* Elements by which the address moves when var grows by one; false if that is not a constant. */
bool access_stride(const KBuffer *buffer, const Position *const *at, const Var *var,
                   int64_t *stride);
const KBuffer *work_buffer(const WorkKernel *work, NodeId tensor);
/* Every distinct scalar of the nest's bodies, left sides and guards. */
ScalarList nest_list(Arena *arena, size_t n_stores, const KStore *stores, const KBuffer *buffers);
double nest_points(const WorkNest *nest);

/* collapse.c */
void work_collapse(WorkKernel *work);

/* operand.c: before schedule.c, factors that are maps become operands; after block.c has refused, they
 * are factors again. */
void work_operands(WorkKernel *work);
bool work_operands_undo(WorkKernel *work);          /* false: there are none */
const Operand *work_operand(const WorkKernel *work, const Scalar *read);     /* NULL: a tensor */

/* schedule.c: orders loops, chooses lanes and register tiles. */
void work_schedule(WorkKernel *work);

/* block.c: after schedule.c. False: nothing there to be done in blocks, and nothing is changed; else it
 * chose the chunks and packed all operands of operand.c. */
bool work_block(WorkKernel *work);
/* Can blocks of this operand be copied into vectors over `lanes`, for enough rows to be worth it? */
bool may_pack(const WorkKernel *work, const WorkNest *nest, const Scalar *read, const Var *lanes);

/* Of nest *index, if it is a contraction: packs the operand that its lanes run along, or with `rows` the
 * other one, if that is worth it. The nest that does so comes just before, or before all if the operand
 * does not use `blocked`; *index grows by one. */
/* fold.c: the inner sums of the nest as one loop where what is read lies on. */
void work_fold(WorkKernel *work, size_t nest);

void work_pack(WorkKernel *work, size_t *index, const Var *blocked, bool rows);

/* chain.c: instead of all these, for the nests of a chain. */
void work_chain(WorkKernel *work, const Lowering *in);

/* chunk.c */
/* Nearly equal parts of at most `most`, in steps of `step`. */
int64_t even_part(int64_t extent, int64_t most, int64_t step);
void work_chunk(WorkKernel *work);
/* How many values of the variable the chunks leave, and the blocks around all nests first .. last; 0: not the
 * same for all of them. */
int64_t work_part(const WorkKernel *work, const Var *var, size_t first, size_t last);
void work_block_rows(WorkKernel *work);              /* after work_chunk */
typedef struct ChunkRule {        /* out[rows, columns] = sum row_operand * column_operand */
    const WorkNest *nest;
    const Scalar *row_operand, *column_operand;
    int64_t least_rows, most_rows, least_columns;     /* of a chunk, about */
    int64_t fewer_columns, fewest_columns;            /* rather than few chunks, or one or two */
} ChunkRule;
void work_chunk_contraction(WorkKernel *work, const ChunkRule *rule);
/* Moves the buffer to scratch at *bytes if it fits there; its readers are nests of this kernel. */
bool work_scratch(WorkKernel *work, uint32_t buffer, uint64_t *bytes);

/* call.c */
Kernel *call_kernel(Arena *arena, const Lowering *in, NodeId id);

/* kernel.c: collapse, schedule, chunks, counts; `id`: the equation it is named after. */
Kernel *work_finish(WorkKernel *work, const Lowering *in, NodeId id);

#endif
