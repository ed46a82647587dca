/* Positions against brute force: values over all variables, intervals, canonical equality. */
#include "graph/graph.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { VARS = 4 };
typedef struct World {
    HoneSys sys;
    Mem mem;
    Arena *arena;
    ExprPool *pool;
    const Var *vars[VARS];
    int64_t values[VARS];
    uint64_t random;
} World;

static int setup(void **state)
{
    static World world;
    world = (World){.random = 88172645463325252u};
    mem_init(&world.mem, &world.sys);
    world.arena = arena_new(&world.mem, "test");
    world.pool = pool_new(world.arena);
    *state = &world;
    return 0;
}

static int teardown(void **state)
{
    World *w = *state;
    mem_release(&w->mem);
    return 0;
}

static int64_t pick(World *w, int64_t low, int64_t high)
{
    w->random ^= w->random << 13;
    w->random ^= w->random >> 7;
    w->random ^= w->random << 17;
    return low + (int64_t)(w->random % (uint64_t)(high - low + 1));
}

static void new_vars(World *w, int64_t most)
{
    static const char *const names[VARS] = {"a", "b", "c", "d"};
    for (int i = 0; i < VARS; i++)
        w->vars[i] = var_new(w->pool, pick(w, 1, most), str_of(names[i]));
}

static int64_t floored(int64_t a, int64_t by)
{
    int64_t q = a / by;
    return a % by < 0 ? q - 1 : q;
}

static int64_t evaluate(const World *w, const Position *p)
{
    int64_t sum = p->constant;
    for (size_t i = 0; i < p->n; i++) {
        const Atom *atom = p->terms[i].atom;
        int64_t value = 0;
        if (atom->kind == ATOM_VAR) {
            for (int k = 0; k < VARS; k++)
                if (w->vars[k] == atom->var)
                    value = w->values[k];
        } else {
            int64_t of = evaluate(w, atom->of);
            value = floored(of, atom->by);
            if (atom->kind == ATOM_MOD)
                value = of - value * atom->by;
        }
        sum += p->terms[i].coef * value;
    }
    return sum;
}

/* A random expression built by the constructors and, beside it, as a program for plain evaluation. */
typedef struct Expr {
    char op;
    int64_t k;
    struct Expr *a, *b;
    int var;
} Expr;

static Expr *random_expr(World *w, int depth)
{
    Expr *e = NEW(w->arena, Expr);
    if (depth == 0) {
        e->op = pick(w, 0, 3) == 0 ? 'k' : 'v';
        e->k = pick(w, -9, 9);
        e->var = (int)pick(w, 0, VARS - 1);
        return e;
    }
    static const char ops[] = "++-*/%/%";
    e->op = ops[pick(w, 0, 7)];
    e->a = random_expr(w, depth - 1);
    static const int64_t bys[] = {2, 3, 4, 6, 8, 12, 5, 1};
    e->k = bys[pick(w, 0, 7)];
    if (e->op == '*')
        e->k = pick(w, -4, 6);
    if (e->op == '+' || e->op == '-')
        e->b = random_expr(w, (int)pick(w, 0, depth - 1));
    return e;
}

static const Position *build(World *w, const Expr *e)
{
    switch (e->op) {
    case 'k': return pos_const(w->pool, e->k);
    case 'v': return pos_var(w->pool, w->vars[e->var]);
    case '+': return pos_add(w->pool, build(w, e->a), build(w, e->b));
    case '-': return pos_sub(w->pool, build(w, e->a), build(w, e->b));
    case '*': return pos_scale(w->pool, build(w, e->a), e->k);
    case '/': return pos_div(w->pool, build(w, e->a), e->k);
    default: return pos_mod(w->pool, build(w, e->a), e->k);
    }
}

