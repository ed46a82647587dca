/* Knobs of a recipe and of its stages: one table of what there is, and their values. Knobs of
 * `data` are in data.c, hyperparameters in group.c. */

#include "model/recipe.h"

typedef enum KnobKind {
    KNOB_AMOUNT, /* a float above 0 */
    KNOB_COUNT,  /* an int, 0 or more */
    KNOB_STEPS,  /* an int above 0 */
    KNOB_BOOL,
    KNOB_MONITOR, /* max(metric), min(metric) */
    KNOB_RATE,    /* a float of the step clock */
    KNOB_PRECISION,
    KNOB_MEMORY /* a text: a number and its unit; memory.c */
} KnobKind;

static const struct {
    const char *name;
    KnobKind kind;
    bool in_stage;
} knobs[] = {
    {"epochs", KNOB_AMOUNT, true},  {"steps", KNOB_STEPS, true},
    {"every", KNOB_STEPS, true},    {"checkpoint", KNOB_STEPS, true},
    {"patience", KNOB_COUNT, true}, {"monitor", KNOB_MONITOR, true},
    {"clip", KNOB_RATE, true},      {"accumulate", KNOB_STEPS, true},
    {"seed", KNOB_COUNT, false},    {"workers", KNOB_COUNT, false},
    {"skip_bad", KNOB_BOOL, false}, {"precision", KNOB_PRECISION, true},
    {"ema", KNOB_RATE, true},      {"memory", KNOB_MEMORY, false},
};
enum { KNOBS = sizeof knobs / sizeof *knobs };

static bool precision(RecipeBuild *b, const Ast *knob)
{
    const Ast *value = knob->kids[0];
    if (value->kind != AST_NAME || !(str_is(value->text, "f32") || str_is(value->text, "bf16"))) {
        Diag *d = diag(&b->c->diags, E103, value->span, "unknown precision");
        diag_help(d, "`precision` is `f32` or `bf16`");
        return false;
    }
    return true;
}

bool knob_check(RecipeBuild *b, const Ast *knob, bool in_stage)
{
    Str names[KNOBS];
    for (size_t i = 0; i < KNOBS; i++) {
        names[i] = str_of(knobs[i].name);
        if (!str_eq(knob->text, names[i])) {
            continue;
        }
        if (in_stage && !knobs[i].in_stage) {
            Diag *d = diag(&b->c->diags, E501, knob->name, "`%s` is a knob of the whole run",
                           knobs[i].name);
            diag_help(d, "write it in the recipe, above the stages");
            return false;
        }
        return knobs[i].kind != KNOB_PRECISION || precision(b, knob);
    }
    b->knob_refused = true;
    Diag *d =
        diag(&b->c->diags, E501, knob->name, "unknown knob `" STR_FMT "`", STR_ARG(knob->text));
    Str near = str_nearest(knob->text, names, KNOBS);
    const char *help = foreign_help(FOREIGN_KNOB, knob->text);
    if (help != NULL) {
        diag_help(d, "%s", help);
    } else if (near.len > 0) {
        diag_help(d, "did you mean `" STR_FMT "`?", STR_ARG(near));
        diag_edit(d, knob->name, near);
    } else {
        diag_help(d, "the knobs are epochs steps every checkpoint patience monitor clip "
                     "accumulate ema seed workers skip_bad precision memory");
    }
    return false;
}

const Ast *knob_find(RecipeBuild *b, const Ast *stage, const char *name)
{
    for (size_t i = 0; stage != NULL && i < stage->kids[0]->n; i++) {
        const Ast *clause = stage->kids[0]->kids[i];
        if (clause->kind == AST_KNOB && str_is(clause->text, name)) {
            return clause;
        }
    }
    for (size_t i = 0; i < b->knobs.len; i++) {
        if (str_is(b->knobs.at[i]->text, name)) {
            return b->knobs.at[i];
        }
    }
    return NULL;
}

DType knob_real(RecipeBuild *b, const Ast *stage)
{
    const Ast *knob = knob_find(b, stage, "precision");
    return knob != NULL && str_is(knob->kids[0]->text, "bf16") ? DT_BF16 : DT_F32;
}

