/* target.h - an upstream as somebody gives it, checked in one place for the API and the command
 * line. Owns nothing. */
#ifndef AILERON_GATEWAY_TARGET_H
#define AILERON_GATEWAY_TARGET_H

#include "../db/db.h"

enum { TARGET_TIMEOUT_MS = 600000, TARGET_CONCURRENCY = 1024 };

typedef struct Target {
    Str name;
    Str url;    /* without a slash at its end after target_check */
    Str key;    /* ptr NULL: none, or the one that is there */
    Str models; /* "a, b=c": names, and what the server calls them; empty: every name */
    int64_t priority, timeout_ms, concurrency;
} Target;

/* False with a pointer that names the member. */
MUST_CHECK bool target_check(Target *target, Arena *arena, Err *err);
enum { TARGET_PARAMS = 11 };
/* The parameters of upstream_put: the key sealed, the models as an array. */
MUST_CHECK bool target_params(const Target *target, int64_t project_id, DbParam principal,
                              const uint8_t seal_key[CRYPTO_KEY_BYTES], Arena *arena,
                              DbParam out[TARGET_PARAMS], Err *err);

#endif
