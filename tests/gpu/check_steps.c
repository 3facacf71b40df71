/* check_steps.c - training steps of three models with random weights, on lengths drawn like those
 * of three data sets: pairs and tokens per second, MFU, memory; and one request for scores. With
 * each, for how much of the time the host was at work, enqueuing above all: where that is most of
 * it, the GPU waits for the host.
 *
 * MFU = executed operations / (seconds · peak): 2 · M · N · K of each product, and for attention
 * 4 · d forward and 10 · d back for each pair of a query and a key that it sees; what a shared
 * prompt or the trimmed last layer saves is not counted, what is computed again is. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include "check.h"
#include "lengths.h"

enum { ROWS = 32768, ROWS_SMALL = 1024, STEPS = 6, WARM = 2, PAIRS_MAX = 4096, TOKENS_MAX = 2048 };
enum { CANDIDATES = 8, PROMPT = 200, ANSWER = 100, REQUESTS = 20 };

#define SHARED_CONFIG .initializer_range = 0.02f, .pad_id = -1, .bos_id = -1, .eos_id = -1
static const struct {
    const char *name;
    ModelConfig config;
} MODELS[] = {
    {"pythia-160m",
     {.family = FAMILY_NEOX,
      .vocabulary = 50304,
      .width = 768,
      .layers = 12,
      .query_heads = 12,
      .key_heads = 12,
      .head_dim = 64,
      .hidden = 3072,
      .positions = TOKENS_MAX,
      .activation = ACT_GELU_ERF,
      .norm = NORM_LAYER,
      .norm_epsilon = 1e-5f,
      .parallel_residual = true,
      .qkv_bias = true,
      .output_bias = true,
      .mlp_bias = true,
      .rotary_dims = 16,
      .rope_theta = 10000,
      SHARED_CONFIG}},
    {"qwen2.5-0.5b",
     {.family = FAMILY_QWEN2,
      .vocabulary = 151936,
      .width = 896,
      .layers = 24,
      .query_heads = 14,
      .key_heads = 2,
      .head_dim = 64,
      .hidden = 4864,
      .positions = TOKENS_MAX,
      .activation = ACT_SWIGLU,
      .norm = NORM_RMS,
      .norm_epsilon = 1e-6f,
      .qkv_bias = true,
      .rotary_dims = 64,
      .rope_theta = 1e6f,
      SHARED_CONFIG}},
    {"llama-3.2-1b",
     {.family = FAMILY_LLAMA,
      .vocabulary = 128256,
      .width = 2048,
      .layers = 16,
      .query_heads = 32,
      .key_heads = 8,
      .head_dim = 64,
      .hidden = 8192,
      .positions = TOKENS_MAX,
      .activation = ACT_SWIGLU,
      .norm = NORM_RMS,
      .norm_epsilon = 1e-5f,
      .rotary_dims = 64,
      .rope_theta = 5e5f,
      SHARED_CONFIG}},
};
/* With --small. */
static const ModelConfig TINY = {.family = FAMILY_LLAMA,
                                 .vocabulary = 97,
                                 .width = 32,
                                 .layers = 1,
                                 .query_heads = 2,
                                 .key_heads = 1,
                                 .head_dim = 16,
                                 .hidden = 48,
                                 .positions = TOKENS_MAX,
                                 .activation = ACT_SWIGLU,
                                 .norm = NORM_RMS,
                                 .norm_epsilon = 1e-5f,
                                 .rotary_dims = 16,
                                 .rope_theta = 1e4f,
                                 SHARED_CONFIG};

typedef struct Pairs {
    int32_t *ids;
    Sequence sequences[PAIRS_MAX][2];
    Group groups[PAIRS_MAX];
    int32_t count;
    double tokens; /* as if nothing were shared */
} Pairs;

/* ---- the host's part: all but the time in calls that wait for the device ---- */

static struct {
    const Ops *ops; /* what the calls below are handed on to */
    Ops timed;
    double seconds;
} waits;

static bool timed_sync(Device *device, Arena *arena, Err *err)
{
    const double begin = now();
    const bool fine = waits.ops->sync(device, arena, err);
    waits.seconds += now() - begin;
    return fine;
}

static void timed_download(Device *device, void *to_host, const void *from, size_t bytes)
{
    const double begin = now();
    waits.ops->download(device, to_host, from, bytes);
    waits.seconds += now() - begin;
}

