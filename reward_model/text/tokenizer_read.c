/* tokenizer_read.c - the pipeline of a tokenizer.json, recognised part by part: what is not known
 * to give the same ids is refused by the name of the part. */
#include <stdlib.h>
#include "tokenizer_internal.h"

typedef struct Reading {
    Tokenizer *tokenizer;
    Arena *arena;
    Err *err;
} Reading;

#define refuse(r, part, ...)                                                                       \
    err_set((r)->err, (r)->arena, ERR_invalid, "/" part, part ": " __VA_ARGS__)

static bool is_none(const json_t *value)
{
    return value == NULL || json_is_null(value);
}

static bool has_type(const json_t *part, const char *type)
{
    Str name = json_str(json_object_get(part, "type"));
    return name.ptr != NULL && str_is(name, type);
}

static const char *type_of(const json_t *part)
{
    const char *name = json_string_value(json_object_get(part, "type"));
    return name != NULL ? name : "";
}

/* A flag that is absent has the value otherwise. */
static bool flag(const json_t *part, const char *name, bool otherwise)
{
    const json_t *value = json_object_get(part, name);
    return json_is_boolean(value) ? json_is_true(value) : otherwise;
}

/* ---- normalizer ---- */

static bool read_normalizer(const Reading *r, json_t *part)
{
    if (is_none(part)) return true;
    if (has_type(part, "NFC")) {
        r->tokenizer->nfc = true;
        return true;
    }
    const json_t *list = json_object_get(part, "normalizers");
    if (has_type(part, "Sequence") && json_is_array(list)) {
        if (json_array_size(list) == 0) return true;
        if (json_array_size(list) == 1 && has_type(json_array_get(list, 0), "NFC"))
            return read_normalizer(r, json_array_get(list, 0));
    }
    return refuse(r, "normalizer", "\"%.60s\" is not supported (NFC or none are)", type_of(part));
}

/* ---- pre-tokenizer ---- */

static bool check_byte_level(const Reading *r, const json_t *part, bool use_regex)
{
    if (!has_type(part, "ByteLevel"))
        return refuse(r, "pre_tokenizer", "\"%.60s\" stands where ByteLevel is expected",
                      type_of(part));
    if (flag(part, "add_prefix_space", true))
        return refuse(r, "pre_tokenizer", "ByteLevel with add_prefix_space is not supported");
    if (flag(part, "use_regex", true) != use_regex)
        return refuse(r, "pre_tokenizer", "ByteLevel must have use_regex %s here",
                      use_regex ? "true" : "false");
    return true;
}

static bool read_split(const Reading *r, const json_t *part)
{
    Str behavior = json_str(json_object_get(part, "behavior"));
    Str regex = json_str(json_object_get(json_object_get(part, "pattern"), "Regex"));
    if (behavior.ptr == NULL || !str_is(behavior, "Isolated") || flag(part, "invert", false))
        return refuse(r, "pre_tokenizer", "Split must be Isolated and not inverted");
    if (regex.ptr != NULL && str_is(regex, pretokens_llama3_regex)) {
        r->tokenizer->pretokenizer = PRETOKENS_LLAMA3;
    } else if (regex.ptr != NULL && str_is(regex, pretokens_qwen2_regex)) {
        r->tokenizer->pretokenizer = PRETOKENS_QWEN2;
    } else {
        return refuse(r, "pre_tokenizer", "Split with the pattern \"%.200s\" is not known",
                      regex.ptr != NULL ? regex.ptr : "");
    }
    return true;
}

