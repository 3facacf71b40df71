/* test_rows.c - values as they come from PostgreSQL, in text and in binary, errors in our words,
 * and the blocking client. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include "../../server/db/internal.h"
#include "../support/pg.h"

static DbClient *client;
static Arena arena;
static Err err;

static void setup(void)
{
    client = pg_client(pg_database(true));
}

static void teardown(void)
{
    db_client_close(client);
    arena_reset(&arena);
}

static Rows *query_text(const char *text)
{
    PGresult *result = db_client_exec(client, text, NULL, 0, &arena, &err);
    ck_assert_msg(result != NULL, "%s: %s", text, err.detail);
    return rows_from(result);
}

static Rows *query_binary(const char *text)
{
    PGresult *result = PQexecParams(client->conn, text, 0, NULL, NULL, NULL, NULL, 1);
    ck_assert_msg(result_ok(result), "%s: %s", text, PQresultErrorMessage(result));
    return rows_from(result);
}

/* ---- rows as JSON ---- */

typedef struct Rendered {
    const char *sql;
    const char *json;
} Rendered;

static const Rendered rendered[] = {
    {"select true as a, false as b", "{\"a\":true,\"b\":false}"},
    {"select 1::smallint as a, -2 as b, 9007199254740993::bigint as c",
     "{\"a\":1,\"b\":-2,\"c\":9007199254740993}"},
    {"select 0.5::float4 as a, 1e100::float8 as b, 1.50::numeric as c",
     "{\"a\":0.5,\"b\":1e+100,\"c\":1.50}"},
    {"select 'NaN'::float8 as a, '-Infinity'::float8 as b, 'NaN'::numeric as c",
     "{\"a\":null,\"b\":null,\"c\":null}"},
    {"select null::text as a, '' as b", "{\"a\":null,\"b\":\"\"}"},
    {"select e'quote \" back \\\\ tab \\t \\x01 한국' as a",
     "{\"a\":\"quote \\\" back \\\\ tab \\t \\u0001 한국\"}"},
    {"select '{\"b\": 1,  \"a\":2}'::json as a, '{\"b\": 1, \"a\": 2}'::jsonb as b",
     "{\"a\":{\"b\": 1,  \"a\":2},\"b\":{\"a\": 2, \"b\": 1}}"},
    {"select '2026-11-21 19:00:00.5+09'::timestamptz as a, '2026-11-21 10:00:00Z'::timestamptz as "
     "b",
     "{\"a\":\"2026-11-21T10:00:00.5Z\",\"b\":\"2026-11-21T10:00:00Z\"}"},
    {"select 'infinity'::timestamptz as a", "{\"a\":\"infinity\"}"},
    {"select '01900000-0000-7000-8000-0123456789ab'::uuid as id",
     "{\"id\":\"01900000-0000-7000-8000-0123456789ab\"}"},
    {"select 1 as _hidden, 2 as shown, 3 as _also", "{\"shown\":2}"},
    {"select 1 as _hidden", "{}"},
};

START_TEST(a_row_becomes_json)
{
    Buf out;
    buf_init(&out, MiB(1));
    Rows *rows = query_text(rendered[_i].sql);
    rows_put_object(&out, rows, 0);
    buf_put_char(&out, '\0');
    ck_assert_str_eq(out.data, rendered[_i].json);
    buf_release(&out);
    rows_release(rows);
}
END_TEST

/* ---- values ---- */

static const char values_sql[] =
    "select 7::smallint as i2, -70000 as i4, 5000000000 as i8, 1.5::float8 as f8, 0.25::float4 as "
    "f4,"
    " true as yes, '01900000-0000-7000-8000-0123456789ab'::uuid as id, '\\x00ff10'::bytea as bytes,"
    " null::integer as nothing, 'text' as t";

