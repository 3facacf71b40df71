/* merge.c - many Requests, one statement: what one execution costs is shared by all of them.
 *
 * Measured on judgment_put: 495 us of the backend's processor for one judgment a statement, 71 us a
 * judgment when 64 share one (pgbench with generate_series, CPU time of the backend). */
#include "merge.h"

#include <stdlib.h>
#include "../base/buf.h"
#include "../base/metrics.h"
#include "internal.h"

enum { ARRAYS_BYTES_MAX = 256 << 20 }; /* the queue's own limit is met long before */

/* One element of an array literal: NULL, or quoted with " and \ escaped. */
static void put_element(Buf *out, const char *value, int length)
{
    if (!value) {
        buf_put_text(out, "NULL");
        return;
    }
    const char *run = value, *end = value + length;
    buf_put_char(out, '"');
    for (const char *p = value; p < end; p++) {
        if (*p != '"' && *p != '\\') continue;
        buf_put(out, run, (size_t)(p - run));
        buf_put_char(out, '\\');
        run = p; /* goes with the next run */
    }
    buf_put(out, run, (size_t)(end - run));
    buf_put_char(out, '"');
}

static void put_array(Buf *out, const Request *first, int column)
{
    buf_put_char(out, '{');
    for (const Request *child = first; child; child = child->next) {
        assert(child->formats[column] == 0); /* text only: it is spliced into a literal */
        if (child != first) buf_put_char(out, ',');
        put_element(out, child->values[column], child->lengths[column]);
    }
    buf_put_char(out, '}');
}

Request *merge_carrier(RequestQueue *children)
{
    DbParam params[DB_PARAMS_MAX];
    const Request *first = children->head;
    Request *carrier = NULL;
    size_t starts[DB_PARAMS_MAX + 1] = {0};
    Buf arrays;
    buf_init(&arrays, ARRAYS_BYTES_MAX);
    for (int i = 0; i < first->count; i++) {
        put_array(&arrays, first, i);
        starts[i + 1] = arrays.len;
    }
    for (int i = 0; i < first->count; i++)
        params[i] = db_text((Str){arrays.data + starts[i], starts[i + 1] - starts[i]});
    if (buf_ok(&arrays)) carrier = request_new(first->id, params, (size_t)first->count, NULL, NULL);
    buf_release(&arrays);
    if (!carrier) return NULL;
    carrier->children = *children;
    carrier->size += children->bytes;
    *children = (RequestQueue){NULL, NULL, 0, 0};
    return carrier;
}

/* Copies a row to the end of a result of the same columns. */
static bool append_row(PGresult *to, const PGresult *from, int row)
{
    int at = PQntuples(to);
    for (int i = 0; i < PQnfields(from); i++) {
        bool null = PQgetisnull(from, row, i);
        int length = null ? -1 : PQgetlength(from, row, i);
        if (!PQsetvalue(to, at, i, null ? NULL : PQgetvalue(from, row, i), length)) return false;
    }
    return true;
}

/* One result a place; NULL where there was no memory. */
static void deal_rows(const PGresult *all, PGresult **hands, int places)
{
    int column = PQfnumber(all, "_place");
    assert(column >= 0);
    for (int i = 0; i < places; i++) hands[i] = PQcopyResult(all, PG_COPYRES_ATTRS);
    for (int row = 0; row < PQntuples(all); row++) {
        long place = strtol(PQgetvalue(all, row, column), NULL, 10);
        assert(place >= 1 && place <= places);
        PGresult **hand = &hands[place - 1];
        if (*hand && !append_row(*hand, all, row)) {
            PQclear(*hand);
            *hand = NULL;
        }
    }
}

void merge_deliver(Request *carrier, const Err *err)
{
    const Err no_memory = {ERR_unavailable, "out of memory", NULL};
    PGresult *hands[DB_MERGE_MAX] = {NULL};
    assert(carrier->children.count <= DB_MERGE_MAX);
    if (!err) deal_rows(carrier->result, hands, carrier->children.count);
    int place = 0;
    for (Request *child; (child = queue_pop(&carrier->children)); place++) {
        if (hands[place]) {
            child->done(child->context, rows_from(hands[place]), NULL);
            PQclear(hands[place]);
        } else {
            metric_add(METRIC_db_errors_total, 1);
            child->done(child->context, NULL, err ? err : &no_memory);
        }
        request_free(child);
    }
    request_free(carrier);
}

void merge_apart(Request *carrier, RequestQueue *out)
{
    for (Request *child; (child = queue_pop(&carrier->children));) {
        RequestQueue alone = {NULL, NULL, 0, 0};
        queue_push(&alone, child);
        Request *single = merge_carrier(&alone);
        if (single) {
            single->tries = carrier->tries;
            queue_push(out, single);
        } else {
            queue_fail(&alone, "out of memory");
        }
    }
    request_free(carrier);
}
