/* Which equations are computed by one kernel: those that share loops, and those of which one reads
 * the other's rows (fusion.md 3.2, 3.3). Equations are taken in order; each joins the group of a
 * producer, or of another reader of what it reads, or starts a group. A group depends on no group
 * that depends on it. All rules look at the graph and the target record only. */
#include "passes/fusion.h"

#include <assert.h>
#include <string.h>

enum { MOST_STREAMS = 14, MOST_STORES = 6 };
/* Rows that are enough for threads: whole rows; parts of all rows. */
static const double least_rows = 64, least_columns = 1024;

typedef struct Member {
    NodeId node;
    uint32_t nest;
    uint8_t *rows;               /* n_rows dimensions, one for each row of the group */
} Member;

typedef struct Bundle {          /* a group under construction */
    VEC(Member) members;
    size_t n_rows;
    uint32_t nests;
    bool closed;                 /* several pieces, or a decision: nothing joins */
    bool maps;                   /* all members are: a demand of theirs may be weaker than one of them's */
    Demand demand;               /* else: of all members */
    const Piece *contraction;    /* its first member; maps and sums of its own rows join, or NULL */
    double points;
    double bytes;                /* of all tensors its members write */
    const RowChain *chain;          /* NULL: none */
} Bundle;

typedef struct Fuse {
    Arena *arena;
    const Graph *graph;
    const Target *target;
    Moves without;
    VEC(Bundle) bundles;
    uint32_t *of;                /* by node: its bundle, or none */
    size_t words;
    uint64_t **needs;            /* by bundle: bits of all bundles it depends on */
    VEC(uint32_t) *readers;      /* by node: bundles that read it */
    const Demand *demands;       /* by node */
    const bool *decisions;       /* by node: somebody waits for it */
    bool *kept;                  /* by node: an output of the graph */
} Fuse;

#define NO_BUNDLE UINT32_MAX

static bool bit(const uint64_t *bits, uint32_t i)
{
    return bits[i / 64] >> (i % 64) & 1;
}

/* --- reads -------------------------------------------------------------------------------------------- */
typedef struct Reads {
    size_t n;
    const Scalar **at;
} Reads;

static Reads reads_of(Fuse *f, const Node *node)
{
    Reads reads = {.at = node->n_args > 0 ? NEW_ARRAY(f->arena, const Scalar *, node->n_args) : NULL};
    for (; reads.n < node->n_args; reads.n++)
        reads.at[reads.n] = graph_read_whole(f->graph, node->args[reads.n]);
    for (size_t p = 0; p < node->n_pieces; p++) {
        ScalarList list = piece_list(f->arena, &node->pieces[p], node->rank);
        const Scalar **at = NEW_ARRAY(f->arena, const Scalar *, reads.n + list.n);
        if (reads.n > 0)
            memcpy(at, reads.at, reads.n * sizeof *at);
        reads.at = at;
        for (size_t i = 0; i < list.n; i++) {
            if (list.at[i]->kind == SCALAR_READ)
                at[reads.n++] = list.at[i];
        }
    }
    return reads;
}

static const Member *member_of(const Bundle *bundle, NodeId node)
{
    for (size_t i = 0; i < bundle->members.len; i++) {
        if (bundle->members.at[i].node == node)
            return &bundle->members.at[i];
    }
    return NULL;
}

/* --- joining -------------------------------------------------------------------------------------------- */
typedef struct Joining {
    Fuse *f;
    NodeId id;
    const Node *node;
    const Piece *piece;
    Reads reads;
    bool reads_member, pointwise;    /* pointwise: every read of a member is at the node's own place */
    size_t n_rows;
    uint8_t rows[MAX_RANK];          /* dimensions of the node */
    uint8_t kept[MAX_RANK];          /* rows of the bundle that stay */
} Joining;

/* The dimension of the node whose variable alone is the position. */
static bool dimension_at(const Joining *j, const Position *p, uint8_t *dimension)
{
    const Var *var;
    if (!pos_is_var(p, &var))
        return false;
    for (size_t d = 0; d < j->node->rank; d++) {
        if (j->piece->vars[d] == var) {
            *dimension = (uint8_t)d;
            return true;
        }
    }
    return false;
}

static bool at_own_place(const Joining *j, const Scalar *read)
{
    if (read->fill || read->n != j->node->rank)
        return false;
    const Node *tensor = graph_node(j->f->graph, read->tensor);
    for (size_t d = 0; d < read->n; d++) {
        uint8_t dimension;
        if (tensor->dims[d] != j->node->dims[d])
            return false;
        if (tensor->dims[d] > 1 && (!dimension_at(j, read->at[d], &dimension) || dimension != d))
            return false;
    }
    return true;
}

