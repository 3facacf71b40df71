/* test_recompute.c - what a backward pass computes again changes no bit of the gradients; how much
 * memory each level takes is what the plan says, and what it comes to by hand. */
#include "model_env.h"

enum { LORA_RANK = 3 };

#define EACH_CONFIG(c) for (const ModelConfig *c = CONFIGS; c < CONFIGS + LEN(CONFIGS); c++)

/* Gradients after two steps and two backward passes, all of them in one array. */
static float *gradients_of(World *w, const ModelConfig *c, ModelOptions options, size_t *count)
{
    options.lora_rank = LORA_RANK;
    options.lora_alpha = 5;
    Model *model = model_open(w, c, options);
    for (int i = 0; i < 2; i++) step(w, model);
    for (int i = 0; i < 2; i++) backward(w, model);
    const float *gradients = model_gradients(model, count);
    float *copy = floats(*count);
    w->device->ops->download(w->device, copy, gradients, *count * sizeof(float));
    model_free(model);
    return copy;
}

/* On a GPU GPT-2's activations may come with the product before them, not rounded in between, while
 * the level that keeps `hidden` rounds it: see model.h. */
static bool rounds_between(const World *w, const ModelConfig *c, const ModelOptions *options)
{
    return !strcmp(w->device->ops->name, "cuda") && w->device->compute == DTYPE_BF16 &&
           options->mode == TRAIN_FULL && c->activation == ACT_GELU_TANH &&
           options->recompute == RECOMPUTE_NORMS;
}

static void levels_check(Dtype compute, TrainMode mode, bool trim)
{
    World w = world_open(compute, true);
    EACH_CONFIG(c)
    {
        size_t count, same;
        ModelOptions options = {.mode = mode, .trim_last_layer = trim};
        float *want = gradients_of(&w, c, options, &count);
        double size = 0;
        for (size_t i = 0; i < count; i++) size += fabs((double)want[i]);
        ck_assert_double_gt(size, 1);
        for (options.recompute = 1; options.recompute < RECOMPUTE_LEVELS; options.recompute++) {
            float *got = gradients_of(&w, c, options, &same);
            ck_assert_uint_eq(same, count);
            if (rounds_between(&w, c, &options))
                ck_assert_double_lt(distance(got, want, count), 0.01);
            else
                ck_assert_msg(memcmp(want, got, count * sizeof(float)) == 0,
                              "config %td, level %d: other gradients", c - CONFIGS,
                              options.recompute);
            free(got);
        }
        free(want);
    }
    world_close(&w);
}

START_TEST(every_level_gives_the_same_bits)
{
    levels_check(DTYPE_F32, TRAIN_FULL, false);
    levels_check(DTYPE_F32, TRAIN_LORA, true);
    levels_check(DTYPE_BF16, TRAIN_FULL, true);
}
END_TEST

/* Bytes held after a forward pass that keeps. */
static size_t held(World *w, const ModelConfig *c, ModelOptions options)
{
    float scores[SEQUENCES * HEADS];
    Model *model = model_open(w, c, options);
    scores_of(w, model, true, scores);
    size_t bytes = model_use(model).bytes;
    model_free(model);
    return bytes;
}

START_TEST(the_plan_is_what_is_held)
{
    World w = world_open(DTYPE_BF16, true);
    EACH_CONFIG(c)
    {
        size_t base = 0, before = SIZE_MAX;
        for (int32_t level = 0; level < RECOMPUTE_LEVELS; level++) {
            ModelOptions options = {.mode = TRAIN_FULL,
                                    .heads = HEADS,
                                    .trim_last_layer = true,
                                    .recompute = level};
            ModelPlan plan;
            ck_assert(model_plan(w.device, c, &options, w.batch.rows, w.batch.sequences, &plan));
            size_t rest = held(&w, c, options) - plan.activations; /* the same at every level */
            if (level == 0) base = rest;
            ck_assert_uint_eq(rest, base);
            if (c->layers > 2) ck_assert_uint_lt(plan.activations, before);
            before = plan.activations;
            ck_assert_uint_ge(rest, plan.optimiser + plan.weights / 2);
        }
    }
    world_close(&w);
}
END_TEST

static size_t room(size_t bytes) /* as the arena rounds */
{
    return (bytes + 255) / 256 * 256;
}

/* The decoder of GPT-2's shape: 1000 rows, 4 scored, bf16, 2 layers untrimmed; width 16, q|k|v 48,
 * up 24, 4 heads. */
