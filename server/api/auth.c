/* auth.c - who is calling, and in which role: the authenticate hook of http/.
 *
 * A session or key is found by the hash of its token, together with the project the path names. The
 * answer is cached for a few seconds per worker; whatever changes roles or sessions raises the
 * server's generation, which empties every cache. Statements check the role again, so a cached role
 * never grants what the database no longer does. */
#include "api.h"

#include "../base/clock.h"

enum {
    CACHE_SLOTS = 2048, /* power of two; a colliding entry replaces the older one */
    CACHE_LOGIN_BYTES = 64,
    KEY_PREFIX_BYTES = 3, /* "ak_" */
};
#define CACHE_TTL_US      (5 * 1000 * 1000)
#define SESSION_COOKIE    "aileron_session"
#define SESSION_MAX_AGE_S 2592000

typedef struct CacheEntry {
    uint8_t key[CRYPTO_HASH_BYTES]; /* hash of token hash and slug */
    uint64_t generation;
    int64_t expires_us;
    Uuid id;
    int64_t project_id;
    Role role;
    bool is_key;
    bool admin;
    uint8_t login_length;
    char login[CACHE_LOGIN_BYTES];
} CacheEntry;

typedef struct AuthCache {
    CacheEntry entries[CACHE_SLOTS];
} AuthCache;

typedef struct Lookup {
    uint8_t key[CRYPTO_HASH_BYTES];
    uint64_t generation;
    Str slug;
} Lookup;

void auth_forget(Worker *worker)
{
    atomic_fetch_add(&worker->server->auth_generation, 1);
}

void auth_close(Worker *worker)
{
    free(worker->auth_cache);
    worker->auth_cache = NULL;
}

static CacheEntry *cache_slot(Worker *worker, const uint8_t key[CRYPTO_HASH_BYTES])
{
    if (!worker->auth_cache) worker->auth_cache = calloc(1, sizeof(AuthCache));
    if (!worker->auth_cache) return NULL;
    uint32_t index = 0;
    memcpy(&index, key, sizeof index);
    return &worker->auth_cache->entries[index & (CACHE_SLOTS - 1)];
}

static bool cache_get(Req *req, const Lookup *lookup)
{
    const CacheEntry *entry = cache_slot(req->worker, lookup->key);
    if (!entry || entry->generation != lookup->generation ||
        entry->expires_us < clock_monotonic_us() ||
        memcmp(entry->key, lookup->key, sizeof entry->key) != 0)
        return false;
    Caller *caller = &req->caller;
    caller->login = arena_copy(&req->arena, (Str){entry->login, entry->login_length});
    caller->known = true;
    caller->is_key = entry->is_key;
    caller->admin = entry->admin;
    caller->id = entry->id;
    caller->project_id = entry->project_id;
    caller->role = entry->role;
    return true;
}

static void cache_put(const Req *req, const Lookup *lookup)
{
    const Caller *caller = &req->caller;
    CacheEntry *entry = cache_slot(req->worker, lookup->key);
    if (!entry || caller->login.len > CACHE_LOGIN_BYTES) return;
    memcpy(entry->key, lookup->key, sizeof entry->key);
    entry->generation = lookup->generation;
    entry->expires_us = clock_monotonic_us() + CACHE_TTL_US;
    entry->id = caller->id;
    entry->project_id = caller->project_id;
    entry->role = caller->role;
    entry->is_key = caller->is_key;
    entry->admin = caller->admin;
    entry->login_length = (uint8_t)caller->login.len;
    memcpy(entry->login, caller->login.ptr, caller->login.len);
}

static bool route_has_project(const Route *route)
{
    return strstr(route->path, "{slug}") != NULL;
}

/* A project that is not theirs looks like one that does not exist. */
static void admit(Req *req)
{
    bool in_project = req->route->role >= ROLE_ANNOTATOR && req->route->role <= ROLE_OWNER;
    if (in_project && route_has_project(req->route) && req->caller.role < ROLE_ANNOTATOR)
        reply_fail(req, ERR_not_found, NULL, "there is no such project, or you are not a member");
    else
        http_authenticated(req);
}

