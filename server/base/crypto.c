/* crypto.c - see crypto.h. The only file that includes sodium.h. */
#include <sodium.h> /* first: crypto.h renames crypto_hash */
#include "crypto.h"

#include "clock.h"
#include "metrics.h"

_Static_assert(CRYPTO_HASH_BYTES >= crypto_generichash_BYTES_MIN, "a digest libsodium makes");
_Static_assert(CRYPTO_KEY_BYTES <= crypto_generichash_KEYBYTES_MAX, "a key libsodium takes");
_Static_assert(CRYPTO_PASSWORD_CHARS >= crypto_pwhash_STRBYTES, "room for an encoded hash");

enum {
    UUID_COUNTER_MAX = 0xfff,
    UUID_COUNTER_START_MAX = 0x7ff, /* leaves 2,048 ids before time is borrowed ahead */
    PSEUDONYM_DIGITS = 16,
};

/* A hash of random bytes nobody kept, at the same limits: verifying against it costs the same. */
static const char dummy_password_hash[] =
    "$argon2id$v=19$m=65536,t=2,p=1$FPNbGk3fQsXEX8u7DuIg9Q$"
    "XVLanx/C65VMLCCjI5iwLjFo94zE748VPTMN0IAmPDI";

struct Hasher {
    /* libsodium wants its state aligned to 64; an arena gives 16, so the state moves inside */
    unsigned char storage[sizeof(crypto_generichash_state) + 63];
};

bool crypto_init(void)
{
    return sodium_init() >= 0;
}

void crypto_random(void *out, size_t n)
{
    randombytes_buf(out, n);
}

uint64_t crypto_random_u64(void)
{
    uint64_t value;
    randombytes_buf(&value, sizeof value);
    return value;
}

static void uuid_stamp(Uuid *id, int64_t unix_ms)
{
    for (int i = 0; i < 6; i++) id->bytes[i] = (uint8_t)((uint64_t)unix_ms >> (40 - 8 * i));
    id->bytes[6] = (uint8_t)(0x70 | (id->bytes[6] & 0x0f));
    id->bytes[8] = (uint8_t)(0x80 | (id->bytes[8] & 0x3f));
}

Uuid uuid_new(void)
{
    static _Thread_local int64_t last_ms;
    static _Thread_local unsigned counter;
    Uuid id;
    randombytes_buf(id.bytes, sizeof id.bytes);
    int64_t now_ms = clock_unix_ms();
    if (now_ms > last_ms) {
        last_ms = now_ms;
        counter = (unsigned)(id.bytes[6] << 8 | id.bytes[7]) & UUID_COUNTER_START_MAX;
    } else if (counter < UUID_COUNTER_MAX) {
        counter++; /* the same millisecond, or a clock that was set back */
    } else {
        last_ms++;
        counter = (unsigned)(id.bytes[6] << 8 | id.bytes[7]) & UUID_COUNTER_START_MAX;
    }
    id.bytes[6] = (uint8_t)(counter >> 8);
    id.bytes[7] = (uint8_t)counter;
    uuid_stamp(&id, last_ms);
    return id;
}

Uuid uuid_from_digest(int64_t unix_ms, const uint8_t digest[CRYPTO_HASH_BYTES])
{
    Uuid id;
    memcpy(id.bytes, digest, sizeof id.bytes);
    uuid_stamp(&id, unix_ms);
    return id;
}

void uuid_write(Uuid id, char out[UUID_CHARS + 1])
{
    static const char digits[] = "0123456789abcdef";
    for (int i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10) *out++ = '-';
        *out++ = digits[id.bytes[i] >> 4];
        *out++ = digits[id.bytes[i] & 15];
    }
    *out = '\0';
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

bool uuid_read(Str text, Uuid *out)
{
    Uuid id;
    const char *p = text.ptr;
    if (p == NULL || text.len != UUID_CHARS) return false;
    for (int i = 0; i < 16; i++) {
        if ((i == 4 || i == 6 || i == 8 || i == 10) && *p++ != '-') return false;
        int high = hex_value(p[0]), low = hex_value(p[1]);
        if (high < 0 || low < 0) return false;
        id.bytes[i] = (uint8_t)(high << 4 | low);
        p += 2;
    }
    *out = id;
    return true;
}

void crypto_hash(uint8_t out[CRYPTO_HASH_BYTES], Str data, const uint8_t key[CRYPTO_KEY_BYTES])
{
    int rc = crypto_generichash(out, CRYPTO_HASH_BYTES, (const unsigned char *)data.ptr, data.len,
                                key, key == NULL ? 0 : CRYPTO_KEY_BYTES);
    assert(rc == 0);
    (void)rc;
}

uint64_t crypto_short_hash(Str data, const uint8_t key[CRYPTO_SHORT_KEY_BYTES])
{
    _Static_assert(CRYPTO_SHORT_KEY_BYTES == crypto_shorthash_KEYBYTES, "SipHash key");
    uint64_t hash;
    crypto_shorthash((unsigned char *)&hash, (const unsigned char *)data.ptr, data.len, key);
    return hash;
}

static crypto_generichash_state *hasher_state(Hasher *hasher)
{
    uintptr_t at = ((uintptr_t)hasher->storage + 63) & ~(uintptr_t)63;
    return (crypto_generichash_state *)at;
}

size_t hasher_size(void)
{
    return sizeof(Hasher);
}

