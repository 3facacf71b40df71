/* collect.h - what an upstream answered, put together from a whole reply or from streamed chunks.
 * The Collect owns its choices until collect_release; fuzzed, for upstreams are not trusted. */
#ifndef AILERON_COLLECT_H
#define AILERON_COLLECT_H

#include "../base/json.h"

enum {
    COLLECT_CHOICES_MAX = 128,
    COLLECT_CALLS_MAX = 128,
    COLLECT_TEXT_BYTES_MAX = 1048576, /* of one answer; what is beyond is passed on, not stored */
    COLLECT_FINISH_BYTES = 32,
};

typedef struct Choice {
    bool begun;
    bool cut; /* longer than COLLECT_TEXT_BYTES_MAX */
    Buf content;
    Buf refusal;
    json_t *calls;                     /* tool calls, as a message carries them; NULL: none */
    char finish[COLLECT_FINISH_BYTES]; /* "" until it is said */
} Choice;

typedef struct Collect {
    Choice *choices;
    int count, room;
    Str model;   /* as the upstream named it; arena of the caller */
    Str usage;   /* its JSON text, likewise */
    bool failed; /* an error object came in the stream */
} Collect;

void collect_release(Collect *collect);
/* One chunk of a stream (an event's data), or a whole reply. False: not JSON of that shape; what
 * has been collected stays. */
MUST_CHECK bool collect_chunk(Collect *collect, Str data, Arena *arena);
MUST_CHECK bool collect_reply(Collect *collect, Str body, Arena *arena);
/* The choice as a message: {"role":"assistant","content":…,"tool_calls":…}; a new reference. */
json_t *choice_message(const Choice *choice);

#endif
