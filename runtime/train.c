/* train: a run from first values to saved weights. The order of everything that changes a bit is here
 * and depends on the Position alone, so that a resumed run is the run it continues. */
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "run.h"

static const double checkpoint_seconds = 30;   /* between checkpoints that nobody asked for */

typedef struct Run {
    const HoneProgram *program;
    const HoneRunOptions *options;
    HoneError *error;
    Engine engine;
    char dir[HONE_PATH], best_path[HONE_PATH];
    Position at;
    Metrics metrics;
    Progress progress;
    StageFeed feed;                    /* of the stage at work */
    Remembered remembered;
    uint64_t loader_bytes;             /* the most that any stage's data take */
    double last_checkpoint;            /* when one was written or tried */
    bool saved;                        /* what stands on disk is this position */
    int64_t saved_update;              /* of the newest checkpoint of this run; -1: none */
    uint64_t saved_bytes;
    int64_t best_failed, checkpoint_failed, metrics_failed;   /* in a row */
    int64_t missed;                    /* records that metrics.jsonl does not have */
    Best chosen;                       /* whose weights `save` writes */
    bool lost, finished;               /* others than the best seen; saved */
    int lock;                          /* of the run directory; -1: none */
    int64_t planned_steps[HONE_MAX_STAGES], batches[HONE_MAX_STAGES];   /* batches: of an epoch */
} Run;

/* --- counting ---------------------------------------------------------------------------------------- */
static int64_t steps_of(const HoneStage *stage, int64_t batches)
{
    return stage->steps > 0 ? stage->steps : (int64_t)ceil(stage->epochs * (double)batches);
}

static int64_t total_steps(const Run *run)
{
    int64_t total = 0;
    for (uint32_t s = 0; s < run->program->n_stages; s++) {
        total += s < run->at.stage ? run->at.steps_of_stage[s] : run->planned_steps[s];
    }
    return total;
}

/* The data's epochs are counted over all stages: no stage sees the order of another again. */
static int64_t first_epoch(const Run *run)
{
    int64_t epoch = 0;
    for (uint32_t s = 0; s < run->at.stage; s++) {
        epoch += (run->at.steps_of_stage[s] + run->batches[s] - 1) / run->batches[s];
    }
    return epoch;
}

static StepValues step_values(const Run *run, int64_t steps, int64_t batches)
{
    return (StepValues){
        .progress = (double)run->at.step / (double)steps,
        .epoch = (double)(run->at.step / batches),
        .updates = (uint64_t)run->at.updates,
        .stage_steps = run->at.step,
        .steps_of_stage = run->at.steps_of_stage,
        .n_stages = run->at.stage,
    };
}

/* --- what is written while it runs ------------------------------------------------------------------ */
/* What fails again and again is said once until it works again. */
static void say_failure(Run *run, int64_t *failed, const HoneError *error, const char *note)
{
    if ((*failed)++ == 0) {
        progress_warn(&run->progress, error, "%s", note);
    }
}

static void say_success(Run *run, int64_t *failed, const char *what)
{
    if (*failed > 1) {
        progress_note(&run->progress, "%s again, after %lld attempts that failed", what,
                      (long long)*failed);
    }
    *failed = 0;
}

/* A record that cannot be written is missed, said once, and stops nothing. */
static void record(Run *run, const HoneEntry *entry, int64_t batches)
{
    const HoneStage *stage = &run->program->stages[run->at.stage];
    metrics_begin(&run->metrics, stage->name, run->at.updates, run->at.step / batches);
    for (uint32_t i = 0; i < entry->n_outputs; i++) {
        if (entry->outputs[i].rank == 0) {
            const char *name = entry->outputs[i].name;
            metrics_number(&run->metrics, name, engine_output(&run->engine, entry, name));
        }
    }
    HoneError error = {0};
    if (metrics_end(&run->metrics, &error)) {
        say_success(run, &run->metrics_failed, "metrics.jsonl is written");
    } else {
        run->missed++;
        say_failure(run, &run->metrics_failed, &error,
                    "training goes on; metrics.jsonl misses records");
    }
}

