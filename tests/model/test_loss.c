/* test_loss.c - every loss against finite differences and against values worked out by hand, each
 * kind alone and mixed in one batch; finite for absurd scores. */
#include <math.h>

#include "../../reward_model/nn/loss.h"
#include "../unit/unit.h"

enum { SEQUENCES = 12, HEADS = 3 };

/* Every kind of item at once. */
static const int32_t members[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 2, 9, 10, 11, 11, 0, 5, 3, 7, 10};
static const int32_t ranks[] = {0, 1, 0, 0, 0, 1, 0, 1, 2, 1, 0, 0, 0, 0, 0, 1, 1, 0, 0};
static const LossItem mixed[] = {
    {LOSS_ORDER, 0, 2, 0, 1, 0, 1},         /* 0 beats 1 */
    {LOSS_ORDER, 2, 2, 0, 1, 0, 0.5f},      /* 2 and 3 tie */
    {LOSS_ORDER, 4, 2, 0, 0.8F, 0.25f, 2},  /* 4 beats 5, probably */
    {LOSS_ORDER, 6, 4, 0, 1, 0.5f, 1},      /* 6, then 7 and 2 as one, then 8 */
    {LOSS_LABEL, 10, 1, 0, 1, 0, 1},        /* 9 was liked */
    {LOSS_LABEL, 11, 1, 3, 0, 0, 0.7f},     /* 10 was retried */
    {LOSS_LABEL, 12, 1, 31, 0.4f, 0, 1.3f}, /* 11, softly */
    {LOSS_ORDER, 13, 3, 0, 1, 0, 1},        /* 11 and 0 tie above 5 */
    {LOSS_ORDER, 16, 2, 0, 0.3f, 0.5f, 1},  /* 7 beats 3, but probably not */
};
static const LossBatch batch = {mixed, LEN(mixed), members, ranks};

static float scores[SEQUENCES * HEADS];
static float multipliers[LEN(mixed) * HEADS];

static double noise_of(unsigned *state)
{
    *state = *state * 1664525u + 1013904223u;
    return (double)(*state >> 8) / (1 << 24) - 0.5;
}

static void fill(unsigned seed, double scale)
{
    for (int i = 0; i < SEQUENCES * HEADS; i++) scores[i] = (float)(scale * 2 * noise_of(&seed));
    for (size_t i = 0; i < LEN(multipliers); i++)
        multipliers[i] = (float)(int)(3 * (noise_of(&seed) + 0.5));
}

static double loss_of(const LossOptions *options, LossParameters *parameters, const LossBatch *what)
{
    LossTotals totals = {0};
    loss_evaluate(options, parameters, what, scores, SEQUENCES, HEADS, multipliers, NULL, &totals);
    return totals.loss;
}

/* A float score cannot be moved by exactly `step`: what it was moved by is what counts. */
static void check_gradient(const LossOptions *options, const LossBatch *what, unsigned seed)
{
    static const double step = 1.0 / 256;
    float gradient[SEQUENCES * HEADS];
    LossParameters p;
    LossTotals totals = {0};
    fill(seed, 2);
    loss_parameters_init(&p, options, 0.1);
    for (int i = LOSS_PARAMETER_BIAS; i < LOSS_PARAMETERS; i++) p.value[i] = 0.1 * (i % 5) - 0.2;
    loss_evaluate(options, &p, what, scores, SEQUENCES, HEADS, multipliers, gradient, &totals);
    ck_assert_double_eq_tol(totals.loss, loss_of(options, &p, what), 1e-12);
    for (int i = 0; i < SEQUENCES * HEADS; i++) {
        float kept = scores[i];
        scores[i] = (float)((double)kept + step);
        double above = loss_of(options, &p, what), up = (double)scores[i];
        scores[i] = (float)((double)kept - step);
        double numeric = (above - loss_of(options, &p, what)) / (up - (double)scores[i]);
        scores[i] = kept;
        ck_assert_msg(fabs(numeric - (double)gradient[i]) < 2e-5,
                      "score %d: %.9g, by differences %.9g (ties %d, rankings %d, noise %d)", i,
                      (double)gradient[i], numeric, options->ties, options->rankings,
                      options->noise);
    }
    for (int i = 0; i < LOSS_PARAMETERS; i++) {
        if (i == LOSS_PARAMETER_NOISE && !options->noise) continue;
        double kept = p.value[i];
        p.value[i] = kept + 1e-5;
        double above = loss_of(options, &p, what);
        p.value[i] = kept - 1e-5;
        double numeric = (above - loss_of(options, &p, what)) / 2e-5;
        p.value[i] = kept;
        ck_assert_msg(fabs(numeric - p.gradient[i]) < 1e-7, "parameter %d: %.9g, %.9g", i,
                      p.gradient[i], numeric);
    }
}

