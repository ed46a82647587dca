/* memory: loads and stores. An Access is one read or write position by position: a linear address
 * over loop variables and other uniform atoms, the part that differs between lanes, and the
 * conditions under which the address is inside its tensor. No access leaves its buffer.
 *
 *   lanes step 0 (none)  scalar, broadcast late
 *   lanes step 1         vector, masked where lanes are off
 *   else                 gather; stores lane by lane in order
 */
#include "emit/internal.h"

#include <assert.h>

typedef struct AccessTerm {
    int64_t coef;                      /* elements */
    const Atom *atom;
} AccessTerm;
typedef struct Access {
    const KBuffer *buffer;
    LLVMValueRef pointer;
    int64_t constant;                  /* elements */
    size_t n, n_checks, n_clamped;
    AccessTerm *terms;                 /* uniform atoms, and VAR atoms of any loop */
    AccessTerm *varying;               /* lane-dependent atoms other than the variable itself */
    size_t n_varying;
    AccessCheck *checks;               /* outside: not accessed */
    AccessCheck *clamped;              /* outside: nearest end, and a fault is recorded */
    int64_t step;                      /* elements between lanes, of the VAR atom */
    bool gather, to_zeros;
    MemoEntry zeros;                   /* the pointer at zeros_level, or to the zeros */
    size_t zeros_level;
} Access;

static void access_add(Emit *e, Access *a, const Position *p, int64_t stride)
{
    if (stride == 0)
        return;
    a->constant += p->constant * stride;
    for (size_t i = 0; i < p->n; i++) {
        const Atom *atom = p->terms[i].atom;
        AccessTerm term = {.coef = p->terms[i].coef * stride, .atom = atom};
        uint64_t deps = atom->kind == ATOM_VAR ? 0 : memo_atom(e, atom)->deps;
        if (on_lanes(e, deps)) {
            a->varying[a->n_varying++] = term;
            continue;
        }
        size_t known = 0;
        while (known < a->n && a->terms[known].atom != atom)
            known++;
        if (known == a->n)
            a->terms[a->n++] = (AccessTerm){.atom = atom};
        a->terms[known].coef += term.coef;
    }
}

/* read: NULL of a store. */
static Access *access_new(Emit *e, const KBuffer *buffer, size_t rank, const Position *const *at,
                          const Scalar *read)
{
    Access *a = NEW(e->arena, Access);
    a->buffer = buffer;
    a->pointer = e->buffers[buffer - e->kernel->buffers];
    size_t n_terms = 1;
    for (size_t d = 0; d < rank; d++)
        n_terms += at[d]->n;
    a->terms = NEW_ARRAY(e->arena, AccessTerm, n_terms);
    a->varying = NEW_ARRAY(e->arena, AccessTerm, n_terms);
    a->checks = NEW_ARRAY(e->arena, AccessCheck, rank + 1);
    a->clamped = NEW_ARRAY(e->arena, AccessCheck, rank + 1);
    for (size_t d = 0; d < rank; d++) {
        int64_t stride = buffer->strides[d];
        AccessCheck check = {.position = at[d], .extent = buffer->dims[d], .stride = stride,
                             .read = read, .memo = {.deps = deps_position(e, at[d])}};
        check.checked.deps = check.memo.deps | fault_deps(e, read);
        bool proved = pos_in_range(at[d], buffer->dims[d]);
        if (!proved && read && !read->fill) {
            a->clamped[a->n_clamped++] = check;
            a->gather |= on_lanes(e, check.memo.deps);
            continue;
        }
        if (!proved)
            a->checks[a->n_checks++] = check;
        access_add(e, a, at[d], stride);
    }
    if (e->lane_loop != SIZE_MAX) {
        const Var *lane = e->nest->loops[e->lane_loop].var;
        for (size_t i = 0; i < a->n; i++)
            if (a->terms[i].atom->kind == ATOM_VAR && a->terms[i].atom->var == lane)
                a->step = a->terms[i].coef;
    }
    a->gather |= a->n_varying > 0 || (a->step != 0 && a->step != 1);
    return a;
}

const KBuffer *buffer_of(const Emit *e, NodeId tensor)
{
    for (size_t i = 0; i < e->kernel->n_buffers; i++)
        if (e->kernel->buffers[i].tensor == tensor)
            return &e->kernel->buffers[i];
    assert(false && "every tensor read has a buffer");
    return NULL;
}

LLVMValueRef lane_mask(const Emit *e, const Point *point)
{
    return e->lane_loop == SIZE_MAX
               ? NULL
               : e->levels[e->lane_loop + 1].masks[point->at[e->lane_loop]];
}

