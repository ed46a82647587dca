/* Memory and I/O refused at every call, one after another, over the whole road: compiling a recipe
 * (command check), and loading, training three steps, saving, checkpoints and resuming of the
 * compiled program. Never a crash, a leak or a lost descriptor; the exit status of what was
 * refused; and a clean resume afterwards ends with the bytes of a run that nothing disturbed.
 * Compilation of kernels is in emit_memory.c. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "commands/command.h"
#include "commands/session.h"
#include "support/files.h"

static const char recipe[] =
    "use nn, losses, optim\n"
    "module Net() {\n  fc: Linear(6, 3)\n  bn: BatchNorm1d(6)\n"
    "  fn forward(x: [N, 6]) -> [N, 3] = fc(bn(x))\n}\n"
    "module BatchNorm1d(D) {\n"
    "  param weight: [D] = 1\n  state running_mean: [D] = 0\n"
    "  fn forward(x: [N, D]) -> [N, D] {\n"
    "    m[d] = mean[n] x[n, d]\n"
    "    running_mean' = lerp(running_mean, stop(m), 0.1)\n"
    "    return x * weight\n  }\n}\n"
    "data d {\n  train = arrays(\"train.safetensors\")\n  valid = arrays(\"train.safetensors\")\n"
    "  batch = 4\n}\n"
    "finetune whole {\n  model: Net()\n"
    "  load \"base.safetensors\" { fresh \"bn\" }\n"
    "  step b in d {\n    z = model(b.x)\n    loss = cross_entropy(z, b.label)\n"
    "    metric nll = total(loss * float(count(b.label))) / total(count(b.label))\n  }\n"
    "  optimizer AdamW(lr = 0.1)\n"
    "  stage head { steps = 1; freeze \"bn\"; every = 1; checkpoint = 1 }\n"
    "  stage full { steps = 2; every = 1; checkpoint = 1; monitor = min(nll) }\n"
    "  save \"out.safetensors\"\n}\n";

static char *folder;
static char old_weights[] = "what was there before";
static char *want; /* contents of out.safetensors after a whole run */
static size_t want_bytes;
static HoneSys steady;
static Mem mem;
static Session session;
static HoneProgram *program;

static void put_inputs(void)
{
    float x[12][6], w[18], b[3] = {0};
    int32_t label[12];
    for (int i = 0; i < 12; i++) {
        label[i] = i % 3;
        for (int k = 0; k < 6; k++) {
            x[i][k] = (float)((i * 7 + k * 5) % 11) / 11.0f;
        }
    }
    for (int i = 0; i < 18; i++) {
        w[i] = (float)(i % 5) / 10.0f;
    }
    HoneError error;
    const HoneWrite data[] = {
        {.key = "x", .dtype = HONE_F32, .rank = 2, .dims = {12, 6}, .data = x},
        {.key = "label", .dtype = HONE_I32, .rank = 1, .dims = {12}, .data = label}};
    const HoneWrite base[] = {
        {.key = "fc.weight", .dtype = HONE_F32, .rank = 2, .dims = {3, 6}, .data = w},
        {.key = "fc.bias", .dtype = HONE_F32, .rank = 1, .dims = {3}, .data = b}};
    assert_true(hone_safetensors_write(&steady, "train.safetensors", 2, data, &error));
    assert_true(hone_safetensors_write(&steady, "base.safetensors", 2, base, &error));
    file_put("whole.hone", recipe, sizeof recipe - 1);
}

/* --- streams and descriptors
 * ---------------------------------------------------------------------- */
static int kept[2];

/* What is said goes into the file "said". */
static void hush(void)
{
    int said = open("said", O_WRONLY | O_CREAT | O_TRUNC, 0666);
    assert_true(said >= 0);
    fflush(stdout);
    for (int fd = 1; fd <= 2; fd++) {
        kept[fd - 1] = dup(fd);
        dup2(said, fd);
    }
    close(said);
}

static bool was_said(const char *text)
{
    char *all = file_get("said", &(size_t){0});
    bool found = all != NULL && strstr(all, text) != NULL;
    free(all);
    return found;
}

static void speak(void)
{
    for (int fd = 1; fd <= 2; fd++) {
        dup2(kept[fd - 1], fd);
        close(kept[fd - 1]);
    }
}

static size_t descriptors(void)
{
    size_t n = 0;
    char **names = hone_list_dir(&steady, "/proc/self/fd", &n);
    hone_free(&steady, names);
    return n;
}

