/* text: a file of lines, columns apart by tabs, as numbers of a WordPiece vocabulary. Fields: `ids`
 * [CLS] text [SEP], with `pair` a second text and [SEP]; `segment` 1 from the second text on; `mask` 1 where
 * there are pieces, 0 after them; `label`. What is longer than `length` loses pieces at its end, of a pair
 * the longer text first.
 *
 * A first line with a column `label` names the columns: texts are the first of the others that are not
 * `index`, `idx` or `id`. Without it the texts come first and the label last. Labels are whole numbers,
 * or names: then classes, numbered in byte order. All lines are kept in memory as numbers. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/data.h"
#include "text/text.h"

enum { MOST_COLUMNS = 32, LEAST = 4 /* pieces: [CLS], one of each text, [SEP] */ };

typedef struct Sample {
    int64_t first;                    /* of its pieces */
    int32_t n, second;                /* pieces; where the second text's begin */
    int32_t label;
} Sample;

typedef struct Text {
    char *path, *bytes;               /* the file: while opening */
    size_t size;
    int64_t length;
    bool pair;
    Wordpiece *wordpiece;
    int32_t begin, end, pad;          /* [CLS] [SEP] [PAD] */
    int32_t *ids, *own;               /* of all samples; of one that is read */
    int64_t n_ids, room_ids;
    Sample *samples;
    const char **names;               /* labels as they are written */
    int64_t n, room;                  /* samples */
    int64_t low, high, high_id;
    size_t texts[2], label;           /* columns */
    int64_t line;
} Text;

static const HoneArgument arguments[] = {
    {.name = "file", .kind = HONE_OPT_STRING, .needed = true},
    {.name = "vocab", .kind = HONE_OPT_STRING, .needed = true},
    {.name = "length", .kind = HONE_OPT_INT, .needed = true, .least = LEAST, .most = HONE_LONGEST},
    {.name = "pair", .kind = HONE_OPT_BOOL},
    {.name = "lower", .kind = HONE_OPT_BOOL},
    {.name = NULL},
};

static bool text_fields(const HoneSource *source, HoneField *fields, size_t *n)
{
    static const char *const names[] = {"ids", "segment", "mask"};
    int64_t length = source_int(source, "length", 0);
    for (*n = 0; *n < 3; ++*n) {
        fields[*n] =
            (HoneField){.name = names[*n], .dtype = HONE_I32, .rank = 1, .dims = {length}};
    }
    fields[(*n)++] = (HoneField){.name = "label", .dtype = HONE_I32};
    return length >= LEAST && length <= HONE_LONGEST;
}

/* --- memory ---------------------------------------------------------------------------------------- */
static bool room_for_sample(HoneDataset *data, HoneError *error)
{
    Text *t = data->state;
    int64_t room = t->room;
    void *samples = t->samples, *names = t->names, *ids = t->ids;
    bool ok = data_room(data->sys, &samples, t->n, &room, 1, sizeof *t->samples, error);
    t->samples = samples;
    if (ok) {
        ok = data_room(data->sys, &names, t->n, &t->room, 1, sizeof *t->names, error);
        t->names = names;
    }
    ok = ok && data_room(data->sys, &ids, t->n_ids, &t->room_ids, t->length, sizeof *t->ids, error);
    t->ids = ids;
    return ok;
}

/* --- lines ------------------------------------------------------------------------------------------- */
typedef struct Columns {
    size_t n;                         /* of the line; of so many the first are kept */
    char *at[MOST_COLUMNS];
    size_t bytes[MOST_COLUMNS];
} Columns;

/* The next line that is not empty, cut at its tabs; n 0: none is left. */
static Columns next_line(Text *t, size_t *at)
{
    Columns columns = {0};
    while (*at < t->size && columns.n == 0) {
        char *line = t->bytes + *at, *end = memchr(line, '\n', t->size - *at);
        end = end == NULL ? t->bytes + t->size : end;
        *at = (size_t)(end - t->bytes) + 1;
        t->line++;
        end -= end > line && end[-1] == '\r';
        *end = '\0';                  /* there is a byte more than the file has */
        for (; line < end; columns.n++) {
            char *tab = memchr(line, '\t', (size_t)(end - line));
            char *stop = tab == NULL ? end : tab;
            if (columns.n < MOST_COLUMNS) {
                columns.at[columns.n] = line;
                columns.bytes[columns.n] = (size_t)(stop - line);
            }
            *stop = '\0';
            line = stop + (tab != NULL);
        }
    }
    return columns;
}

static bool is_number_column(const char *name)
{
    return strcmp(name, "index") == 0 || strcmp(name, "idx") == 0 || strcmp(name, "id") == 0;
}

