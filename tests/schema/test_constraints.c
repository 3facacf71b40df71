/* test_constraints.c - what the database itself refuses, and how sides map to completions. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include "../support/pg.h"

static DbClient *client;

#define ACCOUNT_ID     "00000000-0000-7000-8000-00000000000a"
#define PROMPT_ID      "00000000-0000-7000-8000-000000000001"
#define COMPARISON_ID  "00000000-0000-7000-8000-0000000000c0"
#define COMPLETION_IDS "array[gen_random_uuid(), gen_random_uuid()]"

static void setup(void)
{
    client = pg_client(pg_database(true));
    pg_value(client, "insert into account (id, login, name) values ('" ACCOUNT_ID "', 'ann', 'A')");
    pg_value(client, "insert into project (slug, title) values ('p', 'P')");
    pg_value(client, "insert into prompt values (1, '" PROMPT_ID "', '\"hello\"', null, 0)");
}

static void teardown(void)
{
    db_client_close(client);
}

/* A statement that must fail, with which SQLSTATE and in which constraint ("" for none). */
typedef struct Refusal {
    const char *sql;
    const char *state;
    const char *constraint;
} Refusal;

static const Refusal refusals[] = {
    {"insert into account (id, login, name) values (gen_random_uuid(), 'ann', 'B')", "23505",
     "account_login_unique"},
    {"insert into account (id, login, name) values (gen_random_uuid(), 'Ann', 'B')", "23514",
     "account_login_valid"},
    {"insert into account (id, login, name) values (gen_random_uuid(), 'an', 'B')", "23514",
     "account_login_valid"},
    {"insert into account (id, login, name) values (gen_random_uuid(), '-ann', 'B')", "23514",
     "account_login_valid"},
    {"insert into account (id, login, name) values (gen_random_uuid(), e'bob\\n', 'B')", "23514",
     "account_login_valid"},
    {"insert into account (id, login, name) values (gen_random_uuid(), 'bob', '')", "23514",
     "account_name_valid"},
    {"insert into account (id, login, name) values (gen_random_uuid(), 'bob', repeat('b', 101))",
     "23514", "account_name_valid"},
    {"insert into session values ('short', '" ACCOUNT_ID "', now(), now())", "23514",
     "session_token_valid"},
    {"insert into session values (sha256(''), gen_random_uuid(), now(), now())", "23503",
     "session_account_id_fkey"},
    {"insert into sign_in_link values ('', '" ACCOUNT_ID "', now(), now())", "23514",
     "sign_in_link_token_valid"},
    {"insert into project (slug, title) values ('p', 'again')", "23505", "project_slug_unique"},
    {"insert into project (slug, title) values ('-p', 'x')", "23514", "project_slug_valid"},
    {"insert into project (slug, title) values ('P', 'x')", "23514", "project_slug_valid"},
    {"insert into project (slug, title) values (repeat('p', 64), 'x')", "23514",
     "project_slug_valid"},
    {"insert into project (slug, title) values ('q', '')", "23514", "project_title_valid"},
    {"insert into member values (1, gen_random_uuid(), 'owner')", "23503",
     "member_account_id_fkey"},
    {"insert into member values (99, '" ACCOUNT_ID "', 'owner')", "23503",
     "member_project_id_fkey"},
    {"insert into member values (1, '" ACCOUNT_ID "', 'boss')", "22P02", ""},
    {"insert into invite (project_id, id, token_hash, role, created_by, expires_at, uses_left)"
     " values (1, gen_random_uuid(), sha256(''), 'owner', gen_random_uuid(), now(), -1)",
     "23514", "invite_uses_valid"},
    {"insert into invite (project_id, id, token_hash, role, created_by, expires_at, uses_left)"
     " values (1, gen_random_uuid(), '', 'owner', gen_random_uuid(), now(), 1)",
     "23514", "invite_token_valid"},
    {"insert into api_key (project_id, id, token_hash, prefix, role)"
     " values (1, gen_random_uuid(), '', 'ak_', 'owner')",
     "23514", "api_key_token_valid"},
    {"insert into prompt values (1, '" PROMPT_ID "', '\"other\"', null, 0)", "23505",
     "prompt_pkey"},
    {"insert into prompt values (1, gen_random_uuid(), '\"x\"', null, 10000)", "23514",
     "prompt_bucket_valid"},
    {"insert into completion values (1, gen_random_uuid(), '" PROMPT_ID "', null,"
     " repeat('x', 1048577))",
     "23514", "completion_content_size"},
    {"insert into comparison (project_id, id, digest, content_digest, prompt_id, completion_ids,"
     " wanted, created_xid, queued_xid) values (1, gen_random_uuid(), gen_random_uuid(),"
     " gen_random_uuid(), '" PROMPT_ID "', array[gen_random_uuid()], 1, 1, 1)",
     "23514", "comparison_completions_valid"},
    {"insert into comparison (project_id, id, digest, content_digest, prompt_id, completion_ids,"
     " wanted, created_xid, queued_xid) values (1, gen_random_uuid(), gen_random_uuid(),"
     " gen_random_uuid(), '" PROMPT_ID "', (select array_agg(gen_random_uuid()) from"
     " generate_series(1, 10)), 1, 1, 1)",
     "23514", "comparison_completions_valid"},
    {"insert into comparison (project_id, id, digest, content_digest, prompt_id, completion_ids,"
     " wanted, taken, created_xid, queued_xid) values (1, gen_random_uuid(), gen_random_uuid(),"
     " gen_random_uuid(), '" PROMPT_ID "', " COMPLETION_IDS ", 1, -1, 1, 1)",
     "23514", "comparison_counts_valid"},
    {"insert into feedback (project_id, id, impression_id, kind, choice, source, xid) values"
     " (1, gen_random_uuid(), gen_random_uuid(), 'judgment', 9, 'annotate', 1)",
     "23514", "feedback_choice_valid"},
    {"insert into feedback (project_id, id, impression_id, kind, choice, source, xid) values"
     " (1, gen_random_uuid(), gen_random_uuid(), 'judgment', -4, 'annotate', 1)",
     "23514", "feedback_choice_valid"},
    {"insert into feedback (project_id, id, impression_id, kind, choice, strength, source, xid)"
     " values (1, gen_random_uuid(), gen_random_uuid(), 'judgment', 0, 4, 'annotate', 1)",
     "23514", "feedback_strength_valid"},
    {"insert into feedback (project_id, id, impression_id, kind, detail, source, xid)"
     " values (1, gen_random_uuid(), gen_random_uuid(), 'judgment', '{}', 'annotate', 1)",
     "23514", "feedback_kind_valid"},
    {"insert into assignment values (1, '" ACCOUNT_ID "', '" COMPARISON_ID "', gen_random_uuid(),"
     " 'lost', now())",
     "23514", "assignment_state_valid"},
    {"insert into snapshot (project_id, id, name, boundary_xid, hash, comparisons, judgments)"
     " values (1, gen_random_uuid(), 'a/b', 1, '', 0, 0)",
     "23514", "snapshot_name_valid"},
};

