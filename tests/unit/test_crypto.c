/* test_crypto.c - ids that grow, hashes that separate, passwords that verify. */
#include "../../server/base/crypto.h"
#include "../../server/base/clock.h"
#include "unit.h"

START_TEST(uuids_are_version_7_and_grow)
{
    Uuid last = {{0}};
    int64_t before = clock_unix_ms();
    for (int i = 0; i < 100000; i++) {
        Uuid id = uuid_new();
        ck_assert_int_gt(memcmp(id.bytes, last.bytes, 16), 0);
        ck_assert_int_eq(id.bytes[6] >> 4, 7);
        ck_assert_int_eq(id.bytes[8] >> 6, 2);
        last = id;
    }
    int64_t ms = 0;
    for (int i = 0; i < 6; i++) ms = ms << 8 | last.bytes[i];
    ck_assert_int_ge(ms, before);
    ck_assert_int_le(ms, clock_unix_ms() + 100); /* a burst may borrow some milliseconds */
}
END_TEST

START_TEST(uuid_text_goes_both_ways)
{
    char text[UUID_CHARS + 1];
    Uuid id, back;
    ck_assert(uuid_read(STR("019A7B3C-4d5e-7f60-8123-456789abcdef"), &id));
    uuid_write(id, text);
    ck_assert_str_eq(text, "019a7b3c-4d5e-7f60-8123-456789abcdef");
    ck_assert(uuid_read(str_from(text), &back));
    ck_assert_mem_eq(id.bytes, back.bytes, 16);
    static const char *const bad[] = {"", "019a7b3c4d5e7f608123456789abcdef",
                                      "019a7b3c-4d5e-7f60-8123-456789abcdeg",
                                      "019a7b3c-4d5e-7f60-8123-456789abcdef0",
                                      "{19a7b3c-4d5e-7f60-8123-456789abcde}"};
    for (size_t i = 0; i < LEN(bad); i++) ck_assert(!uuid_read(str_from(bad[i]), &id));
    ck_assert(!uuid_read((Str){NULL, 0}, &id));
}
END_TEST

START_TEST(digest_ids_repeat)
{
    uint8_t digest[CRYPTO_HASH_BYTES];
    crypto_hash(digest, STR("row"), NULL);
    Uuid a = uuid_from_digest(1700000000000, digest), b = uuid_from_digest(1700000000000, digest);
    ck_assert_mem_eq(a.bytes, b.bytes, 16);
    ck_assert_int_eq(a.bytes[6] >> 4, 7);
    ck_assert_int_eq(a.bytes[8] >> 6, 2);
}
END_TEST

static void hash_parts(Str a, Str b, uint8_t out[CRYPTO_HASH_BYTES])
{
    Hasher *hasher = malloc(hasher_size());
    hasher_init(hasher, NULL);
    hasher_add(hasher, a);
    hasher_add(hasher, b);
    hasher_final(hasher, out);
    free(hasher);
}

START_TEST(parts_cannot_run_together)
{
    uint8_t one[CRYPTO_HASH_BYTES], two[CRYPTO_HASH_BYTES], three[CRYPTO_HASH_BYTES];
    hash_parts(STR("ab"), STR("c"), one);
    hash_parts(STR("a"), STR("bc"), two);
    ck_assert_mem_ne(one, two, sizeof one);
    hash_parts(STR("ab"), STR(""), one);
    hash_parts(STR("ab"), (Str){NULL, 0}, two);
    ck_assert_mem_ne(one, two, sizeof one);
    hash_parts(STR("ab"), STR(""), three);
    ck_assert_mem_eq(one, three, sizeof one);
}
END_TEST

START_TEST(hash_is_blake2b)
{
    char hex[2 * CRYPTO_HASH_BYTES + 1];
    uint8_t hash[CRYPTO_HASH_BYTES];
    crypto_hash(hash, STR("abc"), NULL);
    crypto_hex(hex, hash, sizeof hash);
    ck_assert_str_eq(hex, "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319");
}
END_TEST

START_TEST(tokens_are_new_and_found_by_hash)
{
    char a[CRYPTO_TOKEN_CHARS + 1], b[CRYPTO_TOKEN_CHARS + 1];
    uint8_t hash_a[CRYPTO_HASH_BYTES], hash_b[CRYPTO_HASH_BYTES], again[CRYPTO_HASH_BYTES];
    crypto_token_new(a, hash_a);
    crypto_token_new(b, hash_b);
    ck_assert_uint_eq(strlen(a), CRYPTO_TOKEN_CHARS);
    ck_assert_str_ne(a, b);
    crypto_token_hash(str_from(a), again);
    ck_assert(crypto_equal(hash_a, again, sizeof again));
    ck_assert(!crypto_equal(hash_a, hash_b, sizeof again));
}
END_TEST

START_TEST(passwords_verify)
{
    char encoded[CRYPTO_PASSWORD_CHARS];
    ck_assert(crypto_password_hash(encoded, STR("correct horse")));
    ck_assert(crypto_password_verify(encoded, STR("correct horse")));
    ck_assert(!crypto_password_verify(encoded, STR("correct horsf")));
    ck_assert(!crypto_password_verify(encoded, STR("")));
}
END_TEST

START_TEST(an_unknown_login_costs_as_much)
{
    char encoded[CRYPTO_PASSWORD_CHARS];
    ck_assert(crypto_password_hash(encoded, STR("correct horse")));
    int64_t spent[2] = {0, 0};
    for (int i = 0; i < 6; i++) {
        int64_t start = clock_monotonic_us();
        ck_assert(!crypto_password_verify(i % 2 == 0 ? NULL : encoded, STR("wrong")));
        spent[i % 2] += clock_monotonic_us() - start;
    }
    ck_assert_int_lt(spent[0], 3 * spent[1]);
    ck_assert_int_lt(spent[1], 3 * spent[0]);
}
END_TEST

START_TEST(pseudonyms_are_stable_and_stay)
{
    uint8_t key[CRYPTO_KEY_BYTES] = {1}, other[CRYPTO_KEY_BYTES] = {2};
    char a[CRYPTO_PSEUDONYM_CHARS + 1], b[CRYPTO_PSEUDONYM_CHARS + 1];
    crypto_pseudonym(a, STR("w17"), key);
    ck_assert(crypto_is_pseudonym(str_from(a)));
    ck_assert_uint_eq(strlen(a), CRYPTO_PSEUDONYM_CHARS);
    crypto_pseudonym(b, STR("w17"), other);
    ck_assert_str_ne(a, b);
    crypto_pseudonym(b, str_from(a), other);
    ck_assert_str_eq(a, b);
    ck_assert(!crypto_is_pseudonym(STR("a-abcdefghijklmno1")));
    ck_assert(!crypto_is_pseudonym(STR("w17")));
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {uuids_are_version_7_and_grow,
                                  uuid_text_goes_both_ways,
                                  digest_ids_repeat,
                                  parts_cannot_run_together,
                                  hash_is_blake2b,
                                  tokens_are_new_and_found_by_hash,
                                  passwords_verify,
                                  an_unknown_login_costs_as_much,
                                  pseudonyms_are_stable_and_stay};
    if (!crypto_init()) return 1;
    return unit_run("crypto", tests, LEN(tests));
}
