/* file: what all weight formats have in common. A file is checked completely when it is opened;
 * after that its tensors are read in pieces straight to where they belong, never mapped. */
#include "weights/weights.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FORMAT(name, offset, magic) extern const Format format_##name;
#define FOREIGN(magic, what)
#include "weights/formats.def"
#undef FORMAT
#undef FOREIGN

static const struct {
    const Format *format;
    size_t offset, n;
    const char *magic;
} formats[] = {
#define FORMAT(name, offset, magic) {&format_##name, offset, sizeof magic - 1, magic},
#define FOREIGN(magic, what)
#include "weights/formats.def"
#undef FORMAT
#undef FOREIGN
};

static const struct {
    const char *magic;
    size_t n;
    const char *what;
} foreign[] = {
#define FORMAT(name, offset, magic)
#define FOREIGN(magic, what) {magic, sizeof magic - 1, what},
#include "weights/formats.def"
#undef FORMAT
#undef FOREIGN
};

bool weights_bad(const HoneFile *file, HoneError *error, const char *fmt, ...)
{
    char text[400];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    return hone_fail(error, HONE_BAD_INPUT, "E703", "`%.100s`: %s", file->path, text);
}

bool weights_table(HoneFile *file, size_t n, HoneError *error)
{
    if (n == 0)
        return true;
    file->tensors = hone_alloc(file->sys, n * sizeof *file->tensors);
    return file->tensors || hone_fail_memory(error, "a table of tensors", n * sizeof *file->tensors);
}

bool weights_check_key(const HoneFile *file, const char *key, HoneError *error)
{
    size_t n = strlen(key);
    if (n == 0)
        return weights_bad(file, error, "a tensor has no name");
    if (n > WEIGHTS_MAX_KEY)
        return weights_bad(file, error, "a tensor's name is longer than %d bytes: `%.*s…`",
                           WEIGHTS_MAX_KEY, WEIGHTS_SHOWN / 2, key);
    for (const char *c = key; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7F)
            return weights_bad(file, error, "a tensor's name has a control character at byte %zu",
                               (size_t)(c - key));
    return true;
}

static int compare_keys(const void *a, const void *b)
{
    return strcmp((*(const HoneFileTensor *const *)a)->key, (*(const HoneFileTensor *const *)b)->key);
}

static bool index_keys(HoneFile *file, HoneError *error)
{
    if (file->n == 0)
        return true;
    file->by_key = hone_alloc(file->sys, file->n * sizeof *file->by_key);
    if (!file->by_key)
        return hone_fail_memory(error, "an index of tensors", file->n * sizeof *file->by_key);
    for (size_t i = 0; i < file->n; i++)
        file->by_key[i] = &file->tensors[i];
    qsort(file->by_key, file->n, sizeof *file->by_key, compare_keys);
    for (size_t i = 1; i < file->n; i++)
        if (strcmp(file->by_key[i - 1]->key, file->by_key[i]->key) == 0)
            return weights_bad(file, error, "two tensors have the name `%.*s`", WEIGHTS_SHOWN,
                               file->by_key[i]->key);
    return true;
}

static bool recognise(HoneFile *file, const char *head, size_t n, HoneError *error)
{
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (n >= formats[i].offset + formats[i].n &&
            memcmp(head + formats[i].offset, formats[i].magic, formats[i].n) == 0) {
            file->format = formats[i].format;
            return true;
        }
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++)
        if (n >= foreign[i].n && memcmp(head, foreign[i].magic, foreign[i].n) == 0) {
            weights_bad(file, error, "this is %s", foreign[i].what);
            hone_error_help(error, "hone reads safetensors and npz files");
            return false;
        }
    if (n < 10)
        return weights_bad(file, error, "%zu bytes are too few for a safetensors or npz file",
                           (size_t)file->bytes);
    weights_bad(file, error, "neither a safetensors file (byte 8 would be `{`) nor an npz file "
                             "(it would start with `PK`)");
    hone_error_help(error, "hone reads safetensors and npz files");
    return false;
}

static bool open_checked(HoneFile *file, HoneError *error)
{
    file->fd = hone_open_read(file->sys, file->path);
    int64_t size = file->fd < 0 ? -1 : hone_file_size(file->sys, file->fd);
    if (size < 0)
        return hone_fail_read(error, file->path, errno);
    file->bytes = (uint64_t)size;
    char head[24];
    size_t n = size < (int64_t)sizeof head ? (size_t)size : sizeof head;
    if (n > 0 && hone_read_at(file->sys, file->fd, head, n, 0) != 0)
        return hone_fail_read(error, file->path, errno);
    return recognise(file, head, n, error) && file->format->open(file, error) &&
           index_keys(file, error);
}

HoneFile *hone_file_open(HoneSys *sys, const char *path, HoneError *error)
{
    HoneFile *file = hone_alloc(sys, sizeof *file);
    char *copy = file ? hone_alloc(sys, strlen(path) + 1) : NULL;
    if (!copy) {
        hone_free(sys, file);
        hone_fail_memory(error, "opening a file", 0);
        return NULL;
    }
    memcpy(copy, path, strlen(path) + 1);
    file->sys = sys;
    file->path = copy;
    file->fd = -1;
    if (open_checked(file, error))
        return file;
    hone_file_close(file);
    return NULL;
}

void hone_file_close(HoneFile *file)
{
    if (!file)
        return;
    if (file->format)
        file->format->close(file);
    if (file->fd >= 0)
        hone_close(file->sys, file->fd);
    hone_free(file->sys, file->text);
    hone_free(file->sys, file->by_key);
    hone_free(file->sys, file->tensors);
    hone_free(file->sys, file->path);
    hone_free(file->sys, file);
}

size_t hone_file_count(const HoneFile *file)
{
    return file->n;
}

const HoneFileTensor *hone_file_tensor(const HoneFile *file, size_t i)
{
    assert(i < file->n);
    return &file->tensors[i];
}

const HoneFileTensor *hone_file_find(const HoneFile *file, const char *key)
{
    size_t low = 0, high = file->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(file->by_key[middle]->key, key);
        if (order == 0)
            return file->by_key[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

bool hone_file_begin(HoneFile *file, const HoneFileTensor *tensor, HoneError *error)
{
    assert(!file->reading);
    if (!file->format->begin(file, tensor, error))
        return false;
    file->reading = tensor;
    file->done = 0;
    return true;
}

bool hone_file_next(HoneFile *file, void *to, size_t bytes, HoneError *error)
{
    assert(file->reading && bytes <= file->reading->bytes - file->done);
    if (bytes > 0 && !file->format->next(file, to, bytes, error))
        return false;
    file->done += bytes;
    return true;
}

/* Also ends a reading that failed; its error then stands. */
bool hone_file_end(HoneFile *file, HoneError *error)
{
    bool whole = file->done == file->reading->bytes;
    HoneError unused;
    bool good = file->format->end(file, whole ? error : &unused);
    file->reading = NULL;
    return good && whole;
}

bool hone_file_read(HoneFile *file, const HoneFileTensor *tensor, void *to, HoneError *error)
{
    if (!hone_file_begin(file, tensor, error))
        return false;
    bool good = hone_file_next(file, to, tensor->bytes, error);
    return hone_file_end(file, error) && good;
}
