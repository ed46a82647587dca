/* gather: left positions that contain data (differentiation.md 5.7). A constant table is inverted
 * when compiling; otherwise the index is compared where that visits nothing new; otherwise the
 * piece stays a scatter. */
#include "passes/densify.h"

#include <assert.h>
#include <math.h>
#include <string.h>

enum {
    MAX_PADDING = 2,    /* of an inverted table, over the exact one */
    MAX_KNOWN = 1 << 22 /* elements of a tensor worth evaluating when compiling */
};

/* --- values known when compiling
 * -------------------------------------------------------------------- */
static bool scalar_known(Dense *dense, const Scalar *s);
static bool position_known(Dense *dense, const Position *p);

static Interp *constants(Dense *dense)
{
    size_t n = dense->graph->nodes.len;
    if (dense->n_constants < n) {
        size_t cap = n * 2;
        double **values = NEW_ARRAY(dense->arena, double *, cap);
        if (dense->n_constants > 0)
            memcpy(values, dense->constants.values, dense->n_constants * sizeof *values);
        dense->constants = (Interp){.graph = dense->graph, .arena = dense->arena, .values = values};
        dense->n_constants = cap;
    }
    return &dense->constants;
}

static bool piece_known(Dense *dense, const Piece *piece, size_t rank)
{
    for (size_t k = 0; k < rank; k++)
        if (!position_known(dense, piece->left[k]))
            return false;
    for (size_t i = 0; i < piece->n_guards; i++)
        if (!position_known(dense, piece->guards[i].position))
            return false;
    return scalar_known(dense, piece->body);
}

/* Evaluates the tensor if it depends on no input and no random number. */
static bool node_known(Dense *dense, NodeId id)
{
    const Node *node = graph_node(dense->graph, id);
    if (constants(dense)->values[id])
        return true;
    if ((node->kind != NODE_CONSTANT && node->kind != NODE_EQUATION) ||
        node_elements(node) > MAX_KNOWN)
        return false;
    for (size_t i = 0; i < node->n_pieces; i++)
        if (!piece_known(dense, &node->pieces[i], node->rank))
            return false;
    Interp *interp = constants(dense);
    if (interp_node(interp, id))
        return true;
    interp->values[id] = NULL; /* a fault: left for the run to report */
    interp->faulted = false;
    return false;
}

static bool position_known(Dense *dense, const Position *p)
{
    for (size_t i = 0; i < p->n; i++) {
        const Atom *atom = p->terms[i].atom;
        if (atom->kind == ATOM_DATA && !scalar_known(dense, atom->data))
            return false;
        if ((atom->kind == ATOM_DIV || atom->kind == ATOM_MOD) && !position_known(dense, atom->of))
            return false;
    }
    return true;
}

static bool scalar_known(Dense *dense, const Scalar *s)
{
    if (s->kind == SCALAR_RANDOM)
        return false;
    for (size_t i = 0; i < s->n; i++)
        if (s->kind == SCALAR_FN ? !scalar_known(dense, s->args[i])
                                 : !position_known(dense, s->at[i]))
            return false;
    if (s->kind != SCALAR_READ)
        return true;
    return node_known(dense, s->tensor) && (!s->fill || scalar_known(dense, s->fill));
}

/* --- positions at one value of their one variable
 * ------------------------------------------------------ */
typedef struct Point {
    Dense *dense;
    int64_t value;
} Point;

static double scalar_at(const Point *point, const Scalar *s);

static int64_t position_at(const Point *point, const Position *p)
{
    int64_t sum = p->constant;
    for (size_t i = 0; i < p->n; i++) {
        const Atom *atom = p->terms[i].atom;
        int64_t value = 0;
        switch (atom->kind) {
        case ATOM_VAR:
            value = point->value;
            break;
        case ATOM_DIV:
            value = div_floor(position_at(point, atom->of), atom->by);
            break;
        case ATOM_MOD:
            value = position_at(point, atom->of);
            value -= atom->by * div_floor(value, atom->by);
            break;
        case ATOM_DATA:
            value = (int64_t)scalar_at(point, atom->data);
            break;
        }
        sum += p->terms[i].coef * value;
    }
    return sum;
}

static double read_at(const Point *point, const Scalar *s)
{
    const Node *node = graph_node(point->dense->graph, s->tensor);
    int64_t offset = 0;
    for (size_t k = 0; k < s->n; k++) {
        int64_t i = position_at(point, s->at[k]);
        if (i < 0 || i >= node->dims[k])
            return s->fill ? scalar_at(point, s->fill) : 0;
        offset = offset * node->dims[k] + i;
    }
    return point->dense->constants.values[s->tensor][offset];
}

enum { FEW_ARGS = 16 };

static double function_at(const Point *point, const Scalar *s)
{
    double few[FEW_ARGS];
    double *args = s->n <= FEW_ARGS ? few : NEW_ARRAY(point->dense->arena, double, s->n);
    for (size_t k = 0; k < s->n; k++)
        args[k] = scalar_at(point, s->args[k]);
    return scalar_fold(s->op, s->dtype, s->n, args);
}

