/* build: how the grammar makes tree nodes. Private to the grammar and to this folder. */
#ifndef HONE_SYNTAX_BUILD_H
#define HONE_SYNTAX_BUILD_H

#include "syntax/ast.h"

typedef struct AstList {
    Ast **at;
    size_t len, cap;
} AstList;

AstList *ast_list(Arena *arena);
AstList *ast_list_add(Arena *arena, AstList *list, Ast *item);

/* kids first, then the items of tail; either may be empty (NULL, 0). */
Ast *ast_new(Arena *arena, AstKind kind, Span span, const AstList *tail, Ast *const *kids, size_t n);

/* A NAME or MEMBER chain (a.b.0) as one dotted text, for PATH and its like. */
Str ast_dotted(Arena *arena, const Ast *chain);

/* The comment block directly above a byte of the text, `#` and one blank removed. */
Str ast_doc(Arena *arena, Str text, uint32_t start);

#endif
