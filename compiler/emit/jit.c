/* jit: sets of kernels to functions in memory. Distinct kernels are cut into modules by a fixed
 * rule; threads turn modules into object bytes, each with its own LLVM context and memory, or find
 * them in the cache; one LLJIT loads the bytes. No bit of a function depends on the threads. */
#include "emit/internal.h"

#include <llvm-c/Error.h>
#include <llvm-c/LLJIT.h>
#include <llvm-c/LLJITUtils.h>
#include <llvm-c/Orc.h>
#include <stdio.h>
#include <string.h>

enum { MODULE_KERNELS = 8 };
static const int64_t cache_most = 256 << 20; /* bytes kept between compilations */

struct Code {
    LLVMOrcLLJITRef jit;          /* NULL once freed */
    LLVMMemoryBufferRef *objects; /* by module, until the JIT has them */
    size_t n, distinct, n_modules, n_cached, bytes;
    const size_t *which; /* by kernel: its function */
    const Str *symbols;  /* by function */
    HoneKernelFn **functions;
};

typedef struct Compilation { /* read by all threads */
    HoneSys *sys;
    const EmitOptions *options;
    size_t distinct;
    const size_t *first;       /* by function: the first kernel that has it */
    const Str *symbols, *keys; /* by function */
    Str stamp;                 /* of the cache; empty: none */
    const Graph *const *graphs;
    const Kernel *const *kernels;
    LLVMMemoryBufferRef *objects;
    char (*problems)[512]; /* by module: empty if none */
    HoneDigest *places;    /* by module: its key in the cache */
} Compilation;

/* --- object bytes, on any thread -------------------------------------------------------------- */
static LLVMMemoryBufferRef compile_kernels(const Compilation *c, Arena *arena, size_t from,
                                           size_t end, const char **why)
{
    const Machine *machine = machine_open(arena, c->options->target, why);
    if (!machine)
        return NULL;
    Emit *e = module_open(arena, c->options->target, machine);
    for (size_t i = from; i < end; i++)
        emit_kernel(e, c->graphs[c->first[i]], c->kernels[c->first[i]],
                    str_c(arena, c->symbols[i]));
    *why = c->options->verify ? module_verify(e) : NULL;
    return *why ? NULL : module_emit(e, machine, LLVMObjectFile, why);
}

static size_t module_end(const Compilation *c, size_t module)
{
    size_t end = (module + 1) * MODULE_KERNELS;
    return end < c->distinct ? end : c->distinct;
}

static LLVMMemoryBufferRef from_cache(const Compilation *c, HoneDigest key)
{
    const char *bytes;
    size_t n;
    void *block = hone_cache_get(c->sys, c->options->cache, key, &bytes, &n);
    if (!block)
        return NULL;
    LLVMMemoryBufferRef object = LLVMCreateMemoryBufferWithMemoryRangeCopy(bytes, n, "kernels");
    hone_free(c->sys, block);
    return object;
}

static LLVMMemoryBufferRef make_object(const Compilation *c, Arena *arena, size_t module,
                                       const char **why)
{
    size_t from = module * MODULE_KERNELS, end = module_end(c, module);
    LLVMMemoryBufferRef object = compile_kernels(c, arena, from, end, why);
    if (object && c->stamp.len > 0)
        (void)hone_cache_put(c->sys, c->options->cache, c->places[module],
                             LLVMGetBufferStart(object), LLVMGetBufferSize(object));
    return object;
}

/* As a chunk of the pool: buffers[0] is the Compilation. Memory that is refused ends this module
 * only. */
static void compile_module(void *const *buffers, void *scratch, int64_t module)
{
    (void)scratch;
    const Compilation *c = buffers[0];
    char *problem = c->problems[module];
    if (c->objects[module])
        return;
    Mem mem;
    mem_init(&mem, c->sys);
    if (setjmp(mem.on_failure)) {
        mem_release(&mem);
        snprintf(problem, sizeof *c->problems, "out of memory");
        return;
    }
    mem.armed = true;
    const char *why = NULL;
    c->objects[module] = make_object(c, arena_new(&mem, "module"), (size_t)module, &why);
    if (why)
        snprintf(problem, sizeof *c->problems, "%s", why);
    mem_release(&mem);
}

/* Fills the objects that the cache has; returns their number. */
static size_t find_cached(const Compilation *c, Arena *arena, size_t n_modules)
{
    size_t found = 0;
    for (size_t m = 0; m < n_modules; m++) {
        size_t from = m * MODULE_KERNELS;
        c->places[m] = cache_key(arena, c->stamp, module_end(c, m) - from, c->symbols + from,
                                 c->keys + from);
        c->objects[m] = from_cache(c, c->places[m]);
        found += c->objects[m] != NULL;
    }
    return found;
}

