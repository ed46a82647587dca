/* prefetch: the lines that a nest asks for ahead of its reads, at its innermost loop. */
#include "emit/internal.h"

static LLVMValueRef times(Emit *e, LLVMValueRef v, int64_t by)
{
    return LLVMBuildMul(e->ir, v, make_int(e->i64, by), "");
}

/* Which tile of the loop this is in its chunk; found in that loop, not inside. */
static LLVMValueRef tile_number(Emit *e, size_t loop)
{
    LLVMValueRef start = make_int(e->i64, 0);
    for (size_t i = 0; i < e->kernel->n_chunk_loops; i++)
        start = e->runs[i].var == e->nest->loops[loop].var ? e->runs[i].start : start;
    LLVMValueRef from = LLVMBuildSub(e->ir, e->levels[loop + 1].base, start, "");
    return LLVMBuildUDiv(e->ir, from, make_int(e->i64, loop_step(e, &e->nest->loops[loop])), "");
}

/* Bytes from what is read now; from where the loop's part starts, so that tiles which do not ask keep to
 * one line. */
static LLVMValueRef prefetch_distance(Emit *e, const KPrefetch *p, int64_t size)
{
    const Level *inner = &e->levels[e->depth];
    const KLoop *k = &e->nest->loops[e->depth - 1];
    const Run *run = run_of(e, k->var);
    LLVMValueRef zero = make_int(e->i64, 0), from = inner->base;
    LLVMValueRef ahead = make_int(e->i64, p->ahead * size);
    if (!p->over)
        return LLVMBuildAdd(e->ir, ahead, times(e, from, p->drift * size), "");
    size_t loop = loop_of(e, p->over), before = place(e, loop + 1);
    LLVMValueRef number = tile_number(e, loop);
    LLVMValueRef turn = LLVMBuildICmp(e->ir, LLVMIntULT, number,
                                      make_int(e->i64, p->parts ? p->parts : 1), "");
    int64_t values = loop_length(e, k);
    if (p->parts)
        ahead = LLVMBuildAdd(e->ir, ahead,
                             times(e, number, values / p->parts * p->stride * size), "");
    ahead = LLVMBuildSelect(e->ir, turn, ahead, zero, "");
    LLVMValueRef moves = LLVMBuildSelect(e->ir, turn, make_int(e->i64, (p->stride + p->drift) * size),
                                         zero, "");
    place(e, before);
    if (p->parts && run)
        from = LLVMBuildSub(e->ir, from, run->start, "");
    moves = LLVMBuildMul(e->ir, from, moves, "");
    return LLVMBuildSub(e->ir, LLVMBuildAdd(e->ir, ahead, moves, ""),
                        times(e, from, p->stride * size), "");
}

/* For reading: what the next tile reads into all caches, what a later block reads into the second. */
static void prefetch(Emit *e, const KPrefetch *p)
{
    Point origin = {0};
    const Access *a = access_of_read(e, p->read, memo_scalar(e, p->read));
    int64_t size = (int64_t)dtype_bytes(a->buffer->dtype);
    LLVMValueRef here = access_pointer(e, a, &origin), by = prefetch_distance(e, p, size);
    int64_t trip = e->nest->loops[e->depth - 1].tile, rows = p->parts ? trip / p->parts : 1;
    for (int64_t i = 0; i < rows * p->lines; i++) {
        int64_t beside = i / p->lines * p->stride * size + i % p->lines * 64;
        LLVMValueRef to = LLVMBuildAdd(e->ir, by, make_int(e->i64, beside), "");
        LLVMTypeRef type = e->ptr;
        LLVMValueRef args[] = {LLVMBuildGEP2(e->ir, e->i8, here, &to, 1, ""), make_int(e->i32, 0),
                               make_int(e->i32, p->parts ? 2 : 3), make_int(e->i32, 1)};
        intrinsic(e, "llvm.prefetch", 1, &type, 4, args);
    }
}

void emit_prefetches(Emit *e)
{
    for (size_t i = 0; i < e->nest->n_prefetches; i++)
        prefetch(e, &e->nest->prefetches[i]);
}
