/* syntax: each rule of lexing, layout and grammar, and each kind of syntax error, in a line or two.
 * Whole programs are in parse.c. */
#include "support/program.h"

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

/* The tree of a text that has no mistakes. */
static Str tree(const char *text)
{
    const Ast *ast = program_parse(&world, STR("t.hone"), str_of(text));
    if (world.diags.errors > 0) {
        Buf out = buf_new(world.arena);
        diags_text(&world.diags, &out, false);
        print_error("%s\n%.*s", text, STR_ARG(buf_str(&out)));
        fail();
    }
    Buf out = buf_new(world.arena);
    ast_dump(ast, &out);
    return buf_str(&out);
}

static void same(const char *a, const char *b)
{
    Str left = tree(a);
    Str right = tree(b);
    if (!str_eq(left, right)) {
        print_error("%s\n%.*s\nis not\n%s\n%.*s", a, STR_ARG(left), b, STR_ARG(right));
        fail();
    }
}

static void differs(const char *a, const char *b)
{
    assert_false(str_eq(tree(a), tree(b)));
}

/* The errors of a text, as "E003 2:5 message; …", sorted by place. */
static void errors(const char *text, const char *expected)
{
    world.diags = diags_new(world.arena, &world.sources);
    program_parse(&world, STR("t.hone"), str_of(text));
    Buf out = buf_new(world.arena);
    uint32_t before = 0;
    for (size_t n = 0; n < world.diags.list.len; n++) {
        const Diag *next = NULL;
        for (size_t i = 0; i < world.diags.list.len; i++) {
            const Diag *d = world.diags.list.at[i];
            if (diag_span(d).start + 1 > before &&
                (next == NULL || diag_span(d).start < diag_span(next).start)) {
                next = d;
            }
        }
        if (next == NULL) {
            break;
        }
        Span span = diag_span(next);
        before = span.start + 2;
        Place place = source_place(sources_file(&world.sources, span.file), span.start);
        buf_printf(&out, "%s%s %u:%u " STR_FMT, n > 0 ? "; " : "", diag_code_name(diag_code(next)),
                   place.line, place.column, STR_ARG(diag_message(next)));
    }
    if (!str_is(buf_str(&out), expected)) {
        print_error("%s\ngives   %.*s\ninstead %s\n", text, STR_ARG(buf_str(&out)), expected);
        fail();
    }
    world.diags = diags_new(world.arena, &world.sources);
}

/* --- lexing
 * --------------------------------------------------------------------------------------- */
static void test_bytes(void **state)
{
    (void)state;
    same("use a\r\nuse b\r\n", "use a\nuse b\n");
    same("\xEF\xBB\xBFuse a", "use a");
    same("use a\n\tuse b", "use a\n  use b");
    same("", "\n\n  # only a comment\n");
    errors("use a\x01", "E003 1:6 stray control character");
    errors("let a = 1 \xC3\xA9 2", "E003 1:11 stray character `\xC3\xA9`");
    errors("# \xFF\nuse a", "E003 1:3 not UTF-8");
    errors("use a\rb", "E003 1:6 stray control character");
    errors("let a = 1 $ 2\nlet b = ~3",
           "E003 1:11 stray character `$`; E003 2:9 stray character `~`");
    errors("let a = 2 ** 3", "E003 1:11 `**` is not an operator");
    errors("let a = b && !c || d",
           "E003 1:11 `&&` is not an operator; E003 1:14 `!` is not an operator; "
           "E003 1:17 `||` is not an operator");
}

static void test_numbers(void **state)
{
    (void)state;
    differs("let a = 1", "let a = 1.0");
    const Ast *ast =
        program_parse(&world, STR("n"), STR("let a = 1_000\nlet b = 3e-4\nlet c = 1_0.2_5e+1"));
    assert_int_equal(ast->kids[0]->kids[0]->ival, 1000);
    assert_true(ast->kids[1]->kids[0]->fval == 3e-4);
    assert_true(ast->kids[2]->kids[0]->fval == 102.5);
    assert_int_equal(world.diags.errors, 0);
    tree("fn f() { for i in 0..5 { a = layer.0.weight } }");
    tree("fn f() { for i in 0.5..1.5 { a = layer.10.5 } }");
    errors("let a = 1.", "E003 1:9 malformed number `1.`");
    errors("let a = 12abc", "E003 1:9 malformed number `12abc`");
    errors("let a = 1__0", "E003 1:9 malformed number `1__0`");
    errors("let a = 1.2.3", "E003 1:9 malformed number `1.2.3`");
    errors("let a = 1e", "E003 1:9 malformed number `1e`");
    errors("let a = 0x1F", "E003 1:9 malformed number `0x1F`");
    errors("let a = x.0b", "E003 1:10 malformed path index `.0b`");
    errors("let a = .5", "E003 1:9 unexpected `.5`");
    errors("let a = 9223372036854775808", "E211 1:9 number is too large");
    errors("let a = 1e999", "E211 1:9 number is too large");
    tree("let a = 9223372036854775807");
}

