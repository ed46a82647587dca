/* A run of the runtime on a program made by hand (linear regression, kernels in C): loss falls, the
 * bits do not depend on threads, a stopped or killed run resumes to the same bytes, failing I/O and
 * refused memory leave what was there. */
#define _XOPEN_SOURCE 600      /* posix_openpt() */
#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "hone/hone.h"

enum { FEATURES = 4, SAMPLES = 42, BATCH = 8 };
static char root[64];
static volatile int stop_at;          /* raise a signal in this step; 0: never */
static volatile int stop_signal;
static int null, err;                /* /dev/null; where a run's warnings go */
static double epochs;                /* of five steps */
static const char *stage_name;
static int events = -1;              /* where JSON events go; -1: none */
static bool monitor_max;
static int away_from, away_to;       /* steps at which the folder of the best weights goes and returns */
static char best_folder[128];
static bool slow, loud;              /* steps take 60 ms; progress is shown */
static int prefetch;                 /* batches ahead; -1: chosen */

/* --- kernels ----------------------------------------------------------------------------------------- */
/* x [8, 4], y [8], w [4], t (f64), out loss, w in place: mean squared error, one step of descent. */
static void kernel_train(void *const *buffers, void *scratch, int64_t chunk)
{
    (void)scratch, (void)chunk;
    const float *x = buffers[0], *y = buffers[1];
    float *w = buffers[2], *loss = buffers[4], g[FEATURES] = {0};
    const double *t = buffers[3];
    *loss = 0;
    for (int n = 0; n < BATCH; n++) {
        float e = -y[n];
        for (int i = 0; i < FEATURES; i++) {
            e += x[n * FEATURES + i] * w[i];
        }
        *loss += e * e / (float)BATCH;
        for (int i = 0; i < FEATURES; i++) {
            g[i] += 2 * e * x[n * FEATURES + i] / (float)BATCH;
        }
    }
    for (int i = 0; i < FEATURES; i++) {
        w[i] -= 0.2f * g[i];
    }
    if (slow) {
        nanosleep(&(struct timespec){.tv_nsec = 60000000}, NULL);
    }
    char away[160];
    snprintf(away, sizeof away, "%s-away", best_folder);
    if ((int)*t == away_from) {
        assert_int_equal(rename(best_folder, away), 0);
    } else if ((int)*t == away_to) {
        assert_int_equal(rename(away, best_folder), 0);
    }
    if (stop_at > 0 && (int)*t == stop_at) {
        raise(stop_signal);
    }
}

static void kernel_total(void *const *buffers, void *scratch, int64_t chunk, int n_samples)
{
    (void)scratch, (void)chunk;
    const float *x = buffers[0], *y = buffers[1], *w = buffers[2];
    double *total = buffers[3];
    for (int n = 0; n < n_samples; n++) {
        float e = -y[n];
        for (int i = 0; i < FEATURES; i++) {
            e += x[n * FEATURES + i] * w[i];
        }
        total[0] += (double)(e * e);
        total[8] += 1;
    }
}

static void kernel_eval(void *const *buffers, void *scratch, int64_t chunk)
{
    kernel_total(buffers, scratch, chunk, BATCH);
}

static void kernel_eval_one(void *const *buffers, void *scratch, int64_t chunk)
{
    kernel_total(buffers, scratch, chunk, 1);
}

static void kernel_metrics(void *const *buffers, void *scratch, int64_t chunk)
{
    (void)scratch, (void)chunk;
    const double *total = buffers[0];
    double *out = buffers[1];
    out[0] = total[0] / total[8];
    out[8] = total[8];
}

/* --- the program -------------------------------------------------------------------------------------- */
#define AT(where, bytes) {.arena = (where), .offset = (bytes)}
static const HoneRef in_x = AT(HONE_ARENA_IO, 0), in_y = AT(HONE_ARENA_IO, 128),
                     in_t = AT(HONE_ARENA_IO, 192), out_loss = AT(HONE_ARENA_IO, 256),
                     out_metrics = AT(HONE_ARENA_IO, 320), weights = AT(HONE_ARENA_PARAMS, 0),
                     totals = AT(HONE_ARENA_STATE, 0);

