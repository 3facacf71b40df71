/* test_cluster.c - the embedded PostgreSQL's life: made, found, shared, adopted, recovered,
 * refused. */
#include <check.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "../../server/base/clock.h"
#include "../../server/base/log.h"
#include "../support/pg.h"

enum { PATH_BYTES = 512, OPENERS = 3, SMALL_DISK_MIB = 20 };

static char base[] = "/tmp/aileron-cluster-XXXXXX"; /* every test's directories stand in it */
static char data[PATH_BYTES];
static Arena arena;
static Err err;

static void run(const char *format, ...) PRINTF_LIKE(1, 2);

static void run(const char *format, ...)
{
    char command[2 * PATH_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(command, sizeof command, format, args);
    va_end(args);
    ck_assert_msg(system(command) == 0, "%s", command);
}

static bool exists(const char *dir, const char *name)
{
    char path[2 * PATH_BYTES];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return access(path, F_OK) == 0;
}

static pid_t postmaster(void)
{
    char path[2 * PATH_BYTES];
    int pid = 0;
    snprintf(path, sizeof path, "%s/postgres/postmaster.pid", data);
    FILE *file = fopen(path, "r");
    if (file && fscanf(file, "%d", &pid) != 1) pid = 0;
    if (file) fclose(file);
    return pid;
}

static Cluster *must_open(bool may_share)
{
    Cluster *cluster = cluster_open(data, may_share, &arena, &err);
    ck_assert_msg(cluster != NULL, "%s", err.detail);
    return cluster;
}

static void must_answer(const Cluster *cluster)
{
    DbClient *client = pg_client(cluster_url(cluster));
    ck_assert_str_eq(pg_value(client, "select 'here'"), "here");
    db_client_close(client);
}

/* Every test begins with a cluster in `data` that is not running. */
static void setup(void)
{
    snprintf(data, sizeof data, "%s/data", base);
    if (!exists(data, "postgres")) cluster_close(must_open(false));
    ck_assert_int_eq(postmaster(), 0);
}

START_TEST(a_fresh_one_is_a_normal_cluster_with_our_settings)
{
    Cluster *cluster = must_open(false);
    DbClient *client = pg_client(cluster_url(cluster));
    ck_assert_str_eq(pg_value(client, "show data_checksums"), "on");
    ck_assert_str_eq(pg_value(client, "show server_encoding"), "UTF8");
    ck_assert_str_eq(pg_value(client, "show fsync"), "on");
    ck_assert_str_eq(pg_value(client, "show synchronous_commit"), "on");
    ck_assert_str_eq(pg_value(client, "show listen_addresses"), "");
    ck_assert_str_eq(pg_value(client, "show jit"), "off");
    ck_assert_str_eq(pg_value(client, "show checkpoint_timeout"), "15min");
    ck_assert_str_eq(pg_value(client, "select lower('ÄÖ')"),
                     "äö"); /* a locale that knows letters */
    ck_assert_str_eq(pg_value(client, "select datcollate from pg_database where datname ="
                                      " current_database()"),
                     "C");
    db_client_close(client);
    cluster_close(cluster);
    struct stat at;
    char run_dir[2 * PATH_BYTES];
    snprintf(run_dir, sizeof run_dir, "%s/run", data);
    ck_assert_int_eq(stat(run_dir, &at), 0);
    ck_assert_int_eq(at.st_mode & 0777, 0700);
}
END_TEST

START_TEST(starting_an_existing_one_is_quick)
{
    int64_t begin_us = clock_monotonic_us();
    Cluster *cluster = must_open(false);
    int64_t opened_us = clock_monotonic_us();
    cluster_close(cluster);
    ck_assert_int_lt(opened_us - begin_us, 1500000);
    ck_assert_int_eq(postmaster(), 0);
}
END_TEST

START_TEST(a_second_owner_is_refused_and_told_who)
{
    char pid[32];
    Cluster *owner = must_open(false);
    ck_assert_ptr_null(cluster_open(data, false, &arena, &err));
    ck_assert_int_eq(err.code, ERR_conflict);
    snprintf(pid, sizeof pid, "process %d", (int)getpid());
    ck_assert_ptr_nonnull(strstr(err.detail, pid));
    must_answer(owner);
    cluster_close(owner);
}
END_TEST

START_TEST(a_sharer_uses_the_running_one_and_leaves_it)
{
    Cluster *owner = must_open(false);
    pid_t pid = postmaster();
    Cluster *sharer = must_open(true);
    ck_assert_int_eq(postmaster(), pid);
    must_answer(sharer);
    cluster_close(sharer);
    must_answer(owner);
    cluster_close(owner);
    ck_assert_int_eq(postmaster(), 0);
}
END_TEST

START_TEST(the_last_to_leave_stops_it)
{
    Cluster *command = must_open(true); /* a command, alone: it starts it */
    Cluster *owner = must_open(false);  /* then the server comes */
    cluster_close(command);
    must_answer(owner);
    Cluster *late = must_open(true);
    cluster_close(owner);
    must_answer(late);
    cluster_close(late);
    ck_assert_int_eq(postmaster(), 0);
}
END_TEST

static void *open_shared(void *out)
{
    Arena own;
    Err failure = {0};
    arena_init(&own, MiB(1));
    *(Cluster **)out = cluster_open(data, true, &own, &failure);
    arena_release(&own);
    return NULL;
}

START_TEST(several_at_once_start_it_once)
{
    pthread_t threads[OPENERS];
    Cluster *clusters[OPENERS] = {NULL};
    for (int i = 0; i < OPENERS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, open_shared, &clusters[i]), 0);
    for (int i = 0; i < OPENERS; i++) pthread_join(threads[i], NULL);
    for (int i = 0; i < OPENERS; i++) {
        ck_assert_ptr_nonnull(clusters[i]);
        must_answer(clusters[i]);
    }
    for (int i = 0; i < OPENERS; i++) cluster_close(clusters[i]);
    ck_assert_int_eq(postmaster(), 0);
}
END_TEST

