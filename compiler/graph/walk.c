/* walk: lists of what expressions are made of, each thing once. */
#include "graph/graph.h"

typedef struct Walk {
    Arena *arena;
    VEC(const Scalar *) list;
    uint32_t *slots;          /* index in list + 1, by hash of the scalar's id */
    size_t n_slots;
} Walk;

static size_t slot_of(const Walk *walk, const Scalar *s)
{
    size_t i = (s->id * 2654435761u) & (walk->n_slots - 1);
    while (walk->slots[i] != 0 && walk->list.at[walk->slots[i] - 1] != s)
        i = (i + 1) & (walk->n_slots - 1);
    return i;
}

static void walk_grow(Walk *walk)
{
    walk->n_slots = walk->n_slots == 0 ? 32 : 2 * walk->n_slots;
    walk->slots = NEW_ARRAY(walk->arena, uint32_t, walk->n_slots);
    for (size_t k = 0; k < walk->list.len; k++)
        walk->slots[slot_of(walk, walk->list.at[k])] = (uint32_t)k + 1;
}

static void walk_scalar(Walk *walk, const Scalar *s);

static void walk_position(Walk *walk, const Position *p)
{
    for (size_t i = 0; p->has_data && i < p->n; i++) {
        const Atom *atom = p->terms[i].atom;
        if (atom->of)
            walk_position(walk, atom->of);
        if (atom->data)
            walk_scalar(walk, atom->data);
    }
}

static void walk_scalar(Walk *walk, const Scalar *s)
{
    if (walk->n_slots != 0 && walk->slots[slot_of(walk, s)] != 0)
        return;
    for (size_t i = 0; i < s->n; i++) {
        if (s->kind == SCALAR_FN)
            walk_scalar(walk, s->args[i]);
        else
            walk_position(walk, s->at[i]);
    }
    if (s->fill)
        walk_scalar(walk, s->fill);
    if (2 * (walk->list.len + 1) > walk->n_slots)
        walk_grow(walk);
    VEC_PUSH(walk->arena, walk->list, s);
    walk->slots[slot_of(walk, s)] = (uint32_t)walk->list.len;
}

ScalarList sc_list(Arena *arena, size_t n, const Scalar *const *roots)
{
    Walk walk = {.arena = arena};
    for (size_t i = 0; i < n; i++)
        walk_scalar(&walk, roots[i]);
    return (ScalarList){.n = walk.list.len, .at = walk.list.at};
}

ScalarList piece_list(Arena *arena, const Piece *piece, size_t rank)
{
    Walk walk = {.arena = arena};
    for (size_t i = 0; i < rank; i++)
        walk_position(&walk, piece->left[i]);
    for (size_t i = 0; i < piece->n_guards; i++)
        walk_position(&walk, piece->guards[i].position);
    walk_scalar(&walk, piece->body);
    return (ScalarList){.n = walk.list.len, .at = walk.list.at};
}
