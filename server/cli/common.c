/* common.c - see common.h. */
#include "common.h"

#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "../base/crypto.h"
#include "../base/log.h"

enum { URL_BYTES = 2048 };

/* ---- options ---- */

static void print_help(const char *usage, const CliOption *options, size_t count)
{
    printf("usage: %s\n", usage);
    for (size_t i = 0; i < count; i++) {
        char flag[64];
        snprintf(flag, sizeof flag, "--%s%s%s", options[i].flag, options[i].text ? " " : "",
                 options[i].text ? options[i].value : "");
        printf("  %-26s %s\n", flag, options[i].help);
    }
    printf("\nGeneral options:\n");
    config_print_help();
}

static const CliOption *find_option(const char *word, const CliOption *options, size_t count)
{
    if (strncmp(word, "--", 2) != 0) return NULL;
    size_t length = strcspn(word + 2, "=");
    for (size_t i = 0; i < count; i++)
        if (strlen(options[i].flag) == length && strncmp(options[i].flag, word + 2, length) == 0)
            return &options[i];
    return NULL;
}

static bool set_flag(Cli *cli, const CliOption *option, const char *value)
{
    if (config_flag(option->on, value, option->flag, &cli->arena, &cli->err)) return true;
    cli_misuse(cli, "%s", cli->err.detail);
    return false;
}

/* The command's own options from AILERON_<OPTION>; an empty one is none. */
static bool take_environment(Cli *cli, const CliOption *options, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *value = config_environment(options[i].flag);
        if (!value || value[0] == '\0') continue;
        if (options[i].text)
            *options[i].text = value;
        else if (!set_flag(cli, &options[i], value))
            return false;
    }
    return true;
}

/* Takes the command's own options out of argv. False: one lacks its value. */
static bool take_options(Cli *cli, int *argc, char **argv, const CliOption *options, size_t count)
{
    int kept = 0;
    for (int i = 0; i < *argc; i++) {
        const CliOption *option = i > 0 ? find_option(argv[i], options, count) : NULL;
        const char *equals = option ? strchr(argv[i], '=') : NULL;
        if (!option) {
            argv[kept++] = argv[i];
        } else if (option->on) {
            if (!set_flag(cli, option, equals ? equals + 1 : "yes")) return false;
        } else if (equals) {
            *option->text = equals + 1;
        } else if (i + 1 < *argc) {
            *option->text = argv[++i];
        } else {
            cli_misuse(cli, "--%s needs a value", option->flag);
            return false;
        }
    }
    *argc = kept;
    return true;
}

bool cli_begin(Cli *cli, int argc, char **argv, const char *usage, const CliOption *options,
               size_t count, int *status)
{
    *cli = (Cli){.usage = usage};
    arena_init(&cli->arena, CLI_ARENA_MAX);
    log_set_level(LOG_WARN);
    *status = CLI_DONE;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") != 0 && strcmp(argv[i], "-h") != 0) continue;
        print_help(usage, options, count);
        return false;
    }
    *status = CLI_USAGE;
    if (!crypto_init() || !take_environment(cli, options, count) ||
        !take_options(cli, &argc, argv, options, count)) {
        arena_release(&cli->arena);
        return false;
    }
    if (!config_read(&cli->config, &argc, argv, &cli->arena, &cli->err)) {
        cli_misuse(cli, "%s", cli->err.detail);
        arena_release(&cli->arena);
        return false;
    }
    cli->argc = argc - 1; /* without the command's name */
    cli->argv = argv + 1;
    return true;
}

/* ---- messages ---- */

int cli_fail(Cli *cli)
{
    fprintf(stderr, "aileron: %s%s%s%s\n",
            cli->err.detail ? cli->err.detail : err_title(cli->err.code),
            cli->err.pointer ? " (" : "", cli->err.pointer ? cli->err.pointer : "",
            cli->err.pointer ? ")" : "");
    return CLI_FAILED;
}

int cli_misuse(const Cli *cli, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "aileron: ");
    vfprintf(stderr, format, args);
    fprintf(stderr, "\nusage: %s\n(--help says more)\n", cli->usage);
    va_end(args);
    return CLI_USAGE;
}

Buf cli_buf(void)
{
    Buf buf;
    buf_init(&buf, MiB(16));
    return buf;
}

void cli_put_json(Buf *buf)
{
    buf_put_char(buf, '\n');
    fwrite(buf->data, 1, buf->len, stdout);
    fflush(stdout);
    buf_release(buf);
}

/* ---- the database ---- */

