/* bench_gateway.c - a model server that answers at once, and a load of chat completions on it.
 *
 *   bench_gateway stub            serves on a free port of the loopback, prints it, until killed;
 *                                 streams of the model "hold" never end
 *   bench_gateway load PORT PATH CONNECTIONS REQUESTS THINK_US STREAM KEYS
 *
 * The load keeps CONNECTIONS requests going (with THINK_US between two of a connection), each a
 * body of about 2 KiB of fresh words from its own user. KEYS is a file of API keys, one a line.
 * Prints one JSON line: count, errors, seconds, per_second; p50, p95, p99 of the whole answer and
 * first_p50 of its first byte, in milliseconds. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "../../server/base/util.h"

enum { CONNECTIONS_MAX = 4096, BUFFER_BYTES = 16384, BODY_BYTES = 2048, EVENTS = 512, WORDS = 24 };

typedef struct Link {
    int fd;
    int number;
    size_t used;
    int64_t sent_us, first_us, due_us;
    char buffer[BUFFER_BYTES];
} Link;

static const char answer_json[] =
    "{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion\",\"model\":\"stub\",\"choices\":[{"
    "\"index\":0,"
    "\"message\":{\"role\":\"assistant\",\"content\":\"A wing lifts because it turns the air that "
    "passes it downwards, and the air pushes back; that is all there is to it, in one sentence, "
    "and "
    "the rest is a matter of how much, how fast and how smoothly it is done.\"},\"finish_reason\":"
    "\"stop\"}],\"usage\":{\"prompt_tokens\":400,\"completion_tokens\":45,\"total_tokens\":445}}";

static int64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void die(const char *what)
{
    fprintf(stderr, "bench_gateway: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* Bytes of a whole request or reply with Content-Length at the start of the buffer; 0: more to
 * come. */
static size_t whole(const Link *link)
{
    const char *end = memmem(link->buffer, link->used, "\r\n\r\n", 4);
    if (!end) return 0;
    size_t head = (size_t)(end - link->buffer) + 4;
    const char *length = memmem(link->buffer, head, "ontent-Length: ", 15);
    if (!length) length = memmem(link->buffer, head, "ontent-length: ", 15); /* uvicorn's */
    if (!length) {
        const char *last = memmem(link->buffer, link->used, "\r\n0\r\n\r\n", 7); /* chunked */
        return last ? (size_t)(last - link->buffer) + 7 : 0;
    }
    size_t size = head + strtoul(length + 15, NULL, 10);
    return link->used >= size ? size : 0;
}

/* ---- the stub ---- */

static void put_chunk(char *out, size_t room, const char *text)
{
    size_t used = strlen(out);
    snprintf(out + used, room - used, "%zx\r\n%s\r\n", strlen(text), text);
}

static void stub_answer(const Link *link, size_t size)
{
    char out[BUFFER_BYTES] = "";
    bool hold = memmem(link->buffer, size, "\"model\":\"hold\"", 14);
    if (memmem(link->buffer, size, "\"stream\":true", 13)) {
        snprintf(out, sizeof out,
                 "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                 "Transfer-Encoding: chunked\r\n\r\n");
        for (int i = 0; i < (hold ? 1 : 20); i++) {
            put_chunk(out, sizeof out,
                      "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":"
                      "{\"content\":\" word\"}}]}\n\n");
        }
        if (!hold) {
            put_chunk(out, sizeof out,
                      "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{},"
                      "\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n");
            strncat(out, "0\r\n\r\n", sizeof out - strlen(out) - 1);
        }
    } else {
        snprintf(out, sizeof out,
                 "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                 "Content-Length: %zu\r\n\r\n%s",
                 strlen(answer_json), answer_json);
    }
    if (write(link->fd, out, strlen(out)) < 0 && errno != EPIPE && errno != ECONNRESET)
        die("write");
}

static bool stub_read(Link *link)
{
    ssize_t n = read(link->fd, link->buffer + link->used, sizeof link->buffer - link->used);
    if (n <= 0) return n < 0 && errno == EAGAIN;
    link->used += (size_t)n;
    for (size_t size; (size = whole(link)) > 0;) {
        stub_answer(link, size);
        link->used -= size;
        memmove(link->buffer, link->buffer + size, link->used);
    }
    return link->used < sizeof link->buffer;
}

static int stub(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0), epoll = epoll_create1(0);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 4096) ||
        getsockname(listener, (struct sockaddr *)&address, &size))
        die("listen");
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL}, events[EVENTS];
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    for (;;) {
        int count = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            Link *link = events[i].data.ptr;
            if (link) {
                if (stub_read(link)) continue;
                close(link->fd);
                free(link);
                continue;
            }
            link = calloc(1, sizeof *link);
            if (!link) die("calloc");
            link->fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
            setsockopt(link->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
            event.data.ptr = link;
            epoll_ctl(epoll, EPOLL_CTL_ADD, link->fd, &event);
        }
    }
    return 0;
}

/* ---- the load ---- */

static struct {
    int port, connections;
    long goal, started, finished, errors;
    int64_t think_us;
    bool stream;
    const char *path;
    char (*keys)[128];
    int key_count;
    int64_t *latencies, *firsts;
    uint64_t random;
    int epoll;
} load;

static unsigned next_random(void)
{
    load.random = load.random * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(load.random >> 33);
}

