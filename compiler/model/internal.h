/* internal: what the files of model/ share about elaboration and nobody else needs. */
#ifndef HONE_MODEL_INTERNAL_H
#define HONE_MODEL_INTERNAL_H

#include "model/model.h"
#include "passes/passes.h"

/* --- names.c ---------------------------------------------------------------------------------- */
struct File {
    Str name;                    /* as in `use` */
    Str path;                    /* as read; empty for the standard library */
    bool is_std;
    const Ast *tree;
    Map items;                   /* names but data, finetune, stage -> Ast */
    VEC(File *) imports;
    Map lets;                    /* name -> LetValue: evaluated build-clock values */
    bool loading;
};
/* An item by name among a file's own, then its imports. Diagnoses a clash (E105) at span. */
const Ast *file_lookup(Compiler *c, File *file, Str name, Span span, File **where);
File *file_import(const File *file, Str name);
/* " did you mean" help: the nearest of the names, if near. */
void help_nearest(Diag *d, Str name, size_t n, const Str *names);
bool name_is_reserved(Str name);         /* training pi inf total count */
Str span_place(Compiler *c, Arena *arena, Span span);    /* "gpt2.hone:21:33" */
/* The text of a command-line setting for an option, NULL if there is none. */
const OptionSetting *option_setting(const Compiler *c, Str name);

/* --- value.c ---------------------------------------------------------------------------------- */
typedef struct Binding {
    Value value;
    Span span;
    bool is_index;
} Binding;
struct Scope {
    Arena *arena;
    Scope *outer;
    File *file;
    Instance *self;              /* whose members are visible by bare name */
    Instance *instance;          /* whose `training` and random numbers apply */
    Map names;                   /* -> Binding */
    const Ast *body;             /* of a function: to explain names that some path leaves unset */
};
const Binding *scope_find(const Scope *scope, Str name);
void scope_set_index(Scope *scope, Str name, Value value, Span span);
const char *value_kind_name(const Value *value);   /* "an int", "a tensor" */
Str value_text(Arena *arena, const Value *value);
bool value_is_number(const Value *value);          /* INT or FLOAT */
bool value_equal(const Value *a, const Value *b);
Value value_list(size_t n, const Value *items);
Value value_instance(Instance *instance);

/* --- foreign.c: what is written here instead ---------------------------------------------------- */
typedef enum ForeignKind { FOREIGN_NAME, FOREIGN_MEMBER, FOREIGN_KNOB } ForeignKind;
const char *foreign_help(ForeignKind kind, Str name);      /* NULL: nothing is known of it */
Str std_home(Str name);                   /* the library that declares it, "nn"; empty: none */

/* --- instance.c ------------------------------------------------------------------------------- */
bool init_exists(Str name);               /* of an initialiser: "zeros", "kaiming_uniform" … */
typedef enum MemberKind { MEMBER_VARIABLE, MEMBER_INSTANCE, MEMBER_ARRAY } MemberKind;
typedef struct Member {
    MemberKind kind;
    Variable *variable;
    Instance *instance;
    size_t n;
    Instance **array;
    Span span;
    bool is_alias;               /* made by `tie` */
} Member;
/* The member whose declared path is the longest beginning of segs[0..n); *used segments. */
Member *instance_member(Elab *e, const Instance *instance, size_t n, const Str *segs, size_t *used);
const Ast *module_function(const Ast *module, Str name);
/* The `if` under which the module declares a path, if it does; for E302. */
const Ast *module_conditional(const Ast *module, Str path, const Ast **decl);
bool instance_trainable(const Elab *e, const Instance *instance, bool *any);
bool init_eval(Elab *e, Scope *scope, const Ast *expr, Init *init);

/* --- elab.c ------------------------------------------------------------------------------------ */
typedef struct Frame {           /* a call or an instantiation in progress */
    const Ast *what;             /* FN or MODULE */
    Instance *self;
    Str path;                    /* of the instance it works for */
    Span span;                   /* of the call */
    NodeId first;                /* of the nodes that it makes */
    struct Frame *up;
    size_t depth;
} Frame;

typedef struct Known {           /* lo <= position <= hi where the expression is evaluated */
    const Position *position;
    int64_t lo, hi;
} Known;

typedef struct Memo {            /* value of an expression that scanning for extents evaluated */
    const Ast *ast;
    Value value;
} Memo;

typedef struct Prime {           /* next values of an optimizer's update */
    Str name;
    Value old, value;
    bool set;
    size_t depth;                /* of the block that set it */
    DType dtype;
    size_t rank;
    const int64_t *dims;
    Span span;
} Prime;

typedef struct UsedStates {      /* which states of a rule exist: optimizer.c */
    const Hyper *hypers;
    size_t rank;
    int64_t dims[MAX_RANK];
    bool *used;
} UsedStates;

typedef struct BlockRun {        /* a block in execution: primes may be read before their line */
    const Ast *block;
    const Ast *stmt;             /* that is being run */
    Scope *scope;
    bool *done;
    struct BlockRun *up;
} BlockRun;

