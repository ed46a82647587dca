/* internal: one entry while it is planned. Private to this folder. */
#ifndef HONE_PLAN_INTERNAL_H
#define HONE_PLAN_INTERNAL_H

#include "plan/plan.h"

#define NO_UNIT UINT32_MAX

typedef VEC(uint32_t) Indices;
typedef VEC(HonePort) Ports;

typedef struct Unit {            /* a group of equations and its kernels, which run together */
    Group group;
    Indices before;              /* units that must have run; entries may repeat */
    Demand demand;               /* it runs where this holds */
    Kernels kernels;
} Unit;

typedef struct Entry {
    Arena *arena;
    Planner *planner;
    Str name;
    Graph *graph;                /* after fusion; copies are appended */
    VEC(Unit) units;
    uint32_t *unit_of;           /* by node: NO_UNIT for leaves */
    Indices *readers;            /* by node: units that read it */
    NodeId *lies_in;             /* by node: the PARAM or STATE whose storage it takes, or itself */
    bool *output;                /* by node: a port shows it */
    bool *stored, *local;        /* by node, see Lowering */
    Layout layout;
    uint32_t *order;             /* units, as they run */
    HoneRef *refs;               /* by node: where its elements are (offsets of PARAM, STATE later) */
    uint64_t activation_bytes;
} Entry;

/* Every distinct READ of the unit's equations. */
typedef VEC(const Scalar *) ReadList;
ReadList unit_reads(const Entry *entry, const Unit *unit);
/* Every read of `tensor` in the unit is in the nest that computes `node`, at the node's own place. */
bool reads_in_place(const Entry *entry, const Unit *unit, NodeId node, NodeId tensor);

/* settle.c: next values in place where that is legal, copies elsewhere; who must run before whom. */
void entry_settle(Entry *entry);
/* decide.c: which units need not run in every step */
void entry_decide(Entry *entry);
/* order.c */
void entry_order(Entry *entry);
/* memory.c: refs and activation_bytes */
void entry_place(Entry *entry);
/* ports.c: fields, step values, outputs in HONE_ARENA_IO; tables in HONE_ARENA_CONSTANTS */
HonePort port_of(const Entry *entry, NodeId id, Str name);       /* not placed yet */
HoneRef port_place(Planner *planner, size_t use, HonePort port);
HoneRef constant_place(const Entry *entry, NodeId id);

#endif
