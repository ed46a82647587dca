/* passes FILE [STAGE]: runs every pass on the graphs of a recipe's first stage and prints seconds,
 * nodes, pieces and points after each; dumps the training graph after STAGE. By hand. */
#include "driver.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void count(const char *name, const Graph *graph, double seconds)
{
    size_t pieces = 0, reduced = 0;
    double points = 0, elements = 0;
    for (NodeId id = 0; id < graph->nodes.len; id++) {
        const Node *node = graph_node(graph, id);
        elements += node->kind == NODE_EQUATION ? (double)node_elements(node) : 0;
        for (size_t i = 0; i < node->n_pieces; i++) {
            const Piece *p = &node->pieces[i];
            double n = 1;
            for (size_t k = 0; k < p->n_vars; k++)
                n *= (double)p->vars[k]->extent;
            for (size_t k = 0; k < p->n_reduced; k++)
                n *= (double)p->reduced[k]->extent;
            points += n;
            pieces++;
            reduced += p->n_reduced > 0;
        }
    }
    printf("%-10s %8.4f s  %6zu nodes %6zu pieces %6zu reduced  %.4g points  %.4g elements\n", name,
           seconds, graph->nodes.len, pieces, reduced, points, elements);
}

static void passes(Arena *arena, const Graph *graph, const char *shown)
{
    const Target *target = NULL;
    double start = now();
    count("graph", graph, 0);
    Buf out = buf_new(arena);
    if (strcmp(shown, "graph") == 0)
        graph_dump(graph, &out);
#define STAGE(name, help)
#define PASS(name, call, help)                                                                     \
    if (strcmp(#name, "split") != 0) {                                                             \
        start = now();                                                                             \
        graph = call;                                                                              \
        count(#name, graph, now() - start);                                                        \
        const char *why = graph_verify(graph, arena);                                              \
        if (why)                                                                                   \
            printf("ILL FORMED: %s\n", why);                                                       \
        if (strcmp(shown, #name) == 0)                                                             \
            graph_dump(graph, &out);                                                               \
    }
#include "stages.def"
#undef STAGE
#undef PASS
    (void)target;
    printf(STR_FMT, STR_ARG(buf_str(&out)));
}

int main(int argc, char **argv)
{
    HoneSys sys = {0};
    Mem mem;
    mem_init(&mem, &sys);
    Compiler c;
    compiler_init(&c, &mem, &sys, arena_new(&mem, "compile"));
    File *file = argc > 1 ? compiler_load(&c, str_of(argv[1])) : NULL;
    const Ast *tree = file ? file_tree(file) : NULL;
    RecipeOptions options = {.without_files = true};
    for (size_t i = 0; tree && i < tree->n; i++) {
        if (tree->kids[i]->kind != AST_FINETUNE)
            continue;
        double start = now();
        Recipe *recipe = recipe_build(&c, file, tree->kids[i], &options);
        printf("recipe %.3f s\n", now() - start);
        if (recipe && recipe->stages.len > 0 && recipe->stages.at[0].train)
            passes(c.arena, recipe->stages.at[0].train, argc > 2 ? argv[2] : "");
        break;
    }
    Buf out = buf_new(c.arena);
    diags_text(&c.diags, &out, false);
    fprintf(stderr, STR_FMT, STR_ARG(buf_str(&out)));
    mem_release(&mem);
    return 0;
}
