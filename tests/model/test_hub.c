/* test_hub.c - directories of every family are opened, loaded, exported and loaded again with the
 * same values; what a model cannot do, lacks or has too much is refused by name; the last-token
 * rules. */
#include <math.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include "../../reward_model/hub/config_read.h"
#include "../../reward_model/hub/files.h"
#include "../../reward_model/hub/hub.h"
#include "../../reward_model/text/encode.h"
#include "../../server/base/crypto.h"
#include "../unit/unit.h"

static Arena arena;
static Err err;
static char folder[] = "/tmp/aileron-hub-XXXXXX";
static Device *device;

#define COMMON                                                                                     \
    "\"vocab_size\": 300, \"hidden_size\": 16, \"num_hidden_layers\": 2, "                         \
    "\"num_attention_heads\": 4, \"intermediate_size\": 24, \"max_position_embeddings\": 64, "

/* A config.json for each family and spelling, and how its weights are named. */
static const struct Source {
    const char *config;
    size_t unprefixed;    /* bytes of the names that the file lacks */
    const char *extra[3]; /* tensors that change no score */
} sources[] = {
    {"{\"model_type\": \"gpt2\", \"vocab_size\": 300, \"n_embd\": 16, \"n_layer\": 2, \"n_head\": "
     "4,"
     " \"n_positions\": 32, \"n_ctx\": 32, \"activation_function\": \"gelu_new\", \"n_inner\": "
     "null, \"resid_pdrop\": 0.1, \"task_specific_params\": {\"text-generation\": {}}, "
     "\"eos_token_id\": 256, \"n_special\": 0, \"predict_special_tokens\": true}",
     12,
     {"h.0.attn.bias", "h.1.attn.masked_bias", NULL}},
    {"{\"model_type\": \"gpt2\", \"vocab_size\": 300, \"n_embd\": 16, \"n_layer\": 1, \"n_head\": "
     "2,"
     " \"n_positions\": 32, \"activation_function\": \"gelu\", \"n_inner\": 40, \"num_labels\": 5}",
     0,
     {"lm_head.weight", NULL}},
    {"{\"model_type\": \"gpt_neox\", " COMMON "\"rotary_pct\": 0.5, \"rotary_emb_base\": 10000, "
     "\"hidden_act\": \"gelu\", \"torch_dtype\": \"float16\"}",
     0,
     {"gpt_neox.layers.0.attention.rotary_emb.inv_freq", "embed_out.weight", NULL}},
    {"{\"model_type\": \"gpt_neox\", " COMMON "\"use_parallel_residual\": false, "
     "\"attention_bias\": false, \"rope_parameters\": {\"rope_type\": \"default\", \"rope_theta\": "
     "10000.0, \"partial_rotary_factor\": 0.5}}",
     0,
     {"gpt_neox.layers.1.attention.bias", "gpt_neox.layers.1.attention.masked_bias", NULL}},
    {"{\"model_type\": \"llama\", " COMMON "\"num_key_value_heads\": 2, \"rope_theta\": 100000, "
     "\"rope_scaling\": null, \"rms_norm_eps\": 1e-05, \"pretraining_tp\": 1, \"rope_interleaved\":"
     " false, \"tie_word_embeddings\": true, \"eos_token_id\": [257, 258]}",
     0,
     {"lm_head.weight", NULL}},
    {"{\"model_type\": \"llama\", " COMMON
     "\"head_dim\": 8, \"attention_bias\": true, \"mlp_bias\": "
     "true, \"dtype\": \"bfloat16\", \"rope_parameters\": {\"rope_type\": \"llama3\", "
     "\"rope_theta\": 500000.0, \"factor\": 32.0, \"low_freq_factor\": 1.0, \"high_freq_factor\": "
     "4.0, \"original_max_position_embeddings\": 8192}}",
     6,
     {NULL}},
    {"{\"model_type\": \"qwen2\", " COMMON
     "\"num_key_value_heads\": 2, \"use_sliding_window\": false,"
     " \"sliding_window\": 4096, \"max_window_layers\": 21, \"rope_theta\": 1e6}",
     0,
     {NULL}},
    {"{\"model_type\": \"qwen3\", " COMMON "\"num_key_value_heads\": 2, \"head_dim\": 8, "
     "\"layer_types\": [\"full_attention\", \"full_attention\"], \"rope_scaling\": {\"type\": "
     "\"linear\", \"factor\": 2.0}}",
     0,
     {NULL}},
};