/* A checkpoint that cannot be written is said and tried again later; training goes on. */
static void checkpoint(Run *run)
{
    if (run->saved) {
        return;
    }
    HoneError error = {0};
    run->at.metrics_bytes = run->metrics.bytes;
    run->last_checkpoint = clock_seconds();
    run->saved = checkpoint_write(&run->engine, run->dir, &run->at, &run->saved_bytes, &error);
    if (run->saved) {
        run->saved_update = run->at.updates;
        say_success(run, &run->checkpoint_failed, "checkpoints are written");
        return;
    }
    const char *next = run->at.stage < run->program->n_stages
                           ? "training goes on and will try again"
                           : "training is finished";
    char note[128];
    if (run->saved_update >= 0) {
        snprintf(note, sizeof note, "%s; checkpoint-%lld is intact", next,
                 (long long)run->saved_update);
    } else {
        snprintf(note, sizeof note, "%s; there is no checkpoint yet", next);
    }
    say_failure(run, &run->checkpoint_failed, &error, note);
}

/* --- evaluation -------------------------------------------------------------------------------------- */
static bool better(const HoneStage *stage, const Best *than, double value)
{
    return isfinite(value) &&
           (!than->has || (stage->monitor_max ? value > than->value : value < than->value));
}

/* The best evaluation seen decides when to stop. Its weights are written at once; if that fails, the
 * best that could be written stays in its place: value and file agree. */
static void note_best(Run *run, const HoneStage *stage, int64_t batches)
{
    const HoneEntry *metrics = &run->program->entries[stage->metrics];
    double value = engine_output(&run->engine, metrics, stage->monitor);
    Position *at = &run->at;
    at->last = (Best){.has = isfinite(value), .value = value,
                      .epoch = (at->step + batches - 1) / batches, .stage = at->stage};
    at->waited++;
    if (better(stage, &at->seen, value)) {
        at->seen = at->last;
        at->waited = 0;
    }
    if (!better(stage, &at->best, value)) {
        return;
    }
    HoneError error = {0};
    if (tensors_write(&run->engine, TENSORS_MODEL, run->best_path, &error)) {
        at->best = at->last;
        say_success(run, &run->best_failed, "the best weights are written");
    } else {
        say_failure(run, &run->best_failed, &error,
                    "training goes on; these weights are not kept as the best");
    }
}

/* The best of an earlier stage counts on only where the same metric is monitored in the same way:
 * otherwise it would bring back weights from before this stage. */
static void forget_best(Run *run, const HoneStage *stage)
{
    Position *at = &run->at;
    if (!at->seen.has) {
        return;
    }
    const HoneStage *best = &run->program->stages[at->seen.stage];
    if (stage->monitor == NULL || best->monitor_max != stage->monitor_max ||
        strcmp(stage->monitor, best->monitor) != 0) {
        at->best = at->seen = at->last = (Best){0};
    }
}

/* While weights are looked at from outside, averages stand in their place. */
static void swap_averages(Run *run, const HoneStage *stage)
{
    if (stage->average) {
        tensors_swap_averages(&run->engine);
    }
}

/* A stop that is asked for meanwhile leaves the evaluation due: resuming does it again. */
static bool evaluate(Run *run, const HoneStage *stage, int64_t steps, int64_t batches)
{
    StepValues values = step_values(run, steps, batches);
    const HoneEntry *metrics = &run->program->entries[stage->metrics];
    bool done = false;
    swap_averages(run, stage);
    Evaluated own = {.eval = stage->eval, .eval_one = stage->eval_one, .feed = run->feed.valid,
                     .batch = run->program->data[stage->data].batch,
                     .n_shorter = stage->n_shorter, .shorter = stage->shorter};
    bool has_own = stage->eval != HONE_NONE && run->feed.valid.data != NULL;
    if (!evaluate_stage(&run->engine, stage, stage->metrics, has_own ? &own : NULL, &run->remembered,
                        &values, &done, run->error)) {
        return false;
    }
    if (!done) {
        swap_averages(run, stage);
        return true;
    }
    run->at.eval_due = false;
    run->saved = false;
    record(run, metrics, batches);
    progress_eval(&run->progress, &run->at, metrics, &run->engine);
    if (stage->monitor != NULL) {
        note_best(run, stage, batches);
    }
    swap_averages(run, stage);
    return true;
}

