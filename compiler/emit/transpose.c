/* transpose: reads whose lanes lie apart in memory but whose elements along an unrolled loop lie side
 * by side: as many vectors as there are lanes are loaded along that loop and transposed in registers,
 * instead of as many gathers. Quarters of vectors are put into place as they are loaded, which costs
 * nothing; what is left are squares of four by four. */
#include "emit/internal.h"

/* A vector as its quarters: what the instructions of one quarter do, they do in all of them at once. */
enum { QUARTER = 4 };

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
        e->target->lanes < QUARTER || (dtype_bytes(a->buffer->dtype) != 4 && !dtype_is_short(a->buffer->dtype)))
        return SIZE_MAX;
    return loop_along(e, a);
}

/* Quarter by quarter, the lower or upper pairs of `size` elements of a and b in turn. */
static LLVMValueRef zip(Emit *e, LLVMValueRef a, LLVMValueRef b, unsigned size, bool upper)
{
    LLVMValueRef index[64];
    unsigned n = lanes_of(a);
    for (unsigned i = 0; i < n; i++) {
        unsigned in = i % QUARTER, pair = in / size;
        unsigned from = i - in + (upper ? QUARTER / 2 : 0) + pair / 2 * size + in % size;
        index[i] = LLVMConstInt(e->i32, from + pair % 2 * n, false);
    }
    return LLVMBuildShuffleVector(e->ir, a, b, LLVMConstVector(index, n), "");
}

/* Four vectors, in every quarter of which stand four rows, become four columns. */
static void transpose_quarters(Emit *e, LLVMValueRef *v)
{
    LLVMValueRef low = zip(e, v[0], v[1], 1, false), high = zip(e, v[0], v[1], 1, true);
    LLVMValueRef low2 = zip(e, v[2], v[3], 1, false), high2 = zip(e, v[2], v[3], 1, true);
    v[0] = zip(e, low, low2, 2, false);
    v[1] = zip(e, low, low2, 2, true);
    v[2] = zip(e, high, high2, 2, false);
    v[3] = zip(e, high, high2, 2, true);
}

/* Parts of 2^k vectors put behind each other. */
static LLVMValueRef concatenate(Emit *e, LLVMValueRef *parts, unsigned n)
{
    LLVMValueRef index[64];
    for (; n > 1; n /= 2) {
        unsigned width = 2 * lanes_of(parts[0]);
        for (unsigned i = 0; i < width; i++)
            index[i] = LLVMConstInt(e->i32, i, false);
        for (unsigned i = 0; i < n / 2; i++)
            parts[i] = LLVMBuildShuffleVector(e->ir, parts[2 * i], parts[2 * i + 1],
                                              LLVMConstVector(index, width), "");
    }
    return parts[0];
}

/* The same quarter of rows r, r + 4, r + 8 … side by side. */
static LLVMValueRef load_quarters(Emit *e, const Access *a, const LLVMValueRef *rows, unsigned r,
                                  unsigned quarter)
{
    unsigned n = (unsigned)e->target->lanes, bytes = (unsigned)dtype_bytes(a->buffer->dtype);
    LLVMTypeRef type = type_stored(e, a->buffer->dtype, QUARTER);
    LLVMValueRef parts[64 / QUARTER], by = make_int(e->i64, (int64_t)(quarter * QUARTER * bytes));
    for (unsigned g = 0; g < n / QUARTER; g++) {
        LLVMValueRef from = LLVMBuildGEP2(e->ir, e->i8, rows[g * QUARTER + r], &by, 1, "");
        parts[g] = LLVMBuildLoad2(e->ir, type, from, "");
        LLVMSetAlignment(parts[g], bytes);
    }
    return value_loaded(e, concatenate(e, parts, n / QUARTER), a->buffer->dtype);
}

/* Emits the reads of all coordinates of `loop`; returns the one asked for. Lanes that are off read
 * what the first lane reads. */
LLVMValueRef emit_transposed(Emit *e, const Access *a, MemoEntry *entry, size_t loop,
                             const Point *point)
{
    unsigned n = (unsigned)e->target->lanes, bytes = (unsigned)dtype_bytes(a->buffer->dtype);
    LLVMValueRef rows[64], on = lane_mask(e, point);
    Point at = *point;
    at.at[loop] = 0;
    LLVMValueRef first = access_pointer(e, a, &at);
    for (unsigned i = 0; i < n; i++) {
        bool off = on && LLVMConstIntGetZExtValue(LLVMGetAggregateElement(on, i)) == 0;
        LLVMValueRef by = make_int(e->i64, off ? 0 : (int64_t)i * a->step * bytes);
        rows[i] = LLVMBuildGEP2(e->ir, e->i8, first, &by, 1, "");
    }
    for (unsigned quarter = 0; quarter < n / QUARTER; quarter++) {
        LLVMValueRef columns[QUARTER];
        for (unsigned r = 0; r < QUARTER; r++)
            columns[r] = load_quarters(e, a, rows, r, quarter);
        transpose_quarters(e, columns);
        for (unsigned i = 0; i < QUARTER; i++) {
            at.at[loop] = quarter * QUARTER + i;
            *memo_slot(e, entry, &at) = columns[i];
        }
    }
    return *memo_slot(e, entry, point);
}
