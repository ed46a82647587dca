/* dump: the deterministic text form of a graph, close to how people write equations:
 *
 *   y: f32[32, 10]
 *     y[n, o] = sum[i<64] x[n, i] * w[o, i]
 *   d_x: f32[2, 3, 9, 8]
 *     d_x[n, c, 2*h+1, v] += sum[o<8] w[o, c, 1] * dy[n, o, h, v]    (n<2, c<3, h<4, v<8)
 *
 * The last parentheses of a piece that is not plain hold the extents of its variables and its guards.
 */
#include "graph/internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct VarName {
    const Var *var;
    Str name;
} VarName;
struct Dump {
    const Graph *graph;
    Buf *out;
    const Str *nodes;                 /* shown names by node, unique */
    size_t n_vars;
    VarName *vars;                    /* of the piece at hand, unique */
};

/* Binding strength, as in the language. */
enum { LEVEL_ANY, LEVEL_OR, LEVEL_AND, LEVEL_NOT, LEVEL_COMPARE, LEVEL_ADD, LEVEL_MUL, LEVEL_UNARY,
       LEVEL_POSTFIX };

static void dump_scalar(Dump *d, const Scalar *s, int level);

/* --- names ---------------------------------------------------------------------------------------- */
static const Str *node_names(const Graph *graph)
{
    Str *names = NEW_ARRAY(graph->arena, Str, graph->nodes.len + 1);
    Map taken = map_new(graph->arena);
    for (NodeId id = 0; id < graph->nodes.len; id++) {
        Str name = graph_node(graph, id)->name;
        if (name.len == 0)
            name = str_format(graph->arena, "t%u", id);
        else if (map_has(&taken, name))
            name = str_format(graph->arena, STR_FMT ".%u", STR_ARG(name), id);
        map_set(&taken, name, &names[id]);
        names[id] = name;
    }
    return names;
}

static void name_var(Dump *d, const Var *var)
{
    Str base = var->name.len > 0 ? var->name : STR("v"), name = base;
    for (int suffix = 1;; suffix++) {
        bool taken = false;
        for (size_t i = 0; i < d->n_vars; i++)
            taken |= str_eq(d->vars[i].name, name);
        if (!taken)
            break;
        name = str_format(d->graph->arena, STR_FMT "%d", STR_ARG(base), suffix);
    }
    d->vars[d->n_vars++] = (VarName){.var = var, .name = name};
}

static Str var_name(const Dump *d, const Var *var)
{
    for (size_t i = 0; i < d->n_vars; i++)
        if (d->vars[i].var == var)
            return d->vars[i].name;
    return var->name;
}

/* --- positions ------------------------------------------------------------------------------------ */
static void dump_position(Dump *d, const Position *p);

static void dump_inner(Dump *d, const Position *p)
{
    bool atomic = p->n == 1 && p->constant == 0 && p->terms[0].coef == 1 &&
                  p->terms[0].atom->kind != ATOM_DIV && p->terms[0].atom->kind != ATOM_MOD;
    if (!atomic)
        buf_char(d->out, '(');
    dump_position(d, p);
    if (!atomic)
        buf_char(d->out, ')');
}

static void dump_atom(Dump *d, const Atom *atom, bool scaled)
{
    bool parens = scaled && (atom->kind == ATOM_DIV || atom->kind == ATOM_MOD);
    if (parens)
        buf_char(d->out, '(');
    switch (atom->kind) {
    case ATOM_VAR:
        buf_add(d->out, var_name(d, atom->var));
        break;
    case ATOM_DIV:
    case ATOM_MOD:
        dump_inner(d, atom->of);
        buf_printf(d->out, "%s%lld", atom->kind == ATOM_DIV ? "//" : "%", (long long)atom->by);
        break;
    case ATOM_DATA:
        dump_scalar(d, atom->data, LEVEL_POSTFIX);
        break;
    }
    if (parens)
        buf_char(d->out, ')');
}