START_TEST(the_database_refuses)
{
    const Refusal *refusal = &refusals[_i];
    ck_assert_msg(strcmp(pg_state(client, "%s", refusal->sql), refusal->state) == 0,
                  "%s: SQLSTATE %s", refusal->sql, pg_state(client, "%s", refusal->sql));
    ck_assert_str_eq(pg_constraint(), refusal->constraint);
}
END_TEST

START_TEST(one_person_holds_a_comparison_once)
{
    const char *assign = "insert into assignment values (1, '" ACCOUNT_ID "', '" COMPARISON_ID "',"
                         " gen_random_uuid(), 'leased', now())";
    pg_value(client, "%s", assign);
    ck_assert_str_eq(pg_state(client, "%s", assign), "23505");
    ck_assert_str_eq(pg_constraint(), "assignment_pkey");
}
END_TEST

START_TEST(the_ledger_is_append_only)
{
    pg_value(client,
             "insert into feedback (project_id, id, impression_id, kind, choice, source, xid)"
             " values (1, gen_random_uuid(), gen_random_uuid(), 'judgment', 0, 'annotate', 1)");
    pg_value(client, "insert into impression (project_id, id, surface, policy)"
                     " values (1, gen_random_uuid(), 'annotate', 'queue')");
    pg_value(client, "insert into audit (id, actor, action) values (gen_random_uuid(), 'x', 'y')");
    const char *const tables[] = {"feedback", "impression", "audit"};
    for (size_t i = 0; i < LEN(tables); i++) {
        ck_assert_str_eq(pg_state(client, "delete from %s", tables[i]), "23001");
        ck_assert_str_eq(pg_state(client, "update %s set id = gen_random_uuid()", tables[i]),
                         "23001");
        ck_assert_int_eq(pg_count(client, "select count(*) from %s", tables[i]), 1);
    }
    /* Erasing a person's data is lawful, and says so in its transaction only. */
    pg_value(client, "begin; set local aileron.erasing = 'on'; delete from feedback; commit");
    ck_assert_int_eq(pg_count(client, "select count(*) from feedback"), 0);
    ck_assert_str_eq(pg_state(client, "delete from audit"), "23001");
}
END_TEST

