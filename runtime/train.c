/* train: a run from first values to saved weights. The order of everything that changes a bit is here
 * and depends on the Position alone, so that a resumed run is the run it continues. */
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

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
    uint32_t data;                     /* of the loaders below */
    HoneDataset *train, *valid;
    HoneLoader *train_loader, *valid_loader;
    uint64_t loader_bytes;
    double last_checkpoint;
    bool saved;
} Run;

/* --- data -------------------------------------------------------------------------------------------- */
static void close_data(Run *run)
{
    hone_loader_free(run->train_loader);
    hone_loader_free(run->valid_loader);
    hone_data_close(run->train);
    hone_data_close(run->valid);
    run->train_loader = run->valid_loader = NULL;
    run->train = run->valid = NULL;
}

static HoneLoader *new_loader(Run *run, HoneDataset *set, bool training)
{
    const HoneData *data = &run->program->data[run->data];
    HoneLoaderConfig config = {
        .batch = data->batch,
        .shuffle = training && data->shuffle,
        .augment = training,
        .drop_last = training,
        .seed = run->program->seed,
        .workers = (int)run->program->workers,
        .depth = run->options->prefetch,
    };
    HoneLoader *loader = hone_loader_new(run->options->sys, set, &config, run->error);
    run->loader_bytes += loader == NULL ? 0 : hone_loader_bytes(loader) + hone_data_bytes(set);
    return loader;
}

static bool open_data(Run *run, uint32_t index)
{
    if (run->train != NULL && run->data == index) {
        return true;
    }
    close_data(run);
    run->data = index;
    run->loader_bytes = 0;
    const HoneData *data = &run->program->data[index];
    HoneSys *sys = run->options->sys;
    run->train = hone_data_open(sys, data->train, run->options->root, run->error);
    if (run->train == NULL || (run->train_loader = new_loader(run, run->train, true)) == NULL) {
        return false;
    }
    if (hone_loader_batches(run->train_loader) == 0) {
        return hone_fail(run->error, HONE_BAD_INPUT, "E705",
                         "data `%s` has %lld training samples, fewer than one batch of %lld",
                         data->name, (long long)hone_data_count(run->train),
                         (long long)data->batch);
    }
    if (data->valid == NULL) {
        return true;
    }
    run->valid = hone_data_open(sys, data->valid, run->options->root, run->error);
    return run->valid != NULL && (run->valid_loader = new_loader(run, run->valid, false)) != NULL;
}

/* --- counting ---------------------------------------------------------------------------------------- */
static int64_t steps_of(const HoneStage *stage, int64_t batches)
{
    return stage->steps > 0 ? stage->steps : (int64_t)ceil(stage->epochs * (double)batches);
}

static int64_t total_steps(const Run *run, int64_t batches)
{
    int64_t total = 0;
    for (uint32_t s = 0; s < run->program->n_stages; s++) {
        total += s < run->at.stage ? run->at.steps_of_stage[s]
                                   : steps_of(&run->program->stages[s], batches);
    }
    return total;
}

