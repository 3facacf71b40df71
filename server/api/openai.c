/* openai.c - the drop-in gateway, base /openai/v1: the caller is a project's key. */
#include "api.h"

#include "../gateway/gateway.h"

/* A key belongs to one project; an account's cookie does not say which is meant. */
static bool has_project(Req *req)
{
    bool may = req->caller.is_key && req->caller.role >= ROLE_ANNOTATOR;
    if (may && req->caller.project_id > 0) return true;
    if (req->caller.is_key) {
        reply_fail(req, ERR_forbidden, NULL, "this key may report events only");
        return false;
    }
    reply_fail(req, ERR_unauthenticated, NULL, "send a project's key: Authorization: Bearer ak_…");
    return false;
}

/* POST /openai/v1/chat/completions */
void openai_chat(Req *req)
{
    if (has_project(req)) gateway_chat(req->worker->gateway, req);
}

/* GET /openai/v1/models */
void openai_models(Req *req)
{
    if (has_project(req)) gateway_models(req->worker->gateway, req);
}

/* GET /openai/v1/models/{name}, also owner/name */
void openai_model(Req *req)
{
    if (has_project(req)) gateway_model(req->worker->gateway, req);
}