/* --- clamped positions ---------------------------------------------------------------------------- */
/* In the loop that the position depends on; its check once per loop of its conditions too. */
static LLVMValueRef clamp_position(Emit *e, AccessCheck *check, const Point *point)
{
    LLVMValueRef *slot = memo_slot(e, &check->memo, point);
    if (!*slot) {
        size_t before = place(e, deps_level(e, check->memo.deps));
        LLVMValueRef v = emit_position(e, check->position, point);
        LLVMTypeRef type = LLVMTypeOf(v);
        LLVMValueRef last = make_int(type, check->extent - 1), zero = make_int(type, 0);
        LLVMValueRef outside = LLVMBuildICmp(e->ir, LLVMIntUGT, v, last, "");
        LLVMValueRef low = LLVMBuildICmp(e->ir, LLVMIntSLT, v, zero, "");
        v = LLVMBuildSelect(e->ir, low, zero, LLVMBuildSelect(e->ir, outside, last, v, ""), "");
        place(e, before);
        slot = memo_slot(e, &check->memo, point);
        *slot = v;
    }
    LLVMValueRef v = *slot;
    fault_check(e, check, point);
    return v;
}

/* --- addresses ---------------------------------------------------------------------------------- */
static LLVMValueRef advance(Emit *e, LLVMValueRef pointer, LLVMValueRef bytes)
{
    return LLVMBuildGEP2(e->ir, e->i8, pointer, &bytes, 1, "");
}

/* pointer + bytes * v, placed in a loop and shared between accesses. */
static LLVMValueRef step_pointer(Emit *e, LLVMValueRef pointer, LLVMValueRef v, size_t level,
                                 int64_t bytes)
{
    uint64_t region = e->levels[level].region;
    size_t known = e->n_steps < 64 ? e->n_steps : 64;
    for (size_t i = 0; i < known; i++)
        if (e->steps[i].from == pointer && e->steps[i].by == v && e->steps[i].bytes == bytes &&
            e->steps[i].region == region)
            return e->steps[i].to;
    size_t before = place(e, level);
    LLVMValueRef to = advance(e, pointer, LLVMBuildMul(e->ir, v, make_int(e->i64, bytes), ""));
    place(e, before);
    size_t slot = e->n_steps++ % 64;
    e->steps[slot].from = pointer;
    e->steps[slot].by = v;
    e->steps[slot].to = to;
    e->steps[slot].bytes = bytes;
    e->steps[slot].region = region;
    return to;
}

/* The part of a loop variable that is the same in all rows and lanes; *rest: elements beside it. */
static LLVMValueRef loop_part(Emit *e, size_t loop, int64_t coef, const Point *point, int64_t *rest)
{
    int64_t rows = point->at[loop] * (loop == e->lane_loop ? e->target->lanes : 1);
    LLVMValueRef base = e->levels[loop + 1].base;
    *rest += coef * rows;
    if (!LLVMIsConstant(base))
        return base;
    *rest += coef * LLVMConstIntGetSExtValue(base);
    return NULL;
}

/* The level in which a term's value is known. */
static size_t term_level(Emit *e, const AccessTerm *term)
{
    const Atom *atom = term->atom;
    if (atom->kind != ATOM_VAR)
        return deps_level(e, memo_atom(e, atom)->deps);
    size_t loop = loop_of(e, atom->var);
    return loop == SIZE_MAX ? 0 : loop + 1;
}

/* Adds what levels from .. to contribute to the address of lane 0, outermost first; the constant
 * part last, so that rows share pointers. */
static LLVMValueRef walk_levels(Emit *e, const Access *a, const Point *point, LLVMValueRef pointer,
                                size_t from, size_t to)
{
    int64_t size = (int64_t)dtype_bytes(a->buffer->dtype);
    int64_t constant = from == 0 ? a->constant : 0;
    for (size_t level = from; level <= to; level++) {
        for (size_t i = 0; i < a->n; i++) {
            if (term_level(e, &a->terms[i]) != level)
                continue;
            const Atom *atom = a->terms[i].atom;
            size_t loop = atom->kind == ATOM_VAR ? loop_of(e, atom->var) : SIZE_MAX;
            LLVMValueRef v = loop == SIZE_MAX
                                 ? emit_atom(e, atom, point)
                                 : loop_part(e, loop, a->terms[i].coef, point, &constant);
            if (v)
                pointer = step_pointer(e, pointer, v, level, a->terms[i].coef * size);
        }
        for (size_t i = 0; i < a->n_clamped; i++) {
            AccessCheck *check = &a->clamped[i];
            if (deps_level(e, check->memo.deps) == level && !on_lanes(e, check->memo.deps))
                pointer = step_pointer(e, pointer, clamp_position(e, check, point), level,
                                       check->stride * size);
        }
    }
    return constant ? advance(e, pointer, make_int(e->i64, constant * size)) : pointer;
}

