/* The text form of a plan: kernels in order, and where their buffers lie. */
#include "plan/internal.h"

#include <inttypes.h>

static const char *arena_name(uint32_t arena)
{
    static const char *const names[HONE_ARENAS] = {
        [HONE_ARENA_PARAMS] = "params",           [HONE_ARENA_STATE] = "state",
        [HONE_ARENA_IO] = "io",                   [HONE_ARENA_ACTIVATIONS] = "act",
        [HONE_ARENA_CONSTANTS] = "const"};
    return names[arena];
}

static void dump_kernel(const PlanEntry *entry, size_t k, Buf *out)
{
    const Kernel *kernel = entry->kernels[k];
    buf_printf(out, "%4zu %-9s " STR_FMT " chunks %" PRId64, k, kernel_kind_name(kernel->kind),
               STR_ARG(kernel->name), kernel_chunks(kernel));
    for (size_t b = 0; b < kernel->n_buffers; b++) {
        const KBuffer *buffer = &kernel->buffers[b];
        bool pack = buffer->tensor >= entry->graph->nodes.len;
        Str name = pack ? STR("pack") : graph_node(entry->graph, buffer->tensor)->name;
        buf_printf(out, "%s" STR_FMT, buffer->written ? "  -> " : "  ", STR_ARG(name));
        if (buffer->place == KPLACE_SCRATCH) {
            buf_printf(out, "@scratch+%" PRIu64, buffer->slot);
            continue;
        }
        HoneRef ref = entry->buffers[k][buffer->slot];
        buf_printf(out, "@%s+%" PRIu64, arena_name(ref.arena), ref.offset);
    }
    const Demand *demand = &entry->demands[k];
    for (uint32_t i = 0; i < demand->n; i++)
        buf_printf(out, "  %s t%u", demand->literals[i].holds ? "if" : "unless",
                   demand->literals[i].decision);
    buf_char(out, '\n');
}

void plan_dump(const Planner *planner, const PlanEntry *entry, Buf *out)
{
    for (size_t k = 0; k < entry->n_kernels; k++)
        dump_kernel(entry, k, out);
    buf_printf(out,
               "activations %" PRIu64 " bytes, scratch %" PRIu64 " per thread, io %" PRIu64 " of all entries\n",
               entry->activation_bytes, entry->scratch_bytes, planner->io_bytes);
}