static void dump_position(Dump *d, const Position *p)
{
    bool first = true;
    for (int negative = 0; negative < 2; negative++) {      /* h-i rather than -i+h */
        for (size_t i = 0; i < p->n; i++) {
            int64_t coef = p->terms[i].coef;
            if ((coef < 0) != (negative == 1))
                continue;
            if (coef < 0)
                buf_char(d->out, '-');
            else if (!first)
                buf_char(d->out, '+');
            uint64_t size = coef < 0 ? 0 - (uint64_t)coef : (uint64_t)coef;
            if (size != 1)
                buf_printf(d->out, "%llu*", (unsigned long long)size);
            dump_atom(d, p->terms[i].atom, size != 1);
            first = false;
        }
    }
    if (first || p->constant != 0)
        buf_printf(d->out, first ? "%lld" : "%+lld", (long long)p->constant);
}

static void dump_positions(Dump *d, size_t n, const Position *const *at)
{
    buf_char(d->out, '[');
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            buf_add(d->out, STR(", "));
        dump_position(d, at[i]);
    }
    buf_char(d->out, ']');
}

static void dump_within(Dump *d, int64_t lo, const Position *p, int64_t hi)
{
    if (hi == lo + 1) {
        dump_position(d, p);
        buf_printf(d->out, " == %lld", (long long)lo);
        return;
    }
    if (lo > p->min)
        buf_printf(d->out, "%lld <= ", (long long)lo);
    dump_position(d, p);
    if (hi <= p->max)
        buf_printf(d->out, " < %lld", (long long)hi);
}

/* --- scalars ---------------------------------------------------------------------------------------- */
static void dump_number(Dump *d, DType dtype, double value)
{
    if (dtype == DT_BOOL) {
        buf_printf(d->out, "%s", value != 0 ? "true" : "false");
        return;
    }
    if (isnan(value)) {                                   /* without a sign: it means nothing */
        buf_add(d->out, STR("nan"));
        return;
    }
    char text[40];
    for (int digits = 6; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    buf_add(d->out, str_of(text));
}

static void dump_args(Dump *d, const char *name, size_t n, const Scalar *const *args)
{
    buf_printf(d->out, "%s(", name);
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            buf_add(d->out, STR(", "));
        dump_scalar(d, args[i], LEVEL_ANY);
    }
    buf_char(d->out, ')');
}

static bool is_negative(const Scalar *s)
{
    double value;
    if (s->kind == SCALAR_FN && s->op == OP_MUL)
        s = s->args[0];
    return sc_is_const(s, &value) && value < 0;
}

static bool is_reciprocal(const Scalar *s)
{
    double value;
    return s->kind == SCALAR_FN && s->op == OP_DIV && sc_is_const(s->args[0], &value) && value == 1;
}

/* A product without the sign of its constant: 0.5 * a * b / c. */
static void dump_product(Dump *d, const Scalar *s)
{
    bool first = true;
    for (int below = 0; below < 2; below++) {
        for (size_t i = 0; i < s->n; i++) {
            const Scalar *arg = s->args[i];
            if (is_reciprocal(arg) != (below == 1))
                continue;
            double value;
            if (sc_is_const(arg, &value)) {
                if (fabs(value) == 1 && below == 0 && s->n > 1 && !is_reciprocal(s->args[1]))
                    continue;
                dump_number(d, arg->dtype, fabs(value));
            } else {
                if (first && below == 1)
                    buf_char(d->out, '1');
                if (!first || below == 1)
                    buf_printf(d->out, below == 1 ? " / " : " * ");
                dump_scalar(d, below == 1 ? arg->args[1] : arg, LEVEL_UNARY);
            }
            first = false;
        }
    }
}

static void dump_term(Dump *d, const Scalar *s)          /* of a sum, without its sign */
{
    double value;
    if (sc_is_const(s, &value))
        dump_number(d, s->dtype, fabs(value));
    else if (s->kind == SCALAR_FN && s->op == OP_MUL)
        dump_product(d, s);
    else
        dump_scalar(d, s, LEVEL_MUL);
}

