/* chat.h - what the files of the chat share: what a page asks, and where in a conversation that is.
 * Memory is the request's. */
#ifndef AILERON_GATEWAY_CHAT_H
#define AILERON_GATEWAY_CHAT_H

#include "internal.h"

enum {
    QUESTION_BYTES_MAX = 131072, /* of one message of a person */
    CHAT_ANSWERS_MAX = 1000,     /* of one conversation */
    ARENA_SLOTS = 2,
};

/* As sent; ptr NULL: not given. */
typedef struct ChatAsk {
    Str conversation, parent, turn, content, model, round, slot;
    Uuid conversation_id;
} ChatAsk;

/* False: the error has been sent. */
MUST_CHECK bool chat_message_read(Req *req, ChatAsk *out);
MUST_CHECK bool chat_round_read(Req *req, ChatAsk *out);

/* Where it belongs, as far as the database knows. */
typedef struct ChatPlace {
    json_t *messages; /* up to the question, which is the last: the taker's */
    bool has_turn;    /* it is there; otherwise it begins with this question */
    Uuid turn_id;
    bool has_parent;
    Uuid parent_id; /* the answer it follows */
    /* of a round's slot */
    Str model;
    Uuid answer_id, impression_id;
} ChatPlace;

typedef struct ChatOpen {
    Gateway *gateway;
    Req *req;
    const ChatAsk *ask;
    const char *surface;
    /* Exactly once, perhaps before chat_open returns; err NULL when place is there. */
    void (*opened)(void *context, ChatPlace *place, const Err *err);
    void *context;
    Timer timer;
    int tries;
} ChatOpen;

/* Looks where it belongs: it must be the caller's own conversation, or a new one, of that surface
 * and not ended. What is being written this moment (an answer that was just stopped) is waited for.
 */
void chat_open(ChatOpen *open);

/* Who speaks in a conversation: the account or key, and nobody else. */
MUST_CHECK bool chat_speaker(Req *req, const ChatAsk *ask, Speaker *out);

/* ---- models.c ---- */
/* Calls done once, with the names (an object, borrowed) or with err; perhaps before it returns. */
typedef void (*ModelsDone)(void *context, json_t *names, const Err *err);
void models_list(Gateway *gateway, Req *req, ModelsDone done, void *context);

#endif
