/* Image folders: decoding and resizing against Pillow's pixels, order and augmentation independent
 * of threads and prefetch, bad folders refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "hone/hone.h"

enum { SIZE = 14, PIXELS = 3 * SIZE * SIZE };
static const char pictures[] = TEST_DIR "/data/pictures";
static const char *const names[] = {"baseline.jpg", "full.jpg", "progressive.jpg", "grey.jpg",
                                    "cmyk.jpg",     "rgb.png",  "rgba.png",        "grey.png",
                                    "palette.png",  "tiny.png"};
enum { NAMES = sizeof names / sizeof *names };

/* --- decoding against Pillow -------------------------------------------------------------------- */
static void check_picture(HoneFile *expected, const char *name, const char *crop)
{
    HoneSys sys = {0};
    HoneError error = {0};
    HoneOption options[] = {
        {.name = "size", .kind = HONE_OPT_INT, .i = SIZE},
        {.name = "crop", .kind = HONE_OPT_STRING, .s = crop},
    };
    HoneSource source = {.reader = "images", .n_options = 2, .options = options};
    char path[512], key[128];
    snprintf(path, sizeof path, "%s/%s", pictures, name);
    snprintf(key, sizeof key, "%s.%s", name, crop);
    float got[PIXELS];
    uint8_t want[PIXELS];
    const HoneFileTensor *tensor = hone_file_find(expected, key);
    assert_non_null(tensor);
    assert_int_equal(tensor->bytes, sizeof want);
    assert_true(hone_file_read(expected, tensor, want, &error));
    if (!hone_image_decode(&sys, &source, path, got, &error)) {
        fail_msg("%s", error.message);
    }
    int worst = 0;
    for (int i = 0; i < PIXELS; i++) {
        int difference = abs((int)(got[i] * 255.0f + 0.5f) - want[i]);
        worst = difference > worst ? difference : worst;
    }
    if (worst > 1) {
        fail_msg("%s: %d of 255 away", key, worst);
    }
}

static void test_pixels_as_pillow(void **state)
{
    (void)state;
    HoneSys sys = {0};
    HoneError error = {0};
    HoneFile *expected = hone_file_open(&sys, TEST_DIR "/data/pictures/expected.npz", &error);
    assert_non_null(expected);
    for (int i = 0; i < NAMES; i++) {
        check_picture(expected, names[i], "none");
        check_picture(expected, names[i], "center");
    }
    hone_file_close(expected);
}

/* --- folders --------------------------------------------------------------------------------------- */
static char root[64];

static void copy_file(const char *from, const char *to)
{
    FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
    assert_non_null(in);
    assert_non_null(out);
    char bytes[8192];
    for (size_t n; (n = fread(bytes, 1, sizeof bytes, in)) > 0;) {
        fwrite(bytes, 1, n, out);
    }
    fclose(in);
    fclose(out);
}

/* Two classes of five pictures. */
static int make_folder(void **state)
{
    (void)state;
    strcpy(root, "/tmp/hone-images-XXXXXX");
    assert_non_null(mkdtemp(root));
    char from[512], to[512];
    for (int i = 0; i < NAMES; i++) {
        snprintf(to, sizeof to, "%s/%s", root, i % 2 == 0 ? "even" : "odd");
        mkdir(to, 0777);
        snprintf(from, sizeof from, "%s/%s", pictures, names[i]);
        snprintf(to, sizeof to, "%s/%s/%s", root, i % 2 == 0 ? "even" : "odd", names[i]);
        copy_file(from, to);
    }
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", root);
    return system(command);
}

static HoneDataset *open_folder(HoneSys *sys, HoneSource *source, HoneOption options[4],
                                bool skip_bad, HoneError *error)
{
    options[0] = (HoneOption){.name = "path", .kind = HONE_OPT_STRING, .s = "."};
    options[1] = (HoneOption){.name = "size", .kind = HONE_OPT_INT, .i = SIZE};
    options[2] = (HoneOption){.name = "crop", .kind = HONE_OPT_STRING, .s = "random"};
    options[3] = (HoneOption){.name = "flip", .kind = HONE_OPT_BOOL, .i = 1};
    *source = (HoneSource){
        .reader = "images", .n_options = 4, .options = options, .skip_bad = skip_bad};
    return hone_data_open(sys, source, root, error);
}

