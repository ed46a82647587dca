/* interp: what a graph means, in double precision and without much regard for speed. Every node is
 * evaluated once, in order; an equation is evaluated point by point as its definition says. Nothing
 * is simplified here: passes and generated code are judged by comparison with this file.
 *
 * A piece is first flattened: one slot per distinct scalar, positions over the counters of its
 * loops. A slot is computed when it is asked for, so what a selection does not choose is never
 * read, and kept until a variable that it depends on changes.
 */
#include "graph/internal.h"

#include "hone/hone.h"
#include "hone/linalg.h"

#include <assert.h>
#include <math.h>
#include <string.h>

typedef struct FlatTerm {
    AtomKind kind;
    int64_t coef, by;
    const int64_t *counter;   /* VAR */
    size_t index;             /* DATA: slot */
    const struct FlatPos *of; /* DIV, MOD */
} FlatTerm;
typedef struct FlatPos {
    int64_t constant;
    size_t n;
    FlatTerm *terms;
    const int64_t *counter; /* all of the position, most often; or NULL */
} FlatPos;

/* The element that a read reads, where positions are sums of counters and never outside. */
typedef struct Offset {
    int64_t constant, *coefs; /* by loop */
    size_t inner, level;      /* the innermost loop it depends on; 1 + the next one, 0: none */
    uint64_t stamp;           /* when `outer` was computed: all but the inner loop's part */
    int64_t outer;
} Offset;

typedef struct Slot {
    const Scalar *s;
    size_t level;   /* 1 + innermost loop it depends on; 0: none */
    uint64_t stamp; /* when `value` was computed; 0: never */
    double value;
    size_t *args;       /* FN: slots */
    double *values;     /* FN: of the arguments */
    const FlatPos **at; /* READ, INDEX, WITHIN, RANDOM */
    const Node *tensor; /* READ */
    Offset *offset;     /* READ: of the element, or NULL: by positions */
    size_t fill;        /* READ with a fill: slot */
} Slot;

typedef struct Loops { /* left variables, then reduced ones */
    size_t n, n_left;
    const Var **vars;
    int64_t *counter;
    uint64_t *changed; /* by level: when a variable of that level or further out changed */
    uint64_t now;
} Loops;

typedef struct Machine {
    Interp *interp;
    Arena *arena; /* of one node */
    NodeId node;
    Loops loops;
    Slot *slots;
    size_t n_slots;
    uint32_t *slot_of; /* by scalar id - first_id: slot + 1 */
    uint32_t first_id;
} Machine;

typedef struct FlatGuard {
    int64_t lo, hi;
    const FlatPos *position;
} FlatGuard;
typedef struct FlatGuards {
    size_t n;
    FlatGuard *at;
} FlatGuards;

/* --- flattening --------------------------------------------------------------------------------
 */
static size_t loop_of(const Machine *m, const Var *var)
{
    for (size_t i = 0; i < m->loops.n; i++)
        if (m->loops.vars[i] == var)
            return i;
    assert(false && "a variable of the piece");
    return 0;
}

static size_t level_of(const Machine *m, size_t n_vars, const Var *const *vars)
{
    size_t level = 0;
    for (size_t i = 0; i < n_vars; i++) {
        size_t loop = loop_of(m, vars[i]) + 1;
        level = loop > level ? loop : level;
    }
    return level;
}

static size_t slot_index(const Machine *m, const Scalar *s)
{
    return m->slot_of[s->id - m->first_id] - 1;
}

static const FlatPos *flatten(Machine *m, const Position *p)
{
    FlatPos *flat = NEW(m->arena, FlatPos);
    *flat = (FlatPos){.constant = p->constant, .n = p->n};
    flat->terms = NEW_ARRAY(m->arena, FlatTerm, p->n);
    for (size_t i = 0; i < p->n; i++) {
        const Atom *atom = p->terms[i].atom;
        FlatTerm *term = &flat->terms[i];
        *term = (FlatTerm){.kind = atom->kind, .coef = p->terms[i].coef, .by = atom->by};
        if (atom->kind == ATOM_VAR)
            term->counter = &m->loops.counter[loop_of(m, atom->var)];
        else if (atom->kind == ATOM_DATA)
            term->index = slot_index(m, atom->data);
        else
            term->of = flatten(m, atom->of);
    }
    if (p->n == 1 && p->constant == 0 && flat->terms[0].coef == 1)
        flat->counter = flat->terms[0].counter;
    return flat;
}

