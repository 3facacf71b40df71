/* probe_model.c - the decoder as a filter, for tests in other languages: lines of words on standard
 * input, arrays of raw fp32 after the lines that announce them; arrays on standard output.
 *
 *   device NAME f32|bf16                     config MEMBER NUMBER …          (as in config.h)
 *   open MODE HEADS TRIM LORA_RANK LORA_ALPHA SEED
 *   tensor NAME COUNT  <fp32>                heads COUNT  <fp32>
 *   batch SHARE, then lines of "ID ID …", one a sequence; an empty line ends a group, "." the batch
 *   scores | features | tensors | use
 *   gradients COUNT  <fp32: dscores>
 *   step RATE BETA1 BETA2 EPSILON DECAY CLIP   Bradley-Terry: sequences 2k over 2k + 1, head 0
 *
 * Answers: "NAME COUNT\n" and COUNT raw fp32 each; "use BYTES PEAK FLOPS\n" alone has none. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include "../../reward_model/nn/model.h"

enum { SEQUENCES_MAX = 4096 };

typedef struct Probe {
    Arena arena;
    Err err;
    Device *device;
    ModelConfig config;
    Model *model;
    Batch batch;
    char *line;
    size_t line_size;
} Probe;

static void fail(const Probe *p, const char *what)
{
    fprintf(stderr, "probe_model: %s: %s\n", what, p->err.detail ? p->err.detail : "");
    exit(1);
}

static float *floats_read(const Probe *p, size_t count)
{
    float *values = malloc((count + 1) * sizeof(float));
    if (!values || fread(values, sizeof(float), count, stdin) != count) fail(p, "short array");
    return values;
}

static void floats_write(const char *name, const float *values, size_t count)
{
    printf("%s %zu\n", name, count);
    fwrite(values, sizeof(float), count, stdout);
}

static bool line_read(Probe *p)
{
    ssize_t length = getline(&p->line, &p->line_size, stdin);
    if (length > 0 && p->line[length - 1] == '\n') p->line[length - 1] = '\0';
    return length >= 0;
}

static size_t floats_of(HubTensor t)
{
    return (size_t)t.shape[0] * (size_t)(t.rank == 2 ? t.shape[1] : 1);
}

/* ---- commands; `rest` is what follows the command's word ---- */

static void run_device(Probe *p, const char *rest)
{
    char name[32], dtype[8];
    if (sscanf(rest, "%31s %7s", name, dtype) != 2) fail(p, "device");
    const Ops *ops = ops_find(name, &p->arena, &p->err);
    DeviceOptions options = {.compute = !strcmp(dtype, "bf16") ? DTYPE_BF16 : DTYPE_F32};
    if (!ops || !(p->device = ops->open(&options, &p->arena, &p->err))) fail(p, "device");
}

#define MEMBERS(X)                                                                                 \
    X(vocabulary)                                                                                  \
    X(width)                                                                                       \
    X(layers) X(query_heads) X(key_heads) X(head_dim) X(hidden) X(positions) X(norm_epsilon)       \
        X(learned_positions) X(parallel_residual) X(head_norm) X(qkv_bias) X(output_bias)          \
            X(mlp_bias) X(rotary_dims) X(rope_theta) X(rope_factor) X(rope_low) X(rope_high)       \
                X(rope_original_positions) X(initializer_range)

static void member_set(Probe *p, const char *name, double value)
{
    ModelConfig *c = &p->config;
    if (!strcmp(name, "family"))
        c->family = (Family)value;
    else if (!strcmp(name, "activation"))
        c->activation = (Activation)value;
    else if (!strcmp(name, "norm"))
        c->norm = (NormKind)value;
    else if (!strcmp(name, "rope_scaling"))
        c->rope_scaling = (RopeScaling)value;
#define X(member) else if (!strcmp(name, #member)) c->member = (__typeof__(c->member))value;
    MEMBERS(X)
#undef X
    else fail(p, name);
}