/* What is remembered, before anything is learnt. */
static bool evaluate_start(Run *run)
{
    if (run->remembered.n == 0) {
        return true;
    }
    const HoneEntry *start = &run->program->entries[run->program->start];
    StepValues values = step_values(run, 1, 1);
    bool done = false;
    if (!evaluate_stage(&run->engine, &run->program->stages[0], run->program->start, NULL,
                        &run->remembered, &values, &done, run->error)) {
        return false;
    }
    record(run, start, 1);
    progress_start(&run->progress, &run->at, start, &run->engine);
    return true;
}

/* --- a stage ----------------------------------------------------------------------------------------- */
/* What to do about it. The loss is shown without penalties: one that spoilt a parameter is named. */
static void help_finite(Run *run)
{
    const HoneTensor *bad = tensors_not_finite(&run->engine);
    if (bad != NULL && bad->penalty != NULL) {
        hone_error_help(run->error, "`%.60s` is not finite, which the penalty at %.80s moves: where p is p0, the "
                        "slope of `sqrt(sumsq(p - p0))` is 0 / 0; write `sqrt(sumsq(p - p0) + 1e-12)`",
                        bad->key, bad->penalty);
    } else if (run->at.updates == 1) {    /* no update has changed anything yet */
        hone_error_help(run->error, "the first step depends on the data, the loaded weights and "
                        "the equations alone: look for logarithms and quotients of zero");
    } else {
        hone_error_help(run->error, "lower the learning rate, lengthen its warm-up, or set "
                        "`clip`");
    }
}

static bool check_finite(Run *run, const HoneEntry *entry, const HoneStage *stage)
{
    for (uint32_t i = 0; i < entry->n_outputs; i++) {
        const HonePort *port = &entry->outputs[i];
        double value = port->rank == 0 ? engine_output(&run->engine, entry, port->name) : 0;
        if (isfinite(value)) {
            continue;
        }
        hone_fail(run->error, HONE_NOT_FINITE, "E707", "`%.100s` is %s at step %lld (stage %.100s)",
                  port->name, isnan(value) ? "not a number" : "infinite",
                  (long long)run->at.updates, stage->name);
        help_finite(run);
        return false;
    }
    return true;
}

/* One entry over the parts of an update, in order. */
static bool run_parts(Run *run, const HoneStage *stage, uint32_t entry, const HoneBatch *batch,
                      StepValues values)
{
    int64_t size = run->program->data[stage->data].batch;
    for (int64_t part = 0; part < stage->accumulate; part++) {
        values.part = (uint64_t)part;
        engine_put_batch(&run->engine, &run->program->entries[entry], run->feed.train.data, batch,
                         part * size);
        if (!engine_run(&run->engine, entry, &values, run->error)) {
            return false;
        }
    }
    return true;
}

