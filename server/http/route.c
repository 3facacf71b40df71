/* route.c - see route.h. A walk over the table: sixty rows cost less than one system call. */
#include "route.h"

#include <stdio.h>
#include "uri.h"

enum { SEGMENTS_MAX = 16 };

const char *method_name(Method method)
{
    static const char *const names[METHOD_COUNT] = {"GET", "POST", "PUT", "PATCH", "DELETE"};
    assert(method < METHOD_COUNT);
    return names[method];
}

static bool segment_is_param(Str segment)
{
    return segment.len > 2 && segment.ptr[0] == '{' && segment.ptr[segment.len - 1] == '}';
}

/* Matches one row's path. *shape gets a bit for each parameter, the first segment's the highest, so
 * that of two matching rows the smaller shape is the more literal one. */
static bool path_matches(const char *pattern, Str raw, Str found[ROUTE_PARAMS_MAX],
                         unsigned *shape)
{
    Str want = str_skip(str_from(pattern), 1), have = str_skip(raw, 1);
    size_t count = 0;
    *shape = 0;
    for (int i = 0; i < SEGMENTS_MAX; i++) {
        Str a = str_cut(want, '/', &want), b = str_cut(have, '/', &have);
        if (segment_is_param(a)) {
            if (b.len == 0 || count == ROUTE_PARAMS_MAX) return false;
            found[count++] = b;
            *shape |= 1u << (SEGMENTS_MAX - 1 - i);
        } else if (!str_equal(a, b)) {
            return false;
        }
        if (want.ptr == NULL || have.ptr == NULL) return want.ptr == NULL && have.ptr == NULL;
    }
    return false;
}

static void allow_add(char allow[64], Method method)
{
    size_t used = strlen(allow);
    if (strstr(allow, method_name(method)) != NULL) return;
    snprintf(allow + used, 64 - used, "%s%s", used > 0 ? ", " : "", method_name(method));
}

RouteMatch route_match(const char *method, Str raw_path, Arena *arena, const Route **route,
                       Str params[ROUTE_PARAMS_MAX], char allow[64])
{
    const char *wanted = strcmp(method, "HEAD") == 0 ? "GET" : method;
    Str found[ROUTE_PARAMS_MAX] = {{NULL, 0}}, raw[ROUTE_PARAMS_MAX] = {{NULL, 0}};
    unsigned shape, best_shape = 0;
    const Route *best = NULL;
    allow[0] = '\0';
    *route = NULL;
    if (raw_path.len == 0 || raw_path.ptr[0] != '/') return ROUTE_NOT_FOUND;

    for (size_t i = 0; i < routes_count; i++) {
        memset(found, 0, sizeof found);
        if (!path_matches(routes[i].path, raw_path, found, &shape)) continue;
        allow_add(allow, routes[i].method);
        if (*route == NULL) *route = &routes[i];
        if (strcmp(method_name(routes[i].method), wanted) != 0) continue;
        if (best != NULL && shape >= best_shape) continue;
        best = &routes[i];
        best_shape = shape;
        memcpy(raw, found, sizeof raw);
    }
    if (best == NULL) return *route != NULL ? ROUTE_WRONG_METHOD : ROUTE_NOT_FOUND;

    *route = NULL;
    for (size_t i = 0; i < ROUTE_PARAMS_MAX; i++) {
        params[i] = (Str){NULL, 0};
        if (raw[i].ptr == NULL) continue;
        params[i] = uri_decode_copy(arena, raw[i], false);
        if (params[i].ptr == NULL) return ROUTE_NOT_FOUND;
    }
    *route = best;
    return ROUTE_FOUND;
}
