/* breaker.h - what one worker has learned of each model server: calls open, failures in a row. Pure
 * but for the clock; the owner of the Breaker owns the records. */
#ifndef AILERON_BREAKER_H
#define AILERON_BREAKER_H

#include "../base/crypto.h"

enum {
    BREAKER_FAILURES_MAX = 5,       /* in a row, then it is left alone … */
    BREAKER_REST_US = 10 * 1000000, /* … for this long, then one call tries it */
    BREAKER_RECORDS = 256,          /* remembered, a power of two */
};

typedef struct BreakerRecord {
    Uuid id;
    int open;     /* calls under way */
    int failures; /* in a row */
    int64_t rests_until_us;
} BreakerRecord;

typedef struct Breaker {
    BreakerRecord records[BREAKER_RECORDS]; /* open addressing by the random end of the id */
} Breaker;

/* The record of that server, made when there is none; NULL: all are in use. */
BreakerRecord *breaker_record(Breaker *breaker, Uuid id);
/* May it be called? Closed, or its rest is over and nobody tries it yet. */
bool breaker_closed(const BreakerRecord *record);
void breaker_failure(BreakerRecord *record);
void breaker_success(BreakerRecord *record);

#endif
