/* safetensors, reading: 8 bytes little-endian header length, a JSON header, the tensors' bytes.
 * Everything the header says is checked against the file before anything is read: names unique,
 * dtype times shape equal to the byte range, ranges tiling the rest of the file exactly. */
#include "weights/weights.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    MOST_HEADER = 100000000,
    LEAST_ENTRY = 47         /* bytes of "":{"dtype":"","shape":[],"data_offsets":[0,0]} */
};

static const struct {
    const char *name;
    uint8_t bits;
    bool known;
    HoneDType dtype;
} dtypes[] = {
    {"F32", 32, true, HONE_F32},   {"F16", 16, true, HONE_F16},   {"BF16", 16, true, HONE_BF16},
    {"F64", 64, true, HONE_F64},   {"I64", 64, true, HONE_I64},   {"I32", 32, true, HONE_I32},
    {"I8", 8, true, HONE_I8},      {"U8", 8, true, HONE_U8},      {"BOOL", 8, true, HONE_BOOL},
    {"I16", 16, false, 0},         {"U16", 16, false, 0},         {"U32", 32, false, 0},
    {"U64", 64, false, 0},         {"C64", 64, false, 0},         {"F8_E4M3", 8, false, 0},
    {"F8_E5M2", 8, false, 0},      {"F8_E8M0", 8, false, 0},      {"F8_E4M3FNUZ", 8, false, 0},
    {"F8_E5M2FNUZ", 8, false, 0},  {"F6_E2M3", 6, false, 0},      {"F6_E3M2", 6, false, 0},
    {"F4", 4, false, 0},
};
enum { N_DTYPES = sizeof dtypes / sizeof *dtypes };

static bool bad_json(HoneFile *file, const HoneJson *json, const char *where, HoneError *error)
{
    return weights_bad(file, error, "%.*s%sheader is not as it should be at byte %zu: %s",
                       WEIGHTS_SHOWN, where ? where : "", where ? ": " : "",
                       8 + hone_json_offset(json), json->why);
}

/* --- one entry: {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]} ----------------------- */
typedef struct Entry {
    const char *dtype;
    uint64_t shape[HONE_MAX_RANK], begin, end;
    uint32_t rank;
    bool has_shape, has_range;
} Entry;

static bool read_shape(HoneJson *json, Entry *entry)
{
    if (entry->has_shape)
        return hone_json_fail(json, "`shape` stands twice");
    entry->has_shape = true;
    if (!hone_json_enter(json, '['))
        return false;
    while (hone_json_more(json, ']')) {
        if (entry->rank == HONE_MAX_RANK)
            return hone_json_fail(json, "more than 12 dimensions");
        if (!hone_json_u64(json, &entry->shape[entry->rank]))
            return false;
        if (entry->shape[entry->rank++] > INT64_MAX)
            return hone_json_fail(json, "a dimension is too large");
    }
    return !json->why;
}

static bool read_range(HoneJson *json, Entry *entry)
{
    if (entry->has_range)
        return hone_json_fail(json, "`data_offsets` stands twice");
    entry->has_range = true;
    uint64_t *const to[] = {&entry->begin, &entry->end};
    size_t n = 0;
    if (!hone_json_enter(json, '['))
        return false;
    while (hone_json_more(json, ']')) {
        if (n == 2)
            return hone_json_fail(json, "`data_offsets` has more than two numbers");
        if (!hone_json_u64(json, to[n++]))
            return false;
    }
    return !json->why && (n == 2 || hone_json_fail(json, "`data_offsets` has fewer than two numbers"));
}

static bool read_entry(HoneJson *json, Entry *entry)
{
    if (!hone_json_enter(json, '{'))
        return false;
    while (hone_json_more(json, '}')) {
        const char *key = hone_json_key(json);
        if (!key)
            return false;
        bool good = false;
        if (strcmp(key, "dtype") == 0)
            good = entry->dtype ? hone_json_fail(json, "`dtype` stands twice")
                                : (entry->dtype = hone_json_text(json)) != NULL;
        else if (strcmp(key, "shape") == 0)
            good = read_shape(json, entry);
        else if (strcmp(key, "data_offsets") == 0)
            good = read_range(json, entry);
        else
            hone_json_fail(json, "a tensor has `dtype`, `shape` and `data_offsets`, nothing else");
        if (!good)
            return false;
    }
    if (!json->why && (!entry->dtype || !entry->has_shape || !entry->has_range))
        return hone_json_fail(json, !entry->dtype      ? "`dtype` is missing"
                                    : !entry->has_shape ? "`shape` is missing"
                                                        : "`data_offsets` is missing");
    return !json->why;
}

