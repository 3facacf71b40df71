/* limit.c - see limit.h.
 *
 * GCRA: a slot holds the time at which the bucket would be empty again. A request is refused when
 * that lies more than a burst ahead of now; otherwise it moves on by one interval. */
#include "limit.h"

#include <stdatomic.h>
#include "../base/clock.h"
#include "../base/crypto.h"

enum {
    ADDRESS_FACTOR = 10, /* people behind one address */
    GATEWAY_FACTOR = 40,
    BULK_PER_SECOND = 50,
    LOGIN_BURST = 10,    /* tries at one login, then one in six seconds */
    LOGIN_INTERVAL_US = 6000000,
    SIGN_IN_BURST = 60,  /* from one address, then two a second */
    SIGN_IN_INTERVAL_US = 500000,
};

typedef struct Allowance {
    int64_t interval_us; /* 0: unlimited */
    int64_t burst_us;
} Allowance;

static _Atomic int64_t slots[LIMIT_SLOTS];
static uint8_t hash_key[CRYPTO_SHORT_KEY_BYTES];
static int per_second_max;

void limit_setup(int per_second)
{
    per_second_max = per_second;
    crypto_random(hash_key, sizeof hash_key);
}

uint64_t limit_key(const char *kind, Str name)
{
    uint64_t parts[2] = {crypto_short_hash(str_from(kind), hash_key),
                         crypto_short_hash(name, hash_key)};
    return crypto_short_hash((Str){(const char *)parts, sizeof parts}, hash_key);
}

static Allowance allowance_of(Rate rate, int factor)
{
    int64_t interval_us = 1000000 / ((int64_t)per_second_max * factor);
    if (interval_us == 0) interval_us = 1;
    switch (rate) {
    case RATE_READ:
    case RATE_WRITE: return (Allowance){interval_us, 2000000}; /* two seconds' worth at once */
    case RATE_GATEWAY: /* a key speaks for all users of an application */
        return (Allowance){interval_us / GATEWAY_FACTOR + 1, 2000000};
    case RATE_BULK: return (Allowance){1000000 / BULK_PER_SECOND / factor, 2000000};
    case RATE_SIGN_IN:
        if (factor > 1) {
            return (Allowance){SIGN_IN_INTERVAL_US, (int64_t)SIGN_IN_INTERVAL_US * SIGN_IN_BURST};
        }
        return (Allowance){LOGIN_INTERVAL_US, (int64_t)LOGIN_INTERVAL_US * LOGIN_BURST};
    case RATE_NONE:
    case RATE_COUNT: break;
    }
    return (Allowance){0, 0};
}

static bool take(uint64_t key, Rate rate, int factor, int *retry_after_s)
{
    if (per_second_max == 0) return true;
    Allowance allowance = allowance_of(rate, factor);
    if (allowance.interval_us == 0) return true;
    /* classes must not eat each other's allowance */
    uint64_t index = (key ^ (uint64_t)rate * 0x9e3779b97f4a7c15u) % LIMIT_SLOTS;
    int64_t now = clock_monotonic_us();
    int64_t before = atomic_load_explicit(&slots[index], memory_order_relaxed);
    for (;;) {
        int64_t after = (before > now ? before : now) + allowance.interval_us;
        int64_t wait_us = after - now - allowance.burst_us;
        if (wait_us > 0) {
            *retry_after_s = (int)(wait_us / 1000000) + 1;
            return false;
        }
        if (atomic_compare_exchange_weak_explicit(&slots[index], &before, after,
                                                  memory_order_relaxed, memory_order_relaxed)) {
            return true;
        }
    }
}

bool limit_take(uint64_t key, Rate rate, int *retry_after_s)
{
    return take(key, rate, 1, retry_after_s);
}

bool limit_take_address(uint64_t key, Rate rate, int *retry_after_s)
{
    return take(key, rate, ADDRESS_FACTOR, retry_after_s);
}
