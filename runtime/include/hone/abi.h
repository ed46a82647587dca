/* abi: what a compiled program is. The compiler fills one HoneProgram (for `hone run` in memory,
 * later as a constant table in an object file); the runtime executes it and knows nothing else.
 *
 * All memory of a run lies in a few arenas whose sizes the program states. A tensor is
 * {arena, offset, strides}; a kernel call is a function with its buffers and a number of chunks.
 * Chunks are fixed by the plan: any thread may run any chunk, in any order, with the same bits.
 * What a pointer here points to is copied before a run (compiler/keep.c): one more is one more there.
 */
#ifndef HONE_ABI_H
#define HONE_ABI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HONE_ABI_VERSION 5
#define HONE_NONE UINT32_MAX
enum {
    HONE_MAX_RANK = 12,
    HONE_MAX_FIELDS = 16,                   /* of a data set */
    HONE_MAX_LENGTHS = 16,                  /* of the samples of a data set, */
    HONE_LONGEST = 1 << 20,                 /* and the longest */
    HONE_MAX_STAGES = 64                    /* bits of HonePort.earlier */
};

typedef enum HoneDType {   /* same order as compiler/graph/dtype.def; a test compares them */
    HONE_BOOL, HONE_U8, HONE_I8, HONE_I32, HONE_I64, HONE_BF16, HONE_F16, HONE_F32, HONE_F64
} HoneDType;

typedef enum HoneArenaId {
    HONE_ARENA_PARAMS,       /* parameters and model states: what a weights file holds */
    HONE_ARENA_STATE,        /* optimizer states, running totals */
    HONE_ARENA_IO,           /* batch fields, step values, outputs */
    HONE_ARENA_ACTIVATIONS,  /* everything an entry computes; shared by all entries */
    HONE_ARENA_CONSTANTS,    /* read-only tables */
    HONE_ARENAS
} HoneArenaId;

typedef struct HoneRef {
    uint32_t arena;
    uint64_t offset;                        /* bytes, multiple of 64 */
} HoneRef;

/* --- kernels ---------------------------------------------------------------------------------- */
/* buffers: one pointer per HoneCall.buffers; scratch: this thread's, scratch_bytes of the program,
 * 64-byte aligned; chunk in 0 .. chunks-1. Kernels neither allocate nor fail, except that a
 * data-dependent subscript that leaves its tensor stores into the fault record (buffer of
 * HONE_STEP_FAULT). */
typedef void HoneKernelFn(void *const *buffers, void *scratch, int64_t chunk);

/* A byte that an earlier call of the entry wrote: 0 or 1. */
typedef struct HoneCondition {
    HoneRef at;
    bool holds;
} HoneCondition;

typedef struct HoneCall {
    HoneKernelFn *fn;
    const char *name;                       /* "conv.3": stable within a program */
    uint32_t n_buffers;
    const HoneRef *buffers;
    int64_t chunks;
    double flops, bytes;                    /* of one call, for reports */
    uint32_t place;                         /* index in HoneProgram.places */
    uint32_t n_conditions;                  /* the call is left out of a pass where one does not hold: */
    const HoneCondition *conditions;        /* nobody looks at what it would compute */
} HoneCall;

/* --- tensors that live between steps ----------------------------------------------------------- */
typedef enum HoneTensorKind {
    HONE_PARAM, HONE_MODEL_STATE, HONE_OPTIMIZER_STATE, HONE_TOTAL, HONE_INITIAL /* p0 */,
    HONE_GRADIENT,           /* sums over the parts of an update; nothing between updates */
    HONE_AVERAGE,            /* of a parameter over the updates (`ema`) */
    HONE_START               /* a remembered metric before the first update */
} HoneTensorKind;

typedef enum HoneInitKind {
    HONE_INIT_CONSTANT,      /* a */
    HONE_INIT_UNIFORM,       /* in [a, b) */
    HONE_INIT_NORMAL,        /* mean a, standard deviation b */
    HONE_INIT_EYE,           /* a on the diagonal */
    HONE_INIT_COPY           /* of tensor `of` after loading (p0) */
} HoneInitKind;

