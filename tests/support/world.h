/* world: a compilation of recipe files in a temporary folder, for tests of model/. */
#ifndef TEST_WORLD_H
#define TEST_WORLD_H

#include "model/model.h"

typedef struct World {
    HoneSys sys;
    Mem mem;
    Compiler c;
    char *folder;
} World;

void world_open(World *w);
void world_close(World *w);
/* Writes folder/name; "t.hone" is the root unless another file is loaded first. */
void world_put(World *w, const char *name, const char *text);
/* Starts anew (diagnostics, files) and loads a file by its path or a name in the folder. */
File *world_load(World *w, const char *path);
/* The first finetune item of the root file; NULL if there is none or after errors. */
Recipe *world_recipe(World *w, File *file, bool without_files);
/* What `hone check` does: the modules of a library, or the first recipe and its graphs. Diagnostics or
 * well-formed graphs come of it; anything else ends the test. False: the text itself is refused. */
bool world_check(World *w, const char *path);
/* "E201 3:5 message; W505 …" of the root file, in order of place; other files as "nn:12". */
Str world_diags(World *w);
/* All diagnostics as a person sees them. */
Str world_text(World *w);
/* NULL, or which graph of the recipe is ill formed and why. */
const char *world_verify(World *w, const Recipe *r);

/* "2,3; i5: 4": the next shape; *below is 5 for whole numbers below 5, else 0. False: no more. */
bool world_shape(const char **shapes, size_t *rank, int64_t *dims, int64_t *below);
/* A library's functions, modules and update rules whose name `known` says nothing of, printed; their
 * number. */
size_t world_unknown(World *w, const char *library, bool known(Str name));

#endif
