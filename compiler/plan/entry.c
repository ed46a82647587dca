/* One graph becomes one entry: fused, settled, laid out, lowered, ordered, placed. */
#include "plan/internal.h"

#include <assert.h>
#include <string.h>

/* --- tables by node ------------------------------------------------------------------------------------ */
static Entry entry_new(Planner *planner, Str name, const Graph *graph)
{
    Arena *arena = planner->arena;
    Groups groups = pass_fuse(arena, graph, planner->target, planner->without);
    size_t most = groups.graph->nodes.len + 2 * groups.graph->outputs.len;   /* with copies */
    Entry entry = {.arena = arena,
                   .planner = planner,
                   .name = name,
                   .graph = groups.graph,
                   .unit_of = NEW_ARRAY(arena, uint32_t, most),
                   .readers = NEW_ARRAY(arena, Indices, most),
                   .lies_in = NEW_ARRAY(arena, NodeId, most),
                   .output = NEW_ARRAY(arena, bool, most),
                   .stored = NEW_ARRAY(arena, bool, most),
                   .local = NEW_ARRAY(arena, bool, most),
                   .refs = NEW_ARRAY(arena, HoneRef, most)};
    for (NodeId id = 0; id < most; id++) {
        entry.unit_of[id] = NO_UNIT;
        entry.lies_in[id] = id;
    }
    for (size_t i = 0; i < groups.n; i++) {
        Unit unit = {.group = groups.groups[i]};
        for (size_t k = 0; k < unit.group.n; k++)
            entry.unit_of[unit.group.nodes[k]] = (uint32_t)i;
        VEC_PUSH(arena, entry.units, unit);
    }
    return entry;
}

static bool in_one_nest(const Entry *entry, const Unit *unit, NodeId a, NodeId b)
{
    uint32_t nests[2] = {UINT32_MAX, UINT32_MAX};
    for (size_t i = 0; i < unit->group.n; i++) {
        nests[0] = unit->group.nodes[i] == a ? unit->group.nests[i] : nests[0];
        nests[1] = unit->group.nodes[i] == b ? unit->group.nests[i] : nests[1];
    }
    (void)entry;
    return nests[0] == nests[1];
}

static void note_member_reads(Entry *entry, uint32_t u, NodeId id)
{
    const Unit *unit = &entry->units.at[u];
    const Node *node = graph_node(entry->graph, id);
    for (size_t p = 0; p < node->n_pieces; p++) {
        ScalarList list = piece_list(entry->arena, &node->pieces[p], node->rank);
        for (size_t i = 0; i < list.n; i++) {
            if (list.at[i]->kind != SCALAR_READ)
                continue;
            NodeId tensor = list.at[i]->tensor;
            bool own = entry->unit_of[tensor] == u;
            entry->stored[tensor] |= !own || !in_one_nest(entry, unit, id, tensor);
            entry->local[tensor] &= own;
        }
    }
    for (size_t i = 0; i < node->n_args; i++) {
        entry->stored[node->args[i]] = true;
        entry->local[node->args[i]] = false;
    }
}

static void find_stored(Entry *entry)
{
    for (NodeId id = 0; id < entry->graph->nodes.len; id++) {
        entry->local[id] = graph_node(entry->graph, id)->kind == NODE_EQUATION &&
                           !entry->output[id] && entry->lies_in[id] == id;
        entry->stored[id] = entry->output[id] || entry->lies_in[id] != id;
    }
    for (uint32_t u = 0; u < entry->units.len; u++) {
        for (size_t i = 0; i < entry->units.at[u].group.n; i++)
            note_member_reads(entry, u, entry->units.at[u].group.nodes[i]);
    }
}

/* --- storage of what lives between steps ----------------------------------------------------------------- */
static void lay_out(Entry *entry)
{
    Planner *planner = entry->planner;
    const int64_t **fixed = NEW_ARRAY(entry->arena, const int64_t *, planner->n_tensors + 1);
    for (size_t i = 0; i < planner->n_tensors; i++)
        fixed[i] = planner->tensors[i].strides;
    entry->layout = pass_layout(entry->arena, entry->graph, fixed);
    for (NodeId id = 0; id < entry->graph->nodes.len; id++) {
        const Node *node = graph_node(entry->graph, id);
        if (node->kind != NODE_PARAM && node->kind != NODE_STATE)
            continue;
        PlanTensor *tensor = &planner->tensors[node->variable];
        assert(node->variable < planner->n_tensors && tensor->rank == node->rank);
        tensor->strides = entry->layout.strides[id];
        tensor->bytes = entry->layout.elements[id] * dtype_bytes(node->dtype);
    }
}

