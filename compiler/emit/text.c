/* text: the IR and the assembly of one kernel, for people. */
#include "emit/internal.h"

static bool add_ir(Emit *e, const Machine *machine, Buf *out)
{
    (void)machine;
    char *text = LLVMPrintModuleToString(e->module);
    buf_add(out, str_of(text));
    LLVMDisposeMessage(text);
    return true;
}

static bool add_asm(Emit *e, const Machine *machine, Buf *out)
{
    const char *why;
    LLVMMemoryBufferRef text = module_emit(e, machine, LLVMAssemblyFile, &why);
    if (!text) {
        buf_printf(out, "%s\n", why);
        return false;
    }
    buf_add(out, (Str){LLVMGetBufferStart(text), LLVMGetBufferSize(text)});
    LLVMDisposeMemoryBuffer(text);
    return true;
}

static bool emit_text(const Graph *graph, const Kernel *kernel, const EmitOptions *options,
                      bool (*add)(Emit *, const Machine *, Buf *), Buf *out)
{
    const char *why;
    Machine *machine = machine_open(out->arena, options->target, &why);
    if (!machine) {
        buf_printf(out, "%s\n", why);
        return false;
    }
    Emit *e = module_open(out->arena, options->target, machine);
    emit_kernel(e, graph, kernel, str_c(out->arena, kernel->name));
    bool done = add(e, machine, out);
    module_close(e);
    machine_close(machine);
    return done;
}

bool emit_ir(const Graph *graph, const Kernel *kernel, const EmitOptions *options, Buf *out)
{
    return emit_text(graph, kernel, options, add_ir, out);
}

bool emit_asm(const Graph *graph, const Kernel *kernel, const EmitOptions *options, Buf *out)
{
    return emit_text(graph, kernel, options, add_asm, out);
}