/* Which columns are what; *header: this line says it and is no sample. */
static bool choose_columns(Text *t, const Columns *first, bool *header, HoneError *error)
{
    size_t wanted = t->pair ? 2 : 1, found = 0;
    *header = false;
    if (first->n > MOST_COLUMNS) {
        hone_fail(error, HONE_BAD_INPUT, "E704", "`%.300s` has %zu columns, at most %d are read", t->path,
                  first->n, MOST_COLUMNS);
        hone_error_help(error, "keep the texts and the label, and leave out the others");
        return false;
    }
    for (size_t i = 0; i < first->n; i++) {
        if (strcmp(first->at[i], "label") == 0) {
            t->label = i;
            *header = true;
        }
    }
    for (size_t i = 0; i < first->n && found < wanted && *header; i++) {
        if (i != t->label && !is_number_column(first->at[i])) {
            t->texts[found++] = i;
        }
    }
    if (!*header) {
        t->texts[0] = 0;
        t->texts[1] = 1;
        t->label = first->n - 1;
        found = first->n > wanted ? wanted : 0;
    }
    if (found == wanted) {
        return true;
    }
    hone_fail(error, HONE_BAD_INPUT, "E704", "`%.300s` has no column for %s and one for the label",
              t->path, t->pair ? "each of two texts" : "a text");
    hone_error_help(error, "columns stand apart by tabs: text%s, label; a first line may name them",
                    t->pair ? ", text" : "");
    return false;
}

/* Cuts to `length`; the longer of two texts first. */
static void fit(const Text *t, int64_t *a, int64_t *b)
{
    int64_t room = t->length - (t->pair ? 3 : 2);
    while (*a + *b > room) {
        *(*a > *b ? a : b) -= 1;
    }
}

static bool add_sample(HoneDataset *data, const Columns *columns, HoneError *error)
{
    Text *t = data->state;
    size_t last = t->label;
    for (int i = 0; i <= (int)t->pair; i++) {
        last = t->texts[i] > last ? t->texts[i] : last;
    }
    if (columns->n <= last) {
        return hone_fail(error, HONE_BAD_INPUT, "E704", "`%.300s`, line %lld: %zu column%s instead of "
                         "%zu", t->path, (long long)t->line, columns->n, columns->n == 1 ? "" : "s",
                         last + 1);
    }
    if (!room_for_sample(data, error)) {
        return false;
    }
    int32_t *second = t->own;
    int32_t *ids = t->ids + t->n_ids;
    size_t one = t->texts[0], two = t->texts[1];
    int64_t a = wordpiece_encode(t->wordpiece, columns->at[one], columns->bytes[one], ids + 1,
                                 t->length - 1), b = 0;
    if (t->pair) {
        b = wordpiece_encode(t->wordpiece, columns->at[two], columns->bytes[two], second, t->length);
    }
    fit(t, &a, &b);
    ids[0] = t->begin;
    ids[a + 1] = t->end;
    Sample sample = {.first = t->n_ids, .n = (int32_t)(a + 2), .second = (int32_t)(a + 2)};
    if (t->pair) {
        memcpy(ids + a + 2, second, (size_t)b * sizeof *ids);
        ids[a + 2 + b] = t->end;
        sample.n += (int32_t)b + 1;
    }
    for (int32_t i = 0; i < sample.n; i++) {
        t->high_id = ids[i] > t->high_id ? ids[i] : t->high_id;
    }
    t->names[t->n] = columns->at[t->label];
    t->samples[t->n++] = sample;
    t->n_ids += sample.n;
    return true;
}

/* --- labels ---------------------------------------------------------------------------------------- */
static bool all_numbers(Text *t)
{
    for (int64_t i = 0; i < t->n; i++) {
        char *end;
        errno = 0;
        long value = strtol(t->names[i], &end, 10);
        if (end == t->names[i] || *end != '\0' || errno != 0 || value != (int32_t)value) {
            return false;
        }
        t->samples[i].label = (int32_t)value;
    }
    return true;
}

static bool make_labels(HoneDataset *data, HoneError *error)
{
    Text *t = data->state;
    bool numbers = all_numbers(t);
    if (!numbers && !classes_make(data, t->n, t->names, error)) {
        return false;
    }
    t->low = INT32_MAX;
    t->high = INT32_MIN;
    for (int64_t i = 0; i < t->n; i++) {
        t->samples[i].label = numbers ? t->samples[i].label : class_number(data, t->names[i]);
        int32_t label = t->samples[i].label;
        t->low = label < t->low ? label : t->low;
        t->high = label > t->high ? label : t->high;
    }
    hone_free(data->sys, t->names);
    hone_free(data->sys, t->bytes);
    t->names = NULL;
    t->bytes = NULL;
    return true;
}

