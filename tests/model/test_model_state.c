/* test_model_state.c - the same bits again: seeds, resumed runs, tensors in and out; and what a
 * model refuses, with nothing changed. */
#include <omp.h>
#include "model_env.h"

#define EACH_CONFIG(c) for (const ModelConfig *c = CONFIGS; c < CONFIGS + LEN(CONFIGS); c++)

static float *state_array(const Model *model, int32_t i)
{
    float *values = floats(model_state(model, i).count);
    model_state_get(model, i, values);
    return values;
}

static void states_are_equal(const Model *a, const Model *b)
{
    ck_assert_int_eq(model_states(a), model_states(b));
    ck_assert_int_eq(model_step_count(a), model_step_count(b));
    for (int32_t i = 0; i < model_states(a); i++) {
        ck_assert_str_eq(model_state(a, i).name, model_state(b, i).name);
        float *x = state_array(a, i), *y = state_array(b, i);
        ck_assert_msg(memcmp(x, y, model_state(a, i).count * sizeof(float)) == 0, "%s differs",
                      model_state(a, i).name);
        free(x);
        free(y);
    }
}

static Model *fresh(World *w, const ModelConfig *c, TrainMode mode, uint64_t seed)
{
    ModelOptions options = {.mode = mode,
                            .heads = HEADS,
                            .seed = seed,
                            .lora_rank = 2,
                            .lora_alpha = 4,
                            .trim_last_layer = true};
    Model *model = model_new(w->device, c, &options, &w->arena, &w->err);
    ck_assert_msg(model != NULL, "%s", w->err.detail);
    return model;
}

START_TEST(two_runs_of_a_seed_are_bit_identical)
{
    for (int compute = DTYPE_F32; compute <= DTYPE_BF16; compute++) {
        World w = world_open((Dtype)compute, true);
        EACH_CONFIG(c)
        {
            Model *a = fresh(&w, c, TRAIN_FULL, 3), *b = fresh(&w, c, TRAIN_FULL, 3);
            Model *other = fresh(&w, c, TRAIN_FULL, 4);
            for (int i = 0; i < 3; i++) ck_assert(step(&w, a) == step(&w, b));
            states_are_equal(a, b);
            float *x = state_array(a, 0), *y = state_array(other, 0);
            ck_assert_mem_ne(x, y, model_state(a, 0).count * sizeof(float));
            free(x);
            free(y);
            model_free(a);
            model_free(b);
            model_free(other);
        }
        world_close(&w);
    }
}
END_TEST

START_TEST(a_resumed_run_goes_on_bit_for_bit)
{
    World w = world_open(DTYPE_BF16, true);
    EACH_CONFIG(c)
    for (TrainMode mode = TRAIN_FULL; mode <= TRAIN_HEADS; mode++) {
        Model *whole = fresh(&w, c, mode, 3);
        for (int i = 0; i < 2; i++) step(&w, whole);
        /* What does not train comes from the same base; here, from the same seed. */
        Model *resumed = fresh(&w, c, mode, mode == TRAIN_FULL ? 77 : 3);
        for (int32_t i = 0; i < model_states(whole); i++) {
            float *values = state_array(whole, i);
            model_state_set(resumed, i, values);
            free(values);
        }
        model_step_count_set(resumed, model_step_count(whole));
        model_refresh(resumed);
        for (int i = 0; i < 2; i++) ck_assert(step(&w, whole) == step(&w, resumed));
        states_are_equal(whole, resumed);
        model_free(whole);
        model_free(resumed);
    }
    world_close(&w);
}
END_TEST

START_TEST(draws_depend_on_nothing_but_seed_stream_and_index)
{
    enum { COUNT = 4001 };
    float whole[COUNT], parts[COUNT], odd[3];
    omp_set_num_threads(3);
    random_normal(1, 2, 0, whole, COUNT, 0.5);
    omp_set_num_threads(1);
    random_normal(1, 2, 0, parts, 1000, 0.5);
    random_normal(1, 2, 1000, parts + 1000, COUNT - 1000, 0.5);
    ck_assert_mem_eq(whole, parts, sizeof whole);
    random_normal(1, 2, 0, odd, 3, 0.5);
    ck_assert_mem_eq(whole, odd, sizeof odd);
    double sum = 0, squares = 0, beyond = 0;
    for (int i = 0; i < COUNT; i++) {
        sum += (double)whole[i] / 0.5;
        squares += (double)whole[i] * (double)whole[i] / 0.25;
        beyond += fabs((double)whole[i]) > 2 * 0.5;
    }
    /* Five standard errors of mean, variance and tail (4.55 % beyond two deviations). */
    ck_assert_double_lt(fabs(sum / COUNT), 5 / sqrt(COUNT));
    ck_assert_double_lt(fabs(squares / COUNT - 1), 5 * sqrt(2.0 / COUNT));
    ck_assert_double_lt(fabs(beyond / COUNT - 0.0455), 5 * sqrt(0.0455 / COUNT));
    random_normal(1, 3, 0, parts, COUNT, 0.5);
    ck_assert_mem_ne(whole, parts, sizeof whole);
}
END_TEST

