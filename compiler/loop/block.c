/* What of a contraction is done in blocks that stay in cache, and which operands are packed: copied
 * block by block into scratch, in the order in which the register tiles read them (fusion.md 4.2,
 * kernels.md 2 and 10). By rule from extents, strides and the target record.
 *
 * The contraction is out[m, n] = sum[k] S[m, k] * V[k, n]: V has the lanes variable, S is broadcast.
 * m, n and k may be several variables each, of which S and V may use sums (convolutions).
 *
 *   block k                       partial sums in the output
 *     pack S                      [rows of a tile] innermost, panels of one tile's rows
 *     block n by one tile         other variables of n by 1
 *       pack V                    [lanes of a tile] innermost
 *       nest: tiles of m
 *
 * or, where one block holds all of k and of n, with what the kernel does after the sums:
 *
 *   pack V
 *   block of rows of m
 *     pack S                      if it is computed: as it lies
 *     nest: tiles of m
 *     nests over the finished sums
 */
#include "loop/internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct Contraction {
    WorkKernel *work;
    size_t index;                /* of its nest */
    const KStore *store;
    const Scalar *s, *v;         /* READs */
    const Var *lanes, *row;      /* row: the unrolled variable with the tile's rows; may be NULL */
    int64_t width, rows;         /* of a register tile */
    double m, n, k;              /* extents */
    const Operand *map_s, *map_v; /* what is packed is computed; NULL: copied */
    bool pack_s, pack_v;
    const Var *along;            /* S is packed as it lies, along this variable; NULL: by tiles of rows */
    bool v_whole;                /* all columns of the chunk at once, before the rows */
    bool passes;                 /* both lie along m and n: k goes over them once */
    int64_t most_k;              /* of a block; INT64_MAX: all */
    const Var *rows_of;          /* blocks of rows, so many values of this variable each; NULL: none */
    int64_t rows_by;
} Contraction;

static WorkNest *nest_of(const Contraction *c)
{
    return &c->work->nests.at[c->index];
}

static int64_t stride_in(const WorkKernel *work, const Scalar *read, const Var *var)
{
    int64_t stride;
    if (!access_stride(work_buffer(work, read->tensor), read->at, var, &stride))
        return INT64_MAX;
    return llabs(stride);
}

/* --- recognition ------------------------------------------------------------------------------ */
/* What is kept in less than float32 is widened as it is packed, or as it is read. */
static const Scalar *operand_read(const Scalar *factor)
{
    bool widens = factor->kind == SCALAR_FN && factor->op == OP_CAST && factor->dtype == DT_F32;
    return widens && dtype_is_short(factor->args[0]->dtype) ? factor->args[0] : factor;
}

static bool is_operand(const Scalar *factor)
{
    const Scalar *s = operand_read(factor);
    if (s->kind != SCALAR_READ || (s->dtype != DT_F32 && !dtype_is_short(s->dtype)))
        return false;
    for (size_t d = 0; d < s->n; d++) {
        if (s->at[d]->has_data)
            return false;
    }
    return !s->fill || s->fill->kind == SCALAR_CONST;
}

/* A plain sum of products of two tensors. */
static bool is_product(const WorkKernel *work, const WorkNest *nest)
{
    if (nest->stores.len != 1 || nest->reduced.len == 0)
        return false;
    const KStore *store = &nest->stores.at[0];
    const Scalar *body = store->body;
    return store->reduce == REDUCE_SUM && store->n_guards == 0 && body->kind == SCALAR_FN &&
           body->op == OP_MUL && body->n == 2 && is_operand(body->args[0]) &&
           is_operand(body->args[1]) && body->dtype == DT_F32 &&
           work->buffers.at[store->buffer].dtype == DT_F32;
}

static double extents(size_t n, const Var *const *vars, const Scalar *in, const Scalar *not_in)
{
    double points = 1;
    for (size_t i = 0; i < n; i++) {
        if (sc_uses(in, vars[i]) && !(not_in && sc_uses(not_in, vars[i])))
            points *= (double)vars[i]->extent;
    }
    return points;
}

static const double worth_packing = 96;  /* rows that use what is packed, */
static const double fewer_rows = 48;     /* of a sum that goes over it once; */
static const double few_rows = 16;       /* of one that asks at every step whether it is inside */

