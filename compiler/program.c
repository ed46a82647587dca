/* program: a recipe and the plans of its graphs become the HoneProgram that the runtime executes:
 * tables of tensors, entries, stages, loads and saves. Everything lies on the compiler's arena. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "driver.h"

typedef struct Filling {
    Compiler *c;
    Arena *arena;
    const Recipe *recipe;
    const Planner *planner;
    size_t n_entries;
    const ProgramEntry *entries;
} Filling;

/* --- tensors ---------------------------------------------------------------------------------------- */
static void tensor_storage(const Filling *f, size_t i, HoneTensor *t)
{
    const PlanTensor *plan = &f->planner->tensors[i];
    t->dtype = (HoneDType)plan->dtype;
    t->rank = (uint32_t)plan->rank;
    for (size_t d = 0; d < plan->rank; d++) {
        t->dims[d] = plan->dims[d];
        t->strides[d] = plan->strides[d];
    }
    t->at = (HoneRef){.arena = plan->arena, .offset = plan->offset};
    t->bytes = plan->bytes;
}

static void tensor_init(HoneTensor *t, Init init)
{
    t->init = init.kind;
    t->a = init.a;
    t->b = init.b;
    t->init_key = hone_hash(t->key);
}

/* "r.hone:14:3", of the first stage that has one; NULL: none has. */
static const char *penalty_place(const Filling *f, size_t variable)
{
    for (size_t i = 0; i < f->recipe->stages.len; i++) {
        const RecipeStage *stage = &f->recipe->stages.at[i];
        if (stage->uses == NULL || stage->uses[variable].penalties.len == 0) {
            continue;
        }
        Span span = stage->uses[variable].penalties.at[0]->span;
        const Source *source = sources_file(&f->c->sources, span.file);
        Place place = source_place(source, span.start);
        return str_c(f->arena, str_format(f->arena, STR_FMT ":%u:%u", STR_ARG(source->path), place.line,
                                          place.column));
    }
    return NULL;
}

static const HoneTensor *fill_tensors(const Filling *f)
{
    const Model *model = f->recipe->model;
    size_t n_variables = model->variables.len;
    HoneTensor *tensors = NEW_ARRAY(f->arena, HoneTensor, f->planner->n_tensors);
    for (size_t i = 0; i < n_variables; i++) {
        const Variable *v = model->variables.at[i];
        const LoadedTensor *loaded = &f->recipe->loaded[i];
        HoneTensor *t = &tensors[i];
        tensor_storage(f, i, t);
        t->key = str_c(f->arena, v->key);
        t->kind = v->is_state ? HONE_MODEL_STATE : HONE_PARAM;
        t->of = HONE_NONE;
        t->load = loaded->load;
        t->load_key = loaded->load == HONE_NONE ? NULL : str_c(f->arena, loaded->key);
        t->penalty = penalty_place(f, i);
        tensor_init(t, v->init);
    }
    for (size_t i = 0; i < f->recipe->states.len; i++) {
        const RecipeState *s = &f->recipe->states.at[i];
        HoneTensor *t = &tensors[n_variables + i];
        tensor_storage(f, n_variables + i, t);
        t->key = str_c(f->arena, s->key);
        t->kind = s->kind;
        t->of = s->of;
        t->load = s->from != NULL ? s->from->load : HONE_NONE;
        t->load_key = s->from != NULL ? str_c(f->arena, s->from->key) : NULL;
        tensor_init(t, s->init);
    }
    return tensors;
}

/* --- entries ---------------------------------------------------------------------------------------- */
/* What a step value means follows from its name: progress, epoch, t@STAGES, or an option's name. The
 * ports of random numbers and faults are the planner's and know their kind. */
static void step_kind(Compiler *c, HonePort *port)
{
    static const char updates[] = "t@";
    if (port->step == HONE_STEP_RANDOM || port->step == HONE_STEP_FAULT) {
        return;
    }
    if (strcmp(port->name, "progress") == 0) {
        port->step = HONE_STEP_PROGRESS;
    } else if (strcmp(port->name, "epoch") == 0) {
        port->step = HONE_STEP_EPOCH;
    } else if (strcmp(port->name, "t") == 0) {
        port->step = HONE_STEP_T;
    } else if (strncmp(port->name, updates, sizeof updates - 1) == 0) {
        port->step = HONE_STEP_T;
        port->earlier = strtoull(port->name + sizeof updates - 1, NULL, 10);
    } else {
        port->step = HONE_STEP_OPTION;
        port->label = port->name;
        (void)recipe_option(c, str_of(port->name), &port->value);
    }
}

