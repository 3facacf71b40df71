/* parallel_join.c - how the ranks meet: rank 0 listens on its address until all have come, each
 * says who it is, and both prove that they know the secret, if there is one.
 *
 *   0 -> r  Challenge: a nonce     r -> 0  Hello: rank, world, a nonce, a proof
 *   0 -> r  Welcome: taken or not, a proof
 *
 * What strangers send has a fixed size and a second to arrive; nothing is allocated for it. */
#include "parallel_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "../../server/base/clock.h"
#include "../../server/base/crypto.h"
#include "session.h"

enum {
    JOIN_MAGIC = 0x41524d4a,
    JOIN_VERSION = 1,
    NONCE_BYTES = 32,
    STRANGERS_MAX = 64, /* connections that have not said who they are */
    HELLO_MS = 5000,    /* to say it */
    AGAIN_MS = 100,     /* between attempts to reach rank 0 */
    WHY_BYTES = 200,
    QUEUE = 128,
};

typedef struct Challenge {
    uint32_t magic, version, has_secret;
    uint8_t nonce[NONCE_BYTES];
} Challenge;

typedef struct Hello {
    uint32_t magic, version;
    int32_t rank, world;
    uint8_t nonce[NONCE_BYTES], proof[CRYPTO_HASH_BYTES];
} Hello;

typedef struct Welcome {
    uint32_t magic, taken;
    uint8_t proof[CRYPTO_HASH_BYTES];
    char why[WHY_BYTES]; /* not taken: a sentence */
} Welcome;

/* ---- the secret ---- */

static const char *secret(void)
{
    const char *value = getenv("AILERON_PARALLEL_SECRET");
    return value && value[0] ? value : NULL;
}

/* A keyed hash of what both have said; zeros without a secret. */
static void prove(uint8_t proof[CRYPTO_HASH_BYTES], const char *side, const Challenge *challenge,
                  const Hello *hello)
{
    uint8_t key[CRYPTO_HASH_BYTES];
    uint8_t said[16 + 2 * NONCE_BYTES + 2 * sizeof(int32_t)] = {0};
    memset(proof, 0, CRYPTO_HASH_BYTES);
    if (!secret()) return;
    memcpy(said, side, strlen(side));
    memcpy(said + 16, challenge->nonce, NONCE_BYTES);
    memcpy(said + 16 + NONCE_BYTES, hello->nonce, NONCE_BYTES);
    memcpy(said + 16 + 2 * NONCE_BYTES, &hello->rank, sizeof hello->rank);
    memcpy(said + 16 + 2 * NONCE_BYTES + sizeof hello->rank, &hello->world, sizeof hello->world);
    crypto_hash(key, str_from(secret()), NULL);
    crypto_hash(proof, (Str){(const char *)said, sizeof said}, key);
    crypto_wipe(key, sizeof key);
}

/* ---- sockets ---- */

/* A machine that vanishes is noticed within some twenty seconds. */
static void tune(int fd)
{
    const struct {
        int level, name, value;
    } settings[] = {
        {IPPROTO_TCP, TCP_NODELAY, 1},  {SOL_SOCKET, SO_KEEPALIVE, 1},
        {IPPROTO_TCP, TCP_KEEPIDLE, 5}, {IPPROTO_TCP, TCP_KEEPINTVL, 3},
        {IPPROTO_TCP, TCP_KEEPCNT, 4},  {IPPROTO_TCP, TCP_USER_TIMEOUT, 20000},
    };
    for (size_t i = 0; i < LEN(settings); i++)
        setsockopt(fd, settings[i].level, settings[i].name, &settings[i].value, sizeof(int));
}

static void set_patience(int fd, int64_t ms)
{
    struct timeval time = {ms / 1000, ms % 1000 * 1000};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof time);
}

