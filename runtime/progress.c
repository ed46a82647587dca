/* progress: what a person sees while a run goes on, on standard error: one line redrawn on a
 * terminal, otherwise a plain line per evaluation and at most one a minute. With --json, one object
 * per evaluation on standard output. */
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "run.h"

static const double redraw = 0.1, plain = 60; /* seconds between lines */

double clock_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

Progress progress_new(const HoneRunOptions *options, const HoneProgram *program, int64_t done,
                      int64_t total)
{
    return (Progress){
        .sys = options->sys,
        .options = options,
        .program = program,
        .terminal = isatty(options->err_fd) == 1,
        .start = clock_seconds(),
        .shown = clock_seconds(),
        .first_update = done,
        .total = total,
    };
}

static void write_text(const Progress *progress, int fd, const char *text)
{
    (void)hone_write_all(progress->sys, fd, text, strlen(text)); /* nowhere to report a failure */
}

static void format_left(char to[32], double seconds)
{
    if (seconds < 100) {
        snprintf(to, 32, "%.0f s", seconds);
    } else if (seconds < 6000) {
        snprintf(to, 32, "%.0f min", seconds / 60);
    } else {
        snprintf(to, 32, "%.1f h", seconds / 3600);
    }
}

/* In the order in which a narrow terminal loses them. */
typedef enum Field { RATE, LR, NAME, BEST, STAGE, METRICS, FIELDS } Field;

static void describe(const Progress *progress, const Position *position, Field lost, HoneText *line)
{
    double seconds = clock_seconds() - progress->start;
    double steps = (double)(position->updates - progress->first_update);
    double rate = seconds > 0 ? steps / seconds : 0;
    const HoneStage *stage = &progress->program->stages[position->stage];
    int64_t update = progress->program->data[stage->data].batch * stage->accumulate;
    double samples = rate * (double)update;
    if (lost <= NAME) {
        hone_text_add(line, "%s · ", progress->program->name);
    }
    if (lost <= STAGE) {
        hone_text_add(line, "%s · ", stage->name);
    }
    hone_text_add(line, "step %lld/%lld · loss %.4g", (long long)position->updates,
                  (long long)progress->total, progress->loss);
    if (lost <= LR) {
        hone_text_add(line, " · lr %.2g", progress->lr);
    }
    if (lost <= RATE) {
        hone_text_add(line, " · %.*f samples/s", samples < 100 ? 1 : 0, samples);
    }
    if (lost <= METRICS && progress->metrics[0] != '\0') {
        hone_text_add(line, " · %s", progress->metrics);
    }
    if (progress->terminal && lost <= BEST && position->seen.has) {
        hone_text_add(line, " · best %.4g", position->seen.value);
    }
    if (rate > 0) {
        char left[32];
        format_left(left, (double)(progress->total - position->updates) / rate);
        hone_text_add(line, " · %s left", left);
    }
}

static int width_of(const char *line)
{
    int n = 0;
    for (; *line != '\0'; line++) {
        n += ((unsigned char)*line & 0xC0) != 0x80;
    }
    return n;
}

/* A line that wraps could not be redrawn in its place: fields are left out until it fits. */
static void describe_within(const Progress *progress, const Position *position, int columns,
                            char *line, size_t room)
{
    for (int lost = 0; lost <= FIELDS; lost++) {
        HoneText text = hone_text(line, room);
        describe(progress, position, (Field)lost, &text);
        if (width_of(line) <= columns) {
            return;
        }
    }
    line[0] = '\0';
}

void progress_clear(Progress *progress)
{
    if (progress->terminal && !progress->options->quiet) {
        write_text(progress, progress->options->err_fd, "\r\033[K");
    }
}

void progress_step(Progress *progress, const Position *position, double loss, double lr)
{
    double now = clock_seconds();
    progress->loss = loss;
    progress->lr = lr;
    if (progress->options->quiet || now - progress->shown < (progress->terminal ? redraw : plain)) {
        return;
    }
    progress->shown = now;
    char line[512], text[560];
    int columns = progress->terminal ? hone_terminal_width(progress->options->err_fd) - 1 : INT_MAX;
    describe_within(progress, position, columns, line, sizeof line);
    snprintf(text, sizeof text, progress->terminal ? "\r\033[K%s" : "%s\n", line);
    write_text(progress, progress->options->err_fd, text);
}

void progress_note(Progress *progress, const char *fmt, ...)
{
    if (progress->options->quiet) {
        return;
    }
    char line[1024];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(line, sizeof line - 1, fmt, args);
    va_end(args);
    size_t end = n < 0 ? 0 : (size_t)n < sizeof line - 2 ? (size_t)n : sizeof line - 2;
    line[end] = '\n';
    line[end + 1] = '\0';
    progress_clear(progress);
    write_text(progress, progress->options->err_fd, line);
}

void progress_warn(Progress *progress, const HoneError *error, const char *note, ...)
{
    char text[1024], kept[256];
    va_list args;
    va_start(args, note);
    vsnprintf(kept, sizeof kept, note, args);
    va_end(args);
    snprintf(text, sizeof text, "warning[%s]: %s\n  = note: %s\n", error->code, error->message,
             kept);
    progress_clear(progress);
    write_text(progress, progress->options->err_fd, text); /* even when quiet: a file is missing */
}

static void eval_json(const Progress *progress, const Position *position, const HoneEntry *metrics,
                      const Engine *engine)
{
    char line[2048];
    HoneText text = hone_text(line, sizeof line - 2);
    hone_text_add(&text, "{\"event\": \"eval\", \"stage\": \"%.*s\", \"step\": %lld", HONE_TEXT_NAME,
                  progress->program->stages[position->stage].name, (long long)position->updates);
    for (uint32_t i = 0; i < metrics->n_outputs; i++) {
        const char *name = metrics->outputs[i].name;
        hone_text_number(&text, name, engine_output(engine, metrics, name));
    }
    text.room = sizeof line;
    hone_text_add(&text, "}\n");
    write_text(progress, progress->options->out_fd, line);
}

static void show_metrics(HoneText *shown, const HoneEntry *metrics, const Engine *engine)
{
    for (uint32_t i = 0; i < metrics->n_outputs; i++) {
        const char *name = metrics->outputs[i].name;
        hone_text_add(shown, "%s%.40s %.4g", i > 0 ? " " : "", name,
                      engine_output(engine, metrics, name));
    }
}

void progress_start(Progress *progress, const Position *position, const HoneEntry *start,
                    const Engine *engine)
{
    char text[256];
    HoneText shown = hone_text(text, sizeof text);
    show_metrics(&shown, start, engine);
    if (progress->options->json) {
        eval_json(progress, position, start, engine);
    }
    progress_note(progress, "before training: %s", text);
}

void progress_eval(Progress *progress, const Position *position, const HoneEntry *metrics,
                   const Engine *engine)
{
    HoneText shown = hone_text(progress->metrics, sizeof progress->metrics);
    show_metrics(&shown, metrics, engine);
    if (progress->options->json) {
        eval_json(progress, position, metrics, engine);
    }
    if (!progress->terminal) {
        char line[768];
        describe_within(progress, position, INT_MAX, line, sizeof line);
        progress_note(progress, "%s", line);
    }
}
