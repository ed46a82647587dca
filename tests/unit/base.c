/* base: arenas, text, maps, sources. Diagnostics have their own file. */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

typedef struct World {
    HoneSys sys;
    Mem mem;
    Arena *arena;
} World;

static int setup(void **state)
{
    static World world;
    memset(&world, 0, sizeof world);
    mem_init(&world.mem, &world.sys);
    if (setjmp(world.mem.on_failure) != 0) {
        return -1;
    }
    world.mem.armed = true;
    world.arena = arena_new(&world.mem, "test");
    *state = &world;
    return 0;
}

static int teardown(void **state)
{
    mem_release(&((World *)*state)->mem);
    return 0;
}

static void count_up(void *what)
{
    ++*(int *)what;
}

static void test_arena_alloc(void **state)
{
    World *world = *state;
    for (size_t i = 1; i < 3000; i++) {
        char *memory = arena_alloc(world->arena, i, 64);
        assert_int_equal((uintptr_t)memory % 64, 0);
        for (size_t j = 0; j < i; j += 97) {
            assert_int_equal(memory[j], 0);
        }
        memset(memory, 0xAB, i);
    }
    assert_int_equal(arena_bytes(world->arena), 3000u * 2999u / 2);
    assert_non_null(arena_alloc(world->arena, 0, 1));
    assert_non_null(arena_alloc(world->arena, 5 << 20, 1));
    assert_ptr_equal(arena_mem(world->arena), &world->mem);
}

static void test_mem_release(void **state)
{
    World *world = *state;
    static int released;
    released = 0;
    mem_on_release(&world->mem, count_up, &released);
    Arena *second = arena_new(&world->mem, "second");
    Arena *third = arena_new(&world->mem, "third");
    assert_non_null(third);
    arena_free(second);
    mem_release(&world->mem);
    assert_int_equal(released, 1);
    assert_null(world->mem.arenas);
}

/* Every allocation in turn is refused: the way out is taken and nothing is left behind. */
static void test_mem_failure(void **state)
{
    (void)state;
    static int released;
    for (int64_t fail = 1;; fail++) {
        static HoneSys sys;
        static Mem mem;
        sys = (HoneSys){.fail_alloc = fail};
        mem_init(&mem, &sys);
        released = 0;
        if (setjmp(mem.on_failure) != 0) {
            mem_release(&mem);
            assert_null(mem.arenas);
            assert_true(fail <= 4);
            assert_int_equal(released, fail > 2);   /* the hook was handed over */
            continue;
        }
        mem.armed = true;
        Arena *arena = arena_new(&mem, "a");
        arena_alloc(arena, 10, 8);
        mem_on_release(&mem, count_up, &released);
        arena_alloc(arena, 1 << 20, 8);
        mem_release(&mem);
        assert_int_equal(fail, 5);
        assert_int_equal(released, 1);
        return;
    }
}

static void test_mem_overflow(void **state)
{
    (void)state;
    static HoneSys sys;
    static Mem mem;
    mem_init(&mem, &sys);
    if (setjmp(mem.on_failure) == 0) {
        mem.armed = true;
        arena_alloc_array(arena_new(&mem, "a"), SIZE_MAX / 4, 8, 8);
        fail();
    }
    mem_release(&mem);
}

static void test_vec(void **state)
{
    World *world = *state;
    VEC(int) numbers = {0};
    for (int i = 0; i < 1000; i++) {
        VEC_PUSH(world->arena, numbers, i);
    }
    assert_int_equal(numbers.len, 1000);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(numbers.at[i], i);
    }
}

static void test_str(void **state)
{
    World *world = *state;
    assert_true(str_eq(STR("abc"), str_of("abc")));
    assert_false(str_eq(STR("abc"), STR("ab")));
    assert_true(str_eq((Str){NULL, 0}, STR("")));
    assert_true(str_cmp(STR("a"), STR("ab")) < 0);
    assert_true(str_cmp(STR("b"), STR("ab")) > 0);
    assert_int_equal(str_cmp(STR(""), STR("")), 0);
    assert_true(str_starts(STR("layer.0"), STR("layer")));
    assert_true(str_ends(STR("fc.weight"), STR(".weight")));
    assert_false(str_ends(STR("t"), STR("weight")));
    assert_true(str_is(str_format(world->arena, "%d-%s", 7, "x"), "7-x"));
    assert_true(str_is(str_join(world->arena, STR("a"), ".", STR("b")), "a.b"));
    assert_true(str_is(str_join(world->arena, STR(""), ".", STR("b")), "b"));
    assert_string_equal(str_c(world->arena, (Str){"abcdef", 3}), "abc");
    assert_true(str_hash(STR("")) == 0xcbf29ce484222325u);
    assert_true(str_hash(STR("a")) == 0xaf63dc4c8601ec8cu);
}

