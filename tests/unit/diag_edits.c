/* diag_edits: what a diagnostic suggests as an edit is the edit: made in the text, by the byte
 * ranges of the machine form, the diagnostic is gone and no other error has come. */
#include "support/world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "support/files.h"

enum { LEAST = 40, TEXT_MOST = 1 << 15, LINES_MOST = 64 };

static World world;
static char *place; /* golden/model, with the mended program beside its files */

static int setup(void **state)
{
    (void)state;
    world_open(&world);
    place = temp_like(TEST_DIR "/golden/model");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    temp_remove(place);
    world_close(&world);
    return 0;
}

typedef struct Told { /* one object of the machine form */
    char key[512];    /* code and message */
    bool error;
    json_t *edits;
} Told;

/* The diagnostics of `hone check mended.hone`, in their machine form. */
static size_t told(Told list[LINES_MOST])
{
    world_check(&world, in_folder(place, "mended.hone"));
    Buf out = buf_new(world.c.arena);
    diags_json(&world.c.diags, &out);
    buf_char(&out, '\0');
    size_t n = 0;
    for (char *line = strtok(out.ptr, "\n"); line != NULL && n < LINES_MOST;
         line = strtok(NULL, "\n")) {
        json_t *object = json_loads(line, 0, NULL);
        assert_non_null(object);
        const char *code = json_string_value(json_object_get(object, "code"));
        snprintf(list[n].key, sizeof list[n].key, "%s %s", code,
                 json_string_value(json_object_get(object, "message")));
        list[n].error = code[0] == 'E';
        list[n++].edits = json_incref(json_object_get(object, "edits"));
        json_decref(object);
    }
    return n;
}

static void forget(size_t n, Told *list)
{
    for (size_t i = 0; i < n; i++) {
        json_decref(list[i].edits);
    }
}

static size_t place_of(const json_t *edit, const char *end)
{
    return (size_t)json_integer_value(json_object_get(json_object_get(edit, "place"), end));
}

/* All edits of one diagnostic, the last in the text first. False: some are of another file. */
static bool mend(char text[TEXT_MOST], const json_t *edits)
{
    size_t before = SIZE_MAX;
    for (size_t done = 0; done < json_array_size(edits); done++) {
        const json_t *next = NULL;
        for (size_t i = 0; i < json_array_size(edits); i++) {
            const json_t *edit = json_array_get(edits, i);
            const char *file =
                json_string_value(json_object_get(json_object_get(edit, "place"), "file"));
            if (strstr(file, "mended.hone") == NULL) {
                return false;
            }
            size_t start = place_of(edit, "start");
            if (start < before && (next == NULL || start > place_of(next, "start"))) {
                next = edit;
            }
        }
        assert_non_null(next);
        size_t start = place_of(next, "start"), end = place_of(next, "end"), len = strlen(text);
        const char *by = json_string_value(json_object_get(next, "text"));
        assert_true(start <= end && end <= len && len + strlen(by) < TEXT_MOST);
        memmove(text + start + strlen(by), text + end, len - end + 1);
        memcpy(text + start, by, strlen(by));
        before = start;
    }
    return true;
}

static size_t count(size_t n, const Told *list, const char *key)
{
    size_t equal = 0;
    for (size_t i = 0; i < n; i++) {
        equal += strcmp(list[i].key, key) == 0;
    }
    return equal;
}

static size_t errors_of(size_t n, const Told *list)
{
    size_t errors = 0;
    for (size_t i = 0; i < n; i++) {
        errors += list[i].error;
    }
    return errors;
}

static size_t check_program(const char *path)
{
    static Told first[LINES_MOST], then[LINES_MOST];
    static char text[TEXT_MOST];
    size_t bytes, tried = 0;
    char *original = file_get(path, &bytes);
    assert_true(original != NULL && bytes < TEXT_MOST);
    file_put(in_folder(place, "mended.hone"), original, bytes);
    size_t n = told(first);
    for (size_t i = 0; i < n; i++) {
        memcpy(text, original, bytes + 1);
        if (json_array_size(first[i].edits) == 0 || !mend(text, first[i].edits)) {
            continue;
        }
        tried++;
        file_put(in_folder(place, "mended.hone"), text, strlen(text));
        size_t m = told(then);
        if (count(n, first, first[i].key) <= count(m, then, first[i].key) ||
            errors_of(m, then) > errors_of(n, first)) {
            fail_msg("%s: not mended: %s\n%s\n%.*s", path, first[i].key, text,
                     STR_ARG(world_text(&world)));
        }
        forget(m, then);
    }
    forget(n, first);
    free(original);
    return tried;
}

static size_t check_folder(const char *folder)
{
    HoneSys sys = {0};
    size_t n, tried = 0;
    char **names = hone_list_dir(&sys, folder, &n);
    assert_non_null(names);
    for (size_t i = 0; i < n; i++) {
        char path[512];
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        if (str_ends(str_of(names[i]), STR(".hone"))) {
            tried += check_program(path);
        }
    }
    hone_free(&sys, names);
    return tried;
}

static void test_edits(void **state)
{
    (void)state;
    size_t tried = check_folder(TEST_DIR "/golden/model") + check_folder(TEST_DIR "/golden/diag") +
                   check_program(TEST_DIR "/golden/parse/mistakes.hone");
    assert_true(tried >= LEAST);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_edits)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
