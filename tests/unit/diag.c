/* diag: the table, and how diagnostics look as text and as JSON. */
#include "support/program.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static Program world;

static int setup(void **state)
{
    (void)state;
    program_open(&world);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    program_close(&world);
    return 0;
}

/* The span of the first `what` in a file. */
static Span at(uint32_t file, const char *what)
{
    const char *text = sources_file(&world.sources, file)->text.ptr;
    uint32_t start = (uint32_t)(strstr(text, what) - text);
    return (Span){file, start, start + (uint32_t)strlen(what)};
}

static void shows(const char *expected)
{
    Buf out = buf_new(world.arena);
    diags_text(&world.diags, &out, false);
    assert_string_equal(buf_str(&out).ptr, expected);
}

static void test_table(void **state)
{
    (void)state;
    int before = -1;
    for (int i = 0; i < DIAG_COUNT; i++) {
        DiagCode code = (DiagCode)i;
        const char *name = diag_code_name(code);
        assert_int_equal(strlen(name), 4);
        assert_non_null(strchr("EWN", name[0]));
        int number = (name[1] - '0') * 100 + (name[2] - '0') * 10 + (name[3] - '0');
        assert_true(number > before); /* numeric order, each once */
        before = number;
        assert_true(strlen(diag_code_title(code)) >= 5);
        assert_true(strlen(diag_code_text(code)) > 40);
        DiagCode found;
        assert_true(diag_code_find(str_of(name), &found));
        assert_int_equal(found, code);
    }
    DiagCode none;
    assert_false(diag_code_find(STR("E999"), &none));
    assert_false(diag_code_find(STR(""), &none));
    assert_string_equal(diag_code_level(E201), "error");
    assert_string_equal(diag_code_level(W209), "warning");
    assert_string_equal(diag_code_level(N521), "note");
}

static uint32_t resnet(void)
{
    Buf text = buf_new(world.arena);
    for (int i = 1; i < 46; i++) {
        buf_char(&text, '\n');
    }
    buf_add(&text, STR("  fc: Linear(512, classes)\n"
                       "  fn forward(x: [N, 3, H, W]) -> [N, classes] = fc(mean_pool(body(x)))\n"));
    return sources_add(&world.sources, STR("resnet.hone"), buf_str(&text));
}

static void test_text(void **state)
{
    (void)state;
    uint32_t file = resnet();
    Span use = at(file, "fc(mean");
    use.end = use.start + 2;
    Diag *d = diag(&world.diags, E201, use, "dimension mismatch in call to `%s`", "fc");
    diag_label(d, "wants [.., %d], gets [N, 2048]", 512);
    Span declared = at(file, "fc:");
    declared.end--;
    diag_note_at(d, declared, "I = 512", "`fc` is declared here");
    diag_note(d, "`body` ends with 4*P = 2048 channels (Bottleneck, P = 512)");
    diag_help(d, "write `fc: Linear(2048, classes)`");
    shows(
        "error[E201]: dimension mismatch in call to `fc`\n"
        "  --> resnet.hone:47:49\n"
        "   |\n"
        "47 |   fn forward(x: [N, 3, H, W]) -> [N, classes] = fc(mean_pool(body(x)))\n"
        "   |                                                 ^^ wants [.., 512], gets [N, 2048]\n"
        "   |\n"
        "note: `fc` is declared here\n"
        "  --> resnet.hone:46:3\n"
        "   |\n"
        "46 |   fc: Linear(512, classes)\n"
        "   |   ^^ I = 512\n"
        "   = note: `body` ends with 4*P = 2048 channels (Bottleneck, P = 512)\n"
        "   = help: write `fc: Linear(2048, classes)`\n");
}

static void test_no_place(void **state)
{
    (void)state;
    Diag *d = diag(&world.diags, E702, (Span){0}, "cannot read `%s`", "a.hone");
    diag_note(d, "no such file");
    diag_help(d, "check the name");
    shows("error[E702]: cannot read `a.hone`\n"
          "   = note: no such file\n"
          "   = help: check the name\n");
    assert_int_equal(world.diags.errors, 1);
}

static void test_order_and_repetition(void **state)
{
    (void)state;
    uint32_t file = sources_add(&world.sources, STR("a"), STR("one two\nthree"));
    diag(&world.diags, E101, at(file, "three"), "third");
    diag_note(diag(&world.diags, W210, at(file, "two"), "second"), "kept");
    diag_note(diag(&world.diags, W210, at(file, "two"), "second"), "dropped with its repetition");
    diag(&world.diags, E101, at(file, "one"), "first");
    diag(&world.diags, E102, at(file, "one"), "first, too");
    diag(&world.diags, E102, at(file, "one"), "first, too");
    assert_int_equal(world.diags.errors, 4);        /* the repeated one counts, and is not shown */
    assert_int_equal(world.diags.warnings, 1);
    shows(
        "error[E101]: first\n  --> a:1:1\n   |\n 1 | one two\n   | ^^^\n\n"
        "error[E102]: first, too\n  --> a:1:1\n   |\n 1 | one two\n   | ^^^\n\n"
        "warning[W210]: second\n  --> a:1:5\n   |\n 1 | one two\n   |     ^^^\n   = note: kept\n\n"
        "error[E101]: third\n  --> a:2:1\n   |\n 2 | three\n   | ^^^^^\n");
}

