/* images: a folder of pictures, one sub-folder per class. Classes are the sub-folders in byte order;
 * samples are the files in byte order within each class; names beginning with a dot and files beside
 * the class folders are passed over. Fields: image f32 [3, S, S] in 0..1, label i32. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "data/data.h"

typedef struct Entry {
    char *path;
    int32_t label;
} Entry;

typedef struct Images {
    Entry *entries;
    size_t n, capacity;
    char **folders;                   /* one block: the classes' names */
    int64_t size;
} Images;

static const HoneArgument arguments[] = {
    {.name = "path", .kind = HONE_OPT_STRING, .needed = true},
    ARGUMENT_SIZE,
    ARGUMENT_CROP,
    ARGUMENT_SCALE,
    ARGUMENT_FLIP,
    {.name = NULL},
};

static bool images_fields(const HoneSource *source, HoneField *fields, size_t *n)
{
    int64_t size = source_int(source, "size", 0);
    fields[0] = (HoneField){
        .name = "image", .dtype = HONE_F32, .rank = 3, .dims = {3, size, size}};
    fields[1] = (HoneField){.name = "label", .dtype = HONE_I32};
    *n = 2;
    return size > 0 && size <= PICTURE_SIZE;
}

/* --- listing ---------------------------------------------------------------------------------------- */
static bool add_entry(HoneDataset *data, char *path, int32_t label, HoneError *error)
{
    Images *images = data->state;
    if (images->n == images->capacity) {
        size_t capacity = images->capacity == 0 ? 256 : 2 * images->capacity;
        Entry *grown = hone_realloc(data->sys, images->entries,
                                    images->capacity * sizeof(Entry), capacity * sizeof(Entry));
        if (grown == NULL) {
            hone_free(data->sys, path);
            return hone_fail_memory(error, "data", capacity * sizeof(Entry));
        }
        images->entries = grown;
        images->capacity = capacity;
    }
    images->entries[images->n++] = (Entry){.path = path, .label = label};
    return true;
}

static bool check_file(HoneDataset *data, Workspace *work, const char *path, bool *good,
                       HoneError *error)
{
    const Images *images = data->state;
    PictureHead head;
    Picture picture;
    HoneError why = {0};
    *good = picture_check(data->sys, path, &head, &why) &&
            (!pictures_tried(data) || picture_decode(work, path, &picture, &why));
    if (!*good) {
        return pictures_skip(data, path, &why, error);
    }
    pictures_need(data, &head, images->size);
    return true;
}

static bool add_class(HoneDataset *data, Workspace *work, const char *folder, const char *name,
                      char **files, size_t n, HoneError *error)
{
    Images *images = data->state;
    size_t before = images->n;
    for (size_t i = 0; i < n; i++) {
        if (files[i][0] == '.') {
            continue;
        }
        char *path = path_join(data->sys, folder, files[i]);
        if (path == NULL) {
            return hone_fail_memory(error, "data", strlen(folder));
        }
        bool good = false;
        if (!check_file(data, work, path, &good, error)) {
            hone_free(data->sys, path);
            return false;
        }
        if (!good) {
            hone_free(data->sys, path);
        } else if (!add_entry(data, path, (int32_t)data->n_classes, error)) {
            return false;
        }
    }
    if (images->n == before) {
        hone_fail(error, HONE_BAD_INPUT, "E704", "class folder `%.300s` holds no pictures", folder);
        hone_error_help(error, "add pictures of `%s`, or remove the folder", name);
        return false;
    }
    data->classes[data->n_classes++] = name;
    return true;
}

/* An entry of the root: a class if it can be listed, passed over if it is a file. */
static bool add_folder(HoneDataset *data, Workspace *work, const char *root, const char *name,
                       HoneError *error)
{
    char *folder = path_join(data->sys, root, name);
    if (folder == NULL) {
        return hone_fail_memory(error, "data", strlen(root));
    }
    size_t n = 0;
    char **files = hone_list_dir(data->sys, folder, &n);
    bool ok = true;
    if (files != NULL) {
        ok = add_class(data, work, folder, name, files, n, error);
    } else if (errno != ENOTDIR) {
        char why[128];
        ok = hone_fail(error, HONE_BAD_INPUT, "E702", "cannot list the folder `%.300s`: %s", folder,
                       hone_errno_text(errno, why));
    }
    hone_free(data->sys, files);
    hone_free(data->sys, folder);
    return ok;
}

static bool list_root(HoneDataset *data, const char *root, HoneError *error)
{
    Images *images = data->state;
    size_t n = 0;
    images->folders = hone_list_dir(data->sys, root, &n);
    if (images->folders == NULL) {
        char why[128];
        return hone_fail(error, HONE_BAD_INPUT, "E702", "cannot list the picture folder `%.300s`: %s",
                         root, hone_errno_text(errno, why));
    }
    data->classes = hone_alloc(data->sys, (n + 1) * sizeof *data->classes);
    if (data->classes == NULL) {
        return hone_fail_memory(error, "data", n * sizeof *data->classes);
    }
    Workspace work = {.sys = data->sys};
    bool ok = true;
    for (size_t i = 0; ok && i < n; i++) {
        if (images->folders[i][0] != '.') {
            ok = add_folder(data, &work, root, images->folders[i], error);
        }
    }
    workspace_free(&work);
    if (ok && data->n_classes == 0) {
        hone_fail(error, HONE_BAD_INPUT, "E704", "`%.300s` has no class folders", root);
        hone_error_help(error, "put the pictures into one sub-folder per class");
        return false;
    }
    return ok;
}

static bool images_open(HoneDataset *data, HoneError *error)
{
    if (!images_fields(data->source, data->fields, &data->n_fields)) {
        return pictures_bad_size(data->source, error);
    }
    Images *images = hone_alloc(data->sys, sizeof *images);
    data->state = images;
    char *root = path_join(data->sys, data->root, source_string(data->source, "path", ""));
    if (images == NULL || root == NULL) {
        hone_free(data->sys, root);
        return hone_fail_memory(error, "data", sizeof *images);
    }
    images->size = source_int(data->source, "size", 0);
    bool ok = list_root(data, root, error);
    hone_free(data->sys, root);
    data->count = (int64_t)images->n;
    data->bytes = images->capacity * sizeof(Entry);
    return ok;
}

static void images_close(HoneDataset *data)
{
    Images *images = data->state;
    if (images != NULL) {
        for (size_t i = 0; i < images->n; i++) {
            hone_free(data->sys, images->entries[i].path);
        }
        hone_free(data->sys, images->entries);
        hone_free(data->sys, images->folders);
        hone_free(data->sys, images);
    }
}

/* --- samples ---------------------------------------------------------------------------------------- */
static bool images_read(const HoneDataset *data, int64_t sample, const SampleMode *mode,
                        Workspace *work, void *const *fields, HoneError *error)
{
    const Images *images = data->state;
    const Entry *entry = &images->entries[sample];
    Crop crop;
    memcpy(fields[1], &entry->label, sizeof entry->label);
    return picture_read(data->source, entry->path, mode, sample, work, &crop, fields[0], error);
}

const Reader reader_images = {
    .name = "images",
    .arguments = arguments,
    .crop = "center",
    .fields = images_fields,
    .open = images_open,
    .read = images_read,
    .close = images_close,
};