START_TEST(the_plan_by_hand)
{
    enum { R = 1000, S = 4, W = 16, F = 24, H = 4 };
    World w = world_open(DTYPE_BF16, true);
    size_t wide = room(2 * R * W), hidden = room(2 * R * F), fused = room(2 * R * 3 * W);
    size_t lse = room(4 * R * H), stats = room(2 * 4 * R);
    size_t ends = 2 * room(4 * R) + 2 * room(4 * S) + 4 * room(4 * S * W) +
                  2 * room(4 * S * HEADS) + room(2 * 4 * S) + wide + room(2 * S * W);
    size_t back = wide + hidden + hidden + wide + fused; /* dnormed, dactivated, dhidden, … */
    size_t attention = wide + fused + wide + lse;        /* mid, q|k|v, attended */
    size_t norms = 2 * wide + hidden + 2 * stats;
    const size_t expected[RECOMPUTE_LEVELS] = {
        ends + 3 * wide + back + 2 * (attention + hidden + norms),
        ends + 3 * wide + back + 2 * (attention + hidden) + norms,
        ends + 3 * wide + back + 2 * attention + hidden + norms,
        ends + 3 * wide + back + attention + hidden + norms,
    };
    size_t products = 2 * (W * 3 * W + W * W + 2 * W * F);
    for (int32_t level = 0; level < RECOMPUTE_LEVELS; level++) {
        ModelOptions options = {.mode = TRAIN_FULL, .heads = HEADS, .recompute = level};
        ModelPlan plan;
        ck_assert(model_plan(w.device, &CONFIGS[0], &options, R, S, &plan));
        ck_assert_uint_eq(plan.activations, expected[level]);
        /* each part begins at 256 bytes, so a little more than the parameters alone */
        size_t parameters = (size_t)model_config_parameters(&CONFIGS[0]) + HEADS * W;
        /* products in bf16, on a CPU twice */
        size_t copies = strcmp(w.device->ops->name, "cuda") ? 2 : 1;
        size_t masters = plan.weights - 2 * copies * products;
        ck_assert_uint_eq(plan.optimiser, 3 * masters);
        ck_assert_uint_ge(masters, 4 * parameters);
        ck_assert_uint_lt(masters, 4 * parameters + 256 * 28);
    }
    world_close(&w);
}
END_TEST

/* ---- what is final when ---- */

typedef struct Told {
    size_t parts, floats, offsets[128], counts[128];
} Told;

static void tell(void *context, size_t offset, size_t count)
{
    Told *told = context;
    ck_assert_uint_lt(told->parts, LEN(told->offsets));
    told->offsets[told->parts] = offset;
    told->counts[told->parts++] = count;
    told->floats += count;
}

START_TEST(every_gradient_is_announced_once)
{
    static const TrainMode modes[] = {TRAIN_FULL, TRAIN_LORA, TRAIN_HEADS};
    World w = world_open(DTYPE_F32, true);
    float scores[SEQUENCES * HEADS], weights[SEQUENCES * HEADS];
    weights_of_scores(weights);
    EACH_CONFIG(c)
    for (size_t m = 0; m < LEN(modes); m++) {
        Told told = {0}, again = {0};
        size_t count;
        GradientSink sink = {tell, &told};
        Model *model =
            model_open(&w, c,
                       (ModelOptions){.mode = modes[m], .lora_rank = LORA_RANK, .lora_alpha = 1});
        scores_of(&w, model, true, scores);
        ck_assert(model_backward(model, &w.batch, weights, &sink, &w.arena, &w.err));
        (void)model_gradients(model, &count);
        ck_assert_uint_eq(told.floats, count);
        for (size_t i = 0; i < told.parts; i++)
            for (size_t j = 0; j < i; j++)
                ck_assert(told.offsets[i] + told.counts[i] <= told.offsets[j] ||
                          told.offsets[j] + told.counts[j] <= told.offsets[i]);
        sink.context = &again;
        model_gradients_announce(model, &sink);
        ck_assert_mem_eq(&told, &again, sizeof told);
        model_free(model);
    }
    world_close(&w);
}
END_TEST

START_TEST(free_memory_is_that_of_this_machine)
{
    World w = world_open(DTYPE_F32, true);
    size_t free_bytes = w.device->ops->memory_free(w.device);
    ck_assert_uint_gt(free_bytes, MiB(16));
    ck_assert_uint_lt(free_bytes, GiB(65536));
    world_close(&w);
}
END_TEST

UNIT_MAIN("recompute", every_level_gives_the_same_bits, the_plan_is_what_is_held, the_plan_by_hand,
          every_gradient_is_announced_once, free_memory_is_that_of_this_machine)
