/* pictures: what the sources of pictures have in common: which of them are usable, what decoding takes,
 * and one as a sample shows it. */
#include <stdio.h>
#include <string.h>

#include "data/data.h"

const char *const picture_crops[] = {"center", "random", "none", NULL};

bool pictures_bad_size(const HoneSource *source, HoneError *error)
{
    return hone_fail(error, HONE_USAGE, "E704", "%s: `size` must be between 1 and %d, and is %lld",
                     source->reader, PICTURE_SIZE, (long long)source_int(source, "size", 0));
}

/* --- which are usable -------------------------------------------------------------------------------- */
bool pictures_tried(const HoneDataset *data)
{
    return data->source->skip_bad && !data->source->headers_only;
}

bool pictures_skip(HoneDataset *data, const char *path, const HoneError *why, HoneError *error)
{
    if (!data->source->skip_bad || why->exit != HONE_BAD_INPUT) {
        *error = *why;
        return false;
    }
    size_t n = strlen(data->skipped_first);
    if (data->skipped < 3) {
        snprintf(data->skipped_first + n, sizeof data->skipped_first - n, "%s`%.120s`",
                 n > 0 ? ", " : "", path);
    }
    data->skipped++;
    return true;
}

static void grow(size_t *most, size_t bytes)
{
    *most = bytes > *most ? bytes : *most;
}

/* A picture is resized row by row first: at most all its rows, as long as the sample's. */
void pictures_need(HoneDataset *data, const PictureHead *head, int64_t size)
{
    grow(&data->need.file, (size_t)head->bytes);
    grow(&data->need.pixels, head->pixels);
    grow(&data->need.rows, (size_t)(3 * size * head->height));
    grow(&data->need.inner, head->inner);
}

/* --- samples ----------------------------------------------------------------------------------------- */
static Crop choose_crop(const HoneSource *source, const Picture *picture, int64_t size,
                        const SampleMode *mode, int64_t sample)
{
    const char *crop = source_string(source, "crop", reader_find(source->reader)->crop);
    if (strcmp(crop, "none") == 0) {
        return crop_whole(picture->width, picture->height, size);
    }
    if (strcmp(crop, "random") == 0 && mode->augment) {
        return crop_random(picture->width, picture->height, size,
                           source_float(source, "scale", 0.35), source_bool(source, "flip", false),
                           mode, sample);
    }
    Crop whole = crop_center(picture->width, picture->height, size);
    if (mode->augment && source_bool(source, "flip", false)) {
        whole.flip = crop_random(picture->width, picture->height, size, 1, true, mode, sample).flip;
    }
    return whole;
}

bool picture_read(const HoneSource *source, const char *path, const SampleMode *mode,
                  int64_t sample, Workspace *work, Crop *crop, float *to, HoneError *error)
{
    Picture picture;
    if (!picture_decode(work, path, &picture, error)) {
        return false;
    }
    int64_t size = source_int(source, "size", 0);
    *crop = choose_crop(source, &picture, size, mode, sample);
    crop->of_width = picture.width;
    crop->of_height = picture.height;
    return resize_picture(work, &picture, crop, size, to, error);
}

bool hone_reader_pictures(const char *reader)
{
    const Reader *found = reader_find(reader);
    return found != NULL && found->crop != NULL;
}

bool hone_image_decode(HoneSys *sys, const HoneSource *source, const char *path, float *to,
                       HoneError *error)
{
    Workspace work = {.sys = sys};
    SampleMode mode = {0};
    Crop crop;
    bool ok = picture_read(source, path, &mode, 0, &work, &crop, to, error);
    workspace_free(&work);
    return ok;
}
