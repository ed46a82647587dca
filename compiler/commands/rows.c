/* rows: kernels of an entry that are alike, as one row of a report: equal code, the same equations, the
 * same part of the step. */
#include <stdlib.h>

#include "commands/cost.h"

static int by_time(const void *a, const void *b)
{
    const CostRow *x = a, *y = b;
    double d = y->measured != x->measured ? y->measured - x->measured
                                          : y->sum.predicted - x->sum.predicted;
    return d > 0 ? 1 : d < 0 ? -1 : x->first < y->first ? -1 : 1;
}

CostRow *cost_rows(const Session *s, const PlanEntry *plan, const KernelCost *costs,
                   const double *measured, size_t *n)
{
    CostRow *rows = NEW_ARRAY(s->arena, CostRow, plan->n_kernels + 1);
    Map known = map_new(s->arena);
    *n = 0;
    for (size_t k = 0; k < plan->n_kernels; k++) {
        Str key = str_format(s->arena, "%d " STR_FMT "\n", (int)costs[k].phase,
                             STR_ARG(costs[k].where));
        key = str_join(s->arena, key, "", kernel_key(plan->kernels[k], s->arena));
        CostRow *row = map_get(&known, key);
        if (row == NULL) {
            row = &rows[(*n)++];
            row->first = &costs[k];
            map_set(&known, key, row);
        }
        cost_add(&row->sum, &costs[k], 1);
        row->measured += measured == NULL ? 0 : measured[k];
    }
    qsort(rows, *n, sizeof *rows, by_time);
    return rows;
}