typedef struct Made {
    HoneProgram program;
    HoneTensor tensors[2];
    HoneEntry entries[4];
    HoneCall calls[4];
    HoneRef buffers[4][5];
    HonePort fields[2], one[2], step, loss, metrics[2];
    HoneOption options[2];
    HoneSource source;
    HoneData data;
    HoneStage stage;
    HoneSave save;
    HoneSaveItem item;
    uint32_t total;
} Made;

static HonePort port(const char *name, HoneDType dtype, HoneRef at, int64_t n, int64_t m)
{
    HonePort p = {.name = name, .dtype = dtype, .at = at};
    p.rank = n == 0 ? 0 : m == 0 ? 1 : 2;
    p.dims[0] = n;
    p.dims[1] = m;
    p.strides[0] = m == 0 ? 1 : m;
    p.strides[1] = 1;
    return p;
}

static void make_calls(Made *m)
{
    static HoneKernelFn *const functions[] = {kernel_train, kernel_eval, kernel_eval_one,
                                              kernel_metrics};
    const HoneRef buffers[4][5] = {{in_x, in_y, weights, in_t, out_loss},
                                   {in_x, in_y, weights, totals},
                                   {in_x, in_y, weights, totals},
                                   {totals, out_metrics}};
    static const char *const names[] = {"train", "eval", "eval-one", "metrics"};
    memcpy(m->buffers, buffers, sizeof buffers);
    for (int i = 0; i < 4; i++) {
        m->calls[i] = (HoneCall){.fn = functions[i],
                                 .name = names[i],
                                 .n_buffers = i == 0 ? 5 : i == 3 ? 2 : 4,
                                 .buffers = m->buffers[i],
                                 .chunks = 1};
        m->entries[i] = (HoneEntry){.name = names[i], .n_calls = 1, .calls = &m->calls[i]};
    }
    for (int i = 0; i < 3; i++) {
        m->entries[i].fields = i == 2 ? m->one : m->fields;
        m->entries[i].n_fields = 2;
    }
    m->entries[0].steps = &m->step;
    m->entries[0].n_steps = 1;
    m->entries[0].outputs = &m->loss;
    m->entries[0].n_outputs = 1;
    m->entries[3].outputs = m->metrics;
    m->entries[3].n_outputs = 2;
}

static void make(Made *m)
{
    *m = (Made){0};
    m->fields[0] = port("x", HONE_F32, in_x, BATCH, FEATURES);
    m->fields[1] = port("y", HONE_F32, in_y, BATCH, 0);
    m->one[0] = port("x", HONE_F32, in_x, 1, FEATURES);
    m->one[1] = port("y", HONE_F32, in_y, 1, 0);
    m->step = port("t", HONE_F64, in_t, 0, 0);
    m->step.step = HONE_STEP_T;
    m->loss = port("loss", HONE_F32, out_loss, 0, 0);
    m->metrics[0] = port("mse", HONE_F64, out_metrics, 0, 0);
    m->metrics[1] = port("count", HONE_F64, (HoneRef)AT(HONE_ARENA_IO, 384), 0, 0);
    make_calls(m);
    m->tensors[0] = (HoneTensor){.key = "w", .kind = HONE_PARAM, .dtype = HONE_F32, .rank = 1,
                                 .dims = {FEATURES}, .strides = {1}, .at = weights, .bytes = 16,
                                 .init = HONE_INIT_UNIFORM, .a = -1, .b = 1, .init_key = 7,
                                 .of = HONE_NONE, .load = HONE_NONE};
    m->tensors[1] = (HoneTensor){.key = "total", .kind = HONE_TOTAL, .dtype = HONE_F64, .rank = 1,
                                 .dims = {9}, .strides = {1}, .at = totals, .bytes = 72,
                                 .of = HONE_NONE, .load = HONE_NONE};
    m->options[0] = (HoneOption){.name = "file", .kind = HONE_OPT_STRING, .s = "data.safetensors"};
    m->source = (HoneSource){.reader = "arrays", .n_options = 1, .options = m->options};
    m->data = (HoneData){.name = "line", .batch = BATCH, .shuffle = true, .train = &m->source,
                         .valid = &m->source};
    m->total = 1;
    m->stage = (HoneStage){.name = stage_name, .train = 0, .accumulate = 1, .count = HONE_NONE,
                           .update = HONE_NONE, .eval = 1, .eval_one = 2, .metrics = 3,
                           .n_totals = 1, .totals = &m->total, .epochs = epochs, .monitor = "mse",
                           .monitor_max = monitor_max,
                           .checkpoint = 3};
    m->item = (HoneSaveItem){.key = "w", .tensor = 0};
    m->save = (HoneSave){.path = "line.safetensors", .n_items = 1, .items = &m->item};
    m->program = (HoneProgram){
        .version = HONE_ABI_VERSION, .name = "line", .recipe = "# by hand\n", .hash = 42,
        .target = "none", .arena_bytes = {64, 128, 512, 64, 0}, .seed = 3, .workers = 0,
        .n_tensors = 2, .n_entries = 4, .n_data = 1, .n_saves = 1, .n_stages = 1,
        .tensors = m->tensors, .entries = m->entries, .data = &m->data, .saves = &m->save,
        .stages = &m->stage, .predict = HONE_NONE};
}

