/* model: from trees to instances, variables and graphs.
 *
 *   names.c       files, `use`, the four namespaces, what a name means; did-you-mean
 *   value.c       values of the three clocks; scopes
 *   array.c       tensors under construction: element expressions over shared variables
 *   check.c       libraries: every definition at sample sizes; lint.c  names without effect
 *   instance.c    modules -> instances, variables with keys; `as`, `tie`, arrays, `if`
 *   elab.c        a graph under construction: leaves, variables, step blocks
 *   expr.c        expressions -> values: operators, literals
 *   lookup.c      what a name or a dotted path means
 *   equation.c    indexed definitions and reductions -> graph equations; extents of indices
 *   read.c        subscripts: ranges, `??`, lists
 *   function.c    calls, signatures, dims binding
 *   statement.c   statements: rebinding, `if`, `for`, primes, return
 *   builtin.c     functions that are not formulas: reshape, count, draws, initialisers, norms of types
 *   optimizer.c   optimizer items: states of a variable, the update's equations
 *   pattern.c     patterns over keys
 *   recipe.c stage.c load.c save.c group.c data.c memory.c     finetune items -> Recipe
 *
 * One compilation is a Compiler; everything lives on its arena unless said otherwise. Mistakes go to
 * its diags; functions then return poison (VALUE_POISON, NULL) and callers stay quiet.
 */
#ifndef HONE_MODEL_H
#define HONE_MODEL_H

#include "graph/graph.h"
#include "hone/hone.h"
#include "syntax/ast.h"

/* --- a compilation (names.c) -------------------------------------------------------------------- */
typedef struct OptionSetting {      /* --lr 1e-3 on the command line */
    Str name, text;                 /* text empty for a bare flag; `no` for --no-x */
    bool negated;
} OptionSetting;

typedef struct Compiler {
    Mem *mem;
    HoneSys *sys;
    Arena *arena;
    Sources sources;
    Diags diags;
    Str root_path;                  /* the recipe file */
    Str root_dir;                   /* relative paths of the recipe start here */
    Map files;                      /* name in `use` or path -> File */
    size_t n_settings;
    const OptionSetting *settings;
    struct File *root;
    bool asks_training;             /* set where something asks whether `training` is true */
} Compiler;

/* The standard library is compiled into the program: name ("nn", "models/resnet") -> text. */
bool std_find(Str name, Str *text);
bool language_has(Str name);                         /* a function, constant or initialiser of its own */
bool std_file(size_t i, Str *name, Str *text);       /* the i-th file; false behind the last */

typedef struct File File;           /* a parsed file and its names */
void compiler_init(Compiler *c, Mem *mem, HoneSys *sys, Arena *arena);
/* Reads and parses the file and everything it uses; a name of the standard library stands for its
 * file where there is no such path. NULL after a diagnostic. */
File *compiler_load(Compiler *c, Str path);
/* The same of a text that no file has; it uses files as if it stood at `path`. */
File *compiler_text(Compiler *c, Str path, Str text);
const Ast *file_item(const File *file, AstKind kind, Str name);       /* own items only */
const Ast *file_tree(const File *file);

/* --- values (value.c) ---------------------------------------------------------------------------- */
typedef enum Clock { CLOCK_BUILD, CLOCK_STEP, CLOCK_TENSOR } Clock;

typedef enum ValueKind {
    VALUE_POISON,        /* a mistake already reported */
    VALUE_INT, VALUE_FLOAT, VALUE_BOOL, VALUE_STRING,      /* build clock */
    VALUE_LIST,          /* build clock, of any values */
    VALUE_TENSOR,        /* node of the graph under construction; a step float is rank 0, f64 */
    VALUE_INSTANCE, VALUE_INSTANCES,                       /* a module instance, a module array */
    VALUE_BATCH,         /* the batch of a step: fields by name */
    VALUE_TUPLE,         /* several results */
    VALUE_DEFERRED       /* a step-clock argument of a module: `ast` in `scope`, per graph */
} ValueKind;

