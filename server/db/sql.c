/* sql.c - schema/queries/NAME.sql, embedded as they are by the assembler: comments included, so a
 * statement can be recognised in pg_stat_activity and in logs. */
#include "sql.h"

#include <assert.h>

#define X(name, lane)                                                                              \
    __asm__(".section .rodata\n"                                                                   \
            ".global sql_text_" #name "\n"                                                         \
            "sql_text_" #name ":\n"                                                                \
            ".incbin \"schema/queries/" #name ".sql\"\n"                                           \
            ".byte 0\n"                                                                            \
            ".previous\n");                                                                        \
    extern const char sql_text_##name[];
SQL_LIST(X)
#undef X

typedef struct SqlRow {
    const char *name;
    const char *text;
    DbLane lane;
} SqlRow;

static const SqlRow rows[SQL_COUNT + 1] = {
#define X(name, lane) {#name, sql_text_##name, LANE_##lane},
    SQL_LIST(X)
#undef X
};

const char *sql_text(SqlId id)
{
    assert(id < SQL_COUNT);
    return rows[id].text;
}

const char *sql_name(SqlId id)
{
    assert(id < SQL_COUNT);
    return rows[id].name;
}

DbLane sql_lane(SqlId id)
{
    assert(id < SQL_COUNT);
    bool writes = rows[id].lane == LANE_merge || rows[id].lane == LANE_nowait;
    return writes ? LANE_write : rows[id].lane;
}

bool sql_waits(SqlId id)
{
    assert(id < SQL_COUNT);
    return rows[id].lane != LANE_nowait;
}

bool sql_merges(SqlId id)
{
    assert(id < SQL_COUNT);
    return rows[id].lane == LANE_merge;
}