/* --- opening ---------------------------------------------------------------------------------------- */
static bool read_samples(HoneDataset *data, HoneError *error)
{
    Text *t = data->state;
    size_t at = (size_t)(text_begin(t->bytes, t->size) - t->bytes);
    Columns columns = next_line(t, &at);
    bool header = false;
    if (columns.n > 0 && !choose_columns(t, &columns, &header, error)) {
        return false;
    }
    if (header) {
        columns = next_line(t, &at);
    }
    while (columns.n > 0) {
        if (!add_sample(data, &columns, error)) {
            return false;
        }
        columns = next_line(t, &at);
    }
    if (t->n == 0) {
        return hone_fail(error, HONE_BAD_INPUT, "E704", "`%.300s` has no samples", t->path);
    }
    return true;
}

static bool open_vocabulary(HoneDataset *data, HoneError *error)
{
    Text *t = data->state;
    char *path = path_join(data->sys, data->root, source_string(data->source, "vocab", ""));
    if (path == NULL) {
        return hone_fail_memory(error, "data", 64);
    }
    t->wordpiece = wordpiece_open(data->sys, path, source_bool(data->source, "lower", true), error);
    bool ok = t->wordpiece != NULL;
    if (ok) {
        int32_t pad = wordpiece_find(t->wordpiece, "[PAD]");
        t->begin = wordpiece_find(t->wordpiece, "[CLS]");
        t->end = wordpiece_find(t->wordpiece, "[SEP]");
        t->pad = pad < 0 ? 0 : pad;
        if (t->begin < 0 || t->end < 0) {
            ok = hone_fail(error, HONE_BAD_INPUT, "E704",
                           "the vocabulary `%.300s` has no `[CLS]` or no `[SEP]`", path);
        }
    }
    hone_free(data->sys, path);
    return ok;
}

static bool text_open(HoneDataset *data, HoneError *error)
{
    if (!text_fields(data->source, data->fields, &data->n_fields)) {
        return hone_fail(error, HONE_USAGE, "E704",
                         "text: `length` must be between %d and %d, and is %lld", LEAST, HONE_LONGEST,
                         (long long)source_int(data->source, "length", 0));
    }
    Text *t = hone_alloc(data->sys, sizeof *t);
    if (t == NULL) {
        return hone_fail_memory(error, "data", sizeof *t);
    }
    data->state = t;
    t->length = source_int(data->source, "length", 0);
    t->pair = source_bool(data->source, "pair", false);
    t->path = path_join(data->sys, data->root, source_string(data->source, "file", ""));
    t->own = hone_alloc(data->sys, (size_t)t->length * sizeof *t->own);
    if (t->path == NULL || t->own == NULL) {
        return hone_fail_memory(error, "data", (uint64_t)t->length * sizeof *t->own);
    }
    if (!open_vocabulary(data, error)) {
        return false;
    }
    t->bytes = data_text(data->sys, t->path, &t->size, error);
    if (t->bytes == NULL || !read_samples(data, error) || !make_labels(data, error)) {
        return false;
    }
    wordpiece_free(t->wordpiece);
    t->wordpiece = NULL;
    data->count = t->n;
    data->bytes = (uint64_t)t->room_ids * sizeof *t->ids + (uint64_t)t->room * sizeof *t->samples;
    return true;
}

static void text_close(HoneDataset *data)
{
    Text *t = data->state;
    if (t != NULL) {
        wordpiece_free(t->wordpiece);
        hone_free(data->sys, t->path);
        hone_free(data->sys, t->bytes);
        hone_free(data->sys, t->ids);
        hone_free(data->sys, t->own);
        hone_free(data->sys, t->samples);
        hone_free(data->sys, t->names);
        hone_free(data->sys, t);
    }
}

/* --- samples ---------------------------------------------------------------------------------------- */
static bool text_read(const HoneDataset *data, int64_t sample, const SampleMode *mode,
                      Workspace *work, void *const *fields, HoneError *error)
{
    (void)mode, (void)work, (void)error;
    const Text *t = data->state;
    const Sample *s = &t->samples[sample];
    int32_t *ids = fields[0], *segment = fields[1], *mask = fields[2];
    for (int32_t i = 0; i < t->length; i++) {
        bool there = i < s->n;
        ids[i] = there ? t->ids[s->first + i] : t->pad;
        segment[i] = there && i >= s->second;
        mask[i] = there;
    }
    *(int32_t *)fields[3] = s->label;
    return true;
}

static bool text_range(const HoneDataset *data, size_t field, int64_t *low, int64_t *high)
{
    const Text *t = data->state;
    *low = field == 3 ? t->low : 0;
    *high = field == 3 ? t->high : field == 0 ? t->high_id : 1;
    return true;
}

static int64_t text_length(const HoneDataset *data, int64_t sample)
{
    const Text *t = data->state;
    return t->samples[sample].n;
}

const Reader reader_text = {
    .name = "text",
    .arguments = arguments,
    .cheap = true,
    .fields = text_fields,
    .open = text_open,
    .read = text_read,
    .close = text_close,
    .range = text_range,
    .length = text_length,
};