bool may_pack(const WorkKernel *work, const WorkNest *nest, const Scalar *read, const Var *lanes)
{
    if (!is_product(work, nest))
        return false;
    const Scalar *body = nest->stores.at[0].body;
    const Scalar *other = body->args[operand_read(body->args[0]) == read];
    return !sc_uses(other, lanes) &&
           extents(nest->left.len, nest->left.at, other, read) >= worth_packing;
}

static bool all_bound(const WorkNest *nest)
{
    for (size_t i = 0; i < nest->bound.len; i++) {
        if (!nest->bound.at[i])
            return false;
    }
    return true;
}

static bool recognise(Contraction *c)
{
    const WorkNest *nest = nest_of(c);
    if (!is_product(c->work, nest) || !all_bound(nest))
        return false;
    c->store = &nest->stores.at[0];
    for (size_t i = 0; i < nest->n_loops; i++) {
        const KLoop *loop = &nest->loops[i];
        if (loop->kind == KLOOP_LANES && !loop->reduced) {
            c->lanes = loop->var;
            c->width = loop->tile * c->work->target->lanes;
        } else if (loop->kind == KLOOP_UNROLL) {
            c->row = loop->var;                  /* the innermost of them */
            c->rows = loop->tile;
        }
    }
    if (!c->lanes)
        return false;
    const Scalar *const *args = c->store->body->args;
    size_t v = sc_uses(args[1], c->lanes);
    c->v = operand_read(args[v]);
    c->s = operand_read(args[!v]);
    int64_t out;
    const KBuffer *buffer = &c->work->buffers.at[c->store->buffer];
    if (!sc_uses(c->v, c->lanes) || sc_uses(c->s, c->lanes) ||
        !access_stride(buffer, c->store->left, c->lanes, &out))
        return false;
    c->m = extents(nest->left.len, nest->left.at, c->s, c->v);
    c->n = extents(nest->left.len, nest->left.at, c->v, c->s);
    c->k = extents(nest->reduced.len, nest->reduced.at, c->s, NULL);
    c->map_s = work_operand(c->work, c->s);
    c->map_v = work_operand(c->work, c->v);
    return true;
}

/* --- what to pack ----------------------------------------------------------------------------- */
static int64_t least_stride(const Contraction *c, const Scalar *read, bool reduced)
{
    const WorkNest *nest = nest_of(c);
    int64_t least = INT64_MAX;
    for (size_t i = 0; i < (reduced ? nest->reduced.len : nest->left.len); i++) {
        const Var *var = reduced ? nest->reduced.at[i] : nest->left.at[i];
        int64_t stride = sc_uses(read, var) ? stride_in(c->work, read, var) : INT64_MAX;
        least = stride < least ? stride : least;
    }
    return least;
}

/* How much of a variable the chunks and blocks leave. */
static int64_t part_left(const Contraction *c, const Var *var)
{
    return work_part(c->work, var, c->index, c->index);
}

/* Do rows and sums move along different dimensions? Else a pack would repeat elements. */
static bool is_separate(const Contraction *c)
{
    const WorkNest *nest = nest_of(c);
    for (size_t d = 0; d < c->s->n; d++) {
        bool row = false, sum = false;
        for (size_t i = 0; i < nest->left.len; i++)
            row |= part_left(c, nest->left.at[i]) > 1 && pos_uses(c->s->at[d], nest->left.at[i]);
        for (size_t i = 0; i < nest->reduced.len; i++)
            sum |= pos_uses(c->s->at[d], nest->reduced.at[i]);
        if (row && sum)
            return false;
    }
    return c->row && sc_uses(c->s, c->row);
}

static bool only_lanes(const Contraction *c)
{
    const WorkNest *nest = nest_of(c);
    for (size_t i = 0; i < nest->left.len; i++) {
        if (nest->left.at[i] != c->lanes && sc_uses(c->v, nest->left.at[i]))
            return false;
    }
    return true;
}

static int64_t clamp(int64_t value, int64_t low, int64_t high)
{
    return value < low ? low : value > high ? high : value;
}

/* Rows of at least so many bytes share few sets of the first cache, or none with the next row. A sum that
 * goes over rows once reads them at every step: their vectors are packed from NEAR_BYTES up. */
