/* sys: the only door to the operating system, for the runtime and for the compiler.
 *
 * Every allocation and every I/O call of ours goes through a HoneSys, which tests can make fail at
 * the n-th call. All functions are thread-safe; none prints or exits.
 */
#ifndef HONE_SYS_H
#define HONE_SYS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct HoneSys {
    _Atomic int64_t allocs, ios;   /* calls so far */
    int64_t fail_alloc, fail_io;   /* the call (from 1) that fails; 0: none */
    bool persistent;               /* all later calls fail too */
    int io_error;                  /* errno that a failing I/O call reports; 0 means EIO */
} HoneSys;

/* NULL when refused. hone_alloc returns zeroed memory aligned to 64 bytes; bytes > 0. */
void *hone_alloc(HoneSys *sys, size_t bytes);
void *hone_realloc(HoneSys *sys, void *old, size_t old_bytes, size_t bytes);
void hone_free(HoneSys *sys, void *memory);
void hone_trim(HoneSys *sys);      /* gives what was freed back to the system, where that is possible */

/* An arena for tensors: 2 MiB aligned, transparent huge pages asked for, zeroed, never moved. */
void *hone_map(HoneSys *sys, size_t bytes);
void hone_unmap(HoneSys *sys, void *memory, size_t bytes);

/* I/O: 0 or a descriptor on success, -1 with errno set on failure. EINTR and short transfers are
 * handled inside: read_at/write_all move all bytes or fail (a read past the end fails with EIO). */
int hone_open_read(HoneSys *sys, const char *path);
int hone_open_write(HoneSys *sys, const char *path, bool append);   /* create or truncate, 0666 */
int hone_open_new(HoneSys *sys, const char *path);  /* a file of this user alone that is not there yet */
int64_t hone_file_size(HoneSys *sys, int fd);
int hone_read_at(HoneSys *sys, int fd, void *to, size_t bytes, int64_t offset);
int hone_write_all(HoneSys *sys, int fd, const void *from, size_t bytes);
int hone_fsync(HoneSys *sys, int fd);
int hone_close(HoneSys *sys, int fd);
/* 0 where a rename onto path may happen: nothing, a file or a link lies there. Else -1 with errno: EISDIR
 * of a folder, ENOTSUP of a device, pipe or socket (rename would put a file in its place). */
int hone_replaceable(HoneSys *sys, const char *path);
int hone_rename(HoneSys *sys, const char *from, const char *to);
int hone_follow(HoneSys *sys, const char *path, char *to, size_t bytes);   /* the file behind all links */
int hone_copy_mode(HoneSys *sys, const char *from, const char *to);         /* permissions of a file */
int hone_unlink(HoneSys *sys, const char *path);
int hone_link(HoneSys *sys, const char *from, const char *to);      /* a second name of a file */
int hone_rmdir(HoneSys *sys, const char *path);                     /* an empty folder */
int hone_mkdir(HoneSys *sys, const char *path);                     /* an existing folder is fine */
int hone_mkdir_private(HoneSys *sys, const char *path);             /* the same, of this user alone */
int hone_fsync_dir(HoneSys *sys, const char *path);
/* A descriptor that keeps others from locking the folder until it is closed or the process ends;
 * -1 with EWOULDBLOCK when another process has it. A file system without locks locks nothing. */
int hone_lock_dir(HoneSys *sys, const char *path);
int hone_truncate(HoneSys *sys, const char *path, int64_t bytes);

/* Is it a file that only this user can have written? */
bool hone_file_own(HoneSys *sys, int fd);
/* Bytes of a file and when it was last written or marked as used (ns); false with errno. */
bool hone_file_age(HoneSys *sys, const char *path, int64_t *bytes, int64_t *time);
int hone_file_mark(HoneSys *sys, int fd);
/* Would writing to the one name replace what is read under the other? A link that is written is itself
 * replaced; a link that is read is followed. */
bool hone_file_same(HoneSys *sys, const char *written, const char *read);

/* A whole file in memory, NUL-terminated beyond *bytes; NULL with errno. Free with hone_free. */
char *hone_read_file(HoneSys *sys, const char *path, size_t *bytes);

/* The first bytes of a file that states no size (/proc), NUL-terminated; false with errno. */
bool hone_read_some(HoneSys *sys, const char *path, char *to, size_t capacity);

/* Bytes that may still be written where path (an existing file or folder) lies; -1 with errno. */
int64_t hone_disk_free(HoneSys *sys, const char *path);

/* Columns of the terminal behind a descriptor; 80 where it does not tell. */
int hone_terminal_width(int fd);

/* "no space left on device": an errno in words. */
const char *hone_errno_text(int error, char text[128]);

bool hone_is_folder(HoneSys *sys, const char *path);
/* The names in a folder in byte order, without . and ..; NULL with errno. One block: free it. */
char **hone_list_dir(HoneSys *sys, const char *path, size_t *n);

#endif
