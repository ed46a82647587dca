/* table: a file of lines whose cells stand apart by tabs or commas (RFC 4180), the first line the names
 * of the columns. Fields: `x` f32 [F], every column but the target in the file's order, and `y`, the
 * target: i32 where all of it is whole numbers; i32 where all of it is words, then classes in byte
 * order; else f32.
 *
 * A header with a tab in it says that tabs stand between cells, otherwise commas do. Blanks around a
 * cell are no part of it, lines without anything are passed over. All values are kept in memory. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data/data.h"

typedef struct Table {
    char *path, *bytes;               /* the file: while opening */
    size_t size;
    int64_t columns, target;          /* all of them; which one is `y` */
    const char **names;               /* of all columns, in `bytes` */
    int64_t room_names;
    float *x;
    void *y;
    const char **targets;             /* as they are written, in `bytes` */
    int64_t n, room_x, room_targets;  /* samples */
    int64_t wholes, words;            /* targets that are whole numbers; that are no numbers */
    const char *number, *word;        /* the first of each kind, and their lines */
    int64_t number_line, word_line;
    int64_t low, high;
} Table;

static const HoneArgument arguments[] = {
    {.name = "file", .kind = HONE_OPT_STRING, .needed = true},
    {.name = "target", .kind = HONE_OPT_STRING, .needed = true},
    {.name = NULL},
};

static bool fields_of_options(const HoneSource *source, HoneField *fields, size_t *n)
{
    (void)source, (void)fields, (void)n;
    return false;
}

/* --- cells ------------------------------------------------------------------------------------------- */
typedef struct Scan {
    const char *path;
    char *at, *end;                   /* *end may be written */
    char separator;
    int64_t line, record;             /* present; where the record begins */
} Scan;

static bool fail_line(const Scan *scan, int64_t line, const char *what, HoneError *error)
{
    return hone_fail(error, HONE_BAD_INPUT, "E704", "`%.300s`, line %lld: %s", scan->path,
                     (long long)line, what);
}

static bool is_blank(const Scan *scan, char c)
{
    return c == ' ' || (c == '\t' && scan->separator != '\t');
}

static void skip_blanks(Scan *scan)
{
    while (scan->at < scan->end && is_blank(scan, *scan->at)) {
        scan->at++;
    }
}

/* Behind the opening quote, up to behind the closing one; two quotes are one. */
static char *quoted(Scan *scan, HoneError *error)
{
    char *to = scan->at;
    int64_t line = scan->line;
    for (;; scan->at++) {
        if (scan->at == scan->end) {
            fail_line(scan, line, "a quote is opened and never closed", error);
            return NULL;
        }
        if (*scan->at == '"' && *++scan->at != '"') {
            return to;
        }
        scan->line += *scan->at == '\n';
        *to++ = *scan->at;
    }
}

/* One cell, cut out in place; *last: of its record. */
static bool next_cell(Scan *scan, char **cell, bool *last, HoneError *error)
{
    skip_blanks(scan);
    bool quotes = scan->at < scan->end && *scan->at == '"';
    scan->at += quotes;
    *cell = scan->at;
    char *stop = quotes ? quoted(scan, error) : scan->at;
    if (stop == NULL) {
        return false;
    }
    for (; !quotes && scan->at < scan->end && *scan->at != scan->separator && *scan->at != '\n';
         scan->at++) {
        if (*scan->at == '"') {
            fail_line(scan, scan->line, "a quote within a cell", error);
            hone_error_help(error, "put the whole cell between quotes, and write its own quotes twice");
            return false;
        }
        bool outside = is_blank(scan, *scan->at) ||
                       (*scan->at == '\r' && (scan->at + 1 == scan->end || scan->at[1] == '\n'));
        stop = outside ? stop : scan->at + 1;
    }
    skip_blanks(scan);
    scan->at += scan->at < scan->end && *scan->at == '\r';
    *last = scan->at == scan->end || *scan->at == '\n';
    if (!*last && *scan->at != scan->separator) {
        return fail_line(scan, scan->line, "text behind a closing quote", error);
    }
    scan->line += scan->at < scan->end && *last;
    scan->at += scan->at < scan->end;
    *stop = '\0';
    return true;
}

/* Passes over empty lines; false at the end. */
static bool next_record(Scan *scan)
{
    for (char *at = scan->at; at < scan->end; at++) {
        if (*at == '\n') {
            scan->line++;
            scan->at = at + 1;
        } else if (*at != ' ' && *at != '\r') {
            scan->record = scan->line;
            return true;
        }
    }
    return false;
}

