/* request.c - parameters, and the Request that carries them from db_send to its `done`.
 *
 * A Request is one block: the struct, three arrays for libpq, then the parameters' bytes. */
#include "merge.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include "../base/metrics.h"

/* A DbParam travels by value, so `value` cannot point into its own `small`: this address stands for
 * it until the bytes are copied. */
static const char in_small[1];

const char *db_param_value(const DbParam *param)
{
    return param->value == in_small ? param->small : param->value;
}

DbParam db_text(Str text)
{
    return (DbParam){.value = text.ptr, .length = text.len};
}

DbParam db_null(void)
{
    return (DbParam){.value = NULL};
}

DbParam db_int(int64_t value)
{
    DbParam param = {.value = in_small};
    param.length = (size_t)snprintf(param.small, sizeof param.small, "%" PRId64, value);
    return param;
}

DbParam db_real(double value)
{
    DbParam param = {.value = in_small};
    param.length = (size_t)snprintf(param.small, sizeof param.small, "%.17g", value);
    return param;
}

DbParam db_bool(bool value)
{
    return (DbParam){.value = value ? "t" : "f", .length = 1};
}

DbParam db_uuid(Uuid id)
{
    DbParam param = {.value = in_small, .length = UUID_CHARS};
    uuid_write(id, param.small);
    return param;
}

DbParam db_binary(const void *bytes, size_t n)
{
    return (DbParam){.value = bytes, .length = n, .format = 1};
}

DbParam db_bytes(const void *bytes, size_t n)
{
    return db_binary(bytes, n);
}

Request *request_new(SqlId id, const DbParam *params, size_t count, DbDone done, void *context)
{
    assert(count <= DB_PARAMS_MAX);
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++) bytes += params[i].length + 1;
    size_t arrays = count * (sizeof(char *) + 2 * sizeof(int));
    size_t size = sizeof(Request) + arrays + bytes;
    Request *request = calloc(1, size);
    if (!request) return NULL;

    const char **values = (const char **)(request + 1);
    int *lengths = (int *)(values + count);
    int *formats = lengths + count;
    char *store = (char *)(formats + count);
    for (size_t i = 0; i < count; i++) {
        const char *value = db_param_value(&params[i]);
        if (!value) continue;                   /* calloc: NULL is SQL NULL */
        memcpy(store, value, params[i].length); /* the NUL is calloc's */
        values[i] = store;
        lengths[i] = (int)params[i].length;
        formats[i] = params[i].format;
        store += params[i].length + 1;
    }
    request->id = id;
    request->done = done;
    request->context = context;
    request->size = size;
    request->count = (int)count;
    request->values = values;
    request->lengths = lengths;
    request->formats = formats;
    return request;
}

void request_free(Request *request)
{
    if (!request) return;
    PQclear(request->result);
    free(request);
}

void queue_push(RequestQueue *queue, Request *request)
{
    request->next = NULL;
    if (queue->tail)
        queue->tail->next = request;
    else
        queue->head = request;
    queue->tail = request;
    queue->count++;
    queue->bytes += request->size;
}

Request *queue_pop(RequestQueue *queue)
{
    Request *request = queue->head;
    if (!request) return NULL;
    queue->head = request->next;
    if (!queue->head) queue->tail = NULL;
    queue->count--;
    queue->bytes -= request->size;
    request->next = NULL;
    return request;
}

void queue_fail(RequestQueue *queue, const char *detail)
{
    RequestQueue failed = *queue; /* a done may send again: never into the list being walked */
    *queue = (RequestQueue){NULL, NULL, 0, 0};
    for (Request *request; (request = queue_pop(&failed));) {
        const Err err = {ERR_unavailable, detail, NULL};
        if (request->children.count > 0) {
            merge_deliver(request, &err);
            continue;
        }
        metric_add(METRIC_db_errors_total, 1);
        request->done(request->context, NULL, &err);
        request_free(request);
    }
}