/* All batches of two epochs, hashed; batch 4, from batch `start` of the first epoch. */
static uint64_t hash_run(HoneDataset *data, HoneSys *sys, int workers, int depth, int64_t start)
{
    HoneError error = {0};
    HoneLoaderConfig config = {.batch = 4,
                               .shuffle = true,
                               .augment = true,
                               .drop_last = false,
                               .seed = 7,
                               .workers = workers,
                               .depth = depth};
    HoneLoader *loader = hone_loader_new(sys, data, &config, &error);
    assert_non_null(loader);
    assert_int_equal(hone_loader_batches(loader), 3);
    uint64_t hash = 1469598103934665603u;
    for (int64_t epoch = 0; epoch < 2; epoch++) {
        assert_true(hone_loader_start(loader, epoch, epoch == 0 ? start : 0, &error));
        for (;;) {
            HoneBatch batch;
            assert_true(hone_loader_next(loader, &batch, &error));
            if (batch.size == 0) {
                break;
            }
            const uint8_t *bytes = batch.fields[0];
            for (int64_t i = 0; i < batch.size * PIXELS * 4; i++) {
                hash = (hash ^ bytes[i]) * 1099511628211u;
            }
            const int32_t *labels = batch.fields[1];
            for (int64_t i = 0; i < batch.size; i++) {
                hash = (hash ^ (uint64_t)labels[i] ^ (uint64_t)batch.samples[i] << 8) * 1099511628211u;
            }
        }
    }
    hone_loader_free(loader);
    return hash;
}

static void test_threads_do_not_change_batches(void **state)
{
    (void)state;
    HoneSys sys = {0};
    HoneError error = {0};
    HoneSource source;
    HoneOption options[4];
    HoneDataset *data = open_folder(&sys, &source, options, false, &error);
    assert_non_null(data);
    assert_int_equal(hone_data_count(data), NAMES);
    const char *const *classes;
    assert_int_equal(hone_data_classes(data, &classes), 2);
    assert_string_equal(classes[0], "even");
    uint64_t alone = hash_run(data, &sys, 0, 1, 0);
    for (int workers = 1; workers <= 8; workers *= 2) {
        for (int depth = 1; depth <= 4; depth++) {
            assert_true(hash_run(data, &sys, workers, depth, 0) == alone);
        }
    }
    assert_true(hash_run(data, &sys, 0, 1, 2) == hash_run(data, &sys, 3, 2, 2));
    assert_false(hash_run(data, &sys, 0, 1, 2) == alone);
    hone_data_close(data);
}

/* What decoding takes is known from the headers: the largest file, the largest picture, its rows and
 * the coefficients of the progressive one. */
static void test_need_from_headers(void **state)
{
    (void)state;
    HoneSys sys = {0};
    HoneError error = {0};
    HoneSource source;
    HoneOption options[4];
    HoneDataset *data = open_folder(&sys, &source, options, false, &error);
    assert_non_null(data);
    struct stat file;
    assert_int_equal(stat(TEST_DIR "/data/pictures/cmyk.jpg", &file), 0);
    uint64_t file_bytes = (uint64_t)file.st_size, pixels = 3 * 61 * 45, rows = 3 * SIZE * 53;
    uint64_t coefficients = 2 * 47 * 33 * (4 + 1 + 1) / 4;
    HoneLoading loading = hone_data_loading(data, 0, NULL);
    assert_int_equal(loading.decoding, file_bytes + pixels + rows + coefficients);
    HoneLoaderConfig config = {.batch = 4, .workers = 1, .depth = 1};
    uint64_t one = hone_loading_bytes(&loading, &config);
    config.workers = 3;
    assert_int_equal(hone_loading_bytes(&loading, &config) - one, 2 * loading.decoding);
    hone_data_close(data);
}

