/* boxes: pictures and the things in them, as Pascal VOC lays them out: `JPEGImages` holds the pictures,
 * `Annotations` a file for each, with the same name but for the ending; with `set` only those that
 * ImageSets/Main/SET.txt lists are samples. Samples are in byte order; classes are the names in all
 * annotations of the folder, so that its sets number alike. Fields: image f32 [3, S, S] in 0..1, the whole
 * picture; boxes f32 [M, 4], x1 y1 x2 y2 in pixels of that image; label i32 [M]. Behind the last box
 * boxes are 0 and labels -1. */
#include <stdlib.h>
#include <string.h>

#include "data/data.h"

typedef struct Sample {
    char *picture;
    int64_t first, n;                 /* of its boxes */
} Sample;

typedef struct Boxes {
    Pairs pairs;                      /* while opening */
    bool *chosen;                     /* of the pairs: is it in the set? while opening */
    VocBoxes voc;                     /* of all samples; names while opening */
    int32_t *labels;
    Sample *samples;
    size_t n;
    int64_t size, most;
} Boxes;

static const HoneArgument arguments[] = {
    {.name = "path", .kind = HONE_OPT_STRING, .needed = true},
    ARGUMENT_SIZE,
    {.name = "most", .kind = HONE_OPT_INT, .needed = true, .least = 1, .most = BOXES_MOST},
    {.name = "set", .kind = HONE_OPT_STRING},
    {.name = NULL},
};

static bool boxes_fields(const HoneSource *source, HoneField *fields, size_t *n)
{
    int64_t size = source_int(source, "size", 0), most = source_int(source, "most", 0);
    fields[0] = (HoneField){
        .name = "image", .dtype = HONE_F32, .rank = 3, .dims = {3, size, size}};
    fields[1] = (HoneField){.name = "boxes", .dtype = HONE_F32, .rank = 2, .dims = {most, 4}};
    fields[2] = (HoneField){.name = "label", .dtype = HONE_I32, .rank = 1, .dims = {most}};
    *n = 3;
    return size > 0 && size <= PICTURE_SIZE && most > 0 && most <= BOXES_MOST;
}

/* --- the set ----------------------------------------------------------------------------------------- */
static int name_and_pair(const void *key, const void *element)
{
    const char *name = key, *path = ((const Pair *)element)->picture;
    const char *own = strrchr(path, '/') == NULL ? path : strrchr(path, '/') + 1;
    size_t n = strlen(name), m = stem_length(own);
    int order = memcmp(name, own, n < m ? n : m);
    return order != 0 ? order : (n > m) - (n < m);
}

static bool choose(Boxes *boxes, const char *path, int64_t line, const char *name, HoneError *error)
{
    const Pairs *pairs = &boxes->pairs;
    const Pair *pair = bsearch(name, pairs->at, pairs->n, sizeof *pair, name_and_pair);
    if (pair == NULL) {
        hone_fail(error, HONE_BAD_INPUT, "E704", "`%.300s`, line %lld: there is no picture `%.100s`", path,
                  (long long)line, name);
        hone_error_note(error, "a line is the name of one picture in JPEGImages, without its ending");
        hone_error_help(error, "add the picture and its annotation, or remove the line");
        return false;
    }
    bool *chosen = &boxes->chosen[pair - pairs->at];
    if (*chosen) {
        return hone_fail(error, HONE_BAD_INPUT, "E704", "`%.300s`, line %lld: `%.100s` stands there twice",
                         path, (long long)line, name);
    }
    *chosen = true;
    return true;
}

static bool read_lines(Boxes *boxes, const char *path, char *text, size_t bytes, HoneError *error)
{
    bool ok = true;
    int64_t line = 1;
    for (char *at = text_begin(text, bytes), *end = text + bytes; ok && at < end; line++) {
        char *stop = memchr(at, '\n', (size_t)(end - at));
        stop = stop == NULL ? end : stop;
        char *last = stop;
        while (last > at && strchr(" \t\r", last[-1]) != NULL) {
            last--;
        }
        *last = '\0';
        ok = last == at || choose(boxes, path, line, at, error);
        at = stop + 1;
    }
    return ok;
}

static bool read_set(HoneDataset *data, const char *root, HoneError *error)
{
    Boxes *boxes = data->state;
    const char *set = source_string(data->source, "set", NULL);
    boxes->chosen = hone_alloc(data->sys, boxes->pairs.n);
    if (boxes->chosen == NULL) {
        return hone_fail_memory(error, "data", boxes->pairs.n);
    }
    if (set == NULL) {
        memset(boxes->chosen, true, boxes->pairs.n);
        return true;
    }
    char within[HONE_PATH], path[HONE_PATH];
    HoneText name = hone_text(within, sizeof within);
    hone_text_add(&name, "ImageSets/Main/%s.txt", set);
    if (!hone_path_join(path, root, within)) {
        return hone_fail(error, HONE_BAD_INPUT, "E704", "the name `%.100s` of a set is too long", set);
    }
    size_t bytes = 0;
    char *text = data_text(data->sys, path, &bytes, error);
    bool ok = text != NULL && read_lines(boxes, path, text, bytes, error);
    hone_free(data->sys, text);
    return ok;
}

