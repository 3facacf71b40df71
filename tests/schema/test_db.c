/* test_db.c - lanes and streams against a real PostgreSQL: what is answered, and when it breaks. */
#include <check.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "../../server/base/clock.h"
#include "../../server/base/metrics.h"
#include "../support/pg.h"

enum { WAIT_MS = 15000, LANES = 4, ANSWERS_MAX = DB_QUEUE_MAX + 16 };

/* What came back for one send. */
typedef struct Answer {
    int calls;
    bool ok;
    int rows;
    ErrCode code;
    char detail[160];
    char pointer[32];
    int order;
} Answer;

static Answer answers[ANSWERS_MAX];
static int answered;
static Db *db;
static DbClient *other; /* a connection beside the Db, for looking and for locking */

static void on_done(void *context, const Rows *rows, const Err *err)
{
    Answer *answer = context;
    answer->calls++;
    answer->ok = err == NULL;
    answer->rows = rows ? rows_count(rows) : -1;
    answer->order = answered++;
    ck_assert((rows == NULL) == (err != NULL));
    if (!err) return;
    answer->code = err->code;
    snprintf(answer->detail, sizeof answer->detail, "%s", err->detail);
    snprintf(answer->pointer, sizeof answer->pointer, "%s", err->pointer ? err->pointer : "");
}

static void turn(void)
{
    struct pollfd wait = {.fd = db_fd(db), .events = POLLIN};
    int timeout = db_timeout_ms(db);
    (void)poll(&wait, 1, timeout < 0 || timeout > 20 ? 20 : timeout);
    db_pump(db);
}

static void pump_until_answered(int count)
{
    int64_t give_up_us = clock_monotonic_us() + (int64_t)WAIT_MS * 1000;
    while (answered < count) {
        turn();
        ck_assert_msg(clock_monotonic_us() < give_up_us, "%d of %d answered", answered, count);
    }
}

static void pump_until_ready(void)
{
    int64_t give_up_us = clock_monotonic_us() + (int64_t)WAIT_MS * 1000;
    /* every lane, or one that is still preparing would wait for a table that a test locks */
    while (!db_ready(db) || metric_value(METRIC_db_connected) < LANES) {
        turn();
        ck_assert_msg(clock_monotonic_us() < give_up_us, "not ready");
    }
}

static void pump_for_ms(int ms)
{
    int64_t until_us = clock_monotonic_us() + (int64_t)ms * 1000;
    while (clock_monotonic_us() < until_us) turn();
}

static void setup(void)
{
    const char *url = pg_database(true);
    const DbOptions options = {.url = url, .stream_max = 2};
    memset(answers, 0, sizeof answers);
    answered = 0;
    other = pg_client(url);
    db = db_open(&options);
    ck_assert_ptr_nonnull(db);
}

static void teardown(void)
{
    db_close(db);
    db_client_close(other);
    db = NULL;
}

static bool send_account(const char *login, Answer *answer, Err *err)
{
    Uuid id = uuid_new();
    const DbParam params[] = {db_uuid(id),
                              db_text(str_from(login)),
                              db_text(STR("Name")),
                              db_bool(false),
                              db_null(),
                              db_uuid(uuid_new()),
                              db_null(),
                              db_null()};
    return db_send(db, SQL_account_add, params, LEN(params), on_done, answer, err);
}

static void must_send_account(const char *login, Answer *answer)
{
    Err err = {0};
    ck_assert_msg(send_account(login, answer, &err), "%s", err.detail);
}

static void must_send_read(Answer *answer)
{
    Err err = {0};
    const DbParam params[] = {db_text(STR("somebody"))};
    ck_assert(db_send(db, SQL_account_find_login, params, 1, on_done, answer, &err));
}

static int64_t accounts(void)
{
    return pg_count(other, "select count(*) from account");
}

START_TEST(sends_before_the_connection_stands_are_answered)
{
    must_send_account("early", &answers[0]);
    must_send_read(&answers[1]);
    pump_until_answered(2);
    ck_assert(answers[0].ok && answers[1].ok);
    ck_assert_int_eq(answers[0].rows, 1);
    ck_assert_int_eq(answers[1].rows, 0);
    ck_assert(db_idle(db));
}
END_TEST

START_TEST(reads_are_answered_in_order)
{
    for (int i = 0; i < 500; i++) must_send_read(&answers[i]);
    pump_until_answered(500);
    for (int i = 0; i < 500; i++) {
        ck_assert(answers[i].ok);
        ck_assert_int_eq(answers[i].order, i);
    }
}
END_TEST

