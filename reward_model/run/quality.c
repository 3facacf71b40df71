/* quality.c - see quality.h. */
#include "quality.h"

#include <math.h>
#include <stdlib.h>

#include "../../server/base/json.h"
#include "../nn/loss.h"

#define Z95 1.959963984540054 /* two-sided 95 % of the normal distribution */

#define TEMPERATURE_MAX 20.0 /* and its inverse the least */

enum { ROOM_MIN = 256, TEMPERATURE_STEPS = 100 };

void quality_init(Quality *metrics)
{
    *metrics = (Quality){0};
}

void quality_release(Quality *metrics)
{
    free(metrics->pairs);
    *metrics = (Quality){0};
}

void quality_add_pair(Quality *metrics, const PairScore *pair)
{
    if (metrics->count == metrics->room) {
        size_t room = metrics->room ? 2 * metrics->room : ROOM_MIN;
        PairScore *grown = realloc(metrics->pairs, room * sizeof *grown);
        metrics->failed = metrics->failed || !grown;
        if (!grown) return;
        metrics->pairs = grown;
        metrics->room = room;
    }
    metrics->pairs[metrics->count++] = *pair;
}

void quality_add_tie(Quality *metrics, double difference)
{
    metrics->ties++;
    metrics->tie_gap += fabs(difference);
}

void quality_add_answer(Quality *metrics, double score, double length)
{
    metrics->answers++;
    metrics->score += score;
    metrics->score_squared += score * score;
    metrics->length += length;
    metrics->length_squared += length * length;
    metrics->product += score * length;
}

/* ---- temperature ---- */

static double log_loss_at(const Quality *metrics, double inverse)
{
    double sum = 0;
    for (size_t i = 0; i < metrics->count; i++)
        sum += loss_softplus(-metrics->pairs[i].difference * inverse);
    return sum;
}

/* Where every pair is right (or wrong) none fits best: the surer the better (the more careful). */
static bool tells_temperature(const Quality *metrics)
{
    bool hit = false, miss = false;
    for (size_t i = 0; i < metrics->count; i++) {
        hit = hit || metrics->pairs[i].difference > 0;
        miss = miss || metrics->pairs[i].difference < 0;
    }
    return hit && miss;
}

/* The log-loss is convex in 1/T; golden section over its logarithm. */
double quality_temperature(const Quality *metrics)
{
    const double golden = 0.6180339887498949;
    double low = -log(TEMPERATURE_MAX), high = log(TEMPERATURE_MAX);
    if (!tells_temperature(metrics)) return 1;
    double a = high - golden * (high - low), b = low + golden * (high - low);
    double at_a = log_loss_at(metrics, exp(a)), at_b = log_loss_at(metrics, exp(b));
    for (int i = 0; i < TEMPERATURE_STEPS && high - low > 1e-7; i++) {
        if (at_a <= at_b) {
            high = b, b = a, at_b = at_a;
            a = high - golden * (high - low);
            at_a = log_loss_at(metrics, exp(a));
        } else {
            low = a, a = b, at_a = at_b;
            b = low + golden * (high - low);
            at_b = log_loss_at(metrics, exp(b));
        }
    }
    return exp(-(low + high) / 2);
}

/* ---- results ---- */

static double right(double difference)
{
    return difference > 0 ? 1 : difference < 0 ? 0 : 0.5;
}

void quality_wilson(double share, double cases, double *lower, double *upper)
{
    *lower = 0;
    *upper = 1;
    if (cases <= 0) return;
    double z2 = Z95 * Z95, middle = (share + z2 / (2 * cases)) / (1 + z2 / cases);
    double half =
        Z95 / (1 + z2 / cases) * sqrt(share * (1 - share) / cases + z2 / (4 * cases * cases));
    *lower = fmax(0, middle - half);
    *upper = fmin(1, middle + half);
}

