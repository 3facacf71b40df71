/* test_json_fast.c - the fast parser takes what is in order, exactly as jansson does, and leaves
 * the rest to it. */
#include "../../server/base/json_fast.h"
#include "unit.h"

START_TEST(what_is_in_order_is_taken)
{
    static const char *const texts[] = {
        "{}", "[]", " [ ] ", "\"\"", "0", "-0", "-1", "123456789012345678", "1.5", "-1e3", "1E+2",
        "1e-400", "0.0", "true", " false\n", "null", "[1,[2,[3]]]", "{\"a\":{\"b\":[{}]}}",
        "{\"b\":1,\"a\":2}", "\"plain\"", "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\u00e9\\ud55c\"",
        "\"\\ud83d\\ude00 \\uD83D\\uDE00\"", "\"\xed\x95\x9c\"", "{\"\":0}", "{\"\\u0061\":1}",
        "\t{ \"a\" : [ 1 , 2 ] , \"b\" : null }\r\n"};
    for (size_t i = 0; i < LEN(texts); i++) {
        json_t *fast = json_parse_fast(str_from(texts[i]));
        json_t *slow = json_loads(texts[i], JSON_DECODE_ANY, NULL);
        ck_assert_msg(fast != NULL, "not taken: %s", texts[i]);
        ck_assert_ptr_nonnull(slow);
        ck_assert_msg(json_equal(fast, slow), "another value: %s", texts[i]);
        json_decref(fast);
        json_decref(slow);
    }
}
END_TEST

START_TEST(what_is_not_is_left_to_jansson)
{
    static const char *const texts[] = {
        "", " ", "{", "}", "[", "[1", "[1,", "[1,]", "[,1]", "{\"a\"}", "{\"a\":}", "{\"a\":1,}",
        "{a:1}", "{\"a\":1,\"a\":2}", "{\"a\":1,\"\\u0061\":2}", "\"", "\"a", "\"\\", "\"\\\"",
        "\"\\x\"", "\"\\u12\"", "\"\\u0000\"", "\"\\ud800\"", "\"\\ud800\\u0041\"", "\"\\udc00\"",
        "\"\n\"", "01", "-", "+1", ".5", "1.", "1e", "1e400", "99999999999999999999", "tru",
        "truex", "nul", "1 2", "{}x", "[1 2]", "NaN", "'a'"};
    for (size_t i = 0; i < LEN(texts); i++)
        ck_assert_msg(json_parse_fast(str_from(texts[i])) == NULL, "taken: %s", texts[i]);
}
END_TEST

START_TEST(long_texts_with_escapes_are_decoded)
{
    enum { PAIRS = 5000 };
    char *text = malloc(4 * PAIRS + 3), *at = text;
    ck_assert_ptr_nonnull(text);
    *at++ = '"';
    for (int i = 0; i < PAIRS; i++, at += 4) memcpy(at, "ab\\n", 4);
    *at++ = '"';
    json_t *value = json_parse_fast((Str){text, (size_t)(at - text)});
    ck_assert_ptr_nonnull(value);
    ck_assert_uint_eq(json_string_length(value), 3 * PAIRS);
    ck_assert_int_eq(json_string_value(value)[3 * PAIRS - 1], '\n');
    json_decref(value);
    free(text);
}
END_TEST

START_TEST(depth_is_bounded)
{
    char deep[2 * JSON_DEPTH_MAX + 2];
    for (int depth = JSON_DEPTH_MAX; depth <= JSON_DEPTH_MAX + 1; depth++) {
        memset(deep, '[', (size_t)depth);
        memset(deep + depth, ']', (size_t)depth);
        json_t *value = json_parse_fast((Str){deep, 2 * (size_t)depth});
        ck_assert((value != NULL) == (depth == JSON_DEPTH_MAX));
        json_decref(value);
    }
}
END_TEST

UNIT_MAIN("fast JSON", what_is_in_order_is_taken, what_is_not_is_left_to_jansson,
          long_texts_with_escapes_are_decoded, depth_is_bounded)
