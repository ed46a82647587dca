/* ast_dump: the tree as text, one node per line, two blanks per level: the golden form.
 *
 *   kind text [flags]     the text of strings in quotes, with escapes
 *   | …                   a line of its documentation
 *   -                     an optional kid that is absent
 */
#include "syntax/ast.h"

static void dump_text(const Ast *ast, Buf *out)
{
    if (ast->kind != AST_STRING) {
        if (ast->text.len > 0) {
            buf_char(out, ' ');
            buf_add(out, ast->text);
        }
        return;
    }
    buf_add(out, STR(" \""));
    for (size_t i = 0; i < ast->text.len; i++) {
        char c = ast->text.ptr[i];
        switch (c) {
        case '\n': buf_add(out, STR("\\n")); break;
        case '\t': buf_add(out, STR("\\t")); break;
        case '"': buf_add(out, STR("\\\"")); break;
        case '\\': buf_add(out, STR("\\\\")); break;
        default: buf_char(out, c); break;
        }
    }
    buf_char(out, '"');
}

static void dump_doc(Str doc, int indent, Buf *out)
{
    while (doc.len > 0) {
        size_t n = 0;
        while (n < doc.len && doc.ptr[n] != '\n') {
            n++;
        }
        buf_printf(out, "%*s| " STR_FMT "\n", indent, "", (int)n, doc.ptr);
        n += n < doc.len;
        doc = (Str){doc.ptr + n, doc.len - n};
    }
}

/* Depth is bounded by the parser. */
static void dump(const Ast *ast, int indent, Buf *out)
{
    if (ast == NULL) {
        buf_printf(out, "%*s-\n", indent, "");
        return;
    }
    buf_printf(out, "%*s%s", indent, "", ast_kind_name(ast->kind));
    dump_text(ast, out);
    static const struct {
        uint32_t flag;
        const char *name;
    } flags[] = {
        {AST_FLAG_PRIMED, " [primed]"},
        {AST_FLAG_INDEXED, " [indexed]"},
        {AST_FLAG_MERGED, " [merged]"},
        {AST_FLAG_PARENS, " [parens]"},
    };
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        if ((ast->flags & flags[i].flag) != 0) {
            buf_add(out, str_of(flags[i].name));
        }
    }
    buf_char(out, '\n');
    dump_doc(ast->doc, indent + 2, out);
    for (size_t i = 0; i < ast->n; i++) {
        dump(ast->kids[i], indent + 2, out);
    }
}

void ast_dump(const Ast *ast, Buf *out)
{
    dump(ast, 0, out);
}
