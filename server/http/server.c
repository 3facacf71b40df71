/* server.c - one worker's daemon: opening, turning, quiescing and closing it. */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include "../base/clock.h"
#include "../base/log.h"
#include "../base/metrics.h"
#include "private.h"

enum {
    BACKLOG = 1024,
    CONNECTION_BYTES = 32768,     /* half of it is the most a request's headers may take */
    SWEEP_INTERVAL_US = 1000000,
    WATCH_INTERVAL_US = 100000,
    HEAD_GRACE_S = 10,            /* beyond the idle timeout, for headers that drip */
    CLOSE_ROUNDS_MAX = 100,
};

/* ---- call-backs of the daemon ---- */

static size_t keep_escapes(void *cls, struct MHD_Connection *connection, char *text)
{
    (void)cls; /* the matcher splits first and decodes after */
    (void)connection;
    return strlen(text);
}

static void log_daemon(void *cls, const char *format, va_list args)
{
    char text[512];
    (void)cls;
    vsnprintf(text, sizeof text, format, args);
    log_event(LOG_DEBUG, "http", "%s", text);
}

static void panic(void *cls, const char *file, unsigned line, const char *reason)
{
    (void)cls;
    log_event(LOG_ERROR, "http_panic", "%s:%u: %s", file, line, reason);
    abort();
}

static void on_connection(void *cls, struct MHD_Connection *connection, void **context,
                          enum MHD_ConnectionNotificationCode code)
{
    Http *http = cls;
    Conn *conn = *context;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        metric_add(METRIC_http_connections, 1);
        conn = calloc(1, sizeof *conn);
        *context = conn;
        if (conn == NULL || info == NULL) return;
        *conn = (Conn){.next = http->conns, .fd = info->connect_fd};
        conn->since_us = clock_monotonic_us();
        if (conn->next != NULL) conn->next->previous = conn;
        http->conns = conn;
        return;
    }
    metric_add(METRIC_http_connections, -1);
    if (conn == NULL) return;
    if (conn->previous != NULL) {
        conn->previous->next = conn->next;
    } else if (http->conns == conn) {
        http->conns = conn->next;
    }
    if (conn->next != NULL) conn->next->previous = conn->previous;
    free(conn);
}

static bool peer_left(int fd)
{
    char byte;
    ssize_t n = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
}

/* libmicrohttpd's timeout starts anew with every byte, so a client that sends its headers one byte
 * at a time is cut here; shutting the socket down lets the daemon close it in its own way. */
static void sweep(Http *http)
{
    int64_t now = clock_monotonic_us();
    if (now < http->sweep_due_us) return;
    http->sweep_due_us = now + SWEEP_INTERVAL_US;
    for (Conn *conn = http->conns; conn != NULL; conn = conn->next) {
        int64_t limit_s = conn->spoken ? http->options.idle_timeout_s + HEAD_GRACE_S
                                       : HEAD_TIMEOUT_S;
        if (conn->busy || now - conn->since_us < limit_s * 1000000) continue;
        shutdown(conn->fd, SHUT_RDWR);
    }
    /* A client that leaves right behind some bytes of its body goes unnoticed: the end of the
     * stream came with the bytes, so the edge-triggered poll does not tell of it again. */
    for (const ReqPrivate *p = http->live; p != NULL; p = p->next) {
        if (p->phase != PHASE_BODY || p->parked || p->conn == NULL) continue;
        if (peer_left(p->conn->fd)) shutdown(p->conn->fd, SHUT_RDWR);
    }
}

/* A parked connection is not polled, so those whose requests want to know are asked. */
static void sweep_watched(Http *http)
{
    int64_t now = clock_monotonic_us();
    if (now < http->watch_due_us) return;
    http->watch_due_us = now + WATCH_INTERVAL_US;
    for (ReqPrivate *p = http->live, *next; p != NULL; p = next) {
        next = p->next;
        if (p->watch == NULL || !p->parked || p->conn == NULL) continue;
        if (peer_left(p->conn->fd)) http_client_left(p);
    }
}

/* ---- opening ---- */

