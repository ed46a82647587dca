/* safetensors: what is written is read back; every class of hostile file is refused with its own
 * message, within the memory that its length allows; our JSON reader agrees with jansson. */
#include "hone/hone.h"
#include "support/files.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

static char *folder;

/* --- writing and reading ------------------------------------------------------------------------- */
static void round_trip(void **state)
{
    (void)state;
    HoneSys sys = {0};
    HoneError error = {0};
    const char *path = in_folder(folder, "round.safetensors");
    float w[6] = {1, 2, 3, 4, 5, 6}, padded[8] = {1, 4, 0, 0, 2, 5, 0, 0};
    int64_t n = 7;
    uint8_t bytes[3] = {9, 8, 7};
    int64_t across[2] = {1, 4};
    const HoneWrite writes[] = {
        {.key = "z\"\\ü", .dtype = HONE_U8, .rank = 1, .dims = {3}, .data = bytes},
        {.key = "b", .dtype = HONE_F32, .rank = 2, .dims = {2, 3}, .data = w},
        {.key = "a", .dtype = HONE_F32, .rank = 2, .dims = {2, 2}, .data = padded, .strides = across},
        {.key = "count", .dtype = HONE_I64, .data = &n},
        {.key = "empty", .dtype = HONE_F32, .rank = 2, .dims = {0, 5}, .data = w},
    };
    assert_true(hone_safetensors_write(&sys, path, 5, writes, &error));
    assert_int_equal(folder_count(folder), 1);
    size_t size;
    char *text = file_get(path, &size);
    const char *expected =
        "{\"__metadata__\":{\"format\":\"pt\"},"
        "\"count\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[0,8]},"
        "\"a\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[8,24]},"
        "\"b\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[24,48]},"
        "\"empty\":{\"dtype\":\"F32\",\"shape\":[0,5],\"data_offsets\":[48,48]},"
        "\"z\\\"\\\\ü\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[48,51]}}";
    assert_memory_equal(text + 8, expected, strlen(expected));
    uint64_t header;
    memcpy(&header, text, 8);
    assert_int_equal(header % 8, 0);
    assert_int_equal(size, 8 + header + 51);
    free(text);

    HoneFile *file = hone_file_open(&sys, path, &error);
    assert_non_null(file);
    assert_int_equal(hone_file_count(file), 5);
    const HoneFileTensor *b = hone_file_find(file, "b");
    assert_true(b && b->rank == 2 && b->dims[0] == 2 && b->dims[1] == 3 && b->known_dtype);
    float read[6];
    assert_true(hone_file_read(file, b, read, &error));
    assert_memory_equal(read, w, sizeof w);
    assert_true(hone_file_read(file, hone_file_find(file, "a"), read, &error));
    assert_true(read[0] == 1 && read[1] == 2 && read[2] == 4 && read[3] == 5);
    assert_non_null(hone_file_find(file, "z\"\\ü"));
    assert_null(hone_file_find(file, "c"));
    hone_file_close(file);
}

/* A write that fails anywhere leaves the old file and nothing else. */
static void failing_writes(void **state)
{
    (void)state;
    const char *path = in_folder(folder, "old.safetensors");
    HoneError error = {0};
    float old = 1, new = 2;
    HoneWrite write = {.key = "x", .dtype = HONE_F32, .data = &old};
    HoneSys sys = {0};
    assert_true(hone_safetensors_write(&sys, path, 1, &write, &error));
    size_t before = folder_count(folder), n;
    char *bytes = file_get(path, &n);
    write.data = &new;
    for (int kind = 0; kind < 2; kind++)
        for (int64_t k = 1;; k++) {
            HoneSys failing = {.fail_alloc = kind ? 0 : k, .fail_io = kind ? k : 0, .io_error = 28};
            file_put(path, bytes, n);
            if (hone_safetensors_write(&failing, path, 1, &write, &error))
                break;
            assert_string_equal(error.code, kind ? "E701" : "E706");
            assert_int_equal(error.exit, kind ? HONE_IO : HONE_NO_MEMORY);
            assert_true(k < 20);
            assert_int_equal(folder_count(folder), before);
            size_t m;
            char *now = file_get(path, &m);
            if (k < 6)   /* the sixth call syncs the folder: the new file is already there */
                assert_true(m == n && memcmp(now, bytes, n) == 0);
            free(now);
        }
    free(bytes);
}

