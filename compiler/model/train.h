/* train.h: the training graph of a stage under construction, for the files that build it.
 *
 *   train.c       the step and its gradients; the order of everything below
 *   clip.c        clipping by global norm
 *   penalty.c     regularisers per parameter
 *   accumulate.c  updates of several parts
 *   average.c     averages over the updates
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
    NodeId loss;            /* of one part, in the forward graph */
    size_t n_forward;       /* nodes of the forward pass, which come first */
    Span loss_span;
    NodeId *nexts;          /* by variable: next value of a parameter, NODE_NONE: kept */
    NodeId *grads;          /* by variable; NODE_NONE: not trained, or not read by the step */
    OptimizerUse base;
    VEC(uint64_t) masks; /* of the `t` leaves made so far */
    VEC(NodeId) ts;
} Training;

/* --- train.c -------------------------------------------------------------------------------------- */
/* The value of a knob that steps may change; NODE_NONE after a diagnostic. */
NodeId train_knob(Training *t, const Ast *knob, Value *value);

/* --- clip.c --------------------------------------------------------------------------------------- */
/* A rank-0 node as a number of the dtype. */
const Scalar *read_scalar(Graph *g, NodeId id, DType dtype);
bool train_clip(Training *t, const Ast *knob);

/* --- accumulate.c ---------------------------------------------------------------------------------- */
/* Before the gradients: the loss of one part; false after a diagnostic. */
bool train_part_loss(Training *t, StepResult *step);
/* After them: the graph adds to sums, and the update goes on in a graph of its own that reads them. */
void train_accumulate(Training *t);

/* --- average.c --------------------------------------------------------------------------------------- */
/* `ema`: the average of every parameter moves on by its next value. */
bool train_average(Training *t, const Ast *knob);

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
NodeId state_find(Training *t, const Variable *v, HoneTensorKind kind);   /* NODE_NONE: none yet */
bool update_all(Training *t);
void next_model_states(Training *t);                        /* in the graph of the step */

#endif
