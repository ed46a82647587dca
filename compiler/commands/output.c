/* Text and JSON for people and programs: streams, diagnostics, numbers with units. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "commands/command.h"

bool out_write(HoneSys *sys, Str text)
{
    return text.len == 0 || hone_write_all(sys, STDOUT_FILENO, text.ptr, text.len) == 0;
}

void err_write(HoneSys *sys, Str text)
{
    if (text.len > 0) {       /* nowhere left to report a failure */
        (void)hone_write_all(sys, STDERR_FILENO, text.ptr, text.len);
    }
}

/* A reader that went away (`| head -1`) has what it wanted. */
int out_finish(HoneSys *sys, const Buf *buf, int exit)
{
    if (out_write(sys, buf_str(buf)) || errno == EPIPE) {
        return exit;
    }
    char why[128];
    Str text = str_format(buf->arena, "error[E701]: cannot write to the standard output: %s\n",
                          hone_errno_text(errno, why));
    err_write(sys, text);
    return exit != HONE_OK ? exit : HONE_IO;
}

bool use_colour(const CommandLine *line, int fd)
{
    if (line->colour >= 0) {
        return line->colour == 1;
    }
    const char *no = getenv("NO_COLOR");
    return (no == NULL || no[0] == '\0') && isatty(fd) == 1;
}

void print_diags(HoneSys *sys, Arena *arena, const CommandLine *line, const Diags *diags)
{
    Buf buf = buf_new(arena);
    if (line->json) {
        diags_json(diags, &buf);
        (void)out_write(sys, buf_str(&buf));
    } else {
        diags_text(diags, &buf, use_colour(line, STDERR_FILENO));
        err_write(sys, buf_str(&buf));
    }
}

static bool is_about_file(DiagCode code)
{
    return code == E702 || code == E703 || code == E704 || code == E705;
}

int diags_exit(const Diags *diags)
{
    bool about_files = false;
    for (size_t i = 0; i < diags->list.len; i++) {
        DiagCode code = diag_code(diags->list.at[i]);
        if (code == E706) {
            return HONE_NO_MEMORY;
        }
        about_files = about_files || is_about_file(code);
    }
    for (size_t i = 0; i < diags->list.len; i++) {
        DiagCode code = diag_code(diags->list.at[i]);
        if (diag_code_name(code)[0] == 'E' && !is_about_file(code)) {
            return HONE_USAGE;
        }
    }
    return about_files ? HONE_BAD_INPUT : HONE_USAGE;      /* --werror */
}

int print_failure(HoneSys *sys, Arena *arena, const CommandLine *line, const HoneError *error)
{
    Sources none = sources_new(arena);
    Diags diags = diags_new(arena, &none);
    DiagCode code;
    if (!diag_code_find(str_of(error->code), &code)) {
        code = E799;
    }
    Diag *d = diag(&diags, code, (Span){0}, "%s", error->message);
    if (error->note[0] != '\0') {
        diag_note(d, "%s", error->note);
    }
    if (error->help[0] != '\0') {
        diag_help(d, "%s", error->help);
    }
    print_diags(sys, arena, line, &diags);
    return error->exit != HONE_OK ? (int)error->exit : HONE_INTERNAL;
}

int usage_error(HoneSys *sys, Arena *arena, const CommandLine *line, const char *fmt, ...)
{
    Sources none = sources_new(arena);
    Diags diags = diags_new(arena, &none);
    va_list args;
    va_start(args, fmt);
    Str text = str_vformat(arena, fmt, args);
    va_end(args);
    Diag *d = diag(&diags, E710, (Span){0}, STR_FMT, STR_ARG(text));
    diag_help(d, "hone " STR_FMT " %s", STR_ARG(command_spelling(arena, line->command)),
              command_row(line->command)->arguments);
    print_diags(sys, arena, line, &diags);
    return HONE_USAGE;
}

void json_string(Buf *buf, Str text)
{
    buf_char(buf, '"');
    for (size_t i = 0; i < text.len;) {
        unsigned char c = (unsigned char)text.ptr[i];
        size_t n = utf8_length((Str){text.ptr + i, text.len - i});
        if (n == 0) {                              /* a byte that is no character, as in file names */
            buf_add(buf, STR("\\ufffd"));
        } else if (c == '"' || c == '\\') {
            buf_printf(buf, "\\%c", c);
        } else if (c < 0x20 || c == 0x7F) {
            buf_printf(buf, "\\u%04x", c);
        } else {
            buf_add(buf, (Str){text.ptr + i, n});
        }
        i += n > 0 ? n : 1;
    }
    buf_char(buf, '"');
}

void json_number(Buf *buf, double value)
{
    if (isfinite(value)) {
        buf_printf(buf, "%.9g", value);
    } else {
        buf_add(buf, STR("null"));
    }
}

Str count_text(Arena *arena, int64_t n)
{
    char digits[32];
    int len = snprintf(digits, sizeof digits, "%lld", (long long)n);
    Buf out = buf_new(arena);
    for (int i = 0; i < len; i++) {
        int left = len - i;
        if (i > 0 && left % 3 == 0 && digits[i - 1] != '-') {
            buf_char(&out, ',');
        }
        buf_char(&out, digits[i]);
    }
    return buf_str(&out);
}

Str bytes_text(Arena *arena, uint64_t bytes)
{
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    double value = (double)bytes;
    size_t unit = 0;
    while (unit + 1 < sizeof units / sizeof *units && value >= (unit == 0 ? 1024 : 9999.5)) {
        value /= 1024;
        unit++;
        if (value < 1024 && unit > 0) {
            break;
        }
    }
    if (unit > 0 && value < 9.95) {
        return str_format(arena, "%.1f %s", value, units[unit]);
    }
    return str_format(arena, STR_FMT " %s", STR_ARG(count_text(arena, llround(value))), units[unit]);
}

Str dims_list(Arena *arena, size_t rank, const int64_t *dims)
{
    Buf out = buf_new(arena);
    buf_char(&out, '[');
    for (size_t i = 0; i < rank; i++) {
        buf_printf(&out, "%s%lld", i > 0 ? ", " : "", (long long)dims[i]);
    }
    buf_char(&out, ']');
    return buf_str(&out);
}

Str number_text(Arena *arena, double value)
{
    double size = fabs(value);
    if (value == floor(value) && size < 1e6) {
        return str_format(arena, "%.0f", value);
    }
    if (size >= 1e-3 && size < 1e6) {
        return str_format(arena, "%.3g", value);
    }
    char text[40];                                  /* 1e-4, not 1.00e-04 */
    snprintf(text, sizeof text, "%.2e", value);
    char *e = strchr(text, 'e');
    if (e == NULL) {
        return str_format(arena, "%s", text);
    }
    int exponent = atoi(e + 1);
    *e = '\0';
    for (size_t n = strlen(text); n > 0 && (text[n - 1] == '0' || text[n - 1] == '.'); n--) {
        bool dot = text[n - 1] == '.';
        text[n - 1] = '\0';
        if (dot) {
            break;
        }
    }
    return str_format(arena, "%se%d", text, exponent);
}
