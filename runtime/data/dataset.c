/* dataset: opening a data source. Finds the reader of a source by name, reads its options, and
 * leaves files to the reader. Decoding ahead and order are in loader.c. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/data.h"

#define READER(name) extern const Reader reader_##name;
#include "data/readers.def"
#undef READER

static const Reader *const readers[] = {
#define READER(name) &reader_##name,
#include "data/readers.def"
#undef READER
};

const Reader *reader_find(const char *name)
{
    for (size_t i = 0; i < sizeof readers / sizeof *readers; i++) {
        if (strcmp(readers[i]->name, name) == 0) {
            return readers[i];
        }
    }
    return NULL;
}

const HoneArgument *hone_reader_arguments(const char *reader)
{
    const Reader *found = reader_find(reader);
    return found == NULL ? NULL : found->arguments;
}

const char *hone_reader_name(size_t i)
{
    return i < sizeof readers / sizeof *readers ? readers[i]->name : NULL;
}

bool hone_reader_fields(const HoneSource *source, size_t *n, HoneField *fields, size_t capacity)
{
    const Reader *reader = reader_find(source->reader);
    HoneField own[HONE_MAX_FIELDS];
    size_t count = 0;
    if (reader == NULL || !reader->fields(source, own, &count) || count > capacity) {
        return false;
    }
    memcpy(fields, own, count * sizeof *own);
    *n = count;
    return true;
}

/* --- options ---------------------------------------------------------------------------------------- */
const HoneOption *source_option(const HoneSource *source, const char *name)
{
    for (uint32_t i = 0; i < source->n_options; i++) {
        if (strcmp(source->options[i].name, name) == 0) {
            return &source->options[i];
        }
    }
    return NULL;
}

int64_t source_int(const HoneSource *source, const char *name, int64_t absent)
{
    const HoneOption *option = source_option(source, name);
    return option == NULL ? absent : option->i;
}

double source_float(const HoneSource *source, const char *name, double absent)
{
    const HoneOption *option = source_option(source, name);
    if (option == NULL) {
        return absent;
    }
    return option->kind == HONE_OPT_INT ? (double)option->i : option->f;
}

bool source_bool(const HoneSource *source, const char *name, bool absent)
{
    return source_int(source, name, absent) != 0;
}

const char *source_string(const HoneSource *source, const char *name, const char *absent)
{
    const HoneOption *option = source_option(source, name);
    return option == NULL ? absent : option->s;
}

/* --- small helpers ---------------------------------------------------------------------------------- */
size_t field_bytes(const HoneField *field)
{
    size_t bytes = hone_dtype_bytes(field->dtype);
    for (uint32_t i = 0; i < field->rank; i++) {
        bytes *= (size_t)field->dims[i];   /* readers bound the product when they open */
    }
    return bytes;
}

char *path_join(HoneSys *sys, const char *root, const char *path)
{
    size_t length = strlen(root) + strlen(path) + 2;
    char *joined = hone_alloc(sys, length);
    if (joined != NULL) {
        bool own = path[0] == '/' || root[0] == '\0';
        snprintf(joined, length, "%s%s%s", own ? "" : root, own ? "" : "/", path);
    }
    return joined;
}

char *data_file(HoneSys *sys, const char *path, size_t *size, HoneError *error)
{
    char *text = hone_read_file(sys, path, size);
    if (text == NULL) {
        hone_fail_read(error, path, errno);
    }
    return text;
}

char *text_begin(char *text, size_t bytes)
{
    return text + (bytes >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0);
}

char *data_text(HoneSys *sys, const char *path, size_t *size, HoneError *error)
{
    char *text = data_file(sys, path, size, error);
    if (text != NULL && memchr(text, '\0', *size) != NULL) {
        hone_free(sys, text);
        hone_fail(error, HONE_BAD_INPUT, "E704", "`%.300s` is no text: there is a zero byte in it", path);
        hone_error_help(error, "save it as text in UTF-8");
        return NULL;
    }
    return text;
}

bool number_of(const char *text, float *value)
{
    char *end;
    if (text[0] == '\0' || text[strspn(text, "0123456789+-.eE")] != '\0') {
        return false;                 /* no `nan`, no `inf`, no hexadecimal */
    }
    *value = (float)strtod(text, &end);
    return *end == '\0';
}