enum { NEAR_BYTES = 256, FAR_BYTES = 512, VERY_FAR_BYTES = 4096, PACKED_ROWS = 192,
       FEWER_COLUMNS = 64, MOST_PACKED_ROWS = 256 };

/* A stride in elements; INT64_MAX: the elements do not lie evenly. */
static bool is_far(int64_t stride, int64_t bytes)
{
    return stride != INT64_MAX && stride >= bytes / 4;
}

/* The variable along which an operand lies; NULL: several, or none. */
static const Var *lies_along(const Contraction *c, const Scalar *read)
{
    const Var *along = NULL;
    for (size_t i = 0; i < read->n_vars; i++) {
        if (stride_in(c->work, read, read->vars[i]) == 1)
            along = along ? NULL : read->vars[i];
    }
    return along;
}

static bool is_reduced(const Contraction *c, const Var *var)
{
    const WorkNest *nest = nest_of(c);
    for (size_t i = 0; i < nest->reduced.len; i++) {
        if (nest->reduced.at[i] == var)
            return true;
    }
    return false;
}

/* Computed operands are packed, or are none: what a pack computes is used so often at least. */
static const double worth_computing = 8;

static bool may_compute(const Contraction *c)
{
    const Var *along = lies_along(c, c->s);
    size_t computed = (size_t)(c->map_s != NULL) + (c->map_v != NULL);
    return computed == c->work->operands.len && (!c->map_v || c->m >= worth_computing) &&
           (!c->map_s || (c->n >= worth_computing && along &&
                          (is_reduced(c, along) || is_separate(c))));
}

static const double worth_widening = 32;         /* of what is kept in less than float32 */

static void decide(Contraction *c)
{
    const Target *target = c->work->target;
    int64_t l2 = target->l2_bytes;
    bool across = stride_in(c->work, c->v, c->lanes) != 1;
    int64_t k_in_v = least_stride(c, c->v, true), k_in_s = least_stride(c, c->s, true);
    bool passes = c->passes = k_in_s > 1 && k_in_v > 1;
    int64_t row_stride = c->row ? stride_in(c->work, c->s, c->row) : 0;
    c->most_k = INT64_MAX;
    c->pack_v = c->map_v || (c->m >= (!passes ? worth_packing : c->v->fill ? few_rows : fewer_rows) &&
                             (across || (passes ? c->v->fill || is_far(k_in_v, NEAR_BYTES)
                                                : 4 * c->n * c->k > (double)target->l1_bytes)));
    c->pack_s = c->map_s ||
                (c->n >= (double)(passes ? FEWER_COLUMNS : PACKED_ROWS) && is_separate(c) &&
                 (passes ? is_far(k_in_s, FAR_BYTES)
                         : is_far(row_stride, VERY_FAR_BYTES) || c->k > 4 * (double)target->l2_bytes));
    if (dtype_is_short(c->s->dtype))
        c->pack_s |= c->n >= worth_widening && is_separate(c);
    if (dtype_is_short(c->v->dtype))
        c->pack_v |= c->m >= worth_widening;
    c->along = c->map_s ? lies_along(c, c->s) : NULL;
    if (c->along && !is_reduced(c, c->along))
        c->along = NULL;
    if (c->pack_v)
        c->most_k = l2 / 2 / 4 / c->width;
    if (passes) {
        double columns = c->pack_v ? (double)c->width : fmin(c->n, 256);
        c->most_k = clamp((int64_t)((double)l2 / 2 / 4 / (fmin(c->m, 256) + columns)), 128, target->tile_sum);
    } else if (c->pack_s) {
        c->most_k = clamp(l2 / 2 / 4 / PACKED_ROWS, 128, c->most_k < 512 ? c->most_k : 512);
    }
    c->v_whole = c->pack_v && !passes && only_lanes(c) && c->k <= (double)c->most_k &&
                 4 * c->n * c->k <= (double)l2 / 4;
}

/* --- blocks ----------------------------------------------------------------------------------- */
static void add_block(Contraction *c, const Var *var, int64_t tile, size_t first, bool reduced)
{
    if (tile >= var->extent)
        return;
    KBlock block = {.var = var, .tile = tile, .first = first, .end = first + 1, .reduced = reduced};
    VEC_PUSH(c->work->arena, c->work->blocks, block);
}

