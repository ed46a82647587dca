/* The grammar of hone, whole. It only parses: names are not looked up, nothing is folded. Line
 * ends arrive as NL where they end a statement (layout.c), also before `}` and never after `{`.
 * What stands at which kid of a node is said in compiler/syntax/ast.def. */

%define api.pure full
%define api.prefix {hone_}
%define api.token.prefix {T_}
%define api.location.type {Span}
%define parse.lac full
%define parse.error custom
%locations
%expect 0
%param {Parse *p}
%initial-action { @$ = (Span){.file = p->file}; }

%code requires {
#include "parse.h"
}

%code {
/* The parser takes no memory but its C stack: what needs a deeper one is nested too deep. */
#define YYINITDEPTH 4096
#define YYMAXDEPTH 4096
#define YYMALLOC(bytes) ((void)(bytes), NULL)
#define YYFREE(memory) ((void)(memory))

#define YYLLOC_DEFAULT(current, rhs, n)                                                            \
    ((current) = (n) > 0 ? span_join(YYRHSLOC(rhs, 1), YYRHSLOC(rhs, n))                           \
                         : (Span){p->file, YYRHSLOC(rhs, 0).end, YYRHSLOC(rhs, 0).end})

#define KIDS(...) (Ast *[]){__VA_ARGS__}, sizeof((Ast *[]){__VA_ARGS__}) / sizeof(Ast *)
#define NONE NULL, 0
#define LIST() ast_list(p->arena)
#define ADD(list, item) ast_list_add(p->arena, (list), (item))

static int hone_lex(HONE_STYPE *value, Span *span, Parse *p);
static void hone_error(const Span *span, Parse *p, const char *message);
static Ast *node(Parse *p, AstKind kind, Span span, const Token *name, const AstList *tail,
                 Ast *const *kids, size_t n);
static Ast *leaf(Parse *p, AstKind kind, const Token *token);
static Ast *dotted(Parse *p, AstKind kind, Span span, const Ast *path, const AstList *tail,
                   Ast *const *kids, size_t n);
static Ast *target(Parse *p, Span span, const Ast *path, const Token *primed);
static Ast *flagged(Ast *ast, uint32_t flag);
static Ast *parens(Ast *ast, Span span);
static Ast *documented(Parse *p, Ast *ast);
static Ast *unread(Parse *p, Span span);
}

%union {
    const Token *token;
    Ast *ast;
    AstList *list;
    uint32_t flag;
}

%token END 0 "end of file"
%token <token> NL "end of line"

/* reserved words */
%token <token> USE "use" OPTION "option" LET "let" FN "fn" MODULE "module" OPTIMIZER "optimizer"
               DATA "data" FINETUNE "finetune" PARAM "param" STATE "state" TIE "tie" AS "as" IF "if"
               ELSE "else" FOR "for" IN "in" RETURN "return" AND "and" OR "or" NOT "not"
               TRUE "true" FALSE "false"
/* words of recipes: names elsewhere */
%token <token> LOAD "load" SAVE "save" INTO "into" FROM "from" MERGED "merged" RENAME "rename"
               IGNORE "ignore" FRESH "fresh" ONLY "only" FREEZE "freeze" EXCEPT "except"
               WHERE "where" ADAPT "adapt" WITH "with" GROUP "group" LAYERS "layers"
               PENALTY "penalty" RECOMPUTE "recompute" REMEMBER "remember" STEP "step"
               STAGE "stage" METRIC "metric" PREDICT "predict"
%token <token> IDENT "a name" PRIMED "a primed name" INT "a whole number" FLOAT "a number"
               STRING "a string" REDUCE "a reduction" PATHINDEX "a path index"
%token <token> EQ "==" NE "!=" LE "<=" GE ">=" ARROW "->" IDIV "//" FILL "??" DOTDOT ".."
%token <token> '+' '-' '*' '/' '%' '@' '^' '<' '>' '=' '(' ')' '[' ']' '{' '}' ',' ':' '.'

%left OR
%left AND
%precedence NOT
%nonassoc EQ NE '<' '>' LE GE
%left '+' '-'
%precedence REDUCTION
%left '*' '/' '%' IDIV '@'
%precedence NEG
%right '^'

