/* pairs: the files of two folders whose names are equal up to their last dot, in byte order of that
 * part. A file without its other half is refused, whichever folder it is in; names beginning with a dot
 * are passed over. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "data/data.h"

typedef struct Side {
    char *folder;
    char **names;                     /* one block; sorted by stem */
    size_t n;
} Side;

size_t stem_length(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot == NULL || dot == name ? strlen(name) : (size_t)(dot - name);
}

static int compare_stems(const char *a, const char *b)
{
    size_t n = stem_length(a), m = stem_length(b);
    int order = memcmp(a, b, n < m ? n : m);
    return order != 0 ? order : (n > m) - (n < m);
}

static int by_stem(const void *a, const void *b)
{
    const char *left = *(char *const *)a, *right = *(char *const *)b;
    int order = compare_stems(left, right);
    return order != 0 ? order : strcmp(left, right);
}

static bool list_side(HoneSys *sys, const char *root, const char *folder, Side *side, HoneError *error)
{
    side->folder = path_join(sys, root, folder);
    if (side->folder == NULL) {
        return hone_fail_memory(error, "data", strlen(root));
    }
    size_t n = 0;
    side->names = hone_list_dir(sys, side->folder, &n);
    if (side->names == NULL) {
        char why[128];
        return hone_fail(error, HONE_BAD_INPUT, "E702", "cannot list the folder `%.300s`: %s",
                         side->folder, hone_errno_text(errno, why));
    }
    for (size_t i = 0; i < n; i++) {
        if (side->names[i][0] != '.') {
            side->names[side->n++] = side->names[i];
        }
    }
    qsort(side->names, side->n, sizeof *side->names, by_stem);
    for (size_t i = 1; i < side->n; i++) {
        if (compare_stems(side->names[i - 1], side->names[i]) == 0) {
            hone_fail(error, HONE_BAD_INPUT, "E704", "`%.100s` and `%.100s` of `%.200s` have the same "
                      "name but for their endings", side->names[i - 1], side->names[i], side->folder);
            hone_error_help(error, "rename or remove one of them");
            return false;
        }
    }
    return true;
}

static bool fail_alone(const Side *has, const char *name, const Side *lacks, HoneError *error)
{
    hone_fail(error, HONE_BAD_INPUT, "E704", "`%.200s/%.100s` is alone: there is no `%.200s/%.*s.*`",
              has->folder, name, lacks->folder, (int)stem_length(name), name);
    hone_error_note(error, "%zu files in the one folder, %zu in the other", has->n, lacks->n);
    hone_error_help(error, "add the missing file, or remove this one");
    return false;
}

static bool join(HoneSys *sys, const Side *a, const Side *b, Pairs *pairs, HoneError *error)
{
    size_t bytes = (a->n + 1) * sizeof *pairs->at;
    pairs->at = hone_alloc(sys, bytes);
    if (pairs->at == NULL) {
        return hone_fail_memory(error, "data", bytes);
    }
    for (size_t i = 0; i < a->n || i < b->n; i++) {
        int order = i == a->n ? 1 : i == b->n ? -1 : compare_stems(a->names[i], b->names[i]);
        if (order != 0) {
            return order < 0 ? fail_alone(a, a->names[i], b, error)
                             : fail_alone(b, b->names[i], a, error);
        }
        Pair *pair = &pairs->at[pairs->n++];
        pair->picture = path_join(sys, a->folder, a->names[i]);
        pair->other = path_join(sys, b->folder, b->names[i]);
        if (pair->picture == NULL || pair->other == NULL) {
            return hone_fail_memory(error, "data", strlen(a->folder));
        }
    }
    if (pairs->n == 0) {
        hone_fail(error, HONE_BAD_INPUT, "E704", "`%.300s` holds no pictures", a->folder);
        hone_error_help(error, "add pictures, and a file of the same name in `%s`", b->folder);
        return false;
    }
    return true;
}

bool pairs_list(HoneSys *sys, const char *root, const char *pictures, const char *others,
                Pairs *pairs, HoneError *error)
{
    Side a = {0}, b = {0};
    bool ok = list_side(sys, root, pictures, &a, error) && list_side(sys, root, others, &b, error) &&
              join(sys, &a, &b, pairs, error);
    hone_free(sys, a.names);
    hone_free(sys, b.names);
    hone_free(sys, a.folder);
    hone_free(sys, b.folder);
    return ok;
}

void pair_free(HoneSys *sys, Pair *pair)
{
    hone_free(sys, pair->picture);
    hone_free(sys, pair->other);
}

void pairs_free(HoneSys *sys, Pairs *pairs)
{
    for (size_t i = 0; i < pairs->n; i++) {
        pair_free(sys, &pairs->at[i]);
    }
    hone_free(sys, pairs->at);
}
