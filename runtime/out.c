/* out: writing files so that a reader sees the old contents or the new, never half; and the words
 * for what the system refused. Every byte passes a hash on its way, so that a file's digest needs
 * no second reading. */
#include "internal.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

_Static_assert(sizeof(XXH3_state_t) <= sizeof(((HoneOut *)0)->hash), "room for the hash state");

static XXH3_state_t *hash_state(HoneOut *out)
{
    return (XXH3_state_t *)(void *)out->hash;
}

void hone_out_open(HoneOut *out, HoneSys *sys, const char *path)
{
    out->sys = sys;
    out->error = 0;
    out->bytes = 0;
    out->len = 0;
    XXH3_128bits_reset(hash_state(out));
    out->fd = hone_open_write(sys, path, false);
    if (out->fd < 0)
        out->error = errno;
}

static void flush(HoneOut *out)
{
    if (out->error == 0 && out->len > 0) {
        XXH3_128bits_update(hash_state(out), out->buffer, out->len);
        if (hone_write_all(out->sys, out->fd, out->buffer, out->len) != 0)
            out->error = errno;
    }
    out->len = 0;
}

void hone_out_add(HoneOut *out, const void *bytes, size_t n)
{
    const unsigned char *from = bytes;
    out->bytes += n;
    while (n > 0 && out->error == 0) {
        size_t part = HONE_OUT_BUFFER - out->len < n ? HONE_OUT_BUFFER - out->len : n;
        memcpy(out->buffer + out->len, from, part);
        out->len += part;
        from += part;
        n -= part;
        if (out->len == HONE_OUT_BUFFER)
            flush(out);
    }
}

void hone_out_printf(HoneOut *out, const char *fmt, ...)
{
    char text[1024];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (n < 0 || (size_t)n >= sizeof text)
        out->error = out->error ? out->error : EOVERFLOW;
    else
        hone_out_add(out, text, (size_t)n);
}

int hone_out_close(HoneOut *out, HoneDigest *digest)
{
    flush(out);
    if (out->error == 0 && hone_fsync(out->sys, out->fd) != 0)
        out->error = errno;
    if (out->fd >= 0 && hone_close(out->sys, out->fd) != 0 && out->error == 0)
        out->error = errno;
    out->fd = -1;
    if (digest) {
        XXH128_hash_t hash = XXH3_128bits_digest(hash_state(out));
        *digest = (HoneDigest){hash.low64, hash.high64};
    }
    return out->error;
}

HoneDigest hone_digest(const void *bytes, size_t n)
{
    XXH128_hash_t hash = XXH3_128bits(bytes, n);
    return (HoneDigest){hash.low64, hash.high64};
}

bool hone_digest_file(HoneSys *sys, const char *path, uint64_t *bytes, HoneDigest *digest)
{
    int fd = hone_open_read(sys, path);
    if (fd < 0)
        return false;
    unsigned char buffer[HONE_OUT_BUFFER];
    _Alignas(64) XXH3_state_t state;
    XXH3_128bits_reset(&state);
    int64_t size = hone_file_size(sys, fd);
    bool good = size >= 0;
    for (int64_t at = 0; good && at < size;) {
        size_t part = size - at < HONE_OUT_BUFFER ? (size_t)(size - at) : HONE_OUT_BUFFER;
        good = hone_read_at(sys, fd, buffer, part, at) == 0;
        if (good)
            XXH3_128bits_update(&state, buffer, part);
        at += (int64_t)part;
    }
    int why = errno;
    hone_close(sys, fd);
    errno = why;
    XXH128_hash_t hash = XXH3_128bits_digest(&state);
    *digest = (HoneDigest){hash.low64, hash.high64};
    *bytes = good ? (uint64_t)size : 0;
    return good;
}

bool hone_copy_file(HoneSys *sys, const char *from, const char *to)
{
    int fd = hone_open_read(sys, from);
    if (fd < 0)
        return false;
    unsigned char part[4096];
    int64_t size = hone_file_size(sys, fd);
    int why = size < 0 ? errno : 0;
    HoneOut out;
    hone_out_open(&out, sys, to);
    for (int64_t at = 0; why == 0 && at < size; at += (int64_t)sizeof part) {
        size_t n = size - at < (int64_t)sizeof part ? (size_t)(size - at) : sizeof part;
        if (hone_read_at(sys, fd, part, n, at) != 0)
            why = errno;
        else
            hone_out_add(&out, part, n);
    }
    int failed = hone_out_close(&out, NULL);
    hone_close(sys, fd);
    errno = why ? why : failed;
    return errno == 0;
}

