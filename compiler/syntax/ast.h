/* ast: the tree that the grammar builds, one shape for all kinds (rows in ast.def).
 *
 * The tree is raw: names are not looked up, nothing is folded. Nodes live on the arena given to
 * the parser and are never changed after parsing. */
#ifndef HONE_AST_H
#define HONE_AST_H

#include "base/base.h"

typedef enum AstKind {
#define AST(kind, name, layout) AST_##kind,
#include "syntax/ast.def"
#undef AST
    AST_COUNT
} AstKind;

typedef struct Ast Ast;
struct Ast {
    AstKind kind;
    uint32_t flags;    /* AST_FLAG_… */
    uint32_t depth;    /* of the tree below, this node included: at most AST_DEPTH_MOST */
    Span span;         /* the whole construct */
    Span name;         /* where `text` stands, for carets; the whole span if there is none */
    Str text;
    Str doc;           /* comment block directly above an item, `#` and one blank removed */
    int64_t ival;
    double fval;
    size_t n;
    Ast **kids;        /* as ast.def says; NULL where optional and absent */
};

enum {
    AST_FLAG_PRIMED = 1,    /* LHS: x' = … */
    AST_FLAG_INDEXED = 2,   /* LHS: x[…] = … (also with empty brackets' error) */
    AST_FLAG_MERGED = 4,    /* SAVE merged */
    AST_FLAG_PARENS = 8     /* an expression that stood in parentheses */
};

enum { AST_DEPTH_MOST = 1024 };   /* so that walking a tree may recurse */

const char *ast_kind_name(AstKind kind);
void ast_dump(const Ast *ast, Buf *out);      /* indented, deterministic; the golden form */

/* Parses one file of `sources`. Always returns an AST_PROGRAM (with what could be read); syntax
 * errors are in diags. Parses plainly first; on failure once more with the recovery rules of
 * language.md 6.3 to produce the messages. */
Ast *parse_file(Arena *arena, const Sources *sources, uint32_t file, Diags *diags);

/* The file in its one canonical layout: indentation, blanks between tokens, aligned columns; line
 * breaks and comments stay where they are. Formatting twice changes nothing. False after errors. */
bool format_file(Arena *arena, const Sources *sources, uint32_t file, Diags *diags, Buf *out);

#endif
