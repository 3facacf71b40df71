/* request.h - a request for scores as a client wrote it: the shapes of several servers decoded to
 * one meaning. A pure function over the body; members it does not know are skipped, because clients
 * of each server send some of their own.
 *
 *   score     {"prompt": text | [messages], "completions": [text | {"content"}]}
 *             {"text_1": text | [text], "text_2": text | [text]}   one with each, or pair by pair;
 *             also as queries and documents, queries and items, data_1 and data_2
 *   rerank    {"query": text, "documents": [text | {"text"}], "top_n", "return_documents"}
 *   classify  {"input": text | [text]} or {"messages": [...]}        pooling: the same
 *   reward    {"query": text | [text]}
 *
 * In score and rerank a plain prompt is the turn of the user, and what is scored the answer of the
 * assistant, as the model's chat template writes them. In classify, pooling and reward a text is
 * already the whole conversation and is scored as it is. */
#ifndef AILERON_RM_SERVE_REQUEST_H
#define AILERON_RM_SERVE_REQUEST_H

#include "../../server/base/json.h"
#include "../text/template.h"

typedef enum ScoreShape {
    SHAPE_SCORE,
    SHAPE_CLASSIFY,
    SHAPE_POOLING,
    SHAPE_RERANK,
    SHAPE_REWARD,
    SHAPE_COUNT
} ScoreShape;

enum {
    REQUEST_BODY_MAX = 8 << 20,      /* bytes */
    REQUEST_SEQUENCES_MAX = 1024,    /* scores asked for at once */
    REQUEST_EXPANDED_MAX = 32 << 20, /* bytes, counting a prompt once for each of its answers */
};

/* A prompt and its answers, or whole texts. */
typedef struct Ask {
    bool whole;                  /* no messages: each answer is a text by itself */
    const ChatMessage *messages; /* [message_count] */
    size_t message_count;
    const Str *answers; /* [count] */
    size_t count;
    const char *member; /* where the answers stand in the body: "/documents" */
    bool listed;        /* member is a list of them */
    size_t first;       /* and this is the place of answers[0] in it */
} Ask;

typedef struct ScoreRequest {
    ScoreShape shape;
    bool completions; /* score: the reply is {"scores": [...]} */
    Ask *asks;        /* [ask_count] */
    size_t ask_count;
    size_t sequences; /* answers of all asks */
    int64_t top_n;    /* rerank: 0 for all */
    bool return_documents;
    bool squash;      /* "use_activation": true asks for the logistic of the score */
    int64_t truncate; /* "truncate_prompt_tokens": tokens to keep; 0 for as many as the model may */
    json_t *json;     /* texts point into it and the arena */
} ScoreRequest;

/* `request` starts as anything. Errors: ERR_malformed (no JSON), ERR_invalid with the member,
 * ERR_too_large beyond the limits above. Release also after an error. */
MUST_CHECK bool score_request_decode(ScoreRequest *request, ScoreShape shape, Str body,
                                     Arena *arena, Err *err);
void score_request_release(ScoreRequest *request);
/* The JSON pointer of an ask's answer, for errors. */
const char *ask_pointer(const Ask *ask, size_t answer, Arena *arena);

#endif