/* --- annotations ------------------------------------------------------------------------------------- */
static bool bad_box(const Pair *pair, const VocBox *box, const char *what, HoneError *error)
{
    hone_fail(error, HONE_BAD_INPUT, "E704", "`%.300s`: the box %g %g %g %g %s", pair->other,
              (double)box->at[0], (double)box->at[1], (double)box->at[2], (double)box->at[3], what);
    hone_error_help(error, "mend the file, or set `skip_bad = true` in the recipe");
    return false;
}

/* A box has an area and lies within the picture; 0: the file does not say how large it is. */
static bool check_boxes(const Pair *pair, const VocBoxes *boxes, int64_t first, double width,
                        double height, HoneError *error)
{
    for (int64_t i = first; i < boxes->n; i++) {
        const float *at = boxes->at[i].at;
        if (at[0] >= at[2] || at[1] >= at[3]) {
            return bad_box(pair, &boxes->at[i], "is empty", error);
        }
        if (at[0] < 0 || at[1] < 0 || (width > 0 && (double)at[2] > width) ||
            (height > 0 && (double)at[3] > height)) {
            char what[100];
            HoneText text = hone_text(what, sizeof what);
            hone_text_add(&text, "is not within the picture");
            if (width > 0) {
                hone_text_add(&text, " of %g x %g pixels", width, height);
            }
            return bad_box(pair, &boxes->at[i], what, error);
        }
    }
    return true;
}

static bool check_picture(HoneDataset *data, Workspace *work, const Pair *pair, const VocSize *size,
                          int64_t first, PictureHead *head, HoneError *error)
{
    const Boxes *boxes = data->state;
    Picture picture;
    if (!picture_check(data->sys, pair->picture, head, error)) {
        return false;
    }
    double width = head->width > 0 ? (double)head->width : size->width;
    double height = head->width > 0 ? (double)head->height : size->height;
    if ((size->width != 0 && size->width != width) || (size->height != 0 && size->height != height)) {
        hone_fail(error, HONE_BAD_INPUT, "E704",
                  "`%.300s` is for a picture of %g x %g pixels, `%.300s` has %g x %g", pair->other,
                  size->width, size->height, pair->picture, width, height);
        hone_error_help(error, "replace one of them, or set `skip_bad = true` in the recipe");
        return false;
    }
    return check_boxes(pair, &boxes->voc, first, width, height, error) &&
           (!pictures_tried(data) || picture_decode(work, pair->picture, &picture, error));
}

/* Of a pair outside the set only the names count. */
static bool add_pair(HoneDataset *data, Workspace *work, size_t i, HoneError *error)
{
    Boxes *boxes = data->state;
    Pair *pair = &boxes->pairs.at[i];
    int64_t first = boxes->voc.n, names = boxes->voc.names_n;
    VocSize size;
    PictureHead head;
    HoneError why = {0};
    bool good = voc_read(data->sys, pair->other, &boxes->voc, &size, &why);
    const char *bad = good ? pair->picture : pair->other;
    boxes->voc.names_n = good ? boxes->voc.names_n : names;
    good = good && (!boxes->chosen[i] ||
                    check_picture(data, work, pair, &size, first, &head, &why));
    if (good && boxes->chosen[i]) {
        pictures_need(data, &head, boxes->size);
        boxes->samples[boxes->n++] =
            (Sample){.picture = pair->picture, .first = first, .n = boxes->voc.n - first};
        pair->picture = NULL;
        return true;
    }
    boxes->voc.n = first;
    return good || pictures_skip(data, bad, &why, error);
}

static bool add_pairs(HoneDataset *data, HoneError *error)
{
    Boxes *boxes = data->state;
    size_t bytes = boxes->pairs.n * sizeof *boxes->samples;
    boxes->samples = hone_alloc(data->sys, bytes);
    if (boxes->samples == NULL) {
        return hone_fail_memory(error, "data", bytes);
    }
    Workspace work = {.sys = data->sys};
    bool ok = true;
    for (size_t i = 0; ok && i < boxes->pairs.n; i++) {
        ok = add_pair(data, &work, i, error);
    }
    workspace_free(&work);
    if (ok && boxes->n == 0) {
        return hone_fail(error, HONE_BAD_INPUT, "E704", "there are no samples in `%.300s`%s%s",
                         source_string(data->source, "path", ""),
                         data->skipped > 0 ? "; passed over: " : "", data->skipped_first);
    }
    return ok;
}

static bool check_most(const Boxes *boxes, HoneError *error)
{
    const Sample *most = &boxes->samples[0];
    for (size_t i = 1; i < boxes->n; i++) {
        most = boxes->samples[i].n > most->n ? &boxes->samples[i] : most;
    }
    if (most->n <= boxes->most) {
        return true;
    }
    hone_fail(error, HONE_BAD_INPUT, "E704", "`%.300s` has %lld boxes, `most` is %lld", most->picture,
              (long long)most->n, (long long)boxes->most);
    hone_error_help(error, "set `most = %lld`: no picture has more", (long long)most->n);
    return false;
}

