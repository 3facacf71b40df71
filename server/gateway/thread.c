/* thread.c - see thread.h. */
#include "thread.h"

enum { DUMP_FLAGS = JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY };

static Str trimmed(Str text)
{
    while (text.len > 0 && strchr(" \t\r\n", text.ptr[0]) != NULL) text = str_skip(text, 1);
    while (text.len > 0 && strchr(" \t\r\n", text.ptr[text.len - 1]) != NULL) text.len--;
    return text;
}

/* The one text part of a list that holds just that, so that "x" and [{"type":"text","text":"x"}]
 * are the same content; ptr NULL otherwise. */
static Str only_text(const json_t *content)
{
    if (json_is_string(content)) return json_str(content);
    const json_t *part = json_array_get(content, 0);
    if (json_array_size(content) != 1 || !str_is(json_str(json_object_get(part, "type")), "text")) {
        return (Str){NULL, 0};
    }
    return json_str(json_object_get(part, "text"));
}

static void hash_json(Hasher *hasher, const json_t *value)
{
    char *text = value == NULL ? NULL : json_dumps(value, DUMP_FLAGS);
    hasher_add(hasher, str_from(text));
    free(text);
}

static void hash_content(Hasher *hasher, const json_t *content)
{
    Str text = only_text(content);
    if (json_is_null(content)) text = STR(""); /* null and "" are the same silence */
    if (content == NULL) text = STR("");
    if (text.ptr != NULL) {
        hasher_add(hasher, trimmed(text));
    } else {
        hash_json(hasher, content);
    }
}

static void hash_answer(Hasher *hasher, const json_t *message)
{
    size_t i;
    json_t *call;
    hash_content(hasher, json_object_get(message, "content"));
    json_array_foreach(json_object_get(message, "tool_calls"), i, call)
    {
        const json_t *function = json_object_get(call, "function");
        hasher_add(hasher, json_str(json_object_get(call, "id")));
        hasher_add(hasher, json_str(json_object_get(function, "name")));
        hasher_add(hasher, json_str(json_object_get(function, "arguments")));
    }
}

static Uuid hasher_uuid(Hasher *hasher, uint8_t digest[CRYPTO_HASH_BYTES])
{
    hasher_final(hasher, digest);
    return uuid_from_digest(0, digest);
}

Uuid thread_answer_digest(const json_t *message)
{
    _Alignas(64) uint8_t storage[512];
    uint8_t digest[CRYPTO_HASH_BYTES];
    Hasher *hasher = (Hasher *)storage;
    assert(hasher_size() <= sizeof storage);
    hasher_init(hasher, NULL);
    hash_answer(hasher, message);
    return hasher_uuid(hasher, digest);
}

Uuid thread_text_digest(Str text)
{
    _Alignas(64) uint8_t storage[512];
    uint8_t digest[CRYPTO_HASH_BYTES];
    Hasher *hasher = (Hasher *)storage;
    hasher_init(hasher, NULL);
    hasher_add(hasher, trimmed(text));
    return hasher_uuid(hasher, digest);
}

/* One step of the chain: the digest so far becomes the digest with this message. */
static void chain_step(Hasher *hasher, uint8_t digest[CRYPTO_HASH_BYTES], const json_t *message,
                       const uint8_t key[CRYPTO_KEY_BYTES])
{
    Str role = json_str(json_object_get(message, "role"));
    hasher_init(hasher, key);
    hasher_add_raw(hasher, digest, CRYPTO_HASH_BYTES);
    hasher_add(hasher, str_is(role, "developer") ? STR("system") : role);
    if (str_is(role, "assistant")) {
        hash_answer(hasher, message);
    } else {
        hash_content(hasher, json_object_get(message, "content"));
        hasher_add(hasher, json_str(json_object_get(message, "tool_call_id")));
    }
    hasher_final(hasher, digest);
}

static void speaker_hash(Hasher *hasher, uint8_t digest[CRYPTO_HASH_BYTES], int64_t project_id,
                         Str name, Str kind, const uint8_t key[CRYPTO_KEY_BYTES])
{
    hasher_init(hasher, key);
    hasher_add(hasher, STR("end user"));
    hasher_add_raw(hasher, &project_id, sizeof project_id);
    hasher_add(hasher, name);
    hasher_add(hasher, kind);
    hasher_final(hasher, digest);
}