/* The data's epochs are counted over all stages: no stage sees the order of another again. */
static int64_t first_epoch(const Run *run, int64_t batches)
{
    int64_t epoch = 0;
    for (uint32_t s = 0; s < run->at.stage; s++) {
        epoch += (run->at.steps_of_stage[s] + batches - 1) / batches;
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
static bool record(Run *run, const HoneEntry *entry, int64_t batches)
{
    const HoneStage *stage = &run->program->stages[run->at.stage];
    metrics_begin(&run->metrics, stage->name, run->at.updates, run->at.step / batches);
    for (uint32_t i = 0; i < entry->n_outputs; i++) {
        if (entry->outputs[i].rank == 0) {
            const char *name = entry->outputs[i].name;
            metrics_number(&run->metrics, name, engine_output(&run->engine, entry, name));
        }
    }
    return metrics_end(&run->metrics, run->error);
}

/* A checkpoint that cannot be written is said and tried again later; training goes on. */
static void checkpoint(Run *run)
{
    HoneError error = {0};
    run->at.metrics_bytes = run->metrics.bytes;
    run->last_checkpoint = clock_seconds();
    run->saved = checkpoint_write(&run->engine, run->dir, &run->at, &error);
    if (!run->saved) {
        progress_note(&run->progress, "warning[%s]: %s; training goes on", error.code,
                      error.message);
    }
}

static bool better(const Run *run, const HoneStage *stage, double value)
{
    return isfinite(value) &&
           (!run->at.has_best ||
            (stage->monitor_max ? value > run->at.best : value < run->at.best));
}

static bool note_best(Run *run, const HoneStage *stage, int64_t batches)
{
    const HoneEntry *metrics = &run->program->entries[stage->metrics];
    double value = engine_output(&run->engine, metrics, stage->monitor);
    if (!better(run, stage, value)) {
        run->at.waited++;
        return true;
    }
    run->at.has_best = true;
    run->at.best = value;
    run->at.best_epoch = (run->at.step + batches - 1) / batches;
    run->at.best_stage = run->at.stage;
    run->at.waited = 0;
    return tensors_write(&run->engine, TENSORS_MODEL, run->best_path, run->error);
}

static bool evaluate(Run *run, const HoneStage *stage, int64_t steps, int64_t batches)
{
    StepValues values = step_values(run, steps, batches);
    const HoneEntry *metrics = &run->program->entries[stage->metrics];
    if (!evaluate_stage(&run->engine, stage, run->valid, run->valid_loader, &values, run->error) ||
        !record(run, metrics, batches)) {
        return false;
    }
    progress_eval(&run->progress, &run->at, metrics, &run->engine);
    return stage->monitor == NULL || note_best(run, stage, batches);
}

/* --- a stage ----------------------------------------------------------------------------------------- */
static bool train_step(Run *run, const HoneStage *stage, int64_t steps, int64_t batches)
{
    HoneBatch batch;
    if (!hone_loader_next(run->train_loader, &batch, run->error)) {
        return false;
    }
    const HoneEntry *entry = &run->program->entries[stage->train];
    StepValues values = step_values(run, steps, batches);
    engine_put_batch(&run->engine, entry, run->train, &batch, 0);
    if (!engine_run(&run->engine, stage->train, &values, run->error)) {
        return false;
    }
    double loss = engine_output(&run->engine, entry, "loss");
    run->at.step++;
    run->at.updates++;
    run->at.steps_of_stage[run->at.stage] = run->at.step;
    if (!record(run, entry, batches)) {
        return false;
    }
    if (!isfinite(loss)) {
        hone_fail(run->error, HONE_NOT_FINITE, "E707", "the loss is %s at step %lld (stage %s)",
                  isnan(loss) ? "not a number" : "infinite", (long long)run->at.updates,
                  stage->name);
        hone_error_note(run->error, "the last checkpoint in %.300s is intact", run->dir);
        hone_error_help(run->error, "lower the learning rate, lengthen its warm-up, or set `clip`");
        return false;
    }
    progress_step(&run->progress, &run->at, loss, engine_output(&run->engine, entry, "lr"));
    return true;
}

static bool stopped(Run *run)
{
    int signal_number = signals_pending();
    if (signal_number == 0) {
        return false;
    }
    checkpoint(run);
    bool interrupt = signal_number == SIGINT;
    hone_fail(run->error, interrupt ? HONE_SIGINT : HONE_SIGTERM, "", "stopped by %s after step %lld; %s",
              interrupt ? "SIGINT" : signal_number == SIGTERM ? "SIGTERM" : "SIGHUP",
              (long long)run->at.updates,
              run->saved ? "its checkpoint is saved; go on with --resume"
                         : "no checkpoint could be saved");
    return true;
}

/* After a step: evaluation, patience, checkpoint. *over: the stage ends here. */
static bool after_step(Run *run, const HoneStage *stage, int64_t steps, int64_t batches, bool *over)
{
    bool last = run->at.step == steps, epoch_ends = run->at.step % batches == 0;
    bool due = stage->every > 0 ? run->at.step % stage->every == 0 : epoch_ends;
    if ((due || last) && stage->metrics != HONE_NONE && run->valid_loader != NULL) {
        if (!evaluate(run, stage, steps, batches)) {
            return false;
        }
        *over = stage->patience > 0 && run->at.waited >= stage->patience;
    }
    *over = *over || last;
    bool asked = stage->checkpoint > 0 && run->at.step % stage->checkpoint == 0;
    bool timely = stage->checkpoint == 0 && epoch_ends &&
                  clock_seconds() - run->last_checkpoint > checkpoint_seconds;
    if ((asked || timely) && !*over) {
        checkpoint(run);
    }
    return true;
}

static bool run_stage(Run *run)
{
    const HoneStage *stage = &run->program->stages[run->at.stage];
    if (!open_data(run, stage->data)) {
        return false;
    }
    int64_t batches = hone_loader_batches(run->train_loader);
    int64_t steps = steps_of(stage, batches), base = first_epoch(run, batches);
    bool over = run->at.step >= steps, fresh = true;
    while (!over) {
        if (fresh || run->at.step % batches == 0) {
            run->at.epoch = base + run->at.step / batches;
            if (!hone_loader_start(run->train_loader, run->at.epoch, run->at.step % batches,
                                   run->error)) {
                return false;
            }
            fresh = false;
        }
        if (!train_step(run, stage, steps, batches) ||
            !after_step(run, stage, steps, batches, &over) || (!over && stopped(run))) {
            return false;
        }
    }
    run->at.stage++;
    run->at.step = 0;
    run->at.waited = 0;
    return true;
}

/* --- a run -------------------------------------------------------------------------------------------- */
static bool begin(Run *run)
{
    const HoneRunOptions *options = run->options;
    tensors_initialise(&run->engine);
    if (!tensors_load(&run->engine, options->root, run->error)) {
        return false;
    }
    tensors_copy_initial(&run->engine);
    bool found = false;
    int skipped = 0;
    if (options->resume && !checkpoint_read(&run->engine, run->dir, &run->at, &found, &skipped,
                                            run->error)) {
        return false;
    }
    if (!found && !rundir_put_recipe(options->sys, run->dir, run->program->recipe, run->error)) {
        return false;
    }
    if (!metrics_open(&run->metrics, options->sys, run->dir, run->at.metrics_bytes, run->error) ||
        !open_data(run, run->program->stages[0].data)) {
        return false;
    }
    run->progress = progress_new(options, run->program, run->at.updates,
                                 total_steps(run, hone_loader_batches(run->train_loader)));
    run->last_checkpoint = clock_seconds();
    if (skipped > 0) {
        progress_note(&run->progress, "%d damaged checkpoint%s passed over", skipped,
                      skipped == 1 ? "" : "s");
    }
    if (options->resume) {
        progress_note(&run->progress, found ? "resumed after step %lld in %s"
                                            : "no checkpoint (step %lld) in %s: from the beginning",
                      (long long)run->at.updates, run->dir);
    }
    return true;
}

static bool finish(Run *run)
{
    checkpoint(run);
    if (run->at.has_best &&
        !tensors_read(&run->engine, TENSORS_MODEL, run->best_path, run->error)) {
        return false;
    }
    for (uint32_t i = 0; i < run->program->n_saves; i++) {
        if (!tensors_save(&run->engine, &run->program->saves[i], run->options->root, run->error)) {
            return false;
        }
    }
    return true;
}

static bool run_all(Run *run)
{
    if (!begin(run)) {
        return false;
    }
    signals_arm();
    bool ok = true;
    while (ok && run->at.stage < run->program->n_stages) {
        ok = run_stage(run);
    }
    progress_clear(&run->progress);
    ok = ok && finish(run);
    signals_disarm();
    return ok;
}

static void fill_result(const Run *run, HoneResult *result)
{
    const Position *at = &run->at;
    result->steps = at->updates;
    result->best = at->has_best ? at->best : NAN;
    result->best_epoch = at->best_epoch;
    const HoneStage *best = &run->program->stages[at->has_best ? at->best_stage : 0];
    result->best_stage = best->name;
    result->monitor = at->has_best ? best->monitor : NULL;
    result->planned_bytes = run->engine.planned + run->loader_bytes;
    result->peak_rss = memory_peak();
    result->checkpoint_saved = run->saved;
    snprintf(result->run_dir, sizeof result->run_dir, "%s", run->dir);
}

bool hone_run(const HoneProgram *program, const HoneRunOptions *options, HoneResult *result,
              HoneError *error)
{
    *result = (HoneResult){.best = NAN};
    if (program->n_stages > RUN_MAX_STAGES) {
        return hone_fail(error, HONE_USAGE, "E702", "%u stages, at most %d are supported",
                         program->n_stages, RUN_MAX_STAGES);
    }
    Run *run = hone_alloc(options->sys, sizeof *run);
    if (run == NULL) {
        return hone_fail_memory(error, "the run", sizeof *run);
    }
    *run = (Run){.program = program, .options = options, .error = error, .metrics = {.fd = -1}};
    double start = clock_seconds();
    memory_reset_peak(options->sys);
    result->base_rss = memory_present(options->sys);
    bool ok = rundir_open(run->dir, options, program->name, error) &&
              (hone_path_join(run->best_path, run->dir, "best/weights.safetensors") ||
               hone_fail(error, HONE_USAGE, "E701", "the run directory's path is too long")) &&
              engine_open(&run->engine, options->sys, program, options->threads, error);
    if (ok) {
        ok = run_all(run);
        fill_result(run, result);
        engine_close(&run->engine);
    }
    result->seconds = clock_seconds() - start;
    close_data(run);
    metrics_close(&run->metrics);
    hone_free(options->sys, run);
    return ok;
}