static void ask(Link *link)
{
    char body[BODY_BYTES + 512], request[BODY_BYTES + 1024];
    int n = snprintf(body, sizeof body,
                     "{\"model\":\"stub\",\"user\":\"user-%d-%ld\",%s\"messages\":[{"
                     "\"role\":\"user\",\"content\":\"",
                     link->number, load.started, load.stream ? "\"stream\":true," : "");
    while (n < BODY_BYTES) n += snprintf(body + n, sizeof body - (size_t)n, "%x ", next_random());
    n += snprintf(body + n, sizeof body - (size_t)n, "\"}]}");
    int size = snprintf(request, sizeof request,
                        "POST %s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n"
                        "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
                        load.path, load.keys[link->number % load.key_count], n, body);
    link->sent_us = now_us();
    link->first_us = 0;
    link->used = 0;
    link->due_us = 0;
    load.started++;
    if (write(link->fd, request, (size_t)size) != size) die("write");
}

static void answered(Link *link)
{
    int64_t now = now_us();
    load.latencies[load.finished] = now - link->sent_us;
    load.firsts[load.finished++] = link->first_us - link->sent_us;
    bool good = memcmp(link->buffer, "HTTP/1.1 200", 12) == 0 &&
                (!load.stream || memmem(link->buffer, link->used, "[DONE]", 6));
    load.errors += !good;
    if (load.started >= load.goal) return;
    if (load.think_us == 0) {
        ask(link);
    } else {
        link->due_us = now + load.think_us / 2 + (int64_t)(next_random() % (unsigned)load.think_us);
    }
}

static void receive(Link *link)
{
    ssize_t n = read(link->fd, link->buffer + link->used, sizeof link->buffer - link->used - 1);
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) die("the server closed a connection");
    if (link->first_us == 0) link->first_us = now_us();
    link->used += (size_t)n;
    if (whole(link) > 0) answered(link);
}

static int by_size(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static double percentile(const int64_t *sorted, double p)
{
    long index = (long)(p * (double)(load.finished - 1));
    return (double)sorted[index] / 1000;
}

static void connect_all(Link *links)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1;
    address.sin_port = htons((uint16_t)load.port);
    for (int i = 0; i < load.connections; i++) {
        Link *link = &links[i];
        link->number = i;
        link->fd = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(link->fd, (struct sockaddr *)&address, sizeof address)) die("connect");
        setsockopt(link->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        fcntl(link->fd, F_SETFL, O_NONBLOCK);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = link};
        epoll_ctl(load.epoll, EPOLL_CTL_ADD, link->fd, &event);
    }
}

static void read_keys(const char *path)
{
    FILE *file = fopen(path, "re");
    load.keys = calloc(CONNECTIONS_MAX, sizeof *load.keys);
    if (!file || !load.keys) die(path);
    while (load.key_count < CONNECTIONS_MAX &&
           fscanf(file, "%127s", load.keys[load.key_count]) == 1)
        load.key_count++;
    fclose(file);
}

static void run(Link *links)
{
    struct epoll_event events[EVENTS];
    int64_t begin = now_us(); /* a paced load begins spread out, not with a burst of everybody */
    for (int i = 0; i < load.connections && load.started < load.goal; i++) {
        if (load.think_us == 0) ask(&links[i]);
        links[i].due_us = begin + 1 + i * load.think_us / load.connections;
    }
    while (load.finished < load.goal) {
        int count = epoll_wait(load.epoll, events, EVENTS, load.think_us > 0 ? 1 : 1000);
        for (int i = 0; i < count; i++) receive(events[i].data.ptr);
        if (load.think_us == 0) continue;
        int64_t now = now_us();
        for (int i = 0; i < load.connections && load.started < load.goal; i++)
            if (links[i].due_us > 0 && links[i].due_us <= now) ask(&links[i]);
    }
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "stub") == 0) return stub();
    if (argc != 9 || strcmp(argv[1], "load") != 0) {
        fprintf(stderr, "usage: bench_gateway stub | load PORT PATH CONNECTIONS REQUESTS THINK_US "
                        "STREAM KEYS\n");
        return 2;
    }
    load.port = (int)strtol(argv[2], NULL, 10);
    load.path = argv[3];
    load.connections = (int)strtol(argv[4], NULL, 10);
    load.goal = strtol(argv[5], NULL, 10);
    load.think_us = strtol(argv[6], NULL, 10);
    load.stream = strcmp(argv[7], "1") == 0;
    load.random = (uint64_t)now_us();
    read_keys(argv[8]);
    load.epoll = epoll_create1(0);
    Link *links = calloc((size_t)load.connections, sizeof *links);
    load.latencies = calloc((size_t)load.goal + 1, sizeof *load.latencies);
    load.firsts = calloc((size_t)load.goal + 1, sizeof *load.firsts);
    if (!links || !load.latencies || !load.firsts) die("calloc");
    connect_all(links);
    int64_t begin = now_us();
    run(links);
    double seconds = (double)(now_us() - begin) / 1e6;
    qsort(load.latencies, (size_t)load.finished, sizeof *load.latencies, by_size);
    qsort(load.firsts, (size_t)load.finished, sizeof *load.firsts, by_size);
    printf("{\"count\":%ld,\"errors\":%ld,\"seconds\":%.3f,\"per_second\":%.1f,\"p50\":%.3f,"
           "\"p95\":%.3f,\"p99\":%.3f,\"first_p50\":%.3f}\n",
           load.finished, load.errors, seconds, (double)load.finished / seconds,
           percentile(load.latencies, 0.5), percentile(load.latencies, 0.95),
           percentile(load.latencies, 0.99), percentile(load.firsts, 0.5));
    return load.errors > 0;
}
