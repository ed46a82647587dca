/* model_recipe: recipes to graphs: what each graph has for outputs, what freezing does, keys of
 * several models, ties, options, files that are missing or damaged; and an MLP trained by the
 * interpreter. The texts of diagnostics are in golden/model. */
#include "support/world.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "support/files.h"

static World world;

/* --- files ----------------------------------------------------------------------------------- */
typedef struct Tensor {
    const char *key;
    HoneDType dtype;
    uint32_t rank;
    int64_t dims[4];
} Tensor;

static const float zeros[4096];

static void put_tensors(const char *name, size_t n, const Tensor *tensors)
{
    HoneWrite writes[16];
    for (size_t i = 0; i < n; i++) {
        writes[i] = (HoneWrite){.key = tensors[i].key,
                                .dtype = tensors[i].dtype,
                                .rank = tensors[i].rank,
                                .data = zeros};
        memcpy(writes[i].dims, tensors[i].dims, sizeof tensors[i].dims);
    }
    HoneError error = {0};
    assert_true(
        hone_safetensors_write(&world.sys, in_folder(world.folder, name), n, writes, &error));
}

static void put_data(void)
{
    static const Tensor data[] = {{"image", (HoneDType)DT_F32, 4, {8, 1, 6, 6}},
                                  {"label", (HoneDType)DT_I32, 1, {8}},
                                  {"x", (HoneDType)DT_F32, 2, {8, 4}}};
    put_tensors("d.safetensors", 3, data);
}

#define DATA                                                                                       \
    "data d {\n  train = arrays(\"d.safetensors\")\n  valid = arrays(\"d.safetensors\")\n"         \
    "  batch = 4\n}\n"
#define STEP                                                                                       \
    "  step b in d {\n    z = model(b.x)\n    loss = cross_entropy(z, b.label)\n"                  \
    "    metric top1 = total(hits(z, b.label)) / total(count(b.label))\n  }\n"
#define MLP                                                                                        \
    "use nn, losses, optim, sched\n"                                                               \
    "module Mlp(classes = 3) {\n  fc1: Linear(4, 8)\n  fc2: Linear(8, classes)\n"                  \
    "  fn forward(x: [N, 4]) -> [N, classes] = fc2(gelu(fc1(x)))\n}\n"

static Recipe *build(const char *text, bool without_files)
{
    world_put(&world, "t.hone", text);
    put_data();
    return world_recipe(&world, world_load(&world, "t.hone"), without_files);
}

static Recipe *good(const char *text)
{
    Recipe *r = build(text, false);
    if (r == NULL || world.c.diags.errors + world.c.diags.warnings > 0) {
        fail_msg("%s\n%.*s", text, STR_ARG(world_text(&world)));
    }
    const char *why = world_verify(&world, r);
    if (why != NULL) {
        fail_msg("%s\n%s", text, why);
    }
    return r;
}

static void bad(const char *text, const char *wants)
{
    Recipe *r = build(text, false);
    Str got = world_diags(&world);
    if (r != NULL || !str_is(got, wants)) {
        fail_msg("%s\ngot    %.*s\nwanted %s", text, STR_ARG(got), wants);
    }
}

static size_t outputs(const Graph *g, OutputKind kind)
{
    size_t n = 0;
    for (size_t i = 0; g != NULL && i < g->outputs.len; i++) {
        n += g->outputs.at[i].kind == kind;
    }
    return n;
}

static bool has_next(const Graph *g, const char *name)
{
    for (size_t i = 0; i < g->outputs.len; i++) {
        if (g->outputs.at[i].kind == OUT_NEXT && str_is(g->outputs.at[i].name, name)) {
            return true;
        }
    }
    return false;
}