struct ElabState {
    VEC(const Var *) shared;     /* variables of whole arrays: by distance from the end, extent */
    VEC(size_t) shared_from_end;
    const Var *flat;             /* stands for the row-major element number in pending draws */
    VEC(const Var *) ambient;    /* index variables in scope, outermost first */
    size_t subscripts;           /* > 0 while a subscript is evaluated: names are indices */
    VEC(Known) known;
    VEC(Memo) memo;
    Frame *frame;
    int effort;                  /* rounds of loops, calls and instances so far */
    Map draws;                   /* instance path -> int64_t: random draws met so far */
    Map steps;                   /* option name -> NodeId + 1 */
    VEC(NodeId) step_nodes;      /* materialised step-clock scalars … */
    VEC(const Scalar *) step_bodies;   /* … by expression */
    bool deferred;               /* graph NULL: a step-clock value was met */
    size_t n_primes;             /* inside an optimizer's update */
    Prime *primes;
    BlockRun *run;
    const Instance *adapted;     /* while the wrapper of it is made or folded into it */
    bool merging;                /* parameters may be given next values */
    VEC(RecipeCall) again;       /* of instances that are or can be computed again */
    const Variable *updated;     /* the parameter an optimizer's update is elaborated for */
    VEC(UsedStates) used;
};

/* Adds a diagnostic and notes in which call or instance it arose. */
Diag *elab_error(Elab *e, DiagCode code, Span span, const char *fmt, ...) HONE_PRINTF(4, 5);
Arena *elab_arena(const Elab *e);
Value elab_variable(Elab *e, Variable *v, Span span);
Value elab_field(Elab *e, Batch *batch, Str name, Span span);
NodeId elab_step_leaf(Elab *e, Str name);          /* progress, epoch, t */
Value elab_option(Elab *e, File *file, const Ast *option);
enum { MOST_EFFORT = 100000 };
/* One more round, call or instance; false beyond the limit (E211, once): the graph would never end. */
bool elab_effort(Elab *e, Span span);
bool frame_push(Elab *e, Frame *frame, const Ast *what, Instance *self, Instance *where, Span span);
void frame_pop(Elab *e);

/* --- array.c ------------------------------------------------------------------------------------ */
/* A tensor that need not be a node yet: an element expression over the shared variable of each
 * dimension (counted from the end, so suffixes of equal size share them and broadcasting needs no
 * renaming) and over the index variables in scope (Elab ambient). */
typedef struct Array {
    DType dtype;                 /* that a node of it is kept in; a body kept in less is f32 till then */
    size_t rank;
    int64_t dims[MAX_RANK];
    const Str *names;            /* of the dimensions, NULL when unknown */
    const Scalar *body;          /* NULL for index arithmetic */
    const Position *position;    /* rank 0: an int of index arithmetic */
    NodeId base;                 /* reads of this node as it stands … */
    size_t n_lead;               /* … at these leading positions; base NODE_NONE: not so */
    const Position *lead[MAX_RANK];
    ReduceOp reduce;             /* pending: over `reduced` */
    size_t n_reduced;
    const Var *reduced[MAX_RANK];
    bool draws;                  /* holds random draws that wait for their shape (state->flat) */
    bool integral;               /* step clock: a whole number (t) */
} Array;

const Var *shared_var(Elab *e, size_t from_end, int64_t extent);
const Var *array_var(Elab *e, const Array *a, size_t dim);
Value array_value(Elab *e, const Array *a, Clock clock, Span span);
Value array_of_node(Elab *e, NodeId node, Clock clock, Span span);
Value array_scalar(Elab *e, const Scalar *body, Clock clock, Span span);
Value array_index(Elab *e, const Position *p, Span span);
/* Any number, bool, list or tensor as an array of the tensor or step clock; false after E106. */
bool array_from(Elab *e, const Value *v, Array *a);
const Scalar *array_body(Elab *e, const Array *a);            /* index arithmetic as a scalar */
void array_settle(Elab *e, Array *a);     /* makes pending reductions nodes */
void array_draw(Elab *e, Array *a);       /* binds pending draws to the array's own shape */
void array_node(Elab *e, Array *a, Str name, Span span);      /* base becomes valid */
/* As array_node, but the body's own variables are these; they become the shared ones. */
void array_define(Elab *e, Array *a, const Var *const *own, Str name, Span span);
bool array_strong(Elab *e, const Value *v, Array *a);   /* array_from; step values become f32 */
void array_cast(Elab *e, Array *a, DType dtype);
Str dims_text(Arena *arena, size_t rank, const int64_t *dims);
/* One element expression from arrays brought to one shape; false after E206. */
bool arrays_broadcast(Elab *e, size_t n, Array **arrays, size_t *rank, int64_t *dims, Span span,
                      const char *what);
