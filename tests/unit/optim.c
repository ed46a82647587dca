/* optim: twenty steps of every update rule, in the double-precision interpreter and in compiled code,
 * against their references (data/optim.safetensors, which parity/optim.py writes and describes), and
 * the states that each rule keeps.
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

#include "hone/hone.h"
#include "model/internal.h"
#include "support/planned.h"

enum { STEPS = 20, PARAMS = 4, STATES = 8, MOST = 16 };

typedef struct Case {
    const char *name, *call; /* in calls, `mu` is a number of the step clock: 0.9 */
    size_t states;           /* of the last parameter */
    bool matrices, squares;
    const char *reference;   /* NULL: name */
    const char *state;       /* what is compared; NULL: the parameters */
} Case;

static const Case cases[] = {
    {"sgd", "SGD(lr = 0.1, decay = 0.1)", .states = 0},
    {"sgd_momentum", "SGD(lr = 0.1, momentum = 0.9, decay = 0.01)", .states = 1},
    {"sgd_momentum_step", "SGD(lr = 0.1, momentum = mu, decay = 0.01)", .states = 1,
     .reference = "sgd_momentum"},
    {"sgd_dampened", "SGD(lr = 0.1, momentum = 0.8, dampening = 0.3)", .states = 1},
    {"sgd_nesterov", "SGD(lr = 0.1, momentum = 0.9, nesterov = true)", .states = 1},
    {"lion", "Lion(lr = 0.01)", .states = 1},
    {"adagrad", "Adagrad(lr = 0.1)", .states = 1},
    {"adagrad_slower", "Adagrad(lr = 0.1, lr_decay = 0.1, decay = 0.1, start = 0.5)", .states = 1},
    {"adadelta", "Adadelta(decay = 0.1)", .states = 2},
    {"rmsprop", "RMSprop(decay = 0.1)", .states = 1},
    {"rmsprop_centred", "RMSprop(momentum = 0.9, centred = true)", .states = 3},
    {"adam", "Adam(lr = 0.1, decay = 0.1)", .states = 2},
    {"adam_amsgrad", "Adam(lr = 0.1, b1 = 0.8, b2 = 0.9, amsgrad = true)", .states = 3},
    {"adamw", "AdamW(lr = 0.1, decay = 0.1)", .states = 2},
    {"adamw_amsgrad", "AdamW(lr = 0.1, b1 = 0.8, b2 = 0.9, decay = 0.01, amsgrad = true)", .states = 3},
    {"adamax", "Adamax(lr = 0.1, decay = 0.1)", .states = 2},
    {"nadam", "NAdam(lr = 0.1, decay = 0.1)", .states = 3},
    {"radam", "RAdam(lr = 0.1, decay = 0.1)", .states = 2},
    {"radam_short", "RAdam(lr = 0.1, b2 = 0.9)", .states = 2},
    {"adan", "Adan(lr = 0.1, decay = 0.1)", .states = 4},
    {"adafactor", "Adafactor(lr = 0.1, decay = 0.1)", .states = 2},
    {"adafactor_clipped", "Adafactor(lr = 0.5, most = 1.5)", .states = 2},
    {"lars", "LARS(lr = 0.5, trust = 0.01, decay = 0.05)", .states = 1},
    {"lamb", "LAMB(lr = 0.1, decay = 0.1)", .states = 2},
    {"schedule_free_sgd", "ScheduleFreeSGD(lr = 0.1, decay = 0.1)", .states = 3},
    {"schedule_free_adamw", "ScheduleFreeAdamW(lr = 0.1, decay = 0.1)", .states = 4},
    {"schedule_free_sgd_x", "ScheduleFreeSGD(lr = 0.1, decay = 0.1, average = true)", .states = 4,
     .state = "x"},
    {"schedule_free_adamw_x", "ScheduleFreeAdamW(lr = 0.1, decay = 0.1, average = true)",
     .states = 5, .state = "x"},
    {"turns", "Turns()", .states = 2, .reference = "sgd_momentum"},
    {"short", "Short()", .states = 2},
    {"muon", "Muon(lr = 0.1, momentum = 0.9, decay = 0.1)", .states = 1, .matrices = true},
    {"shampoo", "Shampoo(lr = 0.1, every = 1, eps = 0.5)", .states = 4, .matrices = true},
    {"shampoo_seldom", "Shampoo(lr = 0.1, every = 6, eps = 0.5)", .states = 4, .matrices = true},
    {"soap", "SOAP(lr = 0.05, b1 = 0.9, b2 = 0.8, decay = 0.1, every = 3)", .states = 6,
     .squares = true},
};
enum { CASES = sizeof cases / sizeof *cases };

