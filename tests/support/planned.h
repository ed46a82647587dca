/* planned: a whole graph as one planned entry (fused, laid out, in place, in arenas), run in
 * compiled code and compared with the interpreter. */
#ifndef TEST_PLANNED_H
#define TEST_PLANNED_H

#include "plan/plan.h"

typedef struct PlannedResult {
    double error; /* largest of all outputs, relative to each one's scale */
    size_t kernels, most_nests;
    char why[256]; /* what went wrong; empty: nothing */
} PlannedResult;

/* interp has run on the graph; gradients and next values count as outputs. */
PlannedResult planned_compare(Arena *arena, const Graph *graph, const Interp *interp,
                              const Target *target);

/* The same step by step: the leaves' values are those of the interpreter's node values. */
typedef struct Planned Planned;
Planned *planned_open(Arena *arena, const Graph *graph, const Target *target, const char **why);
void planned_run(Planned *planned, const Interp *leaves);
bool planned_output(const Planned *planned, size_t output, double *to); /* false: no such output */
void planned_close(Planned *planned);

/* All passes of stages.def. */
const Graph *planned_passes(Arena *arena, const Graph *graph, const Target *target);

#endif