static void run_config(Probe *p, const char *rest)
{
    char name[64];
    double value;
    int used;
    p->config = (ModelConfig){.pad_id = -1, .bos_id = -1, .eos_id = -1};
    for (; sscanf(rest, "%63s %lf%n", name, &value, &used) == 2; rest += used)
        member_set(p, name, value);
}

static void run_open(Probe *p, const char *rest)
{
    int mode, trim;
    ModelOptions o = {0};
    if (sscanf(rest, "%d %d %d %d %f %lu", &mode, &o.heads, &trim, &o.lora_rank, &o.lora_alpha,
               &o.seed) != 6)
        fail(p, "open");
    o.mode = (TrainMode)mode;
    o.trim_last_layer = trim != 0;
    model_free(p->model);
    p->model = model_new(p->device, &p->config, &o, &p->arena, &p->err);
    if (!p->model) fail(p, "open");
}

static void run_tensor(Probe *p, const char *rest)
{
    char name[128];
    size_t count;
    if (sscanf(rest, "%127s %zu", name, &count) != 2) fail(p, "tensor");
    float *values = floats_read(p, count);
    int32_t index = 0;
    while (index < model_tensors(p->model) && strcmp(model_tensor(p->model, index).name, name))
        index++;
    if (index == model_tensors(p->model)) fail(p, name);
    if (floats_of(model_tensor(p->model, index)) != count) fail(p, name);
    model_tensor_set(p->model, index, values);
    free(values);
}

static void run_heads(Probe *p, const char *rest)
{
    size_t count = strtoul(rest, NULL, 10);
    size_t want = (size_t)(model_heads(p->model) * p->config.width);
    if (count != want) fail(p, "heads");
    float *values = floats_read(p, count);
    model_heads_set(p->model, values);
    free(values);
}

static void run_batch(Probe *p, const char *rest)
{
    static Sequence sequences[SEQUENCES_MAX];
    static Group groups[SEQUENCES_MAX + 1];
    int32_t count = 0, group = 0;
    BatchOptions options = {.share = strtol(rest, NULL, 10) != 0}; /* rest dies with the line */
    groups[0] = (Group){sequences, 0};
    while (line_read(p) && strcmp(p->line, ".")) {
        if (p->line[0] == '\0') {
            groups[++group] = (Group){&sequences[count], 0};
            continue;
        }
        int32_t *ids = malloc((strlen(p->line) + 1) * sizeof *ids), length = 0;
        if (!ids || count == SEQUENCES_MAX) fail(p, "batch");
        for (char *at = p->line, *end; *at; at = end) ids[length++] = (int32_t)strtol(at, &end, 10);
        sequences[count++] = (Sequence){ids, length};
        groups[group].count++;
    }
    if (!batch_build(&p->batch, groups, group + 1, options, &p->arena, &p->err)) fail(p, "batch");
    while (count > 0) free((void *)(uintptr_t)sequences[--count].ids);
}

static float *scores_of(Probe *p, bool keep, size_t *count)
{
    *count = (size_t)(p->batch.sequences * model_heads(p->model));
    float *scores = malloc(*count * sizeof(float));
    if (!scores || !model_forward(p->model, &p->batch, keep, scores, &p->arena, &p->err))
        fail(p, "forward");
    return scores;
}

static void run_scores(Probe *p, UNUSED const char *rest)
{
    size_t count;
    float *scores = scores_of(p, false, &count);
    floats_write("scores", scores, count);
    free(scores);
}

static void run_features(Probe *p, UNUSED const char *rest)
{
    size_t count = (size_t)(p->batch.sequences * p->config.width);
    float *features = malloc(count * sizeof(float));
    if (!features || !model_features(p->model, &p->batch, features, &p->arena, &p->err))
        fail(p, "features");
    floats_write("features", features, count);
    free(features);
}

