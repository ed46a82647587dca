/* reduce: accumulators of reducing nests, in registers. One per store and instance (row x vector),
 * two for argmax: value and position. When the LANES variable is itself reduced, every lane and
 * vector has its own accumulator; they are folded pairwise in a fixed order at the end. */
#include "emit/internal.h"

#include <assert.h>

static bool is_arg(ReduceOp op)
{
    return op == REDUCE_ARGMAX || op == REDUCE_ARGMIN;
}

/* Of positions among the reduced points: i32 where all of them fit. */
static DType position_dtype(const Emit *e)
{
    int64_t points = 1;
    for (size_t i = 0; i < e->nest->n_loops; i++) {
        const KLoop *loop = &e->nest->loops[i];
        if (loop->reduced && !CHECKED_MUL(points, loop->var->extent, &points))
            return DT_I64;
    }
    return points <= INT32_MAX ? DT_I32 : DT_I64;
}

/* Beyond all positions. */
static int64_t no_position(DType dtype)
{
    return dtype == DT_I32 ? INT32_MAX : INT64_MAX;
}

/* Narrow floats add up in f32, narrow ints and bools in the result's dtype. */
static DType sum_dtype(const Emit *e, const KStore *store)
{
    DType body = store->body->dtype;
    if (store->reduce != REDUCE_SUM && store->reduce != REDUCE_PROD)
        return body;
    if (dtype_is_float(body))
        return body == DT_F64 ? DT_F64 : DT_F32;
    return e->kernel->buffers[store->buffer].dtype;
}

static double identity(ReduceOp op, DType dtype)
{
    bool low = op == REDUCE_MAX || op == REDUCE_ARGMAX;
    switch (op) {
    case REDUCE_PROD:
    case REDUCE_ALL:
        return 1;
    case REDUCE_MAX:
    case REDUCE_ARGMAX:
    case REDUCE_MIN:
    case REDUCE_ARGMIN:
        if (dtype_is_float(dtype))
            return low ? -__builtin_inf() : __builtin_inf();
        switch (dtype) {
        case DT_I8:
            return low ? INT8_MIN : INT8_MAX;
        case DT_I32:
            return low ? INT32_MIN : INT32_MAX;
        case DT_U8:
            return low ? 0 : UINT8_MAX;
        default:
            return low ? 0 : 1; /* bool; i64 in sums_begin */
        }
    case REDUCE_NONE:
    case REDUCE_SUM:
    case REDUCE_ANY:
        return 0;
    }
    return 0;
}

static bool reduces_lanes(const Emit *e)
{
    return e->lane_loop != SIZE_MAX && e->nest->loops[e->lane_loop].reduced;
}

static size_t instances(const Emit *e)
{
    size_t n = point_count(e); /* left loops only: the reduced are not open */
    return reduces_lanes(e) ? n * (size_t)e->nest->loops[e->lane_loop].tile : n;
}

static LLVMValueRef start_value(Emit *e, const KStore *store, DType dtype, LLVMTypeRef type)
{
    if (dtype_is_float(dtype))
        return make_real(type, identity(store->reduce, dtype));
    if (dtype == DT_I64 && (store->reduce == REDUCE_MAX || store->reduce == REDUCE_ARGMAX))
        return make_int(type, INT64_MIN);
    if (dtype == DT_I64 && (store->reduce == REDUCE_MIN || store->reduce == REDUCE_ARGMIN))
        return make_int(type, INT64_MAX);
    (void)e;
    return make_int(type, (int64_t)identity(store->reduce, dtype));
}

/* In blocks of reduced variables: what is stored, in the first block (unless the store adds) the
 * values given. */
static void go_on(Emit *e, const KStore *store, size_t n, LLVMValueRef *values)
{
    LLVMValueRef *pointers = NEW_ARRAY(e->arena, LLVMValueRef, n);
    const Access *access = access_of_store(e, store);
    Point point;
    for (size_t i = 0; i < n; i++) {
        point_set(e, i, &point);
        pointers[i] = access_pointer(e, access, &point);
    }
    place(e, e->depth);
    LLVMBasicBlockRef before = e->block, later = new_block(e, "later"), join = new_block(e, "join");
    LLVMBuildCondBr(e->ir, store->accumulate ? LLVMConstInt(e->i1, 0, false) : e->first, join,
                    later);
    enter_block(e, later);
    LLVMValueRef *stored = NEW_ARRAY(e->arena, LLVMValueRef, n);
    for (size_t i = 0; i < n; i++) {
        point_set(e, i, &point);
        stored[i] = load_stored(e, access, pointers[i], &point);
    }
    LLVMBuildBr(e->ir, join);
    enter_block(e, join);
    for (size_t i = 0; i < n; i++) {
        LLVMValueRef phi = LLVMBuildPhi(e->ir, LLVMTypeOf(values[i]), "");
        LLVMValueRef from[] = {values[i], stored[i]};
        LLVMBasicBlockRef blocks[] = {before, later};
        LLVMAddIncoming(phi, from, blocks, 2);
        values[i] = phi;
    }
}

