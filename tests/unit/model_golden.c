/* model_golden: every file of golden/model with its diagnostics, as a person sees them, beside it.
 * HONE_BLESS=1 rewrites the texts. Files without a text are parts of others. */
#include "support/world.h"

#include <dirent.h>
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

static bool is_library(const File *file)
{
    const Ast *tree = file_tree(file);
    for (size_t i = 0; i < tree->n; i++) {
        if (tree->kids[i]->kind == AST_FINETUNE) {
            return false;
        }
    }
    return true;
}

/* What `hone check` would print; a recipe's graphs are verified too. */
static Str shown(const char *name)
{
    char path[300];
    snprintf(path, sizeof path, "./%s", name);
    File *file = world_load(&world, path);
    if (file != NULL && world.c.diags.errors == 0) {
        Recipe *recipe = NULL;
        if (is_library(file)) {
            library_check(&world.c, file);
        } else {
            recipe = world_recipe(&world, file, true);
        }
        const char *why = recipe != NULL ? world_verify(&world, recipe) : NULL;
        if (why != NULL) {
            fail_msg("%s: %s", name, why);
        }
        assert_true(recipe == NULL || world.c.diags.errors == 0);
    }
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

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void test_golden(void **state)
{
    (void)state;
    char *names[512];
    size_t n = 0, failed = 0;
    DIR *dir = opendir(".");
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        size_t len = strlen(entry->d_name);
        if (n < 512 && len > 5 && strcmp(entry->d_name + len - 5, ".hone") == 0) {
            names[n++] = strdup(entry->d_name);
        }
    }
    closedir(dir);
    qsort(names, n, sizeof *names, by_name);
    for (size_t i = 0; i < n; i++) {
        failed += !check_file(names[i]);
        free(names[i]);
    }
    assert_true(n > 50);
    assert_int_equal(failed, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_golden)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