/* Is the position a sum of counters within 0 .. extent-1? Then `offset` takes it. */
static bool take_position(const Machine *m, const FlatPos *p, int64_t extent, Offset *offset)
{
    int64_t least = p->constant, most = p->constant;
    offset->constant = offset->constant * extent + p->constant;
    for (size_t i = 0; i < m->loops.n; i++)
        offset->coefs[i] *= extent;
    for (size_t i = 0; i < p->n; i++) {
        const FlatTerm *term = &p->terms[i];
        if (term->kind != ATOM_VAR)
            return false;
        size_t loop = (size_t)(term->counter - m->loops.counter);
        *(term->coef < 0 ? &least : &most) += term->coef * (m->loops.vars[loop]->extent - 1);
        offset->coefs[loop] += term->coef;
    }
    return least >= 0 && most < extent;
}

static Offset *offset_new(Machine *m, const Slot *slot)
{
    Offset *offset = NEW(m->arena, Offset);
    *offset = (Offset){.coefs = NEW_ARRAY(m->arena, int64_t, m->loops.n + 1)};
    for (size_t k = 0; k < slot->s->n; k++)
        if (!take_position(m, slot->at[k], slot->tensor->dims[k], offset))
            return NULL;
    if (slot->level == 0)
        return NULL;
    offset->inner = slot->level - 1;
    for (size_t i = 0; i < offset->inner; i++)
        offset->level = offset->coefs[i] != 0 ? i + 1 : offset->level;
    return offset;
}

static void fill_slot(Machine *m, Slot *slot)
{
    const Scalar *s = slot->s;
    slot->level = level_of(m, s->n_vars, s->vars);
    if (s->kind == SCALAR_FN) {
        slot->args = NEW_ARRAY(m->arena, size_t, s->n);
        slot->values = NEW_ARRAY(m->arena, double, s->n);
        for (size_t i = 0; i < s->n; i++)
            slot->args[i] = slot_index(m, s->args[i]);
        return;
    }
    slot->at = NEW_ARRAY(m->arena, const FlatPos *, s->n);
    for (size_t i = 0; i < s->n; i++)
        slot->at[i] = flatten(m, s->at[i]);
    if (s->kind == SCALAR_READ) {
        slot->tensor = graph_node(m->interp->graph, s->tensor);
        slot->offset = offset_new(m, slot);
    }
    if (s->fill)
        slot->fill = slot_index(m, s->fill);
}

static void flatten_scalars(Machine *m, const Piece *piece, size_t rank)
{
    ScalarList list = piece_list(m->arena, piece, rank);
    uint32_t last = 0;
    m->first_id = UINT32_MAX;
    for (size_t i = 0; i < list.n; i++) {
        m->first_id = list.at[i]->id < m->first_id ? list.at[i]->id : m->first_id;
        last = list.at[i]->id > last ? list.at[i]->id : last;
    }
    m->slot_of = NEW_ARRAY(m->arena, uint32_t, (size_t)(last - m->first_id) + 1);
    m->slots = NEW_ARRAY(m->arena, Slot, list.n);
    m->n_slots = list.n;
    for (size_t i = 0; i < list.n; i++) {
        m->slots[i].s = list.at[i];
        m->slot_of[list.at[i]->id - m->first_id] = (uint32_t)i + 1;
    }
    for (size_t i = 0; i < list.n; i++)
        fill_slot(m, &m->slots[i]);
}

static Machine machine_new(Interp *interp, Arena *arena, NodeId node, const Piece *piece)
{
    Machine m = {.interp = interp, .arena = arena, .node = node};
    size_t n = piece->n_vars + piece->n_reduced;
    m.loops = (Loops){.n = n, .n_left = piece->n_vars, .now = 1};
    m.loops.vars = NEW_ARRAY(arena, const Var *, n);
    m.loops.counter = NEW_ARRAY(arena, int64_t, n);
    m.loops.changed = NEW_ARRAY(arena, uint64_t, n + 1);
    for (size_t i = 0; i < n; i++)
        m.loops.vars[i] = i < piece->n_vars ? piece->vars[i] : piece->reduced[i - piece->n_vars];
    for (size_t i = 0; i <= n; i++)
        m.loops.changed[i] = 1;
    flatten_scalars(&m, piece, graph_node(interp->graph, node)->rank);
    return m;
}

