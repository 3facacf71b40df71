/* breaker.c - see breaker.h. */
#include "breaker.h"

#include <string.h>
#include "../base/clock.h"

BreakerRecord *breaker_record(Breaker *breaker, Uuid id)
{
    uint32_t hash;
    BreakerRecord *unused = NULL;
    memcpy(&hash, id.bytes + 12, sizeof hash);
    for (uint32_t i = 0; i < BREAKER_RECORDS; i++) {
        BreakerRecord *record = &breaker->records[(hash + i) & (BREAKER_RECORDS - 1)];
        if (memcmp(record->id.bytes, id.bytes, sizeof id.bytes) == 0) return record;
        if (unused == NULL && record->open == 0 && record->failures == 0) unused = record;
        bool never_used = record->id.bytes[6] == 0; /* no id of version 7 */
        if (never_used) break;
    }
    if (unused != NULL) *unused = (BreakerRecord){.id = id};
    return unused;
}

bool breaker_closed(const BreakerRecord *record)
{
    if (record->failures < BREAKER_FAILURES_MAX) return true;
    return record->open == 0 && clock_monotonic_us() >= record->rests_until_us;
}

void breaker_failure(BreakerRecord *record)
{
    if (record->failures < BREAKER_FAILURES_MAX) record->failures++;
    if (record->failures < BREAKER_FAILURES_MAX) return;
    record->rests_until_us = clock_monotonic_us() + BREAKER_REST_US;
}

void breaker_success(BreakerRecord *record)
{
    record->failures = 0;
}
