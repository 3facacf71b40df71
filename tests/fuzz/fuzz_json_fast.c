/* fuzz_json_fast.c - the fast parser against jansson: what it takes, jansson takes, as the same
 * value with its members in the same order. */
// sources: server/base/json_fast.c server/base/json_write.c server/base/utf8.c server/base/buf.c
#include "../../server/base/json_fast.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Str text = {(const char *)data, size};
    Buf fast_text, slow_text;
    json_error_t error;
    if (!utf8_valid(text, NULL)) return 0;
    json_t *fast = json_parse_fast(text);
    json_t *slow = json_loadb(text.ptr, text.len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (fast) {
        if (!slow || !json_equal(fast, slow)) abort();
        buf_init(&fast_text, MiB(64));
        buf_init(&slow_text, MiB(64));
        json_put_value(&fast_text, fast);
        json_put_value(&slow_text, slow);
        if (!str_equal(buf_str(&fast_text), buf_str(&slow_text))) abort();
        buf_release(&fast_text);
        buf_release(&slow_text);
    }
    json_decref(fast);
    json_decref(slow);
    return 0;
}
