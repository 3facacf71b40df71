/* dataset.c - see dataset.h.
 *
 *   aggregate=model:  votes -> fit (job pool) -> rows -> out
 *   else                                          rows -> out */
#include "dataset.h"

#include <stdlib.h>

#include "../base/metrics.h"

enum { VOTE_ARENA_MAX = 1 << 20 };
#define DATASET_OUT_MAX MiB(256) /* one comparison may be many MiB */

static void end(Dataset *dataset, const Err *err)
{
    dataset->stream = NULL;
    metric_add(METRIC_export_rows_total, dataset->exporter.lines);
    dataset->done(dataset, err);
}

/* ---- rows ---- */

static bool take_row(void *context, const Rows *rows)
{
    Dataset *dataset = context;
    Row row;
    bool wanted = true;
    if (!transfer_export_row(rows, dataset->pass, &dataset->plan, &row, &wanted,
                             &dataset->exporter.arena)) {
        dataset->failed = true;
    } else if (!wanted) {
        arena_reset(&dataset->exporter.arena);
    } else if (!exporter_row(&dataset->exporter, &row, &dataset->out)) {
        dataset->failed = !buf_ok(&dataset->out);
        dataset->full = true;
    }
    if (dataset->failed || dataset->full) {
        static const Err broken = {ERR_internal, "a row could not be written", NULL};
        db_stream_cancel(dataset->stream); /* nothing more is wanted */
        end(dataset, dataset->failed ? &broken : NULL);
        return true;
    }
    if (buf_waiting(&dataset->out) < DATASET_PIECE_BYTES)
        return true;
    dataset->paused = true;
    dataset->ready(dataset);
    return !dataset->paused;
}

static bool open_pass(Dataset *dataset, ExportPass from, Err *err, bool *none);

static void rows_done(void *context, const Rows *rows, const Err *err)
{
    Dataset *dataset = context;
    Err wrong = {0};
    bool none = false;
    (void)rows;
    if (err || dataset->pass + 1 == EXPORT_PASSES) {
        end(dataset, err);
    } else if (!open_pass(dataset, dataset->pass + 1, &wrong, &none)) {
        end(dataset, none ? NULL : &wrong);
    }
}

/* *none: the plan wants no further pass. */
static bool open_pass(Dataset *dataset, ExportPass from, Err *err, bool *none)
{
    DbParam params[EXPORT_PARAMS];
    SqlId statement;
    size_t count;
    Req *req = dataset->req;
    *none = !transfer_export_pass(&dataset->plan, from, &dataset->pass, &statement, &count);
    if (*none)
        return false;
    transfer_export_params(params, dataset->pass, req->caller.project_id, &req->caller.id,
                           &dataset->plan);
    dataset->stream = db_stream_open(req->worker->db, statement, params, count, take_row,
                                     rows_done, dataset, err);
    return dataset->stream != NULL;
}

static bool open_rows(Dataset *dataset, Err *err)
{
    bool none = false;
    exporter_init(&dataset->exporter, &dataset->plan.options);
    if (open_pass(dataset, EXPORT_JUDGED, err, &none))
        return true;
    return none ? err_set(err, &dataset->req->arena, ERR_invalid, "?rule",
                          "a rule is of implicit rows: source=implicit or all")
                : false;
}

void dataset_more(Dataset *dataset)
{
    if (!dataset->paused)
        return;
    dataset->paused = false;
    if (dataset->stream)
        db_stream_resume(dataset->stream);
}

/* ---- aggregate=model ---- */

static void fit(void *arg)
{
    Dataset *dataset = arg;
    if (!reliability_fit(dataset->reliability))
        dataset->failed = true;
}

static void fitted(void *arg)
{
    static const Err broken = {ERR_unavailable, "out of memory", NULL};
    Dataset *dataset = arg;
    Err err = {0};
    dataset->fitting = false;
    if (dataset->abandoned) {
        dataset_free(dataset);
        return;
    }
    dataset->plan.options.weight = transfer_weight;
    dataset->plan.options.context = dataset->reliability;
    if (dataset->failed)
        end(dataset, &broken);
    else if (!open_rows(dataset, &err))
        end(dataset, &err);
}

static bool take_vote(void *context, const Rows *rows)
{
    Dataset *dataset = context;
    if (!dataset->failed && !transfer_vote_row(&dataset->votes, rows, &dataset->arena))
        dataset->failed = true;
    arena_reset(&dataset->arena);
    return true;
}

static void votes_done(void *context, const Rows *rows, const Err *err)
{
    static const Err many = {ERR_invalid, "there are too many judgments for aggregate=model",
                             "?aggregate"};
    static const Err busy = {ERR_unavailable, "the server is busy; try again later", NULL};
    Dataset *dataset = context;
    Worker *worker = dataset->req->worker;
    (void)rows;
    dataset->stream = NULL;
    if (err || dataset->failed) {
        end(dataset, err ? err : &many);
        return;
    }
    dataset->job = (Job){.run = fit, .done = fitted, .arg = dataset, .inbox = worker->inbox};
    dataset->fitting = jobs_submit(worker->server->jobs, &dataset->job);
    if (!dataset->fitting)
        end(dataset, &busy);
}

static bool open_votes(Dataset *dataset, Err *err)
{
    DbParam params[EXPORT_PARAMS];
    Req *req = dataset->req;
    dataset->reliability = reliability_new();
    if (!dataset->reliability)
        return err_set(err, &req->arena, ERR_unavailable, NULL, "out of memory");
    dataset->votes.reliability = dataset->reliability;
    transfer_export_params(params, EXPORT_JUDGED, req->caller.project_id, &req->caller.id,
                           &dataset->plan);
    dataset->stream = db_stream_open(req->worker->db, SQL_export_votes, params, VOTE_PARAMS,
                                     take_vote, votes_done, dataset, err);
    return dataset->stream != NULL;
}

/* ---- the dataset ---- */

Dataset *dataset_open(Req *req, const ExportPlan *plan, Err *err)
{
    Dataset *dataset = calloc(1, sizeof *dataset);
    if (!dataset) {
        err_set(err, &req->arena, ERR_unavailable, NULL, "out of memory");
        return NULL;
    }
    dataset->req = req;
    dataset->plan = *plan;
    memcpy(dataset->plan.options.key, req->worker->server->pseudonym_key, CRYPTO_KEY_BYTES);
    buf_init(&dataset->out, DATASET_OUT_MAX);
    arena_init(&dataset->arena, VOTE_ARENA_MAX);
    bool model = plan->options.aggregate == AGGREGATE_MODEL;
    if (model ? open_votes(dataset, err) : open_rows(dataset, err))
        return dataset;
    dataset_free(dataset);
    return NULL;
}

void dataset_free(Dataset *dataset)
{
    if (!dataset)
        return;
    if (dataset->fitting) { /* the job still reads it: fitted() comes back here */
        dataset->abandoned = true;
        return;
    }
    if (dataset->stream)
        db_stream_cancel(dataset->stream);
    exporter_release(&dataset->exporter);
    buf_release(&dataset->out);
    arena_release(&dataset->arena);
    reliability_free(dataset->reliability);
    free(dataset);
}