/* --- paths ---------------------------------------------------------------------------------------- */
bool hone_path_join(char to[HONE_PATH], const char *folder, const char *name)
{
    size_t n = strlen(folder);
    const char *between = n == 0 || folder[n - 1] == '/' ? "" : "/";
    bool alone = name[0] == '/' || strcmp(folder, ".") == 0;
    int length = alone ? snprintf(to, HONE_PATH, "%s", name)
                       : snprintf(to, HONE_PATH, "%s%s%s", folder, between, name);
    return length >= 0 && length < HONE_PATH;
}

void hone_path_folder(char to[HONE_PATH], const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        snprintf(to, HONE_PATH, ".");
    else if (slash == path)
        snprintf(to, HONE_PATH, "/");
    else
        snprintf(to, HONE_PATH, "%.*s", (int)(slash - path), path);
}

bool hone_temp_path(char temp[HONE_PATH], const char *path)
{
    const char *slash = strrchr(path, '/');
    int folder = slash ? (int)(slash - path) + 1 : 0;
    int n = snprintf(temp, HONE_PATH, "%.*s.%s.tmp-%ld", folder, path, path + folder,
                     (long)getpid());
    return n >= 0 && n < HONE_PATH;
}

bool hone_replace(HoneSys *sys, const char *temp, const char *path)
{
    char folder[HONE_PATH];
    hone_path_folder(folder, path);
    return hone_replaceable(sys, path) == 0 && hone_rename(sys, temp, path) == 0 &&
           hone_fsync_dir(sys, folder) == 0;
}

bool hone_replace_file(HoneSys *sys, const char *path, const void *bytes, size_t n,
                       HoneError *error)
{
    char real[HONE_PATH], temp[HONE_PATH];
    bool there = hone_follow(sys, path, real, sizeof real) == 0;
    const char *to = there ? real : path;
    if (!hone_temp_path(temp, to))
        return hone_fail_write(error, path, ENAMETOOLONG);
    HoneOut out;
    hone_out_open(&out, sys, temp);
    hone_out_add(&out, bytes, n);
    int why = hone_out_close(&out, NULL);
    if (why == 0 && (!there || hone_copy_mode(sys, real, temp) == 0) && hone_replace(sys, temp, to))
        return true;
    why = why ? why : errno;
    hone_unlink(sys, temp);
    return hone_fail_write(error, path, why);
}

/* --- failures ------------------------------------------------------------------------------------- */
bool hone_fail_write(HoneError *error, const char *path, int why)
{
    char text[128];
    if (why == ENOMEM)
        return hone_fail_memory(error, "writing a file", 0);
    hone_fail(error, HONE_IO, "E701", "cannot write `%.300s`: %s", path,
              hone_errno_text(why, text));
    if (why == ENOSPC || why == EDQUOT)
        hone_error_help(error, "free space there, or choose another folder");
    else if (why == ENOTSUP)
        hone_error_help(error, "a device, a pipe or a socket is there; only a file is ever replaced");
    else if (why == EISDIR)
        hone_error_help(error, "name a file in it");
    return false;
}

bool hone_fail_read(HoneError *error, const char *path, int why)
{
    char text[128];
    if (why == ENOMEM)
        return hone_fail_memory(error, "reading a file", 0);
    hone_fail(error, why == EIO ? HONE_IO : HONE_BAD_INPUT, "E702", "cannot read `%.300s`: %s", path,
              hone_errno_text(why, text));
    if (why == EISDIR)
        hone_error_help(error, "name a file, not a folder");
    else if (why == EACCES)
        hone_error_help(error, "give this user the right to read it");
    return false;
}

bool hone_fail_memory(HoneError *error, const char *what, uint64_t bytes)
{
    hone_fail(error, HONE_NO_MEMORY, "E706", "the system refused memory for %s", what);
    if (bytes > 0)
        hone_error_note(error, "%.1f MiB were asked for", (double)bytes / 1048576);
    return false;
}
