/* fit: what a run takes, and which modules are computed again so that it keeps within `memory`. Of the
 * modules that save anything those come first that save most bytes per FLOP, by estimates from the
 * equations; how many of them there must be is found by plans, halving. The number of threads and of
 * processors has no part in it, so that every machine computes the same bits. */
#include "driver.h"

#include <stdlib.h>

enum { TRAIN, VALID };

static uint64_t split_bytes(const Recipe *recipe, uint32_t data, int split, int64_t parts, int workers)
{
    HoneLoaderConfig config = hone_loader_config(&recipe->data.at[data], parts);
    config.workers = recipe->workers >= 0 ? (int)recipe->workers : workers;
    return hone_loading_bytes(&recipe->facts.at[data].loading[split], &config);
}

Peak program_peak(const Recipe *recipe, const HoneProgram *program, int threads, int workers)
{
    Peak peak = {.threads = threads};
    for (size_t i = 0; i < recipe->stages.len; i++) {
        const RecipeStage *stage = &recipe->stages.at[i];
        uint64_t bytes = bytes_sum(split_bytes(recipe, stage->data, TRAIN, stage->accumulate, workers),
                                   split_bytes(recipe, stage->data, VALID, 0, workers));
        peak.loading = bytes > peak.loading ? bytes : peak.loading;
    }
    for (size_t i = 0; i < recipe->remembers.len; i++) {
        peak.loading = bytes_sum(peak.loading,
                                 split_bytes(recipe, recipe->remembers.at[i].data, VALID, 0, workers));
    }
    peak.bytes = bytes_sum(peak.loading, bytes_times((uint64_t)threads, program->scratch_bytes));
    for (int i = 0; i < HONE_ARENAS; i++) {
        peak.bytes = bytes_sum(peak.bytes, program->arena_bytes[i]);
    }
    return peak;
}

/* --- trials ---------------------------------------------------------------------------------- */
static double step_flops(const HoneProgram *program, size_t stage)
{
    const HoneStage *s = &program->stages[stage];
    return program->entries[s->train].flops * (double)s->accumulate;
}

static const double least_part = 0.01;

typedef struct Candidate {
    size_t index;                /* in Recipe.candidates */
    double bytes, gain;          /* gain: bytes per FLOP */
} Candidate;

static int better(const void *a, const void *b)
{
    const Candidate *x = a, *y = b;
    if (x->gain != y->gain) {
        return x->gain > y->gain ? -1 : 1;
    }
    return x->index < y->index ? -1 : 1;
}

/* Without those that save next to nothing beside the largest. */
static void find_order(Arena *arena, Fit *fit)
{
    size_t n = fit->recipe->candidates.len;
    Candidate *all = NEW_ARRAY(arena, Candidate, n + 1);
    double most = 0;
    fit->order = NEW_ARRAY(arena, size_t, n + 1);
    for (size_t i = 0; i < n; i++) {
        double bytes, flops;
        Arena *graphs = arena_new(arena_mem(arena), "estimate");
        recipe_saves(graphs, fit->recipe, i, &bytes, &flops);
        arena_free(graphs);
        all[i] = (Candidate){i, bytes, bytes / (flops + 1)};
        most = bytes > most ? bytes : most;
    }
    qsort(all, n, sizeof *all, better);
    for (size_t i = 0; i < n; i++) {
        if (all[i].bytes > least_part * most) {
            fit->order[fit->n++] = all[i].index;
        }
    }
}

static void take(Fit *fit, size_t n)
{
    for (size_t i = 0; i < fit->n; i++) {
        fit->chosen[fit->order[i]] = i < n;
    }
    fit->tried = n;
}

void fit_begin(Arena *arena, const Recipe *recipe, Fit *fit)
{
    *fit = (Fit){.recipe = recipe,
                 .chosen = NEW_ARRAY(arena, bool, recipe->candidates.len + 1),
                 .before = NEW_ARRAY(arena, double, recipe->stages.len + 1)};
}

static void note_flops(Fit *fit, const HoneProgram *program)
{
    fit->flops = 0;
    for (size_t i = 0; i < fit->recipe->stages.len; i++) {
        double more = step_flops(program, i) - fit->before[i];
        fit->flops = more > fit->flops ? more : fit->flops;
    }
}

/* The plan with nothing chosen: enough, or the trial of all that can be. */
static bool first(Arena *arena, Fit *fit, const HoneProgram *program)
{
    if (fit->fits) {
        return false;
    }
    for (size_t i = 0; i < fit->recipe->stages.len; i++) {
        fit->before[i] = step_flops(program, i);
    }
    find_order(arena, fit);
    fit->high = fit->n;
    take(fit, fit->n);
    return fit->n > 0;
}

bool fit_next(Arena *arena, Fit *fit, const HoneProgram *program)
{
    if (fit->recipe->memory == 0) {
        fit->fits = true;
        return false;
    }
    Peak peak = program_peak(fit->recipe, program, FIT_THREADS, FIT_WORKERS);
    bool fits = peak.bytes <= fit->recipe->memory;
    if (fits || fit->tried == 0 || fit->tried == fit->n) {
        fit->peak = peak;
        fit->fits = fits;
    }
    if (fit->tried == 0) {
        return first(arena, fit, program);
    }
    if (fits) {
        note_flops(fit, program);
    }
    *(fits ? &fit->high : &fit->low) = fit->tried;
    bool more = fit->fits && fit->high - fit->low > 1;
    take(fit, more ? (fit->low + fit->high) / 2 : fit->high);
    return more;
}
