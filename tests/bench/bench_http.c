/* bench_http.c - a closed-loop HTTP load on loopback: N connections, each a person with a key.
 *
 *   bench_http judge PORT CONNECTIONS KEYS LEASES    PUT a judgment for every lease of the file
 * LEASES bench_http lease PORT CONNECTIONS KEYS SLUG N THINK_MS N times: lease one task, judge it,
 * think for about THINK_MS; times the lease
 *
 * KEYS is a file of API keys, one a line; connection i uses key i modulo their number. LEASES has
 * "LEASE-ID KEY-NUMBER" a line. Prints one JSON line: count, errors, seconds, per_second, and
 * p50/p95/p99/max in milliseconds. Everything is loopback, and ends by itself. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "../../server/base/util.h"

enum { CONNECTIONS_MAX = 1024, REPLY_BYTES = 1 << 18, KEY_BYTES = 128, REQUEST_BYTES = 1024 };

typedef struct Connection {
    int fd;
    const char *key;
    size_t next, end; /* judge: its slice of the leases */
    bool judging;     /* lease mode: between the lease and its judgment */
    char lease[40];
    int64_t sent_us;
    int64_t due_us; /* lease mode: thinking until then; 0: not thinking */
    size_t received;
    char reply[REPLY_BYTES];
} Connection;

static struct {
    bool lease_mode;
    const char *slug;
    char (*keys)[KEY_BYTES];
    size_t key_count;
    char (*leases)[40];
    size_t *lease_keys;
    size_t lease_count;
    size_t goal, started, finished, errors, nothing;
    int64_t think_us;
    int64_t *latencies;
    int epoll;
} bench;