/* Keeps the rows at which every read of a member stays in the node's own row. */
static void keep_rows(Joining *j, const Bundle *bundle)
{
    bool first = true;
    bool dropped[MAX_RANK] = {false};
    j->pointwise = true;
    for (size_t i = 0; i < j->reads.n; i++) {
        const Scalar *read = j->reads.at[i];
        const Member *member = member_of(bundle, read->tensor);
        if (!member)
            continue;
        j->pointwise &= at_own_place(j, read);
        for (size_t r = 0; r < bundle->n_rows; r++) {
            uint8_t d = 0;
            bool same = dimension_at(j, read->at[member->rows[r]], &d) &&
                        graph_node(j->f->graph, read->tensor)->dims[member->rows[r]] ==
                            j->node->dims[d] &&
                        (first || dropped[r] || j->rows[r] == d);
            dropped[r] |= !same;
            j->rows[r] = d;
        }
        first = false;
    }
    j->reads_member = !first;
    for (size_t r = 0; r < bundle->n_rows; r++) {
        if (!dropped[r]) {
            j->rows[j->n_rows] = j->rows[r];
            j->kept[j->n_rows++] = (uint8_t)r;
        }
    }
}

static bool same_domain(const Joining *j, const Node *lead)
{
    const Piece *piece = &lead->pieces[0];
    if (lead->rank != j->node->rank || piece->n_reduced != j->piece->n_reduced)
        return false;
    for (size_t d = 0; d < lead->rank; d++) {
        if (lead->dims[d] != j->node->dims[d])
            return false;
    }
    for (size_t i = 0; i < piece->n_reduced; i++) {
        if (piece->reduced[i]->extent != j->piece->reduced[i]->extent)
            return false;
    }
    return true;
}

/* Distinct tensors that the members of the nest and the node read, and stores. */
static bool nest_has_room(const Joining *j, const Bundle *bundle, uint32_t nest)
{
    VEC(NodeId) tensors = {0};
    size_t stores = 1;
    for (size_t m = 0; m <= bundle->members.len; m++) {
        bool self = m == bundle->members.len;
        if (!self && bundle->members.at[m].nest != nest)
            continue;
        stores += !self;
        Reads reads = self ? j->reads
                           : reads_of(j->f, graph_node(j->f->graph, bundle->members.at[m].node));
        for (size_t i = 0; i < reads.n; i++) {
            bool known = false;
            for (size_t k = 0; k < tensors.len; k++)
                known |= tensors.at[k] == reads.at[i]->tensor;
            if (!known)
                VEC_PUSH(j->f->arena, tensors, reads.at[i]->tensor);
        }
    }
    return stores <= MOST_STORES && tensors.len + stores <= MOST_STREAMS;
}

static const Member *lead_of(const Bundle *bundle, uint32_t nest)
{
    size_t i = 0;
    while (bundle->members.at[i].nest != nest)
        i++;
    return &bundle->members.at[i];
}

/* Which of a piece's variables the position is: left ones, then reduced ones; SIZE_MAX: none alone. */
static size_t variable_at(const Piece *piece, const Position *p)
{
    const Var *var;
    if (!pos_is_var(p, &var))
        return SIZE_MAX;
    for (size_t i = 0; i < piece->n_vars; i++) {
        if (piece->vars[i] == var)
            return i;
    }
    for (size_t i = 0; i < piece->n_reduced; i++) {
        if (piece->reduced[i] == var)
            return piece->n_vars + i;
    }
    return SIZE_MAX;
}

/* Along other loops, as x[k, i] beside x[i, k]. */
static bool reads_cross(const Piece *a, const Scalar *x, const Piece *b, const Scalar *y)
{
    for (size_t d = 0; d < x->n; d++) {
        size_t i = variable_at(a, x->at[d]), k = variable_at(b, y->at[d]);
        if (i != k && i != SIZE_MAX && k != SIZE_MAX)
            return true;
    }
    return false;
}

/* Loops of equal extents are not worth sharing where all that both read is read crosswise. */
static bool crosses(const Joining *j, const Node *lead)
{
    Reads reads = reads_of(j->f, lead);
    bool cross = false;
    for (size_t i = 0; i < reads.n; i++) {
        for (size_t k = 0; k < j->reads.n; k++) {
            if (reads.at[i]->tensor != j->reads.at[k]->tensor || reads.at[i]->n == 0)
                continue;
            if (!reads_cross(lead->pieces, reads.at[i], j->piece, j->reads.at[k]))
                return false;
            cross = true;
        }
    }
    return cross;
}