static const char tokenizer_config[] =
    "{\"bos_token\": null, \"eos_token\": {\"content\": \"<|im_end|>\"}, "
    "\"model_max_length\": 1000000000000000019884624838656,\n \"pad_token\" : null , \"z\": [1]}";

static const char *in_folder(const char *name)
{
    return path_under(&arena, folder, name);
}

static void put_file(const char *name, Str text)
{
    ck_assert(file_write(in_folder(name), text, &arena, &err));
}

static Str get_file(const char *name, Buf *out)
{
    buf_clear(out);
    ck_assert_msg(file_read(in_folder(name), out, &arena, &err), "%s", err.detail);
    return buf_str(out);
}

static void begin(void)
{
    arena_release(&arena);
    arena_init(&arena, MiB(256));
    err = (Err){0};
}

static Model *model_with(const ModelConfig *config, int32_t heads, uint64_t seed)
{
    const ModelOptions options = {.mode = TRAIN_NOTHING, .heads = heads, .seed = seed};
    Model *model = model_new(device, config, &options, &arena, &err);
    ck_assert_msg(model != NULL, "%s", err.detail);
    return model;
}

static bool put_nan; /* put_weights spoils one value */

static size_t count_of(HubTensor tensor)
{
    return (size_t)tensor.shape[0] * (size_t)(tensor.rank == 2 ? tensor.shape[1] : 1);
}

/* Writes the model's tensors as the source names them, with `labels` rows of score.weight. */
static void put_weights(const struct Source *source, const Model *model, int32_t labels)
{
    TensorEntry entries[100];
    HubTensor tensors[100];
    static const float zeros[1 << 16];
    size_t count = (size_t)model_tensors(model), all = count;
    for (size_t i = 0; i < count; i++) {
        tensors[i] = model_tensor(model, (int32_t)i);
        entries[i] = (TensorEntry){tensors[i].name + source->unprefixed,
                                   TENSOR_F32,
                                   tensors[i].rank,
                                   {tensors[i].shape[0], tensors[i].shape[1]}};
    }
    for (int i = 0; i < 3 && source->extra[i] != NULL; i++)
        entries[all++] = (TensorEntry){source->extra[i], TENSOR_F16, 3, {1, 2, 3}};
    if (labels > 0)
        entries[all++] =
            (TensorEntry){"score.weight", TENSOR_F32, 2, {labels, model_config(model)->width}};
    SafetensorsWriter *writer =
        safetensors_write(in_folder("source/model.safetensors"), entries, all, NULL, &arena, &err);
    ck_assert_msg(writer != NULL, "%s", err.detail);
    for (size_t i = 0; i < all; i++) {
        float *values = calloc(1 << 16, sizeof *values);
        if (i < count) model_tensor_get(model, (int32_t)i, values);
        if (i + 1 == all && labels > 0) model_heads_get(model, values);
        if (i == 2 && put_nan) values[17] = NAN;
        ck_assert(safetensors_put(writer, i, i < all ? values : zeros, &arena, &err));
        free(values);
    }
    ck_assert(safetensors_finish(writer, true, &arena, &err));
}

static void put_tokenizer(void)
{
    Buf text;
    buf_init(&text, MiB(1));
    tokenizer_write_tiny(&text);
    put_file("source/tokenizer.json", buf_str(&text));
    put_file("source/tokenizer_config.json", str_from(tokenizer_config));
    buf_release(&text);
}

