/* `data` items: their knobs, the fields of a batch, and what the files at hand say. A source and its
 * arguments are in source.c; the readers themselves are in the runtime. */
#include <string.h>

#include "model/recipe.h"

static const char *const splits[] = {"train", "valid", "test"};
enum { SPLITS = 3 };

/* --- fields ---------------------------------------------------------------------------------- */
typedef struct Split {
    const Ast *knob;
    HoneSource *source;
    size_t n;
    HoneField fields[HONE_MAX_FIELDS];
    bool known;
} Split;

/* Names of classes or columns: their numbers are places among these. */
typedef struct Names {
    size_t n;
    const char *const *at;
} Names;

static Names names_keep(Arena *arena, Names names)
{
    const char **copy = NEW_ARRAY(arena, const char *, names.n + 1);
    for (size_t i = 0; i < names.n; i++) {
        copy[i] = str_c(arena, str_of(names.at[i]));
    }
    return (Names){names.n, copy};
}

/* A class or a column is a number in the data and a name only here: the splits must number alike.
 * what: "class"; all: "classes". */
static Diag *names_agree(RecipeBuild *b, const Split *split, Names train, Names here,
                         const char *what, const char *all)
{
    size_t i = 0;
    while (i < here.n && i < train.n && strcmp(here.at[i], train.at[i]) == 0) {
        i++;
    }
    if (i == here.n && i == train.n) {
        return NULL;
    }
    Diag *d = diag(&b->c->diags, E506, split->knob->name, "`" STR_FMT "` has other %s than `train`",
                   STR_ARG(split->knob->text), all);
    diag_label(d, "%zu %s, `train` has %zu", here.n, all, train.n);
    diag_note(d, "%s %zu is `%s` here and `%s` in `train`", what, i,
              i < here.n ? here.at[i] : "(none)", i < train.n ? train.at[i] : "(none)");
    return d;
}

static bool classes_agree(RecipeBuild *b, const Split *split, RecipeData *facts, HoneDataset *data)
{
    Names here, train = {facts->n_classes, facts->classes};
    here.n = hone_data_classes(data, &here.at);
    /* Labels that are words in one file and numbers in the other do not mean the same. */
    bool both = facts->reader != NULL && strcmp(facts->reader, split->source->reader) == 0;
    if (here.n == 0 && !both) {
        return true;
    }
    if (train.n == 0 && !both) {
        here = names_keep(b->c->arena, here);
        facts->n_classes = here.n;
        facts->classes = here.at;
        return true;
    }
    Diag *d = names_agree(b, split, train, here, "class", "classes");
    bool folders = strcmp(split->source->reader, "images") == 0;
    if (d != NULL && (here.n == 0 || train.n == 0)) {
        diag_help(d, "write all labels as words, or all as whole numbers");
    } else if (d != NULL) {
        diag_help(d, "give both the same %s: a class's number is its place among them",
                  folders ? "sub-folders" : "classes");
    }
    return d == NULL;
}

static bool columns_agree(RecipeBuild *b, const Split *split, RecipeData *facts, HoneDataset *data)
{
    Names here, train = {facts->n_columns, facts->columns};
    here.n = hone_data_columns(data, &here.at);
    if (here.n == 0) {
        return true;
    }
    if (train.n == 0) {
        here = names_keep(b->c->arena, here);
        facts->n_columns = here.n;
        facts->columns = here.at;
        return true;
    }
    Diag *d = names_agree(b, split, train, here, "column", "columns");
    if (d != NULL) {
        diag_help(d, "give both the same columns in the same order, the target left out");
    }
    return d == NULL;
}

static void add_ranges(RecipeBuild *b, const HoneDataset *data, size_t n, RecipeData *facts)
{
    if (facts->low == NULL) {
        facts->low = NEW_ARRAY(b->c->arena, int64_t, n + 1);
        facts->high = NEW_ARRAY(b->c->arena, int64_t, n + 1);
        for (size_t i = 0; i <= n; i++) {
            facts->low[i] = INT64_MAX;
            facts->high[i] = INT64_MIN;
        }
        facts->n_fields = n;
    }
    for (size_t i = 0; i < n && i < facts->n_fields; i++) {
        int64_t low, high;
        if (hone_data_range(data, i, &low, &high)) {
            facts->low[i] = low < facts->low[i] ? low : facts->low[i];
            facts->high[i] = high > facts->high[i] ? high : facts->high[i];
        }
    }
}

