/* doctor.c - `aileron doctor`: looks at everything the server leans on, one line each: ok, warn or
 * fail, and how to mend it. Changes nothing, and makes no database where there is none. */
#include "cli.h"
#include "common.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include "../base/clock.h"
#include "../base/crypto.h"
#include "../base/json.h"

enum {
    VERSION_MIN = 150000,
    DISK_FAIL_MIB = 512,
    DISK_WARN_MIB = 4096,
    CLOCK_WARN_MS = 2000,
    CLOCK_FAIL_MS = 60000,
    LANES_PER_WORKER = 8, /* connections, streams included */
};

typedef enum Verdict { VERDICT_OK, VERDICT_WARN, VERDICT_FAIL } Verdict;

static const char *const verdict_names[] = {"ok", "warn", "fail"};

typedef struct Doctor {
    Cli cli;
    bool json;
    Buf out;
    int counts[3];
} Doctor;

/* One line. `mend` (NULL when all is well) says what to do. */
static void say(Doctor *doctor, Verdict verdict, const char *check, const char *mend,
                const char *format, ...) PRINTF_LIKE(5, 6);

static void say(Doctor *doctor, Verdict verdict, const char *check, const char *mend,
                const char *format, ...)
{
    char detail[512];
    va_list args;
    va_start(args, format);
    vsnprintf(detail, sizeof detail, format, args);
    va_end(args);
    bool first = doctor->counts[0] + doctor->counts[1] + doctor->counts[2] == 0;
    doctor->counts[verdict]++;
    if (verdict == VERDICT_OK) mend = NULL;
    if (!doctor->json) {
        printf("%-4s  %-18s  %s%s%s\n", verdict_names[verdict], check, detail,
               mend ? "\n                          mend: " : "", mend ? mend : "");
        return;
    }
    buf_put_format(&doctor->out,
                   "%s{\"check\":\"%s\",\"status\":\"%s\",\"detail\":", first ? "" : ",", check,
                   verdict_names[verdict]);
    json_put_text(&doctor->out, str_from(detail));
    buf_put_text(&doctor->out, ",\"mend\":");
    json_put_text(&doctor->out, str_from(mend));
    buf_put_char(&doctor->out, '}');
}

static void check_disk(Doctor *doctor)
{
    struct statvfs at;
    const char *dir = doctor->cli.config.data;
    if (statvfs(dir, &at) != 0) {
        say(doctor, VERDICT_FAIL, "disk", "name the directory with --data", "%s: %s", dir,
            strerror(errno));
        return;
    }
    uint64_t free_mib = (uint64_t)at.f_bavail * at.f_frsize >> 20;
    Verdict verdict = free_mib < DISK_FAIL_MIB   ? VERDICT_FAIL
                      : free_mib < DISK_WARN_MIB ? VERDICT_WARN
                                                 : VERDICT_OK;
    say(doctor, verdict, "disk",
        "free some space: a full disk stops every judgment from being accepted",
        "%" PRIu64 " MiB free under %s", free_mib, dir);
    if (at.f_files > 0 && at.f_favail < 1000)
        say(doctor, VERDICT_FAIL, "disk", "remove small files: the file system has no inodes left",
            "%" PRIu64 " inodes free under %s", (uint64_t)at.f_favail, dir);
}

static void check_secret(Doctor *doctor)
{
    struct stat at;
    char path[4096];
    snprintf(path, sizeof path, "%s/secret.key", doctor->cli.config.data);
    if (stat(path, &at) != 0) {
        say(doctor, errno == ENOENT ? VERDICT_WARN : VERDICT_FAIL, "keys",
            "`aileron serve` makes it at its first start; a restored server needs the old one",
            "%s: %s", path, strerror(errno));
        return;
    }
    bool open = (at.st_mode & 077) != 0;
    bool foreign = at.st_uid != geteuid() && geteuid() != 0;
    char mend[4200];
    snprintf(mend, sizeof mend, "chmod 600 '%s'", path);
    if (open)
        say(doctor, VERDICT_FAIL, "keys", mend, "others may read %s (mode %o)", path,
            at.st_mode & 0777);
    else if (foreign)
        say(doctor, VERDICT_FAIL, "keys", "run as the user the server runs as",
            "%s belongs to user %u", path, at.st_uid);
    else
        say(doctor, VERDICT_OK, "keys", NULL, "%s is private", path);
}

