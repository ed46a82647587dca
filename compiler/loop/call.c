/* Intrinsics: a kernel without nests that calls a function of the runtime. Its buffers are the
 * arguments and the result, in this order. */
#include <assert.h>

#include "hone/linalg.h"
#include "loop/internal.h"

static KBuffer buffer_of(const Lowering *in, NodeId id, uint64_t slot)
{
    const Node *node = graph_node(in->graph, id);
    return (KBuffer){.tensor = id, .dtype = node->dtype, .place = KPLACE_GLOBAL, .slot = slot,
                     .rank = node->rank, .dims = node->dims, .strides = in->strides[id],
                     .elements = in->elements[id]};
}

Kernel *call_kernel(Arena *arena, const Lowering *in, NodeId id)
{
    const Node *node = graph_node(in->graph, id);
    double n = (double)node->dims[0];
    assert(node->rank == 2 && node->dims[0] == node->dims[1]);
    KBuffer *buffers = NEW_ARRAY(arena, KBuffer, node->n_args + 1);
    Kernel *kernel = NEW(arena, Kernel);
    *kernel = (Kernel){.kind = KERNEL_CALL, .name = node->function, .function = node->function,
                       .span = node->span, .buffers = buffers, .n_buffers = node->n_args + 1,
                       .n_globals = node->n_args + 1,
                       .scratch_bytes = hone_call_scratch(node->dims[0]),
                       .flops = 14 * n * n * n};     /* about, of a symmetric matrix */
    for (size_t i = 0; i <= node->n_args; i++) {
        NodeId tensor = i < node->n_args ? node->args[i] : id;
        buffers[i] = buffer_of(in, tensor, i);
        kernel->bytes += (double)(buffers[i].elements * dtype_bytes(buffers[i].dtype));
    }
    buffers[node->n_args].written = true;
    return kernel;
}