/* The source's directory with fresh weights, and the model that has them. */
static Model *put_source(const struct Source *source, int32_t labels)
{
    ModelConfig config;
    json_t *root = json_parse_file(str_from(source->config), 1000, &arena, &err);
    ck_assert_msg(root != NULL && hub_config_read(root, &config, &arena, &err), "%s", err.detail);
    json_decref(root);
    Model *model = model_with(&config, labels > 0 ? labels : 1, 7);
    ck_assert(directory_make(in_folder("source"), &arena, &err));
    put_file("source/config.json", str_from(source->config));
    put_tokenizer();
    put_weights(source, model, labels);
    return model;
}

static void ck_same(const Model *a, const Model *b, bool heads)
{
    ck_assert_int_eq(model_tensors(a), model_tensors(b));
    for (int32_t i = 0; i < model_tensors(a); i++) {
        HubTensor tensor = model_tensor(a, i);
        size_t bytes = count_of(tensor) * sizeof(float);
        float *x = malloc(bytes), *y = malloc(bytes);
        model_tensor_get(a, i, x);
        model_tensor_get(b, i, y);
        ck_assert_msg(memcmp(x, y, bytes) == 0, "%s", tensor.name);
        free(x);
        free(y);
    }
    float x[256], y[256];
    ck_assert_int_le(model_heads(a) * model_config(a)->width, 256);
    model_heads_get(a, x);
    model_heads_get(b, y);
    if (heads)
        ck_assert_mem_eq(x, y, (size_t)(model_heads(a) * model_config(a)->width) * sizeof(float));
}

static Model *open_and_load(Hub *hub, const char *name, int32_t heads)
{
    ck_assert_msg(hub_open(hub, in_folder(name), &arena, &err), "%s", err.detail);
    Model *model = model_with(&hub->config, heads, 99);
    ck_assert_msg(hub_load(hub, model, &arena, &err), "%s", err.detail);
    return model;
}

START_TEST(every_family_comes_back_from_its_export)
{
    for (size_t i = 0; i < LEN(sources); i++) {
        Hub hub, again;
        HubExport options = {.chat = TEMPLATE_HUMAN,
                             .report_key = "{\"data\": [1.5]}",
                             .mean = 0.25,
                             .deviation = 2,
                             .type = TENSOR_F32};
        begin();
        int32_t labels = i % 2 == 0 ? 0 : 1;
        Model *first = put_source(&sources[i], labels);
        Model *second = open_and_load(&hub, "source", labels == 0 ? 3 : 1);
        ck_assert_int_eq(hub.heads, labels);
        ck_assert(!hub.has_template && !hub.unknown_template && !hub.trained);
        ck_assert_int_eq(hub.config.eos_id, 258); /* tokenizer_config.json's word */
        ck_same(first, second, labels == 1);
        ck_assert(hub_pad_id(&hub, NULL, &options.pad_id, &arena, &err));
        ck_assert_int_eq(options.pad_id, 256);
        ck_assert_msg(hub_export(&hub, second, in_folder("out"), &options, &arena, &err), "%s",
                      err.detail);
        Model *third = open_and_load(&again, "out", model_heads(second));
        ck_same(second, third, true);
        ck_assert(again.trained && again.has_template && again.chat == TEMPLATE_HUMAN);
        ck_assert(!again.append_eos && again.mean == 0.25 && again.deviation == 2);
        ck_assert_int_eq(again.heads, model_heads(second));
        ck_assert_int_eq(again.config.pad_id, 256);
        again.config.pad_id = hub.config.pad_id;
        ck_assert_mem_eq(&again.config, &hub.config, sizeof hub.config);
        hub_hash(&hub);
        hub_hash(&again);
        if (labels == 0) ck_assert_str_ne(again.hash, hub.hash); /* the heads are new */
        hub_close(&hub);
        hub_close(&again);
        model_free(first);
        model_free(second);
        model_free(third);
    }
}
END_TEST

static void ck_has(Str text, const char *part)
{
    ck_assert_msg(memmem(text.ptr, text.len, part, strlen(part)) != NULL, "%.*s lacks %s",
                  (int)text.len, text.ptr, part);
}

