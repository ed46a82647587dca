/* Maps written into their readers (fusion.md 3.3 move 1, 3.4): a tensor that its readers can compute
 * again for less than storing and loading it costs is not stored. Needs normal form; keeps values,
 * outputs and leaves. Only reads at plain variables and constants are replaced: others would be
 * evaluated several times per element, or need their fills anew. A factor of a contraction is computed
 * once per element, as it is packed. */
#include "passes/fusion.h"

#include <assert.h>

/* Units are those of sc_cost: one vector instruction. */
static const double kernel_cost = 200;       /* to start one more kernel */
static const double far_cost = 8;            /* a vector moved to or from memory */
static const double middle_cost = 4;         /* the cache that threads share */
static const double near_cost = 1;           /* from the first cache */
static const size_t most_scalars = 300;      /* of a body after inlining */
static const size_t most_streams = 12;
static const double operand_cost = 2;        /* to put a vector into a pack that is computed */
static const double most_operand = 12;       /* of one that is computed for several blocks again */

typedef struct Use {
    NodeId reader;
    double points;               /* of the piece that reads */
    bool plain;
    bool operand;                /* a factor of a contraction: what is written there is computed once
                                  * per block, not per point (loop/operand.c) */
} Use;
typedef VEC(Use) Uses;
typedef VEC(NodeId) NodeIds;

typedef struct Inline {
    Arena *arena;
    const Graph *from;
    const Target *target;
    Graph *to;
    NodeId *ids;                 /* by old node: the new one, NODE_NONE where inlined */
    const Piece **pieces;        /* by old node: the inlined piece, in the new graph */
    Uses *uses;                  /* by old node */
    NodeIds *inputs;             /* by old node: old nodes it reads, inlined ones replaced by theirs */
    bool *fixed;                 /* by old node: an output */
    const bool *decisions;       /* by old node: kept, see graph_decisions */
} Inline;

/* --- who reads what ------------------------------------------------------------------------------- */
static bool read_is_plain(const Scalar *read)
{
    const Var *var;
    int64_t value;
    for (size_t d = 0; d < read->n; d++) {
        if (!pos_is_var(read->at[d], &var) && !pos_is_const(read->at[d], &value))
            return false;
    }
    return read->fill == NULL;
}

/* The read is one of the two factors of a contraction, the other one a tensor at plain variables too. */
static bool is_operand(const Piece *piece, const Scalar *read)
{
    const Scalar *body = piece->body;
    if (body->kind != SCALAR_FN || body->op != OP_MUL || body->n != 2)
        return false;
    const Scalar *other = body->args[body->args[0] == read];
    return other != read && (body->args[0] == read || body->args[1] == read) &&
           other->kind == SCALAR_READ && read_is_plain(other);
}

static void note_uses(Inline *in, NodeId id)
{
    const Node *node = graph_node(in->from, id);
    for (size_t p = 0; p < node->n_pieces; p++) {
        const Piece *piece = &node->pieces[p];
        bool contraction = node->n_pieces == 1 && piece_is_plain(node, piece) &&
                           piece_is_contraction(in->arena, node, piece);
        ScalarList list = piece_list(in->arena, piece, node->rank);
        for (size_t i = 0; i < list.n; i++) {
            const Scalar *s = list.at[i];
            if (s->kind != SCALAR_READ)
                continue;
            Use use = {.reader = id, .points = piece_points(piece), .plain = read_is_plain(s),
                       .operand = contraction && is_operand(piece, s)};
            VEC_PUSH(in->arena, in->uses[s->tensor], use);
        }
    }
    for (size_t i = 0; i < node->n_args; i++)
        in->fixed[node->args[i]] = true;
}

static void add_input(Inline *in, NodeIds *inputs, NodeId tensor)
{
    for (size_t i = 0; i < inputs->len; i++) {
        if (inputs->at[i] == tensor)
            return;
    }
    VEC_PUSH(in->arena, *inputs, tensor);
}

static NodeIds inputs_of(Inline *in, NodeId id)
{
    NodeIds inputs = {0};
    const Node *node = graph_node(in->from, id);
    for (size_t p = 0; p < node->n_pieces; p++) {
        ScalarList list = piece_list(in->arena, &node->pieces[p], node->rank);
        for (size_t i = 0; i < list.n; i++) {
            if (list.at[i]->kind != SCALAR_READ)
                continue;
            NodeId tensor = list.at[i]->tensor;
            if (in->pieces[tensor] == NULL) {
                add_input(in, &inputs, tensor);
                continue;
            }
            for (size_t k = 0; k < in->inputs[tensor].len; k++)
                add_input(in, &inputs, in->inputs[tensor].at[k]);
        }
    }
    return inputs;
}

