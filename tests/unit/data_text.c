/* Lines of text as numbers: WordPiece on words that are easy and on those that are not, columns, pairs,
 * what is too long, labels that are numbers and names, files that are not what the recipe says, refused
 * memory and failing I/O. The tokenizer beside Hugging Face's: ../parity/wordpiece.py. */
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
static const char vocabulary[] =
    "[PAD]\n[UNK]\n[CLS]\n[SEP]\nun\n##aff\n##able\nnaive\n,\n.\nthe\n\xe4\xb8\xad\n\xc3\xa6\n##s\ncat\n##\xc3\xa6\n";
enum { PAD, UNK, CLS, SEP, UN, AFF, ABLE, NAIVE, COMMA, DOT, THE, CHINESE, AE, S, CAT, AES };

static void put_text(const char *name, const char *text)
{
    file_put_text(in_folder(root, name), text);
}

static int make_folder(void **state)
{
    (void)state;
    root = temp_folder();
    put_text("vocab", vocabulary);
    put_text("plain", "the cats , unaffable\t1\n\nNA\xc3\x8fVE. \xe4\xb8\xad\xe4\xb8\xad\t0\r\n");
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    temp_remove(root);
    return 0;
}

static HoneDataset *open_text(HoneSys *sys, const char *file, const char *vocab, int64_t length,
                              bool pair, HoneError *error)
{
    static HoneOption options[4];
    static HoneSource source;
    options[0] = (HoneOption){.name = "file", .kind = HONE_OPT_STRING, .s = file};
    options[1] = (HoneOption){.name = "vocab", .kind = HONE_OPT_STRING, .s = vocab};
    options[2] = (HoneOption){.name = "length", .kind = HONE_OPT_INT, .i = length};
    options[3] = (HoneOption){.name = "pair", .kind = HONE_OPT_BOOL, .i = pair};
    source = (HoneSource){.reader = "text", .n_options = 4, .options = options};
    return hone_data_open(sys, &source, root, error);
}

/* Sample by sample through a loader, in order: ids (length each), where the second text begins, label. */
typedef struct Read {
    int64_t n;
    int32_t ids[8][16], seconds[8], pieces[8], labels[8];
} Read;

static Read read_all(HoneSys *sys, HoneDataset *data, int64_t length)
{
    HoneError error = {0};
    HoneLoaderConfig config = {.batch = 1, .workers = 0, .depth = 1};
    HoneLoader *loader = hone_loader_new(sys, data, &config, &error);
    assert_non_null(loader);
    assert_true(hone_loader_start(loader, 0, 0, &error));
    Read read = {0};
    for (HoneBatch batch; hone_loader_next(loader, &batch, &error) && batch.size > 0; read.n++) {
        const int32_t *const *fields = (const int32_t *const *)batch.fields;
        for (int64_t i = 0; i < length; i++) {
            read.ids[read.n][i] = fields[0][i];
            read.seconds[read.n] += fields[1][i];
            read.pieces[read.n] += fields[2][i];
        }
        read.labels[read.n] = fields[3][0];
    }
    hone_loader_free(loader);
    return read;
}

static Read read_file(const char *file, int64_t length, bool pair)
{
    HoneSys sys = {0};
    HoneError error = {0};
    HoneDataset *data = open_text(&sys, file, "vocab", length, pair, &error);
    if (data == NULL) {
        fail_msg("%s", error.message);
    }
    Read read = read_all(&sys, data, length);
    hone_data_close(data);
    return read;
}

static void wants(const int32_t *ids, size_t n, const int32_t *want)
{
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(ids[i], want[i]);
    }
}
#define WANTS(ids, ...) wants(ids, sizeof((int32_t[]){__VA_ARGS__}) / 4, (int32_t[]){__VA_ARGS__})

static void test_pieces(void **state)
{
    (void)state;
    Read read = read_file("plain", 12, false);
    assert_int_equal(read.n, 2);
    WANTS(read.ids[0], CLS, THE, CAT, S, COMMA, UN, AFF, ABLE, SEP, PAD, PAD, PAD);
    WANTS(read.ids[1], CLS, NAIVE, DOT, CHINESE, CHINESE, SEP, PAD);
    assert_int_equal(read.pieces[0], 9);
    assert_int_equal(read.seconds[0], 0);
    assert_true(read.labels[0] == 1 && read.labels[1] == 0);
    read = read_file("plain", 5, false);         /* cut, [SEP] stays */
    WANTS(read.ids[0], CLS, THE, CAT, S, SEP);
    put_text("odd", "\xc3\x86the cat\xc3\xa6 unseen \xff the\xe2\x80\x8b" "\x01\t3\n");
    read = read_file("odd", 12, false);
    WANTS(read.ids[0], CLS, UNK, CAT, AES, UNK, THE, SEP, PAD);
}