/* --- running it ----------------------------------------------------------------------------------------- */
static int make_root(void **state)
{
    (void)state;
    strcpy(root, "/tmp/hone-run-XXXXXX");
    assert_non_null(mkdtemp(root));
    float x[SAMPLES][FEATURES], y[SAMPLES];
    for (int n = 0; n < SAMPLES; n++) {
        y[n] = 0.5f;
        for (int i = 0; i < FEATURES; i++) {
            x[n][i] = 2 * hone_random_uniform(1, 2, 0, (uint64_t)(n * FEATURES + i)) - 1;
            y[n] += (float)(i + 1) * x[n][i];
        }
    }
    HoneWrite writes[2] = {
        {.key = "x", .dtype = HONE_F32, .rank = 2, .dims = {SAMPLES, FEATURES}, .data = x},
        {.key = "y", .dtype = HONE_F32, .rank = 1, .dims = {SAMPLES}, .data = y}};
    char path[128];
    snprintf(path, sizeof path, "%s/data.safetensors", root);
    HoneSys sys = {0};
    HoneError error;
    assert_true(hone_safetensors_write(&sys, path, 2, writes, &error));
    stop_at = 0;
    epochs = 4;
    stage_name = "only";
    prefetch = -1;
    monitor_max = false;
    away_from = away_to = 0;
    slow = loud = false;
    if (null == 0) {
        null = open("/dev/null", O_RDWR);
    }
    err = null;
    return 0;
}

static int remove_root(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", root);
    return system(command);
}

static bool run(HoneSys *sys, const char *out, int threads, bool resume, HoneResult *result,
                HoneError *error)
{
    Made m;
    make(&m);
    char dir[128];
    snprintf(dir, sizeof dir, "%s/%s", root, out);
    snprintf(best_folder, sizeof best_folder, "%.100s/best", dir);
    HoneRunOptions options = {.sys = sys, .root = root, .out = dir, .threads = threads,
                              .resume = resume && access(best_folder, F_OK) == 0, .quiet = !loud, .prefetch = prefetch,
                              .json = events >= 0, .err_fd = err,
                              .out_fd = events >= 0 ? events : null};
    *error = (HoneError){0};
    return hone_run(&m.program, &options, result, error);
}

/* The weights that a run saved; removed, so that the next run is not credited with them. */
static void take_weights(float w[FEATURES])
{
    char path[128];
    snprintf(path, sizeof path, "%s/line.safetensors", root);
    HoneSys sys = {0};
    HoneError error;
    HoneFile *file = hone_file_open(&sys, path, &error);
    assert_non_null(file);
    assert_true(hone_file_read(file, hone_file_find(file, "w"), w, &error));
    hone_file_close(file);
    assert_int_equal(unlink(path), 0);
}

/* A run that succeeds, and the weights that it saved; returns its steps. */
static int64_t train(const char *out, int threads, bool resume, float w[FEATURES])
{
    HoneSys sys = {0};
    HoneResult result;
    HoneError error;
    assert_true(run(&sys, out, threads, resume, &result, &error));
    take_weights(w);
    return (int64_t)result.steps;
}

/* Weights that stand there before a run. */
static void put_weights(const float w[FEATURES])
{
    char path[128];
    snprintf(path, sizeof path, "%s/line.safetensors", root);
    HoneSys sys = {0};
    HoneError error;
    HoneWrite write = {.key = "w", .dtype = HONE_F32, .rank = 1, .dims = {FEATURES}, .data = w};
    assert_true(hone_safetensors_write(&sys, path, 1, &write, &error));
}

