/* serve.c - `aileron serve`: from options to listening workers, and back down in order.
 *
 * Up: port, database, keys, schema, pages, jobs, workers. Down: drain the workers, then the jobs,
 * then the database. The main thread only waits for signals and watches the database. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <poll.h>
#include <unistd.h>
#include "../base/clock.h"
#include "../base/log.h"
#include "../base/markdown.h"
#include "../db/cluster.h"
#include "../db/migrate.h"
#include "../http/asset.h"
#include "../http/limit.h"
#include "../keys.h"
#include "../worker.h"
#include "cli.h"
#include "common.h"
#include "demo.h"

enum {
    STATUS_DONE = 0,
    STATUS_FAILED = 1,
    STATUS_USAGE = 2,
    WORKERS_MAX = 64,
    JOB_THREADS = 2,          /* 64 MiB each while a password is hashed */
    JOB_QUEUE_MAX = 256,
    ARENA_BYTES = 1048576,
    READY_MS = 30000,         /* for the lanes to connect after the schema was reached */
    STARTING_POLL_MS = 10,
    WATCH_MS = 1000,
    PATH_BYTES = 1024,
};

typedef struct Serve {
    Arena arena;
    Err err;
    Config config;
    Server server;
    Cluster *cluster;
    Worker *workers;
    int started; /* workers that run */
    int signal_fd;
    char demo_token[CRYPTO_TOKEN_CHARS + 1]; /* a one-time sign-in, or empty */
} Serve;

/* ---- options ---- */

static int print_help(void)
{
    printf("usage: aileron serve [options]\n\n"
           "Serves until SIGTERM or SIGINT, then finishes what is under way. Without\n"
           "--database it runs a PostgreSQL of its own under the data directory.\n\n");
    config_print_help();
    return STATUS_DONE;
}

/* "127.0.0.1:8080", "[::1]:8080", "localhost:0" or ":8080" (every address). */
static bool read_listen(Serve *s)
{
    const char *text = s->config.listen, *colon = strrchr(text, ':');
    char *end = NULL;
    long port = colon == NULL ? -1 : strtol(colon + 1, &end, 10);
    if (port < 0 || port > UINT16_MAX || end == colon + 1 || *end != '\0') {
        return err_set(&s->err, &s->arena, ERR_invalid, NULL,
                       "--listen takes ADDR:PORT, not \"%s\"", text);
    }
    Str address = {text, (size_t)(colon - text)};
    if (address.len > 2 && text[0] == '[' && colon[-1] == ']') {
        address = (Str){text + 1, address.len - 2};
    }
    if (address.len == 0) address = STR("0.0.0.0");
    if (str_is(address, "localhost")) address = STR("127.0.0.1");
    s->server.address = arena_copy(&s->arena, address).ptr;
    s->server.port = (uint16_t)port;
    return true;
}

/* Binding without SO_REUSEPORT fails when anybody listens there, another Aileron included. */
static bool port_is_free(Serve *s)
{
    int fd = http_listen(s->server.address, s->server.port, false, &s->arena, &s->err);
    if (fd < 0) return false;
    close(fd);
    return true;
}

static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0) {
        log_event(LOG_WARN, "limits", "cannot raise the limit of open files: %s", strerror(errno));
    }
}

static bool set_log_level(Serve *s)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};
    for (size_t i = 0; i < LEN(names); i++) {
        if (strcmp(s->config.log_level, names[i]) == 0) {
            log_set_level((LogLevel)i);
            return true;
        }
    }
    return err_set(&s->err, &s->arena, ERR_invalid, NULL,
                   "--log-level is debug, info, warn or error");
}

/* ---- where the pages are ---- */

/* The first of the places that exists, beside the program or above it (build/aileron,
 * build/asan/aileron, /usr/bin/aileron); NULL when none does. */
