/* bench: one entry of a program run on made-up values, kernels and passes timed. */
#ifndef HONE_BENCH_H
#define HONE_BENCH_H

#include "commands/cost.h"

typedef struct Measured {
    double step;                 /* seconds of a pass: the median */
    double *calls;               /* by call of the entry: seconds of that pass */
    int64_t passes;
    uint64_t planned_bytes, base_bytes, peak_bytes;    /* base: of the process without the run */
} Measured;
/* By field of the entry, on the session's kept memory: whole numbers below this may subscript whatever
 * they subscript in the graph. */
int64_t *bench_below(const Session *s, const Graph *graph, const HoneEntry *entry);
/* passes 0: about three seconds' worth, 5 to 200. */
bool bench_entry(const Session *s, const HoneProgram *program, uint32_t entry, int64_t *below,
                 double expected, int64_t passes, Measured *measured, HoneError *error);
double bench_median(size_t n, double *seconds);

/* bench_update.c: `hone bench --update RULE --shapes FILE` */
int bench_update(HoneSys *sys, Mem *mem, const CommandLine *line);

#endif