static void test_odd_lines(void **state)
{
    (void)state;
    uint32_t file =
        sources_add(&world.sources, STR("a\x1b[2J"), STR("\t\xC3\xA9\x1b\xFF = b(\nrest)\r\n"));
    Span call = at(file, "b(");
    call.end += 6;
    diag(&world.diags, E101, call, "over two lines: its first is shown");
    diag(&world.diags, E003, (Span){file, 16, 16}, "at the end");
    shows("error[E101]: over two lines: its first is shown\n  --> a\xEF\xBF\xBD[2J:1:8\n   |\n"
          " 1 |  \xC3\xA9\xEF\xBF\xBD\xEF\xBF\xBD = b(\n   |        ^^\n\n"
          "error[E003]: at the end\n  --> a\xEF\xBF\xBD[2J:2:6\n   |\n 2 | rest)\n   |      ^\n");
}

static void test_long_line(void **state)
{
    (void)state;
    Buf text = buf_new(world.arena);
    for (int i = 0; i < 1000; i++) {
        buf_add(&text, STR("abcd "));
    }
    buf_add(&text, STR("here"));
    for (int i = 0; i < 1000; i++) {
        buf_add(&text, STR(" efgh"));
    }
    uint32_t file = sources_add(&world.sources, STR("a"), buf_str(&text));
    diag(&world.diags, E101, at(file, "here"), "far right");
    Buf out = buf_new(world.arena);
    diags_text(&world.diags, &out, false);
    assert_in_range(out.len, 100, 400);
    const char *line = strstr(out.ptr, " 1 | ");
    const char *carets = strstr(line, "\n   | ") + 1;
    /* the ellipsis is three bytes wide and one column */
    assert_int_equal(strstr(line, "here") - line - 2, strstr(carets, "^^^^") - carets);
}

static void test_colour(void **state)
{
    (void)state;
    uint32_t file = resnet();
    diag_note_at(diag(&world.diags, E101, at(file, "classes"), "m"), at(file, "fc"), "l", "n");
    Buf plain = buf_new(world.arena);
    diags_text(&world.diags, &plain, false);
    Buf colour = buf_new(world.arena);
    diags_text(&world.diags, &colour, true);
    Buf stripped = buf_new(world.arena);
    for (size_t i = 0; i < colour.len; i++) {
        if (colour.ptr[i] == '\x1b') {
            while (colour.ptr[i] != 'm') {
                i++;
            }
        } else {
            buf_char(&stripped, colour.ptr[i]);
        }
    }
    assert_true(colour.len > plain.len);
    assert_string_equal(stripped.ptr, plain.ptr);
}

static void test_json(void **state)
{
    (void)state;
    uint32_t file = sources_add(&world.sources, STR("a\"b"), STR("x = \xC3\xA9y\n\xFF"));
    Diag *d =
        diag(&world.diags, E101, at(file, "y"), "quote \" back \\ line \n bell \x07 bad \xFF");
    diag_label(d, "here");
    diag_note(d, "without place");
    diag_note_at(d, at(file, "x"), "label", "with place");
    diag_help(d, "do this");
    diag_edit(d, at(file, "y"), STR("z"));
    diag(&world.diags, W210, (Span){0}, "second");
    Buf out = buf_new(world.arena);
    diags_json(&world.diags, &out);
    char *second = strchr(out.ptr, '\n') + 1; /* sorted: without a place comes first */
    json_error_t error;
    json_t *json = json_loads(second, 0, &error);
    assert_non_null(json);
    assert_string_equal(json_string_value(json_object_get(json, "code")), "E101");
    assert_string_equal(json_string_value(json_object_get(json, "level")), "error");
    assert_string_equal(json_string_value(json_object_get(json, "message")),
                        "quote \" back \\ line \n bell \x07 bad \xEF\xBF\xBD");
    const json_t *place = json_object_get(json, "place");
    assert_string_equal(json_string_value(json_object_get(place, "file")), "a\"b");
    assert_int_equal(json_integer_value(json_object_get(place, "line")), 1);
    assert_int_equal(json_integer_value(json_object_get(place, "column")), 6);
    assert_int_equal(json_integer_value(json_object_get(place, "start")), 6);
    assert_int_equal(json_integer_value(json_object_get(place, "end")), 7);
    assert_int_equal(json_array_size(json_object_get(json, "notes")), 2);
    assert_int_equal(json_array_size(json_object_get(json, "help")), 1);
    const json_t *edit = json_array_get(json_object_get(json, "edits"), 0);
    assert_string_equal(json_string_value(json_object_get(edit, "text")), "z");
    json_decref(json);
    *strchr(out.ptr, '\n') = '\0';
    json = json_loads(out.ptr, 0, &error);
    assert_non_null(json);
    assert_null(json_object_get(json, "place"));
    json_decref(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test_setup_teardown(test_text, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_place, setup, teardown),
        cmocka_unit_test_setup_teardown(test_order_and_repetition, setup, teardown),
        cmocka_unit_test_setup_teardown(test_odd_lines, setup, teardown),
        cmocka_unit_test_setup_teardown(test_long_line, setup, teardown),
        cmocka_unit_test_setup_teardown(test_colour, setup, teardown),
        cmocka_unit_test_setup_teardown(test_json, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