/* 2xx means committed: another connection must see the row when done has been called. */
static void on_done_look(void *context, const Rows *rows, const Err *err)
{
    on_done(context, rows, err);
    ck_assert_int_eq(pg_count(other, "select count(*) from account where login = 'durable'"), 1);
}

START_TEST(done_runs_after_the_commit)
{
    Err err = {0};
    const DbParam params[] = {db_uuid(uuid_new()), db_text(STR("durable")),
                              db_text(STR("N")),   db_bool(true),
                              db_null(),           db_uuid(uuid_new()),
                              db_null(),           db_null()};
    for (int i = 0; i < 20; i++) {
        char login[24];
        snprintf(login, sizeof login, "beside-%d", i);
        must_send_account(login, &answers[i]);
    }
    ck_assert(db_send(db, SQL_account_add, params, LEN(params), on_done_look, &answers[20], &err));
    pump_until_answered(21);
    ck_assert(answers[20].ok);
}
END_TEST

START_TEST(writes_share_commits)
{
    pump_until_ready();
    for (int i = 0; i < 640; i++) {
        char login[24];
        snprintf(login, sizeof login, "shared-%d", i);
        must_send_account(login, &answers[i]);
    }
    pump_until_answered(640);
    ck_assert_int_eq(accounts(), 640);
    int64_t commits = pg_count(other, "select count(distinct xmin::text) from account");
    ck_assert_int_eq(commits, 640 / DB_BATCH_MAX);
}
END_TEST

START_TEST(a_batch_fails_only_its_culprits)
{
    pump_until_ready();
    for (int i = 0; i < 64; i++) {
        char login[24];
        snprintf(login, sizeof login, "login-%d", i == 40 ? 7 : i); /* 40 takes the login of 7 */
        must_send_account(i == 20 ? "NOT VALID" : login, &answers[i]);
    }
    pump_until_answered(64);
    for (int i = 0; i < 64; i++) {
        ck_assert_int_eq(answers[i].calls, 1);
        ck_assert_int_eq(answers[i].ok, i != 20 && i != 40);
    }
    ck_assert_int_eq(answers[40].code, ERR_conflict);
    ck_assert_str_eq(answers[40].pointer, "/login");
    ck_assert_str_eq(answers[40].detail, "this login is taken");
    ck_assert_int_eq(answers[20].code, ERR_invalid);
    ck_assert_str_eq(answers[20].pointer, "/login");
    ck_assert_int_eq(accounts(), 62);
}
END_TEST

static void must_send_judgment(const char *lease, const char *choice, Answer *answer)
{
    Err err = {0};
    const DbParam params[] = {db_text(str_from(lease)), db_uuid(uuid_new()), db_uuid(uuid_new()),
                              db_text(str_from(choice)), db_null(), db_null(), db_int(1)};
    bool sent =
        db_send(db, SQL_judgment_put, params, LEN(params), on_done, answer, &err);
    ck_assert_msg(sent, "%s", err.detail);
}

START_TEST(merged_statements_share_one_execution_and_fail_alone)
{
    pump_until_ready();
    int64_t before = metric_value(METRIC_db_statements_total);
    for (int i = 0; i < 300; i++) /* texts that an array literal must quote */
        must_send_judgment("019a0000-0000-7000-8000-000000000001",
                           i % 3 == 0 ? NULL : i % 3 == 1 ? "\"\\{,}" : "null", &answers[i]);
    pump_until_answered(300);
    for (int i = 0; i < 300; i++) {
        ck_assert_msg(answers[i].ok, "%d: %s", i, answers[i].detail);
        ck_assert_int_eq(answers[i].rows, 0); /* no such lease */
    }
    int64_t statements = metric_value(METRIC_db_statements_total) - before;
    ck_assert_msg(statements <= 3, "%lld statements", (long long)statements);

    answered = 0;
    memset(answers, 0, sizeof answers);
    for (int i = 0; i < 20; i++)
        must_send_judgment(i == 7 ? "nonsense" : "019a0000-0000-7000-8000-000000000001", "A",
                           &answers[i]);
    pump_until_answered(20);
    for (int i = 0; i < 20; i++) {
        ck_assert_int_eq(answers[i].calls, 1);
        ck_assert_int_eq(answers[i].ok, i != 7);
    }
    ck_assert_int_eq(answers[7].code, ERR_invalid);
}
END_TEST

