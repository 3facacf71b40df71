/* prepare.c - a fresh lane: its settings and every statement of the lane, under one Sync. */
#include "internal.h"

#include <stdio.h>
#include "../base/clock.h"
#include "../base/log.h"
#include "../base/metrics.h"

/* Short statements walk indexes, whatever the statistics of an empty or just filled table suggest:
 * a generic plan that hashes a million comparisons for one lease costs a second instead of half a
 * millisecond (measured, 1,000,000 open comparisons). Long statements choose freely.
 * Plans are made once and do not depend on the parameters: without this the sixth execution may
 * change the plan, and planning costs more than most of our statements. */
static const char settings[] =
    "select set_config('plan_cache_mode', 'force_generic_plan', false),"
    " set_config('statement_timeout', $1, false),"
    " set_config('idle_in_transaction_session_timeout', '30s', false),"
    " set_config('client_connection_check_interval', '5s', false),"
    " set_config('TimeZone', 'UTC', false),"
    " set_config('DateStyle', 'ISO', false),"
    " set_config('jit', 'off', false),"
    " set_config('synchronous_commit', replace(current_setting('synchronous_commit'), 'off', 'on'),"
    " false)," /* 2xx means on disk, whatever the server's default */
    " set_config('enable_seqscan', $2, false), set_config('enable_sort', $2, false),"
    " set_config('enable_hashjoin', $2, false), set_config('enable_mergejoin', $2, false),"
    " set_config('enable_bitmapscan', $2, false),"
    " set_config('bytea_output', 'hex', false)";

void lane_prepare_start(Lane *lane)
{
    char timeout[16];
    snprintf(timeout, sizeof timeout, "%d", lane->kind->timeout_ms);
    bool is_short = lane->kind->lane == LANE_fast || lane->kind->lane == LANE_write;
    const char *values[] = {timeout, is_short ? "off" : "on"};
    bool ok = PQsetnonblocking(lane->conn, 1) == 0 && PQenterPipelineMode(lane->conn) == 1 &&
              PQsendQueryParams(lane->conn, settings, 2, NULL, values, NULL, NULL, 0) == 1;
    for (int i = 0; ok && i < SQL_COUNT; i++) {
        SqlId id = (SqlId)i;
        if (sql_lane(id) != lane->kind->lane) continue;
        ok = PQsendPrepare(lane->conn, sql_name(id), sql_text(id), 0, NULL) == 1;
    }
    if (!ok || PQpipelineSync(lane->conn) != 1) {
        lane_break(lane, "the statements could not be sent");
        return;
    }
    lane->state = LANE_PREPARING;
    lane->preparing = 0;
    lane->progress_us = clock_monotonic_us();
    lane->due_us = lane->progress_us + (int64_t)DB_CONNECT_TIMEOUT_MS * 1000;
}

/* The nth answer after the settings' belongs to the lane's nth statement. */
static const char *prepared_name(const Lane *lane, int nth)
{
    for (int i = 0; i < SQL_COUNT; i++)
        if (sql_lane((SqlId)i) == lane->kind->lane && nth-- == 0) return sql_name((SqlId)i);
    return "settings";
}

bool lane_prepare_result(Lane *lane, PGresult *result)
{
    ExecStatusType status = PQresultStatus(result);
    if (status == PGRES_PIPELINE_SYNC) {
        PQclear(result);
        if (lane->was_ready) metric_add(METRIC_db_reconnects_total, 1);
        metric_add(METRIC_db_connected, 1);
        lane->state = LANE_READY;
        lane->was_ready = true;
        lane->unreachable = false;
        lane_set_silent(lane, false);
        lane->attempts = 0;
        lane->progress_us = clock_monotonic_us();
        return true;
    }
    if (!result_ok(result)) {
        Err err;
        err_from_result(&err, &lane->db->scratch, result, prepared_name(lane, lane->preparing - 1));
        PQclear(result);
        lane_break(lane, err.detail ? err.detail : "a statement could not be prepared");
        arena_reset(&lane->db->scratch);
        return false;
    }
    lane->preparing++;
    PQclear(result);
    return true;
}