static void test_str_nearest(void **state)
{
    (void)state;
    assert_int_equal(str_distance(STR("freeze"), STR("frezee")), 1);
    assert_int_equal(str_distance(STR("kitten"), STR("sitting")), 3);
    assert_int_equal(str_distance(STR(""), STR("abc")), 3);
    static const Str names[] = {{"accumulate", 10}, {"monitor", 7}, {"p", 1}, {"precision", 9}};
    assert_true(str_is(str_nearest(STR("acumulate"), names, 4), "accumulate"));
    assert_true(str_is(str_nearest(STR("montior"), names, 4), "monitor"));
    assert_int_equal(str_nearest(STR("banana"), names, 4).len, 0);
    assert_int_equal(str_nearest(STR("q"), names, 4).len, 0);   /* nothing in common */
    assert_int_equal(str_nearest(STR(""), names, 0).len, 0);
}

static void test_buf(void **state)
{
    World *world = *state;
    Buf buf = buf_new(world->arena);
    assert_int_equal(buf_str(&buf).len, 0);
    for (int i = 0; i < 200; i++) {
        buf_printf(&buf, "%d,", i);
    }
    buf_char(&buf, '!');
    assert_int_equal(buf.len, 10 * 2 + 90 * 3 + 100 * 4 + 1);
    assert_int_equal(strlen(buf.ptr), buf.len);
    assert_true(str_ends(buf_str(&buf), STR("198,199,!")));
}

static void test_map(void **state)
{
    World *world = *state;
    Map map = map_new(world->arena);
    assert_null(map_get(&map, STR("a")));
    static int values[500];
    for (int i = 0; i < 500; i++) {
        map_set(&map, str_format(world->arena, "key%d", i), &values[i]);
    }
    map_set(&map, STR("key7"), &values[8]);
    map_set(&map, STR("none"), NULL);
    assert_int_equal(map.len, 501);
    assert_ptr_equal(map_get(&map, STR("key499")), &values[499]);
    assert_ptr_equal(map_get(&map, STR("key7")), &values[8]);
    assert_true(map_has(&map, STR("none")));
    assert_false(map_has(&map, STR("key500")));
    assert_true(str_is(map.entries[42].key, "key42"));
}

static void test_source(void **state)
{
    World *world = *state;
    Sources sources = sources_new(world->arena);
    assert_null(sources_file(&sources, 0));
    uint32_t file = sources_add(&sources, STR("a.hone"), STR("\xEF\xBB\xBFx = \xC3\xA9 y\r\nlast"));
    const Source *source = sources_file(&sources, file);
    assert_int_equal(source->n_lines, 2);
    assert_true(str_is(source_line(source, 1), "x = \xC3\xA9 y"));
    assert_true(str_is(source_line(source, 2), "last"));
    assert_int_equal(source_place(source, 3).column, 1);
    assert_int_equal(source_place(source, 10).column, 7);   /* y: after a two-byte character */
    Place end = source_place(source, 999);
    assert_int_equal(end.line, 2);
    assert_int_equal(end.column, 5);
    uint32_t empty = sources_add(&sources, STR("b.hone"), STR(""));
    assert_int_equal(source_line(sources_file(&sources, empty), 1).len, 0);
}

static void test_span_join(void **state)
{
    (void)state;
    Span a = {1, 5, 8};
    Span b = {1, 2, 6};
    Span both = span_join(a, b);
    assert_int_equal(both.start, 2);
    assert_int_equal(both.end, 8);
    assert_int_equal(span_join((Span){0}, b).start, 2);
    assert_int_equal(span_join(a, (Span){2, 0, 1}).start, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_arena_alloc, setup, teardown),
        cmocka_unit_test_setup_teardown(test_mem_release, setup, teardown),
        cmocka_unit_test(test_mem_failure),
        cmocka_unit_test(test_mem_overflow),
        cmocka_unit_test_setup_teardown(test_vec, setup, teardown),
        cmocka_unit_test_setup_teardown(test_str, setup, teardown),
        cmocka_unit_test_setup_teardown(test_str_nearest, setup, teardown),
        cmocka_unit_test_setup_teardown(test_buf, setup, teardown),
        cmocka_unit_test_setup_teardown(test_map, setup, teardown),
        cmocka_unit_test_setup_teardown(test_source, setup, teardown),
        cmocka_unit_test(test_span_join),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