static Role role_read(Str text)
{
    if (str_is(text, "owner")) return ROLE_OWNER;
    if (str_is(text, "researcher")) return ROLE_RESEARCHER;
    return str_is(text, "annotator") ? ROLE_ANNOTATOR : ROLE_USER;
}

static void stranger(Req *req)
{
    req->caller = (Caller){.known = false, .role = ROLE_PUBLIC};
    if (req->route->role == ROLE_PUBLIC)
        http_authenticated(req);
    else
        reply_fail(req, ERR_unauthenticated, NULL, "sign in, or send a valid key");
}

static void auth_done(Req *req, const Rows *rows)
{
    if (rows_count(rows) == 0) {
        stranger(req);
        return;
    }
    Caller *caller = &req->caller;
    caller->known = true;
    caller->id = rows_uuid(rows, 0, 0);
    caller->login = arena_copy(&req->arena, rows_text(rows, 0, 1));
    caller->admin = rows_bool(rows, 0, 3);
    caller->project_id = rows_int(rows, 0, 4);
    caller->role = role_read(rows_text(rows, 0, 5));
    cache_put(req, req->state);
    if (caller->is_key && rows_bool(rows, 0, 6)) {
        DbParam hash = db_bytes(caller->token_hash, sizeof caller->token_hash);
        api_post(req->worker, SQL_key_touch, &hash, 1);
    }
    admit(req);
}

/* The token as sent: "Bearer ak_…" or the session cookie. ptr NULL: none. */
static Str token_sent(const Req *req, bool *is_key)
{
    Str header = req_header(req, "Authorization");
    if (header.ptr && header.len > 7 && strncasecmp(header.ptr, "Bearer ", 7) == 0) {
        *is_key = true;
        Str key = str_skip(header, 7);
        return str_starts(key, "ak_") ? str_skip(key, KEY_PREFIX_BYTES) : key;
    }
    bool anywhere = (req->route->flags & ROUTE_ANY_ORIGIN) != 0;
    *is_key = anywhere;
    if (!anywhere) return req_cookie(req, SESSION_COOKIE);
    Str key = req_query(req, "key"); /* navigator.sendBeacon sets no headers */
    return str_starts(key, "ak_") ? str_skip(key, KEY_PREFIX_BYTES) : key;
}

void auth_authenticate(Req *req)
{
    bool is_key = false;
    Str token = token_sent(req, &is_key);
    if (!token.ptr || token.len == 0) {
        stranger(req);
        return;
    }
    Lookup *lookup = arena_alloc(&req->arena, sizeof *lookup);
    Hasher *hasher = arena_alloc(&req->arena, hasher_size());
    if (!lookup || !hasher) {
        reply_fail(req, ERR_too_large, NULL, "the request needs too much memory");
        return;
    }
    crypto_token_hash(token, req->caller.token_hash);
    req->caller.is_key = is_key;
    lookup->slug = route_has_project(req->route) ? req->params[0] : (Str){NULL, 0};
    lookup->generation = atomic_load(&req->worker->server->auth_generation);
    hasher_init(hasher, NULL);
    hasher_add_raw(hasher, req->caller.token_hash, CRYPTO_HASH_BYTES);
    hasher_add(hasher, is_key ? STR("key") : STR("session"));
    hasher_add(hasher, lookup->slug);
    hasher_final(hasher, lookup->key);
    if (cache_get(req, lookup)) {
        admit(req);
        return;
    }
    req->state = lookup;
    DbParam params[] = {db_bytes(req->caller.token_hash, CRYPTO_HASH_BYTES), db_text(lookup->slug)};
    api_send(req, is_key ? SQL_auth_key : SQL_auth_session, auth_done, params, LEN(params));
}

void auth_set_cookie(Req *req, const char *token)
{
    Str cookie = arena_printf(&req->arena, "%s=%s; Path=/; HttpOnly; SameSite=Strict; Max-Age=%d%s",
                              SESSION_COOKIE, token ? token : "", token ? SESSION_MAX_AGE_S : 0,
                              req->secure ? "; Secure" : "");
    if (cookie.ptr) req_add_header(req, "Set-Cookie", cookie);
}
