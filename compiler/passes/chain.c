/* Chains: a contraction, what is done with each row of its result, and contractions of those rows, such
 * as the scores of attention, their softmax and the products with the values (fusion.md 3.3 move 7, 3.7).
 * Computed together, block of rows by block of rows, the result of the first is never stored whole.
 * Recognised from the equations alone:
 *
 *   plane   [rows, column]: a contraction over none of them, or a map of planes
 *   row     [rows]: a map, or a reduction of a plane over its column
 *   result  a sum of products of a plane over its column, or over the last row
 *
 * All rows but the last are batches: both operands of the contraction have them. Planes are read in
 * their chain only. Nothing outside of a chain lies between two of its members (chains.c makes copies
 * where the backward pass reads a plane of the forward pass). */
#include "passes/chain.h"

static const double least_batches = 8;       /* these are the chunks that threads share */

/* --- reads ---------------------------------------------------------------------------------------- */
static void note_reads(ChainFinder *f, NodeId id)
{
    const Node *node = graph_node(f->graph, id);
    f->reads[id] = NEW_ARRAY(f->arena, ChainReads, node->n_pieces + 1);
    for (size_t p = 0; p < node->n_pieces; p++) {
        ScalarList list = piece_list(f->arena, &node->pieces[p], node->rank);
        for (size_t i = 0; i < list.n; i++) {
            if (list.at[i]->kind == SCALAR_READ)
                VEC_PUSH(f->arena, f->reads[id][p], list.at[i]);
        }
    }
    for (size_t i = 0; i < node->n_args; i++)
        f->fixed[node->args[i]] = true;
}

ChainFinder chain_finder(Arena *arena, const Graph *graph)
{
    size_t n = graph->nodes.len;
    ChainFinder f = {.arena = arena,
                     .graph = graph,
                     .reads = NEW_ARRAY(arena, ChainReads *, n + 1),
                     .fixed = graph_decisions(arena, graph),
                     .demands = graph_demands(arena, graph, NULL, NULL),
                     .chain_of = NEW_ARRAY(arena, uint32_t, n + 1)};
    for (NodeId id = 0; id < n; id++)
        note_reads(&f, id);
    for (size_t i = 0; i < graph->outputs.len; i++)
        f.fixed[graph->outputs.at[i].value] = true;
    return f;
}

/* --- variables and what they stand for -------------------------------------------------------------- */
typedef struct Roles {           /* of one piece: its variable for each row, then for the column */
    const Var *of[MAX_RANK + 1];
} Roles;

enum { NO_ROLE = UINT8_MAX };

static uint8_t role_of(const Growth *g, const Roles *roles, const Var *var)
{
    for (size_t r = 0; r <= g->n_rows; r++) {
        if (roles->of[r] == var)
            return (uint8_t)r;
    }
    return NO_ROLE;
}

/* A read of a member says what its variables stand for; false: they stand for something else already. */
static bool note_roles(const Growth *g, Roles *roles, const Scalar *read)
{
    const Node *member = graph_node(g->f->graph, read->tensor);
    for (size_t d = 0; d < read->n; d++) {
        const Var *var;
        uint8_t role = g->roles[read->tensor][d];
        if (member->dims[d] == 1)
            continue;
        if (!pos_is_var(read->at[d], &var) || var->extent != member->dims[d] ||
            (roles->of[role] && roles->of[role] != var))
            return false;
        uint8_t known = role_of(g, roles, var);
        if (known != NO_ROLE && known != role)
            return false;
        roles->of[role] = var;
    }
    return !read->fill;
}

static void set_member(Growth *g, NodeId id, ChainKind kind, const Roles *roles)
{
    const Node *node = graph_node(g->f->graph, id);
    g->kind[id] = (uint8_t)kind;
    g->first = id < g->first ? id : g->first;
    for (size_t d = 0; d < node->rank && kind != CHAIN_RESULT; d++)
        g->roles[id][d] = role_of(g, roles, node->pieces[0].vars[d]);
}