static double timed_square_sum(Device *device, const float *x, size_t count)
{
    const double begin = now(), sum = waits.ops->square_sum(device, x, count);
    waits.seconds += now() - begin;
    return sum;
}

/* The device's table is ours from here on, until it is closed. */
static void waits_measure(Device *device)
{
    waits.ops = device->ops;
    waits.timed = *device->ops;
    waits.timed.sync = timed_sync;
    waits.timed.download = timed_download;
    waits.timed.square_sum = timed_square_sum;
    device->ops = &waits.timed;
}

/* ---- training steps ---- */

/* Fills `rows` executed tokens with pairs of the lengths that the baselines draw, too. */
static void pairs_fill(Pairs *p, uint64_t *lengths, uint64_t *random, const LengthsKind *kind,
                       int64_t rows, int32_t vocabulary)
{
    int64_t used = 0, at = 0;
    p->count = 0, p->tokens = 0;
    while (p->count < PAIRS_MAX) {
        const PairLengths drawn = lengths_next(kind, lengths);
        const int32_t prompt = drawn.prompt, answers[2] = {drawn.chosen, drawn.rejected};
        const int32_t own = prompt + answers[0] + answers[1];
        if (used + own > rows) break;
        int32_t *shared = p->ids + at;
        for (int i = 0; i < 2; i++) {
            int32_t *ids = p->ids + at;
            for (int32_t j = 0; j < prompt + answers[i]; j++) {
                int32_t word = (int32_t)(fabs(draw(random)) * vocabulary);
                ids[j] = i && j < prompt ? shared[j] : j == prompt ? i : word;
            }
            at += prompt + answers[i];
            p->tokens += prompt + answers[i];
            p->sequences[p->count][i] = (Sequence){ids, prompt + answers[i]};
        }
        p->groups[p->count] = (Group){p->sequences[p->count], 2};
        used += own;
        p->count++;
    }
}

static void train_step(Model *model, Batch *batch, Pairs *p, float *scores, float *dscores)
{
    Arena arena;
    Err err;
    double size;
    const StepOptions step = {1e-5f, 0.9f, 0.95f, 1e-8f, 0.01f, 1, 1};
    arena_init(&arena, MiB(1));
    if (!batch_build(batch, p->groups, p->count, (BatchOptions){true}, &arena, &err) ||
        !model_forward(model, batch, true, scores, &arena, &err))
        fail("%s", err.detail);
    for (int32_t i = 0; i < p->count; i++) {
        double margin = (double)scores[2 * i] - (double)scores[2 * i + 1];
        dscores[2 * i] = (float)(-1 / (1 + exp(margin)) / p->count);
        dscores[2 * i + 1] = -dscores[2 * i];
    }
    if (!model_backward(model, batch, dscores, NULL, &arena, &err) ||
        !model_step(model, &step, &size, &arena, &err))
        fail("%s", err.detail);
    arena_release(&arena);
}

static void lengths_run(const Check *check, Model *model, const char *name, const LengthsKind *kind,
                        int64_t rows)
{
    static Pairs pairs;
    static float scores[2 * PAIRS_MAX], dscores[2 * PAIRS_MAX];
    const int steps = check->small ? 1 : STEPS;
    Batch batch = {0};
    uint64_t random = 0, lengths = 0;
    double pairs_done = 0, executed = 0, tokens = 0, begin = 0, flops = 0;
    pairs.ids = malloc((size_t)rows * 2 * sizeof *pairs.ids);
    /* the same batches before, for products are tuned when a count of rows is first met */
    for (int i = -steps; i < steps; i++) {
        if (i == -steps || i == 0) random = 99991, lengths = kind->seed;
        if (i == 0) begin = now(), waits.seconds = 0, flops = model_use(model).flops;
        pairs_fill(&pairs, &lengths, &random, kind, rows, model_config(model)->vocabulary);
        train_step(model, &batch, &pairs, scores, dscores);
        if (i < 0) continue;
        pairs_done += pairs.count, executed += batch.rows, tokens += pairs.tokens;
    }
    double seconds = now() - begin, rate = (model_use(model).flops - flops) / seconds;
    printf("%-13s %-14s %8.1f pairs/s %9.0f tokens/s (%9.0f with shared prompts counted twice)",
           name, kind->name, pairs_done / seconds, executed / seconds, tokens / seconds);
    if (check->peak > 0) printf("  MFU %4.1f %%", 100 * rate / check->peak);
    printf("  %.1f TFLOP/s  %.1f GiB  host %.2f of %.2f ms\n", rate * 1e-12,
           (double)model_use(model).bytes_peak / (double)GiB(1),
           1e3 * (seconds - waits.seconds) / steps, 1e3 * seconds / steps);
    free(pairs.ids);
    batch_free(&batch);
}