/* Layout: store by store; values, then positions for argmax. */
Sums sums_begin(Emit *e)
{
    size_t each = instances(e), n = 0;
    for (size_t s = 0; s < e->nest->n_stores; s++)
        n += is_arg(e->nest->stores[s].reduce) ? 2 * each : each;
    Sums sums = {.n = n, .at = NEW_ARRAY(e->arena, LLVMValueRef, n)};
    unsigned lanes = e->lane_loop == SIZE_MAX ? 1 : (unsigned)e->target->lanes;
    size_t at = 0;
    for (size_t s = 0; s < e->nest->n_stores; s++) {
        const KStore *store = &e->nest->stores[s];
        DType dtype = sum_dtype(e, store);
        LLVMValueRef start = start_value(e, store, dtype, type_of(e, dtype, lanes));
        for (size_t i = 0; i < each; i++)
            sums.at[at++] = start;
        if (e->first)
            go_on(e, store, each, sums.at + at - each);
        if (!is_arg(store->reduce))
            continue;
        for (size_t i = 0; i < each; i++)
            sums.at[at++] = make_int(type_of(e, position_dtype(e), lanes), no_position(position_dtype(e)));
    }
    return sums;
}

/* --- one step --------------------------------------------------------------------------------- */
static LLVMValueRef combine(Emit *e, ReduceOp op, DType dtype, LLVMValueRef a, LLVMValueRef b)
{
    LLVMValueRef pair[] = {a, b};
    switch (op) {
    case REDUCE_NONE:
        return b;
    case REDUCE_SUM:
        return emit_op(e, OP_ADD, dtype, dtype, 2, pair);
    case REDUCE_PROD:
        return emit_op(e, OP_MUL, dtype, dtype, 2, pair);
    case REDUCE_MAX:
    case REDUCE_ARGMAX:
        match_lanes(e, 2, pair);
        return emit_minmax(e, true, dtype, pair[0], pair[1]);
    case REDUCE_MIN:
    case REDUCE_ARGMIN:
        match_lanes(e, 2, pair);
        return emit_minmax(e, false, dtype, pair[0], pair[1]);
    case REDUCE_ANY:
        return emit_op(e, OP_OR, DT_BOOL, DT_BOOL, 2, pair);
    case REDUCE_ALL:
        return emit_op(e, OP_AND, DT_BOOL, DT_BOOL, 2, pair);
    }
    return NULL;
}

/* sum + a * b in one rounding where the machine has it: the one place where products are fused. */
static LLVMValueRef multiply_add(Emit *e, LLVMValueRef a, LLVMValueRef b, LLVMValueRef sum)
{
    LLVMValueRef args[] = {a, b, sum};
    match_lanes(e, 3, args);
    LLVMTypeRef type = LLVMTypeOf(sum);
    if (e->target->fma)
        return intrinsic(e, "llvm.fma", 1, &type, 3, args);
    return LLVMBuildFAdd(e->ir, sum, LLVMBuildFMul(e->ir, args[0], args[1], ""), "");
}

static bool is_zero(const Scalar *s)
{
    double value;
    return sc_is_const(s, &value) && value == 0;
}

/* sum + body; *mask collects the conditions of select(c, term, 0): other terms add nothing. */
static LLVMValueRef add_body(Emit *e, const Scalar *body, const Point *point, LLVMValueRef sum)
{
    DType dtype = body->dtype;
    if (body->kind == SCALAR_FN && body->op == OP_SELECT && is_zero(body->args[2])) {
        LLVMValueRef v[] = {emit_scalar(e, body->args[0], point),
                            add_body(e, body->args[1], point, sum), sum};
        match_lanes(e, 3, v);
        return LLVMBuildSelect(e->ir, v[0], v[1], v[2], "");
    }
    if (body->kind == SCALAR_FN && body->op == OP_MUL && dtype_is_float(dtype)) {
        size_t n = body->n - 1;
        LLVMValueRef *args = NEW_ARRAY(e->arena, LLVMValueRef, body->n);
        for (size_t i = 0; i <= n; i++)
            args[i] = emit_scalar(e, body->args[i], point);
        LLVMValueRef product = emit_op(e, OP_MUL, dtype, dtype, n, args);
        return multiply_add(e, product, args[n], sum);
    }
    return combine(e, REDUCE_SUM, dtype, sum, emit_scalar(e, body, point));
}