/* Bytes that dtype and shape ask for, whole. */
static bool wanted_bytes(const Entry *entry, unsigned bits, uint64_t *bytes)
{
    uint64_t total = bits;
    for (uint32_t i = 0; i < entry->rank; i++)
        if (__builtin_mul_overflow(total, entry->shape[i], &total))
            return false;
    *bytes = total / 8;
    return total % 8 == 0;
}

/* Does the entry's range lie in the file and have the size of its dtype and shape? */
static bool check_range(const HoneFile *file, const char *key, const Entry *entry, uint64_t wanted,
                        uint64_t data, HoneError *error)
{
    unsigned long long begin = entry->begin, end = entry->end, has = file->bytes - data;
    if (end < begin)
        return weights_bad(file, error, "`%.*s` ends at offset %llu before it begins at %llu",
                           WEIGHTS_SHOWN, key, end, begin);
    if (end > has)
        return weights_bad(file, error, "`%.*s` ends at offset %llu, but the file has %llu bytes of "
                                        "data: is it cut short?", WEIGHTS_SHOWN, key, end, has);
    if (end - begin != wanted)
        return weights_bad(file, error, "`%.*s` has %llu bytes, its dtype and shape ask for %llu",
                           WEIGHTS_SHOWN, key, end - begin, (unsigned long long)wanted);
    return true;
}

static bool add_tensor(HoneFile *file, const char *key, const Entry *entry, uint64_t data,
                       HoneError *error)
{
    size_t t = 0;
    while (t < N_DTYPES && strcmp(dtypes[t].name, entry->dtype) != 0)
        t++;
    if (t == N_DTYPES)
        return weights_bad(file, error, "`%.*s` has an unknown dtype `%.20s`", WEIGHTS_SHOWN, key,
                           entry->dtype);
    uint64_t bytes;
    if (!wanted_bytes(entry, dtypes[t].bits, &bytes))
        return weights_bad(file, error, "the size of `%.*s` is not a number of bytes that a file "
                                        "can have", WEIGHTS_SHOWN, key);
    if (!check_range(file, key, entry, bytes, data, error))
        return false;
    HoneFileTensor *tensor = &file->tensors[file->n++];
    *tensor = (HoneFileTensor){.key = key,
                               .dtype = dtypes[t].dtype,
                               .known_dtype = dtypes[t].known,
                               .dtype_name = entry->dtype,
                               .rank = entry->rank,
                               .offset = data + entry->begin,
                               .bytes = bytes};
    for (uint32_t i = 0; i < entry->rank; i++)
        tensor->dims[i] = (int64_t)entry->shape[i];
    return true;
}

/* --- the header ---------------------------------------------------------------------------------- */
static bool read_metadata(HoneFile *file, HoneJson *json, HoneError *error)
{
    if (hone_json_enter(json, '{'))
        while (hone_json_more(json, '}'))
            if (!hone_json_key(json) || !hone_json_text(json))
                break;
    return !json->why || bad_json(file, json, "`__metadata__`", error);
}

static bool read_tensor(HoneFile *file, HoneJson *json, const char *key, uint64_t data, size_t room,
                        HoneError *error)
{
    Entry entry = {0};
    if (!weights_check_key(file, key, error))
        return false;
    if (!read_entry(json, &entry))
        return bad_json(file, json, key, error);
    if (file->n == room)   /* cannot be: an entry takes LEAST_ENTRY bytes */
        return weights_bad(file, error, "more tensors than its header has room for");
    return add_tensor(file, key, &entry, data, error);
}

static bool read_header(HoneFile *file, HoneJson *json, uint64_t data, size_t room,
                        HoneError *error)
{
    bool metadata = false;
    if (!hone_json_enter(json, '{'))
        return bad_json(file, json, NULL, error);
    while (hone_json_more(json, '}')) {
        const char *key = hone_json_key(json);
        if (!key)
            return bad_json(file, json, NULL, error);
        bool is_metadata = strcmp(key, "__metadata__") == 0;
        if (is_metadata && metadata)
            return weights_bad(file, error, "`__metadata__` stands twice");
        metadata |= is_metadata;
        if (is_metadata ? !read_metadata(file, json, error)
                        : !read_tensor(file, json, key, data, room, error))
            return false;
    }
    return hone_json_end(json) || bad_json(file, json, NULL, error);
}