static const char *find_beside(Serve *s, const char *const *places)
{
    char program[PATH_BYTES];
    struct stat info;
    ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
    if (n <= 0) return NULL;
    program[n] = '\0';
    char *slash = strrchr(program, '/');
    if (slash != NULL) *slash = '\0';
    for (; *places != NULL; places++) {
        const char *path = arena_printf(&s->arena, "%s/%s", program, *places).ptr;
        if (path != NULL && stat(path, &info) == 0 && S_ISDIR(info.st_mode)) return path;
    }
    return NULL;
}

static bool load_pages(Serve *s)
{
    static const char *const pages[] = {"static", "../static", "../../static",
                                        "../share/aileron/static", NULL};
    static const char *const vendors[] = {"vendor", "../vendor", "../share/aileron/vendor", NULL};
    const char *directory = s->config.static_dir;
    const char *vendor = find_beside(s, vendors);
    if (directory[0] == '\0') directory = find_beside(s, pages);
    if (directory == NULL) directory = "static";
    return asset_load(directory, vendor == NULL ? "vendor" : vendor, &s->arena, &s->err);
}

/* ---- the database ---- */

static bool open_database(Serve *s)
{
    Keys keys;
    s->server.database_url = s->config.database;
    if (s->config.database[0] == '\0') {
        s->cluster = cluster_open(s->config.data, false, &s->arena, &s->err);
        if (s->cluster == NULL) return false;
        s->server.database_url = cluster_url(s->cluster);
    }
    if (!keys_load(&keys, s->config.data, &s->arena, &s->err)) return false;
    memcpy(s->server.pseudonym_key, keys.pseudonym, sizeof keys.pseudonym);
    memcpy(s->server.seal_key, keys.seal, sizeof keys.seal);
    crypto_wipe(&keys, sizeof keys);

    DbClient *client = db_client_open(s->server.database_url, &s->arena, &s->err);
    if (client == NULL) return false;
    bool ok = migrate_run(client, NULL, &s->arena, &s->err) &&
              (!s->config.demo || demo_prepare(client, s->demo_token, &s->arena, &s->err));
    db_client_close(client);
    return ok;
}

/* ---- signals ---- */

static bool catch_signals(Serve *s)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    s->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return s->signal_fd >= 0 ||
           err_set(&s->err, &s->arena, ERR_internal, NULL, "signalfd: %s", strerror(errno));
}

/* True when a signal came within the time. */
static bool wait_signal(Serve *s, int timeout_ms)
{
    struct signalfd_siginfo info;
    struct pollfd poll_fd = {.fd = s->signal_fd, .events = POLLIN};
    if (poll(&poll_fd, 1, timeout_ms) <= 0) return false;
    return read(s->signal_fd, &info, sizeof info) == (ssize_t)sizeof info;
}

/* ---- up, along and down ---- */

static bool start_workers(Serve *s)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    int count = s->config.workers > 0 ? s->config.workers : (int)(cores > 0 ? cores : 1);
    if (count > WORKERS_MAX) count = WORKERS_MAX;
    s->server.worker_count = count;
    s->server.config = &s->config;
    s->server.jobs = jobs_start(JOB_THREADS, JOB_QUEUE_MAX);
    s->workers = calloc((size_t)count, sizeof *s->workers);
    if (s->server.jobs == NULL || s->workers == NULL) {
        return err_set(&s->err, &s->arena, ERR_internal, NULL, "out of memory");
    }
    for (int i = 0; i < count; i++) {
        if (!worker_start(&s->workers[i], &s->server, i, &s->arena, &s->err)) return false;
        s->started++;
    }
    return true;
}

static bool workers_ready(const Serve *s)
{
    for (int i = 0; i < s->started; i++) {
        if (!atomic_load(&s->workers[i].ready)) return false;
    }
    return true;
}

static bool wait_ready(Serve *s, bool *stop)
{
    int64_t deadline = clock_monotonic_us() + (int64_t)READY_MS * 1000;
    while (!workers_ready(s)) {
        *stop = wait_signal(s, STARTING_POLL_MS);
        if (*stop) return true;
        if (clock_monotonic_us() > deadline) {
            return err_set(&s->err, &s->arena, ERR_unavailable, NULL,
                           "the database does not take the server's connections; see its log");
        }
    }
    return true;
}

