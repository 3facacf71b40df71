/* progress.c - how far a project is, and how fast it goes. */
#include "api.h"

/* GET /projects/{slug}/progress */
void project_progress(Req *req)
{
    SEND(req, progress_show, finish_body, db_int(req->caller.project_id), db_uuid(req->caller.id));
}
