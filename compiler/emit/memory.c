/* memory: loads and stores.
 *
 *   lanes step 0 (none)  scalar, broadcast late
 *   lanes step 1         vector, masked where lanes are off
 *   else                 gather, or transposed vectors; stores lane by lane in order
 */
#include "emit/internal.h"

/* --- loads ------------------------------------------------------------------------------------ */
static LLVMValueRef load_scalar(Emit *e, const Access *a, LLVMValueRef pointer, LLVMValueRef ok)
{
    if (ok) /* anywhere inside instead */
        pointer = LLVMBuildSelect(e->ir, ok, pointer, a->pointer, "");
    LLVMValueRef v = LLVMBuildLoad2(e->ir, type_stored(e, a->buffer->dtype, 1), pointer, "");
    LLVMSetAlignment(v, (unsigned)dtype_bytes(a->buffer->dtype));
    return v;
}

/* The lanes that are on, if they are known now and the first ones (make_mask); 0: they are not, or masked
 * instructions are fast. So many are loaded and stored in pieces of powers of two. */
static unsigned lanes_on(const Emit *e, LLVMValueRef mask)
{
    unsigned on = 0, lanes = (unsigned)e->target->lanes;
    if (e->target->masks || !LLVMIsConstant(mask))
        return 0;
    for (unsigned i = 0; i < lanes; i++) {
        LLVMValueRef lane = LLVMGetAggregateElement(mask, i);
        if (!LLVMIsAConstantInt(lane) || (LLVMConstIntGetZExtValue(lane) != 0 && on < i))
            return 0;
        on += LLVMConstIntGetZExtValue(lane) != 0;
    }
    return on;
}

/* The first n lanes of v, or v with more lanes, which are 0. */
static LLVMValueRef with_lanes(Emit *e, LLVMValueRef v, unsigned n)
{
    LLVMValueRef index[64];
    unsigned has = lanes_of(v);
    for (unsigned i = 0; i < n; i++)
        index[i] = LLVMConstInt(e->i32, i < has ? i : has, false);
    return LLVMBuildShuffleVector(e->ir, v, LLVMConstNull(LLVMTypeOf(v)), LLVMConstVector(index, n),
                                  "");
}

static LLVMValueRef load_whole(Emit *e, const Access *a, LLVMValueRef pointer, unsigned lanes)
{
    LLVMValueRef v = LLVMBuildLoad2(e->ir, type_lanes(type_stored(e, a->buffer->dtype, 1), lanes),
                                    pointer, "");
    LLVMSetAlignment(v, (unsigned)dtype_bytes(a->buffer->dtype));
    return v;
}

static LLVMValueRef load_lanes(Emit *e, const Access *a, LLVMValueRef pointer, LLVMValueRef mask)
{
    unsigned lanes = (unsigned)e->target->lanes, on = mask ? lanes_on(e, mask) : lanes;
    if (on == lanes)
        return load_whole(e, a, pointer, lanes);
    if (on > 1)
        return with_lanes(e, load_whole(e, a, pointer, on), lanes);
    LLVMTypeRef type = type_stored(e, a->buffer->dtype, lanes), types[] = {type, e->ptr};
    LLVMValueRef args[] = {pointer, make_int(e->i32, (int64_t)dtype_bytes(a->buffer->dtype)), mask,
                           LLVMConstNull(type)};
    return intrinsic(e, "llvm.masked.load", 2, types, 4, args);
}

static LLVMValueRef load_gather(Emit *e, const Access *a, LLVMValueRef pointer,
                                LLVMValueRef offsets, LLVMValueRef mask)
{
    unsigned lanes = (unsigned)e->target->lanes;
    LLVMTypeRef element = type_stored(e, a->buffer->dtype, 1), type = type_lanes(element, lanes);
    LLVMValueRef pointers = LLVMBuildGEP2(e->ir, element, pointer, &offsets, 1, "");
    LLVMTypeRef types[] = {type, LLVMTypeOf(pointers)};
    LLVMValueRef args[] = {pointers, make_int(e->i32, (int64_t)dtype_bytes(a->buffer->dtype)),
                           mask ? mask : make_mask(e, lanes, lanes), LLVMConstNull(type)};
    return intrinsic(e, "llvm.masked.gather", 2, types, 4, args);
}

