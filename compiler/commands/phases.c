/* phases: which part of a step a kernel is: forward, backward or update. What an entry is for says its
 * stage; only in one that trains do parts stand side by side. */
#include "commands/cost.h"

static const char *const phase_names[PHASES] = {"forward", "backward", "update"};

const char *phase_name(Phase phase)
{
    return phase_names[phase];
}

typedef enum Role { ROLE_TRAIN, ROLE_UPDATE, ROLE_OTHER } Role;      /* of an entry in its stage */

typedef struct Look {
    const Session *s;
    const Recipe *recipe;
    const PlanEntry *plan;
    Role role;
    bool *forward;               /* by node: the loss or a next model state depends on it */
    bool *update;                /* by node: an update rule computes it, or it depends on such a one */
} Look;

static Role role_of(const Recipe *recipe, const Graph *graph)
{
    for (size_t i = 0; i < recipe->stages.len; i++) {
        const RecipeStage *stage = &recipe->stages.at[i];
        bool train = graph == stage->train, update = graph == stage->update;
        for (size_t k = 0; k < stage->shorter.len; k++) {
            train = train || graph == stage->shorter.at[k].train;
            update = update || graph == stage->shorter.at[k].update;
        }
        if (train || update) {
            return train ? ROLE_TRAIN : ROLE_UPDATE;
        }
    }
    return ROLE_OTHER;
}

typedef VEC(NodeId) Nodes;

static Nodes reads_of(const Look *look, NodeId id)
{
    const Node *node = graph_node(look->plan->graph, id);
    Nodes reads = {0};
    for (size_t p = 0; p < node->n_pieces; p++) {
        ScalarList list = piece_list(look->s->arena, &node->pieces[p], node->rank);
        for (size_t i = 0; i < list.n; i++) {
            if (list.at[i]->kind == SCALAR_READ) {
                VEC_PUSH(look->s->arena, reads, list.at[i]->tensor);
            }
        }
    }
    for (size_t i = 0; i < node->n_args; i++) {
        VEC_PUSH(look->s->arena, reads, node->args[i]);
    }
    return reads;
}

/* The loss, also as it is added up over the parts of an update, and the next states of the model. */
static bool ends_forward(const Look *look, const Output *output)
{
    if (output->kind != OUT_NEXT) {
        return output->kind == OUT_LOSS;
    }
    const Recipe *recipe = look->recipe;
    const Node *target = graph_node(look->plan->graph, output->target);
    if (target->kind != NODE_STATE || target->variable < recipe->model->variables.len) {
        return target->kind == NODE_STATE;
    }
    const RecipeState *state = &recipe->states.at[target->variable - recipe->model->variables.len];
    return state->kind == HONE_GRADIENT && state->of == HONE_NONE;
}

static void find_forward(const Look *look)
{
    const Graph *graph = look->plan->graph;
    for (size_t i = 0; i < graph->outputs.len; i++) {
        if (ends_forward(look, &graph->outputs.at[i])) {
            look->forward[graph->outputs.at[i].value] = true;
        }
    }
    for (NodeId id = (NodeId)graph->nodes.len; id-- > 0;) {
        Nodes reads = look->forward[id] ? reads_of(look, id) : (Nodes){0};
        for (size_t i = 0; i < reads.len; i++) {
            look->forward[reads.at[i]] = true;
        }
    }
}

static bool inside(Span part, Span whole)
{
    return part.file == whole.file && part.file != 0 && part.start >= whole.start &&
           part.end <= whole.end;
}

static bool in_update_rule(const Look *look, Span span)
{
    for (size_t i = 0; i < look->recipe->stages.len; i++) {
        const RecipeStage *stage = &look->recipe->stages.at[i];
        for (size_t v = 0; v < look->recipe->model->variables.len; v++) {
            const VariableUse *use = &stage->uses[v];
            if (use->trainable && use->optimizer.item != NULL &&
                inside(span, use->optimizer.item->span)) {
                return true;
            }
        }
    }
    return false;
}

/* What a function computes for a rule depends on what the rule hands it. */
static void find_update(const Look *look)
{
    const Graph *graph = look->plan->graph;
    for (NodeId id = 0; id < graph->nodes.len; id++) {
        Nodes reads = reads_of(look, id);
        look->update[id] = in_update_rule(look, graph_node(graph, id)->span);
        for (size_t i = 0; i < reads.len; i++) {
            look->update[id] = look->update[id] || look->update[reads.at[i]];
        }
    }
}

bool buffer_is_pack(const PlanEntry *plan, const KBuffer *buffer)
{
    return buffer->tensor >= plan->graph->nodes.len;
}

static Phase phase_of(const Look *look, const Kernel *kernel)
{
    if (look->role != ROLE_TRAIN) {
        return look->role == ROLE_UPDATE ? PHASE_UPDATE : PHASE_FORWARD;
    }
    bool forward = true, update = true;
    for (size_t i = 0; i < kernel->n_buffers; i++) {
        const KBuffer *buffer = &kernel->buffers[i];
        if (buffer->written && !buffer_is_pack(look->plan, buffer)) {
            forward = forward && look->forward[buffer->tensor];
            update = update && look->update[buffer->tensor];
        }
    }
    return forward ? PHASE_FORWARD : update ? PHASE_UPDATE : PHASE_BACKWARD;
}

Phase *entry_phases(const Session *s, const Recipe *recipe, const ProgramEntry *entry)
{
    const PlanEntry *plan = entry->plan;
    size_t nodes = plan->graph->nodes.len + 1;
    Look look = {.s = s, .recipe = recipe, .plan = plan, .role = role_of(recipe, entry->graph),
                 .forward = NEW_ARRAY(s->arena, bool, nodes),
                 .update = NEW_ARRAY(s->arena, bool, nodes)};
    if (look.role == ROLE_TRAIN) {
        find_forward(&look);
        find_update(&look);
    }
    Phase *phases = NEW_ARRAY(s->arena, Phase, plan->n_kernels + 1);
    for (size_t k = 0; k < plan->n_kernels; k++) {
        phases[k] = phase_of(&look, plan->kernels[k]);
    }
    return phases;
}