/* A command that is interrupted still stops the PostgreSQL it had started (cluster_close knows
 * whether it is the last to leave). Done on a thread, since a signal handler could not. */
static pthread_mutex_t closing = PTHREAD_MUTEX_INITIALIZER;
static Cluster *interruptible;

static void signals_of_interest(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGHUP);
}

static void *wait_for_interrupt(void *unused)
{
    sigset_t set;
    int number = 0;
    signals_of_interest(&set);
    if (sigwait(&set, &number) != 0) return unused;
    pthread_mutex_lock(&closing);
    fprintf(stderr, "aileron: interrupted\n");
    cluster_close(interruptible);
    _exit(128 + number);
}

static void watch_for_interrupt(Cluster *cluster)
{
    sigset_t set;
    pthread_t thread;
    signals_of_interest(&set);
    interruptible = cluster;
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    if (pthread_create(&thread, NULL, wait_for_interrupt, NULL) == 0)
        pthread_detach(thread);
    else
        pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

bool cli_open_database(Cli *cli)
{
    const char *url = cli->config.database;
    if (!url[0]) {
        cli->cluster = cluster_open(cli->config.data, true, &cli->arena, &cli->err);
        if (!cli->cluster) return false;
        watch_for_interrupt(cli->cluster);
        url = cluster_url(cli->cluster);
    }
    cli->client = db_client_open(url, &cli->arena, &cli->err);
    return cli->client != NULL;
}

bool cli_connect(Cli *cli)
{
    bool ok = cli_open_database(cli);
    if (ok && !migrate_check(cli->client, &cli->arena, &cli->err)) {
        /* Our own cluster is brought up to date; somebody else's server only when asked to. */
        ok = cli->cluster && migrate_run(cli->client, NULL, &cli->arena, &cli->err);
    }
    if (!ok) cli_fail(cli);
    return ok;
}

int cli_end(Cli *cli, int status)
{
    db_client_close(cli->client);
    pthread_mutex_lock(&closing);
    cluster_close(cli->cluster);
    interruptible = NULL;
    pthread_mutex_unlock(&closing);
    arena_release(&cli->arena);
    return status;
}

bool cli_query(Cli *cli, SqlId id, const DbParam *params, size_t count, Rows **rows)
{
    return db_client_query(cli->client, id, params, count, rows, &cli->arena, &cli->err);
}

bool cli_project(Cli *cli, const char *slug, int64_t *id)
{
    Rows *rows = NULL;
    const DbParam params[] = {db_text(str_from(slug))};
    if (!cli_query(cli, SQL_project_find, params, LEN(params), &rows)) return false;
    bool found = rows_count(rows) > 0;
    *id = rows_int(rows, 0, 0);
    rows_release(rows);
    return found ||
           err_set(&cli->err, &cli->arena, ERR_not_found, NULL,
                   "there is no project \"%s\"; `aileron project add %s` makes it", slug, slug);
}

bool cli_is_add(const Cli *cli)
{
    return cli->argc == 0 || strcmp(cli->argv[0], "add") == 0;
}

bool cli_is_role(const char *role)
{
    return strcmp(role, "annotator") == 0 || strcmp(role, "researcher") == 0 ||
           strcmp(role, "owner") == 0;
}

/* ---- links ---- */

static bool read_server_url(Cli *cli, char url[URL_BYTES])
{
    const char *path = arena_printf(&cli->arena, "%s/" SERVER_URL_FILE, cli->config.data).ptr;
    FILE *file = path ? fopen(path, "re") : NULL;
    bool ok = file && fgets(url, URL_BYTES, file) && strncmp(url, "http", 4) == 0;
    if (file) fclose(file);
    if (ok) url[strcspn(url, "\n")] = '\0';
    return ok;
}

Str cli_public_url(Cli *cli)
{
    const char *url = cli->config.public_url;
    char known[URL_BYTES];
    if (!url[0] && read_server_url(cli, known)) url = arena_copy(&cli->arena, str_from(known)).ptr;
    if (!url || !url[0]) {
        Str text = arena_printf(&cli->arena, "http://%s", cli->config.listen);
        return text.ptr ? text : STR("http://127.0.0.1:8080");
    }
    size_t length = strlen(url);
    while (length > 0 && url[length - 1] == '/') length--;
    return (Str){url, length};
}

Str cli_link(Cli *cli, const char *token)
{
    Str base = cli_public_url(cli);
    return arena_printf(&cli->arena, STR_FMT "/signin#link=%s", STR_ARG(base), token);
}
