/* driver: from a recipe to a program that runs.
 *
 *   driver.c    walks stages.def over every graph of a recipe: run, verify, dump, time
 *   fit.c       what a run takes, and what is computed again so that it keeps within `memory`
 *   program.c   plans and model -> HoneProgram, the table the runtime executes
 *   keep.c      that table without the compilation it came from
 */
#ifndef HONE_DRIVER_H
#define HONE_DRIVER_H

#include "hone/abi.h"
#include "hone/status.h"
#include "model/model.h"
#include "plan/plan.h"

typedef enum StageId {
#define STAGE(name, help) STAGE_##name,
#define PASS(name, call, help) STAGE_##name,
#include "stages.def"
#undef STAGE
#undef PASS
    STAGE_COUNT
} StageId;
const char *stage_name(StageId stage);
const char *stage_help(StageId stage);
bool stage_find(Str name, StageId *stage);

typedef struct BuildOptions {
    const Target *target;
    Moves without;            /* moves of fusion that are left out */
    int threads;              /* of compilation; 0: all cores */
    bool code;                /* false: stop after the plan (hone check) */
    const char *cache;        /* folder of object code; NULL: none */
    bool debug;               /* debuggers learn the functions' names */
    Arena *kept;              /* where the code lies: longer than the compiler's arena; NULL: there */
    StageId dump;             /* STAGE_COUNT: none */
    Buf *dumped;              /* where the dump goes */
} BuildOptions;

typedef struct ProgramEntry {     /* a graph of the recipe, in the order of first use */
    const Graph *graph;           /* as the recipe made it */
    PlanEntry *plan;
} ProgramEntry;

typedef struct Peak {             /* what a run takes with so many threads */
    uint64_t loading, bytes;      /* of reading data; of all */
    int threads;
} Peak;

/* `memory`: trials of which candidates are computed again, each a whole plan, until the fewest are found
 * whose plan fits. They are taken in the order of bytes saved per FLOP. */
typedef struct Fit {
    const Recipe *recipe;
    bool *chosen;                 /* by candidate of the recipe, in the trial at work */
    size_t n, *order;             /* those that save anything, best first */
    size_t tried;                 /* so many first of them in the trial at work; in the end, chosen */
    size_t low, high;             /* the most that are too few; the fewest known to do */
    double *before;               /* by stage: FLOPs of its training graph where nothing is added */
    double flops;                 /* that the choice adds to a step, in the stage where it adds most */
    bool fits;
    Peak peak;                    /* of the choice; where nothing fits, with all computed again that can be */
} Fit;

typedef struct BuildReport {
    double seconds[STAGE_COUNT];
    size_t equations, kernels, distinct, code_bytes, modules, cached;
    const ProgramEntry *entries;  /* by entry of the program */
    Fit fit;
} BuildReport;

/* Runs every stage on every graph of the recipe and fills *program, which lives on the compiler's
 * arena. With code = false the calls have no functions. Errors here are ours or the machine's (a
 * recipe that exists is well formed), or a diagnostic where sizes cannot be counted. Where nothing fits `memory`, report->fit says so and there is no code. */
bool build_recipe(Compiler *c, const Recipe *recipe, const BuildOptions *options,
                  HoneProgram *program, BuildReport *report, HoneError *error);

/* --- fit.c ---------------------------------------------------------------------------------------- */
enum { FIT_THREADS = 16, FIT_WORKERS = 8 };    /* counted on every machine, so that all choose the same */
/* As `hone run` counts it: arenas, every thread's scratch, what reading takes in the stage where it takes
 * most, and what is remembered. workers: of reading, where the recipe does not say; -1: this machine's. */
Peak program_peak(const Recipe *recipe, const HoneProgram *program, int threads, int workers);
void fit_begin(Arena *arena, const Recipe *recipe, Fit *fit);
/* After the plan of a trial, the first of which adds nothing: is there another one? If not, the choice stands. */
bool fit_next(Arena *arena, Fit *fit, const HoneProgram *program);

/* --- program.c ------------------------------------------------------------------------------------ */
/* Tables only: kernels get their functions afterwards (program_bind). */
void program_fill(Compiler *c, const Recipe *recipe, const Planner *planner, size_t n_entries,
                  const ProgramEntry *entries, HoneProgram *program);
void program_bind(HoneProgram *program, const Code *code);

/* --- keep.c --------------------------------------------------------------------------------------- */
/* A copy that needs nothing but `arena` and the code. */
HoneProgram *program_keep(Arena *arena, const HoneProgram *program);

#endif