START_TEST(an_export_changes_what_it_must_and_nothing_else)
{
    Hub hub, again;
    Buf text;
    HubExport options = {.chat = TEMPLATE_CHATML,
                         .pad_id = 256,
                         .append_eos = true,
                         .deviation = 1,
                         .type = TENSOR_BF16};
    begin();
    buf_init(&text, MiB(1));
    Model *first = put_source(&sources[4], 0);
    Model *model = open_and_load(&hub, "source", 1);
    put_file("out/added_tokens.json", STR("{}")); /* of another model that was there */
    ck_assert(hub_export(&hub, model, in_folder("out"), &options, &arena, &err));
    ck_assert_int_ne(access(in_folder("out/added_tokens.json"), F_OK), 0);
    Str config = get_file("out/config.json", &text);
    static const char *const wanted[] = {
        "\"architectures\": [\"LlamaForSequenceClassification\"]",
        "\"id2label\": {\"0\": \"LABEL_0\"}",
        "\"problem_type\": \"regression\"",
        "\"pad_token_id\": 256",
        "\"torch_dtype\": \"bfloat16\"",
        "\"aileron\": {\n  \"template\": \"chatml\",\n  \"append_eos\": true\n}",
        "\"rope_interleaved\": false, \"tie_word_embeddings\": true, \"eos_token_id\": [257, 258]",
    };
    for (size_t i = 0; i < LEN(wanted); i++) ck_has(config, wanted[i]);
    Str tokenizer = get_file("out/tokenizer_config.json", &text);
    ck_assert(str_starts(tokenizer,
                         "{\"bos_token\": null, \"eos_token\": {\"content\": \"<|im_end|>\"}, "
                         "\"model_max_length\": 1000000000000000019884624838656,\n \"pad_token\" : "
                         "\"<|endoftext|>\" , \"z\": [1],\n"));
    ck_has(tokenizer, "\"tokenizer_class\": \"PreTrainedTokenizerFast\"");
    ck_has(tokenizer, "\"model_input_names\": [\"input_ids\", \"attention_mask\"]");
    ck_has(tokenizer, "\"chat_template\": \"{% for message in messages %}");
    Buf other;
    buf_init(&other, MiB(1));
    ck_assert(str_equal(get_file("source/tokenizer.json", &other),
                        get_file("out/tokenizer.json", &text)));
    ck_assert_str_is(get_file("out/chat_template.jinja", &text), template_source(TEMPLATE_CHATML));
    ck_assert_int_ne(access(in_folder("out/special_tokens_map.json"), F_OK), 0);
    ck_assert_int_ne(access(in_folder("out/aileron/heads.safetensors"), F_OK), 0);
    ck_assert(hub_open(&again, in_folder("out"), &arena, &err));
    ck_assert(again.append_eos);
    buf_release(&text);
    buf_release(&other);
    hub_close(&hub);
    hub_close(&again);
    model_free(first);
    model_free(model);
}
END_TEST

START_TEST(the_tiny_decoder_needs_no_directory)
{
    Hub hub, again;
    HubExport options = {.deviation = 1, .type = TENSOR_F32};
    begin();
    ck_assert_msg(hub_open(&hub, NULL, &arena, &err), "%s", err.detail);
    ck_assert(hub.has_template && hub.chat == TEMPLATE_CHATML && hub.heads == 0);
    Model *model = model_with(&hub.config, 2, 5), *fresh = model_with(&hub.config, 2, 5);
    ck_assert(hub_load(&hub, model, &arena, &err));
    ck_same(model, fresh, true);
    options.chat = hub.chat;
    ck_assert(hub_pad_id(&hub, NULL, &options.pad_id, &arena, &err));
    ck_assert_msg(hub_export(&hub, model, in_folder("tiny"), &options, &arena, &err), "%s",
                  err.detail);
    Model *back = open_and_load(&again, "tiny", 2);
    ck_same(model, back, true);
    ck_assert(again.chat == TEMPLATE_CHATML);
    ck_assert_mem_eq(&again.config, &hub.config, sizeof hub.config);
    hub_close(&hub);
    hub_close(&again);
    model_free(model);
    model_free(fresh);
    model_free(back);
}
END_TEST

