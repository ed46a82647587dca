/* statement: what stands in a block. Assignment is renaming: the name means the new value from
 * here on. Primed equations define next values; in an update they may be read before their line,
 * because they are a set of equations and not a script. */
#include "model/internal.h"

static bool run_stmt(Elab *e, Scope *scope, const Ast *stmt, Value *result);

/* --- loops ----------------------------------------------------------------------------------- */
static bool range_items(Elab *e, Scope *scope, const Ast *iter, size_t *n, Value **items)
{
    int64_t from, to;
    if (!elab_int(e, scope, iter->kids[0], &from) || !elab_int(e, scope, iter->kids[1], &to)) {
        return false;
    }
    int64_t count = to > from ? to - from : 0;
    if (count > MOST_EFFORT) {
        Diag *d = elab_error(e, E211, iter->span, "a loop of %lld rounds", (long long)count);
        diag_note(d, "loops are unrolled; %d rounds is the limit", MOST_EFFORT);
        return false;
    }
    *n = (size_t)count;
    *items = NEW_ARRAY(elab_arena(e), Value, *n + 1);
    for (size_t i = 0; i < *n; i++) {
        (*items)[i] = value_int(from + (int64_t)i);
    }
    return true;
}

bool iterate(Elab *e, Scope *scope, const Ast *iter, size_t *n, Value **items)
{
    if (iter->kind == AST_RANGE) {
        return range_items(e, scope, iter, n, items);
    }
    VEC(Value) all = {0};
    for (size_t i = 0; i < iter->n; i++) {
        Value v = eval(e, scope, iter->kids[i]);
        if (v.kind == VALUE_POISON) {
            return false;
        }
        if (v.kind != VALUE_LIST && v.kind != VALUE_INSTANCES && v.kind != VALUE_INSTANCE) {
            Diag *d = elab_error(e, E106, iter->kids[i]->span, "`for` cannot go through this");
            diag_label(d, "%s", value_kind_name(&v));
            diag_help(d, "it goes through `0..n`, module arrays and lists");
            return false;
        }
        if (v.kind == VALUE_INSTANCE) {
            VEC_PUSH(elab_arena(e), all, v);
        }
        for (size_t k = 0; v.kind != VALUE_INSTANCE && k < v.n; k++) {
            VEC_PUSH(elab_arena(e), all,
                     v.kind == VALUE_LIST     ? v.items[k]
                     : v.instances[k] != NULL ? value_instance(v.instances[k])
                                              : value_poison());
        }
    }
    *n = all.len;
    *items = all.at;
    return true;
}

/* What a block that cannot be run would have assigned: a mistake is said once. */
static void poison_assigned(Scope *scope, const Ast *ast)
{
    if (ast == NULL) {
        return;
    }
    if (ast->kind == AST_LHS && !(ast->flags & AST_FLAG_PRIMED)) {
        scope_set(scope, ast->text, value_poison(), ast->span);
        return;
    }
    for (size_t i = 0; i < ast->n; i++) {
        poison_assigned(scope, ast->kids[i]);
    }
}

static bool run_for(Elab *e, Scope *scope, const Ast *stmt, Value *result)
{
    size_t n;
    Value *items;
    if (!iterate(e, scope, stmt->kids[0], &n, &items)) {
        poison_assigned(scope, stmt->kids[1]);
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (!elab_effort(e, stmt->kids[0]->span)) {
            poison_assigned(scope, stmt->kids[1]);
            return false;
        }
        scope_set(scope, stmt->text, items[i], stmt->name);
        if (run_block(e, scope, stmt->kids[1], result)) {
            return true;
        }
    }
    return false;
}

static bool run_if(Elab *e, Scope *scope, const Ast *stmt, Value *result)
{
    Value condition = eval(e, scope, stmt->kids[0]);
    bool yes;
    if (e->state->n_primes > 0 && condition.kind == VALUE_TENSOR &&
        condition.clock == CLOCK_STEP && condition.array->dtype == DT_BOOL) {
        run_step_if(e, scope, stmt, &condition);
        return false;
    }
    if (!value_bool_of(e, &condition, stmt->kids[0], &yes)) {
        poison_assigned(scope, stmt);
        return false;
    }
    if (yes) {
        return run_block(e, scope, stmt->kids[1], result);
    }
    const Ast *other = stmt->kids[2];
    if (other == NULL) {
        return false;
    }
    return other->kind == AST_IF ? run_stmt(e, scope, other, result)
                                 : run_block(e, scope, other, result);
}