/* In the loops of a nest: rows are the same dimensions, nothing of later nests is read, and of that
 * nest only at the node's own place. */
static bool joins_nest(const Joining *j, const Bundle *bundle, uint32_t nest)
{
    const Member *lead = lead_of(bundle, nest);
    const Node *node = graph_node(j->f->graph, lead->node);
    if ((bundle->contraction && nest == 0) || !same_domain(j, node) || crosses(j, node))
        return false;
    if (j->reads_member && memcmp(j->rows, lead->rows, j->n_rows) != 0)
        return false;
    for (size_t i = 0; i < j->reads.n; i++) {
        const Member *member = member_of(bundle, j->reads.at[i]->tensor);
        if (member && (member->nest > nest ||
                       (member->nest == nest &&
                        (j->piece->n_reduced > 0 || !at_own_place(j, j->reads.at[i])))))
            return false;
    }
    return nest_has_room(j, bundle, nest);
}

/* The last such nest, or bundle->nests: none. */
static uint32_t nest_to_join(const Joining *j, const Bundle *bundle)
{
    if (j->f->without & MOVE_BIT(loops))
        return bundle->nests;
    for (uint32_t nest = bundle->nests; nest-- > 0;) {
        if (joins_nest(j, bundle, nest))
            return nest;
    }
    return bundle->nests;
}

static double row_points(const Joining *j)
{
    double points = 1;
    for (size_t r = 0; r < j->n_rows; r++)
        points *= (double)j->node->dims[j->rows[r]];
    return points;
}

/* The rows are the first dimensions of all, in order: a row is consecutive elements. */
static double least_of(const Joining *j, const Bundle *bundle)
{
    bool first = true;
    for (size_t r = 0; r < j->n_rows; r++) {
        first &= j->rows[r] == r;
        for (size_t m = 0; m < bundle->members.len; m++)
            first &= bundle->members.at[m].rows[j->kept[r]] == r;
    }
    return first ? least_rows : least_columns;
}

/* All left dimensions of both sides are rows: together they have as many chunks as alone. */
static bool keeps_all_rows(const Joining *j, const Bundle *bundle)
{
    size_t own = 0;
    for (size_t d = 0; d < j->node->rank; d++)
        own += j->node->dims[d] > 1;
    return j->n_rows == bundle->n_rows && j->n_rows == own;
}

/* Of a contraction; a factor per reduced variable, in an operand that is a map, is none. */
static bool is_operand(const Piece *piece, const Scalar *read)
{
    bool left = false, reduced = false;
    for (size_t k = 0; k < piece->n_vars; k++)
        left |= sc_uses(read, piece->vars[k]);
    for (size_t k = 0; k < piece->n_reduced; k++)
        reduced |= sc_uses(read, piece->reduced[k]);
    return read->kind == SCALAR_READ && left && reduced;
}

/* Products beside each other, such as the slots of a sum, stay beside each other. */
static bool keeps_products(const Joining *j, const Bundle *bundle, ScalarList list)
{
    const Member *lead = &bundle->members.at[0];
    for (size_t r = 0; r < bundle->n_rows; r++) {
        const Var *var = bundle->contraction->vars[lead->rows[r]];
        bool kept = false, everywhere = true;
        for (size_t k = 0; k < j->n_rows; k++)
            kept |= j->kept[k] == r;
        for (size_t i = 0; i < list.n; i++)
            everywhere &= !is_operand(bundle->contraction, list.at[i]) || sc_uses(list.at[i], var);
        if (everywhere && !kept)
            return false;
    }
    return true;
}

/* Every operand of the contraction keeps one of its left variables among the rows, so that chunks
 * neither read all of an operand again nor leave the cache: the rows of one chunk were just written. */
