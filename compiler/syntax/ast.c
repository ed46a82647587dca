/* ast: making nodes, and what can be read off one without knowing what it means. */
#include "syntax/build.h"

#include <assert.h>
#include <string.h>

static const char *const kind_names[AST_COUNT] = {
#define AST(kind, name, layout) [AST_##kind] = name,
#include "syntax/ast.def"
#undef AST
};

const char *ast_kind_name(AstKind kind)
{
    return kind_names[kind];
}

AstList *ast_list(Arena *arena)
{
    return NEW(arena, AstList);
}

AstList *ast_list_add(Arena *arena, AstList *list, Ast *item)
{
    VEC_PUSH(arena, *list, item);
    return list;
}

Ast *ast_new(Arena *arena, AstKind kind, Span span, const AstList *tail, Ast *const *kids, size_t n)
{
    size_t more = tail == NULL ? 0 : tail->len;
    Ast *ast = NEW(arena, Ast);
    *ast = (Ast){.kind = kind,
                 .span = span,
                 .name = span,
                 .text = STR(""),
                 .doc = STR(""),
                 .n = n + more,
                 .kids = NEW_ARRAY(arena, Ast *, n + more)};
    for (size_t i = 0; i < n + more; i++) {
        Ast *kid = i < n ? kids[i] : tail->at[i - n];
        ast->kids[i] = kid;
        if (kid != NULL && kid->depth > ast->depth) {
            ast->depth = kid->depth;
        }
    }
    ast->depth++;
    return ast;
}

Str ast_dotted(Arena *arena, const Ast *chain)
{
    if (chain->kind == AST_NAME) {
        return chain->text;
    }
    VEC(Str) parts = {0};
    for (; chain->kind == AST_MEMBER; chain = chain->kids[0]) {
        VEC_PUSH(arena, parts, chain->text);
    }
    if (chain->kind == AST_ERROR) { /* nested too deep; reported */
        return STR("");
    }
    assert(chain->kind == AST_NAME);
    Buf buf = buf_new(arena);
    buf_add(&buf, chain->text);
    for (size_t i = parts.len; i > 0; i--) {
        buf_char(&buf, '.');
        buf_add(&buf, parts.at[i - 1]);
    }
    return buf_str(&buf);
}

/* The line that ends before byte `end`, which starts the line below; false at the text's start. */
static bool line_above(Str text, size_t *end, Str *line)
{
    if (*end == 0) {
        return false;
    }
    size_t last = *end - 1;
    size_t first = last;
    while (first > 0 && text.ptr[first - 1] != '\n') {
        first--;
    }
    *end = first;
    while (first < last && (text.ptr[first] == ' ' || text.ptr[first] == '\t')) {
        first++;
    }
    while (last > first && (text.ptr[last - 1] == '\r' || text.ptr[last - 1] == ' ')) {
        last--;
    }
    *line = (Str){text.ptr + first, last - first};
    return true;
}

Str ast_doc(Arena *arena, Str text, uint32_t start)
{
    size_t end = start;
    for (; end > 0 && text.ptr[end - 1] != '\n'; end--) {
        if (text.ptr[end - 1] != ' ' && text.ptr[end - 1] != '\t') {
            return STR(""); /* does not start its line */
        }
    }
    VEC(Str) lines = {0};
    Str line;
    while (line_above(text, &end, &line) && line.len > 0 && line.ptr[0] == '#') {
        size_t skip = line.len > 1 && line.ptr[1] == ' ' ? 2 : 1;
        Str rest = {line.ptr + skip, line.len - skip};
        VEC_PUSH(arena, lines, rest);
    }
    Buf buf = buf_new(arena);
    for (size_t i = lines.len; i > 0; i--) {
        buf_add(&buf, lines.at[i - 1]);
        if (i > 1) {
            buf_char(&buf, '\n');
        }
    }
    return buf_str(&buf);
}