/* --- hostile files -------------------------------------------------------------------------------- */
#define T(dtype, shape, range)                                                                     \
    "{\"dtype\":\"" dtype "\",\"shape\":[" shape "],\"data_offsets\":[" range "]}"
#define F32X4 T("F32", "4", "0,16")

typedef struct Hostile {
    const char *header;
    int data;                   /* bytes after the header */
    const char *message;        /* part of it */
    int64_t length;             /* header length written; 0: the true one */
} Hostile;

static const Hostile hostile[] = {
    /* the frame */
    {"{}", 0, "1 bytes are too few", -1},
    {"{}", 0, "its header would have 18446744073709551615 bytes", -2},
    {"{\"a\":" F32X4 "}", 16, "100000000 are the limit", 100000001},
    {"{\"a\":" F32X4 "}", 16, "cut short", 99999999},
    {"{\"a\":" F32X4 "}", 16, "a text is never closed", 40},
    {"[\"a\"]", 0, "neither a safetensors file", 0},
    {" {}", 0, "neither a safetensors file", 0},
    {"{", 3, "it ends too early", 0},
    {"{}x", 0, "something follows its end", 0},
    {"{} {}", 0, "something follows its end", 0},
    {"{}", 4, "no tensor has the last 4 bytes", 0},
    /* JSON */
    {"{\"a\":" F32X4 ",}", 16, "a text was expected", 0},
    {"{,\"a\":" F32X4 "}", 16, "a text was expected", 0},
    {"{\"a\" " F32X4 "}", 16, "a colon was expected", 0},
    {"{\"a\":" F32X4 " \"b\":" F32X4 "}", 16, "a comma or a closing bracket", 0},
    {"{a:" F32X4 "}", 16, "a text was expected", 0},
    {"{'a':" F32X4 "}", 16, "a text was expected", 0},
    {"{\"a\":" F32X4 " // note\n}", 16, "a comma or a closing bracket", 0},
    {"{\"a", 16, "a text is never closed", 0},
    {"{\"a\\", 0, "a text is never closed", 0},
    {"{\"\\q\":" F32X4 "}", 16, "an unknown escape", 0},
    {"{\"\\u12\":" F32X4 "}", 16, "a bad \\u escape", 0},
    {"{\"\\ud800x\":" F32X4 "}", 16, "half of a surrogate", 0},
    {"{\"\\ud800\\u0041\":" F32X4 "}", 16, "half of a surrogate", 0},
    {"{\"\\udc00\":" F32X4 "}", 16, "half of a surrogate", 0},
    {"{\"a\\u0000b\":" F32X4 "}", 16, "a NUL in a text", 0},
    {"{\"a\nb\":" F32X4 "}", 16, "a control character in a text", 0},
    {"{\"\xff\":" F32X4 "}", 16, "not UTF-8", 0},
    {"{\"\xc0\xaf\":" F32X4 "}", 16, "not UTF-8", 0},
    {"{\"\xed\xa0\x80\":" F32X4 "}", 16, "not UTF-8", 0},
    {"{\"\xf4\x90\x80\x80\":" F32X4 "}", 16, "not UTF-8", 0},
    {"{\"\xe2\x82", 0, "not UTF-8", 0},
    {"{\"a\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", 0, "an object was expected", 0},
    {"{\"a\":{\"a\":{\"a\":{\"a\":{}}}}}", 0, "nothing else", 0},
    {"{\"a\":null}", 0, "an object was expected", 0},
    {"{\"a\":1e999}", 0, "an object was expected", 0},
    {"{\"a\":NaN}", 0, "an object was expected", 0},
    /* names */
    {"{\"\":" F32X4 "}", 16, "has no name", 0},
    {"{\"a\\u001b[31m\":" F32X4 "}", 16, "control character at byte 1", 0},
    {"{\"a\":" F32X4 ",\"a\":" T("F32", "4", "16,32") "}", 32, "two tensors have the name `a`", 0},
    {"{\"a\":" F32X4 ",\"\\u0061\":" T("F32", "4", "16,32") "}", 32, "two tensors have the name", 0},
    {"{\"__metadata__\":{},\"__metadata__\":{}}", 0, "`__metadata__` stands twice", 0},
    {"{\"__metadata__\":{\"a\":1}}", 0, "a text was expected", 0},
    {"{\"__metadata__\":{\"a\":{\"b\":\"c\"}}}", 0, "a text was expected", 0},
    {"{\"__metadata__\":[]}", 0, "an object was expected", 0},
    /* one entry */
    {"{\"a\":{\"shape\":[4],\"data_offsets\":[0,16]}}", 16, "`dtype` is missing", 0},
    {"{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,16]}}", 16, "`shape` is missing", 0},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4]}}", 16, "`data_offsets` is missing", 0},
    {"{\"a\":{}}", 0, "`dtype` is missing", 0},
    {"{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F64\",\"shape\":[4],\"data_offsets\":[0,16]}}", 16,
     "`dtype` stands twice", 0},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"shape\":[4],\"data_offsets\":[0,16]}}", 16,
     "`shape` stands twice", 0},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16],\"data_offsets\":[0,16]}}", 16,
     "`data_offsets` stands twice", 0},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16],\"file\":\"b\"}}", 16,
     "nothing else", 0},
    {"{\"a\":{\"dtype\":32,\"shape\":[4],\"data_offsets\":[0,16]}}", 16, "a text was expected", 0},
    {"{\"a\":" T("f32", "4", "0,16") "}", 16, "unknown dtype `f32`", 0},
    {"{\"a\":" T("F33", "4", "0,16") "}", 16, "unknown dtype `F33`", 0},
    /* dimensions */
    {"{\"a\":" T("F32", "-4", "0,16") "}", 16, "negative", 0},
    {"{\"a\":" T("F32", "4.0", "0,16") "}", 16, "not whole", 0},
    {"{\"a\":" T("F32", "4e0", "0,16") "}", 16, "not whole", 0},
    {"{\"a\":" T("F32", "04", "0,16") "}", 16, "starts with 0", 0},
    {"{\"a\":" T("F32", "\"4\"", "0,16") "}", 16, "a whole number was expected", 0},
    {"{\"a\":" T("F32", "4,", "0,16") "}", 16, "a whole number was expected", 0},
    {"{\"a\":" T("F32", "18446744073709551616", "0,16") "}", 16, "a number is too large", 0},
    {"{\"a\":" T("F32", "9223372036854775808", "0,16") "}", 16, "a dimension is too large", 0},
    {"{\"a\":" T("F32", "4294967296,4294967296", "0,16") "}", 16, "not a number of bytes", 0},
    {"{\"a\":" T("F64", "2305843009213693952", "0,16") "}", 16, "not a number of bytes", 0},
    {"{\"a\":" T("F32", "1,1,1,1,1,1,1,1,1,1,1,1,4", "0,16") "}", 16, "more than 12 dimensions", 0},
    {"{\"a\":" T("F4", "3", "0,2") "}", 2, "not a number of bytes", 0},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":4,\"data_offsets\":[0,16]}}", 16, "an array was expected", 0},
    /* ranges */
    {"{\"a\":" T("F32", "4", "16,0") "}", 16, "before it begins", 0},
    {"{\"a\":" T("F32", "4", "0,20") "}", 20, "has 20 bytes, its dtype and shape ask for 16", 0},
    {"{\"a\":" T("F32", "4", "0,16") "}", 15, "cut short", 0},
    {"{\"a\":" T("F32", "4", "0,18446744073709551615") "}", 16, "cut short", 0},
    {"{\"a\":" T("F32", "4", "18446744073709551600,18446744073709551615") "}", 16, "cut short", 0},
    {"{\"a\":" T("F32", "4", "0,16,32") "}", 16, "more than two numbers", 0},
    {"{\"a\":" T("F32", "4", "16") "}", 16, "fewer than two numbers", 0},
    {"{\"a\":" T("F32", "4", "-16,0") "}", 16, "negative", 0},
    {"{\"a\":" F32X4 ",\"b\":" F32X4 "}", 16, "overlaps", 0},
    {"{\"a\":" F32X4 ",\"b\":" T("F32", "4", "8,24") "}", 24, "`b` at offset 8 overlaps `a`", 0},
    {"{\"a\":" F32X4 ",\"b\":" T("F32", "4", "20,36") "}", 36, "the 4 bytes before `b`", 0},
    {"{\"a\":" T("F32", "4", "4,20") "}", 20, "the 4 bytes before `a`", 0},
    {"{\"a\":" F32X4 "}", 20, "no tensor has the last 4 bytes", 0},
    {"{\"a\":" F32X4 ",\"e\":" T("F32", "0", "8,8") "}", 16, "overlaps", 0},
};