static void ck_refused(const char *config, const char *says)
{
    ModelConfig out;
    err = (Err){0};
    json_t *root = json_parse_file(str_from(config), 1000, &arena, &err);
    ck_assert_msg(root != NULL, "%s", err.detail);
    ck_assert_msg(!hub_config_read(root, &out, &arena, &err), "accepted: %s", config);
    ck_assert_msg(strstr(err.detail, says) != NULL, "\"%s\" lacks \"%s\"", err.detail, says);
    json_decref(root);
}

START_TEST(what_the_model_does_not_do_is_refused_by_name)
{
#define LLAMA(more) "{\"model_type\": \"llama\", " COMMON more "}"
#define GPT2(more)                                                                                 \
    "{\"model_type\": \"gpt2\", \"vocab_size\": 300, \"n_embd\": 16, \"n_layer\": 2, \"n_head\": " \
    "4, \"n_positions\": 32, " more "}"
#define QWEN2(more) "{\"model_type\": \"qwen2\", " COMMON more "}"
    begin();
    ck_refused("[]", "object");
    ck_refused("{}", "model_type is missing");
    ck_refused("{\"model_type\": \"mistral\"}", "\"mistral\" is not supported");
    ck_refused("{\"model_type\": \"llama\"}", "vocab_size is missing");
    ck_refused(LLAMA("\"novelty\": 1"), "\"novelty\" is not known for llama");
    ck_refused(LLAMA("\"n_embd\": 1"), "\"n_embd\" is not known for llama");
    ck_refused(LLAMA("\"hidden_act\": \"relu\""), "hidden_act \"relu\"");
    ck_refused(LLAMA("\"head_dim\": 0"), "head_dim must be a whole number");
    ck_refused(LLAMA("\"num_key_value_heads\": 3"), "multiple of key_heads");
    ck_refused(LLAMA("\"rms_norm_eps\": \"x\""), "rms_norm_eps must be a number");
    ck_refused(LLAMA("\"mlp_bias\": 1"), "mlp_bias must be true or false");
    ck_refused(LLAMA("\"quantization_config\": {\"bits\": 4}"), "quantization_config");
    ck_refused(LLAMA("\"auto_map\": {\"a\": 1}"), "auto_map");
    ck_refused(LLAMA("\"rope_interleaved\": true"), "rope_interleaved");
    ck_refused(LLAMA("\"pad_token_id\": \"x\""), "pad_token_id must be a token id");
    ck_refused(LLAMA("\"rope_scaling\": {\"type\": \"yarn\"}"), "\"yarn\" is not supported");
    ck_refused(LLAMA("\"rope_scaling\": {\"type\": \"linear\"}"), "factor is missing");
    ck_refused(LLAMA("\"rope_scaling\": {\"type\": \"llama3\", \"factor\": 8}"), "llama3 needs");
    ck_refused(LLAMA("\"rope_scaling\": {\"beta_fast\": 1}"), "\"beta_fast\" is not supported");
    ck_refused(LLAMA("\"rope_theta\": 5, \"rope_parameters\": {\"rope_theta\": 6}"), "contradicts");
    ck_refused(LLAMA(
                   "\"rope_scaling\": {\"type\": \"linear\", \"factor\": 2}, \"rope_parameters\": "
                   "{\"rope_type\": \"default\"}"),
               "contradicts");
    ck_refused(LLAMA("\"partial_rotary_factor\": 0.5"), "partial_rotary_factor 0.5");
    ck_refused(GPT2("\"scale_attn_by_inverse_layer_idx\": true"), "scale_attn_by_inverse_layer");
    ck_refused(GPT2("\"reorder_and_upcast_attn\": true"), "reorder_and_upcast_attn");
    ck_refused(GPT2("\"scale_attn_weights\": false"), "scale_attn_weights must be true");
    ck_refused(GPT2("\"add_cross_attention\": true"), "add_cross_attention");
    ck_refused(GPT2("\"rope_theta\": 1"), "\"rope_theta\" is not known for gpt2");
    ck_refused(QWEN2("\"use_sliding_window\": true"), "use_sliding_window");
    ck_refused(QWEN2("\"layer_types\": [\"sliding_attention\"]"), "only full_attention");
}
END_TEST

