/* sys: the allocator and file wrappers, and that every one of their calls can be made to fail. */
#include "hone/status.h"
#include "hone/sys.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct World {
    HoneSys sys;
    char dir[64], file[96], other[96];
} World;

static int setup(void **state)
{
    static World world;
    memset(&world, 0, sizeof world);
    snprintf(world.dir, sizeof world.dir, "hone-sys-XXXXXX");
    if (mkdtemp(world.dir) == NULL) {
        return -1;
    }
    snprintf(world.file, sizeof world.file, "%s/b", world.dir);
    snprintf(world.other, sizeof world.other, "%s/a", world.dir);
    *state = &world;
    return 0;
}

static int teardown(void **state)
{
    World *world = *state;
    unlink(world->file);
    unlink(world->other);
    return rmdir(world->dir);
}

static void test_alloc(void **state)
{
    HoneSys *sys = &((World *)*state)->sys;
    unsigned char *memory = hone_alloc(sys, 100);
    assert_int_equal((uintptr_t)memory % 64, 0);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(memory[i], 0);
        memory[i] = (unsigned char)i;
    }
    memory = hone_realloc(sys, memory, 100, 1000);
    assert_int_equal(memory[99], 99);
    assert_int_equal(memory[999], 0);
    hone_free(sys, memory);
    assert_null(hone_alloc(sys, SIZE_MAX - 10));
    hone_free(sys, NULL);
    assert_int_equal(sys->allocs, 3);
}

static void test_alloc_injection(void **state)
{
    HoneSys *sys = &((World *)*state)->sys;
    sys->fail_alloc = 2;
    void *first = hone_alloc(sys, 8);
    assert_non_null(first);
    assert_null(hone_realloc(sys, first, 8, 16));   /* old memory stays */
    void *third = hone_alloc(sys, 8);
    assert_non_null(third);
    sys->persistent = true;
    assert_null(hone_alloc(sys, 8));
    assert_null(hone_map(sys, 8));
    hone_free(sys, first);
    hone_free(sys, third);
}

static void test_map(void **state)
{
    HoneSys *sys = &((World *)*state)->sys;
    size_t bytes = ((size_t)3 << 20) + 5;
    unsigned char *memory = hone_map(sys, bytes);
    assert_non_null(memory);
    assert_int_equal((uintptr_t)memory % ((size_t)2 << 20), 0);
    assert_int_equal(memory[0] + memory[bytes - 1], 0);
    memory[bytes - 1] = 1;
    hone_unmap(sys, memory, bytes);
    assert_null(hone_map(sys, SIZE_MAX / 2));
}

static bool write_file(HoneSys *sys, const char *path, const char *text, bool append)
{
    int fd = hone_open_write(sys, path, append);
    if (fd < 0) {
        return false;
    }
    bool fine = hone_write_all(sys, fd, text, strlen(text)) == 0 && hone_fsync(sys, fd) == 0;
    return hone_close(sys, fd) == 0 && fine;
}

static void test_files(void **state)
{
    World *world = *state;
    HoneSys *sys = &world->sys;
    assert_true(write_file(sys, world->file, "hello", false));
    assert_true(write_file(sys, world->file, " you", true));
    size_t bytes = 0;
    char *text = hone_read_file(sys, world->file, &bytes);
    assert_int_equal(bytes, 9);
    assert_string_equal(text, "hello you");
    hone_free(sys, text);
    int fd = hone_open_read(sys, world->file);
    char part[4] = "";
    assert_int_equal(hone_read_at(sys, fd, part, 3, 6), 0);
    assert_string_equal(part, "you");
    assert_int_equal(hone_read_at(sys, fd, part, 4, 6), -1);   /* past the end */
    assert_int_equal(errno, EIO);
    assert_int_equal(hone_file_size(sys, fd), 9);
    assert_int_equal(hone_close(sys, fd), 0);
    assert_int_equal(hone_truncate(sys, world->file, 0), 0);
    text = hone_read_file(sys, world->file, &bytes);
    assert_int_equal(bytes, 0);
    assert_non_null(text);
    hone_free(sys, text);
    assert_int_equal(hone_rename(sys, world->file, world->other), 0);
    assert_int_equal(hone_fsync_dir(sys, world->dir), 0);
    assert_int_equal(hone_unlink(sys, world->file), -1);
    assert_null(hone_read_file(sys, world->file, &bytes));
    assert_int_equal(errno, ENOENT);
}