/* SGD with momentum, said three ways by turns: what a branch defines, and what it leaves alone. */
static const char turns[] =
    "optimizer Turns(lr = 0.1) {\n"
    "  state v: f32[..] = zeros()\n"
    "  state unused: f32[..] = zeros()\n"
    "  state seen: f32 = zeros()\n"
    "  fn update(p: f32[..], g: f32[..], t: int) {\n"
    "    d = g + 0.01 * p\n"
    "    if t % 3 == 1 { rate = lr; v' = 0.9 * v + d; seen' = seen + 1 }\n"
    "    else if t % 3 == 2 { rate = 0.5 * (lr + lr); v' = d + 0.9 * v }\n"
    "    else { rate = lr; v' = (v - 0.1 * v) + d }\n"
    "    p' = p - rate * v' - select(seen > t, 1.0, 0.0)\n"
    "  }\n"
    "}\n"
    /* states that are rounded when they are kept */
    "optimizer Short(lr = 0.1) {\n"
    "  state m: bf16[..] = zeros()\n"
    "  state v: f16[..] = zeros()\n"
    "  fn update(p: f32[..], g: f32[..], t: int) {\n"
    "    if t > 0 { m' = 0.887 * m + (1 - 0.887) * g }\n"
    "    v' = 0.813 * v + (1 - 0.813) * g^2\n"
    "    p' = p - lr * m' / (sqrt(v') + 1e-3)\n"
    "  }\n"
    "}\n";

typedef struct Tensor { /* a parameter or one of its states */
    NodeId leaf, next;  /* NODE_NONE: it stays */
    int64_t elements;
    double now[2][MOST]; /* interpreted, compiled */
} Tensor;

typedef struct Run {
    Graph *graph;
    Elab *e;
    size_t n_params, n;     /* tensors, parameters first */
    Tensor tensors[PARAMS + PARAMS * STATES];
    size_t compared[PARAMS]; /* tensors */
    NodeId gradients[PARAMS], t, mu;
} Run;

static World world;

/* --- the graph: one update of every parameter ------------------------------------------------- */
static void add_tensor(Run *run, NodeKind kind, DType dtype, size_t rank, const int64_t *dims,
                       Str name, double fill, bool eye)
{
    Tensor *tensor = &run->tensors[run->n];
    tensor->leaf = graph_leaf(run->graph, kind, dtype, rank, dims, name, (uint32_t)run->n,
                              (Span){0});
    tensor->next = NODE_NONE;
    tensor->elements = node_elements(graph_node(run->graph, tensor->leaf));
    assert_true(tensor->elements <= MOST);
    for (int64_t i = 0; i < tensor->elements; i++) {
        int64_t k = (int64_t)run->n;
        bool param = kind == NODE_PARAM, off = eye && i / dims[1] != i % dims[1];
        double value = param ? ((double)((29 * i + 17 * k) % 32) - 15.5) / 16 : off ? 0 : fill;
        tensor->now[0][i] = tensor->now[1][i] = value;
    }
    run->n++;
}

static void add_params(Run *run, const Case *c, Variable *v)
{
    static const Variable all[] = {{.rank = 0}, {.rank = 1, .dims = {3}},
                                   {.rank = 2, .dims = {2, 3}},
                                   {.rank = 4, .dims = {2, 1, 2, 2}}};
    static const Variable flat[] = {{.rank = 2, .dims = {2, 3}}, {.rank = 2, .dims = {4, 2}}};
    static const Variable squares[] = {{.rank = 2, .dims = {3, 3}}, {.rank = 2, .dims = {4, 4}}};
    run->n_params = c->matrices || c->squares ? 2 : 4;
    for (size_t k = 0; k < run->n_params; k++) {
        v[k] = c->matrices ? flat[k] : c->squares ? squares[k] : all[k];
        v[k].key = STR("p");
        v[k].dtype = DT_F32;
        add_tensor(run, NODE_PARAM, DT_F32, v[k].rank, v[k].dims, STR("p"), 0, false);
        v[k].elements = run->tensors[k].elements;
        Str name = str_format(world.c.arena, "g%zu", k);
        run->gradients[k] =
            graph_leaf(run->graph, NODE_INPUT, DT_F32, v[k].rank, v[k].dims, name, 0, (Span){0});
    }
}

