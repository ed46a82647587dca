/* text: formatting into a buffer of fixed size. A piece that does not fit is left out whole, so that
 * a record of few pieces never ends in the middle of one. */
#include "internal.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

HoneText hone_text(char *at, size_t room)
{
    at[0] = '\0';
    return (HoneText){.at = at, .room = room};
}

void hone_text_add(HoneText *text, const char *fmt, ...)
{
    size_t left = text->room - text->n;
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(text->at + text->n, left, fmt, args);
    va_end(args);
    if (n > 0 && (size_t)n < left)
        text->n += (size_t)n;
    text->at[text->n] = '\0';
}

void hone_text_number(HoneText *text, const char *name, double value)
{
    hone_text_add(text, isfinite(value) ? ", \"%.*s\": %.9g" : ", \"%.*s\": null", HONE_TEXT_NAME,
                  name, value);
}