static bool train_step(Run *run, const HoneStage *stage, int64_t steps, int64_t batches)
{
    HoneBatch batch;
    if (!hone_loader_next(run->feed.train.loader, &batch, run->error)) {
        return false;
    }
    HoneLength of = {.train = stage->train, .count = stage->count, .update = stage->update};
    if (batch.length < stage->n_shorter) {
        of = stage->shorter[batch.length];
    }
    const HoneEntry *entry = &run->program->entries[of.update != HONE_NONE ? of.update : of.train];
    StepValues values = step_values(run, steps, batches);
    tensors_zero(&run->engine, stage->n_zeroed, stage->zeroed);
    if ((of.count != HONE_NONE && !run_parts(run, stage, of.count, &batch, values)) ||
        !run_parts(run, stage, of.train, &batch, values) ||
        (of.update != HONE_NONE && !engine_run(&run->engine, of.update, &values, run->error))) {
        return false;
    }
    run->at.step++;
    run->at.updates++;
    run->at.steps_of_stage[run->at.stage] = run->at.step;
    run->at.last = (Best){0};
    run->saved = false;
    record(run, entry, batches);
    if (!check_finite(run, entry, stage)) {
        return false;
    }
    progress_step(&run->progress, &run->at, engine_output(&run->engine, entry, "loss"),
                  engine_output(&run->engine, entry, "lr"));
    return true;
}

/* Was a stop asked for? Then the position is saved and *error says so. */
static bool stopped(Run *run)
{
    int number = signals_pending();
    if (number == 0) {
        return false;
    }
    checkpoint(run);
    char kept[128];
    if (run->saved) {
        snprintf(kept, sizeof kept, "checkpoint-%lld saved (%.3g MiB)", (long long)run->at.updates,
                 (double)run->saved_bytes / 1048576);
    } else if (run->saved_update >= 0) {
        snprintf(kept, sizeof kept, "not saved; checkpoint-%lld is intact",
                 (long long)run->saved_update);
    } else {
        snprintf(kept, sizeof kept, "no checkpoint could be saved");
    }
    hone_fail(run->error, number == SIGINT ? HONE_SIGINT : HONE_SIGTERM, "",
              "stopped by %s after step %lld; %s",
              number == SIGINT    ? "SIGINT"
              : number == SIGTERM ? "SIGTERM"
                                  : "SIGHUP",
              (long long)run->at.updates, kept);
    return true;
}

static bool evaluation_due(const Run *run, const HoneStage *stage, int64_t steps, int64_t batches)
{
    if (stage->metrics == HONE_NONE || (run->feed.valid.loader == NULL && run->remembered.n == 0)) {
        return false;
    }
    return run->at.step == steps ||
           run->at.step % (stage->every > 0 ? stage->every : batches) == 0;
}

/* Every `checkpoint` steps where the recipe asks; else at an epoch's end when the last is long ago. */
static bool checkpoint_due(const Run *run, const HoneStage *stage, int64_t batches)
{
    if (stage->checkpoint > 0) {
        return run->at.step % stage->checkpoint == 0;
    }
    return run->at.step % batches == 0 &&
           clock_seconds() - run->last_checkpoint > checkpoint_seconds;
}

static bool start_epoch(Run *run, int64_t base, int64_t batches)
{
    run->at.epoch = base + run->at.step / batches;
    return hone_loader_start(run->feed.train.loader, run->at.epoch, run->at.step % batches, run->error);
}

/* What happens after a step depends on the Position alone, so a resumed run takes the same way. */
static bool run_stage(Run *run)
{
    const HoneStage *stage = &run->program->stages[run->at.stage];
    if (!stage_feed_open(&run->feed, run->program, run->options, stage, run->error)) {
        return false;
    }
    int64_t batches = hone_loader_batches(run->feed.train.loader);
    int64_t steps = steps_of(stage, batches), base = first_epoch(run);
    forget_best(run, stage);
    bool averaged = run->at.stage > 0 && run->program->stages[run->at.stage - 1].average;
    if (stage->average && !averaged && run->at.step == 0) {
        tensors_copy_averages(&run->engine);
    }
    for (bool fresh = true;; fresh = false) {
        if (run->at.eval_due && !evaluate(run, stage, steps, batches)) {
            return false;
        }
        bool over = !run->at.eval_due &&
                    (run->at.step >= steps ||
                     (stage->patience > 0 && run->at.waited >= stage->patience));
        if (!fresh && !over && checkpoint_due(run, stage, batches)) {
            checkpoint(run);
        }
        if (stopped(run)) {
            return false;
        }
        if (over) {
            break;
        }
        if ((fresh || run->at.step % batches == 0) && !start_epoch(run, base, batches)) {
            return false;
        }
        if (!train_step(run, stage, steps, batches)) {
            return false;
        }
        run->at.eval_due = evaluation_due(run, stage, steps, batches);
    }
    run->at.stage++;
    run->at.step = 0;
    run->at.waited = 0;
    run->saved = false;
    return true;
}

