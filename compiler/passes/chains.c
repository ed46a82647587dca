/* chains: finds all chains of a graph (chain.c) and gives each what it needs to be a kernel. Where the
 * backward pass reads planes of a chain of the forward pass, such as the exponentials of a softmax, it
 * gets copies of its own, computed again in its own chain from the operands and what is kept per row.
 * Constant factors leave the contractions: that of a plane goes to its readers, that of results into the
 * map they read. Members of a chain become consecutive nodes. */
#include "passes/chain.h"

#include "passes/clean.h"

typedef struct Copies {          /* for the late readers of one chain */
    NodeId seed;
    const uint8_t *kind;         /* by node, of its growth */
    bool *late;                  /* by node: reads planes, and is none of the chain */
    bool *wanted;                /* by node: planes that late readers need */
    NodeId *copy;                /* by node: the copy, in the new graph; NODE_NONE: not yet there */
} Copies;

typedef struct Chaining {
    Arena *arena;
    const Graph *from;
    Graph *to;
    NodeId *map;                 /* by node of `from` */
    VEC(Copies) copies;
    VEC(NodeId) refused;         /* seeds whose late readers make no chain */
    const Copies *reading;       /* whose copies are read now; NULL: none */
} Chaining;

/* --- finding ---------------------------------------------------------------------------------------- */
static bool is_refused(const Chaining *c, NodeId seed)
{
    for (size_t i = 0; i < c->refused.len; i++) {
        if (c->refused.at[i] == seed)
            return true;
    }
    return false;
}

static bool is_plane(const Copies *copies, NodeId id)
{
    return copies->kind[id] == CHAIN_PLANE;
}

/* All planes that the late readers need, those that wanted planes are made of included. */
static void want_planes(const ChainFinder *f, Copies *copies)
{
    NodeId n = (NodeId)f->graph->nodes.len;
    for (NodeId id = n; id-- > 0;) {
        bool late = copies->kind[id] == CHAIN_NONE;
        const Node *node = graph_node(f->graph, id);
        for (size_t p = 0; p < node->n_pieces && (late || copies->wanted[id]); p++) {
            for (size_t i = 0; i < f->reads[id][p].len; i++) {
                NodeId tensor = f->reads[id][p].at[i]->tensor;
                if (!is_plane(copies, tensor))
                    continue;
                copies->wanted[tensor] = true;
                copies->late[id] = late;
            }
        }
    }
}

static void note_copies(Chaining *c, ChainFinder *f, const Growth *g)
{
    size_t n = f->graph->nodes.len;
    Copies copies = {.seed = g->seed, .kind = g->kind,
                     .late = NEW_ARRAY(c->arena, bool, n),
                     .wanted = NEW_ARRAY(c->arena, bool, n),
                     .copy = NEW_ARRAY(c->arena, NodeId, n)};
    for (NodeId id = 0; id < n; id++)
        copies.copy[id] = NODE_NONE;
    want_planes(f, &copies);
    VEC_PUSH(c->arena, c->copies, copies);
}

/* Chains that cannot be closed without copies, as the backward pass reads them. */
static void find_open(Chaining *c)
{
    ChainFinder f = chain_finder(c->arena, c->from);
    c->copies.len = 0;
    for (NodeId id = 0; id < c->from->nodes.len; id++) {
        Growth g[2];
        bool found[2] = {false, false}, closed = is_refused(c, id);
        for (size_t turned = 0; turned < 2 && !closed; turned++) {
            found[turned] = chain_grow(&f, id, turned, &g[turned]);
            closed |= found[turned] && chain_is_closed(&g[turned]);
        }
        if (closed || !(found[0] || found[1]))
            continue;
        note_copies(c, &f, &g[!found[0]]);
        (void)chain_of_growth(&g[!found[0]], 1);
    }
}

typedef VEC(RowChain) ChainList;

static ChainList find_closed(Arena *arena, ChainFinder *f)
{
    ChainList chains = {0};
    for (NodeId id = 0; id < f->graph->nodes.len; id++) {
        for (int turned = 0; turned < 2; turned++) {
            Growth g;
            if (chain_grow(f, id, turned, &g) && chain_is_closed(&g)) {
                RowChain chain = chain_of_growth(&g, (uint32_t)chains.len + 1);
                VEC_PUSH(arena, chains, chain);
            }
        }
    }
    return chains;
}

