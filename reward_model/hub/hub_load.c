/* hub_load.c - a directory's tensors into a Model: every name accounted for, every shape checked.
 */
#include <math.h>
#include <stdlib.h>
#include "hub_internal.h"

const char *hub_prefix(Family family)
{
    if (family == FAMILY_GPT2) return "transformer.";
    return family == FAMILY_NEOX ? "gpt_neox." : "model.";
}

/* '#' in the pattern stands for digits. */
static bool matches(const char *pattern, Str name)
{
    size_t i = 0;
    for (; *pattern != '\0'; pattern++) {
        if (*pattern != '#') {
            if (i == name.len || name.ptr[i] != *pattern) return false;
            i++;
            continue;
        }
        size_t start = i;
        while (i < name.len && name.ptr[i] >= '0' && name.ptr[i] <= '9') i++;
        if (i == start) return false;
    }
    return i == name.len;
}

bool hub_ignores(Family family, Str name)
{
    static const struct {
        int families;
        const char *pattern;
    } ignored[] = {
        {1 << FAMILY_GPT2, "h.#.attn.bias"}, /* the causal mask */
        {1 << FAMILY_GPT2, "h.#.attn.masked_bias"},
        {1 << FAMILY_NEOX, "layers.#.attention.bias"},
        {1 << FAMILY_NEOX, "layers.#.attention.masked_bias"},
        {1 << FAMILY_NEOX, "layers.#.attention.rotary_emb.inv_freq"},
        {1 << FAMILY_NEOX, "rotary_emb.inv_freq"},
        {1 << FAMILY_NEOX, "embed_out.weight"},
        {~0, "layers.#.self_attn.rotary_emb.inv_freq"},
        {~0, "rotary_emb.inv_freq"},
        {~0, "lm_head.weight"},
    };
    for (size_t i = 0; i < LEN(ignored); i++)
        if (ignored[i].families & 1 << family && matches(ignored[i].pattern, name)) return true;
    return false;
}

typedef struct Loading {
    const Hub *hub;
    Model *model;
    const Safetensors *from;
    size_t prefix; /* bytes of the model's names that the directory's lack */
    float *values; /* of the largest tensor */
    Arena *arena;
    Err *err;
} Loading;

#define refuse(l, ...) refuse_tensor((l)->hub->directory, (l)->arena, (l)->err, __VA_ARGS__)

static bool refuse_tensor(const char *directory, Arena *arena, Err *err, const char *format, ...)
    PRINTF_LIKE(4, 5);

static bool refuse_tensor(const char *directory, Arena *arena, Err *err, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return err_set(err, arena, ERR_invalid, NULL, "%s: %s", directory, text);
}

static bool find_tensor(const Loading *l, const HubTensor *want, TensorView *view)
{
    const char *name = want->name + l->prefix;
    if (!safetensors_find(l->from, str_from(name), view))
        return refuse(l, "tensor %s is missing%s%.200s", name,
                      safetensors_count(l->from) > 0 ? "; there is, for example, " : "",
                      safetensors_count(l->from) > 0 ? safetensors_at(l->from, 0).name.ptr : "");
    if (view->type == TENSOR_OTHER)
        return refuse(l, "tensor %s is neither F32 nor F16 nor BF16", name);
    bool same = view->rank == want->rank;
    for (int32_t i = 0; same && i < want->rank; i++) same = view->shape[i] == want->shape[i];
    if (same) return true;
    Buf text;
    buf_init(&text, 1024);
    buf_put_format(&text, "tensor %s has shape [", name);
    for (int32_t i = 0; i < view->rank; i++)
        buf_put_format(&text, "%s%lld", i > 0 ? ", " : "", (long long)view->shape[i]);
    buf_put_text(&text, "], the configuration wants [");
    for (int32_t i = 0; i < want->rank; i++)
        buf_put_format(&text, "%s%lld", i > 0 ? ", " : "", (long long)want->shape[i]);
    buf_put_text(&text, "]");
    refuse(l, STR_FMT, STR_ARG(buf_str(&text)));
    buf_release(&text);
    return false;
}

/* Nothing is left over: each tensor is the model's, a head, or one that changes no score. */
static bool check_names(const Loading *l)
{
    Family family = l->hub->config.family;
    const char *prefix = hub_prefix(family);
    size_t wanted = (size_t)model_tensors(l->model), used = 0;
    for (size_t i = 0; i < safetensors_count(l->from); i++) {
        Str name = safetensors_at(l->from, i).name;
        Str bare = str_starts(name, prefix) ? str_skip(name, strlen(prefix)) : name;
        if (str_is(name, "score.weight") || hub_ignores(family, bare)) continue;
        bool found = false;
        for (size_t k = 0; !found && k < wanted; k++) {
            HubTensor tensor = model_tensor(l->model, (int32_t)k);
            found = str_is(name, tensor.name + l->prefix);
        }
        if (!found) return refuse(l, "tensor %.200s is not one of this kind of model", name.ptr);
        used++;
    }
    return used == wanted || refuse(l, "%zu tensors are missing", wanted - used);
}

