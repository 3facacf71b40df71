/* check_train.c - the loss of a tiny model over 50 steps, on the backend that is checked and on the
 * CPU from the same weights and pairs; and again on the first: the same bits. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include "check.h"

enum {
    STEPS = 50,
    STEPS_SMALL = 6,
    PAIRS = 8,
    PROMPT = 12,
    ANSWER = 10,
    VOCABULARY = 64,
    LIKED = 7 /* the word that decides */
};

typedef struct Curve {
    double losses[STEPS];
    double norms[STEPS];
    uint64_t bits; /* of all weights at the end */
} Curve;

static const ModelConfig CONFIG = {.family = FAMILY_QWEN2,
                                   .vocabulary = VOCABULARY,
                                   .width = 64,
                                   .layers = 2,
                                   .query_heads = 4,
                                   .key_heads = 2,
                                   .head_dim = 16,
                                   .hidden = 96,
                                   .positions = 64,
                                   .activation = ACT_SWIGLU,
                                   .norm = NORM_RMS,
                                   .norm_epsilon = 1e-6f,
                                   .qkv_bias = true,
                                   .rotary_dims = 16,
                                   .rope_theta = 10000,
                                   .initializer_range = 0.08f,
                                   .pad_id = -1,
                                   .bos_id = -1,
                                   .eos_id = -1};

/* Pairs of answers to one prompt; the chosen one (the first) holds the liked word. */
static void pairs_draw(uint64_t *random, int32_t ids[PAIRS][2][PROMPT + ANSWER],
                       Sequence sequences[PAIRS][2], Group groups[PAIRS])
{
    for (int p = 0; p < PAIRS; p++) {
        for (int side = 0; side < 2; side++) {
            int32_t length = PROMPT + 2 + (int32_t)(fabs(draw(random)) * (ANSWER - 2));
            for (int i = 0; i < length; i++) {
                int32_t id = LIKED + 1 + (int32_t)(fabs(draw(random)) * (VOCABULARY - LIKED - 1));
                ids[p][side][i] = i < PROMPT && side ? ids[p][0][i] : id;
            }
            int at = PROMPT + (int)(fabs(draw(random)) * (length - PROMPT));
            if (side == 0) ids[p][side][at] = LIKED;
            sequences[p][side] = (Sequence){ids[p][side], length};
        }
        groups[p] = (Group){sequences[p], 2};
    }
}

/* Bradley-Terry: the mean of -log sigmoid(chosen - rejected), and its slopes. */
static double pairs_loss(const float *scores, float *dscores)
{
    double loss = 0;
    for (int p = 0; p < PAIRS; p++) {
        double margin = (double)scores[2 * p] - (double)scores[2 * p + 1];
        double slope = -1 / (1 + exp(margin)) / PAIRS;
        loss += log1p(exp(-margin)) / PAIRS;
        dscores[2 * p] = (float)slope;
        dscores[2 * p + 1] = (float)-slope;
    }
    return loss;
}

static uint64_t weights_bits(const Model *model)
{
    uint64_t hash = 14695981039346656037u;
    for (int32_t i = 0; i < model_tensors(model); i++) {
        HubTensor t = model_tensor(model, i);
        size_t count = (size_t)(t.shape[0] * (t.rank == 2 ? t.shape[1] : 1));
        float *values = malloc(count * sizeof *values);
        model_tensor_get(model, i, values);
        for (size_t j = 0; j < count; j++) {
            uint32_t bits;
            memcpy(&bits, &values[j], sizeof bits);
            hash = (hash ^ bits) * 1099511628211u;
        }
        free(values);
    }
    return hash;
}

static void curve_run(Curve *curve, const Ops *ops, Dtype dtype, int steps)
{
    static int32_t ids[PAIRS][2][PROMPT + ANSWER];
    Sequence sequences[PAIRS][2];
    Group groups[PAIRS];
    float scores[2 * PAIRS], dscores[2 * PAIRS];
    Arena arena;
    Err err;
    Batch batch = {0};
    uint64_t random = 1234567;
    const ModelOptions options = {.mode = TRAIN_FULL, .heads = 1, .seed = 5};
    const StepOptions step = {3e-3f, 0.9f, 0.95f, 1e-8f, 0.01f, 1, 1};
    arena_init(&arena, KiB(64));
    Device *device = device_new(ops, dtype);
    Model *model = model_new(device, &CONFIG, &options, &arena, &err);
    if (!model) fail("%s", err.detail);
    for (int i = 0; i < steps; i++) {
        pairs_draw(&random, ids, sequences, groups);
        bool fine = batch_build(&batch, groups, PAIRS, (BatchOptions){true}, &arena, &err) &&
                    model_forward(model, &batch, true, scores, &arena, &err);
        if (!fine) fail("%s", err.detail);
        curve->losses[i] = pairs_loss(scores, dscores);
        if (!model_backward(model, &batch, dscores, NULL, &arena, &err) ||
            !model_step(model, &step, &curve->norms[i], &arena, &err))
            fail("%s", err.detail);
        arena_reset(&arena);
    }
    curve->bits = weights_bits(model);
    model_free(model);
    batch_free(&batch);
    ops->close(device);
    arena_release(&arena);
}

static void train_in(Check *check, const Ops *cpu, Dtype dtype, double allowed)
{
    static Curve here, again, there;
    const int steps = check->small ? STEPS_SMALL : STEPS;
    const char *name = dtype == DTYPE_F32 ? "fp32" : "bf16";
    curve_run(&here, check->ops, dtype, steps);
    curve_run(&again, check->ops, dtype, steps);
    curve_run(&there, cpu, dtype, steps);
    double worst = 0;
    for (int i = 0; i < steps; i++) {
        worst = fmax(worst, fabs(here.losses[i] - there.losses[i]));
        if (i % 10 == 0 || i == steps - 1) {
            printf("train %s, step %2d: loss %.5f here, %.5f on the CPU; norm %.4f, %.4f\n", name,
                   i + 1, here.losses[i], there.losses[i], here.norms[i], there.norms[i]);
        }
    }
    bool same = here.bits == again.bits && !memcmp(here.losses, again.losses, sizeof here.losses);
    bool bad = !(worst <= allowed);
    check->failures += bad + !same;
    printf("train %s: the losses differ by at most %.1e of %.1e%s; a repeat is %s\n", name, worst,
           allowed, bad ? "  DIFFERS" : "", same ? "the same to the bit" : "NOT THE SAME");
}

void check_train(Check *check)
{
    Arena arena;
    Err err;
    arena_init(&arena, KiB(4));
    const Ops *cpu = ops_find("cpu", &arena, &err);
    if (!cpu) fail("%s", err.detail);
    arena_release(&arena);
    train_in(check, cpu, DTYPE_F32, 1e-3);
    /* rounding to 8 bits sends the two on slightly different ways */
    train_in(check, cpu, DTYPE_BF16, 6e-2);
}
