/* test_queries.c - every statement of schema/queries on a freshly migrated database: it prepares,
 * its header tells the truth about its parameters, and its plan uses the indexes it names. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include "../support/pg.h"

enum { NAME_MAX_CHARS = 64, EXECUTE_MAX = 4096, FILL_MAX = 32768 };

static DbClient *client;

static void setup(void)
{
    client = pg_client(pg_database(true));
    FILE *file = fopen("tests/schema/fill.sql", "r");
    ck_assert_ptr_nonnull(file);
    char *text = calloc(1, FILL_MAX);
    ck_assert_ptr_nonnull(text);
    ck_assert_int_gt((int)fread(text, 1, FILL_MAX - 1, file), 0);
    fclose(file);
    pg_value(client, "%s", text);
    free(text);
}

static void teardown(void)
{
    db_client_close(client);
}

/* The next line of the header (the comments before the statement) that begins with prefix. */
static const char *next_header_line(const char *text, const char *prefix)
{
    while (text && strncmp(text, "--", 2) == 0) {
        if (strncmp(text, prefix, strlen(prefix)) == 0) return text;
        text = strchr(text, '\n');
        if (text) text++;
    }
    return NULL;
}

static const char *line_after(const char *line)
{
    const char *end = strchr(line, '\n');
    return end ? end + 1 : end;
}

/* How many parameters the header names, in order from $1; "$3..$9" names several. -1: a gap. */
static int header_parameters(const char *text)
{
    int count = 0;
    for (const char *line = text; (line = next_header_line(line, "-- $"));
         line = line_after(line)) {
        int first = 0, last = 0;
        int read = sscanf(line, "-- $%d..$%d", &first, &last);
        if (read < 1 || first != count + 1) return -1;
        count = read == 2 ? last : first;
    }
    return count;
}

static void prepare(SqlId id)
{
    pg_value(client, "deallocate all");
    pg_value(client, "prepare %s as %s", sql_name(id), sql_text(id));
}

/* A call of the prepared statement with a value of each parameter's type: nulls would let the
 * planner leave parts out. The uuids lie in the oldest partition. */
static void execute_text(char out[EXECUTE_MAX], SqlId id)
{
    const char *values =
        pg_value(client,
                 "select '(' || string_agg(quote_literal(case"
                 " when type::text like '%%[]' then '{}' when type = 'boolean'::regtype then 't'"
                 " when type = 'uuid'::regtype then '00000000-0000-7000-8000-000000000001'"
                 " when type in ('json'::regtype, 'jsonb'::regtype) then '{}'"
                 " when type = 'timestamptz'::regtype then '2026-01-01Z'"
                 " when type = 'text'::regtype then 'annotator' else '1' end), ', ' order by n)"
                 " || ')' from pg_prepared_statements,"
                 " unnest(parameter_types) with ordinality as t(type, n) where name = '%s'",
                 sql_name(id));
    ck_assert_int_lt(snprintf(out, EXECUTE_MAX, "explain (costs off) execute %s%s", sql_name(id),
                              values),
                     EXECUTE_MAX);
}

static int prepared_parameters(SqlId id)
{
    return (int)pg_count(client,
                         "select cardinality(parameter_types) from pg_prepared_statements"
                         " where name = '%s'",
                         sql_name(id));
}

START_TEST(every_statement_prepares_with_the_parameters_its_header_names)
{
    for (int i = 0; i < SQL_COUNT; i++) {
        SqlId id = (SqlId)i;
        ck_assert_msg(strncmp(sql_text(id), "-- lane: ", 9) == 0, "%s has no lane", sql_name(id));
        const char *purpose = line_after(sql_text(id));
        ck_assert_msg(strncmp(purpose, "-- ", 3) == 0 && purpose[3] != '$',
                      "%s does not say what it is for", sql_name(id));
        prepare(id);
        ck_assert_msg(header_parameters(sql_text(id)) == prepared_parameters(id),
                      "%s: its header names %d parameters, it has %d", sql_name(id),
                      header_parameters(sql_text(id)), prepared_parameters(id));
        ck_assert_int_le(prepared_parameters(id), DB_PARAMS_MAX);
    }
}
END_TEST

/* An index line: "-- index: NAME[, NAME…]". */
static void check_index_line(SqlId id, const char *line, const char *plan)
{
    char name[NAME_MAX_CHARS];
    const char *at = line + strlen("-- index:");
    int used = 0;
    while (*at == ' ' && sscanf(at + 1, "%63[a-z0-9_]%n", name, &used) == 1) {
        ck_assert_msg(strstr(plan, name) != NULL, "%s names index %s; its plan is\n%.3000s",
                      sql_name(id), name, plan);
        at += 1 + used;
        if (*at == ',') at++;
    }
}

START_TEST(plans_use_the_indexes_that_headers_name)
{
    pg_value(client, "set plan_cache_mode = force_generic_plan; set jit = off;"
                     " set enable_seqscan = off; set enable_bitmapscan = off");
    for (int i = 0; i < SQL_COUNT; i++) {
        SqlId id = (SqlId)i;
        const char *line = next_header_line(sql_text(id), "-- index:");
        if (!line) continue;
        prepare(id);
        char execute[EXECUTE_MAX];
        execute_text(execute, id);
        char *plan = pg_lines(client, execute);
        for (; line; line = next_header_line(line_after(line), "-- index:"))
            check_index_line(id, line, plan);
        free(plan);
    }
}
END_TEST

int main(void)
{
    pg_start();
    Suite *suite = suite_create("queries");
    TCase *cases = tcase_create("all");
    tcase_add_unchecked_fixture(cases, setup, teardown);
    tcase_set_timeout(cases, 60);
    tcase_add_test(cases, every_statement_prepares_with_the_parameters_its_header_names);
    tcase_add_test(cases, plans_use_the_indexes_that_headers_name);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_NOFORK);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
