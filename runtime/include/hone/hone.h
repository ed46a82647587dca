/* hone: running a compiled program, and reading data and weights. Used by the `hone` command and by
 * training binaries; no LLVM, no syntax tree. Functions that can fail return false and fill *error.
 *
 *   train.c step.c     the training loop, evaluation, stages, best weights
 *   metrics.c          metrics.jsonl: one valid line per record
 *   progress.c         what a person sees while it runs
 *   checkpoint.c       atomic checkpoints, resume
 *   signals.c pool.c rng.c sys.c status.c
 *   cache.c            files that can be made again
 *   data/              readers.def and a file for each; dataset, loader, decode, augment, resize
 *   weights/           safetensors npz
 */
#ifndef HONE_H
#define HONE_H

#include "hone/abi.h"
#include "hone/status.h"
#include "hone/sys.h"

/* --- rng.c: Philox 4x32-10 (Salmon et al., SC'11) ----------------------------------------------- */
/* Random bits are a pure function of (seed, key, step, element): key says for what. */
uint32_t hone_random_u32(uint64_t seed, uint64_t key, uint64_t step, uint64_t element);
float hone_random_uniform(uint64_t seed, uint64_t key, uint64_t step, uint64_t element); /* [0, 1) */
double hone_random_normal(uint64_t seed, uint64_t key, uint64_t step, uint64_t element);
uint64_t hone_random_below(uint64_t seed, uint64_t key, uint64_t step, uint64_t element,
                           uint64_t bound);
uint64_t hone_hash(const char *text);                 /* FNV-1a 64, as str_hash of the compiler */
/* Stores one element; integers are cut towards zero. */
void hone_store(void *at, HoneDType dtype, double value);

/* --- pool.c: own threads, chunks from a shared counter -------------------------------------------- */
typedef struct HonePool HonePool;
HonePool *hone_pool_new(HoneSys *sys, int threads, size_t scratch_bytes); /* NULL: no memory */
void hone_pool_free(HonePool *pool);
int hone_pool_threads(const HonePool *pool);
void hone_pool_run(HonePool *pool, HoneKernelFn *fn, void *const *buffers, int64_t chunks);
int hone_cpu_count(void);                             /* cores this process may use */

/* --- cache.c: what can be made again, in a folder of files named by their keys -------------------- */
typedef struct HoneDigest {
    uint64_t low, high;        /* XXH3, 128 bits */
} HoneDigest;
HoneDigest hone_digest(const void *bytes, size_t n);
/* What was put under the key: one block with *bytes bytes from *from on, to be freed by hone_free.
 * NULL: nothing, or nothing whole that this user wrote. Whatever goes wrong is nothing. */
void *hone_cache_get(HoneSys *sys, const char *folder, HoneDigest key, const char **from,
                     size_t *bytes);
/* Makes the folder if need be; readers see the whole file or none, also with two writers. */
bool hone_cache_put(HoneSys *sys, const char *folder, HoneDigest key, const void *from, size_t bytes);
/* Removes the files least recently used until at most `most` bytes are left. */
void hone_cache_trim(HoneSys *sys, const char *folder, int64_t most);

/* --- weights ---------------------------------------------------------------------------------------- */
typedef struct HoneFileTensor {
    const char *key;
    HoneDType dtype;
    bool known_dtype;          /* false: listed, but cannot be loaded (f8 …) */
    const char *dtype_name;    /* as written in the file */
    uint32_t rank;
    int64_t dims[HONE_MAX_RANK];
    uint64_t offset, bytes;    /* in the file */
} HoneFileTensor;
typedef struct HoneFile HoneFile;      /* an opened, fully checked safetensors or npz file */
HoneFile *hone_file_open(HoneSys *sys, const char *path, HoneError *error);
void hone_file_close(HoneFile *file);
size_t hone_file_count(const HoneFile *file);
const HoneFileTensor *hone_file_tensor(const HoneFile *file, size_t i);   /* in file order */
const HoneFileTensor *hone_file_find(const HoneFile *file, const char *key);
/* Reads the whole tensor, row-major, as stored. to has tensor->bytes. */
bool hone_file_read(HoneFile *file, const HoneFileTensor *tensor, void *to, HoneError *error);

