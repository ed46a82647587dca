/* manifest: manifest.json of a checkpoint: which program and where in it, and the length and digest of
 * each file; the last field is the digest of all text before it. Doubles are written as their bits. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "run.h"

enum { VERSION = 3, ROOM = 8192 };
static const char own_digest[] = "\"digest\": \"";

Manifest manifest_new(const HoneProgram *program, const Position *position)
{
    Manifest m = {.hash = program->hash, .seed = program->seed, .position = *position};
    m.files[MANIFEST_WEIGHTS].name = "weights.safetensors";
    m.files[MANIFEST_STATE].name = "state.safetensors";
    m.files[MANIFEST_BEST].name = "best.safetensors";
    return m;
}

/* --- fields ---------------------------------------------------------------------------------------- */
/* The numbers of a Position, under their own names. */
#define POSITION_NUMBERS(X)                                                                        \
    X(uint32_t, stage) X(int64_t, step) X(int64_t, updates) X(int64_t, epoch) X(bool, best.has)    \
    X(int64_t, best.epoch) X(uint32_t, best.stage) X(bool, seen.has) X(int64_t, seen.epoch)        \
    X(uint32_t, seen.stage) X(bool, last.has) X(int64_t, last.epoch) X(uint32_t, last.stage)       \
    X(int64_t, waited) X(bool, eval_due) X(uint64_t, metrics_bytes)
#define POSITION_DOUBLES(X) X(best.value) X(seen.value) X(last.value)

typedef struct Field {
    const char *key;
    uint64_t value;
} Field;
#define ONE(type, name) +1
#define ONE_DOUBLE(name) +1
/* HEAD: what is not one of those */
enum { HEAD = 3, FIXED = HEAD POSITION_DOUBLES(ONE_DOUBLE) POSITION_NUMBERS(ONE) };
#undef ONE
#undef ONE_DOUBLE