static void test_trains(void **state)
{
    (void)state;
    HoneSys sys = {0};
    HoneResult result;
    HoneError error;
    float one[FEATURES], many[FEATURES];
    assert_true(run(&sys, "a", 1, false, &result, &error));
    assert_int_equal(result.steps, 20);
    assert_string_equal(result.monitor, "mse");
    take_weights(one);
    assert_true(fabsf(one[3] - 4) < 1.5f);
    for (int threads = 2; threads <= 8; threads *= 2) {
        char out[8];
        snprintf(out, sizeof out, "t%d", threads);
        train(out, threads, false, many);
        assert_memory_equal(one, many, sizeof one);
    }
    assert_false(run(&sys, "a", 1, false, &result, &error));      /* in use */
    assert_int_equal(error.exit, HONE_IO);
}

static void test_prefetch_changes_nothing(void **state)
{
    (void)state;
    float chosen[FEATURES], other[FEATURES];
    train("p", 1, false, chosen);
    for (prefetch = 1; prefetch <= 5; prefetch += 2) {
        char out[8];
        snprintf(out, sizeof out, "p%d", prefetch);
        train(out, 2, false, other);
        assert_memory_equal(chosen, other, sizeof chosen);
    }
}

/* The lines of a file, each a JSON object; *evaluations of them count all samples. */
static int count_lines(const char *name, int *evaluations)
{
    char path[128], line[4096];
    snprintf(path, sizeof path, "%s/%s", root, name);
    FILE *in = fopen(path, "r");
    assert_non_null(in);
    int lines = 0;
    *evaluations = 0;
    for (; fgets(line, sizeof line, in) != NULL; lines++) {
        json_t *object = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
        assert_true(json_is_object(object));
        assert_true(json_object_get(object, "loss") != NULL || json_object_get(object, "mse") != NULL);
        *evaluations += json_number_value(json_object_get(object, "count")) == (double)SAMPLES;
        json_decref(object);
    }
    fclose(in);
    return lines;
}

static int count_records(const char *out, int *evaluations)
{
    char name[64];
    snprintf(name, sizeof name, "%s/metrics.jsonl", out);
    return count_lines(name, evaluations);
}

static int open_events(void)
{
    char path[128];
    snprintf(path, sizeof path, "%s/events", root);
    return open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
}

static void test_metrics_count_every_sample(void **state)
{
    (void)state;
    HoneSys sys = {0};
    HoneResult result;
    HoneError error;
    assert_true(run(&sys, "m", 2, false, &result, &error));
    int evaluations = 0;
    assert_int_equal(count_records("m", &evaluations), 20 + 4);
    assert_int_equal(evaluations, 4);
}

/* A stage's name may be longer than a record: what is written stays JSON. */
static void test_long_names(void **state)
{
    (void)state;
    static char name[5000];
    memset(name, 'a', sizeof name - 1);
    stage_name = name;
    HoneSys sys = {0};
    HoneResult result;
    HoneError error;
    events = open_events();
    assert_true(run(&sys, "long", 1, false, &result, &error));
    assert_int_equal(result.steps, 20);
    int evaluations = 0;
    assert_int_equal(count_records("long", &evaluations), 20 + 4);
    assert_int_equal(evaluations, 4);
    assert_int_equal(close(events), 0);
    events = -1;
    assert_int_equal(count_lines("events", &evaluations), 4);
}

static void test_stopped_run_resumes(void **state)
{
    (void)state;
    HoneSys sys = {0};
    HoneResult result;
    HoneError error;
    float whole[FEATURES], resumed[FEATURES];
    train("whole", 1, false, whole);
    for (int step = 1; step < 20; step += 3) {
        char out[16];
        snprintf(out, sizeof out, "s%d", step);
        stop_at = step;
        stop_signal = SIGTERM;
        assert_false(run(&sys, out, 1, false, &result, &error));
        assert_int_equal(error.exit, HONE_SIGTERM);
        stop_at = 0;
        assert_int_equal(train(out, 2, true, resumed), 20);
        assert_memory_equal(whole, resumed, sizeof whole);
    }
}

