/* recipe.h: what the files that build a Recipe share, and nobody else needs. */
#ifndef HONE_MODEL_RECIPE_H
#define HONE_MODEL_RECIPE_H

#include "model/internal.h"

typedef struct GroupKnob {           /* a knob or optimizer of a group, over all stages */
    const Ast *group, *knob;
    bool met, effective;             /* some trainable parameter had it; and kept it */
} GroupKnob;

typedef struct StageClause {         /* a stage to be built; those of a `for` share their text */
    const Ast *ast;                  /* NULL: the only stage of a recipe without any */
    Str name;
    Scope *scope;                    /* of the recipe, with the loop variables above it */
    bool looped;
} StageClause;

typedef struct RecipeBuild {
    Compiler *c;
    File *file;
    const Ast *item;                 /* AST_FINETUNE */
    bool without_files, silent, unread;
    bool knob_refused;               /* a knob that was meant may be missing */
    int64_t most_batch;
    Recipe *r;
    Scope *scope;                    /* of the recipe: models and lets; for every graph */
    Elab *build;                     /* evaluates build-clock values */
    const Ast *step, *optimizer;     /* clauses that stand once; NULL: absent */
    const Ast *layers;
    VEC(const Ast *) models, adapts, loads, saves, freezes, groups, knobs, penalties, remembers, recomputes;
    VEC(const Ast *) effective;      /* penalties that met a trainable parameter */
    VEC(const Ast *) sequence;       /* `stage` and `for` clauses */
    VEC(StageClause) stages;         /* made of them */
    const StageClause *stage;        /* at work; NULL outside */
    int64_t *depth;                  /* by variable: of its layer, -1: in none; NULL without `layers` */
    bool uncovered;                  /* E504 was said */
    bool step_known;                 /* the data's fields are known: graphs can be built */
    RecipeStage evaluation;          /* eval, eval_one, metrics, totals: the same for all stages */
    Graph *start;                    /* Recipe.start, while it grows */
    Graph *metrics;                  /* evaluation.metrics, while it grows */
    VEC(StepValue) named;            /* metrics of the step and of every `remember`; */
    VEC(StepValue) changes;          /* those of the latter under the names of their changes */
    VEC(GroupKnob) group_knobs;      /* of all groups, for W505 */
    bool recomputed;                 /* something was, in some stage */
    bool *read;                      /* by variable: does any graph read it? */
    size_t n_lengths;                /* `length` of the data; 0: none is given */
    const int64_t *lengths;          /* ascending */
    int64_t length;                  /* of the samples of the graph at work; 0: as the data lie */
} RecipeBuild;

/* --- recipe.c ------------------------------------------------------------------------------------- */
/* A number of the build or step clock that does not change during a run; false after a diagnostic. */
bool recipe_number(RecipeBuild *b, const Ast *expr, double *value);
bool recipe_int(RecipeBuild *b, const Ast *expr, int64_t *value);
bool recipe_str(RecipeBuild *b, const Ast *expr, Str *value);
Str recipe_path(RecipeBuild *b, Str path);       /* a path of the recipe as the system opens it */
Diag *recipe_file_error(RecipeBuild *b, const HoneError *error, Span span);
bool recipe_missing(const HoneError *error);     /* was the file just not there? */

void recipe_reads(RecipeBuild *b, const Elab *e);          /* notes what a graph reads */

/* --- select.c --------------------------------------------------------------------------------------- */
typedef struct Candidate {           /* something with a key that a selector may select */
    Str key;
    const Str *aliases;
    size_t n_aliases, rank;
    int64_t elements;
    uint32_t variable;               /* HONE_NONE: not one of the model's */
} Candidate;
typedef enum SelectOf {
    SELECT_PARAMETERS, SELECT_VARIABLES, SELECT_FILE,
    SELECT_BASE                      /* variables, but for those of adapters */
} SelectOf;
/* patterns [except patterns] [where condition] over candidates. A pattern that selects nothing is
 * E401 (W407 for SELECT_FILE), an empty result W505. False after an error. */
bool select_among(RecipeBuild *b, const Ast *select, SelectOf of, size_t n,
                  const Candidate *candidates, bool *selected);
/* Over the model's variables; SELECT_PARAMETERS passes states over. prefix: only below it, and
 * keys without it ("" for all). */
bool select_variables(RecipeBuild *b, const Ast *select, SelectOf of, Str prefix, bool *selected);
/* A single pattern as E401 reports it: it selects none of the keys. */
void select_nothing(RecipeBuild *b, const Ast *pattern, const char *what, size_t n,
                    const Str *keys);
bool select_pattern_ok(RecipeBuild *b, const Ast *pattern);
/* The modules that a clause's selector names; of several with one path (`as ""`) the outermost. */
typedef VEC(Instance *) Instances;
bool select_instances(RecipeBuild *b, const Ast *clause, Instances *to);

