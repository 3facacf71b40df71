/* test_similar.c - the share of words two texts have in common. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include "../../server/gateway/internal.h"

static void expect(const char *a, const char *b, double share)
{
    ck_assert_msg(fabs(similar_texts(str_from(a), str_from(b)) - share) < 1e-9, "%s | %s: %f", a, b,
                  similar_texts(str_from(a), str_from(b)));
    ck_assert(fabs(similar_texts(str_from(b), str_from(a)) - share) < 1e-9);
}

START_TEST(words_in_common_are_counted_once_each)
{
    expect("", "", 1);
    expect("", "a", 0);
    expect("The cat sat.", "the CAT, sat!", 1);
    expect("a b c d", "c d e f", 0.5);
    expect("a a a", "a", 0.5);
    expect("a a b", "a b b", 2.0 / 3);
    expect("...", "!!", 1);
}
END_TEST

START_TEST(texts_without_spaces_and_letters_beyond_ascii)
{
    expect("한국어", "한국말", 2.0 / 3);
    expect("漢字かな", "漢字", 2.0 / 3);
    expect("caf\xc3\xa9 noir", "caf\xc3\xa9", 2.0 / 3);
    expect("\xed", "\xed", 1); /* cut off in the middle of a character */
    expect("a\xe3\x81", "a\xe3\x81", 1);
}
END_TEST

START_TEST(long_texts_have_bounds)
{
    static char text[200000];
    for (size_t i = 0; i + 8 < sizeof text; i += 8) snprintf(text + i, 9, "%07zx ", i);
    ck_assert(similar_texts(str_from(text), str_from(text)) > 0.999);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("similar");
    TCase *all = tcase_create("all");
    tcase_add_test(all, words_in_common_are_counted_once_each);
    tcase_add_test(all, texts_without_spaces_and_letters_beyond_ascii);
    tcase_add_test(all, long_texts_have_bounds);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
