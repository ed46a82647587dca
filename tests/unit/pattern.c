/* Patterns over keys: selection, renaming, validity, hints. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "model/model.h"

typedef struct Case {
    const char *pattern, *key;
    bool selects;
} Case;

static const Case cases[] = {
    {"fc", "fc.weight", true},
    {"fc", "fc", true},
    {"fc", "fc2.weight", false},
    {"fc", "head.fc.weight", false},
    {"bert.encoder.layer.1", "bert.encoder.layer.11.output.dense.weight", false},
    {"bert.encoder.layer.11", "bert.encoder.layer.11.output.dense.weight", true},
    {"*", "fc.weight", true},
    {"*.weight", "fc.weight", true},
    {"*.weight", "layer.0.weight", false},
    {"layer*", "layer12.conv.weight", true},
    {"l*r*.conv", "layer1.conv.weight", true},
    {"l*r*.conv", "layer1.bn.weight", false},
    {"h.#.attn", "h.0.attn.c_attn.weight", true},
    {"h.#.attn", "h.12.attn.bias", true},
    {"h.#.attn", "h.x.attn.bias", false},
    {"h.#", "h.12x.bias", false},
    {"**", "a", true},
    {"**", "a.b.c", true},
    {"**.bias", "bias", true},
    {"**.bias", "a.b.bias", true},
    {"**.bias", "a.b.bias2", false},
    {"**.lora_*", "h.3.attn.lora_A.weight", true},
    {"a.**.w", "a.w", true},
    {"a.**.w", "a.b.c.w", true},
    {"a.**.w", "b.c.w", false},
    {"a.**", "a.b", true},
    {"a.**", "a", true},
    {"a.**", "ab.c", false},
    {"{conv1,bn1}", "bn1.weight", true},
    {"{conv1,bn1}", "bn2.weight", false},
    {"**.{weight,bias}", "a.b.bias", true},
    {"layer{1,2}.*.conv{1,2}", "layer2.0.conv1.weight", true},
    {"layer{1,2}.*.conv{1,2}", "layer3.0.conv1.weight", false},
    {"{a.b,c}.d", "a.b.d", true},
    {"{l*,c}.d", "long.d", true},
    {"*a*a*a*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false},
};

static void selects(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const Case *c = &cases[i];
        if (pattern_matches(str_of(c->pattern), str_of(c->key)) != c->selects) {
            fail_msg("\"%s\" on %s", c->pattern, c->key);
        }
    }
}

static void validity(void **state)
{
    (void)state;
    static const char *const good[] = {"a", "a.0.b", "**", "**.x", "{a,b}.c", "a.#.b*c", "x{1,2}"};
    static const char *const bad[] = {"",      ".a",   "a.",    "a..b", "a**", "layer#", "{a",
                                      "a}",    "{a,}", "{a,{b}}", "{}",   "**b", "{**,a}",
                                      "*.*.*.*.*.*.*.*.*"};
    Str why;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_true(pattern_valid(str_of(good[i]), &why));
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        why.len = 0;
        assert_false(pattern_valid(str_of(bad[i]), &why));
        assert_true(why.len > 0);
    }
}

static void renames(void **state)
{
    Arena *arena = *state;
    static const struct { const char *from, *to, *key, *renamed; } rows[] = {
        {"**.gamma", "**.weight", "bert.LayerNorm.gamma", "bert.LayerNorm.weight"},
        {"**.gamma", "**.weight", "gamma", "weight"},
        {"h.#.x", "blocks.#.y", "h.12.x.weight", "blocks.12.y.weight"},
        {"a", "b.c", "a.weight", "b.c.weight"},
        {"model.**", "**", "model.fc.weight", "fc.weight"},
        {"**", "body.**", "fc.weight", "body.fc.weight"},
        {"layer*.#", "stage*.block#", "layer1.0.conv", "stage1.block0.conv"},
        {"a.**.z", "b.**", "a.z.bias", "b.bias"},
        {"{gamma,scale}", "weight", "scale", "weight"},
        {"x.*_*", "y.*-*", "x.a_b_c.w", "y.a-b_c.w"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        Str out = {0}, why;
        Str from = str_of(rows[i].from), to = str_of(rows[i].to);
        /* "stage*.block#" is not valid as a pattern: `#` is a whole segment */
        bool valid = pattern_rename_valid(from, to, &why);
        assert_int_equal(valid, i != 6);
        assert_true(pattern_rename(arena, from, to, str_of(rows[i].key), &out));
        assert_string_equal(str_c(arena, out), rows[i].renamed);
    }
    Str out;
    assert_false(pattern_rename(arena, STR("fc"), STR("x"), STR("conv.weight"), &out));
    Str why;
    assert_false(pattern_rename_valid(STR("**.a"), STR("b"), &why));
    assert_false(pattern_rename_valid(STR("a"), STR("{b,c}"), &why));
}

static void hints(void **state)
{
    Arena *arena = *state;
    const Str keys[] = {STR("h.0.attn.c_attn.weight"), STR("h.0.attn.c_proj.weight"),
                        STR("h.1.attn.c_attn.weight"), STR("ln_f.weight")};
    PatternHint hint = pattern_hint(arena, STR("h.#.attn.c_atn"), keys, 4);
    assert_true(str_is(hint.reached, "h.#.attn"));
    assert_true(str_is(hint.missing, "c_atn"));
    assert_int_equal(hint.names.len, 2);
    assert_true(str_is(hint.suggestion, "h.#.attn.c_attn"));
    hint = pattern_hint(arena, STR("**.wieght"), keys, 4);
    assert_true(str_is(hint.suggestion, "**.weight"));
    hint = pattern_hint(arena, STR("ln.weight"), keys, 4);
    assert_int_equal(hint.reached.len, 0);
    assert_int_equal(hint.names.len, 2);
}

static Mem mem;
static HoneSys sys;

static int setup(void **state)
{
    mem_init(&mem, &sys);
    *state = arena_new(&mem, "test");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    mem_release(&mem);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(selects),
        cmocka_unit_test(validity),
        cmocka_unit_test_setup_teardown(renames, setup, teardown),
        cmocka_unit_test_setup_teardown(hints, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
