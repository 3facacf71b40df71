/* route.h - the shape of a row of THE table (routes.c), and matching a path against it. */
#ifndef AILERON_ROUTE_H
#define AILERON_ROUTE_H

#include "../base/arena.h"

typedef struct Req Req;

typedef enum Method {
    METHOD_GET,
    METHOD_POST,
    METHOD_PUT,
    METHOD_PATCH,
    METHOD_DELETE,
    METHOD_COUNT
} Method;

/* Who may call; enforced by the guards before the handler, and again by the statement. */
typedef enum Role {
    ROLE_PUBLIC,     /* anybody */
    ROLE_USER,       /* anybody signed in (or a key) */
    ROLE_ANNOTATOR,  /* a member of the project {slug}, or a key of it */
    ROLE_RESEARCHER,
    ROLE_OWNER,
    ROLE_ADMIN,      /* the instance's administrators */
} Role;

/* Token-bucket classes, per address (public) or per account/key. */
typedef enum Rate { RATE_NONE, RATE_READ, RATE_WRITE, RATE_SIGN_IN, RATE_BULK, RATE_GATEWAY,
    RATE_COUNT } Rate;

enum { ROUTE_PARAMS_MAX = 3 };

enum RouteFlags {
    ROUTE_STREAM_BODY = 1, /* the handler runs at the headers and takes the body in pieces */
    ROUTE_NO_JSON = 2,     /* the body need not be application/json */
    ROUTE_LEASE = 4,       /* metrics: a lease */
    ROUTE_JUDGMENT = 8,    /* metrics: a judgment */
    ROUTE_OPTIONAL_AUTH = 16, /* ROLE_PUBLIC, but a session is looked up when there is one */
    ROUTE_ANY_ORIGIN = 64, /* pages of any site may call it: by key only, cookies do not count */
    ROUTE_NO_GZIP = 32,    /* the reply carries a secret beside what the caller sent (BREACH) */
};

typedef struct Route {
    Method method;
    const char *path; /* segments; "{name}" matches one */
    void (*handler)(Req *req);
    Role role;
    size_t body_max; /* bytes; 0: no body is taken */
    Rate rate;
    int flags;
} Route;

extern const Route routes[];
extern const size_t routes_count;

typedef enum RouteMatch { ROUTE_FOUND, ROUTE_NOT_FOUND, ROUTE_WRONG_METHOD } RouteMatch;

/* Matches raw (still percent-encoded) path segments; params get the decoded {…} values (arena
 * copies). HEAD counts as GET. For ROUTE_WRONG_METHOD allow gets "GET, POST" and *route the first
 * row of that path, which a preflight asks about; for ROUTE_NOT_FOUND *route is NULL. */
RouteMatch route_match(const char *method, Str raw_path, Arena *arena, const Route **route,
                       Str params[ROUTE_PARAMS_MAX], char allow[64]);
const char *method_name(Method method); /* "GET" */

#endif
