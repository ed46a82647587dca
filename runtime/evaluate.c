/* evaluate: metrics over a data set. Every sample counts exactly once: whole batches run through the
 * batch entry, the rest one by one, all adding to the same running totals. */
#include "run.h"

static bool add_batch(Engine *engine, const HoneStage *stage, const HoneDataset *data,
                      const HoneBatch *batch, int64_t whole, const StepValues *values,
                      HoneError *error)
{
    const HoneProgram *program = engine->program;
    if (batch->size == whole) {
        engine_put_batch(engine, &program->entries[stage->eval], data, batch, 0);
        return engine_run(engine, stage->eval, values, error);
    }
    for (int64_t i = 0; i < batch->size; i++) {
        engine_put_batch(engine, &program->entries[stage->eval_one], data, batch, i);
        if (!engine_run(engine, stage->eval_one, values, error)) {
            return false;
        }
    }
    return true;
}

bool evaluate_stage(Engine *engine, const HoneStage *stage, HoneDataset *data, HoneLoader *loader,
                    const StepValues *values, bool *done, HoneError *error)
{
    *done = false;
    tensors_zero(engine, stage->n_totals, stage->totals);
    if (!hone_loader_start(loader, 0, 0, error)) {
        return false;
    }
    int64_t whole = engine->program->data[stage->data].batch;
    for (;;) {
        HoneBatch batch;
        if (!hone_loader_next(loader, &batch, error)) {
            return false;
        }
        if (batch.size == 0) {
            *done = true;
            return engine_run(engine, stage->metrics, values, error);
        }
        if (signals_pending() != 0) {
            return true;
        }
        if (!add_batch(engine, stage, data, &batch, whole, values, error)) {
            return false;
        }
    }
}

/* --- hone eval -------------------------------------------------------------------------------------- */
static bool evaluate_with(Engine *engine, const HoneRunOptions *options, HoneDataset *data,
                          HoneError *error)
{
    const HoneProgram *program = engine->program;
    const HoneStage *stage = &program->stages[program->n_stages - 1];
    HoneLoaderConfig config = {
        .batch = program->data[stage->data].batch,
        .workers = (int)program->workers,
        .depth = options->prefetch,
    };
    HoneLoader *loader = hone_loader_new(options->sys, data, &config, error);
    StepValues values = {.progress = 1};
    int64_t none[1] = {0};
    values.steps_of_stage = none;
    bool done;
    bool ok = loader != NULL && engine_check_fields(&program->entries[stage->eval], data, error) &&
              engine_check_fields(&program->entries[stage->eval_one], data, error) &&
              evaluate_stage(engine, stage, data, loader, &values, &done, error);
    hone_loader_free(loader);
    return ok;
}

bool hone_evaluate(const HoneProgram *program, const HoneRunOptions *options, const char *weights,
                   size_t *n, HoneMetric *metrics, size_t capacity, HoneError *error)
{
    const HoneStage *stage = &program->stages[program->n_stages - 1];
    const HoneData *split = &program->data[stage->data];
    const HoneSource *source = split->valid != NULL ? split->valid : split->test;
    *n = 0;
    if (stage->metrics == HONE_NONE || source == NULL) {
        hone_fail(error, HONE_USAGE, "E512", "recipe `%s` has no metric or no `valid` data",
                  program->name);
        hone_error_help(error, "add `metric name = …` to its step, and `valid = …` to its data");
        return false;
    }
    Engine engine;
    if (!engine_open(&engine, options->sys, program, options->threads, error)) {
        return false;
    }
    HoneDataset *data = hone_data_open(options->sys, source, options->root, error);
    tensors_initialise(&engine);
    bool ok = data != NULL && tensors_read(&engine, TENSORS_MODEL, weights, error) &&
              evaluate_with(&engine, options, data, error);
    const HoneEntry *entry = &program->entries[stage->metrics];
    for (uint32_t i = 0; ok && i < entry->n_outputs && *n < capacity; i++) {
        metrics[(*n)++] = (HoneMetric){
            .name = entry->outputs[i].name,
            .value = engine_output(&engine, entry, entry->outputs[i].name),
        };
    }
    hone_data_close(data);
    engine_close(&engine);
    return ok;
}
