/* test_migrations.c - migrations: once, in order, unchanged, one at a time; and what they leave.
 *
 * With --dump it prints what schema/schema.sql holds (make schema). */
#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "../support/pg.h"

enum { SCHEMA_MAJOR = 15, RACERS = 4 };

static Arena arena;

/* dump.sh's output for a database; malloc'd. */
static char *dump(const char *url)
{
    char command[1024];
    snprintf(command, sizeof command, "tests/schema/dump.sh \"%s\"", url);
    FILE *out = popen(command, "r");
    if (!out) return NULL;
    size_t size = MiB(1), len = 0;
    char *text = malloc(size);
    if (text) len = fread(text, 1, size - 1, out);
    if (pclose(out) != 0 || !text) {
        free(text);
        return NULL;
    }
    text[len] = '\0';
    return text;
}

static char *read_file(const char *path)
{
    FILE *file = fopen(path, "r");
    if (!file) return NULL;
    char *text = malloc(MiB(1));
    size_t len = text ? fread(text, 1, MiB(1) - 1, file) : 0;
    if (text) text[len] = '\0';
    fclose(file);
    return text;
}

START_TEST(migrating_twice_applies_nothing_the_second_time)
{
    Err err = {0};
    int applied = 0;
    DbClient *client = pg_client(pg_database(false));
    ck_assert(!migrate_check(client, &arena, &err));
    ck_assert_ptr_nonnull(strstr(err.detail, "aileron migrate"));
    ck_assert_msg(migrate_run(client, &applied, &arena, &err), "%s", err.detail);
    ck_assert_int_gt(applied, 0);
    ck_assert(migrate_check(client, &arena, &err));
    ck_assert(migrate_run(client, &applied, &arena, &err));
    ck_assert_int_eq(applied, 0);
    ck_assert_int_eq(pg_count(client, "select count(*) from schema_migration where"
                                      " length(hash) = 32"),
                     pg_count(client, "select count(*) from schema_migration"));
    db_client_close(client);
}
END_TEST

START_TEST(a_changed_migration_is_refused)
{
    Err err = {0};
    DbClient *client = pg_client(pg_database(true));
    pg_value(client, "update schema_migration set hash = sha256('other') where name like '0002%%'");
    ck_assert(!migrate_run(client, NULL, &arena, &err));
    ck_assert_int_eq(err.code, ERR_conflict);
    ck_assert_ptr_nonnull(strstr(err.detail, "0002_collection has been changed"));
    ck_assert(!migrate_check(client, &arena, &err));
    db_client_close(client);
}
END_TEST

START_TEST(a_newer_database_is_refused)
{
    Err err = {0};
    DbClient *client = pg_client(pg_database(true));
    pg_value(client, "insert into schema_migration (name, hash) values ('9999_later', '')");
    ck_assert(!migrate_run(client, NULL, &arena, &err));
    ck_assert_ptr_nonnull(strstr(err.detail, "newer aileron"));
    db_client_close(client);
}
END_TEST

START_TEST(a_migration_that_fails_leaves_nothing_of_itself)
{
    Err err = {0};
    DbClient *client = pg_client(pg_database(false));
    pg_value(client, "create table feedback (in_the_way integer)"); /* the second makes it */
    ck_assert(!migrate_run(client, NULL, &arena, &err));
    ck_assert_ptr_nonnull(strstr(err.detail, "0002_collection failed"));
    ck_assert_str_eq(pg_value(client, "select string_agg(name, ',') from schema_migration"),
                     "0001_accounts");
    ck_assert_str_eq(pg_value(client, "select to_regclass('comparison')"), "");
    pg_value(client, "drop table feedback");
    ck_assert_msg(migrate_run(client, NULL, &arena, &err), "%s", err.detail);
    db_client_close(client);
}
END_TEST

typedef struct Racer {
    pthread_t thread;
    const char *url;
    int applied;
    bool ok;
} Racer;

static void *race(void *arg)
{
    Racer *racer = arg;
    Arena own;
    Err err = {0};
    arena_init(&own, MiB(1));
    DbClient *client = db_client_open(racer->url, &own, &err);
    racer->ok = client && migrate_run(client, &racer->applied, &own, &err);
    db_client_close(client);
    arena_release(&own);
    return NULL;
}

