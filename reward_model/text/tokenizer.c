/* tokenizer.c - a text's way to ids: added tokens, normalization, added tokens again, words, BPE.
 */
#include <stdlib.h>
#include "tokenizer_internal.h"

enum { TINY_SPECIALS = 3 };

typedef bool (*EncodePiece)(const Tokenizer *tokenizer, Str piece, TokenIds *out);

/* Cuts the text at the set's tokens: their ids, and what lies between them through `encode`. */
static bool split_added(const Tokenizer *tokenizer, const AddedSet *set, Str text,
                        EncodePiece encode, TokenIds *out)
{
    size_t done = 0, from = 0;
    for (;;) {
        AddedMatch match = added_set_find(set, text, from, done);
        if (match.begin > done) {
            Str piece = {text.ptr + done, match.begin - done};
            if (!encode(tokenizer, piece, out)) return false;
        }
        if (match.id < 0) return true;
        if (!token_ids_push(out, match.id)) return false;
        done = match.end;
        from = match.resume;
    }
}

static bool encode_words(const Tokenizer *tokenizer, Str text, TokenIds *out)
{
    Str word;
    Pretokens pretokens = pretokens_begin(tokenizer->pretokenizer, text);
    while (pretokens_next(&pretokens, &word))
        if (!bpe_encode(&tokenizer->bpe, word, out)) return false;
    return true;
}

/* A piece without raw added tokens. */
static bool encode_piece(const Tokenizer *tokenizer, Str piece, TokenIds *out)
{
    if (!tokenizer->nfc || nfc_is_stable(piece))
        return split_added(tokenizer, &tokenizer->normal, piece, encode_words, out);
    Buf text;
    buf_init(&text, SIZE_MAX);
    bool ok = nfc_append(piece, &text) &&
              split_added(tokenizer, &tokenizer->normal, buf_str(&text), encode_words, out);
    buf_release(&text);
    return ok;
}

bool tokenizer_encode(const Tokenizer *tokenizer, Str text, TokenIds *out)
{
    if (text.len == 0) return true;
    if (utf8_valid_prefix(text) == text.len)
        return split_added(tokenizer, &tokenizer->raw, text, encode_piece, out);
    Buf repaired;
    buf_init(&repaired, SIZE_MAX);
    utf8_repair(text, &repaired);
    bool ok = buf_ok(&repaired) &&
              split_added(tokenizer, &tokenizer->raw, buf_str(&repaired), encode_piece, out);
    buf_release(&repaired);
    return ok;
}

int32_t tokenizer_id(const Tokenizer *tokenizer, Str token)
{
    const AddedSet *const sets[] = {&tokenizer->raw, &tokenizer->normal};
    for (size_t s = 0; s < LEN(sets); s++)
        for (size_t i = 0; i < sets[s]->count; i++)
            if (str_equal(sets[s]->tokens[i].written, token)) return sets[s]->tokens[i].id;
    return bpe_find(&tokenizer->bpe, token);
}

int32_t tokenizer_size(const Tokenizer *tokenizer)
{
    return tokenizer->size;
}

int32_t tokenizer_bos(const Tokenizer *tokenizer)
{
    return tokenizer->bos_id;
}

static const AddedToken *added_token(const Tokenizer *tokenizer, int32_t id)
{
    return id >= 0 && id < tokenizer->size ? tokenizer->added[id] : NULL;
}

bool tokenizer_is_special(const Tokenizer *tokenizer, int32_t id)
{
    const AddedToken *token = added_token(tokenizer, id);
    return token != NULL && token->special;
}

bool tokenizer_decode(const Tokenizer *tokenizer, int32_t id, Buf *out)
{
    const AddedToken *token = added_token(tokenizer, id);
    if (token != NULL) {
        buf_put_str(out, token->written);
        return true;
    }
    if (id < 0 || id >= tokenizer->bpe.size || !tokenizer->bpe.places[id].present) return false;
    buf_put_str(out, bpe_bytes(&tokenizer->bpe, id));
    return true;
}

void tokenizer_free(Tokenizer *tokenizer)
{
    if (tokenizer == NULL) return;
    bpe_release(&tokenizer->bpe);
    free(tokenizer->raw.tokens);
    free(tokenizer->normal.tokens);
    free(tokenizer->added);
    arena_release(&tokenizer->texts);
    free(tokenizer);
}

void tokenizer_write_tiny(Buf *out)
{
    static const char *const specials[TINY_SPECIALS] = {"<|endoftext|>", "<|im_start|>",
                                                        "<|im_end|>"};
    buf_put_text(out, "{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,"
                      "\"added_tokens\":[");
    for (int i = 0; i < TINY_SPECIALS; i++)
        buf_put_format(out,
                       "%s{\"id\":%d,\"content\":\"%s\",\"single_word\":false,\"lstrip\":false,"
                       "\"rstrip\":false,\"normalized\":false,\"special\":true}",
                       i > 0 ? "," : "", 256 + i, specials[i]);
    buf_put_text(out, "],\"normalizer\":null,\"pre_tokenizer\":{\"type\":\"Sequence\","
                      "\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"Regex\":");
    json_put_text(out, str_from(pretokens_qwen2_regex));
    buf_put_text(out, "},\"behavior\":\"Isolated\",\"invert\":false},{\"type\":\"ByteLevel\","
                      "\"add_prefix_space\":false,\"trim_offsets\":false,\"use_regex\":false}]},"
                      "\"post_processor\":null,\"decoder\":{\"type\":\"ByteLevel\","
                      "\"add_prefix_space\":false,\"trim_offsets\":false,\"use_regex\":false},"
                      "\"model\":{\"type\":\"BPE\",\"dropout\":null,\"unk_token\":null,"
                      "\"continuing_subword_prefix\":null,\"end_of_word_suffix\":null,"
                      "\"fuse_unk\":false,\"byte_fallback\":false,\"ignore_merges\":false,"
                      "\"vocab\":{");
    for (int i = 0; i < 256; i++) {
        char bytes[4];
        size_t n = utf8_encode(byte_level_char((uint8_t)i), bytes);
        if (i > 0) buf_put_char(out, ',');
        json_put_text(out, (Str){bytes, n});
        buf_put_format(out, ":%d", i);
    }
    buf_put_text(out, "},\"merges\":[]}}\n");
}
