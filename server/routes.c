/* routes.c - THE table: every endpoint, who may call it, and its limits. A reader starts here.
 *
 * The guards (http/guard.c) enforce role, body size and rate before the handler runs; the statement
 * behind the handler checks the role again. */
#include "api/api.h"

const Route routes[] = {
    /* method, path, handler, role, body bytes, rate, flags */
    {METHOD_GET, "/healthz", health_live, ROLE_PUBLIC, 0, RATE_NONE, 0},
    {METHOD_GET, "/readyz", health_ready, ROLE_PUBLIC, 0, RATE_NONE, 0},
    {METHOD_GET, "/metrics", health_metrics, ROLE_PUBLIC, 0, RATE_NONE, 0},
    {METHOD_GET, "/api/v1/openapi.json", openapi_show, ROLE_PUBLIC, 0, RATE_READ, 0},

    {METHOD_POST, "/api/v1/session", session_create, ROLE_PUBLIC, KiB(4), RATE_SIGN_IN,
     ROUTE_OPTIONAL_AUTH},
    {METHOD_POST, "/api/v1/session/link", session_link, ROLE_PUBLIC, KiB(4), RATE_SIGN_IN, 0},
    {METHOD_GET, "/api/v1/session", session_show, ROLE_USER, 0, RATE_READ, 0},
    {METHOD_DELETE, "/api/v1/session", session_delete, ROLE_USER, 0, RATE_WRITE, 0},

    {METHOD_PATCH, "/api/v1/account", account_update, ROLE_USER, KiB(32), RATE_WRITE, 0},
    {METHOD_GET, "/api/v1/accounts", account_list, ROLE_ADMIN, 0, RATE_READ, 0},
    {METHOD_POST, "/api/v1/accounts", account_create, ROLE_ADMIN, KiB(4), RATE_WRITE,
     ROUTE_NO_GZIP},
    {METHOD_PATCH, "/api/v1/accounts/{id}", account_change, ROLE_ADMIN, KiB(4), RATE_WRITE, 0},
    {METHOD_POST, "/api/v1/accounts/{id}/link", account_link, ROLE_ADMIN, KiB(1), RATE_WRITE,
     ROUTE_NO_GZIP},

    {METHOD_GET, "/api/v1/projects", project_list, ROLE_USER, 0, RATE_READ, 0},
    {METHOD_POST, "/api/v1/projects", project_create, ROLE_USER, KiB(256), RATE_WRITE, 0},
    {METHOD_GET, "/api/v1/projects/{slug}", project_show, ROLE_ANNOTATOR, 0, RATE_READ, 0},
    {METHOD_PATCH, "/api/v1/projects/{slug}", project_update, ROLE_OWNER, KiB(256), RATE_WRITE, 0},

    {METHOD_GET, "/api/v1/projects/{slug}/members", member_list, ROLE_RESEARCHER, 0, RATE_READ, 0},
    {METHOD_POST, "/api/v1/projects/{slug}/members", member_create, ROLE_OWNER, KiB(4), RATE_WRITE,
     0},
    {METHOD_PATCH, "/api/v1/projects/{slug}/members/{id}", member_change, ROLE_OWNER, KiB(4),
     RATE_WRITE, 0},
    {METHOD_DELETE, "/api/v1/projects/{slug}/members/{id}", member_delete, ROLE_OWNER, 0,
     RATE_WRITE, 0},

    {METHOD_GET, "/api/v1/projects/{slug}/invites", invite_list, ROLE_OWNER, 0, RATE_READ, 0},
    {METHOD_POST, "/api/v1/projects/{slug}/invites", invite_create, ROLE_OWNER, KiB(4), RATE_WRITE,
     ROUTE_NO_GZIP},
    {METHOD_DELETE, "/api/v1/projects/{slug}/invites/{id}", invite_delete, ROLE_OWNER, 0,
     RATE_WRITE, 0},
    {METHOD_POST, "/api/v1/invites/lookup", invite_lookup, ROLE_PUBLIC, KiB(4), RATE_SIGN_IN, 0},
    {METHOD_POST, "/api/v1/invites/accept", invite_accept, ROLE_PUBLIC, KiB(8), RATE_SIGN_IN,
     ROUTE_OPTIONAL_AUTH},

    {METHOD_GET, "/api/v1/projects/{slug}/keys", key_list, ROLE_OWNER, 0, RATE_READ, 0},
    {METHOD_POST, "/api/v1/projects/{slug}/keys", key_create, ROLE_OWNER, KiB(4), RATE_WRITE,
     ROUTE_NO_GZIP},
    {METHOD_DELETE, "/api/v1/projects/{slug}/keys/{id}", key_delete, ROLE_OWNER, 0, RATE_WRITE, 0},
    {METHOD_GET, "/api/v1/projects/{slug}/upstreams", upstream_list, ROLE_OWNER, 0, RATE_READ, 0},
    {METHOD_POST, "/api/v1/projects/{slug}/upstreams", upstream_create, ROLE_OWNER, KiB(32),
     RATE_WRITE, ROUTE_NO_GZIP},
    {METHOD_DELETE, "/api/v1/projects/{slug}/upstreams/{id}", upstream_delete, ROLE_OWNER, 0,
     RATE_WRITE, 0},
    {METHOD_GET, "/api/v1/projects/{slug}/audit", audit_list, ROLE_OWNER, 0, RATE_READ, 0},

    {METHOD_GET, "/api/v1/projects/{slug}/stats/conversations", stats_conversations,
     ROLE_RESEARCHER, 0, RATE_BULK, 0},
    {METHOD_GET, "/api/v1/projects/{slug}/labels", label_list, ROLE_RESEARCHER, 0, RATE_BULK, 0},
    {METHOD_GET, "/api/v1/projects/{slug}/chat/models", chat_models, ROLE_ANNOTATOR, 0, RATE_READ,
     0},
    {METHOD_POST, "/api/v1/projects/{slug}/chat/messages", chat_message, ROLE_ANNOTATOR, MiB(1),
     RATE_WRITE, 0},
    {METHOD_POST, "/api/v1/events", event_create, ROLE_USER, MiB(1), RATE_GATEWAY,
     ROUTE_NO_JSON | ROUTE_ANY_ORIGIN},
    {METHOD_POST, "/api/v1/feedback", feedback_create, ROLE_USER, KiB(64), RATE_GATEWAY,
     ROUTE_NO_JSON | ROUTE_ANY_ORIGIN},
    {METHOD_POST, "/openai/v1/chat/completions", openai_chat, ROLE_USER, MiB(15), RATE_GATEWAY,
     ROUTE_ANY_ORIGIN},
    {METHOD_GET, "/openai/v1/models", openai_models, ROLE_USER, 0, RATE_READ, ROUTE_ANY_ORIGIN},

    {METHOD_POST, "/api/v1/projects/{slug}/leases", lease_create, ROLE_ANNOTATOR, KiB(1),
     RATE_WRITE, ROUTE_LEASE},
    {METHOD_PUT, "/api/v1/leases/{id}/judgment", lease_judge, ROLE_USER, MiB(8), RATE_WRITE,
     ROUTE_JUDGMENT},
    {METHOD_POST, "/api/v1/leases/{id}/skip", lease_skip, ROLE_USER, KiB(4), RATE_WRITE, 0},
    {METHOD_POST, "/api/v1/leases/{id}/renew", lease_renew, ROLE_USER, KiB(1), RATE_WRITE, 0},
    {METHOD_GET, "/api/v1/projects/{slug}/judgments", judgment_list, ROLE_ANNOTATOR, 0, RATE_READ,
     0},
    {METHOD_GET, "/api/v1/judgments/{id}", judgment_show, ROLE_USER, 0, RATE_READ, 0},
    {METHOD_DELETE, "/api/v1/judgments/{id}", judgment_delete, ROLE_USER, 0, RATE_WRITE, 0},
    {METHOD_GET, "/api/v1/projects/{slug}/progress", project_progress, ROLE_ANNOTATOR, 0, RATE_READ,
     0},

    {METHOD_POST, "/api/v1/projects/{slug}/import", import_create, ROLE_RESEARCHER, GiB(8),
     RATE_BULK, ROUTE_STREAM_BODY | ROUTE_NO_JSON},
    {METHOD_GET, "/api/v1/projects/{slug}/export", export_stream, ROLE_RESEARCHER, 0, RATE_BULK, 0},
    {METHOD_GET, "/api/v1/projects/{slug}/snapshots", snapshot_list, ROLE_RESEARCHER, 0, RATE_READ,
     0},
    {METHOD_POST, "/api/v1/projects/{slug}/snapshots", snapshot_create, ROLE_RESEARCHER, KiB(16),
     RATE_BULK, 0},
    {METHOD_POST, "/api/v1/projects/{slug}/snapshots/{name}/verify", snapshot_verify,
     ROLE_RESEARCHER, KiB(1), RATE_BULK, 0},
};

const size_t routes_count = LEN(routes);