static void dump_sum(Dump *d, const Scalar *s)
{
    bool first = true;
    for (size_t i = 0; i < s->n; i++) {                    /* the constant last */
        const Scalar *arg = s->args[s->args[0]->kind == SCALAR_CONST ? (i + 1) % s->n : i];
        if (is_negative(arg))
            buf_printf(d->out, first ? "-" : " - ");
        else if (!first)
            buf_add(d->out, STR(" + "));
        if (is_negative(arg))
            dump_term(d, arg);
        else
            dump_scalar(d, arg, LEVEL_MUL);
        first = false;
    }
}

static int level_of(const Scalar *s)
{
    switch (s->kind) {
    case SCALAR_CONST:
        return s->value < 0 ? LEVEL_UNARY : LEVEL_POSTFIX;
    case SCALAR_INDEX:
        return s->at[0]->n == 1 && s->at[0]->constant == 0 && s->at[0]->terms[0].coef == 1
                   ? LEVEL_POSTFIX
                   : LEVEL_ADD;
    case SCALAR_READ:
        return s->fill ? LEVEL_ANY : LEVEL_POSTFIX;
    case SCALAR_WITHIN:
        return LEVEL_COMPARE;
    case SCALAR_RANDOM:
        return LEVEL_POSTFIX;
    case SCALAR_FN:
        break;
    }
    if (s->op == OP_ADD)
        return LEVEL_ADD;
    if (s->op == OP_MUL || s->op == OP_DIV || s->op == OP_IDIV || s->op == OP_MOD)
        return LEVEL_MUL;
    if (s->op == OP_EQ || s->op == OP_NE || s->op == OP_LT || s->op == OP_LE)
        return LEVEL_COMPARE;
    return s->op == OP_AND  ? LEVEL_AND
           : s->op == OP_OR ? LEVEL_OR
           : s->op == OP_NOT ? LEVEL_NOT
                             : LEVEL_POSTFIX;
}

static void dump_fn(Dump *d, const Scalar *s)
{
    int level = level_of(s);
    const char *name = scalar_op_name(s->op);
    if (s->op == OP_ADD) {
        dump_sum(d, s);
    } else if (s->op == OP_MUL) {
        if (is_negative(s))
            buf_char(d->out, '-');
        dump_product(d, s);
    } else if (s->op == OP_CAST) {
        dump_args(d, dtype_name(s->dtype), 1, s->args);
    } else if (s->op == OP_NOT) {
        buf_add(d->out, STR("not "));
        dump_scalar(d, s->args[0], LEVEL_NOT + 1);
    } else if (level == LEVEL_POSTFIX) {
        dump_args(d, name, s->n, s->args);
    } else {
        dump_scalar(d, s->args[0], level == LEVEL_COMPARE ? level + 1 : level);
        buf_printf(d->out, " %s ", name);
        dump_scalar(d, s->args[1], level + 1);
    }
}

static void dump_leaf(Dump *d, const Scalar *s)
{
    switch (s->kind) {
    case SCALAR_CONST:
        dump_number(d, s->dtype, s->value);
        break;
    case SCALAR_INDEX:
        dump_position(d, s->at[0]);
        break;
    case SCALAR_READ:
        if (s->tensor < d->graph->nodes.len)
            buf_add(d->out, d->nodes[s->tensor]);
        else
            buf_printf(d->out, "t%u", s->tensor);
        if (s->n > 0)
            dump_positions(d, s->n, s->at);
        if (s->fill) {
            buf_add(d->out, STR(" ?? "));
            dump_scalar(d, s->fill, LEVEL_POSTFIX);
        }
        break;
    case SCALAR_WITHIN:
        dump_within(d, s->lo, s->at[0], s->hi);
        break;
    case SCALAR_RANDOM:
        buf_printf(d->out, "random(%llx, ", (unsigned long long)s->key);
        dump_position(d, s->at[0]);
        buf_char(d->out, ')');
        break;
    case SCALAR_FN:
        dump_fn(d, s);
        break;
    }
}

