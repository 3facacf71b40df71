/* request_log.h - one JSON line a request, and its metrics. */
#ifndef AILERON_REQUEST_LOG_H
#define AILERON_REQUEST_LOG_H

#include <stdbool.h>

typedef struct Req Req;

/* At a request's end; complete: the client got the whole reply. */
void request_log(Req *req, bool complete);

#endif
