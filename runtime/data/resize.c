/* resize: antialiased bilinear as Pillow's Image.resize(…, BILINEAR) on 8-bit channels, to within one
 * step (exact ties may round the other way): a triangle filter as wide as the scale, weights in fixed
 * point of 22 bits, rounded to bytes after the horizontal and after the vertical pass. Only the window
 * that is kept is computed. Masks are not averaged: they keep the value of the nearest pixel. */
#include <math.h>
#include <string.h>

#include "data/data.h"

enum { PRECISION = 22 };

typedef struct Taps {                 /* of one axis: for each output position */
    int32_t *first, *count;           /* source range */
    int32_t *weights;                 /* [size][most] */
    int64_t most;
} Taps;

static double triangle(double x)
{
    x = fabs(x);
    return x < 1 ? 1 - x : 0;
}

static int64_t taps_most(int64_t from, int64_t to)
{
    double scale = (double)from / (double)to;
    return (int64_t)ceil(scale < 1 ? 1 : scale) * 2 + 1;
}

/* Weights of output positions start … start + size - 1 when `from` pixels become `to`. */
static void taps_fill(Taps *taps, int64_t from, int64_t to, int64_t start, int64_t size)
{
    double scale = (double)from / (double)to;
    double width = scale < 1 ? 1 : scale, inverse = 1 / width;
    for (int64_t i = 0; i < size; i++) {
        double center = ((double)(start + i) + 0.5) * scale;
        int64_t low = (int64_t)(center - width + 0.5);
        int64_t high = (int64_t)(center + width + 0.5);
        low = low < 0 ? 0 : low;
        high = high > from ? from : high;
        double sum = 0;
        for (int64_t x = low; x < high; x++) {
            sum += triangle(((double)x - center + 0.5) * inverse);
        }
        int32_t *weights = taps->weights + i * taps->most;
        for (int64_t x = low; x < high; x++) {
            double w = triangle(((double)x - center + 0.5) * inverse) / sum;
            weights[x - low] = (int32_t)(0.5 + w * (1 << PRECISION));
        }
        taps->first[i] = (int32_t)low;
        taps->count[i] = (int32_t)(high - low);
    }
}

/* Two axes in one block. */
static bool taps_make(Workspace *work, const Crop *crop, int64_t size, Taps *across, Taps *down,
                      HoneError *error)
{
    across->most = taps_most(crop->width, crop->to_width);
    down->most = taps_most(crop->height, crop->to_height);
    size_t ints = (size_t)size * (size_t)(across->most + down->most + 4);
    int32_t *at = workspace_get(work, &work->weights, ints * sizeof *at);
    if (at == NULL) {
        return hone_fail_memory(error, "data", ints * sizeof *at);
    }
    across->first = at;
    across->count = across->first + size;
    down->first = across->count + size;
    down->count = down->first + size;
    across->weights = down->count + size;
    down->weights = across->weights + size * across->most;
    taps_fill(across, crop->width, crop->to_width, crop->left, size);
    taps_fill(down, crop->height, crop->to_height, crop->top, size);
    return true;
}

static uint8_t to_byte(int32_t sum)
{
    int32_t value = sum >> PRECISION;
    return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

static void row_across(const uint8_t *from, const Taps *taps, int64_t size, uint8_t *to)
{
    for (int64_t i = 0; i < size; i++) {
        const uint8_t *pixel = from + 3 * (int64_t)taps->first[i];
        const int32_t *weights = taps->weights + i * taps->most;
        int32_t r = 1 << (PRECISION - 1), g = r, b = r;
        for (int32_t k = 0; k < taps->count[i]; k++) {
            r += pixel[3 * k] * weights[k];
            g += pixel[3 * k + 1] * weights[k];
            b += pixel[3 * k + 2] * weights[k];
        }
        to[3 * i] = to_byte(r);
        to[3 * i + 1] = to_byte(g);
        to[3 * i + 2] = to_byte(b);
    }
}

bool resize_picture(Workspace *work, const Picture *picture, const Crop *crop, int64_t size,
                    float *to, HoneError *error)
{
    Taps across, down;
    if (!taps_make(work, crop, size, &across, &down, error)) {
        return false;
    }
    int64_t first = down.first[0];
    int64_t rows = down.first[size - 1] + down.count[size - 1] - first;
    size_t row = (size_t)size * 3;
    size_t bytes = (size_t)rows * row;
    uint8_t *middle = workspace_get(work, &work->rows, bytes);
    if (middle == NULL) {
        return hone_fail_memory(error, "data", bytes);
    }
    for (int64_t y = 0; y < rows; y++) {
        const uint8_t *from =
            picture->rgb + 3 * ((crop->y + first + y) * picture->width + crop->x);
        row_across(from, &across, size, middle + (size_t)y * row);
    }
    for (int64_t y = 0; y < size; y++) {
        const int32_t *weights = down.weights + y * down.most;
        const uint8_t *column = middle + (size_t)(down.first[y] - first) * row;
        for (int64_t x = 0; x < size; x++) {
            int64_t at = crop->flip ? size - 1 - x : x;
            for (int64_t c = 0; c < 3; c++) {
                int32_t sum = 1 << (PRECISION - 1);
                for (int32_t k = 0; k < down.count[y]; k++) {
                    sum += column[(size_t)k * row + (size_t)(3 * at + c)] * weights[k];
                }
                to[(c * size + y) * size + x] = (float)to_byte(sum) / 255.0f;
            }
        }
    }
    return true;
}

/* The source position whose pixel holds the middle of output position i of `to`. */
static int64_t nearest(int64_t i, int64_t from, int64_t to)
{
    int64_t at = (2 * i + 1) * from / (2 * to);
    return at < from ? at : from - 1;
}

void resize_mask(const Picture *mask, const Crop *crop, int64_t size, int32_t *to)
{
    for (int64_t y = 0; y < size; y++) {
        int64_t from_y = crop->y + nearest(crop->top + y, crop->height, crop->to_height);
        const uint8_t *row = mask->rgb + from_y * mask->width + crop->x;
        for (int64_t x = 0; x < size; x++) {
            int64_t at = crop->left + (crop->flip ? size - 1 - x : x);
            to[y * size + x] = row[nearest(at, crop->width, crop->to_width)];
        }
    }
}
