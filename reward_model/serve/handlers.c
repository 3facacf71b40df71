/* handlers.c - see serve.h. */
#include "serve.h"

#include "counts.h"
#include "loop.h"

void serve_score(Req *req)
{
    loop_submit(req, SHAPE_SCORE);
}

void serve_classify(Req *req)
{
    loop_submit(req, SHAPE_CLASSIFY);
}

void serve_pooling(Req *req)
{
    loop_submit(req, SHAPE_POOLING);
}

void serve_rerank(Req *req)
{
    loop_submit(req, SHAPE_RERANK);
}

void serve_reward(Req *req)
{
    loop_submit(req, SHAPE_REWARD);
}

/* Whoever balances the load sends nothing more once the service drains. */
void serve_health(Req *req)
{
    const Worker *loop = req->worker;
    Buf out;
    buf_init(&out, KiB(4));
    buf_put_format(&out, "{\"status\":\"%s\",\"model\":", loop->stops ? "stopping" : "ok");
    json_put_text(&out, str_from(loop->options.model.name));
    buf_put_format(&out, ",\"waiting\":%lld}", (long long)loop->tickets);
    reply_json(req, loop->stops ? 503 : 200, &out);
}

void serve_metrics(Req *req)
{
    Buf out;
    buf_init(&out, KiB(64));
    counts_write(&out);
    reply_text(req, 200, "text/plain; version=0.0.4; charset=utf-8", &out);
}

void serve_models(Req *req)
{
    Buf out;
    buf_init(&out, KiB(4));
    answer_write_models(&out, &req->worker->options.model, true);
    reply_json(req, 200, &out);
}

void serve_model(Req *req)
{
    const ServedModel *model = &req->worker->options.model;
    Buf out;
    if (!str_is(req->params[0], model->name)) {
        reply_fail(req, ERR_not_found, NULL, "there is no model of this name");
        return;
    }
    buf_init(&out, KiB(4));
    answer_write_models(&out, model, false);
    reply_json(req, 200, &out);
}