static bool has_prefix(const Safetensors *from, const char *prefix)
{
    for (size_t i = 0; i < safetensors_count(from); i++)
        if (str_starts(safetensors_at(from, i).name, prefix)) return true;
    return false;
}

/* The first of the values that is infinite or not a number; count when there is none. */
static size_t find_not_finite(const float *values, size_t count)
{
    enum { PIECE = 4096 };
    const uint32_t infinity = 0x7f800000; /* all bits of the exponent */
    for (size_t from = 0; from < count; from += PIECE) {
        size_t end = count - from < PIECE ? count : from + PIECE;
        uint32_t most = 0; /* a loop without branches, for the vector units */
        for (size_t i = from; i < end; i++) {
            uint32_t bits;
            memcpy(&bits, &values[i], sizeof bits);
            bits &= 0x7fffffff;
            most = most > bits ? most : bits;
        }
        for (size_t i = from; most >= infinity && i < end; i++)
            if (!isfinite(values[i])) return i;
    }
    return count;
}

/* The view's own floats when they can be used where they lie, else converted ones; NULL with an
 * error when one of them is no number to calculate with. */
static const float *values_of(const Loading *l, const TensorView *view)
{
    const float *values = l->values;
    size_t width = view->rank > 0 ? (size_t)view->shape[view->rank - 1] : 1, count = 1;
    for (int32_t i = 0; i < view->rank; i++) count *= (size_t)view->shape[i];
    if (view->type == TENSOR_F32 && (uintptr_t)view->data % _Alignof(float) == 0) {
        values = view->data;
    } else {
        tensor_read_f32(view, l->values);
    }
    size_t at = find_not_finite(values, count);
    if (at == count) return values;
    refuse(l, "tensor %.200s holds %s (row %zu, column %zu)", view->name.ptr,
           isnan(values[at]) ? "NaN" : "infinity", at / width, at % width);
    return NULL;
}

static bool load_tensors(const Loading *l)
{
    for (int32_t i = 0; i < model_tensors(l->model); i++) {
        HubTensor want = model_tensor(l->model, i);
        TensorView view;
        if (!find_tensor(l, &want, &view)) return false;
        const float *values = values_of(l, &view);
        if (values == NULL) return false;
        model_tensor_set(l->model, i, values);
    }
    return check_names(l);
}

static bool load_heads(const Loading *l)
{
    TensorView view;
    const Hub *hub = l->hub;
    if (hub->heads == 0) return true;
    if (hub->heads != model_heads(l->model))
        return refuse(l, "it has %d score heads, --heads asks for %d", hub->heads,
                      model_heads(l->model));
    bool own = hub->files->heads != NULL;
    const Safetensors *from = own ? hub->files->heads : l->from;
    if (!safetensors_find(from, str_from(own ? "heads.weight" : "score.weight"), &view))
        return refuse(l, "the score heads are missing");
    const float *values = values_of(l, &view);
    if (values != NULL) model_heads_set(l->model, values);
    return values != NULL;
}

bool hub_load(const Hub *hub, Model *model, Arena *arena, Err *err)
{
    Loading l = {.hub = hub,
                 .model = model,
                 .from = hub->files->weights,
                 .arena = arena,
                 .err = err};
    size_t most = (size_t)model_heads(model) * (size_t)hub->config.width;
    if (l.from == NULL) return true;
    const char *prefix = hub_prefix(hub->config.family);
    if (!has_prefix(l.from, prefix)) l.prefix = strlen(prefix);
    for (int32_t i = 0; i < model_tensors(model); i++) {
        HubTensor tensor = model_tensor(model, i);
        size_t count = (size_t)tensor.shape[0];
        if (tensor.rank == 2) count *= (size_t)tensor.shape[1];
        if (count > most) most = count;
    }
    l.values = malloc(most * sizeof *l.values);
    if (l.values == NULL)
        return err_set(err, arena, ERR_internal, NULL, "out of memory for %zu values", most);
    bool ok = load_tensors(&l) && load_heads(&l);
    free(l.values);
    if (ok) model_refresh(model);
    return ok;
}
