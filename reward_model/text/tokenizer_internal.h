/* tokenizer_internal.h - the parts of a Tokenizer: added tokens, normalizer, pre-tokenizer, BPE. */
#ifndef AILERON_RM_TOKENIZER_INTERNAL_H
#define AILERON_RM_TOKENIZER_INTERNAL_H

#include "../../server/base/json.h"
#include "tokenizer.h"
#include "unicode.h"

enum {
    TOKENIZER_TEXT_MAX = 64 << 20,  /* bytes of a tokenizer.json */
    TOKENIZER_VALUES_MAX = 6000000, /* JSON values in it */
    TOKENIZER_VOCABULARY_MAX = 1 << 20,
    TOKENIZER_MERGES_MAX = 1 << 21,
    TOKENIZER_ADDED_MAX = 1 << 16,
    TOKEN_BYTES_MAX = 4096,
};

/* ---- pretokens.c: where words end ---- */

typedef enum Pretokenizer {
    PRETOKENS_GPT2,   /* GPT-2, GPT-NeoX */
    PRETOKENS_SMOLLM, /* each digit by itself, then as GPT-2 */
    PRETOKENS_LLAMA3,
    PRETOKENS_QWEN2, /* as Llama-3, numbers digit by digit */
} Pretokenizer;

extern const char pretokens_llama3_regex[], pretokens_qwen2_regex[];

typedef struct Pretokens { /* an iterator over valid UTF-8 */
    Pretokenizer kind;
    const uint8_t *at, *piece_end, *end;
} Pretokens;

Pretokens pretokens_begin(Pretokenizer kind, Str text);
bool pretokens_next(Pretokens *pretokens, Str *word);

/* ---- added.c: tokens found in the text before anything else ---- */

typedef struct AddedToken {
    Str content; /* as matched: normalized where that is asked for */
    Str written;
    int32_t id;
    bool lstrip, rstrip, normalized, special;
} AddedToken;

typedef struct AddedSet { /* sorted by content */
    AddedToken *tokens;
    size_t count;
    bool first[256]; /* bytes that a token begins with */
} AddedSet;

typedef struct AddedMatch {
    size_t begin, end; /* with the white space that lstrip and rstrip take */
    size_t resume;     /* end of the content: where the next search begins */
    int32_t id;        /* -1: none; begin = end = length of the text */
} AddedMatch;

/* Sorts; false when two have the same content, at *twice. */
MUST_CHECK bool added_set_finish(AddedSet *set, Str *twice);
/* The first match from `from` on that begins leftmost and is longest there. `done`: the end of what
 * an earlier match took. */
AddedMatch added_set_find(const AddedSet *set, Str text, size_t from, size_t done);

/* ---- bpe.c: words to ids ---- */

typedef struct TokenPlace {
    uint32_t offset;
    uint16_t length;
    bool present;
    bool raw;   /* its written form is no byte-level text: it never comes out of the model */
    bool whole; /* a word of exactly these bytes is this token */
} TokenPlace;

typedef struct Merge {
    int32_t left, right; /* left -1: an empty slot */
    int32_t rank, id;
} Merge;

typedef struct TokenSlot {
    uint32_t tag; /* of the hash */
    int32_t id;   /* -1: empty */
} TokenSlot;

typedef struct Bpe {
    char *bytes; /* all tokens' bytes */
    size_t bytes_count;
    TokenPlace *places; /* by id */
    int32_t size;       /* highest id + 1 */
    int32_t count;      /* tokens */
    TokenSlot *slots;   /* hash table */
    uint64_t slot_mask;
    Merge *merges; /* hash table */
    uint64_t merge_mask;
    uint64_t seed;         /* of the hashes */
    int32_t byte_ids[256]; /* -1: the vocabulary lacks the byte, which is dropped */
    size_t whole_max;      /* bytes of the longest whole token */
} Bpe;

/* From "model" of a tokenizer.json, whose options are already checked. */
MUST_CHECK bool bpe_read(Bpe *bpe, json_t *vocabulary, json_t *merges, bool ignore_merges,
                         Arena *arena, Err *err);
void bpe_release(Bpe *bpe);
MUST_CHECK bool bpe_encode(const Bpe *bpe, Str word, TokenIds *out);
/* The id of a token as written in the vocabulary, or -1. */
int32_t bpe_find(const Bpe *bpe, Str written);
static inline Str bpe_bytes(const Bpe *bpe, int32_t id)
{
    return (Str){bpe->bytes + bpe->places[id].offset, bpe->places[id].length};
}

/* The code point that stands for a byte in a byte-level vocabulary (GPT-2's table). */
uint32_t byte_level_char(uint8_t byte);

MUST_CHECK bool token_ids_push(TokenIds *out, int32_t id);

struct Tokenizer {
    Bpe bpe;
    Pretokenizer pretokenizer;
    bool nfc;
    int32_t size;
    int32_t bos_id;       /* what the post-processor puts first; -1: nothing */
    AddedSet raw, normal; /* found before and after normalization */
    AddedToken **added;   /* by id, from 0 to size - 1; NULL: not an added token */
    Arena texts;
};

/* tokenizer_added.c: reads "added_tokens" into the two sets. */
MUST_CHECK bool tokenizer_read_added(Tokenizer *tokenizer, json_t *list, Arena *arena, Err *err);

#endif
