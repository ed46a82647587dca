/* Pictures with masks: the mask is cut, scaled and mirrored as its picture is, masks of every depth give
 * their raw values, order and crops do not depend on threads; refused memory and failing I/O. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <png.h>

#include "hone/hone.h"
#include "support/data.h"
#include "support/files.h"

enum { SIZE = 12, WIDTH = 40, HEIGHT = 30, PICTURES = 5 };

static char *root;

/* `bytes` holds rows as PNG stores them. */
static void put_png(const char *name, int width, int height, int depth, int colours, bool interlaced,
                    const uint8_t *bytes, size_t row)
{
    char path[160];
    snprintf(path, sizeof path, "%s/%s", root, name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    png_init_io(png, file);
    png_set_IHDR(png, info, (png_uint_32)width, (png_uint_32)height, depth, colours,
                 interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE, 0, 0);
    png_color palette[256] = {{0}};
    if (colours == PNG_COLOR_TYPE_PALETTE) {
        png_set_PLTE(png, info, palette, 1 << depth);
    }
    png_write_info(png, info);
    int passes = png_set_interlace_handling(png);
    for (int pass = 0; pass < passes; pass++) {
        for (int y = 0; y < height; y++) {
            png_write_row(png, bytes + (size_t)y * row);
        }
    }
    png_write_end(png, NULL);
    png_destroy_write_struct(&png, &info);
    fclose(file);
}

/* The mask's value is the picture's red: blocks of 10 x 10, 1 to 12. */
static int make_folder(void **state)
{
    (void)state;
    root = temp_folder();
    char path[160];
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", root, i == 0 ? "images" : "masks");
        mkdir(path, 0777);
    }
    for (int i = 0; i < PICTURES; i++) {
        uint8_t rgb[HEIGHT][WIDTH][3], mask[HEIGHT][WIDTH];
        for (int y = 0; y < HEIGHT; y++) {
            for (int x = 0; x < WIDTH; x++) {
                mask[y][x] = (uint8_t)(1 + (x / 10 + y / 10 * 4 + i) % 12);
                memset(rgb[y][x], 20 * mask[y][x], 3);
            }
        }
        snprintf(path, sizeof path, "images/p%d.png", i);
        put_png(path, WIDTH, HEIGHT, 8, PNG_COLOR_TYPE_RGB, false, rgb[0][0], sizeof rgb[0]);
        snprintf(path, sizeof path, "masks/p%d.png", i);
        put_png(path, WIDTH, HEIGHT, 8, i % 2 ? PNG_COLOR_TYPE_PALETTE : PNG_COLOR_TYPE_GRAY, false,
                mask[0], sizeof mask[0]);
    }
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    temp_remove(root);
    return 0;
}

static HoneDataset *open_size(HoneSys *sys, const char *crop, int64_t size, int64_t classes,
                              HoneError *error)
{
    static HoneOption options[5];
    static HoneSource source;
    options[0] = (HoneOption){.name = "path", .kind = HONE_OPT_STRING, .s = "."};
    options[1] = (HoneOption){.name = "size", .kind = HONE_OPT_INT, .i = size};
    options[2] = (HoneOption){.name = "crop", .kind = HONE_OPT_STRING, .s = crop};
    options[3] = (HoneOption){.name = "flip", .kind = HONE_OPT_BOOL, .i = 1};
    options[4] = (HoneOption){.name = "classes", .kind = HONE_OPT_INT, .i = classes};
    source = (HoneSource){
        .reader = "segments", .n_options = classes > 0 ? 5 : 4, .options = options};
    return hone_data_open(sys, &source, root, error);
}

/* Where a picture's pixel is far from the edges of its blocks it has the colour of its class. */
static void same_place(const float *image, const int32_t *mask, int64_t size)
{
    int64_t same = 0;
    for (int64_t i = 0; i < size * size; i++) {
        double red = (double)image[i] * 255 / 20;
        assert_in_range(mask[i], 1, 12);
        same += red > mask[i] - 0.05 && red < mask[i] + 0.05;
    }
    assert_true(same > size * size / 3);
}