/* Cuts reduced loops, outermost first, until a block has at most most_k terms. */
static void block_reduced(Contraction *c)
{
    const WorkNest *nest = nest_of(c);
    double inner = c->k;
    for (size_t i = 0; i < nest->n_loops && inner > (double)c->most_k; i++) {
        const KLoop *loop = &nest->loops[i];
        if (!loop->reduced)
            continue;
        inner /= (double)loop->var->extent;
        int64_t most = (int64_t)((double)c->most_k / inner);
        int64_t tile = most < 1 ? 1 : even_part(loop->var->extent, most, most >= 64 ? 16 : 1);
        add_block(c, loop->var, tile, c->index, true);
        inner *= (double)tile;
    }
}

static void block_panels(Contraction *c)
{
    const WorkNest *nest = nest_of(c);
    for (size_t i = 0; i < nest->n_loops; i++) {
        const KLoop *loop = &nest->loops[i];
        if (!loop->reduced && loop->var != c->lanes && sc_uses(c->v, loop->var))
            add_block(c, loop->var, 1, c->index, false);
    }
    add_block(c, c->lanes, c->width, c->index, false);
}

/* Does the first cache hold all of V, in whatever order it is read? */
static bool stays_near(const Contraction *c)
{
    return !c->passes && 4 * c->n * c->k <= (double)c->work->target->l1_bytes;
}

/* Reduced loops in the order in which S lies: V is packed in whatever order they have. */
static void order_reduced(Contraction *c)
{
    WorkNest *nest = nest_of(c);
    KLoop *loops = NEW_ARRAY(c->work->arena, KLoop, nest->n_loops);
    for (size_t i = 0; i < nest->n_loops; i++) {
        size_t at = i;
        while (at > 0 && nest->loops[i].reduced && loops[at - 1].reduced &&
               stride_in(c->work, c->s, loops[at - 1].var) <
                   stride_in(c->work, c->s, nest->loops[i].var)) {
            loops[at] = loops[at - 1];
            at--;
        }
        loops[at] = nest->loops[i];
    }
    nest->loops = loops;
}

/* --- packs ------------------------------------------------------------------------------------ */
typedef VEC(const Var *) Vars;

typedef struct Pack {            /* in memory: left, panels of lanes, reduced, lanes of a panel */
    const Scalar *read;          /* what is packed */
    const Operand *map;          /* how it is computed; NULL: it is copied */
    const Var *lanes;            /* of its nest */
    int64_t width;               /* elements of lanes that lie together */
    Vars left, reduced;          /* other variables it has more than one value of */
    bool across;                 /* its elements do not lie along lanes */
} Pack;

static Pack pack_of(const Contraction *c, const Scalar *read, const Var *lanes, int64_t width)
{
    const WorkNest *nest = nest_of(c);
    Pack pack = {.read = read, .map = work_operand(c->work, read), .lanes = lanes, .width = width};
    pack.across = stride_in(c->work, read, lanes) != 1;
    for (size_t i = 0; i < nest->n_loops; i++) {
        const Var *var = nest->loops[i].var;
        if (var == lanes || !sc_uses(read, var) || part_left(c, var) == 1)
            continue;
        if (nest->loops[i].reduced)
            VEC_PUSH(c->work->arena, pack.reduced, var);
        else
            VEC_PUSH(c->work->arena, pack.left, var);
    }
    return pack;
}

/* Dimensions of its buffer, loops of its nest: the one along which elements lie is innermost. */
static Vars pack_vars(const Contraction *c, const Pack *pack)
{
    Vars vars = {0};
    for (size_t i = 0; i < pack->left.len; i++)
        VEC_PUSH(c->work->arena, vars, pack->left.at[i]);
    if (pack->across)
        VEC_PUSH(c->work->arena, vars, pack->lanes);
    for (size_t i = 0; i < pack->reduced.len; i++)
        VEC_PUSH(c->work->arena, vars, pack->reduced.at[i]);
    if (!pack->across)
        VEC_PUSH(c->work->arena, vars, pack->lanes);
    return vars;
}

static size_t place_of(const Vars *vars, const Var *var)
{
    size_t d = 0;
    while (vars->at[d] != var)
        d++;
    return d;
}

