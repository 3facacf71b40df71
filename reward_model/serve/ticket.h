/* ticket.h - one request for scores on its way: decoded and encoded on a thread of the pool, scored
 * on the scoring thread, answered on the loop. It is in one hand at a time; only `abandoned` is
 * read across. The ticket owns everything but the Req and the body, which outlive it. */
#ifndef AILERON_RM_SERVE_TICKET_H
#define AILERON_RM_SERVE_TICKET_H

#include <stdatomic.h>

#include "../../server/base/jobs.h"
#include "../text/encode.h"
#include "request.h"
#include "share.h"

enum {
    TICKET_ARENA_MAX = 64 << 20,
    TICKET_TOKENS_MAX = 1 << 20, /* of one request, as if nothing were shared */
};

/* How texts become tokens, and tokens units. */
typedef struct TicketRules {
    EncodeRules encode;
    bool share;
    int64_t batch_rows; /* tokens computed at once */
} TicketRules;

typedef struct Ticket {
    ScoreShape shape;
    const TicketRules *rules;
    Str body;
    void *owner; /* the Req that waits */
    int64_t arrived_us;
    Arena arena;
    Err err; /* code ERR_none: all is well so far */
    ScoreRequest request;
    TokenIds *ids;  /* [request.sequences] */
    double *scores; /* [request.sequences], in the order of the request */
    ShareUnit *units;
    int32_t unit_count, units_taken, units_scored;
    int64_t tokens;         /* of all sequences */
    int32_t cut;            /* the most tokens that a sequence lost at its beginning */
    _Atomic bool abandoned; /* the client is gone */
    Job job;
    struct Ticket *next;
} Ticket;

/* NULL: no memory. The body must outlive the ticket. */
MUST_CHECK Ticket *ticket_new(ScoreShape shape, const TicketRules *rules, Str body, void *owner);
void ticket_free(Ticket *ticket);
/* Body to units; what is wrong with it is in ticket->err. */
void ticket_prepare(Ticket *ticket);
/* After the last unit: a score that is no finite number is an error. */
void ticket_check_scores(Ticket *ticket);

#endif