START_TEST(what_a_killed_owner_left_running_is_adopted)
{
    pid_t child = fork();
    if (child == 0) {
        Cluster *cluster = cluster_open(data, false, &arena, &err);
        kill(getpid(), cluster ? SIGKILL : SIGTERM);
    }
    int status = 0;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(WTERMSIG(status), SIGKILL);
    pid_t orphan = postmaster();
    ck_assert_int_gt(orphan, 0);
    Cluster *cluster = must_open(false);
    ck_assert_int_eq(postmaster(), orphan);
    must_answer(cluster);
    cluster_close(cluster);
    ck_assert_int_eq(postmaster(), 0);
}
END_TEST

START_TEST(a_stale_pid_file_of_a_stranger_is_recovered_from)
{
    /* After a power failure the number may belong to anybody: here to us. */
    run("printf '%d\\n%s/postgres\\n1\\n5432\\n%s/run\\n\\n1 1\\nready\\n' >"
        " %s/postgres/postmaster.pid",
        (int)getpid(), data, data, data);
    Cluster *cluster = must_open(false);
    ck_assert_int_ne(postmaster(), getpid());
    must_answer(cluster);
    cluster_close(cluster);
}
END_TEST

START_TEST(a_killed_postmaster_is_started_again)
{
    Cluster *cluster = must_open(false);
    pid_t first = postmaster();
    cluster_watch(cluster);
    ck_assert_int_eq(postmaster(), first);
    kill(first, SIGKILL);
    int64_t give_up_us = clock_monotonic_us() + 20000000;
    DbClient *client = NULL;
    while (!client) {
        usleep(50000);
        cluster_watch(cluster);
        client = db_client_open(cluster_url(cluster), &arena, &err);
        ck_assert_msg(clock_monotonic_us() < give_up_us, "%s", err.detail);
    }
    db_client_close(client);
    ck_assert_int_ne(postmaster(), first);
    cluster_close(cluster);
    ck_assert_int_eq(postmaster(), 0);
}
END_TEST

START_TEST(an_interrupted_creation_is_done_again)
{
    snprintf(data, sizeof data, "%s/interrupted", base);
    run("mkdir -p %s/postgres.new/base && echo 15 > %s/postgres.new/PG_VERSION", data, data);
    Cluster *cluster = must_open(false);
    must_answer(cluster);
    cluster_close(cluster);
    ck_assert(!exists(data, "postgres.new"));
    run("rm -rf %s", data);
}
END_TEST

START_TEST(a_path_too_long_for_a_socket_works)
{
    int n = snprintf(data, sizeof data, "%s/", base);
    memset(data + n, 'x', 120);
    data[n + 120] = '\0';
    for (int i = 0; i < 2; i++) { /* the second start finds the short directory again */
        Cluster *cluster = must_open(false);
        must_answer(cluster);
        cluster_close(cluster);
    }
    char link[PATH_BYTES] = "", path[2 * PATH_BYTES];
    snprintf(path, sizeof path, "%s/run", data);
    ck_assert_int_gt((int)readlink(path, link, sizeof link - 1), 0);
    ck_assert_int_eq(strncmp(link, "/tmp/aileron-", 13), 0);
    run("rm -rf %s %s", data, link);
}
END_TEST

