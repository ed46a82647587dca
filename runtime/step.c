/* step: the memory and threads of a run, and one pass over an entry of the program. All memory is
 * mapped here, once; a pass allocates nothing. */
#include <math.h>
#include <string.h>

#include "run.h"

static bool map_arenas(Engine *engine, HoneError *error)
{
    const HoneProgram *program = engine->program;
    for (int i = 0; i < HONE_ARENAS; i++) {
        uint64_t bytes = program->arena_bytes[i] > 0 ? program->arena_bytes[i] : 64;
        engine->arenas[i] = hone_map(engine->sys, bytes);
        if (engine->arenas[i] == NULL) {
            return hone_fail_memory(error, "the planned arenas", bytes);
        }
        engine->planned += bytes;
    }
    if (program->arena_bytes[HONE_ARENA_CONSTANTS] > 0) {
        memcpy(engine->arenas[HONE_ARENA_CONSTANTS], program->constants,
               program->arena_bytes[HONE_ARENA_CONSTANTS]);
    }
    return true;
}

static bool resolve_calls(Engine *engine, HoneError *error)
{
    const HoneProgram *program = engine->program;
    size_t n = 0;
    for (uint32_t e = 0; e < program->n_entries; e++) {
        for (uint32_t k = 0; k < program->entries[e].n_calls; k++) {
            n += program->entries[e].calls[k].n_buffers;
        }
    }
    engine->pointers = hone_alloc(engine->sys, (n + 1) * sizeof *engine->pointers);
    engine->first = hone_alloc(engine->sys, (program->n_entries + 1) * sizeof *engine->first);
    if (engine->pointers == NULL || engine->first == NULL) {
        return hone_fail_memory(error, "the calls", n * sizeof *engine->pointers);
    }
    n = 0;
    for (uint32_t e = 0; e < program->n_entries; e++) {
        engine->first[e] = n;
        for (uint32_t k = 0; k < program->entries[e].n_calls; k++) {
            const HoneCall *call = &program->entries[e].calls[k];
            for (uint32_t b = 0; b < call->n_buffers; b++) {
                engine->pointers[n++] = engine_at(engine, call->buffers[b]);
            }
        }
    }
    return true;
}

bool engine_open(Engine *engine, HoneSys *sys, const HoneProgram *program, int threads,
                 HoneError *error)
{
    *engine = (Engine){.sys = sys, .program = program};
    int count = threads > 0 ? threads : hone_cpu_count();
    if (!map_arenas(engine, error) || !resolve_calls(engine, error)) {
        engine_close(engine);
        return false;
    }
    engine->pool = hone_pool_new(sys, count, program->scratch_bytes);
    if (engine->pool == NULL) {
        engine_close(engine);
        return hone_fail_memory(error, "the threads' scratch", program->scratch_bytes);
    }
    engine->planned += (uint64_t)count * program->scratch_bytes;
    return true;
}

void engine_close(Engine *engine)
{
    if (engine->pool != NULL) {
        hone_pool_free(engine->pool);
    }
    for (int i = 0; i < HONE_ARENAS; i++) {
        if (engine->arenas[i] != NULL) {
            uint64_t bytes = engine->program->arena_bytes[i];
            hone_unmap(engine->sys, engine->arenas[i], bytes > 0 ? bytes : 64);
        }
    }
    hone_free(engine->sys, engine->pointers);
    hone_free(engine->sys, engine->first);
    *engine = (Engine){0};
}

void *engine_at(const Engine *engine, HoneRef ref)
{
    return engine->arenas[ref.arena] + ref.offset;
}

/* --- a pass --------------------------------------------------------------------------------------- */
void engine_put_batch(Engine *engine, const HoneEntry *entry, const HoneDataset *data,
                      const HoneBatch *batch, int64_t at)
{
    const HoneField *fields;
    size_t n = hone_data_fields(data, &fields);
    for (uint32_t p = 0; p < entry->n_fields; p++) {
        const HonePort *port = &entry->fields[p];
        for (size_t f = 0; f < n; f++) {
            if (strcmp(fields[f].name, port->name) != 0) {
                continue;
            }
            uint64_t bytes = 0;
            (void)hone_size_of(fields[f].rank, fields[f].dims, hone_dtype_bytes(fields[f].dtype),
                               &bytes);
            const char *from = (const char *)batch->fields[f] + (uint64_t)at * bytes;
            hone_copy_strided(engine_at(engine, port->at), port->dtype, port->strides, from,
                              fields[f].dtype, NULL, port->rank, port->dims);
        }
    }
}

static double updates_of(const HonePort *port, const StepValues *values)
{
    int64_t t = values->stage_steps + 1;
    for (uint32_t s = 0; s < values->n_stages && s < 64; s++) {
        t += port->earlier >> s & 1 ? values->steps_of_stage[s] : 0;
    }
    return (double)t;
}

static void put_step_values(Engine *engine, const HoneEntry *entry, const StepValues *values)
{
    for (uint32_t i = 0; i < entry->n_steps; i++) {
        const HonePort *port = &entry->steps[i];
        void *to = engine_at(engine, port->at);
        double value = 0;
        switch (port->step) {
        case HONE_STEP_PROGRESS:
            value = values->progress;
            break;
        case HONE_STEP_EPOCH:
            value = values->epoch;
            break;
        case HONE_STEP_T:
            value = updates_of(port, values);
            break;
        case HONE_STEP_OPTION:
            value = port->value;
            break;
        case HONE_STEP_RANDOM:
            memcpy(to, (uint64_t[2]){engine->program->seed, values->updates}, 16);
            continue;
        case HONE_STEP_FAULT:
            memset(to, 0, 32);
            continue;
        }
        memcpy(to, &value, sizeof value);
    }
}

static bool check_fault(const Engine *engine, const HoneEntry *entry, HoneError *error)
{
    for (uint32_t i = 0; i < entry->n_steps; i++) {
        if (entry->steps[i].step != HONE_STEP_FAULT) {
            continue;
        }
        int64_t fault[4];
        memcpy(fault, engine_at(engine, entry->steps[i].at), sizeof fault);
        if (fault[0] == 0) {
            continue;
        }
        const HonePlace *place = &engine->program->places[fault[0] - 1];
        hone_fail(error, HONE_BAD_INPUT, "E709",
                  "%s:%u:%u: a subscript from data is %lld, outside 0 .. %lld", place->file,
                  place->line, place->column, (long long)fault[1], (long long)fault[2] - 1);
        hone_error_note(error, "in `%.200s`, element %lld", place->what, (long long)fault[3]);
        hone_error_help(error, "mend the data, or give the value outside with `??`");
        return false;
    }
    return true;
}

bool engine_run(Engine *engine, uint32_t index, const StepValues *values, HoneError *error)
{
    const HoneEntry *entry = &engine->program->entries[index];
    put_step_values(engine, entry, values);
    void *const *pointers = engine->pointers + engine->first[index];
    for (uint32_t k = 0; k < entry->n_calls; k++) {
        const HoneCall *call = &entry->calls[k];
        hone_pool_run(engine->pool, call->fn, pointers, call->chunks);
        pointers += call->n_buffers;
    }
    return check_fault(engine, entry, error);
}

double engine_output(const Engine *engine, const HoneEntry *entry, const char *name)
{
    for (uint32_t i = 0; i < entry->n_outputs; i++) {
        const HonePort *port = &entry->outputs[i];
        if (strcmp(port->name, name) == 0 && port->rank == 0) {
            double value = 0;
            hone_convert(&value, HONE_F64, 1, engine_at(engine, port->at), port->dtype, 1, 1);
            return value;
        }
    }
    return NAN;
}
