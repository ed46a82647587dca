/* The order in which units run: a producer before its readers, and among those that can run the one
 * that frees at least what it allocates; else the one whose equations stand first. Deterministic. */
#include "plan/internal.h"

#include <assert.h>

typedef struct Ordering {
    Entry *entry;
    uint32_t *waiting;           /* by unit: distinct units before it that have not run */
    Indices *after;              /* by unit */
    uint32_t *readers;           /* by node: units that read it and have not run */
    VEC(NodeId) *reads;          /* by unit: distinct tensors of activations */
} Ordering;

static const double tiny = 1024; /* bytes */

static bool is_activation(const Entry *entry, NodeId id)
{
    return entry->unit_of[id] != NO_UNIT && entry->lies_in[id] == id &&
           entry->stored[id] && !entry->output[id];
}

static double bytes_of(const Entry *entry, NodeId id)
{
    return (double)entry->layout.elements[id] *
           (double)dtype_bytes(graph_node(entry->graph, id)->dtype);
}

/* Bytes in use afterwards minus before. What is tiny does not count: a rule's factors, which stand behind
 * all gradients, may not keep these waiting for their update. */
static double growth(const Ordering *o, uint32_t u)
{
    const Entry *entry = o->entry;
    double sum = 0;
    for (size_t i = 0; i < entry->units.at[u].group.n; i++) {
        NodeId id = entry->units.at[u].group.nodes[i];
        double bytes = is_activation(entry, id) && !entry->local[id] ? bytes_of(entry, id) : 0;
        sum += bytes > tiny ? bytes : 0;
    }
    for (size_t i = 0; i < o->reads[u].len; i++) {
        NodeId id = o->reads[u].at[i];
        sum -= o->readers[id] == 1 ? bytes_of(entry, id) : 0;
    }
    return sum;
}

static void collect_reads(Ordering *o, uint32_t u)
{
    Entry *entry = o->entry;
    ReadList reads = unit_reads(entry, &entry->units.at[u]);
    for (size_t i = 0; i < reads.len; i++) {
        NodeId id = reads.at[i]->tensor;
        bool known = !is_activation(entry, id) || entry->unit_of[id] == u;
        for (size_t k = 0; !known && k < o->reads[u].len; k++)
            known = o->reads[u].at[k] == id;
        if (known)
            continue;
        VEC_PUSH(entry->arena, o->reads[u], id);
        o->readers[id]++;
    }
}

static void collect_before(Ordering *o, uint32_t u)
{
    Entry *entry = o->entry;
    const Indices *before = &entry->units.at[u].before;
    for (size_t i = 0; i < before->len; i++) {
        bool known = before->at[i] == u;
        for (size_t k = 0; !known && k < i; k++)
            known = before->at[k] == before->at[i];
        if (known)
            continue;
        o->waiting[u]++;
        VEC_PUSH(entry->arena, o->after[before->at[i]], u);
    }
}

/* Units are numbered by their first equation: the smallest number stands first in the text. */
static size_t next_of(const Ordering *o, const Indices *ready)
{
    size_t first = 0;
    for (size_t i = 0; i < ready->len; i++) {
        bool frees = growth(o, ready->at[i]) <= 0, best = growth(o, ready->at[first]) <= 0;
        if ((frees && !best) || (frees == best && ready->at[i] < ready->at[first]))
            first = i;
    }
    return first;
}

void entry_order(Entry *entry)
{
    size_t n = entry->units.len, done = 0;
    Arena *arena = entry->arena;
    Ordering o = {.entry = entry,
                  .waiting = NEW_ARRAY(arena, uint32_t, n),
                  .after = NEW_ARRAY(arena, Indices, n),
                  .readers = NEW_ARRAY(arena, uint32_t, entry->graph->nodes.len)};
    o.reads = arena_alloc_array(arena, n, sizeof *o.reads, _Alignof(max_align_t));
    entry->order = NEW_ARRAY(arena, uint32_t, n);
    Indices ready = {0};
    for (uint32_t u = 0; u < n; u++) {
        collect_reads(&o, u);
        collect_before(&o, u);
    }
    for (uint32_t u = 0; u < n; u++) {
        if (o.waiting[u] == 0)
            VEC_PUSH(arena, ready, u);
    }
    while (ready.len > 0) {
        size_t i = next_of(&o, &ready);
        uint32_t u = ready.at[i];
        ready.at[i] = ready.at[--ready.len];
        entry->order[done++] = u;
        for (size_t k = 0; k < o.reads[u].len; k++)
            o.readers[o.reads[u].at[k]]--;
        for (size_t k = 0; k < o.after[u].len; k++) {
            if (--o.waiting[o.after[u].at[k]] == 0)
                VEC_PUSH(arena, ready, o.after[u].at[k]);
        }
    }
    assert(done == n);
}
