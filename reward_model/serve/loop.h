/* loop.h - the HTTP side of serve: one thread with the daemon of server/http, the pool that
 * encodes, and the tickets on their way. It never computes, so health answers while the model does.
 */
#ifndef AILERON_RM_SERVE_LOOP_H
#define AILERON_RM_SERVE_LOOP_H

#include <pthread.h>

#include "../../server/http/http.h"
#include "answer.h"
#include "scoring.h"

typedef struct LoopOptions {
    const char *address; /* numeric */
    uint16_t port;       /* 0 picks one */
    int64_t queue_max;   /* requests for scores that wait or are worked on */
    int64_t drain_us;    /* requests under way get this long when the service stops */
    TicketRules rules;
    ServedModel model;
} LoopOptions;

/* What server/http calls the worker of a daemon: here there is one. */
struct Worker {
    LoopOptions options;
    Scoring *scoring; /* borrowed */
    Http *http;
    JobPool *jobs;
    JobInbox *inbox;
    int epoll_fd;
    int signal_fd; /* written for each signal to stop */
    int stops;     /* signals so far: the first drains, the second hurries */
    int64_t tickets;
    bool cut_off; /* requests were under way when it ended */
    bool closing; /* nothing is scored any more */
    pthread_t thread;
};

/* Listens; nothing is answered before loop_start. loop_close also after an error. */
MUST_CHECK bool loop_open(Worker *loop, Scoring *scoring, const LoopOptions *options, Arena *arena,
                          Err *err);
/* The thread: serves until the first stop, drains, stops `scoring`, ends. */
MUST_CHECK bool loop_start(Worker *loop, Arena *arena, Err *err);
void loop_stop(Worker *loop); /* from a signal handler, too */
void loop_join(Worker *loop);
void loop_close(Worker *loop);

/* A handler's work: a ticket for the request's body, or the reply that there is no room. */
void loop_submit(Req *req, ScoreShape shape);

#endif
