/* fuzz_thread.c - messages of clients: any JSON is threaded or refused, the same twice gives the
 * same, and another person gives another turn. */
// sources: server/gateway/thread.c server/base/buf.c server/base/json*.c
// sources: server/base/utf8.c server/base/arena.c server/base/err.c server/base/crypto.c
// sources: server/base/clock.c server/base/metrics.c
#include <stdlib.h>
#include "../../server/gateway/thread.h"

static bool same(Uuid a, Uuid b)
{
    return memcmp(a.bytes, b.bytes, sizeof a.bytes) == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static const uint8_t key[CRYPTO_KEY_BYTES] = {1};
    Arena arena;
    Err err = {0};
    Thread first, second, other;
    const Speaker ada = {.project_id = 1, .user = STR("ada")}, bob = {.project_id = 1,
                                                                     .user = STR("bob")};
    arena_init(&arena, MiB(8));
    json_t *messages = json_parse((Str){(const char *)bytes, size}, &arena, &err);
    if (messages != NULL && thread_read(&first, &ada, messages, key, &arena, &err)) {
        if (!thread_read(&second, &ada, messages, key, &arena, &err)) abort();
        if (!thread_read(&other, &bob, messages, key, &arena, &err)) abort();
        if (!same(first.turn_id, second.turn_id) || same(first.turn_id, other.turn_id)) abort();
        if (first.turn_from > json_array_size(messages)) abort();
        Uuid digest = thread_answer_digest(first.before);
        if (first.follows && !same(first.before_digest, digest)) abort();
    }
    json_decref(messages);
    arena_release(&arena);
    return 0;
}