/* --- what may join ---------------------------------------------------------------------------------- */
static bool is_plain(const Node *node)
{
    return node->n_pieces == 1 && piece_is_plain(node, &node->pieces[0]);
}

static bool is_sum(const Node *node, const Piece *piece)
{
    return node->reduce == REDUCE_SUM && piece->n_guards == 0 && node->dtype == DT_F32 &&
           piece->body->dtype == DT_F32;
}

typedef struct Counts {
    size_t rows, others;         /* others: variables that stand for nothing */
    bool column, last;           /* last: of the rows */
} Counts;

static Counts count(const Growth *g, const Roles *roles, size_t n, const Var *const *vars)
{
    Counts c = {0};
    for (size_t i = 0; i < n; i++) {
        uint8_t role = vars[i]->extent == 1 ? NO_ROLE : role_of(g, roles, vars[i]);
        c.others += vars[i]->extent > 1 && role == NO_ROLE;
        c.rows += role < g->n_rows;
        c.column |= role == g->n_rows;
        c.last |= role == g->n_rows - 1;
    }
    return c;
}

static ChainKind kind_of(const Growth *g, const Node *node, const Piece *piece, const Roles *roles)
{
    Counts left = count(g, roles, piece->n_vars, piece->vars);
    Counts sum = count(g, roles, piece->n_reduced, piece->reduced);
    bool whole = left.rows == g->n_rows;
    if (piece->n_reduced == 0) {
        bool map = is_plain(node) && left.others == 0 && whole;
        return !map ? CHAIN_NONE : left.column ? CHAIN_PLANE : CHAIN_ROW;
    }
    if (sum.others > 0 || sum.rows + sum.column != 1)
        return CHAIN_NONE;
    if (sum.column && whole && !left.column && left.others == 0)
        return is_plain(node) ? CHAIN_ROW : CHAIN_NONE;
    bool over_column = sum.column && whole && !left.column;
    bool over_rows = sum.last && left.rows + 1 == g->n_rows && left.column;
    return (over_column || over_rows) && left.others > 0 && is_sum(node, piece) ? CHAIN_RESULT
                                                                               : CHAIN_NONE;
}

static bool is_member(const Growth *g, NodeId id)
{
    return g->kind[id] == CHAIN_PLANE || g->kind[id] == CHAIN_ROW;
}

static bool find_roles(const Growth *g, NodeId id, size_t piece, Roles *roles)
{
    const ChainReads *reads = &g->f->reads[id][piece];
    for (size_t i = 0; i < reads->len; i++) {
        if (is_member(g, reads->at[i]->tensor) && !note_roles(g, roles, reads->at[i]))
            return false;
    }
    return true;
}

static bool may_be_member(const Growth *g, NodeId id)
{
    const Node *node = graph_node(g->f->graph, id);
    return node->kind == NODE_EQUATION && g->f->chain_of[id] == 0 && g->kind[id] == CHAIN_NONE &&
           demand_equal(&g->f->demands[id], &g->f->demands[g->seed]);
}

static bool pull(Growth *g, const Roles *roles, const Scalar *read);

static bool pull_all(Growth *g, const Roles *roles, const ChainReads *reads)
{
    bool any = false;
    for (size_t i = 0; i < reads->len; i++)
        any |= g->kind[reads->at[i]->tensor] == CHAIN_PLANE || pull(g, roles, reads->at[i]);
    return any;
}

/* What a member reads at its own rows and column, if it is a contraction or a map of some, is a plane of
 * the chain too. */
