/* planned: entries against the interpreter. */
#include "support/planned.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "passes/passes.h"
#include "support/kernels.h"

struct Planned {
    Arena *arena;
    const Graph *graph;
    const Interp *interp; /* whose leaves are at work */
    Planner planner;
    PlanEntry *entry;
    Code *code;
    char *memory[HONE_ARENAS];
    const char *why;
};

/* Gradients under names, so that the plan shows them. */
static Graph *with_values(Planned *p)
{
    Graph *copy = NEW(p->arena, Graph);
    *copy = *p->graph;
    copy->outputs.at = NULL;
    copy->outputs.len = copy->outputs.cap = 0;
    for (size_t i = 0; i < p->graph->outputs.len; i++) {
        Output output = p->graph->outputs.at[i];
        output.kind = OUT_VALUE;
        output.target = NODE_NONE;
        output.name = str_format(p->arena, "output %zu", i);
        VEC_PUSH(p->arena, copy->outputs, output);
    }
    return copy;
}

static void describe_tensors(Planned *p)
{
    for (NodeId id = 0; id < p->graph->nodes.len; id++) {
        const Node *node = graph_node(p->graph, id);
        if (node->kind != NODE_PARAM && node->kind != NODE_STATE)
            continue;
        if (node->variable >= p->planner.n_tensors)
            p->planner.n_tensors = node->variable + 1;
    }
    p->planner.tensors = NEW_ARRAY(p->arena, PlanTensor, p->planner.n_tensors + 1);
    for (NodeId id = 0; id < p->graph->nodes.len; id++) {
        const Node *node = graph_node(p->graph, id);
        if (node->kind == NODE_PARAM || node->kind == NODE_STATE)
            p->planner.tensors[node->variable] = (PlanTensor){
                .dtype = node->dtype,
                .rank = node->rank,
                .dims = node->dims,
                .arena = node->kind == NODE_PARAM ? HONE_ARENA_PARAMS : HONE_ARENA_STATE};
    }
}

static bool build(Planned *p, const Target *target)
{
    p->planner = (Planner){.arena = p->arena, .target = target, .constants = buf_new(p->arena)};
    describe_tensors(p);
    p->entry = plan_entry(&p->planner, STR("test"), with_values(p));
    plan_place_tensors(&p->planner, 1, &p->entry);
    size_t n = p->entry->n_kernels;
    const Graph **graphs = NEW_ARRAY(p->arena, const Graph *, n + 1);
    for (size_t i = 0; i < n; i++) {
        graphs[i] = p->entry->graph;
        p->why = kernel_verify(p->entry->kernels[i], p->arena);
        if (p->why)
            return false;
    }
    EmitOptions options = {.target = target, .threads = 1, .verify = true};
    p->code = code_compile(p->arena, graphs, p->entry->kernels, n, &options, &p->why);
    return p->code != NULL;
}

/* --- memory ----------------------------------------------------------------------------------- */
static void map_arenas(Planned *p)
{
    uint64_t bytes[HONE_ARENAS] = {[HONE_ARENA_IO] = p->planner.io_bytes,
                                   [HONE_ARENA_ACTIVATIONS] = p->entry->activation_bytes,
                                   [HONE_ARENA_CONSTANTS] = p->planner.constants.len};
    for (size_t i = 0; i < p->planner.n_tensors; i++) {
        const PlanTensor *t = &p->planner.tensors[i];
        uint64_t end = t->offset + t->bytes;
        bytes[t->arena] = end > bytes[t->arena] ? end : bytes[t->arena];
    }
    for (int i = 0; i < HONE_ARENAS; i++) {
        p->memory[i] = arena_alloc(p->arena, bytes[i] + 64, 64);
        memset(p->memory[i], 0xA5, bytes[i] + 64);
    }
    if (bytes[HONE_ARENA_CONSTANTS] > 0)
        memcpy(p->memory[HONE_ARENA_CONSTANTS], p->planner.constants.ptr,
               bytes[HONE_ARENA_CONSTANTS]);
}

/* The storage index of a row-major element. */
static size_t stored_at(size_t rank, const int64_t *dims, const int64_t *strides, size_t element)
{
    int64_t at = 0, rest = (int64_t)element;
    for (size_t d = rank; d-- > 0;) {
        at += rest % dims[d] * strides[d];
        rest /= dims[d];
    }
    return (size_t)at;
}

static void fill_leaf(const Planned *p, const Node *node, NodeId id, const int64_t *strides,
                      void *to)
{
    for (size_t i = 0; i < (size_t)node_elements(node); i++)
        value_set(node->dtype, to, stored_at(node->rank, node->dims, strides, i),
                  p->interp->values[id][i]);
}

static void fill_leaves(const Planned *p)
{
    for (NodeId id = 0; id < p->graph->nodes.len; id++) {
        const Node *node = graph_node(p->graph, id);
        if (node->kind == NODE_PARAM || node->kind == NODE_STATE) {
            const PlanTensor *t = &p->planner.tensors[node->variable];
            fill_leaf(p, node, id, t->strides, p->memory[t->arena] + t->offset);
        }
        for (size_t i = 0; node->kind == NODE_INPUT && i < p->entry->n_fields; i++) {
            const HonePort *port = &p->entry->fields[i];
            if (str_is(node->name, port->name))
                fill_leaf(p, node, id, port->strides, p->memory[port->at.arena] + port->at.offset);
        }
    }
    for (size_t i = 0; i < p->entry->n_steps; i++) {
        const HonePort *port = &p->entry->steps[i];
        uint64_t random[2] = {p->interp->seed, p->interp->step};
        void *to = p->memory[port->at.arena] + port->at.offset;
        for (NodeId id = 0; id < p->graph->nodes.len; id++) {
            const Node *node = graph_node(p->graph, id);
            if (node->kind == NODE_STEP && str_is(node->name, port->name))
                memcpy(to, p->interp->values[id], sizeof(double));
        }
        if (port->step == HONE_STEP_RANDOM)
            memcpy(to, random, sizeof random);
        else if (port->step == HONE_STEP_FAULT)
            memset(to, 0, 4 * sizeof(int64_t));
    }
}

