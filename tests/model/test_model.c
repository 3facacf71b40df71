/* test_model.c - the decoder's mathematics: gradients against differences, sharing and trimming
 * against neither, LoRA against its merged weights, bf16 against fp32, what is counted. */
#include "model_env.h"

#define EACH_CONFIG(c) for (const ModelConfig *c = CONFIGS; c < CONFIGS + LEN(CONFIGS); c++)

static const char *family_name(const ModelConfig *c)
{
    static const char *const names[] = {"gpt2", "neox", "llama", "qwen2", "qwen3"};
    return names[c->family];
}

/* ---- gradients against central differences along random directions ---- */

/* Differences over h and h/2, extrapolated (Richardson). */
static const float MOVES[4] = {1, -1, 0.5f, -0.5f};

static double slope(const double moved[4], float h)
{
    return (4 * (moved[2] - moved[3]) - (moved[0] - moved[1]) / 2) / (3 * (double)h);
}

static float step_size(size_t count)
{
    return 1e-2f / sqrtf((float)count / 16);
}

static void tensor_move(Model *model, int32_t index, const float *at, const float *direction,
                        float h)
{
    size_t count = index < 0 ? (size_t)(HEADS * model_config(model)->width)
                             : tensor_floats(model_tensor(model, index));
    float *moved = floats(count);
    for (size_t i = 0; i < count; i++) moved[i] = at[i] + h * direction[i];
    if (index < 0)
        model_heads_set(model, moved);
    else
        model_tensor_set(model, index, moved);
    model_refresh(model);
    free(moved);
}

/* index -1: the heads. */
static void tensor_check(World *w, Model *model, int32_t index)
{
    HubTensor t = {.name = "heads", .rank = 2, .shape = {HEADS, model_config(model)->width}};
    if (index >= 0) t = model_tensor(model, index);
    size_t count = tensor_floats(t);
    float *at = floats(count), *direction = floats(count), *gradient = floats(count);
    if (index < 0) {
        model_heads_get(model, at);
        model_heads_gradient(model, gradient);
    } else {
        model_tensor_get(model, index, at);
        model_tensor_gradient(model, index, gradient);
    }
    random_normal(99, (uint64_t)(index + 1), 0, direction, count, 1);
    double along = 0, size = 0;
    for (size_t i = 0; i < count; i++) {
        along += (double)gradient[i] * (double)direction[i];
        size += (double)gradient[i] * (double)gradient[i];
    }
    float h = step_size(count);
    double moved[4];
    for (int i = 0; i < 4; i++) {
        tensor_move(model, index, at, direction, h * MOVES[i]);
        moved[i] = weighted_scores(w, model);
    }
    tensor_move(model, index, at, direction, 0);
    double difference = slope(moved, h);
    double scale = fabs(along) + 0.1 * sqrt(size) + 0.02;
    ck_assert_msg(fabs(difference - along) < 0.02 * scale, "%s %s: differences %g, gradient %g",
                  family_name(model_config(model)), t.name, difference, along);
    free(at);
    free(direction);
    free(gradient);
}

START_TEST(gradients_are_those_of_the_scores)
{
    World w = world_open(DTYPE_F32, true);
    EACH_CONFIG(c)
    {
        Model *model = model_open(&w, c, (ModelOptions){TRAIN_FULL, .trim_last_layer = true});
        backward(&w, model);
        for (int32_t i = -1; i < model_tensors(model); i++) tensor_check(&w, model, i);
        model_free(model);
    }
    world_close(&w);
}
END_TEST

/* The masters of states: every third array (the others are moments). */
static float **masters_get(const Model *model)
{
    int32_t states = model_states(model);
    float **all = calloc((size_t)states, sizeof *all);
    ck_assert_ptr_nonnull(all);
    for (int32_t i = 0; i < states; i += 3) {
        all[i] = floats(model_state(model, i).count);
        model_state_get(model, i, all[i]);
    }
    return all;
}

