/* jit: sets of kernels to functions in memory. Distinct kernels are cut into modules by a fixed
 * rule; threads turn modules into object bytes, each with its own LLVM context and memory; one
 * LLJIT loads the bytes. No bit of a function depends on the threads. */
#include "emit/internal.h"

#include <hone/hone.h>
#include <llvm-c/Error.h>
#include <llvm-c/LLJIT.h>
#include <llvm-c/Orc.h>
#include <stdio.h>
#include <string.h>

enum { MODULE_KERNELS = 8 };

struct Code {
    LLVMOrcLLJITRef jit;          /* NULL once freed */
    LLVMMemoryBufferRef *objects; /* by module, until the JIT has them */
    size_t n, distinct, n_modules, bytes;
    const size_t *which; /* by kernel: its function */
    HoneKernelFn **functions;
};

typedef struct Compilation { /* read by all threads */
    HoneSys *sys;
    const EmitOptions *options;
    size_t distinct;
    const size_t *first; /* by function: the first kernel that has it */
    const Graph *const *graphs;
    const Kernel *const *kernels;
    LLVMMemoryBufferRef *objects;
    char (*problems)[512]; /* by module: empty if none */
} Compilation;

static void function_name(size_t index, char name[32])
{
    snprintf(name, 32, "kernel_%zu", index);
}

/* --- object bytes, on any thread -------------------------------------------------------------- */
static LLVMMemoryBufferRef compile_kernels(const Compilation *c, Arena *arena, size_t from,
                                           size_t end, const char **why)
{
    const Machine *machine = machine_open(arena, c->options->target, why);
    if (!machine)
        return NULL;
    Emit *e = module_open(arena, c->options->target, machine);
    for (size_t i = from; i < end; i++) {
        char name[32];
        function_name(i, name);
        emit_kernel(e, c->graphs[c->first[i]], c->kernels[c->first[i]], name);
    }
    *why = c->options->verify ? module_verify(e) : NULL;
    return *why ? NULL : module_emit(e, machine, LLVMObjectFile, why);
}

/* As a chunk of the pool: buffers[0] is the Compilation. Memory that is refused ends this module
 * only. */
static void compile_module(void *const *buffers, void *scratch, int64_t module)
{
    (void)scratch;
    const Compilation *c = buffers[0];
    size_t from = (size_t)module * MODULE_KERNELS, end = from + MODULE_KERNELS;
    char *problem = c->problems[module];
    Mem mem;
    mem_init(&mem, c->sys);
    if (setjmp(mem.on_failure)) {
        mem_release(&mem);
        snprintf(problem, sizeof *c->problems, "out of memory");
        return;
    }
    mem.armed = true;
    const char *why = NULL;
    c->objects[module] = compile_kernels(c, arena_new(&mem, "module"), from,
                                         end < c->distinct ? end : c->distinct, &why);
    if (why)
        snprintf(problem, sizeof *c->problems, "%s", why);
    mem_release(&mem);
}

/* --- loading ---------------------------------------------------------------------------------- */
static const char *error_text(Arena *arena, LLVMErrorRef error)
{
    char *text = LLVMGetErrorMessage(error);
    const char *copy = str_c(arena, str_of(text));
    LLVMDisposeErrorMessage(text);
    return copy;
}

static const char *define_libm(Arena *arena, LLVMOrcLLJITRef jit)
{
    LibmSymbol symbols[LIBM_MOST];
    size_t n = libm_symbols(symbols);
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
        char name[32];
        function_name(i, name);
        LLVMOrcExecutorAddress address = 0;
        LLVMErrorRef error = LLVMOrcLLJITLookup(code->jit, &address, name);
        if (error)
            return error_text(arena, error);
        code->functions[i] = (HoneKernelFn *)(uintptr_t)address;
    }
    return NULL;
}

static const char *load(Arena *arena, Code *code, const Compilation *c)
{
    for (size_t i = 0; i < code->n_modules; i++)
        if (c->problems[i][0])
            return str_c(arena, str_of(c->problems[i]));
    LLVMErrorRef error = LLVMOrcCreateLLJIT(&code->jit, NULL);
    if (error) {
        code->jit = NULL;
        return error_text(arena, error);
    }
    const char *problem = define_libm(arena, code->jit);
    if (!problem)
        problem = add_objects(arena, code);
    return problem ? problem : find_functions(arena, code);
}

/* --- the whole -------------------------------------------------------------------------------- */
/* which[i]: the function of kernel i; first[f]: its first kernel. Returns their number. */
static size_t find_distinct(Arena *arena, const Kernel *const *kernels, size_t n, size_t *which,
                            size_t *first)
{
    Map keys = map_new(arena);
    size_t distinct = 0;
    for (size_t i = 0; i < n; i++) {
        Str key = kernel_key(kernels[i], arena);
        uintptr_t known = (uintptr_t)map_get(&keys, key);
        if (!known) {
            first[distinct++] = i;
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
    Code *code = NEW(arena, Code);
    size_t *which = NEW_ARRAY(arena, size_t, n + 1), *first = NEW_ARRAY(arena, size_t, n + 1);
    code->n = n;
    code->which = which;
    code->distinct = find_distinct(arena, kernels, n, which, first);
    code->functions = NEW_ARRAY(arena, HoneKernelFn *, code->distinct + 1);
    code->n_modules = (code->distinct + MODULE_KERNELS - 1) / MODULE_KERNELS;
    code->objects = NEW_ARRAY(arena, LLVMMemoryBufferRef, code->n_modules + 1);
    Compilation c = {.sys = arena_mem(arena)->sys,
                     .options = options,
                     .distinct = code->distinct,
                     .first = first,
                     .graphs = graphs,
                     .kernels = kernels,
                     .objects = code->objects,
                     .problems =
                         arena_alloc_array(arena, code->n_modules + 1, sizeof *c.problems, 1)};
    mem_on_release(arena_mem(arena), code_release, code);
    run_modules(&c, code->n_modules);
    *why = load(arena, code, &c);
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