START_TEST(gradients_are_the_slopes_of_every_combination)
{
    for (unsigned seed = 1; seed <= 4; seed++) {
        for (int ties = TIES_HALF; ties <= TIES_DROP; ties++) {
            for (int rankings = 0; rankings <= RANKING_PLACKETT_LUCE; rankings++) {
                for (int noise = 0; noise <= 1; noise++) {
                    LossOptions options = {(TieModel)ties, (RankingModel)rankings, noise, noise,
                                           noise ? 0.01 : 0};
                    check_gradient(&options, &batch, seed);
                    for (int32_t i = 0; i < batch.count; i++) {
                        LossBatch one = {mixed + i, 1, members, ranks};
                        check_gradient(&options, &one, seed);
                    }
                }
            }
        }
    }
}
END_TEST

/* The loss of one item on scores a, b, … (one head). */
static double single(const LossOptions *options, LossItem item, const int32_t *order,
                     const float *given, float *gradient)
{
    static const int32_t rows[] = {0, 1, 2, 3};
    LossParameters p;
    LossTotals totals = {0};
    loss_parameters_init(&p, options, 0.1);
    LossBatch one = {&item, 1, rows, order};
    loss_evaluate(options, &p, &one, given, 4, 1, NULL, gradient, &totals);
    return totals.loss;
}

START_TEST(values_are_those_of_the_formulas)
{
    const float given[] = {1.5f, 0.25f, -1, 0};
    const int32_t strict[] = {0, 1, 2, 3}, tied[] = {0, 0}, pair_below[] = {0, 1, 1};
    const LossItem pair = {LOSS_ORDER, 0, 2, 0, 1, 0, 1}, three = {LOSS_ORDER, 0, 3, 0, 1, 0, 1};
    LossOptions plain = {0}, noisy = {.noise = true}, davidson = {.ties = TIES_DAVIDSON},
                kupper = {.ties = TIES_RAO_KUPPER}, luce = {.rankings = RANKING_PLACKETT_LUCE};
    double d = 1.25, s = 1 / (1 + exp(-d)), z = exp(d / 2) + exp(-d / 2) + 0.5;
    ck_assert_double_eq_tol(single(&plain, pair, strict, given, NULL), -log(s), 1e-12);
    ck_assert_double_eq_tol(single(&noisy, pair, strict, given, NULL), -log(.9 * s + .05), 1e-12);
    ck_assert_double_eq_tol(single(&plain, pair, tied, given, NULL),
                            -0.5 * log(s) - 0.5 * log(1 - s), 1e-12);
    ck_assert_double_eq_tol(single(&davidson, pair, strict, given, NULL), -log(exp(d / 2) / z),
                            1e-12);
    ck_assert_double_eq_tol(single(&davidson, pair, tied, given, NULL), -log(0.5 / z), 1e-12);
    double win = 1 / (1 + exp(-(d - 0.1))), lose = 1 / (1 + exp(d + 0.1));
    ck_assert_double_eq_tol(single(&kupper, pair, strict, given, NULL), -log(win), 1e-12);
    ck_assert_double_eq_tol(single(&kupper, pair, tied, given, NULL), -log(1 - win - lose), 1e-12);
    LossItem label = {LOSS_LABEL, 1, 1, 0, 1, 0, 2};
    ck_assert_double_eq_tol(single(&plain, label, strict, given, NULL), 2 * log1p(exp(-0.25)),
                            1e-12);
    /* Efron, one above two that tie, worked out by hand */
    double a = exp(1.5), b = exp(0.25), c = exp(-1);
    double p = a / (a + b + c) * b * c / ((b + c) * (b + c) / 2);
    ck_assert_double_eq_tol(single(&luce, three, pair_below, given, NULL), -log(p) / 2, 1e-12);
    p = a / (a + b + c) * b / (b + c);
    ck_assert_double_eq_tol(single(&luce, three, strict, given, NULL), -log(p) / 2, 1e-12);
    LossOptions centred = {.centering = 0.01};
    ck_assert_double_eq_tol(single(&centred, pair, strict, given, NULL),
                            -log(s) + 0.01 * 1.75 * 1.75, 1e-9);
}
END_TEST

