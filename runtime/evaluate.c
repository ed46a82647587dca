/* evaluate: metrics over a data set. Every sample counts exactly once: whole batches run through the
 * batch entry, the rest one by one, all adding to the same running totals. */
#include "run.h"

static bool add_batch(Engine *engine, const Evaluated *from, const HoneBatch *batch,
                      const StepValues *values, HoneError *error)
{
    const HoneEntry *entries = engine->program->entries;
    bool shorter = batch->length < from->n_shorter;
    uint32_t eval = shorter ? from->shorter[batch->length].eval : from->eval;
    uint32_t one = shorter ? from->shorter[batch->length].eval_one : from->eval_one;
    if (batch->size == from->batch) {
        engine_put_batch(engine, &entries[eval], from->feed.data, batch, 0);
        return engine_run(engine, eval, values, error);
    }
    for (int64_t i = 0; i < batch->size; i++) {
        engine_put_batch(engine, &entries[one], from->feed.data, batch, i);
        if (!engine_run(engine, one, values, error)) {
            return false;
        }
    }
    return true;
}

static bool add_all(Engine *engine, const Evaluated *from, const StepValues *values, bool *done,
                    HoneError *error)
{
    *done = false;
    if (!hone_loader_start(from->feed.loader, 0, 0, error)) {
        return false;
    }
    for (;;) {
        HoneBatch batch;
        if (!hone_loader_next(from->feed.loader, &batch, error)) {
            return false;
        }
        if (batch.size == 0) {
            *done = true;
            return true;
        }
        if (signals_pending() != 0) {
            return true;
        }
        if (!add_batch(engine, from, &batch, values, error)) {
            return false;
        }
    }
}

bool evaluate_stage(Engine *engine, const HoneStage *stage, uint32_t entry, const Evaluated *own,
                    const Remembered *remembered, const StepValues *values, bool *done,
                    HoneError *error)
{
    tensors_zero(engine, stage->n_totals, stage->totals);
    *done = true;
    if (own != NULL && !add_all(engine, own, values, done, error)) {
        return false;
    }
    for (uint32_t i = 0; *done && i < remembered->n; i++) {
        if (!add_all(engine, &remembered->of[i], values, done, error)) {
            return false;
        }
    }
    return !*done || engine_run(engine, entry, values, error);
}

/* --- other data than the stage's -------------------------------------------------------------------- */
static bool open_one(Evaluated *to, const HoneProgram *program, const HoneRemember *remember,
                     const HoneRunOptions *options, HoneError *error)
{
    const HoneData *data = &program->data[remember->data];
    *to = (Evaluated){.eval = remember->eval, .eval_one = remember->eval_one, .batch = data->batch,
                      .n_shorter = remember->n_shorter, .shorter = remember->shorter};
    return feed_open(&to->feed, program, options, remember->data, data->valid, 0, error) &&
           engine_check_fields(&program->entries[to->eval], to->feed.data, error) &&
           engine_check_fields(&program->entries[to->eval_one], to->feed.data, error);
}

bool remembered_open(Remembered *to, const HoneProgram *program, const HoneRunOptions *options,
                     HoneError *error)
{
    *to = (Remembered){.of = hone_alloc(options->sys, (program->n_remembers + 1) * sizeof *to->of)};
    if (to->of == NULL) {
        return hone_fail_memory(error, "remembered data", sizeof *to->of);
    }
    for (; to->n < program->n_remembers; to->n++) {
        Evaluated *one = &to->of[to->n];
        if (!open_one(one, program, &program->remembers[to->n], options, error)) {
            to->n++;
            return false;
        }
    }
    return true;
}

void remembered_close(Remembered *remembered, HoneSys *sys)
{
    for (uint32_t i = 0; i < remembered->n; i++) {
        feed_close(&remembered->of[i].feed);
    }
    hone_free(sys, remembered->of);
    *remembered = (Remembered){0};
}

uint64_t remembered_bytes(const Remembered *remembered)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < remembered->n; i++) {
        bytes += remembered->of[i].feed.bytes;
    }
    return bytes;
}

/* --- hone eval -------------------------------------------------------------------------------------- */
/* source NULL: the stage has no data of its own. */
static bool evaluate_with(Engine *engine, const HoneRunOptions *options, const HoneSource *source,
                          HoneError *error)
{
    const HoneProgram *program = engine->program;
    const HoneStage *stage = &program->stages[program->n_stages - 1];
    Evaluated own = {.eval = stage->eval, .eval_one = stage->eval_one,
                     .batch = program->data[stage->data].batch, .n_shorter = stage->n_shorter,
                     .shorter = stage->shorter};
    Remembered remembered = {0};
    int64_t none[1] = {0};
    StepValues values = {.progress = 1, .steps_of_stage = none};
    bool done;
    bool ok = source == NULL ||
              (feed_open(&own.feed, program, options, stage->data, source, 0, error) &&
               engine_check_fields(&program->entries[stage->eval], own.feed.data, error) &&
               engine_check_fields(&program->entries[stage->eval_one], own.feed.data, error));
    ok = ok && remembered_open(&remembered, program, options, error) &&
         evaluate_stage(engine, stage, stage->metrics, source == NULL ? NULL : &own, &remembered,
                        &values, &done, error);
    remembered_close(&remembered, options->sys);
    feed_close(&own.feed);
    return ok;
}

bool hone_evaluate(const HoneProgram *program, const HoneRunOptions *options, const char *weights,
                   size_t *n, HoneMetric *metrics, size_t capacity, HoneError *error)
{
    const HoneStage *stage = &program->stages[program->n_stages - 1];
    const HoneData *split = &program->data[stage->data];
    const HoneSource *source = split->valid != NULL ? split->valid : split->test;
    *n = 0;
    if (stage->metrics == HONE_NONE || (source == NULL && stage->eval != HONE_NONE)) {
        hone_fail(error, HONE_USAGE, "E512", "recipe `%s` has no metric or no `valid` data",
                  program->name);
        hone_error_help(error, "add `metric name = …` to its step, and `valid = …` to its data");
        return false;
    }
    Engine engine;
    if (!engine_open(&engine, options->sys, program, options->threads, error)) {
        return false;
    }
    tensors_initialise(&engine);
    bool ok = tensors_read(&engine, TENSORS_MODEL, weights, error) &&
              evaluate_with(&engine, options, stage->eval != HONE_NONE ? source : NULL, error);
    const HoneEntry *entry = &program->entries[stage->metrics];
    for (uint32_t i = 0; ok && i < entry->n_outputs - program->n_changes && *n < capacity; i++) {
        metrics[(*n)++] = (HoneMetric){
            .name = entry->outputs[i].name,
            .value = engine_output(&engine, entry, entry->outputs[i].name),
        };
    }
    engine_close(&engine);
    return ok;
}