%type <token> name recipe_word save_state load_into
%type <ast> item fn opt_type type dim params param opt_default opt_string result body_of_fn
%type <ast> block stmt iter lhs lhs_path index if_stmt
%type <ast> mitem mbody if_mitem decl decl_index opt_as obody oitem if_oitem
%type <ast> data_body knob gbody gknob rbody ritem maps opt_maps map sel opt_except opt_where pats
%type <ast> opt_only penalty_from call path
%type <ast> arg expr read chain primary sub fill
%type <list> items names param_list dims stmts lhs_list expr_list indices index_list
%type <list> mitems decls oitems knobs gknobs ritems map_list name_list
%type <list> args arg_list subs sub_list strings
%type <flag> opt_merged

%%

program: items                          { (void)$1; }

items: %empty                           { $$ = p->items; }
     | items item NL                    { $$ = ADD($1, documented(p, $2)); }
     | items error NL                   { $$ = ADD($1, unread(p, @2)); yyerrok; }

item: USE names                         { $$ = node(p, AST_USE, @$, NULL, $2, NONE); }
    | OPTION name opt_type '=' expr opt_string
                                        { $$ = node(p, AST_OPTION, @$, $2, NULL, KIDS($3, $5, $6)); }
    | LET name '=' expr                 { $$ = node(p, AST_LET, @$, $2, NULL, KIDS($4)); }
    | fn
    | MODULE name params mbody          { $$ = node(p, AST_MODULE, @$, $2, NULL, KIDS($3, $4)); }
    | OPTIMIZER name params obody       { $$ = node(p, AST_OPTIMIZER, @$, $2, NULL, KIDS($3, $4)); }
    | DATA name data_body               { $$ = node(p, AST_DATA, @$, $2, NULL, KIDS($3)); }
    | FINETUNE name rbody               { $$ = node(p, AST_FINETUNE, @$, $2, NULL, KIDS($3)); }

names: name                             { $$ = ADD(LIST(), leaf(p, AST_NAME, $1)); }
     | names ',' name                   { $$ = ADD($1, leaf(p, AST_NAME, $3)); }

name: IDENT | recipe_word
recipe_word: LOAD | SAVE | INTO | FROM | MERGED | RENAME | IGNORE | FRESH | ONLY | FREEZE | EXCEPT
           | WHERE | ADAPT | WITH | GROUP | LAYERS | PENALTY | RECOMPUTE | REMEMBER | STEP | STAGE
           | METRIC | PREDICT

opt_string: %empty                      { $$ = NULL; }
          | STRING                      { $$ = leaf(p, AST_STRING, $1); }

/* --- functions and types ---------------------------------------------------------------------- */
fn: FN name params result body_of_fn    { $$ = node(p, AST_FN, @$, $2, NULL, KIDS($3, $4, $5)); }
result: %empty                          { $$ = NULL; }
      | ARROW type                      { $$ = $2; }
body_of_fn: '=' expr                    { $$ = $2; }
          | block

params: '(' ')'                         { $$ = node(p, AST_PARAMS, @$, NULL, NULL, NONE); }
      | '(' param_list ')'              { $$ = node(p, AST_PARAMS, @$, NULL, $2, NONE); }
      | '(' param_list ',' ')'          { $$ = node(p, AST_PARAMS, @$, NULL, $2, NONE); }
param_list: param                       { $$ = ADD(LIST(), $1); }
          | param_list ',' param        { $$ = ADD($1, $3); }
param: name opt_type opt_default        { $$ = node(p, AST_PARAM, @$, $1, NULL, KIDS($2, $3)); }
opt_type: %empty                        { $$ = NULL; }
        | ':' type                      { $$ = $2; }
opt_default: %empty                     { $$ = NULL; }
           | '=' expr                   { $$ = $2; }

type: name                              { $$ = leaf(p, AST_TYPE_SCALAR, $1); }
    | MODULE                            { $$ = leaf(p, AST_TYPE_SCALAR, $1); }
    | '[' dims ']'                      { $$ = node(p, AST_TYPE_TENSOR, @$, NULL, $2, NONE); }
    | '[' dims ',' ']'                  { $$ = node(p, AST_TYPE_TENSOR, @$, NULL, $2, NONE); }
    | name '[' dims ']'                 { $$ = node(p, AST_TYPE_TENSOR, @$, $1, $3, NONE); }
    | name '[' dims ',' ']'             { $$ = node(p, AST_TYPE_TENSOR, @$, $1, $3, NONE); }
