/* import.c - POST /projects/{slug}/import: a body of any length, streamed into the database.
 *
 *   body piece -> importer -> batch -> bulk lane; one batch in flight while the next one gathers
 *
 * When both batches are full the body waits (back-pressure reaches the client). If the client goes
 * away, what has been committed stays, and sending the same again adds only the rest. */
#include <stdlib.h>

#include "../base/log.h"
#include "../base/metrics.h"
#include "api.h"
#include "transfer.h"

enum {
    REFUSED_LISTED = 1000,       /* the others are only counted */
    REFUSED_BYTES_MAX = 4194304, /* of the list in the answer */
};

typedef struct Import {
    Req *req;
    Importer *importer;
    People *people;
    Buf refused;       /* JSON objects, comma-separated */
    int64_t refused_count;
    bool flying;       /* a batch is with the database */
    bool ended;        /* the body has been taken */
    bool replied;
    bool gone;         /* nobody waits for an answer */
} Import;

static void import_free(Import *import)
{
    importer_free(import->importer);
    transfer_people_free(import->people);
    buf_release(&import->refused);
    free(import);
}

/* Frees the import once nothing points at it: no batch with the database, no body to come. */
static void let_go(Import *import)
{
    if (!import->flying && (import->gone || (import->replied && import->ended)))
        import_free(import);
}

static void refuse(void *context, const ImportRefusal *refusal)
{
    Import *import = context;
    if (import->refused_count++ >= REFUSED_LISTED || import->refused.failed)
        return;
    size_t begun = import->refused.len;
    if (begun)
        buf_put_char(&import->refused, ',');
    buf_put_format(&import->refused, "{\"line\":%lld,\"error\":", (long long)refusal->line);
    json_put_text(&import->refused, str_from(refusal->error));
    buf_put_text(&import->refused, ",\"pointer\":");
    json_put_text(&import->refused, str_from(refusal->pointer));
    buf_put_char(&import->refused, '}');
    if (import->refused.failed)
        import->refused.len = begun;
}

static bool resolve(void *context, Str pseudonym, Str *name, Uuid *account)
{
    Import *import = context;
    return transfer_people_find(import->people, pseudonym, name, account);
}

static void fail(Import *import, const Err *err)
{
    if (import->replied)
        return;
    import->replied = true;
    if (!import->gone)
        reply_error(import->req, err);
}

/* The audit row of an import; its loss is logged and does not undo the import. A file that the page
 * sends in pieces is noted once, with its first piece. */
static void note(Import *import, const ImportCounts *counts)
{
    Req *req = import->req;
    Str first_line = req_query(req, "first_line");
    if (first_line.ptr && !str_is(first_line, "1") && !str_is(first_line, "2")) return;
    Str name = req_query(req, "name");
    Str detail = arena_printf(&req->arena,
                              "{\"comparisons\":%lld,\"judgments\":%lld,\"refused\":%lld}",
                              (long long)counts->comparisons, (long long)counts->judgments,
                              (long long)counts->refused);
    DbParam params[] = {db_uuid(uuid_new()), db_int(req->caller.project_id),
                        db_uuid(req->caller.id), db_text(STR("import")),
                        db_text(name.ptr && name.len <= ROW_NAME_MAX && utf8_valid(name, NULL)
                                    ? name : STR("")), db_text(detail)};
    api_post(req->worker, SQL_audit_add, params, LEN(params));
}

static void finish(Import *import)
{
    ImportCounts c = importer_counts(import->importer);
    if (import->replied)
        return;
    Buf out = reply_buf();
    import->replied = true;
    metric_add(METRIC_import_refused_total, c.refused);
    note(import, &c);
    buf_put_format(&out, "{\"prompts\":%lld,\"completions\":%lld,\"comparisons\":%lld,"
                   "\"judgments\":%lld,\"present\":%lld,\"refused\":[", (long long)c.prompts,
                   (long long)c.completions, (long long)c.comparisons, (long long)c.judgments,
                   (long long)c.present);
    buf_put(&out, import->refused.data, import->refused.len);
    buf_put_format(&out, "],\"refused_count\":%lld,\"format\":", (long long)c.refused);
    const Format *format = importer_format(import->importer);
    json_put_text(&out, str_from(format ? format->name : NULL));
    buf_put_char(&out, '}');
    reply_json(import->req, 200, &out);
}

/* ---- batches ---- */

