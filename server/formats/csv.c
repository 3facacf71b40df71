/* csv.c - see csv.h. A quote opens a field only at its beginning; elsewhere it is a character. */
#include "csv.h"

size_t csv_scan(CsvState *state, Str bytes)
{
    CsvState s = *state;
    for (size_t i = 0; i < bytes.len; i++) {
        char c = bytes.ptr[i];
        if (s == CSV_QUOTED) {
            if (c == '"')
                s = CSV_QUOTE_SEEN;
        } else if (c == '\n') {
            *state = CSV_FIELD_START;
            return i;
        } else if (c == ',') {
            s = CSV_FIELD_START;
        } else if (c == '"' && (s == CSV_FIELD_START || s == CSV_QUOTE_SEEN)) {
            s = CSV_QUOTED; /* the first quote of a field, or the second of a pair inside it */
        } else {
            s = CSV_PLAIN;
        }
    }
    *state = s;
    return bytes.len;
}

/* A field that begins with a quote at record[*at]; *at is left behind its closing quote. */
static bool quoted_field(Str record, size_t *at, Str *field, Arena *arena, Err *err)
{
    size_t begin = ++*at, pairs = 0;
    for (;; (*at)++) {
        if (*at >= record.len)
            return err_set(err, arena, ERR_malformed, "", "a quote is not closed");
        if (record.ptr[*at] != '"')
            continue;
        if (*at + 1 >= record.len || record.ptr[*at + 1] != '"')
            break;
        pairs++;
        (*at)++;
    }
    Str raw = {record.ptr + begin, *at - begin};
    (*at)++;
    *field = raw;
    if (pairs == 0)
        return true;
    char *text = arena_alloc(arena, raw.len - pairs + 1);
    if (!text)
        return err_set(err, arena, ERR_too_large, "", "the row needs too much memory");
    size_t n = 0;
    for (size_t i = 0; i < raw.len; i++) {
        text[n++] = raw.ptr[i];
        if (raw.ptr[i] == '"')
            i++;
    }
    *field = (Str){text, n};
    return true;
}

int csv_fields(Str record, Str *fields, int max, Arena *arena, Err *err)
{
    int count = 0;
    size_t at = 0;
    for (;;) {
        if (count == max) {
            err_set(err, arena, ERR_invalid, "", "has more than %d fields", max);
            return -1;
        }
        if (at < record.len && record.ptr[at] == '"') {
            if (!quoted_field(record, &at, &fields[count], arena, err))
                return -1;
            if (at < record.len && record.ptr[at] != ',') {
                err_set(err, arena, ERR_malformed, "", "text after a closing quote (byte %zu)",
                        at + 1);
                return -1;
            }
        } else {
            const char *comma = memchr(record.ptr + at, ',', record.len - at);
            size_t end = comma ? (size_t)(comma - record.ptr) : record.len;
            fields[count] = (Str){record.ptr + at, end - at};
            at = end;
        }
        count++;
        if (at >= record.len)
            return count;
        at++; /* the comma; a record may end with an empty field */
    }
}
