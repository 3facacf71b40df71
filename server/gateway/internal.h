/* internal.h - what the files of gateway/ share and nobody else sees: the worker's gateway and one
 * exchange, which is a request, the model server's answer to it, and their record.
 *
 *   begin ─ config ─ call ─┬─ head ─ data… ─ done ─ record ─ committed ─ end
 *                          └─ the next upstream, while nothing has been passed on
 *
 * An Exchange owns itself. It holds its Req from begin to end, so what is in the request's arena
 * and body stays while statements and calls point there, also when the client has gone. */
#ifndef AILERON_GATEWAY_INTERNAL_H
#define AILERON_GATEWAY_INTERNAL_H

#include "collect.h"
#include "demo.h"
#include "gateway.h"
#include "project.h"
#include "sse.h"
#include "thread.h"
#include "timer.h"
#include "upstream.h"
#include "view.h"

enum {
    REPLY_BYTES_MAX = 67108864, /* of a whole answer */
    STREAM_HELD_BYTES = 262144, /* waiting for a slow client: then the model server waits */
    ATTEMPTS_MAX = PROJECT_UPSTREAMS_MAX + 1,
    ANONYMOUS_CHARS_MIN = 48, /* shorter chains of nobody in particular prove nothing */
    ANONYMOUS_RETRY_S = 120,
    ANONYMOUS_FOLLOW_S = 3600,
    NAMED_FOLLOW_S = 31536000, /* a named conversation may rest for a year */
};

typedef struct Draw Draw; /* a second answer under way: pair.c */

struct Gateway {
    GatewayOptions options;
    Upstreams *upstreams;
    DemoCalls *demos;
    ProjectCache *projects;
    TimerList timers;
    int exchanges; /* begun and not over */
    Draw *draws;   /* newest first */
    bool closing;  /* the database takes no statements any more */
};

typedef struct Exchange Exchange;

/* How what comes from upstream is passed on; a surface has one. */
typedef struct ExchangeShape {
    const char *surface;      /* gateway | chat | arena */
    bool blind, reads; /* no model is named, nor what tells it; `event` needs what is collected */
    const char *content_type; /* of a stream; NULL: as the model server says */
    void (*begin)(Exchange *exchange, Buf *out); /* what a stream begins with; NULL: nothing */
    /* A complete event of the stream (data.ptr NULL: none in it) appended to out as the client gets
     * it. The end marker is held back by the exchange and given by `tail`. */
    void (*event)(Exchange *exchange, Str raw, Str data, Buf *out);
    void (*tail)(Exchange *exchange, Buf *out);
    void (*lost)(Exchange *exchange, Buf *out); /* instead, when it could not be recorded */
    /* The whole answer, for a request that did not ask for a stream. */
    void (*whole)(Exchange *exchange);
} ExchangeShape;

struct Exchange {
    Gateway *gateway;
    Req *req;
    const ExchangeShape *shape;
    /* the request */
    json_t *body; /* borrowed: the Req's, or `made` */
    Str text;     /* the same as bytes */
    json_t *made; /* a body that the surface put together; NULL: none */
    Buf text_out; /* bytes that are not the Req's */
    bool stream, store;
    Str model;
    Speaker speaker;
    Thread thread;
    int64_t arrived_us; /* monotonic */
    Uuid *answer_ids;   /* choices asked for */
    int choices;
    Uuid impression_id, conversation_id;
    bool conversation_known; /* given by the surface, as the next three */
    bool end_user_known, parent_known;
    bool told; /* its impression is there, and what it says of earlier answers */
    Uuid end_user_id, parent_id;
    int session_s;
    /* the call */
    int attempts;
    uint32_t tried;           /* upstreams, by their place */
    ProjectUpstream upstream; /* its strings in the request's arena */
    Str there;                /* the model's name there */
    Str sent;                 /* the body as sent */
    UpstreamCall *call;
    DemoCall *demo;
    int status;
    Str content_type, retry_after;
    int64_t first_byte_us;
    UpstreamOutcome outcome; /* of the last call */
    Str why;
    /* the answer */
    Collect collect;
    Buf body_in; /* a whole answer, or an error's body */
    Sse sse;
    Buf out;   /* for the client */
    Buf heard; /* data of events that are passed on and not read yet; each with a NUL behind it */
    Str held; /* the end marker as received */
    bool sse_open, passing, ended, client_gone, paused, broken;
    View view; /* chat, arena: what the page has of it */
    Timer view_timer;
    Timer late_timer; /* the record of one whose client has gone */
    int64_t viewed_us;
    /* the record */
    int commits_due;
    int resends; /* unknown history, edits: each once */
    bool recording, commit_failed, acknowledged, finished;
};

/* ---- exchange.c ---- */
/* One that does nothing yet. NULL: the error has been sent. It is ended by exchange_over. */
MUST_CHECK Exchange *exchange_new(Gateway *gateway, Req *req, const ExchangeShape *shape);
/* Answers with an error, and ends it. */
void exchange_fail(Exchange *exchange, ErrCode code, const char *pointer, const char *why);
/* Frees it when it is over: answered (or nobody waits for the answer), and the record stands. */
void exchange_over(Exchange *exchange);
/* Adds the header that names the answers. */
void exchange_name(Exchange *exchange);
/* Answers with what the last call gave, which was not passed on as a stream. */
void exchange_answer(Exchange *exchange);
extern const UpstreamEvents exchange_events; /* context to be filled in */
/* All of the record is committed (or failed): the end goes out. */
void exchange_recorded(Exchange *exchange);
/* Nothing refers to it any more: frees it, and lets the request go. */
void exchange_end(Exchange *exchange);

/* ---- ask.c ---- */
/* Asks the next upstream. Nobody left: answers with the last call's outcome, or that there is none.
 * The exchange may be over when it returns. */
void exchange_ask(Exchange *exchange);

/* ---- decode.c ---- */
/* Reads the choices asked for and makes their ids, and the places of the messages in a conversation
 * of exchange->speaker. False with err. */
MUST_CHECK bool exchange_decode(Exchange *exchange, Err *err);
/* The same for a request as OpenAI's clients make it, model and speaker too; takes exchange->body.
 */
MUST_CHECK bool exchange_decode_openai(Exchange *exchange, Err *err);

/* ---- record.c ---- */
/* Sends the statements that record the exchange; exchange_recorded when they are through. */
void exchange_record(Exchange *exchange);
/* How the answer ended, as the model server says, or what happened to it here. */
Str exchange_finish(const Exchange *exchange, const Choice *choice);

/* ---- pair.c ---- */
/* With the project's probability, draws a second answer to the recorded exchange. */
void pair_draw(Exchange *exchange);
void pairs_close(Gateway *gateway);

/* ---- similar.c ---- */
/* Share of words that two texts have in common, 0 to 1 (Dice's coefficient over their words). */
double similar_texts(Str a, Str b);

#endif