dims: dim                               { $$ = ADD(LIST(), $1); }
    | dims ',' dim                      { $$ = ADD($1, $3); }
dim: DOTDOT                             { $$ = node(p, AST_ELLIPSIS, @$, NULL, NULL, NONE); }
   | expr

path: name                              { $$ = leaf(p, AST_NAME, $1); }
    | path '.' IDENT                    { $$ = node(p, AST_MEMBER, @$, $3, NULL, KIDS($1)); }
    | path PATHINDEX                    { $$ = node(p, AST_MEMBER, @$, $2, NULL, KIDS($1)); }

/* --- statements --------------------------------------------------------------------------------- */
block: '{' stmts '}'                    { $$ = node(p, AST_BLOCK, @$, NULL, $2, NONE); }
stmts: %empty                           { $$ = LIST(); }
     | stmts stmt NL                    { $$ = ADD($1, $2); }
     | stmts error NL                   { $$ = ADD($1, unread(p, @2)); yyerrok; }

stmt: lhs_list '=' expr                 { $$ = node(p, AST_ASSIGN, @$, NULL, $1, KIDS($3)); }
    | METRIC name '=' expr              { $$ = node(p, AST_METRIC, @$, $2, NULL, KIDS($4)); }
    | PREDICT name '=' expr             { $$ = node(p, AST_PREDICT, @$, $2, NULL, KIDS($4)); }
    | RETURN expr_list                  { $$ = node(p, AST_RETURN, @$, NULL, $2, NONE); }
    | if_stmt
    | FOR name IN iter block            { $$ = node(p, AST_FOR, @$, $2, NULL, KIDS($4, $5)); }

if_stmt: IF expr block                  { $$ = node(p, AST_IF, @$, NULL, NULL, KIDS($2, $3, NULL)); }
       | IF expr block ELSE block       { $$ = node(p, AST_IF, @$, NULL, NULL, KIDS($2, $3, $5)); }
       | IF expr block ELSE if_stmt     { $$ = node(p, AST_IF, @$, NULL, NULL, KIDS($2, $3, $5)); }

iter: expr DOTDOT expr                  { $$ = node(p, AST_RANGE, @$, NULL, NULL, KIDS($1, $3)); }
    | expr_list                         { $$ = node(p, AST_LISTS, @$, NULL, $1, NONE); }
expr_list: expr                         { $$ = ADD(LIST(), $1); }
         | expr_list ',' expr           { $$ = ADD($1, $3); }

lhs_list: lhs                           { $$ = ADD(LIST(), $1); }
        | lhs_list ',' lhs              { $$ = ADD($1, $3); }
lhs: lhs_path
   | lhs_path '[' indices ']'           { $$ = node(p, AST_LHS, @$, NULL, $3, NONE);
                                          $$->text = $1->text; $$->name = $1->name;
                                          $$->flags = $1->flags | AST_FLAG_INDEXED; }
lhs_path: path                          { $$ = target(p, @$, $1, NULL); }
        | PRIMED                        { $$ = target(p, @$, NULL, $1); }
        | path '.' PRIMED               { $$ = target(p, @$, $1, $3); }

indices: index_list | index_list ','
index_list: index                       { $$ = ADD(LIST(), $1); }
          | index_list ',' index        { $$ = ADD($1, $3); }
index: DOTDOT                           { $$ = node(p, AST_ELLIPSIS, @$, NULL, NULL, NONE); }
     | name                             { $$ = node(p, AST_INDEX, @$, $1, NULL, KIDS(NULL)); }
     | name '<' expr                    { $$ = node(p, AST_INDEX, @$, $1, NULL, KIDS($3)); }

/* --- modules ------------------------------------------------------------------------------------ */
mbody: '{' mitems '}'                   { $$ = node(p, AST_BODY, @$, NULL, $2, NONE); }
mitems: %empty                          { $$ = LIST(); }
      | mitems mitem NL                 { $$ = ADD($1, documented(p, $2)); }
      | mitems error NL                 { $$ = ADD($1, unread(p, @2)); yyerrok; }