/* --- primes ---------------------------------------------------------------------------------- */
static Prime *find_prime(Elab *e, Str name)
{
    for (size_t i = 0; i < e->state->n_primes; i++) {
        if (str_eq(e->state->primes[i].name, name)) {
            return &e->state->primes[i];
        }
    }
    return NULL;
}

/* The variable that a path in a method means, or NULL. */
static Variable *own_variable(Elab *e, const Scope *scope, Str path)
{
    if (scope->self == NULL) {
        return NULL;
    }
    const Instance *in = scope->self;
    Str segs[16];
    size_t n = 0, start = 0;
    for (size_t i = 0; i <= path.len; i++) {
        if ((i == path.len || path.ptr[i] == '.') && n < 16) {
            segs[n++] = (Str){path.ptr + start, i - start};
            start = i + 1;
        }
    }
    for (size_t at = 0, used; in != NULL && at < n; at += used) {
        Member *member = instance_member(e, in, n - at, segs + at, &used);
        if (member == NULL) { /* an argument that is an instance; or what is wrapped shows through */
            const Binding *arg = map_get(&in->scope->names, segs[at]);
            bool given = arg != NULL && arg->value.kind == VALUE_INSTANCE;
            in = given ? arg->value.instance : in->base;
            used = given;
            continue;
        }
        if (member->kind == MEMBER_VARIABLE) {
            return at + used == n ? member->variable : NULL;
        }
        in = member->kind == MEMBER_INSTANCE ? member->instance : NULL;
    }
    return NULL;
}

static bool fit(Elab *e, Value *value, DType dtype, size_t rank, const int64_t *dims,
                const Ast *lhs, Span span)
{
    Array a;
    if (!array_strong(e, value, &a)) {
        return false;
    }
    Value strong = array_value(e, &a, CLOCK_TENSOR, span);
    *value = convert_tensor(e, strong, dtype, span);
    if (value->kind == VALUE_POISON) {
        return false;
    }
    a = *value->array;
    bool same = a.rank == rank;
    for (size_t i = 0; same && i < rank; i++) {
        same = a.dims[i] == dims[i];
    }
    if (!same) {
        Str wants = dims_text(e->c->arena, rank, dims),
            gets = dims_text(e->c->arena, a.rank, a.dims);
        Diag *d = elab_error(e, E201, span, "the next value of `" STR_FMT "` has another shape",
                             STR_ARG(lhs->text));
        diag_label(d, "`" STR_FMT "` is " STR_FMT ", this is " STR_FMT, STR_ARG(lhs->text),
                   STR_ARG(wants), STR_ARG(gets));
        return false;
    }
    array_settle(e, &a);
    Str name = str_join(elab_arena(e), lhs->text, "'", (Str){0});
    array_node(e, &a, name, lhs->span);
    *value = array_value(e, &a, CLOCK_TENSOR, lhs->span);
    return true;
}

static void twice(Elab *e, const Ast *lhs)
{
    Diag *d = elab_error(e, E306, lhs->span, "the next value of `" STR_FMT "` is defined twice",
                         STR_ARG(lhs->text));
    diag_help(d, "write one equation for it");
}