static int compare_offsets(const void *a, const void *b)
{
    const HoneFileTensor *x = *(const HoneFileTensor *const *)a;
    const HoneFileTensor *y = *(const HoneFileTensor *const *)b;
    if (x->offset != y->offset)
        return x->offset < y->offset ? -1 : 1;
    return x->bytes < y->bytes ? -1 : x->bytes > y->bytes;
}

/* No byte of data belongs to two tensors or to none. */
static bool check_tiling(HoneFile *file, uint64_t data, HoneError *error)
{
    const HoneFileTensor **order = hone_alloc(file->sys, (file->n + 1) * sizeof *order);
    if (!order)
        return hone_fail_memory(error, "checking offsets", file->n * sizeof *order);
    for (size_t i = 0; i < file->n; i++)
        order[i] = &file->tensors[i];
    qsort(order, file->n, sizeof *order, compare_offsets);
    uint64_t at = data;
    bool good = true;
    for (size_t i = 0; good && i < file->n; i++) {
        if (order[i]->offset < at)
            good = weights_bad(file, error, "`%.*s` at offset %llu overlaps `%.*s`", WEIGHTS_SHOWN,
                               order[i]->key, (unsigned long long)(order[i]->offset - data),
                               WEIGHTS_SHOWN, order[i - 1]->key);
        else if (order[i]->offset > at)
            good = weights_bad(file, error, "no tensor has the %llu bytes before `%.*s`",
                               (unsigned long long)(order[i]->offset - at), WEIGHTS_SHOWN,
                               order[i]->key);
        at = order[i]->offset + order[i]->bytes;   /* <= file->bytes, by check_range */
    }
    if (good && at != file->bytes)
        good = weights_bad(file, error, "no tensor has the last %llu bytes",
                           (unsigned long long)(file->bytes - at));
    hone_free(file->sys, order);
    return good;
}

static bool header_length(HoneFile *file, uint64_t *header, HoneError *error)
{
    unsigned char head[8];
    if (hone_read_at(file->sys, file->fd, head, sizeof head, 0) != 0)
        return hone_fail_read(error, file->path, errno);
    *header = 0;
    for (int i = 8; i-- > 0;)
        *header = *header << 8 | head[i];
    if (*header > MOST_HEADER)
        return weights_bad(file, error, "its header would have %llu bytes; %d are the limit",
                           (unsigned long long)*header, MOST_HEADER);
    if (*header > file->bytes - 8)
        return weights_bad(file, error, "its header would have %llu bytes, the file has %llu: is it "
                                        "cut short?", (unsigned long long)*header,
                           (unsigned long long)file->bytes);
    return true;
}

static bool safetensors_open(HoneFile *file, HoneError *error)
{
    uint64_t header;
    if (!header_length(file, &header, error))
        return false;
    file->text = hone_alloc(file->sys, header + 1);
    if (!file->text)
        return hone_fail_memory(error, "a file's header", header + 1);
    if (hone_read_at(file->sys, file->fd, file->text, header, 8) != 0)
        return hone_fail_read(error, file->path, errno);
    HoneJson json = hone_json(file->text, header);
    size_t room = header / LEAST_ENTRY;
    return weights_table(file, room, error) && read_header(file, &json, 8 + header, room, error) &&
           check_tiling(file, 8 + header, error);
}

static bool safetensors_begin(HoneFile *file, const HoneFileTensor *tensor, HoneError *error)
{
    (void)file, (void)tensor, (void)error;
    return true;
}

static bool safetensors_next(HoneFile *file, void *to, size_t bytes, HoneError *error)
{
    uint64_t at = file->reading->offset + file->done;   /* inside the file, checked when opened */
    return hone_read_at(file->sys, file->fd, to, bytes, (int64_t)at) == 0 ||
           hone_fail_read(error, file->path, errno);
}

static bool safetensors_end(HoneFile *file, HoneError *error)
{
    (void)file, (void)error;
    return true;
}

static void safetensors_close(HoneFile *file)
{
    (void)file;
}

const Format format_safetensors = {.name = "safetensors",
                                   .open = safetensors_open,
                                   .begin = safetensors_begin,
                                   .next = safetensors_next,
                                   .end = safetensors_end,
                                   .close = safetensors_close};
