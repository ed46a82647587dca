/* npz: a zip archive with one npy file per array, stored or deflated. The zip library sees the file
 * only through our own reading; member names are keys, never paths. */
#include "weights/weights.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <zip.h>

enum {
    LEAST_MEMBER = 46 + 30,      /* bytes of a member's two headers */
    MOST_RATIO = 1032            /* deflate cannot do better */
};

typedef struct Npz {
    HoneFile *file;
    int64_t at;                  /* reading position of the archive */
    int why;                     /* errno of the reading that failed */
    zip_error_t zip_error;
    zip_t *zip;
    zip_file_t *member;          /* between begin and end */
} Npz;

static zip_int64_t source_read(Npz *npz, void *to, zip_uint64_t n)
{
    uint64_t left = npz->file->bytes - (uint64_t)npz->at;
    n = n < left ? n : left;
    if (n > 0 && hone_read_at(npz->file->sys, npz->file->fd, to, n, npz->at) != 0) {
        npz->why = errno;
        zip_error_set(&npz->zip_error, ZIP_ER_READ, npz->why);
        return -1;
    }
    npz->at += (int64_t)n;
    return (zip_int64_t)n;
}

static zip_int64_t source(void *state, void *data, zip_uint64_t n, zip_source_cmd_t command)
{
    Npz *npz = state;
    if (command == ZIP_SOURCE_READ)
        return source_read(npz, data, n);
    if (command == ZIP_SOURCE_OPEN) {
        npz->at = 0;
    } else if (command == ZIP_SOURCE_SEEK) {
        npz->at = zip_source_seek_compute_offset((zip_uint64_t)npz->at, npz->file->bytes, data, n,
                                                 &npz->zip_error);
        if (npz->at < 0) {
            npz->at = 0;
            return -1;
        }
    } else if (command == ZIP_SOURCE_TELL) {
        return npz->at;
    } else if (command == ZIP_SOURCE_STAT) {
        zip_stat_t *stat = data;
        zip_stat_init(stat);
        stat->size = npz->file->bytes;
        stat->valid |= ZIP_STAT_SIZE;
        return sizeof *stat;
    } else if (command == ZIP_SOURCE_ERROR) {
        return zip_error_to_data(&npz->zip_error, data, n);
    } else if (command == ZIP_SOURCE_SUPPORTS) {
        return ZIP_SOURCE_SUPPORTS_SEEKABLE;
    } else if (command != ZIP_SOURCE_CLOSE && command != ZIP_SOURCE_FREE) {
        zip_error_set(&npz->zip_error, ZIP_ER_OPNOTSUPP, 0);
        return -1;
    }
    return 0;
}

static bool bad_zip(Npz *npz, zip_error_t *zip_error, const char *what, HoneError *error)
{
    if (npz->why)
        return hone_fail_read(error, npz->file->path, npz->why);
    if (zip_error_code_zip(zip_error) == ZIP_ER_MEMORY)
        return hone_fail_memory(error, "a zip archive", 0);
    return weights_bad(npz->file, error, "%.*s: %s", WEIGHTS_SHOWN, what,
                       zip_error_strerror(zip_error));
}

static bool open_archive(Npz *npz, HoneError *error)
{
    zip_error_t why;
    zip_error_init(&why);
    zip_source_t *from = zip_source_function_create(source, npz, &why);
    npz->zip = from ? zip_open_from_source(from, ZIP_RDONLY, &why) : NULL;
    bool good = npz->zip || bad_zip(npz, &why, "cannot be opened", error);
    if (!npz->zip && from)
        zip_source_free(from);
    zip_error_fini(&why);
    return good;
}

/* --- one member ---------------------------------------------------------------------------------- */
static bool open_member(Npz *npz, uint64_t index, const char *name, HoneError *error)
{
    npz->member = zip_fopen_index(npz->zip, index, 0);
    return npz->member || bad_zip(npz, zip_get_error(npz->zip), name, error);
}