mitem: PARAM path opt_as ':' type '=' expr
                                        { $$ = dotted(p, AST_VAR_PARAM, @$, $2, NULL, KIDS($5, $7, $3)); }
     | STATE path opt_as ':' type '=' expr
                                        { $$ = dotted(p, AST_VAR_STATE, @$, $2, NULL, KIDS($5, $7, $3)); }
     | decls ':' call                   { $$ = node(p, AST_SUBMODULE, @$, NULL, $1, KIDS($3)); }
     | TIE path '=' path                { $$ = node(p, AST_TIE, @$, NULL, NULL,
                                                    KIDS(dotted(p, AST_PATH, @2, $2, NULL, NONE),
                                                         dotted(p, AST_PATH, @4, $4, NULL, NONE))); }
     | if_mitem
     | fn

if_mitem: IF expr mbody                 { $$ = node(p, AST_IF, @$, NULL, NULL, KIDS($2, $3, NULL)); }
        | IF expr mbody ELSE mbody      { $$ = node(p, AST_IF, @$, NULL, NULL, KIDS($2, $3, $5)); }
        | IF expr mbody ELSE if_mitem   { $$ = node(p, AST_IF, @$, NULL, NULL, KIDS($2, $3, $5)); }

decls: decl                             { $$ = ADD(LIST(), $1); }
     | decls ',' decl                   { $$ = ADD($1, $3); }
decl: path decl_index opt_as            { $$ = dotted(p, AST_DECL, @$, $1, NULL, KIDS($2, $3)); }
decl_index: %empty                      { $$ = NULL; }
          | '[' name '<' expr ']'       { $$ = node(p, AST_INDEX, @$, $2, NULL, KIDS($4)); }
opt_as: %empty                          { $$ = NULL; }
      | AS STRING                       { $$ = leaf(p, AST_STRING, $2); }

obody: '{' oitems '}'                   { $$ = node(p, AST_BODY, @$, NULL, $2, NONE); }
oitems: %empty                          { $$ = LIST(); }
      | oitems oitem NL                 { $$ = ADD($1, documented(p, $2)); }
      | oitems error NL                 { $$ = ADD($1, unread(p, @2)); yyerrok; }
oitem: STATE name ':' type '=' expr     { $$ = node(p, AST_VAR_STATE, @$, $2, NULL, KIDS($4, $6, NULL)); }
     | if_oitem
     | fn

if_oitem: IF expr obody                 { $$ = node(p, AST_IF, @$, NULL, NULL, KIDS($2, $3, NULL)); }
        | IF expr obody ELSE obody      { $$ = node(p, AST_IF, @$, NULL, NULL, KIDS($2, $3, $5)); }
        | IF expr obody ELSE if_oitem   { $$ = node(p, AST_IF, @$, NULL, NULL, KIDS($2, $3, $5)); }

/* --- data and recipes ----------------------------------------------------------------------------- */
data_body: '{' knobs '}'                { $$ = node(p, AST_BODY, @$, NULL, $2, NONE); }
knobs: %empty                           { $$ = LIST(); }
     | knobs knob NL                    { $$ = ADD($1, $2); }
     | knobs error NL                   { $$ = ADD($1, unread(p, @2)); yyerrok; }
knob: name '=' expr                     { $$ = node(p, AST_KNOB, @$, $1, NULL, KIDS($3)); }

gbody: '{' gknobs '}'                   { $$ = node(p, AST_BODY, @$, NULL, $2, NONE); }
gknobs: %empty                          { $$ = LIST(); }
      | gknobs gknob NL                 { $$ = ADD($1, $2); }
      | gknobs error NL                 { $$ = ADD($1, unread(p, @2)); yyerrok; }
gknob: knob
     | OPTIMIZER call                   { $$ = node(p, AST_OPTIMIZER_CALL, @$, NULL, NULL, KIDS($2)); }

rbody: '{' ritems '}'                   { $$ = node(p, AST_BODY, @$, NULL, $2, NONE); }
ritems: %empty                          { $$ = LIST(); }
      | ritems ritem NL                 { $$ = ADD($1, documented(p, $2)); }
      | ritems error NL                 { $$ = ADD($1, unread(p, @2)); yyerrok; }