static bool refuse(RecipeBuild *b, const Ast *knob, const char *wants, double value)
{
    Diag *d = diag(&b->c->diags, E516, knob->kids[0]->span, "`" STR_FMT "` must be %s",
                   STR_ARG(knob->text), wants);
    diag_label(d, "this is %g", value);
    return false;
}

static bool count(RecipeBuild *b, const Ast *knob, int64_t least, int64_t *value)
{
    if (knob == NULL) {
        return true;
    }
    int64_t n;
    if (!recipe_int(b, knob->kids[0], &n)) {
        return false;
    }
    if (n < least) {
        return refuse(b, knob, least == 0 ? "0 or more" : "1 or more", (double)n);
    }
    *value = n;
    return true;
}

static const int64_t most_workers = 1024;

bool knobs_of_run(RecipeBuild *b)
{
    int64_t seed = 0;
    const Ast *workers = knob_find(b, NULL, "workers");
    bool ok = count(b, knob_find(b, NULL, "seed"), 0, &seed);
    ok = count(b, workers, 0, &b->r->workers) && ok;
    ok = (b->r->workers <= most_workers ||
          refuse(b, workers, "at most 1024", (double)b->r->workers)) && ok;
    b->r->seed = (uint64_t)seed;
    const Ast *skip = knob_find(b, NULL, "skip_bad");
    if (skip != NULL) {
        Value v = elab_expr(b->build, b->scope, skip->kids[0]);
        if (v.kind == VALUE_BOOL) {
            b->r->skip_bad = v.i != 0;
        } else if (v.kind != VALUE_POISON) {
            Diag *d = diag(&b->c->diags, E106, skip->kids[0]->span, "`skip_bad` is true or false");
            diag_label(d, "this is %s", value_kind_name(&v));
            ok = false;
        }
    }
    return ok;
}

/* The steps of 64 stages add up. */
static const double most_epochs = 1e6;
static const int64_t most_steps = 1000000000000;
static const int64_t most_parts = 1000000;      /* of an update; their samples are counted in 64 bits */

/* epochs or steps: what the stage says hides what the recipe says. */
static bool length(RecipeBuild *b, const Ast *stage, RecipeStage *to)
{
    const Ast *epochs = knob_find(b, stage, "epochs"), *steps = knob_find(b, stage, "steps");
    if (epochs != NULL && steps != NULL && stage != NULL) {
        bool own_epochs = epochs != knob_find(b, NULL, "epochs");
        bool own_steps = steps != knob_find(b, NULL, "steps");
        epochs = own_steps && !own_epochs ? NULL : epochs;
        steps = own_epochs && !own_steps ? NULL : steps;
    }
    if (epochs != NULL && steps != NULL) {
        Diag *d = diag(&b->c->diags, E510, steps->name, "`epochs` and `steps` both say how long");
        diag_note_at(d, epochs->name, "", "the other one");
        diag_help(d, "keep one of them");
        return false;
    }
    if (epochs == NULL && steps == NULL && b->knob_refused) {
        return false;
    }
    if (epochs == NULL && steps == NULL) {
        Diag *d = diag(&b->c->diags, E511, stage != NULL ? stage->name : b->item->name,
                       "%s `" STR_FMT "` has neither `epochs` nor `steps`",
                       stage != NULL ? "stage" : "recipe",
                       STR_ARG(stage != NULL ? stage->text : b->item->text));
        diag_help(d, "add `epochs = 3`");
        return false;
    }
    if (steps != NULL) {
        return count(b, steps, 1, &to->steps) &&
               (to->steps <= most_steps || refuse(b, steps, "at most 1e12", (double)to->steps));
    }
    if (!recipe_number(b, epochs->kids[0], &to->epochs)) {
        return false;
    }
    return (to->epochs > 0 || refuse(b, epochs, "above 0", to->epochs)) &&
           (to->epochs <= most_epochs || refuse(b, epochs, "at most 1e6", to->epochs));
}

typedef VEC(Str) Names;

