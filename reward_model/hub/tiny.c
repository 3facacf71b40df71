/* tiny.c - the decoder of `--init tiny`: its files as a directory would hold them. */
#include "../../server/base/crypto.h"
#include "hub_internal.h"

static const char tokenizer_config[] = "{\n"
                                       "  \"tokenizer_class\": \"PreTrainedTokenizerFast\",\n"
                                       "  \"clean_up_tokenization_spaces\": false,\n"
                                       "  \"eos_token\": \"<|im_end|>\",\n"
                                       "  \"pad_token\": \"<|endoftext|>\",\n"
                                       "  \"model_max_length\": 2048\n"
                                       "}\n";

static void write_config(const ModelConfig *c, Buf *out)
{
    buf_put_text(out, "{\n  \"model_type\": \"llama\",\n  \"hidden_act\": \"silu\"");
    const struct {
        const char *name;
        int32_t value;
    } sizes[] = {
        {"vocab_size", c->vocabulary},
        {"hidden_size", c->width},
        {"intermediate_size", c->hidden},
        {"num_hidden_layers", c->layers},
        {"num_attention_heads", c->query_heads},
        {"num_key_value_heads", c->key_heads},
        {"head_dim", c->head_dim},
        {"max_position_embeddings", c->positions},
        {"bos_token_id", c->bos_id},
        {"eos_token_id", c->eos_id},
        {"pad_token_id", c->pad_id},
    };
    for (size_t i = 0; i < LEN(sizes); i++)
        if (sizes[i].value >= 0)
            buf_put_format(out, ",\n  \"%s\": %d", sizes[i].name, sizes[i].value);
    buf_put_format(out, ",\n  \"rms_norm_eps\": %.9g,\n  \"rope_theta\": %.9g", c->norm_epsilon,
                   c->rope_theta);
    buf_put_format(out, ",\n  \"initializer_range\": %.9g", c->initializer_range);
    buf_put_format(out, ",\n  \"attention_bias\": %s,\n  \"mlp_bias\": %s",
                   c->qkv_bias ? "true" : "false", c->mlp_bias ? "true" : "false");
    buf_put_text(out, ",\n  \"tie_word_embeddings\": false\n}\n");
}

bool hub_open_tiny(Hub *hub, Arena *arena, Err *err)
{
    struct HubFiles *files = hub->files;
    uint8_t digest[CRYPTO_HASH_BYTES];
    hub->config = model_config_tiny();
    tokenizer_write_tiny(&files->sides[SIDE_TOKENIZER]);
    buf_put_text(&files->sides[SIDE_TOKENIZER_CONFIG], tokenizer_config);
    buf_put_text(&files->sides[SIDE_TEMPLATE], template_source(TEMPLATE_CHATML));
    files->has[SIDE_TOKENIZER] = files->has[SIDE_TOKENIZER_CONFIG] = true;
    files->has[SIDE_TEMPLATE] = true;
    if (!buf_ok(&files->sides[SIDE_TOKENIZER]))
        return err_set(err, arena, ERR_internal, NULL, "out of memory");
    hub->tokenizer = tokenizer_read(buf_str(&files->sides[SIDE_TOKENIZER]), arena, err);
    if (hub->tokenizer == NULL) return false;
    assert(tokenizer_size(hub->tokenizer) <= hub->config.vocabulary);
    hub->config.pad_id = tokenizer_id(hub->tokenizer, STR("<|endoftext|>"));
    hub->config.eos_id = tokenizer_id(hub->tokenizer, STR("<|im_end|>"));
    hub->config.bos_id = -1;
    write_config(&hub->config, &files->config);
    hub->has_template = true;
    hub->chat = TEMPLATE_CHATML;
    hub->deviation = 1;
    crypto_hash(digest, STR(""), NULL);
    crypto_hex(hub->hash, digest, sizeof digest);
    return buf_ok(&files->config) || err_set(err, arena, ERR_internal, NULL, "out of memory");
}