static void assign_prime(Elab *e, Scope *scope, const Ast *lhs, Value value, Span span)
{
    Prime *prime = find_prime(e, lhs->text);
    if (prime != NULL) {
        if (prime->set) {
            twice(e, lhs);
        }
        prime->set = true;
        prime->depth = run_depth(e);
        prime->value = value_poison();
        if (value.kind != VALUE_POISON &&
            fit(e, &value, prime->dtype, prime->rank, prime->dims, lhs, span)) {
            prime->value = value;
        }
        return;
    }
    Variable *v = own_variable(e, scope, lhs->text);
    if (v == NULL || !(v->is_state || e->state->merging)) {
        Diag *d = elab_error(e, E305, lhs->span, "`" STR_FMT "` is not state; it has no next value",
                             STR_ARG(lhs->text));
        if (v != NULL) {
            diag_note_at(d, v->span, "a param", "parameters are updated by the optimizer");
        } else {
            diag_help(d, "without the prime this is an ordinary name");
        }
        return;
    }
    if (value.kind == VALUE_POISON || !fit(e, &value, v->dtype, v->rank, v->dims, lhs, span)) {
        return;
    }
    if (value.node == NODE_NONE) {
        Diag *d = elab_error(e, E306, lhs->span,
                             "`" STR_FMT "` has one next value, not one per "
                             "index",
                             STR_ARG(lhs->text));
        diag_help(d, "call the module outside of the equation");
        return;
    }
    if (e->next_nodes[v->index] != NODE_NONE) {
        twice(e, lhs);
    }
    e->next_nodes[v->index] = value.node;
}

Value read_prime(Elab *e, Scope *scope, const Ast *primed)
{
    Prime *prime = find_prime(e, primed->text);
    for (BlockRun *run = e->state->run; prime != NULL && !prime->set && run != NULL;
         run = run->up) {
        for (size_t i = 0; i < run->block->n; i++) {
            const Ast *stmt = run->block->kids[i];
            if (run->done[i] || stmt->kind != AST_ASSIGN || stmt->n != 2 ||
                !(stmt->kids[1]->flags & AST_FLAG_PRIMED) ||
                !str_eq(stmt->kids[1]->text, primed->text)) {
                continue;
            }
            run->done[i] = true; /* before: a cycle finds nothing and is reported */
            Value ignored;
            BlockRun *inner = e->state->run;
            e->state->run = run;
            run_stmt(e, run->scope, stmt, &ignored);
            e->state->run = inner;
            break;
        }
    }
    if (prime != NULL && prime->set) {
        return prime->value;
    }
    Variable *v = prime == NULL ? own_variable(e, scope, primed->text) : NULL;
    if (v != NULL && e->graph != NULL && e->next_nodes[v->index] != NODE_NONE) {
        return array_of_node(e, e->next_nodes[v->index], CLOCK_TENSOR, primed->span);
    }
    Diag *d = elab_error(e, E101, primed->span, "`" STR_FMT "'` has no value here",
                         STR_ARG(primed->text));
    diag_help(d, "define it with `" STR_FMT "' = …`; `" STR_FMT "` is the old value",
              STR_ARG(primed->text), STR_ARG(primed->text));
    return value_poison();
}

/* --- assignment ------------------------------------------------------------------------------ */
static bool assignable(Elab *e, Scope *scope, const Ast *lhs)
{
    Prime *prime = find_prime(e, lhs->text);
    Variable *v = prime == NULL && scope_find(scope, lhs->text) == NULL
                      ? own_variable(e, scope, lhs->text)
                      : NULL;
    if (prime == NULL && v == NULL) {
        if (name_is_reserved(lhs->text)) {
            elab_error(e, E102, lhs->span, "`" STR_FMT "` may not be redefined",
                       STR_ARG(lhs->text));
            return false;
        }
        for (size_t i = 0; i < lhs->text.len; i++) {
            if (lhs->text.ptr[i] != '.') {
                continue;
            }
            elab_error(e, E305, lhs->span, "`" STR_FMT "` is no state of this module",
                       STR_ARG(lhs->text));
            return false;
        }
        return true;
    }
    bool state = prime != NULL || v->is_state;
    Diag *d = elab_error(e, E305, lhs->span, "`" STR_FMT "` is %s", STR_ARG(lhs->text),
                         state ? "state; its next value is written with a prime"
                               : "a parameter; only the optimizer changes it");
    if (v != NULL) {
        diag_note_at(d, v->span, "declared here", "the declaration");
    }
    if (state) {
        diag_help(d, "add the prime: `" STR_FMT "' = …`", STR_ARG(lhs->text));
        Span name = {lhs->span.file, lhs->span.start, lhs->span.start + (uint32_t)lhs->text.len};
        diag_edit_around(d, name, "", "'");
    }
    return false;
}

