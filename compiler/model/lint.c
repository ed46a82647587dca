/* lint: names that have no effect, in the text alone: unused options, lets and locals (W210), dims
 * that are probably misspelt (W209). What is never read in any graph is reported by recipe.c. */
#include "model/internal.h"

/* Is the node a reading: a name, a path's beginning, a dim or a prime? */
static bool is_reading(const Ast *ast)
{
    return ast->kind == AST_NAME || ast->kind == AST_PRIMED;
}

bool ast_reads(const Ast *ast, Str name)
{
    bool found = ast != NULL && is_reading(ast) && str_eq(ast->text, name);
    for (size_t i = 0; ast != NULL && i < ast->n && !found; i++) {
        found = ast_reads(ast->kids[i], name);
    }
    return found;
}

static void count_readings(Map *counts, const Ast *ast)
{
    if (ast == NULL) {
        return;
    }
    if (is_reading(ast)) {
        uintptr_t n = (uintptr_t)map_get(counts, ast->text);
        map_set(counts, ast->text, (void *)(n + 1));
    }
    for (size_t i = 0; i < ast->n; i++) {
        count_readings(counts, ast->kids[i]);
    }
}

/* How often each name is read: looked up for many names, so counted once. */
static Map readings_of(Compiler *c, const Ast *ast)
{
    Map counts = map_new(c->arena);
    count_readings(&counts, ast);
    return counts;
}

static size_t readings(const Map *counts, Str name)
{
    return (size_t)(uintptr_t)map_get(counts, name);
}

static void unused(Compiler *c, const Ast *item, const char *what)
{
    if (item->text.ptr[0] == '_') {
        return;
    }
    Diag *d = diag(&c->diags, W210, item->name, "%s `" STR_FMT "` is not used", what,
                   STR_ARG(item->text));
    diag_help(d, "remove it, or use it");
}

/* --- locals ---------------------------------------------------------------------------------- */
static void find_locals(Compiler *c, const Map *whole, const Ast *ast)
{
    if (ast == NULL) {
        return;
    }
    bool plain = ast->kind == AST_LHS && !(ast->flags & AST_FLAG_PRIMED);
    if (plain && readings(whole, ast->text) == 0) {
        unused(c, ast, "local");
    }
    for (size_t i = 0; i < ast->n; i++) {
        find_locals(c, whole, ast->kids[i]);
    }
}

/* `loss` is what a step is for. */
static void step_locals(Compiler *c, const Ast *block)
{
    Map read = readings_of(c, block);
    for (size_t i = 0; i < block->n; i++) {
        const Ast *stmt = block->kids[i];
        for (size_t k = 1; stmt->kind == AST_ASSIGN && k < stmt->n; k++) {
            const Ast *lhs = stmt->kids[k];
            if (!str_is(lhs->text, "loss") && readings(&read, lhs->text) == 0) {
                unused(c, lhs, "local");
            }
        }
    }
}

/* --- dims
 * ------------------------------------------------------------------------------------------------
 */
typedef struct Dims {
    Compiler *c;
    const Ast *fn, *module;
    const Map *read;             /* in fn */
} Dims;

static bool near_dim(const Dims *dims, Str name, const Ast *ast, Str *near)
{
    if (ast == NULL) {
        return false;
    }
    bool dim = (ast->kind == AST_NAME || ast->kind == AST_PARAM) && !str_eq(ast->text, name);
    if (dim && ast->text.len >= 3 && str_distance(ast->text, name) <= 2) {
        *near = ast->text;
        return true;
    }
    for (size_t i = 0; i < ast->n; i++) {
        if (near_dim(dims, name, ast->kids[i], near)) {
            return true;
        }
    }
    return false;
}

static void check_dim(const Dims *dims, const Ast *dim)
{
    Str near;
    bool single = dim->kind == AST_NAME && dim->text.len >= 4 && readings(dims->read, dim->text) == 1;
    if (!single || (dims->module != NULL && ast_reads(dims->module->kids[0], dim->text)) ||
        !(near_dim(dims, dim->text, dims->fn->kids[0], &near) ||
          (dims->module != NULL && near_dim(dims, dim->text, dims->module->kids[0], &near)))) {
        return;
    }
    Diag *d = diag(&dims->c->diags, W209, dim->span, "dim `" STR_FMT "` is used once",
                   STR_ARG(dim->text));
    diag_label(d, "a new dim, of any size");
    diag_help(d, "did you mean `" STR_FMT "`? write `_` for a dim that does not matter",
              STR_ARG(near));
    diag_edit(d, dim->span, near);
}

static void check_fn(Compiler *c, const Ast *fn, const Ast *module)
{
    Map read = readings_of(c, fn);
    Dims dims = {.c = c, .fn = fn, .module = module, .read = &read};
    for (size_t i = 0; i < fn->kids[0]->n; i++) {
        const Ast *type = fn->kids[0]->kids[i]->kids[0];
        for (size_t k = 0; type != NULL && type->kind == AST_TYPE_TENSOR && k < type->n; k++) {
            check_dim(&dims, type->kids[k]);
        }
    }
    if (fn->kids[2] != NULL && fn->kids[2]->kind == AST_BLOCK) {
        find_locals(c, &read, fn->kids[2]);
    }
}

/* --- files
 * -------------------------------------------------------------------------------------------------
 */
static void check_functions(Compiler *c, const File *file)
{
    for (size_t i = 0; i < file->tree->n; i++) {
        const Ast *item = file->tree->kids[i];
        if (item->kind == AST_FN) {
            check_fn(c, item, NULL);
        }
        bool members = item->kind == AST_MODULE || item->kind == AST_OPTIMIZER;
        for (size_t k = 0; members && k < item->kids[1]->n; k++) {
            if (item->kids[1]->kids[k]->kind == AST_FN) {
                check_fn(c, item->kids[1]->kids[k], item);
            }
        }
    }
    for (size_t i = 0; i < file->imports.len; i++) {
        if (!file->imports.at[i]->is_std) {
            check_functions(c, file->imports.at[i]);
        }
    }
}

static void check_recipe(Compiler *c, const Ast *item)
{
    const Ast *body = item->kids[0];
    Map read = readings_of(c, body);
    for (size_t i = 0; i < body->n; i++) {
        const Ast *clause = body->kids[i];
        if (clause->kind == AST_LET && readings(&read, clause->text) == 0) {
            unused(c, clause, "let");
        } else if (clause->kind == AST_STEP) {
            step_locals(c, clause->kids[1]);
        }
    }
}

/* A library's lets are there for others; a recipe's are not. */
void lint_file(Compiler *c, const File *file)
{
    bool recipe = false;
    for (size_t i = 0; i < file->tree->n; i++) {
        recipe = recipe || file->tree->kids[i]->kind == AST_FINETUNE;
    }
    check_functions(c, file);
    Map read = recipe ? readings_of(c, file->tree) : map_new(c->arena);
    for (size_t i = 0; i < file->tree->n && recipe; i++) {
        const Ast *item = file->tree->kids[i];
        bool value = item->kind == AST_LET || item->kind == AST_OPTION;
        if (value && readings(&read, item->text) == 0) {
            unused(c, item, item->kind == AST_LET ? "let" : "option");
        } else if (item->kind == AST_FINETUNE) {
            check_recipe(c, item);
        }
    }
}
