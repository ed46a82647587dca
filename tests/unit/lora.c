/* lora: loss, gradients and folded weights of LoRA against the peft library, in the double-precision
 * interpreter (data/lora, which parity/lora.py writes and describes). */
#include "support/world.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static const char recipe_text[] =
    "use lora, gpt2, nn, losses, optim\n"
    "module Net() {\n"
    "  conv: Conv2d(1, 2, 2, stride = 2, pad = 1)\n"
    "  up:   Linear(8, 5)\n"
    "  mid:  Conv1D(5, 5)\n"
    "  down: Linear(5, 4)\n"
    "  fn forward(x: [N, 6]) -> [N, 4] {\n"
    "    y = relu(conv(reshape(x, [N, 1, 2, 3])))\n"
    "    return down(relu(mid(relu(up(reshape(y, [N, 8]))))))\n"
    "  }\n"
    "}\n"
    "data d { train = arrays(\"batch.safetensors\"); batch = 8 }\n"
    "finetune r {\n"
    "  model: Net()\n"
    "  load \"base.safetensors\"\n"
    "  load \"adapter.safetensors\" { rename \"base_model.model.**\" -> \"**\" }\n"
    "  adapt \"{up,mid,down}\" with LoRA(r = 2, alpha = 6.0)\n"
    "  adapt \"conv\" with ConvLoRA(r = 2, alpha = 6.0)\n"
    "  freeze \"**\" except \"**.lora_*\"\n"
    "  step b in d {\n"
    "    z       = model(b.x)\n"
    "    loss    = cross_entropy(z, b.label)\n"
    "    predict logits = z\n"
    "  }\n"
    "  optimizer SGD(lr = 1.0)\n"
    "  steps = 1\n"
    "  save \"after.safetensors\" only \"**.lora_*\" { rename \"**\" -> \"base_model.model.**\" }\n"
    "  save \"merged.safetensors\" merged\n"
    "}\n";

static World world;
static Recipe *recipe;
static HoneFile *wanted, *adapter;

static HoneFile *open_file(const char *name)
{
    HoneError error = {0};
    HoneFile *file = hone_file_open(&world.sys, name, &error);
    if (file == NULL) {
        fail_msg("%s", error.message);
    }
    return file;
}

static int setup(void **state)
{
    (void)state;
    world_open(&world);
    if (chdir(TEST_DIR "/data/lora") != 0) {
        return 1;
    }
    File *file = compiler_text(&world.c, STR("./t.hone"), str_of(recipe_text));
    recipe = file != NULL ? world_recipe(&world, file, false) : NULL;
    if (recipe == NULL) {
        fail_msg(STR_FMT, STR_ARG(world_text(&world)));
    }
    wanted = open_file("wanted.safetensors");
    adapter = open_file("adapter.safetensors");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    hone_file_close(wanted);
    hone_file_close(adapter);
    world_close(&world);
    return 0;
}

/* All of a tensor of f32 or i32, as doubles. */
static double *read_tensor(HoneFile *file, const char *key, int64_t elements)
{
    const HoneFileTensor *tensor = hone_file_find(file, key);
    if (tensor == NULL || tensor->bytes != 4 * (uint64_t)elements) {
        fail_msg("`%s` is not there, or of another size", key);
    }
    union { float f; int32_t i; } *raw = arena_alloc(world.c.arena, tensor->bytes, 8);
    HoneError error = {0};
    assert_true(hone_file_read(file, tensor, raw, &error));
    double *values = NEW_ARRAY(world.c.arena, double, (size_t)elements);
    for (int64_t i = 0; i < elements; i++) {
        values[i] = tensor->dtype == HONE_I32 ? raw[i].i : (double)raw[i].f;
    }
    return values;
}

static double *leaf_values(const Node *node)
{
    bool input = node->kind == NODE_INPUT;
    const char *path = "batch.safetensors", *key = str_c(world.c.arena, node->name);
    if (!input) {
        const LoadedTensor *from = &recipe->loaded[node->variable];
        assert_int_not_equal(from->load, HONE_NONE);
        path = recipe->loads.at[from->load].path;
        key = str_c(world.c.arena, from->key);
    }
    HoneFile *file = open_file(path);
    double *values = read_tensor(file, key, node_elements(node));
    hone_file_close(file);
    return values;
}

static Interp run_graph(const Graph *g)
{
    Interp interp = {.graph = g, .arena = world.c.arena};
    interp.values = NEW_ARRAY(world.c.arena, double *, g->nodes.len);
    for (size_t i = 0; i < g->nodes.len; i++) {
        const Node *node = &g->nodes.at[i];
        bool file = node->kind == NODE_INPUT || node->kind == NODE_PARAM;
        static double first = 1; /* t */
        interp.values[i] = file ? leaf_values(node) : node->kind == NODE_STEP ? &first : NULL;
    }
    assert_true(interp_run(&interp));
    return interp;
}

static void assert_near(const char *what, const double *got, const double *wants, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        if (!(fabs(got[i] - wants[i]) <= 1e-6 * (1 + fabs(wants[i])))) {
            fail_msg("%s, element %lld: %.9g, wanted %.9g", what, (long long)i, got[i], wants[i]);
        }
    }
}

/* With a rate of 1 the gradient is what SGD takes off. */
static void loss_and_gradients(void **state)
{
    (void)state;
    const Graph *g = recipe->stages.at[0].train;
    Interp interp = run_graph(g);
    size_t gradients = 0;
    for (size_t i = 0; i < g->outputs.len; i++) {
        const Output *out = &g->outputs.at[i];
        if (out->kind == OUT_LOSS) {
            assert_near("loss", interp.values[out->value], read_tensor(wanted, "loss", 1), 1);
        }
        if (out->kind != OUT_NEXT) {
            continue;
        }
        int64_t n = node_elements(graph_node(g, out->value));
        double *step = NEW_ARRAY(world.c.arena, double, (size_t)n);
        for (int64_t k = 0; k < n; k++) {
            step[k] = interp.values[out->target][k] - interp.values[out->value][k];
        }
        Str key = str_format(world.c.arena, "grad.base_model.model." STR_FMT, STR_ARG(out->name));
        const char *name = str_c(world.c.arena, key);
        assert_near(name, step, read_tensor(wanted, name, n), n);
        gradients++;
    }
    assert_int_equal(gradients, 8);
}

/* Conv1D stores its weight the other way round. */
static void folded_weights(void **state)
{
    (void)state;
    const Graph *g = recipe->merge;
    Interp interp = run_graph(g);
    assert_int_equal(g->outputs.len, 4);
    for (size_t i = 0; i < g->outputs.len; i++) {
        const Output *out = &g->outputs.at[i];
        int64_t n = node_elements(graph_node(g, out->value));
        Str key = str_format(world.c.arena, "merged." STR_FMT, STR_ARG(out->name));
        const char *name = str_c(world.c.arena, key);
        assert_near(name, interp.values[out->value], read_tensor(wanted, name, n), n);
    }
}

static void keys_are_those_of_peft(void **state)
{
    (void)state;
    const RecipeSave *save = &recipe->saves.at[0], *merged = &recipe->saves.at[1];
    assert_int_equal(save->items.len, hone_file_count(adapter));
    for (size_t i = 0; i < save->items.len; i++) {
        assert_non_null(hone_file_find(adapter, save->items.at[i].key));
    }
    assert_true(merged->merged);
    assert_int_equal(merged->items.len, 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(loss_and_gradients),
                                       cmocka_unit_test(folded_weights),
                                       cmocka_unit_test(keys_are_those_of_peft)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
