/* fuzz_collect.c - answers of model servers, whole and in chunks: whatever they say, what is
 * collected has bounds and can be written down. */
// sources: server/gateway/collect.c server/base/buf.c server/base/json*.c
// sources: server/base/utf8.c server/base/arena.c server/base/err.c server/base/crypto.c
// sources: server/base/clock.c server/base/metrics.c
#include <stdlib.h>
#include "../../server/gateway/collect.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    Arena arena;
    Collect collect = {.choices = NULL};
    arena_init(&arena, MiB(8));
    Str rest = {(const char *)bytes, size};
    if (size > 0 && bytes[0] == 'W') {
        (void)!collect_reply(&collect, str_skip(rest, 1), &arena);
    }
    while (rest.len > 0) { /* chunks, one a line */
        const char *end = memchr(rest.ptr, '\n', rest.len);
        Str line = {rest.ptr, end == NULL ? rest.len : (size_t)(end - rest.ptr)};
        (void)!collect_chunk(&collect, line, &arena);
        rest = str_skip(rest, line.len + 1);
    }
    if (collect.count > COLLECT_CHOICES_MAX) abort();
    for (int i = 0; i < collect.count; i++) {
        const Choice *choice = &collect.choices[i];
        Buf out;
        if (choice->content.len > COLLECT_TEXT_BYTES_MAX) abort();
        json_t *message = choice_message(choice);
        buf_init(&out, MiB(16));
        json_put_value(&out, message);
        json_decref(message);
        buf_release(&out);
    }
    collect_release(&collect);
    arena_release(&arena);
    return 0;
}
