/* message: what a syntax error says. The parser knows which symbols could stand at the place; this
 * file says it in the words of a person, and recognises the mistakes that people make. */
#include "parse.h"

#include <string.h>

#include "hone.tab.h"

/* Once per file: whatever is around what is too deep is too deep as well. */
void message_nesting(Parse *p, Span span)
{
    if (p->too_deep) {
        return;
    }
    p->too_deep = true;
    Diag *d = parse_error(p, E003, span, "nested too deep");
    diag_note(d, "brackets, blocks and chains of operators may be nested %d deep", PARSE_NESTING);
}

/* --- words at the start of an item or clause -------------------------------------------------- */
typedef enum Where { TOP, MODULE, OPTIMIZER, DATA, RECIPE, MAPS, GROUP, STATEMENTS } Where;

static const char *const where_names[] = {
    [TOP] = "the top level of a file",
    [MODULE] = "a `module`",
    [OPTIMIZER] = "an `optimizer`",
    [DATA] = "`data`",
    [RECIPE] = "a `finetune` or `stage`",
    [MAPS] = "a `load`",
    [GROUP] = "a `group`",
    [STATEMENTS] = "a `fn` or `step`",
};

typedef struct Word {
    Where where;
    const char *text;
} Word;

static const Word words[] = {
    {TOP, "use"},           {TOP, "option"},         {TOP, "let"},          {TOP, "fn"},
    {TOP, "module"},        {TOP, "optimizer"},      {TOP, "data"},         {TOP, "finetune"},
    {MODULE, "param"},      {MODULE, "state"},       {MODULE, "tie"},       {MODULE, "if"},
    {MODULE, "fn"},         {OPTIMIZER, "state"},    {OPTIMIZER, "fn"},     {RECIPE, "load"},
    {RECIPE, "save"},       {RECIPE, "freeze"},      {RECIPE, "group"},     {RECIPE, "layers"},
    {RECIPE, "adapt"},      {RECIPE, "penalty"},     {RECIPE, "recompute"}, {RECIPE, "remember"},
    {RECIPE, "step"},       {RECIPE, "stage"},       {RECIPE, "for"},       {RECIPE, "let"},
    {RECIPE, "optimizer"},  {MAPS, "rename"},        {MAPS, "ignore"},      {MAPS, "fresh"},
    {GROUP, "optimizer"},   {STATEMENTS, "return"},  {STATEMENTS, "if"},    {STATEMENTS, "for"},
    {STATEMENTS, "metric"}, {STATEMENTS, "predict"},
};
enum { WORDS = sizeof words / sizeof *words };

static const struct {
    const char *theirs, *ours;
} foreign[] = {
    {"def", "fn"},       {"func", "fn"},        {"function", "fn"},     {"fun", "fn"},
    {"class", "module"}, {"struct", "module"},  {"import", "use"},      {"include", "use"},
    {"require", "use"},  {"parm", "param"},     {"parameter", "param"}, {"var", "let"},
    {"const", "let"},    {"while", "for"},      {"elif", "else if"},    {"elseif", "else if"},
    {"model", "module"}, {"network", "module"}, {"buffer", "state"},    {"train", "finetune"},
    {"lock", "freeze"},  {"arg", "option"},     {"dataset", "data"},
};

/* The first token of the statement in which a token stands. */
static size_t statement_start(const Parse *p, size_t at)
{
    while (at > 0 && p->tokens.at[at - 1]->kind != T_NL && p->tokens.at[at - 1]->kind != '{') {
        at--;
    }
    return at;
}

/* The kind of block that a token stands in: by the word that starts the line of the innermost {. */
static Where where_is(const Parse *p, size_t at)
{
    size_t depth = 0;
    size_t i = at;
    for (; i > 0; i--) {
        int kind = p->tokens.at[i - 1]->kind;
        if (kind == '}') {
            depth++;
        } else if (kind == '{' && depth-- == 0) {
            break;
        }
    }
    if (i == 0) {
        return TOP;
    }
    i = statement_start(p, i - 1);
    switch (p->tokens.at[i]->kind) {
    case T_MODULE:
        return MODULE;
    case T_OPTIMIZER:
        return OPTIMIZER;
    case T_DATA:
        return DATA;
    case T_FINETUNE:
    case T_STAGE:
        return RECIPE;
    case T_LOAD:
    case T_SAVE:
        return MAPS;
    case T_GROUP:
        return GROUP;
    case T_IF:
    case T_FOR: { /* as the block around, which holds statements, items or clauses */
        Where outer = where_is(p, i);
        return outer == TOP ? STATEMENTS : outer;
    }
    default:
        break;
    }
    return STATEMENTS;
}