Uuid thread_user_id(int64_t project_id, Str user, const uint8_t key[CRYPTO_KEY_BYTES])
{
    _Alignas(64) uint8_t storage[512];
    uint8_t digest[CRYPTO_HASH_BYTES];
    assert(hasher_size() <= sizeof storage);
    speaker_hash((Hasher *)storage, digest, project_id, user, STR("user"), key);
    return uuid_from_digest(0, digest);
}

static void chain_begin(Hasher *hasher, uint8_t digest[CRYPTO_HASH_BYTES], const Speaker *speaker,
                        Thread *out, const uint8_t key[CRYPTO_KEY_BYTES])
{
    speaker_hash(hasher, digest, speaker->project_id,
                 speaker->user.len > 0 ? speaker->user : speaker->conversation,
                 speaker->user.len > 0 ? STR("user") : STR("conversation"), key);
    out->named = speaker->user.len > 0 || speaker->conversation.len > 0;
    out->speaker_id = uuid_from_digest(0, digest);
    hasher_init(hasher, key);
    hasher_add(hasher, STR("conversation name"));
    hasher_add_raw(hasher, &speaker->project_id, sizeof speaker->project_id);
    hasher_add(hasher, speaker->conversation);
    hasher_final(hasher, digest);
    out->conversation_id = uuid_from_digest(0, digest);
    hasher_init(hasher, key);
    hasher_add(hasher, STR("chain"));
    hasher_add_raw(hasher, &speaker->project_id, sizeof speaker->project_id);
    hasher_add(hasher, speaker->user);
    hasher_add(hasher, speaker->conversation);
    hasher_add(hasher, out->named ? STR("") : speaker->anonymous);
    hasher_final(hasher, digest);
}

static bool message_check(const json_t *message, size_t index, Arena *arena, Err *err)
{
    Str role = json_str(json_object_get(message, "role"));
    if (json_is_object(message) && role.len > 0 && role.len <= 32) return true;
    return err_set(err, arena, ERR_invalid, json_pointer_index(arena, "/messages", index),
                   "must be an object with a role");
}

bool thread_read(Thread *out, const Speaker *speaker, const json_t *messages,
                 const uint8_t key[CRYPTO_KEY_BYTES], Arena *arena, Err *err)
{
    size_t count = json_array_size(messages), last_answer = SIZE_MAX;
    uint8_t digest[CRYPTO_HASH_BYTES];
    *out = (Thread){0};
    Hasher *hasher = arena_alloc(arena, hasher_size());
    if (hasher == NULL) return err_set(err, arena, ERR_too_large, NULL, "no memory is left");
    if (count == 0 || count > THREAD_MESSAGES_MAX) {
        return err_set(err, arena, ERR_invalid, "/messages", "must be a list of 1 to %d messages",
                       THREAD_MESSAGES_MAX);
    }
    for (size_t i = 0; i < count; i++) {
        const json_t *message = json_array_get(messages, i);
        if (!message_check(message, i, arena, err)) return false;
        /* an answer that comes last is a beginning the model is to go on from: part of the turn */
        bool answer = str_is(json_str(json_object_get(message, "role")), "assistant");
        if (answer && i + 1 < count) last_answer = i;
    }
    chain_begin(hasher, digest, speaker, out, key);
    for (size_t i = 0; i < count; i++) {
        json_t *message = json_array_get(messages, i);
        bool user = str_is(json_str(json_object_get(message, "role")), "user");
        if (i == last_answer) {
            out->follows = true;
            out->before_id = uuid_from_digest(0, digest);
            out->before_digest = thread_answer_digest(message);
            out->before = message;
            out->turn_from = i + 1;
            out->has_user = false;
        }
        out->has_user = out->has_user || user;
        if (user) out->depth++;
        out->characters += only_text(json_object_get(message, "content")).len;
        chain_step(hasher, digest, message, key);
    }
    out->turn_id = uuid_from_digest(0, digest);
    return true;
}
