/* position: index arithmetic. Uniform positions are i64; positions that differ between lanes are
 * vectors of i32 where their interval allows it. Divisors are constants: LLVM turns the divisions
 * into multiplications. */
#include "emit/internal.h"

#include <assert.h>

static bool fits_i32(int64_t min, int64_t max)
{
    return min >= INT32_MIN && max <= INT32_MAX;
}

/* The least multiple of the divisor that makes a dividend non-negative. Dividends come near
 * neither end of int64: they are sums of positions and i32 data. */
static int64_t shift_up(const Atom *atom)
{
    int64_t min = atom->of->min;
    return min >= 0 ? 0 : (-(min + 1) / atom->by + 1) * atom->by;
}

static bool atom_narrow(const Atom *atom)
{
    switch (atom->kind) {
    case ATOM_VAR:
        return atom->var->extent <= INT32_MAX;
    case ATOM_DIV:
    case ATOM_MOD:
        return fits_i32(atom->of->min, atom->of->max + shift_up(atom));
    case ATOM_DATA:
        return atom->data->dtype != DT_I64;
    }
    return false;
}

/* Sums in i32 wrap and come out right when every atom and the result fit. */
static bool position_narrow(const Position *p)
{
    for (size_t i = 0; i < p->n; i++)
        if (!atom_narrow(p->terms[i].atom) || !fits_i32(p->terms[i].coef, p->terms[i].coef))
            return false;
    return fits_i32(p->min, p->max) && fits_i32(p->constant, p->constant);
}

static LLVMValueRef resize(Emit *e, LLVMValueRef v, LLVMTypeRef element)
{
    unsigned bits = LLVMGetIntTypeWidth(element_of(v)), want = LLVMGetIntTypeWidth(element);
    LLVMTypeRef type = type_lanes(element, lanes_of(v));
    if (bits < want)
        return LLVMBuildSExt(e->ir, v, type, "");
    return bits > want ? LLVMBuildTrunc(e->ir, v, type, "") : v;
}

static LLVMValueRef scale(Emit *e, LLVMValueRef v, int64_t by)
{
    return by == 1 ? v : LLVMBuildMul(e->ir, v, make_int(LLVMTypeOf(v), by), "");
}

static LLVMValueRef add(Emit *e, LLVMValueRef sum, LLVMValueRef v)
{
    if (!sum)
        return v;
    LLVMValueRef both[] = {sum, v};
    match_lanes(e, 2, both);
    return LLVMBuildAdd(e->ir, both[0], both[1], "");
}

/* The variable of a loop at a coordinate: i64, or <lanes x i32/i64> for the LANES loop. */
static LLVMValueRef emit_var(Emit *e, const Var *var, const Point *point)
{
    size_t loop = loop_of(e, var);
    if (loop == SIZE_MAX) { /* fixed by the chunk or the block */
        const Run *run = run_of(e, var);
        if (run)
            return run->start;
        assert(var->extent == 1);
        return LLVMConstInt(e->i64, 0, false);
    }
    const Level *level = &e->levels[loop + 1];
    int64_t offset = point->at[loop];
    if (loop != e->lane_loop) {
        return offset == 0 ? level->base
                           : LLVMBuildAdd(e->ir, level->base, make_int(e->i64, offset), "");
    }
    unsigned lanes = (unsigned)e->target->lanes;
    LLVMTypeRef element = var->extent <= INT32_MAX ? e->i32 : e->i64;
    LLVMValueRef base = resize(e, level->base, element);
    LLVMValueRef lane = make_iota(e, element, lanes, 1);
    if (offset)
        base = LLVMBuildAdd(e->ir, base, make_int(element, offset * lanes), "");
    return LLVMBuildAdd(e->ir, widen(e, base, lanes), lane, "");
}

/* Floor division. Where it may be negative the dividend is shifted up by a multiple of the divisor;
 * all of it fits, because atom_narrow() looked at the interval with the shift. */
