/* The key of a kernel: everything that its code follows from, as bytes. Variables, positions and
 * scalars are numbered in order of appearance, so that ids and names do not matter. */
#include "loop/internal.h"

#include <string.h>

typedef struct Key {
    const Kernel *kernel;
    Buf out;
    Map seen; /* address -> number + 1 */
} Key;

static void key_bytes(Key *key, const void *from, size_t n)
{
    buf_add(&key->out, (Str){from, n});
}

static void key_int(Key *key, int64_t value)
{
    if (value >= 0 && value < 0xf0) {
        buf_char(&key->out, (char)value);
        return;
    }
    buf_char(&key->out, (char)0xff);
    key_bytes(key, &value, sizeof value);
}

/* Writes the number of something seen before, true; else numbers it, false. */
static bool key_seen(Key *key, const void *what)
{
    Str address = {(const char *)&what, sizeof what};
    uintptr_t number = (uintptr_t)map_get(&key->seen, address);
    key_int(key, (int64_t)number);
    if (number)
        return true;
    address.ptr = arena_copy(key->out.arena, &what, sizeof what);
    map_set(&key->seen, address, (void *)(key->seen.len + 1));
    return false;
}

static void key_var(Key *key, const Var *var)
{
    if (!key_seen(key, var))
        key_int(key, var->extent);
}

static void key_scalar(Key *key, const Scalar *s);
static void key_position(Key *key, const Position *p);

static void key_atom(Key *key, const Atom *atom)
{
    if (key_seen(key, atom))
        return;
    key_int(key, atom->kind);
    switch (atom->kind) {
    case ATOM_VAR:
        key_var(key, atom->var);
        break;
    case ATOM_DIV:
    case ATOM_MOD:
        key_int(key, atom->by);
        key_position(key, atom->of);
        break;
    case ATOM_DATA:
        key_scalar(key, atom->data);
        break;
    }
}

static void key_position(Key *key, const Position *p)
{
    if (key_seen(key, p))
        return;
    key_int(key, p->constant);
    key_int(key, (int64_t)p->n);
    for (size_t i = 0; i < p->n; i++) {
        key_int(key, p->terms[i].coef);
        key_atom(key, p->terms[i].atom);
    }
}

static void key_buffer(Key *key, NodeId tensor)
{
    size_t index = 0;
    while (index < key->kernel->n_buffers && key->kernel->buffers[index].tensor != tensor)
        index++;
    key_int(key, (int64_t)index);
}

static void key_scalar(Key *key, const Scalar *s)
{
    if (key_seen(key, s))
        return;
    key_int(key, s->kind);
    key_int(key, s->dtype);
    switch (s->kind) {
    case SCALAR_CONST:
        key_bytes(key, &s->value, sizeof s->value);
        return;
    case SCALAR_READ:
        key_buffer(key, s->tensor);
        key_int(key, s->fill != NULL);
        if (s->fill)
            key_scalar(key, s->fill);
        break;
    case SCALAR_WITHIN:
        key_int(key, s->lo);
        key_int(key, s->hi);
        break;
    case SCALAR_RANDOM:
        key_bytes(key, &s->key, sizeof s->key);
        break;
    case SCALAR_FN:
        key_int(key, s->op);
        key_int(key, (int64_t)s->n);
        for (size_t i = 0; i < s->n; i++)
            key_scalar(key, s->args[i]);
        return;
    case SCALAR_INDEX:
        break;
    }
    size_t n = s->kind == SCALAR_READ ? s->n : 1;
    for (size_t i = 0; i < n; i++)
        key_position(key, s->at[i]);
}

static void key_store(Key *key, const KStore *store)
{
    key_int(key, store->buffer);
    key_int(key, store->reduce);
    key_int(key, store->accumulate);
    for (size_t d = 0; d < key->kernel->buffers[store->buffer].rank; d++)
        key_position(key, store->left[d]);
    key_int(key, (int64_t)store->n_guards);
    for (size_t i = 0; i < store->n_guards; i++) {
        key_int(key, store->guards[i].lo);
        key_int(key, store->guards[i].hi);
        key_position(key, store->guards[i].position);
    }
    key_scalar(key, store->body);
}

static void key_nest(Key *key, const Nest *nest)
{
    key_int(key, (int64_t)nest->n_loops);
    for (size_t i = 0; i < nest->n_loops; i++) {
        key_var(key, nest->loops[i].var);
        key_int(key, nest->loops[i].kind);
        key_int(key, nest->loops[i].tile);
        key_int(key, nest->loops[i].width);
        key_int(key, nest->loops[i].times);
        key_int(key, nest->loops[i].folded);
        key_int(key, nest->loops[i].reduced);
    }
    key_int(key, (int64_t)nest->n_stores);
    for (size_t i = 0; i < nest->n_stores; i++)
        key_store(key, &nest->stores[i]);
    key_int(key, (int64_t)nest->n_prefetches);
    for (size_t i = 0; i < nest->n_prefetches; i++) {
        const KPrefetch *prefetch = &nest->prefetches[i];
        key_scalar(key, prefetch->read);
        key_int(key, prefetch->ahead);
        key_int(key, prefetch->drift);
        key_int(key, prefetch->lines);
        key_int(key, prefetch->stride);
        key_int(key, prefetch->parts);
        key_int(key, prefetch->over != NULL);
        if (prefetch->over)
            key_var(key, prefetch->over);
    }
}

Str kernel_key(const Kernel *kernel, Arena *arena)
{
    Key key = {.kernel = kernel, .out = buf_new(arena), .seen = map_new(arena)};
    buf_add(&key.out, kernel->function);
    key_int(&key, kernel->uses_random);
    key_int(&key, kernel->uses_fault ? (int64_t)kernel->place + 1 : 0);
    key_int(&key, (int64_t)kernel->n_globals);
    key_int(&key, (int64_t)kernel->n_buffers);
    for (size_t i = 0; i < kernel->n_buffers; i++) {
        const KBuffer *buffer = &kernel->buffers[i];
        key_int(&key, buffer->dtype);
        key_int(&key, buffer->place);
        key_int(&key, (int64_t)buffer->slot);
        key_int(&key, (int64_t)buffer->elements);
        key_int(&key, buffer->relative);
        key_int(&key, buffer->panel);
        key_int(&key, buffer->panel ? (int64_t)buffer->panel_at : 0);
        key_int(&key, buffer->panel_stride);
        key_int(&key, (int64_t)buffer->rank);
        for (size_t d = 0; d < buffer->rank; d++) {
            key_int(&key, buffer->dims[d]);
            key_int(&key, buffer->strides[d]);
        }
    }
    key_int(&key, (int64_t)kernel->n_chunk_loops);
    for (size_t i = 0; i < kernel->n_chunk_loops; i++) {
        key_var(&key, kernel->chunk_loops[i].var);
        key_int(&key, kernel->chunk_loops[i].tile);
    }
    key_int(&key, (int64_t)kernel->n_blocks);
    for (size_t i = 0; i < kernel->n_blocks; i++) {
        const KBlock *block = &kernel->blocks[i];
        key_var(&key, block->var);
        key_int(&key, block->tile);
        key_int(&key, (int64_t)block->first);
        key_int(&key, (int64_t)block->end);
        key_int(&key, block->reduced);
    }
    key_int(&key, (int64_t)kernel->n_nests);
    for (size_t i = 0; i < kernel->n_nests; i++)
        key_nest(&key, &kernel->nests[i]);
    return buf_str(&key.out);
}