static void write_hostile(const Hostile *h, const char *path)
{
    size_t n = strlen(h->header);
    unsigned char *bytes = calloc(1, 8 + n + (size_t)h->data);
    uint64_t length = h->length == 0 ? n : h->length == -2 ? UINT64_MAX : (uint64_t)h->length;
    memcpy(bytes, &length, 8);
    memcpy(bytes + 8, h->header, n);
    file_put(path, bytes, h->length == -1 ? 1 : 8 + n + (size_t)h->data);
    free(bytes);
}

static void hostile_files(void **state)
{
    (void)state;
    const char *path = in_folder(folder, "hostile.safetensors");
    HoneSys sys = {0};
    for (size_t i = 0; i < sizeof hostile / sizeof *hostile; i++) {
        HoneError error = {0};
        write_hostile(&hostile[i], path);
        HoneFile *file = hone_file_open(&sys, path, &error);
        if (file || !strstr(error.message, hostile[i].message))
            fail_msg("case %zu: wanted '%s', got '%s'", i, hostile[i].message,
                     file ? "opened" : error.message);
        assert_int_equal(error.exit, HONE_BAD_INPUT);
        assert_string_equal(error.code, "E703");
    }
    assert_true(sizeof hostile / sizeof *hostile >= 60);
}

static void foreign_files(void **state)
{
    (void)state;
    static const struct {
        const char *bytes, *message;
    } cases[] = {
        {"\x80\x02}q\x01.....", "a PyTorch file in the pickle format"},
        {"\x93NUMPY\x01.......", "a single NumPy array"},
        {"\x89HDF\r\n........", "an HDF5 file"},
        {"GGUF............", "a GGUF file"},
        {"version https://git-lfs.github.com/spec/v1\n", "not downloaded"},
        {"", "0 bytes are too few"},
    };
    const char *path = in_folder(folder, "foreign");
    HoneSys sys = {0};
    HoneError error = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        file_put(path, cases[i].bytes, strlen(cases[i].bytes));
        assert_null(hone_file_open(&sys, path, &error));
        assert_non_null(strstr(error.message, cases[i].message));
        assert_int_equal(error.exit, HONE_BAD_INPUT);
        assert_string_equal(error.code, "E703");
    }
    assert_null(hone_file_open(&sys, in_folder(folder, "missing"), &error));
    assert_string_equal(error.code, "E702");
    assert_non_null(strstr(error.message, "no such file"));
    assert_null(hone_file_open(&sys, folder, &error));
    assert_non_null(strstr(error.message, "is a directory"));
}