START_TEST(several_at_once_apply_each_migration_once)
{
    Racer racers[RACERS] = {0};
    const char *url = pg_database(false);
    int applied = 0;
    for (int i = 0; i < RACERS; i++) {
        racers[i].url = url;
        ck_assert_int_eq(pthread_create(&racers[i].thread, NULL, race, &racers[i]), 0);
    }
    for (int i = 0; i < RACERS; i++) {
        pthread_join(racers[i].thread, NULL);
        ck_assert(racers[i].ok);
        applied += racers[i].applied;
    }
    DbClient *client = pg_client(url);
    ck_assert_int_eq(applied, pg_count(client, "select count(*) from schema_migration"));
    db_client_close(client);
}
END_TEST

START_TEST(migrations_reproduce_schema_sql)
{
    const char *url = pg_database(true);
    DbClient *client = pg_client(url);
    int64_t major = pg_count(client, "select current_setting('server_version_num')::int / 10000");
    db_client_close(client);
    if (major != SCHEMA_MAJOR) return; /* another pg_dump words things differently */
    char *made = dump(url);
    char *kept = read_file("schema/schema.sql");
    ck_assert_ptr_nonnull(made);
    ck_assert_ptr_nonnull(kept);
    ck_assert_msg(strcmp(made, kept) == 0, "schema/schema.sql is out of date: run `make schema`");
    free(made);
    free(kept);
}
END_TEST

/* ---- partitions ---- */

/* A row whose id carries a time (SQL) and ends in a number; gives the partition it went to. */
#define ADD_FEEDBACK                                                                               \
    "insert into feedback (project_id, id, impression_id, kind, choice, source, xid) values"       \
    " (1, (select overlay(partition_bound(%s)::text placing '%012x' from 25 for 12)::uuid),"       \
    " gen_random_uuid(), 'judgment', 0, 'annotate', ledger_xid()) returning tableoid::regclass"

START_TEST(rows_go_to_the_month_their_id_carries)
{
    DbClient *client = pg_client(pg_database(true));
    char want[64];
    snprintf(want, sizeof want, "feedback_%s",
             pg_value(client, "select to_char(now() at time zone 'UTC', 'YYYYMM')"));
    ck_assert_str_eq(pg_value(client, ADD_FEEDBACK, "now()", 1), want);
    ck_assert_str_eq(pg_value(client, ADD_FEEDBACK, "'2020-02-02'", 2), "feedback_past");
    ck_assert_str_eq(pg_value(client, ADD_FEEDBACK, "now() + interval '3 years'", 3),
                     "feedback_other");
    ck_assert_str_eq(pg_state(client, ADD_FEEDBACK, "'2020-02-02'", 2),
                     "23505"); /* across months */
    db_client_close(client);
}
END_TEST

START_TEST(partitions_come_ahead_and_only_once)
{
    DbClient *client = pg_client(pg_database(true));
    ck_assert_int_eq(pg_count(client, "select partition_ensure(1)"), 0);
    ck_assert_int_eq(pg_count(client, "select partition_ensure(3)"),
                     4);                                   /* two tables, two months */
    pg_value(client, "set timezone = 'America/New_York'"); /* bounds are UTC whoever asks */
    ck_assert_int_eq(pg_count(client, "select partition_ensure(14)"), 22);
    char want[64];
    snprintf(want, sizeof want, "feedback_%s",
             pg_value(client, "select to_char((now() at time zone 'UTC') + interval '12 months',"
                              " 'YYYYMM')"));
    ck_assert_str_eq(pg_value(client, ADD_FEEDBACK,
                              "(date_trunc('month', now() at time zone 'UTC')"
                              " + interval '12 months') at time zone 'UTC'",
                              4),
                     want);
    db_client_close(client);
}
END_TEST