Access *access_of_read(Emit *e, const Scalar *s, MemoEntry *entry)
{
    if (!entry->access) {
        entry->access = access_new(e, buffer_of(e, s->tensor), s->n, s->at, s);
        entry->access->to_zeros = access_to_zeros(e, s, entry->access);
    }
    return entry->access;
}

LLVMValueRef emit_read(Emit *e, const Scalar *s, MemoEntry *entry, const Point *point)
{
    Access *a = access_of_read(e, s, entry);
    size_t along = a->gather ? transpose_loop(e, a) : SIZE_MAX;
    if (along != SIZE_MAX)
        return emit_transposed(e, a, entry, along, point);
    LLVMValueRef ok = NULL, inside = NULL, on = lane_mask(e, point), pointer, v;
    if (!a->to_zeros)
        access_conditions(e, a, point, &ok, &inside);
    pointer = a->to_zeros ? access_or_zeros(e, a, point) : access_pointer(e, a, point);
    if (a->step == 0 && !a->gather && !inside) {
        v = load_scalar(e, a, pointer, ok);
    } else {
        LLVMValueRef mask = both(e, both(e, on, inside), ok);
        if (mask)
            mask = widen(e, mask, (unsigned)e->target->lanes);
        if (!a->gather && a->step == 1)
            v = load_lanes(e, a, pointer, mask);
        else
            v = load_gather(e, a, pointer, access_offsets(e, a, point), mask);
    }
    v = value_loaded(e, v, a->buffer->dtype);
    LLVMValueRef valid = both(e, ok, inside);
    double zero;
    if (!valid || (lanes_of(v) > 1 && sc_is_const(s->fill, &zero) && zero == 0))
        return v;
    LLVMValueRef fill = convert(e, emit_scalar(e, s->fill, point), s->fill->dtype, s->dtype);
    LLVMValueRef all[] = {valid, v, fill};
    match_lanes(e, 3, all);
    return LLVMBuildSelect(e->ir, all[0], all[1], all[2], "");
}

/* --- stores ----------------------------------------------------------------------------------- */
const Access *access_of_store(Emit *e, const KStore *store)
{
    MemoEntry *entry = memo_store(e, store);
    const KBuffer *buffer = &e->kernel->buffers[store->buffer];
    if (!entry->access)
        entry->access = access_new(e, buffer, buffer->rank, store->left, NULL);
    return entry->access;
}

LLVMValueRef load_stored(Emit *e, const Access *a, LLVMValueRef pointer, const Point *point)
{
    LLVMValueRef on = lane_mask(e, point);
    LLVMValueRef v = a->gather      ? load_gather(e, a, pointer, access_offsets(e, a, point), on)
                     : a->step == 1 ? load_lanes(e, a, pointer, on)
                                    : load_scalar(e, a, pointer, NULL);
    return value_loaded(e, v, a->buffer->dtype);
}

static void store_to(Emit *e, const Access *a, bool accumulate, LLVMValueRef pointer,
                     LLVMValueRef value, LLVMValueRef mask)
{
    unsigned align = (unsigned)dtype_bytes(a->buffer->dtype);
    DType dtype = a->buffer->dtype;
    unsigned lanes = lanes_of(value);
    if (accumulate) {
        LLVMValueRef old =
            lanes > 1 ? load_lanes(e, a, pointer, mask) : load_scalar(e, a, pointer, NULL);
        LLVMValueRef pair[] = {value_loaded(e, old, dtype), value};
        value = emit_op(e, OP_ADD, dtype, dtype, 2, pair);
    }
    value = value_stored(e, value, dtype);
    unsigned on = mask && lanes > 1 ? lanes_on(e, mask) : lanes;
    if (on > 1 && on < lanes)
        value = with_lanes(e, value, on);
    if (on > 1 || lanes == 1) {
        LLVMSetAlignment(LLVMBuildStore(e->ir, value, pointer), align);
        return;
    }
    LLVMTypeRef types[] = {LLVMTypeOf(value), e->ptr};
    LLVMValueRef args[] = {value, pointer, make_int(e->i32, align), mask};
    intrinsic(e, "llvm.masked.store", 2, types, 4, args);
}