typedef struct Instance Instance;
typedef struct Scope Scope;      /* a chain of names; lookup order is language.md's "Names" */
typedef struct Value Value;
struct Value {
    ValueKind kind;
    Clock clock;
    Span span;                   /* where it was made, for notes */
    int64_t i;                   /* INT, BOOL */
    double f;                    /* FLOAT */
    Str s;                       /* STRING */
    size_t n;                    /* LIST, TUPLE, INSTANCES */
    const Value *items;
    NodeId node;                 /* TENSOR that is a node as it stands; else NODE_NONE */
    const struct Array *array;   /* TENSOR: dtype, dims and what an element is (array.c) */
    Instance *instance;
    Instance *const *instances;
    struct Batch *batch;
    const Ast *ast;              /* DEFERRED */
    Scope *scope;
};
Value value_int(int64_t i);
Value value_float(double f);
Value value_bool(bool b);
Value value_str(Str s);
Value value_poison(void);

Scope *scope_new(Arena *arena, Scope *outer, File *file, Instance *self);
void scope_set(Scope *scope, Str name, Value value, Span span);
bool scope_get(const Scope *scope, Str name, Value *value);

/* --- instances and variables (instance.c) ---------------------------------------------------------- */
typedef struct Init {            /* an initialiser in the context of its shape, evaluated */
    HoneInitKind kind;
    double a, b;
} Init;

typedef struct Variable {        /* a parameter or state of the model */
    uint32_t index;              /* in Model.variables; Node.variable */
    Str key;
    VEC(Str) aliases;            /* further keys by `tie` */
    bool is_state;
    bool is_real;                /* a parameter without a dtype: graphs read it as Elab.real */
    DType dtype;
    size_t rank;
    int64_t dims[MAX_RANK];
    int64_t elements;
    Init init;
    Span span;                   /* its declaration */
    Instance *owner;
    bool of_adapter;             /* new beside what a file may have */
} Variable;

struct Instance {
    Str path;                    /* key prefix: "layer1.0"; empty at the root */
    const Ast *module;           /* AST_MODULE */
    File *file;
    Span span;                   /* where it is declared or constructed */
    Instance *parent;
    bool recompute;              /* its forward pass is computed again for the backward pass */
    bool candidate;              /* … if that is needed to keep within `memory` */
    Instance *base;              /* what it wraps (`adapt`); its members and arguments show through */
    Scope *scope;                /* its arguments */
    Map members;                 /* declared path -> Member (variable, instance, array) */
    VEC(Instance *) children;
    VEC(Variable *) variables;   /* own, not of children */
    bool clashes;                /* one of their keys is taken (E301 was said) */
};

typedef struct Model {           /* all instances of one finetune item */
    VEC(Instance *) roots;
    VEC(Variable *) variables;   /* in order of declaration, depth first */
    VEC(Instance *) wrappers;    /* by `adapt`, in the order in which they were put on */
    Map by_key;                  /* key or alias -> Variable */
    int64_t elements;            /* of all variables; below 0 after a diagnostic: they cannot be counted */
} Model;

Model *model_new(Compiler *c);
/* Constructs `Ctor(args)`. prefix: key prefix ("" or "teacher"). NULL after a diagnostic. */
Instance *model_instance(Compiler *c, Model *model, const Ast *call, Scope *scope, Str prefix);

/* Puts `Ctor(args)` around an instance, in whose place it stands from now on, under the same path.
 * False after a diagnostic. */
bool model_adapt(Compiler *c, Model *model, Instance *base, const Ast *call, Scope *scope);

/* --- elaborating graphs (function.c, expr.c, equation.c) --------------------------------------------- */
typedef struct Total {           /* total(e) met in a metric or a loss */
    NodeId value;                /* e in this batch; NODE_NONE once replaced */
    NodeId state;                /* the running total (NODE_STATE) that the metric reads */
    uint32_t variable;           /* Node.variable of the state */
    size_t rank;
    int64_t dims[MAX_RANK];
} Total;

typedef enum TotalMode {
    TOTAL_IS_ERROR,              /* not allowed here */
    TOTAL_IS_VALUE,              /* in a training loss without accumulation: e itself */
    TOTAL_IS_UPDATE,             /* in a training loss of several parts: what no parameter reaches is
                                  * a running total of all parts; the rest counts `parts` times */
    TOTAL_IS_STATE               /* in a metric: add e to a running f64 total, read that */
} TotalMode;

