/* labels.h - how well scores tell wanted answers from unwanted ones, by kind of label. */
#ifndef AILERON_RM_LABELS_H
#define AILERON_RM_LABELS_H

#include "../data/example.h"

typedef struct LabelScore {
    double score;
    int8_t kind, wanted;
} LabelScore;

typedef struct LabelScores { /* owns its list until label_scores_release */
    LabelScore *list;
    size_t count, room;
    bool failed; /* memory was short */
} LabelScores;

void label_scores_add(LabelScores *scores, const LabelScore *score);
/* {"retry":{"labels","wanted","auc"},…}; auc (the chance that a wanted answer has the higher score,
 * equal ones count half) is null where all labels are the same. Sorts the list. */
void label_scores_write(Buf *out, LabelScores *scores, const LabelKinds *kinds);
/* The same for a person, a line a kind. */
void label_scores_print(LabelScores *scores, const LabelKinds *kinds);
void label_scores_release(LabelScores *scores);

#endif
