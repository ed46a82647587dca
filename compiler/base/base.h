/* base: what every folder of the compiler stands on, and what knows nothing of networks.
 *
 *   mem.c     arenas by lifetime; the one way out when memory is refused
 *   str.c     byte slices, growing text, nearest names
 *   map.c     text -> pointer, in order of insertion
 *   source.c  files of a compilation, spans, lines and columns
 *   diag.c    collected diagnostics; rows in diag.def; diag_text.c, diag_json.c render them
 *
 * No function here prints or exits.
 */
#ifndef HONE_BASE_H
#define HONE_BASE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hone/sys.h"

#if defined(__GNUC__)
#define HONE_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define HONE_NORETURN __attribute__((noreturn))
#else
#define HONE_PRINTF(fmt, args)
#define HONE_NORETURN
#endif

/* --- mem.c ------------------------------------------------------------------------------------
 * Mem owns every arena of one compilation. When the system refuses memory, mem_fail() jumps to
 * the point armed by the driver (`if (setjmp(mem.on_failure)) …; mem.armed = true`), which calls
 * mem_release() and reports "out of memory" (exit 5). So no caller of arena_alloc checks for NULL.
 */
typedef struct Arena Arena;
typedef void MemCleanup(void *what);

typedef struct Mem {
    HoneSys *sys;
    jmp_buf on_failure;
    bool armed;
    Arena *arenas;          /* all live arenas, newest first */
    struct Chunk *spare;    /* memory of released arenas, zeroed, for the next */
    size_t n_spare;
    struct MemHook *hooks;  /* cleanups of things that are not arena memory, newest first */
} Mem;

void mem_init(Mem *mem, HoneSys *sys);
void mem_release(Mem *mem);                                        /* hooks, then arenas */
void mem_on_release(Mem *mem, MemCleanup *cleanup, void *what);    /* registered until release */
void mem_fail(Mem *mem) HONE_NORETURN;

Arena *arena_new(Mem *mem, const char *lifetime);                  /* name for reports: "graph" */
void arena_free(Arena *arena);
void *arena_alloc(Arena *arena, size_t bytes, size_t align);       /* zeroed; never NULL */
void *arena_copy(Arena *arena, const void *from, size_t bytes);
size_t arena_bytes(const Arena *arena);
Mem *arena_mem(const Arena *arena);

#define NEW(arena, T) ((T *)arena_alloc((arena), sizeof(T), _Alignof(T)))
#define NEW_ARRAY(arena, T, n) ((T *)arena_alloc_array((arena), (n), sizeof(T), _Alignof(T)))
void *arena_alloc_array(Arena *arena, size_t n, size_t bytes, size_t align); /* n * bytes checked */

/* --- growing arrays: VEC(Node *) nodes = {0}; VEC_PUSH(arena, nodes, n); nodes.at[i] ---------- */
#define VEC(T)                                                                                     \
    struct {                                                                                       \
        T *at;                                                                                     \
        size_t len, cap;                                                                           \
    }
#define VEC_PUSH(arena, v, item)                                                                   \
    ((void)((v).len == (v).cap                                                                     \
                ? ((v).at = vec_grow((arena), (v).at, (v).len, &(v).cap, sizeof *(v).at))          \
                : (v).at),                                                                         \
     (v).at[(v).len++] = (item))
void *vec_grow(Arena *arena, void *at, size_t len, size_t *cap, size_t item);

/* --- str.c ------------------------------------------------------------------------------------ */
typedef struct Str {
    const char *ptr;   /* not terminated */
    size_t len;
} Str;

#define STR(literal) ((Str){(literal), sizeof(literal) - 1})
#define STR_FMT "%.*s"
#define STR_ARG(s) (int)(s).len, (s).ptr

Str str_of(const char *terminated);
bool str_eq(Str a, Str b);
bool str_is(Str a, const char *terminated);
int str_cmp(Str a, Str b);                       /* byte order */
bool str_starts(Str s, Str prefix);
bool str_ends(Str s, Str suffix);
uint64_t str_hash(Str s);                        /* FNV-1a, 64 bits; stable across runs */
Str str_copy(Arena *arena, Str s);               /* a terminating NUL follows the copy */
const char *str_c(Arena *arena, Str s);          /* terminated copy */
Str str_format(Arena *arena, const char *fmt, ...) HONE_PRINTF(2, 3);
Str str_vformat(Arena *arena, const char *fmt, va_list args);
Str str_join(Arena *arena, Str a, const char *between, Str b);   /* no `between` when a is empty */
size_t str_distance(Str a, Str b);               /* edits, a transposition counts one */
/* Nearest of n names within a third of the length (at least 1); empty if none is near. */
Str str_nearest(Str name, const Str *names, size_t n);

/* The length of the UTF-8 character at the start (1 to 4), or 0 if the bytes there are none. */
size_t utf8_length(Str s);

typedef struct Buf {   /* growing text on an arena */
    Arena *arena;
    char *ptr;
    size_t len, cap;
} Buf;
Buf buf_new(Arena *arena);
void buf_add(Buf *buf, Str s);
void buf_char(Buf *buf, char c);
void buf_printf(Buf *buf, const char *fmt, ...) HONE_PRINTF(2, 3);
Str buf_str(const Buf *buf);

