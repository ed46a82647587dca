/* sys: the only calls of ours to the allocator and the file system. Each function asks first
 * whether a test wants this call to fail; an injected failure leaves what a real one would: half
 * of the bytes written, a closed descriptor closed. */
#include "hone/sys.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { ALIGN = 64 };
static const size_t HUGE_PAGE = (size_t)2 << 20, SMALL_PAGE = 4096;

static bool fails(_Atomic int64_t *counter, int64_t which, bool persistent)
{
    int64_t call = atomic_fetch_add_explicit(counter, 1, memory_order_relaxed) + 1;
    return which > 0 && (call == which || (persistent && call > which));
}

static bool alloc_fails(HoneSys *sys)
{
    return fails(&sys->allocs, sys->fail_alloc, sys->persistent);
}

static bool io_fails(HoneSys *sys)
{
    if (!fails(&sys->ios, sys->fail_io, sys->persistent)) {
        return false;
    }
    errno = sys->io_error != 0 ? sys->io_error : EIO;
    return true;
}

const char *hone_errno_text(int error, char text[128])
{
    if (error == EINVAL) {        /* of hone_file_size */
        snprintf(text, 128, "a device, a pipe or a socket, not a file");
    } else if (strerror_r(error, text, 128) != 0) {
        snprintf(text, 128, "error %d", error);
    }
    if (text[0] >= 'A' && text[0] <= 'Z' && !(text[1] >= 'A' && text[1] <= 'Z')) {
        text[0] = (char)(text[0] - 'A' + 'a');
    }
    return text;
}

int hone_terminal_width(int fd)
{
    struct winsize size;
    return ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 10 ? size.ws_col : 80;
}

