/* Selectors of recipes: patterns [except patterns] [where condition] over keys. What the clauses do
 * with what is selected is theirs. */
#include "model/recipe.h"

bool select_pattern_ok(RecipeBuild *b, const Ast *pattern)
{
    Str why;
    if (pattern_valid(pattern->text, &why)) {
        return true;
    }
    Diag *d = diag(&b->c->diags, E401, pattern->span, "invalid pattern");
    diag_label(d, STR_FMT, STR_ARG(why));
    return false;
}

static void list_names(Buf *out, size_t n, const Str *names)
{
    enum { MOST = 8 };
    for (size_t i = 0; i < n && i < MOST; i++) {
        buf_printf(out, "%s`" STR_FMT "`", i > 0 ? ", " : "", STR_ARG(names[i]));
    }
    if (n > MOST) {
        buf_printf(out, ", … (%zu in all)", n);
    }
}

void select_nothing(RecipeBuild *b, const Ast *pattern, const char *what, size_t n, const Str *keys)
{
    Diag *d = diag(&b->c->diags, E401, pattern->span, "pattern matches no %s", what);
    PatternHint hint = pattern_hint(b->c->arena, pattern->text, keys, n);
    Buf names = buf_new(b->c->arena);
    list_names(&names, hint.names.len, hint.names.at);
    Str list = buf_str(&names);
    if (hint.reached.len > 0) {
        diag_label(d, "nothing below `" STR_FMT "` is called `" STR_FMT "`", STR_ARG(hint.reached),
                   STR_ARG(hint.missing));
        if (hint.names.len > 0 && !str_starts(hint.reached, STR("**"))) {
            diag_note(d, "`" STR_FMT "` has " STR_FMT, STR_ARG(hint.reached), STR_ARG(list));
        }
    } else {
        diag_label(d, "nothing is called `" STR_FMT "`", STR_ARG(hint.missing));
        if (hint.names.len > 0) {
            diag_note(d, "there are " STR_FMT, STR_ARG(list));
        }
    }
    if (hint.suggestion.len > 0) {
        diag_help(d, "did you mean \"" STR_FMT "\"?", STR_ARG(hint.suggestion));
        diag_edit(d, pattern->span,
                  str_format(b->c->arena, "\"" STR_FMT "\"", STR_ARG(hint.suggestion)));
    }
}

static bool candidate_matches(Str pattern, const Candidate *c)
{
    bool matches = pattern_matches(pattern, c->key);
    for (size_t i = 0; i < c->n_aliases && !matches; i++) {
        matches = pattern_matches(pattern, c->aliases[i]);
    }
    return matches;
}

static void report_nothing(RecipeBuild *b, const Ast *pattern, SelectOf of, size_t n,
                           const Candidate *candidates)
{
    if (of == SELECT_FILE) {
        diag(&b->c->diags, W407, pattern->span, "the file has no key that matches \"" STR_FMT "\"",
             STR_ARG(pattern->text));
        return;
    }
    VEC(Str) keys = {0};
    for (size_t i = 0; i < n; i++) {
        VEC_PUSH(b->c->arena, keys, candidates[i].key);
        for (size_t k = 0; k < candidates[i].n_aliases; k++) {
            VEC_PUSH(b->c->arena, keys, candidates[i].aliases[k]);
        }
    }
    select_nothing(b, pattern, of == SELECT_PARAMETERS ? "parameter" : "parameter or state",
                   keys.len, keys.at);
}

/* Sets selected[i] to `value` for what any of the patterns matches. */
static bool apply(RecipeBuild *b, const Ast *patterns, SelectOf of, size_t n,
                  const Candidate *candidates, bool *selected, bool value)
{
    bool ok = true;
    for (size_t k = 0; patterns != NULL && k < patterns->n; k++) {
        const Ast *pattern = patterns->kids[k];
        if (pattern->kind != AST_STRING || !select_pattern_ok(b, pattern)) {
            ok = false;
            continue;
        }
        bool any = false;
        for (size_t i = 0; i < n; i++) {
            if (candidate_matches(pattern->text, &candidates[i])) {
                selected[i] = value;
                any = true;
            }
        }
        if (!any) {
            report_nothing(b, pattern, of, n, candidates);
            ok = ok && of == SELECT_FILE;
        }
    }
    return ok;
}

static bool condition(RecipeBuild *b, const Ast *where, const Candidate *c, bool *holds)
{
    Scope *scope = scope_new(b->c->arena, b->scope, b->file, NULL);
    scope_set(scope, STR("rank"), value_int((int64_t)c->rank), where->span);
    scope_set(scope, STR("size"), value_int(c->elements), where->span);
    if (b->depth != NULL && c->variable != HONE_NONE) {
        if (b->depth[c->variable] < 0 && ast_reads(where, STR("depth"))) {
            *holds = false; /* in no layer: E504 if it trains */
            return true;
        }
        scope_set(scope, STR("depth"), value_int(b->depth[c->variable]), where->span);
    }
    return eval_bool(b->build, scope, where, holds);
}

