/* checkpoint: the state of a run as a folder checkpoint-STEP that is whole or not there.
 *
 * Everything is written into a hidden sibling folder, each file synced, the manifest last; then the
 * folder is renamed and its parent synced; only then older ones are deleted. Reading
 * walks from the newest and trusts nothing that the manifest's digests do not confirm. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "run.h"

enum { KEEP = 2, VERSION = 1 };
static const char prefix[] = "checkpoint-";
static const char *const files[] = {"weights.safetensors", "state.safetensors"};
enum { FILES = sizeof files / sizeof *files };

/* --- writing --------------------------------------------------------------------------------------- */
static bool put_manifest(Engine *engine, const char *folder, const Position *p, HoneError *error)
{
    char path[HONE_PATH];
    HoneOut *out = hone_alloc(engine->sys, sizeof *out);
    if (out == NULL || !hone_path_join(path, folder, "manifest.json")) {
        hone_free(engine->sys, out);
        return hone_fail_memory(error, "the checkpoint's manifest", sizeof *out);
    }
    hone_out_open(out, engine->sys, path);
    hone_out_printf(out, "{\"version\": %d, \"hash\": %llu, \"seed\": %llu,\n", VERSION,
                    (unsigned long long)engine->program->hash,
                    (unsigned long long)engine->program->seed);
    hone_out_printf(out, " \"stage\": %u, \"step\": %lld, \"updates\": %lld, \"epoch\": %lld,\n",
                    p->stage, (long long)p->step, (long long)p->updates, (long long)p->epoch);
    hone_out_printf(out, " \"has_best\": %d, \"best\": \"%a\", \"best_epoch\": %lld,\n",
                    p->has_best, p->best, (long long)p->best_epoch);
    hone_out_printf(out, " \"best_stage\": %u, \"waited\": %lld, \"metrics_bytes\": %llu,\n",
                    p->best_stage, (long long)p->waited, (unsigned long long)p->metrics_bytes);
    for (uint32_t s = 0; s < engine->program->n_stages; s++) {
        hone_out_printf(out, " \"stage_%u\": %lld,\n", s, (long long)p->steps_of_stage[s]);
    }
    for (int f = 0; f < FILES; f++) {
        char file[HONE_PATH];
        uint64_t bytes = 0;
        HoneDigest digest = {0};
        if (!hone_path_join(file, folder, files[f]) ||
            !hone_digest_file(engine->sys, file, &bytes, &digest)) {
            out->error = out->error != 0 ? out->error : errno;
        }
        hone_out_printf(out, " \"%s\": \"%llu %016llx%016llx\"%s\n", files[f],
                        (unsigned long long)bytes, (unsigned long long)digest.high,
                        (unsigned long long)digest.low, f + 1 < FILES ? "," : "}");
    }
    int why = hone_out_close(out, NULL);
    hone_free(engine->sys, out);
    return why == 0 ? true : hone_fail_write(error, path, why);
}

static void remove_folder(HoneSys *sys, const char *folder)
{
    static const char *const all[] = {"weights.safetensors", "state.safetensors", "manifest.json"};
    char path[HONE_PATH];
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (hone_path_join(path, folder, all[i])) {
            (void)hone_unlink(sys, path);
        }
    }
    (void)hone_rmdir(sys, folder);
}

static bool put_files(Engine *engine, const char *folder, const Position *position,
                      HoneError *error)
{
    char path[HONE_PATH];
    for (int f = 0; f < FILES; f++) {
        if (!hone_path_join(path, folder, files[f]) ||
            !tensors_write(engine, f == 0 ? TENSORS_MODEL : TENSORS_STATE, path, error)) {
            return false;
        }
    }
    return put_manifest(engine, folder, position, error);
}

static int64_t number_of(const char *name)
{
    size_t n = sizeof prefix - 1;
    if (strncmp(name, prefix, n) != 0 || name[n] < '0' || name[n] > '9') {
        return -1;
    }
    return strtoll(name + n, NULL, 10);
}