static void masters_free(const Model *model, float **all)
{
    for (int32_t i = 0; i < model_states(model); i++) free(all[i]);
    free(all);
}

static void state_check(World *w, Model *model, int32_t i, const float *at, const float *after)
{
    StateArray s = model_state(model, i);
    float *direction = floats(s.count), *there = floats(s.count), h = step_size(s.count);
    double along = 0, size = 0, moved[4];
    random_normal(3, (uint64_t)i, 0, direction, s.count, 1);
    for (size_t k = 0; k < s.count; k++) {
        double gradient = ((double)at[k] - (double)after[k]) * 1e3;
        along += gradient * (double)direction[k];
        size += gradient * gradient;
    }
    for (int m = 0; m < 4; m++) {
        for (size_t k = 0; k < s.count; k++) there[k] = at[k] + h * MOVES[m] * direction[k];
        model_state_set(model, i, there);
        model_refresh(model);
        moved[m] = weighted_scores(w, model);
    }
    model_state_set(model, i, at);
    double difference = slope(moved, h), scale = fabs(along) + 0.1 * sqrt(size) + 0.02;
    ck_assert_msg(fabs(difference - along) < 0.02 * scale, "%s %s: differences %g, gradient %g",
                  family_name(model_config(model)), s.name, difference, along);
    free(direction);
    free(there);
}

/* LoRA's gradients are seen through one step: AdamW with a huge epsilon is gradient descent by
 * rate / epsilon. */
START_TEST(lora_gradients_are_those_of_the_scores)
{
    const StepOptions descend = {.learning_rate = 1e4f,
                                 .beta2 = 0.5f,
                                 .epsilon = 1e7f,
                                 .gradient_scale = 1};
    World w = world_open(DTYPE_F32, true);
    EACH_CONFIG(c)
    {
        ModelOptions options = {TRAIN_LORA, .lora_rank = 3, .lora_alpha = 5,
                                .trim_last_layer = c->layers != 2};
        Model *model = model_open(&w, c, options);
        double norm = 0;
        for (int i = 0; i < 3; i++) step(&w, model); /* so that B is not zero */
        float **before = masters_get(model);
        backward(&w, model);
        ck_assert(model_step(model, &descend, &norm, &w.arena, &w.err));
        float **after = masters_get(model);
        for (int32_t i = 0; i < model_states(model); i += 3) model_state_set(model, i, before[i]);
        for (int32_t i = 0; i < model_states(model); i += 3)
            state_check(&w, model, i, before[i], after[i]);
        masters_free(model, before);
        masters_free(model, after);
        model_free(model);
    }
    world_close(&w);
}
END_TEST

/* ---- the four ways to compute the same ---- */

typedef struct Result {
    float scores[SEQUENCES * HEADS];
    float *gradients[256];
    int32_t count;
    double flops;
} Result;

static Result result_of(const ModelConfig *c, Dtype compute, bool share, bool trim)
{
    World w = world_open(compute, share);
    Model *model = model_open(&w, c, (ModelOptions){TRAIN_FULL, .trim_last_layer = trim});
    Result r = {.count = model_tensors(model) + 1};
    scores_of(&w, model, false, r.scores);
    double forward = model_use(model).flops;
    backward(&w, model);
    r.flops = forward;
    for (int32_t i = 0; i < r.count - 1; i++) {
        r.gradients[i] = floats(tensor_floats(model_tensor(model, i)));
        model_tensor_gradient(model, i, r.gradients[i]);
    }
    r.gradients[r.count - 1] = floats((size_t)(HEADS * c->width));
    model_heads_gradient(model, r.gradients[r.count - 1]);
    model_free(model);
    world_close(&w);
    return r;
}

static void result_free(Result *r)
{
    for (int32_t i = 0; i < r->count; i++) free(r->gradients[i]);
}

