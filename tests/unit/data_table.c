/* Tables: quoting, separators, what the target is, order independent of threads, files that are not what
 * the recipe says, refused memory and failing I/O. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "hone/hone.h"
#include "support/data.h"
#include "support/files.h"

static char *root;

static void put_text(const char *name, const char *text)
{
    file_put_text(in_folder(root, name), text);
}

static int make_folder(void **state)
{
    (void)state;
    root = temp_folder();
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    temp_remove(root);
    return 0;
}

static HoneDataset *open_table(HoneSys *sys, const char *file, const char *target, HoneError *error)
{
    static HoneOption options[2];
    static HoneSource source;
    options[0] = (HoneOption){.name = "file", .kind = HONE_OPT_STRING, .s = file};
    options[1] = (HoneOption){.name = "target", .kind = HONE_OPT_STRING, .s = target};
    source = (HoneSource){.reader = "table", .n_options = 2, .options = options};
    return hone_data_open(sys, &source, root, error);
}

/* All samples in order. */
typedef struct Read {
    int64_t n, features;
    HoneDType dtype;
    float x[16][4], y[16];
    int32_t label[16];
} Read;

static Read read_all(const char *text, const char *target, size_t classes, const char *const *names)
{
    HoneSys sys = {0};
    HoneError error = {0};
    put_text("t", text);
    HoneDataset *data = open_table(&sys, "t", target, &error);
    if (data == NULL) {
        fail_msg("%s", error.message);
    }
    const HoneField *fields;
    assert_int_equal(hone_data_fields(data, &fields), 2);
    const char *const *got;
    assert_int_equal(hone_data_classes(data, &got), classes);
    for (size_t i = 0; i < classes; i++) {
        assert_string_equal(got[i], names[i]);
    }
    Read read = {.features = fields[0].dims[0], .dtype = fields[1].dtype};
    HoneLoaderConfig config = {.batch = 1, .workers = 0, .depth = 1};
    HoneLoader *loader = hone_loader_new(&sys, data, &config, &error);
    assert_non_null(loader);
    assert_true(hone_loader_start(loader, 0, 0, &error));
    for (HoneBatch batch; hone_loader_next(loader, &batch, &error) && batch.size > 0; read.n++) {
        memcpy(read.x[read.n], batch.fields[0], (size_t)read.features * sizeof(float));
        memcpy(&read.y[read.n], batch.fields[1], sizeof(float));
        memcpy(&read.label[read.n], batch.fields[1], sizeof(float));
    }
    assert_int_equal(read.n, hone_data_count(data));
    hone_loader_free(loader);
    hone_data_close(data);
    return read;
}

static void test_quotes(void **state)
{
    (void)state;
    Read read = read_all("\xEF\xBB\xBF\"a, \"\"quoted\"\"\",\"two\nlines\", c ,kind\r\n"
                         "1, -2.5e1 ,\"3\",\"x, y\"\r\n\r\n  \n4,5,.5,  \"q\"\"\" \r\n7,8,9,x y",
                         "kind", 3, (const char *[]){"q\"", "x y", "x, y"});
    assert_int_equal(read.n, 3);
    assert_int_equal(read.features, 3);
    assert_true(read.x[0][0] == 1 && read.x[0][1] == -25 && read.x[0][2] == 3);
    assert_true(read.x[1][2] == 0.5f && read.x[2][2] == 9);
    assert_true(read.label[0] == 2 && read.label[1] == 0 && read.label[2] == 1);
}

static void test_tabs(void **state)
{
    (void)state;
    Read read = read_all("a,b\ty\tc\n1\t2,5\t3\n4\t2,5\t6\n", "y", 1, (const char *[]){"2,5"});
    assert_true(read.n == 2 && read.features == 2 && read.x[1][0] == 4 && read.x[1][1] == 6);
}

static void test_targets(void **state)
{
    (void)state;
    Read read = read_all("y,a\n3,1\n-1,2\n+10,3\n", "y", 0, NULL);     /* as they are: no classes */
    assert_int_equal(read.dtype, HONE_I32);
    assert_true(read.label[0] == 3 && read.label[1] == -1 && read.label[2] == 10);
    read = read_all("y,a\n3,1\n2.0,2\n", "y", 0, NULL);
    assert_int_equal(read.dtype, HONE_F32);
    assert_true(read.y[0] == 3 && read.y[1] == 2);
    read = read_all("y,a\n3000000000,1\n1,2\n", "y", 0, NULL);
    assert_int_equal(read.dtype, HONE_F32);
    assert_true(read.y[0] == 3e9f);
    read = read_all("a,y\n1,b\n2,B\n3,b\n", "y", 2, (const char *[]){"B", "b"});
    assert_int_equal(read.dtype, HONE_I32);
    assert_true(read.label[0] == 1 && read.label[1] == 0 && read.label[2] == 1);
}

