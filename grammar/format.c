/* format: a file in its one canonical layout. Line breaks and comments are the writer's; blanks,
 * indentation and columns follow from the tokens:
 *
 *   two blanks per open `{`, four more on lines that go on with a statement
 *   one blank around operators, none around ^; arithmetic may be tight, as in `2*pad - k`
 *   neighbouring lines of one kind (`name = …`, `name: …`, `x[…] = …`, `option …`) align what follows
 *   the first `=` or `:` and an initial value or help text behind it; comments behind neighbouring
 *   lines align too
 *   at most one empty line, none beside braces or at the file's ends */
#include "parse.h"

#include "hone.tab.h"

enum { KEYS_APART = 20 };        /* lines whose keys differ by more do not align */

typedef struct Line {
    uint32_t indent;
    Str code, comment;           /* comment with its `#`; either may be empty */
    size_t key, second;          /* bytes of code before what is aligned; 0: nothing is */
    int kind;                    /* lines of one kind that are neighbours align */
    bool gap;                    /* an empty line before it */
    bool whole;                  /* its statement begins and ends here */
} Line;

typedef struct Format {
    Parse *p;
    const bool *starts;          /* by raw token: a statement begins with it */
    VEC(Line) lines;
    VEC(int) open;               /* brackets */
    VEC(bool) reduction;         /* by open bracket: of a reduction's indices */
    size_t braces, squares;      /* of them */
    const Token *before;         /* the token put out last */
    bool before_unary, before_reduction, before_tight;
    Buf code;                    /* of the line at hand */
    Line line;
} Format;

/* --- blanks ------------------------------------------------------------------------------------- */
static bool is_keyword(int kind)
{
    return kind >= T_USE && kind <= T_FALSE;
}

/* Words of recipes, which are names elsewhere. */
static bool is_recipe_word(int kind)
{
    return kind >= T_LOAD && kind <= T_PREDICT;
}

/* What a value can end with: a following `-` is binary, a following ( or [ belongs to it. */
static bool ends_value(const Token *token)
{
    switch (token->kind) {
    case T_IDENT:
    case T_PRIMED:
    case T_REDUCE:
    case T_PATHINDEX:
    case T_INT:
    case T_FLOAT:
    case T_STRING:
    case T_TRUE:
    case T_FALSE:
    case T_DOTDOT:
    case ')':
    case ']':
        return true;
    default:
        return is_recipe_word(token->kind);
    }
}

static bool is_arithmetic(int kind)
{
    return kind == '+' || kind == '-' || kind == '*' || kind == '/' || kind == '%' ||
           kind == T_IDIV;
}

static bool is_callee(const Format *f)
{
    const Token *before = f->before;
    return ends_value(before) && before->kind != T_INT && before->kind != T_FLOAT &&
           before->kind != T_STRING && before->kind != T_DOTDOT && !f->before_reduction;
}

/* A binary operator that the writer put between its operands without blanks. */
static bool is_tight(const Format *f, const Token *token)
{
    const char *text = f->p->text.ptr;
    char before = token->span.start > 0 ? text[token->span.start - 1] : ' ';
    char after = text[token->span.end];
    return is_arithmetic(token->kind) && ends_value(f->before) && before != ' ' && before != '\t' &&
           before != '\n' && after != ' ' && after != '\t' && after != '\n' && after != '\r' &&
           after != '#';
}

static bool blank_before(const Format *f, const Token *token)
{
    int before = f->before->kind, kind = token->kind;
    if (before == '{' || kind == '{') {
        return !(before == '{' && kind == '}');
    }
    if (kind == ',' || kind == ')' || kind == ']' || before == '(' || before == '[' ||
        kind == '.' || before == '.' || kind == T_PATHINDEX || kind == '^' || before == '^' ||
        kind == ':' || f->before_unary || f->before_tight) {
        return false;
    }
    if (kind == '}' || before == ',') {
        return true;
    }
    if (kind == '(' || kind == '[') {
        return !is_callee(f) && !(before == ':' && f->squares > 0) && before != T_DOTDOT;
    }
    if (before == ':') {
        return f->squares == 0;
    }
    if (kind == T_DOTDOT || before == T_DOTDOT) {
        return is_keyword(kind) || is_keyword(before);
    }
    return !is_tight(f, token);
}