/* --- kernels ------------------------------------------------------------------------------------------------ */
static void lower_units(Entry *entry)
{
    for (size_t u = 0; u < entry->units.len; u++) {
        Unit *unit = &entry->units.at[u];
        Lowering lowering = {.graph = entry->graph,
                             .target = entry->planner->target,
                             .strides = entry->layout.strides,
                             .elements = entry->layout.elements,
                             .stored = entry->stored,
                             .local = entry->local,
                             .n = unit->group.n,
                             .n_rows = unit->group.n_rows,
                             .nodes = unit->group.nodes,
                             .nests = unit->group.nests,
                             .rows = unit->group.rows};
        if (unit->group.chain) {
            lowering.n_parts = unit->group.chain->n_parts;
            lowering.n_part_rows = unit->group.chain->n_rows;
            lowering.parts = unit->group.chain->parts;
        }
        kernel_lower(entry->arena, &lowering, &unit->kernels);
    }
}

static void place_leaf(Entry *entry, NodeId id, Ports *fields, Ports *steps)
{
    const Node *node = graph_node(entry->graph, id);
    if (entry->readers[id].len == 0)
        return;
    if (node->kind == NODE_INPUT || node->kind == NODE_STEP) {
        HonePort port = port_of(entry, id, node->name);
        size_t use = node->kind == NODE_INPUT ? PORT_FIELD : PORT_STEP;
        port.at = entry->refs[id] = port_place(entry->planner, use, port);
        if (node->kind == NODE_INPUT)
            VEC_PUSH(entry->arena, *fields, port);
        else
            VEC_PUSH(entry->arena, *steps, port);
    } else if (node->kind == NODE_CONSTANT) {
        entry->refs[id] = constant_place(entry, id);
    }
}

static void place_outputs(Entry *entry, Ports *outputs)
{
    for (size_t i = 0; i < entry->graph->outputs.len; i++) {
        const Output *output = &entry->graph->outputs.at[i];
        if (!entry->output[output->value] || output->kind == OUT_NEXT || output->kind == OUT_GRAD)
            continue;
        Str name = output->kind == OUT_LOSS && output->name.len == 0 ? STR("loss") : output->name;
        HonePort port = port_of(entry, output->value, name);
        HoneRef *ref = &entry->refs[output->value];
        bool placed = ref->arena == HONE_ARENA_IO;
        size_t use = PORT_OUTPUT;
        for (size_t k = 0; k < outputs->len; k++)
            use += str_eq(str_of(outputs->at[k].name), name);
        port.at = placed ? *ref : port_place(entry->planner, use, port);
        *ref = port.at;
        VEC_PUSH(entry->arena, *outputs, port);
    }
}

/* Where the runtime reads them. */
static void place_decisions(Entry *entry)
{
    for (size_t u = 0; u < entry->units.len; u++) {
        const Demand *demand = &entry->units.at[u].demand;
        for (uint32_t i = 0; i < demand->n; i++) {
            NodeId id = demand->literals[i].decision;
            Str name = str_format(entry->arena, "if %u", id);
            entry->refs[id] =
                port_place(entry->planner, PORT_DECISION, port_of(entry, id, name));
        }
    }
}

/* The port of random numbers or of faults, added to the entry's step values once. */
static HoneRef special_port(Entry *entry, Ports *steps, HoneStepKind kind)
{
    for (size_t i = 0; i < steps->len; i++) {
        if (steps->at[i].step == kind)
            return steps->at[i].at;
    }
    bool random = kind == HONE_STEP_RANDOM;
    HonePort port = {.name = random ? "random numbers" : "fault",
                     .dtype = HONE_I64, .rank = 1, .dims = {random ? 2 : 4}, .strides = {1},
                     .step = kind};
    port.at = port_place(entry->planner, PORT_STEP, port);
    VEC_PUSH(entry->arena, *steps, port);
    return port.at;
}

