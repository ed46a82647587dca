/* layout: where a line end ends a statement. It turns the scanner's tokens into the parser's: NL
 * after each statement, also before `}`, never after `{`, never twice.
 *
 * A newline ends the statement unless it stands inside ( or [, the line ends with something that
 * needs more, or the next line starts with something that continues. `;` always ends it.
 *
 * In the second run, when the plain one has failed, three rules trust the indentation:
 *   1. a bracket still open when a line begins at or left of its own line, or when `{` or a
 *      statement's word appears, is reported where it was opened, and closed;
 *   2. a top-level word in column 1 while a block is open reports the missing `}`, and closes it;
 *   3. after a syntax error the parser goes on at the end of the logical line (layout_skip). */
#include "parse.h"

#include "hone.tab.h"

typedef struct Open {
    const Token *token;
    bool reduction; /* the [ of a reduction's indices */
} Open;

typedef struct Layout {
    Parse *p;
    VEC(Open) open;       /* brackets */
    size_t i;             /* of the raw token at hand */
    const Token *suspect; /* innermost { whose } is not at its own indentation */
    size_t suspect_depth;
    bool reduction_closed; /* the token before was the ] of a reduction's indices */
} Layout;

static const Open *top(const Layout *l)
{
    return l->open.len == 0 ? NULL : &l->open.at[l->open.len - 1];
}

/* The recovery rules apply, and what they report would still be shown. */
static bool rules(const Layout *l)
{
    return l->p->recover && l->p->reported < PARSE_ERRORS_MOST;
}

/* Inside ( or [, where line ends mean nothing. */
static bool inside(const Layout *l)
{
    return top(l) != NULL && top(l)->token->kind != '{';
}

static int closer_of(int kind)
{
    return kind == '(' ? ')' : kind == '[' ? ']' : '}';
}

static bool is_binary(int kind)
{
    switch (kind) {
    case '+':
    case '-':
    case '*':
    case '/':
    case '%':
    case '@':
    case '^':
    case '<':
    case '>':
    case T_EQ:
    case T_NE:
    case T_LE:
    case T_GE:
    case T_IDIV:
    case T_AND:
    case T_OR:
    case T_FILL:
    case T_ARROW:
    case '=':
        return true;
    default:
        return false;
    }
}

static bool starts_statement(int kind)
{
    switch (kind) {
    case T_USE:
    case T_OPTION:
    case T_LET:
    case T_FN:
    case T_MODULE:
    case T_OPTIMIZER:
    case T_DATA:
    case T_FINETUNE:
    case T_PARAM:
    case T_STATE:
    case T_TIE:
    case T_IF:
    case T_FOR:
    case T_RETURN:
        return true;
    default:
        return false;
    }
}

bool parse_follows_name(int kind)
{
    return kind == ',' || kind == ')' || kind == ']' || kind == '=' || kind == ':';
}

static bool is_top_level(int kind)
{
    return starts_statement(kind) && kind != T_PARAM && kind != T_STATE && kind != T_TIE &&
           kind != T_IF && kind != T_FOR && kind != T_RETURN;
}

/* --- putting tokens out ----------------------------------------------------------------------- */
static const Token *last(const Layout *l)
{
    const Tokens *out = &l->p->tokens;
    return out->len == 0 ? NULL : out->at[out->len - 1];
}

static void put(Layout *l, Token *token)
{
    VEC_PUSH(l->p->arena, l->p->tokens, token);
}

/* A token without text, just behind the last one. */
static void put_new(Layout *l, int kind, bool synthetic)
{
    Token *token = NEW(l->p->arena, Token);
    uint32_t at = last(l) == NULL ? 0 : last(l)->span.end;
    *token = (Token){
        .kind = kind, .span = {l->p->file, at, at}, .text = STR(""), .synthetic = synthetic};
    if (last(l) != NULL) {
        token->line = last(l)->line;
    }
    put(l, token);
}

