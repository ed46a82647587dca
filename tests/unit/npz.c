/* npz: arrays stored and deflated are read; hostile archives and array headers are refused with
 * their own message. */
#include "hone/hone.h"
#include "support/files.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <zip.h>

static char *folder;

typedef struct Member {
    const char *name, *dictionary;
    int data;              /* bytes after the header: 0, 1, 2 … */
    bool deflate;
    int version;           /* of the header; 0: 1 */
} Member;

static unsigned char *npy(const Member *member, size_t *n)
{
    int version = member->version ? member->version : 1;
    size_t skip = version == 1 ? 10 : 12, length = strlen(member->dictionary);
    *n = skip + length + (size_t)member->data;
    unsigned char *bytes = calloc(1, *n);
    memcpy(bytes, "\x93NUMPY", 6);
    bytes[6] = (unsigned char)version;
    bytes[8] = (unsigned char)length;
    bytes[9] = (unsigned char)(length >> 8);
    memcpy(bytes + skip, member->dictionary, length);
    for (int i = 0; i < member->data; i++)
        bytes[skip + length + (size_t)i] = (unsigned char)i;
    return bytes;
}

static void write_npz(const char *path, size_t n, const Member *members)
{
    remove(path);
    int why;
    zip_t *zip = zip_open(path, ZIP_CREATE | ZIP_TRUNCATE, &why);
    assert_non_null(zip);
    for (size_t i = 0; i < n; i++) {
        size_t bytes;
        unsigned char *text = npy(&members[i], &bytes);
        zip_source_t *from = zip_source_buffer(zip, text, bytes, 1);
        zip_int64_t at = zip_file_add(zip, members[i].name, from, 0);
        assert_true(at >= 0);
        zip_set_file_compression(zip, (zip_uint64_t)at,
                                 members[i].deflate ? ZIP_CM_DEFLATE : ZIP_CM_STORE, 0);
    }
    assert_int_equal(zip_close(zip), 0);
}

#define DICT(descr, order, shape)                                                                  \
    "{'descr': '" descr "', 'fortran_order': " order ", 'shape': (" shape "), }          \n"

static void reads(void **state)
{
    (void)state;
    const char *path = in_folder(folder, "good.npz");
    write_npz(path, 5, (const Member[]){
        {"x.npy", DICT("|u1", "False", "2, 3"), 6, false, 1},
        {"y.npy", DICT("<i8", "False", "1000,"), 8000, true, 2},
        {"s.npy", DICT("<f4", "False", ""), 4, false, 3},
        {"v.npy", DICT("<f4", "True", "3,"), 12, false, 1},
        {"w.npy", DICT(">f4", "False", "3,"), 12, false, 1}});
    HoneSys sys = {0};
    HoneError error = {0};
    HoneFile *file = hone_file_open(&sys, path, &error);
    if (!file)
        fail_msg("%s", error.message);
    assert_int_equal(hone_file_count(file), 5);
    const HoneFileTensor *x = hone_file_find(file, "x"), *y = hone_file_find(file, "y");
    assert_true(x && x->dtype == HONE_U8 && x->rank == 2 && x->dims[0] == 2 && x->dims[1] == 3);
    assert_true(y && y->dtype == HONE_I64 && y->rank == 1 && y->dims[0] == 1000 && y->bytes == 8000);
    assert_true(hone_file_find(file, "s")->rank == 0 && hone_file_find(file, "v")->rank == 1);
    assert_false(hone_file_find(file, "w")->known_dtype);
    assert_string_equal(hone_file_find(file, "w")->dtype_name, ">f4");
    unsigned char to[8000];
    for (int round = 0; round < 2; round++) {
        assert_true(hone_file_read(file, y, to, &error));
        for (int i = 0; i < 8000; i++)
            assert_int_equal(to[i], i & 255);
        assert_true(hone_file_read(file, x, to, &error));
        assert_int_equal(to[5], 5);
    }
    hone_file_close(file);
    for (int kind = 0; kind < 2; kind++)
        for (int64_t k = 1;; k++) {
            HoneSys failing = {.fail_alloc = kind ? 0 : k, .fail_io = kind ? k : 0};
            file = hone_file_open(&failing, path, &error);
            bool good = file && hone_file_read(file, hone_file_find(file, "y"), to, &error);
            hone_file_close(file);
            if (good)
                break;
            assert_string_equal(error.code, kind ? "E702" : "E706");
        }
}

