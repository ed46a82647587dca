/* hone run --profile: the time of every kernel beside what it should take, per kernel and per line of
 * the source: a table at the end, everything in profile.json. `perf` and debuggers see names. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "commands/cost.h"

enum { SHOWN = 20 };

/* --- names for perf ----------------------------------------------------------------------------- */
typedef struct Symbol {
    uintptr_t at;
    Str name;
} Symbol;

static int by_address(const void *a, const void *b)
{
    uintptr_t x = ((const Symbol *)a)->at, y = ((const Symbol *)b)->at;
    return (x > y) - (x < y);
}

static size_t find_symbols(const Session *s, const HoneProgram *program, const BuildReport *report,
                           Symbol **symbols)
{
    VEC(Symbol) list = {0};
    for (uint32_t e = 0; e < program->n_entries; e++) {
        for (uint32_t k = 0; k < program->entries[e].n_calls; k++) {
            const Kernel *kernel = report->entries[e].plan->kernels[k];
            Str name = str_format(s->arena, "hone:%s:" STR_FMT, kernel_kind_name(kernel->kind),
                                  STR_ARG(kernel->name));
            uintptr_t at = (uintptr_t)program->entries[e].calls[k].fn;
            VEC_PUSH(s->arena, list, ((Symbol){at, name}));
        }
    }
    qsort(list.at, list.len, sizeof *list.at, by_address);
    *symbols = list.at;
    return list.len;
}

/* The file in which perf looks for functions that are in no binary: one line each, in hexadecimal.
 * A function ends where the next begins. */
static Str perf_map(const Session *s, const HoneProgram *program, const BuildReport *report)
{
    static const uintptr_t last = 4096;
    Symbol *symbols;
    size_t n = find_symbols(s, program, report, &symbols);
    Buf out = buf_new(s->arena);
    for (size_t i = 0; i < n; i++) {
        size_t next = i + 1;
        while (next < n && symbols[next].at == symbols[i].at) {
            next++;                              /* equal kernels share a function */
        }
        uintptr_t size = next < n ? symbols[next].at - symbols[i].at : last;
        buf_printf(&out, "%lx %lx " STR_FMT "\n", (unsigned long)symbols[i].at, (unsigned long)size,
                   STR_ARG(symbols[i].name));
        i = next - 1;
    }
    return buf_str(&out);
}

/* Without it perf shows addresses; nothing else depends on it. */
static void write_perf_map(const Session *s, const HoneProgram *program, const BuildReport *report)
{
    char path[64];
    Str text = perf_map(s, program, report);
    snprintf(path, sizeof path, "/tmp/perf-%ld.map", (long)getpid());
    int fd = hone_open_new(s->sys, path);
    if (fd < 0 && errno == EEXIST && hone_unlink(s->sys, path) == 0) {
        fd = hone_open_new(s->sys, path);       /* of a process that had our number before */
    }
    if (fd >= 0) {
        (void)hone_write_all(s->sys, fd, text.ptr, text.len);
        (void)hone_close(s->sys, fd);
    }
}

bool profile_begin(Session *s, const HoneProgram *program, const BuildReport *report, Profile *p,
                   HoneError *error)
{
    size_t calls = 0;
    for (uint32_t e = 0; e < program->n_entries; e++) {
        calls += program->entries[e].n_calls;
    }
    *p = (Profile){.times = {.passes = NEW_ARRAY(s->arena, int64_t, program->n_entries + 1),
                             .seconds = NEW_ARRAY(s->arena, double, calls + 1)}};
    write_perf_map(s, program, report);
    return limits_measure(s, session_target(s), &p->limits, error);
}

/* --- per line ------------------------------------------------------------------------------------- */
typedef struct Line {
    Str place;
    double seconds, expected;    /* of a pass */
    size_t kernels;
} Line;

static int slowest(const void *a, const void *b)
{
    const Line *x = a, *y = b;
    double d = y->seconds - x->seconds;
    return d > 0 ? 1 : d < 0 ? -1 : str_cmp(x->place, y->place);
}

/* A kernel's time is that of the equation it mainly computes. */
static Line *find_lines(const Session *s, const PlanEntry *plan, const KernelCost *costs,
                        const double *seconds, size_t *n)
{
    Line *lines = NEW_ARRAY(s->arena, Line, plan->n_kernels + 1);
    Map known = map_new(s->arena);
    *n = 0;
    for (size_t k = 0; k < plan->n_kernels; k++) {
        Span span = plan->kernels[k]->span;
        Str place = STR("(made by the compiler)");
        if (span.file != 0) {
            const Source *source = sources_file(&s->c.sources, span.file);
            place = str_format(s->arena, STR_FMT ":%u", STR_ARG(source->path),
                               source_place(source, span.start).line);
        }
        Line *line = map_get(&known, place);
        if (line == NULL) {
            line = &lines[(*n)++];
            line->place = place;
            map_set(&known, place, line);
        }
        line->seconds += seconds[k];
        line->expected += costs[k].predicted;
        line->kernels++;
    }
    qsort(lines, *n, sizeof *lines, slowest);
    return lines;
}