START_TEST(roles_come_from_membership_keys_and_administration)
{
    pg_value(client, "insert into account (id, login, name, is_admin) values"
                     " ('00000000-0000-7000-8000-00000000000b', 'root', 'R', true)");
    pg_value(client, "insert into member values (1, '" ACCOUNT_ID "', 'annotator')");
    pg_value(client, "insert into member values"
                     " (1, '00000000-0000-7000-8000-00000000000b', 'annotator')");
    const char *roles = "select string_agg(role::text, ',' order by principal_id) from access";
    ck_assert_str_eq(pg_value(client, "%s", roles), "annotator,owner"); /* once each */
    pg_value(client, "update account set is_disabled = true");
    ck_assert_str_eq(pg_value(client, "%s", roles), "");
}
END_TEST

/* ---- slots and indexes: sides shown to completions, and back ---- */

typedef struct Mapping {
    const char *sql;
    const char *value;
} Mapping;

static const Mapping mappings[] = {
    {"slot_to_index('{1,0}', 'A')", "1"},
    {"slot_to_index('{1,0}', 'B')", "0"},
    {"slot_to_index('{1,0}', 'C')", ""},
    {"index_to_slot('{2,0,1}', 0)", "B"},
    {"index_to_slot('{2,0,1}', 2)", "A"},
    {"choice_to_index('{1,0}', 'A')", "1"},
    {"choice_to_index('{1,0}', 'tie')", "-1"},
    {"choice_to_index('{1,0}', 'both_bad')", "-2"},
    {"choice_to_index('{1,0}', 'cannot_judge')", "-3"},
    {"choice_to_index('{1,0}', null)", ""},
    {"choice_to_slot('{1,0}', 0::smallint)", "B"},
    {"choice_to_slot('{1,0}', (-2)::smallint)", "both_bad"},
    {"slots_map_detail('{1,0}', null, false)", ""},
    {"slots_map_detail('{1,0}', '{\"rationale\": \"x\"}', false)", "{\"rationale\": \"x\"}"},
    {"slots_map_detail('{2,0,1}', '{\"ranking\": [[\"B\"], [\"A\", \"C\"]]}', false)",
     "{\"ranking\": [[0], [2, 1]]}"},
    {"slots_map_detail('{1,0}', '{\"ratings\": {\"A\": {\"overall\": 7}}}', false)",
     "{\"ratings\": {\"1\": {\"overall\": 7}}}"},
    {"slots_map_detail('{1,0}', '{\"criteria\": {\"help\": {\"choice\": \"B\", \"strength\": 2},"
     " \"harm\": {\"choice\": \"tie\"}}}', false)",
     "{\"criteria\": {\"harm\": {\"choice\": \"tie\"}, \"help\": {\"choice\": 0, \"strength\": "
     "2}}}"},
};

START_TEST(sides_map_to_completions)
{
    ck_assert_str_eq(pg_value(client, "select %s", mappings[_i].sql), mappings[_i].value);
}
END_TEST

/* Every order of three: slots to indexes and back again is what it was. */
START_TEST(mapping_there_and_back_changes_nothing)
{
    pg_value(client,
             "create table round_trip as select o.shown::smallint[], d.detail::jsonb from"
             " (values ('{0,1,2}'), ('{0,2,1}'), ('{1,0,2}'), ('{1,2,0}'), ('{2,0,1}'),"
             " ('{2,1,0}')) as o(shown), (values"
             " ('{\"ranking\": [[\"C\"], [\"A\", \"B\"]], \"rationale\": \"why\"}'),"
             " ('{\"criteria\": {\"n\": {\"choice\": \"C\", \"strength\": 1}}}'),"
             " ('{\"flags\": {\"A\": [\"x\"], \"C\": []}, \"edits\": {\"B\": \"better\"}}'))"
             " as d(detail)");
    ck_assert_int_eq(pg_count(client, "select count(*) from round_trip"), 18);
    ck_assert_int_eq(pg_count(client,
                              "select count(*) from round_trip where detail is distinct from"
                              " slots_map_detail(shown, slots_map_detail(shown, detail,"
                              " false), true)"),
                     0);
    ck_assert_int_eq(pg_count(client,
                              "select count(*) from round_trip, unnest(array['A', 'B', 'C',"
                              " 'tie', 'both_bad', 'cannot_judge']) as c where c is distinct"
                              " from choice_to_slot(shown, choice_to_index(shown, c))"),
                     0);
}
END_TEST

int main(void)
{
    pg_start();
    Suite *suite = suite_create("constraints");
    TCase *cases = tcase_create("all");
    tcase_add_unchecked_fixture(cases, setup, teardown);
    tcase_set_timeout(cases, 60);
    tcase_add_loop_test(cases, the_database_refuses, 0, LEN(refusals));
    tcase_add_loop_test(cases, sides_map_to_completions, 0, LEN(mappings));
    tcase_add_test(cases, one_person_holds_a_comparison_once);
    tcase_add_test(cases, the_ledger_is_append_only);
    tcase_add_test(cases, mapping_there_and_back_changes_nothing);
    tcase_add_test(cases, roles_come_from_membership_keys_and_administration);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_NOFORK);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