/* InstructGPT: one element of all pairs is the mean of its pairs; margins as in TRL. */
START_TEST(a_ranking_is_the_mean_of_its_pairs)
{
    const float given[] = {0.3f, -0.7f, 1.1f, 0.2f};
    const int32_t order[] = {2, 0, 1, 1};
    float whole[4], part[4], sum[4] = {0};
    LossOptions options = {.ties = TIES_DAVIDSON};
    double loss = 0;
    LossItem item = {LOSS_ORDER, 0, 4, 0, 1, 0, 1};
    double mean = single(&options, item, order, given, whole);
    for (int32_t i = 0; i < 4; i++) {
        for (int32_t j = i + 1; j < 4; j++) {
            int32_t rows[] = {order[i] <= order[j] ? i : j, order[i] <= order[j] ? j : i};
            int32_t rank[] = {0, order[i] != order[j]};
            LossItem pair = {LOSS_ORDER, 0, 2, 0, 1, 0, 1};
            LossBatch one = {&pair, 1, rows, rank};
            LossParameters p;
            LossTotals totals = {0};
            loss_parameters_init(&p, &options, 0.1);
            loss_evaluate(&options, &p, &one, given, 4, 1, NULL, part, &totals);
            loss += totals.loss / 6;
            for (int k = 0; k < 4; k++) sum[k] += part[k] / 6;
        }
    }
    ck_assert_double_eq_tol(mean, loss, 1e-12);
    for (int k = 0; k < 4; k++) ck_assert_float_eq_tol(whole[k], sum[k], 1e-6f);
    LossItem margin = {LOSS_ORDER, 0, 2, 0, 1, 0.5f, 1};
    const int32_t strict[] = {0, 1};
    LossOptions plain = {0};
    ck_assert_double_eq_tol(single(&plain, margin, strict, given, NULL), log1p(exp(-0.5)), 1e-6);
}
END_TEST

START_TEST(absurd_scores_stay_finite)
{
    const float far[] = {0, 1, -1, 100, -100, 1e4f, -1e4f, 3e7f, -3e7f};
    const int32_t orders[][4] = {{0, 1, 2, 3}, {0, 0, 0, 0}, {1, 0, 1, 0}, {0, 1, 1, 1}};
    for (size_t f = 0; f < LEN(far); f++) {
        const float given[] = {far[f], 0, -far[f], far[f] / 2};
        for (int ties = 0; ties <= TIES_DROP; ties++) {
            for (int variant = 0; variant < 4; variant++) {
                LossOptions options = {(TieModel)ties, (RankingModel)(variant & 1),
                                       (variant & 2) != 0, true, 0};
                for (size_t o = 0; o < LEN(orders); o++) {
                    for (int32_t count = 1; count <= 4; count++) {
                        float gradient[4];
                        LossItem item =
                            {count == 1 ? LOSS_LABEL : LOSS_ORDER, 0, count, 0, 1, 0, 1};
                        double loss = single(&options, item, orders[o], given, gradient);
                        ck_assert(isfinite(loss) && loss > -1e-6);
                        for (int k = 0; k < 4; k++) {
                            ck_assert(isfinite(gradient[k]));
                            ck_assert_float_le(fabsf(gradient[k]), 2);
                        }
                    }
                }
            }
        }
    }
}
END_TEST