/* A name of 4097 bytes, one of 4096, and failing calls while opening. */
static void long_names_and_faults(void **state)
{
    (void)state;
    const char *path = in_folder(folder, "long.safetensors");
    HoneSys sys = {0};
    HoneError error = {0};
    for (int n = 4096; n <= 4097; n++) {
        char header[8192];
        int length = snprintf(header, sizeof header, "{\"%0*d\":" F32X4 "}", n, 0);
        assert_true(length > n);
        write_hostile(&(Hostile){header, 16, "", 0}, path);
        HoneFile *file = hone_file_open(&sys, path, &error);
        assert_true((file != NULL) == (n == 4096));
        if (!file)
            assert_non_null(strstr(error.message, "longer than 4096 bytes"));
        hone_file_close(file);
    }
    write_hostile(&(Hostile){"{\"a\":" F32X4 "}", 16, "", 0}, path);
    for (int kind = 0; kind < 2; kind++)
        for (int64_t k = 1;; k++) {
            HoneSys failing = {.fail_alloc = kind ? 0 : k, .fail_io = kind ? k : 0};
            HoneFile *file = hone_file_open(&failing, path, &error);
            float to[4];
            bool good = file && hone_file_read(file, hone_file_tensor(file, 0), to, &error);
            hone_file_close(file);
            if (good)
                break;
            assert_string_equal(error.code, kind ? "E702" : "E706");
        }
}