/* --- the header -------------------------------------------------------------------------------------- */
static bool no_target(const Table *t, const char *target, HoneError *error)
{
    char list[300];
    HoneText names = hone_text(list, sizeof list);
    float value;
    for (int64_t i = 0; i < t->columns; i++) {
        hone_text_add(&names, "%s`%s`", i > 0 ? ", " : "", t->names[i]);
    }
    hone_fail(error, HONE_BAD_INPUT, "E704", "`%.300s` has no column `%.100s`", t->path, target);
    hone_error_note(error, "its columns are %s", list);
    if (number_of(t->names[0], &value)) {
        hone_error_help(error, "the first line names the columns: add it");
    } else if (t->columns == 1 && strchr(t->names[0], ';') != NULL) {
        hone_error_help(error, "put commas or tabs between cells, not `;`");
    } else {
        hone_error_help(error, "set `target` to one of them");
    }
    return false;
}

static bool check_names(Table *t, const char *target, HoneError *error)
{
    t->target = -1;
    for (int64_t i = 0; i < t->columns; i++) {
        if (t->names[i][0] == '\0') {
            hone_fail(error, HONE_BAD_INPUT, "E704", "`%.300s`: column %lld has no name", t->path,
                      (long long)i + 1);
            hone_error_help(error, "name it in the first line; a column of row numbers is best left out");
            return false;
        }
        t->target = strcmp(t->names[i], target) == 0 && t->target < 0 ? i : t->target;
    }
    if (t->target < 0) {
        return no_target(t, target, error);
    }
    if (t->columns == 1) {
        return hone_fail(error, HONE_BAD_INPUT, "E704", "`%.300s` has no column beside `%.100s`",
                         t->path, target);
    }
    return true;
}

/* Twice the same name: names are numbered as classes are, and no number may come twice. */
static bool check_twice(HoneDataset *data, HoneError *error)
{
    Table *t = data->state;
    size_t bytes = (size_t)t->columns * sizeof(int64_t);
    int64_t *seen = hone_alloc(data->sys, bytes);
    bool ok = seen != NULL ? classes_make(data, t->columns, t->names, error)
                           : hone_fail_memory(error, "data", bytes);
    for (int64_t i = 0; i < t->columns && ok; i++) {
        int64_t *first = &seen[class_number(data, t->names[i])];
        if (*first > 0) {
            ok = hone_fail(error, HONE_BAD_INPUT, "E704",
                           "`%.300s`: columns %lld and %lld are both called `%.100s`", t->path,
                           (long long)*first, (long long)i + 1, t->names[i]);
            hone_error_help(error, "give each column a name of its own");
        }
        *first = i + 1;
    }
    hone_free(data->sys, seen);
    hone_free(data->sys, data->classes);
    data->classes = NULL;
    data->n_classes = 0;
    return ok;
}

static bool read_header(HoneDataset *data, Scan *scan, HoneError *error)
{
    Table *t = data->state;
    if (!next_record(scan)) {
        return hone_fail(error, HONE_BAD_INPUT, "E704", "`%.300s` is empty", t->path);
    }
    size_t left = (size_t)(scan->end - scan->at);
    char *line_end = memchr(scan->at, '\n', left);
    size_t line = line_end == NULL ? left : (size_t)(line_end - scan->at);
    scan->separator = memchr(scan->at, '\t', line) != NULL ? '\t' : ',';
    for (bool last = false; !last;) {
        void *names = t->names;
        bool room =
            data_room(data->sys, &names, t->columns, &t->room_names, 1, sizeof *t->names, error);
        t->names = names;
        char *cell;
        if (!room || !next_cell(scan, &cell, &last, error)) {
            return false;
        }
        t->names[t->columns++] = cell;
    }
    return check_names(t, source_string(data->source, "target", ""), error) &&
           check_twice(data, error);
}

/* --- samples ----------------------------------------------------------------------------------------- */
static bool room_for_sample(HoneDataset *data, HoneError *error)
{
    Table *t = data->state;
    int64_t features = t->columns - 1;
    void *x = t->x, *targets = t->targets;
    bool ok = data_room(data->sys, &x, t->n * features, &t->room_x, features, sizeof *t->x, error);
    t->x = x;
    ok = ok &&
         data_room(data->sys, &targets, t->n, &t->room_targets, 1, sizeof *t->targets, error);
    t->targets = targets;
    return ok;
}