static void test_strings(void **state)
{
    (void)state;
    assert_true(str_is(tree("let a = \"q\\\" b\\\\ n\\n t\\t \xC3\xA9 #\""),
                       "program\n  let a\n    string \"q\\\" b\\\\ n\\n t\\t \xC3\xA9 #\"\n"));
    tree("let a = \"\"");
    errors("let a = \"abc\nlet b = f(\"x)\nlet c = 1",
           "E003 1:9 this string is never closed; E003 2:11 this string is never closed");
    errors("let a = \"abc\\\nlet b = 1", "E003 1:9 this string is never closed");
    errors("let a = \"a\\qb\"", "E003 1:11 unknown escape `\\q`");
    errors("let a = 'abc'", "E003 1:9 stray `'`");
}

static void test_words(void **state)
{
    (void)state;
    /* words of recipes are names; after a dot every word is one */
    tree(
        "fn f(load, step, group) { metric = load + where\n predict = 1\n metric, only = g(from) }");
    tree("fn f(x) = x.module.data.weight.sum.if.for");
    tree("finetune f { step = 1\n group = 2\n load: Net()\n model: a.b.Net(penalty = 1) }");
    tree("module M() { param module1.let.use: f32 = zeros() }");
    errors("let if = 1", "E003 1:5 unexpected `if`");
    errors("fn f() { sum = 1 }", "E003 1:10 unexpected `sum`");
    differs("fn f() { metric a = 1 }", "fn f() { a = 1 }");
    assert_true(str_ends(tree("fn f() { stats.mean' = m' + 1 }"),
                         STR("        binary +\n          primed m\n          int 1\n"
                             "        lhs stats.mean [primed]\n")));
}

static void test_docs(void **state)
{
    (void)state;
    assert_true(str_is(tree("# far away\n\n# one\n#two\nuse a\n\nuse b   # not this\nuse c\n"),
                       "program\n  use\n    | one\n    | two\n    name a\n  use\n    name b\n  "
                       "use\n    name c\n"));
    assert_true(str_is(tree("module M() {\n  # why\r\n  tie a = b\n}"),
                       "program\n  module M\n    params\n    body\n      tie\n        | why\n"
                       "        path a\n        path b\n"));
}

/* --- layout
 * --------------------------------------------------------------------------------------- */
static void test_continues(void **state)
{
    (void)state;
    static const char *const operators[] = {"+", "-", "*",  "/",  "//", "%",  "@",   "^",
                                            "<", ">", "<=", ">=", "==", "!=", "and", "or"};
    for (size_t i = 0; i < sizeof operators / sizeof *operators; i++) {
        const char *op = operators[i];
        const char *plain = str_c(world.arena, str_format(world.arena, "let a = b %s c\n", op));
        same(str_c(world.arena, str_format(world.arena, "let a = b %s\n c\n", op)), plain);
        same(str_c(world.arena, str_format(world.arena, "let a = b\n %s c\n", op)), plain);
        same(str_c(world.arena, str_format(world.arena, "let a = b\n\n# between\n%s c\n", op)),
             plain);
    }
    same("let a = b[i]\n ?? c", "let a = b[i] ?? c");
    same("let a = b[i] ??\n c", "let a = b[i] ?? c");
    same("let a\n = b", "let a = b");
    same("let a =\n\n b", "let a = b");
    same("fn f(x)\n -> f32\n = x", "fn f(x) -> f32 = x");
    same("fn f(x) ->\n f32 = x", "fn f(x) -> f32 = x");
    same("use a,\n b", "use a, b");
    same("module M() { a:\n N() }", "module M() { a: N() }");
    same("let a = not\n b", "let a = not b");
    same("fn f(x) = sum[i,\n j]\n  x[i, j]", "fn f(x) = sum[i, j] x[i, j]");
    same("fn f(x)\n{\n return x\n}", "fn f(x) { return x }");
    same("fn f(x) { if x { a = 1 }\n else { a = 2 } }",
         "fn f(x) { if x { a = 1 } else { a = 2 } }");
    same("fn f(x) { if x { a = 1 }\n\n # so\n else if y\n {\n a = 2 } }",
         "fn f(x) { if x { a = 1 } else if y { a = 2 } }");
}

