/* target: one record per machine; everything that scheduling and emission know about it. Records are
 * constants: the same program for the same target has the same bits on every machine. */
#ifndef HONE_TARGET_H
#define HONE_TARGET_H

#include "base/base.h"

typedef struct Target {
    const char *name;            /* "x86-64-v4", "x86-64-v3", "generic" */
    const char *triple;
    const char *cpu;             /* for LLVM: "x86-64-v4" … */
    const char *features;        /* LLVM feature string, may be empty */
    int lanes;                   /* f32 per vector: 16, 8, 4 */
    int registers;               /* vector registers: 32, 16 */
    int tile_rows, tile_vectors; /* register tile of contractions: 14x2 (v4), 6x2 (v3), 3x2 */
    int tile_least;              /* accumulators that keep the multiply-add units busy, with some slack */
    int tile_sum;                /* terms that a tile adds up at most before it is stored, about: few
                                  * rows use a vector before the next must be there from the first cache */
    int64_t l1_bytes, l2_bytes, l3_share_bytes;
    bool fma;
    bool masks;                  /* loads and stores of some lanes cost what those of all do */
} Target;

const Target *target_find(Str name);          /* NULL: no such target */
const Target *target_host(void);              /* the first of the list that runs on this CPU */
bool target_runs_here(const Target *target);
size_t target_list(const Target *const **all);

#endif
