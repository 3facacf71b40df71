/* label.c - the rules that make labels of what people did, with their definitions and counts. */
#include "api.h"

/* GET /projects/{slug}/labels */
void label_list(Req *req)
{
    SEND(req, label_list, finish_list, db_int(req->caller.project_id), db_uuid(req->caller.id));
}
