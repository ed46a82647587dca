/* rewrite: substitution of variables and bottom-up rebuilding of positions and scalar expressions,
 * memoised per call. Rebuilding goes through the constructors, so results are canonical. */
#include "graph/internal.h"

#include <assert.h>

typedef struct Rewrite {
    ExprPool *pool;               /* where results are made */
    const Subst *subst;           /* NULL: variables go through var_import */
    ReadMap *map;                 /* NULL: reads are kept */
    void *context;
    Memo *memo;
} Rewrite;

static const Position *rewrite_position(Rewrite *rw, const Position *p);
static const Scalar *rewrite_scalar(Rewrite *rw, const Scalar *s);

/* The memo's tables are indexed by ids of the source pool. */
#define MEMO_SLOT(rw, table, id)                                                                   \
    (memo_reach((rw)->pool, &(rw)->memo->table.at, &(rw)->memo->table.len,                          \
                &(rw)->memo->table.cap, (id)),                                                     \
     &(rw)->memo->table.at[(id)])

static void memo_reach(ExprPool *pool, MemoEntry **at, size_t *len, size_t *cap, uint32_t id)
{
    if (id < *len)
        return;
    size_t want = *cap < 64 ? 64 : *cap;
    while (want <= id)
        want *= 2;
    if (want > *cap) {
        MemoEntry *more = NEW_ARRAY(pool->arena, MemoEntry, want);
        for (size_t i = 0; i < *len; i++)
            more[i] = (*at)[i];
        *at = more;
        *cap = want;
    }
    *len = want;
}

static bool uses_any(const Subst *subst, size_t n_vars, const Var *const *vars)
{
    for (size_t i = 0; i < n_vars; i++)
        for (size_t k = 0; k < subst->n; k++)
            if (subst->from[k] == vars[i])
                return true;
    return false;
}

static const Position *rewrite_var(Rewrite *rw, const Var *var)
{
    if (rw->subst)
        for (size_t i = 0; i < rw->subst->n; i++)
            if (rw->subst->from[i] == var)
                return rw->subst->to[i];
    return pos_var(rw->pool, var_import(rw->pool, var));
}

static const Position *rewrite_atom(Rewrite *rw, const Atom *atom)
{
    switch (atom->kind) {
    case ATOM_VAR:
        return rewrite_var(rw, atom->var);
    case ATOM_DIV:
        return pos_div(rw->pool, rewrite_position(rw, atom->of), atom->by);
    case ATOM_MOD:
        return pos_mod(rw->pool, rewrite_position(rw, atom->of), atom->by);
    case ATOM_DATA:
        return pos_data(rw->pool, rewrite_scalar(rw, atom->data));
    }
    return NULL;
}

/* Inside one pool an expression without the variables in question and without reads stays. */
static bool untouched(const Rewrite *rw, size_t n_vars, const Var *const *vars)
{
    return rw->subst && !rw->map && !uses_any(rw->subst, n_vars, vars);
}

static const Position *rewrite_position(Rewrite *rw, const Position *p)
{
    if (untouched(rw, p->n_vars, p->vars))
        return p;
    const MemoEntry *known = MEMO_SLOT(rw, positions, p->id);
    if (known->stamp == rw->memo->stamp)
        return known->result;
    const Position *sum = pos_const(rw->pool, p->constant);
    for (size_t i = 0; i < p->n; i++)
        sum = pos_add(rw->pool, sum,
                      pos_scale(rw->pool, rewrite_atom(rw, p->terms[i].atom), p->terms[i].coef));
    *MEMO_SLOT(rw, positions, p->id) = (MemoEntry){.stamp = rw->memo->stamp, .result = sum};
    return sum;
}

enum { LOCAL = 16 };

static const Scalar *rewrite_read(Rewrite *rw, const Scalar *s)
{
    const Position *at[MAX_RANK];
    assert(s->n <= MAX_RANK);
    for (size_t i = 0; i < s->n; i++)
        at[i] = rewrite_position(rw, s->at[i]);
    const Scalar *fill = s->fill ? rewrite_scalar(rw, s->fill) : NULL;
    if (rw->map) {
        const Scalar *stands = rw->map(rw->context, rw->pool, s, s->n, at, fill);
        if (stands)
            return sc_cast(rw->pool, s->dtype, stands);
    }
    return sc_read(rw->pool, s->dtype, s->tensor, s->n, at, fill);
}

static const Scalar *rewrite_fn(Rewrite *rw, const Scalar *s)
{
    if (s->op == OP_CAST)
        return sc_cast(rw->pool, s->dtype, rewrite_scalar(rw, s->args[0]));
    const Scalar *local[LOCAL];
    const Scalar **args =
        s->n <= LOCAL ? local : NEW_ARRAY(rw->pool->arena, const Scalar *, s->n);
    for (size_t i = 0; i < s->n; i++)
        args[i] = rewrite_scalar(rw, s->args[i]);
    return sc_fn(rw->pool, s->op, s->n, args);
}

