/* parallel.c - frames between ranks, the collective calls over them, and failure: see parallel.h.
 */
#include "parallel_internal.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "../../server/base/clock.h"

enum {
    WATCH_MS = 200,
    READER_FIRST_MS = 300, /* who reads a connection finds its end, and what was said before it */
    GRACE_MS = 5000,       /* for the process to end by itself once all is lost */
    LAST_WORDS_S = 1,      /* to get a frame out before the connections are shut */
};

static void wait_ms(int64_t ms)
{
    struct timespec time = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&time, NULL);
}

/* ---- failure ---- */

static bool write_whole(int fd, const void *bytes, size_t count, int flags)
{
    const char *at = bytes;
    while (count > 0) {
        ssize_t n = send(fd, at, count, flags | MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        at += n;
        count -= (size_t)n;
    }
    return true;
}

/* Tells a rank, unless a frame to it hangs. */
static void tell(Peer *peer, const char *problem)
{
    Frame frame = {FRAME_MAGIC, FRAME_PROBLEM, 0, strlen(problem)};
    struct timeval patience = {LAST_WORDS_S, 0};
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += LAST_WORDS_S;
    if (pthread_mutex_timedlock(&peer->sending, &until) != 0) return;
    setsockopt(peer->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (write_whole(peer->fd, &frame, sizeof frame, MSG_MORE))
        (void)write_whole(peer->fd, problem, (size_t)frame.bytes, 0);
    pthread_mutex_unlock(&peer->sending);
}

bool parallel_fail(Parallel *p, const char *format, ...)
{
    va_list args;
    pthread_mutex_lock(&p->lock);
    bool first = !p->failed;
    if (first) {
        va_start(args, format);
        vsnprintf(p->problem, sizeof p->problem, format, args);
        va_end(args);
        p->failed = true;
    }
    pthread_mutex_unlock(&p->lock);
    for (int32_t r = 0; first && r < p->place.world; r++)
        if (p->peers[r].fd >= 0) {
            tell(&p->peers[r], p->problem);
            shutdown(p->peers[r].fd, SHUT_RDWR);
        }
    return false;
}

bool parallel_failed(Parallel *p)
{
    pthread_mutex_lock(&p->lock);
    bool failed = p->failed;
    pthread_mutex_unlock(&p->lock);
    return failed;
}

bool parallel_error(Parallel *p, Arena *arena, Err *err)
{
    pthread_mutex_lock(&p->lock);
    err_set(err, arena, ERR_unavailable, NULL, "%s", p->problem);
    pthread_mutex_unlock(&p->lock);
    return false;
}

static bool gone(Parallel *p, int32_t rank)
{
    return parallel_fail(p, "rank %d is gone: its connection to rank %d is closed", rank,
                         p->place.rank);
}

/* ---- the watcher: a rank that ends is noticed though nobody reads from it ---- */

/* What was said last on a connection that is closed, if that lies next. */
static void read_last_words(Parallel *p, int32_t rank)
{
    char bytes[sizeof(Frame) + PARALLEL_TEXT_BYTES];
    ssize_t n = recv(p->peers[rank].fd, bytes, sizeof bytes - 1, MSG_PEEK | MSG_DONTWAIT);
    Frame frame;
    if (n < (ssize_t)sizeof frame) {
        gone(p, rank);
        return;
    }
    memcpy(&frame, bytes, sizeof frame);
    bytes[n] = '\0';
    if (frame.magic == FRAME_MAGIC && frame.kind == FRAME_PROBLEM)
        parallel_fail(p, "%s", bytes + sizeof frame);
    else
        gone(p, rank);
}

static void watch_once(Parallel *p, struct pollfd *polled)
{
    nfds_t count = (nfds_t)p->place.world;
    for (int32_t r = 0; r < p->place.world; r++)
        polled[r] = (struct pollfd){.fd = p->peers[r].fd, .events = POLLRDHUP};
    if (poll(polled, count, WATCH_MS) <= 0) return;
    wait_ms(READER_FIRST_MS);
    for (int32_t r = 0; r < p->place.world; r++)
        if (polled[r].fd >= 0 && polled[r].revents && !atomic_load(&p->leaving) &&
            !parallel_failed(p))
            read_last_words(p, r);
}

/* Nothing is lost by ending so: a checkpoint is whole or not there. */
static void end_if_late(Parallel *p)
{
    for (int64_t ms = 0; ms < GRACE_MS; ms += WATCH_MS) {
        if (atomic_load(&p->leaving)) return;
        wait_ms(WATCH_MS);
    }
    if (atomic_load(&p->leaving)) return;
    fprintf(stderr, "aileron-rm: %s\n", p->problem);
    _exit(1);
}

static void *watch(void *context)
{
    Parallel *p = context;
    struct pollfd polled[PARALLEL_RANKS_MAX];
    while (!atomic_load(&p->leaving) && !parallel_failed(p)) watch_once(p, polled);
    if (!atomic_load(&p->leaving)) end_if_late(p);
    return NULL;
}

/* ---- frames ---- */

bool parallel_send(Parallel *p, int32_t rank, const void *bytes, size_t count)
{
    Peer *peer = &p->peers[rank];
    Frame frame = {FRAME_MAGIC, FRAME_DATA, p->sequence, count};
    pthread_mutex_lock(&peer->sending);
    bool ok = write_whole(peer->fd, &frame, sizeof frame, MSG_MORE) &&
              write_whole(peer->fd, bytes, count, 0);
    pthread_mutex_unlock(&peer->sending);
    /* why it was closed may lie there, to be read */
    if (!ok) read_last_words(p, rank);
    return ok;
}

bool parallel_read(Parallel *p, int32_t rank, void *bytes, size_t count)
{
    char *at = bytes;
    while (count > 0) {
        ssize_t n = recv(p->peers[rank].fd, at, count, 0);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return gone(p, rank);
        at += n;
        count -= (size_t)n;
    }
    return true;
}

bool parallel_receive_head(Parallel *p, int32_t rank, size_t count)
{
    Frame frame;
    char text[PARALLEL_TEXT_BYTES] = "";
    if (!parallel_read(p, rank, &frame, sizeof frame)) return false;
    if (frame.magic == FRAME_MAGIC && frame.kind == FRAME_PROBLEM && frame.bytes < sizeof text) {
        if (!parallel_read(p, rank, text, (size_t)frame.bytes)) return false;
        return parallel_fail(p, "%s", text);
    }
    if (frame.magic != FRAME_MAGIC || frame.kind != FRAME_DATA || frame.sequence != p->sequence ||
        frame.bytes != count)
        return parallel_fail(p,
                             "rank %d is out of step with rank %d: it sent %llu bytes as its "
                             "call %llu, where %zu as call %llu were due",
                             rank, p->place.rank, (unsigned long long)frame.bytes,
                             (unsigned long long)frame.sequence, count,
                             (unsigned long long)p->sequence);
    return true;
}

bool parallel_receive(Parallel *p, int32_t rank, void *bytes, size_t count)
{
    return parallel_receive_head(p, rank, count) && parallel_read(p, rank, bytes, count);
}

/* ---- collective calls ---- */

/* On rank 0: each other rank's values added, in order; then everybody gets the sum. */
#define SUM_OVER(name, type)                                                                       \
    static bool name(Parallel *p, type *values, size_t count)                                      \
    {                                                                                              \
        type piece[4096];                                                                          \
        p->sequence++;                                                                             \
        if (p->place.rank > 0)                                                                     \
            return parallel_send(p, 0, values, count * sizeof *values) &&                          \
                   parallel_receive(p, 0, values, count * sizeof *values);                         \
        for (int32_t r = 1; r < p->place.world; r++) {                                             \
            if (!parallel_receive_head(p, r, count * sizeof *values)) return false;                \
            for (size_t from = 0; from < count; from += LEN(piece)) {                              \
                size_t n = count - from < LEN(piece) ? count - from : LEN(piece);                  \
                if (!parallel_read(p, r, piece, n * sizeof *piece)) return false;                  \
                for (size_t i = 0; i < n; i++) values[from + i] += piece[i];                       \
            }                                                                                      \
        }                                                                                          \
        for (int32_t r = 1; r < p->place.world; r++)                                               \
            if (!parallel_send(p, r, values, count * sizeof *values)) return false;                \
        return true;                                                                               \
    }
SUM_OVER(sum_doubles, double)
SUM_OVER(sum_floats, float)

bool parallel_sum_over(Parallel *p, float *values, size_t count)
{
    return sum_floats(p, values, count);
}

bool parallel_sum(Parallel *p, double *values, size_t count, Arena *arena, Err *err)
{
    return !p || sum_doubles(p, values, count) || parallel_error(p, arena, err);
}

bool parallel_sum_floats(Parallel *p, float *values, size_t count, Arena *arena, Err *err)
{
    return !p || sum_floats(p, values, count) || parallel_error(p, arena, err);
}

static bool broadcast(Parallel *p, void *bytes, size_t count)
{
    p->sequence++;
    if (p->place.rank > 0) return parallel_receive(p, 0, bytes, count);
    for (int32_t r = 1; r < p->place.world; r++)
        if (!parallel_send(p, r, bytes, count)) return false;
    return true;
}

bool parallel_broadcast(Parallel *p, void *bytes, size_t count, Arena *arena, Err *err)
{
    return !p || broadcast(p, bytes, count) || parallel_error(p, arena, err);
}

bool parallel_agree(Parallel *p, const char *problem, Arena *arena, Err *err)
{
    char text[PARALLEL_TEXT_BYTES] = "", other[PARALLEL_TEXT_BYTES];
    if (!p) return !problem || err_set(err, arena, ERR_unavailable, NULL, "%s", problem);
    if (problem) snprintf(text, sizeof text, "rank %d: %s", p->place.rank, problem);
    p->sequence++;
    if (p->place.rank > 0 && !parallel_send(p, 0, text, sizeof text))
        return parallel_error(p, arena, err);
    for (int32_t r = 1; p->place.rank == 0 && r < p->place.world; r++) {
        if (!parallel_receive(p, r, other, sizeof other)) return parallel_error(p, arena, err);
        other[sizeof other - 1] = '\0';
        if (!text[0]) memcpy(text, other, sizeof text);
    }
    if (!broadcast(p, text, sizeof text)) return parallel_error(p, arena, err);
    text[sizeof text - 1] = '\0';
    return !text[0] || err_set(err, arena, ERR_conflict, NULL, "%s", text);
}

/* ---- life ---- */

int32_t parallel_rank(const Parallel *p)
{
    return p ? p->place.rank : 0;
}

int32_t parallel_world(const Parallel *p)
{
    return p ? p->place.world : 1;
}

static Parallel *parallel_new(const ParallelPlace *place)
{
    Parallel *p = calloc(1, sizeof *p);
    Peer *peers = calloc((size_t)place->world, sizeof *peers);
    if (!p || !peers) {
        free(p);
        free(peers);
        return NULL;
    }
    p->place = *place;
    p->peers = peers;
    pthread_mutex_init(&p->lock, NULL);
    for (int32_t r = 0; r < place->world; r++) {
        peers[r].fd = -1;
        pthread_mutex_init(&peers[r].sending, NULL);
    }
    return p;
}

Parallel *parallel_join(const ParallelPlace *place, Arena *arena, Err *err)
{
    Parallel *p = parallel_new(place);
    if (!p) {
        err_set(err, arena, ERR_unavailable, NULL, "out of memory");
        return NULL;
    }
    bool ok = parallel_connect(p, arena, err);
    if (ok) p->watching = pthread_create(&p->watcher, NULL, watch, p) == 0;
    if (ok && !p->watching) ok = err_set(err, arena, ERR_unavailable, NULL, "no thread to watch");
    if (ok && parallel_agree(p, NULL, arena, err)) return p;
    parallel_leave(p, err->detail);
    return NULL;
}

/* The last frame each way: rank 0 closes when all have said that they leave. */
static void say_farewell(Parallel *p)
{
    char word = 0;
    p->sequence++;
    if (p->place.rank > 0) {
        if (parallel_send(p, 0, &word, 1)) (void)!parallel_receive(p, 0, &word, 1);
        return;
    }
    for (int32_t r = 1; r < p->place.world; r++)
        if (!parallel_receive(p, r, &word, 1)) return;
    for (int32_t r = 1; r < p->place.world; r++)
        if (!parallel_send(p, r, &word, 1)) return;
}

void parallel_leave(Parallel *p, const char *problem)
{
    if (!p) return;
    atomic_store(&p->leaving, true);
    bool named = problem && strncmp(problem, "rank ", 5) == 0;
    if (named) parallel_fail(p, "%s", problem);
    if (problem && !named) parallel_fail(p, "rank %d: %s", p->place.rank, problem);
    if (p->watching) pthread_join(p->watcher, NULL);
    parallel_reduce_close(p);
    if (!p->failed && p->watching) say_farewell(p);
    for (int32_t r = 0; r < p->place.world; r++) {
        if (p->peers[r].fd >= 0) close(p->peers[r].fd);
        pthread_mutex_destroy(&p->peers[r].sending);
    }
    pthread_mutex_destroy(&p->lock);
    free(p->peers);
    free(p);
}
