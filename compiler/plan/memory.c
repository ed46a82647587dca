/* Offsets of activations: lifetimes over the order of units, first fit by decreasing size. A tensor
 * that dies in the unit that computes another of its shape, element by element, gives its storage. */
#include "plan/internal.h"

#include <assert.h>
#include <stdlib.h>

enum { ALIGN = 64 };

typedef struct Block {           /* storage of one activation, or of several one after another */
    NodeId id;                   /* the first */
    size_t first, last;          /* places in the order, inclusive */
    uint64_t bytes, offset;
    size_t taken;                /* the last place where one tensor took it from another, plus 1 */
} Block;

typedef struct Memory {
    Entry *entry;
    size_t *last_use;            /* by node */
    uint32_t *block_of;          /* by node; NO_UNIT: none */
    VEC(Block) blocks;
} Memory;

static uint64_t bytes_of(const Entry *entry, NodeId id)
{
    uint64_t size = dtype_bytes(graph_node(entry->graph, id)->dtype);
    return bytes_aligned(bytes_times(entry->layout.elements[id], size), ALIGN);
}

/* --- lifetimes ------------------------------------------------------------------------------------------ */
static void find_last_uses(Memory *m)
{
    Entry *entry = m->entry;
    for (size_t at = 0; at < entry->units.len; at++) {
        const Unit *unit = &entry->units.at[entry->order[at]];
        for (size_t k = 0; k < unit->kernels.len; k++) {
            const Kernel *kernel = unit->kernels.at[k];
            for (size_t b = 0; b < kernel->n_buffers; b++) {
                if (kernel->buffers[b].place != KPLACE_SCRATCH)
                    m->last_use[kernel->buffers[b].tensor] = at;
            }
        }
    }
}

static bool same_storage(const Entry *entry, NodeId a, NodeId b)
{
    const Node *x = graph_node(entry->graph, a), *y = graph_node(entry->graph, b);
    if (x->rank != y->rank || dtype_bytes(x->dtype) != dtype_bytes(y->dtype) ||
        entry->layout.elements[a] != entry->layout.elements[b])
        return false;
    for (size_t d = 0; d < x->rank; d++) {
        if (x->dims[d] != y->dims[d] ||
            (x->dims[d] > 1 && entry->layout.strides[a][d] != entry->layout.strides[b][d]))
            return false;
    }
    return true;
}

/* UINT32_MAX: not computed by this unit. */
static uint32_t nest_of(const Unit *unit, NodeId id)
{
    for (size_t i = 0; i < unit->group.n; i++) {
        if (unit->group.nodes[i] == id)
            return unit->group.nests[i];
    }
    return UINT32_MAX;
}

/* A block whose tensor dies here, for `id` to overwrite: an input, or what an earlier nest of the
 * same kernel left for the nest that computes `id`. */
static uint32_t block_to_take(Memory *m, const Unit *unit, size_t at, NodeId id)
{
    Entry *entry = m->entry;
    const Node *node = graph_node(entry->graph, id);
    if (unit->kernels.len != 1 || node->n_pieces != 1 || node->pieces[0].n_reduced > 0 ||
        !piece_is_plain(node, &node->pieces[0]))
        return NO_UNIT;
    const Kernel *kernel = unit->kernels.at[0];
    for (size_t b = 0; b < kernel->n_buffers; b++) {
        NodeId input = kernel->buffers[b].tensor;
        if (kernel->buffers[b].place == KPLACE_SCRATCH)
            continue;
        uint32_t block = m->block_of[input];
        if (block != NO_UNIT && input != id && m->last_use[input] == at &&
            m->blocks.at[block].last == at && m->blocks.at[block].taken != at + 1 &&
            nest_of(unit, input) != nest_of(unit, id) && same_storage(entry, input, id) &&
            reads_in_place(entry, unit, id, input))
            return block;
    }
    return NO_UNIT;
}

