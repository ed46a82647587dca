/* checkpoint: the state of a run as a folder checkpoint-STEP that is whole or not there.
 *
 * Everything is written into a hidden sibling folder, each file synced, the manifest last; then the
 * folder is renamed and its parent synced; only then `latest` is replaced and older ones are deleted.
 * Reading walks from the newest and trusts nothing that the manifest's digests do not confirm. What
 * a manifest says is in manifest.c. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "run.h"

enum { KEEP = 2 };
static const char prefix[] = "checkpoint-";
const char best_weights[] = "best/weights.safetensors";

static bool step_folder(char path[HONE_PATH], const char *run_dir, const char *before, int64_t step,
                        const char *after)
{
    char name[64];
    snprintf(name, sizeof name, "%s%s%lld%s", before, prefix, (long long)step, after);
    return hone_path_join(path, run_dir, name);
}

static void remove_folder(HoneSys *sys, const char *folder)
{
    char path[HONE_PATH];
    size_t n = 0;
    char **names = hone_list_dir(sys, folder, &n);
    for (size_t i = 0; i < n; i++) {
        if (hone_path_join(path, folder, names[i])) {
            (void)hone_unlink(sys, path);
        }
    }
    hone_free(sys, names);
    (void)hone_rmdir(sys, folder);
}

static int64_t number_of(const char *name)
{
    size_t n = sizeof prefix - 1;
    if (strncmp(name, prefix, n) != 0 || name[n] < '0' || name[n] > '9') {
        return -1;
    }
    char *end;
    int64_t step = strtoll(name + n, &end, 10);
    return *end == '\0' ? step : -1;
}

/* Steps of all checkpoints in the run directory, descending; hone_free it. NULL: not readable. */
static int64_t *list_steps(HoneSys *sys, const char *run_dir, size_t *n)
{
    size_t count = 0;
    char **names = hone_list_dir(sys, run_dir, &count);
    int64_t *steps = names == NULL ? NULL : hone_alloc(sys, (count + 1) * sizeof *steps);
    *n = 0;
    for (size_t i = 0; steps != NULL && i < count; i++) {
        int64_t step = number_of(names[i]);
        size_t k = *n;
        if (step < 0) {
            continue;
        }
        for (; k > 0 && steps[k - 1] < step; k--) {
            steps[k] = steps[k - 1];
        }
        steps[k] = step;
        *n += 1;
    }
    hone_free(sys, names);
    return steps;
}

/* --- leftovers ------------------------------------------------------------------------------------- */
/* ".checkpoint-8.old" is checkpoint-8 set aside while its successor takes the name; if that never
 * happened it gets the name back. */
static void restore_or_remove(HoneSys *sys, const char *run_dir, const char *name)
{
    char path[HONE_PATH], final[HONE_PATH], plain[256];
    size_t n = strlen(name);
    if (n >= sizeof plain || !hone_path_join(path, run_dir, name)) {
        return;
    }
    bool old = n > 5 && strcmp(name + n - 4, ".old") == 0;
    snprintf(plain, sizeof plain, "%.*s", (int)(n - 5), name + 1);
    if (old && hone_path_join(final, run_dir, plain) && hone_rename(sys, path, final) == 0) {
        return;
    }
    remove_folder(sys, path);
}

/* Temporary siblings of files: ".NAME.tmp-PID". */
static void remove_temporary(HoneSys *sys, const char *folder)
{
    size_t n = 0;
    char **names = hone_list_dir(sys, folder, &n);
    for (size_t i = 0; i < n; i++) {
        char path[HONE_PATH];
        if (names[i][0] == '.' && strstr(names[i], ".tmp-") != NULL &&
            hone_path_join(path, folder, names[i])) {
            (void)hone_unlink(sys, path);
        }
    }
    hone_free(sys, names);
}

void checkpoint_clean(HoneSys *sys, const char *run_dir)
{
    size_t n = 0;
    char **names = hone_list_dir(sys, run_dir, &n);
    for (size_t i = 0; i < n; i++) {
        if (names[i][0] == '.' && strncmp(names[i] + 1, prefix, sizeof prefix - 1) == 0) {
            restore_or_remove(sys, run_dir, names[i]);
        }
    }
    hone_free(sys, names);
    char best[HONE_PATH];
    remove_temporary(sys, run_dir);
    if (hone_path_join(best, run_dir, "best")) {
        remove_temporary(sys, best);
    }
}