static bool copy_fields(RecipeBuild *b, Split *split, HoneDataset *data, RecipeData *facts,
                        size_t which)
{
    const HoneField *fields;
    size_t n = hone_data_fields(data, &fields);
    split->n = n;
    for (size_t i = 0; i < split->n; i++) {
        split->fields[i] = fields[i];
        split->fields[i].name = str_c(b->c->arena, str_of(fields[i].name));
    }
    split->known = true;
    facts->count[which] = hone_data_count(data);
    add_ranges(b, data, split->n, facts);
    bool ok = classes_agree(b, split, facts, data) && columns_agree(b, split, facts, data);
    facts->label = hone_data_label(data);
    facts->reader = facts->reader != NULL ? facts->reader : split->source->reader;
    return ok;
}

static bool split_fields(RecipeBuild *b, Split *split, RecipeData *facts, size_t which)
{
    HoneError error = {0};
    HoneDataset *data =
        hone_data_open(b->c->sys, split->source, str_c(b->c->arena, b->c->root_dir), &error);
    if (data != NULL) {
        bool ok = copy_fields(b, split, data, facts, which);
        facts->loading[which] = hone_data_loading(data, (uint32_t)b->n_lengths, b->lengths);
        hone_data_close(data);
        return ok;
    }
    Span span = split->knob->kids[0]->span;
    if (!b->without_files || !recipe_missing(&error)) {
        recipe_file_error(b, &error, span);
        return false;
    }
    split->known = hone_reader_fields(split->source, &split->n, split->fields, HONE_MAX_FIELDS);
    if (b->silent) {
        return true;
    }
    Diag *d =
        diag(&b->c->diags, N521, span, "the data cannot be read: its samples were not checked");
    diag_label(d, "%s", error.message);
    if (!split->known) {
        diag_note(d, "the fields depend on the file: the step was not checked");
    }
    return true;
}

static Str field_text(Arena *arena, const HoneField *field)
{
    Str dims = dims_text(arena, field->rank, field->dims);
    return str_format(arena, "%s %s" STR_FMT, field->name, dtype_name((DType)field->dtype),
                      STR_ARG(dims));
}

static bool fields_agree(RecipeBuild *b, const Split *a, const Split *other)
{
    if (!a->known || !other->known) {
        return true;
    }
    Buf left = buf_new(b->c->arena), right = buf_new(b->c->arena);
    for (size_t i = 0; i < a->n; i++) {
        buf_printf(&left, "%s" STR_FMT, i > 0 ? ", " : "",
                   STR_ARG(field_text(b->c->arena, &a->fields[i])));
    }
    for (size_t i = 0; i < other->n; i++) {
        buf_printf(&right, "%s" STR_FMT, i > 0 ? ", " : "",
                   STR_ARG(field_text(b->c->arena, &other->fields[i])));
    }
    if (str_eq(buf_str(&left), buf_str(&right))) {
        return true;
    }
    Diag *d = diag(&b->c->diags, E506, other->knob->name,
                   "`" STR_FMT "` and `" STR_FMT "` have different fields",
                   STR_ARG(other->knob->text), STR_ARG(a->knob->text));
    diag_note(d, "`" STR_FMT "` (one sample): " STR_FMT, STR_ARG(a->knob->text),
              STR_ARG(buf_str(&left)));
    diag_note(d, "`" STR_FMT "` (one sample): " STR_FMT, STR_ARG(other->knob->text),
              STR_ARG(buf_str(&right)));
    return false;
}

/* --- the item -------------------------------------------------------------------------------- */
static bool batch_knob(RecipeBuild *b, const Ast *knob, HoneData *data)
{
    if (!recipe_int(b, knob->kids[0], &data->batch)) {
        return false;
    }
    if (data->batch >= 1 && data->batch <= INT32_MAX) {
        return true;
    }
    Diag *d =
        diag(&b->c->diags, E516, knob->kids[0]->span, "`batch` must be from 1 to %d", INT32_MAX);
    diag_label(d, "this is %lld", (long long)data->batch);
    return false;
}

