/* optimizer: update rules. A call gives the hyperparameters (values of the build or step clock);
 * for each variable its states have shapes and its update is a set of equations over p, g, t, p0
 * and the states. What a rule keeps may depend on the variable (`if rank >= 2 { state … }`) and on
 * the hyperparameters: a state that the update of this variable neither reads nor writes does not
 * exist. */
#include "model/internal.h"
#include "passes/passes.h"

static const char *const update_inputs[] = {"p", "g", "t", "p0"};

bool optimizer_use(Elab *e, Scope *scope, const Ast *call, OptimizerUse *use)
{
    Meaning m = lookup(e, scope, call->kids[0]);
    if (m.kind != MEANING_OPTIMIZER) {
        if (m.kind != MEANING_NONE) {
            Diag *d = elab_error(e, E106, call->kids[0]->span, "this is not an optimizer");
            diag_help(d, "`use optim` brings those of the library: SGD, Adam, AdamW …");
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

/* --- the rule as it is for one variable ------------------------------------------------------- */
typedef struct Rule {
    const OptimizerUse *use;
    const Variable *v;
    Scope *scope; /* hyperparameters, `rank` and `size`, the dims of p's declared type */
    const Ast *update;
    VEC(const Ast *) states;
} Rule;

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

/* States and functions of the branches that hold for this variable. */
static bool rule_items(Elab *e, Rule *rule, size_t n, Ast *const *items)
{
    for (size_t i = 0; i < n; i++) {
        Ast *item = items[i];
        if (item->kind == AST_VAR_STATE) {
            VEC_PUSH(elab_arena(e), rule->states, item);
        } else if (item->kind == AST_FN && str_is(item->text, "update")) {
            rule->update = item;
        } else if (item->kind == AST_IF) {
            bool yes;
            if (!eval_bool(e, rule->scope, item->kids[0], &yes)) {
                return false;
            }
            Ast *taken = item->kids[yes ? 1 : 2];
            bool one = taken != NULL && taken->kind == AST_IF;
            if (taken != NULL &&
                !rule_items(e, rule, one ? 1 : taken->n, one ? &taken : taken->kids)) {
                return false;
            }
        }
    }
    return true;
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

/* The parameter of `update` that says which shapes it is for; NULL: any. */
static const Ast *shaped(const Ast *update)
{
    const Ast *p = update_param(update, STR("p"));
    p = p != NULL ? p : update_param(update, STR("g"));
    const Ast *type = p != NULL ? p->kids[0] : NULL;
    return type != NULL && type->kind == AST_TYPE_TENSOR ? p : NULL;
}

static bool rank_fits(const Ast *type, size_t rank)
{
    bool rest = false;
    for (size_t i = 0; i < type->n; i++) {
        rest = rest || type->kids[i]->kind == AST_ELLIPSIS;
    }
    return rest ? rank + 1 >= type->n : rank == type->n;
}

/* The dims of p's declared type. */
static bool bind_shape(Elab *e, const Rule *rule)
{
    const Ast *p = shaped(rule->update);
    const Variable *v = rule->v;
    Str what = rule->use->item->text;
    if (p == NULL) {
        return true;
    }
    const Ast *type = p->kids[0];
    if (!rank_fits(type, v->rank)) {
        Diag *d = elab_error(e, E601, rule->use->span,
                             "`" STR_FMT "` does not update tensors of rank "
                             "%zu",
                             STR_ARG(what), v->rank);
        Str dims = dims_text(e->c->arena, v->rank, v->dims);
        diag_note_at(d, p->span, "what it updates", "`update` is declared here");
        diag_note(d, STR_FMT " has shape " STR_FMT, STR_ARG(v->key), STR_ARG(dims));
        diag_help(d, "restrict the group: `where rank == %zu`", type->n);
        return false;
    }
    Array a = {.rank = v->rank, .dtype = v->dtype, .base = NODE_NONE};
    for (size_t i = 0; i < v->rank; i++) {
        a.dims[i] = v->dims[i];
    }
    Str names[MAX_RANK];
    return bind_dims(e, rule->scope, type, &a, rule->use->span, what, names);
}

static bool rule_choose(Elab *e, const OptimizerUse *use, const Variable *v, Rule *rule)
{
    const Ast *body = use->item->kids[1];
    *rule = (Rule){.use = use, .v = v};
    rule->scope = scope_new(elab_arena(e), NULL, use->file, NULL);
    scope_set(rule->scope, STR("rank"), value_int((int64_t)v->rank), use->span);
    scope_set(rule->scope, STR("size"), value_int(v->elements), use->span);
    for (size_t i = 0; i < use->n; i++) {
        scope_set(rule->scope, use->hypers[i].name, use->hypers[i].value, use->hypers[i].span);
    }
    return rule_items(e, rule, body->n, body->kids);
}

static bool rule_of(Elab *e, const OptimizerUse *use, const Variable *v, Rule *rule)
{
    return rule_choose(e, use, v, rule) && check_update(e, use, rule->update) &&
           bind_shape(e, rule);
}

bool optimizer_wants(Elab *e, const OptimizerUse *use, const Variable *v, Str name)
{
    Rule rule;
    return rule_choose(e, use, v, &rule) && rule.update != NULL &&
           update_param(rule.update, name) != NULL;
}

bool optimizer_fits(Elab *e, const OptimizerUse *use, const Variable *v)
{
    Rule rule;
    bool chosen = rule_choose(e, use, v, &rule);
    const Ast *p = chosen && rule.update != NULL ? shaped(rule.update) : NULL;
    return p == NULL || rank_fits(p->kids[0], v->rank);
}

/* --- states ----------------------------------------------------------------------------------- */
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
    int64_t elements;
    bool possible = size_within(state->rank, state->dims, MOST_ELEMENTS, &elements);
    for (size_t i = 0; i < state->rank; i++) {
        possible = possible && state->dims[i] >= 1;
    }
    if (!possible) {
        Str dims = dims_text(e->c->arena, state->rank, state->dims);
        Diag *d = elab_error(e, E211, type->span, "this state cannot have shape " STR_FMT, STR_ARG(dims));
        diag_label(d, "for the parameter `" STR_FMT "`", STR_ARG(v->key));
        diag_help(d, "every dimension is at least 1, and a tensor has at most 2^48 elements");
        return false;
    }
    return init_eval(e, scope, item->kids[1], &state->init);
}

static bool declared_states(Elab *e, const Rule *rule, OptimizerState **states)
{
    *states = NEW_ARRAY(elab_arena(e), OptimizerState, rule->states.len + 1);
    for (size_t i = 0; i < rule->states.len; i++) {
        if (!state_of(e, rule->scope, rule->states.at[i], rule->v, &(*states)[i])) {
            return false;
        }
    }
    return true;
}

/* --- equations -------------------------------------------------------------------------------- */
typedef struct Update { /* nodes of one update */
    NodeId p, g, t, p0;
    const NodeId *states;
    NodeId next_p, *next_states; /* out */
} Update;

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

static bool run_update(Elab *e, const Rule *rule)
{
    Frame frame;
    if (!frame_push(e, &frame, rule->update, NULL, NULL, rule->use->span)) {
        return false;
    }
    const Ast *block = rule->update->kids[2];
    rule->scope->body = block;
    Value ignored;
    size_t errors = e->c->diags.errors;
    if (block->kind == AST_BLOCK) {
        run_block(e, rule->scope, block, &ignored);
    }
    frame_pop(e);
    return e->c->diags.errors == errors;
}

static void set_inputs(Elab *e, const Rule *rule, const Update *update)
{
    Span span = rule->use->span;
    set_node(e, rule->scope, "p", update->p, CLOCK_TENSOR, span);
    set_node(e, rule->scope, "g", update->g, CLOCK_TENSOR, span);
    if (update_param(rule->update, STR("t")) != NULL) {
        set_node(e, rule->scope, "t", update->t, CLOCK_STEP, span);
    }
    if (update_param(rule->update, STR("p0")) != NULL) {
        set_node(e, rule->scope, "p0", update->p0, CLOCK_TENSOR, span);
    }
}

/* The update of a rule that has n states. */
static bool elaborate(Elab *e, const Rule *rule, size_t n, const OptimizerState *list,
                      Update *update)
{
    const Variable *v = rule->v;
    Span span = rule->use->span;
    set_inputs(e, rule, update);
    struct ElabState *state = e->state;
    state->n_primes = n + 1;
    state->primes = NEW_ARRAY(elab_arena(e), Prime, n + 1);
    for (size_t i = 0; i < n; i++) {
        Value value = array_of_node(e, update->states[i], CLOCK_TENSOR, span);
        scope_set(rule->scope, list[i].name, value, span);
        state->primes[i] = (Prime){.name = list[i].name,
                                   .old = value,
                                   .dtype = list[i].dtype,
                                   .rank = list[i].rank,
                                   .dims = list[i].dims};
    }
    Prime *own = &state->primes[n];
    *own = (Prime){.name = STR("p"),
                   .old = array_of_node(e, update->p, CLOCK_TENSOR, span),
                   .dtype = v->dtype,
                   .rank = v->rank,
                   .dims = v->dims};
    state->updated = v;
    bool ok = run_update(e, rule);
    if (ok && !own->set) {
        Diag *d = elab_error(e, E602, rule->update->name, "`p'` is never defined");
        diag_note_at(d, span, "used here", "the optimizer of `" STR_FMT "`", STR_ARG(v->key));
        diag_help(d, "end the update with `p' = …`");
        ok = false;
    }
    update->next_p = ok ? own->value.node : NODE_NONE;
    for (size_t i = 0; i < n; i++) {
        update->next_states[i] = ok && state->primes[i].set ? state->primes[i].value.node
                                                            : NODE_NONE;
    }
    state->n_primes = 0;
    state->updated = NULL;
    return ok;
}

/* --- states that exist -------------------------------------------------------------------------- */
/* Hyperparameters of the step clock as leaves of another graph. */
static OptimizerUse use_in(Elab *e, const OptimizerUse *use)
{
    OptimizerUse copy = *use;
    copy.hypers = NEW_ARRAY(elab_arena(e), Hyper, use->n + 1);
    for (size_t i = 0; i < use->n; i++) {
        Hyper *hyper = &copy.hypers[i];
        *hyper = use->hypers[i];
        if (hyper->value.kind != VALUE_TENSOR) {
            continue;
        }
        NodeId leaf = graph_leaf(e->graph, NODE_STEP, DT_F64, 0, NULL, hyper->name, 0, use->span);
        Value value = array_of_node(e, leaf, CLOCK_STEP, use->span);
        Array a = *value.array;
        a.integral = hyper->value.array->integral;
        hyper->value = array_value(e, &a, CLOCK_STEP, use->span);
    }
    return copy;
}

/* Which states the update reads or gives a next value, by trying it on a graph of its own. An
 * update that is wrong keeps all: it is reported when it is made in earnest. */
static void find_used(Elab *e, const OptimizerUse *use, const Variable *v, size_t n, bool *used)
{
    Graph *g = graph_new(elab_arena(e));
    Elab *trial = elab_new(e->c, NULL, g, true, NULL);
    OptimizerUse own = use_in(trial, use);
    Rule rule;
    OptimizerState *list;
    NodeId *states = NEW_ARRAY(g->arena, NodeId, n + 1);
    Update update = {.states = states, .next_states = NEW_ARRAY(g->arena, NodeId, n + 1)};
    Diags kept = e->c->diags;
    e->c->diags = diags_new(e->c->arena, &e->c->sources);
    bool ok = rule_of(trial, &own, v, &rule) && declared_states(trial, &rule, &list);
    Span at = use->span;
    if (ok) {
        update.p = graph_leaf(g, NODE_PARAM, v->dtype, v->rank, v->dims, v->key, 0, at);
        update.g = graph_leaf(g, NODE_INPUT, v->dtype, v->rank, v->dims, STR("g"), 0, at);
        update.p0 = graph_leaf(g, NODE_INPUT, v->dtype, v->rank, v->dims, STR("p0"), 0, at);
        update.t = graph_leaf(g, NODE_STEP, DT_F64, 0, NULL, STR("t"), 0, at);
        for (size_t i = 0; i < n; i++) {
            states[i] = graph_leaf(g, NODE_STATE, list[i].dtype, list[i].rank, list[i].dims,
                                   list[i].name, (uint32_t)i, at);
        }
        ok = elaborate(trial, &rule, n, list, &update);
    }
    e->c->diags = kept;
    for (size_t i = 0; i < n; i++) {
        used[i] = !ok || update.next_states[i] != NODE_NONE;
        if (ok && used[i]) {
            graph_output(g, OUT_VALUE, STR("next"), update.next_states[i], NODE_NONE);
        }
    }
    if (!ok) {
        return;
    }
    graph_output(g, OUT_VALUE, STR("next"), update.next_p, NODE_NONE);
    const Graph *needed = pass_prune(g->arena, g);
    for (NodeId id = 0; id < needed->nodes.len; id++) {
        const Node *node = graph_node(needed, id);
        if (node->kind == NODE_STATE) {
            used[node->variable] = true;
        }
    }
}

static bool same_case(const UsedStates *known, const OptimizerUse *use, const Variable *v)
{
    bool same = known->hypers == use->hypers && known->rank == v->rank;
    for (size_t i = 0; same && i < v->rank; i++) {
        same = known->dims[i] == v->dims[i];
    }
    return same;
}

/* As found, once for each use and shape. */
static const bool *states_used(Elab *e, const OptimizerUse *use, const Variable *v, size_t n)
{
    for (size_t i = 0; i < e->state->used.len; i++) {
        if (same_case(&e->state->used.at[i], use, v)) {
            return e->state->used.at[i].used;
        }
    }
    UsedStates found = {.hypers = use->hypers, .rank = v->rank};
    for (size_t i = 0; i < v->rank; i++) {
        found.dims[i] = v->dims[i];
    }
    found.used = NEW_ARRAY(elab_arena(e), bool, n + 1);
    find_used(e, use, v, n, found.used);
    VEC_PUSH(elab_arena(e), e->state->used, found);
    return found.used;
}

static bool existing_states(Elab *e, const Rule *rule, size_t *n, OptimizerState **states)
{
    if (!declared_states(e, rule, states)) {
        return false;
    }
    const bool *used = states_used(e, rule->use, rule->v, rule->states.len);
    *n = 0;
    for (size_t i = 0; i < rule->states.len; i++) {
        if (used[i]) {
            (*states)[(*n)++] = (*states)[i];
        }
    }
    return true;
}

bool optimizer_states(Elab *e, const OptimizerUse *use, const Variable *v, size_t *n,
                      OptimizerState **states)
{
    Rule rule;
    *n = 0;
    return rule_of(e, use, v, &rule) && existing_states(e, &rule, n, states);
}

bool optimizer_update(Elab *e, const OptimizerUse *use, const Variable *v, NodeId p, NodeId g,
                      NodeId t, NodeId p0, const NodeId *states, NodeId *next_p,
                      NodeId *next_states)
{
    Rule rule;
    size_t n;
    OptimizerState *list;
    if (!rule_of(e, use, v, &rule) || !existing_states(e, &rule, &n, &list)) {
        return false;
    }
    Update update = {
        .p = p, .g = g, .t = t, .p0 = p0, .states = states, .next_states = next_states};
    bool ok = elaborate(e, &rule, n, list, &update);
    *next_p = update.next_p;
    return ok;
}
