/* crypto.h - the only place that knows libsodium: randomness, ids, hashes, passwords, sealing. */
#ifndef AILERON_CRYPTO_H
#define AILERON_CRYPTO_H

#include "str.h"

enum {
    CRYPTO_HASH_BYTES = 32,
    CRYPTO_KEY_BYTES = 32,
    CRYPTO_TOKEN_BYTES = 32,                   /* random bytes in a session or link token */
    CRYPTO_TOKEN_CHARS = 43,                   /* its base64url text, without padding */
    CRYPTO_PASSWORD_CHARS = 128,               /* room for an encoded Argon2id hash, with NUL */
    CRYPTO_PSEUDONYM_CHARS = 18,               /* "a-" and 16 base32 characters */
    CRYPTO_SHORT_KEY_BYTES = 16,
    UUID_CHARS = 36,
    CRYPTO_SEAL_EXTRA_BYTES = 40,              /* nonce and authentication */
    CRYPTO_SEALED_BYTES_MAX = 4096 + CRYPTO_SEAL_EXTRA_BYTES,
};

typedef struct Uuid { uint8_t bytes[16]; } Uuid;

typedef struct Hasher Hasher; /* BLAKE2b-256 in progress */

MUST_CHECK bool crypto_init(void);
void crypto_random(void *out, size_t n);
uint64_t crypto_random_u64(void);

/* UUIDv7 (RFC 9562): 48 bits of Unix milliseconds, then random; within one thread ids made in the
 * same millisecond still increase (12-bit counter in rand_a). */
Uuid uuid_new(void);
/* UUIDv7-shaped id from a time and a digest: the same input gives the same id, so that an import
 * is idempotent. */
Uuid uuid_from_digest(int64_t unix_ms, const uint8_t digest[CRYPTO_HASH_BYTES]);
void uuid_write(Uuid id, char out[UUID_CHARS + 1]);
MUST_CHECK bool uuid_read(Str text, Uuid *out); /* 36 characters, any case */

/* BLAKE2b-256, keyed when key is not NULL. (libsodium has a crypto_hash of another kind: the macro
 * keeps the two apart for the linker.) */
#define crypto_hash aileron_crypto_hash
void crypto_hash(uint8_t out[CRYPTO_HASH_BYTES], Str data, const uint8_t key[CRYPTO_KEY_BYTES]);
/* SipHash-2-4: for hash tables that clients choose the keys of. */
uint64_t crypto_short_hash(Str data, const uint8_t key[CRYPTO_SHORT_KEY_BYTES]);
/* Incremental; every part is preceded by its length, so parts cannot run together. */
size_t hasher_size(void);
void hasher_init(Hasher *hasher, const uint8_t key[CRYPTO_KEY_BYTES]);
void hasher_add(Hasher *hasher, Str part);    /* length-prefixed; ptr NULL differs from empty */
void hasher_add_raw(Hasher *hasher, const void *bytes, size_t n);
void hasher_final(Hasher *hasher, uint8_t out[CRYPTO_HASH_BYTES]);

/* A fresh random token as base64url text and the hash under which it is stored. */
void crypto_token_new(char text[CRYPTO_TOKEN_CHARS + 1], uint8_t hash[CRYPTO_HASH_BYTES]);
void crypto_token_hash(Str text, uint8_t hash[CRYPTO_HASH_BYTES]);
bool crypto_equal(const void *a, const void *b, size_t n); /* constant time */
void crypto_wipe(void *bytes, size_t n); /* clears secrets; never optimised away */
void crypto_hex(char *out, const uint8_t *bytes, size_t n); /* 2n characters and NUL */

/* Secrets at rest: nonce, then a secretbox. sealed needs text.len + CRYPTO_SEAL_EXTRA_BYTES. */
void crypto_seal(uint8_t *sealed, Str text, const uint8_t key[CRYPTO_KEY_BYTES]);
/* out gets the text and a NUL: sealed.len bytes are enough. False: another key, or damaged. */
MUST_CHECK bool crypto_unseal(char *out, Str sealed, const uint8_t key[CRYPTO_KEY_BYTES]);

/* Argon2id, interactive limits (64 MiB; about 0.1 s): never on an event loop. */
MUST_CHECK bool crypto_password_hash(char out[CRYPTO_PASSWORD_CHARS], Str password);
/* False for a wrong password; `encoded` NULL verifies against a fixed dummy, in the same time. */
bool crypto_password_verify(const char *encoded, Str password);

/* "a-" + base32 of a keyed hash: an annotator's stable pseudonym within a project.
 * A name that already has this form is returned as it is, so a re-import keeps it. */
void crypto_pseudonym(char out[CRYPTO_PSEUDONYM_CHARS + 1], Str identity,
                      const uint8_t key[CRYPTO_KEY_BYTES]);
bool crypto_is_pseudonym(Str name);

#endif