START_TEST(fresh_weights_have_their_deviations)
{
    World w = world_open(DTYPE_F32, true);
    ModelConfig c = model_config_tiny();
    Model *model = fresh(&w, &c, TRAIN_LORA, 9);
    for (int32_t i = 0; i < model_tensors(model); i++) {
        HubTensor t = model_tensor(model, i);
        size_t count = tensor_floats(t);
        float *values = floats(count);
        model_tensor_get(model, i, values);
        double squares = 0;
        for (size_t k = 0; k < count; k++) squares += (double)values[k] * (double)values[k];
        double want = t.rank == 1 ? 1 : 0.02;
        ck_assert_double_lt(fabs(sqrt(squares / (double)count) / want - 1), 0.05);
        free(values);
    }
    for (int32_t i = 0; i < model_states(model); i++) {
        StateArray s = model_state(model, i);
        float *values = state_array(model, i);
        double squares = 0;
        for (size_t k = 0; k < s.count; k++) squares += (double)values[k] * (double)values[k];
        double got = sqrt(squares / (double)s.count);
        if (strstr(s.name, "moment") || strstr(s.name, "lora_b"))
            ck_assert(got == 0);
        else if (strstr(s.name, "lora_a"))
            ck_assert_double_lt(fabs(got * sqrt(2.0) - 1), 0.2);
        else
            ck_assert_double_lt(fabs(got * sqrt(129.0) - 1), 0.2); /* the heads */
        free(values);
    }
    model_free(model);
    world_close(&w);
}
END_TEST

START_TEST(parts_add_up_to_the_model)
{
    World w = world_open(DTYPE_F32, true);
    EACH_CONFIG(c)
    for (TrainMode mode = TRAIN_NOTHING; mode <= TRAIN_HEADS; mode++) {
        Model *model = fresh(&w, c, mode, 1);
        int64_t all = 0, trained = 0, states = 0, heads = HEADS * c->width;
        for (int32_t i = 0; i < model_parts(model); i++) {
            all += model_part(model, i).parameters;
            trained += model_part(model, i).trained;
            for (int32_t k = 0; k < i; k++)
                ck_assert_str_ne(model_part(model, i).name, model_part(model, k).name);
        }
        for (int32_t i = 0; i < model_states(model); i++)
            states += (int64_t)model_state(model, i).count;
        ck_assert_int_eq(states, 3 * trained);
        int64_t base = model_config_parameters(c) + heads, added = all - base;
        ck_assert_int_eq(mode == TRAIN_LORA, added > 0);
        const int64_t want[] = {0, base, added + heads, heads};
        ck_assert_int_eq(trained, want[mode]);
        model_free(model);
    }
    world_close(&w);
}
END_TEST

START_TEST(tensors_come_back_as_they_were_set)
{
    World w = world_open(DTYPE_F32, true);
    EACH_CONFIG(c)
    {
        Model *model = fresh(&w, c, TRAIN_NOTHING, 1);
        int64_t total = 0;
        for (int32_t i = 0; i < model_tensors(model); i++) {
            HubTensor t = model_tensor(model, i);
            float *values = floats(tensor_floats(t));
            random_normal(1, (uint64_t)i, 0, values, tensor_floats(t), 1);
            model_tensor_set(model, i, values);
            free(values);
            total += (int64_t)tensor_floats(t);
            for (int32_t k = 0; k < i; k++) ck_assert_str_ne(t.name, model_tensor(model, k).name);
        }
        ck_assert_int_eq(total, model_config_parameters(c));
        for (int32_t i = 0; i < model_tensors(model); i++) { /* after all were set */
            size_t count = tensor_floats(model_tensor(model, i));
            float *want = floats(count), *got = floats(count);
            random_normal(1, (uint64_t)i, 0, want, count, 1);
            model_tensor_get(model, i, got);
            ck_assert_mem_eq(want, got, count * sizeof(float));
            free(want);
            free(got);
        }
        model_free(model);
    }
    world_close(&w);
}
END_TEST

