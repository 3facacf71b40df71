/* test_route.c - the matcher, on a table of its own. */
#include "../../server/http/route.h"
#include "../../server/http/uri.h"
#include "unit.h"

const Route routes[] = {
    {METHOD_GET, "/api/v1/projects", NULL, ROLE_USER, 0, RATE_READ, 0},
    {METHOD_POST, "/api/v1/projects", NULL, ROLE_USER, 0, RATE_READ, 0},
    {METHOD_GET, "/api/v1/projects/{slug}", NULL, ROLE_USER, 0, RATE_READ, 0},
    {METHOD_GET, "/api/v1/projects/new", NULL, ROLE_USER, 0, RATE_READ, 0},
    {METHOD_PATCH, "/api/v1/projects/{slug}/members/{id}", NULL, ROLE_USER, 0, RATE_READ, 0},
    {METHOD_DELETE, "/api/v1/projects/{slug}/members/{id}", NULL, ROLE_USER, 0, RATE_READ, 0},
    {METHOD_GET, "/healthz", NULL, ROLE_PUBLIC, 0, RATE_NONE, 0},
};
const size_t routes_count = LEN(routes);

START_TEST(paths_match_rows)
{
    static const struct {
        const char *method, *path;
        RouteMatch match;
        int row;
        const char *first, *second, *allow;
    } cases[] = {
        {"GET", "/api/v1/projects", ROUTE_FOUND, 0, NULL, NULL, NULL},
        {"HEAD", "/api/v1/projects", ROUTE_FOUND, 0, NULL, NULL, NULL},
        {"POST", "/api/v1/projects", ROUTE_FOUND, 1, NULL, NULL, NULL},
        {"PUT", "/api/v1/projects", ROUTE_WRONG_METHOD, -1, NULL, NULL, "GET, POST"},
        {"OPTIONS", "/api/v1/projects", ROUTE_WRONG_METHOD, -1, NULL, NULL, "GET, POST"},
        {"get", "/api/v1/projects", ROUTE_WRONG_METHOD, -1, NULL, NULL, "GET, POST"},
        {"GET", "/api/v1/projects/demo", ROUTE_FOUND, 2, "demo", NULL, NULL},
        {"GET", "/api/v1/projects/new", ROUTE_FOUND, 3, NULL, NULL, NULL},
        {"GET", "/api/v1/projects/n%65w", ROUTE_FOUND, 2, "new", NULL, NULL},
        {"GET", "/api/v1/projects/a%20b%C3%A9", ROUTE_FOUND, 2, "a b\xc3\xa9", NULL, NULL},
        {"GET", "/api/v1/projects/a%2", ROUTE_NOT_FOUND, -1, NULL, NULL, NULL},
        {"PATCH", "/api/v1/projects/p/members/7", ROUTE_FOUND, 4, "p", "7", NULL},
        {"GET", "/api/v1/projects/p/members/7", ROUTE_WRONG_METHOD, -1, NULL, NULL,
         "PATCH, DELETE"},
        {"GET", "/api/v1/projects/", ROUTE_NOT_FOUND, -1, NULL, NULL, NULL},
        {"GET", "/api/v1/projects/p/", ROUTE_NOT_FOUND, -1, NULL, NULL, NULL},
        {"GET", "//api/v1/projects", ROUTE_NOT_FOUND, -1, NULL, NULL, NULL},
        {"GET", "/api//v1/projects", ROUTE_NOT_FOUND, -1, NULL, NULL, NULL},
        {"GET", "/api/v1/project", ROUTE_NOT_FOUND, -1, NULL, NULL, NULL},
        {"GET", "/API/v1/projects", ROUTE_NOT_FOUND, -1, NULL, NULL, NULL},
        {"GET", "/healthz", ROUTE_FOUND, 6, NULL, NULL, NULL},
        {"GET", "/healthz/x", ROUTE_NOT_FOUND, -1, NULL, NULL, NULL},
        {"GET", "/", ROUTE_NOT_FOUND, -1, NULL, NULL, NULL},
        {"GET", "", ROUTE_NOT_FOUND, -1, NULL, NULL, NULL},
        {"GET", "/api/v1/projects/a%", ROUTE_NOT_FOUND, -1, NULL, NULL, NULL},
        {"GET", "*", ROUTE_NOT_FOUND, -1, NULL, NULL, NULL},
        {"GET", "/a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q/r/s", ROUTE_NOT_FOUND, -1, NULL, NULL, NULL},
    };
    for (size_t i = 0; i < LEN(cases); i++) {
        Arena arena;
        const Route *route = NULL;
        Str params[ROUTE_PARAMS_MAX] = {{NULL, 0}};
        char allow[64];
        arena_init(&arena, KiB(4));
        RouteMatch match = route_match(cases[i].method, str_from(cases[i].path), &arena, &route,
                                       params, allow);
        ck_assert_msg(match == cases[i].match, "%s %s: %d", cases[i].method, cases[i].path, match);
        ck_assert_int_eq(route == NULL, cases[i].match == ROUTE_NOT_FOUND);
        if (cases[i].row >= 0) ck_assert_ptr_eq(route, &routes[cases[i].row]);
        if (cases[i].first != NULL) ck_assert_str_is(params[0], cases[i].first);
        if (cases[i].second != NULL) ck_assert_str_is(params[1], cases[i].second);
        if (cases[i].match == ROUTE_FOUND && cases[i].first == NULL) {
            ck_assert_ptr_null(params[0].ptr);
        }
        if (cases[i].allow != NULL) ck_assert_str_eq(allow, cases[i].allow);
        arena_release(&arena);
    }
}
END_TEST

START_TEST(queries_are_searched_and_decoded)
{
    static const struct {
        const char *query, *name, *value;
    } cases[] = {
        {"a=1&b=2", "b", "2"},   {"a=1&a=2", "a", "1"}, {"a", "a", ""},
        {"a=", "a", ""},         {"x=1", "a", NULL},    {"a%62=c+d%26", "ab", "c d&"},
        {"&&a=1&&", "a", "1"},   {"a=b=c", "a", "b=c"}, {"a=%zz", "a", NULL},
        {"", "a", NULL},
    };
    Arena arena;
    arena_init(&arena, KiB(4));
    for (size_t i = 0; i < LEN(cases); i++) {
        Str value = uri_query_find(&arena, str_from(cases[i].query), cases[i].name);
        if (cases[i].value == NULL) {
            ck_assert_msg(value.ptr == NULL, "%s", cases[i].query);
        } else {
            ck_assert_str_is(value, cases[i].value);
        }
    }
    ck_assert_ptr_null(uri_query_find(&arena, (Str){NULL, 0}, "a").ptr);
    arena_release(&arena);
}
END_TEST

UNIT_MAIN("route", paths_match_rows, queries_are_searched_and_decoded)
