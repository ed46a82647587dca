/* segments: pictures and, for each of their pixels, a class. The folder holds `images` and `masks`, with
 * files of equal names but for the endings; masks are PNG files of up to 8 bits, grey or with a palette,
 * whose raw values are the classes; 255 is for pixels that do not count. Samples are in byte order.
 * Fields: image f32 [3, S, S] in 0..1, mask i32 [S, S], both cut, scaled and mirrored alike, the mask by
 * its nearest pixels. With `classes`, a mask with another value is a bad file. */
#include <string.h>

#include "data/data.h"

typedef struct Segments {
    Pairs pairs;
    int64_t size, classes;            /* classes 0: not said */
} Segments;

enum { NO_CLASS = 255 };

static const HoneArgument arguments[] = {
    {.name = "path", .kind = HONE_OPT_STRING, .needed = true},
    ARGUMENT_SIZE,
    ARGUMENT_CROP,
    ARGUMENT_SCALE,
    ARGUMENT_FLIP,
    {.name = "classes", .kind = HONE_OPT_INT, .least = 1, .most = NO_CLASS},
    {.name = NULL},
};

static bool segments_fields(const HoneSource *source, HoneField *fields, size_t *n)
{
    int64_t size = source_int(source, "size", 0);
    fields[0] = (HoneField){
        .name = "image", .dtype = HONE_F32, .rank = 3, .dims = {3, size, size}};
    fields[1] = (HoneField){.name = "mask", .dtype = HONE_I32, .rank = 2, .dims = {size, size}};
    *n = 2;
    return size > 0 && size <= PICTURE_SIZE;
}

/* --- opening ----------------------------------------------------------------------------------------- */
static bool same_size(const Pair *pair, int64_t width, int64_t height, int64_t mask_width,
                      int64_t mask_height, HoneError *error)
{
    if (width == mask_width && height == mask_height) {
        return true;
    }
    hone_fail(error, HONE_BAD_INPUT, "E704", "`%.250s` is %lld x %lld pixels, its picture `%.250s` %lld "
              "x %lld", pair->other, (long long)mask_width, (long long)mask_height, pair->picture,
              (long long)width, (long long)height);
    hone_error_help(error, "a mask has a pixel for each of its picture's; or set `skip_bad = true`");
    return false;
}

static bool check_values(const Segments *segments, const char *path, const Picture *mask,
                         HoneError *error)
{
    int64_t n = mask->width * mask->height;
    for (int64_t i = 0; i < n && segments->classes > 0; i++) {
        int value = mask->rgb[i];
        if (value != NO_CLASS && value >= segments->classes) {
            hone_fail(error, HONE_BAD_INPUT, "E704",
                      "`%.300s` has the value %d at x = %lld, y = %lld; there are %lld classes", path,
                      value, (long long)(i % mask->width), (long long)(i / mask->width),
                      (long long)segments->classes);
            hone_error_help(error, "values are from 0 to %lld, and %d for pixels that do not count",
                            (long long)segments->classes - 1, NO_CLASS);
            return false;
        }
    }
    return true;
}

static bool read_mask(const Segments *segments, const Pair *pair, Workspace *work, Picture *mask,
                      HoneError *error)
{
    return mask_decode(work, pair->other, mask, error) &&
           check_values(segments, pair->other, mask, error);
}

static bool check_pair(HoneDataset *data, Workspace *work, const Pair *pair, bool *good,
                       HoneError *error)
{
    const Segments *segments = data->state;
    PictureHead head, mask;
    Picture picture, values;
    HoneError why = {0};
    *good = picture_check(data->sys, pair->picture, &head, &why) &&
            mask_check(data->sys, pair->other, &mask, &why);
    if (*good && head.width > 0 && mask.width > 0) {
        *good = same_size(pair, head.width, head.height, mask.width, mask.height, &why);
    }
    if (*good && pictures_tried(data)) {
        *good = picture_decode(work, pair->picture, &picture, &why) &&
                read_mask(segments, pair, work, &values, &why) &&
                same_size(pair, picture.width, picture.height, values.width, values.height, &why);
    }
    if (!*good) {
        return pictures_skip(data, pair->picture, &why, error);
    }
    pictures_need(data, &head, segments->size);
    pictures_need(data, &mask, 0);
    return true;
}

static bool check_pairs(HoneDataset *data, HoneError *error)
{
    Segments *segments = data->state;
    Pairs *pairs = &segments->pairs;
    Workspace work = {.sys = data->sys};
    size_t n = pairs->n, kept = 0, i = 0;
    bool ok = true;
    for (; ok && i < n; i++) {
        bool good = false;
        ok = check_pair(data, &work, &pairs->at[i], &good, error);
        Pair pair = pairs->at[i];
        pairs->at[i] = (Pair){0};
        if (good) {
            pairs->at[kept++] = pair;
        } else {
            pair_free(data->sys, &pair);
        }
    }
    workspace_free(&work);
    pairs->n = ok ? kept : n;
    if (ok && kept == 0) {
        return hone_fail(error, HONE_BAD_INPUT, "E704", "none of the %zu pictures can be used: %s", n,
                         data->skipped_first);
    }
    return ok;
}

static bool segments_open(HoneDataset *data, HoneError *error)
{
    if (!segments_fields(data->source, data->fields, &data->n_fields)) {
        return pictures_bad_size(data->source, error);
    }
    Segments *segments = hone_alloc(data->sys, sizeof *segments);
    data->state = segments;
    char *root = path_join(data->sys, data->root, source_string(data->source, "path", ""));
    if (segments == NULL || root == NULL) {
        hone_free(data->sys, root);
        return hone_fail_memory(error, "data", sizeof *segments);
    }
    segments->size = source_int(data->source, "size", 0);
    segments->classes = source_int(data->source, "classes", 0);
    bool ok = pairs_list(data->sys, root, "images", "masks", &segments->pairs, error) &&
              check_pairs(data, error);
    hone_free(data->sys, root);
    data->count = (int64_t)segments->pairs.n;
    data->bytes = segments->pairs.n * sizeof(Pair);
    return ok;
}

static void segments_close(HoneDataset *data)
{
    Segments *segments = data->state;
    if (segments != NULL) {
        pairs_free(data->sys, &segments->pairs);
        hone_free(data->sys, segments);
    }
}

/* --- samples ----------------------------------------------------------------------------------------- */
static bool segments_read(const HoneDataset *data, int64_t sample, const SampleMode *mode,
                          Workspace *work, void *const *fields, HoneError *error)
{
    const Segments *segments = data->state;
    const Pair *pair = &segments->pairs.at[sample];
    Crop crop;
    Picture mask;
    if (!picture_read(data->source, pair->picture, mode, sample, work, &crop, fields[0], error) ||
        !read_mask(segments, pair, work, &mask, error) ||
        !same_size(pair, crop.of_width, crop.of_height, mask.width, mask.height, error)) {
        return false;
    }
    resize_mask(&mask, &crop, segments->size, fields[1]);
    return true;
}

/* 255 is left out: what reads a mask names it (`skip = 255`). */
static bool segments_range(const HoneDataset *data, size_t field, int64_t *low, int64_t *high)
{
    const Segments *segments = data->state;
    *low = 0;
    *high = segments->classes - 1;
    return field == 1 && segments->classes > 0;
}

const Reader reader_segments = {
    .name = "segments",
    .arguments = arguments,
    .label = "mask",
    .crop = "center",
    .fields = segments_fields,
    .open = segments_open,
    .read = segments_read,
    .close = segments_close,
    .range = segments_range,
};
