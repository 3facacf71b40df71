/* serve.h - the handlers behind the table of serve/routes.c; each is called on the loop's thread.
 */
#ifndef AILERON_RM_SERVE_SERVE_H
#define AILERON_RM_SERVE_SERVE_H

#include "../../server/http/req.h"

void serve_score(Req *req);
void serve_classify(Req *req);
void serve_pooling(Req *req);
void serve_rerank(Req *req);
void serve_reward(Req *req);
void serve_health(Req *req);
void serve_metrics(Req *req);
void serve_models(Req *req);
void serve_model(Req *req);

#endif