typedef struct HoneWrite {
    const char *key;
    HoneDType dtype;
    uint32_t rank;
    int64_t dims[HONE_MAX_RANK];
    const void *data;
    const int64_t *strides;    /* of data, in elements; NULL: row-major */
} HoneWrite;
/* Whole and atomically: temporary sibling, fsync, rename, fsync of the folder. Metadata
 * {"format": "pt"}; tensors sorted by alignment, then name; header padded to 8 bytes. */
bool hone_safetensors_write(HoneSys *sys, const char *path, size_t n, const HoneWrite *tensors,
                            HoneError *error);

/* --- data --------------------------------------------------------------------------------------------- */
typedef struct HoneField {     /* of one sample: dims without the batch dimension */
    const char *name;
    HoneDType dtype;
    uint32_t rank;
    int64_t dims[HONE_MAX_RANK];
} HoneField;

typedef struct HoneDataset HoneDataset;     /* an opened split */
/* Opens and checks (folder listing, file headers); decodes nothing yet. root: folder that relative
 * paths are relative to. */
HoneDataset *hone_data_open(HoneSys *sys, const HoneSource *source, const char *root,
                            HoneError *error);
void hone_data_close(HoneDataset *data);
size_t hone_data_fields(const HoneDataset *data, const HoneField **fields);
int64_t hone_data_count(const HoneDataset *data);
int64_t hone_data_skipped(const HoneDataset *data);           /* bad files passed over */
size_t hone_data_classes(const HoneDataset *data, const char *const **names);   /* 0: none */
/* The field whose values they number, whether or not they have names. */
const char *hone_data_label(const HoneDataset *data);
/* What the field `x` of a table holds: splits must have the same. 0: columns have no names. */
size_t hone_data_columns(const HoneDataset *data, const char *const **names);
/* The least and largest value of a field of whole numbers; false where samples are not in memory. */
bool hone_data_range(const HoneDataset *data, size_t field, int64_t *low, int64_t *high);
/* Fields of a reader that depend on its options alone, for checking without files. False if the
 * fields depend on the file (arrays) or the reader is unknown. */
bool hone_reader_fields(const HoneSource *source, size_t *n, HoneField *fields, size_t capacity);
typedef struct HoneArgument {  /* what a data source may be told */
    const char *name;          /* NULL: behind the last one */
    HoneOptionKind kind;
    bool needed;
    int64_t least, most;       /* of an int; of a float, which must be above `least` */
    const char *const *choices;    /* of a string, NULL-terminated; NULL: any will do */
} HoneArgument;
/* In positional order; NULL: no such reader. */
const HoneArgument *hone_reader_arguments(const char *reader);
const char *hone_reader_name(size_t i);                    /* of the i-th; NULL: there are no more */

/* Batches of a data set in a fixed order, decoded ahead by worker threads. The order is a pure
 * function of (seed, epoch); augmentation of (seed, epoch, sample). */
typedef struct HoneLoader HoneLoader;
typedef struct HoneLoaderConfig {
    int64_t batch;
    bool shuffle, augment, drop_last;
    uint64_t seed;
    int workers, depth;        /* decoding threads and batches ahead; < 0: chosen */
    uint32_t n_lengths;        /* above 1: a batch holds samples that fit one of these lengths and */
    const int64_t *lengths;    /* none below it; ascending */
} HoneLoaderConfig;
/* As a run reads the data: for updates of so many parts, whose batches it reads as one; 0: to evaluate.
 * The seed is 0, workers and depth are chosen. */
HoneLoaderConfig hone_loader_config(const HoneData *data, int64_t parts);
HoneLoader *hone_loader_new(HoneSys *sys, HoneDataset *data, const HoneLoaderConfig *config,
                            HoneError *error);
void hone_loader_free(HoneLoader *loader);
/* Starts an epoch at a batch (resume). */
bool hone_loader_start(HoneLoader *loader, int64_t epoch, int64_t batch, HoneError *error);
typedef struct HoneBatch {
    int64_t size;              /* samples; smaller in a short last batch */
    const void *const *fields; /* row-major [size, dims…] in the order of hone_data_fields */
    const int64_t *samples;    /* their indices in the data set */
    uint32_t length;           /* index among the lengths */
} HoneBatch;
/* The next batch, valid until the next call; size 0 at the epoch's end. */
bool hone_loader_next(HoneLoader *loader, HoneBatch *batch, HoneError *error);
int64_t hone_loader_batches(const HoneLoader *loader);      /* per epoch */
/* What the memory of loading follows from beside the loader; all 0: not known. */
typedef struct HoneLoading {
    int64_t samples[HONE_MAX_LENGTHS];     /* by length; all in the first where there are not several */
    size_t n_fields, field_bytes[HONE_MAX_FIELDS];
    uint64_t held;                         /* by the data set */
    uint64_t decoding;                     /* by a thread that decodes */
} HoneLoading;
HoneLoading hone_data_loading(const HoneDataset *data, uint32_t n_lengths, const int64_t *lengths);
int64_t hone_loading_most(const HoneLoading *loading);     /* samples of one length, for a batch */
/* What a loader and its data set take together. */
uint64_t hone_loading_bytes(const HoneLoading *loading, const HoneLoaderConfig *config);

