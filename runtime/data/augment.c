/* augment: which part of a picture a sample shows. Draws are pure functions of (seed, epoch,
 * sample), so that threads, prefetch depth and resume cannot change them. */
#include <math.h>

#include "data/data.h"

enum { DRAWS = 64, TRIES = 10 };      /* random numbers kept for one sample; tries of a crop */

Crop crop_whole(int64_t width, int64_t height, int64_t size)
{
    return (Crop){.width = width, .height = height, .to_width = size, .to_height = size};
}

/* The shorter side becomes size * 8/7, the other in proportion (rounded down); then the middle. */
Crop crop_center(int64_t width, int64_t height, int64_t size)
{
    int64_t shorter = size * 8 / 7;
    Crop crop = crop_whole(width, height, size);
    crop.to_width = width <= height ? shorter : shorter * width / height;
    crop.to_height = width <= height ? shorter * height / width : shorter;
    crop.left = (int64_t)nearbyint((double)(crop.to_width - size) / 2);
    crop.top = (int64_t)nearbyint((double)(crop.to_height - size) / 2);
    return crop;
}

typedef struct Draws {
    uint64_t seed, key, epoch, element;
} Draws;

static double draw(Draws *draws, double low, double high)
{
    float u = hone_random_uniform(draws->seed, draws->key, draws->epoch, draws->element++);
    return low + (high - low) * (double)u;
}

/* Area from `scale` to 1 of the picture's, aspect from 3/4 to 4/3 (evenly in its logarithm), at any
 * place; when ten draws do not fit, the largest middle part of a legal aspect. */
static void draw_box(Draws *draws, int64_t width, int64_t height, double scale, Crop *crop)
{
    const double least = 3.0 / 4, most = 4.0 / 3;
    for (int i = 0; i < TRIES; i++) {
        double area = (double)width * (double)height * draw(draws, scale, 1);
        double aspect = exp(draw(draws, log(least), log(most)));
        double place_x = draw(draws, 0, 1), place_y = draw(draws, 0, 1);
        int64_t w = (int64_t)nearbyint(sqrt(area * aspect));
        int64_t h = (int64_t)nearbyint(sqrt(area / aspect));
        if (w > 0 && h > 0 && w <= width && h <= height) {
            crop->width = w;
            crop->height = h;
            crop->x = (int64_t)(place_x * (double)(width - w + 1));
            crop->y = (int64_t)(place_y * (double)(height - h + 1));
            return;
        }
    }
    double aspect = (double)width / (double)height;
    if (aspect < least) {
        crop->height = (int64_t)nearbyint((double)width / least);
    } else if (aspect > most) {
        crop->width = (int64_t)nearbyint((double)height * most);
    }
    crop->x = (width - crop->width) / 2;
    crop->y = (height - crop->height) / 2;
}

Crop crop_random(int64_t width, int64_t height, int64_t size, double scale, bool flip,
                 const SampleMode *mode, int64_t sample)
{
    Draws draws = {
        .seed = mode->seed,
        .key = hone_hash("data:augment"),
        .epoch = mode->epoch,
        .element = (uint64_t)sample * DRAWS,
    };
    Crop crop = crop_whole(width, height, size);
    crop.flip = flip && draw(&draws, 0, 1) < 0.5;
    if (scale < 1) {
        draw_box(&draws, width, height, scale, &crop);
    }
    return crop;
}
