/* optimizer: update rules. A call gives the hyperparameters (values of the build or step clock);
 * for each variable its states have shapes and its update is a set of equations over p, g, t, p0
 * and the states. */
#include "model/internal.h"

static const char *const update_inputs[] = {"p", "g", "t", "p0"};

bool optimizer_use(Elab *e, Scope *scope, const Ast *call, OptimizerUse *use)
{
    Meaning m = lookup(e, scope, call->kids[0]);
    if (m.kind != MEANING_OPTIMIZER) {
        if (m.kind != MEANING_NONE) {
            Diag *d = elab_error(e, E106, call->kids[0]->span, "this is not an optimizer");
            diag_help(d, "the library has SGD, Adam, AdamW and Lion: `use optim`");
        }
        return false;
    }
    const Ast *params = m.item->kids[0];
    const Ast **slots = NEW_ARRAY(elab_arena(e), const Ast *, params->n + 1);
    if (!match_arguments(e, params, call->n - 1, call->kids + 1, call->span, m.item->text, slots)) {
        return false;
    }
    *use = (OptimizerUse){.item = m.item, .file = m.file, .span = call->span, .n = params->n};
    use->hypers = NEW_ARRAY(elab_arena(e), Hyper, params->n + 1);
    Scope *own = scope_new(elab_arena(e), NULL, m.file, NULL);
    bool ok = true;
    for (size_t i = 0; i < params->n; i++) {
        const Ast *param = params->kids[i];
        Value fallback = param->kids[1] != NULL ? eval(e, own, param->kids[1]) : value_poison();
        Value value = slots[i] != NULL ? eval(e, scope, slots[i]) : fallback;
        Span span = slots[i] != NULL ? slots[i]->span : param->span;
        fallback = param->kids[1] != NULL ? fallback : value;
        value =
            convert_scalar(e, param, param_type(e, param, &fallback), value, span, m.item->text);
        value.span = span;
        ok = ok && value.kind != VALUE_POISON;
        scope_set(own, param->text, value, span);
        use->hypers[i] = (Hyper){.name = param->text, .value = value, .span = span};
    }
    for (size_t i = 0; ok && !m.file->is_std && i < params->n; i++) {
        if (ast_reads(m.item->kids[1], params->kids[i]->text)) {
            continue;
        }
        Diag *d = elab_error(e, W603, params->kids[i]->name,
                             "hyperparameter `" STR_FMT "` is not "
                             "used",
                             STR_ARG(params->kids[i]->text));
        diag_label(d, "`update` never reads it");
    }
    return ok;
}

static const Ast *update_of(const OptimizerUse *use)
{
    return module_function(use->item, STR("update"));
}

static const Ast *update_param(const Ast *update, Str name)
{
    const Ast *params = update->kids[0];
    for (size_t i = 0; i < params->n; i++) {
        if (str_eq(params->kids[i]->text, name)) {
            return params->kids[i];
        }
    }
    return NULL;
}

bool optimizer_wants(const OptimizerUse *use, Str name)
{
    const Ast *update = update_of(use);
    return update != NULL && update_param(update, name) != NULL;
}

static bool check_update(Elab *e, const OptimizerUse *use, const Ast *update)
{
    if (update == NULL) {
        Diag *d = elab_error(e, E304, use->span, "optimizer `" STR_FMT "` has no `update`",
                             STR_ARG(use->item->text));
        diag_note_at(d, use->item->name, "declared here", "the optimizer");
        diag_help(d, "add `fn update(p: f32[..], g: f32[..]) { p' = … }`");
        return false;
    }
    Str known[4];
    for (size_t i = 0; i < 4; i++) {
        known[i] = str_of(update_inputs[i]);
    }
    for (size_t i = 0; i < update->kids[0]->n; i++) {
        const Ast *param = update->kids[0]->kids[i];
        bool found = false;
        for (size_t k = 0; k < 4; k++) {
            found = found || str_eq(param->text, known[k]);
        }
        if (found) {
            continue;
        }
        Diag *d = elab_error(e, E103, param->name, "`update` has no argument `" STR_FMT "`",
                             STR_ARG(param->text));
        diag_note(d, "it may ask for `p` (parameter), `g` (gradient), `t` (updates so far), `p0` "
                     "(value after `load`)");
        help_nearest(d, param->text, 4, known);
        return false;
    }
    return true;
}

/* The scope of states and update: hyperparameters, and the dims of p's declared type. */
static Scope *rule_scope(Elab *e, const OptimizerUse *use, const Ast *update, const Variable *v)
{
    Scope *scope = scope_new(elab_arena(e), NULL, use->file, NULL);
    for (size_t i = 0; i < use->n; i++) {
        scope_set(scope, use->hypers[i].name, use->hypers[i].value, use->hypers[i].span);
    }
    const Ast *p = update_param(update, STR("p"));
    if (p == NULL) {
        p = update_param(update, STR("g"));
    }
    if (p == NULL || p->kids[0] == NULL || p->kids[0]->kind != AST_TYPE_TENSOR) {
        return scope;
    }
    const Ast *type = p->kids[0];
    bool rest = false;
    for (size_t i = 0; i < type->n; i++) {
        rest = rest || type->kids[i]->kind == AST_ELLIPSIS;
    }
    if (rest ? v->rank + 1 < type->n : v->rank != type->n) {
        Diag *d = elab_error(e, E601, use->span,
                             "`" STR_FMT "` does not update tensors of rank "
                             "%zu",
                             STR_ARG(use->item->text), v->rank);
        Str dims = dims_text(e->c->arena, v->rank, v->dims);
        diag_note_at(d, p->span, "what it updates", "`update` is declared here");
        diag_note(d, STR_FMT " has shape " STR_FMT, STR_ARG(v->key), STR_ARG(dims));
        diag_help(d, "restrict the group: `where rank == %zu`", type->n);
        return NULL;
    }
    Array a = {.rank = v->rank, .dtype = v->dtype, .base = NODE_NONE};
    for (size_t i = 0; i < v->rank; i++) {
        a.dims[i] = v->dims[i];
    }
    Str names[MAX_RANK];
    return bind_dims(e, scope, type, &a, use->span, use->item->text, names) ? scope : NULL;
}