/* --- copies ----------------------------------------------------------------------------------------- */
static const Scalar *read_copied(void *context, ExprPool *pool, const Scalar *old, size_t rank,
                                 const Position *const *at, const Scalar *fill)
{
    const Chaining *c = context;
    NodeId to = c->map[old->tensor];
    for (size_t i = 0; i < c->copies.len; i++) {
        const Copies *copies = &c->copies.at[i];
        if (is_plane(copies, old->tensor) && (c->reading == NULL || c->reading == copies))
            to = copies->copy[old->tensor];
    }
    return sc_read(pool, old->dtype, to, rank, at, fill);
}

static bool is_member(const Chaining *c, NodeId id)
{
    for (size_t i = 0; i < c->copies.len; i++) {
        if (c->copies.at[i].kind[id] != CHAIN_NONE)
            return true;
    }
    return false;
}

/* All up to `end`, which reads some. */
static void copy_planes(Chaining *c, Copies *copies, NodeId end)
{
    c->reading = copies;
    for (NodeId id = 0; id < end; id++) {
        if (copies->wanted[id] && copies->copy[id] == NODE_NONE)
            copies->copy[id] = node_rewrite(c->to, graph_node(c->from, id), read_copied, c, c->map);
    }
    c->reading = NULL;
}

static Graph *with_copies(Chaining *c)
{
    c->to = graph_new(c->arena);
    for (NodeId id = 0; id < c->from->nodes.len; id++) {
        for (size_t i = 0; i < c->copies.len; i++) {
            if (c->copies.at[i].late[id])
                copy_planes(c, &c->copies.at[i], id);
        }
        bool member = is_member(c, id);
        c->map[id] = node_rewrite(c->to, graph_node(c->from, id), member ? read_renamed : read_copied,
                                  member ? (void *)c->map : c, c->map);
    }
    outputs_copy(c->to, c->from, c->map);
    return c->to;
}

/* All copies are members of chains; else their seeds are refused. */
static bool copies_are_chained(Chaining *c, const Graph *graph)
{
    ChainFinder f = chain_finder(c->arena, graph);
    (void)find_closed(c->arena, &f);
    bool all = true;
    for (size_t i = 0; i < c->copies.len; i++) {
        const Copies *copies = &c->copies.at[i];
        bool chained = f.chain_of[c->map[copies->seed]] != 0;
        for (NodeId id = 0; id < c->from->nodes.len; id++)
            chained &= !copies->wanted[id] || f.chain_of[copies->copy[id]] != 0;
        if (!chained)
            VEC_PUSH(c->arena, c->refused, copies->seed);
        all &= chained;
    }
    return all;
}

/* --- factors ---------------------------------------------------------------------------------------- */
typedef struct Ordering {
    Arena *arena;
    const Graph *from;
    ChainFinder *f;
    const ChainList *chains;
    Graph *to;
    NodeId *map;                 /* by node of `from`: NODE_NONE: not yet there */
    bool *open;                  /* by chain: its inputs are being put there */
    double *read_by;             /* by node: readers multiply by this */
    double *grown;               /* by node: its map is multiplied by this */
    bool *stripped;              /* by node: the constant factor of its sums is gone */
    bool failed;
} Ordering;

static bool is_sum(const Piece *piece)
{
    return piece->n_reduced > 0;
}

/* 1: none, or no sum. */
static double factor_of(const Ordering *o, const Node *node, const Piece *piece)
{
    double factor = 1;
    if (is_sum(piece) && node->reduce == REDUCE_SUM)
        (void)factor_split(o->from->pool, piece->body, &factor);
    return factor;
}

static size_t members_read(const Ordering *o, const PieceRows *part)
{
    const ChainReads *reads = &o->f->reads[part->node][part->piece];
    size_t n = 0;
    for (size_t i = 0; i < reads->len; i++)
        n += o->f->chain_of[reads->at[i]->tensor] == o->f->chain_of[part->node];
    return n;
}

