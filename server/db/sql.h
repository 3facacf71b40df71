/* sql.h - every statement of schema/queries, embedded at build and addressed by an enum.
 *
 * The directory is the list: the Makefile writes build/gen/sql_list.h with one X(name, LANE) a
 * file, LANE from the file's first line `-- lane: fast|write|slow|bulk|stream|none`. (none: command
 * line and streams only; it is prepared on no lane.) */
#ifndef AILERON_SQL_H
#define AILERON_SQL_H

#include "sql_list.h"

typedef enum DbLane { LANE_fast, LANE_write, LANE_slow, LANE_bulk, LANE_stream, LANE_none } DbLane;

typedef enum SqlId {
#define X(name, lane) SQL_##name,
    SQL_LIST(X)
#undef X
        SQL_COUNT
} SqlId;

const char *sql_text(SqlId id); /* NUL-terminated statement text */
const char *sql_name(SqlId id); /* "lease_take" */
DbLane sql_lane(SqlId id);

#endif
