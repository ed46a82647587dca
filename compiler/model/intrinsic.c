/* Functions of whole matrices (graph/intrinsic.def): inverse_root(a, k), eigh(a), qr(a). They are no
 * formulas, have no derivative, and stand in update rules above all. */
#include "model/internal.h"

static Value refuse(Elab *e, Str name, const Array *a, const Ast *call)
{
    Diag *d = elab_error(e, E106, call->kids[1]->span, "`" STR_FMT "` takes a square matrix",
                         STR_ARG(name));
    diag_label(d, "its shape is " STR_FMT, STR_ARG(dims_text(e->c->arena, a->rank, a->dims)));
    return value_poison();
}

Value intrinsic_value(Elab *e, Str name, size_t n, const Value *args, const Ast *call)
{
    Array a[2];
    NodeId nodes[2];
    for (size_t i = 0; i < n; i++) {
        if (!array_strong(e, &args[i], &a[i])) {
            return value_poison();
        }
        array_settle(e, &a[i]);
        array_cast(e, &a[i], DT_F32);
        array_node(e, &a[i], (Str){0}, args[i].span);
        nodes[i] = a[i].base;
    }
    if (a[0].rank != 2 || a[0].n_lead > 0 || a[0].dims[0] != a[0].dims[1]) {
        return refuse(e, name, &a[0], call);
    }
    if (n > 1 && (a[1].rank > 0 || a[1].n_lead > 0)) {
        Diag *d = elab_error(e, E106, call->kids[2]->span, "`" STR_FMT "` takes a number here",
                             STR_ARG(name));
        diag_help(d, "`inverse_root(a, 4)` is a to the power of -1/4");
        return value_poison();
    }
    NodeId node = graph_intrinsic(e->graph, name, DT_F32, 2, a[0].dims, n, nodes, call->span);
    return array_of_node(e, node, CLOCK_TENSOR, call->span);
}