/* What the commands beside us read to print links that lead here (cli_public_url). */
static void note_url(Serve *s, const char *url)
{
    const char *path = arena_printf(&s->arena, "%s/" SERVER_URL_FILE, s->config.data).ptr;
    FILE *file = path == NULL ? NULL : fopen(path, "we");
    bool ok = file != NULL && fprintf(file, "%s\n", url) > 0;
    if (file != NULL && fclose(file) != 0) ok = false;
    if (!ok) log_event(LOG_WARN, "server_url", "cannot write %s", path == NULL ? "it" : path);
}

static void announce(Serve *s)
{
    bool v6 = strchr(s->server.address, ':') != NULL;
    const char *own = arena_printf(&s->arena, "http://%s%s%s:%u", v6 ? "[" : "",
                                   s->server.address, v6 ? "]" : "", s->server.port).ptr;
    const char *url = s->config.public_url[0] == '\0' ? own : s->config.public_url;
    note_url(s, url);
    printf("aileron: listening on %s\n", own);
    if (s->demo_token[0] != '\0') {
        printf("aileron: sign in, once, at %s/signin#link=%s\n", url, s->demo_token);
    }
    fflush(stdout);
}

static void serve_until_signal(Serve *s)
{
    while (!wait_signal(s, WATCH_MS)) {
        if (s->cluster != NULL) cluster_watch(s->cluster);
    }
}

static void wake_workers(Serve *s)
{
    for (int i = 0; i < s->started; i++) worker_wake(&s->workers[i]);
}

/* A second signal while draining makes the workers stop at once; the database is still closed
 * properly. */
static void *hurry_on_signal(void *arg)
{
    Serve *s = arg;
    while (!wait_signal(s, -1)) continue;
    atomic_store(&s->server.hurry, true);
    wake_workers(s);
    return NULL;
}

static void shut_down(Serve *s)
{
    pthread_t impatient;
    bool watching = false;
    atomic_store(&s->server.draining, true);
    wake_workers(s);
    if (s->started > 0) {
        watching = pthread_create(&impatient, NULL, hurry_on_signal, s) == 0;
    }
    for (int i = 0; i < s->started; i++) worker_wait(&s->workers[i]);
    if (watching) {
        pthread_cancel(impatient);
        pthread_join(impatient, NULL);
    }
    jobs_stop(s->server.jobs);
    /* Only now does nobody wake them, by a signal or with a job's result. */
    for (int i = 0; i < s->started; i++) worker_free(&s->workers[i]);
    free(s->workers);
    if (s->cluster != NULL) cluster_close(s->cluster);
    if (s->signal_fd >= 0) close(s->signal_fd);
}

static bool bring_up(Serve *s)
{
    raise_descriptor_limit();
    markdown_init();
    limit_setup(s->config.rate_limit);
    return catch_signals(s) && port_is_free(s) && load_pages(s) && open_database(s) &&
           start_workers(s);
}

int serve_command(int argc, char **argv)
{
    Serve s = {.signal_fd = -1};
    bool stop = false;
    arena_init(&s.arena, ARENA_BYTES);
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) return print_help();
    }
    bool usable = config_read(&s.config, &argc, argv, &s.arena, &s.err) && set_log_level(&s) &&
                  read_listen(&s);
    if (usable && argc > 1) {
        usable = err_set(&s.err, &s.arena, ERR_invalid, NULL, "serve takes no \"%s\"", argv[1]);
    }
    if (!usable || !crypto_init()) {
        fprintf(stderr, "aileron: %s\n", s.err.detail == NULL ? "no randomness" : s.err.detail);
        arena_release(&s.arena);
        return STATUS_USAGE;
    }
    bool ok = bring_up(&s) && wait_ready(&s, &stop);
    if (ok && !stop) {
        announce(&s);
        serve_until_signal(&s);
    }
    if (!ok) fprintf(stderr, "aileron: %s\n", s.err.detail);
    shut_down(&s);
    arena_release(&s.arena);
    return ok ? STATUS_DONE : STATUS_FAILED;
}
