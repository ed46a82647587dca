/* model_robust: recipes and libraries with words, numbers and lines exchanged. Whatever they have
 * come to mean, the compiler answers with diagnostics or with well-formed graphs; and refused
 * memory is the one way out. Edits of bytes, which seldom parse, are in robust.c. */
#include "support/world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support/edits.h"
#include "support/files.h"

enum { EDITS = 1000 };

static World world;
static Edits edits;

/* --- files -------------------------------------------------------------------------------- */
/* All of golden/model is copied beside the edited file, which uses it. */
static void take_golden(void)
{
    HoneSys sys = {0};
    size_t n, bytes;
    char **names = hone_list_dir(&sys, TEST_DIR "/golden/model", &n);
    assert_non_null(names);
    for (size_t i = 0; i < n; i++) {
        char path[1024];
        Str name = str_of(names[i]);
        if (name.ptr[0] == '.' || str_ends(name, STR(".txt"))) {
            continue;
        }
        snprintf(path, sizeof path, TEST_DIR "/golden/model/%s", names[i]);
        char *text = file_get(path, &bytes);
        file_put(in_folder(world.folder, names[i]), text, bytes);
        free(text);
    }
    hone_free(&sys, names);
    edits_take_folder(&edits, TEST_DIR "/golden/model");
}

static int setup(void **state)
{
    (void)state;
    world_open(&world);
    take_golden();
    static const char *const others[] = {
        "/compiler/std/nn.hone",    "/compiler/std/losses.hone", "/compiler/std/optim.hone",
        "/compiler/std/sched.hone", "/samples/digits/net.hone",
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        char path[1024];
        snprintf(path, sizeof path, "%s%s", SOURCE_DIR, others[i]);
        edits_take(&edits, path);
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    edits_free(&edits);
    world_close(&world);
    return 0;
}

static void test_edits(void **state)
{
    (void)state;
    uint64_t seed = getenv("HONE_SEED") != NULL ? strtoull(getenv("HONE_SEED"), NULL, 10) : 77;
    static char text[EDIT_LONGEST];
    size_t parsed = 0;
    for (int i = 0; i < EDITS; i++) {
        edits_next(&edits, &seed, 1 + (edits_random(&seed) >> 63), text);
        world_put(&world, "t.hone", text);
        parsed += world_check(&world, "t.hone");
        world_text(&world);
    }
    assert_true(parsed > EDITS / 4);
}

/* Each allocation in turn is refused, and all after it. */
static void test_refused_memory(void **state)
{
    (void)state;
    char path[1024];
    snprintf(path, sizeof path, "%s/samples/digits/finetune.hone", SOURCE_DIR);
    static int64_t n;
    static size_t refused;
    for (n = 1, refused = 0; n < 100000; n++) {
        world_load(&world, path); /* a fresh start */
        int64_t before = world.sys.allocs;
        world.sys.fail_alloc = before + n;
        world.sys.persistent = true;
        world.mem.armed = true;
        if (setjmp(world.mem.on_failure) == 0) {
            Recipe *r = world_recipe(&world, world_load(&world, path), true);
            bool done = r != NULL && world.sys.allocs < before + n;
            bool told = r != NULL || world.c.diags.errors > 0;
            world.sys.fail_alloc = 0;
            assert_true(told);
            if (done) {
                break;
            }
        } else {
            world.sys.fail_alloc = 0;
            refused++;
        }
        world.mem.armed = false;
    }
    world.mem.armed = false;
    assert_true(refused > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_edits),
                                       cmocka_unit_test(test_refused_memory)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
