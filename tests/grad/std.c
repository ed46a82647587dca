/* Gradients of the standard library's functions, layers and losses, as elaborated from their text:
 * by every parameter and by the float inputs. */
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
#include "support/gradcheck.h"
#include "support/world.h"

typedef struct StdCase {
    const char *made, *out; /* an instance `m`, or NULL; the expression */
    const char *shapes;     /* of x, y, z: "2,3; 4"; "i5: 2,3" holds ints below 5 */
    double ratio;
    bool scatter, evaluation;
    size_t pieces; /* real sizes, counted only: gradients by parameters, in this many */
    bool inputs;   /* nothing is asked of x, y, z */
} StdCase;

static const StdCase maps[] = {
    {NULL, "relu(x)", "3,5", .ratio = 1.05},
    {NULL, "relu6(x * 9)", "3,5", .ratio = 0.55},
    {NULL, "leaky_relu(x, 0.1)", "3,5", .ratio = 1.05},
    {NULL, "elu(x * 2)", "3,5", .ratio = 0.55},
    {NULL, "sigmoid(x)", "3,5", .ratio = 1.05},
    {NULL, "silu(x)", "3,5", .ratio = 1.05},
    {NULL, "gelu(x)", "3,5", .ratio = 1.05},
    {NULL, "gelu_tanh(x)", "3,5", .ratio = 1.05},
    {NULL, "softplus(x)", "3,5", .ratio = 1.05},
    {NULL, "hardswish(x * 4)", "3,5", .ratio = 0.7},
    {NULL, "selu(x * 2)", "3,5", .ratio = 0.55},
    {NULL, "celu(x * 2, 0.7)", "3,5", .ratio = 0.55},
    {NULL, "log_sigmoid(x)", "3,5", .ratio = 1.05},
    {NULL, "hardsigmoid(x * 4)", "3,5", .ratio = 0.7},
    {NULL, "hardtanh(x * 2, -0.8, 0.7)", "3,5", .ratio = 0.55},
    {NULL, "gelu_quick(x)", "3,5", .ratio = 0.55},
    {NULL, "mish(x)", "3,5", .ratio = 1.05},
    {NULL, "softsign(x)", "3,5", .ratio = 1.05},
    {NULL, "tanhshrink(x)", "3,5", .ratio = 1.05},
    {NULL, "softshrink(x)", "3,5", .ratio = 1.05},
    {NULL, "hardshrink(x)", "3,5", .ratio = 1.05},
    {NULL, "glu(x)", "3,6", .ratio = 1.05},
    {"PReLU(3)", "m(x)", "2,3,2,2", .ratio = 2.05},
    {"PReLU()", "m(x)", "2,3,2,2", .ratio = 2.05},
    {"PReLU(3)", "m(x)", "2,3", .ratio = 2.05},
    {NULL, "softmax(x)", "2,3,5", .ratio = 0.85},
    {NULL, "log_softmax(x)", "2,3,5", .ratio = 0.75},
    {NULL, "softmax(x)", "3,1", .ratio = 0.85},
    {NULL, "dropout(x, 0.4)", "3,5", .ratio = 1.05},
    {NULL, "dropout(x, 0.4)", "3,5", .ratio = 0, .evaluation = true},
    {NULL, "drop_path(x, 0.4)", "5,2,3", .ratio = 0.9},
    {NULL, "resize_nearest(x, 5, 8)", "2,2,3,4", .ratio = 1.25},
    {NULL, "resize_nearest(x, 2, 3)", "1,2,5,4", .ratio = 1.05},
    {NULL, "rotary(x)", "2,3,6", .ratio = 1.25},
    {NULL, "rotary(x, interleaved = true, first = 2)", "2,3,6", .ratio = 1.25},
    {NULL, "normalize(x, imagenet_mean, imagenet_std)", "2,3,2,2", .ratio = 1.05},
    {NULL, "flatten(x)", "2,3,2,2", .ratio = 1.05},
    {NULL, "resize_bilinear(x, 5, 3)", "2,2,3,4", .ratio = 6.3},
    {NULL, "resize_bilinear(x, 2, 3)", "1,2,5,4", .ratio = 2.4},
};

