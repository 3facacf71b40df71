/* target.c - see target.h. */
#include "target.h"

#include <ctype.h>
#include "gateway.h"
#include "project.h"

enum { URL_BYTES_MAX = 500, NAME_BYTES_MAX = 63, MODEL_BYTES_MAX = 200 };

static bool name_valid(Str name)
{
    if (name.len == 0 || name.len > NAME_BYTES_MAX || !isalnum((unsigned char)name.ptr[0])) {
        return false;
    }
    for (size_t i = 0; i < name.len; i++) {
        if (!isalnum((unsigned char)name.ptr[i]) && strchr("._-", name.ptr[i]) == NULL)
            return false;
    }
    return true;
}

static bool url_valid(Str url)
{
    if (str_is(url, "demo:")) return true;
    size_t scheme = str_starts(url, "https://") ? 8 : str_starts(url, "http://") ? 7 : 0;
    if (scheme == 0 || url.len <= scheme || url.len > URL_BYTES_MAX) return false;
    for (size_t i = 0; i < url.len; i++) {
        if ((unsigned char)url.ptr[i] <= ' ' || strchr("\"<>\\^`{|}?#", url.ptr[i]) != NULL) {
            return false;
        }
    }
    return memchr(url.ptr, '@', url.len) == NULL; /* passwords belong into the key */
}

static bool between(int64_t value, int64_t min, int64_t max, const char *pointer, Arena *arena,
                    Err *err)
{
    if (value >= min && value <= max) return true;
    return err_set(err, arena, ERR_invalid, pointer, "must be from %lld to %lld", (long long)min,
                   (long long)max);
}

bool target_check(Target *target, Arena *arena, Err *err)
{
    if (!name_valid(target->name)) {
        return err_set(err, arena, ERR_invalid, "/name",
                       "must be 1 to 63 letters, digits, dots, dashes and underscores");
    }
    while (target->url.len > 0 && target->url.ptr[target->url.len - 1] == '/') target->url.len--;
    if (!url_valid(target->url)) {
        return err_set(err, arena, ERR_invalid, "/url",
                       "must be http://HOST/v1, https://HOST/v1 or demo:, without query, fragment "
                       "or password");
    }
    if (target->key.len > GATEWAY_KEY_BYTES_MAX) {
        return err_set(err, arena, ERR_invalid, "/key", "must be at most %d bytes",
                       GATEWAY_KEY_BYTES_MAX);
    }
    for (size_t i = 0; i < target->key.len; i++) {
        if (isgraph((unsigned char)target->key.ptr[i])) continue;
        return err_set(err, arena, ERR_invalid, "/key", "must be printable, without spaces");
    }
    return between(target->priority, 0, 1000, "/priority", arena, err) &&
           between(target->timeout_ms, 100, 3600000, "/timeout_ms", arena, err) &&
           between(target->concurrency, 1, 100000, "/concurrency", arena, err);
}

static Str trim(Str text)
{
    while (text.len > 0 && text.ptr[0] == ' ') text = str_skip(text, 1);
    while (text.len > 0 && text.ptr[text.len - 1] == ' ') text.len--;
    return text;
}

/* "a, b=c" as an array literal. */
static bool models_literal(Str models, Str *out, Arena *arena, Err *err)
{
    Buf text;
    int count = 0;
    bool ok = true;
    buf_init(&text, KiB(64));
    buf_put_char(&text, '{');
    for (Str rest = models; ok && rest.len > 0;) {
        const char *comma = memchr(rest.ptr, ',', rest.len);
        Str name = trim((Str){rest.ptr, comma == NULL ? rest.len : (size_t)(comma - rest.ptr)});
        rest = str_skip(rest, comma == NULL ? rest.len : (size_t)(comma - rest.ptr) + 1);
        ok = name.len > 0 && name.len <= MODEL_BYTES_MAX && count < PROJECT_MODELS_MAX;
        if (count++ > 0) buf_put_char(&text, ',');
        buf_put_char(&text, '"');
        for (size_t i = 0; i < name.len; i++) {
            if (name.ptr[i] == '"' || name.ptr[i] == '\\') buf_put_char(&text, '\\');
            buf_put_char(&text, name.ptr[i]);
        }
        buf_put_char(&text, '"');
    }
    buf_put_char(&text, '}');
    *out = ok && buf_ok(&text) ? arena_copy(arena, buf_str(&text)) : (Str){NULL, 0};
    buf_release(&text);
    if (out->ptr != NULL) return true;
    return err_set(err, arena, ERR_invalid, "/models",
                   "must be at most %d names of 1 to %d bytes, separated by commas",
                   PROJECT_MODELS_MAX, MODEL_BYTES_MAX);
}

bool target_params(const Target *target, int64_t project_id, DbParam principal,
                   const uint8_t seal_key[CRYPTO_KEY_BYTES], Arena *arena,
                   DbParam out[TARGET_PARAMS], Err *err)
{
    Str models;
    DbParam sealed = db_null();
    if (!models_literal(target->models, &models, arena, err)) return false;
    if (target->key.len > 0) {
        size_t size = target->key.len + CRYPTO_SEAL_EXTRA_BYTES;
        uint8_t *bytes = arena_alloc(arena, size);
        if (bytes == NULL) return err_set(err, arena, ERR_too_large, NULL, "no memory is left");
        crypto_seal(bytes, target->key, seal_key);
        sealed = db_bytes(bytes, size);
    }
    const DbParam params[TARGET_PARAMS] = {db_int(project_id),
                                           principal,
                                           db_uuid(uuid_new()),
                                           db_text(target->name),
                                           db_text(target->url),
                                           sealed,
                                           db_text(models),
                                           db_int(target->priority),
                                           db_int(target->timeout_ms),
                                           db_int(target->concurrency),
                                           db_uuid(uuid_new())};
    memcpy(out, params, sizeof params);
    return true;
}