/* Where this point stands in the row-major order of the reduced loops, by lane. */
static LLVMValueRef reduced_position(Emit *e, const Point *point)
{
    LLVMTypeRef type = type_of(e, position_dtype(e), 1);
    LLVMValueRef index = LLVMConstInt(type, 0, false);
    for (size_t i = 0; i < e->nest->n_loops; i++) {
        const KLoop *loop = &e->nest->loops[i];
        if (!loop->reduced)
            continue;
        LLVMValueRef v = convert(e, e->levels[i + 1].base, DT_I64, position_dtype(e));
        if (i == e->lane_loop) {
            unsigned lanes = (unsigned)e->target->lanes;
            v = LLVMBuildAdd(e->ir, v, make_int(type, point->at[i] * (int64_t)lanes), "");
            v = LLVMBuildAdd(e->ir, widen(e, v, lanes), make_iota(e, type, lanes, 1), "");
        }
        index = LLVMBuildMul(e->ir, index, make_int(LLVMTypeOf(index), loop->var->extent), "");
        LLVMValueRef pair[] = {index, v};
        match_lanes(e, 2, pair);
        index = LLVMBuildAdd(e->ir, pair[0], pair[1], "");
    }
    return index;
}

/* b wins when it is better, or as good and earlier, which where points come in order it never is. NaN
 * never wins. */
static LLVMValueRef wins(Emit *e, ReduceOp op, DType dtype, LLVMValueRef a, LLVMValueRef at_a,
                         LLVMValueRef b, LLVMValueRef at_b)
{
    LLVMValueRef better[] = {op == REDUCE_ARGMAX ? a : b, op == REDUCE_ARGMAX ? b : a};
    LLVMValueRef equal[] = {a, b};
    LLVMValueRef first = emit_op(e, OP_LT, DT_BOOL, dtype, 2, better);
    if (!reduces_lanes(e))
        return first;
    LLVMValueRef same = emit_op(e, OP_EQ, DT_BOOL, dtype, 2, equal);
    LLVMValueRef earlier = LLVMBuildICmp(e->ir, LLVMIntSLT, at_b, at_a, "");
    return LLVMBuildOr(e->ir, first, LLVMBuildAnd(e->ir, same, earlier, ""), "");
}

static void pick_winner(Emit *e, ReduceOp op, DType dtype, LLVMValueRef *value, LLVMValueRef *at,
                        LLVMValueRef candidate, LLVMValueRef position)
{
    LLVMValueRef win = wins(e, op, dtype, *value, *at, candidate, position);
    *value = LLVMBuildSelect(e->ir, win, candidate, *value, "");
    *at = LLVMBuildSelect(e->ir, win, position, *at, "");
}

/* Lanes of the last vector that are on, where lanes are reduced: others add nothing. */
static LLVMValueRef term_mask(Emit *e, const Point *point)
{
    return reduces_lanes(e) ? lane_mask(e, point) : NULL;
}

static void add_term(Emit *e, const KStore *store, const Point *point, LLVMValueRef *value,
                     LLVMValueRef *at)
{
    DType dtype = sum_dtype(e, store);
    LLVMValueRef old = *value, old_at = at ? *at : NULL, mask = term_mask(e, point);
    bool same = store->body->dtype == dtype;
    if (store->reduce == REDUCE_SUM && same && dtype_is_float(dtype)) {
        *value = add_body(e, store->body, point, old);
    } else {
        LLVMValueRef v = convert(e, emit_scalar(e, store->body, point), store->body->dtype, dtype);
        v = widen(e, v, lanes_of(old));
        if (at)
            pick_winner(e, store->reduce, dtype, value, at, v,
                        widen(e, reduced_position(e, point), lanes_of(old)));
        else
            *value = combine(e, store->reduce, dtype, old, v);
    }
    if (!mask)
        return;
    *value = LLVMBuildSelect(e->ir, mask, *value, old, "");
    if (at)
        *at = LLVMBuildSelect(e->ir, mask, *at, old_at, "");
}

/* Index of an instance among the accumulators: coordinates of the left loops, then the vector of
 * a reduced LANES loop, whose full tile has accumulators even in the rest region. */
static size_t sum_index(const Emit *e, const Point *point)
{
    size_t index = 0;
    for (size_t i = 0; i < e->depth; i++) {
        const KLoop *loop = &e->nest->loops[i];
        if (loop->reduced && i != e->lane_loop)
            continue;
        size_t count = (size_t)(loop->reduced ? loop->tile : e->levels[i + 1].count);
        index = index * count + (size_t)point->at[i];
    }
    return index;
}

