/* worker.c - the turn of one worker: requests in, statements out, results in, replies out.
 *
 * Nothing blocks but the one wait. What a request needs from elsewhere comes back through one of
 * the four descriptors: the daemon, the database lanes, finished jobs, and a wake-up from main. */
#include "worker.h"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "api/api.h"
#include "base/clock.h"
#include "base/log.h"

enum {
    TICK_MS = 1000,            /* upkeep, and the longest wait */
    TURN_ROUNDS_MAX = 8,       /* replies may bring the next requests of their connections */
    DRAIN_MS = 8000,           /* requests get this long to finish when the server stops */
    JOBS_MS = 5000,            /* then jobs that still point to requests */
    CLOSING_POLL_MS = 20,
    STREAMS_MAX = DB_STREAMS_MAX,
    IN_FLIGHT_MAX = 1024,
    IDLE_TIMEOUT_S = 60,
    BODY_TIMEOUT_S = 30,
    CONNECTIONS_MIN = 64,
};

/* ---- one turn ---- */

static int smaller_timeout(int a, int b)
{
    if (a < 0) return b;
    return b < 0 || a < b ? a : b;
}

static void worker_listen(Worker *worker)
{
    struct epoll_event events[5];
    int timeout = smaller_timeout(http_timeout_ms(worker->http), db_timeout_ms(worker->db));
    timeout = smaller_timeout(timeout, gateway_timeout_ms(worker->gateway));
    int n = epoll_wait(worker->epoll_fd, events, LEN(events), smaller_timeout(timeout, TICK_MS));
    for (int i = 0; i < n; i++) {
        uint64_t count;
        if (events[i].data.fd == jobs_inbox_fd(worker->inbox)) jobs_inbox_run(worker->inbox);
        if (events[i].data.fd == worker->wake_fd) {
            ssize_t got = read(worker->wake_fd, &count, sizeof count);
            (void)got;
        }
    }
}

/* A stream that begins has its head sent by the first run, and its first words by the second. */
static void tokens_send(Worker *worker)
{
    if (!http_has_resumed(worker->http)) return;
    http_run(worker->http);
    if (http_timeout_ms(worker->http) == 0) http_run(worker->http);
}

static void worker_turn(Worker *worker)
{
    worker_listen(worker);
    http_run(worker->http); /* parse; handlers send statements and wait */
    for (int round = 0; round < TURN_ROUNDS_MAX; round++) {
        gateway_pump(worker->gateway);
        tokens_send(worker); /* before rows */
        gateway_settle(worker->gateway);
        db_pump(worker->db); /* flush, results, finishers, the next group commit */
        if (!http_has_resumed(worker->http)) break;
        http_run(worker->http); /* the replies of this turn, and requests behind them */
    }
    if (worker->index == 0) upkeep_tick(worker);
    if (!worker->ready && db_ready(worker->db)) atomic_store(&worker->ready, true);
}

/* ---- the end ---- */

static void worker_drain(Worker *worker)
{
    int64_t deadline = clock_monotonic_us() + (int64_t)DRAIN_MS * 1000;
    http_quiesce(worker->http);
    while (!http_idle(worker->http) || !db_idle(worker->db) || !gateway_idle(worker->gateway)) {
        if (atomic_load(&worker->server->hurry) || clock_monotonic_us() > deadline) {
            log_event(LOG_WARN, "drain", "worker %d stops with requests under way", worker->index);
            break;
        }
        worker_turn(worker);
    }
}

static void *worker_main(void *arg)
{
    Worker *worker = arg;
    while (!atomic_load(&worker->server->draining)) worker_turn(worker);
    worker_drain(worker);
    /* Statements end first (their requests get an answer), then jobs, then connections: nothing is
     * left that points to a request when it is freed. */
    db_close(worker->db);
    gateway_stop(worker->gateway);
    int64_t deadline = clock_monotonic_us() + (int64_t)JOBS_MS * 1000;
    while (!jobs_inbox_idle(worker->inbox) && clock_monotonic_us() < deadline) {
        jobs_inbox_run(worker->inbox);
        usleep(CLOSING_POLL_MS * 1000);
    }
    http_run(worker->http);
    http_close(worker->http);
    gateway_close(worker->gateway);
    auth_close(worker);
    return NULL;
}

void worker_wake(Worker *worker)
{
    uint64_t one = 1;
    ssize_t written = write(worker->wake_fd, &one, sizeof one);
    (void)written; /* full: it is awake already */
}

void worker_wait(Worker *worker)
{
    pthread_join(worker->thread, NULL);
}

void worker_free(Worker *worker)
{
    jobs_inbox_free(worker->inbox);
    close(worker->epoll_fd);
    close(worker->wake_fd);
}

/* ---- the beginning ---- */

static bool watch(const Worker *worker, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    return fd >= 0 && epoll_ctl(worker->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

static bool open_http(Worker *worker, const char *address, int workers, Arena *arena, Err *err)
{
    const Config *config = worker->server->config;
    int connections = (config->connections + workers - 1) / workers;
    HttpOptions options = {
        .address = address,
        .port = worker->server->port,
        .connection_max = connections < CONNECTIONS_MIN ? CONNECTIONS_MIN : connections,
        .in_flight_max = IN_FLIGHT_MAX,
        .idle_timeout_s = IDLE_TIMEOUT_S,
        .body_timeout_s = BODY_TIMEOUT_S,
        .trusted_proxies = config->trusted_proxies,
        .worker = worker,
        .authenticate = auth_authenticate,
    };
    worker->http = http_open(&options, err, arena);
    if (worker->http == NULL) return false;
    if (options.port == 0) worker->server->port = http_port(worker->http); /* everybody's now */
    return true;
}

static bool open_gateway(Worker *worker)
{
    Server *server = worker->server;
    const GatewayOptions options = {
        .db = worker->db,
        .pseudonym_key = server->pseudonym_key,
        .seal_key = server->seal_key,
        .generation = &server->gateway_generation,
        .ack_stream = strcmp(server->config->gateway_ack, "stream") == 0,
        .workers = server->worker_count,
    };
    worker->gateway = gateway_open(&options);
    return worker->gateway != NULL;
}

bool worker_start(Worker *worker, Server *server, int index, Arena *arena, Err *err)
{
    DbOptions database = {.url = server->database_url, .stream_max = STREAMS_MAX};
    *worker = (Worker){.server = server, .index = index};
    worker->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    worker->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    worker->inbox = jobs_inbox_new();
    worker->db = db_open(&database);
    if (worker->epoll_fd < 0 || worker->wake_fd < 0 || worker->inbox == NULL ||
        worker->db == NULL) {
        return err_set(err, arena, ERR_internal, NULL, "a worker has no memory or descriptors");
    }
    if (!open_gateway(worker)) {
        return err_set(err, arena, ERR_internal, NULL, "a worker has no memory for its gateway");
    }
    if (!open_http(worker, server->address, server->worker_count, arena, err)) return false;
    if (!watch(worker, http_fd(worker->http)) || !watch(worker, gateway_fd(worker->gateway)) ||
        !watch(worker, db_fd(worker->db)) ||
        !watch(worker, jobs_inbox_fd(worker->inbox)) || !watch(worker, worker->wake_fd)) {
        return err_set(err, arena, ERR_internal, NULL, "a worker cannot watch its descriptors");
    }
    sigset_t all, before; /* signals belong to the main thread */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&worker->thread, NULL, worker_main, worker);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc == 0 || err_set(err, arena, ERR_internal, NULL, "cannot start a thread");
}