/* --- loading ---------------------------------------------------------------------------------- */
static const char *error_text(Arena *arena, LLVMErrorRef error)
{
    char *text = LLVMGetErrorMessage(error);
    const char *copy = str_c(arena, str_of(text));
    LLVMDisposeErrorMessage(text);
    return copy;
}

static const char *define_calls(Arena *arena, LLVMOrcLLJITRef jit)
{
    LibmSymbol symbols[LIBM_MOST];
    size_t n = call_symbols(symbols);
    LLVMOrcCSymbolMapPair *pairs = NEW_ARRAY(arena, LLVMOrcCSymbolMapPair, n);
    for (size_t i = 0; i < n; i++) {
        pairs[i].Name = LLVMOrcLLJITMangleAndIntern(jit, symbols[i].name);
        pairs[i].Sym.Address = (LLVMOrcJITTargetAddress)symbols[i].address;
        pairs[i].Sym.Flags.GenericFlags =
            LLVMJITSymbolGenericFlagsExported | LLVMJITSymbolGenericFlagsCallable;
    }
    LLVMErrorRef error =
        LLVMOrcJITDylibDefine(LLVMOrcLLJITGetMainJITDylib(jit), LLVMOrcAbsoluteSymbols(pairs, n));
    return error ? error_text(arena, error) : NULL;
}

static const char *add_objects(Arena *arena, Code *code)
{
    LLVMOrcJITDylibRef library = LLVMOrcLLJITGetMainJITDylib(code->jit);
    for (size_t i = 0; i < code->n_modules; i++) {
        LLVMMemoryBufferRef object = code->objects[i];
        code->bytes += LLVMGetBufferSize(object);
        code->objects[i] = NULL;
        LLVMErrorRef error = LLVMOrcLLJITAddObjectFile(code->jit, library, object);
        if (error)
            return error_text(arena, error);
    }
    return NULL;
}

static const char *find_functions(Arena *arena, Code *code)
{
    for (size_t i = 0; i < code->distinct; i++) {
        LLVMOrcExecutorAddress address = 0;
        LLVMErrorRef error =
            LLVMOrcLLJITLookup(code->jit, &address, str_c(arena, code->symbols[i]));
        if (error)
            return error_text(arena, error);
        code->functions[i] = (HoneKernelFn *)(uintptr_t)address;
    }
    return NULL;
}

static const char *load(Arena *arena, Code *code, bool debug)
{
    machine_prepare();
    LLVMErrorRef error = LLVMOrcCreateLLJIT(&code->jit, NULL);
    if (error) {
        code->jit = NULL;
        return error_text(arena, error);
    }
    const char *problem = define_calls(arena, code->jit);
    if (!problem && debug && (error = LLVMOrcLLJITEnableDebugSupport(code->jit)))
        LLVMConsumeError(error); /* then debuggers see addresses without names */
    if (!problem)
        problem = add_objects(arena, code);
    return problem ? problem : find_functions(arena, code);
}

static const char *load_compiled(Arena *arena, Code *code, const Compilation *c)
{
    for (size_t i = 0; i < code->n_modules; i++)
        if (c->problems[i][0])
            return str_c(arena, str_of(c->problems[i]));
    return load(arena, code, c->options->debug);
}

/* --- the whole -------------------------------------------------------------------------------- */
/* which[i]: the function of kernel i; first[f], texts[f], symbols[f]: its first kernel, its key and
 * name. Keys lie in `scratch`. Returns their number. */
static size_t find_distinct(Arena *arena, Arena *scratch, const Kernel *const *kernels, size_t n,
                            size_t *which, size_t *first, Str *texts, Str *symbols)
{
    Map keys = map_new(scratch);
    size_t distinct = 0;
    for (size_t i = 0; i < n; i++) {
        Str key = kernel_key(kernels[i], scratch);
        uintptr_t known = (uintptr_t)map_get(&keys, key);
        if (!known) {
            first[distinct] = i;
            texts[distinct] = key;
            symbols[distinct++] = cache_symbol(arena, kernels[i]->name, key);
            known = distinct;
            map_set(&keys, key, (void *)known);
        }
        which[i] = known - 1;
    }
    return distinct;
}

static void code_release(void *code)
{
    code_free(code);
}

/* LLVM makes its static tables when they are first used: here, before there are threads. */
static void warm_up(const Compilation *c)
{
    Mem mem;
    mem_init(&mem, c->sys);
    if (setjmp(mem.on_failure) == 0) {
        mem.armed = true;
        const char *why = NULL;
        LLVMMemoryBufferRef object = compile_kernels(c, arena_new(&mem, "module"), 0, 0, &why);
        if (object)
            LLVMDisposeMemoryBuffer(object);
    }
    mem_release(&mem);
}