static int group_order(const void *a, const void *b)
{
    const PairScore *first = a, *second = b;
    if (first->group != second->group) return first->group < second->group ? -1 : 1;
    return (first->difference > second->difference) - (first->difference < second->difference);
}

double quality_effective(double share, double cases, double groups, double squares)
{
    double independent = share * (1 - share) / cases;
    if (groups >= cases) return cases;
    if (groups <= 1 || independent <= 0) return groups;
    return cases / fmax(1, squares / (cases * cases) * groups / (groups - 1) / independent);
}

static void interval(Quality *metrics, QualityResult *out)
{
    double n = (double)metrics->count, robust = 0, sum = 0;
    out->groups = 0;
    out->lower = out->upper = out->effective_pairs = NAN;
    if (metrics->count == 0) return;
    qsort(metrics->pairs, metrics->count, sizeof *metrics->pairs, group_order);
    for (size_t i = 0; i < metrics->count; i++) {
        const PairScore *pair = &metrics->pairs[i];
        sum += right(pair->difference) - out->accuracy;
        if (i + 1 < metrics->count && pair[1].group == pair->group) continue;
        out->groups++;
        robust += sum * sum;
        sum = 0;
    }
    out->clustered = out->groups < (int64_t)metrics->count;
    out->effective_pairs = quality_effective(out->accuracy, n, (double)out->groups, robust);
    quality_wilson(out->accuracy, out->effective_pairs, &out->lower, &out->upper);
}

static double calibration(const Quality *metrics, double temperature, QualityBin bins[QUALITY_BINS])
{
    double error = 0;
    memset(bins, 0, QUALITY_BINS * sizeof *bins);
    for (size_t i = 0; i < metrics->count; i++) {
        double difference = metrics->pairs[i].difference;
        double confidence = loss_sigmoid(fabs(difference) / temperature);
        int at = (int)((confidence - 0.5) * 2 * QUALITY_BINS);
        QualityBin *bin = &bins[at < QUALITY_BINS ? at : QUALITY_BINS - 1];
        bin->pairs++;
        bin->confidence += confidence;
        bin->accuracy += right(difference);
    }
    for (int i = 0; i < QUALITY_BINS; i++) {
        error += fabs(bins[i].confidence - bins[i].accuracy);
        bins[i].confidence /= (double)bins[i].pairs; /* NAN of none */
        bins[i].accuracy /= (double)bins[i].pairs;
    }
    return error / (double)metrics->count;
}

static void baselines(const Quality *metrics, QualityResult *out)
{
    double longer = 0, first = 0, second = 0, untold = 0, matched = 0, gap = 0;
    double n = (double)metrics->count;
    for (size_t i = 0; i < metrics->count; i++) {
        const PairScore *pair = &metrics->pairs[i];
        double by = pair->better_length - pair->other_length;
        longer += right(by);
        gap += fabs(pair->difference);
        first += pair->listed > 0;
        second += pair->listed < 0;
        untold += pair->listed == 0;
        if (fabs(by) > QUALITY_MATCHED_SHARE * fmax(pair->better_length, pair->other_length))
            continue;
        out->matched_pairs++;
        matched += right(pair->difference);
    }
    out->longer = longer >= n / 2;
    out->length_accuracy = fmax(longer, n - longer) / n;
    /* always in the same place: listed so (HH, TRL's shapes), which is no rule to choose by */
    if (first <= 0 || second <= 0) untold = n, first = second = 0;
    out->majority_accuracy = (fmax(first, second) + untold / 2) / n;
    out->matched_accuracy = matched / (double)out->matched_pairs; /* NAN of none */
    out->pair_gap = gap / n;
}

static void score_moments(const Quality *metrics, QualityResult *out)
{
    double n = (double)metrics->answers;
    out->mean = metrics->score / n;
    double scores = metrics->score_squared / n - out->mean * out->mean;
    double tokens = metrics->length / n;
    double lengths = metrics->length_squared / n - tokens * tokens;
    out->deviation = metrics->answers ? sqrt(fmax(0, scores)) : (double)NAN;
    out->length_correlation =
        scores > 0 && lengths > 0
            ? (metrics->product / n - out->mean * tokens) / sqrt(scores * lengths)
            : (double)NAN;
}

