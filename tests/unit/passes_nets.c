/* What the cleaning passes make of networks: the sums of batch norm, views, narrow heads, seconds. */
#include "passes/passes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "support/world.h"

static World world;

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The training graph of the recipe's first stage, differentiated. */
static const Graph *training(const char *text)
{
    world_put(&world, "t.hone", text);
    Recipe *recipe = world_recipe(&world, world_load(&world, "t.hone"), true);
    if (recipe == NULL || world.c.diags.errors > 0)
        fail_msg(STR_FMT, STR_ARG(world_text(&world)));
    assert_non_null(recipe->stages.at[0].train);
    return recipe->stages.at[0].train;
}

typedef Graph *Pass(Arena *arena, const Graph *graph);

static const Graph *cleaned(const Graph *graph)
{
    static Pass *const passes[] = {pass_densify, pass_simplify, pass_fold,
                                   pass_cse,     pass_narrow,   pass_prune};
    for (size_t i = 0; i < sizeof passes / sizeof *passes; i++) {
        graph = passes[i](world.c.arena, graph);
        const char *problem = graph_verify(graph, world.c.arena);
        if (problem)
            fail_msg("after pass %zu: %s", i, problem);
    }
    return graph;
}

/* Equations of this shape that reduce over at least so many points. */
static size_t count_sums(const Graph *graph, int64_t extent, int64_t points)
{
    size_t count = 0;
    for (NodeId id = 0; id < graph->nodes.len; id++) {
        const Node *node = graph_node(graph, id);
        if (node->kind != NODE_EQUATION || node->rank != 1 || node->dims[0] != extent)
            continue;
        int64_t reduced = 1;
        for (size_t i = 0; i < node->pieces[0].n_reduced; i++)
            reduced *= node->pieces[0].reduced[i]->extent;
        count += reduced >= points;
    }
    return count;
}

static void no_stops(const Graph *graph)
{
    for (NodeId id = 0; id < graph->nodes.len; id++) {
        const Node *node = graph_node(graph, id);
        for (size_t i = 0; i < node->n_pieces; i++) {
            ScalarList list = piece_list(world.c.arena, &node->pieces[i], node->rank);
            for (size_t k = 0; k < list.n; k++)
                assert_false(list.at[k]->kind == SCALAR_FN && list.at[k]->op == OP_STOP);
        }
    }
}

#define RECIPE(data, step)                                                                          \
    "data d {\n  train = " data "\n  batch = 4\n}\n"                                                \
    "finetune t {\n  model: Net()\n  step b in d {\n" step "  }\n"                                  \
    "  optimizer SGD(lr = 1e-3)\n  epochs = 1\n}\n"

/* Two sums forward (mean, variance) and two backward, which are the gradients of bias and weight. */
static void batch_norm_needs_four_sums(void **state)
{
    (void)state;
    const Graph *graph = cleaned(training(
        "use nn, optim, losses\n"
        "module Net() {\n  conv1: Conv2d(3, 7, 3, pad = 1, biased = false)\n"
        "  bn1: BatchNorm2d(7)\n  conv2: Conv2d(7, 7, 3, pad = 1, biased = false)\n"
        "  bn2: BatchNorm2d(7)\n  fc: Linear(7, 5)\n  fn forward(x: [N, 3, H, W]) {\n"
        "    x = relu(bn1(conv1(x)))\n    x = relu(bn2(conv2(x)) + x)\n"
        "    return fc(mean_pool(x))\n  }\n}\n" RECIPE("images(\"p\", size = 8)",
        "    z = model(b.image)\n    loss = cross_entropy(z, b.label)\n")));
    assert_int_equal(count_sums(graph, 7, 4 * 8 * 8), 2 * 4);
    no_stops(graph);
}

/* A norm that lets its mean be differentiated in its variance: that derivative is 0. */
static void means_need_no_stop(void **state)
{
    (void)state;
    const Graph *graph = cleaned(training(
        "use nn, optim, losses\n"
        "module Norm(C) {\n  param weight: [C] = ones()\n  param bias: [C] = zeros()\n"
        "  fn forward(x: [N, C, H, W]) -> [N, C, H, W] {\n"
        "    u[c] = mean[n, h, w] x[n, c, h, w]\n"
        "    v[c] = mean[n, h, w] (x[n, c, h, w] - u[c])^2\n"
        "    y[n, c, h, w] = (x[n, c, h, w] - u[c]) * rsqrt(v[c] + 1e-5) * weight[c] + bias[c]\n"
        "    return y\n  }\n}\n"
        "module Net() {\n  conv: Conv2d(3, 7, 3, pad = 1, biased = false)\n  norm: Norm(7)\n"
        "  fc: Linear(7, 5)\n  fn forward(x: [N, 3, H, W]) {\n"
        "    return fc(mean_pool(relu(norm(conv(x)))))\n  }\n}\n" RECIPE(
            "images(\"p\", size = 7)",
            "    loss = cross_entropy(model(b.image), b.label)\n")));
    assert_int_equal(count_sums(graph, 7, 4 * 7 * 7), 4);
}

/* The largest size that a tensor of this rank and last extent has. */
static int64_t largest(const Graph *graph, size_t rank, int64_t last)
{
    int64_t most = 0;
    for (NodeId id = 0; id < graph->nodes.len; id++) {
        const Node *node = graph_node(graph, id);
        if (node->kind == NODE_EQUATION && node->rank == rank && node->dims[rank - 1] == last &&
            node_elements(node) > most)
            most = node_elements(node);
    }
    return most;
}

/* Of each picture one row is classified: forward and backward, the layer sees no other. */
static void unread_rows_are_not_computed(void **state)
{
    (void)state;
    const Graph *whole = training(
        "use nn, optim, losses\n"
        "module Net() {\n  fc1: Linear(8, 17)\n  fc2: Linear(17, 5)\n"
        "  fn forward(x: [N, C, H, W]) {\n    y = fc2(gelu(fc1(x)))\n"
        "    z[n, k] = y[n, 0, 2, k]\n    return z\n  }\n}\n" RECIPE("images(\"p\", size = 8)",
        "    loss = cross_entropy(model(b.image), b.label)\n"));
    assert_int_equal(largest(whole, 4, 17), 4 * 3 * 8 * 17);
    assert_int_equal(largest(cleaned(whole), 4, 17), 4 * 17);
}

static void resnet_passes_in_no_time(void **state)
{
    (void)state;
    const Graph *graph = training(
        "use resnet, nn, optim, losses\n"
        "data d {\n  train = images(\"p\", size = 224)\n  batch = 32\n}\n"
        "finetune t {\n  model: ResNet50(classes = 37)\n  step b in d {\n"
        "    z = model(normalize(b.image, imagenet_mean, imagenet_std))\n"
        "    loss = cross_entropy(z, b.label)\n  }\n  optimizer AdamW(lr = 1e-3)\n"
        "  epochs = 1\n}\n");
    double start = seconds();
    cleaned(graph);
    double taken = seconds() - start;
    print_message("ResNet-50: %.3f s\n", taken);
    assert_true(taken < 2);          /* 0.06 s; with sanitizers more */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batch_norm_needs_four_sums),
        cmocka_unit_test(means_need_no_stop),
        cmocka_unit_test(unread_rows_are_not_computed),
        cmocka_unit_test(resnet_passes_in_no_time),
    };
    world_open(&world);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    world_close(&world);
    return failed;
}