static LLVMValueRef access_pointer(Emit *e, const Access *a, const Point *point)
{
    return walk_levels(e, a, point, a->pointer, 0, e->depth);
}

/* Offsets of the lanes in elements from access_pointer(): <lanes x i32> or i64. */
static LLVMValueRef access_offsets(Emit *e, const Access *a, const Point *point)
{
    unsigned lanes = (unsigned)e->target->lanes;
    LLVMTypeRef element = a->buffer->elements > INT32_MAX ? e->i64 : e->i32;
    LLVMTypeRef type = type_lanes(element, lanes);
    LLVMValueRef sum = make_iota(e, element, lanes, a->step);
    for (size_t i = 0; i < a->n_varying + a->n_clamped; i++) {
        bool clamped = i >= a->n_varying;
        AccessCheck *check = clamped ? &a->clamped[i - a->n_varying] : NULL;
        if (clamped && !on_lanes(e, check->memo.deps))
            continue;
        LLVMValueRef v = clamped ? clamp_position(e, check, point)
                                 : emit_atom(e, a->varying[i].atom, point);
        v = LLVMBuildIntCast2(e->ir, v, type, true, "");
        int64_t coef = clamped ? check->stride : a->varying[i].coef;
        sum = LLVMBuildAdd(e->ir, sum, LLVMBuildMul(e->ir, v, make_int(type, coef), ""), "");
    }
    return sum;
}

/* --- loads ---------------------------------------------------------------------------------------- */
LLVMValueRef both(Emit *e, LLVMValueRef a, LLVMValueRef b)
{
    if (!a || !b)
        return a ? a : b;
    LLVMValueRef v[] = {a, b};
    match_lanes(e, 2, v);
    return LLVMBuildAnd(e->ir, v[0], v[1], "");
}

static LLVMValueRef load_scalar(Emit *e, const Access *a, LLVMValueRef pointer, LLVMValueRef ok)
{
    if (ok)                                       /* anywhere inside instead */
        pointer = LLVMBuildSelect(e->ir, ok, pointer, a->pointer, "");
    LLVMValueRef v = LLVMBuildLoad2(e->ir, type_stored(e, a->buffer->dtype, 1), pointer, "");
    LLVMSetAlignment(v, (unsigned)dtype_bytes(a->buffer->dtype));
    return v;
}

