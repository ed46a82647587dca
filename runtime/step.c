/* step: the memory and threads of a run, and one pass over an entry of the program. All memory is
 * mapped here, once; a pass allocates nothing. */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "run.h"

/* --- memory ----------------------------------------------------------------------------------------- */
static const size_t touched = (size_t)1 << 21;   /* bytes that one chunk makes present */

static void touch_chunk(void *const *buffers, void *scratch, int64_t chunk)
{
    (void)scratch;
    enum { PAGE = 4096 };
    const uint64_t *bytes = buffers[1];
    size_t start = (size_t)chunk * touched, left = *bytes - start;
    for (size_t i = 0; i < left && i < touched; i += PAGE)
        ((volatile char *)buffers[0])[start + i] = 0;
}

static bool check_memory(Engine *engine, HoneError *error)
{
    uint64_t available = memory_available(engine->sys);
    if (available == 0 || engine->planned <= available)
        return true;
    hone_fail(error, HONE_NO_MEMORY, "E706", "the run needs %.0f MiB of memory, %.0f MiB are "
                                             "available", (double)engine->planned / 1048576,
              (double)available / 1048576);
    hone_error_help(error, "a smaller `batch` needs less, and so does a run with the knob `memory`");
    return false;
}

/* Every page is made present here: memory that is missing must be missed before the first step. */
static bool map_arenas(Engine *engine, HoneError *error)
{
    const HoneProgram *program = engine->program;
    for (int i = 0; i < HONE_ARENAS; i++) {
        uint64_t bytes = program->arena_bytes[i] > 0 ? program->arena_bytes[i] : 64;
        engine->arenas[i] = hone_map(engine->sys, bytes);
        if (engine->arenas[i] == NULL) {
            return hone_fail_memory(error, "the planned arenas", bytes);
        }
        void *const buffers[] = {engine->arenas[i], &bytes};
        hone_pool_run(engine->pool, touch_chunk, buffers, (int64_t)((bytes + touched - 1) / touched));
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

static bool plan_memory(Engine *engine, int threads)
{
    const HoneProgram *program = engine->program;
    bool fits = !__builtin_mul_overflow(program->scratch_bytes, (uint64_t)threads, &engine->planned);
    for (int i = 0; i < HONE_ARENAS; i++) {
        fits &= !__builtin_add_overflow(engine->planned, program->arena_bytes[i], &engine->planned);
    }
    return fits;
}

bool engine_open(Engine *engine, HoneSys *sys, const HoneProgram *program, int threads,
                 HoneError *error)
{
    *engine = (Engine){.sys = sys, .program = program};
    if (program->version != HONE_ABI_VERSION) {
        return hone_fail(error, HONE_INTERNAL, "E708", "the program is of version %u, the runtime of "
                                                       "version %d", program->version,
                         HONE_ABI_VERSION);
    }
    int count = threads > 0 ? threads : hone_cpu_count();
    if (!plan_memory(engine, count)) {
        return hone_fail_memory(error, "the planned arenas", UINT64_MAX);
    }
    if (!check_memory(engine, error)) {
        return false;
    }
    engine->pool = hone_pool_new(sys, count, program->scratch_bytes);
    if (engine->pool == NULL) {
        return hone_fail_memory(error, "threads and their scratch",
                                (uint64_t)count * program->scratch_bytes);
    }
    if (map_arenas(engine, error) && resolve_calls(engine, error)) {
        return true;
    }
    engine_close(engine);
    return false;
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

/* --- batch fields ----------------------------------------------------------------------------------- */
static const HoneField *find_field(const HoneDataset *data, const char *name, size_t *index)
{
    const HoneField *fields;
    size_t n = hone_data_fields(data, &fields);
    for (*index = 0; *index < n; ++*index) {
        if (strcmp(fields[*index].name, name) == 0) {
            return &fields[*index];
        }
    }
    return NULL;
}

bool engine_check_fields(const HoneEntry *entry, const HoneDataset *data, HoneError *error)
{
    for (uint32_t p = 0; p < entry->n_fields; p++) {
        const HonePort *port = &entry->fields[p];
        size_t index;
        const HoneField *field = find_field(data, port->name, &index);
        if (field == NULL) {
            return hone_fail(error, HONE_BAD_INPUT, "E705", "the data has no field `%s`", port->name);
        }
        bool same = port->rank == field->rank + 1 &&
                    hone_dtype_converts(field->dtype, port->dtype);
        for (uint32_t d = 0; same && d < field->rank; d++) {
            same = port->dims[d + 1] == field->dims[d];
        }
        if (!same) {
            hone_fail(error, HONE_BAD_INPUT, "E705", "field `%s` of the data is not what the model was "
                                                     "built for", port->name);
            hone_error_note(error, "a sample is %s of rank %u, the model takes %s of rank %u, or the "
                                   "dimensions differ", hone_dtype_name(field->dtype), field->rank,
                            hone_dtype_name(port->dtype), port->rank - 1);
            return false;
        }
    }
    return true;
}

/* One field of a batch on its way to its port, which may take only the first so many of each sample. */
typedef struct PutField {
    const HonePort *port;
    const HoneField *field;
    const char *from;
    char *to;
    uint64_t sample_bytes;
} PutField;

static void feed_sample(void *const *buffers, void *scratch, int64_t sample)
{
    (void)scratch;
    const PutField *feed = buffers[0];
    int64_t size = (int64_t)hone_dtype_bytes(feed->port->dtype);
    hone_copy_strided(feed->to + sample * feed->port->strides[0] * size, feed->port->dtype,
                      feed->port->strides + 1, feed->from + (uint64_t)sample * feed->sample_bytes,
                      feed->field->dtype, NULL, feed->field->rank, feed->port->dims + 1);
}

void engine_put_batch(Engine *engine, const HoneEntry *entry, const HoneDataset *data,
                      const HoneBatch *batch, int64_t at)
{
    enum { SMALL = 1 << 16 };
    for (uint32_t p = 0; p < entry->n_fields; p++) {
        const HonePort *port = &entry->fields[p];
        size_t index;
        PutField feed = {.port = port,
                     .field = find_field(data, port->name, &index),
                     .to = engine_at(engine, port->at)};
        int64_t n = port->dims[0];
        assert(feed.field != NULL && at + n <= batch->size);   /* engine_check_fields */
        (void)hone_size_of(feed.field->rank, feed.field->dims, hone_dtype_bytes(feed.field->dtype),
                           &feed.sample_bytes);
        feed.from = (const char *)batch->fields[index] + (uint64_t)at * feed.sample_bytes;
        void *const buffers[] = {&feed};
        if (feed.sample_bytes * (uint64_t)n >= SMALL) {
            hone_pool_run(engine->pool, feed_sample, buffers, n);
            continue;
        }
        for (int64_t i = 0; i < n; i++) {
            feed_sample(buffers, NULL, i);
        }
    }
}

/* --- a pass --------------------------------------------------------------------------------------- */
static double updates_of(const HonePort *port, const StepValues *values)
{
    int64_t t = values->stage_steps + 1;
    for (uint32_t s = 0; s < values->n_stages && s < HONE_MAX_STAGES; s++) {
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
            memcpy(to, (uint64_t[2]){engine->program->seed, values->updates | values->part << 40},
                   16);
            continue;
        case HONE_STEP_FAULT:
            memset(to, 0, 32);
            continue;
        }
        hone_store(to, port->dtype, value);
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
        bool known = fault[0] > 0 && fault[0] <= engine->program->n_places &&
                     engine->program->places[fault[0] - 1].line > 0;
        hone_fail(error, HONE_BAD_INPUT, "E709", "a subscript from data is %lld, outside 0 .. %lld",
                  (long long)fault[1], (long long)fault[2] - 1);
        if (known) {
            const HonePlace *place = &engine->program->places[fault[0] - 1];
            hone_error_note(error, "of the tensor at %.200s:%u:%u, `%.150s`; element %lld of the data",
                            place->file, place->line, place->column, place->what,
                            (long long)fault[3]);
        } else {
            hone_error_note(error, "in `%.100s`, element %lld of the data", entry->name,
                            (long long)fault[3]);
        }
        hone_error_help(error, "mend the data, or give the value outside with `??`");
        return false;
    }
    return true;
}

static bool is_due(const Engine *engine, const HoneCall *call)
{
    for (uint32_t i = 0; i < call->n_conditions; i++) {
        const uint8_t *byte = engine_at(engine, call->conditions[i].at);
        if ((*byte != 0) != call->conditions[i].holds)
            return false;
    }
    return true;
}

/* Adds the time of each call. */
static void run_timed(Engine *engine, uint32_t index)
{
    const HoneEntry *entries = engine->program->entries, *entry = &entries[index];
    void *const *pointers = engine->pointers + engine->first[index];
    double *seconds = engine->times->seconds;
    for (uint32_t e = 0; e < index; e++) {
        seconds += entries[e].n_calls;
    }
    double start = clock_seconds();
    for (uint32_t k = 0; k < entry->n_calls; k++) {
        const HoneCall *call = &entry->calls[k];
        if (is_due(engine, call))
            hone_pool_run(engine->pool, call->fn, pointers, call->chunks);
        pointers += call->n_buffers;
        double end = clock_seconds();
        seconds[k] += end - start;
        start = end;
    }
    engine->times->passes[index]++;
}

static void run_plain(Engine *engine, uint32_t index)
{
    const HoneEntry *entry = &engine->program->entries[index];
    void *const *pointers = engine->pointers + engine->first[index];
    for (uint32_t k = 0; k < entry->n_calls; k++) {
        const HoneCall *call = &entry->calls[k];
        if (is_due(engine, call))
            hone_pool_run(engine->pool, call->fn, pointers, call->chunks);
        pointers += call->n_buffers;
    }
}

bool engine_run(Engine *engine, uint32_t index, const StepValues *values, HoneError *error)
{
    const HoneEntry *entry = &engine->program->entries[index];
    put_step_values(engine, entry, values);
    if (engine->times != NULL) {
        run_timed(engine, index);
    } else {
        run_plain(engine, index);
    }
    return check_fault(engine, entry, error);
}

double engine_output(const Engine *engine, const HoneEntry *entry, const char *name)
{
    for (uint32_t i = 0; i < entry->n_outputs; i++) {
        const HonePort *port = &entry->outputs[i];
        if (strcmp(port->name, name) == 0 && port->rank == 0) {
            return hone_fetch(engine_at(engine, port->at), port->dtype);
        }
    }
    return NAN;
}