ritem: gknob
     | LET name '=' expr                { $$ = node(p, AST_LET, @$, $2, NULL, KIDS($4)); }
     | name ':' call                    { $$ = node(p, AST_MODEL, @$, $1, NULL, KIDS($3)); }
     | LOAD expr load_into opt_maps     { $$ = node(p, AST_LOAD, @$, $3, NULL, KIDS($2, $4));
                                          $$->name = $1->span; }
     | SAVE expr save_state opt_merged opt_only opt_maps
                                        { $$ = flagged(node(p, AST_SAVE, @$, $3, NULL,
                                                            KIDS($2, $5, $6)), $4);
                                          $$->name = $1->span; }
     | FREEZE sel                       { $$ = node(p, AST_FREEZE, @$, NULL, NULL, KIDS($2)); $$->name = @1; }
     | GROUP sel gbody                  { $$ = node(p, AST_GROUP, @$, NULL, NULL, KIDS($2, $3)); $$->name = @1; }
     | LAYERS strings                   { $$ = node(p, AST_LAYERS, @$, NULL, $2, NONE); $$->name = @1; }
     | ADAPT sel WITH call              { $$ = node(p, AST_ADAPT, @$, NULL, NULL, KIDS($2, $4)); $$->name = @1; }
     | PENALTY '(' name_list ')' IN sel penalty_from '=' expr
                                        { $$ = node(p, AST_PENALTY, @$, NULL, $3, KIDS($6, $9, $7));
                                          $$->name = @1; }
     | RECOMPUTE sel                    { $$ = node(p, AST_RECOMPUTE, @$, NULL, NULL, KIDS($2)); $$->name = @1; }
     | REMEMBER name IN name block      { $$ = node(p, AST_REMEMBER, @$, $2, NULL,
                                                    KIDS(leaf(p, AST_NAME, $4), $5)); }
     | STEP name IN name block          { $$ = node(p, AST_STEP, @$, $2, NULL,
                                                    KIDS(leaf(p, AST_NAME, $4), $5)); }
     | STAGE name rbody                 { $$ = node(p, AST_STAGE, @$, $2, NULL, KIDS($3)); }
     | FOR name IN iter rbody           { $$ = node(p, AST_FOR, @$, $2, NULL, KIDS($4, $5)); }

load_into: %empty                       { $$ = NULL; }
         | INTO name                    { $$ = $2; }
save_state: %empty                      { $$ = NULL; }
          | STATE name                  { $$ = $2; }
opt_merged: %empty                      { $$ = 0; }
          | MERGED                      { $$ = AST_FLAG_MERGED; }
opt_only: %empty                        { $$ = NULL; }
        | ONLY sel                      { $$ = $2; }
penalty_from: %empty                    { $$ = NULL; }
            | FROM expr                 { $$ = $2; }
name_list: names | names ','

opt_maps: %empty                        { $$ = NULL; }
        | maps
maps: '{' map_list '}'                  { $$ = node(p, AST_BODY, @$, NULL, $2, NONE); }
map_list: %empty                        { $$ = LIST(); }
        | map_list map NL               { $$ = ADD($1, $2); }
        | map_list error NL             { $$ = ADD($1, unread(p, @2)); yyerrok; }
map: RENAME STRING ARROW STRING         { $$ = node(p, AST_RENAME, @$, NULL, NULL,
                                                    KIDS(leaf(p, AST_STRING, $2),
                                                         leaf(p, AST_STRING, $4))); }
   | IGNORE sel                         { $$ = node(p, AST_IGNORE, @$, NULL, NULL, KIDS($2)); $$->name = @1; }
   | FRESH sel                          { $$ = node(p, AST_FRESH, @$, NULL, NULL, KIDS($2)); $$->name = @1; }

sel: pats opt_except opt_where          { $$ = node(p, AST_SELECT, @$, NULL, NULL, KIDS($1, $2, $3)); }
opt_except: %empty                      { $$ = NULL; }
          | EXCEPT pats                 { $$ = $2; }
opt_where: %empty                       { $$ = NULL; }
         | WHERE expr                   { $$ = $2; }
pats: strings                           { $$ = node(p, AST_PATTERNS, @$, NULL, $1, NONE); }
strings: STRING                         { $$ = ADD(LIST(), leaf(p, AST_STRING, $1)); }
       | strings ',' STRING             { $$ = ADD($1, leaf(p, AST_STRING, $3)); }

/* --- expressions ---------------------------------------------------------------------------------- */
call: path '(' args ')'                 { $$ = node(p, AST_CALL, @$, NULL, $3, KIDS($1));
                                          $$->name = $1->span; }
args: %empty                            { $$ = LIST(); }
    | arg_list | arg_list ','
