/* maths: one function of float32 as a compiled kernel, and libm in double precision beside it. */
#ifndef TEST_MATHS_H
#define TEST_MATHS_H

#include "support/kernels.h"

typedef struct MathsFunction {
    ScalarOp op;
    const char *name;
    int arity;
} MathsFunction;
size_t maths_count(void);
const MathsFunction *maths_function(size_t index);

typedef struct MathsRun {
    HoneSys sys;
    Mem mem;
    const MathsFunction *function;
    size_t n;
    KernelRun run;
    NodeId args[2], result;
} MathsRun;

/* NULL, or what went wrong. The kernel works on n values. */
const char *maths_open(MathsRun *run, const MathsFunction *f, const Target *target, size_t n);
void maths_run(MathsRun *run, const float *const *args, float *result);
void maths_close(MathsRun *run);

double maths_exact(const MathsFunction *f, float x, float y);
/* In units of the last place of the float nearest to the exact value; 0 for equal special values,
 * infinite for wrong ones. */
double maths_error(const MathsFunction *f, float x, float y, float result);

#endif