/* --- graphs ---------------------------------------------------------------------------------- */
static void test_mlp(void **state)
{
    (void)state;
    Recipe *r = good(MLP DATA "finetune r {\n  model: Mlp()\n" STEP
                              "    optimizer AdamW(lr = 1e-2)\n  epochs = 2\n"
                              "  monitor = max(top1)\n  clip = 1.0\n  save \"m.safetensors\"\n}\n");
    assert_int_equal(r->model->variables.len, 4);
    assert_true(str_is(r->model->variables.at[2]->key, "fc2.weight"));
    assert_int_equal(r->states.len, 2 + 8); /* totals, then m and v of four */
    const RecipeStage *s = &r->stages.at[0];
    assert_int_equal(outputs(s->train, OUT_LOSS), 1);
    assert_int_equal(outputs(s->train, OUT_GRAD), 0);
    assert_int_equal(outputs(s->train, OUT_NEXT), 12);
    assert_int_equal(outputs(s->train, OUT_VALUE), 2); /* grad norm and rate */
    assert_int_equal(outputs(s->eval, OUT_NEXT), 2);
    assert_int_equal(outputs(s->eval_one, OUT_NEXT), 2);
    assert_int_equal(outputs(s->metrics, OUT_VALUE), 1);
    assert_true(s->monitor_max && str_is(s->monitor, "top1"));
    assert_int_equal(r->saves.at[0].items.len, 4);
    assert_null(r->predict);
}

static Recipe *sample(const char *path)
{
    char full[512];
    snprintf(full, sizeof full, "%s/samples/%s", SOURCE_DIR, path);
    Recipe *r = world_recipe(&world, world_load(&world, full), true);
    if (r == NULL || world.c.diags.errors + world.c.diags.warnings > 0) {
        fail_msg("%s\n%.*s", path, STR_ARG(world_text(&world)));
    }
    assert_null(world_verify(&world, r));
    return r;
}

static void test_samples(void **state)
{
    (void)state;
    Recipe *r = sample("digits/pretrain.hone");
    assert_int_equal(r->model->variables.len, 32);
    assert_int_equal(outputs(r->stages.at[0].train, OUT_NEXT), 20 * 3 + 12);
    r = sample("flowers/flowers.hone");
    assert_int_equal(r->model->variables.len, 137);
    assert_int_equal(outputs(r->predict, OUT_VALUE), 1);
    assert_int_equal(outputs(r->stages.at[0].train, OUT_NEXT), 2 * 3);
    assert_int_equal(outputs(r->stages.at[1].train, OUT_NEXT), 83 * 3 + 54);
    assert_ptr_equal(r->stages.at[0].eval, r->stages.at[1].eval);
    r = sample("digits/finetune.hone");
    assert_int_equal(r->stages.len, 2);
    assert_int_equal(r->stages.at[0].trainable_tensors, 2);
    assert_int_equal(r->stages.at[1].trainable_elements, 19706);
}

/* A frozen batch norm keeps its statistics; lr = 0 moves them. */
static void test_frozen(void **state)
{
    (void)state;
#define CNN                                                                                        \
    "use nn, losses, optim\nmodule Cnn() {\n  conv: Conv2d(1, 4, 3, pad = 1, biased = false)\n"    \
    "  bn: BatchNorm2d(4)\n  fc: Linear(4, 3)\n"                                                   \
    "  fn forward(x: [N, 1, H, W]) = fc(mean_pool(relu(bn(conv(x)))))\n}\n" DATA                   \
    "finetune r {\n  model: Cnn()\n  step b in d {\n"                                              \
    "    loss = cross_entropy(model(b.image), b.label)\n  }\n  optimizer SGD(lr = 0.1)\n"          \
    "  epochs = 1\n"
    const Graph *g = good(CNN "}\n")->stages.at[0].train;
    assert_true(has_next(g, "bn.running_mean") && has_next(g, "bn.weight"));
    g = good(CNN "  freeze \"bn\", \"conv\"\n}\n")->stages.at[0].train;
    assert_false(has_next(g, "bn.running_mean") || has_next(g, "bn.weight"));
    assert_true(has_next(g, "fc.weight") && !has_next(g, "fc.weight:v")); /* no momentum */
    g = good(CNN "  group \"bn\" { lr = 0.0; decay = 0 }\n}\n")->stages.at[0].train;
    assert_true(has_next(g, "bn.running_var"));
    g = good(CNN "  freeze \"bn.running_mean\", \"bn.running_var\"\n}\n")->stages.at[0].train;
    assert_true(has_next(g, "bn.running_var")); /* its weights train: it is training */
}