static double scalar_at(const Point *point, const Scalar *s)
{
    int64_t i;
    switch (s->kind) {
    case SCALAR_CONST:
        return s->value;
    case SCALAR_INDEX:
        return (double)position_at(point, s->at[0]);
    case SCALAR_READ:
        return read_at(point, s);
    case SCALAR_WITHIN:
        i = position_at(point, s->at[0]);
        return i >= s->lo && i < s->hi;
    case SCALAR_FN:
        return function_at(point, s);
    case SCALAR_RANDOM:
        break;
    }
    assert(false && "a value known when compiling");
    return 0;
}

/* --- 1. constant tables
 * ------------------------------------------------------------------------------ */
static NodeId table_store(Dense *dense, int64_t rows, int64_t width, const double *data)
{
    int64_t dims[2] = {rows, width};
    size_t bytes = (size_t)(rows * width) * sizeof *data;
    for (size_t i = 0; i < dense->tables.len; i++) {
        const Node *old = graph_node(dense->graph, dense->tables.at[i]);
        if (old->dims[0] == rows && old->dims[1] == width && memcmp(old->data, data, bytes) == 0)
            return dense->tables.at[i];
    }
    NodeId id = graph_constant(dense->graph, DT_I32, 2, dims, data, 0, dense->span);
    VEC_PUSH(dense->arena, dense->tables, id);
    return id;
}

/* inv[j, u]: the u-th v that lands on j, padded with v's extent. width 0: nothing lands anywhere.
 */
static double *invert(Dense *dense, const Position *p, const Var *v, int64_t rows, int64_t *width)
{
    Point point = {.dense = dense};
    int64_t *count = NEW_ARRAY(dense->arena, int64_t, (size_t)rows);
    *width = 0;
    for (point.value = 0; point.value < v->extent; point.value++) {
        int64_t j = position_at(&point, p);
        if (j < 0 || j >= rows)
            continue;
        count[j]++;
        *width = count[j] > *width ? count[j] : *width;
    }
    if (rows * *width > MAX_PADDING * v->extent)
        return NULL;
    double *table = NEW_ARRAY(dense->arena, double, (size_t)(rows * *width));
    for (int64_t i = 0; i < rows * *width; i++)
        table[i] = (double)v->extent;
    memset(count, 0, (size_t)rows * sizeof *count);
    for (point.value = 0; point.value < v->extent; point.value++) {
        int64_t j = position_at(&point, p);
        if (j >= 0 && j < rows)
            table[j * *width + count[j]++] = (double)point.value;
    }
    return table;
}

static bool solve_table(Dense *dense, const Raw *raw, size_t dim)
{
    const Position *p = raw->left[dim];
    if (p->n_vars != 1 || !position_known(dense, p))
        return false;
    const Var *v = p->vars[0];
    for (size_t k = 0; k < dense->rank; k++)
        if (k != dim && pos_uses(raw->left[k], v))
            return false;
    int64_t width, rows = dense->dims[dim];
    double *table = invert(dense, p, v, rows, &width);
    if (!table)
        return false;
    if (width == 0)
        return true;
    Raw *piece = raw_copy(dense, raw);
    const Position *at[2] = {raw_var(dense, piece, rows, v->name),
                             raw_var(dense, piece, width, v->name)};
    NodeId inverse = table_store(dense, rows, width, table);
    const Position *value = pos_data(dense->pool, graph_read(dense->graph, inverse, at, NULL));
    piece->left[dim] = at[0];
    raw_subst(dense, piece, v, value);
    guard_add(dense, piece, 0, value, v->extent);
    piece->gathered = true;
    raw_push(dense, piece);
    return true;
}

/* --- 2. comparison
 * ------------------------------------------------------------------------------------- */
static bool all_bound(const Position *p, const Vars *bound)
{
    for (size_t i = 0; i < p->n_vars; i++)
        if (!vars_has(bound, p->vars[i]))
            return false;
    return true;
}

static void compare(Dense *dense, const Raw *raw)
{
    Raw *piece = raw_copy(dense, raw);
    for (size_t k = 0; k < dense->rank; k++) {
        const Position *p = raw->left[k];
        if (!p->has_data)
            continue;
        const Position *index = raw_var(dense, piece, dense->dims[k], STR("k"));
        piece->left[k] = index;
        guard_add(dense, piece, 0, pos_sub(dense->pool, index, p), 1);
    }
    raw_push(dense, piece);
}

Sides raw_solve_gather(Dense *dense, const Raw *raw, const Vars *bound)
{
    bool comparable = true;
    for (size_t k = 0; k < dense->rank; k++) {
        if (!raw->left[k]->has_data)
            continue;
        if (solve_table(dense, raw, k))
            return SIDES_REWRITTEN;
        comparable = comparable && all_bound(raw->left[k], bound);
    }
    if (!comparable)
        return SIDES_SCATTER;
    compare(dense, raw);
    return SIDES_REWRITTEN;
}
