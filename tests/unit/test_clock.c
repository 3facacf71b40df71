/* test_clock.c - RFC 3339 both ways. */
#include "../../server/base/clock.h"
#include "unit.h"

START_TEST(times_are_written)
{
    static const struct {
        int64_t us;
        const char *text;
    } cases[] = {
        {0, "1970-01-01T00:00:00Z"},
        {1795255200000000, "2026-11-21T10:00:00Z"},
        {951782400500000, "2000-02-29T00:00:00.5Z"},
        {1000001, "1970-01-01T00:00:01.000001Z"},
        {-1, "1969-12-31T23:59:59.999999Z"},
        {253402300799000000, "9999-12-31T23:59:59Z"},
    };
    for (size_t i = 0; i < LEN(cases); i++) {
        char text[CLOCK_TEXT_CHARS];
        clock_write(text, cases[i].us);
        ck_assert_str_eq(text, cases[i].text);
    }
}
END_TEST

START_TEST(times_are_read)
{
    static const struct {
        const char *text;
        int64_t us;
    } cases[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"2026-11-21T10:00:00Z", 1795255200000000},
        {"2026-11-21t19:00:00+09:00", 1795255200000000},
        {"2026-11-21 04:30:00.000-05:30", 1795255200000000},
        {"2000-02-29T00:00:00.5Z", 951782400500000},
        {"1970-01-01T00:00:00.1234567Z", 123456},
        {"2016-12-31T23:59:60Z", 1483228800000000},
    };
    for (size_t i = 0; i < LEN(cases); i++) {
        int64_t us;
        ck_assert_msg(clock_read(str_from(cases[i].text), &us), "%s", cases[i].text);
        ck_assert_int_eq(us, cases[i].us);
    }
}
END_TEST

START_TEST(what_is_no_time_is_refused)
{
    static const char *const cases[] = {
        "", "2026", "2026-11-21", "2026-11-21T10:00:00", "2026-13-21T10:00:00Z",
        "2026-02-29T10:00:00Z", "2026-11-31T10:00:00Z", "2026-11-21T24:00:00Z",
        "2026-11-21T10:60:00Z", "2026-11-21T10:00:00.Z", "2026-11-21T10:00:00Zx",
        "2026-11-21T10:00:00+0900", "1969-12-31T23:59:59Z", "2026-11-21T10:00:00+24:00",
        " 2026-11-21T10:00:00Z", "2026-11-21T10:00:61Z", "20-11-21T10:00:00Z",
    };
    for (size_t i = 0; i < LEN(cases); i++) {
        int64_t us;
        ck_assert_msg(!clock_read(str_from(cases[i]), &us), "%s", cases[i]);
    }
}
END_TEST

START_TEST(every_day_goes_both_ways)
{
    for (int64_t day = 0; day < 80000; day += 3) {
        char text[CLOCK_TEXT_CHARS];
        int64_t us = day * 86400000000 + 12345678, back;
        clock_write(text, us);
        ck_assert_msg(clock_read(str_from(text), &back), "%s", text);
        ck_assert_int_eq(us, back);
    }
}
END_TEST

UNIT_MAIN("clock", times_are_written, times_are_read, what_is_no_time_is_refused,
          every_day_goes_both_ways)
