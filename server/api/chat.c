/* chat.c - the chat and the arena of the pages: who is asked for answers is in gateway/, the rest
 * of a conversation is here. People see their own only. */
#include "api.h"

#include "../gateway/gateway.h"

/* GET /projects/{slug}/chat/models */
void chat_models(Req *req)
{
    gateway_names(req->worker->gateway, req);
}

/* POST /projects/{slug}/chat/messages */
void chat_message(Req *req)
{
    gateway_message(req->worker->gateway, req);
}