/* --- one entry ------------------------------------------------------------------------------------ */
typedef struct Entry {
    const PlanEntry *plan;
    int64_t passes;
    double seconds;              /* of a pass */
    Cost cost;
    size_t n_rows, n_lines;
    const CostRow *rows;
    const Line *lines;
} Entry;

static Entry measured_entry(const Session *s, const Recipe *recipe, const ProgramEntry *of,
                            const Profile *p, int64_t passes, const double *total)
{
    const PlanEntry *plan = of->plan;
    Entry entry = {.plan = plan, .passes = passes};
    double *each = NEW_ARRAY(s->arena, double, plan->n_kernels + 1);
    KernelCost *costs = cost_kernels(s, recipe, of);
    cost_times(session_target(s), &p->limits, plan->n_kernels, costs);
    for (size_t k = 0; k < plan->n_kernels; k++) {
        each[k] = total[k] / (double)passes;
        entry.seconds += each[k];
        cost_add(&entry.cost, &costs[k], 1);
    }
    entry.rows = cost_rows(s, plan, costs, each, &entry.n_rows);
    entry.lines = find_lines(s, plan, costs, each, &entry.n_lines);
    return entry;
}

static void print_kernels(const Session *s, const Entry *entry, Buf *out)
{
    static const char *const names[] = {"kernel",  "part",    "equations",     "loops",  ">calls",
                                        ">time",   ">share",  ">expected",     ">limit", "bound",
                                        ">GFLOP/s", ">GB/s"};
    Table *table = table_new(s->arena, 12, names);
    for (size_t i = 0; i < entry->n_rows && i < SHOWN; i++) {
        const CostRow *row = &entry->rows[i];
        table_cell(table, "%s", kernel_kind_name(row->first->kind));
        table_cell(table, "%s", phase_name(row->first->phase));
        table_cell(table, STR_FMT, STR_ARG(row->first->where));
        table_cell(table, STR_FMT, STR_ARG(row->first->tile));
        table_cell(table, "%zu", row->sum.kernels);
        table_cell(table, STR_FMT, STR_ARG(seconds_text(s->arena, row->measured)));
        table_cell(table, "%.1f %%", 100 * row->measured / entry->seconds);
        table_cell(table, STR_FMT, STR_ARG(seconds_text(s->arena, row->sum.predicted)));
        table_cell(table, STR_FMT, STR_ARG(seconds_text(s->arena, row->sum.limit)));
        table_cell(table, "%s", row->first->bound);
        table_cell(table, "%.1f", row->sum.flops / row->measured / 1e9);
        table_cell(table, "%.1f", row->sum.bytes / row->measured / 1e9);
    }
    table_print(table, "  ", out);
    if (entry->n_rows > SHOWN) {
        buf_printf(out, "  … and %zu more rows\n", entry->n_rows - SHOWN);
    }
}

static void print_lines(const Session *s, const Entry *entry, Buf *out)
{
    static const char *const names[] = {"line", ">kernels", ">time", ">share", ">expected"};
    Table *table = table_new(s->arena, 5, names);
    for (size_t i = 0; i < entry->n_lines && i < SHOWN; i++) {
        const Line *line = &entry->lines[i];
        table_cell(table, STR_FMT, STR_ARG(line->place));
        table_cell(table, "%zu", line->kernels);
        table_cell(table, STR_FMT, STR_ARG(seconds_text(s->arena, line->seconds)));
        table_cell(table, "%.1f %%", 100 * line->seconds / entry->seconds);
        table_cell(table, STR_FMT, STR_ARG(seconds_text(s->arena, line->expected)));
    }
    table_print(table, "  ", out);
}

static void print_entry(const Session *s, const Entry *entry, Buf *out)
{
    buf_printf(out, "\n" STR_FMT ": %lld passes, kernels " STR_FMT " a pass, expected " STR_FMT
                    ", at least " STR_FMT "\n", STR_ARG(entry->plan->name),
               (long long)entry->passes, STR_ARG(seconds_text(s->arena, entry->seconds)),
               STR_ARG(seconds_text(s->arena, entry->cost.predicted)),
               STR_ARG(seconds_text(s->arena, entry->cost.limit)));
    print_kernels(s, entry, out);
    buf_char(out, '\n');
    print_lines(s, entry, out);
}

