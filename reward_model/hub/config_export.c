/* config_export.c - the config.json of an export: the source's text with the members set that make
 * every consumer read one raw score per text. */
#include "hub_internal.h"

static void set_real(JsonEdit *e, const char *key, double value)
{
    json_put_real(&e->value, value);
    json_edit_set(e, key);
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

static void set_scaling(JsonEdit *e, json_t *root, RopeScaling type)
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
    json_edit_set(e, "rope_scaling");
}

/* The spellings before transformers 5, which every version reads; rope_parameters stays as it is
 * where the source has it. */
static void set_rope(JsonEdit *e, json_t *root, const ModelConfig *c)
{
    bool neox = c->family == FAMILY_NEOX;
    const char *theta = neox ? "rotary_emb_base" : "rope_theta";
    if (c->family == FAMILY_GPT2) return;
    if (!has(root, theta)) {
        put_float(&e->value, rope_number(root, "rope_theta", 10000));
        json_edit_set(e, theta);
    }
    if (neox && !has(root, "rotary_pct")) {
        put_float(&e->value, rope_number(root, "partial_rotary_factor", 0.25));
        json_edit_set(e, "rotary_pct");
    }
    if (c->rope_scaling != ROPE_PLAIN && !has(root, "rope_scaling"))
        set_scaling(e, root, c->rope_scaling);
}

static void set_type(JsonEdit *e, json_t *root, TensorType type)
{
    const char *name = type == TENSOR_F32 ? "float32" : type == TENSOR_F16 ? "float16" : "bfloat16";
    bool new_key = json_object_get(root, "dtype") != NULL; /* transformers 5's name */
    if (new_key) json_edit_text(e, "dtype", str_from(name));
    if (!new_key || json_object_get(root, "torch_dtype") != NULL)
        json_edit_text(e, "torch_dtype", str_from(name));
}

/* "aileron": the caller's object with template and append_eos. */
static bool set_own(JsonEdit *e, const HubExport *options, Arena *arena, Err *err)
{
    const char *text = options->report_key != NULL ? options->report_key : "{}";
    json_t *own = json_parse_file(str_from(text), CONFIG_VALUES_MAX, arena, err);
    if (own == NULL) return false;
    assert(json_is_object(own));
    bool has_template = json_object_get(own, "template") != NULL;
    bool has_eos = json_object_get(own, "append_eos") != NULL;
    json_decref(own);
    JsonEdit inner;
    json_edit_begin(&inner, str_from(text), CONFIG_TEXT_MAX);
    if (!has_template) json_edit_text(&inner, "template", str_from(template_name(options->chat)));
    if (!has_eos) json_edit_json(&inner, "append_eos", options->append_eos ? "true" : "false");
    e->failed = e->failed || inner.failed;
    if (!e->failed) {
        buf_put_str(&e->value, buf_str(&inner.text));
        json_edit_set(e, "aileron");
    }
    json_edit_release(&inner);
    return true;
}

static bool edit(JsonEdit *e, const Hub *hub, const HubExport *options, json_t *root, Arena *arena,
                 Err *err)
{
    buf_put_format(&e->value, "[\"%s\"]", config_architecture(hub->config.family));
    json_edit_set(e, "architectures");
    /* the number of labels is derived from these; without them it would be two */
    json_edit_json(e, "id2label", "{\"0\": \"LABEL_0\"}");
    json_edit_json(e, "label2id", "{\"LABEL_0\": 0}");
    if (json_object_get(root, "num_labels") != NULL) json_edit_json(e, "num_labels", "1");
    /* raw scores: without it servers put a sigmoid on them */
    json_edit_text(e, "problem_type", str_from("regression"));
    buf_put_int(&e->value, options->pad_id);
    json_edit_set(e, "pad_token_id");
    set_type(e, root, options->type);
    set_rope(e, root, &hub->config);
    set_real(e, "mean", options->mean);
    set_real(e, "std", options->deviation);
    json_edit_text(e, "value_head_prefix", str_from("score"));
    return set_own(e, options, arena, err);
}

bool config_export(const Hub *hub, const HubExport *options, Buf *out, Arena *arena, Err *err)
{
    JsonEdit e;
    Str source = hub->config_text;
    json_t *root = json_parse_file(source, CONFIG_VALUES_MAX, arena, err);
    if (root == NULL) return false;
    json_edit_begin(&e, source, out->max);
    bool ok = edit(&e, hub, options, root, arena, err);
    if (ok) buf_put_str(out, buf_str(&e.text));
    if (ok && (e.failed || !buf_ok(out)))
        ok = err_set(err, arena, ERR_too_large, NULL, "config.json would become too large");
    json_decref(root);
    json_edit_release(&e);
    return ok;
}
