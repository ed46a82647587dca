/* plan: what runs when, in which bytes.
 *
 *   entry.c    one graph -> one entry with its kernels
 *   settle.c   next values in place where that is legal, copies elsewhere
 *   decide.c   which kernels run only under a condition of the step clock
 *   order.c    execution order (memory first, deterministic)
 *   memory.c   lifetimes -> offsets of activations (first fit by decreasing size)
 *   ports.c    batch fields, step values, outputs, constants
 *   tensors.c  offsets of parameters and states
 */
#ifndef HONE_PLAN_H
#define HONE_PLAN_H

#include "emit/emit.h"
#include "passes/passes.h"

/* The persistent tensors of a program (parameters, states, totals), shared by all entries; index =
 * Node.variable. The first entry that uses a tensor fixes its strides. */
typedef struct PlanTensor {
    DType dtype;
    size_t rank;
    const int64_t *dims;
    uint32_t arena;              /* HONE_ARENA_PARAMS or _STATE */
    const int64_t *strides;      /* NULL until an entry fixed them */
    uint64_t bytes, offset;      /* of storage */
} PlanTensor;

typedef struct PlanEntry {
    Str name;
    const Graph *graph;          /* as scheduled */
    size_t n_kernels;
    const Kernel *const *kernels;        /* in order */
    const HoneRef *const *buffers;       /* by kernel: its global buffers (PARAMS/STATE refs final
                                          * after plan_place_tensors) */
    const uint32_t *const *tensors;      /* by kernel and buffer: PlanTensor index or HONE_NONE */
    const Demand *demands;       /* by kernel: it runs where this holds; decisions are nodes of graph */
    const HoneRef *decisions;    /* by node of graph: where a decision's byte lies */
    uint64_t activation_bytes, scratch_bytes;
    size_t n_fields, n_steps, n_outputs;
    const HonePort *fields, *steps, *outputs;
    double flops, bytes;
} PlanEntry;

/* What a port is for: ports share a place only within one use. Of several outputs of an entry that
 * have one name, the i-th has use PORT_OUTPUT + i. */
enum { PORT_FIELD, PORT_STEP, PORT_DECISION, PORT_OUTPUT };
typedef struct PlacedPort {
    size_t use;
    HonePort port;
} PlacedPort;

typedef struct Planner {
    Arena *arena;
    const Target *target;
    Moves without;               /* moves of fusion that are left out */
    size_t n_tensors;
    PlanTensor *tensors;
    uint64_t io_bytes;           /* HONE_ARENA_IO so far; entries share ports of one use, name and shape */
    Buf constants;               /* HONE_ARENA_CONSTANTS */
    VEC(PlacedPort) ports;
    VEC(Span) places;            /* of all kernels: HoneProgram.places in this order */
} Planner;

/* Lowers, schedules and plans one differentiated graph. */
PlanEntry *plan_entry(Planner *planner, Str name, const Graph *graph);
/* After the last entry: offsets of persistent tensors, final refs. */
void plan_place_tensors(Planner *planner, size_t n, PlanEntry *const *entries);
void plan_dump(const Planner *planner, const PlanEntry *entry, Buf *out);

#endif
