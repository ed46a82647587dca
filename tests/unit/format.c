/* format: the canonical layout keeps what a file means, is reached in one go, and looks as the head of
 * grammar/format.c says. */
#include "support/edits.h"
#include "support/program.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { EDITS = 1500 };

static Str tree_of(Program *p, Str text)
{
    const Ast *ast = program_parse(p, STR("formatted.hone"), text);
    Buf tree = buf_new(p->arena);
    ast_dump(ast, &tree);
    return buf_str(&tree);
}

static bool format(Program *p, Str text, Str *formatted)
{
    uint32_t file = sources_add(&p->sources, STR("text.hone"), text);
    Buf out = buf_new(p->arena);
    bool good = format_file(p->arena, &p->sources, file, &p->diags, &out);
    *formatted = buf_str(&out);
    return good;
}

/* False if the text has errors. */
static bool check(const char *name, Str text)
{
    static Program program;
    Program *p = &program;
    program_open(p);
    Str once, twice;
    bool good = format(p, text, &once);
    if (good) {
        bool same = format(p, once, &twice) && str_eq(once, twice);
        bool means = str_eq(tree_of(p, text), tree_of(p, once));
        if (!same || !means) {
            print_error("%s: %s\n%.*s\n--- becomes\n%.*s\n", name,
                        means ? "formatting again changes it" : "the tree changes", STR_ARG(text),
                        STR_ARG(once));
            fail();
        }
    }
    assert_true(good == (p->diags.errors == 0));
    program_close(p);
    return good;
}

static size_t check_folder(const char *folder)
{
    HoneSys sys = {0};
    size_t n = 0, good = 0;
    char **names = hone_list_dir(&sys, folder, &n);
    assert_non_null(names);
    for (size_t i = 0; i < n; i++) {
        if (!str_ends(str_of(names[i]), STR(".hone"))) {
            continue;
        }
        char path[512];
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        size_t bytes = 0;
        char *text = hone_read_file(&sys, path, &bytes);
        assert_non_null(text);
        good += check(path, (Str){text, bytes});
        hone_free(&sys, text);
    }
    hone_free(&sys, names);
    return good;
}

static void test_files(void **state)
{
    (void)state;
    size_t good = 0;
    static const char *const folders[] = {
        TEST_DIR "/golden/parse", TEST_DIR "/golden/model", TEST_DIR "/golden/compiled",
        TEST_DIR "/data", SOURCE_DIR "/compiler/std", SOURCE_DIR "/compiler/std/models",
        SOURCE_DIR "/samples/digits", SOURCE_DIR "/samples/flowers"};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        good += check_folder(folders[i]);
    }
    assert_true(good > 80);
}

/* Programs with words, numbers and lines exchanged: those that still parse. */
static void test_edits(void **state)
{
    (void)state;
    static Edits edits;
    static char text[EDIT_LONGEST];
    static const char *const names[] = {"gpt2", "losses", "nn", "optim", "pets", "resnet", "sst2"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[512];
        snprintf(path, sizeof path, TEST_DIR "/golden/parse/%s.hone", names[i]);
        edits_take(&edits, path);
    }
    uint64_t seed = 7;
    size_t good = 0;
    for (int i = 0; i < EDITS; i++) {
        edits_next(&edits, &seed, 1 + (size_t)i % 3, text);
        good += check("edited", str_of(text));
    }
    assert_true(good > EDITS / 10);
    edits_free(&edits);
}

static void test_layout(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"", ""},
        {"\n\n# alone  \n\n\n", "# alone\n"},
        {"let a=1\nlet longer = -2 # two\nlet b = 3    # three\n",
         "let a      = 1\nlet longer = -2  # two\nlet b      = 3   # three\n"},
        {"fn f( x:[N,K] )->[N]{\n\n y[n]=sum [k] x[n,k]* -2\n  z[n,  k] = x[n, k+1 ]\n\n\n"
         "  return y }",
         "fn f(x: [N, K]) -> [N] {\n  y[n]    = sum[k] x[n, k] * -2\n  z[n, k] = x[n, k+1]\n\n"
         "  return y }\n"},
        {"module M(I) {\n  a : Linear(I, I)\n  param w : [I] = ones()\n  param bias:[2*I, I]=zeros()\n"
         "  fn forward(x: [N, I]) = a(x)\n}\n",
         "module M(I) {\n  a: Linear(I, I)\n  param w:    [I]      = ones()\n"
         "  param bias: [2*I, I] = zeros()\n  fn forward(x: [N, I]) = a(x)\n}\n"},
        {"option lr = 1e-3   \"rate\"\noption epochs = 12 \"how long\"\n",
         "option lr     = 1e-3 \"rate\"\noption epochs = 12   \"how long\"\n"},
        {"let a = max(1,\n2,\n  3\n)\n", "let a = max(1,\n    2,\n    3\n)\n"},
        {"data d\n{\n train = images(\"a\") ;batch = 2;\n}\n",
         "data d {\n  train = images(\"a\"); batch = 2\n}\n"},
        {"fn g(x: [N]) {\n  if a { y = x }\n  else { y = x^2 }\n  return (x + 1)[0]\n}\n",
         "fn g(x: [N]) {\n  if a { y = x } else { y = x^2 }\n  return (x + 1)[0]\n}\n"},
        {"fn h(x: [N, ..]) = x[0, ..] - x [ 1, .. ] // 2\n",
         "fn h(x: [N, ..]) = x[0, ..] - x[1, ..] // 2\n"},
    };
    static Program program;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        program_open(&program);
        Str got;
        bool good = format(&program, str_of(cases[i].text), &got);
        assert_true(good);
        assert_string_equal(str_c(program.arena, got), cases[i].want);
        program_close(&program);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layout),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_edits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
