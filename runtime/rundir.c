/* rundir: where a run writes: runs/NAME below the root, NAME-2, NAME-3 … for later runs, or the
 * folder that was asked for. Never one that another run has used, unless it is resumed. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "run.h"

static bool exists(HoneSys *sys, const char *folder)
{
    size_t n = 0;
    char **names = hone_list_dir(sys, folder, &n);
    hone_free(sys, names);
    return names != NULL && n > 0;
}

static bool numbered(char to[HONE_PATH], const char *runs, const char *name, int number)
{
    char last[256];
    if (number == 1) {
        snprintf(last, sizeof last, "%s", name);
    } else {
        snprintf(last, sizeof last, "%s-%d", name, number);
    }
    return hone_path_join(to, runs, last);
}

/* The first unused folder; with resume the last used one, if there is any. */
static bool choose(char to[HONE_PATH], HoneSys *sys, const char *runs, const char *name,
                   bool resume)
{
    int number = 1;
    while (numbered(to, runs, name, number) && exists(sys, to)) {
        number++;
    }
    return numbered(to, runs, name, resume && number > 1 ? number - 1 : number);
}

static bool make(HoneSys *sys, const char *folder, HoneError *error)
{
    return hone_mkdir(sys, folder) == 0 ? true : hone_fail_write(error, folder, errno);
}

bool rundir_open(char to[HONE_PATH], const HoneRunOptions *options, const char *name,
                 HoneError *error)
{
    HoneSys *sys = options->sys;
    char runs[HONE_PATH], best[HONE_PATH];
    bool fits = true;
    if (options->out != NULL) {
        fits = hone_path_join(to, ".", options->out);
        if (fits && !options->resume && exists(sys, to)) {
            hone_fail(error, HONE_IO, "E701", "the run directory %s is in use", options->out);
            hone_error_help(error, "add --resume to go on with it, or name another with --out");
            return false;
        }
    } else {
        fits = hone_path_join(runs, options->root, "runs");
        if (fits && !make(sys, runs, error)) {
            return false;
        }
        fits = fits && choose(to, sys, runs, name, options->resume);
    }
    if (!fits || !hone_path_join(best, to, "best")) {
        return hone_fail(error, HONE_USAGE, "E701", "the run directory's path is too long");
    }
    return make(sys, to, error) && make(sys, best, error);
}

bool rundir_put_recipe(HoneSys *sys, const char *folder, const char *text, HoneError *error)
{
    char path[HONE_PATH];
    if (!hone_path_join(path, folder, "recipe.hone")) {
        return hone_fail(error, HONE_USAGE, "E701", "the run directory's path is too long");
    }
    int fd = hone_open_write(sys, path, false);
    if (fd < 0) {
        return hone_fail_write(error, path, errno);
    }
    bool ok = hone_write_all(sys, fd, text, strlen(text)) == 0;
    int why = errno;
    hone_close(sys, fd);
    return ok ? true : hone_fail_write(error, path, why);
}
