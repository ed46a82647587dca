/* memo: which loops an expression depends on, where its code goes, and what has been emitted. */
#include "emit/internal.h"

#include <assert.h>
#include <string.h>

static size_t hash_pointer(const void *p)
{
    uint64_t x = (uint64_t)(uintptr_t)p;
    return (size_t)((x >> 4) * UINT64_C(0x9E3779B97F4A7C15) >> 17);
}

static MemoEntry **find(Memo *memo, const void *key)
{
    size_t i = hash_pointer(key) & (memo->n_slots - 1);
    while (memo->slots[i] && memo->slots[i]->key != key)
        i = (i + 1) & (memo->n_slots - 1);
    return &memo->slots[i];
}

static void grow(Emit *e, Memo *memo)
{
    Memo old = *memo;
    memo->n_slots = old.n_slots ? old.n_slots * 2 : 64;
    memo->slots = NEW_ARRAY(e->arena, MemoEntry *, memo->n_slots);
    for (size_t i = 0; i < old.n_slots; i++)
        if (old.slots[i])
            *find(memo, old.slots[i]->key) = old.slots[i];
}

/* Finds or adds; *added says that deps must be filled in. */
static MemoEntry *entry_for(Emit *e, const void *key, bool *added)
{
    if (e->memo.n * 2 >= e->memo.n_slots)
        grow(e, &e->memo);
    MemoEntry **slot = find(&e->memo, key);
    *added = *slot == NULL;
    if (!*slot) {
        *slot = NEW(e->arena, MemoEntry);
        (*slot)->key = key;
        e->memo.n++;
    }
    return *slot;
}

size_t loop_of(const Emit *e, const Var *var)
{
    for (size_t i = 0; i < e->nest->n_loops; i++)
        if (e->nest->loops[i].var == var)
            return i;
    return SIZE_MAX;
}

static uint64_t deps_atom(Emit *e, const Atom *atom)
{
    if (atom->kind == ATOM_VAR) {
        size_t loop = loop_of(e, atom->var);
        return loop == SIZE_MAX ? 0 : UINT64_C(1) << loop;
    }
    return memo_atom(e, atom)->deps;
}

uint64_t deps_position(Emit *e, const Position *p)
{
    uint64_t deps = 0;
    for (size_t i = 0; i < p->n; i++)
        deps |= deps_atom(e, p->terms[i].atom);
    return deps;
}

MemoEntry *memo_atom(Emit *e, const Atom *atom)
{
    bool added;
    MemoEntry *entry = entry_for(e, atom, &added);
    if (!added)
        return entry;
    uint64_t deps = 0;
    switch (atom->kind) {
    case ATOM_VAR:
        deps = deps_atom(e, atom);
        break;
    case ATOM_DIV:
    case ATOM_MOD:
        deps = deps_position(e, atom->of);
        break;
    case ATOM_DATA:
        deps = memo_scalar(e, atom->data)->deps;
        break;
    }
    entry->deps = deps;
    return entry;
}

MemoEntry *memo_store(Emit *e, const KStore *store)
{
    bool added;
    return entry_for(e, store, &added);
}

MemoEntry *memo_scalar(Emit *e, const Scalar *s)
{
    bool added;
    MemoEntry *entry = entry_for(e, s, &added);
    if (!added)
        return entry;
    uint64_t deps = 0;
    switch (s->kind) {
    case SCALAR_CONST:
        break;
    case SCALAR_READ:
        if (s->fill)
            deps |= memo_scalar(e, s->fill)->deps;
        for (size_t i = 0; i < s->n; i++)
            deps |= deps_position(e, s->at[i]);
        break;
    case SCALAR_INDEX:
    case SCALAR_WITHIN:
    case SCALAR_RANDOM:
        deps = deps_position(e, s->at[0]);
        break;
    case SCALAR_FN:
        for (size_t i = 0; i < s->n; i++)
            deps |= memo_scalar(e, s->args[i])->deps;
        break;
    }
    entry->deps = deps;
    return entry;
}

bool on_lanes(const Emit *e, uint64_t deps)
{
    return e->lane_loop != SIZE_MAX && (deps >> e->lane_loop & 1);
}

/* The level of the innermost loop in deps, where it has more than one step. */
size_t deps_level(Emit *e, uint64_t deps)
{
    size_t level = 0;
    for (size_t i = 0; i < e->nest->n_loops; i++)
        if ((deps & ~e->once) >> i & 1)
            level = i + 1;
    assert(level <= e->depth);
    return level;
}

LLVMValueRef *memo_slot(Emit *e, MemoEntry *entry, const Point *point)
{
    uint64_t region = e->levels[deps_level(e, entry->deps)].region;
    size_t n = 1, index = 0;
    for (size_t i = 0; i < e->nest->n_loops && i < e->depth; i++) {
        if (!(entry->deps >> i & 1))
            continue;
        size_t count = (size_t)e->levels[i + 1].count;
        index = index * count + (size_t)point->at[i];
        n *= count;
    }
    if (entry->region != region) {
        if (entry->room < n) {
            entry->values = NEW_ARRAY(e->arena, LLVMValueRef, n);
            entry->room = n;
        }
        memset(entry->values, 0, entry->room * sizeof *entry->values);
        entry->region = region;
    }
    return &entry->values[index];
}

/* Code of a level goes before the jump into the loop that is open inside it; while none is, to the
 * end of what is emitted. Every loop runs at least once and nothing jumps over a loop, so earlier
 * code dominates later code. */
size_t place(Emit *e, size_t level)
{
    size_t before = e->placed;
    e->placed = level;
    for (size_t i = level; i <= e->depth; i++) {
        if (e->levels[i].setup) {
            LLVMPositionBuilderBefore(e->ir, LLVMGetBasicBlockTerminator(e->levels[i].setup));
            return before;
        }
    }
    LLVMPositionBuilderAtEnd(e->ir, e->block);
    return before;
}