static bool read_pretokenizer(const Reading *r, json_t *part)
{
    if (has_type(part, "ByteLevel")) {
        r->tokenizer->pretokenizer = PRETOKENS_GPT2;
        return check_byte_level(r, part, true);
    }
    json_t *list = json_object_get(part, "pretokenizers");
    if (!has_type(part, "Sequence") || !json_is_array(list))
        return refuse(r, "pre_tokenizer", "\"%.60s\" is not supported", type_of(part));
    const json_t *first = json_array_get(list, 0), *second = json_array_get(list, 1);
    if (json_array_size(list) == 1) return read_pretokenizer(r, json_array_get(list, 0));
    if (json_array_size(list) != 2)
        return refuse(r, "pre_tokenizer", "a sequence of %zu parts is not known",
                      json_array_size(list));
    if (has_type(first, "Split")) return read_split(r, first) && check_byte_level(r, second, false);
    if (!has_type(first, "Digits"))
        return refuse(r, "pre_tokenizer", "\"%.60s\" is not supported", type_of(first));
    if (!flag(first, "individual_digits", false))
        return refuse(r, "pre_tokenizer", "Digits must have individual_digits");
    r->tokenizer->pretokenizer = PRETOKENS_SMOLLM;
    return check_byte_level(r, second, true);
}

/* ---- post-processor: adds nothing here; the BOS that it would add is remembered ---- */

static bool read_bos(const Reading *r, const json_t *part, const json_t *item)
{
    Str name = json_str(json_object_get(json_object_get(item, "SpecialToken"), "id"));
    const json_t *known = json_object_get(part, "special_tokens");
    const json_t *ids =
        json_object_get(name.ptr == NULL ? NULL : json_object_get(known, name.ptr), "ids");
    double id = json_number_value(json_array_get(ids, 0));
    if (r->tokenizer->bos_id >= 0 || json_array_size(ids) != 1 ||
        !json_is_number(json_array_get(ids, 0)) || !(id >= 0 && id < TOKENIZER_VOCABULARY_MAX))
        return refuse(r, "post_processor", "one known token may stand before the text");
    r->tokenizer->bos_id = (int32_t)id;
    return true;
}

static bool read_template(const Reading *r, const json_t *part)
{
    size_t i;
    json_t *item, *single = json_object_get(part, "single");
    bool text = false;
    json_array_foreach(single, i, item)
    {
        Str sequence = json_str(json_object_get(json_object_get(item, "Sequence"), "id"));
        if (sequence.ptr != NULL && str_is(sequence, "A") && !text) {
            text = true;
        } else if (text) {
            return refuse(r, "post_processor", "what stands after the text is not supported");
        } else if (!read_bos(r, part, item)) {
            return false;
        }
    }
    return text || refuse(r, "post_processor", "the text is not in its template");
}

static bool read_postprocessor(const Reading *r, json_t *part, bool inner)
{
    size_t i;
    json_t *one, *list = json_object_get(part, "processors");
    if (is_none(part) || has_type(part, "ByteLevel")) return true; /* that moves offsets only */
    if (has_type(part, "TemplateProcessing")) return read_template(r, part);
    if (inner || !has_type(part, "Sequence") || !json_is_array(list))
        return refuse(r, "post_processor", "\"%.60s\" is not supported", type_of(part));
    json_array_foreach(list, i, one)
    {
        if (!read_postprocessor(r, one, true)) return false;
    }
    return true;
}

/* ---- model ---- */

/* Looked at first: the rest of the pipeline of another kind would be refused by stranger names. */
static bool check_kind(const Reading *r, const json_t *model)
{
    const char *kind = "byte-level BPE, as GPT-2, Pythia, Llama 3, Qwen and SmolLM2 have, is";
    if (!json_is_object(model)) return refuse(r, "model", "is missing");
    if (!is_none(json_object_get(model, "type")) && !has_type(model, "BPE"))
        return refuse(r, "model", "\"%.60s\" is not supported (%s)", type_of(model), kind);
    if (flag(model, "byte_fallback", false))
        return refuse(r, "model",
                      "byte_fallback is not supported: it is a SentencePiece vocabulary, as Llama "
                      "2, TinyLlama, Mistral and Gemma have (%s)",
                      kind);
    return true;
}

