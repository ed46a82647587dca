/* kernels: equations as compiled code, in memory that ends at pages without access, against the
 * interpreter. Each equation becomes its own kernels; tensors are row-major. */
#ifndef TEST_KERNELS_H
#define TEST_KERNELS_H

#include "emit/emit.h"
#include "support/equations.h"

typedef struct KernelRun {
    Arena *arena;
    const Graph *graph;
    const Target *target;
    size_t n;
    const Kernel *const *kernels;
    Code *code;
    void **memory;    /* by node */
    uint64_t *mapped; /* by node: bytes of its mapping */
    uint64_t random[2];
    int64_t fault[4];
    const char *why; /* what LLVM or the kernel verifier said */
} KernelRun;

/* The target with caches so small that tensors of tests leave them. */
Target kernels_small_caches(const Target *target);

/* arena, graph and target given: fills kernels and n. */
void kernels_lower(KernelRun *run);
/* Lowers and compiles; false: why. */
bool kernels_open(KernelRun *run, Arena *arena, const Graph *graph, const Target *target);
void kernels_close(KernelRun *run);
/* Leaves from doubles by node, everything else filled with a pattern. */
void kernels_fill(KernelRun *run, double *const *leaves);
typedef enum ChunkOrder { CHUNKS_UP, CHUNKS_DOWN, CHUNKS_THREADS } ChunkOrder;
void kernels_run(KernelRun *run, ChunkOrder order);
double kernels_value(const KernelRun *run, NodeId id, size_t element);
/* FNV over the bytes of every equation's tensor. */
uint64_t kernels_hash(const KernelRun *run);

/* The largest difference from the interpreter over all equations, relative to each tensor's scale.
 */
double kernels_difference(const KernelRun *run, const Interp *interp, NodeId *worst);

double value_get(DType dtype, const void *at, size_t element);
void value_set(DType dtype, void *at, size_t element, double value);

#endif
