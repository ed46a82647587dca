/* mem: arenas by lifetime, and the one way out when memory is refused. An arena is a list of
 * chunks that only grows; everything in it is released at once. Mem knows all arenas of one
 * compilation. Nothing here is thread-safe: one compilation runs on one thread. */
#include "base/base.h"

#include <assert.h>
#include <string.h>

enum { CHUNK_ALIGN = 64, CHUNK_FIRST = 16 << 10, CHUNK_MOST = 1 << 20, SPARE_MOST = 32 };

typedef struct Chunk {
    struct Chunk *next;
    size_t used, cap;   /* of the bytes after the header, which is CHUNK_ALIGN long */
} Chunk;

struct Arena {
    Mem *mem;
    Arena *next, *prev;
    const char *lifetime;
    Chunk *chunks;      /* newest first; only the first is filled */
    size_t bytes;       /* asked for by users of the arena */
    size_t next_cap;
};

struct MemHook {
    struct MemHook *next;
    MemCleanup *cleanup;
    void *what;
};

void mem_init(Mem *mem, HoneSys *sys)
{
    assert(sys != NULL);
    memset(mem, 0, sizeof *mem);
    mem->sys = sys;
}

void mem_fail(Mem *mem)
{
    assert(mem->armed && "memory was refused before the driver armed its way out");
    mem->armed = false;
    longjmp(mem->on_failure, 1);
}

static void *mem_alloc(Mem *mem, size_t bytes)
{
    void *memory = hone_alloc(mem->sys, bytes);
    if (memory == NULL) {
        mem_fail(mem);
    }
    return memory;
}

void mem_on_release(Mem *mem, MemCleanup *cleanup, void *what)
{
    struct MemHook *hook = hone_alloc(mem->sys, sizeof *hook);
    if (hook == NULL) {
        cleanup(what);   /* it was handed over: nobody else will */
        mem_fail(mem);
    }
    *hook = (struct MemHook){.next = mem->hooks, .cleanup = cleanup, .what = what};
    mem->hooks = hook;
}

void mem_release(Mem *mem)
{
    while (mem->hooks != NULL) {
        struct MemHook *hook = mem->hooks;
        mem->hooks = hook->next;
        hook->cleanup(hook->what);
        hone_free(mem->sys, hook);
    }
    while (mem->arenas != NULL) {
        arena_free(mem->arenas);
    }
    while (mem->spare != NULL) {
        Chunk *chunk = mem->spare;
        mem->spare = chunk->next;
        hone_free(mem->sys, chunk);
    }
    mem->n_spare = 0;
    mem->armed = false;
}

Arena *arena_new(Mem *mem, const char *lifetime)
{
    Arena *arena = mem_alloc(mem, sizeof *arena);
    arena->mem = mem;
    arena->lifetime = lifetime;
    arena->next_cap = CHUNK_FIRST;
    arena->next = mem->arenas;
    if (mem->arenas != NULL) {
        mem->arenas->prev = arena;
    }
    mem->arenas = arena;
    return arena;
}

/* A graph's arena is released just before the next graph's grows: large chunks go on. */
static void chunk_free(Mem *mem, Chunk *chunk)
{
    if (chunk->cap != CHUNK_MOST || mem->n_spare == SPARE_MOST) {
        hone_free(mem->sys, chunk);
        return;
    }
    memset((char *)chunk + CHUNK_ALIGN, 0, chunk->used);
    chunk->used = 0;
    chunk->next = mem->spare;
    mem->spare = chunk;
    mem->n_spare++;
}

static Chunk *chunk_new(Mem *mem, size_t cap)
{
    size_t whole = 0;
    Chunk *chunk = mem->spare;
    if (cap == CHUNK_MOST && chunk != NULL) {
        mem->spare = chunk->next;
        mem->n_spare--;
        return chunk;
    }
    if (!CHECKED_ADD(cap, (size_t)CHUNK_ALIGN, &whole)) {
        mem_fail(mem);
    }
    chunk = mem_alloc(mem, whole);
    chunk->cap = cap;
    return chunk;
}

void arena_free(Arena *arena)
{
    if (arena == NULL) {
        return;
    }
    Mem *mem = arena->mem;
    while (arena->chunks != NULL) {
        Chunk *chunk = arena->chunks;
        arena->chunks = chunk->next;
        chunk_free(mem, chunk);
    }
    if (arena->prev != NULL) {
        arena->prev->next = arena->next;
    } else {
        mem->arenas = arena->next;
    }
    if (arena->next != NULL) {
        arena->next->prev = arena->prev;
    }
    hone_free(mem->sys, arena);
}

static Chunk *arena_grow(Arena *arena, size_t bytes)
{
    size_t cap = arena->next_cap > bytes ? arena->next_cap : bytes;
    Chunk *chunk = chunk_new(arena->mem, cap);
    chunk->next = arena->chunks;
    arena->chunks = chunk;
    if (arena->next_cap < CHUNK_MOST) {
        arena->next_cap *= 2;
    }
    return chunk;
}

void *arena_alloc(Arena *arena, size_t bytes, size_t align)
{
    assert(align > 0 && align <= CHUNK_ALIGN && (align & (align - 1)) == 0);
    Chunk *chunk = arena->chunks;
    size_t at = chunk == NULL ? 0 : (chunk->used + align - 1) & ~(align - 1);
    if (chunk == NULL || at > chunk->cap || bytes > chunk->cap - at) {
        chunk = arena_grow(arena, bytes);
        at = 0;
    }
    chunk->used = at + bytes;
    arena->bytes += bytes;
    return (char *)chunk + CHUNK_ALIGN + at;
}

void *arena_alloc_array(Arena *arena, size_t n, size_t bytes, size_t align)
{
    size_t whole = 0;
    if (!CHECKED_MUL(n, bytes, &whole)) {
        mem_fail(arena->mem);
    }
    return arena_alloc(arena, whole, align);
}

void *arena_copy(Arena *arena, const void *from, size_t bytes)
{
    void *to = arena_alloc(arena, bytes, _Alignof(max_align_t));
    if (bytes > 0) {
        memcpy(to, from, bytes);
    }
    return to;
}

size_t arena_bytes(const Arena *arena)
{
    return arena->bytes;
}

Mem *arena_mem(const Arena *arena)
{
    return arena->mem;
}

void *vec_grow(Arena *arena, void *at, size_t len, size_t *cap, size_t item)
{
    size_t more = *cap == 0 ? 8 : 0;
    if (more == 0 && !CHECKED_MUL(*cap, (size_t)2, &more)) {
        mem_fail(arena->mem);
    }
    void *to = arena_alloc_array(arena, more, item, _Alignof(max_align_t));
    if (len > 0) {
        memcpy(to, at, len * item);
    }
    *cap = more;
    return to;
}