/* --- writing --------------------------------------------------------------------------------------- */
bool checkpoint_room(Engine *engine, const char *run_dir, HoneError *error)
{
    int64_t left = hone_disk_free(engine->sys, run_dir);
    uint64_t model = tensors_bytes(engine->program, TENSORS_MODEL);
    uint64_t state = tensors_bytes(engine->program, TENSORS_STATE), needed;
    size_t there = 0;                /* a resumed run replaces those that it finds */
    hone_free(engine->sys, list_steps(engine->sys, run_dir, &there));
    there = there < KEEP ? there : KEEP;
    uint64_t more = (uint64_t)(KEEP + 1 - there);
    if (left < 0 || __builtin_add_overflow(model, state, &needed) ||
        __builtin_mul_overflow(needed, more, &needed) ||
        __builtin_add_overflow(needed, model, &needed) || needed <= (uint64_t)left) {
        return true;                 /* where the system does not tell, writing will */
    }
    hone_fail(error, HONE_IO, "E701", "no room for checkpoints in `%.200s`", run_dir);
    hone_error_note(error, "%d more checkpoint%s and the best weights need %.1f MiB, %.1f MiB are free",
                    (int)more, more == 1 ? "" : "s", (double)needed / 1048576, (double)left / 1048576);
    hone_error_help(error, "free space there, or name another folder with --out");
    return false;
}

/* The best weights are only ever replaced by renaming, so a second name keeps today's contents. */
static bool put_best(HoneSys *sys, const char *run_dir, const char *folder, ManifestFile *file,
                     HoneError *error)
{
    char from[HONE_PATH], to[HONE_PATH];
    if (!hone_path_join(from, run_dir, best_weights) || !hone_path_join(to, folder, file->name)) {
        return hone_fail_write(error, folder, ENAMETOOLONG);
    }
    if (hone_link(sys, from, to) != 0 && !hone_copy_file(sys, from, to)) {
        return hone_fail_write(error, to, errno);
    }
    return hone_digest_file(sys, to, &file->bytes, &file->digest) ||
           hone_fail_write(error, to, errno);
}

static bool put_files(Engine *engine, const char *run_dir, const char *folder, Manifest *m,
                      HoneError *error)
{
    char path[HONE_PATH];
    for (int f = 0; f < MANIFEST_FILES; f++) {
        ManifestFile *file = &m->files[f];
        if (f == MANIFEST_BEST) {
            if (m->position.best.has && !put_best(engine->sys, run_dir, folder, file, error)) {
                return false;
            }
        } else if (!hone_path_join(path, folder, file->name) ||
                   !tensors_put(engine, f == MANIFEST_WEIGHTS ? TENSORS_MODEL : TENSORS_STATE,
                                path, &file->bytes, &file->digest, error)) {
            return false;
        }
    }
    return manifest_write(engine->sys, folder, m, error);
}

/* temp takes the name final; a folder that has it is set aside until then. */
static bool take_name(HoneSys *sys, const char *run_dir, const char *temp, const char *final,
                      const char *aside)
{
    if (hone_fsync_dir(sys, temp) != 0) {
        return false;
    }
    bool replaces = hone_rename(sys, final, aside) == 0;
    if (hone_rename(sys, temp, final) != 0) {
        int why = errno;
        if (replaces) {
            (void)hone_rename(sys, aside, final);
        }
        errno = why;
        return false;
    }
    if (hone_fsync_dir(sys, run_dir) != 0) {
        return false;
    }
    if (replaces) {
        remove_folder(sys, aside);
    }
    return true;
}

static void remove_old(HoneSys *sys, const char *run_dir, int64_t newest)
{
    size_t n = 0, kept = 0;
    int64_t *steps = list_steps(sys, run_dir, &n);
    char path[HONE_PATH];
    for (size_t i = 0; i < n; i++) {
        bool keep = steps[i] > newest || kept++ < KEEP;   /* later ones were damaged: not ours */
        if (!keep && step_folder(path, run_dir, "", steps[i], "")) {
            remove_folder(sys, path);
        }
    }
    hone_free(sys, steps);
}