/* --- commands
 * --------------------------------------------------------------------------------------- */
/* As compiler/main.c does it. */
static int command(HoneSys *sys, size_t n, const Str *words)
{
    Mem own;
    mem_init(&own, sys);
    if (setjmp(own.on_failure) != 0) {
        mem_release(&own);
        return HONE_NO_MEMORY;
    }
    own.armed = true;
    Arena *arena = arena_new(&own, "command line");
    Sources sources = sources_new(arena);
    Diags diags = diags_new(arena, &sources);
    CommandLine line;
    assert_true(line_parse(arena, &diags, n, words, &line));
    int exit = command_row(line.command)->run(sys, &own, &line);
    own.armed = false;
    mem_release(&own);
    return exit;
}

static void test_commands(void **state)
{
    (void)state;
    static const Str check[] = {{"check", 5}, {"whole.hone", 10}},
                     keys[] = {{"keys", 4}, {"base.safetensors", 16}},
                     groups[] = {{"groups", 6}, {"whole.hone", 10}};
    static const Str *const lines[] = {check, keys, groups};
    for (size_t c = 0; c < 3; c++) {
        for (int io = 0; io < 2; io++) {
            bool reached = true;
            int64_t refused = 0;
            for (int64_t n = 1; reached && n < 3000; n++) {
                HoneSys sys = {.fail_alloc = io ? 0 : n, .fail_io = io ? n : 0};
                size_t before = descriptors();
                hush();
                int exit = command(&sys, 2, lines[c]);
                speak();
                reached = io ? sys.ios >= n : sys.allocs >= n;
                refused += exit != HONE_OK;
                assert_int_equal(descriptors(), before);
                bool right = exit == HONE_OK ||
                             (io ? exit == HONE_USAGE || exit == HONE_IO || exit == HONE_BAD_INPUT
                                 : exit == HONE_NO_MEMORY);
                if (!right || (!reached && exit != HONE_OK)) {
                    fail_msg("%.6s, %s %lld: exit %d\n%s", lines[c][0].ptr, io ? "I/O" : "memory",
                             (long long)n, exit, file_get("said", &(size_t){0}));
                }
            }
            assert_false(reached);
            assert_true(refused > 2);
        }
    }
}

/* --- runs
 * --------------------------------------------------------------------------------------------- */
static bool run(HoneSys *sys, bool resume, HoneError *error)
{
    HoneRunOptions options = session_options(&session);
    options.sys = sys;
    options.out = "run";
    options.threads = 2;
    options.resume = resume && access("run/best", F_OK) == 0;
    options.quiet = true;
    HoneResult result;
    *error = (HoneError){0};
    size_t before = descriptors();
    hush();
    bool ok = hone_run(program, &options, &result, error);
    speak();
    assert_int_equal(descriptors(), before);
    return ok;
}

static bool has(const char *path, const void *bytes, size_t n)
{
    size_t got = 0;
    char *text = file_get(path, &got);
    bool same = text != NULL && got == n && memcmp(text, bytes, n) == 0;
    free(text);
    return same;
}

static void start_over(void)
{
    remove_tree("run");
    file_put("out.safetensors", old_weights, sizeof old_weights);
}

static void test_undisturbed(void **state)
{
    (void)state;
    HoneError error;
    start_over();
    assert_true(run(&steady, false, &error));
    want = file_get("out.safetensors", &want_bytes);
    assert_non_null(want);
    assert_true(want_bytes > 100);
}

/* The n-th call of a kind fails, in a first run and again in its resumption. */
typedef enum Kind { ALLOC, IO, IO_FULL, KINDS } Kind;

static HoneSys failing(Kind kind, int64_t n)
{
    return (HoneSys){.fail_alloc = kind == ALLOC ? n : 0,
                     .fail_io = kind != ALLOC ? n : 0,
                     .persistent = kind == IO_FULL,
                     .io_error = kind == IO_FULL ? 28 /* no space left on device */ : 0};
}

static void check_failure(Kind kind, int64_t n, bool ok, const HoneError *error)
{
    if (ok) {
        return;
    }
    assert_true(error->message[0] != '\0' && error->code[0] == 'E');
    bool right = kind == ALLOC ? error->exit == HONE_NO_MEMORY ||
                                     strstr(error->message, "the last checkpoint") != NULL
                               : error->exit == HONE_IO || error->exit == HONE_BAD_INPUT ||
                                     error->exit == HONE_BAD_CHECKPOINT;
    if (!right) {
        fail_msg("kind %d, call %lld: exit %d: %s\n%s", (int)kind, (long long)n, (int)error->exit,
                 error->message, file_get("said", &(size_t){0}));
    }
}