/* Steps of all checkpoints in the run directory, descending; hone_free it. */
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

static bool step_folder(char path[HONE_PATH], const char *run_dir, const char *before, int64_t step)
{
    char name[64];
    snprintf(name, sizeof name, "%s%s%lld", before, prefix, (long long)step);
    return hone_path_join(path, run_dir, name);
}

static void remove_old(HoneSys *sys, const char *run_dir)
{
    size_t n = 0;
    int64_t *steps = list_steps(sys, run_dir, &n);
    char path[HONE_PATH];
    for (size_t i = KEEP; i < n; i++) {
        if (step_folder(path, run_dir, "", steps[i])) {
            remove_folder(sys, path);
        }
    }
    hone_free(sys, steps);
}

bool checkpoint_write(Engine *engine, const char *run_dir, const Position *position,
                      HoneError *error)
{
    HoneSys *sys = engine->sys;
    char temp[HONE_PATH], final[HONE_PATH];
    if (!step_folder(temp, run_dir, ".", position->updates) ||
        !step_folder(final, run_dir, "", position->updates)) {
        return hone_fail(error, HONE_USAGE, "E701", "the run directory's path is too long");
    }
    remove_folder(sys, temp);                     /* of a process that died */
    if (hone_mkdir(sys, temp) != 0) {
        return hone_fail_write(error, temp, errno);
    }
    if (!put_files(engine, temp, position, error)) {
        remove_folder(sys, temp);
        return false;
    }
    remove_folder(sys, final);                    /* a damaged one of the same step */
    if (hone_fsync_dir(sys, temp) != 0 || hone_rename(sys, temp, final) != 0 ||
        hone_fsync_dir(sys, run_dir) != 0) {
        int why = errno;
        remove_folder(sys, temp);
        return hone_fail_write(error, final, why);
    }
    remove_old(sys, run_dir);
    return true;
}

/* --- reading --------------------------------------------------------------------------------------- */
typedef struct Manifest {
    Position position;
    uint64_t version, hash, seed;
    char digests[FILES][64];
} Manifest;

static bool number_field(HoneJson *json, const char *key, Manifest *m)
{
    Position *p = &m->position;
    uint64_t value = 0, stage = 0;
    if (!hone_json_u64(json, &value)) {
        return false;
    }
    int64_t number = (int64_t)value;
    if (strcmp(key, "version") == 0) {
        m->version = value;
    } else if (strcmp(key, "hash") == 0) {
        m->hash = value;
    } else if (strcmp(key, "seed") == 0) {
        m->seed = value;
    } else if (strcmp(key, "stage") == 0) {
        p->stage = (uint32_t)value;
    } else if (strcmp(key, "step") == 0) {
        p->step = number;
    } else if (strcmp(key, "updates") == 0) {
        p->updates = number;
    } else if (strcmp(key, "epoch") == 0) {
        p->epoch = number;
    } else if (strcmp(key, "has_best") == 0) {
        p->has_best = value != 0;
    } else if (strcmp(key, "best_epoch") == 0) {
        p->best_epoch = number;
    } else if (strcmp(key, "best_stage") == 0) {
        p->best_stage = (uint32_t)value;
    } else if (strcmp(key, "waited") == 0) {
        p->waited = number;
    } else if (strcmp(key, "metrics_bytes") == 0) {
        p->metrics_bytes = value;
    } else if (strncmp(key, "stage_", 6) == 0 &&
               (stage = strtoull(key + 6, NULL, 10)) < RUN_MAX_STAGES) {
        p->steps_of_stage[stage] = number;
    } else {
        return hone_json_fail(json, "an unknown key");
    }
    return true;
}

