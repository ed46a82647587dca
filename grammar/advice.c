/* What to write instead, for syntax errors that people make often: mostly habits of other
 * languages. */
#include "parse.h"

#include <string.h>

#include "hone.tab.h"

bool advice_wants(const char *const *wanted, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(wanted[i], name) == 0) {
            return true;
        }
    }
    return false;
}

typedef struct At { /* of the token that was not expected */
    const Token *token, *before, *after, *first;
    bool second; /* of its statement */
    const char *const *wanted;
    size_t n;
    Block block;
} At;

static bool can(const At *at, const char *name)
{
    return advice_wants(at->wanted, at->n, name);
}

static const char *quoted(Parse *p, Str text)
{
    return str_c(p->arena, str_format(p->arena, "\"" STR_FMT "\"", STR_ARG(text)));
}

static Advice at_equals(const At *at)
{
    int first = at->first->kind;
    if (first == T_OPTIMIZER && at->second) {
        return (Advice){"a clause has no `=`: `optimizer AdamW(lr = 1e-3)`", ""};
    }
    if (first == T_IF || can(at, "==")) {
        return (Advice){"`==` compares; `=` gives a value", "=="};
    }
    if (can(at, "':'") && at->block == BLOCK_MODULE && first != T_PARAM && first != T_STATE) {
        return (Advice){"a part is declared with `:`: `fc: Linear(8, 4)`", ":"};
    }
    if (can(at, "':'")) {
        return (Advice){"write the type first: `name: type = value`", NULL};
    }
    return (Advice){NULL, NULL};
}

static Advice at_colon(const At *at)
{
    if (can(at, "'='")) {
        return (Advice){"`=` gives a value; `:` says what something is", "="};
    }
    if (can(at, "'{'")) {
        return (Advice){"a block stands in braces: `if c { … }`", NULL};
    }
    if (at->before != NULL && (at->before->kind == '[' || at->before->kind == ',')) {
        return (Advice){"a dimension that is kept gets an index: `y[n] = x[n, 0]`", NULL};
    }
    return (Advice){NULL, NULL};
}

static Advice at_name(Parse *p, const At *at)
{
    if (can(at, "a string") && !can(at, "a name")) {
        return (Advice){"patterns, files and keys are strings: write them in double quotes",
                        quoted(p, at->token->text)};
    }
    if (can(at, "':'") && !can(at, "'+'") && at->first->kind == T_IDENT) {
        return (Advice){"a `:` is missing before this", NULL};
    }
    return (Advice){NULL, NULL};
}

static Advice at_brace(const At *at)
{
    if (at->first->kind == T_STAGE && at->second) {
        return (Advice){"a stage has a name: `stage head { … }`", NULL};
    }
    if (can(at, "'('") && (at->first->kind == T_MODULE || at->first->kind == T_OPTIMIZER)) {
        return (Advice){"arguments stand in parentheses, also none: `module Net() { … }`", "() {"};
    }
    return (Advice){NULL, NULL};
}

static Advice at_operator(const At *at)
{
    int kind = at->token->kind, next = at->after != NULL ? at->after->kind : 0;
    if (at->block == BLOCK_STATEMENTS && can(at, "'='") && next == '=') {
        return (Advice){"write the name again: `y = y + 1`", NULL};
    }
    if (kind == '/' && (next == '*' || next == '/')) {
        return (Advice){"a comment starts with `#`", NULL};
    }
    if (kind == '(' && at->block == BLOCK_STATEMENTS && at->second) {
        return (Advice){"every statement gives a name a value: `y = f(x)`", NULL};
    }
    return (Advice){NULL, NULL};
}

static Advice at_word(const At *at)
{
    int kind = at->token->kind;
    if (kind == T_LET && at->block == BLOCK_STATEMENTS) {
        return (Advice){"in a block a name just gets its value: `y = …`", ""};
    }
    if (kind == T_IF && can(at, "'+'")) {
        return (Advice){"write `select(c, a, b)`, or `if c { … } else { … }`", NULL};
    }
    return (Advice){NULL, NULL};
}

Advice advice(Parse *p, size_t start, size_t at, const char *const *wanted, size_t n, Block block)
{
    const Token *token = p->tokens.at[at];
    At here = {.token = token,
               .before = at > 0 ? p->tokens.at[at - 1] : NULL,
               .after = token->kind != 0 ? p->tokens.at[at + 1] : NULL,
               .first = p->tokens.at[start],
               .second = at == start + 1,
               .wanted = wanted,
               .n = n,
               .block = block};
    switch (token->kind) {
    case T_EQ:
        return can(&here, "'='") ? (Advice){"`=` gives a value; `==` compares", "="}
                                 : (Advice){NULL, NULL};
    case '=':
        return at_equals(&here);
    case ':':
        return at_colon(&here);
    case T_PATHINDEX:
        return (Advice){"a number has digits on both sides of its dot: `0.5`", NULL};
    case T_IDENT:
        return at_name(p, &here);
    case T_STRING:
        return here.first->kind == T_USE
                   ? (Advice){"a file is used by its name, without quotes: `use nn`",
                              str_c(p->arena, token->text)}
                   : (Advice){NULL, NULL};
    case T_PRIMED:
        return (Advice){"the prime belongs to a name that is assigned or read: `x' = x + 1`", NULL};
    case T_NL:
        return can(&here, "'='") && (here.first->kind == T_PARAM || here.first->kind == T_STATE)
                   ? (Advice){"it starts from something: `= zeros()`, `= normal(0.02)`", NULL}
                   : (Advice){NULL, NULL};
    case '{':
        return at_brace(&here);
    case T_LET:
    case T_IF:
        return at_word(&here);
    default:
        return at_operator(&here);
    }
}
