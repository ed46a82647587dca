/* parse: every golden/parse/NAME.hone becomes NAME.tree; if it has mistakes, also NAME.diag.
 * HONE_BLESS=1 writes the expectations anew. */
#include "support/program.h"

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

static const char FOLDER[] = TEST_DIR "/golden/parse";

/* The expectation beside the program; an empty one has no file. */
static void expect(Program *p, const char *name, const char *ending, Str got)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s.%s", FOLDER, name, ending);
    if (getenv("HONE_BLESS") != NULL) {
        unlink(path);
        FILE *file = got.len == 0 ? NULL : fopen(path, "wb");
        if (file != NULL) {
            fwrite(got.ptr, 1, got.len, file);
            fclose(file);
        }
        return;
    }
    size_t bytes = 0;
    char *text = hone_read_file(&p->sys, path, &bytes);
    if (!str_eq(got, (Str){text == NULL ? "" : text, bytes})) {
        print_error("%s differs; it is now:\n%.*s\n", path, (int)got.len, got.ptr);
        fail();
    }
    hone_free(&p->sys, text);
}

static void check(const char *name)
{
    static Program program;
    Program *p = &program;
    char path[512];
    snprintf(path, sizeof path, "%s/%s.hone", FOLDER, name);
    program_open(p);
    size_t bytes = 0;
    char *text = hone_read_file(&p->sys, path, &bytes);
    assert_non_null(text);
    snprintf(path, sizeof path, "%s.hone", name);
    const Ast *ast = program_parse(p, str_copy(p->arena, str_of(path)), (Str){text, bytes});
    Buf tree = buf_new(p->arena);
    ast_dump(ast, &tree);
    Buf messages = buf_new(p->arena);
    diags_text(&p->diags, &messages, false);
    expect(p, name, "tree", buf_str(&tree));
    expect(p, name, "diag", buf_str(&messages));
    hone_free(&p->sys, text);
    program_close(p);
}

static void test_golden(void **state)
{
    (void)state;
    HoneSys sys = {0};
    size_t n = 0;
    char **names = hone_list_dir(&sys, FOLDER, &n);
    assert_non_null(names);
    size_t checked = 0;
    for (size_t i = 0; i < n; i++) {
        char *dot = strrchr(names[i], '.');
        if (dot != NULL && strcmp(dot, ".hone") == 0) {
            *dot = '\0';
            check(names[i]);
            checked++;
        }
    }
    hone_free(&sys, names);
    assert_true(checked > 10);
}

/* Every block marked ```hone in the reference is a program without mistakes. */
static void test_reference(void **state)
{
    (void)state;
    static Program program;
    program_open(&program);
    size_t bytes = 0;
    char *text = hone_read_file(&program.sys, SOURCE_DIR "/grammar/README.md", &bytes);
    assert_non_null(text);
    size_t blocks = 0;
    for (char *at = strstr(text, "```hone\n"); at != NULL; at = strstr(at, "```hone\n")) {
        at += strlen("```hone\n");
        char *end = strstr(at, "\n```\n");
        assert_non_null(end);
        program_parse(&program, STR("README.md"), (Str){at, (size_t)(end + 1 - at)});
        at = end;
        blocks++;
    }
    Buf messages = buf_new(program.arena);
    diags_text(&program.diags, &messages, false);
    assert_string_equal(str_c(program.arena, buf_str(&messages)), "");
    assert_true(blocks >= 1);
    hone_free(&program.sys, text);
    program_close(&program);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_reference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
