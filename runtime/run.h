/* run: what the files that execute a program share.
 *
 *   measure.c     passes over an entry on made-up values
 *   step.c        arenas and pool of a run; one pass over an entry
 *   tensors.c     first values, loading and saving of the tensors that live between steps
 *   train.c       stages, epochs, best weights, the end
 *   feed.c        a split of the data as a run reads it
 *   rundir.c      where a run writes;  evaluate.c  metrics over a data set;  predict.c  one picture
 *   checkpoint.c  the state of a run on disk, whole or not at all;  manifest.c  what it says of itself
 *   memory.c      what the system says of memory;  metrics.c  metrics.jsonl
 *   progress.c    what a person sees;  signals.c  asking to stop
 */
#ifndef HONE_RUN_H
#define HONE_RUN_H

#include "internal.h"

/* --- step.c --------------------------------------------------------------------------------------- */
typedef struct Engine {
    HoneSys *sys;
    const HoneProgram *program;
    HonePool *pool;
    char *arenas[HONE_ARENAS];
    void **pointers;               /* buffers of all calls of all entries, in order */
    size_t *first;                 /* by entry: index of its first pointer */
    uint64_t planned;              /* bytes of arenas and scratch */
    HoneTimes *times;              /* NULL: none are taken */
} Engine;
bool engine_open(Engine *engine, HoneSys *sys, const HoneProgram *program, int threads,
                 HoneError *error);
void engine_close(Engine *engine);
void *engine_at(const Engine *engine, HoneRef ref);

typedef struct StepValues {
    double progress, epoch;
    uint64_t updates;              /* of the run before this step: keys random numbers … */
    uint64_t part;                 /* … with the part of the update */
    int64_t stage_steps;           /* of this stage before this step */
    const int64_t *steps_of_stage; /* done in each stage */
    uint32_t n_stages;
} StepValues;
/* Has the data every field of the entry, in its shape and a dtype that becomes the port's? */
bool engine_check_fields(const HoneEntry *entry, const HoneDataset *data, HoneError *error);
/* Fields of the batch from sample `at` on go into the entry's ports; data names them. */
void engine_put_batch(Engine *engine, const HoneEntry *entry, const HoneDataset *data,
                      const HoneBatch *batch, int64_t at);
/* Runs all calls. False when a position that came from data left its tensor (E709, exit 3). */
bool engine_run(Engine *engine, uint32_t entry, const StepValues *values, HoneError *error);
/* An output as a double; NaN when there is none of the name. Rank 0. */
double engine_output(const Engine *engine, const HoneEntry *entry, const char *name);

/* --- memory.c: bytes; 0: the system does not tell ---------------------------------------------------- */
uint64_t memory_available(HoneSys *sys);
uint64_t memory_present(HoneSys *sys);
uint64_t memory_peak(void);
void memory_reset_peak(HoneSys *sys);          /* the peak counts from here */

/* --- tensors.c ------------------------------------------------------------------------------------ */
void tensors_initialise(Engine *engine);      /* from the seed, what no `load` fills */
bool tensors_load(Engine *engine, const char *root, HoneError *error);      /* program's loads */
/* Every PARAM and MODEL_STATE (what: the kinds below) from a file of its own keys. */
typedef enum TensorSet { TENSORS_MODEL, TENSORS_STATE } TensorSet;
bool tensors_read(Engine *engine, TensorSet set, const char *path, HoneError *error);
uint64_t tensors_bytes(const HoneProgram *program, TensorSet set);
bool tensors_write(Engine *engine, TensorSet set, const char *path, HoneError *error); /* atomic */
/* Into a folder that nobody looks into yet: synced, with the digest of what was written. */
bool tensors_put(Engine *engine, TensorSet set, const char *path, uint64_t *bytes,
                 HoneDigest *digest, HoneError *error);