static const StdCase layers[] = {
    {"Linear(4, 3)", "m(x)", "2,3,4", .ratio = 1.85},
    {"Linear(4, 1, biased = false)", "m(x)", "3,4", .ratio = 2.1},
    {"Linear(1, 4)", "m(x)", "1,1", .ratio = 1.65},
    {"Embedding(5, 3)", "m(x)", "i5: 2,4", .ratio = 1.05, .scatter = true},
    {"Conv2d(3, 4, 3)", "m(x)", "2,3,6,5", .ratio = 3.45},
    {"Conv2d(3, 4, 3, pad = 1)", "m(x)", "2,3,6,5", .ratio = 2},
    {"Conv2d(3, 2, 3, stride = 2, pad = 1)", "m(x)", "2,3,9,8", .ratio = 1.85},
    {"Conv2d(3, 2, 3, stride = 2, pad = 0, pad_after = 1)", "m(x)", "2,3,8,7", .ratio = 2.2},
    {"Conv2d(1, 2, 7, stride = 2, pad = 3)", "m(x)", "2,1,12,13", .ratio = 1.95},
    {"Conv2d(2, 3, 3, pad = 2, dilation = 2)", "m(x)", "1,2,7,6", .ratio = 2},
    {"Conv2d(2, 3, 3, stride = 3, pad = 2, dilation = 2)", "m(x)", "1,2,10,9", .ratio = 1.75},
    {"Conv2d(4, 6, 3, pad = 1, groups = 2)", "m(x)", "2,4,5,5", .ratio = 2},
    {"Conv2d(4, 4, 3, stride = 2, pad = 1, groups = 4)", "m(x)", "2,4,7,5", .ratio = 1.6},
    {"Conv2d(3, 6, 3, pad = 1, groups = 3, biased = false)", "m(x)", "2,3,5,4", .ratio = 2.05},
    {"Conv2d(3, 4, 1)", "m(x)", "2,3,4,4", .ratio = 1.8},
    {"Conv2d(3, 4, 1, stride = 2)", "m(x)", "2,3,5,5", .ratio = 1.8},
    {"Conv2d(3, 4, 4, stride = 4)", "m(x)", "2,3,8,8", .ratio = 2},
    {"Conv2d(3, 4, 3, pad = 1)", "m(x)", "1,3,1,1", .ratio = 1.15},
    {"ConvTranspose2d(3, 4, 4, stride = 2, pad = 1)", "m(x)", "2,3,3,4", .ratio = 0.7},
    {"ConvTranspose2d(3, 2, 3, stride = 2, pad = 1, more = 1)", "m(x)", "2,3,3,3", .ratio = 0.75},
    {"ConvTranspose2d(2, 3, 3, pad = 1, dilation = 2)", "m(x)", "1,2,4,3", .ratio = 1.3},
    {"ConvTranspose2d(4, 6, 3, stride = 3, groups = 2)", "m(x)", "1,4,2,3", .ratio = 0.3},
    {NULL, "max_pool(x, 3, 2, pad = 1)", "2,2,5,7", .ratio = 1.7},
    {NULL, "max_pool(x, 2, 2)", "2,2,5,7", .ratio = 2.05},
    {NULL, "avg_pool(x, 3, 2, pad = 1)", "2,2,5,7", .ratio = 0.7},
    {NULL, "avg_pool(x, 2, 2)", "2,2,5,7", .ratio = 1.05},
    {NULL, "mean_pool(x)", "2,3,4,3", .ratio = 1.05},
    {NULL, "mean_pool(x)", "2,3,1,1", .ratio = 1.05},
    {NULL, "peak_pool(x)", "2,3,4,3", .ratio = 2.05},
    {NULL, "adaptive_avg_pool(x, 2, 3)", "2,2,5,7", .ratio = 0.9},
    {NULL, "adaptive_avg_pool(x, 2, 2)", "2,2,4,6", .ratio = 0.5},
    {NULL, "adaptive_max_pool(x, 2, 3)", "2,2,5,7", .ratio = 1.95},
    {"BatchNorm2d(3)", "m(x)", "2,3,2,3", .ratio = 1.8},
    {"BatchNorm2d(3)", "relu(m(x))", "2,3,2,3", .ratio = 1.6},
    {"BatchNorm2d(3)", "m(x)", "2,3,2,3", .ratio = 3.1, .evaluation = true},
    {"BatchNorm2d(3)", "m(x)", "2,3,1,1", .ratio = 2.2},
    {"LayerNorm(6)", "m(x)", "2,3,6", .ratio = 1.8},
    {"RMSNorm(6)", "m(x)", "2,3,6", .ratio = 1.6},
    {"GroupNorm(2, 4)", "m(x)", "2,4,3,2", .ratio = 1.55},
    {"GroupNorm(1, 4)", "m(x)", "2,4,1,2", .ratio = 1.35},
    {"InstanceNorm2d(3)", "m(x)", "2,3,3,2", .ratio = 1.15},
    {"InstanceNorm2d(3, affine = true)", "m(x)", "2,3,3,2", .ratio = 1.6},
    {"SqueezeExcite(4, 2)", "m(x)", "2,4,3,2", .ratio = 1.2},
    {"SqueezeExcite(4, 2, hard = true)", "m(x)", "2,4,3,2", .ratio = 1.15},
    {NULL, "attention(x, y, z, open(), 2)", "2,3,4; 2,5,4; 2,5,4", .ratio = 0.9},
    {NULL, "attention(x, y, z, open(), 2, 0.3)", "2,3,4; 2,5,4; 2,5,4", .ratio = 1},
    {NULL, "attention(x, y, y, open(), 1)", "2,3,4; 2,5,4", .ratio = 1.05},
};