/* --- a run -------------------------------------------------------------------------------------------- */
/* Everything that can be known to be wrong is found before the first step: data of every stage,
 * shapes, places of the weights to be written. */
static bool check_stages(Run *run)
{
    for (uint32_t s = 0; s < run->program->n_stages; s++) {
        const HoneStage *stage = &run->program->stages[s];
        if (!stage_feed_open(&run->feed, run->program, run->options, stage, run->error)) {
            return false;
        }
        uint64_t bytes = run->feed.train.bytes + run->feed.valid.bytes;
        run->loader_bytes = bytes > run->loader_bytes ? bytes : run->loader_bytes;
        run->batches[s] = hone_loader_batches(run->feed.train.loader);
        run->planned_steps[s] = steps_of(stage, run->batches[s]);
    }
    return true;
}

static bool check_saves(Run *run)
{
    for (uint32_t i = 0; i < run->program->n_saves; i++) {
        char path[HONE_PATH], temp[HONE_PATH];
        if (!hone_path_join(path, run->options->root, run->program->saves[i].path) ||
            !hone_temp_path(temp, path)) {
            return hone_fail_write(run->error, run->program->saves[i].path, ENAMETOOLONG);
        }
        if (hone_replaceable(run->options->sys, path) != 0) {
            return hone_fail_write(run->error, path, errno);
        }
        int fd = hone_open_write(run->options->sys, temp, false);
        if (fd < 0) {
            return hone_fail_write(run->error, path, errno);
        }
        hone_close(run->options->sys, fd);
        (void)hone_unlink(run->options->sys, temp);
    }
    return true;
}

static bool open_folder(Run *run)
{
    const HoneRunOptions *options = run->options;
    if (!rundir_open(run->dir, options, run->program->name, &run->lock, run->error)) {
        return false;
    }
    if (!hone_path_join(run->best_path, run->dir, best_weights)) {
        return hone_fail_write(run->error, run->dir, ENAMETOOLONG);
    }
    checkpoint_clean(options->sys, run->dir);
    return checkpoint_room(&run->engine, run->dir, run->error);
}

static bool take_up(Run *run, bool *found, int *skipped)
{
    if (!run->options->resume) {
        return true;
    }
    if (!checkpoint_read(&run->engine, run->dir, &run->at, found, skipped, run->error)) {
        return false;
    }
    run->saved = *found;
    run->saved_update = *found ? run->at.updates : -1;
    return true;
}

static bool begin(Run *run)
{
    const HoneRunOptions *options = run->options;
    bool found = false;
    int skipped = 0;
    tensors_initialise(&run->engine);
    if (!tensors_load(&run->engine, options->root, run->error) || !check_stages(run) ||
        !remembered_open(&run->remembered, run->program, options, run->error) || !check_saves(run) ||
        !open_folder(run)) {
        return false;
    }
    tensors_copy_initial(&run->engine);
    if (!take_up(run, &found, &skipped) ||
        (!found && !rundir_put_recipe(options->sys, run->dir, run->program->recipe, run->error)) ||
        !metrics_open(&run->metrics, options->sys, run->dir, run->at.metrics_bytes, run->error)) {
        return false;
    }
    run->progress = progress_new(options, run->program, run->at.updates,
                                 total_steps(run));
    run->last_checkpoint = clock_seconds();
    if (skipped > 0) {
        progress_note(&run->progress, "%d damaged checkpoint%s passed over", skipped,
                      skipped == 1 ? "" : "s");
    }
    int64_t bad = stage_feed_skipped(&run->feed);
    if (bad > 0) {
        const HoneDataset *also = run->feed.valid.data;
        const char *train = hone_data_skipped_first(run->feed.train.data);
        const char *valid = also == NULL ? "" : hone_data_skipped_first(also);
        progress_note(&run->progress, "%lld file%s cannot be decoded and %s passed over: %s%s%s%s",
                      (long long)bad, bad == 1 ? "" : "s", bad == 1 ? "is" : "are", train,
                      train[0] != '\0' && valid[0] != '\0' ? ", " : "", valid,
                      bad > 3 ? " …" : "");
    }
    if (options->resume) {
        progress_note(&run->progress, found ? "resumed after step %lld in %s"
                                            : "no checkpoint yet, step %lld, in %s: from the beginning",
                      (long long)run->at.updates, run->dir);
    }
    run->loader_bytes += remembered_bytes(&run->remembered);
    return found || evaluate_start(run);
}