/* --- one line ----------------------------------------------------------------------------------- */
/* The kind of a line that begins with a token: of a keyword that introduces a name, of a name, or 0. */
static int kind_of(const Token *token)
{
    switch (token->kind) {
    case T_OPTION:
    case T_LET:
    case T_FN:
    case T_PARAM:
    case T_STATE:
    case T_METRIC:
    case T_IDENT:
    case T_PRIMED:
        return token->kind == T_PRIMED ? T_IDENT : token->kind;
    default:
        return 0;
    }
}

/* Called before the token is put out: does what is aligned begin here, or behind it? */
static void find_key(Format *f, const Token *token)
{
    Line *line = &f->line;
    if (line->kind == 0 || f->open.len > f->braces) {
        return;
    }
    bool help = line->kind == T_OPTION && token->kind == T_STRING && f->before->kind != '=';
    if (line->key > 0 && (help || (line->kind < 0 && token->kind == '='))) {
        line->second = f->code.len;
    }
    if (line->key > 0) {
        return;
    }
    if (token->kind == '[' && line->kind == T_IDENT) {
        line->kind = '[';
    } else if (token->kind == ':') {
        line->key = f->code.len + 1;
        line->kind = -line->kind;
    } else if (token->kind == '=') {
        line->key = f->code.len;
    } else if (token->kind == '{' || (token->kind == '(' && line->kind != T_FN)) {
        line->kind = 0;
    }
}

static void end_line(Format *f)
{
    f->line.code = buf_str(&f->code);
    while (f->line.code.len > 0 && f->line.code.ptr[f->line.code.len - 1] == ' ') {
        f->line.code.len--;
    }
    if (f->line.code.len > 0 || f->line.comment.len > 0) {
        VEC_PUSH(f->p->arena, f->lines, f->line);
    }
    f->line = (Line){0};
    f->code = buf_new(f->p->arena);
}

static uint32_t indent_of(const Format *f, const Token *token, bool starts)
{
    uint32_t indent = 2 * (uint32_t)f->braces;
    if (token->kind == '}') {
        return indent - 2;
    }
    if (token->kind == ')' || token->kind == ']') {
        return indent;
    }
    return starts || token->kind == T_ELSE ? indent : indent + 4;
}

/* Comments and empty lines between two tokens; those after the first line end stand on lines of
 * their own. */
static void put_gap(Format *f, uint32_t from, const Token *token, bool starts)
{
    if (!token->first && token->kind != 0) {
        return;
    }
    const char *text = f->p->text.ptr;
    bool own = f->lines.len == 0 && f->code.len == 0;
    size_t ends = 0;
    for (uint32_t i = from; i < token->span.start;) {
        if (text[i] == '\n') {
            ends++;
            if (ends == 1 && !own) {
                end_line(f);
            }
            f->line.gap = ends > 1 && f->lines.len > 0;
            own = true;
            i++;
        } else if (text[i] == '#') {
            uint32_t end = i;
            while (end < token->span.start && text[end] != '\n') {
                end++;
            }
            uint32_t last = end;
            while (last > i && (text[last - 1] == ' ' || text[last - 1] == '\t' ||
                                text[last - 1] == '\r')) {
                last--;
            }
            f->line.comment = (Str){text + i, last - i};
            i = end;
            if (own) {
                f->line.indent = token->kind == '}' ? 2 * (uint32_t)f->braces
                                                    : indent_of(f, token, starts);
                end_line(f);
                i += end < token->span.start;
                ends = 1;
            }
        } else {
            i++;
        }
    }
    if (token->first && f->code.len > 0) {
        end_line(f);
    }
    bool beside = f->code.len == 0 && (token->kind == '}' || token->kind == 0);
    f->line.gap = f->line.gap && !beside;
}