/* --- the choice -------------------------------------------------------------------------------------- */
static double load_cost(const Inline *in, const Node *node)
{
    double bytes = (double)node_elements(node) * (double)dtype_bytes(node->dtype);
    return bytes <= 16384 ? near_cost
           : bytes < (double)in->target->l3_share_bytes ? middle_cost : far_cost;
}

static bool has_input(const NodeIds *inputs, NodeId tensor)
{
    for (size_t i = 0; i < inputs->len; i++) {
        if (inputs->at[i] == tensor)
            return true;
    }
    return false;
}

static double cost_of_body(Inline *in, const Piece *piece, size_t *scalars)
{
    ScalarList list = sc_list(in->arena, 1, &piece->body);
    double cost = 0;
    for (size_t i = 0; i < list.n; i++)
        cost += sc_cost(list.at[i]);
    *scalars = list.n;
    return cost;
}

/* Does what is written into a contraction stay a factor by itself? A product would dissolve in that of
 * the contraction, and a choice become one between products. */
static bool stays_a_factor(const Piece *piece)
{
    const Scalar *body = piece->body;
    if (body->kind != SCALAR_FN || body->dtype != DT_F32)
        return false;
    return body->op == OP_ADD || body->op == OP_MAX || body->op == OP_MIN;
}

/* A tensor read from memory and not from a cache, or else nothing is saved. */
static bool is_streamed(const Inline *in, const Node *node)
{
    double bytes = (double)node_elements(node) * (double)dtype_bytes(node->dtype);
    return bytes >= (double)in->target->l3_share_bytes;
}

/* A parameter as `precision` has it. In a map, such as a sum with a bias, rounding it for every element is
 * little beside a kernel that could not be one with the products before. */
static bool rounds_parameter(const Inline *in, NodeId id)
{
    const Node *node = graph_node(in->from, id);
    const Scalar *body = node->pieces[0].body;
    return dtype_is_short(node->dtype) && body->kind == SCALAR_FN && body->op == OP_CAST &&
           body->args[0]->kind == SCALAR_READ &&
           graph_node(in->from, body->args[0]->tensor)->kind == NODE_PARAM;
}

/* Inputs as large as the node. */
static double streams_cost(const Inline *in, NodeId id)
{
    double cost = 0;
    for (size_t i = 0; i < in->inputs[id].len; i++) {
        const Node *input = graph_node(in->from, in->inputs[id].at[i]);
        cost += node_elements(input) < node_elements(graph_node(in->from, id)) ? 0 : far_cost;
    }
    return cost;
}

/* Kept in less than a tensor that it is computed from: written into readers it would be that tensor that
 * is kept. But for the only reader, where that is kept in as little. */
static bool keeps_less(const Inline *in, NodeId id)
{
    const Node *node = graph_node(in->from, id);
    const Uses *uses = &in->uses[id];
    if (!dtype_is_short(node->dtype))
        return false;
    const Node *reader = graph_node(in->from, uses->at[0].reader);
    if (uses->len == 1 && node_is_map(reader) && reader->dtype == node->dtype)
        return false;
    for (size_t i = 0; i < in->inputs[id].len; i++) {
        const Node *input = graph_node(in->from, in->inputs[id].at[i]);
        if (input->kind == NODE_EQUATION && dtype_bytes(input->dtype) > dtype_bytes(node->dtype) &&
            node_elements(input) >= node_elements(node))
            return true;
    }
    return false;
}