/* The weights are the right ones, those of the best evaluation that could be kept, or, after a
 * failure, the old file. */
static void check_weights(bool ok, bool *lost, Kind kind, int64_t n)
{
    *lost = *lost || was_said("not kept as the best");
    if (has("out.safetensors", want, want_bytes) ||
        (!ok && has("out.safetensors", old_weights, sizeof old_weights))) {
        return;
    }
    HoneError error;
    HoneFile *file = hone_file_open(&steady, "out.safetensors", &error);
    if (file == NULL || hone_file_count(file) != 4 || !*lost) {
        fail_msg("kind %d, call %lld: other weights (%s)\n%s", (int)kind, (long long)n,
                 ok ? "ok" : "failed", file_get("said", &(size_t){0}));
    }
    hone_file_close(file);
}

/* Is there room for the next call to fail? */
static bool disturbed(Kind kind, int64_t n)
{
    bool lost = false;
    HoneError error;
    start_over();
    HoneSys first = failing(kind, n), second = failing(kind, n);
    bool ok = run(&first, false, &error);
    check_failure(kind, n, ok, &error);
    check_weights(ok, &lost, kind, n);
    ok = run(&second, true, &error);
    check_failure(kind, n, ok, &error);
    check_weights(ok, &lost, kind, n);
    if (!run(&steady, true, &error)) {
        fail_msg("kind %d, call %lld: %s: %s", (int)kind, (long long)n, error.code, error.message);
    }
    check_weights(true, &lost, kind, n);
    return kind == ALLOC ? first.allocs >= n : first.ios >= n;
}

static void test_runs(void **state)
{
    (void)state;
    for (Kind kind = ALLOC; kind < KINDS; kind++) {
        int64_t n = 1;
        while (disturbed(kind, n)) {
            n += kind == IO_FULL ? 3 : 1;
            assert_true(n < 3000);
        }
        assert_true(n > 20);
    }
}

static void test_evaluation(void **state)
{
    (void)state;
    file_put("out.safetensors", want, want_bytes);
    for (Kind kind = ALLOC; kind < IO_FULL; kind++) {
        bool reached = true;
        for (int64_t n = 1; reached; n++) {
            HoneSys sys = failing(kind, n);
            HoneRunOptions options = session_options(&session);
            options.sys = &sys;
            HoneMetric metrics[4];
            size_t count = 0, before = descriptors();
            HoneError error = {0};
            bool ok =
                hone_evaluate(program, &options, "out.safetensors", &count, metrics, 4, &error);
            assert_int_equal(descriptors(), before);
            check_failure(kind, n, ok, &error);
            assert_true(!ok || (count == 1 && metrics[0].value > 0 && metrics[0].value < 10));
            reached = kind == ALLOC ? sys.allocs >= n : sys.ios >= n;
            assert_true(ok || reached);
        }
    }
}

/* --- the frame
 * --------------------------------------------------------------------------------------- */
static int setup(void **state)
{
    (void)state;
    folder = temp_folder();
    if (chdir(folder) != 0) {
        return -1;
    }
    put_inputs();
    mem_init(&mem, &steady);
    if (setjmp(mem.on_failure) != 0) {
        return -1;
    }
    mem.armed = true;
    static CommandLine line = {.command = COMMAND_RUN, .colour = -1};
    Arena *arena = arena_new(&mem, "test");
    VEC_PUSH(arena, line.args, STR("whole.hone"));
    int exit = 0;
    BuildReport report;
    const Ast *finetune = session_begin(&session, &steady, &mem, &line, &exit);
    if (finetune == NULL) {
        return -1;
    }
    Recipe *built = session_recipe(&session, finetune, &(RecipeOptions){0});
    program = built == NULL ? NULL : session_program(&session, built, true, &report, &exit);
    return program == NULL ? -1 : 0;
}

static int teardown(void **state)
{
    (void)state;
    mem_release(&mem);
    free(want);
    if (chdir("/") != 0) {
        return -1;
    }
    temp_remove(folder);
    return 0;
}

int main(void)
{
    if (access("/dev/shm", W_OK) == 0) { /* many small files, synced often */
        setenv("TMPDIR", "/dev/shm", 0);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commands), cmocka_unit_test(test_undisturbed),
        cmocka_unit_test(test_runs), cmocka_unit_test(test_evaluation)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