/* The one factor of all sums that read the plane and no other member, if nothing else does. */
static double factor_of_readers(const Ordering *o, const RowChain *chain, NodeId plane)
{
    double factor = 0;
    for (size_t i = 0; i < chain->n_parts; i++) {
        const PieceRows *part = &chain->parts[i];
        const Node *node = graph_node(o->from, part->node);
        const ChainReads *reads = &o->f->reads[part->node][part->piece];
        for (size_t k = 0; k < reads->len; k++) {
            if (reads->at[k]->tensor != plane)
                continue;
            const Piece *piece = &node->pieces[part->piece];
            double own = factor_of(o, node, piece);
            if (!is_sum(piece) || members_read(o, part) != 1 || (factor != 0 && factor != own))
                return 1;
            factor = own;
        }
    }
    return factor == 0 ? 1 : factor;
}

/* By no contraction, and by some: then it is a plane. */
static bool read_by_maps(const Ordering *o, const RowChain *chain, NodeId id)
{
    bool any = false;
    for (size_t i = 0; i < chain->n_parts; i++) {
        const PieceRows *part = &chain->parts[i];
        const ChainReads *reads = &o->f->reads[part->node][part->piece];
        const Node *node = graph_node(o->from, part->node);
        bool sum = is_sum(&node->pieces[part->piece]) && node->reduce == REDUCE_SUM;
        for (size_t k = 0; k < reads->len; k++) {
            if (reads->at[k]->tensor == id && sum)
                return false;
            any |= reads->at[k]->tensor == id;
        }
    }
    return any;
}

static void move_factors(Ordering *o, const RowChain *chain)
{
    for (size_t i = 0; i < chain->n_parts; i++) {
        NodeId id = chain->parts[i].node;
        const Node *node = graph_node(o->from, id);
        const Piece *piece = &node->pieces[0];
        if (node->n_pieces != 1 || node->dtype != DT_F32)
            continue;
        if (factor_of(o, node, piece) != 1 && piece_is_contraction(o->arena, node, piece) &&
            read_by_maps(o, chain, id) && !o->f->fixed[id]) {
            o->read_by[id] = factor_of(o, node, piece);
            o->stripped[id] = true;
        } else if (!is_sum(piece)) {
            o->grown[id] = factor_of_readers(o, chain, id);
        }
    }
}

static const Scalar *body_in_chain(const Ordering *o, NodeId id, size_t p)
{
    const Node *node = graph_node(o->from, id);
    const ChainReads *reads = &o->f->reads[id][p];
    const Scalar *body = node->pieces[p].body;
    ExprPool *pool = o->from->pool;
    double factor;
    bool strip = o->stripped[id];
    for (size_t i = 0; i < reads->len; i++)
        strip |= is_sum(&node->pieces[p]) && o->grown[reads->at[i]->tensor] != 1;
    if (strip)
        return factor_split(pool, body, &factor);
    return o->grown[id] == 1 ? body
                             : sc_fn2(pool, OP_MUL, sc_const(pool, body->dtype, o->grown[id]), body);
}

static const Scalar *read_ordered(void *context, ExprPool *pool, const Scalar *old, size_t rank,
                                  const Position *const *at, const Scalar *fill)
{
    const Ordering *o = context;
    const Scalar *read = sc_read(pool, old->dtype, o->map[old->tensor], rank, at, fill);
    double by = o->read_by[old->tensor];
    return by == 1 ? read : sc_fn2(pool, OP_MUL, sc_const(pool, old->dtype, by), read);
}

static void put_member(Ordering *o, NodeId id)
{
    Node node = *graph_node(o->from, id);
    Piece *pieces = NEW_ARRAY(o->arena, Piece, node.n_pieces);
    for (size_t p = 0; p < node.n_pieces; p++) {
        pieces[p] = node.pieces[p];
        pieces[p].body = body_in_chain(o, id, p);
    }
    node.pieces = pieces;
    o->map[id] = node_rewrite(o->to, &node, read_ordered, o, o->map);
}

/* --- order ------------------------------------------------------------------------------------------ */
static void put(Ordering *o, NodeId id);

