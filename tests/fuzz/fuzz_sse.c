/* fuzz_sse.c - streams of model servers, in pieces: events come out as the whole came in. */
// sources: server/gateway/sse.c server/base/buf.c
#include <stdlib.h>
#include "../../server/gateway/sse.h"

typedef struct Seen {
    Buf raw;
    size_t data;
} Seen;

static void on_event(void *context, Str raw, Str data)
{
    Seen *seen = context;
    buf_put_str(&seen->raw, raw);
    seen->data += data.len;
}

/* The first byte says how long the pieces are. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    if (size < 1) return 0;
    size_t step = bytes[0] % 17 + 1;
    Str text = {(const char *)bytes + 1, size - 1};
    Sse sse;
    Seen seen = {.data = 0};
    buf_init(&seen.raw, size + 1);
    sse_init(&sse);
    for (size_t at = 0; at < text.len; at += step) {
        Str piece = {text.ptr + at, text.len - at < step ? text.len - at : step};
        if (!sse_feed(&sse, piece, on_event, &seen)) abort();
    }
    sse_end(&sse, on_event, &seen);
    if (!str_equal(buf_str(&seen.raw), text) || seen.data > text.len) abort();
    sse_release(&sse);
    buf_release(&seen.raw);
    return 0;
}
