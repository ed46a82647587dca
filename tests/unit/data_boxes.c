/* Things in pictures: coordinates, classes and sets of Pascal VOC's annotations, what is passed over in
 * them, edited annotations, order independent of threads, refused memory and failing I/O. */
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

#include "hone/hone.h"
#include "support/data.h"
#include "support/files.h"

enum { SIZE = 10, MOST = 3, PICTURES = 4, WIDTH = 37, HEIGHT = 29 };

static char *root;

static void put_text(const char *name, const char *text)
{
    file_put_text(in_folder(root, name), text);
}

#define BOX(x1, y1, x2, y2)                                                                            \
    "<bndbox><ymax>" #y2 "</ymax><xmin>" #x1 "</xmin><ymin> " #y1 "\n</ymin><xmax>" #x2 "</xmax></bndbox>"
static const char two[] =
    "\xEF\xBB\xBF<?xml version='1.0'?>\n<!-- <object> -->\n<annotation verified=\"a>b\">\n"
    "<folder/><object><part><name>leg</name>" BOX(1, 2, 3, 4) "</part><name> dog&amp;cat </name>"
    BOX(3.7, 0, 37, 29) "</object>\n<size><width>37</width><height>29</height><depth>3</depth></size>"
    "<object>" BOX(0, 1, 5, 1e1) "<name>Ant</name><pose></pose></object></annotation>\n";
static const char none[] = "<annotation/>";

static int make_folder(void **state)
{
    (void)state;
    static const char *const folders[] = {"JPEGImages", "Annotations", "ImageSets", "ImageSets/Main"};
    root = temp_folder();
    char path[160];
    for (int i = 0; i < 4; i++) {
        snprintf(path, sizeof path, "%s/%s", root, folders[i]);
        mkdir(path, 0777);
    }
    size_t n;
    char *picture = file_get(TEST_DIR "/data/pictures/rgb.png", &n);
    assert_non_null(picture);
    for (int i = 0; i < PICTURES; i++) {
        snprintf(path, sizeof path, "%s/JPEGImages/p%d.png", root, i);
        file_put(path, picture, n);
        snprintf(path, sizeof path, "Annotations/p%d.xml", i);
        put_text(path, i % 2 == 0 ? two : none);
    }
    free(picture);
    put_text("ImageSets/Main/few.txt", "\xEF\xBB\xBFp3\r\n\np0 ");
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    temp_remove(root);
    return 0;
}

static HoneDataset *open_boxes(HoneSys *sys, const char *set, int64_t most, bool skip_bad,
                               HoneError *error)
{
    static HoneOption options[4];
    static HoneSource source;
    options[0] = (HoneOption){.name = "path", .kind = HONE_OPT_STRING, .s = "."};
    options[1] = (HoneOption){.name = "size", .kind = HONE_OPT_INT, .i = SIZE};
    options[2] = (HoneOption){.name = "most", .kind = HONE_OPT_INT, .i = most};
    options[3] = (HoneOption){.name = "set", .kind = HONE_OPT_STRING, .s = set};
    source = (HoneSource){.reader = "boxes", .n_options = set == NULL ? 3 : 4, .options = options,
                          .skip_bad = skip_bad};
    return hone_data_open(sys, &source, root, error);
}

static void near(float got, double want)
{
    assert_true((double)got > want - 1e-5 && (double)got < want + 1e-5);
}

static void test_fields(void **state)
{
    (void)state;
    HoneSys sys = {0};
    HoneError error = {0};
    HoneDataset *data = open_boxes(&sys, NULL, MOST, false, &error);
    if (data == NULL) {
        fail_msg("%s", error.message);
    }
    assert_int_equal(hone_data_count(data), PICTURES);
    const char *const *classes;
    assert_int_equal(hone_data_classes(data, &classes), 2);
    assert_string_equal(classes[0], "Ant");
    assert_string_equal(classes[1], "dog&cat");
    int64_t low, high;
    assert_true(hone_data_range(data, 2, &low, &high) && low == -1 && high == 1);
    HoneLoaderConfig config = {.batch = 2, .workers = 0, .depth = 1};
    HoneLoader *loader = hone_loader_new(&sys, data, &config, &error);
    HoneBatch batch;
    assert_true(hone_loader_start(loader, 0, 0, &error));
    assert_true(hone_loader_next(loader, &batch, &error));
    const float *boxes = batch.fields[1];
    const int32_t *labels = batch.fields[2];
    near(boxes[0], 1);
    near(boxes[1], 0);
    near(boxes[2], SIZE);
    near(boxes[3], SIZE);
    near(boxes[5], (double)SIZE / (double)HEIGHT);
    near(boxes[6], 5 * (double)SIZE / (double)WIDTH);
    static const int32_t want[2 * MOST] = {1, 0, -1, -1, -1, -1};
    for (int i = 0; i < 2 * MOST; i++) {
        assert_int_equal(labels[i], want[i]);
    }
    for (int i = 8; i < 2 * MOST * 4; i++) {
        assert_true(boxes[i] == 0);
    }
    hone_loader_free(loader);
    hone_data_close(data);
}

