/* std_values: the standard library, and what equations can say, against numpy: elaborated, run by the double-precision
 * interpreter, compared with data/std_values.txt, which parity/std_values.py writes and describes.
 */
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

#include "model/internal.h"
#include "support/files.h"

enum { FIELDS = 6, MOST = 512 };

static World world;

static int setup(void **state)
{
    (void)state;
    world_open(&world);
    size_t n;
    char *text = file_get(TEST_DIR "/data/language.hone", &n);
    assert_non_null(text);
    file_put(in_folder(world.folder, "language.hone"), text, n);
    free(text);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    world_close(&world);
    return 0;
}

static double pattern(int64_t k, int64_t i)
{
    return (double)((7 * i + 3 * k) % 11 - 5) / 4;
}

typedef struct Case {
    char *field[FIELDS];   /* name, made, expression, shapes, training, values */
    const Ast *made, *out; /* of the two lets */
    File *file;
    Model *model;
    Elab *e;
    Scope *scope;
} Case;

static void load(Case *c)
{
    char text[2048];
    snprintf(text, sizeof text,
             "use nn, losses, optim, sched, language\n"
             "fn open() {\n  y[b < 2, t < 3, u < 5] = 0.0\n  return y\n}\n"
             "let made = %s\nlet out = %s\n",
             strcmp(c->field[1], "-") == 0 ? "0" : c->field[1], c->field[2]);
    world_put(&world, "t.hone", text);
    c->file = world_load(&world, "t.hone");
    assert_non_null(c->file);
    c->made = file_item(c->file, AST_LET, STR("made"))->kids[0];
    c->out = file_item(c->file, AST_LET, STR("out"))->kids[0];
    c->model = model_new(&world.c);
    c->scope = scope_new(world.c.arena, NULL, c->file, NULL);
}

/* "2,3; 4": leaves x, y, z */
static void add_inputs(Case *c)
{
    static const char *const names[] = {"x", "y", "z"};
    const char *shapes = c->field[3];
    int64_t dims[MAX_RANK], below;
    size_t rank;
    for (size_t k = 0; k < 3 && world_shape(&shapes, &rank, dims, &below); k++) {
        NodeId node = graph_leaf(c->e->graph, NODE_INPUT, DT_F32, rank, dims, str_of(names[k]),
                                 (uint32_t)k, (Span){0});
        Value value = array_of_node(c->e, node, CLOCK_TENSOR, (Span){0});
        scope_set(c->scope, str_of(names[k]), value, (Span){0});
    }
}

static double leaf_value(const Node *node, int64_t i)
{
    bool variance = str_ends(node->name, STR("running_var"));
    double value = pattern(node->kind == NODE_INPUT ? 20 + node->variable : node->variable, i);
    return variance ? value * value : value;
}

static double **fill_leaves(const Graph *g)
{
    double **values = NEW_ARRAY(g->arena, double *, g->nodes.len);
    for (size_t i = 0; i < g->nodes.len; i++) {
        const Node *node = &g->nodes.at[i];
        bool leaf =
            node->kind == NODE_INPUT || node->kind == NODE_PARAM || node->kind == NODE_STATE;
        int64_t n = leaf ? node_elements(node) : 0;
        values[i] = leaf ? NEW_ARRAY(g->arena, double, (size_t)n) : NULL;
        for (int64_t k = 0; k < n; k++) {
            values[i][k] = leaf_value(node, k);
        }
    }
    return values;
}

static void collect(const Graph *g, double *const *values, NodeId node, double *got, size_t *n)
{
    int64_t elements = node_elements(graph_node(g, node));
    for (int64_t i = 0; i < elements && *n < MOST; i++) {
        got[(*n)++] = values[node][i];
    }
}

static void run_graph(Case *c, NodeId out, double *got, size_t *n)
{
    Graph *g = c->e->graph;
    assert_null(graph_verify(g, world.c.arena));
    Interp interp = {.graph = g, .arena = g->arena, .values = fill_leaves(g)};
    assert_true(interp_run(&interp));
    collect(g, interp.values, out, got, n);
    for (size_t i = 0; i < c->model->variables.len; i++) {
        if (c->e->next_nodes[i] != NODE_NONE) {
            collect(g, interp.values, c->e->next_nodes[i], got, n);
        }
    }
}

static void run_expression(Case *c, double *got, size_t *n)
{
    if (c->made->kind == AST_CALL) {
        Instance *in = model_instance(&world.c, c->model, c->made, c->scope, (Str){0});
        assert_non_null(in);
        scope_set(c->scope, STR("m"), value_instance(in), (Span){0});
    }
    bool training = c->field[4][0] == '1';
    c->e = elab_new(&world.c, c->model, graph_new(world.c.arena), training, NULL);
    add_inputs(c);
    Value value = elab_expr(c->e, c->scope, c->out);
    if (value.kind == VALUE_TENSOR) {
        run_graph(c, value.node, got, n);
        return;
    }
    if (value.kind == VALUE_POISON) {
        return;                                      /* reported */
    }
    assert_int_equal(value.kind, VALUE_LIST);
    for (size_t i = 0; i < value.n; i++) {
        got[(*n)++] =
            value.items[i].kind == VALUE_INT ? (double)value.items[i].i : value.items[i].f;
    }
}