/* The sizes of tensors and heads, by the order of result_of. */
static void compare(const ModelConfig *c, const Result *a, const Result *b, double tolerance)
{
    World w = world_open(DTYPE_F32, true);
    Model *model = model_open(&w, c, (ModelOptions){.mode = TRAIN_NOTHING});
    double apart = distance(a->scores, b->scores, SEQUENCES * HEADS);
    ck_assert_msg(apart < tolerance, "%s: scores differ by %g", family_name(c), apart);
    for (int32_t i = 0; i < a->count; i++) {
        bool heads = i == a->count - 1;
        size_t count = heads ? (size_t)(HEADS * c->width) : tensor_floats(model_tensor(model, i));
        apart = distance(a->gradients[i], b->gradients[i], count);
        /* What a softmax cannot see has no gradient but rounding: the bias of the keys. */
        double size = 0;
        for (size_t k = 0; k < count; k++) size += fabs((double)b->gradients[i][k]);
        if (size < 1e-4 * (double)count) continue;
        ck_assert_msg(apart < tolerance, "%s: gradient of %s differs by %g", family_name(c),
                      heads ? "heads" : model_tensor(model, i).name, apart);
    }
    model_free(model);
    world_close(&w);
}

START_TEST(sharing_and_trimming_change_nothing_but_the_work)
{
    EACH_CONFIG(c)
    {
        Result plain = result_of(c, DTYPE_F32, false, false);
        for (int way = 1; way < 4; way++) {
            Result other = result_of(c, DTYPE_F32, way & 1, way & 2);
            compare(c, &other, &plain, 1e-5);
            ck_assert(other.flops < plain.flops);
            result_free(&other);
        }
        result_free(&plain);
    }
}
END_TEST

START_TEST(bf16_is_close_to_fp32)
{
    EACH_CONFIG(c)
    {
        Result exact = result_of(c, DTYPE_F32, true, true);
        Result half = result_of(c, DTYPE_BF16, true, true);
        compare(c, &half, &exact, 0.08);
        result_free(&exact);
        result_free(&half);
    }
}
END_TEST

/* 32 layers; errors of bf16's scores against those of fp32. (On a GPU the stream is bf16, too.) */
START_TEST(scoring_in_bf16_keeps_the_stream_between_layers_in_fp32)
{
    double errors[2] = {0, 0};
    if (!strcmp(MODEL_BACKEND, "cuda")) return;
    for (size_t c = 0; c < 4; c += 3) {
        float scores[3][SEQUENCES * HEADS];
        ModelConfig deep = CONFIGS[c];
        deep.layers = 32;
        for (int way = 0; way < 3; way++) {
            World w = world_open(way < 2 ? DTYPE_BF16 : DTYPE_F32, true);
            Model *model = model_open(&w, &deep, (ModelOptions){.mode = TRAIN_FULL});
            scores_of(&w, model, way == 1, scores[way]);
            model_free(model);
            world_close(&w);
        }
        for (int way = 0; way < 2; way++)
            errors[way] += distance(scores[way], scores[2], SEQUENCES * HEADS);
    }
    ck_assert_msg(errors[0] < 0.85 * errors[1], "%g, and with bf16 between layers %g", errors[0],
                  errors[1]);
}
END_TEST