static void dump_scalar(Dump *d, const Scalar *s, int level)
{
    bool parens = level_of(s) < level;
    if (parens)
        buf_char(d->out, '(');
    dump_leaf(d, s);
    if (parens)
        buf_char(d->out, ')');
}

/* --- nodes ----------------------------------------------------------------------------------------- */
static void dump_extents(Dump *d, size_t n, const Var *const *vars)
{
    for (size_t i = 0; i < n; i++)
        buf_printf(d->out, "%s" STR_FMT "<%lld", i > 0 ? ", " : "",
                   STR_ARG(var_name(d, vars[i])), (long long)vars[i]->extent);
}

static void dump_conditions(Dump *d, const Piece *piece)
{
    if (piece->n_vars + piece->n_guards == 0)
        return;
    buf_add(d->out, STR("    ("));
    dump_extents(d, piece->n_vars, piece->vars);
    for (size_t i = 0; i < piece->n_guards; i++) {
        buf_add(d->out, i > 0 ? STR(", ") : piece->n_vars > 0 ? STR("; ") : STR(""));
        dump_guard(d, &piece->guards[i]);
    }
    buf_char(d->out, ')');
}

static void dump_piece(Dump *d, NodeId id, const Node *node, const Piece *piece)
{
    d->n_vars = 0;
    d->vars = NEW_ARRAY(d->graph->arena, VarName, piece->n_vars + piece->n_reduced + 1);
    for (size_t i = 0; i < piece->n_vars; i++)
        name_var(d, piece->vars[i]);
    for (size_t i = 0; i < piece->n_reduced; i++)
        name_var(d, piece->reduced[i]);
    bool plain = node->n_pieces == 1 && piece_is_plain(node, piece);
    buf_printf(d->out, "  " STR_FMT, STR_ARG(d->nodes[id]));
    if (node->rank > 0) {
        buf_char(d->out, '[');
        for (size_t k = 0; k < node->rank; k++) {
            if (k > 0)
                buf_add(d->out, STR(", "));
            if (plain)
                buf_add(d->out, var_name(d, piece->vars[k]));
            else
                dump_position(d, piece->left[k]);
        }
        buf_char(d->out, ']');
    }
    buf_printf(d->out, plain ? " = " : " += ");
    bool reduces = piece->n_reduced > 0 || (node->reduce != REDUCE_SUM && node->reduce != REDUCE_NONE);
    if (reduces) {
        buf_printf(d->out, "%s[", reduce_name(node->reduce));
        dump_extents(d, piece->n_reduced, piece->reduced);
        buf_add(d->out, STR("] "));
    }
    dump_scalar(d, piece->body, reduces ? LEVEL_MUL : LEVEL_ANY);
    if (!plain)
        dump_conditions(d, piece);
    buf_char(d->out, '\n');
}

static void dump_type(Dump *d, const Node *node)
{
    buf_printf(d->out, "%s", dtype_name(node->dtype));
    for (size_t k = 0; k < node->rank; k++)
        buf_printf(d->out, "%s%lld", k == 0 ? "[" : ", ", (long long)node->dims[k]);
    if (node->rank > 0)
        buf_char(d->out, ']');
}

static void dump_data(Dump *d, const Node *node)
{
    enum { SHOWN = 8 };
    if (!node->data) {
        buf_add(d->out, STR(" = "));
        dump_number(d, node->dtype, node->value);
        return;
    }
    int64_t elements = node_elements(node);
    buf_add(d->out, STR(" = {"));
    for (int64_t i = 0; i < elements && i < SHOWN; i++) {
        if (i > 0)
            buf_add(d->out, STR(", "));
        dump_number(d, node->dtype, node->data[i]);
    }
    buf_printf(d->out, elements > SHOWN ? ", ...}" : "}");
}