static bool shuffle_knob(RecipeBuild *b, const Ast *knob, HoneData *data)
{
    Value v = elab_expr(b->build, b->scope, knob->kids[0]);
    data->shuffle = v.i != 0;
    if (v.kind != VALUE_BOOL && v.kind != VALUE_POISON) {
        Diag *d = diag(&b->c->diags, E106, knob->kids[0]->span, "`shuffle` is true or false");
        diag_label(d, "this is %s", value_kind_name(&v));
    }
    return v.kind == VALUE_BOOL;
}

static bool data_knob(RecipeBuild *b, const Ast *knob, HoneData *data, Split *split)
{
    for (size_t i = 0; i < SPLITS; i++) {
        if (str_is(knob->text, splits[i])) {
            split[i].knob = knob;
            split[i].source = source_build(b, knob->kids[0]);
            return split[i].source != NULL;
        }
    }
    if (str_is(knob->text, "batch")) {
        return batch_knob(b, knob, data);
    }
    if (str_is(knob->text, "shuffle")) {
        return shuffle_knob(b, knob, data);
    }
    if (str_is(knob->text, "length")) {
        return true; /* read before the sources */
    }
    static const Str names[] = {{"train", 5}, {"valid", 5},  {"test", 4},
                                {"batch", 5}, {"length", 6}, {"shuffle", 7}};
    Diag *d = diag(&b->c->diags, E501, knob->name, "`data` has no knob `" STR_FMT "`",
                   STR_ARG(knob->text));
    diag_note(d, "its knobs are train valid test batch length shuffle");
    if (str_is(knob->text, "skip_bad") || str_is(knob->text, "workers")) {
        diag_help(d, "`" STR_FMT "` is a knob of the recipe: write it in `finetune`",
                  STR_ARG(knob->text));
        return false;
    }
    help_nearest(d, knob->text, sizeof names / sizeof *names, names);
    return false;
}

/* length = 128, or [64, 128]: a graph for each. */
static bool length_knob(RecipeBuild *b, const Ast *knob)
{
    Value v = elab_expr(b->build, b->scope, knob->kids[0]);
    size_t n = v.kind == VALUE_LIST ? v.n : 1;
    const Value *items = v.kind == VALUE_LIST ? v.items : &v;
    int64_t *lengths = NEW_ARRAY(b->c->arena, int64_t, n + 1);
    bool ok = n >= 1 && n <= HONE_MAX_LENGTHS;
    for (size_t i = 0; i < n && ok; i++) {
        lengths[i] = items[i].i;
        ok = items[i].kind == VALUE_INT && lengths[i] >= 1 && lengths[i] <= HONE_LONGEST &&
             (i == 0 || lengths[i] > lengths[i - 1]);
    }
    b->n_lengths = ok ? n : 0;
    b->lengths = lengths;
    if (!ok && v.kind != VALUE_POISON) {
        Diag *d = diag(&b->c->diags, E516, knob->kids[0]->span,
                       "`length` is a whole number, or at most %d of them, the smallest first",
                       HONE_MAX_LENGTHS);
        diag_help(d, "for instance `length = [64, 128]`");
    }
    return ok;
}

static bool data_knobs(RecipeBuild *b, const Ast *item, HoneData *data, Split *split)
{
    bool ok = true;
    const Ast *body = item->kids[0];
    b->n_lengths = 0;
    for (size_t i = 0; i < body->n; i++) {
        if (body->kids[i]->kind == AST_KNOB && str_is(body->kids[i]->text, "length")) {
            ok = length_knob(b, body->kids[i]) && ok;
        }
    }
    for (size_t i = 0; i < body->n; i++) {
        const Ast *knob = body->kids[i], *first = NULL;
        for (size_t k = 0; k < i && first == NULL; k++) {
            first = str_eq(body->kids[k]->text, knob->text) ? body->kids[k] : NULL;
        }
        if (knob->kind != AST_KNOB) {
            ok = false;
        } else if (first != NULL) {
            Diag *d = diag(&b->c->diags, E510, knob->name, "knob `" STR_FMT "` stands twice",
                           STR_ARG(knob->text));
            diag_note_at(d, first->name, "", "the first one");
            ok = false;
        } else {
            ok = data_knob(b, knob, data, split) && ok;
        }
    }
    const char *missing = split[0].knob == NULL ? "train" : data->batch == 0 ? "batch" : NULL;
    if (ok && missing != NULL) {
        Diag *d = diag(&b->c->diags, E511, item->name, "data `" STR_FMT "` has no `%s`",
                       STR_ARG(item->text), missing);
        diag_help(d, str_is(str_of(missing), "batch") ? "add `batch = 32`"
                                                      : "add `train = images(\"folder\", …)`");
        ok = false;
    }
    return ok;
}

