/* loss.c - losses of pairs, rankings by all pairs, and labels; see loss.h. Plackett-Luce and the
 * parameters' own steps are in loss_ranking.c. */
#include "loss.h"

#include <math.h>

#include "loss_internal.h"

double loss_softplus(double x)
{
    return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x));
}

double loss_sigmoid(double x)
{
    double e = exp(-fabs(x));
    return x >= 0 ? 1 / (1 + e) : e / (1 + e);
}

/* ---- outcomes of one pair ---- */

/* The logarithm of an outcome's probability, and its slopes. */
typedef struct Outcome {
    double log_p, by_difference, by_ties, by_noise;
} Outcome;

typedef struct PairModel {
    TieModel ties;
    double raw; /* LOSS_PARAMETER_TIES */
    bool noise;
    double epsilon;
} PairModel;

static Outcome davidson(double raw, double difference, bool tie)
{
    double half = difference / 2;
    double most = fmax(fabs(half), raw);
    double a = exp(half - most), b = exp(-half - most), c = exp(raw - most);
    double sum = a + b + c, log_sum = most + log(sum);
    double slope = (b - a) / (2 * sum);
    return tie ? (Outcome){raw - log_sum, slope, 1 - c / sum, 0}
               : (Outcome){half - log_sum, 0.5 + slope, -c / sum, 0};
}

/* P(tie) = σ(Δ + η) - σ(Δ - η) = σ(Δ + η) σ(η - Δ) (1 - e^{-2η}), which cannot cancel. */
static Outcome rao_kupper(double raw, double difference, bool tie)
{
    double eta = loss_softplus(raw), eta_slope = loss_sigmoid(raw);
    double away = loss_sigmoid(eta - difference);
    if (!tie) return (Outcome){-loss_softplus(eta - difference), away, -away * eta_slope, 0};
    double near = loss_sigmoid(-difference - eta);
    double apart = loss_sigmoid(difference - eta);
    double log_p =
        -loss_softplus(-difference - eta) - loss_softplus(difference - eta) + log(-expm1(-2 * eta));
    return (Outcome){log_p, near - apart, (near + apart + 2 / expm1(2 * eta)) * eta_slope, 0};
}

/* The first beats the second by nature, or (tie) neither does. */
static Outcome outcome(const PairModel *model, double difference, bool tie)
{
    if (model->ties == TIES_DAVIDSON) return davidson(model->raw, difference, tie);
    if (model->ties == TIES_RAO_KUPPER) return rao_kupper(model->raw, difference, tie);
    return (Outcome){-loss_softplus(-difference), loss_sigmoid(-difference), 0, 0};
}

static Outcome noisy(const PairModel *model, Outcome clean)
{
    if (!model->noise) return clean;
    int outcomes = model->ties == TIES_DAVIDSON || model->ties == TIES_RAO_KUPPER ? 3 : 2;
    double p = exp(clean.log_p), mixed = (1 - model->epsilon) * p + model->epsilon / outcomes;
    double share = (1 - model->epsilon) * p / mixed;
    return (Outcome){log(mixed), share * clean.by_difference, share * clean.by_ties,
                     (1.0 / outcomes - p) / mixed * model->epsilon * (1 - model->epsilon)};
}

static Outcome wins(const PairModel *model, double difference)
{
    return noisy(model, outcome(model, difference, false));
}

static Outcome loses(const PairModel *model, double difference)
{
    Outcome other = wins(model, -difference);
    other.by_difference = -other.by_difference;
    return other;
}

/* share · a + (1 - share) · b */
static Outcome blend(double share, Outcome a, Outcome b)
{
    double rest = 1 - share;
    return (Outcome){share * a.log_p + rest * b.log_p,
                     share * a.by_difference + rest * b.by_difference,
                     share * a.by_ties + rest * b.by_ties, share * a.by_noise + rest * b.by_noise};
}

/* log-likelihood of "first is better" with certainty `target`, or of a tie. False: it says nothing.
 */
static bool pair_outcome(const PairModel *model, double difference, bool tie, double target,
                         double margin, Outcome *out)
{
    if (tie && model->ties == TIES_DROP) return false;
    if (tie && model->ties != TIES_HALF) {
        *out = noisy(model, outcome(model, difference, true));
        return true;
    }
    if (tie) target = 0.5;
    if (target > 0.5) difference -= margin;
    if (target < 0.5) difference += margin;
    *out = target == 1 ? wins(model, difference)
                       : blend(target, wins(model, difference), loses(model, difference));
    return true;
}

