/* tensors: the values that live between steps, where they start from and how files hold them. Files
 * are row-major in logical dimensions; storage follows the plan's strides. Initial values depend on
 * the logical index, so the layout does not show. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "run.h"

enum { PART = 1 << 16 };

/* --- initial values -------------------------------------------------------------------------------- */
static double initial(const HoneTensor *tensor, uint64_t seed, int64_t i)
{
    switch (tensor->init) {
    case HONE_INIT_UNIFORM:
        return tensor->a + (tensor->b - tensor->a) *
                               (double)hone_random_uniform(seed, tensor->init_key, 0, (uint64_t)i);
    case HONE_INIT_NORMAL:
        return tensor->a + tensor->b * hone_random_normal(seed, tensor->init_key, 0, (uint64_t)i);
    case HONE_INIT_EYE: {
        int64_t columns = tensor->dims[tensor->rank - 1];
        return i / columns == i % columns ? tensor->a : 0;
    }
    case HONE_INIT_CONSTANT:
    case HONE_INIT_COPY:
        break;
    }
    return tensor->a;
}

typedef struct Initialising {      /* one tensor, cut along its first dimension */
    const HoneTensor *tensor;
    char *to;
    uint64_t seed;
    int64_t rows, inner;           /* of a chunk; elements of one row */
} Initialising;

static void initialise_rows(void *const *buffers, void *scratch, int64_t chunk)
{
    (void)scratch;
    const Initialising *in = buffers[0];
    const HoneTensor *tensor = in->tensor;
    int64_t dims[HONE_MAX_RANK], first = chunk * in->rows;
    int64_t size = (int64_t)hone_dtype_bytes(tensor->dtype), left = 0;
    memcpy(dims, tensor->dims, sizeof dims);
    if (tensor->rank > 0) {
        left = tensor->dims[0] - first;
        dims[0] = left < in->rows ? left : in->rows;
    }
    char *to = in->to + (tensor->rank > 0 ? first * tensor->strides[0] * size : 0);
    for (HoneRows rows = hone_rows(tensor->rank, dims, tensor->strides, NULL); rows.valid;
         hone_rows_next(&rows))
        for (int64_t i = 0; i < rows.n; i++)
            hone_store(to + (rows.a + i * rows.a_step) * size, tensor->dtype,
                       initial(tensor, in->seed, first * in->inner + rows.b + i * rows.b_step));
}

static void initialise(Engine *engine, const HoneTensor *tensor)
{
    enum { CHUNK = 1 << 15 };      /* elements: a millisecond at most */
    Initialising in = {.tensor = tensor, .to = engine_at(engine, tensor->at),
                       .seed = engine->program->seed, .rows = 1, .inner = 1};
    int64_t chunks = 1;
    for (uint32_t d = 1; d < tensor->rank; d++)
        in.inner *= tensor->dims[d];
    if (tensor->rank > 0 && in.inner > 0) {
        in.rows = in.inner < CHUNK ? CHUNK / in.inner : 1;
        chunks = (tensor->dims[0] + in.rows - 1) / in.rows;
    }
    void *const buffers[] = {&in};
    hone_pool_run(engine->pool, initialise_rows, buffers, chunks);
}

void tensors_initialise(Engine *engine)
{
    for (uint32_t t = 0; t < engine->program->n_tensors; t++) {
        const HoneTensor *tensor = &engine->program->tensors[t];
        bool zero = tensor->init == HONE_INIT_CONSTANT && tensor->a == 0;   /* as the arena is */
        if (tensor->load == HONE_NONE && !zero && tensor->init != HONE_INIT_COPY)
            initialise(engine, tensor);
    }
}

void tensors_copy_initial(Engine *engine)
{
    for (uint32_t t = 0; t < engine->program->n_tensors; t++) {
        const HoneTensor *to = &engine->program->tensors[t];
        if (to->init != HONE_INIT_COPY)
            continue;
        const HoneTensor *from = &engine->program->tensors[to->of];
        hone_copy_strided(engine_at(engine, to->at), to->dtype, to->strides,
                          engine_at(engine, from->at), from->dtype, from->strides, to->rank,
                          to->dims);
    }
}

void tensors_zero(Engine *engine, uint32_t n, const uint32_t *tensors)
{
    for (uint32_t i = 0; i < n; i++) {
        const HoneTensor *tensor = &engine->program->tensors[tensors[i]];
        memset(engine_at(engine, tensor->at), 0, tensor->bytes);
    }
}

