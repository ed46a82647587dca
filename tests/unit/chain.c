/* Chains: attention written in several ways, whose scores no kernel stores whole, forward and backward,
 * against the interpreter, on targets with caches so small that rows come in many blocks; and equations
 * that look alike and are none. */
#include "support/kernels.h"
#include "support/planned.h"
#include "support/program.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

typedef struct Net {
    const char *name, *text;
    size_t chains, ends;         /* of the training step: how many, and their equations that nothing of
                                  * theirs reads: results, and what is kept per row to go back */
} Net;

#define SOFTMAX(b, h, t, u)                                                                        \
    "m[b:" b ", h:" h ", t:" t "] = max[u:" u "] s[b, h, t, u]\n"                                   \
    "e[b:" b ", h:" h ", t:" t ", u:" u "] = exp(s[b, h, t, u] - m[b, h, t])\n"                     \
    "z[b:" b ", h:" h ", t:" t "] = sum[u:" u "] e[b, h, t, u]\n"                                   \
    "w[b:" b ", h:" h ", t:" t ", u:" u "] = e[b, h, t, u] / z[b, h, t]\n"

static const Net nets[] = {
    {"causal, of one tensor",
     "param x[3, 37, 72]\n"
     "a[b:3, h:3, t:37, u:37] = sum[c:8] x[b, t, 8*h+c] * x[b, u, 8*h+c+24] * 0.35\n"
     "s[b:3, h:3, t:37, u:37] = select(t >= u, a[b, h, t, u], -30.0)\n" SOFTMAX("3", "3", "37", "37")
     "y[b:3, t:37, h:3, c:8] = sum[u:37] w[b, h, t, u] * x[b, u, 8*h+c+48]\n"
     "o[b:3, t:37, h:3, c:8] = y[b, t, h, c] * y[b, t, h, c]", 2, 3},
    {"with masked keys, of three tensors",
     "param q[4, 29, 2, 5]\nparam k[4, 41, 2, 5]\nparam v[4, 41, 2, 7]\ninput g[4, 41]\n"
     "a[b:4, h:2, t:29, u:41] = sum[c:5] q[b, t, h, c] * k[b, u, h, c]\n"
     "s[b:4, h:2, t:29, u:41] = a[b, h, t, u] * 0.4 + select(g[b, u] > 0.0, 0.0, -40.0)\n"
     SOFTMAX("4", "2", "29", "41")
     "y[b:4, t:29, h:2, c:7] = sum[u:41] w[b, h, t, u] * v[b, u, h, c]\n"
     "o[b:4, t:29, h:2, c:7] = y[b, t, h, c] * y[b, t, h, c]", 2, 5},
    {"with dropout",
     "param q[4, 2, 33, 6]\nparam k[4, 2, 33, 6]\nparam v[4, 2, 33, 6]\n"
     "s[b:4, h:2, t:33, u:33] = sum[c:6] q[b, h, t, c] * k[b, h, u, c]\n" SOFTMAX("4", "2", "33", "33")
     "d[b:4, h:2, t:33, u:33] = select(random(7, u + 33*(t + 33*(h + 2*b))) < 0.2, 0.0, "
     "w[b, h, t, u] * 1.25)\n"
     "y[b:4, t:33, h:2, c:6] = sum[u:33] d[b, h, t, u] * v[b, h, u, c]\n"
     "o[b:4, t:33, h:2, c:6] = y[b, t, h, c] * y[b, t, h, c]", 2, 5},
    {"without a softmax: nothing of the result is needed to go back",
     "param q[8, 35, 6]\nparam k[8, 35, 6]\nparam v[8, 35, 6]\n"
     "s[b:8, t:35, u:35] = sum[c:6] q[b, t, c] * k[b, u, c]\n"
     "w[b:8, t:35, u:35] = max(s[b, t, u], 0.0)\n"
     "y[b:8, t:35, c:6] = sum[u:35] w[b, t, u] * v[b, u, c]", 1, 4},
    {"of one batch: nothing to share between threads",
     "param q[1, 35, 6]\nparam k[1, 35, 6]\nparam v[1, 35, 6]\n"
     "s[b:1, t:35, u:35] = sum[c:6] q[b, t, c] * k[b, u, c]\n"
     "w[b:1, t:35, u:35] = max(s[b, t, u], 0.0)\n"
     "y[b:1, t:35, c:6] = sum[u:35] w[b, t, u] * v[b, u, c]", 0, 0},
    {"with a learnt bias: its gradient reads the scores of all batches",
     "param q[4, 2, 33, 6]\nparam k[4, 2, 33, 6]\nparam v[4, 2, 33, 6]\nparam p[2, 33, 33]\n"
     "a[b:4, h:2, t:33, u:33] = sum[c:6] q[b, h, t, c] * k[b, h, u, c]\n"
     "s[b:4, h:2, t:33, u:33] = a[b, h, t, u] + p[h, t, u]\n" SOFTMAX("4", "2", "33", "33")
     "y[b:4, t:33, h:2, c:6] = sum[u:33] w[b, h, t, u] * v[b, h, u, c]", 0, 0},
    {"with rows that meet columns: the scores are read turned",
     "param q[8, 33, 6]\nparam k[8, 33, 6]\nparam v[8, 33, 6]\n"
     "s[b:8, t:33, u:33] = sum[c:6] q[b, t, c] * k[b, u, c]\n"
     "w[b:8, t:33, u:33] = s[b, t, u] * s[b, u, t]\n"
     "y[b:8, t:33, c:6] = sum[u:33] w[b, t, u] * v[b, u, c]", 0, 0},
};