static void test_killed_run_resumes(void **state)
{
    (void)state;
    HoneSys sys = {0};
    HoneResult result;
    HoneError error;
    float whole[FEATURES], resumed[FEATURES];
    train("whole", 1, false, whole);
    for (int step = 1; step <= 20; step += 3) {
        char out[16];
        snprintf(out, sizeof out, "k%d", step);
        pid_t child = fork();
        if (child == 0) {
            stop_at = step;
            stop_signal = SIGKILL;
            run(&sys, out, 1, false, &result, &error);
            _exit(0);
        }
        int status;
        waitpid(child, &status, 0);
        assert_true(WIFSIGNALED(status));
        train(out, 1, true, resumed);
        assert_memory_equal(whole, resumed, sizeof whole);
    }
}

/* Each I/O call and each allocation fails in turn: an error with a text, or a run that still ends
 * right; the weights file is always whole. */
static void test_faults(void **state)
{
    (void)state;
    HoneSys plain = {0};
    HoneResult result;
    HoneError error;
    float whole[FEATURES], now[FEATURES];
    static const float old[FEATURES] = {9, 8, 7, 6};
    epochs = 1;
    assert_true(run(&plain, "whole", 1, false, &result, &error));
    take_weights(whole);
    for (int kind = 0; kind < 2; kind++) {
        int64_t calls = kind == 0 ? plain.allocs : plain.ios;
        for (int64_t n = 1; n <= calls; n++) {
            HoneSys sys = {0};
            *(kind == 0 ? &sys.fail_alloc : &sys.fail_io) = n;
            put_weights(old);
            bool ok = run(&sys, "faulty", 1, false, &result, &error);
            if (!ok) {
                take_weights(now);
                assert_true(memcmp(now, old, sizeof now) == 0 ||
                            memcmp(now, whole, sizeof now) == 0);
                assert_int_not_equal(error.exit, HONE_OK);
                assert_true(error.message[0] != '\0');
                HoneSys again = {0};
                assert_true(run(&again, "faulty", 1, true, &result, &error));
            }
            take_weights(now);
            assert_memory_equal(whole, now, sizeof whole);
            char command[160];
            snprintf(command, sizeof command, "rm -rf %s/faulty", root);
            assert_int_equal(system(command), 0);
        }
    }
}

static void test_damaged_checkpoint_is_passed_over(void **state)
{
    (void)state;
    float whole[FEATURES], resumed[FEATURES];
    train("d", 1, false, whole);
    char path[160];
    snprintf(path, sizeof path, "%s/d/checkpoint-20/weights.safetensors", root);
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    fseek(file, -1, SEEK_END);
    fputc(77, file);
    fclose(file);
    train("d", 1, true, resumed);
    assert_memory_equal(whole, resumed, sizeof whole);
}

/* The mean squared error that metrics.jsonl has for an evaluation, counted from 1. */
static double recorded_mse(const char *out, int evaluation)
{
    char path[128], line[512];
    snprintf(path, sizeof path, "%s/%s/metrics.jsonl", root, out);
    FILE *in = fopen(path, "r");
    assert_non_null(in);
    double value = NAN;
    while (evaluation > 0 && fgets(line, sizeof line, in) != NULL) {
        const char *at = strstr(line, "\"mse\": ");
        evaluation -= at != NULL;
        value = at == NULL ? value : atof(at + 7);
    }
    fclose(in);
    return value;
}

static double saved_mse(void)
{
    float w[FEATURES];
    double sum = 0;
    take_weights(w);
    for (int n = 0; n < SAMPLES; n++) {
        double e = -0.5;
        for (int i = 0; i < FEATURES; i++) {
            double x = 2 * (double)hone_random_uniform(1, 2, 0, (uint64_t)(n * FEATURES + i)) - 1;
            e += x * ((double)w[i] - i - 1);
        }
        sum += e * e;
    }
    return sum / (double)SAMPLES;
}