static void ck_not_loaded(const char *says)
{
    Hub hub;
    err = (Err){0};
    ck_assert_msg(hub_open(&hub, in_folder("source"), &arena, &err), "%s", err.detail);
    Model *model = model_with(&hub.config, 1, 1);
    ck_assert_msg(!hub_load(&hub, model, &arena, &err), "loaded; should say %s", says);
    ck_assert_msg(strstr(err.detail, says) != NULL, "\"%s\" lacks \"%s\"", err.detail, says);
    model_free(model);
    hub_close(&hub);
}

static void put_changed(const struct Source *source, const char *extra, const char *old,
                        const char *new)
{
    struct Source changed = *source;
    Buf config;
    changed.extra[0] = extra;
    changed.extra[1] = NULL;
    model_free(put_source(&changed, 2));
    if (old == NULL) return;
    const char *at = strstr(source->config, old);
    buf_init(&config, KiB(64));
    buf_put(&config, source->config, (size_t)(at - source->config));
    buf_put_text(&config, new);
    buf_put_text(&config, at + strlen(old));
    put_file("source/config.json", buf_str(&config));
    buf_release(&config);
}

START_TEST(tensors_missing_left_over_or_misshapen_are_named)
{
    Hub hub;
    begin();
    put_changed(&sources[4], "model.layers.0.surprise", NULL, NULL);
    ck_not_loaded("tensor model.layers.0.surprise is not one of this kind");
    put_nan = true;
    put_changed(&sources[4], NULL, NULL, NULL);
    ck_not_loaded("model.layers.0.self_attn.q_proj.weight holds NaN (row 1, column 1)");
    put_nan = false;
    put_changed(&sources[4], "lm_head.weight", NULL, NULL);
    ck_not_loaded("has 2 score heads, --heads asks for 1");
    put_changed(&sources[4], NULL, "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3");
    ck_not_loaded("tensor model.layers.2.");
    put_changed(&sources[4], NULL, "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 1");
    ck_not_loaded("tensor model.layers.1.");
    put_changed(&sources[4], NULL, "\"intermediate_size\": 24", "\"intermediate_size\": 32");
    ck_not_loaded("has shape [24, 16], the configuration wants [32, 16]");
    put_changed(&sources[4], NULL, "\"hidden_size\": 16", "\"hidden_size\": 8");
    ck_assert(!hub_open(&hub, in_folder("source"), &arena, &err));
    ck_has(str_from(err.detail), "score.weight must be F32, F16 or BF16 of shape [1 to 16, 8]");
    put_changed(&sources[4], NULL, "\"vocab_size\": 300", "\"vocab_size\": 259");
    put_changed(&sources[4], NULL, "\"vocab_size\": 300", "\"vocab_size\": 258");
    put_file("source/config.json", STR("{\"model_type\": \"llama\", \"vocab_size\": 258, "
                                       "\"hidden_size\": 16, \"num_hidden_layers\": 2, "
                                       "\"num_attention_heads\": 4, \"intermediate_size\": 24, "
                                       "\"max_position_embeddings\": 64}"));
    ck_assert(!hub_open(&hub, in_folder("source"), &arena, &err));
    ck_has(str_from(err.detail), "ids up to 258, but vocab_size in config.json is 258");
    unlink(in_folder("source/tokenizer.json"));
    ck_assert(!hub_open(&hub, in_folder("source"), &arena, &err));
    ck_has(str_from(err.detail), "tokenizer.json is not there");
    unlink(in_folder("source/config.json"));
    ck_assert(!hub_open(&hub, in_folder("source"), &arena, &err));
    ck_has(str_from(err.detail), "config.json: No such file");
    ck_assert(!hub_open(&hub, in_folder("nothing"), &arena, &err));
    ck_assert_int_eq(err.code, ERR_not_found);
}
END_TEST