/* `piece` is the node's own in the new graph, what it reads inlined already. */
static bool worth_inlining(Inline *in, NodeId id, const Piece *piece)
{
    const Node *node = graph_node(in->from, id);
    size_t scalars;
    double cost = cost_of_body(in, piece, &scalars);
    double elements = (double)node_elements(node);
    double store = kernel_cost + elements * (cost + 2 * load_cost(in, node)), again = 0;
    if (scalars > most_scalars || keeps_less(in, id))
        return false;
    const Uses *uses = &in->uses[id];
    bool packed = false;
    for (size_t i = 0; i < uses->len; i++) {
        const Use *use = &uses->at[i];
        if (!use->plain)
            return false;
        if (rounds_parameter(in, id) && node_is_map(graph_node(in->from, use->reader)))
            continue;
        double points = node->rank == 0 ? 1 : use->points;   /* scalars leave all loops */
        if (use->operand && is_streamed(in, node) && stays_a_factor(piece) && cost <= most_operand) {
            points = elements;
            again += points * operand_cost;
            packed = true;
        }
        NodeIds reads = inputs_of(in, use->reader);
        size_t streams = reads.len;
        store += points * load_cost(in, node);
        again += points * cost;
        for (size_t k = 0; k < in->inputs[id].len; k++) {
            NodeId tensor = in->inputs[id].at[k];
            if (has_input(&reads, tensor))
                continue;
            again += points * load_cost(in, graph_node(in->from, tensor));
            streams++;
        }
        if (streams > most_streams)
            return false;
    }
    if (packed)                    /* a pass of its own would read them */
        store += elements * streams_cost(in, id);
    return again <= store;
}

/* --- rebuilding ----------------------------------------------------------------------------------------- */
static const Scalar *read_mapped(void *context, ExprPool *pool, const Scalar *old, size_t rank,
                                 const Position *const *at, const Scalar *fill)
{
    const Inline *in = context;
    const Piece *piece = in->pieces[old->tensor];
    if (piece == NULL)
        return sc_read(pool, old->dtype, in->ids[old->tensor], rank, at, fill);
    Subst subst = {.n = piece->n_vars, .from = piece->vars, .to = at};
    return sc_subst(pool, piece->body, &subst);
}

/* A decision reads step values and nothing that is computed. */
static const Scalar *step_expanded(void *context, ExprPool *pool, const Scalar *old, size_t rank,
                                   const Position *const *at, const Scalar *fill)
{
    const Inline *in = context;
    const Node *node = graph_node(in->from, old->tensor);
    if (node->kind == NODE_STEP)
        return sc_read(pool, old->dtype, in->ids[old->tensor], rank, at, fill);
    return sc_rewrite(pool, sc_cast(in->from->pool, node->dtype, node->pieces[0].body),
                      step_expanded, context);
}

static void copy_node(Inline *in, NodeId id)
{
    const Node *node = graph_node(in->from, id);
    if (in->decisions[id]) {
        in->ids[id] = node_rewrite(in->to, node, step_expanded, in, in->ids);
        return;
    }
    in->inputs[id] = inputs_of(in, id);
    if (node_is_map(node) && !in->fixed[id] && in->uses[id].len > 0) {
        Piece *piece = NEW(in->arena, Piece);
        *piece = piece_rewrite(in->to, &node->pieces[0], node->rank, read_mapped, in);
        piece->body = sc_cast(in->to->pool, node->dtype, piece->body);
        if (worth_inlining(in, id, piece)) {
            in->pieces[id] = piece;
            return;
        }
    }
    in->ids[id] = node_rewrite(in->to, node, read_mapped, in, in->ids);
}

Graph *pass_inline(Arena *arena, const Graph *graph, const Target *target)
{
    size_t n = graph->nodes.len;
    Inline in = {.arena = arena,
                 .from = graph,
                 .target = target,
                 .to = graph_new(arena),
                 .ids = NEW_ARRAY(arena, NodeId, n),
                 .pieces = NEW_ARRAY(arena, const Piece *, n),
                 .uses = NEW_ARRAY(arena, Uses, n),
                 .inputs = NEW_ARRAY(arena, NodeIds, n),
                 .fixed = NEW_ARRAY(arena, bool, n),
                 .decisions = graph_decisions(arena, graph)};
    for (size_t i = 0; i < graph->outputs.len; i++)
        in.fixed[graph->outputs.at[i].value] = true;
    for (NodeId id = 0; id < n; id++) {
        in.ids[id] = NODE_NONE;
        note_uses(&in, id);
    }
    for (NodeId id = 0; id < n; id++)
        copy_node(&in, id);
    for (size_t i = 0; i < graph->outputs.len; i++) {
        const Output *output = &graph->outputs.at[i];
        NodeId to = output->target == NODE_NONE ? NODE_NONE : in.ids[output->target];
        graph_output(in.to, output->kind, output->name, in.ids[output->value], to);
    }
    return in.to;
}
