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

enum { EDITS = 3000, TEXTS_MOST = 64 };
static const char FOLDER[] = TEST_DIR "/golden/parse";

typedef struct Texts {
    HoneSys sys;
    size_t n;
    Str at[TEXTS_MOST];
} Texts;

static void texts_read(Texts *texts)
{
    memset(texts, 0, sizeof *texts);
    size_t n = 0;
    char **names = hone_list_dir(&texts->sys, FOLDER, &n);
    assert_non_null(names);
    for (size_t i = 0; i < n && texts->n < TEXTS_MOST; i++) {
        if (str_ends(str_of(names[i]), STR(".hone"))) {
            char path[512];
            snprintf(path, sizeof path, "%s/%s", FOLDER, names[i]);
            size_t bytes = 0;
            char *text = hone_read_file(&texts->sys, path, &bytes);
            assert_non_null(text);
            texts->at[texts->n++] = (Str){text, bytes};
        }
    }
    hone_free(&texts->sys, names);
}

static void texts_free(Texts *texts)
{
    for (size_t i = 0; i < texts->n; i++) {
        hone_free(&texts->sys, (void *)(uintptr_t)texts->at[i].ptr);
    }
}

static uint64_t next(uint64_t *seed) /* xorshift64* */
{
    *seed ^= *seed >> 12;
    *seed ^= *seed << 25;
    *seed ^= *seed >> 27;
    return *seed * 0x2545F4914F6CDD1Du;
}

static size_t below(uint64_t *seed, size_t n)
{
    return n == 0 ? 0 : (size_t)(next(seed) >> 11) % n;
}

static void digits_swapped(char *text, size_t len, uint64_t *seed)
{
    size_t start = below(seed, len);
    for (size_t i = 0; i < len; i++) {
        char *c = &text[(start + i) % len];
        if (*c >= '0' && *c <= '9') {
            *c = (char)('0' + below(seed, 10));
            return;
        }
    }
}

/* One edit: a byte flipped, a stretch deleted, doubled or overwritten by another, a digit changed.
 */
static Str edited(Arena *arena, Str text, uint64_t *seed)
{
    size_t at = below(seed, text.len);
    size_t len = 1 + below(seed, 20);
    len = len < text.len - at ? len : text.len - at;
    char *out = arena_alloc(arena, text.len + len + 1, 1);
    memcpy(out, text.ptr, text.len);
    switch (below(seed, 5)) {
    case 0:
        out[at] = (char)(out[at] ^ (1 << below(seed, 8)));
        return (Str){out, text.len};
    case 1:
        memcpy(out + at, text.ptr + at + len, text.len - at - len);
        return (Str){out, text.len - len};
    case 2:
        memcpy(out + at + len, text.ptr + at, text.len - at);
        return (Str){out, text.len + len};
    case 3:
        memmove(out + at, text.ptr + below(seed, text.len - len + 1), len);
        return (Str){out, text.len};
    default:
        digits_swapped(out, text.len, seed);
        return (Str){out, text.len};
    }
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
    static Texts texts;
    static Program program;
    texts_read(&texts);
    uint64_t seed = 20240517;
    size_t rejected = 0;
    for (int i = 0; i < EDITS; i++) {
        program_open(&program);
        Str text = texts.at[below(&seed, texts.n)];
        for (size_t n = 1 + below(&seed, 3); n > 0; n--) {
            text = edited(program.arena, text, &seed);
        }
        const Ast *ast = program_parse(&program, STR("edited.hone"), text);
        assert_int_equal(ast->kind, AST_PROGRAM);
        assert_true(program.diags.errors > 0 || !has_error_node(ast));
        check_messages(&program, text);
        rejected += program.diags.errors > 0;
        program_close(&program);
    }
    assert_true(rejected > EDITS / 4 && rejected < EDITS);
    texts_free(&texts);
}

/* Every beginning of a program is a program cut short. */
static void test_prefixes(void **state)
{
    (void)state;
    static Texts texts;
    static Program program;
    texts_read(&texts);
    for (size_t i = 0; i < texts.n; i++) {
        for (size_t len = 0; len < texts.at[i].len; len += 97) {
            program_open(&program);
            Str text = {texts.at[i].ptr, len};
            program_parse(&program, STR("cut.hone"), text);
            check_messages(&program, text);
            program_close(&program);
        }
    }
    texts_free(&texts);
}

static void parse_all(Program *p, const Texts *texts)
{
    for (size_t i = 0; i < texts->n; i++) {
        program_parse(p, STR("all.hone"), texts->at[i]);
    }
    Buf out = buf_new(p->arena);
    diags_text(&p->diags, &out, true);
    diags_json(&p->diags, &out);
}

/* Each allocation in turn is refused: mem unwinds, and the leak checker finds nothing. */
static void test_refused_memory(void **state)
{
    (void)state;
    static Texts texts;
    static Program program;
    static int64_t refuse;
    texts_read(&texts);
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
        parse_all(&program, &texts);
        bool reached = program.sys.allocs >= refuse;
        program_close(&program);
        if (!reached) {
            break;
        }
    }
    assert_true(refused > 5);
    texts_free(&texts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_edits),
        cmocka_unit_test(test_prefixes),
        cmocka_unit_test(test_refused_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