START_TEST(a_deadlock_with_another_writer_is_tried_again)
{
    /* The lane looks for deadlocks after 2 s, its opponent after 5: so the batch is the victim. */
    pump_until_ready();
    pg_value(other, "alter role current_user set deadlock_timeout = '2s'");
    pg_value(other, "select count(pg_terminate_backend(pid)) from pg_stat_activity"
                    " where backend_type = 'client backend' and pid <> pg_backend_pid()");
    pump_for_ms(300);
    pump_until_ready();
    pg_value(other, "alter role current_user reset deadlock_timeout");
    pg_value(other, "insert into account (id, login, name) values (gen_random_uuid(), 'aaa', 'n'),"
                    " (gen_random_uuid(), 'bbb', 'n')");
    char first[48], second[48];
    snprintf(first, sizeof first, "%s",
             pg_value(other, "select id from account where login='aaa'"));
    snprintf(second, sizeof second, "%s",
             pg_value(other, "select id from account where login='bbb'"));
    /* The other transaction holds bbb and then wants aaa; the batch takes aaa, then bbb. */
    pg_value(other, "set deadlock_timeout = '5s'");
    pg_value(other, "begin");
    pg_value(other, "update account set name = 'x' where login = 'bbb'");
    const char *ids[] = {first, second};
    for (int i = 0; i < 2; i++) {
        Err err = {0};
        const DbParam params[] = {db_text(str_from(ids[i])),
                                  db_text(STR("renamed")),
                                  db_null(),
                                  db_null(),
                                  db_null(),
                                  db_uuid(uuid_new())};
        ck_assert(db_send(db, SQL_account_update, params, LEN(params), on_done, &answers[i], &err));
    }
    pump_for_ms(300); /* the batch now holds aaa and waits for bbb */
    ck_assert_int_eq(answered, 0);
    pg_value(other, "update account set name = 'y' where login = 'aaa'"); /* until it is chosen */
    pump_for_ms(100);
    pg_value(other, "commit");
    pump_until_answered(2);
    ck_assert(answers[0].ok && answers[1].ok);
    ck_assert_int_eq(pg_count(other, "select count(*) from account where name = 'renamed'"), 2);
}
END_TEST

START_TEST(a_terminated_batch_is_answered_unavailable_and_the_lane_comes_back)
{
    pump_until_ready();
    pg_value(other, "begin");
    pg_value(other, "lock table account in access exclusive mode");
    for (int i = 0; i < 10; i++) {
        char login[24];
        snprintf(login, sizeof login, "cut-%d", i);
        must_send_account(login, &answers[i]);
    }
    pump_for_ms(200);
    ck_assert_int_eq(answered, 0);
    pg_value(other, "select pg_terminate_backend(pid) from pg_stat_activity"
                    " where application_name = 'aileron write' and datname = current_database()");
    pump_until_answered(10);
    for (int i = 0; i < 10; i++) {
        ck_assert_int_eq(answers[i].calls, 1);
        ck_assert_int_eq(answers[i].code, ERR_unavailable);
    }
    pg_value(other, "rollback");
    ck_assert_int_eq(accounts(), 0);
    must_send_account("after", &answers[10]);
    pump_until_answered(11);
    ck_assert_msg(answers[10].ok, "%s", answers[10].detail);
    ck_assert_int_eq(accounts(), 1);
}
END_TEST

START_TEST(idle_lanes_notice_a_terminated_connection_without_spinning)
{
    pump_until_ready();
    pg_value(other, "select count(pg_terminate_backend(pid)) from pg_stat_activity"
                    " where application_name like 'aileron %%' and pid <> pg_backend_pid()"
                    " and application_name <> 'aileron command'");
    pump_for_ms(300);
    pump_until_ready();
    int turns = 0;
    int64_t until_us = clock_monotonic_us() + 200000;
    while (clock_monotonic_us() < until_us) {
        turn();
        turns++;
    }
    ck_assert_int_lt(turns, 50);
    must_send_read(&answers[0]);
    pump_until_answered(1);
    ck_assert(answers[0].ok);
}
END_TEST

