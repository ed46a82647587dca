/* safetensors, writing: as the reference library writes (metadata first, tensors by alignment, then
 * by name, header padded with spaces to 8 bytes), whole and atomically. */
#include "weights/weights.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const names[] = {
    [HONE_BOOL] = "BOOL", [HONE_U8] = "U8",   [HONE_I8] = "I8",   [HONE_I32] = "I32", [HONE_I64] = "I64",
    [HONE_BF16] = "BF16", [HONE_F16] = "F16", [HONE_F32] = "F32", [HONE_F64] = "F64"};

static int compare(const void *a, const void *b)
{
    const HoneWrite *x = *(const HoneWrite *const *)a, *y = *(const HoneWrite *const *)b;
    size_t m = hone_dtype_bytes(x->dtype), n = hone_dtype_bytes(y->dtype);
    if (m != n)
        return m > n ? -1 : 1;
    return strcmp(x->key, y->key);
}

/* Where header text goes: counted first (out NULL), then written. */
typedef struct Header {
    HoneOut *out;
    uint64_t bytes;
} Header;

static void put(Header *header, const char *text, size_t n)
{
    header->bytes += n;
    if (header->out)
        hone_out_add(header->out, text, n);
}

static void put_text(Header *header, const char *text)
{
    put(header, text, strlen(text));
}

static void put_u64(Header *header, uint64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    put_text(header, text);
}

static void put_quoted(Header *header, const char *text)
{
    put(header, "\"", 1);
    for (const char *c = text; *c; c++) {
        char escaped[8];
        if (*c == '"' || *c == '\\')
            snprintf(escaped, sizeof escaped, "\\%c", *c);
        else if ((unsigned char)*c < 0x20)
            snprintf(escaped, sizeof escaped, "\\u%04x", (unsigned)(unsigned char)*c);
        else
            snprintf(escaped, sizeof escaped, "%c", *c);
        put_text(header, escaped);
    }
    put(header, "\"", 1);
}

static bool put_entry(Header *header, const HoneWrite *tensor, uint64_t *at)
{
    uint64_t bytes, end;
    if (!hone_size_of(tensor->rank, tensor->dims, hone_dtype_bytes(tensor->dtype), &bytes) ||
        __builtin_add_overflow(*at, bytes, &end))
        return false;
    put_text(header, ",");
    put_quoted(header, tensor->key);
    put_text(header, ":{\"dtype\":\"");
    put_text(header, names[tensor->dtype]);
    put_text(header, "\",\"shape\":[");
    for (uint32_t d = 0; d < tensor->rank; d++) {
        put_text(header, d > 0 ? "," : "");
        put_u64(header, (uint64_t)tensor->dims[d]);
    }
    put_text(header, "],\"data_offsets\":[");
    put_u64(header, *at);
    put_text(header, ",");
    put_u64(header, end);
    put_text(header, "]}");
    *at = end;
    return true;
}

static bool put_header(Header *header, size_t n, const HoneWrite *const *order)
{
    uint64_t at = 0;
    put_text(header, "{\"__metadata__\":{\"format\":\"pt\"}");
    for (size_t i = 0; i < n; i++)
        if (!put_entry(header, order[i], &at))
            return false;
    put_text(header, "}");
    while (header->bytes % 8 != 0)
        put_text(header, " ");
    return true;
}

static void put_tensor(HoneOut *out, const HoneWrite *tensor)
{
    enum { PART = 512 };
    char part[PART * 8];
    size_t size = hone_dtype_bytes(tensor->dtype);
    const char *data = tensor->data;
    for (HoneRows rows = hone_rows(tensor->rank, tensor->dims, tensor->strides, NULL); rows.valid;
         hone_rows_next(&rows)) {
        const char *row = data + rows.a * (int64_t)size;
        if (rows.a_step == 1) {
            hone_out_add(out, row, (size_t)rows.n * size);
            continue;
        }
        for (int64_t i = 0; i < rows.n; i += PART) {
            int64_t n = rows.n - i < PART ? rows.n - i : PART;
            hone_convert(part, tensor->dtype, 1, row + i * rows.a_step * (int64_t)size,
                         tensor->dtype, rows.a_step, n);
            hone_out_add(out, part, (size_t)n * size);
        }
    }
}

static bool put_file(HoneOut *out, size_t n, const HoneWrite *const *order)
{
    Header header = {0};
    if (!put_header(&header, n, order))
        return false;
    unsigned char head[8];
    for (int i = 0; i < 8; i++)
        head[i] = (unsigned char)(header.bytes >> 8 * i);
    hone_out_add(out, head, sizeof head);
    header = (Header){.out = out};
    put_header(&header, n, order);
    for (size_t i = 0; i < n; i++)
        put_tensor(out, order[i]);
    return true;
}

bool hone_safetensors_put(HoneOut *out, size_t n, const HoneWrite *tensors)
{
    const HoneWrite **order = hone_alloc(out->sys, (n + 1) * sizeof *order);
    int why = order ? 0 : ENOMEM;
    for (size_t i = 0; order && i < n; i++)
        order[i] = &tensors[i];
    if (order) {
        qsort(order, n, sizeof *order, compare);
        why = put_file(out, n, order) ? 0 : EOVERFLOW;
    }
    hone_free(out->sys, order);
    if (out->error == 0)
        out->error = why;
    return out->error == 0;
}

bool hone_safetensors_write(HoneSys *sys, const char *path, size_t n, const HoneWrite *tensors,
                            HoneError *error)
{
    char temp[HONE_PATH];
    if (!hone_temp_path(temp, path))
        return hone_fail_write(error, path, ENAMETOOLONG);
    HoneOut out;
    hone_out_open(&out, sys, temp);
    bool opened = out.fd >= 0;
    hone_safetensors_put(&out, n, tensors);
    int why = hone_out_close(&out, NULL);
    if (why == 0 && hone_replace(sys, temp, path))
        return true;
    why = why ? why : errno;
    if (opened)
        hone_unlink(sys, temp);
    return hone_fail_write(error, path, why);
}