/* A set's samples are some of the folder's, its classes all of them. */
static void test_sets(void **state)
{
    (void)state;
    HoneSys sys = {0};
    HoneError error = {0};
    put_text("Annotations/p1.xml", "<annotation><object><name>zebra</name>" BOX(1, 1, 2, 2)
                                   "</object></annotation>");
    HoneDataset *data = open_boxes(&sys, "few", MOST, false, &error);
    assert_non_null(data);
    assert_int_equal(hone_data_count(data), 2);
    const char *const *classes;
    assert_int_equal(hone_data_classes(data, &classes), 3);
    hone_data_close(data);
    assert_null(open_boxes(&sys, "none", MOST, false, &error));
    assert_string_equal(error.code, "E702");
    put_text("ImageSets/Main/none.txt", "\n");
    assert_null(open_boxes(&sys, "none", MOST, false, &error));
    assert_non_null(strstr(error.message, "no samples"));
    char path[160];
    snprintf(path, sizeof path, "%s/ImageSets/Main/none.txt", root);
    file_put(path, "p0\0p3\n", 6);
    assert_null(open_boxes(&sys, "none", MOST, false, &error));
    assert_non_null(strstr(error.message, "none.txt` is no text: there is a zero byte in it"));
    assert_null(open_boxes(&sys, NULL, 1, false, &error));
    assert_non_null(strstr(error.message, "JPEGImages/p0.png` has 2 boxes, `most` is 1"));
    assert_null(open_boxes(&sys, NULL, 0, false, &error));
    assert_int_equal(error.exit, HONE_USAGE);
}

static uint64_t run(HoneDataset *data, HoneSys *sys, int workers)
{
    HoneError error = {0};
    HoneLoaderConfig config = {.batch = 3, .shuffle = true, .augment = true, .seed = 5,
                               .workers = workers, .depth = 2};
    HoneLoader *loader = hone_loader_new(sys, data, &config, &error);
    assert_non_null(loader);
    uint64_t hash = 1469598103934665603u;
    for (int64_t epoch = 0; epoch < 3; epoch++) {
        assert_true(hone_loader_start(loader, epoch, 0, &error));
        for (HoneBatch batch; hone_loader_next(loader, &batch, &error) && batch.size > 0;) {
            const size_t bytes[] = {3 * SIZE * SIZE * 4, MOST * 16, MOST * 4};
            for (size_t f = 0; f < 3; f++) {
                const uint8_t *at = batch.fields[f];
                for (size_t i = 0; i < (size_t)batch.size * bytes[f]; i++) {
                    hash = (hash ^ at[i]) * 1099511628211u;
                }
            }
        }
    }
    hone_loader_free(loader);
    return hash;
}

static void test_threads(void **state)
{
    (void)state;
    HoneSys sys = {0};
    HoneError error = {0};
    HoneDataset *data = open_boxes(&sys, NULL, MOST, false, &error);
    assert_non_null(data);
    uint64_t alone = run(data, &sys, 0);
    for (int workers = 1; workers <= 4; workers++) {
        assert_true(run(data, &sys, workers) == alone);
    }
    hone_data_close(data);
}

/* Whatever stands in an annotation, it is read, refused with its name, or passed over. */
static void test_edits(void **state)
{
    (void)state;
    static const char *const pieces[] = {"<", ">", "</", "/>", "\"", "&", "&lt;", "<!--", "-->", "<?",
                                         "<object>", "</object>", "<a>", "-", "9", "\n", "<![CDATA["};
    uint32_t random = 7;
    char text[sizeof two + 16];
    for (int i = 0; i < 1000; i++) {
        random = random * 1664525u + 1013904223u;
        size_t at = (random >> 8) % (sizeof two - 1);
        random = random * 1664525u + 1013904223u;
        const char *piece = pieces[(random >> 16) % (sizeof pieces / sizeof *pieces)];
        size_t drop = (random >> 4) % 12;
        drop = at + drop > sizeof two - 1 ? sizeof two - 1 - at : drop;
        snprintf(text, sizeof text, "%.*s%s%s", (int)at, two, piece, two + at + drop);
        put_text("Annotations/p0.xml", i % 16 == 0 ? text + at : text);
        HoneSys sys = {0};
        HoneError error = {0};
        HoneDataset *data = open_boxes(&sys, NULL, MOST, false, &error);
        if (data == NULL) {
            assert_int_equal(error.exit, HONE_BAD_INPUT);
            assert_non_null(strstr(error.message, "p0."));
            data = open_boxes(&sys, NULL, MOST, true, &error);
            assert_non_null(data);
            assert_int_equal(hone_data_skipped(data), 1);
            assert_int_equal(hone_data_count(data), PICTURES - 1);
        }
        hone_data_close(data);
    }
    char deep[400] = "";
    for (int i = 0; i < 50; i++) {
        strcat(deep, "<deep>");
    }
    put_text("Annotations/p0.xml", deep);
    HoneSys sys = {0};
    HoneError error = {0};
    assert_null(open_boxes(&sys, NULL, MOST, false, &error));
    assert_non_null(strstr(error.message, "p0.xml`, line 1: "));
}

static HoneDataset *open_any(HoneSys *sys, HoneError *error)
{
    return open_boxes(sys, "few", MOST, false, error);
}

static void test_failures(void **state)
{
    (void)state;
    data_survives(open_any);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_fields, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_sets, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_threads, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_edits, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_failures, make_folder, remove_folder)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