static void hostile_members(void **state)
{
    (void)state;
    static const struct {
        Member member;
        const char *message;
    } cases[] = {
        {{"x.npy", DICT("<f4", "True", "2, 2"), 16, false, 1}, "Fortran order"},
        {{"x.npy", DICT("|O", "False", "2,"), 16, false, 1}, "not plain numbers"},
        {{"x.npy", "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,), }\n", 8, false, 1},
         "not as NumPy writes it"},
        {{"x.npy", DICT("<f4", "False", "5,"), 16, false, 1}, "has 16 bytes, its header asks for 20"},
        {{"x.npy", DICT("<f4", "False", "4,"), 15, true, 1}, "has 15 bytes, its header asks for 16"},
        {{"x.npy", DICT("<f4", "False", "-4,"), 16, false, 1}, "not as NumPy writes it"},
        {{"x.npy", DICT("<f4", "False", "4294967296, 4294967296"), 16, false, 1}, "overflows"},
        {{"x.npy", DICT("<f4", "False", "99999999999999999999"), 16, false, 1}, "not as NumPy"},
        {{"x.npy", DICT("<f4", "False", "1,1,1,1,1,1,1,1,1,1,1,1,1"), 4, false, 1}, "not as NumPy"},
        {{"x.npy", DICT("<f4", "Maybe", "4,"), 16, false, 1}, "not as NumPy"},
        {{"x.npy", "{'descr': '<f4', 'shape': (4,), }\n", 16, false, 1}, "not as NumPy"},
        {{"x.npy", "{'descr': '<f4', 'descr': '<f4', 'shape': (4,), }\n", 16, false, 1}, "not as NumPy"},
        {{"x.npy", "{'descr': __import__('os'), 'shape': (4,), }\n", 16, false, 1}, "not as NumPy"},
        {{"x.npy", DICT("<f4", "False", "4,") "x", 16, false, 1}, "not as NumPy"},
        {{"x.npy", DICT("<f4", "False", "4,"), 16, false, 9}, "is not an npy file"},
        {{"x.npy", DICT("<f99999999", "False", "4,"), 16, false, 1}, "not plain numbers"},
        {{"x.txt", DICT("<f4", "False", "4,"), 16, false, 1}, "is not an array"},
        {{".npy", DICT("<f4", "False", "4,"), 16, false, 1}, "is not an array"},
        {{"../x.npy", DICT("<f4", "False", "4,"), 16, false, 1}, "is not an array"},
        {{"model/data.pkl", DICT("<f4", "False", "4,"), 16, false, 1}, "is not an array"},
    };
    const char *path = in_folder(folder, "hostile.npz");
    HoneSys sys = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_npz(path, 1, &cases[i].member);
        HoneError error = {0};
        HoneFile *file = hone_file_open(&sys, path, &error);
        if (file || !strstr(error.message, cases[i].message))
            fail_msg("case %zu: wanted '%s', got '%s'", i, cases[i].message,
                     file ? "opened" : error.message);
        assert_int_equal(error.exit, HONE_BAD_INPUT);
    }
}

/* Every byte of an archive changed, and every truncation: opened and read whole, or refused. */
static void damaged_archives(void **state)
{
    (void)state;
    const char *path = in_folder(folder, "damaged.npz");
    write_npz(path, 2, (const Member[]){{"x.npy", DICT("|u1", "False", "5,"), 5, false, 1},
                                        {"y.npy", DICT("<f4", "False", "50,"), 200, true, 1}});
    size_t n;
    char *bytes = file_get(path, &n);
    HoneSys sys = {0};
    int refused = 0;
    for (size_t i = 0; i < 2 * n; i++) {
        HoneError error = {0};
        char old = bytes[i % n];
        bytes[i % n] = (char)(old ^ (1 << (i % 8)));
        file_put(path, bytes, i < n ? n : i - n);
        bytes[i % n] = old;
        HoneFile *file = hone_file_open(&sys, path, &error);
        bool good = file != NULL;
        for (size_t t = 0; file && t < hone_file_count(file); t++) {
            const HoneFileTensor *tensor = hone_file_tensor(file, t);
            assert_true(tensor->bytes <= 200);
            char to[200];
            good = hone_file_read(file, tensor, to, &error) && good;
        }
        hone_file_close(file);
        refused += !good;
        assert_true(good || error.message[0]);
    }
    assert_true(refused > (int)n);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads),
        cmocka_unit_test(hostile_members),
        cmocka_unit_test(damaged_archives),
    };
    folder = temp_folder();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    temp_remove(folder);
    return failed;
}
