/* Which units need not run in every step: what they compute is only looked at where conditions of the
 * step clock hold. The conditions lie in HONE_ARENA_IO, where the runtime reads them; the kernel that
 * computes one reads nothing but step values, and runs before all that wait for it. */
#include "plan/internal.h"

/* Alone in its unit, so that nothing it could wait for stands in its way. */
static bool stands_alone(const Entry *entry, NodeId id)
{
    const Unit *unit = &entry->units.at[entry->unit_of[id]];
    ReadList reads = unit_reads(entry, unit);
    bool alone = unit->group.n == 1 && entry->lies_in[id] == id;
    for (size_t i = 0; i < reads.len; i++)
        alone &= graph_node(entry->graph, reads.at[i]->tensor)->kind == NODE_STEP;
    return alone;
}

/* The literals that can be asked. */
static Demand answerable(const Entry *entry, const Demand *demand)
{
    Demand kept = {.any = true};
    for (uint32_t i = 0; i < demand->n; i++) {
        if (stands_alone(entry, demand->literals[i].decision))
            kept.literals[kept.n++] = demand->literals[i];
    }
    return kept;
}

void entry_decide(Entry *entry)
{
    const Demand *demands =
        graph_demands(entry->arena, entry->graph, entry->unit_of, entry->lies_in);
    bool *decides = NEW_ARRAY(entry->arena, bool, entry->graph->nodes.len);
    for (uint32_t u = 0; u < entry->units.len; u++) {
        Unit *unit = &entry->units.at[u];
        unit->demand = answerable(entry, &demands[unit->group.nodes[0]]);
        for (uint32_t i = 0; i < unit->demand.n; i++) {
            NodeId decision = unit->demand.literals[i].decision;
            entry->output[decision] = decides[decision] = true;
            VEC_PUSH(entry->arena, unit->before, entry->unit_of[decision]);
        }
    }
    for (NodeId id = 0; id < entry->graph->nodes.len; id++) { /* asked by the runtime too */
        if (decides[id])
            entry->units.at[entry->unit_of[id]].demand = (Demand){.any = true};
    }
}
