/* By hand: the time of every kernel of a recipe's graphs, on one thread, with made-up inputs:
 *
 *   cmake --build build --target bench_profile
 *   build/tests/bench_profile RECIPE [--option value …] [entry, for instance train.full] [TARGET]
 *
 * Per kernel: calls of equal name and shape added up, median of the rounds, GFLOP/s and GB/s of what
 * the plan counts. Needs the recipe's data and weights only as far as their headers. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "driver.h"
#include "hone/hone.h"

enum { ROUNDS = 15 };

typedef struct Row {
    size_t call;
    double seconds;
} Row;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_time(const void *a, const void *b)
{
    const Row *x = a, *y = b;
    return x->seconds < y->seconds ? 1 : x->seconds > y->seconds ? -1 : 0;
}

static int by_number(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static void fill(char *memory, uint64_t bytes)
{
    for (uint64_t i = 0; i + 4 <= bytes; i += 4) {
        float x = 0.01f * (float)(i / 4 % 97) - 0.4f;
        memcpy(memory + i, &x, 4);
    }
}

static double call_seconds(const HoneCall *call, char *const *arenas, void *scratch)
{
    void **buffers = calloc(call->n_buffers + 1, sizeof *buffers);
    for (uint32_t b = 0; b < call->n_buffers; b++) {
        buffers[b] = arenas[call->buffers[b].arena] + call->buffers[b].offset;
    }
    double start = now();
    for (int64_t c = 0; c < call->chunks; c++) {
        call->fn(buffers, scratch, c);
    }
    double seconds = now() - start;
    free(buffers);
    return seconds;
}

static void profile(HoneSys *sys, const HoneProgram *program, const HoneEntry *entry)
{
    char *arenas[HONE_ARENAS];
    for (int a = 0; a < HONE_ARENAS; a++) {
        arenas[a] = hone_map(sys, program->arena_bytes[a] + 64);
        if (a == HONE_ARENA_CONSTANTS) {
            memcpy(arenas[a], program->constants, program->arena_bytes[a]);
        } else if (a != HONE_ARENA_IO) {
            fill(arenas[a], program->arena_bytes[a]);
        }
    }
    void *scratch = hone_map(sys, program->scratch_bytes + 64);
    double (*times)[ROUNDS] = calloc(entry->n_calls, sizeof *times);
    Row *rows = calloc(entry->n_calls, sizeof *rows);
    double total = 0;
    for (int r = 0; r < ROUNDS; r++) {
        for (uint32_t k = 0; k < entry->n_calls; k++) {
            times[k][r] = call_seconds(&entry->calls[k], arenas, scratch);
        }
    }
    for (uint32_t k = 0; k < entry->n_calls; k++) {
        qsort(times[k], ROUNDS, sizeof(double), by_number);
        rows[k] = (Row){.call = k, .seconds = times[k][ROUNDS / 4]};
        total += rows[k].seconds;
    }
    qsort(rows, entry->n_calls, sizeof *rows, by_time);
    printf("%s: %u calls, %.3f ms on one thread, %.2f GFLOP (%.1f GFLOP/s), %.1f MB\n", entry->name,
           entry->n_calls, 1e3 * total, entry->flops * 1e-9, entry->flops / total * 1e-9,
           entry->bytes * 1e-6);
    for (uint32_t i = 0; i < entry->n_calls && i < 40; i++) {
        const HoneCall *call = &entry->calls[rows[i].call];
        double s = rows[i].seconds;
        printf("%4zu %-40s %9.1f us %5.1f %%  %7.1f GFLOP/s %7.1f GB/s  chunks %lld\n", rows[i].call,
               call->name, 1e6 * s, 100 * s / total, call->flops / s * 1e-9,
               call->bytes / s * 1e-9, (long long)call->chunks);
    }
}

int main(int argc, char **argv)
{
    HoneSys sys = {0};
    Mem mem;
    mem_init(&mem, &sys);
    Arena *arena = arena_new(&mem, "profile");
    Compiler c;
    compiler_init(&c, &mem, &sys, arena);
    OptionSetting *settings = NEW_ARRAY(arena, OptionSetting, (size_t)argc + 1);
    const char *recipe_path = NULL, *entry_name = NULL, *target_name = NULL;
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "--", 2) == 0 && i + 1 < argc) {
            settings[c.n_settings++] =
                (OptionSetting){.name = str_of(argv[i] + 2), .text = str_of(argv[i + 1])};
            i++;
        } else if (recipe_path == NULL) {
            recipe_path = argv[i];
        } else if (entry_name == NULL) {
            entry_name = argv[i];
        } else {
            target_name = argv[i];
        }
    }
    c.settings = settings;
    File *file = recipe_path == NULL ? NULL : compiler_load(&c, str_of(recipe_path));
    const Ast *tree = file == NULL ? NULL : file_tree(file);
    const Ast *item = NULL;
    for (size_t i = 0; tree != NULL && i < tree->n; i++) {
        item = tree->kids[i]->kind == AST_FINETUNE && item == NULL ? tree->kids[i] : item;
    }
    RecipeOptions options = {.without_files = true};
    Recipe *recipe = item == NULL ? NULL : recipe_build(&c, file, item, &options);
    if (recipe == NULL || c.diags.errors > 0) {
        Buf out = buf_new(arena);
        diags_text(&c.diags, &out, false);
        fprintf(stderr, "%.*sno recipe\n", STR_ARG(buf_str(&out)));
        return 2;
    }
    const Target *target = target_name ? target_find(str_of(target_name)) : target_host();
    BuildOptions build = {.target = target, .code = true, .dump = STAGE_COUNT};
    HoneProgram program;
    BuildReport report;
    HoneError error = {0};
    if (!build_recipe(&c, recipe, &build, &program, &report, &error)) {
        fprintf(stderr, "%s\n", error.message);
        return 1;
    }
    printf("target %s\n", target->name);
    for (uint32_t i = 0; i < program.n_entries; i++) {
        if (entry_name == NULL || strcmp(entry_name, program.entries[i].name) == 0) {
            profile(&sys, &program, &program.entries[i]);
        }
    }
    mem_release(&mem);
    return 0;
}