static int64_t run(const World *w, const Expr *e)
{
    switch (e->op) {
    case 'k': return e->k;
    case 'v': return w->values[e->var];
    case '+': return run(w, e->a) + run(w, e->b);
    case '-': return run(w, e->a) - run(w, e->b);
    case '*': return run(w, e->a) * e->k;
    case '/': return floored(run(w, e->a), e->k);
    default: return run(w, e->a) - e->k * floored(run(w, e->a), e->k);
    }
}

static bool next_values(World *w)
{
    for (int i = VARS - 1; i >= 0; i--) {
        if (++w->values[i] < w->vars[i]->extent)
            return true;
        w->values[i] = 0;
    }
    return false;
}

static void values_and_intervals(void **state)
{
    World *w = *state;
    int64_t looseness = 0, widths = 0;
    for (int trial = 0; trial < 8000; trial++) {
        new_vars(w, 5);
        const Expr *e = random_expr(w, 1 + trial % 5);
        const Position *p = build(w, e);
        int64_t min = INT64_MAX, max = INT64_MIN;
        do {
            int64_t want = run(w, e), have = evaluate(w, p);
            assert_int_equal(want, have);
            min = want < min ? want : min;
            max = want > max ? want : max;
        } while (next_values(w));
        assert_true(p->min <= min && max <= p->max);
        looseness += (p->max - p->min) - (max - min);
        widths += max - min;
        if (min == max && p->n > 0)
            looseness += 1;
    }
    assert_true(looseness < widths / 2);
}

static void substitution(void **state)
{
    World *w = *state;
    for (int trial = 0; trial < 2000; trial++) {
        new_vars(w, 5);
        const Expr *e = random_expr(w, 4), *f = random_expr(w, 2), *g = random_expr(w, 2);
        const Position *to[] = {build(w, f), build(w, g)};
        const Var *from[] = {w->vars[0], w->vars[1]};
        Subst subst = {.n = 2, .from = from, .to = to};
        const Position *p = pos_subst(w->pool, build(w, e), &subst);
        do {
            World inner = *w;
            inner.values[0] = run(w, f);
            inner.values[1] = run(w, g);
            /* outside the extents of what is substituted simplification may use the interval */
            if (inner.values[0] < 0 || inner.values[0] >= w->vars[0]->extent ||
                inner.values[1] < 0 || inner.values[1] >= w->vars[1]->extent)
                continue;
            assert_int_equal(run(&inner, e), evaluate(w, p));
        } while (next_values(w));
    }
}

static void within(void **state)
{
    World *w = *state;
    for (int trial = 0; trial < 4000; trial++) {
        new_vars(w, 5);
        const Expr *e = random_expr(w, 1 + trial % 4);
        int64_t lo = pick(w, -6, 6), hi = lo + pick(w, 0, 8);
        const Scalar *s = sc_within(w->pool, lo, build(w, e), hi);
        do {
            int64_t value = run(w, e);
            bool want = lo <= value && value < hi, have = s->kind == SCALAR_CONST && s->value != 0;
            if (s->kind == SCALAR_WITHIN) {
                int64_t at = evaluate(w, s->at[0]);
                have = s->lo <= at && at < s->hi;
            }
            assert_int_equal(want, have);
        } while (next_values(w));
    }
}

