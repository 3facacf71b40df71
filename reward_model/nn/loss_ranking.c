/* loss_ranking.c - Plackett-Luce rankings with ties, and the losses' own parameters. */
#include <math.h>

#include "loss_internal.h"

/* Adam: Kingma & Ba 2015. */
#define BETA1   0.9
#define BETA2   0.999
#define EPSILON 1e-8

/* What keeps ν, θ and ε where their likelihoods are informative. */
#define TIES_RAW_MAX  20.0
#define NOISE_RAW_MIN (-9.0)
#define NOISE_RAW_MAX 2.2

/* One choice after the other from those that remain. A rank of g tied members takes g choices at
 * once; by Efron's approximation (1977) the k-th of them sees (1 - k/g) of the tied members:
 *   log P = Σ_ranks [ Σ_tied s - Σ_{k<g} log(Σ_lower e^s + (1 - k/g) Σ_tied e^s) ]
 * For two tied members alone that is log σ(Δ) + log σ(-Δ): a tie draws scores together. */
double loss_plackett_luce(int32_t count, const ItemPlace *at)
{
    double score[LOSS_MEMBERS_MAX], slope[LOSS_MEMBERS_MAX] = {0}, log_p = 0;
    for (int32_t k = 0; k < count; k++)
        score[k] = (double)at->scores[(int64_t)at->members[k] * at->stride];
    for (int32_t rank = 0; rank < count; rank++) {
        double most = -INFINITY, tied_sum = 0, lower_sum = 0;
        int32_t tied = 0;
        for (int32_t k = 0; k < count; k++)
            if (at->ranks[k] >= rank) most = fmax(most, score[k]);
        for (int32_t k = 0; k < count; k++) {
            if (at->ranks[k] == rank) tied++, tied_sum += exp(score[k] - most);
            if (at->ranks[k] > rank) lower_sum += exp(score[k] - most);
        }
        for (int32_t choice = 0; choice < tied; choice++) {
            double seen = 1 - (double)choice / tied;
            double sum = lower_sum + seen * tied_sum;
            log_p -= most + log(sum);
            for (int32_t k = 0; k < count; k++)
                if (at->ranks[k] >= rank)
                    slope[k] -= (at->ranks[k] == rank ? seen : 1) * exp(score[k] - most) / sum;
        }
        for (int32_t k = 0; k < count; k++)
            if (at->ranks[k] == rank) log_p += score[k], slope[k] += 1;
    }
    double share = 1.0 / (count - 1);
    for (int32_t k = 0; at->gradient && k < count; k++)
        at->gradient[(int64_t)at->members[k] * at->stride] -=
            (float)(at->weight * share * slope[k]);
    return -share * log_p;
}

/* ---- parameters ---- */

void loss_parameters_init(LossParameters *parameters, const LossOptions *options, double noise)
{
    *parameters = (LossParameters){0};
    parameters->value[LOSS_PARAMETER_TIES] =
        options->ties == TIES_RAO_KUPPER ? log(expm1(0.1)) : log(0.5);
    if (options->noise) parameters->value[LOSS_PARAMETER_NOISE] = log(noise) - log1p(-noise);
}

double loss_tie_parameter(const LossParameters *parameters, TieModel ties)
{
    double raw = parameters->value[LOSS_PARAMETER_TIES];
    return ties == TIES_RAO_KUPPER ? exp(loss_softplus(raw)) : exp(raw);
}

double loss_noise(const LossParameters *parameters)
{
    return loss_sigmoid(parameters->value[LOSS_PARAMETER_NOISE]);
}

static double clamp(double value, double least, double most)
{
    return value < least ? least : value > most ? most : value;
}

void loss_parameters_step(LossParameters *parameters, const LossOptions *options,
                          double learning_rate, double scale)
{
    LossParameters *p = parameters;
    p->steps++;
    double first_share = 1 - pow(BETA1, (double)p->steps);
    double second_share = 1 - pow(BETA2, (double)p->steps);
    if (!options->estimate_noise) p->gradient[LOSS_PARAMETER_NOISE] = 0;
    for (int i = 0; i < LOSS_PARAMETERS; i++) {
        double gradient = scale * p->gradient[i];
        p->gradient[i] = 0;
        p->first[i] = BETA1 * p->first[i] + (1 - BETA1) * gradient;
        p->second[i] = BETA2 * p->second[i] + (1 - BETA2) * gradient * gradient;
        p->value[i] -= learning_rate * (p->first[i] / first_share) /
                       (sqrt(p->second[i] / second_share) + EPSILON);
    }
    p->value[LOSS_PARAMETER_TIES] =
        clamp(p->value[LOSS_PARAMETER_TIES], -TIES_RAW_MAX, TIES_RAW_MAX);
    if (options->estimate_noise)
        p->value[LOSS_PARAMETER_NOISE] =
            clamp(p->value[LOSS_PARAMETER_NOISE], NOISE_RAW_MIN, NOISE_RAW_MAX);
}