static KBuffer *pack_buffer(Contraction *c, const Pack *pack, const Vars *vars)
{
    WorkKernel *work = c->work;
    int64_t *dims = NEW_ARRAY(work->arena, int64_t, vars->len);
    int64_t *strides = NEW_ARRAY(work->arena, int64_t, vars->len), step = pack->width;
    if (pack->lanes == c->along && step * 4 % FAR_BYTES == 0)
        step += 16;                              /* rows in other sets of the cache */
    for (size_t d = 0; d < vars->len; d++)
        dims[d] = vars->at[d]->extent;
    size_t lanes = place_of(vars, pack->lanes);
    strides[lanes] = 1;
    for (size_t i = pack->reduced.len; i-- > 0;) {
        strides[place_of(vars, pack->reduced.at[i])] = step;
        step *= part_left(c, pack->reduced.at[i]);
    }
    KBuffer buffer = {.tensor = (NodeId)(work->graph->nodes.len + work->buffers.len),
                      .dtype = DT_F32,
                      .place = KPLACE_SCRATCH,
                      .slot = work->scratch_bytes,
                      .rank = vars->len,
                      .dims = dims,
                      .strides = strides,
                      .written = true,
                      .relative = true};
    int64_t panels = (part_left(c, pack->lanes) + pack->width - 1) / pack->width;
    if (panels > 1) {
        buffer.panel = pack->width;
        buffer.panel_at = lanes;
        buffer.panel_stride = step;
        step *= panels;
    }
    for (size_t i = pack->left.len; i-- > 0;) {
        strides[place_of(vars, pack->left.at[i])] = step;
        step *= part_left(c, pack->left.at[i]);
    }
    buffer.elements = (uint64_t)step;
    work->scratch_bytes += ((uint64_t)step * 4 + 63) / 64 * 64 + 64;
    if (pack->map) {                             /* it was there as a buffer of nothing */
        buffer.tensor = pack->read->tensor;
        work->buffers.at[pack->map->buffer] = buffer;
        return &work->buffers.at[pack->map->buffer];
    }
    VEC_PUSH(work->arena, work->buffers, buffer);
    return &work->buffers.at[work->buffers.len - 1];
}

/* The nest that fills a pack. Where the source lies along another variable, vectors of that are
 * transposed (emit/transpose.c); else some rows are copied at a time. */
static WorkNest pack_nest(Contraction *c, const Pack *pack, const Vars *vars, const KBuffer *buffer,
                          const Position *const *at)
{
    WorkKernel *work = c->work;
    int64_t lanes = work->target->lanes;
    WorkNest nest = {.n_loops = vars->len};
    KLoop *loops = NEW_ARRAY(work->arena, KLoop, vars->len);
    const Scalar *source = pack->map ? pack->map->source : pack->read;
    bool narrow = pack->width % lanes != 0 && pack->lanes != c->along;
    int64_t vectors = (pack->width + lanes - 1) / lanes;
    if (pack->across && buffer->panel == 0 && !narrow)
        vectors = 1;                             /* fewer registers */
    if (pack->lanes == c->along && vectors > 4)
        vectors = 4;
    int64_t rows = 8 / vectors;                  /* that lie together in a panel */
    for (size_t d = 0; d < vars->len; d++) {
        const Var *var = vars->at[d];
        VEC_PUSH(work->arena, nest.left, var);
        VEC_PUSH(work->arena, nest.bound, true);
        loops[d] = (KLoop){.var = var, .kind = KLOOP_SERIAL, .tile = 1};
        if (var == pack->lanes)
            loops[d] = (KLoop){.var = var, .kind = KLOOP_LANES, .tile = vectors,
                               .width = narrow ? pack->width : 0};
        else if (pack->across && stride_in(work, source, var) == 1 && part_left(c, var) >= lanes)
            loops[d] = (KLoop){.var = var, .kind = KLOOP_UNROLL, .tile = lanes};
        else if (!pack->across && !pack->map && d + 2 == vars->len && part_left(c, var) >= rows)
            loops[d] = (KLoop){.var = var, .kind = KLOOP_UNROLL, .tile = rows};
    }
    KStore store = {.buffer = (uint32_t)(buffer - work->buffers.at), .left = at,
                    .body = pack->map ? pack->map->factor : sc_cast(work->graph->pool, DT_F32, pack->read)};
    VEC_PUSH(work->arena, nest.stores, store);
    nest.loops = loops;
    return nest;
}

