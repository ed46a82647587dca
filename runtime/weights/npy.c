/* npy: the header of one NumPy array: magic, version, length, then a Python dictionary of `descr`,
 * `fortran_order` and `shape`. Only that form is read; nothing is evaluated. */
#include "weights/weights.h"

#include <stdlib.h>
#include <string.h>

static const struct {
    const char *descr;
    HoneDType dtype;
} dtypes[] = {
    {"|b1", HONE_BOOL}, {"|u1", HONE_U8},  {"|i1", HONE_I8},  {"<i4", HONE_I32},
    {"<i8", HONE_I64},  {"<f2", HONE_F16}, {"<f4", HONE_F32}, {"<f8", HONE_F64},
};

uint64_t npy_header_bytes(const unsigned char first[NPY_FIRST])
{
    if (memcmp(first, "\x93NUMPY", 6) != 0 || first[6] < 1 || first[6] > 3)
        return 0;
    uint64_t length = (uint64_t)first[8] | (uint64_t)first[9] << 8;
    if (first[6] == 1)
        return 10 + length;
    return 12 + (length | (uint64_t)first[10] << 16 | (uint64_t)first[11] << 24);
}

typedef struct Cursor {
    const char *at, *end;
} Cursor;

static bool take(Cursor *c, char wanted)
{
    while (c->at < c->end && (*c->at == ' ' || *c->at == '\n'))
        c->at++;
    if (c->at == c->end || *c->at != wanted)
        return false;
    c->at++;
    return true;
}

static bool take_word(Cursor *c, const char *word)
{
    size_t n = strlen(word);
    while (c->at < c->end && *c->at == ' ')
        c->at++;
    if ((size_t)(c->end - c->at) < n || memcmp(c->at, word, n) != 0)
        return false;
    c->at += n;
    return true;
}

/* 'text' into to, cut to nothing longer than capacity - 1. */
static bool take_text(Cursor *c, char *to, size_t capacity)
{
    if (!take(c, '\''))
        return false;
    size_t n = 0;
    while (c->at < c->end && *c->at != '\'' && n + 1 < capacity && *c->at >= ' ' && *c->at < 127)
        to[n++] = *c->at++;
    to[n] = '\0';
    return take(c, '\'');
}

static bool take_u63(Cursor *c, int64_t *value)
{
    while (c->at < c->end && *c->at == ' ')
        c->at++;
    const char *start = c->at;
    int64_t sum = 0;
    for (; c->at < c->end && *c->at >= '0' && *c->at <= '9'; c->at++)
        if (__builtin_mul_overflow(sum, 10, &sum) || __builtin_add_overflow(sum, *c->at - '0', &sum))
            return false;
    *value = sum;
    return c->at > start;
}

static bool take_shape(Cursor *c, HoneFileTensor *tensor)
{
    if (!take(c, '('))
        return false;
    while (!take(c, ')')) {
        if (tensor->rank == HONE_MAX_RANK || !take_u63(c, &tensor->dims[tensor->rank]))
            return false;
        tensor->rank++;
        if (!take(c, ',') && !(c->at < c->end && *c->at == ')'))
            return false;
    }
    return true;
}

typedef struct Header {
    char *descr;
    bool has_descr, has_order, has_shape, fortran;
} Header;

static bool take_item(Cursor *c, Header *header, HoneFileTensor *tensor)
{
    char key[16];
    if (!take_text(c, key, sizeof key) || !take(c, ':'))
        return false;
    if (strcmp(key, "descr") == 0 && !header->has_descr) {
        header->has_descr = true;
        return take_text(c, header->descr, NPY_DESCR);
    }
    if (strcmp(key, "fortran_order") == 0 && !header->has_order) {
        header->has_order = true;
        header->fortran = take_word(c, "True");
        return header->fortran || take_word(c, "False");
    }
    if (strcmp(key, "shape") == 0 && !header->has_shape) {
        header->has_shape = true;
        return take_shape(c, tensor);
    }
    return false;
}

static bool take_dictionary(Cursor *c, Header *header, HoneFileTensor *tensor)
{
    if (!take(c, '{'))
        return false;
    while (!take(c, '}')) {
        if (!take_item(c, header, tensor))
            return false;
        if (!take(c, ',') && !(c->at < c->end && *c->at == '}'))
            return false;
    }
    while (c->at < c->end && (*c->at == ' ' || *c->at == '\n'))
        c->at++;
    return c->at == c->end && header->has_descr && header->has_order && header->has_shape;
}

/* Bytes of an element from the digits that end a simple descr: "<f4" 4, "<U5" 20; 0: not simple. */
static size_t element_bytes(const char *descr)
{
    if (strchr("<>|=", descr[0]) == NULL || strchr("biufcSUVmM", descr[1]) == NULL || !descr[2])
        return 0;
    char *end;
    long n = strtol(descr + 2, &end, 10);
    if (descr[2] < '0' || descr[2] > '9' || *end != '\0' || n < 1 || n > 1 << 20)
        return 0;
    return (size_t)n * (descr[1] == 'U' ? 4 : 1);
}

bool npy_parse(const HoneFile *file, const char *key, const unsigned char *header, size_t bytes,
               HoneFileTensor *tensor, char descr[NPY_DESCR], HoneError *error)
{
    size_t skip = header[6] == 1 ? 10 : 12;
    Cursor cursor = {(const char *)header + skip, (const char *)header + bytes};
    Header found = {.descr = descr};
    *tensor = (HoneFileTensor){.dtype_name = descr};
    if (!take_dictionary(&cursor, &found, tensor))
        return weights_bad(file, error, "`%.*s`: the array's header is not as NumPy writes it at "
                                        "byte %zu", WEIGHTS_SHOWN, key,
                           (size_t)(cursor.at - (const char *)header));
    size_t element = descr[0] && descr[1] ? element_bytes(descr) : 0;
    if (element == 0) {
        weights_bad(file, error, "`%.*s` holds elements `%s`, which are not plain numbers",
                    WEIGHTS_SHOWN, key, descr);
        hone_error_help(error, "save it as an array of numbers: `array.astype(\"float32\")`");
        return false;
    }
    if (found.fortran && tensor->rank > 1) {
        weights_bad(file, error, "`%.*s` is stored in Fortran order", WEIGHTS_SHOWN, key);
        hone_error_help(error, "save it in C order: `numpy.ascontiguousarray(array)`");
        return false;
    }
    if (!hone_size_of(tensor->rank, tensor->dims, element, &tensor->bytes))
        return weights_bad(file, error, "the size of `%.*s` overflows", WEIGHTS_SHOWN, key);
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
        if (strcmp(dtypes[i].descr, descr) == 0) {
            tensor->dtype = dtypes[i].dtype;
            tensor->known_dtype = true;
        }
    return true;
}
