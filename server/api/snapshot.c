/* snapshot.c - frozen datasets: taking one, listing them, checking one against its hash.
 *
 * Taking one: a boundary (our own transaction id); wait until everything below it has ended; hash
 * the `aileron` export below it; store. Nothing can slip in below a settled boundary. */
#include <stdlib.h>

#include "../base/clock.h"
#include "dataset.h"

enum {
    FILTER_TEXT_MAX = 1024,
    SETTLE_MAX_S = 30,
};

typedef struct Snapshot {
    ExportAsk ask;
    Str name, filters;
    int64_t boundary;
    int64_t give_up_us;
    char expected[2 * CRYPTO_HASH_BYTES + 1]; /* "" while taking one */
    Str erased; /* when somebody's words were erased from it; ptr NULL: never */
    Hasher *hasher;                           /* arena memory */
    uint8_t digest[CRYPTO_HASH_BYTES];
} Snapshot;

/* ---- hashing ---- */

static void hash_out(Dataset *dataset)
{
    Snapshot *snapshot = dataset->context;
    Str bytes = buf_str(&dataset->out);
    hasher_add_raw(snapshot->hasher, bytes.ptr, bytes.len);
    buf_clear(&dataset->out);
    dataset_more(dataset);
}

static void store(Req *req, Dataset *dataset)
{
    Snapshot *snapshot = req->state;
    SEND(req, snapshot_add, finish_created, db_uuid(uuid_new()), db_int(req->caller.project_id),
         db_uuid(req->caller.id), db_text(snapshot->name), db_int(snapshot->boundary),
         db_text(snapshot->filters), db_bytes(snapshot->digest, sizeof snapshot->digest),
         db_int(dataset->exporter.comparisons), db_int(dataset->exporter.judgments),
         db_uuid(uuid_new()));
}

static void compare(Req *req)
{
    Snapshot *snapshot = req->state;
    char actual[2 * CRYPTO_HASH_BYTES + 1];
    Buf out = reply_buf();
    crypto_hex(actual, snapshot->digest, sizeof snapshot->digest);
    buf_put_text(&out, "{\"name\":");
    json_put_text(&out, snapshot->name);
    buf_put_format(&out, ",\"ok\":%s,\"expected\":\"%s\",\"actual\":\"%s\",\"erased_at\":",
                   strcmp(actual, snapshot->expected) == 0 ? "true" : "false", snapshot->expected,
                   actual);
    json_put_text(&out, snapshot->erased);
    buf_put_char(&out, '}');
    reply_json(req, 200, &out);
}

static void hashed(Dataset *dataset, const Err *err)
{
    Req *req = dataset->req;
    Snapshot *snapshot = req->state;
    if (err) {
        reply_error(req, err);
    } else {
        hash_out(dataset);
        hasher_final(snapshot->hasher, snapshot->digest);
        if (snapshot->expected[0])
            compare(req);
        else
            store(req, dataset);
    }
    dataset_free(dataset);
}

static void hash_dataset(Req *req)
{
    Err err = {0};
    ExportPlan plan;
    Snapshot *snapshot = req->state;
    snapshot->hasher = arena_alloc(&req->arena, hasher_size());
    if (!snapshot->hasher)
        return reply_fail(req, ERR_too_large, NULL, "the request needs too much memory");
    hasher_init(snapshot->hasher, NULL);
    if (!transfer_export_plan(&snapshot->ask, &plan, &req->arena, &err))
        return reply_error(req, &err);
    plan.has_boundary = true;
    plan.boundary = snapshot->boundary;
    Dataset *dataset = dataset_open(req, &plan, &err);
    if (!dataset)
        return reply_error(req, &err);
    dataset->ready = hash_out;
    dataset->done = hashed;
    dataset->context = snapshot;
}

/* ---- taking one ---- */

static void settled(Req *req, const Rows *rows)
{
    Snapshot *snapshot = req->state;
    if (rows_bool(rows, 0, 0))
        hash_dataset(req);
    else if (clock_monotonic_us() > snapshot->give_up_us)
        reply_fail(req, ERR_unavailable, NULL,
                   "another transaction has been open for long; try again when it has ended");
    else
        SEND(req, snapshot_settled, settled, db_int(snapshot->boundary));
}