/* Constants are f32: 0.1 is off by 1.5e-9 of itself. */
static bool same(const char *name, const double *got, size_t n, char *wants)
{
    size_t i = 0;
    bool ok = true;
    for (char *end; ok && *wants != '\0' && *wants != '\n'; i++) {
        double want = strtod(wants, &end);
        wants = end + strspn(end, " ");
        ok = i < n && fabs(got[i] - want) <= 2e-6 * (1 + fabs(want));
        if (!ok) {
            print_error("%s, number %zu: %.9g, wanted %.9g\n", name, i,
                        i < n ? got[i] : (double)NAN, want);
        }
    }
    if (ok && i != n) {
        print_error("%s: %zu numbers, wanted %zu\n", name, n, i);
    }
    return ok && i == n;
}

static bool run_case(char *line)
{
    Case c = {0};
    for (size_t i = 0; i < FIELDS; i++) {
        c.field[i] = line;
        char *bar = strchr(line, '|');
        assert_true(bar != NULL || i == FIELDS - 1);
        if (bar != NULL) {
            bar[-1] = '\0';
            line = bar + 2;
        }
    }
    load(&c);
    double got[MOST];
    size_t n = 0;
    if (world.c.diags.errors == 0) {
        run_expression(&c, got, &n);
    }
    if (world.c.diags.errors > 0) {
        print_error("%s:\n%.*s", c.field[0], STR_ARG(world_text(&world)));
        return false;
    }
    return same(c.field[0], got, n, c.field[5]);
}

static void test_values(void **state)
{
    (void)state;
    size_t bytes, rows = 0, failed = 0;
    char *text = file_get(TEST_DIR "/data/std_values.txt", &bytes);
    assert_non_null(text);
    for (char *line = text, *end; *line != '\0'; line = end + 1, rows++) {
        end = strchr(line, '\n');
        *end = '\0';
        failed += !run_case(line);
    }
    free(text);
    assert_true(rows > 60);
    assert_int_equal(failed, 0);
}

/* In training about p of the elements are 0, the others are divided by 1 - p; steps differ. */
static void test_dropout(void **state)
{
    (void)state;
    char name[] = "dropout", none[] = "-", expr[] = "dropout(x, 0.25)", shape[] = "40,50";
    Case c = {.field = {name, none, expr, shape, NULL, NULL}};
    load(&c);
    c.e = elab_new(&world.c, c.model, graph_new(world.c.arena), true, NULL);
    add_inputs(&c);
    Value value = elab_expr(c.e, c.scope, c.out);
    assert_int_equal(value.kind, VALUE_TENSOR);
    Graph *g = c.e->graph;
    size_t zeros[2] = {0}, differ = 0;
    double *first = NULL;
    for (uint64_t step = 0; step < 2; step++) {
        Interp interp = {
            .graph = g, .arena = g->arena, .values = fill_leaves(g), .seed = 7, .step = step};
        assert_true(interp_run(&interp));
        double *y = interp.values[value.node];
        for (int64_t i = 0; i < 2000; i++) {
            double x = pattern(20, i);
            zeros[step] += x != 0 && y[i] == 0;
            differ += first != NULL && first[i] != y[i];
            assert_true(y[i] == 0 || fabs(y[i] - x / 0.75) < 1e-6);
        }
        first = y;
    }
    for (size_t i = 0; i < 2; i++) { /* 1818 are not 0: 454 ± 18 */
        assert_in_range(zeros[i], 380, 530);
    }
    assert_true(differ > 300);
}

/* Is there a value of it? */
static char *values;

static bool known(Str name)
{
    const char *at = values;
    char call[64];
    snprintf(call, sizeof call, STR_FMT "(", STR_ARG(name));
    while ((at = strstr(at, call)) != NULL && strchr(" [(", at[-1]) == NULL) {
        at++;
    }
    return at != NULL;
}

static void test_whole_library(void **state)
{
    (void)state;
    size_t bytes;
    values = file_get(TEST_DIR "/data/std_values.txt", &bytes);
    assert_non_null(values);
    assert_int_equal(world_unknown(&world, "nn", known) + world_unknown(&world, "losses", known) +
                         world_unknown(&world, "sched", known),
                     0);
    free(values);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_values),
                                       cmocka_unit_test(test_dropout),
                                       cmocka_unit_test(test_whole_library)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