static void json_entry(const Entry *entry, Buf *out)
{
    buf_add(out, STR("{\"entry\": "));
    json_string(out, entry->plan->name);
    buf_printf(out, ", \"passes\": %lld, \"seconds\": %.9g, \"expected_s\": %.9g, \"limit_s\": %.9g,\n"
                    "  \"kernels\": [", (long long)entry->passes, entry->seconds,
               entry->cost.predicted, entry->cost.limit);
    for (size_t i = 0; i < entry->n_rows; i++) {
        const CostRow *row = &entry->rows[i];
        buf_printf(out, "%s\n    {\"kind\": \"%s\", \"part\": \"%s\", \"name\": ", i > 0 ? "," : "",
                   kernel_kind_name(row->first->kind), phase_name(row->first->phase));
        json_string(out, row->first->kernel->name);
        buf_add(out, STR(", \"equations\": "));
        json_string(out, row->first->where);
        buf_add(out, STR(", \"loops\": "));
        json_string(out, row->first->tile);
        buf_printf(out, ", \"bound\": \"%s\", \"calls\": %zu, \"flops\": %.9g, \"bytes\": %.9g, "
                        "\"seconds\": %.9g, \"expected_s\": %.9g, \"limit_s\": %.9g}",
                   row->first->bound, row->sum.kernels, row->sum.flops, row->sum.bytes,
                   row->measured, row->sum.predicted, row->sum.limit);
    }
    buf_add(out, STR("],\n  \"lines\": ["));
    for (size_t i = 0; i < entry->n_lines; i++) {
        buf_printf(out, "%s\n    {\"line\": ", i > 0 ? "," : "");
        json_string(out, entry->lines[i].place);
        buf_printf(out, ", \"kernels\": %zu, \"seconds\": %.9g, \"expected_s\": %.9g}",
                   entry->lines[i].kernels, entry->lines[i].seconds, entry->lines[i].expected);
    }
    buf_add(out, STR("]}"));
}

/* --- the whole ------------------------------------------------------------------------------------ */
static void write_json(const Session *s, const HoneResult *result, Str text, Buf *said)
{
    Str path = str_format(s->arena, "%s/profile.json", result->run_dir);
    int fd = hone_open_write(s->sys, str_c(s->arena, path), false);
    bool good = fd >= 0 && hone_write_all(s->sys, fd, text.ptr, text.len) == 0;
    int why = errno;
    good = fd >= 0 && hone_close(s->sys, fd) == 0 && good;
    char words[128];
    if (good) {
        buf_printf(said, "\nall of it: " STR_FMT "\n", STR_ARG(path));
    } else {
        buf_printf(said, "\ncannot write " STR_FMT ": %s\n", STR_ARG(path),
                   hone_errno_text(why, words));
    }
}

void profile_end(Session *s, const Recipe *recipe, const HoneProgram *program,
                 const BuildReport *report, const Profile *p, const HoneResult *result)
{
    Buf text = buf_new(s->arena), json = buf_new(s->arena);
    buf_printf(&text, "\nprofile on " STR_FMT "\n",
               STR_ARG(machine_text(s->arena, s->sys, session_target(s), &p->limits)));
    buf_printf(&json, "{\"target\": \"%s\", \"threads\": %d, \"flops_per_s\": %.6g, "
                      "\"bytes_per_s\": %.6g, \"seconds\": %.6g, \"entries\": [\n",
               session_target(s)->name, p->limits.threads, p->limits.flops, p->limits.memory,
               result->seconds);
    const double *seconds = p->times.seconds;
    double all = 0;
    bool first = true;
    for (uint32_t e = 0; e < program->n_entries; e++) {
        const PlanEntry *plan = report->entries[e].plan;
        if (p->times.passes[e] > 0) {
            Entry entry = measured_entry(s, recipe, &report->entries[e], p, p->times.passes[e],
                                         seconds);
            all += entry.seconds * (double)entry.passes;
            print_entry(s, &entry, &text);
            buf_add(&json, first ? STR("") : STR(",\n"));
            json_entry(&entry, &json);
            first = false;
        }
        seconds += plan->n_kernels;
    }
    buf_add(&json, STR("]}\n"));
    if (result->seconds > 0) {
        buf_printf(&text, "\nkernels took %.0f %% of the run's " STR_FMT "\n",
                   100 * all / result->seconds, STR_ARG(seconds_text(s->arena, result->seconds)));
    }
    write_json(s, result, buf_str(&json), &text);
    err_write(s->sys, buf_str(&text));
}
