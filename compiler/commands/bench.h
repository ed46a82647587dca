/* bench: one entry of a program run on made-up values, kernels and passes timed. */
#ifndef HONE_BENCH_H
#define HONE_BENCH_H

#include "commands/cost.h"

typedef struct Measured {
    double step;                 /* seconds of a pass: the median */
    double *calls;               /* by call of the entry: seconds of that pass */
    int64_t passes;
    uint64_t planned_bytes;
} Measured;
/* passes 0: about three seconds' worth, 5 to 200. */
bool bench_entry(const Session *s, const HoneProgram *program, uint32_t entry, const Graph *graph,
                 double expected, int64_t passes, Measured *measured, HoneError *error);
double bench_median(size_t n, double *seconds);

/* bench_update.c: `hone bench --update RULE --shapes FILE` */
int bench_update(HoneSys *sys, Mem *mem, const CommandLine *line);

#endif
