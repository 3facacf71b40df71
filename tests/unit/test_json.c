/* test_json.c - strict parsing, decoding by table, and writing that reads back the same. */
#include "../../server/base/json.h"
#include <float.h>
#include "../../server/base/json_read.h"
#include "unit.h"

static Arena arena;
static Err err;

static json_t *parse(Str text)
{
    arena_release(&arena);
    arena_init(&arena, MiB(4));
    err = (Err){0};
    return json_parse(text, &arena, &err);
}

START_TEST(what_is_not_strict_json_is_refused)
{
    static const struct {
        const char *text;
        const char *says;
    } cases[] = {
        {"", "empty"},
        {"{", "column"},
        {"{\"a\":1}x", "end of file"},
        {"{\"a\":1,\"a\":2}", "duplicate"},
        {"{'a':1}", "column"},
        {"[1,]", "column"},
        {"\"\\u0000\"", "\\u0000"},
        {"{\"\\u0000\":1}", "\\u0000"},
        {"\"\\ud800\"", "Unicode"},
        {"\"\xff\"", "UTF-8 (byte 2)"},
        {"\"\xed\xa0\x80\"", "UTF-8 (byte 2)"},
        {"\"\xc0\xaf\"", "UTF-8 (byte 2)"},
        {"1e400", "overflow"},
        {"99999999999999999999", "too big"},
        {"NaN", "column"},
        {"\"\\ud8\xd6\x9b\"", "column"},
        {"[\n1\n2]", "line 3"},
        {"01", "column"},
        {"\"\t\"", "control"},
    };
    for (size_t i = 0; i < LEN(cases); i++) {
        ck_assert_msg(parse(str_from(cases[i].text)) == NULL, "accepted %s", cases[i].text);
        ck_assert_int_eq(err.code, ERR_malformed);
        ck_assert_msg(utf8_valid(str_from(err.detail), NULL), "%s", err.detail);
        ck_assert_msg(strstr(err.detail, cases[i].says) != NULL, "%s: %s", cases[i].text,
                      err.detail);
    }
    ck_assert_ptr_null(parse(STR("\"a\0b\"")));
    ck_assert_msg(strstr(err.detail, "NUL") != NULL, "%s", err.detail);
    arena_release(&arena);
}
END_TEST

START_TEST(depth_and_number_of_values_are_bounded)
{
    char deep[400];
    for (int depth = JSON_DEPTH_MAX - 1; depth <= JSON_DEPTH_MAX + 1; depth++) {
        memset(deep, '[', (size_t)depth);
        memset(deep + depth, ']', (size_t)depth);
        json_t *value = parse((Str){deep, 2 * (size_t)depth});
        ck_assert_msg((value != NULL) == (depth <= JSON_DEPTH_MAX), "depth %d", depth);
        json_decref(value);
    }
    ck_assert_ptr_nonnull(strstr(err.detail, "deeper than 64"));
    size_t size = 2 * JSON_VALUES_MAX + 4;
    char *many = malloc(size + 1);
    memset(many, '0', size);
    for (size_t i = 2; i < size; i += 2) many[i] = ',';
    many[0] = '[';
    many[size] = ']';
    ck_assert_ptr_null(parse((Str){many, size + 1}));
    ck_assert_ptr_nonnull(strstr(err.detail, "more than 1000000 values"));
    free(many);
    /* brackets inside a string count for nothing */
    json_t *value = parse(STR("\"\\\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["
                              "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\""));
    ck_assert_ptr_nonnull(value);
    json_decref(value);
    arena_release(&arena);
}
END_TEST

static const JsonLimits ordinary = {JSON_DEPTH_MAX, JSON_VALUES_MAX, false};

/* Reads it fast, and as jansson does. */
static void read_is_same(const char *text)
{
    const size_t flags = JSON_REJECT_DUPLICATES | JSON_DECODE_ANY;
    const size_t dump = JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(17);
    json_t *ours = json_read(str_from(text), &ordinary), *theirs = json_loads(text, flags, NULL);
    ck_assert_msg(ours != NULL && theirs != NULL, "%s: %s", text, ours ? "jansson" : "json_read");
    char *a = json_dumps(ours, dump), *b = json_dumps(theirs, dump);
    ck_assert_str_eq(a, b);
    free(a);
    free(b);
    json_decref(ours);
    json_decref(theirs);
}

