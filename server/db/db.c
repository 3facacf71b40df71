/* db.c - a Db: its lanes, its streams and the one epoll they share. */
#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>
#include "../base/clock.h"

enum { EVENTS_MAX = DB_LANES + DB_STREAMS_MAX };

static const LaneKind lane_kinds[DB_LANES] = {
    {LANE_fast, "aileron fast", 5000, false},
    {LANE_write, "aileron write", 10000, true},
    {LANE_slow, "aileron slow", 60000, false},
    {LANE_bulk, "aileron bulk", 60000, false},
};

/* ---- descriptors ---- */

void watch_drop(Db *db, Watch *watch)
{
    if (watch->fd >= 0) (void)epoll_ctl(db->epoll_fd, EPOLL_CTL_DEL, watch->fd, NULL);
    watch->fd = -1;
    watch->events = 0;
    watch->ready = false;
}

void watch_set(Db *db, Watch *watch, int fd, uint32_t events)
{
    if (fd < 0) {
        watch_drop(db, watch);
        return;
    }
    struct epoll_event event = {.events = events, .data.ptr = watch};
    /* libpq may have closed one socket and opened another under the same number, so what we think
     * is registered need not be: ask the kernel while connecting (events change at each step). */
    if (watch->fd == fd && watch->events == events && !(events & EPOLLOUT)) return;
    if (epoll_ctl(db->epoll_fd, EPOLL_CTL_MOD, fd, &event) != 0 && errno == ENOENT)
        (void)epoll_ctl(db->epoll_fd, EPOLL_CTL_ADD, fd, &event);
    watch->fd = fd;
    watch->events = events;
}

/* ---- life ---- */

Db *db_open(const DbOptions *options)
{
    Db *db = calloc(1, sizeof *db);
    if (!db) return NULL;
    db->url = strdup(options->url);
    db->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    db->stream_max = options->stream_max < DB_STREAMS_MAX ? options->stream_max : DB_STREAMS_MAX;
    arena_init(&db->scratch, DB_ERROR_ARENA_MAX);
    for (int i = 0; i < DB_LANES; i++) lane_init(&db->lanes[i], db, &lane_kinds[i]);
    for (int i = 0; i < DB_STREAMS_MAX; i++)
        db->streams[i] = (DbStream){.db = db, .watch = {.fd = -1}, .state = STREAM_EMPTY};
    if (db->url && db->epoll_fd >= 0) return db;
    db_close(db);
    return NULL;
}

void db_close(Db *db)
{
    if (!db) return;
    db->closing = true;
    for (int i = 0; i < DB_STREAMS_MAX; i++) stream_close(&db->streams[i]);
    for (int i = 0; i < DB_LANES; i++) lane_close(&db->lanes[i]);
    if (db->epoll_fd >= 0) close(db->epoll_fd);
    arena_release(&db->scratch);
    free(db->url);
    free(db);
}

int db_fd(const Db *db)
{
    return db->epoll_fd;
}

int db_timeout_ms(const Db *db)
{
    int64_t due_us = INT64_MAX;
    for (int i = 0; i < DB_LANES; i++) {
        int64_t lane_us = lane_due_us(&db->lanes[i]);
        if (lane_us < due_us) due_us = lane_us;
    }
    for (int i = 0; i < DB_STREAMS_MAX; i++) {
        int64_t stream_us = stream_due_us(&db->streams[i]);
        if (stream_us < due_us) due_us = stream_us;
    }
    if (due_us == INT64_MAX) return -1;
    int64_t left_us = due_us - clock_monotonic_us();
    if (due_us == 0 || left_us <= 0) return 0;
    int64_t left_ms = left_us / 1000 + 1;
    return left_ms > 60000 ? 60000 : (int)left_ms;
}

void db_pump(Db *db)
{
    struct epoll_event events[EVENTS_MAX];
    int n = epoll_wait(db->epoll_fd, events, EVENTS_MAX, 0);
    for (int i = 0; i < n; i++) ((Watch *)events[i].data.ptr)->ready = true;
    int64_t now_us = clock_monotonic_us();
    for (int i = 0; i < DB_LANES; i++) lane_pump(&db->lanes[i], now_us);
    for (int i = 0; i < DB_STREAMS_MAX; i++) stream_pump(&db->streams[i], now_us);
    /* What the `done`s of one lane sent on another goes out now, not a turn later. */
    for (int i = 0; i < DB_LANES; i++)
        if (db->lanes[i].state == LANE_READY && lane_due_us(&db->lanes[i]) == 0)
            lane_pump(&db->lanes[i], now_us);
}

static Lane *lane_of(Db *db, SqlId id)
{
    for (int i = 0; i < DB_LANES; i++)
        if (db->lanes[i].kind->lane == sql_lane(id)) return &db->lanes[i];
    return NULL;
}

bool db_ready(const Db *db)
{
    if (lanes_are_silent()) return false;
    for (int i = 0; i < DB_LANES; i++) {
        const Lane *lane = &db->lanes[i];
        bool needed = lane->kind->lane == LANE_fast || lane->kind->lane == LANE_write;
        if (needed && lane->state != LANE_READY) return false;
    }
    return true;
}

bool db_idle(const Db *db)
{
    for (int i = 0; i < DB_LANES; i++) {
        const Lane *lane = &db->lanes[i];
        if (lane->waiting.count + lane->again.count + lane->in_flight.count > 0) return false;
    }
    for (int i = 0; i < DB_STREAMS_MAX; i++)
        if (db->streams[i].request) return false;
    return true;
}

bool db_send(Db *db, SqlId id, const DbParam *params, size_t count, DbDone done, void *context,
             Err *err)
{
    Lane *lane = lane_of(db, id);
    assert(lane); /* stream and none statements are for db_stream_open and DbClient */
    Request *request = request_new(id, params, count, done, context);
    if (!request) {
        *err = (Err){ERR_unavailable, "out of memory", NULL};
        return false;
    }
    if (lane_enqueue(lane, request, err)) return true;
    request_free(request);
    return false;
}
