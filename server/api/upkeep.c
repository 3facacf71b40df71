/* upkeep.c - what must happen though nobody asks: leases that ran out, partitions for the coming
 * month. */
#include "api.h"

#include "../base/clock.h"
#include "../base/log.h"
#include "../base/metrics.h"

enum { EXPIRE_BATCH_MAX = 500, SESSIONS_BATCH_MAX = 1000 };
#define EXPIRE_EVERY_US    (1 * 1000 * 1000)
#define SESSIONS_EVERY_US  (2 * 1000 * 1000)
#define ERASE_EVERY_US     (60 * (int64_t)1000 * 1000)
#define PARTITION_EVERY_US (6 * 3600 * (int64_t)1000 * 1000)

enum { ANALYZE_ROWS_MIN = 200 };
#define ANALYZE_EVERY_US (5 * 1000 * 1000)

static bool expiring; /* worker 0 only: one sweep in flight at a time */
static int64_t sessions_due_us, erase_due_us;
static int64_t partitions_due_us;
static int64_t analyze_due_us, analyzed_rows;

static void expired(void *context, const Rows *rows, const Err *err)
{
    (void)context;
    expiring = false;
    if (err) {
        log_event(LOG_WARN, "lease_expire", "%s", err->detail ? err->detail : err_name(err->code));
        return;
    }
    int64_t count = rows_count(rows) ? rows_int(rows, 0, 0) : 0;
    metric_add(METRIC_leases_expired_total, count);
    if (count > 0) log_event(LOG_INFO, "lease_expire", "%lld leases ran out", (long long)count);
}

/* Once a fifth more rows have come in than were there when the statistics were last taken. */
static void analyze_imports(Worker *worker, int64_t now)
{
    int64_t rows = metric_value(METRIC_import_rows_total);
    if (now < analyze_due_us || rows - analyzed_rows < ANALYZE_ROWS_MIN + analyzed_rows / 5) return;
    analyze_due_us = now + ANALYZE_EVERY_US;
    analyzed_rows = rows;
    api_post(worker, SQL_import_analyze, NULL, 0);
}

void upkeep_tick(Worker *worker)
{
    int64_t now = clock_monotonic_us();
    if (!db_ready(worker->db) || now < worker->upkeep_due_us) return;
    worker->upkeep_due_us = now + EXPIRE_EVERY_US;
    Err err = {0};
    DbParam limit = db_int(EXPIRE_BATCH_MAX);
    if (!expiring && db_send(worker->db, SQL_lease_expire, &limit, 1, expired, NULL, &err))
        expiring = true;
    analyze_imports(worker, now);
    if (now >= sessions_due_us) {
        sessions_due_us = now + SESSIONS_EVERY_US;
        DbParam most = db_int(SESSIONS_BATCH_MAX);
        api_post(worker, SQL_session_close, &most, 1);
    }
    if (now >= erase_due_us) {
        erase_due_us = now + ERASE_EVERY_US;
        DbParam most = db_int(SESSIONS_BATCH_MAX);
        api_post(worker, SQL_erase_expired, &most, 1);
    }
    if (now >= partitions_due_us) {
        partitions_due_us = now + PARTITION_EVERY_US;
        DbParam months = db_int(1);
        api_post(worker, SQL_partition_ensure, &months, 1);
    }
}
