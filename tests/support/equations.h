/* equations: graphs written as text, for tests of passes and kernels.
 *
 *   param x[2, 5, 5]                 real values, all different, none near 0, in -1 .. 1
 *   param s[4] positive              0.2 .. 1.2;  also `ties`: -1, 0 and 1;  `zeros`
 *   input r[3]                       as param, but nothing to differentiate by
 *   input ids[2, 3] below 5          i32 in 0 .. 4
 *   param h[3] bf16                  of another dtype: its name, before `positive`
 *   y[n:2, p:3] = sum[i:3] k[i] * (x[n, 2*p+i-1] ?? 0)
 *   z[2*p+1 | p:2] of 5 = x[p]       positions on the left, the variables, the dimensions
 *   z[2*p | p:3] of 5 += x[p]        one more piece of the equation above
 *
 * A line is one definition. Reductions: sum prod max min any all argmax argmin, at the start of the
 * right side. Scalars: + - * / // % ^ < <= > >= == != and or not, the functions of scalar.def,
 * random(key, position). `b` after a name is a float if it has a dot, else an int.
 */
#ifndef TEST_EQUATIONS_H
#define TEST_EQUATIONS_H

#include "graph/graph.h"

enum { MAX_LEAVES = 4096, MAX_PARAMS = 512 }; /* nodes that may be leaves */

typedef struct Equations {
    Graph *graph;
    double *leaves[MAX_LEAVES]; /* by node; NULL: no leaf */
    size_t n_params;
    NodeId params[MAX_PARAMS];
    NodeId last; /* defined last */
} Equations;

Equations equations_read(Arena *arena, const char *text, uint64_t seed);
/* `loss = sum r * last` with random r of the same shape, as OUT_LOSS. */
void equations_add_loss(Equations *e, uint64_t seed);
/* The last tensor becomes the derivative of such a loss along a random direction of all params: its
 * own gradient is the product of the Hessian and that direction. */
void equations_differentiate(Equations *e);
NodeId equations_find(const Equations *e, const char *name);

/* n values, all different, none near 0, in -1 .. 1; none at all for more than MOST_VALUES,
 * which are not for running. */
enum { MOST_VALUES = 1 << 18 };
double *equations_spread(Arena *arena, size_t n, uint64_t *random);

/* Ready to run a graph that passes made of e's. */
Interp equations_interp(const Equations *e, const Graph *graph);

#endif