static size_t sums_each(const Emit *e, const Sums *sums)
{
    size_t parts = 0;
    for (size_t s = 0; s < e->nest->n_stores; s++)
        parts += is_arg(e->nest->stores[s].reduce) ? 2 : 1;
    return sums->n / parts;
}

void sums_add(Emit *e, Sums *sums)
{
    size_t n = point_count(e), each = sums_each(e, sums), first = 0;
    for (size_t s = 0; s < e->nest->n_stores; s++) {
        const KStore *store = &e->nest->stores[s];
        bool arg = is_arg(store->reduce);
        for (size_t i = 0; i < n; i++) {
            Point point;
            point_set(e, i, &point);
            size_t at = first + sum_index(e, &point);
            add_term(e, store, &point, &sums->at[at], arg ? &sums->at[at + each] : NULL);
        }
        first += arg ? 2 * each : each;
    }
}

/* --- the end ---------------------------------------------------------------------------------- */
static LLVMValueRef half(Emit *e, LLVMValueRef v, unsigned from, unsigned n)
{
    LLVMValueRef index[64];
    for (unsigned i = 0; i < n; i++)
        index[i] = LLVMConstInt(e->i32, from + i, false);
    if (n == 1)
        return LLVMBuildExtractElement(e->ir, v, index[0], "");
    return LLVMBuildShuffleVector(e->ir, v, LLVMGetPoison(LLVMTypeOf(v)), LLVMConstVector(index, n),
                                  "");
}

static void fold_pair(Emit *e, ReduceOp op, DType dtype, LLVMValueRef *value, LLVMValueRef *at,
                      LLVMValueRef other, LLVMValueRef other_at)
{
    if (at)
        pick_winner(e, op, dtype, value, at, other, other_at);
    else
        *value = combine(e, op, dtype, *value, other);
}

/* Vectors 0+1, 2+3, …, then those sums the same way; then the halves of the last vector. */
static void fold_lanes(Emit *e, ReduceOp op, DType dtype, size_t n, LLVMValueRef *values,
                       LLVMValueRef *at)
{
    for (; n > 1; n = (n + 1) / 2) {
        for (size_t i = 0; i < n / 2; i++) {
            values[i] = values[2 * i];
            if (at)
                at[i] = at[2 * i];
            fold_pair(e, op, dtype, &values[i], at ? &at[i] : NULL, values[2 * i + 1],
                      at ? at[2 * i + 1] : NULL);
        }
        if (n % 2) {
            values[n / 2] = values[n - 1];
            if (at)
                at[n / 2] = at[n - 1];
        }
    }
    for (unsigned lanes = lanes_of(values[0]); lanes > 1; lanes /= 2) {
        LLVMValueRef high = half(e, values[0], lanes / 2, lanes / 2);
        LLVMValueRef high_at = at ? half(e, at[0], lanes / 2, lanes / 2) : NULL;
        values[0] = half(e, values[0], 0, lanes / 2);
        if (at)
            at[0] = half(e, at[0], 0, lanes / 2);
        fold_pair(e, op, dtype, &values[0], at, high, high_at);
    }
}

/* The result as the buffer's dtype; nothing won (all NaN or all -inf): position 0. */
static LLVMValueRef result(Emit *e, const KStore *store, LLVMValueRef value, LLVMValueRef at)
{
    DType to = e->kernel->buffers[store->buffer].dtype;
    if (!at)
        return convert(e, value, sum_dtype(e, store), to);
    LLVMTypeRef type = LLVMTypeOf(at);
    DType from = position_dtype(e);
    LLVMValueRef none = LLVMBuildICmp(e->ir, LLVMIntEQ, at, make_int(type, no_position(from)), "");
    return convert(e, LLVMBuildSelect(e->ir, none, make_int(type, 0), at, ""), from, to);
}

void sums_finish(Emit *e, const Sums *sums)
{
    size_t n = point_count(e), each = sums_each(e, sums), first = 0, wide = each / n;
    for (size_t s = 0; s < e->nest->n_stores; s++) {
        const KStore *store = &e->nest->stores[s];
        bool arg = is_arg(store->reduce);
        for (size_t i = 0; i < n; i++) {
            Point point;
            point_set(e, i, &point);
            LLVMValueRef *values = &sums->at[first + i * wide];
            LLVMValueRef *at = arg ? &sums->at[first + each + i * wide] : NULL;
            if (reduces_lanes(e))
                fold_lanes(e, store->reduce, sum_dtype(e, store), wide, values, at);
            LLVMValueRef v = result(e, store, values[0], at ? at[0] : NULL);
            emit_store(e, store, &point, v);
        }
        first += arg ? 2 * each : each;
    }
}
