/* internal: what the files of this folder share: the pool's tables and interning. */
#ifndef HONE_GRAPH_INTERNAL_H
#define HONE_GRAPH_INTERNAL_H

#include "graph/graph.h"

/* A hash table of ids; what they stand for lies in the pool. */
typedef struct TableSlot {
    uint32_t hash, id1;               /* id + 1; 0: empty */
} TableSlot;
typedef struct Table {
    TableSlot *slots;
    size_t n_slots, len;
} Table;
typedef bool TableEqual(const ExprPool *pool, uint32_t id, const void *key);

uint64_t hash_mix(uint64_t hash, uint64_t value);
uint32_t table_find(const ExprPool *pool, const Table *table, uint64_t hash, TableEqual *equal,
                    const void *key);                      /* UINT32_MAX: absent */
void table_put(ExprPool *pool, Table *table, uint64_t hash, uint32_t id);

/* Results of one rewrite by id of the old expression; tables are taken from and given back to the
 * pool, so that a rewrite may start another. A stamp older than the table's means "none". */
typedef struct MemoEntry {
    uint64_t stamp;
    const void *result;
} MemoEntry;
typedef struct Memo {
    struct Memo *next;
    uint64_t stamp;
    VEC(MemoEntry) scalars, positions;
} Memo;

typedef struct Import {
    const Var *from, *to;
} Import;

struct ExprPool {
    Arena *arena;
    bool overflow;
    bool no_stops;                    /* see pool_drop_stops */
    VEC(const Var *) vars;
    VEC(const Atom *) atoms;
    VEC(const Position *) partners;   /* by atom: e % m of e // m and the other way; NULL: not yet */
    VEC(const Position *) positions;
    VEC(const Scalar *) scalars;
    VEC(Import) imports;
    Table atom_table, position_table, scalar_table, import_table;
    Memo *free_memos;
};

/* expr.c: interning; the argument's arrays are copied when it is new. */
const Atom *atom_intern(ExprPool *pool, const Atom *key);
const Position *position_intern(ExprPool *pool, int64_t constant, size_t n, const Term *terms);
const Scalar *scalar_intern(ExprPool *pool, const Scalar *key);
const Scalar *scalar_of(ExprPool *pool, ScalarOp op, DType dtype, size_t n,
                        const Scalar *const *args);        /* FN as it stands */

/* position.c: checked arithmetic of coefficients; saturates and marks the pool. */
int64_t size_add(ExprPool *pool, int64_t a, int64_t b);
int64_t size_mul(ExprPool *pool, int64_t a, int64_t b);
int64_t floor_div(int64_t a, int64_t by);                  /* by > 0 */
int64_t floor_mod(int64_t a, int64_t by);

/* interval.c */
typedef struct Interval {
    int64_t min, max;
} Interval;
Interval interval_of(int64_t constant, size_t n, const Term *terms);

/* algebra.c: args are widened and converted already. */
const Scalar *algebra_sum(ExprPool *pool, DType dtype, size_t n, const Scalar *const *args);
const Scalar *algebra_product(ExprPool *pool, DType dtype, size_t n, const Scalar *const *args);
const Scalar *algebra_fn(ExprPool *pool, ScalarOp op, DType dtype, size_t n,
                         const Scalar *const *args);
const Scalar *algebra_cast(ExprPool *pool, DType dtype, const Scalar *a);

/* verify.c: what is wrong with a node that has, or would get, this id; NULL: nothing. */
const char *node_problem(const Graph *graph, const Node *node, NodeId id, Arena *arena);

#endif
