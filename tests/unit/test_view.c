/* test_view.c - a growing answer in pieces: where it may be cut, and that nothing is lost or said
 * twice, however the text arrives; timers. */
#include "../../server/gateway/timer.h"
#include "../../server/gateway/view.h"

#include <stdlib.h>
#include "../../server/base/clock.h"
#include "../../server/base/markdown.h"
#include "unit.h"

/* The finished pieces of text when it arrives `step` bytes at a time, each followed by '|'. */
static void pieces(Buf *out, Str text, size_t step)
{
    View view = {0};
    size_t shown = 0;
    for (size_t n = 0; n < text.len;) {
        n = n + step < text.len ? n + step : text.len;
        view_scan(&view, (Str){text.ptr, n});
        ck_assert_uint_ge(view.cut, shown);
        ck_assert_uint_le(view.cut, n);
        if (view.cut == shown) continue;
        buf_put(out, text.ptr + shown, view.cut - shown);
        buf_put_char(out, '|');
        shown = view.cut;
    }
    buf_put_str(out, str_skip(text, shown));
}

static void check(const char *text, const char *wanted)
{
    for (size_t step = 1; step <= 3; step++) {
        Buf out;
        buf_init(&out, KiB(64));
        pieces(&out, str_from(text), step);
        ck_assert_str_is(buf_str(&out), wanted);
        buf_release(&out);
    }
}

START_TEST(paragraphs_are_cut_at_blank_lines)
{
    check("one paragraph\n\nanother paragraph\n\nthird one here",
          "one paragraph\n\n|another paragraph\n\n|third one here");
    check("line one\nline two\n\nthe next one\n", "line one\nline two\n\n|the next one\n");
    check("\n\nbegins with nothing\n \t\n\nthe next one",
          "\n\nbegins with nothing\n \t\n\n|the next one");
    check("windows\r\n\r\nlines as well", "windows\r\n\r\n|lines as well");
    check("too short\n\nto tell", "too short\n\nto tell");
}
END_TEST

START_TEST(code_is_never_cut)
{
    check("```python\na = 1\n\nb = 2\n```\n\nafter the code",
          "```python\na = 1\n\nb = 2\n```\n\n|after the code");
    check("~~~~\n~~~\n\n```\n\n~~~~~  \n\nafter the code",
          "~~~~\n~~~\n\n```\n\n~~~~~  \n\n|after the code");
    check("```a``` in a line\n\nafter the code", "```a``` in a line\n\n|after the code");
    check("```\nnever closed\n\nstill the code here", "```\nnever closed\n\nstill the code here");
    check("    indented\n\n    still the code\n\nafter the code",
          "    indented\n\n    still the code\n\n|after the code");
}
END_TEST

START_TEST(lists_go_on_after_blank_lines)
{
    check("before the list\n\n- one\n\n- two\n\n  more of two\n\nafter the list",
          "before the list\n\n|- one\n\n- two\n\n  more of two\n\n|after the list");
    check("1. one\n\n2. two\n\n3) three\n\n* star here\n\n-dash is no item",
          "1. one\n\n2. two\n\n3) three\n\n* star here\n\n|-dash is no item");
    check("1. one\n\n   ```\n   code\n\n   ```\n\n2. two\n\nafter the list",
          "1. one\n\n   ```\n   code\n\n   ```\n\n2. two\n\n|after the list");
}
END_TEST

START_TEST(a_long_text_is_looked_at_once)
{
    enum { LINES = 200000 };
    Buf text;
    View view = {0};
    buf_init(&text, MiB(8));
    int64_t begin = clock_monotonic_us();
    for (int i = 0; i < LINES; i++) {
        buf_put_text(&text, i % 3 == 0 ? "\n" : "- a line of a list\n");
        view_scan(&view, buf_str(&text));
    }
    ck_assert_uint_eq(view.scanned, text.len);
    ck_assert_int_lt(clock_monotonic_us() - begin, 2000000);
    buf_release(&text);
}
END_TEST

START_TEST(events_carry_html_that_is_tame)
{
    Buf out;
    View view = {0};
    Str text = STR("<b>one</b>\n\ntwo *and more");
    buf_init(&out, KiB(64));
    markdown_init();
    view_scan(&view, text);
    view_put(&view, text, &out);
    view_put(&view, text, &out);
    ck_assert_str_is(
        buf_str(&out),
        "data: {\"event\":\"block\",\"html\":\"<p>&lt;b&gt;one&lt;/b&gt;<\\/p>\\n\"}\n\n"
        "data: {\"event\":\"tail\",\"html\":\"<p>two *and more<\\/p>\\n\"}\n\n"
        "data: {\"event\":\"tail\",\"html\":\"<p>two *and more<\\/p>\\n\"}\n\n");
    buf_release(&out);
}
END_TEST

static int runs;
static Timer first, second, third;
static TimerList list;

static void count(void *context)
{
    runs += *(int *)context;
    timer_clear(&second); /* one that runs may clear others */
}

START_TEST(timers_run_once_when_they_are_due)
{
    int one = 1, many = 100;
    int64_t now = clock_monotonic_us();
    timer_set(&list, &first, now, count, &one);
    timer_set(&list, &second, now, count, &many); /* the first clears it */
    timer_set(&list, &third, now + 60000000, count, &many);
    timer_set(&list, &third, now + 50000000, count, &many);
    ck_assert_int_eq(timers_timeout_ms(&list), 0);
    timers_run(&list, false);
    timers_run(&list, false);
    ck_assert_int_eq(runs, 1);
    int wait = timers_timeout_ms(&list);
    ck_assert_int_gt(wait, 40000);
    ck_assert_int_le(wait, 50001);
    timers_run(&list, true);
    ck_assert_int_eq(runs, 101);
    ck_assert_int_eq(timers_timeout_ms(&list), -1);
    timer_clear(&third);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        paragraphs_are_cut_at_blank_lines, code_is_never_cut,
        lists_go_on_after_blank_lines,     a_long_text_is_looked_at_once,
        events_carry_html_that_is_tame,    timers_run_once_when_they_are_due,
    };
    return unit_run("view", tests, LEN(tests));
}