static bool read_member(Npz *npz, const char *name, void *to, uint64_t bytes, HoneError *error)
{
    char *at = to;
    while (bytes > 0) {
        zip_int64_t got = zip_fread(npz->member, at, bytes);
        if (got < 0)
            return bad_zip(npz, zip_file_get_error(npz->member), name, error);
        if (got == 0)
            return weights_bad(npz->file, error, "`%.*s` is shorter than the archive says",
                               WEIGHTS_SHOWN, name);
        at += got;
        bytes -= (uint64_t)got;
    }
    return true;
}

static void close_member(Npz *npz)
{
    if (npz->member)
        zip_fclose(npz->member);
    npz->member = NULL;
}

static bool check_stat(const HoneFile *file, const zip_stat_t *stat, HoneError *error)
{
    const char *name = stat->name;
    size_t n = strlen(name);
    if (strchr(name, '/') || n < 5 || strcmp(name + n - 4, ".npy") != 0) {
        weights_bad(file, error, "the archive's member `%.*s` is not an array (NAME.npy)",
                    WEIGHTS_SHOWN, name);
        if (n >= 8 && strcmp(name + n - 8, "data.pkl") == 0)
            hone_error_help(error, "this looks like a PyTorch file; save it as safetensors");
        return false;
    }
    if (stat->encryption_method != ZIP_EM_NONE)
        return weights_bad(file, error, "`%.*s` is encrypted", WEIGHTS_SHOWN, name);
    if (stat->comp_method != ZIP_CM_STORE && stat->comp_method != ZIP_CM_DEFLATE)
        return weights_bad(file, error, "`%.*s` is compressed by method %u; stored and deflated "
                                        "are read", WEIGHTS_SHOWN, name, stat->comp_method);
    uint64_t most;
    if (stat->comp_size > file->bytes || stat->size > INT64_MAX ||
        __builtin_mul_overflow(stat->comp_size, (uint64_t)MOST_RATIO, &most) || stat->size > most)
        return weights_bad(file, error, "`%.*s` cannot have %llu bytes out of %llu in the archive",
                           WEIGHTS_SHOWN, name, (unsigned long long)stat->size,
                           (unsigned long long)stat->comp_size);
    return true;
}

/* Reads and parses the header of the open member. offset becomes index << 16 | header bytes: all
 * that reading it needs. */
static bool read_npy(Npz *npz, uint64_t index, const zip_stat_t *stat, HoneFileTensor *tensor,
                     char *descr, HoneError *error)
{
    unsigned char header[NPY_MOST_HEADER];
    uint64_t bytes = 0;
    if (stat->size >= NPY_FIRST) {
        if (!read_member(npz, stat->name, header, NPY_FIRST, error))
            return false;
        bytes = npy_header_bytes(header);
    }
    if (bytes < NPY_FIRST || bytes > stat->size || bytes > NPY_MOST_HEADER)
        return weights_bad(npz->file, error, "`%.*s` is not an npy file", WEIGHTS_SHOWN, stat->name);
    if (!read_member(npz, stat->name, header + NPY_FIRST, bytes - NPY_FIRST, error) ||
        !npy_parse(npz->file, stat->name, header, bytes, tensor, descr, error))
        return false;
    if (tensor->bytes != stat->size - bytes)
        return weights_bad(npz->file, error, "`%.*s` has %llu bytes, its header asks for %llu",
                           WEIGHTS_SHOWN, stat->name, (unsigned long long)(stat->size - bytes),
                           (unsigned long long)tensor->bytes);
    tensor->offset = index << 16 | bytes;
    return true;
}

