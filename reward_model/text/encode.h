/* encode.h - a prompt and its answers as the token ids that are scored: the one way there for
 * training, scoring and serving. */
#ifndef AILERON_RM_ENCODE_H
#define AILERON_RM_ENCODE_H

#include "template.h"

typedef struct EncodeRules {
    const Tokenizer *tokenizer;
    ChatTemplate chat;
    int32_t eos_id;       /* ends every sequence that does not end with it; -1: nothing is added */
    int32_t max_length;   /* tokens; 0: any number */
    bool refuse_overlong; /* else the beginning of the prompt is cut off */
} EncodeRules;

/* ids[i] gets the sequence of the conversation `messages` with answers[i] as its last message; its
 * old content goes, its memory stays in use.
 *  - Special tokens are those the template writes; raw and human texts begin with the tokenizer's
 *    BOS where it has one (tokenizer_bos), and no sequence has it twice.
 *  - What is longer than max_length loses *cut tokens of the prompt, right behind a BOS: the same
 *    tokens from every answer, so that answers to one prompt still share it. ERR_too_large when
 *    that is forbidden, or would reach into an answer (the error says which).
 *  - ERR_invalid for a role the template lacks or a sequence without tokens. */
MUST_CHECK bool encode_answers(const EncodeRules *rules, const ChatMessage *messages,
                               size_t message_count, const Str *answers, size_t count,
                               TokenIds *ids, int32_t *cut, Arena *arena, Err *err);

/* The eos_id for EncodeRules: plain texts end with EOS, templates end as they were trained. -1 when
 * pad and EOS are one id, which would hide the last token (GPT-2): trainers read the score at the
 * last id that is not the pad id. */
int32_t encode_eos(ChatTemplate chat, int32_t eos_id, int32_t pad_id);

#endif
