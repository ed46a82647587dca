/* block: what runs between the chunk and its nests: block loops, and copies of them for a last chunk
 * or block that is shorter than the others, so that lengths inside are constants. */
#include "emit/internal.h"

#include <assert.h>

const Run *run_of(const Emit *e, const Var *var)
{
    for (size_t i = e->n_runs; i-- > 0;)
        if (e->runs[i].var == var)
            return &e->runs[i];
    return NULL;
}

typedef struct Item { /* a nest, or a block loop with the nests inside */
    size_t first, end;
    size_t block; /* n_blocks: a nest */
} Item;

/* The item at a nest; blocks before `from` are open. */
static Item item_at(const Kernel *kernel, size_t nest, size_t from)
{
    for (size_t i = from; i < kernel->n_blocks; i++)
        if (kernel->blocks[i].first == nest)
            return (Item){.first = nest, .end = kernel->blocks[i].end, .block = i};
    return (Item){.first = nest, .end = nest + 1, .block = kernel->n_blocks};
}

static void emit_items(Emit *e, size_t first, size_t end, size_t from);

static void emit_inside(Emit *e, Item item)
{
    if (item.block == e->kernel->n_blocks)
        emit_nest(e, &e->kernel->nests[item.first]);
    else
        emit_items(e, item.first, item.end, item.block + 1);
    LLVMPositionBuilderAtEnd(e->ir, e->block);
}

/* --- block loops ------------------------------------------------------------------------------ */
/* One part of a variable: as often as `full` says, from `start` on. */
static void emit_parts(Emit *e, Item item, LLVMValueRef start, int64_t full, bool begins)
{
    const KBlock *block = &e->kernel->blocks[item.block];
    Run *run = &e->runs[e->n_runs - 1];
    LLVMValueRef length = make_int(e->i64, run->length);
    run->start = start;
    if (full == 1) {
        run->end = LLVMBuildAdd(e->ir, start, length, "");
        run->first = block->reduced ? LLVMConstInt(e->i1, begins, false) : NULL;
        emit_inside(e, item);
        return;
    }
    LLVMBasicBlockRef before = e->block, body = new_block(e, "block");
    LLVMValueRef zero = make_int(e->i64, 0);
    LLVMBuildBr(e->ir, body);
    enter_block(e, body);
    LLVMValueRef part = LLVMBuildPhi(e->ir, e->i64, "part");
    LLVMAddIncoming(part, &zero, &before, 1);
    run->start = LLVMBuildAdd(e->ir, start, LLVMBuildMul(e->ir, part, length, ""), "");
    run->end = LLVMBuildAdd(e->ir, run->start, length, "");
    run->first = block->reduced ? LLVMBuildICmp(e->ir, LLVMIntEQ, part, zero, "") : NULL;
    emit_inside(e, item);
    LLVMValueRef next = LLVMBuildAdd(e->ir, part, make_int(e->i64, 1), "");
    LLVMBasicBlockRef latch = e->block, after = new_block(e, "after");
    LLVMValueRef more = LLVMBuildICmp(e->ir, LLVMIntSLT, next, make_int(e->i64, full), "");
    LLVMBuildCondBr(e->ir, more, body, after);
    LLVMAddIncoming(part, &next, &latch, 1);
    enter_block(e, after);
}

static void emit_block(Emit *e, Item item)
{
    const KBlock *block = &e->kernel->blocks[item.block];
    const Run *outer = run_of(e, block->var);
    LLVMValueRef start = outer ? outer->start : make_int(e->i64, 0);
    int64_t length = outer ? outer->length : block->var->extent;
    assert(length && "copies are made for chunks of unknown length");
    int64_t full = length / block->tile, rest = length % block->tile;
    Run *run = &e->runs[e->n_runs++];
    *run = (Run){.var = block->var, .length = block->tile};
    if (full)
        emit_parts(e, item, start, full, true);
    run->length = rest;
    if (rest) {
        LLVMValueRef by = make_int(e->i64, full * block->tile);
        emit_parts(e, item, full ? LLVMBuildAdd(e->ir, start, by, "") : start, 1, full == 0);
    }
    e->n_runs--;
}

static void emit_item(Emit *e, Item item)
{
    if (item.block == e->kernel->n_blocks)
        emit_nest(e, &e->kernel->nests[item.first]);
    else
        emit_block(e, item);
    LLVMPositionBuilderAtEnd(e->ir, e->block);
}

static void emit_items(Emit *e, size_t first, size_t end, size_t from)
{
    while (first < end) {
        Item item = item_at(e->kernel, first, from);
        emit_item(e, item);
        first = item.end;
        while (from < e->kernel->n_blocks && e->kernel->blocks[from].first < first)
            from++;
    }
}

/* --- the last chunk --------------------------------------------------------------------------- */
/* Must the length of this variable's part be a constant in the item? */
static bool wants_length(const Emit *e, Item item, const Var *var)
{
    const Kernel *kernel = e->kernel;
    for (size_t i = 0; i < kernel->n_blocks; i++)
        if (kernel->blocks[i].var == var && kernel->blocks[i].first >= item.first &&
            kernel->blocks[i].end <= item.end)
            return true;
    for (size_t n = item.first; n < item.end; n++)
        for (size_t i = 0; i < kernel->nests[n].n_loops; i++)
            if (kernel->nests[n].loops[i].var == var &&
                kernel->nests[n].loops[i].kind != KLOOP_SERIAL)
                return true;
    return false;
}

static void emit_copies(Emit *e, Item item, size_t chunk)
{
    if (chunk == e->kernel->n_chunk_loops) {
        emit_item(e, item);
        return;
    }
    const KChunk *k = &e->kernel->chunk_loops[chunk];
    int64_t rest = k->var->extent % k->tile;
    Run *run = &e->runs[chunk];
    if (rest == 0 || k->tile > k->var->extent || !wants_length(e, item, k->var)) {
        emit_copies(e, item, chunk + 1);
        return;
    }
    LLVMBasicBlockRef whole = new_block(e, "whole"), last = new_block(e, "last");
    LLVMBasicBlockRef join = new_block(e, "join");
    LLVMValueRef is_last =
        LLVMBuildICmp(e->ir, LLVMIntEQ, run->index, make_int(e->i64, k->var->extent / k->tile), "");
    LLVMBuildCondBr(e->ir, is_last, last, whole);
    for (int i = 0; i < 2; i++) {
        enter_block(e, i ? last : whole);
        run->length = i ? rest : k->tile;
        emit_copies(e, item, chunk + 1);
        LLVMBuildBr(e->ir, join);
    }
    run->length = 0;
    enter_block(e, join);
}

void emit_chunk(Emit *e)
{
    const Kernel *kernel = e->kernel;
    for (size_t first = 0, from = 0; first < kernel->n_nests;) {
        Item item = item_at(kernel, first, from);
        emit_copies(e, item, 0);
        first = item.end;
        while (from < kernel->n_blocks && kernel->blocks[from].first < first)
            from++;
    }
}