/* ---- one request at a time, as a server has it when it is not busy ---- */

static void request_score(Model *model, Batch *batch, const Group *group, float *scores)
{
    Arena arena;
    Err err;
    arena_init(&arena, KiB(64));
    if (!batch_build(batch, group, 1, (BatchOptions){true}, &arena, &err) ||
        !model_forward(model, batch, false, scores, &arena, &err))
        fail("%s", err.detail);
    arena_release(&arena);
}

static void requests_run(const Check *check, Model *model, const char *name)
{
    static int32_t ids[CANDIDATES][PROMPT + ANSWER];
    Sequence sequences[CANDIDATES];
    float scores[CANDIDATES];
    Batch batch = {0};
    uint64_t random = 4711;
    double begin = 0;
    const int requests = check->small ? 1 : REQUESTS;
    for (int i = 0; i < CANDIDATES; i++) {
        for (int j = 0; j < PROMPT + ANSWER; j++) {
            int32_t word = (int32_t)(fabs(draw(&random)) * model_config(model)->vocabulary);
            ids[i][j] = j < PROMPT && i ? ids[0][j] : word;
        }
        ids[i][PROMPT] = i; /* where the answers part */
        sequences[i] = (Sequence){ids[i], PROMPT + ANSWER};
    }
    for (int i = -WARM; i < requests; i++) {
        if (i == 0) begin = now(), waits.seconds = 0;
        request_score(model, &batch, &(Group){sequences, CANDIDATES}, scores);
    }
    const double seconds = now() - begin;
    printf("%-13s %-14s %d candidates of %d tokens, %d of them shared: host %.3f of %.3f ms\n",
           name, "request", CANDIDATES, PROMPT + ANSWER, PROMPT,
           1e3 * (seconds - waits.seconds) / requests, 1e3 * seconds / requests);
    batch_free(&batch);
}

/* ---- models ---- */

/* As little as possible is computed again: the first level whose memory there is. False: there is
 * too little for any. */
static bool level_choose(Device *device, const char *name, const ModelConfig *config, int64_t rows,
                         ModelOptions *options)
{
    const double room = 0.92 * (double)device->ops->memory_free(device);
    double needed = 0;
    for (; options->recompute < RECOMPUTE_LEVELS; options->recompute++) {
        ModelPlan plan;
        if (!model_plan(device, config, options, rows, rows / 8, &plan)) fail("no memory");
        needed = (double)(plan.weights + plan.optimiser + plan.scratch + plan.activations);
        if (needed < room) return true;
    }
    printf("%s: skipped, it needs %.1f GiB and there are %.1f\n", name, needed / (double)GiB(1),
           room / (double)GiB(1));
    return false;
}

static void model_run(const Check *check, const char *name, const ModelConfig *config)
{
    Arena arena;
    Err err;
    ModelOptions options = {.mode = TRAIN_FULL, .heads = 1, .seed = 1, .trim_last_layer = true};
    Device *device = device_new(check->ops, DTYPE_BF16);
    int64_t rows = check->small ? ROWS_SMALL : ROWS;
    if (!level_choose(device, name, config, rows, &options)) {
        check->ops->close(device);
        return;
    }
    waits_measure(device);
    arena_init(&arena, KiB(64));
    Model *model = model_new(device, config, &options, &arena, &err);
    if (!model) fail("%s", err.detail);
    printf("%s: %lld tokens a step, recompute %d\n", name, (long long)rows, (int)options.recompute);
    for (size_t i = 0; i < LEN(LENGTHS_KINDS); i++) {
        if (rows >= ROWS || i == 0) lengths_run(check, model, name, &LENGTHS_KINDS[i], rows);
    }
    requests_run(check, model, name);
    model_free(model);
    check->ops->close(device);
    arena_release(&arena);
}

void check_steps(Check *check)
{
    printf("MFU = executed FLOP / (seconds x %.1f TFLOP/s); executed: 2MNK of products, 4d + 10d "
           "of attention for each query and key it sees\n",
           check->peak * 1e-12);
    if (check->small) {
        model_run(check, "tiny", &TINY);
        return;
    }
    for (size_t i = 0; i < LEN(MODELS); i++) model_run(check, MODELS[i].name, &MODELS[i].config);
}
