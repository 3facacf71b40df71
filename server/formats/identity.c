/* identity.c - see identity.h. The same line imported twice, or by two people at once, is the same
 * prompt, completion, comparison and judgment. */
#include "identity.h"

#include <stdio.h>

/* A completion's id begins like its prompt's, so that those of one prompt are neighbours in the
 * index: half as many pages are touched, coming in and being read. 62 bits of its own remain. */
enum { NEIGHBOUR_BYTES = 8 };

enum { HASHER_ROOM = 512, CONTENT_VERSION = 8, ID_VERSION_BYTE = 6, ID_VARIANT_BYTE = 8 };

typedef struct IdHasher {
    _Alignas(64) unsigned char room[HASHER_ROOM];
} IdHasher;

static Hasher *hasher_of(IdHasher *hasher)
{
    return (Hasher *)(void *)hasher->room;
}

/* The kind comes first, so that a prompt and a completion of the same text differ. */
static void id_begin(IdHasher *hasher, const char *kind)
{
    assert(hasher_size() <= sizeof hasher->room);
    hasher_init(hasher_of(hasher), NULL);
    hasher_add(hasher_of(hasher), str_from(kind));
}

static void id_add(IdHasher *hasher, Str part)
{
    hasher_add(hasher_of(hasher), part);
}

static void id_add_uuid(IdHasher *hasher, Uuid id)
{
    hasher_add(hasher_of(hasher), (Str){(const char *)id.bytes, sizeof id.bytes});
}

static void id_add_int(IdHasher *hasher, int64_t value)
{
    char text[24];
    int n = snprintf(text, sizeof text, "%lld", (long long)value);
    hasher_add(hasher_of(hasher), (Str){text, (size_t)n});
}

/* RFC 9562 version 8: 122 bits of the hash. Never equal to an id made from time (version 7). */
static Uuid id_end(IdHasher *hasher)
{
    uint8_t digest[CRYPTO_HASH_BYTES];
    Uuid id;
    hasher_final(hasher_of(hasher), digest);
    memcpy(id.bytes, digest, sizeof id.bytes);
    uint8_t *version = &id.bytes[ID_VERSION_BYTE];
    *version = (uint8_t)((*version & 0x0f) | CONTENT_VERSION << 4);
    id.bytes[ID_VARIANT_BYTE] = (uint8_t)((id.bytes[ID_VARIANT_BYTE] & 0x3f) | 0x80);
    return id;
}

/* By group when there is one: the same group is never in two splits. */
static int bucket_of(Str group, Uuid prompt)
{
    uint8_t digest[CRYPTO_HASH_BYTES];
    uint64_t number = 0;
    crypto_hash(digest, group.ptr ? group : (Str){(const char *)prompt.bytes, sizeof prompt.bytes},
                NULL);
    for (int i = 0; i < 8; i++)
        number = number << 8 | digest[i];
    return (int)(number % SPLIT_BUCKETS);
}

int group_bucket(Str group)
{
    return bucket_of(group, (Uuid){{0}});
}

void row_identify(const Row *row, RowIds *ids)
{
    IdHasher hasher;
    id_begin(&hasher, "prompt");
    id_add(&hasher, row->group);
    id_add(&hasher, row->prompt);
    if (!row->prompt.ptr && !row->group.ptr) /* no text and no group: the key tells prompts apart */
        id_add(&hasher, row->key);
    ids->prompt = id_end(&hasher);
    ids->bucket = bucket_of(row->group, ids->prompt);

    for (int i = 0; i < row->completion_count; i++) {
        id_begin(&hasher, "completion");
        id_add_uuid(&hasher, ids->prompt);
        id_add(&hasher, row->completions[i].model);
        id_add(&hasher, row->completions[i].content);
        id_add(&hasher, row->completions[i].metadata);
        ids->completions[i] = id_end(&hasher);
        memcpy(ids->completions[i].bytes, ids->prompt.bytes, NEIGHBOUR_BYTES);
    }

    id_begin(&hasher, "comparison");
    id_add(&hasher, row->key);
    id_add_uuid(&hasher, ids->prompt);
    for (int i = 0; i < row->completion_count; i++)
        id_add_uuid(&hasher, ids->completions[i]);
    id_add_int(&hasher, row->tag_count);
    for (int i = 0; i < row->tag_count; i++)
        id_add(&hasher, row->tags[i]);
    id_add(&hasher, row->metadata);
    id_add(&hasher, row->gold);
    id_add_int(&hasher, row->priority);
    ids->content = id_end(&hasher);

    ids->digest = ids->content;
    if (row->key.ptr) {
        id_begin(&hasher, "key");
        id_add(&hasher, row->key);
        ids->digest = id_end(&hasher);
    }
}

Uuid name_id(const char *kind, Str name)
{
    IdHasher hasher;
    id_begin(&hasher, kind);
    id_add(&hasher, name);
    return id_end(&hasher);
}

Uuid judgment_id(const RowJudgment *judgment, Uuid comparison_digest)
{
    IdHasher hasher;
    uint8_t digest[CRYPTO_HASH_BYTES];
    id_begin(&hasher, "judgment");
    id_add_uuid(&hasher, comparison_digest);
    id_add(&hasher, judgment->annotator);
    id_add_int(&hasher, judgment->choice);
    id_add_int(&hasher, judgment->strength);
    id_add(&hasher, judgment->detail);
    id_add(&hasher, (Str){judgment->shown_count ? (const char *)judgment->shown : NULL,
                          (size_t)judgment->shown_count});
    id_add_int(&hasher, judgment->duration_ms);
    id_add(&hasher, judgment->source);
    id_add_int(&hasher, judgment->has_at);
    id_add_int(&hasher, judgment->has_at ? judgment->at_us : 0);
    hasher_final(hasher_of(&hasher), digest);
    return uuid_from_digest(judgment->has_at ? judgment->at_us / 1000 : 0, digest);
}

void annotator_pseudonym(char out[CRYPTO_PSEUDONYM_CHARS + 1], Uuid id, Str name,
                         const uint8_t key[CRYPTO_KEY_BYTES])
{
    char text[UUID_CHARS + 1];
    uuid_write(id, text);
    crypto_pseudonym(out, name.ptr ? name : (Str){text, UUID_CHARS}, key);
}