/* Does the block of a `step` or `remember` clause define the metric? Adds the names that it defines. */
static bool metric_of(RecipeBuild *b, const Ast *clause, Str name, Names *names)
{
    bool found = false;
    const Ast *block = clause->kids[1];
    for (size_t i = 0; i < block->n; i++) {
        if (block->kids[i]->kind == AST_METRIC) {
            VEC_PUSH(b->c->arena, *names, block->kids[i]->text);
            found = found || str_eq(block->kids[i]->text, name);
        }
    }
    return found;
}

static bool monitor(RecipeBuild *b, const Ast *knob, RecipeStage *to)
{
    const Ast *call = knob->kids[0];
    bool form = call->kind == AST_REDUCE_CALL && call->n == 1 &&
                (str_is(call->text, "max") || str_is(call->text, "min")) &&
                call->kids[0]->kind == AST_NAME;
    if (!form) {
        Diag *d =
            diag(&b->c->diags, E507, call->span, "`monitor` is `max(metric)` or `min(metric)`");
        diag_help(d, "for instance `monitor = max(accuracy)`");
        return false;
    }
    const Ast *name = call->kids[0];
    Names names = {0};
    bool of_step = metric_of(b, b->step, name->text, &names), found = of_step;
    for (size_t i = 0; i < b->remembers.len && !found; i++) {
        found = metric_of(b, b->remembers.at[i], name->text, &names);
    }
    to->monitor = name->text;
    to->monitor_max = str_is(call->text, "max");
    if (!found) {
        Diag *d = diag(&b->c->diags, E507, name->span, "no metric is called `" STR_FMT "`",
                       STR_ARG(name->text));
        diag_note_at(d, b->step->name, "",
                     names.len > 0 ? "the step's metrics are declared here"
                                   : "the step declares no metric");
        help_nearest(d, name->text, names.len, names.at);
        return false;
    }
    if (of_step && b->r->data.len > 0 && b->r->data.at[0].valid == NULL) {
        Diag *d = diag(&b->c->diags, E507, knob->name, "`monitor` needs `valid` data");
        diag_help(d, "give data `%s` a `valid = …`", b->r->data.at[0].name);
        return false;
    }
    return true;
}

static bool enough_samples(RecipeBuild *b, const Ast *knob, int64_t parts)
{
    const char *what = "";
    int64_t samples = -1;
    if (b->r->facts.len > 0) {
        samples = data_samples(&b->r->data.at[0], &b->r->facts.at[0], &what);
    }
    if (knob == NULL || samples < 0 || samples >= parts * b->r->data.at[0].batch) {
        return true;
    }
    Diag *d = diag(&b->c->diags, E516, knob->kids[0]->span, "`train` has fewer samples than an update");
    diag_label(d, "%lld %s, an update takes %lld batches of %lld", (long long)samples, what,
               (long long)parts, (long long)b->r->data.at[0].batch);
    diag_help(d, "lower `accumulate` or `batch`");
    return false;
}

static bool parts(RecipeBuild *b, const Ast *knob, int64_t *n)
{
    *n = 1;
    if (!count(b, knob, 1, n)) {
        return false;
    }
    if (*n > most_parts) {
        refuse(b, knob, "at most 1e6", (double)*n);
        *n = 1;
        return false;
    }
    return enough_samples(b, knob, *n);
}

bool knobs_of_stage(RecipeBuild *b, const Ast *stage, RecipeStage *to)
{
    bool ok = length(b, stage, to);
    ok = count(b, knob_find(b, stage, "every"), 1, &to->every) && ok;
    ok = count(b, knob_find(b, stage, "checkpoint"), 1, &to->checkpoint) && ok;
    const Ast *patience = knob_find(b, stage, "patience");
    ok = count(b, patience, 0, &to->patience) && ok;
    ok = parts(b, knob_find(b, stage, "accumulate"), &to->accumulate) && ok;
    const Ast *watch = knob_find(b, stage, "monitor");
    ok = (watch == NULL || monitor(b, watch, to)) && ok;
    if (patience != NULL && watch == NULL && !b->knob_refused) {
        Diag *d = diag(&b->c->diags, W505, patience->name, "`patience` has no effect");
        diag_label(d, "there is no `monitor`");
    }
    return ok;
}