static bool add_member(Npz *npz, uint64_t index, char **text, uint64_t *compressed,
                       HoneError *error)
{
    HoneFile *file = npz->file;
    zip_stat_t stat;
    if (zip_stat_index(npz->zip, index, 0, &stat) != 0)
        return bad_zip(npz, zip_get_error(npz->zip), "a member", error);
    if (!check_stat(file, &stat, error))
        return false;
    *compressed += stat.comp_size;
    if (*compressed > file->bytes)
        return weights_bad(file, error, "its members overlap");
    HoneFileTensor *tensor = &file->tensors[file->n];
    char *key = *text, *descr = key + strlen(stat.name) - 3;
    memcpy(key, stat.name, strlen(stat.name) - 4);
    bool good = weights_check_key(file, key, error) && open_member(npz, index, stat.name, error) &&
                read_npy(npz, index, &stat, tensor, descr, error);
    close_member(npz);
    if (!good)
        return false;
    tensor->key = key;
    *text = descr + strlen(descr) + 1;
    file->n++;
    return true;
}

/* Room for every key and descr; names are in the archive, so its length bounds them. */
static bool alloc_text(Npz *npz, uint64_t n, HoneError *error)
{
    size_t bytes = 1;
    for (uint64_t i = 0; i < n; i++) {
        const char *name = zip_get_name(npz->zip, i, 0);
        bytes += (name ? strlen(name) : 0) + 1 + NPY_DESCR;
    }
    npz->file->text = hone_alloc(npz->file->sys, bytes);
    return npz->file->text || hone_fail_memory(error, "names of arrays", bytes);
}

static bool npz_open(HoneFile *file, HoneError *error)
{
    Npz *npz = hone_alloc(file->sys, sizeof *npz);
    if (!npz)
        return hone_fail_memory(error, "a zip archive", sizeof *npz);
    file->state = npz;
    npz->file = file;
    zip_error_init(&npz->zip_error);
    if (!open_archive(npz, error))
        return false;
    zip_int64_t n = zip_get_num_entries(npz->zip, 0);
    if (n < 0 || (uint64_t)n > file->bytes / LEAST_MEMBER)
        return weights_bad(file, error, "the archive claims %lld members", (long long)n);
    if (!weights_table(file, (size_t)n, error) || !alloc_text(npz, (uint64_t)n, error))
        return false;
    char *text = file->text;
    uint64_t compressed = 0;
    for (uint64_t i = 0; i < (uint64_t)n; i++)
        if (!add_member(npz, i, &text, &compressed, error))
            return false;
    return true;
}

static bool npz_begin(HoneFile *file, const HoneFileTensor *tensor, HoneError *error)
{
    Npz *npz = file->state;
    unsigned char header[NPY_MOST_HEADER];
    if (open_member(npz, tensor->offset >> 16, tensor->key, error) &&
        read_member(npz, tensor->key, header, tensor->offset & 0xFFFF, error))
        return true;
    close_member(npz);
    return false;
}

static bool npz_next(HoneFile *file, void *to, size_t bytes, HoneError *error)
{
    return read_member(file->state, file->reading->key, to, bytes, error);
}

/* Reading on to the end makes the zip library compare the checksum. */
static bool npz_end(HoneFile *file, HoneError *error)
{
    Npz *npz = file->state;
    char beyond;
    bool good = true;
    if (file->done == file->reading->bytes) {
        zip_int64_t got = zip_fread(npz->member, &beyond, 1);
        if (got != 0)
            good = got > 0 ? weights_bad(file, error, "`%.*s` is longer than the archive says",
                                         WEIGHTS_SHOWN, file->reading->key)
                           : bad_zip(npz, zip_file_get_error(npz->member), file->reading->key, error);
    }
    close_member(npz);
    return good;
}

static void npz_close(HoneFile *file)
{
    Npz *npz = file->state;
    if (!npz)
        return;
    if (npz->zip)
        zip_discard(npz->zip);
    zip_error_fini(&npz->zip_error);
    hone_free(file->sys, npz);
}

const Format format_npz = {.name = "npz",
                           .open = npz_open,
                           .begin = npz_begin,
                           .next = npz_next,
                           .end = npz_end,
                           .close = npz_close};
