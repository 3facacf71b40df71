/* hub.c - opening a model directory: its configuration, tokenizer, template and weights. */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "hub_internal.h"

const char *const side_file_names[HUB_SIDE_FILES] = {
    [SIDE_TOKENIZER] = "tokenizer.json",
    [SIDE_TOKENIZER_CONFIG] = "tokenizer_config.json",
    [SIDE_SPECIAL_TOKENS] = "special_tokens_map.json",
    [SIDE_VOCABULARY] = "vocab.json",
    [SIDE_MERGES] = "merges.txt",
    [SIDE_ADDED_TOKENS] = "added_tokens.json",
    [SIDE_TEMPLATE] = "chat_template.jinja",
};

typedef struct Opening {
    Hub *hub;
    Arena *arena;
    Err *err;
} Opening;

static const char *path_of(const Opening *o, const char *name)
{
    const char *path = path_under(o->arena, o->hub->directory, name);
    return path != NULL ? path : name;
}

enum { TRAINED_LENGTH_MAX = 1 << 20 }; /* tokens: as the limit of --max-length */

/* err again, with the file's name before it. */
static bool in_file(const Opening *o, const char *name, const Err *why)
{
    return err_set(o->err, o->arena, why->code == ERR_malformed ? ERR_invalid : why->code,
                   why->pointer, "%s: %s", path_of(o, name), why->detail);
}

/* ---- files ---- */

static bool read_sides(const Opening *o)
{
    struct HubFiles *files = o->hub->files;
    for (int i = 0; i < HUB_SIDE_FILES; i++) {
        Err why = {0};
        files->has[i] = file_read(path_of(o, side_file_names[i]), &files->sides[i], o->arena, &why);
        if (!files->has[i] && why.code != ERR_not_found) {
            *o->err = why;
            return false;
        }
    }
    if (files->has[SIDE_TOKENIZER]) return true;
    return err_set(o->err, o->arena, ERR_not_found, NULL,
                   "%s is not there (vocab.json and merges.txt alone are not enough)",
                   path_of(o, side_file_names[SIDE_TOKENIZER]));
}

static bool read_exported(Hub *hub, json_t *ours)
{
    ChatTemplate chat;
    Str name = json_str(json_object_get(ours, "template"));
    if (name.ptr == NULL || !template_find(name, &chat)) return false;
    hub->trained = true;
    hub->has_template = true;
    hub->chat = chat;
    hub->append_eos = json_is_true(json_object_get(ours, "append_eos"));
    int32_t length = 0;
    bool told = config_int(json_object_get(ours, "max_length"), &length);
    if (told && length >= 2 && length <= TRAINED_LENGTH_MAX) hub->trained_length = length;
    return true;
}

static bool read_config(const Opening *o)
{
    Hub *hub = o->hub;
    Err why = {0};
    hub->deviation = 1;
    if (!file_read(path_of(o, "config.json"), &hub->files->config, o->arena, &why))
        return err_set(o->err, o->arena, why.code, NULL, "%s%s", why.detail,
                       why.code == ERR_not_found ? directory_advice(o->arena, hub->directory) : "");
    json_t *root = json_parse_file(buf_str(&hub->files->config), CONFIG_VALUES_MAX, o->arena, &why);
    if (root == NULL) return in_file(o, "config.json", &why);
    bool ok = hub_config_read(root, &hub->config, o->arena, o->err);
    if (ok && read_exported(hub, json_object_get(root, "aileron"))) {
        const json_t *mean = json_object_get(root, "mean"), *std = json_object_get(root, "std");
        if (json_is_number(mean)) hub->mean = json_number_value(mean);
        if (json_is_number(std)) hub->deviation = json_number_value(std);
    }
    json_decref(root);
    return ok;
}

/* ---- tokenizer ---- */

/* "eos_token": "<…>" or {"content": "<…>"}; an id the vocabulary has, or nothing changes. */
static void take_token(const Hub *hub, const json_t *value, int32_t *id)
{
    if (json_is_object(value)) value = json_object_get(value, "content");
    Str text = json_str(value);
    int32_t found = text.ptr == NULL ? -1 : tokenizer_id(hub->tokenizer, text);
    if (found >= 0 && found < hub->config.vocabulary) *id = found;
}

/* chat_template: text, or a list of {"name", "template"} of which "default" is meant. */
static Str config_template(const json_t *value)
{
    size_t i;
    json_t *one;
    if (json_is_array(value)) {
        json_array_foreach(value, i, one)
        {
            Str name = json_str(json_object_get(one, "name"));
            if (name.ptr != NULL && str_is(name, "default"))
                return json_str(json_object_get(one, "template"));
        }
    }
    return json_str(value);
}

/* jinja without a text: there is something, but no template. */
static void take_template(Hub *hub, Str jinja)
{
    if (hub->has_template) return; /* an export's own word comes first */
    hub->has_template = jinja.ptr != NULL && template_recognise(jinja, &hub->chat);
    hub->unknown_template = !hub->has_template;
}

/* A side file's object, NULL where there is no file. */
static bool read_object(const Opening *o, SideFile side, json_t **root)
{
    Err why = {0};
    const struct HubFiles *files = o->hub->files;
    *root = NULL;
    if (!files->has[side]) return true;
    *root = json_parse_file(buf_str(&files->sides[side]), CONFIG_VALUES_MAX, o->arena, &why);
    if (*root == NULL) return in_file(o, side_file_names[side], &why);
    if (json_is_object(*root)) return true;
    json_decref(*root);
    return err_set(o->err, o->arena, ERR_invalid, NULL, "%s: must be an object",
                   path_of(o, side_file_names[side]));
}

