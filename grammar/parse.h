/* parse: one file's way from text to tree. Private to this folder.
 *
 *   hone.l      text -> tokens
 *   layout.c    tokens -> tokens with line ends, where they end a statement
 *   hone.y      tokens -> tree
 *   message.c   what a syntax error says
 *   parse.c     the order of all that
 *   format.c    tokens -> the file as it should look
 */
#ifndef HONE_PARSE_H
#define HONE_PARSE_H

#include "syntax/build.h"

enum {
    PARSE_NESTING = 256,          /* of brackets */
    PARSE_ERRORS_MOST = 100,      /* reported per file */
    PARSE_BYTES_MOST = 64 << 20
};

typedef struct Token {
    int kind;                     /* of hone.tab.h; a character for itself; 0 at the end */
    Span span;
    Str text;                     /* as written; names without prime; strings with escapes resolved */
    int64_t ival;
    double fval;
    uint32_t line, column;        /* from 0, bytes */
    uint32_t indent;              /* column of its line's first token */
    bool first;                   /* on its line */
    bool synthetic;               /* a closer that recovery put in */
} Token;

typedef VEC(Token *) Tokens;

typedef struct Parse {
    Arena *arena;
    Diags *diags;
    const Sources *sources;
    uint32_t file;
    Str text;
    size_t reported;              /* errors of this file */

    /* scanning */
    uint32_t offset, line, line_start;
    bool line_empty;              /* no token on this line yet */
    VEC(uint32_t) bad_lines;      /* lines with lexical errors, ascending: no echo from the parser */

    /* parsing */
    Tokens raw, tokens;           /* without and with line ends; both end with kind 0 */
    size_t at, taken;             /* next token for the parser, and the last one */
    bool recover;                 /* second run: rules on, messages out */
    bool failed;
    bool too_deep;                /* was reported */
    AstList *items;
} Parse;

/* From text to p->tokens and p->items; p has its place (arena, diags, sources, file, text). False
 * after errors. */
bool parse_run(Parse *p);

/* One more error of this file, at its place; never NULL. */
Diag *parse_error(Parse *p, DiagCode code, Span span, const char *fmt, ...) HONE_PRINTF(4, 5);

/* The line has a lexical error, which may well be why the parser stumbles there too. */
bool parse_bad_line(const Parse *p, uint32_t line);

/* advice.c: what to write instead of what stands at a token that was not expected. */
typedef enum Block { BLOCK_MODULE, BLOCK_STATEMENTS, BLOCK_OTHER } Block;
typedef struct Advice {
    const char *help; /* NULL: none */
    const char *edit; /* what the token should have been; NULL: not that simple */
} Advice;
Advice advice(Parse *p, size_t start, size_t at, const char *const *wanted, size_t n, Block block);
bool advice_wants(const char *const *wanted, size_t n, const char *name);

/* hone.l: fills p->raw */
void scan(Parse *p);

/* layout.c: fills p->tokens from p->raw. False if brackets are nested too deep. */
bool layout(Parse *p);
/* Rule 3: from the token that did not fit to the end of its logical line, over blocks opened on it. */
void layout_skip(Parse *p);
/* Kinds of token that stand behind names only, not behind a word that begins something. */
bool parse_follows_name(int kind);

/* message.c */
void message_nesting(Parse *p, Span span);
/* The last token taken does not fit; wanted: symbol names as in hone.y. */
void message_syntax(Parse *p, const char *const *wanted, size_t n);

#endif
