/* fused: which equations of a block share a kernel, forward and backward, for every recipe of
 * golden/fused, as text beside it. HONE_BLESS=1 rewrites the texts. A kernel begins with a line of
 * dashes, a nest of loops with `nest`; equations stand in the order of the backward pass's graph. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "support/planned.h"
#include "support/world.h"

static World world;

static const Graph *training(const char *name)
{
    char path[256];
    snprintf(path, sizeof path, TEST_DIR "/golden/fused/%s.hone", name);
    Recipe *recipe = world_recipe(&world, world_load(&world, path), true);
    if (recipe == NULL || world.c.diags.errors > 0)
        fail_msg(STR_FMT, STR_ARG(world_text(&world)));
    return planned_passes(world.c.arena, recipe->stages.at[0].train, target_find(STR("x86-64-v4")));
}

/* Kernels in the order of their first equations. */
static int by_first(const void *a, const void *b)
{
    NodeId x = ((const Group *)a)->nodes[0], y = ((const Group *)b)->nodes[0];
    return (x > y) - (x < y);
}

static void print_groups(const Groups *groups, Buf *out)
{
    Group *sorted = NEW_ARRAY(world.c.arena, Group, groups->n);
    memcpy(sorted, groups->groups, groups->n * sizeof *sorted);
    qsort(sorted, groups->n, sizeof *sorted, by_first);
    for (size_t g = 0; g < groups->n; g++) {
        buf_printf(out, "%s", "----\n");
        for (size_t i = 0; i < sorted[g].n; i++) {
            if (i > 0 && sorted[g].nests[i] != sorted[g].nests[i - 1])
                buf_printf(out, "%s", "nest\n");
            node_dump(groups->graph, sorted[g].nodes[i], out);
        }
    }
}

static void compare(const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, TEST_DIR "/golden/fused/%s.txt", name);
    if (getenv("HONE_BLESS") != NULL) {
        FILE *f = fopen(path, "w");
        assert_non_null(f);
        fputs(text, f);
        fclose(f);
    }
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    static char want[1 << 20];
    want[fread(want, 1, sizeof want - 1, f)] = '\0';
    fclose(f);
    if (strcmp(text, want) != 0)
        fail_msg("%s.txt differs: HONE_BLESS=1 rewrites it, git diff shows what changed", name);
}

static void kernels_are_as_written(void **state)
{
    (void)state;
    static const char *const names[] = {"bottleneck", "inverted", "transformer", "postnorm"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const Graph *graph = training(names[i]);
        Groups groups = pass_fuse(world.c.arena, graph, target_find(STR("x86-64-v4")), 0);
        Buf out = buf_new(world.c.arena);
        print_groups(&groups, &out);
        compare(names[i], str_c(world.c.arena, buf_str(&out)));
    }
}

/* What each move is worth in kernels, and that leaving it out leaves the others. */
static void moves_can_be_left_out(void **state)
{
    (void)state;
    static const char *const names[] = {"bottleneck", "inverted", "transformer"};
    char text[4096];
    size_t len = 0;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const Graph *graph = training(names[i]);
        for (size_t move = MOVE_inline; move <= MOVE_COUNT; move++) {   /* slots: a pass before */
            Moves without = move < MOVE_COUNT ? (Moves)1 << move : 0;
            Groups groups = pass_fuse(world.c.arena, graph, target_find(STR("x86-64-v4")), without);
            size_t equations = 0;
            for (size_t g = 0; g < groups.n; g++)
                equations += groups.groups[g].n;
            int n = snprintf(text + len, sizeof text - len,
                             "%s without %s: %zu equations in %zu kernels\n", names[i],
                             without ? move_name((MoveId)move) : "nothing", equations, groups.n);
            assert_true(n > 0 && (size_t)n < sizeof text - len);
            len += (size_t)n;
        }
    }
    compare("moves", text);
}

/* Fusion of a network's graph is a small part of a second: 1,800 equations take tens of ms. */
static void fusing_takes_no_time(void **state)
{
    (void)state;
    const Graph *graph = training("transformer");
    clock_t start = clock();
    for (int i = 0; i < 10; i++)
        pass_fuse(world.c.arena, graph, target_find(STR("x86-64-v4")), 0);
    assert_true((double)(clock() - start) / CLOCKS_PER_SEC < 1);
}

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

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(kernels_are_as_written),
                                       cmocka_unit_test(moves_can_be_left_out),
                                       cmocka_unit_test(fusing_takes_no_time)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
