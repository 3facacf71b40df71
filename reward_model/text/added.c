/* added.c - finding added tokens in a text: leftmost, longest there, as an Aho-Corasick automaton
 * does; the sorted list is narrowed byte by byte instead. */
#include <stdlib.h>
#include "tokenizer_internal.h"

static int compare_contents(const void *a, const void *b)
{
    const AddedToken *x = a, *y = b;
    size_t shared = x->content.len < y->content.len ? x->content.len : y->content.len;
    int order = memcmp(x->content.ptr, y->content.ptr, shared);
    if (order != 0) return order;
    return (x->content.len > y->content.len) - (x->content.len < y->content.len);
}

bool added_set_finish(AddedSet *set, Str *twice)
{
    if (set->count > 0) qsort(set->tokens, set->count, sizeof *set->tokens, compare_contents);
    for (size_t i = 0; i < set->count; i++) {
        set->first[(uint8_t)set->tokens[i].content.ptr[0]] = true;
        if (i > 0 && str_equal(set->tokens[i].content, set->tokens[i - 1].content)) {
            *twice = set->tokens[i].written;
            return false;
        }
    }
    return true;
}

/* The first token of low … high whose byte at depth is not below c; all are longer than depth. */
static size_t lower_bound(const AddedSet *set, size_t low, size_t high, size_t depth, int c)
{
    while (low < high) {
        size_t middle = (low + high) / 2;
        if ((uint8_t)set->tokens[middle].content.ptr[depth] < c) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static const AddedToken *longest_at(const AddedSet *set, Str text)
{
    const AddedToken *best = NULL;
    size_t low = 0, high = set->count;
    for (size_t depth = 0; low < high; depth++) {
        if (set->tokens[low].content.len == depth) best = &set->tokens[low++];
        if (depth == text.len) break;
        int c = (uint8_t)text.ptr[depth];
        low = lower_bound(set, low, high, depth, c);
        high = lower_bound(set, low, high, depth, c + 1);
    }
    return best;
}

/* How far the white space before `at` reaches back, not past `done`. */
static size_t space_before(Str text, size_t at, size_t done)
{
    const uint8_t *p = (const uint8_t *)text.ptr;
    while (at > done) {
        size_t from = at - 1, n;
        while (from > done && (p[from] & 0xc0) == 0x80) from--;
        if (!(unicode_class(utf8_decode(p + from, &n)) & UNICODE_SPACE)) break;
        at = from;
    }
    return at;
}

static size_t space_after(Str text, size_t at)
{
    const uint8_t *p = (const uint8_t *)text.ptr;
    size_t n;
    while (at < text.len && unicode_class(utf8_decode(p + at, &n)) & UNICODE_SPACE) at += n;
    return at;
}

AddedMatch added_set_find(const AddedSet *set, Str text, size_t from, size_t done)
{
    for (size_t at = from; set->count > 0 && at < text.len; at++) {
        if (!set->first[(uint8_t)text.ptr[at]]) continue;
        const AddedToken *token = longest_at(set, str_skip(text, at));
        if (token == NULL) continue;
        AddedMatch match = {.begin = at, .end = at + token->content.len, .id = token->id};
        match.resume = match.end;
        if (token->lstrip) match.begin = space_before(text, at, done);
        if (token->rstrip) match.end = space_after(text, match.end);
        return match;
    }
    return (AddedMatch){.begin = text.len, .end = text.len, .resume = text.len, .id = -1};
}
