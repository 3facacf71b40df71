/* loop.c - see loop.h. */
#include "loop.h"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "../../server/base/clock.h"
#include "../../server/base/log.h"
#include "../../server/http/limit.h"
#include "counts.h"

enum {
    CONNECTIONS_MAX = 1024,
    IDLE_TIMEOUT_S = 60, /* of a connection without a request */
    BODY_TIMEOUT_S = 30, /* for a body to arrive */
    BODIES_EXTRA = 64,   /* requests that may be arriving beside those in the queue */
    ENCODERS = 2,        /* threads */
    TICK_MS = 1000,
    ROUNDS_MAX = 8, /* replies may bring the next requests of their connections */
};

/* ---- tickets ---- */

static void fail(Req *req, const Err *err)
{
    Buf out;
    if (err_status(err->code) != 500) {
        reply_error(req, err);
        return;
    }
    /* whoever asks a scoring service also runs it: what went wrong is for them */
    log_event(LOG_ERROR, "score", "%s %s", req->id, err->detail);
    buf_init(&out, KiB(16));
    buf_put_format(&out, "{\"type\":\"urn:aileron:error:%s\",\"title\":\"%s\",\"status\":500",
                   err_name(err->code), err_title(err->code));
    buf_put_text(&out, ",\"detail\":");
    json_put_text(&out, str_from(err->detail));
    buf_put_format(&out, ",\"pointer\":null,\"request_id\":\"%s\"}", req->id);
    reply_text(req, 500, "application/problem+json", &out);
}

/* The one end of every ticket. */
static void finish(Ticket *ticket)
{
    Req *req = ticket->owner;
    Worker *loop = req->worker;
    Buf out;
    loop->tickets--;
    count_add(COUNT_waiting, -1);
    count_add(ticket->err.code == ERR_none ? COUNT_requests : COUNT_failures, 1);
    count_add(COUNT_timeouts, ticket->err.code == ERR_timeout);
    count_add(COUNT_abandoned, atomic_load(&ticket->abandoned));
    count_add(COUNT_truncated, ticket->cut > 0);
    req->state = NULL;
    if (ticket->err.code == ERR_none) {
        buf_init(&out, ANSWER_BYTES_MAX);
        answer_write(&out, ticket, &loop->options.model, req->id);
        count_request(clock_monotonic_us() - req->started_us);
        reply_json(req, 200, &out);
    } else {
        fail(req, &ticket->err);
    }
    ticket_free(ticket);
}

static void prepare(void *arg) /* on a thread of the pool */
{
    Ticket *ticket = arg;
    if (!atomic_load(&ticket->abandoned)) ticket_prepare(ticket);
}

static void prepared(void *arg)
{
    Ticket *ticket = arg;
    const Req *req = ticket->owner;
    if (ticket->err.code == ERR_none && req->worker->closing)
        ticket->err = (Err){.code = ERR_unavailable};
    if (ticket->err.code == ERR_none && atomic_load(&ticket->abandoned))
        ticket->err = (Err){.code = ERR_gone};
    if (ticket->err.code != ERR_none)
        finish(ticket);
    else
        scoring_push(req->worker->scoring, ticket);
}

static void client_left(Req *req)
{
    Ticket *ticket = req->state;
    if (ticket) atomic_store(&ticket->abandoned, true);
}

void loop_submit(Req *req, ScoreShape shape)
{
    Worker *loop = req->worker;
    Ticket *ticket = NULL;
    if (loop->tickets < loop->options.queue_max)
        ticket = ticket_new(shape, &loop->options.rules, req->body, req);
    if (ticket) {
        ticket->job = (Job){.run = prepare, .done = prepared, .arg = ticket, .inbox = loop->inbox};
        if (jobs_submit(loop->jobs, &ticket->job)) {
            req->state = ticket;
            loop->tickets++;
            count_add(COUNT_waiting, 1);
            req_watch(req, client_left);
            return;
        }
        ticket_free(ticket);
    }
    count_add(COUNT_queue_full, 1);
    reply_fail(req, ERR_unavailable, NULL, "%lld requests wait already",
               (long long)loop->options.queue_max);
}

/* ---- turning ---- */

static void take_finished(Worker *loop)
{
    Ticket *next;
    for (Ticket *ticket = scoring_take(loop->scoring); ticket; ticket = next) {
        next = ticket->next;
        finish(ticket);
    }
}