arg_list: arg                           { $$ = ADD(LIST(), $1); }
        | arg_list ',' arg              { $$ = ADD($1, $3); }
arg: expr
   | name '=' expr                      { $$ = node(p, AST_NAMED, @$, $1, NULL, KIDS($3)); }

expr: expr OR expr                      { $$ = node(p, AST_BINARY, @$, $2, NULL, KIDS($1, $3)); }
    | expr AND expr                     { $$ = node(p, AST_BINARY, @$, $2, NULL, KIDS($1, $3)); }
    | NOT expr                          { $$ = node(p, AST_UNARY, @$, $1, NULL, KIDS($2)); }
    | expr EQ expr                      { $$ = node(p, AST_BINARY, @$, $2, NULL, KIDS($1, $3)); }
    | expr NE expr                      { $$ = node(p, AST_BINARY, @$, $2, NULL, KIDS($1, $3)); }
    | expr '<' expr                     { $$ = node(p, AST_BINARY, @$, $2, NULL, KIDS($1, $3)); }
    | expr '>' expr                     { $$ = node(p, AST_BINARY, @$, $2, NULL, KIDS($1, $3)); }
    | expr LE expr                      { $$ = node(p, AST_BINARY, @$, $2, NULL, KIDS($1, $3)); }
    | expr GE expr                      { $$ = node(p, AST_BINARY, @$, $2, NULL, KIDS($1, $3)); }
    | expr '+' expr                     { $$ = node(p, AST_BINARY, @$, $2, NULL, KIDS($1, $3)); }
    | expr '-' expr                     { $$ = node(p, AST_BINARY, @$, $2, NULL, KIDS($1, $3)); }
    | REDUCE '[' indices ']' expr %prec REDUCTION
                                        { $$ = node(p, AST_REDUCE, @$, $1, $3, KIDS($5)); }
    | expr '*' expr                     { $$ = node(p, AST_BINARY, @$, $2, NULL, KIDS($1, $3)); }
    | expr '/' expr                     { $$ = node(p, AST_BINARY, @$, $2, NULL, KIDS($1, $3)); }
    | expr IDIV expr                    { $$ = node(p, AST_BINARY, @$, $2, NULL, KIDS($1, $3)); }
    | expr '%' expr                     { $$ = node(p, AST_BINARY, @$, $2, NULL, KIDS($1, $3)); }
    | expr '@' expr                     { $$ = node(p, AST_BINARY, @$, $2, NULL, KIDS($1, $3)); }
    | '-' expr %prec NEG                { $$ = node(p, AST_UNARY, @$, $1, NULL, KIDS($2)); }
    | expr '^' expr                     { $$ = node(p, AST_BINARY, @$, $2, NULL, KIDS($1, $3)); }
    | read

read: chain
    | chain '[' subs ']' FILL fill      { $$ = node(p, AST_SUBSCRIPT, @$, NULL, $3,
                                                    KIDS($1, node(p, AST_FILL, @6, NULL, NULL, KIDS($6))));
                                          $$->name = @1; }
fill: read
    | '-' read                          { $$ = node(p, AST_UNARY, @$, $1, NULL, KIDS($2)); }

chain: primary
     | chain '(' args ')'               { $$ = node(p, AST_CALL, @$, NULL, $3, KIDS($1));
                                          $$->name = @1; }
     | chain '.' IDENT                  { $$ = node(p, AST_MEMBER, @$, $3, NULL, KIDS($1)); }
     | chain PATHINDEX                  { $$ = node(p, AST_MEMBER, @$, $2, NULL, KIDS($1)); }
     | chain '[' subs ']'               { $$ = node(p, AST_SUBSCRIPT, @$, NULL, $3, KIDS($1, NULL));
                                          $$->name = @1; }
subs: sub_list | sub_list ','
sub_list: sub                           { $$ = ADD(LIST(), $1); }
        | sub_list ',' sub              { $$ = ADD($1, $3); }
sub: DOTDOT                             { $$ = node(p, AST_ELLIPSIS, @$, NULL, NULL, NONE); }
   | expr

