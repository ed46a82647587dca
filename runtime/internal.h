/* internal: what the runtime's files share with one another and nobody else sees.
 *
 *   json.c    strict pull reader of JSON in place
 *   layout.c  dtypes, element conversion, walking strided tensors
 *   text.c    formatting into buffers of fixed size
 *   out.c     buffered, hashed, atomic writing of files; texts of errno
 */
#ifndef HONE_INTERNAL_H
#define HONE_INTERNAL_H

#include "hone/hone.h"

#include <stdint.h>

/* --- json.c --------------------------------------------------------------------------------------
 * The caller knows the form and asks for it piece by piece; what is not asked for is an error.
 * Texts are decoded in place, so a document costs no memory but itself.
 *
 *   if (hone_json_enter(&json, '{'))
 *       while (hone_json_more(&json, '}')) { key = hone_json_key(&json); … }
 *   if (!hone_json_end(&json)) report(json.why, hone_json_offset(&json));
 */
typedef struct HoneJson {
    char *text, *at, *end;
    bool first;                /* nothing read yet of the present object or array */
    const char *why;           /* NULL, or the first thing that is wrong; all calls then fail */
} HoneJson;
HoneJson hone_json(char *text, size_t bytes);      /* text[bytes] is readable and may be written */
bool hone_json_enter(HoneJson *json, char bracket);
bool hone_json_more(HoneJson *json, char closing);  /* false at the closing bracket and on errors */
char *hone_json_key(HoneJson *json);                /* the text and its colon */
char *hone_json_text(HoneJson *json);               /* UTF-8 without NUL; NULL on errors */
bool hone_json_u64(HoneJson *json, uint64_t *value);
bool hone_json_end(HoneJson *json);                 /* nothing but white space follows */
bool hone_json_fail(HoneJson *json, const char *why);
size_t hone_json_offset(const HoneJson *json);

/* --- layout.c ------------------------------------------------------------------------------------ */
size_t hone_dtype_bytes(HoneDType dtype);
const char *hone_dtype_name(HoneDType dtype);               /* "f32" */
bool hone_dtype_is_float(HoneDType dtype);
/* May a stored `from` become a `to`: floats of any width; integers and bools to wider integers and,
 * into data fields, to floats. */
bool hone_dtype_converts(HoneDType from, HoneDType to);
/* Product of dims times bytes, checked. */
bool hone_size_of(uint32_t rank, const int64_t *dims, size_t element, uint64_t *bytes);
/* One element as a double. */
double hone_fetch(const void *at, HoneDType dtype);
/* n elements, strides in elements. */
void hone_convert(void *to, HoneDType to_dtype, int64_t to_stride, const void *from,
                  HoneDType from_dtype, int64_t from_stride, int64_t n);

/* Walks two tensors of the same dims and their own strides row by row; trailing dimensions that are
 * contiguous in both are one row. NULL strides: row-major. */
typedef struct HoneRows {
    uint32_t rank;                       /* of the outer dimensions */
    int64_t dims[HONE_MAX_RANK], a_strides[HONE_MAX_RANK], b_strides[HONE_MAX_RANK];
    int64_t index[HONE_MAX_RANK];
    int64_t a, b;                        /* element offsets of the present row */
    int64_t n, a_step, b_step;           /* its elements and strides */
    bool valid;
} HoneRows;
HoneRows hone_rows(uint32_t rank, const int64_t *dims, const int64_t *a, const int64_t *b);
void hone_rows_next(HoneRows *rows);
void hone_copy_strided(void *to, HoneDType to_dtype, const int64_t *to_strides, const void *from,
                       HoneDType from_dtype, const int64_t *from_strides, uint32_t rank,
                       const int64_t *dims);

/* --- text.c --------------------------------------------------------------------------------------- */
enum { HONE_TEXT_NAME = 200 };           /* bytes of a name that are shown */
typedef struct HoneText {
    char *at;                            /* NUL-terminated */
    size_t room, n;                      /* bytes, the NUL included; bytes used, without it */
} HoneText;
HoneText hone_text(char *at, size_t room);               /* empty; room > 0 */
/* What does not fit is left out whole. */
void hone_text_add(HoneText *text, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* One more field of a JSON object, `, "name": 1.5`; null where the value is not finite. */
void hone_text_number(HoneText *text, const char *name, double value);

/* --- out.c ---------------------------------------------------------------------------------------- */
enum { HONE_OUT_BUFFER = 1 << 16, HONE_PATH = 4096 };
typedef struct HoneOut {                 /* lives on the stack; no memory is asked for */
    HoneSys *sys;
    int fd;
    int error;                           /* errno of the first failure; later calls do nothing */
    uint64_t bytes;
    size_t len;
    _Alignas(64) unsigned char hash[640];
    unsigned char buffer[HONE_OUT_BUFFER];
} HoneOut;
void hone_out_open(HoneOut *out, HoneSys *sys, const char *path);
void hone_out_add(HoneOut *out, const void *bytes, size_t n);
void hone_out_printf(HoneOut *out, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Flushes, syncs, closes; 0 or the errno of whatever failed first. */
int hone_out_close(HoneOut *out, HoneDigest *digest);
bool hone_digest_file(HoneSys *sys, const char *path, uint64_t *bytes, HoneDigest *digest);

/* Copies a file and syncs the copy; false with errno. */
bool hone_copy_file(HoneSys *sys, const char *from, const char *to);

/* The three steps of replacing a file whole: write to the temporary sibling, then commit. */
bool hone_temp_path(char temp[HONE_PATH], const char *path);   /* false: too long */
bool hone_path_join(char to[HONE_PATH], const char *folder, const char *name);
void hone_path_folder(char to[HONE_PATH], const char *path);
bool hone_replace(HoneSys *sys, const char *temp, const char *path);
bool hone_fail_write(HoneError *error, const char *path, int why);   /* E701, exit 4 */
bool hone_fail_read(HoneError *error, const char *path, int why);    /* E702, exit 3 */
bool hone_fail_memory(HoneError *error, const char *what, uint64_t bytes); /* E706, exit 5 */

/* Writes safetensors into an open file; order: alignment, then name. */
bool hone_safetensors_put(HoneOut *out, size_t n, const HoneWrite *tensors);

/* Names of the first few files that were passed over. */
const char *hone_data_skipped_first(const HoneDataset *data);

/* Reads a tensor of a file in pieces, in order. */
bool hone_file_begin(HoneFile *file, const HoneFileTensor *tensor, HoneError *error);
bool hone_file_next(HoneFile *file, void *to, size_t bytes, HoneError *error);
bool hone_file_end(HoneFile *file, HoneError *error);

#endif