START_TEST(buffers_that_grow_or_are_shared_by_layers_give_the_same_scores)
{
    World w = world_open(DTYPE_F32, true);
    EACH_CONFIG(c)
    {
        Model *trainer = model_open(&w, c, (ModelOptions){TRAIN_FULL, .trim_last_layer = true});
        Model *scorer = model_open(&w, c, (ModelOptions){TRAIN_NOTHING, .trim_last_layer = true});
        float want[SEQUENCES * HEADS], got[SEQUENCES * HEADS];
        scores_of(&w, trainer, true, want);
        scores_of(&w, scorer, false, got);
        ck_assert_mem_eq(want, got, sizeof want);
        ck_assert_uint_lt(model_use(scorer).bytes, model_use(trainer).bytes);
        Batch longer = {0};
        int32_t ids[24];
        for (int i = 0; i < 24; i++) ids[i] = i % VOCABULARY;
        Sequence sequence = {ids, 24};
        Group groups[6];
        for (int g = 0; g < 6; g++) groups[g] = (Group){&sequence, 1};
        ck_assert(batch_build(&longer, groups, 6, (BatchOptions){true}, &w.arena, &w.err));
        float many[6 * HEADS];
        size_t before = model_use(scorer).bytes;
        ck_assert(model_forward(scorer, &longer, false, many, &w.arena, &w.err));
        ck_assert_uint_gt(model_use(scorer).bytes, before);
        for (int i = HEADS; i < 6 * HEADS; i++) ck_assert(many[i] == many[i % HEADS]);
        before = model_use(scorer).bytes;
        scores_of(&w, scorer, false, got);
        ck_assert_mem_eq(want, got, sizeof want);
        ck_assert_uint_eq(model_use(scorer).bytes, before);
        batch_free(&longer);
        model_free(trainer);
        model_free(scorer);
    }
    world_close(&w);
}
END_TEST

/* ---- modes ---- */

START_TEST(lora_merged_is_lora_adapted)
{
    World w = world_open(DTYPE_F32, true);
    EACH_CONFIG(c)
    {
        ModelOptions options = {TRAIN_LORA, .lora_rank = 2, .lora_alpha = 4,
                                .trim_last_layer = true};
        Model *tuned = model_open(&w, c, options);
        Model *merged = model_open(&w, c, (ModelOptions){.mode = TRAIN_NOTHING});
        float first[SEQUENCES * HEADS], adapted[SEQUENCES * HEADS], got[SEQUENCES * HEADS];
        scores_of(&w, tuned, false, first);
        scores_of(&w, merged, false, got);
        ck_assert_double_lt(distance(first, got, SEQUENCES * HEADS), 1e-5); /* B starts at 0 */
        for (int i = 0; i < 5; i++) step(&w, tuned);
        scores_of(&w, tuned, false, adapted);
        ck_assert_double_gt(distance(first, adapted, SEQUENCES * HEADS), 1e-2);
        for (int32_t i = 0; i < model_tensors(tuned); i++) {
            float *values = floats(tensor_floats(model_tensor(tuned, i)));
            model_tensor_get(tuned, i, values);
            model_tensor_set(merged, i, values);
            free(values);
        }
        float *heads = floats((size_t)(HEADS * c->width));
        model_heads_get(tuned, heads);
        model_heads_set(merged, heads);
        free(heads);
        model_refresh(merged);
        scores_of(&w, merged, false, got);
        ck_assert_double_lt(distance(got, adapted, SEQUENCES * HEADS), 1e-5);
        model_free(tuned);
        model_free(merged);
    }
    world_close(&w);
}
END_TEST

START_TEST(heads_alone_train_on_features)
{
    World w = world_open(DTYPE_F32, true);
    EACH_CONFIG(c)
    {
        Model *full = model_open(&w, c, (ModelOptions){TRAIN_FULL, .trim_last_layer = true});
        Model *heads = model_open(&w, c, (ModelOptions){TRAIN_HEADS, .trim_last_layer = true});
        size_t count = (size_t)(HEADS * c->width);
        float *want = floats(count), *got = floats(count);
        float *features = floats((size_t)(SEQUENCES * c->width)), scores[SEQUENCES * HEADS];
        backward(&w, full);
        backward(&w, heads);
        model_heads_gradient(full, want);
        model_heads_gradient(heads, got);
        ck_assert_mem_eq(want, got, count * sizeof(float));
        ck_assert_int_eq(model_states(heads), 3);
        ck_assert(model_features(heads, &w.batch, features, &w.arena, &w.err));
        scores_of(&w, heads, false, scores);
        model_heads_get(heads, got);
        for (int i = 0; i < SEQUENCES * HEADS; i++) {
            double sum = 0;
            for (int k = 0; k < c->width; k++)
                sum += (double)features[i / HEADS * c->width + k] *
                       (double)got[i % HEADS * c->width + k];
            ck_assert_double_lt(fabs(sum - (double)scores[i]), 1e-5);
        }
        for (int i = 0; i < 3; i++) step(&w, heads);
        for (int32_t i = 0; i < model_tensors(heads); i++) { /* the backbone has not moved */
            float *a = floats(tensor_floats(model_tensor(full, i)));
            float *b = floats(tensor_floats(model_tensor(full, i)));
            model_tensor_get(full, i, a);
            model_tensor_get(heads, i, b);
            ck_assert_mem_eq(a, b, tensor_floats(model_tensor(full, i)) * sizeof(float));
            free(a);
            free(b);
        }
        free(want);
        free(got);
        free(features);
        model_free(full);
        model_free(heads);
    }
    world_close(&w);
}
END_TEST

