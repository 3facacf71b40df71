/* pg.c - see pg.h. */
#include "pg.h"

#include <check.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "../../server/base/clock.h"
#include "../../server/base/log.h"
#include "../../server/db/internal.h"

enum { DATABASES_MAX = 64, SQL_MAX = 65536, REVIVE_MS = 20000 };

static struct {
    Cluster *cluster;
    char dir[64];
    char *urls[DATABASES_MAX];
    int count;
    bool has_template;
    Arena arena;
    char value[8192];
    char state[8];
    char constraint[80];
    char text[120]; /* the beginning of the last SQL, for messages */
} pg;

static void give_up(const char *what, const Err *err)
{
    fprintf(stderr, "tests/support/pg: %s: %s\n", what, err->detail ? err->detail : "?");
    exit(2);
}

/* ck_assert may not even succeed outside a running test, where pg_start is. */
static void must(bool ok, const char *what, const char *why)
{
    if (!ok) ck_abort_msg("%s: %s", what, why);
}

static void pg_stop(void)
{
    char command[128];
    cluster_close(pg.cluster);
    pg.cluster = NULL;
    for (int i = 0; i < pg.count; i++) free(pg.urls[i]);
    pg.count = 0;
    arena_release(&pg.arena);
    snprintf(command, sizeof command, "rm -rf '%s'", pg.dir);
    if (system(command) != 0) fprintf(stderr, "cannot remove %s\n", pg.dir);
}

void pg_start(void)
{
    Err err = {0};
    if (!crypto_init()) exit(2);
    log_set_level(LOG_ERROR);
    arena_init(&pg.arena, MiB(16));
    snprintf(pg.dir, sizeof pg.dir, "/tmp/aileron-test-XXXXXX");
    if (!mkdtemp(pg.dir) || chmod(pg.dir, 0711) != 0) exit(2);
    pg.cluster = cluster_open(pg.dir, false, &pg.arena, &err);
    if (!pg.cluster) give_up("cluster_open", &err);
    atexit(pg_stop);
    DbClient *client = pg_client(pg_url());
    pg_value(client, "alter system set fsync = off");
    pg_value(client, "alter system set autovacuum = off");
    pg_value(client, "select pg_reload_conf()");
    db_client_close(client);
}

const char *pg_dir(void)
{
    return pg.dir;
}

const char *pg_url(void)
{
    return cluster_url(pg.cluster);
}

void pg_kill9(void)
{
    char path[128];
    int pid = 0;
    snprintf(path, sizeof path, "%s/postgres/postmaster.pid", pg.dir);
    FILE *file = fopen(path, "r");
    must(file != NULL, "file", "null");
    must(fscanf(file, "%d", &pid) == 1, path, "no number");
    fclose(file);
    must(kill(pid, SIGKILL) == 0, "kill", "failed");
}

void pg_revive(void)
{
    int64_t give_up_us = clock_monotonic_us() + (int64_t)REVIVE_MS * 1000;
    for (;;) {
        Err err = {0};
        cluster_watch(pg.cluster);
        usleep(100000);
        DbClient *client = db_client_open(pg_url(), &pg.arena, &err);
        db_client_close(client);
        if (client) return;
        must(clock_monotonic_us() < give_up_us, "not revived", err.detail);
    }
}

const char *pg_database(bool migrated)
{
    Err err = {0};
    DbClient *client = pg_client(pg_url());
    if (migrated && !pg.has_template) {
        pg_value(client, "create database migrated");
        char url[512];
        snprintf(url, sizeof url, "%s dbname=migrated", pg_url());
        DbClient *template = pg_client(url);
        if (!migrate_run(template, NULL, &pg.arena, &err)) give_up("migrate_run", &err);
        db_client_close(template);
        pg.has_template = true;
    }
    must(pg.count < DATABASES_MAX, "pg_database", "too many");
    pg_value(client, "create database t%d%s", pg.count, migrated ? " template migrated" : "");
    db_client_close(client);
    char *url = malloc(512);
    must(url != NULL, "url", "null");
    snprintf(url, 512, "%s dbname=t%d", pg_url(), pg.count);
    pg.urls[pg.count++] = url;
    return url;
}

DbClient *pg_client(const char *url)
{
    Err err = {0};
    DbClient *client = db_client_open(url, &pg.arena, &err);
    if (!client) give_up(url, &err);
    return client;
}

static PGresult *run(DbClient *client, const char *format, va_list args)
{
    char *text = malloc(SQL_MAX);
    must(text != NULL, "text", "null");
    must(vsnprintf(text, SQL_MAX, format, args) < SQL_MAX, format, "too long");
    snprintf(pg.text, sizeof pg.text, "%.100s", text);
    PGresult *result = PQexec(client->conn, text);
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *constraint = PQresultErrorField(result, PG_DIAG_CONSTRAINT_NAME);
    snprintf(pg.state, sizeof pg.state, "%s", state ? state : "00000");
    snprintf(pg.constraint, sizeof pg.constraint, "%s", constraint ? constraint : "");
    free(text);
    return result;
}

const char *pg_value(DbClient *client, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    PGresult *result = run(client, format, args);
    va_end(args);
    must(result_ok(result), pg.text, PQresultErrorMessage(result));
    bool some = PQntuples(result) > 0 && PQnfields(result) > 0;
    snprintf(pg.value, sizeof pg.value, "%s", some ? PQgetvalue(result, 0, 0) : "");
    PQclear(result);
    return pg.value;
}

const char *pg_state(DbClient *client, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    PQclear(run(client, format, args));
    va_end(args);
    return pg.state;
}

const char *pg_constraint(void)
{
    return pg.constraint;
}

int64_t pg_count(DbClient *client, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    PGresult *result = run(client, format, args);
    va_end(args);
    must(result_ok(result), pg.text, PQresultErrorMessage(result));
    must(PQntuples(result) == 1, format, "not one row");
    int64_t count = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
    PQclear(result);
    return count;
}

char *pg_lines(DbClient *client, const char *text)
{
    PGresult *result = PQexec(client->conn, text);
    must(result_ok(result), text, PQresultErrorMessage(result));
    size_t size = 1;
    for (int i = 0; i < PQntuples(result); i++) size += strlen(PQgetvalue(result, i, 0)) + 1;
    char *lines = malloc(size);
    must(lines != NULL, "lines", "null");
    char *out = lines;
    for (int i = 0; i < PQntuples(result); i++) {
        out = stpcpy(out, PQgetvalue(result, i, 0));
        *out++ = '\n';
    }
    *out = '\0';
    PQclear(result);
    return lines;
}