static bool state_of(Elab *e, Scope *scope, const Ast *item, const Variable *v,
                     OptimizerState *state)
{
    const Ast *type = item->kids[0];
    *state = (OptimizerState){.name = item->text, .dtype = DT_F32};
    if (type->text.len > 0 && !type_dtype(e, type->text, type->span, &state->dtype)) {
        return false;
    }
    bool whole =
        type->kind == AST_TYPE_TENSOR && type->n == 1 && type->kids[0]->kind == AST_ELLIPSIS;
    if (whole) {
        state->rank = v->rank;
        for (size_t i = 0; i < v->rank; i++) {
            state->dims[i] = v->dims[i];
        }
    } else if (type->kind == AST_TYPE_TENSOR &&
               !eval_dims(e, scope, type, &state->rank, state->dims)) {
        return false;
    }
    return init_eval(e, scope, item->kids[1], &state->init);
}

bool optimizer_states(Elab *e, const OptimizerUse *use, const Variable *v, size_t *n,
                      OptimizerState **states)
{
    const Ast *update = update_of(use), *body = use->item->kids[1];
    *n = 0;
    Scope *scope = check_update(e, use, update) ? rule_scope(e, use, update, v) : NULL;
    if (scope == NULL) {
        return false;
    }
    *states = NEW_ARRAY(elab_arena(e), OptimizerState, body->n + 1);
    for (size_t i = 0; i < body->n; i++) {
        if (body->kids[i]->kind == AST_VAR_STATE &&
            !state_of(e, scope, body->kids[i], v, &(*states)[(*n)++])) {
            return false;
        }
    }
    return true;
}

static void set_node(Elab *e, Scope *scope, const char *name, NodeId node, Clock clock, Span span)
{
    if (node == NODE_NONE) {
        return;
    }
    Value value = array_of_node(e, node, clock, span);
    if (clock == CLOCK_STEP) {
        Array a = *value.array;
        a.integral = true;
        value = array_value(e, &a, clock, span);
    }
    scope_set(scope, str_of(name), value, span);
}

static bool run_update(Elab *e, const OptimizerUse *use, const Ast *update, Scope *scope)
{
    Frame frame;
    if (!frame_push(e, &frame, update, NULL, NULL, use->span)) {
        return false;
    }
    const Ast *block = update->kids[2];
    scope->body = block;
    Value ignored;
    size_t errors = e->c->diags.errors;
    if (block->kind == AST_BLOCK) {
        run_block(e, scope, block, &ignored);
    }
    frame_pop(e);
    return e->c->diags.errors == errors;
}

bool optimizer_update(Elab *e, const OptimizerUse *use, const Variable *v, NodeId p, NodeId g,
                      NodeId t, NodeId p0, const NodeId *states, NodeId *next_p,
                      NodeId *next_states)
{
    size_t n;
    OptimizerState *list;
    if (!optimizer_states(e, use, v, &n, &list)) {
        return false;
    }
    const Ast *update = update_of(use);
    Scope *scope = rule_scope(e, use, update, v);
    if (scope == NULL) {
        return false;
    }
    set_node(e, scope, "p", p, CLOCK_TENSOR, use->span);
    set_node(e, scope, "g", g, CLOCK_TENSOR, use->span);
    if (optimizer_wants(use, STR("t"))) {
        set_node(e, scope, "t", t, CLOCK_STEP, use->span);
    }
    if (optimizer_wants(use, STR("p0"))) {
        set_node(e, scope, "p0", p0, CLOCK_TENSOR, use->span);
    }
    struct ElabState *state = e->state;
    state->n_primes = n + 1;
    state->primes = NEW_ARRAY(elab_arena(e), Prime, n + 1);
    for (size_t i = 0; i < n; i++) {
        Value value = array_of_node(e, states[i], CLOCK_TENSOR, use->span);
        scope_set(scope, list[i].name, value, use->span);
        state->primes[i] = (Prime){.name = list[i].name,
                                   .dtype = list[i].dtype,
                                   .rank = list[i].rank,
                                   .dims = list[i].dims};
    }
    Prime *own = &state->primes[n];
    *own = (Prime){.name = STR("p"), .dtype = v->dtype, .rank = v->rank, .dims = v->dims};
    state->updated = v;
    bool ok = run_update(e, use, update, scope);
    if (ok && !own->set) {
        Diag *d = elab_error(e, E602, update->name, "`p'` is never defined");
        diag_note_at(d, use->span, "used here", "the optimizer of `" STR_FMT "`", STR_ARG(v->key));
        diag_help(d, "end the update with `p' = …`");
        ok = false;
    }
    *next_p = ok ? own->value.node : NODE_NONE;
    for (size_t i = 0; i < n; i++) {
        next_states[i] = ok && state->primes[i].set ? state->primes[i].value.node : NODE_NONE;
    }
    state->n_primes = 0;
    state->updated = NULL;
    return ok;
}
