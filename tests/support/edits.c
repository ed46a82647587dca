/* edits: programs with words, numbers, lines or bytes exchanged. */
#include "support/edits.h"

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hone/sys.h"
#include "support/files.h"

uint64_t edits_random(uint64_t *seed) /* xorshift64* */
{
    *seed ^= *seed >> 12;
    *seed ^= *seed << 25;
    *seed ^= *seed >> 27;
    return *seed * 0x2545F4914F6CDD1Du;
}

static size_t below(uint64_t *seed, size_t n)
{
    return (size_t)(edits_random(seed) >> 11) % n;
}

static bool is_name(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

static EditWord word_at(const char *text)
{
    EditWord w = {.at = text, .len = 1, .kind = *text};
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

static size_t find_words(const char *text, EditWord *to, size_t most)
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

static void replace(char *text, const EditWord *w, const char *by, size_t len)
{
    size_t start = (size_t)(w->at - text), after = strlen(w->at + w->len) + 1;
    if (start + len + after < EDIT_LONGEST) {
        memmove(text + start + len, w->at + w->len, after);
        memcpy(text + start, by, len);
    }
}

/* One edit: a word becomes another of its kind, a number another, or a line goes or stands twice.
 */
static void edit(const Edits *edits, char *text, uint64_t *seed)
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
    static EditWord own[4096];
    size_t n = find_words(text, own, 4096);
    if (n == 0) {
        return;
    }
    const EditWord *w = &own[below(seed, n)];
    size_t what = below(seed, 10);
    if (what == 0) { /* the rest of the line goes */
        EditWord line = {.at = w->at, .len = strcspn(w->at, "\n")};
        replace(text, &line, "", 0);
    } else if (what == 1) { /* the rest of the line twice */
        EditWord none = {.at = w->at};
        char copy[256];
        size_t len = strcspn(w->at, "\n") + (strchr(w->at, '\n') != NULL);
        len = len < sizeof copy ? len : sizeof copy;
        memcpy(copy, w->at, len);
        replace(text, &none, copy, len);
    } else if (w->kind == '0') {
        const char *by = numbers[below(seed, sizeof numbers / sizeof *numbers)];
        replace(text, w, by, strlen(by));
    } else if (w->kind == 'a' || w->kind == '"') {
        const EditWord *other = &edits->words[below(seed, edits->n_words)];
        for (int i = 0; i < 100 && other->kind != w->kind; i++) {
            other = &edits->words[below(seed, edits->n_words)];
        }
        replace(text, w, other->at, other->len);
    } else if (strchr("+-*/%@^=<>,", w->kind) != NULL) {
        const char *by = operators[below(seed, sizeof operators / sizeof *operators)];
        replace(text, w, by, strlen(by));
    }
}

/* --- texts ---------------------------------------------------------------------------------- */
void edits_take(Edits *edits, const char *path)
{
    size_t n;
    char *text = file_get(path, &n);
    assert_non_null(text);
    assert_true(edits->n_texts < EDIT_TEXTS && n < EDIT_LONGEST);
    edits->texts[edits->n_texts++] = text;
    edits->n_words +=
        find_words(text, edits->words + edits->n_words, EDIT_WORDS - edits->n_words);
}

size_t edits_take_folder(Edits *edits, const char *path)
{
    HoneSys sys = {0};
    size_t n, before = edits->n_texts;
    char **names = hone_list_dir(&sys, path, &n);
    assert_non_null(names);
    for (size_t i = 0; i < n; i++) {
        size_t len = strlen(names[i]);
        if (len > 5 && strcmp(names[i] + len - 5, ".hone") == 0) {
            edits_take(edits, in_folder(path, names[i]));
        }
    }
    hone_free(&sys, names);
    return edits->n_texts - before;
}

void edits_free(Edits *edits)
{
    for (size_t i = 0; i < edits->n_texts; i++) {
        free(edits->texts[i]);
    }
}

size_t edits_next(const Edits *edits, uint64_t *seed, size_t times, char to[EDIT_LONGEST])
{
    size_t chosen = below(seed, edits->n_texts);
    strcpy(to, edits->texts[chosen]);
    for (size_t n = 0; n < times; n++) {
        edit(edits, to, seed);
    }
    return chosen;
}

void edits_bytes(uint64_t *seed, char text[EDIT_LONGEST])
{
    size_t n = strlen(text), at = below(seed, n + 1), len = 1 + below(seed, 20);
    len = len < n - at ? len : n - at;
    char stretch[32];
    memcpy(stretch, text + at, len);
    EditWord here = {.at = text + at, .len = len}, none = {.at = text + at};
    switch (below(seed, 5)) {
    case 0: /* a bit; a byte that became 0 ends the text */
        text[at] = (char)(at < n ? text[at] ^ (1 << below(seed, 8)) : '\0');
        break;
    case 1:
        replace(text, &here, "", 0);
        break;
    case 2: /* twice */
        replace(text, &none, stretch, len);
        break;
    case 3: /* another stretch in its place */
        memmove(text + at, text + below(seed, n - len + 1), len);
        break;
    default: /* the next digit */
        at += strcspn(text + at, "0123456789");
        text[at] = (char)(text[at] == '\0' ? '\0' : '0' + (int)below(seed, 10));
    }
}
