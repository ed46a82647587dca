/* expr: the pool. Variables, atoms, positions and scalar expressions exist once each, so equality
 * is pointer equality. What is canonical is decided in position.c and algebra.c, not here. */
#include "graph/internal.h"

#include <assert.h>
#include <string.h>

uint64_t hash_mix(uint64_t hash, uint64_t value)
{
    hash ^= value + 0x9e3779b97f4a7c15u + (hash << 6) + (hash >> 2);
    hash *= 0xff51afd7ed558ccdu;
    return hash ^ (hash >> 32);
}

uint32_t table_find(const ExprPool *pool, const Table *table, uint64_t hash, TableEqual *equal,
                    const void *key)
{
    if (table->n_slots == 0)
        return UINT32_MAX;
    size_t mask = table->n_slots - 1;
    uint32_t short_hash = (uint32_t)hash;
    for (size_t i = short_hash & mask;; i = (i + 1) & mask) {
        TableSlot slot = table->slots[i];
        if (slot.id1 == 0)
            return UINT32_MAX;
        if (slot.hash == short_hash && equal(pool, slot.id1 - 1, key))
            return slot.id1 - 1;
    }
}

static void table_insert(Table *table, TableSlot slot)
{
    size_t mask = table->n_slots - 1;
    size_t i = slot.hash & mask;
    while (table->slots[i].id1 != 0)
        i = (i + 1) & mask;
    table->slots[i] = slot;
}

void table_put(ExprPool *pool, Table *table, uint64_t hash, uint32_t id)
{
    if (2 * (table->len + 1) > table->n_slots) {
        Table bigger = {.n_slots = table->n_slots == 0 ? 64 : 2 * table->n_slots,
                        .len = table->len};
        bigger.slots = NEW_ARRAY(pool->arena, TableSlot, bigger.n_slots);
        for (size_t i = 0; i < table->n_slots; i++)
            if (table->slots[i].id1 != 0)
                table_insert(&bigger, table->slots[i]);
        *table = bigger;
    }
    table_insert(table, (TableSlot){.hash = (uint32_t)hash, .id1 = id + 1});
    table->len++;
}

ExprPool *pool_new(Arena *arena)
{
    ExprPool *pool = NEW(arena, ExprPool);
    pool->arena = arena;
    return pool;
}

bool pool_overflowed(const ExprPool *pool)
{
    return pool->overflow;
}

void pool_drop_stops(ExprPool *pool)
{
    pool->no_stops = true;
}

/* --- variables ---------------------------------------------------------------------------------- */
const Var *var_new(ExprPool *pool, int64_t extent, Str name)
{
    assert(extent >= 0);
    Var *var = NEW(pool->arena, Var);
    *var = (Var){.id = (uint32_t)pool->vars.len,
                 .extent = extent,
                 .name = str_copy(pool->arena, name)};
    VEC_PUSH(pool->arena, pool->vars, var);
    return var;
}

static bool import_equal(const ExprPool *pool, uint32_t id, const void *key)
{
    const Import *import = &pool->imports.at[id];
    const Var *from = key;
    return import->from == from && import->to->extent == from->extent;
}

const Var *var_import(ExprPool *pool, const Var *var)
{
    if (var->id < pool->vars.len && pool->vars.at[var->id] == var)
        return var;
    uint64_t hash = hash_mix(11, (uint64_t)(uintptr_t)var);
    uint32_t id = table_find(pool, &pool->import_table, hash, import_equal, var);
    if (id != UINT32_MAX)
        return pool->imports.at[id].to;
    const Var *to = var_new(pool, var->extent, var->name);
    id = (uint32_t)pool->imports.len;
    Import import = {.from = var, .to = to};
    VEC_PUSH(pool->arena, pool->imports, import);
    table_put(pool, &pool->import_table, hash, id);
    return to;
}

/* --- sets of variables ------------------------------------------------------------------------- */
typedef struct VarSet {
    size_t n;
    const Var *const *vars;
} VarSet;

static bool var_set_has_all(VarSet set, VarSet part)
{
    size_t i = 0;
    for (size_t k = 0; k < part.n; k++) {
        while (i < set.n && set.vars[i]->id < part.vars[k]->id)
            i++;
        if (i == set.n || set.vars[i] != part.vars[k])
            return false;
    }
    return true;
}