START_TEST(rows_that_came_before_their_month_do_not_stop_the_start)
{
    Err err = {0};
    DbClient *client = pg_client(pg_database(true));
    pg_value(client, ADD_FEEDBACK, "now() + interval '70 days'", 5); /* into the default */
    pg_value(client, "select partition_ensure(3)");
    ck_assert_msg(migrate_run(client, NULL, &arena, &err), "%s", err.detail);
    ck_assert_int_eq(pg_count(client, "select count(*) from feedback"), 1);
    db_client_close(client);
}
END_TEST

START_TEST(a_table_in_use_does_not_stop_the_start)
{
    const char *url = pg_database(true);
    DbClient *client = pg_client(url), *reader = pg_client(url);
    pg_value(reader, "begin");
    pg_value(reader, "select count(*) from feedback");                   /* a long export */
    ck_assert_int_eq(pg_count(client, "select partition_ensure(3)"), 2); /* impression's only */
    pg_value(reader, "commit");
    ck_assert_int_eq(pg_count(client, "select partition_ensure(3)"), 2);
    db_client_close(client);
    db_client_close(reader);
}
END_TEST

/* ---- transaction ids after a restore ---- */

START_TEST(ledger_ids_keep_rising_after_a_restore)
{
    Err err = {0};
    DbClient *client = pg_client(pg_database(true));
    pg_value(client, "insert into project (slug, title) values ('p', 'P')");
    pg_value(client, "insert into prompt values (1, gen_random_uuid(), '\"x\"', null, 0)");
    pg_value(client,
             "insert into feedback (project_id, id, impression_id, kind, choice, source, xid)"
             " values (1, gen_random_uuid(), gen_random_uuid(), 'judgment', 0, 'annotate',"
             " 5000000000)"); /* from a cluster that was far ahead */
    int64_t before = pg_count(client, "select ledger_xid()");
    ck_assert_int_lt(before, 5000000000);
    pg_value(client, "update ledger_cluster set system_identifier = 1");
    ck_assert(migrate_run(client, NULL, &arena, &err));
    int64_t after = pg_count(client, "select ledger_xid()");
    ck_assert_int_gt(after, 5000000000);
    ck_assert_int_gt(pg_count(client, "select ledger_xid()"), after);
    ck_assert_int_eq(pg_count(client, "select ledger_xmin() - ledger_xid()"), 0);
    ck_assert_str_eq(pg_value(client, "select schema_upkeep(1)"), "f"); /* once only */
    /* And on to a third cluster: above everything stored again. */
    pg_value(client, "update ledger_cluster set system_identifier = 2, xid_offset = 0");
    pg_value(client, "select schema_upkeep(1)");
    ck_assert_int_gt(pg_count(client, "select ledger_xid()"), 5000000000);
    db_client_close(client);
}
END_TEST

static int print_schema(void)
{
    char *text = dump(pg_database(true));
    if (!text) return 1;
    fputs(text, stdout);
    free(text);
    return 0;
}

int main(int argc, char **argv)
{
    arena_init(&arena, MiB(16));
    pg_start();
    if (argc > 1 && strcmp(argv[1], "--dump") == 0) return print_schema();
    Suite *suite = suite_create("migrations");
    TCase *cases = tcase_create("all");
    tcase_set_timeout(cases, 60);
    tcase_add_test(cases, migrating_twice_applies_nothing_the_second_time);
    tcase_add_test(cases, a_changed_migration_is_refused);
    tcase_add_test(cases, a_newer_database_is_refused);
    tcase_add_test(cases, a_migration_that_fails_leaves_nothing_of_itself);
    tcase_add_test(cases, several_at_once_apply_each_migration_once);
    tcase_add_test(cases, migrations_reproduce_schema_sql);
    tcase_add_test(cases, rows_go_to_the_month_their_id_carries);
    tcase_add_test(cases, partitions_come_ahead_and_only_once);
    tcase_add_test(cases, rows_that_came_before_their_month_do_not_stop_the_start);
    tcase_add_test(cases, a_table_in_use_does_not_stop_the_start);
    tcase_add_test(cases, ledger_ids_keep_rising_after_a_restore);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_NOFORK);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    arena_release(&arena);
    return failed ? 1 : 0;
}