/* Just before the contraction, in all blocks; or before all. */
static void insert_nest(Contraction *c, const WorkNest *nest, bool before_all)
{
    WorkKernel *work = c->work;
    size_t at = before_all ? 0 : c->index;
    VEC_PUSH(work->arena, work->nests, *nest);
    for (size_t i = work->nests.len - 1; i > at; i--)
        work->nests.at[i] = work->nests.at[i - 1];
    work->nests.at[at] = *nest;
    c->index++;
    for (size_t i = 0; i < work->blocks.len; i++) {
        work->blocks.at[i].first += before_all;
        work->blocks.at[i].end++;
    }
}

/* Inserts the nest that packs an operand, before the contraction, whose body then reads the pack. */
static void pack_operand(Contraction *c, const Pack *pack, bool before_all)
{
    WorkKernel *work = c->work;
    ExprPool *pool = work->graph->pool;
    Vars vars = pack_vars(c, pack);
    const Position **at = NEW_ARRAY(work->arena, const Position *, vars.len);
    for (size_t d = 0; d < vars.len; d++)
        at[d] = pos_var(pool, vars.at[d]);
    const KBuffer *buffer = pack_buffer(c, pack, &vars);
    WorkNest nest = pack_nest(c, pack, &vars, buffer, at);
    const Scalar *packed = sc_read(pool, DT_F32, buffer->tensor, vars.len, at, NULL);
    const Scalar *other = pack->read == c->s ? c->v : c->s;
    *(pack->read == c->s ? &c->s : &c->v) = packed;
    nest_of(c)->stores.at[0].body = sc_fn2(pool, OP_MUL, packed, sc_cast(pool, DT_F32, other));
    insert_nest(c, &nest, before_all);
}

/* --- blocks of rows --------------------------------------------------------------------------- */
static bool runs_over(const WorkNest *nest, const Var *var)
{
    for (size_t i = 0; i < nest->left.len; i++) {
        if (nest->left.at[i] == var)
            return true;
    }
    return false;
}

/* Rows of S that all later nests of the kernel have too, each reading its own only; NULL: there are no
 * such, or nothing to be done for them one after another. */
static const Var *common_row(const Contraction *c)
{
    const WorkKernel *work = c->work;
    const WorkNest *nest = nest_of(c);
    bool several = work->nests.len > c->index + 1;
    if (c->passes || c->k > (double)c->most_k || (c->pack_v && !c->v_whole) ||
        (!several && !c->map_s))
        return NULL;
    for (size_t i = 0; i < nest->n_loops && !nest->loops[i].reduced; i++) {
        const Var *var = nest->loops[i].var;
        bool common = sc_uses(c->s, var) && !sc_uses(c->v, var), row = !several;
        for (size_t k = c->index + 1; k < work->nests.len; k++)
            common &= runs_over(&work->nests.at[k], var);
        for (size_t k = 0; k < work->rows.len; k++)
            row |= work->rows.at[k] == var;
        if (common && row && part_left(c, var) > 1)
            return var;
    }
    return NULL;
}

/* Values of the variable whose rows, packed, and results stay in cache until the last nest. */
static int64_t rows_in_cache(const Contraction *c, const Var *var)
{
    const WorkKernel *work = c->work;
    double row = c->m / (double)var->extent, columns = c->pack_s ? c->k : 0;
    for (size_t i = c->index; i < work->nests.len; i++) {
        for (size_t k = 0; k < work->nests.at[i].stores.len; k++)
            columns += c->n;
    }
    int64_t step = var == c->row ? c->rows : 1;
    return even_part(part_left(c, var), (int64_t)((double)work->target->l2_bytes / 4 / 4 / row / columns),
                     step);
}

static void block_rows(Contraction *c)
{
    const Var *var = common_row(c);
    if (!var)
        return;
    int64_t tile = rows_in_cache(c, var);
    if (tile >= part_left(c, var))
        return;
    add_block(c, var, tile, c->index, false);
    c->work->blocks.at[c->work->blocks.len - 1].end = c->work->nests.len;
    c->rows_of = var;
    c->rows_by = tile;
}

/* --- one kernel ------------------------------------------------------------------------------- */
static bool find_contraction(Contraction *c)
{
    for (c->index = 0; c->index < c->work->nests.len; c->index++) {
        if (recognise(c))
            return true;
    }
    return false;
}