static const HonePort *step_ports(const Filling *f, const ProgramEntry *entry)
{
    HonePort *ports = NEW_ARRAY(f->arena, HonePort, entry->plan->n_steps + 1);
    for (size_t i = 0; i < entry->plan->n_steps; i++) {
        ports[i] = entry->plan->steps[i];
        step_kind(f->c, &ports[i]);
    }
    return ports;
}

static const HoneCondition *fill_conditions(const Filling *f, const PlanEntry *plan,
                                            const Demand *demand)
{
    HoneCondition *conditions = NEW_ARRAY(f->arena, HoneCondition, DEMAND_MOST);
    for (uint32_t i = 0; i < demand->n; i++) {
        conditions[i] = (HoneCondition){.at = plan->decisions[demand->literals[i].decision],
                                        .holds = demand->literals[i].holds};
    }
    return conditions;
}

static const HoneCall *fill_calls(const Filling *f, const PlanEntry *plan)
{
    HoneCall *calls = NEW_ARRAY(f->arena, HoneCall, plan->n_kernels + 1);
    for (size_t i = 0; i < plan->n_kernels; i++) {
        const Kernel *kernel = plan->kernels[i];
        calls[i] = (HoneCall){
            .name = str_c(f->arena, kernel->name),
            .n_buffers = (uint32_t)kernel->n_globals,
            .buffers = plan->buffers[i],
            .chunks = kernel_chunks(kernel),
            .flops = kernel->flops,
            .bytes = kernel->bytes,
            .place = kernel->place,
            .n_conditions = plan->demands[i].n,
            .conditions = fill_conditions(f, plan, &plan->demands[i]),
        };
    }
    return calls;
}

static const HoneEntry *fill_entries(const Filling *f, HoneProgram *program)
{
    HoneEntry *entries = NEW_ARRAY(f->arena, HoneEntry, f->n_entries + 1);
    uint64_t activations = 0, scratch = 0;
    for (size_t i = 0; i < f->n_entries; i++) {
        const PlanEntry *plan = f->entries[i].plan;
        entries[i] = (HoneEntry){
            .name = str_c(f->arena, plan->name),
            .n_calls = (uint32_t)plan->n_kernels,
            .n_fields = (uint32_t)plan->n_fields,
            .n_steps = (uint32_t)plan->n_steps,
            .n_outputs = (uint32_t)plan->n_outputs,
            .calls = fill_calls(f, plan),
            .fields = plan->fields,
            .steps = step_ports(f, &f->entries[i]),
            .outputs = plan->outputs,
            .activation_bytes = plan->activation_bytes,
            .flops = plan->flops,
            .bytes = plan->bytes,
        };
        activations = plan->activation_bytes > activations ? plan->activation_bytes : activations;
        scratch = plan->scratch_bytes > scratch ? plan->scratch_bytes : scratch;
    }
    program->arena_bytes[HONE_ARENA_ACTIVATIONS] = activations;
    program->scratch_bytes = scratch;
    return entries;
}

static uint32_t entry_index(const Filling *f, const Graph *graph)
{
    for (size_t i = 0; graph != NULL && i < f->n_entries; i++) {
        if (f->entries[i].graph == graph) {
            return (uint32_t)i;
        }
    }
    return HONE_NONE;
}

/* --- recipe ----------------------------------------------------------------------------------------- */
static const HoneLength *fill_shorter(const Filling *f, const RecipeLengths *from)
{
    HoneLength *shorter = NEW_ARRAY(f->arena, HoneLength, from->len + 1);
    for (size_t i = 0; i < from->len; i++) {
        shorter[i] = (HoneLength){.train = entry_index(f, from->at[i].train),
                                  .count = entry_index(f, from->at[i].count),
                                  .update = entry_index(f, from->at[i].update),
                                  .eval = entry_index(f, from->at[i].eval),
                                  .eval_one = entry_index(f, from->at[i].eval_one)};
    }
    return shorter;
}

static const HoneStage *fill_stages(const Filling *f)
{
    HoneStage *stages = NEW_ARRAY(f->arena, HoneStage, f->recipe->stages.len);
    for (size_t i = 0; i < f->recipe->stages.len; i++) {
        const RecipeStage *from = &f->recipe->stages.at[i];
        stages[i] = (HoneStage){
            .name = str_c(f->arena, from->name),
            .data = from->data,
            .train = entry_index(f, from->train),
            .count = entry_index(f, from->count),
            .update = entry_index(f, from->update),
            .accumulate = from->accumulate,
            .n_zeroed = (uint32_t)from->zeroed.len,
            .zeroed = from->zeroed.at,
            .average = from->average,
            .eval = entry_index(f, from->eval),
            .eval_one = entry_index(f, from->eval_one),
            .n_shorter = (uint32_t)from->shorter.len,
            .shorter = fill_shorter(f, &from->shorter),
            .metrics = entry_index(f, from->metrics),
            .n_totals = (uint32_t)from->totals.len,
            .totals = from->totals.at,
            .epochs = from->epochs,
            .steps = from->steps,
            .monitor = from->monitor.len == 0 ? NULL : str_c(f->arena, from->monitor),
            .monitor_max = from->monitor_max,
            .patience = from->patience,
            .every = from->every,
            .checkpoint = from->checkpoint,
            .trainable_elements = (uint64_t)from->trainable_elements,
            .trainable_tensors = (uint32_t)from->trainable_tensors,
        };
    }
    return stages;
}

