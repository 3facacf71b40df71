/* bpe.h - look-ups and merging, shared by bpe.c (encoding) and bpe_read.c (building). */
#ifndef AILERON_RM_BPE_H
#define AILERON_RM_BPE_H

#include "tokenizer_internal.h"

enum { WHOLE_WORD_MAX = 256 }; /* bytes of a token that is tried as a whole word */

static inline uint64_t bpe_mix(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Multiply and fold, eight bytes at a time. */
static inline uint64_t bpe_hash(const Bpe *bpe, Str bytes)
{
    uint64_t hash = bpe->seed ^ bytes.len, part;
    for (; bytes.len >= 8; bytes = str_skip(bytes, 8)) {
        memcpy(&part, bytes.ptr, 8);
        hash = bpe_mix(hash ^ part, 0x9e3779b97f4a7c15u);
    }
    part = 0;
    for (size_t i = 0; i < bytes.len; i++) part = part << 8 | (uint8_t)bytes.ptr[i];
    return bpe_mix(hash ^ part, 0xd6e8feb86659fd93u);
}

static inline uint64_t bpe_pair_hash(const Bpe *bpe, int32_t left, int32_t right)
{
    uint64_t pair = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    return bpe_mix(pair ^ bpe->seed, 0x9e3779b97f4a7c15u);
}

/* The token of exactly these bytes, or -1. */
int32_t bpe_find_bytes(const Bpe *bpe, Str bytes, bool raw);
/* Appends the ids of a word by merging, without the look at whole words. */
MUST_CHECK bool bpe_merge(const Bpe *bpe, Str word, TokenIds *out);

#endif