/* Where there is no cluster yet, opening it would make one. */
static bool has_database(Doctor *doctor)
{
    char path[4096];
    if (doctor->cli.config.database[0]) return true;
    snprintf(path, sizeof path, "%s/postgres", doctor->cli.config.data);
    if (access(path, F_OK) == 0) return true;
    say(doctor, VERDICT_FAIL, "database",
        "start the server once (`aileron serve`), or name the "
        "right directory with --data",
        "there is no database in %s", doctor->cli.config.data);
    return false;
}

static void check_on(Doctor *doctor, const Rows *rows, const char *setting, Verdict otherwise,
                     const char *mend)
{
    Str value = rows_text(rows, 0, rows_column(rows, setting));
    bool off = str_is(value, "off");
    say(doctor, off ? otherwise : VERDICT_OK, setting, mend, STR_FMT, STR_ARG(value));
}

static void check_clock(Doctor *doctor, int64_t database_ms, int64_t before_ms, int64_t after_ms)
{
    int64_t apart = 0; /* beyond what the question itself took */
    if (database_ms < before_ms) apart = before_ms - database_ms;
    if (database_ms > after_ms) apart = database_ms - after_ms;
    Verdict verdict = apart > CLOCK_FAIL_MS   ? VERDICT_FAIL
                      : apart > CLOCK_WARN_MS ? VERDICT_WARN
                                              : VERDICT_OK;
    say(doctor, verdict, "clock", "let both machines keep time by NTP: ids and leases carry it",
        "%" PRId64 " ms apart from the database", apart);
}

static void check_server(Doctor *doctor)
{
    Rows *rows = NULL;
    int64_t before_ms = clock_unix_ms();
    if (!cli_query(&doctor->cli, SQL_doctor_server, NULL, 0, &rows)) {
        say(doctor, VERDICT_FAIL, "postgres", "see the PostgreSQL log", "%s",
            doctor->cli.err.detail);
        return;
    }
    int64_t after_ms = clock_unix_ms();
    bool old = rows_int(rows, 0, rows_column(rows, "version")) < VERSION_MIN;
    say(doctor, old ? VERDICT_FAIL : VERDICT_OK, "postgres", "upgrade PostgreSQL to 15 or newer",
        "version " STR_FMT, STR_ARG(rows_text(rows, 0, rows_column(rows, "version_text"))));
    if (rows_bool(rows, 0, rows_column(rows, "is_standby")))
        say(doctor, VERDICT_FAIL, "postgres", "name the primary with --database",
            "this server is a read-only standby");
    Str encoding = rows_text(rows, 0, rows_column(rows, "encoding"));
    say(doctor, str_is(encoding, "UTF8") ? VERDICT_OK : VERDICT_FAIL, "encoding",
        "make the database with ENCODING 'UTF8'", STR_FMT, STR_ARG(encoding));
    check_on(doctor, rows, "fsync", VERDICT_FAIL, "set fsync = on: without it a crash loses data");
    check_on(doctor, rows, "full_page_writes", VERDICT_FAIL, "set full_page_writes = on");
    check_on(doctor, rows, "synchronous_commit", VERDICT_FAIL,
             "set synchronous_commit = on: 2xx must mean committed");
    check_on(doctor, rows, "data_checksums", VERDICT_WARN,
             "stop PostgreSQL and run pg_checksums --enable");
    int64_t most = rows_int(rows, 0, rows_column(rows, "max_connections"));
    long workers =
        doctor->cli.config.workers > 0 ? doctor->cli.config.workers : sysconf(_SC_NPROCESSORS_ONLN);
    say(doctor, most < workers * LANES_PER_WORKER + 10 ? VERDICT_WARN : VERDICT_OK, "connections",
        "raise max_connections, or start fewer --workers",
        "%" PRId64 " allowed, up to %ld used by %ld workers", most, workers * LANES_PER_WORKER,
        workers);
    check_clock(doctor, rows_int(rows, 0, rows_column(rows, "now_ms")), before_ms, after_ms);
    say(doctor, VERDICT_OK, "size", NULL, "%" PRId64 " MiB in the database",
        rows_int(rows, 0, rows_column(rows, "bytes")) >> 20);
    rows_release(rows);
}