static bool keeps_operands(const Joining *j, const Bundle *bundle)
{
    const Piece *piece = bundle->contraction;
    const Member *lead = &bundle->members.at[0];
    const Node *node = graph_node(j->f->graph, lead->node);
    ScalarList list = piece_list(j->f->arena, piece, node->rank);
    double most = 1;
    for (size_t i = 0; i < list.n; i++) {
        const Scalar *read = list.at[i];
        double kept = 1;
        bool any = false, operand = is_operand(piece, read);
        for (size_t r = 0; operand && r < j->n_rows; r++) {
            uint8_t d = lead->rows[j->kept[r]];
            if (!sc_uses(read, piece->vars[d]))
                continue;
            any = true;
            kept *= (double)node->dims[d];
        }
        if (operand && !any)
            return false;
        most = kept > most ? kept : most;
    }
    double bytes = (double)node_elements(node) * (double)dtype_bytes(node->dtype);
    return keeps_products(j, bundle, list) && bytes / most <= (double)j->f->target->l2_bytes / 2;
}

static bool joins_contraction(const Joining *j, const Bundle *bundle)
{
    if (j->piece->n_reduced == 0)
        return j->pointwise && j->n_rows == bundle->n_rows;
    return keeps_operands(j, bundle);
}

static bool joins_group(const Joining *j, const Bundle *bundle)
{
    double bytes = bundle->bytes + (double)node_elements(j->node) * (double)dtype_bytes(j->node->dtype);
    double rows = row_points(j), points = bundle->points + piece_points(j->piece);
    if (!j->reads_member || j->n_rows == 0)
        return false;
    if (j->f->without & (bundle->contraction ? MOVE_BIT(contraction) : MOVE_BIT(rows)))
        return false;
    if (bundle->contraction)
        return joins_contraction(j, bundle);
    if (!keeps_all_rows(j, bundle) && points > (double)PARALLEL_POINTS && rows < least_of(j, bundle))
        return false;
    return (j->pointwise && j->piece->n_reduced == 0) ||
           bytes / rows <= (double)j->f->target->l2_bytes / 2;
}

/* --- the order of groups ---------------------------------------------------------------------------------- */
/* Some other input of the node needs the bundle: the node cannot be part of it. */
static bool needs_itself(const Joining *j, uint32_t b)
{
    for (size_t i = 0; i < j->reads.n; i++) {
        uint32_t of = j->f->of[j->reads.at[i]->tensor];
        if (of != NO_BUNDLE && of != b && bit(j->f->needs[of], b))
            return true;
    }
    return false;
}

static void add_needs(const Joining *j, uint32_t b)
{
    Fuse *f = j->f;
    uint64_t *more = NEW_ARRAY(f->arena, uint64_t, f->words);
    for (size_t i = 0; i < j->reads.n; i++) {
        uint32_t of = f->of[j->reads.at[i]->tensor];
        if (of == NO_BUNDLE || of == b)
            continue;
        more[of / 64] |= UINT64_C(1) << (of % 64);
        for (size_t w = 0; w < f->words; w++)
            more[w] |= f->needs[of][w];
    }
    for (uint32_t g = 0; g < f->bundles.len; g++) {
        if (g != b && !bit(f->needs[g], b))
            continue;
        for (size_t w = 0; w < f->words; w++)
            f->needs[g][w] |= more[w];
    }
}

/* --- the walk ------------------------------------------------------------------------------------------------ */
/* Members stay in the order of their nests; nest == bundle->nests starts one. */
static void add_member(const Joining *j, uint32_t b, uint32_t nest)
{
    Fuse *f = j->f;
    Bundle *bundle = &f->bundles.at[b];
    Member member = {.node = j->id, .rows = NEW_ARRAY(f->arena, uint8_t, MAX_RANK)};
    bundle->nests += nest == bundle->nests;
    member.nest = nest;
    for (size_t m = 0; m < bundle->members.len; m++) {
        uint8_t *rows = bundle->members.at[m].rows;
        for (size_t r = 0; r < j->n_rows; r++)
            rows[r] = rows[j->kept[r]];
    }
    memcpy(member.rows, j->rows, j->n_rows);
    bundle->maps = (bundle->members.len == 0 || bundle->maps) && node_is_map(j->node);
    bool same = bundle->members.len == 0 || demand_equal(&bundle->demand, &f->demands[j->id]);
    bundle->demand = same ? f->demands[j->id] : (Demand){.any = true};
    bundle->n_rows = j->n_rows;
    bundle->points += j->node->n_pieces > 0 ? piece_points(j->piece) : 0;
    bundle->bytes += (double)node_elements(j->node) * (double)dtype_bytes(j->node->dtype);
    VEC_PUSH(f->arena, bundle->members, member);
    for (size_t m = bundle->members.len - 1; m > 0 && bundle->members.at[m - 1].nest > nest; m--) {
        bundle->members.at[m] = bundle->members.at[m - 1];
        bundle->members.at[m - 1] = member;
    }
    f->of[j->id] = b;
    add_needs(j, b);
    for (size_t i = 0; i < j->reads.n; i++)
        VEC_PUSH(f->arena, f->readers[j->reads.at[i]->tensor], b);
}