static void test_ends(void **state)
{
    (void)state;
    same("use a; use b;; use c;", "use a\nuse b\nuse c");
    same("fn f() { a = 1; b = 2; }", "fn f() {\n\n a = 1\n\n\n b = 2\n\n}");
    same("fn f(x) = g(\n x,\n 1\n,\n)", "fn f(x) = g(x, 1)");
    same("fn f(x) = g(x,\n1\n)", "fn f(x) = g(x, 1)"); /* odd, but valid: no rule may object */
    same("fn f(x) {\nif x {\nreturn [\n1,\n2\n]\n}\n}", "fn f(x) { if x { return [1, 2] } }");
    differs("fn f(x) { a = x[0]\n b = 1 }", "fn f(x) { a = x[0] }");
    errors("let a = x[i]\n(b)", "E003 2:1 unexpected `(`");
    errors("let a = (1; + 2)", "E003 1:11 `;` inside brackets");
    errors("let a", "E003 1:6 line ends too early");
    errors("let a\nuse b", "E003 1:6 line ends too early");
}

static void test_trailing_commas(void **state)
{
    (void)state;
    same("fn f(x, y,) = g(x, [1, 2,], y,)", "fn f(x, y) = g(x, [1, 2], y)");
    same("fn f(x: f32[N, M,]) { y[i, j,] = sum[k,] x[i, k,] }",
         "fn f(x: f32[N, M]) { y[i, j] = sum[k] x[i, k] }");
    errors("let a = f(,)", "E003 1:11 unexpected `,`");
    errors("let a = []", "E003 1:10 unexpected `]`");
}

/* --- grammar
 * -------------------------------------------------------------------------------------- */
static void test_precedence(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"a or b and not c == d", "a or (b and (not (c == d)))"},
        {"a + b * c ^ d ^ e", "a + (b * (c ^ (d ^ e)))"},
        {"-x ^ 2", "-(x ^ 2)"},
        {"-x * y", "(-x) * y"},
        {"2 ^ -x", "2 ^ (-x)"},
        {"a - b - c", "(a - b) - c"},
        {"a / b @ c // d % e", "(((a / b) @ c) // d) % e"},
        {"sum[k] a[k] * b[k] + c", "(sum[k] (a[k] * b[k])) + c"},
        {"c + sum[k] a[k]", "c + (sum[k] a[k])"},
        {"a < b + c", "a < (b + c)"},
        {"any[k] x[k] > 0", "(any[k] x[k]) > 0"},
        {"max[i] min[j] x[i, j] * 2", "max[i] (min[j] (x[i, j] * 2))"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        Str trees[2];
        for (size_t j = 0; j < 2; j++) {
            Str dump = tree(str_c(world.arena, str_format(world.arena, "let a = %s", pairs[i][j])));
            Buf plain = buf_new(world.arena); /* without the flags */
            for (size_t k = 0; k < dump.len; k++) {
                Str rest = {dump.ptr + k, dump.len - k};
                if (str_starts(rest, STR(" [parens]"))) {
                    k += strlen(" [parens]") - 1;
                } else {
                    buf_char(&plain, dump.ptr[k]);
                }
            }
            trees[j] = buf_str(&plain);
        }
        if (!str_eq(trees[0], trees[1])) {
            print_error("%s is not %s\n", pairs[i][0], pairs[i][1]);
            fail();
        }
    }
    errors("let a = b < c < d", "E003 1:15 unexpected `<`");
}