static void put_token(Format *f, const Token *token)
{
    Arena *arena = f->p->arena;
    find_key(f, token);
    if (f->code.len > 0 && blank_before(f, token)) {
        buf_char(&f->code, ' ');
    }
    bool unary = (token->kind == '-' || token->kind == '+') &&
                 (f->before == NULL || !ends_value(f->before) || f->before_reduction);
    bool reduction = false;
    switch (token->kind) {
    case '(':
    case '[':
    case '{':
        VEC_PUSH(arena, f->reduction,
                 token->kind == '[' && f->before != NULL && f->before->kind == T_REDUCE);
        VEC_PUSH(arena, f->open, token->kind);
        f->braces += token->kind == '{';
        f->squares += token->kind == '[';
        break;
    case ')':
    case ']':
    case '}':
        f->open.len--;
        f->reduction.len--;
        reduction = f->reduction.at[f->reduction.len];
        f->braces -= token->kind == '}';
        f->squares -= token->kind == ']';
        break;
    default:
        break;
    }
    buf_add(&f->code, (Str){f->p->text.ptr + token->span.start,
                            token->span.end - token->span.start});
    f->before_tight = f->before != NULL && !f->before_reduction && is_tight(f, token);
    f->before = token;
    f->before_unary = unary;
    f->before_reduction = reduction;
}

/* Which raw tokens begin a statement. */
static const bool *find_starts(const Parse *p)
{
    bool *starts = NEW_ARRAY(p->arena, bool, p->raw.len);
    bool start = true;
    size_t k = 0;
    for (size_t i = 0; i < p->tokens.len; i++) {
        const Token *token = p->tokens.at[i];
        if (token->kind == T_NL) {
            start = true;
            continue;
        }
        while (p->raw.at[k] != token) {
            k++;
        }
        starts[k] = start || token->kind == '}' || token->kind == 0;
        start = token->kind == '{';
    }
    return starts;
}

static bool has_comment(const Format *f, uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to; i++) {
        if (f->p->text.ptr[i] == '#') {
            return true;
        }
    }
    return false;
}

/* `{` and `else` that stand alone on a line go to the line before. */
static void join_lines(const Format *f)
{
    for (size_t i = 1; i < f->p->raw.len; i++) {
        Token *token = f->p->raw.at[i];
        const Token *before = f->p->raw.at[i - 1];
        bool joins = token->kind == '{' || (token->kind == T_ELSE && before->kind == '}');
        if (joins && token->first && !has_comment(f, before->span.end, token->span.start)) {
            token->first = false;
        }
    }
}

static void put_all(Format *f)
{
    const Tokens *raw = &f->p->raw;
    uint32_t from = 0;
    f->code = buf_new(f->p->arena);
    for (size_t i = 0; i < raw->len; i++) {
        const Token *token = raw->at[i];
        bool starts = f->starts[i];
        if (token->kind == ';') {
            const Token *next = raw->at[i + 1];
            if (!next->first && next->kind != '}' && next->kind != 0 && f->code.len > 0) {
                buf_char(&f->code, ';');
                f->line.whole = false;
            }
            put_gap(f, from, token, starts);
            from = token->span.end;
            continue;
        }
        put_gap(f, from, token, starts);
        from = token->span.end;
        if (token->kind == 0) {
            break;
        }
        if (f->code.len == 0) {
            bool after_brace = f->before != NULL && f->before->kind == '{';
            f->line.gap = f->line.gap && !after_brace;
            f->line.indent = indent_of(f, token, starts);
            f->line.kind = starts ? kind_of(token) : 0;
            f->line.whole = starts;
        }
        if (!starts && token->first && f->lines.len > 0) {
            f->lines.at[f->lines.len - 1].whole = false;
        }
        put_token(f, token);
    }
    end_line(f);
}

/* --- columns ------------------------------------------------------------------------------------ */
static size_t width(Str text)                      /* in characters */
{
    size_t n = 0;
    for (size_t i = 0; i < text.len; i++) {
        n += (text.ptr[i] & 0xC0) != 0x80;
    }
    return n;
}