/* A value under a name of its own: tensors become nodes, once. */
static Value named(Elab *e, Value value, Str name, Span span)
{
    if (value.kind != VALUE_TENSOR || e->graph == NULL || value.array->base != NODE_NONE) {
        return value;
    }
    if (value.clock == CLOCK_STEP || value.array->position != NULL) {
        return value;
    }
    Array a = *value.array;
    array_node(e, &a, name, span);
    return array_value(e, &a, value.clock, span);
}

static void assign(Elab *e, Scope *scope, const Ast *lhs, Value value, Span span)
{
    if (lhs->flags & AST_FLAG_PRIMED) {
        assign_prime(e, scope, lhs, value, span);
        return;
    }
    if (assignable(e, scope, lhs)) {
        scope_set(scope, lhs->text, named(e, value, lhs->text, lhs->span), lhs->span);
    } else {
        scope_set(scope, lhs->text, value_poison(), lhs->span);
    }
}

static void run_assign(Elab *e, Scope *scope, const Ast *stmt)
{
    const Ast *right = stmt->kids[0];
    if (stmt->n == 2) {
        const Ast *lhs = stmt->kids[1];
        Value value = lhs->flags & AST_FLAG_INDEXED && e->graph != NULL
                          ? eval_definition(e, scope, lhs, right)
                          : eval(e, scope, right);
        assign(e, scope, lhs, value, right->span);
        return;
    }
    Value value = eval(e, scope, right);
    bool tuple = value.kind == VALUE_TUPLE && value.n == stmt->n - 1;
    if (!tuple && value.kind != VALUE_POISON) {
        Diag *d = elab_error(e, E107, right->span, "%zu names for %zu result%s", stmt->n - 1,
                             value.kind == VALUE_TUPLE ? value.n : 1,
                             value.kind == VALUE_TUPLE && value.n > 1 ? "s" : "");
        diag_help(d, "a function gives several results with `return a, b`");
    }
    for (size_t i = 1; i < stmt->n; i++) {
        assign(e, scope, stmt->kids[i], tuple ? value.items[i - 1] : value_poison(), right->span);
    }
}

static void run_return(Elab *e, Scope *scope, const Ast *stmt, Value *result)
{
    if (stmt->n == 1) {
        *result = eval(e, scope, stmt->kids[0]);
        return;
    }
    Value *items = NEW_ARRAY(elab_arena(e), Value, stmt->n + 1);
    for (size_t i = 0; i < stmt->n; i++) {
        items[i] = named(e, eval(e, scope, stmt->kids[i]), (Str){0}, stmt->kids[i]->span);
    }
    *result = (Value){
        .kind = VALUE_TUPLE, .n = stmt->n, .items = items, .node = NODE_NONE, .span = stmt->span};
}

static bool run_stmt(Elab *e, Scope *scope, const Ast *stmt, Value *result)
{
    if (stmt->kind == AST_ASSIGN) {
        run_assign(e, scope, stmt);
    } else if (stmt->kind == AST_IF) {
        return run_if(e, scope, stmt, result);
    } else if (stmt->kind == AST_FOR) {
        return run_for(e, scope, stmt, result);
    } else if (stmt->kind == AST_RETURN) {
        run_return(e, scope, stmt, result);
        return true;
    } else if (stmt->kind == AST_METRIC || stmt->kind == AST_PREDICT) {
        Diag *d = elab_error(e, E004, stmt->span, "`%s` stands in a recipe's step only",
                             stmt->kind == AST_METRIC ? "metric" : "predict");
        diag_help(d, "in a function give the value a name, and return it");
    }
    return false;
}

bool run_block(Elab *e, Scope *scope, const Ast *block, Value *result)
{
    BlockRun run = {.block = block, .scope = scope, .up = e->state->run};
    run.done = NEW_ARRAY(elab_arena(e), bool, block->n + 1);
    e->state->run = &run;
    bool returned = false;
    for (size_t i = 0; i < block->n && !returned; i++) {
        if (run.done[i]) {
            continue;
        }
        run.done[i] = true;
        run.stmt = block->kids[i];
        returned = run_stmt(e, scope, block->kids[i], result);
    }
    e->state->run = run.up;
    return returned;
}