static bool text_field(HoneJson *json, const char *key, Manifest *m)
{
    char *text = hone_json_text(json);
    if (text == NULL) {
        return false;
    }
    if (strcmp(key, "best") == 0) {
        m->position.best = strtod(text, NULL);
        return true;
    }
    for (int f = 0; f < FILES; f++) {
        if (strcmp(key, files[f]) == 0 && strlen(text) < sizeof m->digests[f]) {
            strcpy(m->digests[f], text);
            return true;
        }
    }
    return hone_json_fail(json, "an unknown key");
}

static bool is_text(const char *key)
{
    return strcmp(key, "best") == 0 || strstr(key, ".safetensors") != NULL;
}

static bool parse_manifest(char *text, size_t bytes, Manifest *m)
{
    *m = (Manifest){0};
    HoneJson json = hone_json(text, bytes);
    if (hone_json_enter(&json, '{')) {
        while (hone_json_more(&json, '}')) {
            const char *key = hone_json_key(&json);
            if (key == NULL ||
                !(is_text(key) ? text_field(&json, key, m) : number_field(&json, key, m))) {
                return false;
            }
        }
    }
    return hone_json_end(&json);
}

static bool file_whole(HoneSys *sys, const char *folder, int file, const char *expected)
{
    char path[HONE_PATH], text[64];
    uint64_t bytes = 0;
    HoneDigest digest = {0};
    if (!hone_path_join(path, folder, files[file]) ||
        !hone_digest_file(sys, path, &bytes, &digest)) {
        return false;
    }
    snprintf(text, sizeof text, "%llu %016llx%016llx", (unsigned long long)bytes,
             (unsigned long long)digest.high, (unsigned long long)digest.low);
    return strcmp(text, expected) == 0;
}

/* Is the folder a whole checkpoint? Says nothing of whether it fits the program. */
static bool read_manifest(HoneSys *sys, const char *folder, Manifest *m)
{
    char path[HONE_PATH];
    size_t bytes = 0;
    char *text = hone_path_join(path, folder, "manifest.json") ? hone_read_file(sys, path, &bytes)
                                                               : NULL;
    bool ok = text != NULL && parse_manifest(text, bytes, m) && m->version == VERSION &&
              m->position.stage < RUN_MAX_STAGES;
    hone_free(sys, text);
    for (int f = 0; ok && f < FILES; f++) {
        ok = file_whole(sys, folder, f, m->digests[f]);
    }
    return ok;
}

static bool fits(const Engine *engine, const char *folder, const Manifest *m, HoneError *error)
{
    if (m->hash == engine->program->hash && m->seed == engine->program->seed) {
        return true;
    }
    hone_fail(error, HONE_BAD_CHECKPOINT, "E708", "%s was made by another recipe", folder);
    hone_error_note(error, "the recipe, an option, the seed, the machine's target or hone itself "
                           "has changed since");
    hone_error_help(error, "resume with what the run directory's recipe.hone says, or start a new "
                           "run without --resume");
    return false;
}

static bool take(Engine *engine, const char *folder, const Manifest *m, Position *position,
                 HoneError *error)
{
    char path[HONE_PATH];
    for (int f = 0; f < FILES; f++) {
        if (!hone_path_join(path, folder, files[f]) ||
            !tensors_read(engine, f == 0 ? TENSORS_MODEL : TENSORS_STATE, path, error)) {
            return false;
        }
    }
    *position = m->position;
    return true;
}

bool checkpoint_read(Engine *engine, const char *run_dir, Position *position, bool *found,
                     int *skipped, HoneError *error)
{
    size_t n = 0;
    int64_t *steps = list_steps(engine->sys, run_dir, &n);
    bool ok = true;
    *found = false;
    *skipped = 0;
    for (size_t i = 0; ok && !*found && i < n; i++) {
        char folder[HONE_PATH];
        Manifest m;
        if (!step_folder(folder, run_dir, "", steps[i]) ||
            !read_manifest(engine->sys, folder, &m)) {
            *skipped += 1;
            continue;
        }
        ok = fits(engine, folder, &m, error) && take(engine, folder, &m, position, error);
        *found = ok;
    }
    hone_free(engine->sys, steps);
    return ok;
}