START_TEST(a_full_queue_refuses)
{
    pump_until_ready();
    pg_value(other, "begin");
    pg_value(other, "lock table account in access exclusive mode");
    Err err = {0};
    for (int i = 0; i < DB_QUEUE_MAX; i++) must_send_read(&answers[i]);
    const DbParam params[] = {db_text(STR("x"))};
    ck_assert(
        !db_send(db, SQL_account_find_login, params, 1, on_done, &answers[DB_QUEUE_MAX], &err));
    ck_assert_int_eq(err.code, ERR_unavailable);
    pump_for_ms(50);
    pg_value(other, "rollback");
    pump_until_answered(DB_QUEUE_MAX);
    ck_assert_int_eq(answers[DB_QUEUE_MAX].calls, 0);
    for (int i = 0; i < DB_QUEUE_MAX; i++) ck_assert(answers[i].ok);
}
END_TEST

START_TEST(a_slow_read_times_out_and_its_neighbours_do_not)
{
    pump_until_ready();
    pg_value(other, "begin");
    pg_value(other, "lock table account in access exclusive mode");
    must_send_read(&answers[0]);
    pump_until_answered(1);
    ck_assert_int_eq(answers[0].code, ERR_timeout);
    pg_value(other, "rollback");
    must_send_read(&answers[1]);
    pump_until_answered(2);
    ck_assert(answers[1].ok);
}
END_TEST

START_TEST(large_parameters_go_out_while_answers_come_in)
{
    char *name = malloc(MiB(1));
    ck_assert_ptr_nonnull(name);
    memset(name, 'x', MiB(1));
    for (int i = 0; i < 40; i++) { /* 40 MiB through one socket; every one is refused */
        Err err = {0};
        const DbParam params[] = {db_uuid(uuid_new()),
                                  db_text(STR("big")),
                                  db_text((Str){name, MiB(1)}),
                                  db_bool(false),
                                  db_null(),
                                  db_uuid(uuid_new()),
                                  db_null(),
                                  db_null()};
        ck_assert(db_send(db, SQL_account_add, params, LEN(params), on_done, &answers[i], &err));
    }
    pump_until_answered(40);
    for (int i = 0; i < 40; i++) ck_assert_str_eq(answers[i].pointer, "/name");
    free(name);
}
END_TEST

START_TEST(closing_answers_everything)
{
    pump_until_ready();
    pg_value(other, "begin");
    pg_value(other, "lock table account in access exclusive mode");
    must_send_account("never", &answers[0]);
    must_send_read(&answers[1]);
    pump_for_ms(50);
    must_send_account("waiting", &answers[2]);
    db_close(db);
    db = NULL;
    ck_assert_int_eq(answered, 3);
    for (int i = 0; i < 3; i++) ck_assert_int_eq(answers[i].code, ERR_unavailable);
    pg_value(other, "rollback");
}
END_TEST

START_TEST(a_killed_postmaster_is_unavailable_at_once_and_recovered_from)
{
    must_send_account("before", &answers[0]);
    pump_until_answered(1);
    db_client_close(other);
    other = NULL;
    pg_kill9();
    int64_t lost_us = clock_monotonic_us();
    while (db_ready(db)) turn();
    pump_for_ms(100);
    Err err = {0};
    ck_assert(!send_account("meanwhile", &answers[1], &err)); /* refused, not queued for ever */
    ck_assert_int_eq(err.code, ERR_unavailable);
    ck_assert_int_lt(clock_monotonic_us() - lost_us, 3000000);
    pg_revive();
    pump_until_ready();
    must_send_read(&answers[2]);
    must_send_account("after", &answers[3]);
    pump_until_answered(3);
    ck_assert(answers[2].ok && answers[3].ok);
}
END_TEST

/* ---- streams ---- */

enum { STREAM_ACCOUNTS = 200000 };

/* Sinks are static: a test that fails leaves its stream to teardown, which still calls done. */
typedef struct Sink {
    int64_t rows;
    int64_t pause_every; /* 0: never */
    bool paused;
    int done;
    bool ok;
    ErrCode code;
} Sink;

static bool sink_row(void *context, const Rows *row)
{
    Sink *sink = context;
    ck_assert_int_eq(rows_count(row), 1);
    ck_assert_int_eq((int)rows_text(row, 0, 0).len, 16); /* a uuid in binary */
    sink->rows++;
    sink->paused = sink->pause_every > 0 && sink->rows % sink->pause_every == 0;
    return !sink->paused;
}

static void sink_done(void *context, const Rows *rows, const Err *err)
{
    Sink *sink = context;
    ck_assert_ptr_null(rows);
    sink->done++;
    sink->ok = err == NULL;
    sink->code = err ? err->code : ERR_none;
}

