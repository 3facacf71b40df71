/* db.h - one worker's connections to PostgreSQL, as lanes that never block the event loop.
 *
 * A Db belongs to one thread. Statements are the files of schema/queries (sql.h), prepared on every
 * connection. A send copies its parameters; `done` is called exactly once, on the same thread, from
 * db_pump, with either rows (err == NULL) or err (rows == NULL), both valid during the call only.
 *
 * Lanes are connections, each with a statement_timeout of its own:
 * - FAST, 5 s: reads, pipelined, one Sync a statement.
 * - WRITE, 10 s: group commit. Up to DB_BATCH_MAX statements are pipelined under one Sync, which is
 *   one commit; the next batch gathers while it is in flight. If one fails the batch is sent again
 *   with a Sync each, so that only the culprit fails (deadlocks 40P01, 40001 are tried again then).
 *   `done` runs after the commit has been confirmed, never before.
 * - SLOW, 60 s: like FAST; statistics.
 * - BULK, 60 s: like FAST; import batches.
 *
 * Streams (exports) take a connection of their own, at most DB_STREAMS_MAX a worker. */
#ifndef AILERON_DB_H
#define AILERON_DB_H

#include "../base/err.h"
#include "rows.h"
#include "sql.h"

enum {
    DB_BATCH_MAX = 64,   /* statements in one group commit */
    DB_QUEUE_MAX = 4096, /* statements waiting or in flight in one lane; more: ERR_unavailable */
    DB_PARAMS_MAX = 40,
    DB_STREAMS_MAX = 4,
};

/* A parameter: text (format 0) or binary (format 1); value NULL is SQL NULL. */
typedef struct DbParam {
    const char *value;
    size_t length;
    int format;
    char small[40]; /* storage for numbers and ids; value may point here (use the constructors) */
} DbParam;

DbParam db_text(Str text); /* NULL when text.ptr is NULL */
DbParam db_int(int64_t value);
DbParam db_real(double value);
DbParam db_bool(bool value);
DbParam db_uuid(Uuid id);
DbParam db_bytes(const void *bytes, size_t n);  /* bytea, sent in binary */
DbParam db_binary(const void *bytes, size_t n); /* any type's binary format, e.g. arrays */
DbParam db_null(void);

typedef struct Db Db;
typedef void (*DbDone)(void *context, const Rows *rows, const Err *err);

typedef struct DbOptions {
    const char *url; /* a libpq connection string */
    int stream_max;
} DbOptions;

/* Starts connecting all lanes without blocking. NULL only when memory is spent. */
MUST_CHECK Db *db_open(const DbOptions *options);
void db_close(Db *db); /* every waiting `done` is called with ERR_unavailable first */

/* An epoll descriptor that is readable when db_pump has work; db_timeout_ms bounds the wait, -1
 * does not. */
int db_fd(const Db *db);
int db_timeout_ms(const Db *db);
void db_pump(Db *db); /* flush, read results, call `done`s, launch the next batch, reconnect */

/* True when the FAST and WRITE lanes are connected and prepared, and no lane of the process waits
 * for a database that has stopped answering. */
bool db_ready(const Db *db);
/* True when nothing is waiting or in flight (for drain). */
bool db_idle(const Db *db);

/* Sends a statement on its lane (sql.h). False, with err filled and `done` not called, when the
 * queue is full or the lane has been disconnected. A FAST/SLOW/BULK statement in flight when the
 * connection breaks gets ERR_unavailable; a WRITE batch too (the client retries; writes are
 * idempotent). */
MUST_CHECK bool db_send(Db *db, SqlId id, const DbParam *params, size_t count, DbDone done,
                        void *context, Err *err);

/* ---- streams: rows one at a time, in binary format, with back-pressure ---- */
typedef struct DbStream DbStream;
/* A row; return false to pause until db_stream_resume. */
typedef bool (*DbRow)(void *context, const Rows *row);

/* Runs one statement on a connection of its own in a REPEATABLE READ, READ ONLY transaction. `done`
 * is called once at the end (rows NULL; err NULL when complete). NULL with err: none is free. */
MUST_CHECK DbStream *db_stream_open(Db *db, SqlId id, const DbParam *params, size_t count,
                                    DbRow row, DbDone done, void *context, Err *err);
void db_stream_resume(DbStream *stream);
/* Gives the stream up (client gone); `done` is not called any more. */
void db_stream_cancel(DbStream *stream);

/* ---- blocking client, for the command line ---- */
typedef struct DbClient DbClient;
MUST_CHECK DbClient *db_client_open(const char *url, Arena *arena, Err *err);
void db_client_close(DbClient *client);
/* Runs a statement (prepared on first use). Rows are released with rows_release. */
MUST_CHECK bool db_client_query(DbClient *client, SqlId id, const DbParam *params, size_t count,
                                Rows **rows, Arena *arena, Err *err);
/* Streams a statement in binary format; row returning false stops early (not an error). */
MUST_CHECK bool db_client_stream(DbClient *client, SqlId id, const DbParam *params, size_t count,
                                 DbRow row, void *context, Arena *arena, Err *err);
/* Runs plain SQL text of several statements (migrations). */
MUST_CHECK bool db_client_script(DbClient *client, const char *text, Arena *arena, Err *err);

#endif
