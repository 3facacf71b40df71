/* keys.h - the instance's secrets: DIR/secret.key, made once, readable by its owner only. */
#ifndef AILERON_KEYS_H
#define AILERON_KEYS_H

#include "base/crypto.h"
#include "base/err.h"

typedef struct Keys {
    uint8_t pseudonym[CRYPTO_KEY_BYTES]; /* annotators' names in exports */
    uint8_t seal[CRYPTO_KEY_BYTES];      /* secrets at rest */
} Keys;

/* Reads the file, or makes it (and the directory) when it is not there. Two processes that start at
 * once get the same keys. */
MUST_CHECK bool keys_load(Keys *keys, const char *data_dir, Arena *arena, Err *err);

#endif
