/* train.h: the training graph of a stage under construction, for the files that build it.
 *
 *   train.c       the step and its gradients; the order of everything below
 *   clip.c        clipping by global norm
 *   penalty.c     regularisers per parameter
 *   update.c      persistent tensors, and the next values of parameters and states
 */
#ifndef HONE_MODEL_TRAIN_H
#define HONE_MODEL_TRAIN_H

#include "model/recipe.h"
#include "passes/passes.h"

typedef struct Training {
    RecipeBuild *b;
    RecipeStage *stage;
    size_t index;           /* of the stage */
    Elab *forward, *update; /* of the same nodes; the update's graph goes on after autodiff */
    Graph *graph;           /* the update's */
    NodeId *grads;          /* by variable; NODE_NONE: not trained, or not read by the step */
    OptimizerUse base;
    VEC(uint64_t) masks; /* of the `t` leaves made so far */
    VEC(NodeId) ts;
} Training;

/* --- clip.c --------------------------------------------------------------------------------------- */
/* A rank-0 node as a number of the dtype. */
const Scalar *read_scalar(Graph *g, NodeId id, DType dtype);
bool train_clip(Training *t, const Ast *knob);

/* --- penalty.c ------------------------------------------------------------------------------------ */
/* Adds the derivatives of the stage's penalties to the gradients. */
bool train_penalties(Training *t, const Ast *clause);

/* --- update.c ------------------------------------------------------------------------------------- */
/* The leaf of a persistent tensor; the same `of`, kind, rule and ending of the key: the same one. */
NodeId state_leaf(Training *t, const RecipeState *state, Str name, Span span);
/* A persistent tensor shaped like v, called KEY + name. */
RecipeState state_like(const Training *t, const Variable *v, HoneTensorKind kind, Str name);
NodeId initial_leaf(Training *t, const Variable *v);        /* p0 */
NodeId variable_leaf(Training *t, const Variable *v);       /* of the update's graph */
bool update_all(Training *t);

#endif