static const StdCase losses[] = {
    {NULL, "cross_entropy(x, y)", "4,5; i5: 4", .ratio = 0.5},
    {NULL, "cross_entropy(x, y, smooth = 0.1)", "4,5; i5: 4", .ratio = 0.45},
    {NULL, "cross_entropy(x, y, skip = 2)", "2,4,5; i5: 2,4", .ratio = 0.5},
    {NULL, "cross_entropy(x, y, skip = 5)", "4,5; i6: 4", .ratio = 0.5},
    {NULL, "cross_entropy_weighted(x, y, [0.5, 2.0, 1.0, 0.7, 1.2])", "4,5; i5: 4", .ratio = 0.5},
    {NULL, "cross_entropy_weighted(x, y, [0.5, 2.0, 1.0, 0.7, 1.2], smooth = 0.1, skip = 2)", "4,5; i5: 4", .ratio = 0.45},
    {NULL, "next_token_loss(x, y)", "2,4,5; i5: 2,4", .ratio = 0.6},
    {NULL, "bce(x, float(y > 0))", "3,4; 3,4", .ratio = 0.55},
    {NULL, "bce(x, float(y > 0), positive = 3.0)", "3,4; 3,4", .ratio = 0.55},
    {NULL, "mse(x, y)", "3,4; 3,4", .ratio = 2.05},
    {NULL, "l1(x, 0.7 * y)", "3,4; 3,4", .ratio = 1.05},
    {NULL, "huber(x, 0.7 * y, delta = 0.5)", "3,4; 3,4", .ratio = 1.05},
    {NULL, "smooth_l1(x, 0.7 * y, beta = 0.5)", "3,4; 3,4", .ratio = 1.05},
    {NULL, "kl(x, y)", "3,4; 3,4", .ratio = 0.95},
    {NULL, "distill(x, float(y), 3.0)", "3,4; i5: 3,4", .ratio = 0.4},
    {NULL, "focal(x, float(y > 0))", "3,4; 3,4", .ratio = 0.7},
    {NULL, "dice(sigmoid(x), float(y > 0))", "2,2,3; 2,2,3", .ratio = 0.6},
    {NULL, "sumsq(x)", "3,4", .ratio = 1.05},
    {NULL, "mean_iou(3 + x)", "3,3", .ratio = 0.7},
    {NULL, "norm(x)", "3,4", .ratio = 1.05},
    {NULL, "rms(x)", "3,4", .ratio = 1.05},
    {NULL, "newton_schulz(x, 3)", "3,2", .ratio = 1.5},
    {NULL, "newton_schulz(x, 2)", "2,4", .ratio = 1.6},
    {NULL, "triplet(x, y, z, margin = 0.5)", "3,4; 3,4; 3,4", .ratio = 1.5},
    {NULL, "cosine_embedding(x, y, [1, -1, -1], margin = -0.8)", "3,4; 3,4", .ratio = 0.9},
};

