/* encode.c - see encode.h. */
#include "encode.h"

#include <stdlib.h>
#include "tokenizer_internal.h"

enum { RENDERED_MAX = 256 << 20 }; /* bytes of one conversation */

typedef struct Encoding {
    const EncodeRules *rules;
    ChatMessage *messages; /* with room for the answer at the end */
    size_t message_count;
    Buf text;
    Arena *arena;
    Err *err;
} Encoding;

static bool no_memory(const Encoding *e)
{
    return err_set(e->err, e->arena, ERR_unavailable, NULL, "out of memory for a conversation");
}

static bool is_plain(ChatTemplate chat)
{
    return chat == TEMPLATE_RAW || chat == TEMPLATE_HUMAN;
}

int32_t encode_eos(ChatTemplate chat, int32_t eos_id, int32_t pad_id)
{
    return is_plain(chat) && eos_id != pad_id ? eos_id : -1;
}

static bool render(Encoding *e, Str answer)
{
    e->messages[e->message_count] = (ChatMessage){.role = STR("assistant"), .content = answer};
    buf_clear(&e->text);
    return template_render(e->rules->chat, e->messages, e->message_count + 1, &e->text, e->arena,
                           e->err);
}

/* The ids of a rendered text, with BOS and EOS as the rules want them. */
static bool encode_text(const Encoding *e, Str text, bool end, TokenIds *ids)
{
    const EncodeRules *rules = e->rules;
    int32_t bos = is_plain(rules->chat) ? tokenizer_bos(rules->tokenizer) : -1;
    ids->count = 0;
    if (bos >= 0 && !token_ids_push(ids, bos)) return no_memory(e);
    if (!tokenizer_encode(rules->tokenizer, text, ids)) return no_memory(e);
    if (bos >= 0 && ids->count > 1 && ids->ids[1] == bos) { /* the text has its own */
        ids->count--;
        memmove(ids->ids, ids->ids + 1, ids->count * sizeof *ids->ids);
    }
    if (end && rules->eos_id >= 0 &&
        (ids->count == 0 || ids->ids[ids->count - 1] != rules->eos_id) &&
        !token_ids_push(ids, rules->eos_id))
        return no_memory(e);
    return true;
}

static bool encode_answer(Encoding *e, Str answer, TokenIds *ids)
{
    if (!render(e, answer) || !encode_text(e, buf_str(&e->text), true, ids)) return false;
    if (ids->count == 0)
        return err_set(e->err, e->arena, ERR_invalid, NULL,
                       "the prompt and its answer have no tokens");
    if (ids->count > INT32_MAX)
        return err_set(e->err, e->arena, ERR_too_large, NULL, "an answer has too many tokens");
    return true;
}

static size_t common_bytes(Str a, Str b)
{
    size_t n = 0;
    while (n < a.len && n < b.len && a.ptr[n] == b.ptr[n]) n++;
    while (n > 0 && n < a.len && ((uint8_t)a.ptr[n] & 0xc0) == 0x80) n--; /* whole characters */
    return n;
}

/* How many of ids come before the answer: those of the text that it shares with an empty answer. */
static bool count_prompt(Encoding *e, Str answer, const TokenIds *ids, size_t *out)
{
    Buf empty;
    TokenIds prompt = {0};
    buf_init(&empty, RENDERED_MAX);
    bool ok = render(e, STR(""));
    if (ok) buf_put_str(&empty, buf_str(&e->text));
    ok = ok && (buf_ok(&empty) || no_memory(e)) && render(e, answer);
    if (ok) {
        Str text = buf_str(&e->text);
        text.len = common_bytes(text, buf_str(&empty));
        ok = encode_text(e, text, false, &prompt);
    }
    size_t n = 0;
    while (n < prompt.count && n < ids->count && prompt.ids[n] == ids->ids[n]) n++;
    *out = n < ids->count ? n : ids->count - 1; /* something is left to score */
    token_ids_release(&prompt);
    buf_release(&empty);
    return ok;
}

static void drop_tokens(TokenIds *ids, size_t from, size_t n)
{
    ids->count -= n;
    memmove(ids->ids + from, ids->ids + from + n, (ids->count - from) * sizeof *ids->ids);
}

static bool fit(Encoding *e, const Str *answers, size_t count, TokenIds *ids, int32_t *cut)
{
    size_t most = (size_t)e->rules->max_length, longest = 0, keep = 0;
    int32_t bos = tokenizer_bos(e->rules->tokenizer);
    for (size_t i = 0; i < count; i++) longest = ids[i].count > longest ? ids[i].count : longest;
    if (most == 0 || longest <= most) return true;
    if (e->rules->refuse_overlong)
        return err_set(e->err, e->arena, ERR_too_large, NULL,
                       "the prompt and its answer have %zu tokens; at most %zu are allowed",
                       longest, most);
    if (bos >= 0 && ids[0].ids[0] == bos) keep = 1;
    size_t excess = longest - most;
    for (size_t i = 0; i < count; i++) {
        size_t prompt;
        if (!count_prompt(e, answers[i], &ids[i], &prompt)) return false;
        if (excess + keep > prompt)
            return err_set(e->err, e->arena, ERR_too_large, NULL,
                           "the longest answer has %zu tokens without anything of its prompt; at "
                           "most %zu are allowed (--max-length)",
                           longest - (prompt > keep ? prompt - keep : 0), most);
    }
    for (size_t i = 0; i < count; i++) drop_tokens(&ids[i], keep, excess);
    *cut = (int32_t)excess;
    return true;
}

bool encode_answers(const EncodeRules *rules, const ChatMessage *messages, size_t message_count,
                    const Str *answers, size_t count, TokenIds *ids, int32_t *cut, Arena *arena,
                    Err *err)
{
    Encoding e = {.rules = rules, .message_count = message_count, .arena = arena, .err = err};
    *cut = 0;
    buf_init(&e.text, RENDERED_MAX);
    e.messages = calloc(message_count + 1, sizeof *e.messages);
    bool ok = e.messages != NULL || no_memory(&e);
    if (ok && message_count > 0) memcpy(e.messages, messages, message_count * sizeof *messages);
    for (size_t i = 0; ok && i < count; i++) ok = encode_answer(&e, answers[i], &ids[i]);
    ok = ok && fit(&e, answers, count, ids, cut);
    free(e.messages);
    buf_release(&e.text);
    return ok;
}
