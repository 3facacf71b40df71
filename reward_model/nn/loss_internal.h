/* loss_internal.h - what loss.c and loss_ranking.c share: one item's place in the batch. */
#ifndef AILERON_RM_LOSS_INTERNAL_H
#define AILERON_RM_LOSS_INTERNAL_H

#include "loss.h"

typedef struct ItemPlace {
    const int32_t *members, *ranks; /* of this item */
    const float *scores;            /* of one head */
    float *gradient;                /* NULL: only the loss is wanted */
    int32_t stride;                 /* from one sequence's score to the next */
    double weight;
    LossParameters *parameters;
} ItemPlace;

/* -log P(ranking) / (count - 1); adds weight · slopes to the gradient. */
double loss_plackett_luce(int32_t count, const ItemPlace *at);

#endif