static void check_values(const Rows *rows)
{
    uint8_t bytes[2] = {9, 9};
    char id[UUID_CHARS + 1];
    ck_assert_int_eq(rows_count(rows), 1);
    ck_assert_int_eq(rows_int(rows, 0, rows_column(rows, "i2")), 7);
    ck_assert_int_eq(rows_int(rows, 0, rows_column(rows, "i4")), -70000);
    ck_assert_int_eq(rows_int(rows, 0, rows_column(rows, "i8")), 5000000000);
    ck_assert(rows_real(rows, 0, rows_column(rows, "f8")) == 1.5);
    ck_assert(rows_real(rows, 0, rows_column(rows, "f4")) == 0.25);
    ck_assert(rows_bool(rows, 0, rows_column(rows, "yes")));
    uuid_write(rows_uuid(rows, 0, rows_column(rows, "id")), id);
    ck_assert_str_eq(id, "01900000-0000-7000-8000-0123456789ab");
    /* The whole length is told; no more than there is room for is written. */
    ck_assert_uint_eq(rows_bytea(rows, 0, rows_column(rows, "bytes"), bytes, sizeof bytes), 3);
    ck_assert(bytes[0] == 0 && bytes[1] == 0xff);
    int nothing = rows_column(rows, "nothing");
    ck_assert(rows_is_null(rows, 0, nothing) && rows_int(rows, 0, nothing) == 0);
    ck_assert_ptr_null(rows_text(rows, 0, nothing).ptr);
    ck_assert(str_is(rows_text(rows, 0, rows_column(rows, "t")), "text"));
    ck_assert_int_eq(rows_column(rows, "absent"), -1);
    ck_assert(rows_is_null(rows, 0, -1) && rows_is_null(rows, 1, 0)); /* no such place */
}

START_TEST(values_read_the_same_in_text_and_binary)
{
    Rows *text = query_text(values_sql), *binary = query_binary(values_sql);
    check_values(text);
    check_values(binary);
    rows_release(text);
    rows_release(binary);
}
END_TEST

START_TEST(arrays_read_in_binary)
{
    RowArray array;
    Str element;
    Rows *rows = query_binary("select array[3, null, -1]::smallint[] as a, '{}'::uuid[] as empty,"
                              " array['x', '', '한']::text[] as texts, null::integer[] as nothing,"
                              " array[[1, 2], [3, 4]] as matrix,"
                              " array['2026-11-21 10:00:00.25Z']::timestamptz[] as times");
    ck_assert(rows_array(rows, 0, 0, &array));
    ck_assert_int_eq(array.count, 3);
    ck_assert(row_array_next(&array, &element) && row_element_int(element) == 3);
    ck_assert(row_array_next(&array, &element) && !element.ptr);
    ck_assert(row_array_next(&array, &element) && row_element_int(element) == -1);
    ck_assert(!row_array_next(&array, &element));
    ck_assert(rows_array(rows, 0, 1, &array) && array.count == 0);
    ck_assert(!row_array_next(&array, &element));
    ck_assert(rows_array(rows, 0, 2, &array) && array.count == 3);
    ck_assert(row_array_next(&array, &element) && str_is(element, "x"));
    ck_assert(row_array_next(&array, &element) && element.ptr && element.len == 0);
    ck_assert(row_array_next(&array, &element) && str_is(element, "한"));
    ck_assert(!rows_array(rows, 0, 3, &array));
    ck_assert(!rows_array(rows, 0, 4, &array)); /* one dimension only */
    ck_assert(rows_array(rows, 0, 5, &array) && row_array_next(&array, &element));
    ck_assert_int_eq(row_element_time(element), 1795255200250000);
    rows_release(rows);
    rows = query_text("select array[1] as a");
    ck_assert(!rows_array(rows, 0, 0, &array));
    rows_release(rows);
}
END_TEST

/* ---- errors ---- */

typedef struct Mapped {
    const char *sql;
    ErrCode code;
    const char *pointer;
    const char *detail; /* NULL: any */
} Mapped;

#define RAISE(state, message, hint)                                                                \
    "do $$ begin raise exception '" message "' using errcode = '" state "', hint = '" hint         \
    "'; end $$"

