/* fault: data-dependent positions that leave their tensor. A read counts only where it is asked
 * for: under the conditions of the selections around it and the guards of its store. Before a nest
 * is emitted, every read that may fault learns the conditions that hold on all ways to it. */
#include "emit/internal.h"

#include <string.h>

enum { MOST_CONDITIONS = 8 }; /* further ones are left out: a fault too many */

typedef struct Condition {
    const Scalar *scalar; /* bool, or a READ */
    bool inside;          /* that the READ lies inside its tensor */
    const Guard *guard;   /* instead of a scalar */
    bool negated;
} Condition;

typedef struct Reached {
    size_t n;
    Condition at[MOST_CONDITIONS];
} Reached;

/* --- conditions ------------------------------------------------------------------------------- */
static bool equal(const Condition *a, const Condition *b)
{
    return a->scalar == b->scalar && a->guard == b->guard && a->inside == b->inside &&
           a->negated == b->negated;
}

/* Keeps what also holds on another way; true if something went. */
static bool intersect(Reached *known, const Reached *other)
{
    size_t n = 0, before = known->n;
    for (size_t i = 0; i < known->n; i++) {
        bool found = false;
        for (size_t k = 0; k < other->n && !found; k++)
            found = equal(&known->at[i], &other->at[k]);
        if (found)
            known->at[n++] = known->at[i];
    }
    known->n = n;
    return n < before;
}

static void reach_scalar(Emit *e, const Scalar *s, const Reached *way);

static void reach_position(Emit *e, const Position *p, const Reached *way)
{
    for (size_t i = 0; i < p->n && p->has_data; i++) {
        const Atom *atom = p->terms[i].atom;
        if (atom->kind == ATOM_DATA)
            reach_scalar(e, atom->data, way);
        else if (atom->of)
            reach_position(e, atom->of, way);
    }
}

static void reach_arm(Emit *e, const Scalar *s, const Reached *way, Condition condition)
{
    Reached arm = *way;
    if (arm.n < MOST_CONDITIONS)
        arm.at[arm.n++] = condition;
    reach_scalar(e, s, &arm);
}

static void reach_scalar(Emit *e, const Scalar *s, const Reached *way)
{
    if (s->kind == SCALAR_CONST)
        return;
    MemoEntry *entry = memo_scalar(e, s);
    if (entry->reached) {
        if (!intersect(entry->reached, way))
            return;
    } else {
        entry->reached = NEW(e->arena, Reached);
        *entry->reached = *way;
    }
    Reached now = *entry->reached;
    if (s->kind == SCALAR_FN && s->op == OP_SELECT) {
        reach_scalar(e, s->args[0], &now);
        reach_arm(e, s->args[1], &now, (Condition){.scalar = s->args[0]});
        reach_arm(e, s->args[2], &now, (Condition){.scalar = s->args[0], .negated = true});
        return;
    }
    for (size_t i = 0; s->kind == SCALAR_FN && i < s->n; i++)
        reach_scalar(e, s->args[i], &now);
    for (size_t i = 0; s->kind == SCALAR_READ && i < s->n; i++)
        reach_position(e, s->at[i], &now);
    if (s->kind != SCALAR_FN && s->kind != SCALAR_READ)
        reach_position(e, s->at[0], &now);
    if (s->kind == SCALAR_READ && s->fill)
        reach_arm(e, s->fill, &now, (Condition){.scalar = s, .inside = true, .negated = true});
}

void fault_prepare(Emit *e)
{
    for (size_t i = 0; e->fault && i < e->nest->n_stores; i++) {
        const KStore *store = &e->nest->stores[i];
        Reached way = {0};
        for (size_t g = 0; g < store->n_guards && g < MOST_CONDITIONS; g++)
            way.at[way.n++] = (Condition){.guard = &store->guards[g]};
        reach_scalar(e, store->body, &way);
    }
}

static const Reached *reached(Emit *e, const Scalar *read)
{
    return e->fault && read ? memo_scalar(e, read)->reached : NULL;
}

static uint64_t condition_deps(Emit *e, const Condition *c)
{
    if (c->guard)
        return deps_position(e, c->guard->position);
    uint64_t deps = 0;
    if (!c->inside)
        return memo_scalar(e, c->scalar)->deps;
    for (size_t d = 0; d < c->scalar->n; d++)
        deps |= deps_position(e, c->scalar->at[d]);
    return deps;
}

static LLVMValueRef emit_inside(Emit *e, const Scalar *read, const Point *point)
{
    const KBuffer *buffer = buffer_of(e, read->tensor);
    LLVMValueRef all = NULL;
    for (size_t d = 0; d < read->n; d++)
        all = both(e, all, emit_within(e, read->at[d], 0, buffer->dims[d], point));
    return all;
}

static LLVMValueRef emit_condition(Emit *e, const Condition *c, const Point *point)
{
    if (c->guard)
        return emit_within(e, c->guard->position, c->guard->lo, c->guard->hi, point);
    return c->inside ? emit_inside(e, c->scalar, point) : emit_scalar(e, c->scalar, point);
}

