/* stats.c - what a project's ledger says in figures, each with its interval and its definition. */
#include "api.h"

#include "../base/clock.h"

/* GET /projects/{slug}/stats/conversations?since= */
void stats_conversations(Req *req)
{
    static const char *const names[] = {"since"};
    int64_t time_us;
    if (!req_query_only(req, names, LEN(names))) return;
    Str since = req_query(req, "since");
    if (since.ptr != NULL && !clock_read(since, &time_us)) {
        reply_fail(req, ERR_invalid, "?since", "must be a time like 2026-11-21T10:00:00Z");
        return;
    }
    SEND(req, stats_conversations, finish_body, db_int(req->caller.project_id),
         db_uuid(req->caller.id), db_text(since));
}
