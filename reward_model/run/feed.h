/* feed.h - the packs of a run's steps, in their order, made by a thread of its own while the device
 * works: which elements a step trains, which of them are this process's, and how they are packed.
 *
 *   maker:   step 7: pack, pack, last | step 8: …        at most FEED_AHEAD are ready
 *   taker:   feed_next … feed_release, one at a time
 *
 * What comes is decided by the step alone, not by who is faster. The Feed owns the packs. */
#ifndef AILERON_RM_FEED_H
#define AILERON_RM_FEED_H

#include "pack.h"

enum { FEED_AHEAD = 2 };

typedef struct FeedOptions {
    const Store *store;
    const PackRules *rules;
    int64_t micro_rows;
    int64_t elements_a_step, steps_an_epoch;
    int64_t step, steps; /* from this one, up to that one */
    uint64_t seed;
    int32_t rank, world;
    bool with_batch; /* false: only cached features are wanted */
} FeedOptions;

typedef struct FedPack {
    Pack pack;
    int64_t step;
    bool last; /* of its step; it may be empty, where there are more processes than elements */
} FedPack;

typedef struct Feed Feed;

/* NULL with an error. */
MUST_CHECK Feed *feed_open(const FeedOptions *options, Arena *arena, Err *err);
void feed_close(Feed *feed); /* at any time; NULL is nobody */
/* The next pack; *waited_s grows by how long that took. NULL with an error. */
MUST_CHECK FedPack *feed_next(Feed *feed, double *waited_s, Arena *arena, Err *err);
void feed_release(Feed *feed);

#endif