static void test_stages(void **state)
{
    (void)state;
    Recipe *r =
        good(MLP DATA "finetune r {\n  model: Mlp()\n" STEP "  optimizer AdamW(lr = 1e-2)\n"
                      "  stage head {\n    steps = 3\n    freeze \"fc1\"\n  }\n"
                      "  stage full {\n    epochs = 0.5\n    optimizer SGD(momentum = 0.9)\n"
                      "    group \"fc2\" { lr = 0.1 * lr }\n  }\n  stage last { epochs = 1 }\n}\n");
    assert_int_equal(r->stages.len, 3);
    assert_int_equal(r->stages.at[0].steps, 3);
    assert_true(r->stages.at[1].epochs == 0.5);
    assert_int_equal(outputs(r->stages.at[0].train, OUT_NEXT), 6);
    assert_int_equal(outputs(r->stages.at[1].train, OUT_NEXT), 8);
    /* fc2's m and v are kept from the first stage to the last */
    size_t of_fc2 = 0;
    for (size_t i = 0; i < r->states.len; i++) {
        of_fc2 += str_starts(r->states.at[i].key, STR("fc2.weight:"));
    }
    assert_int_equal(of_fc2, 3);                    /* m, v of AdamW; v of SGD */
    assert_int_equal(r->states.len, 2 + 4 + 4 + 4); /* totals; fc2 m v; v of four; fc1 m v */
}

/* --- models and files ------------------------------------------------------------------------ */
static void test_two_models(void **state)
{
    (void)state;
    static const Tensor file[] = {{"fc1.weight", (HoneDType)DT_F32, 2, {8, 4}},
                                  {"fc1.bias", (HoneDType)DT_F32, 1, {8}},
                                  {"fc2.weight", (HoneDType)DT_F32, 2, {3, 8}},
                                  {"fc2.bias", (HoneDType)DT_F32, 1, {3}}};
    put_tensors("old.safetensors", 4, file);
    Recipe *r =
        good(MLP DATA "finetune r {\n  model: Mlp()\n  teacher: Mlp()\n"
                      "  load \"old.safetensors\" into teacher\n  freeze \"teacher\"\n"
                      "  step b in d {\n    loss = kl(teacher(b.x), model(b.x))\n  }\n"
                      "  optimizer SGD()\n  epochs = 1\n  save \"m.safetensors\" only \"model\" {\n"
                      "    rename \"model.**\" -> \"**\"\n  }\n}\n");
    assert_int_equal(r->model->variables.len, 8);
    assert_true(str_is(r->model->variables.at[4]->key, "teacher.fc1.weight"));
    assert_int_equal(r->loaded[4].load, 0);
    assert_int_equal(r->loaded[0].load, HONE_NONE);
    assert_int_equal(r->saves.at[0].items.len, 4);
    assert_string_equal(r->saves.at[0].items.at[0].key, "fc1.weight");
    assert_int_equal(outputs(r->stages.at[0].train, OUT_NEXT), 4);
    bad(MLP DATA
        "finetune r {\n  model: Mlp()\n  teacher: Mlp()\n"
        "  load \"old.safetensors\" into teecher\n  step b in d {\n"
        "    loss = kl(teacher(b.x), model(b.x))\n  }\n  optimizer SGD()\n  epochs = 1\n}\n",
        "E101 15:3 no model is called `teecher`");
}

#define TIED                                                                                       \
    "use nn, losses, optim\nmodule Tied() {\n  a: Linear(4, 4, biased = false)\n"                  \
    "  fc: Linear(4, 3)\n  tie head.weight = a.weight\n"                                           \
    "  fn forward(x: [N, 4]) = fc(a(x) @ head.weight.T)\n}\n" DATA                                 \
    "finetune r {\n  model: Tied()\n  load \"tied.safetensors\"\n" STEP "  optimizer SGD()\n"      \
    "  epochs = 1\n}\n"

static void test_tie(void **state)
{
    (void)state;
    static const Tensor file[] = {{"head.weight", (HoneDType)DT_F32, 2, {4, 4}},
                                  {"fc.weight", (HoneDType)DT_F32, 2, {3, 4}},
                                  {"fc.bias", (HoneDType)DT_F32, 1, {3}},
                                  {"a.weight", (HoneDType)DT_F32, 2, {4, 4}}};
    put_tensors("tied.safetensors", 3, file);
    Recipe *r = good(TIED);
    assert_int_equal(r->model->variables.len, 3);
    assert_true(str_is(r->loaded[0].key, "head.weight"));
    put_tensors("tied.safetensors", 4, file); /* both, and equal */
    good(TIED);
    HoneWrite writes[4];
    float other[16] = {1};
    for (size_t i = 0; i < 4; i++) {
        writes[i] = (HoneWrite){.key = file[i].key,
                                .dtype = file[i].dtype,
                                .rank = file[i].rank,
                                .data = i == 3 ? other : zeros};
        memcpy(writes[i].dims, file[i].dims, sizeof file[i].dims);
    }
    HoneError error = {0};
    assert_true(hone_safetensors_write(&world.sys, in_folder(world.folder, "tied.safetensors"), 4,
                                       writes, &error));
    bad(TIED, "E406 15:8 `a.weight` and `head.weight` are tied and differ in the file");
}