static uint64_t run(HoneDataset *data, HoneSys *sys, int workers, int64_t size)
{
    HoneError error = {0};
    HoneLoaderConfig config = {.batch = 2, .shuffle = true, .augment = true, .seed = 3,
                               .workers = workers, .depth = 2};
    HoneLoader *loader = hone_loader_new(sys, data, &config, &error);
    assert_non_null(loader);
    uint64_t hash = 1469598103934665603u;
    for (int64_t epoch = 0; epoch < 3; epoch++) {
        assert_true(hone_loader_start(loader, epoch, 0, &error));
        for (HoneBatch batch; hone_loader_next(loader, &batch, &error) && batch.size > 0;) {
            for (int64_t i = 0; i < batch.size; i++) {
                same_place((const float *)batch.fields[0] + i * 3 * size * size,
                           (const int32_t *)batch.fields[1] + i * size * size, size);
            }
            for (size_t f = 0; f < 2; f++) {
                const uint8_t *bytes = batch.fields[f];
                for (int64_t i = 0; i < batch.size * size * size * (f == 0 ? 12 : 4); i++) {
                    hash = (hash ^ bytes[i]) * 1099511628211u;
                }
            }
        }
    }
    hone_loader_free(loader);
    return hash;
}

static void test_same_geometry(void **state)
{
    (void)state;
    static const char *const crops[] = {"random", "center", "none"};
    for (int i = 0; i < 3; i++) {
        HoneSys sys = {0};
        HoneError error = {0};
        HoneDataset *data = open_size(&sys, crops[i], 4 * SIZE, 0, &error);
        if (data == NULL) {
            fail_msg("%s", error.message);
        }
        assert_int_equal(hone_data_count(data), PICTURES);
        assert_string_equal(hone_data_label(data), "mask");
        uint64_t alone = run(data, &sys, 0, 4 * SIZE);
        for (int workers = 1; workers <= 4; workers++) {
            assert_true(run(data, &sys, workers, 4 * SIZE) == alone);
        }
        hone_data_close(data);
    }
}

/* Evaluation, the whole picture: pixel (x, y) of the mask is the one in the middle of where it comes from. */
static void test_nearest(void **state)
{
    (void)state;
    HoneSys sys = {0};
    HoneError error = {0};
    HoneDataset *data = open_size(&sys, "none", SIZE, 12, &error);
    assert_non_null(data);
    int64_t low, high;
    assert_true(hone_data_range(data, 1, &low, &high) && low == 0 && high == 11);
    HoneLoaderConfig config = {.batch = 1, .workers = 0, .depth = 1};
    HoneLoader *loader = hone_loader_new(&sys, data, &config, &error);
    HoneBatch batch;
    assert_true(hone_loader_start(loader, 0, 0, &error));
    assert_false(hone_loader_next(loader, &batch, &error));      /* 12 is no class of 12 */
    assert_non_null(strstr(error.message, "has the value 12 at x = 30, y = 20"));
    hone_loader_free(loader);
    hone_data_close(data);
    data = open_size(&sys, "none", SIZE, 13, &error);
    loader = hone_loader_new(&sys, data, &config, &error);
    assert_true(hone_loader_start(loader, 0, 0, &error));
    assert_true(hone_loader_next(loader, &batch, &error));
    const int32_t *mask = batch.fields[1];
    for (int y = 0; y < SIZE; y++) {
        for (int x = 0; x < SIZE; x++) {
            int from_x = (2 * x + 1) * WIDTH / (2 * SIZE), from_y = (2 * y + 1) * HEIGHT / (2 * SIZE);
            assert_int_equal(mask[y * SIZE + x], 1 + (from_x / 10 + from_y / 10 * 4) % 12);
        }
    }
    hone_loader_free(loader);
    hone_data_close(data);
}