static void add_accounts(int count)
{
    pg_value(other, "insert into account (id, login, name, is_admin)"
                    " values ('00000000-0000-7000-8000-000000000001', 'admin', 'A', true)");
    pg_value(other,
             "insert into account (id, login, name)"
             " select gen_random_uuid(), 'user-' || i, repeat('n', 90)"
             " from generate_series(1, %d) as i",
             count);
}

static DbStream *open_stream(Sink *sink, Err *err)
{
    const DbParam params[] = {db_text(STR("00000000-0000-7000-8000-000000000001")), db_null(),
                              db_int(10000000)};
    return db_stream_open(db, SQL_account_list, params, LEN(params), sink_row, sink_done, sink,
                          err);
}

static void pump_until_done(Sink *sink)
{
    int64_t give_up_us = clock_monotonic_us() + (int64_t)WAIT_MS * 1000;
    while (!sink->done) {
        turn();
        ck_assert_msg(clock_monotonic_us() < give_up_us, "%ld rows", (long)sink->rows);
    }
}

START_TEST(a_stream_delivers_every_row_and_keeps_its_connection)
{
    Err err = {0};
    add_accounts(5000);
    for (int i = 0; i < 3; i++) {
        static Sink sink;
        sink = (Sink){0};
        ck_assert_ptr_nonnull(open_stream(&sink, &err));
        pump_until_done(&sink);
        ck_assert(sink.ok);
        ck_assert_int_eq(sink.rows, 5001);
        pump_for_ms(30);
    }
    ck_assert_int_eq(pg_count(other, "select count(*) from pg_stat_activity"
                                     " where application_name = 'aileron stream'"
                                     " and datname = current_database()"),
                     1);
    ck_assert_str_eq(pg_value(other, "select state from pg_stat_activity where application_name ="
                                     " 'aileron stream' and datname = current_database()"),
                     "idle");
}
END_TEST

START_TEST(a_kept_stream_connection_that_died_is_replaced_unseen)
{
    Err err = {0};
    static Sink first, second;
    add_accounts(10);
    ck_assert_ptr_nonnull(open_stream(&first, &err));
    pump_until_done(&first);
    pump_for_ms(30);
    pg_value(other, "select pg_terminate_backend(pid, 1000) from pg_stat_activity where"
                    " application_name = 'aileron stream' and datname = current_database()");
    ck_assert_ptr_nonnull(open_stream(&second, &err)); /* before the Db could notice */
    pump_until_done(&second);
    ck_assert(second.ok);
    ck_assert_int_eq(second.rows, 11);
}
END_TEST

