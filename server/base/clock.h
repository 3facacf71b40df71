/* clock.h - wall and monotonic time, and RFC 3339 text. Owns nothing. */
#ifndef AILERON_CLOCK_H
#define AILERON_CLOCK_H

#include "str.h"

int64_t clock_monotonic_us(void);
int64_t clock_unix_ms(void);

enum { CLOCK_TEXT_CHARS = 32 };
/* Microseconds since 1970 -> "2026-11-21T10:00:00Z", with a fraction only when there is one
 * (trailing zeros cut). */
void clock_write(char out[CLOCK_TEXT_CHARS], int64_t unix_us);
/* RFC 3339 with Z or an offset, fraction up to 6 digits kept (more are cut); years 1970..9999. */
MUST_CHECK bool clock_read(Str text, int64_t *unix_us);

#endif