/* --- map.c ------------------------------------------------------------------------------------ */
typedef struct MapEntry {
    Str key;
    void *value;
} MapEntry;
typedef struct Map {   /* entries in order of first insertion; keys are not copied */
    Arena *arena;
    MapEntry *entries;
    size_t len, cap;
    uint32_t *slots;
    size_t n_slots;
} Map;
Map map_new(Arena *arena);
void *map_get(const Map *map, Str key);               /* NULL if absent */
bool map_has(const Map *map, Str key);
void map_set(Map *map, Str key, void *value);         /* replaces */

/* --- source.c --------------------------------------------------------------------------------- */
typedef struct Span {
    uint32_t file;         /* index in Sources; 0 is no place */
    uint32_t start, end;   /* bytes, end exclusive */
} Span;

typedef struct Source {
    Str path;              /* as shown to a person */
    Str text;              /* UTF-8, as read (BOM kept; spans count bytes of this) */
    const uint32_t *lines; /* byte offset of each line's start */
    size_t n_lines;
} Source;

typedef struct Sources {
    Arena *arena;
    VEC(Source *) files;   /* files.at[0] is NULL: no place */
} Sources;

typedef struct Place {
    uint32_t line, column; /* from 1; column counts characters (code points) */
} Place;

Sources sources_new(Arena *arena);
uint32_t sources_add(Sources *sources, Str path, Str text);   /* index for Span.file; < 4 GiB */
const Source *sources_file(const Sources *sources, uint32_t file);
Place source_place(const Source *source, uint32_t offset);
/* A whole file, `text` untouched and errno set when it cannot be read. */
bool source_read(Arena *arena, HoneSys *sys, Str path, Str *text);
Str source_line(const Source *source, uint32_t line);         /* without its end */
Span span_join(Span a, Span b);                               /* from the start of a to the end of b */

/* --- diag.c -----------------------------------------------------------------------------------
 * diag(...) adds one diagnostic; the calls after it on the returned value complete it:
 *
 *   Diag *d = diag(diags, E201, span, "dimension mismatch in call to `%.*s`", STR_ARG(name));
 *   diag_label(d, "wants [.., 512], gets [N, 2048]");
 *   diag_note_at(d, declared, "I = 512", "`fc` is declared here");
 *   diag_help(d, "write `fc: Linear(2048, classes)`");
 *
 * Equal (code, span, message) is added once. Levels come from the code's letter: E error, W
 * warning, N note. A place may be absent (span.file 0).
 */
typedef enum DiagCode {
#define DIAG(code, title, text) code,
#include "base/diag.def"
#undef DIAG
    DIAG_COUNT
} DiagCode;

typedef struct Diag Diag;
typedef struct Diags {
    Arena *arena;
    const Sources *sources;
    VEC(Diag *) list;
    size_t errors;         /* also repeated ones: who compares counts learns of every failure */
    size_t warnings;       /* in the list */
    Map seen;              /* what was added already */
} Diags;

Diags diags_new(Arena *arena, const Sources *sources);
Diag *diag(Diags *diags, DiagCode code, Span span, const char *fmt, ...) HONE_PRINTF(4, 5);
void diag_label(Diag *d, const char *fmt, ...) HONE_PRINTF(2, 3);       /* beside the caret */
void diag_note(Diag *d, const char *fmt, ...) HONE_PRINTF(2, 3);        /* = note: … */
void diag_note_at(Diag *d, Span span, const char *label, const char *fmt, ...) HONE_PRINTF(4, 5);
void diag_help(Diag *d, const char *fmt, ...) HONE_PRINTF(2, 3);        /* = help: … */
void diag_edit(Diag *d, Span span, Str replacement);                    /* machine form of the help */
void diag_edit_around(Diag *d, Span span, const char *before, const char *after);

DiagCode diag_code(const Diag *d);
Span diag_span(const Diag *d);
Str diag_message(const Diag *d);

const char *diag_code_name(DiagCode code);                              /* "E201" */
const char *diag_code_level(DiagCode code);                             /* error, warning or note */
const char *diag_code_title(DiagCode code);                             /* one line */
const char *diag_code_text(DiagCode code);                              /* `hone explain` */
bool diag_code_find(Str name, DiagCode *code);

/* Sorted by place; colour adds escapes only. JSON: one object per line. */
void diags_text(const Diags *diags, Buf *out, bool colour);
void diags_json(const Diags *diags, Buf *out);

/* --- checked arithmetic: false on overflow ---------------------------------------------------- */
#define CHECKED_ADD(a, b, out) (!__builtin_add_overflow((a), (b), (out)))
#define CHECKED_SUB(a, b, out) (!__builtin_sub_overflow((a), (b), (out)))
#define CHECKED_MUL(a, b, out) (!__builtin_mul_overflow((a), (b), (out)))

/* Sums of bytes that do not wrap: what leaves 64 bits is BYTES_UNCOUNTED, and stays so. */
#define BYTES_UNCOUNTED UINT64_MAX
static inline uint64_t bytes_sum(uint64_t a, uint64_t b)
{
    uint64_t sum;
    return CHECKED_ADD(a, b, &sum) ? sum : BYTES_UNCOUNTED;
}

static inline uint64_t bytes_times(uint64_t a, uint64_t b)
{
    uint64_t product;
    return CHECKED_MUL(a, b, &product) ? product : BYTES_UNCOUNTED;
}

/* The next multiple of a power of two. */
static inline uint64_t bytes_aligned(uint64_t bytes, uint64_t align)
{
    uint64_t up = bytes_sum(bytes, align - 1);
    return up == BYTES_UNCOUNTED ? up : up / align * align;
}

#endif