static void check_schema(Doctor *doctor)
{
    Cli *cli = &doctor->cli;
    Rows *rows = NULL;
    if (!migrate_check(cli->client, &cli->arena, &cli->err)) {
        say(doctor, VERDICT_FAIL, "schema", "run `aileron migrate`", "%s", cli->err.detail);
        return;
    }
    say(doctor, VERDICT_OK, "schema", NULL, "up to date");
    if (!cli_query(cli, SQL_doctor_schema, NULL, 0, &rows)) {
        say(doctor, VERDICT_FAIL, "schema", "see the PostgreSQL log", "%s", cli->err.detail);
        return;
    }
    bool same = rows_bool(rows, 0, rows_column(rows, "same_cluster"));
    say(doctor, same ? VERDICT_OK : VERDICT_WARN, "ledger",
        "run `aileron migrate`: the database was restored elsewhere and its transaction ids must "
        "be "
        "moved up",
        same ? "transaction ids belong to this cluster" : "restored from another cluster");
    bool ahead = rows_bool(rows, 0, rows_column(rows, "has_partition"));
    say(doctor, ahead ? VERDICT_OK : VERDICT_WARN, "partitions", "run `aileron migrate`",
        ahead ? "made ahead" : "the coming month has none");
    int64_t overdue = rows_int(rows, 0, rows_column(rows, "overdue_leases"));
    say(doctor, overdue ? VERDICT_WARN : VERDICT_OK, "leases",
        "start the server: it takes overdue leases back", "%" PRId64 " overdue", overdue);
    int64_t admins = rows_int(rows, 0, rows_column(rows, "administrators"));
    say(doctor, admins ? VERDICT_OK : VERDICT_WARN, "accounts", "`aileron user add LOGIN --admin`",
        "%" PRId64 " administrator%s", admins, admins == 1 ? "" : "s");
    rows_release(rows);
}

int doctor_command(int argc, char **argv)
{
    Doctor doctor = {.json = false};
    int status;
    const CliOption options[] = {{"json", NULL, &doctor.json, NULL, "result as JSON"}};
    if (!cli_begin(&doctor.cli, argc, argv, "aileron doctor [--data DIR | --database URL] [--json]",
                   options, LEN(options), &status))
        return status;
    if (doctor.cli.argc > 0)
        return cli_end(&doctor.cli,
                       cli_misuse(&doctor.cli, "doctor takes no \"%s\"", doctor.cli.argv[0]));
    doctor.out = cli_buf();
    buf_put_text(&doctor.out, "{\"checks\":[");
    check_disk(&doctor);
    check_secret(&doctor);
    if (has_database(&doctor)) {
        if (cli_open_database(&doctor.cli)) {
            /* Where psql, pg_dump and aileron-rm find the embedded cluster; an URL that was given
             * may hold a password: not shown. */
            const Cluster *cluster = doctor.cli.cluster;
            say(&doctor, VERDICT_OK, "database", NULL, "%s",
                cluster ? cluster_url(cluster) : "reachable");
            check_server(&doctor);
            check_schema(&doctor);
        } else {
            say(&doctor, VERDICT_FAIL, "database",
                doctor.cli.config.database[0] ? "check the URL, and that the server runs"
                                              : "see postgres.log in the data directory",
                "%s", doctor.cli.err.detail);
        }
    }
    int failed = doctor.counts[VERDICT_FAIL], warned = doctor.counts[VERDICT_WARN];
    if (doctor.json) {
        const Cluster *cluster = doctor.cli.cluster;
        buf_put_format(&doctor.out, "],\"failed\":%d,\"warned\":%d,\"database\":", failed, warned);
        json_put_text(&doctor.out, str_from(cluster ? cluster_url(cluster) : NULL));
        buf_put_char(&doctor.out, '}');
        cli_put_json(&doctor.out);
    } else {
        buf_release(&doctor.out);
        printf("%d failed, %d to look at\n", failed, warned);
    }
    return cli_end(&doctor.cli, failed ? CLI_FAILED : CLI_DONE);
}