static void bind_kernel(Entry *entry, const Kernel *kernel, Ports *steps, HoneRef *refs,
                        uint32_t *tensors)
{
    for (size_t b = 0; b < kernel->n_buffers; b++) {
        const KBuffer *buffer = &kernel->buffers[b];
        if (buffer->place == KPLACE_SCRATCH)
            continue;
        NodeId id = entry->lies_in[buffer->tensor];
        const Node *node = graph_node(entry->graph, id);
        bool persistent = node->kind == NODE_PARAM || node->kind == NODE_STATE;
        tensors[buffer->slot] = persistent ? node->variable : HONE_NONE;
        refs[buffer->slot] = persistent
                                 ? (HoneRef){.arena = entry->planner->tensors[node->variable].arena}
                                 : entry->refs[id];
    }
    size_t last = kernel->n_globals;
    if (kernel->uses_fault) {
        tensors[--last] = HONE_NONE;
        refs[last] = special_port(entry, steps, HONE_STEP_FAULT);
    }
    if (kernel->uses_random) {
        tensors[--last] = HONE_NONE;
        refs[last] = special_port(entry, steps, HONE_STEP_RANDOM);
    }
}

static void bind_kernels(Entry *entry, PlanEntry *plan, Ports *steps)
{
    Arena *arena = entry->arena;
    for (size_t u = 0; u < entry->units.len; u++)
        plan->n_kernels += entry->units.at[u].kernels.len;
    const Kernel **kernels = NEW_ARRAY(arena, const Kernel *, plan->n_kernels + 1);
    const HoneRef **buffers = NEW_ARRAY(arena, const HoneRef *, plan->n_kernels + 1);
    const uint32_t **tensors = NEW_ARRAY(arena, const uint32_t *, plan->n_kernels + 1);
    Demand *demands = NEW_ARRAY(arena, Demand, plan->n_kernels + 1);
    size_t n = 0;
    for (size_t at = 0; at < entry->units.len; at++) {
        const Unit *unit = &entry->units.at[entry->order[at]];
        for (size_t k = 0; k < unit->kernels.len; k++, n++) {
            Kernel *kernel = unit->kernels.at[k];
            HoneRef *refs = NEW_ARRAY(arena, HoneRef, kernel->n_globals + 1);
            uint32_t *indices = NEW_ARRAY(arena, uint32_t, kernel->n_globals + 1);
            kernel->place = (uint32_t)entry->planner->places.len;
            VEC_PUSH(entry->planner->arena, entry->planner->places, kernel->span);
            bind_kernel(entry, kernel, steps, refs, indices);
            kernels[n] = kernel;
            buffers[n] = refs;
            tensors[n] = indices;
            demands[n] = unit->demand;
            plan->flops += kernel->flops;
            plan->bytes += kernel->bytes;
            if (kernel->scratch_bytes > plan->scratch_bytes)
                plan->scratch_bytes = kernel->scratch_bytes;
        }
    }
    plan->kernels = kernels;
    plan->buffers = buffers;
    plan->tensors = tensors;
    plan->demands = demands;
    plan->decisions = entry->refs;
}

PlanEntry *plan_entry(Planner *planner, Str name, const Graph *graph)
{
    Entry entry = entry_new(planner, name, graph);
    entry_settle(&entry);
    entry_decide(&entry);
    lay_out(&entry);
    find_stored(&entry);
    lower_units(&entry);
    entry_order(&entry);
    entry_place(&entry);
    Ports fields = {0}, steps = {0}, outputs = {0};
    for (NodeId id = 0; id < entry.graph->nodes.len; id++)
        place_leaf(&entry, id, &fields, &steps);
    place_outputs(&entry, &outputs);
    place_decisions(&entry);
    PlanEntry *plan = NEW(planner->arena, PlanEntry);
    *plan = (PlanEntry){.name = name, .graph = entry.graph,
                        .activation_bytes = entry.activation_bytes};
    bind_kernels(&entry, plan, &steps);
    plan->n_fields = fields.len;
    plan->fields = fields.at;
    plan->n_steps = steps.len;
    plan->steps = steps.at;
    plan->n_outputs = outputs.len;
    plan->outputs = outputs.at;
    return plan;
}
