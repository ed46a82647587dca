/* map: text -> pointer, in order of first insertion, so that nothing depends on hash order. */
#include "base/base.h"

#include <assert.h>
#include <string.h>

Map map_new(Arena *arena)
{
    return (Map){.arena = arena};
}

/* The slot of a key: holds its entry's index + 1, or 0 where it would go. */
static size_t map_slot(const Map *map, Str key)
{
    size_t mask = map->n_slots - 1;
    size_t slot = (size_t)str_hash(key) & mask;
    while (map->slots[slot] != 0 && !str_eq(map->entries[map->slots[slot] - 1].key, key)) {
        slot = (slot + 1) & mask;
    }
    return slot;
}

static MapEntry *map_find(const Map *map, Str key)
{
    if (map->n_slots == 0) {
        return NULL;
    }
    uint32_t index = map->slots[map_slot(map, key)];
    return index == 0 ? NULL : &map->entries[index - 1];
}

static void map_grow(Map *map)
{
    map->n_slots = map->n_slots == 0 ? 16 : map->n_slots * 2;
    map->slots = NEW_ARRAY(map->arena, uint32_t, map->n_slots);
    for (size_t i = 0; i < map->len; i++) {
        map->slots[map_slot(map, map->entries[i].key)] = (uint32_t)(i + 1);
    }
}

void *map_get(const Map *map, Str key)
{
    const MapEntry *entry = map_find(map, key);
    return entry == NULL ? NULL : entry->value;
}

bool map_has(const Map *map, Str key)
{
    return map_find(map, key) != NULL;
}

void map_set(Map *map, Str key, void *value)
{
    MapEntry *entry = map_find(map, key);
    if (entry != NULL) {
        entry->value = value;
        return;
    }
    assert(map->len < UINT32_MAX / 2);
    if (map->len + map->len / 2 + 1 >= map->n_slots) {
        map_grow(map);
    }
    if (map->len == map->cap) {
        map->entries =
            vec_grow(map->arena, map->entries, map->len, &map->cap, sizeof *map->entries);
    }
    map->entries[map->len++] = (MapEntry){.key = key, .value = value};
    map->slots[map_slot(map, key)] = (uint32_t)map->len;
}
