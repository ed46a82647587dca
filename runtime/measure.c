/* measure: passes over one entry on made-up values, for benchmarks: no data, no weights. Parameters
 * start as their initialisers say; batch fields are drawn once. */
#include <string.h>

#include "run.h"

static const uint64_t measure_key = 0x6d65617375726500u;

static bool is_whole(HoneDType dtype)
{
    return !hone_dtype_is_float(dtype) && dtype != HONE_BOOL;
}

/* Floats are normal; whole numbers below `below`, of one byte below 256. */
static double draw(const HonePort *port, uint64_t seed, uint64_t element, int64_t below)
{
    uint64_t key = measure_key ^ hone_hash(port->name);
    if (hone_dtype_is_float(port->dtype))
        return hone_random_normal(seed, key, 0, element);
    if (!is_whole(port->dtype) && below > 2)
        below = 2;
    return below > 1 ? (double)hone_random_below(seed, key, 0, element, (uint64_t)below) : 0;
}

static void fill_field(Engine *engine, const HonePort *port, int64_t below)
{
    char *to = engine_at(engine, port->at);
    int64_t size = (int64_t)hone_dtype_bytes(port->dtype);
    uint64_t seed = engine->program->seed;
    for (HoneRows rows = hone_rows(port->rank, port->dims, port->strides, NULL); rows.valid;
         hone_rows_next(&rows))
        for (int64_t i = 0; i < rows.n; i++)
            hone_store(to + (rows.a + i * rows.a_step) * size, port->dtype,
                       draw(port, seed, (uint64_t)(rows.b + i * rows.b_step), below));
}

/* Running totals and the like stay as they are from pass to pass; the clock stands at the start. */
static bool passes(Engine *engine, HoneMeasure *measure, HoneTimes *times, HoneError *error)
{
    int64_t steps_of_stage[HONE_MAX_STAGES] = {0};
    for (int64_t i = 0; i < measure->warm + measure->passes; i++) {
        StepValues values = {.updates = (uint64_t)i, .stage_steps = i,
                             .steps_of_stage = steps_of_stage};
        engine->times = i < measure->warm ? NULL : times;
        double start = clock_seconds();
        if (!engine_run(engine, measure->entry, &values, error))
            return false;
        if (i >= measure->warm)
            measure->seconds[i - measure->warm] = clock_seconds() - start;
    }
    return true;
}

/* What a file would fill starts from the initialiser too. */
static void initialise_all(Engine *engine, HoneProgram *without, HoneTensor *tensors)
{
    memcpy(tensors, without->tensors, without->n_tensors * sizeof *tensors);
    for (uint32_t t = 0; t < without->n_tensors; t++)
        tensors[t].load = HONE_NONE;
    without->tensors = tensors;
    const HoneProgram *program = engine->program;
    engine->program = without;
    tensors_initialise(engine);
    tensors_copy_initial(engine);
    engine->program = program;
}

bool hone_measure(const HoneProgram *program, const HoneRunOptions *options, HoneMeasure *measure,
                  HoneError *error)
{
    Engine engine;
    HoneProgram without = *program;
    HoneTensor *tensors = hone_alloc(options->sys, (program->n_tensors + 1) * sizeof *tensors);
    if (!tensors)
        return hone_fail_memory(error, "the tensors", program->n_tensors * sizeof *tensors);
    memory_reset_peak(options->sys);
    measure->base_rss = memory_present(options->sys);
    bool ok = engine_open(&engine, options->sys, program, options->threads, error);
    if (ok) {
        const HoneEntry *entry = &program->entries[measure->entry];
        measure->planned_bytes = engine.planned;
        initialise_all(&engine, &without, tensors);
        for (uint32_t f = 0; f < entry->n_fields; f++)
            fill_field(&engine, &entry->fields[f], measure->below[f]);
        ok = passes(&engine, measure, options->times, error);
        measure->peak_rss = memory_peak();
        engine_close(&engine);
    }
    hone_free(options->sys, tensors);
    return ok;
}
