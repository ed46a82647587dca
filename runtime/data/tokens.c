/* tokens: a flat file of token numbers (u8, u16 or i32, little-endian), cut into windows of `length`.
 * Sample i: `ids` are the tokens [i*T, i*T + T), `next` those one further on; so the last window needs a
 * token more than it shows. Nothing is held in memory: a window is one read. */
#include <errno.h>
#include <string.h>

#include "data/data.h"

typedef struct Tokens {
    int fd;
    char *path;
    size_t width;                     /* bytes of a token in the file */
    int64_t n, length;
    int32_t low, high;                /* over the whole file */
} Tokens;

static const char *const dtypes[] = {"u8", "u16", "i32", NULL};
static const HoneArgument arguments[] = {
    {.name = "file", .kind = HONE_OPT_STRING, .needed = true},
    {.name = "length", .kind = HONE_OPT_INT, .needed = true, .least = 1, .most = HONE_LONGEST},
    {.name = "dtype", .kind = HONE_OPT_STRING, .choices = dtypes},
    {.name = NULL},
};

enum { CHUNK = 1 << 14 /* tokens read at a time when all are looked at */ };

static size_t width_of(const HoneSource *source)
{
    const char *dtype = source_string(source, "dtype", "u16");
    return strcmp(dtype, "u8") == 0    ? 1
           : strcmp(dtype, "u16") == 0 ? 2
           : strcmp(dtype, "i32") == 0 ? 4
                                       : 0;
}

static bool tokens_fields(const HoneSource *source, HoneField *fields, size_t *n)
{
    int64_t length = source_int(source, "length", 0);
    fields[0] = (HoneField){.name = "ids", .dtype = HONE_I32, .rank = 1, .dims = {length}};
    fields[1] = (HoneField){.name = "next", .dtype = HONE_I32, .rank = 1, .dims = {length}};
    *n = 2;
    return length > 0 && length <= HONE_LONGEST && width_of(source) > 0;
}

static int32_t token_at(const unsigned char *from, size_t width)
{
    uint32_t token = from[0];
    for (size_t i = 1; i < width; i++) {
        token |= (uint32_t)from[i] << 8 * i;
    }
    int32_t value;
    memcpy(&value, &token, sizeof value);
    return value;
}

/* --- opening ---------------------------------------------------------------------------------------- */
static bool fail_read(const Tokens *tokens, HoneError *error)
{
    char why[128];
    return hone_fail(error, HONE_BAD_INPUT, "E702", "cannot read the tokens `%.300s`: %s",
                     tokens->path, hone_errno_text(errno, why));
}

/* Looks at every token: the range, and whether the upper halves of i32 were taken for tokens. */
static bool look_at_all(HoneDataset *data, unsigned char *chunk, HoneError *error)
{
    Tokens *tokens = data->state;
    bool odd_is_0 = tokens->width == 2 && tokens->n >= 64 && tokens->n % 2 == 0;
    tokens->low = INT32_MAX;
    tokens->high = INT32_MIN;
    for (int64_t at = 0; at < tokens->n; at += CHUNK) {
        int64_t n = tokens->n - at < CHUNK ? tokens->n - at : CHUNK;
        if (hone_read_at(data->sys, tokens->fd, chunk, (size_t)n * tokens->width,
                         at * (int64_t)tokens->width) != 0) {
            return fail_read(tokens, error);
        }
        for (int64_t i = 0; i < n; i++) {
            int32_t token = token_at(chunk + (size_t)i * tokens->width, tokens->width);
            tokens->low = token < tokens->low ? token : tokens->low;
            tokens->high = token > tokens->high ? token : tokens->high;
            odd_is_0 = odd_is_0 && (i % 2 == 0 || token == 0);
        }
    }
    if (odd_is_0 && tokens->high > 0) {
        hone_fail(error, HONE_BAD_INPUT, "E704",
                  "`%.300s`: every second u16 is 0, so the tokens seem to be i32", tokens->path);
        hone_error_help(error, "add `dtype = \"i32\"`");
        return false;
    }
    return true;
}