/* A bounded loss of one wrong label: -ln .05, whatever the scores say (Christiano). */
START_TEST(noise_bounds_the_loss_of_a_wrong_label)
{
    const float given[] = {-1e4f, 1e4f, 0, 0};
    const int32_t strict[] = {0, 1};
    float gradient[4];
    LossOptions noisy = {.noise = true};
    LossItem pair = {LOSS_ORDER, 0, 2, 0, 1, 0, 1};
    ck_assert_double_eq_tol(single(&noisy, pair, strict, given, gradient), -log(0.05), 1e-9);
    ck_assert_float_eq(gradient[0], 0);
}
END_TEST

START_TEST(probabilities_sum_to_one)
{
    for (int ties = TIES_HALF; ties <= TIES_RAO_KUPPER; ties++) {
        LossOptions options = {.ties = (TieModel)ties};
        LossParameters p;
        loss_parameters_init(&p, &options, 0);
        for (double d = -30; d <= 30; d += 1.7) {
            PairProbability of = loss_pair_probability(&options, &p, d);
            ck_assert_double_eq_tol(of.first + of.second + of.tie, 1, 1e-12);
        }
    }
}
END_TEST

/* Answers drawn from the model itself: the learned ν, θ and ε come back. */
static void recover(TieModel ties, double raw, double epsilon, double *tie_out, double *noise_out)
{
    enum { PAIRS = 20000 };
    static float given[2 * PAIRS];
    static LossItem items[PAIRS];
    static int32_t rows[2 * PAIRS], order[2 * PAIRS];
    unsigned state = 7;
    LossOptions options = {.ties = ties, .noise = epsilon > 0, .estimate_noise = epsilon > 0};
    LossParameters p;
    loss_parameters_init(&p, &options, 0.3);
    double start = p.value[LOSS_PARAMETER_TIES];
    p.value[LOSS_PARAMETER_TIES] = raw;
    for (int i = 0; i < PAIRS; i++) {
        double d = 8 * noise_of(&state), u = noise_of(&state) + 0.5;
        PairProbability of = loss_pair_probability(&options, &p, d);
        if (noise_of(&state) + 0.5 < epsilon)
            of = ties == TIES_HALF ? (PairProbability){.5, .5, 0}
                                   : (PairProbability){1.0 / 3, 1.0 / 3, 1.0 / 3};
        bool first = u < of.first, tie = !first && u < of.first + of.tie;
        given[2 * i] = (float)d;
        given[2 * i + 1] = 0;
        rows[2 * i] = first || tie ? 2 * i : 2 * i + 1;
        rows[2 * i + 1] = 4 * i + 1 - rows[2 * i];
        order[2 * i] = 0;
        order[2 * i + 1] = !tie;
        items[i] = (LossItem){LOSS_ORDER, 2 * i, 2, 0, 1, 0, 1};
    }
    p.value[LOSS_PARAMETER_TIES] = start;
    LossBatch all = {items, PAIRS, rows, order};
    static float gradient[2 * PAIRS];
    for (int step = 0; step < 400; step++) {
        LossTotals totals = {0};
        loss_evaluate(&options, &p, &all, given, 2 * PAIRS, 1, NULL, gradient, &totals);
        loss_parameters_step(&p, &options, 0.05, 1 / totals.weight);
    }
    *tie_out = loss_tie_parameter(&p, ties);
    *noise_out = loss_noise(&p);
}

START_TEST(planted_parameters_are_found_again)
{
    double tie, noise;
    recover(TIES_DAVIDSON, log(0.9), 0, &tie, &noise);
    ck_assert_double_eq_tol(tie, 0.9, 0.05);
    recover(TIES_RAO_KUPPER, log(expm1(0.7)), 0, &tie, &noise);
    ck_assert_double_eq_tol(tie, exp(0.7), 0.06);
    recover(TIES_HALF, 0, 0.1, &tie, &noise);
    ck_assert_double_eq_tol(noise, 0.1, 0.02);
    recover(TIES_DAVIDSON, log(0.9), 0.2, &tie, &noise);
    ck_assert_double_eq_tol(noise, 0.2, 0.03);
}
END_TEST

UNIT_MAIN("loss", gradients_are_the_slopes_of_every_combination, values_are_those_of_the_formulas,
          a_ranking_is_the_mean_of_its_pairs, absurd_scores_stay_finite,
          noise_bounds_the_loss_of_a_wrong_label, probabilities_sum_to_one,
          planted_parameters_are_found_again)
