/* check_edits: valid programs of the repository with random edits, through the shipped `hone
 * check`. No signal, no internal error, no answer that takes more than 5 seconds of work; whoever
 * is rejected is told file, line and column. HONE_EDITS=10000 runs more than the usual few hundred,
 * HONE_EDITS_FROM others; a program that fails is printed with its number. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "support/edits.h"
#include "support/files.h"

#ifdef __clang__
#define SANITIZED __has_feature(address_sanitizer)
#else
#define SANITIZED 0
#endif
enum { USUAL = 200, SECONDS = SANITIZED ? 60 : 5, PATIENCE = 240, OUTPUT_MOST = 1 << 16 };

static const char *const folders[] = {
    "compiler/std",        "compiler/std/models",   "samples/digits",     "samples/flowers",
    "samples/keep",        "samples/lora",          "samples/thaw",       "tests/bench/recipes",
    "tests/data",          "tests/data/parity",     "tests/golden/compiled",
    "tests/golden/fused",  "tests/golden/parse",
};
enum { FOLDERS = sizeof folders / sizeof *folders };

static Edits edits;
static size_t first_of[FOLDERS + 1]; /* the folders' first texts in `edits` */
static char *places[FOLDERS];        /* where the edited programs of each stand */

typedef struct Answer {
    int status; /* as of waitpid */
    bool late;
    size_t len;
    char text[OUTPUT_MOST];
} Answer;

/* --- programs ------------------------------------------------------------------------------- */
static int setup(void **state)
{
    (void)state;
    for (size_t i = 0; i < FOLDERS; i++) {
        char folder[512];
        snprintf(folder, sizeof folder, "%s/%s", SOURCE_DIR, folders[i]);
        first_of[i] = edits.n_texts;
        assert_true(edits_take_folder(&edits, folder) > 0);
        places[i] = temp_like(folder);
    }
    first_of[FOLDERS] = edits.n_texts;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (size_t i = 0; i < FOLDERS; i++) {
        temp_remove(places[i]);
    }
    edits_free(&edits);
    return 0;
}

static const char *place_of(size_t text)
{
    size_t folder = 0;
    while (text >= first_of[folder + 1]) {
        folder++;
    }
    return places[folder];
}

/* --- the command ---------------------------------------------------------------------------- */
static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void check_here(const char *folder, int out)
{
    struct rlimit cores = {0, 0}, work = {SECONDS, SECONDS};
    setrlimit(RLIMIT_CORE, &cores);
    setrlimit(RLIMIT_CPU, &work); /* a busy machine is no hang */
    int nowhere = open("/dev/null", O_WRONLY);
    if (chdir(folder) == 0 && dup2(nowhere, STDOUT_FILENO) >= 0 && dup2(out, STDERR_FILENO) >= 0) {
        execl(HONE, HONE, "check", "edited.hone", (char *)NULL);
    }
    _exit(127);
}

/* `hone check edited.hone`, and what it wrote to standard error. */
static void answer_of(const char *folder, Answer *answer)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        check_here(folder, ends[1]);
    }
    close(ends[1]);
    int64_t end = now_ms() + PATIENCE * 1000;
    answer->late = false;
    answer->len = 0;
    while (!answer->late) {
        struct pollfd one = {.fd = ends[0], .events = POLLIN};
        int64_t left = end - now_ms();
        if (left <= 0 || poll(&one, 1, (int)left) == 0) {
            answer->late = true;
            kill(child, SIGKILL);
            break;
        }
        ssize_t n = read(ends[0], answer->text + answer->len, OUTPUT_MOST - 1 - answer->len);
        if (n <= 0) {
            break;
        }
        answer->len += (size_t)n;
    }
    answer->text[answer->len] = '\0';
    close(ends[0]);
    assert_int_equal(waitpid(child, &answer->status, 0), child);
}

/* "--> file:12:3" */
static bool names_a_place(const char *text)
{
    for (const char *at = strstr(text, "--> "); at != NULL; at = strstr(at + 1, "--> ")) {
        unsigned line, column;
        const char *colon = strchr(at, ':');
        if (colon != NULL && sscanf(colon, ":%u:%u", &line, &column) == 2) {
            return true;
        }
    }
    return false;
}

static const char *what_is_wrong(const Answer *answer)
{
    if (answer->late) {
        return "no answer";
    }
    if (WIFSIGNALED(answer->status)) {
        return WTERMSIG(answer->status) == SIGKILL ? "no answer" : "ended by a signal";
    }
    int code = WEXITSTATUS(answer->status);
    if (code == 1 || code > 7) {
        return "internal error";
    }
    return code != 0 && !names_a_place(answer->text) ? "rejected without a place" : NULL;
}

/* --- the test ------------------------------------------------------------------------------- */
static int64_t setting(const char *name, int64_t usual)
{
    const char *text = getenv(name);
    return text != NULL ? strtoll(text, NULL, 10) : usual;
}

/* Two in three still read as programs. */
static size_t make_program(int64_t number, char text[EDIT_LONGEST])
{
    uint64_t seed = ((uint64_t)number + 1) * 0x9E3779B97F4A7C15u;
    size_t times = 1 + (size_t)(edits_random(&seed) >> 62) % 3;
    bool bytes = number % 3 == 2;
    size_t chosen = edits_next(&edits, &seed, bytes ? 0 : times, text);
    for (size_t i = 0; i < times && bytes; i++) {
        edits_bytes(&seed, text);
    }
    return chosen;
}

static void test_edits(void **state)
{
    (void)state;
    static char text[EDIT_LONGEST];
    static Answer answer;
    int64_t from = setting("HONE_EDITS_FROM", 0), n = setting("HONE_EDITS", USUAL);
    int64_t rejected = 0, wrong = 0;
    for (int64_t i = from; i < from + n; i++) {
        const char *place = place_of(make_program(i, text));
        file_put(in_folder(place, "edited.hone"), text, strlen(text));
        answer_of(place, &answer);
        const char *why = what_is_wrong(&answer);
        rejected += answer.status != 0;
        if (why != NULL) {
            wrong++;
            fprintf(stderr, "program %lld: %s\n%s\n--- %s\n", (long long)i, why, text, answer.text);
        }
    }
    assert_int_equal(wrong, 0);
    assert_true(n < USUAL || (rejected > n / 4 && rejected < n));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_edits)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
