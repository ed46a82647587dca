/* files: plain POSIX, not the runtime's own door to the system: these must work while that one is
 * made to fail. */
#include "support/files.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void need(bool good, const char *what, const char *path)
{
    if (!good) {
        fprintf(stderr, "test support: %s %s failed\n", what, path);
        abort();
    }
}

char *temp_folder(void)
{
    const char *base = getenv("TMPDIR");
    char path[512];
    snprintf(path, sizeof path, "%s/hone-test-XXXXXX", base ? base : "/tmp");
    need(mkdtemp(path) != NULL, "mkdtemp", path);
    return strdup(path);
}

char *temp_like(const char *folder)
{
    char *place = temp_folder();
    DIR *dir = opendir(folder);
    need(dir != NULL, "opening", folder);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        char from[4096], to[4096];
        snprintf(from, sizeof from, "%s/%s", folder, entry->d_name);
        snprintf(to, sizeof to, "%s/%s", place, entry->d_name);
        need(entry->d_name[0] == '.' || symlink(from, to) == 0, "linking", to);
    }
    closedir(dir);
    return place;
}

void temp_remove(char *folder)
{
    remove_tree(folder);
    free(folder);
}

void remove_tree(const char *path)
{
    DIR *dir = opendir(path);
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        char child[4096];
        snprintf(child, sizeof child, "%s/%s", path, entry->d_name);
        struct stat info;
        if (lstat(child, &info) == 0 && S_ISDIR(info.st_mode))
            remove_tree(child);
        else
            unlink(child);
    }
    if (dir)
        closedir(dir);
    rmdir(path);
}

const char *in_folder(const char *folder, const char *name)
{
    static char paths[8][4096];
    static unsigned next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

void file_put(const char *path, const void *bytes, size_t n)
{
    FILE *file = fopen(path, "wb");
    need(file && (n == 0 || fwrite(bytes, 1, n, file) == n) && fclose(file) == 0, "writing", path);
}

void file_put_text(const char *path, const char *text)
{
    file_put(path, text, strlen(text));
}

char *file_get(const char *path, size_t *n)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return NULL;
    fseek(file, 0, SEEK_END);
    *n = (size_t)ftell(file);
    rewind(file);
    char *bytes = calloc(1, *n + 1);
    need(bytes && (*n == 0 || fread(bytes, 1, *n, file) == *n), "reading", path);
    fclose(file);
    return bytes;
}

bool file_exists(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0;
}

bool files_equal(const char *a, const char *b)
{
    size_t m = 0, n = 0;
    char *x = file_get(a, &m), *y = file_get(b, &n);
    bool equal = x && y && m == n && memcmp(x, y, m) == 0;
    free(x);
    free(y);
    return equal;
}

size_t folder_count(const char *folder)
{
    size_t n = 0;
    DIR *dir = opendir(folder);
    for (struct dirent *entry; dir && (entry = readdir(dir));)
        n += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    if (dir)
        closedir(dir);
    return n;
}
