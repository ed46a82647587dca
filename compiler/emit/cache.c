/* cache: under which key the object code of a module is kept between compilations. The key holds all
 * that the bytes follow from: the kernels, the target, this very compiler (its build), LLVM. */
#define _GNU_SOURCE
#include "emit/internal.h"

#include <link.h>
#include <string.h>

/* --- this compiler ---------------------------------------------------------------------------- */
typedef struct BuildId {
    const unsigned char *bytes;
    size_t n;
} BuildId;

static size_t padded(size_t n)
{
    return (n + 3) & ~(size_t)3;
}

static void look_at_notes(const unsigned char *at, size_t left, BuildId *id)
{
    static const char gnu[4] = "GNU";
    while (left >= sizeof(ElfW(Nhdr))) {
        ElfW(Nhdr) note;
        memcpy(&note, at, sizeof note);
        size_t name = sizeof note, text = name + padded(note.n_namesz);
        size_t whole = text + padded(note.n_descsz);
        if (whole > left)
            return;
        if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == sizeof gnu &&
            memcmp(at + name, gnu, sizeof gnu) == 0)
            *id = (BuildId){at + text, note.n_descsz};
        at += whole;
        left -= whole;
    }
}

/* The first object is the program itself. */
static int look_at_program(struct dl_phdr_info *info, size_t size, void *id)
{
    (void)size;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        if (part->p_type == PT_NOTE)
            look_at_notes((const unsigned char *)(info->dlpi_addr + part->p_vaddr),
                          part->p_memsz, id);
    }
    return 1;
}

Str cache_stamp(Arena *arena, const Target *target)
{
    BuildId id = {0};
    dl_iterate_phdr(look_at_program, &id);
    if (id.n == 0)
        return (Str){0};
    unsigned major, minor, patch;
    LLVMGetVersion(&major, &minor, &patch);
    Buf out = buf_new(arena);
    buf_printf(&out, "%s llvm %u.%u.%u %s %s %s\n", HONE_VERSION, major, minor, patch,
               target->triple, target->cpu, target->features);
    buf_add(&out, (Str){(const char *)id.bytes, id.n});
    return buf_str(&out);
}

/* --- keys ------------------------------------------------------------------------------------- */
HoneDigest cache_key(Arena *arena, Str stamp, size_t n, const Str *symbols, const Str *kernels)
{
    Buf all = buf_new(arena);
    buf_add(&all, stamp);
    for (size_t i = 0; i < n; i++) {
        buf_printf(&all, STR_FMT " %zu\n", STR_ARG(symbols[i]), kernels[i].len);
        buf_add(&all, kernels[i]);
    }
    return hone_digest(all.ptr, all.len);
}

/* Letters of the name that debuggers and assemblers take, and the digest of the kernel. */
Str cache_symbol(Arena *arena, Str name, Str kernel)
{
    enum { MOST = 40 };
    Buf out = buf_new(arena);
    for (size_t i = 0; i < name.len && i < MOST; i++) {
        char c = name.ptr[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     c == '.';
        buf_char(&out, plain ? c : '_');
    }
    HoneDigest digest = hone_digest(kernel.ptr, kernel.len);
    buf_printf(&out, "_%016llx", (unsigned long long)(digest.low ^ digest.high));
    return buf_str(&out);
}