/* Every tensor and the heads, as values or as gradients. */
static void tensors_write(Probe *p, bool gradients)
{
    for (int32_t i = 0; i < model_tensors(p->model); i++) {
        HubTensor t = model_tensor(p->model, i);
        float *values = malloc(floats_of(t) * sizeof(float));
        if (!values) fail(p, "memory");
        (gradients ? model_tensor_gradient : model_tensor_get)(p->model, i, values);
        floats_write(t.name, values, floats_of(t));
        free(values);
    }
    size_t count = (size_t)(model_heads(p->model) * p->config.width);
    float *values = malloc(count * sizeof(float));
    if (!values) fail(p, "memory");
    (gradients ? model_heads_gradient : model_heads_get)(p->model, values);
    floats_write("heads", values, count);
    free(values);
}

static void run_tensors(Probe *p, UNUSED const char *rest)
{
    tensors_write(p, false);
}

static void run_gradients(Probe *p, const char *rest)
{
    size_t count, given = strtoul(rest, NULL, 10);
    float *dscores = floats_read(p, given), *scores = scores_of(p, true, &count);
    if (given != count) fail(p, "gradients");
    bool ok = model_backward(p->model, &p->batch, dscores, NULL, &p->arena, &p->err);
    if (!ok) fail(p, "backward");
    tensors_write(p, true);
    free(scores);
    free(dscores);
}

/* Mean over pairs of -log sigmoid(chosen - rejected). */
static void run_step(Probe *p, const char *rest)
{
    StepOptions o = {.gradient_scale = 1};
    if (sscanf(rest, "%f %f %f %f %f %f", &o.learning_rate, &o.beta1, &o.beta2, &o.epsilon,
               &o.weight_decay, &o.clip_norm) != 6)
        fail(p, "step");
    size_t count, heads = (size_t)model_heads(p->model);
    float *scores = scores_of(p, true, &count), *dscores = calloc(count, sizeof(float));
    if (!dscores) fail(p, "memory");
    double loss = 0, pairs = (double)(count / heads / 2), norm;
    for (size_t i = 0; i + 1 < count / heads; i += 2) {
        double margin = (double)scores[i * heads] - (double)scores[(i + 1) * heads];
        loss += log1p(exp(-margin)) / pairs;
        dscores[i * heads] = (float)(-1 / (1 + exp(margin)) / pairs);
        dscores[(i + 1) * heads] = -dscores[i * heads];
    }
    bool ok = model_backward(p->model, &p->batch, dscores, NULL, &p->arena, &p->err);
    if (!ok) fail(p, "backward");
    if (!model_step(p->model, &o, &norm, &p->arena, &p->err)) fail(p, "step");
    floats_write("step", (float[]){(float)loss, (float)norm}, 2);
    free(scores);
    free(dscores);
}

static void run_use(Probe *p, UNUSED const char *rest)
{
    ModelUse use = model_use(p->model);
    printf("use %zu %zu %.0f\n", use.bytes, use.bytes_peak, use.flops);
}

static const struct {
    const char *word;
    void (*run)(Probe *p, const char *rest);
} commands[] = {
    {"device", run_device}, {"config", run_config},       {"open", run_open},
    {"tensor", run_tensor}, {"heads", run_heads},         {"batch", run_batch},
    {"scores", run_scores}, {"features", run_features},   {"tensors", run_tensors},
    {"use", run_use},       {"gradients", run_gradients}, {"step", run_step},
};

int main(void)
{
    Probe p = {0};
    arena_init(&p.arena, MiB(1));
    while (line_read(&p)) {
        size_t length = strcspn(p.line, " "), i = 0;
        while (i < LEN(commands) &&
               (strlen(commands[i].word) != length || strncmp(commands[i].word, p.line, length)))
            i++;
        if (i == LEN(commands)) fail(&p, p.line);
        commands[i].run(&p, p.line + length);
    }
    fflush(stdout);
    batch_free(&p.batch);
    model_free(p.model);
    if (p.device) p.device->ops->close(p.device);
    free(p.line);
    arena_release(&p.arena);
    return 0;
}
