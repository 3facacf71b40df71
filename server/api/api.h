/* api.h - every handler, in the order of the route table, and the few ways they reach the database.
 *
 * A handler is decode -> api_send -> finisher. api_send copies the parameters and suspends the
 * request; the finisher runs on the same thread with the rows and answers. Errors of the database
 * are answered by api_send itself, so a finisher only sees success. */
#ifndef AILERON_API_H
#define AILERON_API_H

#include "../db/db.h"
#include "../http/req.h"
#include "../worker.h"

enum {
    LIST_LIMIT_DEFAULT = 50,
    LIST_LIMIT_MAX = 200,
    LEASES_MAX = 10, /* leases in one request */
    PASSWORD_BYTES_MIN = 10,
    PASSWORD_BYTES_MAX = 1024,
    PREFERENCES_BYTES_MAX = 16384,
    INSTRUCTIONS_BYTES_MAX = 65536,
    TEXT_BYTES_MAX = 1048576, /* a rationale or an edit */
};

/* ---- send.c: statements and the generic finishers ---- */
typedef void (*Finish)(Req *req, const Rows *rows);

void api_send(Req *req, SqlId id, Finish finish, const DbParam *params, size_t count);
#define SEND(req, name, finish, ...)                                                               \
    api_send(req, SQL_##name, finish, (const DbParam[]){__VA_ARGS__},                              \
             sizeof((const DbParam[]){__VA_ARGS__}) / sizeof(DbParam))
/* Sends and forgets: nobody waits for it. Failures are logged. */
void api_post(Worker *worker, SqlId id, const DbParam *params, size_t count);

void finish_body(Req *req, const Rows *rows);    /* 200 with column `body`; no row: 404 */
void finish_row(Req *req, const Rows *rows);     /* 200 with the row as an object; no row: 404 */
void finish_created(Req *req, const Rows *rows); /* 201 likewise */
void finish_empty(Req *req, const Rows *rows);   /* 204; no row: 404 */
void finish_list(Req *req, const Rows *rows); /* {"items":[…],"next"}; next from column _after */
/* As finish_empty, and every worker forgets what it has cached about roles and sessions. */
void finish_empty_access(Req *req, const Rows *rows);

/* A list of a project. The statement takes project, principal, after and limit; after is the id of
 * the row before, or its name. */
typedef enum ListOrder { AFTER_ID, AFTER_NAME } ListOrder;
void api_list(Req *req, SqlId id, ListOrder order);
/* A fresh token for a link or key: its hash to store, its text into req->state. False: answered. */
MUST_CHECK bool secret_new(Req *req, uint8_t hash[CRYPTO_HASH_BYTES]);
/* 201 with the row and, this once, the token of secret_new as `member`, behind `prefix`. */
void finish_secret(Req *req, const Rows *rows, const char *member, const char *prefix);
/* ?limit= and ?after= of a list; false: answered. after.ptr NULL when absent. */
MUST_CHECK bool list_range(Req *req, int64_t *limit, Str *after);
/* A UUID path parameter; false: the 404 has been sent. */
MUST_CHECK bool param_uuid(Req *req, int index, Uuid *out);
/* {"…": rows[row] as object} pieces are written straight into a Buf made by this. */
Buf reply_buf(void);

/* ---- auth.c ---- */
void auth_authenticate(Req *req); /* the http hook */
void auth_forget(Worker *worker); /* roles or sessions changed: drop all caches */
void auth_close(Worker *worker);
void auth_set_cookie(Req *req, const char *token); /* NULL: sign out */

/* ---- session.c ---- */
void session_create(Req *req);
void session_link(Req *req);
void session_show(Req *req);
void session_delete(Req *req);
void session_reply(Req *req, Uuid account_id, int status); /* the SESSION object */

/* ---- account.c ---- */
void account_update(Req *req);
void account_list(Req *req);
void account_create(Req *req);
void account_link(Req *req);
void account_change(Req *req);
/* Hashes a password on the job pool, then calls `done` on this thread with the encoded hash. */
void account_hash_password(Req *req, Str password, void (*done)(Req *req, const char *encoded));
void account_too_many_tries(Req *req, int retry_after_s); /* 429 for one login */
/* Verifies on the job pool; encoded NULL costs the same and is wrong. */
void account_verify_password(Req *req, const char *encoded, Str password,
                             void (*done)(Req *req, bool right));

/* ---- project.c, member.c, invite.c, key.c, audit.c ---- */
void project_list(Req *req);
void project_create(Req *req);
void project_show(Req *req);
void project_update(Req *req);
extern const char *const project_roles[]; /* for enum fields; NULL-terminated */
void member_list(Req *req);
void member_create(Req *req);
void member_change(Req *req);
void member_delete(Req *req);
void invite_list(Req *req);
void invite_create(Req *req);
void invite_delete(Req *req);
void invite_lookup(Req *req);
void invite_accept(Req *req);
void key_list(Req *req);
void key_create(Req *req);
void key_delete(Req *req);
void audit_list(Req *req);

/* ---- settings.c: the one table of project settings ---- */
/* Checks the members of a settings object; pointers begin with "/settings". */
MUST_CHECK bool settings_check(json_t *settings, Arena *arena, Err *err);
/* Writes the full settings (defaults filled in) and instructions_html as a JSON object. */
MUST_CHECK bool settings_put(Buf *out, Str stored, Arena *arena);

/* ---- task.c: what an annotator sees ---- */
/* Writes the TASK object from a row's settings, prompt and candidates columns. */
MUST_CHECK bool task_put(Buf *out, Str settings, Str prompt, Str candidates, Arena *arena);

/* ---- lease.c, judgment.c, progress.c ---- */
void lease_create(Req *req);
void lease_judge(Req *req);
void lease_skip(Req *req);
void lease_renew(Req *req);
void judgment_list(Req *req);
void judgment_show(Req *req);
void judgment_delete(Req *req);
void project_progress(Req *req);

/* ---- import.c, export.c, snapshot.c ---- */
void import_create(Req *req);
void export_stream(Req *req);
void snapshot_list(Req *req);
void snapshot_create(Req *req);
void snapshot_verify(Req *req);

/* ---- openai.c, upstream.c, event.c, label.c, chat.c: the gateway and what comes of it ---- */
void label_list(Req *req);
void stats_conversations(Req *req);
void event_create(Req *req);
void event_create_own(Req *req);
void feedback_create(Req *req);
void upstream_list(Req *req);
void upstream_create(Req *req);
void upstream_delete(Req *req);
void openai_chat(Req *req);
void openai_models(Req *req);
void openai_model(Req *req);
void chat_models(Req *req);
void chat_message(Req *req);
void chat_edit(Req *req);
void chat_round(Req *req);
void chat_vote(Req *req);
void chat_end(Req *req);
void chat_list(Req *req);
void chat_show(Req *req);

/* ---- health.c ---- */
void health_live(Req *req);
void health_ready(Req *req);
void health_metrics(Req *req);
void openapi_show(Req *req);

/* ---- upkeep.c: worker 0, about once a second: leases that ran out, partitions ---- */
void upkeep_tick(Worker *worker);

#endif
