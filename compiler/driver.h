/* driver: from a recipe to a program that runs.
 *
 *   driver.c    walks stages.def over every graph of a recipe: run, verify, dump, time
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

typedef struct BuildReport {
    double seconds[STAGE_COUNT];
    size_t equations, kernels, distinct, code_bytes, modules, cached;
    const ProgramEntry *entries;  /* by entry of the program */
} BuildReport;

/* Runs every stage on every graph of the recipe and fills *program, which lives on the compiler's
 * arena. With code = false the calls have no functions. Errors here are ours or the machine's: a
 * recipe that exists is well formed. */
bool build_recipe(Compiler *c, const Recipe *recipe, const BuildOptions *options,
                  HoneProgram *program, BuildReport *report, HoneError *error);

/* --- program.c ------------------------------------------------------------------------------------ */
/* Tables only: kernels get their functions afterwards (program_bind). */
void program_fill(Compiler *c, const Recipe *recipe, const Planner *planner, size_t n_entries,
                  const ProgramEntry *entries, HoneProgram *program);
void program_bind(HoneProgram *program, const Code *code);

/* --- keep.c --------------------------------------------------------------------------------------- */
/* A copy that needs nothing but `arena` and the code. */
HoneProgram *program_keep(Arena *arena, const HoneProgram *program);

#endif
