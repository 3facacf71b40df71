/* stream.c - exports: rows one at a time on a connection of their own, read only as fast as wanted.
 *
 *   EMPTY -> CONNECTING -> BEGINNING -> ROWS -> ENDING -> IDLE -> BEGINNING ...
 *
 * Paused means that the socket is not watched: libpq's buffer, the kernel's and then the server
 * fill up and wait. Giving a stream up closes its connection; the server notices at its next write
 * or, in a long sort, by client_connection_check_interval. */
#include "internal.h"

#include <sys/epoll.h>
#include "../base/clock.h"
#include "../base/metrics.h"

enum {
    STREAM_ROWS_PER_PUMP = 512, /* then the event loop gets its turn */
    STREAM_IDLE_MS = 30000,     /* how long a connection is kept for the next stream */
};

static const char begin_text[] =
    "set statement_timeout = 0; set timezone = 'UTC'; set datestyle = 'ISO';"
    " set bytea_output = 'hex'; set client_connection_check_interval = '5s';"
    " begin isolation level repeatable read read only";

static void drop_connection(DbStream *stream)
{
    watch_drop(stream->db, &stream->watch);
    PQfinish(stream->conn);
    stream->conn = NULL;
    stream->state = STREAM_EMPTY;
}

/* Ends the stream for its owner. The slot's connection is the caller's business. */
static void finish(DbStream *stream, const Err *err)
{
    Request *request = stream->request;
    stream->request = NULL;
    if (!request) return;
    if (err) metric_add(METRIC_db_errors_total, 1);
    if (!stream->cancelled) request->done(request->context, NULL, err);
    request_free(request);
}

static void connect_start(DbStream *stream)
{
    stream->reused = false;
    stream->state = STREAM_CONNECTING;
    stream->due_us = clock_monotonic_us() + (int64_t)DB_CONNECT_TIMEOUT_MS * 1000;
    stream->conn = db_connect_start(stream->db->url, "aileron stream");
    if (!stream->conn || PQstatus(stream->conn) == CONNECTION_BAD) {
        stream->due_us = 0; /* the next pump reports it: never from within db_stream_open */
        return;
    }
    watch_set(stream->db, &stream->watch, PQsocket(stream->conn), EPOLLOUT);
}

/* The connection failed. Before the first row of a kept connection it is simply made anew. */
static void lost(DbStream *stream)
{
    Err err = {ERR_unavailable, NULL, NULL};
    err.detail = conn_message(stream->conn, &stream->db->scratch);
    bool again = stream->reused && stream->request;
    drop_connection(stream);
    if (again)
        connect_start(stream);
    else
        finish(stream, &err);
    arena_reset(&stream->db->scratch);
}

static void failed(DbStream *stream, const PGresult *result)
{
    Err err;
    err_from_result(&err, &stream->db->scratch, result, sql_name(stream->request->id));
    drop_connection(stream); /* its transaction is aborted; a fresh one is simplest */
    finish(stream, &err);
    arena_reset(&stream->db->scratch);
}

static void begin(DbStream *stream)
{
    stream->state = STREAM_BEGINNING;
    if (PQsendQuery(stream->conn, begin_text) != 1) lost(stream);
}

static void send_statement(DbStream *stream)
{
    const Request *request = stream->request;
    stream->state = STREAM_ROWS;
    metric_add(METRIC_db_statements_total, 1);
    if (PQsendQueryParams(stream->conn, sql_text(request->id), request->count, NULL,
                          request->values, request->lengths, request->formats, 1) != 1 ||
        PQsetSingleRowMode(stream->conn) != 1)
        lost(stream);
}

/* No more results of what was sent: on to the next step. False: wait, or the stream is over. */
static bool next_step(DbStream *stream)
{
    switch (stream->state) {
    case STREAM_BEGINNING: send_statement(stream); return stream->state == STREAM_ROWS;
    case STREAM_ROWS: /* complete: the owner need not wait for the commit of a read */
        stream->state = STREAM_ENDING;
        finish(stream, NULL);
        if (PQsendQuery(stream->conn, "commit") != 1) lost(stream);
        return stream->state == STREAM_ENDING;
    case STREAM_ENDING:
        stream->state = STREAM_IDLE;
        stream->due_us = clock_monotonic_us() + (int64_t)STREAM_IDLE_MS * 1000;
        return false;
    default: return false;
    }
}

/* The session is over, though the socket's end may not have been read yet. */
static bool ends_session(const DbStream *stream, const PGresult *result)
{
    const char *severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);
    return PQstatus(stream->conn) == CONNECTION_BAD || !severity || strcmp(severity, "ERROR") != 0;
}

/* One result. False: the stream is paused or over. */
static bool take_result(DbStream *stream, PGresult *result)
{
    if (!result_ok(result)) {
        if (!stream->request || (stream->reused && ends_session(stream, result)))
            lost(stream);
        else
            failed(stream, result);
        PQclear(result);
        return false;
    }
    bool go_on = true;
    if (PQresultStatus(result) == PGRES_SINGLE_TUPLE && stream->request) {
        stream->reused = false; /* from here a new try would repeat rows */
        stream->in_row = true;
        bool more = stream->row(stream->request->context, rows_from(result));
        stream->in_row = false;
        if (stream->cancelled) {
            drop_connection(stream);
            finish(stream, NULL);
            go_on = false;
        } else if (!more) {
            stream->paused = true;
            go_on = false;
        }
    }
    PQclear(result);
    return go_on;
}

