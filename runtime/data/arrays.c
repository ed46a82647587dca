/* arrays: npz and safetensors files as data, one field per key, first dimension the samples. The
 * whole file is held in memory. */
#include <string.h>

#include "data/data.h"

typedef struct Arrays {
    void *fields[HONE_MAX_FIELDS];
    char *names;
} Arrays;

static const HoneArgument arguments[] = {
    {.name = "file", .kind = HONE_OPT_STRING, .needed = true},
    {.name = NULL},
};

static bool fields_of_options(const HoneSource *source, HoneField *fields, size_t *n)
{
    (void)source, (void)fields, (void)n;
    return false;
}

static bool add_field(HoneDataset *data, HoneFile *file, const HoneFileTensor *tensor,
                      const char *path, HoneError *error)
{
    Arrays *arrays = data->state;
    size_t i = data->n_fields;
    if (!tensor->known_dtype) {
        return hone_fail(error, HONE_BAD_INPUT, "E704", "`%s`: `%s` has dtype %s, which is not known",
                         path, tensor->key, tensor->dtype_name);
    }
    if (tensor->rank == 0 || tensor->dims[0] < 1) {
        return hone_fail(error, HONE_BAD_INPUT, "E704", "`%s`: `%s` has no samples", path,
                         tensor->key);
    }
    if (i > 0 && tensor->dims[0] != data->count) {
        return hone_fail(error, HONE_BAD_INPUT, "E704",
                         "`%s`: `%s` has %lld samples, `%s` has %lld", path, tensor->key,
                         (long long)tensor->dims[0], data->fields[0].name, (long long)data->count);
    }
    if (i == HONE_MAX_FIELDS) {
        return hone_fail(error, HONE_BAD_INPUT, "E704", "`%s`: more than %d arrays", path,
                         HONE_MAX_FIELDS);
    }
    arrays->fields[i] = hone_alloc(data->sys, tensor->bytes);
    if (arrays->fields[i] == NULL) {
        return hone_fail_memory(error, "data", tensor->bytes);
    }
    data->count = tensor->dims[0];
    data->bytes += tensor->bytes;
    data->n_fields = i + 1;
    HoneField *field = &data->fields[i];
    field->dtype = tensor->dtype;
    field->rank = tensor->rank - 1;
    memcpy(field->dims, tensor->dims + 1, field->rank * sizeof *field->dims);
    return hone_file_read(file, tensor, arrays->fields[i], error);
}

/* Field names outlive the file: one block for all. */
static bool copy_names(HoneDataset *data, const HoneFile *file, HoneError *error)
{
    Arrays *arrays = data->state;
    size_t bytes = 1;
    for (size_t i = 0; i < hone_file_count(file); i++) {
        bytes += strlen(hone_file_tensor(file, i)->key) + 1;
    }
    arrays->names = hone_alloc(data->sys, bytes);
    if (arrays->names == NULL) {
        return hone_fail_memory(error, "data", bytes);
    }
    char *at = arrays->names;
    for (size_t i = 0; i < hone_file_count(file) && i < HONE_MAX_FIELDS; i++) {
        size_t length = strlen(hone_file_tensor(file, i)->key) + 1;
        memcpy(at, hone_file_tensor(file, i)->key, length);
        data->fields[i].name = at;
        at += length;
    }
    return true;
}

static bool read_file(HoneDataset *data, const char *path, HoneError *error)
{
    HoneFile *file = hone_file_open(data->sys, path, error);
    if (file == NULL) {
        return false;
    }
    bool ok = copy_names(data, file, error);
    for (size_t i = 0; ok && i < hone_file_count(file); i++) {
        ok = add_field(data, file, hone_file_tensor(file, i), path, error);
    }
    hone_file_close(file);
    if (ok && data->n_fields == 0) {
        return hone_fail(error, HONE_BAD_INPUT, "E704", "`%s`: there are no arrays in the file",
                         path);
    }
    return ok;
}

static bool arrays_open(HoneDataset *data, HoneError *error)
{
    data->state = hone_alloc(data->sys, sizeof(Arrays));
    char *path = path_join(data->sys, data->root, source_string(data->source, "file", ""));
    bool ok = data->state != NULL && path != NULL ? read_file(data, path, error)
                                                  : hone_fail_memory(error, "data", sizeof(Arrays));
    hone_free(data->sys, path);
    return ok;
}

static bool arrays_read(const HoneDataset *data, int64_t sample, const SampleMode *mode,
                        Workspace *work, void *const *fields, HoneError *error)
{
    (void)mode, (void)work, (void)error;
    const Arrays *arrays = data->state;
    for (size_t i = 0; i < data->n_fields; i++) {
        size_t bytes = field_bytes(&data->fields[i]);
        memcpy(fields[i], (const char *)arrays->fields[i] + (size_t)sample * bytes, bytes);
    }
    return true;
}

static void arrays_close(HoneDataset *data)
{
    Arrays *arrays = data->state;
    if (arrays != NULL) {
        for (size_t i = 0; i < HONE_MAX_FIELDS; i++) {
            hone_free(data->sys, arrays->fields[i]);
        }
        hone_free(data->sys, arrays->names);
        hone_free(data->sys, arrays);
    }
}

static const void *arrays_values(const HoneDataset *data, size_t field)
{
    const Arrays *arrays = data->state;
    return arrays->fields[field];
}

const Reader reader_arrays = {
    .name = "arrays",
    .arguments = arguments,
    .cheap = true,
    .fields = fields_of_options,
    .open = arrays_open,
    .read = arrays_read,
    .close = arrays_close,
    .values = arrays_values,
};
