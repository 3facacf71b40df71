/* scoring.h - the one thread that owns the model: takes what waits, scores it as one batch.
 *
 * Tickets come from the loop by scoring_push and go back by scoring_take; every ticket that was
 * pushed comes back once, scored or with its err set. Units of different tickets are taken in turn,
 * so that a large request does not keep small ones waiting until it is done. */
#ifndef AILERON_RM_SERVE_SCORING_H
#define AILERON_RM_SERVE_SCORING_H

#include "../run/scorer.h"
#include "ticket.h"

typedef struct Scoring Scoring;

typedef struct ScoringOptions {
    int64_t batch_rows; /* tokens computed at once; one sequence that has more goes alone */
    int64_t timeout_us; /* a ticket that waited longer for its turn is not begun any more */
    bool share;
} ScoringOptions;

/* `scorer` is borrowed and used by scoring_run only. NULL: no memory or descriptors. */
MUST_CHECK Scoring *scoring_new(Scorer *scorer, const ScoringOptions *options);
void scoring_free(Scoring *scoring);
/* The scoring thread: returns after scoring_stop, with every ticket given back. */
void scoring_run(Scoring *scoring);

/* The loop's side. */
void scoring_push(Scoring *scoring, Ticket *ticket);
int scoring_fd(const Scoring *scoring); /* readable when there is something to take */
Ticket *scoring_take(Scoring *scoring); /* tickets that are done, a list by next; or NULL */
void scoring_stop(Scoring *scoring);    /* after the batch under way; from any thread */

#endif