bool select_among(RecipeBuild *b, const Ast *select, SelectOf of, size_t n,
                  const Candidate *candidates, bool *selected)
{
    for (size_t i = 0; i < n; i++) {
        selected[i] = false;
    }
    bool ok = apply(b, select->kids[0], of, n, candidates, selected, true);
    size_t matched = 0, left = 0;
    for (size_t i = 0; i < n; i++) {
        matched += selected[i];
    }
    ok = apply(b, select->kids[1], of, n, candidates, selected, false) && ok;
    for (size_t i = 0; ok && select->kids[2] != NULL && i < n; i++) {
        bool holds = true;
        if (selected[i] && !condition(b, select->kids[2], &candidates[i], &holds)) {
            return false;
        }
        selected[i] = selected[i] && holds;
    }
    for (size_t i = 0; i < n; i++) {
        left += selected[i];
    }
    bool looped = b->stage != NULL && b->stage->looped; /* often so in the last turn */
    if (ok && matched > 0 && left == 0 && !looped) {
        Diag *d = diag(&b->c->diags, W505, select->span, "nothing is selected");
        diag_label(d, "`%s` leaves none of %zu", select->kids[2] != NULL ? "where" : "except",
                   matched);
    }
    return ok;
}

bool select_variables(RecipeBuild *b, const Ast *select, SelectOf of, Str prefix, bool *selected)
{
    Model *model = b->r->model;
    Arena *arena = b->c->arena;
    Candidate *candidates = NEW_ARRAY(arena, Candidate, model->variables.len + 1);
    size_t *index = NEW_ARRAY(arena, size_t, model->variables.len + 1), n = 0;
    Str dot = prefix.len > 0 ? str_format(arena, STR_FMT ".", STR_ARG(prefix)) : prefix;
    for (size_t i = 0; i < model->variables.len; i++) {
        const Variable *v = model->variables.at[i];
        selected[i] = false;
        bool other = (of == SELECT_PARAMETERS && v->is_state) || (of == SELECT_BASE && v->of_adapter);
        if (other || !str_starts(v->key, dot)) {
            continue;
        }
        Str *aliases = NEW_ARRAY(arena, Str, v->aliases.len + 1);
        size_t n_aliases = 0;
        for (size_t k = 0; k < v->aliases.len; k++) {
            Str alias = v->aliases.at[k];
            if (str_starts(alias, dot)) {
                aliases[n_aliases++] = (Str){alias.ptr + dot.len, alias.len - dot.len};
            }
        }
        candidates[n] = (Candidate){.key = {v->key.ptr + dot.len, v->key.len - dot.len},
                                    .aliases = aliases,
                                    .n_aliases = n_aliases,
                                    .rank = v->rank,
                                    .variable = v->index,
                                    .elements = v->elements};
        index[n++] = i;
    }
    bool *among = NEW_ARRAY(arena, bool, n + 1);
    bool ok = select_among(b, select, of, n, candidates, among);
    for (size_t i = 0; i < n; i++) {
        selected[index[i]] = among[i];
    }
    return ok;
}

/* --- instances ------------------------------------------------------------------------------------- */
static void collect(RecipeBuild *b, Instance *in, Instances *all)
{
    VEC_PUSH(b->c->arena, *all, in);
    for (size_t i = 0; i < in->children.len; i++) {
        collect(b, in->children.at[i], all);
    }
}

/* The topmost instances at or below the pattern's node: of an array all elements, of a path that only
 * shapes keys what stands below it. */
static bool selects(Str pattern, const Instance *in)
{
    Str node;
    return in->path.len > 0 && matching_node(pattern, in->path, &node) &&
           (in->parent == NULL || in->parent->path.len < node.len);
}

static bool apply_instances(RecipeBuild *b, const Ast *patterns, const Instances *all, bool value,
                            bool *chosen)
{
    bool ok = true;
    Str *paths = NEW_ARRAY(b->c->arena, Str, all->len + 1);
    for (size_t k = 0; patterns != NULL && k < patterns->n; k++) {
        const Ast *pattern = patterns->kids[k];
        if (pattern->kind != AST_STRING || !select_pattern_ok(b, pattern)) {
            ok = false;
            continue;
        }
        bool any = false;
        size_t n = 0;
        for (size_t i = 0; i < all->len; i++) {
            Str path = all->at[i]->path;
            bool hit = value ? selects(pattern->text, all->at[i])
                             : path.len > 0 && pattern_matches(pattern->text, path);
            chosen[i] = hit ? value : chosen[i];
            any = any || hit;
            if (path.len > 0) {
                paths[n++] = path;
            }
        }
        if (!any) {
            select_nothing(b, pattern, "module", n, paths);
            ok = false;
        }
    }
    return ok;
}

bool select_instances(RecipeBuild *b, const Ast *clause, Instances *to)
{
    const Ast *select = clause->kids[0];
    Instances all = {0};
    for (size_t i = 0; i < b->r->model->roots.len; i++) {
        collect(b, b->r->model->roots.at[i], &all);
    }
    if (select->kids[2] != NULL) {
        Diag *d = diag(&b->c->diags, E004, select->kids[2]->span, "`%s` takes no `where`",
                       ast_kind_name(clause->kind));
        diag_help(d, "conditions are on tensors, this selects modules: use patterns and `except`");
        return false;
    }
    bool *chosen = NEW_ARRAY(b->c->arena, bool, all.len + 1);
    if (!apply_instances(b, select->kids[0], &all, true, chosen) ||
        !apply_instances(b, select->kids[1], &all, false, chosen)) {
        return false;
    }
    for (size_t i = 0; i < all.len; i++) {
        Instance *in = all.at[i];
        if (chosen[i] && !(in->parent != NULL && str_eq(in->parent->path, in->path))) {
            VEC_PUSH(b->c->arena, *to, in);
        }
    }
    if (to->len == 0) {
        Diag *d = diag(&b->c->diags, W505, select->span, "nothing is selected");
        diag_label(d, "`except` leaves no module");
    }
    return true;
}
