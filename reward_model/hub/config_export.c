/* config_export.c - the config.json of an export: the source's text with the members set that make
 * every consumer read one raw score per text. */
#include "hub_internal.h"

typedef struct Editing { /* two buffers, exchanged at every edit */
    Buf *text, *next;
    Buf value; /* of the member being set */
    bool failed;
} Editing;

/* Sets the member to what stands in e->value, which is then empty again. */
static void set(Editing *e, const char *key)
{
    Buf swap;
    buf_clear(e->next);
    json_splice(buf_str(e->text), key, buf_str(&e->value), e->next);
    e->failed = e->failed || !buf_ok(e->next) || !buf_ok(&e->value);
    swap = *e->text;
    *e->text = *e->next;
    *e->next = swap;
    buf_clear(&e->value);
}

static void set_text(Editing *e, const char *key, const char *value)
{
    json_put_text(&e->value, str_from(value));
    set(e, key);
}

static void set_real(Editing *e, const char *key, double value)
{
    json_put_real(&e->value, value);
    set(e, key);
}

static void set_json(Editing *e, const char *key, const char *value)
{
    buf_put_text(&e->value, value);
    set(e, key);
}

/* With a decimal point: readers of these members want a float. */
static void put_float(Buf *buf, double value)
{
    if (value == (double)(int64_t)value) {
        buf_put_format(buf, "%lld.0", (long long)value);
    } else {
        json_put_real(buf, value);
    }
}

/* A member as rope_parameters or rope_scaling has it, to the last digit. */
static double rope_number(json_t *root, const char *name, double otherwise)
{
    static const char *const objects[] = {"rope_parameters", "rope_scaling"};
    for (size_t i = 0; i < LEN(objects); i++) {
        const json_t *value = json_object_get(json_object_get(root, objects[i]), name);
        if (json_is_number(value)) return json_number_value(value);
    }
    const json_t *value = json_object_get(root, name);
    return json_is_number(value) ? json_number_value(value) : otherwise;
}

static bool has(json_t *root, const char *key)
{
    const json_t *value = json_object_get(root, key);
    return value != NULL && !json_is_null(value);
}

static void set_scaling(Editing *e, json_t *root, RopeScaling type)
{
    static const char *const members[] = {"factor", "low_freq_factor", "high_freq_factor"};
    size_t count = type == ROPE_LINEAR ? 1 : LEN(members);
    buf_put_format(&e->value, "{\"rope_type\": \"%s\"", type == ROPE_LINEAR ? "linear" : "llama3");
    for (size_t i = 0; i < count; i++) {
        buf_put_format(&e->value, ", \"%s\": ", members[i]);
        put_float(&e->value, rope_number(root, members[i], 1));
    }
    if (type == ROPE_LLAMA3) {
        double original = rope_number(root, "original_max_position_embeddings", 1);
        buf_put_format(&e->value, ", \"original_max_position_embeddings\": %.0f", original);
    }
    buf_put_char(&e->value, '}');
    set(e, "rope_scaling");
}

/* The spellings before transformers 5, which every version reads; rope_parameters stays as it is
 * where the source has it. */
static void set_rope(Editing *e, json_t *root, const ModelConfig *c)
{
    bool neox = c->family == FAMILY_NEOX;
    const char *theta = neox ? "rotary_emb_base" : "rope_theta";
    if (c->family == FAMILY_GPT2) return;
    if (!has(root, theta)) {
        put_float(&e->value, rope_number(root, "rope_theta", 10000));
        set(e, theta);
    }
    if (neox && !has(root, "rotary_pct")) {
        put_float(&e->value, rope_number(root, "partial_rotary_factor", 0.25));
        set(e, "rotary_pct");
    }
    if (c->rope_scaling != ROPE_PLAIN && !has(root, "rope_scaling"))
        set_scaling(e, root, c->rope_scaling);
}

static void set_type(Editing *e, json_t *root, TensorType type)
{
    const char *name = type == TENSOR_F32 ? "float32" : type == TENSOR_F16 ? "float16" : "bfloat16";
    bool new_key = json_object_get(root, "dtype") != NULL; /* transformers 5's name */
    if (new_key) set_text(e, "dtype", name);
    if (!new_key || json_object_get(root, "torch_dtype") != NULL) set_text(e, "torch_dtype", name);
}

/* "aileron": the caller's object with template and append_eos. */
static bool set_own(Editing *e, const HubExport *options, Arena *arena, Err *err)
{
    const char *text = options->report_key != NULL ? options->report_key : "{}";
    json_t *own = json_parse_file(str_from(text), CONFIG_VALUES_MAX, arena, err);
    if (own == NULL) return false;
    assert(json_is_object(own));
    bool has_template = json_object_get(own, "template") != NULL;
    bool has_eos = json_object_get(own, "append_eos") != NULL;
    json_decref(own);
    Editing inner = {.text = &(Buf){.max = CONFIG_TEXT_MAX},
                     .next = &(Buf){.max = CONFIG_TEXT_MAX}};
    buf_init(&inner.value, KiB(64));
    buf_put_text(inner.text, text);
    if (!has_template) set_text(&inner, "template", template_name(options->chat));
    if (!has_eos) set_json(&inner, "append_eos", options->append_eos ? "true" : "false");
    e->failed = e->failed || inner.failed || !buf_ok(inner.text);
    if (!e->failed) {
        buf_put_str(&e->value, buf_str(inner.text));
        set(e, "aileron");
    }
    buf_release(inner.text);
    buf_release(inner.next);
    buf_release(&inner.value);
    return true;
}

static bool edit(Editing *e, const Hub *hub, const HubExport *options, json_t *root, Arena *arena,
                 Err *err)
{
    buf_put_format(&e->value, "[\"%s\"]", config_architecture(hub->config.family));
    set(e, "architectures");
    /* the number of labels is derived from these; without them it would be two */
    set_json(e, "id2label", "{\"0\": \"LABEL_0\"}");
    set_json(e, "label2id", "{\"LABEL_0\": 0}");
    if (json_object_get(root, "num_labels") != NULL) set_json(e, "num_labels", "1");
    /* raw scores: without it servers put a sigmoid on them */
    set_text(e, "problem_type", "regression");
    buf_put_int(&e->value, options->pad_id);
    set(e, "pad_token_id");
    set_type(e, root, options->type);
    set_rope(e, root, &hub->config);
    set_real(e, "mean", options->mean);
    set_real(e, "std", options->deviation);
    set_text(e, "value_head_prefix", "score");
    return set_own(e, options, arena, err);
}

bool config_export(const Hub *hub, const HubExport *options, Buf *out, Arena *arena, Err *err)
{
    Buf next;
    Editing e = {.text = out, .next = &next};
    Str source = buf_str(&hub->files->config);
    json_t *root = json_parse_file(source, CONFIG_VALUES_MAX, arena, err);
    if (root == NULL) return false;
    buf_init(&next, out->max);
    buf_init(&e.value, CONFIG_TEXT_MAX);
    buf_put_str(out, source);
    bool ok = edit(&e, hub, options, root, arena, err);
    if (ok && (e.failed || !buf_ok(out)))
        ok = err_set(err, arena, ERR_too_large, NULL, "config.json would become too large");
    json_decref(root);
    buf_release(&next);
    buf_release(&e.value);
    return ok;
}