/* Reads from the socket only when libpq has nothing left to parse: else a slow owner's resumes
 * would let its buffer grow by more than they take out. */
static void read_results(DbStream *stream)
{
    bool alive = true;
    bool consumed = false;
    for (int i = 0; i < STREAM_ROWS_PER_PUMP; i++) {
        if (PQisBusy(stream->conn)) {
            if (consumed) break;
            alive = PQconsumeInput(stream->conn) == 1;
            consumed = true;
            if (PQisBusy(stream->conn)) break;
        }
        PGresult *result = PQgetResult(stream->conn);
        if (result ? !take_result(stream, result) : !next_step(stream)) return;
    }
    if (!alive)
        lost(stream);
    else if (!PQisBusy(stream->conn))
        stream->watch.ready = true; /* the event loop had its turn: come again at once */
}

static void connect_step(DbStream *stream)
{
    PostgresPollingStatusType step = PQconnectPoll(stream->conn);
    if (step == PGRES_POLLING_FAILED) {
        lost(stream);
        return;
    }
    if (step == PGRES_POLLING_OK) {
        if (PQsetnonblocking(stream->conn, 1) != 0) {
            lost(stream);
            return;
        }
        begin(stream);
    }
    if (!stream->conn) return;
    uint32_t events = step == PGRES_POLLING_WRITING ? EPOLLOUT : EPOLLIN;
    watch_set(stream->db, &stream->watch, PQsocket(stream->conn), events);
}

/* Writes what waits, and watches for what the state needs: nothing while paused. */
static void watch_again(DbStream *stream)
{
    if (!stream->conn || stream->state == STREAM_CONNECTING) return;
    int left = PQflush(stream->conn);
    if (left < 0) {
        lost(stream);
        return;
    }
    uint32_t events = (stream->paused ? 0 : EPOLLIN) | (left ? EPOLLOUT : 0);
    if (events)
        watch_set(stream->db, &stream->watch, PQsocket(stream->conn), events);
    else
        watch_drop(stream->db, &stream->watch);
}

void stream_pump(DbStream *stream, int64_t now_us)
{
    if (stream->state == STREAM_EMPTY) return;
    bool ready = stream->watch.ready;
    stream->watch.ready = false;
    if (stream->state == STREAM_CONNECTING) {
        if (ready)
            connect_step(stream);
        else if (now_us >= stream->due_us)
            lost(stream);
    } else if (stream->state == STREAM_IDLE) {
        if (ready || now_us >= stream->due_us) drop_connection(stream); /* ready: the end of it */
    } else if (ready && !stream->paused) {
        read_results(stream);
    }
    watch_again(stream);
}

int64_t stream_due_us(const DbStream *stream)
{
    if (stream->watch.ready) return 0;
    bool timed = stream->state == STREAM_CONNECTING || stream->state == STREAM_IDLE;
    return timed ? stream->due_us : INT64_MAX;
}

void stream_close(DbStream *stream)
{
    const Err err = {ERR_unavailable, "the server is stopping", NULL};
    if (stream->conn) drop_connection(stream);
    stream->state = STREAM_EMPTY;
    finish(stream, &err);
}

/* A kept connection before an empty slot; NULL: all are taken. */
static DbStream *free_slot(Db *db)
{
    DbStream *empty = NULL;
    for (int i = 0; i < db->stream_max; i++) {
        DbStream *stream = &db->streams[i];
        if (stream->state == STREAM_IDLE && !stream->watch.ready) return stream;
        if (stream->state == STREAM_EMPTY && !stream->request && !empty) empty = stream;
    }
    return empty;
}

DbStream *db_stream_open(Db *db, SqlId id, const DbParam *params, size_t count, DbRow row,
                         DbDone done, void *context, Err *err)
{
    DbStream *stream = db->closing ? NULL : free_slot(db);
    Request *request = stream ? request_new(id, params, count, done, context) : NULL;
    if (!request) {
        *err = (Err){ERR_unavailable, "too many exports are running; try again later", NULL};
        return NULL;
    }
    stream->request = request;
    stream->row = row;
    stream->paused = false;
    stream->cancelled = false;
    stream->reused = stream->state == STREAM_IDLE;
    if (!stream->reused) {
        connect_start(stream);
    } else {
        begin(stream);
        watch_again(stream);
    }
    return stream;
}

void db_stream_resume(DbStream *stream)
{
    if (!stream->paused) return;
    stream->paused = false;
    stream->watch.ready = true; /* rows may stand in libpq's buffer already */
}

void db_stream_cancel(DbStream *stream)
{
    if (!stream->request) return;
    stream->cancelled = true;
    if (stream->in_row) return; /* take_result ends it */
    if (stream->conn) drop_connection(stream);
    stream->state = STREAM_EMPTY;
    finish(stream, NULL);
}