/* --- memory: a file of N bytes may take 8 N + 1 MiB ----------------------------------------------- */
static size_t own_size(void)
{
    FILE *statm = fopen("/proc/self/statm", "r");
    unsigned long pages = 0;
    if (!statm || fscanf(statm, "%lu", &pages) != 1)
        pages = 0;
    if (statm)
        fclose(statm);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static bool opens_within(const char *path, size_t bytes)
{
    pid_t child = fork();
    if (child == 0) {
        struct rlimit limit = {.rlim_cur = own_size() + 8 * bytes + (1 << 20),
                               .rlim_max = RLIM_INFINITY};
        setrlimit(RLIMIT_AS, &limit);
        HoneSys sys = {0};
        HoneError error = {0};
        HoneFile *file = hone_file_open(&sys, path, &error);
        _exit(file || error.exit == HONE_BAD_INPUT ? 0 : 1);
    }
    int status = 1;
    waitpid(child, &status, 0);
    return status == 0;
}

static void memory_is_bounded(void **state)
{
    (void)state;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    skip();
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
    skip();
#endif
#endif
    enum { N = 8000000 };
    const char *path = in_folder(folder, "large.safetensors");
    char *header = malloc(N + 64);
    static const char *const units[] = {"[", "{\"a\":", "\"a\":[],", "\"a\":\"\",", "        "};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        header[0] = '{';
        size_t at = 1;
        while (at < N)
            at += (size_t)sprintf(header + at, "%s", units[i]);
        write_hostile(&(Hostile){header, 0, "", 0}, path);
        assert_true(opens_within(path, at));
    }
    size_t at = (size_t)sprintf(header, "{");   /* valid: as many tensors as fit */
    for (unsigned i = 0; at < N; i++)
        at += (size_t)sprintf(header + at, "%s\"%x\":" T("U8", "0", "0,0"), i ? "," : "", i);
    sprintf(header + at, "}");
    write_hostile(&(Hostile){header, 0, "", 0}, path);
    assert_true(opens_within(path, at));
    HoneSys sys = {0};
    HoneError error = {0};
    HoneFile *file = hone_file_open(&sys, path, &error);
    assert_non_null(file);
    assert_non_null(hone_file_find(file, "1f"));
    hone_file_close(file);
    free(header);
}

/* --- agreement with another reader of JSON ------------------------------------------------------- */
static void what_we_accept_is_json(void **state)
{
    (void)state;
    const char *path = in_folder(folder, "mutant.safetensors");
    const char *base = "{\"__metadata__\":{\"format\":\"pt\"},\"a.weight\":" T("F32", "2,2", "0,16")
                       ",\"b\\u00e9\":" T("I64", "", "16,24") "}";
    size_t n = strlen(base);
    HoneSys sys = {0};
    int accepted = 0;
    for (uint64_t i = 0; i < 4000; i++) {
        char text[256];
        memcpy(text, base, n + 1);
        uint64_t edits = 1 + hone_random_below(5, 1, i, 0, 3);
        for (uint64_t e = 0; e < edits; e++)
            text[1 + hone_random_below(5, 2, i, e, n - 1)] =
                (char)(hone_random_below(5, 3, i, e, 4) ? "{}[]\",:0159au\\ \x80-."[hone_random_below(
                                                              5, 4, i, e, 19)]
                                                        : (char)hone_random_below(5, 4, i, e, 255) + 1);
        Hostile h = {text, 24, "", 0};
        if (strlen(text) != n)
            continue;
        write_hostile(&h, path);
        HoneError error = {0};
        HoneFile *file = hone_file_open(&sys, path, &error);
        if (file) {
            json_error_t why;
            json_t *tree = json_loadb(text, n, JSON_REJECT_DUPLICATES, &why);
            if (!tree)
                fail_msg("accepted, though %s: %s", why.text, text);
            json_decref(tree);
            accepted++;
        }
        hone_file_close(file);
    }
    assert_true(accepted > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),
        cmocka_unit_test(failing_writes),
        cmocka_unit_test(hostile_files),
        cmocka_unit_test(foreign_files),
        cmocka_unit_test(long_names_and_faults),
        cmocka_unit_test(memory_is_bounded),
        cmocka_unit_test(what_we_accept_is_json),
    };
    folder = temp_folder();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    temp_remove(folder);
    return failed;
}
