/* transpose: reads whose lanes lie apart in memory but whose elements along an unrolled loop lie side
 * by side: as many vectors as there are lanes are loaded along that loop and transposed in registers,
 * instead of as many gathers. */
#include "emit/internal.h"

/* The loop along which the read is contiguous, with as many coordinates as a vector has lanes. */
static size_t loop_along(const Emit *e, const Access *a)
{
    for (size_t i = 0; i < a->n; i++) {
        if (a->terms[i].atom->kind != ATOM_VAR || a->terms[i].coef != 1)
            continue;
        size_t loop = loop_of(e, a->terms[i].atom->var);
        if (loop < e->depth && loop != e->lane_loop &&
            e->levels[loop + 1].count == e->target->lanes)
            return loop;
    }
    return SIZE_MAX;
}

size_t transpose_loop(const Emit *e, const Access *a)
{
    if (a->n_varying > 0 || a->n_clamped > 0 || a->n_checks > 0 || a->step == 0 ||
        e->target->lanes < 2 || (dtype_bytes(a->buffer->dtype) != 4 && !dtype_is_short(a->buffer->dtype)))
        return SIZE_MAX;
    return loop_along(e, a);
}

/* Elements of a and b in turn, from the lower or the upper halves. */
static LLVMValueRef zip(Emit *e, LLVMValueRef a, LLVMValueRef b, bool upper)
{
    LLVMValueRef index[64];
    unsigned n = lanes_of(a), from = upper ? n / 2 : 0;
    for (unsigned i = 0; i < n; i++)
        index[i] = LLVMConstInt(e->i32, from + i / 2 + (i % 2) * n, false);
    return LLVMBuildShuffleVector(e->ir, a, b, LLVMConstVector(index, n), "");
}

/* Zipping vector i with vector i + n/2, log2(n) times, transposes: each turn rotates the bits of an
 * element's place, row and lane together, by one. */
static void transpose(Emit *e, unsigned n, LLVMValueRef *rows)
{
    LLVMValueRef next[64];
    for (unsigned turn = 1; turn < n; turn *= 2) {
        for (unsigned i = 0; i < n / 2; i++) {
            next[2 * i] = zip(e, rows[i], rows[i + n / 2], false);
            next[2 * i + 1] = zip(e, rows[i], rows[i + n / 2], true);
        }
        for (unsigned i = 0; i < n; i++)
            rows[i] = next[i];
    }
}

/* Emits the reads of all coordinates of `loop`; returns the one asked for. Lanes that are off read
 * what the first lane reads. */
LLVMValueRef emit_transposed(Emit *e, const Access *a, MemoEntry *entry, size_t loop,
                             const Point *point)
{
    unsigned n = (unsigned)e->target->lanes, bytes = (unsigned)dtype_bytes(a->buffer->dtype);
    LLVMTypeRef type = type_stored(e, a->buffer->dtype, n);
    LLVMValueRef rows[64], on = lane_mask(e, point);
    Point at = *point;
    at.at[loop] = 0;
    LLVMValueRef first = access_pointer(e, a, &at);
    for (unsigned i = 0; i < n; i++) {
        bool off = on && LLVMConstIntGetZExtValue(LLVMGetAggregateElement(on, i)) == 0;
        LLVMValueRef by = make_int(e->i64, off ? 0 : (int64_t)i * a->step * bytes);
        LLVMValueRef from = LLVMBuildGEP2(e->ir, e->i8, first, &by, 1, "");
        if (off) {
            rows[i] = rows[0];
            continue;
        }
        LLVMValueRef stored = LLVMBuildLoad2(e->ir, type, from, "");
        LLVMSetAlignment(stored, bytes);
        rows[i] = value_loaded(e, stored, a->buffer->dtype);
    }
    transpose(e, n, rows);
    for (unsigned i = 0; i < n; i++) {
        at.at[loop] = i;
        *memo_slot(e, entry, &at) = rows[i];
    }
    return *memo_slot(e, entry, point);
}