/* Where the best weights could not be written, other ones are saved as documented, and said. */
static void test_best_that_cannot_be_kept(void **state)
{
    (void)state;
    static const struct {
        const char *out;
        int from, to;
        bool max;
        int seen, saved;             /* evaluation */
    } cases[] = {
        {"after", 2, 7, true, 1, 2},      /* the second is the best that was written */
        {"never", 2, 0, true, 1, 4},      /* none was: the last */
        {"last", 17, 0, false, 4, 4},     /* the best are the last, which need no file */
    };
    for (int i = 0; i < 3; i++) {
        HoneSys sys = {0};
        HoneResult result;
        HoneError error;
        char path[160], line[512];
        snprintf(path, sizeof path, "%s/said", root);
        err = open(path, O_RDWR | O_CREAT | O_TRUNC, 0666);
        away_from = cases[i].from;
        away_to = cases[i].to;
        monitor_max = cases[i].max;
        bool lost = cases[i].seen != cases[i].saved;
        assert_false(run(&sys, cases[i].out, 1, false, &result, &error));
        away_from = away_to = 0;
        assert_true(result.finished);
        assert_int_equal(result.best_lost, lost);
        assert_int_equal(result.best_epoch, cases[i].seen);
        assert_int_equal(result.saved_epoch, cases[i].saved);
        assert_float_equal(result.best, recorded_mse(cases[i].out, cases[i].seen), 1e-6);
        assert_float_equal(result.saved, recorded_mse(cases[i].out, cases[i].saved), 1e-6);
        assert_float_equal(saved_mse(), result.saved, 1e-5);
        close(err);
        FILE *said = fopen(path, "r");
        assert_non_null(said);
        int warnings = 0;
        while (fgets(line, sizeof line, said) != NULL) {
            warnings += strstr(line, "warning[E701]") != NULL;
        }
        fclose(said);
        assert_int_equal(warnings, lost ? 1 : 2);     /* of up to four attempts; the last checkpoint */
        assert_int_equal(error.exit, HONE_IO);
        assert_non_null(strstr(error.message, lost ? "best weights (mse" : "the last checkpoint"));
        if (lost) {
            char text[64];
            snprintf(text, sizeof text, "weights of epoch %d, mse", cases[i].saved);
            assert_non_null(strstr(error.note, text));
        }
    }
}

/* On a terminal of so many columns no line is cut: fields are left out, never the time left. */
static void test_progress_fits(void **state)
{
    (void)state;
    epochs = 2;
    slow = loud = true;
    for (unsigned short columns = 40; columns <= 120; columns += 40) {
        int master = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK);
        if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0) {
            skip();
        }
        err = open(ptsname(master), O_RDWR | O_NOCTTY);
        assert_int_equal(ioctl(err, TIOCSWINSZ, &(struct winsize){.ws_row = 24, .ws_col = columns}), 0);
        HoneSys sys = {0};
        HoneResult result;
        HoneError error;
        char out[16], text[8192] = "";
        snprintf(out, sizeof out, "c%d", columns);
        assert_true(run(&sys, out, 1, false, &result, &error));
        ssize_t n = read(master, text, sizeof text - 1);
        assert_true(n > 0);
        int drawn = 0;
        for (char *line = strtok(text, "\r"); line != NULL; line = strtok(NULL, "\r")) {
            const char *shown = strstr(line, "step ");
            if (shown == NULL) {
                continue;
            }
            drawn++;
            int width = 0;
            for (const char *c = strchr(line, 'K') + 1; *c != '\0'; c++) {
                width += ((unsigned char)*c & 0xC0) != 0x80;
            }
            assert_true(width < columns);
            assert_string_equal(line + strlen(line) - 5, " left");
        }
        assert_true(drawn >= 2);
        close(err);
        close(master);
        err = null;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_trains, make_root, remove_root),
        cmocka_unit_test_setup_teardown(test_prefetch_changes_nothing, make_root, remove_root),
        cmocka_unit_test_setup_teardown(test_metrics_count_every_sample, make_root, remove_root),
        cmocka_unit_test_setup_teardown(test_long_names, make_root, remove_root),
        cmocka_unit_test_setup_teardown(test_stopped_run_resumes, make_root, remove_root),
        cmocka_unit_test_setup_teardown(test_killed_run_resumes, make_root, remove_root),
        cmocka_unit_test_setup_teardown(test_damaged_checkpoint_is_passed_over, make_root,
                                        remove_root),
        cmocka_unit_test_setup_teardown(test_best_that_cannot_be_kept, make_root, remove_root),
        cmocka_unit_test_setup_teardown(test_progress_fits, make_root, remove_root),
        cmocka_unit_test_setup_teardown(test_faults, make_root, remove_root),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