static size_t add_update(Run *run, const Case *c, const OptimizerUse *use, const Variable *v,
                         size_t k)
{
    OptimizerState *list;
    size_t n, first = run->n;
    assert_true(optimizer_states(run->e, use, v, &n, &list));
    NodeId leaves[STATES + 1], next[STATES + 1];
    assert_true(n <= STATES);
    run->compared[k] = k;
    for (size_t i = 0; i < n; i++) {
        bool eye = list[i].init.kind == HONE_INIT_EYE;
        assert_true(eye || list[i].init.kind == HONE_INIT_CONSTANT);
        add_tensor(run, NODE_STATE, list[i].dtype, list[i].rank, list[i].dims, list[i].name,
                   list[i].init.a, eye);
        leaves[i] = run->tensors[first + i].leaf;
        if (c->state != NULL && str_is(list[i].name, c->state)) {
            run->compared[k] = first + i;
        }
    }
    assert_true(optimizer_update(run->e, use, v, run->tensors[k].leaf, run->gradients[k], run->t,
                                 NODE_NONE, leaves, &run->tensors[k].next, next));
    for (size_t i = 0; i < n; i++) {
        run->tensors[first + i].next = next[i];
    }
    return n;
}

static bool build(const Case *c, Run *run)
{
    char text[2048];
    snprintf(text, sizeof text, "use optim\n%slet made = %s\n", turns, c->call);
    world_put(&world, "t.hone", text);
    File *file = world_load(&world, "t.hone");
    assert_non_null(file);
    Graph *g = run->graph = graph_new(world.c.arena);
    run->e = elab_new(&world.c, model_new(&world.c), g, true, NULL);
    run->t = graph_leaf(g, NODE_STEP, DT_F64, 0, NULL, STR("t"), 0, (Span){0});
    run->mu = graph_leaf(g, NODE_STEP, DT_F64, 0, NULL, STR("mu"), 0, (Span){0});
    Scope *scope = scope_new(world.c.arena, NULL, file, NULL);
    scope_set(scope, STR("mu"), array_of_node(run->e, run->mu, CLOCK_STEP, (Span){0}), (Span){0});
    Variable v[PARAMS];
    add_params(run, c, v);
    OptimizerUse use;
    size_t states = 0;
    const Ast *made = file_item(file, AST_LET, STR("made"))->kids[0];
    bool ok = optimizer_use(run->e, scope, made, &use);
    for (size_t k = 0; ok && k < run->n_params; k++) {
        states = add_update(run, c, &use, &v[k], k);
    }
    if (!ok || world.c.diags.errors > 0) {
        print_error("%s:\n%.*s", c->name, STR_ARG(world_text(&world)));
        return false;
    }
    assert_int_equal(states, c->states);
    for (size_t i = 0; i < run->n; i++) {
        if (run->tensors[i].next != NODE_NONE) {
            graph_output(g, OUT_NEXT, STR("next"), run->tensors[i].next, run->tensors[i].leaf);
        }
    }
    assert_null(graph_verify(g, world.c.arena));
    return true;
}

/* --- steps -------------------------------------------------------------------------------------- */
static NodeId leaf_in(const Graph *graph, const Node *like)
{
    for (NodeId id = 0; id < graph->nodes.len; id++) {
        const Node *node = graph_node(graph, id);
        if (node->kind == like->kind && node->variable == like->variable &&
            str_eq(node->name, like->name)) {
            return id;
        }
    }
    return NODE_NONE;
}

static void set_leaf(const Run *run, Interp *interp, NodeId leaf, double *values)
{
    NodeId id = leaf_in(interp->graph, graph_node(run->graph, leaf));
    if (id != NODE_NONE) {
        interp->values[id] = values;
    }
}

/* The leaves of a graph at a step; which: interpreted or compiled. */
static Interp leaves(Run *run, const Graph *graph, int which, int64_t step)
{
    Interp interp = {.graph = graph, .arena = run->graph->arena, .rounds = true};
    interp.values = NEW_ARRAY(interp.arena, double *, graph->nodes.len);
    double *t = NEW_ARRAY(interp.arena, double, 1), *mu = NEW_ARRAY(interp.arena, double, 1);
    *t = (double)step;
    *mu = 0.9;
    set_leaf(run, &interp, run->t, t);
    set_leaf(run, &interp, run->mu, mu);
    for (size_t i = 0; i < run->n; i++) {
        set_leaf(run, &interp, run->tensors[i].leaf, run->tensors[i].now[which]);
    }
    for (size_t k = 0; k < run->n_params; k++) {
        double *g = NEW_ARRAY(interp.arena, double, MOST);
        for (int64_t i = 0; i < run->tensors[k].elements; i++) {
            int64_t n = (37 * i + 101 * step + 11 * (int64_t)k) % 64;
            g[i] = ((double)n - 31.5) / 32 * (1 + (double)step / 8);
        }
        set_leaf(run, &interp, run->gradients[k], g);
    }
    return interp;
}

