/* diag_internal: a diagnostic's fields, shared by diag.c and the two that render. */
#ifndef HONE_DIAG_INTERNAL_H
#define HONE_DIAG_INTERNAL_H

#include "base/base.h"

typedef struct Note {
    Span span;      /* file 0: without a place */
    Str message, label;
} Note;

typedef struct Edit {
    Span span;
    Str text;
} Edit;

struct Diag {
    Arena *arena;
    DiagCode code;
    Span span;
    Str message, label;
    size_t order;   /* of being added */
    VEC(Note) notes;
    VEC(Str) helps;
    VEC(Edit) edits;
};

Diag **diags_sorted(const Diags *diags, Arena *arena);

#endif
