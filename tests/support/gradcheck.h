/* gradcheck: derivatives of an equation text against finite differences, raw against densified
 * gradients, and the points that backward visits against those of forward. */
#ifndef TEST_GRADCHECK_H
#define TEST_GRADCHECK_H

#include "support/equations.h"

typedef struct GradCase {
    const char *name, *text; /* the gradient of sum(random * last) by every param */
    double ratio;            /* points of backward over forward at most; 0: not counted */
    bool uncompiled;         /* no comparison of compiled code */
    bool kinks;              /* no finite differences: leaves with ties */
    bool scatter;            /* a scatter may stay */
    bool twice;              /* the gradient of a gradient: products with the Hessian */
    size_t pieces;           /* real sizes: nothing is run; gradients have this many at most */
} GradCase;

typedef struct GradResult {
    double by_difference;      /* largest error, relative to the largest gradient */
    double by_densify;         /* raw against dense, gradients and loss */
    double by_cleaning;        /* dense against all cleaning passes after it */
    double by_kernels;         /* compiled code against the interpreter, relative to each tensor */
    double scale;              /* the largest gradient */
    int64_t forward, backward; /* points */
    int64_t cleaned;           /* points of all outputs after the cleaning passes */
    size_t pieces;             /* of gradients and what they need beyond forward */
    size_t scatters;           /* pieces of the dense graph whose left side may repeat */
    char why[256];             /* a graph that is ill-formed or faults; empty: none */
} GradResult;

GradResult gradcheck(HoneSys *sys, const GradCase *c);
/* The same for a graph that is there already, with its leaves' values; row->text is not looked at.
 */
GradResult gradcheck_graph(Arena *arena, Equations *e, const GradCase *row);
/* Says what is wrong with the result, if anything is. */
bool gradcheck_good(const GradCase *row, const GradResult *r);
/* Runs all rows and says which fail; the number of failures. */
int gradcheck_all(const GradCase *cases, size_t n);

#endif