/* A large tensor that is computed beside its inputs, or what they were computed from, long before
 * anybody reads it would only take memory: what pass_recompute and pass_again put into the backward pass stays there. */
static bool is_far(const Joining *j, const Bundle *bundle)
{
    double bytes = (double)node_elements(j->node) * (double)dtype_bytes(j->node->dtype);
    NodeId last = 0;
    for (size_t m = 0; m < bundle->members.len; m++)
        last = bundle->members.at[m].node > last ? bundle->members.at[m].node : last;
    bool large = bytes >= (double)RECOMPUTE_BYTES || node_is_again(j->node);
    return large && !j->f->kept[j->id] && j->id - last >= RECOMPUTE_GAP;
}

/* What is needed only sometimes stays apart from what always is, except that maps share a pass. */
static bool same_demand(const Joining *j, const Bundle *bundle)
{
    return (bundle->maps && node_is_map(j->node)) ||
           demand_equal(&bundle->demand, &j->f->demands[j->id]);
}

static bool try_join(Joining *j, uint32_t b)
{
    Bundle *bundle = &j->f->bundles.at[b];
    if (bundle->closed || needs_itself(j, b) || !same_demand(j, bundle) || is_far(j, bundle))
        return false;
    j->n_rows = 0;
    keep_rows(j, bundle);
    uint32_t nest = bundle->nests;
    if (!j->reads_member) {
        /* another reader of the same tensors: equal loops, or nothing */
        nest = nest_to_join(j, bundle);
        if (nest == bundle->nests)
            return false;
        const Member *lead = lead_of(bundle, nest);
        j->n_rows = bundle->n_rows;
        for (size_t r = 0; r < j->n_rows; r++) {
            j->rows[r] = lead->rows[r];
            j->kept[r] = (uint8_t)r;
        }
    } else if (j->n_rows == bundle->n_rows) {
        nest = nest_to_join(j, bundle);
    }
    if (nest == bundle->nests && !joins_group(j, bundle))
        return false;
    add_member(j, b, nest);
    return true;
}

/* Readers of what the kernel of an input computes beside it: their loops may be the node's too. */
static bool join_sibling(Joining *j)
{
    Fuse *f = j->f;
    for (size_t i = 0; i < j->reads.n; i++) {
        uint32_t of = f->of[j->reads.at[i]->tensor];
        for (size_t m = 0; of != NO_BUNDLE && m < f->bundles.at[of].members.len; m++) {
            NodeId beside = f->bundles.at[of].members.at[m].node;
            for (size_t k = f->readers[beside].len; k-- > 0;) {
                if (f->readers[beside].at[k] != of && try_join(j, f->readers[beside].at[k]))
                    return true;
            }
        }
    }
    return false;
}

static bool join_any(Joining *j)
{
    Fuse *f = j->f;
    if (j->node->n_pieces != 1 || !piece_is_plain(j->node, j->piece) ||
        piece_is_contraction(f->arena, j->node, j->piece) || f->decisions[j->id])
        return false;
    for (size_t i = j->reads.n; i-- > 0;) {
        uint32_t of = f->of[j->reads.at[i]->tensor];
        if (of != NO_BUNDLE && try_join(j, of))
            return true;
    }
    for (size_t i = 0; i < j->reads.n; i++) {
        NodeId tensor = j->reads.at[i]->tensor;
        for (size_t k = f->readers[tensor].len; k-- > 0;) {
            if (graph_node(f->graph, tensor)->rank > 0 && try_join(j, f->readers[tensor].at[k]))
                return true;
        }
    }
    return join_sibling(j);
}

static void start_bundle(Joining *j)
{
    Fuse *f = j->f;
    Bundle bundle = {.closed = j->node->n_pieces != 1 || !piece_is_plain(j->node, j->piece) ||
                               f->decisions[j->id],
                     .contraction = j->node->n_pieces > 0 &&
                                            piece_is_contraction(f->arena, j->node, j->piece)
                                        ? j->piece : NULL};
    VEC_PUSH(f->arena, f->bundles, bundle);
    j->n_rows = 0;
    for (size_t d = 0; d < j->node->rank && !bundle.closed; d++) {
        if (j->node->dims[d] > 1)
            j->rows[j->n_rows++] = (uint8_t)d;
    }
    add_member(j, (uint32_t)f->bundles.len - 1, 0);
}