static struct addrinfo *resolve(const ParallelPlace *place, int flags, int *status)
{
    char port[16];
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = flags};
    struct addrinfo *found = NULL;
    snprintf(port, sizeof port, "%d", place->port);
    *status = getaddrinfo(place->address, port, &hints, &found);
    return *status == 0 ? found : NULL;
}

/* ---- rank 0 ---- */

typedef struct Stranger {
    int fd; /* -1: free */
    Challenge challenge;
    Hello hello;
    size_t got;
    int64_t until_us;
} Stranger;

typedef struct Door {
    Parallel *parallel;
    int fd;
    int32_t joined; /* others */
    Stranger strangers[STRANGERS_MAX];
} Door;

static bool listen_at(const ParallelPlace *place, int *out, Arena *arena, Err *err)
{
    int status, yes = 1, problem = 0;
    struct addrinfo *all = resolve(place, AI_PASSIVE, &status);
    if (!all)
        return err_set(err, arena, ERR_invalid, NULL, "MASTER_ADDR %s is no address: %s",
                       place->address, gai_strerror(status));
    int fd = -1;
    for (struct addrinfo *at = all; at && fd < 0; at = at->ai_next) {
        fd = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0) continue;
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
        if (bind(fd, at->ai_addr, at->ai_addrlen) == 0 && listen(fd, QUEUE) == 0) break;
        problem = errno;
        close(fd);
        fd = -1;
    }
    freeaddrinfo(all);
    *out = fd;
    if (fd >= 0) return true;
    return err_set(err, arena, ERR_unavailable, NULL,
                   "rank 0 cannot listen on %s port %d: %s; MASTER_ADDR is an address of rank 0's "
                   "machine, and MASTER_PORT (or AILERON_PARALLEL_PORT) a port that is free there",
                   place->address, place->port, strerror(problem));
}

static void turn_away(Stranger *s)
{
    close(s->fd);
    s->fd = -1;
}

static void let_in(Door *door)
{
    int fd = accept4(door->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) return;
    for (int i = 0; i < STRANGERS_MAX; i++) {
        Stranger *s = &door->strangers[i];
        if (s->fd >= 0) continue;
        *s = (Stranger){.fd = fd, .until_us = clock_monotonic_us() + HELLO_MS * 1000};
        s->challenge = (Challenge){JOIN_MAGIC, JOIN_VERSION, secret() != NULL, {0}};
        crypto_random(s->challenge.nonce, NONCE_BYTES);
        /* so little fits into a fresh connection's buffer */
        if (send(fd, &s->challenge, sizeof s->challenge, MSG_NOSIGNAL) !=
            (ssize_t)sizeof s->challenge)
            turn_away(s);
        return;
    }
    close(fd); /* more than anybody honest opens */
}

/* Who has said all: taken, or told why not. A stranger is turned away and nothing more; ranks that
 * were started for another size are an error. */
static bool judge(Door *door, Stranger *s)
{
    Parallel *p = door->parallel;
    const Hello *hello = &s->hello;
    Welcome welcome = {.magic = JOIN_MAGIC};
    uint8_t proof[CRYPTO_HASH_BYTES];
    bool ok = true;
    prove(proof, "join", &s->challenge, hello);
    if (hello->magic != JOIN_MAGIC) {
        turn_away(s);
        return true;
    }
    if (hello->version != JOIN_VERSION)
        snprintf(welcome.why, WHY_BYTES, "rank 0 runs another version of this program");
    else if (!crypto_equal(proof, hello->proof, sizeof proof))
        snprintf(welcome.why, WHY_BYTES, "rank 0 knows another AILERON_PARALLEL_SECRET");
    else if (hello->world != p->place.world) {
        ok = false;
        snprintf(welcome.why, WHY_BYTES, "rank %d was started as one of %d, rank 0 as one of %d",
                 hello->rank, hello->world, p->place.world);
    } else if (hello->rank < 1 || hello->rank >= p->place.world)
        snprintf(welcome.why, WHY_BYTES, "there is no rank %d of %d", hello->rank, p->place.world);
    else if (p->peers[hello->rank].fd >= 0)
        snprintf(welcome.why, WHY_BYTES, "there is a rank %d already", hello->rank);
    welcome.taken = welcome.why[0] == '\0';
    if (welcome.taken) prove(welcome.proof, "welcome", &s->challenge, hello);
    bool sent = send(s->fd, &welcome, sizeof welcome, MSG_NOSIGNAL) == (ssize_t)sizeof welcome;
    if (sent && welcome.taken) {
        p->peers[hello->rank].fd = s->fd;
        door->joined++;
        s->fd = -1;
    } else {
        turn_away(s);
    }
    return ok || parallel_fail(p, "%s", welcome.why);
}