static void ck_not_opened(const char *path, const char *says)
{
    Hub hub;
    err = (Err){0};
    ck_assert_msg(!hub_open(&hub, path, &arena, &err), "opened %s", path);
    ck_has(str_from(err.detail), says);
}

/* The mistakes of a first day: each is told what it has named, and what to do. */
START_TEST(what_is_no_model_directory_is_told_what_it_is)
{
    static const char pointer[] = "version https://git-lfs.github.com/spec/v1\noid sha256:4d\n";
    begin();
    ck_not_opened("Qwen/Qwen2.5-0.5B", "hf download Qwen/Qwen2.5-0.5B --local-dir");
    ck_not_opened(in_folder("none"), "none: No such file or directory");
    ck_assert(directory_make(in_folder("odd"), &arena, &err));
    put_file("odd.gguf", STR("GGUF"));
    ck_not_opened(in_folder("odd.gguf"), "not a directory; GGUF is not read");
    put_file("odd/model.gguf", STR("GGUF"));
    ck_not_opened(in_folder("odd"), "config.json: No such file or directory; GGUF is not read");
    put_file("odd/adapter_config.json", STR("{}"));
    ck_not_opened(in_folder("odd"), "an adapter without its base model");
    ck_assert(directory_make(in_folder("odd/snapshots"), &arena, &err));
    ck_not_opened(in_folder("odd"), "name the folder within its snapshots/");
    model_free(put_source(&sources[4], 0));
    ck_assert_int_eq(unlink(in_folder("source/model.safetensors")), 0);
    put_file("source/pytorch_model.bin", STR("x"));
    ck_not_opened(in_folder("source"), "is there; pytorch_model.bin is not read");
    ck_assert_int_eq(unlink(in_folder("source/pytorch_model.bin")), 0);
    put_file("source/model.safetensors", str_from(pointer));
    ck_not_opened(in_folder("source"), "model.safetensors: only a Git LFS pointer");
    ck_assert_int_eq(unlink(in_folder("source/model.safetensors")), 0);
    ck_assert_int_eq(mkfifo(in_folder("source/model.safetensors"), 0600), 0);
    ck_not_opened(in_folder("source"), "model.safetensors: not a regular file");
    ck_assert_int_eq(unlink(in_folder("source/model.safetensors")), 0);
    put_file("source/special_tokens_map.json", STR("[]"));
    ck_not_opened(in_folder("source"), "special_tokens_map.json: must be an object");
    ck_assert_int_eq(unlink(in_folder("source/special_tokens_map.json")), 0);
    put_file("source/tokenizer.json", str_from(pointer));
    ck_not_opened(in_folder("source"), "tokenizer.json: only a Git LFS pointer");
}
END_TEST

START_TEST(a_template_that_is_none_of_ours_is_not_guessed)
{
    static const struct {
        const char *before, *behind; /* a known source */
        bool known, unknown;
    } cases[] = {
        {"null, \"z\": ", "", false, false},
        {"[{\"name\": \"z\", \"template\": \"x\"}, {\"name\": \"default\", \"template\": ", "}]",
         true, false},
        {"[{\"name\": \"tool_use\", \"template\": ", "}]", false, true},
        {"{\"default\": ", "}", false, true},
        {"7, \"z\": ", "", false, true},
        {"\"\", \"z\": ", "", false, true},
    };
    begin();
    model_free(put_source(&sources[4], 0));
    for (size_t i = 0; i < LEN(cases); i++) {
        Hub hub;
        Buf text;
        buf_init(&text, KiB(64));
        buf_put_format(&text, "{\"chat_template\": %s", cases[i].before);
        json_put_text(&text, str_from(template_source(TEMPLATE_QWEN3)));
        buf_put_format(&text, "%s}", cases[i].behind);
        put_file("source/tokenizer_config.json", buf_str(&text));
        ck_assert_msg(hub_open(&hub, in_folder("source"), &arena, &err), "%s", err.detail);
        ck_assert_msg(hub.has_template == cases[i].known, "%s", cases[i].before);
        ck_assert_msg(hub.unknown_template == cases[i].unknown, "%s", cases[i].before);
        hub_close(&hub);
        buf_release(&text);
    }
}
END_TEST