static LLVMValueRef load_lanes(Emit *e, const Access *a, LLVMValueRef pointer, LLVMValueRef mask)
{
    LLVMTypeRef type = type_stored(e, a->buffer->dtype, (unsigned)e->target->lanes);
    unsigned align = (unsigned)dtype_bytes(a->buffer->dtype);
    if (!mask) {
        LLVMValueRef v = LLVMBuildLoad2(e->ir, type, pointer, "");
        LLVMSetAlignment(v, align);
        return v;
    }
    LLVMTypeRef types[] = {type, e->ptr};
    LLVMValueRef args[] = {pointer, make_int(e->i32, align), mask, LLVMConstNull(type)};
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

/* Conditions to be inside: uniform ones are added to *ok, those of lanes to *mask. */
static void access_conditions(Emit *e, const Access *a, const Point *point, LLVMValueRef *ok,
                              LLVMValueRef *mask)
{
    for (size_t i = 0; i < a->n_checks; i++) {
        LLVMValueRef c = emit_within(e, a->checks[i].position, 0, a->checks[i].extent, point);
        LLVMValueRef *to = c && lanes_of(c) > 1 ? mask : ok;
        *to = both(e, *to, c);
    }
}

/* --- reads beside the tensor ------------------------------------------------------------------------ */
enum { ZEROS = 16384 };                           /* bytes */

static LLVMValueRef zeros(Emit *e)
{
    LLVMValueRef known = LLVMGetNamedGlobal(e->module, "zeros");
    if (known)
        return known;
    LLVMTypeRef type = LLVMArrayType2(e->i8, ZEROS);
    LLVMValueRef page = LLVMAddGlobal(e->module, type, "zeros");
    LLVMSetInitializer(page, LLVMConstNull(type));
    LLVMSetLinkage(page, LLVMInternalLinkage);
    LLVMSetAlignment(page, 64);
    return page;
}

/* Can the read of a fill of 0 go to the zeros instead, once for all loops inside the conditions?
 * Finds their level and the dependences of the pointer there. */
static bool goes_to_zeros(Emit *e, const Scalar *s, Access *a)
{
    double fill;
    if (a->gather || a->n_checks == 0 || !sc_is_const(s->fill, &fill) || fill != 0)
        return false;
    a->zeros.deps = 0;
    for (size_t i = 0; i < a->n_checks; i++) {
        if (on_lanes(e, a->checks[i].memo.deps))
            return false;
        a->zeros.deps |= a->checks[i].memo.deps;
    }
    a->zeros_level = deps_level(e, a->zeros.deps);
    int64_t span = e->target->lanes;              /* elements */
    for (size_t i = 0; i < a->n; i++) {
        const AccessTerm *term = &a->terms[i];
        bool inner = term_level(e, term) > a->zeros_level, var = term->atom->kind == ATOM_VAR;
        if (inner && (!var || term->coef < 0 || term->coef > ZEROS ||
                      term->atom->var->extent > ZEROS))
            return false;
        if (inner)
            span += term->coef * (term->atom->var->extent - 1);
        else if (!var)
            a->zeros.deps |= memo_atom(e, term->atom)->deps;
        else if (loop_of(e, term->atom->var) != SIZE_MAX)
            a->zeros.deps |= UINT64_C(1) << loop_of(e, term->atom->var);
    }
    return span * (int64_t)dtype_bytes(a->buffer->dtype) <= ZEROS;
}

static LLVMValueRef pointer_or_zeros(Emit *e, Access *a, const Point *point)
{
    LLVMValueRef *slot = memo_slot(e, &a->zeros, point), ok = NULL, mask = NULL;
    if (!*slot) {
        size_t before = place(e, a->zeros_level);
        access_conditions(e, a, point, &ok, &mask);
        LLVMValueRef pointer = walk_levels(e, a, point, a->pointer, 0, a->zeros_level);
        pointer = ok ? LLVMBuildSelect(e->ir, ok, pointer, zeros(e), "") : pointer;
        place(e, before);
        slot = memo_slot(e, &a->zeros, point);
        *slot = pointer;
    }
    return walk_levels(e, a, point, *slot, a->zeros_level + 1, e->depth);
}

LLVMValueRef emit_read(Emit *e, const Scalar *s, MemoEntry *entry, const Point *point)
{
    if (!entry->access) {
        entry->access = access_new(e, buffer_of(e, s->tensor), s->n, s->at, s);
        entry->access->to_zeros = goes_to_zeros(e, s, entry->access);
    }
    Access *a = entry->access;
    LLVMValueRef ok = NULL, inside = NULL, on = lane_mask(e, point), pointer, v;
    if (!a->to_zeros)
        access_conditions(e, a, point, &ok, &inside);
    pointer = a->to_zeros ? pointer_or_zeros(e, a, point) : access_pointer(e, a, point);
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

/* --- stores ----------------------------------------------------------------------------------------- */
static void store_to(Emit *e, const Access *a, bool accumulate, LLVMValueRef pointer,
                     LLVMValueRef value, LLVMValueRef mask)
{
    unsigned align = (unsigned)dtype_bytes(a->buffer->dtype);
    DType dtype = a->buffer->dtype;
    unsigned lanes = lanes_of(value);
    if (accumulate) {
        LLVMValueRef old = lanes > 1 ? load_lanes(e, a, pointer, mask)
                                     : load_scalar(e, a, pointer, NULL);
        LLVMValueRef pair[] = {value_loaded(e, old, dtype), value};
        value = emit_op(e, OP_ADD, dtype, dtype, 2, pair);
    }
    value = value_stored(e, value, dtype);
    if (!mask || lanes == 1) {
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
static void store_each(Emit *e, const Access *a, const KStore *store, const Point *point,
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
        store_to(e, a, store->accumulate, to, v, NULL);
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
    MemoEntry *entry = memo_store(e, store);
    const KBuffer *buffer = &e->kernel->buffers[store->buffer];
    if (!entry->access)
        entry->access = access_new(e, buffer, buffer->rank, store->left, NULL);
    const Access *a = entry->access;
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
        store_each(e, a, store, point, pointer, offsets, value, inside);
    } else {
        LLVMValueRef mask = lanes ? both(e, on, inside) : NULL;
        if (lanes)
            value = widen(e, value, (unsigned)e->target->lanes);
        store_to(e, a, store->accumulate, pointer, value, mask);
    }
    end_if(e, join);
}
