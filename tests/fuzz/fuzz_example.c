/* fuzz_example.c - hostile lines of training data, one after the other through one reader. What is
 * accepted points at its own answers only, and reads the same again. */
// sources: reward_model/data/example.c reward_model/data/unpaired.c reward_model/text/message.c
// sources: server/base/content.c
// sources: server/formats/*.c server/base/json*.c server/base/utf8.c
// sources: server/base/arena.c server/base/buf.c server/base/err.c server/base/crypto.c
// sources: server/base/clock.c server/base/metrics.c
#include <stdlib.h>

#include "../../reward_model/data/example.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const Example *example)
{
    if (example->without_text) return;
    if (example->answers < 1 || example->answers > ROW_COMPLETIONS_MAX) abort();
    if (example->bucket < 0 || example->bucket >= SPLIT_BUCKETS) abort();
    for (int i = 0; i < example->said_count; i++) {
        const Opinion *o = &example->said[i].opinion;
        bool label = o->kind == LOSS_LABEL;
        if (o->count < 1 || o->count > example->answers || (o->count == 1) != label) abort();
        if (!(o->weight > 0 && o->weight <= 1)) abort();
        if (o->label < 0 || o->label >= LOSS_KINDS_MAX) abort();
        for (int k = 0; k < o->count; k++)
            if (o->members[k] < 0 || o->members[k] >= example->answers || o->ranks[k] < 0 ||
                o->ranks[k] >= o->count)
                abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool ready;
    ExampleReader reader;
    if (!ready && !crypto_init()) abort();
    ready = true;
    example_reader_init(&reader);
    for (size_t at = 0; at < size;) {
        const uint8_t *feed = memchr(data + at, '\n', size - at);
        size_t end = feed ? (size_t)(feed - data) : size;
        Str line = {(const char *)data + at, end - at};
        Example first, second;
        Err err = {0};
        bool ok = example_read(&reader, line, &first, &err);
        if (!ok && err.code == ERR_none) abort();
        if (ok) {
            check(&first);
            uint64_t prompt_hash = first.prompt_hash;
            int said = first.said_count;
            if (!example_read(&reader, line, &second, &err) || second.said_count != said ||
                second.prompt_hash != prompt_hash)
                abort();
        }
        at = end + 1;
    }
    example_reader_release(&reader);
    return 0;
}