/* For people and scripts: resuming does not need it, so its failure is none. */
static void put_latest(HoneSys *sys, const char *run_dir, int64_t step)
{
    char path[HONE_PATH], temp[HONE_PATH];
    if (!hone_path_join(path, run_dir, "latest") || !hone_temp_path(temp, path)) {
        return;
    }
    HoneOut out;
    hone_out_open(&out, sys, temp);
    hone_out_printf(&out, "%s%lld\n", prefix, (long long)step);
    if (hone_out_close(&out, NULL) != 0 || !hone_replace(sys, temp, path)) {
        (void)hone_unlink(sys, temp);
    }
}

bool checkpoint_write(Engine *engine, const char *run_dir, const Position *position,
                      uint64_t *bytes, HoneError *error)
{
    HoneSys *sys = engine->sys;
    char temp[HONE_PATH], final[HONE_PATH], aside[HONE_PATH];
    if (!step_folder(temp, run_dir, ".", position->updates, ".tmp") ||
        !step_folder(final, run_dir, "", position->updates, "") ||
        !step_folder(aside, run_dir, ".", position->updates, ".old")) {
        return hone_fail_write(error, run_dir, ENAMETOOLONG);
    }
    remove_folder(sys, temp);
    if (hone_mkdir(sys, temp) != 0) {
        return hone_fail_write(error, temp, errno);
    }
    Manifest m = manifest_new(engine->program, position);
    if (!put_files(engine, run_dir, temp, &m, error)) {
        remove_folder(sys, temp);
        return false;
    }
    if (!take_name(sys, run_dir, temp, final, aside)) {
        int why = errno;
        remove_folder(sys, temp);
        return hone_fail_write(error, final, why);
    }
    put_latest(sys, run_dir, position->updates);
    remove_old(sys, run_dir, position->updates);
    *bytes = 0;
    for (int f = 0; f < MANIFEST_FILES; f++) {
        *bytes += m.files[f].bytes;
    }
    return true;
}

/* --- reading --------------------------------------------------------------------------------------- */
static bool file_whole(HoneSys *sys, const char *folder, const ManifestFile *file)
{
    char path[HONE_PATH];
    uint64_t bytes = 0;
    HoneDigest digest = {0};
    return hone_path_join(path, folder, file->name) &&
           hone_digest_file(sys, path, &bytes, &digest) && bytes == file->bytes &&
           digest.low == file->digest.low && digest.high == file->digest.high;
}

/* Is the folder a whole checkpoint? Says nothing of whether it fits the program. */
static bool is_whole(HoneSys *sys, const char *folder, Manifest *m)
{
    if (!manifest_read(sys, folder, m)) {
        return false;
    }
    for (int f = 0; f < MANIFEST_FILES; f++) {
        if ((f != MANIFEST_BEST || m->position.best.has) && !file_whole(sys, folder, &m->files[f])) {
            return false;
        }
    }
    return true;
}

/* The next line that says something: no empty line, no comment but those about options and target. */
static const char *next_line(const char **text, int *n)
{
    while (**text != '\0') {
        const char *line = *text + strspn(*text, " \t\n");
        size_t length = strcspn(line, "\n");
        *text = line + length;
        *n = (int)length;
        if (length > 0 && (line[0] != '#' || strncmp(line, "# --", 4) == 0 ||
                           strncmp(line, "# hone ", 7) == 0)) {
            return line;
        }
    }
    *n = 0;
    return "";
}

/* What the run was made from and what there is now, at the first line that differs. */
static void say_difference(const Engine *engine, const char *run_dir, HoneError *error)
{
    char path[HONE_PATH];
    size_t bytes = 0;
    char *then = hone_path_join(path, run_dir, "recipe.hone")
                     ? hone_read_file(engine->sys, path, &bytes)
                     : NULL;
    const char *old = then == NULL ? "" : then, *new = engine->program->recipe;
    const char *was = "", *is = "";
    int n = 0, k = 0;
    do {
        was = next_line(&old, &n);
        is = next_line(&new, &k);
    } while (n > 0 && n == k && memcmp(was, is, (size_t)n) == 0);
    if (then == NULL || (n == 0 && k == 0)) {
        hone_error_note(error, "the recipe's text is the same: a file that it uses, the seed or hone "
                               "itself has changed");
    } else {
        hone_error_note(error, "then `%.*s`, now `%.*s`", n < 160 ? n : 160, n > 0 ? was : "",
                        k < 160 ? k : 160, k > 0 ? is : "");
    }
    hone_free(engine->sys, then);
}