/* --- averages -------------------------------------------------------------------------------------- */
void tensors_copy_averages(Engine *engine)
{
    for (uint32_t t = 0; t < engine->program->n_tensors; t++) {
        const HoneTensor *to = &engine->program->tensors[t];
        if (to->kind != HONE_AVERAGE)
            continue;
        const HoneTensor *from = &engine->program->tensors[to->of];
        hone_copy_strided(engine_at(engine, to->at), to->dtype, to->strides,
                          engine_at(engine, from->at), from->dtype, from->strides, to->rank,
                          to->dims);
    }
}

static void exchange(Engine *engine, const HoneTensor *a, const HoneTensor *b)
{
    char *x = engine_at(engine, a->at), *y = engine_at(engine, b->at), element[16];
    size_t size = hone_dtype_bytes(a->dtype);
    int64_t step = (int64_t)size;
    for (HoneRows rows = hone_rows(a->rank, a->dims, a->strides, b->strides); rows.valid;
         hone_rows_next(&rows)) {
        char *from = x + rows.a * step, *to = y + rows.b * step;
        for (int64_t i = 0; i < rows.n; i++) {
            memcpy(element, from, size);
            memcpy(from, to, size);
            memcpy(to, element, size);
            from += rows.a_step * step;
            to += rows.b_step * step;
        }
    }
}

/* An average that is kept in more than its parameter has one beside it that is rounded and stands in. */
void tensors_swap_averages(Engine *engine)
{
    for (uint32_t t = 0; t < engine->program->n_tensors; t++) {
        const HoneTensor *average = &engine->program->tensors[t];
        if (average->kind != HONE_AVERAGE)
            continue;
        const HoneTensor *parameter = &engine->program->tensors[average->of];
        if (average->dtype == parameter->dtype)
            exchange(engine, average, parameter);
    }
}

/* --- loading --------------------------------------------------------------------------------------- */
enum { SHAPE_TEXT = 256 };           /* room for HONE_MAX_RANK dimensions of 19 digits */

static void shape_text(char text[SHAPE_TEXT], uint32_t rank, const int64_t *dims)
{
    HoneText shape = hone_text(text, SHAPE_TEXT);
    hone_text_add(&shape, "[");
    for (uint32_t d = 0; d < rank; d++)
        hone_text_add(&shape, "%s%lld", d > 0 ? ", " : "", (long long)dims[d]);
    hone_text_add(&shape, "]");
}

static bool check_fit(const HoneTensor *tensor, const HoneFileTensor *from, const char *path,
                      HoneError *error)
{
    bool same = tensor->rank == from->rank;
    for (uint32_t d = 0; same && d < tensor->rank; d++)
        same = tensor->dims[d] == from->dims[d];
    if (!same) {
        char file[SHAPE_TEXT], model[SHAPE_TEXT];
        shape_text(file, from->rank, from->dims);
        shape_text(model, tensor->rank, tensor->dims);
        hone_fail(error, HONE_BAD_INPUT, "E402", "`%.100s` has another shape in `%.100s`", from->key,
                  path);
        hone_error_note(error, "file: %s, model: %s", file, model);
        hone_error_help(error, "name weights of this recipe's model");
        return false;
    }
    if (!from->known_dtype || !hone_dtype_converts(from->dtype, tensor->dtype) ||
        hone_dtype_is_float(from->dtype) != hone_dtype_is_float(tensor->dtype))
        return hone_fail(error, HONE_BAD_INPUT, "E703", "`%.100s`: `%.100s` is stored as %.20s, which "
                                                        "does not become %s", path, from->key,
                         from->dtype_name, hone_dtype_name(tensor->dtype));
    return true;
}

/* Reads part by part, so that no second copy of a tensor is ever held. */
static bool read_rows(Engine *engine, HoneFile *file, const HoneTensor *tensor,
                      const HoneFileTensor *from, HoneError *error)
{
    _Alignas(64) char part[PART];
    char *to = engine_at(engine, tensor->at);
    int64_t to_size = (int64_t)hone_dtype_bytes(tensor->dtype);
    int64_t from_size = (int64_t)hone_dtype_bytes(from->dtype), most = PART / from_size;
    bool plain = tensor->dtype == from->dtype && tensor->dtype != HONE_BOOL;
    for (HoneRows rows = hone_rows(tensor->rank, tensor->dims, tensor->strides, NULL); rows.valid;
         hone_rows_next(&rows)) {
        char *row = to + rows.a * to_size;
        if (plain && rows.a_step == 1) {
            if (!hone_file_next(file, row, (size_t)(rows.n * to_size), error))
                return false;
            continue;
        }
        for (int64_t i = 0; i < rows.n; i += most) {
            int64_t n = rows.n - i < most ? rows.n - i : most;
            if (!hone_file_next(file, part, (size_t)(n * from_size), error))
                return false;
            hone_convert(row + i * rows.a_step * to_size, tensor->dtype, rows.a_step, part,
                         from->dtype, 1, n);
        }
    }
    return true;
}

