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

static void relay_whole(Exchange *x)
{
    const char *type = x->content_type.len > 0 ? x->content_type.ptr : "application/json";
    if (x->status == 200) exchange_name(x);
    if (x->retry_after.len > 0) req_add_header(x->req, "Retry-After", x->retry_after);
    reply_text(x->req, x->status, type, &x->body_in);
}

const ExchangeShape relay_shape = {"gateway", relay_event, relay_tail, relay_whole};
