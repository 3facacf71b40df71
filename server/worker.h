/* worker.h - one thread: its listening socket, its database lanes, its job inbox, one epoll.
 *
 * A Worker owns its Http, Db and JobInbox; Server-wide things (config, job pool, keys) are shared
 * and read-only after start, but for metrics and the rate table, which are atomics. */
#ifndef AILERON_WORKER_H
#define AILERON_WORKER_H

#include <pthread.h>
#include <stdatomic.h>
#include "base/jobs.h"
#include "config.h"
#include "db/db.h"
#include "gateway/gateway.h"
#include "http/http.h"

/* What all workers share. */
typedef struct Server {
    const Config *config;
    const char *database_url;
    const char *address;             /* numeric, to listen on */
    int worker_count;
    JobPool *jobs;
    uint8_t pseudonym_key[CRYPTO_KEY_BYTES];
    uint8_t seal_key[CRYPTO_KEY_BYTES];
    _Atomic bool draining;           /* /readyz says no; nothing new is accepted */
    _Atomic bool hurry;              /* a second signal: end without waiting for requests */
    _Atomic uint64_t auth_generation;/* raised when sessions or roles change: caches are dropped */
    _Atomic uint64_t gateway_generation; /* likewise for projects' upstreams and settings */
    uint16_t port;
} Server;

struct Worker {
    Server *server;
    int index;
    pthread_t thread;
    int epoll_fd;
    int wake_fd;                  /* written when server->draining or ->hurry changes */
    _Atomic bool ready;           /* its lanes have been connected once */
    Http *http;
    Db *db;
    Gateway *gateway;
    JobInbox *inbox;
    struct AuthCache *auth_cache; /* api/auth.c */
    int64_t upkeep_due_us;        /* worker 0: next lease expiry sweep */
};

MUST_CHECK bool worker_start(Worker *worker, Server *server, int index, Arena *arena, Err *err);
void worker_wake(Worker *worker); /* from any thread: look at the server's flags now */
void worker_wait(Worker *worker); /* until it has drained */
void worker_free(Worker *worker); /* once nobody wakes it any more */

#endif