static void put_line_end(Layout *l)
{
    if (last(l) != NULL && last(l)->kind != T_NL && last(l)->kind != '{') {
        put_new(l, T_NL, false);
    }
}

/* The last thing on the line of a token. */
static Span end_of_line(const Layout *l, const Token *token)
{
    Span span = token->span;
    for (size_t i = 0; i < l->p->raw.len && l->p->raw.at[i]->line <= token->line; i++) {
        if (l->p->raw.at[i]->kind != 0 && l->p->raw.at[i]->line == token->line) {
            span = l->p->raw.at[i]->span;
        }
    }
    return span;
}

/* --- rules 1 and 2 ---------------------------------------------------------------------------- */
static void close_bracket(Layout *l)
{
    const Token *token = top(l)->token;
    if (!parse_bad_line(l->p, token->line)) {
        Diag *d = parse_error(l->p, E001, token->span, "this `%c` is never closed", token->kind);
        diag_edit_around(d, end_of_line(l, token), "", token->kind == '(' ? ")" : "]");
    }
    l->open.len--;
    put_new(l, closer_of(token->kind), true);
}

static void close_brackets(Layout *l)
{
    while (inside(l)) {
        close_bracket(l);
    }
}

/* A closer of kind `kind` stands later on this line with nothing on the line to close. */
static bool closed_later(const Layout *l, int kind)
{
    int depth = 0;
    for (size_t i = l->i + 1; i < l->p->raw.len && !l->p->raw.at[i]->first; i++) {
        int k = l->p->raw.at[i]->kind;
        depth += (k == '(' || k == '[') - (k == ')' || k == ']');
        if (depth < 0) {
            return k == kind;
        }
    }
    return false;
}

/* ( closed by ] or [ closed by ): either the closer was mistyped, or the right one is missing and
 * this one belongs to the bracket outside. */
static Token *wrong_closer(Layout *l, Token *token)
{
    const Token *opened = top(l)->token;
    Diag *d = parse_error(l->p, E001, opened->span, "this `%c` is closed by `%c`", opened->kind,
                          token->kind);
    diag_note_at(d, token->span, NULL, "the closer is here");
    bool outer =
        l->open.len > 1 && closer_of(l->open.at[l->open.len - 2].token->kind) == token->kind;
    if (outer && !closed_later(l, token->kind)) {
        l->open.len--;
        put_new(l, closer_of(opened->kind), true);
        diag_edit_around(d, token->span, opened->kind == '(' ? ")" : "]", "");
        return token;
    }
    Token *right = NEW(l->p->arena, Token);
    *right = *token;
    right->kind = closer_of(opened->kind);
    right->synthetic = true;
    diag_edit(d, token->span, opened->kind == '(' ? STR(")") : STR("]"));
    return right;
}

static void close_blocks(Layout *l, const Token *next)
{
    const Token *culprit = l->suspect != NULL ? l->suspect : top(l)->token;
    Diag *d = parse_error(l->p, E002, culprit->span, "this `{` is never closed");
    if (next->kind == 0) {
        diag_note(d, "the file ends while the block is open");
    } else {
        diag_note_at(d, next->span, NULL, "the block is still open where this begins");
    }
    while (l->open.len > 0) {
        put_line_end(l);
        l->open.len--;
        put_new(l, '}', true);
    }
    put_line_end(l);
    l->suspect = NULL;
}

static void apply_rules(Layout *l, const Token *token)
{
    bool closer = token->kind == ')' || token->kind == ']';
    while (token->first && !closer && inside(l) && token->column <= top(l)->token->indent) {
        close_bracket(l);
    }
    const Token *before = l->i == 0 ? NULL : l->p->raw.at[l->i - 1];
    bool type = token->kind == T_MODULE && before != NULL && before->kind == ':';
    bool name = token->kind != 0 && parse_follows_name(l->p->raw.at[l->i + 1]->kind);
    if (token->kind == '{' || token->kind == '}' || token->kind == 0 ||
        (starts_statement(token->kind) && !type && !name)) {
        close_brackets(l);
    }
    bool item = token->first && token->column == 0 && is_top_level(token->kind);
    if ((item || token->kind == 0) && l->open.len > 0) {
        close_blocks(l, token);
    }
}