typedef struct Elab {            /* one graph under construction */
    Compiler *c;
    Model *model;
    Graph *graph;
    DType real;                  /* what tensors of no declared dtype are kept in: f32, or `precision` */
    bool training;               /* is this the training graph? */
    const bool *trainable;       /* by variable index; decides `training` per instance */
    NodeId *variable_nodes;      /* by variable index; NODE_NONE until first read */
    NodeId *real_nodes;          /* by variable index: a parameter rounded to `real`, once read */
    NodeId *next_nodes;          /* by variable index; set by primed equations */
    TotalMode total_mode;
    VEC(Total) totals;           /* variables numbered from first_total up, in order met */
    uint32_t first_total;
    int64_t parts;               /* of an update */
    VEC(NodeId) multiplied;      /* totals of what parameters reach */
    NodeId progress, epoch, t;   /* NODE_STEP leaves, NODE_NONE until first use */
    VEC(NodeId) option_nodes;    /* NODE_STEP leaves of step-clock options, by name */
    struct ElabState *state;     /* internal.h */
} Elab;

Elab *elab_new(Compiler *c, Model *model, Graph *graph, bool training, const bool *trainable);
/* A tensor comes back as a node. graph NULL in elab_new: build-clock values only. */
Value elab_expr(Elab *e, Scope *scope, const Ast *expr);
/* A build-clock value of a kind; diagnoses anything else (E208, E106). */
bool elab_int(Elab *e, Scope *scope, const Ast *expr, int64_t *value);
bool elab_str(Elab *e, Scope *scope, const Ast *expr, Str *value);
/* A float of the build or step clock as a rank-0 f64 node. */
NodeId elab_float_node(Elab *e, Value value);

typedef struct BatchField {
    Str name;
    DType dtype;
    size_t rank;
    int64_t dims[MAX_RANK];      /* with the batch */
    NodeId node;                 /* NODE_INPUT, made at the first use */
} BatchField;
typedef struct Batch {
    Str data;
    size_t n;
    BatchField *fields;
} Batch;

typedef struct StepValue {       /* a metric or prediction */
    Str name;
    NodeId node;
    Span span;
} StepValue;
typedef struct StepResult {      /* what a step block defined */
    bool ok;
    NodeId loss;                 /* NODE_NONE: no `loss` */
    Span loss_span;
    VEC(StepValue) metrics, predicts;
} StepResult;
/* Evaluates a step block with the batch bound to its name. In a training graph metrics are skipped;
 * in an evaluation graph total() follows e->total_mode. */
StepResult elab_step(Elab *e, Scope *scope, const Ast *block, Str batch_name, Batch *batch);

/* --- optimizers (optimizer.c) -------------------------------------------------------------------------- */
typedef struct Hyper {           /* a hyperparameter's value so far */
    Str name;
    Value value;                 /* build int or bool, or float of the build or step clock */
    Span span;
} Hyper;
typedef struct OptimizerUse {    /* AdamW(lr = …, decay = …) as it applies to one variable */
    const Ast *item;             /* AST_OPTIMIZER */
    File *file;
    Span span;                   /* of the call */
    size_t n;
    Hyper *hypers;
} OptimizerUse;
/* Resolves an optimizer call; arguments see `scope` (progress, options …). */
bool optimizer_use(Elab *e, Scope *scope, const Ast *call, OptimizerUse *use);

typedef struct OptimizerState {
    Str name;
    DType dtype;
    size_t rank;
    int64_t dims[MAX_RANK];
    Init init;
} OptimizerState;
/* The states the optimizer keeps for a variable: those declared for it that its update reads or gives
 * a next value. Diagnoses a rank it cannot update (E601). */
bool optimizer_states(Elab *e, const OptimizerUse *use, const Variable *v, size_t *n,
                      OptimizerState **states);
/* The update's equations: reads p, g, t, p0 (NODE_NONE when the rule does not ask for it: see
 * optimizer_wants) and the states' nodes; gives the nodes of the next values (NODE_NONE: kept). */
bool optimizer_wants(Elab *e, const OptimizerUse *use, const Variable *v, Str name); /* "p0", "t" */
/* Is the variable's rank one that `update` is declared for? */
bool optimizer_fits(Elab *e, const OptimizerUse *use, const Variable *v);
bool optimizer_update(Elab *e, const OptimizerUse *use, const Variable *v, NodeId p, NodeId g,
                      NodeId t, NodeId p0, const NodeId *states, NodeId *next_p,
                      NodeId *next_states);

