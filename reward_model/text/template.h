/* template.h - conversations as the text a model was trained on: recognised templates, never
 * guessed. Owns nothing. */
#ifndef AILERON_RM_TEMPLATE_H
#define AILERON_RM_TEMPLATE_H

#include "../../server/base/json.h"
#include "tokenizer.h"

typedef enum ChatTemplate {
    TEMPLATE_RAW,    /* contents joined with a blank line */
    TEMPLATE_HUMAN,  /* "\n\nHuman: … \n\nAssistant: …" as in HH */
    TEMPLATE_CHATML, /* without a default system message; also Qwen3-Instruct-2507 */
    TEMPLATE_CHATML_SMOLLM,
    TEMPLATE_QWEN2,
    TEMPLATE_QWEN25,
    TEMPLATE_QWEN3,
    TEMPLATE_LLAMA3, /* not 3.1 and 3.2, which write dates */
} ChatTemplate;

enum { TEMPLATE_COUNT = TEMPLATE_LLAMA3 + 1 };

typedef struct ChatMessage {
    Str role, content; /* role: system, user, assistant; tool only with raw, qwen2.5 and qwen3 */
    bool calls;        /* it has tool_calls; refused where the template would write them */
} ChatMessage;
/* One of a checked list of messages (messages_check); its texts are the JSON's, or the arena's
 * where they came in parts. content.ptr NULL: no memory. */
ChatMessage template_message_read(const json_t *message, Arena *arena);

#define TEMPLATE_NAMES "raw, human, chatml, smollm2, qwen2, qwen2.5, qwen3, llama3"

/* By one of TEMPLATE_NAMES. */
MUST_CHECK bool template_find(Str name, ChatTemplate *out);
const char *template_name(ChatTemplate chat);
/* The template of a tokenizer_config.json / chat_template.jinja source that is known byte for byte
 * (but for a line end behind it); false: not one of ours (the caller asks for --template). */
MUST_CHECK bool template_recognise(Str jinja, ChatTemplate *out);
/* A Jinja source with the same rendering, for models that come with none. */
const char *template_source(ChatTemplate chat);
/* The full conversation including the answer as its last message, ending as the template ends an
 * answer (nothing appended beyond it). */
MUST_CHECK bool template_render(ChatTemplate chat, const ChatMessage *messages, size_t count,
                                Buf *out, Arena *arena, Err *err);

#endif