static const Mapped mapped[] = {
    {RAISE("AL422", "too many", "/count"), ERR_invalid, "/count", "too many"},
    {RAISE("AL409", "was there", ""), ERR_conflict, NULL, "was there"},
    {RAISE("AL403", "not yours", ""), ERR_forbidden, NULL, "not yours"},
    {RAISE("AL404", "nothing here", ""), ERR_not_found, NULL, NULL},
    {RAISE("AL410", "used up", ""), ERR_gone, NULL, NULL},
    {RAISE("AL999", "unheard of", ""), ERR_internal, NULL, NULL},
    {RAISE("40001", "x", ""), ERR_unavailable, NULL, NULL},
    {RAISE("40P01", "x", ""), ERR_unavailable, NULL, NULL},
    {RAISE("53100", "disk full", ""), ERR_unavailable, NULL, NULL},
    {RAISE("53300", "too many connections", ""), ERR_unavailable, NULL, NULL},
    {RAISE("57P01", "shutting down", ""), ERR_unavailable, NULL, NULL},
    {RAISE("57014", "cancelled", ""), ERR_timeout, NULL, NULL},
    {RAISE("XX000", "a bug", ""), ERR_internal, NULL, NULL},
    {"select 1 / 0", ERR_invalid, NULL, "division by zero"},
    {"select 'x'::uuid", ERR_invalid, NULL, NULL},
    {"select nothing from nowhere", ERR_internal, NULL, NULL},
    {"insert into project (slug, title) values ('UPPER', 't')", ERR_invalid, "/slug", NULL},
    {"insert into session values (sha256(''), gen_random_uuid(), now(), now())", ERR_not_found,
     NULL, NULL},
    {"insert into account (id, login, name) values (null, 'abc', 'n')", ERR_invalid, NULL, NULL},
};

START_TEST(an_error_becomes_ours)
{
    const Mapped *want = &mapped[_i];
    ck_assert(!db_client_script(client, want->sql, &arena, &err));
    ck_assert_msg(err.code == want->code, "%s: %s, %s", want->sql, err_name(err.code), err.detail);
    if (want->detail) ck_assert_str_eq(err.detail, want->detail);
    if (want->pointer) ck_assert_str_eq(err.pointer, want->pointer);
    if (!want->pointer) ck_assert_ptr_null(err.pointer);
}
END_TEST

/* ---- the blocking client ---- */

static bool count_rows(void *context, const Rows *row)
{
    int *left = context;
    ck_assert_int_eq(rows_count(row), 1);
    return --*left > 0;
}

START_TEST(the_client_streams_and_may_stop_early)
{
    pg_value(client, "insert into account (id, login, name, is_admin) values"
                     " ('00000000-0000-7000-8000-000000000001', 'admin', 'A', true)");
    pg_value(client, "insert into account (id, login, name) select gen_random_uuid(), 'user-' || i,"
                     " 'N' from generate_series(1, 50000) as i");
    const DbParam params[] = {db_text(STR("00000000-0000-7000-8000-000000000001")), db_null(),
                              db_int(1000000)};
    int left = 100000;
    ck_assert(db_client_stream(client, SQL_account_list, params, LEN(params), count_rows, &left,
                               &arena, &err));
    ck_assert_int_eq(left, 100000 - 50001);
    left = 10;
    ck_assert(db_client_stream(client, SQL_account_list, params, LEN(params), count_rows, &left,
                               &arena, &err));
    ck_assert_int_eq(left, 0);
    const DbParam bad[] = {db_text(STR("no uuid")), db_null(), db_int(1)};
    ck_assert(!db_client_stream(client, SQL_account_list, bad, LEN(bad), count_rows, &left, &arena,
                                &err));
    ck_assert_int_eq(err.code, ERR_invalid);
    ck_assert_int_eq(pg_count(client, "select count(*) from account"), 50001); /* still usable */
}
END_TEST

START_TEST(a_client_without_a_server_says_why)
{
    ck_assert_ptr_null(db_client_open("host=/nonexistent dbname=x", &arena, &err));
    ck_assert_int_eq(err.code, ERR_unavailable);
    ck_assert_ptr_nonnull(strstr(err.detail, "/nonexistent"));
    ck_assert_ptr_null(strchr(err.detail, '\n'));
}
END_TEST

int main(void)
{
    pg_start();
    arena_init(&arena, MiB(16));
    Suite *suite = suite_create("rows");
    TCase *cases = tcase_create("all");
    tcase_add_unchecked_fixture(cases, setup, teardown);
    tcase_set_timeout(cases, 60);
    tcase_add_loop_test(cases, a_row_becomes_json, 0, LEN(rendered));
    tcase_add_test(cases, values_read_the_same_in_text_and_binary);
    tcase_add_test(cases, arrays_read_in_binary);
    tcase_add_loop_test(cases, an_error_becomes_ours, 0, LEN(mapped));
    tcase_add_test(cases, the_client_streams_and_may_stop_early);
    tcase_add_test(cases, a_client_without_a_server_says_why);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_NOFORK);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    arena_release(&arena);
    return failed ? 1 : 0;
}