static bool fail_missing(HoneError *error, const char *path, const char *key)
{
    hone_fail(error, HONE_BAD_INPUT, "E403", "`%.100s` has no tensor `%.100s`", path, key);
    hone_error_help(error, "name a file with all of this recipe's model, adapters beside what they wrap: "
                           "`hone keys` lists what it has");
    return false;
}

static bool load_one(Engine *engine, HoneFile *file, const char *path,
                     const HoneTensor *tensor, const HoneFileTensor *from, HoneError *error)
{
    if (!check_fit(tensor, from, path, error) || !hone_file_begin(file, from, error))
        return false;
    bool good = read_rows(engine, file, tensor, from, error);
    return hone_file_end(file, error) && good;
}

/* Elements that are not finite, and the place of the first one. */
static int64_t not_finite(const Engine *engine, const HoneTensor *tensor, int64_t *first)
{
    const char *at = engine_at(engine, tensor->at);
    int64_t size = (int64_t)hone_dtype_bytes(tensor->dtype), n = 0;
    for (HoneRows rows = hone_rows(tensor->rank, tensor->dims, tensor->strides, NULL); rows.valid;
         hone_rows_next(&rows))
        for (int64_t i = 0; i < rows.n; i++) {
            double value = hone_fetch(at + (rows.a + i * rows.a_step) * size, tensor->dtype);
            if (!isfinite(value) && n++ == 0)
                *first = rows.b + i * rows.b_step;
        }
    return n;
}

const HoneTensor *tensors_not_finite(const Engine *engine)
{
    int64_t first;
    for (uint32_t t = 0; t < engine->program->n_tensors; t++) {
        const HoneTensor *tensor = &engine->program->tensors[t];
        if (tensor->kind == HONE_PARAM && hone_dtype_is_float(tensor->dtype) &&
            not_finite(engine, tensor, &first) > 0)
            return tensor;
    }
    return NULL;
}

/* No step can come to a number from a parameter that is none: said here, where the file is known. */
static bool check_values(const Engine *engine, const HoneTensor *tensor, const char *path,
                         const HoneFileTensor *from, HoneError *error)
{
    int64_t first = 0, n = 0;
    if (tensor->kind == HONE_PARAM && hone_dtype_is_float(tensor->dtype))
        n = not_finite(engine, tensor, &first);
    if (n == 0)
        return true;
    bool shortened = from->dtype != tensor->dtype && hone_dtype_bytes(tensor->dtype) < sizeof(float);
    hone_fail(error, HONE_BAD_INPUT, "E703", "`%.300s`: `%.100s` has values that are not numbers or "
                                             "infinite%s%s", path, tensor->load_key,
              shortened ? " as " : "", shortened ? hone_dtype_name(tensor->dtype) : "");
    hone_error_note(error, "%lld of them, the first is element %lld", (long long)n, (long long)first);
    hone_error_help(error, "%stake a file from before they arose, or declare the tensor `fresh`",
                    shortened ? "keep the parameter in f32, " : "");
    return false;
}

static bool load_all(Engine *engine, uint32_t load, const char *root, HoneError *error)
{
    const HoneProgram *program = engine->program;
    char path[HONE_PATH];
    if (!hone_path_join(path, root, program->loads[load].path))
        return hone_fail(error, HONE_BAD_INPUT, "E702", "the path of a weights file is too long");
    HoneFile *file = hone_file_open(engine->sys, path, error);
    bool good = file != NULL;
    for (uint32_t t = 0; good && t < program->n_tensors; t++) {
        const HoneTensor *tensor = &program->tensors[t];
        if (tensor->load != load)
            continue;
        const HoneFileTensor *from = hone_file_find(file, tensor->load_key);
        good = from ? load_one(engine, file, path, tensor, from, error) &&
                          check_values(engine, tensor, path, from, error)
                    : fail_missing(error, path, tensor->load_key);
    }
    hone_file_close(file);
    return good;
}

bool tensors_load(Engine *engine, const char *root, HoneError *error)
{
    for (uint32_t load = 0; load < engine->program->n_loads; load++)
        if (!load_all(engine, load, root, error))
            return false;
    return true;
}

