/* nest: loops. Every loop is emitted as regions of whole steps: UNROLL and LANES loops have a main
 * region and, if the extent leaves a rest, one smaller region after it, so that all counts and
 * masks are constants; SERIAL loops too where several values stand in one trip. Loops run at least
 * once and test at their end; accumulators are carried by phis.
 */
#include "emit/internal.h"

#include <assert.h>
#include <string.h>

LLVMBasicBlockRef new_block(Emit *e, const char *name)
{
    return LLVMAppendBasicBlockInContext(e->llvm, e->function, name);
}

void enter_block(Emit *e, LLVMBasicBlockRef block)
{
    e->block = block;
    LLVMPositionBuilderAtEnd(e->ir, block);
}

/* --- instances: rows x vectors ---------------------------------------------------------------- */
size_t point_count(const Emit *e)
{
    size_t n = 1;
    for (size_t i = 0; i < e->depth; i++)
        n *= (size_t)e->levels[i + 1].count;
    return n;
}

/* Instance i of the open loops, the innermost loop's coordinate fastest. */
void point_set(const Emit *e, size_t i, Point *point)
{
    memset(point, 0, sizeof *point);
    for (size_t loop = e->depth; loop-- > 0;) {
        size_t count = (size_t)e->levels[loop + 1].count;
        point->at[loop] = (int64_t)(i % count);
        i /= count;
    }
}

/* --- map bodies ------------------------------------------------------------------------------- */
/* All values first, then all stores: a store may overwrite what the bodies read. */
static void emit_points(Emit *e)
{
    size_t n = point_count(e), n_stores = e->nest->n_stores;
    LLVMValueRef *values = NEW_ARRAY(e->arena, LLVMValueRef, n * n_stores);
    Point point;
    for (size_t i = 0; i < n * n_stores; i++) {
        point_set(e, i % n, &point);
        values[i] = emit_scalar(e, e->nest->stores[i / n].body, &point);
    }
    for (size_t i = 0; i < n * n_stores; i++) {
        const KStore *store = &e->nest->stores[i / n];
        point_set(e, i % n, &point);
        DType to = e->kernel->buffers[store->buffer].dtype;
        emit_store(e, store, &point, convert(e, values[i], store->body->dtype, to));
    }
}

/* --- loops ------------------------------------------------------------------------------------ */
static void emit_from(Emit *e, size_t loop, Sums *sums);

typedef struct Range {   /* values start, start + step, … of a loop */
    LLVMValueRef start;  /* i64 */
    int64_t step, trips; /* trips 0: up to `end`, known at run time, at least one */
    LLVMValueRef end;
    int64_t count;   /* coordinates per trip */
    int64_t turns;   /* values per trip, one after another: count is 1 */
    int64_t last_on; /* LANES: lanes of the last vector that are on */
} Range;

static void open_level(Emit *e, size_t loop, const Range *range, LLVMValueRef base, int64_t turn)
{
    e->depth = loop + 1;
    e->placed = e->depth;
    Level *level = &e->levels[e->depth];
    *level = (Level){.region = ++e->regions, .base = base, .count = range->count, .turn = turn};
    unsigned lanes = (unsigned)e->target->lanes;
    if (loop == e->lane_loop && range->last_on < lanes)
        level->masks[range->count - 1] = make_mask(e, lanes, range->last_on);
    place(e, e->depth);
}

static void close_level(Emit *e, size_t loop)
{
    e->levels[loop + 1].region = 0;
    e->depth = loop;
    e->placed = loop;
}

static LLVMValueRef offset(Emit *e, LLVMValueRef start, int64_t by)
{
    return by == 0 ? start : LLVMBuildAdd(e->ir, start, make_int(e->i64, by), "");
}

static void emit_trip(Emit *e, size_t loop, const Range *range, LLVMValueRef start, Sums *sums)
{
    for (int64_t turn = 0; turn < range->turns; turn++) {
        open_level(e, loop, range, offset(e, start, turn), turn);
        emit_from(e, loop + 1, sums);
        close_level(e, loop);
        LLVMPositionBuilderAtEnd(e->ir, e->block);
    }
}

static void emit_range(Emit *e, size_t loop, const Range *range, Sums *sums)
{
    if (range->trips == 1) {
        emit_trip(e, loop, range, range->start, sums);
        return;
    }
    LLVMBasicBlockRef before = e->block, body = new_block(e, "loop");
    size_t outer = e->depth;
    e->levels[outer].setup = before;
    LLVMValueRef end = range->end;
    if (range->trips)
        end = LLVMBuildAdd(e->ir, range->start, make_int(e->i64, range->step * range->trips), "");
    LLVMBuildBr(e->ir, body);
    enter_block(e, body);
    LLVMValueRef variable = LLVMBuildPhi(e->ir, e->i64, "i");
    LLVMValueRef first = range->start;
    LLVMAddIncoming(variable, &first, &before, 1);
    size_t n = sums ? sums->n : 0;
    LLVMValueRef *phis = NEW_ARRAY(e->arena, LLVMValueRef, n + 1);
    for (size_t i = 0; i < n; i++) {
        phis[i] = LLVMBuildPhi(e->ir, LLVMTypeOf(sums->at[i]), "");
        LLVMAddIncoming(phis[i], &sums->at[i], &before, 1);
        sums->at[i] = phis[i];
    }
    emit_trip(e, loop, range, variable, sums);
    e->levels[outer].setup = NULL;
    LLVMBasicBlockRef latch = e->block, after = new_block(e, "next");
    LLVMValueRef next = LLVMBuildAdd(e->ir, variable, make_int(e->i64, range->step), "");
    LLVMBuildCondBr(e->ir, LLVMBuildICmp(e->ir, LLVMIntSLT, next, end, ""), body, after);
    LLVMAddIncoming(variable, &next, &latch, 1);
    for (size_t i = 0; i < n; i++)
        LLVMAddIncoming(phis[i], &sums->at[i], &latch, 1);
    enter_block(e, after);
}

