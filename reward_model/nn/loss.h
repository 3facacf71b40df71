/* loss.h - how well a batch of scores agrees with what people said, and which way to move it.
 *
 * Pure functions on one flat score vector: comparisons, rankings and pointwise labels of any kinds
 * stand side by side in one batch, each with a weight. Nothing is owned; no I/O. All sums are in
 * double precision, in the order of the items; finite for score differences up to 1e4 and beyond.
 *
 *   members: 3 4 | 0 1 2 | 7        rows of the score vector
 *   ranks:   0 1 | 0 1 1 | 0        0 is best; the same rank is a tie
 *   items:   "3 beats 4" · "0 beats 1 and 2, which tie" · "7 was liked" */
#ifndef AILERON_RM_LOSS_H
#define AILERON_RM_LOSS_H

#include "../../server/base/err.h"

enum {
    LOSS_KINDS_MAX = 32,    /* kinds of pointwise labels, a learned bias each */
    LOSS_MEMBERS_MAX = 256, /* of one ranking */
};

typedef enum LossKind {
    LOSS_ORDER, /* two or more members by rank */
    LOSS_LABEL, /* one member that was wanted (target 1) or not (0) */
} LossKind;

/* What a tie between two members means. */
typedef enum TieModel {
    TIES_HALF,       /* half a win each: target 1/2 */
    TIES_DAVIDSON,   /* Davidson 1970: P(tie) = ν / (e^{Δ/2} + e^{-Δ/2} + ν) */
    TIES_RAO_KUPPER, /* Rao & Kupper 1967: P(first) = σ(Δ - η), P(tie) = the rest, θ = e^η */
    TIES_DROP,       /* nothing */
} TieModel;

typedef enum RankingModel {
    RANKING_PAIRS,         /* mean of all K(K-1)/2 pairs (InstructGPT): one element, K scores */
    RANKING_PLACKETT_LUCE, /* choice after choice, ties by Efron's approximation; mean of K-1 */
} RankingModel;

typedef struct LossItem {
    LossKind kind;
    int32_t begin, count; /* members[begin … begin + count) and their ranks */
    int32_t label_kind;   /* LOSS_LABEL: which bias, below LOSS_KINDS_MAX */
    float target;         /* LOSS_LABEL: wanted, 0…1. LOSS_ORDER of two different ranks: how
                             probable it is that the better rank is the better one; 1: sure */
    float margin;         /* LOSS_ORDER: what the better should lead by, at least */
    float weight;
} LossItem;

typedef struct LossBatch {
    const LossItem *items;
    int32_t count;
    const int32_t *members, *ranks;
} LossBatch;

typedef struct LossOptions {
    TieModel ties;
    RankingModel rankings; /* of three members and more */
    bool noise;            /* some answers are given at random: P' = (1 - ε) P + ε / outcomes
                              (Christiano 2017: ε = 0.1); pairs only */
    bool estimate_noise;   /* ε is learned */
    double centering;      /* c · (2 · mean score)² for each LOSS_ORDER: (a + b)² for a pair */
} LossOptions;

/* The parameters the losses have of their own, in this order, unconstrained. */
enum {
    LOSS_PARAMETER_TIES,  /* log ν, or η = log(1 + e^x) */
    LOSS_PARAMETER_NOISE, /* ε = σ(x) */
    LOSS_PARAMETER_BIAS,  /* from here: one a label kind */
    LOSS_PARAMETERS = LOSS_PARAMETER_BIAS + LOSS_KINDS_MAX,
};

typedef struct LossParameters {
    double value[LOSS_PARAMETERS];
    double gradient[LOSS_PARAMETERS];
    double first[LOSS_PARAMETERS], second[LOSS_PARAMETERS]; /* Adam's moments */
    int64_t steps;
} LossParameters;

/* ν or η near 0.5 and 0.1, ε = noise (0 < noise < 1 when the options use it), biases 0. */
void loss_parameters_init(LossParameters *parameters, const LossOptions *options, double noise);
double loss_tie_parameter(const LossParameters *parameters, TieModel ties); /* ν, or θ */
double loss_noise(const LossParameters *parameters);                        /* ε */
/* One Adam step (β 0.9, 0.999) on scale · gradient, which is then zero again. */
void loss_parameters_step(LossParameters *parameters, const LossOptions *options,
                          double learning_rate, double scale);

typedef struct LossTotals { /* of one or several loss_evaluate */
    double loss;            /* Σ weight · loss */
    double weight;          /* Σ weight */
} LossTotals;

/* scores: [sequences, heads]. Each head is fitted by itself; the loss is the heads' mean.
 * multipliers: [items, heads] bootstrap weights, or NULL for ones. Adds to totals; unless gradient
 * is NULL, sets gradient [sequences, heads] to ∂ Σ weight · loss / ∂ scores and adds to
 * parameters->gradient. */
void loss_evaluate(const LossOptions *options, LossParameters *parameters, const LossBatch *batch,
                   const float *scores, int32_t sequences, int32_t heads, const float *multipliers,
                   float *gradient, LossTotals *totals);

/* What a pair with this difference of scores is taken to be worth: probabilities without noise. */
typedef struct PairProbability {
    double first, second, tie;
} PairProbability;
PairProbability loss_pair_probability(const LossOptions *options, const LossParameters *parameters,
                                      double difference);

/* log(1 + e^x) and 1 / (1 + e^-x) without overflow. */
double loss_softplus(double x);
double loss_sigmoid(double x);

#endif
