/* What the left sides of pieces cover: which variables a left position determines, whether pieces
 * meet, whether they leave elements unwritten (differentiation.md 8). Exact for pieces each of whose
 * dimensions has variables of its own; for the rest the answer is the safe one. */
#include "graph/graph.h"

#include <stdlib.h>
#include <string.h>

/* --- bound variables ---------------------------------------------------------------------------- */
static size_t var_index(size_t n, const Var *const *vars, const Var *var)
{
    for (size_t i = 0; i < n; i++) {
        if (vars[i] == var)
            return i;
    }
    return SIZE_MAX;
}

static bool vars_bound(const Position *p, size_t n, const Var *const *vars, const bool *bound)
{
    for (size_t i = 0; i < p->n_vars; i++) {
        size_t k = var_index(n, vars, p->vars[i]);
        if (k == SIZE_MAX || !bound[k])
            return false;
    }
    return true;
}

typedef struct Free {
    int64_t coef, extent;
    size_t index;
} Free;

static int by_coef(const void *a, const void *b)
{
    int64_t x = ((const Free *)a)->coef, y = ((const Free *)b)->coef;
    return (x > y) - (x < y);
}

/* Mixed radix: a position determines its free variables if every |coefficient| exceeds what the
 * smaller terms can add up to (differentiation.md 5.3). */
static bool bind_dimension(const Position *p, size_t n, const Var *const *vars, bool *bound)
{
    Free free_terms[MAX_RANK * 2];
    size_t n_free = 0;
    for (size_t i = 0; i < p->n; i++) {
        const Atom *atom = p->terms[i].atom;
        if (atom->kind == ATOM_VAR) {
            size_t k = var_index(n, vars, atom->var);
            if (k == SIZE_MAX || n_free == MAX_RANK * 2)
                return false;
            if (!bound[k])
                free_terms[n_free++] = (Free){.coef = llabs(p->terms[i].coef),
                                              .extent = atom->var->extent, .index = k};
        } else if (atom->kind == ATOM_DATA || !vars_bound(atom->of, n, vars, bound)) {
            return false;
        }
    }
    qsort(free_terms, n_free, sizeof *free_terms, by_coef);
    int64_t below = 0;
    for (size_t i = 0; i < n_free; i++) {
        if (free_terms[i].coef <= below)
            return false;
        int64_t span;
        if (!CHECKED_MUL(free_terms[i].coef, free_terms[i].extent - 1, &span) ||
            !CHECKED_ADD(below, span, &below))
            return false;
    }
    for (size_t i = 0; i < n_free; i++)
        bound[free_terms[i].index] = true;
    return n_free > 0;
}

void left_bound(size_t rank, const Position *const *left, size_t n, const Var *const *vars,
                bool *bound)
{
    for (size_t i = 0; i < n; i++)
        bound[i] = vars[i]->extent == 1;
    for (bool more = true; more;) {
        more = false;
        for (size_t d = 0; d < rank; d++)
            more |= bind_dimension(left[d], n, vars, bound);
    }
}

/* --- covered elements --------------------------------------------------------------------------- */
enum { MAX_POINTS = 1 << 20 };

/* Per dimension the set of covered indices; the piece covers their product, each element once. */
typedef struct Cover {
    bool known;
    uint8_t *hit[MAX_RANK];
    int64_t count[MAX_RANK];
} Cover;

static int64_t position_at(const Position *p, size_t n, const Var *const *vars,
                           const int64_t *values)
{
    int64_t sum = p->constant;
    for (size_t i = 0; i < p->n; i++) {
        const Atom *atom = p->terms[i].atom;
        int64_t value = 0;
        if (atom->kind == ATOM_VAR) {
            size_t k = var_index(n, vars, atom->var);
            value = k == SIZE_MAX ? 0 : values[k];
        } else {
            int64_t of = position_at(atom->of, n, vars, values);
            int64_t rest = of % atom->by;
            rest += rest < 0 ? atom->by : 0;
            value = atom->kind == ATOM_MOD ? rest : (of - rest) / atom->by;
        }
        sum += p->terms[i].coef * value;
    }
    return sum;
}

static bool subset(const Position *p, size_t n, const Var *const *vars)
{
    for (size_t i = 0; i < p->n_vars; i++) {
        if (var_index(n, vars, p->vars[i]) == SIZE_MAX)
            return false;
    }
    return true;
}

