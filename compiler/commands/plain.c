/* plain: W522, large sums of products that got no register tile and run as plain loops. */
#include "commands/cost.h"

static const double large = 1e8;     /* FLOPs: a millisecond on one core, tens of them in plain loops */

/* Is it a product of factors each of which lacks a variable of the result? Then elements are used
 * again, and a tile would keep them in registers. */
static bool is_contraction(const Nest *nest, const Scalar *body)
{
    size_t lacking = 0;
    for (size_t i = 0; i < body->n; i++) {
        bool lacks = false;
        for (size_t k = 0; k < nest->n_loops; k++) {
            lacks |= !nest->loops[k].reduced && !sc_uses(body->args[i], nest->loops[k].var);
        }
        if (!lacks) {
            return false;
        }
        lacking += body->args[i]->n_vars > 0;
    }
    return lacking >= 2;
}

bool plain_product(const Nest *nest, const KStore *store)
{
    const Scalar *body = store->body;
    if (store->reduce != REDUCE_SUM || body->kind != SCALAR_FN || body->op != OP_MUL) {
        return false;
    }
    double points = 1;
    for (size_t i = 0; i < nest->n_loops; i++) {
        points *= (double)nest->loops[i].var->extent;
        if (nest->loops[i].kind == KLOOP_UNROLL) {
            return false;
        }
    }
    return 2 * points >= large && is_contraction(nest, body);
}

static void warn(Session *s, const PlanEntry *plan, const Kernel *kernel)
{
    for (size_t i = 0; i < kernel->n_nests; i++) {
        const Nest *nest = &kernel->nests[i];
        for (size_t k = 0; k < nest->n_stores; k++) {
            if (plain_product(nest, &nest->stores[k])) {
                Diag *d = diag(&s->c.diags, W522, kernel->span,
                               "a sum of products of " STR_FMT " in `" STR_FMT "` runs as plain loops",
                               STR_ARG(flops_text(s->arena, kernel->flops)), STR_ARG(plan->name));
                diag_help(d, "`hone explain` shows what it costs");
                return;
            }
        }
    }
}

void plain_warn(Session *s, const BuildReport *report, uint32_t n_entries)
{
    for (uint32_t e = 0; e < n_entries; e++) {
        const PlanEntry *plan = report->entries[e].plan;
        for (size_t k = 0; k < plan->n_kernels; k++) {
            if (plan->kernels[k]->span.file != 0) {
                warn(s, plan, plan->kernels[k]);
            }
        }
    }
}
