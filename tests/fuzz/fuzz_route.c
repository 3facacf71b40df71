/* fuzz_route.c - "METHOD path?query" against a table like the real one: parameters are decoded text
 * of the arena, a refused method comes with Allow. */
// sources: server/http/route.c server/http/uri.c server/base/arena.c
#include "../../server/http/route.h"
#include "../../server/http/uri.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

const Route routes[] = {
    {METHOD_GET, "/api/v1/projects", NULL, ROLE_USER, 0, RATE_READ, 0},
    {METHOD_POST, "/api/v1/projects", NULL, ROLE_USER, 0, RATE_WRITE, 0},
    {METHOD_GET, "/api/v1/projects/{slug}", NULL, ROLE_USER, 0, RATE_READ, 0},
    {METHOD_GET, "/api/v1/projects/{slug}/members", NULL, ROLE_USER, 0, RATE_READ, 0},
    {METHOD_PATCH, "/api/v1/projects/{slug}/members/{id}", NULL, ROLE_USER, 0, RATE_WRITE, 0},
    {METHOD_PUT, "/api/v1/leases/{id}/judgment", NULL, ROLE_USER, 0, RATE_WRITE, 0},
    {METHOD_POST, "/api/v1/invites/lookup", NULL, ROLE_PUBLIC, 0, RATE_SIGN_IN, 0},
    {METHOD_DELETE, "/api/v1/invites/{id}", NULL, ROLE_USER, 0, RATE_WRITE, 0},
    {METHOD_GET, "/a/{b}/{c}/{d}", NULL, ROLE_USER, 0, RATE_READ, 0},
};
const size_t routes_count = LEN(routes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char method[8] = "GET", allow[64];
    const Route *route = NULL;
    Str params[ROUTE_PARAMS_MAX] = {{NULL, 0}}, query;
    Arena arena;
    Str input = {(const char *)data, size}, target;
    Str word = str_cut(input, ' ', &target);
    if (target.ptr == NULL) target = input;
    if (word.len < sizeof method) {
        memcpy(method, word.ptr, word.len);
        method[word.len] = '\0';
    }
    arena_init(&arena, KiB(64));
    Str path = str_cut(target, '?', &query);
    RouteMatch match = route_match(method, path, &arena, &route, params, allow);
    if ((match == ROUTE_NOT_FOUND) != (route == NULL)) abort();
    if (match == ROUTE_WRONG_METHOD && allow[0] == '\0') abort();
    for (size_t i = 0; match == ROUTE_FOUND && i < ROUTE_PARAMS_MAX; i++) {
        if (params[i].len > path.len) abort();
        if (params[i].ptr != NULL && params[i].ptr[params[i].len] != '\0') abort();
    }
    Str value = uri_query_find(&arena, query, "limit");
    if (value.len > query.len) abort();
    arena_release(&arena);
    return 0;
}