/* Blocks and networks; those of real size are counted only. */
static const StdCase models[] = {
    {"BasicBlock(2, 3, 2)", "m(x)", "2,2,5,7", .ratio = 1.8},
    {"BasicBlock(2, 2)", "m(x)", "2,2,4,3", .ratio = 1.9},
    {"Bottleneck(4, 2, 2)", "m(x)", "2,4,5,4", .ratio = 1.75},
    {"Bottleneck(8, 2, 1, dilation = 2)", "m(x)", "1,8,5,4", .ratio = 1.65},
    {"SeparableBlock(2, 3, 2)", "m(x)", "2,2,5,7", .ratio = 2.1},
    {"GPT2(7, 4, 4, 2, 2, 0.1)", "next_token_loss(m(x), x)", "i7: 2,3", .ratio = 1.5,
     .scatter = true},
    {"BertClassifier(2, 7, 4, 8, 2, 2, 0.1)", "cross_entropy(m(x, y, 1 - 0 * x), z)",
     "i2: 2,3; i2: 2,3; i2: 2", .ratio = 1.6, .scatter = true},
    {"MobileNetV1(10)", "cross_entropy(m(x), y)", "32,3,224,224; i10: 32", .ratio = 1.97,
     .pieces = 315, .inputs = true},
    {"ResNet18(10)", "cross_entropy(m(x), y)", "32,3,224,224; i10: 32", .ratio = 1.94,
     .pieces = 242, .inputs = true},
    {"ResNet50(10)", "cross_entropy(m(x), y)", "32,3,224,224; i10: 32", .ratio = 1.97,
     .pieces = 611, .inputs = true},
    {NULL, "resize_bilinear(x, 224, 224)", "1,21,28,28", .ratio = 9, .pieces = 4},
    {"FCN(21)", "sumsq(m(x))", "2,3,513,513", .ratio = 2, .pieces = 618, .inputs = true},
    {"GPT2()", "next_token_loss(m(x), x)", "i7: 8,512", .ratio = 2, .pieces = 472, .inputs = true},
    {"BertClassifier()", "cross_entropy(m(x, y, z), [0, 1])", "i2: 2,128; i2: 2,128; i2: 2,128",
     .ratio = 2, .pieces = 575, .inputs = true},
};

static World world;

/* x, y, z: parameters, so that gradients by them can be asked for; ints are inputs. */
static void add_leaves(Elab *e, Scope *scope, const char *shapes, bool inputs)
{
    static const char *const names[] = {"x", "y", "z"};
    int64_t dims[MAX_RANK], below;
    size_t rank;
    for (uint32_t k = 0; k < 3 && world_shape(&shapes, &rank, dims, &below); k++) {
        bool ints = below > 0;
        NodeId node =
            graph_leaf(e->graph, ints || inputs ? NODE_INPUT : NODE_PARAM, ints ? DT_I32 : DT_F32,
                       rank, dims, str_of(names[k]), 1000 + k, (Span){0});
        scope_set(scope, str_of(names[k]), array_of_node(e, node, CLOCK_TENSOR, (Span){0}),
                  (Span){0});
    }
}

/* Ints below what the shapes say; everything else spread, variances positive. */
static void fill_leaves(Equations *q, const char *shapes)
{
    uint64_t random = 88172645463325252u;
    const char *below = strchr(shapes, 'i');
    q->n_params = 0;
    for (NodeId id = 0; id < q->graph->nodes.len; id++) {
        const Node *node = graph_node(q->graph, id);
        if (node->kind != NODE_INPUT && node->kind != NODE_PARAM && node->kind != NODE_STATE)
            continue;
        size_t n = (size_t)node_elements(node);
        assert_true(id < MAX_LEAVES);
        double *values = equations_spread(q->graph->arena, n, &random);
        bool ints = !dtype_is_float(node->dtype);
        bool variance = str_ends(node->name, STR("running_var"));
        for (size_t i = 0; (ints || variance) && i < n && n <= MOST_VALUES; i++)
            values[i] = ints ? (double)((7 * i + 3) % strtoull(below + 1, NULL, 10))
                             : values[i] * values[i] + 0.1;
        q->leaves[id] = values;
        if (node->kind == NODE_PARAM) {
            assert_true(q->n_params < MAX_PARAMS);
            q->params[q->n_params++] = id;
        }
    }
}