static void put_inputs(Ordering *o, NodeId id, uint32_t not_of)
{
    const Node *node = graph_node(o->from, id);
    for (size_t p = 0; p < node->n_pieces; p++) {
        for (size_t i = 0; i < o->f->reads[id][p].len; i++) {
            NodeId tensor = o->f->reads[id][p].at[i]->tensor;
            if (not_of == 0 || o->f->chain_of[tensor] != not_of)
                put(o, tensor);
        }
    }
    for (size_t i = 0; i < node->n_args; i++)
        put(o, node->args[i]);
}

static void put(Ordering *o, NodeId id)
{
    uint32_t number = o->f->chain_of[id];
    if (o->map[id] != NODE_NONE || o->failed)
        return;
    if (number == 0) {
        put_inputs(o, id, 0);
        if (!o->failed)
            o->map[id] = node_rewrite(o->to, graph_node(o->from, id), read_ordered, o, o->map);
        return;
    }
    const RowChain *chain = &o->chains->at[number - 1];
    o->failed = o->open[number - 1];             /* chains that need each other */
    o->open[number - 1] = true;
    for (size_t i = 0; i < chain->n_nodes; i++)
        put_inputs(o, chain->nodes[i], number);
    for (size_t i = 0; i < chain->n_nodes && !o->failed; i++)
        put_member(o, chain->nodes[i]);
}

static RowChain renamed(const Ordering *o, const RowChain *chain)
{
    NodeId *nodes = NEW_ARRAY(o->arena, NodeId, chain->n_nodes);
    PieceRows *parts = NEW_ARRAY(o->arena, PieceRows, chain->n_parts);
    for (size_t i = 0; i < chain->n_nodes; i++)
        nodes[i] = o->map[chain->nodes[i]];
    for (size_t i = 0; i < chain->n_parts; i++) {
        parts[i] = chain->parts[i];
        parts[i].node = o->map[parts[i].node];
        for (size_t r = 0; r < chain->n_rows; r++)
            parts[i].rows[r] = var_import(o->to->pool, parts[i].rows[r]);
    }
    RowChain to = *chain;
    to.nodes = nodes;
    to.parts = parts;
    return to;
}

static RowChains in_order(Arena *arena, Graph *graph)
{
    size_t n = graph->nodes.len;
    ChainFinder f = chain_finder(arena, graph);
    ChainList list = find_closed(arena, &f);
    if (list.len == 0)
        return (RowChains){.graph = graph};
    Ordering o = {.arena = arena, .from = graph, .f = &f, .chains = &list, .to = graph_new(arena),
                  .map = NEW_ARRAY(arena, NodeId, n),
                  .open = NEW_ARRAY(arena, bool, list.len),
                  .read_by = NEW_ARRAY(arena, double, n),
                  .grown = NEW_ARRAY(arena, double, n),
                  .stripped = NEW_ARRAY(arena, bool, n)};
    for (NodeId id = 0; id < n; id++) {
        o.map[id] = NODE_NONE;
        o.read_by[id] = o.grown[id] = 1;
    }
    for (size_t i = 0; i < list.len; i++)
        move_factors(&o, &list.at[i]);
    for (NodeId id = 0; id < n; id++) {          /* leaves keep their order */
        const Node *node = graph_node(graph, id);
        if (node->kind != NODE_EQUATION && node->n_args == 0)
            put(&o, id);
    }
    for (NodeId id = 0; id < n; id++)
        put(&o, id);
    if (o.failed)
        return (RowChains){.graph = graph};
    outputs_copy(o.to, graph, o.map);
    RowChain *chains = NEW_ARRAY(arena, RowChain, list.len);
    for (size_t i = 0; i < list.len; i++)
        chains[i] = renamed(&o, &list.at[i]);
    return (RowChains){.graph = o.to, .n = list.len, .chains = chains};
}

RowChains pass_chain(Arena *arena, Graph *graph)
{
    Chaining c = {.arena = arena, .from = graph,
                  .map = NEW_ARRAY(arena, NodeId, graph->nodes.len + 1)};
    find_open(&c);
    while (c.copies.len > 0) {
        Graph *copied = with_copies(&c);
        if (copies_are_chained(&c, copied))
            return in_order(arena, pass_prune(arena, copied));
        find_open(&c);
    }
    return in_order(arena, graph);
}
