/* tensors: what lives between steps gets its first value, is read from files and written to them.
 * Files hold the logical row-major order; storage may have any strides. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "run.h"

static int64_t elements(const HoneTensor *tensor)
{
    int64_t n = 1;
    for (uint32_t d = 0; d < tensor->rank; d++) {
        n *= tensor->dims[d];
    }
    return n;
}

/* --- first values --------------------------------------------------------------------------------- */
static double first_value(const HoneTensor *tensor, uint64_t seed, int64_t element)
{
    switch (tensor->init) {
    case HONE_INIT_CONSTANT:
        return tensor->a;
    case HONE_INIT_UNIFORM:
        return tensor->a + (double)hone_random_uniform(seed, tensor->init_key, 0,
                                                       (uint64_t)element) *
                               (tensor->b - tensor->a);
    case HONE_INIT_NORMAL:
        return tensor->a +
               tensor->b * hone_random_normal(seed, tensor->init_key, 0, (uint64_t)element);
    case HONE_INIT_EYE:
        return tensor->rank == 2 && element / tensor->dims[1] == element % tensor->dims[1]
                   ? tensor->a
                   : 0;
    case HONE_INIT_COPY:
        return 0;                     /* tensors_copy_initial */
    }
    return 0;
}

static void initialise(Engine *engine, const HoneTensor *tensor)
{
    char *to = engine_at(engine, tensor->at);
    size_t size = hone_dtype_bytes(tensor->dtype);
    memset(to, 0, tensor->bytes);
    int64_t index[HONE_MAX_RANK] = {0};
    int64_t n = elements(tensor), at = 0;
    for (int64_t i = 0; i < n; i++) {
        double value = first_value(tensor, engine->program->seed, i);
        hone_convert(to + (size_t)at * size, tensor->dtype, 1, &value, HONE_F64, 1, 1);
        for (uint32_t d = tensor->rank; d-- > 0;) {
            at += tensor->strides[d];
            if (++index[d] < tensor->dims[d]) {
                break;
            }
            at -= tensor->strides[d] * tensor->dims[d];
            index[d] = 0;
        }
    }
}

void tensors_initialise(Engine *engine)
{
    for (uint32_t i = 0; i < engine->program->n_tensors; i++) {
        initialise(engine, &engine->program->tensors[i]);
    }
}

void tensors_copy_initial(Engine *engine)
{
    for (uint32_t i = 0; i < engine->program->n_tensors; i++) {
        const HoneTensor *to = &engine->program->tensors[i];
        if (to->init == HONE_INIT_COPY) {
            const HoneTensor *from = &engine->program->tensors[to->of];
            hone_copy_strided(engine_at(engine, to->at), to->dtype, to->strides,
                              engine_at(engine, from->at), from->dtype, from->strides, to->rank,
                              to->dims);
        }
    }
}

/* --- reading --------------------------------------------------------------------------------------- */
static bool same_shape(const HoneTensor *tensor, const HoneFileTensor *stored)
{
    return tensor->rank == stored->rank &&
           memcmp(tensor->dims, stored->dims, tensor->rank * sizeof *tensor->dims) == 0;
}

static bool read_tensor(Engine *engine, HoneFile *file, const char *path, const HoneTensor *tensor,
                        const char *key, HoneError *error)
{
    const HoneFileTensor *stored = hone_file_find(file, key);
    if (stored == NULL) {
        return hone_fail(error, HONE_BAD_INPUT, "E403", "%s has no tensor `%s`", path, key);
    }
    if (!stored->known_dtype || !hone_dtype_converts(stored->dtype, tensor->dtype)) {
        return hone_fail(error, HONE_BAD_INPUT, "E703", "%s: `%s` is %s, the model has %s", path,
                         key, stored->dtype_name, hone_dtype_name(tensor->dtype));
    }
    if (!same_shape(tensor, stored)) {
        return hone_fail(error, HONE_BAD_INPUT, "E402",
                         "%s: `%s` has another shape in the file than in the model", path, key);
    }
    void *bytes = hone_alloc(engine->sys, stored->bytes > 0 ? stored->bytes : 1);
    if (bytes == NULL) {
        return hone_fail_memory(error, key, stored->bytes);
    }
    bool ok = hone_file_read(file, stored, bytes, error);
    if (ok) {
        hone_copy_strided(engine_at(engine, tensor->at), tensor->dtype, tensor->strides, bytes,
                          stored->dtype, NULL, tensor->rank, tensor->dims);
    }
    hone_free(engine->sys, bytes);
    return ok;
}

bool tensors_load(Engine *engine, const char *root, HoneError *error)
{
    const HoneProgram *program = engine->program;
    bool ok = true;
    for (uint32_t l = 0; ok && l < program->n_loads; l++) {
        char path[HONE_PATH];
        if (!hone_path_join(path, root, program->loads[l].path)) {
            return hone_fail(error, HONE_USAGE, "E702", "the path of the weights is too long");
        }
        HoneFile *file = hone_file_open(engine->sys, path, error);
        ok = file != NULL;
        for (uint32_t i = 0; ok && i < program->n_tensors; i++) {
            const HoneTensor *tensor = &program->tensors[i];
            if (tensor->load == l) {
                ok = read_tensor(engine, file, path, tensor, tensor->load_key, error);
            }
        }
        if (file != NULL) {
            hone_file_close(file);
        }
    }
    return ok;
}