static Joining joining(Fuse *f, NodeId id)
{
    const Node *node = graph_node(f->graph, id);
    return (Joining){.f = f, .id = id, .node = node, .piece = node->pieces, .reads = reads_of(f, node)};
}

static void start_chain(Fuse *f, const RowChain *chain)
{
    Bundle bundle = {.closed = true, .chain = chain};
    uint32_t b = (uint32_t)f->bundles.len;
    VEC_PUSH(f->arena, f->bundles, bundle);
    for (size_t i = 0; i < chain->n_nodes; i++) {
        Joining j = joining(f, chain->nodes[i]);
        add_member(&j, b, (uint32_t)i);
    }
}

static Group finished(Fuse *f, const Bundle *bundle)
{
    size_t n = bundle->members.len;
    NodeId *nodes = NEW_ARRAY(f->arena, NodeId, n);
    uint32_t *nests = NEW_ARRAY(f->arena, uint32_t, n);
    const uint8_t **rows = NEW_ARRAY(f->arena, const uint8_t *, n);
    for (size_t i = 0; i < n; i++) {
        nodes[i] = bundle->members.at[i].node;
        nests[i] = bundle->members.at[i].nest;
        rows[i] = bundle->members.at[i].rows;
    }
    return (Group){.n = n, .n_rows = n > 1 ? bundle->n_rows : 0, .nodes = nodes, .nests = nests,
                   .rows = rows, .chain = bundle->chain};
}

/* Maps written into readers or computed again, and what vanished with factors 0 left out. */
static Graph *fewer_maps(Arena *arena, const Graph *graph, const Target *target, Moves without)
{
    bool inlined = !(without & MOVE_BIT(inline));
    Arena *scratch = arena_new(arena_mem(arena), "fewer maps");
    const Graph *to = inlined ? pass_inline(scratch, graph, target) : graph;
    if (!(without & MOVE_BIT(recompute)))
        to = pass_recompute(scratch, to);
    Graph *fewer = pass_prune(arena, inlined ? pass_inline(scratch, to, target) : to);
    arena_free(scratch);
    return fewer;
}

/* The chain that begins here; NULL: none. */
static const RowChain *chain_at(const RowChains *chains, NodeId id)
{
    for (size_t i = 0; i < chains->n; i++) {
        if (chains->chains[i].nodes[0] == id)
            return &chains->chains[i];
    }
    return NULL;
}

Groups pass_fuse(Arena *arena, const Graph *graph, const Target *target, Moves without)
{
    RowChains chains = {.graph = fewer_maps(arena, graph, target, without)};
    if (!(without & MOVE_BIT(chain)))
        chains = pass_chain(arena, chains.graph);
    Graph *merged = chains.graph;
    size_t n = merged->nodes.len;
    Fuse f = {.arena = arena,
              .graph = merged,
              .target = target,
              .without = without,
              .of = NEW_ARRAY(arena, uint32_t, n),
              .words = (n + 63) / 64,
              .needs = NEW_ARRAY(arena, uint64_t *, n),
              .demands = graph_demands(arena, merged, NULL, NULL),
              .decisions = graph_decisions(arena, merged),
              .kept = NEW_ARRAY(arena, bool, n)};
    for (size_t i = 0; i < merged->outputs.len; i++)
        f.kept[merged->outputs.at[i].value] = true;
    f.readers = arena_alloc_array(arena, n, sizeof *f.readers, _Alignof(max_align_t));
    for (NodeId id = 0; id < n; id++)
        f.of[id] = NO_BUNDLE;
    for (NodeId id = 0; id < n; id++) {
        const Node *node = graph_node(merged, id);
        if ((node->kind != NODE_EQUATION && node->kind != NODE_INTRINSIC) || f.of[id] != NO_BUNDLE)
            continue;
        f.needs[f.bundles.len] = NEW_ARRAY(arena, uint64_t, f.words);
        const RowChain *chain = chain_at(&chains, id);
        if (chain) {
            start_chain(&f, chain);
            continue;
        }
        Joining j = joining(&f, id);
        if (!join_any(&j))
            start_bundle(&j);
    }
    Group *groups = NEW_ARRAY(arena, Group, f.bundles.len);
    for (size_t i = 0; i < f.bundles.len; i++)
        groups[i] = finished(&f, &f.bundles.at[i]);
    return (Groups){.graph = merged, .n = f.bundles.len, .groups = groups};
}
