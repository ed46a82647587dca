/* Offsets of what lives between steps, once every entry has said how it wants it laid out. */
#include "plan/internal.h"

enum { ALIGN = 64 };

/* Row-major: no entry uses it, but it is loaded and saved. */
static void lay_out_unused(Arena *arena, PlanTensor *tensor)
{
    int64_t *strides = NEW_ARRAY(arena, int64_t, tensor->rank + 1), step = 1;
    for (size_t d = tensor->rank; d-- > 0;) {
        strides[d] = step;
        step *= tensor->dims[d];
    }
    tensor->strides = strides;
    tensor->bytes = (uint64_t)step * dtype_bytes(tensor->dtype);
}

void plan_place_tensors(Planner *planner, size_t n, PlanEntry *const *entries)
{
    uint64_t ends[HONE_ARENAS] = {0};
    for (size_t i = 0; i < planner->n_tensors; i++) {
        PlanTensor *tensor = &planner->tensors[i];
        if (tensor->strides == NULL)
            lay_out_unused(planner->arena, tensor);
        tensor->offset = ends[tensor->arena];
        ends[tensor->arena] = bytes_sum(tensor->offset, bytes_aligned(tensor->bytes, ALIGN));
    }
    for (size_t e = 0; e < n; e++) {
        PlanEntry *entry = entries[e];
        const HoneRef **buffers = NEW_ARRAY(planner->arena, const HoneRef *, entry->n_kernels + 1);
        for (size_t k = 0; k < entry->n_kernels; k++) {
            size_t count = entry->kernels[k]->n_globals;
            HoneRef *refs = NEW_ARRAY(planner->arena, HoneRef, count + 1);
            for (size_t b = 0; b < count; b++) {
                uint32_t tensor = entry->tensors[k][b];
                refs[b] = entry->buffers[k][b];
                if (tensor != HONE_NONE)
                    refs[b].offset = planner->tensors[tensor].offset;
            }
            buffers[k] = refs;
        }
        entry->buffers = buffers;
    }
}