START_TEST(a_directory_its_account_cannot_reach_is_replaced)
{
    if (geteuid() != 0) return; /* nobody switches accounts then */
    char home[PATH_BYTES] = "", path[2 * PATH_BYTES];
    snprintf(path, sizeof path, "%s/private", base);
    ck_assert_int_eq(mkdir(path, 0700), 0); /* like /root */
    snprintf(data, sizeof data, "%s/private/data", base);
    for (int i = 0; i < 2; i++) {
        Cluster *cluster = must_open(false);
        must_answer(cluster);
        cluster_close(cluster);
    }
    snprintf(path, sizeof path, "%s/postgres", data);
    ck_assert_int_gt((int)readlink(path, home, sizeof home - 1), 0);
    ck_assert_int_eq(strncmp(home, "/var/lib/aileron/", 17), 0);
    *strrchr(home, '/') = '\0';
    run("rm -rf %s; rmdir --ignore-fail-on-non-empty /var/lib/aileron", home);
}
END_TEST

START_TEST(another_major_version_is_named)
{
    run("cp %s/postgres/PG_VERSION %s/kept && echo 12 > %s/postgres/PG_VERSION", data, data, data);
    ck_assert_ptr_null(cluster_open(data, false, &arena, &err));
    ck_assert_ptr_nonnull(strstr(err.detail, "PostgreSQL 12"));
    ck_assert_ptr_nonnull(strstr(err.detail, "postgresql-12"));
    run("cat %s/kept > %s/postgres/PG_VERSION", data, data);
    cluster_close(must_open(false));
}
END_TEST

START_TEST(a_broken_configuration_is_told_with_its_reason)
{
    run("cp %s/postgres/postgresql.conf %s/kept.conf &&"
        " echo 'no_such_setting = 1' >> %s/postgres/postgresql.conf",
        data, data, data);
    ck_assert_ptr_null(cluster_open(data, false, &arena, &err));
    ck_assert_msg(strstr(err.detail, "postgresql.conf") || strstr(err.detail, "no_such_setting"),
                  "%s", err.detail);
    run("cat %s/kept.conf > %s/postgres/postgresql.conf", data, data);
    cluster_close(must_open(false)); /* and the failure has left no lock behind */
}
END_TEST

START_TEST(a_full_disk_is_told)
{
    snprintf(data, sizeof data, "%s/full", base);
    ck_assert_int_eq(mkdir(data, 0755), 0);
    char size[32];
    snprintf(size, sizeof size, "size=%dm", SMALL_DISK_MIB);
    if (mount("none", data, "tmpfs", 0, size) != 0) return; /* not allowed to, here */
    Cluster *cluster = cluster_open(data, false, &arena, &err);
    bool refused = cluster == NULL;
    cluster_close(cluster);
    ck_assert_int_eq(umount2(data, MNT_DETACH), 0);
    ck_assert(refused);
    ck_assert_msg(strstr(err.detail, "disk is too full") != NULL, "%s", err.detail);
}
END_TEST

START_TEST(a_file_in_the_way_is_told)
{
    snprintf(data, sizeof data, "%s/file", base);
    run("touch %s", data);
    ck_assert_ptr_null(cluster_open(data, false, &arena, &err));
    ck_assert_ptr_nonnull(strstr(err.detail, "--data"));
}
END_TEST

int main(void)
{
    if (!crypto_init()) return 2;
    log_set_level(LOG_ERROR);
    arena_init(&arena, MiB(16));
    if (!mkdtemp(base) || chmod(base, 0711) != 0) return 2;
    Suite *suite = suite_create("cluster");
    TCase *cases = tcase_create("all");
    tcase_add_checked_fixture(cases, setup, NULL);
    tcase_set_timeout(cases, 60);
    tcase_add_test(cases, a_fresh_one_is_a_normal_cluster_with_our_settings);
    tcase_add_test(cases, starting_an_existing_one_is_quick);
    tcase_add_test(cases, a_second_owner_is_refused_and_told_who);
    tcase_add_test(cases, a_sharer_uses_the_running_one_and_leaves_it);
    tcase_add_test(cases, the_last_to_leave_stops_it);
    tcase_add_test(cases, several_at_once_start_it_once);
    tcase_add_test(cases, what_a_killed_owner_left_running_is_adopted);
    tcase_add_test(cases, a_stale_pid_file_of_a_stranger_is_recovered_from);
    tcase_add_test(cases, a_killed_postmaster_is_started_again);
    tcase_add_test(cases, an_interrupted_creation_is_done_again);
    tcase_add_test(cases, a_path_too_long_for_a_socket_works);
    tcase_add_test(cases, a_directory_its_account_cannot_reach_is_replaced);
    tcase_add_test(cases, another_major_version_is_named);
    tcase_add_test(cases, a_broken_configuration_is_told_with_its_reason);
    tcase_add_test(cases, a_full_disk_is_told);
    tcase_add_test(cases, a_file_in_the_way_is_told);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_NOFORK);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", base);
    if (system(command) != 0) failed++;
    arena_release(&arena);
    return failed ? 1 : 0;
}