static bool aligned(const Line *line)
{
    return line->key > 0 && line->kind != 0 && line->whole;
}

static bool neighbours(const Line *a, const Line *b)
{
    return !b->gap && a->indent == b->indent;
}

static size_t *key_of(Line *line, bool second)
{
    return second ? &line->second : &line->key;
}

/* What comes behind the keys of lines from..to moves to one column. */
static void align_keys(Format *f, size_t from, size_t to, bool second)
{
    size_t most = 0;
    for (size_t i = from; i < to; i++) {
        Line *line = &f->lines.at[i];
        size_t key = width((Str){line->code.ptr, *key_of(line, second)});
        most = key > most ? key : most;
    }
    for (size_t i = from; i < to; i++) {
        Line *line = &f->lines.at[i];
        size_t key = *key_of(line, second);
        size_t fill = most - width((Str){line->code.ptr, key});
        if (key == 0) {
            continue;
        }
        Buf code = buf_new(f->p->arena);
        buf_add(&code, (Str){line->code.ptr, key});
        for (size_t n = 0; n < fill; n++) {
            buf_char(&code, ' ');
        }
        buf_add(&code, (Str){line->code.ptr + key, line->code.len - key});
        line->code = buf_str(&code);
        line->second += !second && line->second > 0 ? fill : 0;
    }
}

static bool align_together(const Format *f, size_t i)
{
    const Line *a = &f->lines.at[i], *b = &f->lines.at[i + 1];
    return aligned(b) && a->kind == b->kind && neighbours(a, b) && a->key < b->key + KEYS_APART &&
           b->key < a->key + KEYS_APART;
}

static void align_all(Format *f)
{
    for (size_t i = 0; i < f->lines.len;) {
        size_t end = i + 1;
        while (aligned(&f->lines.at[i]) && end < f->lines.len && align_together(f, end - 1)) {
            end++;
        }
        if (end - i > 1) {
            align_keys(f, i, end, false);
            align_keys(f, i, end, true);
        }
        i = end;
    }
}

/* The column of the comments behind lines from.. that stand together. */
static size_t comment_column(const Format *f, size_t from)
{
    size_t most = 0;
    for (size_t i = from; i < f->lines.len; i++) {
        const Line *line = &f->lines.at[i];
        if (line->code.len == 0 || line->comment.len == 0 || (i > from && line->gap)) {
            break;
        }
        size_t end = line->indent + width(line->code);
        most = end > most ? end : most;
    }
    return most + 2;
}

static void print_lines(const Format *f, Buf *out)
{
    size_t column = 0;
    for (size_t i = 0; i < f->lines.len; i++) {
        const Line *line = &f->lines.at[i];
        if (line->gap) {
            buf_char(out, '\n');
        }
        for (uint32_t k = 0; k < line->indent && line->code.len + line->comment.len > 0; k++) {
            buf_char(out, ' ');
        }
        buf_add(out, line->code);
        if (line->code.len > 0 && line->comment.len > 0) {
            const Line *above = i > 0 ? &f->lines.at[i - 1] : NULL;
            bool goes_on = above && above->code.len > 0 && above->comment.len > 0 && !line->gap;
            column = goes_on ? column : comment_column(f, i);
            for (size_t k = line->indent + width(line->code); k < column; k++) {
                buf_char(out, ' ');
            }
        }
        buf_add(out, line->comment);
        if (line->code.len + line->comment.len > 0) {
            buf_char(out, '\n');
        }
    }
}

bool format_file(Arena *arena, const Sources *sources, uint32_t file, Diags *diags, Buf *out)
{
    Parse p = {.arena = arena, .diags = diags, .sources = sources, .file = file,
               .text = sources_file(sources, file)->text};
    if (!parse_run(&p)) {
        return false;
    }
    Format f = {.p = &p, .starts = find_starts(&p)};
    join_lines(&f);
    put_all(&f);
    align_all(&f);
    print_lines(&f, out);
    return true;
}