static Str nearest_word(Str name, Where where)
{
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++) {
        if (str_is(name, foreign[i].theirs)) {
            for (size_t j = 0; j < WORDS; j++) {
                if (words[j].where == where &&
                    str_ends(str_of(foreign[i].ours), str_of(words[j].text))) {
                    return str_of(foreign[i].ours);
                }
            }
        }
    }
    Str near[WORDS];
    size_t n = 0;
    for (size_t i = 0; i < WORDS; i++) {
        if (words[i].where == where) {
            near[n++] = str_of(words[i].text);
        }
    }
    return name.len < 3 ? STR("") : str_nearest(name, near, n);
}

/* A list such as "a `module` or an `optimizer`" of the blocks where a word starts something. */
static Str places_of(Parse *p, Str word)
{
    Str places = STR("");
    for (size_t i = 0; i < WORDS; i++) {
        if (str_is(word, words[i].text)) {
            places = str_join(p->arena, places, " or ", str_of(where_names[words[i].where]));
        }
    }
    return places;
}

static bool is_name(int kind)
{
    return kind == T_IDENT || (kind >= T_LOAD && kind <= T_PREDICT);
}

/* E004, if the statement starts with a word that should have been another. */
static bool misspelt(Parse *p, size_t start, size_t at)
{
    const Token *word = p->tokens.at[start];
    const Token *token = p->tokens.at[at];
    bool continued =
        at == start + 1 && (is_name(token->kind) || token->kind == T_STRING || token->kind == '{' ||
                            token->kind == T_MODULE || token->kind == T_NL || token->kind == '(');
    if (word->kind != T_IDENT || (at != start && !continued)) {
        return false;
    }
    Where where = where_is(p, start);
    Str near = nearest_word(word->text, where);
    if (near.len == 0 && !(where == TOP && at == start)) {
        return false;
    }
    Diag *d = parse_error(p, E004, word->span, "unknown %s `" STR_FMT "`",
                          where == TOP          ? "item"
                          : where == STATEMENTS ? "statement"
                                                : "clause",
                          STR_ARG(word->text));
    if (near.len > 0) {
        diag_help(d, "did you mean `" STR_FMT "`?", STR_ARG(near));
        diag_edit(d, word->span, near);
    } else {
        diag_help(d,
                  "a file consists of `use`, `option`, `let`, `fn`, `module`, `optimizer`, `data` "
                  "and `finetune`");
    }
    return true;
}

/* --- what could stand there ------------------------------------------------------------------- */
enum { CHOICES_MOST = 6 }; /* a longer list says nothing */

/* A symbol's name as it is shown: '+' and words in backticks, "a name" as it is. */
static const char *shown(Parse *p, const char *name)
{
    Str text = str_of(name);
    if (text.len == 3 && name[0] == '\'') {
        return str_c(p->arena, str_format(p->arena, "`%c`", name[1]));
    }
    if (str_starts(text, STR("a ")) || str_starts(text, STR("end "))) {
        return name;
    }
    return str_c(p->arena, str_format(p->arena, "`%s`", name));
}

/* What may follow an operand, said as "an operator". */
static bool is_operator(const char *name)
{
    static const char *const operators[] = {"'+'", "'-'", "'*'", "'/'", "'%'", "'@'", "'^'",
                                            "'<'", "'>'", "==",  "!=",  "<=",  ">=",  "//",
                                            "and", "or",  "'('", "'['", "'.'"};
    return advice_wants(operators, sizeof operators / sizeof *operators, name);
}

/* Names, numbers, strings …: what is said as "an expression", or as "a name". */
static bool starts_operand(const char *name)
{
    static const char *const starts[] = {"a name",   "a primed name", "a whole number",
                                         "a number", "a string",      "a reduction",
                                         "'('",      "'['",           "'-'",
                                         "not",      "true",          "false"};
    return advice_wants(starts, sizeof starts / sizeof *starts, name);
}

static Str choices(Parse *p, const char *const *wanted, size_t n)
{
    bool operand = advice_wants(wanted, n, "a whole number") && advice_wants(wanted, n, "'('");
    bool name = advice_wants(wanted, n, "a name");
    bool after = advice_wants(wanted, n, "'+'") && advice_wants(wanted, n, "'*'");
    VEC(const char *) said = {0};
    if (operand || name) {
        VEC_PUSH(p->arena, said, operand ? "an expression" : "a name");
    }
    for (size_t i = 0; i < n; i++) {
        bool covered = (operand && starts_operand(wanted[i])) ||
                       (after && is_operator(wanted[i])) || strcmp(wanted[i], "a name") == 0 ||
                       strcmp(wanted[i], "a path index") == 0;
        if (!covered) {
            VEC_PUSH(p->arena, said, shown(p, wanted[i]));
        }
    }
    if (after) {
        VEC_PUSH(p->arena, said, "an operator");
    }
    Buf buf = buf_new(p->arena);
    for (size_t i = 0; i < said.len && said.len <= CHOICES_MOST; i++) {
        buf_add(&buf, i == 0 ? STR("") : i + 1 == said.len ? STR(" or ") : STR(", "));
        buf_add(&buf, str_of(said.at[i]));
    }
    return buf_str(&buf);
}