/* Packed values are not scaled, interlaced rows come together. */
static void test_depths(void **state)
{
    (void)state;
    static const struct {
        int depth, colours;
        bool interlaced;
    } kinds[] = {{1, PNG_COLOR_TYPE_GRAY, false},    {2, PNG_COLOR_TYPE_PALETTE, false},
                 {4, PNG_COLOR_TYPE_GRAY, true},     {4, PNG_COLOR_TYPE_PALETTE, false},
                 {8, PNG_COLOR_TYPE_PALETTE, true}};
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        int depth = kinds[k].depth;
        uint8_t rows[HEIGHT][WIDTH];
        size_t row = (size_t)(WIDTH * depth / 8);
        memset(rows, 0, sizeof rows);
        for (int y = 0; y < HEIGHT; y++) {
            for (int x = 0; x < WIDTH; x++) {
                int value = (x + y) & ((1 << depth) - 1);
                rows[y][x * depth / 8] |= (uint8_t)(value << (8 - depth - x * depth % 8));
            }
        }
        uint8_t packed[HEIGHT * WIDTH];
        for (size_t y = 0; y < HEIGHT; y++) {
            memcpy(packed + y * row, rows[y], row);
        }
        put_png("masks/p0.png", WIDTH, HEIGHT, depth, kinds[k].colours, kinds[k].interlaced, packed,
                row);
        HoneSys sys = {0};
        HoneError error = {0};
        HoneDataset *data = open_size(&sys, "none", WIDTH, 0, &error);
        assert_non_null(data);
        HoneLoaderConfig config = {.batch = 1, .workers = 0, .depth = 1};
        HoneLoader *loader = hone_loader_new(&sys, data, &config, &error);
        HoneBatch batch;
        assert_true(hone_loader_start(loader, 0, 0, &error));
        assert_true(hone_loader_next(loader, &batch, &error));
        const int32_t *mask = batch.fields[1];
        for (int y = 0; y < WIDTH; y++) {
            for (int x = 0; x < WIDTH; x++) {
                int from_y = (2 * y + 1) * HEIGHT / (2 * WIDTH);
                assert_int_equal(mask[y * WIDTH + x], (x + from_y) & ((1 << depth) - 1));
            }
        }
        hone_loader_free(loader);
        hone_data_close(data);
    }
    uint8_t wide[HEIGHT * WIDTH * 2] = {0};
    put_png("masks/p0.png", WIDTH, HEIGHT, 16, PNG_COLOR_TYPE_GRAY, false, wide, 2 * WIDTH);
    HoneSys sys = {0};
    HoneError error = {0};
    assert_null(open_size(&sys, "none", SIZE, 0, &error));
    assert_int_equal(error.exit, HONE_BAD_INPUT);
    assert_non_null(strstr(error.message, "p0.png` is no mask"));
}

/* What decoding takes is that of the largest picture; a mask is decoded where its picture was. */
static void test_need(void **state)
{
    (void)state;
    HoneSys sys = {0};
    HoneError error = {0};
    HoneDataset *data = open_size(&sys, "none", SIZE, 0, &error);
    assert_non_null(data);
    uint64_t decoding = hone_data_loading(data, 0, NULL).decoding;
    uint64_t pixels = 3 * WIDTH * HEIGHT, rows = 3 * SIZE * HEIGHT;
    assert_true(decoding > pixels + rows && decoding < pixels + rows + 4096);
    hone_data_close(data);
}

static HoneDataset *open_any(HoneSys *sys, HoneError *error)
{
    return open_size(sys, "center", SIZE, 0, error);
}

static void test_failures(void **state)
{
    (void)state;
    data_survives(open_any);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_same_geometry, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_nearest, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_depths, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_need, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_failures, make_folder, remove_folder)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