/* --- prefetches ------------------------------------------------------------------------------- */
/* Elements from one block of k to the next, and 0 if that is not the same everywhere. */
static int64_t next_block(const Contraction *c, const Scalar *read)
{
    const WorkKernel *work = c->work;
    for (size_t i = work->blocks.len; i-- > 0;) {
        const KBlock *block = &work->blocks.at[i];
        int64_t ahead;
        if (block->reduced)
            return CHECKED_MUL(block->tile, stride_in(work, read, block->var), &ahead) ? ahead : 0;
    }
    return 0;
}

static const KLoop *innermost(const Contraction *c)
{
    const WorkNest *nest = nest_of(c);
    return &nest->loops[nest->n_loops - 1];
}

/* How many equal parts of a trip's values so many tiles can ask for. */
static int64_t prefetch_parts(const Contraction *c, int64_t tiles, int64_t stride)
{
    int64_t parts = innermost(c)->tile;
    while (parts > tiles || innermost(c)->tile % parts != 0 || stride % parts != 0)
        parts--;
    return parts;
}

/* Of what is read in the end: a computed operand reads several tensors. */
static void add_prefetch(Contraction *c, const Scalar *read, KPrefetch prefetch, int64_t tiles)
{
    const Operand *map = work_operand(c->work, read);
    ScalarList list = sc_list(c->work->arena, 1, map ? &map->factor : &read);
    for (size_t i = 0; i < list.n; i++) {
        if (list.at[i]->kind != SCALAR_READ || list.at[i]->n_vars < read->n_vars)
            continue;
        prefetch.read = list.at[i];
        prefetch.stride = stride_in(c->work, prefetch.read, innermost(c)->var);
        if (prefetch.stride == INT64_MAX)
            continue;
        if (c->passes) {
            prefetch.ahead = next_block(c, prefetch.read);
            prefetch.parts = prefetch.over ? prefetch_parts(c, tiles, prefetch.stride) : 0;
            if (prefetch.parts)
                prefetch.drift = prefetch.stride / prefetch.parts - prefetch.stride;
        }
        if (prefetch.ahead > 0)
            VEC_PUSH(c->work->arena, nest_of(c)->prefetches, prefetch);
    }
}

/* Tiles of the loop in a chunk. */
static int64_t tiles_of(const Contraction *c, const Var *var, int64_t tile)
{
    int64_t part = var->extent;
    for (size_t i = 0; i < c->work->chunks.len; i++)
        part = c->work->chunks.at[i].var == var && c->work->chunks.at[i].tile < part
                   ? c->work->chunks.at[i].tile : part;
    return (part + tile - 1) / tile;
}

enum { MOST_TURNS = 8 };

/* Several values of the innermost loop per trip: fewer prefetches than trips. Choices at borders are
 * all made at once then, for which there are no registers. */
static void unroll_sum(Contraction *c)
{
    WorkNest *nest = nest_of(c);
    const Scalar *const *factors = nest->stores.at[0].body->args;
    int64_t part = part_left(c, innermost(c)->var);
    part *= innermost(c)->times ? innermost(c)->times : 1;
    int64_t turns = factors[0]->fill || factors[1]->fill ? 1 : MOST_TURNS;
    if (turns > 1 && part % turns != 0 && part % 4 == 0)
        turns = 4;
    while (part % turns != 0)
        turns--;
    KLoop *loops = NEW_ARRAY(c->work->arena, KLoop, nest->n_loops);
    memcpy(loops, nest->loops, nest->n_loops * sizeof *loops);
    loops[nest->n_loops - 1].tile = turns;
    nest->loops = loops;
}

/* Memory is asked for while the block before is worked on: of k that goes over both operands once,
 * the next block, V's rows by the first tiles of rows and S's by the first of columns; of rows that
 * lie one after another, those of the next tile, bit by bit. */
