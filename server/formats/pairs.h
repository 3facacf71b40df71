/* pairs.h - from what people said about a comparison to preferences and labels.
 *
 * A ranking gives all its strictly ordered pairs, a choice among several the chosen against each
 * other one. Both bad and cannot judge never give a pair. Pure functions; nothing is owned. */
#ifndef AILERON_PAIRS_H
#define AILERON_PAIRS_H

#include "format.h"

enum {
    PAIRS_MAX = ROW_COMPLETIONS_MAX * (ROW_COMPLETIONS_MAX - 1) / 2,
};

/* How much a judgment counts in a majority; NULL: one each. */
typedef double (*JudgmentWeight)(void *context, const RowJudgment *judgment);

typedef struct Verdict {
    Pair pairs[PAIRS_MAX]; /* better over worse; with tie: as good */
    int pair_count;
    int8_t label[ROW_COMPLETIONS_MAX]; /* wanted: 1, not wanted: 0, neither is known: -1 */
    bool tied;                         /* the labels come from a tie */
    bool bad;                          /* all are bad */
    bool known;                        /* there is any verdict at all */
} Verdict;

/* What one judgment says. Ties are left out unless `ties`. */
void judgment_verdict(const RowJudgment *judgment, int count, bool ties, Verdict *out,
                      Arena *arena);
/* What most say, pair by pair: a side must outweigh the other, and also ties and both bad. */
void majority_verdict(const Row *row, bool ties, JudgmentWeight weight, void *context,
                      Verdict *out, Arena *arena);
/* The verdict as one judgment by `annotator` (a majority): a choice of two, else a ranking. False:
 * it says nothing. */
MUST_CHECK bool verdict_judgment(const Verdict *verdict, int count, Str annotator,
                                 RowJudgment *out, Arena *arena);

#endif