static void test_reads(void **state)
{
    (void)state;
    assert_true(
        str_is(tree("let a = x[i] ?? y[j] ?? -0 * 2"),
               "program\n  let a\n    binary *\n      subscript\n        name x\n        fill\n"
               "          subscript\n            name y\n            fill\n"
               "              unary -\n                int 0\n            name j\n"
               "        name i\n      int 2\n"));
    tree("fn f(x) = norm[i](x) + widths[i] + len(x) + x.T[0].0.a(1)[..]");
    errors("let a = b ?? c", "E003 1:11 unexpected `?"
                             "?`");
    tree("fn f(x) = (x[i] ?? 0).T");
}

static void test_items(void **state)
{
    (void)state;
    tree("option lr: float = 1e-3 \"peak\"\noption name = \"a\" \"help\"\noption n = 3");
    tree("module M(base: module, x: [.., K], _: int) { a, b.c, d[i < 3] as \"\": nn.Linear(I, O)\n"
         "param w as \"k.w\": i32[3] = zeros()\nstate s.t: f32 = zeros()\n"
         "if a { fn f() = 1 } else if b { tie x.y = z.0 } else { c: N() } }");
    tree("optimizer O(lr = 0.1) { state m: f32[..] = zeros()\n fn update(p: f32[..]) { p' = p } }");
    tree("data d { train = images(\"x\", size = 2)\n length = [64, 128]\n shuffle = false }");
    tree("finetune f { save \"a\" state m merged only \"b\" except \"c\" where rank == 2 { rename "
         "\"a\" -> \"b\" }\n"
         "save e\nload f(x) into past\nlet q = 3\nrecompute \"h.#\"\nremember b in old { metric m "
         "= 1 }\n"
         "penalty(p, p0, f,) in \"**\" from \"fisher\" = f * (p - p0)^2\nlayers \"a\", \"b\"\n"
         "adapt \"a\", \"b\" with LoRA(r = 2)\nfor w in [1, 2], xs { stage s { freeze \"a\" where "
         "depth > w } }\n"
         "group \"a\" { lr = 1\n optimizer Muon() }\nstep b in d { predict p = 1\n return 1, 2\n "
         "a, b' = f(x) } }");
    errors("module M() { d[i]: N() }", "E003 1:17 unexpected `]`");
    errors("fn f(x) { y[i < 3, 4] = 1 }", "E003 1:20 unexpected number `4`");
    errors("fn f(x) { x }", "E003 1:12 line ends too early");
    errors("fn f(x) { f(x) }", "E003 1:12 unexpected `(`");
}

/* --- mistakes
 * ------------------------------------------------------------------------------------- */
static void test_misspelt(void **state)
{
    (void)state;
    errors("def f(x) = x", "E004 1:1 unknown item `def`");
    errors("modul M() { a: N() }", "E004 1:1 unknown item `modul`");
    errors("class M() { a: N() }\nimport x",
           "E004 1:1 unknown item `class`; E004 2:1 unknown item `import`");
    errors("module M() { parm w: [N] = zeros() }", "E004 1:14 unknown clause `parm`");
    errors("fn f() { retrun x }", "E004 1:10 unknown statement `retrun`");
    errors("finetune f { forr k in 0..2 { stage a { freze \"x\" } } }",
           "E004 1:14 unknown clause `forr`");
    errors("finetune f { for k in 0..2 { stage a { freze \"x\" } } }",
           "E004 1:40 unknown clause `freze`");
    errors("finetune f { load \"x\" { renam \"a\" -> \"b\" } }",
           "E004 1:25 unknown clause `renam`");
    errors("x = 3", "E004 1:1 unknown item `x`");
    errors("finetune f { param x: [N] = 1 }", "E003 1:14 unexpected `param`");
}

static void test_brackets(void **state)
{
    (void)state;
    errors("module M() {\n  fc: Linear(D, K\n  b: N()\n}", "E001 2:13 this `(` is never closed");
    errors("let a = f(x[1)", "E001 1:12 this `[` is closed by `)`");
    errors("let a = f(x[1), 2)", "E001 1:12 this `[` is closed by `)`");
    errors("let a = f(1]\nlet b = 2", "E001 1:10 this `(` is closed by `]`");
    errors("fn f() {\n  a = f(1\n}\nuse b", "E001 2:8 this `(` is never closed");
    errors("fn f() { if (a { b = 1 } }", "E001 1:13 this `(` is never closed");
    errors("let a = (1\n", "E001 1:9 this `(` is never closed");
    errors("let a = (1 +\nuse b", "E001 1:9 this `(` is never closed");
    errors("let a = 1)", "E003 1:10 unexpected `)`");
    errors("}", "E003 1:1 unexpected `}`");
}

