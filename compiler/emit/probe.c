/* probe: what this machine can do at most, asked in its own instructions: multiply-adds in registers,
 * and vectors read and written in order. The functions are kernels like any other, so that the same
 * threads run them; what they measure is the yardstick of every report. */
#include "emit/internal.h"

#include <string.h>

enum {
    SUMS = 12,           /* more than latency times throughput on every machine of the table */
    STEPS = 1 << 14,     /* of the multiply-add loop */
    UNROLL = 4           /* vectors of a stream per turn */
};

typedef struct Probe {
    Emit *e;
    LLVMTypeRef vector;
    LLVMValueRef function, index;           /* of the open loop */
    LLVMBasicBlockRef before, body, after;
} Probe;

static void function_begin(Probe *p, const char *name)
{
    Emit *e = p->e;
    LLVMTypeRef types[] = {e->ptr, e->ptr, e->i64};
    LLVMTypeRef type = LLVMFunctionType(LLVMVoidTypeInContext(e->llvm), types, 3, 0);
    p->function = LLVMAddFunction(e->module, name, type);
    p->before = LLVMAppendBasicBlockInContext(e->llvm, p->function, "");
    p->body = LLVMAppendBasicBlockInContext(e->llvm, p->function, "");
    p->after = LLVMAppendBasicBlockInContext(e->llvm, p->function, "");
    LLVMPositionBuilderAtEnd(e->ir, p->before);
}

/* What stands before ends here; n sums are carried, from zero. */
static void loop_begin(Probe *p, size_t n, LLVMValueRef *sums)
{
    Emit *e = p->e;
    LLVMBuildBr(e->ir, p->body);
    LLVMPositionBuilderAtEnd(e->ir, p->body);
    p->index = LLVMBuildPhi(e->ir, e->i64, "");
    LLVMValueRef zero = make_int(e->i64, 0), none = LLVMConstNull(p->vector);
    LLVMAddIncoming(p->index, &zero, &p->before, 1);
    for (size_t i = 0; i < n; i++) {
        sums[i] = LLVMBuildPhi(e->ir, p->vector, "");
        LLVMAddIncoming(sums[i], &none, &p->before, 1);
    }
}

/* The sums go to the scratch, so that nothing is left out as useless. */
static void loop_end(Probe *p, int64_t steps, size_t n, LLVMValueRef *sums, LLVMValueRef *next)
{
    Emit *e = p->e;
    LLVMValueRef more = LLVMBuildAdd(e->ir, p->index, make_int(e->i64, 1), "");
    LLVMAddIncoming(p->index, &more, &p->body, 1);
    for (size_t i = 0; i < n; i++)
        LLVMAddIncoming(sums[i], &next[i], &p->body, 1);
    LLVMValueRef on = LLVMBuildICmp(e->ir, LLVMIntSLT, more, make_int(e->i64, steps), "");
    LLVMBuildCondBr(e->ir, on, p->body, p->after);
    LLVMPositionBuilderAtEnd(e->ir, p->after);
    LLVMValueRef all = LLVMConstNull(p->vector);
    for (size_t i = 0; i < n; i++)
        all = LLVMBuildFAdd(e->ir, all, next[i], "");
    LLVMSetAlignment(LLVMBuildStore(e->ir, all, LLVMGetParam(p->function, 1)), 4);
    LLVMBuildRetVoid(e->ir);
}

static LLVMValueRef load(Probe *p, LLVMValueRef at)
{
    LLVMValueRef value = LLVMBuildLoad2(p->e->ir, p->vector, at, "");
    LLVMSetAlignment(value, 4);
    return value;
}

static LLVMValueRef buffer(Probe *p, int64_t i)
{
    LLVMValueRef at = make_int(p->e->i64, i);
    at = LLVMBuildGEP2(p->e->ir, p->e->ptr, LLVMGetParam(p->function, 0), &at, 1, "");
    return LLVMBuildLoad2(p->e->ir, p->e->ptr, at, "");
}

/* --- the two functions ------------------------------------------------------------------------ */
static void emit_multiply(Probe *p)
{
    Emit *e = p->e;
    function_begin(p, "probe_multiply");
    LLVMValueRef a = load(p, buffer(p, 0)), b = load(p, buffer(p, 0)), sums[SUMS], next[SUMS];
    loop_begin(p, SUMS, sums);
    for (size_t i = 0; i < SUMS; i++) {
        LLVMValueRef args[] = {sums[i], a, b};
        next[i] = e->target->fma ? intrinsic(e, "llvm.fma", 1, &p->vector, 3, args)
                                 : LLVMBuildFAdd(e->ir, LLVMBuildFMul(e->ir, sums[i], a, ""), b, "");
    }
    loop_end(p, STEPS, SUMS, sums, next);
}

/* Reads `reads` streams in step and writes the first `writes` of them in place. */
static void emit_stream(Probe *p, int reads, int writes)
{
    Emit *e = p->e;
    int64_t bytes = (int64_t)e->target->lanes * 4;
    function_begin(p, "probe_stream");
    LLVMValueRef sums[UNROLL], next[UNROLL], from[PROBE_STREAMS];
    LLVMValueRef start = LLVMBuildMul(e->ir, LLVMGetParam(p->function, 2),
                                      make_int(e->i64, PROBE_BLOCK), "");
    for (int s = 0; s < reads; s++) {
        LLVMValueRef base = buffer(p, s);
        from[s] = LLVMBuildGEP2(e->ir, e->i8, base, &start, 1, "");
    }
    loop_begin(p, UNROLL, sums);
    for (int u = 0; u < UNROLL; u++) {
        LLVMValueRef at = LLVMBuildMul(e->ir, p->index, make_int(e->i64, bytes * UNROLL), "");
        at = LLVMBuildAdd(e->ir, at, make_int(e->i64, bytes * u), "");
        next[u] = sums[u];
        for (int s = 0; s < reads; s++) {
            LLVMValueRef place = LLVMBuildGEP2(e->ir, e->i8, from[s], &at, 1, "");
            LLVMValueRef value = load(p, place);
            if (s < writes)
                LLVMSetAlignment(
                    LLVMBuildStore(e->ir, LLVMBuildFNeg(e->ir, value, ""), place), 4);
            else
                next[u] = LLVMBuildFAdd(e->ir, next[u], value, "");
        }
    }
    loop_end(p, PROBE_BLOCK / (bytes * UNROLL), UNROLL, sums, next);
}

static Emit *open_module(Arena *arena, const Target *target, Machine **machine, const char **why)
{
    *machine = machine_open(arena, target, why);
    return *machine ? module_open(arena, target, *machine) : NULL;
}

LLVMMemoryBufferRef probe_object(Arena *arena, const Target *target, int reads, int writes,
                                 const char **why)
{
    Machine *machine;
    Emit *e = open_module(arena, target, &machine, why);
    if (!e)
        return NULL;
    Probe p = {.e = e, .vector = type_lanes(e->f32, (unsigned)target->lanes)};
    emit_multiply(&p);
    emit_stream(&p, reads, writes);
    return module_emit(e, machine, LLVMObjectFile, why);
}

double probe_flops(const Target *target)
{
    return (double)(2 * STEPS * SUMS) * target->lanes;
}
