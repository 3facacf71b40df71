/* tokenizer_added.c - the added tokens of a tokenizer.json, with the ids that the library gives
 * them: their id in the vocabulary, else the next one free. */
#include <stdlib.h>
#include "tokenizer_internal.h"

typedef struct Reading {
    Tokenizer *tokenizer;
    int32_t highest; /* id given so far; -1: none */
    Arena *arena;
    Err *err;
} Reading;

#define refuse(r, ...)                                                                             \
    err_set((r)->err, (r)->arena, ERR_invalid, "/added_tokens", "added_tokens: " __VA_ARGS__)

static bool no_memory(const Reading *r)
{
    return err_set(r->err, r->arena, ERR_internal, NULL, "out of memory for added tokens");
}

static bool read_flags(const Reading *r, const json_t *item, AddedToken *token)
{
    bool single_word = false;
    const struct {
        const char *name;
        bool *to;
    } flags[] = {{"single_word", &single_word},
                 {"lstrip", &token->lstrip},
                 {"rstrip", &token->rstrip},
                 {"normalized", &token->normalized},
                 {"special", &token->special}};
    for (size_t i = 0; i < LEN(flags); i++) {
        const json_t *value = json_object_get(item, flags[i].name);
        if (!json_is_boolean(value))
            return refuse(r, "\"%.100s\": %s must be true or false", token->written.ptr,
                          flags[i].name);
        *flags[i].to = json_is_true(value);
    }
    return !single_word ||
           refuse(r, "\"%.100s\": single_word is not supported", token->written.ptr);
}

/* The id the library would give; one that the file contradicts is refused. */
static bool read_id(Reading *r, const json_t *item, AddedToken *token)
{
    const Bpe *bpe = &r->tokenizer->bpe;
    int32_t id = bpe_find(bpe, token->written);
    if (id < 0) id = r->highest >= bpe->count ? r->highest + 1 : bpe->count;
    const json_t *value = json_object_get(item, "id");
    if (!json_is_number(value) || json_number_value(value) != id)
        return refuse(r, "\"%.100s\" has another id than the vocabulary gives it, %d",
                      token->written.ptr, id);
    if (id > r->highest) r->highest = id;
    token->id = id;
    return true;
}

/* Also normalized, where it is matched against normalized text. */
static bool read_content(const Reading *r, const json_t *item, AddedToken *token)
{
    Str content = json_str(json_object_get(item, "content"));
    if (content.ptr == NULL || content.len == 0 || content.len > TOKEN_BYTES_MAX)
        return refuse(r, "content must be text of 1 to %d bytes", TOKEN_BYTES_MAX);
    token->written = arena_copy(&r->tokenizer->texts, content);
    return token->written.ptr != NULL || no_memory(r);
}

static bool normalize_content(const Reading *r, AddedToken *token)
{
    token->content = token->written;
    if (!token->normalized || !r->tokenizer->nfc || nfc_is_stable(token->written)) return true;
    Buf text;
    buf_init(&text, KiB(64));
    bool ok = nfc_append(token->written, &text);
    if (ok) token->content = arena_copy(&r->tokenizer->texts, buf_str(&text));
    buf_release(&text);
    return (ok && token->content.ptr != NULL) || no_memory(r);
}

static bool read_tokens(Reading *r, json_t *list)
{
    Tokenizer *t = r->tokenizer;
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item)
    {
        AddedToken token = {0};
        if (!json_is_object(item)) return refuse(r, "each must be an object");
        if (!read_content(r, item, &token) || !read_flags(r, item, &token) ||
            !read_id(r, item, &token) || !normalize_content(r, &token))
            return false;
        AddedSet *set = token.normalized ? &t->normal : &t->raw;
        set->tokens[set->count++] = token;
    }
    return true;
}

/* The table by id; the same token in both sets is one too many. */
static bool index_tokens(const Reading *r)
{
    Tokenizer *t = r->tokenizer;
    AddedSet *const sets[] = {&t->raw, &t->normal};
    t->size = r->highest + 1 > t->bpe.size ? r->highest + 1 : t->bpe.size;
    t->added = calloc((size_t)t->size, sizeof *t->added);
    if (t->added == NULL) return no_memory(r);
    for (size_t s = 0; s < LEN(sets); s++) {
        Str twice;
        if (!added_set_finish(sets[s], &twice))
            return refuse(r, "\"%.100s\" is there twice", twice.ptr);
        for (size_t i = 0; i < sets[s]->count; i++) {
            AddedToken *token = &sets[s]->tokens[i];
            if (t->added[token->id] != NULL)
                return refuse(r, "\"%.100s\" is there twice", token->written.ptr);
            t->added[token->id] = token;
        }
    }
    return true;
}

bool tokenizer_read_added(Tokenizer *tokenizer, json_t *list, Arena *arena, Err *err)
{
    Reading r = {.tokenizer = tokenizer, .highest = -1, .arena = arena, .err = err};
    size_t count = json_array_size(list);
    if (list != NULL && !json_is_array(list)) return refuse(&r, "must be a list");
    if (count > TOKENIZER_ADDED_MAX) return refuse(&r, "more than %d", TOKENIZER_ADDED_MAX);
    tokenizer->raw.tokens = calloc(count + 1, sizeof(AddedToken));
    tokenizer->normal.tokens = calloc(count + 1, sizeof(AddedToken));
    if (tokenizer->raw.tokens == NULL || tokenizer->normal.tokens == NULL) return no_memory(&r);
    return read_tokens(&r, list) && index_tokens(&r);
}
