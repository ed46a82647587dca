/* program: one compilation for a test. */
#include "support/program.h"

#include <string.h>

void program_open(Program *p)
{
    memset(p, 0, sizeof *p);
    mem_init(&p->mem, &p->sys);
    p->arena = arena_new(&p->mem, "test");
    p->sources = sources_new(p->arena);
    p->diags = diags_new(p->arena, &p->sources);
}

void program_close(Program *p)
{
    mem_release(&p->mem);
}

Ast *program_parse(Program *p, Str path, Str text)
{
    uint32_t file = sources_add(&p->sources, path, text);
    return parse_file(p->arena, &p->sources, file, &p->diags);
}
