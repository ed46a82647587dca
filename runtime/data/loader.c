/* loader: batches of a data set in a fixed order, decoded ahead.
 *
 * Samples of an epoch are numbered 0, 1, … in the order they are used; worker threads take the next
 * number and decode it into its place in a ring of batches. What a sample holds depends on its number
 * alone, so neither the number of workers nor the depth of the ring changes a bit. Sources whose
 * samples are plain copies are read by the caller, without threads. */
#include <string.h>

#include "data/data.h"

typedef struct Slot {                 /* one batch of the ring */
    void **fields;
    int64_t *samples;
    int64_t done;                     /* samples decoded */
} Slot;

struct HoneLoader {
    HoneSys *sys;
    HoneDataset *data;
    HoneLoaderConfig config;
    int64_t *order;                   /* permutation of the samples in this epoch */
    int64_t *starts;                  /* by batch: its first place in order; one more than batches */
    uint32_t *lengths;                /* by batch: which length */
    int64_t *spare;                   /* as long as order; and a place for every batch behind it */
    int64_t epoch, batches, usable;   /* usable: samples of an epoch */
    int depth, n_workers;
    Slot *slots;
    void *block;                      /* the slots' memory */
    Workspace own;
    pthread_t *threads;
    Workspace *work;

    pthread_mutex_t lock;
    pthread_cond_t room, ready;       /* for workers; for the caller */
    int64_t next;                     /* sample number to decode next */
    int64_t taken;                    /* batches handed out; the last one is still in use */
    int busy;                         /* workers inside a sample */
    bool stop, pause, failed;
    HoneError error;
};

static size_t round_up(size_t bytes)
{
    return (bytes + 63) & ~(size_t)63;
}

/* --- order ------------------------------------------------------------------------------------------ */
/* 0 .. n-1 in an order of this epoch; no key of a parameter has a colon. */
static void shuffle(const HoneLoader *loader, const char *what, int64_t n, int64_t *order)
{
    for (int64_t i = 0; i < n; i++) {
        order[i] = i;
    }
    uint64_t key = hone_hash(what);
    for (int64_t i = n - 1; i > 0 && loader->config.shuffle; i--) {   /* Fisher-Yates */
        int64_t j = (int64_t)hone_random_below(loader->config.seed, key, (uint64_t)loader->epoch,
                                               (uint64_t)i, (uint64_t)i + 1);
        int64_t swap = order[i];
        order[i] = order[j];
        order[j] = swap;
    }
}

/* The shortest length that holds the sample. */
static uint32_t length_of(const HoneDataset *data, uint32_t n_lengths, const int64_t *lengths,
                          int64_t sample)
{
    uint32_t which = 0;
    int64_t n = data->reader->length == NULL ? INT64_MAX : data->reader->length(data, sample);
    while (which + 1 < n_lengths && lengths[which] < n) {
        which++;
    }
    return which;
}

/* Cuts the samples of each length into batches, as they come in order; then the batches are shuffled. */
static void cut_by_length(HoneLoader *loader)
{
    int64_t n = hone_data_count(loader->data), size = loader->config.batch, at = 0, batches = 0;
    const HoneLoaderConfig *config = &loader->config;
    int64_t *sorted = loader->spare, *turn = loader->spare + n, *first = turn + loader->batches;
    uint32_t *lengths = loader->lengths + loader->batches;
    for (uint32_t k = 0; k < config->n_lengths; k++) {
        int64_t start = at;
        for (int64_t i = 0; i < n; i++) {
            if (length_of(loader->data, config->n_lengths, config->lengths, loader->order[i]) == k) {
                sorted[at++] = loader->order[i];
            }
        }
        at -= config->drop_last ? (at - start) % size : 0;
        for (; start < at; start += size) {
            first[batches] = start;
            lengths[batches++] = k;
        }
        first[batches] = at;
    }
    shuffle(loader, "data:batches", batches, turn);
    at = 0;
    for (int64_t b = 0; b < batches; b++) {
        int64_t from = first[turn[b]], end = first[turn[b] + 1];
        loader->starts[b] = at;
        loader->lengths[b] = lengths[turn[b]];
        memcpy(loader->order + at, sorted + from, (size_t)(end - from) * sizeof *sorted);
        at += end - from;
    }
    loader->starts[batches] = at;
}