/* ---- refusals ---- */

static void config_refused(ModelConfig c, const char *word)
{
    Arena arena;
    Err err = {0};
    arena_init(&arena, KiB(8));
    ck_assert_msg(!model_config_check(&c, &arena, &err), "%s", word);
    ck_assert_msg(strstr(err.detail, word) != NULL, "%s: %s", word, err.detail);
    arena_release(&arena);
}

#define REFUSED(member, value, word)                                                               \
    do {                                                                                           \
        ModelConfig bad = model_config_tiny();                                                     \
        bad.member = value;                                                                        \
        config_refused(bad, word);                                                                 \
    } while (0)

START_TEST(configs_that_do_not_fit_are_refused_by_name)
{
    World w = world_open(DTYPE_F32, true);
    ModelConfig tiny = model_config_tiny();
    ck_assert(model_config_check(&tiny, &w.arena, &w.err));
    EACH_CONFIG(c) ck_assert(model_config_check(c, &w.arena, &w.err));
    world_close(&w);
    REFUSED(vocabulary, MODEL_VOCABULARY_MAX + 1, "vocabulary");
    REFUSED(vocabulary, 0, "vocabulary");
    REFUSED(width, MODEL_WIDTH_MAX + 1, "width");
    REFUSED(layers, MODEL_LAYERS_MAX + 1, "layers");
    REFUSED(layers, -1, "layers");
    REFUSED(query_heads, MODEL_HEADS_MAX + 1, "query_heads");
    REFUSED(query_heads, 5, "query_heads");
    REFUSED(key_heads, 3, "key_heads");
    REFUSED(key_heads, 0, "key_heads");
    REFUSED(head_dim, MODEL_HEAD_DIM_MAX + 1, "head_dim");
    REFUSED(hidden, MODEL_HIDDEN_MAX + 1, "hidden");
    REFUSED(positions, 0, "positions");
    REFUSED(rotary_dims, 33, "rotary_dims");
    REFUSED(rotary_dims, 31, "rotary_dims");
    REFUSED(norm_epsilon, 0, "norm_epsilon");
    REFUSED(initializer_range, NAN, "initializer_range");
    REFUSED(rope_theta, -1, "rope_theta");
    REFUSED(rope_scaling, ROPE_LINEAR, "rope_factor");
    REFUSED(pad_id, 320, "pad_id");
    REFUSED(norm, NORM_LAYER, "norm");
    REFUSED(head_norm, true, "family");
    REFUSED(family, (Family)9, "family");
}
END_TEST

START_TEST(options_out_of_range_are_refused_by_name)
{
    World w = world_open(DTYPE_F32, true);
    const struct {
        ModelOptions options;
        const char *word;
    } bad[] = {
        {{.mode = TRAIN_FULL, .heads = 0}, "heads"},
        {{.mode = TRAIN_FULL, .heads = MODEL_HEADS_SCORE_MAX + 1}, "heads"},
        {{.mode = (TrainMode)9, .heads = 1}, "mode"},
        {{.mode = TRAIN_LORA, .heads = 1, .lora_alpha = 1}, "lora_rank"},
        {{.mode = TRAIN_LORA, .heads = 1, .lora_rank = 1 << 20, .lora_alpha = 1}, "lora_rank"},
        {{.mode = TRAIN_LORA, .heads = 1, .lora_rank = 4}, "lora_alpha"},
    };
    for (size_t i = 0; i < LEN(bad); i++) {
        ck_assert_ptr_null(model_new(w.device, &CONFIGS[0], &bad[i].options, &w.arena, &w.err));
        ck_assert_msg(strstr(w.err.detail, bad[i].word) != NULL, "%s", w.err.detail);
    }
    world_close(&w);
}
END_TEST

static void batch_refused(World *w, Model *model, int32_t *ids, int32_t length, const char *word)
{
    Batch batch = {0};
    Sequence sequence = {ids, length};
    float scores[HEADS];
    ck_assert(
        batch_build(&batch, &(Group){&sequence, 1}, 1, (BatchOptions){true}, &w->arena, &w->err));
    ck_assert(!model_forward(model, &batch, false, scores, &w->arena, &w->err));
    ck_assert_msg(strstr(w->err.detail, word) != NULL, "%s", w->err.detail);
    batch_free(&batch);
}