static bool read_tokenizer_config(const Opening *o)
{
    Hub *hub = o->hub;
    json_t *root;
    if (!read_object(o, SIDE_SPECIAL_TOKENS, &root)) return false;
    json_decref(root);
    if (!read_object(o, SIDE_TOKENIZER_CONFIG, &root)) return false;
    if (root != NULL) {
        take_token(hub, json_object_get(root, "bos_token"), &hub->config.bos_id);
        take_token(hub, json_object_get(root, "eos_token"), &hub->config.eos_id);
    }
    const json_t *value = json_object_get(root, "chat_template");
    if (hub->files->has[SIDE_TEMPLATE]) {
        take_template(hub, buf_str(&hub->files->sides[SIDE_TEMPLATE]));
    } else if (value != NULL && !json_is_null(value)) {
        take_template(hub, config_template(value));
    }
    json_decref(root);
    return true;
}

static bool read_tokenizer(const Opening *o)
{
    Hub *hub = o->hub;
    Err why = {0};
    hub->tokenizer = tokenizer_read(buf_str(&hub->files->sides[SIDE_TOKENIZER]), o->arena, &why);
    if (hub->tokenizer == NULL) return in_file(o, side_file_names[SIDE_TOKENIZER], &why);
    int32_t size = tokenizer_size(hub->tokenizer);
    if (size > hub->config.vocabulary)
        return err_set(o->err, o->arena, ERR_invalid, NULL,
                       "%s has ids up to %d, but vocab_size in config.json is %d",
                       path_of(o, side_file_names[SIDE_TOKENIZER]), size - 1,
                       hub->config.vocabulary);
    return read_tokenizer_config(o);
}

/* ---- weights ---- */

/* The number of score heads: rows of [heads, width]. */
static bool take_heads(const Opening *o, const Safetensors *from, const char *name, int32_t *heads)
{
    TensorView view;
    if (!safetensors_find(from, str_from(name), &view)) return true;
    if (view.type == TENSOR_OTHER || view.rank != 2 || view.shape[1] != o->hub->config.width ||
        view.shape[0] < 1 || view.shape[0] > MODEL_HEADS_SCORE_MAX)
        return err_set(o->err, o->arena, ERR_invalid, NULL,
                       "%s: %s must be F32, F16 or BF16 of shape [1 to %d, %d]", o->hub->directory,
                       name, MODEL_HEADS_SCORE_MAX, o->hub->config.width);
    *heads = (int32_t)view.shape[0];
    return true;
}

static bool open_weights(const Opening *o)
{
    Hub *hub = o->hub;
    const char *more = path_of(o, "aileron/heads.safetensors");
    hub->files->weights = safetensors_open(hub->directory, o->arena, o->err);
    if (hub->files->weights == NULL) return false;
    if (!take_heads(o, hub->files->weights, "score.weight", &hub->heads)) return false;
    if (access(more, F_OK) == 0) {
        hub->files->heads = safetensors_open(more, o->arena, o->err);
        if (hub->files->heads == NULL ||
            !take_heads(o, hub->files->heads, "heads.weight", &hub->heads))
            return false;
    }
    return true;
}

/* ---- the whole ---- */

static bool files_new(const Opening *o)
{
    struct HubFiles *files = o->hub->files = calloc(1, sizeof *files);
    if (files == NULL) return err_set(o->err, o->arena, ERR_internal, NULL, "out of memory");
    buf_init(&files->config, CONFIG_TEXT_MAX);
    for (int i = 0; i < HUB_SIDE_FILES; i++) buf_init(&files->sides[i], HUB_SIDE_FILE_MAX);
    return true;
}

static bool check_directory(const Opening *o)
{
    struct stat status;
    const char *path = o->hub->directory;
    if (stat(path, &status) != 0)
        return err_set(o->err, o->arena, errno == ENOENT ? ERR_not_found : ERR_internal, NULL,
                       "%s: %s%s", path, strerror(errno), directory_advice(o->arena, path));
    return S_ISDIR(status.st_mode) ||
           err_set(o->err, o->arena, ERR_invalid, NULL, "%s: not a directory%s", path,
                   directory_advice(o->arena, path));
}

bool hub_open(Hub *hub, const char *directory, Arena *arena, Err *err)
{
    *hub = (Hub){.directory = directory};
    const Opening o = {.hub = hub, .arena = arena, .err = err};
    bool ok = files_new(&o);
    if (ok && directory == NULL) {
        ok = hub_open_tiny(hub, arena, err);
    } else if (ok) {
        ok = check_directory(&o) && read_config(&o) && read_sides(&o) && read_tokenizer(&o) &&
             open_weights(&o);
    }
    if (ok) hub->config_text = buf_str(&hub->files->config);
    if (!ok) hub_close(hub);
    return ok;
}

void hub_hash(Hub *hub)
{
    if (hub->files->weights != NULL) safetensors_hash(hub->files->weights, hub->hash);
}

void hub_close(Hub *hub)
{
    struct HubFiles *files = hub->files;
    tokenizer_free(hub->tokenizer);
    if (files != NULL) {
        buf_release(&files->config);
        for (int i = 0; i < HUB_SIDE_FILES; i++) buf_release(&files->sides[i]);
        safetensors_close(files->weights);
        safetensors_close(files->heads);
        free(files);
    }
    *hub = (Hub){.directory = NULL};
}