static void landed(void *context, const Rows *rows, const Err *err);

/* Sends what is ready, if nothing is in flight. */
static void launch(Import *import)
{
    Err err = {0};
    if (import->flying || import->replied)
        return;
    if (importer_failed(import->importer)) {
        err = (Err){ERR_unavailable, "out of memory", NULL};
        fail(import, &err);
        return;
    }
    Batch *batch = importer_ready(import->importer);
    if (!batch)
        return;
    Req *req = import->req;
    DbParam params[IMPORT_PARAMS];
    transfer_import_params(params, req->caller.project_id, &req->caller.id, batch);
    import->flying = true;
    req_hold(req); /* the client may vanish while the batch is with the database */
    if (db_send(req->worker->db, SQL_import_batch, params, IMPORT_PARAMS, landed, import, &err))
        return;
    import->flying = false;
    fail(import, &err);
    req_release(req);
}

static bool take_result(Import *import, const Rows *rows)
{
    int32_t conflicts[BATCH_ROWS_MAX];
    ImportResult result;
    ImportCounts before = importer_counts(import->importer);
    if (!transfer_import_result(rows, &result, conflicts))
        return false;
    importer_landed(import->importer, &result);
    ImportCounts after = importer_counts(import->importer);
    metric_add(METRIC_import_rows_total, after.comparisons - before.comparisons);
    return true;
}

static void landed(void *context, const Rows *rows, const Err *err)
{
    Import *import = context;
    Req *req = import->req;
    Err forbidden = {ERR_forbidden, "you may not import into this project", NULL};
    import->flying = false;
    if (err || !take_result(import, rows))
        fail(import, err ? err : &forbidden);
    else if (!import->gone)
        launch(import);
    if (import->ended && !import->gone && importer_idle(import->importer))
        finish(import);
    else if (!import->ended && !import->gone)
        req_body_resume(req);
    let_go(import);
    req_release(req);
}

/* ---- the body ---- */

static size_t take(Req *req, Str bytes)
{
    Import *import = req->state;
    size_t taken = 0, some;
    if (import->replied)
        return bytes.len; /* refused already: read the rest away */
    do {
        some = importer_feed(import->importer, str_skip(bytes, taken));
        taken += some;
        launch(import);
    } while (some > 0 && taken < bytes.len && !import->replied);
    return import->replied ? bytes.len : taken;
}

static void end(Req *req)
{
    Import *import = req->state;
    import->ended = true;
    importer_end(import->importer);
    launch(import);
    if (!import->flying && !import->replied)
        finish(import);
    let_go(import);
}

static void gone(Req *req)
{
    Import *import = req->state;
    import->gone = true;
    let_go(import);
}

static const BodySink sink = {take, end, gone};

static void people_known(void *context, const Rows *rows, const Err *err)
{
    Import *import = context;
    Req *req = import->req;
    if (err) {
        import_free(import);
        reply_error(req, err);
        return;
    }
    import->people = transfer_people_new(rows, req->worker->server->pseudonym_key);
    req_body_into(req, &sink);
}

static bool read_format(Req *req, const Format **format)
{
    Str name = req_query(req, "format");
    *format = NULL;
    if (!name.ptr || str_is(name, "auto"))
        return true;
    *format = format_find(name);
    if (*format && (*format)->read)
        return true;
    reply_fail(req, ERR_invalid, "?format",
               "must be auto, aileron, trl-preference, trl-implicit, hh or votes");
    return false;
}

void import_create(Req *req)
{
    ImporterOptions options = {.refuse = refuse, .resolve = resolve};
    if (!read_format(req, &options.format) ||
        !req_query_int(req, "first_line", 1, INT64_MAX / 2, 1, &options.first_line))
        return;
    Import *import = calloc(1, sizeof *import);
    options.context = import;
    if (import)
        import->importer = importer_new(&options);
    if (!import || !import->importer) {
        free(import);
        reply_fail(req, ERR_unavailable, NULL, "out of memory");
        return;
    }
    import->req = req;
    buf_init(&import->refused, REFUSED_BYTES_MAX);
    req->state = import;
    Err err = {0};
    const DbParam params[] = {db_int(req->caller.project_id), db_uuid(req->caller.id)};
    if (db_send(req->worker->db, SQL_people_list, params, LEN(params), people_known, import, &err))
        return;
    import_free(import);
    reply_error(req, &err);
}
