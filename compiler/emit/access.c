/* access: where the elements of a read or a store lie. An Access is a linear address over loop
 * variables and other uniform atoms, the part that differs between lanes, and the conditions under
 * which the address is inside its tensor. No access leaves its buffer.
 */
#include "emit/internal.h"

#include <assert.h>

static void access_add(Emit *e, Access *a, const Position *p, int64_t stride, int64_t base)
{
    if (stride == 0 && base == 0)
        return;
    a->constant += p->constant * stride;
    for (size_t i = 0; i < p->n; i++) {
        const Atom *atom = p->terms[i].atom;
        AccessTerm term = {.coef = p->terms[i].coef * stride,
                           .base = p->terms[i].coef * base,
                           .atom = atom};
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
        a->terms[known].base += term.base;
    }
}

/* Scratch holds the parts of variables that the chunk and the blocks leave: index 0 is their start. */
static void access_from_starts(Emit *e, Access *a)
{
    size_t before = place(e, 0);
    for (size_t i = 0; i < a->n; i++) {
        const Atom *atom = a->terms[i].atom;
        const Run *run = atom->kind == ATOM_VAR ? run_of(e, atom->var) : NULL;
        if (!run)
            continue;
        int64_t bytes = -a->terms[i].base * (int64_t)dtype_bytes(a->buffer->dtype);
        LLVMValueRef by = LLVMBuildMul(e->ir, run->start, make_int(e->i64, bytes), "");
        a->pointer = LLVMBuildGEP2(e->ir, e->i8, a->pointer, &by, 1, "");
    }
    place(e, before);
}

Access *access_new(Emit *e, const KBuffer *buffer, size_t rank, const Position *const *at,
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
        AccessCheck check = {.position = at[d],
                             .extent = buffer->dims[d],
                             .stride = stride,
                             .read = read,
                             .memo = {.deps = deps_position(e, at[d])}};
        check.checked.deps = check.memo.deps | fault_deps(e, read);
        bool proved = buffer->relative || pos_in_range(at[d], buffer->dims[d]);
        if (!proved && read && !read->fill) {
            a->clamped[a->n_clamped++] = check;
            a->gather |= on_lanes(e, check.memo.deps);
            continue;
        }
        if (!proved)
            a->checks[a->n_checks++] = check;
        bool panels = buffer->panel > 0 && buffer->panel_at == d;
        access_add(e, a, at[d], stride, panels ? buffer->panel_stride / buffer->panel : stride);
    }
    if (buffer->relative)
        access_from_starts(e, a);
    if (e->lane_loop != SIZE_MAX) {
        const Var *lane = e->nest->loops[e->lane_loop].var;
        for (size_t i = 0; i < a->n; i++)
            if (a->terms[i].atom->kind == ATOM_VAR && a->terms[i].atom->var == lane)
                a->step = a->terms[i].coef;
    }
    a->gather |= a->n_varying > 0 || (a->step != 0 && a->step != 1);
    return a;
}

LLVMValueRef both(Emit *e, LLVMValueRef a, LLVMValueRef b)
{
    if (!a || !b)
        return a ? a : b;
    LLVMValueRef v[] = {a, b};
    match_lanes(e, 2, v);
    return LLVMBuildAnd(e->ir, v[0], v[1], "");
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
    return e->lane_loop == SIZE_MAX ? NULL
                                    : e->levels[e->lane_loop + 1].masks[point->at[e->lane_loop]];
}

/* --- clamped positions ------------------------------------------------------------------------ */
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

/* --- addresses -------------------------------------------------------------------------------- */
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
static LLVMValueRef loop_part(Emit *e, size_t loop, const AccessTerm *term, const Point *point,
                              int64_t *rest)
{
    int64_t rows = point->at[loop] * (loop == e->lane_loop ? e->target->lanes : 1);
    LLVMValueRef base = e->levels[loop + 1].base;
    *rest += term->coef * rows;
    if (!LLVMIsConstant(base))
        return base;
    *rest += term->base * LLVMConstIntGetSExtValue(base);
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
                                 : loop_part(e, loop, &a->terms[i], point, &constant);
            if (v)
                pointer = step_pointer(e, pointer, v, level, a->terms[i].base * size);
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

LLVMValueRef access_pointer(Emit *e, const Access *a, const Point *point)
{
    return walk_levels(e, a, point, a->pointer, 0, e->depth);
}

/* Offsets of the lanes in elements from access_pointer(): <lanes x i32> or i64. */
LLVMValueRef access_offsets(Emit *e, const Access *a, const Point *point)
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
        LLVMValueRef v =
            clamped ? clamp_position(e, check, point) : emit_atom(e, a->varying[i].atom, point);
        v = LLVMBuildIntCast2(e->ir, v, type, true, "");
        int64_t coef = clamped ? check->stride : a->varying[i].coef;
        sum = LLVMBuildAdd(e->ir, sum, LLVMBuildMul(e->ir, v, make_int(type, coef), ""), "");
    }
    return sum;
}

/* Conditions to be inside: uniform ones are added to *ok, those of lanes to *mask. */
void access_conditions(Emit *e, const Access *a, const Point *point, LLVMValueRef *ok,
                       LLVMValueRef *mask)
{
    for (size_t i = 0; i < a->n_checks; i++) {
        LLVMValueRef c = emit_within(e, a->checks[i].position, 0, a->checks[i].extent, point);
        LLVMValueRef *to = c && lanes_of(c) > 1 ? mask : ok;
        *to = both(e, *to, c);
    }
}

/* --- reads beside the tensor ------------------------------------------------------------------ */
enum { ZEROS = 16384 }; /* bytes */

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
bool access_to_zeros(Emit *e, const Scalar *s, Access *a)
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
    int64_t span = e->target->lanes; /* elements */
    for (size_t i = 0; i < a->n; i++) {
        const AccessTerm *term = &a->terms[i];
        bool inner = term_level(e, term) > a->zeros_level, var = term->atom->kind == ATOM_VAR;
        if (inner &&
            (!var || term->coef < 0 || term->coef > ZEROS || term->atom->var->extent > ZEROS))
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

LLVMValueRef access_or_zeros(Emit *e, Access *a, const Point *point)
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
