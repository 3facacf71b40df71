/* normalize.c - Normalization Form C (Unicode Standard Annex 15) over the tables of unicode.h.
 *
 * Most text is stable: it holds no character that composition could change or join to the one
 * before. Only from the last stable character before an unstable one up to the next stable one is
 * anything done; such a segment is decomposed, ordered by combining class and composed. */
#include <stdlib.h>
#include "unicode.h"

enum { SEGMENT_FIRST = 64, COUNTING_MIN = 32 };

typedef struct Mark {
    uint32_t c;
    uint8_t ccc;
} Mark;

typedef struct Segment {
    Mark *marks, *other; /* other: room to sort in */
    size_t count, room;
} Segment;

bool nfc_is_stable(Str text)
{
    const uint8_t *p = (const uint8_t *)text.ptr;
    for (size_t at = 0, n; at < text.len; at += n) {
        if (p[at] < 0x80) {
            n = 1;
        } else if (unicode_class(utf8_decode(p + at, &n)) & UNICODE_UNSTABLE) {
            return false;
        }
    }
    return true;
}

static bool segment_add(Segment *s, uint32_t c)
{
    uint32_t parts[4];
    int32_t n = unicode_decompose(c, parts);
    if (s->count + 4 > s->room) {
        size_t room = s->room == 0 ? SEGMENT_FIRST : 2 * s->room;
        Mark *marks = realloc(s->marks, room * sizeof *marks);
        if (marks != NULL) s->marks = marks;
        Mark *other = realloc(s->other, room * sizeof *other);
        if (other != NULL) s->other = other;
        if (marks == NULL || other == NULL) return false;
        s->room = room;
    }
    for (int32_t i = 0; i < n; i++)
        s->marks[s->count++] = (Mark){.c = parts[i], .ccc = unicode_ccc(parts[i])};
    return true;
}

/* Stable sort by class; counting, because a hostile text may hold a million marks in a row. */
static void sort_marks(Mark *marks, size_t count, Mark *other)
{
    if (count < COUNTING_MIN) {
        for (size_t i = 1; i < count; i++) {
            Mark mark = marks[i];
            size_t k = i;
            for (; k > 0 && marks[k - 1].ccc > mark.ccc; k--) marks[k] = marks[k - 1];
            marks[k] = mark;
        }
        return;
    }
    size_t start[257] = {0};
    for (size_t i = 0; i < count; i++) start[marks[i].ccc + 1]++;
    for (size_t i = 1; i < LEN(start); i++) start[i] += start[i - 1];
    for (size_t i = 0; i < count; i++) other[start[marks[i].ccc]++] = marks[i];
    memcpy(marks, other, count * sizeof *marks);
}

static void segment_order(Segment *s)
{
    for (size_t i = 0; i < s->count;) {
        size_t end = i;
        while (end < s->count && s->marks[end].ccc != 0) end++;
        sort_marks(s->marks + i, end - i, s->other);
        i = end + 1;
    }
}

/* Joins each character to the last starter when nothing between them blocks it. */
static void segment_compose(Segment *s)
{
    size_t out = 0, starter = SIZE_MAX;
    int before = -1; /* class of the last character kept after the starter; -1: none */
    for (size_t i = 0; i < s->count; i++) {
        Mark mark = s->marks[i];
        bool open = starter != SIZE_MAX && before < (int)mark.ccc;
        uint32_t joined = open ? unicode_compose(s->marks[starter].c, mark.c) : 0;
        if (joined != 0) {
            s->marks[starter].c = joined;
            continue;
        }
        if (mark.ccc == 0) {
            starter = out;
            before = -1;
        } else {
            before = mark.ccc;
        }
        s->marks[out++] = mark;
    }
    s->count = out;
}

static void segment_write(Segment *s, Buf *out)
{
    segment_order(s);
    segment_compose(s);
    for (size_t i = 0; i < s->count; i++) {
        char bytes[4];
        buf_put(out, bytes, utf8_encode(s->marks[i].c, bytes));
    }
    s->count = 0;
}

bool nfc_append(Str text, Buf *out)
{
    const uint8_t *p = (const uint8_t *)text.ptr;
    Segment segment = {0};
    size_t kept = 0, last = 0, at = 0, n; /* text before kept is written; last stable character */
    bool ok = true;
    while (ok && at < text.len) {
        if (!(unicode_class(utf8_decode(p + at, &n)) & UNICODE_UNSTABLE)) {
            last = at;
            at += n;
            continue;
        }
        buf_put(out, p + kept, last - kept);
        for (at = last; ok && at < text.len; at += n) {
            uint32_t c = utf8_decode(p + at, &n);
            if (at > last && !(unicode_class(c) & UNICODE_UNSTABLE)) break;
            ok = segment_add(&segment, c);
        }
        segment_write(&segment, out);
        kept = last = at;
    }
    buf_put(out, p + kept, text.len - kept);
    free(segment.marks);
    free(segment.other);
    return ok && buf_ok(out);
}