int64_t loop_step(const Emit *e, const KLoop *loop)
{
    if (loop->width)
        return loop->width;
    return loop->kind == KLOOP_LANES ? loop->tile * e->target->lanes : loop->tile;
}

/* `trips` trips of `size` values each. */
static void emit_region(Emit *e, size_t loop, LLVMValueRef start, int64_t trips, int64_t size,
                        Sums *sums)
{
    const KLoop *k = &e->nest->loops[loop];
    int64_t unit = k->kind == KLOOP_LANES ? e->target->lanes : 1;
    int64_t count = k->kind == KLOOP_SERIAL ? 1 : (size + unit - 1) / unit;
    Range range = {.start = start,
                   .step = size,
                   .trips = trips,
                   .count = count,
                   .turns = k->kind == KLOOP_SERIAL ? size : 1,
                   .last_on = size - (count - 1) * unit};
    emit_range(e, loop, &range, sums);
}

/* Main region of whole steps, then the rest. */
static void emit_steps(Emit *e, size_t loop, LLVMValueRef start, int64_t length, Sums *sums)
{
    int64_t step = loop_step(e, &e->nest->loops[loop]), full = length / step, rest = length % step;
    if (full)
        emit_region(e, loop, start, full, step, sums);
    if (rest)
        emit_region(e, loop, offset(e, start, full * step), 1, rest, sums);
}

int64_t loop_length(const Emit *e, const KLoop *loop)
{
    const Run *run = run_of(e, loop->var);
    int64_t values = run ? run->length : loop->var->extent;
    return loop->times ? values * loop->times : values;
}

static void emit_loop(Emit *e, size_t loop, Sums *sums)
{
    const KLoop *k = &e->nest->loops[loop];
    const Run *run = run_of(e, k->var);
    LLVMValueRef start = run ? run->start : LLVMConstInt(e->i64, 0, false);
    int64_t length = loop_length(e, k);
    if (k->folded) {
        emit_trip(e, loop, &(Range){.count = 1, .turns = 1, .last_on = e->target->lanes}, start, sums);
        return;
    }
    if (k->kind != KLOOP_SERIAL || k->tile > 1) {
        assert(length);
        emit_steps(e, loop, start, length, sums);
        return;
    }
    Range range = {.start = start,
                   .step = 1,
                   .trips = length,
                   .count = 1,
                   .turns = 1,
                   .end = run ? run->end : NULL,
                   .last_on = e->target->lanes};
    emit_range(e, loop, &range, sums);
}

/* Accumulators live from the outermost reduced loop to the end of the innermost. */
static void emit_from(Emit *e, size_t loop, Sums *sums)
{
    if (loop == e->nest->n_loops) {
        if (e->levels[loop].turn == 0)
            emit_prefetches(e);
        if (sums)
            sums_add(e, sums);
        else
            emit_points(e);
        return;
    }
    if (!e->nest->loops[loop].reduced || sums) {
        emit_loop(e, loop, sums);
        return;
    }
    Sums own = sums_begin(e);
    emit_loop(e, loop, &own);
    LLVMPositionBuilderAtEnd(e->ir, e->block);
    sums_finish(e, &own);
}

static void emit_loops(Emit *e)
{
    memset(e->levels, 0, sizeof e->levels);
    e->levels[0].region = ++e->regions;
    e->levels[0].count = 1;
    e->depth = e->placed = 0;
    e->memo = (Memo){0};
    e->n_steps = 0;
    place(e, 0);
    fault_prepare(e);
    emit_from(e, 0, NULL);
}

static bool one_step(const Emit *e, const KLoop *loop)
{
    int64_t step = loop->kind == KLOOP_SERIAL ? 1 : loop_step(e, loop);
    return !run_of(e, loop->var) && (loop->folded || loop_length(e, loop) <= step);
}

static bool sums_over(const Nest *nest, const Var *var)
{
    for (size_t i = 0; i < nest->n_loops; i++)
        if (nest->loops[i].var == var && nest->loops[i].reduced)
            return true;
    return false;
}

/* In other blocks than the first, sums go on from what is stored. */
static LLVMValueRef first_block(Emit *e, const Nest *nest)
{
    LLVMValueRef first = NULL;
    for (size_t i = e->kernel->n_chunk_loops; i < e->n_runs; i++) {
        const Run *run = &e->runs[i];
        if (run->first && sums_over(nest, run->var))
            first = first ? LLVMBuildAnd(e->ir, first, run->first, "") : run->first;
    }
    return first;
}

void emit_nest(Emit *e, const Nest *nest)
{
    assert(nest->n_loops <= MAX_LOOPS);
    e->nest = nest;
    e->first = first_block(e, nest);
    e->lane_loop = SIZE_MAX;
    e->once = 0;
    for (size_t i = 0; i < nest->n_loops; i++) {
        if (nest->loops[i].kind == KLOOP_LANES)
            e->lane_loop = i;
        if (one_step(e, &nest->loops[i]))
            e->once |= UINT64_C(1) << i;
    }
    emit_loops(e);
    LLVMPositionBuilderAtEnd(e->ir, e->block);
}
