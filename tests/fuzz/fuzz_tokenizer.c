/* fuzz_tokenizer.c - hostile tokenizer.json files and hostile texts. A first byte of 'j': the rest
 * is a tokenizer.json, and an accepted one encodes a text into ids that it can decode. Else the
 * rest is a text for one of four complete byte-level pipelines: its ids decode to the repaired text
 * (in NFC where the pipeline has it). */
// sources: reward_model/text/tokenizer.c reward_model/text/tokenizer_read.c
// sources: reward_model/text/tokenizer_added.c reward_model/text/bpe.c reward_model/text/bpe_read.c
// sources: reward_model/text/added.c reward_model/text/pretokens.c reward_model/text/normalize.c
// sources: reward_model/text/unicode.c server/base/json*.c
// sources: server/base/utf8.c server/base/arena.c server/base/buf.c server/base/err.c
// sources: server/base/crypto.c server/base/clock.c server/base/metrics.c
#include <stdlib.h>
#include "../../reward_model/text/tokenizer_internal.h"
#include "../../server/base/crypto.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char hostile[] =
    "<|im_start|>a  b\n\n 12'll \xc3\xa9\xed\x95\x9c e\xcc\x81 <|im_end|> ";

static void check_ids(const Tokenizer *tokenizer, Str text, Buf *back)
{
    TokenIds ids = {0};
    if (!tokenizer_encode(tokenizer, text, &ids)) abort();
    for (size_t i = 0; i < ids.count; i++) {
        if (ids.ids[i] < 0 || ids.ids[i] >= tokenizer_size(tokenizer)) abort();
        if (!tokenizer_decode(tokenizer, ids.ids[i], back)) abort();
    }
    token_ids_release(&ids);
}

static void fuzz_file(Str json)
{
    Arena arena;
    Buf back;
    Err err = {0};
    arena_init(&arena, MiB(4));
    buf_init(&back, MiB(64));
    Tokenizer *tokenizer = tokenizer_read(json, &arena, &err);
    if (tokenizer != NULL) {
        check_ids(tokenizer, str_from(hostile), &back);
        check_ids(tokenizer, json, &back);
    } else if (err.detail == NULL) {
        abort();
    }
    tokenizer_free(tokenizer);
    buf_release(&back);
    arena_release(&arena);
}

/* The tiny tokenizer with some merges, for each pre-tokenizer; they live as long as the program. */
static const Tokenizer *pipeline(int kind)
{
    static Tokenizer *made[4];
    static const char *const models[] = {"\"merges\":[]}}", "\"merges\":[]}}", "\"merges\":[]}}",
                                         "\"merges\":[]}}"};
    Arena arena;
    Buf json;
    Err err = {0};
    if (made[kind] != NULL) return made[kind];
    arena_init(&arena, MiB(4));
    buf_init(&json, MiB(1));
    tokenizer_write_tiny(&json);
    json.len -= strlen(models[kind]) + 1;
    buf_put_text(&json, models[kind]);
    made[kind] = tokenizer_read(buf_str(&json), &arena, &err);
    if (made[kind] == NULL) abort();
    made[kind]->pretokenizer = (Pretokenizer)kind;
    made[kind]->nfc = kind % 2 == 1;
    buf_release(&json);
    arena_release(&arena);
    return made[kind];
}

static void fuzz_text(int kind, Str text)
{
    Buf want, repaired, back;
    const Tokenizer *tokenizer = pipeline(kind);
    buf_init(&want, MiB(64));
    buf_init(&repaired, MiB(64));
    buf_init(&back, MiB(64));
    utf8_repair(text, &repaired);
    if (tokenizer->nfc && !nfc_append(buf_str(&repaired), &want)) abort();
    check_ids(tokenizer, text, &back);
    Buf *right = tokenizer->nfc ? &want : &repaired;
    /* between special tokens normalization begins anew: compare where there are none */
    bool special = memmem(right->data, right->len, "<|", 2) != NULL;
    if (!special && (back.len != right->len || memcmp(back.data, right->data, back.len) != 0))
        abort();
    buf_release(&want);
    buf_release(&repaired);
    buf_release(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!crypto_init() || size < 2) return 0;
    Str rest = {(const char *)data + 1, size - 1};
    if (data[0] == 'j') {
        fuzz_file(rest);
    } else {
        fuzz_text(data[0] % 4, rest);
    }
    return 0;
}
