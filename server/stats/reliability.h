/* reliability.h - how far each annotator's preferences can be trusted, from how they agree.
 *
 * A vote says which of two completions is better. One number a person: the probability of seeing
 * what is really better (the one-coin model of Dawid and Skene), estimated by expectation and
 * maximisation over all pairs, with a prior worth a few votes so that newcomers count as average.
 * It never falls below even chances: nobody's votes are turned around. A vote then weighs the log
 * odds. Pure; the object owns its votes. */
#ifndef AILERON_RELIABILITY_H
#define AILERON_RELIABILITY_H

#include "../base/crypto.h"

enum { RELIABILITY_VOTES_MAX = 4000000, RELIABILITY_ANNOTATORS_MAX = 100000 };

typedef struct Reliability Reliability;

MUST_CHECK Reliability *reliability_new(void);
void reliability_free(Reliability *reliability);
/* A new pair to vote on; votes belong to the pair begun last whose number is returned. */
MUST_CHECK bool reliability_pair(Reliability *reliability, uint32_t *pair);
/* A vote for the first (true) or the second of a pair. False: too many, or out of memory. */
MUST_CHECK bool reliability_vote(Reliability *reliability, uint32_t pair, Uuid annotator,
                                 bool first);
/* Estimates; a second or so for a million votes. False: out of memory. */
MUST_CHECK bool reliability_fit(Reliability *reliability);
double reliability_accuracy(const Reliability *reliability, Uuid annotator);
/* log(p / (1 - p)); of somebody unknown, that of the prior. */
double reliability_weight(const Reliability *reliability, Uuid annotator);

#endif
