/* batch.c - sending groups and settling them: group commit, and one culprit at a time.
 *
 * Everything between two Syncs is one implicit transaction. A group is the Requests up to and with
 * the one that has `sync_after`; off the WRITE lane every group has one member.
 *
 *   waiting --launch--> in_flight: [r r r r*] [r*] ...        * sync_after
 *                                   ^cursor: whose result comes next
 *   Sync comes back: the first group is settled
 *     all well            -> every `done` with its rows (the commit is durable now)
 *     one member, failed  -> `done` with the error, or `again` when trying anew may help
 *     more, one failed    -> nothing of it was committed: all go to `again`, a Sync each
 *
 * The next batch starts when the last has come back, so what arrives meanwhile shares a commit. */
#include "internal.h"
#include "merge.h"

#include "../base/clock.h"
#include "../base/metrics.h"

static void deliver(Lane *lane, Request *request)
{
    bool ok = request->result && result_ok(request->result);
    if (ok && request->children.count > 0) {
        merge_deliver(request, NULL);
        return;
    }
    if (ok) {
        request->done(request->context, rows_from(request->result), NULL);
    } else {
        Err err = {ERR_unavailable, "the connection to the database was lost", NULL};
        if (request->result)
            err_from_result(&err, &lane->db->scratch, request->result, sql_name(request->id));
        bool carrier = request->children.count > 0;
        if (carrier) {
            merge_deliver(request, &err);
        } else {
            metric_add(METRIC_db_errors_total, 1);
            request->done(request->context, NULL, &err);
        }
        arena_reset(&lane->db->scratch);
        if (carrier) return;
    }
    request_free(request);
}

/* Rolled back, not at fault perhaps: again with a Sync of its own, a carrier's children each. */
static void try_again(Lane *lane, Request *request)
{
    PQclear(request->result);
    request->result = NULL;
    if (request->children.count > 1)
        merge_apart(request, &lane->again);
    else
        queue_push(&lane->again, request);
}

/* A Sync has come back: settles the first group in flight. */
static void settle(Lane *lane)
{
    RequestQueue group = {NULL, NULL, 0, 0};
    bool failed = lane->commit_error != NULL;
    bool last = false;
    while (!last && lane->in_flight.head) {
        Request *request = queue_pop(&lane->in_flight);
        last = request->sync_after;
        failed = failed || !request->result || !result_ok(request->result);
        queue_push(&group, request);
    }
    assert(last); /* every Sync was sent behind a Request */
    lane->cursor = lane->in_flight.head;

    if (failed && group.count > 1) {
        metric_add(METRIC_db_batch_retries_total, 1);
        PQclear(lane->commit_error);
        lane->commit_error = NULL;
        for (Request *request; (request = queue_pop(&group));) try_again(lane, request);
        return;
    }
    if (lane->commit_error) { /* a group of one: the commit's failure is its own */
        PQclear(group.head->result);
        group.head->result = lane->commit_error;
        lane->commit_error = NULL;
    }
    bool retry = failed && lane->kind->batches && group.head->result &&
                 (group.head->children.count > 1 ||
                  (result_retryable(group.head->result) && group.head->tries < DB_WRITE_TRIES_MAX));
    if (retry) {
        try_again(lane, queue_pop(&group));
        return;
    }
    for (Request *request; (request = queue_pop(&group));) deliver(lane, request);
}

static void take_result(Lane *lane, PGresult *result)
{
    lane->progress_us = clock_monotonic_us();
    if (PQresultStatus(result) == PGRES_PIPELINE_SYNC) {
        PQclear(result);
        settle(lane);
        return;
    }
    Request *request = lane->cursor;
    if (!request) { /* all statements have answered: this is the commit */
        PQclear(lane->commit_error);
        lane->commit_error = result;
        return;
    }
    PQclear(request->result);
    request->result = result;
    lane->cursor = request->sync_after ? NULL : request->next;
}