typedef struct HoneTensor {
    const char *key;                        /* checkpoint key; optimizer state: "PARAM:STATE" */
    HoneTensorKind kind;
    HoneDType dtype;
    uint32_t rank;
    int64_t dims[HONE_MAX_RANK];            /* logical, as in files */
    int64_t strides[HONE_MAX_RANK];         /* storage, in elements */
    HoneRef at;
    uint64_t bytes;                         /* of storage, padding included */
    HoneInitKind init;
    double a, b;
    uint64_t init_key;                      /* random initialisers: hash of the key */
    uint32_t of;                            /* OPTIMIZER_STATE, INITIAL: the parameter; else NONE */
    uint32_t load;                          /* index in loads, or NONE: initialised */
    const char *load_key;                   /* its key in that file */
    const char *penalty;                    /* where one that moves it stands, for messages; or NULL */
} HoneTensor;

/* --- entries: one compiled graph each ----------------------------------------------------------- */
typedef enum HoneStepKind {                 /* rank-0 f64 unless said otherwise */
    HONE_STEP_PROGRESS,                     /* 0 … 1 over the stage: done steps / steps */
    HONE_STEP_EPOCH,                        /* epochs of the stage completed, whole number */
    HONE_STEP_T,                            /* updates incl. this: + steps of the stages in `earlier` */
    HONE_STEP_OPTION,                       /* value */
    HONE_STEP_RANDOM,                       /* u64[2]: seed, updates of the run so far */
    HONE_STEP_FAULT                         /* i64[4]: set by kernels: place + 1, value, extent, element */
} HoneStepKind;

typedef struct HonePort {                   /* a batch field, step value or output of an entry */
    const char *name;
    HoneDType dtype;
    uint32_t rank;
    int64_t dims[HONE_MAX_RANK];
    int64_t strides[HONE_MAX_RANK];
    HoneRef at;
    HoneStepKind step;                      /* step values only */
    uint64_t earlier;                       /* STEP_T: bit s: stage s counts too */
    double value;                           /* STEP_OPTION */
    const char *label;                      /* STEP_OPTION: its name */
} HonePort;
_Static_assert(HONE_MAX_STAGES == 8 * sizeof((HonePort *)0)->earlier, "a bit for every stage");

typedef struct HoneEntry {
    const char *name;                       /* "train.full", "eval", "eval.one", "metrics" … */
    uint32_t n_calls, n_fields, n_steps, n_outputs;
    const HoneCall *calls;                  /* in order */
    const HonePort *fields;                 /* batch fields it reads; dims[0] is the batch */
    const HonePort *steps;
    const HonePort *outputs;                /* named: "loss", "lr", metrics, predictions */
    uint64_t activation_bytes;
    double flops, bytes;
} HoneEntry;

/* --- data --------------------------------------------------------------------------------------- */
typedef enum HoneOptionKind {
    HONE_OPT_INT, HONE_OPT_FLOAT, HONE_OPT_BOOL, HONE_OPT_STRING
} HoneOptionKind;

typedef struct HoneOption {                 /* an argument of a data source, by name */
    const char *name;
    HoneOptionKind kind;
    int64_t i;
    double f;
    const char *s;
} HoneOption;

typedef struct HoneSource {                 /* images("pets/train", size = 224): one split */
    const char *reader;                     /* row of runtime/data/readers.def */
    uint32_t n_options;
    const HoneOption *options;              /* positional arguments under their names */
    bool skip_bad;                          /* pass over files that cannot be decoded */
    bool headers_only;                      /* find them by their first bytes */
} HoneSource;

typedef struct HoneData {
    const char *name;
    int64_t batch;
    bool shuffle;                           /* training; default true */
    uint32_t n_lengths;                     /* above 1: a batch holds samples of one of these lengths, */
    const int64_t *lengths;                 /* ascending; the fields of the data are of the last */
    const HoneSource *train, *valid, *test; /* NULL if absent */
} HoneData;

