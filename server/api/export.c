/* export.c - GET /projects/{slug}/export: a project's data as a download, in flat memory.
 *
 * The export is noted in the audit log before any of it leaves. The answer begins with the first
 * bytes, so that what goes wrong before them is a proper error; after them the transfer is cut off,
 * which the client notices. Reading pauses while the client does not take what is there. */
#include <stdlib.h>

#include "dataset.h"

typedef struct Export {
    ExportAsk ask;
    ExportPlan plan;
    Str slug;
} Export;

/* What the reply reads from; owns itself, freed when the reply is over. */
typedef struct Flow {
    Req *req;
    Dataset *dataset;
    bool replied;
    bool ended;
} Flow;

/* ---- the reply's side ---- */

static bool fill(void *context, Buf *out, bool *end)
{
    Flow *flow = context;
    Buf *from = &flow->dataset->out;
    size_t n = buf_waiting(from);
    if (n > DATASET_PIECE_BYTES)
        n = DATASET_PIECE_BYTES;
    buf_put(out, buf_str(from).ptr, n);
    buf_consume(from, n);
    *end = flow->ended && buf_waiting(from) == 0;
    if (buf_waiting(from) < DATASET_PIECE_BYTES)
        dataset_more(flow->dataset);
    return *end || n > 0;
}

static void close_flow(void *context)
{
    Flow *flow = context;
    dataset_free(flow->dataset);
    free(flow);
}

static void begin_reply(Flow *flow)
{
    const ReplyStream stream = {fill, close_flow, flow};
    Req *req = flow->req;
    const Export *export = req->state;
    flow->replied = true;
    req_add_header(req, "Content-Disposition",
                   arena_printf(&req->arena, "attachment; filename=\"" STR_FMT "-%s.jsonl\"",
                                STR_ARG(export->slug), export->plan.options.format->name));
    reply_stream(req, "application/x-ndjson", &stream);
}

/* ---- the dataset's side ---- */

static void ready(Dataset *dataset)
{
    Flow *flow = dataset->context;
    if (flow->replied)
        req_stream_wake(flow->req);
    else
        begin_reply(flow);
}

static void done(Dataset *dataset, const Err *err)
{
    Flow *flow = dataset->context;
    Req *req = flow->req;
    flow->ended = true;
    if (err && !flow->replied) {
        reply_error(req, err);
        close_flow(flow);
    } else if (err) {
        req_stream_abort(req);
    } else {
        ready(dataset);
    }
}

/* ---- the handler ---- */

static void open_flow(Req *req, const ExportPlan *plan)
{
    Err err = {0};
    Flow *flow = calloc(1, sizeof *flow);
    Dataset *dataset = flow ? dataset_open(req, plan, &err) : NULL;
    if (!dataset) {
        free(flow);
        if (!err.code)
            err = (Err){ERR_unavailable, "out of memory", NULL};
        reply_error(req, &err);
        return;
    }
    *flow = (Flow){.req = req, .dataset = dataset};
    dataset->ready = ready;
    dataset->done = done;
    dataset->context = flow;
}

/* The export has been noted; of a snapshot we have the boundary and filters now. */
static void noted(Req *req, const Rows *rows)
{
    Export *export = req->state;
    Err err = {0};
    if (rows_count(rows) == 0)
        return reply_fail(req, ERR_forbidden, NULL, "you may not export this project");
    if (export->plan.options.identify && !str_is(rows_text(rows, 0, 0), "owner"))
        return reply_fail(req, ERR_forbidden, "?identify", "only owners see names");
    if (export->ask.snapshot.ptr) {
        if (rows_is_null(rows, 0, 1))
            return reply_fail(req, ERR_not_found, "?snapshot", "there is no such snapshot");
        if (!transfer_snapshot_filters(rows_text(rows, 0, 2), &export->ask, &req->arena, &err) ||
            !transfer_export_plan(&export->ask, &export->plan, &req->arena, &err))
            return reply_error(req, &err);
        export->plan.has_boundary = true;
        export->plan.boundary = rows_int(rows, 0, 1);
    }
    open_flow(req, &export->plan);
}

void export_stream(Req *req)
{
#define X(member) #member,
    static const char *const names[] = {EXPORT_ASKS(X)};
#undef X
    Err err = {0};
    if (!req_query_only(req, names, LEN(names))) /* a filter misspelt would be none */
        return;
    Export *export = arena_alloc(&req->arena, sizeof *export);
    if (!export)
        return reply_fail(req, ERR_too_large, NULL, "the request needs too much memory");
#define X(member) export->ask.member = req_query(req, #member);
    EXPORT_ASKS(X)
#undef X
    if (!transfer_export_plan(&export->ask, &export->plan, &req->arena, &err))
        return reply_error(req, &err);
    if (export->plan.options.identify && req->caller.role < ROLE_OWNER)
        return reply_fail(req, ERR_forbidden, "?identify", "only owners see names");
    export->slug = req->params[0];
    req->state = export;
    SEND(req, export_open, noted, db_uuid(uuid_new()), db_int(req->caller.project_id),
         db_uuid(req->caller.id), db_text(str_from(export->plan.options.format->name)),
         db_text(transfer_ask_write(&export->ask, &req->arena)), db_text(export->ask.snapshot));
}
