/* model_golden: every file of golden/model with its diagnostics, as a person sees them, beside it.
 * HONE_BLESS=1 rewrites the texts. Files without a text are parts of others. */
#include "support/world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "support/files.h"

static World world;

static int setup(void **state)
{
    (void)state;
    world_open(&world);
    return chdir(TEST_DIR "/golden/model");
}

static int teardown(void **state)
{
    (void)state;
    world_close(&world);
    return 0;
}

/* What `hone check` would print. */
static Str shown(const char *name)
{
    char path[300];
    snprintf(path, sizeof path, "./%s", name);
    world_check(&world, path);
    return world_text(&world);
}

static bool check_file(const char *name)
{
    char text_name[300];
    snprintf(text_name, sizeof text_name, "%.*s.txt", (int)strlen(name) - 5, name);
    Str text = shown(name);
    if (getenv("HONE_BLESS") != NULL && (text.len > 0 || file_exists(text_name))) {
        file_put(text_name, text.ptr, text.len);
    }
    size_t n = 0;
    char *wants = file_get(text_name, &n);
    bool same = wants != NULL ? str_eq(text, (Str){wants, n}) : text.len == 0;
    if (!same) {
        print_error("%s: got\n%.*s\nwanted\n%s\n", name, STR_ARG(text), wants != NULL ? wants : "");
    }
    free(wants);
    return same;
}

static void test_golden(void **state)
{
    (void)state;
    HoneSys sys = {0};
    size_t n, checked = 0, failed = 0;
    char **names = hone_list_dir(&sys, ".", &n);
    assert_non_null(names);
    for (size_t i = 0; i < n; i++) {
        if (str_ends(str_of(names[i]), STR(".hone"))) {
            failed += !check_file(names[i]);
            checked++;
        }
    }
    hone_free(&sys, names);
    assert_true(checked > 50);
    assert_int_equal(failed, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_golden)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
