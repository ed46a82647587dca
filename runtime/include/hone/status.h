/* status: how the runtime reports failure. A function that can fail returns bool and fills a
 * HoneError; the command decides what to print and how to exit. */
#ifndef HONE_STATUS_H
#define HONE_STATUS_H

#include <stdbool.h>

typedef enum HoneExit {          /* documented exit codes of every command and binary */
    HONE_OK = 0,
    HONE_INTERNAL = 1,
    HONE_USAGE = 2,              /* command line or program text */
    HONE_BAD_INPUT = 3,          /* a data or weights file */
    HONE_IO = 4,                 /* reading or writing failed, disk full */
    HONE_NO_MEMORY = 5,
    HONE_NOT_FINITE = 6,         /* the loss or a gradient is not finite */
    HONE_BAD_CHECKPOINT = 7,
    HONE_SIGINT = 130,
    HONE_SIGTERM = 143
} HoneExit;

typedef struct HoneError {
    HoneExit exit;
    char code[8];                /* "E701": a row of the compiler's diagnostics table */
    char message[512];           /* lower case, no final stop, names in backticks */
    char note[512];              /* the other fact; may be empty */
    char help[256];              /* the next step; may be empty */
} HoneError;

/* Fills *error and returns false, so that `return hone_fail(error, …)` reads well. */
bool hone_fail(HoneError *error, HoneExit exit, const char *code, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
void hone_error_note(HoneError *error, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void hone_error_help(HoneError *error, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