/* --- load.c save.c source.c data.c ------------------------------------------------------------------------------ */
bool load_build(RecipeBuild *b, const Ast *clause);
bool save_build(RecipeBuild *b, const Ast *clause);
void save_check_inputs(RecipeBuild *b);                      /* overwrite.c: E518 */
HoneSource *source_build(RecipeBuild *b, const Ast *call);   /* source.c; NULL after a diagnostic */
/* The data that a `step` or `remember` clause names, in Recipe.data; false after a diagnostic. */
bool data_build(RecipeBuild *b, const Ast *clause, uint32_t *index);
Batch *data_batch(RecipeBuild *b, uint32_t data, int64_t samples);   /* a new one per graph */
/* Training samples that a batch can be made of, and what they are called; -1: not known. */
int64_t data_samples(const HoneData *data, const RecipeData *facts, const char **what);

/* --- knobs.c -------------------------------------------------------------------------------------------- */
/* The closed list; NULL after E501 / E516. */
bool knob_check(RecipeBuild *b, const Ast *knob, bool in_stage);
bool knobs_of_run(RecipeBuild *b);
bool knobs_of_stage(RecipeBuild *b, const Ast *stage, RecipeStage *to);
const Ast *knob_find(RecipeBuild *b, const Ast *stage, const char *name);   /* stage, then recipe */
DType knob_real(RecipeBuild *b, const Ast *stage);           /* `precision`: Elab.real */

/* --- memory.c: `memory`, and the modules that can be computed again for it ----------------------------- */
bool memory_build(RecipeBuild *b);

/* --- unused.c ------------------------------------------------------------------------------------------- */
void recipe_unused(RecipeBuild *b);          /* W505 for what stages or nothing at all make of a clause */

/* --- stages.c: `stage` and `for` ------------------------------------------------------------------------ */
void stages_check(RecipeBuild *b, const Ast *clause);   /* what may stand in a `stage` or `for` */
bool stages_expand(RecipeBuild *b);                     /* sequence -> stages */

/* --- adapt.c: wrappers around selected instances ------------------------------------------------------ */
bool adapt_build(RecipeBuild *b, const Ast *clause);
/* merge.c: Recipe.merge, for `save … merged`. */
bool merge_build(RecipeBuild *b, const Ast *save);

/* --- layers.c ------------------------------------------------------------------------------------------- */
/* The shortest beginning of a key that the pattern matches; false: none. */
bool matching_node(Str pattern, Str key, Str *node);
/* The depth of every variable; false after an error. */
bool layers_build(RecipeBuild *b);
/* Each trainable parameter must be in a layer (E504). */
bool layers_cover(RecipeBuild *b, const bool *trainable);
/* A scope where `depth` is that of a variable; the same scope without `layers`. */
Scope *layers_scope(RecipeBuild *b, Scope *scope, uint32_t variable);

/* --- group.c ---------------------------------------------------------------------------------------------- */
/* What each trainable variable is updated by in a stage; hypers are nodes of e's graph. base: the
 * stage's default optimizer. */
bool group_uses(RecipeBuild *b, Elab *e, const Ast *stage, const bool *trainable,
                OptimizerUse *base, VariableUse *uses);
void group_unused(RecipeBuild *b);           /* W505 for group knobs that moved nothing */

/* --- stage.c train.c labels.c ------------------------------------------------------------------------------- */
bool stage_build(RecipeBuild *b, const Ast *clause, size_t index);  /* clause NULL: the only one */
bool eval_build(RecipeBuild *b);             /* evaluation, metrics and predict graphs */
bool eval_check(RecipeBuild *b);             /* the step's mistakes beside those of the model */
/* The graphs of a `step` or `remember` clause that add to totals, for a batch and for one sample. */
typedef struct Evaluation {
    const Ast *clause;
    uint32_t data;
    StepResult step;             /* of the first */
    Elab *batch, *one;
} Evaluation;
bool evaluation_build(RecipeBuild *b, Evaluation *evaluation);
/* Totals become tensors and outputs; metrics join b->metrics, their nodes there in values. */
bool evaluation_metrics(RecipeBuild *b, Evaluation *evaluation, NodeId *values);
/* The same for batches of every length of the data but the last, and of none yet. */
bool eval_shorter(RecipeBuild *b, const Evaluation *of, const RecipeLengths *to);
RecipeLengths shorter_lengths(RecipeBuild *b, uint32_t data);
/* Have both the same totals? Those of another length are added to the same sums; E201 at span if not. */
bool same_totals(RecipeBuild *b, const Elab *a, const Elab *other, Span span);
/* remember.c: metrics over other data, and how much they have changed. */
Str change_name(Arena *arena, Str metric);
bool remember_build(RecipeBuild *b);
void penalties_unused(RecipeBuild *b);       /* W505 for those that met no trainable parameter */
/* The training graph of a stage: forward, backward, update. */
bool train_build(RecipeBuild *b, RecipeStage *stage, const Ast *clause, size_t index);
bool labels_check(RecipeBuild *b, const Graph *graph, uint32_t data);   /* E705: as many outputs as classes */
/* A new equation equal to a node, in another type. */
NodeId node_as(Graph *g, NodeId id, DType dtype, Str name);
/* a + b in dtype; both have one shape. */
NodeId node_sum(Graph *g, DType dtype, NodeId a, NodeId b, Span span);

#endif