static uint64_t bits_of(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static double double_of(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Every number of a manifest in order; stage counts are called "stage_N". */
static void list_fields(const Manifest *m, Field fields[FIXED])
{
#define FIELD(type, name) {#name, (uint64_t)m->position.name},
#define DOUBLE(name) {#name, bits_of(m->position.name)},
    const Field all[FIXED] = {{"version", VERSION},
                              {"hash", m->hash},
                              {"seed", m->seed},
                              POSITION_DOUBLES(DOUBLE) POSITION_NUMBERS(FIELD)};
#undef FIELD
#undef DOUBLE
    memcpy(fields, all, sizeof all);
}

/* The values in the order of list_fields. */
static void take_fields(Manifest *m, const uint64_t values[FIXED])
{
    m->hash = values[1];
    m->seed = values[2];
    const uint64_t *value = values + HEAD;
#define FIELD(type, name) m->position.name = (type)*value++;
#define DOUBLE(name) m->position.name = double_of(*value++);
    POSITION_DOUBLES(DOUBLE)
    POSITION_NUMBERS(FIELD)
#undef FIELD
#undef DOUBLE
}

/* --- writing --------------------------------------------------------------------------------------- */
static void add_digest(HoneText *text, HoneDigest digest)
{
    hone_text_add(text, "%016llx%016llx", (unsigned long long)digest.high,
                  (unsigned long long)digest.low);
}

bool manifest_write(HoneSys *sys, const char *folder, const Manifest *m, HoneError *error)
{
    char room[ROOM];
    HoneText text = hone_text(room, sizeof room);
    Field fields[FIXED];
    list_fields(m, fields);
    for (int i = 0; i < FIXED; i++) {
        hone_text_add(&text, "%s\"%s\": %llu", i == 0 ? "{" : ",\n ", fields[i].key,
            (unsigned long long)fields[i].value);
    }
    for (uint32_t s = 0; s < HONE_MAX_STAGES; s++) {
        if (m->position.steps_of_stage[s] > 0) {
            hone_text_add(&text, ",\n \"stage_%u\": %lld", s, (long long)m->position.steps_of_stage[s]);
        }
    }
    for (int f = 0; f < MANIFEST_FILES; f++) {
        const ManifestFile *file = &m->files[f];
        hone_text_add(&text, ",\n \"%s\": \"%llu ", file->name, (unsigned long long)file->bytes);
        add_digest(&text, file->digest);
        hone_text_add(&text, "\"");
    }
    hone_text_add(&text, ",\n ");
    HoneDigest digest = hone_digest(text.at, text.n);
    hone_text_add(&text, "%s", own_digest);
    add_digest(&text, digest);
    hone_text_add(&text, "\"}\n");
    char path[HONE_PATH];
    if (!hone_path_join(path, folder, "manifest.json")) {
        return hone_fail_write(error, folder, ENAMETOOLONG);
    }
    HoneOut out;
    hone_out_open(&out, sys, path);
    hone_out_add(&out, text.at, text.n);
    int why = hone_out_close(&out, NULL);
    return why == 0 || hone_fail_write(error, path, why);
}

/* --- reading --------------------------------------------------------------------------------------- */
static bool parse_digest(const char *text, HoneDigest *digest)
{
    char half[17] = "";
    if (strlen(text) != 32 || strspn(text, "0123456789abcdef") != 32) {
        return false;
    }
    memcpy(half, text, 16);
    digest->high = strtoull(half, NULL, 16);
    digest->low = strtoull(text + 16, NULL, 16);
    return true;
}

/* Is the text what was written? Its last field says. */
static bool confirmed(const char *text, size_t bytes)
{
    size_t n = sizeof own_digest - 1, tail = n + 32 + 3;
    if (bytes < tail || memcmp(text + bytes - tail, own_digest, n) != 0) {
        return false;
    }
    char hex[33] = "";
    memcpy(hex, text + bytes - tail + n, 32);
    HoneDigest said, is = hone_digest(text, bytes - tail);
    return parse_digest(hex, &said) && said.low == is.low && said.high == is.high;
}

static bool parse_text(const char *key, const char *text, Manifest *m)
{
    if (strcmp(key, "digest") == 0) {
        return true;
    }
    for (int f = 0; f < MANIFEST_FILES; f++) {
        if (strcmp(key, m->files[f].name) == 0) {
            char *end;
            m->files[f].bytes = strtoull(text, &end, 10);
            return *end == ' ' && parse_digest(end + 1, &m->files[f].digest);
        }
    }
    return false;
}

static bool parse_number(HoneJson *json, const char *key, Manifest *m, uint64_t values[FIXED])
{
    Field fields[FIXED];
    uint64_t value;
    list_fields(m, fields);
    if (!hone_json_u64(json, &value)) {
        return false;
    }
    for (int i = 0; i < FIXED; i++) {
        if (strcmp(key, fields[i].key) == 0) {
            values[i] = value;
            return true;
        }
    }
    unsigned long stage = strncmp(key, "stage_", 6) == 0 ? strtoul(key + 6, NULL, 10) : HONE_MAX_STAGES;
    if (stage >= HONE_MAX_STAGES) {
        return false;
    }
    m->position.steps_of_stage[stage] = (int64_t)value;
    return true;
}

static bool is_text(const char *key)
{
    return strcmp(key, "digest") == 0 || strstr(key, ".safetensors") != NULL;
}

static bool parse(char *text, size_t bytes, Manifest *m)
{
    uint64_t values[FIXED] = {0};
    HoneJson json = hone_json(text, bytes);
    if (!hone_json_enter(&json, '{')) {
        return false;
    }
    while (hone_json_more(&json, '}')) {
        const char *key = hone_json_key(&json);
        if (key == NULL) {
            return false;
        }
        const char *value = is_text(key) ? hone_json_text(&json) : NULL;
        if (!(is_text(key) ? value != NULL && parse_text(key, value, m)
                           : parse_number(&json, key, m, values))) {
            return false;
        }
    }
    take_fields(m, values);
    return hone_json_end(&json) && values[0] == VERSION;
}

bool manifest_read(HoneSys *sys, const char *folder, Manifest *m)
{
    char path[HONE_PATH];
    size_t bytes = 0;
    char *text = hone_path_join(path, folder, "manifest.json") ? hone_read_file(sys, path, &bytes)
                                                               : NULL;
    *m = manifest_new(&(HoneProgram){0}, &(Position){0});
    bool good = text != NULL && confirmed(text, bytes) && parse(text, bytes, m);
    hone_free(sys, text);
    return good;
}
