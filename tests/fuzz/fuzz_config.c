/* fuzz_config.c - hostile config.json files. An accepted one fits the limits of nn/config.h; its
 * export is a config.json that reads as the same model, and exporting that changes nothing. */
// sources: reward_model/hub/config_read.c reward_model/hub/config_harmless.c
// sources: reward_model/hub/config_rope.c
// sources: reward_model/hub/config_export.c reward_model/hub/splice.c reward_model/nn/config.c
// sources: reward_model/text/template.c reward_model/text/template_source.c
// sources: reward_model/text/unicode.c server/base/json*.c
// sources: server/base/utf8.c server/base/arena.c server/base/buf.c server/base/err.c
// sources: server/base/crypto.c server/base/clock.c server/base/metrics.c
#include <stdlib.h>
#include "../../reward_model/hub/hub_internal.h"
#include "../../server/base/crypto.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool read_config(Str text, ModelConfig *config, Arena *arena)
{
    Err err = {0};
    json_t *root = json_parse_file(text, CONFIG_VALUES_MAX, arena, &err);
    bool ok = root != NULL && hub_config_read(root, config, arena, &err);
    if (!ok && err.detail == NULL) abort();
    json_decref(root);
    return ok;
}

static void export(Str text, const ModelConfig *config, Buf *out, Arena *arena)
{
    const Hub hub = {.config = *config, .config_text = text};
    const HubExport options = {.chat = TEMPLATE_HUMAN,
                               .pad_id = 0,
                               .deviation = 1,
                               .report_key = "{\"rows\":{\"n\":[1]}}"};
    Err err = {0};
    if (!config_export(&hub, &options, out, arena, &err)) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Arena arena;
    Buf first, second;
    ModelConfig config, again;
    Err err = {0};
    arena_init(&arena, MiB(8));
    buf_init(&first, 2 * (size_t)CONFIG_TEXT_MAX);
    buf_init(&second, 2 * (size_t)CONFIG_TEXT_MAX);
    Str text = {(const char *)data, size};
    if (crypto_init() && read_config(text, &config, &arena)) {
        if (!model_config_check(&config, &arena, &err)) abort();
        export(text, &config, &first, &arena);
        if (!read_config(buf_str(&first), &again, &arena)) abort();
        again.pad_id = config.pad_id;
        if (memcmp(&config, &again, sizeof config) != 0) abort();
        export(buf_str(&first), &config, &second, &arena);
        if (!str_equal(buf_str(&first), buf_str(&second))) abort();
    }
    buf_release(&first);
    buf_release(&second);
    arena_release(&arena);
    return 0;
}