#define LOADS(file)                                                                                \
    MLP DATA "finetune r {\n  model: Mlp()\n  load \"" file "\"\n" STEP                            \
             "  optimizer SGD()\n  epochs = 1\n}\n"

static void test_files(void **state)
{
    (void)state;
    Recipe *r = build(LOADS("nowhere.safetensors"), false);
    assert_null(r);
    assert_true(str_starts(world_diags(&world), STR("E702 14:8 ")));
    r = build(LOADS("nowhere.safetensors"), true);
    assert_non_null(r);
    assert_true(str_starts(world_diags(&world), STR("N521 14:8 ")));
    file_put(in_folder(world.folder, "short.safetensors"), "\x20\0\0\0\0\0\0\0{\"x\":", 13);
    assert_null(build(LOADS("short.safetensors"), false));
    assert_true(str_starts(world_diags(&world), STR("E703 14:8 ")));
    assert_null(build(LOADS("short.safetensors"), true)); /* damaged is not missing */
    file_put(in_folder(world.folder, "empty.safetensors"), "", 0);
    assert_null(build(LOADS("empty.safetensors"), false));
    assert_true(str_starts(world_diags(&world), STR("E703 14:8 ")));
    static const Tensor ints[] = {{"fc1.weight", (HoneDType)DT_I32, 2, {8, 4}},
                                  {"fc1.bias", (HoneDType)DT_F32, 1, {8}},
                                  {"fc2.weight", (HoneDType)DT_F32, 2, {3, 8}},
                                  {"fc2.bias", (HoneDType)DT_F32, 1, {3}}};
    put_tensors("ints.safetensors", 4, ints);
    bad(LOADS("ints.safetensors"), "E402 14:8 `fc1.weight` has another type in the checkpoint");
    world_put(&world, "t.hone",
              MLP "data d {\n  train = arrays(\"gone.npz\")\n  batch = 4\n}\n"
                  "finetune r {\n  model: Mlp()\n" STEP "  optimizer SGD()\n  epochs = 1\n}\n");
    assert_null(world_recipe(&world, world_load(&world, "t.hone"), false));
    assert_true(str_starts(world_diags(&world), STR("E702 8:11 ")));
    assert_null(world_load(&world, "nothing.hone"));
    assert_true(str_starts(world_diags(&world), STR("E702 cannot read ")));
    world_put(&world, "t.hone", "finetune \xff\xfe {\n");
    assert_non_null(world_load(&world, "t.hone"));
    assert_true(world.c.diags.errors > 0);
}

/* A folder with other classes than the model has outputs. */
static void test_classes(void **state)
{
    (void)state;
    static const char text[] =
        "use nn, losses, optim\nmodule Cnn() {\n  fc: Linear(3, 7)\n"
        "  fn forward(x: [N, 3, H, W]) = fc(mean_pool(x))\n}\n"
        "data d {\n  train = images(\"pictures\", size = 8)\n  batch = 1\n}\n"
        "finetune r {\n  model: Cnn()\n  step b in d {\n"
        "    loss = cross_entropy(model(b.image), b.label)\n  }\n  optimizer SGD()\n"
        "  epochs = 1\n}\n";
    world_put(&world, "t.hone", text);
    static const char *const folders[] = {"pictures", "pictures/ant", "pictures/bee"};
    size_t bytes;
    char *picture = file_get(TEST_DIR "/data/pictures/rgb.png", &bytes);
    for (size_t i = 0; i < 3; i++) {
        char name[64];
        snprintf(name, sizeof name, "%s/a.png", folders[i]);
        assert_int_equal(mkdir(in_folder(world.folder, folders[i]), 0777), 0);
        if (i > 0) {
            file_put(in_folder(world.folder, name), picture, bytes);
        }
    }
    free(picture);
    assert_null(world_recipe(&world, world_load(&world, "t.hone"), false));
    Str got = world_diags(&world);
    if (!str_is(got, "E705 6:6 the data has 2 classes, the model has 7 outputs")) {
        fail_msg("%.*s", STR_ARG(got));
    }
}

