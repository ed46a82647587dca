/* walk: lists of what expressions are made of, each thing once. */
#include <string.h>

#include "graph/graph.h"

enum { FEW = 128 };            /* most expressions: those need no memory but their list */

typedef struct Walk {
    Arena *arena;
    const Scalar **list;
    size_t n;
    uint32_t *slots;          /* index in list + 1, by hash of the scalar's id */
    size_t n_slots;           /* twice what fits in the list */
    const Scalar *few[FEW];
    uint32_t few_slots[2 * FEW];
} Walk;

static void walk_begin(Walk *walk, Arena *arena)
{
    walk->arena = arena;
    walk->list = walk->few;
    walk->n = 0;
    walk->slots = memset(walk->few_slots, 0, sizeof walk->few_slots);
    walk->n_slots = 2 * FEW;
}

static size_t slot_of(const Walk *walk, const Scalar *s)
{
    size_t i = (s->id * 2654435761u) & (walk->n_slots - 1);
    while (walk->slots[i] != 0 && walk->list[walk->slots[i] - 1] != s)
        i = (i + 1) & (walk->n_slots - 1);
    return i;
}

static void walk_grow(Walk *walk)
{
    const Scalar **list = NEW_ARRAY(walk->arena, const Scalar *, walk->n_slots);
    memcpy(list, walk->list, walk->n * sizeof *list);
    walk->list = list;
    walk->n_slots *= 2;
    walk->slots = NEW_ARRAY(walk->arena, uint32_t, walk->n_slots);
    for (size_t k = 0; k < walk->n; k++)
        walk->slots[slot_of(walk, list[k])] = (uint32_t)k + 1;
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
    if (walk->slots[slot_of(walk, s)] != 0)
        return;
    for (size_t i = 0; i < s->n; i++) {
        if (s->kind == SCALAR_FN)
            walk_scalar(walk, s->args[i]);
        else
            walk_position(walk, s->at[i]);
    }
    if (s->fill)
        walk_scalar(walk, s->fill);
    if (2 * (walk->n + 1) > walk->n_slots)
        walk_grow(walk);
    walk->list[walk->n++] = s;
    walk->slots[slot_of(walk, s)] = (uint32_t)walk->n;
}

static ScalarList walk_end(const Walk *walk)
{
    const Scalar *const *list = walk->list != walk->few
                                    ? walk->list
                                    : arena_copy(walk->arena, walk->few, walk->n * sizeof *walk->few);
    return (ScalarList){.n = walk->n, .at = list};
}

ScalarList sc_list(Arena *arena, size_t n, const Scalar *const *roots)
{
    Walk walk;
    walk_begin(&walk, arena);
    for (size_t i = 0; i < n; i++)
        walk_scalar(&walk, roots[i]);
    return walk_end(&walk);
}

ScalarList piece_list(Arena *arena, const Piece *piece, size_t rank)
{
    Walk walk;
    walk_begin(&walk, arena);
    for (size_t i = 0; i < rank; i++)
        walk_position(&walk, piece->left[i]);
    for (size_t i = 0; i < piece->n_guards; i++)
        walk_position(&walk, piece->guards[i].position);
    walk_scalar(&walk, piece->body);
    return walk_end(&walk);
}
