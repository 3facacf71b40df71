/* export.c - a Model as a directory that AutoModelForSequenceClassification loads and that every
 * common server scores alike; see hub.h. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
#include "hub_internal.h"

typedef struct Export {
    const Hub *hub;
    const Model *model;
    const char *directory;
    const HubExport *options;
    Arena *arena;
    Err *err;
} Export;

static bool no_memory(const Export *x)
{
    return err_set(x->err, x->arena, ERR_unavailable, NULL, "out of memory for the export");
}

/* A file of an earlier export that this one has not would be read with it. */
static bool remove_stale(const Export *x, const char *name)
{
    const char *path = path_under(x->arena, x->directory, name);
    if (path == NULL) return no_memory(x);
    return unlink(path) == 0 || errno == ENOENT || errno == ENOTDIR ||
           err_set(x->err, x->arena, ERR_internal, NULL, "%s: %s", path, strerror(errno));
}

/* ---- weights ---- */

/* The largest tensor's values, or the heads'. */
static float *values_new(const Model *model, size_t heads)
{
    size_t most = (heads + 1) * (size_t)model_config(model)->width;
    for (int32_t i = 0; i < model_tensors(model); i++) {
        HubTensor tensor = model_tensor(model, i);
        size_t count = (size_t)tensor.shape[0];
        if (tensor.rank == 2) count *= (size_t)tensor.shape[1];
        if (count > most) most = count;
    }
    return malloc(most * sizeof(float));
}

/* The mean of the heads' rows, into values' first row. */
static void mean_of_heads(float *values, size_t heads, size_t width)
{
    for (size_t k = 0; k < width; k++) {
        double sum = 0;
        for (size_t h = 0; h < heads; h++) sum += (double)values[h * width + k];
        values[k] = (float)(sum / (double)heads);
    }
}

static bool put_tensors(const Export *x, SafetensorsWriter *writer, float *values)
{
    int32_t count = model_tensors(x->model);
    for (int32_t i = 0; i < count; i++) {
        model_tensor_get(x->model, i, values);
        if (!safetensors_put(writer, (size_t)i, values, x->arena, x->err)) return false;
    }
    model_heads_get(x->model, values);
    mean_of_heads(values, (size_t)model_heads(x->model), (size_t)x->hub->config.width);
    return safetensors_put(writer, (size_t)count, values, x->arena, x->err);
}

static bool write_weights(const Export *x, float *values)
{
    size_t count = (size_t)model_tensors(x->model);
    const char *path = path_under(x->arena, x->directory, "model.safetensors");
    HubTensor *tensors = calloc(count, sizeof *tensors);
    TensorEntry *entries = calloc(count + 1, sizeof *entries);
    bool ok = path != NULL && tensors != NULL && entries != NULL;
    if (!ok) no_memory(x);
    for (size_t i = 0; ok && i < count; i++) {
        tensors[i] = model_tensor(x->model, (int32_t)i);
        entries[i] = (TensorEntry){.name = tensors[i].name,
                                   .type = x->options->type,
                                   .rank = tensors[i].rank,
                                   .shape = {tensors[i].shape[0], tensors[i].shape[1]}};
    }
    if (ok) {
        entries[count] = (TensorEntry){.name = "score.weight",
                                       .type = x->options->type,
                                       .rank = 2,
                                       .shape = {1, x->hub->config.width}};
        SafetensorsWriter *writer =
            safetensors_write(path, entries, count + 1, NULL, x->arena, x->err);
        ok = writer != NULL && put_tensors(x, writer, values);
        if (writer != NULL) ok = safetensors_finish(writer, ok, x->arena, x->err) && ok;
    }
    free(tensors);
    free(entries);
    return ok;
}

static bool write_heads(const Export *x, float *values)
{
    const char *folder = path_under(x->arena, x->directory, "aileron");
    const char *path = path_under(x->arena, x->directory, "aileron/heads.safetensors");
    int32_t heads = model_heads(x->model);
    const TensorEntry entry = {.name = "heads.weight",
                               .type = TENSOR_F32,
                               .rank = 2,
                               .shape = {heads, x->hub->config.width}};
    if (folder == NULL || path == NULL) return no_memory(x);
    if (heads == 1) return remove_stale(x, "aileron/heads.safetensors");
    if (!directory_make(folder, x->arena, x->err)) return false;
    model_heads_get(x->model, values);
    SafetensorsWriter *writer = safetensors_write(path, &entry, 1, NULL, x->arena, x->err);
    bool ok = writer != NULL && safetensors_put(writer, 0, values, x->arena, x->err);
    if (writer != NULL) ok = safetensors_finish(writer, ok, x->arena, x->err) && ok;
    return ok;
}

