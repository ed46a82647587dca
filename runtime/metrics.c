/* metrics: metrics.jsonl, one record per line and per write, so that every line is whole whenever the
 * process dies. Resume truncates the file to what the checkpoint had seen; a record that could not be
 * written whole is taken back. */
#include <errno.h>
#include <string.h>

#include "run.h"

static const char record_end[] = "}\n";

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

void metrics_begin(Metrics *metrics, const char *stage, int64_t step, int64_t epoch)
{
    metrics->record = hone_text(metrics->line, sizeof metrics->line - strlen(record_end));
    hone_text_add(&metrics->record, "{\"stage\": \"%.*s\", \"step\": %lld, \"epoch\": %lld",
                  HONE_TEXT_NAME, stage, (long long)step, (long long)epoch);
}

void metrics_number(Metrics *metrics, const char *name, double value)
{
    hone_text_number(&metrics->record, name, value);
}

bool metrics_end(Metrics *metrics, HoneError *error)
{
    metrics->record.room = sizeof metrics->line;     /* what was kept free for the end */
    hone_text_add(&metrics->record, "%s", record_end);
    if (hone_write_all(metrics->sys, metrics->fd, metrics->line, metrics->record.n) != 0) {
        int why = errno;
        (void)hone_truncate(metrics->sys, metrics->path, (int64_t)metrics->bytes);
        return hone_fail_write(error, metrics->path, why);
    }
    metrics->bytes += metrics->record.n;
    return true;
}

void metrics_close(Metrics *metrics)
{
    if (metrics->fd >= 0) {
        hone_close(metrics->sys, metrics->fd);
        metrics->fd = -1;
    }
}