const HoneTensor *tensors_not_finite(const Engine *engine);     /* the first such parameter; NULL: none */
void tensors_copy_initial(Engine *engine);                       /* p0 := p */
void tensors_copy_averages(Engine *engine);                      /* average := p */
void tensors_swap_averages(Engine *engine);                      /* average <-> p */
void tensors_zero(Engine *engine, uint32_t n, const uint32_t *tensors);
bool tensors_save(Engine *engine, const HoneSave *save, const char *root, HoneError *error);

/* --- train.c: where a run stands ------------------------------------------------------------------- */
typedef struct Best {              /* an evaluation that no other one surpassed */
    bool has;
    double value;                  /* of the monitored metric */
    int64_t epoch;
    uint32_t stage;
} Best;
typedef struct Position {
    uint32_t stage;
    int64_t step;                  /* in the stage: updates done */
    int64_t updates;               /* in the run */
    int64_t epoch;                 /* of the data, over all stages: finished or begun */
    int64_t steps_of_stage[HONE_MAX_STAGES];
    Best best;                     /* whose weights lie in the run directory */
    Best seen;                     /* of all: another one only where writing its weights failed */
    Best last;                     /* the evaluation of the present weights, if there was one */
    int64_t waited;                /* evaluations since the best one seen */
    bool eval_due;                 /* the evaluation after this step has not been done */
    uint64_t metrics_bytes;        /* of metrics.jsonl */
} Position;

/* --- rundir.c -------------------------------------------------------------------------------------- */
/* *lock: a descriptor that keeps other runs out until it is closed. */
bool rundir_open(char to[HONE_PATH], const HoneRunOptions *options, const char *name, int *lock,
                 HoneError *error);
/* Removes the folder if nothing was written into it. */
void rundir_remove(HoneSys *sys, const char *folder);
bool rundir_put_recipe(HoneSys *sys, const char *folder, const char *text, HoneError *error);

/* --- feed.c ---------------------------------------------------------------------------------------- */
typedef struct Feed {              /* a split: NULL where there is none */
    HoneDataset *data;
    HoneLoader *loader;
    uint64_t bytes;                /* that both take */
} Feed;
/* parts: as of hone_loader_config. After a failure too the feed is to be closed. */
bool feed_open(Feed *to, const HoneProgram *program, const HoneRunOptions *options, uint32_t data,
               const HoneSource *source, int64_t parts, HoneError *error);
void feed_close(Feed *feed);
typedef struct StageFeed {
    uint32_t data;
    int64_t parts;                 /* of an update, whose batches one of the training loader holds */
    Feed train, valid;
} StageFeed;
/* What is open stays where the stage reads the same. Its entries have what they read. */
bool stage_feed_open(StageFeed *feed, const HoneProgram *program, const HoneRunOptions *options,
                     const HoneStage *stage, HoneError *error);
void stage_feed_close(StageFeed *feed);
int64_t stage_feed_skipped(const StageFeed *feed);     /* bad files */

/* --- evaluate.c ------------------------------------------------------------------------------------ */
typedef struct Evaluated {         /* data that metrics are taken over */
    uint32_t eval, eval_one;       /* entries that add to totals: a batch, one sample */
    int64_t batch;
    Feed feed;
    uint32_t n_shorter;            /* as in HoneStage */
    const HoneLength *shorter;
} Evaluated;
typedef struct Remembered {        /* one for each of the program's remembers */
    uint32_t n;
    Evaluated *of;
} Remembered;
bool remembered_open(Remembered *to, const HoneProgram *program, const HoneRunOptions *options,
                     HoneError *error);
void remembered_close(Remembered *remembered, HoneSys *sys);
uint64_t remembered_bytes(const Remembered *remembered);
/* Adds every sample of the stage's own data (NULL: none) and of what is remembered to the totals, once,
 * then runs the entry over them: stage->metrics, or the program's start. *done false: a signal asked to
 * stop before all were added. */
bool evaluate_stage(Engine *engine, const HoneStage *stage, uint32_t entry, const Evaluated *own,
                    const Remembered *remembered, const StepValues *values, bool *done,
                    HoneError *error);