static void turn(Worker *loop)
{
    struct epoll_event events[4];
    int timeout = http_timeout_ms(loop->http);
    if (timeout < 0 || timeout > TICK_MS) timeout = TICK_MS;
    int n = epoll_wait(loop->epoll_fd, events, LEN(events), timeout);
    for (int i = 0; i < n; i++) {
        uint64_t count;
        if (events[i].data.fd != loop->signal_fd) continue;
        if (read(loop->signal_fd, &count, sizeof count) > 0) loop->stops += (int)count;
    }
    http_run(loop->http);
    for (int round = 0; round < ROUNDS_MAX; round++) {
        jobs_inbox_run(loop->inbox);
        take_finished(loop);
        if (!http_has_resumed(loop->http)) break;
        http_run(loop->http);
    }
}

static void drain(Worker *loop)
{
    int64_t deadline = clock_monotonic_us() + loop->options.drain_us;
    http_quiesce(loop->http);
    while (!http_idle(loop->http) || loop->tickets > 0) {
        if (loop->stops > 1 || clock_monotonic_us() > deadline) {
            loop->cut_off = true;
            log_event(LOG_WARN, "drain", "stops with %lld requests under way",
                      (long long)loop->tickets);
            return;
        }
        turn(loop);
    }
}

static void *run(void *arg)
{
    Worker *loop = arg;
    while (loop->stops == 0) turn(loop);
    drain(loop);
    scoring_stop(loop->scoring);
    return NULL;
}

/* ---- beginning and end ---- */

static bool watch(const Worker *loop, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    return fd >= 0 && epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

/* Binding without SO_REUSEPORT fails when anybody listens there, another of us included. */
static bool port_is_free(const LoopOptions *options, Arena *arena, Err *err)
{
    int fd = http_listen(options->address, options->port, false, arena, err);
    if (fd >= 0) close(fd);
    return fd >= 0;
}

bool loop_open(Worker *loop, Scoring *scoring, const LoopOptions *options, Arena *arena, Err *err)
{
    *loop = (Worker){.options = *options, .scoring = scoring};
    HttpOptions http = {.address = options->address,
                        .port = options->port,
                        .connection_max = CONNECTIONS_MAX,
                        .in_flight_max = (int)options->queue_max + BODIES_EXTRA,
                        .idle_timeout_s = IDLE_TIMEOUT_S,
                        .body_timeout_s = BODY_TIMEOUT_S,
                        .trusted_proxies = "",
                        .worker = loop};
    limit_setup(0); /* who may ask how often is for the proxy in front */
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    loop->signal_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    loop->inbox = jobs_inbox_new();
    loop->jobs = jobs_start(ENCODERS, (int)options->queue_max);
    if (loop->inbox && loop->jobs) {
        if (!port_is_free(options, arena, err)) return false;
        loop->http = http_open(&http, err, arena);
        if (!loop->http) return false;
    }
    count_add(COUNT_queue, options->queue_max);
    return (loop->http && watch(loop, http_fd(loop->http)) && watch(loop, loop->signal_fd) &&
            watch(loop, jobs_inbox_fd(loop->inbox)) && watch(loop, scoring_fd(scoring))) ||
           err_set(err, arena, ERR_unavailable, NULL, "the service has no memory or descriptors");
}

bool loop_start(Worker *loop, Arena *arena, Err *err)
{
    sigset_t all, before; /* signals belong to the main thread */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&loop->thread, NULL, run, loop);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc == 0 || err_set(err, arena, ERR_unavailable, NULL, "cannot start a thread");
}

void loop_stop(Worker *loop)
{
    uint64_t one = 1;
    ssize_t written = write(loop->signal_fd, &one, sizeof one);
    (void)written; /* full: it has been told */
}

void loop_join(Worker *loop)
{
    pthread_join(loop->thread, NULL);
}

/* The encoders end first (they read bodies), then what the scoring thread gave back, then the
 * connections: nothing is left that points to a request when it is freed. */
void loop_close(Worker *loop)
{
    loop->closing = true;
    jobs_stop(loop->jobs);
    if (loop->http) {
        jobs_inbox_run(loop->inbox);
        take_finished(loop);
        http_run(loop->http);
        http_close(loop->http);
    }
    jobs_inbox_free(loop->inbox);
    if (loop->epoll_fd > 0) close(loop->epoll_fd);
    if (loop->signal_fd > 0) close(loop->signal_fd);
}
