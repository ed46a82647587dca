/* emit: kernels to native code. The only folder that includes llvm-c.
 *
 *   types.c    vector types, constants, conversions between dtypes
 *   kernel.c block.c nest.c   one function per kernel: chunks, blocks, nests, lanes, unroll-and-jam
 *   reduce.c   accumulators in registers
 *   memo.c     which loop an expression belongs to; nothing is emitted twice
 *   scalar.c position.c random.c   expressions to vector values
 *   access.c memory.c transpose.c fault.c   addresses, conditions, loads, stores, range checks
 *   maths.c maths_trig.c maths_wide.c   exp log tanh erf … as polynomials on vectors (<= 4 ulp)
 *   call.c     calls of functions of the runtime
 *   object.c   modules -> object bytes
 *   cache.c    under which key object bytes are kept between compilations
 *   jit.c      object bytes -> LLJIT -> function pointers
 *   probe.c    what the machine can do at most, as kernels
 *   text.c     IR and assembly of one kernel
 */
#ifndef HONE_EMIT_H
#define HONE_EMIT_H

#include "hone/abi.h"
#include "loop/kernel.h"
#include "target/target.h"

typedef struct EmitOptions {
    const Target *target;
    int threads; /* of compilation; 0: all cores */
    bool verify; /* run the LLVM verifier on every module */
    const char *cache; /* folder of object code; NULL: none is read or written */
    bool debug;        /* make the functions known to debuggers */
} EmitOptions;

/* Compiled code of a set of kernels; equal kernels (kernel_key) share one function. */
typedef struct Code Code;

/* Compiles and loads. NULL on failure (an LLVM failure is a compiler bug or lack of memory): *why
 * says what LLVM said. Lives until code_free (registered with mem_on_release of the arena's Mem).
 */
Code *code_compile(Arena *arena, const Graph *const *graphs, const Kernel *const *kernels, size_t n,
                   const EmitOptions *options, const char **why);
void code_free(Code *code);
HoneKernelFn *code_function(const Code *code, size_t kernel); /* index as given */
size_t code_distinct(const Code *code);                       /* functions compiled */
size_t code_bytes(const Code *code);
size_t code_modules(const Code *code);
size_t code_cached(const Code *code); /* modules that came from the cache */

/* The machine's limits as kernels. multiply: any number of chunks, each probe_flops(); its buffer
 * holds PROBE_BLOCK bytes of 0.5. stream: chunk i reads PROBE_BLOCK bytes at i * PROBE_BLOCK of
 * `reads` buffers in step, and writes the first `writes` of them in place. */
enum { PROBE_STREAMS = 16, PROBE_BLOCK = 1 << 18 };
typedef struct Probes {
    HoneKernelFn *multiply, *stream;
} Probes;
/* False: *why. The code lives as code_compile's does. */
bool probe_compile(Arena *arena, const Target *target, int reads, int writes, Probes *probes,
                   const char **why);
double probe_flops(const Target *target);

/* Text of one kernel's IR, and its assembly, for --dump=llvm and --dump=asm. */
bool emit_ir(const Graph *graph, const Kernel *kernel, const EmitOptions *options, Buf *out);
bool emit_asm(const Graph *graph, const Kernel *kernel, const EmitOptions *options, Buf *out);

#endif