/* --- manifest.c ------------------------------------------------------------------------------------- */
typedef struct ManifestFile {
    const char *name;
    uint64_t bytes;
    HoneDigest digest;
} ManifestFile;
enum { MANIFEST_WEIGHTS, MANIFEST_STATE, MANIFEST_BEST, MANIFEST_FILES };
typedef struct Manifest {
    uint64_t hash, seed;
    Position position;
    ManifestFile files[MANIFEST_FILES];   /* the best weights only if position.best.has */
} Manifest;
Manifest manifest_new(const HoneProgram *program, const Position *position);
bool manifest_write(HoneSys *sys, const char *folder, const Manifest *m, HoneError *error);
/* False for anything but a manifest exactly as written. */
bool manifest_read(HoneSys *sys, const char *folder, Manifest *m);

/* --- checkpoint.c ----------------------------------------------------------------------------------- */
extern const char best_weights[];      /* "best/weights.safetensors" of a run directory */
/* Removes what a process that died left half done. */
void checkpoint_clean(HoneSys *sys, const char *run_dir);
/* Is there room for the checkpoints that are kept and one more? */
bool checkpoint_room(Engine *engine, const char *run_dir, HoneError *error);
bool checkpoint_write(Engine *engine, const char *run_dir, const Position *position,
                      uint64_t *bytes, HoneError *error);
/* The newest whole checkpoint; *found false when there is none at all. Damaged ones are passed over
 * and counted in *skipped; when all are damaged, that is an error. */
bool checkpoint_read(Engine *engine, const char *run_dir, Position *position, bool *found,
                     int *skipped, HoneError *error);

/* --- metrics.c ------------------------------------------------------------------------------------- */
typedef struct Metrics {           /* metrics.jsonl: one write per record */
    HoneSys *sys;
    int fd;
    uint64_t bytes;
    char line[2048];               /* the record, as far as it is made; */
    HoneText record;               /* numbers beyond its room are left out */
    char path[HONE_PATH];
} Metrics;
/* Goes on after the first `keep` bytes. */
bool metrics_open(Metrics *metrics, HoneSys *sys, const char *run_dir, uint64_t keep,
                  HoneError *error);
void metrics_begin(Metrics *metrics, const char *stage, int64_t step, int64_t epoch);
void metrics_number(Metrics *metrics, const char *name, double value);
bool metrics_end(Metrics *metrics, HoneError *error);
void metrics_close(Metrics *metrics);

/* --- signals.c ------------------------------------------------------------------------------------- */
void signals_arm(void);            /* the first SIGINT, SIGTERM or SIGHUP is noted, the next kills */
int signals_pending(void);         /* 0, or the signal */
void signals_disarm(void);

/* --- progress.c ------------------------------------------------------------------------------------ */
typedef struct Progress {
    HoneSys *sys;
    const HoneRunOptions *options;
    const HoneProgram *program;
    bool terminal;
    double start, shown;           /* seconds */
    int64_t first_update, total;   /* updates of the run */
    double loss, lr;               /* of the last step */
    char metrics[256];             /* of the last evaluation */
} Progress;
double clock_seconds(void);
Progress progress_new(const HoneRunOptions *options, const HoneProgram *program, int64_t done,
                      int64_t total);
void progress_step(Progress *progress, const Position *position, double loss, double lr);
/* Metrics before the first update. */
void progress_start(Progress *progress, const Position *position, const HoneEntry *start,
                    const Engine *engine);
void progress_eval(Progress *progress, const Position *position, const HoneEntry *metrics,
                   const Engine *engine);
void progress_note(Progress *progress, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* A failure that stops nothing; the note says what is kept. */
void progress_warn(Progress *progress, const HoneError *error, const char *note, ...)
    __attribute__((format(printf, 3, 4)));
void progress_clear(Progress *progress);

#endif