/* --- patterns (pattern.c) --------------------------------------------------------------------------------- */
/* "bert.encoder.layer.#", "**.{weight,bias}": does the pattern select the key or a node above it? */
bool pattern_matches(Str pattern, Str key);
bool pattern_valid(Str pattern, Str *why);
/* A rename: from, to with wildcards by position. False if `key` is not selected. */
bool pattern_rename(Arena *arena, Str from, Str to, Str key, Str *renamed);
bool pattern_rename_valid(Str from, Str to, Str *why);
/* For a pattern that selects none of the keys: how far it got and what is there. */
typedef struct PatternHint {
    Str reached;             /* the part that selects something; empty: not even the first segment */
    Str missing;             /* the first segment that selects nothing */
    VEC(Str) names;          /* what stands there */
    Str suggestion;          /* the whole pattern mended; empty: nothing is near */
} PatternHint;
PatternHint pattern_hint(Arena *arena, Str pattern, const Str *keys, size_t n);

/* --- recipes (recipe.c …) ------------------------------------------------------------------------------------ */
typedef struct VariableUse {     /* one variable in one stage */
    bool trainable;
    OptimizerUse optimizer;      /* with group refinements applied; hypers are of the stage's elab */
    VEC(const Ast *) penalties;  /* that join its gradient */
} VariableUse;

typedef struct LoadedTensor {    /* where a variable's first value comes from */
    uint32_t load;               /* index in Recipe.loads; HONE_NONE: initialised */
    Str key;
    bool fresh;                  /* a load clause says so */
} LoadedTensor;

typedef struct RecipeSave {
    Str path;
    Span span;
    bool merged;                 /* after `merge` has run */
    VEC(HoneSaveItem) items;     /* tensor = variable index */
} RecipeSave;

typedef struct RecipeState {     /* an optimizer state, a p0 copy or a running total: a persistent
                                  * tensor beyond the model's variables */
    HoneTensorKind kind;
    Str key;                     /* "fc.weight:m" */
    DType dtype;
    size_t rank;
    int64_t dims[MAX_RANK];
    Init init;
    uint32_t of;                 /* variable */
    const Ast *rule;             /* OPTIMIZER_STATE: the optimizer that keeps it */
    const LoadedTensor *from;    /* NULL: initialised */
} RecipeState;

typedef struct RecipeData {      /* what is known of a HoneData at compile time */
    Span span;
    size_t n_fields;
    const HoneField *fields;     /* of one sample; names on the arena */
    int64_t count[3];            /* samples of train, valid, test; -1: not known */
    size_t n_classes, n_columns;
    const char *const *classes, *const *columns;
    const char *label;           /* the field whose values are classes; NULL: no file was read */
    const char *reader;          /* that read the first of them */
    bool known;                  /* the fields */
    HoneLoading loading[3];      /* of them; without the file all 0 */
    int64_t *low, *high;         /* by field: values in all splits; low > high: not known */
} RecipeData;

typedef struct RecipeLength {    /* graphs for samples of a length below the longest; as in RecipeStage */
    const Graph *train, *count, *update, *eval, *eval_one;
} RecipeLength;
typedef VEC(RecipeLength) RecipeLengths;

typedef struct RecipeStage {
    Str name;
    Span span;
    bool *trainable;             /* by variable */
    VariableUse *uses;           /* by variable */
    int64_t trainable_elements, trainable_tensors;
    const Graph *train;          /* forward, OUT_LOSS, OUT_NEXT of primed states and of the update */
    int64_t accumulate;          /* parts of an update; above 1, train only adds to gradients: */
    const Graph *count;          /* adds to the totals of the loss that no parameter reaches, or NULL */
    const Graph *update;         /* gradients -> next values; OUT_VALUE of the update */
    VEC(uint32_t) zeroed;        /* persistent tensors that an update begins with at 0 */
    bool average;                /* `ema`: evaluation and saving use averages */
    const Graph *eval, *eval_one;     /* OUT_NEXT of totals; NULL without metrics or `valid` */
    const Graph *metrics;             /* OUT_VALUE per metric, reads totals */
    const Elab *step;            /* of train */
    RecipeLengths shorter;       /* by length but the last, which the graphs above are for */
    uint32_t data;
    double epochs;
    int64_t steps, patience, every, checkpoint;
    Str monitor;                 /* empty: none */
    bool monitor_max;
    VEC(uint32_t) totals;        /* indices of persistent tensors */
} RecipeStage;