static bool hear(Door *door, Stranger *s)
{
    ssize_t n = recv(s->fd, (char *)&s->hello + s->got, sizeof s->hello - s->got, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return true;
    if (n <= 0) {
        turn_away(s);
        return true;
    }
    s->got += (size_t)n;
    return s->got < sizeof s->hello || judge(door, s);
}

static bool wait_at_door(Door *door)
{
    struct pollfd polled[STRANGERS_MAX + 1] = {{.fd = door->fd, .events = POLLIN}};
    for (int i = 0; i < STRANGERS_MAX; i++) {
        Stranger *s = &door->strangers[i];
        if (s->fd >= 0 && clock_monotonic_us() > s->until_us) turn_away(s);
        polled[i + 1] = (struct pollfd){.fd = s->fd, .events = POLLIN};
    }
    if (poll(polled, LEN(polled), AGAIN_MS) <= 0) return true;
    for (int i = 0; i < STRANGERS_MAX; i++)
        if (polled[i + 1].fd >= 0 && polled[i + 1].revents && !hear(door, &door->strangers[i]))
            return false;
    if (polled[0].revents) let_in(door);
    return true;
}

/* "1, 3" */
static bool name_missing(Parallel *p)
{
    char names[128] = "";
    size_t at = 0;
    for (int32_t r = 1; r < p->place.world && at + 16 < sizeof names; r++)
        if (p->peers[r].fd < 0)
            at += (size_t)snprintf(names + at, sizeof names - at, "%s%d", at ? ", " : "", r);
    return parallel_fail(p, "rank %s of %d has not joined rank 0 at %s port %d within %lld s",
                         names, p->place.world, p->place.address, p->place.port,
                         (long long)(p->place.timeout_ms / 1000));
}

static bool receive_all(Parallel *p, Arena *arena, Err *err)
{
    Door *door = calloc(1, sizeof *door);
    int64_t until_us = clock_monotonic_us() + p->place.timeout_ms * 1000;
    if (!door) return err_set(err, arena, ERR_unavailable, NULL, "out of memory");
    door->parallel = p;
    for (int i = 0; i < STRANGERS_MAX; i++) door->strangers[i].fd = -1;
    if (!listen_at(&p->place, &door->fd, arena, err)) {
        free(door);
        return false;
    }
    bool ok = true;
    while (ok && door->joined < p->place.world - 1) {
        ok = clock_monotonic_us() < until_us ? wait_at_door(door) : name_missing(p);
        if (ok && session_interrupted) ok = parallel_fail(p, "rank 0 was interrupted");
    }
    for (int i = 0; i < STRANGERS_MAX; i++)
        if (door->strangers[i].fd >= 0) turn_away(&door->strangers[i]);
    close(door->fd);
    free(door);
    return ok || parallel_error(p, arena, err);
}

/* ---- the others ---- */

static bool read_whole(int fd, void *in, size_t count)
{
    char *at = in;
    while (count > 0) {
        ssize_t n = recv(fd, at, count, 0);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        at += n;
        count -= (size_t)n;
    }
    return true;
}

/* True: joined. *again: nobody answered as rank 0 would; try later. */
static bool introduce(Parallel *p, int fd, bool *again, Arena *arena, Err *err)
{
    Challenge challenge;
    Welcome welcome;
    Hello hello = {JOIN_MAGIC, JOIN_VERSION, p->place.rank, p->place.world, {0}, {0}};
    uint8_t proof[CRYPTO_HASH_BYTES];
    *again = true;
    if (!read_whole(fd, &challenge, sizeof challenge) || challenge.magic != JOIN_MAGIC)
        return false;
    *again = false;
    if ((challenge.has_secret != 0) != (secret() != NULL))
        return err_set(err, arena, ERR_forbidden, NULL,
                       "rank 0 at %s port %d has %s AILERON_PARALLEL_SECRET, rank %d %s",
                       p->place.address, p->place.port, challenge.has_secret ? "an" : "no",
                       p->place.rank, secret() ? "has one" : "has none");
    crypto_random(hello.nonce, NONCE_BYTES);
    prove(hello.proof, "join", &challenge, &hello);
    if (send(fd, &hello, sizeof hello, MSG_NOSIGNAL) != (ssize_t)sizeof hello ||
        !read_whole(fd, &welcome, sizeof welcome)) {
        *again = true;
        return false;
    }
    welcome.why[WHY_BYTES - 1] = '\0';
    prove(proof, "welcome", &challenge, &hello);
    if (!welcome.taken) return err_set(err, arena, ERR_conflict, NULL, "%s", welcome.why);
    return crypto_equal(proof, welcome.proof, sizeof proof) ||
           err_set(err, arena, ERR_forbidden, NULL,
                   "who answers at %s port %d does not know AILERON_PARALLEL_SECRET",
                   p->place.address, p->place.port);
}

/* A connection to a port of one's own machine on which nobody listens may be to itself. */
static bool is_own_end(int fd)
{
    struct sockaddr_storage here, there;
    socklen_t length = sizeof here, other = sizeof there;
    memset(&here, 0, sizeof here);
    memset(&there, 0, sizeof there);
    return getsockname(fd, (struct sockaddr *)&here, &length) == 0 &&
           getpeername(fd, (struct sockaddr *)&there, &other) == 0 &&
           memcmp(&here, &there, sizeof here) == 0;
}

static int reach(const ParallelPlace *place)
{
    int status, fd = -1;
    struct addrinfo *all = resolve(place, 0, &status);
    for (struct addrinfo *at = all; at && fd < 0; at = at->ai_next) {
        fd = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0) continue;
        set_patience(fd, HELLO_MS);
        if (connect(fd, at->ai_addr, at->ai_addrlen) == 0 && !is_own_end(fd)) break;
        close(fd);
        fd = -1;
    }
    if (all) freeaddrinfo(all);
    return fd;
}

