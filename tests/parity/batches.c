/* parity_batches: writes the batches that a run would read to stdout, for mobilenet.py.
 *
 *   parity_batches FOLDER SEED EPOCHS BATCH train|valid
 *
 * Per batch: i64 size, f32 images [size, 3, 224, 224], i32 labels [size]. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hone/hone.h"

static int fail(const HoneError *error)
{
    fprintf(stderr, "parity_batches: %s\n", error->message);
    return (int)error->exit;
}

int main(int argc, char **argv)
{
    if (argc != 6) {
        fprintf(stderr, "usage: parity_batches FOLDER SEED EPOCHS BATCH train|valid\n");
        return HONE_USAGE;
    }
    bool training = strcmp(argv[5], "train") == 0;
    HoneOption options[] = {
        {.name = "path", .kind = HONE_OPT_STRING, .s = argv[1]},
        {.name = "size", .kind = HONE_OPT_INT, .i = 224},
        {.name = "crop", .kind = HONE_OPT_STRING, .s = training ? "random" : "center"},
        {.name = "flip", .kind = HONE_OPT_BOOL, .i = training},
    };
    HoneSource source = {.reader = "images", .n_options = 4, .options = options};
    HoneSys sys = {0};
    HoneError error = {0};
    HoneDataset *data = hone_data_open(&sys, &source, ".", &error);
    if (data == NULL) {
        return fail(&error);
    }
    HoneLoaderConfig config = {
        .batch = strtoll(argv[4], NULL, 10),
        .shuffle = training,
        .augment = training,
        .drop_last = training,
        .seed = strtoull(argv[2], NULL, 10),
        .workers = -1,
        .depth = -1,
    };
    HoneLoader *loader = hone_loader_new(&sys, data, &config, &error);
    if (loader == NULL) {
        return fail(&error);
    }
    int64_t epochs = strtoll(argv[3], NULL, 10);
    for (int64_t epoch = 0; epoch < epochs; epoch++) {
        if (!hone_loader_start(loader, epoch, 0, &error)) {
            return fail(&error);
        }
        for (;;) {
            HoneBatch batch;
            if (!hone_loader_next(loader, &batch, &error)) {
                return fail(&error);
            }
            if (batch.size == 0) {
                break;
            }
            fwrite(&batch.size, sizeof batch.size, 1, stdout);
            fwrite(batch.fields[0], 4, (size_t)batch.size * 3 * 224 * 224, stdout);
            fwrite(batch.fields[1], 4, (size_t)batch.size, stdout);
        }
    }
    hone_loader_free(loader);
    hone_data_close(data);
    return 0;
}
