/* feed: a split of the data as a run reads it: opened, with its loader; and the splits of a stage. */
#include "run.h"

bool feed_open(Feed *to, const HoneProgram *program, const HoneRunOptions *options, uint32_t data,
               const HoneSource *source, int64_t parts, HoneError *error)
{
    HoneLoaderConfig config = hone_loader_config(&program->data[data], parts);
    config.seed = program->seed;
    config.workers = (int)program->workers;
    config.depth = options->prefetch;
    *to = (Feed){.data = hone_data_open(options->sys, source, options->root, error)};
    if (to->data == NULL) {
        return false;
    }
    HoneLoading loading = hone_data_loading(to->data, config.n_lengths, config.lengths);
    to->bytes = hone_loading_bytes(&loading, &config);
    to->loader = hone_loader_new(options->sys, to->data, &config, error);
    return to->loader != NULL;
}

void feed_close(Feed *feed)
{
    hone_loader_free(feed->loader);
    hone_data_close(feed->data);
    *feed = (Feed){0};
}

void stage_feed_close(StageFeed *feed)
{
    feed_close(&feed->train);
    feed_close(&feed->valid);
}

static bool open_splits(StageFeed *feed, const HoneProgram *program, const HoneRunOptions *options,
                        HoneError *error)
{
    const HoneData *data = &program->data[feed->data];
    if (!feed_open(&feed->train, program, options, feed->data, data->train, feed->parts, error)) {
        return false;
    }
    if (hone_loader_batches(feed->train.loader) == 0) {
        HoneLoading loading = hone_data_loading(feed->train.data, data->n_lengths, data->lengths);
        return hone_fail(error, HONE_BAD_INPUT, "E705",
                         "data `%s` has %lld training samples%s, fewer than one batch of %lld",
                         data->name, (long long)hone_loading_most(&loading),
                         data->n_lengths > 1 ? " of one length" : "",
                         (long long)(data->batch * feed->parts));
    }
    return data->valid == NULL ||
           feed_open(&feed->valid, program, options, feed->data, data->valid, 0, error);
}

bool stage_feed_open(StageFeed *feed, const HoneProgram *program, const HoneRunOptions *options,
                     const HoneStage *stage, HoneError *error)
{
    if (feed->train.data == NULL || feed->data != stage->data || feed->parts != stage->accumulate) {
        stage_feed_close(feed);
        feed->data = stage->data;
        feed->parts = stage->accumulate;
        if (!open_splits(feed, program, options, error)) {
            return false;
        }
    }
    const HoneEntry *entries = program->entries;
    const HoneDataset *train = feed->train.data, *valid = feed->valid.data;
    return (stage->count == HONE_NONE || engine_check_fields(&entries[stage->count], train, error)) &&
           engine_check_fields(&entries[stage->train], train, error) &&
           (valid == NULL || stage->eval == HONE_NONE ||
            (engine_check_fields(&entries[stage->eval], valid, error) &&
             engine_check_fields(&entries[stage->eval_one], valid, error)));
}

int64_t stage_feed_skipped(const StageFeed *feed)
{
    return hone_data_skipped(feed->train.data) +
           (feed->valid.data == NULL ? 0 : hone_data_skipped(feed->valid.data));
}
