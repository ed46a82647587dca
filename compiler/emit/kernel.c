/* kernel: one function per kernel: buffer pointers, this chunk's part of each chunk loop, then the
 * blocks and nests one after another. */
#include "emit/internal.h"

#include <string.h>

static void set_attribute(Emit *e, const char *name, const char *value)
{
    LLVMAttributeRef attribute = LLVMCreateStringAttribute(e->llvm, name, (unsigned)strlen(name),
                                                           value, (unsigned)strlen(value));
    LLVMAddAttributeAtIndex(e->function, (LLVMAttributeIndex)LLVMAttributeFunctionIndex, attribute);
}

static void set_attributes(Emit *e)
{
    set_attribute(e, "target-cpu", e->target->cpu);
    set_attribute(e, "target-features", e->target->features);
    set_attribute(e, "prefer-vector-width", e->target->lanes >= 16 ? "512" : "256");
    unsigned nounwind = LLVMGetEnumAttributeKindForName("nounwind", 8);
    LLVMAddAttributeAtIndex(e->function, (LLVMAttributeIndex)LLVMAttributeFunctionIndex,
                            LLVMCreateEnumAttribute(e->llvm, nounwind, 0));
}

/* Tensors share memory only where a store may overwrite what was read at the same position, and
 * emission keeps that order itself. */
static LLVMValueRef slot_pointer(Emit *e, uint64_t slot)
{
    LLVMValueRef at = make_int(e->i64, (int64_t)slot);
    LLVMValueRef from = LLVMBuildGEP2(e->ir, e->ptr, LLVMGetParam(e->function, 0), &at, 1, "");
    return LLVMBuildLoad2(e->ir, e->ptr, from, "");
}

static void load_buffers(Emit *e)
{
    const Kernel *kernel = e->kernel;
    e->buffers = NEW_ARRAY(e->arena, LLVMValueRef, kernel->n_buffers + 1);
    for (size_t i = 0; i < kernel->n_buffers; i++) {
        const KBuffer *buffer = &kernel->buffers[i];
        LLVMValueRef at = make_int(e->i64, (int64_t)buffer->slot);
        e->buffers[i] = buffer->place == KPLACE_GLOBAL
                            ? slot_pointer(e, buffer->slot)
                            : LLVMBuildGEP2(e->ir, e->i8, LLVMGetParam(e->function, 1), &at, 1, "");
    }
    size_t last = kernel->n_globals;
    e->random = e->fault = e->dummy = NULL;
    if (kernel->uses_fault) {
        e->fault = slot_pointer(e, --last);
        e->dummy = LLVMBuildAlloca(e->ir, LLVMArrayType2(e->i64, 4), "");
    }
    if (kernel->uses_random)
        e->random = slot_pointer(e, --last);
}

/* The chunk index enumerates the runs of all chunk loops, the last fastest. */
static void split_chunk(Emit *e)
{
    const Kernel *kernel = e->kernel;
    e->runs = NEW_ARRAY(e->arena, Run, kernel->n_chunk_loops + kernel->n_blocks + 1);
    e->n_runs = kernel->n_chunk_loops;
    LLVMValueRef rest = LLVMGetParam(e->function, 2);
    for (size_t i = kernel->n_chunk_loops; i-- > 0;) {
        const KChunk *chunk = &kernel->chunk_loops[i];
        Run *run = &e->runs[i];
        run->var = chunk->var;
        int64_t extent = chunk->var->extent;
        int64_t tile = chunk->tile < extent ? chunk->tile : extent;
        LLVMValueRef n = make_int(e->i64, (extent + tile - 1) / tile);
        run->index = i == 0 ? rest : LLVMBuildURem(e->ir, rest, n, "");
        rest = i == 0 ? rest : LLVMBuildUDiv(e->ir, rest, n, "");
        run->start = LLVMBuildMul(e->ir, run->index, make_int(e->i64, tile), "");
        run->end = LLVMBuildAdd(e->ir, run->start, make_int(e->i64, tile), "");
        run->length = extent % tile == 0 ? tile : 0;
        if (run->length)
            continue;
        LLVMValueRef over =
            LLVMBuildICmp(e->ir, LLVMIntSGT, run->end, make_int(e->i64, extent), "");
        run->end = LLVMBuildSelect(e->ir, over, make_int(e->i64, extent), run->end, "");
    }
}

LLVMValueRef emit_kernel(Emit *e, const Graph *graph, const Kernel *kernel, const char *name)
{
    e->graph = graph;
    e->kernel = kernel;
    LLVMTypeRef params[] = {e->ptr, e->ptr, e->i64};
    LLVMTypeRef type = LLVMFunctionType(LLVMVoidTypeInContext(e->llvm), params, 3, false);
    e->function = LLVMAddFunction(e->module, name, type);
    set_attributes(e);
    enter_block(e, new_block(e, "entry"));
    if (kernel->kind == KERNEL_CALL) {
        emit_call(e);
    } else {
        load_buffers(e);
        split_chunk(e);
        emit_chunk(e);
    }
    LLVMPositionBuilderAtEnd(e->ir, e->block);
    LLVMBuildRetVoid(e->ir);
    return e->function;
}