int http_listen(const char *address, uint16_t port, bool shared, Arena *arena, Err *err)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found;
    char service[8];
    int one = 1;
    hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE;
    snprintf(service, sizeof service, "%u", port);
    if (getaddrinfo(address, service, &hints, &found) != 0) {
        err_set(err, arena, ERR_invalid, NULL, "\"%s\" is not a numeric address", address);
        return -1;
    }
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    bool ok = fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0;
    /* without it a second server cannot slip onto the port of a first */
    if (shared) ok = ok && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one) == 0;
    ok = ok && bind(fd, found->ai_addr, found->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0;
    int why = errno;
    freeaddrinfo(found);
    if (ok) return fd;
    if (fd >= 0) close(fd);
    err_set(err, arena, ERR_unavailable, NULL, "cannot listen on %s port %u: %s", address, port,
            why == EADDRINUSE ? "another program already does (choose another with --listen)"
                              : strerror(why));
    return -1;
}

static uint16_t port_of(int fd)
{
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &size) != 0) return 0;
    const struct sockaddr_in *v4 = (const void *)&address;
    const struct sockaddr_in6 *v6 = (const void *)&address;
    return ntohs(address.ss_family == AF_INET6 ? v6->sin6_port : v4->sin_port);
}

Http *http_open(const HttpOptions *options, Err *err, Arena *arena)
{
    Http *http = calloc(1, sizeof *http);
    if (http == NULL) {
        err_set(err, arena, ERR_internal, NULL, "out of memory");
        return NULL;
    }
    http->options = *options;
    http->listen_fd = -1;
    if (proxies_read(&http->proxies, options->trusted_proxies, arena, err)) {
        http->listen_fd = http_listen(options->address, options->port, true, arena, err);
    }
    if (http->listen_fd < 0) {
        free(http);
        return NULL;
    }
    http->port = port_of(http->listen_fd);
    MHD_set_panic_func(panic, NULL);
    http->daemon = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL, NULL,
        http_on_request, http,
        MHD_OPTION_EXTERNAL_LOGGER, log_daemon, NULL, /* first: what follows may complain */
        MHD_OPTION_LISTEN_SOCKET, http->listen_fd,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)options->connection_max,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)options->idle_timeout_s,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_BYTES,
        MHD_OPTION_URI_LOG_CALLBACK, http_on_target, http,
        MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, NULL,
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, http,
        MHD_OPTION_NOTIFY_COMPLETED, http_on_completed, http,
        MHD_OPTION_END);
    if (http->daemon != NULL) return http;
    err_set(err, arena, ERR_internal, NULL, "libmicrohttpd did not start");
    close(http->listen_fd);
    free(http);
    return NULL;
}

uint16_t http_port(const Http *http)
{
    return http->port;
}

int http_fd(const Http *http)
{
    const union MHD_DaemonInfo *info =
        MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    return info == NULL ? -1 : info->epoll_fd;
}

/* ---- turning ---- */

int http_timeout_ms(const Http *http)
{
    MHD_UNSIGNED_LONG_LONG timeout;
    if (http->resumed) return 0; /* MHD_get_timeout does not count resumed connections */
    int64_t most_ms = http->in_flight + http->lasting > 0 ? WATCH_INTERVAL_US / 1000 : -1;
    if (MHD_get_timeout(http->daemon, &timeout) == MHD_NO) return (int)most_ms;
    if (most_ms >= 0 && timeout > (uint64_t)most_ms) return (int)most_ms;
    return timeout > INT32_MAX ? INT32_MAX : (int)timeout;
}

bool http_has_resumed(const Http *http)
{
    return http->resumed;
}

void http_run(Http *http)
{
    http->resumed = false;
    MHD_run(http->daemon);
    sweep(http);
    sweep_watched(http);
}

bool http_idle(const Http *http)
{
    return http->in_flight + http->lasting == 0;
}

/* ---- ending ---- */

void http_quiesce(Http *http)
{
    if (http->draining) return;
    http_run(http); /* who is already in the backlog is still served */
    http->draining = true;
    if (http->listen_fd < 0) return;
    MHD_quiesce_daemon(http->daemon);
    close(http->listen_fd);
    http->listen_fd = -1;
}

/* libmicrohttpd aborts when it is stopped with a suspended connection, so whoever still waits is
 * woken first, to be refused. */
void http_close(Http *http)
{
    if (http == NULL) return;
    http_quiesce(http);
    bool parked = true;
    for (int i = 0; i < CLOSE_ROUNDS_MAX && parked; i++) {
        parked = false;
        for (ReqPrivate *p = http->live; p != NULL; p = p->next) {
            if (!p->parked) continue;
            parked = p->killed = true;
            http_unpark(p);
        }
        MHD_run(http->daemon);
    }
    MHD_stop_daemon(http->daemon);
    gzip_thread_end();
    free(http);
}
