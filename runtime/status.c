/* status: filling in a HoneError. Longer texts are cut, never written past their field. */
#include "hone/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool hone_fail(HoneError *error, HoneExit exit, const char *code, const char *fmt, ...)
{
    error->exit = exit;
    snprintf(error->code, sizeof error->code, "%s", code);
    va_list args;
    va_start(args, fmt);
    vsnprintf(error->message, sizeof error->message, fmt, args);
    va_end(args);
    error->note[0] = '\0';
    error->help[0] = '\0';
    return false;
}

void hone_error_note(HoneError *error, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(error->note, sizeof error->note, fmt, args);
    va_end(args);
}

void hone_error_help(HoneError *error, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(error->help, sizeof error->help, fmt, args);
    va_end(args);
}