uint64_t fault_deps(Emit *e, const Scalar *read)
{
    const Reached *way = reached(e, read);
    uint64_t deps = 0;
    for (size_t i = 0; way && i < way->n; i++)
        deps |= condition_deps(e, &way->at[i]);
    return deps;
}

static LLVMValueRef emit_conditions(Emit *e, const Scalar *read, const Point *point)
{
    const Reached *way = reached(e, read);
    LLVMValueRef all = NULL;
    for (size_t i = 0; way && i < way->n; i++) {
        const Condition *c = &way->at[i];
        LLVMValueRef v = emit_condition(e, c, point);
        if (v && c->negated)
            v = LLVMBuildNot(e->ir, v, "");
        all = both(e, all, v);
    }
    return all;
}

/* --- the record ------------------------------------------------------------------------------- */
/* The row-major element of the tensor that the first data atom of a position reads. */
static LLVMValueRef data_element(Emit *e, const Position *p, const Point *point)
{
    const Scalar *read = NULL;
    for (size_t i = 0; i < p->n && !read; i++)
        read = p->terms[i].atom->kind == ATOM_DATA ? p->terms[i].atom->data : NULL;
    while (read && read->kind == SCALAR_FN) /* a conversion, an arithmetic expression */
        read = read->args[read->n - 1];
    LLVMValueRef sum = make_int(e->i64, 0);
    if (!read || read->kind != SCALAR_READ)
        return sum;
    const KBuffer *buffer = buffer_of(e, read->tensor);
    for (size_t d = 0; d < read->n; d++) {
        LLVMValueRef v = emit_position(e, read->at[d], point);
        v = LLVMBuildIntCast2(e->ir, v, type_lanes(e->i64, lanes_of(v)), true, "");
        LLVMValueRef pair[] = {
            LLVMBuildMul(e->ir, sum, make_int(LLVMTypeOf(sum), buffer->dims[d]), ""), v};
        match_lanes(e, 2, pair);
        sum = LLVMBuildAdd(e->ir, pair[0], pair[1], "");
    }
    return sum;
}

static LLVMValueRef largest(Emit *e, LLVMValueRef on, LLVMValueRef v)
{
    LLVMTypeRef type = LLVMTypeOf(v);
    v = LLVMBuildSelect(e->ir, on, v, LLVMConstNull(type), "");
    return intrinsic(e, "llvm.vector.reduce.umax", 1, &type, 1, &v);
}

/* {place + 1, position, extent, element} without a branch: what is in range goes to a dummy. Of a
 * vector: the largest wrong position as unsigned, and the last element that has it. */
void fault_record(Emit *e, LLVMValueRef outside, const AccessCheck *check, const Point *point)
{
    if (!e->fault)
        return;
    LLVMValueRef position = emit_position(e, check->position, point);
    LLVMValueRef element = data_element(e, check->position, point);
    unsigned lanes = lanes_of(outside);
    position = LLVMBuildIntCast2(e->ir, position, type_lanes(e->i64, lanes_of(position)), true, "");
    if (lanes > 1) {
        LLVMTypeRef type = LLVMTypeOf(outside);
        outside = both(e, outside, lane_mask(e, point));
        LLVMValueRef all = widen(e, position, lanes);
        position = largest(e, outside, all);
        LLVMValueRef same = LLVMBuildICmp(e->ir, LLVMIntEQ, all, widen(e, position, lanes), "");
        element = largest(e, both(e, same, outside), widen(e, element, lanes));
        outside = intrinsic(e, "llvm.vector.reduce.or", 1, &type, 1, &outside);
    }
    LLVMValueRef to = LLVMBuildSelect(e->ir, outside, e->fault, e->dummy, "");
    LLVMValueRef values[] = {make_int(e->i64, (int64_t)e->kernel->place + 1), position,
                             make_int(e->i64, check->extent), element};
    for (int i = 0; i < 4; i++) {
        LLVMValueRef index = make_int(e->i64, i);
        LLVMBuildStore(e->ir, values[i], LLVMBuildGEP2(e->ir, e->i64, to, &index, 1, ""));
    }
}

/* Once per point of the loops that the position and the conditions depend on. */
void fault_check(Emit *e, AccessCheck *check, const Point *point)
{
    if (!e->fault || *memo_slot(e, &check->checked, point))
        return;
    size_t before = place(e, deps_level(e, check->checked.deps));
    LLVMValueRef v = emit_position(e, check->position, point);
    LLVMValueRef last = make_int(LLVMTypeOf(v), check->extent - 1);
    LLVMValueRef outside = LLVMBuildICmp(e->ir, LLVMIntUGT, v, last, "");
    outside = both(e, outside, emit_conditions(e, check->read, point));
    fault_record(e, outside, check, point);
    place(e, before);
    *memo_slot(e, &check->checked, point) = v;
}