/* The dtype at which values meet: build and step floats are weak. */
DType values_dtype(size_t n, const Value *values);
Clock values_clock(size_t n, const Value *values);
/* In what a value computed of these, in dtype, is kept: real if all that have a float dtype are real. */
DType real_dtype(const Elab *e, size_t n, const Value *values, DType dtype);
/* op over values of one shape after widening to `in`; the result has the dtype of sc_fn, or is real. */
Value array_map(Elab *e, ScalarOp op, DType in, size_t n, const Value *args, Span span);
const Position *scalar_position(Elab *e, const Scalar *s);

/* --- lookup.c ------------------------------------------------------------------------------------- */
typedef enum MeaningKind {
    MEANING_NONE,                /* reported */
    MEANING_VALUE, MEANING_FN, MEANING_BUILTIN, MEANING_MODULE, MEANING_OPTIMIZER
} MeaningKind;
typedef struct Meaning {
    MeaningKind kind;
    Value value;
    const Ast *item;             /* FN, MODULE, OPTIMIZER */
    File *file;                  /* where the item stands */
    Instance *self;              /* FN: of a module */
    Str name;
} Meaning;
Meaning lookup(Elab *e, Scope *scope, const Ast *expr);
Meaning lookup_path(Elab *e, Scope *scope, Str dotted, Span span);

/* --- expr.c --------------------------------------------------------------------------------------- */
Value eval(Elab *e, Scope *scope, const Ast *expr);
Value eval_binary(Elab *e, Str op, const Value *a, const Value *b, const Ast *at);
bool eval_bool(Elab *e, Scope *scope, const Ast *expr, bool *value);    /* conditions: E604, E208 */
bool value_bool_of(Elab *e, const Value *v, const Ast *expr, bool *value);
Value build_fn(Elab *e, ScalarOp op, size_t n, const Value *args, Span span);

/* --- read.c ------------------------------------------------------------------------------------------- */
Value eval_subscript(Elab *e, Scope *scope, const Ast *expr);

/* --- equation.c -------------------------------------------------------------------------------------- */
Str object_name(const Ast *object);      /* what is read, for messages */
void wrong_subscripts(Elab *e, const Ast *read, const Array *a);             /* E212 */
Value eval_reduce(Elab *e, Scope *scope, const Ast *expr);
Value eval_reduce_call(Elab *e, Scope *scope, const Ast *expr);
/* y[i, j < J] = right: the tensor. */
Value eval_definition(Elab *e, Scope *scope, const Ast *lhs, const Ast *right);

/* --- function.c -------------------------------------------------------------------------------------- */
Value eval_call(Elab *e, Scope *scope, const Ast *expr);
Value call_function(Elab *e, const Meaning *fn, Scope *scope, size_t n, Ast *const *args,
                    const Ast *call);
/* Arguments by position and name: slots[i] is the argument for params->kids[i], NULL if absent. */
bool match_arguments(Elab *e, const Ast *params, size_t n, Ast *const *args, Span call, Str what,
                     const Ast **slots);
/* A build- or step-clock argument (int, float, bool, string, module …) of a declared type. */
Value convert_scalar(Elab *e, const Ast *param, Str type, Value value, Span span, Str what);
Str param_type(Elab *e, const Ast *param, const Value *fallback);
bool type_dtype(Elab *e, Str name, Span span, DType *dtype);   /* E101 for others */
bool eval_dims(Elab *e, Scope *scope, const Ast *type, size_t *rank, int64_t *dims);
bool bind_dims(Elab *e, Scope *scope, const Ast *type, const Array *a, Span at, Str callee,
               Str *names);
Value convert_tensor(Elab *e, Value value, DType dtype, Span span);

/* --- statement.c ------------------------------------------------------------------------------------- */
/* Runs a block; true if it returned, with the result in *result. */
bool run_block(Elab *e, Scope *scope, const Ast *block, Value *result);
Value read_prime(Elab *e, Scope *scope, const Ast *primed);
bool iterate(Elab *e, Scope *scope, const Ast *iter, size_t *n, Value **items);

/* --- branch.c ---------------------------------------------------------------------------------------- */
/* `if` on a value of the step clock, inside an update. */
void run_step_if(Elab *e, Scope *scope, const Ast *stmt, const Value *condition);
size_t run_depth(const Elab *e);         /* of blocks in execution */

/* --- lint.c ------------------------------------------------------------------------------------------- */
void lint_file(Compiler *c, const File *file);       /* W209, W210 of it and what it uses */
bool ast_reads(const Ast *ast, Str name);

/* --- builtin.c ----------------------------------------------------------------------------------------- */
bool builtin_exists(Str name);
size_t builtin_names(const Str **names);
Value builtin_constant(Elab *e, Scope *scope, Str name, Span span);   /* pi inf training */
/* intrinsic.c: a function of whole matrices; args are values */
Value intrinsic_value(Elab *e, Str name, size_t n, const Value *args, const Ast *call);
Value builtin_call(Elab *e, Scope *scope, Str name, size_t n, Ast *const *args, const Ast *call);
Value select_value(Elab *e, const Value *args, const Ast *at);    /* of a condition and two values */

#endif
