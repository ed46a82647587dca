/* predict: one picture through the predict entry (batch 1). */
#include <string.h>

#include "run.h"

struct HonePredictor {
    Engine engine;
    const HoneProgram *program;
    float *values;
};

static int64_t elements(const HonePort *port)
{
    int64_t n = 1;
    for (uint32_t d = 0; d < port->rank; d++) {
        n *= port->dims[d];
    }
    return n;
}

HonePredictor *hone_predictor_new(const HoneProgram *program, const HoneRunOptions *options,
                                  const char *weights, HoneError *error)
{
    if (program->predict == HONE_NONE) {
        hone_fail(error, HONE_USAGE, "E515", "recipe `%s` has no `predict` line", program->name);
        return NULL;
    }
    const HoneEntry *entry = &program->entries[program->predict];
    HonePredictor *predictor = hone_alloc(options->sys, sizeof *predictor);
    if (predictor == NULL) {
        hone_fail_memory(error, "prediction", sizeof *predictor);
        return NULL;
    }
    predictor->program = program;
    if (!engine_open(&predictor->engine, options->sys, program, options->threads, error)) {
        hone_free(options->sys, predictor);
        return NULL;
    }
    predictor->values =
        hone_alloc(options->sys, (size_t)elements(&entry->outputs[0]) * sizeof(float));
    tensors_initialise(&predictor->engine);
    if (predictor->values == NULL) {
        hone_fail_memory(error, "prediction", 0);
    }
    if (predictor->values == NULL ||
        !tensors_read(&predictor->engine, TENSORS_MODEL, weights, error)) {
        hone_predictor_free(predictor);
        return NULL;
    }
    return predictor;
}

void hone_predictor_free(HonePredictor *predictor)
{
    if (predictor == NULL) {
        return;
    }
    HoneSys *sys = predictor->engine.sys;
    engine_close(&predictor->engine);
    hone_free(sys, predictor->values);
    hone_free(sys, predictor);
}

static const HonePort *image_port(const HoneEntry *entry)
{
    for (uint32_t i = 0; i < entry->n_fields; i++) {
        if (strcmp(entry->fields[i].name, "image") == 0) {
            return &entry->fields[i];
        }
    }
    return NULL;
}

bool hone_predict(HonePredictor *predictor, const char *picture, const HonePort **output,
                  const float **values, HoneError *error)
{
    const HoneProgram *program = predictor->program;
    Engine *engine = &predictor->engine;
    const HoneEntry *entry = &program->entries[program->predict];
    const HonePort *port = image_port(entry);
    const HoneData *data = &program->data[program->predict_data];
    const HoneSource *source = data->valid != NULL ? data->valid : data->train;
    if (!hone_reader_pictures(source->reader)) {
        return hone_fail(error, HONE_USAGE, "E515",
                         "recipe `%s` does not predict from pictures (its data is `%s`)",
                         program->name, source->reader);
    }
    if (port == NULL) {
        return hone_fail(error, HONE_USAGE, "E515",
                         "what recipe `%s` predicts does not depend on `image`", program->name);
    }
    float *pixels = hone_alloc(engine->sys, (size_t)elements(port) * sizeof *pixels);
    if (pixels == NULL) {
        return hone_fail_memory(error, "a picture", (uint64_t)elements(port) * sizeof *pixels);
    }
    bool ok = hone_image_decode(engine->sys, source, picture, pixels, error);
    if (ok) {
        hone_copy_strided(engine_at(engine, port->at), port->dtype, port->strides, pixels, HONE_F32,
                          NULL, port->rank, port->dims);
        StepValues step = {.progress = 1, .steps_of_stage = (int64_t[1]){0}};
        ok = engine_run(engine, program->predict, &step, error);
    }
    hone_free(engine->sys, pixels);
    const HonePort *result = &entry->outputs[0];
    hone_copy_strided(predictor->values, HONE_F32, NULL, engine_at(engine, result->at),
                      result->dtype, result->strides, result->rank, result->dims);
    *output = result;
    *values = predictor->values;
    return ok;
}
