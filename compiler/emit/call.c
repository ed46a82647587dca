/* Calls of functions of the runtime: those of libm are in maths_wide.c, here are those of whole
 * matrices. What kernels may call is one list, which the JIT resolves and a linker would. */
#include <assert.h>
#include <string.h>

#include "emit/internal.h"
#include "hone/linalg.h"

static const struct {
    const char *name, *symbol;
    HoneMatrixCall *call;
} calls[] = {
#define INTRINSIC(name, arguments) {#name, "hone_call_" #name, hone_call_##name},
#include "graph/intrinsic.def"
#undef INTRINSIC
};
enum { CALLS = sizeof calls / sizeof *calls };

size_t call_symbols(LibmSymbol symbols[LIBM_MOST])
{
    size_t n = libm_symbols(symbols);
    assert(n + CALLS <= LIBM_MOST);
    for (size_t i = 0; i < CALLS; i++)
        symbols[n++] = (LibmSymbol){.name = calls[i].symbol, .address = (uintptr_t)calls[i].call};
    return n;
}

/* call(buffers, scratch, n, strides of the matrix, strides of the result) */
void emit_call(Emit *e)
{
    const Kernel *kernel = e->kernel;
    const KBuffer *a = &kernel->buffers[0], *to = &kernel->buffers[kernel->n_buffers - 1];
    size_t row = 0;
    while (row < CALLS && !str_is(kernel->function, calls[row].name))
        row++;
    assert(row < CALLS);
    LLVMTypeRef types[] = {e->ptr, e->ptr, e->i64, e->i64, e->i64, e->i64, e->i64};
    LLVMTypeRef type = LLVMFunctionType(LLVMVoidTypeInContext(e->llvm), types, 7, false);
    LLVMValueRef function = LLVMGetNamedFunction(e->module, calls[row].symbol);
    if (!function)
        function = LLVMAddFunction(e->module, calls[row].symbol, type);
    LLVMValueRef args[] = {LLVMGetParam(e->function, 0),        LLVMGetParam(e->function, 1),
                           make_int(e->i64, to->dims[0]),       make_int(e->i64, a->strides[0]),
                           make_int(e->i64, a->strides[1]),     make_int(e->i64, to->strides[0]),
                           make_int(e->i64, to->strides[1])};
    LLVMBuildCall2(e->ir, type, function, args, 7, "");
}
