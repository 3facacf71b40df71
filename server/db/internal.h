/* internal.h - what the files of db/ share; nothing outside db/ includes it, nor libpq-fe.h.
 *
 * A Db owns its lanes and stream slots, they own their connection and their Requests. A Request owns
 * its copied parameters and, until it is delivered, its PGresult. Rows *are* a PGresult. */
#ifndef AILERON_DB_INTERNAL_H
#define AILERON_DB_INTERNAL_H

#include <libpq-fe.h>
#include "db.h"

enum {
    DB_QUEUE_BYTES_MAX = 64 << 20, /* parameter bytes waiting or in flight in one lane */
    DB_PIPELINE_DEPTH_MAX = 256,   /* statements sent and unanswered in one lane */
    DB_WRITE_TRIES_MAX = 5,        /* sends of one write that meets deadlocks */
    DB_CONNECT_TIMEOUT_MS = 5000,
    DB_ANSWER_GRACE_MS = 5000,     /* past statement_timeout: the connection counts as dead */
    DB_BACKOFF_FIRST_MS = 50,
    DB_BACKOFF_MAX_MS = 2000,
    DB_ERROR_ARENA_MAX = 16384,
};

/* ---- requests ---- */
typedef struct Request {
    struct Request *next;
    SqlId id;
    DbDone done;
    void *context;
    PGresult *result; /* kept until the Sync behind it has come back */
    bool sync_after;  /* a Sync follows it: it ends its group */
    int tries;
    size_t size;      /* of this block, for DB_QUEUE_BYTES_MAX */
    int count;
    const char *const *values;
    const int *lengths;
    const int *formats;
} Request;

typedef struct RequestQueue {
    Request *head, *tail;
    int count;
    size_t bytes;
} RequestQueue;

/* Copies the parameters into one block. NULL: out of memory. */
MUST_CHECK Request *request_new(SqlId id, const DbParam *params, size_t count, DbDone done,
                                void *context);
void request_free(Request *request);
void queue_push(RequestQueue *queue, Request *request);
Request *queue_pop(RequestQueue *queue); /* NULL when empty */
void queue_append(RequestQueue *queue, RequestQueue *from); /* empties `from` */

/* ---- one descriptor in the Db's epoll ---- */
typedef struct Watch {
    int fd;          /* -1: none */
    uint32_t events;
    bool ready;      /* set by db_pump, cleared by the owner */
} Watch;

void watch_set(Db *db, Watch *watch, int fd, uint32_t events);
void watch_drop(Db *db, Watch *watch); /* before the connection is closed */

/* ---- lanes ---- */
typedef struct LaneKind {
    DbLane lane;
    const char *application; /* application_name */
    int timeout_ms;          /* statement_timeout */
    bool batches;            /* group commit */
} LaneKind;

typedef enum LaneState { LANE_DOWN, LANE_CONNECTING, LANE_PREPARING, LANE_READY } LaneState;

typedef struct Lane {
    Db *db;
    const LaneKind *kind;
    PGconn *conn;
    Watch watch;
    LaneState state;
    bool unreachable;       /* the last attempt to connect failed: sends are refused at once */
    bool was_ready;
    int attempts;           /* failed attempts in a row */
    int64_t due_us;         /* DOWN: connect then; CONNECTING, PREPARING: give up then */
    int64_t progress_us;    /* last answer, or first send into an idle lane */
    RequestQueue waiting;   /* not sent yet */
    RequestQueue again;     /* rolled back with their batch; each is sent with its own Sync */
    RequestQueue in_flight; /* sent, oldest first */
    Request *cursor;        /* in_flight: whose result comes next; NULL: a Sync comes next */
    PGresult *commit_error; /* the group's commit itself failed */
    int preparing;          /* LANE_PREPARING: results still to come, for naming a culprit */
} Lane;

void lane_init(Lane *lane, Db *db, const LaneKind *kind);
void lane_pump(Lane *lane, int64_t now_us);
/* When it next needs a pump without a descriptor being ready; INT64_MAX: never. */
int64_t lane_due_us(const Lane *lane);
MUST_CHECK bool lane_enqueue(Lane *lane, Request *request, Err *err);
void lane_close(Lane *lane); /* every Request gets ERR_unavailable */
void lane_break(Lane *lane, const char *why);
void lane_read(Lane *lane);   /* batch.c: consume answers, settle groups */
void lane_launch(Lane *lane); /* batch.c: send what may be sent */
void lane_prepare_start(Lane *lane); /* prepare.c: settings and statements, one Sync */
/* prepare.c: one answer of those; false: the lane has been broken. */
bool lane_prepare_result(Lane *lane, PGresult *result);
void queue_fail(RequestQueue *queue, const char *detail);

/* ---- streams ---- */
typedef enum StreamState {
    STREAM_EMPTY,      /* no connection */
    STREAM_CONNECTING,
    STREAM_BEGINNING,  /* settings and begin are in flight */
    STREAM_ROWS,
    STREAM_ENDING,     /* commit is in flight; the stream itself is over */
    STREAM_IDLE,       /* a connection kept for the next one */
} StreamState;

struct DbStream {
    Db *db;
    PGconn *conn;
    Watch watch;
    StreamState state;
    Request *request; /* its done is the stream's; NULL: the slot is free (or ending) */
    DbRow row;
    bool paused, in_row, cancelled;
    bool reused;      /* a kept connection that may have died: one fresh try */
    int64_t due_us;   /* connecting: give up; idle: close */
};

void stream_pump(DbStream *stream, int64_t now_us);
int64_t stream_due_us(const DbStream *stream);
void stream_close(DbStream *stream);

/* ---- the Db ---- */
enum { DB_LANES = 4 };

struct Db {
    char *url;
    int epoll_fd;
    Lane lanes[DB_LANES];
    int stream_max;
    DbStream streams[DB_STREAMS_MAX];
    Arena scratch; /* details of the Err being delivered */
    bool closing;
};

struct DbClient {
    PGconn *conn;
    bool prepared[SQL_COUNT];
};

/* Connects without blocking; application names the lane. NULL: out of memory. */
MUST_CHECK PGconn *db_connect_start(const char *url, const char *application);
/* The connection's keywords and values for `url`, for both ways to connect. */
enum { DB_KEYWORDS_MAX = 12 };
typedef struct DbKeywords {
    const char *keywords[DB_KEYWORDS_MAX];
    const char *values[DB_KEYWORDS_MAX];
} DbKeywords;
void db_keywords(DbKeywords *out, const char *url, const char *application);

/* Blocking: any one statement's text, with text parameters. NULL with err. */
MUST_CHECK PGresult *db_client_exec(DbClient *client, const char *text, const DbParam *params,
                                    size_t count, Arena *arena, Err *err);
const char *db_param_value(const DbParam *param); /* where its bytes are; NULL: SQL NULL */

/* ---- errors.c ---- */
bool result_ok(const PGresult *result); /* tuples or a command that succeeded */
/* Fills err from a failed result by the tables of SQLSTATEs and constraints. */
void err_from_result(Err *err, Arena *arena, const PGresult *result, const char *statement);
/* The failure goes away when the statement is sent again (deadlock, serialization, lost race). */
bool result_retryable(const PGresult *result);
/* libpq's message in one line, without its trailing newline. */
const char *conn_message(const PGconn *conn, Arena *arena);

static inline Rows *rows_from(PGresult *result)
{
    return (Rows *)result;
}
static inline PGresult *rows_result(const Rows *rows)
{
    return (PGresult *)(uintptr_t)rows;
}

#endif