/* Emits `if (condition) { … }` around what comes until end_if. NULL: always. */
static LLVMBasicBlockRef begin_if(Emit *e, LLVMValueRef condition)
{
    if (!condition)
        return NULL;
    LLVMBasicBlockRef then = new_block(e, "then"), join = new_block(e, "join");
    LLVMBuildCondBr(e->ir, condition, then, join);
    enter_block(e, then);
    return join;
}

static void end_if(Emit *e, LLVMBasicBlockRef join)
{
    if (!join)
        return;
    LLVMBuildBr(e->ir, join);
    enter_block(e, join);
}

/* Lane by lane in order: strided or scattered elements, possibly the same one twice. */
static void store_each(Emit *e, const Access *a, bool adds, const Point *point,
                       LLVMValueRef pointer, LLVMValueRef offsets, LLVMValueRef value,
                       LLVMValueRef mask)
{
    unsigned lanes = (unsigned)e->target->lanes;
    LLVMValueRef on = lane_mask(e, point);
    LLVMTypeRef element = type_stored(e, a->buffer->dtype, 1);
    value = widen(e, value, lanes);
    for (unsigned i = 0; i < lanes; i++) {
        LLVMValueRef lane = make_int(e->i32, i), active = NULL;
        if (on && LLVMConstIntGetZExtValue(LLVMGetAggregateElement(on, i)) == 0)
            break;
        if (mask)
            active = LLVMBuildExtractElement(e->ir, mask, lane, "");
        LLVMBasicBlockRef join = begin_if(e, active);
        LLVMValueRef offset = LLVMBuildExtractElement(e->ir, offsets, lane, "");
        LLVMValueRef to = LLVMBuildGEP2(e->ir, element, pointer, &offset, 1, "");
        LLVMValueRef v = LLVMBuildExtractElement(e->ir, value, lane, "");
        store_to(e, a, adds, to, v, NULL);
        end_if(e, join);
    }
}

/* A store beside its tensor because of data, where the guards hold, is a fault. */
static void check_data(Emit *e, const Access *a, const Point *point, LLVMValueRef ok,
                       LLVMValueRef inside)
{
    for (size_t i = 0; i < a->n_checks; i++) {
        const AccessCheck *check = &a->checks[i];
        LLVMValueRef c = emit_within(e, check->position, 0, check->extent, point);
        if (!c || !check->position->has_data)
            continue;
        LLVMValueRef outside = LLVMBuildNot(e->ir, c, "");
        fault_record(e, both(e, outside, both(e, ok, inside)), check, point);
    }
}

/* Guards and positions outside the tensor leave elements out. */
void emit_store(Emit *e, const KStore *store, const Point *point, LLVMValueRef value)
{
    const Access *a = access_of_store(e, store);
    bool adds = store->accumulate && !(e->first && store->reduce != REDUCE_NONE);
    bool lanes = a->gather || a->step != 0;
    LLVMValueRef ok = NULL, inside = NULL;
    for (size_t i = 0; i < store->n_guards; i++) {
        const Guard *g = &store->guards[i];
        LLVMValueRef c = emit_within(e, g->position, g->lo, g->hi, point);
        LLVMValueRef *to = c && lanes_of(c) > 1 ? &inside : &ok;
        *to = both(e, *to, c);
    }
    check_data(e, a, point, ok, inside);
    access_conditions(e, a, point, &ok, &inside);
    LLVMValueRef on = lane_mask(e, point);
    LLVMValueRef pointer = access_pointer(e, a, point);
    bool each = a->gather || (a->step == 0 && (inside || lanes_of(value) > 1));
    LLVMValueRef offsets = each ? access_offsets(e, a, point) : NULL;
    LLVMBasicBlockRef join = begin_if(e, ok);
    if (each) {
        store_each(e, a, adds, point, pointer, offsets, value, inside);
    } else {
        LLVMValueRef mask = lanes ? both(e, on, inside) : NULL;
        if (lanes)
            value = widen(e, value, (unsigned)e->target->lanes);
        store_to(e, a, adds, pointer, value, mask);
    }
    end_if(e, join);
}
