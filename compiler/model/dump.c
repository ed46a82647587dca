/* The text form of a recipe, before its graphs: where every tensor starts, what trains how in which
 * stage, what is saved under which key. Deterministic; the golden form. */
#include "model/model.h"

static void shape(Buf *out, DType dtype, size_t rank, const int64_t *dims)
{
    buf_printf(out, ": %s", dtype_name(dtype));
    for (size_t i = 0; i < rank; i++) {
        buf_printf(out, "%s%lld", i == 0 ? "[" : ", ", (long long)dims[i]);
    }
    buf_printf(out, "%s", rank > 0 ? "]" : "");
}

static void first_value(Buf *out, Init init)
{
    switch (init.kind) {
    case HONE_INIT_CONSTANT: buf_printf(out, " = %g", init.a); return;
    case HONE_INIT_UNIFORM: buf_printf(out, " = uniform(%.4g, %.4g)", init.a, init.b); return;
    case HONE_INIT_NORMAL: buf_printf(out, " = normal(%.4g)", init.b); return;
    case HONE_INIT_EYE: buf_printf(out, " = eye(%g)", init.a); return;
    case HONE_INIT_COPY: buf_printf(out, "%s", " = the parameter's"); return;
    }
}

static void from_file(const Recipe *r, Buf *out, const LoadedTensor *from, Init init)
{
    if (from == NULL || from->load == HONE_NONE) {
        first_value(out, init);
        return;
    }
    buf_printf(out, " = \"%s\" " STR_FMT, r->loads.at[from->load].path, STR_ARG(from->key));
}

static void variable(const Recipe *r, Buf *out, const Variable *v)
{
    buf_printf(out, "%s " STR_FMT, v->is_state ? "state" : "param", STR_ARG(v->key));
    shape(out, v->dtype, v->rank, v->dims);
    from_file(r, out, &r->loaded[v->index], v->init);
    for (size_t i = 0; i < v->aliases.len; i++) {
        buf_printf(out, ", also " STR_FMT, STR_ARG(v->aliases.at[i]));
    }
    if (r->depth != NULL && r->depth[v->index] >= 0) {
        buf_printf(out, ", depth %lld", (long long)r->depth[v->index]);
    }
    buf_printf(out, "%s\n", v->of_adapter ? ", of an adapter" : "");
}

static void knob(Buf *out, const char *name, int64_t value)
{
    if (value > 0) {
        buf_printf(out, ", %s %lld", name, (long long)value);
    }
}

static void trained(const Recipe *r, Buf *out, const RecipeStage *stage)
{
    for (size_t i = 0; i < r->model->variables.len; i++) {
        const Variable *v = r->model->variables.at[i];
        const VariableUse *use = &stage->uses[i];
        if (!use->trainable || v->is_state) {
            continue;
        }
        buf_printf(out, "  " STR_FMT " by " STR_FMT, STR_ARG(v->key),
                   STR_ARG(use->optimizer.item->text));
        for (size_t k = 0; k < use->optimizer.n; k++) {
            const Hyper *hyper = &use->optimizer.hypers[k];
            if (hyper->value.kind == VALUE_FLOAT) {
                buf_printf(out, " " STR_FMT "=%g", STR_ARG(hyper->name), hyper->value.f);
            } else if (hyper->value.clock == CLOCK_STEP) {
                buf_printf(out, " " STR_FMT " per step", STR_ARG(hyper->name));
            }
        }
        knob(out, "penalties", (int64_t)use->penalties.len);
        buf_char(out, '\n');
    }
}

static void stage_dump(const Recipe *r, Buf *out, const RecipeStage *stage)
{
    buf_printf(out, "stage " STR_FMT ": ", STR_ARG(stage->name));
    if (stage->steps > 0) {
        buf_printf(out, "%lld steps", (long long)stage->steps);
    } else {
        buf_printf(out, "%g epochs", stage->epochs);
    }
    knob(out, "accumulate", stage->accumulate > 1 ? stage->accumulate : 0);
    buf_printf(out, "%s", stage->average ? ", ema" : "");
    if (stage->monitor.len > 0) {
        buf_printf(out, ", monitor %s(" STR_FMT ")", stage->monitor_max ? "max" : "min",
                   STR_ARG(stage->monitor));
    }
    knob(out, "patience", stage->patience);
    knob(out, "every", stage->every);
    knob(out, "checkpoint", stage->checkpoint);
    buf_char(out, '\n');
    trained(r, out, stage);
}

void recipe_dump(const Recipe *r, Buf *out)
{
    for (size_t i = 0; i < r->model->variables.len; i++) {
        variable(r, out, r->model->variables.at[i]);
    }
    for (size_t i = 0; i < r->states.len; i++) {
        const RecipeState *s = &r->states.at[i];
        buf_printf(out, "kept " STR_FMT, STR_ARG(s->key));
        shape(out, s->dtype, s->rank, s->dims);
        from_file(r, out, s->from, s->init);
        buf_char(out, '\n');
    }
    for (size_t i = 0; i < r->stages.len; i++) {
        stage_dump(r, out, &r->stages.at[i]);
    }
    for (size_t i = 0; i < r->saves.len; i++) {
        const RecipeSave *save = &r->saves.at[i];
        buf_printf(out, "save \"" STR_FMT "\"%s\n", STR_ARG(save->path),
                   save->merged ? " merged" : "");
        for (size_t k = 0; k < save->items.len; k++) {
            size_t n = r->model->variables.len, tensor = save->items.at[k].tensor;
            Str key = tensor < n ? r->model->variables.at[tensor]->key : r->states.at[tensor - n].key;
            buf_printf(out, "  %s = " STR_FMT "\n", save->items.at[k].key, STR_ARG(key));
        }
    }
}