bool hone_reader_pictures(const char *reader);             /* does it read pictures? */
/* One picture as such a reader would give it in evaluation: f32 [3, S, S]. */
bool hone_image_decode(HoneSys *sys, const HoneSource *source, const char *path, float *to,
                       HoneError *error);

/* --- measuring (step.c, measure.c) ------------------------------------------------------------------- */
/* Time spent in kernels, by whoever asks for it; engine_run adds to it. By entry: passes; by call of
 * all entries in order: seconds. */
typedef struct HoneTimes {
    int64_t *passes;
    double *seconds;
} HoneTimes;

/* Writes a file beside `path` and puts it in its place: the file is the old one or the new one, whole. A
 * link to it stays a link, and permissions stay. */
bool hone_replace_file(HoneSys *sys, const char *path, const void *bytes, size_t n,
                       HoneError *error);

/* --- running ------------------------------------------------------------------------------------------ */
typedef struct HoneRunOptions {
    HoneSys *sys;
    const char *root;          /* of relative paths */
    const char *out;           /* run directory; NULL: runs/NAME under root, -2, -3 … */
    int threads;               /* 0: all cores */
    bool resume, quiet, json;
    int colour;                /* -1 automatic, 0 never, 1 always */
    int prefetch;              /* batches ahead; -1 chosen */
    int err_fd, out_fd;        /* progress and log; results */
    HoneTimes *times;          /* filled while it runs; NULL: not asked for */
} HoneRunOptions;

typedef struct HoneResult {    /* what a run came to, for the summary */
    double seconds;
    int64_t steps;
    double best;               /* value of the monitored metric; NaN if none */
    const char *monitor;
    int64_t best_epoch;
    const char *best_stage;
    bool finished;             /* trained to the end, weights saved: also where hone_run then failed */
    bool best_lost;            /* the best weights could not be kept; saved are those of … */
    double saved;              /* this value of the metric; NaN: not known */
    int64_t saved_epoch;
    uint64_t planned_bytes, peak_rss, base_rss;
    char run_dir[4096];
    bool checkpoint_saved;
} HoneResult;

/* Loads, trains all stages, saves. False with error->exit 130/143 when stopped by a signal. */
bool hone_run(const HoneProgram *program, const HoneRunOptions *options, HoneResult *result,
              HoneError *error);

/* Runs an entry on made-up values, first `warm` times unmeasured: the time of each pass in seconds
 * [passes], of the kernels in options->times. Whole numbers of field f are drawn below below[f]. Loads
 * are not read. */
typedef struct HoneMeasure {
    uint32_t entry;
    int64_t warm, passes;
    const int64_t *below;
    double *seconds;
    uint64_t planned_bytes, base_rss, peak_rss;    /* out; rss: of the process before, at most */
} HoneMeasure;
bool hone_measure(const HoneProgram *program, const HoneRunOptions *options, HoneMeasure *measure,
                  HoneError *error);

/* Evaluates the last stage's metrics on `valid` (or `test`) with the weights of a file. */
typedef struct HoneMetric {
    const char *name;
    double value;
} HoneMetric;
bool hone_evaluate(const HoneProgram *program, const HoneRunOptions *options, const char *weights,
                   size_t *n, HoneMetric *metrics, size_t capacity, HoneError *error);

/* Runs the predict entry on one picture; *values (freed by hone_free) has the output's elements. */
typedef struct HonePredictor HonePredictor;
HonePredictor *hone_predictor_new(const HoneProgram *program, const HoneRunOptions *options,
                                  const char *weights, HoneError *error);
void hone_predictor_free(HonePredictor *predictor);
bool hone_predict(HonePredictor *predictor, const char *picture, const HonePort **output,
                  const float **values, HoneError *error);

#endif
