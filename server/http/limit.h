/* limit.h - how often somebody may do something: GCRA over one table shared by all workers.
 *
 * A key's whole state is one atomic time (its theoretical arrival time), so the limit is exact
 * across workers without a lock. Keys that collide share their allowance; the hash is keyed with a
 * secret, so nobody can aim for another's slot. */
#ifndef AILERON_LIMIT_H
#define AILERON_LIMIT_H

#include "route.h"

enum { LIMIT_SLOTS = 65536 };

/* Before the workers start: requests a second one caller may make; 0 switches every limit off. */
void limit_setup(int per_second);

/* The key of a name of some kind ("login", "token", "address"). */
uint64_t limit_key(const char *kind, Str name);
/* False: too often; *retry_after_s (at least 1) says when to come back. */
MUST_CHECK bool limit_take(uint64_t key, Rate rate, int *retry_after_s);
/* The same for an address, which may stand for a whole classroom: more generous. */
MUST_CHECK bool limit_take_address(uint64_t key, Rate rate, int *retry_after_s);

#endif