static const HoneSave *fill_saves(const Filling *f)
{
    HoneSave *saves = NEW_ARRAY(f->arena, HoneSave, f->recipe->saves.len + 1);
    for (size_t i = 0; i < f->recipe->saves.len; i++) {
        const RecipeSave *from = &f->recipe->saves.at[i];
        saves[i] = (HoneSave){
            .path = str_c(f->arena, from->path),
            .merged = from->merged,
            .n_items = (uint32_t)from->items.len,
            .items = from->items.at,
        };
    }
    return saves;
}

static const HoneRemember *fill_remembers(const Filling *f)
{
    HoneRemember *remembers = NEW_ARRAY(f->arena, HoneRemember, f->recipe->remembers.len + 1);
    for (size_t i = 0; i < f->recipe->remembers.len; i++) {
        const RecipeRemember *from = &f->recipe->remembers.at[i];
        remembers[i] = (HoneRemember){.data = from->data,
                                      .eval = entry_index(f, from->eval),
                                      .eval_one = entry_index(f, from->eval_one),
                                      .n_shorter = (uint32_t)from->shorter.len,
                                      .shorter = fill_shorter(f, &from->shorter)};
    }
    return remembers;
}

static const HonePlace *fill_places(const Filling *f)
{
    HonePlace *places = NEW_ARRAY(f->arena, HonePlace, f->planner->places.len + 1);
    for (size_t i = 0; i < f->planner->places.len; i++) {
        Span span = f->planner->places.at[i];
        if (span.file == 0) {
            places[i] = (HonePlace){.file = "", .what = ""};
            continue;
        }
        const Source *source = sources_file(&f->c->sources, span.file);
        Place place = source_place(source, span.start);
        Str text = {source->text.ptr + span.start, span.end - span.start};
        places[i] = (HonePlace){
            .file = str_c(f->arena, source->path),
            .line = place.line,
            .column = place.column,
            .what = str_c(f->arena, text),
        };
    }
    return places;
}

/* The recipe's text under what was set from outside, for the run directory. */
static const char *resolved_text(const Filling *f)
{
    Buf out = buf_new(f->arena);
    buf_printf(&out, "# hone %s, target %s\n", HONE_VERSION, f->planner->target->name);
    for (size_t i = 0; i < f->c->n_settings; i++) {
        const OptionSetting *s = &f->c->settings[i];
        buf_printf(&out, "# --%s" STR_FMT " " STR_FMT "\n", s->negated ? "no-" : "",
                   STR_ARG(s->name), STR_ARG(s->text));
    }
    buf_add(&out, sources_file(&f->c->sources, f->recipe->span.file)->text);
    return str_c(f->arena, buf_str(&out));
}

/* The text without comments, white space at the ends of lines, and where weights are saved: none of
 * them changes what a run computes. */
static void add_meaning(Buf *out, Str text)
{
    for (size_t i = 0; i < text.len;) {
        size_t from = i, end;
        bool quoted = false;
        while (from < text.len && (text.ptr[from] == ' ' || text.ptr[from] == '\t')) {
            from++;
        }
        for (end = from; end < text.len && text.ptr[end] != '\n'; end++) {
            char c = text.ptr[end];
            if (c == '#' && !quoted) {
                break;
            }
            quoted ^= c == '"' && text.ptr[end - (end > 0)] != '\\';
        }
        for (i = end; i < text.len && text.ptr[i] != '\n'; i++) {
        }
        i++;
        while (end > from && (text.ptr[end - 1] == ' ' || text.ptr[end - 1] == '\t')) {
            end--;
        }
        Str line = {text.ptr + from, end - from};
        if (line.len > 0 && !str_starts(line, STR("save "))) {
            buf_add(out, line);
            buf_char(out, '\n');
        }
    }
}

static void add_tensors(Buf *out, const HoneProgram *program)
{
    for (size_t i = 0; i < program->n_tensors; i++) {
        const HoneTensor *t = &program->tensors[i];
        buf_printf(out, "%s %d %llu %d %a %a %u %s\n", t->key, (int)t->dtype,
                   (unsigned long long)t->bytes, (int)t->init, t->a, t->b, t->of,
                   t->load_key == NULL ? "" : t->load_key);
    }
}

