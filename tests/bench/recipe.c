/* recipe FILE [ENTRY [N [THREADS [TARGET]]]], or recipe FILE dump STAGE: compiles a recipe and times
 * every kernel of an entry (the first training step unless named): by itself on one thread, or, when
 * THREADS is given, one after another as a step does; the N slowest. By hand:
 *
 *   ninja -C build bench_recipe && build/tests/bench_recipe samples/digits/pretrain.hone
 */
#include "driver.h"

#include <hone/hone.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

typedef struct Timed {
    const HoneCall *call;
    size_t index;
    double seconds;
} Timed;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double run_call(const HoneCall *call, char **memory, HonePool *pool)
{
    void *buffers[64];
    for (uint32_t b = 0; b < call->n_buffers && b < 64; b++)
        buffers[b] = memory[call->buffers[b].arena] + call->buffers[b].offset;
    double start = now();
    hone_pool_run(pool, call->fn, buffers, call->chunks);
    return now() - start;
}

/* Each call alone, again and again: what it reads may be in cache. */
static void time_alone(const HoneEntry *entry, char **memory, HonePool *pool, Timed *timed)
{
    for (uint32_t k = 0; k < entry->n_calls; k++) {
        double spent = 0;
        for (int turn = 0; turn < 50 && (turn < 3 || spent < 0.02); turn++) {
            double took = run_call(timed[k].call, memory, pool);
            spent += took;
            timed[k].seconds = fmin(timed[k].seconds, took);
        }
    }
}

static void time_steps(const HoneEntry *entry, char **memory, HonePool *pool, Timed *timed)
{
    for (int turn = 0; turn < 6; turn++)
        for (uint32_t k = 0; k < entry->n_calls; k++)
            timed[k].seconds = fmin(timed[k].seconds, run_call(timed[k].call, memory, pool));
}

static int by_seconds(const void *a, const void *b)
{
    double x = ((const Timed *)a)->seconds, y = ((const Timed *)b)->seconds;
    return (x < y) - (x > y);
}

static void time_entry(HoneSys *sys, const HoneProgram *program, const HoneEntry *entry, int shown,
                       int threads)
{
    char *memory[HONE_ARENAS];
    for (int i = 0; i < HONE_ARENAS; i++) {
        uint64_t bytes = program->arena_bytes[i] + 64;
        memory[i] = hone_map(sys, bytes);
        for (uint64_t k = 0; i != HONE_ARENA_IO && k + 4 <= bytes; k += 4)
            *(float *)(void *)(memory[i] + k) = 0.01f;
    }
    if (program->arena_bytes[HONE_ARENA_CONSTANTS] > 0)
        memcpy(memory[HONE_ARENA_CONSTANTS], program->constants,
               program->arena_bytes[HONE_ARENA_CONSTANTS]);
#if defined(__x86_64__)
    _mm_setcsr(_mm_getcsr() | 0x8040);   /* made-up values decay: no time for denormal numbers */
#endif
    HonePool *pool = hone_pool_new(sys, threads > 0 ? threads : 1, program->scratch_bytes);
    Timed *timed = calloc(entry->n_calls, sizeof *timed);
    double total = 0, flops = 0;
    for (uint32_t k = 0; k < entry->n_calls; k++)
        timed[k] = (Timed){.call = &entry->calls[k], .index = k, .seconds = INFINITY};
    if (threads > 0)
        time_steps(entry, memory, pool, timed);
    else
        time_alone(entry, memory, pool, timed);
    hone_pool_free(pool);
    for (uint32_t k = 0; k < entry->n_calls; k++) {
        total += timed[k].seconds;
        flops += timed[k].call->flops;
    }
    printf("%s: %u calls, %.3f ms, %.1f Gop/s\n", entry->name, entry->n_calls, 1e3 * total,
           1e-9 * flops / total);
    qsort(timed, entry->n_calls, sizeof *timed, by_seconds);
    for (uint32_t k = 0; k < entry->n_calls && k < (uint32_t)shown; k++) {
        const HoneCall *c = timed[k].call;
        printf("%4zu %-28s %9.1f us %5.1f %% %8.2f Gop/s %8.2f GB/s %4lld chunks\n", timed[k].index,
               c->name, 1e6 * timed[k].seconds, 100 * timed[k].seconds / total,
               1e-9 * c->flops / timed[k].seconds, 1e-9 * c->bytes / timed[k].seconds,
               (long long)c->chunks);
    }
    free(timed);
}

static const Recipe *recipe_of(Compiler *c, const char *path)
{
    File *file = compiler_load(c, str_of(path));
    const Ast *tree = file ? file_tree(file) : NULL;
    RecipeOptions options = {.without_files = true};
    for (size_t i = 0; tree && c->diags.errors == 0 && i < tree->n; i++)
        if (tree->kids[i]->kind == AST_FINETUNE)
            return recipe_build(c, file, tree->kids[i], &options);
    return NULL;
}

int main(int argc, char **argv)
{
    HoneSys sys = {0};
    Mem mem;
    mem_init(&mem, &sys);
    Compiler c;
    compiler_init(&c, &mem, &sys, arena_new(&mem, "compile"));
    mem.armed = true;
    if (argc < 2 || setjmp(mem.on_failure))
        return 1;
    const Recipe *recipe = recipe_of(&c, argv[1]);
    Buf text = buf_new(c.arena);
    diags_text(&c.diags, &text, false);
    printf(STR_FMT, STR_ARG(buf_str(&text)));
    if (!recipe || c.diags.errors > 0)
        return 1;
    BuildOptions options = {
        .target = argc > 5 ? target_find(str_of(argv[5])) : target_host(), .code = true, .dump = STAGE_COUNT, .dumped = &text};
    bool dump =
        argc > 3 && strcmp(argv[2], "dump") == 0 && stage_find(str_of(argv[3]), &options.dump);
    text.len = 0;
    HoneProgram program;
    BuildReport report;
    HoneError error = {0};
    if (!build_recipe(&c, recipe, &options, &program, &report, &error)) {
        printf("%s\n", error.message);
        return 1;
    }
    if (dump) {
        fwrite(text.ptr, 1, text.len, stdout);
        return 0;
    }
    for (StageId s = 0; s < STAGE_COUNT; s++)
        if (report.seconds[s] > 0.001)
            printf("%-10s %8.1f ms\n", stage_name(s), 1e3 * report.seconds[s]);
    printf("%zu equations, %zu kernels, %zu distinct, %zu bytes of code, %.1f ms each\n",
           report.equations, report.kernels, report.distinct, report.code_bytes,
           1e3 * report.seconds[STAGE_llvm] / (double)report.distinct);
    for (uint32_t i = 0; i < program.n_entries; i++) {
        const HoneEntry *entry = &program.entries[i];
        if (argc > 2 ? strcmp(entry->name, argv[2]) == 0 : i == program.stages[0].train)
            time_entry(&sys, &program, entry, argc > 3 ? atoi(argv[3]) : 40,
                       argc > 4 ? atoi(argv[4]) : 0);
    }
    mem_release(&mem);
    return 0;
}