static bool meets(const Position *p, const Position *q)
{
    for (size_t i = 0; i < p->n_vars; i++) {
        if (var_index(q->n_vars, q->vars, p->vars[i]) != SIZE_MAX)
            return true;
    }
    return false;
}

/* Enumerates one dimension; false if an index is hit twice or the box is too large. */
static bool cover_dimension(Arena *arena, const Piece *piece, size_t d, int64_t dim, Cover *cover)
{
    const Position *p = piece->left[d];
    int64_t points = 1, values[MAX_RANK * 2] = {0};
    if (p->n_vars > MAX_RANK * 2)
        return false;
    for (size_t i = 0; i < p->n_vars; i++) {
        if (!CHECKED_MUL(points, p->vars[i]->extent, &points) || points > MAX_POINTS)
            return false;
    }
    cover->hit[d] = NEW_ARRAY(arena, uint8_t, (size_t)dim);
    for (int64_t at = 0; at < points; at++) {
        int64_t rest = at;
        for (size_t i = p->n_vars; i-- > 0;) {
            values[i] = rest % p->vars[i]->extent;
            rest /= p->vars[i]->extent;
        }
        bool inside = true;
        for (size_t g = 0; inside && g < piece->n_guards; g++) {
            const Guard *guard = &piece->guards[g];
            if (!meets(guard->position, p))
                continue;
            int64_t value = position_at(guard->position, p->n_vars, p->vars, values);
            inside = guard->lo <= value && value < guard->hi;
        }
        int64_t index = inside ? position_at(p, p->n_vars, p->vars, values) : -1;
        if (!inside)
            continue;
        if (index < 0 || index >= dim || cover->hit[d][index])
            return false;
        cover->hit[d][index] = 1;
        cover->count[d]++;
    }
    return true;
}

/* Known if every left variable stands in exactly one dimension and every guard concerns the
 * variables of one dimension only. */
static bool separable(const Node *node, const Piece *piece)
{
    for (size_t i = 0; i < piece->n_vars; i++) {
        size_t uses = 0;
        for (size_t d = 0; d < node->rank; d++)
            uses += pos_uses(piece->left[d], piece->vars[i]);
        if (uses != 1 && piece->vars[i]->extent != 1)
            return false;
    }
    for (size_t g = 0; g < piece->n_guards; g++) {
        const Position *p = piece->guards[g].position;
        bool inside = false;
        for (size_t d = 0; d < node->rank; d++)
            inside |= subset(p, piece->left[d]->n_vars, piece->left[d]->vars);
        if (!inside || p->has_data)
            return false;
    }
    return true;
}

static Cover cover_of(Arena *arena, const Node *node, const Piece *piece)
{
    Cover cover = {.known = separable(node, piece)};
    for (size_t d = 0; cover.known && d < node->rank; d++) {
        cover.known = !piece->left[d]->has_data &&
                      subset(piece->left[d], piece->n_vars, piece->vars) &&
                      cover_dimension(arena, piece, d, node->dims[d], &cover);
    }
    return cover;
}

static bool covers_apart(const Node *node, const Cover *a, const Cover *b)
{
    for (size_t d = 0; d < node->rank; d++) {
        bool apart = true;
        for (int64_t i = 0; apart && i < node->dims[d]; i++)
            apart = !(a->hit[d][i] && b->hit[d][i]);
        if (apart)
            return true;
    }
    return false;
}

Coverage coverage_of(Arena *arena, const Node *node)
{
    Coverage coverage = {.clear = true, .first = SIZE_MAX, .disjoint = true};
    Cover *covers = NEW_ARRAY(arena, Cover, node->n_pieces);
    bool *injective = NEW_ARRAY(arena, bool, node->n_pieces);
    coverage.injective = injective;
    int64_t elements = node_elements(node), written = 0;
    for (size_t i = 0; i < node->n_pieces; i++) {
        covers[i] = cover_of(arena, node, &node->pieces[i]);
        injective[i] = covers[i].known;
        if (!covers[i].known) {
            coverage.disjoint = false;
            continue;
        }
        int64_t count = 1;
        for (size_t d = 0; d < node->rank; d++)
            count *= covers[i].count[d];
        written = count > INT64_MAX - written ? INT64_MAX : written + count;
        if (count == elements && coverage.first == SIZE_MAX)
            coverage.first = i;
        for (size_t k = 0; coverage.disjoint && k < i; k++)
            coverage.disjoint = covers_apart(node, &covers[i], &covers[k]);
    }
    coverage.clear = coverage.first == SIZE_MAX && !(coverage.disjoint && written == elements);
    return coverage;
}