START_TEST(what_is_read_fast_is_what_jansson_reads)
{
    static const char *const texts[] = {
        " { } ", "[ ]", "\t[ 1 , -2,0,-0, 123456789012345678 ]\r\n", "null", "[true,false,null]",
        "[0.7,-1.5e3,2E-2,1e+2,0.0,-0.0,1e-400,3.141592653589793]", "\"\"",
        "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"a\\nb\"}],\"n\":1}",
        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u00e9\\u20AC\\ud83d\\ude00\\u0001\"",
        "{\"\\u0061\":\"\\u0062\",\"b\":{\"\":[[],{}]}}",
        "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\x7f\"",
    };
    static const char *const ends[] = {"",         "\\n",  "\\\"x",          "\\u20ac",
                                       "\xe2\x82\xac", "\\\\", "\\ud83d\\ude00"};
    for (size_t i = 0; i < LEN(texts); i++) read_is_same(texts[i]);
    for (int before = 0; before < 20; before++) /* at every place of a word */
        for (size_t i = 0; i < LEN(ends); i++)
            for (int after = 0; after < 10; after++) {
                char text[80];
                snprintf(text, sizeof text, "[\"%.*s%s%.*s\"]", before, "abcdefghijklmnopqrst",
                         ends[i], after, "ABCDEFGHIJ");
                read_is_same(text);
            }
}
END_TEST

START_TEST(what_is_doubtful_is_left_to_jansson)
{
    static const char *const texts[] = {
        "", " ", "{", "[1", "\"a", "\"a\\", "\"\\u12", "{\"a\":1,\"a\":2}", "{\"a\":1,}", "[1,]",
        "[1 2]", "{\"a\" 1}", "{a:1}", "tru", "nul", "1x", "01", "-", "1.", ".5", "1e", "+1",
        "1e400",
        "1234567890123456789", "\"\\u0000\"", "\"\\ud800\"", "\"\\ud800\\u0041\"", "\"\\udc00\"",
        "\"\\x\"", "\"\t\"", "\"a\nb\"", "[1]]", "{\"a\":1}x", "\xef\xbb\xbf{}",
    };
    for (size_t i = 0; i < LEN(texts); i++) {
        json_t *value = json_read(str_from(texts[i]), &ordinary);
        ck_assert_msg(value == NULL, "%s", texts[i]);
    }
    const JsonLimits small = {2, 4, true};
    ck_assert_ptr_null(json_read(STR("[[[1]]]"), &small));
    ck_assert_ptr_null(json_read(STR("[1,2,3,4]"), &small));
    json_t *reals = json_read(STR("[[1,2]]"), &small);
    ck_assert(json_is_real(json_array_get(json_array_get(reals, 0), 1)));
    json_decref(reals);
}
END_TEST

static const char *const colours[] = {"red", "green", NULL};

static bool decode(const char *text, Str *name, int64_t *size, Str *colour, bool *flag, bool *given)
{
    const JsonField fields[] = {
        {.name = "name", .kind = JSON_FIELD_TEXT, .out = name, .required = REQUIRED, .min = 1,
         .max = 5},
        {.name = "size", .kind = JSON_FIELD_INT, .out = size, .min = 1, .max = 9, .present = given},
        {.name = "colour", .kind = JSON_FIELD_ENUM, .out = colour, .choices = colours},
        {.name = "flag", .kind = JSON_FIELD_BOOL, .out = flag},
    };
    json_t *value = parse(str_from(text));
    ck_assert_msg(value != NULL, "%s: %s", text, err.detail);
    bool ok = json_decode(value, fields, LEN(fields), "/in", &arena, &err);
    if (ok && name->ptr != NULL) *name = arena_copy(&arena, *name);
    if (ok && colour->ptr != NULL) *colour = arena_copy(&arena, *colour);
    json_decref(value);
    return ok;
}

START_TEST(fields_decode)
{
    Str name = {NULL, 0}, colour = STR("blue");
    int64_t size = 7;
    bool flag = true, given = true;
    ck_assert(decode("{\"name\":\"ab\",\"size\":null}", &name, &size, &colour, &flag, &given));
    ck_assert_str_is(name, "ab");
    ck_assert_int_eq(size, 7);
    ck_assert(!given);
    ck_assert_str_is(colour, "blue");
    ck_assert(decode("{\"name\":\"ab\",\"size\":2.0,\"colour\":\"green\",\"flag\":false}", &name,
                     &size, &colour, &flag, &given));
    ck_assert_int_eq(size, 2);
    ck_assert(given && !flag);
    ck_assert_str_is(colour, "green");
    arena_release(&arena);
}
END_TEST

