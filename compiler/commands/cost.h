/* cost: what kernels cost, counted and measured, for the commands that report it.
 *
 *   limits.c   what this machine can do at most: multiply-adds and bytes a second, measured here only
 *   cost.c     FLOPs, bytes, what bounds a kernel and what it should take
 *   phases.c   which part of a step it is
 *   rows.c     kernels that are alike as one row
 *   plain.c    W522: large sums of products that run as plain loops
 *   explain.c bench.c profile.c   the reports
 */
#ifndef HONE_COST_H
#define HONE_COST_H

#include "commands/session.h"

/* Rates of all threads together, and of one; FLOPs, and bytes moved, a second. */
typedef struct Limits {
    int threads;
    double flops, flops_one;
    double memory, memory_one;   /* four streams read from memory */
    double cache, cache_one;     /* the same from the last cache */
    double call, share;          /* seconds to run a kernel that does nothing: alone, by all threads */
} Limits;
/* About a fifth of a second. A fast rate of several turns: neighbours only ever slow it down. */
bool limits_measure(const Session *s, const Target *target, Limits *limits, HoneError *error);
/* Measures once more and keeps the faster: for limits around something that took long. */
bool limits_again(const Session *s, const Target *target, Limits *limits, HoneError *error);
/* Seconds that a thread pool takes to read `reads` floats and write `writes` floats of each of n
 * elements in place, the fastest of `turns`; streams as an update rule has them. */
bool limits_stream(const Session *s, const Target *target, int reads, int writes, int64_t n,
                   int turns, double *seconds, HoneError *error);

typedef enum Phase { PHASE_FORWARD, PHASE_BACKWARD, PHASE_UPDATE, PHASES } Phase;
const char *phase_name(Phase phase);
/* By call of the entry. Entries other than a stage's `train` and `update` are forward as a whole. */
Phase *entry_phases(const Session *s, const Recipe *recipe, const ProgramEntry *entry);
/* A copy that is the kernel's own business. */
bool buffer_is_pack(const PlanEntry *plan, const KBuffer *buffer);

typedef struct KernelCost {
    const Kernel *kernel;
    KernelKind kind;
    Phase phase;
    int64_t chunks;
    double flops, bytes;
    double set;                  /* bytes that its entry touches */
    double limit;                /* seconds: FLOPs at the peak and bytes at the rate of memory */
    double predicted;            /* seconds: as such kernels do in practice */
    const char *bound;           /* "compute", "memory", "call" */
    Str tile, where;             /* "14x32 of 256x512, sum 64"; "nn.hone:41 y" */
} KernelCost;
typedef struct Cost {
    double flops, bytes, limit, predicted;
    size_t kernels;
} Cost;
/* By call of the entry, without times. */
KernelCost *cost_kernels(const Session *s, const Recipe *recipe, const ProgramEntry *entry);
/* Their times; looks at nothing but the costs. */
void cost_times(const Target *target, const Limits *limits, size_t n, KernelCost *costs);
/* Of `times` runs of the kernel. */
void cost_add(Cost *sum, const KernelCost *one, int64_t times);
typedef struct CostRow {             /* kernels that are alike */
    const KernelCost *first;
    Cost sum;
    double measured;             /* seconds of all of them; 0: not measured */
} CostRow;
/* Slowest first, as measured or as expected. measured: by call, or NULL. */
CostRow *cost_rows(const Session *s, const PlanEntry *plan, const KernelCost *costs,
                   const double *measured, size_t *n);

/* profile.c: `hone run --profile` */
typedef struct Profile {
    HoneTimes times;
    Limits limits;
} Profile;
/* Before the run: measures the limits, tells `perf` the names of the kernels. */
bool profile_begin(Session *s, const HoneProgram *program, const BuildReport *report, Profile *p,
                   HoneError *error);
/* After it: a table on standard error, all of it as profile.json in the run directory. */
void profile_end(Session *s, const Recipe *recipe, const HoneProgram *program,
                 const BuildReport *report, const Profile *p, const HoneResult *result);

/* plain.c */
bool plain_product(const Nest *nest, const KStore *store);
void plain_warn(Session *s, const BuildReport *report, uint32_t n_entries);

Str flops_text(Arena *arena, double flops);        /* 6.1 GFLOP */
Str moved_text(Arena *arena, double bytes);        /* 14.2 MB */
Str seconds_text(Arena *arena, double seconds);    /* 6.6 ms */
Str machine_text(Arena *arena, HoneSys *sys, const Target *target, const Limits *limits);

#endif