/* --- memory ----------------------------------------------------------------------------------- */
void *hone_alloc(HoneSys *sys, size_t bytes)
{
    assert(bytes > 0);
    if (alloc_fails(sys) || bytes > SIZE_MAX / 2) {
        return NULL;
    }
    size_t whole = (bytes + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    void *memory = aligned_alloc(ALIGN, whole);
    if (memory != NULL) {
        memset(memory, 0, whole);
    }
    return memory;
}

void *hone_realloc(HoneSys *sys, void *old, size_t old_bytes, size_t bytes)
{
    void *memory = hone_alloc(sys, bytes);
    if (memory == NULL) {
        return NULL;
    }
    if (old != NULL) {
        memcpy(memory, old, old_bytes < bytes ? old_bytes : bytes);
        hone_free(sys, old);
    }
    return memory;
}

void hone_free(HoneSys *sys, void *memory)
{
    (void)sys;
    free(memory);
}

void hone_trim(HoneSys *sys)
{
    (void)sys;
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}

static size_t map_bytes(size_t bytes)
{
    return (bytes + SMALL_PAGE - 1) & ~(SMALL_PAGE - 1);
}

/* Maps one huge page more than asked for and gives back what lies outside the aligned part. The tail
 * that fills no huge page keeps small ones, so that memory in use is what was asked for. */
void *hone_map(HoneSys *sys, size_t bytes)
{
    assert(bytes > 0);
    if (alloc_fails(sys) || bytes > SIZE_MAX / 4) {
        return NULL;
    }
    size_t whole = map_bytes(bytes);
    char *memory = mmap(NULL, whole + HUGE_PAGE, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        return NULL;
    }
    size_t before = (size_t)(-(uintptr_t)memory & (HUGE_PAGE - 1));
    char *start = memory + before;
    if (before > 0) {
        munmap(memory, before);
    }
    if (HUGE_PAGE - before > 0) {
        munmap(start + whole, HUGE_PAGE - before);
    }
    size_t huge = whole & ~(HUGE_PAGE - 1);
    if (huge > 0) {
        madvise(start, huge, MADV_HUGEPAGE); /* a wish: refusal changes nothing but speed */
    }
    return start;
}

void hone_unmap(HoneSys *sys, void *memory, size_t bytes)
{
    (void)sys;
    if (memory != NULL) {
        munmap(memory, map_bytes(bytes));
    }
}

/* --- files ------------------------------------------------------------------------------------ */
static int open_mode(const char *path, int flags, mode_t mode)
{
    int fd;
    do {
        fd = open(path, flags | O_CLOEXEC, mode);
    } while (fd < 0 && errno == EINTR);
    return fd;
}

static int open_retry(const char *path, int flags)
{
    return open_mode(path, flags, 0666);
}

/* O_NONBLOCK: a named pipe must not hang the program; it has no effect on files. */
int hone_open_read(HoneSys *sys, const char *path)
{
    return io_fails(sys) ? -1 : open_retry(path, O_RDONLY | O_NONBLOCK);
}

int hone_open_write(HoneSys *sys, const char *path, bool append)
{
    return io_fails(sys) ? -1
                         : open_retry(path, O_WRONLY | O_CREAT | (append ? O_APPEND : O_TRUNC));
}

int hone_open_new(HoneSys *sys, const char *path)
{
    return io_fails(sys) ? -1 : open_mode(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
}

bool hone_file_own(HoneSys *sys, int fd)
{
    struct stat info;
    return !io_fails(sys) && fstat(fd, &info) == 0 && S_ISREG(info.st_mode) &&
           info.st_uid == geteuid() && (info.st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

bool hone_file_age(HoneSys *sys, const char *path, int64_t *bytes, int64_t *time)
{
    struct stat info;
    if (io_fails(sys) || lstat(path, &info) != 0) {
        return false;
    }
    *bytes = (int64_t)info.st_size;
    *time = (int64_t)info.st_mtim.tv_sec * 1000000000 + info.st_mtim.tv_nsec;
    return S_ISREG(info.st_mode);
}

bool hone_file_same(HoneSys *sys, const char *written, const char *read)
{
    struct stat a, b;
    return !io_fails(sys) && lstat(written, &a) == 0 && stat(read, &b) == 0 &&
           a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

int hone_file_mark(HoneSys *sys, int fd)
{
    return io_fails(sys) ? -1 : futimens(fd, NULL);
}

int64_t hone_file_size(HoneSys *sys, int fd)
{
    struct stat info;
    if (io_fails(sys) || fstat(fd, &info) != 0) {
        return -1;
    }
    if (!S_ISREG(info.st_mode)) {
        errno = S_ISDIR(info.st_mode) ? EISDIR : EINVAL;
        return -1;
    }
    return (int64_t)info.st_size;
}

int hone_read_at(HoneSys *sys, int fd, void *to, size_t bytes, int64_t offset)
{
    if (io_fails(sys)) {
        return -1;
    }
    char *at = to;
    while (bytes > 0) {
        ssize_t got = pread(fd, at, bytes, (off_t)offset);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            errno = got == 0 ? EIO : errno;
            return -1;
        }
        at += got;
        offset += got;
        bytes -= (size_t)got;
    }
    return 0;
}

static int write_all(int fd, const char *at, size_t bytes)
{
    while (bytes > 0) {
        ssize_t put = write(fd, at, bytes);
        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put <= 0) {
            errno = put == 0 ? EIO : errno;
            return -1;
        }
        at += put;
        bytes -= (size_t)put;
    }
    return 0;
}

int hone_write_all(HoneSys *sys, int fd, const void *from, size_t bytes)
{
    if (io_fails(sys)) {
        int error = errno;
        write_all(fd, from, bytes / 2);
        errno = error;
        return -1;
    }
    return write_all(fd, from, bytes);
}

int hone_fsync(HoneSys *sys, int fd)
{
    if (io_fails(sys)) {
        return -1;
    }
    int result;
    do {
        result = fsync(fd);
    } while (result != 0 && errno == EINTR);
    return result;
}

/* The descriptor is gone whatever is returned; close is not tried again (Linux frees it first). */
int hone_close(HoneSys *sys, int fd)
{
    bool failed = io_fails(sys);
    int error = errno;
    int result = close(fd);
    if (failed) {
        errno = error;
        return -1;
    }
    return result != 0 && errno != EINTR ? -1 : 0;
}

int hone_replaceable(HoneSys *sys, const char *path)
{
    struct stat info;
    if (io_fails(sys)) {
        return -1;
    }
    if (lstat(path, &info) != 0) {
        return errno == ENOENT ? 0 : -1;
    }
    if (S_ISREG(info.st_mode) || S_ISLNK(info.st_mode)) {
        return 0;
    }
    errno = S_ISDIR(info.st_mode) ? EISDIR : ENOTSUP;
    return -1;
}

int hone_follow(HoneSys *sys, const char *path, char *to, size_t bytes)
{
    char *real = io_fails(sys) ? NULL : realpath(path, NULL);
    if (real == NULL) {
        return -1;
    }
    int n = snprintf(to, bytes, "%s", real);
    free(real);
    errno = ENAMETOOLONG;
    return n >= 0 && (size_t)n < bytes ? 0 : -1;
}

int hone_copy_mode(HoneSys *sys, const char *from, const char *to)
{
    struct stat info;
    bool known = !io_fails(sys) && stat(from, &info) == 0;
    return known ? chmod(to, info.st_mode & 0777) : -1;
}

int hone_rename(HoneSys *sys, const char *from, const char *to)
{
    return io_fails(sys) ? -1 : rename(from, to);
}

int hone_unlink(HoneSys *sys, const char *path)
{
    return io_fails(sys) ? -1 : unlink(path);
}

int hone_link(HoneSys *sys, const char *from, const char *to)
{
    return io_fails(sys) ? -1 : link(from, to);
}

int hone_rmdir(HoneSys *sys, const char *path)
{
    return io_fails(sys) ? -1 : rmdir(path);
}

static int make_folder(HoneSys *sys, const char *path, mode_t mode)
{
    if (io_fails(sys)) {
        return -1;
    }
    if (mkdir(path, mode) == 0) {
        return 0;
    }
    int error = errno;
    struct stat info;
    if (error == EEXIST && stat(path, &info) == 0 && S_ISDIR(info.st_mode)) {
        return 0;
    }
    errno = error;
    return -1;
}

int hone_mkdir(HoneSys *sys, const char *path)
{
    return make_folder(sys, path, 0777);
}

int hone_mkdir_private(HoneSys *sys, const char *path)
{
    return make_folder(sys, path, 0700);
}

int hone_fsync_dir(HoneSys *sys, const char *path)
{
    if (io_fails(sys)) {
        return -1;
    }
    int fd = open_retry(path, O_RDONLY | O_DIRECTORY);
    if (fd < 0) {
        return -1;
    }
    int result;
    do {
        result = fsync(fd);
    } while (result != 0 && errno == EINTR);
    int error = errno;
    close(fd);
    errno = error;
    return result;
}

int hone_lock_dir(HoneSys *sys, const char *path)
{
    if (io_fails(sys)) {
        return -1;
    }
    int fd = open_retry(path, O_RDONLY | O_DIRECTORY);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
        close(fd);
        errno = EWOULDBLOCK;
        return -1;
    }
    return fd;
}

int hone_truncate(HoneSys *sys, const char *path, int64_t bytes)
{
    return io_fails(sys) ? -1 : truncate(path, (off_t)bytes);
}

char *hone_read_file(HoneSys *sys, const char *path, size_t *bytes)
{
    int fd = hone_open_read(sys, path);
    if (fd < 0) {
        return NULL;
    }
    char *text = NULL;
    int64_t size = hone_file_size(sys, fd);
    if (size >= 0) {
        text = hone_alloc(sys, (size_t)size + 1);
        if (text == NULL) {
            errno = ENOMEM;
        } else if (hone_read_at(sys, fd, text, (size_t)size, 0) != 0) {
            int error = errno;
            hone_free(sys, text);
            text = NULL;
            errno = error;
        }
    }
    int error = errno;
    hone_close(sys, fd); /* nothing was written: a failing close loses nothing */
    errno = error;
    *bytes = text == NULL ? 0 : (size_t)size;
    return text;
}

bool hone_read_some(HoneSys *sys, const char *path, char *to, size_t capacity)
{
    to[0] = '\0';
    int fd = hone_open_read(sys, path);
    if (fd < 0) {
        return false;
    }
    size_t n = 0;
    ssize_t got = 1;
    while (got > 0 && n + 1 < capacity) {
        got = read(fd, to + n, capacity - 1 - n);
        n += got > 0 ? (size_t)got : 0;
        got = got < 0 && errno == EINTR ? 1 : got;
    }
    to[n] = '\0';
    int error = errno;
    close(fd);
    errno = error;
    return got >= 0;
}

int64_t hone_disk_free(HoneSys *sys, const char *path)
{
    struct statvfs info;
    if (io_fails(sys) || statvfs(path, &info) != 0) {
        return -1;
    }
    uint64_t bytes;
    if (__builtin_mul_overflow((uint64_t)info.f_bavail, (uint64_t)info.f_frsize, &bytes) ||
        bytes > INT64_MAX) {
        return INT64_MAX;
    }
    return (int64_t)bytes;
}

/* --- folders ---------------------------------------------------------------------------------- */
typedef struct Names {
    char *text; /* names with their NULs, one after another */
    size_t len, cap, n;
} Names;

static bool names_add(HoneSys *sys, Names *names, const char *name)
{
    size_t more = strlen(name) + 1;
    if (names->len + more > names->cap) {
        size_t cap = (names->cap + more) * 2 + 4096;
        char *text = hone_realloc(sys, names->text, names->len, cap);
        if (text == NULL) {
            return false;
        }
        names->text = text;
        names->cap = cap;
    }
    memcpy(names->text + names->len, name, more);
    names->len += more;
    names->n++;
    return true;
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* 0, or the errno of what went wrong. */
static int names_read(HoneSys *sys, Names *names, DIR *dir)
{
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(dir);
        if (entry == NULL) {
            return errno;
        }
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
            !names_add(sys, names, entry->d_name)) {
            return ENOMEM;
        }
    }
}

static char **names_block(HoneSys *sys, const Names *names)
{
    size_t table = (names->n + 1) * sizeof(char *);
    char **block = hone_alloc(sys, table + names->len);
    if (block == NULL) {
        return NULL;
    }
    char *text = (char *)block + table;
    if (names->len > 0) {
        memcpy(text, names->text, names->len);
    }
    for (size_t i = 0; i < names->n; i++) {
        block[i] = text;
        text += strlen(text) + 1;
    }
    qsort(block, names->n, sizeof *block, by_bytes);
    return block;
}

bool hone_is_folder(HoneSys *sys, const char *path)
{
    struct stat info;
    return !io_fails(sys) && stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

char **hone_list_dir(HoneSys *sys, const char *path, size_t *n)
{
    *n = 0;
    if (io_fails(sys)) {
        return NULL;
    }
    DIR *dir = opendir(path);
    if (dir == NULL) {
        return NULL;
    }
    Names names = {0};
    int error = names_read(sys, &names, dir);
    closedir(dir);
    char **block = error != 0 ? NULL : names_block(sys, &names);
    if (block != NULL) {
        *n = names.n;
    }
    hone_free(sys, names.text);
    errno = error != 0 ? error : ENOMEM;
    return block;
}
