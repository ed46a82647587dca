/* metrics: metrics.jsonl, one record per line and per write, so that every line is whole whenever the
 * process dies. Resume truncates the file to what the checkpoint had seen. */
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "run.h"

bool metrics_open(Metrics *metrics, HoneSys *sys, const char *run_dir, uint64_t keep,
                  HoneError *error)
{
    *metrics = (Metrics){.sys = sys, .fd = -1, .bytes = keep};
    if (!hone_path_join(metrics->path, run_dir, "metrics.jsonl")) {
        return hone_fail(error, HONE_USAGE, "E701", "the run directory's path is too long");
    }
    metrics->fd = hone_open_write(sys, metrics->path, keep > 0);
    if (metrics->fd < 0 ||
        (keep > 0 && hone_truncate(sys, metrics->path, (int64_t)keep) != 0)) {
        int why = errno;
        metrics_close(metrics);
        return hone_fail_write(error, metrics->path, why);
    }
    return true;
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
        return hone_fail_write(error, metrics->path, errno);
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