static void test_braces(void **state)
{
    (void)state;
    errors("module M() {\n  a: N()\n\nuse b\nlet c = 1", "E002 1:12 this `{` is never closed");
    errors("module M() {\n  fn f(x) {\n    if x {\n      a = 1\n  }\n}\nuse b",
           "E002 3:10 this `{` is never closed");
    errors("fn f() {\n  if x {\n    a = 1\n  }\n", "E002 1:8 this `{` is never closed");
    errors("module M() {\n  fn f(x) {\n    a = 1\n\n  fn g(x) {\n    b = 1\n  }\n}\n",
           "E002 2:11 this `{` is never closed; E003 5:3 unexpected `fn`");
}

static Str repeated(const char *before, const char *part, size_t n, const char *after)
{
    Buf buf = buf_new(world.arena);
    buf_add(&buf, str_of(before));
    for (size_t i = 0; i < n; i++) {
        buf_add(&buf, str_of(part));
    }
    buf_add(&buf, str_of(after));
    return buf_str(&buf); /* a NUL follows */
}

static void test_nesting(void **state)
{
    (void)state;
    errors(repeated("let a = ", "(", 300, "1").ptr, "E003 1:265 nested too deep");
    errors(repeated("let a = ", "(", 300, repeated("1", ")", 300, "").ptr).ptr,
           "E003 1:265 nested too deep");
    tree(repeated("let a = ", "(", 256, repeated("1", ")", 256, "").ptr).ptr);
    static const char *const chains[] = {"-", "not ", "1 + ", "1 ^ ", "sum[i] ", "x[i] ?? ", "x."};
    for (size_t i = 0; i < sizeof chains / sizeof *chains; i++) {
        world.diags = diags_new(world.arena, &world.sources);
        program_parse(&world, STR("t"), repeated("let a = ", chains[i], 20000, "x"));
        assert_true(world.diags.errors >= 1);
        assert_string_equal(diag_message(world.diags.list.at[0]).ptr, "nested too deep");
        world.diags = diags_new(world.arena, &world.sources);
        Str text = repeated("let a = ", chains[i], 255, "x");
        program_parse(&world, STR("t"), text);
        assert_int_equal(world.diags.errors, 0);
    }
    Str path = repeated("module M() { param a", ".a", 20000, ": [N] = 1\n a' = 1 }");
    world.diags = diags_new(world.arena, &world.sources);
    program_parse(&world, STR("t"), path);
    assert_true(world.diags.errors >= 1);
    world.diags = diags_new(world.arena, &world.sources);
    program_parse(&world, STR("t"),
                  repeated("fn f() { ", "if x { a = 1 } else ", 5000, "{ a = 2 } }"));
    assert_true(world.diags.errors >= 1);
    world.diags = diags_new(world.arena, &world.sources);
}

/* Long files with a mistake in every line: shown up to a number, and in linear time. */
static void test_flood(void **state)
{
    (void)state;
    static const char *const lines[] = {"let a = = 1\n", "$\n",    "let a = f(1]\n", "[)",
                                        "fn f( {\n",     "\xFF x "};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        world.diags = diags_new(world.arena, &world.sources);
        program_parse(&world, STR("t"), repeated("", lines[i], 20000, ""));
        assert_in_range(world.diags.errors, 1, 100);
    }
    world.diags = diags_new(world.arena, &world.sources);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_bytes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_numbers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_strings, setup, teardown),
        cmocka_unit_test_setup_teardown(test_words, setup, teardown),
        cmocka_unit_test_setup_teardown(test_docs, setup, teardown),
        cmocka_unit_test_setup_teardown(test_continues, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ends, setup, teardown),
        cmocka_unit_test_setup_teardown(test_trailing_commas, setup, teardown),
        cmocka_unit_test_setup_teardown(test_precedence, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reads, setup, teardown),
        cmocka_unit_test_setup_teardown(test_items, setup, teardown),
        cmocka_unit_test_setup_teardown(test_misspelt, setup, teardown),
        cmocka_unit_test_setup_teardown(test_brackets, setup, teardown),
        cmocka_unit_test_setup_teardown(test_braces, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nesting, setup, teardown),
        cmocka_unit_test_setup_teardown(test_flood, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