/* --- loops --------------------------------------------------------------------------------------
 */
/* The next values of loops first .. last-1; false, and all of them 0 again, after the last ones. */
static bool loops_next(Loops *loops, size_t first, size_t last)
{
    loops->now++;
    size_t i = last;
    bool more = false;
    while (!more && i > first) {
        i--;
        more = ++loops->counter[i] < loops->vars[i]->extent;
        if (!more)
            loops->counter[i] = 0;
    }
    for (size_t level = i + 1; level <= loops->n; level++)
        loops->changed[level] = loops->now;
    return more;
}

static int64_t loops_points(const Loops *loops, size_t first, size_t last)
{
    int64_t points = 1;
    for (size_t i = first; i < last; i++)
        if (!CHECKED_MUL(points, loops->vars[i]->extent, &points))
            points = INT64_MAX;
    return points;
}

/* --- evaluation ---------------------------------------------------------------------------------
 */
static double slot_value(Machine *m, size_t index);

static int64_t sum_value(Machine *m, const FlatPos *p);

static inline int64_t position_value(Machine *m, const FlatPos *p)
{
    return p->counter ? *p->counter : sum_value(m, p);
}

static int64_t term_value(Machine *m, const FlatTerm *term)
{
    switch (term->kind) {
    case ATOM_VAR:
        return *term->counter;
    case ATOM_DIV:
        return floor_div(position_value(m, term->of), term->by);
    case ATOM_MOD:
        return floor_mod(position_value(m, term->of), term->by);
    case ATOM_DATA:
        return (int64_t)slot_value(m, term->index);
    }
    return 0;
}

static int64_t sum_value(Machine *m, const FlatPos *p)
{
    int64_t sum = p->constant;
    for (size_t i = 0; i < p->n; i++)
        sum += p->terms[i].coef * term_value(m, &p->terms[i]);
    return sum;
}

static void fault(Machine *m, int64_t value, int64_t extent)
{
    if (m->interp->faulted)
        return;
    m->interp->faulted = true;
    m->interp->fault = (InterpFault){.node = m->node, .value = value, .extent = extent};
}

static int64_t offset_value(const Machine *m, Offset *offset)
{
    const int64_t *counter = m->loops.counter;
    if (offset->stamp < m->loops.changed[offset->level]) {
        offset->outer = offset->constant;
        for (size_t i = 0; i < offset->level; i++)
            offset->outer += offset->coefs[i] * counter[i];
        offset->stamp = m->loops.now;
    }
    return offset->outer + offset->coefs[offset->inner] * counter[offset->inner];
}

static double read_value(Machine *m, const Slot *slot)
{
    const Scalar *s = slot->s;
    const Node *tensor = slot->tensor;
    int64_t offset = 0;
    if (slot->offset) {
        assert(m->interp->values[s->tensor]);
        return m->interp->values[s->tensor][offset_value(m, slot->offset)];
    }
    for (size_t k = 0; k < s->n; k++) {
        int64_t at = position_value(m, slot->at[k]);
        if (at < 0 || at >= tensor->dims[k]) {
            if (s->fill)
                return slot_value(m, slot->fill);
            fault(m, at, tensor->dims[k]);
            return 0;
        }
        offset = offset * tensor->dims[k] + at;
    }
    assert(m->interp->values[s->tensor]);
    return m->interp->values[s->tensor][offset];
}

static double function_value(Machine *m, Slot *slot)
{
    const Scalar *s = slot->s;
    if (s->op == OP_SELECT)
        return slot_value(m, slot->args[slot_value(m, slot->args[0]) != 0 ? 1 : 2]);
    for (size_t i = 0; i < s->n; i++) {
        slot->values[i] = slot_value(m, slot->args[i]);
        if (s->op == OP_AND && slot->values[i] == 0)
            return 0;
        if (s->op == OP_OR && slot->values[i] != 0)
            return 1;
    }
    bool exact = s->op == OP_CAST && dtype_is_short(s->dtype) && !m->interp->rounds;
    return exact ? slot->values[0] : scalar_fold(s->op, s->dtype, s->n, slot->values);
}