static bool go_to_rank_0(Parallel *p, Arena *arena, Err *err)
{
    int64_t until_us = clock_monotonic_us() + p->place.timeout_ms * 1000;
    bool again = true;
    while (again && clock_monotonic_us() < until_us && !session_interrupted) {
        int fd = reach(&p->place);
        if (fd >= 0 && introduce(p, fd, &again, arena, err)) {
            p->peers[0].fd = fd;
            return true;
        }
        if (fd >= 0) close(fd);
        struct timespec pause = {0, AGAIN_MS * 1000000};
        if (again) nanosleep(&pause, NULL);
    }
    if (!again) return false;
    return err_set(err, arena, ERR_timeout, NULL,
                   "rank 0 did not answer at %s port %d within %lld s", p->place.address,
                   p->place.port, (long long)(p->place.timeout_ms / 1000));
}

bool parallel_connect(Parallel *p, Arena *arena, Err *err)
{
    bool ok = p->place.rank == 0 ? receive_all(p, arena, err) : go_to_rank_0(p, arena, err);
    for (int32_t r = 0; r < p->place.world; r++) {
        int fd = p->peers[r].fd;
        if (fd < 0) continue;
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
        set_patience(fd, 0); /* none: the watcher notices who is gone */
        tune(fd);
    }
    return ok;
}