static bool check_size(HoneDataset *data, HoneError *error)
{
    Tokens *tokens = data->state;
    int64_t bytes = hone_file_size(data->sys, tokens->fd);
    if (bytes < 0) {
        return fail_read(tokens, error);
    }
    if (bytes % (int64_t)tokens->width != 0) {
        return hone_fail(error, HONE_BAD_INPUT, "E704",
                         "`%.300s`: %lld bytes are no whole number of tokens of %zu bytes (%s)",
                         tokens->path, (long long)bytes, tokens->width,
                         source_string(data->source, "dtype", "u16"));
    }
    tokens->n = bytes / (int64_t)tokens->width;
    if (tokens->n <= tokens->length) {
        return hone_fail(error, HONE_BAD_INPUT, "E704",
                         "`%.300s` has %lld tokens, a window of `length = %lld` needs %lld",
                         tokens->path, (long long)tokens->n, (long long)tokens->length,
                         (long long)tokens->length + 1);
    }
    data->count = (tokens->n - 1) / tokens->length;
    return true;
}

static bool tokens_open(HoneDataset *data, HoneError *error)
{
    if (!tokens_fields(data->source, data->fields, &data->n_fields)) {
        return hone_fail(error, HONE_USAGE, "E704",
                         "tokens: `length` must be between 1 and %d, and is %lld", HONE_LONGEST,
                         (long long)source_int(data->source, "length", 0));
    }
    Tokens *tokens = hone_alloc(data->sys, sizeof *tokens);
    if (tokens == NULL) {
        return hone_fail_memory(error, "data", sizeof *tokens);
    }
    data->state = tokens;
    tokens->fd = -1;
    tokens->width = width_of(data->source);
    tokens->length = source_int(data->source, "length", 0);
    tokens->path = path_join(data->sys, data->root, source_string(data->source, "file", ""));
    unsigned char *chunk = hone_alloc(data->sys, CHUNK * tokens->width);
    bool ok = tokens->path != NULL && chunk != NULL;
    if (!ok) {
        hone_fail_memory(error, "data", CHUNK * tokens->width);
    } else if ((tokens->fd = hone_open_read(data->sys, tokens->path)) < 0) {
        ok = fail_read(tokens, error);
    } else {
        ok = check_size(data, error) && look_at_all(data, chunk, error);
    }
    hone_free(data->sys, chunk);
    return ok;
}

static void tokens_close(HoneDataset *data)
{
    Tokens *tokens = data->state;
    if (tokens != NULL) {
        if (tokens->fd >= 0) {
            hone_close(data->sys, tokens->fd);
        }
        hone_free(data->sys, tokens->path);
        hone_free(data->sys, tokens);
    }
}

/* --- samples ---------------------------------------------------------------------------------------- */
static bool tokens_read(const HoneDataset *data, int64_t sample, const SampleMode *mode,
                        Workspace *work, void *const *fields, HoneError *error)
{
    (void)mode;
    const Tokens *tokens = data->state;
    size_t width = tokens->width, n = (size_t)tokens->length + 1;
    unsigned char *from = workspace_get(work, &work->file, n * width);
    if (from == NULL) {
        return hone_fail_memory(error, "data", n * width);
    }
    int64_t offset = sample * tokens->length * (int64_t)width;
    if (hone_read_at(data->sys, tokens->fd, from, n * width, offset) != 0) {
        return fail_read(tokens, error);
    }
    int32_t *ids = fields[0], *next = fields[1];
    for (size_t i = 0; i < n; i++) {
        int32_t token = token_at(from + i * width, width);
        if (i + 1 < n) {
            ids[i] = token;
        }
        if (i > 0) {
            next[i - 1] = token;
        }
    }
    return true;
}

static bool tokens_range(const HoneDataset *data, size_t field, int64_t *low, int64_t *high)
{
    (void)field;
    const Tokens *tokens = data->state;
    *low = tokens->low;
    *high = tokens->high;
    return true;
}

const Reader reader_tokens = {
    .name = "tokens",
    .arguments = arguments,
    .cheap = true,
    .fields = tokens_fields,
    .open = tokens_open,
    .read = tokens_read,
    .close = tokens_close,
    .range = tokens_range,
};