/* Resident memory; not telling under a sanitizer, which keeps freed blocks for a while. */
static int64_t resident_kib(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return 0;
#endif
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(fscanf(file, "%*d %ld", &pages), 1);
    fclose(file);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

START_TEST(a_paused_stream_reads_nothing_and_the_server_waits)
{
    Err err = {0};
    static Sink sink = {.pause_every = 100};
    add_accounts(STREAM_ACCOUNTS);
    DbStream *stream = open_stream(&sink, &err);
    ck_assert_ptr_nonnull(stream);
    while (!sink.paused) turn();
    int64_t before_kib = resident_kib();
    pump_for_ms(500);
    ck_assert_int_eq(sink.rows, 100);
    ck_assert_str_eq(pg_value(other, "select wait_event from pg_stat_activity where"
                                     " application_name = 'aileron stream'"
                                     " and datname = current_database()"),
                     "ClientWrite");
    /* A slow reader: many resumes must not let libpq's buffer run ahead of it. */
    for (int i = 0; i < 500; i++) {
        db_stream_resume(stream);
        sink.paused = false;
        while (!sink.paused) turn();
    }
    ck_assert_int_eq(sink.rows, 100 + 500 * 100);
    ck_assert_int_lt(resident_kib() - before_kib, 2048);
    sink.pause_every = 0;
    db_stream_resume(stream);
    pump_until_done(&sink);
    ck_assert(sink.ok);
    ck_assert_int_eq(sink.rows, STREAM_ACCOUNTS + 1);
}
END_TEST

START_TEST(a_cancelled_stream_frees_its_place_and_its_backend)
{
    Err err = {0};
    static Sink sinks[3] = {{.pause_every = 10}, {.pause_every = 10}, {0}};
    add_accounts(STREAM_ACCOUNTS);
    DbStream *first = open_stream(&sinks[0], &err);
    ck_assert_ptr_nonnull(first);
    ck_assert_ptr_nonnull(open_stream(&sinks[1], &err));
    ck_assert_ptr_null(open_stream(&sinks[2], &err)); /* stream_max is 2 */
    ck_assert_int_eq(err.code, ERR_unavailable);
    while (!sinks[0].paused) turn();
    db_stream_cancel(first);
    ck_assert_ptr_nonnull(open_stream(&sinks[2], &err));
    pump_until_done(&sinks[2]);
    ck_assert(sinks[2].ok);
    ck_assert_int_eq(sinks[0].done, 0);
    ck_assert_int_eq(pg_count(other, "select count(*) from pg_stat_activity"
                                     " where application_name = 'aileron stream'"
                                     " and datname = current_database()"),
                     2);
}
END_TEST

START_TEST(a_stream_cut_in_the_middle_says_so)
{
    Err err = {0};
    static Sink sink = {.pause_every = 1000};
    add_accounts(STREAM_ACCOUNTS);
    DbStream *stream = open_stream(&sink, &err);
    ck_assert_ptr_nonnull(stream);
    while (!sink.paused) turn();
    pg_value(other, "select pg_terminate_backend(pid, 1000) from pg_stat_activity where"
                    " application_name = 'aileron stream' and datname = current_database()");
    sink.pause_every = 0;
    db_stream_resume(stream);
    pump_until_done(&sink);
    ck_assert(!sink.ok);
    ck_assert_int_eq(sink.code, ERR_unavailable);
    ck_assert_int_lt(sink.rows, STREAM_ACCOUNTS);
}
END_TEST

START_TEST(a_stream_sees_one_moment)
{
    Err err = {0};
    static Sink sink = {.pause_every = 100};
    add_accounts(20000);
    DbStream *stream = open_stream(&sink, &err);
    ck_assert_ptr_nonnull(stream);
    while (!sink.paused) turn();
    pg_value(other, "delete from account where login like 'user-9%%'");
    sink.pause_every = 0;
    db_stream_resume(stream);
    pump_until_done(&sink);
    ck_assert_int_eq(sink.rows, 20001);
}
END_TEST

int main(void)
{
    pg_start();
    Suite *suite = suite_create("db");
    TCase *lanes = tcase_create("lanes");
    tcase_add_checked_fixture(lanes, setup, teardown);
    tcase_set_timeout(lanes, 60);
    tcase_add_test(lanes, sends_before_the_connection_stands_are_answered);
    tcase_add_test(lanes, reads_are_answered_in_order);
    tcase_add_test(lanes, done_runs_after_the_commit);
    tcase_add_test(lanes, writes_share_commits);
    tcase_add_test(lanes, a_batch_fails_only_its_culprits);
    tcase_add_test(lanes, merged_statements_share_one_execution_and_fail_alone);
    tcase_add_test(lanes, a_deadlock_with_another_writer_is_tried_again);
    tcase_add_test(lanes, a_terminated_batch_is_answered_unavailable_and_the_lane_comes_back);
    tcase_add_test(lanes, idle_lanes_notice_a_terminated_connection_without_spinning);
    tcase_add_test(lanes, a_full_queue_refuses);
    tcase_add_test(lanes, a_slow_read_times_out_and_its_neighbours_do_not);
    tcase_add_test(lanes, large_parameters_go_out_while_answers_come_in);
    tcase_add_test(lanes, closing_answers_everything);
    suite_add_tcase(suite, lanes);
    TCase *streams = tcase_create("streams");
    tcase_add_checked_fixture(streams, setup, teardown);
    tcase_set_timeout(streams, 60);
    tcase_add_test(streams, a_stream_delivers_every_row_and_keeps_its_connection);
    tcase_add_test(streams, a_kept_stream_connection_that_died_is_replaced_unseen);
    tcase_add_test(streams, a_paused_stream_reads_nothing_and_the_server_waits);
    tcase_add_test(streams, a_cancelled_stream_frees_its_place_and_its_backend);
    tcase_add_test(streams, a_stream_cut_in_the_middle_says_so);
    tcase_add_test(streams, a_stream_sees_one_moment);
    suite_add_tcase(suite, streams);
    TCase *crash = tcase_create("crash");
    tcase_add_checked_fixture(crash, setup, teardown);
    tcase_set_timeout(crash, 60);
    tcase_add_test(crash, a_killed_postmaster_is_unavailable_at_once_and_recovered_from);
    suite_add_tcase(suite, crash);
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_NOFORK); /* one cluster for all, owned by this process */
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