static void add_blocks(Memory *m, const Unit *unit, size_t at)
{
    Entry *entry = m->entry;
    for (size_t k = 0; k < unit->kernels.len; k++) {
        const Kernel *kernel = unit->kernels.at[k];
        for (size_t b = 0; b < kernel->n_buffers; b++) {
            const KBuffer *buffer = &kernel->buffers[b];
            NodeId id = buffer->tensor;
            if (!buffer->written || buffer->place == KPLACE_SCRATCH || entry->output[id] ||
                entry->lies_in[id] != id || m->block_of[id] != NO_UNIT)
                continue;
            uint32_t block = block_to_take(m, unit, at, id);
            if (block != NO_UNIT)
                m->blocks.at[block].taken = at + 1;
            else {
                Block fresh = {.id = id, .first = at, .last = at, .bytes = bytes_of(entry, id)};
                block = (uint32_t)m->blocks.len;
                VEC_PUSH(entry->arena, m->blocks, fresh);
            }
            m->block_of[id] = block;
            m->blocks.at[block].last = m->last_use[id] > at ? m->last_use[id] : at;
        }
    }
}

/* --- offsets --------------------------------------------------------------------------------------------- */
static int by_size(const void *a, const void *b)
{
    const Block *x = *(Block *const *)a, *y = *(Block *const *)b;
    if (x->bytes != y->bytes)
        return x->bytes > y->bytes ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

static int by_offset(const void *a, const void *b)
{
    const Block *x = *(Block *const *)a, *y = *(Block *const *)b;
    return (x->offset > y->offset) - (x->offset < y->offset);
}

/* The lowest gap among the blocks placed so far that live at the same time; these are gathered in `alive`. */
static uint64_t first_fit(Block **placed, size_t n, const Block *block, Block **alive)
{
    size_t n_alive = 0;
    for (size_t i = 0; i < n; i++) {
        if (placed[i]->first <= block->last && block->first <= placed[i]->last)
            alive[n_alive++] = placed[i];
    }
    qsort(alive, n_alive, sizeof *alive, by_offset);
    uint64_t offset = 0;
    for (size_t i = 0; i < n_alive; i++) {
        if (alive[i]->offset >= bytes_sum(offset, block->bytes))
            break;
        uint64_t end = bytes_sum(alive[i]->offset, alive[i]->bytes);
        offset = end > offset ? end : offset;
    }
    return offset;
}

void entry_place(Entry *entry)
{
    size_t n = entry->graph->nodes.len;
    Memory m = {.entry = entry,
                .last_use = NEW_ARRAY(entry->arena, size_t, n),
                .block_of = NEW_ARRAY(entry->arena, uint32_t, n)};
    for (size_t i = 0; i < n; i++)
        m.block_of[i] = NO_UNIT;
    find_last_uses(&m);
    for (size_t at = 0; at < entry->units.len; at++)
        add_blocks(&m, &entry->units.at[entry->order[at]], at);
    Block **sorted = NEW_ARRAY(entry->arena, Block *, m.blocks.len + 1);
    Block **alive = NEW_ARRAY(entry->arena, Block *, m.blocks.len + 1);
    for (size_t i = 0; i < m.blocks.len; i++)
        sorted[i] = &m.blocks.at[i];
    qsort(sorted, m.blocks.len, sizeof *sorted, by_size);
    for (size_t i = 0; i < m.blocks.len; i++) {
        sorted[i]->offset = first_fit(sorted, i, sorted[i], alive);
        uint64_t end = bytes_sum(sorted[i]->offset, sorted[i]->bytes);
        entry->activation_bytes = end > entry->activation_bytes ? end : entry->activation_bytes;
    }
    for (NodeId id = 0; id < n; id++) {
        if (m.block_of[id] != NO_UNIT)
            entry->refs[id] = (HoneRef){.arena = HONE_ARENA_ACTIVATIONS,
                                        .offset = m.blocks.at[m.block_of[id]].offset};
    }
}