START_TEST(tokens_and_positions_beyond_the_tables_are_refused)
{
    World w = world_open(DTYPE_F32, true);
    Model *gpt2 = fresh(&w, &CONFIGS[0], TRAIN_NOTHING, 1);
    int32_t ids[32] = {0};
    batch_refused(&w, gpt2, ids, 25, "positions for 24");
    ids[1] = VOCABULARY;
    batch_refused(&w, gpt2, ids, 3, "vocabulary");
    ids[1] = -1;
    batch_refused(&w, gpt2, ids, 3, "vocabulary");
    model_free(gpt2);
    world_close(&w);
}
END_TEST

START_TEST(numbers_that_are_not_finite_change_nothing)
{
    World w = world_open(DTYPE_F32, true);
    const ModelConfig *c = &CONFIGS[3];
    Model *model = fresh(&w, c, TRAIN_FULL, 1), *same = fresh(&w, c, TRAIN_FULL, 1);
    float scores[SEQUENCES * HEADS], dscores[SEQUENCES * HEADS] = {0};
    double norm;
    dscores[3] = INFINITY;
    scores_of(&w, model, true, scores);
    ck_assert(model_backward(model, &w.batch, dscores, NULL, &w.arena, &w.err));
    ck_assert(!model_step(model, &STEP, &norm, &w.arena, &w.err));
    ck_assert_msg(strstr(w.err.detail, "norm") != NULL, "%s", w.err.detail);
    states_are_equal(model, same);

    float *embed = floats((size_t)(c->vocabulary * c->width));
    model_tensor_get(model, 0, embed);
    embed[IDS[0][0] * c->width] = NAN;
    model_tensor_set(model, 0, embed);
    free(embed);
    ck_assert(!model_forward(model, &w.batch, true, scores, &w.arena, &w.err));
    ck_assert_msg(strstr(w.err.detail, "score of sequence 0") != NULL, "%s", w.err.detail);
    model_free(model);
    model_free(same);
    world_close(&w);
}
END_TEST

/* ---- a device with little memory: the CPU's ops with a limit on alloc ---- */

static const Ops *whole_ops;
static size_t limit_left;

static void *limited_alloc(Device *device, size_t bytes)
{
    if (bytes > limit_left) return NULL;
    limit_left -= bytes;
    return whole_ops->alloc(device, bytes);
}

START_TEST(a_lack_of_memory_is_an_error_with_numbers)
{
    World w = world_open(DTYPE_F32, true);
    const ModelConfig *c = &CONFIGS[3];
    const Ops *ops = w.device->ops;
    Ops limited = *ops;
    whole_ops = ops;
    limited.alloc = limited_alloc;
    w.device->ops = &limited;
    ModelOptions options = {.mode = TRAIN_FULL, .heads = 1};
    for (size_t limit = 0; limit < 60000; limit += 7001) {
        limit_left = limit;
        ck_assert_ptr_null(model_new(w.device, c, &options, &w.arena, &w.err));
        ck_assert_int_eq(w.err.code, ERR_too_large);
        ck_assert_msg(strstr(w.err.detail, "GiB") != NULL, "%s", w.err.detail);
    }
    limit_left = SIZE_MAX;
    Model *model = fresh(&w, c, TRAIN_FULL, 1);
    float scores[SEQUENCES * HEADS], again[SEQUENCES * HEADS];
    limit_left = 4096; /* the rotary tables fit */
    ck_assert(!model_forward(model, &w.batch, true, scores, &w.arena, &w.err));
    ck_assert_msg(strstr(w.err.detail, "activations") != NULL, "%s", w.err.detail);
    ck_assert_msg(strstr(w.err.detail, "GiB") != NULL, "%s", w.err.detail);
    limit_left = SIZE_MAX; /* and with room again it works */
    scores_of(&w, model, true, scores);
    Model *same = fresh(&w, c, TRAIN_FULL, 1);
    scores_of(&w, same, true, again);
    ck_assert_mem_eq(scores, again, sizeof scores);
    model_free(model);
    model_free(same);
    w.device->ops = ops;
    world_close(&w);
}
END_TEST

UNIT_MAIN("model_state", two_runs_of_a_seed_are_bit_identical, a_resumed_run_goes_on_bit_for_bit,
          draws_depend_on_nothing_but_seed_stream_and_index, fresh_weights_have_their_deviations,
          parts_add_up_to_the_model, tensors_come_back_as_they_were_set,
          configs_that_do_not_fit_are_refused_by_name, options_out_of_range_are_refused_by_name,
          tokens_and_positions_beyond_the_tables_are_refused,
          numbers_that_are_not_finite_change_nothing, a_lack_of_memory_is_an_error_with_numbers)