static VarSet var_set_union(ExprPool *pool, VarSet a, VarSet b)
{
    if (var_set_has_all(a, b))
        return a;
    if (var_set_has_all(b, a))
        return b;
    const Var **all = NEW_ARRAY(pool->arena, const Var *, a.n + b.n);
    size_t n = 0, i = 0, k = 0;
    while (i < a.n || k < b.n) {
        if (k == b.n || (i < a.n && a.vars[i]->id <= b.vars[k]->id)) {
            if (k < b.n && a.vars[i] == b.vars[k])
                k++;
            all[n++] = a.vars[i++];
        } else {
            all[n++] = b.vars[k++];
        }
    }
    return (VarSet){.n = n, .vars = all};
}

static bool vars_have(size_t n, const Var *const *vars, const Var *var)
{
    size_t low = 0, high = n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (vars[middle]->id < var->id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < n && vars[low] == var;
}

bool pos_uses(const Position *p, const Var *var)
{
    return vars_have(p->n_vars, p->vars, var);
}

bool sc_uses(const Scalar *s, const Var *var)
{
    return vars_have(s->n_vars, s->vars, var);
}

/* --- atoms and positions ----------------------------------------------------------------------- */
static bool atom_equal(const ExprPool *pool, uint32_t id, const void *key)
{
    const Atom *a = pool->atoms.at[id];
    const Atom *b = key;
    return a->kind == b->kind && a->var == b->var && a->of == b->of && a->by == b->by &&
           a->data == b->data;
}

const Atom *atom_intern(ExprPool *pool, const Atom *key)
{
    uint64_t hash = hash_mix(1, (uint64_t)key->kind);
    hash = hash_mix(hash, key->var ? key->var->id + 1u : 0u);
    hash = hash_mix(hash, key->of ? key->of->id + 1u : 0u);
    hash = hash_mix(hash, (uint64_t)key->by);
    hash = hash_mix(hash, key->data ? key->data->id + 1u : 0u);
    uint32_t id = table_find(pool, &pool->atom_table, hash, atom_equal, key);
    if (id != UINT32_MAX)
        return pool->atoms.at[id];
    Atom *atom = NEW(pool->arena, Atom);
    *atom = *key;
    atom->id = id = (uint32_t)pool->atoms.len;
    VEC_PUSH(pool->arena, pool->atoms, atom);
    VEC_PUSH(pool->arena, pool->partners, NULL);
    table_put(pool, &pool->atom_table, hash, id);
    return atom;
}

static VarSet atom_vars(ExprPool *pool, const Atom *atom)
{
    switch (atom->kind) {
    case ATOM_VAR: {
        const Var **one = NEW(pool->arena, const Var *);
        *one = atom->var;
        return (VarSet){.n = 1, .vars = one};
    }
    case ATOM_DIV:
    case ATOM_MOD:
        return (VarSet){.n = atom->of->n_vars, .vars = atom->of->vars};
    case ATOM_DATA:
        return (VarSet){.n = atom->data->n_vars, .vars = atom->data->vars};
    }
    return (VarSet){0};
}

static bool position_equal(const ExprPool *pool, uint32_t id, const void *key)
{
    const Position *a = pool->positions.at[id];
    const Position *b = key;
    if (a->constant != b->constant || a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++)
        if (a->terms[i].coef != b->terms[i].coef || a->terms[i].atom != b->terms[i].atom)
            return false;
    return true;
}

/* Beyond it, sums of a position's terms and what is added to shift them might leave 64 bits. */
static const int64_t MOST_POSITION = (int64_t)1 << 62;

const Position *position_intern(ExprPool *pool, int64_t constant, size_t n, const Term *terms)
{
    Position key = {.constant = constant, .n = n, .terms = terms};
    uint64_t hash = hash_mix(2, (uint64_t)constant);
    for (size_t i = 0; i < n; i++)
        hash = hash_mix(hash_mix(hash, (uint64_t)terms[i].coef), terms[i].atom->id);
    uint32_t id = table_find(pool, &pool->position_table, hash, position_equal, &key);
    if (id != UINT32_MAX)
        return pool->positions.at[id];
    Position *p = NEW(pool->arena, Position);
    *p = key;
    p->id = id = (uint32_t)pool->positions.len;
    p->terms = n == 0 ? NULL : arena_copy(pool->arena, terms, n * sizeof *terms);
    VarSet vars = {0};
    for (size_t i = 0; i < n; i++) {
        const Atom *atom = terms[i].atom;
        assert(terms[i].coef != 0 && (i == 0 || terms[i - 1].atom->id < atom->id));
        vars = var_set_union(pool, vars, atom_vars(pool, atom));
        p->has_data |= atom->kind == ATOM_DATA || (atom->of && atom->of->has_data);
    }
    p->n_vars = vars.n;
    p->vars = vars.vars;
    Interval range = interval_of(constant, n, terms);
    p->min = range.min;
    p->max = range.max;
    pool->overflow |= range.min <= -MOST_POSITION || range.max >= MOST_POSITION;
    VEC_PUSH(pool->arena, pool->positions, p);
    table_put(pool, &pool->position_table, hash, id);
    return p;
}

/* --- scalars ------------------------------------------------------------------------------------ */
static uint64_t bits_of(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static bool scalar_equal(const ExprPool *pool, uint32_t id, const void *key)
{
    const Scalar *a = pool->scalars.at[id];
    const Scalar *b = key;
    if (a->kind != b->kind || a->op != b->op || a->dtype != b->dtype || a->n != b->n ||
        a->tensor != b->tensor || a->fill != b->fill || a->lo != b->lo || a->hi != b->hi ||
        a->key != b->key || bits_of(a->value) != bits_of(b->value))
        return false;
    for (size_t i = 0; i < a->n; i++)
        if (a->kind == SCALAR_FN ? a->args[i] != b->args[i] : a->at[i] != b->at[i])
            return false;
    return true;
}

static uint64_t scalar_hash(const Scalar *key)
{
    uint64_t hash = hash_mix(3, (uint64_t)key->kind);
    hash = hash_mix(hash, (uint64_t)key->op * 16 + (uint64_t)key->dtype);
    hash = hash_mix(hash, bits_of(key->value));
    hash = hash_mix(hash, key->tensor);
    hash = hash_mix(hash, key->fill ? key->fill->id + 1u : 0u);
    hash = hash_mix(hash, (uint64_t)key->lo);
    hash = hash_mix(hash, (uint64_t)key->hi);
    hash = hash_mix(hash, key->key);
    for (size_t i = 0; i < key->n; i++)
        hash = hash_mix(hash, key->kind == SCALAR_FN ? key->args[i]->id : key->at[i]->id);
    return hash;
}

const Scalar *scalar_intern(ExprPool *pool, const Scalar *key)
{
    uint64_t hash = scalar_hash(key);
    uint32_t id = table_find(pool, &pool->scalar_table, hash, scalar_equal, key);
    if (id != UINT32_MAX)
        return pool->scalars.at[id];
    Scalar *s = NEW(pool->arena, Scalar);
    *s = *key;
    s->id = id = (uint32_t)pool->scalars.len;
    VarSet vars = {0};
    if (key->kind == SCALAR_FN) {
        s->args = arena_copy(pool->arena, key->args, key->n * sizeof *key->args);
        for (size_t i = 0; i < s->n; i++)
            vars = var_set_union(pool, vars, (VarSet){s->args[i]->n_vars, s->args[i]->vars});
    } else if (key->n > 0) {
        s->at = arena_copy(pool->arena, key->at, key->n * sizeof *key->at);
        for (size_t i = 0; i < s->n; i++)
            vars = var_set_union(pool, vars, (VarSet){s->at[i]->n_vars, s->at[i]->vars});
    }
    if (s->fill)
        vars = var_set_union(pool, vars, (VarSet){s->fill->n_vars, s->fill->vars});
    s->n_vars = vars.n;
    s->vars = vars.vars;
    VEC_PUSH(pool->arena, pool->scalars, s);
    table_put(pool, &pool->scalar_table, hash, id);
    return s;
}

const Scalar *scalar_of(ExprPool *pool, ScalarOp op, DType dtype, size_t n,
                        const Scalar *const *args)
{
    Scalar key = {.kind = SCALAR_FN, .op = op, .dtype = dtype, .tensor = NODE_NONE, .n = n,
                  .args = args};
    return scalar_intern(pool, &key);
}
