/* pretokens.c - the pre-tokenizers' regular expressions as hand-written scanners. Each function
 * takes the alternatives in the order of its expression, which stands above it. */
#include "tokenizer_internal.h"

const char pretokens_llama3_regex[] =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|"
    " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const char pretokens_qwen2_regex[] =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|"
    " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

enum { LETTER_NUMBER_SPACE = UNICODE_LETTER | UNICODE_NUMBER | UNICODE_SPACE };

/* The class bits of the character at p and its length; 0 bytes at the end. */
static int class_at(const uint8_t *p, const uint8_t *end, size_t *n)
{
    *n = 0;
    if (p == end) return -1;
    return unicode_class(utf8_decode(p, n));
}

/* Past all characters of the class (of none of letter, number and space when class is 0). */
static const uint8_t *skip(const uint8_t *p, const uint8_t *end, int class)
{
    while (p < end) {
        size_t n;
        int found = unicode_class(utf8_decode(p, &n)) & LETTER_NUMBER_SPACE;
        if (class == 0 ? found != 0 : !(found & class)) break;
        p += n;
    }
    return p;
}

/* \s+(?!\S)|\s+ : a run of white space without its last character when something follows. */
static const uint8_t *skip_space(const uint8_t *p, const uint8_t *end)
{
    const uint8_t *last = p, *at = p;
    while (at < end) {
        size_t n;
        if (!(unicode_class(utf8_decode(at, &n)) & UNICODE_SPACE)) break;
        last = at;
        at += n;
    }
    return at == end || last == p ? at : last;
}

/* ---- GPT-2 ---- */

/* 's|'t|'re|'ve|'m|'ll|'d : the length of one at p, or 0. */
static size_t contraction(const uint8_t *p, const uint8_t *end)
{
    size_t left = (size_t)(end - p);
    if (left < 2 || p[0] != '\'') return 0;
    if (p[1] == 's' || p[1] == 't' || p[1] == 'm' || p[1] == 'd') return 2;
    if (left < 3) return 0;
    if ((p[1] == 'r' || p[1] == 'v') && p[2] == 'e') return 3;
    return p[1] == 'l' && p[2] == 'l' ? 3 : 0;
}

/* 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+ */
static const uint8_t *gpt2_next(const uint8_t *p, const uint8_t *end)
{
    size_t n = contraction(p, end);
    if (n > 0) return p + n;
    const uint8_t *word = *p == ' ' ? p + 1 : p;
    int class = class_at(word, end, &n);
    if (class >= 0 && !(class & UNICODE_SPACE))
        return skip(word + n, end, class & (UNICODE_LETTER | UNICODE_NUMBER));
    return skip_space(p, end);
}

/* ---- Llama-3, Qwen2 ---- */

/* (?i:'s|'t|'re|'ve|'m|'ll|'d); without case U+017F is an s too. */
static size_t contraction_any_case(const uint8_t *p, const uint8_t *end)
{
    uint8_t lower[3] = {0};
    size_t left = (size_t)(end - p);
    if (left < 2 || p[0] != '\'') return 0;
    if (left >= 3 && p[1] == 0xc5 && p[2] == 0xbf) return 3;
    for (size_t i = 0; i < 3 && i < left; i++) {
        lower[i] = p[i];
        if (p[i] >= 'A' && p[i] <= 'Z') lower[i] = (uint8_t)(p[i] + 'a' - 'A');
    }
    return contraction(lower, lower + (left < 3 ? left : 3));
}

static bool is_newline(uint8_t c)
{
    return c == '\r' || c == '\n';
}

/* \s*[\r\n]+ : past the last line end of the white space at p, or NULL. */
static const uint8_t *skip_lines(const uint8_t *p, const uint8_t *end)
{
    const uint8_t *after = NULL;
    while (p < end) {
        size_t n;
        if (!(unicode_class(utf8_decode(p, &n)) & UNICODE_SPACE)) break;
        if (is_newline(*p)) after = p + 1;
        p += n;
    }
    return after;
}

/* \p{N}{1,most}, after the first of them */
static const uint8_t *skip_numbers(const uint8_t *p, const uint8_t *end, int most)
{
    size_t n;
    for (int i = 1; i < most; i++, p += n)
        if (p == end || !(class_at(p, end, &n) & UNICODE_NUMBER)) break;
    return p;
}

/* (?i:'s|…)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,most}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|
 * \s+(?!\S)|\s+ */
static const uint8_t *llama3_next(const uint8_t *p, const uint8_t *end, int most)
{
    size_t n, next;
    size_t short_form = contraction_any_case(p, end);
    if (short_form > 0) return p + short_form;
    int class = class_at(p, end, &n);
    if (class & UNICODE_LETTER) return skip(p + n, end, UNICODE_LETTER);
    if (class & UNICODE_NUMBER) return skip_numbers(p + n, end, most);
    int after = class_at(p + n, end, &next);
    if (!is_newline(*p) && after >= 0 && after & UNICODE_LETTER)
        return skip(p + n + next, end, UNICODE_LETTER);
    bool space = *p == ' ' && after >= 0 && !(after & LETTER_NUMBER_SPACE);
    if (space || !(class & UNICODE_SPACE)) {
        p = skip(p + n, end, 0);
        while (p < end && is_newline(*p)) p++;
        return p;
    }
    const uint8_t *lines = skip_lines(p, end);
    return lines != NULL ? lines : skip_space(p, end);
}

/* ---- pieces ---- */

Pretokens pretokens_begin(Pretokenizer kind, Str text)
{
    const uint8_t *p = (const uint8_t *)text.ptr;
    Pretokens pretokens = {.kind = kind, .at = p, .piece_end = p, .end = p + text.len};
    if (kind != PRETOKENS_SMOLLM) pretokens.piece_end = pretokens.end;
    return pretokens;
}

/* The next piece of a split that isolates every numeric character. */
static const uint8_t *next_piece(const uint8_t *p, const uint8_t *end)
{
    size_t n;
    if (class_at(p, end, &n) & UNICODE_NUMERIC) return p + n;
    while (p < end && !(unicode_class(utf8_decode(p, &n)) & UNICODE_NUMERIC)) p += n;
    return p;
}

bool pretokens_next(Pretokens *s, Str *word)
{
    const uint8_t *from = s->at;
    if (from == s->end) return false;
    if (from == s->piece_end) s->piece_end = next_piece(from, s->end);
    switch (s->kind) {
    case PRETOKENS_GPT2:
    case PRETOKENS_SMOLLM: s->at = gpt2_next(from, s->piece_end); break;
    case PRETOKENS_LLAMA3: s->at = llama3_next(from, s->end, 3); break;
    case PRETOKENS_QWEN2: s->at = llama3_next(from, s->end, 1); break;
    }
    *word = (Str){(const char *)from, (size_t)(s->at - from)};
    return true;
}
