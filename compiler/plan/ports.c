/* Batch fields, step values and outputs in HONE_ARENA_IO, shared by entries where use, name and shape
 * agree; tables of constants in HONE_ARENA_CONSTANTS. */
#include "plan/internal.h"

#include <string.h>

#include "hone/hone.h"

enum { ALIGN = 64 };

static bool same_port(const HonePort *a, const HonePort *b)
{
    if (strcmp(a->name, b->name) != 0 || a->dtype != b->dtype || a->rank != b->rank)
        return false;
    for (uint32_t d = 0; d < a->rank; d++) {
        if (a->dims[d] != b->dims[d] || a->strides[d] != b->strides[d])
            return false;
    }
    return true;
}

static uint64_t port_bytes(const HonePort *port)
{
    uint64_t bytes = dtype_bytes((DType)port->dtype);
    for (uint32_t d = 0; d < port->rank; d++)
        bytes = bytes_times(bytes, (uint64_t)port->dims[d]);
    return bytes;
}

HoneRef port_place(Planner *planner, size_t use, HonePort port)
{
    for (size_t i = 0; i < planner->ports.len; i++) {
        const PlacedPort *placed = &planner->ports.at[i];
        if (placed->use == use && same_port(&placed->port, &port))
            return placed->port.at;
    }
    port.at = (HoneRef){.arena = HONE_ARENA_IO, .offset = planner->io_bytes};
    planner->io_bytes = bytes_sum(planner->io_bytes, bytes_aligned(port_bytes(&port), ALIGN));
    VEC_PUSH(planner->arena, planner->ports, ((PlacedPort){.use = use, .port = port}));
    return port.at;
}

HonePort port_of(const Entry *entry, NodeId id, Str name)
{
    const Node *node = graph_node(entry->graph, id);
    HonePort port = {.name = str_c(entry->arena, name),
                     .dtype = (HoneDType)node->dtype,
                     .rank = (uint32_t)node->rank};
    for (size_t d = 0; d < node->rank; d++) {
        port.dims[d] = node->dims[d];
        port.strides[d] = entry->layout.strides[id][d];
    }
    return port;
}

/* --- constants ----------------------------------------------------------------------------------------- */
/* Element i of the row-major order lies at the product of its indices with the strides. */
static int64_t offset_of(const Node *node, const int64_t *strides, int64_t i)
{
    int64_t offset = 0;
    for (size_t d = node->rank; d-- > 0;) {
        offset += i % node->dims[d] * strides[d];
        i /= node->dims[d];
    }
    return offset;
}

HoneRef constant_place(const Entry *entry, NodeId id)
{
    Buf *out = &entry->planner->constants;
    const Node *node = graph_node(entry->graph, id);
    size_t size = dtype_bytes(node->dtype);
    while (out->len % ALIGN != 0)
        buf_char(out, 0);
    HoneRef ref = {.arena = HONE_ARENA_CONSTANTS, .offset = out->len};
    size_t start = out->len;
    for (uint64_t i = 0; i < entry->layout.elements[id] * size; i++)
        buf_char(out, 0);
    int64_t n = node->data ? node_elements(node) : 1;
    for (int64_t i = 0; i < n; i++) {
        int64_t at = node->data ? offset_of(node, entry->layout.strides[id], i) : 0;
        hone_store(out->ptr + start + (size_t)at * size, (HoneDType)node->dtype,
                   node->data ? node->data[i] : node->value);
    }
    return ref;
}