void lane_read(Lane *lane)
{
    /* Even when nothing is in flight: an unread notice or end of file would wake us for ever. What
     * arrived before a broken connection still counts: a commit may be among it. */
    bool alive = PQconsumeInput(lane->conn) == 1;
    int nulls = 0; /* one stands between two statements; more mean that we wait for nothing */
    while (!PQisBusy(lane->conn)) {
        if (lane->state == LANE_READY && lane->in_flight.count == 0) break;
        PGresult *result = PQgetResult(lane->conn);
        if (!result) {
            if (++nulls > 2) break;
            continue;
        }
        nulls = 0;
        if (lane->state == LANE_PREPARING) {
            if (!lane_prepare_result(lane, result)) return;
        } else {
            take_result(lane, result);
        }
        if (PQstatus(lane->conn) == CONNECTION_BAD) break;
    }
    if (alive && PQstatus(lane->conn) != CONNECTION_BAD) return;
    lane_break_conn(lane);
}

static bool send_one(Lane *lane, RequestQueue *from, bool sync_after)
{
    Request *request = queue_pop(from);
    if (lane->in_flight.count == 0) lane->progress_us = clock_monotonic_us();
    request->sync_after = sync_after;
    request->tries++;
    bool first = lane->cursor == NULL && lane->in_flight.count == 0;
    queue_push(&lane->in_flight, request);
    if (first) lane->cursor = request;
    metric_add(METRIC_db_statements_total, 1);
    return PQsendQueryPrepared(lane->conn, sql_name(request->id), request->count, request->values,
                               request->lengths, request->formats, 0) == 1 &&
           (!sync_after || PQpipelineSync(lane->conn) == 1);
}

/* Takes from what is waiting: up to DB_BATCH_MAX statements each of those that take only free rows
 * and of the others, and those that merge (of one kind at a time) up to DB_MERGE_MAX as one of the
 * others, behind them. */
static void gather(Lane *lane, RequestQueue *nowait, RequestQueue *others)
{
    RequestQueue merged = {NULL, NULL, 0, 0}, left = {NULL, NULL, 0, 0};
    for (Request *request; (request = queue_pop(&lane->waiting));) {
        bool merges = sql_merges(request->id) && request->children.count == 0;
        RequestQueue *group = sql_waits(request->id) ? others : nowait;
        if (merges && merged.count < DB_MERGE_MAX &&
            (merged.count == 0 || merged.head->id == request->id))
            queue_push(&merged, request);
        else if (!merges && group->count < DB_BATCH_MAX)
            queue_push(group, request);
        else
            queue_push(&left, request);
    }
    lane->waiting = left;
    if (merged.count == 0) return;
    Request *carrier = merge_carrier(&merged);
    if (carrier)
        queue_push(others, carrier);
    else
        queue_fail(&merged, "out of memory");
}

static bool send_group(Lane *lane, RequestQueue *group)
{
    bool sent = true;
    if (group->count == 0) return true;
    metric_add(METRIC_db_batches_total, 1);
    metric_add(METRIC_db_batch_statements_total, group->count);
    while (sent && group->count > 0) sent = send_one(lane, group, group->count == 1);
    while (group->count > 0) queue_push(&lane->waiting, queue_pop(group)); /* the lane breaks now */
    return sent;
}

/* The WRITE lane: one batch in flight; rolled back ones first, alone each. */
static bool launch_batch(Lane *lane)
{
    if (lane->in_flight.count > 0) return true;
    bool sent = true;
    if (lane->again.count > 0) {
        while (sent && lane->again.count > 0) sent = send_one(lane, &lane->again, true);
        return sent;
    }
    RequestQueue nowait = {NULL, NULL, 0, 0}, others = {NULL, NULL, 0, 0};
    gather(lane, &nowait, &others);
    sent = send_group(lane, &nowait);
    if (sent) return send_group(lane, &others);
    while (others.count > 0) queue_push(&lane->waiting, queue_pop(&others));
    return false;
}

void lane_launch(Lane *lane)
{
    bool sent = true;
    if (lane->kind->batches) sent = launch_batch(lane);
    while (!lane->kind->batches && sent && lane->waiting.count > 0 &&
           lane->in_flight.count < DB_PIPELINE_DEPTH_MAX)
        sent = send_one(lane, &lane->waiting, true);
    if (sent) return;
    lane_break_conn(lane);
}