static void put_transformers(void)
{
    size_t n;
    char *text = file_get(TEST_DIR "/data/transformers.hone", &n);
    assert_non_null(text);
    world_put(&world, "transformers.hone", text);
    free(text);
}

static NodeId elaborate(const StdCase *row, Graph **graph)
{
    char text[1024];
    snprintf(text, sizeof text,
             "use nn, losses, optim, resnet, mobilenet_v1, transformers\nfn open() {\n  y[b < "
             "2, t < 3, u "
             "< 5] = 0.0\n  return y\n}\n"
             "let made = %s\nlet out = %s\n",
             row->made ? row->made : "0", row->out);
    world_put(&world, "t.hone", text);
    put_transformers();
    File *file = world_load(&world, "t.hone");
    if (!file)
        return NODE_NONE;
    Model *model = model_new(&world.c);
    Scope *scope = scope_new(world.c.arena, NULL, file, NULL);
    if (row->made) {
        Instance *m = model_instance(
            &world.c, model, file_item(file, AST_LET, STR("made"))->kids[0], scope, (Str){0});
        if (!m)
            return NODE_NONE;
        scope_set(scope, STR("m"), value_instance(m), (Span){0});
    }
    *graph = graph_new(world.c.arena);
    Elab *e = elab_new(&world.c, model, *graph, !row->evaluation, NULL);
    add_leaves(e, scope, row->shapes, row->inputs);
    Value value = elab_expr(e, scope, file_item(file, AST_LET, STR("out"))->kids[0]);
    return value.kind == VALUE_TENSOR ? value.node : NODE_NONE;
}

static int check_all(const StdCase *rows, size_t n)
{
    int failures = 0;
    const char *only = getenv("GRADCHECK_ONLY");
    for (size_t i = 0; i < n; i++) {
        char name[128];
        snprintf(name, sizeof name, "%s%s%s", rows[i].made ? rows[i].made : "",
                 rows[i].made ? " " : "", rows[i].out);
        if (only && !strstr(name, only))
            continue;
        Equations q = {0};
        q.last = elaborate(&rows[i], &q.graph);
        if (q.last == NODE_NONE) {
            print_error("%s:\n%.*s", name, STR_ARG(world_text(&world)));
            failures++;
            continue;
        }
        fill_leaves(&q, rows[i].shapes);
        GradCase row = {.name = name,
                        .ratio = rows[i].ratio,
                        .scatter = rows[i].scatter,
                        .pieces = rows[i].pieces};
        GradResult r = gradcheck_graph(world.c.arena, &q, &row);
        failures += !gradcheck_good(&row, &r);
    }
    return failures;
}

static void library(void **state)
{
    (void)state;
    int failures = check_all(maps, sizeof maps / sizeof *maps);
    failures += check_all(layers, sizeof layers / sizeof *layers);
    failures += check_all(losses, sizeof losses / sizeof *losses);
    failures += check_all(models, sizeof models / sizeof *models);
    assert_int_equal(failures, 0);
}

/* Is there a case of it? */
static bool in_rows(const StdCase *rows, size_t n, Str name)
{
    for (size_t i = 0; i < n; i++) {
        const char *texts[] = {rows[i].made, rows[i].out};
        for (size_t k = 0; k < 2; k++) {
            bool here = texts[k] != NULL && strncmp(texts[k], name.ptr, name.len) == 0;
            if (here && texts[k][name.len] == '(')
                return true;
        }
    }
    return false;
}

static bool known(Str name)
{
    bool flat = str_is(name, "hits") || str_is(name, "confusion"); /* they count */
    return flat || in_rows(maps, sizeof maps / sizeof *maps, name) ||
           in_rows(layers, sizeof layers / sizeof *layers, name) ||
           in_rows(losses, sizeof losses / sizeof *losses, name);
}

static void whole_library(void **state)
{
    (void)state;
    assert_int_equal(world_unknown(&world, "nn", known) + world_unknown(&world, "losses", known), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(library), cmocka_unit_test(whole_library)};
    world_open(&world);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    world_close(&world);
    return failed;
}
