/* thread.h - where a request belongs in a conversation: chain hashes over its messages. Pure.
 *
 *   [system, user] [assistant] [user] [assistant] [user]      messages as sent
 *    `-- before --´  `digest´   …      before  digest  turn
 *
 * The turn is what came since the last answer; its id hashes everything up to it, keyed by project
 * and identity, so another person's same words are another turn. Texts are compared without white
 * space at their ends, since clients trim. */
#ifndef AILERON_THREAD_H
#define AILERON_THREAD_H

#include "../base/crypto.h"
#include "../base/json.h"

enum { THREAD_MESSAGES_MAX = 4096 };

/* Who speaks, as far as the caller says. Empty members were not given. */
typedef struct Speaker {
    int64_t project_id;
    Str user;         /* `user`, `safety_identifier`, a header */
    Str conversation; /* a header, or metadata */
    Str anonymous;    /* the key and address of the caller: what is left when nobody is named */
} Speaker;

typedef struct Thread {
    Uuid turn_id;
    bool follows;         /* an answer comes before the turn */
    Uuid before_id;       /* the turn that answer was given to */
    Uuid before_digest;   /* of that answer */
    json_t *before;       /* that answer, borrowed */
    size_t turn_from;     /* index of the first message of the turn */
    bool has_user;        /* a user speaks in the turn */
    int depth;            /* user messages in the whole chain */
    size_t characters;    /* of the chain's texts: how distinctive it is */
    Uuid speaker_id;      /* of the named user, keyed; meaningless when nobody is named */
    Uuid conversation_id; /* of the conversation's name, keyed; meaningless without one */
    bool named;           /* a user or a conversation was named */
} Thread;

/* False: messages is not what the API takes (ERR_invalid with a pointer under /messages). */
MUST_CHECK bool thread_read(Thread *out, const Speaker *speaker, const json_t *messages,
                            const uint8_t key[CRYPTO_KEY_BYTES], Arena *arena, Err *err);
/* The id under which a named user is kept: a hash under the instance's key. */
Uuid thread_user_id(int64_t project_id, Str user, const uint8_t key[CRYPTO_KEY_BYTES]);
/* The digest of an answer as clients send it back: its text and the tool calls in it. */
Uuid thread_answer_digest(const json_t *message);
/* An answer whose text is known, without tool calls. */
Uuid thread_text_digest(Str text);

#endif