static void run_modules(const Compilation *c, size_t n_modules)
{
    int threads = c->options->threads > 0 ? c->options->threads : hone_cpu_count();
    if ((size_t)threads > n_modules)
        threads = (int)n_modules;
    const void *buffers[] = {c};
    HonePool *pool = threads > 1 ? hone_pool_new(c->sys, threads, 64) : NULL;
    if (pool) {
        warm_up(c);
        hone_pool_run(pool, compile_module, (void *const *)buffers, (int64_t)n_modules);
        hone_pool_free(pool);
        return;
    }
    for (size_t i = 0; i < n_modules; i++)
        compile_module((void *const *)buffers, NULL, (int64_t)i);
}

Code *code_compile(Arena *arena, const Graph *const *graphs, const Kernel *const *kernels, size_t n,
                   const EmitOptions *options, const char **why)
{
    Arena *scratch = arena_new(arena_mem(arena), "keys");
    Code *code = NEW(arena, Code);
    size_t *which = NEW_ARRAY(arena, size_t, n + 1), *first = NEW_ARRAY(scratch, size_t, n + 1);
    Str *keys = NEW_ARRAY(scratch, Str, n + 1), *symbols = NEW_ARRAY(arena, Str, n + 1);
    code->n = n;
    code->which = which;
    code->symbols = symbols;
    code->distinct = find_distinct(arena, scratch, kernels, n, which, first, keys, symbols);
    code->functions = NEW_ARRAY(arena, HoneKernelFn *, code->distinct + 1);
    code->n_modules = (code->distinct + MODULE_KERNELS - 1) / MODULE_KERNELS;
    code->objects = NEW_ARRAY(arena, LLVMMemoryBufferRef, code->n_modules + 1);
    Compilation c = {.sys = arena_mem(arena)->sys,
                     .options = options,
                     .distinct = code->distinct,
                     .first = first,
                     .symbols = symbols,
                     .keys = keys,
                     .stamp = options->cache ? cache_stamp(scratch, options->target) : (Str){0},
                     .places = NEW_ARRAY(scratch, HoneDigest, code->n_modules + 1),
                     .graphs = graphs,
                     .kernels = kernels,
                     .objects = code->objects,
                     .problems =
                         arena_alloc_array(scratch, code->n_modules + 1, sizeof *c.problems, 1)};
    mem_on_release(arena_mem(arena), code_release, code);
    code->n_cached = c.stamp.len > 0 ? find_cached(&c, scratch, code->n_modules) : 0;
    if (code->n_cached < code->n_modules)
        run_modules(&c, code->n_modules);
    if (c.stamp.len > 0 && code->n_cached < code->n_modules)
        hone_cache_trim(c.sys, options->cache, cache_most);
    *why = load_compiled(arena, code, &c);
    arena_free(scratch);
    if (!*why)
        return code;
    code_free(code);
    return NULL;
}

void code_free(Code *code)
{
    for (size_t i = 0; i < code->n_modules; i++) {
        if (code->objects[i])
            LLVMDisposeMemoryBuffer(code->objects[i]);
        code->objects[i] = NULL;
    }
    if (!code->jit)
        return;
    LLVMErrorRef error = LLVMOrcDisposeLLJIT(code->jit);
    code->jit = NULL;
    if (error)
        LLVMConsumeError(error);
}

HoneKernelFn *code_function(const Code *code, size_t kernel)
{
    return code->functions[code->which[kernel]];
}

size_t code_distinct(const Code *code)
{
    return code->distinct;
}

size_t code_bytes(const Code *code)
{
    return code->bytes;
}

size_t code_modules(const Code *code)
{
    return code->n_modules;
}

size_t code_cached(const Code *code)
{
    return code->n_cached;
}

bool probe_compile(Arena *arena, const Target *target, int reads, int writes, Probes *probes,
                   const char **why)
{
    static const Str symbols[] = {{"probe_multiply", 14}, {"probe_stream", 12}};
    Code *code = NEW(arena, Code);
    *code = (Code){.n = 2, .distinct = 2, .n_modules = 1, .symbols = symbols};
    code->objects = NEW_ARRAY(arena, LLVMMemoryBufferRef, 1);
    code->functions = NEW_ARRAY(arena, HoneKernelFn *, 2);
    mem_on_release(arena_mem(arena), code_release, code);
    *why = NULL;
    code->objects[0] = probe_object(arena, target, reads, writes, why);
    if (!code->objects[0] || (*why = load(arena, code, false)))
        return false;
    *probes = (Probes){.multiply = code->functions[0], .stream = code->functions[1]};
    return true;
}