/* --- the message ------------------------------------------------------------------------------ */
static bool echo(const Parse *p, size_t at)
{
    const Token *token = p->tokens.at[at];
    if (token->synthetic || (at > 0 && p->tokens.at[at - 1]->synthetic)) {
        return true; /* the bracket was reported */
    }
    return parse_bad_line(p, token->line);
}

/* A word of recipes at the start of a clause that stands in other blocks only. */
static bool elsewhere(const Token *word, Where where)
{
    bool known = false;
    for (size_t i = 0; i < WORDS; i++) {
        if (str_is(word->text, words[i].text)) {
            known = true;
            if (words[i].where == where) {
                return false;
            }
        }
    }
    return known && is_name(word->kind) && where != TOP && where != STATEMENTS;
}

static Str subject(Parse *p, const Token *token)
{
    switch (token->kind) {
    case T_NL:
        return STR("line ends too early");
    case 0:
        return STR("file ends too early");
    case T_STRING:
        return STR("unexpected string");
    case T_INT:
    case T_FLOAT:
        return str_format(p->arena, "unexpected number `" STR_FMT "`", STR_ARG(token->text));
    case T_PRIMED:
        return str_format(p->arena, "unexpected `" STR_FMT "'`", STR_ARG(token->text));
    case T_PATHINDEX:
        return str_format(p->arena, "unexpected `." STR_FMT "`", STR_ARG(token->text));
    default:
        return str_format(p->arena, "unexpected `" STR_FMT "`", STR_ARG(token->text));
    }
}

/* The reserved word that stands where a name belongs, at the token or before its `=` or `:`; NULL: none. */
static const Token *reserved(const Parse *p, size_t start, size_t at, const char *const *wanted, size_t n)
{
    const Token *token = p->tokens.at[at];
    if (!advice_wants(wanted, n, "a name")) {
        return NULL;
    }
    if (at == start + 1 && (token->kind == '=' || token->kind == ':')) {
        token = p->tokens.at[start];
    } else {
        int after = token->kind != 0 ? p->tokens.at[at + 1]->kind : 0;
        bool ends = parse_follows_name(after) || (at != start && (after == T_NL || after == '{'));
        if (!ends && advice_wants(wanted, n, "a whole number")) {
            return NULL;
        }
    }
    bool is_word = (token->kind >= T_USE && token->kind <= T_FALSE) || token->kind == T_REDUCE;
    return is_word ? token : NULL;
}

void message_syntax(Parse *p, const char *const *wanted, size_t n)
{
    size_t at = p->taken;
    if (p->reported >= PARSE_ERRORS_MOST || echo(p, at)) {
        return;
    }
    const Token *token = p->tokens.at[at];
    size_t start = statement_start(p, at);
    if (misspelt(p, start, at)) {
        return;
    }
    Str what = subject(p, token);
    Diag *d = parse_error(p, E003, token->span, STR_FMT, STR_ARG(what));
    Str may = choices(p, wanted, n);
    if (may.len > 0) {
        diag_label(d, "wants " STR_FMT, STR_ARG(may));
    }
    Str places = at == start && token->kind != T_IDENT ? places_of(p, token->text) : STR("");
    Where where = where_is(p, start);
    if (places.len == 0 && at == start + 1 && elsewhere(p->tokens.at[start], where)) {
        token = p->tokens.at[start];
        places = places_of(p, token->text);
    }
    Advice help =
        advice(p, start, at, wanted, n, where == MODULE ? BLOCK_MODULE
                                        : where == STATEMENTS ? BLOCK_STATEMENTS : BLOCK_OTHER);
    const Token *word = help.help == NULL ? reserved(p, start, at, wanted, n) : NULL;
    if (word != NULL) {
        diag_help(d, "`" STR_FMT "` is a reserved word: choose another name", STR_ARG(word->text));
        return;
    }
    if (places.len > 0) {
        diag_note(d, "`" STR_FMT "` stands in " STR_FMT, STR_ARG(token->text), STR_ARG(places));
    }
    if (help.help != NULL) {
        diag_help(d, "%s", help.help);
        if (help.edit != NULL) {
            diag_edit(d, p->tokens.at[at]->span, str_of(help.edit));
        }
    }
}