PairProbability loss_pair_probability(const LossOptions *options, const LossParameters *parameters,
                                      double difference)
{
    PairModel model = {options->ties, parameters->value[LOSS_PARAMETER_TIES], false, 0};
    bool three = options->ties == TIES_DAVIDSON || options->ties == TIES_RAO_KUPPER;
    return (PairProbability){exp(outcome(&model, difference, false).log_p),
                             exp(outcome(&model, -difference, false).log_p),
                             three ? exp(outcome(&model, difference, true).log_p) : 0};
}

/* ---- items ---- */

static double item_score(const ItemPlace *at, int32_t k)
{
    return (double)at->scores[(int64_t)at->members[k] * at->stride];
}

static void item_pull(const ItemPlace *at, int32_t k, double slope)
{
    if (at->gradient)
        at->gradient[(int64_t)at->members[k] * at->stride] += (float)(at->weight * slope);
}

static void parameter_pull(const ItemPlace *at, int which, double slope)
{
    if (at->gradient) at->parameters->gradient[which] += at->weight * slope;
}

/* All pairs of the members, as one element of weight one. */
static double pairs_loss(const LossOptions *options, const LossItem *item, const ItemPlace *at)
{
    PairModel model = {options->ties, at->parameters->value[LOSS_PARAMETER_TIES], options->noise,
                       loss_sigmoid(at->parameters->value[LOSS_PARAMETER_NOISE])};
    double share = 2.0 / ((double)item->count * (item->count - 1)), loss = 0;
    double target = item->count == 2 ? (double)item->target : 1;
    for (int32_t i = 0; i < item->count; i++) {
        for (int32_t j = i + 1; j < item->count; j++) {
            Outcome said;
            int32_t better = at->ranks[i] <= at->ranks[j] ? i : j, worse = i + j - better;
            bool tie = at->ranks[i] == at->ranks[j];
            double difference = item_score(at, better) - item_score(at, worse);
            if (!pair_outcome(&model, difference, tie, target, (double)item->margin, &said))
                continue;
            loss -= share * said.log_p;
            item_pull(at, better, -share * said.by_difference);
            item_pull(at, worse, share * said.by_difference);
            parameter_pull(at, LOSS_PARAMETER_TIES, -share * said.by_ties);
            parameter_pull(at, LOSS_PARAMETER_NOISE, -share * said.by_noise);
        }
    }
    return loss;
}

static double label_loss(const LossItem *item, const ItemPlace *at)
{
    assert(item->label_kind >= 0 && item->label_kind < LOSS_KINDS_MAX);
    int bias = LOSS_PARAMETER_BIAS + item->label_kind;
    double logit = item_score(at, 0) + at->parameters->value[bias];
    double slope = loss_sigmoid(logit) - (double)item->target;
    item_pull(at, 0, slope);
    parameter_pull(at, bias, slope);
    return loss_softplus(logit) - (double)item->target * logit;
}

/* Bradley-Terry leaves the level of the scores open: this draws it to zero (TRL's, Eq. 2 of
 * arXiv 2312.09244, for two members). */
static double centering_loss(double coefficient, const LossItem *item, const ItemPlace *at)
{
    double sum = 0, share = 2.0 / item->count;
    for (int32_t k = 0; k < item->count; k++) sum += share * item_score(at, k);
    for (int32_t k = 0; k < item->count; k++) item_pull(at, k, coefficient * 2 * sum * share);
    return coefficient * sum * sum;
}

static double item_loss(const LossOptions *options, const LossItem *item, const ItemPlace *at)
{
    if (item->kind == LOSS_LABEL) return label_loss(item, at);
    assert(item->count >= 2 && item->count <= LOSS_MEMBERS_MAX);
    double loss = item->count > 2 && options->rankings == RANKING_PLACKETT_LUCE
                      ? loss_plackett_luce(item->count, at)
                      : pairs_loss(options, item, at);
    if (options->centering > 0) loss += centering_loss(options->centering, item, at);
    return loss;
}

void loss_evaluate(const LossOptions *options, LossParameters *parameters, const LossBatch *batch,
                   const float *scores, int32_t sequences, int32_t heads, const float *multipliers,
                   float *gradient, LossTotals *totals)
{
    if (gradient) memset(gradient, 0, (size_t)sequences * (size_t)heads * sizeof *gradient);
    for (int32_t i = 0; i < batch->count; i++) {
        const LossItem *item = &batch->items[i];
        totals->weight += (double)item->weight;
        for (int32_t head = 0; head < heads; head++) {
            double often = multipliers ? (double)multipliers[(int64_t)i * heads + head] : 1;
            ItemPlace at = {.members = batch->members + item->begin,
                            .ranks = batch->ranks + item->begin,
                            .scores = scores + head,
                            .gradient = gradient ? gradient + head : NULL,
                            .stride = heads,
                            .weight = (double)item->weight * often / heads,
                            .parameters = parameters};
            if (at.weight != 0) totals->loss += at.weight * item_loss(options, item, &at);
        }
    }
}