static bool pull(Growth *g, const Roles *roles, const Scalar *read)
{
    const Node *node = graph_node(g->f->graph, read->tensor);
    Roles own = {0};
    if (!may_be_member(g, read->tensor) || g->after[read->tensor] || g->f->fixed[read->tensor] ||
        !is_plain(node) || read->fill)
        return false;
    for (size_t d = 0; d < read->n; d++) {
        const Var *var;
        if (node->dims[d] == 1)
            continue;
        uint8_t role = pos_is_var(read->at[d], &var) ? role_of(g, roles, var) : NO_ROLE;
        if (role == NO_ROLE || own.of[role] || var->extent != node->dims[d])
            return false;
        own.of[role] = node->pieces[0].vars[d];
    }
    for (size_t r = 0; r <= g->n_rows; r++) {
        if (!own.of[r])
            return false;
    }
    set_member(g, read->tensor, CHAIN_PLANE, &own);
    const Piece *piece = &node->pieces[0];
    bool found = piece->n_reduced > 0 ? piece_is_contraction(g->f->arena, node, piece)
                                      : pull_all(g, &own, &g->f->reads[read->tensor][0]);
    g->again |= found;
    if (!found)
        g->kind[read->tensor] = CHAIN_NONE;
    return found;
}

static bool covers_all(const Growth *g, const Node *node)
{
    if (is_plain(node))
        return true;
    Coverage coverage = coverage_of(g->f->arena, node);
    return !coverage.clear && coverage.disjoint;
}

static bool join(Growth *g, NodeId id)
{
    const Node *node = graph_node(g->f->graph, id);
    Roles *roles = NEW_ARRAY(g->f->arena, Roles, node->n_pieces + 1);
    ChainKind kind = CHAIN_NONE;
    if (!may_be_member(g, id))
        return false;
    for (size_t p = 0; p < node->n_pieces; p++) {
        if (!find_roles(g, id, p, &roles[p]))
            return false;
        kind = kind_of(g, node, &node->pieces[p], &roles[p]);
        if (kind == CHAIN_NONE || (node->n_pieces > 1 && kind != CHAIN_RESULT))
            return false;
    }
    if ((kind == CHAIN_PLANE && g->f->fixed[id]) || (kind == CHAIN_RESULT && !covers_all(g, node)))
        return false;
    set_member(g, id, kind, &roles[0]);
    g->results += kind == CHAIN_RESULT;
    for (size_t p = 0; p < node->n_pieces; p++)
        (void)pull_all(g, &roles[p], &g->f->reads[id][p]);
    return true;
}

/* --- growing ---------------------------------------------------------------------------------------- */
typedef struct Seen {
    bool member, after;
} Seen;

static Seen what_it_reads(const Growth *g, NodeId id)
{
    const Node *node = graph_node(g->f->graph, id);
    Seen seen = {0};
    for (size_t p = 0; p < node->n_pieces; p++) {
        const ChainReads *reads = &g->f->reads[id][p];
        for (size_t i = 0; i < reads->len; i++) {
            NodeId tensor = reads->at[i]->tensor;
            seen.member |= is_member(g, tensor);
            seen.after |= g->after[tensor] || g->kind[tensor] == CHAIN_RESULT;
        }
    }
    for (size_t i = 0; i < node->n_args; i++)
        seen.after |= g->after[node->args[i]] || g->kind[node->args[i]] != CHAIN_NONE;
    return seen;
}

/* One walk from the first member on: who joins, and who must run after the chain. */
static void scan(Growth *g)
{
    NodeId n = (NodeId)g->f->graph->nodes.len;
    g->again = false;
    for (NodeId id = g->first; id < n; id++)
        g->after[id] = false;
    for (NodeId id = g->first; id < n && !g->failed; id++) {
        Seen seen = what_it_reads(g, id);
        if (g->kind[id] != CHAIN_NONE)
            g->failed = seen.after;
        else
            g->after[id] = seen.after || (seen.member && !join(g, id));
    }
}

/* Left variables that both factors of the contraction have are batches; one each belongs to one of them
 * alone. `turned`: which of these two is the column. */
