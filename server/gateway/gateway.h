/* gateway.h - one worker's gateway: OpenAI-compatible requests passed on to model servers, answers
 * passed back as they come, and both recorded before the end is acknowledged.
 *
 * A Gateway belongs to one worker and owns its upstream calls and what it has cached of projects.
 * Requests are answered through http/req.h; the worker pumps it after the database. */
#ifndef AILERON_GATEWAY_H
#define AILERON_GATEWAY_H

#include <stdatomic.h>
#include "../db/db.h"
#include "../http/req.h"

typedef struct Gateway Gateway;

typedef struct GatewayOptions {
    Db *db;
    const uint8_t *pseudonym_key; /* end users are known by hashes under it */
    const uint8_t *seal_key;      /* opens the upstreams' keys */
    _Atomic uint64_t *generation; /* of the process: raised when a project's upstreams change */
    bool ack_stream;              /* the end of an answer goes out without waiting for the commit */
    int workers;                  /* that share an upstream's concurrency */
} GatewayOptions;

MUST_CHECK Gateway *gateway_open(const GatewayOptions *options);
/* The database goes: what ends from now on is not recorded, and its clients are told. */
void gateway_stop(Gateway *gateway);
void gateway_close(Gateway *gateway);
int gateway_fd(const Gateway *gateway);
int gateway_timeout_ms(const Gateway *gateway);
void gateway_pump(Gateway *gateway);   /* what model servers say, on its way to the clients */
void gateway_settle(Gateway *gateway); /* after it: what has ended is recorded */
bool gateway_idle(const Gateway *gateway); /* nothing is under way that still has to be recorded */
/* Upstreams or settings have changed: every worker reads them again. */
void gateway_forget(Gateway *gateway);

/* POST /openai/v1/chat/completions, for the caller's project. */
void gateway_chat(Gateway *gateway, Req *req);
/* GET /openai/v1/models: what the upstreams are said to serve, asked of those that list none. */
void gateway_models(Gateway *gateway, Req *req);
void gateway_model(Gateway *gateway, Req *req); /* …/models/{name}: one of them */

/* The chat of the pages, for the caller's project and themselves, as openapi.json describes it.
 * GET /chat/models, POST /chat/messages (events), POST /chat/rounds, POST /chat/edits. */
void gateway_names(Gateway *gateway, Req *req);
void gateway_message(Gateway *gateway, Req *req);
void gateway_round(Gateway *gateway, Req *req);
void gateway_edit(Gateway *gateway, Req *req);

/* Secrets at rest: nonce and secretbox of an upstream's key. */
enum { GATEWAY_KEY_BYTES_MAX = 4096 };

#endif