static void dump_call(Dump *d, const Node *node)
{
    buf_printf(d->out, " = " STR_FMT "(", STR_ARG(node->function));
    for (size_t i = 0; i < node->n_args; i++)
        buf_printf(d->out, "%s" STR_FMT, i > 0 ? ", " : "", STR_ARG(d->nodes[node->args[i]]));
    buf_char(d->out, ')');
}

static void dump_node(Dump *d, NodeId id)
{
    static const char *const prefixes[] = {
        [NODE_INPUT] = "input ",       [NODE_PARAM] = "param ",    [NODE_STATE] = "state ",
        [NODE_STEP] = "step ",         [NODE_CONSTANT] = "const ", [NODE_EQUATION] = "",
        [NODE_INTRINSIC] = "intrinsic ", [NODE_COLLECTIVE] = "collective "};
    const Node *node = graph_node(d->graph, id);
    buf_printf(d->out, "%s" STR_FMT ": ", prefixes[node->kind], STR_ARG(d->nodes[id]));
    dump_type(d, node);
    if (node->kind == NODE_CONSTANT)
        dump_data(d, node);
    if (node->kind == NODE_INTRINSIC || node->kind == NODE_COLLECTIVE)
        dump_call(d, node);
    buf_char(d->out, '\n');
    for (size_t i = 0; i < node->n_pieces; i++)
        dump_piece(d, id, node, &node->pieces[i]);
}

void node_dump(const Graph *graph, NodeId id, Buf *out)
{
    Dump d = {.graph = graph, .out = out, .nodes = node_names(graph)};
    dump_node(&d, id);
}

void graph_dump(const Graph *graph, Buf *out)
{
    static const char *const kinds[] = {
        [OUT_LOSS] = "loss", [OUT_GRAD] = "grad", [OUT_NEXT] = "next", [OUT_VALUE] = "value"};
    Dump d = {.graph = graph, .out = out, .nodes = node_names(graph)};
    for (NodeId id = 0; id < graph->nodes.len; id++)
        dump_node(&d, id);
    for (size_t i = 0; i < graph->outputs.len; i++) {
        const Output *output = &graph->outputs.at[i];
        Str name = output->target == NODE_NONE ? output->name : d.nodes[output->target];
        buf_printf(out, "%s " STR_FMT " = " STR_FMT "\n", kinds[output->kind], STR_ARG(name),
                   STR_ARG(d.nodes[output->value]));
    }
}

/* --- expressions alone --------------------------------------------------------------------------- */
Dump *dump_new(const Graph *graph, Buf *out)
{
    Dump *d = NEW(graph->arena, Dump);
    *d = (Dump){.graph = graph, .out = out, .nodes = node_names(graph)};
    return d;
}

void dump_variables(Dump *d, size_t n, const Var *const *vars)
{
    d->n_vars = 0;
    d->vars = NEW_ARRAY(d->graph->arena, VarName, n + 1);
    for (size_t i = 0; i < n; i++)
        name_var(d, vars[i]);
}

void dump_variable(Dump *d, const Var *var)
{
    buf_add(d->out, var_name(d, var));
}

void dump_tensor_at(Dump *d, NodeId tensor, size_t rank, const Position *const *at)
{
    if (tensor < d->graph->nodes.len)
        buf_add(d->out, d->nodes[tensor]);
    else
        buf_printf(d->out, "t%u", tensor);
    if (rank > 0)
        dump_positions(d, rank, at);
}

void dump_guard(Dump *d, const Guard *guard)
{
    buf_printf(d->out, "%lld <= ", (long long)guard->lo);
    dump_position(d, guard->position);
    buf_printf(d->out, " < %lld", (long long)guard->hi);
}

void dump_expression(Dump *d, const Scalar *s)
{
    dump_scalar(d, s, LEVEL_ANY);
}