START_TEST(a_pad_id_inside_breaks_a_rule_that_is_named)
{
    static const struct {
        int32_t ids[4], length;
        const char *says;
    } cases[] = {
        {{1, 2, 3, 4}, 4, NULL},
        {{5}, 1, NULL},
        {{1, 256, 3, 4}, 4, "sequence 1 of 1: its last token is not scored by the id before"},
        {{1, 2, 256}, 3, "the rightmost id that is not the pad id"},
        {{256}, 1, "not scored by"},
    };
    Hub hub;
    const HubExport options = {.pad_id = 256};
    begin();
    ck_assert(hub_open(&hub, NULL, &arena, &err));
    for (size_t i = 0; i < LEN(cases); i++) {
        const Sequence sequence = {cases[i].ids, cases[i].length};
        bool ok = hub_check_last_token(&hub, &options, &sequence, 1, &arena, &err);
        ck_assert_msg(ok == (cases[i].says == NULL), "case %zu", i);
        if (!ok) ck_has(str_from(err.detail), cases[i].says);
        if (!ok) ck_has(str_from(err.detail), "<|endoftext|>");
    }
    hub_close(&hub);
}
END_TEST

START_TEST(eos_pads_only_where_nothing_else_can)
{
    Hub hub;
    int32_t pad;
    begin();
    ck_assert(hub_open(&hub, NULL, &arena, &err));
    ck_assert(hub_pad_id(&hub, NULL, &pad, &arena, &err) && pad == 256);
    const bool used[320] = {[256] = true}; /* nothing else is free: still better than EOS */
    ck_assert(hub_pad_id(&hub, used, &pad, &arena, &err) && pad == 256);
    hub.config.eos_id = 256; /* the other two special tokens are ChatML's own */
    ck_assert(hub_pad_id(&hub, NULL, &pad, &arena, &err) && pad == 256);
    ck_assert_int_eq(encode_eos(TEMPLATE_HUMAN, hub.config.eos_id, pad), -1);
    hub.config.eos_id = -1;
    hub.config.vocabulary = 256; /* no row for any of them */
    ck_assert(!hub_pad_id(&hub, NULL, &pad, &arena, &err));
    ck_has(str_from(err.detail), "no special token that could pad, nor the EOS");
    hub_close(&hub);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {eos_pads_only_where_nothing_else_can,
                                  every_family_comes_back_from_its_export,
                                  an_export_changes_what_it_must_and_nothing_else,
                                  the_tiny_decoder_needs_no_directory,
                                  what_the_model_does_not_do_is_refused_by_name,
                                  tensors_missing_left_over_or_misshapen_are_named,
                                  what_is_no_model_directory_is_told_what_it_is,
                                  a_template_that_is_none_of_ours_is_not_guessed,
                                  a_pad_id_inside_breaks_a_rule_that_is_named};
    const DeviceOptions options = {.threads = 1, .compute = DTYPE_F32};
    arena_init(&arena, MiB(16));
    const Ops *ops = ops_find("cpu", &arena, &err);
    if (!crypto_init() || mkdtemp(folder) == NULL || ops == NULL) return EXIT_FAILURE;
    device = ops->open(&options, &arena, &err);
    if (device == NULL) return EXIT_FAILURE;
    int status = unit_run("hub", tests, LEN(tests));
    char command[100];
    ops->close(device);
    snprintf(command, sizeof command, "rm -r '%s'", folder);
    return system(command) == 0 ? status : EXIT_FAILURE;
}