static void order_epoch(HoneLoader *loader)
{
    shuffle(loader, "data:shuffle", hone_data_count(loader->data), loader->order);
    if (loader->config.n_lengths > 1) {
        cut_by_length(loader);
    }
}

static int64_t batch_of(const HoneLoader *loader, int64_t number)
{
    int64_t low = 0, high = loader->batches;
    while (low + 1 < high) {
        int64_t middle = (low + high) / 2;
        if (loader->starts[middle] <= number) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

/* --- decoding ---------------------------------------------------------------------------------------- */
static bool decode(HoneLoader *loader, int64_t number, Workspace *work, HoneError *error)
{
    const HoneDataset *data = loader->data;
    int64_t batch = batch_of(loader, number), place = number - loader->starts[batch];
    Slot *slot = &loader->slots[batch % loader->depth];
    int64_t sample = loader->order[number];
    void *fields[HONE_MAX_FIELDS];
    for (size_t i = 0; i < data->n_fields; i++) {
        fields[i] = (char *)slot->fields[i] + (size_t)place * field_bytes(&data->fields[i]);
    }
    slot->samples[place] = sample;
    SampleMode mode = {
        .augment = loader->config.augment,
        .seed = loader->config.seed,
        .epoch = (uint64_t)loader->epoch,
    };
    return data->reader->read(data, sample, &mode, work, fields, error);
}

/* May a worker start? The ring holds the batch in use and those after it. Called under the lock. */
static bool has_room(const HoneLoader *loader)
{
    int64_t first = loader->taken > 0 ? loader->taken - 1 : 0;
    return !loader->pause && !loader->failed && loader->next < loader->usable &&
           batch_of(loader, loader->next) < first + loader->depth;
}

typedef struct WorkerStart {
    HoneLoader *loader;
    int index;
} WorkerStart;

static void *worker_main(void *argument)
{
    WorkerStart *start = argument;
    HoneLoader *loader = start->loader;
    Workspace *work = &loader->work[start->index];
    pthread_mutex_lock(&loader->lock);
    while (!loader->stop) {
        if (!has_room(loader)) {
            pthread_cond_wait(&loader->room, &loader->lock);
            continue;
        }
        int64_t number = loader->next++;
        loader->busy++;
        pthread_mutex_unlock(&loader->lock);
        HoneError error = {0};
        bool ok = decode(loader, number, work, &error);
        pthread_mutex_lock(&loader->lock);
        loader->busy--;
        loader->slots[batch_of(loader, number) % loader->depth].done++;
        if (!ok && !loader->failed) {
            loader->failed = true;
            loader->error = error;
        }
        pthread_cond_broadcast(&loader->ready);
    }
    pthread_mutex_unlock(&loader->lock);
    hone_free(loader->sys, start);
    return NULL;
}

/* --- sizes -------------------------------------------------------------------------------------------- */
HoneLoaderConfig hone_loader_config(const HoneData *data, int64_t parts)
{
    bool training = parts > 0;
    return (HoneLoaderConfig){
        .batch = data->batch * (training ? parts : 1),
        .shuffle = training && data->shuffle,
        .augment = training,
        .drop_last = training,
        .workers = -1,
        .depth = -1,
        .n_lengths = data->n_lengths,
        .lengths = data->lengths,
    };
}

HoneLoading hone_data_loading(const HoneDataset *data, uint32_t n_lengths, const int64_t *lengths)
{
    HoneLoading loading = {.n_fields = data->n_fields, .held = data->bytes};
    const size_t need[] = {data->need.file, data->need.pixels, data->need.rows, data->need.inner};
    for (size_t i = 0; i < sizeof need / sizeof *need; i++) {
        loading.decoding += need[i];       /* readers bound each */
    }
    for (size_t i = 0; i < data->n_fields; i++) {
        loading.field_bytes[i] = field_bytes(&data->fields[i]);
    }
    loading.samples[0] = n_lengths > 1 ? 0 : data->count;
    for (int64_t i = 0; i < data->count && n_lengths > 1; i++) {
        loading.samples[length_of(data, n_lengths, lengths, i)]++;
    }
    return loading;
}

int64_t hone_loading_most(const HoneLoading *loading)
{
    int64_t most = 0;
    for (size_t i = 0; i < HONE_MAX_LENGTHS; i++) {
        most = loading->samples[i] > most ? loading->samples[i] : most;
    }
    return most;
}

typedef struct Sizes {
    int64_t batches, usable;          /* of an epoch; usable: samples */
    uint64_t slot, block;             /* bytes: of a batch of the ring; of the ring */
    uint64_t slots, order, starts, lengths, spare;
} Sizes;

/* *bytes becomes n elements', rounded up; false where that is more than can be. */
static bool part_bytes(uint64_t n, size_t element, uint64_t *bytes)
{
    bool fits = !__builtin_mul_overflow(n, element, bytes) && *bytes <= SIZE_MAX / 2;
    *bytes = round_up(*bytes);
    return fits;
}

static bool add_part(uint64_t n, size_t element, uint64_t *bytes)
{
    uint64_t part;
    return part_bytes(n, element, &part) && !__builtin_add_overflow(*bytes, part, bytes);
}

static int worker_count(const HoneLoaderConfig *config)
{
    int cores = hone_cpu_count();
    return config->workers >= 0 ? config->workers : cores < 8 ? cores : 8;
}

static int ring_depth(int depth)
{
    return depth < 1 ? 3 : depth + 1;
}

/* A batch holds the numbers of its samples, a pointer for every field, and the fields. */
static bool sizes_of(const HoneLoading *loading, const HoneLoaderConfig *config, Sizes *to)
{
    uint64_t batch = (uint64_t)config->batch, depth = (uint64_t)ring_depth(config->depth), count = 0;
    bool several = config->n_lengths > 1;
    *to = (Sizes){0};
    for (uint32_t k = 0; k == 0 || k < config->n_lengths; k++) {
        int64_t n = loading->samples[k];
        int64_t used = config->drop_last ? n / config->batch * config->batch : n;
        to->usable += used;
        to->batches += used / config->batch + (used % config->batch > 0);
        count += (uint64_t)n;
    }
    uint64_t batches = (uint64_t)to->batches;
    bool fits = add_part(batch, sizeof(int64_t), &to->slot) &&
                add_part(loading->n_fields, sizeof(void *), &to->slot);
    for (size_t i = 0; fits && i < loading->n_fields; i++) {
        fits = add_part(batch, loading->field_bytes[i], &to->slot);
    }
    return fits && part_bytes(depth, to->slot, &to->block) &&
           part_bytes(depth, sizeof(Slot), &to->slots) &&
           part_bytes(count, sizeof(int64_t), &to->order) &&
           part_bytes(batches + 1, sizeof(int64_t), &to->starts) &&
           part_bytes(2 * batches + 1, sizeof(uint32_t), &to->lengths) &&
           part_bytes(several ? count + 2 * batches + 1 : 1, sizeof(int64_t), &to->spare);
}

uint64_t hone_loading_bytes(const HoneLoading *loading, const HoneLoaderConfig *config)
{
    Sizes sizes;
    if (loading->n_fields == 0) {
        return 0;
    }
    uint64_t workers = (uint64_t)worker_count(config), decoding;
    bool fits = sizes_of(loading, config, &sizes) &&
                !__builtin_mul_overflow(workers < 1 ? 1 : workers, loading->decoding, &decoding);
    const uint64_t parts[] = {sizes.block,   sizes.slots, sizes.order,   sizes.starts,
                              sizes.lengths, sizes.spare, loading->held, fits ? decoding : 0};
    uint64_t bytes = 0;
    for (size_t i = 0; fits && i < sizeof parts / sizeof *parts; i++) {
        fits = !__builtin_add_overflow(bytes, parts[i], &bytes);
    }
    return fits ? bytes : UINT64_MAX;
}

/* --- construction ------------------------------------------------------------------------------------ */
static bool make_slots(HoneLoader *loader, HoneError *error)
{
    const HoneDataset *data = loader->data;
    const HoneLoaderConfig *config = &loader->config;
    HoneLoading loading = hone_data_loading(data, config->n_lengths, config->lengths);
    size_t batch = (size_t)config->batch, depth = (size_t)loader->depth;
    Sizes sizes;
    if (!sizes_of(&loading, config, &sizes)) {
        return hone_fail_memory(error, "batches", UINT64_MAX);
    }
    loader->batches = sizes.batches;
    loader->usable = sizes.usable;
    loader->slots = hone_alloc(loader->sys, sizes.slots);
    loader->block = hone_alloc(loader->sys, sizes.block);
    loader->order = hone_alloc(loader->sys, sizes.order);
    loader->starts = hone_alloc(loader->sys, sizes.starts);
    loader->lengths = hone_alloc(loader->sys, sizes.lengths);
    loader->spare = hone_alloc(loader->sys, sizes.spare);
    if (loader->slots == NULL || loader->block == NULL || loader->order == NULL ||
        loader->starts == NULL || loader->lengths == NULL || loader->spare == NULL) {
        return hone_fail_memory(error, "data", sizes.block);
    }
    for (int64_t b = 0; b <= loader->batches && config->n_lengths < 2; b++) {
        int64_t at = b * config->batch;
        loader->starts[b] = at < loader->usable ? at : loader->usable;
    }
    char *at = loader->block;
    for (size_t s = 0; s < depth; s++) {
        loader->slots[s].samples = (int64_t *)at;
        at += round_up(batch * sizeof(int64_t));
        loader->slots[s].fields = (void **)at;
        at += round_up(data->n_fields * sizeof(void *));
        for (size_t i = 0; i < data->n_fields; i++) {
            loader->slots[s].fields[i] = at;
            at += round_up(batch * field_bytes(&data->fields[i]));
        }
    }
    return true;
}

static bool start_worker(HoneLoader *loader, int index, HoneError *error)
{
    const WorkNeed *need = &loader->data->need;
    loader->work[index].sys = loader->sys;
    if (!workspace_reserve(&loader->work[index], need)) {
        return hone_fail_memory(error, "data", need->file + need->pixels + need->rows);
    }
    WorkerStart *start = hone_alloc(loader->sys, sizeof *start);
    if (start == NULL) {
        return hone_fail_memory(error, "data", sizeof *start);
    }
    *start = (WorkerStart){.loader = loader, .index = index};
    if (pthread_create(&loader->threads[index], NULL, worker_main, start) != 0) {
        hone_free(loader->sys, start);
        return hone_fail(error, HONE_NO_MEMORY, "E706", "cannot start a decoding thread");
    }
    return true;
}

static bool start_workers(HoneLoader *loader, int workers, HoneError *error)
{
    loader->threads = hone_alloc(loader->sys, (size_t)(workers + 1) * sizeof *loader->threads);
    loader->work = hone_alloc(loader->sys, (size_t)(workers + 1) * sizeof *loader->work);
    if (loader->threads == NULL || loader->work == NULL) {
        return hone_fail_memory(error, "data", sizeof *loader->threads);
    }
    for (; loader->n_workers < workers; loader->n_workers++) {
        if (!start_worker(loader, loader->n_workers, error)) {
            workspace_free(&loader->work[loader->n_workers]);
            return false;
        }
    }
    return true;
}

HoneLoader *hone_loader_new(HoneSys *sys, HoneDataset *data, const HoneLoaderConfig *config,
                            HoneError *error)
{
    if (config->n_lengths > HONE_MAX_LENGTHS) {
        hone_fail(error, HONE_USAGE, "E702", "samples of %u lengths, at most %d are supported",
                  config->n_lengths, HONE_MAX_LENGTHS);
        return NULL;
    }
    HoneLoader *loader = hone_alloc(sys, sizeof *loader);
    if (loader == NULL) {
        hone_fail_memory(error, "data", sizeof *loader);
        return NULL;
    }
    loader->sys = sys;
    loader->data = data;
    loader->config = *config;
    loader->own.sys = sys;
    loader->depth = ring_depth(config->depth);
    loader->pause = true;
    pthread_mutex_init(&loader->lock, NULL);
    pthread_cond_init(&loader->room, NULL);
    pthread_cond_init(&loader->ready, NULL);
    int workers = data->reader->cheap ? 0 : worker_count(config);
    if (!make_slots(loader, error) || !start_workers(loader, workers, error)) {
        hone_loader_free(loader);
        return NULL;
    }
    return loader;
}

void hone_loader_free(HoneLoader *loader)
{
    if (loader == NULL) {
        return;
    }
    pthread_mutex_lock(&loader->lock);
    loader->stop = true;
    pthread_cond_broadcast(&loader->room);
    pthread_mutex_unlock(&loader->lock);
    for (int i = 0; i < loader->n_workers; i++) {
        pthread_join(loader->threads[i], NULL);
        workspace_free(&loader->work[i]);
    }
    pthread_cond_destroy(&loader->ready);
    pthread_cond_destroy(&loader->room);
    pthread_mutex_destroy(&loader->lock);
    workspace_free(&loader->own);
    hone_free(loader->sys, loader->threads);
    hone_free(loader->sys, loader->work);
    hone_free(loader->sys, loader->order);
    hone_free(loader->sys, loader->starts);
    hone_free(loader->sys, loader->lengths);
    hone_free(loader->sys, loader->spare);
    hone_free(loader->sys, loader->block);
    hone_free(loader->sys, loader->slots);
    hone_free(loader->sys, loader);
}

int64_t hone_loader_batches(const HoneLoader *loader)
{
    return loader->batches;
}

/* --- use ---------------------------------------------------------------------------------------------- */
bool hone_loader_start(HoneLoader *loader, int64_t epoch, int64_t batch, HoneError *error)
{
    (void)error;
    pthread_mutex_lock(&loader->lock);
    loader->pause = true;
    while (loader->busy > 0) {            /* samples of the epoch before */
        pthread_cond_wait(&loader->ready, &loader->lock);
    }
    loader->epoch = epoch;
    order_epoch(loader);
    loader->taken = batch;
    loader->next = loader->starts[batch < loader->batches ? batch : loader->batches];
    for (int s = 0; s < loader->depth; s++) {
        loader->slots[s].done = 0;
    }
    loader->failed = false;
    loader->pause = false;
    pthread_cond_broadcast(&loader->room);
    pthread_mutex_unlock(&loader->lock);
    return true;
}

static int64_t batch_size(const HoneLoader *loader, int64_t batch)
{
    return loader->starts[batch + 1] - loader->starts[batch];
}

/* Without workers: the caller decodes. Called under the lock, which nobody else wants. */
static bool decode_here(HoneLoader *loader, int64_t size, HoneError *error)
{
    for (int64_t i = 0; i < size; i++) {
        if (!decode(loader, loader->next++, &loader->own, error)) {
            return false;
        }
    }
    return true;
}

bool hone_loader_next(HoneLoader *loader, HoneBatch *batch, HoneError *error)
{
    *batch = (HoneBatch){0};
    pthread_mutex_lock(&loader->lock);
    if (loader->taken >= loader->batches) {
        pthread_mutex_unlock(&loader->lock);
        return true;
    }
    if (loader->taken > 0) {              /* the batch in use goes back to the ring */
        loader->slots[(loader->taken - 1) % loader->depth].done = 0;
    }
    int64_t size = batch_size(loader, loader->taken);
    Slot *slot = &loader->slots[loader->taken % loader->depth];
    loader->taken++;
    bool ok = true;
    if (loader->n_workers == 0) {
        ok = decode_here(loader, size, error);
    } else {
        pthread_cond_broadcast(&loader->room);
        while (slot->done < size && !loader->failed) {
            pthread_cond_wait(&loader->ready, &loader->lock);
        }
        if (loader->failed) {
            *error = loader->error;
            ok = false;
        }
    }
    pthread_mutex_unlock(&loader->lock);
    *batch = (HoneBatch){
        .size = size,
        .fields = (const void *const *)slot->fields,
        .samples = slot->samples,
        .length = loader->lengths[loader->taken - 1],
    };
    return ok;
}