/* ---- what is counted ---- */

START_TEST(operations_are_counted)
{
    World w = world_open(DTYPE_F32, false);
    const ModelConfig *c = &CONFIGS[3];
    Model *model = model_open(&w, c, (ModelOptions){.mode = TRAIN_FULL});
    float scores[SEQUENCES * HEADS];
    scores_of(&w, model, true, scores);
    double tokens = 0, pairs = 0;
    for (int i = 0; i < SEQUENCES; i++) {
        tokens += LENGTHS[i];
        pairs += LENGTHS[i] * (LENGTHS[i] + 1) / 2.0;
    }
    double weights = 16 * (8 + 4) * 4 - 16 * 4 * 4 + 16 * 16 + 16 * 40 + 20 * 16;
    double forward = 3 * (2 * tokens * weights + 2 * 2 * pairs * 16);
    ck_assert_double_eq_tol(model_use(model).flops, forward, 1e-6 * forward);
    float weights_of[SEQUENCES * HEADS];
    weights_of_scores(weights_of);
    ck_assert(model_backward(model, &w.batch, weights_of, NULL, &w.arena, &w.err));
    double back = 3 * (4 * tokens * weights + 2 * 5 * pairs * 16);
    ck_assert_double_eq_tol(model_use(model).flops, forward + back, 1e-6 * forward);
    ck_assert_uint_gt(model_use(model).bytes, 4 * 4 * (size_t)model_config_parameters(c));
    model_free(model);
    world_close(&w);
}
END_TEST

/* SmolLM2-135M, GPT-2 and Qwen3-0.6B as their cards count them. */
START_TEST(parameters_are_counted)
{
    ModelConfig llama = CONFIGS[3], gpt2 = CONFIGS[0], qwen3 = CONFIGS[6];
    llama.vocabulary = 49152, llama.width = 576, llama.layers = 30, llama.query_heads = 9;
    llama.key_heads = 3, llama.head_dim = 64, llama.hidden = 1536;
    ck_assert_int_eq(model_config_parameters(&llama), 134515008);
    gpt2.vocabulary = 50257, gpt2.width = 768, gpt2.layers = 12, gpt2.query_heads = 12;
    gpt2.key_heads = 12, gpt2.head_dim = 64, gpt2.hidden = 3072, gpt2.positions = 1024;
    ck_assert_int_eq(model_config_parameters(&gpt2), 124439808);
    qwen3.vocabulary = 151936, qwen3.width = 1024, qwen3.layers = 28, qwen3.query_heads = 16;
    qwen3.key_heads = 8, qwen3.head_dim = 128, qwen3.hidden = 3072;
    ck_assert_int_eq(model_config_parameters(&qwen3), 596049920);
}
END_TEST

UNIT_MAIN("model", gradients_are_those_of_the_scores, lora_gradients_are_those_of_the_scores,
          sharing_and_trimming_change_nothing_but_the_work, bf16_is_close_to_fp32,
          scoring_in_bf16_keeps_the_stream_between_layers_in_fp32,
          buffers_that_grow_or_are_shared_by_layers_give_the_same_scores,
          lora_merged_is_lora_adapted, heads_alone_train_on_features, operations_are_counted,
          parameters_are_counted)