/* Numbers that functions of another file may have made. */
static void add_lengths(Buf *out, const HoneProgram *program)
{
    for (size_t i = 0; i < program->n_data; i++) {
        const HoneData *data = &program->data[i];
        buf_printf(out, "%s %lld %d", data->name, (long long)data->batch, data->shuffle);
        for (size_t k = 0; k < data->n_lengths; k++) {
            buf_printf(out, " %lld", (long long)data->lengths[k]);
        }
        buf_char(out, '\n');
    }
    for (size_t i = 0; i < program->n_stages; i++) {
        const HoneStage *stage = &program->stages[i];
        buf_printf(out, "%s %lld %a %lld %lld\n", stage->name, (long long)stage->accumulate,
                   stage->epochs, (long long)stage->steps, (long long)stage->patience);
    }
}

/* Of the text, the options, the tensors, the tables of constants and the kernels: a checkpoint fits a
 * program with the same hash. */
static uint64_t program_hash(const Filling *f, const HoneProgram *program)
{
    Buf all = buf_new(f->arena);
    buf_printf(&all, "%s\n%s\n", HONE_VERSION, f->planner->target->name);
    for (size_t i = 0; i < f->c->n_settings; i++) {
        const OptionSetting *s = &f->c->settings[i];
        buf_printf(&all, "%d " STR_FMT " " STR_FMT "\n", s->negated, STR_ARG(s->name),
                   STR_ARG(s->text));
    }
    add_meaning(&all, sources_file(&f->c->sources, f->recipe->span.file)->text);
    add_tensors(&all, program);
    add_lengths(&all, program);
    buf_add(&all, buf_str(&f->planner->constants));
    for (size_t i = 0; i < f->n_entries; i++) {
        const PlanEntry *plan = f->entries[i].plan;
        bool saves = f->entries[i].graph == f->recipe->merge;
        for (size_t k = 0; !saves && k < plan->n_kernels; k++) {
            buf_add(&all, kernel_key(plan->kernels[k], f->arena));
        }
    }
    return str_hash(buf_str(&all));
}

void program_fill(Compiler *c, const Recipe *recipe, const Planner *planner, size_t n_entries,
                  const ProgramEntry *entries, HoneProgram *program)
{
    Filling filling = {
        .c = c,
        .arena = c->arena,
        .recipe = recipe,
        .planner = planner,
        .n_entries = n_entries,
        .entries = entries,
    };
    const Filling *f = &filling;
    *program = (HoneProgram){
        .version = HONE_ABI_VERSION,
        .name = str_c(c->arena, recipe->name),
        .recipe = resolved_text(f),
        .target = planner->target->name,
        .constants = planner->constants.ptr,
        .seed = recipe->seed,
        .workers = recipe->workers,
        .n_tensors = (uint32_t)planner->n_tensors,
        .n_entries = (uint32_t)n_entries,
        .n_data = (uint32_t)recipe->data.len,
        .n_loads = (uint32_t)recipe->loads.len,
        .n_saves = (uint32_t)recipe->saves.len,
        .n_stages = (uint32_t)recipe->stages.len,
        .n_places = (uint32_t)planner->places.len,
        .tensors = fill_tensors(f),
        .data = recipe->data.at,
        .loads = recipe->loads.at,
        .saves = fill_saves(f),
        .stages = fill_stages(f),
        .places = fill_places(f),
        .predict = entry_index(f, recipe->predict),
        .n_remembers = (uint32_t)recipe->remembers.len,
        .remembers = fill_remembers(f),
        .start = entry_index(f, recipe->start),
        .n_changes = (uint32_t)recipe->changes,
        .merge = entry_index(f, recipe->merge),
        .predict_data = recipe->stages.len > 0 ? recipe->stages.at[0].data : 0,
    };
    program->entries = fill_entries(f, program);
    for (size_t i = 0; i < planner->n_tensors; i++) {
        const PlanTensor *t = &planner->tensors[i];
        uint64_t end = bytes_sum(t->offset, t->bytes);
        uint64_t *bytes = &program->arena_bytes[t->arena];
        *bytes = end > *bytes ? end : *bytes;
    }
    program->arena_bytes[HONE_ARENA_IO] = planner->io_bytes;
    program->arena_bytes[HONE_ARENA_CONSTANTS] = planner->constants.len;
    program->hash = program_hash(f, program);
}

void program_bind(HoneProgram *program, const Code *code)
{
    size_t n = 0;
    for (uint32_t i = 0; i < program->n_entries; i++) {
        for (uint32_t k = 0; k < program->entries[i].n_calls; k++) {
            ((HoneCall *)(uintptr_t)&program->entries[i].calls[k])->fn = code_function(code, n++);
        }
    }
}
