/* object: one Emit per module, and modules to bytes. The IR is vector code already: the passes only
 * clean up addresses and repeated loads; nothing is vectorised, unrolled or reassociated here. */
#include "emit/internal.h"

#include <llvm-c/Analysis.h>
#include <llvm-c/Error.h>
#include <llvm-c/Target.h>
#include <llvm-c/Transforms/PassBuilder.h>
#include <math.h>
#include <pthread.h>
#include <string.h>

static const char passes[] = "function(early-cse,instcombine<no-verify-fixpoint>,simplifycfg)";

/* --- target machines -------------------------------------------------------------------------- */
static void initialize(void)
{
    LLVMInitializeNativeTarget();
    LLVMInitializeNativeAsmPrinter();
}

void machine_prepare(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, initialize);
}

Machine *machine_open(Arena *arena, const Target *target, const char **why)
{
    machine_prepare();
    LLVMTargetRef llvm;
    char *message = NULL;
    if (LLVMGetTargetFromTriple(target->triple, &llvm, &message)) {
        LLVMDisposeMessage(message);
        *why = "LLVM lacks this machine";
        return NULL;
    }
    Machine *machine = NEW(arena, Machine);
    machine->llvm =
        LLVMCreateTargetMachine(llvm, target->triple, target->cpu, target->features,
                                LLVMCodeGenLevelDefault, LLVMRelocPIC, LLVMCodeModelSmall);
    if (machine->llvm)
        machine->layout = LLVMCreateTargetDataLayout(machine->llvm);
    mem_on_release(arena_mem(arena), machine_close, machine);
    *why = machine->llvm ? NULL : "LLVM cannot make code for this machine";
    return machine->llvm ? machine : NULL;
}

void machine_close(void *opened)
{
    Machine *machine = opened;
    if (machine->layout)
        LLVMDisposeTargetData(machine->layout);
    if (machine->llvm)
        LLVMDisposeTargetMachine(machine->llvm);
    *machine = (Machine){0};
}

/* --- modules ---------------------------------------------------------------------------------- */
Emit *module_open(Arena *arena, const Target *target, const Machine *machine)
{
    Emit *e = NEW(arena, Emit);
    e->arena = arena;
    e->target = target;
    e->llvm = LLVMContextCreate();
    mem_on_release(arena_mem(arena), module_close, e);
    e->module = LLVMModuleCreateWithNameInContext("kernels", e->llvm);
    LLVMSetTarget(e->module, target->triple);
    LLVMSetModuleDataLayout(e->module, machine->layout);
    e->ir = LLVMCreateBuilderInContext(e->llvm);
    e->i1 = LLVMInt1TypeInContext(e->llvm);
    e->i8 = LLVMInt8TypeInContext(e->llvm);
    e->i16 = LLVMInt16TypeInContext(e->llvm);
    e->i32 = LLVMInt32TypeInContext(e->llvm);
    e->i64 = LLVMInt64TypeInContext(e->llvm);
    e->f32 = LLVMFloatTypeInContext(e->llvm);
    e->f64 = LLVMDoubleTypeInContext(e->llvm);
    e->ptr = LLVMPointerTypeInContext(e->llvm, 0);
    return e;
}

void module_close(void *opened)
{
    Emit *e = opened;
    if (e->ir)
        LLVMDisposeBuilder(e->ir);
    if (e->module)
        LLVMDisposeModule(e->module);
    if (e->llvm)
        LLVMContextDispose(e->llvm);
    e->ir = NULL;
    e->module = NULL;
    e->llvm = NULL;
}

const char *module_verify(Emit *e)
{
    char *message = NULL;
    const char *problem = NULL;
    if (LLVMVerifyModule(e->module, LLVMReturnStatusAction, &message))
        problem = str_c(e->arena, str_of(message));
    LLVMDisposeMessage(message);
    return problem;
}

/* Optimises and generates. NULL on failure, *why on the arena. */
LLVMMemoryBufferRef module_emit(Emit *e, const Machine *machine, LLVMCodeGenFileType type,
                                const char **why)
{
    LLVMPassBuilderOptionsRef options = LLVMCreatePassBuilderOptions();
    LLVMErrorRef error = LLVMRunPasses(e->module, passes, machine->llvm, options);
    LLVMDisposePassBuilderOptions(options);
    if (error) {
        char *text = LLVMGetErrorMessage(error);
        *why = str_c(e->arena, str_of(text));
        LLVMDisposeErrorMessage(text);
        return NULL;
    }
    LLVMMemoryBufferRef out = NULL;
    char *message = NULL;
    if (LLVMTargetMachineEmitToMemoryBuffer(machine->llvm, e->module, type, &message, &out)) {
        *why = str_c(e->arena, str_of(message));
        LLVMDisposeMessage(message);
        return NULL;
    }
    return out;
}