/* --- the language's own examples ------------------------------------------------------------- */
static void copy_program(const char *name)
{
    char path[512];
    size_t n;
    snprintf(path, sizeof path, "%s/golden/parse/%s", TEST_DIR, name);
    char *text = file_get(path, &n);
    assert_non_null(text);
    file_put(in_folder(world.folder, name), text, n);
    free(text);
}

static void counts(const char *text, size_t tensors, int64_t elements)
{
    static const Tensor words[] = {{"ids", (HoneDType)DT_I32, 2, {4, 16}},
                                   {"segment", (HoneDType)DT_I32, 2, {4, 16}},
                                   {"mask", (HoneDType)DT_I32, 2, {4, 16}},
                                   {"label", (HoneDType)DT_I32, 1, {4}}};
    put_tensors("words.safetensors", 4, words);
    const Recipe *r = good(text);
    int64_t sum = 0;
    size_t n = 0;
    for (size_t i = 0; i < r->model->variables.len; i++) {
        const Variable *v = r->model->variables.at[i];
        n += !v->is_state;
        sum += v->is_state ? 0 : v->elements;
    }
    assert_int_equal(n, tensors);
    assert_int_equal(sum, elements);
}

#define WORDS "data d {\n  train = arrays(\"words.safetensors\")\n  batch = 2\n}\n"
#define PICTURES(model)                                                                            \
    "use resnet, nn, losses, optim\n" DATA "finetune r {\n  model: " model "\n"                    \
    "  step b in d {\n    x[n, c < 3, h < 64, w < 64] = b.image[n, 0, h % 6, w % 6]\n"             \
    "    loss = sumsq(model(x))\n  }\n  optimizer SGD()\n  epochs = 1\n}\n"

/* Parameters as PyTorch, torchvision and the transformers library count them. */
static void test_counts(void **state)
{
    (void)state;
    copy_program("bert.hone");
    copy_program("gpt2.hone");
    counts("use bert, optim, losses\n" WORDS
           "finetune r {\n  model: BertClassifier()\n  step b in d {\n"
           "    loss = cross_entropy(model(b.ids, b.segment, b.mask), b.label)\n  }\n"
           "  optimizer AdamW()\n  group \"**\" where rank == 1 { decay = 0 }\n  epochs = 1\n}\n",
           201, 109483778);
    counts("use gpt2, optim, losses\n" WORDS
           "finetune r {\n  model: GPT2()\n  step b in d {\n"
           "    loss = next_token_loss(model(b.ids), b.ids)\n  }\n"
           "  optimizer Lion()\n  epochs = 1\n}\n",
           148, 124439808);
    counts(PICTURES("ResNet18()"), 62, 11689512);
    counts(PICTURES("ResNet34()"), 110, 21797672);
    counts(PICTURES("ResNet50()"), 161, 25557032);
    counts(PICTURES("FCN()"), 164, 32957013);
}

/* --- options --------------------------------------------------------------------------------- */
static void settings(size_t n, const OptionSetting *list)
{
    world.c.settings = list;
    world.c.n_settings = n;
}

#define OPTIONS                                                                                    \
    "option lr = 1e-3 \"rate\"\noption batch = 4\noption nest = false\noption file = \"d\"\n" MLP  \
    "data d {\n  train = arrays(file + \".safetensors\")\n  batch = batch\n}\nfinetune r {\n"      \
    "  model: Mlp()\n  step b in d {\n    loss = cross_entropy(model(b.x), b.label)\n  }\n"        \
    "  optimizer SGD(lr = lr, nesterov = nest)\n  epochs = 1\n}\n"

