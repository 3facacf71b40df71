/* clock.c - see clock.h. Civil dates by day arithmetic: no time zone data, no locale. */
#include "clock.h"

#include <stdio.h>
#include <time.h>

enum { DAYS_PER_ERA = 146097 }; /* 400 years */
static const int64_t us_per_s = 1000000;

int64_t clock_monotonic_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * us_per_s + now.tv_nsec / 1000;
}

int64_t clock_unix_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Days since 1970-01-01 of a date in the Gregorian calendar; years begin in March inside. */
static int64_t days_from_date(int year, int month, int day)
{
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t era = y / 400;
    int64_t year_of_era = y - era * 400;
    int64_t day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * DAYS_PER_ERA + day_of_era - 719468;
}

static void date_from_days(int64_t days, int *year, int *month, int *day)
{
    int64_t z = days + 719468;
    int64_t era = (z >= 0 ? z : z - (DAYS_PER_ERA - 1)) / DAYS_PER_ERA;
    int64_t doe = z - era * DAYS_PER_ERA;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t mp = (5 * doy + 2) / 153;
    *day = (int)(doy - (153 * mp + 2) / 5 + 1);
    *month = (int)(mp < 10 ? mp + 3 : mp - 9);
    *year = (int)(yoe + era * 400 + (*month <= 2));
}

void clock_write(char out[CLOCK_TEXT_CHARS], int64_t unix_us)
{
    int64_t seconds = unix_us / us_per_s;
    int64_t fraction = unix_us % us_per_s;
    if (fraction < 0) {
        fraction += us_per_s;
        seconds--;
    }
    int64_t days = seconds / 86400;
    int64_t second = seconds % 86400;
    if (second < 0) {
        second += 86400;
        days--;
    }
    int year, month, day;
    date_from_days(days, &year, &month, &day);
    int hour = (int)(second / 3600), minute = (int)(second / 60 % 60), s = (int)(second % 60);
    int n = snprintf(out, CLOCK_TEXT_CHARS, "%04d-%02d-%02dT%02d:%02d:%02d", year, month, day, hour,
                     minute, s);
    if (n < 0 || n > CLOCK_TEXT_CHARS - 9) n = CLOCK_TEXT_CHARS - 9; /* absurd years only */
    if (fraction > 0) {
        n += snprintf(out + n, (size_t)(CLOCK_TEXT_CHARS - n), ".%06d", (int)fraction);
        while (out[n - 1] == '0') n--;
    }
    out[n] = 'Z';
    out[n + 1] = '\0';
}

static bool read_digits(Str *text, int count, int min, int max, int *out)
{
    int value = 0;
    if (text->len < (size_t)count) return false;
    for (int i = 0; i < count; i++) {
        char c = text->ptr[i];
        if (c < '0' || c > '9') return false;
        value = value * 10 + (c - '0');
    }
    *text = str_skip(*text, (size_t)count);
    *out = value;
    return value >= min && value <= max;
}

static bool read_char(Str *text, const char *any)
{
    if (text->len == 0 || strchr(any, text->ptr[0]) == NULL || text->ptr[0] == '\0') return false;
    *text = str_skip(*text, 1);
    return true;
}

static bool read_fraction(Str *text, int64_t *us)
{
    int64_t scale = us_per_s / 10;
    size_t digits = 0;
    *us = 0;
    if (!read_char(text, ".")) return true;
    while (digits < text->len && text->ptr[digits] >= '0' && text->ptr[digits] <= '9') {
        *us += (text->ptr[digits] - '0') * scale;
        scale /= 10;
        digits++;
    }
    *text = str_skip(*text, digits);
    return digits > 0;
}

static bool read_offset(Str *text, int64_t *offset_s)
{
    int hour, minute;
    *offset_s = 0;
    if (read_char(text, "Zz")) return true;
    bool east = text->len > 0 && text->ptr[0] == '+';
    if (!read_char(text, "+-") || !read_digits(text, 2, 0, 23, &hour)) return false;
    if (!read_char(text, ":") || !read_digits(text, 2, 0, 59, &minute)) return false;
    *offset_s = (hour * 3600 + minute * 60) * (east ? 1 : -1);
    return true;
}

static int days_in_month(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return days[month - 1] + (month == 2 && leap);
}

bool clock_read(Str text, int64_t *unix_us)
{
    int year, month, day, hour, minute, second;
    int64_t us, offset_s;
    if (!read_digits(&text, 4, 1970, 9999, &year) || !read_char(&text, "-")) return false;
    if (!read_digits(&text, 2, 1, 12, &month) || !read_char(&text, "-")) return false;
    if (!read_digits(&text, 2, 1, days_in_month(year, month), &day)) return false;
    if (!read_char(&text, "Tt ") || !read_digits(&text, 2, 0, 23, &hour)) return false;
    if (!read_char(&text, ":") || !read_digits(&text, 2, 0, 59, &minute)) return false;
    /* :60 is a leap second; it becomes the first second of the next minute */
    if (!read_char(&text, ":") || !read_digits(&text, 2, 0, 60, &second)) return false;
    if (!read_fraction(&text, &us) || !read_offset(&text, &offset_s) || text.len != 0) return false;
    int64_t s = days_from_date(year, month, day) * 86400 + hour * 3600 + minute * 60 + second;
    *unix_us = (s - offset_s) * us_per_s + us;
    return true;
}