static const Scalar *rebuild(Rewrite *rw, const Scalar *s)
{
    switch (s->kind) {
    case SCALAR_CONST:
        return sc_const(rw->pool, s->dtype, s->value);
    case SCALAR_INDEX:
        return sc_index(rw->pool, rewrite_position(rw, s->at[0]));
    case SCALAR_READ:
        return rewrite_read(rw, s);
    case SCALAR_WITHIN:
        return sc_within(rw->pool, s->lo, rewrite_position(rw, s->at[0]), s->hi);
    case SCALAR_FN:
        return rewrite_fn(rw, s);
    case SCALAR_RANDOM:
        return sc_random(rw->pool, s->key, rewrite_position(rw, s->at[0]));
    }
    return NULL;
}

static const Scalar *rewrite_scalar(Rewrite *rw, const Scalar *s)
{
    if (untouched(rw, s->n_vars, s->vars))
        return s;
    const MemoEntry *known = MEMO_SLOT(rw, scalars, s->id);
    if (known->stamp == rw->memo->stamp)
        return known->result;
    const Scalar *result = rebuild(rw, s);
    *MEMO_SLOT(rw, scalars, s->id) = (MemoEntry){.stamp = rw->memo->stamp, .result = result};
    return result;
}

/* --- entry points -------------------------------------------------------------------------------------- */
static void rewrite_start(Rewrite *rw)
{
    Memo *memo = rw->pool->free_memos;
    if (memo)
        rw->pool->free_memos = memo->next;
    else
        memo = NEW(rw->pool->arena, Memo);
    memo->stamp++;
    rw->memo = memo;
}

static void rewrite_end(Rewrite *rw)
{
    rw->memo->next = rw->pool->free_memos;
    rw->pool->free_memos = rw->memo;
}

static const Position *position_by(Rewrite rw, const Position *p)
{
    rewrite_start(&rw);
    const Position *result = rewrite_position(&rw, p);
    rewrite_end(&rw);
    return result;
}

static const Scalar *scalar_by(Rewrite rw, const Scalar *s)
{
    rewrite_start(&rw);
    const Scalar *result = rewrite_scalar(&rw, s);
    rewrite_end(&rw);
    return result;
}

const Position *pos_subst(ExprPool *pool, const Position *p, const Subst *subst)
{
    return position_by((Rewrite){.pool = pool, .subst = subst}, p);
}

const Scalar *sc_subst(ExprPool *pool, const Scalar *s, const Subst *subst)
{
    return scalar_by((Rewrite){.pool = pool, .subst = subst}, s);
}

const Scalar *sc_rewrite(ExprPool *pool, const Scalar *s, ReadMap *map, void *context)
{
    return scalar_by((Rewrite){.pool = pool, .map = map, .context = context}, s);
}

const Position *pos_rewrite(ExprPool *pool, const Position *p, ReadMap *map, void *context)
{
    return position_by((Rewrite){.pool = pool, .map = map, .context = context}, p);
}

/* --- reads of an expression ------------------------------------------------------------------------------- */
typedef struct Reads {
    ExprPool *pool;
    Memo *memo;
    VEC(const Scalar *) list;
} Reads;

static void reads_of_scalar(Reads *reads, const Scalar *s);

static void reads_of_position(Reads *reads, const Position *p)
{
    for (size_t i = 0; p->has_data && i < p->n; i++) {
        const Atom *atom = p->terms[i].atom;
        if (atom->kind == ATOM_DATA)
            reads_of_scalar(reads, atom->data);
        else if (atom->of)
            reads_of_position(reads, atom->of);
    }
}

static void reads_of_scalar(Reads *reads, const Scalar *s)
{
    MemoEntry *seen = MEMO_SLOT(reads, scalars, s->id);
    if (seen->stamp == reads->memo->stamp)
        return;
    seen->stamp = reads->memo->stamp;
    for (size_t i = 0; i < s->n; i++) {
        if (s->kind == SCALAR_FN)
            reads_of_scalar(reads, s->args[i]);
        else
            reads_of_position(reads, s->at[i]);
    }
    if (s->fill)
        reads_of_scalar(reads, s->fill);
    if (s->kind == SCALAR_READ)
        VEC_PUSH(reads->pool->arena, reads->list, s);
}

size_t sc_reads(ExprPool *pool, const Scalar *s, const Scalar *const **list)
{
    Rewrite rw = {.pool = pool};
    rewrite_start(&rw);
    Reads reads = {.pool = pool, .memo = rw.memo};
    reads_of_scalar(&reads, s);
    rewrite_end(&rw);
    *list = reads.list.at;
    return reads.list.len;
}

size_t pos_reads(ExprPool *pool, const Position *p, const Scalar *const **list)
{
    Rewrite rw = {.pool = pool};
    rewrite_start(&rw);
    Reads reads = {.pool = pool, .memo = rw.memo};
    reads_of_position(&reads, p);
    rewrite_end(&rw);
    *list = reads.list.at;
    return reads.list.len;
}
