/* relay.c - the surface `gateway`: what the model server says goes on untouched, byte for byte. */
#include "internal.h"

static void relay_event(Exchange *x, Str raw, Str data, Buf *out)
{
    (void)x;
    (void)data;
    buf_put_str(out, raw);
}

static void relay_tail(Exchange *x, Buf *out)
{
    buf_put_str(out, x->held); /* nothing when the stream broke off before its end */
}

static void relay_lost(Exchange *x, Buf *out)
{
    (void)x;
    buf_put_text(out,
                 "data: {\"error\":{\"message\":\"The answer could not be recorded; please try "
                 "again.\",\"type\":\"server_error\",\"param\":null,\"code\":"
                 "\"not_recorded\"}}\n\n");
}

static void relay_whole(Exchange *x)
{
    const char *type = x->content_type.len > 0 ? x->content_type.ptr : "application/json";
    if (x->status == 200) exchange_name(x);
    if (x->retry_after.len > 0) req_add_header(x->req, "Retry-After", x->retry_after);
    reply_text(x->req, x->status, type, &x->body_in);
}

static const ExchangeShape relay_shape = {
    .surface = "gateway",
    .event = relay_event,
    .tail = relay_tail,
    .lost = relay_lost,
    .whole = relay_whole,
};

void gateway_chat(Gateway *gateway, Req *req)
{
    Err err = {0};
    json_t *body = req_json(req);
    if (body == NULL) return;
    if (!json_is_object(body)) {
        reply_fail(req, ERR_invalid, "", "the body must be a JSON object");
        return;
    }
    Exchange *x = exchange_new(gateway, req, &relay_shape);
    if (x == NULL) return;
    x->body = body;
    x->text = req->body;
    if (exchange_decode_openai(x, &err)) {
        exchange_ask(x);
    } else {
        exchange_fail(x, err.code, err.pointer, err.detail);
    }
}
