/* feed.c - see feed.h. */
#include "feed.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "../../server/base/clock.h"
#include "partition.h"

enum { FEED_SLOTS = FEED_AHEAD + 1 }; /* and the one in use */

struct Feed {
    FeedOptions options;
    FedPack slots[FEED_SLOTS];
    pthread_t thread;
    bool started;
    atomic_bool stopping;
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t wake;
    int64_t made, taken, released;
    bool failed;
    Arena arena; /* of the maker's errors */
    Err err;
    int64_t costs[PARTITION_BLOCK];
    int32_t owners[PARTITION_BLOCK];
};

/* ---- which elements ---- */

/* The element trained at a place of the whole run: epoch by epoch, each in an order of its own. */
static int64_t element_at(const Feed *f, int64_t place)
{
    int64_t elements = store_elements(f->options.store);
    uint64_t epoch = (uint64_t)(place / elements);
    return store_shuffled(place % elements, elements, f->options.seed * 1000003u + epoch);
}

/* Places of a step: a whole batch, or what is left of the epoch. */
static void step_places(const Feed *f, int64_t step, int64_t *first, int64_t *end)
{
    const FeedOptions *o = &f->options;
    int64_t elements = store_elements(o->store), epoch = step / o->steps_an_epoch;
    *first = epoch * elements + step % o->steps_an_epoch * o->elements_a_step;
    *end = *first + o->elements_a_step;
    if (*end > (epoch + 1) * elements) *end = (epoch + 1) * elements;
}

/* Tokens of an element as if nothing were shared: enough to deal elements out evenly. */
static int64_t element_cost(const Feed *f, int64_t element)
{
    StoredRow rows[ELEMENT_ROWS_MAX];
    int count = store_element(f->options.store, element, rows);
    int64_t cost = 0;
    for (int i = 0; i < count; i++)
        for (int32_t a = 0; a < rows[i].answers; a++) cost += rows[i].sequences[a].length;
    return cost;
}

static void deal(Feed *f, int64_t place, int32_t count)
{
    for (int32_t i = 0; i < count; i++) f->costs[i] = element_cost(f, element_at(f, place + i));
    partition_deal(f->costs, count, f->options.world, f->owners);
}

/* ---- the maker ---- */

/* Waits for a free slot; NULL: the end. */
static FedPack *slot_begin(Feed *f, int64_t step)
{
    pthread_mutex_lock(&f->lock);
    while (f->made - f->released == FEED_SLOTS && !atomic_load(&f->stopping))
        pthread_cond_wait(&f->wake, &f->lock);
    FedPack *slot = &f->slots[f->made % FEED_SLOTS];
    pthread_mutex_unlock(&f->lock);
    if (atomic_load(&f->stopping)) return NULL;
    pack_clear(&slot->pack);
    slot->step = step;
    slot->last = false;
    return slot;
}

static bool slot_end(Feed *f, FedPack *slot, bool last)
{
    Pack *pack = &slot->pack;
    bool empty = pack->sequence_count == 0;
    if (!empty && (!pack_build(pack, f->options.with_batch, &f->arena, &f->err) ||
                   !pack_losses(pack, &f->arena, &f->err)))
        return false;
    slot->last = last;
    pthread_mutex_lock(&f->lock);
    f->made++;
    pthread_cond_broadcast(&f->wake);
    pthread_mutex_unlock(&f->lock);
    return true;
}

/* A pack is full when it has reached micro_rows; it goes when another element comes, so that the
 * step's last one is known to be the last. */
static bool make_step(Feed *f, int64_t step)
{
    const FeedOptions *o = &f->options;
    int64_t first, end;
    step_places(f, step, &first, &end);
    FedPack *slot = slot_begin(f, step);
    for (int64_t place = first; slot && place < end; place++) {
        int32_t within = (int32_t)((place - first) % PARTITION_BLOCK);
        int64_t left = end - place;
        if (o->world > 1 && within == 0)
            deal(f, place, (int32_t)(left < PARTITION_BLOCK ? left : PARTITION_BLOCK));
        if (o->world > 1 && f->owners[within] != o->rank) continue;
        if (slot->pack.packed_rows >= o->micro_rows) {
            if (!slot_end(f, slot, false)) return false;
            slot = slot_begin(f, step);
        }
        if (slot && !pack_add(&slot->pack, o->store, element_at(f, place), &f->arena, &f->err))
            return false;
    }
    return !slot || slot_end(f, slot, true);
}

static void *make(void *context)
{
    Feed *f = context;
    bool ok = true;
    for (int64_t step = f->options.step; ok && step < f->options.steps; step++) {
        if (atomic_load(&f->stopping)) break;
        ok = make_step(f, step);
    }
    if (ok) return NULL;
    pthread_mutex_lock(&f->lock);
    f->failed = true;
    pthread_cond_broadcast(&f->wake);
    pthread_mutex_unlock(&f->lock);
    return NULL;
}

/* ---- the taker ---- */

FedPack *feed_next(Feed *f, double *waited_s, Arena *arena, Err *err)
{
    int64_t begun_us = clock_monotonic_us();
    pthread_mutex_lock(&f->lock);
    while (f->taken == f->made && !f->failed) pthread_cond_wait(&f->wake, &f->lock);
    bool there = f->taken < f->made;
    FedPack *slot = there ? &f->slots[f->taken++ % FEED_SLOTS] : NULL;
    pthread_mutex_unlock(&f->lock);
    *waited_s += (double)(clock_monotonic_us() - begun_us) / 1e6;
    if (!slot) err_set(err, arena, f->err.code, NULL, "%s", f->err.detail);
    return slot;
}

void feed_release(Feed *f)
{
    pthread_mutex_lock(&f->lock);
    f->released++;
    pthread_cond_broadcast(&f->wake);
    pthread_mutex_unlock(&f->lock);
}

Feed *feed_open(const FeedOptions *options, Arena *arena, Err *err)
{
    Feed *f = calloc(1, sizeof *f);
    if (!f) {
        err_set(err, arena, ERR_unavailable, NULL, "out of memory");
        return NULL;
    }
    f->options = *options;
    arena_init(&f->arena, MiB(1));
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->wake, NULL);
    for (int i = 0; i < FEED_SLOTS; i++) pack_init(&f->slots[i].pack, options->rules);
    f->started = pthread_create(&f->thread, NULL, make, f) == 0;
    if (f->started) return f;
    err_set(err, arena, ERR_unavailable, NULL, "no thread to prepare batches");
    feed_close(f);
    return NULL;
}

void feed_close(Feed *f)
{
    if (!f) return;
    pthread_mutex_lock(&f->lock);
    atomic_store(&f->stopping, true);
    pthread_cond_broadcast(&f->wake);
    pthread_mutex_unlock(&f->lock);
    if (f->started) pthread_join(f->thread, NULL);
    for (int i = 0; i < FEED_SLOTS; i++) pack_release(&f->slots[i].pack);
    pthread_mutex_destroy(&f->lock);
    pthread_cond_destroy(&f->wake);
    arena_release(&f->arena);
    free(f);
}
