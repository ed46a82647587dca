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

/* Resuming wants a folder in which a run has begun. */
static bool check_run(HoneSys *sys, const char *folder, HoneError *error)
{
    size_t n = 0;
    char **names = hone_list_dir(sys, folder, &n);
    if (names == NULL && errno != ENOENT && errno != ENOTDIR) {
        return hone_fail_read(error, folder, errno);
    }
    bool found = false;
    for (size_t i = 0; i < n; i++) {
        found |= strcmp(names[i], "best") == 0 || strcmp(names[i], "recipe.hone") == 0;
    }
    hone_free(sys, names);
    if (!found) {
        hone_fail(error, HONE_BAD_CHECKPOINT, "E708", "there is no run in `%.300s` to resume", folder);
        hone_error_help(error, "name the folder of the run with --out, or start one without --resume");
    }
    return found;
}

static bool make(HoneSys *sys, const char *folder, HoneError *error)
{
    if (hone_mkdir(sys, folder) == 0) {
        return true;
    }
    char why[128];
    hone_fail(error, HONE_IO, "E701", "cannot make the run directory `%.300s`: %s", folder,
              hone_errno_text(errno, why));
    hone_error_help(error, "name a folder with --out that can be made and written");
    return false;
}

static bool in_use(const char *folder, bool running, HoneError *error)
{
    if (running) {
        hone_fail(error, HONE_IO, "E701", "another run is writing into `%.300s`", folder);
        hone_error_help(error, "wait for it, or name another folder with --out");
    } else {
        hone_fail(error, HONE_IO, "E701", "`%.300s` holds an earlier run or other files", folder);
        hone_error_help(error, "add --resume to go on with it, or name another with --out");
    }
    return false;
}

/* Makes the folder if need be and takes it for this process. */
static bool take(char folder[HONE_PATH], HoneSys *sys, int *lock, HoneError *error)
{
    if (!make(sys, folder, error)) {
        return false;
    }
    *lock = hone_lock_dir(sys, folder);
    if (*lock >= 0) {
        return true;
    }
    return errno == EWOULDBLOCK ? in_use(folder, true, error) : hone_fail_write(error, folder, errno);
}

static bool named(char to[HONE_PATH], const HoneRunOptions *options, int *lock, HoneError *error)
{
    if (!hone_path_join(to, ".", options->out)) {
        return hone_fail_write(error, options->out, ENAMETOOLONG);
    }
    if (!options->resume && exists(options->sys, to)) {
        return in_use(to, false, error);
    }
    if (options->resume && !check_run(options->sys, to, error)) {
        return false;
    }
    return take(to, options->sys, lock, error);
}

static bool unnamed(char to[HONE_PATH], const HoneRunOptions *options, const char *name, int *lock,
                    HoneError *error)
{
    HoneSys *sys = options->sys;
    char runs[HONE_PATH];
    if (!hone_path_join(runs, options->root, "runs")) {
        return hone_fail_write(error, options->root, ENAMETOOLONG);
    }
    if (!options->resume && !make(sys, runs, error)) {
        return false;
    }
    if (!choose(to, sys, runs, name, options->resume)) {
        return hone_fail_write(error, runs, ENAMETOOLONG);
    }
    if (options->resume && !check_run(sys, to, error)) {
        return false;
    }
    return take(to, sys, lock, error);
}

bool rundir_open(char to[HONE_PATH], const HoneRunOptions *options, const char *name, int *lock,
                 HoneError *error)
{
    char best[HONE_PATH];
    bool ok = options->out != NULL ? named(to, options, lock, error)
                                   : unnamed(to, options, name, lock, error);
    if (!ok) {
        return false;
    }
    return hone_path_join(best, to, "best") ? make(options->sys, best, error)
                                            : hone_fail_write(error, to, ENAMETOOLONG);
}

void rundir_remove(HoneSys *sys, const char *folder)
{
    char best[HONE_PATH];
    size_t n = 0;
    char **names = hone_list_dir(sys, folder, &n);
    if (names != NULL && n == 1 && hone_path_join(best, folder, "best")) {
        (void)hone_rmdir(sys, best);
        (void)hone_rmdir(sys, folder);
    }
    hone_free(sys, names);
}

bool rundir_put_recipe(HoneSys *sys, const char *folder, const char *text, HoneError *error)
{
    char path[HONE_PATH];
    if (!hone_path_join(path, folder, "recipe.hone")) {
        return hone_fail_write(error, folder, ENAMETOOLONG);
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
