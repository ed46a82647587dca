/* classes: names of classes, and of anything else that outlives the file it was read from. A class's
 * number is the place of its name among all of them in byte order. */
#include <stdlib.h>
#include <string.h>

#include "data/data.h"

const char **names_copy(HoneSys *sys, int64_t n, const char *const *names, HoneError *error)
{
    size_t pointers = ((size_t)n + 1) * sizeof *names, bytes = pointers;
    for (int64_t i = 0; i < n; i++) {
        bytes += strlen(names[i]) + 1;
    }
    const char **copy = hone_alloc(sys, bytes);
    if (copy == NULL) {
        hone_fail_memory(error, "data", bytes);
        return NULL;
    }
    char *at = (char *)copy + pointers;
    for (int64_t i = 0; i < n; i++) {
        size_t length = strlen(names[i]) + 1;
        copy[i] = memcpy(at, names[i], length);
        at += length;
    }
    return copy;
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

bool classes_make(HoneDataset *data, int64_t n, const char *const *names, HoneError *error)
{
    const char **sorted = hone_alloc(data->sys, ((size_t)n + 1) * sizeof *sorted);
    if (sorted == NULL) {
        return hone_fail_memory(error, "data", (uint64_t)n * sizeof *sorted);
    }
    int64_t different = 0;
    if (n > 0) {
        memcpy(sorted, names, (size_t)n * sizeof *sorted);
        qsort(sorted, (size_t)n, sizeof *sorted, by_bytes);
    }
    for (int64_t i = 0; i < n; i++) {
        if (different == 0 || strcmp(sorted[different - 1], sorted[i]) != 0) {
            sorted[different++] = sorted[i];
        }
    }
    data->classes = names_copy(data->sys, different, sorted, error);
    data->n_classes = data->classes == NULL ? 0 : (size_t)different;
    hone_free(data->sys, sorted);
    return data->classes != NULL;
}

int32_t class_number(const HoneDataset *data, const char *name)
{
    const char **found =
        bsearch(&name, data->classes, data->n_classes, sizeof *data->classes, by_bytes);
    return found == NULL ? -1 : (int32_t)(found - data->classes);
}
