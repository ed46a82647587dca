/* robust: texts that nobody meant. Edited programs, and memory refused at every point: no crash,
 * and every rejected text has an error with a place in it. */
#include "support/program.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support/edits.h"

enum { EDITS = 3000 };

static Edits texts;

static int setup(void **state)
{
    (void)state;
    edits_take_folder(&texts, TEST_DIR "/golden/parse");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    edits_free(&texts);
    return 0;
}

static void check_messages(Program *p, Str text)
{
    for (size_t i = 0; i < p->diags.list.len; i++) {
        Span span = diag_span(p->diags.list.at[i]);
        assert_int_equal(span.file, 1);
        assert_true(span.start <= span.end && span.end <= text.len);
    }
    Buf out = buf_new(p->arena);
    diags_text(&p->diags, &out, true);
    diags_json(&p->diags, &out);
    assert_true(p->diags.errors == 0 || out.len > 0);
}

static bool has_error_node(const Ast *ast)
{
    bool found = ast != NULL && ast->kind == AST_ERROR;
    for (size_t i = 0; ast != NULL && i < ast->n && !found; i++) {
        found = has_error_node(ast->kids[i]);
    }
    return found;
}

static void test_edits(void **state)
{
    (void)state;
    static Program program;
    static char edited[EDIT_LONGEST];
    uint64_t seed = 20240517;
    size_t rejected = 0;
    for (int i = 0; i < EDITS; i++) {
        program_open(&program);
        edits_next(&texts, &seed, 0, edited);
        for (int n = 0; n < 1 + i % 3; n++) {
            edits_bytes(&seed, edited);
        }
        Str text = str_of(edited);
        const Ast *ast = program_parse(&program, STR("edited.hone"), text);
        assert_int_equal(ast->kind, AST_PROGRAM);
        assert_true(program.diags.errors > 0 || !has_error_node(ast));
        check_messages(&program, text);
        rejected += program.diags.errors > 0;
        program_close(&program);
    }
    assert_true(rejected > EDITS / 4 && rejected < EDITS);
}

/* Every beginning of a program is a program cut short. */
static void test_prefixes(void **state)
{
    (void)state;
    static Program program;
    for (size_t i = 0; i < texts.n_texts; i++) {
        for (size_t len = 0; len < strlen(texts.texts[i]); len += 97) {
            program_open(&program);
            Str text = {texts.texts[i], len};
            program_parse(&program, STR("cut.hone"), text);
            check_messages(&program, text);
            program_close(&program);
        }
    }
}

static void parse_all(Program *p)
{
    for (size_t i = 0; i < texts.n_texts; i++) {
        program_parse(p, STR("all.hone"), str_of(texts.texts[i]));
    }
    Buf out = buf_new(p->arena);
    diags_text(&p->diags, &out, true);
    diags_json(&p->diags, &out);
}

/* Each allocation in turn is refused: mem unwinds, and the leak checker finds nothing. */
static void test_refused_memory(void **state)
{
    (void)state;
    static Program program;
    static int64_t refuse;
    static int64_t refused;
    for (refuse = 3;; refuse++) { /* the first two are the test's own arena */
        program_open(&program);
        program.sys.fail_alloc = refuse;
        if (setjmp(program.mem.on_failure) != 0) {
            mem_release(&program.mem);
            assert_null(program.mem.arenas);
            refused++;
            continue;
        }
        program.mem.armed = true;
        parse_all(&program);
        bool reached = program.sys.allocs >= refuse;
        program_close(&program);
        if (!reached) {
            break;
        }
    }
    assert_true(refused > 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_edits),
        cmocka_unit_test(test_prefixes),
        cmocka_unit_test(test_refused_memory),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