static void begun(Req *req, const Rows *rows)
{
    Snapshot *snapshot = req->state;
    if (rows_count(rows) == 0)
        return reply_fail(req, ERR_forbidden, NULL, "you may not take snapshots of this project");
    if (rows_bool(rows, 0, 1))
        return reply_fail(req, ERR_conflict, "/name", "there is a snapshot of this name already");
    snapshot->boundary = rows_int(rows, 0, 0);
    snapshot->give_up_us = clock_monotonic_us() + (int64_t)SETTLE_MAX_S * 1000000;
    SEND(req, snapshot_settled, settled, db_int(snapshot->boundary));
}

/* A filter may be given as text or, for counts, as a number. */
static bool filter_read(Req *req, const char *name, json_t *value, Str *out, Err *err)
{
    *out = json_is_integer(value)
        ? arena_printf(&req->arena, "%lld", (long long)json_integer_value(value)) : json_str(value);
    if (out->ptr && out->len <= FILTER_TEXT_MAX)
        return true;
    return err_set(err, &req->arena, ERR_invalid, json_pointer(&req->arena, "/filters", name),
                   "must be text or a whole number");
}

static bool filters_read(Req *req, json_t *filters, ExportAsk *ask, Err *err)
{
    const char *name;
    json_t *value;
    json_object_foreach(filters, name, value) {
        Str *place = NULL;
#define X(member)                                                                                  \
        if (strcmp(name, #member) == 0)                                                            \
            place = &ask->member;
        SNAPSHOT_FILTERS(X)
#undef X
        if (!place)
            return err_set(err, &req->arena, ERR_invalid,
                           json_pointer(&req->arena, "/filters", name),
                           "is no filter of a snapshot");
        if (!json_is_null(value) && !filter_read(req, name, value, place, err))
            return false;
    }
    return true;
}

void snapshot_create(Req *req)
{
    Err err = {0};
    ExportPlan checked;
    json_t *filters = NULL;
    Snapshot *snapshot = arena_alloc(&req->arena, sizeof *snapshot);
    if (!snapshot)
        return reply_fail(req, ERR_too_large, NULL, "the request needs too much memory");
    const JsonField fields[] = {
        {.name = "name", .kind = JSON_FIELD_TEXT, .out = &snapshot->name, .required = true},
        {.name = "filters", .kind = JSON_FIELD_OBJECT, .out = &filters},
    };
    if (!req_decode(req, fields, LEN(fields)))
        return;
    if (!transfer_snapshot_name(snapshot->name))
        return reply_fail(req, ERR_invalid, "/name",
                          "must be letters, digits, dots, dashes and underscores, at most 100");
    if (filters && !filters_read(req, filters, &snapshot->ask, &err))
        return reply_error(req, &err);
    if (!transfer_export_plan(&snapshot->ask, &checked, &req->arena, &err)) {
        err.pointer = json_pointer(&req->arena, "/filters", err.pointer + 1);
        return reply_error(req, &err);
    }
    snapshot->filters = transfer_ask_write(&snapshot->ask, &req->arena);
    req->state = snapshot;
    SEND(req, snapshot_begin, begun, db_int(req->caller.project_id), db_uuid(req->caller.id),
         db_text(snapshot->name));
}

/* ---- the others ---- */

static void found(Req *req, const Rows *rows)
{
    Err err = {0};
    Snapshot *snapshot = req->state;
    if (rows_count(rows) == 0)
        return reply_fail(req, ERR_not_found, NULL, "there is no such snapshot");
    Str hash = rows_text(rows, 0, rows_column(rows, "hash"));
    if (hash.len >= sizeof snapshot->expected)
        return reply_fail(req, ERR_internal, NULL, "the stored hash is not one");
    snapshot->erased =
        arena_copy(&req->arena, rows_text(rows, 0, rows_column(rows, "erased_at")));
    memcpy(snapshot->expected, hash.ptr, hash.len);
    snapshot->boundary = rows_int(rows, 0, rows_column(rows, "_boundary"));
    if (!transfer_snapshot_filters(rows_text(rows, 0, rows_column(rows, "filters")),
                                   &snapshot->ask, &req->arena, &err))
        return reply_error(req, &err);
    hash_dataset(req);
}

void snapshot_verify(Req *req)
{
    Snapshot *snapshot = arena_alloc(&req->arena, sizeof *snapshot);
    if (!snapshot)
        return reply_fail(req, ERR_too_large, NULL, "the request needs too much memory");
    snapshot->name = req->params[1];
    req->state = snapshot;
    SEND(req, snapshot_find, found, db_int(req->caller.project_id), db_uuid(req->caller.id),
         db_text(snapshot->name));
}

void snapshot_list(Req *req)
{
    api_list(req, SQL_snapshot_list, AFTER_ID);
}
