/* internal.h - what the files of db/ share. Nothing outside db/ includes it (but its tests).
 *
 * A Db owns its lanes and stream slots; they own their connection and their Requests. Rows *are* a
 * PGresult. */
#ifndef AILERON_DB_INTERNAL_H
#define AILERON_DB_INTERNAL_H

#include "lane.h"

enum {
    DB_LANES = 4,
    DB_ERROR_ARENA_MAX = 16384,
    DB_KEYWORDS_MAX = 12,
};

/* ---- streams ---- */
typedef enum StreamState {
    STREAM_EMPTY, /* no connection */
    STREAM_CONNECTING,
    STREAM_BEGINNING, /* settings and begin are in flight */
    STREAM_ROWS,
    STREAM_ENDING, /* commit is in flight; the stream itself is over */
    STREAM_IDLE,   /* a connection kept for the next one */
} StreamState;

struct DbStream {
    Db *db;
    PGconn *conn;
    Watch watch;
    StreamState state;
    Request *request; /* its done is the stream's; NULL: the slot is free (or ending) */
    DbRow row;
    bool paused, in_row, cancelled;
    bool reused;    /* a kept connection that may have died: one fresh try */
    int64_t due_us; /* connecting: give up; idle: close */
};

void stream_pump(DbStream *stream, int64_t now_us);
int64_t stream_due_us(const DbStream *stream);
void stream_close(DbStream *stream);

/* ---- the Db ---- */
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

/* ---- connect.c ---- */
typedef struct DbKeywords {
    const char *keywords[DB_KEYWORDS_MAX];
    const char *values[DB_KEYWORDS_MAX];
} DbKeywords;

/* The connection's keywords and values for `url`; application names it in pg_stat_activity. */
void db_keywords(DbKeywords *out, const char *url, const char *application);
/* Begins to connect without blocking. NULL: out of memory. */
MUST_CHECK PGconn *db_connect_start(const char *url, const char *application);
void db_drop_notice(void *context, const PGresult *result);

/* ---- client.c ---- */
/* Blocking: any one statement's text, with parameters. NULL with err. */
MUST_CHECK PGresult *db_client_exec(DbClient *client, const char *text, const DbParam *params,
                                    size_t count, Arena *arena, Err *err);

/* ---- errors.c ---- */
bool result_ok(const PGresult *result); /* tuples or a command that succeeded */
/* Fills err from a failed result by the tables of SQLSTATEs and constraints. */
void err_from_result(Err *err, Arena *arena, const PGresult *result, const char *statement);
/* The failure goes away when the statement is sent again (deadlock, serialization, lost race). */
bool result_retryable(const PGresult *result);
/* libpq's message in one line. */
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