static bool bad_cell(const Table *t, const Scan *scan, int64_t column, const char *cell,
                     HoneError *error)
{
    if (cell[0] == '\0') {
        hone_fail(error, HONE_BAD_INPUT, "E704", "`%.300s`, line %lld: column `%.100s` is empty",
                  t->path, (long long)scan->record, t->names[column]);
        hone_error_help(error, "fill in a value, or remove the line or the column");
        return false;
    }
    float value;
    bool large = number_of(cell, &value);
    hone_fail(error, HONE_BAD_INPUT, "E704",
              "`%.300s`, line %lld: column `%.100s` holds `%.60s`, which is %s", t->path,
              (long long)scan->record, t->names[column], cell, large ? "too large for f32" : "no number");
    hone_error_help(error, large ? "scale the column, or leave it out"
                                 : "only the target may be words: give numbers for them, or leave the "
                                   "column out");
    return false;
}

static bool is_whole(const char *text, int32_t *value)
{
    char *end;
    errno = 0;
    long wide = strtol(text, &end, 10);
    *value = (int32_t)wide;
    return *end == '\0' && errno == 0 && wide == *value;
}

static bool add_target(Table *t, const Scan *scan, const char *cell, HoneError *error)
{
    float value;
    int32_t whole;
    bool number = number_of(cell, &value);
    if (cell[0] == '\0' || (number && !isfinite(value))) {
        return bad_cell(t, scan, t->target, cell, error);
    }
    if (!number) {
        t->word = t->words == 0 ? cell : t->word;
        t->word_line = t->words == 0 ? scan->record : t->word_line;
        t->words++;
    } else {
        t->number_line = t->number == NULL ? scan->record : t->number_line;
        t->number = t->number == NULL ? cell : t->number;
        t->wholes += is_whole(cell, &whole);
    }
    t->targets[t->n] = cell;
    return true;
}

static bool read_record(HoneDataset *data, Scan *scan, HoneError *error)
{
    Table *t = data->state;
    if (!room_for_sample(data, error)) {
        return false;
    }
    float *x = t->x + t->n * (t->columns - 1);
    int64_t column = 0;
    for (bool last = false; !last; column++) {
        char *cell;
        if (!next_cell(scan, &cell, &last, error)) {
            return false;
        }
        if (column >= t->columns) {
            continue;                 /* counted for the message below */
        }
        if (column == t->target) {
            if (!add_target(t, scan, cell, error)) {
                return false;
            }
            continue;
        }
        if (!number_of(cell, x) || !isfinite(*x)) {
            return bad_cell(t, scan, column, cell, error);
        }
        x++;
    }
    if (column != t->columns) {
        return hone_fail(error, HONE_BAD_INPUT, "E704",
                         "`%.300s`, line %lld: %lld cell%s, the first line names %lld columns",
                         t->path, (long long)scan->record, (long long)column, column == 1 ? "" : "s",
                         (long long)t->columns);
    }
    t->n++;
    return true;
}

/* --- targets ----------------------------------------------------------------------------------------- */
static bool mixed_targets(const Table *t, HoneError *error)
{
    hone_fail(error, HONE_BAD_INPUT, "E704",
              "`%.300s`: the target `%.100s` is a number in line %lld and a word in line %lld", t->path,
              t->names[t->target], (long long)t->number_line, (long long)t->word_line);
    hone_error_note(error, "`%.60s` and `%.60s`: %lld of %lld are words", t->number, t->word,
                    (long long)t->words, (long long)t->n);
    hone_error_help(error, "write all classes as words or all as whole numbers, and remove lines "
                           "whose target is not known");
    return false;
}

static bool make_targets(HoneDataset *data, HoneError *error)
{
    Table *t = data->state;
    if (t->words > 0 && t->words < t->n) {
        return mixed_targets(t, error);
    }
    if (t->words > 0 && !classes_make(data, t->n, t->targets, error)) {
        return false;
    }
    bool whole = t->words > 0 || t->wholes == t->n;
    data->fields[1] = (HoneField){.name = "y", .dtype = whole ? HONE_I32 : HONE_F32};
    t->y = hone_alloc(data->sys, (size_t)t->n * sizeof(int32_t));
    if (t->y == NULL) {
        return hone_fail_memory(error, "data", (uint64_t)t->n * sizeof(int32_t));
    }
    t->low = INT32_MAX;
    t->high = INT32_MIN;
    for (int64_t i = 0; i < t->n; i++) {
        int32_t value = 0;
        if (!whole) {
            number_of(t->targets[i], (float *)t->y + i);
            continue;
        }
        if (t->words > 0) {
            value = class_number(data, t->targets[i]);
        } else {
            is_whole(t->targets[i], &value);
        }
        ((int32_t *)t->y)[i] = value;
        t->low = value < t->low ? value : t->low;
        t->high = value > t->high ? value : t->high;
    }
    return true;
}