static bool in_set(const HoneTensor *tensor, TensorSet set)
{
    bool model = tensor->kind == HONE_PARAM || tensor->kind == HONE_MODEL_STATE;
    return tensor->kind != HONE_TOTAL && model == (set == TENSORS_MODEL);
}

bool tensors_read(Engine *engine, TensorSet set, const char *path, HoneError *error)
{
    HoneFile *file = hone_file_open(engine->sys, path, error);
    bool ok = file != NULL;
    for (uint32_t i = 0; ok && i < engine->program->n_tensors; i++) {
        const HoneTensor *tensor = &engine->program->tensors[i];
        if (in_set(tensor, set)) {
            ok = read_tensor(engine, file, path, tensor, tensor->key, error);
        }
    }
    if (file != NULL) {
        hone_file_close(file);
    }
    return ok;
}

/* --- writing --------------------------------------------------------------------------------------- */
static bool row_major(const HoneTensor *tensor)
{
    int64_t stride = 1;
    for (uint32_t d = tensor->rank; d-- > 0;) {
        if (tensor->dims[d] != 1 && tensor->strides[d] != stride) {
            return false;
        }
        stride *= tensor->dims[d];
    }
    return true;
}

typedef struct Writing {              /* tensors to write, gathered to row-major where needed */
    size_t n;
    HoneWrite *writes;
    const HoneTensor **tensors;
    char *copies;
} Writing;

static bool gather(Engine *engine, Writing *w, HoneError *error)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < w->n; i++) {
        const HoneTensor *t = w->tensors[i];
        bytes += row_major(t) ? 0 : (uint64_t)elements(t) * hone_dtype_bytes(t->dtype);
    }
    w->copies = bytes == 0 ? NULL : hone_alloc(engine->sys, bytes);
    if (bytes > 0 && w->copies == NULL) {
        return hone_fail_memory(error, "writing weights", bytes);
    }
    char *next = w->copies;
    for (size_t i = 0; i < w->n; i++) {
        const HoneTensor *t = w->tensors[i];
        HoneWrite *write = &w->writes[i];
        write->dtype = t->dtype;
        write->rank = t->rank;
        memcpy(write->dims, t->dims, sizeof write->dims);
        write->data = engine_at(engine, t->at);
        if (!row_major(t)) {
            hone_copy_strided(next, t->dtype, NULL, write->data, t->dtype, t->strides, t->rank,
                              t->dims);
            write->data = next;
            next += (uint64_t)elements(t) * hone_dtype_bytes(t->dtype);
        }
    }
    return true;
}

static bool writing_new(Engine *engine, Writing *w, size_t capacity, HoneError *error)
{
    *w = (Writing){0};
    w->writes = hone_alloc(engine->sys, (capacity + 1) * sizeof *w->writes);
    w->tensors = hone_alloc(engine->sys, (capacity + 1) * sizeof *w->tensors);
    return w->writes != NULL && w->tensors != NULL
               ? true
               : hone_fail_memory(error, "writing weights", capacity * sizeof *w->writes);
}

static bool writing_finish(Engine *engine, Writing *w, const char *path, bool ok, HoneError *error)
{
    ok = ok && gather(engine, w, error) &&
         hone_safetensors_write(engine->sys, path, w->n, w->writes, error);
    hone_free(engine->sys, w->copies);
    hone_free(engine->sys, w->writes);
    hone_free(engine->sys, w->tensors);
    return ok;
}

bool tensors_write(Engine *engine, TensorSet set, const char *path, HoneError *error)
{
    const HoneProgram *program = engine->program;
    Writing w;
    bool ok = writing_new(engine, &w, program->n_tensors, error);
    for (uint32_t i = 0; ok && i < program->n_tensors; i++) {
        if (in_set(&program->tensors[i], set)) {
            w.writes[w.n].key = program->tensors[i].key;
            w.tensors[w.n++] = &program->tensors[i];
        }
    }
    return writing_finish(engine, &w, path, ok, error);
}

bool tensors_save(Engine *engine, const HoneSave *save, const char *root, HoneError *error)
{
    char path[HONE_PATH];
    if (!hone_path_join(path, root, save->path)) {
        return hone_fail(error, HONE_USAGE, "E701", "the path of the weights is too long");
    }
    Writing w;
    bool ok = writing_new(engine, &w, save->n_items, error);
    for (uint32_t i = 0; ok && i < save->n_items; i++) {
        w.writes[w.n].key = save->items[i].key;
        w.tensors[w.n++] = &engine->program->tensors[save->items[i].tensor];
    }
    return writing_finish(engine, &w, path, ok, error);
}