/* --- recipe --------------------------------------------------------------------------------------- */
typedef struct HoneLoad {
    const char *path;
    uint32_t n_ignored;                     /* for the report */
    bool absent;                            /* checked without the file */
} HoneLoad;

typedef struct HoneSaveItem {
    const char *key;                        /* in the file written */
    uint32_t tensor;
} HoneSaveItem;
typedef struct HoneSave {
    const char *path;
    bool merged;                            /* written last, after the entry `merge` */
    uint32_t n_items;
    const HoneSaveItem *items;
} HoneSave;

typedef struct HoneLength {                 /* entries for batches of a length below the last */
    uint32_t train, count, update, eval, eval_one;
} HoneLength;

typedef struct HoneStage {
    const char *name;
    uint32_t data;                          /* of the step clause */
    uint32_t train;                         /* entry: forward, backward, and the update if there is no
                                             * entry for it */
    int64_t accumulate;                     /* parts of an update, a batch each */
    uint32_t count, update;                 /* entries before and after all parts; or NONE */
    uint32_t n_zeroed;
    const uint32_t *zeroed;                 /* tensors zeroed before an update */
    bool average;                           /* evaluate and save averages */
    uint32_t eval, eval_one;                /* entries adding to totals; batch and batch 1; or NONE */
    uint32_t n_shorter;                     /* lengths of the data but the last, which the entries above */
    const HoneLength *shorter;              /* are for */
    uint32_t metrics;                       /* entry: metrics from totals; or NONE */
    uint32_t n_totals;
    const uint32_t *totals;                 /* tensors zeroed before an evaluation */
    double epochs;                          /* > 0, or steps > 0 */
    int64_t steps;
    const char *monitor;                    /* output of metrics; NULL: none */
    bool monitor_max;
    int64_t patience;                       /* evaluations without improvement; 0: off */
    int64_t every;                          /* evaluate every n steps; 0: each epoch */
    int64_t checkpoint;                     /* checkpoint every n steps; 0: each epoch */
    uint64_t trainable_elements;
    uint32_t trainable_tensors;
} HoneStage;

typedef struct HoneRemember {               /* data whose `valid` is evaluated beside the stage's */
    uint32_t data;
    uint32_t eval, eval_one;
    uint32_t n_shorter;                     /* as in HoneStage */
    const HoneLength *shorter;
} HoneRemember;

typedef struct HonePlace {                  /* where a kernel's equations stand, for messages */
    const char *file;
    uint32_t line, column;
    const char *what;
} HonePlace;

typedef struct HoneProgram {
    uint32_t version;
    const char *name;                       /* of the finetune item */
    const char *recipe;                     /* its text as resolved: written into the run directory */
    uint64_t hash;                          /* of recipe, model and plan: checkpoints must match */
    const char *target;                     /* "x86-64-v4 znver4" */
    uint64_t arena_bytes[HONE_ARENAS];
    const void *constants;                  /* initial contents of HONE_ARENA_CONSTANTS */
    uint64_t scratch_bytes;                 /* per thread */
    uint64_t seed;
    int64_t workers;                        /* decoding threads; -1: chosen */
    bool skip_bad;
    uint32_t n_tensors, n_entries, n_data, n_loads, n_saves, n_stages, n_places;
    const HoneTensor *tensors;
    const HoneEntry *entries;
    const HoneData *data;
    const HoneLoad *loads;
    const HoneSave *saves;
    const HoneStage *stages;
    const HonePlace *places;
    uint32_t predict;                       /* entry with batch 1, or NONE */
    uint32_t n_remembers;
    const HoneRemember *remembers;
    uint32_t start;                         /* entry, after an evaluation before the first update: keeps
                                             * remembered metrics; or NONE */
    uint32_t n_changes;                     /* last outputs of `metrics`: changes since then */
    uint32_t merge;                         /* entry: adapters folded into parameters; or NONE */
    uint32_t predict_data;                  /* whose reader decodes the pictures */
} HoneProgram;

#endif
