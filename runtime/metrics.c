/* metrics: metrics.jsonl, one record per line and per write, so that every line is whole whenever the
 * process dies. Resume truncates the file to what the checkpoint had seen; a record that could not be
 * written whole is taken back. */
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "run.h"

/* A file that is shorter than the checkpoint knew goes on at its end. */
static bool keep_start(Metrics *metrics)
{
    int64_t size = hone_file_size(metrics->sys, metrics->fd);
    if (size < 0) {
        return false;
    }
    if ((uint64_t)size < metrics->bytes) {
        metrics->bytes = (uint64_t)size;
    }
    return hone_truncate(metrics->sys, metrics->path, (int64_t)metrics->bytes) == 0;
}

bool metrics_open(Metrics *metrics, HoneSys *sys, const char *run_dir, uint64_t keep,
                  HoneError *error)
{
    *metrics = (Metrics){.sys = sys, .fd = -1, .bytes = keep};
    if (!hone_path_join(metrics->path, run_dir, "metrics.jsonl")) {
        return hone_fail(error, HONE_USAGE, "E701", "the run directory's path is too long");
    }
    metrics->fd = hone_open_write(sys, metrics->path, true);
    if (metrics->fd >= 0 && keep_start(metrics)) {
        return true;
    }
    int why = errno;
    metrics_close(metrics);
    return hone_fail_write(error, metrics->path, why);
}

static void add(Metrics *metrics, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void add(Metrics *metrics, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    size_t room = sizeof metrics->line - metrics->len;
    int n = vsnprintf(metrics->line + metrics->len, room, fmt, args);
    va_end(args);
    metrics->len += n > 0 && (size_t)n < room ? (size_t)n : 0;    /* what does not fit is left out */
}

void metrics_begin(Metrics *metrics, const char *stage, int64_t step, int64_t epoch)
{
    metrics->len = 0;
    add(metrics, "{\"stage\": \"%s\", \"step\": %lld, \"epoch\": %lld", stage, (long long)step,
        (long long)epoch);
}

void metrics_number(Metrics *metrics, const char *name, double value)
{
    if (isfinite(value)) {
        add(metrics, ", \"%s\": %.9g", name, value);
    } else {
        add(metrics, ", \"%s\": null", name);
    }
}

bool metrics_end(Metrics *metrics, HoneError *error)
{
    add(metrics, "}\n");
    if (hone_write_all(metrics->sys, metrics->fd, metrics->line, metrics->len) != 0) {
        int why = errno;
        (void)hone_truncate(metrics->sys, metrics->path, (int64_t)metrics->bytes);
        return hone_fail_write(error, metrics->path, why);
    }
    metrics->bytes += metrics->len;
    return true;
}

void metrics_close(Metrics *metrics)
{
    if (metrics->fd >= 0) {
        hone_close(metrics->sys, metrics->fd);
        metrics->fd = -1;
    }
}