typedef struct RecipeRemember {  /* other data over which metrics are taken too */
    uint32_t data;
    const Graph *eval, *eval_one;
    RecipeLengths shorter;       /* as in RecipeStage */
} RecipeRemember;

typedef struct RecipeCall {      /* nodes first .. end - 1 of a forward pass, made by a call of a module */
    NodeId first, end;
    const Instance *of;
} RecipeCall;
typedef struct RecipeTrain {     /* a training graph of which more can be computed again */
    const Graph *train;          /* as stages have it: with what `recompute` says */
    const Graph *kept;           /* as it was before; its first nodes are the forward pass */
    size_t n_forward;
    VEC(RecipeCall) calls;       /* inner ones before those around them */
} RecipeTrain;

typedef struct Recipe {
    Str name;
    Span span;
    Model *model;
    VEC(RecipeState) states;     /* persistent tensor index = model->variables.len + i */
    LoadedTensor *loaded;        /* by variable */
    const int64_t *depth;        /* by variable: of its layer, -1: in none; NULL without `layers` */
    VEC(HoneLoad) loads;
    VEC(RecipeSave) saves;
    VEC(HoneData) data;
    VEC(RecipeData) facts;       /* of each data */
    VEC(RecipeStage) stages;
    const Graph *predict;        /* batch 1; OUT_VALUE; NULL without `predict` */
    VEC(RecipeRemember) remembers;
    const Graph *start;          /* OUT_NEXT: remembered metrics before the first update; NULL: none */
    size_t changes;              /* of `metrics`: so many last outputs are changes since then */
    const Graph *merge;          /* OUT_NEXT: adapters folded into what they wrap; NULL: not asked */
    uint64_t seed;
    int64_t workers;
    bool skip_bad;
    uint64_t memory;             /* bytes that the plan keeps within; 0: not said */
    Span memory_span;
    VEC(const Instance *) candidates;    /* modules that can be computed again for that */
    VEC(RecipeTrain) trains;     /* with such modules */
} Recipe;
/* memory.c: the training graph with what `recompute` says and the chosen candidates computed again; NULL:
 * no candidate stands in it. */
const Graph *recipe_again(Arena *arena, const Recipe *r, const Graph *train, const bool *chosen);
/* What the candidate saves and costs by itself in all training graphs, roughly. */
void recipe_saves(Arena *arena, const Recipe *r, size_t candidate, double *bytes, double *flops);
/* The value that a step-clock option of the root file has in this run. */
bool recipe_option(Compiler *c, Str name, double *value);

/* Elaborates one finetune item: everything of the table above, differentiated (autodiff is called
 * from here, because the update needs the gradients). without_files: data and weights may be absent
 * (`hone check`); notes say so. NULL after errors. */
typedef struct RecipeOptions {
    bool without_files;
    bool silent;             /* no notes about absent files */
    bool unread;             /* weights are not read: what will stand there is not known yet */
    bool model_only;         /* `hone keys`: no data, loads, stages or graphs */
    int64_t most_batch;      /* cuts the batch of every data; 0: as the recipe says */
} RecipeOptions;
Recipe *recipe_build(Compiler *c, File *file, const Ast *finetune, const RecipeOptions *options);
void recipe_dump(const Recipe *r, Buf *out);      /* --dump=recipe: deterministic, the golden form */
/* Checks a file without `finetune`: definitions, and modules whose arguments all have defaults. */
bool library_check(Compiler *c, File *file);
/* Elaborates every function and module of a file for training, with small sizes that are made up, and
 * hands over each graph with the tensors that result; what does not fit such sizes is left out. */
enum { LIBRARY_RESULTS = 8 };
typedef void LibraryVisit(void *context, Str name, const Graph *graph, size_t n,
                          const NodeId *results);
typedef struct LibraryRule {     /* an update rule for one small parameter */
    Str name;
    const Graph *graph;
    NodeId p, g, p0, t, next;    /* next: p' */
    size_t n;
    const NodeId *states;
    const Init *first;           /* of the states */
} LibraryRule;
typedef void LibraryRuleVisit(void *context, const LibraryRule *rule);
/* rule, NULL or: handed every update rule for a vector and a matrix, where it updates such. */
void library_visit(Compiler *c, File *file, LibraryVisit *visit, LibraryRuleVisit *rule,
                   void *context);

#endif