/* --- running ---------------------------------------------------------------------------------- */
static bool is_due(const Planned *p, size_t kernel)
{
    const Demand *demand = &p->entry->demands[kernel];
    for (uint32_t i = 0; i < demand->n; i++) {
        HoneRef ref = p->entry->decisions[demand->literals[i].decision];
        if ((p->memory[ref.arena][ref.offset] != 0) != demand->literals[i].holds)
            return false;
    }
    return true;
}

static void run_kernels(const Planned *p)
{
    void *scratch = arena_alloc(p->arena, p->entry->scratch_bytes + 64, 64);
    for (size_t k = 0; k < p->entry->n_kernels; k++) {
        const Kernel *kernel = p->entry->kernels[k];
        void **buffers = NEW_ARRAY(p->arena, void *, kernel->n_globals + 1);
        for (size_t b = 0; b < kernel->n_globals; b++) {
            HoneRef ref = p->entry->buffers[k][b];
            buffers[b] = p->memory[ref.arena] + ref.offset;
        }
        for (int64_t chunk = kernel_chunks(kernel); is_due(p, k) && chunk-- > 0;) {
            memset(scratch, 0xA5, p->entry->scratch_bytes);
            code_function(p->code, k)(buffers, scratch, chunk);
        }
    }
}

static double output_error(const Planned *p, const HonePort *port, NodeId id)
{
    const Node *node = graph_node(p->graph, id);
    const double *want = p->interp->values[id];
    double scale = 0.05, most = 0;
    size_t n = (size_t)node_elements(node);
    for (size_t i = 0; i < n; i++)
        scale = isfinite(want[i]) ? fmax(scale, fabs(want[i])) : scale;
    for (size_t i = 0; i < n; i++) {
        double got = value_get((DType)port->dtype, p->memory[port->at.arena] + port->at.offset,
                               stored_at(node->rank, node->dims, port->strides, i));
        double error = got == want[i] ? 0 : fabs(got - want[i]) / scale;
        most = error > most || isnan(error) ? error : most;
    }
    return most;
}

/* --- for tests -------------------------------------------------------------------------------- */
Planned *planned_open(Arena *arena, const Graph *graph, const Target *target, const char **why)
{
    Planned *p = NEW(arena, Planned);
    *p = (Planned){.arena = arena, .graph = graph};
    if (!build(p, target)) {
        *why = p->why;
        return NULL;
    }
    map_arenas(p);
    return p;
}

void planned_run(Planned *p, const Interp *interp)
{
    p->interp = interp;
    fill_leaves(p);
    run_kernels(p);
}

void planned_close(Planned *p)
{
    code_free(p->code);
}

static const HonePort *output_port(const Planned *p, size_t output)
{
    for (size_t i = 0; i < p->entry->n_outputs; i++) {
        size_t index;
        if (sscanf(p->entry->outputs[i].name, "output %zu", &index) == 1 && index == output)
            return &p->entry->outputs[i];
    }
    return NULL;
}

bool planned_output(const Planned *p, size_t output, double *to)
{
    const HonePort *port = output_port(p, output);
    const Node *node = graph_node(p->graph, p->graph->outputs.at[output].value);
    for (size_t i = 0; port && i < (size_t)node_elements(node); i++)
        to[i] = value_get((DType)port->dtype, p->memory[port->at.arena] + port->at.offset,
                          stored_at(node->rank, node->dims, port->strides, i));
    return port != NULL;
}

const Graph *planned_passes(Arena *arena, const Graph *graph, const Target *target)
{
    const Moves without = 0;
#define STAGE(name, help)
#define PASS(name, call, help) graph = call;
#include "stages.def"
#undef STAGE
#undef PASS
    (void)target;
    return graph;
}

PlannedResult planned_compare(Arena *arena, const Graph *graph, const Interp *interp,
                              const Target *target)
{
    PlannedResult result = {0};
    const char *why = "";
    Planned *p = planned_open(arena, graph, target, &why);
    if (!p) {
        snprintf(result.why, sizeof result.why, "%.250s", why);
        return result;
    }
    result.kernels = p->entry->n_kernels;
    for (size_t i = 0; i < p->entry->n_kernels; i++)
        if (p->entry->kernels[i]->n_nests > result.most_nests)
            result.most_nests = p->entry->kernels[i]->n_nests;
    planned_run(p, interp);
    for (size_t i = 0; i < graph->outputs.len; i++) {
        const HonePort *port = output_port(p, i);
        if (!port)
            continue;
        double error = output_error(p, port, graph->outputs.at[i].value);
        if (!(error <= 1e-4))
            snprintf(result.why, sizeof result.why, "output %zu of %zu differs by %g", i,
                     graph->outputs.len, error);
        result.error = error > result.error || isnan(error) ? error : result.error;
    }
    planned_close(p);
    return result;
}