primary: name                           { $$ = leaf(p, AST_NAME, $1); }
       | PRIMED                         { $$ = leaf(p, AST_PRIMED, $1); }
       | INT                            { $$ = leaf(p, AST_INT, $1); }
       | FLOAT                          { $$ = leaf(p, AST_FLOAT, $1); }
       | STRING                         { $$ = leaf(p, AST_STRING, $1); }
       | TRUE                           { $$ = leaf(p, AST_BOOL, $1); $$->ival = 1; }
       | FALSE                          { $$ = leaf(p, AST_BOOL, $1); }
       | REDUCE '(' args ')'            { $$ = node(p, AST_REDUCE_CALL, @$, $1, $3, NONE); }
       | '(' expr ')'                   { $$ = parens($2, @$); }
       | '[' subs ']'                   { $$ = node(p, AST_LIST, @$, NULL, $2, NONE); }

%%

static int hone_lex(HONE_STYPE *value, Span *span, Parse *p)
{
    p->taken = p->at;
    const Token *token = p->tokens.at[p->at];
    p->at += p->at + 1 < p->tokens.len;   /* the end repeats */
    value->token = token;
    *span = token->span;
    return p->failed && !p->recover ? T_END : token->kind;
}

static int yyreport_syntax_error(const yypcontext_t *context, Parse *p)
{
    p->failed = true;
    if (!p->recover) {
        return 0;   /* the plain run only finds out whether there is an error */
    }
    yysymbol_kind_t wanted[YYNTOKENS];
    const char *names[YYNTOKENS];
    int n = yypcontext_expected_tokens(context, wanted, YYNTOKENS);
    bool name = false;
    size_t kept = 0;
    for (int i = 0; i < n; i++) {
        name = name || wanted[i] == YYSYMBOL_IDENT;
    }
    for (int i = 0; i < n; i++) {   /* where a name can stand, so can every word of recipes */
        if (!name || wanted[i] < YYSYMBOL_LOAD || wanted[i] > YYSYMBOL_PREDICT) {
            names[kept++] = yysymbol_name(wanted[i]);
        }
    }
    message_syntax(p, names, kept);
    layout_skip(p);
    return 0;
}

/* Bison's own complaints: the stack is full. */
static void hone_error(const Span *span, Parse *p, const char *message)
{
    (void)message;
    p->failed = true;
    message_nesting(p, *span);
}

static Ast *node(Parse *p, AstKind kind, Span span, const Token *name, const AstList *tail,
                 Ast *const *kids, size_t n)
{
    Ast *ast = ast_new(p->arena, kind, span, tail, kids, n);
    if (ast->depth > AST_DEPTH_MOST) {
        p->failed = true;
        message_nesting(p, span);
        return unread(p, span);
    }
    if (name != NULL) {
        ast->text = name->text;
        ast->name = name->span;
    }
    return ast;
}

static Ast *leaf(Parse *p, AstKind kind, const Token *token)
{
    Ast *ast = node(p, kind, token->span, token, NULL, NONE);
    ast->ival = token->ival;
    ast->fval = token->fval;
    return ast;
}

/* A node whose text is a dotted path. */
static Ast *dotted(Parse *p, AstKind kind, Span span, const Ast *path, const AstList *tail,
                   Ast *const *kids, size_t n)
{
    Ast *ast = node(p, kind, span, NULL, tail, kids, n);
    ast->text = ast_dotted(p->arena, path);
    ast->name = path->span;
    return ast;
}

/* The left of an assignment without its indices; the prime stands at the last segment. */
static Ast *target(Parse *p, Span span, const Ast *path, const Token *primed)
{
    Ast *ast = node(p, AST_LHS, span, NULL, NULL, NONE);
    ast->text = path == NULL ? primed->text : ast_dotted(p->arena, path);
    if (path != NULL && primed != NULL) {
        ast->text = str_join(p->arena, ast->text, ".", primed->text);
    }
    ast->flags = primed != NULL ? AST_FLAG_PRIMED : 0;
    return ast;
}

static Ast *flagged(Ast *ast, uint32_t flag)
{
    ast->flags |= flag;
    return ast;
}

static Ast *parens(Ast *ast, Span span)
{
    ast->span = span;
    return flagged(ast, AST_FLAG_PARENS);
}

static Ast *documented(Parse *p, Ast *ast)
{
    ast->doc = ast_doc(p->arena, p->text, ast->span.start);
    return ast;
}

static Ast *unread(Parse *p, Span span)
{
    return ast_new(p->arena, AST_ERROR, span, NULL, NONE);
}
