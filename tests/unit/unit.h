/* unit.h - the frame of a unit test program: one suite of named cases, run by Check. */
#ifndef AILERON_TESTS_UNIT_H
#define AILERON_TESTS_UNIT_H

#include <check.h>
#include <stdlib.h>
#include "../../server/base/str.h"

#define ck_assert_str_is(str, text)                                                                \
    do {                                                                                           \
        Str got_ = (str);                                                                          \
        ck_assert_msg(str_is(got_, text), "got \"" STR_FMT "\", want \"%s\"", STR_ARG(got_),       \
                      text);                                                                       \
    } while (0)

/* Runs the tests; the exit status of main. */
static inline int unit_run(const char *name, const TTest *const *tests, size_t count)
{
    Suite *suite = suite_create(name);
    for (size_t i = 0; i < count; i++) {
        TCase *one = tcase_create(tests[i]->name);
        tcase_set_timeout(one, 60);
        tcase_add_test(one, tests[i]);
        suite_add_tcase(suite, one);
    }
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#define UNIT_MAIN(name, ...)                                                                       \
    int main(void)                                                                                 \
    {                                                                                              \
        const TTest *const tests[] = {__VA_ARGS__};                                                \
        return unit_run(name, tests, LEN(tests));                                                  \
    }

#endif