static void test_folders(void **state)
{
    World *world = *state;
    HoneSys *sys = &world->sys;
    assert_int_equal(hone_mkdir(sys, world->dir), 0);
    assert_true(write_file(sys, world->file, "", false));
    assert_true(write_file(sys, world->other, "", false));
    assert_int_equal(hone_mkdir(sys, world->file), -1);   /* a file of that name is no folder */
    assert_int_equal(errno, EEXIST);
    size_t n = 0;
    char **names = hone_list_dir(sys, world->dir, &n);
    assert_int_equal(n, 2);
    assert_string_equal(names[0], "a");
    assert_string_equal(names[1], "b");
    assert_null(names[2]);
    hone_free(sys, names);
    size_t bytes = 0;
    assert_null(hone_read_file(sys, world->dir, &bytes));
    assert_int_equal(errno, EISDIR);
    assert_null(hone_list_dir(sys, world->file, &n));
    assert_int_equal(errno, ENOTDIR);
}

/* A named pipe must not make the reader wait for a writer. */
static void test_pipe(void **state)
{
    World *world = *state;
    assert_int_equal(mkfifo(world->file, 0600), 0);
    size_t bytes = 0;
    assert_null(hone_read_file(&world->sys, world->file, &bytes));
    assert_int_equal(errno, EINVAL);
}

/* Everything that touches the file system, in one go; the number of the step that failed, or 0. */
static int all_io(World *world)
{
    HoneSys *sys = &world->sys;
    size_t n = 0;
    if (hone_mkdir(sys, world->dir) != 0) return 1;
    if (!write_file(sys, world->file, "12345678", false)) return 2;
    char *text = hone_read_file(sys, world->file, &n);
    if (text == NULL) return 3;
    hone_free(sys, text);
    char **names = hone_list_dir(sys, world->dir, &n);
    if (names == NULL) return 4;
    hone_free(sys, names);
    if (hone_truncate(sys, world->file, 2) != 0) return 5;
    if (hone_rename(sys, world->file, world->other) != 0) return 6;
    if (hone_fsync_dir(sys, world->dir) != 0) return 7;
    return hone_unlink(sys, world->other) != 0 ? 8 : 0;
}

static void test_io_injection(void **state)
{
    World *world = *state;
    assert_int_equal(all_io(world), 0);
    int64_t calls = world->sys.ios;
    int last = 0;
    for (int64_t fail = 1; fail <= calls; fail++) {
        world->sys = (HoneSys){.fail_io = fail, .io_error = ENOSPC};
        errno = 0;
        int step = all_io(world);
        if (step == 0) {   /* only closing a file that was read may be ignored */
            assert_int_equal(fail, 9);
            continue;
        }
        assert_int_equal(errno, ENOSPC);
        assert_true(step >= last);
        last = step;
    }
    assert_int_equal(last, 8);
    for (int64_t fail = 1;; fail++) {
        world->sys = (HoneSys){.fail_alloc = fail};
        if (all_io(world) == 0) {
            assert_int_equal(fail, 4);   /* a text, a list of names, a block of names */
            break;
        }
        assert_int_equal(errno, ENOMEM);
    }
}

static void test_partial_write(void **state)
{
    World *world = *state;
    world->sys.fail_io = 2;
    assert_false(write_file(&world->sys, world->file, "12345678", false));
    assert_int_equal(errno, EIO);
    size_t bytes = 0;
    char *text = hone_read_file(&world->sys, world->file, &bytes);
    assert_string_equal(text, "1234");
    hone_free(&world->sys, text);
}

static void test_status(void **state)
{
    (void)state;
    HoneError error;
    memset(&error, 1, sizeof error);
    assert_false(hone_fail(&error, HONE_BAD_INPUT, "E703", "`%s` is cut short", "a.npz"));
    assert_int_equal(error.exit, 3);
    assert_string_equal(error.code, "E703");
    assert_string_equal(error.message, "`a.npz` is cut short");
    assert_string_equal(error.note, "");
    assert_string_equal(error.help, "");
    hone_error_note(&error, "%d bytes", 7);
    hone_error_help(&error, "%600d", 1);   /* cut to the field */
    assert_string_equal(error.note, "7 bytes");
    assert_int_equal(strlen(error.help), sizeof error.help - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_alloc, setup, teardown),
        cmocka_unit_test_setup_teardown(test_alloc_injection, setup, teardown),
        cmocka_unit_test_setup_teardown(test_map, setup, teardown),
        cmocka_unit_test_setup_teardown(test_files, setup, teardown),
        cmocka_unit_test_setup_teardown(test_folders, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pipe, setup, teardown),
        cmocka_unit_test_setup_teardown(test_io_injection, setup, teardown),
        cmocka_unit_test_setup_teardown(test_partial_write, setup, teardown),
        cmocka_unit_test(test_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