/* Names become classes and their numbers. */
static bool make_labels(HoneDataset *data, HoneError *error)
{
    Boxes *boxes = data->state;
    const VocBoxes *voc = &boxes->voc;
    int64_t n = 0;
    for (int64_t i = 0; i < voc->names_n; i++) {
        n += voc->names[i] == '\0';
    }
    size_t bytes = ((size_t)n + 1) * sizeof(char *);
    size_t labels = ((size_t)voc->n + 1) * sizeof *boxes->labels;
    const char **names = hone_alloc(data->sys, bytes);
    boxes->labels = hone_alloc(data->sys, labels);
    if (names == NULL || boxes->labels == NULL) {
        hone_free(data->sys, names);
        return hone_fail_memory(error, "data", bytes + labels);
    }
    n = 0;
    for (int64_t i = 0; i < voc->names_n; i += (int64_t)strlen(voc->names + i) + 1) {
        names[n++] = voc->names + i;
    }
    bool ok = classes_make(data, n, names, error);
    hone_free(data->sys, names);
    for (int64_t i = 0; ok && i < voc->n; i++) {
        boxes->labels[i] = class_number(data, voc->names + voc->at[i].name);
    }
    data->bytes = boxes->pairs.n * sizeof *boxes->samples + (uint64_t)voc->room * sizeof *voc->at + labels;
    return ok;
}

/* --- opening ----------------------------------------------------------------------------------------- */
static bool boxes_open(HoneDataset *data, HoneError *error)
{
    if (!boxes_fields(data->source, data->fields, &data->n_fields)) {
        int64_t most = source_int(data->source, "most", 0);
        return most > 0 && most <= BOXES_MOST
                   ? pictures_bad_size(data->source, error)
                   : hone_fail(error, HONE_USAGE, "E704",
                               "boxes: `most` must be between 1 and %d, and is %lld", BOXES_MOST,
                               (long long)most);
    }
    Boxes *boxes = hone_alloc(data->sys, sizeof *boxes);
    data->state = boxes;
    char *root = path_join(data->sys, data->root, source_string(data->source, "path", ""));
    if (boxes == NULL || root == NULL) {
        hone_free(data->sys, root);
        return hone_fail_memory(error, "data", sizeof *boxes);
    }
    boxes->size = source_int(data->source, "size", 0);
    boxes->most = source_int(data->source, "most", 0);
    bool ok = pairs_list(data->sys, root, "JPEGImages", "Annotations", &boxes->pairs, error) &&
              read_set(data, root, error) && add_pairs(data, error) && check_most(boxes, error) &&
              make_labels(data, error);
    hone_free(data->sys, root);
    hone_free(data->sys, boxes->chosen);
    hone_free(data->sys, boxes->voc.names);
    pairs_free(data->sys, &boxes->pairs);
    boxes->chosen = NULL;
    boxes->voc.names = NULL;
    boxes->pairs = (Pairs){0};
    data->count = (int64_t)boxes->n;
    return ok;
}

static void boxes_close(HoneDataset *data)
{
    Boxes *boxes = data->state;
    if (boxes != NULL) {
        for (size_t i = 0; i < boxes->n; i++) {
            hone_free(data->sys, boxes->samples[i].picture);
        }
        voc_free(data->sys, &boxes->voc);
        hone_free(data->sys, boxes->samples);
        hone_free(data->sys, boxes->labels);
        hone_free(data->sys, boxes);
    }
}

/* --- samples ----------------------------------------------------------------------------------------- */
static bool boxes_read(const HoneDataset *data, int64_t sample, const SampleMode *mode,
                       Workspace *work, void *const *fields, HoneError *error)
{
    const Boxes *boxes = data->state;
    const Sample *s = &boxes->samples[sample];
    Crop crop;
    if (!picture_read(data->source, s->picture, mode, sample, work, &crop, fields[0], error)) {
        return false;
    }
    float *to = fields[1];
    int32_t *label = fields[2];
    for (int64_t i = 0; i < boxes->most; i++, to += 4) {
        bool there = i < s->n;
        label[i] = there ? boxes->labels[s->first + i] : -1;
        for (int k = 0; k < 4; k++) {
            double side = (double)(k % 2 == 0 ? crop.of_width : crop.of_height);
            double at = there ? (double)boxes->voc.at[s->first + i].at[k] : 0;
            to[k] = (float)(at * (double)boxes->size / side);
        }
    }
    return true;
}

static bool boxes_range(const HoneDataset *data, size_t field, int64_t *low, int64_t *high)
{
    *low = -1;
    *high = (int64_t)data->n_classes - 1;
    return field == 2;
}

const Reader reader_boxes = {
    .name = "boxes",
    .arguments = arguments,
    .crop = "none",
    .fields = boxes_fields,
    .open = boxes_open,
    .read = boxes_read,
    .close = boxes_close,
    .range = boxes_range,
};
