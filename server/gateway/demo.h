/* demo.h - the built-in upstream `demo:`: canned answers, at the pace of a model, without a
 * network. A DemoCalls belongs to one worker and owns the calls under way. */
#ifndef AILERON_GATEWAY_DEMO_H
#define AILERON_GATEWAY_DEMO_H

#include "../db/db.h"
#include "upstream.h"

typedef struct DemoCalls DemoCalls;
typedef struct DemoCall DemoCall;

typedef struct DemoRequest {
    int64_t project_id;
    Str question; /* the last user message */
    Str model;
    bool stream;
    int choices;
    Uuid seed;    /* another seed, another of the fitting answers */
    Uuid turn_id; /* what was answered to it before is not said again, where there is a choice */
} DemoRequest;

MUST_CHECK DemoCalls *demo_calls_open(Db *db);
void demo_calls_close(DemoCalls *calls);
int demo_timeout_ms(const DemoCalls *calls);
void demo_pump(DemoCalls *calls);
/* Events as from upstream_call: an OpenAI reply or stream. NULL: out of memory. */
MUST_CHECK DemoCall *demo_call(DemoCalls *calls, const DemoRequest *request,
                               const UpstreamEvents *events);
void demo_cancel(DemoCall *call);

#endif