/* ---- tokenizer ---- */

static bool write_file(const Export *x, const char *name, Str text)
{
    const char *path = path_under(x->arena, x->directory, name);
    return path != NULL ? file_write(path, text, x->arena, x->err) : no_memory(x);
}

/* The Jinja source that the export's conversations are rendered by; *kept: it is the source's. */
static Str template_text(const Export *x, bool *kept)
{
    const struct HubFiles *files = x->hub->files;
    *kept = x->hub->has_template && x->hub->chat == x->options->chat;
    if (!*kept) return str_from(template_source(x->options->chat));
    return files->has[SIDE_TEMPLATE] ? buf_str(&files->sides[SIDE_TEMPLATE]) : (Str){NULL, 0};
}

/* A tokenizer class that takes tokenizer.json as it stands: others (GPT2Tokenizer, which SmolLM2
 * names) put a pre-tokenizer of their own in its place in transformers 5, and 5's own name means
 * nothing to 4. The template goes in here, too, because 4.44 reads no chat_template.jinja. */
static void set_tokenizer_class(const Export *x, JsonEdit *edit)
{
    bool kept;
    Str template = template_text(x, &kept);
    json_edit_text(edit, "tokenizer_class", STR("PreTrainedTokenizerFast"));
    /* else 4 makes token_type_ids, too, which no decoder takes */
    json_edit_json(edit, "model_input_names", "[\"input_ids\", \"attention_mask\"]");
    if (template.ptr != NULL) json_edit_text(edit, "chat_template", template);
}

/* The text of a side file with pad_token set; a tokenizer_config.json that is missing is made. */
static bool write_with_pad(const Export *x, SideFile side)
{
    const struct HubFiles *files = x->hub->files;
    Buf pad;
    JsonEdit edit;
    buf_init(&pad, KiB(64));
    bool ok = tokenizer_decode(x->hub->tokenizer, x->options->pad_id, &pad) ||
              err_set(x->err, x->arena, ERR_invalid, NULL, "no token has the pad id %d",
                      x->options->pad_id);
    json_edit_begin(&edit, files->has[side] ? buf_str(&files->sides[side]) : STR("{}\n"),
                    2 * (size_t)HUB_SIDE_FILE_MAX);
    json_edit_text(&edit, "pad_token", buf_str(&pad));
    if (side == SIDE_TOKENIZER_CONFIG) set_tokenizer_class(x, &edit);
    ok = ok && (!edit.failed || no_memory(x)) &&
         write_file(x, side_file_names[side], buf_str(&edit.text));
    buf_release(&pad);
    json_edit_release(&edit);
    return ok;
}

static bool write_sides(const Export *x)
{
    const struct HubFiles *files = x->hub->files;
    bool kept;
    Str template = template_text(x, &kept);
    for (int i = 0; i < HUB_SIDE_FILES; i++) {
        const char *name = side_file_names[i];
        bool ok;
        if (i == SIDE_TOKENIZER_CONFIG || (i == SIDE_SPECIAL_TOKENS && files->has[i])) {
            ok = write_with_pad(x, (SideFile)i);
        } else if (i == SIDE_TEMPLATE && !kept) {
            ok = write_file(x, name, template);
        } else if (files->has[i]) {
            ok = write_file(x, name, buf_str(&files->sides[i]));
        } else {
            ok = remove_stale(x, name);
        }
        if (!ok) return false;
    }
    return true;
}

bool hub_export(const Hub *hub, const Model *model, const char *directory, const HubExport *options,
                Arena *arena, Err *err)
{
    const Export x = {.hub = hub,
                      .model = model,
                      .directory = directory,
                      .options = options,
                      .arena = arena,
                      .err = err};
    if (!directory_make(directory, arena, err)) return false;
    float *values = values_new(model, (size_t)model_heads(model));
    Buf config;
    buf_init(&config, 2 * (size_t)CONFIG_TEXT_MAX);
    bool ok = values != NULL || no_memory(&x);
    ok = ok && config_export(hub, options, &config, arena, err) && write_weights(&x, values) &&
         write_heads(&x, values) && write_sides(&x) &&
         write_file(&x, "config.json", buf_str(&config));
    buf_release(&config);
    free(values);
    return ok;
}