START_TEST(refusals_name_the_place_and_the_rule)
{
    static const struct {
        const char *text, *pointer, *detail;
    } cases[] = {
        {"[]", "/in", "must be an object"},
        {"{}", "/in/name", "is required"},
        {"{\"name\":null}", "/in/name", "is required"},
        {"{\"name\":3}", "/in/name", "must be text"},
        {"{\"name\":\"\"}", "/in/name", "must not be empty"},
        {"{\"name\":\"abcdef\"}", "/in/name", "must be at most 5 bytes"},
        {"{\"name\":\"a\",\"size\":0}", "/in/size", "must be at least 1"},
        {"{\"name\":\"a\",\"size\":10}", "/in/size", "must be at most 9"},
        {"{\"name\":\"a\",\"size\":1.5}", "/in/size", "must be a whole number"},
        {"{\"name\":\"a\",\"size\":\"1\"}", "/in/size", "must be a whole number"},
        {"{\"name\":\"a\",\"size\":true}", "/in/size", "must be a whole number"},
        {"{\"name\":\"a\",\"colour\":\"blue\"}", "/in/colour", "must be one of red, green"},
        {"{\"name\":\"a\",\"colour\":1}", "/in/colour", "must be one of red, green"},
        {"{\"name\":\"a\",\"flag\":1}", "/in/flag", "must be true or false"},
        {"{\"name\":\"a\",\"x/y~z\":1}", "/in/x~1y~0z", "is not a known member"},
    };
    for (size_t i = 0; i < LEN(cases); i++) {
        Str name = {NULL, 0}, colour = {NULL, 0};
        int64_t size;
        bool flag, given;
        ck_assert_msg(!decode(cases[i].text, &name, &size, &colour, &flag, &given), "%s",
                      cases[i].text);
        ck_assert_int_eq(err.code, ERR_invalid);
        ck_assert_str_eq(err.pointer, cases[i].pointer);
        ck_assert_str_eq(err.detail, cases[i].detail);
    }
    arena_release(&arena);
}
END_TEST

START_TEST(writing_and_reading_give_the_same_bytes)
{
    static const char *const cases[] = {
        "{\"b\":1,\"a\":[1.0,-0.0,0.1,1e+22,1e-07,5e-324,1.2345678901234568e+17,true,null,{}]}",
        "[\"\\\"\\\\\\n\\r\\t\\b\\f\\u0001<\\/script>\\u2028\\u2029\xec\x95\x88"
        "\xf0\x9f\x98\x80/\"]",
        "-9223372036854775808",
        "\"\"",
    };
    for (size_t i = 0; i < LEN(cases); i++) {
        json_t *value = parse(str_from(cases[i]));
        ck_assert_msg(value != NULL, "%s", err.detail);
        Buf buf;
        buf_init(&buf, KiB(4));
        json_put_value(&buf, value);
        ck_assert_str_is(buf_str(&buf), cases[i]);
        buf_release(&buf);
        json_decref(value);
    }
    arena_release(&arena);
}
END_TEST

START_TEST(reals_are_short_and_exact)
{
    static const double values[] = {0.1, 1.0 / 3, DBL_MAX, DBL_MIN, 5e-324, 1e15, 1e16, 100, -2.5};
    for (size_t i = 0; i < LEN(values); i++) {
        Buf buf;
        buf_init(&buf, 100);
        json_put_real(&buf, values[i]);
        buf_put_char(&buf, '\0');
        ck_assert_double_eq(strtod(buf.data, NULL), values[i]);
        ck_assert_uint_le(buf.len, 26);
        buf_release(&buf);
    }
    Buf buf;
    buf_init(&buf, 100);
    json_put_real(&buf, 0.0 / 0.0);
    ck_assert_str_is(buf_str(&buf), "null");
    buf_release(&buf);
}
END_TEST

START_TEST(utf8_is_checked_to_the_letter)
{
    static const struct {
        const char *text;
        int bad; /* -1: valid */
    } cases[] = {
        {"plain ascii, longer than a word", -1}, {"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", -1},
        {"12345678\x80", 8},   {"\xe2\x82", 0},         {"a\xf5\x80\x80\x80", 1},
        {"\xf4\x90\x80\x80", 0}, {"\xe0\x80\x80", 0},   {"abcdefg\xc3", 7},
        {"\xef\xbf\xbf", -1},  {"\xf4\x8f\xbf\xbf", -1},
    };
    for (size_t i = 0; i < LEN(cases); i++) {
        size_t bad = 99;
        bool valid = utf8_valid(str_from(cases[i].text), &bad);
        ck_assert_msg(valid == (cases[i].bad < 0), "case %zu", i);
        if (!valid) ck_assert_int_eq((int)bad, cases[i].bad);
    }
    size_t bad = 0;
    ck_assert(!utf8_valid(STR("1234567890\0abc"), &bad));
    ck_assert_uint_eq(bad, 10);
}
END_TEST

UNIT_MAIN("json", what_is_not_strict_json_is_refused, depth_and_number_of_values_are_bounded,
          fields_decode, refusals_name_the_place_and_the_rule,
          writing_and_reading_give_the_same_bytes, reals_are_short_and_exact,
          utf8_is_checked_to_the_letter, what_is_read_fast_is_what_jansson_reads,
          what_is_doubtful_is_left_to_jansson)
