/* test_hygiene.c - the first guard: which request heads are let through. */
#include "../../server/http/hygiene.h"
#include "unit.h"

enum { HEADERS_IN_CASE = 6 };

typedef struct Case {
    const char *what;
    const char *method, *target, *version;
    const char *headers[HEADERS_IN_CASE][2];
    ErrCode refused; /* ERR_none: let through */
} Case;

#define HOST {"Host", "example.org"}
#define GET(target_) .method = "GET", .target = (target_), .version = "HTTP/1.1"
#define POST .method = "POST", .target = "/x", .version = "HTTP/1.1"

static const Case cases[] = {
    {"plain", GET("/"), .headers = {HOST}},
    {"query", GET("/a?b=c&d=%20e+f"), .headers = {HOST}},
    {"absolute form", GET("http://example.org/a"), .headers = {HOST}},
    {"IPv6 host", GET("/"), .headers = {{"host", "[::1]:8080"}}},
    {"old", .method = "GET", .target = "/", .version = "HTTP/1.0"},
    {"length", POST, .headers = {HOST, {"content-length", "12"}}},
    {"chunked", POST, .headers = {HOST, {"Transfer-Encoding", "Chunked"}}},
    {"tab in a value", GET("/"), .headers = {HOST, {"X", "a\tb"}}},
    {"UTF-8 in a path", GET("/caf%C3%A9"), .headers = {HOST}},
    {"dots in a name", GET("/a..b/...c"), .headers = {HOST}},

    {"no host", GET("/"), .refused = ERR_malformed},
    {"two hosts", GET("/"), .headers = {HOST, HOST}, .refused = ERR_malformed},
    {"empty host", GET("/"), .headers = {{"Host", ""}}, .refused = ERR_malformed},
    {"host with a path", GET("/"), .headers = {{"Host", "a/b"}}, .refused = ERR_malformed},
    {"host with user", GET("/"), .headers = {{"Host", "a@b"}}, .refused = ERR_malformed},
    {"version", .method = "GET", .target = "/", .version = "HTTP/2.0", .headers = {HOST},
     .refused = ERR_malformed},
    {"method", .method = "GE T", .target = "/", .version = "HTTP/1.1", .headers = {HOST},
     .refused = ERR_malformed},
    {"both lengths", POST,
     .headers = {HOST, {"Content-Length", "5"}, {"Transfer-Encoding", "chunked"}},
     .refused = ERR_malformed},
    {"repeated length", POST, .headers = {HOST, {"Content-Length", "5"}, {"Content-Length", "5"}},
     .refused = ERR_malformed},
    {"list of lengths", POST, .headers = {HOST, {"Content-Length", "5, 5"}},
     .refused = ERR_malformed},
    {"signed length", POST, .headers = {HOST, {"Content-Length", "+5"}}, .refused = ERR_malformed},
    {"hex length", POST, .headers = {HOST, {"Content-Length", "0x5"}}, .refused = ERR_malformed},
    {"huge length", POST, .headers = {HOST, {"Content-Length", "9999999999999999999"}},
     .refused = ERR_malformed},
    {"coding", POST, .headers = {HOST, {"Transfer-Encoding", "gzip, chunked"}},
     .refused = ERR_malformed},
    {"coding twice", POST,
     .headers = {HOST, {"Transfer-Encoding", "chunked"}, {"Transfer-Encoding", "chunked"}},
     .refused = ERR_malformed},
    {"hidden coding", POST, .headers = {HOST, {"Transfer-Encoding", "chunked\v"}},
     .refused = ERR_malformed},
    {"chunked in 1.0", .method = "POST", .target = "/", .version = "HTTP/1.0",
     .headers = {HOST, {"Transfer-Encoding", "chunked"}}, .refused = ERR_malformed},
    {"two credentials", GET("/"), .headers = {HOST, {"Authorization", "a"}, {"authorization", "b"}},
     .refused = ERR_malformed},
    {"header name", GET("/"), .headers = {HOST, {"X Y", "1"}}, .refused = ERR_malformed},
    {"control in a value", GET("/"), .headers = {HOST, {"X", "a\x01"}}, .refused = ERR_malformed},

    {"no slash", GET("a"), .headers = {HOST}, .refused = ERR_malformed},
    {"star", GET("*"), .headers = {HOST}, .refused = ERR_malformed},
    {"empty", GET(""), .headers = {HOST}, .refused = ERR_malformed},
    {"space", GET("/a b"), .headers = {HOST}, .refused = ERR_malformed},
    {"raw byte", GET("/\xc3\xa9"), .headers = {HOST}, .refused = ERR_malformed},
    {"fragment", GET("/a#b"), .headers = {HOST}, .refused = ERR_malformed},
    {"NUL", GET("/a%00b"), .headers = {HOST}, .refused = ERR_malformed},
    {"newline", GET("/a%0d%0ab"), .headers = {HOST}, .refused = ERR_malformed},
    {"slash", GET("/a%2Fb"), .headers = {HOST}, .refused = ERR_malformed},
    {"half escape", GET("/a%2"), .headers = {HOST}, .refused = ERR_malformed},
    {"no escape", GET("/a%zz"), .headers = {HOST}, .refused = ERR_malformed},
    {"bad UTF-8", GET("/%ff"), .headers = {HOST}, .refused = ERR_malformed},
    {"parent", GET("/a/../b"), .headers = {HOST}, .refused = ERR_malformed},
    {"encoded parent", GET("/a/%2e%2E/b"), .headers = {HOST}, .refused = ERR_malformed},
    {"last parent", GET("/a/.."), .headers = {HOST}, .refused = ERR_malformed},
    {"self", GET("/./a"), .headers = {HOST}, .refused = ERR_malformed},
    {"NUL in a query", GET("/?a=%00"), .headers = {HOST}, .refused = ERR_malformed},
    {"bad UTF-8 in a query", GET("/?a=%c0%af"), .headers = {HOST}, .refused = ERR_malformed},
    {"half escape in a query", GET("/?a=%"), .headers = {HOST}, .refused = ERR_malformed},
};

