/* lane.c - one connection that never blocks: connect, watch, break, come back.
 *
 *   DOWN --due--> CONNECTING --poll ok--> PREPARING --Sync--> READY
 *    ^                |                       |                 |
 *    +---- break (PQfinish; what was in flight gets ERR_unavailable) --+
 *
 * What waits unsent survives a break of a READY lane and goes out on the next connection; when that
 * connection fails too, the lane is `unreachable`: what waits fails, sends are refused at once. */
#include "internal.h"

#include <stdatomic.h>
#include <sys/epoll.h>
#include "../base/clock.h"
#include "../base/log.h"
#include "../base/metrics.h"

enum { ATTEMPTS_PER_WARNING = 16 }; /* about every half minute while the database stays away */

static const char unreachable_detail[] = "the database cannot be reached at the moment";

void lane_init(Lane *lane, Db *db, const LaneKind *kind)
{
    *lane = (Lane){.db = db, .kind = kind, .watch = {.fd = -1}, .state = LANE_DOWN};
}

/* A database that hangs takes what is sent to it without a word, so one lane's experience counts
 * for those of all workers: they would wait for as long as their own statements may take. */
static atomic_int silent_lanes;

bool lanes_are_silent(void)
{
    return atomic_load(&silent_lanes) > 0;
}

void lane_set_silent(Lane *lane, bool silent)
{
    if (lane->silent != silent) atomic_fetch_add(&silent_lanes, silent ? 1 : -1);
    lane->silent = silent;
}

bool lane_enqueue(Lane *lane, Request *request, Err *err)
{
    size_t depth =
        (size_t)lane->waiting.count + (size_t)lane->again.count + (size_t)lane->in_flight.count;
    size_t bytes = lane->waiting.bytes + lane->in_flight.bytes;
    const char *detail = NULL;
    if (lane->unreachable || lane->db->closing || lanes_are_silent())
        detail = unreachable_detail;
    else if (depth >= DB_QUEUE_MAX || (depth > 0 && bytes + request->size > DB_QUEUE_BYTES_MAX))
        detail = "too much is waiting for the database";
    if (detail) {
        *err = (Err){ERR_unavailable, detail, NULL};
        return false;
    }
    queue_push(&lane->waiting, request);
    return true;
}

static int64_t backoff_us(int attempts)
{
    int64_t ms = DB_BACKOFF_FIRST_MS;
    for (int i = 1; i < attempts && ms < DB_BACKOFF_MAX_MS; i++) ms *= 2;
    if (ms > DB_BACKOFF_MAX_MS) ms = DB_BACKOFF_MAX_MS;
    int64_t jitter =
        (int64_t)(crypto_random_u64() % 1000); /* so that lanes do not come as a crowd */
    return ms * 500 + ms * jitter;             /* half to one and a half of it */
}

void lane_break(Lane *lane, const char *why)
{
    if (lane->state == LANE_DOWN) return;
    bool was_ready = lane->state == LANE_READY;
    bool was_unreachable = lane->unreachable;
    if (was_ready) metric_add(METRIC_db_connected, -1);
    lane->state = LANE_DOWN;
    lane->attempts = was_ready ? 0 : lane->attempts + 1;
    lane->unreachable = !was_ready;
    lane->due_us = clock_monotonic_us() + (was_ready ? 0 : backoff_us(lane->attempts));
    if (was_ready || !was_unreachable || lane->attempts % ATTEMPTS_PER_WARNING == 0)
        log_event(LOG_WARN, was_ready ? "db_connection_lost" : "db_connect_failed", "%s: %s",
                  lane->kind->application, why);
    watch_drop(lane->db, &lane->watch);
    PQfinish(lane->conn);
    lane->conn = NULL;
    lane->cursor = NULL;
    PQclear(lane->commit_error);
    lane->commit_error = NULL;

    queue_fail(&lane->in_flight, "the connection to the database was lost");
    if (lane->unreachable) {
        queue_fail(&lane->again, unreachable_detail);
        queue_fail(&lane->waiting, unreachable_detail);
    }
}

void lane_break_conn(Lane *lane)
{
    lane_break(lane, conn_message(lane->conn, &lane->db->scratch));
    arena_reset(&lane->db->scratch);
}

