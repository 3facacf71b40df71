/* tokens.h - an example as a row of the store: its sequences by text/encode.h, its lengths and
 * hashes. */
#ifndef AILERON_RM_TOKENS_H
#define AILERON_RM_TOKENS_H

#include "../text/encode.h"
#include "store.h"

typedef struct Tokens { /* owns its memory until tokens_release; one example after the other */
    TokenIds ids[ROW_COMPLETIONS_MAX];
} Tokens;

void tokens_init(Tokens *tokens);
void tokens_release(Tokens *tokens);
/* Fills row's sequences, lengths and hashes (not its opinions); they live in `tokens` until the
 * next call. *cut gets how many tokens the prompt lost. False: refused (err says why), or memory
 * is short. */
MUST_CHECK bool tokens_of_example(Tokens *tokens, const EncodeRules *rules, const Example *example,
                                  StoredRow *row, int32_t *cut, Arena *arena, Err *err);
/* The same of any prompt and answers, up to ROW_COMPLETIONS_MAX at a time: sequences[i] of
 * contents[i]. */
MUST_CHECK bool tokens_of_answers(Tokens *tokens, const EncodeRules *rules,
                                  const ChatMessage *messages, size_t message_count,
                                  const Str *contents, int count, Sequence *sequences, int32_t *cut,
                                  Arena *arena, Err *err);
/* Of a sequence's ids: to find the same text again, however its row was written. */
uint64_t tokens_hash(const Sequence *sequence);

#endif
