/* guard.c - what stands between the wire and a handler, in order. Each guard passes, has replied,
 * or waits for an answer from elsewhere; the first that does not pass is the last that runs. */
#include <stdio.h>
#include <strings.h>
#include "limit.h"
#include "private.h"
#include "uri.h"

#define SESSION_COOKIE_NAME "aileron_session"

typedef enum Verdict { PASS, REPLIED, PENDING } Verdict;

/* ---- 1 hygiene ---- */

typedef struct Collecting {
    Header headers[HEADERS_MAX];
    size_t count;
} Collecting;

static enum MHD_Result collect_header(void *cls, enum MHD_ValueKind kind, const char *name,
                                      size_t name_len, const char *value, size_t value_len)
{
    Collecting *all = cls;
    (void)kind;
    if (all->count < HEADERS_MAX) {
        Str text = value == NULL ? (Str){"", 0} : (Str){value, value_len};
        all->headers[all->count] = (Header){{name, name_len}, text};
    }
    all->count++;
    return MHD_YES;
}

static void find_client(Req *req)
{
    const ReqPrivate *p = req->http;
    char text[ADDRESS_CHARS];
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(p->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    address_write(text, info == NULL ? NULL : info->client_addr);
    Str peer = str_from(text);
    if (proxies_trust(&p->http->proxies, peer)) {
        Str proto = req_header(req, "X-Forwarded-Proto");
        req->secure = proto.len == 5 && strncasecmp(proto.ptr, "https", 5) == 0;
        peer = proxies_client(&p->http->proxies, peer, req_header(req, "X-Forwarded-For"));
    }
    req->address = arena_copy(&req->arena, peer);
}

bool guard_collect(Req *req, const char *method, const char *version)
{
    ReqPrivate *p = req->http;
    Collecting all;
    Err err;
    all.count = 0;
    for (size_t i = 0; i + 1 < sizeof req->method && method[i] != '\0'; i++) {
        req->method[i] = method[i];
    }
    find_client(req);
    MHD_get_connection_values_n(p->connection, MHD_HEADER_KIND, collect_header, &all);
    RequestHead head = {str_from(method), p->target, str_from(version), all.headers, all.count};
    if (p->target.ptr == NULL) head.target = (Str){"", 0};
    if (hygiene_check(&head, &p->facts, &err)) {
        req->path = p->facts.path;
        return true;
    }
    /* what was sent is not to be trusted, but says in which shape the error is understood */
    req->path = str_starts(head.target, "/openai/") ? STR("/openai/") : STR("/");
    p->close = true;
    reply_error(req, &err);
    return false;
}

/* ---- 2 route ---- */

static const Route asset_route = {METHOD_GET, "(asset)", asset_serve, ROLE_PUBLIC, 0, RATE_NONE, 0};

/* A browser asks before it sends what another site's page may not send unasked (a key's header). */
static void preflight(Req *req, const char *methods)
{
    req_add_header(req, "Access-Control-Allow-Methods", str_from(methods));
    req_add_header(req, "Access-Control-Allow-Headers",
                   STR("Authorization, Content-Type, X-Aileron-User, X-Aileron-Conversation, "
                       "X-Aileron-Consent, *"));
    req_add_header(req, "Access-Control-Max-Age", STR("86400"));
    reply_empty(req, 204);
}

static Verdict guard_route(Req *req)
{
    char allow[64];
    RouteMatch match =
        route_match(req->method, req->path, &req->arena, &req->route, req->params, allow);
    if (match == ROUTE_FOUND) {
        req->arena.cap += req->route->body_max < DRAIN_BYTES_MAX ? req->route->body_max : 0;
        return PASS;
    }
    bool open = req->route != NULL && (req->route->flags & ROUTE_ANY_ORIGIN) != 0;
    if (match == ROUTE_WRONG_METHOD && open && strcmp(req->method, "OPTIONS") == 0) {
        preflight(req, allow);
        return REPLIED;
    }
    if (match == ROUTE_NOT_FOUND && asset_matches(req->path)) {
        if (strcmp(req->method, "GET") == 0 || strcmp(req->method, "HEAD") == 0) {
            req->route = &asset_route;
            return PASS;
        }
        snprintf(allow, sizeof allow, "GET");
        match = ROUTE_WRONG_METHOD;
    }
    if (match == ROUTE_WRONG_METHOD) {
        req_add_header(req, "Allow", str_from(allow));
        reply_fail(req, ERR_method_not_allowed, NULL, "this address takes %s", allow);
    } else {
        reply_fail(req, ERR_not_found, NULL, "there is nothing at this address");
    }
    return REPLIED;
}

/* ---- 3 in flight ---- */

static Verdict guard_admit(Req *req)
{
    const Http *http = req->http->http;
    if (http->in_flight <= http->options.in_flight_max) return PASS;
    if (req->route->rate == RATE_NONE) return PASS; /* pages and health cost nothing */
    reply_fail(req, ERR_unavailable, NULL, "too many requests are being worked on");
    return REPLIED;
}

/* ---- 4 origin ---- */

static Str bearer(const Req *req)
{
    Str header = req_header(req, "Authorization");
    bool is = header.len > 7 && strncasecmp(header.ptr, "Bearer ", 7) == 0;
    return is ? str_skip(header, 7) : (Str){NULL, 0};
}

/* Is this an origin of the host the request was sent to? */
static bool origin_is_ours(const Req *req, Str origin)
{
    const ReqPrivate *p = req->http;
    Str host = req_header(req, "Host");
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(p->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    char peer[ADDRESS_CHARS];
    address_write(peer, info == NULL ? NULL : info->client_addr);
    if (proxies_trust(&p->http->proxies, str_from(peer))) {
        Str forwarded = req_header(req, "X-Forwarded-Host");
        if (forwarded.len > 0) host = forwarded;
    }
    size_t scheme = str_starts(origin, "https://") ? 8 : str_starts(origin, "http://") ? 7 : 0;
    Str authority = str_skip(origin, scheme);
    return scheme > 0 && authority.len == host.len && host.len > 0 &&
           strncasecmp(authority.ptr, host.ptr, host.len) == 0;
}

/* Browsers send cookies with requests that other sites make, so an unsafe request by cookie must
 * prove that it comes from our own pages. Whoever signs in is asked too when the browser says where
 * the request comes from, so that nobody is signed in to somebody else's account. */
static Verdict guard_origin(Req *req)
{
    if (strcmp(req->method, "GET") == 0 || strcmp(req->method, "HEAD") == 0) return PASS;
    if (bearer(req).ptr != NULL || (req->route->flags & ROUTE_ANY_ORIGIN) != 0) return PASS;
    bool by_cookie = req_cookie(req, SESSION_COOKIE_NAME).len > 0;
    Str site = req_header(req, "Sec-Fetch-Site"), origin = req_header(req, "Origin");
    bool ours;
    if (site.ptr != NULL) {
        ours = str_is(site, "same-origin") || str_is(site, "none");
    } else if (origin.ptr != NULL) {
        ours = origin_is_ours(req, origin);
    } else {
        ours = !by_cookie;
    }
    if (ours) return PASS;
    reply_fail(req, ERR_forbidden, NULL,
               "a change by cookie must come from this site's own pages (Origin, Sec-Fetch-Site)");
    return REPLIED;
}

/* ---- 5 rate ---- */

static Verdict guard_rate(Req *req)
{
    Rate rate = req->route->rate;
    int retry_after_s = 1;
    if (rate == RATE_NONE) return PASS;
    Str token = bearer(req);
    if (token.ptr == NULL) token = req_cookie(req, SESSION_COOKIE_NAME);
    bool ok = limit_take_address(limit_key("address", req->address), rate, &retry_after_s);
    if (ok && token.len > 0 && rate != RATE_SIGN_IN) {
        ok = limit_take(limit_key("token", token), rate, &retry_after_s);
    }
    if (ok) return PASS;
    char seconds[16];
    snprintf(seconds, sizeof seconds, "%d", retry_after_s);
    req_add_header(req, "Retry-After", str_from(seconds));
    reply_fail(req, ERR_rate_limited, NULL, "too many requests; try again in %s s", seconds);
    return REPLIED;
}

/* ---- 6 length, 7 session, 8 role, 9 body ---- */

static Verdict guard_length(Req *req)
{
    if (req->http->facts.content_length <= req->route->body_max) return PASS;
    if (req->route->body_max == 0) {
        reply_fail(req, ERR_too_large, NULL, "this address takes no body");
    } else {
        reply_fail(req, ERR_too_large, NULL, "the body is longer than %zu bytes",
                   req->route->body_max);
    }
    return REPLIED;
}

static Verdict guard_session(Req *req)
{
    ReqPrivate *p = req->http;
    bool optional = (req->route->flags & ROUTE_OPTIONAL_AUTH) != 0;
    if (p->authenticated || (req->route->role == ROLE_PUBLIC && !optional)) return PASS;
    p->http->options.authenticate(req);
    return p->authenticated ? PASS : p->replied ? REPLIED : PENDING;
}

static Verdict guard_role(Req *req)
{
    const Caller *caller = &req->caller;
    Role need = req->route->role;
    if (need == ROLE_PUBLIC) return PASS;
    if (!caller->known) {
        reply_fail(req, ERR_unauthenticated, NULL, "sign in, or send a valid key");
        return REPLIED;
    }
    bool in_project = strstr(req->route->path, "{slug}") != NULL;
    bool allowed = true; /* without {slug} the statement knows whose it is */
    if (need == ROLE_ADMIN) {
        allowed = caller->admin;
    } else if (need >= ROLE_ANNOTATOR && in_project) {
        if (caller->project_id == 0) {
            reply_fail(req, ERR_not_found, NULL, "there is no such project, or it is not yours");
            return REPLIED;
        }
        allowed = caller->admin || caller->role >= need;
    }
    if (allowed) return PASS;
    reply_fail(req, ERR_forbidden, NULL, "your role does not allow this");
    return REPLIED;
}

static bool is_json(Str type)
{
    Str parameters;
    Str essence = str_cut(type, ';', &parameters);
    while (essence.len > 0 && essence.ptr[essence.len - 1] == ' ') essence.len--;
    if (essence.len != 16 || strncasecmp(essence.ptr, "application/json", 16) != 0) return false;
    while (parameters.len > 0 && parameters.ptr[0] == ' ') parameters = str_skip(parameters, 1);
    return parameters.len < 8 || strncasecmp(parameters.ptr, "charset=", 8) != 0 ||
           strncasecmp(parameters.ptr + 8, "utf-8", 5) == 0 ||
           strncasecmp(parameters.ptr + 8, "\"utf-8", 6) == 0;
}

static Verdict guard_body(Req *req)
{
    const ReqPrivate *p = req->http;
    bool has_body = req->body.len > 0 || p->facts.content_length > 0 || p->facts.chunked;
    Str coding = req_header(req, "Content-Encoding");
    if (!has_body) return PASS;
    if (coding.len > 0 && !str_is(coding, "identity")) {
        reply_fail(req, ERR_unsupported_media, NULL, "bodies are taken without Content-Encoding");
        return REPLIED;
    }
    if ((req->route->flags & ROUTE_NO_JSON) != 0 || req->route->body_max == 0) return PASS;
    Str type = req_header(req, "Content-Type");
    if (type.ptr != NULL && is_json(type)) return PASS;
    reply_fail(req, ERR_unsupported_media, NULL, "Content-Type must be application/json");
    return REPLIED;
}

/* ---- the order ---- */

static const struct {
    Verdict (*run)(Req *req);
    bool at_head; /* needs the headers only */
} guards[] = {
    {guard_route, true},   {guard_admit, true},    {guard_origin, true}, {guard_rate, true},
    {guard_length, true},  {guard_session, false}, {guard_role, false},  {guard_body, false},
};

void guard_run(Req *req, bool head_only)
{
    ReqPrivate *p = req->http;
    while (p->guard < LEN(guards)) {
        /* who may stream a body in is decided before the first byte of it is read */
        bool streams = req->route != NULL && (req->route->flags & ROUTE_STREAM_BODY) != 0;
        if (head_only && !guards[p->guard].at_head && !streams) return;
        if (guards[p->guard].run(req) != PASS) return;
        p->guard++;
        if (p->guard == LEN(guards)) req->route->handler(req);
    }
}
