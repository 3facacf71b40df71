/* tokenizer.h - byte-level BPE from a tokenizer.json, equal to the tokenizers library id by id.
 * A Tokenizer owns its tables and is immutable: threads may encode with one side by side. */
#ifndef AILERON_RM_TOKENIZER_H
#define AILERON_RM_TOKENIZER_H

#include "../../server/base/buf.h"
#include "../../server/base/err.h"

typedef struct Tokenizer Tokenizer;

typedef struct TokenIds { /* grows; owned by the caller until token_ids_release */
    int32_t *ids;
    size_t count, room;
} TokenIds;

/* From the text of a tokenizer.json. Pipelines that are not recognised exactly (normalizer,
 * pre-tokenizer, model, decoder options that change ids) are refused by the name of the part. */
MUST_CHECK Tokenizer *tokenizer_read(Str json, Arena *arena, Err *err);
void tokenizer_free(Tokenizer *tokenizer);
/* Appends the ids of text, special tokens in it recognised, nothing added before or after it.
 * False only when memory is short. Invalid UTF-8 is replaced by U+FFFD, as a caller's decoder
 * would. */
MUST_CHECK bool tokenizer_encode(const Tokenizer *tokenizer, Str text, TokenIds *out);
/* The id of a token as written in the vocabulary or the added tokens, or -1. */
int32_t tokenizer_id(const Tokenizer *tokenizer, Str token);
int32_t tokenizer_size(const Tokenizer *tokenizer); /* highest id + 1 */
/* The id that the file's post-processor puts before a text (Llama-3's BOS), or -1. */
int32_t tokenizer_bos(const Tokenizer *tokenizer);
/* True for an added token that is marked special: no text becomes it but its own. */
bool tokenizer_is_special(const Tokenizer *tokenizer, int32_t id);
/* Appends the bytes of one id (added tokens as they are written). False: no such id. */
bool tokenizer_decode(const Tokenizer *tokenizer, int32_t id, Buf *out);
/* The byte-level tokenizer.json of `--init tiny`: 256 bytes and the special tokens of ChatML. */
void tokenizer_write_tiny(Buf *out);

void token_ids_release(TokenIds *ids);

#endif