static double computed(Machine *m, Slot *slot)
{
    const Scalar *s = slot->s;
    switch (s->kind) {
    case SCALAR_CONST:
        return s->value;
    case SCALAR_INDEX:
        return (double)position_value(m, slot->at[0]);
    case SCALAR_READ:
        return read_value(m, slot);
    case SCALAR_WITHIN: {
        int64_t at = position_value(m, slot->at[0]);
        return s->lo <= at && at < s->hi;
    }
    case SCALAR_FN:
        return function_value(m, slot);
    case SCALAR_RANDOM:
        return (double)hone_random_uniform(m->interp->seed, s->key, m->interp->step,
                                           (uint64_t)position_value(m, slot->at[0]));
    }
    return NAN;
}

static double slot_value(Machine *m, size_t index)
{
    Slot *slot = &m->slots[index];
    if (slot->stamp >= m->loops.changed[slot->level])
        return slot->value;
    slot->value = computed(m, slot);
    slot->stamp = m->loops.now;
    return slot->value;
}

/* --- reductions ---------------------------------------------------------------------------------
 */
typedef struct Total {
    ReduceOp op;
    double value;
    int64_t winner;
    bool any; /* ARGMAX, ARGMIN: `value` is of a point */
} Total;

static Total total_new(ReduceOp op)
{
    Total total = {.op = op};
    switch (op) {
    case REDUCE_NONE:
    case REDUCE_SUM:
    case REDUCE_ANY:
    case REDUCE_ARGMAX:
    case REDUCE_ARGMIN:
        break;
    case REDUCE_PROD:
    case REDUCE_ALL:
        total.value = 1;
        break;
    case REDUCE_MAX:
        total.value = -INFINITY;
        break;
    case REDUCE_MIN:
        total.value = INFINITY;
        break;
    }
    return total;
}

static double extreme(ScalarOp op, double a, double b)
{
    const double pair[] = {a, b};
    return scalar_fold(op, DT_F64, 2, pair);
}

/* The first of equal values wins; a NaN wins over numbers, as it does under max. */
static void total_add(Total *total, double x, int64_t point)
{
    bool better = !total->any;
    switch (total->op) {
    case REDUCE_NONE:
    case REDUCE_SUM:
        total->value += x;
        return;
    case REDUCE_PROD:
        total->value *= x;
        return;
    case REDUCE_MAX:
        total->value = extreme(OP_MAX, total->value, x);
        return;
    case REDUCE_MIN:
        total->value = extreme(OP_MIN, total->value, x);
        return;
    case REDUCE_ANY:
        total->value = total->value != 0 || x != 0;
        return;
    case REDUCE_ALL:
        total->value = total->value != 0 && x != 0;
        return;
    case REDUCE_ARGMAX:
        better = better || x > total->value;
        break;
    case REDUCE_ARGMIN:
        better = better || x < total->value;
        break;
    }
    if (better || (isnan(x) && !isnan(total->value))) {
        total->value = x;
        total->winner = point;
        total->any = true;
    }
}

static double total_result(const Total *total)
{
    bool arg = total->op == REDUCE_ARGMAX || total->op == REDUCE_ARGMIN;
    return arg ? (double)total->winner : total->value;
}

/* --- pieces -------------------------------------------------------------------------------------
 */
/* Guards that use a reduced variable (inner), or those that do not. */
static FlatGuards guards_of(Machine *m, const Piece *piece, bool inner)
{
    FlatGuards guards = {.at = NEW_ARRAY(m->arena, FlatGuard, piece->n_guards)};
    for (size_t i = 0; i < piece->n_guards; i++) {
        const Guard *guard = &piece->guards[i];
        const Position *p = guard->position;
        if ((level_of(m, p->n_vars, p->vars) > m->loops.n_left) == inner)
            guards.at[guards.n++] = (FlatGuard){guard->lo, guard->hi, flatten(m, p)};
    }
    return guards;
}

static bool guards_hold(Machine *m, const FlatGuards *guards)
{
    for (size_t i = 0; i < guards->n; i++) {
        int64_t at = position_value(m, guards->at[i].position);
        if (at < guards->at[i].lo || at >= guards->at[i].hi)
            return false;
    }
    return true;
}

