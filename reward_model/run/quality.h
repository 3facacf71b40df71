/* quality.h - how good scores are, by pairs of which the better is known. Pure but for memory: a
 * Quality owns what was added until quality_release.
 *
 * Ties are set aside: they count in `ties` only. Equal scores of a pair count as half right. */
#ifndef AILERON_RM_QUALITY_H
#define AILERON_RM_QUALITY_H

#include "../../server/base/buf.h"

enum {
    QUALITY_BINS = 15,            /* of the reliability table, over confidences from 1/2 to 1 */
    QUALITY_SLICES_MAX = 10000,   /* distinct slices; more are counted as left out */
    QUALITY_SLICE_NAME_MAX = 128, /* bytes; longer values are cut */
};

#define QUALITY_MATCHED_SHARE 0.1 /* lengths within a tenth of the longer are matched */

typedef struct PairScore {
    double difference;                  /* score of the better minus that of the other */
    double better_length, other_length; /* characters of the answers */
    uint64_t group;
    int8_t listed; /* 1: the better one came first in its row, -1: second, 0: not told */
} PairScore;

typedef struct Quality {
    PairScore *pairs;
    size_t count, room;
    int64_t ties;
    double tie_gap; /* Σ |difference| over ties */
    int64_t answers;
    double score, score_squared, length, length_squared, product; /* Σ over scored answers */
    bool failed;                                                  /* memory was short */
} Quality;

typedef struct QualityBin {
    int64_t pairs;
    double confidence, accuracy; /* means */
} QualityBin;

typedef struct QualityResult { /* NAN (null in JSON): of what there is none, as an accuracy of no
                                 pairs; no figure that could be taken for a good one */
    int64_t pairs, ties, groups;
    double accuracy, lower, upper; /* 95 %: Wilson's with the effective number of pairs, which is
                                      smaller than theirs when those of a group agree */
    double effective_pairs;
    bool clustered;
    double log_loss, brier, calibration_error; /* of σ(difference / temperature) */
    double temperature, log_loss_tempered, calibration_error_tempered;
    double length_accuracy;    /* of always choosing the longer, or the shorter, the better rule */
    bool longer;               /* which rule that is */
    double majority_accuracy;  /* of always choosing the place that wins more often; 1/2 where it
                                  is one place always: rows that list the better one first */
    double length_correlation; /* Pearson's, of score and characters over all answers */
    int64_t matched_pairs;
    double matched_accuracy;
    double mean, deviation;   /* of the scores */
    double tie_gap, pair_gap; /* mean |difference| of ties and of pairs */
    QualityBin bins[QUALITY_BINS];
} QualityResult;

void quality_init(Quality *metrics);
void quality_release(Quality *metrics);
void quality_add_pair(Quality *metrics, const PairScore *pair);
void quality_add_tie(Quality *metrics, double difference);
void quality_add_answer(Quality *metrics, double score, double length);

/* The temperature T that makes σ(difference / T) fit best (least log-loss), from 1/20 to 20; 1
 * where pairs do not tell one: there are none, or all are right, or all wrong. */
double quality_temperature(const Quality *metrics);
/* temperature: from quality_temperature of these pairs or of others. Sorts the pairs by group. */
void quality_result(Quality *metrics, double temperature, QualityResult *out);
/* The members of a JSON object, without its braces. */
void quality_write(Buf *out, const QualityResult *result);
/* Wilson's interval at 95 % of a share seen among (an effective number of) cases. */
void quality_wilson(double share, double cases, double *lower, double *upper);
/* How many independent cases these are worth. Those of one group tend to agree: they are worth
 * fewer, by the ratio of the cluster-robust variance of the mean (squares: Σ over groups of their
 * summed deviations from share, squared) to that of independent cases. */
double quality_effective(double share, double cases, double groups, double squares);

/* ---- slices: the same pairs by what is known of them, e.g. "annotator", "a-2k…" ---- */

typedef struct Slice {
    char kind[16], name[QUALITY_SLICE_NAME_MAX];
    int64_t pairs, groups;
    double correct, log_loss; /* sums */
    double lower, upper;      /* 95 % of accuracy, as for all pairs; set by slices_sort */
} Slice;

typedef struct SlicePair {
    uint64_t group;
    int32_t slice;
    float right;
} SlicePair;

typedef struct Slices {
    Slice *list;    /* in the order of appearance */
    int32_t *table; /* open hashing; -1 empty */
    SlicePair *pairs;
    size_t pair_count, pair_room;
    int count;
    int64_t left_out;
    bool failed; /* memory was short */
} Slices;

MUST_CHECK bool slices_init(Slices *slices);
void slices_release(Slices *slices);
void slices_add(Slices *slices, const char *kind, Str name, double difference, uint64_t group);
/* By kind, then the largest first, with their intervals; after the last slices_add. */
void slices_sort(Slices *slices);
/* Of sorted slices:
 * {"source":{"import":{"pairs","groups","accuracy","lower","upper","log_loss"},…},…} */
void slices_write(Buf *out, const Slices *slices);
/* The first of them, for a person. */
void slices_print(const Slices *slices);

#endif