static void lane_connect(Lane *lane, int64_t now_us)
{
    lane->state = LANE_CONNECTING;
    lane->due_us = now_us + (int64_t)DB_CONNECT_TIMEOUT_MS * 1000;
    lane->conn = db_connect_start(lane->db->url, lane->kind->application);
    if (!lane->conn || PQstatus(lane->conn) == CONNECTION_BAD) {
        lane_break_conn(lane);
        return;
    }
    watch_set(lane->db, &lane->watch, PQsocket(lane->conn), EPOLLOUT);
}

static void lane_connect_step(Lane *lane)
{
    PostgresPollingStatusType step = PQconnectPoll(lane->conn);
    if (step == PGRES_POLLING_FAILED) {
        lane_break_conn(lane);
        return;
    }
    if (step == PGRES_POLLING_OK) lane_prepare_start(lane);
    if (lane->state == LANE_DOWN) return;
    /* The socket may have changed between polls (several addresses, or another try). */
    uint32_t events = step == PGRES_POLLING_WRITING ? EPOLLOUT : EPOLLIN;
    watch_set(lane->db, &lane->watch, PQsocket(lane->conn), events);
}

/* Pushes bytes out; asks for EPOLLOUT while some remain. Answers are read all the while, else both
 * sides could fill their buffers and wait for each other. */
static void lane_flush(Lane *lane)
{
    int left = PQflush(lane->conn);
    if (left < 0) {
        lane_break_conn(lane);
        return;
    }
    watch_set(lane->db, &lane->watch, PQsocket(lane->conn), left ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

static int64_t answer_due_us(const Lane *lane)
{
    int timeout_ms = lanes_are_silent() ? 0 : lane->kind->timeout_ms;
    return lane->progress_us + (int64_t)(timeout_ms + DB_ANSWER_GRACE_MS) * 1000;
}

static void lane_break_silent(Lane *lane, const char *why)
{
    lane_set_silent(lane, true);
    lane_break(lane, why);
}

void lane_pump(Lane *lane, int64_t now_us)
{
    bool ready = lane->watch.ready;
    lane->watch.ready = false;
    if (lane->state == LANE_DOWN && now_us >= lane->due_us) {
        lane_connect(lane, now_us);
        return;
    }
    if (lane->state == LANE_CONNECTING && ready) lane_connect_step(lane);
    if ((lane->state == LANE_PREPARING || lane->state == LANE_READY) && ready) lane_read(lane);
    if (lane->state == LANE_READY) lane_launch(lane);
    if (lane->state == LANE_PREPARING || lane->state == LANE_READY) lane_flush(lane);

    bool connecting = lane->state == LANE_CONNECTING || lane->state == LANE_PREPARING;
    if (connecting && now_us >= lane->due_us) lane_break_silent(lane, "no answer while connecting");
    if (lane->state == LANE_READY && lane->in_flight.count > 0 && now_us >= answer_due_us(lane))
        lane_break_silent(lane, "no answer from the database");
}

int64_t lane_due_us(const Lane *lane)
{
    if (lane->state != LANE_READY) return lane->due_us;
    if (lane->in_flight.count > 0) {
        bool can_send = !lane->kind->batches && lane->waiting.count > 0 &&
                        lane->in_flight.count < DB_PIPELINE_DEPTH_MAX;
        return can_send ? 0 : answer_due_us(lane);
    }
    return lane->waiting.count > 0 || lane->again.count > 0 ? 0 : INT64_MAX;
}

void lane_close(Lane *lane)
{
    if (lane->state == LANE_READY) metric_add(METRIC_db_connected, -1);
    lane->state = LANE_DOWN;
    lane->due_us = INT64_MAX;
    lane_set_silent(lane, false);
    watch_drop(lane->db, &lane->watch);
    PQfinish(lane->conn);
    lane->conn = NULL;
    lane->cursor = NULL;
    PQclear(lane->commit_error);
    lane->commit_error = NULL;
    queue_fail(&lane->in_flight, "the server is stopping");
    queue_fail(&lane->again, "the server is stopping");
    queue_fail(&lane->waiting, "the server is stopping");
}