static bool fits(const Engine *engine, const char *run_dir, const char *folder, const Manifest *m,
                 HoneError *error)
{
    if (m->hash == engine->program->hash && m->seed == engine->program->seed &&
        m->position.stage <= engine->program->n_stages &&
        m->position.best.stage < engine->program->n_stages &&
        m->position.seen.stage < engine->program->n_stages &&
        m->position.last.stage < engine->program->n_stages) {
        return true;
    }
    hone_fail(error, HONE_BAD_CHECKPOINT, "E708", "`%.300s` was made by another recipe", folder);
    say_difference(engine, run_dir, error);
    hone_error_help(error, "resume with what the run directory's recipe.hone says, or start a new "
                           "run without --resume");
    return false;
}

/* The best weights of the checkpoint become those of the run again. */
static bool take_best(HoneSys *sys, const char *run_dir, const char *folder,
                      const ManifestFile *file, HoneError *error)
{
    char from[HONE_PATH], to[HONE_PATH], temp[HONE_PATH];
    if (!hone_path_join(from, folder, file->name) ||
        !hone_path_join(to, run_dir, best_weights) || !hone_temp_path(temp, to)) {
        return hone_fail_write(error, run_dir, ENAMETOOLONG);
    }
    bool good = hone_copy_file(sys, from, temp) && hone_replace(sys, temp, to);
    int why = errno;
    if (!good) {
        (void)hone_unlink(sys, temp);
    }
    return good || hone_fail_write(error, to, why);
}

static bool take(Engine *engine, const char *run_dir, const char *folder, const Manifest *m,
                 Position *position, HoneError *error)
{
    char path[HONE_PATH];
    for (int f = 0; f < MANIFEST_BEST; f++) {
        if (!hone_path_join(path, folder, m->files[f].name) ||
            !tensors_read(engine, f == MANIFEST_WEIGHTS ? TENSORS_MODEL : TENSORS_STATE, path,
                          error)) {
            return false;
        }
    }
    *position = m->position;
    return !m->position.best.has ||
           take_best(engine->sys, run_dir, folder, &m->files[MANIFEST_BEST], error);
}

static bool fail_all_damaged(const char *run_dir, size_t n, HoneError *error)
{
    hone_fail(error, HONE_BAD_CHECKPOINT, "E708", "no checkpoint in `%.200s` is whole", run_dir);
    hone_error_note(error, "%zu found; a file is missing, or differs from what was written", n);
    hone_error_help(error, "move them away to start this run from the beginning");
    return false;
}

bool checkpoint_read(Engine *engine, const char *run_dir, Position *position, bool *found,
                     int *skipped, HoneError *error)
{
    size_t n = 0;
    int64_t *steps = list_steps(engine->sys, run_dir, &n);
    *found = false;
    *skipped = 0;
    if (steps == NULL) {
        return hone_fail_read(error, run_dir, errno);
    }
    bool ok = true;
    for (size_t i = 0; ok && !*found && i < n; i++) {
        char folder[HONE_PATH];
        Manifest m;
        errno = 0;
        if (!step_folder(folder, run_dir, "", steps[i], "") || !is_whole(engine->sys, folder, &m)) {
            if (errno == ENOMEM) {           /* says nothing of the checkpoint */
                ok = hone_fail_memory(error, "reading a checkpoint", 0);
            }
            *skipped += 1;
            continue;
        }
        ok = fits(engine, run_dir, folder, &m, error) && take(engine, run_dir, folder, &m, position, error);
        *found = ok;
    }
    hone_free(engine->sys, steps);
    return ok && !*found && n > 0 ? fail_all_damaged(run_dir, n, error) : ok;
}
