/* template.h - conversations as the text a model was trained on: recognised templates, never
 * guessed. Owns nothing. */
#ifndef AILERON_RM_TEMPLATE_H
#define AILERON_RM_TEMPLATE_H

#include "tokenizer.h"

typedef enum ChatTemplate {
    TEMPLATE_RAW,    /* contents joined with a blank line */
    TEMPLATE_HUMAN,  /* "\n\nHuman: … \n\nAssistant: …" as in HH */
    TEMPLATE_CHATML, /* Qwen2/2.5 (default system message or not), Qwen3, SmolLM2: see template.c */
    TEMPLATE_CHATML_SMOLLM,
    TEMPLATE_QWEN25,
    TEMPLATE_QWEN3,
    TEMPLATE_LLAMA3,
} ChatTemplate;

typedef struct ChatMessage {
    Str role, content; /* role: system, user, assistant (tool is refused by those that lack it) */
} ChatMessage;

/* By name: "raw", "human", "chatml", "smollm2", "qwen2.5", "qwen3", "llama3". */
MUST_CHECK bool template_find(Str name, ChatTemplate *out);
const char *template_name(ChatTemplate chat);
/* The template of a tokenizer_config.json / chat_template.jinja source, by what it renders to;
 * false: not one of ours (the caller says so and asks for --template). */
MUST_CHECK bool template_recognise(Str jinja, ChatTemplate *out);
/* The full conversation including the answer as its last message, ending as the template ends an
 * answer (nothing appended beyond it). */
MUST_CHECK bool template_render(ChatTemplate chat, const ChatMessage *messages, size_t count,
                                Buf *out, Arena *arena, Err *err);

#endif