/* --- opening ----------------------------------------------------------------------------------------- */
static bool read_file(HoneDataset *data, HoneError *error)
{
    Table *t = data->state;
    t->bytes = data_text(data->sys, t->path, &t->size, error);
    if (t->bytes == NULL) {
        return false;
    }
    Scan scan = {.path = t->path,
                 .at = text_begin(t->bytes, t->size),
                 .end = t->bytes + t->size,
                 .separator = ',',
                 .line = 1};
    if (!read_header(data, &scan, error)) {
        return false;
    }
    while (next_record(&scan)) {
        if (!read_record(data, &scan, error)) {
            return false;
        }
    }
    if (t->n == 0) {
        return hone_fail(error, HONE_BAD_INPUT, "E704", "`%.300s` has a header and no samples",
                         t->path);
    }
    return make_targets(data, error);
}

/* What stays: the values, and the names of columns and classes. */
static bool keep(HoneDataset *data, HoneError *error)
{
    Table *t = data->state;
    for (int64_t i = t->target; i + 1 < t->columns; i++) {
        t->names[i] = t->names[i + 1];
    }
    data->n_columns = (size_t)t->columns - 1;
    data->columns = names_copy(data->sys, t->columns - 1, t->names, error);
    size_t had = (size_t)t->room_x * sizeof *t->x;
    size_t bytes = (size_t)(t->n * (t->columns - 1)) * sizeof *t->x;
    float *x = data->columns == NULL ? NULL : hone_realloc(data->sys, t->x, had, bytes);
    if (x == NULL) {
        return hone_fail_memory(error, "data", bytes);
    }
    t->x = x;
    hone_free(data->sys, t->bytes);
    hone_free(data->sys, t->names);
    hone_free(data->sys, t->targets);
    t->bytes = NULL;
    t->names = t->targets = NULL;
    data->fields[0] =
        (HoneField){.name = "x", .dtype = HONE_F32, .rank = 1, .dims = {t->columns - 1}};
    data->n_fields = 2;
    data->count = t->n;
    data->bytes = bytes + (size_t)t->n * sizeof(int32_t);
    return true;
}

static bool table_open(HoneDataset *data, HoneError *error)
{
    Table *t = hone_alloc(data->sys, sizeof *t);
    data->state = t;
    if (t != NULL) {
        t->path = path_join(data->sys, data->root, source_string(data->source, "file", ""));
    }
    if (t == NULL || t->path == NULL) {
        return hone_fail_memory(error, "data", sizeof *t);
    }
    return read_file(data, error) && keep(data, error);
}

static void table_close(HoneDataset *data)
{
    Table *t = data->state;
    if (t != NULL) {
        hone_free(data->sys, t->path);
        hone_free(data->sys, t->bytes);
        hone_free(data->sys, t->names);
        hone_free(data->sys, t->targets);
        hone_free(data->sys, t->x);
        hone_free(data->sys, t->y);
        hone_free(data->sys, t);
    }
}

static bool table_read(const HoneDataset *data, int64_t sample, const SampleMode *mode,
                       Workspace *work, void *const *fields, HoneError *error)
{
    (void)mode, (void)work, (void)error;
    const Table *t = data->state;
    size_t features = data->n_columns;
    memcpy(fields[0], t->x + (size_t)sample * features, features * sizeof *t->x);
    memcpy(fields[1], (const int32_t *)t->y + sample, sizeof(int32_t));
    return true;
}

static bool table_range(const HoneDataset *data, size_t field, int64_t *low, int64_t *high)
{
    const Table *t = data->state;
    *low = t->low;
    *high = t->high;
    return field == 1 && data->fields[1].dtype == HONE_I32;
}

const Reader reader_table = {
    .name = "table",
    .arguments = arguments,
    .label = "y",
    .cheap = true,
    .fields = fields_of_options,
    .open = table_open,
    .read = table_read,
    .close = table_close,
    .range = table_range,
};