static void step_interpreted(Run *run, int64_t step)
{
    Interp interp = leaves(run, run->graph, 0, step);
    assert_true(interp_run(&interp));
    for (size_t i = 0; i < run->n; i++) {
        Tensor *tensor = &run->tensors[i];
        for (int64_t k = 0; tensor->next != NODE_NONE && k < tensor->elements; k++) {
            tensor->now[0][k] = interp.values[tensor->next][k];
        }
    }
}

static void step_compiled(Run *run, Planned *planned, const Graph *graph, int64_t step)
{
    Interp interp = leaves(run, graph, 1, step);
    planned_run(planned, &interp);
    size_t output = 0;
    for (size_t i = 0; i < run->n; i++) {
        if (run->tensors[i].next != NODE_NONE) {
            assert_true(planned_output(planned, output++, run->tensors[i].now[1]));
        }
    }
}

/* Relative to the largest element of the tensor. */
static double difference(const Run *run, int which, const float *row)
{
    double worst = 0;
    for (size_t k = 0; k < run->n_params; k++) {
        const Tensor *tensor = &run->tensors[run->compared[k]];
        double scale = 0, most = 0;
        for (int64_t i = 0; i < tensor->elements; i++, row++) {
            double error = fabs(tensor->now[which][i] - (double)*row);
            scale = fmax(scale, fabs((double)*row));
            most = error > most || isnan(error) ? error : most;
        }
        worst = most / scale > worst || isnan(most) ? most / scale : worst;
    }
    return worst;
}

static bool run_case(const Case *c, HoneFile *file)
{
    Run run = {0};
    const HoneFileTensor *want = hone_file_find(file, c->reference != NULL ? c->reference : c->name);
    assert_non_null(want);
    if (!build(c, &run)) {
        return false;
    }
    HoneError error = {0};
    float *rows = NEW_ARRAY(world.c.arena, float, want->bytes / sizeof(float));
    assert_true(hone_file_read(file, want, rows, &error));
    assert_int_equal(want->dims[0], STEPS);
    const Graph *graph = planned_passes(world.c.arena, run.graph, target_host());
    const char *why = "";
    Planned *planned = planned_open(world.c.arena, graph, target_host(), &why);
    if (planned == NULL) {
        fail_msg("%s: %s", c->name, why);
    }
    double worst[2] = {0, 0};
    for (int64_t step = 1; step <= STEPS; step++) {
        step_interpreted(&run, step);
        step_compiled(&run, planned, graph, step);
        for (int which = 0; which < 2; which++) {
            double now = difference(&run, which, rows + (step - 1) * want->dims[1]);
            worst[which] = now > worst[which] || isnan(now) ? now : worst[which];
        }
    }
    planned_close(planned);
    bool good = worst[0] <= 1e-6 && worst[1] <= 1e-6;
    if (!good || getenv("OPTIM_ALL") != NULL) {
        print_error("%-20s interpreted %.1e, compiled %.1e\n", c->name, worst[0], worst[1]);
    }
    return good;
}

static void test_steps(void **state)
{
    (void)state;
    HoneSys sys = {0};
    HoneError error = {0};
    HoneFile *file = hone_file_open(&sys, TEST_DIR "/data/optim.safetensors", &error);
    assert_non_null(file);
    size_t failed = 0;
    for (size_t i = 0; i < CASES; i++) {
        failed += !run_case(&cases[i], file);
    }
    for (size_t k = 0; k < hone_file_count(file); k++) { /* no reference is forgotten */
        const char *key = hone_file_tensor(file, k)->key;
        bool met = false;
        for (size_t i = 0; i < CASES; i++) {
            met = met || strcmp(cases[i].name, key) == 0;
        }
        if (!met) {
            fail_msg("no case `%s`", key);
        }
    }
    hone_file_close(file);
    assert_int_equal(failed, 0);
}

/* Is it called in a case? */
static bool known(Str name)
{
    for (size_t k = 0; k < CASES; k++) {
        if (strncmp(cases[k].call, name.ptr, name.len) == 0 && cases[k].call[name.len] == '(') {
            return true;
        }
    }
    return str_is(name, "norm") || str_is(name, "rms") || str_is(name, "newton_schulz");
}

static void test_all_rules(void **state)
{
    (void)state;
    assert_int_equal(world_unknown(&world, "optim", known), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_steps),
                                       cmocka_unit_test(test_all_rules)};
    world_open(&world);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    world_close(&world);
    return failed;
}