static LLVMValueRef emit_divmod(Emit *e, const Atom *atom, const Point *point)
{
    LLVMValueRef v = emit_position(e, atom->of, point);
    LLVMTypeRef element = lanes_of(v) > 1 && atom_narrow(atom) ? e->i32 : e->i64;
    v = resize(e, v, element);
    LLVMTypeRef type = LLVMTypeOf(v);
    int64_t shift = shift_up(atom);
    if (shift)
        v = LLVMBuildAdd(e->ir, v, make_int(type, shift), "");
    LLVMValueRef by = make_int(type, atom->by);
    if (atom->kind == ATOM_MOD)
        return LLVMBuildURem(e->ir, v, by, "");
    LLVMValueRef quotient = LLVMBuildUDiv(e->ir, v, by, "");
    return shift == 0 ? quotient
                      : LLVMBuildSub(e->ir, quotient, make_int(type, shift / atom->by), "");
}

static LLVMValueRef emit_data(Emit *e, const Scalar *data, const Point *point)
{
    LLVMValueRef v = convert(e, emit_scalar(e, data, point), data->dtype,
                             data->dtype == DT_I64 ? DT_I64 : DT_I32);
    return lanes_of(v) == 1 ? resize(e, v, e->i64) : v;
}

LLVMValueRef emit_atom(Emit *e, const Atom *atom, const Point *point)
{
    if (atom->kind == ATOM_VAR)
        return emit_var(e, atom->var, point);
    MemoEntry *entry = memo_atom(e, atom);
    LLVMValueRef *slot = memo_slot(e, entry, point);
    if (*slot)
        return *slot;
    size_t before = place(e, deps_level(e, entry->deps));
    LLVMValueRef v =
        atom->kind == ATOM_DATA ? emit_data(e, atom->data, point) : emit_divmod(e, atom, point);
    place(e, before);
    return *memo_slot(e, entry, point) = v;
}

LLVMValueRef emit_position(Emit *e, const Position *p, const Point *point)
{
    bool lanes = on_lanes(e, deps_position(e, p));
    LLVMTypeRef element = lanes && position_narrow(p) ? e->i32 : e->i64;
    LLVMValueRef uniform = p->constant ? make_int(element, p->constant) : NULL;
    LLVMValueRef varying = NULL;
    for (size_t i = 0; i < p->n; i++) {
        LLVMValueRef v = resize(e, emit_atom(e, p->terms[i].atom, point), element);
        v = scale(e, v, p->terms[i].coef);
        if (lanes_of(v) > 1)
            varying = add(e, varying, v);
        else
            uniform = add(e, uniform, v);
    }
    if (varying)
        return uniform ? add(e, varying, uniform) : varying;
    return uniform ? uniform : LLVMConstInt(element, 0, false);
}

/* lo <= p < hi as one unsigned comparison; only the ends that are not proved. */
LLVMValueRef emit_within(Emit *e, const Position *p, int64_t lo, int64_t hi, const Point *point)
{
    bool low = p->min < lo, high = p->max >= hi;
    if (!low && !high)
        return NULL;
    LLVMValueRef v = emit_position(e, p, point);
    LLVMTypeRef type = LLVMTypeOf(v);
    bool narrow = LLVMGetIntTypeWidth(element_of(v)) == 32;
    if (narrow && !fits_i32(lo, hi)) { /* an end outside i32 never cuts */
        low = low && lo >= INT32_MIN;
        high = high && hi <= INT32_MAX;
    }
    if (low && high) {
        LLVMValueRef from = lo ? LLVMBuildSub(e->ir, v, make_int(type, lo), "") : v;
        return LLVMBuildICmp(e->ir, LLVMIntULT, from, make_int(type, hi > lo ? hi - lo : 0), "");
    }
    if (low)
        return LLVMBuildICmp(e->ir, LLVMIntSGE, v, make_int(type, lo), "");
    if (high)
        return LLVMBuildICmp(e->ir, LLVMIntSLT, v, make_int(type, hi), "");
    return NULL;
}
