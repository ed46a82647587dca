/* The deterministic text form of a kernel:
 *
 *   kernel y  contract, chunks 4
 *     chunk n by 8
 *     nest
 *       for n<32 unroll 6
 *       for o<10 lanes 1
 *       for i<64 reduced
 *       y[n, o] = sum x[n, i] * w[o, i]
 *     block i by 32 reduced       around the nests that stand further right
 *     0 -> y f32[32, 10] strides [10, 1]
 *     1    x f32[32, 64] strides [64, 1]
 */
#include "loop/internal.h"

#include <inttypes.h>

static void indent(size_t depth, Buf *out)
{
    for (size_t i = 0; i < depth; i++)
        buf_add(out, STR("  "));
}

static void dump_loop(Dump *dump, const KLoop *loop, size_t depth, Buf *out)
{
    static const char *const kinds[] = {
        [KLOOP_SERIAL] = "", [KLOOP_LANES] = " lanes", [KLOOP_UNROLL] = " unroll"};
    indent(depth, out);
    buf_add(out, STR("    for "));
    dump_variable(dump, loop->var);
    buf_printf(out, "<%" PRId64 "%s", loop->var->extent, kinds[loop->kind]);
    if (loop->kind != KLOOP_SERIAL)
        buf_printf(out, " %" PRId64, loop->tile);
    if (loop->width)
        buf_printf(out, " by %" PRId64, loop->width);
    if (loop->times)
        buf_printf(out, " times %" PRId64, loop->times);
    if (loop->folded)
        buf_add(out, STR(" folded"));
    buf_printf(out, loop->reduced ? " reduced\n" : "\n");
}

static void dump_store(Dump *dump, const Kernel *kernel, const KStore *store, size_t depth,
                       Buf *out)
{
    const KBuffer *buffer = &kernel->buffers[store->buffer];
    indent(depth, out);
    buf_add(out, STR("    "));
    dump_tensor_at(dump, buffer->tensor, buffer->rank, store->left);
    buf_printf(out, store->accumulate ? " += " : " = ");
    if (store->reduce != REDUCE_NONE)
        buf_printf(out, "%s ", reduce_name(store->reduce));
    dump_expression(dump, store->body);
    for (size_t i = 0; i < store->n_guards; i++) {
        buf_printf(out, i == 0 ? "    (" : ", ");
        dump_guard(dump, &store->guards[i]);
    }
    buf_printf(out, store->n_guards > 0 ? ")\n" : "\n");
}

static void dump_buffer(Dump *dump, const KBuffer *buffer, Buf *out)
{
    if (buffer->place == KPLACE_SCRATCH)
        buf_printf(out, "  scratch+%" PRIu64, buffer->slot);
    else
        buf_printf(out, "  %" PRIu64, buffer->slot);
    buf_printf(out, buffer->written ? " -> " : "    ");
    dump_tensor_at(dump, buffer->tensor, 0, NULL);
    buf_printf(out, " %s[", dtype_name(buffer->dtype));
    for (size_t d = 0; d < buffer->rank; d++)
        buf_printf(out, "%s%" PRId64, d > 0 ? ", " : "", buffer->dims[d]);
    buf_printf(out, "] strides [");
    for (size_t d = 0; d < buffer->rank; d++)
        buf_printf(out, "%s%" PRId64, d > 0 ? ", " : "", buffer->strides[d]);
    buf_add(out, STR("]"));
    if (buffer->panel > 0)
        buf_printf(out, " panels of %" PRId64 ", stride %" PRId64, buffer->panel,
                   buffer->panel_stride);
    buf_printf(out, buffer->relative ? " of a part\n" : "\n");
}

static void dump_prefetch(Dump *dump, const KPrefetch *prefetch, size_t depth, Buf *out)
{
    indent(depth, out);
    buf_add(out, STR("    prefetch "));
    dump_expression(dump, prefetch->read);
    buf_printf(out, " + %" PRId64, prefetch->ahead);
    if (prefetch->drift)
        buf_printf(out, " + %" PRId64 " a step", prefetch->drift);
    if (prefetch->lines > 1)
        buf_printf(out, ", %" PRId64 " lines", prefetch->lines);
    if (prefetch->over) {
        buf_add(out, STR(", first "));
        if (prefetch->parts > 1)
            buf_printf(out, "%" PRId64 " of ", prefetch->parts);
        dump_variable(dump, prefetch->over);
    }
    buf_add(out, STR("\n"));
}

/* The blocks that begin at a nest; returns how many blocks it lies in. */
static size_t dump_blocks(Dump *dump, const Kernel *kernel, size_t nest, Buf *out)
{
    size_t depth = 0;
    for (size_t i = 0; i < kernel->n_blocks; i++) {
        const KBlock *block = &kernel->blocks[i];
        if (nest < block->first || nest >= block->end)
            continue;
        if (block->first == nest) {
            indent(depth, out);
            buf_add(out, STR("  block "));
            dump_variable(dump, block->var);
            buf_printf(out, " by %" PRId64 "%s\n", block->tile, block->reduced ? " reduced" : "");
        }
        depth++;
    }
    return depth;
}

static void name_variables(Dump *dump, const Kernel *kernel, Arena *arena)
{
    VEC(const Var *) vars = {0};
    for (size_t i = 0; i < kernel->n_nests; i++) {
        for (size_t k = 0; k < kernel->nests[i].n_loops; k++) {
            const Var *var = kernel->nests[i].loops[k].var;
            bool known = false;
            for (size_t v = 0; v < vars.len; v++)
                known |= vars.at[v] == var;
            if (!known)
                VEC_PUSH(arena, vars, var);
        }
    }
    dump_variables(dump, vars.len, vars.at);
}

void kernel_dump(const Graph *graph, const Kernel *kernel, Buf *out)
{
    Dump *dump = dump_new(graph, out);
    name_variables(dump, kernel, graph->arena);
    buf_printf(out, "kernel " STR_FMT "  %s, chunks %" PRId64 "\n", STR_ARG(kernel->name),
               kernel_kind_name(kernel->kind), kernel_chunks(kernel));
    for (size_t i = 0; i < kernel->n_chunk_loops; i++) {
        buf_printf(out, i == 0 ? "  chunk " : ", ");
        dump_variable(dump, kernel->chunk_loops[i].var);
        buf_printf(out, " by %" PRId64, kernel->chunk_loops[i].tile);
    }
    buf_printf(out, kernel->n_chunk_loops > 0 ? "\n" : "");
    if (kernel->kind == KERNEL_CALL)
        buf_printf(out, "  call " STR_FMT "\n", STR_ARG(kernel->function));
    for (size_t i = 0; i < kernel->n_nests; i++) {
        const Nest *nest = &kernel->nests[i];
        size_t depth = dump_blocks(dump, kernel, i, out);
        indent(depth, out);
        buf_add(out, STR("  nest\n"));
        for (size_t k = 0; k < nest->n_loops; k++)
            dump_loop(dump, &nest->loops[k], depth, out);
        for (size_t k = 0; k < nest->n_stores; k++)
            dump_store(dump, kernel, &nest->stores[k], depth, out);
        for (size_t k = 0; k < nest->n_prefetches; k++)
            dump_prefetch(dump, &nest->prefetches[k], depth, out);
    }
    for (size_t i = 0; i < kernel->n_buffers; i++)
        dump_buffer(dump, &kernel->buffers[i], out);
}