static void write_text(const char *name, const char *text)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", root, name);
    FILE *out = fopen(path, "wb");
    assert_non_null(out);
    fputs(text, out);
    fclose(out);
}

static void test_bad_picture(void **state)
{
    (void)state;
    HoneSys sys = {0};
    HoneError error = {0};
    HoneSource source;
    HoneOption options[4];
    write_text("odd/notes.txt", "not a picture at all");
    assert_null(open_folder(&sys, &source, options, false, &error));
    assert_int_equal(error.exit, HONE_BAD_INPUT);
    assert_non_null(strstr(error.message, "odd/notes.txt"));
    HoneDataset *data = open_folder(&sys, &source, options, true, &error);
    assert_non_null(data);
    assert_int_equal(hone_data_count(data), NAMES);
    assert_int_equal(hone_data_skipped(data), 1);
    hone_data_close(data);
}

/* A file with a picture's first bytes and nothing behind them fails when it is decoded. */
static void test_truncated_picture(void **state)
{
    (void)state;
    HoneSys sys = {0};
    HoneError error = {0};
    HoneSource source;
    HoneOption options[4];
    write_text("odd/cut.png", "\x89PNG\r\n\x1a\n and then something else");
    HoneDataset *data = open_folder(&sys, &source, options, false, &error);
    assert_non_null(data);
    for (int workers = 0; workers <= 2; workers++) {
        HoneLoaderConfig config = {.batch = 11, .workers = workers, .depth = 1};
        HoneLoader *loader = hone_loader_new(&sys, data, &config, &error);
        assert_non_null(loader);
        assert_true(hone_loader_start(loader, 0, 0, &error));
        HoneBatch batch;
        assert_false(hone_loader_next(loader, &batch, &error));
        assert_int_equal(error.exit, HONE_BAD_INPUT);
        assert_non_null(strstr(error.message, "cut.png"));
        hone_loader_free(loader);
    }
    hone_data_close(data);
}

static void test_empty_class(void **state)
{
    (void)state;
    HoneSys sys = {0};
    HoneError error = {0};
    HoneSource source;
    HoneOption options[4];
    char path[512];
    snprintf(path, sizeof path, "%s/void", root);
    mkdir(path, 0777);
    assert_null(open_folder(&sys, &source, options, false, &error));
    assert_int_equal(error.exit, HONE_BAD_INPUT);
    assert_non_null(strstr(error.message, "void"));
}

/* Every refused allocation and every failing call of the system is reported, and nothing leaks. */
static void test_faults(void **state)
{
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        for (int64_t n = 1; n < 10000; n++) {
            HoneSys sys = {0};
            *(kind == 0 ? &sys.fail_alloc : &sys.fail_io) = n;
            HoneError error = {0};
            HoneSource source;
            HoneOption options[4];
            HoneDataset *data = open_folder(&sys, &source, options, false, &error);
            HoneLoaderConfig config = {.batch = 4, .workers = 1, .depth = 1};
            HoneLoader *loader =
                data == NULL ? NULL : hone_loader_new(&sys, data, &config, &error);
            HoneBatch batch;
            bool ok = loader != NULL && hone_loader_start(loader, 0, 0, &error) &&
                      hone_loader_next(loader, &batch, &error);
            hone_loader_free(loader);
            hone_data_close(data);
            if (ok) {
                break;
            }
            assert_int_not_equal(error.exit, HONE_OK);
            assert_true(strlen(error.message) > 0);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pixels_as_pillow),
        cmocka_unit_test_setup_teardown(test_threads_do_not_change_batches, make_folder,
                                        remove_folder),
        cmocka_unit_test_setup_teardown(test_need_from_headers, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_bad_picture, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_truncated_picture, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_empty_class, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_faults, make_folder, remove_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
