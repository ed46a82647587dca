/* program: one compilation for a test: memory, sources, diagnostics, and parsing text. */
#ifndef TEST_PROGRAM_H
#define TEST_PROGRAM_H

#include "syntax/ast.h"

typedef struct Program {
    HoneSys sys;
    Mem mem;
    Arena *arena;
    Sources sources;
    Diags diags;
} Program;

/* Not armed: running out of memory fails mem_fail's assertion, unless the test arms p->mem. */
void program_open(Program *p);
void program_close(Program *p);
Ast *program_parse(Program *p, Str path, Str text);

#endif
