/* branch: `if` on a value of the step clock, which stands in updates only. Both branches become
 * equations, and what they define is chosen by the condition: next values (a state that a branch
 * leaves alone keeps its value there) and names. Sums and products of the branch that is not taken are
 * not computed: passes/demand.c finds them, the runtime leaves their kernels out. What is known when
 * the graph is built never comes here: statement.c runs the branch that is taken. */
#include "model/internal.h"

typedef struct Branch {
    Scope *scope;
    bool *set;      /* by prime */
    Value *next;
} Branch;

size_t run_depth(const Elab *e)
{
    size_t depth = 0;
    for (const BlockRun *run = e->state->run; run != NULL; run = run->up) {
        depth++;
    }
    return depth;
}

/* Runs a block, or nothing; takes back the next values that it gave. */
static bool run_branch(Elab *e, Scope *scope, const Ast *block, Branch *branch)
{
    struct ElabState *state = e->state;
    branch->scope = scope_new(elab_arena(e), scope, scope->file, scope->self);
    branch->set = NEW_ARRAY(elab_arena(e), bool, state->n_primes);
    branch->next = NEW_ARRAY(elab_arena(e), Value, state->n_primes);
    size_t depth = run_depth(e);
    Value ignored;
    bool returned = block != NULL && run_block(e, branch->scope, block, &ignored);
    for (size_t i = 0; i < state->n_primes; i++) {
        Prime *prime = &state->primes[i];
        branch->set[i] = prime->set && prime->depth > depth;
        branch->next[i] = branch->set[i] ? prime->value : prime->old;
        prime->set = prime->set && !branch->set[i];
    }
    if (returned) {
        Diag *d = elab_error(e, E208, block->span, "`return` depends on a value that changes every "
                             "step");
        diag_help(d, "return once, after the `if`, what both branches define");
    }
    return !returned;
}

static Value choose(Elab *e, const Value *condition, const Value *yes, const Value *no,
                    const Ast *at)
{
    if (yes->kind == VALUE_POISON || no->kind == VALUE_POISON) {
        return value_poison();
    }
    return select_value(e, (Value[]){*condition, *yes, *no}, at);
}

static void merge_primes(Elab *e, const Value *condition, const Branch *yes, const Branch *no,
                         const Ast *at)
{
    for (size_t i = 0; i < e->state->n_primes; i++) {
        Prime *prime = &e->state->primes[i];
        if (!yes->set[i] && !no->set[i]) {
            continue;
        }
        prime->set = true;
        prime->depth = run_depth(e);
        prime->value = choose(e, condition, &yes->next[i], &no->next[i], at);
        if (prime->value.kind != VALUE_POISON) {
            Array a = *prime->value.array;
            array_settle(e, &a);
            array_cast(e, &a, prime->dtype);
            array_node(e, &a, str_join(elab_arena(e), prime->name, "'", (Str){0}), at->span);
            prime->value = array_value(e, &a, CLOCK_TENSOR, at->span);
        }
    }
}

/* Names that both branches leave with a value mean the chosen one from here on. */
static void merge_names(Elab *e, Scope *scope, const Value *condition, const Branch *of,
                        const Branch *yes, const Branch *no, const Ast *at)
{
    for (size_t i = 0; i < of->scope->names.len; i++) {
        Str name = of->scope->names.entries[i].key;
        const Binding *a = scope_find(yes->scope, name), *b = scope_find(no->scope, name);
        if (a == NULL || b == NULL || (of == no && map_get(&yes->scope->names, name) != NULL)) {
            continue;
        }
        bool same = a == b || value_equal(&a->value, &b->value);
        Value value = same ? a->value : choose(e, condition, &a->value, &b->value, at);
        scope_set(scope, name, value, a->span);
    }
}

void run_step_if(Elab *e, Scope *scope, const Ast *stmt, const Value *condition)
{
    Ast *other = stmt->kids[2];
    Ast single = {.kind = AST_BLOCK, .n = 1, .kids = &other, .span = stmt->span};
    const Ast *otherwise = other != NULL && other->kind == AST_IF ? &single : other;
    Branch yes, no;
    if (!run_branch(e, scope, stmt->kids[1], &yes) || !run_branch(e, scope, otherwise, &no)) {
        return;
    }
    merge_primes(e, condition, &yes, &no, stmt->kids[0]);
    merge_names(e, scope, condition, &yes, &yes, &no, stmt->kids[0]);
    merge_names(e, scope, condition, &no, &yes, &no, stmt->kids[0]);
}