/* The weights to be saved become the present ones: the best seen; where these could not be kept, the
 * better of the best that were kept and the last. */
static bool choose_weights(Run *run)
{
    const Position *at = &run->at;
    const HoneStage *stage = &run->program->stages[at->seen.has ? at->seen.stage : 0];
    bool present = !at->best.has || (at->last.has && better(stage, &at->best, at->last.value));
    run->chosen = present ? at->last : at->best;
    run->lost = at->seen.has && (!run->chosen.has || better(stage, &run->chosen, at->seen.value));
    if (present) {                     /* the best weights are averages already */
        swap_averages(run, &run->program->stages[run->program->n_stages - 1]);
    }
    return present || tensors_read(&run->engine, TENSORS_MODEL, run->best_path, run->error);
}

/* Everything is trained and saved; what is missing is said as an error all the same. */
static bool fail_incomplete(Run *run)
{
    HoneError *error = run->error;
    const Best *seen = &run->at.seen, *chosen = &run->chosen;
    const char *also = run->saved ? "" : "; the last checkpoint is missing too";
    if (!run->lost) {
        hone_fail(error, HONE_IO, "E701", "the last checkpoint in `%.300s` could not be written",
                  run->dir);
        hone_error_note(error, "training is finished and its weights are saved");
        hone_error_help(error, "free space there; --resume goes on from the newest checkpoint");
        return false;
    }
    hone_fail(error, HONE_IO, "E701", "the best weights (%s %.4g, epoch %lld) could not be written "
              "into `%.200s`", run->program->stages[seen->stage].monitor, seen->value,
              (long long)seen->epoch, run->dir);
    if (chosen->has) {
        hone_error_note(error, "saved instead: the weights of epoch %lld, %s %.4g%s",
                        (long long)chosen->epoch, run->program->stages[chosen->stage].monitor,
                        chosen->value, also);
    } else {
        hone_error_note(error, "saved instead: the weights of the last step%s", also);
    }
    if (run->saved || run->saved_update < 0) {
        hone_error_help(error, "free space there and run again");
    } else {
        hone_error_help(error, "free space there; --resume repeats the training from checkpoint-%lld "
                        "and keeps them", (long long)run->saved_update);
    }
    return false;
}

/* Folding adapters in changes the parameters in place: nothing but merged files may come after it. */
static bool save_all(Run *run, bool merged)
{
    const HoneProgram *program = run->program;
    bool folded = false;
    for (uint32_t i = 0; i < program->n_saves; i++) {
        const HoneSave *save = &program->saves[i];
        if (save->merged != merged) {
            continue;
        }
        StepValues values = {.progress = 1, .steps_of_stage = run->at.steps_of_stage};
        if (merged && !folded && program->merge != HONE_NONE &&
            !engine_run(&run->engine, program->merge, &values, run->error)) {
            return false;
        }
        folded = true;
        if (!tensors_save(&run->engine, save, run->options->root, run->error)) {
            return false;
        }
    }
    return true;
}

