/* lane.h - the state of one lane (lane.c, prepare.c, batch.c). Private to db/. */
#ifndef AILERON_DB_LANE_H
#define AILERON_DB_LANE_H

#include "request.h"

enum {
    DB_QUEUE_BYTES_MAX = 64 << 20, /* parameter bytes waiting or in flight in one lane */
    DB_PIPELINE_DEPTH_MAX = 256,   /* statements sent and unanswered in one lane */
    DB_WRITE_TRIES_MAX = 5,        /* sends of one write that meets deadlocks */
    DB_CONNECT_TIMEOUT_MS = 5000,
    DB_ANSWER_GRACE_MS = 5000, /* past statement_timeout: the connection counts as dead */
    DB_BACKOFF_FIRST_MS = 50,
    DB_BACKOFF_MAX_MS = 2000,
};

/* One descriptor in the Db's epoll. */
typedef struct Watch {
    int fd; /* -1: none */
    uint32_t events;
    bool ready; /* set by db_pump, cleared by the owner */
} Watch;

void watch_set(Db *db, Watch *watch, int fd, uint32_t events);
void watch_drop(Db *db, Watch *watch); /* before the connection is closed */

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
    bool unreachable; /* the last attempt to connect failed: sends are refused at once */
    bool was_ready;
    bool silent; /* it got no answer in time, and has not been connected since */
    int attempts;           /* failed attempts in a row */
    int64_t due_us;         /* DOWN: connect then; CONNECTING, PREPARING: give up then */
    int64_t progress_us;    /* last answer, or first send into an idle lane */
    RequestQueue waiting;   /* not sent yet */
    RequestQueue again;     /* rolled back with their batch; each is sent with its own Sync */
    RequestQueue in_flight; /* sent, oldest first */
    Request *cursor;        /* in_flight: whose result comes next; NULL: a Sync comes next */
    PGresult *commit_error; /* the group's commit itself failed */
    int preparing;          /* LANE_PREPARING: results that have come, for naming a culprit */
} Lane;

void lane_init(Lane *lane, Db *db, const LaneKind *kind);
void lane_pump(Lane *lane, int64_t now_us);
/* When it next needs a pump without a descriptor being ready; INT64_MAX: never. */
int64_t lane_due_us(const Lane *lane);
MUST_CHECK bool lane_enqueue(Lane *lane, Request *request, Err *err);
void lane_close(Lane *lane); /* every Request gets ERR_unavailable */
/* Closes the connection; what is in flight gets ERR_unavailable; connects again when due. */
void lane_break(Lane *lane, const char *why);
void lane_break_conn(Lane *lane); /* with libpq's own message */

/* Whether any lane of the process got no answer in time and has not been connected since. */
bool lanes_are_silent(void);
void lane_set_silent(Lane *lane, bool silent);

void lane_read(Lane *lane);          /* batch.c: consume answers, settle groups */
void lane_launch(Lane *lane);        /* batch.c: send what may be sent */
void lane_prepare_start(Lane *lane); /* prepare.c: settings and statements, one Sync */
/* prepare.c: one answer of those; false: the lane has been broken. */
MUST_CHECK bool lane_prepare_result(Lane *lane, PGresult *result);

#endif
