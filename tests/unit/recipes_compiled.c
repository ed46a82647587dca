/* recipes_compiled: whole recipes, and recipes with words exchanged, through every pass and in compiled
 * code: what the graphs of a recipe compute is what the interpreter says of them as they were
 * elaborated. The programs are in golden/compiled. */
#include "support/world.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support/edits.h"
#include "support/files.h"
#include "support/planned.h"

enum { EDITED = 60, MOST_ELEMENTS_COMPARED = 300000 };

static World world;
static Edits edits;
static size_t compared;

static int setup(void **state)
{
    (void)state;
    world_open(&world);
    size_t n, bytes;
    char **names = hone_list_dir(&world.sys, TEST_DIR "/golden/compiled", &n);
    assert_non_null(names);
    for (size_t i = 0; i < n; i++) {
        char path[1024];
        snprintf(path, sizeof path, TEST_DIR "/golden/compiled/%s", names[i]);
        if (str_ends(str_of(names[i]), STR(".hone"))) {
            edits_take(&edits, path);
        }
    }
    hone_free(&world.sys, names);
    char *data = file_get(TEST_DIR "/golden/compiled/d.safetensors", &bytes);
    file_put(in_folder(world.folder, "d.safetensors"), data, bytes);
    free(data);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    edits_free(&edits);
    world_close(&world);
    return 0;
}

/* Equal leaves of two graphs of one recipe have equal values. */
static double leaf_value(const Node *node, int64_t i)
{
    double wave = sin(1.0 + (double)(str_hash(node->name) % 1000) + 1.7 * (double)i);
    if (node->kind == NODE_STEP) {
        return node->name.ptr[0] == 't' ? 3 : 0.375;
    }
    if (!dtype_is_float(node->dtype)) {
        return (double)(i % 3);
    }
    return (double)(float)(node->kind == NODE_STATE ? 0.125 * fabs(wave) : wave);
}

static double **leaves(const Graph *g)
{
    double **values = NEW_ARRAY(g->arena, double *, g->nodes.len);
    for (size_t i = 0; i < g->nodes.len; i++) {
        const Node *node = &g->nodes.at[i];
        int64_t n = node->kind == NODE_EQUATION || node->kind == NODE_CONSTANT ? 0
                                                                               : node_elements(node);
        values[i] = n > 0 ? NEW_ARRAY(g->arena, double, (size_t)n) : NULL;
        for (int64_t k = 0; k < n; k++) {
            values[i][k] = leaf_value(node, k);
        }
    }
    return values;
}

/* The largest difference relative to the output's scale; a number that is no f32 ends the comparison. */
static bool same_values(const double *a, const double *b, int64_t n, double tolerance, bool *usual)
{
    double scale = 1e-3;
    for (int64_t i = 0; i < n; i++) {
        *usual = *usual && fabs(a[i]) < 1e30;
        scale = *usual ? fmax(scale, fabs(a[i])) : scale;
    }
    for (int64_t i = 0; *usual && i < n; i++) {
        if (!(fabs(a[i] - b[i]) < tolerance * scale)) {
            return false;
        }
    }
    return true;
}

static bool rounds(const Graph *g)
{
    bool any = false;
    for (size_t i = 0; i < g->nodes.len; i++) {
        any = any || dtype_is_short(g->nodes.at[i].dtype);
    }
    return any;
}

static void compare(const char *what, const Graph *before)
{
    int64_t elements = 0;
    for (size_t i = 0; before != NULL && i < before->nodes.len; i++) {
        elements += node_elements(&before->nodes.at[i]);
    }
    if (elements == 0 || elements > MOST_ELEMENTS_COMPARED) {
        return;
    }
    Arena *arena = arena_new(&world.mem, "compare");
    const Graph *after = planned_passes(arena, before, target_host());
    /* Where values are rounded to bf16, a last bit may become a whole one of those. */
    bool rounded = rounds(before);
    Interp a = {.graph = before, .arena = arena, .values = leaves(before), .seed = 5, .step = 3, .rounds = rounded};
    Interp b = {.graph = after, .arena = arena, .values = leaves(after), .seed = 5, .step = 3, .rounds = rounded};
    if (!interp_run(&a)) {
        return;                                      /* a subscript by data is out of range */
    }
    assert_true(interp_run(&b));
    assert_int_equal(before->outputs.len, after->outputs.len);
    bool usual = true;
    for (size_t i = 0; i < after->outputs.len; i++) {
        NodeId x = before->outputs.at[i].value, y = after->outputs.at[i].value;
        int64_t n = node_elements(graph_node(before, x));
        assert_int_equal(n, node_elements(graph_node(after, y)));
        if (!same_values(a.values[x], b.values[y], n, rounded ? 1e-2 : 1e-6, &usual)) {
            fail_msg("%s: the passes changed output `%.*s`", what,
                     STR_ARG(after->outputs.at[i].name));
        }
    }
    if (!usual) {
        return;
    }
    PlannedResult r = planned_compare(arena, after, &b, target_host());
    if (r.why[0] != '\0' || !(r.error < (rounded ? 1e-2 : 1e-4))) {
        fail_msg("%s: %s", what, r.why);
    }
    compared++;
}

static bool run_text(const char *text)
{
    world_put(&world, "t.hone", text);
    Recipe *r = world_recipe(&world, world_load(&world, "t.hone"), false);
    for (size_t i = 0; r != NULL && i < r->stages.len; i++) {
        compare(text, r->stages.at[i].train);
        compare(text, r->stages.at[i].count);
        compare(text, r->stages.at[i].update);
    }
    if (r != NULL) {
        compare(text, r->stages.at[0].eval);
        compare(text, r->predict);
    }
    return r != NULL;
}

static void test_whole(void **state)
{
    (void)state;
    for (size_t i = 0; i < edits.n_texts; i++) {
        if (!run_text(edits.texts[i])) {
            fail_msg("%s\n%.*s", edits.texts[i], STR_ARG(world_text(&world)));
        }
    }
    assert_true(compared >= 3 * edits.n_texts - 1);
}

static void test_edited(void **state)
{
    (void)state;
    uint64_t seed = getenv("HONE_SEED") != NULL ? strtoull(getenv("HONE_SEED"), NULL, 10) : 61;
    static char text[EDIT_LONGEST];
    compared = 0;
    for (int i = 0; i < EDITED; i++) {
        edits_next(&edits, &seed, 1, text);
        run_text(text);
    }
    assert_true(compared > EDITED / 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_whole), cmocka_unit_test(test_edited)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