static bool reads(Arena *arena, const Node *node, NodeId tensor)
{
    bool found = false;
    for (size_t n = 0; n < node->n_pieces; n++) {
        ScalarList list = piece_list(arena, &node->pieces[n], node->rank);
        for (size_t s = 0; s < list.n; s++)
            found |= list.at[s]->kind == SCALAR_READ && list.at[s]->tensor == tensor;
    }
    return found;
}

static void count_chains(Arena *arena, const Graph *graph, const Target *target, size_t *chains,
                         size_t *ends)
{
    Groups groups = pass_fuse(arena, graph, target, 0);
    *chains = *ends = 0;
    for (size_t g = 0; g < groups.n; g++) {
        const RowChain *chain = groups.groups[g].chain;
        *chains += chain != NULL;
        for (size_t i = 0; chain && i < chain->n_nodes; i++) {
            bool read = false;
            for (size_t k = i + 1; k < chain->n_nodes; k++)
                read |= reads(arena, graph_node(groups.graph, chain->nodes[k]), chain->nodes[i]);
            *ends += !read;
        }
    }
}

static bool check_target(const Net *net, Arena *arena, const Graph *graph, const Interp *interp,
                         const Target *target)
{
    const Target small = kernels_small_caches(target), *const caches[] = {&small, target};
    bool all = true;
    for (size_t i = 0; i < 2; i++) {
        size_t chains, ends;
        count_chains(arena, graph, caches[i], &chains, &ends);
        PlannedResult r = planned_compare(arena, graph, interp, caches[i]);
        bool good = r.why[0] == '\0' && r.error < 2e-5 && chains == net->chains && ends == net->ends;
        if (!good)
            print_error("%s, %s, %s caches: differs by %g, %zu chains, %zu ends, %s\n", target->name,
                        net->name, i == 0 ? "small" : "large", r.error, chains, ends, r.why);
        all = all && good;
    }
    return all;
}

static int check_net(const Net *net)
{
    Program p;
    program_open(&p);
    Equations e = equations_read(p.arena, net->text, 5);
    equations_add_loss(&e, 1);
    const Target *const *targets;
    size_t n = target_list(&targets);
    int failed = 0, ran = 0;
    const Graph *raw = pass_autodiff(p.arena, e.graph, e.n_params, e.params);
    const Graph *graph = planned_passes(p.arena, raw, targets[0]);
    Interp interp = equations_interp(&e, graph);
    assert_true(interp_run(&interp));
    for (size_t t = 0; t < n; t++) {
        if (target_runs_here(targets[t])) {
            failed += !check_target(net, p.arena, graph, &interp, targets[t]);
            ran++;
        }
    }
    assert_true(ran > 0);
    program_close(&p);
    return failed;
}

static void scores_are_never_stored(void **state)
{
    (void)state;
    int failed = 0;
    for (size_t i = 0; i < sizeof nets / sizeof *nets; i++)
        failed += check_net(&nets[i]);
    assert_int_equal(failed, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(scores_are_never_stored)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