bool data_room(HoneSys *sys, void **at, int64_t n, int64_t *room, int64_t more, size_t element,
               HoneError *error)
{
    int64_t want = *room < 1024 ? 1024 : *room;
    while (want < n + more) {
        want *= 2;
    }
    if (want == *room) {
        return true;
    }
    void *grown = hone_realloc(sys, *at, (size_t)*room * element, (size_t)want * element);
    if (grown == NULL) {
        return hone_fail_memory(error, "data", (uint64_t)want * element);
    }
    *at = grown;
    *room = want;
    return true;
}

void *workspace_get(Workspace *work, struct WorkBlock *block, size_t bytes)
{
    if (block->bytes < bytes) {
        hone_free(work->sys, block->at);
        block->at = hone_alloc(work->sys, bytes);
        block->bytes = block->at == NULL ? 0 : bytes;
    }
    return block->at;
}

bool workspace_reserve(Workspace *work, const WorkNeed *need)
{
    return (need->file == 0 || workspace_get(work, &work->file, need->file) != NULL) &&
           (need->pixels == 0 || workspace_get(work, &work->pixels, need->pixels) != NULL) &&
           (need->rows == 0 || workspace_get(work, &work->rows, need->rows) != NULL);
}

void workspace_free(Workspace *work)
{
    hone_free(work->sys, work->file.at);
    hone_free(work->sys, work->pixels.at);
    hone_free(work->sys, work->rows.at);
    hone_free(work->sys, work->weights.at);
    *work = (Workspace){.sys = work->sys};
}

/* --- opening ---------------------------------------------------------------------------------------- */
HoneDataset *hone_data_open(HoneSys *sys, const HoneSource *source, const char *root,
                            HoneError *error)
{
    const Reader *reader = reader_find(source->reader);
    if (reader == NULL) {
        hone_fail(error, HONE_USAGE, "E101", "there is no data source `%s`", source->reader);
        return NULL;
    }
    HoneDataset *data = hone_alloc(sys, sizeof *data);
    char *copy = data == NULL ? NULL : path_join(sys, "", root);
    if (copy == NULL) {
        hone_free(sys, data);
        hone_fail_memory(error, "data", sizeof *data);
        return NULL;
    }
    *data = (HoneDataset){.sys = sys, .reader = reader, .source = source, .root = copy};
    if (!reader->open(data, error)) {
        hone_data_close(data);
        return NULL;
    }
    return data;
}

void hone_data_close(HoneDataset *data)
{
    if (data != NULL) {
        data->reader->close(data);
        hone_free(data->sys, data->classes);
        hone_free(data->sys, data->columns);
        hone_free(data->sys, data->root);
        hone_free(data->sys, data);
    }
}

size_t hone_data_fields(const HoneDataset *data, const HoneField **fields)
{
    *fields = data->fields;
    return data->n_fields;
}

int64_t hone_data_count(const HoneDataset *data)
{
    return data->count;
}

int64_t hone_data_skipped(const HoneDataset *data)
{
    return data->skipped;
}

const char *hone_data_skipped_first(const HoneDataset *data)
{
    return data->skipped_first;
}

bool hone_data_range(const HoneDataset *data, size_t field, int64_t *low, int64_t *high)
{
    const HoneField *f = &data->fields[field];
    if (data->reader->range != NULL) {
        return data->reader->range(data, field, low, high);
    }
    if (data->reader->values == NULL || hone_dtype_is_float(f->dtype) || data->count == 0) {
        return false;
    }
    size_t size = hone_dtype_bytes(f->dtype), n = (size_t)data->count * (field_bytes(f) / size);
    const char *at = data->reader->values(data, field);
    *low = INT64_MAX;
    *high = INT64_MIN;
    for (size_t i = 0; i < n; i++, at += size) {
        int64_t value = (int64_t)hone_fetch(at, f->dtype);
        *low = value < *low ? value : *low;
        *high = value > *high ? value : *high;
    }
    return n > 0;
}

size_t hone_data_classes(const HoneDataset *data, const char *const **names)
{
    *names = data->classes;
    return data->n_classes;
}

const char *hone_data_label(const HoneDataset *data)
{
    return data->reader->label == NULL ? "label" : data->reader->label;
}

size_t hone_data_columns(const HoneDataset *data, const char *const **names)
{
    *names = data->columns;
    return data->n_columns;
}
