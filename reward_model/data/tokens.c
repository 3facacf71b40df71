/* tokens.c - see tokens.h. */
#include "tokens.h"

#include "../../server/base/crypto.h"

void tokens_init(Tokens *tokens)
{
    *tokens = (Tokens){0};
}

void tokens_release(Tokens *tokens)
{
    for (int i = 0; i < ROW_COMPLETIONS_MAX; i++) token_ids_release(&tokens->ids[i]);
}

uint64_t tokens_hash(const Sequence *sequence)
{
    uint8_t digest[CRYPTO_HASH_BYTES];
    uint64_t hash;
    Str bytes = {(const char *)sequence->ids, (size_t)sequence->length * sizeof *sequence->ids};
    crypto_hash(digest, bytes, NULL);
    memcpy(&hash, digest, sizeof hash);
    return hash;
}

bool tokens_of_answers(Tokens *tokens, const EncodeRules *rules, const ChatMessage *messages,
                       size_t message_count, const Str *contents, int count, Sequence *sequences,
                       int32_t *cut, Arena *arena, Err *err)
{
    assert(count <= ROW_COMPLETIONS_MAX);
    *cut = 0;
    if (!encode_answers(rules, messages, message_count, contents, (size_t)count, tokens->ids, cut,
                        arena, err))
        return false;
    for (int i = 0; i < count; i++) {
        if (tokens->ids[i].count > INT32_MAX)
            return err_set(err, arena, ERR_too_large, NULL, "an answer has too many tokens");
        sequences[i] = (Sequence){tokens->ids[i].ids, (int32_t)tokens->ids[i].count};
    }
    return true;
}

static int32_t characters(Str text)
{
    int32_t count = 0;
    for (size_t i = 0; i < text.len; i++) count += ((unsigned char)text.ptr[i] & 0xc0) != 0x80;
    return count;
}

bool tokens_of_example(Tokens *tokens, const EncodeRules *rules, const Example *example,
                       StoredRow *row, int32_t *cut, Arena *arena, Err *err)
{
    *row = (StoredRow){.group_hash = example->group_hash,
                       .prompt_hash = example->prompt_hash,
                       .answers = example->answers,
                       .listed_by_choice = example->listed_by_choice,
                       .has_group = example->has_group};
    for (int i = 0; i < example->answers; i++)
        row->answer_length[i] = characters(example->contents[i]);
    return tokens_of_answers(tokens, rules, example->messages, example->message_count,
                             example->contents, example->answers, row->sequences, cut, arena, err);
}
