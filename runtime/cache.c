/* cache: a folder of files that can be made again, named by the digest of what they were made from.
 * A file is a head and its contents; the head has a digest of the contents, so a torn or damaged file
 * is as good as none. Nothing here fails loudly: without a cache everything works, only later. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

static const char magic[8] = "honecac1";

typedef struct Head {
    char magic[8];
    uint64_t bytes;
    HoneDigest key, contents;
} Head;

static bool file_path(char path[HONE_PATH], const char *folder, HoneDigest key)
{
    char name[40];
    snprintf(name, sizeof name, "%016llx%016llx.o", (unsigned long long)key.high,
             (unsigned long long)key.low);
    return hone_path_join(path, folder, name);
}

static bool is_ours(const char *name)       /* of a file or of its temporary sibling */
{
    name += name[0] == '.';
    return strspn(name, "0123456789abcdef") == 32 && strncmp(name + 32, ".o", 2) == 0;
}

static bool same(HoneDigest a, HoneDigest b)
{
    return a.low == b.low && a.high == b.high;
}

static bool whole(const char *block, size_t size, HoneDigest key)
{
    Head head;
    if (size < sizeof head)
        return false;
    memcpy(&head, block, sizeof head);
    return memcmp(head.magic, magic, sizeof magic) == 0 && head.bytes == size - sizeof head &&
           same(head.key, key) && same(head.contents, hone_digest(block + sizeof head, head.bytes));
}

/* --- reading and writing ---------------------------------------------------------------------- */
static char *read_own(HoneSys *sys, int fd, size_t *size)
{
    enum { MOST = 1 << 28 };
    int64_t bytes = hone_file_own(sys, fd) ? hone_file_size(sys, fd) : -1;
    if (bytes < (int64_t)sizeof(Head) || bytes > MOST)
        return NULL;
    char *block = hone_alloc(sys, (size_t)bytes);
    if (block && hone_read_at(sys, fd, block, (size_t)bytes, 0) != 0) {
        hone_free(sys, block);
        return NULL;
    }
    *size = (size_t)bytes;
    return block;
}

void *hone_cache_get(HoneSys *sys, const char *folder, HoneDigest key, const char **from,
                     size_t *bytes)
{
    char path[HONE_PATH];
    int fd = file_path(path, folder, key) ? hone_open_read(sys, path) : -1;
    if (fd < 0)
        return NULL;
    size_t size = 0;
    char *block = read_own(sys, fd, &size);
    if (block && whole(block, size, key)) {
        (void)hone_file_mark(sys, fd);
        *from = block + sizeof(Head);
        *bytes = size - sizeof(Head);
    } else if (block) {
        hone_free(sys, block);
        block = NULL;
    }
    hone_close(sys, fd);
    return block;
}

/* The folder and the one above it. */
static void make_folders(HoneSys *sys, const char *folder)
{
    char above[HONE_PATH];
    if (hone_is_folder(sys, folder))
        return;
    hone_path_folder(above, folder);
    (void)hone_mkdir_private(sys, above);
    (void)hone_mkdir_private(sys, folder);
}

bool hone_cache_put(HoneSys *sys, const char *folder, HoneDigest key, const void *from, size_t bytes)
{
    char path[HONE_PATH], temp[HONE_PATH];
    if (!file_path(path, folder, key) || !hone_temp_path(temp, path))
        return false;
    make_folders(sys, folder);
    Head head = {.bytes = bytes, .key = key, .contents = hone_digest(from, bytes)};
    memcpy(head.magic, magic, sizeof magic);
    int fd = hone_open_new(sys, temp);
    if (fd < 0) {
        if (errno == EEXIST)      /* of a process that died and had our number */
            (void)hone_unlink(sys, temp);
        return false;
    }
    bool good = hone_write_all(sys, fd, &head, sizeof head) == 0 &&
                hone_write_all(sys, fd, from, bytes) == 0;
    good = hone_close(sys, fd) == 0 && good;
    good = good && hone_rename(sys, temp, path) == 0;
    if (!good)
        (void)hone_unlink(sys, temp);
    return good;
}

/* --- keeping it small ---------------------------------------------------------------------------- */
typedef struct Aged {
    const char *name;
    int64_t bytes, time;
} Aged;

static int by_age(const void *a, const void *b)
{
    int64_t x = ((const Aged *)a)->time, y = ((const Aged *)b)->time;
    return (x > y) - (x < y);
}

static void remove_oldest(HoneSys *sys, const char *folder, size_t n, Aged *files, int64_t most)
{
    int64_t total = 0;
    for (size_t i = 0; i < n; i++)
        total += files[i].bytes;
    qsort(files, n, sizeof *files, by_age);
    for (size_t i = 0; i < n && total > most; i++) {
        char path[HONE_PATH];
        if (hone_path_join(path, folder, files[i].name) && hone_unlink(sys, path) == 0)
            total -= files[i].bytes;
    }
}

void hone_cache_trim(HoneSys *sys, const char *folder, int64_t most)
{
    size_t n = 0, ours = 0;
    char **names = hone_list_dir(sys, folder, &n);
    if (!names)
        return;
    Aged *files = hone_alloc(sys, (n + 1) * sizeof *files);
    for (size_t i = 0; files && i < n; i++) {
        char path[HONE_PATH];
        Aged *file = &files[ours];
        file->name = names[i];
        ours += is_ours(names[i]) && hone_path_join(path, folder, names[i]) &&
                hone_file_age(sys, path, &file->bytes, &file->time);
    }
    if (files)
        remove_oldest(sys, folder, ours, files, most);
    hone_free(sys, files);
    hone_free(sys, names);
}