static void test_facts(void **state)
{
    (void)state;
    HoneSys sys = {0};
    HoneError error = {0};
    put_text("t", "a,y,b\n1,4,2\n3,-2,4\n");
    HoneDataset *data = open_table(&sys, "t", "y", &error);
    assert_non_null(data);
    int64_t low, high;
    assert_false(hone_data_range(data, 0, &low, &high));
    assert_true(hone_data_range(data, 1, &low, &high) && low == -2 && high == 4);
    const char *const *columns;
    assert_int_equal(hone_data_columns(data, &columns), 2);
    assert_true(strcmp(columns[0], "a") == 0 && strcmp(columns[1], "b") == 0);
    assert_string_equal(hone_data_label(data), "y");
    assert_int_equal(hone_data_loading(data, 0, NULL).held, 2 * (2 + 1) * 4);
    hone_data_close(data);
}

static void refused(const char *text, const char *target, const char *message)
{
    HoneSys sys = {0};
    HoneError error = {0};
    put_text("bad", text);
    assert_null(open_table(&sys, "bad", target, &error));
    assert_int_equal(error.exit, HONE_BAD_INPUT);
    assert_string_equal(error.code, "E704");
    if (strstr(error.message, message) == NULL) {
        fail_msg("%s", error.message);
    }
}

static void test_refused(void **state)
{
    (void)state;
    refused("", "y", "is empty");
    refused("\n \n", "y", "is empty");
    refused("a,y\n", "y", "no samples");
    refused("a,b\n1,2\n", "y", "has no column `y`");
    refused("y\n1\n", "y", "no column beside");
    refused(",y\n1,2\n", "y", "column 1 has no name");
    refused("a,b,a,y\n1,2,3,4\n", "y", "columns 1 and 3 are both called `a`");
    refused("a,y\n1,2\n3\n", "y", "line 3: 1 cell, the first line names 2 columns");
    refused("a,y\n1,2\n3,4,5\n", "y", "line 3: 3 cells");
    refused("a,y\n1,2\n,4\n", "y", "line 3: column `a` is empty");
    refused("a,y\n1,2\n3,\n", "y", "line 3: column `y` is empty");
    refused("a,y\n1,2\n\"x\ny\",4\n", "y", "line 3: column `a` holds `x\ny`, which is no number");
    refused("a,y\nnan,2\n", "y", "which is no number");
    refused("a,y\n0x10,2\n", "y", "which is no number");
    refused("a,y\n1e99,2\n", "y", "column `a` holds `1e99`, which is too large for f32");
    refused("a,y\n1,-1e39\n2,-1e39\n", "y", "column `y` holds `-1e39`, which is too large for f32");
    refused("a,y\n1,2\n3,\"4\n5,6\n", "y", "line 3: a quote is opened and never closed");
    refused("a,y\n1,2\"\n", "y", "line 2: a quote within a cell");
    refused("a,y\n1,\"2\"3\n", "y", "line 2: text behind a closing quote");
    refused("a,y\n1,2\n3,n/a\n", "y", "is a number in line 2 and a word in line 3");
    file_put(in_folder(root, "bad"), "a,y\n1\0,2\n", 9);
    HoneSys sys = {0};
    HoneError error = {0};
    assert_null(open_table(&sys, "bad", "y", &error));
    assert_non_null(strstr(error.message, "zero byte"));
    assert_null(open_table(&sys, "none", "y", &error));
    assert_string_equal(error.code, "E702");
}

/* Whatever a file's bytes are, it is read or refused. */
static void test_any_bytes(void **state)
{
    (void)state;
    static const char alphabet[] = "1ab,,\t\n\n\r\"\" .-e";
    uint32_t random = 1;
    for (int i = 0; i < 4000; i++) {
        char text[48] = "a,y\n";
        size_t n = i % 2 == 0 ? 4 : 0, length = (size_t)(i % 40) + n;
        for (; n < length; n++) {
            random = random * 1664525u + 1013904223u;
            text[n] = alphabet[(random >> 16) % (sizeof alphabet - 1)];
        }
        file_put(in_folder(root, "any"), text, n);
        HoneSys sys = {0};
        HoneError error = {0};
        HoneDataset *data = open_table(&sys, "any", "y", &error);
        assert_true(data != NULL || error.exit == HONE_BAD_INPUT);
        hone_data_close(data);
    }
}

static HoneDataset *open_any(HoneSys *sys, HoneError *error)
{
    return open_table(sys, "t", "y", error);
}

static void test_failures(void **state)
{
    (void)state;
    put_text("t", "a,y,b\n1,one,2\n3,two,4\n");
    data_survives(open_any);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quotes),  cmocka_unit_test(test_tabs),
        cmocka_unit_test(test_targets), cmocka_unit_test(test_facts),
        cmocka_unit_test(test_refused), cmocka_unit_test(test_any_bytes),
        cmocka_unit_test(test_failures)};
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