void quality_result(Quality *metrics, double temperature, QualityResult *out)
{
    QualityBin unused[QUALITY_BINS];
    double n = (double)metrics->count;
    *out = (QualityResult){.pairs = (int64_t)metrics->count,
                           .ties = metrics->ties,
                           .temperature = temperature};
    score_moments(metrics, out);
    out->tie_gap = metrics->tie_gap / (double)metrics->ties;
    for (size_t i = 0; i < metrics->count; i++) {
        double difference = metrics->pairs[i].difference, miss = loss_sigmoid(-difference);
        out->accuracy += right(difference);
        out->log_loss += loss_softplus(-difference);
        out->log_loss_tempered += loss_softplus(-difference / temperature);
        out->brier += miss * miss;
    }
    out->accuracy /= n;
    out->log_loss /= n;
    out->log_loss_tempered /= n;
    out->brier /= n;
    interval(metrics, out);
    out->calibration_error = calibration(metrics, 1, out->bins);
    out->calibration_error_tempered = calibration(metrics, temperature, unused);
    baselines(metrics, out);
}

static void put_real(Buf *out, const char *key, double value)
{
    json_put_key(out, key);
    json_put_real(out, value);
    buf_put_char(out, ',');
}

void quality_write(Buf *out, const QualityResult *r)
{
    buf_put_format(out, "\"pairs\":%lld,\"ties\":%lld,\"groups\":%lld,", (long long)r->pairs,
                   (long long)r->ties, (long long)r->groups);
    put_real(out, "effective_pairs", r->effective_pairs);
    put_real(out, "accuracy", r->accuracy);
    put_real(out, "lower", r->lower);
    put_real(out, "upper", r->upper);
    buf_put_format(out, "\"interval\":\"%s\",",
                   r->clustered ? "wilson, effective size by group" : "wilson");
    put_real(out, "log_loss", r->log_loss);
    put_real(out, "brier", r->brier);
    put_real(out, "ece", r->calibration_error);
    put_real(out, "temperature", r->temperature);
    put_real(out, "log_loss_tempered", r->log_loss_tempered);
    put_real(out, "ece_tempered", r->calibration_error_tempered);
    put_real(out, "length_baseline", r->length_accuracy);
    buf_put_format(out, "\"length_baseline_prefers\":\"%s\",", r->longer ? "longer" : "shorter");
    put_real(out, "majority_baseline", r->majority_accuracy);
    put_real(out, "length_correlation", r->length_correlation);
    buf_put_format(out,
                   "\"length_matched\":{\"pairs\":%lld,\"accuracy\":", (long long)r->matched_pairs);
    json_put_real(out, r->matched_accuracy);
    buf_put_text(out, "},");
    put_real(out, "score_mean", r->mean);
    put_real(out, "score_std", r->deviation);
    put_real(out, "mean_gap", r->pair_gap);
    put_real(out, "mean_gap_of_ties", r->tie_gap);
    buf_put_text(out, "\"reliability\":[");
    for (int i = 0; i < QUALITY_BINS; i++) {
        buf_put_format(out,
                       "%s{\"from\":%.4f,\"to\":%.4f,\"pairs\":%lld,\"confidence\":", i ? "," : "",
                       0.5 + 0.5 * i / QUALITY_BINS, 0.5 + 0.5 * (i + 1) / QUALITY_BINS,
                       (long long)r->bins[i].pairs);
        json_put_real(out, r->bins[i].confidence);
        buf_put_text(out, ",\"accuracy\":");
        json_put_real(out, r->bins[i].accuracy);
        buf_put_char(out, '}');
    }
    buf_put_char(out, ']');
}
