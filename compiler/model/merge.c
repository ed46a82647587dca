/* `save … merged`: what adapters add is folded into what they wrap. A wrapper says how in a function of
 * its own, `fn merge() { base.weight' = … }`; of all of them one graph is made, which the runtime runs
 * once, after everything else is saved. Wrappers fold in the order in which they were put on, each into
 * what the ones before left. */
#include "model/recipe.h"

static Diag *refuse(RecipeBuild *b, const Ast *save, const Instance *wrapper, const char *why)
{
    Diag *d = diag(&b->c->diags, E509, save->name, "`" STR_FMT "` cannot be folded into `" STR_FMT "`",
                   STR_ARG(wrapper->module->text), STR_ARG(wrapper->path));
    diag_label(d, "%s", why);
    diag_note_at(d, wrapper->module->name, "", "`" STR_FMT "` is declared here",
                 STR_ARG(wrapper->module->text));
    return d;
}

static const Ast *merge_function(RecipeBuild *b, const Ast *save, const Instance *wrapper)
{
    const Ast *fn = module_function(wrapper->module, STR("merge"));
    if (fn != NULL && fn->kids[0]->n == 0 && fn->kids[2]->kind == AST_BLOCK) {
        return fn;
    }
    Diag *d = refuse(b, save, wrapper,
                     fn == NULL ? "it has no function `merge`" : "its `merge` is of another form");
    diag_help(d, "`fn merge() { base.weight' = … }` says what the weight becomes; without it save the "
                 "adapter by itself: `save \"adapter.safetensors\" only \"**.lora_*\"`");
    return NULL;
}

/* A tensor under a second key stands elsewhere too, where the adapter does not. */
static bool untied(RecipeBuild *b, const Ast *save, const Instance *wrapper, const Variable *v)
{
    if (v->aliases.len == 0) {
        return true;
    }
    Diag *d = refuse(b, save, wrapper, "what it wraps is one tensor with another layer's");
    diag_note(d, "`" STR_FMT "` is tied to `" STR_FMT "`", STR_ARG(v->key),
              STR_ARG(v->aliases.at[0]));
    diag_help(d, "save the adapter by itself, or adapt a layer that is not tied");
    return false;
}

/* leaves: by variable, the old value; the new one takes its place in the graph. */
static bool fold(RecipeBuild *b, Elab *e, const Ast *save, Instance *wrapper, NodeId *leaves)
{
    const Ast *fn = merge_function(b, save, wrapper);
    size_t errors = b->c->diags.errors;
    Frame frame;
    if (fn == NULL || !frame_push(e, &frame, fn, wrapper, wrapper, save->span)) {
        return false;
    }
    Scope *scope = scope_new(b->c->arena, wrapper->scope, wrapper->file, wrapper);
    scope->instance = wrapper;
    scope->body = fn->kids[2];
    e->state->adapted = wrapper->base;
    e->state->merging = true;
    Value ignored;
    run_block(e, scope, fn->kids[2], &ignored);
    e->state->merging = false;
    frame_pop(e);
    bool ok = b->c->diags.errors == errors, any = false;
    for (size_t i = 0; i < b->r->model->variables.len; i++) {
        if (e->next_nodes[i] == NODE_NONE) {
            continue;
        }
        const Variable *v = b->r->model->variables.at[i];
        any = true;
        ok = ok && untied(b, save, wrapper, v);
        if (e->variable_nodes[i] == NODE_NONE) {
            elab_variable(e, b->r->model->variables.at[i], v->span);
        }
        leaves[i] = leaves[i] == NODE_NONE ? e->variable_nodes[i] : leaves[i];
        e->variable_nodes[i] = e->next_nodes[i];
        e->next_nodes[i] = NODE_NONE;
    }
    if (ok && !any) {
        Diag *d = refuse(b, save, wrapper, "its `merge` defines nothing");
        diag_help(d, "for instance `base.weight' = base.weight + …`");
    }
    return ok && any;
}

bool merge_build(RecipeBuild *b, const Ast *save)
{
    const Model *model = b->r->model;
    if (model->wrappers.len == 0) {
        Diag *d = diag(&b->c->diags, W505, save->name, "`merged` has no effect");
        diag_label(d, "this recipe adapts nothing");
        return true;
    }
    if (b->r->merge != NULL) {
        return true;
    }
    Graph *g = graph_new(b->c->arena);
    Elab *e = elab_new(b->c, b->r->model, g, false, NULL);
    NodeId *leaves = NEW_ARRAY(b->c->arena, NodeId, model->variables.len + 1);
    for (size_t i = 0; i < model->variables.len; i++) {
        leaves[i] = NODE_NONE;
    }
    const Ast *failed = NULL; /* what is wrong with one wrapper is wrong with all of its module */
    for (size_t i = 0; i < model->wrappers.len; i++) {
        Instance *wrapper = model->wrappers.at[i];
        if (wrapper->module != failed && !fold(b, e, save, wrapper, leaves)) {
            failed = wrapper->module;
        }
    }
    for (size_t i = 0; failed == NULL && i < model->variables.len; i++) {
        if (leaves[i] != NODE_NONE) {
            graph_output(g, OUT_NEXT, model->variables.at[i]->key, e->variable_nodes[i], leaves[i]);
        }
    }
    b->r->merge = failed == NULL ? g : NULL;
    return failed == NULL;
}