static void prefetch_operands(Contraction *c, const Scalar *s, const Scalar *v)
{
    const WorkKernel *work = c->work;
    int64_t line = 16;                           /* elements */
    if (c->passes) {
        if (next_block(c, s) == 0 && next_block(c, v) == 0)
            return;
        unroll_sum(c);
        add_prefetch(c, v, (KPrefetch){.lines = (c->width + line - 1) / line, .over = c->row},
                     c->row ? tiles_of(c, c->row, c->rows) : 1);
        add_prefetch(c, s, (KPrefetch){.lines = 1, .over = c->lanes},
                     tiles_of(c, c->lanes, c->width));
        return;
    }
    const KLoop *k = innermost(c);
    const Scalar *source = c->map_s ? c->map_s->source : s;
    int64_t row = c->row ? stride_in(work, source, c->row) : 0, ahead = c->rows * row;
    if ((c->pack_s && !c->rows_of) || !k->reduced || stride_in(work, source, k->var) != 1 ||
        row != k->var->extent)
        return;
    if (c->pack_s && !CHECKED_MUL(c->rows_by, stride_in(work, source, c->rows_of), &ahead))
        return;
    add_prefetch(c, s, (KPrefetch){.ahead = ahead, .drift = c->rows - 1, .lines = 1,
                                   .over = c->pack_s ? c->lanes : NULL}, 1);
}

/* Packed rows of a chunk: all its columns use them while they are in cache. */
static int64_t most_rows(const Contraction *c)
{
    double k = fmin(c->k, (double)c->most_k);
    return clamp(c->map_s ? (int64_t)((double)c->work->target->l2_bytes / 4 / 4 / k) : 0,
                 MOST_PACKED_ROWS, INT32_MAX);
}

static void chunk(Contraction *c)
{
    ChunkRule rule = {.nest = nest_of(c),
                      .row_operand = c->s,
                      .column_operand = c->v,
                      .least_rows = c->pack_v ? PACKED_ROWS : 64,
                      .most_rows = c->pack_s ? most_rows(c) : INT64_MAX,
                      .least_columns = c->pack_s ? PACKED_ROWS : c->k > (double)c->most_k ? 128 : 1,
                      .fewer_columns = c->passes ? 2 * FEWER_COLUMNS : PACKED_ROWS,
                      .fewest_columns = c->width};
    work_chunk_contraction(c->work, &rule);
}

bool work_block(WorkKernel *work)
{
    Contraction c = {.work = work};
    if (!find_contraction(&c))
        return false;
    if (!may_compute(&c))
        return false;
    decide(&c);
    if (c.pack_v || stays_near(&c))
        order_reduced(&c);
    if (!c.pack_v && !c.pack_s && c.k <= (double)c.most_k && !common_row(&c))
        return false;
    chunk(&c);
    const Scalar *s = c.s, *v = c.v;
    block_reduced(&c);
    if (c.v_whole) {
        Pack pack = pack_of(&c, c.v, c.lanes, c.width);
        pack_operand(&c, &pack, false);
    }
    block_rows(&c);
    if (c.pack_s) {
        Pack pack = c.along ? pack_of(&c, c.s, c.along, part_left(&c, c.along))
                            : pack_of(&c, c.s, c.row, c.rows);
        pack_operand(&c, &pack, false);
    }
    if (c.pack_v && !c.v_whole) {
        block_panels(&c);
        Pack pack = pack_of(&c, c.v, c.lanes, c.width);
        pack_operand(&c, &pack, false);
    }
    work_fold(work, c.index);
    prefetch_operands(&c, s, v);
    return true;
}

/* --- chains ----------------------------------------------------------------------------------- */
static bool is_worth_packing(const Contraction *c, bool rows)
{
    const Scalar *read = rows ? c->s : c->v;
    int64_t k = least_stride(c, read, true);
    if (work_buffer(c->work, read->tensor)->place == KPLACE_SCRATCH)
        return false;
    if (!rows)
        return c->m >= worth_packing &&
               (stride_in(c->work, read, c->lanes) != 1 || is_far(k, FAR_BYTES));
    return is_separate(c) && c->n >= worth_packing &&
           (is_far(k, FAR_BYTES) || is_far(stride_in(c->work, read, c->row), VERY_FAR_BYTES));
}

void work_pack(WorkKernel *work, size_t *index, const Var *blocked, bool rows)
{
    Contraction c = {.work = work, .index = *index};
    if (!recognise(&c) || !is_worth_packing(&c, rows))
        return;
    const Scalar *read = rows ? c.s : c.v;
    Pack pack = rows ? pack_of(&c, read, c.row, c.rows) : pack_of(&c, read, c.lanes, c.width);
    pack_operand(&c, &pack, !sc_uses(read, blocked));
    *index = c.index;
}
