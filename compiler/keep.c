/* keep: a program into memory of its own, so that everything it was made of can be released before
 * it runs. Its functions stay where the code is. */
#include <string.h>

#include "driver.h"

/* A field more in abi.h is looked at here: does it point to something? */
#define KEPT(type, bytes) _Static_assert(sizeof(void *) != 8 || sizeof(type) == (bytes), #type)
KEPT(HoneTensor, 296);
KEPT(HonePort, 256);
KEPT(HoneCall, 72);
KEPT(HoneEntry, 80);
KEPT(HoneSource, 32);
KEPT(HoneOption, 40);
KEPT(HoneData, 56);
KEPT(HoneLoad, 16);
KEPT(HoneSave, 24);
KEPT(HoneSaveItem, 16);
KEPT(HoneStage, 160);
KEPT(HonePlace, 24);
KEPT(HoneProgram, 232);

/* Nothing of nothing: n may be 0. */
#define KEEP(arena, from, n) arena_copy(arena, from, (size_t)(n) * sizeof *(from))

static const char *keep_text(Arena *arena, const char *text)
{
    return text == NULL ? NULL : arena_copy(arena, text, strlen(text) + 1);
}

static const HoneTensor *keep_tensors(Arena *arena, size_t n, const HoneTensor *from)
{
    HoneTensor *to = KEEP(arena, from, n);
    for (size_t i = 0; i < n; i++) {
        to[i].key = keep_text(arena, from[i].key);
        to[i].load_key = keep_text(arena, from[i].load_key);
        to[i].penalty = keep_text(arena, from[i].penalty);
    }
    return to;
}

static const HonePort *keep_ports(Arena *arena, size_t n, const HonePort *from)
{
    HonePort *to = KEEP(arena, from, n);
    for (size_t i = 0; i < n; i++) {
        to[i].name = keep_text(arena, from[i].name);
        to[i].label = keep_text(arena, from[i].label);
    }
    return to;
}

static const HoneCall *keep_calls(Arena *arena, size_t n, const HoneCall *from)
{
    HoneCall *to = KEEP(arena, from, n);
    for (size_t i = 0; i < n; i++) {
        to[i].name = keep_text(arena, from[i].name);
        to[i].buffers = KEEP(arena, from[i].buffers, from[i].n_buffers);
        to[i].conditions = KEEP(arena, from[i].conditions, from[i].n_conditions);
    }
    return to;
}

static const HoneEntry *keep_entries(Arena *arena, size_t n, const HoneEntry *from)
{
    HoneEntry *to = KEEP(arena, from, n);
    for (size_t i = 0; i < n; i++) {
        to[i].name = keep_text(arena, from[i].name);
        to[i].calls = keep_calls(arena, from[i].n_calls, from[i].calls);
        to[i].fields = keep_ports(arena, from[i].n_fields, from[i].fields);
        to[i].steps = keep_ports(arena, from[i].n_steps, from[i].steps);
        to[i].outputs = keep_ports(arena, from[i].n_outputs, from[i].outputs);
    }
    return to;
}

static const HoneSource *keep_source(Arena *arena, const HoneSource *from)
{
    if (from == NULL) {
        return NULL;
    }
    HoneSource *to = KEEP(arena, from, 1);
    HoneOption *options = KEEP(arena, from->options, from->n_options);
    to->reader = keep_text(arena, from->reader);
    for (size_t i = 0; i < from->n_options; i++) {
        options[i].name = keep_text(arena, from->options[i].name);
        options[i].s = keep_text(arena, from->options[i].s);
    }
    to->options = options;
    return to;
}

static const HoneData *keep_data(Arena *arena, size_t n, const HoneData *from)
{
    HoneData *to = KEEP(arena, from, n);
    for (size_t i = 0; i < n; i++) {
        to[i].name = keep_text(arena, from[i].name);
        to[i].lengths = KEEP(arena, from[i].lengths, from[i].n_lengths);
        to[i].train = keep_source(arena, from[i].train);
        to[i].valid = keep_source(arena, from[i].valid);
        to[i].test = keep_source(arena, from[i].test);
    }
    return to;
}

static const HoneLoad *keep_loads(Arena *arena, size_t n, const HoneLoad *from)
{
    HoneLoad *to = KEEP(arena, from, n);
    for (size_t i = 0; i < n; i++) {
        to[i].path = keep_text(arena, from[i].path);
    }
    return to;
}

static const HoneSave *keep_saves(Arena *arena, size_t n, const HoneSave *from)
{
    HoneSave *to = KEEP(arena, from, n);
    for (size_t i = 0; i < n; i++) {
        HoneSaveItem *items = KEEP(arena, from[i].items, from[i].n_items);
        to[i].path = keep_text(arena, from[i].path);
        for (size_t k = 0; k < from[i].n_items; k++) {
            items[k].key = keep_text(arena, from[i].items[k].key);
        }
        to[i].items = items;
    }
    return to;
}

static const HoneStage *keep_stages(Arena *arena, size_t n, const HoneStage *from)
{
    HoneStage *to = KEEP(arena, from, n);
    for (size_t i = 0; i < n; i++) {
        to[i].name = keep_text(arena, from[i].name);
        to[i].zeroed = KEEP(arena, from[i].zeroed, from[i].n_zeroed);
        to[i].monitor = keep_text(arena, from[i].monitor);
        to[i].shorter = KEEP(arena, from[i].shorter, from[i].n_shorter);
        to[i].totals = KEEP(arena, from[i].totals, from[i].n_totals);
    }
    return to;
}

static const HoneRemember *keep_remembers(Arena *arena, size_t n, const HoneRemember *from)
{
    HoneRemember *to = KEEP(arena, from, n);
    for (size_t i = 0; i < n; i++) {
        to[i].shorter = KEEP(arena, from[i].shorter, from[i].n_shorter);
    }
    return to;
}

static const HonePlace *keep_places(Arena *arena, size_t n, const HonePlace *from)
{
    HonePlace *to = KEEP(arena, from, n);
    for (size_t i = 0; i < n; i++) {
        to[i].file = keep_text(arena, from[i].file);
        to[i].what = keep_text(arena, from[i].what);
    }
    return to;
}

HoneProgram *program_keep(Arena *arena, const HoneProgram *from)
{
    HoneProgram *to = KEEP(arena, from, 1);
    to->name = keep_text(arena, from->name);
    to->recipe = keep_text(arena, from->recipe);
    to->target = keep_text(arena, from->target);
    to->constants = arena_copy(arena, from->constants, from->arena_bytes[HONE_ARENA_CONSTANTS]);
    to->tensors = keep_tensors(arena, from->n_tensors, from->tensors);
    to->entries = keep_entries(arena, from->n_entries, from->entries);
    to->data = keep_data(arena, from->n_data, from->data);
    to->loads = keep_loads(arena, from->n_loads, from->loads);
    to->saves = keep_saves(arena, from->n_saves, from->saves);
    to->stages = keep_stages(arena, from->n_stages, from->stages);
    to->remembers = keep_remembers(arena, from->n_remembers, from->remembers);
    to->places = keep_places(arena, from->n_places, from->places);
    return to;
}
