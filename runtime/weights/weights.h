/* weights: what the files of this folder share.
 *
 *   formats.def     the formats, by the bytes they start with
 *   file.c          opening any format, finding keys, reading in pieces
 *   safetensors.c   reading and checking;  safetensors_write.c  writing
 *   npz.c npy.c     NumPy archives and the header of one array
 *
 * Every size comes from the file and is hostile until checked: arithmetic through
 * __builtin_*_overflow, nothing allocated that the file's own length does not bound.
 */
#ifndef HONE_WEIGHTS_H
#define HONE_WEIGHTS_H

#include "internal.h"

enum { WEIGHTS_MAX_KEY = 4096, WEIGHTS_SHOWN = 80 };

typedef struct Format Format;

struct HoneFile {
    HoneSys *sys;
    const Format *format;
    char *path;
    int fd;
    uint64_t bytes;                /* of the file */
    size_t n;
    HoneFileTensor *tensors;       /* in file order */
    const HoneFileTensor **by_key; /* n, sorted */
    char *text;                    /* keys and dtype names live here */
    void *state;                   /* the format's */
    const HoneFileTensor *reading; /* between begin and end */
    uint64_t done;                 /* its bytes read so far */
};

struct Format {
    const char *name;
    bool (*open)(HoneFile *file, HoneError *error);   /* fills tensors and n */
    bool (*begin)(HoneFile *file, const HoneFileTensor *tensor, HoneError *error);
    bool (*next)(HoneFile *file, void *to, size_t bytes, HoneError *error);
    bool (*end)(HoneFile *file, HoneError *error);    /* all bytes were read */
    void (*close)(HoneFile *file);
};

/* "`PATH`: …": E703, exit 3. */
bool weights_bad(const HoneFile *file, HoneError *error, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
bool weights_table(HoneFile *file, size_t n, HoneError *error);
/* Is this a key that can be shown and compared: 1 to 4096 bytes, no control characters? */
bool weights_check_key(const HoneFile *file, const char *key, HoneError *error);

/* npy.c: the header of one array, `bytes` long; fills all of tensor but key and offset. dtype_name
 * is left pointing into `descr`. */
enum { NPY_FIRST = 12, NPY_MOST_HEADER = 4096, NPY_DESCR = 16 };
bool npy_parse(const HoneFile *file, const char *key, const unsigned char *header, size_t bytes,
               HoneFileTensor *tensor, char descr[NPY_DESCR], HoneError *error);
/* Length of the whole header from its first 12 bytes; 0: not an npy file. */
uint64_t npy_header_bytes(const unsigned char first[NPY_FIRST]);

#endif
