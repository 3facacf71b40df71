/* sql.h - every statement of schema/queries, embedded at build and addressed by an enum.
 *
 * The directory is the list: the Makefile writes build/gen/sql_list.h with one X(name, LANE) a
 * file, LANE from the file's first line `-- lane: NAME`, a DbLane below. (none: command line and
 * streams only; it is prepared on no lane.) */
#ifndef AILERON_SQL_H
#define AILERON_SQL_H

#include <stdbool.h>
#include "sql_list.h"

typedef enum DbLane {
    LANE_fast,
    LANE_write,
    LANE_slow,
    LANE_bulk,
    LANE_stream,
    LANE_none,
    LANE_merge, /* these two are written in files only: LANE_write, and sql_merges */
    LANE_nowait /* LANE_write, and sql_waits is false */
} DbLane;

typedef enum SqlId {
#define X(name, lane) SQL_##name,
    SQL_LIST(X)
#undef X
        SQL_COUNT
} SqlId;

const char *sql_text(SqlId id); /* NUL-terminated statement text */
const char *sql_name(SqlId id); /* "lease_take" */
DbLane sql_lane(SqlId id);      /* never LANE_merge or LANE_nowait */
/* Its parameters are arrays, and those who send it at the same time share one execution; each sends
 * scalars (text format) and gets its own rows, told apart by the result's column _place. */
bool sql_merges(SqlId id);
/* False: it takes only rows that nobody holds (skip locked). Such statements commit apart from
 * those that wait, so that no batch waits for one row while it holds others: that would be a
 * deadlock with another worker's batch, found only after PostgreSQL's deadlock_timeout. */
bool sql_waits(SqlId id);

#endif