static void canonical_forms(void **state)
{
    World *w = *state;
    ExprPool *pool = w->pool;
    const Position *h = pos_var(pool, var_new(pool, 12, STR("h")));
    const Position *c = pos_var(pool, var_new(pool, 64, STR("c")));
    const Position *i = pos_var(pool, var_new(pool, 3, STR("i")));
    const Position *d = pos_var(pool, var_new(pool, 768, STR("d")));
    const Position *hc = pos_add(pool, pos_scale(pool, h, 64), c);
    assert_ptr_equal(pos_div(pool, hc, 64), h);
    assert_ptr_equal(pos_mod(pool, hc, 64), c);
    assert_ptr_equal(pos_div(pool, hc, 128), pos_div(pool, h, 2));
    assert_ptr_equal(pos_div(pool, hc, 32),
                     pos_add(pool, pos_scale(pool, h, 2), pos_div(pool, c, 32)));
    /* h*64 + c with h = d // 64, c = d % 64 */
    assert_ptr_equal(pos_add(pool, pos_scale(pool, pos_div(pool, d, 64), 64), pos_mod(pool, d, 64)),
                     d);
    /* three digits */
    const Position *low = pos_mod(pool, d, 8), *mid = pos_mod(pool, pos_div(pool, d, 8), 8),
                   *high = pos_div(pool, d, 64);
    const Position *sum = pos_add(pool, pos_scale(pool, high, 64),
                                  pos_add(pool, pos_scale(pool, mid, 8), low));
    assert_ptr_equal(sum, d);
    assert_ptr_equal(pos_add(pool, low, pos_scale(pool, mid, 8)), pos_mod(pool, d, 64));
    /* (4*a+2)//8 = (2*a+1)//4; nested */
    assert_ptr_equal(pos_div(pool, pos_shift(pool, pos_scale(pool, d, 4), 2), 8),
                     pos_div(pool, pos_shift(pool, pos_scale(pool, d, 2), 1), 4));
    assert_ptr_equal(pos_div(pool, pos_div(pool, d, 3), 4), pos_div(pool, d, 12));
    assert_ptr_equal(pos_mod(pool, pos_mod(pool, d, 12), 4), pos_mod(pool, d, 4));
    assert_ptr_equal(pos_div(pool, pos_mod(pool, d, 12), 4), pos_mod(pool, pos_div(pool, d, 4), 3));
    /* (h+1-i)//2 and (h+1-i)%2 share their inner term; the range of the quotient is exact */
    const Position *e = pos_shift(pool, pos_sub(pool, h, i), 1);
    const Position *q = pos_div(pool, e, 2), *r = pos_mod(pool, e, 2);
    assert_ptr_equal(pos_add(pool, pos_scale(pool, q, 2), r), e);
    assert_int_equal(q->min, -1);
    assert_int_equal(q->max, 6);
    /* 10*p//4 = 2*p + p//2 */
    assert_ptr_equal(pos_div(pool, pos_scale(pool, h, 10), 4),
                     pos_add(pool, pos_scale(pool, h, 2), pos_div(pool, h, 2)));
    /* a variable of extent 1 is 0 */
    int64_t zero = 1;
    assert_true(pos_is_const(pos_var(pool, var_new(pool, 1, STR("u"))), &zero) && zero == 0);
}

static void overflow_is_marked(void **state)
{
    World *w = *state;
    const Position *d = pos_var(w->pool, var_new(w->pool, 768, STR("d")));
    assert_false(pool_overflowed(w->pool));
    const Position *big = pos_scale(w->pool, d, INT64_MAX / 2);
    big = pos_scale(w->pool, big, 3);
    assert_true(pool_overflowed(w->pool));
    (void)big;
}

static void copies_into_another_pool(void **state)
{
    World *w = *state;
    new_vars(w, 5);
    ExprPool *other = pool_new(w->arena);
    var_new(other, 3, STR("x"));                         /* ids of the two pools differ */
    const Expr *e = random_expr(w, 4);
    const Position *p = pos_rewrite(other, build(w, e), NULL, NULL);
    World inner = *w;
    for (int i = 0; i < VARS; i++) {
        inner.vars[i] = var_import(other, w->vars[i]);
        assert_ptr_equal(inner.vars[i], var_import(other, w->vars[i]));
        assert_ptr_equal(inner.vars[i], var_import(other, inner.vars[i]));
    }
    assert_int_equal(run(w, e), evaluate(&inner, p));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(values_and_intervals, setup, teardown),
        cmocka_unit_test_setup_teardown(substitution, setup, teardown),
        cmocka_unit_test_setup_teardown(within, setup, teardown),
        cmocka_unit_test_setup_teardown(canonical_forms, setup, teardown),
        cmocka_unit_test_setup_teardown(overflow_is_marked, setup, teardown),
        cmocka_unit_test_setup_teardown(copies_into_another_pool, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
