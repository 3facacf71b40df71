/* test_choices.c - records kept on the machine: order, identity, what was cut off or changed. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "../../reward_model/nn/choices.h"

enum { BYTES = 24, MOST = 300 };

static char folder[64];

static void setup(void)
{
    snprintf(folder, sizeof folder, "/tmp/choices-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    setenv("AILERON_CHOICES", folder, 1);
}

static void teardown(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", folder);
    ck_assert_int_eq(system(command), 0);
}

static void keep(const Choices *choices, int value)
{
    unsigned char record[BYTES];
    memset(record, value, sizeof record);
    choices_keep(choices, record);
}

static int load(const Choices *choices, int values[MOST])
{
    unsigned char records[MOST][BYTES];
    int count = choices_load(choices, records, MOST);
    for (int i = 0; i < count; i++) {
        for (int k = 1; k < BYTES; k++) ck_assert_int_eq(records[i][k], records[i][0]);
        values[i] = records[i][0];
    }
    return count;
}

START_TEST(records_come_back_in_order_for_their_identity)
{
    Choices one, other, wider;
    int values[MOST];
    choices_open(&one, "library 1, device x", BYTES);
    choices_open(&other, "library 2, device x", BYTES);
    choices_open(&wider, "library 1, device x", BYTES + 8);
    ck_assert_int_eq(load(&one, values), 0);
    for (int i = 0; i < 5; i++) keep(&one, i + 1);
    keep(&other, 77);
    ck_assert_int_eq(load(&one, values), 5);
    for (int i = 0; i < 5; i++) ck_assert_int_eq(values[i], i + 1);
    ck_assert_int_eq(load(&other, values), 1);
    ck_assert_int_eq(values[0], 77);
    ck_assert_str_ne(one.path, wider.path);
    unsigned char two[2][BYTES];
    ck_assert_int_eq(choices_load(&one, two, 2), 2);
    struct stat at;
    ck_assert_int_eq(stat(one.path, &at), 0);
    ck_assert_int_eq(at.st_mode & 0777, 0600);
}
END_TEST

START_TEST(what_was_cut_off_or_changed_ends_the_list)
{
    Choices choices;
    int values[MOST];
    choices_open(&choices, "library", BYTES);
    for (int i = 0; i < 3; i++) keep(&choices, i + 1);
    struct stat at;
    ck_assert_int_eq(stat(choices.path, &at), 0);
    ck_assert_int_eq(truncate(choices.path, at.st_size - 1), 0);
    ck_assert_int_eq(load(&choices, values), 2);
    keep(&choices, 9); /* in the place of what was cut off */
    ck_assert_int_eq(load(&choices, values), 3);
    ck_assert_int_eq(values[2], 9);
    FILE *file = fopen(choices.path, "r+");
    ck_assert_ptr_nonnull(file);
    fseek(file, BYTES + 8 + 3, SEEK_SET); /* inside the second */
    fputc(0xff, file);
    fclose(file);
    ck_assert_int_eq(load(&choices, values), 1);
}
END_TEST

START_TEST(many_processes_append_whole_records)
{
    enum { PROCESSES = 4, EACH = 50 };
    Choices choices;
    int values[MOST], seen[PROCESSES] = {0}, status;
    choices_open(&choices, "library", BYTES);
    for (int p = 0; p < PROCESSES; p++) {
        if (fork() > 0) continue;
        for (int i = 0; i < EACH; i++) keep(&choices, p);
        _exit(0);
    }
    while (wait(&status) > 0) ck_assert_int_eq(status, 0);
    ck_assert_int_eq(load(&choices, values), PROCESSES * EACH);
    for (int i = 0; i < PROCESSES * EACH; i++) seen[values[i]]++;
    for (int p = 0; p < PROCESSES; p++) ck_assert_int_eq(seen[p], EACH);
}
END_TEST

START_TEST(without_a_place_nothing_is_kept)
{
    static const struct {
        const char *told, *cache, *home;
    } places[] = {{"none", "/tmp", "/tmp"}, {NULL, NULL, NULL}, {"/nowhere/at/all", NULL, NULL}};
    char *home = strdup(getenv("HOME") ? getenv("HOME") : "/");
    for (size_t i = 0; i < LEN(places); i++) {
        Choices choices;
        int values[MOST];
        unsetenv("AILERON_CHOICES");
        unsetenv("XDG_CACHE_HOME");
        unsetenv("HOME");
        if (places[i].told) setenv("AILERON_CHOICES", places[i].told, 1);
        if (places[i].cache) setenv("XDG_CACHE_HOME", places[i].cache, 1);
        if (places[i].home) setenv("HOME", places[i].home, 1);
        choices_open(&choices, "library", BYTES);
        keep(&choices, 1);
        ck_assert_int_eq(load(&choices, values), 0);
    }
    setenv("HOME", home, 1);
    free(home);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("choices");
    TCase *tests = tcase_create("choices");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, records_come_back_in_order_for_their_identity);
    tcase_add_test(tests, what_was_cut_off_or_changed_ends_the_list);
    tcase_add_test(tests, many_processes_append_whole_records);
    tcase_add_test(tests, without_a_place_nothing_is_kept);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