static bool check(const Case *one, HeadFacts *facts, Err *err)
{
    Header headers[HEADERS_IN_CASE];
    size_t count = 0;
    while (count < HEADERS_IN_CASE && one->headers[count][0] != NULL) {
        headers[count].name = str_from(one->headers[count][0]);
        headers[count].value = str_from(one->headers[count][1]);
        count++;
    }
    RequestHead head = {str_from(one->method), str_from(one->target), str_from(one->version),
                        headers, count};
    return hygiene_check(&head, facts, err);
}

START_TEST(heads_are_let_through_or_refused)
{
    for (size_t i = 0; i < LEN(cases); i++) {
        HeadFacts facts;
        Err err = {0};
        bool passed = check(&cases[i], &facts, &err);
        ck_assert_msg(passed == (cases[i].refused == ERR_none), "%s: %s", cases[i].what,
                      passed ? "let through" : err.detail);
        if (!passed) ck_assert_int_eq(err.code, cases[i].refused);
    }
}
END_TEST

START_TEST(facts_are_found)
{
    HeadFacts facts;
    Err err;
    Case one = {"facts", .method = "POST", .target = "http://h:1/a/b?c=d?e", .version = "HTTP/1.1",
                .headers = {HOST, {"content-length", "00123"}, {"EXPECT", "100-continue"}}};
    ck_assert(check(&one, &facts, &err));
    ck_assert_str_is(facts.path, "/a/b");
    ck_assert_str_is(facts.query, "c=d?e");
    ck_assert_uint_eq(facts.content_length, 123);
    ck_assert(facts.expects_continue && !facts.chunked);
}
END_TEST

START_TEST(sizes_are_bounded)
{
    static char target[TARGET_BYTES_MAX + 2];
    static Header headers[HEADERS_MAX + 1];
    HeadFacts facts;
    Err err;
    memset(target, 'a', sizeof target);
    target[0] = '/';
    for (size_t i = 0; i <= HEADERS_MAX; i++) headers[i] = (Header){STR("X"), STR("1")};
    headers[0] = (Header){STR("Host"), STR("h")};
    RequestHead head = {STR("GET"), {target, TARGET_BYTES_MAX}, STR("HTTP/1.1"), headers,
                        HEADERS_MAX};
    ck_assert(hygiene_check(&head, &facts, &err));
    head.target.len++;
    ck_assert(!hygiene_check(&head, &facts, &err));
    ck_assert_int_eq(err.code, ERR_uri_too_long);
    head.target.len--;
    head.header_count++;
    ck_assert(!hygiene_check(&head, &facts, &err));
    ck_assert_int_eq(err.code, ERR_headers_too_large);
}
END_TEST

UNIT_MAIN("hygiene", heads_are_let_through_or_refused, facts_are_found, sizes_are_bounded)
