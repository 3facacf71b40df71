/* merge.h - several Requests of one statement as one: its parameters are arrays. Private to db/.
 *
 * A statement whose first line says `-- lane: merge` takes arrays, one element a Request, and
 * answers with rows whose column _place (from 1) names the element. A carrier is the Request that
 * is sent; it owns its children until they are delivered or come apart again. */
#ifndef AILERON_DB_MERGE_H
#define AILERON_DB_MERGE_H

#include "request.h"

enum { DB_MERGE_MAX = 256 }; /* Requests in one carrier */

/* A carrier of the children (all of one statement), which it takes over. NULL: out of memory; the
 * children stay where they are. */
MUST_CHECK Request *merge_carrier(RequestQueue *children);
/* Every child gets its rows of the carrier's result, or the error; the carrier is freed. */
void merge_deliver(Request *carrier, const Err *err);
/* The children, each in a carrier of its own, onto the queue; the carrier is freed. A child for
 * which there is no memory gets ERR_unavailable. */
void merge_apart(Request *carrier, RequestQueue *out);

#endif
