/* idmap: expression id -> what a walk over a DAG found there. Open addressing; ids are never 0
 * twice, so a slot holds id + 1. Not for text (base/map.c) and not ordered. */
#include "passes/densify.h"

#include <assert.h>

static size_t idmap_slot(const IdMap *map, uint64_t key)
{
    size_t mask = map->cap - 1;
    size_t i = (size_t)((key * UINT64_C(0x9E3779B97F4A7C15)) >> 32) & mask;
    while (map->slots[i].key != 0 && map->slots[i].key != key + 1)
        i = (i + 1) & mask;
    return i;
}

IdMap idmap_new(Arena *arena)
{
    return (IdMap){.arena = arena};
}

bool idmap_get(const IdMap *map, uint64_t key, const void **value)
{
    if (map->cap == 0)
        return false;
    size_t i = idmap_slot(map, key);
    if (map->slots[i].key == 0)
        return false;
    *value = map->slots[i].value;
    return true;
}

static void idmap_grow(IdMap *map)
{
    IdMap old = *map;
    map->cap = old.cap ? old.cap * 2 : 32;
    map->slots = NEW_ARRAY(map->arena, IdSlot, map->cap);
    for (size_t i = 0; i < old.cap; i++)
        if (old.slots[i].key != 0)
            map->slots[idmap_slot(map, old.slots[i].key - 1)] = old.slots[i];
}

void idmap_set(IdMap *map, uint64_t key, const void *value)
{
    assert(key != UINT64_MAX);
    if ((map->len + 1) * 2 > map->cap)
        idmap_grow(map);
    size_t i = idmap_slot(map, key);
    map->len += map->slots[i].key == 0;
    map->slots[i] = (IdSlot){.key = key + 1, .value = value};
}
