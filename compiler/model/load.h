/* load.h: one `load` clause at work, shared by load.c and hints.c. */
#ifndef HONE_MODEL_LOAD_H
#define HONE_MODEL_LOAD_H

#include "model/recipe.h"

typedef struct LoadTensor {          /* one tensor of the file */
    const HoneFileTensor *tensor;
    Str name, key;                   /* in the file; after `rename` */
    bool ignored, renamed;
    const Variable *variable;        /* that has this key; NULL: none */
} LoadTensor;

typedef struct Load {
    RecipeBuild *b;
    const Ast *clause;
    uint32_t index;                  /* in Recipe.loads */
    Str prefix;                      /* `into`, of several models */
    bool adapter;                    /* the second file: what `adapt` has added, and nothing else */
    HoneFile *file;
    size_t n;
    LoadTensor *tensors;
    LoadTensor **taken;              /* by variable */
    VEC(const Variable *) missing;   /* E403 */
} Load;

bool load_covers(const Load *load, const Variable *v);
/* hints.c: adds notes and `rename` lines to E403; false: nothing fits. */
bool load_hints(Load *load, Diag *d);
/* The edit that adds maps, "fresh …; rename …", to the clause. */
void load_suggest(Load *load, Diag *d, Str maps);
Str load_ignore_pattern(Load *load, Str extra);      /* a pattern for what is left over */

#endif
