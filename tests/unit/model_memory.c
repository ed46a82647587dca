/* model_memory: amounts of the knob `memory`, the modules that can be computed again, and what each saves. */
#include "support/world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static World world;

static int setup(void **state)
{
    (void)state;
    world_open(&world);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    world_close(&world);
    return 0;
}

static const char text[] =
    "use nn\nuse optim\n"
    "data d { train = tokens(\"t.bin\", length = 8, dtype = \"u8\"); batch = 2 }\n"
    "module Block(D) { up: Linear(D, 4*D); down: Linear(4*D, D)\n"
    "  fn forward(x: [N, D]) -> [N, D] = x + down(tanh(up(x))) }\n"
    "module Body(D) { h[i < 3]: Block(D); wide[i < 1]: Block(2*D)\n"
    "  fn forward(x: [N, D]) -> [N, 2*D] {\n"
    "    for b in h { x = b(x) }\n"
    "    y[n < N, d < 2*D] = x[n, d // 2]\n"
    "    return wide[0](y) } }\n"
    "module Net() { stem: Linear(8, 6); body: Body(6); head: Linear(12, 1)\n"
    "  fn forward(x: [N, 8]) -> [N, 1] = head(body(stem(x))) }\n"
    "finetune r {\n  model: Net()\n  %s\n"
    "  step b in d { loss = mean(model(float(b.ids))^2) }\n"
    "  optimizer SGD(lr = 0.1)\n  steps = 1\n}\n";

static Recipe *recipe(const char *clauses)
{
    char all[2000];
    snprintf(all, sizeof all, text, clauses);
    world_put(&world, "t.hone", all);
    File *file = world_load(&world, "t.hone");
    return file == NULL ? NULL : world_recipe(&world, file, true);
}

static void amounts(void **state)
{
    static const struct {
        const char *text;
        uint64_t bytes; /* 0: refused */
    } rows[] = {
        {"2GiB", 2ull << 30}, {"512MiB", 512ull << 20}, {"1.5GB", 1500000000}, {"3 KiB", 3072},
        {".5kB", 500},        {"7MB", 7000000},         {"", 0},               {"GiB", 0},
        {"2", 0},             {"2G", 0},                {"-2GiB", 0},          {"1.2.3GiB", 0},
        {"0GiB", 0},          {"2gib", 0},              {"2GiB ", 0},          {"99999999999GiB", 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char clause[100];
        snprintf(clause, sizeof clause, "memory = \"%s\"", rows[i].text);
        Recipe *r = recipe(clause);
        Str diags = world_diags(&world);
        if ((r != NULL) != (rows[i].bytes > 0) || (r != NULL && r->memory != rows[i].bytes) ||
            (r == NULL && strstr(diags.ptr, "E103") == NULL)) {
            fail_msg("%s: %llu " STR_FMT, rows[i].text,
                     r != NULL ? (unsigned long long)r->memory : 0, STR_ARG(diags));
        }
    }
}

static Str candidates(const Recipe *r)
{
    Buf out = buf_new(world.c.arena);
    for (size_t i = 0; i < r->candidates.len; i++) {
        buf_printf(&out, "%s" STR_FMT, i > 0 ? " " : "", STR_ARG(r->candidates.at[i]->path));
    }
    return buf_str(&out);
}

static void modules(void **state)
{
    (void)state;
    Recipe *r = recipe("");
    assert_non_null(r);
    assert_int_equal(r->candidates.len + r->trains.len, 0);
    r = recipe("memory = \"1GiB\"");
    assert_non_null(r);
    assert_true(str_is(candidates(r), "stem body.h.0 body.h.1 body.h.2 body.wide.0 head"));
    r = recipe("memory = \"1GiB\"; recompute \"body.h.1\"");
    assert_non_null(r);
    assert_true(str_is(candidates(r), "stem body.h.0 body.h.2 body.wide.0 head"));
    r = recipe("memory = \"1GiB\"; recompute \"body\"");
    assert_non_null(r);
    assert_true(str_is(candidates(r), "stem head"));
}

static void savings(void **state)
{
    double bytes[6], flops[6];
    (void)state;
    Recipe *r = recipe("memory = \"1GiB\"");
    assert_non_null(r);
    for (size_t i = 0; i < 6; i++) {
        recipe_saves(world.c.arena, r, i, &bytes[i], &flops[i]);
    }
    assert_true(bytes[0] == 0 && bytes[5] < bytes[1] / 4);   /* others read what these compute */
    assert_true(bytes[1] >= 2 * 2 * 24 * 4 && bytes[2] == bytes[1] && bytes[3] == bytes[1]);
    assert_true(bytes[4] == 2 * bytes[1]);                   /* twice as wide */
    assert_true(flops[1] > 0 && flops[2] == flops[1] && flops[4] > 2 * flops[1]);

    bool chosen[6] = {false};
    const Graph *train = r->stages.at[0].train, *none = recipe_again(world.c.arena, r, train, chosen);
    assert_ptr_equal(none, train);
    chosen[2] = true;
    const Graph *some = recipe_again(world.c.arena, r, train, chosen);
    assert_true(some->nodes.len > train->nodes.len);
    assert_null(graph_verify(some, world.c.arena));
    assert_null(recipe_again(world.c.arena, r, some, chosen));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(amounts),
        cmocka_unit_test(modules),
        cmocka_unit_test(savings),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
