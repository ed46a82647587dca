/* str: byte slices, growing text, and which of several names is nearest to a misspelt one. Text is
 * UTF-8 by convention; only utf8_length looks inside characters. */
#include "base/base.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

Str str_of(const char *terminated)
{
    return (Str){terminated, strlen(terminated)};
}

bool str_eq(Str a, Str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

bool str_is(Str a, const char *terminated)
{
    return str_eq(a, str_of(terminated));
}

int str_cmp(Str a, Str b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int order = n == 0 ? 0 : memcmp(a.ptr, b.ptr, n);
    if (order != 0) {
        return order;
    }
    return (a.len > b.len) - (a.len < b.len);
}

bool str_starts(Str s, Str prefix)
{
    return s.len >= prefix.len && str_eq((Str){s.ptr, prefix.len}, prefix);
}

bool str_ends(Str s, Str suffix)
{
    return s.len >= suffix.len &&
           (suffix.len == 0 || memcmp(s.ptr + (s.len - suffix.len), suffix.ptr, suffix.len) == 0);
}

uint64_t str_hash(Str s)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < s.len; i++) {
        hash = (hash ^ (unsigned char)s.ptr[i]) * 0x100000001b3u;
    }
    return hash;
}

const char *str_c(Arena *arena, Str s)
{
    size_t whole = 0;
    if (!CHECKED_ADD(s.len, (size_t)1, &whole)) {
        mem_fail(arena_mem(arena));
    }
    char *copy = arena_alloc(arena, whole, 1);
    if (s.len > 0) {
        memcpy(copy, s.ptr, s.len);
    }
    return copy;
}

Str str_copy(Arena *arena, Str s)
{
    return (Str){str_c(arena, s), s.len};
}

Str str_vformat(Arena *arena, const char *fmt, va_list args)
{
    va_list again;
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, fmt, args);
    assert(len >= 0);
    size_t n = (size_t)len;
    char *text = arena_alloc(arena, n + 1, 1);
    vsnprintf(text, n + 1, fmt, again);
    va_end(again);
    return (Str){text, n};
}

Str str_format(Arena *arena, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    Str text = str_vformat(arena, fmt, args);
    va_end(args);
    return text;
}

Str str_join(Arena *arena, Str a, const char *between, Str b)
{
    if (a.len == 0) {
        return b;
    }
    Buf buf = buf_new(arena);
    buf_add(&buf, a);
    buf_add(&buf, str_of(between));
    buf_add(&buf, b);
    return buf_str(&buf);
}

/* --- nearest names ---------------------------------------------------------------------------- */
enum { DISTANCE_MOST = 64 }; /* longer names are compared for equality only */

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Optimal string alignment: insertions, deletions, replacements, swaps of neighbours. */
size_t str_distance(Str a, Str b)
{
    if (a.len > DISTANCE_MOST || b.len > DISTANCE_MOST) {
        return str_eq(a, b) ? 0 : a.len + b.len;
    }
    size_t rows[3][DISTANCE_MOST + 1];
    for (size_t j = 0; j <= b.len; j++) {
        rows[0][j] = j;
    }
    for (size_t i = 1; i <= a.len; i++) {
        size_t *row = rows[i % 3];
        const size_t *above = rows[(i - 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= b.len; j++) {
            size_t change = above[j - 1] + (a.ptr[i - 1] != b.ptr[j - 1]);
            row[j] = least(change, least(above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && a.ptr[i - 1] == b.ptr[j - 2] && a.ptr[i - 2] == b.ptr[j - 1]) {
                row[j] = least(row[j], rows[(i - 2) % 3][j - 2] + 1);
            }
        }
    }
    return rows[a.len % 3][b.len];
}

Str str_nearest(Str name, const Str *names, size_t n)
{
    size_t limit = name.len / 3 > 1 ? name.len / 3 : 1;
    Str nearest = {"", 0};
    for (size_t i = 0; i < n; i++) {
        size_t distance = str_distance(name, names[i]);
        if (distance <= limit && distance < names[i].len) {
            nearest = names[i];
            if (distance == 0) {
                break;
            }
            limit = distance - 1;
        }
    }
    return nearest;
}

/* --- UTF-8 ------------------------------------------------------------------------------------ */
size_t utf8_length(Str s)
{
    if (s.len == 0) {
        return 0;
    }
    const unsigned char *p = (const unsigned char *)s.ptr;
    size_t n = p[0] < 0x80   ? 1
               : p[0] < 0xC2 ? 0
               : p[0] < 0xE0 ? 2
               : p[0] < 0xF0 ? 3
               : p[0] < 0xF5 ? 4
                             : 0;
    if (n > s.len) {
        return 0;
    }
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xC0) != 0x80) {
            return 0;
        }
    }
    bool overlong = (p[0] == 0xE0 && p[1] < 0xA0) || (p[0] == 0xF0 && p[1] < 0x90);
    bool surrogate = p[0] == 0xED && p[1] > 0x9F;
    bool beyond = p[0] == 0xF4 && p[1] > 0x8F;
    return overlong || surrogate || beyond ? 0 : n;
}

/* --- growing text ----------------------------------------------------------------------------- */
Buf buf_new(Arena *arena)
{
    return (Buf){.arena = arena};
}

/* Room for more bytes and a terminating NUL. */
static void buf_room(Buf *buf, size_t more)
{
    size_t need = 0;
    if (!CHECKED_ADD(buf->len, more, &need) || need >= SIZE_MAX / 4) {
        mem_fail(arena_mem(buf->arena));
    }
    if (need < buf->cap) {
        return;
    }
    size_t cap = buf->cap == 0 ? 64 : buf->cap;
    while (cap <= need) {
        cap *= 2;
    }
    char *ptr = arena_alloc(buf->arena, cap, 1);
    if (buf->len > 0) {
        memcpy(ptr, buf->ptr, buf->len);
    }
    buf->ptr = ptr;
    buf->cap = cap;
}

void buf_add(Buf *buf, Str s)
{
    if (s.len == 0) {
        return;
    }
    buf_room(buf, s.len);
    memcpy(buf->ptr + buf->len, s.ptr, s.len);
    buf->len += s.len;
    buf->ptr[buf->len] = '\0';
}

void buf_char(Buf *buf, char c)
{
    buf_add(buf, (Str){&c, 1});
}

void buf_printf(Buf *buf, const char *fmt, ...)
{
    va_list args;
    va_list again;
    va_start(args, fmt);
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    assert(len >= 0);
    buf_room(buf, (size_t)len);
    vsnprintf(buf->ptr + buf->len, (size_t)len + 1, fmt, again);
    va_end(again);
    buf->len += (size_t)len;
}

Str buf_str(const Buf *buf)
{
    return buf->ptr == NULL ? (Str){"", 0} : (Str){buf->ptr, buf->len};
}
