/* hone new: a folder with a commented recipe that runs as it stands, and the small data it learns
 * from: points on three arms of a spiral, made from random numbers with a fixed key. */
#include <errno.h>
#include <math.h>

#include "commands/command.h"

enum { ARMS = 3, FEATURES = 2, TRAIN = 600, VALID = 150 };

/* `%s` is the recipe's name. */
static const char starter[] =
    "# A recipe to start from:\n"
    "#   hone check %s.hone         what trains, and how much memory it will take\n"
    "#   hone run %s.hone           train\n"
    "#   hone run %s.hone --lr 1e-2 the options below are options of the command line\n"
    "# `hone doc` lists the library: layers, losses, update rules, schedules, pretrained networks.\n"
    "use nn, losses, optim, sched\n"
    "\n"
    "option lr = 3e-3 \"peak learning rate\"\n"
    "\n"
    "# Arrays: one field per key of a safetensors or npz file, the samples first. Pictures in a folder\n"
    "# per class: train = images(\"pictures/train\", size = 224, crop = \"random\", flip = true)\n"
    "data points {\n"
    "  train = arrays(\"train.safetensors\")\n"
    "  valid = arrays(\"valid.safetensors\")\n"
    "  batch = 50\n"
    "}\n"
    "\n"
    "# A network is parts and a function. Parameters have PyTorch's names and shapes: `hone keys` lists\n"
    "# them, and a checkpoint with these keys can be loaded.\n"
    "module Classifier(classes, width = 64) {\n"
    "  fc1: Linear(2, width)\n"
    "  fc2: Linear(width, width)\n"
    "  fc3: Linear(width, classes)\n"
    "\n"
    "  fn forward(x: [N, 2]) -> [N, classes] {\n"
    "    x = relu(fc1(x))\n"
    "    x = relu(fc2(x))\n"
    "    return fc3(x)\n"
    "  }\n"
    "}\n"
    "\n"
    "finetune %s {\n"
    "  model: Classifier(classes = 3)\n"
    "\n"
    "  # To start from trained weights, with a fresh last layer:\n"
    "  #   load \"pretrained.safetensors\" {\n"
    "  #     ignore \"fc3\"\n"
    "  #     fresh \"fc3\"\n"
    "  #   }\n"
    "\n"
    "  # What a batch b means: the loss, and what is measured on the validation data.\n"
    "  step b in points {\n"
    "    z    = model(b.x)\n"
    "    loss = cross_entropy(z, b.label)\n"
    "    metric accuracy = total(hits(z, b.label)) / total(count(b.label))\n"
    "  }\n"
    "\n"
    "  # Up over the first tenth of the run, then down along a cosine.\n"
    "  optimizer AdamW(lr = lr * cosine(progress, 0.1), decay = 0.01)\n"
    "\n"
    "  # A last layer that learns faster, and first layers that stand still:\n"
    "  #   group \"fc3\" { lr = 10 * lr }\n"
    "  #   freeze \"fc1\"\n"
    "\n"
    "  epochs  = 40\n"
    "  monitor = max(accuracy)\n"
    "  seed    = 1\n"
    "  save \"%s.safetensors\"\n"
    "}\n";

static bool is_name(Str name)
{
    bool good = name.len > 0 && name.len <= 64 && !(name.ptr[0] >= '0' && name.ptr[0] <= '9');
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        good = good && ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                        (c >= '0' && c <= '9') || c == '_');
    }
    return good;
}

/* n points in turn on each arm; samples from `first` on of one endless sequence. */
static bool write_points(HoneSys *sys, Arena *arena, Str path, uint64_t first, int n,
                         HoneError *error)
{
    float *x = arena_alloc(arena, sizeof(float) * FEATURES * (size_t)n, 64);
    int32_t *label = arena_alloc(arena, sizeof(int32_t) * (size_t)n, 64);
    for (int i = 0; i < n; i++) {
        uint64_t sample = first + (uint64_t)i;
        double r = (double)hone_random_uniform(1, 0, 0, sample);
        double wobble = (double)hone_random_uniform(1, 1, 0, sample) - 0.5;
        label[i] = i % ARMS;
        double angle = 6.2831853071795865 * (label[i] / (double)ARMS + 0.6 * r + 0.12 * wobble);
        x[FEATURES * i] = (float)(r * cos(angle));
        x[FEATURES * i + 1] = (float)(r * sin(angle));
    }
    HoneWrite fields[] = {
        {.key = "x", .dtype = HONE_F32, .rank = 2, .dims = {n, FEATURES}, .data = x},
        {.key = "label", .dtype = HONE_I32, .rank = 1, .dims = {n}, .data = label}};
    return hone_safetensors_write(sys, str_c(arena, path), 2, fields, error);
}

static bool write_recipe(HoneSys *sys, Arena *arena, Str path, Str name, HoneError *error)
{
    const char *s = str_c(arena, name);
    Buf text = buf_new(arena);
    for (const char *at = starter; *at; at++) {
        if (at[0] == '%' && at[1] == 's') {
            buf_add(&text, str_of(s));
            at++;
        } else {
            buf_char(&text, *at);
        }
    }
    return hone_replace_file(sys, str_c(arena, path), text.ptr, text.len, error);
}

static bool is_there(HoneSys *sys, const char *path)
{
    int64_t bytes, time;
    return hone_is_folder(sys, path) || hone_file_age(sys, path, &bytes, &time);
}

int command_new(HoneSys *sys, Mem *mem, const CommandLine *line)
{
    Arena *arena = arena_new(mem, "new");
    if (line->args.len != 1 || !is_name(line->args.at[0])) {
        return usage_error(sys, arena, line, "`hone new` wants a name of letters, digits and `_`");
    }
    Str name = line->args.at[0];
    const char *folder = str_c(arena, name);
    if (is_there(sys, folder)) {
        return usage_error(sys, arena, line, "`%s` is there already; choose another name", folder);
    }
    HoneError error = {0};
    if (hone_mkdir(sys, folder) != 0) {
        char why[128];
        hone_fail(&error, HONE_IO, "E701", "cannot make the folder `%.200s`: %s", folder,
                  hone_errno_text(errno, why));
        return print_failure(sys, arena, line, &error);
    }
    Str train = str_join(arena, name, "/", STR("train.safetensors"));
    Str valid = str_join(arena, name, "/", STR("valid.safetensors"));
    Str recipe = str_format(arena, STR_FMT "/" STR_FMT ".hone", STR_ARG(name), STR_ARG(name));
    if (!write_points(sys, arena, train, 0, TRAIN, &error) ||
        !write_points(sys, arena, valid, TRAIN, VALID, &error) ||
        !write_recipe(sys, arena, recipe, name, &error)) {
        return print_failure(sys, arena, line, &error);
    }
    Buf out = buf_new(arena);
    if (line->json) {
        buf_printf(&out, "{\"recipe\": \"" STR_FMT "\"}\n", STR_ARG(recipe));
    } else if (!line->quiet) {
        buf_printf(&out, STR_FMT "   a recipe with comments\n", STR_ARG(recipe));
        buf_printf(&out, STR_FMT " and " STR_FMT "   %d and %d points on three arms of a spiral\n\n",
                   STR_ARG(train), STR_ARG(valid), TRAIN, VALID);
        buf_printf(&out, "to train: hone run " STR_FMT "\n", STR_ARG(recipe));
    }
    return out_finish(sys, &out, HONE_OK);
}