static bool seed_roles(Growth *g, bool turned, Roles *roles)
{
    const Node *node = graph_node(g->f->graph, g->seed);
    const Piece *piece = &node->pieces[0];
    const ChainReads *reads = &g->f->reads[g->seed][0];
    const Var *alone[2] = {NULL, NULL};
    double batches = 1;
    if (reads->len != 2)
        return false;
    for (size_t i = 0; i < piece->n_vars; i++) {
        const Var *var = piece->vars[i];
        bool in[2] = {sc_uses(reads->at[0], var), sc_uses(reads->at[1], var)};
        if (var->extent == 1)
            continue;
        if (in[0] == in[1]) {
            roles->of[g->n_rows++] = var;
            batches *= (double)var->extent;
        } else if (alone[in[1]]) {
            return false;
        } else {
            alone[in[1]] = var;
        }
    }
    roles->of[g->n_rows++] = alone[turned];
    roles->of[g->n_rows] = alone[!turned];
    return alone[0] && alone[1] && batches >= least_batches;
}

bool chain_grow(ChainFinder *f, NodeId seed, bool turned, Growth *g)
{
    size_t n = f->graph->nodes.len;
    const Node *node = graph_node(f->graph, seed);
    Roles roles = {0};
    *g = (Growth){.f = f, .seed = seed, .first = seed};
    if (node->kind != NODE_EQUATION || f->chain_of[seed] != 0 || f->fixed[seed] || !is_plain(node) ||
        !is_sum(node, &node->pieces[0]) || node->pieces[0].n_reduced == 0 ||
        !seed_roles(g, turned, &roles))
        return false;
    g->kind = NEW_ARRAY(f->arena, uint8_t, n);
    g->roles = arena_alloc_array(f->arena, n, sizeof *g->roles, 1);
    g->after = NEW_ARRAY(f->arena, bool, n);
    set_member(g, seed, CHAIN_PLANE, &roles);
    do
        scan(g);
    while (g->again && !g->failed);
    return !g->failed && g->results > 0;
}

bool chain_reads_plane(const Growth *g, NodeId id)
{
    const Node *node = graph_node(g->f->graph, id);
    for (size_t p = 0; p < node->n_pieces; p++) {
        const ChainReads *reads = &g->f->reads[id][p];
        for (size_t i = 0; i < reads->len; i++) {
            if (g->kind[reads->at[i]->tensor] == CHAIN_PLANE)
                return true;
        }
    }
    return false;
}

bool chain_is_closed(const Growth *g)
{
    for (NodeId id = g->first; id < g->f->graph->nodes.len; id++) {
        if (g->kind[id] == CHAIN_NONE && chain_reads_plane(g, id))
            return false;
    }
    return true;
}

/* --- chains ------------------------------------------------------------------------------------------ */
static void add_parts(const Growth *g, NodeId id, ChainParts *parts)
{
    const Node *node = graph_node(g->f->graph, id);
    for (size_t p = 0; p < node->n_pieces; p++) {
        Roles roles = {0};
        bool known = g->kind[id] == CHAIN_RESULT && find_roles(g, id, p, &roles);
        PieceRows part = {.node = id, .piece = p};
        for (size_t d = 0; d < node->rank && !known; d++) {
            if (node->dims[d] > 1)
                roles.of[g->roles[id][d]] = node->pieces[0].vars[d];
        }
        for (size_t r = 0; r < g->n_rows; r++)
            part.rows[r] = roles.of[r];
        VEC_PUSH(g->f->arena, *parts, part);
    }
}

RowChain chain_of_growth(Growth *g, uint32_t number)
{
    VEC(NodeId) nodes = {0};
    ChainParts parts = {0};
    for (NodeId id = g->first; id < g->f->graph->nodes.len; id++) {
        if (g->kind[id] == CHAIN_NONE)
            continue;
        VEC_PUSH(g->f->arena, nodes, id);
        g->f->chain_of[id] = number;
        add_parts(g, id, &parts);
    }
    return (RowChain){.n_rows = g->n_rows, .n_nodes = nodes.len, .nodes = nodes.at,
                   .n_parts = parts.len, .parts = parts.at};
}
