/* request.h - a statement on its way, and queues of them. Private to db/.
 *
 * A Request owns its copied parameters, its children and, until it is delivered, its PGresult. */
#ifndef AILERON_DB_REQUEST_H
#define AILERON_DB_REQUEST_H

#include <libpq-fe.h>
#include "db.h"

typedef struct RequestQueue {
    struct Request *head, *tail;
    int count;
    size_t bytes;
} RequestQueue;

typedef struct Request {
    struct Request *next;
    SqlId id;
    DbDone done;
    void *context;
    PGresult *result; /* kept until the Sync behind it has come back */
    bool sync_after;  /* a Sync follows it: it ends its group */
    int tries;
    size_t size; /* of this block, for DB_QUEUE_BYTES_MAX */
    int count;
    const char *const *values;
    const int *lengths;
    const int *formats;
    RequestQueue children; /* merge.h: those it carries; empty for an ordinary Request */
} Request;

/* Copies the parameters into one block. NULL: out of memory. */
MUST_CHECK Request *request_new(SqlId id, const DbParam *params, size_t count, DbDone done,
                                void *context);
void request_free(Request *request);
const char *db_param_value(const DbParam *param); /* where its bytes are; NULL: SQL NULL */

void queue_push(RequestQueue *queue, Request *request);
Request *queue_pop(RequestQueue *queue); /* NULL when empty */
/* Every Request gets ERR_unavailable and is freed; the queue is empty then. */
void queue_fail(RequestQueue *queue, const char *detail);

#endif