static bool add_data(RecipeBuild *b, const Ast *item)
{
    HoneData data = {.name = str_c(b->c->arena, item->text), .shuffle = true};
    Split *split = NEW_ARRAY(b->c->arena, Split, SPLITS);
    if (!data_knobs(b, item, &data, split)) {
        return false;
    }
    RecipeData facts = {.span = item->name, .count = {-1, -1, -1}};
    bool ok = true;
    for (size_t i = 0; i < SPLITS; i++) {
        if (split[i].source != NULL) {
            split[i].source->skip_bad = split[i].source->headers_only = b->r->skip_bad;
            ok = split_fields(b, &split[i], &facts, i) && ok;
            ok = ok && (i == 0 || fields_agree(b, &split[0], &split[i]));
            split[i].source->headers_only = false;
        }
    }
    if (b->most_batch > 0 && data.batch > b->most_batch) {
        data.batch = b->most_batch;
    }
    data.n_lengths = (uint32_t)b->n_lengths;
    data.lengths = b->lengths;
    const char *what;
    int64_t samples = data_samples(&data, &facts, &what);
    if (ok && samples >= 0 && samples < data.batch) {
        Diag *d = diag(&b->c->diags, E516, split[0].knob->name,
                       "`train` has fewer samples than a "
                       "batch");
        diag_label(d, "%lld %s, batch %lld", (long long)samples, what, (long long)data.batch);
        diag_help(d, "lower `batch`");
        ok = false;
    }
    data.train = split[0].source;
    data.valid = split[1].source;
    data.test = split[2].source;
    facts.n_fields = split[0].n;
    facts.fields = split[0].fields;
    facts.known = split[0].known;
    VEC_PUSH(b->c->arena, b->r->data, data);
    VEC_PUSH(b->c->arena, b->r->facts, facts);
    return ok;
}

int64_t data_samples(const HoneData *data, const RecipeData *facts, const char **what)
{
    bool several = data->n_lengths > 1;
    *what = several ? "samples of one length" : "samples";
    return several && facts->count[0] >= 0 ? hone_loading_most(&facts->loading[0]) : facts->count[0];
}

bool data_build(RecipeBuild *b, const Ast *clause, uint32_t *index)
{
    const Ast *name = clause->kids[0];
    for (*index = 0; *index < b->r->data.len; ++*index) {
        if (str_eq(str_of(b->r->data.at[*index].name), name->text)) {
            return true;
        }
    }
    const Ast *item = file_item(b->file, AST_DATA, name->text);
    if (item != NULL) {
        return add_data(b, item);
    }
    VEC(Str) names = {0};
    const Ast *tree = file_tree(b->file);
    for (size_t i = 0; i < tree->n; i++) {
        if (tree->kids[i]->kind == AST_DATA) {
            VEC_PUSH(b->c->arena, names, tree->kids[i]->text);
        }
    }
    Diag *d = diag(&b->c->diags, E101, name->span, "no data is called `" STR_FMT "`",
                   STR_ARG(name->text));
    help_nearest(d, name->text, names.len, names.at);
    return false;
}

Batch *data_batch(RecipeBuild *b, uint32_t data, int64_t samples)
{
    Arena *arena = b->c->arena;
    const RecipeData *facts = &b->r->facts.at[data];
    Batch *batch = NEW(arena, Batch);
    batch->data = str_of(b->r->data.at[data].name);
    batch->n = facts->n_fields;
    batch->fields = NEW_ARRAY(arena, BatchField, facts->n_fields + 1);
    for (size_t i = 0; i < facts->n_fields; i++) {
        const HoneField *field = &facts->fields[i];
        BatchField *to = &batch->fields[i];
        *to = (BatchField){.name = str_of(field->name),
                           .dtype = (DType)field->dtype,
                           .rank = field->rank + 1,
                           .node = NODE_NONE};
        to->dims[0] = samples;
        for (size_t k = 0; k < field->rank && k + 1 < MAX_RANK; k++) {
            to->dims[k + 1] = field->dims[k];
        }
        if (b->length > 0 && field->rank > 0) {
            to->dims[1] = b->length;
        }
    }
    return batch;
}