void hasher_init(Hasher *hasher, const uint8_t key[CRYPTO_KEY_BYTES])
{
    crypto_generichash_init(hasher_state(hasher), key, key == NULL ? 0 : CRYPTO_KEY_BYTES,
                            CRYPTO_HASH_BYTES);
}

void hasher_add(Hasher *hasher, Str part)
{
    uint64_t length = part.ptr == NULL ? UINT64_MAX : part.len;
    uint8_t prefix[8];
    for (int i = 0; i < 8; i++) prefix[i] = (uint8_t)(length >> (8 * i));
    hasher_add_raw(hasher, prefix, sizeof prefix);
    if (part.ptr != NULL) hasher_add_raw(hasher, part.ptr, part.len);
}

void hasher_add_raw(Hasher *hasher, const void *bytes, size_t n)
{
    crypto_generichash_update(hasher_state(hasher), bytes, n);
}

void hasher_final(Hasher *hasher, uint8_t out[CRYPTO_HASH_BYTES])
{
    crypto_generichash_final(hasher_state(hasher), out, CRYPTO_HASH_BYTES);
}

void crypto_token_new(char text[CRYPTO_TOKEN_CHARS + 1], uint8_t hash[CRYPTO_HASH_BYTES])
{
    uint8_t token[CRYPTO_TOKEN_BYTES];
    randombytes_buf(token, sizeof token);
    sodium_bin2base64(text, CRYPTO_TOKEN_CHARS + 1, token, sizeof token,
                      sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    sodium_memzero(token, sizeof token);
    crypto_token_hash(str_from(text), hash);
}

void crypto_token_hash(Str text, uint8_t hash[CRYPTO_HASH_BYTES])
{
    crypto_hash(hash, text, NULL);
}

bool crypto_equal(const void *a, const void *b, size_t n)
{
    return sodium_memcmp(a, b, n) == 0;
}

void crypto_wipe(void *bytes, size_t n)
{
    sodium_memzero(bytes, n);
}

void crypto_hex(char *out, const uint8_t *bytes, size_t n)
{
    sodium_bin2hex(out, 2 * n + 1, bytes, n);
}

_Static_assert(CRYPTO_SEAL_EXTRA_BYTES ==
               crypto_secretbox_NONCEBYTES + crypto_secretbox_MACBYTES, "what a seal adds");

void crypto_seal(uint8_t *sealed, Str text, const uint8_t key[CRYPTO_KEY_BYTES])
{
    randombytes_buf(sealed, crypto_secretbox_NONCEBYTES);
    crypto_secretbox_easy(sealed + crypto_secretbox_NONCEBYTES, (const uint8_t *)text.ptr, text.len,
                          sealed, key);
}

bool crypto_unseal(char *out, Str sealed, const uint8_t key[CRYPTO_KEY_BYTES])
{
    const uint8_t *bytes = (const uint8_t *)sealed.ptr;
    if (sealed.len < CRYPTO_SEAL_EXTRA_BYTES) return false;
    size_t length = sealed.len - CRYPTO_SEAL_EXTRA_BYTES;
    if (crypto_secretbox_open_easy((uint8_t *)out, bytes + crypto_secretbox_NONCEBYTES,
                                   sealed.len - crypto_secretbox_NONCEBYTES, bytes, key) != 0) {
        return false;
    }
    out[length] = '\0';
    return true;
}

bool crypto_password_hash(char out[CRYPTO_PASSWORD_CHARS], Str password)
{
    metric_add(METRIC_password_hashes_total, 1);
    return crypto_pwhash_str(out, password.ptr, password.len, crypto_pwhash_OPSLIMIT_INTERACTIVE,
                             crypto_pwhash_MEMLIMIT_INTERACTIVE) == 0;
}

bool crypto_password_verify(const char *encoded, Str password)
{
    const char *against = encoded == NULL ? dummy_password_hash : encoded;
    metric_add(METRIC_password_hashes_total, 1);
    bool match = crypto_pwhash_str_verify(against, password.ptr, password.len) == 0;
    return match && encoded != NULL;
}

void crypto_pseudonym(char out[CRYPTO_PSEUDONYM_CHARS + 1], Str identity,
                      const uint8_t key[CRYPTO_KEY_BYTES])
{
    static const char digits[] = "abcdefghijklmnopqrstuvwxyz234567";
    uint8_t hash[CRYPTO_HASH_BYTES];
    if (crypto_is_pseudonym(identity)) {
        memcpy(out, identity.ptr, identity.len);
        out[identity.len] = '\0';
        return;
    }
    crypto_hash(hash, identity, key);
    out[0] = 'a';
    out[1] = '-';
    for (size_t i = 0; i < PSEUDONYM_DIGITS; i++) {
        size_t bit = i * 5;
        unsigned pair = (unsigned)(hash[bit / 8] << 8 | hash[bit / 8 + 1]);
        out[2 + i] = digits[(pair >> (11 - bit % 8)) & 31];
    }
    out[CRYPTO_PSEUDONYM_CHARS] = '\0';
}

bool crypto_is_pseudonym(Str name)
{
    if (name.len != CRYPTO_PSEUDONYM_CHARS || !str_starts(name, "a-")) return false;
    for (size_t i = 2; i < name.len; i++) {
        char c = name.ptr[i];
        if (!(c >= 'a' && c <= 'z') && !(c >= '2' && c <= '7')) return false;
    }
    return true;
}