/* --- the filter ------------------------------------------------------------------------------- */
/* The line end between two tokens does not count. */
static bool continues(const Layout *l, const Token *before, const Token *token)
{
    if (is_binary(before->kind) || before->kind == T_NOT || before->kind == ',' ||
        before->kind == ':' || before->kind == T_DOTDOT || l->reduction_closed) {
        return true;
    }
    bool alone = token->kind == '{' && l->p->raw.at[l->i + 1]->first;
    return is_binary(token->kind) || token->kind == T_ELSE || alone;
}

static bool ends_line(const Layout *l, const Token *token)
{
    if (token->kind == '}' || token->kind == 0) {
        return true;
    }
    if (l->i == 0 || inside(l) || !token->first) {
        return false;
    }
    return !continues(l, l->p->raw.at[l->i - 1], token);
}

static Token *close(Layout *l, Token *token)
{
    const Open *opened = top(l);
    l->reduction_closed = false;
    if (opened == NULL) {
        return token;
    }
    if (closer_of(opened->token->kind) != token->kind) {
        if (!rules(l) || token->kind == '}' || opened->token->kind == '{') {
            return token; /* the parser says so */
        }
        token = wrong_closer(l, token);
        opened = top(l);
    }
    const Token *opener = opened->token;
    if (token->kind == '}' && token->first && token->column != opener->indent &&
        (l->suspect == NULL || l->open.len > l->suspect_depth)) {
        l->suspect = opener;
        l->suspect_depth = l->open.len;
    }
    l->reduction_closed = opened->reduction && token->kind == ']';
    l->open.len--;
    if (l->open.len == 0) {
        l->suspect = NULL;
    }
    return token;
}

static bool open(Layout *l, const Token *token)
{
    const Token *before = l->i == 0 ? NULL : l->p->raw.at[l->i - 1];
    Open opened = {.token = token,
                   .reduction = token->kind == '[' && before != NULL && before->kind == T_REDUCE};
    VEC_PUSH(l->p->arena, l->open, opened);
    if (l->open.len > PARSE_NESTING) {
        message_nesting(l->p, token->span);
        return false;
    }
    return true;
}

/* One raw token: line end before it, the token, what is open after it. */
static bool step(Layout *l, Token *token)
{
    if (rules(l)) {
        apply_rules(l, token);
    }
    if (ends_line(l, token)) {
        put_line_end(l);
    }
    switch (token->kind) {
    case ';':
        if (inside(l)) {
            parse_error(l->p, E003, token->span, "`;` inside brackets"); /* and read as a blank */
        } else {
            put_line_end(l);
        }
        l->reduction_closed = false;
        return true;
    case '(':
    case '[':
    case '{':
        put(l, token);
        l->reduction_closed = false;
        return open(l, token);
    case ')':
    case ']':
    case '}':
        put(l, close(l, token));
        return true;
    default:
        put(l, token);
        l->reduction_closed = false;
        return true;
    }
}

bool layout(Parse *p)
{
    Layout l = {.p = p};
    p->tokens.len = 0;
    p->at = 0;
    for (l.i = 0; l.i < p->raw.len; l.i++) {
        if (!step(&l, p->raw.at[l.i])) {
            return false;
        }
    }
    return true;
}

void layout_skip(Parse *p)
{
    size_t depth = 0;
    for (size_t i = p->taken; i < p->tokens.len; i++) {
        int kind = p->tokens.at[i]->kind;
        if (kind == '{') {
            depth++;
        } else if (kind == '}' && depth > 0) {
            depth--;
        } else if ((kind == T_NL && depth == 0) || kind == 0) {
            if (i > p->taken) { /* a line end at hand stays at hand */
                p->at = i;
            }
            return;
        }
    }
}
