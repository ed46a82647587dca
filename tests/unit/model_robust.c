/* model_robust: recipes and libraries with words, numbers and lines exchanged. Whatever they have
 * come to mean, the compiler answers with diagnostics or with well-formed graphs; and refused
 * memory is the one way out. Edits of bytes, which seldom parse, are in robust.c. */
#include "support/world.h"

#include <ctype.h>
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support/files.h"

enum { EDITS = 1000, MOST_TEXTS = 256, MOST_WORDS = 1 << 15, LONGEST = 1 << 16 };

typedef struct Word {
    const char *at;
    size_t len;
    int kind; /* 'a' name, '0' number, '"' string, else the operator's first byte */
} Word;

static World world;
static char *texts[MOST_TEXTS];
static size_t n_texts, n_words;
static Word words[MOST_WORDS];

static uint64_t next(uint64_t *seed) /* xorshift64* */
{
    *seed ^= *seed >> 12;
    *seed ^= *seed << 25;
    *seed ^= *seed >> 27;
    return *seed * 0x2545F4914F6CDD1Du;
}

static size_t below(uint64_t *seed, size_t n)
{
    return (size_t)(next(seed) >> 11) % n;
}

/* --- words
 * -----------------------------------------------------------------------------------------------
 */
static bool is_name(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

static Word word_at(const char *text)
{
    Word w = {.at = text, .len = 1, .kind = *text};
    if (isdigit((unsigned char)*text)) {
        w.kind = '0';
        while (is_name(text[w.len]) ||
               (text[w.len] == '.' && isdigit((unsigned char)text[w.len + 1]))) {
            w.len++;
        }
    } else if (is_name(*text)) {
        w.kind = 'a';
        while (is_name(text[w.len])) {
            w.len++;
        }
    } else if (*text == '"') {
        while (text[w.len] != '\0' && text[w.len] != '"' && text[w.len] != '\n') {
            w.len++;
        }
        w.len += text[w.len] == '"';
    }
    return w;
}

static size_t find_words(const char *text, Word *to, size_t most)
{
    size_t n = 0;
    while (*text != '\0' && n < most) {
        if (*text == '#') {
            text += strcspn(text, "\n");
        } else if (isspace((unsigned char)*text)) {
            text++;
        } else {
            to[n] = word_at(text);
            text += to[n++].len;
        }
    }
    return n;
}

static void replace(char *text, const Word *w, const char *by, size_t len)
{
    size_t start = (size_t)(w->at - text), after = strlen(w->at + w->len) + 1;
    if (start + len + after < LONGEST) {
        memmove(text + start + len, w->at + w->len, after);
        memcpy(text + start, by, len);
    }
}

/* One edit: a word becomes another of its kind, a number another, or a line goes or stands twice.
 */
static void edit(char *text, uint64_t *seed)
{
    static const char *const numbers[] = {"0",
                                          "1",
                                          "2",
                                          "3",
                                          "7",
                                          "64",
                                          "0.5",
                                          "1e300",
                                          "-1",
                                          "9223372036854775807",
                                          "4611686018427387904"};
    static const char *const operators[] = {"+",  "-", "*",  "/",     "//", "%",    "@", "^",
                                            "==", "<", ">=", " and ", "..", "?? 0", ",", "="};
    static Word own[4096];
    size_t n = find_words(text, own, 4096);
    if (n == 0) {
        return;
    }
    const Word *w = &own[below(seed, n)];
    size_t what = below(seed, 10);
    if (what == 0) { /* the rest of the line goes */
        Word line = {.at = w->at, .len = strcspn(w->at, "\n")};
        replace(text, &line, "", 0);
    } else if (what == 1) { /* the rest of the line twice */
        Word none = {.at = w->at};
        char copy[256];
        size_t len = strcspn(w->at, "\n") + (strchr(w->at, '\n') != NULL);
        len = len < sizeof copy ? len : sizeof copy;
        memcpy(copy, w->at, len);
        replace(text, &none, copy, len);
    } else if (w->kind == '0') {
        const char *by = numbers[below(seed, sizeof numbers / sizeof *numbers)];
        replace(text, w, by, strlen(by));
    } else if (w->kind == 'a' || w->kind == '"') {
        const Word *other = &words[below(seed, n_words)];
        for (int i = 0; i < 100 && other->kind != w->kind; i++) {
            other = &words[below(seed, n_words)];
        }
        replace(text, w, other->at, other->len);
    } else if (strchr("+-*/%@^=<>,", w->kind) != NULL) {
        const char *by = operators[below(seed, sizeof operators / sizeof *operators)];
        replace(text, w, by, strlen(by));
    }
}

/* --- files
 * -------------------------------------------------------------------------------------------------
 */
static void take_text(const char *path)
{
    size_t n;
    char *text = file_get(path, &n);
    assert_non_null(text);
    assert_true(n_texts < MOST_TEXTS);
    texts[n_texts++] = text;
    n_words += find_words(text, words + n_words, MOST_WORDS - n_words);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* All of golden/model is copied beside the edited file, which uses it. */
static void take_golden(void)
{
    char *names[512];
    size_t n = 0;
    DIR *dir = opendir(TEST_DIR "/golden/model");
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (n < 512 && entry->d_name[0] != '.' && strstr(entry->d_name, ".txt") == NULL) {
            names[n++] = strdup(entry->d_name);
        }
    }
    closedir(dir);
    qsort(names, n, sizeof *names, by_name);
    for (size_t i = 0; i < n; i++) {
        char path[1024];
        size_t bytes;
        snprintf(path, sizeof path, TEST_DIR "/golden/model/%s", names[i]);
        char *text = file_get(path, &bytes);
        file_put(in_folder(world.folder, names[i]), text, bytes);
        free(text);
        if (strstr(names[i], ".hone") != NULL) {
            take_text(path);
        }
        free(names[i]);
    }
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
        take_text(path);
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (size_t i = 0; i < n_texts; i++) {
        free(texts[i]);
    }
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

/* Well formed or reported. */
static bool check_text(void)
{
    File *file = world_load(&world, "t.hone");
    if (file == NULL || world.c.diags.errors > 0) {
        assert_true(world.c.diags.errors > 0);
        return false;
    }
    Recipe *recipe = NULL;
    if (is_library(file)) {
        library_check(&world.c, file);
    } else {
        recipe = world_recipe(&world, file, true);
        assert_true((recipe == NULL) == (world.c.diags.errors > 0));
    }
    const char *why = recipe != NULL ? world_verify(&world, recipe) : NULL;
    if (why != NULL) {
        fail_msg("%s", why);
    }
    world_text(&world);
    return true;
}

static void test_edits(void **state)
{
    (void)state;
    uint64_t seed = getenv("HONE_SEED") != NULL ? strtoull(getenv("HONE_SEED"), NULL, 10) : 77;
    static char text[LONGEST];
    size_t parsed = 0;
    for (int i = 0; i < EDITS; i++) {
        strcpy(text, texts[below(&seed, n_texts)]);
        for (size_t n = 1 + below(&seed, 2); n > 0; n--) {
            edit(text, &seed);
        }
        world_put(&world, "t.hone", text);
        parsed += check_text();
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