static void test_pairs(void **state)
{
    (void)state;
    put_text("pairs", "index\tquestion\tlabel\tanswer\n7\tthe cat\tno\tcats, cats, cats\n8\tcat\tyes\tthe\n");
    Read read = read_file("pairs", 16, true);
    WANTS(read.ids[0], CLS, THE, CAT, SEP, CAT, S, COMMA, CAT, S, COMMA, CAT, S, SEP, PAD);
    assert_int_equal(read.seconds[0], 9);
    assert_true(read.labels[0] == 0 && read.labels[1] == 1);
    read = read_file("pairs", 7, true);          /* the longer first, then both */
    WANTS(read.ids[0], CLS, THE, CAT, SEP, CAT, S, SEP);
    HoneSys sys = {0};
    HoneError error = {0};
    HoneDataset *data = open_text(&sys, "pairs", "vocab", 16, true, &error);
    const char *const *names;
    assert_int_equal(hone_data_classes(data, &names), 2);
    assert_string_equal(names[0], "no");
    int64_t low, high;
    assert_true(hone_data_range(data, 0, &low, &high) && low == 0 && high == CAT);
    assert_true(hone_data_range(data, 3, &low, &high) && low == 0 && high == 1);
    hone_data_close(data);
}

static void refused(const char *file, const char *vocab, int64_t length, bool pair, const char *text)
{
    HoneSys sys = {0};
    HoneError error = {0};
    assert_null(open_text(&sys, file, vocab, length, pair, &error));
    if (strstr(error.message, text) == NULL) {
        fail_msg("%s", error.message);
    }
}

static void test_refused(void **state)
{
    (void)state;
    put_text("short", "sentence\tlabel\nthe\t1\ncat\n");
    put_text("empty", "sentence\tlabel\n\n");
    put_text("lone", "the cat\n");
    put_text("bare", "the\ncat\n");
    file_put(in_folder(root, "zero"), "the\0cat\t1\n", 10);
    char wide[200] = "the cat";
    for (int i = 0; i < 32; i++) {
        strcat(wide, "\t1");
    }
    put_text("wide", wide);
    refused("zero", "vocab", 8, false, "zero byte");
    refused("wide", "vocab", 8, false, "has 33 columns, at most 32 are read");
    refused("short", "vocab", 8, false, "line 3: 1 column instead of 2");
    refused("empty", "vocab", 8, false, "no samples");
    refused("lone", "vocab", 8, false, "no column");
    refused("plain", "vocab", 8, true, "no column");
    refused("plain", "bare", 8, false, "[UNK]");
    refused("plain", "none", 8, false, "cannot read the vocabulary");
    refused("none", "vocab", 8, false, "cannot read `");
    refused("plain", "vocab", 3, false, "between 4 and");
}

/* As many lengths as a program may have are read, and more are refused. */
static void test_lengths(void **state)
{
    (void)state;
    HoneSys sys = {0};
    HoneError error = {0};
    HoneDataset *data = open_text(&sys, "plain", "vocab", HONE_MAX_LENGTHS + 4, false, &error);
    assert_non_null(data);
    int64_t lengths[HONE_MAX_LENGTHS + 1];
    for (int64_t i = 0; i <= HONE_MAX_LENGTHS; i++) {
        lengths[i] = 4 + i;
    }
    for (uint32_t n = HONE_MAX_LENGTHS; n <= HONE_MAX_LENGTHS + 1; n++) {
        HoneLoaderConfig config = {.batch = 1, .workers = 0, .n_lengths = n, .lengths = lengths};
        HoneLoader *loader = hone_loader_new(&sys, data, &config, &error);
        assert_int_equal(loader != NULL, n <= HONE_MAX_LENGTHS);
        if (loader != NULL) {
            assert_int_equal(hone_loader_batches(loader), hone_data_count(data));
        }
        hone_loader_free(loader);
    }
    assert_string_equal(error.code, "E702");
    hone_data_close(data);
}

static HoneDataset *open_any(HoneSys *sys, HoneError *error)
{
    return open_text(sys, "pairs", "vocab", 16, true, error);
}

static void test_failures(void **state)
{
    (void)state;
    data_survives(open_any);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_pieces), cmocka_unit_test(test_pairs),
                                       cmocka_unit_test(test_refused), cmocka_unit_test(test_lengths),
                                       cmocka_unit_test(test_failures)};
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