static bool finish(Run *run)
{
    checkpoint(run);
    if (!choose_weights(run)) {
        return false;
    }
    if (!save_all(run, false) || !save_all(run, true)) {
        return false;
    }
    if (run->missed > 0) {
        progress_note(&run->progress, "metrics.jsonl misses %lld record%s", (long long)run->missed,
                      run->missed == 1 ? "" : "s");
    }
    run->finished = true;
    return (run->saved && !run->lost) || fail_incomplete(run);
}

/* What a run that failed leaves behind; *error has no word on it yet. */
static void say_kept(const Run *run)
{
    if (run->error->note[0] != '\0' || run->error->code[0] == '\0') {
        return;
    }
    if (run->saved_update >= 0) {
        hone_error_note(run->error, "checkpoint-%lld in `%.300s` is intact, as is every file that "
                        "was there before", (long long)run->saved_update, run->dir);
    } else if (run->at.best.has) {
        hone_error_note(run->error, "the best weights so far are in `%.300s`; every file that was "
                        "there before is as it was", run->best_path);
    } else {
        hone_error_note(run->error, "there is no checkpoint yet; every file that was there before "
                        "is as it was");
    }
}

static bool run_all(Run *run)
{
    if (!begin(run)) {
        if (run->lock >= 0) {
            rundir_remove(run->options->sys, run->dir);
        }
        return false;
    }
    signals_arm();
    bool ok = true;
    while (ok && run->at.stage < run->program->n_stages) {
        ok = run_stage(run);
    }
    progress_clear(&run->progress);
    ok = ok && finish(run);
    if (!ok) {
        say_kept(run);
    }
    signals_disarm();
    return ok;
}

static void fill_result(const Run *run, HoneResult *result)
{
    const Position *at = &run->at;
    result->steps = at->updates;
    const HoneStage *stages = run->program->stages;
    result->best = at->seen.has ? at->seen.value : NAN;
    result->best_epoch = at->seen.epoch;
    result->best_stage = stages[at->seen.stage].name;
    result->monitor = at->seen.has ? stages[at->seen.stage].monitor : NULL;
    result->finished = run->finished;
    result->best_lost = run->lost;
    result->saved = run->chosen.has ? run->chosen.value : NAN;
    result->saved_epoch = run->chosen.epoch;
    result->planned_bytes = run->engine.planned + run->loader_bytes;
    result->peak_rss = memory_peak();
    result->checkpoint_saved = run->saved;
    snprintf(result->run_dir, sizeof result->run_dir, "%s", run->dir);
}

bool hone_run(const HoneProgram *program, const HoneRunOptions *options, HoneResult *result,
              HoneError *error)
{
    *result = (HoneResult){.best = NAN};
    if (program->n_stages > HONE_MAX_STAGES) {
        return hone_fail(error, HONE_USAGE, "E702", "%u stages, at most %d are supported",
                         program->n_stages, HONE_MAX_STAGES);
    }
    Run *run = hone_alloc(options->sys, sizeof *run);
    if (run == NULL) {
        return hone_fail_memory(error, "the run", sizeof *run);
    }
    *run = (Run){.program = program, .options = options, .error = error, .metrics = {.fd = -1},
                 .saved_update = -1, .lock = -1};
    double start = clock_seconds();
    memory_reset_peak(options->sys);
    result->base_rss = memory_present(options->sys);
    bool ok = engine_open(&run->engine, options->sys, program, options->threads, error);
    run->engine.times = options->times;
    if (ok) {
        ok = run_all(run);
        fill_result(run, result);
        engine_close(&run->engine);
    }
    result->seconds = clock_seconds() - start;
    stage_feed_close(&run->feed);
    remembered_close(&run->remembered, options->sys);
    metrics_close(&run->metrics);
    if (run->lock >= 0) {
        hone_close(options->sys, run->lock);
    }
    hone_free(options->sys, run);
    return ok;
}