static void test_options(void **state)
{
    (void)state;
    Recipe *r = good(OPTIONS);
    assert_int_equal(r->data.at[0].batch, 4);
    double value = 0;
    assert_true(recipe_option(&world.c, STR("lr"), &value) && value == 1e-3);
    const OptionSetting set[] = {
        {STR("lr"), STR("0.5"), false}, {STR("batch"), STR("2"), false}, {STR("nest"), {0}, false}};
    settings(3, set);
    r = good(OPTIONS);
    assert_int_equal(r->data.at[0].batch, 2);
    assert_true(recipe_option(&world.c, STR("lr"), &value) && value == 0.5);
    assert_int_equal(r->stages.at[0].uses[0].optimizer.hypers[3].value.i, 1);
    const OptionSetting wrong[] = {{STR("lr"), STR("fast"), false},
                                   {STR("batch"), STR("2.5"), false}};
    settings(2, wrong);
    bad(OPTIONS, "E106 1:8 `--lr fast` is not a float; E106 2:8 `--batch 2.5` is not an int");
    const OptionSetting zero[] = {{STR("batch"), STR("0"), false}};
    settings(1, zero);
    bad(OPTIONS, "E516 13:11 `batch` must be from 1 to 2147483647");
    settings(0, NULL);
}

/* --- training, by the interpreter ------------------------------------------------------------ */
static double start(uint32_t variable, int64_t i)
{
    return sin(1.0 + (double)variable * 3.7 + (double)i * 1.9) * 0.5;
}

static double batch_value(const Node *node, int64_t i)
{
    if (str_is(node->name, "label")) {
        return (double)(i % 3);
    }
    return sin((double)(i / 4 % 3) * 2.0 + (double)(i % 4)) + 0.1 * cos((double)i);
}

/* One step: leaves from `now` (by persistent tensor), which receives the next values. */
static double train_step(const Graph *g, double **now, double t)
{
    Interp interp = {
        .graph = g, .arena = g->arena, .values = NEW_ARRAY(g->arena, double *, g->nodes.len)};
    for (size_t i = 0; i < g->nodes.len; i++) {
        const Node *node = &g->nodes.at[i];
        int64_t n = node_elements(node);
        if (node->kind == NODE_PARAM || node->kind == NODE_STATE) {
            interp.values[i] = now[node->variable];
        } else if (node->kind == NODE_INPUT || node->kind == NODE_STEP) {
            interp.values[i] = NEW_ARRAY(g->arena, double, (size_t)n);
            for (int64_t k = 0; k < n; k++) {
                interp.values[i][k] = node->kind == NODE_STEP ? t : batch_value(node, k);
            }
        }
    }
    assert_true(interp_run(&interp));
    double loss = NAN;
    for (size_t i = 0; i < g->outputs.len; i++) {
        const Output *out = &g->outputs.at[i];
        if (out->kind == OUT_LOSS) {
            loss = interp.values[out->value][0];
        } else if (out->kind == OUT_NEXT) {
            const Node *target = graph_node(g, out->target);
            memcpy(now[target->variable], interp.values[out->value],
                   (size_t)node_elements(target) * sizeof(double));
        }
    }
    return loss;
}

static void test_training(void **state)
{
    (void)state;
    Recipe *r = good(MLP DATA "finetune r {\n  model: Mlp()\n" STEP
                              "  optimizer AdamW(lr = 0.05)\n  epochs = 1\n  clip = 1.0\n}\n");
    size_t n = r->model->variables.len, all = n + r->states.len;
    double **now = NEW_ARRAY(world.c.arena, double *, all);
    for (size_t i = 0; i < all; i++) {
        now[i] = NEW_ARRAY(world.c.arena, double, 64);
        for (int64_t k = 0; i < n && k < 64; k++) {
            now[i][k] = start((uint32_t)i, k);
        }
    }
    double first = 0, last = 0;
    for (int step = 1; step <= 30; step++) {
        last = train_step(r->stages.at[0].train, now, step);
        first = step == 1 ? last : first;
    }
    assert_true(first > 0.8 && first < 3);
    assert_true(last < 0.1 * first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mlp),        cmocka_unit_test(test_samples),
        cmocka_unit_test(test_frozen),     cmocka_unit_test(test_stages),
        cmocka_unit_test(test_two_models), cmocka_unit_test(test_tie),
        cmocka_unit_test(test_files),      cmocka_unit_test(test_classes),
        cmocka_unit_test(test_options),    cmocka_unit_test(test_training),
        cmocka_unit_test(test_counts),
    };
    world_open(&world);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    world_close(&world);
    return failed;
}