static double reduced_value(Machine *m, ReduceOp op, size_t body, const FlatGuards *inner)
{
    Loops *loops = &m->loops;
    Total total = total_new(op);
    int64_t points = loops_points(loops, loops->n_left, loops->n);
    for (int64_t point = 0; point < points && !m->interp->faulted; point++) {
        if (guards_hold(m, inner))
            total_add(&total, slot_value(m, body), point);
        loops_next(loops, loops->n_left, loops->n);
    }
    return total_result(&total);
}

static void store(Machine *m, ReduceOp op, const FlatPos *const *left, double value)
{
    const Node *node = graph_node(m->interp->graph, m->node);
    int64_t offset = 0;
    for (size_t k = 0; k < node->rank; k++) {
        int64_t at = position_value(m, left[k]);
        if (at < 0 || at >= node->dims[k]) {
            fault(m, at, node->dims[k]);
            return;
        }
        offset = offset * node->dims[k] + at;
    }
    double *to = &m->interp->values[m->node][offset];
    *to = op == REDUCE_NONE || op == REDUCE_SUM ? *to + value : value;
}

static void run_piece(Machine *m, const Node *node, const Piece *piece)
{
    FlatGuards outer = guards_of(m, piece, false), inner = guards_of(m, piece, true);
    const FlatPos **left = NEW_ARRAY(m->arena, const FlatPos *, node->rank);
    for (size_t k = 0; k < node->rank; k++)
        left[k] = flatten(m, piece->left[k]);
    Loops *loops = &m->loops;
    size_t body = slot_index(m, piece->body);
    int64_t points = loops_points(loops, 0, loops->n_left);
    m->interp->points += loops_points(loops, 0, loops->n);
    for (int64_t point = 0; point < points && !m->interp->faulted; point++) {
        if (guards_hold(m, &outer)) {
            double value = reduced_value(m, node->reduce, body, &inner);
            store(m, node->reduce, left, value);
        }
        loops_next(loops, 0, loops->n_left);
    }
}

/* --- nodes --------------------------------------------------------------------------------------
 */
static void run_constant(double *values, const Node *node)
{
    int64_t elements = node_elements(node);
    for (int64_t i = 0; i < elements; i++)
        values[i] = node->data ? node->data[i] : node->value;
}

static void run_intrinsic(Interp *interp, NodeId id)
{
    static const struct {
        const char *name;
        HoneMatrixFn *run;
    } rows[] = {
#define INTRINSIC(name, arguments) {#name, hone_matrix_##name},
#include "graph/intrinsic.def"
#undef INTRINSIC
    };
    const Node *node = graph_node(interp->graph, id);
    int64_t n = node->dims[0];
    size_t elements = (size_t)node_elements(node), row = 0;
    while (!str_is(node->function, rows[row].name))
        row++;
    double *a = interp->values[id] = NEW_ARRAY(interp->arena, double, elements);
    memcpy(a, interp->values[node->args[0]], elements * sizeof *a);
    double k = node->n_args > 1 ? interp->values[node->args[1]][0] : 0;
    rows[row].run(n, k, a, NEW_ARRAY(interp->arena, double, hone_matrix_work(n)));
}

bool interp_node(Interp *interp, NodeId id)
{
    const Node *node = graph_node(interp->graph, id);
    switch (node->kind) {
    case NODE_INPUT:
    case NODE_PARAM:
    case NODE_STATE:
    case NODE_STEP:
        assert(interp->values[id]);
        return true;
    case NODE_INTRINSIC:
        run_intrinsic(interp, id);
        return true;
    case NODE_COLLECTIVE:
        interp->faulted = true;
        interp->fault = (InterpFault){.node = id};
        return false;
    case NODE_CONSTANT:
    case NODE_EQUATION:
        break;
    }
    interp->values[id] = NEW_ARRAY(interp->arena, double, (size_t)node_elements(node));
    if (node->kind == NODE_CONSTANT)
        run_constant(interp->values[id], node);
    for (size_t i = 0; i < node->n_pieces && !interp->faulted; i++) {
        Arena *arena = arena_new(arena_mem(interp->arena), "interp");
        Machine m = machine_new(interp, arena, id, &node->pieces[i]);
        run_piece(&m, node, &node->pieces[i]);
        arena_free(arena);
    }
    return !interp->faulted;
}

bool interp_run(Interp *interp)
{
    for (NodeId id = 0; id < interp->graph->nodes.len; id++)
        if (!interp_node(interp, id))
            return false;
    return true;
}
