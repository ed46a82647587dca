/* Flat files of tokens: windows and what follows them, the three widths, files that are not what the
 * recipe says, refused memory and failing I/O. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "hone/hone.h"
#include "support/files.h"

static char *root;

static int make_folder(void **state)
{
    (void)state;
    root = temp_folder();
    uint8_t narrow[200];
    uint16_t middle[200];
    int32_t wide[200];
    for (int i = 0; i < 200; i++) {
        narrow[i] = (uint8_t)(i + 3);
        middle[i] = (uint16_t)(i + 3);
        wide[i] = i + 3;
    }
    file_put(in_folder(root, "u8"), narrow, sizeof narrow);
    file_put(in_folder(root, "u16"), middle, sizeof middle);
    file_put(in_folder(root, "i32"), wide, sizeof wide);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    temp_remove(root);
    return 0;
}

static HoneDataset *open_tokens(HoneSys *sys, const char *file, int64_t length, const char *dtype,
                                HoneError *error)
{
    static HoneOption options[3];
    static HoneSource source;
    options[0] = (HoneOption){.name = "file", .kind = HONE_OPT_STRING, .s = file};
    options[1] = (HoneOption){.name = "length", .kind = HONE_OPT_INT, .i = length};
    options[2] = (HoneOption){.name = "dtype", .kind = HONE_OPT_STRING, .s = dtype};
    source = (HoneSource){
        .reader = "tokens", .n_options = dtype == NULL ? 2 : 3, .options = options};
    return hone_data_open(sys, &source, root, error);
}

/* Every window of a shuffled epoch: ids from sample * T + 3 on, next one more. */
static void check_epoch(HoneSys *sys, HoneDataset *data, int64_t length, int64_t windows)
{
    HoneError error = {0};
    HoneLoaderConfig config = {
        .batch = 2, .shuffle = true, .augment = true, .seed = 1, .workers = 2, .depth = 2};
    HoneLoader *loader = hone_loader_new(sys, data, &config, &error);
    assert_non_null(loader);
    assert_true(hone_loader_start(loader, 0, 0, &error));
    int64_t seen = 0;
    for (;;) {
        HoneBatch batch;
        assert_true(hone_loader_next(loader, &batch, &error));
        const int32_t *ids = batch.size > 0 ? batch.fields[0] : NULL;
        const int32_t *next = batch.size > 0 ? batch.fields[1] : NULL;
        for (int64_t i = 0; i < batch.size * length; i++) {
            assert_int_equal(ids[i], batch.samples[i / length] * length + i % length + 3);
            assert_int_equal(next[i], ids[i] + 1);
        }
        seen += batch.size;
        if (batch.size == 0) {
            break;
        }
    }
    assert_int_equal(seen, windows);
    hone_loader_free(loader);
}

static void test_windows(void **state)
{
    (void)state;
    static const char *const dtypes[] = {"u8", "u16", "i32", NULL};
    for (int i = 0; i < 4; i++) {
        for (int64_t length = 1; length <= 199; length += 33) {
            HoneSys sys = {0};
            HoneError error = {0};
            const char *file = dtypes[i] == NULL ? "u16" : dtypes[i];
            HoneDataset *data = open_tokens(&sys, file, length, dtypes[i], &error);
            assert_non_null(data);
            assert_int_equal(hone_data_count(data), 199 / length);
            int64_t low, high;
            assert_true(hone_data_range(data, 0, &low, &high));
            assert_int_equal(low, 3);
            assert_int_equal(high, 202);
            check_epoch(&sys, data, length, 199 / length);
            hone_data_close(data);
        }
    }
}

static void refused(const char *file, int64_t length, const char *dtype, const char *code,
                    const char *text)
{
    HoneSys sys = {0};
    HoneError error = {0};
    assert_null(open_tokens(&sys, file, length, dtype, &error));
    assert_string_equal(error.code, code);
    if (strstr(error.message, text) == NULL) {
        fail_msg("`%s` is not in: %s", text, error.message);
    }
}

static void test_refused(void **state)
{
    (void)state;
    file_put(in_folder(root, "odd"), "abcdefg", 7);
    file_put(in_folder(root, "empty"), "", 0);
    refused("odd", 2, NULL, "E704", "7 bytes are no whole number of tokens of 2 bytes (u16)");
    refused("odd", 1, "i32", "E704", "7 bytes are no whole number of tokens of 4 bytes (i32)");
    refused("u16", 200, NULL, "E704", "has 200 tokens, a window of `length = 200` needs 201");
    refused("empty", 1, "u8", "E704", "has 0 tokens, a window of `length = 1` needs 2");
    refused("i32", 8, NULL, "E704", "the tokens seem to be i32");
    refused("u16", 0, NULL, "E704", "`length` must be between 1 and 1048576, and is 0");
    refused("nothing", 8, NULL, "E702", "no such file");
    refused(".", 8, NULL, "E702", "cannot read the tokens");
}

static bool read_all(HoneSys *sys)
{
    HoneError error = {0};
    HoneDataset *data = open_tokens(sys, "u16", 50, NULL, &error);
    HoneLoaderConfig config = {.batch = 3, .seed = 1, .workers = 0, .depth = 1};
    HoneLoader *loader = data == NULL ? NULL : hone_loader_new(sys, data, &config, &error);
    HoneBatch batch = {0};
    bool ok = loader != NULL && hone_loader_start(loader, 0, 0, &error) &&
              hone_loader_next(loader, &batch, &error);
    hone_loader_free(loader);
    hone_data_close(data);
    assert_true(ok || error.code[0] != 0);
    return ok;
}

static void test_faults(void **state)
{
    (void)state;
    HoneSys plain = {0};
    assert_true(read_all(&plain));
    for (int64_t n = 1; n <= plain.allocs; n++) {
        HoneSys sys = {.fail_alloc = n};
        assert_false(read_all(&sys));
    }
    for (int64_t n = 1; n < plain.ios; n++) {   /* the last one closes the file */
        HoneSys sys = {.fail_io = n};
        assert_false(read_all(&sys));
    }
}

/* A file cut after it was opened is an error of the read, not of the process. */
static void test_cut(void **state)
{
    (void)state;
    HoneSys sys = {0};
    HoneError error = {0};
    uint8_t bytes[64] = {1, 2, 3};
    file_put(in_folder(root, "cut"), bytes, sizeof bytes);
    HoneDataset *data = open_tokens(&sys, "cut", 31, "u8", &error);
    assert_non_null(data);
    file_put(in_folder(root, "cut"), bytes, 10);
    HoneLoaderConfig config = {.batch = 1, .depth = 1};
    HoneLoader *loader = hone_loader_new(&sys, data, &config, &error);
    assert_non_null(loader);
    HoneBatch batch;
    assert_true(hone_loader_start(loader, 0, 0, &error));
    assert_false(hone_loader_next(loader, &batch, &error));
    assert_string_equal(error.code, "E702");
    hone_loader_free(loader);
    hone_data_close(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_windows),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_cut),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