static bool check_model(const Reading *r, json_t *model)
{
    static const char *const known[] = {"type",
                                        "dropout",
                                        "unk_token",
                                        "continuing_subword_prefix",
                                        "end_of_word_suffix",
                                        "fuse_unk",
                                        "byte_fallback",
                                        "ignore_merges",
                                        "vocab",
                                        "merges"};
    const char *key;
    json_t *value;
    json_object_foreach(model, key, value)
    {
        size_t i = 0;
        while (i < LEN(known) && strcmp(known[i], key) != 0) i++;
        if (i == LEN(known)) return refuse(r, "model", "\"%.60s\" is not known", key);
    }
    const json_t *dropout = json_object_get(model, "dropout");
    if (!is_none(dropout) && !(json_is_number(dropout) && json_number_value(dropout) == 0))
        return refuse(r, "model", "dropout is not supported");
    for (size_t i = 3; i < 5; i++) {
        Str text = json_str(json_object_get(model, known[i]));
        if (!is_none(json_object_get(model, known[i])) && (text.ptr == NULL || text.len > 0))
            return refuse(r, "model", "%s is not supported", known[i]);
    }
    return true;
}

static bool read_model(const Reading *r, json_t *model)
{
    Bpe *bpe = &r->tokenizer->bpe;
    if (!check_model(r, model)) return false;
    if (!bpe_read(bpe, json_object_get(model, "vocab"), json_object_get(model, "merges"),
                  flag(model, "ignore_merges", false), r->arena, r->err))
        return false;
    if (is_none(json_object_get(model, "unk_token"))) return true;
    for (int i = 0; i < 256; i++)
        if (bpe->byte_ids[i] < 0)
            return refuse(r, "model", "unk_token is not supported where vocab lacks a byte (%d)",
                          i);
    return true; /* never needed */
}

/* ---- the whole ---- */

static bool read_root(const Reading *r, json_t *root)
{
    static const char *const known[] = {"version",        "truncation", "padding",
                                        "added_tokens",   "normalizer", "pre_tokenizer",
                                        "post_processor", "decoder",    "model"};
    const char *key;
    json_t *value;
    if (!json_is_object(root))
        return err_set(r->err, r->arena, ERR_invalid, "", "must be an object");
    json_object_foreach(root, key, value)
    {
        size_t i = 0;
        while (i < LEN(known) && strcmp(known[i], key) != 0) i++;
        if (i == LEN(known))
            return err_set(r->err, r->arena, ERR_invalid, "", "\"%.60s\" is not known", key);
    }
    if (!check_kind(r, json_object_get(root, "model"))) return false;
    json_t *decoder = json_object_get(root, "decoder");
    if (!is_none(decoder) && !has_type(decoder, "ByteLevel"))
        return refuse(r, "decoder", "\"%.60s\" is not supported (ByteLevel is)", type_of(decoder));
    if (!read_normalizer(r, json_object_get(root, "normalizer")) ||
        !read_pretokenizer(r, json_object_get(root, "pre_tokenizer")) ||
        !read_postprocessor(r, json_object_get(root, "post_processor"), false) ||
        !read_model(r, json_object_get(root, "model")) ||
        !tokenizer_read_added(r->tokenizer, json_object_get(root, "added_tokens"), r->arena,
                              r->err))
        return false;
    return r->tokenizer->bos_id < r->tokenizer->size ||
           refuse(r, "post_processor", "its token is not in the vocabulary");
}

Tokenizer *tokenizer_read(Str json, Arena *arena, Err *err)
{
    Tokenizer *tokenizer = NULL;
    if (json.len > TOKENIZER_TEXT_MAX) {
        err_set(err, arena, ERR_too_large, "", "larger than %d bytes", TOKENIZER_TEXT_MAX);
        return NULL;
    }
    json_t *root = json_parse_file(json, TOKENIZER_VALUES_MAX, arena, err);
    if (root == NULL) return NULL;
    bool ok = (tokenizer = calloc(1, sizeof *tokenizer)) != NULL;
    if (ok) {
        const Reading r = {.tokenizer = tokenizer, .arena = arena, .err = err};
        arena_init(&tokenizer->texts, TOKENIZER_TEXT_MAX);
        tokenizer->bos_id = -1;
        ok = read_root(&r, root);
    } else {
        err_set(err, arena, ERR_internal, NULL, "out of memory for the tokenizer");
    }
    json_decref(root);
    if (ok) return tokenizer;
    tokenizer_free(tokenizer);
    return NULL;
}