static int64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void die(const char *what)
{
    fprintf(stderr, "bench_http: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void send_request(Connection *c, const char *method, const char *path, const char *body)
{
    char request[REQUEST_BYTES];
    int n = snprintf(request, sizeof request,
                     "%s %s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n"
                     "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                     method, path, c->key, strlen(body), body);
    if (n < 0 || (size_t)n >= sizeof request || write(c->fd, request, (size_t)n) != n) die("write");
    c->sent_us = now_us();
    c->received = 0;
}

static void send_judgment(Connection *c, const char *lease)
{
    char path[96];
    snprintf(path, sizeof path, "/api/v1/leases/%s/judgment", lease);
    send_request(c, "PUT", path, "{\"choice\":\"A\",\"strength\":2,\"duration_ms\":4200}");
}

/* The next request of a connection; false when it has none left. */
static bool advance(Connection *c)
{
    if (bench.lease_mode) {
        if (c->judging) {
            send_judgment(c, c->lease);
            return true;
        }
        if (bench.started >= bench.goal) return false;
        bench.started++;
        char path[128];
        snprintf(path, sizeof path, "/api/v1/projects/%s/leases", bench.slug);
        send_request(c, "POST", path, "{\"count\":1}");
        return true;
    }
    if (c->next >= c->end) return false;
    c->key = bench.keys[bench.lease_keys[c->next]];
    send_judgment(c, bench.leases[c->next++]);
    return true;
}

/* A whole reply is there: its status, or 0 while bytes are missing. */
static int reply_status(const Connection *c)
{
    const char *end = memmem(c->reply, c->received, "\r\n\r\n", 4);
    if (!end) return 0;
    const char *length = memmem(c->reply, (size_t)(end - c->reply), "Content-Length: ", 16);
    size_t body = length ? strtoul(length + 16, NULL, 10) : 0;
    if (c->received < (size_t)(end - c->reply) + 4 + body) return 0;
    return c->received > 12 ? (int)strtol(c->reply + 9, NULL, 10) : -1;
}

static void count(const Connection *c, int status)
{
    bench.latencies[bench.finished++] = now_us() - c->sent_us;
    if (status < 200 || status > 299) {
        if (bench.errors++ < 3) fprintf(stderr, "bench_http: %.*s\n", (int)c->received, c->reply);
    }
}

static void finished(Connection *c, int status)
{
    if (!bench.lease_mode) {
        count(c, status);
        return;
    }
    if (c->judging) {
        c->judging = false;
        if (status != 201) bench.errors++;
        if (bench.think_us >
            0) /* half to one and a half of it, so that people do not march in step */
            c->due_us = now_us() + bench.think_us / 2 + random() % bench.think_us;
        return;
    }
    count(c, status);
    const char *id = memmem(c->reply, c->received, "{\"id\":\"", 7);
    if (status == 200 && id) {
        memcpy(c->lease, id + 7, 36);
        c->judging = true;
    } else {
        bench.nothing++;
    }
}

static bool readable(Connection *c)
{
    for (;;) {
        ssize_t n = read(c->fd, c->reply + c->received, REPLY_BYTES - c->received);
        if (n < 0 && errno == EAGAIN) return true;
        if (n <= 0) {
            bench.errors++;
            return false;
        }
        c->received += (size_t)n;
        int status = reply_status(c);
        if (status) {
            finished(c, status);
            return c->due_us > 0 || advance(c);
        }
    }
}

/* Wakes who has thought long enough; how many of them have nothing more to do. */
static size_t wake(Connection *all, size_t connections)
{
    size_t ended = 0;
    int64_t now = now_us();
    for (size_t i = 0; i < connections; i++) {
        if (all[i].due_us == 0 || all[i].due_us > now) continue;
        all[i].due_us = 0;
        ended += !advance(&all[i]);
    }
    return ended;
}

static void connect_one(Connection *c, uint16_t port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int one = 1;
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&to, sizeof to) != 0) die("connect");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    epoll_ctl(bench.epoll, EPOLL_CTL_ADD, c->fd, &event);
}

static size_t read_lines(const char *path, size_t width, char **out)
{
    FILE *file = fopen(path, "r");
    size_t n = 0, room = 0;
    char line[256];
    if (!file) die(path);
    while (fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = 0;
        if (n == room) {
            size_t grown = room ? room * 2 : 1024;
            *out = realloc(*out, grown * width);
            if (!*out) die("memory");
            memset(*out + room * width, 0, (grown - room) * width);
            room = grown;
        }
        strncpy(*out + n++ * width, line, width - 1);
    }
    fclose(file);
    return n;
}

static void read_leases(const char *path)
{
    char *lines = NULL;
    bench.lease_count = read_lines(path, 64, &lines);
    bench.leases = calloc(bench.lease_count, sizeof *bench.leases);
    bench.lease_keys = calloc(bench.lease_count, sizeof *bench.lease_keys);
    if (!bench.leases || !bench.lease_keys) die("memory");
    for (size_t i = 0; i < bench.lease_count; i++) {
        memcpy(bench.leases[i], lines + i * 64, 36);
        bench.lease_keys[i] = strtoul(lines + i * 64 + 37, NULL, 10) % bench.key_count;
    }
    free(lines);
    bench.goal = bench.lease_count;
}

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static double percentile_ms(double share)
{
    if (bench.finished == 0) return 0;
    return (double)bench.latencies[(size_t)((double)(bench.finished - 1) * share)] / 1000.0;
}

static void report(double seconds)
{
    qsort(bench.latencies, bench.finished, sizeof *bench.latencies, compare);
    printf("{\"count\":%zu,\"errors\":%zu,\"nothing\":%zu,\"seconds\":%.3f,\"per_second\":%.1f,"
           "\"p50\":%.3f,\"p95\":%.3f,\"p99\":%.3f,\"max\":%.3f}\n",
           bench.finished, bench.errors, bench.nothing, seconds, (double)bench.finished / seconds,
           percentile_ms(0.5), percentile_ms(0.95), percentile_ms(0.99), percentile_ms(1));
}

int main(int argc, char **argv)
{
    if (argc < 6 || (strcmp(argv[1], "lease") == 0 && argc < 8)) {
        fprintf(stderr, "usage: see the head of bench_http.c\n");
        return 2;
    }
    bench.lease_mode = strcmp(argv[1], "lease") == 0;
    size_t connections = strtoul(argv[3], NULL, 10);
    bench.key_count = read_lines(argv[4], KEY_BYTES, (char **)&bench.keys);
    if (bench.lease_mode) {
        bench.slug = argv[5];
        bench.goal = strtoul(argv[6], NULL, 10);
        bench.think_us = strtol(argv[7], NULL, 10) * 1000;
    } else {
        read_leases(argv[5]);
    }
    Connection *all = calloc(connections, sizeof *all);
    bench.latencies = calloc(bench.goal + connections, sizeof *bench.latencies);
    bench.epoll = epoll_create1(0);
    if (connections == 0 || connections > CONNECTIONS_MAX || !all || !bench.latencies)
        die("connections");
    size_t live = 0;
    for (size_t i = 0; i < connections; i++) {
        all[i].key = bench.keys[i % bench.key_count];
        all[i].next = bench.goal * i / connections;
        all[i].end = bench.goal * (i + 1) / connections;
        connect_one(&all[i], (uint16_t)strtoul(argv[2], NULL, 10));
    }
    int64_t start = now_us(), heard = start;
    for (size_t i = 0; i < connections; i++) {
        if (bench.think_us > 0) all[i].due_us = start + 1 + random() % bench.think_us;
        live += all[i].due_us > 0 || advance(&all[i]);
    }
    while (live > 0) {
        struct epoll_event events[256];
        int n = epoll_wait(bench.epoll, events, LEN(events), bench.think_us > 0 ? 1 : 1000);
        if (n > 0)
            heard = now_us();
        else if (now_us() - heard > 30 * 1000000)
            die("no answer for 30 s");
        for (int i = 0; i < n; i++) live -= !readable(events[i].data.ptr);
        if (bench.think_us > 0) live -= wake(all, connections);
    }
    report((double)(now_us() - start) / 1e6);
    return bench.errors ? 1 : 0;
}