/* --- files of ours ---------------------------------------------------------------------------------- */
static bool in_set(const HoneTensor *tensor, TensorSet set)
{
    switch (tensor->kind) {
    case HONE_PARAM:
    case HONE_MODEL_STATE: return set == TENSORS_MODEL;
    case HONE_OPTIMIZER_STATE:
    case HONE_INITIAL:
    case HONE_AVERAGE:
    case HONE_START: return set == TENSORS_STATE;
    case HONE_TOTAL:                    /* zeroed before every evaluation or update */
    case HONE_GRADIENT: return false;
    }
    return false;
}

/* A tensor's own key, or the key that a `save` of the recipe gives it. */
static const HoneFileTensor *find_saved(const HoneProgram *program, const HoneFile *file, uint32_t t)
{
    const HoneFileTensor *from = hone_file_find(file, program->tensors[t].key);
    for (uint32_t s = 0; !from && s < program->n_saves; s++)
        for (uint32_t i = 0; !from && i < program->saves[s].n_items; i++)
            if (program->saves[s].items[i].tensor == t)
                from = hone_file_find(file, program->saves[s].items[i].key);
    return from;
}

bool tensors_read(Engine *engine, TensorSet set, const char *path, HoneError *error)
{
    const HoneProgram *program = engine->program;
    HoneFile *file = hone_file_open(engine->sys, path, error);
    bool good = file != NULL;
    for (uint32_t t = 0; good && t < program->n_tensors; t++) {
        if (!in_set(&program->tensors[t], set))
            continue;
        const HoneFileTensor *from = find_saved(program, file, t);
        good = from ? load_one(engine, file, path, &program->tensors[t], from, error)
                    : fail_missing(error, path, program->tensors[t].key);
    }
    hone_file_close(file);
    return good;
}

static HoneWrite write_of(const Engine *engine, const HoneTensor *tensor, const char *key)
{
    HoneWrite write = {.key = key,
                       .dtype = tensor->dtype,
                       .rank = tensor->rank,
                       .data = engine_at(engine, tensor->at),
                       .strides = tensor->strides};
    memcpy(write.dims, tensor->dims, sizeof write.dims);
    return write;
}

/* The tensors of a set; NULL: no memory. */
static HoneWrite *list_set(Engine *engine, TensorSet set, size_t *n)
{
    const HoneProgram *program = engine->program;
    HoneWrite *writes = hone_alloc(engine->sys, (program->n_tensors + 1) * sizeof *writes);
    *n = 0;
    for (uint32_t t = 0; writes && t < program->n_tensors; t++)
        if (in_set(&program->tensors[t], set))
            writes[(*n)++] = write_of(engine, &program->tensors[t], program->tensors[t].key);
    return writes;
}

bool tensors_write(Engine *engine, TensorSet set, const char *path, HoneError *error)
{
    size_t n;
    HoneWrite *writes = list_set(engine, set, &n);
    if (!writes)
        return hone_fail_memory(error, "writing weights", 0);
    bool good = hone_safetensors_write(engine->sys, path, n, writes, error);
    hone_free(engine->sys, writes);
    return good;
}

bool tensors_put(Engine *engine, TensorSet set, const char *path, uint64_t *bytes,
                 HoneDigest *digest, HoneError *error)
{
    size_t n;
    HoneWrite *writes = list_set(engine, set, &n);
    if (!writes)
        return hone_fail_memory(error, "writing a checkpoint", 0);
    HoneOut out;
    hone_out_open(&out, engine->sys, path);
    hone_safetensors_put(&out, n, writes);
    int why = hone_out_close(&out, digest);
    *bytes = out.bytes;
    hone_free(engine->sys, writes);
    return why == 0 || hone_fail_write(error, path, why);
}

uint64_t tensors_bytes(const HoneProgram *program, TensorSet set)
{
    uint64_t bytes = 0;
    for (uint32_t t = 0; t < program->n_tensors; t++)
        bytes += in_set(&program->tensors[t], set) ? program->tensors[t].bytes : 0;
    return bytes;
}

bool tensors_save(Engine *engine, const HoneSave *save, const char *root, HoneError *error)
{
    char path[HONE_PATH];
    if (!hone_path_join(path, root, save->path))
        return hone_fail(error, HONE_USAGE, "E701", "the path of the weights is too long");
    HoneWrite *writes = hone_alloc(engine->sys, (save->n_items + 1) * sizeof *writes);
    if (!writes)
        return hone_fail_memory(error, "saving weights", save->n_items * sizeof *writes);
    for (uint32_t i = 0; i < save->n_items; i++)
        writes[i] = write_of(engine, &engine->program->tensors[save->items[i].tensor],
                             save->items[i].key);
    bool good = hone_safetensors_write(engine->sys, path, save->n_items, writes, error);
    hone_free(engine->sys, writes);
    return good;
}
